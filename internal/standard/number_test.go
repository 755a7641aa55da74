package standard

import (
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
)

// A decimal must agree with a big.Rat on everything it does.
func TestDecimalAgainstRat(t *testing.T) {
	toks := []string{"0", "-0", "0.0", "-0e5", "1", "-1", "1.0", "1e0", "10", "1e1", "0.1", "0.10", "1e-1", "100", "12300", "0.000001", "9007199254740991", "1e300", "1e-300", "123456789012345678901234567890", "-3.5", "3.5", "2.5e2", "250", "0.01", "4.35", "1.1", "99.99", "0.075"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		tok := strconv.Itoa(r.IntN(2000) - 1000)
		if r.IntN(2) == 0 {
			tok += "." + strconv.Itoa(r.IntN(1000))
		}
		if r.IntN(3) == 0 {
			tok += "e" + strconv.Itoa(r.IntN(40)-20)
		}
		toks = append(toks, tok)
	}
	rat := func(s string) *big.Rat {
		x, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("bad token %s", s)
		}
		return x
	}
	for _, a := range toks {
		da, ok := parseDecimal(a)
		if !ok {
			t.Fatalf("parseDecimal(%s) failed", a)
		}
		ra := rat(a)
		if got := rat(da.String()); got.Cmp(ra) != 0 {
			t.Errorf("%s prints as %s", a, da)
		}
		if da.isInt() != ra.IsInt() {
			t.Errorf("%s: isInt %v", a, da.isInt())
		}
		if db := decimalOfRat(ra); db != da {
			t.Errorf("%s: decimalOfRat gives %+v, want %+v", a, db, da)
		}
		for _, b := range toks {
			db, _ := parseDecimal(b)
			rb := rat(b)
			want := ra.Cmp(rb)
			if got := da.cmp(db); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("cmp(%s, %s) = %d, want %d", a, b, got, want)
			}
			if (da.key() == db.key()) != (want == 0) {
				t.Errorf("keys of %s and %s: %s, %s", a, b, da.key(), db.key())
			}
			if rb.Sign() != 0 {
				if got, want := da.multipleOf(db), new(big.Rat).Quo(ra, rb).IsInt(); got != want {
					t.Errorf("%s multiple of %s: %v, want %v", a, b, got, want)
				}
			}
		}
	}
	for _, s := range []string{"", "-", "1e", "x", "1e1001", "1e99999999999999999999", "1e-1001", ".5", "1x", "+1", "NaN"} {
		if d, ok := parseDecimal(s); ok {
			t.Errorf("parseDecimal(%q) = %+v", s, d)
		}
	}
}
