package tufdir

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestInvitePrintsAndReadsBack(t *testing.T) {
	w := newTown(t)
	c := w.follower()
	for _, address := range []string{"https://stile.northmoor.gov.uk/directory", "http://127.0.0.1:8080", "/dns4/stile.northmoor.gov.uk/udp/7400/quic-v1/p2p/12D3KooWAbc", "/ip6/::1/tcp/7400"} {
		i, err := c.Invite(address, w.now.AddDate(0, 0, 7))
		w.must(err)
		code := i.String()
		got, err := ParseInvite(code)
		if err != nil || got != i {
			t.Errorf("%s: got %+v, %v", code, got, err)
		}
		// As mail breaks it.
		if got, err := ParseInvite("  " + code[:40] + "\r\n  " + code[40:90] + " " + code[90:] + "\n"); err != nil || got != i {
			t.Errorf("broken over lines: %v", err)
		}
		// Every single slip is noticed.
		for p := range code {
			for _, ch := range "aq7-A " {
				bad := code[:p] + string(ch) + code[p+1:]
				if bad == code {
					continue
				}
				if _, err := ParseInvite(bad); !errors.Is(err, ErrInvite) {
					t.Fatalf("character %d as %q: %v", p, ch, err)
				}
			}
		}
		for _, bad := range []string{"", "stile1-", code[:len(code)-1], code + "a", strings.ToUpper(code), strings.Repeat("a", 5000), "stile2-" + code[7:]} {
			if _, err := ParseInvite(bad); !errors.Is(err, ErrInvite) {
				t.Errorf("%.20q…: %v", bad, err)
			}
		}
	}
	for _, bad := range []string{"", "stile.example", "https://", "https://user@host/", "https://a b", "/dns4", "/unix/x/y/z", "https://ü.example", strings.Repeat("/dns4/a/tcp/1", 50)} {
		if _, err := c.Invite(bad, w.now); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

const pinnedWords = "envoy falcon angle vulture noodle cavern"

func TestWords(t *testing.T) {
	list := strings.Fields(wordList)
	if len(list) != 256 || !slices.IsSorted(list) {
		t.Fatalf("the list has %d words, sorted %t", len(list), slices.IsSorted(list))
	}
	for i, a := range list {
		if len(a) < 4 || len(a) > 8 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q is not a plain word of 4 to 8 letters", a)
		}
		for _, b := range list[:i] {
			if a[:3] == b[:3] || distance(a, b) < 2 {
				t.Errorf("%q and %q are too alike", a, b)
			}
		}
	}
	i := Invite{Root: [32]byte{1}, RootVersion: 1, Address: "https://stile.northmoor.gov.uk", Expires: start.Truncate(time.Minute)}
	words := i.Words()
	if n := strings.Fields(words); len(n) != 6 {
		t.Fatalf("got %q", words)
	}
	// Pinned: two nodes of different versions must read out the same.
	same(t, "words", words, pinnedWords)
	for what, o := range map[string]Invite{
		"another root":    {[32]byte{2}, 1, i.Address, i.Expires},
		"another address": {i.Root, 1, "https://stile.northmoor.gov.uk.", i.Expires},
		"another expiry":  {i.Root, 1, i.Address, i.Expires.Add(time.Minute)},
		"another version": {i.Root, 2, i.Address, i.Expires},
	} {
		if o.Words() == words {
			t.Errorf("%s has the same words", what)
		}
	}
	if !SameWords(words, " "+strings.ToUpper(strings.ReplaceAll(words, " ", " - "))) || SameWords(words, words[1:]) || SameWords("", " ") {
		t.Error("words are compared wrongly")
	}
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		last := row[0]
		row[0] = i + 1
		for j := range b {
			d := last
			if a[i] != b[j] {
				d = min(last, row[j], row[j+1]) + 1
			}
			last, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

func TestJoin(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	c := w.follower()
	i, err := c.Invite("https://stile.northmoor.gov.uk", w.now.Add(time.Hour))
	w.must(err)
	// Meanwhile root moves on: the invite is still good.
	w.must(w.repo.Rekey(publics(w.holders[1], w.holders[2], key(t)), 2, w.online.Public(), w.now))
	_, err = w.repo.Sign(w.holders[2])
	w.must(err)
	w.publish()
	w.refresh(c)
	o := Options{Now: func() time.Time { return w.now }}
	n, err := Join(context.Background(), filepath.Join(t.TempDir(), "d"), i, c.Mirror().Fetch, o)
	w.must(err)
	defer n.Close()
	same(t, "members", councils(n.View()), "[northmoor.gov.uk]")

	// Another directory altogether, behind the same address.
	other := newTown(t)
	if _, err := Join(context.Background(), t.TempDir(), i, other.repo.Fetch, o); !errors.Is(err, ErrMismatch) {
		t.Errorf("joined another directory: %v", err)
	}
	if _, err := Join(context.Background(), t.TempDir(), i, FromFS(other.tree()), Options{Now: func() time.Time { return w.now.Add(2 * time.Hour) }}); !errors.Is(err, ErrInviteEnded) {
		t.Errorf("joined late: %v", err)
	}
	empty := func(context.Context, string, int64) ([]byte, error) { return nil, ErrMissing }
	if _, err := Join(context.Background(), t.TempDir(), i, empty, o); !errors.Is(err, ErrMissing) {
		t.Errorf("joined nothing: %v", err)
	}
}

func FuzzParseInvite(f *testing.F) {
	f.Add(Invite{Root: [32]byte{1}, RootVersion: 1, Address: "https://a.example", Expires: start}.String())
	f.Add(Invite{RootVersion: 1 << 31, Address: "/ip4/127.0.0.1/tcp/1"}.String())
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseInvite(s)
		if err != nil {
			return
		}
		if got := i.String(); got != strings.Join(strings.Fields(s), "") {
			t.Errorf("%q prints as %q", s, got)
		}
	})
}
