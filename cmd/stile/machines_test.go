package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
)

const theCouncil = "northmoor.gov.uk"

// A machine runs its own node and, when it leads, its council's.
type machine struct {
	*process          // the machine's own node
	council  *process // the council's folder on this machine
}

// copyOf copies a council's data folder as its operator would, to listen elsewhere.
func copyOf(t *testing.T, p *process, listen string) *process {
	t.Helper()
	q := &process{t: t, bin: p.bin, dir: filepath.Join(beside(t), "council"), name: p.name, errs: p.errs}
	if out, err := exec.Command("cp", "-r", p.dir, q.dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	for _, gone := range []string{"ledger", "machine", "admin.sock"} {
		if err := os.RemoveAll(filepath.Join(q.dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(q.dir, "stile.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), "listen:\n")
	_, tail, _ := strings.Cut(rest, "\n")
	if !ok {
		t.Fatalf("no listen in %s", b)
	}
	if err := os.WriteFile(config, []byte(head+"listen:\n  - "+listen+"\n"+tail+fmt.Sprintf("admin_socket: %s\n", filepath.Join(filepath.Dir(p.dir), filepath.Base(filepath.Dir(q.dir))+".sock"))), 0o600); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestCouncilOnMachines: a council that has run on one machine goes on over three,
// under its own name and keys. The machine that runs it is killed again and again;
// what was acknowledged is there, and a partner gets it all in one log.
func TestCouncilOnMachines(t *testing.T) {
	t.Parallel()
	before := newProcess(t, theCouncil, "E07000998")
	partner := newProcess(t, "saltby.gov.uk", "E07000999")
	var addresses []string
	for range 3 {
		a, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, a)
	}
	// The member file lists where each machine listens.
	file := filepath.Join(t.TempDir(), "northmoor.yaml")
	text := before.must("council", "self")
	head, rest, ok := strings.Cut(text, "addresses:")
	if !ok {
		t.Fatalf("no addresses in %s", text)
	}
	lines := strings.SplitAfter(rest, "\n")[1:]
	for len(lines) > 0 && strings.HasPrefix(strings.TrimSpace(lines[0]), "- ") {
		lines = lines[1:]
	}
	text = head + "addresses:\n"
	for _, a := range addresses {
		text += "  - " + a + "\n"
	}
	if err := os.WriteFile(file, []byte(text+strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	before.must("council", "add", "--yes", file)
	before.must("import", plans(t, "N", 0, 50, nil), "--standard", "planning-application")
	partner.serve()

	var ms []*machine
	for i, name := range []string{"one", "two", "three"} {
		m := &machine{newProcess(t, name+"."+theCouncil, ""), before}
		if i > 0 {
			m.council = copyOf(t, before, addresses[i])
		}
		m.serve()
		ms = append(ms, m)
	}
	know(t, ms[0].process, ms[1].process)
	know(t, ms[0].process, ms[2].process)
	know(t, ms[1].process, ms[2].process)
	config := filepath.Join(before.dir, "stile.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ = strings.Cut(string(b), "listen:\n")
	_, rest, _ = strings.Cut(rest, "\n")
	if err := os.WriteFile(config, []byte(head+"listen:\n  - "+addresses[0]+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	ms[0].must("footprint", "found", theCouncil, "--runs", before.dir)
	// Alone it serves already, and its partner is met.
	eventually(t, "the council's node runs", func() bool { _, _, code := before.run("status"); return code == 0 })
	know(t, before, partner)
	sign(t, before, partner, "plans", agreementText("plans", "standards.stile.example/planning-application@1", `record.reference != ""`, "/reference", "/organisation", "/district", "/applicationType", "/status", "/decision", "/decisionDate"))
	ms[0].must("footprint", "invite", theCouncil, ms[1].name)
	ms[1].must("footprint", "join", theCouncil, "--via", ms[0].name, "--runs", ms[1].council.dir)
	ms[0].must("footprint", "invite", theCouncil, ms[2].name)
	ms[1].must("footprint", "agree", "--yes", theCouncil, ms[2].name)
	ms[2].must("footprint", "join", theCouncil, "--via", ms[0].name, "--runs", ms[2].council.dir)

	status := func(m *machine) (r node.FootprintReply) {
		t.Helper()
		if err := json.Unmarshal([]byte(m.must("footprint", "status", theCouncil, "--json")), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	eventually(t, "all three vote", func() bool {
		n := 0
		for _, m := range status(ms[0]).Status.Members {
			if m.Votes {
				n++
			}
		}
		return n == 3
	})
	// A machine that does not lead says where to look.
	out, errs, code := ms[1].council.run("record", "list")
	if code != 8 || !strings.Contains(errs, "runs on whichever of its machines leads") || !strings.Contains(errs, "Try: stile footprint status "+theCouncil) {
		t.Errorf("on a machine that does not lead: exit %d\n%s%s", code, out, errs)
	}

	here := func(among ...*machine) (found *machine) {
		t.Helper()
		eventually(t, "one machine runs the council's node", func() bool {
			for _, m := range among {
				if _, _, code := m.council.run("status"); code == 0 {
					found = m
					return true
				}
			}
			return false
		})
		return found
	}
	total := 50
	for round := range 3 {
		victim := here(ms...)
		var rest []*machine
		for _, m := range ms {
			if m != victim {
				rest = append(rest, m)
			}
		}
		victim.kill()
		killed := time.Now()
		now := here(rest...)
		// The same import by hand until it gets through, as an officer would.
		f := plans(t, fmt.Sprint("K", round), 0, 40, nil)
		eventually(t, "records are taken in", func() bool {
			_, _, code := now.council.run("import", f, "--standard", "planning-application")
			return code == 0
		})
		t.Logf("from the kill of the machine that ran the council to 40 records taken in at another: %v", time.Since(killed).Round(time.Millisecond))
		total += 40
		if s := now.council.status(); s.Council != theCouncil || s.Records["standards.stile.example/planning-application@1.0.0"] != total {
			t.Errorf("round %d: %d records, want %d", round, s.Records["standards.stile.example/planning-application@1.0.0"], total)
		}
		victim.serve()
	}
	last := here(ms...)
	eventually(t, "saltby holds everything", func() bool {
		s := partner.status()
		return s.Holdings == total && len(s.Refusals) == 0
	})
	if s := partner.status(); len(s.Refusals) > 0 || api.Worst(s.Conditions) == node.Critical {
		t.Errorf("saltby: %+v, %v", s.Refusals, s.Conditions)
	}
	eventually(t, "the agreement is in step", func() bool {
		for _, p := range last.council.status().Partners {
			if p.InStep && p.Held == total {
				return true
			}
		}
		return false
	})
	// The lead is handed on when a machine is told to; the council follows.
	eventually(t, "all three are level", func() bool {
		for _, m := range status(last).Status.Members {
			if !m.Up || m.Behind > 0 {
				return false
			}
		}
		return true
	})
	last.must("footprint", "transfer", theCouncil)
	eventually(t, "another machine runs it", func() bool {
		_, _, code := last.council.run("status")
		return code == 8
	})
	now := here(ms...)
	if now == last || status(now).Machines == nil || !status(now).Machines.Here {
		t.Errorf("after the transfer %s runs it: %+v", now.name, status(now).Machines)
	}

	// A backup is made of the council, where it runs, and is of a node like any other.
	kept := beside(t)
	identity, saved, savedKeys := filepath.Join(kept, "identity"), filepath.Join(kept, "saved"), filepath.Join(kept, "keys")
	recipient := strings.TrimSpace(now.must("backup", "identity", identity))
	now.council.must("backup", "--to", saved, "--keys-to", savedKeys, "--recipient", recipient)

	// Back to one machine: the others are removed, and the last gives the ledger back.
	if _, errs, code := now.run("footprint", "import", theCouncil, plans(t, "F", 0, 1, nil), "--standard", "planning-application"); code != 4 {
		t.Errorf("records into the machines themselves: exit %d\n%s", code, errs)
	}
	for _, m := range ms {
		if m == now {
			continue
		}
		now.must("footprint", "remove", "--yes", theCouncil, m.name)
		if ch := status(now).Status.Change; ch != nil {
			m.must("footprint", "agree", "--yes", theCouncil, m.name)
		}
		eventually(t, m.name+" is out", func() bool {
			return !slices.ContainsFunc(status(now).Status.Members, func(s node.FootprintMember) bool { return string(s.Council) == m.name })
		})
	}
	eventually(t, "one machine is enough", func() bool { return len(status(now).Status.Members) == 1 && status(now).Status.Decides })
	now.must("footprint", "discard", "--yes", theCouncil)
	now.council.serve()
	defer now.council.kill()
	if s := now.council.status(); s.Records["standards.stile.example/planning-application@1.0.0"] != total {
		t.Errorf("given back: %v", s.Records)
	}
	now.council.must("import", plans(t, "Z", 0, 3, nil), "--standard", "planning-application")
	eventually(t, "saltby holds that too", func() bool { return partner.status().Holdings == total+3 })

	// Every machine is lost, and what came after the backup with them. Restored, the council
	// is a node of one machine, which learns from its partner what it signed since, and signs
	// nothing before; a new machine then takes it over as at the beginning.
	for _, m := range ms {
		m.kill()
	}
	now.council.kill()
	again := &process{t: t, bin: before.bin, dir: filepath.Join(kept, "council"), name: theCouncil, errs: before.errs}
	again.must("restore", saved, "--identity", identity, "--keys", savedKeys)
	again.serve()
	defer again.kill()
	if _, errs, code := again.run("import", plans(t, "Y", 0, 1, nil), "--standard", "planning-application"); code != 4 {
		t.Errorf("a restored folder signs: exit %d\n%s", code, errs)
	}
	eventually(t, "the partner has told of the newer log", func() bool {
		out, _, _ := again.run("log", "status")
		return strings.Contains(out, "They still held 3 records of ours that are here no more")
	})
	partner.must("council", "quarantine", "end", theCouncil, "--follow", "told", "--because", "their machines are lost", "--yes")
	eventually(t, "the partner has agreed", func() bool {
		out, _, _ := again.run("log", "status")
		return strings.Contains(out, partner.name+" agreed that our log begins anew")
	})
	again.must("log", "continue", "--because", "the machines are lost", "--yes")
	eventually(t, "saltby holds what the backup had", func() bool { return partner.status().Holdings == total })
	again.kill()
	four := &machine{newProcess(t, "four."+theCouncil, ""), again}
	four.serve()
	four.must("footprint", "found", theCouncil, "--runs", again.dir)
	four = here(four)
	four.council.must("import", plans(t, "Z", 0, 3, nil), "--standard", "planning-application")
	eventually(t, "saltby holds what the new machine took in", func() bool { return partner.status().Holdings == total+3 })
}

// beside makes a folder where the machines have theirs: a ledger moves between them in one
// rename.
func beside(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "st-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
