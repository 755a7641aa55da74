package simtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func now() time.Time { return time.Now() }

// Step does one random thing and lets a little time pass. Then it looks at what
// every council holds.
func (w *World) Step() {
	w.t.Helper()
	c := w.councils[w.rng.IntN(len(w.councils))]
	type choice struct {
		weight int
		do     func()
	}
	choices := []choice{
		{30, func() { w.write(c, 1+w.rng.IntN(4)) }},
		{5, func() { w.slowly(c, 4); w.write(c, 70+w.rng.IntN(60)) }}, // more than is checked at once
		{9, func() { w.remove(c) }},
		{10, func() { w.propose(c) }},
		{14, func() { w.sign(c) }},
		{3, func() { w.end(c) }},
		{5, func() { w.suspend(c) }},
		{6, func() { w.resume(c) }},
		{8, func() { w.ask(c) }},
		{5, func() { w.askCounts(c) }},
		{5, func() { w.restart(c) }},
		{5, func() { w.crash(c) }},
		{8, func() { w.link(c) }},
		{8, func() { w.weather() }},
		{8, func() {
			w.tell("time passes")
			time.Sleep(time.Duration(w.rng.IntN(90)) * time.Second)
		}},
	}
	total := 0
	for _, x := range choices {
		total += x.weight
	}
	for n := w.rng.IntN(total); ; choices = choices[1:] {
		if n -= choices[0].weight; n < 0 {
			choices[0].do()
			break
		}
	}
	if w.rng.IntN(3) > 0 {
		time.Sleep(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	}
	w.glance()
	w.sound()
}

// up makes sure that a council's node runs.
func (c *Council) up() {
	if c.node == nil {
		c.w.tell("%s comes up", c.Name)
		c.start()
	}
}

// write has a council put some records, new or changed or the same again.
func (w *World) write(c *Council, n int) {
	w.t.Helper()
	c.up()
	in := node.PutRequest{Standard: string(caseName) + "@1"}
	var wants []uint64
	w.mu.Lock()
	for range n {
		ref := fmt.Sprint("case-", w.rng.IntN(12))
		if n > 10 {
			ref = fmt.Sprint("bulk-", w.rng.IntN(120))
		}
		f := c.facts[ref]
		if f == nil {
			f = &fact{}
			c.facts[ref] = f
		}
		body := f.now()
		if body == nil || w.rng.IntN(8) > 0 {
			body = w.body(ref)
			if n > 10 && heavy {
				body["secret"] = body["secret"].(string) + long
			}
			w.written[fmt.Sprint(w.counter)] = written{c.Name, body}
		}
		if !reflect.DeepEqual(body, f.now()) {
			f.versions = append(f.versions, body)
		}
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		in.Records = append(in.Records, node.Offered{Row: len(in.Records) + 1, Record: b})
		wants = append(wants, uint64(len(f.versions)))
	}
	w.mu.Unlock()
	w.tell("%s writes %d", c.Name, n)
	out := call(c, c.node.Records().Put, in)
	for i, r := range out.Results {
		if len(r.Problems) > 0 || r.Version != wants[i] {
			w.fail("%s wrote a record and was told %+v, want version %d", c.Name, r, wants[i])
		}
	}
}

func (w *World) remove(c *Council) {
	w.t.Helper()
	c.up()
	ref := fmt.Sprint("case-", w.rng.IntN(12))
	w.mu.Lock()
	f := c.facts[ref]
	there := f.now() != nil
	if there {
		f.versions = append(f.versions, nil)
	}
	w.mu.Unlock()
	if there {
		w.tell("%s deletes %s", c.Name, ref)
		call(c, c.node.Records().Delete, node.RecordRequest{Record: ref, Standard: string(caseName) + "@1"})
	}
}

// propose has a council sign a new agreement, or the next version of one.
func (w *World) propose(c *Council) {
	w.t.Helper()
	c.up()
	if w.fens && w.rng.IntN(2) == 0 {
		w.proposeFens(c)
		return
	}
	nm := name.Agreement(fmt.Sprintf("%s/cases-%d", c.Name, w.rng.IntN(5)))
	w.mu.Lock()
	texts := w.texts[nm]
	over := w.overFrom[nm]
	w.mu.Unlock()
	if len(texts) > 3 || over {
		return
	}
	var to []name.Council
	if len(texts) > 0 {
		to = texts[0].doc.To
	} else {
		for _, other := range w.councils {
			if other != c && (len(to) == 0 || w.rng.IntN(3) == 0) && w.rng.IntN(3) > 0 {
				to = append(to, other.Name)
			}
		}
		if len(to) == 0 {
			return
		}
	}
	x := w.text(nm, len(texts)+1, c.Name, to)
	w.mu.Lock()
	w.texts[nm] = append(w.texts[nm], x)
	w.mu.Unlock()
	w.tell("%s proposes %s version %d to %v: %s of %v", c.Name, nm, x.doc.Version, to, x.rule.cel, x.fields)
	w.say(c.Name, event.KindAgreementProposal, agreement.Proposal{Agreement: x.doc}.Body())
	w.signs(c, x)
	call(c, c.node.Agreements().Sign, node.AgreementRequest{Document: x.doc.YAML()})
}

// say tells the model what a council says of an agreement: before the council
// does, since its partners may act on it at once.
func (w *World) say(c name.Council, kind string, body map[string]any) {
	w.t.Helper()
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.DefaultLimits())
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.state.Apply(c, kind, v, now()); err != nil {
		w.t.Fatalf("%s: %s: %v", c, kind, err)
	}
	for nm := range w.overFrom {
		// A later text, proposed before, may come into force after the end.
		if st, ok := w.state.Status(nm, now()); ok && st.InForce() {
			delete(w.overFrom, nm)
		}
	}
}

// pick returns a text, nil when there is none yet that f takes.
func (w *World) pick(f func(x *text) bool) *text {
	var list []*text
	for _, nm := range w.agreements() { // in order
		for _, x := range w.texts[nm] {
			if f(x) {
				list = append(list, x)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[w.rng.IntN(len(list))]
}

// sign has a council sign something that it was sent.
func (w *World) sign(c *Council) {
	w.t.Helper()
	x := w.pick(func(x *text) bool {
		return slices.ContainsFunc(w.state.Versions(x.doc.Name, now()), func(st agreement.Status) bool {
			return st.Digest == x.doc.Digest() && (slices.Contains(st.Awaiting, c.Name) || w.mayVote(c, x) && !w.votes[x.doc.Digest()][c.Name])
		})
	})
	if x == nil || w.rng.IntN(5) == 0 { // once more, too
		x = w.pick(func(x *text) bool { return slices.Contains(x.doc.To, c.Name) || w.mayVote(c, x) })
	}
	if x == nil {
		return
	}
	c.up()
	// Only what has arrived there can be signed.
	in := node.AgreementRequest{Name: string(x.doc.Name), Version: x.doc.Version}
	r, err := try(c, c.node.Agreements().Show, in)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.Why, "ended ") || strings.HasPrefix(r.Why, "superseded ") {
		w.tell("%s would sign %s version %d, which is over", c.Name, x.doc.Name, x.doc.Version)
		if _, err := try(c, c.node.Agreements().Sign, in); err == nil || !strings.Contains(err.Error(), "is over") {
			w.fail("%s signs version %d of %s, which it says is %s: %v", c.Name, x.doc.Version, x.doc.Name, r.Why, err)
		}
		return
	}
	if later := w.overtaken(c, x); later > 0 {
		w.tell("%s would sign %s version %d, and knows version %d", c.Name, x.doc.Name, x.doc.Version, later)
		w.mu.Lock()
		voted := w.votes[x.doc.Digest()][c.Name]
		w.mu.Unlock()
		if _, err := try(c, c.node.Agreements().Sign, in); err == nil && !voted || err != nil && !strings.Contains(err.Error(), "is superseded") && !strings.Contains(err.Error(), "is over") {
			w.fail("%s signs version %d of %s, and knows that version %d was proposed: %v", c.Name, x.doc.Version, x.doc.Name, later, err)
		}
		return
	}
	if x.doc.From != fens {
		w.slowly(w.council(x.doc.From), 2)
	}
	w.tell("%s signs %s version %d", c.Name, x.doc.Name, x.doc.Version)
	w.signs(c, x)
	call(c, c.node.Agreements().Sign, in)
}

// overtaken returns the version of a later text that a council knows and that has not ended,
// where it has not signed this one itself; 0 where there is none. Who has signed may say so again.
func (w *World) overtaken(c *Council, x *text) int {
	for _, st := range w.state.Versions(x.doc.Name, now()) {
		if _, signed := st.Signed[c.Name]; st.Digest == x.doc.Digest() && signed {
			return 0
		}
	}
	w.mu.Lock()
	texts := slices.Clone(w.texts[x.doc.Name])
	w.mu.Unlock()
	for _, later := range texts {
		if later.doc.Version <= x.doc.Version {
			continue
		}
		r, err := try(c, c.node.Agreements().Show, node.AgreementRequest{Name: string(x.doc.Name), Version: later.doc.Version})
		if err == nil && !strings.HasPrefix(r.Why, "ended ") {
			return later.doc.Version
		}
	}
	return 0
}

// end has a council end the version of an agreement that is in force.
func (w *World) end(c *Council) {
	w.t.Helper()
	x := w.pick(func(x *text) bool {
		st, ok := w.state.Status(x.doc.Name, now())
		return x.doc.Party(c.Name) && ok && st.InForce() && st.Digest == x.doc.Digest()
	})
	if x == nil {
		return
	}
	c.up()
	in := node.AgreementRequest{Name: string(x.doc.Name), Version: x.doc.Version, Reason: "enough"}
	if _, err := try(c, c.node.Agreements().Show, in); err != nil {
		return
	}
	w.tell("%s ends %s version %d", c.Name, x.doc.Name, x.doc.Version)
	at := now().UTC().Truncate(time.Second)
	w.say(c.Name, event.KindAgreementEnd, agreement.Notice{Ref: x.doc.Ref(), Reason: in.Reason, At: at}.Body())
	call(c, c.node.Agreements().End, in)
	if c.Name == x.doc.From {
		w.mu.Lock()
		if st, ok := w.state.Status(x.doc.Name, now()); ok && !st.InForce() {
			w.overFrom[x.doc.Name] = true
		}
		w.mu.Unlock()
	}
}

// suspend has a council suspend an agreement that is in force.
func (w *World) suspend(c *Council) {
	w.t.Helper()
	x := w.pick(func(x *text) bool {
		st, ok := w.state.Status(x.doc.Name, now())
		return x.doc.Party(c.Name) && ok && st.InForce() && st.Digest == x.doc.Digest()
	})
	if x == nil {
		return
	}
	c.up()
	in := node.AgreementRequest{Name: string(x.doc.Name), Version: x.doc.Version, Reason: "for now"}
	if r, err := try(c, c.node.Agreements().Show, in); err != nil || !r.InForce {
		return
	}
	time.Sleep(2 * time.Second) // what is said in one second has no order
	w.tell("%s suspends %s version %d", c.Name, x.doc.Name, x.doc.Version)
	at := now().UTC().Truncate(time.Second)
	w.say(c.Name, event.KindAgreementSuspend, agreement.Notice{Ref: x.doc.Ref(), Reason: in.Reason, At: at}.Body())
	call(c, c.node.Agreements().Suspend, in)
	if c.Name == x.doc.From {
		w.mu.Lock()
		w.halted[x.doc.Digest()] = true
		w.mu.Unlock()
	}
}

// resume has a council resume what it suspended.
func (w *World) resume(c *Council) {
	w.t.Helper()
	for {
		x := w.pick(func(x *text) bool {
			return slices.ContainsFunc(w.state.Versions(x.doc.Name, now()), func(st agreement.Status) bool {
				return st.Digest == x.doc.Digest() && st.Phase == agreement.Suspended &&
					slices.ContainsFunc(st.Suspensions, func(s agreement.Suspension) bool { return s.By == c.Name })
			})
		})
		if x == nil {
			return
		}
		c.up()
		time.Sleep(2 * time.Second)
		w.tell("%s resumes %s version %d", c.Name, x.doc.Name, x.doc.Version)
		at := now().UTC().Truncate(time.Second)
		w.say(c.Name, event.KindAgreementResume, agreement.Notice{Ref: x.doc.Ref(), Reason: "resumed", At: at}.Body())
		w.mu.Lock()
		delete(w.halted, x.doc.Digest())
		w.mu.Unlock()
		call(c, c.node.Agreements().Resume, node.AgreementRequest{Name: string(x.doc.Name), Version: x.doc.Version})
	}
}

// ask has a council ask for a record under an agreement of mode lookup. Whether it is
// answered hangs on the weather; what may be in an answer does not.
func (w *World) ask(c *Council) {
	w.t.Helper()
	x := w.pick(func(x *text) bool {
		st, ok := w.state.Status(x.doc.Name, now())
		return x.doc.Way().ByMatch && slices.Contains(x.doc.To, c.Name) && ok && st.InForce() && st.Digest == x.doc.Digest()
	})
	if x == nil || c.node == nil {
		return
	}
	ref := fmt.Sprint("case-", w.rng.IntN(12))
	w.tell("%s asks under %s for %s", c.Name, x.doc.Name, ref)
	got, err := try(c, c.node.Questions().Ask, node.LookupRequest{Agreement: string(x.doc.Name), Field: "/reference", Value: ref, Because: "a case"})
	if err != nil {
		return // try looked at the words
	}
	w.answered++
	for _, r := range got.Records {
		for _, p := range canaries(r.Body) {
			allowed := false
			w.mu.Lock()
			for _, x := range w.texts[x.doc.Name] {
				allowed = allowed || w.signedByAll(x.doc) && covers(x.fields, p)
			}
			w.mu.Unlock()
			if !allowed {
				w.breach("%s was shown %s of %s under %s", c.Name, p, ref, x.doc.Name)
			}
		}
	}
}

func (w *World) restart(c *Council) {
	w.t.Helper()
	w.tell("%s stops", c.Name)
	c.halt()
	if w.rng.IntN(2) == 0 {
		c.up()
	}
}

func (w *World) crash(c *Council) {
	w.t.Helper()
	if c.node == nil {
		return
	}
	w.tell("%s is killed", c.Name)
	c.kill()
	if w.rng.IntN(2) == 0 {
		c.up()
	}
}

// link does something to the links of a council.
func (w *World) link(c *Council) {
	other := w.councils[w.rng.IntN(len(w.councils))]
	if other == c {
		return
	}
	switch w.rng.IntN(7) {
	case 0:
		w.tell("cut %s %s", c.Name, other.Name)
		w.net.Cut(c.Name, other.Name)
	case 1:
		w.tell("cut %s to %s", c.Name, other.Name)
		w.net.CutOneWay(c.Name, other.Name)
	case 2, 3:
		w.tell("heal %s %s", c.Name, other.Name)
		w.net.Heal(c.Name, other.Name)
	case 4:
		w.tell("disconnect %s %s", c.Name, other.Name)
		w.net.Disconnect(c.Name, other.Name)
	case 5:
		w.tell("reset all streams")
		w.net.ResetStreams()
	case 6:
		d := time.Duration(w.rng.IntN(400)) * time.Millisecond
		w.tell("delay %s to %s %v", c.Name, other.Name, d)
		w.net.SetLink(c.Name, other.Name, wire.Link{Delay: d, Bandwidth: 20_000 << w.rng.IntN(8)})
	}
}

// weather sets how many writes are lost, of which the writer is told though
// they arrive, or of which a part arrives.
func (w *World) weather() {
	if heavy && w.ways != nil && w.ways.IntN(3) == 0 {
		w.tell("no line is slow")
		w.lines(wire.Link{})
	}
	rate := []int{0, 0, 30, 8}[w.rng.IntN(4)]
	w.tell("one write in %d fails", rate)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault = nil; rate == 0 {
		return
	}
	seed := w.rng.Uint64()
	n := uint64(0)
	w.fault = func(wr wire.Write) wire.Fault {
		w.mu.Lock()
		n++
		h := (seed + n) * 0x9e3779b97f4a7c15
		w.mu.Unlock()
		if h>>32%uint64(rate) != 0 {
			return wire.None
		}
		switch h >> 20 % 3 {
		case 0:
			return wire.Lost
		case 1:
			return wire.Unsure
		}
		return wire.Truncated(int(h >> 24 % 4000))
	}
}

// Fair heals every link, ends the weather and brings every node up.
func (w *World) Fair() {
	w.t.Helper()
	w.tell("fair weather")
	w.mu.Lock()
	w.fault = nil
	w.mu.Unlock()
	w.heal()
	// What is suspended at rest holds what it held, which no text says.
	for _, c := range w.councils {
		w.resume(c)
	}
}

// heal mends all lines, has them carry all at once, and brings every node up.
func (w *World) heal() {
	w.t.Helper()
	w.lines(wire.Link{})
	for i, c := range w.councils {
		for _, other := range w.councils[:i] {
			w.net.Heal(c.Name, other.Name)
		}
		c.up()
	}
}

// lines sets how all lines carry from now on.
func (w *World) lines(l wire.Link) {
	for _, c := range w.councils {
		w.linesFrom(c, l)
	}
}

func (w *World) linesFrom(c *Council, l wire.Link) {
	for _, other := range w.councils {
		if other != c {
			w.net.SetLink(c.Name, other.Name, l)
		}
	}
}

// heavy: records are large and lines slow, so that copies are long, which costs some tenths more.
var heavy = os.Getenv("STILE_SEEDS") != ""

// slowLine takes some seconds for a small page.
var slowLine = wire.Link{Bandwidth: 4000}

// slowly has all lines from a council be slow, but for one time in n: what comes next comes
// while a copy is under way.
func (w *World) slowly(c *Council, n int) {
	if heavy && w.ways != nil && w.ways.IntN(n) > 0 {
		w.tell("the lines from %s are slow", c.Name)
		w.linesFrom(c, slowLine)
	}
}

// glance looks at what every running council holds from the others: nothing
// that no text allows, nothing twice, and no record in an older version than before (I2, I3
// at every moment).
func (w *World) glance() {
	w.t.Helper()
	for _, c := range w.councils {
		if c.node == nil {
			continue
		}
		for _, from := range append(w.names(), fens) {
			if from == c.Name {
				continue
			}
			seen := map[string]bool{}
			for _, r := range c.holdings(from) {
				key := string(r.Agreement) + " " + string(r.Council) + " " + string(r.Record)
				if seen[key] {
					w.breach("%s holds %s twice", c.Name, key)
				}
				seen[key] = true
				if had := c.newest[key]; r.Version < had {
					w.breach("%s holds version %d of %s, and had version %d", c.Name, r.Version, key, had)
				}
				c.newest[key] = r.Version
				allowed := false
				places := canaries(r.Body)
				w.mu.Lock()
				for _, x := range w.texts[r.Agreement] {
					allowed = allowed || w.signedByAll(x.doc) && !slices.ContainsFunc(places, func(p string) bool { return !covers(x.fields, p) })
				}
				w.mu.Unlock()
				if !allowed {
					w.breach("%s holds of %s under %s what no signed text allows: %v", c.Name, from, r.Agreement, places)
				}
			}
		}
	}
}

// holdings lists what a council holds from another.
func (c *Council) holdings(from name.Council) (out []node.RecordReply) {
	c.w.t.Helper()
	in := node.ListRequest{From: from, Limit: 1000, Bodies: true}
	for {
		page, err := try(c, c.node.Records().List, in)
		if err != nil {
			var e *node.Error
			if errors.As(err, &e) && e.Kind == node.NotFound {
				return nil
			}
			c.w.fail("%s: list holdings from %s: %v", c.Name, from, err)
		}
		if len(page.Damaged) > 0 {
			c.w.breach("%s: damaged: %v", c.Name, page.Damaged)
		}
		out = append(out, page.Records...)
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return out
		}
	}
}
