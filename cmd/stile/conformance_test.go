package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTUFSuite runs the conformance suite of the TUF project against the program
// that users run.
//
// The suite (github.com/theupdateframework/tuf-conformance) is not ours to keep
// here. It is looked for in the folder that STILE_TUF_SUITE names, else in
// tuf-conformance in the folder of STILE_DATA; python3 must find pytest and the
// packages tuf and securesystemslib, by PYTHONPATH if need be; faketime(1) must
// be there. Debian has python3-pytest, python3-cryptography and faketime; it has
// no package of tuf nor of the suite, so these are checked out from source.
func TestTUFSuite(t *testing.T) {
	suite := os.Getenv("STILE_TUF_SUITE")
	if suite == "" {
		suite = filepath.Join(os.Getenv("STILE_DATA"), "tuf-conformance")
	}
	if _, err := os.Stat(filepath.Join(suite, "tuf_conformance", "conftest.py")); err != nil {
		t.Skip("the TUF conformance suite is not here; set STILE_TUF_SUITE to where it is checked out")
	}
	for _, need := range []string{"python3", "faketime"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("%s is not here", need)
		}
	}
	paths := suite + string(os.PathListSeparator) + os.Getenv("PYTHONPATH")
	environ := append(os.Environ(), "PYTHONPATH="+paths, "PYTHONDONTWRITEBYTECODE=1")
	check := exec.CommandContext(t.Context(), "python3", "-c", "import pytest, tuf.api.metadata, securesystemslib.signer")
	check.Env = environ
	if out, err := check.CombinedOutput(); err != nil {
		t.Skipf("python3 does not find what the suite needs: %s", lastLine(out))
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), "python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tuf_conformance", "--entrypoint", bin+" directory conformance --clock faketime")
	run.Dir, run.Env = suite, environ
	out, err := run.CombinedOutput()
	t.Log(lastLine(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A suite that ran nothing is no proof.
	if m := regexp.MustCompile(`(\d+) passed`).FindSubmatch(out); m == nil || len(m[1]) < 3 {
		t.Errorf("want at least a hundred cases: %s", lastLine(out))
	}
}

func lastLine(out []byte) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return string(lines[len(lines)-1])
}
