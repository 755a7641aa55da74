package standard

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A Severity says what a [Finding] asks for.
type Severity string

// The severities, from the gravest on.
const (
	SeverityError   Severity = "error"   // no council can, or none should, adopt the standard as it is
	SeverityWarning Severity = "warning" // it can be adopted, and is likely not what its publisher means
	SeverityNote    Severity = "note"    // for a person to know or decide
)

// Waivable names the rules whose findings, errors as they are, a council may
// waive when it adopts a standard: the publisher broke a rule of JSON Schema, and
// nothing that any record says hangs on it. Sorted.
func Waivable() []string { return []string{"required-twice"} }

// A Finding is one thing to say of a standard to the one who publishes it.
// Unlike a [Problem] it may quote the standard, which is public; it never
// quotes a value of an example.
type Finding struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`              // slash path in the standard; "" is the standard itself
	Pointer  string   `json:"pointer,omitempty"` // JSON Pointer (RFC 6901) in the file
	Line     int      `json:"line,omitempty"`    // from 1; 0 not known
	Rule     string   `json:"rule"`              // a short name, such as "empty-enum"
	Detail   string   `json:"detail"`            // such as "is an empty list: no value is allowed"
	Fix      string   `json:"fix"`               // what to do about it
}

// Lint reads a standard from a directory as [Load] does and tells everything it
// finds wrong or unusual, not only the first: the gravest first, then by file
// and line. The standard is nil exactly when Load would refuse the directory;
// then one finding at least is an error. Beyond what Load refuses, an error is
// what makes a standard useless or dangerous to adopt.
//
// Lint may be given anything: it ends in bounded time and does not panic.
func Lint(fsys fs.FS) (*Standard, []Finding) {
	files, err := readDir(fsys)
	l := &linter{files: files}
	if err != nil {
		l.add(SeverityError, "", "", "files", err.Error(), "a standard is a folder with standard.yaml, schema.json and examples; see: stile standard new")
		// What can be read is looked at nevertheless.
		l.files = map[string][]byte{}
		total := 0
		for _, p := range []string{"standard.yaml", "schema.json"} {
			if st, err := fs.Stat(fsys, p); err == nil && st.Mode().IsRegular() {
				_ = readFile(fsys, p, fs.FileInfoToDirEntry(st), l.files, &total)
			}
		}
		l.unread = true
	}
	return l.run()
}

// LintArchive is [Lint] for an archive, as [LoadArchive] reads it.
func LintArchive(b []byte) (*Standard, []Finding) {
	files, err := unpack(b)
	l := &linter{files: files}
	if err != nil {
		l.add(SeverityError, "", "", "files", "the archive cannot be opened: "+err.Error(), "pack the standard's folder anew, as .zip or .tar.gz with plain relative names")
		return nil, l.found
	}
	return l.run()
}

// A linter is a Lint under way.
type linter struct {
	files    map[string][]byte
	unread   bool // there are files that could not be read
	manifest *Manifest
	std      *Standard
	graph    *graph // of std
	found    []Finding
	tried    int // patterns
}

// runsAway tries a pattern, but not more of them than a person waits for: a
// standard may hold thousands.
func (l *linter) runsAway(p *pattern) bool {
	if l.tried++; l.tried > 200 {
		return false
	}
	return p.runsAway()
}

// maxFindings is how many findings of one rule are told one by one.
const maxFindings = 10

func (l *linter) add(sev Severity, file, ptr, rule, detail, fix string) {
	l.found = append(l.found, Finding{Severity: sev, File: file, Pointer: ptr, Rule: rule, Detail: clipText(detail, maxErrorText), Fix: fix})
}

func (l *linter) failed() bool {
	return slices.ContainsFunc(l.found, func(f Finding) bool { return f.Severity == SeverityError })
}

func (l *linter) run() (*Standard, []Finding) {
	original := l.files
	l.encodings()
	l.manifests()
	docs := l.documents()
	for _, d := range docs {
		d.walk()
	}
	l.mappings()
	var err error
	if l.unread {
		err = fs.ErrNotExist
	} else {
		l.std, err = load(original)
	}
	l.references(docs, err != nil)
	if err != nil {
		l.refusal(err)
	} else if l.graph, err = l.std.engine.graph(); err == nil { // it compiled at Load
		l.fields()
		l.keys()
		l.examples()
	}
	l.lines()
	return l.std, l.sorted()
}

// sorted puts the findings in order, and those of one rule beyond the first
// maxFindings into one.
func (l *linter) sorted() []Finding {
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(
			slices.Index(severities, a.Severity)-slices.Index(severities, b.Severity),
			strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Pointer, b.Pointer),
			strings.Compare(a.Rule, b.Rule), strings.Compare(a.Detail, b.Detail))
	})
	out := []Finding{}
	more := map[string]int{}
	for _, f := range slices.Compact(l.found) {
		key := string(f.Severity) + " " + f.Rule
		if more[key]++; more[key] <= maxFindings {
			out = append(out, f)
		}
	}
	for i := len(out) - 1; i >= 0; i-- {
		key := string(out[i].Severity) + " " + out[i].Rule
		if n := more[key] - maxFindings; n > 0 {
			f := Finding{Severity: out[i].Severity, File: out[i].File, Rule: out[i].Rule, Detail: fmt.Sprintf("… and %d more like it", n), Fix: out[i].Fix}
			out = slices.Insert(out, i+1, f)
			more[key] = 0
		}
	}
	return out
}

var severities = []Severity{SeverityError, SeverityWarning, SeverityNote}

// encodings looks at the first bytes of every file. What is in UTF-16 is read
// on, so that the publisher hears the rest too.
func (l *linter) encodings() {
	read := map[string][]byte{}
	for p, b := range l.files {
		read[p] = b
		text, called := decodeText(b)
		if called == "" {
			continue
		}
		l.add(SeverityError, p, "", "encoding", "is in "+called+"; JSON and YAML are exchanged in UTF-8 without a mark (RFC 8259 section 8.1)",
			"save it as UTF-8 without a byte order mark; in an editor: Save as, encoding UTF-8")
		read[p] = text
	}
	l.files = read
}

// decodeText returns b in UTF-8, and what b was in if that is something else.
func decodeText(b []byte) (text []byte, called string) {
	wide := func(b []byte, at func([]byte) uint16) []byte {
		u := make([]uint16, 0, len(b)/2)
		for ; len(b) > 1; b = b[2:] {
			u = append(u, at(b))
		}
		return []byte(string(utf16.Decode(u)))
	}
	little := func(b []byte) uint16 { return uint16(b[0]) | uint16(b[1])<<8 }
	big := func(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 }
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return b[3:], "UTF-8 with a byte order mark"
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return wide(b[2:], little), "UTF-16"
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return wide(b[2:], big), "UTF-16"
	case len(b) > 3 && b[0] != 0 && b[1] == 0 && b[2] != 0 && b[3] == 0:
		return wide(b, little), "UTF-16"
	case len(b) > 3 && b[0] == 0 && b[1] != 0 && b[2] == 0 && b[3] != 0:
		return wide(b, big), "UTF-16"
	}
	return b, ""
}

// documents decodes the schema documents and tells of those that are none.
func (l *linter) documents() []*lintDoc {
	names := map[string]bool{}
	for p := range l.files {
		if p == "schema.json" || path.Dir(p) == "schemas" {
			names[p] = true
		}
	}
	if l.manifest != nil {
		for _, p := range l.manifest.Resources {
			if l.files[p] != nil {
				names[p] = true
			}
		}
	}
	var out []*lintDoc
	for p := range names {
		v, err := strictjson.Decode(l.files[p], schemaLimits())
		if err != nil {
			l.notJSON(p, err)
			continue
		}
		obj, ok := v.(map[string]any)
		if _, isBool := v.(bool); !ok && !isBool {
			l.add(SeverityError, p, "", "not-a-schema", errNotSchema.Error(), "put a JSON Schema there")
		}
		if ok {
			out = append(out, newLintDoc(l, p, obj))
		}
	}
	slices.SortFunc(out, func(a, b *lintDoc) int { return strings.Compare(a.file, b.file) })
	return out
}

func (l *linter) notJSON(file string, err error) {
	je, ok := errors.AsType[*strictjson.Error](err)
	if !ok {
		l.add(SeverityError, file, "", "json", err.Error(), "correct it")
		return
	}
	f := Finding{Severity: SeverityError, File: file, Pointer: je.Pointer, Rule: "json", Detail: "cannot be read as JSON: " + je.Rule, Fix: je.Fix}
	b := l.files[file]
	f.Line = 1 + bytes.Count(b[:min(je.Offset, len(b))], []byte("\n"))
	switch je.Rule {
	case strictjson.RuleSize, strictjson.RuleDepth, strictjson.RuleValues:
		f.Rule, f.Detail = "too-large", fmt.Sprintf("is larger than a schema may be (%s): %d MB, %d deep, %d values", je.Rule, maxFile>>20, maxDepth, maxValues)
		f.Fix = "leave out what is not needed, or divide it into standards of their own"
	default:
		if kind := looksLike(b); kind != "" {
			f.Line = 1
			f.Detail, f.Fix = "is "+kind+", not JSON", "write a JSON Schema of it; stile standard new drafts one from an example record"
		}
	}
	l.found = append(l.found, f)
}

// looksLike names what a file that is not JSON seems to be.
func looksLike(b []byte) string {
	t := bytes.TrimSpace(b[:min(len(b), 4096)])
	line, _, _ := bytes.Cut(t, []byte("\n"))
	switch {
	case len(t) == 0:
		return "empty"
	case bytes.HasPrefix(t, []byte("<")):
		return "XML or HTML"
	case bytes.ContainsAny(t[:1], "{["):
		return ""
	case bytes.HasPrefix(t, []byte("---")), bytes.HasPrefix(t, []byte("#")), bytes.Contains(line, []byte(": ")), bytes.HasSuffix(bytes.TrimSpace(line), []byte(":")):
		return "YAML"
	case bytes.Contains(line, []byte(",")):
		return "a table (CSV)"
	}
	return ""
}

// refusal tells why Load refuses the standard, as far as it is not told.
func (l *linter) refusal(err error) {
	if ce, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if ve, ok := ce.Err.(*jsonschema.ValidationError); ok {
			l.metaSchema(strings.TrimPrefix(ce.URL, home), ve)
		}
	}
	flaws := append(l.flaws(), l.endings(err)...)
	for _, f := range flaws {
		if !slices.ContainsFunc(l.found, func(g Finding) bool {
			return g.Severity == SeverityError && g.File == f.File && (g.Pointer == f.Pointer || strings.HasPrefix(g.Pointer, f.Pointer+"/pattern"))
		}) {
			l.found = append(l.found, f)
		}
	}
	if !l.failed() {
		l.add(SeverityError, "", "", "load", err.Error(), "correct what it names")
	}
	if l.files["schema.json"] != nil {
		l.add(SeverityNote, "", "", "not-tried", "the examples, the key and the classes were not tried, since the standard cannot be loaded", "correct the errors and lint again")
	}
}

// flaws are what the survey of the schema documents finds.
func (l *linter) flaws() (out []Finding) {
	if l.files["schema.json"] == nil {
		return nil
	}
	var resources map[string]string
	if l.manifest != nil {
		resources = l.manifest.Resources
	}
	_, flaws := newLibrary(l.files, resources)
	for _, f := range flaws {
		if _, ok := errors.AsType[*strictjson.Error](f.err); ok || errors.Is(f.err, errNotSchema) {
			continue // told by documents
		}
		out = append(out, Finding{Severity: SeverityError, File: f.file, Pointer: f.ptr, Rule: "schema", Detail: f.err.Error(), Fix: "correct it, or make the schema smaller"})
	}
	return out
}

// endings words the refusals that stand at the end of compiling.
func (l *linter) endings(err error) []Finding {
	ce, ok := errors.AsType[*compileError](err)
	switch {
	case errors.Is(err, errEndless):
		return []Finding{{Severity: SeverityError, File: "schema.json", Rule: "endless", Detail: "a schema is defined by nothing but itself", Fix: "give one of the schemas in the ring something to ask of a value"}}
	case strings.Contains(err.Error(), "schemas judge one value"):
		return []Finding{{Severity: SeverityError, File: "schema.json", Rule: "fan-out", Detail: strings.TrimPrefix(err.Error(), "compile schema: "), Fix: "refer to a schema once where it is referred to many times; each reference multiplies the work for every record"}}
	case ok && !l.failed():
		return []Finding{{Severity: SeverityError, File: "schema.json", Rule: "schema", Detail: ce.text, Fix: "correct what it names"}}
	}
	return nil
}

// metaSchema words a schema that breaks the rules of JSON Schema itself.
func (l *linter) metaSchema(file string, ve *jsonschema.ValidationError) {
	file, _, _ = strings.Cut(file, "#")
	if l.files[file] == nil {
		file = "schema.json"
	}
	words := message.NewPrinter(language.English)
	type leaf struct{ at, text string }
	var leaves []leaf
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(leaves) > 200 {
			return
		}
		for _, c := range e.Causes {
			walk(c)
		}
		if len(e.Causes) == 0 {
			leaves = append(leaves, leaf{pointer(e.InstanceLocation), e.ErrorKind.LocalizedString(words)})
		}
	}
	walk(ve)
	// Several leaves of one place are one mistake seen from several sides.
	texts := map[string][]string{}
	for _, lf := range leaves {
		if ts := texts[lf.at]; len(ts) < 3 && !slices.Contains(ts, lf.text) {
			texts[lf.at] = append(ts, lf.text)
		}
	}
	for at, ts := range texts {
		if slices.ContainsFunc(l.found, func(f Finding) bool {
			return f.Severity == SeverityError && f.File == file && (f.Pointer == at || strings.HasPrefix(f.Pointer, at+"/"))
		}) {
			continue
		}
		l.add(SeverityError, file, at, "meta-schema", "is not what JSON Schema allows here: "+strings.Join(ts, "; "), "see the keyword in the JSON Schema reference of the draft that $schema names")
	}
}

// lines fills in the lines of what has a place.
func (l *linter) lines() {
	want := map[string]map[string]int{}
	for _, f := range l.found {
		if f.Line == 0 && f.File != "" && f.Pointer != "" {
			if want[f.File] == nil {
				want[f.File] = map[string]int{}
			}
			want[f.File][f.Pointer] = 0
		}
	}
	for file, at := range want {
		if file == "standard.yaml" {
			yamlLines(l.files[file], at)
		} else {
			jsonLines(l.files[file], at)
		}
	}
	for i, f := range l.found {
		if f.Line == 0 {
			l.found[i].Line = want[f.File][f.Pointer]
		}
	}
}

// quoted lists names for a text, the first few of them.
func quoted(names []string) string {
	var out []string
	for i, n := range names {
		if i == 20 {
			out = append(out, fmt.Sprintf("… (%d in all)", len(names)))
			break
		}
		out = append(out, clip(n))
	}
	return strings.Join(out, ", ")
}

func fieldsAre(n int) string {
	return count(n, "field") + map[bool]string{true: " is", false: " are"}[n == 1]
}
