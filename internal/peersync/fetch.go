package peersync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// What a footprint sends us under an agreement is fetched from whichever of its
// members answers. No member is believed: the checkpoint must be cosigned by more
// than half of the members that the directory lists and extend the one seen before,
// every record must stand under it, be signed by its contributor and be within the
// agreement. What is kept is kept as from any partner, with the footprint as sender.

// A fetch is one copy from a footprint.
type fetch struct {
	s       *Syncer
	receipt string // for what came last, not handed over yet
}

// turn asks the members, one after the other, for what comes next, and keeps the
// first answer that holds. A member answers when there is something, or after a while.
func (f *fetch) turn(ctx context.Context, j *job) (progress bool, err error) {
	s := f.s
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return false, err
	}
	doc, why := s.o.Agreements.InForce(j.key.agreement, s.o.Now())
	if doc == nil {
		return false, errors.New(why)
	}
	src, err := s.o.Ledger.OpenSource(ctx, doc.From, doc.Name)
	if err != nil {
		return false, err
	}
	ask := outwardAsk{Footprint: doc.From, Agreement: doc.Name, Digest: doc.Digest().String(), Cursor: src.Cursor, Size: src.Size, Held: src.Records, Receipt: f.receipt}
	if !strings.HasPrefix(src.Digest, ask.Digest) {
		ask.Cursor = 0
	}
	live := false
	err = s.eachMember(ctx, doc.From, 0, func(m name.Council) error {
		answer, err := s.askMember(ctx, m, ask)
		if err == nil && answer.Refused != "" {
			err = errors.New(answer.Refused)
		}
		if err == nil {
			live, err = f.take(ctx, src, doc, ask, answer)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	s.went(j, true, live)
	return true, nil
}

func (s *Syncer) askMember(ctx context.Context, m name.Council, ask outwardAsk) (*outwardAnswer, error) {
	st, err := s.o.Network.Open(ctx, m, outwardProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	b, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(outwardWait + 2*outwardTimeout))
	if err := errors.Join(wire.WriteFrame(bw, b), bw.Flush()); err != nil {
		st.Reset()
		return nil, err
	}
	if b, err = wire.ReadFrame(bufio.NewReader(st), maxOutward); err != nil {
		st.Reset()
		return nil, err
	}
	answer := &outwardAnswer{}
	if err := json.Unmarshal(b, answer); err != nil {
		return nil, errors.New("its answer cannot be read")
	}
	answer.Refused = strings.ToValidUTF8(answer.Refused[:min(len(answer.Refused), 300)], "")
	return answer, nil
}

// take checks an answer and keeps it.
func (f *fetch) take(ctx context.Context, src *ledger.Source, doc *agreement.Agreement, ask outwardAsk, answer *outwardAnswer) (live bool, err error) {
	s := f.s
	// A member that signed later lets its earlier records out: then the copy
	// begins anew. The number of signers only grows.
	want := ask.Digest + "/" + strconv.Itoa(answer.Signers)
	if src.Digest != want {
		if was, ok := strings.CutPrefix(src.Digest, ask.Digest+"/"); ok {
			if k, err := strconv.Atoi(was); err == nil && k > answer.Signers {
				return false, errors.New("it is behind what others have shown us")
			}
		}
		if err := s.o.Ledger.Restart(ctx, src, want); err != nil {
			return false, err
		}
		if src, err = s.o.Ledger.Source(doc.From, doc.Name); err != nil {
			return false, err
		}
		if ask.Cursor != 0 {
			return false, nil // asked again from the beginning
		}
	}
	d, err := s.checkAnswer(src, doc, ask, answer)
	if err != nil {
		if errors.Is(err, judge.ErrLied) {
			r := ledger.Refusal{From: doc.From, Agreement: doc.Name, Index: src.Cursor, Rule: err.Error(), At: s.o.Now().UTC()}
			if src.Note != nil && len(answer.Checkpoint) <= tlog.MaxNote {
				r.Evidence = [][]byte{src.Note, []byte(answer.Checkpoint)}
			}
			err = errors.Join(err, s.o.Ledger.Refuse(ctx, src, r))
		}
		return false, err
	}
	if now, _ := s.o.Agreements.InForce(doc.Name, s.o.Now()); now == nil || now.Digest() != doc.Digest() {
		return false, errors.New("the agreement is not in force any more")
	}
	receipt, err := s.o.Ledger.Receive(ctx, src, d)
	if err != nil {
		return false, err
	}
	f.receipt = string(receipt)
	return d.Live, nil
}

// checkAnswer checks an answer against the footprint's log, the agreement, the
// standards and the contributors' keys. What can be wrong with one record alone
// refuses it alone.
func (s *Syncer) checkAnswer(src *ledger.Source, doc *agreement.Agreement, ask outwardAsk, answer *outwardAnswer) (*ledger.Delivery, error) {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", judge.ErrLied, fmt.Sprintf(format, a...))
	}
	ws, err := s.o.Directory.Witnesses(s.o.Footprints.Members(doc.From))
	if err != nil {
		return nil, err
	}
	d := &ledger.Delivery{Note: []byte(answer.Checkpoint), Cursor: answer.Cursor, Live: answer.Live, Verified: true}
	if d.Checkpoint, _, err = tlog.VerifyMajority(d.Note, doc.From.Origin(), ws...); err != nil {
		// The members may have changed and the directory not know it yet.
		return nil, fmt.Errorf("its checkpoint is not cosigned by a majority of the members that the directory lists: %w", err)
	}
	switch cp := d.Checkpoint; {
	case cp.Size < src.Size:
		return nil, errors.New("it is behind what others have shown us")
	case src.Size == 0:
	case cp.Size == src.Size:
		if string(cp.Root[:]) != string(src.Root) {
			return nil, bad("another history than before at size %d", cp.Size)
		}
	default:
		proof, err := tlog.SplitHashes(answer.Consistency)
		if err != nil || len(src.Root) != tlog.HashSize || tlog.VerifyConsistency(src.Size, tlog.Hash(src.Root), cp.Size, cp.Root, proof) != nil {
			return nil, bad("no proof that sizes %d and %d are of one history", src.Size, cp.Size)
		}
	}
	if len(answer.Items) > outwardItems || len(answer.Gone) > outwardItems || answer.Cursor < ask.Cursor || answer.Cursor > d.Checkpoint.Size {
		return nil, bad("a page out of bounds")
	}
	var entries []tlog.Hash
	var indexes []uint64
	at, added := ask.Cursor, 0
	terms := map[name.Standard]*agreement.Terms{}
	for _, it := range answer.Items {
		t, err := record.Parse([]byte(it.Token))
		if err != nil || it.Index < at || it.Index >= answer.Cursor || len(it.Token) > ledger.MaxHolding {
			return nil, bad("entry %d is no record, or out of order", it.Index)
		}
		at = it.Index + 1
		entries, indexes = append(entries, t.Entry()), append(indexes, it.Index)
		put, refusal, err := s.checkOutward(src, doc, terms, it.Index, t)
		switch {
		case err != nil:
			return nil, err
		case refusal != nil:
			d.Refused = append(d.Refused, *refusal)
		case slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == put.Record }):
			return nil, bad("two entries of one record")
		default:
			d.Puts = append(d.Puts, *put)
			if _, held := s.holder(src, put.Record); !held {
				added++
			}
		}
	}
	if len(entries) > 0 {
		proof, err := tlog.SplitHashes(answer.Inclusion)
		if err != nil || tlog.VerifyBatch(entries, indexes, d.Checkpoint.Size, d.Checkpoint.Root, proof) != nil {
			return nil, bad("entries without proof that they stand in the log")
		}
	}
	for _, g := range answer.Gone {
		if _, err := name.ParseRecord(string(g.Record)); err != nil || g.Index < ask.Cursor || g.Index >= answer.Cursor {
			return nil, bad("a deletion out of bounds")
		}
		if holder, ok := s.holder(src, g.Record); ok && holder == g.Council && !slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == g.Record }) {
			d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: g.Index, Record: g.Record})
		}
	}
	d.Offered = src.Records + added - len(d.Withdrawn)
	return d, nil
}

// holder returns whose record is held under an id.
func (s *Syncer) holder(src *ledger.Source, r name.Record) (c name.Council, ok bool) {
	err := s.o.Ledger.View(func(v *ledger.View) error {
		h, err := v.Holding(src, r)
		if err == nil {
			c, ok = h.View.Council, true
		}
		return err
	})
	return c, ok && err == nil
}

// checkOutward checks one record that a footprint sends.
func (s *Syncer) checkOutward(src *ledger.Source, doc *agreement.Agreement, terms map[name.Standard]*agreement.Terms, index uint64, t *record.Token) (*ledger.Put, *ledger.Refusal, error) {
	refuse := func(rule, pointer string) (*ledger.Put, *ledger.Refusal, error) {
		return nil, &ledger.Refusal{From: doc.From, Agreement: doc.Name, Index: index, Rule: rule, Pointer: pointer[:min(len(pointer), 200)], At: s.o.Now().UTC()}, nil
	}
	v, err := t.View()
	if err != nil {
		return refuse("disclosures", "")
	}
	if v.Standard.Line() != doc.Standard || v.Op != record.Put {
		return refuse("standard or operation", "")
	}
	std, err := s.o.Ledger.Standard(v.Standard)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not adopted here", v.Standard)
	}
	if std.Integrity() != v.Integrity {
		return refuse("standard's schema", "")
	}
	if _, ok := terms[v.Standard]; !ok {
		terms[v.Standard], _ = doc.Compile(std) // nil lets nothing through
	}
	if rule, pointer := terms[v.Standard].Beyond(std, v.Body); rule != "" {
		return refuse(rule, pointer)
	}
	// The contributor answers for its record; the footprint, for having it.
	m, ok := s.o.Directory.Member(v.Council)
	if !ok {
		return refuse("issuer", "")
	}
	key, err := m.RecordKeyAt(t.KeyID(), math.MaxInt64)
	if errors.Is(err, directory.ErrRevoked) {
		return refuse("revoked key", "")
	}
	if err != nil || t.Verify(key) != nil {
		return refuse("signature", "")
	}
	if holder, ok := s.holder(src, v.Record); ok && holder != v.Council {
		return refuse("another council's record has this id", "")
	}
	return &ledger.Put{Index: index, Record: v.Record, Version: v.Version, Entry: t.Entry(), Token: t.Bytes()}, nil, nil
}
