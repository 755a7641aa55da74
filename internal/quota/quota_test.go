package quota_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/node/name"
)

const (
	partner  = name.Council("saltby.gov.uk")
	stranger = name.Council("fens.gov.uk")
	another  = name.Council("moor.gov.uk")
)

func open(t *testing.T, now func() time.Time, file string) *quota.Keeper {
	t.Helper()
	k, err := quota.Open(quota.Options{Partner: func(c name.Council) bool { return c == partner }, Now: now, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Of every kind that is counted a stranger gets its share and no more, what is beyond
// is refused with a reason and counted, the next window begins anew, and what one uses
// is not taken from another.
func TestShares(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	k := open(t, func() time.Time { return now }, "")
	for _, s := range quota.Table() {
		got := 0
		for range s.Stranger + 10 {
			err := k.Take(stranger, s.Kind, 1)
			if err == nil {
				got++
				continue
			}
			b, ok := errors.AsType[*quota.Beyond](err)
			if !ok || b.Most != s.Stranger || !strings.Contains(b.Error(), string(s.Kind)) || (s.Within > 0) != strings.Contains(b.Error(), "; more from 2026-11-2") {
				t.Fatalf("%s: refused by %v", s.Kind, err)
			}
		}
		if got != s.Stranger {
			t.Errorf("%s: a stranger got %d of %d", s.Kind, got, s.Stranger)
		}
		if i := slices.IndexFunc(k.Refused(), func(r quota.Refused) bool { return r.Kind == s.Kind && r.Council == stranger && r.Count == 10 }); i < 0 {
			t.Errorf("%s: what was refused is not counted: %+v", s.Kind, k.Refused())
		}
		if s.Partner > 0 && k.Take(partner, s.Kind, s.Partner) != nil {
			t.Errorf("%s: a stranger took from a partner", s.Kind)
		}
		if s.Stranger > 0 && k.Take(another, s.Kind, 1) != nil {
			t.Errorf("%s: a stranger took from another", s.Kind)
		}
	}
	now = now.Add(24 * time.Hour)
	for _, s := range quota.Table() {
		if err := k.Take(stranger, s.Kind, 1); (err == nil) != (s.Within > 0 && s.Stranger > 0) {
			t.Errorf("%s: a day later: %v", s.Kind, err)
		}
	}
}

// What was used of a window and what was refused outlives the process; what is held at
// one time does not, and a torn file stops nobody.
func TestCountsOutliveTheProcess(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	file := filepath.Join(t.TempDir(), "quotas.json")
	k := open(t, func() time.Time { return now }, file)
	k.Use(stranger, quota.Notices, 7)
	k.Use(stranger, quota.Kept, 5)
	k.Refuse(stranger, quota.Others, 12_000)
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	again := open(t, func() time.Time { return now }, file)
	if again.Used(stranger, quota.Notices) != 7 || again.Used(stranger, quota.Kept) != 0 {
		t.Errorf("%d notices and %d kept", again.Used(stranger, quota.Notices), again.Used(stranger, quota.Kept))
	}
	if rs := again.Refused(); len(rs) != 1 || rs[0].Count != 12_000 || rs[0].Kind != quota.Others || rs[0].Why == "" {
		t.Errorf("%+v", rs)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := os.WriteFile(file, []byte(`[{"council":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if rs := open(t, time.Now, file).Refused(); len(rs) != 0 {
		t.Errorf("%+v", rs)
	}
}

// Partners never wait. However many strangers ask, and one of them without end, a few
// are worked for at a time, one thing each, and whoever was served longest ago is next.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, time.Now, "")
		var order []name.Council
		turns := make(chan name.Council, 1000)
		ask := func(c name.Council) {
			done, err := k.Turn(t.Context(), c)
			if err != nil {
				t.Error(err)
				return
			}
			turns <- c
			time.Sleep(time.Second) // the work
			done()
		}
		for range 100 {
			go ask(stranger)
		}
		synctest.Wait()
		go ask(another) // comes when a hundred wait
		synctest.Wait()
		start := time.Now()
		for range 50 {
			done, err := k.Turn(t.Context(), partner)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a partner waited for %v", waited)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		close(turns)
		for c := range turns {
			order = append(order, c)
		}
		if len(order) != 101 {
			t.Fatalf("%d turns of 101", len(order))
		}
		if at := slices.Index(order, another); at > 2 {
			t.Errorf("one that asked once was served after %d of one that asks without end", at)
		}

		ctx, stop := context.WithCancel(t.Context())
		hold, _ := k.Turn(ctx, stranger)
		stop()
		if _, err := k.Turn(ctx, stranger); !errors.Is(err, context.Canceled) {
			t.Errorf("a turn that nobody waits for any more: %v", err)
		}
		hold()
		if done, err := k.Turn(t.Context(), stranger); err != nil {
			t.Errorf("after one gave up: %v", err)
		} else {
			done()
		}
	})
}

// A council that makes us say something about it again and again has a fixed number of
// lines; the next that is said tells how many were left out. Errors, and what names
// nobody, are always said.
func TestLogLines(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	k := open(t, func() time.Time { return now }, "")
	var out bytes.Buffer
	log := slog.New(k.Log(slog.NewTextHandler(&out, nil)))
	of := log.With("to", stranger)
	for range 50_000 {
		of.Info("stream refused")
	}
	for range 10 {
		log.Warn("passed over", "council", string(stranger))
		log.Error("stopped", "partner", stranger)
		log.Info("nobody is named")
		log.Info("another", "from", another)
	}
	most := quota.Of(quota.Lines).Stranger
	if n := strings.Count(out.String(), "\n"); n != most+30 {
		t.Errorf("%d lines, want %d", n, most+30)
	}
	now = now.Add(time.Hour)
	of.Info("stream refused")
	if want := fmt.Sprintf("lines_left_out=%d", 50_010-most); !strings.Contains(out.String(), want) {
		t.Errorf("the next line does not say %s", want)
	}
}

// The page says what the table does.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/quotas.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "| kind | what is counted | of a partner | of a stranger | within | room | beyond that |\n|---|---|---|---|---|---|---|\n"
	for _, s := range quota.Table() {
		within := "at one time"
		if s.Within > 0 {
			within = s.Within.String()
		}
		want += fmt.Sprintf("| %s | %s | %d | %d | %s | `%s` | %s |\n", s.Kind, s.Counts, s.Partner, s.Stranger, within, s.Where, s.Beyond)
	}
	if !strings.Contains(string(page), want) {
		t.Errorf("docs/quotas.md does not hold the table:\n%s", want)
	}
	for _, s := range quota.Table() {
		if _, err := os.Stat(filepath.Join("../..", s.Where)); err != nil {
			t.Errorf("%s: %v", s.Kind, err)
		}
	}
}
