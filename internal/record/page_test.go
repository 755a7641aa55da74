package record

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
)

// pageKey is the public key of RFC 6979 appendix A.2.5.
func pageKey(t testing.TB) *keys.RecordPublic {
	t.Helper()
	k, err := keys.ParseRecordPublic([]byte(`{"kty":"EC","crv":"P-256","x":"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y","y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}`))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pageTokens(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/page/tokens.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if len(lines) != 3 {
		t.Fatalf("%d tokens", len(lines))
	}
	return lines
}

// TestPageVectors: what another program made by the package comment is read, says
// what that program was told, verifies, and is what this one makes of the same.
func TestPageVectors(t *testing.T) {
	key := pageKey(t)
	want, err := os.ReadFile("testdata/page/statement.txt")
	if err != nil {
		t.Fatal(err)
	}
	var leaves []tlog.Hash
	var toks []*Token
	for _, line := range pageTokens(t) {
		tok, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		toks, leaves = append(toks, tok), append(leaves, tlog.Leaf(tok.Entry()))
	}
	tree := tlog.NewWhole(leaves)
	page := Page{Footprint: "fens.footprint.uk", Council: "northmoor.gov.uk", Agreement: "northmoor.gov.uk/plans", Since: 400, Next: 812, Count: 3, Root: tree.Root()}
	if got := page.statement(); !bytes.Equal(got, want) {
		t.Errorf("signed is\n%s\nwant\n%s", got, want)
	}
	for i, tok := range toks {
		if err := tok.Verify(key); err != nil {
			t.Errorf("token %d: %v", i, err)
		}
		if tok.Signer() != key.ID() || !tok.Signed() || tok.Signature() != nil {
			t.Errorf("token %d is signed by %s", i, tok.Signer())
		}
		v, err := tok.View()
		if err != nil || v.Council != "northmoor.gov.uk" || v.Body["name"] != "Ada "+string(rune('0'+i)) {
			t.Errorf("token %d says %+v, %v", i, v, err)
		}
		p := tok.Page()
		if p.Index != i || !slices.Equal(p.Path, tree.Path(i)) {
			t.Errorf("token %d stands at %d", i, p.Index)
		}
		if got := tok.Bare().Enclose(&PageProof{Page: page, Seal: p.Seal, Index: i, Path: tree.Path(i)}); !bytes.Equal(got.Bytes(), tok.Bytes()) {
			t.Errorf("token %d, made here:\n%s\nwant\n%s", i, got.Bytes(), tok.Bytes())
		}
		none, err := tok.Present(func(string, bool) bool { return false })
		if err != nil || none.Verify(key) != nil {
			t.Errorf("token %d without its disclosures: %v", i, err)
		}
		if again, err := Parse(none.Bytes()); err != nil || again.Verify(key) != nil {
			t.Errorf("token %d without its disclosures, read back: %v", i, err)
		}
	}
}

// TestHostilePages: whoever changes one thing of a token, of its proof or of what was
// signed has a token that does not verify, or none.
func TestHostilePages(t *testing.T) {
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	var toks []*Token
	var leaves []tlog.Hash
	for i := range 5 {
		tok, err := Build(testClaims(), ring.Record.ID(), referralLayout(), decodeBody(t, referral), Seed{byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		toks, leaves = append(toks, tok), append(leaves, tlog.Leaf(tok.Entry()))
	}
	tree := tlog.NewWhole(leaves)
	page := Page{Footprint: "fens.footprint.uk", Council: testClaims().Council, Agreement: "northmoor.gov.uk/plans", Since: 3, Next: 9, Count: 5, Root: tree.Root()}
	seal, err := page.Sign(ring.Record)
	if err != nil {
		t.Fatal(err)
	}
	key := ring.Record.Public()
	if err := page.Verify(seal, key); err != nil {
		t.Fatal(err)
	}
	proof := func() *PageProof {
		return &PageProof{Page: page, Seal: PageSeal{seal.Key, bytes.Clone(seal.Signature)}, Index: 2, Path: slices.Clone(tree.Path(2))}
	}
	good := toks[2].Enclose(proof())
	if err := good.Verify(key); err != nil {
		t.Fatal(err)
	}
	if err := good.Verify(other.Record.Public()); !errors.Is(err, ErrOtherKey) {
		t.Errorf("with another key: %v", err)
	}
	for what, c := range map[string]func(p *PageProof){
		"another footprint":   func(p *PageProof) { p.Footprint = "wolds.example" },
		"another council":     func(p *PageProof) { p.Council = "saltby.gov.uk" },
		"another agreement":   func(p *PageProof) { p.Agreement = "northmoor.gov.uk/plants" },
		"another beginning":   func(p *PageProof) { p.Since = 4 },
		"another end":         func(p *PageProof) { p.Next = 10 },
		"another place":       func(p *PageProof) { p.Index = 3 },
		"a longer page":       func(p *PageProof) { p.Count = 6 },
		"a shorter page":      func(p *PageProof) { p.Count, p.Index, p.Path = 3, 2, p.Path[2:] },
		"another path":        func(p *PageProof) { p.Path[1][5] ^= 1 },
		"another signature":   func(p *PageProof) { p.Seal.Signature[9] ^= 1 },
		"the other signature": func(p *PageProof) { negate(p.Seal.Signature) },
	} {
		p := proof()
		c(p)
		tok := toks[2].Enclose(p)
		if tok.Verify(key) == nil {
			t.Errorf("%s: it verifies", what)
		}
		if again, err := Parse(tok.Bytes()); err == nil {
			if _, verr := again.View(); verr == nil && again.Verify(key) == nil {
				t.Errorf("%s: read back, it verifies", what)
			}
		}
	}
	if toks[3].Enclose(proof()).Verify(key) == nil {
		t.Error("another token of the page stands in its place")
	}
	// A council cannot seal what another says.
	theirs := page
	theirs.Council = "saltby.gov.uk"
	s, err := theirs.Sign(other.Record)
	if err != nil {
		t.Fatal(err)
	}
	p := proof()
	p.Page, p.Seal = theirs, s
	if _, err := toks[2].Enclose(p).View(); err == nil {
		t.Error("a record of one council in another's page can be read")
	}
	// Every byte of it is part of the one form.
	raw := proof().append(nil)
	for i := range raw {
		b := bytes.Clone(raw)
		b[i] ^= 1
		if p, err := parsePageProof(b); err == nil && toks[2].Enclose(p).Verify(key) == nil {
			t.Errorf("byte %d is changed, and it verifies", i)
		}
	}
	for what, bad := range map[string]Page{
		"a footprint that is no name": {Footprint: "x\ny.uk", Council: page.Council},
		"numbers of no agreement":     {Footprint: page.Footprint, Council: page.Council, Next: 1},
		"numbers that go back":        {Footprint: page.Footprint, Council: page.Council, Agreement: page.Agreement, Since: 2, Next: 1},
		"too many":                    {Footprint: page.Footprint, Council: page.Council, Count: MaxPage + 1},
	} {
		if _, err := bad.Sign(ring.Record); err == nil {
			t.Errorf("%s: it was sealed", what)
		}
	}
}

// negate makes the second signature that anybody can make of one.
func negate(sig []byte) {
	order, _ := base64.StdEncoding.DecodeString("/////wAAAAD//////////7zm+q2nF56E87nKwvxjJVE=")
	borrow := 0
	for i := 31; i >= 0; i-- {
		d := int(order[i]) - int(sig[32+i]) - borrow
		borrow = 0
		if d < 0 {
			d, borrow = d+256, 1
		}
		sig[32+i] = byte(d)
	}
}

// FuzzPageProof: what is read is printed back byte for byte.
func FuzzPageProof(f *testing.F) {
	for _, line := range pageTokens(f) {
		part := bytes.Split(line, []byte("."))[2]
		sig, _, _ := strings.Cut(string(part), "~")
		b, err := b64.DecodeString(sig)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append(b[:len(b)-32], binary.BigEndian.AppendUint64(nil, 7)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePageProof(b)
		if err == nil && !bytes.Equal(p.append(nil), b) {
			t.Fatalf("read %x, printed %x", b, p.append(nil))
		}
	})
}
