package node

import (
	"context"
	"errors"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/measure"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// newestStatement in BundleRequest.Statement means the newest one of ours.
const newestStatement = "newest"

// statementBundle makes a .stile file of a compliance statement of ours and of
// what it was counted from: the records of its standard as they stood at its
// checkpoint. The file covers the statement, by its id; its other entries are
// what an auditor needs to count again.
func (n *Node) statementBundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	if in.Agreement != "" || len(in.Records) > 0 {
		return nil, fail(Usage, "leave out --agreement and --record", "a bundle of a statement holds the statement and its records")
	}
	b := &bundler{n: n, stds: map[name.Standard]bool{}, who: map[name.Council]bool{n.cfg.Council: true}}
	b.keep = func(string, bool) bool { return in.Full }
	out, err := openOutlet(in.File)
	if err != nil {
		return nil, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		b.v = v
		ver, s, err := n.statement(v, in)
		if err != nil {
			return err
		}
		h := audit.Header{Council: n.cfg.Council, Created: n.now().UTC().Truncate(time.Second), Covers: audit.Covers{Records: []name.Record{ver.Claims.Record}}}
		if b.w, err = audit.NewWriter(out, h); err != nil {
			return err
		}
		now, _ := v.Checkpoint()
		// One that speaks of a log larger than there is is shown with what there is.
		indices, err := v.LiveAt(s.Standard, min(s.Checkpoint.Size, now.Size))
		if errors.Is(err, ledger.ErrNotFound) {
			return fail(NotFound, "stile standard list", "the statement is about %s, which was never in use here", s.Standard)
		}
		if err != nil {
			return err
		}
		if err := b.entries(ctx, append(indices, ver.Index)); err != nil {
			return err
		}
		b.stds[s.Standard] = true // there may be no record of it
		if cp, note, err := v.CheckpointAt(s.Checkpoint.Size); err == nil {
			var proof []tlog.Hash
			if cp.Size < now.Size {
				if proof, err = tlog.Consistency(v, cp.Size, now.Size); err != nil {
					return err
				}
			}
			if err := b.w.AddCheckpoint(note, proof); err != nil {
				return err
			}
		} else if !errors.Is(err, ledger.ErrNotFound) { // a size that never was: for the auditor to see
			return err
		}
		return b.context(agreement.Status{})
	})
	if err == nil {
		err = b.w.Close()
	}
	return out.end(b.count, err)
}

// statement finds the statement that a request means: by its id, or the newest,
// of one standard where one is named.
func (n *Node) statement(v *ledger.View, in BundleRequest) (*ledger.Version, *measure.Statement, error) {
	var std *standard.Standard
	if in.Standard != "" {
		var err error
		if std, err = n.standardNamed(in.Standard); err != nil {
			return nil, nil, err
		}
	}
	if in.Statement != newestStatement {
		id, err := name.ParseRecord(in.Statement)
		if err != nil {
			return nil, nil, fail(Usage, "stile record list --standard compliance-statement", "%v", err)
		}
		ver, err := v.Current(id)
		if err != nil {
			return nil, nil, err
		}
		if ver.Claims.Standard.Name != measure.Standard || ver.Body == nil {
			return nil, nil, fail(Usage, "stile record list --standard compliance-statement", "record %s is no compliance statement", id)
		}
		s, err := measure.Parse(ver.Body)
		if err != nil {
			return nil, nil, fail(Invalid, "", "statement %s: %v", id, err)
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
		if err == nil && s.Council == n.cfg.Council && (std == nil || s.Standard == std.Name() || in.Standard != std.Name().String() && s.Standard.Name == std.Name().Name) {
			found, what = ver, s
		}
		return true
	})
	if err == nil && found == nil {
		err = fail(NotFound, "stile standard measure --publish", "no compliance statement of ours about it was ever made")
	}
	return found, what, err
}
