package node

import "context"

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
