package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// MappingVersion is the number of the mapping format that this package writes.
//
//	1  the first
const MappingVersion = 1

// A Mapping says what the columns of one source's files mean: a YAML file that
// is written once, kept beside the source, and readable to whoever must answer
// for it. Keys that are not known are errors. What each field means, and what
// holds without it, stands in docs/mapping.md, which is made from the settings
// that check them; see [Reference]. For example:
//
//	mapping: 1
//	standard: standards.example/brownfield-site@1
//	delimiter: ";"
//	columns:
//	  - {to: /reference, from: [Ref, Site Reference], required: true}
//	  - {to: /permission/date, from: PermissionDate, type: date, formats: [dd/mm/yyyy]}
//	coordinates:
//	  - {x: GeoX, y: GeoY, are: osgb36, longitude: /longitude, latitude: /latitude}
//	constants:
//	  /organisation: local-authority:FYL
//	ignore: [Township]
//
// Headings, and the keys of values and blank, are compared with the white
// space around them taken off, every run of white space inside made one space,
// and letters in lower case; nothing else is forgiven.
type Mapping struct {
	Version     int               `yaml:"mapping"`
	Standard    name.StandardLine `yaml:"standard"`
	Encoding    string            `yaml:"encoding,omitempty"`
	Delimiter   string            `yaml:"delimiter,omitempty"`
	Sheet       string            `yaml:"sheet,omitempty"`
	HeaderRow   *int              `yaml:"header_row,omitempty"`
	HeaderFind  []string          `yaml:"header_find,omitempty"`
	Reference   string            `yaml:"reference,omitempty"`
	Decimal     string            `yaml:"decimal,omitempty"`
	Thousands   string            `yaml:"thousands,omitempty"`
	Currency    Headings          `yaml:"currency,omitempty"` // nil is the pound alone
	Blank       []string          `yaml:"blank,omitempty"`
	Guarded     bool              `yaml:"guarded,omitempty"`
	ShortRows   bool              `yaml:"short_rows,omitempty"`
	Columns     []Column          `yaml:"columns,omitempty"`
	Coordinates []Coordinates     `yaml:"coordinates,omitempty"`
	Constants   Constants         `yaml:"constants,omitempty"`
	Ignore      []string          `yaml:"ignore,omitempty"`
}

// A Column says where the cells of one column go, and what they hold. What each
// field means stands in docs/mapping.md.
type Column struct {
	To         name.Field        `yaml:"to"`
	From       Headings          `yaml:"from,omitempty"`
	Position   int               `yaml:"position,omitempty"` // from 1
	Also       []string          `yaml:"also,omitempty"`
	Join       string            `yaml:"join,omitempty"`
	Type       string            `yaml:"type,omitempty"`
	Formats    []string          `yaml:"formats,omitempty"`
	Zone       string            `yaml:"zone,omitempty"`
	Years      int               `yaml:"years,omitempty"`
	Epoch      string            `yaml:"epoch,omitempty"`
	Decimals   *int              `yaml:"decimals,omitempty"`
	Split      string            `yaml:"split,omitempty"`
	Escape     string            `yaml:"escape,omitempty"`
	Values     Values            `yaml:"values,omitempty"`
	Words      []string          `yaml:"words,omitempty"`
	Replace    map[string]string `yaml:"replace,omitempty"`
	Letters    string            `yaml:"letters,omitempty"`
	Pattern    string            `yaml:"pattern,omitempty"`
	Part       string            `yaml:"part,omitempty"`
	Blank      []string          `yaml:"blank,omitempty"`
	Empty      string            `yaml:"empty,omitempty"`
	Required   bool              `yaml:"required,omitempty"`
	Optional   bool              `yaml:"optional,omitempty"`
	FillDown   bool              `yaml:"fill_down,omitempty"`
	Identifier *bool             `yaml:"identifier,omitempty"` // nil: by what it is called
	KeepSpaces bool              `yaml:"keep_spaces,omitempty"`
	Strip      string            `yaml:"strip,omitempty"`
}

// Coordinates say where the two numbers of a place go, and in which system they
// are. What each field means stands in docs/mapping.md.
type Coordinates struct {
	X         Headings   `yaml:"x,omitempty"`
	Y         Headings   `yaml:"y,omitempty"`
	At        Headings   `yaml:"at,omitempty"`
	Pattern   string     `yaml:"pattern,omitempty"`
	Are       string     `yaml:"are"`
	Longitude name.Field `yaml:"longitude,omitempty"`
	Latitude  name.Field `yaml:"latitude,omitempty"`
	Easting   name.Field `yaml:"easting,omitempty"`
	Northing  name.Field `yaml:"northing,omitempty"`
	Decimals  *int       `yaml:"decimals,omitempty"`
	Required  bool       `yaml:"required,omitempty"`
	Optional  bool       `yaml:"optional,omitempty"`
}

// Headings is a list of headings, written as one or as a list.
type Headings []string

// UnmarshalYAML reads one heading or a list of them.
func (h *Headings) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*h = Headings{n.Value}
		return nil
	}
	return n.Decode((*[]string)(h))
}

// IsZero reports whether there is no list; an empty one says something else.
func (h Headings) IsZero() bool { return h == nil }

// Values maps cells, folded as headings are, to JSON scalars: string,
// json.Number, bool or nil.
type Values map[string]any

// UnmarshalYAML reads cells and the scalars they stand for. The cell is taken
// as it is written, so that no quoting is needed for yes and no.
func (v *Values) UnmarshalYAML(n *yaml.Node) error { return scalars((*map[string]any)(v), n, fold) }

// MarshalYAML prints the values so that they read back the same.
func (v Values) MarshalYAML() (any, error) { return scalarNodes(v), nil }

// Constants maps places in a record to the JSON scalars that stand there in
// every record: string, json.Number, bool or nil.
type Constants map[name.Field]any

// UnmarshalYAML reads places and the scalars that stand there.
func (c *Constants) UnmarshalYAML(n *yaml.Node) error {
	return scalars((*map[name.Field]any)(c), n, func(s string) string { return s })
}

// MarshalYAML prints the constants so that they read back the same.
func (c Constants) MarshalYAML() (any, error) { return scalarNodes(c), nil }

// ours marks the texts of errors that are already in a person's words, among
// those of the YAML library.
const ours = "stile: "

func scalars[K ~string](into *map[K]any, n *yaml.Node, key func(string) string) error {
	fail := func(n *yaml.Node, text string) error {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s%s", n.Line, ours, text)}}
	}
	if n.Kind != yaml.MappingNode {
		return fail(n, "want keys, each with what it stands for")
	}
	*into = make(map[K]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := K(key(n.Content[i].Value))
		if _, twice := (*into)[k]; twice {
			return fail(n.Content[i], fmt.Sprintf("%q stands here for the second time", k))
		}
		v, err := scalar(n.Content[i+1])
		if err != nil {
			return fail(n.Content[i+1], err.Error())
		}
		(*into)[k] = v
	}
	return nil
}

func scalarNodes[K ~string](m map[K]any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range sortedKeys(m) {
		n.Content = append(n.Content, text(string(k)), scalarNode(m[k]))
	}
	return n
}

// text is a string in a form that YAML reads back as that string.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	n.Style = yaml.DoubleQuotedStyle
	return n
}

func scalarNode(v any) *yaml.Node {
	switch t := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(t)}
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}
	case string:
		return text(t)
	}
	panic(fmt.Sprintf("internal error: mapping holds a %T", v))
}

// scalar reads a YAML scalar as JSON has it.
func scalar(n *yaml.Node) (any, error) {
	if n.Kind != yaml.ScalarNode {
		return nil, errors.New("want text, a number, true, false or null")
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int", "!!float":
		v, err := strictjson.Decode([]byte(n.Value), strictjson.Limits{})
		if num, ok := v.(json.Number); ok && err == nil {
			return num, nil
		}
		return nil, errors.New("write the number as JSON has it, or in quotes as text")
	case "!!str", "!!timestamp":
		return n.Value, nil
	}
	return nil, errors.New("want text, a number, true, false or null")
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// A MappingError is one problem of a mapping file.
type MappingError struct {
	Line int    // 1 is the first; 0 when the file as a whole is meant
	Key  string // such as "columns.3.type", columns counted from 1; "" when no key is meant
	Text string // what is wrong and what is wanted
}

func (e *MappingError) Error() string {
	s := "mapping"
	if e.Line > 0 {
		s = fmt.Sprintf("mapping line %d", e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	return s + ": " + e.Text
}

// maxMapping caps a mapping file, in bytes.
const maxMapping = 1 << 20

// ParseMapping reads and checks a mapping file. The error joins every problem
// found; each is a [*MappingError].
func ParseMapping(b []byte) (*Mapping, error) {
	if len(b) > maxMapping {
		return nil, &MappingError{Text: fmt.Sprintf("longer than %d bytes", maxMapping)}
	}
	p := &mappingParser{lines: map[string]int{}}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		p.decode(err)
		return nil, errors.Join(p.errs...)
	}
	if root.Kind == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, &MappingError{Text: "want keys and values, beginning with \"mapping: 1\""}
	}
	p.index(root.Content[0], "", 0)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	var m Mapping
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&m); err != nil {
		p.decode(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.fail("", "want one YAML document, and the file holds more")
	}
	_, err := compile(&m)
	unread := slices.Clone(p.errs)
	for _, e := range flatten(err) {
		// A key that could not be read is one problem, not two.
		if !slices.ContainsFunc(unread, func(old error) bool { return old.(*MappingError).Key == e.Key && e.Key != "" }) {
			p.fail(e.Key, "%s", e.Text)
		}
	}
	if len(p.errs) > 0 {
		slices.SortStableFunc(p.errs, func(a, b error) int { return a.(*MappingError).Line - b.(*MappingError).Line })
		return nil, errors.Join(p.errs...)
	}
	return &m, nil
}

// YAML prints the mapping as ParseMapping reads it.
func (m *Mapping) YAML() []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(m); err != nil {
		panic("internal error: print mapping: " + err.Error())
	}
	return b.Bytes()
}

type mappingParser struct {
	lines map[string]int // of each key, by its dotted path
	errs  []error
}

func (p *mappingParser) fail(key, format string, args ...any) {
	line := p.lines[key]
	for k := key; line == 0 && k != ""; {
		i := strings.LastIndexByte(k, '.')
		if i < 0 {
			break
		}
		k = k[:i]
		line = p.lines[k]
	}
	p.errs = append(p.errs, &MappingError{Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// index notes the line of every key, and refuses anchors and aliases, with
// which a short file can stand for an endless one.
func (p *mappingParser) index(n *yaml.Node, path string, depth int) {
	if len(p.errs) > maxMappingFaults {
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" || depth > 8 {
		p.errs = append(p.errs, &MappingError{Line: n.Line, Key: path, Text: "anchors, aliases and deep nesting are not read: write it out"})
		return
	}
	if path != "" {
		path += "."
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := path + n.Content[i].Value
			if p.lines[k] == 0 {
				p.lines[k] = n.Content[i].Line
			}
			p.index(n.Content[i+1], k, depth+1)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			k := path + strconv.Itoa(i+1)
			p.lines[k] = c.Line
			p.index(c, k, depth+1)
		}
	}
}

var (
	yamlLine    = onDemand(`(?s)^(?:yaml: )?line (\d+): (.*)$`)
	yamlUnknown = onDemand(`^field (.*) not found in type `)
	yamlTwice   = onDemand(`^(?:mapping key (".*") already defined|field (.*) already set)`)
	yamlInto    = onDemand(`(?s)^cannot unmarshal .* into (\S+)$`)
)

// decode says in a person's words what the YAML library says in Go's.
func (p *mappingParser) decode(err error) {
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	for _, t := range texts[:min(len(texts), maxMappingFaults)] {
		e := &MappingError{}
		if m := yamlLine().FindStringSubmatch(t); m != nil {
			e.Line, _ = strconv.Atoi(m[1])
			t = m[2]
		}
		switch own, ok := strings.CutPrefix(t, ours); {
		case ok:
			e.Text = own
		case yamlUnknown().MatchString(t):
			e.Text = fmt.Sprintf("unknown key %q", yamlUnknown().FindStringSubmatch(t)[1])
		case yamlTwice().MatchString(t):
			e.Text = "a key stands here for the second time"
		case yamlInto().MatchString(t):
			e.Text = "want " + map[string]string{"int": "a whole number", "bool": "true or false", "string": "text", "name.Field": "text",
				"[]string": "a list", "map[string]string": "texts, each with the text that stands in its place", "intake.Headings": "a heading, or a list of them",
				"name.StandardLine": "a standard, such as standards.example/housing-need@1"}[yamlInto().FindStringSubmatch(t)[1]]
			for k, l := range p.lines {
				if l == e.Line && len(k) > len(e.Key) {
					e.Key = k
				}
			}
			if e.Text == "want " {
				e.Text = "not of the kind that is wanted"
			}
		case te == nil:
			e.Text = "not YAML: " + strings.TrimPrefix(t, "yaml: ")
		default:
			e.Text = "not understood: " + t
		}
		p.errs = append(p.errs, e)
	}
}

func flatten(err error) []*MappingError {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*MappingError
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	var me *MappingError
	if errors.As(err, &me) {
		return []*MappingError{me}
	}
	return []*MappingError{{Text: err.Error()}}
}
