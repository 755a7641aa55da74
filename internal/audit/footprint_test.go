package audit

import (
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
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
