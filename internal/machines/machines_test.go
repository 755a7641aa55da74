package machines

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	one       = name.Council("one.northmoor.gov.uk")
)

// folder makes a data folder of a node: a configuration, keys, and an empty
// directory.
func folder(t testing.TB, c name.Council) *config.Config {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, config.FileName), fmt.Sprintf("version: %d\ncouncil: %s\n", config.Default(c, dir).Version, c))
	if _, err := keys.Create(filepath.Join(dir, "keys"), c, nil); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.Directory, 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func machine(cfg *config.Config) *Machine {
	return &Machine{Config: cfg, Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

func open(t testing.TB, cfg *config.Config) *ledger.Ledger {
	t.Helper()
	ring, err := ringOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Options{Dir: filepath.Join(cfg.Data, "ledger"), Council: cfg.Council, Keys: ring, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A machine claims the data folder of its council and of nobody else, and only when
// no other machine has it and nothing runs in it.
func TestClaim(t *testing.T) {
	own := folder(t, one)
	m := machine(own)
	dir := filepath.Join(own.Data, "footprints", string(northmoor))
	full := api.Fail(api.Conflict, "", "it has a ledger")
	for _, c := range []struct {
		why     string
		council name.Council
		prepare func(cfg *config.Config) (done func())
		full    *api.Error
		kind    api.Kind
	}{
		{"no node there", northmoor, func(cfg *config.Config) func() { os.Remove(filepath.Join(cfg.Data, config.FileName)); return nil }, nil, api.NotFound},
		{"a configuration that cannot be read", northmoor, func(cfg *config.Config) func() {
			write(t, filepath.Join(cfg.Data, config.FileName), "colour: red\n")
			return nil
		}, nil, api.Invalid},
		{"another council's", "saltby.gov.uk", nil, nil, api.Conflict},
		{"run by another machine", northmoor, func(cfg *config.Config) func() {
			write(t, filepath.Join(cfg.Data, machineName), `{"machine":"two.northmoor.gov.uk"}`)
			return nil
		}, nil, api.Conflict},
		{"its node runs", northmoor, func(cfg *config.Config) func() { return closing(t, open(t, cfg)) }, nil, api.Conflict},
		{"a ledger that may not be there", northmoor, func(cfg *config.Config) func() { closing(t, open(t, cfg))(); return nil }, full, api.Conflict},
	} {
		cfg := folder(t, northmoor)
		if c.prepare != nil {
			if done := c.prepare(cfg); done != nil {
				defer done()
			}
		}
		_, err := m.Claim(c.council, cfg.Data, dir, c.full)
		if e, _ := errors.AsType[*api.Error](err); e == nil || e.Kind != c.kind {
			t.Errorf("%s: %v, want it to fail as %s", c.why, err, c.kind)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the machine says that it runs it", c.why)
		}
	}
	cfg := folder(t, northmoor)
	closing(t, open(t, cfg))()
	if _, err := machine(folder(t, "one.saltby.gov.uk")).Claim(northmoor, cfg.Data, dir, nil); err == nil {
		t.Error("another council's machine claimed it")
	}
	for range 2 { // again, as after a crash
		store, err := m.Claim(northmoor, cfg.Data, dir, nil)
		if err != nil || store != filepath.Join(cfg.Data, "ledger") {
			t.Fatalf("%q: %v", store, err)
		}
	}
	o, err := ReadOwner(cfg.Data)
	if err != nil || o == nil || *o != (Owner{one, own.Data}) {
		t.Errorf("the folder's owner is %+v: %v", o, err)
	}
	if e := o.Elsewhere(northmoor); e.Kind != api.Behind || !strings.Contains(e.Message, string(one)) {
		t.Errorf("elsewhere: %+v", e)
	}
	runs, err := m.Of(dir)
	if err != nil || runs == nil || runs.Data() != cfg.Data {
		t.Errorf("the footprint's folder says %+v: %v", runs, err)
	}
	if none, err := m.Of(t.TempDir()); none != nil || err != nil {
		t.Errorf("a footprint of councils runs %+v: %v", none, err)
	}
	if st := m.Missing(dir, nil).Status(one); !strings.Contains(st.Problem, RunsName) {
		t.Errorf("missing: %+v", st)
	}
}

func closing(t testing.TB, l *ledger.Ledger) func() {
	return func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A store is the machines' store in memory. It counts its transactions.
type store struct {
	files  map[string][]byte
	writes int
	most   int // bytes of the largest transaction
	err    error
}

func (s *store) Files(f func(string, []byte) error) error {
	for _, p := range slices.Sorted(maps.Keys(s.files)) {
		if err := f(p, s.files[p]); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) WriteFiles(files map[string][]byte) error {
	if s.err != nil {
		return s.err
	}
	s.writes++
	size := 0
	for p, b := range files {
		if size += len(b); b == nil {
			delete(s.files, p)
		} else {
			s.files[p] = b
		}
	}
	s.most = max(s.most, size)
	return nil
}

// What a node's directory says goes to the other machines when it changes, each file
// once, and who takes over goes on with exactly that.
func TestFiles(t *testing.T) {
	cfg, s := folder(t, northmoor), &store{files: map[string][]byte{}}
	in := func(rel string) string { return filepath.Join(cfg.Directory, rel) }
	write(t, in("mirror/root.json"), "one")
	write(t, filepath.Join(cfg.Data, "authority", "members.yaml"), "two")
	f, err := openFiles(cfg, s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	want := func(files ...string) {
		t.Helper()
		var got []string
		for _, p := range slices.Sorted(maps.Keys(s.files)) {
			got = append(got, p+" "+string(s.files[p]))
		}
		if !slices.Equal(got, files) {
			t.Errorf("the store has %q, want %q", got, files)
		}
	}
	want("authority/members.yaml two", "directory/mirror/root.json one")
	if err := f.Copy(); err != nil || s.writes != 1 {
		t.Errorf("nothing changed, and %d writes: %v", s.writes, err)
	}
	// What could not be written is written the next time.
	write(t, in("mirrors.txt"), "three")
	s.err = errors.New("led by another")
	if err := f.Copy(); !errors.Is(err, s.err) {
		t.Error(err)
	}
	s.err = nil
	if err := errors.Join(os.Remove(in("mirror/root.json")), f.Copy()); err != nil {
		t.Fatal(err)
	}
	want("authority/members.yaml two", "directory/mirrors.txt three")

	other := folder(t, northmoor)
	write(t, filepath.Join(other.Directory, "old.json"), "gone")
	if err := restoreFiles(other, s); err != nil {
		t.Fatal(err)
	}
	now, err := look(other)
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(now)), []string{"authority/members.yaml", "directory/mirrors.txt"}) {
		t.Errorf("restored %v: %v", now, err)
	}
	writes := s.writes
	if _, err := openFiles(other, s, slog.New(slog.DiscardHandler)); err != nil || s.writes != writes {
		t.Errorf("what was restored was written back: %d writes, %v", s.writes-writes, err)
	}
	if err := (*Files)(nil).Copy(); err != nil {
		t.Errorf("a node with its own ledger: %v", err)
	}
}

// Files go in transactions that stay small, and one that is too large is said.
func TestManyFiles(t *testing.T) {
	cfg, s := folder(t, northmoor), &store{files: map[string][]byte{}}
	for i := range 5 {
		write(t, filepath.Join(cfg.Directory, fmt.Sprintf("%d.zip", i)), strings.Repeat("x", 1<<20))
	}
	f, err := openFiles(cfg, s, slog.New(slog.DiscardHandler))
	if err != nil || len(s.files) != 5 || s.most > maxFilesWrite {
		t.Errorf("%d files, at most %d bytes in one write: %v", len(s.files), s.most, err)
	}
	write(t, filepath.Join(cfg.Directory, "large.zip"), strings.Repeat("x", maxFile+1))
	if err := f.Copy(); err == nil || !strings.Contains(err.Error(), "large.zip") {
		t.Errorf("too large: %v", err)
	}
}

// A path that leaves the folders is refused, and nothing is written there.
func TestForeignPath(t *testing.T) {
	for _, p := range []string{"directory/../../keys/record.key", "keys/record.key", "directory", "directory//etc/passwd", "/etc/passwd"} {
		cfg := folder(t, northmoor)
		if err := restoreFiles(cfg, &store{files: map[string][]byte{p: []byte("x")}}); err == nil {
			t.Errorf("%s was written", p)
		}
	}
}

// A lead is a tenure in a test's hands.
type lead chan struct{}

func (l lead) Over() <-chan struct{} { return l }
func (l lead) Store() *ledger.Shared { return nil }

// A fake is a council's node that runs until it is stopped, or fails.
type fake struct {
	run    func(context.Context) error
	closed int
}

func (f *fake) Run(ctx context.Context) error { return f.run(ctx) }
func (f *fake) Close() error                  { f.closed++; return nil }
func (f *fake) Since() time.Time              { return time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) }

// The council's node runs while the lead lasts; that it is lost is no fault of
// anybody, and everything else is said.
func TestServe(t *testing.T) {
	broken := errors.New("no disk")
	untilEnd := func(ctx context.Context) error { <-ctx.Done(); return nil }
	for _, c := range []struct {
		why  string
		open error
		run  func(l lead, fatal func(error)) func(context.Context) error
		want error
	}{
		{"the lead is lost", nil, func(l lead, _ func(error)) func(context.Context) error {
			return func(ctx context.Context) error { close(l); return untilEnd(ctx) }
		}, nil},
		{"a write was in another term", nil, func(lead, func(error)) func(context.Context) error {
			return func(context.Context) error { return fmt.Errorf("write: %w", footprint.ErrDeposed) }
		}, nil},
		{"an error after the lead was lost", nil, func(l lead, _ func(error)) func(context.Context) error {
			return func(context.Context) error { close(l); return broken }
		}, nil},
		{"the node fails", nil, func(lead, func(error)) func(context.Context) error {
			return func(context.Context) error { return broken }
		}, broken},
		{"storage fails", nil, func(_ lead, fatal func(error)) func(context.Context) error {
			return func(ctx context.Context) error { fatal(broken); return untilEnd(ctx) }
		}, broken},
		{"the node does not open", broken, nil, broken},
	} {
		cfg := folder(t, northmoor)
		m, l, n := machine(folder(t, one)), make(lead), &fake{}
		council := &Council{m: m, data: cfg.Data}
		m.Open = func(got *config.Config, _ *ledger.Shared, fatal func(error)) (Node, error) {
			if got.Council != northmoor {
				t.Errorf("%s: opened %s", c.why, got.Council)
			}
			if c.open != nil {
				return nil, c.open
			}
			run := c.run(l, fatal)
			n.run = func(ctx context.Context) error {
				if st := council.Status(one); !st.Here || !st.Since.Equal(n.Since()) || st.By != one || st.Problem != "" {
					t.Errorf("%s: while it runs: %+v", c.why, st)
				}
				return run(ctx)
			}
			return n, nil
		}
		// Files are restored from the store before; here there is none to ask.
		if err := council.run(t.Context(), cfg, l); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.why, err, c.want)
		}
		if council.Running() || c.open == nil && n.closed != 1 {
			t.Errorf("%s: running %v, closed %d times", c.why, council.Running(), n.closed)
		}
	}
}
