package standard

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

func sample() fstest.MapFS {
	return fstest.MapFS{
		"standard.yaml":               {Data: []byte(strings.Replace(manifest, "[/id]", "[/id, /part/no]", 1) + "resources: {'https://example.org/part.json': more/part.json}\n")},
		"schema.json":                 {Data: []byte(`{"required":["id","part"],"properties":{"part":{"$ref":"https://example.org/part.json"},"colour":{"$ref":"colour.json"}}}`)},
		"more/part.json":              {Data: []byte(`{"type":"object","required":["no"]}`)},
		"schemas/colour.json":         {Data: []byte(`{"enum":["red","blue"]}`)},
		"examples/valid/a.json":       {Data: []byte(`{"id":"1","part":{"no":2}}`)},
		"examples/invalid/empty.json": {Data: []byte(`{}`)},
		"README.md":                   {Data: []byte("not part of it")},
		"schemas/notes.txt":           {Data: []byte("nor this")},
	}
}

// A schema that stands alone is known by the digest of its bytes; one with
// others beside it by a digest of them all.
func TestIntegrity(t *testing.T) {
	digest := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	}
	alone := pack(`{"type":"object"}`)
	if got, want := mustLoad(t, alone).Integrity(), digest(`{"type":"object"}`); got != want {
		t.Errorf("alone: got %s, want %s", got, want)
	}
	files := sample()
	text := "stile schema documents 1\n"
	for _, f := range []string{"more/part.json", "schema.json", "schemas/colour.json"} {
		text += fmt.Sprintf("file %q %x\n", f, sha256.Sum256(files[f].Data))
	}
	text += "address \"https://example.org/part.json\" \"more/part.json\"\n"
	want := digest(text)
	if got := mustLoad(t, files).Integrity(); got != want {
		t.Errorf("with others: got %s, want %s", got, want)
	}
	for f, with := range map[string]string{"more/part.json": `{"type":"array"}`, "schemas/colour.json": `{}`} {
		changed := sample()
		changed[f] = &fstest.MapFile{Data: []byte(with)}
		if mustLoad(t, changed).Integrity() == want {
			t.Errorf("%s may change unseen", f)
		}
	}
	elsewhere := sample()
	elsewhere["standard.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(string(files["standard.yaml"].Data), "more/part.json}", "more/part.json, 'urn:x': more/part.json}", 1))}
	if mustLoad(t, elsewhere).Integrity() == want {
		t.Error("an address may change unseen")
	}
}

func TestLoad(t *testing.T) {
	s := mustLoad(t, sample())
	if got := s.Name().String(); got != "standards.example/test@1.0.0" {
		t.Errorf("name %s", got)
	}
	if ps := s.CheckExamples(); ps != nil {
		t.Errorf("examples: %+v", ps)
	}
	valid, invalid := s.Examples()
	if len(valid) != 1 || valid[0].File != "examples/valid/a.json" || len(invalid) != 1 {
		t.Errorf("examples %v, %v", valid, invalid)
	}
	// What is handed out is a copy.
	m := s.Manifest()
	m.Key[0], m.Classes["/x"], m.Resources["x"] = "/x", Open, "x"
	s.Schema()[0] = 'x'
	if m := s.Manifest(); m.Key[0] != "/id" || len(m.Classes) != 0 || len(m.Resources) != 1 || s.Schema()[0] != '{' {
		t.Error("the manifest or the schema can be changed from outside")
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(fstest.MapFS)
		want   string
	}{
		{"no manifest", func(f fstest.MapFS) { delete(f, "standard.yaml") }, "standard.yaml"},
		{"no schema", func(f fstest.MapFS) { delete(f, "schema.json") }, "schema.json"},
		{"an empty directory", func(f fstest.MapFS) { clear(f) }, "standard.yaml"},
		{"no resource", func(f fstest.MapFS) { delete(f, "more/part.json") }, "part.json"},
		{"a resource outside", func(f fstest.MapFS) {
			f["standard.yaml"].Data = bytes.Replace(f["standard.yaml"].Data, []byte("more/part.json"), []byte("../part.json"), 1)
		}, "relative path"},
		{"a broken resource", func(f fstest.MapFS) { f["more/part.json"].Data = []byte("{") }, "more/part.json"},
		{"a broken further schema", func(f fstest.MapFS) { f["schemas/colour.json"].Data = []byte("[1]") }, "colour.json"},
		{"a link for a schema", func(f fstest.MapFS) { f["schema.json"].Mode = fs.ModeSymlink }, "regular file"},
		{"a link for an example", func(f fstest.MapFS) { f["examples/valid/a.json"].Mode = fs.ModeSymlink }, "regular file"},
		{"a pipe", func(f fstest.MapFS) { f["schemas/colour.json"].Mode = fs.ModeNamedPipe }, "regular file"},
		{"a huge example", func(f fstest.MapFS) { f["examples/valid/a.json"].Data = make([]byte, maxFile+1) }, "larger"},
		{"two documents with one address", func(f fstest.MapFS) {
			f["schemas/x.json"] = &fstest.MapFile{Data: []byte(`{"$id":"https://example.org/x"}`)}
			f["schemas/y.json"] = &fstest.MapFile{Data: []byte(`{"$id":"https://example.org/x"}`)}
		}, "$id"},
	} {
		fsys := sample()
		c.change(fsys)
		if _, err := Load(fsys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	if _, err := Load(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v does not say that it is missing", err)
	}
}

// A link in a real directory, which os.DirFS would follow.
func TestLoadRefusesRealLinks(t *testing.T) {
	dir := t.TempDir()
	for p, f := range sample() {
		p = filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(`{"secret":"Zebedee"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "examples", "valid", "b.json")); err != nil {
		t.Skip(err)
	}
	if _, err := Load(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "regular file") || strings.Contains(err.Error(), "Zebedee") {
		t.Errorf("a link was followed: %v", err)
	}
}

func TestKey(t *testing.T) {
	s := mustLoad(t, sample())
	for _, c := range []struct{ record, want, problem string }{
		{`{"id":"A/1","part":{"no":2}}`, `["A/1",2]`, ""},
		{`{"part":{"no":2.0},"id":"A/1"}`, `["A/1",2]`, ""}, // the same number
		{`{"id":"é ü","part":{"no":true}}`, `["é ü",true]`, ""},
		// What nobody can see is in no key: two records would look like one.
		{`{"id":"é\n","part":{"no":true}}`, "", "/id"},
		{`{"id":"A/1 ","part":{"no":2}}`, "", "/id"},
		{`{"id":"A\u200b/1","part":{"no":2}}`, "", "/id"},
		{`{"id":"","part":{"no":0}}`, `["",0]`, ""},
		{`{"id":"A"}`, "", "/part/no"},
		{`{"id":null,"part":{"no":2}}`, "", "/id"},
		{`{"id":"A","part":[2]}`, "", "/part/no"},
		{`{"id":["A"],"part":{"no":2}}`, "", "/id"},
		{`{"id":{"x":1},"part":{"no":2}}`, "", "/id"},
		{`[]`, "", "/id"},
		{`"A"`, "", "/id"},
	} {
		v, err := strictjson.Decode([]byte(c.record), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Key(v)
		var p *Problem
		if errors.As(err, &p) != (c.problem != "") || got != c.want || (p != nil && p.Pointer != c.problem) {
			t.Errorf("Key(%s) = %q, %v", c.record, got, err)
		}
	}
}

func TestArchive(t *testing.T) {
	s := mustLoad(t, sample())
	a := s.Archive()
	s2, err := LoadArchive(a)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s2.Archive(), a) || s2.Integrity() != s.Integrity() || s2.Name() != s.Name() || s2.CheckExamples() != nil {
		t.Error("the archive is not the same standard")
	}
	if !bytes.Equal(mustLoad(t, sample()).Archive(), a) {
		t.Error("the same standard gives another archive")
	}
	if bytes.Contains(a, []byte("README")) {
		t.Error("the archive holds what is not part of the standard")
	}
	// A gzipped tar, and a folder as code hosts pack a release.
	for _, prefix := range []string{"", "release-1.0/"} {
		if s3, err := LoadArchive(tarball(t, prefix)); err != nil || !bytes.Equal(s3.Archive(), a) {
			t.Errorf("tar with prefix %q: %v", prefix, err)
		}
		if s3, err := LoadArchive(zipped(t, prefix, zip.Deflate)); err != nil || !bytes.Equal(s3.Archive(), a) {
			t.Errorf("zip with prefix %q: %v", prefix, err)
		}
	}
}

func tarball(t *testing.T, prefix string, more ...*tar.Header) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	put := func(h *tar.Header, b []byte) {
		h.Size = int64(len(b))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	put(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "x"}}, nil)
	if prefix != "" {
		put(&tar.Header{Typeflag: tar.TypeDir, Name: prefix, Mode: 0o755}, nil)
	}
	for _, p := range slices.Sorted(maps.Keys(sample())) {
		put(&tar.Header{Typeflag: tar.TypeReg, Name: prefix + p, Mode: 0o644}, sample()[p].Data)
	}
	for _, h := range more {
		put(h, nil)
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipped(t *testing.T, prefix string, method uint16, more ...*zip.FileHeader) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, p := range slices.Sorted(maps.Keys(sample())) {
		more = append([]*zip.FileHeader{{Name: prefix + p, Method: method, Comment: string(sample()[p].Data)}}, more...)
	}
	for _, h := range more {
		b := h.Comment
		h.Comment = ""
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestLoadArchiveRefuses(t *testing.T) {
	link := &zip.FileHeader{Name: "examples/valid/link.json", Comment: "/etc/passwd"}
	link.SetMode(fs.ModeSymlink | 0o777)
	bomb := &zip.FileHeader{Name: "examples/valid/bomb.json", Method: zip.Deflate, Comment: strings.Repeat(" ", maxFile+1)}
	var bombs []*zip.FileHeader
	for i := range 12 {
		bombs = append(bombs, &zip.FileHeader{Name: "examples/valid/bomb" + string(rune('a'+i)) + ".json", Method: zip.Deflate, Comment: strings.Repeat(" ", maxFile-1)})
	}
	var many []*zip.FileHeader
	for i := range maxFiles + 1 {
		many = append(many, &zip.FileHeader{Name: "x/" + strings.Repeat("y", i%50) + string(rune('a'+i%26)) + strings.Repeat("z", i/50)})
	}
	good := mustLoad(t, sample()).Archive()
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, ""},
		{"text", []byte("hello"), ""},
		{"half an archive", good[:len(good)/2], ""},
		{"a flipped byte", bytes.Replace(good, []byte(`"red"`), []byte(`"rod"`), 1), ""},
		{"a path above", zipped(t, "", zip.Store, &zip.FileHeader{Name: "../x.json"}), "relative path"},
		{"a path from the root", zipped(t, "", zip.Store, &zip.FileHeader{Name: "/etc/x.json"}), "relative path"},
		{"a path of another system", zipped(t, "", zip.Store, &zip.FileHeader{Name: `..\x.json`}), "relative path"},
		{"a drive", zipped(t, "", zip.Store, &zip.FileHeader{Name: `C:x.json`}), "relative path"},
		{"a path with dots inside", zipped(t, "", zip.Store, &zip.FileHeader{Name: "examples/../schema.json"}), "relative path"},
		{"a name with a null", zipped(t, "", zip.Store, &zip.FileHeader{Name: "a\x00.json"}), "relative path"},
		{"a name twice", zipped(t, "", zip.Store, &zip.FileHeader{Name: "schema.json", Comment: "{}"}), "twice"},
		{"a link", zipped(t, "", zip.Store, link), "regular file"},
		{"a bomb", zipped(t, "", zip.Store, bomb), "larger"},
		{"many bombs", zipped(t, "", zip.Store, bombs...), "larger"},
		{"many files", zipped(t, "", zip.Store, many...), "larger"},
		{"too large", make([]byte, maxArchive+1), "larger"},
		{"a tar with a path above", tarball(t, "", &tar.Header{Typeflag: tar.TypeReg, Name: "../x.json"}), "relative path"},
		{"a tar with a link", tarball(t, "", &tar.Header{Typeflag: tar.TypeSymlink, Name: "x.json", Linkname: "/etc/passwd"}), "regular file"},
		{"a tar with a hard link", tarball(t, "", &tar.Header{Typeflag: tar.TypeLink, Name: "x.json", Linkname: "schema.json"}), "regular file"},
		{"a tar with a device", tarball(t, "", &tar.Header{Typeflag: tar.TypeChar, Name: "x.json"}), "regular file"},
		{"a tar with a name twice", tarball(t, "", &tar.Header{Typeflag: tar.TypeReg, Name: "schema.json"}), "twice"},
		{"a broken gzip", append([]byte("\x1f\x8b"), 1, 2, 3), ""},
	} {
		s, err := LoadArchive(c.b)
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// What each kind of fault is called, and that the words come from the standard.
func TestProblems(t *testing.T) {
	const secret = "Zebedee Quartermaine"
	for _, c := range []struct{ schema, record, want string }{
		{`{"type":"object"}`, `[]`, `: type: must be a group of fields`},
		{`{"properties":{"a":{"type":["string","null"]}}}`, `{"a":1}`, `/a: type: must be text or empty (null) [put quotation marks round it]`},
		{`{"properties":{"a":{"type":"integer"}}}`, `{"a":"1"}`, `/a: type: must be a whole number [send the number without quotation marks]`},
		{`{"properties":{"a":{"type":"integer"}}}`, `{"a":1.5}`, `/a: type: must be a whole number [leave out the fraction]`},
		{`{"properties":{"a":{"type":["number","integer"]}}}`, `{"a":null}`, `/a: type: must be a number [fill it in`},
		{`{"properties":{"a":{"enum":["x","y, z","",3,null,true,["q"]]}}}`, `{"a":"` + secret + `"}`, `/a: enum: must be one of: x, "y, z", "", 3, null, true, ["q"] (the standard's list)`},
		{`{"properties":{"a":{"const":"yes"}}}`, `{"a":"` + secret + `"}`, `/a: const: must be yes`},
		{`{"properties":{"a":{"format":"date"}}}`, `{"a":"` + secret + `"}`, `/a: format: must be a date such as 2026-11-22`},
		{`{"properties":{"a":{"format":"date-time"}}}`, `{"a":"2026-11-22"}`, `/a: format: must be a date and time with its offset`},
		{`{"properties":{"a":{"pattern":"^[A-Z]+$","description":"Capitals only."}}}`, `{"a":"` + secret + `"}`, `/a: pattern: is not in the form that the standard asks for: Capitals only [write it so that it matches ^[A-Z]+$]`},
		{`{"properties":{"a":{"minLength":1}}}`, `{"a":""}`, `/a: minLength: must not be blank`},
		{`{"properties":{"a":{"minLength":3,"pattern":"x"}}}`, `{"a":"b"}`, `/a: minLength: must have at least 3 characters; /a: pattern`},
		{`{"properties":{"a":{"maxLength":1}}}`, `{"a":"` + secret + `"}`, `/a: maxLength: must have at most 1 character`},
		{`{"properties":{"a":{"minimum":0,"maximum":10}}}`, `{"a":-1}`, `/a: minimum: must be 0 or more`},
		{`{"properties":{"a":{"exclusiveMinimum":0}}}`, `{"a":0}`, `/a: exclusiveMinimum: must be more than 0`},
		{`{"properties":{"a":{"exclusiveMaximum":1e3}}}`, `{"a":1000}`, `/a: exclusiveMaximum: must be less than 1000`},
		{`{"properties":{"a":{"multipleOf":0.01}}}`, `{"a":1.234}`, `/a: multipleOf: must have at most 2 decimal places`},
		{`{"properties":{"a":{"multipleOf":1}}}`, `{"a":1.5}`, `/a: multipleOf: must be a whole number`},
		{`{"properties":{"a":{"multipleOf":0.25}}}`, `{"a":0.3}`, `/a: multipleOf: must be a multiple of 0.25`},
		{`{"required":["b","a/c"]}`, `{}`, `/a~1c: required: is required; /b: required: is required`},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `/b: dependentRequired: is required when "a" is given`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"]}}`, `{"a":1}`, `/b: dependencies: is required when "a" is given`},
		{`{"properties":{"a":{"additionalProperties":false}}}`, `{"a":{"b~":"` + secret + `"}}`, `/a/b~0: additionalProperties: is not a field of this standard`},
		{`{"unevaluatedProperties":false}`, `{"b":1}`, `/b: unevaluatedProperties: is not a field of this standard`},
		{`{"properties":{"a":false}}`, `{"a":1}`, `/a: false: may not be here`},
		{`{"propertyNames":{"pattern":"^[a-z]$"}}`, `{"a":1,"AB":1}`, `/AB: propertyNames: has a name that the standard does not allow here`},
		{`{"not":{"required":["a"]}}`, `{"a":1}`, `: not: is something that the standard rules out here`},
		{`{"minProperties":1}`, `{}`, `: minProperties: must hold at least 1 field`},
		{`{"maxProperties":1}`, `{"a":1,"b":2}`, `: maxProperties: must hold at most 1 field`},
		{`{"properties":{"a":{"minItems":2,"maxItems":3,"uniqueItems":true}}}`, `{"a":[1]}`, `/a: minItems: must list at least 2 entries`},
		{`{"properties":{"a":{"maxItems":0}}}`, `{"a":[1]}`, `/a: maxItems: must list at most 0 entries`},
		{`{"properties":{"a":{"uniqueItems":true}}}`, `{"a":[1,{"x":[1.0,2]},{"x":[1,2.0]}]}`, `/a: uniqueItems: must not list anything twice`},
		{`{"properties":{"a":{"contains":{"const":1}}}}`, `{"a":[2]}`, `/a: contains: must list at least one entry`},
		{`{"properties":{"a":{"contains":{"const":1},"minContains":2}}}`, `{"a":[1]}`, `/a: minContains: must list at least 2 entries`},
		{`{"properties":{"a":{"contains":{"const":1},"maxContains":1}}}`, `{"a":[1,1]}`, `/a: maxContains: must list at most 1 entry of`},
		{`{"properties":{"a":{"prefixItems":[{}],"items":false}}}`, `{"a":[1,2]}`, `/a/1: false: may not be here`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"items":[{}],"additionalItems":false}}}`, `{"a":[1,2]}`, `/a: additionalItems: lists more than`},
		{`{"properties":{"a":{"items":{"type":"string"}}}}`, `{"a":["x",1]}`, `/a/1: type: must be text`},
		// The branch that the record came nearest to.
		{`{"properties":{"a":{"anyOf":[{"type":"string","format":"date"},{"type":"null"}]}}}`, `{"a":"` + secret + `"}`, `/a: format: must be a date such as`},
		{`{"properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}`, `{"a":1}`, `/a: type: must be text or empty (null)`},
		{`{"properties":{"a":{"anyOf":[{"const":"x"},{"enum":["y"]}]}}}`, `{"a":"z"}`, `/a: enum: must be one of: x, y (the standard's list)`},
		{`{"anyOf":[{"required":["x"]},{"required":["y"]}]}`, `{}`, `: anyOf: needs one of: x, y`},
		{`{"oneOf":[{"properties":{"kind":{"const":"a"},"n":{"type":"integer"}}},{"properties":{"kind":{"const":"b"},"n":{"type":"string"}}}]}`, `{"kind":"b","n":1}`, `/n: type: must be text`},
		{`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, `: oneOf: fits more than one of the forms`},
		{`{"$ref":"#/$defs/d","$defs":{"d":{"allOf":[{"properties":{"a":{"$ref":"#/$defs/n"}}}]},"n":{"minimum":5}}}`, `{"a":1}`, `/a: minimum: must be 5 or more`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]}}`, `{"a":1}`, `/b: required: is required`},
		{`{"anyOf":[false,false]}`, `1`, `: false: may not be here`},
	} {
		s := mustLoad(t, pack(c.schema))
		v, err := strictjson.Decode([]byte(c.record), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ps := s.Validate(v)
		var parts []string
		for _, p := range ps {
			if strings.Contains(p.Detail+p.Fix+p.Pointer, secret) {
				t.Errorf("%s: a problem holds the value: %+v", c.schema, p)
			}
			parts = append(parts, p.Pointer+": "+p.Rule+": "+p.Detail+" ["+p.Fix+"]")
		}
		// want is each problem from its beginning, in order, joined by "; ".
		wants := strings.Split(c.want, "; ")
		ok := len(ps) == len(wants)
		for i := range wants {
			ok = ok && strings.HasPrefix(parts[i], wants[i])
		}
		if !ok {
			t.Errorf("%s with %s\n got %s\nwant %s", c.schema, c.record, strings.Join(parts, "; "), c.want)
		}
	}
}

func TestProblemsAreCapped(t *testing.T) {
	s := mustLoad(t, pack(`{"additionalProperties":{"type":"string"}}`))
	record := map[string]any{}
	for i := range 5000 {
		record[strings.Repeat("k", 1+i%100)+string(rune('a'+i%26))+strings.Repeat("m", i/100)] = json.Number("1")
	}
	ps := s.Validate(record)
	if len(ps) != maxProblems {
		t.Errorf("%d problems", len(ps))
	}
	checkProblems(t, ps)
	p := Problem{Pointer: "/a", Rule: "type", Detail: "must be text", Fix: "send text"}
	if b, _ := json.Marshal(p); string(b) != `{"pointer":"/a","rule":"type","detail":"must be text","fix":"send text"}` {
		t.Errorf("as JSON %s", b)
	}
	if got := p.Error(); got != `check record: place "/a": type: must be text` {
		t.Errorf("as an error %s", got)
	}
}

func TestFormatAnnotation(t *testing.T) {
	fsys := pack(`{"properties":{"a":{"format":"date","minLength":2}}}`)
	if ps := mustLoad(t, fsys).Validate(map[string]any{"a": "soon"}); len(ps) != 1 || ps[0].Rule != "format" {
		t.Errorf("asserted: %+v", ps)
	}
	fsys["standard.yaml"].Data = []byte(manifest + "format: annotation\n")
	s := mustLoad(t, fsys)
	if ps := s.Validate(map[string]any{"a": "soon"}); ps != nil {
		t.Errorf("noted: %+v", ps)
	}
	if ps := s.Validate(map[string]any{"a": "x"}); len(ps) != 1 || ps[0].Rule != "minLength" {
		t.Errorf("noted, too short: %+v", ps)
	}
}

func TestCheckExamplesComplains(t *testing.T) {
	fsys := sample()
	fsys["examples/valid/bad.json"] = &fstest.MapFile{Data: []byte(`{"id":"x"}`)}
	fsys["examples/valid/broken.json"] = &fstest.MapFile{Data: []byte(`{"id":1e10000000}`)}
	fsys["examples/invalid/good.json"] = &fstest.MapFile{Data: []byte(`{"id":"x","part":{"no":1}}`)}
	fsys["examples/invalid/broken.json"] = &fstest.MapFile{Data: []byte(`{`)} // not valid indeed
	fsys["schema.json"].Data = []byte(`{"required":["part"],"properties":{"part":{"$ref":"https://example.org/part.json"}}}`)
	var got []string
	for _, p := range mustLoad(t, fsys).CheckExamples() {
		got = append(got, p.Pointer+" "+p.Rule)
	}
	want := []string{"examples/valid/bad.json#/part required", "examples/valid/bad.json#/part/no key", "examples/valid/broken.json json", "examples/invalid/good.json examples", "standard.yaml#/id key"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	empty := mustLoad(t, pack(`{"required":["id"]}`))
	if ps := empty.CheckExamples(); len(ps) != 2 {
		t.Errorf("no examples: %+v", ps)
	}
}

// requires follows references and allOf, and the members on the way.
func TestKeyRequired(t *testing.T) {
	for _, c := range []struct {
		schema string
		ok     bool
	}{
		{`{"required":["id"]}`, true},
		{`{"properties":{"id":{}}}`, false},
		{`{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"required":["id"]}}}`, true},
		{`{"anyOf":[{"required":["id"]},{}]}`, false},
		{`true`, false},
	} {
		if got := mustLoad(t, pack(c.schema)).engine.requires("/id"); got != c.ok {
			t.Errorf("%s: %v", c.schema, got)
		}
	}
}

func TestDrafts(t *testing.T) {
	for _, c := range []struct {
		schema, yes, no string
	}{
		{`{"$schema":"http://json-schema.org/draft-04/schema#","id":"http://x.example/s","properties":{"a":{"maximum":5,"exclusiveMaximum":true}}}`, `{"a":4}`, `{"a":5}`},
		{`{"$schema":"http://json-schema.org/draft-04/schema","type":"object","definitions":{"p":{"minLength":2}},"properties":{"a":{"$ref":"#/definitions/p"}}}`, `{"a":"xx"}`, `{"a":"x"}`},
		{`{"$schema":"http://json-schema.org/draft-06/schema#","properties":{"a":{"exclusiveMaximum":5}}}`, `{"a":4}`, `{"a":5}`},
		{`{"$schema":"https://json-schema.org/draft-07/schema#","if":{"required":["a"]},"then":{"required":["b"]}}`, `{"b":1}`, `{"a":1}`},
		{`{"$schema":"http://json-schema.org/draft-07/schema","$id":"@next","$ref":"#/definitions/x","definitions":{"x":{"type":"object"}}}`, `{}`, `1`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","$id":"@next","properties":{"a":{"$ref":"@next#/definitions/x"}},"definitions":{"x":{"type":"string"}}}`, `{"a":"b"}`, `{"a":1}`},
		{`{"$schema":"https://json-schema.org/draft/2019-09/schema","dependentRequired":{"a":["b"]}}`, `{"b":1}`, `{"a":1}`},
		{`{"$schema":"http://json-schema.org/draft/2020-12/schema#","prefixItems":[{"type":"string"}]}`, `["a"]`, `[1]`},
		{`{"prefixItems":[{"type":"string"}]}`, `["a"]`, `[1]`},                                    // none named: 2020-12
		{`{"$schema":"http://json-schema.org/schema#","items":{"type":"string"}}`, `["a"]`, `[1]`}, // the latest
		{`{"$id":"urn:example:s","$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}`, `"a"`, `1`},
		{`{"$id":"https://x.example/s","$ref":"t","$defs":{"a":{"$id":"t","type":"string"}}}`, `"a"`, `1`},
		{`{"properties":{"a":{"maximum":18446744073709551615}}}`, `{"a":5}`, `{"a":1e10}x`},
	} {
		s := mustLoad(t, pack(c.schema))
		for i, text := range []string{c.yes, c.no} {
			v, err := strictjson.Decode([]byte(text), strictjson.Limits{})
			if err != nil {
				continue
			}
			if ps := s.Validate(v); (ps == nil) != (i == 0) {
				t.Errorf("%s: %s gives %+v", c.schema, text, ps)
			}
		}
	}
}

// The wide view of numbers: exact, as decimals.
func TestNumbersAreExact(t *testing.T) {
	s := mustLoad(t, pack(`{"properties":{"p":{"multipleOf":0.01},"q":{"enum":[1.0,0.1]},"r":{"maximum":0.3},"i":{"type":"integer"}}}`))
	for _, c := range []struct {
		record string
		ok     bool
	}{
		{`{"p":4.35}`, true}, {`{"p":1.1}`, true}, {`{"p":9999999999.99}`, true}, {`{"p":4.355}`, false}, {`{"p":1e-3}`, false},
		{`{"q":1}`, true}, {`{"q":1e0}`, true}, {`{"q":1e-1}`, true}, {`{"q":0.10000000000000001}`, false},
		{`{"r":0.3}`, true}, {`{"r":0.30000000000000004}`, false}, {`{"r":3e-1}`, true},
		{`{"i":1.0}`, true}, {`{"i":1e2}`, true}, {`{"i":1.5}`, false}, {`{"i":-0}`, true}, {`{"i":0.1e1}`, true},
	} {
		v, err := strictjson.Decode([]byte(c.record), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if ps := s.Validate(v); (ps == nil) != c.ok {
			t.Errorf("%s: %+v", c.record, ps)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{`^\s+$`, []string{" \t\n\v\f\r\u00a0\ufeff\u2028\u3000\u1680"}, []string{"", "x", "\u180e", "\u200b"}},
		{`^\S+$`, []string{"x", "\u180e"}, []string{" ", "\u00a0", "a b"}},
		{`^[\s,]+$`, []string{", \u00a0"}, []string{"x"}},
		{`^[^\S]$`, []string{" ", "\ufeff"}, []string{"x"}},
		{`^[\Sx]$`, []string{"y", "x"}, []string{" "}},
		{`^.$`, []string{"x", "é", "😂", "\u0085"}, []string{"\n", "\r", "\u2028", "\u2029", ""}},
		{`^\d$`, []string{"5"}, []string{"٣"}},
		{`^\w$`, []string{"_"}, []string{"é"}},
		{`^\cJ$`, []string{"\n"}, []string{"J"}},
		{`^\u00e9\u{1F602}\uD83D\uDE02\x41$`, []string{"é😂😂A"}, []string{"e"}},
		{`^[]$`, nil, []string{"", "x"}},
		{`^[^]$`, []string{"\n", "x"}, []string{""}},
		{`^[[]$`, []string{"["}, []string{"]"}},
		{`^[a\-z\]\\]$`, []string{"-", "]", "\\", "a", "z"}, []string{"b"}},
		{`^\p{Letter}\p{L}\p{Script=Greek}\P{Lu}$`, []string{"éÀπ1"}, []string{"éÀp1", "éÀπA"}},
		{`^[\b]$`, []string{"\b"}, []string{"b"}},
		{`^\/\-\.\@\_\#$`, []string{"/-.@_#"}, []string{"x"}},
		{`^\0$`, []string{"\x00"}, []string{"0"}},
		{`^(?!BG)[A-Z]{2}$`, []string{"AB"}, []string{"BG"}},
		{`^(?=.*\d)(?=.*[a-z]).+$`, []string{"a1"}, []string{"aa"}},
		{`^(a)\1$`, []string{"aa"}, []string{"ab"}},
		{`^(?<y>\d)-\k<y>$`, []string{"1-1"}, []string{"1-2"}},
		{`(?<=£)\d`, []string{"£1"}, []string{"$1"}},
		{`^a{1,1500}$`, []string{"a", strings.Repeat("a", 1500)}, []string{"", strings.Repeat("a", 1501)}},
		{`x$`, []string{"x"}, []string{"x\n"}},
		{`^x`, []string{"x"}, []string{"\nx"}},
	} {
		p, err := compilePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, s := range c.yes {
			if ok, done := p.try(s, maxTry); !ok || !done {
				t.Errorf("%s does not match %q", c.pattern, s)
			}
		}
		for _, s := range c.no {
			if ok, done := p.try(s, maxTry); ok || !done {
				t.Errorf("%s matches %q", c.pattern, s)
			}
		}
	}
	for _, bad := range []string{`\Z`, `\a`, `\A`, `\Q.\E`, `\8`, `\u12`, `\u{110000}`, `\p{Nonsense}`, `\p`, `\c1`, `\x4`, `\`, `[\B]`, `\00`, `(`, `[`, `[b-a]`, `*`, strings.Repeat("a", maxPattern+1)} {
		if _, err := compilePattern(bad); err == nil {
			t.Errorf("%.40q compiles", bad)
		}
	}
}

// The fields that the design's agreement names can each be disclosed alone.
func TestShippedSeparable(t *testing.T) {
	s, err := Load(schemas.FS("housing-need/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []name.Field{"/reference", "/status", "/applicant/name", "/applicant/contact/email", "/household/*/name", "/nino", "/criminal/mappa_level"} {
		if !s.Layout().Separable(f) {
			t.Errorf("%s is not separable", f)
		}
	}
}
