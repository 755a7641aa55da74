package node_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const outName = fens + "/out"

// sendingFens has a footprint send to Ironmoor, which is in step, and returns an
// honest batch of one of its members.
func sendingFens(t testing.TB) (a, b, c, d *running, honest *wirepb.Batch) {
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
			if p.Held == 2 && p.Proved == 2 && p.InStep {
				return true
			}
		}
		return false
	})
	// It may have them from the other member that signed, before this one has heard so.
	await(t, "this member sends, too", func() bool {
		var refused *wirepb.Refuse
		honest, refused = a.RecordsTo(ironmoor, outName)
		return refused == nil && len(honest.Items) == 2
	})
	return a, b, c, d, honest
}

// retell packs the records of a batch again, each as edit returns its token.
func retell(t *testing.T, b *wirepb.Batch, edit func(i int, token []byte) []byte) {
	t.Helper()
	table, err := record.ReadTable(b.Table)
	if err != nil {
		t.Fatal(err)
	}
	var p record.Packer
	for i, it := range b.Items {
		tok, err := table.Token(it.Record)
		if err == nil {
			tok, err = record.Parse(edit(i, tok.Bytes()))
		}
		if err == nil {
			it.Record, err = p.Pack(nil, tok)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.Table = p.Table()
}

// paged packs the records of a batch again, the first with another proof of its page.
func paged(t *testing.T, b *wirepb.Batch, edit func(tok *record.Token, p record.PageProof) *record.Token) {
	t.Helper()
	retell(t, b, func(i int, token []byte) []byte {
		tok, err := record.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			return token
		}
		return edit(tok, *tok.Page()).Bytes()
	})
}

// TestLyingMember: what a member sends outside is believed only as far as it is
// proved.
func TestLyingMember(t *testing.T) {
	t.Parallel()
	a, _, _, d, honest := sendingFens(t)
	judge := func(spoil func(*wirepb.Batch), seen bool) (*ledger.Delivery, error) {
		x := proto.Clone(honest).(*wirepb.Batch)
		spoil(x)
		return d.Judge(t.Context(), outName, northmoor, x, seen)
	}
	full := []byte(call(t, a.Records().Show, node.RecordRequest{Record: "N/1", Standard: planStd, Token: true}).Token)
	parse := func(token []byte) *record.Token {
		t.Helper()
		tok, err := record.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	for _, c := range []struct {
		what, want string // of the error, or the rule of the refusal
		spoil      func(*wirepb.Batch)
	}{
		{"a checkpoint of one member", "not cosigned by a majority", func(x *wirepb.Batch) {
			text, sigs, _ := strings.Cut(string(x.Checkpoint), "\n\n")
			x.Checkpoint = []byte(text + "\n\n" + strings.SplitAfter(sigs, "\n")[0])
		}},
		{"another tree", "not cosigned by a majority", func(x *wirepb.Batch) {
			x.Checkpoint = bytes.Replace(x.Checkpoint, []byte("fens.example/stile\n"), []byte("fens.example/stile\n1"), 1)
		}},
		{"no checkpoint", "not cosigned by a majority", func(x *wirepb.Batch) { x.Checkpoint = nil }},
		{"an entry at another place", "batch proof", func(x *wirepb.Batch) { x.Items[0].Index-- }},
		{"an entry of another record", "batch proof", func(x *wirepb.Batch) {
			retell(t, x, func(i int, token []byte) []byte {
				if i == 1 {
					return full
				}
				return token
			})
		}},
		{"a page out of bounds", "cursor", func(x *wirepb.Batch) { x.Cursor += 1000 }},
		{"a cursor before its items", "cursor", func(x *wirepb.Batch) { x.Cursor = 0 }},
		{"no proof", "batch proof", func(x *wirepb.Batch) { x.Inclusion = nil }},
		{"half a hash", "consistency proof", func(x *wirepb.Batch) { x.Consistency = []byte{1} }},
		{"more fields than agreed", "field beyond the agreement", func(x *wirepb.Batch) {
			retell(t, x, func(_ int, token []byte) []byte {
				if tok := parse(token); tok.Entry() == parse(full).Entry() {
					return parse(full).Enclose(tok.Page()).Bytes()
				}
				return token
			})
		}},
		{"another signature", "signature", func(x *wirepb.Batch) {
			paged(t, x, func(tok *record.Token, p record.PageProof) *record.Token {
				p.Seal.Signature = bytes.Clone(p.Seal.Signature)
				p.Seal.Signature[10] ^= 1
				return tok.Enclose(&p)
			})
		}},
		{"the page of another footprint", "signature", func(x *wirepb.Batch) {
			paged(t, x, func(tok *record.Token, p record.PageProof) *record.Token {
				p.Footprint = "wolds.example"
				return tok.Enclose(&p)
			})
		}},
		{"a record without its page", "signature", func(x *wirepb.Batch) {
			paged(t, x, func(tok *record.Token, _ record.PageProof) *record.Token { return tok.Bare() })
		}},
		{"gone from beyond the log", "out of order", func(x *wirepb.Batch) {
			x.Gone = []*wirepb.Gone{{Index: 1 << 40, Council: string(northmoor), Record: string(name.RecordFrom([16]byte{}))}}
		}},
	} {
		got, err := judge(c.spoil, false)
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
	for _, seen := range []bool{false, true} {
		if got, err := judge(func(*wirepb.Batch) {}, seen); err != nil || len(got.Puts) != 2 || len(got.Refused) != 0 {
			t.Errorf("honest: %+v, %v", got, err)
		}
	}
	// What is here is not deleted on one member's word, nor for another council, nor
	// by what is no newer, nor by nothing being sent.
	held := string(call(t, d.Records().List, node.ListRequest{From: fens}).Records[0].Record)
	size := honest.Cursor
	for what, g := range map[string]*wirepb.Gone{
		"on one member's word": {Index: size - 1, Council: string(northmoor), Record: held},
		"for another council":  {Index: size - 1, Council: string(saltby), Record: held},
		"by what is no newer":  {Index: honest.Items[0].Index, Council: string(northmoor), Record: held},
	} {
		got, err := judge(func(x *wirepb.Batch) { x.Items, x.Inclusion, x.Gone = nil, nil, []*wirepb.Gone{g} }, true)
		if err == nil && len(got.Withdrawn) != 0 || err != nil && !strings.Contains(err.Error(), "more than half of the members") {
			t.Errorf("deleted %s: %+v, %v", what, got, err)
		}
	}
	got, err := judge(func(x *wirepb.Batch) { x.Items, x.Inclusion, x.Records = nil, nil, 0 }, true)
	if err != nil || len(got.Withdrawn) != 0 {
		t.Errorf("deleted by nothing: %+v, %v", got, err)
	}
	// Who is not party to it gets nothing.
	if x, refused := a.RecordsTo(hexwell, outName); x != nil || refused.GetReason() != "no such agreement with you" {
		t.Errorf("to another council: %+v, %v", x, refused)
	}
}

// FuzzFootprintBatch: no batch of a member brings the node down, and nothing is kept
// that is not proved.
func FuzzFootprintBatch(f *testing.F) {
	_, _, _, d, honest := sendingFens(f)
	add := func(b *wirepb.Batch) {
		body, err := proto.Marshal(&wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire.AppendFrame(nil, body))
	}
	add(honest)
	add(&wirepb.Batch{Checkpoint: []byte("fens.example/stile\n1\n"), Cursor: 1, Items: []*wirepb.Item{{Record: []byte("a.b.c~")}}, Gone: []*wirepb.Gone{{Council: string(northmoor), Record: string(name.RecordFrom([16]byte{}))}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := wirepb.NewReader(bytes.NewReader(b)).Read()
		if err != nil || frame.GetBatch() == nil {
			return
		}
		got, err := d.Judge(t.Context(), outName, northmoor, frame.GetBatch(), true)
		if err == nil && (len(got.Puts) > len(honest.Items) || len(got.Withdrawn) > 0) {
			t.Errorf("kept %d records and deleted %d; the footprint has %d", len(got.Puts), len(got.Withdrawn), len(honest.Items))
		}
	})
}

// TestKeyThatComesLater: a record that comes through a footprint, signed with a key
// that our directory does not have yet, is waited for and then there.
func TestKeyThatComesLater(t *testing.T) {
	t.Parallel()
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
