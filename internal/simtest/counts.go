package simtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// What the design says of counts, in numbers of this package's own.
const (
	leastShown = 10
	roundedTo  = 5
	movedBy    = 4 // at most, before it is rounded
)

// counts reports whether nothing but counts leaves under the text.
func (x *text) counts() bool { return !x.doc.Way().Copied && !x.doc.Way().ByMatch }

// A tallied is what counts are made of once a week.
type tallied struct {
	text agreement.Digest
	by   string
	day  string
}

// askCounts has a council ask for counts under an agreement of mode aggregate. The
// weather decides whether it is answered, and not what the answer may say.
func (w *World) askCounts(c *Council) {
	w.t.Helper()
	x := w.pick(func(x *text) bool {
		st, ok := w.state.Status(x.doc.Name, now())
		return x.counts() && slices.Contains(x.doc.To, c.Name) && ok && st.InForce() && st.Digest == x.doc.Digest()
	})
	if x == nil || c.node == nil {
		return
	}
	by := x.fields[:w.rng.IntN(len(x.fields)+1)]
	w.tell("%s asks for counts under %s by %v", c.Name, x.doc.Name, by)
	w.count1(c, x, by)
}

// countAll asks, of a world at rest, for all counts that may be asked for; every one
// is answered.
func (w *World) countAll() {
	w.t.Helper()
	for _, nm := range w.agreements() {
		x := w.terms(nm)
		if x == nil || !x.counts() {
			continue
		}
		for _, to := range x.doc.To {
			for n := range len(x.fields) + 1 {
				err := w.count1(w.council(to), x, x.fields[:n])
				var e *node.Error
				if err != nil && !(errors.As(err, &e) && e.Kind == node.Refused && strings.Contains(e.Message, "have been asked")) {
					w.fail("%s asks for counts under %s: %v", to, nm, err)
				}
			}
		}
	}
}

// count1 asks one question for counts. What it is told is what there was to count
// when it, or somebody else in the same week, asked first.
func (w *World) count1(c *Council, x *text, by []name.Field) error {
	w.t.Helper()
	in := node.AggregateRequest{Agreement: string(x.doc.Name), Because: "a plan"}
	for _, f := range by {
		in.By = append(in.By, string(f))
	}
	w.mu.Lock()
	monday := now().UTC()
	for monday.Weekday() != time.Monday && monday.Format("2006-01-02") != "2000-01-01" { // no week begins before
		monday = monday.AddDate(0, 0, -1)
	}
	key := tallied{x.doc.Digest(), strings.Join(in.By, " "), monday.Format("2006-01-02")}
	w.tallies[key] = append(w.tallies[key], w.tally(x, by))
	w.mu.Unlock()
	got, err := try(c, c.node.Questions().Count, in)
	if err != nil {
		return err
	}
	w.answered++
	shown := map[string]int{}
	for _, g := range got.Groups {
		shown[groupKey(g.Of)] = g.Count
		w.counted++
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key.day = got.Day
	if !slices.ContainsFunc(w.tallies[key], func(m map[string]int) bool { return tells(m, shown) }) || len(shown) != len(got.Groups) {
		w.broken = append(w.broken, fmt.Sprintf("%s was told under %s by %v: %v; there was to tell in that week: %v", c.Name, x.doc.Name, by, shown, w.tallies[key]))
	}
	return nil
}

// tally counts what of the sender's records may be told now. w.mu is held.
func (w *World) tally(x *text, by []name.Field) map[string]int {
	out := map[string]int{}
	for _, f := range w.council(x.doc.From).facts {
		b := f.now()
		if b == nil || !x.rule.picks(b) {
			continue
		}
		var of []*string
		for _, f := range by {
			s := fmt.Sprint(b[string(f[1:])])
			of = append(of, &s)
		}
		out[groupKey(of)]++
	}
	return out
}

// tells reports whether counts may be what was shown of sizes: no small group, each near
// its size, and where one group alone would be left out another with it.
func tells(sizes, shown map[string]int) bool {
	for k, n := range shown {
		if m := sizes[k]; m < leastShown || n%roundedTo != 0 || n < m-movedBy-roundedTo/2 || n > m+movedBy+roundedTo/2 {
			return false
		}
	}
	return true
}

func groupKey(of []*string) string {
	b, err := json.Marshal(append([]*string{}, of...))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// tapCounts returns why counts may not go from one council to another, "" if they
// may.
func (w *World) tapCounts(from, to name.Council, feed string, token []byte) string {
	_, ev, err := record.ParseEvent(token)
	if err != nil {
		return err.Error()
	}
	if ev.Kind != event.KindCounts || ev.Council != from {
		return "they are no counts of the sender"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	nm := name.Agreement(feed)
	if !slices.ContainsFunc(w.texts[nm], func(x *text) bool {
		return x.counts() && x.doc.Party(to) && x.doc.From == from && w.signedByAll(x.doc) && !w.halted[x.doc.Digest()]
	}) || w.overFrom[nm] {
		return "no text of it lets any leave"
	}
	return small(ev.Body)
}

// small returns what is wrong with the groups that an event names, "" if nothing is.
func small(body map[string]any) string {
	groups, ok := body["groups"].([]any)
	if !ok {
		return "there are no groups"
	}
	for _, g := range groups {
		m, _ := g.(map[string]any)
		n, _ := m["count"].(json.Number)
		if i, err := n.Int64(); err != nil || i < leastShown || i%roundedTo != 0 {
			return fmt.Sprintf("a group of %q", n)
		}
	}
	return ""
}
