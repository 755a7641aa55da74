package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
)

// TestFootprintOfNeighbours: a footprint whose members run the release before this one, and
// this program. Whichever writes, all read it; the footprint stays at what all understand. Who
// leaves is let go by this program itself, and by a person where the one before runs; three
// stay the least until the last is upgraded.
func TestFootprintOfNeighbours(t *testing.T) {
	t.Parallel()
	old, now := bothPrograms(t)
	var all []*process
	for i, c := range []string{theCouncil, "saltby.gov.uk", "hexwell.gov.uk", "ironmoor.gov.uk"} {
		p := newProcessOf(t, []string{old, now, old, now}[i], c, "")
		for _, q := range all {
			know(t, p, q)
		}
		p.serve()
		all = append(all, p)
	}
	n, s, h, i := all[0], all[1], all[2], all[3]
	n.must("footprint", "found", fens)
	for k, p := range all[1:] {
		n.must("footprint", "invite", fens, p.name)
		for _, q := range all[1 : k+1] {
			if ch := n.footprint().Status.Change; ch != nil && string(ch.Council) == p.name {
				q.must("footprint", "agree", "--yes", fens, p.name)
			}
		}
		p.must("footprint", "join", fens, "--via", n.name)
	}
	n.must("footprint", "adopt", "--yes", fens, "planning-application")
	votes := func(p *process, want int) {
		t.Helper()
		eventually(t, "all vote", func() bool {
			got := 0
			for _, m := range p.footprint().Status.Members {
				if m.Votes {
					got++
				}
			}
			return got == want
		})
	}
	votes(n, 4)
	for k, p := range all {
		p.must("footprint", "import", fens, plans(t, p.name, 0, 3, nil), "--standard", "planning-application")
		if got := all[(k+1)%4].inFens("--linearizable"); len(got) != 3*(k+1) {
			t.Errorf("after %s: %d records are read, want %d", p.name, len(got), 3*(k+1))
		}
	}
	if f := s.footprint().Status.Format; f != 2 {
		t.Errorf("it writes format %d, and two members understand 2", f)
	}

	i.must("footprint", "leave", "--yes", fens)
	eventually(t, "saltby has agreed by itself", func() bool {
		ch := s.footprint().Status.Change
		return ch != nil && slices.Contains(ch.Agreed, "saltby.gov.uk")
	})
	n.must("footprint", "agree", "--yes", fens, i.name)
	eventually(t, "ironmoor has deleted it", func() bool { return !strings.Contains(i.must("footprint", "list"), fens) })
	eventually(t, "and its receipt is there", func() bool {
		return slices.ContainsFunc(h.footprint().Status.Former, func(f node.FormerMember) bool { return f.Deleted != nil })
	})
	votes(n, 3)
	if _, errs, code := s.run("footprint", "leave", "--yes", fens); code != 4 || !strings.Contains(errs, "at least three members") {
		t.Errorf("saltby leaves two that run the release before: exit %d, %s", code, errs)
	}
	for _, p := range []*process{n, h} {
		p.kill()
		p.bin = now
		p.serve()
		votes(s, 3)
	}
	eventually(t, "the format moves on", func() bool { return s.footprint().Status.Format == 3 })
	n.must("footprint", "leave", "--yes", fens)
	eventually(t, "the others have let it go", func() bool { return !strings.Contains(n.must("footprint", "list"), fens) })
	if got := s.inFens("--linearizable"); len(got) != 12 {
		t.Errorf("%d records are left, want 12", len(got))
	}
}

// TestBackupOfTheNeighbour: a backup that the release before this one made is restored by
// this program, with its keys, and the node goes on with everything in it.
func TestBackupOfTheNeighbour(t *testing.T) {
	t.Parallel()
	old, now := bothPrograms(t)
	p, kept := newProcessOf(t, old, theCouncil, ""), t.TempDir()
	partner := newProcessOf(t, now, "saltby.gov.uk", "")
	know(t, p, partner)
	p.serve()
	partner.serve()
	p.must("import", plans(t, "N", 0, 20, nil), "--standard", "planning-application")
	sign(t, p, partner, "plans", agreementText("plans", "standards.stile.example/planning-application@1", `record.reference != ""`, "/reference", "/organisation", "/district", "/applicationType", "/status", "/decision", "/decisionDate"))
	eventually(t, "saltby holds them", func() bool { return partner.status().Holdings == 20 })
	identity, saved, savedKeys := filepath.Join(kept, "identity"), filepath.Join(kept, "saved"), filepath.Join(kept, "keys")
	recipient := strings.TrimSpace(p.must("backup", "identity", identity))
	p.must("backup", "--to", saved, "--keys-to", savedKeys, "--recipient", recipient)
	p.kill()

	again := &process{t: t, bin: now, dir: filepath.Join(kept, "council"), name: theCouncil, errs: p.errs}
	again.must("restore", saved, "--identity", identity, "--keys", savedKeys)
	again.serve()
	defer again.kill()
	const std = "standards.stile.example/planning-application@1.0.0"
	if got := again.status().Records[std]; got != 20 {
		t.Errorf("%d records are restored, want 20", got)
	}
	eventually(t, "it takes records in, once its partner was asked", func() bool {
		_, _, code := again.run("import", plans(t, "N", 20, 25, nil), "--standard", "planning-application")
		return code == 0
	})
	eventually(t, "saltby holds them, too", func() bool { return partner.status().Holdings == 25 })
}
