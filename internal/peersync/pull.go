package peersync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/telemetry"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// silence is how long a receiver waits for a sender that beats every
// beatEvery.
const silence = 3 * time.Minute

// refused is a sender's refusal of the whole feed.
type refused struct{ code, reason string }

func (r *refused) Error() string { return "refused (" + r.code + "): " + r.reason }

// memberTurn is how long a footprint's records are had from one member, before the
// next is asked: one that shows an old checkpoint is found out then.
const memberTurn = 10 * time.Minute

// errTurn ends a stream of a member whose turn is over.
var errTurn = errors.New("the next member is asked")

// pull copies one feed, from the council whose it is or, what a footprint sends,
// from one of its members after the other: see pullFrom.
func (s *Syncer) pull(ctx context.Context, j *job) (progress bool, err error) {
	if !s.o.Footprints.Is(j.key.council) {
		return s.pullFrom(ctx, j, j.key.council)
	}
	err = s.eachMember(ctx, j.key.council, j.turns, func(m name.Council) error {
		more, err := s.pullFrom(ctx, j, m)
		progress = progress || more
		if errors.Is(err, errTurn) {
			return nil
		}
		return err
	})
	j.turns++
	return progress, err
}

// pullFrom copies one feed until the stream breaks, the sender refuses or lies, or
// ctx ends. It reports whether anything was kept. by is who sends: the council
// whose log it is, or a member of the footprint whose log it is. A member is
// believed no more than what it shows is proved.
func (s *Syncer) pullFrom(ctx context.Context, p *job, by name.Council) (progress bool, err error) {
	if err := errors.Join(s.o.Directory.Exchange(s.o.Now()), s.o.Ledger.Allowed(p.key.council)); err != nil {
		return false, err
	}
	if err := s.o.Ledger.Room(); errors.Is(err, ledger.ErrFull) {
		return false, errors.Join(err, s.tellFull(ctx, by))
	}
	if err := s.roomFor(p.key, by); err != nil {
		return false, err
	}
	src, err := s.o.Ledger.OpenSource(ctx, p.key.council, p.key.agreement)
	if err != nil {
		return false, err
	}
	c, hello, err := s.caseOf(ctx, src)
	if err != nil {
		return false, err
	}
	if !s.o.Quota.Partner(by) {
		if most := uint32(s.o.Quota.Most(by, quota.Fetched)); hello.Frame == 0 || most < hello.Frame {
			hello.Frame = most
		}
	}
	defer func() {
		if errors.Is(err, judge.ErrLied) {
			err = errors.Join(err, s.keepLie(ctx, p, by, err))
		}
	}()
	st, err := s.o.Network.Open(ctx, by, wirepb.Protocol)
	if err != nil {
		return false, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()

	st.SetDeadline(s.o.Now().Add(helloWithin))
	in, out := wirepb.NewReader(st), wirepb.NewWriter(st)
	if err := out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Hello{Hello: hello}}); err != nil {
		return false, err
	}
	// What we answered last may not have got through.
	if err := s.repeat(src, hello, out); err != nil {
		return false, err
	}
	s.mu.Lock()
	p.connected = true
	s.mu.Unlock()
	shared, began := by != p.key.council, s.o.Now()
	defer p.counts.Wait()
	for {
		st.SetDeadline(s.o.Now().Add(silence))
		f, err := in.Read()
		if errors.Is(err, wirepb.ErrFrame) {
			err = fmt.Errorf("%w: %w", judge.ErrLied, err)
		}
		if err != nil {
			st.Reset()
			return progress, fmt.Errorf("read batch: %w", err)
		}
		if r := f.GetRefuse(); r != nil {
			switch code := r.GetCode(); {
			case code == codeRollback && !shared:
				return progress, s.rolledBack(ctx, by, r.GetCheckpoints())
			case code == codeQuarantine:
				s.accused(ctx, by, r.GetReason(), r.GetCheckpoints())
			case code == codeInstance:
				select {
				case s.doubled <- by:
				default:
				}
			}
			return progress, &refused{limit(r.GetCode(), 64), limit(r.GetReason(), 300)}
		}
		b := f.GetBatch()
		if b == nil {
			st.Reset()
			return progress, fmt.Errorf("frame: %w: neither batch nor refusal", judge.ErrLied)
		}
		ack, d, err := s.receiveInTurn(ctx, c, p, by, b)
		if errors.Is(err, ledger.ErrFull) {
			return progress, errors.Join(err, out.Write(full()), st.CloseWrite())
		}
		if err != nil {
			st.Reset()
			return progress, err
		}
		progress = true
		if p.key.agreement == "" {
			// Before the answer: it may not get through, and what is on disk
			// does not come again.
			for _, e := range d.Events {
				s.o.Agreements.Notice(p.key.council, e.Index, e.Token)
			}
		}
		st.SetDeadline(s.o.Now().Add(helloWithin))
		if err := out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Ack{Ack: ack}}); err != nil {
			return progress, err
		}
		s.went(p, true, b.GetLive())
		if shared && s.o.Now().Sub(began) >= memberTurn {
			return progress, errTurn
		}
		if err := s.roomFor(p.key, by); err != nil {
			st.Reset()
			return progress, err
		}
	}
}

// repeat sends the last receipts given for a source again, for what lies before what a
// hello asks for, each behind those that it follows on. The rest is sent once more, as after
// a loss, and answered anew.
func (s *Syncer) repeat(src *ledger.Source, hello *wirepb.Hello, out *wirepb.Writer) error {
	type given struct {
		since uint64
		ack   *wirepb.Ack
	}
	if src.Agreement == "" {
		return nil // of notices none are given; v0.1.0 gave such that nobody can read
	}
	var all []given
	for _, i := range src.Receipts {
		err := s.o.Ledger.View(func(v *ledger.View) error {
			ev, jws, err := v.Event(i)
			if err != nil {
				return err
			}
			if t, _, err := record.ParseEvent(jws); err != nil || s.lapsed(t.KeyID()) {
				return err
			}
			r, err := event.ParseReceipt(ev.Body)
			if err == nil && before(hello, r) {
				all = append(all, given{r.Since, &wirepb.Ack{Cursor: r.Cursor, Receipt: jws}})
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b given) int { return cmp.Compare(a.since, b.since) })
	for _, g := range all {
		if err := out.Write(&wirepb.Frame{Kind: &wirepb.Frame_Ack{Ack: g.ack}}); err != nil {
			return err
		}
	}
	return nil
}

// lapsed reports whether a key of ours is revoked from anywhere on. The other
// side cannot place a receipt in our log, so it believes none that such a key
// has signed.
func (s *Syncer) lapsed(kid string) bool {
	m, ok := s.o.Directory.Member(s.o.Self)
	if !ok {
		return false
	}
	_, err := m.RecordKeyAt(kid, directory.AnyPlace)
	return errors.Is(err, directory.ErrRevoked)
}

// keepLie keeps what no honest sender can have sent, so that status shows it after
// the stream is gone.
func (s *Syncer) keepLie(ctx context.Context, p *job, by name.Council, lie error) error {
	src, err := s.o.Ledger.Source(p.key.council, p.key.agreement)
	if err != nil {
		return err
	}
	what := "batch: "
	if by != p.key.council {
		what = fmt.Sprintf("batch of %s: ", by)
	}
	r := ledger.Refusal{From: p.key.council, Agreement: p.key.agreement, Index: src.Cursor, Rule: what + lie.Error(), At: s.o.Now().UTC()}
	return s.o.Ledger.Refuse(ctx, src, r)
}

// cameWith says what a checkpoint came with.
func cameWith(a name.Agreement) string {
	if a == "" {
		return "notices"
	}
	return "records under " + string(a)
}

// errOtherText: begin again, under the text that is in force now.
var errOtherText = errors.New("another version of the agreement has come into force")

// limit shortens a text from outside for logs and status pages.
func limit(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// receive checks a batch, keeps it and makes the answer.
func (s *Syncer) receive(ctx context.Context, c *judge.Case, p *job, by name.Council, b *wirepb.Batch) (_ *wirepb.Ack, _ *ledger.Delivery, err error) {
	ctx, span := telemetry.Begin(ctx, "page/receive", by, p.key.agreement)
	defer func() { span.End(failed(err), len(b.GetItems())) }()
	src, err := s.o.Ledger.Source(p.key.council, p.key.agreement)
	if err != nil {
		return nil, nil, err
	}
	// Asked again for every batch, since it goes by the clock.
	if err := s.o.Directory.Exchange(s.o.Now()); err != nil {
		return nil, nil, err
	}
	if was := c.Agreement(); was != nil {
		// Asked again for every batch: what is agreed may have changed since
		// the stream began, and we may know of it before the sender does.
		doc, why := s.o.Agreements.InForce(was.Name, s.o.Now())
		if doc == nil && b.GetWithdrawals() {
			doc = s.o.Agreements.Suspended(was.Name, s.o.Now())
		}
		if doc == nil {
			return nil, nil, errors.New(why)
		}
		text, err := s.textOf(doc)
		if err != nil {
			return nil, nil, err
		}
		if doc.Digest() != was.Digest() || text != src.Digest {
			return nil, nil, errOtherText
		}
	}
	d, err := delivered(ctx, c, src, b, p.key, by)
	if err != nil {
		return nil, nil, err
	}
	commitments, err := s.committed(p.key, d)
	if err != nil {
		return nil, nil, errors.Join(err, s.meet(ctx, d))
	}
	s.sift(p.key, d)
	if by != p.key.council {
		if err := s.gone(ctx, src, by, b, d); err != nil {
			return nil, nil, err
		}
		// Of the whole a member knows no more than we do.
		d.Offered = src.Records + s.added(src, d)
	} else if len(b.GetGone()) > 0 {
		if err := s.meet(ctx, d); err != nil {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("batch: %w: a council withdraws by events of its own", judge.ErrLied)
	}
	receipt, err := s.o.Ledger.Receive(ctx, src, d)
	if errors.Is(err, ledger.ErrUnplaced) && d.Met != nil {
		// Another stream of the council overtook this one in that moment: its log is
		// asked how the two hang together.
		if d, err = delivered(ctx, c, src, b, p.key, by); err != nil {
			return nil, nil, err
		}
		if commitments, err = s.committed(p.key, d); err != nil {
			return nil, nil, err
		}
		s.sift(p.key, d)
		receipt, err = s.o.Ledger.Receive(ctx, src, d)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := s.compare(ctx, commitments); err != nil {
		return nil, nil, err
	}
	if b.GetCount() && p.key.agreement != "" {
		s.countCopy(ctx, p, src, d)
	}
	if p.key.agreement == "" {
		s.o.Quota.Use(p.key.council, quota.Notices, len(b.GetItems()))
		s.o.Quota.Use(p.key.council, quota.Kept, len(d.Events))
	}
	for _, r := range d.Refused {
		s.o.Log.Warn("refused part of a delivery", "from", r.From, "agreement", r.Agreement, "entry", r.Index, "rule", r.Rule, "pointer", r.Pointer)
	}
	if err := s.o.Ledger.Accused(ctx, by, nil); err != nil {
		return nil, nil, err
	}
	ack := &wirepb.Ack{Cursor: d.Cursor, Receipt: receipt}
	if now, err := s.o.Ledger.Source(p.key.council, p.key.agreement); err == nil {
		ack.Held = uint64(max(0, now.Records))
	}
	// Written down as cosigned before it is, and not if another stream has gone on
	// meanwhile (c2sp.org/tlog-witness).
	if by == p.key.council && s.o.Ledger.Known(by).MayCosign(d.Checkpoint) {
		if ack.Cosignature, _, err = tlog.Cosign(d.Checkpoint, s.o.Keys.Log.CosignerAt(s.o.Now)); err != nil {
			return nil, nil, fmt.Errorf("cosign checkpoint: %w", err)
		}
	}
	return ack, d, nil
}

// meet keeps the checkpoint that something came with which is refused.
func (s *Syncer) meet(ctx context.Context, d *ledger.Delivery) error {
	if d.Met == nil {
		return nil
	}
	return s.o.Ledger.Meet(ctx, *d.Met, nil)
}

// delivered returns what of a batch may be kept.
func delivered(ctx context.Context, c *judge.Case, src *ledger.Source, b *wirepb.Batch, k jobKey, by name.Council) (*ledger.Delivery, error) {
	d, err := c.Delivery(ctx, src, pageOf(b, k, by))
	if err == nil && k.agreement != "" {
		d.TookOver, d.AnyOver = councilsIn(b.GetTakenOver()), !b.GetFormerly()
	}
	return d, err
}

// councilsIn reads names of councils as they stand in Hello.keeps; what is none is passed over.
func councilsIn(s string) (out []name.Council) {
	for _, f := range strings.Fields(s) {
		if c, err := name.ParseCouncil(f); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// inKeeps writes names of councils as they stand in Hello.keeps, as many as have room.
func inKeeps(list []name.Council) string {
	var b strings.Builder
	for _, c := range list {
		if b.Len()+1+len(c) > wirepb.MaxText {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(c))
	}
	return b.String()
}

// pageOf returns what a batch of a copy says.
func pageOf(b *wirepb.Batch, k jobKey, by name.Council) judge.Page {
	p := judge.Page{
		Told: judge.Told{
			Checkpoint: b.GetCheckpoint(), Consistency: b.GetConsistency(), From: b.GetConsistencyFrom(),
			By: by, MetWith: cameWith(k.agreement), Cosign: by == k.council,
		},
		Inclusion: b.GetInclusion(), Cursor: b.GetCursor(), Offered: b.GetRecords(), Live: b.GetLive(),
		Withdrawals: b.GetWithdrawals(), Ahead: b.GetAhead(), AheadFrom: b.GetAheadFrom(), Table: b.GetTable(), Items: make([]judge.Item, len(b.GetItems())),
	}
	for i, it := range b.GetItems() {
		p.Items[i] = judge.Item{Index: it.GetIndex(), Event: it.GetEvent(), Record: it.GetRecord(), Former: name.Record(it.GetFormer())}
	}
	return p
}

// added returns by how many records a delivery makes a copy longer.
func (s *Syncer) added(src *ledger.Source, d *ledger.Delivery) (n int) {
	held := func(r name.Record) bool {
		last, err := s.o.Ledger.Last(src, r)
		return err == nil && last.Held
	}
	for _, p := range d.Puts {
		if !held(p.Record) {
			n++
		}
	}
	for _, w := range d.Withdrawn {
		if held(w.Record) {
			n--
		}
	}
	return n
}

// textOf names what the copy under an agreement is of: its text and, of a footprint,
// how many members are known to have signed it. A member that signs later lets its
// earlier records out, so that the footprint's log is read from the beginning once
// more. Who has signed is what the members themselves have told us, signed.
func (s *Syncer) textOf(doc *agreement.Agreement) (string, error) {
	if !s.o.Footprints.Is(doc.From) {
		return doc.Digest().String(), nil
	}
	signers, err := s.o.Footprints.Signers(doc.From, doc.Ref())
	return fmt.Sprintf("%s/%d", doc.Digest(), len(signers)), err
}

// onwardFrame is how many bytes of one frame are asked for where what comes may be passed
// on: what is logged of that is in the transaction of the page.
const onwardFrame = 1 << 20

// caseOf gathers what batches of a source are judged by, and the hello that asks
// for them.
func (s *Syncer) caseOf(ctx context.Context, src *ledger.Source) (*judge.Case, *wirepb.Hello, error) {
	if _, ok := s.o.Directory.Member(src.From); !ok {
		return nil, nil, wire.ErrNotMember
	}
	known := s.o.Ledger.Known(src.From)
	h := &wirepb.Hello{Version: wirepb.Version, Feed: noticesFeed, Cursor: src.Cursor, TreeSize: known.Size, Checkpoint: known.Note, Signed: s.o.Signed, Instance: s.o.Instance.bytes()}
	if src.Agreement == "" {
		c, err := s.o.Judge.Notices(src.From)
		return c, h, err
	}
	doc, why := s.o.Agreements.InForce(src.Agreement, s.o.Now())
	if doc == nil {
		doc = s.o.Agreements.Suspended(src.Agreement, s.o.Now())
	}
	if doc == nil {
		return nil, nil, errors.New(why)
	}
	if _, err := s.o.Ledger.StandardOf(doc.Standard); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", judge.ErrStandardMissing, doc.Standard)
	}
	c, err := s.o.Judge.Under(doc)
	if err != nil {
		return nil, nil, err
	}
	d := doc.Digest()
	// What may be passed on has to carry its council's own signature.
	if doc.Onward.Permits() {
		h.Frame = onwardFrame
	}
	h.Signed = h.Signed || doc.Onward.Permits() || doc.Origin != ""
	h.Feed, h.AgreementDigest, h.Withdrawn = string(doc.Name), d[:], src.WithdrawnTo()
	h.Ahead = !s.o.Footprints.Is(doc.From)
	h.Keeps = inKeeps(s.preceding(doc)) // with others it is another job
	text, err := s.textOf(doc)
	if err != nil {
		return nil, nil, err
	}
	if _, n, ok := strings.Cut(text, "/"); ok {
		signers, _ := strconv.Atoi(n)
		h.Signers = uint32(signers)
	}
	switch {
	case text == src.Digest:
		h.AheadFrom, h.AheadTo = src.AheadFrom, src.AheadTo
		return c, h, nil
	case strings.HasPrefix(src.Digest, d.String()+"/") && !src.Ended, doc.Way().Moves && !src.Ended:
		// What was taken over stays, also when a later text does not give it again.
		err = s.o.Ledger.Rewind(ctx, src, text)
	default:
		// The first copy; or another text of the agreement, which has an index
		// of its own, so that the copy starts over.
		err = s.o.Ledger.Restart(ctx, src, text)
	}
	h.Cursor, h.Withdrawn = 0, 0
	return c, h, err
}

// preceding returns the councils whose successor is the sender of an agreement, by the
// directory, and of which something is held here.
func (s *Syncer) preceding(doc *agreement.Agreement) (out []name.Council) {
	for _, src := range s.o.Ledger.Sources() {
		if src.Agreement == "" || src.Ended || slices.Contains(out, src.From) {
			continue
		}
		if m, ok := s.o.Directory.Member(src.From); ok && slices.Contains(m.Successors, doc.From) {
			out = append(out, src.From)
		}
	}
	return out
}
