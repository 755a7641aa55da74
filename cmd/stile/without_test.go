package main

import (
	"crypto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// docs/verify-without-stile.md holds: each of its blocks, run in order, verifies what
// a council gave, and one changed character in any of the files is found.
func TestVerifyWithoutStile(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "openssl", "node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed; make test installs it", program)
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "verify-without-stile.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```(sh|cosign)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if m[1] == "cosign" {
			if _, err := exec.LookPath("cosign"); err != nil {
				t.Log("cosign is not on PATH: its block is not run, and what it does is done with Sigstore's library")
				continue
			}
		}
		blocks = append(blocks, m[2])
	}
	if len(blocks) < 5 {
		t.Fatalf("%d blocks in the page", len(blocks))
	}

	p := newProcess(t, "northmoor.gov.uk", "E07000998")
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var rows strings.Builder
	for _, n := range []string{"1", "2", "3", "4", "5", "6"} {
		rows.WriteString(`{"reference":"26/0000` + n + `/HH","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":"Fell one ash.","receivedDate":"2026-02-16"}` + "\n")
	}
	write("rows.ndjson", rows.String())
	p.must("import", filepath.Join(dir, "rows.ndjson"), "--standard", "planning-application")
	write("northmoor.yaml", p.must("council", "self"))
	p.must("record", "proof", "26/00003/HH", "--out", filepath.Join(dir, "ash"))

	step := func(block string) (string, error) {
		c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
		c.Dir = dir
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for i, b := range blocks {
		out, err := step(b)
		if err != nil {
			t.Fatalf("block %d: %v\n%s", i+1, err, out)
		}
		if i == 2 && !strings.Contains(out, "Fell one ash.") {
			t.Errorf("block 3 does not show the record:\n%s", out)
		}
	}

	if err := asCosign(read("record.pem"), read("signature.der"), read("signed")); err != nil {
		t.Errorf("as cosign verifies it: %v", err)
	}
	if asCosign(read("record.pem"), read("signature.der"), read("signed")+" ") == nil {
		t.Error("another text verifies as cosign does it")
	}

	token, proof, member := read("ash.token"), read("ash.tlog-proof"), read("northmoor.yaml")
	parts := strings.Split(token, ".")
	swap := func(s string, at int) string {
		c := "A"
		if s[at] == 'A' {
			c = "B"
		}
		return s[:at] + c + s[at+1:]
	}
	cp := strings.Index(proof, "\n\n") + 2 // where the checkpoint begins
	hash := strings.Index(proof, "\nindex ") + 10
	for _, c := range []struct {
		what, file, text string
		block            int // the first that must fail; earlier ones pass
	}{
		{"the payload", "ash.token", parts[0] + "." + swap(parts[1], 40) + "." + parts[2], 2},
		{"the signature", "ash.token", parts[0] + "." + parts[1] + "." + swap(parts[2], 30), 2},
		{"a disclosure", "ash.token", swap(token, strings.Index(token, "~")+20), 3},
		{"the root", "ash.tlog-proof", swap(proof, cp+strings.Index(proof[cp:], "\n")+8), 4},
		{"a hash of the proof", "ash.tlog-proof", swap(proof, hash+4), 5},
		{"the record key", "northmoor.yaml", swap(member, strings.Index(member, "MFkw")+90), 1},
	} {
		write("ash.token", token)
		write("ash.tlog-proof", proof)
		write("northmoor.yaml", member)
		write(c.file, c.text)
		failed := 0
		for i, b := range blocks {
			if i == 2 {
				b = b[strings.Index(b, "\n")+1:] // the packages are there
			}
			if _, err := step(b); err != nil {
				failed = i + 1
				break
			}
		}
		if failed != c.block && !(c.block == 1 && failed == 2) {
			t.Errorf("one character of %s changed: block %d fails, want %d", c.what, failed, c.block)
		}
	}
}

// asCosign verifies a signature as "cosign verify-blob --key" does, by the same functions of Sigstore's library. The
// program itself links several hundred modules, so it is not built for a test.
func asCosign(key, sig, signed string) error {
	pub, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(key))
	if err != nil {
		return err
	}
	v, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		return err
	}
	return v.VerifySignature(strings.NewReader(sig), strings.NewReader(signed))
}
