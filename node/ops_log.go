package node

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// Log is the council's own log.
type Log struct{ to Operations }

// Log returns the operations on our own log.
func (o Operations) Log() Log { return Log{o} }

// Read logs that a person is about to be shown personal data, and what for. Pages ask it
// before they show any.
func (l Log) Read(ctx context.Context, in ReadRequest) error {
	_, err := do(ctx, l.to, (*Node).logRead, in)
	return err
}

// Reads lists who was shown personal data at the pages, the newest first.
func (l Log) Reads(ctx context.Context, in ReadsRequest) ([]ReadReply, error) {
	return list(ctx, l.to, (*Node).listReads, in)
}

// Continue lets our log go on from what stands here although this folder is, or may
// be, an old copy of it. The next entry says so.
func (l Log) Continue(ctx context.Context, in ContinueRequest) (ContinueReply, error) {
	return do(ctx, l.to, (*Node).continueLog, in)
}

// Lost lists the records of ours that are not in our log any more, and that others
// held and gave back, in the order of the log as it was.
func (l Log) Lost(ctx context.Context, in LostRequest) ([]LostReply, error) {
	return list(ctx, l.to, (*Node).listLost, in)
}

// ForgetLost erases what others gave back.
func (l Log) ForgetLost(ctx context.Context) error {
	_, err := do(ctx, l.to, (*Node).forgetLost, Empty{})
	return err
}

// Show returns the newest checkpoint of our log, and who has cosigned it.
func (l Log) Show(ctx context.Context) (CheckpointReply, error) {
	return do(ctx, l.to, (*Node).showLog, Empty{})
}

// Prove proves that an entry stands in our log, by the newest checkpoint that a witness
// has cosigned and that covers it, and by our own where none does yet.
func (l Log) Prove(ctx context.Context, in EntryRequest) (EntryProofReply, error) {
	return do(ctx, l.to, (*Node).proveEntry, in)
}

func (n *Node) showLog(context.Context, Empty) (*CheckpointReply, error) {
	var out *CheckpointReply
	err := n.ledger.View(func(v *ledger.View) error {
		cp, note := v.Checkpoint()
		out = &CheckpointReply{Origin: cp.Origin, Size: cp.Size, Root: base64.StdEncoding.EncodeToString(cp.Root[:]), Note: string(note), Key: n.keys.Log.Verifier()}
		ws, err := v.Cosigned()
		for _, w := range ws {
			out.Witnesses = append(out.Witnesses, WitnessReply{Council: w.Witness, Size: w.Checkpoint.Size})
		}
		return err
	})
	return out, err
}

func (n *Node) proveEntry(_ context.Context, in EntryRequest) (*EntryProofReply, error) {
	var out *EntryProofReply
	err := n.ledger.View(func(v *ledger.View) error {
		cp, signed := v.Checkpoint()
		if in.Entry >= cp.Size {
			return fail(NotFound, "", "our log has no entry %d", in.Entry)
		}
		hash, _, err := v.Entry(in.Entry)
		if err != nil {
			return err
		}
		ws, err := v.Cosigned()
		if err != nil {
			return err
		}
		best := uint64(0)
		for _, w := range ws {
			if w.Checkpoint.Size > in.Entry && w.Checkpoint.Size > best {
				best, signed = w.Checkpoint.Size, w.Note
			}
		}
		p, err := tlog.NewProof(v, in.Entry, signed)
		if err != nil {
			return fmt.Errorf("prove entry %d: %w", in.Entry, err)
		}
		out = &EntryProofReply{Entry: in.Entry, Hash: base64.StdEncoding.EncodeToString(hash[:]), Proof: string(p.Marshal())}
		return nil
	})
	return out, err
}
