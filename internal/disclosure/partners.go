package disclosure

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	partnersAtOnce = 8                // that are asked
	partnerWithin  = 30 * time.Second // one has to answer one question
	toldFields     = 8_000            // of all rows of one answer; what goes beyond is counted
)

// Tell says, for a party that asks for a person, what is held here of records that went
// under an agreement, or to whom ours were given: it reads the disclosure index. Of a record
// that did not go between the two under that agreement it says what it says of one that is
// not here. What was given under another agreement is told where the parties of that one have
// agreed that such questions are answered, or where it is public, and else counted.
func (r *Register) Tell(ctx context.Context, v *ledger.View, doc *agreement.Agreement, asker name.Council, records []name.Record) (told []event.Told, unsaid uint64, err error) {
	t := &telling{r: r, v: v, doc: doc, asker: asker}
	for _, id := range records {
		if doc.From == r.o.Self {
			err = t.gave(ctx, id)
		} else {
			err = t.holds(id)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return t.rows, t.unsaid, nil
}

type telling struct {
	r      *Register
	v      *ledger.View
	doc    *agreement.Agreement
	asker  name.Council
	rows   []event.Told
	fields int
	unsaid uint64
}

func (t *telling) add(row event.Told) {
	if t.fields += len(row.Fields); len(t.rows) == event.MaxTold || t.fields > toldFields || len(row.Fields) > event.MaxToldFields {
		t.unsaid++
		return
	}
	t.rows = append(t.rows, row)
}

// holds tells of a record that another council sent.
func (t *telling) holds(id name.Record) error {
	row := event.Told{Record: id, Says: event.ToldNot, Agreement: t.doc.Name, Version: uint64(t.doc.Version)}
	src, err := t.r.o.Ledger.Source(t.doc.From, t.doc.Name)
	var h *ledger.Holding
	if err == nil {
		h, err = t.v.Holding(src, id)
	}
	switch {
	case errors.Is(err, ledger.ErrStorage):
		return err
	case errors.Is(err, ledger.ErrNotFound):
	case err != nil:
		row.Says = event.ToldHolds // damaged, and here
	default:
		row.Says = event.ToldHolds
		at, err := t.v.ReceiptedBy(src.From, src.Agreement, h.Index)
		if err != nil {
			return err
		}
		if len(at) > 0 {
			ev, _, err := t.v.Event(at[0])
			if err != nil {
				return err
			}
			row.At = uint64(max(ev.IssuedAt, 0))
		}
	}
	t.add(row)
	ds, err := t.r.passedOn(t.v, t.doc.Name, id)
	if err != nil {
		return err
	}
	t.given(id, ds)
	return nil
}

// gave tells of a record of ours.
func (t *telling) gave(ctx context.Context, id name.Record) error {
	var versions []ledger.Logged
	err := t.v.Versions(id, func(g ledger.Logged) bool { versions = append(versions, g); return true })
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	ds, err := t.r.of(ctx, t.v, versions)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(ds, func(d api.Disclosure) bool { return d.Agreement == t.doc.Name && d.To == t.asker }) {
		t.add(event.Told{Record: id, Says: event.ToldNot, Agreement: t.doc.Name, Version: uint64(t.doc.Version)})
		return nil
	}
	t.given(id, ds)
	return nil
}

// given tells to whom a record was given.
func (t *telling) given(id name.Record, ds []api.Disclosure) {
	for _, d := range ds {
		if text := t.r.text(d.Agreement, d.Version); d.Agreement != "" && (text == nil || !text.AnswersSubjects()) {
			t.unsaid++
			continue
		}
		row := event.Told{
			Record: id, Says: event.ToldGave, At: uint64(max(d.At.Unix(), 0)), Agreement: d.Agreement, Version: d.Version,
			To: d.To, Way: d.Way, Fields: d.Fields, Entry: d.Entry,
		}
		if w := d.Withdrawal; w != nil {
			row.Says = event.ToldTook
			if w.Deleted != nil {
				row.Says = event.ToldGone
			}
		}
		t.add(row)
	}
}

// AskPartners adds to a report what partners say of the records that went between us and
// them: each is asked by the ids of records, under the agreement under which they went, and
// neither the number nor a value of the person travels. A partner that refuses, is silent,
// or has not agreed to be asked, is named with why. It asks several at once, and takes half
// a minute for each question at the most.
func AskPartners(ctx context.Context, out *api.SubjectReply, because string, ask func(context.Context, question.SubjectRequest) (*question.Answer, error)) {
	type of struct {
		partner name.Council
		under   name.Agreement
	}
	records, kept := map[of][]name.Record{}, map[of]string{}
	for _, h := range out.Received {
		k := of{h.From, h.Agreement}
		records[k] = append(records[k], h.Record)
		if h.Kept != "" {
			kept[k] = h.Kept
		}
	}
	for _, x := range out.Records {
		for _, d := range x.Disclosed {
			if d.Agreement != "" {
				k := of{d.To, d.Agreement}
				records[k] = append(records[k], x.Record)
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(records), func(a, b of) int {
		return cmp.Or(cmp.Compare(a.partner, b.partner), cmp.Compare(a.under, b.under))
	})
	out.Partners = make([]api.SubjectPartner, len(keys))
	room := make(chan struct{}, partnersAtOnce)
	var all sync.WaitGroup
	for i, k := range keys {
		list := records[k]
		slices.Sort(list)
		list = slices.Compact(list)
		p := &out.Partners[i]
		*p = api.SubjectPartner{Council: k.partner, Agreement: k.under, Records: len(list), Told: []api.SubjectTold{}}
		if until, ended := kept[k]; ended {
			p.Says, p.Why = api.PartnerEnded, "to whom it gave the record stands in its sealed ledger, which its successors keep: ask them; our copy is "+until
			continue
		}
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			for some := range slices.Chunk(list, event.MaxSubjects) {
				within, cancel := context.WithTimeout(ctx, partnerWithin)
				got, err := ask(within, question.SubjectRequest{Agreement: k.under, To: k.partner, Records: some, Because: because})
				cancel()
				if err != nil {
					p.Says, p.Why = silence(err)
					return // what it has told so far stays
				}
				answered(p, got)
			}
		})
	}
	all.Wait()
}

func answered(p *api.SubjectPartner, got *question.Answer) {
	p.Says, p.Unsaid = api.PartnerAnswered, p.Unsaid+got.Unsaid
	p.Answers = append(p.Answers, string(got.Event))
	for _, t := range got.Told {
		row := api.SubjectTold{Record: t.Record, Says: t.Says, Agreement: t.Agreement, Version: t.Version, To: t.To, Way: t.Way, Fields: t.Fields, Entry: t.Entry}
		if t.At > 0 {
			row.At = time.Unix(int64(t.At), 0).UTC()
		}
		p.Told = append(p.Told, row)
	}
}

// silence says why a partner has not answered.
func silence(err error) (says, why string) {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return api.PartnerSilent, "it did not answer in time"
	case !ok:
		return api.PartnerSilent, "it could not be asked"
	case e.Kind == api.Unverified:
		return api.PartnerFalse, e.Message
	case e.Kind == api.Unreachable || e.Kind == api.Behind:
		return api.PartnerSilent, e.Message
	}
	return api.PartnerRefused, e.Message
}
