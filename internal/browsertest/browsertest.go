// Package browsertest drives pages in a real browser: the system's Chromium, by
// playwright-core. Neither is downloaded by the other; make test installs both.
package browsertest

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata
var driver embed.FS

// Run gives a new page to the JavaScript module in the file script, whose default
// export is an asynchronous function of the page (playwright's Page) and args, and
// decodes what it returns into result. The test fails when the function throws or
// the page writes an error to its console; it is skipped, saying so, where there
// is no Chromium or no Node.js.
func Run(t *testing.T, script string, result any, args ...string) {
	t.Helper()
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			chromium = p
			break
		}
	}
	if chromium == "" {
		t.Skip("no Chromium on PATH, so no page is tried: make test installs it from apt")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s on PATH, so no page is tried: install Node.js 20 or later", program)
		}
	}
	script, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"drive.mjs", script, chromium}, args...)...)
	cmd.Dir = installed(t)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(script), err, errs.Bytes())
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(script), err, out.Bytes())
	}
}

// installed returns a folder with the driver and playwright-core, made by the lock
// file the first time.
func installed(t *testing.T) string {
	t.Helper()
	all := sha256.New()
	files := map[string][]byte{}
	for _, f := range []string{"package.json", "package-lock.json", "drive.mjs"} {
		b, err := driver.ReadFile("testdata/" + f)
		if err != nil {
			t.Fatal(err)
		}
		files[f] = b
		all.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	cache = filepath.Join(cache, "stile-browser")
	dir := filepath.Join(cache, hex.EncodeToString(all.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	made, err := os.MkdirTemp(cache, "new-") // renamed when whole
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(made)
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
