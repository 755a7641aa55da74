package publiclog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const (
	northmoor = name.Council("northmoor.gov.uk")
	saltby    = name.Council("saltby.gov.uk")
)

var quiet = slog.New(slog.DiscardHandler)

// A town is a council with a ledger in memory.
type town struct {
	ring *keys.Ring
	l    *ledger.Ledger
	log  note.Verifier
}

func newTown(t *testing.T, c name.Council) *town {
	t.Helper()
	r, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	return townOf(t, c, r)
}

func townOf(t *testing.T, c name.Council, r *keys.Ring) *town {
	t.Helper()
	l, err := ledger.Open(ledger.Options{Council: c, Keys: r, InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	v, err := note.NewVerifier(r.Log.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	return &town{r, l, v}
}

// grow adds n events to the log.
func (w *town) grow(t *testing.T, n int) {
	t.Helper()
	for range n {
		if _, _, err := w.l.AppendNotice(t.Context(), "tried", map[string]any{"size": strconv.FormatUint(w.l.Size(), 10)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *town) newest(t *testing.T) (cp tlog.Checkpoint, signed []byte) {
	t.Helper()
	if err := w.l.View(func(v *ledger.View) error { cp, signed = v.Checkpoint(); return nil }); err != nil {
		t.Fatal(err)
	}
	return cp, signed
}

func members(t *testing.T, rings map[name.Council]*keys.Ring) *directory.Directory {
	t.Helper()
	var ms []directory.Member
	for c, r := range rings {
		m := directory.FromRing(c, r)
		m.Title, m.Role = string(c), directory.RoleCouncil
		m.ValidFrom = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		ms = append(ms, m)
	}
	d, err := directory.New(ms...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// others is a program of the software of others, built once; see testdata/others.
var others = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "others")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "others")
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Dir = filepath.Join("testdata", "others")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build testdata/others: %w\n%s", err, b)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if p, err := others(); code == 0 && err == nil {
		os.RemoveAll(filepath.Dir(p))
	}
	os.Exit(code)
}

// Tessera's client reads our log, and its fsck finds that entries, tiles and
// checkpoint agree: with one entry, with a tile that is exactly full, and with two
// levels of tiles.
func TestOthersReadTheLog(t *testing.T) {
	prog, err := others()
	if err != nil {
		t.Fatal(err)
	}
	w := newTown(t, northmoor)
	_, signed := w.newest(t)
	srv := httptest.NewServer(Handler(w.l, func() []byte { _, signed = w.newest(t); return signed }, quiet))
	defer srv.Close()
	for _, size := range []uint64{1, 256, 517} {
		w.grow(t, int(size-w.l.Size()))
		b, err := exec.Command(prog, "fsck", srv.URL+Prefix, northmoor.Origin(), w.ring.Log.Verifier()).CombinedOutput()
		if want := fmt.Sprintf("checked %d entries", size); err != nil || !strings.Contains(string(b), want) {
			t.Fatalf("size %d: %v\n%s", size, err, b)
		}
	}
}

func TestLogServesWhatThereIs(t *testing.T) {
	w := newTown(t, northmoor)
	var none []byte
	h := Handler(w.l, func() []byte { return none }, quiet)
	get := func(path string) *http.Response {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("GET", "/stile/"+path, nil))
		return r.Result()
	}
	if r := get("checkpoint"); r.StatusCode != 404 {
		t.Errorf("the checkpoint of nothing: %d", r.StatusCode)
	}
	if r := get("tile/0/000.p/1"); r.StatusCode != 404 {
		t.Errorf("a tile of nothing: %d", r.StatusCode)
	}
	w.grow(t, 300)
	_, none = w.newest(t)
	for path, size := range map[string]int{
		"checkpoint": len(none), "tile/0/000": 8192, "tile/0/001.p/44": 44 * 32, "tile/0/001.p/1": 32, "tile/1/000.p/1": 32,
		"tile/entries/000": 256 * 34, "tile/entries/001.p/44": 44 * 34,
		"tile/0/001": 0, "tile/0/001.p/45": 0, "tile/1/000": 0, "tile/1/000.p/2": 0, "tile/2/000.p/1": 0, "tile/0/002.p/1": 0,
		"tile/entries/001": 0, "tile/entries/x001/000": 0, "tile/7/x999/x999/x999/x999/999": 0, "tile/entries/": 0, "tile/": 0, "tile/0/0": 0,
	} {
		r := get(path)
		b, _ := io.ReadAll(r.Body)
		if size == 0 && r.StatusCode != 404 || size > 0 && (r.StatusCode != 200 || len(b) != size) {
			t.Errorf("%s: %d with %d bytes, want %d", path, r.StatusCode, len(b), size)
		}
		if long := strings.Contains(r.Header.Get("Cache-Control"), "immutable"); long != (size > 0 && path != "checkpoint") {
			t.Errorf("%s: Cache-Control %q", path, r.Header.Get("Cache-Control"))
		}
	}
}

func policy(t *testing.T, format string, args ...any) *tlog.Policy {
	t.Helper()
	p, err := tlog.ParsePolicy(fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *town) publisher(t *testing.T, p *tlog.Policy, c *http.Client, d *directory.Directory) *Publisher {
	t.Helper()
	out, err := NewPublisher(Options{
		Council: northmoor, Ledger: w.l, LogKey: w.log, Directory: d, Policy: p, Wait: time.Second, Client: c, Log: quiet, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A witness that is not ours cosigns what we publish, as the log grows, and after it
// has been asked about a size that it has not seen.
func TestAnotherWitnessCosigns(t *testing.T) {
	prog, err := others()
	if err != nil {
		t.Fatal(err)
	}
	w := newTown(t, northmoor)
	cmd := exec.Command(prog, "witness", northmoor.Origin(), w.ring.Log.Verifier())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	vkey, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	pol := policy(t, "witness w1 %s %s\nquorum w1\n", vkey, url)
	d := members(t, map[name.Council]*keys.Ring{northmoor: w.ring})
	p := w.publisher(t, pol, http.DefaultClient, d)
	for _, n := range []int{1, 1, 300} {
		w.grow(t, n)
		if done, err := p.round(t.Context()); err != nil || !done {
			t.Fatalf("size %d: done %v, %v: %+v", w.l.Size(), done, err, p.State())
		}
		s := p.State()
		if s.Size != w.l.Size() || !s.Met || len(s.Cosigned) != 1 || s.Cosigned[0] != "witness.example/w1" {
			t.Fatalf("published %+v", s)
		}
	}
	// Somebody who does not know what the witness has seen is told, and goes on.
	p = w.publisher(t, pol, http.DefaultClient, d)
	if !p.State().Met {
		t.Error("what was published is forgotten at a start")
	}
	w.grow(t, 1)
	if done, err := p.round(t.Context()); err != nil || !done {
		t.Fatalf("after a start: done %v, %v: %+v", done, err, p.State())
	}
}

// inProcess is the network of a virtual world: hosts are handlers.
type inProcess struct{ sync.Map }

func (n *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := n.Load(r.URL.Host)
	if !ok {
		return nil, fmt.Errorf("connect to %s: refused", r.URL.Host)
	}
	rec := httptest.NewRecorder()
	h.(http.Handler).ServeHTTP(rec, r)
	return rec.Result(), nil
}

// Saltby's node is the witness that Northmoor's policy wants, beside a partner that
// cosigns in the exchange and one that is down. Northmoor publishes without the one
// that is down, says so, and adds it when it is there.
func TestFewerCosignaturesAreAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newTown(t, northmoor), newTown(t, saltby)
		hexwell, err := keys.Generate("hexwell.gov.uk")
		if err != nil {
			t.Fatal(err)
		}
		d := members(t, map[name.Council]*keys.Ring{northmoor: w.ring, saltby: s.ring, "hexwell.gov.uk": hexwell})
		net := &inProcess{}
		saltbys := Witness(WitnessOptions{Ledger: s.l, Directory: d, Cosigner: s.ring.Log.Cosigner(), Log: quiet, Now: time.Now})
		pol := policy(t, "witness saltby %s https://saltby.gov.uk/witness\nwitness hexwell %s\ngroup both all saltby hexwell\nquorum both\n",
			s.ring.Log.CosignerVerifier(), hexwell.Log.CosignerVerifier())
		p := w.publisher(t, pol, &http.Client{Transport: net}, d)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()

		w.grow(t, 3)
		time.Sleep(10 * time.Second)
		st := p.State()
		if st.Size != 3 || st.Met || !st.Wanted || len(st.Cosigned) != 0 || !strings.Contains(st.Witnesses[0].Problem, "cannot be reached") {
			t.Fatalf("with both missing: %+v", st)
		}

		// The partner cosigns in the exchange.
		cp, signed := w.newest(t)
		line, _, err := tlog.Cosign(cp, hexwell.Log.Cosigner())
		if err != nil {
			t.Fatal(err)
		}
		v, err := tlog.ParseWitnessKey(hexwell.Log.CosignerVerifier())
		if err != nil {
			t.Fatal(err)
		}
		if signed, err = tlog.AddCosignature(signed, line, v); err != nil {
			t.Fatal(err)
		}
		if err := w.l.Cosign(ctx, "hexwell.gov.uk", cp, signed); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if st := p.State(); st.Met || len(st.Cosigned) != 1 || !st.Witnesses[1].Cosigned {
			t.Fatalf("with the partner's: %+v", st)
		}

		net.Store("saltby.gov.uk", saltbys)
		time.Sleep(2 * time.Minute)
		if st := p.State(); !st.Met || len(st.Cosigned) != 2 || st.Witnesses[0].Problem != "" || st.Size != 3 {
			t.Fatalf("with both: %+v", st)
		}
		if k := s.l.Known(northmoor); k.Size != 3 || k.CosignedSize != 3 {
			t.Errorf("the witness keeps %d, cosigned %d", k.Size, k.CosignedSize)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// More partners cosign than a note has room for: it is published with as many as it can
// have, and who the policy names is among them, although its name comes last.
func TestMorePartnersThanANoteHasRoomFor(t *testing.T) {
	w := newTown(t, northmoor)
	rings := map[name.Council]*keys.Ring{northmoor: w.ring}
	const last = name.Council("zennor.gov.uk")
	for i := range tlog.MaxSignatures {
		c := name.Council(fmt.Sprintf("council-%03d.gov.uk", i))
		if i == 0 {
			c = last
		}
		r, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		rings[c] = r
	}
	w.grow(t, 3)
	cp, signed := w.newest(t)
	for c, r := range rings {
		if c == northmoor {
			continue
		}
		line, _, err := tlog.Cosign(cp, r.Log.Cosigner())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.l.Cosign(t.Context(), c, cp, append(bytes.Clone(signed), line...)); err != nil {
			t.Fatal(err)
		}
	}
	pol := policy(t, "witness zennor %s\nquorum zennor\n", rings[last].Log.CosignerVerifier())
	p := w.publisher(t, pol, http.DefaultClient, members(t, rings))
	if done, err := p.round(t.Context()); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	// Beside the witnesses the council itself signs, with its log key and its record key.
	if st := p.State(); !st.Met || len(st.Cosigned) != tlog.MaxSignatures-2 || !slices.Contains(st.Cosigned, string(last)) {
		t.Errorf("met %v, cosigned by %d: %v", st.Met, len(st.Cosigned), st.Cosigned)
	}
}

// Everything that the specification says of an answer, in the order of its sentences.
func TestWitnessAnswers(t *testing.T) {
	w, s := newTown(t, northmoor), newTown(t, saltby)
	d := members(t, map[name.Council]*keys.Ring{northmoor: w.ring, saltby: s.ring})
	h := Witness(WitnessOptions{Ledger: s.l, Directory: d, Cosigner: s.ring.Log.Cosigner(), Log: quiet, Now: time.Now})
	ask := func(body string) (int, string, string) {
		t.Helper()
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("POST", WitnessPath, strings.NewReader(body)))
		return r.Code, r.Body.String(), r.Header().Get("Content-Type")
	}
	add := func(old uint64, proof []tlog.Hash, signed []byte) string {
		return string(appendAdd(addRequest{old, proof, signed}))
	}
	w.grow(t, 5)
	five, fiveSigned := w.newest(t)
	w.grow(t, 4)
	nine, nineSigned := w.newest(t)
	proof, err := w.l.Consistency(5, 9)
	if err != nil {
		t.Fatal(err)
	}
	wrong := append([]tlog.Hash{{1}}, proof[1:]...)
	other := townOf(t, northmoor, w.ring) // the same keys, another history
	other.grow(t, 1)
	for range 8 {
		if _, _, err := other.l.AppendNotice(t.Context(), "tried", map[string]any{"other": "history"}); err != nil {
			t.Fatal(err)
		}
	}
	_, forked := other.newest(t)
	stranger := newTown(t, "stranger.gov.uk")
	stranger.grow(t, 1)
	_, strange := stranger.newest(t)
	forged, err := tlog.SignCheckpoint(five, mustSigner(t, northmoor.Origin()))
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		what, body string
		want       int
		text       string
	}{
		{"no form", "five\n\n" + string(fiveSigned), 400, ""},
		{"padded size", "old 00\n\n" + string(fiveSigned), 400, ""},
		{"no empty line", "old 0\n", 400, ""},
		{"a short hash", "old 0\nAAAA\n\n" + string(fiveSigned), 400, ""},
		{"too long a proof", "old 1\n" + strings.Repeat(strings.Repeat("A", 43)+"=\n", 64) + "\n" + string(fiveSigned), 400, ""},
		{"too long", "old 0\n\n" + strings.Repeat("x", 1<<20), 400, ""},
		{"an unknown log", add(0, nil, strange), 404, ""},
		{"no log", "old 0\n\nsaltby\n", 404, ""},
		{"another key of the same name", add(0, nil, forged), 403, ""},
		{"a size that shrinks", add(9, nil, fiveSigned), 400, ""},
		{"a proof from nothing", add(0, proof, fiveSigned), 422, ""},
		{"a size it has not seen", add(5, proof, nineSigned), 409, "0\n"},
		{"the first", add(0, nil, fiveSigned), 200, ""},
		{"the same again, from nothing", add(0, nil, fiveSigned), 409, "5\n"},
		{"the same again", add(5, nil, fiveSigned), 200, ""},
		{"a proof that fails", add(5, wrong, nineSigned), 422, ""},
		{"a proof that is missing", add(5, nil, nineSigned), 422, ""},
		{"the next", add(5, proof, nineSigned), 200, ""},
		{"one of before", add(5, nil, fiveSigned), 409, "9\n"},
		{"another history", add(9, nil, forked), 409, ""},
		{"after that, the true one", add(9, nil, nineSigned), 409, ""},
	} {
		code, body, kind := ask(c.body)
		if code != c.want {
			t.Fatalf("%s: %d %s, want %d", c.what, code, body, c.want)
		}
		if sized := kind == "text/x.tlog.size"; sized != (c.text != "") || sized && body != c.text {
			t.Errorf("%s: %q of type %q, want %q", c.what, body, kind, c.text)
		}
		if c.want != 200 {
			continue
		}
		v, err := tlog.ParseWitnessKey(s.ring.Log.CosignerVerifier())
		if err != nil {
			t.Fatal(err)
		}
		signed := fiveSigned
		if c.what == "the next" {
			signed = nineSigned
		}
		if _, err := tlog.AddCosignature(signed, []byte(body), v); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	k := s.l.Known(northmoor)
	if k.Quarantine == nil || k.Quarantine.Fault != event.FaultFork || k.Size != nine.Size {
		t.Errorf("two histories were seen: %+v", k.Quarantine)
	}

	// A person follows the other history. This key has seen both, and cosigns none.
	if err := s.l.EndQuarantine(t.Context(), northmoor, event.FollowTold, "the disk was lost"); err != nil {
		t.Fatal(err)
	}
	if code, body, kind := ask(add(0, nil, forked)); code != 409 || kind == "text/x.tlog.size" || !strings.Contains(body, "given up") {
		t.Errorf("after the other history was followed: %d %s", code, body)
	}
}

func mustSigner(t *testing.T, name string) note.Signer {
	t.Helper()
	skey, _, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a witness answers is not believed: a cosignature by another key, of another
// checkpoint, none at all, or no end of it.
func TestHostileWitness(t *testing.T) {
	w := newTown(t, northmoor)
	w.grow(t, 2)
	cp, _ := w.newest(t)
	skey, vkey, err := note.GenerateKey(nil, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	good, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	skey2, _, err := note.GenerateKey(nil, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	bad, err := fnote.NewSignerForCosignatureV1(skey2)
	if err != nil {
		t.Fatal(err)
	}
	line := func(c tlog.Checkpoint, s note.Signer) string {
		b, _, err := tlog.Cosign(c, s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	smaller := cp
	smaller.Size--
	d := members(t, map[name.Council]*keys.Ring{northmoor: w.ring})
	answer := func(status int, kind, body string) {
		t.Helper()
		net := &inProcess{}
		net.Store("w", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", kind)
			rw.WriteHeader(status)
			io.WriteString(rw, body)
		}))
		p := w.publisher(t, policy(t, "witness w1 %s http://w\nquorum w1\n", vkey), &http.Client{Transport: net}, d)
		p.o.Wait = 0
		if _, err := p.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := p.State(); st.Met || st.Size != 2 || st.Witnesses[0].Problem == "" {
			t.Errorf("%d %q %.60q: %+v", status, kind, body, st)
		}
	}
	answer(200, "", "")
	answer(200, "", line(cp, bad))
	answer(200, "", line(smaller, good))
	answer(200, "", strings.Repeat("— witness.example/w1 AAAA\n", 9000)+line(cp, good))
	answer(409, "text/x.tlog.size", "0\n")
	answer(409, "text/x.tlog.size", "999\n")
	answer(409, "text/x.tlog.size", "9999999999999999999999\n")
	answer(409, "text/html", "1\n")
	answer(403, "", "")
	answer(404, "", "")
	answer(500, "", "")
}

func FuzzParseAdd(f *testing.F) {
	f.Add([]byte("old 0\n\nnorthmoor.gov.uk/stile\n1\n"))
	f.Add(appendAdd(addRequest{7, []tlog.Hash{{1}, {2}}, []byte("x\n")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseAdd(b)
		if err == nil && string(appendAdd(q)) != string(b) {
			t.Error("one request has two spellings")
		}
	})
}
