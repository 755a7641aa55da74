package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The record key may live in a security module: SoftHSM stands for it here, through
// its PKCS #11 library. The key is made in the token and never leaves it; records
// are taken in, proved and shown as tokens that a stranger verifies; and what goes
// wrong is said in words.
func TestRecordKeyInSecurityModule(t *testing.T) {
	if _, err := exec.LookPath("softhsm2-util"); err != nil {
		t.Skip("SoftHSM is not installed; make test installs it from apt")
	}
	libs, _ := filepath.Glob("/usr/lib/*/softhsm/libsofthsm2.so")
	libs = append(libs, "/usr/lib/softhsm/libsofthsm2.so")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	t.Setenv("SOFTHSM2_CONF", write("softhsm2.conf", conf))
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	plugin := filepath.Join(dir, "sigstore-kms-pkcs11")
	must := func(c *exec.Cmd) string {
		t.Helper()
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
		return string(out)
	}
	build := exec.Command("go", "build", "-o", plugin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1") // the module is a library of C
	build.Dir = filepath.Join("..", "sigstore-kms-pkcs11")
	must(build)
	must(exec.Command("softhsm2-util", "--init-token", "--free", "--label", "stile", "--pin", "471147", "--so-pin", "081508"))
	pin := write("pin", "471147\n")
	ref := "pkcs11://token=stile;object=record?module-path=" + libs[0] + "&pin-source=file:" + pin
	must(exec.Command(plugin, "create", ref))
	if out, err := exec.Command(plugin, "create", ref).CombinedOutput(); err == nil || !strings.Contains(string(out), "not replaced") {
		t.Errorf("made twice: %v\n%s", err, out)
	}

	for bad, want := range map[string]string{
		"pkcs11://token=a;object=b?pin-value=1":                                        "a PIN does not belong",
		"pkcs11://token=a;token=b;object=c":                                            `"token" is there twice`,
		"pkcs11://token=a;object=":                                                     `"object" has no value`,
		"pkcs11://token=a;object=%zz":                                                  "hexadecimal",
		"pkcs11://token=a;object=b;colour=c":                                           `"colour" is not known`,
		"pkcs11://token=a":                                                             "name the key",
		"pkcs11://token=a;object=b?module-path=x.so":                                   "not an absolute path",
		"pkcs11://token=a;object=b?module-path=/x.so":                                  "pin-source",
		"pkcs11://object=b?module-path=/x.so&pin-source=file:" + pin:                   "by one of",
		"pkcs11://token=a;slot-id=1;object=b?module-path=/x.so&pin-source=file:" + pin: "by one of",
		strings.Replace(ref, "file:"+pin, "file:"+pin+".none", 1):                      "no such file",
		strings.Replace(ref, "object=record", "object=other", 1):                       "no such key pair",
	} {
		if out, err := exec.Command(plugin, "public", bad).CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q:\n%s", bad, err, want, out)
		}
	}

	p := newProcess(t, "northmoor.gov.uk", "E07000998", "--record-kms", ref)
	if _, err := os.Stat(filepath.Join(p.dir, "keys", "record.pem")); err == nil {
		t.Error("a private record key is in the folder")
	}
	var rows strings.Builder
	for _, n := range []string{"1", "2", "3"} {
		rows.WriteString(`{"reference":"26/0000` + n + `/HH","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":"Fell one ash.","receivedDate":"2026-02-16"}` + "\n")
	}
	p.must("import", write("rows.ndjson", rows.String()), "--standard", "planning-application")
	member := write("northmoor.yaml", p.must("council", "self"))
	token := write("ash.token", p.must("record", "show", "26/00001/HH", "--token"))
	if out := p.must("verify", token, "--trust", member); !strings.Contains(out, "Nothing failed") {
		t.Errorf("verify says:\n%s", out)
	}

	// A wrong PIN, and a token that is not there: nothing is signed, and it is said why.
	fails := func(want string) {
		t.Helper()
		_, errs, code := p.run("import", filepath.Join(dir, "rows.ndjson"), "--standard", "planning-application")
		if code == 0 || !strings.Contains(errs, want) || strings.Contains(errs, "471147") {
			t.Errorf("exit %d, want words with %q:\n%s", code, want, errs)
		}
	}
	write("pin", "111111\n")
	fails("refuses the PIN")
	write("pin", "471147\n")
	write("softhsm2.conf", "directories.tokendir = "+t.TempDir()+"\nobjectstore.backend = file\n")
	fails("could not find PKCS#11 token")
	write("softhsm2.conf", conf)
	p.must("record", "list")
}
