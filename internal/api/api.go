// Package api is the node over HTTP for systems: REST below /v1, described by an OpenAPI
// 3.1 document at /openapi.json.
//
// It carries nothing out by itself. A call becomes an operation of package node, in the
// name of whoever showed a key, and the reply is that operation's. What the key is for
// (package access) is asked twice: here with what the call is about, and by the node.
//
// Failures are problems (RFC 9457) that hold no value of a record, nor what the caller
// sent. A list has a cursor, whose form may change. A write says in Stile-Position how far
// the log then was; a read that sends it back waits until the node is as far.
//
// package door stands before it. docs/api.md has a line of curl for every call.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// Options say what the API is of.
type Options struct {
	Node    *node.Node
	Version string // of the program
	Log     *slog.Logger
	Now     func() time.Time
	// Ended is closed when the server ends, so that streams do.
	Ended <-chan struct{}
	// Rate is how many calls a key may make in a second, and ten times as many at once;
	// default 50.
	Rate int
}

// An API answers calls. Make it with New.
type API struct {
	o       Options
	n       *node.Node
	huma    huma.API
	mux     *http.ServeMux
	callers *callers
	repeats *repeats
	handler http.Handler
	spec    []byte
}

// maxJSON is the longest body of a call that is read whole, in bytes.
const maxJSON = 17 << 20

// New returns the API of a node. It answers /v1/ and /openapi.json.
func New(o Options) (*API, error) {
	if o.Rate <= 0 {
		o.Rate = 50
	}
	a := &API{o: o, n: o.Node, mux: http.NewServeMux(), callers: newCallers(o.Rate, o.Now), repeats: newRepeats(o.Now)}
	cfg := huma.DefaultConfig("Stile", "1")
	// Its links to schemas would change every body, and its page loads scripts from elsewhere.
	cfg.CreateHooks, cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = nil, "", "", ""
	cfg.Transformers = []huma.Transformer{quiet}
	cfg.RejectUnknownQueryParameters = true
	// A problem of the call and what is wrong with one field share a name in two packages.
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		if t == reflect.TypeFor[node.Problem]() {
			return "FieldProblem"
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	cfg.Info.Description = "A council's node: records, agreements and what went to whom. See docs/api.md."
	cfg.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	cfg.Servers = []*huma.Server{{URL: "/"}}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "a key made with stile access key add"},
	}
	cfg.Security = []map[string][]string{{"key": {}}}
	for _, t := range tags {
		cfg.Tags = append(cfg.Tags, &huma.Tag{Name: t[0], Description: t[1]})
	}
	a.huma = humago.New(a.mux, cfg)
	a.records()
	a.imports()
	a.exports()
	a.agreements()
	a.reads()
	a.disclosures()
	a.questions()
	a.cases()
	a.changes()
	a.collections()
	a.footprints()
	a.webhooks()
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		write(w, &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "there is no such call", Try: "/openapi.json describes every call"})
	})
	var err error
	if a.spec, err = json.Marshal(a.huma.OpenAPI()); err != nil {
		return nil, err
	}
	a.handler = a.identify(a.repeated(a.positioned(a.mux)))
	return a, nil
}

var tags = [][2]string{
	{"records", "records of this council, and those that others sent"},
	{"agreements", "who may have which rows and fields, and why"},
	{"disclosures", "who was let have what"},
	{"questions", "what partners are asked, where no copy is kept"},
	{"cases", "single records that people hand over, or disclose urgently"},
	{"footprints", "ledgers that are kept with others"},
	{"collections", "what goes to a receiver that has no node"},
	{"changes", "what happened, in order"},
	{"node", "how the node stands, and what it knows of others"},
}

// ServeHTTP answers a call.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/openapi.json" {
		w.Header().Set("Content-Type", "application/openapi+json")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.spec))
		return
	}
	a.handler.ServeHTTP(w, r)
}

// Spec returns the OpenAPI document.
func (a *API) Spec() []byte { return a.spec }

// positionHeader carries how many entries our log had.
const positionHeader = "Stile-Position"

// positionWithin is how long a read waits for the position it wants.
const positionWithin = 10 * time.Second

// positioned has a read wait until the log is as far as the caller has seen.
func (a *API) positioned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get(positionHeader); h != "" {
			want, err := strconv.ParseUint(h, 10, 64)
			if err != nil {
				write(w, &Problem{Status: http.StatusBadRequest, Detail: "Stile-Position is no position that this node gave"})
				return
			}
			if p := a.await(r.Context(), want); p != nil {
				write(w, p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// await returns nil once our log has as many entries.
func (a *API) await(ctx context.Context, want uint64) *Problem {
	ctx, cancel := context.WithTimeout(ctx, positionWithin)
	defer cancel()
	for {
		more := a.n.Changed(ctx)
		c, err := a.n.Log().Show(access.With(ctx, nil))
		if err == nil && c.Size >= want {
			return nil
		}
		select {
		case <-more:
			if ctx.Err() == nil {
				continue
			}
		case <-ctx.Done():
		}
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "this node is not as far as that position yet", Try: "ask again", RetryAfter: 1}
	}
}

// An empty call has no parameters.
type empty struct{}

// A reply has a body, and says how far the log was where something was written.
type reply[T any] struct {
	Position string `header:"Stile-Position" doc:"entries of the log with what was written; send it with a read that is to see it"`
	Body     T
}

// A page is one page of a list.
type page[T any] struct {
	Items  []T    `json:"items"`
	Cursor string `json:"cursor,omitempty" doc:"of the next page; absent on the last"`
}

func pageOf[T any](items []T, cursor node.Cursor) page[T] {
	if items == nil {
		items = []T{}
	}
	return page[T]{Items: items, Cursor: string(cursor)}
}

// get declares a call that reads.
func get[I, O any](a *API, tag, id, path, summary string, h func(context.Context, *I) (O, error)) {
	call(a, huma.Operation{Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}}, func(ctx context.Context, in *I) (*reply[O], error) {
		out, err := h(ctx, in)
		return &reply[O]{Body: out}, err
	})
}

// post declares a call that does something.
func post[I, O any](a *API, tag, id, path, summary string, h func(context.Context, *I) (O, error)) {
	call(a, huma.Operation{Method: http.MethodPost, Path: path, OperationID: id, Summary: summary, Tags: []string{tag}}, func(ctx context.Context, in *I) (*reply[O], error) {
		out, err := h(ctx, in)
		return &reply[O]{Body: out}, err
	})
}

// call declares a call.
func call[I, O any](a *API, op huma.Operation, h func(context.Context, *I) (*O, error)) {
	a.describe(&op)
	op.MaxBodyBytes, op.BodyReadTimeout = maxJSON, -1 // the door bounds how slowly it comes
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// raw declares a call whose body is not JSON, or not one document.
func (a *API) raw(op huma.Operation, h func(http.ResponseWriter, *http.Request) error) {
	a.describe(&op)
	a.huma.OpenAPI().AddOperation(&op)
	a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			write(w, a.problem(r.Context(), err))
		}
	})
}

// ndjson describes lines each of which is one JSON document of a type. OpenAPI 3.1 has no
// word for that, so that it is a string whose contents have a type and a schema, as JSON
// Schema has them: contentSchema is of one line.
func (a *API) ndjson(v any) *huma.MediaType {
	line := huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, reflect.TypeOf(v))
	return &huma.MediaType{Schema: &huma.Schema{
		Type: "string", Description: "lines that end with a line feed; each is one JSON document, of contentSchema",
		Extensions: map[string]any{"contentMediaType": "application/x-ndjson", "contentSchema": line},
	}}
}

// describe adds to an operation what all have.
func (a *API) describe(op *huma.Operation) {
	op.Description = op.Summary
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "a problem (RFC 9457)",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, problemType)}},
	}
}

// may asks whether whoever calls may carry out an operation on something.
func may(ctx context.Context, op string, on access.On) error {
	return access.Allowed(access.From(ctx), op, on)
}

func query(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: "string"}}
}

func inPath(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Description: description, Schema: &huma.Schema{Type: "string"}}
}
