package wirepb_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

const recordID = "abcdefghijklmnopqrstuvwxya"

func contribution(set func(*wirepb.Contribution)) *wirepb.Contribution {
	c := &wirepb.Contribution{
		Version: 1, Footprint: "fens.example", Agreement: "northmoor.gov.uk/plans", AgreementDigest: make([]byte, 32),
		Ask: &wirepb.Contribution_State_{State: &wirepb.Contribution_State{}},
	}
	set(c)
	return c
}

func contributions() []*wirepb.Contribution {
	return []*wirepb.Contribution{
		contribution(func(*wirepb.Contribution) {}),
		contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Holdings_{Holdings: &wirepb.Contribution_Holdings{Records: []string{recordID}}}
		}),
		contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Records_{Records: &wirepb.Contribution_Records{}}
		}),
		contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Since: 1, Next: 2, Tokens: [][]byte{[]byte("a.b.c~")}, Seal: make([]byte, 64), Key: make([]byte, 32)}}
		}),
		contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Proof_{Proof: &wirepb.Contribution_Proof{Indexes: []uint64{0, 7}}}
		}),
	}
}

// answersTo are honest answers to contributions, in their order.
func answersTo() []*wirepb.ContributionAnswer {
	h := make([]byte, 32)
	return []*wirepb.ContributionAnswer{
		{Answer: &wirepb.ContributionAnswer_State_{State: &wirepb.ContributionAnswer_State{Sequence: 4, Held: 3, Standards: []string{"standards.example/item@1.0.0"}}}},
		{Answer: &wirepb.ContributionAnswer_Holdings_{Holdings: &wirepb.ContributionAnswer_Holdings{List: []*wirepb.ContributionAnswer_Holding{{Record: recordID, Entry: h, Digest: h}}}}},
		{Answer: &wirepb.ContributionAnswer_Records_{Records: &wirepb.ContributionAnswer_Records{List: []string{recordID}}}},
		{Answer: &wirepb.ContributionAnswer_Outcomes_{Outcomes: &wirepb.ContributionAnswer_Outcomes{Position: 9, List: []*wirepb.ContributionAnswer_Outcome{{Code: 1, Entry: 3}}}}},
		{Answer: &wirepb.ContributionAnswer_Proof_{Proof: &wirepb.ContributionAnswer_Proof{Checkpoint: []byte("note"), Inclusion: h}}},
	}
}

func framed(t testing.TB, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire.AppendFrame(nil, b)
}

// Every field has a bound, and what is out of it is refused by name before
// anything is done with the rest.
func TestContributionBounds(t *testing.T) {
	read := func(q *wirepb.Contribution) error {
		_, err := wirepb.ReadContribution(bufio.NewReader(bytes.NewReader(framed(t, q))))
		return err
	}
	for i, q := range contributions() {
		if err := read(q); err != nil {
			t.Errorf("question %d: %v", i, err)
		}
	}
	long := strings.Repeat("a", 300)
	list := slices.Repeat([]string{recordID}, 801)
	for what, q := range map[string]*wirepb.Contribution{
		"no version":     contribution(func(c *wirepb.Contribution) { c.Version = 0 }),
		"no footprint":   contribution(func(c *wirepb.Contribution) { c.Footprint = long }),
		"no agreement":   contribution(func(c *wirepb.Contribution) { c.Agreement = "plans" }),
		"a short digest": contribution(func(c *wirepb.Contribution) { c.AgreementDigest = c.AgreementDigest[1:] }),
		"nothing asked":  contribution(func(c *wirepb.Contribution) { c.Ask = nil }),
		"no records": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Holdings_{Holdings: &wirepb.Contribution_Holdings{}}
		}),
		"too many records": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Holdings_{Holdings: &wirepb.Contribution_Holdings{Records: list}}
		}),
		"no id": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Holdings_{Holdings: &wirepb.Contribution_Holdings{Records: []string{long}}}
		}),
		"an empty page": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Seal: make([]byte, 64), Key: make([]byte, 32)}}
		}),
		"an empty token": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Tokens: [][]byte{{}}, Seal: make([]byte, 64), Key: make([]byte, 32)}}
		}),
		"too many tokens": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Tokens: slices.Repeat([][]byte{{'a'}}, 801), Seal: make([]byte, 64), Key: make([]byte, 32)}}
		}),
		"a number that stands": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Since: 3, Next: 3, Tokens: [][]byte{{'a'}}, Seal: make([]byte, 64), Key: make([]byte, 32)}}
		}),
		"no seal": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Tokens: [][]byte{{'a'}}, Key: make([]byte, 32)}}
		}),
		"half a key": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Tokens: [][]byte{{'a'}}, Seal: make([]byte, 64), Key: make([]byte, 16)}}
		}),
		"indexes out of order": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Proof_{Proof: &wirepb.Contribution_Proof{Indexes: []uint64{7, 7}}}
		}),
		"no log is so long": contribution(func(c *wirepb.Contribution) {
			c.Ask = &wirepb.Contribution_Proof_{Proof: &wirepb.Contribution_Proof{Indexes: []uint64{1 << 63}}}
		}),
	} {
		if err := read(q); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v", what, err)
		}
		if err := wirepb.WriteContribution(bufio.NewWriter(io.Discard), q); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s, written: %v", what, err)
		}
	}
}

// An answer is one to its own question, within its bounds, or none.
func TestContributionAnswerBounds(t *testing.T) {
	read := func(q *wirepb.Contribution, a *wirepb.ContributionAnswer) error {
		_, err := wirepb.ReadContributionAnswer(bufio.NewReader(bytes.NewReader(framed(t, a))), q)
		return err
	}
	for i, q := range contributions() {
		for k, a := range answersTo() {
			if err := read(q, a); (err == nil) != (i == k) {
				t.Errorf("question %d, answer %d: %v", i, k, err)
			}
		}
		if err := read(q, &wirepb.ContributionAnswer{Code: "not-agreed", Reason: "no"}); err != nil {
			t.Errorf("question %d, refused: %v", i, err)
		}
	}
	for what, c := range map[string]struct {
		to  int
		set func(*wirepb.ContributionAnswer)
	}{
		"nothing":                {0, func(a *wirepb.ContributionAnswer) { a.Answer = nil }},
		"both":                   {0, func(a *wirepb.ContributionAnswer) { a.Code = "x" }},
		"a long reason":          {0, func(a *wirepb.ContributionAnswer) { a.Answer, a.Code, a.Reason = nil, "x", strings.Repeat("a", 1025) }},
		"more than there can be": {0, func(a *wirepb.ContributionAnswer) { a.GetState().Held = 1 << 63 }},
		"no standard":            {0, func(a *wirepb.ContributionAnswer) { a.GetState().Standards[0] = "x" }},
		"many standards": {0, func(a *wirepb.ContributionAnswer) {
			a.GetState().Standards = slices.Repeat(a.GetState().Standards, 257)
		}},
		"a short hash":             {1, func(a *wirepb.ContributionAnswer) { a.GetHoldings().List[0].Entry = []byte{1} }},
		"a record twice":           {1, func(a *wirepb.ContributionAnswer) { h := a.GetHoldings(); h.List = append(h.List, h.List[0]) }},
		"a record not asked about": {1, func(a *wirepb.ContributionAnswer) { a.GetHoldings().List[0].Record = "b" + recordID[1:] }},
		"many records":             {2, func(a *wirepb.ContributionAnswer) { a.GetRecords().List = slices.Repeat(a.GetRecords().List, 401) }},
		"no id":                    {2, func(a *wirepb.ContributionAnswer) { a.GetRecords().List[0] = "x" }},
		"too few outcomes":         {3, func(a *wirepb.ContributionAnswer) { a.GetOutcomes().List = nil }},
		"too many outcomes":        {3, func(a *wirepb.ContributionAnswer) { o := a.GetOutcomes(); o.List = append(o.List, o.List[0]) }},
		"an outcome unknown":       {3, func(a *wirepb.ContributionAnswer) { a.GetOutcomes().List[0].Code = 5 }},
		"refused by no rule":       {3, func(a *wirepb.ContributionAnswer) { a.GetOutcomes().List[0].Code = 3 }},
		"a rule and not refused":   {3, func(a *wirepb.ContributionAnswer) { a.GetOutcomes().List[0].Rule = "x" }},
		"a long rule": {3, func(a *wirepb.ContributionAnswer) {
			o := a.GetOutcomes().List[0]
			o.Code, o.Rule = 3, strings.Repeat("a", 1025)
		}},
		"a long checkpoint": {4, func(a *wirepb.ContributionAnswer) { a.GetProof().Checkpoint = make([]byte, 65537) }},
		"half a hash":       {4, func(a *wirepb.ContributionAnswer) { a.GetProof().Inclusion = make([]byte, 33) }},
	} {
		a := answersTo()[c.to]
		c.set(a)
		if err := read(contributions()[c.to], a); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzContribution: what is read is written back the same, question and answer.
func FuzzContribution(f *testing.F) {
	for i, q := range contributions() {
		f.Add(framed(f, q), framed(f, answersTo()[i]))
	}
	f.Fuzz(func(t *testing.T, question, answer []byte) {
		q, err := wirepb.ReadContribution(bufio.NewReader(bytes.NewReader(question)))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := wirepb.WriteContribution(bufio.NewWriter(&out), q); err != nil {
			t.Fatalf("accepted and not writable: %v", err)
		}
		if again, err := wirepb.ReadContribution(bufio.NewReader(&out)); err != nil || !proto.Equal(q, again) {
			t.Fatalf("changed when written again: %v", err)
		}
		a, err := wirepb.ReadContributionAnswer(bufio.NewReader(bytes.NewReader(answer)), q)
		if err != nil {
			return
		}
		out.Reset()
		if err := wirepb.WriteContributionAnswer(bufio.NewWriter(&out), a); err != nil {
			t.Fatalf("accepted and not writable: %v", err)
		}
		if again, err := wirepb.ReadContributionAnswer(bufio.NewReader(&out), q); err != nil || !proto.Equal(a, again) {
			t.Fatalf("changed when written again: %v", err)
		}
	})
}
