package simtest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// some returns an agreement that f takes; nil when there is none.
func (l *Whole) some(f func(*pact) bool) *pact {
	var list []*pact
	for _, p := range l.pacts {
		if !p.over && f(p) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[l.rng.IntN(len(list))]
}

func (l *Whole) party(p *pact) *Council {
	all := l.parties(p)
	return all[l.rng.IntN(len(all))]
}

// parties returns the councils that are party to an agreement, and the members of a footprint
// that is, the sender first.
func (l *Whole) parties(p *pact) []*Council {
	out := []*Council{l.council(p.from)}
	for _, c := range l.o.receivers(p) {
		out = append(out, l.council(c))
	}
	return out
}

// change has somebody say something about an agreement.
func (l *Whole) change(what string) {
	l.t.Helper()
	p := l.some(func(p *pact) bool {
		switch what {
		case "propose":
			return len(p.terms) < 4 && p.current() == p.terms[len(p.terms)-1] && len(p.current().halted) == 0
		case "sign":
			return p.current() != p.terms[len(p.terms)-1]
		}
		return p.current() != nil
	})
	if p == nil {
		return
	}
	c := l.party(p)
	if what == "propose" {
		if l.version(p) {
			l.deeds["amended"]++
		}
		return
	}
	c.up()
	if what == "sign" {
		if c.Name != p.from && !p.terms[len(p.terms)-1].votes[c.Name] {
			l.signs(c, p)
		}
		return
	}
	if p.pooled() && what != "suspend" { // what one member says alone is no end, nor a review
		c = l.council(p.from)
		c.up()
	}
	now, by := p.current(), c.Name
	if p.pooled() && c.Name != p.from {
		by = fens
	}
	in := node.AgreementRequest{Name: string(p.name), Version: now.version, Reason: what}
	r, err := try(c, c.node.Agreements().Show, in)
	if err != nil {
		return
	}
	switch what {
	case "suspend":
		if !r.InForce || now.halted[by] {
			return
		}
		time.Sleep(2 * time.Second) // what is said in one second has no order
		l.tell("%s suspends %s version %d", c.Name, p.name, now.version)
		call(c, c.node.Agreements().Suspend, in)
		l.mu.Lock()
		now.halted[by], now.paused = true, true
		l.mu.Unlock()
	case "renew":
		if !r.InForce {
			return
		}
		in.Review = "2004-06-01"
		l.tell("%s renews %s version %d", c.Name, p.name, now.version)
		if _, err := try(c, c.node.Agreements().Renew, in); err != nil {
			return
		}
	case "end":
		if l.planted(p.mode) || l.rng.IntN(2) == 0 {
			return
		}
		time.Sleep(2 * time.Second)
		l.tell("%s ends %s version %d", c.Name, p.name, now.version)
		call(c, c.node.Agreements().End, in)
		l.mu.Lock()
		p.over = true
		if c.Name == p.from {
			for _, t := range p.terms {
				t.shut = true
			}
		}
		l.mu.Unlock()
		l.settle() // a new one can be signed when the old one is known to be over
		switch {
		case p.mode != "origin":
			l.conclude(p.mode, p.kind)
		case l.rng.IntN(2) == 0:
			l.chain(l.kind)
		default: // first it is looked whether all that went on has come back
			l.owed = true
		}
	}
	l.deeds[what]++
}

// between does something to what is passed on, or to the council that does.
func (l *Whole) between() {
	l.t.Helper()
	first := l.newest("origin")
	if !l.further() || first == nil {
		return
	}
	m := l.middle()
	switch l.rng.IntN(6) {
	case 0:
		l.write(m, l.kind, l.own[:1+l.rng.IntN(len(l.own))])
		l.deeds["the middle writes"]++
	case 1, 2: // it is down while something goes on
		l.put(first.kind, min(4, first.kind.keys))
		time.Sleep(time.Duration(l.rng.IntN(1500)) * time.Millisecond)
		if m.node != nil {
			l.tell("%s is killed while it passes on", m.Name)
			m.kill()
		}
		m.up()
		l.deeds["the middle killed"]++
	case 3: // what has gone on is taken back
		if it := l.lives(first.kind); it != nil && first.current() != nil && len(first.current().shows(it)) > 0 {
			l.removeItem(it, l.rng.IntN(2) == 0)
			l.deeds["taken back from the last"]++
		}
	case 4, 5:
		for _, p := range []*pact{first, l.newest("onward")} {
			if p == nil {
				continue
			}
			newest := p.terms[len(p.terms)-1]
			switch c := l.council(p.to[0]); {
			case p.current() != newest:
				c.up()
				l.signs(c, p)
			case len(p.terms) < 5 && len(newest.halted) == 0 && l.version(p):
				l.deeds["amended, to pass on"]++
			}
		}
	}
}

// resumeAll takes every suspension back.
func (l *Whole) resumeAll() {
	l.t.Helper()
	for _, p := range l.pacts {
		now := p.current()
		if now == nil || p.over {
			continue
		}
		for _, by := range slices.Sorted(maps.Keys(now.halted)) {
			time.Sleep(2 * time.Second)
			l.tell("%s resumes %s version %d", by, p.name, now.version)
			l.mu.Lock()
			delete(now.halted, by)
			l.o.grantAll()
			l.mu.Unlock()
			who := l.parties(p)[1:] // most of the members, for a footprint
			if by != fens {
				who = []*Council{l.council(by)}
			}
			for _, c := range who {
				c.up()
				call(c, c.node.Agreements().Resume, node.AgreementRequest{Name: string(p.name), Version: now.version})
			}
		}
	}
}

// ask has a partner ask a question, of whichever mode.
func (l *Whole) ask(p *pact, c *Council, key string, show bool) {
	l.t.Helper()
	c.up()
	if p.mode == "aggregate" {
		l.mu.Lock()
		l.o.counted(p, c.Name)
		l.mu.Unlock()
		by := p.terms[len(p.terms)-1].fields
		if l.planted(p.mode) {
			by = []string{"/town"}
		}
		l.tell("%s asks for counts under %s", c.Name, p.name)
		got, err := try(c, c.node.Questions().Count, node.AggregateRequest{Agreement: string(p.name), Because: "a plan", By: by})
		if err == nil {
			l.look(c, "answers", got, p.name)
			l.deeds["counts"]++
			for _, g := range got.Groups {
				if g.Count < leastCounted {
					l.breach("%s is told of a group of %d", c.Name, g.Count)
				}
			}
		}
		return
	}
	l.tell("%s asks under %s, and to be shown: %v", c.Name, p.name, show)
	l.mu.Lock()
	there := l.o.asked(p, c.Name, key)
	if p.mode == "private-lookup" && !show {
		l.blind = key
	}
	l.mu.Unlock()
	got, err := try(c, c.node.Questions().Ask, node.LookupRequest{Agreement: string(p.name), Field: "/reference", Value: key, Because: "a case", Case: "C/1", Show: show && p.mode == "private-lookup"})
	l.mu.Lock()
	l.blind = ""
	l.mu.Unlock()
	if err != nil {
		return
	}
	l.look(c, "answers", got, p.name)
	if !there && (len(got.Records) > 0 || got.Held) {
		l.breach("%s was answered under %s of a record that no text picks", c.Name, p.name)
	}
	l.deeds[p.mode]++
}

// askSomething has a partner ask for a record that may be asked for or not.
func (l *Whole) askSomething() {
	p := l.some(func(p *pact) bool { return p.mode == "lookup" || p.mode == "private-lookup" || p.mode == "aggregate" })
	if p == nil {
		return
	}
	l.ask(p, l.council(p.to[l.rng.IntN(len(p.to))]), l.slots[p.kind][l.rng.IntN(p.kind.keys)], l.rng.IntN(2) == 0)
}

// offer has the sender offer some records to be taken over, or give some urgently.
func (l *Whole) offer(urgent bool) {
	l.t.Helper()
	mode := "handover"
	if urgent {
		mode = "break-glass"
	}
	p := l.some(func(p *pact) bool { return p.mode == mode })
	if p == nil {
		return
	}
	from := l.councils[0]
	from.up()
	to := p.to[l.rng.IntN(len(p.to))]
	x := &byHand{urgent: urgent, to: to, keys: map[string]*pact{}, state: "offered"}
	in := node.CaseRequest{Partner: to, Because: "moved", By: "Jo"}
	for _, p := range l.pacts { // across all standards
		if p.mode != mode || p.over || !slices.Contains(p.to, to) {
			continue
		}
		for range 1 + l.rng.IntN(3) {
			if it := l.lives(p.kind); it != nil && x.keys[it.key] == nil {
				x.keys[it.key] = p
				in.Records = append(in.Records, string(from.ring.RecordID(name.StandardLine{Name: p.kind.name, Major: 1}, fmt.Sprintf("[%q]", it.key))))
			}
		}
	}
	do := from.node.Handovers().Offer
	if urgent {
		do = from.node.Urgent().Give
	}
	r, err := try(from, do, in)
	if err != nil {
		return // none of them may go
	}
	l.look(from, "answers", r)
	l.tell("%s offers or gives %v to %s, urgently: %v, as %s", from.Name, shorts(slices.Sorted(maps.Keys(x.keys))), to, urgent, r.Case[:8])
	x.id = r.Case
	l.cases = append(l.cases, x)
}

// decide has somebody answer a case, take it back or end it.
func (l *Whole) decide() {
	l.t.Helper()
	if len(l.cases) == 0 {
		return
	}
	x := l.cases[l.rng.IntN(len(l.cases))]
	from, to := l.councils[0], l.council(x.to)
	in := node.CaseRequest{Case: x.id, By: "Sam", Because: "seen"}
	switch {
	case x.urgent && x.state == "offered":
		from.up()
		if l.rng.IntN(4) == 0 {
			if _, err := try(from, from.node.Urgent().Refuse, in); err == nil {
				x.state = "over"
			}
			return
		}
		l.agreeTo(x)
	case x.urgent && x.state == "out" && l.rng.IntN(2) == 0:
		from.up()
		l.tell("%s ends %s", from.Name, x.id[:8])
		if _, err := try(from, from.node.Urgent().End, in); err == nil {
			l.mu.Lock()
			x.state = "over"
			l.outs()
			l.mu.Unlock()
			l.deeds["urgent ended"]++
		}
	case !x.urgent && x.state == "offered":
		switch l.rng.IntN(6) {
		case 0:
			from.up()
			if _, err := try(from, from.node.Handovers().Withdraw, in); err == nil {
				l.tell("%s withdraws %s", from.Name, x.id[:8])
				x.state = "over"
			}
		case 1:
			to.up()
			if _, err := try(to, to.node.Handovers().Decline, in); err == nil {
				l.tell("%s declines %s", to.Name, x.id[:8])
				x.state = "over"
			}
		default:
			l.agreeTo(x)
		}
	}
}

// agreeTo has a second person approve what was given urgently, or the receiver accept what it
// was offered.
func (l *Whole) agreeTo(x *byHand) {
	l.t.Helper()
	from, to := l.councils[0], l.council(x.to)
	in := node.CaseRequest{Case: x.id, By: "Sam", Because: "seen"}
	if x.urgent {
		l.tell("%s approves %s", from.Name, x.id[:8])
		l.letOut(x, "approved", func() error { _, err := try(from, from.node.Urgent().Approve, in); return err })
		return
	}
	to.up()
	if _, err := try(to, to.node.Handovers().Show, node.CaseRequest{Case: x.id}); err != nil {
		return // it has not come
	}
	l.tell("%s accepts %s", to.Name, x.id[:8])
	l.letOut(x, "accepted", func() error { _, err := try(to, to.node.Handovers().Accept, in); return err })
}

// letOut notes that the records of a case may go from now on, and has somebody say so; and
// that they may not, where the node of whoever says it refuses.
func (l *Whole) letOut(x *byHand, deed string, say func() error) {
	l.mu.Lock()
	may, kept := l.o.copies()
	x.state = "out"
	x.until = time.Now().Add(24 * time.Hour)
	for key, p := range x.keys {
		l.o.letOut(p, x.to, key)
	}
	l.mu.Unlock()
	if say() == nil {
		l.deeds[deed]++
		return
	}
	l.mu.Lock()
	x.state = "over"
	l.o.may, l.o.kept = may, kept
	l.outs()
	l.mu.Unlock()
}

// outs has only those records out by hand that a case lets out still. w.mu is held.
func (l *Whole) outs() {
	for _, p := range l.pacts {
		p.out = nil
	}
	for _, x := range l.cases {
		if x.state == "out" {
			for key, p := range x.keys {
				l.o.letOut(p, x.to, key)
			}
		}
	}
}

// away has a partner, or the sender, be away for a month in which others go on.
func (l *Whole) away() {
	l.t.Helper()
	c := l.councils[l.rng.IntN(len(l.councils))]
	l.tell("%s is away for a month", c.Name)
	c.halt()
	if c != l.councils[0] {
		l.put(kinds[0], 1+l.rng.IntN(4))
		l.remove(l.rng.IntN(2) == 0)
	}
	l.later(30*24*time.Hour, c)
	if c != l.councils[0] {
		l.put(kinds[1], 1)
		time.Sleep(20 * time.Second)
	}
	c.up()
	l.deeds["month away"]++
}

// later lets a long time pass in which no node runs: while one does, its store looks at the
// time so often that a day costs many seconds of a processor. All but those that are away
// run afterwards.
func (l *Whole) later(d time.Duration, away ...*Council) {
	l.t.Helper()
	for _, c := range l.councils {
		c.halt()
	}
	time.Sleep(d)
	for _, c := range l.councils {
		if !slices.Contains(away, c) {
			c.start()
		}
	}
}

// skew has a clock be some minutes wrong, as far as is tolerated, and set right.
func (l *Whole) skew() {
	l.t.Helper()
	c := l.councils[l.rng.IntN(len(l.councils))]
	by := time.Duration(l.rng.IntN(240)-120) * time.Second
	l.tell("the clock of %s is %v off", c.Name, by)
	c.skew.Store(int64(by))
	l.put(kinds[0], 1)
	time.Sleep(20 * time.Second)
	l.askSomething()
	c.skew.Store(0)
	l.deeds["clock off"]++
}
