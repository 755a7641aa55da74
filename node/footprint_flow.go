package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// Our records flow into a footprint under an agreement as they do to a partner:
// what the agreement lets out, from the feed that the ledger keeps of it, logged
// before it leaves. There is nobody who pulls, so the node brings it: to its own
// replica, which brings it to whoever leads.
//
// What has been brought is known in two places. The ledger holds the cursor, as
// it does for a partner. The footprint holds a number that every page moves on
// and that every page must name, so that no page is taken twice, nor late. A page
// whose answer was lost is brought again under a new number: what is in already
// is a duplicate there, and what was withdrawn meanwhile is not in the feed.

// KindContributed is the event that says what a footprint took of a page, and so
// stands where a partner's receipt does. Body: agreement, version, footprint,
// position (in the footprint's replicated log), since and cursor (of our feed),
// held and withdrawn (our log indexes), at and withdrawn_at (where each of these
// stands in the footprint's log, in the same order), refused (objects of entry and
// rule).
const KindContributed = "footprint-contributed"

// WithdrawnFields is the reason of a withdrawal from a footprint that makes room
// for the same record with other fields.
const WithdrawnFields = "other fields are agreed now"

// WithdrawnOver is the reason of a withdrawal from a footprint when the agreement
// is over.
const WithdrawnOver = "the agreement is over"

// A flow is how the records of one agreement stand on their way to a footprint.
type flow struct {
	problem string // why nothing is brought, in words; "" when nothing is wrong
	since   time.Time
}

// Bounds of a part of a page, so that it fits one command even when every record
// in it has to be withdrawn first.
const (
	flowItems = 400
	flowBytes = 900 << 10
)

// Bounds of the pause before what went wrong is tried again.
const (
	flowLeast = 500 * time.Millisecond
	flowMost  = 30 * time.Second
)

// keepFlowing brings our records to a footprint for as long as its replica is
// open here.
func (n *Node) keepFlowing(ctx context.Context, r *sink) {
	wait := flowLeast
	recalled := false
	for ctx.Err() == nil {
		changed := n.ledger.Changed()
		if !recalled && r.own != nil {
			err := n.recall(ctx, r.own)
			if recalled = err == nil; err != nil && ctx.Err() == nil {
				n.log.Warn("what a footprint took before is not known", "footprint", r.name, "error", err.Error())
			}
		}
		if n.flowAll(ctx, r) {
			wait = flowLeast
			t := time.NewTimer(flowMost)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-r.wake:
			case <-t.C:
			}
			t.Stop()
			continue
		}
		if t, ok := r.in.(*through); ok {
			t.turn.Add(1) // another member may do better
		}
		// Not at each change of our ledger: a try that fails is one.
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		wait = min(2*wait, flowMost)
	}
}

// flowAll brings what each agreement lets out now and withdraws what those that
// are over let out. It reports whether nothing went wrong.
func (n *Node) flowAll(ctx context.Context, r *sink) bool {
	good := true
	for _, f := range n.ledger.Feeds() {
		if f.Mode() != agreement.Replicate || !slices.Contains(f.To, r.name) {
			continue
		}
		err := n.flow(ctx, r, f)
		if ctx.Err() != nil {
			return false
		}
		r.mu.Lock()
		was := r.flows[f.Agreement]
		now := flow{}
		if err != nil {
			good = false
			now = flow{err.Error(), n.now().UTC()}
			if now.problem == was.problem {
				now.since = was.since
			}
		}
		// A feed of an older text that has nothing to say leaves alone what the
		// newer one's said.
		if err != nil || !f.Closed() {
			r.flows[f.Agreement] = now
		}
		r.mu.Unlock()
		if err != nil && now.problem != was.problem {
			n.log.Info("records do not go into a footprint", "footprint", r.name, "agreement", f.Agreement, "because", err.Error())
		}
	}
	return good
}

// flow does what is to be done for one text of an agreement.
func (n *Node) flow(ctx context.Context, r *sink, f *ledger.Feed) error {
	for _, st := range n.book.versions(f.Agreement, n.now()) {
		if st.Digest != f.Digest {
			continue
		}
		switch {
		case st.InForce() && !f.Closed():
			return n.bring(ctx, r, f)
		case st.Phase == agreement.Ended && f.Closed():
			return n.retract(ctx, r, f)
		case st.Phase == agreement.Superseded && f.Closed():
			// The newer text's feed sees to it, unless it is for others.
			if cur, ok := n.book.status(f.Agreement, n.now()); ok && (!slices.Contains(cur.Agreement.To, r.name) || cur.Agreement.Mode != agreement.Replicate) {
				return n.retract(ctx, r, f)
			}
		}
	}
	return nil
}

// bring brings what there is to bring of a feed.
func (n *Node) bring(ctx context.Context, r *sink, f *ledger.Feed) error {
	if !f.Ready {
		return nil // the ledger changes when it is
	}
	var olds []*ledger.Feed // earlier texts under which it holds something
	for _, g := range n.ledger.Feeds() {
		if g.Agreement != f.Agreement || g.Version >= f.Version {
			continue
		}
		if !g.Closed() {
			return nil // withdrawals from it are still being made
		}
		p, err := n.partnerOf(g, r.name)
		if err != nil {
			return err
		}
		if p.Held > 0 && !p.Done {
			olds = append(olds, g)
		}
	}
	p, err := n.partnerOf(f, r.name)
	if err != nil {
		return err
	}
	b := &bringing{n: n, r: r, f: f, anew: len(olds) > 0}
	err = b.all(ctx, p.Cursor)
	if e := b.finish(); e != nil {
		err = e // what went wrong first
	}
	if err != nil {
		return err
	}
	for _, g := range olds {
		// Everything it let out has been withdrawn or has taken its new form.
		if err := n.ledger.Acknowledge(ctx, g, r.name, ledger.Ack{Cursor: g.End, Done: true}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) partnerOf(f *ledger.Feed, c name.Council) (p ledger.Partner, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		p, err = v.Partner(f, c)
		return err
	})
	return p, err
}

// An offering is an entry on its way, with what it is for us.
type offering struct {
	entry footprint.Entry
	index uint64 // in our log; of the item
	said  uint64 // of a withdrawal, in our log
	put   bool   // a record of the page
	item  bool   // of the page; else a withdrawal that makes room
}

// mayFlow asks again what may have changed since the page was read.
func (n *Node) mayFlow(f *ledger.Feed) error {
	if err := n.directory.Exchange(n.now()); err != nil {
		return err
	}
	doc, why := n.book.InForce(f.Agreement, n.now())
	if doc == nil {
		return errors.New(why)
	}
	if doc.Digest() != f.Digest {
		return errors.New("another version of the agreement has come into force")
	}
	return nil
}

// offerings makes the entries for part of a page. Where the footprint holds a
// record with other fields than are agreed now, its withdrawal comes first; with
// anew set, whichever version it holds.
func (n *Node) offerings(ctx context.Context, r *sink, f *ledger.Feed, part *ledger.Page, anew bool) ([]offering, error) {
	type parsed struct {
		token *record.Token
		view  *record.View
	}
	all := make([]parsed, len(part.Items))
	var ids []name.Record
	for i, it := range part.Items {
		if bytes.IndexByte(it.Token, '~') < 0 {
			continue
		}
		t, err := record.Parse(it.Token)
		if err != nil {
			return nil, fmt.Errorf("internal error: entry %d: %w", it.Index, err)
		}
		v, err := t.View()
		if err != nil {
			return nil, fmt.Errorf("internal error: entry %d: %w", it.Index, err)
		}
		all[i], ids = parsed{t, v}, append(ids, v.Record)
	}
	var adopted []name.Standard
	var there map[name.Record]holding
	if len(ids) > 0 {
		var err error
		if adopted, err = r.in.standards(ctx, f); err == nil {
			there, err = r.in.holds(ctx, f, ids)
		}
		if err != nil {
			return nil, err
		}
	}
	var out []offering
	for i, it := range part.Items {
		o := offering{entry: footprint.Entry{Token: it.Token}, index: it.Index, said: it.Index, item: true}
		t, v := all[i].token, all[i].view
		if t == nil {
			out = append(out, o)
			continue
		}
		if !slices.Contains(adopted, v.Standard) {
			who := ""
			if r.own == nil {
				who = "ask a member for "
			}
			return nil, fmt.Errorf("%s has not adopted %s: %sstile footprint adopt %s %s", r.name, v.Standard, who, r.name, v.Standard)
		}
		h, holds := there[v.Record]
		if holds && h.entry != t.Entry() && !anew {
			holds = false // an older version, with what was agreed then and is now
		}
		if holds && h.token != sha256.Sum256(it.Token) {
			said, w, err := n.withdrawal(ctx, f, v.Record, WithdrawnFields, it.Index)
			if err != nil {
				return nil, err
			}
			out = append(out, offering{entry: footprint.Entry{Token: w}, index: it.Index, said: said})
		}
		o.put = true
		out = append(out, o)
	}
	return out, nil
}

// withdrawal logs the withdrawal of a record from a footprint.
func (n *Node) withdrawal(ctx context.Context, f *ledger.Feed, rec name.Record, reason string, index uint64) (uint64, []byte, error) {
	return n.ledger.AppendNotice(ctx, ledger.KindWithdrawal, map[string]any{
		"agreement": string(f.Agreement), "version": json.Number(fmt.Sprint(f.Version)),
		"record": string(rec), "reason": reason, "entry": json.Number(fmt.Sprint(index)),
	})
}

// contribute brings entries under the next number of the agreement, and returns
// when whoever is asked next has what became of them.
func (n *Node) contribute(ctx context.Context, r *sink, f *ledger.Feed, cursor uint64, offers []offering) (footprint.Receipt, error) {
	since, err := r.in.number(ctx, f)
	if err != nil {
		return footprint.Receipt{}, err
	}
	got, err := n.contributeFrom(ctx, r, f, since, max(since+1, cursor), offers)
	if err != nil {
		return got, err
	}
	return got, r.in.settled(ctx, f, brought(offers), got)
}

// An untaken error says that the footprint could not take entries as they are
// now. Nothing is lost then.
type untaken struct {
	by   name.Council
	rule string
}

func (u *untaken) Error() string { return fmt.Sprintf("%s does not take them now: %s", u.by, u.rule) }

// brought are the entries of offerings.
func brought(offers []offering) []footprint.Entry {
	entries := make([]footprint.Entry, len(offers))
	for i, o := range offers {
		entries[i] = o.entry
	}
	return entries
}

// contributeFrom brings entries that follow on the number since and move it to
// cursor.
func (n *Node) contributeFrom(ctx context.Context, r *sink, f *ledger.Feed, since, cursor uint64, offers []offering) (footprint.Receipt, error) {
	got, err := r.in.contribute(ctx, f, since, cursor, brought(offers))
	if err != nil {
		return got, err
	}
	for i, o := range got.Outcomes {
		if r.own == nil && !offers[i].put && o.Code == footprint.Refused {
			return got, &untaken{r.name, o.Rule} // a withdrawal is never given up on one member's word
		}
		switch o.Rule {
		case footprint.RuleMember, footprint.RuleForming, footprint.RuleStandard, footprint.RuleOrder:
			return got, &untaken{r.name, o.Rule}
		}
	}
	return got, nil
}

// contributed keeps what became of part of a page: in the log, and as the cursor.
func (n *Node) contributed(ctx context.Context, r *sink, f *ledger.Feed, part *ledger.Page, offers []offering, got footprint.Receipt) error {
	held, withdrawn, refused := n.became(r, f.Agreement, offers, got)
	err := n.noteContributed(ctx, r, f.Agreement, map[string]any{
		"version": number(uint64(f.Version)), "position": number(got.Position), "since": number(part.Since), "cursor": number(part.Cursor),
	}, held, withdrawn, refused)
	if err != nil {
		return err
	}
	there, err := r.in.held(ctx, f)
	if err != nil {
		return err
	}
	return n.ledger.Acknowledge(ctx, f, r.name, ledger.Ack{Since: part.Since, Cursor: part.Cursor, Held: there, Refused: len(refused)})
}

// retract withdraws everything that an agreement let into a footprint and that is
// over now. What there is is read from the footprint: it is what has to go.
func (n *Node) retract(ctx context.Context, r *sink, f *ledger.Feed) error {
	p, err := n.partnerOf(f, r.name)
	if err != nil || p.Done || p.Disclosed == 0 {
		return err
	}
	for {
		ours, err := r.in.ours(ctx, f)
		if err != nil {
			return err
		}
		if len(ours) == 0 {
			break
		}
		offers := make([]offering, len(ours))
		errs := make([]error, len(ours))
		var wg sync.WaitGroup
		for i, rec := range ours {
			// Together, so that the ledger commits many at a time.
			wg.Go(func() {
				var jws []byte
				var was, said uint64
				err := n.ledger.View(func(v *ledger.View) (err error) {
					was, _, err = v.InFeed(f, rec)
					return err
				})
				if err == nil || errors.Is(err, ledger.ErrNotFound) {
					said, jws, err = n.withdrawal(ctx, f, rec, WithdrawnOver, was)
				}
				offers[i], errs[i] = offering{entry: footprint.Entry{Token: jws}, said: said, item: true}, err
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		got, err := n.contribute(ctx, r, f, f.End, offers)
		if err != nil {
			return err
		}
		_, withdrawn, refused := n.became(r, f.Agreement, offers, got)
		err = n.noteContributed(ctx, r, f.Agreement, map[string]any{
			"version": number(uint64(f.Version)), "position": number(got.Position), "since": number(f.End), "cursor": number(f.End),
		}, nil, withdrawn, refused)
		if err != nil {
			return err
		}
	}
	return n.ledger.Acknowledge(ctx, f, r.name, ledger.Ack{Since: f.End, Cursor: f.End, Done: true})
}

// flowWords says how the exchange with a footprint stands.
func (n *Node) flowWords(out *PartnerReply, f *ledger.Feed, p ledger.Partner) {
	var r *sink
	if own := n.prints.at(out.Council); own != nil {
		r = &own.sink
	} else if r = n.sinks.at(out.Council); r != nil && n.gone(out.Council) != "" {
		out.Behind = n.gone(out.Council)
		return
	}
	out.Connected = r != nil && (r.own != nil || r.problem(f.Agreement) == "")
	switch {
	case !f.Ready:
		out.Behind = "the index of the agreement is being made"
	case r != nil && r.problem(f.Agreement) != "":
		out.Behind = r.problem(f.Agreement)
	case p.Cursor >= f.End:
		out.InStep = true
	case r == nil:
		out.Behind = "this node is not running, or the footprint is not open in it"
	default:
		out.Behind = "records are on their way"
	}
}

func (r *sink) problem(a name.Agreement) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[a].problem
}
