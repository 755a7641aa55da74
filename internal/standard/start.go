package standard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Start says what to begin a standard with.
type Start struct {
	Name    name.StandardName
	Title   string
	Schema  []byte // a published schema document, which is kept as it is; may be nil
	Example []byte // an example record; a schema is drafted from it where Schema is nil; may be nil
}

// Files returns the files of a new standard, version 0.1.0 and a draft, by
// slash path, with a comment on every heading of the manifest. Without a schema
// or an example it begins with a small schema to be changed. A schema drafted
// from an example says the types that the example has and that what it has is
// required, and invents no further rule.
//
// What the files leave for a person to decide, [Lint] tells. The error is that
// of an example that is not a record.
func (s Start) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	key, fields := "/reference", []string{"/reference", "/status", "/updated_on"}
	switch {
	case s.Schema != nil:
		files["schema.json"] = s.Schema
		key, fields = guessOf(s.Schema)
	case s.Example != nil:
		rec, err := strictjson.Decode(s.Example, strictjson.Limits{})
		if err != nil {
			return nil, fmt.Errorf("read example: %w", err)
		}
		obj, ok := rec.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("read example: is not a record, which is an object")
		}
		if !showable(obj) {
			return nil, fmt.Errorf("read example: the name of a member holds a character that does not show")
		}
		files["schema.json"] = draftSchema(s.Title, s.Example)
		key, fields = guessOf(files["schema.json"])
	default:
		title := string(strictjson.Canonical(s.Title))
		files["schema.json"] = []byte(strings.Replace(starterSchema, `"TITLE"`, title, 1))
		files["examples/valid/first.json"] = []byte("{\n  \"reference\": \"A-1\",\n  \"status\": \"open\",\n  \"updated_on\": \"2026-01-31\"\n}\n")
		files["examples/invalid/no-reference.json"] = []byte("{\n  \"status\": \"open\",\n  \"updated_on\": \"2026-01-31\"\n}\n")
	}
	if s.Example != nil {
		files["examples/valid/first.json"] = s.Example
		if rec, err := strictjson.Decode(s.Example, strictjson.Limits{}); err == nil {
			if obj, ok := rec.(map[string]any); ok {
				n := strings.TrimPrefix(key, "/")
				if _, has := obj[n]; has {
					delete(obj, n)
					files["examples/invalid/no-"+plainName(n)+".json"] = append(strictjson.Canonical(obj), '\n')
				}
			}
		}
	}
	files["standard.yaml"] = s.manifest(key, fields)
	return files, nil
}

// showable reports whether the names of all members, at any depth, are text that shows:
// the manifest is YAML, which knows no control characters.
func showable(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for n, w := range v {
			if strings.ContainsFunc(n, func(r rune) bool { return !unicode.IsPrint(r) }) || !showable(w) {
				return false
			}
		}
	case []any:
		for _, w := range v {
			if !showable(w) {
				return false
			}
		}
	}
	return true
}

func plainName(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
		if b.Len() > 40 {
			break
		}
	}
	return b.String()
}

func (s Start) manifest(key string, fields []string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# The publisher's domain and the standard's own name.
name: %s

# Three numbers. A change that could make a valid record invalid raises the
# first, something new the second, words the third; stile standard lint
# --previous checks it. Below 1.0.0 anything may still change. A version once
# published stays as it is.
version: 0.1.0

title: %s

# In plain words: what is one record, for whom, by which law or decision?
#description: >
#  …

# Under which terms others may use the standard.
#licence: OGL-UK-3.0

# Where its facts come from: laws, guidance, schemas it follows.
#source:
#  - https://…

# draft, then candidate (for trial), live, and in the end retired.
status: draft

# What tells one record of a council from another: one or more pointers to
# fields that every record must have.
key: [%s]

# How each field is to be handled:
#   open      public; travels in clear in every record
#   internal  not about a person, not public
#   personal  about a person
#   special   health, beliefs, ethnicity and the like (UK GDPR article 9)
#   criminal  offences and convictions (article 10)
# What is not named is personal. A class holds for all below its place, until a
# deeper pointer says otherwise; "*" is every entry of a list. A field that is
# named can be sent or kept back by itself.
classes:
`, s.Name, strictjson.Canonical(s.Title), strictjson.Canonical(key))
	for _, f := range fields {
		c := "personal"
		if f == key {
			c = "internal"
		}
		fmt.Fprintf(&b, "  #%s: %s\n", yamlKey(f), c)
	}
	b.WriteString(`
# Places of numbers that name one person and no other, and whose number each is:
# by them a council finds all that it holds, and let others have, about somebody.
#persons:
#  /nino: nino

# How fresh records should be, as an ISO 8601 duration: within it a council is
# to have put or renewed a record. Only compliance is measured by it.
#measures: {fresh_within: P7D}

# Whether "format" in the schema is a rule (assertion, the default) or a remark
# (annotation).
#format: assertion

# Headings that sources are known to use for a field, and words that they write
# in it: a mapping for a council's file is drafted with their help.
#aliases:
#  /reference: [Ref, Case number]
#synonyms:
#  /status: {Live: open, N/A: ""}

# Further schema documents that the schema refers to, by their addresses; files
# in schemas/ are found by their own $id and name without this.
#resources:
#  https://…/other.json: schemas/other.json
`)
	return []byte(b.String())
}

// yamlKey spells a pointer as a key of YAML.
func yamlKey(f string) string {
	for _, r := range f {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/_-.", r)) {
			return string(strictjson.Canonical(f))
		}
	}
	return f
}

const starterSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "TITLE",
  "type": "object",
  "required": ["reference", "status", "updated_on"],
  "properties": {
    "reference": {
      "title": "Reference",
      "description": "The council's own reference. No two of its records have the same.",
      "type": "string",
      "minLength": 1,
      "maxLength": 100
    },
    "status": {
      "title": "Status",
      "description": "Where the matter stands.",
      "type": "string",
      "enum": ["open", "closed"]
    },
    "updated_on": {
      "title": "Updated on",
      "description": "The day on which any of this last changed.",
      "type": "string",
      "format": "date"
    }
  },
  "additionalProperties": false
}
`

// guessOf guesses a schema's key, and lists its fields at the top in the order
// of their names. Without a good guess the key is /id.
func guessOf(schema []byte) (key string, fields []string) {
	key = "/id"
	root := schemaRoot(schema)
	if root == nil {
		return key, []string{key}
	}
	g := newGraph()
	best := 0
	var look func(at name.Field, js judges, depth int)
	look = func(at name.Field, js judges, depth int) {
		required := map[string]bool{}
		for _, s := range g.maybe(js) {
			for _, n := range s.Required {
				required[n] = true
			}
		}
		children := g.children(js)
		for _, n := range slices.Sorted(maps.Keys(children)) {
			if n == "*" {
				continue
			}
			f := at.Child(n)
			if depth == 0 {
				fields = append(fields, string(f))
			}
			k := together(children[n]).kinds()
			if len(children[n]) > 1 { // of several forms
				k = 0
				for _, s := range children[n] {
					k |= together(judges{s}).kinds()
				}
			}
			score := keyScore(n) - 20*depth
			if required[n] {
				score += 40
			}
			if keyScore(n) > 0 && k&(isArray|isObject|isNull|isBool) == 0 && score > best {
				key, best = string(f), score
			}
			if required[n] && k&isObject != 0 && depth < 2 {
				look(f, children[n], depth+1)
			}
		}
	}
	look("", judges{root}, 0)
	return key, fields
}

// keyScore says how much a field's name sounds like that of a key.
func keyScore(n string) int {
	n = strings.ToLower(n)
	for i, want := range []string{"id", "reference", "ref", "identifier", "uri", "number", "code"} {
		if n == want {
			return 30 - i
		}
		if strings.HasSuffix(n, want) {
			return 10 - i
		}
	}
	return 0
}

// schemaRoot compiles a schema that stands alone; nil when it cannot be.
func schemaRoot(schema []byte) *jsonschema.Schema {
	lib, flaws := newLibrary(map[string][]byte{"schema.json": schema}, nil)
	if len(flaws) > 0 {
		return nil
	}
	g, err := lib.compile()
	if err != nil {
		return nil
	}
	return g.root
}

// A sketch is what is known of a place from the values met there.
type sketch struct {
	met     int // values
	objects int // of them
	kinds   kinds
	order   []string
	fields  map[string]*sketch
	items   *sketch
}

// draftSchema writes a schema for one record, which must be JSON.
func draftSchema(title string, record []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.UseNumber()
	var s sketch
	s.read(dec)
	var b bytes.Buffer
	b.WriteString("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": ")
	b.Write(strictjson.Canonical(title))
	s.write(&b, "  ", false)
	b.WriteString("\n}\n")
	return b.Bytes()
}

// read takes in the next value, keeping the order in which fields come.
func (s *sketch) read(dec *json.Decoder) {
	tok, err := dec.Token()
	if err != nil {
		return
	}
	s.met++
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			s.kinds |= isArray
			if s.items == nil {
				s.items = &sketch{}
			}
			for dec.More() {
				s.items.read(dec)
			}
		} else {
			s.kinds |= isObject
			s.objects++
			if s.fields == nil {
				s.fields = map[string]*sketch{}
			}
			for dec.More() {
				k, err := dec.Token()
				n, ok := k.(string)
				if err != nil || !ok {
					return
				}
				if s.fields[n] == nil {
					s.fields[n] = &sketch{}
					s.order = append(s.order, n)
				}
				s.fields[n].read(dec)
			}
		}
		_, _ = dec.Token()
	case json.Number:
		if integral(t) {
			s.kinds |= isInteger
		} else {
			s.kinds |= isNumber
		}
	default:
		s.kinds |= kindOf(tok)
	}
}

var kindNames = map[kinds]string{isNull: "null", isBool: "boolean", isInteger: "integer", isNumber: "number", isString: "string", isArray: "array", isObject: "object"}

// write writes the inside of a schema object; first says that nothing stands
// before it there.
func (s *sketch) write(b *bytes.Buffer, indent string, first bool) {
	member := func(k string) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(b, "\n%s%s: ", indent, strictjson.Canonical(k))
	}
	k := s.kinds
	if k&isNumber != 0 {
		k &^= isInteger
	}
	var types []string
	for _, one := range []kinds{isString, isInteger, isNumber, isBool, isArray, isObject, isNull} {
		if k&one != 0 {
			types = append(types, string(strictjson.Canonical(kindNames[one])))
		}
	}
	// Of a place met only as null nothing is known.
	if len(types) == 1 && k != isNull {
		member("type")
		b.WriteString(types[0])
	} else if len(types) > 1 {
		member("type")
		b.WriteString("[" + strings.Join(types, ", ") + "]")
	}
	if s.items != nil && s.items.met > 0 {
		member("items")
		b.WriteByte('{')
		s.items.write(b, indent+"  ", true)
		b.WriteString("\n" + indent + "}")
	}
	if len(s.order) == 0 {
		return
	}
	var required []string
	for _, n := range s.order {
		if s.fields[n].met == s.objects {
			required = append(required, string(strictjson.Canonical(n)))
		}
	}
	if len(required) > 0 {
		member("required")
		b.WriteString("[" + strings.Join(required, ", ") + "]")
	}
	member("properties")
	b.WriteByte('{')
	for i, n := range s.order {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "\n%s  %s: {", indent, strictjson.Canonical(n))
		at := b.Len()
		s.fields[n].write(b, indent+"    ", true)
		if b.Len() > at {
			b.WriteString("\n" + indent + "  ")
		}
		b.WriteByte('}')
	}
	b.WriteString("\n" + indent + "}")
}
