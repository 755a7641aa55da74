package tufdir

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A federation of the size of England's: 400 members, and 300 versions of
// standards by six bodies.
func federation(tb testing.TB, members, versions int) *town {
	tb.Helper()
	w := newTown(tb)
	for i := range members {
		w.admit(name.Council(fmt.Sprintf("council-%03d.gov.uk", i)))
	}
	for b := range 6 {
		body := name.Council(fmt.Sprintf("body-%d.example", b))
		w.body(body)
		for v := range versions / 6 {
			w.must(w.repo.PublishStandard(newStandard(tb, fmt.Sprintf("%s/standard-%d@1.%d.0", body, v/5, v%5), "A standard"), w.now))
		}
	}
	w.publish()
	return w
}

// BenchmarkRefresh asks what a directory of 400 members and 300 standard versions
// costs a node: from nothing, when nothing is new, after one new address,
// and to open what is in the folder.
func BenchmarkRefresh(b *testing.B) {
	w := federation(b, 400, 300)
	measure := func(b *testing.B, run func() *Report) {
		var files, bytes int64
		for b.Loop() {
			rep := run()
			files, bytes = int64(rep.Files), rep.Bytes
		}
		b.ReportMetric(float64(files), "files")
		b.ReportMetric(float64(bytes)/1000, "kB")
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
	}
	refresh := func(c *Client) *Report {
		rep, err := c.Refresh(context.Background(), w.repo.Fetch)
		w.must(err)
		return rep
	}
	create := func(b *testing.B) (*Client, string) {
		dir := b.TempDir()
		c, err := Create(dir, w.repo.fresh["metadata/1.root.json"], Options{Now: func() time.Time { return w.now }})
		w.must(err)
		return c, dir
	}
	b.Run("cold", func(b *testing.B) {
		measure(b, func() *Report {
			c, _ := create(b)
			defer c.Close()
			return refresh(c)
		})
	})
	warm, dir := create(b)
	refresh(warm)
	b.Run("nothing-new", func(b *testing.B) { measure(b, func() *Report { return refresh(warm) }) })
	b.Run("one-member-changed", func(b *testing.B) {
		measure(b, func() *Report {
			b.StopTimer()
			e, err := w.repo.member("council-007.gov.uk")
			w.must(err)
			e.Member.Contact += "."
			if len(e.Member.Contact) > 190 {
				e.Member.Contact = "data@council-007.gov.uk"
			}
			w.must(w.repo.Amend(e.Member, w.now))
			w.publish()
			b.StartTimer()
			return refresh(warm)
		})
	})
	w.must(warm.Close())
	b.Run("open", func(b *testing.B) {
		measure(b, func() *Report {
			c, err := Open(dir, Options{Now: func() time.Time { return w.now }})
			w.must(err)
			if len(c.View().Members()) != 400 || len(c.View().Standards()) != 300 {
				b.Fatal("not all is there")
			}
			c.Close()
			return &Report{}
		})
	})
}

// The counts behind the benchmark, which are true on every machine.
func TestRefreshAsksForLittle(t *testing.T) {
	w := federation(t, 20, 30)
	c, _ := w.client()
	if rep := w.refresh(c); rep.Files != 2+3+6+20+30 || len(rep.Refused) > 0 {
		t.Errorf("cold: %+v", rep)
	}
	if rep := w.refresh(c); rep.Files != 2 {
		t.Errorf("nothing new: %+v", rep)
	}
	w.now = w.now.AddDate(0, 0, 1)
	w.publish()
	if rep := w.refresh(c); rep.Files != 2 || !rep.Changed {
		t.Errorf("a new day: %+v", rep)
	}
	w.admit("new.example")
	w.publish()
	if rep := w.refresh(c); rep.Files != 2+2+1 {
		t.Errorf("one more member: %+v", rep)
	}
	w.must(w.repo.PublishStandard(newStandard(t, "body-1.example/new@1.0.0", "New"), w.now))
	w.publish()
	if rep := w.refresh(c); rep.Files != 2+2+1 {
		t.Errorf("one more standard: %+v", rep)
	}
}

func BenchmarkInviteWords(b *testing.B) {
	i := Invite{RootVersion: 1, Address: "https://a.example"}
	for b.Loop() {
		i.Words()
	}
}
