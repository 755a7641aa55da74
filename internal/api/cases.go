package api

import (
	"context"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A CaseID names a handover or an urgent disclosure.
type CaseID struct {
	Case string `path:"case" minLength:"4" maxLength:"64" doc:"its id, or as many of the first digits as tell it from others"`
}

// A saidCall says one thing of a case.
type saidCall struct {
	CaseID
	Body said
}

// Said is what a person says. It is logged by both councils.
type said struct {
	Because string   `json:"because,omitempty" maxLength:"1000" doc:"why; both councils log it, so that it must name nobody"`
	By      string   `json:"by,omitempty" maxLength:"200" doc:"the person for whom the system says it: a name or a pseudonym"`
	Only    []string `json:"only,omitempty" maxItems:"1000" doc:"of an acceptance: ids of the records that are taken; absent: all that may be"`
}

// A chosenCall begins a case about some records.
type chosenCall struct {
	Body struct {
		Partner  string   `json:"partner" minLength:"1" maxLength:"255" doc:"the other council"`
		Records  []string `json:"records,omitempty" maxItems:"1000" doc:"ids, or references within standard"`
		Standard string   `json:"standard,omitempty" maxLength:"300"`
		Person   string   `json:"person,omitempty" maxLength:"200" doc:"instead of records: all of ours that name this person"`
		Scheme   string   `json:"scheme,omitempty" maxLength:"200" doc:"whose number it is; needed where two are meant"`
		Ref      string   `json:"ref,omitempty" maxLength:"100" doc:"of the case in other systems; both councils log it"`
		Notice   string   `json:"notice,omitempty" maxLength:"10" doc:"of an offer: the day that the time is counted from; absent: today"`
		Due      string   `json:"due,omitempty" maxLength:"10" doc:"of an offer: the last day, where the agreements say none"`
		Because  string   `json:"because" minLength:"1" maxLength:"1000" doc:"why; both councils log it, so that it must name nobody"`
		By       string   `json:"by,omitempty" maxLength:"200" doc:"the person for whom the system says it: a name or a pseudonym"`
	}
}

func (c chosenCall) request(by string) node.CaseRequest {
	b := c.Body
	return node.CaseRequest{
		Partner: name.Council(b.Partner), Records: b.Records, Standard: b.Standard, Person: b.Person, Scheme: b.Scheme,
		Ref: b.Ref, Notice: b.Notice, Due: b.Due, Because: b.Because, By: by,
	}
}

// An askedCall asks a partner for an urgent disclosure.
type askedCall struct {
	Body struct {
		Partner string `json:"partner" minLength:"1" maxLength:"255" doc:"the other council"`
		Ref     string `json:"ref,omitempty" maxLength:"100" doc:"of the case, by which the partner finds its records"`
		Because string `json:"because" minLength:"1" maxLength:"1000" doc:"why; both councils log it, so that it must name nobody"`
		By      string `json:"by,omitempty" maxLength:"200" doc:"the person for whom the system says it: a name or a pseudonym"`
	}
}

// A givenCall answers a partner that asked.
type givenCall struct {
	CaseID
	Body struct {
		Records  []string `json:"records,omitempty" maxItems:"1000" doc:"ids, or references within standard"`
		Standard string   `json:"standard,omitempty" maxLength:"300"`
		Person   string   `json:"person,omitempty" maxLength:"200" doc:"instead of records: all of ours that name this person"`
		Scheme   string   `json:"scheme,omitempty" maxLength:"200"`
		Because  string   `json:"because" minLength:"1" maxLength:"1000" doc:"why; both councils log it, so that it must name nobody"`
		By       string   `json:"by,omitempty" maxLength:"200" doc:"the person for whom the system says it: a name or a pseudonym"`
	}
}

// speaker is who says something of a case: the person whom a system names, and its key.
func (a *API) speaker(ctx context.Context, person string) string {
	key := a.by(ctx)
	if person == "" {
		return key
	}
	return person + " (key " + access.From(ctx).ID + ")"
}

// cases declares handovers and urgent disclosures. Who approves an urgent disclosure, ends
// it and reviews it is a second person, who signs in: a system that could say for two
// people would make one of the two.
func (a *API) cases() {
	h, u := a.n.Handovers(), a.n.Urgent()
	type verb = func(context.Context, node.CaseRequest) (node.CaseReply, error)
	for _, k := range []struct {
		path, what string
		list       func(context.Context) ([]node.CaseReply, error)
		show       verb
	}{
		{"handovers", "handovers, with the days that are left of each", h.List, h.Show},
		{"urgent", "urgent disclosures, and questions for one", u.List, u.Show},
	} {
		get(a, "cases", "list-"+k.path, "/v1/"+k.path, "List the "+k.what+", by when they began", func(ctx context.Context, _ *empty) (page[node.CaseReply], error) {
			out, err := k.list(ctx)
			return pageOf(out, ""), err
		})
		get(a, "cases", "show-"+k.path, "/v1/"+k.path+"/{case}", "Show one of the "+k.what, func(ctx context.Context, in *CaseID) (node.CaseReply, error) {
			return k.show(ctx, node.CaseRequest{Case: in.Case})
		})
	}
	post(a, "cases", "offer-handover", "/v1/handovers", "Offer records to a partner, to be taken over", func(ctx context.Context, in *chosenCall) (node.CaseReply, error) {
		return h.Offer(ctx, in.request(a.speaker(ctx, in.Body.By)))
	})
	for _, k := range []struct {
		id, path, summary string
		do                verb
	}{
		{"accept-handover", "/v1/handovers/{case}/accept", "Take over what a partner offered: from then on we are responsible for it", h.Accept},
		{"decline-handover", "/v1/handovers/{case}/decline", "Say no to what a partner offered", h.Decline},
		{"withdraw-handover", "/v1/handovers/{case}/withdraw", "Take back an offer of ours that was not answered", h.Withdraw},
	} {
		post(a, "cases", k.id, k.path, k.summary, func(ctx context.Context, in *saidCall) (node.CaseReply, error) {
			return k.do(ctx, node.CaseRequest{Case: in.Case, Because: in.Body.Because, By: a.speaker(ctx, in.Body.By), Only: in.Body.Only})
		})
	}
	post(a, "cases", "ask-urgent", "/v1/urgent/questions", "Ask a partner for an urgent disclosure", func(ctx context.Context, in *askedCall) (node.CaseReply, error) {
		b := in.Body
		return u.Ask(ctx, node.CaseRequest{Partner: name.Council(b.Partner), Ref: b.Ref, Because: b.Because, By: a.speaker(ctx, b.By)})
	})
	post(a, "cases", "give-urgent", "/v1/urgent", "Say for one person that records are to be disclosed urgently; nothing travels before another person, who signs in, approves", func(ctx context.Context, in *chosenCall) (node.CaseReply, error) {
		return u.Give(ctx, in.request(a.speaker(ctx, in.Body.By)))
	})
	post(a, "cases", "answer-urgent", "/v1/urgent/{case}/give", "Give, for one person, what a partner asked for; nothing travels before another person approves", func(ctx context.Context, in *givenCall) (node.CaseReply, error) {
		b := in.Body
		return u.Give(ctx, node.CaseRequest{Case: in.Case, Records: b.Records, Standard: b.Standard, Person: b.Person, Scheme: b.Scheme, Because: b.Because, By: a.speaker(ctx, b.By)})
	})
}
