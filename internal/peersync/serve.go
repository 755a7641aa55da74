package peersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Timing of a stream.
const (
	helloWithin = 30 * time.Second // the first frame of a stream
	ackWithin   = 2 * time.Minute  // the answer to a batch; the receiver syncs it to disk first
	beatEvery   = 20 * time.Second // an idle sender offers its newest checkpoint, and asks the agreement again
	aliveEvery  = time.Minute      // it says something even if there is no news; well below silence
	window      = 2                // batches sent and not yet acknowledged
)

// Codes of a refusal. The reason beside it is for people.
const (
	codeVersion   = "protocol-version"
	codeNoAgree   = "not-agreed"    // no such agreement with you; also said when there is one with somebody else
	codeNotNow    = "not-in-force"  // with the reason in words
	codeOther     = "other-version" // another text of the agreement is in force
	codeNotReady  = "not-ready"     // the index is being made; come back soon
	codeDirectory = "directory"     // nobody has vouched for our directory lately
	codeRollback  = "rollback"      // you have seen more of our log than there is, or another
	codeBeyond    = "beyond"        // you ask from beyond the end of what you have seen
	// codeQuarantine: we have stopped all exchange with you, with the evidence.
	codeQuarantine = "quarantine"
)

// serve answers one stream: it refuses, or sends the feed until the stream
// ends, the agreement does, or ctx does.
func (s *Syncer) serve(ctx context.Context, to name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	log := s.o.Log.With("to", to)
	in, out := wirepb.NewReader(st), wirepb.NewWriter(st)
	st.SetDeadline(s.o.Now().Add(helloWithin))
	f, err := in.Read()
	hello := f.GetHello()
	if err != nil || hello == nil {
		log.Warn("stream refused", "because", "no hello")
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	feed, refusal := s.permit(ctx, to, hello)
	if refusal != nil {
		log.Info("stream refused", "feed", hello.GetFeed(), "because", refusal.GetCode())
		st.SetDeadline(s.o.Now().Add(helloWithin))
		out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: refusal}})
		st.CloseWrite()
		return
	}

	k := serveKey{to, feed.Agreement}
	s.mu.Lock()
	s.told[to] = hello.GetTreeSize()
	s.serving[k]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.serving[k]--
		s.mu.Unlock()
	}()
	if err := s.send(ctx, to, feed, hello, st, in, out); err != nil && ctx.Err() == nil {
		log.Info("sending stopped", "agreement", feed.Agreement, "because", err.Error())
		if errors.Is(err, errStopServing) {
			st.CloseWrite()
			return
		}
		st.Reset()
	}
}

// permit finds the feed that a hello asks for, or says why it may not have it.
// It says the same of an agreement that does not exist and of one with others.
func (s *Syncer) permit(ctx context.Context, to name.Council, h *wirepb.Hello) (*ledger.Feed, *wirepb.Refuse) {
	refuse := func(code, reason string) (*ledger.Feed, *wirepb.Refuse) {
		return nil, &wirepb.Refuse{Code: code, Reason: reason}
	}
	if h.GetVersion() != wirepb.Version {
		return refuse(codeVersion, fmt.Sprintf("this node speaks version %d", wirepb.Version))
	}
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return refuse(codeDirectory, err.Error())
	}
	if m, ok := s.o.Directory.Member(to); !ok || !m.ActiveAt(s.o.Now()) {
		return refuse(codeNoAgree, "you are no member of our directory")
	}
	if r := s.quarantined(to); r != nil {
		return nil, r
	}
	// Asked last: how long our log is we tell only those who may read of it.
	rollback := func(f *ledger.Feed) (*ledger.Feed, *wirepb.Refuse) {
		size := s.o.Ledger.Size()
		proven := s.contradicts(h.GetCheckpoint())
		if proven || h.GetTreeSize() > size {
			s.o.Log.Error("a partner has seen more of our log than there is: was this node restored from an old backup?",
				"partner", to, "size", size, "seen", h.GetTreeSize(), "proven", proven)
			if proven {
				s.accused(ctx, to, "it holds a checkpoint signed by us that is not of the log that stands here", [][]byte{h.GetCheckpoint()})
			}
			_, r := refuse(codeRollback, "our log is not the one that you have seen")
			r.Checkpoints = [][]byte{s.newest()}
			return nil, r
		}
		if h.GetCursor() > size {
			return refuse(codeBeyond, "you ask from beyond the end of our log")
		}
		return f, nil
	}
	if h.GetFeed() == noticesFeed {
		// Made when first asked for: the stream then waits for what may come,
		// instead of asking again and again.
		f, err := s.o.Ledger.OpenNotices(ctx, to)
		if err != nil {
			return refuse(codeNotReady, "notices cannot be read now")
		}
		return rollback(f)
	}
	a, err := name.ParseAgreement(h.GetFeed())
	if err != nil {
		return refuse(codeNoAgree, "no such agreement with you")
	}
	doc, why := s.o.Agreements.InForce(a, s.o.Now())
	if doc == nil || doc.From != s.o.Self || !slices.Contains(doc.To, to) {
		if doc == nil && why != "" && s.party(a, to) {
			return refuse(codeNotNow, why)
		}
		return refuse(codeNoAgree, "no such agreement with you")
	}
	if d := doc.Digest(); !bytes.Equal(d[:], h.GetAgreementDigest()) {
		return refuse(codeOther, fmt.Sprintf("version %d of the agreement is in force", doc.Version))
	}
	if !doc.Way().Copied {
		return refuse(codeNoAgree, "records are not copied under this agreement")
	}
	f, err := s.o.Ledger.Feed(a, doc.Digest())
	if err != nil || !f.Ready {
		return refuse(codeNotReady, "the agreement's index is being made")
	}
	for _, g := range s.o.Ledger.Feeds() {
		// Until the feed of the text before is closed this one lacks
		// withdrawals, some at indexes that the reader would have passed.
		if g.Agreement == a && g.Version < f.Version && !g.Closed() {
			return refuse(codeNotReady, "the agreement's index is being made")
		}
	}
	return rollback(f)
}

// party reports whether a council is named as receiver of an agreement whose
// feed there is here.
func (s *Syncer) party(a name.Agreement, c name.Council) bool {
	for _, f := range s.o.Ledger.Feeds() {
		if f.Agreement == a && slices.Contains(f.To, c) {
			return true
		}
	}
	return false
}

var errStopServing = errors.New("it is no longer allowed")

// send sends a feed from where the receiver is, then what is new as it comes.
func (s *Syncer) send(ctx context.Context, to name.Council, feed *ledger.Feed, h *wirepb.Hello, st wire.Stream, in *wirepb.Reader, out *wirepb.Writer) error {
	acks := make(chan error, 1)
	sent := make(chan *ledger.Page, window) // sent and not yet acknowledged
	go func() { acks <- s.acknowledgeAll(ctx, to, feed, h.GetCursor(), st, in, sent) }()

	cursor, seen := h.GetCursor(), h.GetTreeSize()
	var said time.Time // when the last page was sent
	beat := time.NewTimer(0)
	defer beat.Stop()
	due := true
	for {
		changed := s.o.Ledger.Changed()
		if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
			out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: codeDirectory, Reason: err.Error()}}})
			return fmt.Errorf("%w: %w", errStopServing, err)
		}
		if r := s.quarantined(to); r != nil {
			out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: r}})
			return fmt.Errorf("%w: %s is in quarantine", errStopServing, to)
		}
		if feed.Agreement != "" {
			// Asked again before every batch: an agreement can end between two.
			doc, why := s.o.Agreements.InForce(feed.Agreement, s.o.Now())
			if doc == nil || doc.Digest() != feed.Digest {
				out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: codeNotNow, Reason: why}}})
				return fmt.Errorf("%w: %s", errStopServing, why)
			}
		}
		// What the partner has acknowledged on another stream is no longer than the
		// log that the page is now read from.
		s.mu.Lock()
		from := max(seen, s.told[to])
		s.mu.Unlock()
		page, err := s.o.Ledger.Page(feed, cursor)
		if err != nil {
			return err
		}
		if len(page.Items) > 0 || (due && page.Checkpoint.Size > 0) {
			select {
			case sent <- page:
			case err := <-acks:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := s.sendPage(ctx, to, feed, page, from, st, out); err != nil {
				return err
			}
			cursor, seen, due, said = page.Cursor, page.Checkpoint.Size, false, s.o.Now()
			beat.Reset(beatEvery)
			if !page.Live {
				continue
			}
		}
		select {
		case <-changed:
		case <-beat.C:
			due = s.o.Ledger.Size() > seen || s.o.Now().Sub(said) >= aliveEvery
			beat.Reset(beatEvery)
		case err := <-acks:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Syncer) sendPage(ctx context.Context, to name.Council, feed *ledger.Feed, page *ledger.Page, from uint64, st wire.Stream, out *wirepb.Writer) error {
	b := &wirepb.Batch{
		Checkpoint: page.Note,
		Inclusion:  tlog.JoinHashes(page.Inclusion),
		Cursor:     page.Cursor,
		Records:    uint64(page.Records),
		Live:       page.Live,
		Items:      make([]*wirepb.Item, len(page.Items)),
	}
	for i, it := range page.Items {
		b.Items[i] = &wirepb.Item{Index: it.Index, Token: it.Token}
	}
	if from > 0 && from < page.Checkpoint.Size {
		proof, err := s.o.Ledger.Consistency(from, page.Checkpoint.Size)
		if err != nil {
			return err
		}
		b.Consistency, b.ConsistencyFrom = tlog.JoinHashes(proof), from
	}
	// Durable before a byte leaves: what left can be proved even if this node
	// stops in the next instant.
	if err := s.o.Ledger.Disclose(ctx, feed, to, page.Items); err != nil {
		return err
	}
	st.SetDeadline(s.o.Now().Add(ackWithin))
	return out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}})
}

// acknowledgeAll reads the receiver's answers until the stream ends or one does
// not hold: first the receipts that it repeats, of batches before start, then
// its answers to the pages sent, in their order.
func (s *Syncer) acknowledgeAll(ctx context.Context, to name.Council, feed *ledger.Feed, start uint64, st wire.Stream, in *wirepb.Reader, sent chan *ledger.Page) error {
	for late := 0; ; {
		f, err := in.Read()
		if err != nil {
			return err
		}
		if a := f.GetAck(); len(a.GetReceipt()) > 0 && a.GetCursor() <= start && late < maxLate {
			late++
			if err := s.acknowledgeLate(ctx, to, feed, a); err != nil {
				return err
			}
			continue
		}
		late = maxLate
		select {
		case page := <-sent:
			if err := s.acknowledge(ctx, to, feed, page, f.GetAck()); err != nil {
				return err
			}
			if len(sent) == 0 {
				st.SetDeadline(time.Time{})
			}
		default:
			return fmt.Errorf("acknowledgement: %w: of nothing that was sent", judge.ErrLied)
		}
	}
}

// acknowledge checks and keeps what a receiver answered to a page.
func (s *Syncer) acknowledge(ctx context.Context, to name.Council, feed *ledger.Feed, page *ledger.Page, a *wirepb.Ack) error {
	if a == nil {
		return errors.New("answer is not an acknowledgement")
	}
	m, ok := s.o.Directory.Member(to)
	if !ok {
		return fmt.Errorf("%s has left the directory", to)
	}
	ack := ledger.Ack{Since: page.Since, Cursor: a.GetCursor(), Held: int(min(a.GetHeld(), 1<<40))}
	if ack.Cursor != page.Cursor {
		return fmt.Errorf("acknowledgement: %w: cursor %d, sent %d", judge.ErrLied, ack.Cursor, page.Cursor)
	}
	if len(a.GetReceipt()) > 0 {
		r, err := s.receipt(m, feed, a)
		if err != nil {
			return err
		}
		if err := answers(r, page); err != nil {
			return err
		}
		ack.Receipt, ack.Refused = a.GetReceipt(), r.Refused
		if r.Refused > 0 {
			s.o.Log.Warn("a partner refused some of what we sent", "partner", to, "agreement", feed.Agreement, "items", r.Refused)
		}
	} else if feed.Agreement != "" && len(page.Items) > 0 {
		return fmt.Errorf("acknowledgement: %w: without a receipt", judge.ErrLied)
	}
	if err := s.o.Ledger.Acknowledge(ctx, feed, to, ack); err != nil {
		return err
	}
	s.mu.Lock()
	s.told[to] = max(s.told[to], page.Checkpoint.Size)
	s.mu.Unlock()
	if len(a.GetCosignature()) == 0 {
		return nil
	}
	signed, err := cosigned(page, a.GetCosignature(), m)
	if err != nil {
		return fmt.Errorf("cosignature: %w: %w", judge.ErrLied, err)
	}
	return s.o.Ledger.Cosign(ctx, to, page.Checkpoint, signed)
}

// maxLate is the most receipts that a receiver may repeat.
const maxLate = 8

// acknowledgeLate keeps a receipt for a batch of an earlier stream, whose page
// is forgotten by now: it must be about a checkpoint that our log had.
func (s *Syncer) acknowledgeLate(ctx context.Context, to name.Council, feed *ledger.Feed, a *wirepb.Ack) error {
	m, ok := s.o.Directory.Member(to)
	if !ok {
		return fmt.Errorf("%s has left the directory", to)
	}
	r, err := s.receipt(m, feed, a)
	if err != nil {
		return err
	}
	if r.Cursor != a.GetCursor() || r.Since > r.Cursor || r.Cursor > r.Size {
		return fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	err = s.o.Ledger.View(func(v *ledger.View) error {
		if cp, _ := v.Checkpoint(); r.Size > cp.Size {
			return fmt.Errorf("receipt: %w: our log never had %d entries", judge.ErrLied, r.Size)
		}
		tree, err := tlog.OpenTree(r.Size, v)
		if err == nil && tree.Root().String() != r.Root {
			err = fmt.Errorf("receipt: %w: our log never had that root", judge.ErrLied)
		}
		return err
	})
	if err != nil {
		return err
	}
	// Of the page only what is withdrawn still matters: a withdrawal that it
	// says nothing of stays outstanding.
	var silent bool
	err = s.o.Ledger.View(func(v *ledger.View) error {
		return v.Withdrawals(feed, r.Since, r.Cursor, func(i uint64, _ name.Record) bool {
			silent = !slices.Contains(r.Deleted, i) && !slices.Contains(r.RefusedEntries, i)
			return !silent
		})
	})
	if err != nil || silent {
		return err
	}
	return s.o.Ledger.Acknowledge(ctx, feed, to, ledger.Ack{Since: r.Since, Cursor: r.Cursor, Receipt: a.GetReceipt(), Late: true})
}

// receipt reads the receipt in an answer: it must be the receiver's own, signed
// by it, and about this feed.
func (s *Syncer) receipt(m directory.Member, feed *ledger.Feed, a *wirepb.Ack) (*ledger.Receipt, error) {
	if len(a.GetReceipt()) > maxReceipt {
		return nil, fmt.Errorf("receipt: %w: longer than %d bytes", judge.ErrLied, maxReceipt)
	}
	_, ev, rule, err := s.o.Judge.Event(m.Council, a.GetReceipt(), directory.AnyPlace)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if rule != "" || ev.Kind != ledger.KindReceipt {
		return nil, fmt.Errorf("receipt: %w: %s", judge.ErrLied, rule)
	}
	r, err := ledger.ReceiptOf(ev)
	if err != nil || r.Agreement != feed.Agreement || r.From != s.o.Self {
		return nil, fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	return r, nil
}

// answers reports what is wrong with a receipt as the answer to a page: it
// must be about the page's checkpoint and cursor, name only items of the page,
// and say of every withdrawal in it that it was carried out or refused.
func answers(r *ledger.Receipt, page *ledger.Page) error {
	if r.Since != page.Since || r.Cursor != page.Cursor || r.Size != page.Checkpoint.Size || r.Root != page.Checkpoint.Root.String() {
		return fmt.Errorf("receipt: %w: it is for something else", judge.ErrLied)
	}
	sent := make(map[uint64]bool, len(page.Items)) // to whether it is a withdrawal not yet answered
	for _, it := range page.Items {
		sent[it.Index] = bytes.IndexByte(it.Token, '~') < 0
	}
	for _, list := range [][]uint64{r.Held, r.Deleted, r.RefusedEntries} {
		for _, i := range list {
			if _, ok := sent[i]; !ok {
				return fmt.Errorf("receipt: %w: names entry %d, which was not sent", judge.ErrLied, i)
			}
		}
	}
	for _, list := range [][]uint64{r.Deleted, r.RefusedEntries} {
		for _, i := range list {
			sent[i] = false
		}
	}
	for i, open := range sent {
		if open {
			return fmt.Errorf("receipt: %w: says nothing of withdrawal %d", judge.ErrLied, i)
		}
	}
	return nil
}

// maxReceipt is the longest receipt kept, in bytes: that of a page of which
// every item was refused has a third of it.
const maxReceipt = 1 << 20

// cosigned returns the page's checkpoint note with the receiver's cosignature,
// which it verifies.
func cosigned(page *ledger.Page, line []byte, m directory.Member) ([]byte, error) {
	w, err := m.WitnessVerifier()
	if err != nil {
		return nil, err
	}
	return tlog.AddCosignature(page.Note, line, w)
}
