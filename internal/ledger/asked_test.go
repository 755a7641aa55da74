package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// lookup returns an agreement under which saltby may ask by reference and by
// score for the items of a ward.
func lookup(t testing.TB, version int, ward string, fields ...string) *agreement.Agreement {
	t.Helper()
	a := *sharing(t, "asked", version, `record.ward == "`+ward+`"`, fields...)
	a.Mode, a.Match = agreement.Lookup, []name.Field{"/reference", "/scores/*"}
	return &a
}

func question(a *agreement.Agreement, id byte, field name.Field, value string) *ledger.Question {
	return &ledger.Question{
		ID: event.QuestionID{id}, By: saltby, Event: []byte("event"), Entry: tlog.Hash{id}, Because: "case 1",
		Text: a.Digest(), Asked: agreement.Asked{Field: field, Value: value}, PerDay: 50,
	}
}

// ask asks as a partner does: the question is charged first.
func ask(t testing.TB, l *ledger.Ledger, f *ledger.Feed, q *ledger.Question) (*ledger.Answer, error) {
	before, err := l.Charge(t.Context(), q)
	if err != nil {
		return nil, err
	}
	return l.Answer(t.Context(), f, q, before)
}

// find returns the references of what a value finds.
func find(t testing.TB, l *ledger.Ledger, f *ledger.Feed, field name.Field, value string) (refs []string) {
	t.Helper()
	err := l.View(func(v *ledger.View) error {
		found, _, err := v.Find(f, agreement.Asked{Field: field, Value: value}, 1000)
		for _, ver := range found {
			refs = append(refs, ver.Body["reference"].(string))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(refs)
	return refs
}

// What is found is what matches and has the value, after any changes, in any
// order, and after the ledger was opened again.
func TestIndexToAskBy(t *testing.T) {
	dir, keyring := t.TempDir(), ring(t)
	l := open(t, dir, keyring)
	std := parish(t, "1.0.0")
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	now := map[string]map[string]any{}
	ids := map[string]name.Record{}
	change := func() {
		ref := fmt.Sprintf("item-%d", r.IntN(30))
		if now[ref] != nil && r.IntN(5) == 0 {
			if err := l.Write(t.Context(), l.OfferDelete(ids[ref])); err != nil {
				t.Fatal(err)
			}
			delete(now, ref)
			return
		}
		body := item(ref, []string{"A", "B"}[r.IntN(2)], "n")
		var scores []any
		for range r.IntN(3) {
			scores = append(scores, fmt.Sprint("s", r.IntN(4)))
		}
		if scores != nil {
			body["scores"] = scores
		}
		ids[ref] = put(t, l, std, body).Record
		now[ref] = body
	}
	for range 60 {
		change()
	}
	a := lookup(t, 1, "A", "/name")
	if err := errors.Join(l.OpenFeed(t.Context(), a), l.AwaitFeed(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		f, err := l.Feed(a.Name, a.Digest())
		if err != nil || !f.Ready {
			t.Fatalf("feed: %+v, %v", f, err)
		}
		live := 0
		byScore := map[string][]string{}
		for ref, body := range now {
			want := []string(nil)
			if body["ward"] == "A" {
				live++
				want = []string{ref}
				scores, _ := body["scores"].([]any)
				for _, s := range scores {
					if k := s.(string); !slices.Contains(byScore[k], ref) {
						byScore[k] = append(byScore[k], ref)
					}
				}
			}
			if got := find(t, l, f, "/reference", ref); !slices.Equal(got, want) {
				t.Fatalf("%s finds %v, want %v", ref, got, want)
			}
		}
		for i := range 4 {
			k := fmt.Sprint("s", i)
			slices.Sort(byScore[k])
			if got := find(t, l, f, "/scores/*", k); !slices.Equal(got, byScore[k]) {
				t.Fatalf("%s finds %v, want %v", k, got, byScore[k])
			}
		}
		if f.Records != live {
			t.Fatalf("the feed counts %d records, want %d", f.Records, live)
		}
	}
	check()
	for range 100 {
		change()
	}
	check()

	// It survives, and an index of a version that kept none is made.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n, err := ledger.Alter(dir, func(key, value []byte) []byte {
		if key[0] == 'F' {
			return bytes.Replace(value, []byte(`,"indexed":true`), nil, 1)
		}
		if bytes.IndexByte([]byte("aA"), key[0]) >= 0 && bytes.Contains(key, []byte("item")) || bytes.Contains(value, []byte("\"s1\"")) && key[0] != 'e' {
			t.Errorf("a value stands in the index: %q", key)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	l = open(t, dir, keyring)
	if err := errors.Join(l.OpenFeed(t.Context(), a), l.AwaitFeed(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	check()

	// Another text has an index of its own; the old one is gone.
	b := lookup(t, 2, "B", "/name")
	if err := errors.Join(l.OpenFeed(t.Context(), b), l.AwaitFeed(t.Context(), b)); err != nil {
		t.Fatal(err)
	}
	old, _ := l.Feed(a.Name, a.Digest())
	now2, _ := l.Feed(b.Name, b.Digest())
	if err := l.Supersede(t.Context(), old, now2); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		change()
	}
	if err := l.CloseFeed(t.Context(), b.Name, b.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Alter(dir, func(key, _ []byte) []byte {
		if bytes.IndexByte([]byte("aAfm"), key[0]) >= 0 {
			t.Errorf("left of an index: %q", key)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAnswer(t *testing.T) {
	day := time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC)
	l := open(t, "", ring(t), func(o *ledger.Options) { o.Now = func() time.Time { return day } })
	std := parish(t, "1.0.0")
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		body := item(fmt.Sprint("i", i), "A", "Ann")
		body["scores"] = []any{"every"}
		put(t, l, std, body)
	}
	a := lookup(t, 1, "A", "/name")
	if err := errors.Join(l.OpenFeed(t.Context(), a), l.AwaitFeed(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	f, _ := l.Feed(a.Name, a.Digest())
	answer := func(id byte, field name.Field, value string) (*ledger.Answer, error) {
		return ask(t, l, f, question(a, id, field, value))
	}
	first, err := answer(1, "/reference", "i3")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := record.Parse(first.Items[0].Token)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := tok.View(); err != nil || len(v.Body) != 2 || v.Body["name"] != "Ann" {
		t.Errorf("sent: %v, %v", v.Body, err)
	}
	entries := []tlog.Hash{tok.Entry(), eventHash(t, first.Event)}
	if err := tlog.VerifyBatch(entries, []uint64{first.Items[0].Index, first.Index}, first.Checkpoint.Size, first.Checkpoint.Root, first.Inclusion); err != nil {
		t.Error(err)
	}

	// The same question again is the same answer, and one entry.
	size := l.Size()
	again, err := answer(1, "/reference", "i3")
	if err != nil || again.Index != first.Index || l.Size() != size || !bytes.Equal(again.Event, first.Event) {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if _, err := answer(1, "/reference", "i4"); !errors.Is(err, ledger.ErrAnotherQuestion) {
		t.Errorf("another question under the id: %v", err)
	}
	// What was answered and is not so any more is not sent again.
	put(t, l, std, item("i3", "A", "Bea"))
	if _, err := answer(1, "/reference", "i3"); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("after a change: %v", err)
	}
	// Nothing, and too many: logged, and nothing sent.
	for id, c := range []struct{ field, value, outcome string }{
		{"/reference", "nobody", event.OutcomeNothing}, {"/scores/*", "every", event.OutcomeTooMany},
	} {
		got, err := answer(byte(10+id), name.Field(c.field), c.value)
		if err != nil || len(got.Items) != 0 || got.Content.Outcome != c.outcome {
			t.Errorf("%s: %+v, %v", c.outcome, got, err)
		}
		if bytes.Contains(got.Event, []byte(c.value)) {
			t.Error("the value stands in the log")
		}
	}
	// So many questions a day and no more; a clock set back opens nothing.
	// Four were asked, and one more by another value under the id of the first.
	for id := byte(20); id < 66; id++ {
		if _, err := answer(id, "/reference", "i4"); err != nil {
			t.Fatal(id, err)
		}
	}
	var bound *ledger.Bound
	if _, err := answer(67, "/reference", "i4"); !errors.As(err, &bound) || !bound.Opens.Equal(day.Add(2*time.Hour)) {
		t.Errorf("the 51st question: %v", err)
	}
	day = day.Add(-24 * time.Hour)
	if _, err := answer(67, "/reference", "i4"); !errors.As(err, &bound) {
		t.Errorf("the day before: %v", err)
	}
	day = day.Add(26 * time.Hour)
	if _, err := answer(67, "/reference", "i4"); err != nil {
		t.Errorf("the day after: %v", err)
	}
}

// A question is charged, and its value bound to its id, before anything is looked
// for; so nobody searches by asking again under an id that was answered.
func TestQuestionIsChargedFirst(t *testing.T) {
	dir, keyring := t.TempDir(), ring(t)
	l := open(t, dir, keyring)
	a := lookup(t, 1, "A", "/name")
	charge := func(id byte, value string) error {
		q := question(a, id, "/reference", value)
		q.PerDay = 4
		_, err := l.Charge(t.Context(), q)
		return err
	}
	asked := func() (n int) {
		t.Helper()
		if err := l.View(func(v *ledger.View) (err error) {
			n, err = v.QuestionsToday(a.Digest(), saltby)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	q := question(a, 1, "/reference", "i1")
	if _, _, err := l.LogAnswer(t.Context(), q, q.Reply(a)); !errors.Is(err, ledger.ErrAnotherQuestion) {
		t.Errorf("what was not charged is answered: %v", err)
	}
	if err := charge(1, "i1"); err != nil || asked() != 1 {
		t.Fatalf("%d questions, %v", asked(), err)
	}
	// What fails after that has cost its question, and so has another value.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, keyring)
	for i := range 2 {
		if err := charge(1, fmt.Sprint("i", 2+i)); !errors.Is(err, ledger.ErrAnotherQuestion) || asked() != 2+i {
			t.Errorf("another value under the id: %d questions, %v", asked(), err)
		}
	}
	// The question itself may be repeated, also when the bound is reached, and not
	// for ever.
	if err := charge(2, "i2"); err != nil || asked() != 4 {
		t.Fatalf("%d questions, %v", asked(), err)
	}
	for i := range ledger.MaxRepeats {
		if err := charge(1, "i1"); err != nil {
			t.Errorf("repeat %d: %v", i, err)
		}
	}
	if err := charge(1, "i1"); !errors.Is(err, ledger.ErrRepeats) {
		t.Errorf("one repeat more: %v", err)
	}
	// Beyond the bound every question is refused as any other, and writes nothing.
	for i := range 3 {
		bound := new(ledger.Bound)
		if err := charge(1, fmt.Sprint("j", i)); !errors.As(err, &bound) {
			t.Errorf("another value beyond the bound: %v", err)
		}
		if err := charge(byte(10+i), "j"); !errors.As(err, &bound) || asked() != 4 {
			t.Errorf("a new question beyond the bound: %d questions, %v", asked(), err)
		}
	}
}

func eventHash(t testing.TB, jws []byte) tlog.Hash {
	t.Helper()
	tok, _, err := record.ParseEvent(jws)
	if err != nil {
		t.Fatal(err)
	}
	return tok.Entry()
}

// BenchmarkAnswer asks what a question costs, by how many records there are.
func BenchmarkAnswer(b *testing.B) {
	for _, size := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(size, " records"), func(b *testing.B) {
			l := open(b, b.TempDir(), ring(b))
			std := parish(b, "1.0.0")
			if err := l.Adopt(b.Context(), std); err != nil {
				b.Fatal(err)
			}
			a := lookup(b, 1, "A", "/name")
			if err := errors.Join(l.OpenFeed(b.Context(), a), l.AwaitFeed(b.Context(), a)); err != nil {
				b.Fatal(err)
			}
			var offers []*ledger.Offer
			for i := range size {
				o, err := l.Offer(std, item(fmt.Sprint("i", i), "A", "Ann"))
				if err != nil {
					b.Fatal(err)
				}
				if offers = append(offers, o); len(offers) == 5000 || i == size-1 {
					if err := l.Write(b.Context(), offers...); err != nil {
						b.Fatal(err)
					}
					offers = nil
				}
			}
			f, _ := l.Feed(a.Name, a.Digest())
			n := uint64(0)
			for b.Loop() {
				n++
				q := question(a, 0, "/reference", fmt.Sprint("i", n*7919%uint64(size)))
				q.PerDay = 1 << 30
				copy(q.ID[:], fmt.Sprintf("%016d", n))
				if got, err := ask(b, l, f, q); err != nil || len(got.Items) != 1 {
					b.Fatal(got, err)
				}
			}
		})
	}
}
