package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// neighbour is the release before this one, with which this program exchanges
// (docs/versions.md), and the commit it was cut at: the tag is not needed.
const (
	neighbour       = "v0.1.0"
	neighbourCommit = "cfe6b1e7951b6e7b01c2055caffb9ded0dc55f3f"
)

// neighbourProgram builds the command of [neighbour] from the history, once for all tests,
// in the way of [program], so that what has not changed since is not compiled again. skip
// says why it cannot be.
var neighbourProgram = sync.OnceValues(func() (bin, skip string) {
	if out, err := exec.Command("git", "cat-file", "-e", neighbourCommit+"^{commit}").CombinedOutput(); err != nil {
		return "", fmt.Sprintf("the history does not reach back to %s, commit %.12s (%v: %s)", neighbour, neighbourCommit, err, bytes.TrimSpace(out))
	}
	dir, err := buildFolder()
	if err != nil {
		panic(err)
	}
	source := filepath.Join(dir, "source")
	defer os.RemoveAll(source)
	archive := exec.Command("git", "archive", "--output="+filepath.Join(dir, "source.tar"), neighbourCommit)
	archive.Dir = filepath.Join("..", "..") // of a folder below, git takes that folder alone
	unpack := exec.Command("tar", "-xf", filepath.Join(dir, "source.tar"), "-C", source)
	bin = filepath.Join(dir, "stile")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./cmd/stile")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if err := os.Mkdir(source, 0o700); err != nil {
		panic(err)
	}
	for _, c := range []*exec.Cmd{archive, unpack, build} {
		if out, err := c.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("build %s: %v: %v\n%s", neighbour, c.Args, err, out))
		}
	}
	return bin, ""
})

// bothPrograms returns the command of [neighbour] and this one, or skips the test, saying
// why, where the history that the former is built from is not there.
func bothPrograms(t *testing.T) (old, now string) {
	t.Helper()
	old, skip := neighbourProgram()
	if skip != "" {
		t.Skip(skip)
	}
	now, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return old, now
}

// A side of TestNeighbours sends under agreements of its own to the other.
type side struct {
	*process
	other *side
	slug  string
}

func (s *side) agreement(kind string) string { return s.name + "/" + s.slug + kind }

// text is a complete agreement to the other side.
func (s *side) text(kind, mode, match string) string {
	fields := []string{"/reference", "/organisation", "/district", "/applicationType", "/status", "/description", "/decision", "/decisionDate"}
	if mode == "aggregate" {
		fields = []string{"/district", "/status"}
	}
	text := agreementText(s.slug+kind, "standards.stile.example/planning-application@1", `record.district == "X"`, fields...)
	// It is good for as long as anybody may try it: see keptPairs.
	text = strings.NewReplacer("retention: P1Y", "retention: P900Y", "review: 2034-11-01", "review: 2999-01-01", "ends: 2035-01-01", "ends: 2999-01-01").Replace(text)
	if s.name != theCouncil {
		text = strings.NewReplacer(theCouncil, s.name, s.name, theCouncil).Replace(text)
	}
	return strings.Replace(text, "mode: replicate\n", "mode: "+mode+"\n"+match, 1)
}

// sign puts such an agreement in force.
func (s *side) sign(kind, mode, match string) {
	s.t.Helper()
	f := filepath.Join(s.t.TempDir(), "agreement.yaml")
	if err := os.WriteFile(f, []byte(s.text(kind, mode, match)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.must("agreement", "sign", "--yes", f)
	eventually(s.t, s.agreement(kind)+" has arrived", func() bool {
		_, _, code := s.other.run("agreement", "show", s.agreement(kind), "--json")
		return code == 0
	})
	s.other.must("agreement", "sign", "--yes", s.agreement(kind))
}

// put imports the side's records from one number to another, with a description.
func (s *side) put(from, to int, description string) {
	s.t.Helper()
	s.must("import", plans(s.t, s.slug, from, to, func(i int, rec map[string]any) {
		rec["district"], rec["description"] = "X", description
	}), "--standard", "planning-application")
}

// held waits until the other side holds so many records, all but those before from with
// the description, and the side knows it and that every withdrawal is receipted.
func (s *side) held(n int, description string, with int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s holds %d of %s, %d of them %q", s.other.name, n, s.name, with, description), func() bool {
		out, _, code := s.other.run("record", "list", "--from", s.name, "--all", "--bodies", "--json")
		return code == 0 && strings.Count(out, "\n") == n && strings.Count(out, fmt.Sprintf("%q", description)) == with
	})
	eventually(s.t, s.name+" knows it", func() bool {
		for _, p := range s.status().Partners {
			if p.Agreement == name.Agreement(s.agreement("")) && p.Direction == "to" {
				return (p.InStep || p.Suspended) && p.Held == n && p.Outstanding == 0
			}
		}
		return false
	})
}

// handsOver has the other side take over a record, and returns what tells whether it holds
// that still and how many orders to erase it are outstanding.
func (s *side) handsOver(record string) (taken func() (held bool, orders int)) {
	t := s.t
	t.Helper()
	under := s.agreement("-moved")
	s.sign("-moved", "handover", "")
	eventually(t, under+" is in force", func() bool { return strings.Contains(s.must("agreement", "show", under), "in force") })
	var c node.CaseReply
	if err := json.Unmarshal([]byte(s.must("handover", "offer", s.other.name, record, "--standard", "planning-application", "--because", "moved", "--by", "Jo", "--json")), &c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the offer has come", func() bool { _, _, code := s.other.run("handover", "show", c.Case); return code == 0 })
	s.other.must("handover", "accept", c.Case, "--yes", "--by", "Sam")
	eventually(t, "the handover is closed", func() bool { return strings.Contains(s.must("handover", "show", c.Case), "handover-closed") })
	taken = func() (held bool, orders int) {
		for _, p := range s.status().Partners {
			if p.Agreement == name.Agreement(under) {
				orders += p.Outstanding
			}
		}
		return strings.Contains(s.other.must("record", "list", "--from", s.name, "--all", "--json"), under), orders
	}
	if held, orders := taken(); !held || orders != 0 {
		t.Fatalf("of what was handed over %s holds: %v, and %d orders are outstanding", s.other.name, held, orders)
	}
	return taken
}

// TestNeighbours: a council that runs the release before this one and a council that runs this
// program exchange with each other, both ways, in all that the former knows; then the former is
// upgraded where it stands, with its folder, and goes on. What either made before is valid
// for the other's program. docs/versions.md promises it.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	old, now := bothPrograms(t)
	n := &side{process: newProcessOf(t, old, theCouncil, "E07000998"), slug: "plans"}
	s := &side{process: newProcessOf(t, now, "saltby.gov.uk", "E07000999"), slug: "works"}
	n.other, s.other = s, n
	sides := []*side{n, s}
	if said := n.must("version"); !strings.HasPrefix(said, "stile "+neighbour+" ") {
		t.Fatalf("%s was to be built, and says %s", neighbour, said)
	}
	know(t, n.process, s.process)
	n.serve()
	s.serve()

	// First copy, and a live change.
	for _, x := range sides {
		x.put(0, 20, "first")
		x.sign("", "replicate", "")
		x.held(20, "first", 20)
	}
	for _, x := range sides {
		x.put(0, 5, "second")
		x.held(20, "second", 5)
	}
	// What each shows an auditor is valid for the other's program.
	shown := func() {
		t.Helper()
		for _, x := range sides {
			for _, more := range [][]string{{"--agreement", x.agreement("")}, {"--held", "--agreement", x.other.agreement("")}} {
				file := filepath.Join(t.TempDir(), "audit.stile")
				x.must(append([]string{"export", "bundle", "--out", file}, more...)...)
				x.other.must("verify", file, "--trust", filepath.Join(x.other.dir, "directory"))
			}
		}
	}
	shown()

	// A withdrawal is carried out and receipted; what is suspended waits, and goes on.
	for _, x := range sides {
		x.must("record", "delete", "--yes", x.slug+"/0", "--standard", "planning-application")
		x.held(19, "second", 4)
		x.must("agreement", "suspend", "--yes", x.agreement(""), "--reason", "to see that it holds")
		eventually(t, "the receiver knows of it", func() bool {
			return strings.Contains(x.other.must("agreement", "show", x.agreement("")), "suspended")
		})
		x.put(20, 21, "third")
		x.must("record", "delete", "--yes", x.slug+"/1", "--standard", "planning-application")
	}
	for _, x := range sides {
		x.held(18, "third", 0)
		x.must("agreement", "resume", "--yes", x.agreement(""))
		x.held(19, "third", 1)
	}
	// What the older one took over is erased after the agreement is over: it keeps the order,
	// and obeys it when it is upgraded (docs/handover.md).
	taken := s.handsOver("works/9")
	s.must("agreement", "end", "--yes", s.agreement("-moved"), "--reason", "all have moved")
	s.must("record", "erase", "--yes", "works/9", "--standard", "planning-application", "--reason", "request 7")
	if held, orders := taken(); !held || orders != 1 {
		t.Errorf("ordered to erase what it took over, %s holds it: %v, and %d orders are outstanding", neighbour, held, orders)
	}

	// Questions: about one record, and for counts.
	ask := func() {
		t.Helper()
		for _, x := range sides {
			out := x.other.must("lookup", x.agreement("-asked"), "/reference="+x.slug+"/7", "--because", "case 1")
			if !strings.Contains(out, `"description": "first"`) || strings.Contains(out, "CANARY") {
				t.Errorf("the answer of %s is %s", x.name, out)
			}
			if out := x.other.must("aggregate", x.agreement("-counted"), "--because", "table 1"); !strings.Contains(out, "RECORDS\n") {
				t.Errorf("%s counted %s", x.name, out)
			}
		}
	}
	for _, x := range sides {
		x.sign("-asked", "lookup", "match: [/reference]\n")
		x.sign("-counted", "aggregate", "")
	}
	ask()
	// The order came before the texts of those agreements, so that it was read.
	if held, orders := taken(); !held || orders != 1 {
		t.Errorf("when it has the order %s holds what it took over: %v, and %d orders are outstanding; docs/handover.md says otherwise", neighbour, held, orders)
	}

	// The older one is upgraded where it stands, while the other goes on.
	n.kill()
	s.put(21, 22, "fourth")
	n.bin = now
	n.ledgerIsWhole()
	n.serve()
	eventually(t, "the order is obeyed", func() bool { held, orders := taken(); return !held && orders == 0 })
	s.held(19, "fourth", 1)
	n.put(21, 22, "fourth")
	n.held(20, "fourth", 1)
	ask()
	shown()
}

// TestOfALaterRelease: what a later release may say to this one and to the one before, an
// event of a kind that they do not know and the text of an agreement with a heading that they
// do not know, is left out whole: nothing of it is in force, and what was agreed before goes
// on. So it is for a node that goes back to this release, whose own ledger has such entries.
func TestOfALaterRelease(t *testing.T) {
	t.Parallel()
	now, err := program()
	if err != nil {
		t.Fatal(err)
	}
	n, s := unpackPair(t, filepath.Join(keptPairs, neighbour, keptFile), now)
	// A folder that was moved signs once its partners were asked.
	n.serve()
	s.serve()
	eventually(t, s.name+" may sign", func() bool {
		_, _, code := s.run("agreement", "resume", "--yes", s.agreement(""))
		return code == 0
	})
	n.stop()
	s.stop()

	// Saltby's folder, as a later release would have left it.
	ring, err := keys.Open(filepath.Join(s.dir, "keys"), name.Council(s.name), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Options{Dir: filepath.Join(s.dir, "ledger"), Council: name.Council(s.name), Keys: ring, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := agreement.Parse([]byte(s.text("-later", "replicate", "")))
	if err != nil {
		t.Fatal(err)
	}
	body := agreement.Proposal{Agreement: doc}.Body()
	body["document"].(map[string]any)["heading_of_later"] = "as nobody knows yet"
	text := sha256.Sum256(strictjson.Canonical(body["document"]))
	body["digest"] = hex.EncodeToString(text[:])
	for _, err := range []error{
		errOf(l.AppendNotice(t.Context(), "kind-of-later", map[string]any{"says": "what nobody knows yet"}, name.Council(n.name))),
		errOf(l.AppendNotice(t.Context(), event.KindAgreementProposal, body, name.Council(n.name))),
		l.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	receivers := []string{now}
	if old, skip := neighbourProgram(); skip != "" {
		t.Logf("%s is not tried: %s", neighbour, skip)
	} else {
		receivers = []string{old, now}
	}
	s.serve()
	for i, bin := range receivers {
		n.bin = bin
		n.serve()
		s.must("record", "delete", "--yes", fmt.Sprint(s.slug, "/", 2+i), "--standard", "planning-application")
		s.held(10-i, "first", 9-i)
		if _, errs, code := n.run("agreement", "show", s.agreement("-later")); code != 3 {
			t.Errorf("a text that is not understood is shown: exit %d, %s", code, errs)
		}
		n.kill()
	}
}

func errOf(_ uint64, _ []byte, err error) error { return err }
