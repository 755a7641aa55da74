package agreement

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A passed date of review stops what travels under an agreement as a suspension does:
// the receiver keeps what it holds, and what has to come back comes back. It goes on
// once every party has renewed it: said, by a signed event, that it has reviewed the
// text and leaves it as it is until a later date. A renewal changes no word of the
// text; the date that counts is the latest to which all parties have renewed.

// MaxRenewals is how often a party may renew one text. It bounds what a council can
// have others remember; a text that was renewed as often is due for a new version.
const MaxRenewals = 100

// A Renewal is a party's word that it has reviewed a document, which is to go on in
// these words until the day Review. By is as in a [Signature]. Body:
//
//	{"agreement":"northmoor.gov.uk/people","digest":"<64 hex>","review":"2028-12-01","version":1}
type Renewal struct {
	Ref
	Review Date
	By     string
}

// Body returns the event's body as strictjson decodes it.
func (r Renewal) Body() map[string]any {
	return bodyOf(r.Ref, withBy(map[string]any{"review": string(r.Review)}, r.By))
}

// ParseRenewal reads a body.
func ParseRenewal(body any) (Renewal, error) {
	m, ref, by, err := parseBody(body, "review")
	if err != nil {
		return Renewal{}, err
	}
	s, _ := m["review"].(string)
	d, err := ParseDate(s)
	if err != nil {
		return Renewal{}, fmt.Errorf("%w: review: want a date such as 2026-12-01", ErrEvent)
	}
	return Renewal{ref, d, by}, nil
}

// A Renewed is what a party said last of the date of review.
type Renewed struct {
	By     name.Council
	Review Date      // to which it renews the text
	At     time.Time // when it said so, as it claims
}

// renew takes in a renewal. One that is not later than what the party said before
// changes nothing.
func (v *version) renew(c name.Council, to Date, at time.Time) error {
	switch said := v.renewed[c]; {
	case to <= v.doc.Review:
		return fmt.Errorf("%w: the text of %s has the date %s itself", ErrConflict, v.doc.Name, v.doc.Review)
	case v.doc.Ends != "" && to > v.doc.Ends:
		return fmt.Errorf("%w: %s ends on %s", ErrConflict, v.doc.Name, v.doc.Ends)
	case slices.ContainsFunc(said, func(r Renewed) bool { return r.Review >= to && !r.At.After(at) }):
		return nil
	case len(said) >= MaxRenewals:
		return fmt.Errorf("%w: %s has renewed %s %d times", ErrTooMany, c, v.doc.Name, MaxRenewals)
	}
	v.renewed[c] = append(v.renewed[c], Renewed{c, to, at})
	return nil
}

// renewals returns the latest date that each party has named by now, sorted by party.
func (v *version) renewals(now time.Time) (out []Renewed) {
	for _, c := range slices.Sorted(maps.Keys(v.renewed)) {
		var last Renewed
		for _, r := range v.renewed[c] {
			if !now.Before(r.At) && r.Review > last.Review {
				last = r
			}
		}
		if last.Review != "" {
			out = append(out, last)
		}
	}
	return out
}

// review returns the date of review that counts at the instant now, and who has not
// renewed the text beyond it.
func (v *version) review(now time.Time) (d Date, silent []name.Council) {
	said := map[name.Council]Date{}
	for _, r := range v.renewals(now) {
		said[r.By] = r.Review
	}
	for _, c := range v.doc.Parties() {
		if to := max(said[c], v.doc.Review); d == "" || to < d {
			d = to
		}
	}
	for _, c := range v.doc.Parties() {
		if said[c] <= d {
			silent = append(silent, c)
		}
	}
	return d, silent
}

// reviewStop says why the date of review stops the exchange; "" when it does not.
func (v *version) reviewStop(now time.Time) string {
	d, silent := v.review(now)
	if d == "" || now.Before(d.Time()) {
		return ""
	}
	var words string
	for i, c := range silent {
		switch {
		case i == 0:
		case i == len(silent)-1:
			words += " and "
		default:
			words += ", "
		}
		words += string(c)
	}
	have := "has"
	if len(silent) > 1 {
		have = "have"
	}
	return fmt.Sprintf("the date of review %s has come, and %s %s not renewed it", d, words, have)
}
