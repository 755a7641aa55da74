package simtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// poolFolders are where a council has what is of a footprint: its replica with all that the
// members say to each other, and in a backup a copy of the ledger.
var poolFolders = []string{"footprints", "footprint-backups"}

// pool has the three councils form a footprint, into which two of them bring records.
func (l *Whole) pool() {
	l.t.Helper()
	l.form(string(kinds[0].name)+"@1", string(kinds[1].name)+"@1")
	l.o.members = l.names()
	l.conclude("footprint", kinds[l.rng.IntN(len(kinds))])
	l.conclude("contribute", l.kind)
}

// pools returns the agreements by which records go into the footprint, whatever became of
// them.
func (l *Whole) pools() (out []name.Agreement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for nm, p := range l.o.pacts {
		if p.pooled() {
			out = append(out, nm)
		}
	}
	return out
}

// readsIn returns the values that a member reads in the footprint.
func (l *Whole) readsIn(c *Council) (map[canary]string, error) {
	found := map[canary]string{}
	in := node.FootprintListRequest{Name: string(fens), Linearizable: true, Bodies: true, Limit: 1000}
	for {
		page, err := try(c, c.node.Footprints().Records, in)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			scan(r.Body, func(x canary) { found[x] = "answers, of the footprint" })
		}
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return found, nil
		}
	}
}

// reads looks at what a member reads in the footprint.
func (l *Whole) reads(c *Council) {
	l.t.Helper()
	if !slices.Contains(l.o.members, c.Name) {
		return
	}
	found, err := l.readsIn(c)
	if err != nil {
		l.fail("%s reads the footprint: %v", c.Name, err)
	}
	l.judge(c.Name, found, l.pools()...)
	l.look(c, "answers", call(c, c.node.Footprints().Status, node.FootprintRequest{Name: string(fens)}))
}

// unshared returns what of the footprint has not come to where it should be, in a world that
// comes to rest: each member reads in it what the texts let in, and nothing else.
func (l *Whole) unshared() string {
	if l.plant.mode != "" {
		return ""
	}
	for _, m := range l.o.members {
		c := l.council(m)
		got, err := l.readsIn(c)
		if err != nil {
			return fmt.Sprintf("%s reads the footprint: %v", m, err)
		}
		l.mu.Lock()
		want, _ := l.o.standing(m)
		l.mu.Unlock()
		for x := range want {
			if got[x] == "" {
				return fmt.Sprintf("%s does not read %s %s in the footprint", m, x.place, x.number)
			}
		}
		for x := range got {
			if !want[x] {
				return fmt.Sprintf("%s still reads %s %s in the footprint", m, x.place, x.number)
			}
		}
	}
	return ""
}

// replica looks through what a council that is down has of the footprint in its folder or in
// a backup of it: in all of it nothing that was never let in, and in the ledger nothing of
// what is not there any more.
func (l *Whole) replica(c *Council, where, dir string) {
	l.t.Helper()
	if !l.fens {
		return
	}
	member := slices.Contains(l.o.members, c.Name)
	all, ledger := map[canary]string{}, map[canary]string{}
	for _, f := range poolFolders {
		if _, err := os.Stat(filepath.Join(dir, f)); err == nil {
			l.rawInto(all, filepath.Join(dir, f), where+" of the footprint")
		}
	}
	l.judgeBy(c.Name, all, func(p *pact) bool { return member && p.pooled() })
	if !member {
		return
	}
	parts, err := filepath.Glob(filepath.Join(dir, "footprints", "*", "replica-*"))
	if err != nil {
		l.fail("%v", err)
	}
	if where == "backup" {
		parts = []string{filepath.Join(dir, "footprint-backups")}
	}
	for _, p := range parts {
		l.rawInto(ledger, p, where+" of the footprint")
	}
	if l.plant.mode != "" {
		return
	}
	l.mu.Lock()
	now, before := l.o.standing(c.Name)
	l.mu.Unlock()
	for x := range now {
		if ledger[x] == "" {
			l.breach("%s %s stands in the footprint and is not found in the %s of %s, so that to look proves nothing", x.place, x.number, where, c.Name)
		}
	}
	for x, file := range ledger {
		if l.known(x) && !now[x] && !before[x] {
			l.breach("%s %s stands in the footprint no more, and is in the %s of %s: %s", x.place, x.number, where, c.Name, file)
		}
	}
}

// known reports whether somebody wrote a value.
func (l *Whole) known(x canary) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, is := l.o.owner[x]
	return is
}

// leave notes that the council that ends is no member any more: nothing of the others is left
// there, and nothing of it with them.
func (l *Whole) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.members = slices.DeleteFunc(slices.Clone(l.o.members), func(c name.Council) bool { return c == l.councils[0].Name })
}

// poolFails plants values where a rule about the footprint forbids them, in a world in which
// the council that shares has left it, and fails the test where that is not noticed.
func (l *Whole) poolFails() {
	l.t.Helper()
	c, gone := l.last(), l.councils[0]
	var pooled, never canary // at c by the footprint alone; and by nothing
	l.mu.Lock()
	for x, from := range l.o.owner {
		byPool := func(a name.Agreement) bool { return l.o.pacts[a].pooled() }
		switch by := slices.Collect(maps.Keys(l.o.may[c.Name][x])); {
		case from == gone.Name && len(by) == 0:
			never = x
		case from == gone.Name && !slices.ContainsFunc(by, func(a name.Agreement) bool { return !byPool(a) }):
			pooled = x
		}
	}
	own := l.o.items[l.own[0]].all[0]
	l.mu.Unlock()
	if pooled == (canary{}) || never == (canary{}) {
		l.fail("there is no value to plant")
	}
	says := func(what, want, got string) {
		l.t.Helper()
		if !strings.Contains(got, want) || want == "" && got != "" {
			l.t.Errorf("%s: want %q, got %q", what, want, got)
		}
	}
	planted := func(what string, at *Council, folder string, x canary, want string) {
		l.t.Helper()
		dirs, err := filepath.Glob(filepath.Join(at.dir, folder))
		if err == nil && len(dirs) == 0 {
			dirs = []string{filepath.Join(at.dir, folder)}
			err = os.MkdirAll(dirs[0], 0o700)
		}
		file := filepath.Join(dirs[0], "planted")
		if err == nil {
			err = os.WriteFile(file, []byte(x.text()), 0o600)
		}
		if err != nil {
			l.fail("%v", err)
		}
		l.replica(at, "files", at.dir)
		l.judgeBy(at.Name, l.raw(at.dir, "files"), func(p *pact) bool { return !p.pooled() })
		says(what, want, l.breaches())
		if err := os.Remove(file); err != nil {
			l.fail("%v", err)
		}
	}
	says("as it is", "", l.unshared())
	contribute := l.newest("contribute")
	contribute.over = true
	late := l.unshared()
	contribute.over = false
	if late != "" { // else nothing of it stands
		says("what is taken back and still read", "still reads", late)
	}
	it, body := row(l.middle().Name, contribute.kind, 1<<30, "X", 1)
	l.mu.Lock()
	l.o.write(it, body)
	rule := contribute.current().rule
	contribute.current().rule = all
	l.mu.Unlock()
	says("what is let in and has not come", "does not read", l.unshared())
	l.mu.Lock()
	contribute.current().rule = rule
	delete(l.o.items, it.key)
	l.mu.Unlock()

	c.halt()
	gone.halt()
	planted("what may stand there", c, "footprints/*", pooled, "")
	planted("what may not", c, "footprints/*", never, "which may not have it: files of the footprint")
	planted("what stands there no more", c, "footprints/*/replica-*", pooled, "stands in the footprint no more")
	planted("what may be in the footprint alone", c, "ledger", pooled, "which may not have it: files planted")
	planted("what is left with who has gone", gone, "footprints/"+string(fens), own, "which may not have it: files of the footprint")
}
