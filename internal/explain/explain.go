// Package explain says in words how far exchange has come: why a partner has or lacks
// one of our records, rule by rule and field by field, and for each agreement whether
// its receiver is in step, or behind and why.
//
// It decides nothing. What it says of a rule is what the room says that keeps the
// rule: the agreement of rows and fields, the ledger of cursors and receipts, the
// directory of members, peersync of what runs.
package explain

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Footprints are those that this node knows of.
type Footprints interface {
	// Is reports whether a party of an agreement is a footprint.
	Is(c name.Council) bool
	// Has reports whether this node has a replica of a footprint, open or not.
	Has(c name.Council) bool
	// Replica returns our open replica of a footprint; nil when there is none.
	Replica(c name.Council) *footprint.Footprint
}

// Agreements say which agreements there are.
type Agreements interface {
	Standing(now time.Time) []agreement.Status
	Status(a name.Agreement, now time.Time) (agreement.Status, bool)
	// PassesNothing says in words why nothing is passed on under an agreement of ours whose
	// origin is another; "" where it is.
	PassesNothing(doc *agreement.Agreement, now time.Time) (string, error)
}

// Options say what an Explainer works with. All are needed.
type Options struct {
	Self          name.Council
	Ledger        *ledger.Ledger
	Keys          *keys.Ring
	Directory     *directory.Directory
	View          func() *tufdir.View // of the directory, as it stands
	Agreements    Agreements
	Footprints    Footprints
	Confirmations *peersync.Confirmations
	// AsksFor returns the footprint that this council may ask for under an agreement;
	// "" when there is none.
	AsksFor func(a *agreement.Agreement) name.Council
	// Running returns what exchanges with partners, nil while the node does not run,
	// and with whom there is a connection.
	Running func() (s *peersync.Syncer, connected []name.Council)
	// Record finds a record of our own by what a person typed. Its error is shown as
	// it is.
	Record func(typed, standard string) (name.Record, error)
	// Held finds a record that another council sent us, now or earlier, by its id or, of
	// one that is held, by its natural key. Its error is shown as it is.
	Held func(from name.Council, typed string) (name.Record, error)
	// LetOut lists what was let out of our records.
	LetOut func(context.Context, api.DisclosureRequest) (*api.DisclosureReply, error)
	// PassedOn lists to whom a record that another council sent under an agreement was passed
	// on, as its newest version was.
	PassedOn func(origin name.Agreement, r name.Record) ([]api.Disclosure, error)
	Log      *slog.Logger
	Now      func() time.Time
}

// An Explainer says how far exchange has come. Its methods may be called concurrently;
// what they return as failures for a person is an *[api.Error].
type Explainer struct{ o Options }

// New returns an Explainer.
func New(o Options) *Explainer { return &Explainer{o} }

// gone says in words why nothing can be exchanged with a council by the
// directory, and who has taken over; "" when something can.
func (x *Explainer) gone(c name.Council) string {
	now := x.o.Now()
	if err := x.o.Directory.Exchange(now); err != nil {
		return err.Error()
	}
	m, ok := x.o.Directory.Member(c)
	switch {
	case !ok:
		return "it is not in the directory"
	case now.Before(m.ValidFrom):
		return fmt.Sprintf("its membership begins on %s", m.ValidFrom.Format(time.DateOnly))
	case m.ActiveAt(now):
		return ""
	case len(m.Successors) == 0:
		return fmt.Sprintf("its membership ended on %s", m.Ended.Format(time.DateOnly))
	}
	var who []string
	for _, s := range m.Successors {
		who = append(who, string(s))
	}
	return fmt.Sprintf("its membership ended on %s; %s has taken over: agree with it", m.Ended.Format(time.DateOnly), strings.Join(who, " and "))
}

// expiredWords says what has become of a directory that is not to be relied on.
func expiredWords(s tufdir.State) string {
	if s == tufdir.Empty {
		return "has not been fetched yet"
	}
	return "has expired"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// stopped says why nothing is exchanged with a council; "" when something is.
func (x *Explainer) stopped(c name.Council) string {
	k := x.o.Ledger.Known(c)
	switch {
	case k.Quarantine != nil:
		return "all exchange is stopped: " + k.Quarantine.Reason
	case k.Accusation != nil && k.Accusation.Proven:
		return "it has stopped all exchange: it holds a history, signed by us, that is not that of our log"
	case k.Accusation != nil:
		return "it has stopped all exchange: it says that we told it another history"
	}
	return ""
}
