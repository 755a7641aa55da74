package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

const (
	importRows   = 1000
	importBytes  = 4 << 20
	importAhead  = 3
	maxMapping   = 1 << 20  // of a mapping or a translation
	maxWorkbook  = 64 << 20 // of an XLSX or ODS file, which has to be on disk whole
	importStalls = time.Minute
)

// An importLine is what became of one row, and the last line of the reply, which has a
// summary and says that the import came to its end.
type importLine struct {
	Row       int             `json:"row,omitempty"`
	Reference string          `json:"reference,omitempty" doc:"what the sender calls the row; absent where that may be about a person"`
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
			query("standard", "publisher/name@major; with a mapping or a translation it may be left out"), query("dry_run", "true: check everything and keep nothing"),
			query("translation", "what JSON is in instead of the standard: "+strings.Join(schemas.Translations(), " or ")), query("set", "place=text in each record of which a translated file does not say it, such as /council=E07000998; may be given several times"),
			query("after", "the last row that an import which broke off has told of: those up to it are passed over"), query("sheet", "of a workbook"),
			query("source", "name of the register that this is a run of"), query("format", "csv, xlsx, ods, json or ndjson; absent: by the type of the body"),
		},
		RequestBody: &huma.RequestBody{Required: true, Description: "the file; CSV, XLSX and ODS as a form with a part mapping, then a part file; with a translation of one's own as a form with a part translation, then a part file", Content: map[string]*huma.MediaType{
			"application/x-ndjson": a.ndjson(map[string]any{}), "application/json": {Schema: &huma.Schema{Description: "an array of records, or one record"}},
			"multipart/form-data": {Schema: &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{"mapping": {Type: "string"}, "translation": {Type: "string"}, "file": {Type: "string", Format: "binary"}}}},
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
	named   bool // lines say what the sender calls a row
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
		if err != nil {
			return misused("the form is empty")
		}
		if what := part.FormName(); what == "mapping" || what == "translation" {
			if err := reading(what, part, &o); err != nil {
				return err
			}
			if part, err = form.NextPart(); err != nil {
				return misused("the form has no part named file after its %s", what)
			}
		}
		if part.FormName() != "file" {
			return misused("the form has a part that is neither mapping, translation nor file")
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
	if err := translated(q, &o); err != nil {
		return err
	}
	switch {
	case o.Format.Tabular() && o.Translation != nil:
		return misused("a translation is for JSON and NDJSON")
	case o.Format.Tabular() && o.Mapping == nil:
		return misused("a mapping must say what the columns mean: send it as the part before the file")
	case standard != "":
	case o.Mapping != nil:
		standard = o.Mapping.Standard.String()
	case o.Translation != nil:
		standard = o.Translation.Standard.String()
	}
	std, err := a.n.Standards().Show(access.With(r.Context(), nil), node.StandardRequest{Name: standard})
	if err != nil {
		return err
	}
	if o.Mapping != nil && o.Mapping.Standard != std.Name.Line() {
		return misused("the mapping is for another standard")
	}
	if o.Translation != nil && o.Translation.Standard != std.Name.Line() {
		return misused("the translation is for another standard")
	}
	if err := may(r.Context(), "records/import", access.On{Standard: std.Name.String()}); err != nil {
		return err
	}
	for _, k := range std.Key {
		o.Reference = append(o.Reference, name.Field(k))
	}
	o.Private = privateIn(std)
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

// reading takes the part of a form that says how its file is to be read.
func reading(what string, part io.Reader, o *intake.Options) error {
	b, err := io.ReadAll(io.LimitReader(part, maxMapping+1))
	if err != nil || len(b) > maxMapping {
		return misused("the %s is longer than %d bytes, or broke off", what, maxMapping)
	}
	try := "docs/mapping.md says what each setting wants"
	if what == "mapping" {
		o.Mapping, err = intake.ParseMapping(b)
	} else {
		o.Translation, err = translation.Parse(b)
		try = "docs/translations.md says how one is written"
	}
	if err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Kind: string(node.Invalid), Detail: what + ": " + err.Error(), Try: try}
	}
	return nil
}

// translated takes from a query the translation that it names, and what the file does not say.
func translated(q url.Values, o *intake.Options) error {
	if id := q.Get("translation"); id != "" {
		if o.Translation != nil || o.Mapping != nil {
			return misused("translation names one, and the form has another, or a mapping: choose one")
		}
		if o.Translation = translation.Shipped(id); o.Translation == nil {
			return &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "no such translation comes with Stile",
				Try: "name " + strings.Join(schemas.Translations(), " or ") + ", or send one as the part before the file; docs/translations.md tells of them"}
		}
	}
	if o.Translation == nil {
		if q.Has("set") {
			return misused("set says what a translated file does not: name the form with translation")
		}
		return nil
	}
	t, err := o.Translation.Saying(q["set"])
	if err != nil {
		return misused("set: %v", err)
	}
	o.Translation = t
	return nil
}

// privateIn tells the places of a standard whose values may be about a person.
func privateIn(std node.StandardReply) func(name.Field) bool {
	return func(f name.Field) bool { return standard.ClassIn(std.Classes, f).AboutPerson() }
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
	im.named = r.Nameable()
	im.begin()
	// One goroutine reads and sends, this one receives and answers.
	sent := make(chan []intake.Row, importAhead)
	ended := make(chan error, 1)
	go func() {
		defer close(sent)
		ended <- func() error {
			for {
				rows, read, err := im.fill(r)
				if len(rows) > 0 {
					select {
					case sent <- read:
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
	for read := range sent {
		b, err := i.Receive()
		if err == nil {
			err = im.tell(b, r, read)
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

// tell writes what became of a batch of rows.
func (im *importing) tell(b *node.ImportReply, r *intake.Reader, read []intake.Row) error {
	im.rc.SetWriteDeadline(time.Now().Add(importStalls))
	for at, x := range b.Results {
		im.sum.Rows++
		l := importLine{Row: x.Row, Outcome: x.Outcome, Record: x.Record, Version: x.Version, Entry: x.Index}
		if im.named {
			l.Reference = x.Reference
		}
		if len(x.Problems) > 0 {
			im.sum.Refused++
			problems := read[at].Problems
			if len(problems) == 0 {
				problems = r.Explain(read[at], x.Problems)
			}
			for _, y := range problems {
				l.Errors = append(l.Errors, ProblemDetail{Pointer: y.Pointer, Column: y.Column, Rule: y.Rule, Detail: y.Detail, Fix: y.Fix})
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

// fill reads the next batch: what is sent, and the rows as they were read, those of JSON that
// the node itself reads by their number alone. The error is the end of the file; there may be
// rows even so.
func (im *importing) fill(r *intake.Reader) (rows []node.ImportRow, read []intake.Row, err error) {
	for size := 0; len(rows) < importRows && size < importBytes; {
		raw, err := r.Scan()
		if err != nil {
			return rows, read, err
		}
		if raw.Number <= im.after {
			im.sum.Passed++
			continue
		}
		size += raw.Size()
		row := intake.Row{Number: raw.Number}
		one := node.ImportRow{Row: raw.Number}
		if text := raw.Text(); text != nil {
			one.Record = bytes.Clone(text)
		} else {
			row = r.Read(raw)
			one.Reference = row.Reference
			one.Record, one.Problems = r.Offered(row)
		}
		rows, read = append(rows, one), append(read, row)
	}
	return rows, read, nil
}
