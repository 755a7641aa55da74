package disclosure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A place is where a list is continued: after one entry of one event.
type place struct {
	at           int64 // seconds
	event, entry uint64
}

func placeOf(d *api.Disclosure) place { return place{d.At.Unix(), d.Entry, d.RecordEntry} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.event, q.event), cmp.Compare(p.entry, q.entry))
}

func (p place) cursor() api.Cursor {
	return api.Cursor(strconv.FormatInt(p.at, 36) + "." + strconv.FormatUint(p.event, 36) + "." + strconv.FormatUint(p.entry, 36))
}

// placeAt reads what cursor prints; the beginning for none.
func placeAt(c api.Cursor) (p place, err error) {
	if c == "" {
		return place{at: -1}, nil
	}
	parts := strings.Split(string(c), ".")
	if len(parts) == 3 {
		var errs [3]error
		p.at, errs[0] = strconv.ParseInt(parts[0], 36, 64)
		p.event, errs[1] = strconv.ParseUint(parts[1], 36, 64)
		p.entry, errs[2] = strconv.ParseUint(parts[2], 36, 64)
		if errors.Join(errs[:]...) == nil && p.at >= 0 {
			return p, nil
		}
	}
	return p, api.Fail(api.Usage, "begin at the first page, without a cursor", "the cursor is none that this node gave")
}

// List lists what was let out, the oldest first, a page at a time. It reads what it
// lists, and of a record named, or of a person, all that was let out.
func (r *Register) List(ctx context.Context, in api.DisclosureRequest) (*api.DisclosureReply, error) {
	if in.Limit <= 0 {
		in.Limit = 100
	}
	in.Limit = min(in.Limit, 1000)
	if in.Record != "" && in.Person != "" {
		return nil, api.Fail(api.Usage, "leave one of the two out", "the list is of a record or of a person, not of both")
	}
	after, err := placeAt(in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &api.DisclosureReply{Disclosures: []api.Disclosure{}}
	// take adds to the page, and says whether there is room for more.
	take := func(d api.Disclosure) bool {
		if placeOf(&d).compare(after) <= 0 || d.At.Before(in.Since) || !in.Until.IsZero() && !d.At.Before(in.Until) ||
			in.To != "" && d.To != in.To || in.Agreement != "" && d.Agreement != in.Agreement {
			return true
		}
		if n := len(out.Disclosures); n == in.Limit {
			out.Cursor = placeOf(&out.Disclosures[n-1]).cursor()
			return false
		}
		out.Disclosures = append(out.Disclosures, d)
		return true
	}
	err = r.o.Ledger.View(func(v *ledger.View) error {
		var versions []ledger.Logged
		switch {
		case in.Person != "":
			p, err := r.person(v, in.Person, in.Scheme)
			if err != nil {
				return err
			}
			all, err := r.ours(v, p)
			if err != nil {
				return err
			}
			for _, a := range all {
				versions = append(versions, a.versions...)
			}
		case in.Record != "":
			id, err := r.o.Record(in.Record, in.Standard)
			if err != nil {
				return err
			}
			err = v.Versions(id, func(g ledger.Logged) bool { versions = append(versions, g); return true })
			if errors.Is(err, ledger.ErrNotFound) {
				return api.Fail(api.NotFound, "stile record list", "there is no record %s of ours", id)
			}
			if err != nil {
				return err
			}
		default:
			return r.flows(ctx, v, in, after, take)
		}
		ds, err := r.of(ctx, v, versions)
		for i := 0; i < len(ds) && err == nil && take(ds[i]); i++ {
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// flows lists by the events that let something out.
func (r *Register) flows(ctx context.Context, v *ledger.View, in api.DisclosureRequest, after place, take func(api.Disclosure) bool) error {
	from := ledger.Flow{At: in.Since}
	if after.at >= 0 && !time.Unix(after.at, 0).Before(in.Since) {
		// Back to the event itself, of which more may be to come. None stands at 0.
		from = ledger.Flow{At: time.Unix(after.at, 0), Index: max(after.event, 1) - 1}
	}
	var failed error
	err := v.Flows(in.To, in.Agreement, from, func(f ledger.Flow) bool {
		if failed = ctx.Err(); failed != nil || !in.Until.IsZero() && !f.At.Before(in.Until) {
			return false
		}
		var e *let
		if e, failed = r.let(v, f.Index); failed != nil {
			return false
		}
		if len(e.entries) == 0 {
			return take(e.row)
		}
		for _, at := range e.entries {
			// What was listed before is not read again.
			if (place{f.At.Unix(), f.Index, at}).compare(after) <= 0 {
				continue
			}
			var d *api.Disclosure
			if d, failed = r.row(v, e, at); failed != nil {
				return false
			}
			if d != nil && !take(*d) {
				return false
			}
		}
		return true
	})
	return errors.Join(err, failed)
}

// of returns what was let out of some versions of records, the oldest first.
func (r *Register) of(ctx context.Context, v *ledger.View, versions []ledger.Logged) (out []api.Disclosure, err error) {
	events := map[uint64]*let{}
	for _, g := range versions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at, err := v.LetOut(g.Index)
		if err != nil {
			return nil, err
		}
		for _, i := range at {
			e := events[i]
			if e == nil {
				if e, err = r.let(v, i); err != nil {
					return nil, err
				}
				events[i] = e
			}
			// The index finds; the event says.
			if _, ok := slices.BinarySearch(e.entries, g.Index); !ok || e.row.Footprint != "" {
				continue
			}
			d, err := r.row(v, e, g.Index)
			if err != nil {
				return nil, err
			}
			if d != nil {
				out = append(out, *d)
			}
		}
	}
	slices.SortFunc(out, func(a, b api.Disclosure) int { return placeOf(&a).compare(placeOf(&b)) })
	return out, nil
}

// A let is an event that let something out.
type let struct {
	row      api.Disclosure // what is the same for all that it let out
	entries  []uint64       // of the log of row.Footprint, or ours, ascending
	question event.QuestionID
	feed     *ledger.Feed // of the agreement's text; nil where there is none here
}

// let reads an event that the disclosure index names.
func (r *Register) let(v *ledger.View, index uint64) (*let, error) {
	ev, _, err := v.Event(index)
	if err != nil {
		return nil, err
	}
	e := &let{row: api.Disclosure{At: time.Unix(ev.IssuedAt, 0).UTC(), Entry: index, Way: api.LetCopy, Fields: []name.Field{}}}
	under := func(d event.Disclosure) {
		e.row.To, e.row.Agreement, e.row.Version, e.entries = d.To, d.Agreement, d.Version, d.Entries
	}
	switch ev.Kind {
	case event.KindDisclosure:
		var d event.Disclosure
		d, err = event.ParseDisclosure(ev.Body)
		under(d)
	case event.KindFootprintDisclosure:
		var d event.FootprintDisclosure
		d, err = event.ParseFootprintDisclosure(ev.Body)
		under(d.Disclosure)
		e.row.Footprint = d.Footprint
	case event.KindFootprintPut:
		var p event.FootprintPut
		p, err = event.ParseFootprintPut(ev.Body)
		e.row.Way, e.row.To, e.entries = api.LetFootprint, p.Footprint, p.Entries
	case event.KindAnswer:
		var a event.Answer
		a, err = event.ParseAnswer(ev.Body)
		e.row.Way, e.row.To, e.row.For, e.row.Agreement, e.row.Version, e.row.Because = api.LetAnswer, a.To, a.For, a.Agreement, a.Version, a.Because
		if a.Outcome == event.OutcomeCounted {
			e.row.Way = api.LetCounts
			if t := r.text(a.Agreement, a.Version); t != nil {
				e.row.Fields = a.By
			}
		}
		e.row.Footprint, e.entries, e.question = a.Footprint, a.Entries, a.ID
		e.row.Receipt, err = e.answered(v, err)
	default:
		err = fmt.Errorf("it is of the kind %s", ev.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("entry %d, which the disclosure index names: %w", index, err)
	}
	slices.Sort(e.entries)
	if t := r.text(e.row.Agreement, e.row.Version); t != nil {
		e.row.Urgent = t.Way().Urgent()
	}
	if e.row.Footprint == "" {
		e.feed = r.o.Ledger.FeedOf(e.row.Agreement, e.row.Version)
	}
	return e, nil
}

// answered returns the asker's receipt for an answer.
func (e *let) answered(v *ledger.View, before error) (*api.DisclosureReceipt, error) {
	if before != nil {
		return nil, before
	}
	q, err := v.Answered(e.row.To, e.question)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && q.Receipt == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_, ev, err := record.ParseEvent(q.Receipt)
	if err != nil {
		return nil, err
	}
	return &api.DisclosureReceipt{At: time.Unix(ev.IssuedAt, 0).UTC(), Says: "received"}, nil
}

// row returns what is to be said of one entry that an event let out; nil where it is no
// record, but a withdrawal of one.
func (r *Register) row(v *ledger.View, e *let, at uint64) (*api.Disclosure, error) {
	d := e.row
	d.RecordEntry = at
	text := r.text(d.Agreement, d.Version)
	if d.Footprint != "" {
		if text != nil {
			d.Fields = slices.Clone(text.Fields)
		}
		d.Unread = "it stands in the ledger of " + string(d.Footprint)
		return &d, nil
	}
	g, err := v.Logged(at)
	if errors.Is(err, ledger.ErrNotFound) {
		return r.passed(v, e, at)
	}
	if err == nil {
		d.Record, d.RecordVersion, d.Standard, d.Committed = g.Record, g.Version, g.Standard, g.At
	} else if errors.Is(err, ledger.ErrStorage) {
		return nil, err
	}
	ver, err := v.Version(at)
	switch {
	case errors.Is(err, ledger.ErrStorage):
		return nil, err
	case err != nil:
		d.Unread = unread(err)
		if text != nil {
			d.Fields = slices.Clone(text.Fields)
		}
	case d.Way == api.LetFootprint:
		for _, f := range openFields(ver) {
			if has(ver.Body, f.Tokens()) {
				d.Fields = append(d.Fields, f)
			}
		}
	case text != nil:
		d.Fields = []name.Field{}
		for _, f := range text.Fields {
			if has(ver.Body, f.Tokens()) {
				d.Fields = append(d.Fields, f)
			}
		}
	}
	if d.Way == api.LetAnswer {
		return &d, nil
	}
	if d.Receipt, err = r.receipt(v, e.feed, d.To, d.Entry, at); err != nil {
		return nil, err
	}
	if d.Record != "" {
		d.Withdrawal, err = r.withdrawal(v, e.feed, &d)
	}
	return &d, err
}

// passed returns what is to be said of an entry by which a record of another council was
// passed on; nil where it is another event.
func (r *Register) passed(v *ledger.View, e *let, at uint64) (*api.Disclosure, error) {
	p, _, err := ledger.ReadEvent(v, at, event.KindPassedOn, event.ParsePassedOn)
	if errors.Is(err, ledger.ErrStorage) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	d := e.row
	d.RecordEntry, d.Record, d.RecordVersion, d.Of = at, p.Record, p.RecordVersion, p.Origin.Council()
	text := r.text(d.Agreement, d.Version)
	if text != nil {
		d.Fields = slices.Clone(text.Fields)
	}
	src, err := r.o.Ledger.Source(p.Origin.Council(), p.Origin)
	var h *ledger.Holding
	if err == nil {
		h, err = v.Holding(src, p.Record)
	}
	switch {
	case errors.Is(err, ledger.ErrStorage):
		return nil, err
	case err != nil:
		d.Unread = "it is not held here any more"
	case h.Version != p.RecordVersion:
		d.Of, d.Standard, d.Unread = h.View.Council, h.View.Standard, "a newer version is held"
	default:
		d.Of, d.Standard = h.View.Council, h.View.Standard
		d.Fields = slices.DeleteFunc(d.Fields, func(f name.Field) bool { return !has(h.View.Body, f.Tokens()) })
	}
	if d.Receipt, err = r.receipt(v, e.feed, d.To, d.Entry, at); err != nil {
		return nil, err
	}
	d.Withdrawal, err = r.withdrawal(v, e.feed, &d)
	return &d, err
}

// PassedOn lists to whom a record that another council sent under an agreement was passed on,
// as its newest version was; empty where it was to nobody.
func (r *Register) PassedOn(origin name.Agreement, id name.Record) (out []api.Disclosure, err error) {
	err = r.o.Ledger.View(func(v *ledger.View) (err error) {
		out, err = r.passedOn(v, origin, id)
		return err
	})
	return out, err
}

// passedOn returns to whom a record that another council sent under an agreement was passed
// on, as its newest version was.
func (r *Register) passedOn(v *ledger.View, origin name.Agreement, id name.Record) (out []api.Disclosure, err error) {
	for _, f := range r.o.Ledger.Feeds() {
		text := r.text(f.Agreement, uint64(f.Version))
		if _, is := f.Onward(); !is || text == nil || text.Origin != origin {
			continue
		}
		at, withdrawn, err := v.InFeed(f, id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err == nil && withdrawn {
			var ev *record.Event
			if ev, _, err = v.Event(at); err == nil {
				var w event.Withdrawal
				if w, err = event.ParseTakenBack(ev.Kind, ev.Body); err == nil {
					at = w.Entry
				}
			}
		}
		var list []uint64
		if err == nil {
			list, err = v.LetOut(at)
		}
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			e, err := r.let(v, i)
			if err != nil {
				return nil, err
			}
			if _, ok := slices.BinarySearch(e.entries, at); !ok || e.row.Footprint != "" {
				continue
			}
			d, err := r.row(v, e, at)
			if err != nil {
				return nil, err
			}
			if d != nil {
				out = append(out, *d)
			}
		}
	}
	return out, nil
}

// receipt returns what a receiver said of an entry, record or withdrawal, that was let
// out by an event; nil while it said nothing.
func (r *Register) receipt(v *ledger.View, f *ledger.Feed, to name.Council, by, at uint64) (*api.DisclosureReceipt, error) {
	if r.o.Footprint(to) {
		return r.contributed(v, to, by, at)
	}
	if f == nil {
		return nil, nil
	}
	jws, err := v.ReceiptFor(f, to, at)
	if err != nil {
		return nil, err
	}
	if jws == nil {
		return r.called(v, f, to, by, at)
	}
	_, ev, err := record.ParseEvent(jws)
	if err != nil {
		return nil, err
	}
	said, err := event.ParseReceipt(ev.Body)
	if err != nil {
		return nil, err
	}
	out := &api.DisclosureReceipt{At: time.Unix(ev.IssuedAt, 0).UTC(), Says: "received"}
	switch {
	case slices.Contains(said.Held, at):
		out.Says = "held"
	case slices.Contains(said.Deleted, at):
		out.Says = "deleted"
	default:
		for _, no := range said.Refused {
			if no.Entry == at {
				out.Says, out.Rule = "refused", strings.TrimSpace(no.Rule+" "+no.Pointer)
			}
		}
	}
	return out, nil
}

// called is receipt for a receiver that has no node: what it said first, by a call, that
// covers an entry.
func (r *Register) called(v *ledger.View, f *ledger.Feed, to name.Council, by, at uint64) (out *api.DisclosureReceipt, err error) {
	v.Events(event.KindReceiptByCall, by, func(i uint64) bool {
		var ev *record.Event
		var c event.ReceiptByCall
		if ev, _, err = v.Event(i); err == nil {
			c, err = event.ParseReceiptByCall(ev.Body)
		}
		if err != nil {
			return false
		}
		if c.Receiver != to || c.Agreement != f.Agreement || c.Version != uint64(f.Version) || c.Cursor <= at || c.Suspended && by != at {
			return true
		}
		out = &api.DisclosureReceipt{At: time.Unix(ev.IssuedAt, 0).UTC(), Says: "received", ByCall: true, Key: c.Key, Entry: i}
		if by == at || c.All { // a withdrawal, or all of it
			out.Says = "deleted"
		}
		return false
	})
	return out, err
}

// contributed is receipt for what went into a footprint.
func (r *Register) contributed(v *ledger.View, to name.Council, by, at uint64) (*api.DisclosureReceipt, error) {
	list, err := v.Contributed(at)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i < by {
			continue
		}
		ev, _, err := v.Event(i)
		if err != nil {
			return nil, err
		}
		c, err := event.ParseFootprintContributed(ev.Body)
		if err != nil {
			return nil, err
		}
		if c.Footprint != to {
			continue
		}
		out := &api.DisclosureReceipt{At: time.Unix(ev.IssuedAt, 0).UTC(), Says: "held", Entry: i}
		if slices.Contains(c.Withdrawn, at) {
			out.Says = "deleted"
		}
		for _, no := range c.Refused {
			if no.Entry == at {
				out.Says, out.Rule = "refused", no.Rule
			}
		}
		return out, nil
	}
	return nil, nil
}

// AtTerm is why a receiver deleted what it was sent, where nobody took it back.
const AtTerm = "the time for which it may be kept was over"

// withdrawal returns how what was let out was taken back; nil when it was not.
func (r *Register) withdrawal(v *ledger.View, f *ledger.Feed, d *api.Disclosure) (*api.DisclosureWithdrawal, error) {
	list, err := v.TakenBack(d.Record)
	if err != nil {
		return nil, err
	}
	var out *api.DisclosureWithdrawal
	for _, i := range list {
		if i < d.Entry {
			continue // what an earlier text let out; this was logged, and left, after that
		}
		ev, _, err := v.Event(i)
		if err != nil {
			return nil, err
		}
		w, err := event.ParseTakenBack(ev.Kind, ev.Body)
		if err != nil {
			return nil, err
		}
		if w.Agreement != d.Agreement || out != nil && ev.Kind != event.KindErasureOrder {
			continue
		}
		if out == nil { // else an order to erase, which took the place of the withdrawal
			out = &api.DisclosureWithdrawal{At: time.Unix(ev.IssuedAt, 0).UTC(), Entry: i, Reason: w.Reason}
		}
		got, err := r.receipt(v, r.o.Ledger.FeedOf(w.Agreement, w.Version), d.To, i, i)
		if err != nil {
			return nil, err
		}
		if got != nil && got.Says == "deleted" {
			out.Deleted = &got.At
			return out, nil
		}
	}
	if out != nil {
		return out, nil
	}
	said, err := v.Retained(d.To, d.Agreement, d.Record)
	if err == nil && said.Index >= d.RecordEntry {
		return &api.DisclosureWithdrawal{Reason: AtTerm, AtTerm: true, Deleted: &said.Deleted}, nil
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	if f == nil || !f.Closed() {
		return nil, nil
	}
	p, err := v.Partner(f, d.To)
	if err != nil || !p.Done {
		return nil, err
	}
	gone := p.LastAck
	return &api.DisclosureWithdrawal{Reason: "the agreement is over", Deleted: &gone}, nil
}

// unread says why a version is not shown.
func unread(err error) string {
	if errors.Is(err, ledger.ErrErased) {
		return "it was erased"
	}
	return "it cannot be read: it is damaged on disk"
}

// openFields returns the places that a version's standard calls open.
func openFields(ver *ledger.Version) (out []name.Field) {
	for f, c := range ver.Standard.Manifest().Classes {
		if c == "open" {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// has reports whether something stands at a place of a record, null or not.
func has(v any, tokens []string) bool {
	if len(tokens) == 0 {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		e, ok := v[tokens[0]]
		return ok && has(e, tokens[1:])
	case []any:
		if tokens[0] == "*" {
			return slices.ContainsFunc(v, func(e any) bool { return has(e, tokens[1:]) })
		}
		if i, err := strconv.Atoi(tokens[0]); err == nil && i >= 0 && i < len(v) {
			return has(v[i], tokens[1:])
		}
	}
	return false
}
