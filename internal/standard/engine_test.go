package standard

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// The engine that compiles schemas judges too, each branch and each reference
// as they come. Ours leaves out what cannot change a verdict, so the two must
// agree on everything: the suite, the shipped standards, the published ones, and
// damaged copies of all their records.
func TestJudgesAsTheEngineDoes(t *testing.T) {
	asked := 0
	agree := func(what string, e *engine, root *jsonschema.Schema, v any, n int, seed uint64) {
		t.Helper()
		for _, x := range append([]any{v}, mutants(rand.New(rand.NewPCG(seed, 11)), v, n)...) {
			got := e.judge(x, false)
			theirs := root.Validate(x)
			asked++
			if got.spent || got.broken || got.valid != (theirs == nil) {
				t.Fatalf("%s: ours %+v, the engine %v\n\trecord %s", what, got, theirs, clipText(string(strictjson.Canonical(x)), 2000))
			}
		}
	}
	cases, remotes := suite(t)
	for i, c := range cases {
		// A draft up to 7 has nothing beside $ref, but the engine const; its
		// format regex is not ours.
		if strings.Contains(c.key, "/refRemote") && i%4 != 0 || strings.Contains(c.key, "regex") {
			continue
		}
		e, err := suiteEngine(c, remotes)
		if err != nil {
			continue
		}
		v, err := strictjson.Decode(c.data, strictjson.Limits{})
		if err != nil {
			continue
		}
		g, err := e.graph()
		if err != nil {
			t.Fatal(err)
		}
		agree(c.key+" "+string(c.schema), e, g.root, v, 4, uint64(i))
	}
	for _, s := range shipped(t) {
		g, err := s.engine.graph()
		if err != nil {
			t.Fatal(err)
		}
		valid, invalid := s.Examples()
		for i, e := range append(valid, invalid...) {
			agree(s.Name().String(), s.engine, g.root, e.Record, 100, uint64(i))
		}
	}
	root := filepath.Dir(data(t, "digital-planning"))
	for _, p := range published {
		if strings.HasPrefix(p.name, "digital planning") && !strings.HasSuffix(p.name, "enforcement") {
			continue // seconds for each record
		}
		s, err := Load(publishedDir(t, root, p.schema, p.others, p.formats))
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.engine.graph()
		if err != nil {
			t.Fatal(err)
		}
		if p.formats == Annotation {
			for _, x := range g.all {
				x.Format = nil
			}
		}
		for _, v := range publishedExamples(t, root, p.examples) {
			records := []any{v}
			if p.records != nil {
				records = p.records(v)
			}
			for i, r := range records[:min(len(records), 10)] {
				if size(r) < 5000 {
					agree(p.name, s.engine, g.root, r, 15, uint64(i))
				}
			}
		}
	}
	t.Logf("%d verdicts, all alike", asked)
	if asked < 15_000 {
		t.Errorf("only %d verdicts", asked)
	}
}
