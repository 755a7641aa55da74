package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const dateForm = "2006-01-02"

// text is a scalar and the line it stood on. Reading every field as text lets
// one pass report all that is wrong, each with its line.
type text struct {
	s    string
	line int
}

// UnmarshalYAML takes the scalar as it was typed, whatever type YAML sees in it:
// a date stays a date, and a title may be a number.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: want one value, not a list or a mapping", n.Line)}}
	}
	t.s, t.line = n.Value, n.Line
	return nil
}

// jwk is a JSON Web Key, as a JSON text or as the mapping that JSON is in YAML.
type jwk struct{ text }

// UnmarshalYAML takes the key in either form.
func (j *jwk) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return j.text.UnmarshalYAML(n)
	}
	var m map[string]string
	if err := n.Decode(&m); err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: want a JSON Web Key", n.Line)}}
	}
	b, err := json.Marshal(m)
	j.s, j.line = string(b), n.Line
	return err
}

type fileIn struct {
	Council text
	Title   text
	GSS     text
	Role    text
	Keys    struct {
		Record []struct {
			Kid text
			PEM text
			JWK jwk
		}
		Log     text
		LogAlso []struct {
			Key text
			To  text
		} `yaml:"log_also"`
		Witness text
		Node    text
	}
	Addresses []text
	ValidFrom text `yaml:"valid_from"`
	Contact   text
	Members   []text

	Ended        text
	Predecessors []text
	Successors   []text
	Revoked      []struct {
		Kid       text
		FromEntry text `yaml:"from_entry"`
	}
}

// ParseMember reads one member file. All that is wrong is reported, joined;
// each error is a *[Problem] with its line. What it returns without error has
// passed Check.
func ParseMember(b []byte) (Member, error) {
	if len(b) > MaxFile {
		return Member{}, &Problem{Rule: fmt.Sprintf("want at most %d bytes", MaxFile)}
	}
	if !utf8.Valid(b) || bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return Member{}, &Problem{Rule: "want UTF-8 without a byte order mark"}
	}
	var in fileIn
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&in); err != nil {
		return Member{}, yamlProblems(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Member{}, &Problem{Rule: "want one YAML document"}
	}

	m := Member{
		Council:    name.Council(in.Council.s),
		Title:      in.Title.s,
		GSS:        in.GSS.s,
		Role:       Role(in.Role.s),
		LogKey:     in.Keys.Log.s,
		WitnessKey: in.Keys.Witness.s,
		Node:       in.Keys.Node.s,
		Contact:    in.Contact.s,
	}
	lines := map[string]int{
		"council": in.Council.line, "title": in.Title.line, "gss": in.GSS.line, "role": in.Role.line,
		"keys.log": in.Keys.Log.line, "keys.witness": in.Keys.Witness.line, "keys.node": in.Keys.Node.line,
		"valid_from": in.ValidFrom.line, "contact": in.Contact.line, "ended": in.Ended.line,
	}
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, &Problem{Line: lines[field], Field: field, Rule: rule})
	}
	for i, k := range in.Keys.Record {
		field := fmt.Sprintf("keys.record[%d]", i)
		lines[field] = max(k.Kid.line, k.PEM.line, k.JWK.line)
		if (k.PEM.s == "") == (k.JWK.s == "") {
			bad(field, "want either pem or jwk")
			continue
		}
		p, err := keys.ParseRecordPublic([]byte(k.PEM.s + k.JWK.s))
		if err != nil {
			bad(field, "want one P-256 public key")
			continue
		}
		// The kid is redundant, and that is its use: a key pasted under the
		// wrong kid is noticed here and not when its first record is refused.
		if k.Kid.s != p.ID() {
			bad(field, "the kid is not the thumbprint of the key")
			continue
		}
		m.RecordKeys = append(m.RecordKeys, p)
	}
	for _, k := range in.Keys.LogAlso {
		lines["keys.log_also"] = k.Key.line
		to, err := uint64(0), error(nil)
		if k.To.s != "" {
			to, err = strconv.ParseUint(k.To.s, 10, 53)
		}
		if k.To.s != "" && (err != nil || to == 0 || strconv.FormatUint(to, 10) != k.To.s) {
			bad("keys.log_also", "want to, a whole number from 1, or no to")
		}
		m.LogAlso = append(m.LogAlso, tlog.OtherKey{Key: k.Key.s, To: to})
	}
	for i, a := range in.Addresses {
		m.Addresses = append(m.Addresses, a.s)
		lines[fmt.Sprintf("addresses[%d]", i)] = a.line
	}
	// A day that does not print back, such as 2026-11-1, leaves the zero time
	// for Check to refuse.
	if t, err := time.Parse(dateForm, in.ValidFrom.s); err == nil && t.Format(dateForm) == in.ValidFrom.s {
		m.ValidFrom = t
	}
	badKeys := len(errs) > 0
	if t, err := time.Parse(dateForm, in.Ended.s); err == nil && t.Format(dateForm) == in.Ended.s {
		m.Ended = t
	} else if in.Ended.s != "" {
		bad("ended", "want a day, such as 2028-04-01")
	}
	for _, l := range []struct {
		field string
		in    []text
		out   *[]name.Council
	}{{"members", in.Members, &m.Members}, {"predecessors", in.Predecessors, &m.Predecessors}, {"successors", in.Successors, &m.Successors}} {
		for _, c := range l.in {
			lines[l.field] = c.line
			*l.out = append(*l.out, name.Council(c.s))
		}
	}
	for i, r := range in.Revoked {
		field := fmt.Sprintf("revoked[%d]", i)
		lines[field] = max(r.Kid.line, r.FromEntry.line)
		// Digits that print back: one number has one spelling.
		n, err := strconv.ParseUint(r.FromEntry.s, 10, 53)
		if err != nil || strconv.FormatUint(n, 10) != r.FromEntry.s {
			bad(field, "want from_entry, a whole number from 0")
			n = 0
		}
		m.Revocations = append(m.Revocations, Revocation{r.Kid.s, n})
	}
	m.check(func(field, rule string) {
		if field == "keys.record" && badKeys {
			return // already said, and better
		}
		bad(field, rule)
	})
	if len(errs) > 0 {
		return Member{}, errors.Join(errs...)
	}
	return m, nil
}

var (
	yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)`)
	// What the library says of a value, in backquotes, may be somebody's.
	yamlQuote = regexp.MustCompile("(?s) `.*`")
	goType    = regexp.MustCompile(` (in type|into|of type) \S.*$`)
)

// yamlProblems turns the library's errors into Problems: the line kept, Go's
// types and what the file held left out.
func yamlProblems(err error) error {
	if errors.Is(err, io.EOF) {
		return &Problem{Rule: "the file is empty"}
	}
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	var errs []error
	for _, s := range texts {
		p := &Problem{Rule: "not YAML that can be read"}
		if f := yamlLine.FindStringSubmatch(s); f != nil {
			p.Line, _ = strconv.Atoi(f[1])
			s = f[2]
		}
		s = goType.ReplaceAllString(yamlQuote.ReplaceAllString(s, ""), "")
		s = strings.TrimPrefix(s, "yaml: ")
		switch {
		case strings.HasPrefix(s, "field ") && strings.HasSuffix(s, " not found"):
			p.Field, p.Rule = clip(strings.TrimSuffix(s[len("field "):], " not found")), "no such field"
		case strings.HasPrefix(s, "cannot unmarshal"):
			p.Rule = "a value of another kind is wanted here"
		case s != "":
			p.Rule = clip(s)
		}
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// clip makes a name out of a file fit to print in one line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

type fileOut struct {
	Council string   `yaml:"council"`
	Title   string   `yaml:"title"`
	GSS     string   `yaml:"gss,omitempty"`
	Role    string   `yaml:"role"`
	Keys    *keysOut `yaml:"keys,omitempty"`

	Addresses []string `yaml:"addresses,omitempty"`
	ValidFrom dayOut   `yaml:"valid_from"`
	Contact   string   `yaml:"contact,omitempty"`

	Members []name.Council `yaml:"members,omitempty"`

	Ended        *dayOut        `yaml:"ended,omitempty"`
	Predecessors []name.Council `yaml:"predecessors,omitempty"`
	Successors   []name.Council `yaml:"successors,omitempty"`
	Revoked      []revokedOut   `yaml:"revoked,omitempty"`
}

type revokedOut struct {
	Kid       string `yaml:"kid"`
	FromEntry uint64 `yaml:"from_entry"`
}

type keysOut struct {
	Record  []recordOut `yaml:"record,omitempty"`
	Log     string      `yaml:"log,omitempty"`
	LogAlso []alsoOut   `yaml:"log_also,omitempty"`
	Witness string      `yaml:"witness,omitempty"`
	Node    string      `yaml:"node,omitempty"`
}

type alsoOut struct {
	Key string `yaml:"key"`
	To  uint64 `yaml:"to,omitempty"`
}

type recordOut struct {
	Kid string `yaml:"kid"`
	PEM string `yaml:"pem"`
}

// dayOut prints as a plain date, which a string would be quoted for.
type dayOut time.Time

// MarshalYAML prints the day without quotes.
func (d dayOut) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: time.Time(d).Format(dateForm)}, nil
}

// YAML returns m as a member file; [ParseMember] reads it back as the same
// member. m must pass Check.
func (m Member) YAML() []byte {
	out := fileOut{
		Council: string(m.Council), Title: m.Title, GSS: m.GSS, Role: string(m.Role),
		Addresses: m.Addresses, ValidFrom: dayOut(m.ValidFrom), Contact: m.Contact,
	}
	if !m.Ended.IsZero() {
		out.Ended = (*dayOut)(&m.Ended)
	}
	out.Members, out.Predecessors, out.Successors = m.Members, m.Predecessors, m.Successors
	for _, r := range m.Revocations {
		out.Revoked = append(out.Revoked, revokedOut{r.KID, r.FromIndex})
	}
	k := &keysOut{Log: m.LogKey, Witness: m.WitnessKey, Node: m.Node}
	for _, o := range m.LogAlso {
		k.LogAlso = append(k.LogAlso, alsoOut(o))
	}
	for _, p := range m.RecordKeys {
		k.Record = append(k.Record, recordOut{Kid: p.ID(), PEM: string(p.PEM())})
	}
	if len(k.Record) > 0 || k.Log+k.Witness+k.Node != "" {
		out.Keys = k
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(out); err != nil {
		panic("internal error: a member does not marshal: " + err.Error()) // strings only
	}
	if err := e.Close(); err != nil {
		panic("internal error: a member does not marshal: " + err.Error())
	}
	return b.Bytes()
}
