package standard

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Level is the part of a version number that a change asks to raise
// (semver.org 2.0.0 sections 6 to 8).
type Level = api.Level

// The levels, from the least on. Patch is for words: what is valid and who may
// see it stay as they were. Minor is for what is new and asks nothing of those
// who have records already. Major is for what makes a record that was valid
// invalid, takes something away that a reader or an agreement may rely on, or
// cannot be told to be neither.
const (
	Patch Level = "patch"
	Minor Level = "minor"
	Major Level = "major"
)

func rank(l Level) int { return slices.Index([]Level{Patch, Minor, Major}, l) }

// A Change is one difference between two versions, in words.
type Change = api.Change

// A Difference is what changed from one version of a standard to another, for
// those who hold records in it.
type Difference = api.Difference

// maxChanges is how many changes are told.
const maxChanges = 1000

// Compare tells what a validator and a reader see differently in to than in
// from, and where. What it cannot tell to be harmless, such as two patterns or
// conditions that differ, it says so of and counts as major. Beside reading the
// two it tries them: a valid example of from that to refuses is a major change.
//
// A class that moves towards open is major: more of a record would travel in
// clear than the agreements of the old major were signed for. A class that
// moves the other way is minor: protection must be able to arrive without new
// agreements, which name the major.
//
// Compare takes any two standards; that one is the other's later version is for
// [Difference.Problem] to judge.
func Compare(from, to *Standard) *Difference {
	c := &comparison{from: from, to: to, news: map[name.Field]bool{}, gone: map[name.Field]bool{}}
	c.schemas()
	c.manifests()
	c.classes()
	c.examples()
	c.files()
	d := &Difference{From: from.Name(), To: to.Name(), Needs: Patch, Changes: []Change{}}
	slices.SortStableFunc(c.changes, func(a, b Change) int {
		if n := rank(b.Level) - rank(a.Level); n != 0 {
			return n
		}
		if n := strings.Compare(a.Pointer, b.Pointer); n != 0 {
			return n
		}
		return strings.Compare(a.What, b.What)
	})
	d.Changes = append(d.Changes, slices.Compact(c.changes)...)
	for _, ch := range d.Changes {
		if rank(ch.Level) > rank(d.Needs) {
			d.Needs = ch.Level
		}
	}
	if n := len(d.Changes) - maxChanges; n > 0 {
		d.Changes = append(d.Changes[:maxChanges], Change{What: fmt.Sprintf("… and %d more", n), Level: d.Changes[maxChanges].Level})
	}
	return d
}

// VersionProblem returns nil when To's version number is a large enough step from
// From's, else says which number it should have. Below 1.0.0 nothing is
// promised yet (semver.org 2.0.0 section 4): there a minor step is enough for a
// major change, and a patch step for a minor one.
func VersionProblem(d *Difference) *Problem {
	p := &Problem{Pointer: "standard.yaml#/version", Rule: "version"}
	from, to := d.From.Version, d.To.Version
	if d.From.Name != d.To.Name {
		p.Pointer, p.Rule = "standard.yaml#/name", "name"
		p.Detail = fmt.Sprintf("is %s, where the version before is of %s", d.To.Name, d.From.Name)
		p.Fix = "compare it with an earlier version of the same standard"
		return p
	}
	if to == from {
		if len(d.Changes) == 0 {
			return nil
		}
		p.Detail = fmt.Sprintf("is %s, as it was, but the standard is not; a version once published stays as it is", to)
		p.Fix = "call it " + next(d).String()
		return p
	}
	if to.Compare(from) < 0 {
		p.Detail = fmt.Sprintf("is %s, which comes before %s", to, from)
		p.Fix = "call it " + next(d).String()
		return p
	}
	if to.Compare(next(d)) >= 0 {
		return nil
	}
	n := 0
	for _, c := range d.Changes {
		if c.Level == d.Needs {
			n++
		}
	}
	p.Detail = fmt.Sprintf("is %s, but since %s there %s that only a %s version may make", to, from, countOf(n, "is a change", "are changes"), d.Needs)
	if from.Major == 0 {
		p.Detail = fmt.Sprintf("is %s, too small a step from %s: there %s of the kind %q", to, from, countOf(n, "is a change", "are changes"), d.Needs)
	}
	p.Fix = "call it " + next(d).String() + ", or undo what needs it"
	return p
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return one
	}
	verb, thing, _ := strings.Cut(many, " ")
	return fmt.Sprintf("%s %d %s", verb, n, thing)
}

// next is the least version that To may have.
func next(d *Difference) name.Version {
	v, needs := d.From.Version, d.Needs
	if v.Major == 0 {
		needs = map[Level]Level{Major: Minor, Minor: Patch, Patch: Patch}[needs]
	}
	switch needs {
	case Major:
		return name.Version{Major: v.Major + 1}
	case Minor:
		return name.Version{Major: v.Major, Minor: v.Minor + 1}
	}
	return name.Version{Major: v.Major, Minor: v.Minor, Patch: v.Patch + 1}
}

// A comparison is a Compare under way.
type comparison struct {
	from, to *Standard
	changes  []Change
	news     map[name.Field]bool // places that only to describes
	gone     map[name.Field]bool // places that only from describes
}

func (c *comparison) say(level Level, at, what, why string) {
	c.changes = append(c.changes, Change{Pointer: at, What: what, Level: level, Why: why})
}

// manifests compares what the manifests say, but for classes.
func (c *comparison) manifests() {
	a, b := c.from.manifest, c.to.manifest
	if !slices.Equal(a.Key, b.Key) {
		c.say(Major, "standard.yaml#/key", fmt.Sprintf("the key was %s and is %s", fieldList(a.Key), fieldList(b.Key)),
			"a record gets its identity from its key: every record held would become another record")
	}
	if a.Title != b.Title {
		c.say(Patch, "standard.yaml#/title", "the title is reworded", "")
	}
	if a.Description != b.Description {
		c.say(Patch, "standard.yaml#/description", "the description is reworded", "")
	}
	if a.Licence != b.Licence {
		c.say(Minor, "standard.yaml#/licence", fmt.Sprintf("the licence was %s and is %s", orNone(a.Licence), orNone(b.Licence)), "")
	}
	if !slices.Equal(a.Source, b.Source) {
		c.say(Patch, "standard.yaml#/source", "names other sources", "")
	}
	if a.Status != b.Status {
		level, why := Patch, ""
		if b.Status == Retired {
			why = "councils are asked to leave this version; their records and agreements stay as they are"
		}
		if a.Status == Live && (b.Status == Draft || b.Status == Candidate) {
			level, why = Minor, "what was live may change again"
		}
		c.say(level, "standard.yaml#/status", fmt.Sprintf("the status was %s and is %s", a.Status, b.Status), why)
	}
	switch {
	case a.Formats == b.Formats:
	case b.Formats == Annotation:
		c.say(Minor, "standard.yaml#/format", "formats are no longer checked", "")
	default:
		c.say(Major, "standard.yaml#/format", "formats are now checked", "a value that is not in its field's format was valid and no longer is")
	}
	if f, g := a.Measures.FreshWithin, b.Measures.FreshWithin; f != g {
		c.say(Minor, "standard.yaml#/measures/fresh_within", fmt.Sprintf("records are to be renewed within %s; it was %s", orNone(g.String()), orNone(f.String())),
			"no record becomes invalid, but a council may be counted as late")
	}
}

func fieldList(fs []name.Field) string {
	var out []string
	for _, f := range fs {
		out = append(out, string(f))
	}
	return strings.Join(out, " with ")
}

func orNone(s string) string {
	if s == "" {
		return "not said"
	}
	return s
}

var classOrder = []Class{Open, Internal, Personal, Special, Criminal}

// classes compares how places are handled, at every place that either manifest
// names and both schemas know.
func (c *comparison) classes() {
	named := map[name.Field]bool{"": true}
	for _, m := range []Manifest{c.from.manifest, c.to.manifest} {
		for f := range m.Classes {
			named[f] = true
		}
	}
	places := make([]name.Field, 0, len(named))
	for f := range named {
		places = append(places, f)
	}
	slices.Sort(places)
	for _, f := range places {
		a, b := c.from.Class(f), c.to.Class(f)
		if c.isNew(f, c.news) || c.isNew(f, c.gone) {
			continue // said where the field came or went
		}
		if a != b {
			// Said once, at the highest place that changed so.
			if f != "" && c.from.Class(parent(f)) == a && c.to.Class(parent(f)) == b {
				continue
			}
			what := fmt.Sprintf("was %s and is %s", a, b)
			switch {
			case b == Open:
				c.say(Major, string(f), what, "it would travel in clear in every record, also to partners whose agreement does not name it")
			case slices.Index(classOrder, b) < slices.Index(classOrder, a):
				c.say(Major, string(f), what, "it would be less protected than what the agreements of this major were signed for")
			case a == Open:
				c.say(Minor, string(f), what, "partners whose agreement does not name it no longer see it")
			default:
				why := ""
				if b == Special || b == Criminal {
					why = "an agreement that sends it must name the condition that allows it"
				}
				c.say(Minor, string(f), what, why)
			}
			continue
		}
		if f == "" {
			continue
		}
		switch was, is := c.from.layout.Separable(f), c.to.layout.Separable(f); {
		case was && !is:
			c.say(Major, string(f), "can no longer be disclosed by itself, only with what it stands in", "an agreement may name it")
		case is && !was:
			c.say(Minor, string(f), "can now be disclosed by itself", "")
		}
	}
}

func (c *comparison) isNew(f name.Field, set map[name.Field]bool) bool {
	for ; ; f = parent(f) {
		if set[f] {
			return true
		}
		if f == "" {
			return false
		}
	}
}

// files notes what changed in the bytes and is said nowhere else.
func (c *comparison) files() {
	added, gone, changed := 0, 0, 0
	for p, b := range c.to.files {
		if a, ok := c.from.files[p]; path.Dir(path.Dir(p)) == "examples" {
			switch {
			case !ok:
				added++
			case !bytes.Equal(a, b):
				changed++
			}
		}
	}
	for p := range c.from.files {
		if _, ok := c.to.files[p]; !ok && path.Dir(path.Dir(p)) == "examples" {
			gone++
		}
	}
	if added+gone+changed > 0 {
		c.say(Patch, "examples", fmt.Sprintf("other examples: %d added, %d changed, %d gone", added, changed, gone), "")
	}
	for _, p := range slices.Sorted(maps.Keys(c.to.files)) {
		a, ok := c.from.files[p]
		switch {
		case path.Dir(p) != "mappings":
		case !ok:
			c.say(Minor, p, "is a new mapping, by which records of an older major can be made into this one", "")
		case !bytes.Equal(a, c.to.files[p]):
			c.say(Minor, p, "the mapping is another", "records made by it from those of an older major may come out otherwise")
		}
	}
	for p := range c.from.files {
		if _, ok := c.to.files[p]; !ok && path.Dir(p) == "mappings" && c.from.Name().Version.Major == c.to.Name().Version.Major {
			c.say(Major, p, "the mapping is gone", "a council that makes its records by it can no longer do so in this version")
		}
	}
	if len(c.changes) > 0 {
		return
	}
	if c.from.integrity != c.to.integrity {
		c.say(Patch, "schema.json", "is written differently, with the same meaning", "")
	}
	a, b := c.from.files["standard.yaml"], c.to.files["standard.yaml"]
	if !bytes.Equal(a, b) && c.from.Name() == c.to.Name() {
		c.say(Patch, "standard.yaml", "is written differently, with the same meaning", "")
	}
}

// examples tries each version's examples by the other's schema. Those that are
// refused alike are named together.
func (c *comparison) examples() {
	type refusal struct{ at, detail string }
	refused := map[refusal][]string{}
	put := func(at, detail, file string) {
		if fs := refused[refusal{at, detail}]; !slices.Contains(fs, file) {
			refused[refusal{at, detail}] = append(fs, file)
		}
	}
	for _, e := range c.from.valid {
		if e.Err != nil || len(c.from.Validate(e.Record)) > 0 {
			continue
		}
		for i, p := range c.to.Validate(e.Record) {
			if i == 10 {
				break
			}
			put(p.Pointer, p.Detail, e.File)
		}
		if _, err := c.to.Key(e.Record); err != nil {
			if _, err := c.from.Key(e.Record); err == nil {
				put("standard.yaml#/key", "it has no key", e.File)
			}
		}
	}
	version := c.from.Name().Version
	for r, files := range refused {
		verb, was := "is", "it was valid"
		if len(files) > 1 {
			verb, was = "are", "they were valid"
		}
		c.say(Major, r.at, fmt.Sprintf("%s of %s %s refused: %s", quoted(files), version, verb, r.detail), was)
	}
	for _, e := range c.from.invalid {
		if e.Err == nil && len(c.from.Validate(e.Record)) > 0 && len(c.to.Validate(e.Record)) == 0 {
			c.say(Minor, "", fmt.Sprintf("%s of %s is now valid", e.File, version), "it was refused")
		}
	}
}
