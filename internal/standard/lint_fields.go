package standard

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/node/name"
)

// manifests looks at standard.yaml.
func (l *linter) manifests() {
	const file = "standard.yaml"
	for _, p := range []string{file, "schema.json"} {
		if l.files[p] == nil && !slices.ContainsFunc(l.found, func(f Finding) bool { return f.Rule == "files" && strings.Contains(f.Detail, strconv.Quote(p)) }) {
			l.add(SeverityError, p, "", "missing", "is missing", "stile standard new writes one to begin with")
		}
	}
	b := l.files[file]
	if b == nil {
		return
	}
	m, flaws := readManifest(b)
	l.manifest = m
	for _, f := range flaws {
		l.manifestFlaw(f)
	}
	if m == nil {
		return
	}
	if m.Description == "" {
		l.add(SeverityWarning, file, "", "no-words", "has no description", "say in a few sentences what a record is, for whom, and by which law or decision")
	}
	for _, x := range []struct{ has, at, detail, fix string }{
		{m.Licence, "licence", "names no licence", "say under which terms others may use the standard, such as OGL-UK-3.0"},
		{strings.Join(m.Source, ""), "source", "names no source", "say where its facts come from: a law, a guidance, a schema that it follows"},
		{m.Measures.FreshWithin.String(), "measures", "does not say how fresh records should be", "add measures: {fresh_within: P7D} or another span, if you can; compliance is measured by it"},
	} {
		if x.has == "" {
			l.add(SeverityNote, file, "", "no-"+x.at, x.detail, x.fix)
		}
	}
	v := m.Name.Version
	switch {
	case m.Status == Live && v.Major == 0:
		l.add(SeverityWarning, file, "/status", "status", fmt.Sprintf("is live, but %s says that anything may still change", v), "call it 1.0.0 or later, or candidate")
	case m.Status == Draft && v.Major > 0 && v.Minor == 0 && v.Patch == 0 && v.Major == 1:
		l.add(SeverityNote, file, "/status", "status", "is a draft of 1.0.0: what is adopted as 1.0.0 stays as it is, also when you change your mind", "call drafts 0.1.0 and so on until it is settled")
	case m.Status == Retired:
		l.add(SeverityNote, file, "/status", "status", "is retired: councils are asked not to adopt it, and to leave it", "say in the description what takes its place")
	}
	if len(m.Classes) == 0 {
		l.add(SeverityWarning, file, "", "no-classes", "names no classes, so every field is personal", "name the class of each field under classes: open, internal, personal, special or criminal")
	}
	for _, p := range slices.Sorted(maps.Values(m.Resources)) {
		if l.files[p] == nil && checkPath(p) == nil {
			l.add(SeverityError, file, "/resources", "missing", fmt.Sprintf("names %q, which is not in the folder", clip(p)), "put the file there, or correct its path")
		}
	}
}

// mappings reads each mapping, where the manifest says of which version.
func (l *linter) mappings() {
	if l.manifest == nil || l.manifest.Name.Version == (name.Version{}) {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(l.files)) {
		if path.Dir(p) != "mappings" {
			continue
		}
		_, err := loadMappings(map[string][]byte{p: l.files[p]}, l.manifest.Name)
		if err == nil {
			continue
		}
		for _, text := range strings.Split(err.Error(), "\n") {
			f := Finding{Severity: SeverityError, File: p, Rule: "mapping", Detail: clipText(strings.TrimSpace(strings.TrimPrefix(text, "read "+p+": ")), 500), Fix: "correct it: each step says one of move, copy, remove, add, translate and text"}
			if m := yamlLine.FindStringSubmatch(f.Detail); m != nil {
				f.Line, _ = strconv.Atoi(m[1])
				f.Detail = m[2]
			}
			if f.Detail != "" && !strings.HasSuffix(f.Detail, "unmarshal errors:") {
				l.found = append(l.found, f)
			}
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): (.*)$`)

func (l *linter) manifestFlaw(f flaw) {
	fix := map[string]string{
		"/name": "write publisher/name, such as standards.example/housing-need", "/version": "write three numbers, such as 1.2.0",
		"/title": "give it a short title", "/status": "write draft, candidate, live or retired",
		"/key":     "name the field or fields that tell one record of a council from another, such as [/reference]",
		"/classes": "open places may only stand below open ones or below places that are not named",
		"/format":  "write assertion or annotation, or leave it out", "/measures/fresh_within": "write an ISO 8601 duration, such as P7D",
	}[f.ptr]
	if fix == "" {
		fix = "correct it; stile standard new shows each heading with what it means"
	}
	// One finding for each line of what the YAML reader found.
	for _, text := range strings.Split(f.err.Error(), "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasSuffix(text, "unmarshal errors:") {
			continue
		}
		text = strings.ReplaceAll(text, " not found in type standard.manifestFile", " is not a heading of a manifest")
		text = strings.ReplaceAll(text, "standard.manifestFile", "a manifest")
		g := Finding{Severity: SeverityError, File: f.file, Pointer: f.ptr, Rule: "manifest", Detail: clipText(text, 500), Fix: fix}
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			g.Line, _ = strconv.Atoi(m[1])
			g.Detail = clipText(m[2], 500)
		}
		l.found = append(l.found, g)
	}
}

// maybe adds to js what may judge the same value.
func (g *graph) maybe(js judges) judges {
	out := together(js)
	seen := make(map[*jsonschema.Schema]bool, len(out))
	for _, s := range out {
		seen[s] = true
	}
	for i := 0; i < len(out) && len(out) < 5000; i++ {
		next := append(append(judges{}, always(out[i])...), perhaps(out[i])...)
		if d := out[i].DynamicRef; d != nil {
			next = append(next, g.dynamic[d.Anchor]...)
		}
		for _, s := range next {
			if s != nil && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// elements returns what s says of elements, by whatever keyword.
func elements(s *jsonschema.Schema) (out judges) {
	all := append(append(judges{s.Items2020, s.Contains}, s.PrefixItems...), boolOr(s.AdditionalItems)...)
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		all = append(all, items)
	case []*jsonschema.Schema:
		all = append(all, items...)
	}
	for _, e := range all {
		if e != nil {
			out = append(out, e)
		}
	}
	return out
}

// children returns what may judge each member that a schema of js names, and
// every element, under "*".
func (g *graph) children(js judges) map[string]judges {
	out := map[string]judges{}
	for _, s := range g.maybe(js) {
		for n, m := range s.Properties {
			out[n] = append(out[n], m)
		}
		if es := elements(s); es != nil {
			out["*"] = append(out["*"], es...)
		}
	}
	return out
}

// A finder finds places of a schema, and remembers what it met on the way: a
// standard may name as many classes as its schema has members, and to gather anew
// for each what may judge the record is the square of that.
type finder struct {
	g    *graph
	met  map[name.Field]*spread
	left int // steps that may still be made; below 0 it has given up
}

// maxFound is how many steps a finder makes: schemas gathered and patterns tried.
// The largest published schemas take some thousands.
const maxFound = 2_000_000

func newFinder(g *graph) *finder {
	return &finder{g: g, met: map[name.Field]*spread{}, left: maxFound}
}

// A spread is what may judge one place, by what it says of the places below.
type spread struct {
	at       judges
	members  map[string]judges
	elements judges
	patterns []patterned
	others   []*jsonschema.Schema // that say something of members which they do not name
}

type patterned struct {
	by      jsonschema.Regexp
	members *jsonschema.Schema
}

// spread gathers what stands below the place f, which at may judge.
func (d *finder) spread(f name.Field, at judges) *spread {
	if sp := d.met[f]; sp != nil {
		return sp
	}
	sp := &spread{at: at, members: map[string]judges{}}
	d.met[f] = sp
	for _, s := range d.g.maybe(at) {
		d.left -= 1 + len(s.Properties) + len(s.PatternProperties)
		for n, m := range s.Properties {
			sp.members[n] = append(sp.members[n], m)
		}
		sp.elements = append(sp.elements, elements(s)...)
		for by, m := range s.PatternProperties {
			sp.patterns = append(sp.patterns, patterned{by, m})
		}
		if _, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
			sp.others = append(sp.others, s)
		}
	}
	return sp
}

// find returns what may judge the place f, and whether the schema describes it. When
// the finder has given up it says yes, since it cannot tell.
func (d *finder) find(f name.Field) (judges, bool) {
	at, path := judges{d.g.root}, name.Field("")
	for _, tok := range f.Tokens() {
		if d.left < 0 {
			return nil, true
		}
		sp := d.spread(path, at)
		next := slices.Clone(sp.members[tok])
		if tok == "*" {
			next = append(next, sp.elements...)
		} else {
			d.left -= len(sp.patterns) + len(sp.others)
			for _, p := range sp.patterns {
				if p.by.MatchString(tok) {
					next = append(next, p.members)
				}
			}
			for _, s := range sp.others {
				if s.Properties[tok] == nil {
					next = append(next, s.AdditionalProperties.(*jsonschema.Schema))
				}
			}
		}
		if len(next) == 0 {
			return nil, false
		}
		at, path = next, path.Child(tok)
	}
	return at, true
}

// fields compares the classes with what the schema describes.
func (l *linter) fields() {
	g := l.graph
	if k := together(judges{g.root}).kinds(); k&isObject == 0 {
		l.add(SeverityError, "schema.json", "/type", "not-a-record", "asks for "+k.words()+", but a record is a group of fields with a key", "publish the schema of one record; a list of them is what a council sends, not what it agrees on")
		return
	}
	classes := l.std.manifest.Classes
	if _, ok := classes[""]; !ok && len(classes) > 0 {
		above := map[name.Field]bool{} // places that a class is named below
		for named := range classes {
			for at := named; at != "" && !above[at]; {
				above[at] = true
				at = parent(at)
			}
		}
		var without []string
		var walk func(at name.Field, js judges, depth int)
		walk = func(at name.Field, js judges, depth int) {
			for n, c := range g.children(js) {
				f := at.Child(n)
				if _, ok := classes[f]; ok {
					continue
				}
				switch {
				case above[f] && depth < name.MaxFieldDepth:
					walk(f, c, depth+1)
				case n != "*":
					without = append(without, string(f))
				}
			}
		}
		walk("", judges{g.root}, 0)
		if n := len(without); n > 0 {
			slices.Sort(without)
			l.add(SeverityWarning, "standard.yaml", "/classes", "no-class", fmt.Sprintf("%s without a class, and so personal: %s", fieldsAre(n), quoted(without)), "name each, if only to say personal: that shows somebody thought of it")
		}
	}
	places := newFinder(g)
	for _, f := range slices.Sorted(maps.Keys(classes)) {
		if f == "" {
			continue
		}
		if _, ok := places.find(f); !ok {
			l.add(SeverityWarning, "standard.yaml", "/classes/"+name.Escape(string(f)), "class-of-nothing", fmt.Sprintf("gives a class to %q, which the schema does not describe", clip(string(f))), "correct the pointer; what it was meant for is personal until then")
		}
		if classes[f] == Open && tellsOfAPerson(f) {
			l.add(SeverityWarning, "standard.yaml", "/classes/"+name.Escape(string(f)), "open-person", fmt.Sprintf("%q is open, and its name sounds like personal data: it would travel in clear in every record", clip(string(f))), "make it personal, unless it is never about a living person")
		}
	}
	if places.left < 0 {
		l.add(SeverityNote, "standard.yaml", "/classes", "not-tried", "the schema is too large for all its classes to be held against it: some may be of places that it does not describe", "divide the standard, or combine fewer schemas by allOf, anyOf and patternProperties")
	}
	l.open(g)
}

// tellsOfAPerson reports whether a field's own name says that it is about a
// person.
func tellsOfAPerson(f name.Field) bool {
	toks := f.Tokens()
	last := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(toks[len(toks)-1]))
	return slices.Contains([]string{
		"nino", "nationalinsurancenumber", "nhsnumber", "dateofbirth", "dob", "birthdate", "surname", "lastname", "familyname", "forename", "firstname",
		"givenname", "middlename", "gender", "ethnicity", "religion", "disability", "applicantname", "patientname", "childname", "mobile",
	}, last)
}

// open tells where a record may hold what the standard does not name.
func (l *linter) open(g *graph) {
	type spot struct {
		at name.Field
		js judges
	}
	var found, clear []string
	seen := map[*jsonschema.Schema]bool{}
	todo := []spot{{"", judges{g.root}}}
	for n := 0; len(todo) > 0 && n < 5000; n++ {
		s := todo[0]
		todo = todo[1:]
		all := together(s.js)
		fresh := false
		for _, x := range all {
			fresh = fresh || !seen[x]
			seen[x] = true
		}
		if !fresh || len(s.at.Tokens()) > name.MaxFieldDepth {
			continue
		}
		if all.kinds()&isObject != 0 && slices.ContainsFunc(all, func(x *jsonschema.Schema) bool { return len(x.Properties) > 0 }) && len(all.others()) == 0 {
			place := string(s.at)
			if place == "" {
				place = "the record itself"
			}
			if l.std.Class(s.at) == Open {
				clear = append(clear, place)
			} else {
				found = append(found, place)
			}
		}
		kids := g.children(s.js)
		for _, n := range slices.Sorted(maps.Keys(kids)) {
			todo = append(todo, spot{s.at.Child(n), kids[n]})
		}
	}
	const fix = "add \"additionalProperties\": false (or \"unevaluatedProperties\": false beside allOf) where nothing else belongs"
	if len(clear) > 0 {
		l.add(SeverityWarning, "schema.json", "", "open-group", "takes fields that it does not name, which would be open and travel in clear: "+quoted(clear), fix)
	}
	if len(found) > 0 {
		l.add(SeverityNote, "schema.json", "", "open-group", "takes fields that it does not name, so a misspelt field is not noticed; they are personal unless a class says otherwise: "+quoted(found), fix)
	}
}

// keys looks at what tells one record from another.
func (l *linter) keys() {
	g := l.graph
	if together(judges{g.root}).kinds()&isObject == 0 {
		return
	}
	for i, f := range l.std.manifest.Key {
		at := "/key/" + strconv.Itoa(i)
		js, ok := newFinder(g).find(f)
		switch {
		case !ok && together(judges{g.root}.others()).forbid():
			l.add(SeverityError, "standard.yaml", at, "key-unknown", fmt.Sprintf("%q is part of the key, but the schema allows no such field: no record could be taken in", clip(string(f))), "name a field that the schema has")
			continue
		case !ok:
			l.add(SeverityWarning, "standard.yaml", at, "key-unknown", fmt.Sprintf("%q is part of the key, but the schema does not describe it", clip(string(f))), "name a field that the schema has, or describe it")
			continue
		case !l.std.engine.requires(f):
			l.add(SeverityWarning, "standard.yaml", at, "key-optional", fmt.Sprintf("%q is part of the key, but the schema does not require it: a valid record without it is held back", clip(string(f))), "add it to required in the schema, if the schema is yours")
		}
		const single = isString | isNumber | isInteger | isBool
		k := together(js).kinds()
		if len(js) > 1 { // several forms may describe it, each for itself
			k = 0
			for _, s := range js {
				k |= together(judges{s}).kinds()
			}
		}
		switch {
		case k&single == 0:
			l.add(SeverityError, "standard.yaml", at, "key-not-single", fmt.Sprintf("%q is part of the key, but it is %s: no record could be taken in", clip(string(f)), k.words()), "name a field that holds one text or number")
		case k == anyKind:
			l.add(SeverityNote, "standard.yaml", at, "key-type", fmt.Sprintf("%q is part of the key, and the schema does not say that it is text or a number", clip(string(f))), "say \"type\": \"string\" in the schema, if the schema is yours")
		case k&^single != 0:
			l.add(SeverityNote, "standard.yaml", at, "key-type", fmt.Sprintf("%q is part of the key, and may also be %s: such a record is held back", clip(string(f)), (k&^single).words()), "allow only text or a number, if the schema is yours")
		}
	}
}

// examples tries the examples.
func (l *linter) examples() {
	for _, p := range l.std.CheckExamples() {
		file, ptr, place := strings.Cut(p.Pointer, "#")
		switch {
		case file == "standard.yaml": // told by keys
		case !place && path.Ext(file) == "":
			l.add(SeverityWarning, file, "", "no-examples", p.Detail, p.Fix+"; a reader understands a standard by its examples")
		case p.Rule == "key":
			l.add(SeverityError, file, ptr, "example", p.Detail, p.Fix)
		case p.Rule == RuleBudget:
			l.add(SeverityError, file, ptr, "example", p.Detail+": no record like it could be taken in", dearFix)
		case place:
			l.add(SeverityError, file, ptr, "example", "is refused by the schema: "+p.Detail+" ("+p.Rule+")", p.Fix+", or correct the schema, or move the example to examples/invalid")
		default:
			l.add(SeverityError, file, "", "example", p.Detail, p.Fix)
		}
	}
	l.costs()
}

// costs warns of examples that are dear, or would be were they larger.
func (l *linter) costs() {
	for _, c := range l.std.Costs() {
		switch {
		case c.Steps > c.Limit: // an error of examples
		case c.Steps > c.Limit/2:
			l.add(SeverityWarning, c.File, "", "dear", fmt.Sprintf("takes %d steps to check, of the %d that a record of its size may take", c.Steps, c.Limit), dearFix)
		case c.UnjudgedAt > 0:
			l.add(SeverityWarning, c.File, "", "dear", fmt.Sprintf("a record like it of %d kB would not be judged: to check it takes more than the %d steps that any record may take", (c.UnjudgedAt+500)/1000, maxSteps), dearFix)
		}
	}
}

const dearFix = "make the schema simpler where many forms are tried one after the other; give each form a member with a value of its own (const), so that it tells which one to try"
