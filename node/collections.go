package node

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Collections are what goes to receivers that have no node. They ask for it, with a key of
// ours, and say what they have; what they may have is decided and logged as for any other.
type Collections struct{ to Operations }

// Collections returns the operations of receivers without a node.
func (o Operations) Collections() Collections { return Collections{o} }

// Read returns a page of what goes to a receiver under an agreement, and logs before that
// it is let out. It fails as Refused where the agreement is not in force.
func (c Collections) Read(ctx context.Context, in CollectRequest) (CollectReply, error) {
	return do(ctx, c.to, (*Node).collect, in)
}

// Receipt takes a receiver's word for what it has and has deleted, and logs it as that: as
// said by a call with such a key, which is less than a receipt that the receiver signed.
func (c Collections) Receipt(ctx context.Context, in CollectReceipt) error {
	_, err := do(ctx, c.to, (*Node).collected, in)
	return err
}

// A collection is what a receiver may ask for now.
type collection struct {
	doc       *agreement.Agreement
	feed      *ledger.Feed
	suspended bool
}

// collection finds what a receiver may have, by the same rules as a stream between two
// nodes.
func (n *Node) collection(ctx context.Context, typed string, to name.Council) (*collection, error) {
	a, err := name.ParseAgreement(typed)
	if err != nil {
		return nil, fail(Usage, "", "the agreement's name is none")
	}
	if p := access.From(ctx); p != nil && p.Kind == access.Receiver && (p.Agreement != a || p.Council != to) {
		return nil, fail(Refused, "", "the key is for another agreement")
	}
	no := func(code, try, format string, args ...any) (*collection, error) {
		n.refused(to, false, code, a)
		return nil, fail(Refused, try, format, args...)
	}
	if err := n.directory.Exchange(n.now()); err != nil {
		return nil, fail(Behind, "the operator of the directory has to publish it anew", "%v", err)
	}
	if m, ok := n.directory.Member(to); !ok || !m.ActiveAt(n.now()) {
		return no("not-agreed", "", "%s is no member of the directory", to)
	}
	if err := n.ledger.Allowed(to); err != nil {
		return no("quarantine", "", "all exchange with %s is stopped", to)
	}
	if n.ledger.Halted() != nil {
		return nil, fail(Behind, "", "nothing is signed in the sender's log now")
	}
	c := &collection{}
	var why string
	if c.doc, why = n.book.InForce(a, n.now()); c.doc == nil {
		c.doc = n.book.Suspended(a, n.now())
		c.suspended = c.doc != nil
	}
	if c.doc == nil {
		return no("not-in-force", "where it is over: delete what came under it, and say so in a receipt", "the agreement is not in force: %s", why)
	}
	if !slices.Contains(c.doc.To, to) || c.doc.From != n.cfg.Council || !c.doc.Way().Copied {
		return no("not-agreed", "", "there is no such agreement with %s", to)
	}
	if c.feed, err = n.ledger.Feed(a, c.doc.Digest()); err != nil {
		return nil, fail(Behind, "ask again", "the agreement's index is being made")
	}
	for _, g := range n.ledger.Feeds() {
		if g.Agreement == a && g.Version < c.feed.Version && !g.Closed() {
			return nil, fail(Behind, "ask again", "the agreement's index is being made")
		}
	}
	return c, nil
}

func (n *Node) collect(ctx context.Context, in CollectRequest) (*CollectReply, error) {
	c, err := n.collection(ctx, in.Agreement, in.Receiver)
	if err != nil {
		return nil, err
	}
	at, err := api.CursorAt(in.Cursor)
	if err != nil {
		return nil, err
	}
	if size, err := n.ledger.Shown(); err != nil {
		return nil, asError(err)
	} else if at > size {
		return nil, fail(Usage, "begin anew, without a cursor", "the cursor is none that this node gave")
	}
	if in.Cursor == "" && !in.Whole {
		err := n.ledger.View(func(v *ledger.View) error {
			p, err := v.Partner(c.feed, in.Receiver)
			if at = p.Cursor; c.suspended {
				at = max(at, p.TakenBack)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var page *ledger.Page
	if c.suspended {
		page, err = n.ledger.Withdrawals(c.feed, at)
	} else if page, err = n.ledger.PageOf(c.feed, in.Receiver, at, ledger.MaxPageBytes); err == nil && page.Most && len(page.Items) == 0 {
		return nil, fail(Refused, "collect again tomorrow, or agree on another bound", "the agreement lets no more go now: %s", c.doc.Most)
	}
	if err != nil {
		return nil, err
	}
	if len(page.Damaged) > 0 {
		n.refused(in.Receiver, true, "withheld", c.doc.Name)
	}
	out := &CollectReply{Agreement: c.doc.Name, Version: c.doc.Version, Standard: c.doc.Standard, Suspended: c.suspended, Items: []Collected{}, Cursor: api.CursorOf(page.Cursor), Live: page.Live, Damaged: len(page.Damaged)}
	for _, it := range page.Items {
		x, err := collectedOf(it)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, x)
	}
	// Asked again: it may have been ended meanwhile. Then it is logged, and durable, before
	// a byte of it leaves.
	if doc, _ := n.book.InForce(c.doc.Name, n.now()); !c.suspended && (doc == nil || doc.Digest() != c.doc.Digest()) {
		return nil, fail(Refused, "", "the agreement is not in force any more")
	}
	if err := n.ledger.Disclose(ctx, c.feed, in.Receiver, page.Items, nil); err != nil {
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, fail(Refused, "", "the agreement is not in force any more")
		}
		if errors.Is(err, ledger.ErrMost) {
			return nil, fail(Refused, "collect again", "another collected at the same time, and the agreement lets no more go")
		}
		return nil, err
	}
	return out, nil
}

// collectedOf reads an item of a page as a receiver gets it.
func collectedOf(it ledger.PageItem) (Collected, error) {
	if !it.IsRecord() {
		_, ev, err := record.ParseEvent(it.Token)
		if err != nil {
			return Collected{}, err
		}
		w, err := event.ParseTakenBack(ev.Kind, ev.Body)
		return Collected{Record: w.Record, Withdrawn: true, Entry: it.Index}, err
	}
	t, err := record.Parse(it.Token)
	if err != nil {
		return Collected{}, err
	}
	v, err := t.View()
	if err != nil {
		return Collected{}, err
	}
	return Collected{
		Record: v.Record, Version: v.Version, Standard: v.Standard.String(), IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Entry: it.Index, Withheld: v.Withheld,
		Body: strictjson.Canonical(v.Body), Token: string(it.Token),
	}, nil
}

func (n *Node) collected(ctx context.Context, in CollectReceipt) (*Empty, error) {
	if in.Held < 0 || in.Held > 1<<40 {
		return nil, fail(Usage, "", "nobody holds so many records")
	}
	if in.Deleted {
		return n.collectedOver(ctx, in)
	}
	c, err := n.collection(ctx, in.Agreement, in.Receiver)
	if err != nil {
		return nil, err
	}
	at, err := api.CursorAt(in.Cursor)
	if err != nil {
		return nil, err
	}
	if size, err := n.ledger.Shown(); err != nil {
		return nil, asError(err)
	} else if at == 0 || at > size {
		return nil, fail(Usage, "say the cursor that came with what was collected", "the cursor is none that this node gave")
	}
	var since uint64
	err = n.ledger.View(func(v *ledger.View) error {
		p, err := v.Partner(c.feed, in.Receiver)
		if since = p.Cursor; c.suspended {
			since = max(since, p.TakenBack)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if at < since {
		return nil, fail(Conflict, "collect again, without a cursor", "a later receipt was given")
	}
	return &Empty{}, n.ledger.Acknowledge(ctx, c.feed, in.Receiver, ledger.Ack{Since: since, Cursor: at, Held: in.Held, Suspended: c.suspended, Call: &event.ReceiptByCall{
		Agreement: c.doc.Name, Version: uint64(c.feed.Version), Receiver: in.Receiver, Key: keyOf(ctx), Since: since, Cursor: at, Held: uint64(in.Held), Suspended: c.suspended,
	}})
}

// keyOf returns the id of the key that a receiver showed; "" where somebody at the node
// speaks for it.
func keyOf(ctx context.Context) string {
	if p := access.From(ctx); p != nil && p.Kind == access.Receiver {
		return p.ID
	}
	return ""
}

// collectedOver takes a receiver's word that it has deleted everything, once what it came
// under is over.
func (n *Node) collectedOver(ctx context.Context, in CollectReceipt) (*Empty, error) {
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "", "the agreement's name is none")
	}
	if p := access.From(ctx); p != nil && p.Kind == access.Receiver && (p.Agreement != a || p.Council != in.Receiver) {
		return nil, fail(Refused, "", "the key is for another agreement")
	}
	done := false
	for _, f := range n.ledger.Feeds() {
		if f.Agreement != a || !slices.Contains(f.To, in.Receiver) {
			continue
		}
		over := slices.ContainsFunc(n.book.Texts(a, n.now()), func(st agreement.Status) bool {
			return st.Digest == f.Digest && (st.Phase == agreement.Ended || st.Phase == agreement.Superseded)
		})
		if !over {
			continue
		}
		if err := n.ledger.Acknowledge(ctx, f, in.Receiver, ledger.Ack{Cursor: f.End, Done: true, Call: &event.ReceiptByCall{
			Agreement: a, Version: uint64(f.Version), Receiver: in.Receiver, Key: keyOf(ctx), Cursor: f.End, All: true,
		}}); err != nil {
			return nil, err
		}
		done = true
	}
	if !done {
		return nil, fail(Conflict, "", "the agreement is not over")
	}
	return &Empty{}, nil
}

// signature signs an agreement for a council that is not exchanged with, and returns the
// signature as our log has it.
func (n *Node) signature(ctx context.Context, in AgreementRequest) (*SignatureReply, error) {
	a, err := n.document(in)
	if err != nil {
		return nil, err
	}
	if !a.Party(n.cfg.Council) {
		return nil, fail(Refused, "", "%s is not a party to %s", n.cfg.Council, a.Name)
	}
	if signed, err := n.book.Vouched(event.KindAgreementSignature, a.Ref()); err != nil {
		return nil, err
	} else if !signed {
		// Where the proposal has not come, there is nothing to describe afterwards.
		r, err := n.signAgreement(ctx, in)
		if err != nil && !api.IsNotFound(err) {
			return nil, err
		}
		if r != nil && r.Approval != nil {
			return &SignatureReply{Name: a.Name, Version: a.Version, Digest: a.Digest().String(), Council: n.cfg.Council, Approval: r.Approval}, nil
		}
	}
	out := &SignatureReply{Name: a.Name, Version: a.Version, Digest: a.Digest().String(), Council: n.cfg.Council}
	err = n.ledger.View(func(v *ledger.View) (err error) {
		v.Events(event.KindAgreementSignature, 0, func(i uint64) bool {
			var ev *record.Event
			var jws []byte
			if ev, jws, err = v.Event(i); err != nil {
				return false
			}
			if ref, ok := agreement.RefOf(ev.Kind, ev.Body); ok && ref == a.Ref() {
				out.Signature = bytes.Clone(jws)
			}
			return out.Signature == nil
		})
		return err
	})
	if err == nil && out.Signature == nil {
		err = fail(NotFound, "", "%s was not signed here", a.Name)
	}
	return out, err
}

// bring takes another council's signature under an agreement that came as a file: it is
// checked by the key that the directory has, and kept as if that council's node had sent
// it.
func (n *Node) bring(ctx context.Context, in SignatureRequest) (*AgreementReply, error) {
	jws := bytes.TrimSpace(in.Signature)
	if len(jws) > event.MaxSigned {
		return nil, fail(Invalid, "", "the file is longer than a signature is")
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return nil, fail(Invalid, "the receiver makes one with stile agreement sign FILE --out SIGNATURE", "the file holds no signature: %v", err)
	}
	if ev.Kind != event.KindAgreementSignature {
		return nil, fail(Invalid, "", "the file holds no signature, but an event of another kind")
	}
	ref, ok := agreement.RefOf(ev.Kind, ev.Body)
	if !ok {
		return nil, fail(Invalid, "", "the signature names no agreement")
	}
	doc, known := n.book.Find(ref.Agreement, ref.Version)
	switch {
	case !known:
		return nil, fail(NotFound, "stile agreement sign FILE proposes it first", "version %d of %s was not proposed here", ref.Version, ref.Agreement)
	case doc.Digest() != ref.Digest:
		return nil, fail(Conflict, "send the very file that was signed here", "the signature is under another text of %s", ref.Agreement)
	case ev.Council == n.cfg.Council || !doc.Party(ev.Council):
		return nil, fail(Refused, "", "the signature is of none of the other parties")
	}
	_, _, rule, err := n.judge.Event(ev.Council, jws, directory.AnyPlace)
	if err != nil {
		return nil, fail(Unverified, "", "the signature does not verify: %v", err)
	}
	if rule != "" {
		return nil, fail(Unverified, "see that the directory has the key that it was made with: stile council show "+string(ev.Council), "the signature is not %s's: %s", ev.Council, rule)
	}
	if err := n.book.Say(ev.Council, ev.Kind, ev.Body); err != nil {
		return nil, fail(Refused, "", "%v", err)
	}
	if _, err := n.ledger.Bring(ctx, ev.Council, jws); err != nil {
		return nil, err
	}
	n.book.Stir()
	return n.agreementReply(ref.Agreement, ref.Version, false)
}
