package node

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/people"
)

// speakers are the people who say something about an agreement for the council.
type speakers struct {
	door      *people.Door
	approvals *people.Approvals
}

func openSpeakers(cfg *config.Config, now func() time.Time) speakers {
	p := people.Open(cfg.Data, rand.Reader, now)
	return speakers{p.Door(), p.Approvals()}
}

// What a person says yes to. Of a text to be signed it is the digest alone.
func renewalOf(to agreement.Date) string      { return "renewal until " + string(to) }
func counterOf(a *agreement.Agreement) string { return "counter-proposal " + a.Digest().String() }

// agreed decides whether the council says something about an agreement, and puts into the
// request who has it do so. All that signs, renews or proposes goes through it once nothing
// else is in the way, whichever door it came by. Where the configuration wants two persons
// it returns, for the first of them, the reply that says so: then nothing is to be said yet.
func (n *Node) agreed(ctx context.Context, in *AgreementRequest, a *agreement.Agreement, what string) (first *AgreementReply, err error) {
	id, err := n.speaker(ctx, in)
	if err != nil || !n.cfg.Web.TwoPersons {
		return nil, err
	}
	if id == "" {
		if p := access.From(ctx); p != nil && p.Kind == access.System {
			return nil, fail(Refused, "two signers sign at the pages, or with stile agreement sign --as", "two persons must say yes here before the council does, and a key is no person")
		}
		return nil, fail(Refused, `say who you are: --as "YOUR NAME"; stile person passphrase gives you what you are asked for; or sign at the pages`, "two persons must say yes here before the council does, and nobody said who they are")
	}
	by, w, err := n.people.approvals.Say(people.Approval{Agreement: a.Name, Of: what, Person: id, Name: in.By, At: n.now().UTC().Truncate(time.Second)})
	if err != nil || w == nil {
		in.By = by
		return nil, err
	}
	r := AgreementReply{
		Name: a.Name, Version: a.Version, Digest: a.Digest().String(), From: a.From, To: a.To, Mode: string(a.Mode), Standard: a.Standard,
		Why: "another person must say yes", Approval: approvalReply(*w),
	}
	if known, err := n.agreementReply(a.Name, a.Version, false); err == nil && known.Digest == r.Digest {
		known.Approval = r.Approval
		return known, nil
	}
	return &r, nil
}

// speaker returns the id of the person who asks, "" for none, and sets what they are called
// in the log: whoever signed in at the pages, or who shows a passphrase.
func (n *Node) speaker(ctx context.Context, in *AgreementRequest) (id string, err error) {
	if p := access.From(ctx); p != nil && p.Kind == access.Person {
		if in.By == "" {
			in.By = p.Title
		}
		return p.ID, nil
	}
	one, err := n.enter(ctx, in.As, in.Passphrase)
	if err != nil || one == nil {
		return "", err
	}
	if !one.Principal().Is(access.Signer) {
		return "", fail(Refused, "ask whoever gives roles for signer", "that person may not sign for the council")
	}
	in.By = one.Name
	if n.cfg.Web.Pseudonyms {
		in.By = one.ID
	}
	return one.ID, nil
}

// enter returns the person who says by a passphrase, which is cleared, who they are; nil where
// nobody does.
func (n *Node) enter(ctx context.Context, as string, pass []byte) (*people.Person, error) {
	defer clear(pass)
	switch p := access.From(ctx); {
	case as == "":
		return nil, nil
	case p != nil && p.Kind != access.Local:
		return nil, fail(Refused, "", "a key speaks for nobody else")
	}
	return n.people.door.Enter(as, pass)
}

// entered returns ctx with the person in it who gives or approves an urgent disclosure by a
// passphrase. Where the configuration wants two persons, a name that is only typed is none: it
// is refused to whoever is neither signed in nor a key, and shows no passphrase.
func (n *Node) entered(ctx context.Context, in CaseRequest) (context.Context, error) {
	one, err := n.enter(ctx, in.As, in.Passphrase)
	switch p := access.From(ctx); {
	case err != nil:
		return nil, err
	case one == nil && n.cfg.Web.TwoPersons && (p == nil || p.Kind == access.Local):
		return nil, fail(Refused, `say who you are: --as "YOUR NAME"; stile person passphrase gives you what you are asked for; or use the pages`, "two persons must let out an urgent disclosure here, and nobody said who they are")
	case one == nil:
		return ctx, nil
	case !one.Principal().Is(access.Steward, access.Governance):
		return nil, fail(Refused, "ask whoever gives roles for steward or governance", "that person may not let out an urgent disclosure")
	}
	return access.With(ctx, one.Principal()), nil
}

func (n *Node) approvals(context.Context, Empty) ([]ApprovalReply, error) {
	all, err := n.people.approvals.List()
	out := make([]ApprovalReply, 0, len(all))
	for _, w := range all {
		out = append(out, *approvalReply(w))
	}
	return out, err
}

func approvalReply(w people.Approval) *ApprovalReply {
	return &ApprovalReply{Agreement: w.Agreement, Of: w.Of, Person: w.Person, By: w.Name, At: w.At}
}
