// Package byhand lets out single records by the decision of people, under agreements of a
// mode in which records go by hand. There are two sorts of cases.
//
// A handover is offered by the sender: a signed list of records, of one person or one
// matter, under as many agreements as they need. A person of the receiver accepts it, as a
// whole or in part, or declines. Until then the sender is responsible, and afterwards the
// receiver. Then the records travel as any do; when the receiver's receipts for all of them
// have come the sender closes the case. What was not taken stays behind.
//
// An urgent disclosure is given by one person of the sender and approved by another. The
// records travel at once and are withdrawn after as long as the agreement says. A person
// of each council has to review it afterwards.
//
// The invariant: nothing travels that no event in the sender's own log lets out, and an
// event that lets something out is durable before it travels. Everything else is done by
// [Keeper.Settle] from what the ledger holds, as often as it takes, so that a crash or an
// absence loses nothing and does nothing twice.
package byhand

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Agreements says where agreements stand.
type Agreements interface {
	// Status returns where an agreement stands: of its text in force or, if none is, of the
	// newest that was proposed; false when none was.
	Status(a name.Agreement, now time.Time) (agreement.Status, bool)
	// Current returns the status of every agreement.
	Current(now time.Time) []agreement.Status
	// Changed returns a channel that is closed when something was said of agreements.
	Changed() <-chan struct{}
}

// Options say what a [Keeper] works with. All are needed.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Agreements Agreements
	// RecordID resolves what a person typed to the id of a record of ours.
	RecordID func(record, standard string) (name.Record, error)
	// About returns our records that name a person.
	About func(v *ledger.View, person, scheme string) (all, shared []name.Record, err error)
	// Enter returns ctx with the person in it who gives or approves an urgent disclosure, where
	// they show a passphrase, or an error where they have to and do not.
	Enter func(ctx context.Context, in api.CaseRequest) (context.Context, error)
	Log   *slog.Logger
	Now   func() time.Time
}

// A Keeper keeps the cases of one council. It may be used concurrently.
type Keeper struct {
	o Options

	mu       sync.Mutex // held while cases are settled
	offering sync.Mutex // held while records are offered
}

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o: o} }

// every is how often a running node looks whether a time is over.
const every = time.Minute

// Run settles what is to be settled until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		said, agreed, changed := k.o.Ledger.CasesChanged(), k.o.Agreements.Changed(), k.o.Ledger.Changed()
		waits, err := k.settle(ctx)
		if err != nil && ctx.Err() == nil {
			k.o.Log.Warn("settle handovers and urgent disclosures", "error", err.Error())
		}
		if !waits { // for receipts
			changed = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-said:
		case <-changed:
		case <-agreed:
		case <-t.C:
		}
	}
}

// by returns who says something: the person who signed in, or whom the request names.
func by(ctx context.Context, named string) string {
	if p := access.From(ctx); p != nil && p.Kind == access.Person {
		return p.ID
	}
	return strings.TrimSpace(named)
}

// same reports whether two names are plainly of one person.
func same(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// newCase draws the id of a case.
func newCase() (id event.CaseID, err error) {
	_, err = rand.Read(id[:])
	return id, err
}

// find returns the case that a person means.
func (k *Keeper) find(id string, urgent bool) (c ledger.Case, err error) {
	noun := nounOf(urgent)
	id = strings.ToLower(strings.TrimSpace(id))
	err = k.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Cases()
		if err != nil {
			return err
		}
		n := 0
		for _, x := range all {
			if x.Urgent == urgent && (x.ID.String() == id || len(id) >= 4 && strings.HasPrefix(x.ID.String(), id)) {
				c, n = x, n+1
			}
		}
		switch n {
		case 1:
			return nil
		case 0:
			return api.Fail(api.NotFound, "stile "+noun+" list", "there is no case of that id")
		}
		return api.Fail(api.Usage, "stile "+noun+" list", "%d cases begin with that id: give more of it", n)
	})
	return c, err
}

// words holds what people say to what may stand in two councils' logs.
func words(what, s string, needed bool) error {
	switch {
	case needed && s == "":
		return api.Fail(api.Usage, "--because \"…\"", "%s must be said, which both councils log", what)
	case !oneLine(s, event.MaxBecause):
		return api.Fail(api.Usage, "", "%s is one line of text of at most %d bytes", what, event.MaxBecause)
	}
	return nil
}

// moved: the case has gone on since somebody looked at it.
func moved(c ledger.Case) error {
	switch short := c.ID.String()[:8]; {
	case c.State == ledger.CaseCarried && c.Sends:
		return api.Fail(api.Conflict, "stile handover offer "+string(c.Partner)+" --continues "+short, "this case is of a council that has ended, and we carry it on: its records are offered anew")
	case c.State == ledger.CaseCarried:
		return api.Fail(api.Conflict, "ask "+string(c.Partner)+" to offer it to us", "this case is of a council that has ended, and we carry it on: %s sends its records under an agreement with us", c.Partner)
	}
	return api.Fail(api.Conflict, "stile "+noun(c)+" show "+c.ID.String()[:8], "this case is %s", c.State)
}

// The commands by which people speak of cases, and the kinds of [api.CaseReply].
const (
	handoverNoun = "handover"
	urgentNoun   = "urgent"
)

func noun(c ledger.Case) string { return nounOf(c.Urgent) }

func nounOf(urgent bool) string {
	if urgent {
		return urgentNoun
	}
	return handoverNoun
}

// change runs f on a case as it stands, in a transaction, if it still is in one of some
// states.
func (k *Keeper) change(ctx context.Context, c ledger.Case, states []string, f func(*ledger.CaseTx, ledger.Case) error) error {
	return k.o.Ledger.ChangeCases(ctx, []name.Council{c.Partner}, func(x *ledger.CaseTx) error {
		now, err := x.Get(c.ID)
		if errors.Is(err, ledger.ErrNotFound) && len(states) == 0 {
			now, err = c, nil
		}
		if err != nil {
			return err
		}
		if !in(now.State, states) {
			return moved(now)
		}
		return f(x, now)
	})
}

func in(s string, list []string) bool {
	for _, t := range list {
		if s == t {
			return true
		}
	}
	return len(list) == 0
}
