package node

import "context"

// Log is the council's own log.
type Log struct{ to Operations }

// Log returns the operations on our own log.
func (o Operations) Log() Log { return Log{o} }

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
