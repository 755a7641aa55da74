package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/conduct"
	"github.com/stile-exchange/stile/internal/directory/follow"
)

// Councils are the members of the directory.
type Councils struct{ to Operations }

// Councils returns the operations on councils.
func (o Operations) Councils() Councils { return Councils{o} }

// Add adds or replaces a member, where this node hosts the directory.
func (c Councils) Add(ctx context.Context, in MemberRequest) (MemberReply, error) {
	return do(ctx, c.to, (*follow.Follower).Add, in)
}

// List lists the members, sorted by name.
func (c Councils) List(ctx context.Context) ([]MemberReply, error) {
	return list(ctx, c.to, (*follow.Follower).List, Empty{})
}

// Show describes a member; ourselves where none is named.
func (c Councils) Show(ctx context.Context, in MemberNameRequest) (MemberReply, error) {
	return do(ctx, c.to, (*follow.Follower).Member, in)
}

// Facts says what our own ledger shows of how a council keeps what was agreed.
func (c Councils) Facts(ctx context.Context, in FactsRequest) (FactsReply, error) {
	return do(ctx, c.to, (*conduct.Keeper).Facts, in)
}

// Quarantines lists the councils with which all exchange is or was stopped, those
// with which it is first.
func (c Councils) Quarantines(ctx context.Context) ([]QuarantineReply, error) {
	return list(ctx, c.to, (*Node).listQuarantines, Empty{})
}

// Evidence returns what is held against a council's log, as one file that
// stile-audit judges.
func (c Councils) Evidence(ctx context.Context, in MemberNameRequest) (EvidenceReply, error) {
	return do(ctx, c.to, (*Node).exportEvidence, in)
}

// EndQuarantine lets exchange with a council go on, which our log notes.
func (c Councils) EndQuarantine(ctx context.Context, in EndQuarantineRequest) (QuarantineReply, error) {
	return do(ctx, c.to, (*Node).endQuarantine, in)
}

// Directory says who is a member, by TUF, and which standards are published.
type Directory struct{ to Operations }

// Directory returns the operations on the directory.
func (o Operations) Directory() Directory { return Directory{o} }

// Show says how the directory stands.
func (d Directory) Show(ctx context.Context) (DirectoryReply, error) {
	return do(ctx, d.to, (*follow.Follower).Show, Empty{})
}

// Refresh asks its mirrors for news of it now.
func (d Directory) Refresh(ctx context.Context) (DirectoryReply, error) {
	return do(ctx, d.to, (*follow.Follower).RefreshNow, Empty{})
}

// Invite makes a code that leads a newcomer to the directory.
func (d Directory) Invite(ctx context.Context, in InviteRequest) (InviteReply, error) {
	return do(ctx, d.to, (*follow.Follower).Invite, in)
}

// Join leaves the directory that this node has for the one that a code leads
// to.
func (d Directory) Join(ctx context.Context, in JoinRequest) (DirectoryReply, error) {
	return do(ctx, d.to, (*follow.Follower).Join, in)
}

// Follow hosts the directory that was prepared in the data folder, and follows
// it.
func (d Directory) Follow(ctx context.Context) (DirectoryReply, error) {
	return do(ctx, d.to, (*follow.Follower).FollowFounded, Empty{})
}
