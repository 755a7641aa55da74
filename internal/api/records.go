package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A listCall lists records.
type listCall struct {
	Standard string `query:"standard" required:"true" doc:"publisher/name, of any version; or with @1 or @1.2.0, of those" maxLength:"300"`
	From     string `query:"from" doc:"the council that sent them; absent: our own" maxLength:"255"`
	Where    string `query:"where" doc:"CEL: only records of which it is true, such as record.status == \"open\"" maxLength:"4096"`
	Cursor   string `query:"cursor" doc:"of the page before" maxLength:"200"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"records of a page"`
	Bodies   bool   `query:"bodies" doc:"with what the records say"`
}

// A RecordCall names a record.
type RecordCall struct {
	ID   string `path:"id" doc:"the record's id, 26 letters and digits" maxLength:"26" minLength:"26"`
	From string `query:"from" doc:"the council that sent it; absent: our own" maxLength:"255"`
}

// A KeyCall names a record of ours by its standard and natural key.
type KeyCall struct {
	Publisher string `path:"publisher" maxLength:"255" doc:"whose standard it is"`
	Name      string `path:"name" maxLength:"255" doc:"its name, with @1 or @1.2.0 or without"`
	Key       string `path:"key" maxLength:"2000" doc:"the natural key, percent-encoded; several values as a JSON array"`
}

// A putCall puts one record.
type putCall struct {
	KeyCall
	IfMatch     string `header:"If-Match" maxLength:"40" doc:"the ETag that the record must have"`
	IfNoneMatch string `header:"If-None-Match" maxLength:"40" doc:"*: the record must not be there"`
	RawBody     []byte `contentType:"application/json"`
}

// A putReply says what became of a record.
type putReply struct {
	Status   int
	ETag     string `header:"ETag"`
	Position string `header:"Stile-Position"`
	Body     node.PutResult
}

// A deleteCall deletes one record.
type deleteCall struct {
	RecordCall
	IfMatch string `header:"If-Match" maxLength:"40" doc:"the ETag that the record must have"`
}

func (a *API) records() {
	get(a, "records", "list-records", "/v1/records", "List and search records of a standard, our own as they stood at the first page", a.listRecords)
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/records/{id}", OperationID: "show-record", Tags: []string{"records"},
		Summary:    "Show a record, as JSON or, with Accept: application/sd-jwt, as its signed token, byte for byte",
		Parameters: []*huma.Param{inPath("id", "the record's id"), query("from", "the council that sent it; absent: our own")},
		Responses:  a.recordResponses(),
	}, a.showRecord)
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/standards/{publisher}/{name}/records/{key}", OperationID: "show-record-by-key", Tags: []string{"records"},
		Summary:    "Show a record of ours by its natural key",
		Parameters: []*huma.Param{inPath("publisher", "whose standard it is"), inPath("name", "its name"), inPath("key", "the natural key, percent-encoded")},
		Responses:  a.recordResponses(),
	}, a.showRecord)
	call(a, huma.Operation{
		Method: http.MethodPut, Path: "/v1/standards/{publisher}/{name}/records/{key}", OperationID: "put-record", Tags: []string{"records"}, SkipValidateBody: true, // the gate does
		Summary: "Put a record of ours: the same again makes no new version", DefaultStatus: http.StatusOK,
		Responses: map[string]*huma.Response{"201": a.jsonResponse("a record that was not there", node.PutResult{})},
	}, a.putRecord)
	get(a, "records", "record-versions", "/v1/records/{id}/versions", "List the versions of a record of ours, the newest first", func(ctx context.Context, in *RecordCall) (page[node.RecordReply], error) {
		if _, err := a.find(ctx, "records/history", node.RecordRequest{Record: in.ID}); err != nil {
			return page[node.RecordReply]{}, err
		}
		r, err := a.n.Records().History(ctx, node.RecordRequest{Record: in.ID})
		return pageOf(r.Versions, ""), err
	})
	get(a, "records", "record-proof", "/v1/records/{id}/proof", "Prove that a record of ours stands in our log (c2sp.org/tlog-proof)", func(ctx context.Context, in *RecordCall) (node.ProofReply, error) {
		if _, err := a.find(ctx, "records/prove", node.RecordRequest{Record: in.ID}); err != nil {
			return node.ProofReply{}, err
		}
		return a.n.Records().Prove(ctx, node.RecordRequest{Record: in.ID})
	})
	call(a, huma.Operation{Method: http.MethodDelete, Path: "/v1/records/{id}", OperationID: "delete-record", Tags: []string{"records"}, Summary: "Delete a record of ours, and withdraw it from every partner", DefaultStatus: http.StatusOK}, a.deleteRecord)
	get(a, "records", "list-held", "/v1/held", "List what was held back at the gate, and what is wrong with each", a.held)
	get(a, "records", "list-sources", "/v1/sources", "List the sources that records came from", func(ctx context.Context, _ *empty) (page[node.SourceReply], error) {
		out, err := a.n.Records().Sources(ctx)
		kept := []node.SourceReply{}
		for _, s := range out {
			if may(ctx, "records/sources", access.On{Standard: s.Standard.String()}) == nil {
				kept = append(kept, s)
			}
		}
		return pageOf(kept, ""), err
	})
}

// standard returns the full name of a standard that a caller typed.
func (a *API) standard(ctx context.Context, typed string) (name.Standard, error) {
	s, err := a.n.Standards().Show(access.With(ctx, nil), node.StandardRequest{Name: typed})
	return s.Name, err
}

func (a *API) listRecords(ctx context.Context, in *listCall) (page[node.RecordReply], error) {
	none := page[node.RecordReply]{}
	typed, err := a.ruled(ctx, "records/list", in.Standard, name.Council(in.From))
	if err != nil {
		return none, err
	}
	r, err := a.n.Records().List(ctx, node.ListRequest{
		Standard: typed, From: name.Council(in.From), Where: in.Where, Cursor: node.Cursor(in.Cursor), Limit: in.Limit, Bodies: in.Bodies, Snapshot: in.From == "",
	})
	if err != nil {
		return none, unfiltered(err, in.Where)
	}
	if len(r.Hidden) > 0 {
		return none, &node.Error{Kind: node.Behind, Message: r.Hidden[0]} // no list leaves anything out in silence
	}
	if len(r.Damaged) > 0 {
		a.o.Log.Error("records were left out of a list since they are damaged", "records", len(r.Damaged))
	}
	return pageOf(r.Records, r.Cursor), nil
}

var column = regexp.MustCompile(`column \d+`)

// unfiltered is err, but that what is wrong with a filter is told by its place alone: a
// filter holds values.
func unfiltered(err error, where string) error {
	if e, ok := err.(*node.Error); ok && e.Kind == node.Usage && where != "" && strings.HasPrefix(e.Message, "row filter") {
		return misused("the filter in where cannot be used %s", cmp.Or(column.FindString(e.Message), "as it is"))
	}
	return err
}

// ruled asks whether a key is for a standard as it was typed: where a version is named for
// that, otherwise for all of its versions.
func (a *API) ruled(ctx context.Context, op, typed string, from name.Council) (string, error) {
	std, err := a.standard(ctx, typed)
	if err != nil {
		return "", err
	}
	on := string(std.Name)
	if _, version, ok := strings.Cut(typed, "@"); ok {
		on += "@" + version
	}
	return on, may(ctx, op, access.On{Standard: on, From: from})
}

// find shows a record and asks whether the caller may have it: which standard it is of is
// known only then. A record that is not for the caller is as one that is not there.
func (a *API) find(ctx context.Context, op string, in node.RecordRequest) (node.RecordReply, error) {
	if err := may(ctx, op, access.On{From: in.From}); err != nil {
		return node.RecordReply{}, err
	}
	r, err := a.n.Records().Show(access.With(ctx, nil), in)
	if err != nil {
		return r, err
	}
	if may(ctx, op, access.On{Standard: r.Standard.String(), From: in.From}) != nil {
		return node.RecordReply{}, &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "no record that this key is for has that id"}
	}
	return r, nil
}

// typedName is a standard as a path has it.
func typedName(publisher, std string) string { return publisher + "/" + std }

func (a *API) showRecord(w http.ResponseWriter, r *http.Request) error {
	in := node.RecordRequest{Record: r.PathValue("id"), From: name.Council(r.URL.Query().Get("from"))}
	if key := r.PathValue("key"); key != "" {
		std, err := a.standard(r.Context(), typedName(r.PathValue("publisher"), r.PathValue("name")))
		if err != nil {
			return err
		}
		in = node.RecordRequest{Record: key, Standard: string(std.Name)}
		if strings.Contains(r.PathValue("name"), "@") {
			in.Standard = std.Line().String()
		}
	} else if _, err := name.ParseRecord(in.Record); err != nil {
		return misused("the record's id is none")
	}
	wantsToken := strings.HasPrefix(r.Header.Get("Accept"), "application/sd-jwt")
	in.Token = wantsToken && in.From == ""
	rec, err := a.find(r.Context(), "records/show", in)
	if err != nil {
		return err
	}
	if rec.Op == "delete" {
		return &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "the record was deleted"}
	}
	h := w.Header()
	h.Set("ETag", etag(rec))
	h.Set("Vary", "Accept, Authorization")
	if match := r.Header.Get("If-None-Match"); match != "" && match == etag(rec) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if wantsToken {
		h.Set("Content-Type", "application/sd-jwt")
		_, err := w.Write([]byte(rec.Token))
		return err
	}
	rec.Token = ""
	h.Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(rec)
}

func (a *API) recordResponses() map[string]*huma.Response {
	r := a.jsonResponse("the record", node.RecordReply{})
	r.Content["application/sd-jwt"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	return map[string]*huma.Response{"200": r, "304": {Description: "the record is as the caller has it"}}
}

// etag is the version of a record of ours, and of a received one its version and place.
func etag(r node.RecordReply) string {
	if r.Agreement != "" {
		return `"` + strconv.FormatUint(r.Version, 10) + "-" + strconv.FormatUint(r.Index, 10) + `"`
	}
	return `"` + strconv.FormatUint(r.Version, 10) + `"`
}

// versionOf reads an If-Match; 0 for none.
func versionOf(match string) (uint64, error) {
	if match == "" || match == "*" {
		return 0, nil
	}
	v, err := strconv.ParseUint(strings.Trim(match, `"`), 10, 64)
	if err != nil || v == 0 || !strings.HasPrefix(match, `"`) {
		return 0, &Problem{Status: http.StatusPreconditionFailed, Detail: "If-Match is no ETag of a record of ours"}
	}
	return v, nil
}

// conditional is err, but that a conflict with a condition of the call has its status.
func conditional(err error, condition bool) error {
	if e, ok := err.(*node.Error); ok && condition && e.Kind == node.Conflict {
		return &Problem{Status: http.StatusPreconditionFailed, Kind: string(node.Conflict), Detail: "the record is not as the call says that it must be", Try: "read it again"}
	}
	return err
}

func (a *API) putRecord(ctx context.Context, in *putCall) (*putReply, error) {
	std, err := a.standard(ctx, typedName(in.Publisher, in.Name))
	if err != nil {
		return nil, err
	}
	if err := may(ctx, "records/put", access.On{Standard: std.String()}); err != nil {
		return nil, err
	}
	offered := node.Offered{Record: in.RawBody, Key: in.Key, IfAbsent: in.IfNoneMatch == "*"}
	if offered.IfVersion, err = versionOf(in.IfMatch); err != nil {
		return nil, err
	}
	if !json.Valid(in.RawBody) {
		return nil, misused("the body is not JSON")
	}
	r, err := a.n.Records().Put(ctx, node.PutRequest{Standard: std.String(), Records: []node.Offered{offered}})
	if err != nil {
		return nil, conditional(err, in.IfMatch != "" || in.IfNoneMatch != "")
	}
	x := r.Results[0]
	if p := refusedAs(x); p != nil {
		return nil, p
	}
	out := &putReply{Status: http.StatusOK, ETag: `"` + strconv.FormatUint(x.Version, 10) + `"`, Position: strconv.FormatUint(x.Index+1, 10), Body: x}
	if x.Outcome == node.Created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

// refusedAs says why a record was not taken; nil where it was.
func refusedAs(x node.PutResult) *Problem {
	if len(x.Problems) == 0 {
		return nil
	}
	p := &Problem{Status: http.StatusUnprocessableEntity, Kind: string(node.Invalid), Detail: "the record does not fit its standard"}
	if x.Outcome == node.NotJudged {
		p.Detail = "no verdict was come to on the record"
	}
	for _, y := range x.Problems {
		p.Errors = append(p.Errors, ProblemDetail{Pointer: y.Pointer, Rule: y.Rule, Detail: y.Detail, Fix: y.Fix})
	}
	return p
}

func (a *API) deleteRecord(ctx context.Context, in *deleteCall) (*reply[node.DeleteReply], error) {
	v, err := versionOf(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if in.From != "" {
		return nil, misused("what another council sent is not ours to delete")
	}
	if _, err := a.find(ctx, "records/delete", node.RecordRequest{Record: in.ID}); err != nil {
		return nil, err
	}
	r, err := a.n.Records().Delete(ctx, node.RecordRequest{Record: in.ID, IfVersion: v})
	if err != nil {
		return nil, conditional(err, in.IfMatch != "")
	}
	return &reply[node.DeleteReply]{Position: a.position(ctx), Body: r}, nil
}

// position is how far the log is now, which is as far as what was written.
func (a *API) position(ctx context.Context) string {
	c, err := a.n.Log().Show(access.With(ctx, nil))
	if err != nil {
		return ""
	}
	return strconv.FormatUint(c.Size, 10)
}

// A heldCall lists what was held.
type heldCall struct {
	Standard string `query:"standard" required:"true" maxLength:"300" doc:"publisher/name, with a version or without"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
	Bodies   bool   `query:"bodies" doc:"with the bytes that were offered"`
}

func (a *API) held(ctx context.Context, in *heldCall) (page[node.Held], error) {
	typed, err := a.ruled(ctx, "records/held", in.Standard, "")
	if err != nil {
		return page[node.Held]{}, err
	}
	r, err := a.n.Records().Held(ctx, node.ListRequest{Standard: typed, Limit: in.Limit, Bodies: in.Bodies})
	return pageOf(r.Held, ""), err
}
