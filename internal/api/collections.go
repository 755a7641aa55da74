package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/export"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
)

// A receiptCall says what a receiver has.
type receiptCall struct {
	Body struct {
		Cursor  string `json:"cursor,omitempty" maxLength:"200" doc:"of what was collected last"`
		Held    int    `json:"held" minimum:"0" doc:"records that the receiver holds now"`
		Deleted bool   `json:"deleted,omitempty" doc:"the agreement is over, and everything was deleted"`
	}
}

// An accepted reply says that something was taken in.
type accepted struct {
	Accepted bool `json:"accepted"`
}

func (a *API) collections() {
	r := a.jsonResponse("a page: what is let out, and what is taken back and must be deleted", node.CollectReply{})
	r.Content["application/x-ndjson"] = a.ndjson(node.Collected{})
	r.Content["text/csv"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	r.Headers = map[string]*huma.Param{"Stile-Cursor": {Description: "a trailer of NDJSON and CSV, where all of it came: for the receipt", Schema: &huma.Schema{Type: "string"}}}
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/collection", OperationID: "collect", Tags: []string{"collections"},
		Summary:    "Collect what goes to a receiver without a node: a page from where the last receipt is, all of that as NDJSON, or as CSV everything as it stands now",
		Parameters: []*huma.Param{query("cursor", "of the page before; absent: after the last receipt"), query("whole", "true: from the beginning")},
		Responses:  map[string]*huma.Response{"200": r},
	}, a.collect)
	post(a, "collections", "receipt", "/v1/collection/receipt", "Say what the receiver has, and that it has deleted what was taken back", func(ctx context.Context, in *receiptCall) (accepted, error) {
		p := access.From(ctx)
		err := a.n.Collections().Receipt(ctx, node.CollectReceipt{Agreement: string(p.Agreement), Receiver: p.Council, Cursor: node.Cursor(in.Body.Cursor), Held: in.Body.Held, Deleted: in.Body.Deleted})
		return accepted{err == nil}, err
	})
}

func (a *API) collect(w http.ResponseWriter, r *http.Request) error {
	p := access.From(r.Context())
	if err := may(r.Context(), "collections/read", access.On{Agreement: p.Agreement}); err != nil {
		return err
	}
	q := r.URL.Query()
	in := node.CollectRequest{Agreement: string(p.Agreement), Receiver: p.Council, Cursor: node.Cursor(q.Get("cursor"))}
	if s := q.Get("whole"); s != "" {
		var err error
		if in.Whole, err = strconv.ParseBool(s); err != nil {
			return misused("whole is true or false")
		}
	}
	accept := r.Header.Get("Accept")
	csv, lines := strings.Contains(accept, "text/csv"), strings.Contains(accept, "application/x-ndjson")
	if csv {
		// A table has no row for what is taken back: the file takes the place of the one before.
		in.Cursor, in.Whole = "", true
	}
	page, err := a.n.Collections().Read(r.Context(), in)
	if err != nil {
		return err
	}
	if !csv && !lines {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(page)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	write := func(x node.Collected) error {
		b, err := json.Marshal(x)
		if err == nil {
			_, err = out.Write(append(b, '\n'))
		}
		return err
	}
	end := out.Flush
	w.Header().Set("Content-Type", "application/x-ndjson")
	if csv {
		if page.Suspended {
			return &Problem{Status: http.StatusForbidden, Kind: string(node.Refused), Detail: "the agreement is suspended: what is taken back comes as JSON, and nothing else"}
		}
		x, err := a.table(r.Context(), out, page)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="collection.csv"`)
		write = func(c node.Collected) error {
			if c.Withdrawn {
				return nil
			}
			v, err := strictjson.Decode(c.Body, strictjson.Limits{Bytes: len(c.Body)})
			body, ok := v.(map[string]any)
			if err != nil || !ok {
				return err
			}
			return x.Write(export.Record{ID: c.Record, Text: c.Body, Body: body})
		}
		end = func() error {
			if err := x.Close(); err != nil {
				return err
			}
			return out.Flush()
		}
	}
	w.Header().Set("Trailer", "Stile-Cursor")
	rc := http.NewResponseController(w)
	for {
		rc.SetWriteDeadline(time.Now().Add(importStalls))
		for _, x := range page.Items {
			if err := write(x); err != nil {
				panic(http.ErrAbortHandler) // the reply has begun: that it is not whole must be seen
			}
		}
		if page.Live {
			break
		}
		before := page.Cursor
		in.Cursor = page.Cursor
		if page, err = a.n.Collections().Read(r.Context(), in); err != nil || page.Cursor == before && !page.Live {
			panic(http.ErrAbortHandler)
		}
	}
	if end() != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Stile-Cursor", string(page.Cursor))
	return nil
}

// table begins a CSV file with the columns of the standard that a page is of.
func (a *API) table(ctx context.Context, out *bufio.Writer, page node.CollectReply) (*export.Writer, error) {
	archive, err := a.n.Standards().Archive(access.With(ctx, nil), node.StandardRequest{Name: page.Standard.String()})
	if err != nil {
		return nil, err
	}
	std, err := standard.LoadArchive(archive.Archive)
	if err != nil {
		return nil, err
	}
	return export.New(out, export.CSV, std)
}
