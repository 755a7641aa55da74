package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestMembersSignForAFootprint: a majority of the members that the auditor was
// told of carries, and nothing less.
func TestMembersSignForAFootprint(t *testing.T) {
	const fens, north, salt, hex, other = name.Council("fens.example"), northmoor, saltby, name.Council("hexwell.gov.uk"), name.Council("other.gov.uk")
	doc := movingAgreement()
	doc.To = []name.Council{fens}
	doc.Roles = map[name.Council]agreement.Role{north: agreement.Controller, fens: agreement.Controller}
	doc.Contacts = map[name.Council]string{north: "dpo@northmoor.gov.uk", fens: "dpo@saltby.gov.uk"}
	entry := func(members ...name.Council) directory.Member {
		return directory.Member{Council: fens, Role: directory.RoleFootprint, Members: members}
	}
	for _, c := range []struct {
		what    string
		given   []directory.Member
		bundled []directory.Member
		by      []name.Council
		carried bool
	}{
		{"a majority", []directory.Member{entry(hex, north, salt)}, nil, []name.Council{north, hex}, true},
		{"a minority", []directory.Member{entry(hex, north, salt)}, nil, []name.Council{north}, false},
		{"one and a stranger", []directory.Member{entry(hex, north, salt)}, nil, []name.Council{north, other}, false},
		{"one twice", []directory.Member{entry(hex, north, salt)}, nil, []name.Council{north, north}, false},
		{"members from the file alone", nil, []directory.Member{entry(hex, north, salt)}, []name.Council{salt, hex}, true},
		{"other members in the file than given", []directory.Member{entry(hex, north, salt)}, []directory.Member{entry(other)}, []name.Council{north, other}, false},
		{"nobody said who they are", nil, nil, []name.Council{north, hex, salt}, false},
	} {
		v := &verifier{contents: &contents{}, ring: newKeyring(Trust{Members: c.given}), sheet: newSheet(), council: north}
		for _, m := range c.bundled {
			v.ring.bundle(m)
		}
		p := &paper{doc: doc, state: agreement.NewState()}
		if err := p.state.Apply(north, event.KindAgreementProposal, agreement.Proposal{Agreement: doc}.Body(), time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		v.papers = map[agreementID]*paper{{doc.Name, doc.Version}: p}
		for i, by := range c.by {
			s := &claimed{by: by, kind: event.KindAgreementSignature, issuedAt: 1_700_000_000 + int64(i)}
			s.refer(doc.Ref())
			v.hear(s, func(string, string) {})
		}
		v.carry(p)
		if _, ok := p.at(time.Unix(1_800_000_000, 0)).Signed[fens]; ok != c.carried {
			t.Errorf("%s: counts for the footprint: %v, want %v", c.what, ok, c.carried)
		}
	}
}

// What a holder shows of a footprint is all by a member's word, as far as the checkpoint of
// a majority covers it; who is no member has none, and of two that contradict one lied.
func TestHeldOfAFootprint(t *testing.T) {
	const fens, hex, other = name.Council("fens.example"), name.Council("hexwell.gov.uk"), name.Council("other.gov.uk")
	doc := movingAgreement()
	sum := func(hashes ...tlog.Hash) (out tlog.Tally) {
		for _, h := range hashes {
			out.Add(h)
		}
		return out
	}
	a, b := tlog.Hash{1}, tlog.Hash{2}
	says := func(by name.Council, size uint64, t tlog.Tally) claimed {
		return claimed{by: by, kind: event.KindFootprintCheckpoint, agreement: doc.Name, version: 1, to: saltby, from: fens, size: size, entry: t.Size(), root: t.Root(), signers: 2}
	}
	here := []fact{{index: 3, record: [16]byte{1}, put: true, members: []tlog.Hash{a}}, {index: 5, record: [16]byte{2}, put: true, members: []tlog.Hash{b}}}
	elsewhere := says(hex, 8, sum(a, b))
	elsewhere.from = "wolds.example"
	for _, c := range []struct {
		what  string
		here  []fact
		said  []claimed
		want  Result
		words string
	}{
		{"all of it", here, []claimed{says(hex, 8, sum(a, b))}, OK, "Complete up to checkpoint 8"},
		{"two members alike", here, []claimed{says(hex, 8, sum(a, b)), says(northmoor, 8, sum(a, b))}, OK, "Complete up to checkpoint 8"},
		{"the newest counts", here, []claimed{says(hex, 8, sum(a, b)), says(northmoor, 4, sum(a))}, OK, "Complete up to checkpoint 8"},
		{"one left out by the holder, or by who sent", here[:1], []claimed{says(hex, 8, sum(a, b))}, NotDone, "cannot be told apart"},
		{"beyond what a majority cosigned", here, []claimed{says(hex, 10, sum(a, b))}, NotDone, "no checkpoint here covers"},
		{"by who is no member", here, []claimed{says(other, 8, sum(a, b))}, Failed, ""},
		{"for another footprint", here, []claimed{elsewhere}, Failed, ""},
		{"two things of one size", here, []claimed{says(hex, 8, sum(a, b)), says(northmoor, 8, sum(a))}, Failed, ""},
		{"nobody", here, nil, NotDone, "no commitment of a member"},
	} {
		v := &verifier{
			contents: &contents{}, sheet: newSheet(), council: fens, holder: saltby,
			ring: newKeyring(Trust{Members: []directory.Member{{Council: fens, Role: directory.RoleFootprint, Members: []name.Council{hex, northmoor, saltby}}}}),
		}
		v.covers.Agreement, v.main = doc.Name, tlog.Checkpoint{Origin: fens.Origin(), Size: 9}
		v.records, v.foreign, v.covered = c.here, c.said, []*paper{{doc: doc}}
		(&sharing{v: v}).judgeHeldComplete()
		if r, said := v.on(CheckComplete).result(), v.details[CheckComplete]; r != c.want || !strings.Contains(said, c.words) {
			t.Errorf("%s: %s, %q; want %s, %q", c.what, r, said, c.want, c.words)
		}
	}
}
