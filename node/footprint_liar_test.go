package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/node"
)

const outName = fens + "/out"

// sendingFens has a footprint send to Ironmoor, which is in step, and returns an
// honest answer of one of its members.
func sendingFens(t testing.TB) (a, b, c, d *running, honest *node.Answer) {
	t.Helper()
	a, b, c = formFens(t)
	d = start(t, ironmoor, "E07000996")
	introduce(t, a, b, c, d)
	entry := call(t, b.Footprints().Entry, node.FootprintRequest{Name: fens})
	call(t, d.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	var ids []string
	for _, r := range offerPlans(t, a, fmt.Sprintf(planDraft, "N/1", "CANARY", "A"), fmt.Sprintf(planDraft, "N/2", "CANARY", "A")) {
		ids = append(ids, string(r.Record))
	}
	call(t, a.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: ids})
	text := strings.ReplaceAll(intoFens("out", 1, "ironmoor.gov.uk", "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"), "northmoor.gov.uk", fens)
	call(t, a.Agreements().Sign, node.AgreementRequest{Document: []byte(text)})
	for _, n := range []*running{c, d} {
		await(t, "the text has arrived", func() bool {
			return try(t.Context(), n.Agreements().Show, node.AgreementRequest{Name: outName}, nil) == nil
		})
		call(t, n.Agreements().Sign, node.AgreementRequest{Name: outName})
	}
	await(t, "ironmoor is in step with 2", func() bool {
		for _, p := range get(t, d.Status).Partners {
			if p.Held == 2 && p.Verified == 2 && p.InStep {
				return true
			}
		}
		return false
	})
	honest, err := a.AnswerTo(t.Context(), ironmoor, outName)
	if err != nil || len(honest.Items) != 2 {
		t.Fatalf("honest: %+v, %v", honest, err)
	}
	return a, b, c, d, honest
}

// TestLyingMember: what a member sends outside is believed only as far as it is
// proved.
func TestLyingMember(t *testing.T) {
	a, _, _, d, honest := sendingFens(t)
	spoilt := func(spoil func(*node.Answer)) []byte {
		var x node.Answer
		b, err := json.Marshal(honest)
		if err == nil {
			err = json.Unmarshal(b, &x)
		}
		if err != nil {
			t.Fatal(err)
		}
		spoil(&x)
		if b, err = json.Marshal(x); err != nil {
			t.Fatal(err)
		}
		return b
	}
	full := call(t, a.Records().Show, node.RecordRequest{Record: "N/1", Standard: planStd}).Token
	for _, c := range []struct {
		what, want string // of the error, or the rule of the refusal
		spoil      func(*node.Answer)
	}{
		{"a checkpoint of one member", "not cosigned by a majority", func(x *node.Answer) {
			text, sigs, _ := strings.Cut(x.Checkpoint, "\n\n")
			x.Checkpoint = text + "\n\n" + strings.SplitAfter(sigs, "\n")[0]
		}},
		{"another tree", "not cosigned by a majority", func(x *node.Answer) {
			x.Checkpoint = strings.Replace(x.Checkpoint, "fens.example/stile\n", "fens.example/stile\n1", 1)
		}},
		{"an entry at another place", "batch proof", func(x *node.Answer) { x.Items[0].Index-- }},
		{"an entry of another record", "batch proof", func(x *node.Answer) { x.Items[1].Token = full }},
		{"a page out of bounds", "cursor", func(x *node.Answer) { x.Cursor += 1000 }},
		{"no proof", "batch proof", func(x *node.Answer) { x.Inclusion = nil }},
		{"more fields than agreed", "field beyond the agreement", func(x *node.Answer) {
			for i, it := range x.Items {
				if strings.HasPrefix(full, strings.SplitN(it.Token, "~", 2)[0]) {
					x.Items[i].Token = full
				}
			}
		}},
		{"another signature", "signature", func(x *node.Answer) {
			jws, rest, _ := strings.Cut(x.Items[0].Token, "~")
			parts := strings.Split(jws, ".")
			sig := []byte(parts[2])
			if sig[10]++; sig[10] > 'y' || sig[10] == '[' || sig[10] == ':' || sig[10] == '`' || sig[10] == '.' || sig[10] == '{' {
				sig[10] = 'A'
			}
			x.Items[0].Token = parts[0] + "." + parts[1] + "." + string(sig) + "~" + rest
		}},
	} {
		got, err := d.Judge(outName, spoilt(c.spoil), false)
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		case err == nil && (len(got.Refused) == 0 || got.Refused[0].Rule != c.want):
			t.Errorf("%s: taken: %d, refused %+v, want %q", c.what, len(got.Puts), got.Refused, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error holds a value", c.what)
		}
	}
	if got, err := d.Judge(outName, spoilt(func(*node.Answer) {}), false); err != nil || len(got.Puts) != 2 || len(got.Refused) != 0 {
		t.Errorf("honest: %+v, %v", got, err)
	}
	// A deletion of what another council contributed is passed over.
	held := call(t, d.Records().List, node.ListRequest{From: fens}).Records[0].Record
	got, err := d.Judge(outName, spoilt(func(x *node.Answer) {
		x.Items, x.Gone = nil, []node.AnswerGone{{Index: 1, Council: saltby, Record: held}}
	}), true)
	if err != nil || len(got.Withdrawn) != 0 {
		t.Errorf("deleted in another's name: %+v, %v", got, err)
	}
	// Who is not party to it gets nothing.
	if x, err := a.AnswerTo(t.Context(), hexwell, outName); err != nil || x.Refused != "no such agreement with you" || len(x.Items) != 0 {
		t.Errorf("to another council: %+v, %v", x, err)
	}
}

// FuzzFootprintAnswer: no answer of a member brings the node down, and none is
// kept that is not proved.
func FuzzFootprintAnswer(f *testing.F) {
	_, _, _, d, honest := sendingFens(f)
	b, err := json.Marshal(honest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"signers":1,"checkpoint":"fens.example/stile\n1\n","cursor":1,"items":[{"entry":0,"token":"a.b.c~"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := d.Judge(outName, b, false)
		if err == nil && len(got.Puts) > len(honest.Items) {
			t.Errorf("kept %d records, the footprint has %d", len(got.Puts), len(honest.Items))
		}
	})
}

// TestKeyThatComesLater: a record that comes through a footprint, signed with a key
// that our directory does not have yet, is waited for and then there.
func TestKeyThatComesLater(t *testing.T) {
	a, _, _, d, _ := sendingFens(t)
	undo, err := d.OtherKeys(northmoor)
	if err != nil {
		t.Fatal(err)
	}
	id := string(offerPlans(t, a, fmt.Sprintf(planDraft, "N/3", "CANARY", "A"))[0].Record)
	call(t, a.Footprints().Put, node.FootprintPutRequest{Name: fens, Records: []string{id}})
	stands := func() node.PartnerReply {
		for _, p := range get(t, d.Status).Partners {
			if p.Agreement == outName {
				return p
			}
		}
		return node.PartnerReply{}
	}
	await(t, "it says what it waits for", func() bool {
		return strings.Contains(stands().Behind, "a key that our directory does not have")
	})
	if p := stands(); p.Held != 2 || p.Refused != 0 || p.InStep {
		t.Errorf("while the key is not known: %+v", p)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if err := d.Retry(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the record is there", func() bool { p := stands(); return p.Held == 3 && p.Refused == 0 && p.InStep })
}
