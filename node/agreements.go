package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/replicas"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

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
		for _, x := range n.book.Counters(a) {
			if in.Counter != "" && string(x.By) == strings.ToLower(in.Counter) {
				return x.Agreement, nil
			}
		}
		for _, st := range n.book.Texts(a, n.now()) {
			if in.Counter != "" {
				continue
			}
			if in.Version == 0 || st.Agreement.Version == in.Version {
				return st.Agreement, nil
			}
		}
		if s := n.exchange(); s != nil {
			s.CatchUp(context.Background()) // it may have been proposed there this moment
		}
	}
	if in.Counter != "" {
		return nil, fail(NotFound, "stile agreement show "+string(a), "%.80q proposes nothing else than the newest version of %s", in.Counter, a)
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
	out := &PreviewReply{Name: a.Name, Mode: string(a.Mode), Problems: problems, Fields: []FieldCount{}, Kept: a.Kept(), Subjects: a.SubjectWords(), Onward: a.OnwardWords(), Origin: a.OriginWords(), People: agreement.ByPeople}
	terms, err := a.Compile(std)
	if err != nil {
		// Without rows and fields that can be used there is nothing to count.
		if len(problems) > 0 {
			return out, nil
		}
		return nil, fail(Invalid, "", "%v", err)
	}
	if st, ok := n.book.Status(a.Name, n.now()); ok && st.Digest != a.Digest() {
		out.Widens = agreement.Diff(st.Agreement, a)
	}
	if a.From != n.cfg.Council && n.replicas.Replica(a.From) == nil {
		out.Sender, out.Bounded = a.From, a.Bounded(0)
		for _, f := range a.Fields {
			out.Fields = append(out.Fields, FieldCount{Field: string(f), Class: string(std.Class(f)), Sent: true})
		}
		return out, nil
	}
	is, err := n.stock(a)
	if err != nil {
		return nil, err
	}
	out.HeldBack, out.Nothing = is.heldBack, is.nothing
	counting := terms.NewPreview(min(in.Samples, 20))
	var none atomic.Int64
	add, told := counting.Add, func() {}
	if is.nothing != "" {
		add, terms = func(uint64, []byte, strictjson.Limits) error { none.Add(1); return nil }, nil
	}
	if st, ok := n.book.Status(a.Name, n.now()); ok && st.Digest != a.Digest() && (st.InForce() || st.Phase == agreement.Suspended) {
		if old, err := st.Agreement.Compile(std); err == nil { // of one standard
			was, err := n.stock(st.Agreement)
			if err != nil {
				return nil, err
			}
			if was.nothing != "" {
				old = nil
			}
			var before addBody
			add, before, told = compared(out, add, st.Agreement, a, old, terms)
			if before != nil {
				if _, err := was.each(ctx, before); err != nil {
					return nil, err
				}
			}
		}
	}
	if out.Unsigned, err = is.each(ctx, add); err != nil {
		return nil, err
	}
	told()
	p := counting.Done()
	out.Records, out.Matched, out.Errors = p.Records+int(none.Load())+out.Unsigned, p.Matched, p.Failed
	out.Bounded = a.Bounded(p.Matched)
	for _, f := range p.Fields {
		out.Fields = append(out.Fields, FieldCount{
			Field: string(f.Field), Class: string(f.Class), Sent: f.Sent > 0, Filled: f.Sent + f.Withheld,
		})
	}
	for _, s := range p.Samples {
		out.Samples = append(out.Samples, compact(s))
	}
	return out, nil
}

// An addBody counts a record, given by its body in canonical form. It may be called
// concurrently.
type addBody = func(at uint64, canon []byte, lim strictjson.Limits) error

// A stock is the records that an agreement picks from.
type stock struct {
	each     func(context.Context, addBody) (unsigned int, err error)
	heldBack []string // what earlier agreements keep back of them, in words
	nothing  string   // why nothing goes at all, in words
}

// stock returns the records that an agreement of ours picks from: our own, or those that we
// hold under its origin.
func (n *Node) stock(a *agreement.Agreement) (stock, error) {
	if a.Origin == "" {
		return stock{each: func(ctx context.Context, add addBody) (int, error) { return 0, n.ledger.Bodies(ctx, a.Standard, add) }}, nil
	}
	c, err := n.book.Chain(a, n.now())
	if err != nil {
		return stock{}, err
	}
	return stock{
		each:     func(ctx context.Context, add addBody) (int, error) { return n.ledger.HeldBodies(ctx, a.Origin, add) },
		heldBack: c.Agreements.HeldBack(), nothing: c.Why,
	}, nil
}

// mayPass refuses to sign an agreement of ours that would pass on what may not be.
func (n *Node) mayPass(a *agreement.Agreement) error {
	if a.Origin == "" {
		return nil
	}
	if slices.ContainsFunc(a.Parties(), n.replicas.Is) || n.replicas.Is(a.Origin.Council()) {
		return fail(Refused, "sign it with the members", "%s passes on what was received, which no footprint takes part in", a.Name)
	}
	if a.From != n.cfg.Council {
		return nil // who sends has to show that it may, with every record
	}
	c, err := n.book.Chain(a, n.now())
	if err != nil {
		return err
	}
	if c.Why != "" && !c.Waits {
		return fail(Refused, "stile agreement show "+string(a.Origin), "nothing may be passed on under %s: %s", a.Name, c.Why)
	}
	return nil
}

// role returns the role that a council has in the directory, "" for one that is no member.
func (n *Node) role(c name.Council) string {
	m, ok := n.directory.Member(c)
	if !ok {
		return ""
	}
	return string(m.Role)
}

// compared has what add is called with counted also for what each receiver gains or loses
// from one text to another; told puts that into the reply. before counts the records of the
// old text, where those are not the same as of the new; it is nil where they are.
func compared(out *PreviewReply, next addBody, was, is *agreement.Agreement, old, new *agreement.Terms) (add, before addBody, told func()) {
	both, come, gone := agreement.Compare(old, new), agreement.Compare(nil, new), agreement.Compare(old, nil)
	var who []name.Council
	var by []*agreement.Comparing
	for _, c := range is.To {
		who = append(who, c)
		if slices.Contains(was.To, c) {
			by = append(by, both)
		} else {
			by = append(by, come)
		}
	}
	for _, c := range was.To {
		if !slices.Contains(is.To, c) {
			who, by = append(who, c), append(by, gone)
		}
	}
	all := func(adds ...addBody) addBody {
		return func(at uint64, canon []byte, lim strictjson.Limits) error {
			for _, add := range adds {
				if err := add(at, canon, lim); err != nil {
					return err
				}
			}
			return nil
		}
	}
	olds, news := []addBody{}, []addBody{next}
	for _, c := range []*agreement.Comparing{both, come, gone} {
		switch {
		case !slices.Contains(by, c):
		case was.Origin == is.Origin:
			news = append(news, c.Add)
		default:
			o, n := c.Apart()
			olds, news = append(olds, o), append(news, n)
		}
	}
	if len(olds) > 0 {
		before = all(olds...)
	}
	return all(news...), before, func() {
		done := map[*agreement.Comparing]agreement.Impact{}
		for i, c := range who {
			if _, ok := done[by[i]]; !ok {
				done[by[i]] = by[i].Done()
			}
			x := done[by[i]]
			r := ImpactReply{Council: c, Against: was.Version, Before: x.Before, After: x.After, Gained: x.Gained, Lost: x.Lost}
			for _, f := range x.Fields {
				r.Fields = append(r.Fields, FieldImpact{Field: string(f.Field), Class: string(f.Class), Gained: f.Gained, Lost: f.Lost})
			}
			out.Impact = append(out.Impact, r)
		}
	}
}

func (n *Node) signAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	self := n.cfg.Council
	footprints, err := n.replicas.Parties(a)
	if err != nil {
		return nil, err
	}
	if !a.Party(self) && len(footprints) == 0 {
		return nil, fail(Refused, "", "%s is not a party to %s", self, a.Name)
	}
	if a.Way().ByHand && slices.ContainsFunc(a.Parties(), n.replicas.Is) {
		return nil, fail(Refused, "sign it with the members", "%s is of mode %s, in which no footprint lets records out or takes them", a.Name, a.Mode)
	}
	if a.Most.Bounds() && slices.ContainsFunc(a.Parties(), n.replicas.Is) {
		return nil, fail(Refused, "remove most, or sign it with the members", "%s bounds how much goes, which the members of a footprint do not count together", a.Name)
	}
	if err := n.mayPass(a); err != nil {
		return nil, err
	}
	if err := n.replicas.MaySign(a, footprints); err != nil {
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
	for _, st := range n.book.Texts(a.Name, n.now()) {
		if st.Digest == a.Digest() && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded) {
			return nil, fail(Conflict, "give the document the next version number", "version %d of %s is over: %s", a.Version, a.Name, st.Why)
		}
	}
	if by, version := n.overtaken(a); version > 0 && !n.signed(a, self) {
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "version %d of %s is superseded: %s has proposed version %d since", a.Version, a.Name, by, version)
	}
	others := n.replicas.Addressees(a)
	for _, c := range others {
		if _, ok := n.directory.Member(c); !ok {
			return nil, fail(NotFound, "stile council add FILE", "%s is not in the directory, so its signature could not be checked", c)
		}
	}
	known, proposed := n.known(a)
	if proposed && known.Digest() != a.Digest() {
		return nil, fail(Conflict, "give the document the next version number", "version %d of %s was proposed with another text", a.Version, a.Name)
	}
	vouched, err := n.book.Vouched(event.KindAgreementSignature, a.Ref())
	if err != nil {
		return nil, err
	}
	switch party := a.Party(self); {
	case !party && !proposed && n.replicas.Replica(a.From) == nil:
		return nil, fail(NotFound, "wait until it has arrived: stile agreement list", "%s has not been proposed to %s", a.Name, footprints[0].Name())
	case party && n.signed(a, self), !party && vouched:
	default:
		if first, err := n.agreed(ctx, &in, a, a.Digest().String()); err != nil || first != nil {
			return first, err
		}
	}
	if !proposed && a.From == self {
		if err := n.say(ctx, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), others); err != nil {
			return nil, err
		}
	}
	if !proposed && n.replicas.Replica(a.From) != nil {
		if err := n.book.Vouch(ctx, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body(), others); err != nil {
			return nil, err
		}
		if err := n.book.Say(a.From, event.KindAgreementProposal, agreement.Proposal{Agreement: a}.Body()); err != nil {
			return nil, fail(Refused, "", "%v", err)
		}
	}
	switch {
	case a.Party(self):
		if n.signed(a, self) {
			break
		}
		if err := n.say(ctx, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref(), By: in.By}.Body(), others); err != nil {
			return nil, err
		}
	case !vouched:
		if err := n.book.Vouch(ctx, event.KindAgreementSignature, agreement.Signature{Ref: a.Ref(), By: in.By}.Body(), others); err != nil {
			return nil, err
		}
	}
	if err := n.people.approvals.Drop(a.Name, a.Digest().String()); err != nil {
		return nil, err
	}
	if a.From == self {
		if err := n.ledger.OpenFeed(ctx, a); err != nil {
			return nil, err
		}
	}
	unsent := n.relayNow(ctx, footprints)
	n.book.Stir()
	if n.network() != nil {
		n.book.AwaitProposer(ctx, a)
	}
	r, err := n.agreementReply(a.Name, a.Version, false)
	if err == nil {
		r.Unsent = unsent
	}
	return r, err
}

func (n *Node) known(a *agreement.Agreement) (*agreement.Agreement, bool) {
	return n.book.Find(a.Name, a.Version)
}

func (n *Node) signed(a *agreement.Agreement, c name.Council) bool {
	for _, st := range n.book.Texts(a.Name, n.now()) {
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
	if err := n.book.Say(n.cfg.Council, kind, v); err != nil {
		return fail(Refused, "", "%v", err)
	}
	_, _, err = n.ledger.AppendNotice(ctx, kind, body, to...)
	return err
}

func (n *Node) endAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	// A newer text may have been proposed: what is ended is what is in force.
	st, err := n.version(in, func(st agreement.Status) bool { return st.InForce() || st.Phase == agreement.Suspended })
	if err != nil {
		return nil, err
	}
	a := st.Agreement
	if strings.TrimSpace(in.Reason) == "" {
		return nil, fail(Usage, "--reason \"why it ends\"", "an end needs a reason, which the partner will read")
	}
	footprints, err := n.replicas.Parties(a)
	if err != nil {
		return nil, err
	}
	end := agreement.Notice{Ref: a.Ref(), Reason: in.Reason, At: n.now().UTC().Truncate(time.Second), By: in.By}.Body()
	if a.Party(n.cfg.Council) || len(footprints) == 0 {
		err = n.say(ctx, event.KindAgreementEnd, end, n.replicas.Addressees(a))
	} else {
		err = n.book.Vouch(ctx, event.KindAgreementEnd, end, n.replicas.Addressees(a))
	}
	if err != nil {
		return nil, err
	}
	unsent := n.relayNow(ctx, footprints)
	if err := n.book.Settle(ctx); err != nil {
		return nil, err
	}
	n.book.Stir()
	r, err := n.agreementReply(a.Name, a.Version, false)
	if err == nil {
		r.Unsent = unsent
	}
	return r, err
}

// giveUp stops waiting for the receipts of a council that is no member any more, or settles
// what a council has refused to erase.
func (n *Node) giveUp(ctx context.Context, in GiveUpRequest) (*GiveUpReply, error) {
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	c, err := name.ParseCouncil(strings.ToLower(in.Council))
	if err != nil {
		return nil, fail(Usage, "stile council list", "%v", err)
	}
	if strings.TrimSpace(in.Because) == "" || len(in.Because) > maxBecause {
		return nil, fail(Usage, "--because \"who looked into it, and what was found\"", "say in at most %d bytes why no receipt will come: it is logged", maxBecause)
	}
	partners, err := n.explain.Partners(false)
	if err != nil {
		return nil, err
	}
	g, refused := event.GivenUp{Agreement: a, Council: c, Reason: in.Because}, 0
	for _, p := range partners {
		if p.Agreement == a && p.Council == c && p.Direction == "to" {
			refused += p.Refusals
		}
		if p.Agreement == a && p.Council == c && p.Direction == "to" && p.Outstanding > 0 {
			g.Outstanding += uint64(p.Outstanding)
			g.Held = max(g.Held, uint64(p.Held))
		}
	}
	if g.Outstanding == 0 && refused > 0 {
		g.Outstanding = uint64(refused)
		entry, err := n.ledger.SettleRefused(ctx, g)
		if err != nil {
			return nil, err
		}
		return &GiveUpReply{Agreement: a, Council: c, Outstanding: refused, Entry: entry}, nil
	}
	if g.Outstanding == 0 {
		return nil, fail(NotFound, "stile status", "nothing is waited for from %s under %s", c, a)
	}
	if m, ok := n.directory.Member(c); ok && m.ActiveAt(n.now()) {
		return nil, fail(Refused, "ask its people; the registrar removes a council that is gone: stile directory remove "+string(c), "%s is a member of the directory and can still say that it deleted what it holds", c)
	}
	entry, err := n.ledger.GiveUp(ctx, g)
	if err != nil {
		return nil, err
	}
	return &GiveUpReply{Agreement: a, Council: c, Outstanding: int(g.Outstanding), Entry: entry}, nil
}

func (n *Node) listAgreements(ctx context.Context, _ Empty) ([]AgreementReply, error) {
	out := []AgreementReply{}
	for _, st := range n.book.Current(n.now()) {
		out = append(out, n.reply(st))
	}
	return out, nil
}

// flows describes every agreement in force or suspended, in one pass.
func (n *Node) flows(ctx context.Context, _ Empty) ([]AgreementReply, error) {
	partners, err := n.explain.Partners(false)
	if err != nil {
		return nil, err
	}
	under := map[name.Agreement][]PartnerReply{}
	for _, p := range partners {
		under[p.Agreement] = append(under[p.Agreement], p)
	}
	out := []AgreementReply{}
	for _, st := range n.book.Standing(n.now()) {
		if st.InForce() || st.Phase == agreement.Suspended {
			r := n.reply(st)
			r.Document, r.Partners = string(st.Agreement.YAML()), under[st.Agreement.Name]
			out = append(out, r)
		}
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

func (n *Node) reply(st agreement.Status) AgreementReply {
	a := st.Agreement
	r := AgreementReply{
		Name: a.Name, Version: a.Version, Digest: st.Digest.String(), From: a.From, To: a.To, Mode: string(a.Mode),
		Standard: a.Standard, InForce: st.InForce(), Why: st.Why, Waiting: st.Awaiting,
		Review: string(st.Review), Renewals: renewals(st), Ends: string(a.Ends), Kept: a.Kept(), Counters: n.counters(a.Name),
	}
	for _, c := range a.Parties() {
		if _, ok := st.Signed[c]; ok {
			r.Signed = append(r.Signed, c)
		}
	}
	if f, err := n.ledger.Feed(a.Name, st.Digest); err == nil && !f.Ready {
		m := Matching(f.Progress())
		r.Matching = &m
	}
	return r
}

func (n *Node) agreementReply(a name.Agreement, version int, whole bool) (*AgreementReply, error) {
	for _, st := range n.book.Texts(a, n.now()) {
		if st.Agreement.Version != version {
			continue
		}
		r := n.reply(st)
		if !whole {
			return &r, nil
		}
		r.Document = string(st.Agreement.YAML())
		if err := n.signatures(&r, st.Agreement); err != nil {
			return nil, err
		}
		var err error
		if r.Partners, err = n.explain.PartnersOf(a, true); err != nil {
			return nil, err
		}
		for _, c := range st.Agreement.To {
			if done, _ := n.confirmations.Of(c, a); done.Entry > 0 {
				r.Confirmed = append(r.Confirmed, ConfirmedReply{Footprint: c, Withdrawn: done.Withdrawn, Held: done.Held, Members: done.Members, At: done.At, Entry: done.Entry})
			}
		}
		return &r, nil
	}
	return nil, fail(NotFound, "stile agreement list", "%s version %d was not proposed here", a, version)
}

// signatures adds to a reply who signed a document, and where each signature stands.
func (n *Node) signatures(r *AgreementReply, a *agreement.Agreement) error {
	ref := a.Ref()
	note := func(entry uint64, ev *record.Event, jws []byte) {
		sig, err := agreement.ParseSignature(ev.Body)
		if ev.Kind != event.KindAgreementSignature || err != nil || sig.Ref != ref ||
			slices.ContainsFunc(r.Signatures, func(s SignedReply) bool { return s.Council == ev.Council }) {
			return
		}
		sum := sha256.Sum256(jws)
		r.Signatures = append(r.Signatures, SignedReply{Council: ev.Council, By: sig.By, At: time.Unix(ev.IssuedAt, 0).UTC(), Entry: entry, Event: hex.EncodeToString(sum[:])})
	}
	err := n.ledger.View(func(v *ledger.View) (err error) {
		v.Events(event.KindAgreementSignature, 0, func(i uint64) bool {
			var ev *record.Event
			var jws []byte
			if ev, jws, err = v.Event(i); err == nil {
				note(i, ev, jws)
			}
			return err == nil
		})
		for _, src := range n.ledger.Sources() {
			if src.Agreement != "" || err != nil {
				continue
			}
			err = v.ReceivedEvents(src, func(i uint64, jws []byte) error {
				_, ev, err := record.ParseEvent(jws)
				if err == nil {
					note(i, ev, jws)
				}
				return err
			})
		}
		cp, _ := v.Checkpoint()
		r.Log, r.LogSize, r.LogRoot = n.cfg.Council, cp.Size, base64.StdEncoding.EncodeToString(cp.Root[:])
		return err
	})
	parties := a.Parties()
	place := func(s SignedReply) int {
		if i := slices.Index(parties, s.Council); i >= 0 {
			return i
		}
		return len(parties)
	}
	slices.SortStableFunc(r.Signatures, func(x, y SignedReply) int {
		return cmp.Or(cmp.Compare(place(x), place(y)), cmp.Compare(x.Council, y.Council))
	})
	return err
}

// relayNow brings what we have just said to the footprints of an agreement, and
// says in words what could not be: it goes on being tried.
func (n *Node) relayNow(ctx context.Context, members []*replicas.Replica) string {
	s := n.exchange()
	if s == nil {
		return ""
	}
	for _, r := range members {
		if err := s.Relay(ctx, r.Footprint()); err != nil {
			return fmt.Sprintf("%s has not got it yet, and gets it as soon as it can: %v", r.Name(), err)
		}
	}
	return ""
}
