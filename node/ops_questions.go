package node

import "context"

// Questions are what is asked under agreements of mode lookup and aggregate,
// where no copy is kept.
type Questions struct{ to Operations }

// Questions returns the operations on questions.
func (o Operations) Questions() Questions { return Questions{o} }

// Ask asks a partner for records by one value. Question and answer are logged
// by both sides, the value by neither.
func (q Questions) Ask(ctx context.Context, in LookupRequest) (LookupReply, error) {
	return do(ctx, q.to, (*Node).lookup, in)
}

// Count asks a partner for counts without small groups.
func (q Questions) Count(ctx context.Context, in AggregateRequest) (AggregateReply, error) {
	return do(ctx, q.to, (*Node).aggregate, in)
}

// List lists questions that were asked or answered.
func (q Questions) List(ctx context.Context, in LookupListRequest) ([]QuestionReply, error) {
	return list(ctx, q.to, (*Node).listQuestions, in)
}
