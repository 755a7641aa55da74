package event

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestKinds: Kinds names every constant of kinds.go, each text once.
func TestKinds(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, x := range v.Values {
				s, err := strconv.Unquote(x.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared = append(declared, s)
			}
		}
		return true
	})
	got := Kinds()
	slices.Sort(got)
	slices.Sort(declared)
	if !slices.Equal(got, declared) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("got %q\nwant %q", got, declared)
	}
}

// read returns a body as the strict reader would have it.
func read(t testing.TB, body map[string]any) map[string]any {
	v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.Limits{Bytes: 1 << 20, Depth: 8})
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

// TestRoundTrip: what Body writes Parse reads, and a body without any one of its
// members that are needed says which.
func TestRoundTrip(t *testing.T) {
	rec := name.RecordFrom([16]byte{1, 2, 3})
	std, err := name.ParseStandard("standards.example/item@1.2.0")
	if err != nil {
		t.Fatal(err)
	}
	const agr = name.Agreement("northmoor.gov.uk/items")
	contributed := FootprintContributed{
		Agreement: agr, Version: 2, Footprint: "fens.example", Position: 5, Since: 1, Cursor: 9, Held: []uint64{3}, HeldAt: []uint64{7},
		Withdrawn: []uint64{4}, WithdrawnAt: []uint64{8}, Refused: []RefusedEntry{{6, "standard", ""}}, Outside: true,
	}
	confirmed := FootprintConfirmed{
		Agreement: agr, Footprint: "fens.example", Members: []name.Council{"ironmoor.gov.uk"}, Through: 4, Held: []uint64{3}, HeldAt: []uint64{7},
		Withdrawn: []uint64{4}, WithdrawnAt: []uint64{8}, Checkpoints: []Cosigned{{"note", []tlog.Hash{{1}}, []tlog.Hash{{2}}}},
	}
	decided := FootprintDecided{Footprint: "fens.example", Kind: KindAgreementEnd, Said: map[string]any{"reason": "over"}, Entry: 3}
	for _, c := range []struct {
		is    any
		body  map[string]any
		parse func(map[string]any) (any, error)
		may   []string // be left out
	}{
		{Withdrawal{agr, 2, rec, "over", 7}, Withdrawal{agr, 2, rec, "over", 7}.Body(),
			func(b map[string]any) (any, error) { return ParseWithdrawal(b) }, []string{"reason"}},
		{Disclosure{"", agr, 1, "saltby.gov.uk", []uint64{1, 5}}, Disclosure{"", agr, 1, "saltby.gov.uk", []uint64{1, 5}}.Body(),
			func(b map[string]any) (any, error) { return ParseDisclosure(KindDisclosure, b) }, []string{"entries"}},
		{Disclosure{"fens.example", agr, 1, "saltby.gov.uk", []uint64{1}}, Disclosure{"fens.example", agr, 1, "saltby.gov.uk", []uint64{1}}.Body(),
			func(b map[string]any) (any, error) { return ParseDisclosure(KindFootprintDisclosure, b) }, []string{"entries"}},
		{&Receipt{Agreement: agr, From: "northmoor.gov.uk", Size: 9, Root: tlog.Hash{4}, Since: 2, Cursor: 9, Held: []uint64{2}, Refused: []RefusedEntry{{3, "signature", ""}}, Deleted: []uint64{4}},
			Receipt{Agreement: agr, From: "northmoor.gov.uk", Size: 9, Root: tlog.Hash{4}, Since: 2, Cursor: 9, Held: []uint64{2}, Refused: []RefusedEntry{{3, "signature", ""}}, Deleted: []uint64{4}}.Body(),
			func(b map[string]any) (any, error) { return ParseReceipt(b) }, []string{"since", "held", "refused", "deleted"}},
		{&Receipt{Agreement: agr, From: "northmoor.gov.uk", Size: 9, Cursor: 9, Reason: "ended", All: true, DeletedAll: 3},
			Receipt{Agreement: agr, From: "northmoor.gov.uk", Size: 9, Cursor: 9, Reason: "ended", All: true, DeletedAll: 3}.Body(),
			func(b map[string]any) (any, error) { return ParseReceipt(b) }, []string{"reason"}},
		{contributed, contributed.Body(), func(b map[string]any) (any, error) { return ParseFootprintContributed(b) }, []string{"position", "since", "cursor", "refused", "outside"}},
		{confirmed, confirmed.Body(), func(b map[string]any) (any, error) { return ParseFootprintConfirmed(b) }, []string{"members", "through"}},
		{decided, decided.Body(), func(b map[string]any) (any, error) { return ParseFootprintDecided(b) }, []string{"said"}},
		{StandardAdopted{std, "sha256-x", []string{"rule"}}, StandardAdopted{std, "sha256-x", []string{"rule"}}.Body(), func(b map[string]any) (any, error) { return ParseStandardAdopted(b) }, []string{"integrity", "waived"}},
	} {
		body := read(t, c.body)
		if got, err := c.parse(body); err != nil || !reflect.DeepEqual(got, c.is) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, c.is)
		}
		for member := range body {
			if slices.Contains(c.may, member) {
				continue
			}
			less := read(t, c.body)
			delete(less, member)
			if _, err := c.parse(less); err == nil {
				t.Errorf("%T was read without %q", c.is, member)
			}
		}
	}
}

// FuzzReceived: whatever is read as a receipt is written as one that reads the same.
func FuzzReceived(f *testing.F) {
	f.Add([]byte(`{"agreement":"northmoor.gov.uk/items","cursor":9,"deleted":[4],"from":"northmoor.gov.uk","held":[2],"refused":[{"entry":3,"pointer":"","rule":"size"}],"root":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","since":2,"size":9}`))
	f.Add([]byte(`{"agreement":"northmoor.gov.uk/items","cursor":9,"deleted_all":1,"from":"northmoor.gov.uk","size":9}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{Bytes: 1 << 20, Depth: 8})
		body, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		r, err := ParseReceipt(body)
		if err != nil {
			return
		}
		again, err := ParseReceipt(read(t, r.Body()))
		if err != nil || !bytes.Equal(strictjson.Canonical(again.Body()), strictjson.Canonical(r.Body())) {
			t.Errorf("%s reads as %+v, and again as %+v, %v", b, r, again, err)
		}
	})
}
