package gate

import (
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
)

// open returns a gate over an empty ledger that has adopted a standard of huts.
func open(t testing.TB) (*Gate, *standard.Standard) {
	t.Helper()
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/hut\nversion: 1.0.0\ntitle: Hut\nstatus: live\nkey: [/id]\nclasses: {/id: open}\n")},
		"schema.json":   {Data: []byte(`{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"},"doors":{"type":"integer"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(t.TempDir(), "ledger"), Council: "northmoor.gov.uk", Keys: ring, Now: now, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Ledger: l, Keys: ring, Now: now, Workers: 2, RecordBytes: 300,
		Standard: func(typed string) (*standard.Standard, error) {
			if typed != "hut" {
				return nil, api.Fail(api.NotFound, "", "no such standard")
			}
			return std, nil
		},
	}), std
}

func put(t testing.TB, g *Gate, in api.PutRequest, records ...string) []api.PutResult {
	t.Helper()
	in.Standard = "hut"
	for i, r := range records {
		in.Records = append(in.Records, api.Offered{Row: i + 1, Reference: "row " + string(rune('a'+i)), Record: json.RawMessage(r)})
	}
	r, err := g.Put(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return r.Results
}

func heldBack(t testing.TB, g *Gate) (references []string) {
	t.Helper()
	err := g.o.Ledger.View(func(v *ledger.View) error {
		return v.Held(func(h ledger.Held) bool { references = append(references, h.Reference); return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	return references
}

// Every offer comes out as one that was taken or as one that was refused with a
// place and a rule; a reason holds no value; a dry run writes nothing.
func TestPut(t *testing.T) {
	g, std := open(t)
	offers := []string{
		`{"id":"1"}`, `{"id":"1","doors":2}`, `{"id":"1","doors":2}`, `{"id":"2","doors":"CANARY"}`, `{"doors":1}`, `[]`, `null`, `{"id":"1","id":"CANARY"}`,
		`{"id":"3","doors":1} x`, `{"id":"` + strings.Repeat("CANARY", 60) + `"}`,
	}
	rules := []string{"", "", "", "type", "required", "type", "type", "", "", ""} // of the reader: whichever, but one
	size := g.o.Ledger.Size()
	for _, r := range put(t, g, api.PutRequest{DryRun: true}, offers...) {
		if r.Record != "" || (r.Outcome == api.Valid) == (len(r.Problems) > 0) {
			t.Errorf("dry run: %+v", r)
		}
	}
	if g.o.Ledger.Size() != size {
		t.Error("a dry run wrote something")
	}
	results := put(t, g, api.PutRequest{}, offers...)
	for i, want := range []api.Outcome{api.Created, api.Changed, api.Unchanged} {
		if r := results[i]; r.Outcome != want || len(r.Problems) > 0 || r.Row != i+1 {
			t.Errorf("row %d: %+v, want %s", i+1, r, want)
		}
	}
	for i, r := range results[3:] {
		if r.Record != "" || len(r.Problems) != 1 || r.Problems[0].Rule == "" || rules[i+3] != "" && r.Problems[0].Rule != rules[i+3] {
			t.Errorf("row %d: %+v, want one problem of the rule %q", i+4, r, rules[i+3])
		}
		if b, err := json.Marshal(r.Problems); err != nil || strings.Contains(string(b), "CANARY") {
			t.Errorf("row %d: a reason holds a value: %s %v", i+4, b, err)
		}
	}
	err := g.o.Ledger.View(func(v *ledger.View) error {
		c, err := v.Gate(std.Name())
		if c.Seen-c.Valid < 4 || c.Valid != 1 {
			t.Errorf("counted %d first offers, %d valid", c.Seen, c.Valid)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := g.Put(t.Context(), api.PutRequest{Standard: "barn"}); !api.IsNotFound(err) {
		t.Errorf("an unknown standard: %v", err)
	}
}

// What is refused is held back once, and no longer when the sender has mended it, or
// when it is live as it was offered.
func TestHold(t *testing.T) {
	g, _ := open(t)
	put(t, g, api.PutRequest{Hold: true}, `{"id":"1"}`, `{"id":"2","doors":"two"}`, `{"doors":3}`)
	if got := heldBack(t, g); len(got) != 2 || got[0] != "row b" || got[1] != "row c" {
		t.Fatalf("held back: %q", got)
	}
	again := put(t, g, api.PutRequest{Hold: true}, `{"id":"1"}`, `{"id":"2","doors":2}`, `{"doors":3}`)
	if got := heldBack(t, g); len(got) != 1 || got[0] != "row c" {
		t.Errorf("after one was mended: %q (%+v)", got, again)
	}
	if put(t, g, api.PutRequest{}, `{"doors":1}`); len(heldBack(t, g)) != 1 {
		t.Errorf("held back without being asked to: %q", heldBack(t, g))
	}
}

// A complete run of a source tells what earlier runs offered and it did not; that is
// deleted only when it is as many as were counted and every row was identified.
func TestAbsent(t *testing.T) {
	g, _ := open(t)
	begin := func() *api.Run {
		t.Helper()
		run, err := g.Begin(t.Context(), api.SourceRequest{Source: "register", Standard: "hut"})
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	put(t, g, api.PutRequest{}, `{"id":"by hand"}`)
	first := begin()
	put(t, g, api.PutRequest{Run: first}, `{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`)
	run := begin()
	put(t, g, api.PutRequest{Run: run}, `{"id":"1"}`, `{"doors":3}`)
	failed := func(err error) api.Kind {
		if e, ok := errors.AsType[*api.Error](err); ok {
			return e.Kind
		}
		return ""
	}
	if _, err := g.Absent(t.Context(), *first); failed(err) != api.Conflict {
		t.Errorf("a run that is over: %v", err)
	}
	a, err := g.Absent(t.Context(), *run)
	if err != nil || a.Absent != 2 || a.Unidentified != 1 || len(a.Examples) != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := g.DeleteAbsent(t.Context(), api.DeleteAbsentRequest{Run: *run, Absent: 2}); failed(err) != api.Refused {
		t.Errorf("with a row that is not identified: %v", err)
	}
	run = begin()
	put(t, g, api.PutRequest{Run: run}, `{"id":"1"}`)
	if _, err := g.DeleteAbsent(t.Context(), api.DeleteAbsentRequest{Run: *run, Absent: 1}); failed(err) != api.Conflict {
		t.Errorf("more than were counted: %v", err)
	}
	if r, err := g.DeleteAbsent(t.Context(), api.DeleteAbsentRequest{Run: *run, Absent: 2}); err != nil || r.Deleted != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if a, err := g.Absent(t.Context(), *run); err != nil || a.Absent != 0 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
	if all, err := g.Sources(t.Context(), api.Empty{}); err != nil || len(all) != 1 || all[0].Source != "register" || all[0].Runs != 3 {
		t.Errorf("sources: %+v, %v", all, err)
	}
}

// Whatever bytes are offered, the gate gives an offer or reasons, never both nor
// neither, and no reason without a rule.
func FuzzJudge(f *testing.F) {
	g, std := open(f)
	for _, s := range []string{`{"id":"1"}`, `{"id":1}`, `[`, "", `{"id":"\ud800"}`, `{"id":"1","doors":1e10000000}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, ps := g.Judge(std, raw)
		if (o == nil) == (len(ps) == 0) {
			t.Fatalf("%q: offer %v, problems %v", raw, o, ps)
		}
		for _, p := range ps {
			if p.Rule == "" {
				t.Errorf("%q: %+v", raw, p)
			}
		}
	})
}
