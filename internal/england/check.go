package england

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// rest brings everybody back and waits until nothing is on its way.
func (c *Country) rest() {
	c.t.Helper()
	for _, x := range c.councils {
		if x.node == nil {
			x.start()
		}
	}
	start := time.Now()
	for {
		c.settle()
		why := c.restless()
		if why == "" {
			return
		}
		if time.Since(start) > patience {
			c.t.Fatalf("day %d: it does not come to rest: %s", c.day, why)
		}
		for _, x := range c.all() {
			x.signWaiting()
		}
		c.pause(5 * time.Second)
	}
}

// restless says what has not arrived, "" when all has.
func (c *Country) restless() string {
	c.t.Helper()
	for _, x := range c.all() {
		qs, err := x.node.Councils().Quarantines(c.t.Context())
		if err != nil {
			c.t.Fatalf("%s: %v", x.Name, err)
		}
		for _, q := range qs {
			if q.Active {
				c.t.Fatalf("day %d: %s has stopped all exchange with %s: %s (%+v)\n%s", c.day, x.Name, q.Council, q.Reason, q, c.Story())
			}
		}
	}
	for _, x := range c.all() {
		st, err := x.node.Status(c.t.Context())
		if err != nil {
			c.t.Fatalf("%s: status: %v", x.Name, err)
		}
		for _, p := range st.Partners {
			if p.Outstanding > 0 || !p.InStep {
				return fmt.Sprintf("%s: %s %s under %s is %q, %d outstanding, holds %d of %d", x.Name, p.Direction, p.Council, p.Agreement, p.Behind, p.Outstanding, p.Held, p.Offered)
			}
		}
	}
	for _, x := range c.councils {
		if x.listed && x.region != nil && !x.knows(x.tipping()) {
			return fmt.Sprintf("%s is not in force as %s sees it", x.tipping(), x.Name)
		}
	}
	if c.day >= c.ends.day {
		if why := c.lingers(); why != "" {
			return why
		}
	}
	for _, fp := range c.footprints {
		if got, want := fp.held(c), fp.want(); !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s has %d records, should have %d", fp.name, len(got), len(want))
		}
	}
	return ""
}

// Walk holds what everybody has against the model.
func (c *Country) Walk() {
	c.t.Helper()
	for _, x := range c.councils {
		want := map[string]string{}
		for ref, plan := range x.plans {
			if district(plan) == border && c.day >= x.next.begins {
				want[ref] = plan
			}
		}
		c.compare(x.next, x, x.planning(), want)
		if x.backed <= 0 {
			// It may have been agreed and ended: then nothing stays.
			c.compare(x, x.next, x.next.back(), map[string]string{})
			continue
		}
		want = map[string]string{}
		for ref, plan := range x.next.plans {
			if district(plan) == border {
				want[ref] = plan
			}
		}
		c.compare(x, x.next, x.next.back(), want)
	}
}

// blameless is the walk of the keepers: none has evidence against a council, since nobody
// here signs what contradicts itself.
func (c *Country) blameless() {
	c.t.Helper()
	for _, fp := range c.footprints {
		for _, x := range fp.members {
			r := call(x, x.node.Footprints().Evidence, node.FootprintRequest{Name: string(fp.name)})
			for _, e := range r.Evidence {
				c.t.Errorf("day %d: %s has evidence against %s, which is honest: %s", c.day, x.Name, e.Council, e.What)
			}
		}
	}
}

// compare holds what a council has from another under an agreement against what it should.
func (c *Country) compare(at, from *Council, nm name.Agreement, want map[string]string) {
	c.t.Helper()
	got := map[string]string{}
	for _, r := range at.list(node.ListRequest{From: from.Name}) {
		if strings.Contains(string(r.Body), withheld) {
			c.t.Errorf("day %d: %s holds of %s what is withheld", c.day, at.Name, from.Name)
		}
		if r.Agreement != nm {
			continue
		}
		var b planBody
		if err := json.Unmarshal(r.Body, &b); err != nil {
			c.t.Fatal(err)
		}
		if _, ok := got[b.Reference]; ok {
			c.t.Errorf("day %d: %s holds a record of %s twice", c.day, at.Name, from.Name)
		}
		got[b.Reference] = b.District + "|" + b.Status
	}
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("day %d: %s holds under %s %d records, should hold %d, or they are not the same", c.day, at.Name, nm, len(got), len(want))
	}
}

// list returns all records that an operation lists, with what they say.
func (x *Council) list(in node.ListRequest) (out []node.RecordReply) {
	x.country.t.Helper()
	in.Limit, in.Bodies = 1000, true
	for {
		page, err := x.node.Records().List(x.country.t.Context(), in)
		if notFound(err) {
			return nil
		}
		if err != nil {
			x.country.t.Fatalf("day %d: %s: list: %v", x.country.day, x.Name, err)
		}
		if len(page.Damaged) > 0 {
			x.country.t.Errorf("day %d: %s: damaged: %v", x.country.day, x.Name, page.Damaged)
		}
		out = append(out, page.Records...)
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return out
		}
	}
}

// held returns what stands in the footprint, by council and reference, as a keeper that is
// up says; nil when it cannot say it now.
func (fp *footprint) held(c *Country) map[string]bool {
	out := map[string]bool{}
	at := fp.members[c.day%keepers]
	if at.node == nil { // of keepers one at most is away
		at = fp.members[(c.day+1)%keepers]
	}
	in := node.FootprintListRequest{Name: string(fp.name), Linearizable: true, Bodies: true, Limit: 1000}
	for {
		page, err := at.node.Footprints().Records(c.t.Context(), in)
		if err != nil {
			return nil
		}
		for _, r := range page.Records {
			if strings.Contains(string(r.Body), withheld) {
				c.t.Errorf("day %d: %s holds what is withheld", c.day, fp.name)
			}
			var b planBody
			if err := json.Unmarshal(r.Body, &b); err != nil {
				c.t.Fatal(err)
			}
			out[string(r.Council)+" "+b.Reference] = true
		}
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return out
		}
	}
}

// want returns what should stand in the footprint.
func (fp *footprint) want() map[string]bool {
	out := map[string]bool{}
	for _, x := range fp.region {
		for ref := range x.tips {
			if x.listed {
				out[string(x.Name)+" "+ref] = true
			}
		}
	}
	return out
}

// A Reading is how many councils adopt the new standard on a day: as the standards body
// counts the statements that it holds, and in truth.
type Reading struct{ Counted, Truth, England int }

// counts has a standards body count who has adopted the new standard.
func (c *Country) counts() {
	c.t.Helper()
	truth, england := 0, len(councils.At(c.Now()))
	for _, x := range c.councils {
		if x.listed && x.counts(c.Now()) {
			truth++
		}
	}
	a, err := c.bodies[1].node.Standards().Adoption(c.t.Context(), node.AdoptionRequest{Standard: string(tipping)})
	if err != nil && !notFound(err) { // nobody has said anything of it yet
		c.t.Fatalf("day %d: %v", c.day, err)
	}
	r := Reading{Truth: truth}
	for _, s := range a.Shares {
		r.Counted, r.England = s.English, s.England
		if s.England != england {
			c.t.Errorf("day %d: adoption is measured against %d councils, and England has %d", c.day, s.England, england)
		}
	}
	if len(a.Refused) > 0 {
		c.t.Errorf("day %d: statements are refused: %+v", c.day, a.Refused[0])
	}
	c.Adoption = append(c.Adoption, r)
}

// Audit draws councils by the seed, has each make the bundles that an auditor would be
// handed, and verifies them. It returns how many held.
func (c *Country) Audit(draw int) (verified int) {
	c.t.Helper()
	of := map[*Council]bool{}
	for len(of) < min(draw, len(c.councils)) {
		of[c.councils[c.rng.IntN(len(c.councils))]] = true
	}
	for _, x := range c.councils {
		if !of[x] {
			continue
		}
		b := call(x, x.node.Bundle, node.BundleRequest{Agreement: string(x.planning())}).Bundle
		r, err := audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Parallel: 1})
		if err != nil {
			c.t.Fatalf("%s: %v", x.Name, err)
		}
		if !r.OK() {
			var text strings.Builder
			r.WriteText(&text)
			c.t.Errorf("%s: its bundle does not verify:\n%s", x.Name, &text)
		} else {
			verified++
		}
		if !x.listed {
			continue
		}
		if bad := c.recount(x, tipping); len(bad) > 0 {
			c.t.Errorf("%s: its honest statement is not borne out", x.Name)
		} else {
			verified++
		}
	}
	return verified
}

// recount has a council make the bundle of its newest statement, and counts again. It
// returns the council when its records do not bear it out.
func (c *Country) recount(x *Council, std name.StandardName) (bad []name.Council) {
	c.t.Helper()
	b := call(x, x.node.Bundle, node.BundleRequest{Standard: string(std), Statement: "newest", Full: true}).Bundle
	rs, err := audit.Adoption(bytes.NewReader(b), int64(len(b)), audit.Options{Parallel: 1})
	if err != nil {
		c.t.Fatalf("%s: %v", x.Name, err)
	}
	for _, r := range rs {
		if !r.OK() {
			bad = append(bad, x.Name)
		}
	}
	return bad
}
