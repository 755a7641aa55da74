package catalogue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/mapper"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const northmoor name.Council = "northmoor.gov.uk"

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// noDirectory has published nothing, and noAgreements were made.
type (
	noDirectory  struct{}
	noAgreements struct{}
)

func (noDirectory) View() *tufdir.View { return &tufdir.View{} }
func (noDirectory) Standard(want name.Standard) (*standard.Standard, error) {
	return nil, api.Fail(api.NotFound, "", "%s is not in the directory", want)
}
func (noAgreements) Standing(time.Time) []agreement.Status { return nil }

// open returns a catalogue over an empty ledger, and how often it says that it
// changed.
func open(t *testing.T) (*Catalogue, *int) {
	t.Helper()
	ring, err := keys.Generate(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	l, err := ledger.Open(ledger.Options{
		Dir: filepath.Join(t.TempDir(), "ledger"), Council: northmoor, Keys: ring, Now: now, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	changes := new(int)
	return New(Options{
		Self: northmoor, Ledger: l, Directory: noDirectory{}, Agreements: noAgreements{}, Log: slog.New(slog.DiscardHandler), Now: now, Workers: 2,
		Mapper:  mapper.New(mapper.Options{Ledger: l, Now: now, Log: slog.New(slog.DiscardHandler), Workers: 1}),
		Changed: func() { *changes++ },
	}), changes
}

// hut is a version of a small standard; what else it says of a hut is its own.
func hut(t *testing.T, named, version, status, properties string) []byte {
	t.Helper()
	s, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: " + named + "\nversion: " + version + "\ntitle: Hut\nstatus: " + status + "\nkey: [/id]\nclasses: {/id: open}\n")},
		"schema.json":   {Data: fmt.Appendf(nil, `{"type":"object","additionalProperties":false,"required":["id"],"properties":{"id":{"type":"string"}%s}}`, properties)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Archive()
}

func adopt(t *testing.T, c *Catalogue, in api.AdoptRequest) *api.AdoptReply {
	t.Helper()
	r, err := c.Adopt(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kind is what kind of failure an error is.
func kind(err error) api.Kind {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Kind
	}
	return ""
}

// A name means the newest version that is live, and where none is the newest; a
// version or a line means itself; a last part that two standards have means none.
func TestNamed(t *testing.T) {
	c, _ := open(t)
	for _, v := range []struct{ version, status string }{{"1.0.0", "live"}, {"1.1.0", "draft"}, {"2.0.0", "draft"}, {"2.1.0", "draft"}} {
		adopt(t, c, api.AdoptRequest{Archive: hut(t, "standards.example/hut", v.version, v.status, "")})
	}
	adopt(t, c, api.AdoptRequest{Archive: hut(t, "standards.example/shed", "1.0.0", "live", "")})
	for typed, want := range map[string]string{
		"hut": "1.0.0", "standards.example/hut": "1.0.0", "hut@1": "1.0.0", "standards.example/hut@2": "2.1.0", "hut@1.1.0": "1.1.0",
	} {
		if s, err := c.Named(typed); err != nil || s.Name().Version.String() != want {
			t.Errorf("%s means %v (%v), want version %s", typed, s, err, want)
		}
	}
	for typed, want := range map[string]api.Kind{"": api.NotFound, "barn": api.NotFound, "hut@3": api.NotFound, "hut@1.9.0": api.NotFound, "hut@x": api.Usage} {
		if _, err := c.Named(typed); kind(err) != want {
			t.Errorf("%q: %v, want %s", typed, err, want)
		}
	}
	adopt(t, c, api.AdoptRequest{Archive: hut(t, "other.example/hut", "1.0.0", "live", "")})
	if _, err := c.Named("hut"); kind(err) != api.Usage || !strings.Contains(err.Error(), "other.example/hut") {
		t.Errorf("two standards are called hut: %v", err)
	}
	if s, err := c.Named("shed"); err != nil || s.Name().Name != "standards.example/shed" {
		t.Errorf("shed: %v, %v", s, err)
	}
}

// A version that is adopted stays as it is; adopting it again changes nothing.
func TestAdoptKeepsVersions(t *testing.T) {
	c, changes := open(t)
	one := hut(t, "standards.example/hut", "1.0.0", "live", "")
	if r := adopt(t, c, api.AdoptRequest{Archive: one}); r.Already || *changes != 1 {
		t.Errorf("first: %+v, %d changes", r, *changes)
	}
	size := c.o.Ledger.Size()
	if r := adopt(t, c, api.AdoptRequest{Archive: one}); !r.Already || *changes != 1 || c.o.Ledger.Size() != size {
		t.Errorf("again: %+v, %d changes, log of %d and then %d", r, *changes, size, c.o.Ledger.Size())
	}
	other := hut(t, "standards.example/hut", "1.0.0", "live", `,"doors":{"type":"integer"}`)
	for what, f := range map[string]func(context.Context, api.AdoptRequest) error{
		"adopt":   func(ctx context.Context, in api.AdoptRequest) error { _, err := c.Adopt(ctx, in); return err },
		"preview": func(ctx context.Context, in api.AdoptRequest) error { _, err := c.Preview(ctx, in); return err },
	} {
		if err := f(t.Context(), api.AdoptRequest{Archive: other}); kind(err) != api.Conflict || !strings.Contains(err.Error(), "/doors") {
			t.Errorf("%s other bytes: %v", what, err)
		}
	}
	if c.o.Ledger.Size() != size {
		t.Errorf("a refusal was logged")
	}
}

// What its publisher has retired is adopted only by who says so, what is no
// archive not at all, and a waiver must be one that is needed.
func TestAdoptRefuses(t *testing.T) {
	c, _ := open(t)
	retired := hut(t, "standards.example/hut", "1.0.0", "retired", "")
	if _, err := c.Adopt(t.Context(), api.AdoptRequest{Archive: retired}); kind(err) != api.Refused {
		t.Errorf("retired: %v", err)
	}
	adopt(t, c, api.AdoptRequest{Archive: retired, EvenRetired: true})
	sound := hut(t, "standards.example/hut", "1.1.0", "live", "")
	for _, waive := range []string{standard.Waivable()[0], "type", strings.Repeat("x", 500)} {
		_, err := c.Adopt(t.Context(), api.AdoptRequest{Archive: sound, Waive: []string{waive}})
		if kind(err) != api.Usage || len(err.Error()) > 300 {
			t.Errorf("waive %.20q: %v", waive, err)
		}
	}
	if _, err := c.Adopt(t.Context(), api.AdoptRequest{Archive: []byte("PK")}); kind(err) != api.Invalid {
		t.Errorf("no archive: %v", err)
	}
	if _, err := c.Adopt(t.Context(), api.AdoptRequest{Name: "barn"}); kind(err) != api.NotFound {
		t.Errorf("unknown: %v", err)
	}
}

// A preview says what changed since the version before it in its line, and what
// names will mean it; it writes nothing.
func TestPreview(t *testing.T) {
	c, _ := open(t)
	adopt(t, c, api.AdoptRequest{Archive: hut(t, "standards.example/hut", "1.0.0", "live", "")})
	adopt(t, c, api.AdoptRequest{Archive: hut(t, "standards.example/hut", "2.0.0", "draft", "")})
	size := c.o.Ledger.Size()
	r, err := c.Preview(t.Context(), api.AdoptRequest{Archive: hut(t, "standards.example/hut", "1.1.0", "live", `,"doors":{"type":"integer"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Older == nil || r.Older.Version.String() != "1.0.0" || r.Difference == nil || r.Difference.Needs != standard.Minor || r.Version != nil || r.Adopted || r.Origin != "file" {
		t.Errorf("got %+v", r)
	}
	if want := []string{"standards.example/hut@1", "standards.example/hut"}; !slices.Equal(r.Means, want) {
		t.Errorf("will be meant by %q, want %q", r.Means, want)
	}
	if c.o.Ledger.Size() != size {
		t.Errorf("a preview was logged")
	}
}

// Elements of a list count together, wherever the list stands.
func TestFoldPointer(t *testing.T) {
	for in, want := range map[string]string{"": "", "/a": "/a", "/rooms/0/name": "/rooms/*/name", "/3": "/*", "/a/12/0": "/a/*/*", "/a1/2b": "/a1/2b", "/a//0": "/a//*"} {
		if got := foldPointer(in); got != want {
			t.Errorf("%q folds to %q, want %q", in, got, want)
		}
	}
}
