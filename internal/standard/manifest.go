package standard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// A Manifest says of a standard what JSON Schema does not:
//
//	name: standards.example/housing-need   # publisher/name
//	version: 1.2.0                         # semver 2.0.0, no pre-release
//	title: Housing need referral
//	description: …                         # plain words, optional
//	licence: OGL-UK-3.0                    # optional
//	source: [https://…]                    # where its facts come from; one or a list, optional
//	status: live                           # draft, candidate, live, retired
//	key: [/reference]                      # natural key within one council
//	obligation:                            # what makes councils hold or send it; optional
//	  statute: Care Act 2014 section 37
//	  from: 2015-04-01                     # optional
//	classes:                               # by JSON Pointer, "*" for every element
//	  /district: open                      # open, internal, personal, special, criminal
//	  /applicant/name: personal
//	persons:                               # numbers that name one person, and whose they are; optional
//	  /nino: nino                          # see PersonKey
//	measures: {fresh_within: P7D}          # ISO 8601
//	format: assertion                      # or annotation, see Formats; optional
//	aliases:                               # headings that sources use for a place; optional
//	  /reference: [Ref, Case number]
//	synonyms:                              # words that sources write there, "" for nothing; optional
//	  /status: {Live: open, N/A: ""}
//	resources:                             # further schema documents by address
//	  https://example.org/other.json: other.json
//
// A class holds at its place and below until a deeper pointer says otherwise;
// what nothing names is personal. An open place may not stand below a place
// that is named as anything else, for the container would have to be withheld
// and shown at once. Aliases and synonyms judge nothing: a mapping is drafted
// with their help, and a person checks it.
type Manifest struct {
	Name        name.Standard
	Title       string
	Description string
	Licence     string
	Source      []string
	Status      Status
	Key         []name.Field // at least one, in the order given
	Obligation  Obligation
	Classes     map[name.Field]Class
	Persons     []PersonKey // by place; nil when there are none
	Measures    Measures
	Formats     Formats
	Aliases     map[name.Field][]string          // nil when there are none
	Synonyms    map[name.Field]map[string]string // nil when there are none
	Resources   map[string]string                // address to slash path
}

// Formats says what the schema's keyword format means.
type Formats string

// Formats are asserted unless the manifest says otherwise. It may for a schema
// whose publisher, as JSON Schema 2020-12 section 7.2.1 allows, means them as a
// note: data that the publisher calls valid would be refused. Nothing is said
// of a value's format then.
const (
	Assertion  Formats = "assertion"
	Annotation Formats = "annotation"
)

// An Obligation is the law by which councils have to hold or send records of a standard;
// the zero value is none. It judges nothing: it is shown.
type Obligation struct {
	Statute string `yaml:"statute"`
	From    string `yaml:"from"` // day since which it holds, as 2006-01-02; empty when not said
}

// Measures says what compliance means beyond valid records.
type Measures struct {
	FreshWithin Duration // how long ago a council may last have put or renewed a record in the standard; zero when not said
}

// Caps on a manifest.
const (
	maxManifest  = 256 << 10 // bytes
	maxKeys      = 8
	maxClasses   = 2000
	maxResources = 100
	maxText      = 8 << 10 // bytes of a title, description or source
)

type manifestFile struct {
	Name        string            `yaml:"name"`
	Version     string            `yaml:"version"`
	Title       string            `yaml:"title"`
	Description string            `yaml:"description"`
	Licence     string            `yaml:"licence"`
	Source      oneOrMany         `yaml:"source"`
	Status      string            `yaml:"status"`
	Key         []string          `yaml:"key"`
	Obligation  Obligation        `yaml:"obligation"`
	Classes     map[string]string `yaml:"classes"`
	Persons     map[string]string `yaml:"persons"`
	Measures    struct {
		FreshWithin string `yaml:"fresh_within"`
	} `yaml:"measures"`
	Format    string                       `yaml:"format"`
	Aliases   map[string]oneOrMany         `yaml:"aliases"`
	Synonyms  map[string]map[string]string `yaml:"synonyms"`
	Resources map[string]string            `yaml:"resources"`
}

type oneOrMany []string

func (o *oneOrMany) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*o = oneOrMany{n.Value}
		return nil
	}
	return n.Decode((*[]string)(o))
}

// parseManifest reads standard.yaml and reports every fault it finds.
func parseManifest(b []byte) (*Manifest, error) {
	m, flaws := readManifest(b)
	if len(flaws) > 0 {
		errs := make([]error, 0, len(flaws))
		for _, f := range flaws {
			errs = append(errs, f.err)
		}
		return nil, errors.Join(errs...)
	}
	return m, nil
}

// readManifest reads standard.yaml: as much of it as can be read, which is nil
// when it is no manifest at all, and what is wrong with it, sorted.
func readManifest(b []byte) (*Manifest, []flaw) {
	whole := func(err error) []flaw { return []flaw{{file: "standard.yaml", err: err}} }
	if len(b) > maxManifest {
		return nil, whole(fmt.Errorf("manifest is over %d bytes", maxManifest))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var f manifestFile
	if err := dec.Decode(&f); err != nil {
		if err == io.EOF {
			return nil, whole(errors.New("manifest is empty"))
		}
		return nil, whole(err)
	}
	if err := dec.Decode(new(any)); err != io.EOF {
		return nil, whole(errors.New("manifest has more than one YAML document"))
	}
	var flaws []flaw
	fault := func(at string, err error) {
		if err != nil {
			flaws = append(flaws, flaw{file: "standard.yaml", ptr: at, err: err})
		}
	}
	m := &Manifest{
		Title: f.Title, Description: strings.TrimSpace(f.Description), Licence: f.Licence, Source: f.Source,
		Status: Status(f.Status), Obligation: f.Obligation, Classes: map[name.Field]Class{}, Resources: f.Resources,
	}
	var err error
	m.Name.Name, err = name.ParseStandardName(f.Name)
	fault("/name", err)
	m.Name.Version, err = name.ParseVersion(f.Version)
	fault("/version", err)
	if f.Title == "" {
		fault("/title", errors.New("title is empty"))
	}
	if o := f.Obligation; o.Statute == "" && o.From != "" {
		fault("/obligation", errors.New("obligation: want a statute beside the day"))
	} else if o.From != "" && !isDate(o.From) {
		fault("/obligation/from", fmt.Errorf("obligation from %q: want a day, such as 2027-04-01", clip(o.From)))
	}
	for _, s := range append([]string{f.Title, f.Description, f.Licence, f.Obligation.Statute}, f.Source...) {
		if len(s) > maxText {
			fault("", fmt.Errorf("a text is over %d bytes", maxText))
		}
	}
	if !m.Status.valid() {
		fault("/status", fmt.Errorf("status %q: want draft, candidate, live or retired", clip(f.Status)))
	}
	m.Key, err = parseKey(f.Key)
	fault("/key", err)
	if len(f.Classes) > maxClasses {
		fault("/classes", fmt.Errorf("classes names over %d places", maxClasses))
	} else {
		for p, c := range f.Classes {
			field, err := name.ParseField(p)
			at := "/classes/" + name.Escape(p)
			fault(at, err)
			if !Class(c).valid() {
				fault(at, fmt.Errorf("class of %q is %q: want open, internal, personal, special or criminal", clip(p), clip(c)))
			}
			m.Classes[field] = Class(c)
		}
		fault("/classes", checkClasses(m.Classes))
	}
	if s := f.Measures.FreshWithin; s != "" {
		m.Measures.FreshWithin, err = ParseDuration(s)
		fault("/measures/fresh_within", err)
	}
	switch m.Formats = Formats(f.Format); m.Formats {
	case "":
		m.Formats = Assertion
	case Assertion, Annotation:
	default:
		fault("/format", fmt.Errorf("format %q: want assertion or annotation", clip(f.Format)))
	}
	m.parsePersons(f.Persons, fault)
	m.parseAliases(f.Aliases, f.Synonyms, fault)
	if len(f.Resources) > maxResources {
		fault("/resources", fmt.Errorf("resources names over %d documents", maxResources))
	}
	// In one order, so that the same manifest always gives the same report.
	slices.SortFunc(flaws, func(a, b flaw) int { return strings.Compare(a.err.Error(), b.err.Error()) })
	return m, flaws
}

// A flaw is one thing for which a standard is not loaded, and where it stands.
type flaw struct {
	file string // slash path
	ptr  string // JSON Pointer in it
	err  error  // without the place
}

func (f flaw) error() error {
	if f.ptr == "" || f.file == "standard.yaml" {
		return fmt.Errorf("read %s: %w", clip(f.file), f.err)
	}
	return fmt.Errorf("read %s: at %q: %w", clip(f.file), clip(f.ptr), f.err)
}

func parseKey(key []string) ([]name.Field, error) {
	if len(key) == 0 || len(key) > maxKeys {
		return nil, fmt.Errorf("key: want 1 to %d pointers, such as [/reference]", maxKeys)
	}
	var out []name.Field
	for _, s := range key {
		f, err := name.ParseField(s)
		if err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		if f == "" || slices.Contains(f.Tokens(), "*") {
			return nil, fmt.Errorf("key %q: want a pointer to one member, not the whole record or every element", clip(s))
		}
		if slices.Contains(out, f) {
			return nil, fmt.Errorf("key %q: is named twice", clip(s))
		}
		out = append(out, f)
	}
	return out, nil
}

// checkClasses refuses an open place below one that is named otherwise. The
// root is exempt: it is in clear whatever its members are.
func checkClasses(classes map[name.Field]Class) error {
	var errs []error
	for f, c := range classes {
		if c != Open {
			continue
		}
		for p := f; p != ""; {
			if p = parent(p); p == "" {
				break
			}
			if d, ok := classes[p]; ok && d != Open {
				errs = append(errs, fmt.Errorf("class of %q is open, but %q above it is %s", clip(string(f)), clip(string(p)), d))
				break
			}
		}
	}
	return errors.Join(errs...)
}
