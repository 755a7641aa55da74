package peersync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// TestWithdrawnOnce: what a footprint did not take is begun once more, and within a second a
// withdrawal would be signed in the same words. It stands in the log once; a later one is
// another.
func TestWithdrawnOnce(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Options{InMemory: true, Council: "northmoor.gov.uk", Keys: ring, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &contributor{s: &Syncer{o: Options{Ledger: l, Now: now}}}
	f := &ledger.Feed{Agreement: "northmoor.gov.uk/tools", Version: 2}
	take := func(r byte) (uint64, []byte) {
		t.Helper()
		at, jws, err := c.withdrawal(t.Context(), f, name.Record(bytes.Repeat([]byte{r}, 26)), WithdrawnFields, 7)
		if err != nil {
			t.Fatal(err)
		}
		return at, jws
	}
	first, signed := take('a')
	if other, _ := take('b'); other == first {
		t.Error("two records have one withdrawal")
	}
	if again, same := take('a'); again != first || !bytes.Equal(same, signed) {
		t.Errorf("within a second it is entry %d again, want %d", again, first)
	}
	at = at.Add(time.Second)
	if later, _ := take('a'); later == first {
		t.Error("a second later it is not signed anew")
	}
}

// shelf is a destination that holds one version of each record, as a footprint does.
type shelf struct {
	destination
	holds map[name.Record]holding
	sure  bool // how it was asked last
}

func (s *shelf) holdings(_ context.Context, _ *ledger.Feed, _ []name.Record, sure bool) (map[name.Record]holding, error) {
	s.sure = sure
	return s.holds, nil
}

// TestNoTwinOfALostVersion: a council came back from a backup. What a footprint still holds
// from the part of its log that was lost is withdrawn before the same version of the record
// comes there anew, since the two beside each other are evidence against who signed them.
// A version that stands in the log, directly before or further back, is no reason.
func TestNoTwinOfALostVersion(t *testing.T) {
	const self = name.Council("northmoor.gov.uk")
	std, err := standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/parish-item\nversion: 1.0.0\ntitle: Parish item\nstatus: live\nkey: [/reference]\nclasses:\n  /reference: open\n  /ward: open\n")},
		"schema.json":   {Data: []byte(`{"type":"object","required":["reference"],"properties":{"reference":{"type":"string"},"ward":{"type":"string"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Generate(self)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0)
	now := func() time.Time { return at }
	open := func() *ledger.Ledger {
		t.Helper()
		l, err := ledger.Open(ledger.Options{InMemory: true, Council: self, Keys: ring, Now: now})
		if err == nil {
			err = l.Adopt(t.Context(), std)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	key, err := std.Key(map[string]any{"reference": "one"})
	if err != nil {
		t.Fatal(err)
	}
	rec := ring.RecordID(std.Name().Line(), key)
	put := func(l *ledger.Ledger, ward string) (it ledger.PageItem) {
		t.Helper()
		o, err := l.Offer(std, map[string]any{"reference": "one", "ward": ward})
		if err == nil {
			err = l.Write(t.Context(), o)
		}
		if err == nil {
			err = l.View(func(v *ledger.View) error {
				ver, err := v.Current(rec)
				if err == nil {
					it = ledger.PageItem{Index: ver.Index, Token: ver.Token.Bytes()}
				}
				return err
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	held := func(it ledger.PageItem) map[name.Record]holding {
		t.Helper()
		_, entry, err := record.ClaimsOf(it.Token)
		if err != nil {
			t.Fatal(err)
		}
		return map[name.Record]holding{rec: {entry, sha256.Sum256(it.Token)}}
	}
	lost, l := open(), open()
	lost1, lost2 := put(lost, "X"), put(lost, "Y")
	at = at.Add(time.Hour)
	first, second, third := put(l, "X"), put(l, "Y"), put(l, "Z")
	to := &shelf{}
	c := &contributor{s: &Syncer{o: Options{Self: self, Ledger: l, Now: now}}, to: to}
	f := &ledger.Feed{Agreement: "northmoor.gov.uk/items", Version: 1}
	for _, x := range []struct {
		what    string
		holds   map[name.Record]holding
		brought ledger.PageItem
		want    []string // reasons of the withdrawals, then "" for the record
	}{
		{"nothing there", nil, first, []string{""}},
		{"the same there", held(first), first, []string{""}},
		{"the version before", held(first), second, []string{""}},
		{"one further back", held(first), third, []string{""}},
		{"a lost version of the same number", held(lost1), first, []string{WithdrawnLost, ""}},
		{"a lost version in the place of the one before", held(lost1), second, []string{WithdrawnLost, ""}},
		{"a lost version of a higher number", held(lost2), first, []string{WithdrawnLost, ""}},
		{"a lost version long before", held(lost1), third, []string{WithdrawnLost, ""}},
		{"what members do not agree about", map[name.Record]holding{rec: {}}, second, []string{WithdrawnLost, ""}},
	} {
		to.holds = x.holds
		at = at.Add(time.Second)
		offers, err := c.offers(t.Context(), f, &ledger.Page{Items: []ledger.PageItem{x.brought}}, []name.Standard{std.Name()}, false)
		if err != nil {
			t.Fatalf("%s: %v", x.what, err)
		}
		var got []string
		for _, o := range offers {
			why := ""
			if !o.put {
				_, ev, err := record.ParseEvent(o.entry.Token)
				if err != nil {
					t.Fatal(err)
				}
				w, err := event.ParseWithdrawal(ev.Body)
				if err != nil || w.Record != rec {
					t.Errorf("%s: %+v, %v", x.what, w, err)
				}
				why = w.Reason
			}
			got = append(got, why)
		}
		if !slices.Equal(got, x.want) || !bytes.Equal(offers[len(offers)-1].entry.Token, x.brought.Token) {
			t.Errorf("%s: brought %q, want %q", x.what, got, x.want)
		}
		if to.sure {
			t.Errorf("%s: a log that was never set back asks more members", x.what)
		}
	}
}
