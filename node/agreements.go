package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// book keeps the agreements: what our own ledger and those of the others say
// about them, folded into one state. It answers peersync's questions.
type book struct {
	n    *Node
	wake chan struct{} // buffered: something was said

	mu    sync.Mutex // guards what follows
	state *agreement.State
	votes votes
	known map[string]bool // what footprints are remembered to have said: name and entry
}

var agreementKinds = []string{
	agreement.KindProposal, agreement.KindSignature, agreement.KindSuspend, agreement.KindResume, agreement.KindEnd,
}

// openBook reads what was said so far, in the order of each ledger.
func openBook(n *Node) (*book, error) {
	b := &book{n: n, wake: make(chan struct{}, 1), state: agreement.NewState(), votes: votes{}, known: map[string]bool{}}
	err := n.ledger.View(func(v *ledger.View) error {
		var own []uint64
		for _, k := range append(slices.Clone(agreementKinds), KindDecided) {
			v.Events(k, 0, func(i uint64) bool { own = append(own, i); return true })
		}
		slices.Sort(own)
		for _, i := range own {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			if ev.Kind == KindDecided {
				b.decided(ev)
				continue
			}
			b.apply(ev)
		}
		for _, src := range n.ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err != nil {
					return fmt.Errorf("notice of %s: %w: %w", src.From, ledger.ErrDamaged, err)
				}
				b.apply(ev)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read agreements: %w", err)
	}
	return b, nil
}

// apply takes in one event. One that contradicts what is known is passed over,
// as it is by every node that sees it.
func (b *book) apply(ev *record.Event) {
	if !slices.Contains(agreementKinds, ev.Kind) {
		return
	}
	b.mu.Lock()
	err := b.state.Apply(ev.Council, ev.Kind, ev.Body, time.Unix(ev.IssuedAt, 0))
	if errors.Is(err, agreement.ErrNotParty) && b.proposed(ev) {
		err = nil
	}
	b.vote(ev)
	b.count()
	b.mu.Unlock()
	if errors.Is(err, agreement.ErrNotParty) && ev.Kind != agreement.KindProposal {
		// A member of a footprint that is a party says so for the footprint.
		return
	}
	if err != nil {
		b.n.log.Warn("an event about an agreement is passed over", "council", ev.Council, "kind", ev.Kind, "because", err.Error())
	}
}

func (b *book) status(a name.Agreement, now time.Time) (agreement.Status, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Status(a, now)
}

func (b *book) versions(a name.Agreement, now time.Time) []agreement.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.Versions(a, now)
}

// all returns where every agreement stands, by name.
func (b *book) all(now time.Time) (out []agreement.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.Names() {
		if st, ok := b.state.Status(a, now); ok {
			out = append(out, st)
		}
	}
	return out
}

// InForce implements peersync.Agreements.
func (b *book) InForce(a name.Agreement, now time.Time) (*agreement.Agreement, string) {
	st, ok := b.status(a, now)
	if !ok {
		return nil, "no such agreement was proposed"
	}
	if !st.InForce() {
		return nil, st.Why
	}
	return st.Agreement, ""
}

// Inbound implements peersync.Agreements.
func (b *book) Inbound(now time.Time) (out []*agreement.Agreement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.state.InForce(now) {
		// What a footprint sends is fetched from its members; see fetch.
		if slices.Contains(a.To, b.n.cfg.Council) && !b.n.isFootprint(a.From) {
			out = append(out, a)
		}
	}
	return out
}

// Related implements peersync.Agreements.
func (b *book) Related() (out []name.Council) {
	for _, st := range b.all(b.n.now()) {
		if st.Phase != agreement.Ended && st.Agreement.Party(b.n.cfg.Council) {
			out = append(out, st.Agreement.Parties()...)
		}
	}
	// A footprint is talked to by talking to its members.
	out = slices.DeleteFunc(out, b.n.isFootprint)
	for _, r := range b.n.prints.list() {
		out = append(out, r.f.Councils()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Notice implements peersync.Agreements.
func (b *book) Notice(from name.Council, index uint64, jws []byte) {
	_, ev, err := record.ParseEvent(jws)
	if err != nil || ev.Council != from {
		return // it was checked before it was kept
	}
	b.apply(ev)
	if ev.Kind == ledger.KindReceipt {
		if err := b.receipt(from, ev, jws); err != nil {
			b.n.log.Error("keep receipt", "from", from, "error", err.Error())
		}
	}
	b.stir()
}

// receipt takes in a receipt for everything held under an agreement that is
// over.
func (b *book) receipt(from name.Council, ev *record.Event, jws []byte) error {
	r, err := ledger.ReceiptOf(ev)
	if err != nil || r.From != b.n.cfg.Council {
		return err
	}
	now := b.n.now()
	for _, f := range b.n.ledger.Feeds() {
		if f.Agreement != r.Agreement || !slices.Contains(f.To, from) {
			continue
		}
		// A later text may be in force by now, or wait to be: it is not about
		// that one.
		over := slices.ContainsFunc(b.versions(f.Agreement, now), func(st agreement.Status) bool {
			return st.Digest == f.Digest && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded)
		})
		if !over {
			continue
		}
		var p ledger.Partner
		err := b.n.ledger.View(func(v *ledger.View) (err error) {
			p, err = v.Partner(f, from)
			return err
		})
		if err == nil && (p.Held > 0 || p.Cursor < f.End) {
			err = b.n.ledger.Acknowledge(context.Background(), f, from, ledger.Ack{Cursor: f.End, Receipt: jws, Done: true})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receipts takes in again the receipts that were on disk when the node stopped:
// it may have stopped before it took them in.
func (b *book) receipts() error {
	type given struct {
		from name.Council
		ev   *record.Event
		jws  []byte
	}
	var list []given
	err := b.n.ledger.View(func(v *ledger.View) error {
		for _, src := range b.n.ledger.Sources() {
			if src.Agreement != "" {
				continue
			}
			err := v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err == nil && ev.Kind == ledger.KindReceipt && ev.Council == src.From {
					list = append(list, given{src.From, ev, jws})
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, g := range list {
		err = errors.Join(err, b.receipt(g.from, g.ev, g.jws))
	}
	return err
}

func (b *book) stir() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
	b.n.changed()
}

// resume finishes what a crash may have left half done: an agreement that we
// signed and whose index is not ready.
func (b *book) resume(ctx context.Context) error {
	now := b.n.now()
	b.mu.Lock()
	names := b.state.Names()
	b.mu.Unlock()
	for _, a := range names {
		for _, st := range b.versions(a, now) {
			if _, signed := st.Signed[b.n.cfg.Council]; !signed || st.Agreement.From != b.n.cfg.Council || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
				continue
			}
			if err := b.n.ledger.OpenFeed(ctx, st.Agreement); err != nil {
				return err
			}
		}
	}
	return errors.Join(b.receipts(), b.settle(ctx))
}

// keep acts on what the clock and the partners change: agreements that come
// into force, are superseded or end.
func (b *book) keep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.settle(ctx); err != nil && ctx.Err() == nil {
			b.n.log.Error("settle agreements", "error", err.Error())
		}
		now := b.n.now()
		b.mu.Lock()
		next, ok := b.state.NextChange(now)
		b.mu.Unlock()
		pause := time.Hour // an upper bound, so that a clock that was set is noticed
		if ok {
			pause = min(pause, max(next.Sub(now), time.Millisecond))
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-t.C:
			b.n.changed()
		}
		t.Stop()
	}
}

// settle closes what is over: our own feeds, and what we hold of others.
func (b *book) settle(ctx context.Context) error {
	now := b.n.now()
	var errs []error
	for _, f := range b.n.ledger.Feeds() {
		if f.Agreement == "" || f.Closed() {
			continue
		}
		for _, st := range b.versions(f.Agreement, now) {
			if st.Digest != f.Digest {
				continue
			}
			switch st.Phase {
			case agreement.Ended:
				errs = append(errs, b.n.ledger.CloseFeed(ctx, f.Agreement, f.Digest))
			case agreement.Superseded:
				cur, ok := b.status(f.Agreement, now)
				if !ok || !cur.InForce() {
					continue
				}
				if g, err := b.n.ledger.Feed(f.Agreement, cur.Digest); err == nil && g.Ready {
					errs = append(errs, b.n.ledger.Supersede(ctx, f, g))
				}
			}
		}
	}
	for _, src := range b.n.ledger.Sources() {
		if src.Agreement == "" || src.Ended {
			continue
		}
		if why, over := b.over(src, now); over {
			b.n.log.Info("agreement is over; deleting what was held under it", "agreement", src.Agreement, "because", why)
			errs = append(errs, b.n.ledger.End(ctx, src, why))
			b.n.changed()
		}
	}
	return errors.Join(errs...)
}

// over reports whether what a source holds is held under nothing any more, and
// why in words: no text of the agreement is in force, and the one the copy is
// of has ended or given way to another. A later text that is only proposed
// keeps nothing.
func (b *book) over(src *ledger.Source, now time.Time) (why string, over bool) {
	for i, st := range b.versions(src.Agreement, now) {
		if st.InForce() {
			return "", false
		}
		if strings.HasPrefix(src.Digest, st.Digest.String()) || src.Digest == "" && i == 0 {
			why, over = st.Why, st.Phase == agreement.Ended || st.Phase == agreement.Superseded
		}
	}
	return why, over
}

// document finds the agreement that a request means: the document it carries,
// or the newest version of the name.
func (n *Node) document(in AgreementRequest) (*agreement.Agreement, error) {
	if len(in.Document) > 0 {
		a, err := agreement.Parse(in.Document)
		if err != nil {
			return nil, fail(Invalid, "stile agreement draft writes a document to fill in", "%v", err)
		}
		return a, nil
	}
	a, err := name.ParseAgreement(in.Name)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	for range 2 {
		for _, st := range n.book.versions(a, n.now()) {
			if in.Version == 0 || st.Agreement.Version == in.Version {
				return st.Agreement, nil
			}
		}
		n.hearAll() // it may have been proposed there this moment
	}
	return nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
}

// check returns what keeps a document from being signed here.
func (n *Node) check(a *agreement.Agreement) (*standard.Standard, []standard.Problem, error) {
	std, err := n.ledger.StandardOf(a.Standard)
	if err != nil {
		return nil, nil, fail(NotFound, "stile standard adopt "+a.Standard.String(), "%v", err)
	}
	return std, a.Check(std), nil
}

func (n *Node) previewAgreement(ctx context.Context, in AgreementRequest) (*PreviewReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	std, problems, err := n.check(a)
	if err != nil {
		return nil, err
	}
	out := &PreviewReply{Name: a.Name, Problems: problems, Fields: []FieldCount{}}
	terms, err := a.Compile(std)
	if err != nil {
		// Without rows and fields that can be used there is nothing to count.
		if len(problems) > 0 {
			return out, nil
		}
		return nil, fail(Invalid, "", "%v", err)
	}
	if st, ok := n.book.status(a.Name, n.now()); ok && st.Digest != a.Digest() {
		out.Widens = agreement.Diff(st.Agreement, a)
	}
	err = n.ledger.View(func(v *ledger.View) error {
		p := terms.Preview(bodies(v, a.Standard, &err), min(in.Samples, 20))
		out.Records, out.Matched, out.Errors = p.Records, p.Matched, p.Failed
		for _, f := range p.Fields {
			out.Fields = append(out.Fields, FieldCount{
				Field: string(f.Field), Class: string(f.Class), Sent: f.Sent > 0, Filled: f.Sent + f.Withheld,
			})
		}
		for _, s := range p.Samples {
			out.Samples = append(out.Samples, compact(s))
		}
		return err
	})
	return out, err
}

// bodies yields the records of a standard's line. A damaged one is left out.
func bodies(v *ledger.View, line name.StandardLine, err *error) iter.Seq[any] {
	return func(yield func(any) bool) {
		*err = v.Scan(line.Name, 0, func(ver *ledger.Version, err error) bool {
			if err != nil || ver.Claims.Standard.Line() != line {
				return true
			}
			return yield(ver.Body)
		})
	}
}

func (n *Node) signAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	self := n.cfg.Council
	kept, err := n.keptIn(a)
	if err != nil {
		return nil, err
	}
	if !a.Party(self) && len(kept) == 0 {
		return nil, fail(Refused, "", "%s is not a party to %s", self, a.Name)
	}
	if err := n.checkFootprints(a, kept); err != nil {
		return nil, err
	}
	_, problems, err := n.check(a)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		var lines []string
		for _, p := range problems {
			lines = append(lines, fmt.Sprintf("%s: %s", strings.TrimPrefix(p.Pointer, "/"), p.Detail))
		}
		return nil, &Error{
			Kind: Invalid, Problems: problems,
			Message: fmt.Sprintf("%s cannot be signed:\n  %s", a.Name, strings.Join(lines, "\n  ")),
			Try:     "fill in or mend these headings, then stile agreement preview FILE",
		}
	}
	others := n.hearers(a)
	for _, c := range others {
		if _, ok := n.directory.Member(c); !ok {
			return nil, fail(NotFound, "stile council add FILE", "%s is not in the directory, so its signature could not be checked", c)
		}
	}
	known, proposed := n.known(a)
	if proposed && known.Digest() != a.Digest() {
		return nil, fail(Conflict, "give the document the next version number", "version %d of %s was proposed with another text", a.Version, a.Name)
	}
	if !proposed && a.From == self {
		if err := n.say(ctx, agreement.KindProposal, agreement.Proposal{Agreement: a}.Body(), others); err != nil {
			return nil, err
		}
	}
	if !proposed && n.prints.at(a.From) != nil {
		if err := n.vouch(ctx, agreement.KindProposal, agreement.Proposal{Agreement: a}.Body(), others); err != nil {
			return nil, err
		}
		n.book.mu.Lock()
		err := n.book.state.Apply(a.From, agreement.KindProposal, agreement.Proposal{Agreement: a}.Body(), n.now())
		n.book.mu.Unlock()
		if err != nil {
			return nil, fail(Refused, "", "%v", err)
		}
		proposed = true
	}
	switch signed, err := n.vouched(agreement.KindSignature, a.Ref()); {
	case err != nil:
		return nil, err
	case a.Party(self):
		if n.signed(a, self) {
			break
		}
		if err := n.say(ctx, agreement.KindSignature, agreement.Signature{Ref: a.Ref()}.Body(), others); err != nil {
			return nil, err
		}
	case !proposed:
		return nil, fail(NotFound, "wait until it has arrived: stile agreement list", "%s has not been proposed to %s", a.Name, kept[0].name)
	case !signed:
		if err := n.vouch(ctx, agreement.KindSignature, agreement.Signature{Ref: a.Ref()}.Body(), others); err != nil {
			return nil, err
		}
	}
	if a.From == self {
		if err := n.ledger.OpenFeed(ctx, a); err != nil {
			return nil, err
		}
	}
	unsent := n.relayNow(ctx, kept)
	n.book.stir()
	r, err := n.agreementReply(a.Name, a.Version, false)
	if err == nil {
		r.Unsent = unsent
	}
	return r, err
}

func (n *Node) known(a *agreement.Agreement) (*agreement.Agreement, bool) {
	n.book.mu.Lock()
	defer n.book.mu.Unlock()
	return n.book.state.Find(a.Name, a.Version)
}

func (n *Node) signed(a *agreement.Agreement, c name.Council) bool {
	for _, st := range n.book.versions(a.Name, n.now()) {
		if st.Digest == a.Digest() {
			_, ok := st.Signed[c]
			return ok
		}
	}
	return false
}

// say logs an event about an agreement, addresses it to the other parties and
// takes it in. What the state would refuse is not logged.
func (n *Node) say(ctx context.Context, kind string, body map[string]any, to []name.Council) error {
	// As anybody else will read it: through its bytes.
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits())
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	n.book.mu.Lock()
	err = n.book.state.Apply(n.cfg.Council, kind, v, n.now())
	n.book.mu.Unlock()
	if err != nil {
		return fail(Refused, "", "%v", err)
	}
	_, _, err = n.ledger.AppendNotice(ctx, kind, body, to...)
	return err
}

func (n *Node) endAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return nil, fail(Usage, "--reason \"why it ends\"", "an end needs a reason, which the partner will read")
	}
	kept, err := n.keptIn(a)
	if err != nil {
		return nil, err
	}
	end := agreement.Notice{Ref: a.Ref(), Reason: in.Reason, At: n.now().UTC().Truncate(time.Second)}.Body()
	if a.Party(n.cfg.Council) || len(kept) == 0 {
		err = n.say(ctx, agreement.KindEnd, end, n.hearers(a))
	} else {
		err = n.vouch(ctx, agreement.KindEnd, end, n.hearers(a))
	}
	if err != nil {
		return nil, err
	}
	unsent := n.relayNow(ctx, kept)
	if err := n.book.settle(ctx); err != nil {
		return nil, err
	}
	n.book.stir()
	r, err := n.agreementReply(a.Name, a.Version, false)
	if err == nil {
		r.Unsent = unsent
	}
	return r, err
}

func (n *Node) listAgreements(ctx context.Context, _ Empty) ([]AgreementReply, error) {
	out := []AgreementReply{}
	for _, st := range n.book.all(n.now()) {
		out = append(out, reply(st))
	}
	return out, nil
}

func (n *Node) showAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	return n.agreementReply(a.Name, a.Version, true)
}

func reply(st agreement.Status) AgreementReply {
	a := st.Agreement
	r := AgreementReply{
		Name: a.Name, Version: a.Version, Digest: st.Digest.String(), From: a.From, To: a.To, Mode: string(a.Mode),
		Standard: a.Standard, InForce: st.InForce(), Why: st.Why, Waiting: st.Awaiting,
	}
	for _, c := range a.Parties() {
		if _, ok := st.Signed[c]; ok {
			r.Signed = append(r.Signed, c)
		}
	}
	return r
}

func (n *Node) agreementReply(a name.Agreement, version int, whole bool) (*AgreementReply, error) {
	for _, st := range n.book.versions(a, n.now()) {
		if st.Agreement.Version != version {
			continue
		}
		r := reply(st)
		if !whole {
			return &r, nil
		}
		r.Document = string(st.Agreement.YAML())
		partners, err := n.partners(true)
		if err != nil {
			return nil, err
		}
		for _, p := range partners {
			if p.Agreement == a {
				r.Partners = append(r.Partners, p)
			}
		}
		return &r, nil
	}
	return nil, fail(NotFound, "stile agreement list", "%s version %d was not proposed here", a, version)
}
