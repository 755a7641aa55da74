package follow

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
	hexwell   = name.Council("hexwell.gov.uk")
)

// A log is a council's ledger as far as a Follower knows it.
type log struct {
	said []string // kind and body, in order
	err  error    // of the next
}

func (l *log) AppendNotice(_ context.Context, kind string, body map[string]any, _ ...name.Council) (uint64, []byte, error) {
	if l.err != nil {
		return 0, nil, l.err
	}
	l.said = append(l.said, fmt.Sprint(kind, " ", body["root"], " ", body["left"]))
	return l.Size() - 1, nil, nil
}

func (l *log) Size() uint64 { return uint64(len(l.said)) }

// A house is a council's data folder with a directory of one, and its Follower.
type house struct {
	*Follower
	t       testing.TB
	dir     string
	ring    *keys.Ring
	quota   *quota.Keeper // of what others ask it for
	log     log
	changed int
	stored  int
}

func newHouse(t testing.TB, c name.Council) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	cfg := config.Default(c, h.dir)
	var err error
	if h.quota, err = quota.Open(quota.Options{Partner: func(name.Council) bool { return false }, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if h.ring, err = keys.Create(filepath.Join(h.dir, "keys"), c, nil); err != nil {
		t.Fatal(err)
	}
	if err := datadir.FoundSole(t.Context(), cfg, nil, time.Now, h.member(c)); err != nil {
		t.Fatal(err)
	}
	h.Follower, err = Open(t.Context(), Options{
		Config: cfg, Keys: h.ring, Ledger: &h.log, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Shuffle: func(n int, swap func(i, j int)) {
			for i := range n / 2 {
				swap(i, n-1-i)
			}
		},
		Adopted: func(name.Standard) bool { return false },
		Changed: func() { h.changed++ }, Stored: func() error { h.stored++; return nil }, Quota: h.quota,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) member(c name.Council) directory.Member {
	m := directory.FromRing(c, h.ring)
	m.Title, m.GSS, m.Role = string(c), "E07000998", directory.RoleCouncil
	m.ValidFrom = time.Now().Add(-24 * time.Hour).UTC().Truncate(24 * time.Hour)
	m.Addresses = []string{"/ip4/127.0.0.1/tcp/7845"}
	return m
}

// admit has the host admit another.
func (h *house) admit(other *house) {
	h.t.Helper()
	if _, err := h.Add(h.t.Context(), api.MemberRequest{Document: other.member(other.cfg.Council).YAML()}); err != nil {
		h.t.Fatal(err)
	}
}

// web serves the directory as ServeHTTP does.
func (h *house) web() string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Client().Mirror().ServeHTTP(w, r) }))
	h.t.Cleanup(s.Close)
	return s.URL
}

func (h *house) invite(address string) api.JoinRequest {
	h.t.Helper()
	i, err := h.Client().Invite(address, time.Now().Add(time.Hour)) // its words take a while
	if err != nil {
		h.t.Fatal(err)
	}
	return api.JoinRequest{Code: i.String()}
}

func (h *house) show() *api.DirectoryReply {
	h.t.Helper()
	r, err := h.Show(h.t.Context(), api.Empty{})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func kindOf(err error) api.Kind {
	e, _ := errors.AsType[*api.Error](err)
	if e == nil {
		return ""
	}
	return e.Kind
}

// Who joins follows the directory of the invite from then on, has said so in its
// ledger, keeps the one it had beside it, and hosts nothing any more.
func TestJoin(t *testing.T) {
	host, h := newHouse(t, northmoor), newHouse(t, saltby)
	host.admit(h)
	code, was := host.invite(host.web()), h.show()
	got, err := h.Join(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	if want := host.show(); got.Root != want.Root || got.Members != 2 || got.Host || got.Sole || !want.Host || !want.Sole {
		t.Errorf("joined %+v\nof %+v", got, want)
	}
	if want := []string{fmt.Sprint(event.KindDirectoryJoined, " ", got.Root, " ", was.Root)}; !slices.Equal(h.log.said, want) {
		t.Errorf("said %q, want %q", h.log.said, want)
	}
	for _, p := range []string{"directory", "authority", filepath.Join("keys", datadir.SoleKeyName)} {
		if _, err := os.Stat(filepath.Join(h.dir, p+".before-"+was.Root[:8])); err != nil {
			t.Errorf("what was followed before is gone: %v", err)
		}
	}
	if h.stored != 1 {
		t.Errorf("the files were stored %d times, want 1", h.stored)
	}
	if len(got.Mirrors) != 1 {
		t.Errorf("mirrors %q, want the address of the invite", got.Mirrors)
	}
	if _, err := h.Join(t.Context(), code); kindOf(err) != api.Conflict {
		t.Errorf("joined again: %v", err)
	}
	if _, err := h.Add(t.Context(), api.MemberRequest{Document: h.member(saltby).YAML()}); kindOf(err) != api.Refused {
		t.Errorf("only the host admits: %v", err)
	}
}

// Joining that fails anywhere leaves what was followed, and nothing beside it.
func TestJoinFails(t *testing.T) {
	host, admitted, other := newHouse(t, northmoor), newHouse(t, saltby), newHouse(t, hexwell)
	host.admit(admitted)
	web := host.web()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	full := errors.New("disk is full")
	for _, c := range []struct {
		why  string
		who  *house
		code api.JoinRequest
		log  error
		kind api.Kind
	}{
		{"no member of it", other, host.invite(web), nil, api.Refused},
		{"no invite", admitted, api.JoinRequest{Code: "northmoor"}, nil, api.Usage},
		{"nobody there", admitted, host.invite(gone.URL), nil, api.Unreachable},
		{"no directory there", admitted, host.invite(elsewhere.URL), nil, api.Unreachable},
		{"another directory there", admitted, host.invite(other.web()), nil, api.Unverified},
		{"the ledger takes nothing", admitted, host.invite(web), full, ""},
	} {
		h := c.who
		h.log.err = c.log
		before, changed := h.show(), h.changed
		_, err := h.Join(t.Context(), c.code)
		h.log.err = nil
		if err == nil || kindOf(err) != c.kind || c.log != nil && !errors.Is(err, c.log) {
			t.Errorf("%s: %v (%q), want %q", c.why, err, kindOf(err), c.kind)
		}
		if after := h.show(); after.Root != before.Root || !after.Host || h.changed != changed || len(h.log.said) != 0 {
			t.Errorf("%s: it follows %s and said %q", c.why, after.Root, h.log.said)
		}
		if c.log != nil {
			continue // it is made again by whoever joins next
		}
		if _, err := os.Stat(filepath.Join(h.dir, datadir.JoiningName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something is left: %v", c.why, err)
		}
	}
	if _, err := admitted.Join(t.Context(), host.invite(web)); err != nil {
		t.Errorf("and then it joins: %v", err)
	}
}

// The host of a directory that others follow cannot leave it.
func TestHostStays(t *testing.T) {
	host, h := newHouse(t, northmoor), newHouse(t, saltby)
	host.admit(h)
	if err := os.Remove(filepath.Join(h.dir, "keys", datadir.SoleKeyName)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Join(t.Context(), host.invite(host.web())); kindOf(err) != api.Refused {
		t.Errorf("a federation's host left it: %v", err)
	}
}

// A member fetches news from whom it is connected to, over the network, and is told
// when they change something.
func TestNewsFromAMember(t *testing.T) {
	world := wire.NewMemory()
	host, h := newHouse(t, northmoor), newHouse(t, saltby)
	host.admit(h)
	if _, err := h.Join(t.Context(), host.invite(host.web())); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(h.dir, "directory", datadir.MirrorsName)); err != nil {
		t.Fatal(err)
	}
	if err := h.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "no mirror") {
		t.Errorf("asked somebody without a network: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	a, b := world.Node(northmoor), world.Node(saltby)
	defer a.Close()
	defer b.Close()
	host.Attach(ctx, a)
	h.Attach(ctx, b)
	defer h.Detach()
	host.admit(newHouse(t, hexwell))
	changed := h.changed
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Members().Member(hexwell); !ok || h.changed != changed+1 {
		t.Errorf("hexwell is known: %v; told %d times", ok, h.changed-changed)
	}
	if err := h.Refresh(t.Context()); err != nil || h.changed != changed+1 {
		t.Errorf("no news: %v, told %d times", err, h.changed-changed)
	}
	if used := host.quota.Used(saltby, quota.Files); used < 2*leastCharged {
		t.Errorf("what it was sent counts as %d KiB", used)
	}
	host.quota.Use(saltby, quota.Files, quota.Of(quota.Files).Stranger)
	if err := h.Refresh(t.Context()); err == nil || len(host.quota.Refused()) != 1 {
		t.Errorf("beyond its share it is sent more: %v, refused %v", err, host.quota.Refused())
	}
	if _, ok := h.Members().Member(hexwell); !ok {
		t.Error("what it had is gone")
	}
	stop() // the host's node stops, and its network is still there
	if err := h.Refresh(t.Context()); err == nil {
		t.Error("a node that stops still serves")
	}
}

// Addresses that were written down come first, then who is connected, then members
// by chance; nobody twice, and never ourselves or whom nobody can dial.
func TestMirrors(t *testing.T) {
	world := wire.NewMemory()
	h := newHouse(t, northmoor)
	text := "# whom to ask\n\nhttps://one.example/directory\n  https://two.example/directory  \n"
	if err := os.WriteFile(filepath.Join(h.dir, "directory", datadir.MirrorsName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	list := []directory.Member{h.member(northmoor)}
	for _, c := range []name.Council{"a.gov.uk", "b.gov.uk", "ended.gov.uk", hexwell, "silent.gov.uk"} {
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		m := directory.FromRing(c, r)
		m.Title, m.GSS, m.Role, m.ValidFrom, m.Addresses = string(c), "E07000999", directory.RoleCouncil, now.Add(-48*time.Hour), []string{"/ip4/127.0.0.1/tcp/1"}
		if c == "ended.gov.uk" {
			m.Ended = now.Add(-24 * time.Hour)
		}
		if c == "silent.gov.uk" {
			m.Addresses = nil
		}
		list = append(list, m)
	}
	if err := h.members.Replace(list, nil); err != nil {
		t.Fatal(err)
	}
	n, other := world.Node(northmoor), world.Node(hexwell)
	defer n.Close()
	defer other.Close()
	h.Attach(t.Context(), n)
	if err := n.Dial(t.Context(), hexwell); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range h.mirrors() {
		got = append(got, m.String())
	}
	want := []string{"https://one.example/directory", "https://two.example/directory", "hexwell.gov.uk", "b.gov.uk", "a.gov.uk"}
	if !slices.Equal(got, want) {
		t.Errorf("asks %q, want %q", got, want)
	}
	// The network lets in who is a member now, and nobody's guest.
	view := h.Wire()
	for c, want := range map[name.Council]bool{hexwell: true, "ended.gov.uk": false, guestName: false, saltby: false} {
		if _, ok := view.Member(c); ok != want {
			t.Errorf("%s is let in: %v", c, ok)
		}
	}
	// One that has ended is reached by who takes over from it, and not as itself.
	gone, _ := h.members.Member("ended.gov.uk")
	as, done, ok := h.ReachEnded("ended.gov.uk")
	by, in := view.ByNode(gone.Node)
	m, reached := view.Member(as)
	if _, itself := view.Member("ended.gov.uk"); !ok || !in || !reached || itself || as != endedName || by != as || m.Node != gone.Node {
		t.Errorf("a council that has ended is reached as %q, %v %v %v", as, by, ok, itself)
	}
	done()
	if _, in := view.ByNode(gone.Node); in {
		t.Error("a council that has ended is let in afterwards")
	}
	if as, _, ok := h.ReachEnded(hexwell); !ok || as != hexwell {
		t.Errorf("a member is reached as %q", as)
	}
}

// An edition that one mirror does not give is asked of the next.
func TestNextMirror(t *testing.T) {
	host, h := newHouse(t, northmoor), newHouse(t, saltby)
	host.admit(h)
	web := host.web()
	if _, err := h.Join(t.Context(), host.invite(web)); err != nil {
		t.Fatal(err)
	}
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer liar.Close()
	mirrors := filepath.Join(h.dir, "directory", datadir.MirrorsName)
	write := func(lines ...string) {
		if err := os.WriteFile(mirrors, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host.admit(newHouse(t, hexwell))
	write(liar.URL)
	if err := h.Refresh(t.Context()); err == nil {
		t.Error("believed a mirror that lies")
	}
	write(liar.URL, web)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := h.show(); r.Members != 3 {
		t.Errorf("%d members, want 3", r.Members)
	}
}

// A directory of one is published again by Run, which a host does every day.
func TestHostPublishes(t *testing.T) {
	h := newHouse(t, northmoor)
	before := h.show()
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan struct{})
	h.o.Changed = func() { close(published) }
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }()
	<-published
	cancel()
	<-done
	if after := h.show(); after.Version <= before.Version || after.Root != before.Root {
		t.Errorf("version %d of %s, and before %d of %s", after.Version, after.Root, before.Version, before.Root)
	}
	sum, _, err := h.Client().RootHash()
	if err != nil || hex.EncodeToString(sum[:]) != before.Root {
		t.Errorf("the root is another: %v", err)
	}
}
