package mapper_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/gate"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const council = name.Council("northmoor.gov.uk")

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// hut is one major of a small standard. The second goes by its code, asks for one that
// begins with h, and ships the mappings: they remove the owner, or where there is a
// note, put it there.
func hut(t *testing.T, major int, classes string, mappings ...string) *standard.Standard {
	t.Helper()
	key, pattern := "/id", ""
	if major > 1 {
		key, pattern = "/code", `,"pattern":"^h"`
	}
	files := fstest.MapFS{
		"standard.yaml": {Data: fmt.Appendf(nil, "name: standards.example/hut\nversion: %d.0.0\ntitle: Hut\nstatus: live\nkey: [%s]\nclasses: {/id: open, /code: open, %s}\n", major, key, classes)},
		"schema.json":   {Data: fmt.Appendf(nil, `{"type":"object","required":["id","code"],"properties":{"id":{"type":"string"},"code":{"type":"string"%s},"owner":{"type":"string"},"note":{"type":"string"}}}`, pattern)},
	}
	steps := "steps:\n  - remove: /owner\n"
	if strings.Contains(classes, "/note") {
		steps = "steps:\n  - move: /owner\n    to: /note\n"
	}
	for _, m := range mappings {
		files["mappings/"+m+".yaml"] = &fstest.MapFile{Data: []byte(steps)}
	}
	s, err := standard.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A shed is a mapper over a ledger that holds huts of the first major.
type shed struct {
	*mapper.Mapper
	t        *testing.T
	l        *ledger.Ledger
	one, two *standard.Standard
	ids      map[string]name.Record
}

func open(t *testing.T) *shed {
	t.Helper()
	ring, err := keys.Generate(council)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(t.TempDir(), "ledger"), Council: council, Keys: ring, Now: now, MinFree: 1, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g := gate.New(gate.Options{Ledger: l, Keys: ring, Now: now, Workers: 2, RecordBytes: 1 << 20})
	s := &shed{
		Mapper: mapper.New(mapper.Options{Ledger: l, Gate: g.Judge, Now: now, Log: slog.New(slog.DiscardHandler), Workers: 2, RecordBytes: 1 << 20}),
		t:      t, l: l, one: hut(t, 1, "/owner: personal"), two: hut(t, 2, "/owner: personal", "1"), ids: map[string]name.Record{},
	}
	s.adopt(s.one, s.two)
	return s
}

func (s *shed) adopt(stds ...*standard.Standard) {
	s.t.Helper()
	for _, std := range stds {
		if err := s.l.Adopt(s.t.Context(), std); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shed) put(std *standard.Standard, id, code string) name.Record {
	s.t.Helper()
	o, err := s.l.Offer(std, map[string]any{"id": id, "code": code, "owner": "somebody"})
	if err == nil {
		err = s.l.Write(s.t.Context(), o)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := o.Result()
	if err != nil {
		s.t.Fatal(err)
	}
	s.ids[id] = r.Record
	return r.Record
}

func (s *shed) remove(r name.Record) {
	s.t.Helper()
	if err := s.l.Write(s.t.Context(), s.l.OfferDelete(r)); err != nil {
		s.t.Fatal(err)
	}
}

// do is what a step did: made, deleted, refused.
func (s *shed) do(r *api.ServeReply, err error) [3]int {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	if !r.Done {
		s.t.Errorf("there is more to do: %+v", r)
	}
	return [3]int{r.Made, r.Deleted, r.Refused}
}

func (s *shed) step() [3]int {
	s.t.Helper()
	return s.do(s.Step(s.t.Context(), s.two.Name().Line()))
}

func (s *shed) serve() [3]int { s.t.Helper(); return s.do(s.Serve(s.t.Context(), s.two, nil)) }

// seconds are the records of the second major: code and id of each. None shows an owner
// that was not written by hand.
func (s *shed) seconds() (out map[string]string) {
	s.t.Helper()
	out = map[string]string{}
	err := s.l.View(func(v *ledger.View) error {
		return v.Scan(s.two.Name().Name, 0, func(ver *ledger.Version, err error) bool {
			if err != nil {
				s.t.Error(err)
				return true
			}
			if ver.Claims.Standard.Line() != s.two.Name().Line() {
				return true
			}
			code, _ := ver.Body["code"].(string)
			id, _ := ver.Body["id"].(string)
			if _, shown := ver.Body["owner"]; shown != (id == "hand") {
				s.t.Errorf("%s: an owner is shown: %v", code, shown)
			}
			out[code] = id
			return true
		})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *shed) want(when string, want map[string]string) {
	s.t.Helper()
	if got := s.seconds(); !maps.Equal(got, want) {
		s.t.Errorf("%s: the records made are %v, want %v", when, got, want)
	}
}

// held are the records held back: the rule by what each goes by.
func (s *shed) held() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	if err := s.l.View(func(v *ledger.View) error {
		return v.Held(func(h ledger.Held) bool {
			out[h.Reference] = h.Problems[0].Rule
			return true
		})
	}); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// TestFollows: there is one record of the newer major for each live one of the older;
// it changes with it, goes with it, and moves with its key. Done again, all of it
// changes nothing.
func TestFollows(t *testing.T) {
	s := open(t)
	a := s.put(s.one, "a", "h1")
	s.put(s.one, "b", "h2")
	if got := s.step(); got != [3]int{} {
		t.Errorf("before anybody asked: %v", got)
	}
	if got := s.serve(); got != [3]int{2, 0, 0} {
		t.Errorf("the first page: %v", got)
	}
	s.want("served", map[string]string{"h1": "a", "h2": "b"})
	s.put(s.one, "b", "h3") // under another key in the newer major
	s.put(s.one, "c", "h4")
	s.remove(a)
	if got := s.step(); got != [3]int{2, 2, 0} {
		t.Errorf("changed, new and deleted: %v", got)
	}
	want := map[string]string{"h3": "b", "h4": "c"}
	s.want("followed", want)

	size := s.l.Size()
	if err := s.Rewind(t.Context(), s.two.Name().Line()); err != nil {
		t.Fatal(err)
	}
	if got := s.step(); got != [3]int{} || s.l.Size() != size {
		t.Errorf("done again: %v, %d entries more", got, s.l.Size()-size)
	}
	s.want("done again", want)
	if err := s.Rewind(t.Context(), s.one.Name().Line()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a line for which nothing is made: %v", err)
	}
	if r, err := s.Describe(s.two.Name(), true); err != nil || r.Made != 2 || r.Behind || r.Ending {
		t.Errorf("described: %+v, %v", r, err)
	}
	if r, err := s.Describe(s.one.Name(), true); err != nil || r != nil {
		t.Errorf("what is not made is described: %+v, %v", r, err)
	}
}

// TestHeldBack: what the gate refuses, or what somebody wrote by hand, is left as it
// is and held back under the record that it would be made from, until that is mended.
func TestHeldBack(t *testing.T) {
	s := open(t)
	s.put(s.two, "hand", "h9")
	wrong, taken := s.put(s.one, "a", "x1"), s.put(s.one, "b", "h9")
	s.put(s.one, "c", "h3")
	if got := s.serve(); got != [3]int{1, 0, 2} {
		t.Errorf("served: %v", got)
	}
	s.want("served", map[string]string{"h9": "hand", "h3": "c"})
	want := map[string]string{mapper.Reference + string(wrong): "pattern", mapper.Reference + string(taken): "mapping"}
	if got := s.held(); !maps.Equal(got, want) {
		t.Errorf("held back: %v, want %v", got, want)
	}
	if r, err := s.Describe(s.two.Name(), true); err != nil || r.Made != 1 || r.Refused != 2 {
		t.Errorf("described: %+v, %v", r, err)
	}
	s.put(s.one, "a", "h1")
	s.remove(taken)
	if got := s.step(); got != [3]int{1, 0, 0} || len(s.held()) != 0 {
		t.Errorf("mended: %v, %v held back", got, s.held())
	}
	s.want("mended", map[string]string{"h9": "hand", "h3": "c", "h1": "a"})
}

// TestStop: what was made is deleted, and what is held back of it forgotten; what was
// written by hand stays.
func TestStop(t *testing.T) {
	s := open(t)
	line := s.two.Name().Line()
	if _, err := s.Stop(t.Context(), line); kind(err) != api.NotFound {
		t.Errorf("nothing was begun: %v", err)
	}
	s.put(s.two, "hand", "h9")
	s.put(s.one, "a", "h1")
	s.put(s.one, "b", "x2")
	s.serve()
	r, err := s.Stop(t.Context(), line)
	if err != nil || r.Deleted != 1 || r.Done || r.Standard != s.two.Name() || r.From != s.one.Name().Line() {
		t.Fatalf("stopped: %+v, %v", r, err)
	}
	if r, err = s.Stop(t.Context(), line); err != nil || !r.Done || !r.Ended || r.Deleted != 0 {
		t.Fatalf("stopped further: %+v, %v", r, err)
	}
	s.want("stopped", map[string]string{"h9": "hand"})
	if len(s.held()) != 0 || len(s.l.Mapped()) != 0 {
		t.Errorf("left: %v, %v", s.held(), s.l.Mapped())
	}
	if _, err := s.Stop(t.Context(), line); kind(err) != api.NotFound {
		t.Errorf("it has ended: %v", err)
	}
	if got := s.serve(); got != [3]int{1, 0, 1} {
		t.Errorf("served once more: %v", got)
	}
}

// kind is what kind of failure an error is.
func kind(err error) api.Kind {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Kind
	}
	return ""
}

// TestMayNotServe: nothing begins without a mapping, without the older major, or by a
// mapping that would show what the older major keeps back.
func TestMayNotServe(t *testing.T) {
	zero, one, three := 0, 1, 3
	for _, c := range []struct {
		what string
		to   func(*testing.T) *standard.Standard
		from *int
		want api.Kind
		says string
	}{
		{"no mapping", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal") }, nil, api.NotFound, "ships no mapping"},
		{"none from there", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal", "1") }, &three, api.NotFound, "from major 3"},
		{"which of two", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal", "1", "3") }, nil, api.Usage, "majors 1, 3"},
		{"the older is not here", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal", "3") }, nil, api.NotFound, "is adopted here"},
		{"it shows who owns it", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal, /note: open", "1") }, nil, api.Refused, "would show more"},
		{"it shows it to nobody", func(t *testing.T) *standard.Standard {
			return hut(t, 4, "/owner: personal, /note: personal", "1")
		}, nil, "", ""},
		{"one of two", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal", "1", "3") }, &one, "", ""},
		{"a major that never was", func(t *testing.T) *standard.Standard { return hut(t, 4, "/owner: personal", "1") }, &zero, api.NotFound, "from major 0"},
	} {
		s := open(t)
		to := c.to(t)
		s.adopt(to)
		_, err := s.Serve(t.Context(), to, c.from)
		if kind(err) != c.want || err != nil && !strings.Contains(err.Error(), c.says) || (err != nil) == (len(s.l.Mapped()) > 0) {
			t.Errorf("%s: %v, %d mapped", c.what, err, len(s.l.Mapped()))
		}
	}
}

// TestRun: a running mapper makes what is written, with nobody asking.
func TestRun(t *testing.T) {
	s := open(t)
	s.serve()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	s.put(s.one, "a", "h1")
	s.put(s.one, "b", "h2")
	late := time.After(time.Minute)
	for {
		changed := s.l.Changed()
		if got := slices.Sorted(maps.Keys(s.seconds())); slices.Equal(got, []string{"h1", "h2"}) {
			break
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("made: %v", s.seconds())
		}
	}
	stop()
	<-ended
}
