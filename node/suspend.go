package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/replicas"
)

// Suspending an agreement stops at once what leaves under it, whichever side does
// it, and withdraws nothing: what the receiver holds stays there, and changes wait
// until whoever suspended it resumes it. Then the exchange goes on where it was.
// What has to come back comes back all the same, with its receipt, or a receiver
// could keep it by suspending.
//
// A footprint that is party is suspended by any one of its members, since that is
// the safe direction, and resumed by a majority. A member that is itself party
// speaks for itself alone: the sender can stop and go on with its own records.

// suspendAgreement suspends the version in force, or the one named.
func (n *Node) suspendAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	if strings.TrimSpace(in.Reason) == "" {
		return nil, fail(Usage, "--reason \"why it is suspended\"", "suspending needs a reason, which the partner will read")
	}
	st, err := n.version(in, func(st agreement.Status) bool { return st.InForce() })
	if err != nil {
		return nil, err
	}
	a := st.Agreement
	switch self := n.cfg.Council; {
	case st.Phase == agreement.Ended, st.Phase == agreement.Superseded:
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "version %d of %s is over: %s", a.Version, a.Name, st.Why)
	case slices.ContainsFunc(st.Suspensions, func(s agreement.Suspension) bool { return s.By == self }):
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "%s has suspended it already", self)
	}
	return n.halt(ctx, a, event.KindAgreementSuspend, agreement.Notice{Ref: a.Ref(), Reason: in.Reason, At: n.now().UTC().Truncate(time.Second), By: in.By}, a.Party(n.cfg.Council))
}

// resumeAgreement takes back our suspension, or agrees that a footprint that we
// are a member of takes back its own.
func (n *Node) resumeAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	st, err := n.version(in, func(st agreement.Status) bool { return len(st.Suspensions) > 0 && st.Phase != agreement.Superseded })
	if err != nil {
		return nil, err
	}
	a := st.Agreement
	if st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "version %d of %s is over: %s", a.Version, a.Name, st.Why)
	}
	if len(st.Suspensions) == 0 && st.Phase == agreement.Suspended {
		return nil, fail(Conflict, "stile agreement renew "+string(a.Name)+" --review DATE", "nobody suspended version %d of %s: %s", a.Version, a.Name, st.Why)
	}
	if len(st.Suspensions) == 0 {
		return nil, fail(Conflict, "stile agreement show "+string(a.Name), "version %d of %s is not suspended", a.Version, a.Name)
	}
	footprints, err := n.replicas.Parties(a)
	if err != nil {
		return nil, err
	}
	// After what it takes back, by whichever clock that was said: in one second
	// nobody could tell which came last.
	at, own, ours := n.now().UTC().Truncate(time.Second), false, false
	var by []string
	for _, s := range st.Suspensions {
		own = own || s.By == n.cfg.Council
		ours = ours || slices.ContainsFunc(footprints, func(r *replicas.Replica) bool { return r.Name() == s.By })
		if !at.After(s.Since) {
			at = s.Since.Add(time.Second)
		}
		by = append(by, string(s.By))
	}
	if !own && !ours {
		return nil, fail(Refused, "ask them to resume it", "only who suspended it resumes it: %s", strings.Join(by, " and "))
	}
	if in.Reason == "" {
		in.Reason = "resumed"
	}
	return n.halt(ctx, a, event.KindAgreementResume, agreement.Notice{Ref: a.Ref(), Reason: in.Reason, At: at, By: in.By}, own)
}

// version finds the version of an agreement that a request means: the one it
// says, or the newest that fits, or the newest.
func (n *Node) version(in AgreementRequest, fits func(agreement.Status) bool) (agreement.Status, error) {
	a, err := n.document(in)
	if err != nil {
		return agreement.Status{}, err
	}
	all := n.book.Texts(a.Name, n.now())
	i := -1
	if in.Version == 0 && len(in.Document) == 0 {
		i = slices.IndexFunc(all, fits)
	}
	if i < 0 {
		i = slices.IndexFunc(all, func(st agreement.Status) bool { return st.Digest == a.Digest() })
	}
	if i < 0 {
		return agreement.Status{}, fail(NotFound, "stile agreement list", "%s version %d was not proposed here", a.Name, a.Version)
	}
	return all[i], nil
}

// halt says that an agreement is suspended or resumed, for ourselves when we are
// a party, and as a member of the footprints that are.
func (n *Node) halt(ctx context.Context, a *agreement.Agreement, kind string, notice agreement.Notice, own bool) (*AgreementReply, error) {
	footprints, err := n.replicas.Parties(a)
	if err != nil {
		return nil, err
	}
	if !a.Party(n.cfg.Council) && len(footprints) == 0 {
		return nil, fail(Refused, "", "%s is not a party to %s", n.cfg.Council, a.Name)
	}
	// The very same words in one second would be one event, said before.
	for said := true; said; {
		if said, err = n.book.Noticed(kind, notice); err != nil {
			return nil, err
		}
		if said {
			notice.At = notice.At.Add(time.Second)
		}
	}
	if own {
		err = n.say(ctx, kind, notice.Body(), n.replicas.Addressees(a))
	} else {
		err = n.book.Vouch(ctx, kind, notice.Body(), n.replicas.Addressees(a))
	}
	if err != nil {
		return nil, err
	}
	unsent := n.relayNow(ctx, footprints)
	pause(ctx, min(notice.At.Sub(n.now()), 2*time.Second))
	n.book.Stir()
	r, err := n.agreementReply(a.Name, a.Version, false)
	if err == nil {
		r.Unsent = unsent
	}
	return r, err
}

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
