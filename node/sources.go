package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/ledger"
)

// A source is a register of the council's own that is offered as a whole, again
// and again. The node remembers what each offered, so that what a complete run
// no longer holds can be deleted, and nothing that came from elsewhere.

// Begin begins a run of a source. The run goes with each [Records.Put] of it, and
// ends when the next begins.
func (r Records) Begin(ctx context.Context, in SourceRequest) (Run, error) {
	return do(ctx, r.to, (*Node).beginRun, in)
}

// Sources lists the sources that records came from, by name.
func (r Records) Sources(ctx context.Context) ([]SourceReply, error) {
	return list(ctx, r.to, (*Node).listSources, Empty{})
}

// Absent counts the records that earlier runs of a source offered, and this one,
// which must be its newest, did not.
func (r Records) Absent(ctx context.Context, in Run) (AbsentReply, error) {
	return do(ctx, r.to, (*Node).absent, in)
}

// DeleteAbsent deletes the records that Absent counted. It is refused where rows
// of the run could not be identified: one of them may be one of those.
func (r Records) DeleteAbsent(ctx context.Context, in DeleteAbsentRequest) (DeleteAbsentReply, error) {
	return do(ctx, r.to, (*Node).deleteAbsent, in)
}

func (n *Node) beginRun(ctx context.Context, in SourceRequest) (*Run, error) {
	std, err := n.catalogue.Named(in.Standard)
	if err != nil {
		return nil, err
	}
	r, err := n.ledger.BeginRun(ctx, in.Source, std.Name().Line())
	switch {
	case errors.Is(err, ledger.ErrConflict):
		return nil, fail(Conflict, "give each register a name of its own with --source", "%v", err)
	case err != nil:
		return nil, err
	}
	return &Run{Source: r.Origin, Number: r.Number}, nil
}

func (n *Node) listSources(ctx context.Context, _ Empty) (out []SourceReply, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		all, err := v.Origins()
		for _, o := range all {
			out = append(out, SourceReply{Source: o.Name, Standard: o.Standard, Runs: o.Run, At: o.At})
		}
		return err
	})
	return out, err
}

func (n *Node) findAbsent(r Run, most int) (a ledger.Absent, err error) {
	err = n.ledger.View(func(v *ledger.View) (err error) {
		a, err = v.Absent(ledger.Run{Origin: r.Source, Number: r.Number}, most)
		return err
	})
	if errors.Is(err, ledger.ErrOrigin) {
		err = fail(Conflict, "run the import again, alone", "another import of the source %q has begun", r.Source)
	}
	return a, err
}

func (n *Node) absent(ctx context.Context, in Run) (*AbsentReply, error) {
	a, err := n.findAbsent(in, 10)
	if err != nil {
		return nil, err
	}
	return &AbsentReply{Run: in, Offered: a.Offered, Absent: a.Total, Unidentified: a.Unidentified, Examples: a.Live}, nil
}

// deleteAtOnce is how many deletions go to the ledger together.
const deleteAtOnce = 1000

func (n *Node) deleteAbsent(ctx context.Context, in DeleteAbsentRequest) (*DeleteAbsentReply, error) {
	a, err := n.findAbsent(in.Run, in.Absent+1)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Unidentified > 0:
		return nil, fail(Refused, "mend the rows without a readable key and import the file again",
			"nothing was deleted: %d rows of the file have no key that can be read, and any of them may be a record that seems absent", a.Unidentified)
	case a.Total > in.Absent:
		return nil, fail(Conflict, "count again", "nothing was deleted: %d records are absent by now, and not %d", a.Total, in.Absent)
	}
	out := &DeleteAbsentReply{}
	run := ledger.Run{Origin: in.Run.Source, Number: in.Run.Number}
	for some := range slices.Chunk(a.Live, deleteAtOnce) {
		offers := make([]*ledger.Offer, len(some))
		for i, r := range some {
			offers[i] = n.ledger.OfferDelete(r).Within(run)
		}
		if err := n.ledger.Write(ctx, offers...); err != nil {
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
	return out, n.ledger.Forget(ctx, a)
}
