package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/node/name"
)

const council = "northmoor.gov.uk"

func generate(t testing.TB) *Ring {
	t.Helper()
	r, err := Generate(council)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCreateThenOpenGivesTheSameKeys(t *testing.T) {
	for _, pass := range []string{"", "correct horse"} {
		if pass != "" && raceEnabled {
			continue // fifteen times scrypt, four seconds each here; TestPassphrase does the least of it
		}
		dir := filepath.Join(t.TempDir(), "keys")
		made, err := Create(dir, council, []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(dir, council, []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		if got.Record.ID() != made.Record.ID() || got.Log.Verifier() != made.Log.Verifier() ||
			got.Log.CosignerVerifier() != made.Log.CosignerVerifier() || !got.Node.Equal(made.Node) || got.Secret != made.Secret {
			t.Errorf("passphrase %q: Open gave other keys than Create", pass)
		}
		sig, err := got.Record.Sign([]byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Record.Public().Verify([]byte("hello"), sig); err != nil {
			t.Error(err)
		}

		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 5 {
			t.Fatalf("got %d files, %v; want 5", len(files), err)
		}
		for _, f := range files {
			st, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600", f.Name(), st.Mode())
			}
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if enc := bytes.Contains(b, []byte("BEGIN ENCRYPTED ")); enc != (pass != "") {
				t.Errorf("passphrase %q: %s encrypted: %v", pass, f.Name(), enc)
			}
			if pass != "" && (bytes.Contains(b, made.Secret[:]) || bytes.Contains(b, made.Node.Seed())) {
				t.Errorf("%s holds a key in clear", f.Name())
			}
		}

		before, _ := os.ReadFile(filepath.Join(dir, logFile))
		if _, err := Create(dir, council, []byte(pass)); !errors.Is(err, ErrExists) {
			t.Errorf("second Create: got %v, want ErrExists", err)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, logFile)); !bytes.Equal(before, after) {
			t.Error("second Create changed a key")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if _, err := Create(plain, council, nil); err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384PEM, err := marshalPrivate(p384, nil)
	if err != nil {
		t.Fatal(err)
	}
	nodePEM, err := os.ReadFile(filepath.Join(plain, nodeFile))
	if err != nil {
		t.Fatal(err)
	}

	cases := []struct {
		name, dir string
		change    func(dir string) error
		want      error  // or
		text      string // in the error
	}{
		{name: "empty folder", dir: t.TempDir(), want: fs.ErrNotExist},
		{name: "no log key", dir: plain, change: remove(logFile), want: fs.ErrNotExist},
		{name: "no secret", dir: plain, change: remove(secretFile), want: fs.ErrNotExist},
		{name: "exposed", dir: plain, change: func(d string) error { return os.Chmod(filepath.Join(d, nodeFile), 0o604) }, want: ErrExposed},
		{name: "not PEM", dir: plain, change: put(recordFile, "hello"), text: "not PEM"},
		{name: "truncated", dir: plain, change: put(recordFile, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), text: recordFile},
		{name: "huge", dir: plain, change: put(recordFile, strings.Repeat("x", maxKeyFile+1)), text: "longer"},
		{name: "P-384", dir: plain, change: put(recordFile, string(p384PEM)), text: "P-256"},
		{name: "Ed25519 for records", dir: plain, change: put(recordFile, string(nodePEM)), text: "not an ECDSA key"},
		{name: "ECDSA for the log", dir: plain, change: put(logFile, string(p384PEM)), text: "not an Ed25519 key"},
		{name: "short secret", dir: plain, change: put(secretFile, "-----BEGIN STILE SECRET-----\nAAAA\n-----END STILE SECRET-----\n"), text: "32 bytes"},
		{name: "secret of another type", dir: plain, change: put(secretFile, string(nodePEM)), text: "STILE SECRET"},
		{name: "two record keys", dir: plain, change: put(kmsFile, "fake://key"), text: "both"},
		{name: "not a reference", dir: plain, change: func(d string) error {
			return errors.Join(remove(recordFile)(d), put(kmsFile, "hello there")(d))
		}, text: "name://key"},
		{name: "no such plugin", dir: plain, change: func(d string) error {
			return errors.Join(remove(recordFile)(d), put(kmsFile, "no-such-plugin://key")(d))
		}, text: "no kms provider"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.want == ErrExposed && runtime.GOOS == "windows" {
				t.Skip("no permission bits on this system")
			}
			dir := c.dir
			if c.change != nil {
				dir = copyDir(t, c.dir)
				if err := c.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Open(dir, council, nil)
			if err == nil || r != nil {
				t.Fatal("opened")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %q, want it to say %q", err, c.text)
			}
		})
	}
}

// TestPassphrase opens a ring of which one private key and the secret are
// locked, each of them first, with every passphrase but the right one and then with it.
func TestPassphrase(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	r, err := Create(plain, council, nil)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := readPrivate(plain, recordFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := marshalPrivate(priv, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := marshalSecret(r.Secret, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string][]byte{recordFile: record, secretFile: secret} {
		dir := copyDir(t, plain)
		if err := put(file, string(block))(dir); err != nil {
			t.Fatal(err)
		}
		for _, pass := range []string{"", "wrong"} {
			if _, err := Open(dir, council, []byte(pass)); !errors.Is(err, ErrPassphrase) {
				t.Errorf("%s, passphrase %q: got %v, want ErrPassphrase", file, pass, err)
			}
		}
		got, err := Open(dir, council, []byte("right"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Record.ID() != r.Record.ID() || got.Secret != r.Secret {
			t.Errorf("%s: opened as another key", file)
		}
	}
}

func TestCreateThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, kmsFile), []byte("no-such-plugin://key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, council, nil); err == nil {
		t.Fatal("created a ring with no record key")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != kmsFile {
		t.Errorf("left %v, %v; want only %s", files, err, kmsFile)
	}
}

// pluginName is the file name under which this test's own binary serves as a
// plugin of sigstore's.
const pluginName = "sigstore-kms-stiletest"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == pluginName {
		plugin()
		return
	}
	os.Exit(m.Run())
}

// plugin answers one question as a KMS plugin would, each kind of key in its
// own way.
func plugin() {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	if args.InitOptions.CtxDeadline != nil {
		handler.WriteErrorResponse(os.Stdout, errors.New("the key has a deadline"))
		return
	}
	if args.InitOptions.KeyResourceID == "mute" {
		os.Stdout.WriteString("{}")
		return
	}
	b, err := os.ReadFile(os.Getenv("STILE_TEST_KEY"))
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	priv, err := x509.ParseECPrivateKey(b)
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	sv, err := signature.LoadECDSASignerVerifier(priv, crypto.SHA256)
	if err != nil {
		handler.WriteErrorResponse(os.Stdout, err)
		return
	}
	handler.Dispatch(os.Stdout, os.Stdin, args, fakeKMS{sv, args.InitOptions.KeyResourceID == "liar"})
}

// TestRecordKeyBehindKMS reads a record key by reference through sigstore's
// plugin mechanism, with this test's binary as the plugin.
func TestRecordKeyBehindKMS(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the plugin is a symbolic link")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, pluginName)); err != nil {
		t.Fatal(err)
	}
	priv, err := newP256()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "key"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("STILE_TEST_KEY", filepath.Join(bin, "key"))

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, kmsFile), []byte("stiletest://records\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Create(dir, council, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, recordFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a private record key was written beside record.kms")
	}
	if want, err := newRecordPublic(&priv.PublicKey); err != nil || r.Record.ID() != want.ID() {
		t.Errorf("the key is %s, want %s (%v)", r.Record.ID(), want.ID(), err)
	}
	for range 3 {
		sig, err := r.Record.Sign([]byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Record.Public().Verify([]byte("hello"), sig); err != nil {
			t.Error(err)
		}
	}

	liar, err := openKMS("stiletest://liar")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := liar.Sign([]byte("hello")); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature of something else: got %v, want ErrSignature", err)
	}
	if _, err := openKMS("stiletest://mute"); err == nil {
		t.Error("a plugin that answers nothing gave a key")
	}
	t.Setenv("STILE_TEST_KEY", "gone")
	if _, err := r.Record.Sign([]byte("hello")); err == nil {
		t.Error("signed without the key")
	}
}

type fakeKMS struct {
	*signature.ECDSASignerVerifier
	lie bool
}

func (f fakeKMS) PublicKey(o ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return f.ECDSASignerVerifier.ECDSASigner.PublicKey(o...)
}
func (f fakeKMS) SignMessage(m io.Reader, o ...signature.SignOption) ([]byte, error) {
	if f.lie {
		m = strings.NewReader("something else")
	}
	return f.ECDSASigner.SignMessage(m, o...)
}
func (fakeKMS) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, fs.ErrInvalid
}
func (fakeKMS) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, fs.ErrInvalid
}
func (fakeKMS) SupportedAlgorithms() []string { return nil }
func (fakeKMS) DefaultAlgorithm() string      { return "" }

// TestRFC7515A3 checks ES256 verification with the key, input and signature of
// RFC 7515 appendix A.3 (May 2015).
func TestRFC7515A3(t *testing.T) {
	p, err := ParseRecordPublic([]byte(`{"kty":"EC","crv":"P-256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	input := []byte("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ")
	sig, err := base64.RawURLEncoding.DecodeString("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(input, sig); err != nil {
		t.Fatal(err)
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if p.Verify(input, bad) == nil {
			t.Errorf("verified with bit 0 of byte %d flipped", i)
		}
	}
	for _, bad := range [][]byte{nil, sig[:63], append(bytes.Clone(sig), 0), make([]byte, 64)} {
		if err := p.Verify(input, bad); !errors.Is(err, ErrSignature) {
			t.Errorf("signature of %d bytes: got %v, want ErrSignature", len(bad), err)
		}
	}
}

func TestPublicKeyPrintsAndReadsBack(t *testing.T) {
	p := generate(t).Record.Public()
	for _, b := range [][]byte{p.PEM(), p.JWK()} {
		q, err := ParseRecordPublic(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if q.ID() != p.ID() || !bytes.Equal(q.PEM(), p.PEM()) || !bytes.Equal(q.JWK(), p.JWK()) {
			t.Errorf("%s reads as another key", b)
		}
	}
}

func TestParseRecordPublicRefuses(t *testing.T) {
	p := generate(t).Record.Public()
	other := generate(t).Record.Public()
	jwk := func(old, new string) string { return strings.Replace(string(p.JWK()), old, new, 1) }
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384DER, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]string{
		"empty":                "",
		"words":                "a key",
		"private member":       jwk(`"kty"`, `"d":"AAAA","kty"`),
		"another key's id":     jwk(p.ID(), other.ID()),
		"another algorithm":    jwk("ES256", "ES384"),
		"for encryption":       jwk(`"use":"sig"`, `"use":"enc"`),
		"for signing only":     jwk(`"kty"`, `"key_ops":["sign"],"kty"`),
		"for nothing":          jwk(`"kty"`, `"key_ops":[],"kty"`),
		"for verifying twice":  jwk(`"kty"`, `"key_ops":["verify","verify"],"kty"`),
		"ops that are no list": jwk(`"kty"`, `"key_ops":"verify","kty"`),
		"ops that are no text": jwk(`"kty"`, `"key_ops":["verify",1],"kty"`),
		"ops that are null":    jwk(`"kty"`, `"key_ops":null,"kty"`),
		"another curve":        jwk("P-256", "P-384"),
		"another type":         jwk(`"EC"`, `"RSA"`),
		"point off the curve":  jwk(p.x, other.x),
		"padded coordinate":    jwk(p.x, p.x+"="),
		"short coordinate":     jwk(p.x, p.x[:40]),
		"no coordinate":        jwk(`"x"`, `"z"`),
		"number as coordinate": jwk(`"`+p.x+`"`, "1"),
		"duplicate member":     jwk(`"kty"`, `"crv":"P-256","kty"`),
		"JSON array":           "[]",
		"PEM and more":         string(p.PEM()) + "x",
		"words before PEM":     "x\n" + string(p.PEM()),
		"two PEM blocks":       string(p.PEM()) + string(p.PEM()),
		"P-384":                string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p384DER})),
		"another PEM type":     strings.ReplaceAll(string(p.PEM()), "PUBLIC KEY", "CERTIFICATE"),
	} {
		if q, err := ParseRecordPublic([]byte(s)); err == nil || q != nil {
			t.Errorf("%s: accepted %q", what, s)
		}
	}
}

func TestRawSignatureRefuses(t *testing.T) {
	der := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, big33 := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	top := new(big.Int).Sub(big33, one)
	for _, v := range []*big.Int{one, big.NewInt(128), top} {
		raw, err := rawSignature(der(v, one))
		if err != nil || new(big.Int).SetBytes(raw[:32]).Cmp(v) != 0 || raw[63] != 1 {
			t.Errorf("r = %v: got %x, %v", v, raw, err)
		}
	}
	for what, b := range map[string][]byte{
		"empty": nil, "too big": der(big33, one), "negative": der(big.NewInt(-5), top),
		"trailing": append(der(one, one), 0), "one integer": {0x30, 6, 2, 4, 1, 1, 1, 1},
		"length past the end": {0x30, 6, 2, 9, 1, 2, 1, 1}, "empty integer": {0x30, 6, 2, 0, 2, 2, 1, 1},
	} {
		if raw, err := rawSignature(b); err == nil {
			t.Errorf("%s: accepted as %x", what, raw)
		}
	}
}

func TestLogKeySignsAndCosigns(t *testing.T) {
	r := generate(t)
	v, err := note.NewVerifier(r.Log.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	cv, err := fnote.NewVerifierForCosignatureV1(r.Log.CosignerVerifier())
	if err != nil {
		t.Fatal(err)
	}
	if v.Name() != council+"/stile" || cv.Name() != council {
		t.Errorf("names are %q and %q", v.Name(), cv.Name())
	}
	text := "northmoor.gov.uk/stile\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	msg, err := note.Sign(&note.Note{Text: text}, r.Log.Signer(), r.Log.Cosigner())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(msg, note.VerifierList(v, cv))
	if err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("got %+v, %v; want both signatures verified", n, err)
	}
	at, err := fnote.CoSigV1Timestamp(n.Sigs[1])
	if err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("cosigned at %v, %v", at, err)
	}
	if r.Log.logPublic.Equal(r.Log.witnessPublic) {
		t.Error("the log key and the witness key are one key")
	}
	if _, err := note.Open(msg, note.VerifierList(mustVerifier(t, generate(t).Log.Verifier()))); err == nil {
		t.Error("another council's key opened the note")
	}
}

func TestRecordID(t *testing.T) {
	r := &Ring{Secret: sha256.Sum256([]byte("a test secret"))}
	// Computed with openssl: printf 'standards.example/a\0["1"]' |
	// openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf 'a test secret' | sha256sum)
	const want = "jwbbimh7lrsnf3u5nh6rsrpene"
	a, b := name.StandardLine{Name: "standards.example/a", Major: 1}, name.StandardLine{Name: "standards.example/b", Major: 1}
	if got := r.RecordID(a, `["1"]`); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a2 := name.StandardLine{Name: "standards.example/a", Major: 2}
	// The same with 'standards.example/a@2\0["1"]'.
	const want2 = "avsntncnjpvk6m5n4ruzuonfbm"
	if got := r.RecordID(a2, `["1"]`); string(got) != want2 {
		t.Errorf("major 2: got %s, want %s", got, want2)
	}
	other := *r
	other.Secret[0] ^= 1
	seen := map[any]bool{}
	for _, id := range []any{
		r.RecordID(a, "1"), r.RecordID(a, "2"), r.RecordID(b, "1"), r.RecordID(a2, "1"), other.RecordID(a, "1"),
		r.RecordID(name.StandardLine{Name: a.Name}, "1"), r.RecordID(name.StandardLine{Name: a.Name, Major: 12}, "1"),
	} {
		if seen[id] {
			t.Errorf("two records share the id %v", id)
		}
		seen[id] = true
	}
}

func FuzzParseRecordPublic(f *testing.F) {
	p := generate(f).Record.Public()
	f.Add(p.PEM())
	f.Add(p.JWK())
	f.Add([]byte(`{"kty":"EC"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseRecordPublic(b)
		if err != nil {
			return
		}
		for _, b := range [][]byte{p.PEM(), p.JWK()} {
			q, err := ParseRecordPublic(b)
			if err != nil || q.ID() != p.ID() {
				t.Fatalf("%s: %v", b, err)
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k, msg := generate(b).Record, make([]byte, 1500)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.Sign(msg); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
}

func BenchmarkVerify(b *testing.B) {
	k, msg := generate(b).Record, make([]byte, 1500)
	sig, err := k.Sign(msg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := k.Public().Verify(msg, sig); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
}

func mustVerifier(t *testing.T, vkey string) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func remove(file string) func(string) error {
	return func(d string) error { return os.Remove(filepath.Join(d, file)) }
}

func put(file, text string) func(string) error {
	return func(d string) error { return os.WriteFile(filepath.Join(d, file), []byte(text), 0o600) }
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		copyFile(t, from, to, f.Name())
	}
	return to
}

func copyFile(t *testing.T, from, to, file string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, file), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOneForm: of the two signatures that hold Sign makes the one, and RFC 7518's
// check takes both.
func TestOneForm(t *testing.T) {
	k := generate(t).Record
	for range 32 {
		sig, err := k.Sign([]byte("a.b"))
		if err != nil {
			t.Fatal(err)
		}
		twin := bytes.Clone(sig)
		new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:])).FillBytes(twin[32:])
		if !OneForm(sig) || OneForm(twin) {
			t.Fatalf("%x is of the one form: %v; %x: %v", sig, OneForm(sig), twin, OneForm(twin))
		}
		for _, s := range [][]byte{sig, twin} {
			if err := k.Public().Verify([]byte("a.b"), s); err != nil {
				t.Errorf("%x: %v", s, err)
			}
		}
	}
}

// One key in 64 would have an id that begins with a dash.
func TestIDIsNoFlag(t *testing.T) {
	for range 600 {
		k, err := newP256()
		if err != nil {
			t.Fatal(err)
		}
		p, err := newRecordPublic(&k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if p.ID()[0] == '-' {
			t.Fatal("an id begins with a dash")
		}
	}
}
