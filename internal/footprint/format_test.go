package footprint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestUpgradeOneByOne: three members of the format before are upgraded one at a
// time, with an old leader, a new one and an old member that is away and brought
// up by a snapshot; the format moves on when the last is upgraded, and not before.
func TestUpgradeOneByOne(t *testing.T) {
	inFens(t, func(t *testing.T, w *fens) {
		speaks := map[name.Council]int{}
		w.tune = func(o *Options) {
			o.speaks = speaks[o.Self]
			o.SnapshotAfter, o.KeepLog, o.segment = 8, 4, 8<<10
		}
		for _, c := range places {
			speaks[c] = 1
		}
		w.form(3)
		serial := 0
		write := func(n int) {
			t.Helper()
			for range n {
				c := w.up()[serial%len(w.up())]
				w.put(c, w.token(c, fmt.Sprint("item-", serial), 1, tlog.Hash{}))
				serial++
			}
		}
		restart := func(c name.Council, as int) {
			t.Helper()
			w.stop(c)
			write(3)
			speaks[c] = as
			w.start(c)
			w.await("it is level", func() bool {
				l := w.leader()
				return l != nil && w.at(c).fsm.current().Applied() >= l.fsm.current().Applied()
			})
			write(3)
		}
		stays := func(format int) {
			t.Helper()
			time.Sleep(3 * upgradeEvery)
			for _, c := range w.up() {
				if got := w.at(c).speaks(); got != format {
					t.Errorf("%s uses format %d, want %d", c, got, format)
				}
			}
			w.same()
		}
		last := w.leader().o.Self
		rest := without(places[:3], last)
		restart(rest[0], 2)
		if w.leader().o.Self != last {
			t.Fatal("another leads")
		}
		stays(1) // an old leader
		restart(rest[1], 2)
		if err := w.at(last).Transfer(rest[0]); err != nil {
			t.Fatal(err)
		}
		w.await("a new leader", func() bool { l := w.leader(); return l != nil && l.o.Self != last })
		stays(1) // a new leader, an old member
		for _, c := range places[:3] {
			words := w.at(c).Status().Words
			if want := w.at(c).title(last) + " still runs an older version of Stile"; !strings.Contains(words, want) {
				t.Errorf("%s says %q, want %q in it", c, words, want)
			}
		}

		// Away, and behind what the log reaches: what a new leader sends it is of
		// the old format, a snapshot too.
		w.stop(last)
		write(40)
		for _, c := range w.up() {
			if err := w.at(c).raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		stays(1)
		// What a leader proposes of a newer format all the same changes nothing.
		c := command{version: 2, kind: commandBatch, groups: []group{w.sealed(group{contributor: rest[0], entries: []Entry{w.token(rest[0], "early", 1, tlog.Hash{})}})}}
		future := w.leader().raft.Apply(c.encode(), time.Second)
		if err := future.Error(); err != nil || future.Response().(reply).outcomes[0][0].Rule != RuleWaits {
			t.Errorf("a command of a format not in use: %v, %+v", err, future.Response())
		}
		w.start(last)
		w.await("the old member says why it takes nothing", func() bool {
			return w.at(last).outdated.Load() && strings.Contains(w.at(rest[0]).Status().Words, "older version")
		})
		if dir, err := w.at(last).folder.current(); err != nil || dir == "replica-1" {
			t.Errorf("the old member installed no snapshot: %s, %v", dir, err)
		}
		t.Log(w.at(last).Status().Words)
		restart(last, 2)
		w.await("the format moves on", func() bool { return w.at(last).speaks() == 2 })
		stays(2)
		if words := w.at(last).Status().Words; strings.Contains(words, "version") {
			t.Errorf("all are upgraded: %q", words)
		}

		// From here on an older program is of no use, and says so.
		var all bytes.Buffer
		if _, err := w.at(rest[0]).Backup(&all); err != nil {
			t.Fatal(err)
		}
		f := w.at(rest[1])
		f.fsm.newest = 1
		if err := f.fsm.Restore(io.NopCloser(&all)); !errors.Is(err, errNewer) {
			t.Errorf("an older program installed a snapshot: %v", err)
		}
		w.stop(rest[1])
		speaks[rest[1]] = 1
		if _, err := Open(w.options(rest[1])); !errors.Is(err, errNewer) {
			t.Errorf("an older program opened the replica: %v", err)
		} else {
			t.Log(err)
		}
		speaks[rest[1]] = 2
		w.start(rest[1])
		fourth := places[3]
		if _, err := w.at(rest[0]).Invite(t.Context(), fourth); err != nil {
			t.Fatal(err)
		}
		if _, err := w.at(rest[1]).Agree(t.Context(), fourth); err != nil {
			t.Fatal(err)
		}
		var refusal *Refusal
		if _, err := Join(t.Context(), w.options(fourth), rest...); !errors.As(err, &refusal) || refusal.Rule != RuleOlder {
			t.Errorf("an older program joined: %v", err)
		}
		w.gen[fourth]++
		speaks[fourth] = 2
		j, err := Join(t.Context(), w.options(fourth), rest...)
		if err != nil {
			t.Fatal(err)
		}
		w.set(fourth, j)
		w.await("it votes", func() bool { return w.voters() == 4 })
		write(4)
		stays(2)
	})
}
