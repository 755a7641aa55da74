package api

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/export"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// mediaTypes are by the format of an export.
var mediaTypes = map[export.Format]string{
	export.CSV: "text/csv; charset=utf-8", export.NDJSON: "application/x-ndjson", export.GeoJSON: "application/geo+json",
	export.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", export.Parquet: "application/vnd.apache.parquet",
}

func (a *API) exports() {
	content := map[string]*huma.MediaType{}
	for _, t := range []string{"text/csv", mediaTypes[export.XLSX], mediaTypes[export.Parquet]} {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	}
	content["application/geo+json"] = &huma.MediaType{Schema: &huma.Schema{Type: "object", Description: "a FeatureCollection (RFC 7946)"}}
	content["application/x-ndjson"] = a.ndjson(map[string]any{}) // a record to a line, of the standard's own schema
	format := query("format", "what the file is to be")
	format.Schema.Enum = []any{"csv", "ndjson", "geojson", "xlsx", "parquet"}
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/exports", OperationID: "export-records", Tags: []string{"records"},
		Summary:    "Download the records of a standard as a file, as they stand now",
		Parameters: []*huma.Param{query("standard", "publisher/name@major"), format, query("where", "CEL: only records of which it is true"), query("from", "the council that sent them; absent: our own")},
		Responses:  map[string]*huma.Response{"200": {Description: "the file; the trailer Stile-Complete is true where it is whole", Content: content}},
	}, a.export)
}

func (a *API) export(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	format, err := export.ParseFormat(q.Get("format"))
	if err != nil {
		return misused("format is csv, ndjson, geojson, xlsx or parquet")
	}
	from := name.Council(q.Get("from"))
	if _, err := a.ruled(r.Context(), "records/list", q.Get("standard"), from); err != nil {
		return err
	}
	archive, err := a.n.Standards().Archive(access.With(r.Context(), nil), node.StandardRequest{Name: q.Get("standard")})
	if err != nil {
		return err
	}
	std, err := standard.LoadArchive(archive.Archive)
	if err != nil {
		return err
	}
	list := node.ListRequest{Standard: std.Name().Line().String(), From: from, Where: q.Get("where"), Limit: 1000, Bodies: true, Snapshot: from == ""}
	if err := may(r.Context(), "records/list", access.On{Standard: list.Standard, From: from}); err != nil {
		return err
	}
	first, err := a.n.Records().List(r.Context(), list) // what is wrong with the call is told as a problem
	if err != nil {
		return unfiltered(err, list.Where)
	}
	w.Header().Set("Trailer", "Stile-Complete")
	out := bufio.NewWriterSize(w, 64<<10)
	x, err := export.New(out, format, std)
	if err != nil {
		return misused("%v", err)
	}
	w.Header().Set("Content-Type", mediaTypes[format])
	w.Header().Set("Content-Disposition", `attachment; filename="records.`+string(format)+`"`)
	if err := a.exportAll(r.Context(), http.NewResponseController(w), x, list, first); err == nil {
		if x.Close() == nil && out.Flush() == nil {
			w.Header().Set("Stile-Complete", "true")
			return nil
		}
	} else if r.Context().Err() == nil {
		a.o.Log.Error("an export broke off", "error", err.Error())
	}
	panic(http.ErrAbortHandler) // the reply has begun: that it is not whole must be seen
}

func (a *API) exportAll(ctx context.Context, rc *http.ResponseController, x *export.Writer, list node.ListRequest, p node.ListReply) error {
	for {
		rc.SetWriteDeadline(time.Now().Add(importStalls))
		for _, rec := range p.Records {
			if rec.Op == "delete" || len(rec.Body) == 0 {
				continue
			}
			v, err := strictjson.Decode(rec.Body, strictjson.Limits{Bytes: len(rec.Body)})
			body, ok := v.(map[string]any)
			if err != nil || !ok {
				continue
			}
			if err := x.Write(export.Record{ID: rec.Record, Text: rec.Body, Body: body}); err != nil {
				return err
			}
		}
		if p.Cursor == "" {
			return nil
		}
		list.Cursor = p.Cursor
		var err error
		if p, err = a.n.Records().List(ctx, list); err != nil {
			return err
		}
	}
}
