package simtest

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/node/name"
)

// TestScan: a value is found in clear and in base64, wherever it begins and whatever
// stands before and after.
func TestScan(t *testing.T) {
	value := canaryWord + " /notes/0 17."
	want := canary{"/notes/0", "17"}
	try := func(text string) {
		t.Helper()
		n := 0
		scan([]byte(text), func(x canary) {
			if n++; x != want {
				t.Errorf("%q in %q", x, text)
			}
		})
		if n != 1 {
			t.Errorf("found %d times in %q", n, text)
		}
	}
	try(value)
	try("\x00\xff" + value + "\xff")
	for before := range 9 {
		for after := range 4 {
			enc := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("s", before) + value + strings.Repeat("\"", after)))
			try(enc)
			try("\x00ey." + enc + "~")
			try("Qk" + enc + "\x00")
		}
	}
	scan([]byte(canaryWord[1:]+" /a 1."), func(canary) { t.Error("found what is not there") })
}

// TestScanFails: had a node kept a withheld field, a row outside the filter, a record
// that was withdrawn or what an answer showed, the scan of its files would say so. The
// node is right here, and the model is made to say less than was agreed.
func TestScanFails(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, 2)
		from, to := w.councils[0], w.councils[1]
		x := w.agree(from, to, "cases-0", 6)
		w.write(from, 9)
		time.Sleep(time.Minute)
		to.halt()
		found := map[canary]string{}
		err := ledgertest.Raw(to.dir, func(b []byte, where string) {
			scan(b, func(x canary) { found[x] = where })
		})
		if err != nil || len(found) == 0 {
			t.Fatalf("%d values found, %v", len(found), err)
		}
		if got := w.faults(to, found); len(got) > 0 {
			t.Fatalf("as it is: %q", got)
		}
		caught := func(what, place string) {
			t.Helper()
			got := strings.Join(w.faults(to, found), "\n")
			if !strings.Contains(got, place) || !strings.Contains(got, "stands in") {
				t.Errorf("%s is not caught: %q", what, got)
			}
		}

		fields, sent := x.fields, w.sent
		w.sent = map[name.Council]map[name.Agreement]map[canary]bool{} // by another way than the tap sees
		x.fields = []name.Field{"/reference"}
		caught("a withheld field", "/person/name")
		x.fields, w.sent = fields, sent

		was := x.rule
		x.rule = rule{"false", "", func(map[string]any) bool { return false }}
		caught("a row outside the filter", "/person/phone")
		x.rule = was

		for _, f := range from.facts {
			f.versions = append(f.versions, nil)
		}
		caught("a withdrawn record", "/person/name")
		for _, f := range from.facts {
			f.versions = f.versions[:len(f.versions)-1]
		}

		if got := w.faults(to, nil); len(got) == 0 || !strings.Contains(got[0], "proves nothing") {
			t.Errorf("nothing is found and that is no fault: %q", got)
		}
	})
}
