package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newMode is a row for a mode made of what there is.
const newMode = `	{
		Mode: "glance", Means: "one look at one record", Reach: 1, Answers: AnswersRecords, ByMatch: true,
		Would: "could be glanced at", Sent: "glimpsed", Command: "stile lookup",
	},
`

// TestANewModeIsOneRow compiles the program with one more row in the table of
// modes, and takes an agreement of that mode through draft, preview, signature, a
// question and an auditor. docs/modes.md promises that this is all it takes.
func TestANewModeIsOneRow(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the program")
	}
	table, err := filepath.Abs(filepath.Join("..", "..", "internal", "agreement", "mode.go"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	const end = "}\n\n// Modes returns"
	if strings.Count(string(src), end) != 1 {
		t.Fatalf("the table of modes does not end where it did: %q", end)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "mode.go")
	overlay := filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{table: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{changed: []byte(strings.Replace(string(src), end, newMode+end, 1)), overlay: replace} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "stile")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as what it is made of has been compiled
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	runScripts(t, filepath.Join("testdata", "newmode"), bin)
}
