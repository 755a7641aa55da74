package disclosure

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func day(n int) time.Time { return time.Date(2026, 11, n, 9, 0, 0, 0, time.UTC) }

// What a partner had on a day is what was known by then, and not what came later.
func TestSeen(t *testing.T) {
	deleted := day(20)
	whole := api.Disclosure{
		At: day(1), Way: api.LetCopy,
		Receipt:    &api.DisclosureReceipt{At: day(2), Says: "held"},
		Withdrawal: &api.DisclosureWithdrawal{At: day(10), Entry: 7, Reason: "moved away", Deleted: &deleted},
	}
	over, refused, asked := whole, whole, whole
	over.Withdrawal = &api.DisclosureWithdrawal{Reason: "the agreement is over", Deleted: &deleted}
	refused.Receipt = &api.DisclosureReceipt{At: day(2), Says: "refused", Rule: "required"}
	refused.Withdrawal = nil
	asked.Way, asked.Withdrawal = api.LetAnswer, nil
	for _, x := range []struct {
		about string
		d     api.Disclosure
		at    time.Time
		had   bool
		state string
	}{
		{"before the receipt", whole, day(2), true, "not signed for it yet"},
		{"after it", whole, day(3), true, "had signed for it"},
		{"taken back, and not said to be deleted", whole, day(11), true, "had been told to delete it (moved away)"},
		{"deleted in that very second", whole, day(20), true, "had been told to delete it"},
		{"deleted", whole, day(21), false, "signed that it deleted it"},
		{"before the agreement was over", over, day(11), true, "had signed for it"},
		{"after it was over", over, day(21), false, "the agreement is over"},
		{"refused", refused, day(3), false, "had refused it"},
		{"asked", asked, day(3), false, "keeps nothing"},
	} {
		s := api.Seen{Disclosure: x.d}
		if had := seen(&s, x.at); had != x.had || s.Had != x.had || !strings.Contains(s.State, x.state) {
			t.Errorf("%s: %v, %q", x.about, had, s.State)
		}
		if s.Receipt != nil && !s.Receipt.At.Before(x.at) || s.Withdrawal != nil && !s.Withdrawal.At.Before(x.at) {
			t.Errorf("%s: something is said of it that came later", x.about)
		}
	}
	if whole.Withdrawal.Deleted == nil {
		t.Error("what is said of a later time was forgotten in the disclosure itself")
	}
}

// An agreement is told of when it is not used, by one receiver or at all, when a field
// never left, and when much more or less left than before; and not when it is young.
func TestDriftFindings(t *testing.T) {
	now := day(28)
	since := now.AddDate(0, 0, -90)
	standing := func(signed time.Time) agreement.Status {
		return agreement.Status{Agreement: &agreement.Agreement{Starts: "2020-01-01"}, Signed: map[name.Council]time.Time{"saltby.gov.uk": signed}}
	}
	old, young := standing(now.AddDate(-2, 0, 0)), standing(now.AddDate(0, 0, -5))
	used := api.Drift{LetOut: 100, Before: 100, Last: now, Examined: 100}
	for _, x := range []struct {
		about  string
		st     agreement.Status
		change func(*api.Drift)
		want   string // of the one finding; "" for none
	}{
		{"as it was", old, func(d *api.Drift) {}, ""},
		{"never used", old, func(d *api.Drift) { *d = api.Drift{} }, "was never used"},
		{"used long ago", old, func(d *api.Drift) { *d = api.Drift{Last: since.AddDate(0, 0, -200)} }, "nothing was let out for 90 days"},
		{"young", young, func(d *api.Drift) { *d = api.Drift{} }, ""},
		{"one receiver", old, func(d *api.Drift) { d.Idle = []name.Council{"hexwell.gov.uk"} }, "nothing went to hexwell.gov.uk"},
		{"a field", old, func(d *api.Drift) { d.Never = []name.Field{"/uprn"} }, "no record that left had /uprn"},
		{"a field, of few records of a young one", young, func(d *api.Drift) { d.Never, d.Examined = []name.Field{"/uprn"}, 3 }, ""},
		{"much more", old, func(d *api.Drift) { d.LetOut = 500 }, "500 left, and 100"},
		{"a little more", old, func(d *api.Drift) { d.LetOut = 499 }, ""},
		{"much less", old, func(d *api.Drift) { d.LetOut = 20 }, "look whether records still come in"},
		{"much more of little", old, func(d *api.Drift) { d.LetOut, d.Before = 49, 1 }, ""},
	} {
		d := used
		x.change(&d)
		got := findings(x.st, &d, since, 90)
		if x.want == "" && len(got) > 0 || x.want != "" && (len(got) != 1 || !strings.Contains(got[0], x.want)) {
			t.Errorf("%s: %q", x.about, got)
		}
	}
}

// Of what is held it is told that nobody looks at it, or at a field, once days were kept for
// long enough; who looks at a part of a field looks at it.
func TestDriftOfWhatIsHeld(t *testing.T) {
	now := day(28)
	since := now.AddDate(0, 0, -90)
	fields := []name.Field{"/ward", "/applicant", "/notes/*/text"}
	for _, x := range []struct {
		about    string
		signed   time.Time
		records  int
		counted  time.Time
		fields   map[name.Field]time.Time
		want     string // of the one finding; "" for none
		notFound []name.Field
	}{
		{"nobody, ever", now.AddDate(-2, 0, 0), 0, time.Time{}, nil, "nobody has looked at any of the 7 records held", nil},
		{"young", now.AddDate(0, 0, -5), 0, time.Time{}, nil, "", nil},
		{"before days were kept", now.AddDate(-2, 0, 0), 3, time.Time{}, nil, "", nil},
		{"all of a record", now.AddDate(-2, 0, 0), 3, since.AddDate(0, 0, -9), map[name.Field]time.Time{"": now}, "", nil},
		{"a field never", now.AddDate(-2, 0, 0), 3, since.AddDate(0, 0, -9), map[name.Field]time.Time{"/ward": now, "/notes/*/text": now}, "nobody has looked at /applicant for 90 days", []name.Field{"/applicant"}},
		{"parts of fields", now.AddDate(-2, 0, 0), 3, since.AddDate(0, 0, -9), map[name.Field]time.Time{"/ward": now, "/notes/0": now, "/applicant/name": now}, "", nil},
		{"a field long ago", now.AddDate(-2, 0, 0), 3, since.AddDate(0, 0, -9), map[name.Field]time.Time{"/ward": now, "/notes": now, "/applicant": since.AddDate(0, 0, -2)}, "nobody has looked at /applicant", []name.Field{"/applicant"}},
		{"a field, of days that were not kept for long enough", now.AddDate(-2, 0, 0), 3, now.AddDate(0, 0, -9), map[name.Field]time.Time{"/ward": now}, "", []name.Field{"/applicant", "/notes/*/text"}},
		{"all long ago", now.AddDate(-2, 0, 0), 3, since.AddDate(0, 0, -9), map[name.Field]time.Time{"": since.AddDate(0, 0, -9)}, "nobody has looked at a record for 90 days", nil},
	} {
		st := agreement.Status{Agreement: &agreement.Agreement{Starts: "2020-01-01"}, Signed: map[name.Council]time.Time{"saltby.gov.uk": x.signed}}
		d := &api.DriftReceived{Held: 7, LookedAt: x.records, Counted: x.counted}
		for _, day := range x.fields {
			if day.After(d.Last) {
				d.Last = day
			}
		}
		d.Unread = notRead(fields, ledger.Reading{Records: x.records, Since: x.counted, Fields: x.fields}, since)
		if !slices.Equal(d.Unread, x.notFound) {
			t.Errorf("%s: not looked at %q, want %q", x.about, d.Unread, x.notFound)
		}
		got := unreadFindings(st, d, since, 90)
		if x.want == "" && len(got) > 0 || x.want != "" && (len(got) != 1 || !strings.Contains(got[0], x.want)) {
			t.Errorf("%s: %q", x.about, got)
		}
	}
}

// A page is safe to open whatever is in a record, an agreement or a name that others
// wrote.
func TestPageIsSafe(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=y>` + "\u202e"
	body, _ := json.Marshal(map[string]any{"na<b>me": evil, "list": []any{map[string]any{"x_y": evil}}, "none": nil})
	r := &api.SubjectReply{
		Council: "northmoor.gov.uk", Title: evil, Person: evil, Scheme: "nino", Checkpoint: evil,
		Records: []api.SubjectRecord{{
			Record: "abc", Reference: evil, Title: evil, Others: true, Deleted: true, Former: &api.FormerReply{Council: "ironmoor.gov.uk", Record: "def", Entry: 7},
			Versions:  []api.SubjectVersion{{Version: 3, Deleted: true}, {Version: 2, Body: body}, {Version: 1, Body: []byte(`{"none":"` + "line one\\nline two" + `"}`)}},
			Disclosed: []api.Disclosure{{To: "saltby.gov.uk", Agreement: "northmoor.gov.uk/a", Version: 1, Because: evil, Unread: evil, Fields: []name.Field{"/a/*/b_c"}, Withdrawal: &api.DisclosureWithdrawal{Reason: evil}}},
		}},
		Received:   []api.SubjectHolding{{From: "saltby.gov.uk", Council: "hexwell.gov.uk", Title: evil, Reference: evil, Body: body, Withheld: 2, Kept: evil}},
		Agreements: []api.SubjectAgreement{{Name: "northmoor.gov.uk/a", Version: 1, Stands: evil, Headings: []api.SubjectHeading{{Heading: "What it is for", Text: evil}}}},
		Councils:   []api.SubjectCouncil{{Council: "saltby.gov.uk", Title: evil}},
	}
	var b bytes.Buffer
	if err := WriteHTML(&b, r, "proof.stile"); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "<img", "onerror=y>", "na<b>me"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if n := strings.Count(page, "\u202e"); n != 0 {
		t.Errorf("a mark that turns the direction of writing stands in the page %d times", n)
	}
	for _, want := range []string{"This record was deleted on", "As it was before", "What was different before (version 1", "line one\nline two", "a, each, b c", "list, 1, x y", "names other people too", "kept back 2 details", "not given",
		"this was a record of ironmoor.gov.uk, which has ended", "<code>def</code> of ironmoor.gov.uk, entry 7", " has ended. This copy is &#34;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// FuzzCursor: a cursor from outside is one of ours or refused, and what is taken is
// printed back the same.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(string(place{1764, 7, 3}.cursor()))
	f.Add("zz.-1.7")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := placeAt(api.Cursor(s))
		if err != nil || s == "" {
			return
		}
		q, err := placeAt(p.cursor())
		if err != nil || q != p {
			t.Errorf("%q: %v, printed back %v (%v)", s, p, q, err)
		}
	})
}

func TestWordsOfPlaces(t *testing.T) {
	for p, want := range map[string]string{
		"/applicant/date_of_birth": "applicant, date of birth", "/household/0/name": "household, 1, name", "/household/*/name": "household, each, name",
		"/netDwellingsFrom": "net dwellings from", "/a~1b": "a/b", "": "",
	} {
		if got := placeWords(p); got != want {
			t.Errorf("%q: %q, want %q", p, got, want)
		}
	}
	for d, want := range map[string]string{"P6M": "6 months", "P1Y": "1 year", "P1D": "1 day", "P1Y6M": "P1Y6M", "PT4H": "PT4H", "": ""} {
		if got := keptFor(d); got != want {
			t.Errorf("%q: %q, want %q", d, got, want)
		}
	}
}
