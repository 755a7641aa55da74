package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
)

// A source is a register of the council's own that is offered as a whole, again
// and again. The ledger remembers what each offered, so that what a complete run
// no longer holds can be deleted, and nothing that came from elsewhere.

// Begin begins a run of a source, and so ends the one before.
func (g *Gate) Begin(ctx context.Context, in api.SourceRequest) (*api.Run, error) {
	std, err := g.o.Standard(in.Standard)
	if err != nil {
		return nil, err
	}
	r, err := g.o.Ledger.BeginRun(ctx, in.Source, std.Name().Line())
	switch {
	case errors.Is(err, ledger.ErrConflict):
		return nil, api.Fail(api.Conflict, "give each register a name of its own with --source", "%v", err)
	case err != nil:
		return nil, err
	}
	return &api.Run{Source: r.Origin, Number: r.Number}, nil
}

// Sources lists the sources that records came from, by name.
func (g *Gate) Sources(ctx context.Context, _ api.Empty) (out []api.SourceReply, err error) {
	err = g.o.Ledger.View(func(v *ledger.View) error {
		all, err := v.Origins()
		for _, o := range all {
			out = append(out, api.SourceReply{Source: o.Name, Standard: o.Standard, Runs: o.Run, At: o.At})
		}
		return err
	})
	return out, err
}

// findAbsent finds the absent records of a run, and names at most so many.
func (g *Gate) findAbsent(r api.Run, most int) (a ledger.Absent, err error) {
	err = g.o.Ledger.View(func(v *ledger.View) (err error) {
		a, err = v.Absent(ledger.Run{Origin: r.Source, Number: r.Number}, most)
		return err
	})
	if errors.Is(err, ledger.ErrOrigin) {
		err = api.Fail(api.Conflict, "run the import again, alone", "another import of the source %q has begun", r.Source)
	}
	return a, err
}

// Absent counts the records that earlier runs of a source offered, and this one, its
// newest, did not.
func (g *Gate) Absent(ctx context.Context, in api.Run) (*api.AbsentReply, error) {
	a, err := g.findAbsent(in, 10)
	if err != nil {
		return nil, err
	}
	return &api.AbsentReply{Run: in, Offered: a.Offered, Absent: a.Total, Unidentified: a.Unidentified, Examples: a.Live}, nil
}

// deleteAtOnce is how many deletions go to the ledger together.
const deleteAtOnce = 1000

// DeleteAbsent deletes the records that Absent counted. It deletes nothing where rows
// of the run had no key that could be read, or where there are more by now.
func (g *Gate) DeleteAbsent(ctx context.Context, in api.DeleteAbsentRequest) (*api.DeleteAbsentReply, error) {
	a, err := g.findAbsent(in.Run, in.Absent+1)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Unidentified > 0:
		return nil, api.Fail(api.Refused, "mend the rows without a readable key and import the file again",
			"nothing was deleted: %d rows of the file have no key that can be read, and any of them may be a record that seems absent", a.Unidentified)
	case a.Total > in.Absent:
		return nil, api.Fail(api.Conflict, "count again", "nothing was deleted: %d records are absent by now, and not %d", a.Total, in.Absent)
	}
	out := &api.DeleteAbsentReply{}
	run := ledger.Run{Origin: in.Run.Source, Number: in.Run.Number}
	for some := range slices.Chunk(a.Live, deleteAtOnce) {
		offers := make([]*ledger.Offer, len(some))
		for i, r := range some {
			offers[i] = g.o.Ledger.OfferDelete(r).Within(run)
		}
		if err := g.o.Ledger.Write(ctx, offers...); err != nil {
			return nil, fmt.Errorf("delete absent records: %d of %d are deleted: %w", out.Deleted, a.Total, err)
		}
		for _, o := range offers {
			r, err := o.Result()
			if errors.Is(err, ledger.ErrNotFound) {
				continue // deleted by somebody else meanwhile
			}
			if err != nil {
				return nil, err
			}
			out.Deleted++
			out.Withdrawn += r.Withdrawn
		}
	}
	return out, g.o.Ledger.Forget(ctx, a)
}
