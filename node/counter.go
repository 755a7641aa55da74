package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// counterAgreement answers the newest text of an agreement with another: what we would sign
// instead. Of the sender that is a proposal of a higher version, which it signs; of a
// receiver it binds nobody.
func (n *Node) counterAgreement(ctx context.Context, in AgreementRequest) (*AgreementReply, error) {
	a, err := agreement.Parse(in.Document)
	if err != nil {
		return nil, fail(Invalid, "stile agreement show NAME --document prints the newest text", "%v", err)
	}
	if in.Name != "" && in.Name != string(a.Name) {
		return nil, fail(Usage, "", "the document is of %s", a.Name)
	}
	texts := n.book.Texts(a.Name, n.now())
	self := n.cfg.Council
	if len(texts) == 0 {
		return nil, fail(NotFound, "stile agreement sign FILE proposes", "no agreement named %s was proposed here", a.Name)
	}
	newest := texts[0]
	for _, st := range texts {
		if st.Agreement.Version > newest.Agreement.Version {
			newest = st
		}
	}
	next := newest.Agreement.Version + 1
	for _, x := range n.book.Counters(a.Name) {
		next = max(next, x.Agreement.Version+1)
	}
	switch {
	case newest.Phase == agreement.Ended:
		return nil, fail(Conflict, "stile agreement draft", "%s is over: %s", a.Name, newest.Why)
	case a.Version < next:
		return nil, fail(Conflict, fmt.Sprintf("write version: %d", next), "version %d of %s is taken", a.Version, a.Name)
	case len(agreement.Diff(newest.Agreement, a)) == 0:
		return nil, fail(Conflict, "stile agreement sign "+string(a.Name), "it says the same as version %d", newest.Agreement.Version)
	}
	if a.From == self {
		return n.signAgreement(ctx, in)
	}
	switch {
	case a.From != newest.Agreement.From:
		return nil, fail(Refused, "", "%s sends under %s, and the document says %s", newest.Agreement.From, a.Name, a.From)
	case !a.Party(self) || !newest.Agreement.Party(self):
		return nil, fail(Refused, "a footprint's members sign or end what is proposed to it", "%s is not a party to %s", self, a.Name)
	}
	_, problems, err := n.check(a)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, &Error{Kind: Invalid, Problems: problems, Message: fmt.Sprintf("%s could not be signed: %s: %s", a.Name, strings.TrimPrefix(problems[0].Pointer, "/"), problems[0].Detail), Try: "stile agreement preview FILE"}
	}
	if first, err := n.agreed(ctx, &in, a, counterOf(a)); err != nil || first != nil {
		return first, err
	}
	c := agreement.Counter{Ref: newest.Agreement.Ref(), Agreement: a, By: in.By}
	if err := n.say(ctx, event.KindAgreementCounter, c.Body(), n.replicas.Addressees(newest.Agreement)); err != nil {
		return nil, err
	}
	if err := n.people.approvals.Drop(a.Name, counterOf(a)); err != nil {
		return nil, err
	}
	n.book.Stir()
	return n.agreementReply(a.Name, newest.Agreement.Version, false)
}

// counters says what receivers propose instead of an agreement's newest text.
func (n *Node) counters(a name.Agreement) (out []CounterReply) {
	for _, x := range n.book.Counters(a) {
		r := CounterReply{
			Council: x.By, By: x.Person, Version: x.Agreement.Version, Digest: x.Agreement.Digest().String(), Answers: x.Answers, At: x.At, Document: string(x.Agreement.YAML()), Differs: []string{},
		}
		if old, ok := n.book.Find(a, x.Answers); ok {
			r.Differs = append(r.Differs, agreement.Diff(old, x.Agreement)...)
		}
		out = append(out, r)
	}
	return out
}

// overtaken returns who has proposed what takes the place of a text that not all have signed,
// and its version; 0 when nobody has.
func (n *Node) overtaken(a *agreement.Agreement) (by name.Council, version int) {
	for _, x := range n.book.Counters(a.Name) {
		if x.Agreement.Version > a.Version {
			return x.By, x.Agreement.Version
		}
	}
	for _, st := range n.book.Texts(a.Name, n.now()) {
		if v := st.Agreement.Version; v > a.Version && v > version && st.Phase != agreement.Ended {
			by, version = st.Agreement.From, v
		}
	}
	return by, version
}
