// Package retention does what agreements say of how long a receiver keeps records: at the
// receiver it deletes what may be kept no longer, and at the sender it finds receivers that
// are late with that.
//
// It needs nobody else. A receiver deletes whether or not the sender, the directory or any
// partner can be reached; the event by which it says so waits among its notices. What the
// term of an agreement means stands at [agreement.Term].
//
// # The clock
//
// A clock that was set years ahead would have everything deleted. So nothing is deleted
// while the clock is in doubt: from when it was found to have jumped, back or by more than
// two days since it was last looked at, until it has gone on without a jump for a day. A
// partner that signed something just now, and whose clock agrees, ends the doubt at once;
// one whose clock disagrees begins it. When it was last looked at is kept in a file in the
// data folder; without it the doubt begins.
package retention

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

const (
	// every is how often a receiver looks for what it may keep no longer.
	every = time.Hour
	// jump is by how much a clock may go on between two looks.
	jump = 48 * time.Hour
	// doubt is how long a clock that jumped has to go on before it is believed.
	doubt = 24 * time.Hour
	// agree is how far the clock of a partner may be off for ours to be believed by it.
	agree = 5 * time.Minute
	// Grace is how long after the end of a term a receiver is late. It covers the look
	// that comes hourly, a clock in doubt, and a weekend.
	Grace = 7 * 24 * time.Hour
	// batch is how many records are deleted at a time.
	batch = 1000
)

// FileName is the file in the data folder that says when the clock was last looked at.
const FileName = "retention.json"

// Agreements is what a Keeper asks of whoever keeps the agreements.
type Agreements interface {
	// Texts returns where every text of an agreement stands, the newest first.
	Texts(a name.Agreement, now time.Time) []agreement.Status
}

// Options say what a Keeper works with. All are needed.
type Options struct {
	Ledger     *ledger.Ledger
	Agreements Agreements
	// Senders returns who is told of what was deleted of the log of a council or of a
	// footprint: the council, or those who keep the footprint.
	Senders func(from name.Council) []name.Council
	// Footprint reports whether a council is a footprint, whose receipts are its members'.
	Footprint func(c name.Council) bool
	// Replicas returns the replicas of footprints that are open here; nil for none.
	Replicas func() []*footprint.Footprint
	// Clocks returns how far the clocks of partners are ahead of ours, by what they signed
	// within the last quarter of an hour.
	Clocks func() map[name.Council]time.Duration
	File   string // [FileName] in the data folder
	Log    *slog.Logger
	Now    func() time.Time
}

// A Keeper does it. It may be used concurrently. See [New].
type Keeper struct {
	o Options

	mu       sync.Mutex // guards what follows
	clock    clock
	read     bool
	next     map[string]time.Time // by source and text: before when nothing is over
	resumed  bool                 // what a crash interrupted is done
	late     []Late
	lateKey  map[lateKey]counted
	near     map[string]nearing // by source and text
	doubtful bool
}

// nearing is when the first of what a source holds may be kept no longer.
type nearing struct {
	Nearing
	looked time.Time
}

// Nearing is when the first of what is held under an agreement may be kept no longer, and
// is deleted.
type Nearing struct {
	From      name.Council
	Agreement name.Agreement
	Term      string // as the agreement has it, such as P1Y
	First     time.Time
}

const (
	// long is how long a term is of which it is worth a word that it nears its end.
	long = 30 * 24 * time.Hour
	// soon is how long before that end it is looked at daily, since what was the first may
	// have been replaced.
	soon = 7 * 24 * time.Hour
)

// Nearing returns them as of the last look, by council and agreement; those of terms
// shorter than thirty days are left out.
func (k *Keeper) Nearing() (out []Nearing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.near {
		out = append(out, n.Nearing)
	}
	slices.SortFunc(out, func(a, b Nearing) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Agreement, b.Agreement), a.First.Compare(b.First))
	})
	return out
}

// clock is what is kept of the clock.
type clock struct {
	Seen  time.Time `json:"seen"`  // when it was last looked at
	Since time.Time `json:"since"` // since when it goes on without a jump
}

// New returns a Keeper that does nothing until Run or Look.
func New(o Options) *Keeper {
	return &Keeper{o: o, next: map[string]time.Time{}, near: map[string]nearing{}, lateKey: map[lateKey]counted{}}
}

// Run looks every hour until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := k.Look(ctx); err != nil && ctx.Err() == nil {
			k.o.Log.Error("delete what may be kept no longer", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Look deletes here what may be kept no longer, and finds out which receivers are late.
func (k *Keeper) Look(ctx context.Context) error {
	now := k.o.Now()
	believed := k.believe(now)
	var errs []error
	held := map[string]bool{}
	for _, src := range k.o.Ledger.Sources() {
		held[string(src.From)+" "+string(src.Agreement)] = !src.Ended && !src.Ending
		if src.Agreement != "" && !src.Ended && !src.Ending {
			errs = append(errs, k.source(ctx, src, now, believed))
		}
	}
	if k.o.Replicas != nil && believed {
		for _, f := range k.o.Replicas() {
			errs = append(errs, k.replica(ctx, f, now))
		}
	}
	k.mu.Lock()
	k.resumed = k.resumed || errors.Join(errs...) == nil
	maps.DeleteFunc(k.near, func(_ string, n nearing) bool { return !held[string(n.From)+" "+string(n.Agreement)] })
	k.mu.Unlock()
	errs = append(errs, k.findLate(now))
	return errors.Join(errs...)
}

// believe looks at the clock, and reports whether it is believed.
func (k *Keeper) believe(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.read {
		k.clock, k.read = readClock(k.o.File), true
	}
	gone := now.Sub(k.clock.Seen)
	if k.clock.Seen.IsZero() || gone < 0 || gone > jump {
		k.clock.Since = now
	}
	agrees := false
	for _, off := range k.o.Clocks() {
		if off.Abs() > agree {
			k.clock.Since, agrees = now, false
			break
		}
		agrees = true
	}
	k.clock.Seen = now
	if err := writeClock(k.o.File, k.clock); err != nil {
		k.o.Log.Error("write when the clock was looked at", "error", err.Error())
	}
	if agrees {
		// So it is also believed for as long as it goes on without a jump.
		k.clock.Since = minTime(k.clock.Since, now.Add(-doubt))
	}
	was := k.doubtful
	k.doubtful = now.Sub(k.clock.Since) < doubt
	if k.doubtful && !was {
		k.o.Log.Info("nothing is deleted at the end of its term until the clock has gone on for a day, or a partner's agrees with it")
	}
	return !k.doubtful
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func readClock(file string) (c clock) {
	b, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(b, &c) != nil {
		return clock{}
	}
	return c
}

func writeClock(file string, c clock) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the folder is gone, and whoever needs it says so
		}
		return err
	}
	return os.Rename(tmp, filepath.Clean(file))
}

// text returns the text that a source holds records under now: the one that stands, or
// that of the copy; nil when none is known.
func (k *Keeper) text(src *ledger.Source, now time.Time) *agreement.Agreement {
	var of *agreement.Agreement
	for _, st := range k.o.Agreements.Texts(src.Agreement, now) {
		if st.InForce() || st.Phase == agreement.Suspended {
			return st.Agreement
		}
		if strings.HasPrefix(src.Digest, st.Digest.String()) {
			of = st.Agreement
		}
	}
	return of
}

// source looks at what a source holds.
func (k *Keeper) source(ctx context.Context, src *ledger.Source, now time.Time, believed bool) error {
	doc := k.text(src, now)
	if doc == nil {
		return nil
	}
	to := k.o.Senders(src.From)
	k.mu.Lock()
	resumed := k.resumed
	k.mu.Unlock()
	if !resumed {
		if err := k.o.Ledger.ReceiptTerms(ctx, src, doc.Version, to...); err != nil {
			return err
		}
	}
	term := doc.Term()
	if term.Kept == "" {
		return nil
	}
	key := string(src.From) + " " + string(src.Agreement) + " " + doc.Digest().String()
	k.mu.Lock()
	next, near := k.next[key], k.near[key]
	k.mu.Unlock()
	again := !near.First.IsZero() && near.First.Sub(now) <= soon && now.Sub(near.looked).Abs() >= 24*time.Hour
	// What comes after a look is over later than what was there, unless the records
	// themselves say from when they are counted.
	if term.Field == "" && now.Before(next) && !again {
		return nil
	}
	for {
		var over, unknown []ledger.Kept
		var least time.Time
		err := k.o.Ledger.View(func(v *ledger.View) error {
			return v.Kept(src, func(h ledger.Kept) bool {
				received := h.Received
				if received.IsZero() {
					unknown, received = append(unknown, h), now
				}
				switch end := term.Over(h.Counted, received); {
				case end.After(now):
					if least.IsZero() || end.Before(least) {
						least = end
					}
				default:
					over = append(over, h)
				}
				return len(over) < batch
			})
		})
		if err != nil {
			return err
		}
		if err := k.o.Ledger.Stamp(ctx, src, unknown); err != nil {
			return err
		}
		if len(over) == 0 {
			k.mu.Lock()
			defer k.mu.Unlock()
			maps.DeleteFunc(k.near, func(_ string, n nearing) bool { return n.From == src.From && n.Agreement == src.Agreement })
			full := term.Over(time.Time{}, now)
			if !least.IsZero() && full.Sub(now) >= long {
				k.near[key] = nearing{Nearing{src.From, src.Agreement, string(term.Kept), least}, now}
			}
			if least.IsZero() { // nothing is held: the first that comes is over a term from now
				least = full
			}
			k.next[key] = least
			return nil
		}
		if !believed {
			return nil
		}
		k.o.Log.Info("the time is over for which records may be kept; deleting them", "agreement", src.Agreement, "from", src.From, "records", len(over))
		if err := k.o.Ledger.Expire(ctx, src, doc.Version, over, to...); err != nil {
			return err
		}
		if src, err = k.o.Ledger.Source(src.From, src.Agreement); err != nil {
			return err
		}
	}
}

// A Late is a receiver of ours that has not said that it deleted what it may keep no longer.
type Late struct {
	Council   name.Council
	Agreement name.Agreement
	Records   int
	Since     time.Time // when the first of their terms was over
}

type lateKey struct {
	feed name.Agreement
	to   name.Council
	text agreement.Digest
}

// counted is what was found when it was last looked.
type counted struct {
	at   time.Time
	gone int // records that the receiver had said it deleted then
	late Late
}

// Late returns the receivers that are late, as of the last look.
func (k *Keeper) Late() []Late {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.late)
}

// findLate goes through the receipts of what receivers keep, once a day, and sooner where
// one has deleted more meanwhile.
func (k *Keeper) findLate(now time.Time) error {
	var all []Late
	for _, f := range k.o.Ledger.Feeds() {
		if f.Agreement == "" || f.Closed() || !f.Copied() || f.Terms().Agreement().Term().Kept == "" {
			continue
		}
		for _, c := range f.To {
			if k.o.Footprint(c) {
				continue
			}
			l, err := k.lateOne(f, c, now)
			if err != nil {
				return err
			}
			if l.Records > 0 {
				all = append(all, l)
			}
		}
	}
	k.mu.Lock()
	k.late = all
	k.mu.Unlock()
	return nil
}

func (k *Keeper) lateOne(f *ledger.Feed, c name.Council, now time.Time) (Late, error) {
	term := f.Terms().Agreement().Term()
	out := Late{Council: c, Agreement: f.Agreement}
	key := lateKey{f.Agreement, c, f.Digest}
	err := k.o.Ledger.View(func(v *ledger.View) error {
		p, err := v.Partner(f, c)
		if err != nil {
			return err
		}
		k.mu.Lock()
		was, ok := k.lateKey[key]
		k.mu.Unlock()
		if ok && was.gone == p.AtTerm && now.Sub(was.at) < 24*time.Hour && !now.Before(was.at) {
			out = was.late
			return nil
		}
		var failed error
		err = v.Receipts(f, c, func(jws []byte) bool {
			_, ev, err := record.ParseEvent(jws)
			if err != nil {
				return true
			}
			r, err := event.ParseReceipt(ev.Body)
			if err != nil {
				return true
			}
			received := time.Unix(ev.IssuedAt, 0).UTC()
			if term.Field == "" && term.Over(time.Time{}, received).Add(Grace).After(now) {
				return false // what follows came later
			}
			for _, i := range r.Held {
				var end time.Time
				if end, failed = k.outstanding(v, f, c, term, i, received, now); failed != nil {
					return false
				}
				if end.IsZero() {
					continue
				}
				if out.Records++; out.Since.IsZero() || end.Before(out.Since) {
					out.Since = end
				}
			}
			return true
		})
		k.mu.Lock()
		k.lateKey[key] = counted{now, p.AtTerm, out}
		k.mu.Unlock()
		return errors.Join(err, failed)
	})
	return out, err
}

// outstanding returns when the term of a version was over that a receiver still holds, by
// what it has said; the zero time when it is not, or not late.
func (k *Keeper) outstanding(v *ledger.View, f *ledger.Feed, c name.Council, term agreement.Term, index uint64, received, now time.Time) (time.Time, error) {
	g, err := v.Logged(index)
	if err != nil {
		return time.Time{}, ignoreDamage(err)
	}
	at, withdrawn, err := v.InFeed(f, g.Record)
	if err != nil || withdrawn || at != index {
		return time.Time{}, ignoreDamage(err)
	}
	said, err := v.Retained(c, f.Agreement, g.Record)
	if err == nil && said.Index >= index {
		return time.Time{}, nil
	}
	var at0 time.Time
	if term.Field != "" {
		ver, err := v.Version(index)
		if err != nil {
			return time.Time{}, ignoreDamage(err)
		}
		at0 = term.Counted(ver.Body)
	}
	if end := term.Over(at0, received); !end.IsZero() {
		// What came with its term over already had to be deleted when it came.
		if end.Before(received) {
			end = received
		}
		if !end.Add(Grace).After(now) {
			return end, nil
		}
	}
	return time.Time{}, nil
}

func ignoreDamage(err error) error {
	if errors.Is(err, ledger.ErrStorage) {
		return err
	}
	return nil // it is named where it is read
}
