// Package standard holds published data standards and judges records by them.
//
// A standard is a directory, or an archive of one:
//
//	standard.yaml             the manifest: name, version, key, classes (see [Manifest])
//	schema.json               JSON Schema, draft 4, 6, 7, 2019-09 or 2020-12, as its publisher wrote it
//	schemas/*.json            further schema documents it refers to, each under its own $id and file name
//	examples/valid/*.json     records that must pass
//	examples/invalid/*.json   records that must not
//	mappings/1.yaml           how a record of an older major becomes one of this version (see [Mapping]); optional
//
// A schema comes from outside and is treated so. It may refer only to what
// stands in the directory and to the meta-schemas of JSON Schema, never to a
// file or the network. Its size, depth, patterns and fan-out are capped, and
// every validation has a budget of counted steps (see [Standard.Validate]).
//
// No [Problem] holds a value of the record it is about.
package standard

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A Class says how a place in a record may be handled.
type Class string

// The classes, from the freest on. Personal, special and criminal are the
// personal data, special category data (article 9) and criminal offence data
// (article 10) of the UK GDPR.
const (
	Open     Class = "open"     // public: travels in clear in every token
	Internal Class = "internal" // not about a person, not public
	Personal Class = "personal"
	Special  Class = "special"
	Criminal Class = "criminal"
)

// AboutPerson reports whether what has the class is, or may be, about a person: it is neither
// open nor internal.
func (c Class) AboutPerson() bool { return c != Open && c != Internal }

func (c Class) valid() bool {
	return c == Open || c == Internal || c == Personal || c == Special || c == Criminal
}

// A Status says where a version of a standard stands in its life.
type Status string

// The statuses, in the order of a life.
const (
	Draft     Status = "draft"
	Candidate Status = "candidate"
	Live      Status = "live"
	Retired   Status = "retired"
)

func (s Status) valid() bool {
	return s == Draft || s == Candidate || s == Live || s == Retired
}

// A Standard is one version of a data standard, compiled. It does not change
// and may be used concurrently.
type Standard struct {
	manifest  Manifest
	files     map[string][]byte // what the standard is made of, by slash path
	integrity string
	layout    *Layout
	engine    *engine
	valid     []Example
	invalid   []Example
	mappings  map[int]*Mapping // by the major they start from
}

// Load reads a standard from a directory. Files other than those named in the
// package comment, and in the manifest's resources, are not read.
//
// Load refuses a manifest with unknown or missing headings, a schema that is
// not valid, that refers outside the directory or that exceeds a cap, and
// anything that is not a regular file. Errors name the file.
func Load(fsys fs.FS) (*Standard, error) {
	files, err := readDir(fsys)
	if err != nil {
		return nil, fmt.Errorf("load standard: %w", err)
	}
	s, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("load standard: %w", err)
	}
	return s, nil
}

func load(files map[string][]byte) (*Standard, error) {
	for _, n := range []string{"standard.yaml", "schema.json"} {
		if files[n] == nil {
			return nil, fmt.Errorf("read %s: %w", n, fs.ErrNotExist)
		}
	}
	m, err := parseManifest(files["standard.yaml"])
	if err != nil {
		return nil, fmt.Errorf("read standard.yaml: %w", err)
	}
	s := &Standard{manifest: *m, files: files}
	s.integrity = integrity(files, m.Resources)
	s.layout = newLayout(m.Classes)
	if s.engine, err = newEngine(files, m.Resources, m.Formats); err != nil {
		return nil, err
	}
	if s.mappings, err = loadMappings(files, m.Name); err != nil {
		return nil, err
	}
	s.valid = examples(files, "examples/valid/")
	s.invalid = examples(files, "examples/invalid/")
	return s, nil
}

// integrity is the digest that Integrity describes.
func integrity(files map[string][]byte, resources map[string]string) string {
	docs := map[string]bool{"schema.json": true}
	for p := range files {
		if path.Dir(p) == "schemas" {
			docs[p] = true
		}
	}
	for _, p := range resources {
		docs[p] = true
	}
	text := files["schema.json"]
	if len(docs) > 1 || len(resources) > 0 {
		var b bytes.Buffer
		b.WriteString("stile schema documents 1\n")
		for _, p := range slices.Sorted(maps.Keys(docs)) {
			fmt.Fprintf(&b, "file %q %x\n", p, sha256.Sum256(files[p]))
		}
		for _, addr := range slices.Sorted(maps.Keys(resources)) {
			fmt.Fprintf(&b, "address %q %q\n", addr, resources[addr])
		}
		text = b.Bytes()
	}
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Name returns the standard's name and version.
func (s *Standard) Name() name.Standard { return s.manifest.Name }

// Manifest returns a copy of the manifest.
func (s *Standard) Manifest() Manifest {
	m := s.manifest
	m.Source = slices.Clone(m.Source)
	m.Key = slices.Clone(m.Key)
	m.Classes = maps.Clone(m.Classes)
	m.Resources = maps.Clone(m.Resources)
	m.Persons = slices.Clone(m.Persons)
	m.Aliases = maps.Clone(m.Aliases)
	m.Synonyms = maps.Clone(m.Synonyms)
	return m
}

// Schema returns a copy of the bytes of schema.json.
func (s *Standard) Schema() []byte { return slices.Clone(s.files["schema.json"]) }

// Agreement returns a copy of agreement.yaml: the text of an agreement on this standard that
// its publisher offers to every council alike, with the council that receives; nil when it
// offers none. Nothing of it is checked here, and it binds nobody who has not signed it.
func (s *Standard) Agreement() []byte { return slices.Clone(s.files[blanketFile]) }

// Document returns a copy of the bytes of the further schema document that the manifest
// names for an address, if there is one.
func (s *Standard) Document(address string) ([]byte, bool) {
	path, ok := s.manifest.Resources[address]
	return slices.Clone(s.files[path]), ok
}

// Integrity returns "sha256-" and a base64 SHA-256, as W3C Subresource
// Integrity section 3.1 writes it. It is the std#integrity claim of every
// record in this standard. The digest is that of the bytes of schema.json when
// this is the standard's only schema document. Where others stand beside it
// they say as much of a record as it does, so then the digest is that of this
// text, its lines sorted within each kind and each ended by a line feed:
//
//	stile schema documents 1
//	file "<path>" <lower-case hex SHA-256 of the file>   for every schema document
//	address "<address>" "<path>"                         for every one of the manifest's resources
func (s *Standard) Integrity() string { return s.integrity }

// Layout returns the tree of places that can be withheld by themselves. It is
// shared: do not change it.
func (s *Standard) Layout() *Layout { return s.layout }

// Class returns the class of a place: the one the manifest sets there or at
// its nearest named ancestor, else [Personal].
func (s *Standard) Class(f name.Field) Class { return classOf(s.manifest.Classes, f) }

// Classified reports whether the manifest says the class of a place, or of one above it. Of any
// other nothing is known, such as of a field that a later version has.
func (s *Standard) Classified(f name.Field) bool {
	for ; f != ""; f = parent(f) {
		if _, ok := s.manifest.Classes[f]; ok {
			return true
		}
	}
	return false
}

// ClassIn returns the class of a place as [Standard.Class] does, by the classes that somebody
// was told of a standard: pointers and the names of classes.
func ClassIn(told map[string]string, f name.Field) Class {
	classes := make(map[name.Field]Class, len(told))
	for p, c := range told {
		classes[name.Field(p)] = Class(c)
	}
	return classOf(classes, f)
}

// TypedKey returns what a person who typed a natural key means, as [Standard.Key]
// spells it: a JSON array of the values at the key's pointers. Somebody who types
// A/12 means the one text.
func TypedKey(typed string) string {
	if strings.HasPrefix(typed, "[") {
		if v, err := strictjson.Decode([]byte(typed), strictjson.DefaultLimits()); err == nil {
			return string(strictjson.Canonical(v))
		}
	}
	return string(strictjson.Canonical([]any{typed}))
}

// Key returns the record's natural key: the RFC 8785 text of the array of the
// values at the manifest's key pointers, such as ["26/0001/PA"]. The error is a
// *[Problem] when one of them is missing, null, not a string, number or
// boolean, or a text that cannot be told from another by sight
// ([name.KeyFault]).
func (s *Standard) Key(record any) (string, error) {
	values := make([]any, 0, 2)
	for _, f := range s.manifest.Key {
		v := record
		for _, tok := range f.Tokens() {
			m, _ := v.(map[string]any)
			v = m[tok]
		}
		switch v := v.(type) {
		case string:
			if fault := name.KeyFault(v); fault != "" {
				return "", &Problem{Pointer: string(f), Rule: "key", Detail: "is part of the record's key and " + fault, Fix: "take the character out at the source: a key with it and one without look the same and are two records"}
			}
		case nil:
			return "", &Problem{Pointer: string(f), Rule: "key", Detail: "is part of the record's key and is missing or null", Fix: "fill it in; without it the record cannot be told from others"}
		case map[string]any, []any:
			return "", &Problem{Pointer: string(f), Rule: "key", Detail: "is part of the record's key and is not a single value", Fix: "give one string or number"}
		}
		values = append(values, v)
	}
	b, err := strictjson.AppendJCS(nil, values)
	if err != nil {
		return "", &Problem{Rule: "key", Detail: "has a key that cannot be written as JSON", Fix: "give strings or numbers"}
	}
	return string(b), nil
}
