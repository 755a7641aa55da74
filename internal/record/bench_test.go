package record

import (
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// planning is a planning application of 18 fields and some 830 bytes, three of
// them open: what most records of a busy council look like. The people and
// places are made up.
const planning = `{
	"reference": "24/01234/FUL", "district": "E07000999", "status": "registered",
	"address": "Flat 2, The Old Tannery, 17 Weir Lane, Northmoor", "postcode": "NM4 7QZ", "uprn": "100098765432",
	"easting": 412345.5, "northing": 287654.25, "ward": "E05099123",
	"proposal": "Demolition of the existing single storey rear extension and outbuilding, and erection of a two storey side and rear extension with associated landscaping, bin and cycle stores, and alterations to the vehicular access onto Weir Lane",
	"applicant_name": "Ms Ottoline Hargreave-Smythe", "applicant_email": "o.hargreave@example.org", "applicant_phone": "01632 960983",
	"agent_name": "Pell and Marsh Architects Ltd", "received": "2024-03-18", "validated": "2024-03-25",
	"decision_due": "2024-05-20", "officer": "D. Achebe"
}`

func planningLayout() *standard.Layout {
	clear := &standard.Layout{Open: true}
	return &standard.Layout{Members: map[string]*standard.Layout{"reference": clear, "district": clear, "status": clear}}
}

func decodeBody(t testing.TB, s string) map[string]any {
	t.Helper()
	v, err := strictjson.Decode([]byte(s), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func testClaims() Claims {
	return Claims{
		Council: "northmoor.gov.uk", IssuedAt: 1764547200,
		Standard:  name.Standard{Name: "standards.example/planning-application", Version: name.Version{Major: 1, Minor: 2}},
		Integrity: "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		Record:    "aaaqeayeaudaocajbifqydiob4", Version: 1, Op: Put,
	}
}

func testRing(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkBuild is the issuer's work but the signature.
func BenchmarkBuild(b *testing.B) {
	kid, body, l := testRing(b).Record.ID(), decodeBody(b, planning), planningLayout()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(testClaims(), kid, l, body, Seed{1}); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

// BenchmarkIssue builds, signs and seals on every core.
func BenchmarkIssue(b *testing.B) {
	key, body, l := testRing(b).Record, decodeBody(b, planning), planningLayout()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d, err := Build(testClaims(), key.ID(), l, body, Seed{1})
			if err != nil {
				b.Error(err)
				return
			}
			sig, err := key.Sign(d.SigningInput())
			if err != nil {
				b.Error(err)
				return
			}
			d.Seal(sig)
		}
	})
	perSecond(b)
}

func benchToken(b *testing.B) (*Token, *keys.RecordKey) {
	key := testRing(b).Record
	d, err := Build(testClaims(), key.ID(), planningLayout(), decodeBody(b, planning), Seed{1})
	if err != nil {
		b.Fatal(err)
	}
	sig, err := key.Sign(d.SigningInput())
	if err != nil {
		b.Fatal(err)
	}
	return d.Seal(sig), key
}

// twelve keeps 9 of the 15 hidden fields, 12 of 18 with the open ones.
func twelve(pointer string, _ bool) bool {
	switch pointer {
	case "/applicant_name", "/applicant_email", "/applicant_phone", "/agent_name", "/officer", "/uprn":
		return false
	}
	return true
}

// BenchmarkPresent withholds 6 of 18 fields from a token that was just rebuilt.
func BenchmarkPresent(b *testing.B) {
	t, _ := benchToken(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.Present(twelve); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

func withheld(b *testing.B) ([]byte, *keys.RecordPublic) {
	t, key := benchToken(b)
	p, err := t.Present(twelve)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(p.Bytes())))
	return p.Bytes(), key.Public()
}

// BenchmarkView is the receiver's work but the signature.
func BenchmarkView(b *testing.B) {
	raw, _ := withheld(b)
	b.ReportAllocs()
	for b.Loop() {
		t, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := t.View(); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

// BenchmarkViewWhole is the same for a token with every field.
func BenchmarkViewWhole(b *testing.B) {
	tok, _ := benchToken(b)
	b.ReportAllocs()
	for b.Loop() {
		t, err := Parse(tok.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := t.View(); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

// BenchmarkVerifyWithheld checks all of a token with fields withheld,
// signature included, on every core.
func BenchmarkVerifyWithheld(b *testing.B) {
	raw, pub := withheld(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, err := Parse(raw)
			if err == nil {
				_, err = t.View()
			}
			if err == nil {
				err = t.Verify(pub)
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	perSecond(b)
}

// BenchmarkPack is what a sender does more than to make the token.
func BenchmarkPack(b *testing.B) {
	raw, _ := withheld(b)
	t, err := Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var p Packer
	var out []byte
	for b.Loop() {
		if out, err = p.Pack(out[:0], t); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}

// BenchmarkViewPacked is BenchmarkView of a packed token.
func BenchmarkViewPacked(b *testing.B) {
	raw, _ := withheld(b)
	t, err := Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	table, packed := packAll(b, []*Token{t})
	tb, err := ReadTable(table)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		t, err := tb.Token(packed[0])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := t.View(); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}
