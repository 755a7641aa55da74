package node

import (
	"context"
	"os"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/disclosure"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/question"
	"github.com/stile-exchange/stile/node/name"
)

// Disclosures are what the log says of who was let have what.
type Disclosures struct{ to Operations }

// Disclosures returns the operations on disclosures.
func (o Operations) Disclosures() Disclosures { return Disclosures{o} }

// List lists what was let out, the oldest first, a page at a time: of one record, of the
// records about a person, to a council, under an agreement, or in a time.
func (d Disclosures) List(ctx context.Context, in DisclosureRequest) (DisclosureReply, error) {
	return do(ctx, d.to, (*disclosure.Register).List, in)
}

// Subject gathers everything that is here about one person: what is held, where it came
// from, and who was let have it. It is the one operation whose reply holds the values of
// many records.
func (d Disclosures) Subject(ctx context.Context, in SubjectRequest) (SubjectReply, error) {
	return do(ctx, d.to, (*Node).subject, in)
}

// Seen says what a partner had of a record of ours at an instant.
func (d Disclosures) Seen(ctx context.Context, in SeenRequest) (SeenReply, error) {
	return do(ctx, d.to, (*disclosure.Register).Seen, in)
}

// Drift says where the exchange is no longer what the agreements say.
func (d Disclosures) Drift(ctx context.Context, in DriftRequest) (DriftReply, error) {
	return do(ctx, d.to, (*disclosure.Register).Drift, in)
}

// Refused lists what was asked for and refused, what we did not take, and questions that
// were answered with nothing: the oldest first, the newest so many.
func (d Disclosures) Refused(ctx context.Context, in RefusedRequest) ([]RefusedReply, error) {
	return list(ctx, d.to, (*disclosure.Register).ListRefused, in)
}

// Rebuild makes the index of disclosures anew from the log.
func (d Disclosures) Rebuild(ctx context.Context) error {
	_, err := do(ctx, d.to, (*disclosure.Register).Rebuild, Empty{})
	return err
}

// refused counts what a council asked for and did not get.
func (n *Node) refused(to name.Council, record bool, code string, a name.Agreement) {
	what := event.RefusedCopy
	if record {
		what = event.RefusedRecord
	}
	n.refusals.Note(to, what, code, a)
}

// subject gathers what is here, writes the proof where the request wants it, and asks the
// partners.
func (n *Node) subject(ctx context.Context, in SubjectRequest) (*SubjectReply, error) {
	if in.AskPartners && in.Because == "" {
		return nil, fail(Usage, "--because \"case reference\"", "say why the partners are asked, which both logs hold")
	}
	r, err := n.subjectHere(ctx, in)
	if err == nil && in.AskPartners {
		disclosure.AskPartners(ctx, r, in.Because, func(ctx context.Context, q question.SubjectRequest) (*question.Answer, error) {
			return n.asker.Subject(ctx, n.network(), q)
		})
	}
	return r, err
}

// subjectHere gathers what is here.
func (n *Node) subjectHere(ctx context.Context, in SubjectRequest) (*SubjectReply, error) {
	if in.Proof == "" {
		return n.register.Subject(ctx, in, nil)
	}
	out, err := openBundleFile(in.Proof)
	if err != nil {
		return nil, err
	}
	r, err := n.register.Subject(ctx, in, out)
	if _, err := out.end(0, err); err != nil {
		return nil, err
	}
	if r.Proved == 0 {
		return r, os.Remove(in.Proof) // nothing of it is in our own log
	}
	return r, nil
}

// openRegister makes the room that answers.
func (n *Node) openRegister() *disclosure.Register {
	return disclosure.New(disclosure.Options{
		Self: n.cfg.Council, Ledger: n.ledger, Member: n.directory.Member, Footprint: n.replicas.Is, Record: n.recordID,
		Reference: n.reference, Bundles: n.bundles, Refusals: n.refusals, Now: n.now,
		Texts:    func(a name.Agreement) []agreement.Status { return n.book.Texts(a, n.now()) },
		Standing: func() []agreement.Status { return n.book.Standing(n.now()) },
	})
}
