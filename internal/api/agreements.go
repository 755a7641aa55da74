package api

import (
	"context"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// An AgreementCall names an agreement.
type AgreementCall struct {
	Council string `path:"council" maxLength:"255" doc:"the council that it is named after"`
	Name    string `path:"name" maxLength:"255"`
	Version int    `query:"version" minimum:"0" doc:"0 or absent: the newest"`
	Counter string `query:"counter" maxLength:"255" doc:"to sign: in the place of a version, what this council proposed instead"`
}

func (c AgreementCall) request() node.AgreementRequest {
	return node.AgreementRequest{Name: c.Council + "/" + c.Name, Version: c.Version, Counter: c.Counter}
}

// A counterCall names an agreement and carries another text of it.
type counterCall struct {
	Council string `path:"council" maxLength:"255" doc:"the council that it is named after"`
	Name    string `path:"name" maxLength:"255"`
	Body    struct {
		Document string `json:"document" maxLength:"1048576" minLength:"1" doc:"the text, as YAML"`
	}
}

// A documentCall carries a document.
type documentCall struct {
	Body struct {
		Document string `json:"document" maxLength:"1048576" minLength:"1" doc:"the agreement, as YAML"`
		Samples  int    `json:"samples,omitempty" minimum:"0" maximum:"20" doc:"of a preview: rows as the partner would see them"`
	}
}

// A draftCall asks for a document to fill in.
type draftCall struct {
	Body struct {
		Name     string   `json:"name" maxLength:"300" doc:"council/name"`
		To       []string `json:"to" minItems:"1" maxItems:"100" doc:"who receives"`
		Standard string   `json:"standard" maxLength:"300"`
	}
}

// A draftReply is a document to fill in.
type draftReply struct {
	Document string `json:"document"`
}

// A reasonCall is about an agreement, and says why.
type reasonCall struct {
	AgreementCall
	Body struct {
		Reason string `json:"reason" maxLength:"1000" minLength:"1" doc:"which the partner will read; it must name nobody"`
	}
}

// A renewCall renews an agreement.
type renewCall struct {
	AgreementCall
	Body struct {
		Review string `json:"review" maxLength:"10" doc:"the new date of review, such as 2028-12-01"`
	}
}

// by names, in what is logged of an agreement, the key that had the council say it: its id
// and, where people are not to be logged by their names, nothing else, since a title may
// hold one.
func (a *API) by(ctx context.Context) string {
	p := access.From(ctx)
	by := "key " + p.ID
	if !a.n.Config().Web.Pseudonyms && len(by)+2+len(p.Title) <= agreement.MaxBy {
		by += ", " + p.Title
	}
	return by
}

func (a *API) agreements() {
	get(a, "agreements", "list-agreements", "/v1/agreements", "List the newest version of every agreement", func(ctx context.Context, _ *empty) (page[node.AgreementReply], error) {
		out, err := a.n.Agreements().List(ctx)
		return pageOf(out, ""), err
	})
	get(a, "agreements", "show-agreement", "/v1/agreements/{council}/{name}", "Show an agreement, with its text and how the exchange under it stands", func(ctx context.Context, in *AgreementCall) (node.AgreementReply, error) {
		return a.n.Agreements().Show(ctx, in.request())
	})
	post(a, "agreements", "draft-agreement", "/v1/agreements/draft", "Draft an agreement, to be filled in", a.draft)
	post(a, "agreements", "preview-agreement", "/v1/agreements/preview", "What an agreement would let out of the records there are", func(ctx context.Context, in *documentCall) (node.PreviewReply, error) {
		req := node.AgreementRequest{Document: []byte(in.Body.Document), Samples: in.Body.Samples}
		if in.Body.Samples > 0 {
			// Samples are what records say, so that the key must be for those, too.
			doc, err := agreement.Parse(req.Document)
			if err == nil {
				err = may(ctx, "records/list", access.On{Standard: doc.Standard.String()})
			}
			if err != nil {
				return node.PreviewReply{}, err
			}
		}
		return a.n.Agreements().Preview(ctx, req)
	})
	post(a, "agreements", "propose-agreement", "/v1/agreements", "Propose an agreement: sign its text as the first", func(ctx context.Context, in *documentCall) (node.AgreementReply, error) {
		return a.n.Agreements().Sign(ctx, node.AgreementRequest{Document: []byte(in.Body.Document), By: a.by(ctx)})
	})
	post(a, "agreements", "sign-agreement", "/v1/agreements/{council}/{name}/sign", "Sign an agreement that was proposed", func(ctx context.Context, in *AgreementCall) (node.AgreementReply, error) {
		req := in.request()
		req.By = a.by(ctx)
		return a.n.Agreements().Sign(ctx, req)
	})
	post(a, "agreements", "counter-agreement", "/v1/agreements/{council}/{name}/counter", "Answer the newest text of an agreement with another, of a higher version", func(ctx context.Context, in *counterCall) (node.AgreementReply, error) {
		return a.n.Agreements().Counter(ctx, node.AgreementRequest{Name: in.Council + "/" + in.Name, Document: []byte(in.Body.Document), By: a.by(ctx)})
	})
	post(a, "agreements", "renew-agreement", "/v1/agreements/{council}/{name}/renew", "Say that an agreement was reviewed, and goes on in the same words until a later date of review", func(ctx context.Context, in *renewCall) (node.AgreementReply, error) {
		req := in.request()
		req.Review, req.By = in.Body.Review, a.by(ctx)
		return a.n.Agreements().Renew(ctx, req)
	})
	for _, x := range []struct {
		verb, summary string
		do            func(context.Context, node.AgreementRequest) (node.AgreementReply, error)
	}{
		{"suspend", "Stop what travels under an agreement until it is resumed", a.n.Agreements().Suspend},
		{"resume", "Take our suspension of an agreement back", a.n.Agreements().Resume},
		{"end", "End an agreement; the receiver deletes what it holds under it", a.n.Agreements().End},
	} {
		post(a, "agreements", x.verb+"-agreement", "/v1/agreements/{council}/{name}/"+x.verb, x.summary, func(ctx context.Context, in *reasonCall) (node.AgreementReply, error) {
			req := in.request()
			req.Reason, req.By = in.Body.Reason, a.by(ctx)
			return x.do(ctx, req)
		})
	}
}

func (a *API) draft(ctx context.Context, in *draftCall) (draftReply, error) {
	if err := may(ctx, "agreements/draft", access.On{}); err != nil {
		return draftReply{}, err
	}
	n, err := name.ParseAgreement(in.Body.Name)
	if err != nil {
		return draftReply{}, misused("the agreement's name is none: want council/name")
	}
	var to []name.Council
	for _, t := range in.Body.To {
		c, err := name.ParseCouncil(t)
		if err != nil {
			return draftReply{}, misused("a receiver's name is none: want its domain")
		}
		to = append(to, c)
	}
	archive, err := a.n.Standards().Archive(access.With(ctx, nil), node.StandardRequest{Name: in.Body.Standard})
	if err != nil {
		return draftReply{}, err
	}
	std, err := standard.LoadArchive(archive.Archive)
	if err != nil {
		return draftReply{}, err
	}
	return draftReply{Document: string(agreement.Draft(n, to, std))}, nil
}
