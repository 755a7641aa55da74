package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/browsertest"
)

// The page verifies in a browser what the program verifies in a shell, in the same
// words, and asks nothing of any network.
func TestPageVerifiesOffline(t *testing.T) {
	samples, err := filepath.Abs(filepath.Join("..", "..", "..", "internal", "audit", "testdata", "format2"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "stile-audit.html")
	if err := write(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(samples, "moving.stile"))
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("entries/0000.ndjson"))+100] ^= 1
	broken := filepath.Join(dir, "broken.stile")
	if err := os.WriteFile(broken, b, 0o600); err != nil {
		t.Fatal(err)
	}
	type seen struct{ Verdict, Report string }
	var got struct {
		Alone, Trusted, Shown, Broken, Token, Nonsense seen
		Requests                                       []string
	}
	browsertest.Run(t, filepath.Join("testdata", "verify.mjs"), &got, file, samples, broken, os.Getenv("STILE_SHOTS"))
	if len(got.Requests) > 0 {
		t.Errorf("the page asks for %v", got.Requests)
	}
	for what, g := range map[string]struct {
		seen
		verdict, report string
	}{
		"alone":    {got.Alone, "Nothing failed", "from this file alone"},
		"trusted":  {got.Trusted, "Nothing failed", "given by you"},
		"shown":    {got.Shown, "nothing was verified", ""},
		"broken":   {got.Broken, "", "Try: "},
		"token":    {got.Token, "Nothing failed", ""},
		"nonsense": {got.Nonsense, "could not be read", "Try: "},
	} {
		if !strings.Contains(g.Verdict, g.verdict) || !strings.Contains(g.Report, g.report) || g.Report == "" {
			t.Errorf("%s: %q, %q", what, g.Verdict, g.Report)
		}
	}
	if strings.Contains(got.Broken.Verdict, "Nothing failed") {
		t.Error("a changed bundle passes")
	}

	// The same words as in a shell.
	shell := exec.Command("go", "run", "..", "verify", filepath.Join(samples, "moving.stile"),
		"--trust", filepath.Join(samples, "directory", "northmoor.gov.uk.yaml"), "--trust", filepath.Join(samples, "directory", "saltby.gov.uk.yaml"))
	shell.Env = append(os.Environ(), "CGO_ENABLED=0") // as its packages have been compiled
	out, err := shell.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != got.Trusted.Report {
		t.Errorf("in a shell:\n%s\nin the page:\n%s", out, got.Trusted.Report)
	}
}
