package tufdir

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

func fullExtra() MemberExtra {
	return MemberExtra{Role: directory.RoleCouncil, GSS: "E07000998", ValidFrom: day, Ended: day.AddDate(1, 0, 0),
		Predecessors: []name.Council{"a.example", "b.example"}, Successors: []name.Council{"c.example"},
		Revocations: []directory.Revocation{{KID: strings.Repeat("A", 43), FromIndex: 0}, {KID: strings.Repeat("B", 43), FromIndex: maxIndex}}}
}

func TestExtraPrintsAndReadsBack(t *testing.T) {
	for _, e := range []MemberExtra{fullExtra(), {Role: directory.RoleAuditor, ValidFrom: day}} {
		got, err := ParseMemberExtra(e.JSON())
		if err != nil || !bytes.Equal(got.JSON(), e.JSON()) {
			t.Errorf("%s: got %+v, %v", e.JSON(), got, err)
		}
	}
	s := StandardExtra{Integrity: "sha256-" + strings.Repeat("A", 43) + "=", History: []Step{{standard.Draft, day}, {standard.Live, day}}}
	got, err := ParseStandardExtra(s.JSON())
	if err != nil || !bytes.Equal(got.JSON(), s.JSON()) || got.Status() != standard.Live {
		t.Errorf("%s: got %+v, %v", s.JSON(), got, err)
	}
}

func TestExtraRefuses(t *testing.T) {
	good := string(fullExtra().JSON())
	swap := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%s does not hold %s", good, from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for what, s := range map[string]string{
		"nothing":                 "",
		"a list":                  "[]",
		"no role":                 swap(`"role":"council",`, ""),
		"a role nobody has":       swap(`"council"`, `"king"`),
		"unknown field":           swap(`{"ended"`, `{"suspended":true,"ended"`),
		"twice":                   swap(`{"ended"`, `{"role":"auditor","ended"`),
		"null":                    swap(`"E07000998"`, `null`),
		"no such day":             swap("2026-11-02", "2026-11-31"),
		"a time":                  swap("2026-11-02", "2026-11-02T00:00:00Z"),
		"ended before it began":   swap("2027-11-02", "2025-11-02"),
		"predecessors not sorted": swap(`"a.example","b.example"`, `"b.example","a.example"`),
		"a predecessor twice":     swap(`"a.example","b.example"`, `"a.example","a.example"`),
		"a predecessor is none":   swap(`"a.example"`, `"a"`),
		"empty list":              swap(`["c.example"]`, `[]`),
		"index below 0":           swap(`"from_index":0`, `"from_index":-1`),
		"index is -0":             swap(`"from_index":0`, `"from_index":-0`),
		"index a fraction":        swap(`"from_index":0`, `"from_index":1.5`),
		"index with exponent":     swap(`"from_index":0`, `"from_index":1e3`),
		"index a text":            swap(`"from_index":0`, `"from_index":"0"`),
		"index too large":         swap(`"from_index":9007199254740991`, `"from_index":9007199254740993`),
		"kid of another form":     swap(strings.Repeat("A", 43), "A"),
		"a key revoked twice":     swap(strings.Repeat("B", 43), strings.Repeat("A", 43)),
		"more in a revocation":    swap(`"from_index":0`, `"from_index":0,"lifted":true`),
	} {
		if e, err := ParseMemberExtra([]byte(s)); !errors.Is(err, ErrCustom) {
			t.Errorf("%s: got %+v, %v", what, e, err)
		}
	}
	for what, s := range map[string]string{
		"no history":      `{"integrity":"sha256-` + strings.Repeat("A", 44) + `"}`,
		"backwards":       `{"integrity":"sha256-` + strings.Repeat("A", 44) + `","history":[{"on":"2026-01-01","status":"live"},{"on":"2026-02-01","status":"draft"}]}`,
		"earlier":         `{"integrity":"sha256-` + strings.Repeat("A", 44) + `","history":[{"on":"2026-02-01","status":"draft"},{"on":"2026-01-01","status":"live"}]}`,
		"unknown status":  `{"integrity":"sha256-` + strings.Repeat("A", 44) + `","history":[{"on":"2026-02-01","status":"final"}]}`,
		"other integrity": `{"integrity":"md5-A","history":[{"on":"2026-02-01","status":"draft"}]}`,
	} {
		if e, err := ParseStandardExtra([]byte(s)); !errors.Is(err, ErrCustom) {
			t.Errorf("%s: got %+v, %v", what, e, err)
		}
	}
}

func FuzzParseMemberExtra(f *testing.F) {
	f.Add(fullExtra().JSON())
	f.Add([]byte(`{"role":"auditor","valid_from":"2026-11-02"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseMemberExtra(b)
		if err == nil {
			printsBack(t, b, e.JSON())
		}
	})
}

func FuzzParseStandardExtra(f *testing.F) {
	f.Add(StandardExtra{Integrity: "sha256-" + strings.Repeat("A", 44), History: []Step{{standard.Draft, day}, {standard.Live, day}}}.JSON())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseStandardExtra(b)
		if err == nil {
			printsBack(t, b, e.JSON())
		}
	})
}

// printsBack expects two texts to be the same but for space and the order and
// spelling of JSON: TUF's own canonical form is another than ours, so a custom
// comes as its signer's program printed it.
func printsBack(t *testing.T, in, out []byte) {
	t.Helper()
	v, err := strictjson.Decode(in, strictjson.Limits{})
	if err != nil || !bytes.Equal(strictjson.Canonical(v), out) {
		t.Errorf("%q prints back as %q (%v)", in, out, err)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"metadata/timestamp.json", "metadata/1.root.json", "metadata/12.standards.example.json",
		"targets/members/" + strings.Repeat("0a", 32) + ".northmoor.gov.uk.yaml",
		"targets/standards/a.example/x/" + strings.Repeat("0a", 32) + ".1.2.0.zip"} {
		if _, ok := parsePath(s); !ok {
			f.Fatalf("%q is no path", s)
		}
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parsePath(s)
		if !ok {
			return
		}
		if p.String() != s || strings.Contains(s, "..") || strings.Contains(s, "//") || strings.ContainsAny(s, "\\:%\x00") {
			t.Errorf("%q was accepted, and prints as %q", s, p)
		}
	})
}

// Whatever is handed in as a signed file, nothing panics, and what is accepted
// for signing prints back as the same payload.
func FuzzSignedFile(f *testing.F) {
	w := newTown(f)
	w.admit("northmoor.gov.uk")
	w.body("standards.example")
	w.must(w.repo.Rekey(publics(w.holders...), 3, w.online.Public(), w.now))
	for _, role := range []string{"root", "targets", "members"} {
		b, err := w.repo.Export(role)
		w.must(err)
		f.Add(b)
	}
	for _, b := range w.repo.fresh {
		f.Add(b)
	}
	f.Add([]byte(`{"signed":{"_type":"targets","version":1,"expires":"2026-01-01T00:00:00Z","targets":{"a":{}}},"signatures":[]}`))
	top, err := w.repo.Export("targets")
	w.must(err)
	f.Add(bytes.Replace(top, []byte(`"keyids"`), []byte(`"keyid"`), 1))
	k := key(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReviewRequest(b, nil)
		_, _ = w.repo.Import(b)
		signed, err := Sign(b, k)
		if err == nil {
			one, err1 := parseDraft(b)
			two, err2 := parseDraft(signed)
			if err1 != nil || err2 != nil {
				t.Fatalf("signed, and not read again: %v, %v", err1, err2)
			}
			p1, err1 := one.payload()
			p2, err2 := two.payload()
			if err1 != nil || err2 != nil || !bytes.Equal(p1, p2) {
				t.Errorf("signing changed what is signed (%v, %v)", err1, err2)
			}
		}
		// As a mirror's answer to every question.
		walk, err := begin(w.repo.fresh["metadata/1.root.json"], time.Time{}, noCache{},
			func(context.Context, string, int64) ([]byte, error) { return b, nil }, roleLimit)
		if err != nil {
			t.Fatal(err)
		}
		if walk.top(context.Background()) == nil {
			t.Error("one file is a whole directory")
		}
		_, _ = begin(b, time.Time{}, noCache{}, nil, roleLimit)
	})
}
