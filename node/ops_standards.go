package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/directory/follow"
	"github.com/stile-exchange/stile/internal/statement"
)

// Standards are the ones this node has adopted.
type Standards struct{ to Operations }

// Standards returns the operations on adopted standards.
func (o Operations) Standards() Standards { return Standards{o} }

// Adopt takes a version of a standard into use.
func (s Standards) Adopt(ctx context.Context, in AdoptRequest) (AdoptReply, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Adopt, in)
}

// Preview says what it would mean to adopt a version of a standard. Nothing is
// changed.
func (s Standards) Preview(ctx context.Context, in AdoptRequest) (AdoptPreview, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Preview, in)
}

// Against judges a page of our records by another version of their standard.
// Nothing is changed.
func (s Standards) Against(ctx context.Context, in AgainstRequest) (AgainstReply, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Against, in)
}

// Serve does a page of the work of making records of a major from those of an
// older one.
func (s Standards) Serve(ctx context.Context, in ServeRequest) (ServeReply, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Serve, in)
}

// List lists the standards, sorted by name and version.
func (s Standards) List(ctx context.Context) ([]StandardReply, error) {
	return list(ctx, s.to, (*catalogue.Catalogue).List, Empty{})
}

// Show describes a standard.
func (s Standards) Show(ctx context.Context, in StandardRequest) (StandardReply, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Show, in)
}

// Archive returns a standard as its publisher made it.
func (s Standards) Archive(ctx context.Context, in StandardRequest) (StandardArchiveReply, error) {
	return do(ctx, s.to, (*catalogue.Catalogue).Archive, in)
}

// Measure counts from the ledger how well a standard is kept, and signs and
// logs what it finds where it is asked to.
func (s Standards) Measure(ctx context.Context, in MeasureRequest) (MeasureReply, error) {
	return do(ctx, s.to, (*statement.Keeper).Measure, in)
}

// Charter counts what this node holds of the records that come from a product of
// ours, and signs and logs that as a supplier statement where it is asked to.
func (s Standards) Charter(ctx context.Context, in CharterRequest) (CharterReply, error) {
	return do(ctx, s.to, (*statement.Keeper).Charter, in)
}

// Adoption counts what councils state about a standard that a publisher
// receives statements of.
func (s Standards) Adoption(ctx context.Context, in AdoptionRequest) (Adoption, error) {
	return do(ctx, s.to, (*statement.Keeper).Adoption, in)
}

// Published are the standards that the directory has, adopted here or not.
type Published struct{ to Operations }

// Published returns the operations on published standards.
func (o Operations) Published() Published { return Published{o} }

// List lists them, sorted by name and version.
func (p Published) List(ctx context.Context) ([]PublishedReply, error) {
	return list(ctx, p.to, (*follow.Follower).Published, Empty{})
}

// Archive returns one, named publisher/name@version, as its publisher made it.
func (p Published) Archive(ctx context.Context, in StandardRequest) (StandardArchiveReply, error) {
	return do(ctx, p.to, (*follow.Follower).PublishedArchive, in)
}
