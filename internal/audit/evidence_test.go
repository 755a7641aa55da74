package audit_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// evidence returns a file against a log, of two heads by size and first byte of the
// root, and the log's member entry.
func evidence(t testing.TB, signer *keys.Ring, heldSize, toldSize uint64, held, told byte) *audit.Evidence {
	t.Helper()
	sign := func(size uint64, root byte) string {
		b, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: name.Council("northmoor.gov.uk").Origin(), Size: size, Root: tlog.Hash{root}}, signer.Log.Signer())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	key := audit.Key{Council: "northmoor.gov.uk", Use: audit.UseLog, ID: signer.Log.Verifier()}
	return &audit.Evidence{
		Format: audit.EvidenceFormat, Log: "northmoor.gov.uk", Fault: "fork", Reason: "told", FoundBy: "saltby.gov.uk", Since: time.Unix(1700000000, 0).UTC(),
		Held: sign(heldSize, held), Told: sign(toldSize, told), Keys: []string{key.String()},
	}
}

// TestEvidence: two roots of one size prove themselves; nothing else does.
func TestEvidence(t *testing.T) {
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	trust := audit.Trust{Members: []directory.Member{directory.FromRing("northmoor.gov.uk", ring)}}
	edit := func(e *audit.Evidence, f func(*audit.Evidence)) *audit.Evidence { f(e); return e }
	for _, c := range []struct {
		what   string
		e      *audit.Evidence
		trust  audit.Trust
		proven bool
		says   string
	}{
		{"a fork", evidence(t, ring, 7, 7, 1, 2), trust, true, "two histories"},
		{"a fork, by the file's own key", evidence(t, ring, 7, 7, 1, 2), audit.Trust{}, true, "from the file itself"},
		{"made with another key", evidence(t, stranger, 7, 7, 1, 2), trust, false, "not signed by the log"},
		{"the same head twice", evidence(t, ring, 7, 7, 1, 1), trust, false, "the same head"},
		{"two sizes", evidence(t, ring, 5016, 5018, 1, 2), trust, false, "is the word of saltby.gov.uk"},
		{"two sizes and a proof that fails", edit(evidence(t, ring, 5018, 5016, 1, 2), func(e *audit.Evidence) { e.Proof = []tlog.Hash{{1}} }), trust, false, "nobody signed that proof"},
		{"one head", edit(evidence(t, ring, 7, 7, 1, 2), func(e *audit.Evidence) { e.Told = "" }), trust, false, "proves nothing"},
		{"a head altered", edit(evidence(t, ring, 7, 7, 1, 2), func(e *audit.Evidence) { e.Told = strings.Replace(e.Told, "\n7\n", "\n8\n", 1) }), trust, false, "not signed by the log"},
		{"another log's", edit(evidence(t, ring, 7, 7, 1, 2), func(e *audit.Evidence) { e.Log = "hexwell.gov.uk" }), trust, false, "not signed by the log"},
	} {
		e, err := audit.ParseEvidence(c.e.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		j := e.Judge(c.trust)
		if says := strings.Join(j.Says, "\n"); j.Proven != c.proven || !strings.Contains(says, c.says) {
			t.Errorf("%s: proven %v, want %v; says\n%s\nwant %q", c.what, j.Proven, c.proven, says, c.says)
		}
	}
	// A proof that holds clears the log.
	var tree tlog.Tree
	tree.Append([]tlog.Hash{{1}})
	one := tree.Root()
	tree.Append([]tlog.Hash{{2}})
	clear := evidence(t, ring, 1, 2, 0, 0)
	for size, root := range map[uint64]tlog.Hash{1: one, 2: tree.Root()} {
		b, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: name.Council("northmoor.gov.uk").Origin(), Size: size, Root: root}, ring.Log.Signer())
		if err != nil {
			t.Fatal(err)
		}
		if size == 1 {
			clear.Held = string(b)
		} else {
			clear.Told = string(b)
		}
	}
	clear.Proof = []tlog.Hash{tlog.Leaf(tlog.Hash{2})}
	if j := clear.Judge(trust); j.Proven || !strings.Contains(strings.Join(j.Says, " "), "shows that both are of one history") {
		t.Errorf("an honest log: %+v", j)
	}
}

// FuzzEvidence: it never panics, and what is accepted has one form.
func FuzzEvidence(f *testing.F) {
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(evidence(f, ring, 7, 7, 1, 2).Bytes())
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := audit.ParseEvidence(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bytes(), b) {
			t.Errorf("printed as\n%s", e.Bytes())
		}
		if j := e.Judge(audit.Trust{}); j.Proven && (j.Held == nil || j.Told == nil) {
			t.Error("proven without two heads")
		}
	})
}
