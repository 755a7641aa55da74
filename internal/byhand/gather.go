package byhand

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func oneLine(s string, most int) bool {
	if len(s) > most || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return false
		}
	}
	return true
}

// under returns the agreements in force by which records go by hand from one council to
// another, and move or do not.
func (k *Keeper) under(from, to name.Council, moves bool) (out []*agreement.Agreement) {
	for _, st := range k.o.Agreements.Current(k.o.Now()) {
		a := st.Agreement
		if st.InForce() && a.From == from && slices.Contains(a.To, to) && a.Way().ByHand && a.Way().Moves == moves {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *agreement.Agreement) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// mode returns what agreements are called by which records move, or do not.
func mode(moves bool) agreement.Mode {
	for _, m := range agreement.Modes() {
		if w := m.Way(); w.ByHand && w.Moves == moves {
			return m
		}
	}
	return ""
}

// meant returns the records of ours that a request means.
func (k *Keeper) meant(in api.CaseRequest) (ids []name.Record, err error) {
	switch {
	case in.Person != "" && len(in.Records) > 0:
		return nil, api.Fail(api.Usage, "", "name records or a person, not both")
	case in.Person != "":
		err = k.o.Ledger.View(func(v *ledger.View) (err error) {
			ids, _, err = k.o.About(v, in.Person, in.Scheme)
			return err
		})
		if err == nil && len(ids) == 0 {
			err = api.Fail(api.NotFound, "look at the number again", "no record of ours names that person")
		}
		return ids, err
	case len(in.Records) == 0:
		return nil, api.Fail(api.Usage, "stile record list", "name the records, or a person with --person")
	}
	for _, r := range in.Records {
		id, err := k.o.RecordID(r, in.Standard)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// gather returns what of some records may go to a partner now, and what not, with why.
func (k *Keeper) gather(ids []name.Record, to name.Council, moves bool) (items []event.Item, left []api.CaseItem, docs []*agreement.Agreement, err error) {
	under := k.under(k.o.Self, to, moves)
	if len(under) == 0 {
		return nil, nil, nil, api.Fail(api.Refused, fmt.Sprintf("stile agreement draft --to %s --mode %s", to, mode(moves)), "no agreement of mode %s with %s is in force, under which we send", mode(moves), to)
	}
	err = k.o.Ledger.View(func(v *ledger.View) error {
		for _, id := range ids {
			ver, err := v.Current(id)
			if err != nil && !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
			if err != nil || ver.Claims.Op != record.Put {
				left = append(left, api.CaseItem{Record: id, Problem: "it is not there"})
				continue
			}
			n := 0
			for _, a := range under {
				ok, err := k.lets(a, ver)
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				n++
				items = append(items, event.Item{Agreement: a.Name, Version: uint64(a.Version), Record: id, Entry: ver.Index})
				if !slices.Contains(docs, a) {
					docs = append(docs, a)
				}
			}
			if n == 0 {
				left = append(left, api.CaseItem{Record: id, Standard: ver.Claims.Standard.Line().String(), Problem: "no agreement of mode " + string(mode(moves)) + " lets it go"})
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, nil, err
	case len(items) == 0:
		return nil, left, nil, api.Fail(api.Refused, "stile agreement list", "none of these records may go to %s: no agreement of mode %s in force lets them", to, mode(moves))
	case len(items) > event.MaxItems:
		return nil, left, nil, api.Fail(api.Refused, "name some of them", "these are %d records, and one case has at most %d", len(items), event.MaxItems)
	}
	return items, left, docs, nil
}

// lets reports whether an agreement lets a version of a record of ours go.
func (k *Keeper) lets(a *agreement.Agreement, ver *ledger.Version) (bool, error) {
	if ver.Claims.Standard.Line() != a.Standard {
		return false, nil
	}
	f, err := k.o.Ledger.Feed(a.Name, a.Digest())
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t := f.TermsFor(ver.Standard)
	return t != nil && t.Match(ver.Body), nil
}

// standing returns the text of an agreement by which an item of a case may go now; nil, and
// why, when it may not.
func (k *Keeper) standing(c ledger.Case, it event.Item) (*agreement.Agreement, string) {
	from, to := c.Partner, k.o.Self
	if c.Sends {
		from, to = to, from
	}
	st, ok := k.o.Agreements.Status(it.Agreement, k.o.Now())
	switch {
	case !ok || st.Agreement.From != from || !slices.Contains(st.Agreement.To, to):
		return nil, "there is no such agreement between the two"
	case !st.Agreement.Way().ByHand || st.Agreement.Way().Moves == c.Urgent:
		return nil, "the agreement is not of mode " + string(mode(!c.Urgent))
	case !st.InForce() && st.Phase != agreement.Suspended:
		return nil, "the agreement is not in force: " + st.Why
	}
	return st.Agreement, ""
}

// today is the day, in UTC, as all dates of agreements are.
func (k *Keeper) today() time.Time { return k.o.Now().UTC().Truncate(24 * time.Hour) }
