package audit

import (
	"testing"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestConfirmed: a footprint's receipt counts when every member cosigned a ledger
// in which the very withdrawal stands.
func TestConfirmed(t *testing.T) {
	const fens, hex = name.Council("fens.example"), name.Council("hexwell.gov.uk")
	members := []name.Council{hex, northmoor, saltby}
	trust := Trust{Members: []directory.Member{{Council: fens, Role: directory.RoleFootprint, Members: members}}}
	line := map[name.Council][]byte{}
	gone, other := tlog.Hash{1}, tlog.Hash{2}
	cp := tlog.Checkpoint{Origin: fens.Origin(), Size: 1, Root: tlog.Leaf(gone)}
	for _, c := range append(members, "ironmoor.gov.uk") {
		ring, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		trust.Members = append(trust.Members, directory.FromRing(c, ring))
		if line[c], _, err = tlog.Cosign(cp, ring.Log.Cosigner()); err != nil {
			t.Fatal(err)
		}
	}
	note := func(by ...name.Council) string {
		var all []byte
		for _, c := range by {
			all = append(all, line[c]...)
		}
		signed, err := tlog.Assemble(cp, all)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	for _, c := range []struct {
		what   string
		entry  tlog.Hash
		at     uint64
		notes  []string
		failed int
		counts bool
	}{
		{"all members", gone, 0, []string{note(members...)}, 0, true},
		{"each with a note of its own", gone, 0, []string{note(hex), note(saltby), note(northmoor)}, 0, true},
		{"two of three", gone, 0, []string{note(hex, saltby)}, 0, false},
		{"a stranger in a member's place", gone, 0, []string{note(hex, saltby, "ironmoor.gov.uk")}, 0, false},
		{"another withdrawal", other, 0, []string{note(members...)}, 1, false},
		{"at another place", gone, 1, []string{note(members...)}, 1, false},
		{"nobody signed", gone, 0, []string{note("ironmoor.gov.uk")}, 1, false},
	} {
		said := event.FootprintConfirmed{Agreement: "northmoor.gov.uk/people", Footprint: fens, Members: members, Withdrawn: []uint64{7}, WithdrawnAt: []uint64{c.at}}
		for _, n := range c.notes {
			said.Checkpoints = append(said.Checkpoints, event.Cosigned{Note: n})
		}
		s, err := readSaid(&record.Event{Council: northmoor, Kind: event.KindFootprintConfirmed, Body: said.Body()})
		if err != nil {
			t.Fatal(err)
		}
		v := &verifier{contents: &contents{}, ring: newKeyring(trust), sheet: newSheet(), council: northmoor, used: map[Key]bool{}}
		v.events = []claimed{{index: 7, kind: event.KindWithdrawal, hash: c.entry}}
		sh := &sharing{v: v, receivers: map[name.Council]*receiver{}}
		v.covers.Agreement = "northmoor.gov.uk/people"
		sh.confirm(&s)
		r := sh.receivers[fens]
		if counts := r != nil && r.deleted[7]; counts != c.counts || v.on(CheckReceipts).failed != c.failed {
			t.Errorf("%s: counts %v, %d failed, want %v, %d", c.what, counts, v.on(CheckReceipts).failed, c.counts, c.failed)
		}
	}
}
