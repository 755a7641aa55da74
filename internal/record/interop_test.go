package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
)

// These tests hold the package against programs of others: @sd-jwt/core and
// jose, both of npm, and against interop.mjs, which writes records from their description.

type checkWork struct {
	Token string          `json:"token"`
	JWK   json.RawMessage `json:"jwk"`
}

type checkResult struct {
	Processed, Signed, Header json.RawMessage
	CoreError, JoseError      string
}

type buildWork struct {
	Claims map[string]any  `json:"claims"`
	Kid    string          `json:"kid"`
	Layout any             `json:"layout"`
	Body   json.RawMessage `json:"body"`
	Seed   string          `json:"seed"`
}

type buildResult struct {
	Input       string
	Disclosures []string
}

type issueResult struct {
	JWK, Claims, Visible json.RawMessage
	Whole, Part          string
}

type work struct {
	Check []checkWork `json:"check,omitempty"`
	Build []buildWork `json:"build,omitempty"`
	Issue bool        `json:"issue,omitempty"`
}

type results struct {
	Checked []checkResult
	Built   []buildResult
	Issued  []issueResult
}

// interop has interop.mjs do w, and checks that it did all of it. The test is
// skipped only where there is no Node.js.
func interop(t *testing.T, w work) results {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on PATH, so nothing independent to compare with: install Node.js 20 or later", program)
		}
	}
	dir := interopDir(t)
	in, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "interop.mjs")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node interop.mjs: %v\n%s", err, stderr.Bytes())
	}
	var r results
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("node interop.mjs: %v\n%s", err, out)
	}
	if len(r.Checked) != len(w.Check) || len(r.Built) != len(w.Build) || w.Issue != (len(r.Issued) > 0) {
		t.Fatalf("asked for %d checks and %d builds, got %d and %d", len(w.Check), len(w.Build), len(r.Checked), len(r.Built))
	}
	return r
}

// interopDir returns a folder outside the source tree with interop.mjs and the
// packages it needs, installed by the lock file the first time.
func interopDir(t *testing.T) string {
	t.Helper()
	all := sha256.New()
	files := map[string][]byte{}
	for _, f := range []string{"package.json", "package-lock.json", "interop.mjs"} {
		b, err := os.ReadFile(filepath.Join("testdata", "interop", f))
		if err != nil {
			t.Fatal(err)
		}
		files[f] = b
		fmt.Fprintf(all, "%s %d %s", f, len(b), b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	cache = filepath.Join(cache, "stile-interop")
	dir := filepath.Join(cache, hex.EncodeToString(all.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	// Made aside and renamed when whole, so that neither a broken installation nor
	// another test process at the same time is ever taken for a good one.
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(made) })
	for f, b := range files {
		if err := os.WriteFile(filepath.Join(made, f), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = made
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loose reads JSON as JavaScript does, for comparing.
func loose(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

func TestOthersReadOurTokens(t *testing.T) {
	key := testRing(t).Record
	deleted := testClaims()
	deleted.Op, deleted.Version, deleted.Prev = Delete, 2, tlog.Hash{1}
	planned := issue(t, key, testClaims(), planningLayout(), decodeBody(t, planning), Seed{1})
	referred := issue(t, key, testClaims(), referralLayout(), decodeBody(t, referral), Seed{2})
	tokens := []*Token{planned, referred, issue(t, key, deleted, nil, nil, Seed{}),
		issue(t, key, testClaims(), planningLayout(), decodeBody(t, `{"é\"\\\n":"ß\u0000","😀":["日本",null,true,-0.25,9007199254740991]}`), Seed{3})}
	for tok, keep := range map[*Token]func(string, bool) bool{
		planned:  twelve,
		referred: func(p string, shell bool) bool { return shell || strings.HasSuffix(p, "/name") || p == "/tags/1" },
	} {
		p, err := tok.Present(keep)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, p)
		if p, err = tok.Present(func(string, bool) bool { return false }); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, p)
	}
	var w work
	for _, tok := range tokens {
		w.Check = append(w.Check, checkWork{string(tok.Bytes()), key.Public().JWK()})
	}
	// And what they must refuse, lest they only seem to check.
	bad := bytes.Clone(planned.Bytes())
	bad[len(planned.SigningInput())+5] ^= 1
	w.Check = append(w.Check, checkWork{string(bad), key.Public().JWK()},
		checkWork{string(planned.Bytes()), testRing(t).Record.Public().JWK()})

	r := interop(t, w)
	for i, tok := range tokens {
		got := r.Checked[i]
		if got.CoreError != "" || got.JoseError != "" {
			t.Errorf("token %d: @sd-jwt/core says %q, jose says %q", i, got.CoreError, got.JoseError)
			continue
		}
		v := view(t, tok)
		want := map[string]any{
			"iss": v.Council.Issuer(), "iat": float64(v.IssuedAt), "op": string(v.Op), "rec": string(v.Record),
			"std": v.Standard.String(), "std#integrity": v.Integrity, "ver": float64(v.Version),
		}
		if v.Version > 1 {
			want["prev"] = b64.EncodeToString(v.Prev[:])
		}
		if v.Body != nil {
			b, err := json.Marshal(v.Body)
			if err != nil {
				t.Fatal(err)
			}
			want["body"] = loose(t, b)
		}
		if p := loose(t, got.Processed); !reflect.DeepEqual(p, any(want)) {
			t.Errorf("token %d: @sd-jwt/core reads\n%v\nView reads\n%v", i, p, want)
		}
		parsed, err := Parse(tok.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if signed := loose(t, got.Signed); !reflect.DeepEqual(signed, loose(t, parsed.parts.payload.of(parsed.parts.dec))) {
			t.Errorf("token %d: jose reads %v", i, signed)
		}
		if h := loose(t, got.Header); !reflect.DeepEqual(h, any(map[string]any{"alg": "ES256", "kid": key.ID(), "typ": "stile-record+sd-jwt"})) {
			t.Errorf("token %d: header %v", i, h)
		}
	}
	for _, got := range r.Checked[len(tokens):] {
		if got.CoreError == "" || got.JoseError == "" {
			t.Errorf("a bad signature was accepted: @sd-jwt/core says %q, jose says %q", got.CoreError, got.JoseError)
		}
	}
}

func TestWeReadOthersTokens(t *testing.T) {
	hidden := 0
	for i, is := range interop(t, work{Issue: true}).Issued {
		key, err := keys.ParseRecordPublic(is.JWK)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			token string
			want  []byte
		}{{is.Whole, is.Claims}, {is.Part, is.Visible}} {
			parts, err := cut([]byte(c.token))
			if err != nil {
				t.Fatalf("token %d: %v", i, err)
			}
			if err := key.Verify(parts.input.of(parts.raw), parts.signature.of(parts.dec)); err != nil {
				t.Errorf("token %d: %v", i, err)
			}
			got, w, err := processed(parts)
			if err != nil {
				t.Fatalf("token %d: %v", i, err)
			}
			b, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(loose(t, b), loose(t, c.want)) {
				t.Errorf("token %d:\n got %s\nwant %s", i, b, c.want)
			}
			hidden += w.withheld
		}
		// Another's token is never one of our records, however well it is signed.
		wantRule(t, "as a record", second(Parse([]byte(is.Whole))), RuleHeader)
	}
	if hidden == 0 {
		t.Error("nothing was withheld in any of them")
	}
}

// TestBuildAsDescribed compares Build, byte for byte, with the writer in
// interop.mjs, which was written from the package comment.
func TestBuildAsDescribed(t *testing.T) {
	kid := testRing(t).Record.ID()
	later, deleted := testClaims(), testClaims()
	later.Version, later.Prev = 3, tlog.Hash{9}
	deleted.Version, deleted.Prev, deleted.Op = 4, tlog.Hash{10}, Delete
	cases := []struct {
		claims Claims
		layout *standard.Layout
		body   string
	}{
		{testClaims(), planningLayout(), planning},
		{testClaims(), referralLayout(), referral},
		{later, referralLayout(), `{"applicant":"x","household":[],"tags":{},"meeting":{"with":[1,{"a":null}]},"a/b~c":{"Z":1,"_":2,"a":3}}`},
		{later, &standard.Layout{Open: true}, `{"a":[1,{"b":2}],"_s":1,"Z":"é😀"}`},
		{later, &standard.Layout{}, `{"a":[1,{"b":2}],"\ufb01":1,"😀":"\u0000\""}`},
		{deleted, &standard.Layout{}, `null`},
	}
	var w work
	for i, k := range cases {
		claims := map[string]any{"iss": k.claims.Council.Issuer(), "iat": k.claims.IssuedAt, "op": k.claims.Op, "rec": k.claims.Record,
			"std": k.claims.Standard.String(), "std#integrity": k.claims.Integrity, "ver": k.claims.Version}
		if k.claims.Version > 1 {
			claims["prev"] = b64.EncodeToString(k.claims.Prev[:])
		}
		w.Build = append(w.Build, buildWork{Claims: claims, Kid: kid, Layout: layoutJSON(k.layout), Body: []byte(k.body), Seed: fmt.Sprintf("%064x", i+1)})
	}
	for i, want := range interop(t, w).Built {
		body, _ := value(t, []byte(cases[i].body)).(map[string]any)
		d, err := Build(cases[i].claims, kid, cases[i].layout, body, Seed{31: byte(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		compareBuilt(t, fmt.Sprintf("record %d", i), d, want)
	}
}

// TestBuildAsWrittenDown compares Build with what interop.mjs once wrote, where
// there is no Node.js to run it, and so that no version of this package builds otherwise
// than the ones before: a ledger rebuilds what it signed years ago.
func TestBuildAsWrittenDown(t *testing.T) {
	b, err := os.ReadFile("testdata/described/referral.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Work  buildWork
		Built buildResult
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	c := testClaims()
	c.Version, c.Prev = 2, tlog.Hash{9}
	d, err := Build(c, want.Work.Kid, referralLayout(), decodeBody(t, string(want.Work.Body)), Seed{1, 2, 3, 31: 4})
	if err != nil {
		t.Fatal(err)
	}
	compareBuilt(t, "referral", d, want.Built)
}

func compareBuilt(t *testing.T, what string, d *Token, want buildResult) {
	t.Helper()
	if got := string(d.SigningInput()); got != want.Input {
		t.Errorf("%s: payload\n got %s\nwant %s", what, decodedPayload(t, got), decodedPayload(t, want.Input))
	}
	if len(d.texts) != len(want.Disclosures) {
		t.Fatalf("%s: %d disclosures, want %d", what, len(d.texts), len(want.Disclosures))
	}
	for n, s := range d.texts {
		if got := string(s.of(d.raw)); got != want.Disclosures[n] {
			t.Errorf("%s: disclosure %d\n got %s\nwant %s", what, n, got, want.Disclosures[n])
		}
	}
}

func layoutJSON(l *standard.Layout) any {
	m := map[string]any{"open": l.Open}
	if l.Members != nil {
		members := map[string]any{}
		for k, v := range l.Members {
			members[k] = layoutJSON(v)
		}
		m["members"] = members
	}
	if l.Elements != nil {
		m["elements"] = layoutJSON(l.Elements)
	}
	return m
}

func decodedPayload(t *testing.T, s string) []byte {
	t.Helper()
	_, p, _ := strings.Cut(s, ".")
	b, err := appendDecoded(nil, []byte(p))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The lock file pins versions and contents, and no place to fetch them from:
// whoever runs this may have a registry of their own.
func TestInteropLockNamesNoRegistry(t *testing.T) {
	b, err := os.ReadFile("testdata/interop/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(`"resolved"`)) {
		t.Error("package-lock.json names a registry: make it with npm install --omit-lockfile-registry-resolved")
	}
}
