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

// A previewCall names a standard, or brings one.
type previewCall struct {
	Body struct {
		Standard string `json:"standard,omitempty" maxLength:"300" doc:"publisher/name@version, as the directory has it"`
		Archive  []byte `json:"archive,omitempty" doc:"instead: the archive itself, in base64"`
	}
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
	for _, x := range []struct {
		id, path, summary string
		archive           func(context.Context, node.StandardRequest) (node.StandardArchiveReply, error)
	}{
		{"standard-archive", "/v1/standards/{publisher}/{name}/archive", "Download an adopted standard as its publisher made it", a.n.Standards().Archive},
		{"published-archive", "/v1/published/{publisher}/{name}/archive", "Download a standard that the directory has, as its publisher made it", a.n.Published().Archive},
	} {
		a.raw(huma.Operation{
			Method: http.MethodGet, Path: x.path, OperationID: x.id, Tags: []string{"node"},
			Summary: x.summary, Parameters: []*huma.Param{inPath("publisher", "whose standard it is"), inPath("name", "its name, with @1.2.0")},
			Responses: map[string]*huma.Response{"200": {Description: "a zip or tar.gz", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}},
		}, func(w http.ResponseWriter, r *http.Request) error {
			out, err := x.archive(r.Context(), node.StandardRequest{Name: typedName(r.PathValue("publisher"), r.PathValue("name"))})
			if err != nil {
				return err
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Disposition", `attachment; filename="standard"`)
			_, err = w.Write(out.Archive)
			return err
		})
	}
	get(a, "node", "standard-adoption", "/v1/standards/{publisher}/{name}/adoption", "What councils state about a standard of this publisher", func(ctx context.Context, in *adoptionCall) (node.Adoption, error) {
		return a.n.Standards().Adoption(ctx, node.AdoptionRequest{Standard: in.typed().Name, At: in.At})
	})
	post(a, "node", "preview-standard", "/v1/standards/preview", "What it would mean to adopt a version of a standard that the directory has; nothing is changed", func(ctx context.Context, in *previewCall) (node.AdoptPreview, error) {
		return a.n.Standards().Preview(ctx, node.AdoptRequest{Name: in.Body.Standard, Archive: in.Body.Archive})
	})
	get(a, "node", "list-published", "/v1/published", "List the standards that the directory has, adopted here or not", func(ctx context.Context, _ *empty) (page[node.PublishedReply], error) {
		out, err := a.n.Published().List(ctx)
		return pageOf(out, ""), err
	})
	get(a, "node", "show-directory", "/v1/directory", "How the directory of members and standards stands", func(ctx context.Context, _ *empty) (node.DirectoryReply, error) {
		return a.n.Directory().Show(ctx)
	})
	get(a, "node", "list-quarantines", "/v1/quarantines", "List the councils with which all exchange is or was stopped", func(ctx context.Context, _ *empty) (page[node.QuarantineReply], error) {
		out, err := a.n.Councils().Quarantines(ctx)
		return pageOf(out, ""), err
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
}
