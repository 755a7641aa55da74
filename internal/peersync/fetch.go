package peersync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
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
	if err := errors.Join(s.o.Directory.Exchange(s.o.Now()), s.o.Ledger.Allowed(j.key.council)); err != nil {
		return false, err
	}
	doc, why := s.o.Agreements.InForce(j.key.agreement, s.o.Now())
	if doc == nil {
		return false, errors.New(why)
	}
	src, err := s.fetchSource(ctx, doc)
	if err != nil {
		return false, err
	}
	ask := outwardAsk{Footprint: doc.From, Agreement: doc.Name, Digest: doc.Digest().String(), Cursor: src.Cursor, Size: s.o.Ledger.Known(doc.From).Size, Held: src.Records, Receipt: f.receipt}
	live := false
	err = s.eachMember(ctx, doc.From, 0, func(m name.Council) error {
		answer, err := s.askMember(ctx, m, ask)
		if err == nil && answer.Refused != "" {
			err = errors.New(answer.Refused)
		}
		if err == nil {
			live, err = f.take(ctx, src, doc, m, ask, answer)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	s.went(j, true, live)
	return true, nil
}

// fetchSource returns the place that records under an agreement are kept in. A
// member that signs later lets its earlier records out: then the footprint's log is
// read from the beginning once more. Who has signed is what the members themselves
// have told us, signed; an answer's word for it moves nothing.
func (s *Syncer) fetchSource(ctx context.Context, doc *agreement.Agreement) (*ledger.Source, error) {
	src, err := s.o.Ledger.OpenSource(ctx, doc.From, doc.Name)
	if err != nil {
		return nil, err
	}
	signers, err := s.o.Footprints.Signers(doc.From, doc.Ref())
	if err != nil {
		return nil, err
	}
	digest := doc.Digest().String()
	switch want := digest + "/" + strconv.Itoa(len(signers)); {
	case src.Digest == want:
		return src, nil
	case strings.HasPrefix(src.Digest, digest+"/") && !src.Ended:
		err = s.o.Ledger.Rewind(ctx, src, want)
	default:
		err = s.o.Ledger.Restart(ctx, src, want)
	}
	if err != nil {
		return nil, err
	}
	return s.o.Ledger.Source(doc.From, doc.Name)
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
func (f *fetch) take(ctx context.Context, src *ledger.Source, doc *agreement.Agreement, by name.Council, ask outwardAsk, answer *outwardAnswer) (live bool, err error) {
	s := f.s
	if signers, err := s.o.Footprints.Signers(doc.From, doc.Ref()); err != nil || answer.Signers < len(signers) {
		return false, errors.Join(err, errors.New("it is behind what others have shown us"))
	}
	d, err := s.checkAnswer(ctx, src, doc, by, ask, answer)
	if err != nil {
		if errors.Is(err, judge.ErrLied) {
			r := ledger.Refusal{From: doc.From, Agreement: doc.Name, Index: src.Cursor, Rule: err.Error(), At: s.o.Now().UTC()}
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

// checkAnswer has an answer judged, as the page of a feed that it is, and adds what
// the member says is gone.
func (s *Syncer) checkAnswer(ctx context.Context, src *ledger.Source, doc *agreement.Agreement, by name.Council, ask outwardAsk, answer *outwardAnswer) (*ledger.Delivery, error) {
	c, err := s.o.Judge.Under(doc)
	if err != nil {
		return nil, err
	}
	page := judge.Page{
		Told:      judge.Told{Checkpoint: []byte(answer.Checkpoint), Consistency: answer.Consistency, From: ask.Size, By: by, Through: through(doc.Name)},
		Inclusion: answer.Inclusion, Cursor: answer.Cursor, Live: answer.Live,
	}
	for _, it := range answer.Items {
		page.Items = append(page.Items, ledger.PageItem{Index: it.Index, Token: []byte(it.Token)})
	}
	if len(answer.Gone) > outwardItems {
		return nil, fmt.Errorf("%w: %d deletions", judge.ErrLied, len(answer.Gone))
	}
	d, err := c.Delivery(ctx, src, page)
	if err != nil {
		return nil, err
	}
	added := 0
	for _, p := range d.Puts {
		if last, err := s.o.Ledger.Last(src, p.Record); err != nil || !last.Held {
			added++
		}
	}
	for _, g := range answer.Gone {
		if _, err := name.ParseRecord(string(g.Record)); err != nil || g.Index < ask.Cursor || g.Index >= answer.Cursor {
			return nil, fmt.Errorf("%w: a deletion out of bounds", judge.ErrLied)
		}
		last, err := s.o.Ledger.Last(src, g.Record)
		if err == nil && last.Held && last.Council == g.Council && !slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == g.Record }) {
			d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: g.Index, Record: g.Record})
		}
	}
	d.Offered = src.Records + added - len(d.Withdrawn)
	return d, nil
}
