package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestEvidence: the command says what a file proves, and by its exit code if it does.
func TestEvidence(t *testing.T) {
	const c = name.Council("northmoor.gov.uk")
	ring, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := audit.Key{Council: c, Use: audit.UseLog, ID: ring.Log.Verifier()}.String()
	trust := filepath.Join(dir, "keys.txt")
	if err := os.WriteFile(trust, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(sizes ...uint64) string {
		e := audit.Evidence{Format: audit.EvidenceFormat, Log: c, Fault: "fork", Reason: "told", FoundBy: "saltby.gov.uk", Since: time.Unix(1700000000, 0).UTC(), Keys: []string{key}}
		for i, into := range []*string{&e.Held, &e.Told} {
			b, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: c.Origin(), Size: sizes[i], Root: tlog.Hash{byte(i + 1)}}, ring.Log.Signer())
			if err != nil {
				t.Fatal(err)
			}
			*into = string(b)
		}
		path := filepath.Join(dir, "evidence.json")
		if err := os.WriteFile(path, e.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(want int, says string, args ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := Main(env{in: strings.NewReader(""), out: &out, err: &errs}, args)
		if got != want || !strings.Contains(out.String()+errs.String(), says) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, got, want, says, out.String(), errs.String())
		}
	}
	fork := file(7, 7)
	run(done, "two histories", "evidence", fork, "--trust", trust)
	run(done, "from the file itself", "evidence", fork)
	run(done, `"proven": true`, "evidence", fork, "--json")
	run(failed, "does not prove", "evidence", file(7, 9), "--trust", trust)
	run(invalid, "not a file of evidence", "evidence", trust)
	run(notFound, "no such file", "evidence", filepath.Join(dir, "none"))
}
