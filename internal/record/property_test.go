package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A world makes random records in which every text and name occurs once, so
// that finding one where it should not be is proof of a leak.
type world struct {
	*rand.Rand
	n int
}

func (w *world) unique(kind string) string {
	w.n++
	odd := []string{"", "~", "/", `"`, "é", "😀", " ", "\n"}[w.IntN(8)]
	return fmt.Sprintf("%s%s%d-%06x", kind, odd, w.n, w.IntN(1<<24))
}

func (w *world) value(depth int) any {
	n := w.IntN(10)
	if depth == 0 && n < 5 {
		n += 5
	}
	switch n {
	case 0, 1, 2:
		m := map[string]any{}
		for range w.IntN(4) {
			m[w.unique("k")] = w.value(depth - 1)
		}
		return m
	case 3, 4:
		a := []any{}
		for range w.IntN(4) {
			a = append(a, w.value(depth-1))
		}
		return a
	case 5:
		return json.Number(strconv.Itoa(1_000_000_000 + w.n*1000 + w.IntN(1000)))
	case 6:
		return []any{nil, true, false}[w.IntN(3)]
	}
	return w.unique("v")
}

// layout makes a layout that mostly fits v, and sometimes does not.
func (w *world) layout(v any, depth int) *standard.Layout {
	l := &standard.Layout{Open: w.IntN(3) == 0}
	if depth == 0 || w.IntN(5) == 0 {
		return l
	}
	if w.IntN(8) == 0 {
		v = w.value(1) // a standard that was written for something else
	}
	switch v := v.(type) {
	case map[string]any:
		l.Members = map[string]*standard.Layout{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if w.IntN(4) != 0 {
				l.Members[k] = w.layout(v[k], depth-1)
			}
		}
	case []any:
		l.Elements = &standard.Layout{Open: w.IntN(3) == 0}
		if len(v) > 0 {
			l.Elements = w.layout(v[w.IntN(len(v))], depth-1)
		}
	}
	return l
}

// A reader says what should be seen of a record, told slowly and without
// tokens: the visible value, the disclosed pointers in it, and how many digests
// stay unanswered.
type reader struct {
	keep      func(string) bool
	disclosed []string
	withheld  int
}

// see returns what is visible of v, which lies at at in the record and at as in
// what is seen of it, and whether anything is.
func (r *reader) see(v any, l *standard.Layout, at, as string) (any, bool) {
	_, object := v.(map[string]any)
	_, array := v.([]any)
	parts := (object && l.Members != nil) || (array && l.Elements != nil)
	if clear := l.Open || (parts && l.Shell()); !clear {
		if !r.keep(at) {
			r.withheld++
			return nil, false
		}
		r.disclosed = append(r.disclosed, as)
	}
	if !parts {
		return v, true
	}
	return r.inside(v, l, at, as), true
}

func (r *reader) inside(v any, l *standard.Layout, at, as string) any {
	if a, ok := v.([]any); ok {
		out := []any{}
		for i, e := range a {
			if e, ok := r.see(e, l.Element(), fmt.Sprint(at, "/", i), fmt.Sprint(as, "/", len(out))); ok {
				out = append(out, e)
			}
		}
		return out
	}
	out := map[string]any{}
	for k, e := range v.(map[string]any) {
		tok := "/" + name.Escape(k)
		if e, ok := r.see(e, l.Member(k), at+tok, as+tok); ok {
			out[k] = e
		}
	}
	return out
}

// texts returns every name and text in v.
func texts(v any, into map[string]bool) map[string]bool {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			into[k] = true
			texts(e, into)
		}
	case []any:
		for _, e := range v {
			texts(e, into)
		}
	case string:
		into[v] = true
	case json.Number:
		into[string(v)] = true
	}
	return into
}

// TestPresentDisclosesExactly is the promise of the package: for records and
// layouts of every shape and any choice of what to keep, the receiver sees just that,
// the signature holds, and no other text or name is anywhere in the bytes sent.
func TestPresentDisclosesExactly(t *testing.T) {
	key := testRing(t).Record
	rounds := 1500
	if testing.Short() || raceEnabled {
		rounds = 150
	}
	seed := rand.Uint64()
	for round := range rounds {
		w := &world{Rand: rand.New(rand.NewPCG(seed, uint64(round)))}
		where := fmt.Sprintf("seed %d round %d", seed, round)
		body := map[string]any{}
		for range w.IntN(6) {
			body[w.unique("k")] = w.value(4)
		}
		l := w.layout(body, 5)
		if l.Members == nil {
			l.Members = map[string]*standard.Layout{}
		}
		d, err := Build(testClaims(), key.ID(), l, body, Seed{byte(round), byte(round >> 8)})
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		sig := make([]byte, 64)
		if round%10 == 0 { // signing takes most of the time
			if sig, err = key.Sign(d.SigningInput()); err != nil {
				t.Fatal(err)
			}
		}
		whole := d.Seal(sig)
		again, err := Build(testClaims(), key.ID(), l, decodeBody(t, string(strictjson.Canonical(body))), Seed{byte(round), byte(round >> 8)})
		if err != nil || !bytes.Equal(again.Seal(sig).Bytes(), whole.Bytes()) {
			t.Fatalf("%s: built otherwise the second time", where)
		}

		allow := w.IntN(4) // of 3
		chosen := map[string]bool{}
		keep := func(p string) bool {
			if _, ok := chosen[p]; !ok {
				h := rand.New(rand.NewPCG(seed^uint64(round), uint64(len(p))))
				for _, c := range p {
					h.Uint64N(uint64(c) + 1)
				}
				chosen[p] = h.IntN(3) < allow
			}
			return chosen[p]
		}
		part, err := whole.Present(func(p string, _ bool) bool { return keep(p) })
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		parsed, err := Parse(whole.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		same, err := parsed.Present(func(p string, _ bool) bool { return keep(p) })
		if err != nil || !bytes.Equal(same.Bytes(), part.Bytes()) {
			t.Fatalf("%s: presented otherwise from bytes: %v", where, err)
		}
		if round%10 == 0 {
			if err := part.Verify(key.Public()); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
		}

		r := &reader{keep: keep}
		want := r.inside(body, l, "", "").(map[string]any)
		slices.Sort(r.disclosed)
		v := view(t, part)
		if !reflect.DeepEqual(v.Body, want) {
			t.Fatalf("%s: body\n got %s\nwant %s\nof   %s", where, strictjson.Canonical(v.Body), strictjson.Canonical(want), strictjson.Canonical(body))
		}
		if !slices.Equal(v.Disclosed, r.disclosed) || v.Withheld != r.withheld {
			t.Fatalf("%s: disclosed %q withheld %d\nwant %q and %d", where, v.Disclosed, v.Withheld, r.disclosed, r.withheld)
		}
		for _, p := range v.Disclosed {
			if !resolves(v.Body, p) {
				t.Fatalf("%s: %q is not in %s", where, p, strictjson.Canonical(v.Body))
			}
		}

		// Every byte that is sent, decoded.
		var sent []byte
		for _, s := range bytes.FieldsFunc(part.Bytes(), func(r rune) bool { return r == '.' || r == '~' }) {
			if sent, err = appendDecoded(sent, s); err != nil {
				t.Fatal(err)
			}
		}
		visible := texts(want, map[string]bool{})
		for s := range texts(body, map[string]bool{}) {
			if !visible[s] && bytes.Contains(sent, strictjson.AppendString(nil, s)[1:len(strictjson.AppendString(nil, s))-1]) {
				t.Fatalf("%s: %q was withheld and is in the token", where, s)
			}
		}
	}
}

// resolves reports whether the pointer names something in v.
func resolves(v any, pointer string) bool {
	for _, tok := range name.Field(pointer).Tokens() {
		switch c := v.(type) {
		case map[string]any:
			e, ok := c[tok]
			if !ok {
				return false
			}
			v = e
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i >= len(c) {
				return false
			}
			v = c[i]
		default:
			return false
		}
	}
	return true
}

// fuzzKey is the id of no key. Signatures play no part in fuzzing, and every
// process of a fuzzer must begin with the same tokens.
const fuzzKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// FuzzParse: whatever the bytes, nothing panics, what Parse accepts it prints
// back, and what View accepts is told the same from the parts it is made of.
func FuzzParse(f *testing.F) {
	header, err := appendHeader(nil, kindRecord, fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	d, err := Build(testClaims(), fuzzKey, referralLayout(), decodeBody(f, referral), Seed{7})
	if err != nil {
		f.Fatal(err)
	}
	tok := d.Seal(make([]byte, 64))
	f.Add(tok.Bytes())
	part, err := tok.Present(func(p string, shell bool) bool { return shell || strings.HasSuffix(p, "name") })
	if err != nil {
		f.Fatal(err)
	}
	f.Add(part.Bytes())
	f.Add([]byte(b64.EncodeToString(header) + "." + b64.EncodeToString([]byte(payload(`{"a":[{"...":"x"}]}`))) + "." + strings.Repeat("A", 86) + "~"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tok.Bytes(), b) {
			t.Fatalf("parsed %q, printed %q", b, tok.Bytes())
		}
		checkView(t, tok)
	})
}

// FuzzView gives payload and disclosures to the fuzzer as JSON, so that it need
// not learn base64.
func FuzzView(f *testing.F) {
	text, err := appendHeader(nil, kindRecord, fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	header := b64.EncodeToString(text)
	d := `["` + salt + `","name","x"]`
	e := `["` + salt2 + `",{"b":[1]}]`
	f.Add(`{`+sd(d)+`}`, d, e)
	f.Add(`{`+sd(d)+`,"a":[`+dots(e)+`]}`, d, e)
	f.Add(`{"a":{"_sd":["x"]}}`, `[]`, `["`+salt+`","a",-1.5]`)
	f.Fuzz(func(t *testing.T, body, d, e string) {
		raw := header + "." + b64.EncodeToString([]byte(payload(body))) + "." + strings.Repeat("A", 86)
		for _, d := range []string{d, e} {
			if d != "" {
				raw += "~" + b64.EncodeToString([]byte(d))
			}
		}
		tok, err := Parse([]byte(raw + "~"))
		if err != nil {
			t.Fatalf("not parsed: %v", err)
		}
		checkView(t, tok)
	})
}

func checkView(t *testing.T, tok *Token) {
	v, err := tok.View()
	if err != nil {
		if _, err := tok.Present(func(string, bool) bool { return true }); err == nil {
			t.Fatal("presented what cannot be viewed")
		}
		return
	}
	for _, p := range v.Disclosed {
		if len(p) < name.MaxFieldLen && !resolves(v.Body, p) {
			t.Fatalf("%q is not in %s", p, strictjson.Canonical(v.Body))
		}
	}
	if v.Withheld > 0 {
		return
	}
	all, err := tok.Present(func(string, bool) bool { return true })
	if err != nil || !bytes.Equal(all.Bytes(), tok.Bytes()) {
		t.Fatalf("presenting everything: %v", err)
	}
	none, err := tok.Present(func(string, bool) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	w, err := none.View()
	if err != nil || len(w.Disclosed) != 0 || w.Claims != v.Claims {
		t.Fatalf("presenting nothing: %+v, %v", w, err)
	}
}

// FuzzOpenPlain holds the short way of reading a disclosure against the long one.
func FuzzOpenPlain(f *testing.F) {
	for _, s := range []string{`"name","x"`, `"name",1`, `"a",-0.50`, `"a",null`, `"a",true`, `"",""`, `"a",9007199254740993.0`, `"a","é"`, `"a",00`, `1,2`, `"a",1e5`, `"x"`, `0`, `"a",-`, `"a",1.`} {
		f.Add(`["` + salt + `",` + s + `]`)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &compact{dec: []byte(s), disclosures: []span{{0, len(s)}}}
		for _, named := range []bool{true, false} {
			key, v, ok := openPlain(s, named)
			if !ok {
				continue
			}
			// dec is left empty: with it, open would take the short way again.
			w := &weaver{c: c, strict: false}
			k, u, err := w.open(0, named)
			if err != nil || k != key || !reflect.DeepEqual(u, v) {
				t.Fatalf("%q: short %q %v, long %q %v %v", s, key, v, k, u, err)
			}
			text, err := strictjson.Decode([]byte(s), jsonLimits())
			if err != nil || string(strictjson.Canonical(text)) != s || !isSalt(text.([]any)[0].(string)) {
				t.Fatalf("%q is not in the strict form", s)
			}
		}
	})
}

// FuzzParseEvent: what is accepted is what BuildEvent would have written.
func FuzzParseEvent(f *testing.F) {
	text, err := appendHeader(nil, kindEvent, fuzzKey)
	if err != nil {
		f.Fatal(err)
	}
	header := b64.EncodeToString(text)
	f.Add([]byte(`{"body":{"a":[1,"x"]},"event":"receipt","iat":1764547200,"iss":"https://northmoor.gov.uk"}`))
	f.Add([]byte(`{"body":{},"event":"r","iat":0,"iss":"https://a.b"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw := []byte(header + "." + b64.EncodeToString(payload) + "." + strings.Repeat("A", 86))
		tok, e, err := ParseEvent(raw)
		if err != nil {
			return
		}
		d, err := BuildEvent(*e, tok.KeyID())
		if err != nil {
			t.Fatalf("%s: read but not written: %v", payload, err)
		}
		if again := d.Seal(tok.Signature()); !bytes.Equal(again.Bytes(), raw) || !bytes.Equal(tok.Bytes(), raw) {
			t.Fatalf("%s: written otherwise", payload)
		}
	})
}
