package peersync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/telemetry"
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
	window      = 2                // batches sent and not yet acknowledged, beside one that went ahead
	leastFrame  = 64 << 10         // pages are made no smaller than this for any reader
)

// Codes of a refusal. The reason beside it is for people.
const (
	codeVersion   = "protocol-version"
	codeNoAgree   = "not-agreed"     // no such agreement with you; also said when there is one with somebody else
	codeNotNow    = "not-in-force"   // with the reason in words
	codeOther     = "other-version"  // another text of the agreement is in force
	codeNotReady  = "not-ready"      // the index is being made; come back soon
	codeDirectory = "directory"      // nobody has vouched for our directory lately
	codeRollback  = "rollback"       // you have seen more of our log than there is, or another
	codeBeyond    = "beyond"         // you ask from beyond the end of what you have seen
	codeHalted    = "halted"         // our own log may be an old copy: nothing is signed in it now
	codeSecond    = "second-opinion" // two evaluators differ on what leaves, and nothing does
	// codeQuarantine: we have stopped all exchange with you, with the evidence.
	codeQuarantine = "quarantine"
)

// twiceWords is what both processes of a council are told.
const twiceWords = "another node speaks with your key"

// secondWords is what a partner is told when two evaluators differ.
const secondWords = "a second opinion on what the agreement lets out differs, and nothing leaves under it"

// serve answers one stream: it refuses, or sends the feed until the stream
// ends, the agreement does, or ctx does.
func (s *Syncer) serve(ctx context.Context, to name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	log := s.o.Log.With("to", to)
	in, out := wirepb.NewReader(st), wirepb.NewWriter(st)
	st.SetDeadline(s.o.Now().Add(helloWithin))
	begun := s.instances.begun()
	f, err := in.Read()
	hello := f.GetHello()
	if err == nil && f.GetRefuse().GetCode() == codeFull {
		s.heardFull(to, true)
		return
	}
	if err != nil || hello == nil {
		log.Warn("stream refused", "because", "no hello")
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	id := instanceOf(hello.GetInstance())
	s.instances.heard(to, id, begun, 1)
	defer s.instances.heard(to, id, begun, -1)
	select {
	case <-s.settled: // we know what others hold of our log
	case <-ctx.Done():
		return
	}
	done, err := s.o.Quota.Turn(ctx, to)
	if err != nil {
		return
	}
	feed, refusal := s.permit(ctx, to, hello)
	done()
	if refusal != nil {
		log.Info("stream refused", "feed", hello.GetFeed(), "because", refusal.GetCode())
		s.refused(to, hello, refusal.GetCode())
		st.SetDeadline(s.o.Now().Add(helloWithin))
		out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: refusal}})
		st.CloseWrite()
		return
	}

	of := feed.of()
	k := serveKey{to, of.agreement}
	s.mu.Lock()
	s.told[toldKey{to, of.log}] = hello.GetTreeSize()
	s.serving[k]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.serving[k]--
		s.mu.Unlock()
	}()
	if err := s.send(ctx, to, feed, hello, st, in, out); err != nil && ctx.Err() == nil {
		log.Info("sending stopped", "agreement", of.agreement, "because", err.Error())
		if errors.Is(err, errStopServing) {
			st.CloseWrite()
			return
		}
		st.Reset()
	}
}

// refused tells of a refusal that has to do with the asker, and not with our node.
func (s *Syncer) refused(to name.Council, h *wirepb.Hello, code string) {
	if s.o.Refused == nil {
		return
	}
	var of name.Agreement
	switch code {
	case codeNotNow, codeOther: // it is with the asker
		of, _ = name.ParseAgreement(h.GetFeed())
	case codeNoAgree, codeQuarantine, codeDirectory:
	default:
		return
	}
	s.o.Refused(to, false, code, of)
}

// permit finds the feed that a hello asks for, or says why it may not have it. Of an
// agreement that is suspended it gives the withdrawals alone. It says the same of an agreement that does not exist and of one with others.
func (s *Syncer) permit(ctx context.Context, to name.Council, h *wirepb.Hello) (feed, *wirepb.Refuse) {
	refuse := func(code, reason string) (feed, *wirepb.Refuse) {
		return nil, &wirepb.Refuse{Code: code, Reason: reason}
	}
	if h.GetVersion() < wirepb.Version { // a later one has only more to say
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
	if s.instances.isTwice(to) {
		return refuse(codeInstance, twiceWords)
	}
	suspended := false
	// Asked last: how long our log is we tell only those who may read of it.
	rollback := func(f *ledger.Feed) (feed, *wirepb.Refuse) {
		size, err := s.o.Ledger.Shown()
		if err != nil {
			return refuse(codeNotNow, "the log cannot be read now")
		}
		proven := s.o.Ledger.Contradicts(h.GetCheckpoint())
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
		if halted := s.o.Ledger.Halted(); halted != nil {
			return refuse(codeHalted, haltedWords)
		}
		if max(h.GetCursor(), h.GetWithdrawn()) > size {
			return refuse(codeBeyond, "you ask from beyond the end of our log")
		}
		if from, upTo := h.GetAheadFrom(), h.GetAheadTo(); from > 0 && (from <= h.GetCursor() || from > upTo || upTo > size) {
			return refuse(codeBeyond, "what went ahead to you is not beyond your copy, or beyond the end of our log")
		}
		most := 0
		if n := h.GetFrame(); n > 0 {
			most = int(max(n, leastFrame)) // each page is logged, so that nobody has us make them of one record
		}
		var keeps []name.Council
		if f.Agreement != "" {
			keeps = councilsIn(h.GetKeeps())
		}
		return &ownFeed{s: s, f: f, to: to, suspended: suspended, most: most, begun: h.GetAheadFrom(), keeps: keeps}, nil
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
	if doc == nil {
		doc = s.o.Agreements.Suspended(a, s.o.Now())
		suspended = doc != nil
	}
	if doc == nil || !slices.Contains(doc.To, to) || doc.From != s.o.Self && !s.o.Footprints.Is(doc.From) {
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
	if s.o.Ledger.Disagreement(doc.Digest()) != nil && !suspended {
		return refuse(codeSecond, secondWords)
	}
	if doc.From != s.o.Self {
		if doc.Way().ByHand {
			return refuse(codeNoAgree, "a footprint lets no single records out")
		}
		if doc.Most.Bounds() {
			return refuse(codeNoAgree, "the members of a footprint do not count together how much leaves")
		}
		if s.o.Ledger.Halted() != nil {
			return refuse(codeHalted, haltedWords)
		}
		return s.footprintFeed(to, doc, h, suspended)
	}
	// While its records are still being matched it gives what is matched so far.
	f, err := s.o.Ledger.Feed(a, doc.Digest())
	if err != nil {
		return refuse(codeNotReady, "the agreement's index is being made")
	}
	// What is passed on travels while the agreement that it came under is in force; else what
	// has to come back comes back.
	suspended = suspended || s.stopped(doc)
	for _, g := range s.o.Ledger.FeedsOf(a) {
		// Until the feed of the text before is closed this one lacks
		// withdrawals, some at indexes that the reader would have passed.
		if g.Version < f.Version && !g.Closed() {
			return refuse(codeNotReady, "the agreement's index is being made")
		}
	}
	return rollback(f)
}

// stopped reports whether an agreement is of records that came to us under another, and that
// one is not in force now; or one before it is not, of which who passes on to us gives
// withdrawals alone.
func (s *Syncer) stopped(doc *agreement.Agreement) bool {
	if doc == nil || doc.Origin == "" {
		return false
	}
	origin, _ := s.o.Agreements.InForce(doc.Origin, s.o.Now())
	if origin == nil || origin.Origin == "" {
		return origin == nil
	}
	src, err := s.o.Ledger.Source(origin.From, origin.Name)
	return err == nil && src.Stopped
}

// party reports whether a council is named as receiver of an agreement that we, or
// a footprint that we keep, send under.
func (s *Syncer) party(a name.Agreement, c name.Council) bool {
	for _, f := range s.o.Ledger.FeedsOf(a) {
		if slices.Contains(f.To, c) {
			return true
		}
	}
	for _, f := range s.o.Footprints.Open() {
		for _, st := range s.o.Agreements.Texts(a, s.o.Now()) {
			if st.Agreement.From == f.Name() && slices.Contains(st.Agreement.To, c) {
				return true
			}
		}
	}
	return false
}

var errStopServing = errors.New("it is no longer allowed")

// startOf is where a receiver's stream begins.
func startOf(of feedOf, h *wirepb.Hello) uint64 {
	if of.suspended {
		return max(h.GetCursor(), h.GetWithdrawn())
	}
	return h.GetCursor()
}

// send sends a feed from where the receiver is, then what is new as it comes.
func (s *Syncer) send(ctx context.Context, to name.Council, f feed, h *wirepb.Hello, st wire.Stream, in *wirepb.Reader, out *wirepb.Writer) error {
	acks := make(chan error, 1)
	under := newUnderWay()
	go func() { acks <- s.acknowledgeAll(ctx, to, f, h, st, in, under) }()

	of, id := f.of(), instanceOf(h.GetInstance())
	cursor, seen := startOf(of, h), h.GetTreeSize()
	takenBack := max(h.GetCursor(), h.GetWithdrawn()) // how far withdrawals went by themselves
	var first lane                                    // what goes ahead of the rest, from..to
	if from := h.GetAheadFrom(); from > 0 && h.GetAhead() && f.split(from) {
		first = lane{from: from, to: h.GetAheadTo()}
	}
	var last time.Time // when a page was last sent
	beat := time.NewTimer(0)
	defer beat.Stop()
	defer f.stop()
	due, live := true, true // live: the last page was
	grew := false           // nothing happened since but that the log did
	rest := func(changed, wanted, awake <-chan struct{}) error {
		grew = false
		select {
		case <-changed:
			grew = true
		case <-wanted:
		case <-awake:
		case <-under.passed:
		case <-beat.C:
			due = f.size() > seen || s.o.Now().Sub(last) >= aliveEvery // counted sees whether it is to be counted
			beat.Reset(of.beat)
		case err := <-acks:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	for {
		changed, wanted, awake := f.changed(), f.countWanted(to), s.instances.awake()
		if refusal := s.over(to, id, &of); refusal != nil {
			out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: refusal}})
			return fmt.Errorf("%w: %s", errStopServing, refusal.GetReason())
		}
		// The log grows for everybody, and mostly not for this feed.
		if grew && live && first.from == 0 && f.idle(cursor) {
			if err := rest(changed, wanted, awake); err != nil {
				return err
			}
			continue
		}
		// What the partner has acknowledged on another stream is no longer than the
		// log that the page is now read from.
		s.mu.Lock()
		from := max(seen, s.told[toldKey{to, of.log}])
		s.mu.Unlock()
		page, err := first.next(f, under)
		skipped := first.rest // what is new was not asked for, since the rest has its turn
		if err == nil && page == nil {
			first.rest = false
			page, err = f.counted(ctx, to, cursor)
		}
		if err == nil && !page.ahead && page.Most && page.empty() {
			// What is beyond the bound waits; what is taken back does not.
			page.counts(false)
			if page, err = f.withdrawals(max(cursor, takenBack)); err == nil {
				page.Most, page.Live = true, false
			}
		}
		if err == nil && len(page.Damaged) > 0 && s.o.Refused != nil {
			s.o.Refused(to, true, "withheld", of.agreement)
		}
		if err == nil && h.GetSigned() {
			err = f.sign(ctx, page)
		}
		if err != nil {
			return err
		}
		count := page.sent != nil && page.ends()
		joins := !page.Suspended && first.from > 0 && page.Cursor == first.from
		if !page.empty() || page.ahead || joins || (due || count || page.Live && !live) && page.Checkpoint.Size > 0 {
			select {
			case under.place(page) <- struct{}{}:
				under.pages <- page
			case err := <-acks:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
			// It may have waited for answers to others.
			if refusal := s.over(to, id, &of); refusal != nil {
				out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: refusal}})
				return fmt.Errorf("%w: %s", errStopServing, refusal.GetReason())
			}
			err := s.sendPage(ctx, to, f, page, from, count, st, out)
			if errors.Is(err, ledger.ErrDisagreed) {
				out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Refuse{Refuse: &wirepb.Refuse{Code: codeSecond, Reason: secondWords}}})
				return fmt.Errorf("%w: %w", errStopServing, err)
			}
			if err != nil {
				return err
			}
			page.counts(count)
			switch {
			case page.ahead:
				first.to, first.rest = page.Cursor, true
			case page.Suspended && page.Most:
				takenBack = page.Cursor
			case joins:
				cursor, first = first.to, lane{}
				f.split(0)
			default:
				cursor = page.Cursor
				if size := page.Checkpoint.Size; first.from == 0 && h.GetAhead() && !page.Live && cursor < size && f.split(size) {
					first = lane{from: size, to: size}
				}
			}
			seen, due, live, last = page.Checkpoint.Size, false, page.Live, s.o.Now()
			beat.Reset(of.beat)
			if !page.Live && !(page.Suspended && page.Most) {
				continue // there is more, or what there is of it is still being matched
			}
		} else {
			page.counts(false)
		}
		if skipped {
			continue
		}
		if page.Live {
			f.follow(to)
		}
		if err := rest(changed, wanted, awake); err != nil {
			return err
		}
	}
}

// A lane is what goes ahead of the rest of a feed: what is new while much of before is
// still to be sent. It and the rest take turns, so that neither holds up the other.
type lane struct {
	from, to uint64 // of the log: where it begins, and how far it was sent; from is 0 while there is none
	rest     bool   // it is the turn of the rest
}

// next returns the page of the lane that is to be sent next; nil when there is none, it is
// not its turn, or the one before is not yet acknowledged: what is new until then makes one page.
func (l *lane) next(f feed, under *underWay) (*page, error) {
	if l.from == 0 || l.rest || len(under.ahead) > 0 {
		return nil, nil
	}
	p, err := f.ahead(l.to)
	if err != nil || p.empty() && len(p.Damaged) == 0 {
		return nil, err
	}
	return p, nil
}

// An underWay is what was sent and not yet acknowledged. A page that goes ahead takes no
// place of those that do not: over a long line, or while the sender makes the next page, the
// copy would otherwise have one place in the place of two.
type underWay struct {
	pages  chan *page    // in their order; there is room for all that have a place
	copied chan struct{} // a place for each page that does not go ahead
	ahead  chan struct{} // and for the one that does
	passed chan struct{} // tells that it was acknowledged
}

func newUnderWay() *underWay {
	return &underWay{
		pages: make(chan *page, window+1), copied: make(chan struct{}, window),
		ahead: make(chan struct{}, 1), passed: make(chan struct{}, 1),
	}
}

// place is where a page takes a place, before it is sent.
func (u *underWay) place(p *page) chan struct{} {
	if p.ahead {
		return u.ahead
	}
	return u.copied
}

// acknowledged returns the page that the next acknowledgement is of, and gives its place
// free; nil when nothing was sent.
func (u *underWay) acknowledged() *page {
	select {
	case p := <-u.pages:
		<-u.place(p)
		if p.ahead {
			select {
			case u.passed <- struct{}{}:
			default: // it is told already
			}
		}
		return p
	default:
		return nil
	}
}

// over returns the refusal that ends a stream, nil while it may go on. It is asked
// before every batch: an agreement can end between two.
func (s *Syncer) over(to name.Council, id Instance, of *feedOf) *wirepb.Refuse {
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return &wirepb.Refuse{Code: codeDirectory, Reason: err.Error()}
	}
	if r := s.quarantined(to); r != nil {
		return r
	}
	if s.instances.isTwice(to) || s.instances.older(to, id) {
		// If it is there it asks at once, and is heard. Mostly it was started again.
		return &wirepb.Refuse{Code: codeInstance, Reason: twiceWords}
	}
	if s.o.Ledger.Halted() != nil {
		return &wirepb.Refuse{Code: codeHalted, Reason: haltedWords}
	}
	if of.agreement == "" {
		return nil
	}
	doc, why := s.o.Agreements.InForce(of.agreement, s.o.Now())
	if of.suspended && !s.stopped(doc) {
		// Once it is resumed the stream ends, and the next goes on from where the
		// copy is.
		doc, why = s.o.Agreements.Suspended(of.agreement, s.o.Now()), "it is suspended no more"
	}
	if doc == nil || doc != of.text && doc.Digest() != of.digest {
		return &wirepb.Refuse{Code: codeNotNow, Reason: why}
	}
	of.text = doc
	if stopped := s.stopped(doc); stopped && !of.suspended {
		return &wirepb.Refuse{Code: codeNotNow, Reason: "the agreement that the records came under is not in force"}
	}
	if s.o.Ledger.Disagreement(of.digest) != nil && !of.suspended {
		return &wirepb.Refuse{Code: codeSecond, Reason: secondWords}
	}
	return nil
}

func (s *Syncer) sendPage(ctx context.Context, to name.Council, f feed, page *page, from uint64, count bool, st wire.Stream, out *wirepb.Writer) (err error) {
	ctx, span := telemetry.Begin(ctx, "page/send", to, f.of().agreement)
	defer func() { span.End(failed(err), len(page.Items)) }()
	b, err := batchOf(f, page, from)
	if err != nil {
		return err
	}
	b.Count = count
	if err := s.second(ctx, to, f, page); err != nil {
		return err
	}
	// Durable before a byte leaves: what left can be proved even if this node
	// stops in the next instant.
	if !page.empty() {
		if err := f.disclose(ctx, to, page); err != nil {
			return err
		}
	}
	st.SetDeadline(s.o.Now().Add(ackWithin))
	return out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}})
}

// second has what a page holds of records decided again, by an evaluator written apart,
// on the tokens that the batch was made of.
func (s *Syncer) second(ctx context.Context, to name.Council, f feed, page *page) error {
	if !slices.ContainsFunc(page.Items, func(it ledger.PageItem) bool { return it.IsRecord() }) {
		return nil
	}
	of := f.of()
	doc, why := s.o.Agreements.InForce(of.agreement, s.o.Now())
	if doc == nil || doc.Digest() != of.digest || s.stopped(doc) {
		return fmt.Errorf("%w: %s", errStopServing, why) // it ended this moment
	}
	return s.o.Ledger.Second(ctx, doc, of.digest, to, page.Items)
}

// failed is the kind of a failure as a span tells it.
func failed(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, judge.ErrLied):
		return "lied"
	}
	return "failed"
}

// batchOf makes the batch that carries a page to somebody who knows size from of the
// log.
func batchOf(f feed, page *page, from uint64) (*wirepb.Batch, error) {
	b := &wirepb.Batch{
		Checkpoint: page.Note,
		Inclusion:  tlog.JoinHashes(page.Inclusion),
		Cursor:     page.Cursor,
		Records:    uint64(page.Records),
		Live:       page.Live,
		Items:      make([]*wirepb.Item, len(page.Items)),
		Gone:       page.gone,

		Withdrawals: page.Suspended,
		Ahead:       page.ahead,
		AheadFrom:   page.aheadFrom,
		Formerly:    true,
		TakenOver:   inKeeps(page.took),
	}
	if err := pack(b, page.Items); err != nil {
		return nil, err
	}
	for i, was := range page.formers {
		b.Items[i].Former = string(was)
	}
	if from > 0 && from < page.Checkpoint.Size {
		proof, err := f.consistency(from, page.Checkpoint.Size)
		if err != nil {
			return nil, err
		}
		b.Consistency, b.ConsistencyFrom = tlog.JoinHashes(proof), from
	}
	return b, nil
}

// pack puts entries into a batch: events as they are, records packed.
func pack(b *wirepb.Batch, items []ledger.PageItem) error {
	var packer record.Packer
	for i, it := range items {
		b.Items[i] = &wirepb.Item{Index: it.Index}
		if !it.IsRecord() || it.Passed != nil { // what is passed on travels with the event that says so
			b.Items[i].Event = it.Token
		}
		if !it.IsRecord() {
			continue
		}
		t, err := it.Record()
		if err == nil {
			b.Items[i].Record, err = packer.Pack(nil, t)
		}
		if err != nil {
			return fmt.Errorf("pack entry %d: %w", it.Index, err)
		}
	}
	b.Table = packer.Table()
	return nil
}
