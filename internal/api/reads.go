package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// jsonResponse describes a reply of a type in a call that is declared by hand.
func (a *API) jsonResponse(description string, v any) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
		"application/json": {Schema: huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, reflect.TypeOf(v))},
	}}
}

// A StdCall names a standard.
type StdCall struct {
	Publisher string `path:"publisher" maxLength:"255"`
	Name      string `path:"name" maxLength:"255" doc:"with @1 or @1.2.0 or without"`
}

func (c StdCall) typed() node.StandardRequest {
	return node.StandardRequest{Name: typedName(c.Publisher, c.Name)}
}

// A councilCall names a council.
type councilCall struct {
	Council string `path:"council" maxLength:"255" doc:"its domain"`
}

// A disclosuresCall picks disclosures.
type disclosuresCall struct {
	Record    string    `query:"record" maxLength:"26" doc:"the record's id"`
	To        string    `query:"to" maxLength:"255" doc:"the council that was let have it"`
	Agreement string    `query:"agreement" maxLength:"300"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
	Cursor    string    `query:"cursor" maxLength:"200"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// A subjectCall asks for a report about a person. It is a POST so that the number stands
// in no log of addresses.
type subjectCall struct {
	Body struct {
		Person string `json:"person" maxLength:"200" minLength:"1" doc:"a number that names the person, as the records have it"`
		Scheme string `json:"scheme,omitempty" maxLength:"200" doc:"whose number it is; needed where two are meant"`
	}
}

// A whyCall asks why a partner has or lacks a record.
type whyCall struct {
	Partner string `query:"partner" required:"true" maxLength:"255"`
	Record  string `query:"record" required:"true" maxLength:"26" doc:"the record's id"`
	Held    bool   `query:"held" doc:"of a record that the partner sent: why it is held here"`
}

// A whoami says who calls.
type whoami struct {
	Kind      access.Kind    `json:"kind" enum:"system,person,receiver,local"`
	ID        string         `json:"id"`
	Title     string         `json:"title"`
	Allow     []string       `json:"allow,omitempty"`
	Roles     []access.Role  `json:"roles,omitempty"`
	Council   name.Council   `json:"council,omitempty"`
	Agreement name.Agreement `json:"agreement,omitempty"`
	Until     time.Time      `json:"until,omitzero"`
}

// An adoptionCall asks how a standard is adopted.
type adoptionCall struct {
	StdCall
	At time.Time `query:"at" doc:"the day, to its end; absent: today"`
}

// An entryCall names an entry of the log.
type entryCall struct {
	Entry uint64 `path:"entry" maximum:"9007199254740991"`
}

func (a *API) reads() {
	get(a, "node", "status", "/v1/status", "How the node stands", func(ctx context.Context, _ *empty) (node.StatusReply, error) { return a.n.Status(ctx) })
	get(a, "node", "whoami", "/v1/whoami", "Who the caller is, and what the key is for", func(ctx context.Context, _ *empty) (whoami, error) {
		p := access.From(ctx)
		w := whoami{Kind: p.Kind, ID: p.ID, Title: p.Title, Roles: p.Roles, Council: p.Council, Agreement: p.Agreement, Until: p.Until}
		for _, s := range p.Scopes {
			w.Allow = append(w.Allow, s.String())
		}
		return w, nil
	})
	get(a, "node", "list-standards", "/v1/standards", "List the standards that this node has adopted", func(ctx context.Context, _ *empty) (page[node.StandardReply], error) {
		out, err := a.n.Standards().List(ctx)
		return pageOf(out, ""), err
	})
	get(a, "node", "show-standard", "/v1/standards/{publisher}/{name}", "Show an adopted standard", func(ctx context.Context, in *StdCall) (node.StandardReply, error) {
		return a.n.Standards().Show(ctx, in.typed())
	})
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/standards/{publisher}/{name}/archive", OperationID: "standard-archive", Tags: []string{"node"},
		Summary: "Download a standard as its publisher made it", Parameters: []*huma.Param{inPath("publisher", ""), inPath("name", "")},
		Responses: map[string]*huma.Response{"200": {Description: "a zip or tar.gz", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}},
	}, func(w http.ResponseWriter, r *http.Request) error {
		out, err := a.n.Standards().Archive(r.Context(), node.StandardRequest{Name: typedName(r.PathValue("publisher"), r.PathValue("name"))})
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="standard"`)
		_, err = w.Write(out.Archive)
		return err
	})
	get(a, "node", "standard-adoption", "/v1/standards/{publisher}/{name}/adoption", "What councils state about a standard of this publisher", func(ctx context.Context, in *adoptionCall) (node.Adoption, error) {
		return a.n.Standards().Adoption(ctx, node.AdoptionRequest{Standard: in.typed().Name, At: in.At})
	})
	get(a, "node", "list-councils", "/v1/councils", "List the members of the directory", func(ctx context.Context, _ *empty) (page[node.MemberReply], error) {
		out, err := a.n.Councils().List(ctx)
		return pageOf(out, ""), err
	})
	get(a, "node", "show-council", "/v1/councils/{council}", "Show a member of the directory", func(ctx context.Context, in *councilCall) (node.MemberReply, error) {
		return a.n.Councils().Show(ctx, node.MemberNameRequest{Council: in.Council})
	})
	get(a, "node", "show-log", "/v1/log", "The newest checkpoint of our log", func(ctx context.Context, _ *empty) (node.CheckpointReply, error) { return a.n.Log().Show(ctx) })
	get(a, "node", "prove-entry", "/v1/log/entries/{entry}/proof", "Prove that an entry stands in our log", func(ctx context.Context, in *entryCall) (node.EntryProofReply, error) {
		return a.n.Log().Prove(ctx, node.EntryRequest{Entry: in.Entry})
	})
	get(a, "disclosures", "list-disclosures", "/v1/disclosures", "List what was let out, the oldest first", func(ctx context.Context, in *disclosuresCall) (page[node.Disclosure], error) {
		r, err := a.n.Disclosures().List(ctx, node.DisclosureRequest{
			Record: in.Record, To: name.Council(in.To), Agreement: name.Agreement(in.Agreement), Since: in.Since, Until: in.Until, Cursor: node.Cursor(in.Cursor), Limit: in.Limit,
		})
		return pageOf(r.Disclosures, r.Cursor), err
	})
	get(a, "disclosures", "why", "/v1/why", "Why a partner has or lacks a record, rule by rule", func(ctx context.Context, in *whyCall) (node.WhyReply, error) {
		return a.n.Why(ctx, node.WhyRequest{From: in.Held, Partner: in.Partner, Record: in.Record})
	})
	post(a, "disclosures", "subject-report", "/v1/subject-reports", "Everything that is held about one person, where it came from, and who was let have it", func(ctx context.Context, in *subjectCall) (node.SubjectReply, error) {
		return a.n.Disclosures().Subject(ctx, node.SubjectRequest{Person: in.Body.Person, Scheme: in.Body.Scheme})
	})
}
