package simtest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// An oracle says which values may be where. It is written apart from the house: it knows
// records and agreements as plain maps, learns of every act before it is carried out, and
// asks neither package agreement nor package opinion what a text means.
//
// A value that a council may not have is a canary. What it may have is granted at the moment
// when an act permits it: a record is written that an open text picks, a text is signed by
// the last party, a question is asked, a case is accepted or approved. Because words between
// councils take time, what the receiver of an agreement says, such as an end, closes it only
// at rest; what its sender says closes it at once. At rest everything that is not permitted
// any more is taken back, so that from then on it is a canary again.
//
// An item may go on from a council where the text it came under and the text it goes under
// both let it: the rows of both, what of the first may go on, and the fields of the second,
// all of which the first has to let go on. Until rest that council may have an older version
// of it, which goes on as well.
//
// What goes into a footprint may be at each of its members: in their replicas and in what
// they say there, and nowhere else. That has signed when most of its members have.
type oracle struct {
	moment  int            // counts records that were written and texts that all have signed
	members []name.Council // of the footprint

	items map[string]*item                   // by key, which is a canary as well
	owner map[canary]name.Council            // who wrote the canaries of a number
	pacts map[name.Agreement]*pact           // whatever became of them
	may   map[name.Council]map[canary]grants // what may be at a council, and by which agreement
	kept  map[name.Council]map[canary]grants // of that, what was taken over and stays
}

// An item is a record: its council and what it says now, nil where it is no more.
type item struct {
	from name.Council
	kind *kind
	key  string
	body map[string]any
	all  []canary // of all versions there were
	at   int      // the moment when the newest was written

	// late is what it said since the world was last at rest: until every word has arrived, who
	// passes it on may have that.
	late []map[string]any

	erased bool
}

// A pact is an agreement with all of its versions.
type pact struct {
	name  name.Agreement
	from  name.Council
	to    []name.Council
	mode  string
	kind  *kind
	terms []*clause
	over  bool
	out   map[name.Council]map[string]bool // by hand: which items were let out to whom, by key
}

// A clause is one version of a pact, as the oracle has it.
type clause struct {
	version int
	fields  []string
	rule    filter
	onward  []string // of the fields, those that may go on from who receives them
	origin  *pact    // what goes came under this one; nil for the sender's own
	signed  map[name.Council]bool
	votes   map[name.Council]bool // whoever said that it signs, for itself or for a footprint
	halted  map[name.Council]bool
	paused  bool // it was halted once
	shut    bool // nothing may leave by it
	until   int  // the moment when all had signed the next; 0 before
}

// grants are the agreements by which a value may be somewhere.
type grants map[name.Agreement]bool

func newOracle() *oracle {
	return &oracle{
		items: map[string]*item{}, owner: map[canary]name.Council{}, pacts: map[name.Agreement]*pact{},
		may: map[name.Council]map[canary]grants{}, kept: map[name.Council]map[canary]grants{},
	}
}

// copied reports whether whoever receives under a pact keeps a copy of all that goes.
func (p *pact) copied() bool {
	return p.mode == "replicate" || p.mode == "origin" || p.mode == "onward" || p.pooled()
}

// pooled reports whether what goes by a pact goes into a footprint.
func (p *pact) pooled() bool { return p.mode == "footprint" || p.mode == "contribute" }

// receivers returns the councils that are given what goes by a pact.
func (o *oracle) receivers(p *pact) []name.Council {
	if !p.pooled() {
		return p.to
	}
	return slices.DeleteFunc(slices.Clone(o.members), func(c name.Council) bool { return c == p.from })
}

// current returns the newest clause that all parties have signed; nil when there is none.
func (p *pact) current() *clause {
	for _, c := range slices.Backward(p.terms) {
		if len(c.signed) == 1+len(p.to) {
			return c
		}
	}
	return nil
}

// open reports whether something may leave by a clause, as far as its sender can know.
func (p *pact) open(c *clause) bool {
	return !p.over && !c.shut && len(c.signed) == 1+len(p.to) && !c.halted[p.from]
}

// shows returns the values of an item that a clause lets be seen, none where it does not
// pick the item.
func (c *clause) shows(it *item) (out []canary) {
	if !c.rule.picks(it.kind, it.body) {
		return nil
	}
	for _, x := range canariesOf(it.body) {
		if listed(c.fields, x.place) {
			out = append(out, x)
		}
	}
	return out
}

// within reports whether a clause lists nothing that the one before it does not let go on.
func (c *clause) within(first *clause) bool {
	return first != nil && !slices.ContainsFunc(c.fields, func(f string) bool { return !listed(first.onward, f) })
}

// passes returns the values of an item that go on by a clause, where they came by the first:
// of what who passes them on was given, as its rows pick it there.
func (c *clause) passes(first *clause, it *item) (out []canary) {
	if !c.within(first) || !c.rule.picks(it.kind, it.kind.given(it.body, first.fields)) {
		return nil
	}
	for _, x := range first.shows(it) {
		if listed(first.onward, x.place) && listed(c.fields, x.place) {
			out = append(out, x)
		}
	}
	return out
}

// lets returns the values of an item that a pact lets its receivers see at this moment.
func (p *pact) lets(it *item) (out []canary) {
	for _, c := range p.terms {
		switch {
		case !p.open(c):
		case c.origin == nil && p.from == it.from:
			out = append(out, c.shows(it)...)
		case c.origin != nil && c.origin.from == it.from:
			for _, first := range c.origin.terms {
				// What who passes on says of the first it says as a sender as well.
				if !c.origin.open(first) || first.halted[p.from] {
					continue
				}
				for _, body := range append(it.late, it.body) {
					was := *it
					was.body = body
					out = append(out, c.passes(first, &was)...)
				}
			}
		}
	}
	return out
}

// holds returns the values of an item that the receivers of a pact have for certain, in a
// world at rest.
func (p *pact) holds(it *item) []canary {
	c := p.current()
	switch {
	case c == nil || !p.open(c) || p.kind != it.kind || !p.copied():
		return nil
	case c.origin == nil && p.from == it.from:
		return c.shows(it)
	case c.origin != nil && c.origin.from == it.from:
		first := c.origin.current()
		if first == nil || !c.origin.open(first) || first.halted[p.from] {
			return nil
		}
		// A version that its own council took back from who passes it on may not come again.
		for _, was := range c.origin.terms {
			if len(was.signed) == 1+len(c.origin.to) && (was.until == 0 || was.until > it.at) && !was.rule.picks(it.kind, it.body) {
				return nil
			}
		}
		return c.passes(first, it)
	}
	return nil
}

// listed reports whether a place is one of the fields or stands below one.
func listed(fields []string, place string) bool {
	for _, f := range fields {
		if f == place || strings.HasPrefix(place, f+"/") || strings.HasSuffix(f, "/*") && strings.HasPrefix(place, strings.TrimSuffix(f, "*")) {
			return true
		}
	}
	return false
}

// grant notes what an item now lets its partners have. Questions are granted by asked.
func (o *oracle) grant(it *item) {
	for _, p := range o.pacts {
		if p.kind != it.kind {
			continue
		}
		values := p.lets(it)
		for _, to := range o.receivers(p) {
			if by := p.mode == "handover" || p.mode == "break-glass"; !p.copied() && !by || by && !p.out[to][it.key] {
				continue
			}
			for _, x := range values {
				o.permit(to, x, p.name)
				if p.mode == "handover" {
					if o.kept[to] == nil {
						o.kept[to] = map[canary]grants{}
					}
					if o.kept[to][x] == nil {
						o.kept[to][x] = grants{}
					}
					o.kept[to][x][p.name] = true
				}
			}
		}
	}
}

func (o *oracle) permit(to name.Council, x canary, by name.Agreement) {
	if o.may[to] == nil {
		o.may[to] = map[canary]grants{}
	}
	if o.may[to][x] == nil {
		o.may[to][x] = grants{}
	}
	o.may[to][x][by] = true
}

// agreed notes that a party has signed the newest version of a pact.
func (o *oracle) agreed(p *pact, by name.Council) {
	newest := p.terms[len(p.terms)-1]
	newest.votes[by] = true
	if by == p.from || !p.pooled() {
		newest.signed[by] = true
	}
	if p.pooled() && len(newest.votes) > len(o.members)/2 {
		newest.signed[p.to[0]] = true
	}
	if p.current() != newest {
		return
	}
	o.moment++
	for _, c := range p.terms[:len(p.terms)-1] {
		if c.until == 0 {
			c.until = o.moment
		}
	}
	o.grantAll()
}

// grantAll grants what all items let their partners have.
func (o *oracle) grantAll() {
	for _, it := range o.items {
		o.grant(it)
	}
}

// asked grants what an answer to a question by key may show, and reports whether there is
// anything to show.
func (o *oracle) asked(p *pact, by name.Council, key string) (any bool) {
	it := o.items[key]
	if it == nil || it.from != p.from || it.kind != p.kind {
		return false
	}
	for _, c := range p.terms {
		if p.open(c) {
			for _, x := range c.shows(it) {
				any = true
				o.permit(by, x, p.name)
			}
		}
	}
	return any
}

// leastCounted is the size below which no group may be told.
const leastCounted = 10

// counted grants the values that counts may name: those of groups that are large enough.
func (o *oracle) counted(p *pact, by name.Council) {
	for _, c := range p.terms {
		if !p.open(c) {
			continue
		}
		sizes := map[canary]int{}
		for _, it := range o.items {
			if it.from == p.from && it.kind == p.kind {
				for _, x := range c.shows(it) {
					sizes[x]++
				}
			}
		}
		for x, n := range sizes {
			if n >= leastCounted {
				o.permit(by, x, p.name)
			}
		}
	}
}

// letOut notes that an item may go by hand, and grants what it lets be seen.
func (o *oracle) letOut(p *pact, to name.Council, key string) {
	if p.out == nil {
		p.out = map[name.Council]map[string]bool{}
	}
	if p.out[to] == nil {
		p.out[to] = map[string]bool{}
	}
	p.out[to][key] = true
	if o.items[key] != nil {
		o.grant(o.items[key])
	}
}

// copies returns what is granted, for an act that may be refused.
func (o *oracle) copies() (may map[name.Council]map[canary]grants, kept map[name.Council]map[canary]grants) {
	may, kept = map[name.Council]map[canary]grants{}, map[name.Council]map[canary]grants{}
	for c, list := range o.may {
		may[c] = map[canary]grants{}
		for x, by := range list {
			may[c][x] = maps.Clone(by)
		}
	}
	for c, list := range o.kept {
		kept[c] = map[canary]grants{}
		for x, by := range list {
			kept[c][x] = maps.Clone(by)
		}
	}
	return may, kept
}

// write notes a version of a record; a nil body is its deletion.
func (o *oracle) write(it *item, body map[string]any) {
	o.moment++
	it.change(body)
	it.at = o.moment
	for _, x := range canariesOf(body) {
		it.all = append(it.all, x)
		o.owner[x] = it.from
	}
	o.items[it.key] = it
	o.grant(it)
}

// erase notes that a record is to be nowhere, whatever it said and whoever took it over: in
// a world at rest it is, see rest.
func (o *oracle) erase(it *item) {
	it.change(nil)
	it.erased = true
}

func (it *item) change(body map[string]any) {
	if it.body != nil {
		it.late = append(it.late, it.body)
	}
	it.body = body
}

// rest takes back, in a world where every word has arrived, what is permitted no more: but
// for what was taken over, what a count has named, and what went into a footprint, whose
// members keep what they said for a day. See standing for what is there still.
func (o *oracle) rest() {
	for _, p := range o.pacts {
		now := p.current()
		for _, c := range p.terms {
			if now != nil && c.version < now.version || p.over {
				c.shut = true
			}
		}
	}
	for _, it := range o.items {
		it.late = nil
	}
	// What was taken over is erased by an order, which nobody asks for any more where the
	// agreement is over.
	for _, kept := range o.kept {
		for _, it := range o.items {
			if it.erased {
				for _, x := range it.all {
					for by := range kept[x] {
						if x.place != "/town" && !o.pacts[by].over {
							delete(kept[x], by)
						}
					}
				}
			}
		}
	}
	before := o.may
	o.may = map[name.Council]map[canary]grants{}
	for to, list := range before {
		for x, all := range list {
			for by := range all {
				if o.kept[to][x][by] || o.pacts[by].mode == "aggregate" || o.pacts[by].pooled() {
					o.permit(to, x, by)
				}
			}
		}
	}
	o.grantAll()
}

// must returns what a council holds for certain, in a world at rest, but in a footprint.
func (o *oracle) must(to name.Council) map[canary]bool {
	out := map[canary]bool{}
	for _, p := range o.pacts {
		if slices.Contains(p.to, to) {
			for x := range o.mustUnder(p) {
				out[x] = true
			}
		}
	}
	return out
}

// mustUnder is must of one pact.
func (o *oracle) mustUnder(p *pact) map[canary]bool {
	out := map[canary]bool{}
	for _, it := range o.items {
		for _, x := range p.holds(it) {
			out[x] = true
		}
	}
	return out
}

// standing returns, in a world at rest, what a member reads in the footprint, and what else
// may be in its replica: former versions of the same records.
func (o *oracle) standing(at name.Council) (now, before map[canary]bool) {
	now, before = map[canary]bool{}, map[canary]bool{}
	for _, p := range o.pacts {
		if !p.pooled() || !slices.Contains(o.members, at) {
			continue
		}
		for _, it := range o.items {
			values := p.holds(it)
			for _, x := range values {
				now[x] = true
			}
			for _, x := range it.all {
				if len(values) > 0 && (at == p.from || o.may[at][x][p.name]) {
					before[x] = true
				}
			}
		}
	}
	return now, before
}

// beyond returns which of the values that were found at a council may not be there, by
// number, as far as only those pacts count that by takes.
func (o *oracle) beyond(at name.Council, found map[canary]string, by func(*pact) bool) (out []canary) {
	for x := range found {
		from, known := o.owner[x]
		if !known || from == at { // in compressed bytes parts of two may look like one
			continue
		}
		may := false
		for a := range o.may[at][x] {
			may = may || by(o.pacts[a])
		}
		if !may {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b canary) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.place, b.place)) })
	return out
}

// A kind is a made-up standard: the same shape under names of its own.
type kind struct {
	name             name.StandardName
	person, one, two string // an object and its two members
	list, last       string
	keys             int // how many records of it there may be
}

// fields returns what of a kind may be agreed beside its key. Nobody ever agrees to last.
func (k *kind) fields() []string {
	return []string{"/town", "/level", "/ward", "/" + k.person + "/" + k.one, "/" + k.person + "/" + k.two, "/" + k.list + "/*", "/" + k.person}
}

// given returns what the filters read of a body, of which a receiver was given some fields.
func (k *kind) given(body map[string]any, fields []string) map[string]any {
	out := map[string]any{}
	for at, place := range map[string]string{"ward": "/ward", "level": "/level", k.list: "/" + k.list + "/0"} {
		if body[at] != nil && listed(fields, place) {
			out[at] = body[at]
		}
	}
	return out
}

// A filter picks rows, in CEL and in Go.
type filter struct {
	cel   string
	reads []string // the members of a body that it reads
	fn    func(*kind, map[string]any) bool
}

// all picks every row.
var all = filter{cel: "true", fn: func(*kind, map[string]any) bool { return true }}

// picks reports whether a filter picks a body: none of which it cannot read all it asks for.
func (f filter) picks(k *kind, body map[string]any) bool {
	return body != nil && !slices.ContainsFunc(f.reads, func(m string) bool { return body[m] == nil }) && f.fn(k, body)
}

func level(b map[string]any) int64         { n, _ := b["level"].(json.Number).Int64(); return n }
func ward(b map[string]any, s string) bool { return strings.HasPrefix(b["ward"].(string), s) }

// filters returns what filters are made of, for a kind.
func (k *kind) filters() []filter {
	return append(k.narrowing(), filter{`record.ward.startsWith("Y") || record.level == 0`, []string{"ward", "level"}, func(_ *kind, b map[string]any) bool { return ward(b, "Y") || level(b) == 0 }})
}

// narrowing returns those filters that pick nothing where a part of what they read is missing.
func (k *kind) narrowing() []filter {
	return []filter{
		{`record.ward.startsWith("X")`, []string{"ward"}, func(_ *kind, b map[string]any) bool { return ward(b, "X") }},
		{`!record.ward.startsWith("Z")`, []string{"ward"}, func(_ *kind, b map[string]any) bool { return !ward(b, "Z") }},
		{`record.level > 1`, []string{"level"}, func(_ *kind, b map[string]any) bool { return level(b) > 1 }},
		{`record.` + k.list + `.size() > 0`, []string{k.list}, func(k *kind, b map[string]any) bool { return len(b[k.list].([]any)) > 0 }},
		{`!record.ward.startsWith("Y") && record.level < 3`, []string{"ward", "level"}, func(_ *kind, b map[string]any) bool { return !ward(b, "Y") && level(b) < 3 }},
	}
}
