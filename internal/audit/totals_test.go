package audit_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Counts that three councils signed add up to what the totals say, and to nothing else: an
// auditor finds a total, a group, a council or a signature that was changed.
func TestTotals(t *testing.T) {
	var members []directory.Member
	totals := &audit.Totals{Standard: name.StandardLine{Name: "standards.example/need", Major: 1}, Least: 3}
	a, b := "A", "B"
	for i := range 3 {
		c := name.Council(fmt.Sprintf("council%d.gov.uk", i))
		ring, err := keys.Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, directory.FromRing(c, ring))
		money := int64(100 * (i + 1))
		counts := agreement.Counts{
			Agreement: name.Agreement(c + "/counted"), Version: 1, Day: "2026-11-23", By: []name.Field{"/district"}, Sums: []name.Field{"/amount"},
			Threshold: agreement.CountThreshold, Rounded: 5, Groups: []agreement.Group{{Of: []*string{&a}, Count: 20 + 5*i, Sums: []*int64{&money}}},
			Total: 20 + 5*i, Budget: agreement.Budget{Spent: 1, Of: 150},
		}
		if i < 2 { // two councils alone have this group
			counts.Groups = append(counts.Groups, agreement.Group{Of: []*string{&b}, Count: 15, Sums: []*int64{nil}})
			counts.Total += 15
		}
		key := ring.Record
		tok, err := record.BuildEvent(record.Event{Council: c, IssuedAt: 1, Kind: event.KindCounts, Body: counts.Body()}, key.ID())
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(tok.SigningInput())
		if err != nil {
			t.Fatal(err)
		}
		tok = tok.Seal(sig)
		totals.Answers = append(totals.Answers, audit.Answered{Council: c, Agreement: counts.Agreement, Counts: string(tok.Bytes()), Logged: logged(t, ring, counts, tok)})
	}
	totals.Missing = []audit.Missing{{Council: "council3.gov.uk", Why: "it does not answer"}}
	if err := totals.Add(); err != nil {
		t.Fatal(err)
	}
	if len(totals.Groups) != 1 || totals.Total != 75 || *totals.Groups[0].Sums[0] != 600 {
		t.Errorf("they add up to %+v, %d", totals.Groups, totals.Total)
	}
	file, err := json.Marshal(totals)
	if err != nil {
		t.Fatal(err)
	}
	check := func(file string, members []directory.Member) error {
		got, err := audit.ParseTotals([]byte(file))
		if err != nil {
			return err
		}
		_, err = got.Check(members)
		return err
	}
	if err := check(string(file), members); err != nil {
		t.Fatal(err)
	}
	if got, err := totals.Check(members); got != 3 || err != nil {
		t.Errorf("of %d councils the log was held against it: %v", got, err)
	}
	// Without the proof, as version 0.1.0 wrote it, it holds and is not said to stand there.
	bare := *totals
	bare.Answers = slices.Clone(totals.Answers)
	bare.Answers[1].Logged = nil
	if got, err := bare.Check(members); got != 2 || err != nil {
		t.Errorf("without one proof: %d, %v", got, err)
	}
	for what, change := range map[string]func(l *audit.Logged){
		"another council's proof": func(l *audit.Logged) { *l = *totals.Answers[0].Logged },
		"another place":           func(l *audit.Logged) { l.Entry = 7 },
		"another checkpoint":      func(l *audit.Logged) { l.Checkpoint = totals.Answers[0].Logged.Checkpoint },
		"hashes left over":        func(l *audit.Logged) { l.Inclusion = make([]byte, 32) },
		"the counts for answer":   func(l *audit.Logged) { l.Answer = totals.Answers[1].Counts },
	} {
		l := *totals.Answers[1].Logged
		change(&l)
		bare.Answers[1].Logged = &l
		if _, err := bare.Check(members); !errors.Is(err, audit.ErrTotals) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, changed := range map[string]string{
		"total":   strings.Replace(string(file), `"total":75`, `"total":80`, 1),
		"sum":     strings.Replace(string(file), `"sums":[600]`, `"sums":[601]`, 1),
		"least":   strings.Replace(string(file), `"least":3`, `"least":2`, 1),
		"council": strings.Replace(string(file), `"council":"council1.gov.uk"`, `"council":"council0.gov.uk"`, 1),
	} {
		if changed == string(file) {
			t.Fatalf("%s: nothing was changed", what)
		}
		if err := check(changed, members); !errors.Is(err, audit.ErrTotals) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if err := check(string(file), members[:2]); !errors.Is(err, audit.ErrTotals) {
		t.Errorf("without a key: %v", err)
	}
	other, err := keys.Generate(members[2].Council)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(string(file), append(members[:2:2], directory.FromRing(members[2].Council, other))); !errors.Is(err, audit.ErrTotals) {
		t.Errorf("signed by another key: %v", err)
	}
}

// logged returns the proof of a log of two entries: counts, and the answer that gives them.
func logged(t *testing.T, ring *keys.Ring, counts agreement.Counts, tok *record.Token) *audit.Logged {
	t.Helper()
	body := event.Answer{
		Question: event.Question{Agreement: counts.Agreement, Version: 1, To: "saltby.gov.uk", ID: event.QuestionID{1}, By: counts.By, Sum: counts.Sums},
		Result:   event.Result{Outcome: event.OutcomeCounted},
	}.Body()
	answer, err := record.BuildEvent(record.Event{Council: counts.Agreement.Council(), IssuedAt: 1, Kind: event.KindAnswer, Body: body}, ring.Record.ID())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := ring.Record.Sign(answer.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	answer = answer.Seal(sig)
	left, right := tlog.Leaf(tok.Entry()), tlog.Leaf(answer.Entry())
	root := tlog.Hash(sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))) // RFC 6962 section 2.1
	cp, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: counts.Agreement.Council().Origin(), Size: 2, Root: root}, ring.Log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Logged{Checkpoint: string(cp), Answer: string(answer.Bytes()), Entry: 1, Inclusion: []byte{}}
}

func FuzzTotals(f *testing.F) {
	f.Add([]byte(`{"standard":"s.example/n@1","least":3,"answers":[{"council":"a.gov.uk","agreement":"a.gov.uk/x","entry":1,"counts":"e.y.z"}],"by":[],"groups":[],"total":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := audit.ParseTotals(b); err == nil {
			got.Check(nil)
		}
	})
}
