package peersync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint sends under an agreement as a council does, except that any of its
// members may answer, and that nobody signs for the whole: each record is signed
// by its contributor, and stands in a log whose checkpoint a majority of the
// members cosigned. A member's records leave only when that member itself has
// signed the agreement; a majority binds the footprint and gives away nothing of
// those who did not sign.
//
// A stream of this protocol carries one question and its answer, a frame of JSON
// each. A fetch asks for what follows a cursor, an index of the footprint's log,
// and is answered when there is something or after outwardWait.
const outwardProtocol = "/stile/footprint-records/1"

// KindOutward is the event that a member logs before records of a footprint go to
// a partner outside. Body: footprint, agreement, version, to, entries (indexes of
// the footprint's log, ascending).
const KindOutward = "footprint-disclosure"

// KindOutwardReceipt keeps a partner's receipt for records of a footprint. Body:
// footprint, agreement, from (the partner), receipt (its signed event).
const KindOutwardReceipt = "footprint-receipt"

const (
	outwardItems   = 400
	outwardScan    = 2000 // entries looked at for one answer
	outwardBytes   = 1 << 20
	outwardWait    = 15 * time.Second
	outwardTimeout = 30 * time.Second
	maxOutwardAsk  = 1 << 20
	maxOutward     = 6 << 20
)

// outwardAsk asks a member for records of its footprint.
type outwardAsk struct {
	Footprint name.Council   `json:"footprint"`
	Agreement name.Agreement `json:"agreement"`
	Digest    string         `json:"digest"`
	Cursor    uint64         `json:"cursor"`
	Size      uint64         `json:"size"`              // of the newest checkpoint the asker has seen
	Held      int            `json:"held,omitempty"`    // records the asker holds
	Receipt   string         `json:"receipt,omitempty"` // for what came last, from whichever member
}

// outwardAnswer is a page of records, or why there is none.
type outwardAnswer struct {
	Refused     string        `json:"refused,omitempty"`
	Signers     int           `json:"signers,omitempty"` // members that have signed the agreement; only grows
	Checkpoint  string        `json:"checkpoint,omitempty"`
	Consistency []byte        `json:"consistency,omitempty"` // from the asker's size
	Inclusion   []byte        `json:"inclusion,omitempty"`   // batch proof of the items
	Cursor      uint64        `json:"cursor,omitempty"`
	Live        bool          `json:"live,omitempty"`
	Items       []outwardItem `json:"items,omitempty"`
	Gone        []outwardGone `json:"gone,omitempty"`
}

type outwardItem struct {
	Index uint64 `json:"entry"`
	Token string `json:"token"`
}

// outwardGone says that a record is to be deleted: withdrawn, deleted, or no
// longer matching. It is believed on the member's word, since it can only make
// the asker hold less.
type outwardGone struct {
	Index   uint64       `json:"entry"`
	Council name.Council `json:"council"`
	Record  name.Record  `json:"record"`
}

// serveOutward answers one question from outside.
func (s *Syncer) serveOutward(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	st.SetDeadline(time.Now().Add(outwardTimeout))
	b, err := wire.ReadFrame(bufio.NewReader(st), maxOutwardAsk)
	var ask outwardAsk
	if err != nil || json.Unmarshal(b, &ask) != nil {
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	answer, err := s.outward(ctx, from, ask)
	if err != nil {
		s.o.Log.Warn("records of a footprint not sent", "footprint", ask.Footprint, "to", from, "error", err.Error())
		answer = &outwardAnswer{Refused: "it cannot be read here now"}
	}
	if b, err = json.Marshal(answer); err != nil {
		st.Reset()
		return
	}
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(outwardTimeout))
	if wire.WriteFrame(bw, b) != nil || bw.Flush() != nil {
		st.Reset()
	}
}

func (s *Syncer) outward(ctx context.Context, from name.Council, ask outwardAsk) (*outwardAnswer, error) {
	refuse := func(why string) (*outwardAnswer, error) { return &outwardAnswer{Refused: why}, nil }
	r := s.open(ask.Footprint)
	if r == nil || !r.member() {
		return refuse("no replica of that footprint is open here")
	}
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return refuse(err.Error())
	}
	if m, ok := s.o.Directory.Member(from); !ok || !m.ActiveAt(s.o.Now()) {
		return refuse("you are no member of our directory")
	}
	doc, why := s.o.Agreements.InForce(ask.Agreement, s.o.Now())
	if doc == nil || doc.From != r.name || !slices.Contains(doc.To, from) {
		all := s.o.Book.Texts(ask.Agreement, s.o.Now())
		if len(all) == 0 || standing(all).Agreement.From != r.name || !slices.Contains(standing(all).Agreement.To, from) {
			why = ""
		}
		if why == "" {
			why = "no such agreement with you"
		}
		return refuse(why)
	}
	if doc.Digest().String() != ask.Digest {
		return refuse(fmt.Sprintf("version %d of the agreement is in force", doc.Version))
	}
	if err := s.keepOutwardReceipt(ctx, from, ask); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.asked[asker{ask.Agreement, from}] = Asked{s.o.Now().UTC(), ask.Cursor, max(ask.Held, 0)}
	r.mu.Unlock()
	wait, cancel := context.WithTimeout(ctx, outwardWait)
	defer cancel()
	var cp tlog.Checkpoint
	var signed []byte
	for {
		changed := r.f.Changed()
		if cp, signed = r.f.Checkpoint(); cp.Size > ask.Cursor || wait.Err() != nil {
			break
		}
		pause(wait, time.Second, changed) // a checkpoint comes behind what it covers
	}
	switch {
	case signed == nil:
		return refuse("no majority has cosigned a checkpoint yet")
	case cp.Size < ask.Size:
		return refuse("this member is behind what you have seen")
	}
	if doc, _ := s.o.Agreements.InForce(ask.Agreement, s.o.Now()); doc == nil {
		return refuse("the agreement is over")
	}
	signers, err := r.f.Signers(doc.Ref())
	if err != nil {
		return nil, err
	}
	out := &outwardAnswer{Signers: len(signers), Checkpoint: string(signed)}
	if err := s.outwardPage(r, doc, signers, ask.Cursor, cp.Size, out); err != nil {
		return nil, err
	}
	var indexes []uint64
	list := []any{}
	for _, it := range out.Items {
		indexes, list = append(indexes, it.Index), append(list, json.Number(fmt.Sprint(it.Index)))
	}
	if len(indexes) > 0 {
		proof, err := r.f.ProveEntries(indexes, cp.Size)
		if err != nil {
			return nil, err
		}
		out.Inclusion = tlog.JoinHashes(proof)
		// Durable before a byte leaves.
		_, _, err = s.o.Ledger.AppendNotice(ctx, KindOutward, map[string]any{
			"footprint": string(r.name), "agreement": string(doc.Name), "version": json.Number(fmt.Sprint(doc.Version)), "to": string(from), "entries": list,
		})
		if err != nil {
			return nil, err
		}
	}
	if ask.Size > 0 && ask.Size < cp.Size {
		proof, err := r.f.Consistency(ask.Size, cp.Size)
		if err != nil {
			return nil, err
		}
		out.Consistency = tlog.JoinHashes(proof)
	}
	return out, nil
}

// An asker is a partner outside under an agreement.
type asker struct {
	agreement name.Agreement
	partner   name.Council
}

// Asked is what a partner outside said when it last asked this member for a
// footprint's records. It may ask the others.
type Asked struct {
	At     time.Time // zero when it has not asked since the node started
	Cursor uint64    // index of the footprint's log that it has come to
	Held   int       // records that it says it holds
}

// Asked returns when a partner last asked for what our footprint sends under an
// agreement.
func (s *Syncer) Asked(f *footprint.Footprint, a name.Agreement, partner name.Council) Asked {
	r := s.replica(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[asker{a, partner}]
}

// outwardPage fills an answer with what follows a cursor.
func (s *Syncer) outwardPage(r *replica, doc *agreement.Agreement, signers []name.Council, cursor, size uint64, out *outwardAnswer) error {
	var all []*footprint.Held
	out.Cursor, out.Live = max(cursor, size), true
	err := r.f.Entries(cursor, func(h *footprint.Held) bool {
		if h.Index >= size {
			return false
		}
		if len(all) == outwardScan {
			out.Cursor, out.Live = h.Index, false
			return false
		}
		all = append(all, h)
		return true
	})
	if err != nil {
		return err
	}
	terms := map[name.Standard]*agreement.Terms{}
	bytes := 0
	for _, h := range all {
		if len(out.Items)+len(out.Gone) == outwardItems || bytes > outwardBytes {
			out.Cursor, out.Live = h.Index, false
			break
		}
		switch {
		case h.Erased:
		case h.Event != nil:
			_, rec := ledger.WithdrawalOf(h.Event)
			if rec == "" || !slices.Contains(signers, h.Event.Council) {
				continue
			}
			if _, err := r.f.Record(h.Event.Council, rec); errors.Is(err, ledger.ErrNotFound) {
				out.Gone = append(out.Gone, outwardGone{h.Index, h.Event.Council, rec})
			} else if err != nil {
				return err
			}
		case h.View.Standard.Line() != doc.Standard || !slices.Contains(signers, h.View.Council):
		default:
			newest, err := r.f.Record(h.View.Council, h.View.Record)
			if errors.Is(err, ledger.ErrNotFound) || err == nil && newest.Index != h.Index {
				continue // what took its place, or its withdrawal, stands further on
			}
			if err != nil {
				return err
			}
			std := h.View.Standard
			if _, ok := terms[std]; !ok {
				schema, err := r.f.Standard(std)
				if err != nil {
					return err
				}
				if terms[std], err = doc.Compile(schema); err != nil {
					terms[std] = nil
				}
			}
			if t := terms[std]; t != nil && h.View.Op == record.Put && t.Match(h.View.Body) {
				token, err := h.Token.Narrow(t.Keep)
				if err != nil {
					return err
				}
				if bytes += len(token.Bytes()); len(out.Items) > 0 && bytes > ledger.MaxPageBytes {
					out.Cursor, out.Live = h.Index, false
					return nil
				}
				out.Items = append(out.Items, outwardItem{h.Index, string(token.Bytes())})
			} else if h.View.Version > 1 {
				out.Gone = append(out.Gone, outwardGone{h.Index, h.View.Council, h.View.Record})
			}
		}
	}
	return nil
}

// keepOutwardReceipt keeps what a partner says it did with what came last. One
// that does not hold is passed over: what was sent is in our log anyway.
func (s *Syncer) keepOutwardReceipt(ctx context.Context, from name.Council, ask outwardAsk) error {
	if ask.Receipt == "" {
		return nil
	}
	t, ev, err := record.ParseEvent([]byte(ask.Receipt))
	if err != nil || ev.Council != from || ev.Kind != ledger.KindReceipt {
		return nil
	}
	m, _ := s.o.Directory.Member(from)
	key, err := m.RecordKeyAt(t.KeyID(), directory.AnyPlace)
	if err != nil || t.Verify(key) != nil {
		return nil
	}
	_, _, err = s.o.Ledger.AppendNotice(ctx, KindOutwardReceipt, map[string]any{
		"footprint": string(ask.Footprint), "agreement": string(ask.Agreement), "from": string(from), "receipt": ask.Receipt,
	})
	return err
}
