// Package statement makes a council's compliance statements, and gathers those of
// others: it counts from the ledger what a statement says, issues it as a record of
// the council's own, and puts together who complies with what from all that are held.
// So it does with what a council states of its suppliers' products: how many of the
// records that came by a product its node holds valid.
//
// What the figures mean and what they are worth is package measure's to say. All
// figures of one call are counted at one state of the ledger.
package statement

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Agreements say which agreements there are.
type Agreements interface {
	Standing(now time.Time) []agreement.Status
	Status(a name.Agreement, now time.Time) (agreement.Status, bool)
}

// Options say what a Keeper works with. All are needed but Every.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Directory  *directory.Directory
	Agreements Agreements
	Uses       *Uses
	// Standard finds the adopted standard that a person means. Its error is shown as
	// it is.
	Standard func(typed string) (*standard.Standard, error)
	// Stands reports whether what was offered in a standard is live in it, so that it
	// is not held back; Put offers records of our own.
	// RecordID names the record of ours that has a natural key in a line of a standard;
	// Feeds names those that the configuration says are a digital tool.
	RecordID func(name.StandardLine, string) name.Record
	Feeds    func(tool string) []string
	Stands   func(v *ledger.View, std *standard.Standard, offered []byte) bool
	Put      func(ctx context.Context, in api.PutRequest) (*api.PutReply, error)
	Log      *slog.Logger
	Now      func() time.Time
	Workers  int           // goroutines that read at once
	Every    time.Duration // how often Run makes statements; 0: never
}

// A Keeper keeps compliance statements. Its methods may be called concurrently; what
// they return as failures for a person is an *[api.Error].
type Keeper struct{ o Options }

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o} }

// Measure counts, and issues what it counted where that is asked for.
func (k *Keeper) Measure(ctx context.Context, in api.MeasureRequest) (*api.MeasureReply, error) {
	stds, err := k.measured(in.Standard)
	if err != nil {
		return nil, err
	}
	k.o.Uses.Write()
	out := &api.MeasureReply{Statements: []api.Statement{}}
	var counted []*measure.Statement
	now := k.o.Now().UTC().Truncate(time.Second)
	err = k.o.Ledger.View(func(v *ledger.View) error {
		for i, std := range stds {
			s, err := k.state(ctx, v, std, now)
			if err != nil {
				return err
			}
			quiet := s.Records == 0 && s.Offers.Seen+s.Offers.NotJudged == 0 && s.Held == 0 && s.Partners.Served == 0 && s.Received.Records == 0
			// Somebody who names a standard is answered, be it by its newest version.
			if quiet && (in.Standard == "" || i < len(stds)-1 || len(counted) > 0) {
				continue
			}
			counted = append(counted, s)
			out.Statements = append(out.Statements, *s)
		}
		return nil
	})
	if err != nil || !in.Publish || len(counted) == 0 {
		return out, err
	}
	out.Published, err = k.issue(ctx, counted)
	return out, err
}

// measured returns the standards that a request means, by name and version: a
// name without a version means every one.
func (k *Keeper) measured(asked string) (out []*standard.Standard, err error) {
	var one *standard.Standard
	if asked != "" {
		if one, err = k.o.Standard(asked); err != nil {
			return nil, err
		}
	}
	_, notFull := name.ParseStandard(asked)
	_, notLine := name.ParseStandardLine(asked)
	for _, s := range k.o.Ledger.Standards() {
		switch {
		case s.Name().Name == measure.Standard:
		case one == nil, s.Name() == one.Name(),
			notFull != nil && notLine == nil && s.Name().Line() == one.Name().Line(),
			notFull != nil && notLine != nil && s.Name().Name == one.Name().Name:
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, api.Fail(api.Usage, "stile standard list", "there is no standard to measure: statements themselves are not measured")
	}
	return out, nil
}

// issue puts statements out as records of our own, by the way that every
// record goes.
func (k *Keeper) issue(ctx context.Context, counted []*measure.Statement) ([]api.PutResult, error) {
	req := api.PutRequest{Standard: string(measure.Standard)}
	for _, s := range counted {
		b, err := measure.Record(s)
		if err != nil {
			return nil, err
		}
		req.Records = append(req.Records, api.Offered{Record: b})
	}
	r, err := k.o.Put(ctx, req)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Kind == api.NotFound {
		return nil, api.Fail(api.NotFound, "stile standard adopt compliance-statement", "the standard of statements is not adopted here")
	}
	if err != nil {
		return nil, err
	}
	for _, x := range r.Results {
		if len(x.Problems) > 0 {
			return nil, &api.Error{Kind: api.Failed, Message: "a statement does not fit its own standard", Try: "use the version of Stile that the adopted standard came with", Problems: x.Problems}
		}
	}
	return r.Results, nil
}

// newest in [api.BundleRequest] means the newest statement of ours.
const newest = "newest"

// Find finds the statement that a request means: by its id, or the newest,
// of one standard where one is named.
func (k *Keeper) Find(v *ledger.View, in api.BundleRequest) (*ledger.Version, *measure.Statement, error) {
	var std *standard.Standard
	if in.Standard != "" {
		var err error
		if std, err = k.o.Standard(in.Standard); err != nil {
			return nil, nil, err
		}
	}
	if in.Statement != newest {
		id, err := name.ParseRecord(in.Statement)
		if err != nil {
			return nil, nil, api.Fail(api.Usage, "stile record list --standard compliance-statement", "%v", err)
		}
		ver, err := v.Current(id)
		if err != nil {
			return nil, nil, err
		}
		if ver.Claims.Standard.Name != measure.Standard || ver.Body == nil {
			return nil, nil, api.Fail(api.Usage, "stile record list --standard compliance-statement", "record %s is no compliance statement", id)
		}
		s, err := measure.Parse(ver.Body)
		if err != nil {
			return nil, nil, api.Fail(api.Invalid, "", "statement %s: %v", id, err)
		}
		return ver, s, nil
	}
	var found *ledger.Version
	var what *measure.Statement
	err := v.Scan(measure.Standard, 0, func(ver *ledger.Version, err error) bool {
		if err != nil {
			return true
		}
		s, err := measure.Parse(ver.Body)
		if err == nil && s.Council == k.o.Self && (std == nil || s.Standard == std.Name() || in.Standard != std.Name().String() && s.Standard.Name == std.Name().Name) {
			found, what = ver, s
		}
		return true
	})
	if err == nil && found == nil {
		err = api.Fail(api.NotFound, "stile standard measure --publish", "no compliance statement of ours about it was ever made")
	}
	return found, what, err
}

// Run makes statements as often as the configuration says, from the
// newest that there is, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	every := k.o.Every
	if every <= 0 {
		return
	}
	last, err := k.lastStatement()
	if err != nil {
		k.o.Log.Error("look for the newest statement", "error", err.Error())
		last = k.o.Now()
	}
	for ctx.Err() == nil {
		now := k.o.Now()
		if wait := last.Add(every).Sub(now); wait > 0 {
			// An hour at most, so that a clock that was set is noticed.
			t := time.NewTimer(min(wait, time.Hour))
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			t.Stop()
			continue
		}
		last = now
		r, err := k.Measure(ctx, api.MeasureRequest{Publish: true})
		switch {
		case ctx.Err() != nil:
		case err != nil:
			k.o.Log.Warn("no compliance statement was made", "because", err.Error())
		case len(r.Statements) > 0:
			k.o.Log.Info("compliance statements made", "standards", len(r.Statements))
		}
	}
}

// lastStatement returns when our newest statement was issued, or when the log
// began if there is none: a node makes its first one when it is old enough to
// have something to say.
func (k *Keeper) lastStatement() (last time.Time, err error) {
	err = k.o.Ledger.View(func(v *ledger.View) error {
		err := v.Scan(measure.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil {
				last = time.Unix(ver.Claims.IssuedAt, 0)
			}
			return true
		})
		if err != nil || !last.IsZero() {
			return err
		}
		last = k.o.Now()
		if ev, _, err := v.Event(0); err == nil {
			last = time.Unix(ev.IssuedAt, 0)
		}
		return nil
	})
	return last, err
}
