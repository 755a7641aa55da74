package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
)

// referral has every kind of place: hidden and open, whole and in parts,
// objects in arrays in objects.
const referral = `{
	"reference": "HN-1", "district": "E07000999", "status": null,
	"applicant": {"name": "Ottoline", "nino": "QQ123456C", "address": {"line": "1 Weir Lane", "postcode": "NM4 7QZ"}},
	"household": [{"name": "Ada", "age": 7}, {"name": "Bo", "age": 9.5}],
	"tags": ["urgent", "north"],
	"meeting": {"place": "Town Hall", "with": "D. Achebe"},
	"notes": {"free": ["text"]}
}`

func referralLayout() *standard.Layout {
	open := &standard.Layout{Open: true}
	hidden := &standard.Layout{}
	return &standard.Layout{Members: map[string]*standard.Layout{
		"reference": open, "district": open, "status": open,
		"applicant": {Members: map[string]*standard.Layout{ // hidden, in parts
			"name": hidden, "address": {Members: map[string]*standard.Layout{"line": hidden}},
		}},
		"household": {Elements: &standard.Layout{Members: map[string]*standard.Layout{"name": hidden}}},
		"tags":      {Open: true, Elements: hidden},                                     // open, its elements hidden
		"meeting":   {Open: true, Members: map[string]*standard.Layout{"with": hidden}}, // open but for a part
		// notes is not named: hidden as one value
	}}
}

func issue(t testing.TB, key *keys.RecordKey, c Claims, l *standard.Layout, body map[string]any, seed Seed) *Token {
	t.Helper()
	d, err := Build(c, key.ID(), l, body, seed)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(d.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	tok := d.Seal(sig)
	if tok.Entry() != d.Entry() || !bytes.Equal(tok.SigningInput(), d.SigningInput()) {
		t.Error("the sealed token is not the one it was built as")
	}
	return tok
}

func view(t testing.TB, tok *Token) *View {
	t.Helper()
	again, err := Parse(tok.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	v, err := again.View()
	if err != nil {
		t.Fatal(err)
	}
	if direct, err := tok.View(); err != nil || !reflect.DeepEqual(direct, v) {
		t.Errorf("the token and its bytes differ:\n%+v, %v\n%+v", direct, err, v)
	}
	if again.Entry() != tok.Entry() || again.KeyID() != tok.KeyID() || !bytes.Equal(again.Signature(), tok.Signature()) {
		t.Error("the token and its bytes differ")
	}
	return v
}

func TestRecordRoundTrip(t *testing.T) {
	key := testRing(t).Record
	body := decodeBody(t, referral)
	before := strictjson.Canonical(body)
	c := testClaims()
	tok := issue(t, key, c, referralLayout(), body, Seed{7})
	if !bytes.Equal(strictjson.Canonical(body), before) {
		t.Error("Build changed the body")
	}
	if err := tok.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	v := view(t, tok)
	if v.Claims != c {
		t.Errorf("claims\n got %+v\nwant %+v", v.Claims, c)
	}
	if !reflect.DeepEqual(v.Body, body) {
		t.Errorf("body\n got %s\nwant %s", strictjson.Canonical(v.Body), before)
	}
	want := []string{
		"/applicant", "/applicant/address", "/applicant/address/line", "/applicant/address/postcode", "/applicant/name", "/applicant/nino",
		"/household", "/household/0", "/household/0/age", "/household/0/name", "/household/1", "/household/1/age", "/household/1/name",
		"/meeting/with", "/notes", "/tags/0", "/tags/1",
	}
	if v.Withheld != 0 || !slices.Equal(v.Disclosed, want) {
		t.Errorf("withheld %d, disclosed\n got %q\nwant %q", v.Withheld, v.Disclosed, want)
	}
}

func TestPresentWithholds(t *testing.T) {
	key := testRing(t).Record
	tok := issue(t, key, testClaims(), referralLayout(), decodeBody(t, referral), Seed{7})
	cases := []struct {
		name      string
		keep      []string // pointers
		want      string   // visible body
		withheld  int
		disclosed []string
	}{
		{"nothing", nil, `{"reference":"HN-1","district":"E07000999","status":null,"meeting":{"place":"Town Hall"},"tags":[]}`, 6, nil},
		{"a leaf in a shell", []string{"/applicant", "/applicant/name"},
			`{"reference":"HN-1","district":"E07000999","status":null,"meeting":{"place":"Town Hall"},"tags":[],"applicant":{"name":"Ottoline"}}`, 7,
			[]string{"/applicant", "/applicant/name"}},
		{"a leaf without its shell", []string{"/applicant/name"},
			`{"reference":"HN-1","district":"E07000999","status":null,"meeting":{"place":"Town Hall"},"tags":[]}`, 6, nil},
		{"the second of two elements moves up", []string{"/tags/1", "/household", "/household/1", "/household/1/name"},
			`{"reference":"HN-1","district":"E07000999","status":null,"meeting":{"place":"Town Hall"},"tags":["north"],"household":[{"name":"Bo"}]}`, 6,
			[]string{"/household", "/household/0", "/household/0/name", "/tags/0"}},
		{"a whole value", []string{"/notes"},
			`{"reference":"HN-1","district":"E07000999","status":null,"meeting":{"place":"Town Hall"},"tags":[],"notes":{"free":["text"]}}`, 5, []string{"/notes"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			keep := func(p string, _ bool) bool { return slices.Contains(c.keep, p) }
			p, err := tok.Present(keep)
			if err != nil {
				t.Fatal(err)
			}
			if p.Entry() != tok.Entry() || p.Verify(key.Public()) != nil {
				t.Error("what is presented is not what was signed")
			}
			v := view(t, p)
			if want := decodeBody(t, c.want); !reflect.DeepEqual(v.Body, want) {
				t.Errorf("body\n got %s\nwant %s", strictjson.Canonical(v.Body), strictjson.Canonical(want))
			}
			if v.Withheld != c.withheld {
				t.Errorf("withheld %d, want %d", v.Withheld, c.withheld)
			}
			if !slices.Equal(v.Disclosed, c.disclosed) {
				t.Errorf("disclosed %q, want %q", v.Disclosed, c.disclosed)
			}

			// From the bytes alone it goes the same way.
			parsed, err := Parse(tok.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			q, err := parsed.Present(keep)
			if err != nil || !bytes.Equal(q.Bytes(), p.Bytes()) {
				t.Errorf("presented from bytes\n got %s, %v\nwant %s", q.Bytes(), err, p.Bytes())
			}
			for _, part := range []*Token{p, q} {
				if _, err := part.Present(keep); !errors.Is(err, ErrWithheld) {
					t.Errorf("presenting from a part: got %v, want ErrWithheld", err)
				}
			}
		})
	}
	all, err := tok.Present(func(string, bool) bool { return true })
	if err != nil || !bytes.Equal(all.Bytes(), tok.Bytes()) {
		t.Errorf("keeping everything changed the token: %v", err)
	}
}

// TestNarrow: presenting from a part shows what presenting that from the whole
// would, where elements are treated alike.
func TestNarrow(t *testing.T) {
	key := testRing(t).Record
	tok := issue(t, key, testClaims(), referralLayout(), decodeBody(t, referral), Seed{7})
	few := func(p string, _ bool) bool {
		return p == "/applicant" || p == "/applicant/name" || strings.HasPrefix(p, "/household") && !strings.HasSuffix(p, "/age") || p == "/tags/1"
	}
	fewer := func(p string, _ bool) bool {
		return p == "/applicant" || p == "/notes" || strings.HasPrefix(p, "/tags")
	}
	part, err := tok.Present(few)
	if err != nil {
		t.Fatal(err)
	}
	got, err := part.Narrow(fewer)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tok.Present(func(p string, shell bool) bool { return few(p, shell) && fewer(p, shell) })
	if err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("narrowed\n got %s\nwant %s, %v", got.Bytes(), want.Bytes(), err)
	}
	if v := view(t, got); !slices.Equal(v.Disclosed, []string{"/applicant", "/tags/0"}) || got.Verify(key.Public()) != nil {
		t.Errorf("narrowed discloses %q", v.Disclosed)
	}
}

func TestPresentAsksOnceOuterFirst(t *testing.T) {
	key := testRing(t).Record
	body := decodeBody(t, referral)
	body["empty"], body["none"] = map[string]any{}, []any{}
	tok := issue(t, key, testClaims(), referralLayout(), body, Seed{7})
	shells := []string{"/applicant", "/applicant/address", "/empty", "/household", "/household/0", "/household/1", "/none"}
	parsed, err := Parse(tok.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []*Token{tok, parsed} {
		var asked []string
		_, err := from.Present(func(p string, shell bool) bool {
			if slices.Contains(asked, p) {
				t.Errorf("asked about %s twice", p)
			}
			if shell != slices.Contains(shells, p) {
				t.Errorf("%s: shell is %v", p, shell)
			}
			asked = append(asked, p)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range asked {
			for _, later := range asked[i:] {
				if strings.HasPrefix(p, later+"/") {
					t.Errorf("asked about %s before %s", p, later)
				}
			}
		}
		if len(asked) != 19 {
			t.Errorf("asked about %d disclosures, want 19: %q", len(asked), asked)
		}
	}
}

// TestShapeOtherThanTheLayout holds that a place whose value is not the
// container that the layout has there is hidden or said as one value.
func TestShapeOtherThanTheLayout(t *testing.T) {
	key := testRing(t).Record
	body := decodeBody(t, `{"applicant":"Ottoline","household":{"name":"Ada"},"tags":"urgent","meeting":["x"],"reference":{"a":1}}`)
	tok := issue(t, key, testClaims(), referralLayout(), body, Seed{7})
	p, err := tok.Present(func(p string, shell bool) bool {
		if shell {
			t.Errorf("%s is a shell", p)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	v := view(t, p)
	if want := decodeBody(t, `{"tags":"urgent","meeting":["x"],"reference":{"a":1}}`); v.Withheld != 2 || !reflect.DeepEqual(v.Body, want) {
		t.Errorf("withheld %d, body %s", v.Withheld, strictjson.Canonical(v.Body))
	}
	if v := view(t, tok); !reflect.DeepEqual(v.Body, body) {
		t.Errorf("whole body %s", strictjson.Canonical(v.Body))
	}
}

func TestDelete(t *testing.T) {
	key := testRing(t).Record
	c := testClaims()
	c.Op, c.Version, c.Prev = Delete, 2, tlog.Hash{1}
	tok := issue(t, key, c, nil, nil, Seed{})
	if v := view(t, tok); v.Claims != c || v.Body != nil || v.Withheld != 0 || v.Disclosed != nil {
		t.Errorf("got %+v", v)
	}
	if n := bytes.Count(tok.Bytes(), []byte("~")); n != 1 {
		t.Errorf("%d tildes", n)
	}
	if p, err := tok.Present(func(string, bool) bool { return true }); err != nil || !bytes.Equal(p.Bytes(), tok.Bytes()) {
		t.Errorf("presented: %v", err)
	}
}

// TestEmptyBody and the strings of the world.
func TestBodiesOfManyKinds(t *testing.T) {
	key := testRing(t).Record
	for _, s := range []string{
		`{}`, `{"":""}`, `{"a/b":{"~":1},"m~n":2," ":3}`, `{"\u0000\u001f\"\\":"\b\f\n\r\t\u007f"}`,
		`{"é":"ß","日本":"語","\ud83d\ude00":"\ud83d\ude01","\uffff":"\ufffd","\ue000":1}`,
		`{"n":[0,-0,1.0,1e5,1E+5,-1.5e-3,9007199254740991,123456789012345.125]}`,
		`{"a":[[[]],[{}],[[{"b":[null,true,false]}]]]}`,
		`{"A":1,"Z":2,"_":3,"_s":4,"_sda":5,"a":6,"0":7}`, `{"salt":"[\"c2FsdHNhbHRzYWx0c2FsdA\",\"a\",1]"}`,
		`{"iat":1,"body":{"iat":2,"x":",\"iat\":3"},"_":",\"iat\":1764547200,\"iss\":\"https://northmoor.gov.uk\",\"op\":\"put\""}`,
	} {
		for what, l := range map[string]*standard.Layout{
			"all open":   {Open: true, Members: map[string]*standard.Layout{}},
			"all hidden": {Members: map[string]*standard.Layout{}},
			"in parts": {Members: map[string]*standard.Layout{"a": {Elements: &standard.Layout{Elements: &standard.Layout{}}},
				"A": {Open: true}, "_": {Open: true}, "a/b": {Members: map[string]*standard.Layout{}}, "n": {Open: true, Elements: &standard.Layout{}}}},
		} {
			body := decodeBody(t, s)
			tok := issue(t, key, testClaims(), l, body, Seed{9})
			if v := view(t, tok); !reflect.DeepEqual(v.Body, body) {
				t.Errorf("%s, %s: got %s", what, s, strictjson.Canonical(v.Body))
			}
			payload := tok.Bytes()[bytes.IndexByte(tok.Bytes(), '.')+1 : len(tok.SigningInput())]
			b, err := appendDecoded(nil, payload)
			if err != nil {
				t.Fatal(err)
			}
			if v := value(t, b); !bytes.Equal(strictjson.Canonical(v), b) {
				t.Errorf("%s, %s: payload is not canonical: %s", what, s, b)
			}
			none, err := tok.Present(func(string, bool) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			view(t, none)
		}
	}
}

// TestBuildIsDeterministicAtOnce matters because a ledger keeps claims, body, seed
// and signature, and makes the token from them again each time it is read.
func TestBuildIsDeterministicAtOnce(t *testing.T) {
	key := testRing(t).Record
	body := decodeBody(t, referral)
	want := issue(t, key, testClaims(), referralLayout(), body, Seed{7})
	again := func() error {
		// From what a ledger stores: the canonical bytes of the body.
		v, err := strictjson.Decode(strictjson.Canonical(body), strictjson.Limits{})
		if err != nil {
			return err
		}
		d, err := Build(testClaims(), key.ID(), referralLayout(), v.(map[string]any), Seed{7})
		if err != nil {
			return err
		}
		if got := d.Seal(want.Signature()); !bytes.Equal(got.Bytes(), want.Bytes()) || got.Entry() != want.Entry() {
			return errors.New("built otherwise the second time")
		}
		return nil
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if err := again(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()

	// Every argument counts.
	c := testClaims()
	c.IssuedAt++
	other := testRing(t).Record
	changed := decodeBody(t, referral)
	changed["reference"] = "HN-2"
	for what, d := range map[string]*Token{
		"seed":   issue(t, key, testClaims(), referralLayout(), body, Seed{8}),
		"claims": issue(t, key, c, referralLayout(), body, Seed{7}),
		"key":    issue(t, other, testClaims(), referralLayout(), body, Seed{7}),
		"body":   issue(t, key, testClaims(), referralLayout(), changed, Seed{7}),
		"layout": issue(t, key, testClaims(), planningLayout(), body, Seed{7}),
	} {
		if d.Entry() == want.Entry() {
			t.Errorf("another %s gives the same entry", what)
		}
	}
}

// TestSaltsAreOneStream: the i-th disclosure has block i of the stream, which OpenSSL
// (enc -aes-256-ctr) made for the first of them.
func TestSaltsAreOneStream(t *testing.T) {
	seed := Seed{1, 2, 3}
	tok := issue(t, testRing(t).Record, testClaims(), referralLayout(), decodeBody(t, referral), seed)
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	stream := make([]byte, 16*len(tok.texts))
	cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(stream, stream)
	first := []string{"9OLro-y4xKGZiOKTBV662w", "519dcAO-yXDF14kbiWvq0w", "PqGI8xmSHV04Ah9l7bA_Ww"}
	if len(tok.texts) <= len(first) {
		t.Fatalf("%d disclosures", len(tok.texts))
	}
	for i, s := range tok.texts {
		b, err := appendDecoded(nil, s.of(tok.raw))
		if err != nil {
			t.Fatal(err)
		}
		var d []any
		if err := json.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}
		if want := b64.EncodeToString(stream[16*i:][:16]); d[0] != want || i < len(first) && d[0] != first[i] {
			t.Errorf("salt %d is %v, want %s", i, d[0], want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	id := testRing(t).Record.ID()
	deep := func(n int) map[string]any {
		m := map[string]any{}
		for range n - 1 {
			m = map[string]any{"a": m}
		}
		return m
	}
	bodies := []struct {
		name string
		body map[string]any
		rule string
	}{
		{"64 deep", deep(64), ""},
		{"65 deep", deep(65), RuleDepth},
		{"_sd", decodeBody(t, `{"_sd":["`+secret+`"]}`), RuleReserved},
		{"...", decodeBody(t, `{"...":"`+secret+`"}`), RuleReserved},
		{"_sd_alg", decodeBody(t, `{"_sd_alg":"sha-256"}`), RuleReserved},
		{"_sd inside a hidden value", decodeBody(t, `{"a":{"b":[{"_sd":["`+secret+`"]}]}}`), RuleReserved},
		{"... inside an open value", decodeBody(t, `{"reference":[{"...":"`+secret+`"}]}`), RuleReserved},
		{"_sd inside a shell", decodeBody(t, `{"applicant":{"_sd":"`+secret+`"}}`), RuleReserved},
		{"a float", map[string]any{"a": 1.5}, RuleJSON},
		{"too large", map[string]any{"a": strings.Repeat(secret, 500_000)}, RuleSize},
		{"too many values", map[string]any{"a": make([]any, 100_000)}, RuleSize},
		{"not UTF-8", map[string]any{"a": "\xff"}, RuleJSON},
		{"a name not UTF-8", map[string]any{"\xff": nil}, RuleJSON},
		{"a number that is none", map[string]any{"a": json.Number(`1,"b":2`)}, RuleJSON},
		{"a number too large", map[string]any{"a": json.Number(`1e999`)}, RuleJSON},
	}
	for _, l := range []*standard.Layout{referralLayout(), {Open: true}, {}} {
		for _, c := range bodies {
			d, err := Build(testClaims(), id, l, c.body, Seed{})
			wantRule(t, c.name, err, c.rule)
			if (d == nil) != (err != nil) {
				t.Errorf("%s: a token beside an error", c.name)
			}
			// It is still good for another.
			if _, err := Build(testClaims(), id, l, decodeBody(t, referral), Seed{}); err != nil {
				t.Fatal(err)
			}
		}
	}

	for what, change := range map[string]func(*Claims){
		"no council":              func(c *Claims) { c.Council = "" },
		"council with a quote":    func(c *Claims) { c.Council = `a.b","x":"` },
		"before 1970":             func(c *Claims) { c.IssuedAt = -1 },
		"beyond 2^53":             func(c *Claims) { c.IssuedAt = 1 << 53 },
		"no standard":             func(c *Claims) { c.Standard.Name = "" },
		"standard below zero":     func(c *Claims) { c.Standard.Version.Minor = -1 },
		"standard above its form": func(c *Claims) { c.Standard.Version.Minor = 1_000_000 },
		"no integrity":            func(c *Claims) { c.Integrity = "" },
		"no record":               func(c *Claims) { c.Record = "" },
		"version 0":               func(c *Claims) { c.Version = 0 },
		"version beyond 2^53":     func(c *Claims) { c.Version = 1 << 53 },
		"version 1 after another": func(c *Claims) { c.Prev = tlog.Hash{1} },
		"version 2 after none":    func(c *Claims) { c.Version = 2 },
		"no operation":            func(c *Claims) { c.Op = "" },
		"a delete with a body":    func(c *Claims) { c.Op = Delete },
	} {
		c := testClaims()
		change(&c)
		if _, err := Build(c, id, planningLayout(), map[string]any{}, Seed{}); !errors.Is(err, ErrClaims) {
			t.Errorf("%s: got %v, want ErrClaims", what, err)
		}
	}
	for what, build := range map[string]func() (*Token, error){
		"no body":   func() (*Token, error) { return Build(testClaims(), id, planningLayout(), nil, Seed{}) },
		"no layout": func() (*Token, error) { return Build(testClaims(), id, nil, map[string]any{}, Seed{}) },
		"no key":    func() (*Token, error) { return Build(testClaims(), "", planningLayout(), map[string]any{}, Seed{}) },
		"key quote": func() (*Token, error) {
			return Build(testClaims(), `"`+id[1:], planningLayout(), map[string]any{}, Seed{})
		},
	} {
		if _, err := build(); !errors.Is(err, ErrClaims) {
			t.Errorf("%s: got %v, want ErrClaims", what, err)
		}
	}
}

// TestLargestTokens holds that what Build makes, Parse and View read.
func TestLargestTokens(t *testing.T) {
	key := testRing(t).Record
	list := make([]any, 12_000)
	for i := range list {
		list[i] = map[string]any{"name": json.Number("1"), "b": nil}
	}
	wide := map[string]any{}
	for i := range 20_000 {
		wide[strings.Repeat("k", i%20)+string(rune('0'+i%10))+string(rune(0x4e00+i))] = json.Number("1")
	}
	for what, c := range map[string]struct {
		body map[string]any
		ok   bool
	}{
		"many elements in parts": {map[string]any{"household": list}, true},
		"too many elements":      {map[string]any{"household": append(list, list...)}, false},
		"many members":           {wide, true},
		"one long text":          {map[string]any{"reference": strings.Repeat("x", 1_000_000), "note": strings.Repeat("y", 1_000_000)}, true},
	} {
		d, err := Build(testClaims(), key.ID(), referralLayout(), c.body, Seed{7})
		if !c.ok {
			wantRule(t, what, err, RuleSize)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		tok := d.Seal(make([]byte, 64))
		if v := view(t, tok); !reflect.DeepEqual(v.Body, c.body) {
			t.Errorf("%s: read otherwise", what)
		}
	}
}

// TestWorkPerRecord pins how much memory a record's way takes, which is the
// same on every machine.
func TestWorkPerRecord(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates for itself")
	}
	key, body, l := testRing(t).Record, decodeBody(t, planning), planningLayout()
	tok := issue(t, key, testClaims(), l, body, Seed{1})
	part, err := tok.Present(twelve)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		most float64
		do   func()
	}{
		"build":   {40, func() { Build(testClaims(), key.ID(), l, body, Seed{1}) }},
		"present": {5, func() { tok.Present(twelve) }},
		"view": {65, func() {
			p, err := Parse(part.Bytes())
			if err == nil {
				_, err = p.View()
			}
			if err != nil {
				t.Error(err)
			}
		}},
	} {
		if got := testing.AllocsPerRun(200, c.do); got > c.most {
			t.Errorf("%s allocates %v times, want at most %v", what, got, c.most)
		}
	}
}

func TestEventRoundTrip(t *testing.T) {
	key := testRing(t).Record
	e := Event{Council: "northmoor.gov.uk", IssuedAt: 1764547200, Kind: "agreement-signed",
		Body: map[string]any{"agreement": "northmoor.gov.uk/x", "...": json.Number("1.50"), "list": []any{nil, true}}}
	d, err := BuildEvent(e, key.ID())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(d.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	tok := d.Seal(sig)
	got, read, err := ParseEvent(tok.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*read, e) {
		t.Errorf("got %+v, want %+v", *read, e)
	}
	if err := got.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	if got.Entry() != sha256.Sum256(d.SigningInput()) || got.Entry() != d.Entry() || !bytes.Equal(got.Bytes(), tok.Bytes()) {
		t.Error("the parsed event is not the one sealed")
	}
	wantRule(t, "an event as a record", second(Parse(append(bytes.Clone(tok.Bytes()), '~'))), RuleHeader)
	for _, tok := range []*Token{tok, got} {
		wantRule(t, "the view of an event", second(tok.View()), RuleHeader)
		_, err := tok.Present(func(string, bool) bool { return true })
		wantRule(t, "a part of an event", err, RuleHeader)
	}
	rec := issue(t, key, testClaims(), planningLayout(), map[string]any{}, Seed{})
	_, _, err = ParseEvent(bytes.TrimSuffix(rec.Bytes(), []byte("~")))
	wantRule(t, "a record as an event", err, RuleHeader)

	empty, err := BuildEvent(Event{Council: "a.uk", Kind: "x"}, key.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, e, err := ParseEvent(empty.Seal(sig).Bytes()); err != nil || e.Body == nil || len(e.Body) != 0 {
		t.Errorf("an event without a body: %+v, %v", e, err)
	}
}

// A time that can be claimed can be shown: as JSON has it.
func TestIssuedHasAForm(t *testing.T) {
	for at, want := range map[int64]bool{0: true, MaxIssued: true, MaxIssued + 1: false, maxInteger: false} {
		c := testClaims()
		c.IssuedAt = at
		if err := c.check(); (err == nil) != want {
			t.Errorf("a record of %d: %v", at, err)
		}
		if _, err := BuildEvent(Event{Council: "a.uk", IssuedAt: at, Kind: "x"}, testRing(t).Record.ID()); (err == nil) != want {
			t.Errorf("an event of %d: %v", at, err)
		}
		if _, err := json.Marshal(time.Unix(at, 0).UTC()); (err == nil) != want {
			t.Errorf("the time %d as JSON: %v", at, err)
		}
	}
}

func TestEventRefuses(t *testing.T) {
	f := forger{testRing(t).Record}
	header := `{"alg":"ES256","kid":"` + f.key.ID() + `","typ":"stile-event+jws"}`
	const good = `{"body":{"a":1},"event":"receipt","iat":1764547200,"iss":"https://northmoor.gov.uk"}`
	change := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, c := range []struct{ name, payload, rule string }{
		{"good", good, ""},
		{"one claim more", change(`"iat"`, `"exp":1,"iat"`), RuleClaims},
		{"no body", change(`"body":{"a":1},`, ``), RuleClaims},
		{"body an array", change(`{"a":1}`, `[]`), RuleClaims},
		{"body null", change(`{"a":1}`, `null`), RuleClaims},
		{"kind in capitals", change(`receipt`, `Receipt`), RuleClaims},
		{"kind empty", change(`receipt`, ``), RuleClaims},
		{"kind a number", change(`"receipt"`, `1`), RuleClaims},
		{"kind long", change(`receipt`, strings.Repeat("r", 65)), RuleClaims},
		{"kind with a dash at the end", change(`receipt`, `receipt-`), RuleClaims},
		{"no time", change(`1764547200`, `null`), RuleClaims},
		{"before 1970", change(`1764547200`, `-1`), RuleClaims},
		{"the last second of the year 9999", change(`1764547200`, `253402300799`), ""},
		{"after the year 9999", change(`1764547200`, `253402300800`), RuleClaims},
		{"so late that no JSON can say it", change(`1764547200`, `9007199254740991`), RuleClaims},
		{"a fraction", change(`1764547200`, `1.5`), RuleClaims},
		{"issuer over http", change(`https`, `http`), RuleClaims},
		{"an array", `[]`, RuleClaims},
		{"space", change(`,`, `, `), RuleCanonical},
		{"out of order", `{"event":"receipt","body":{},"iat":1764547200,"iss":"https://northmoor.gov.uk"}`, RuleCanonical},
		{"a claim twice", change(`"iat"`, `"event":"x","iat"`), RuleJSON},
		{"cut short", good[:40], RuleJSON},
		{"deep", change(`1}`, strings.Repeat("[", 64)+strings.Repeat("]", 64)+"}"), RuleJSON},
	} {
		raw := bytes.TrimSuffix(f.token(t, header, c.payload), []byte("~"))
		_, _, err := ParseEvent(raw)
		wantRule(t, c.name, err, c.rule)
	}
	raw := bytes.TrimSuffix(f.token(t, header, good), []byte("~"))
	for what, b := range map[string][]byte{
		"with a tilde": append(bytes.Clone(raw), '~'), "padded": append(bytes.Clone(raw), '='), "empty": nil,
		"two parts": raw[:bytes.LastIndexByte(raw, '.')], "line feed": append(bytes.Clone(raw), '\n'),
		"too long": bytes.Repeat([]byte("A"), MaxToken+1),
	} {
		if tok, _, err := ParseEvent(b); err == nil || tok != nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for what, e := range map[string]Event{
		"no council": {Kind: "x"}, "no kind": {Council: "a.uk"}, "time": {Council: "a.uk", Kind: "x", IssuedAt: -1},
	} {
		if _, err := BuildEvent(e, f.key.ID()); !errors.Is(err, ErrClaims) {
			t.Errorf("%s: got %v, want ErrClaims", what, err)
		}
	}
	if _, err := BuildEvent(Event{Council: "a.uk", Kind: "x"}, "key"); !errors.Is(err, ErrClaims) {
		t.Errorf("no key: got %v, want ErrClaims", err)
	}
	_, err := BuildEvent(Event{Council: "a.uk", Kind: "x", Body: map[string]any{"a": 1.5}}, f.key.ID())
	wantRule(t, "a float", err, RuleJSON)
	_, err = BuildEvent(Event{Council: "a.uk", Kind: "x", Body: map[string]any{"a": strings.Repeat("a", MaxToken)}}, f.key.ID())
	wantRule(t, "too large", err, RuleSize)
}

func TestSealPanicsOnABrokenSignature(t *testing.T) {
	d, err := Build(testClaims(), testRing(t).Record.ID(), planningLayout(), map[string]any{}, Seed{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("sealed with 63 bytes")
		}
	}()
	d.Seal(make([]byte, 63))
}
