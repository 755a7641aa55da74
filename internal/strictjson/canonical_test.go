package strictjson

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// RFC 8785 Appendix B, Table 1.
func TestJCSNumbersOfAppendixB(t *testing.T) {
	for _, c := range []struct{ bits, want string }{
		{"0000000000000000", "0"},
		{"8000000000000000", "0"},
		{"0000000000000001", "5e-324"},
		{"8000000000000001", "-5e-324"},
		{"7fefffffffffffff", "1.7976931348623157e+308"},
		{"ffefffffffffffff", "-1.7976931348623157e+308"},
		{"4340000000000000", "9007199254740992"},
		{"c340000000000000", "-9007199254740992"},
		{"4430000000000000", "295147905179352830000"},
		{"44b52d02c7e14af5", "9.999999999999997e+22"},
		{"44b52d02c7e14af6", "1e+23"},
		{"44b52d02c7e14af7", "1.0000000000000001e+23"},
		{"444b1ae4d6e2ef4e", "999999999999999700000"},
		{"444b1ae4d6e2ef4f", "999999999999999900000"},
		{"444b1ae4d6e2ef50", "1e+21"},
		{"3eb0c6f7a0b5ed8c", "9.999999999999997e-7"},
		{"3eb0c6f7a0b5ed8d", "0.000001"},
		{"41b3de4355555553", "333333333.3333332"},
		{"41b3de4355555554", "333333333.33333325"},
		{"41b3de4355555555", "333333333.3333333"},
		{"41b3de4355555556", "333333333.3333334"},
		{"41b3de4355555557", "333333333.33333343"},
		{"becbf647612f3696", "-0.0000033333333333333333"},
		{"43143ff3c1cb0959", "1424953923781206.2"},
		{"7fffffffffffffff", ""}, // NaN
		{"7ff0000000000000", ""}, // Infinity
	} {
		n, err := strconv.ParseUint(c.bits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendJCS(nil, math.Float64frombits(n))
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %q, %v; want %q", c.bits, got, err, c.want)
		}
	}
}

// The published number sequence of RFC 8785's author, judged by the published
// SHA-256 of its first lines: edge cases, the smallest normal numbers, then
// whatever a chain of SHA-256 digests spells.
func TestJCSNumberSequence(t *testing.T) {
	file, err := os.ReadFile("testdata/rfc8785/es6-static.txt")
	if err != nil {
		t.Fatal(err)
	}
	var bits []uint64
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		bits = append(bits, n)
	}
	for i := range uint64(2000) {
		bits = append(bits, 0x0010000000000000+i)
	}
	sums := map[int]string{
		1000:   "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687",
		10000:  "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892",
		100000: "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7",
	}
	h := sha256.New()
	var block [sha256.Size]byte
	var line []byte
	var left []byte
	for n := range 100_000 {
		var f float64
		if n < len(bits) {
			f = math.Float64frombits(bits[n])
		} else {
			for f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
				if len(left) == 0 {
					block = sha256.Sum256(block[:])
					left = block[:]
				}
				f = math.Float64frombits(binary.LittleEndian.Uint64(left))
				left = left[8:]
			}
		}
		line = strconv.AppendUint(line[:0], math.Float64bits(f), 16)
		line = append(line, ',')
		if line, err = AppendJCS(line, f); err != nil {
			t.Fatal(err)
		}
		h.Write(append(line, '\n'))
		if want, ok := sums[n+1]; ok {
			if got := hex.EncodeToString(h.Sum(nil)); got != want {
				t.Fatalf("first %d lines: got %s, want %s", n+1, got, want)
			}
		}
	}
}

// RFC 8785 sections 3.2.2 and 3.2.3, and the cases published beside it
// (github.com/cyberphone/json-canonicalization testdata, 2024-12-13).
func TestJCSTexts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{
			`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
			`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		{
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}",
		},
		{`[56,{"d":true,"10":null,"1":[ ]}]`, `[56,{"1":[],"10":null,"d":true}]`},
		{`{"1":{"f":{"f":"hi","F":5},"\n":56.0},"10":{ },"":"empty","a":{ },"111":[{"e":"yes","E":"no"}],"A":{ }}`,
			`{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}`},
		{`{"u":"A\u030a"}`, "{\"u\":\"A\u030a\"}"},
		{`[1.0,1e0,-0,0.1e1,1e-7]`, `[1,1,0,1,1e-7]`},
	} {
		v, err := Decode([]byte(c.in), Limits{WideNumbers: true})
		if err != nil {
			t.Errorf("Decode(%s): %v", c.in, err)
			continue
		}
		if got, err := AppendJCS(nil, v); err != nil || string(got) != c.want {
			t.Errorf("AppendJCS(%s)\n got %s, %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestJCSRefuses(t *testing.T) {
	prefix := []byte("kept")
	for _, v := range []any{
		math.NaN(), math.Inf(-1), json.Number("1e999"), json.Number("x"), 1 << 53, int64(-1 << 53), uint64(1 << 63),
		"\xff", map[string]any{"\xff": 1}, []any{math.NaN()}, map[string]any{"a": struct{}{}}, float32(1),
	} {
		got, err := AppendJCS(prefix, v)
		if !errors.Is(err, ErrNotJCS) || string(got) != "kept" {
			t.Errorf("AppendJCS(%T) = %q, %v", v, got, err)
		}
	}
	if got, err := AppendJCS(nil, []any{maxSafe, int64(-maxSafe), uint64(7), true}); err != nil || string(got) != "[9007199254740991,-9007199254740991,7,true]" {
		t.Errorf("got %s, %v", got, err)
	}
}

// Canonical keeps a number as it was signed.
func TestCanonicalKeepsNumbers(t *testing.T) {
	in := `{ "b" : 1.50, "a" : [1E+2, -0, 1e0], "\u00e9":"\u00e9\/" }`
	want := `{"a":[1E+2,-0,1e0],"b":1.50,"é":"é/"}`
	v, err := Decode([]byte(in), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Canonical(v)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := string(Canonical([]any{1, int64(-2), uint64(3), nil, false})); got != "[1,-2,3,null,false]" {
		t.Errorf("got %s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a float64 was printed without a token to keep")
		}
	}()
	Canonical(1.5)
}

func TestCompareUTF16(t *testing.T) {
	// In the order of RFC 8785: U+FFFF sorts after everything beyond it.
	keys := []string{"", "\r", "1", "a", "aa", "é", "\ud7ff", "\U00010000", "\U0010ffff", "\ue000", "\uffff", "\uffffa"}
	for i, a := range keys {
		for j, b := range keys {
			got := compareUTF16(a, b)
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("compare %q with %q: %d", a, b, got)
			}
		}
	}
}
