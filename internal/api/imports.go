package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const (
	importRows   = 1000
	importBytes  = 4 << 20
	importAhead  = 3
	maxMapping   = 1 << 20
	maxWorkbook  = 64 << 20 // of an XLSX or ODS file, which has to be on disk whole
	importStalls = time.Minute
)

// An importLine is what became of one row, and the last line of the reply, which has a
// summary and says that the import came to its end.
type importLine struct {
	Row       int             `json:"row,omitempty"`
	Reference string          `json:"reference,omitempty"`
	Outcome   node.Outcome    `json:"outcome,omitempty" doc:"created, changed, unchanged or valid; absent of a row that was refused"`
	Record    name.Record     `json:"record,omitempty"`
	Version   uint64          `json:"version,omitempty"`
	Entry     uint64          `json:"entry,omitempty"`
	Errors    []ProblemDetail `json:"errors,omitempty"`
	Summary   *importSummary  `json:"summary,omitempty"`
	Problem   *Problem        `json:"problem,omitempty" doc:"why the import broke off; rows after the last line may have been taken"`
}

// An importSummary counts rows.
type importSummary struct {
	Rows     int                  `json:"rows"`
	Passed   int                  `json:"passed_over,omitempty" doc:"rows up to ?after"`
	Outcomes map[node.Outcome]int `json:"outcomes"`
	Refused  int                  `json:"refused"`
	Position uint64               `json:"position" doc:"entries of the log with all that was taken"`
	Notes    []string             `json:"notes,omitempty"`
}

func (a *API) imports() {
	responses := map[string]*huma.Response{"200": {Description: "a line of JSON for each row, in their order, as it is taken; the last has a summary or a problem",
		Content: map[string]*huma.MediaType{"application/x-ndjson": a.ndjson(importLine{})}}}
	a.raw(huma.Operation{
		Method: http.MethodPost, Path: "/v1/imports", OperationID: "import-records", Tags: []string{"records"},
		Summary: "Import records from NDJSON, JSON, CSV, XLSX or ODS, row by row",
		Parameters: []*huma.Param{
			query("standard", "publisher/name@major; with a mapping it may be left out"), query("dry_run", "true: check everything and keep nothing"),
			query("after", "the last row that an import which broke off has told of: those up to it are passed over"), query("sheet", "of a workbook"),
			query("source", "name of the register that this is a run of"), query("format", "csv, xlsx, ods, json or ndjson; absent: by the type of the body"),
		},
		RequestBody: &huma.RequestBody{Required: true, Description: "the file; CSV, XLSX and ODS as a form with a part mapping, then a part file", Content: map[string]*huma.MediaType{
			"application/x-ndjson": a.ndjson(map[string]any{}), "application/json": {Schema: &huma.Schema{Description: "an array of records, or one record"}},
			"multipart/form-data": {Schema: &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{"mapping": {Type: "string"}, "file": {Type: "string", Format: "binary"}}}},
		}},
		Responses: responses,
	}, a.importRecords)
}

// An importing is one import.
type importing struct {
	a       *API
	ctx     context.Context
	w       http.ResponseWriter
	rc      *http.ResponseController
	out     *json.Encoder
	request node.ImportRequest
	after   int
	begun   bool
	sum     importSummary
}

func (a *API) importRecords(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	im := &importing{a: a, ctx: r.Context(), w: w, rc: http.NewResponseController(w), sum: importSummary{Outcomes: map[node.Outcome]int{}}}
	var err error
	if s := q.Get("after"); s != "" {
		if im.after, err = strconv.Atoi(s); err != nil || im.after < 0 {
			return misused("after is no number of a row")
		}
	}
	if s := q.Get("dry_run"); s != "" {
		if im.request.DryRun, err = strconv.ParseBool(s); err != nil {
			return misused("dry_run is true or false")
		}
	}
	if r.Header.Get("Content-Encoding") != "" {
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "send the file as it is, without Content-Encoding"}
	}
	o := intake.Options{Sheet: q.Get("sheet"), Limits: strictjson.DefaultLimits()}
	o.Limits.Bytes = a.n.Config().Limits.RecordBytes
	var file io.Reader = r.Body
	typ, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	standard := q.Get("standard")
	switch typ {
	case "application/x-ndjson", "application/ndjson":
		o.Format = intake.NDJSON
	case "application/json":
		o.Format = intake.JSON
	case "multipart/form-data":
		form, err := r.MultipartReader()
		if err != nil {
			return misused("the form cannot be read")
		}
		part, err := form.NextPart()
		if err == nil && part.FormName() == "mapping" {
			b, err := io.ReadAll(io.LimitReader(part, maxMapping+1))
			if err != nil || len(b) > maxMapping {
				return misused("the mapping is longer than %d bytes, or broke off", maxMapping)
			}
			if o.Mapping, err = intake.ParseMapping(b); err != nil {
				return &Problem{Status: http.StatusUnprocessableEntity, Kind: string(node.Invalid), Detail: "mapping: " + err.Error(), Try: "docs/mapping.md says what each setting wants"}
			}
			if standard == "" {
				standard = o.Mapping.Standard.String()
			}
			part, err = form.NextPart()
			if err != nil {
				return misused("the form has no part named file after its mapping")
			}
		} else if err != nil {
			return misused("the form is empty")
		}
		if part.FormName() != "file" {
			return misused("the form has a part that is neither mapping nor file")
		}
		o.Format, _ = intake.FormatOf(part.FileName())
		file = part
	default:
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "want application/x-ndjson, application/json or multipart/form-data"}
	}
	if f := q.Get("format"); f != "" {
		if o.Format, err = intake.ParseFormat(f); err != nil {
			return misused("format is csv, xlsx, ods, json or ndjson")
		}
	}
	if o.Format == "" {
		return misused("say with format what the file is, or send it under a name that says so")
	}
	if o.Format.Tabular() && o.Mapping == nil {
		return misused("a mapping must say what the columns mean: send it as the part before the file")
	}
	std, err := a.n.Standards().Show(access.With(r.Context(), nil), node.StandardRequest{Name: standard})
	if err != nil {
		return err
	}
	if o.Mapping != nil && o.Mapping.Standard != std.Name.Line() {
		return misused("the mapping is for another standard")
	}
	if err := may(r.Context(), "records/import", access.On{Standard: std.Name.String()}); err != nil {
		return err
	}
	for _, k := range std.Key {
		o.Reference = append(o.Reference, name.Field(k))
	}
	im.request.Standard, im.request.Hold, im.request.Each = std.Name.String(), !im.request.DryRun, true
	if src := q.Get("source"); src != "" && !im.request.DryRun {
		if len(src) > 64 {
			return misused("the name of a source has at most 64 bytes")
		}
		run, err := a.n.Records().Begin(r.Context(), node.SourceRequest{Source: src, Standard: std.Name.String()})
		if err != nil {
			return err
		}
		im.request.Run = &run
	}
	if o.Format == intake.XLSX || o.Format == intake.ODS {
		spooled, err := a.spool(file)
		if err != nil {
			return err
		}
		defer spooled.Close()
		file = spooled
	}
	return im.run(file, o)
}

// A spooled file is on disk, without a name, until it is closed.
type spooled struct {
	*os.File
	size int64
}

// Size implements intake.Source.
func (s spooled) Size() int64 { return s.size }

// spool puts a workbook on disk: it is read from its end.
func (a *API) spool(r io.Reader) (spooled, error) {
	f, err := os.CreateTemp(a.n.Config().Data, ".import")
	if err != nil {
		return spooled{}, fmt.Errorf("keep the workbook: %w", err)
	}
	os.Remove(f.Name())
	n, err := io.Copy(f, io.LimitReader(r, maxWorkbook+1))
	if err == nil && n > maxWorkbook {
		err = &Problem{Status: http.StatusRequestEntityTooLarge, Kind: string(node.Invalid), Detail: fmt.Sprintf("the workbook is larger than %d MiB", maxWorkbook>>20), Try: "save the sheet as CSV, which is read as it comes"}
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return spooled{}, err
	}
	return spooled{f, n}, nil
}

// begin sends the head of the reply: from here on failures are lines.
func (im *importing) begin() {
	if im.begun {
		return
	}
	im.begun = true
	im.rc.EnableFullDuplex() // lines go out while the file comes in
	im.w.Header().Set("Content-Type", "application/x-ndjson")
	im.w.WriteHeader(http.StatusOK)
	im.out = json.NewEncoder(im.w)
	im.out.SetEscapeHTML(false)
}

func (im *importing) run(file io.Reader, o intake.Options) error {
	r, err := intake.Open(file, o)
	if err != nil {
		return im.fileProblem(err)
	}
	ctx, cancel := context.WithCancel(im.ctx)
	defer cancel()
	i, err := im.a.n.Import(ctx, im.request)
	if err != nil {
		return err
	}
	defer i.Close()
	im.begin()
	// One goroutine reads and sends, this one receives and answers.
	sent := make(chan int, importAhead)
	ended := make(chan error, 1)
	go func() {
		defer close(sent)
		ended <- func() error {
			for {
				rows, err := im.fill(r)
				if len(rows) > 0 {
					select {
					case sent <- len(rows):
					case <-ctx.Done():
						return ctx.Err()
					}
					if err := i.Send(rows); err != nil {
						return err
					}
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		}()
	}()
	for range sent {
		b, err := i.Receive()
		if err == nil {
			err = im.tell(b)
		}
		if err != nil {
			cancel()
			for range sent {
			}
			<-ended
			return im.broke(err)
		}
	}
	if err := <-ended; err != nil {
		return im.broke(err)
	}
	im.sum.Notes = r.Notes()
	return im.line(importLine{Summary: &im.sum})
}

// broke says as the last line why an import does not go on.
func (im *importing) broke(err error) error {
	p, ok := im.fileProblem(err).(*Problem)
	if !ok {
		p = im.a.problem(im.ctx, err)
	}
	p.title()
	return im.line(importLine{Summary: &im.sum, Problem: p})
}

// fileProblem is err, but that what is wrong with the file as a whole is a problem.
func (im *importing) fileProblem(err error) error {
	fe, ok := errors.AsType[*intake.FileError](err)
	if !ok {
		if _, known := errors.AsType[*node.Error](err); known || im.ctx.Err() != nil {
			return err
		}
		if _, too := errors.AsType[*http.MaxBytesError](err); too || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			return &Problem{Status: http.StatusBadRequest, Kind: string(node.Usage), Detail: "the file broke off", Try: "send it again, with after= the last row that was told of"}
		}
		return err
	}
	return &Problem{Status: http.StatusUnprocessableEntity, Kind: string(node.Invalid), Detail: "the file cannot be read on: " + fe.Detail, Try: fe.Fix}
}

func (im *importing) line(l importLine) error {
	im.rc.SetWriteDeadline(time.Now().Add(importStalls))
	if err := im.out.Encode(l); err != nil {
		return nil // nobody is there to be told
	}
	im.rc.Flush()
	return nil
}

// tell writes what became of a batch.
func (im *importing) tell(b *node.ImportReply) error {
	im.rc.SetWriteDeadline(time.Now().Add(importStalls))
	for _, x := range b.Results {
		im.sum.Rows++
		l := importLine{Row: x.Row, Reference: x.Reference, Outcome: x.Outcome, Record: x.Record, Version: x.Version, Entry: x.Index}
		if len(x.Problems) > 0 {
			im.sum.Refused++
			for _, y := range x.Problems {
				l.Errors = append(l.Errors, ProblemDetail{y.Pointer, y.Rule, y.Detail, y.Fix})
			}
		} else {
			im.sum.Outcomes[x.Outcome]++
			if !im.request.DryRun {
				im.sum.Position = max(im.sum.Position, x.Index+1)
			}
		}
		if err := im.out.Encode(l); err != nil {
			return err
		}
	}
	return im.rc.Flush()
}

// fill reads the next batch. The error is the end of the file; there may be rows even so.
func (im *importing) fill(r *intake.Reader) (rows []node.ImportRow, err error) {
	for size := 0; len(rows) < importRows && size < importBytes; {
		raw, err := r.Scan()
		if err != nil {
			return rows, err
		}
		if raw.Number <= im.after {
			im.sum.Passed++
			continue
		}
		size += raw.Size()
		if text := raw.Text(); text != nil {
			rows = append(rows, node.ImportRow{Row: raw.Number, Record: bytes.Clone(text)})
			continue
		}
		rows = append(rows, rowOf(r.Read(raw)))
	}
	return rows, nil
}

// rowOf makes of a row what the node takes, with what is wrong with one that no record
// could be made of.
func rowOf(row intake.Row) node.ImportRow {
	s := node.ImportRow{Row: row.Number, Reference: row.Reference, Record: row.Text}
	if len(row.Problems) == 0 {
		if s.Record == nil {
			s.Record = strictjson.Canonical(row.Record)
		}
		return s
	}
	for _, p := range row.Problems {
		s.Problems = append(s.Problems, node.Problem{Pointer: p.Pointer, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix})
	}
	s.Record = json.RawMessage("null")
	switch {
	case row.Partial != nil:
		s.Record = strictjson.Canonical(row.Partial)
	case row.Reference == "":
		all := append([]byte(strings.Join(row.Cells, "\x00")), row.Text...)
		s.Record = fmt.Appendf(nil, "%q", fmt.Sprintf("sha256-%x", sha256.Sum256(all)))
	}
	return s
}
