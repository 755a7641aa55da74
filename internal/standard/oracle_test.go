package standard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v5 "github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/schemas"
)

// The oracle is v5 of the same author's engine, which shares no code with v6:
// a second opinion on every verdict. It is known to crash on a number with a
// huge exponent, which never comes past the door, and not to end on some
// schemas, so it is asked behind a recover and only where it is quick.
type oracle struct{ schema *v5.Schema }

func newOracle(root string, docs map[string][]byte, formats bool) (o *oracle, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("v5: %v", r)
		}
	}()
	c := v5.NewCompiler()
	c.AssertFormat = formats
	c.Draft = v5.Draft2020
	c.LoadURL = func(string) (io.ReadCloser, error) { return nil, errClosed }
	for addr, b := range docs {
		if err := c.AddResource(addr, strings.NewReader(string(b))); err != nil {
			return nil, err
		}
	}
	s, err := c.Compile(root)
	if err != nil {
		return nil, err
	}
	return &oracle{s}, nil
}

// valid asks for a verdict; ok is false when there is none.
func (o *oracle) valid(v any) (valid, ok bool) {
	defer func() {
		if recover() != nil {
			valid, ok = false, false
		}
	}()
	err := o.schema.Validate(v)
	var infinite v5.InfiniteLoopError
	if errors.As(err, &infinite) {
		return false, false
	}
	return err == nil, true
}

// Where the two engines are known to differ, and which of them is right.
var knownDifferences = []struct{ part, why string }{
	{"/format", "our formats follow the RFCs where v5's are wider; the suite judges ours"},
	{"ecmascript-regex", "v5 reads patterns as RE2"},
	{"/content", "v5 asserts content in draft 7"},
	{"non-bmp-regex", "v5 reads patterns as RE2"},
	{"| empty enum |", "v5 lets an empty enum pass everything"},
	{"dynamicRef.json | $dynamicRef skips over", "the suite asks this of later engines than v5"},
}

func TestOracleOnSuite(t *testing.T) {
	cases, remotes := suite(t)
	notMet := readNotMet(t)
	asked, agreed := 0, 0
	type pair struct {
		e *engine
		o *oracle
	}
	pairs := map[string]*pair{}
next:
	for _, c := range cases {
		for _, k := range knownDifferences {
			if strings.Contains(c.key, k.part) {
				continue next
			}
		}
		if notMet[c.key] != "" || strings.Contains(string(c.schema), "localhost:1234") {
			continue
		}
		p, ok := pairs[c.draft+string(c.schema)]
		if !ok {
			e, err := suiteEngine(c, remotes)
			o, err5 := newOracle("stile://standard/schema.json", map[string][]byte{"stile://standard/schema.json": c.schema}, true)
			if err == nil && err5 == nil {
				p = &pair{e, o}
			}
			pairs[c.draft+string(c.schema)] = p
		}
		if p == nil {
			continue
		}
		v, err := strictjson.Decode(c.data, strictjson.Limits{})
		if err != nil {
			continue
		}
		for i, x := range append([]any{v}, mutants(rand.New(rand.NewPCG(uint64(len(c.key)), 7)), v, 8)...) {
			theirs, ok := p.o.valid(x)
			if !ok {
				continue
			}
			asked++
			got := p.e.judge(x, false)
			if got.spent || got.broken {
				t.Errorf("%s: spent %v, broken %v", c.key, got.spent, got.broken)
				continue
			}
			if got.valid == theirs {
				agreed++
				continue
			}
			// The suite itself says who is right about its own data.
			if i == 0 {
				continue
			}
			t.Errorf("%s\n\tschema %s\n\trecord %s\n\tours %v, v5 %v", c.key, clipText(string(c.schema), 300), strictjson.Canonical(x), got.valid, theirs)
		}
	}
	t.Logf("%d verdicts asked, %d agreed", asked, agreed)
	if asked < 10_000 {
		t.Errorf("the oracle gave only %d verdicts", asked)
	}
}

// mutants returns n damaged copies of v.
func mutants(r *rand.Rand, v any, n int) []any {
	var out []any
	for range n {
		m := clone(v)
		for range 1 + r.IntN(3) {
			m = damage(r, m)
		}
		out = append(out, m)
	}
	return out
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = clone(e)
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, e := range v {
			a[i] = clone(e)
		}
		return a
	}
	return v
}

var scraps = []any{
	nil, true, false, "", "a", "foo", "bar", "2026-02-29", "é😂", "http://example.org/", json.Number("0"), json.Number("-1"), json.Number("1.0"),
	json.Number("1e2"), json.Number("0.075"), json.Number("99999999"), []any{}, map[string]any{}, []any{json.Number("1"), "x"}, map[string]any{"a": nil},
}

// damage changes one thing somewhere in v.
func damage(r *rand.Rand, v any) any {
	scrap := clone(scraps[r.IntN(len(scraps))])
	switch v := v.(type) {
	case map[string]any:
		keys := sortedKeys(v)
		switch k := r.IntN(8); {
		case k == 0 || len(v) == 0:
			v[[]string{"foo", "bar", "a", "zz", "kind"}[r.IntN(5)]] = scrap
		case k == 1:
			delete(v, keys[r.IntN(len(keys))])
		case k == 2:
			return scrap
		default:
			f := keys[r.IntN(len(keys))]
			v[f] = damage(r, v[f])
		}
		return v
	case []any:
		switch k := r.IntN(8); {
		case k == 0 || len(v) == 0:
			return append(v, scrap)
		case k == 1:
			return append(v, clone(v[r.IntN(len(v))]))
		case k == 2:
			i := r.IntN(len(v))
			return append(v[:i:i], v[i+1:]...)
		default:
			i := r.IntN(len(v))
			v[i] = damage(r, v[i])
			return v
		}
	case string:
		switch r.IntN(3) {
		case 0:
			return v + "x"
		case 1:
			if v != "" {
				return string([]rune(v)[1:])
			}
		}
	}
	return scrap
}

func sortedKeys(m map[string]any) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	// In one order, so that a seed says all.
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

// The oracle is told the one format that is ours, judged here in another way: by what
// all ten digits sum up to.
func init() {
	v5.Formats["nhs-number"] = func(v any) bool {
		s, isText := v.(string)
		if !isText {
			return true
		}
		if !regexp.MustCompile(`^[0-9]{10}$`).MatchString(s) {
			return false
		}
		sum := 0
		for i, d := range s {
			sum += int(d-'0') * (10 - i)
		}
		return sum%11 == 0
	}
}

// TestNHSNumber: the check digit is held, also where it is zero or cannot be.
func TestNHSNumber(t *testing.T) {
	for s, want := range map[string]bool{"9434765919": true, "9434765918": false, "4010232137": true, "1234567881": true, "943476591": false, "94347659190": false, "943476591x": false, "": false} {
		if isNHSNumber(s) != want || v5.Formats["nhs-number"](s) != want {
			t.Errorf("%q: ours %v, by the sum %v, want %v", s, isNHSNumber(s), v5.Formats["nhs-number"](s), want)
		}
	}
	for n := range 10000 { // each check digit of some, with one right at most
		if s := fmt.Sprintf("94347%05d", n); isNHSNumber(s) != v5.Formats["nhs-number"](s) {
			t.Errorf("%s: ours %v", s, isNHSNumber(s))
		}
	}
}

// inGo spells code points in patterns as Go's regular expressions do, which is
// all that the oracle reads.
func inGo(schema []byte) []byte {
	return regexp.MustCompile(`\\\\u([0-9a-fA-F]{4})`).ReplaceAll(schema, []byte(`\\x{$1}`))
}

// The shipped standards, their examples and thousands of damaged copies, with
// both opinions; and no problem ever holds what it is about.
func TestOracleOnShipped(t *testing.T) {
	all := shipped(t)
	for i, dir := range schemas.Names() {
		s := all[i]
		docs := map[string][]byte{"stile://standard/schema.json": inGo(s.Schema())}
		for addr, file := range s.Manifest().Resources {
			b, err := fs.ReadFile(schemas.FS(dir), file)
			if err != nil {
				t.Fatal(err)
			}
			docs[addr] = inGo(b)
		}
		o, err := newOracle("stile://standard/schema.json", docs, true)
		if err != nil {
			t.Fatal(err)
		}
		damaged := 15
		if slices.Contains(schemas.First(), dir) {
			damaged = 150
		}
		valid, invalid := s.Examples()
		r := rand.New(rand.NewPCG(42, uint64(len(dir))))
		asked, wrong := 0, 0
		for _, e := range append(valid, invalid...) {
			for _, x := range append([]any{e.Record}, mutants(r, e.Record, damaged)...) {
				theirs, ok := o.valid(x)
				if !ok {
					continue
				}
				asked++
				ps := s.Validate(x)
				if (ps == nil) != theirs {
					t.Fatalf("%s: ours %v, v5 %v: %s", dir, ps, theirs, strictjson.Canonical(x))
				}
				if ps != nil {
					wrong++
				}
				checkProblems(t, ps)
			}
		}
		t.Logf("%s: %d verdicts, %d of them no", dir, asked, wrong)
	}
}

// checkProblems holds every problem to its contract.
func checkProblems(t *testing.T, ps []Problem) {
	t.Helper()
	if len(ps) > maxProblems {
		t.Errorf("%d problems", len(ps))
	}
	for i, p := range ps {
		if p.Rule == "" || p.Detail == "" || p.Fix == "" {
			t.Errorf("a problem without words: %+v", p)
		}
		if i > 0 && p.Pointer < ps[i-1].Pointer {
			t.Errorf("not sorted: %q before %q", ps[i-1].Pointer, p.Pointer)
		}
		if strings.Contains(p.Detail+p.Fix, "%!") {
			t.Errorf("bad words: %+v", p)
		}
	}
}

func TestOracleOnPublished(t *testing.T) {
	root := filepath.Dir(data(t, "digital-planning"))
	for _, p := range published {
		// v5 does not end on the largest.
		if strings.HasPrefix(p.name, "digital planning") && !strings.HasSuffix(p.name, "enforcement") {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			fsys := publishedDir(t, root, p.schema, p.others, p.formats)
			s, err := Load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			docs := map[string][]byte{}
			for addr := range s.engine.lib.docs {
				docs[addr] = strictjson.Canonical(s.engine.lib.docs[addr])
			}
			o, err := newOracle(s.engine.lib.root, docs, p.formats != Annotation)
			if err != nil {
				t.Skipf("v5 does not take it: %v", err)
			}
			asked := 0
			r := rand.New(rand.NewPCG(1, 1))
			for f, v := range publishedExamples(t, root, p.examples) {
				records := []any{v}
				if p.records != nil {
					records = p.records(v)
				}
				for i, rec := range records {
					if i == 20 {
						break
					}
					n := 30
					if size(rec) > 5000 { // a whole package
						n = 3
					}
					for _, x := range append([]any{rec}, mutants(r, rec, n)...) {
						theirs, ok := o.valid(x)
						if !ok {
							continue
						}
						asked++
						if ps := s.Validate(x); (ps == nil) != theirs {
							t.Fatalf("%s: ours %v, v5 %v", f, ps, theirs)
						}
					}
				}
			}
			t.Logf("%d verdicts agreed", asked)
		})
	}
}
