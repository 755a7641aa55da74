package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/node"
)

// A Problem is a failure as RFC 9457 writes it. It holds no value of a record, and none
// that the caller sent.
type Problem struct {
	Title  string          `json:"title" doc:"what kind of failure it is"`
	Status int             `json:"status" doc:"the HTTP status"`
	Detail string          `json:"detail,omitempty" doc:"what happened"`
	Kind   string          `json:"kind,omitempty" doc:"the kind of failure, as the command line has it"`
	Try    string          `json:"try,omitempty" doc:"what to do about it"`
	Errors []ProblemDetail `json:"errors,omitempty" doc:"each thing that is wrong"`

	RetryAfter int `json:"-"` // seconds; 0 says nothing
}

// A ProblemDetail is one thing that is wrong with what was sent.
type ProblemDetail struct {
	Pointer string `json:"pointer,omitempty" doc:"the place, as a JSON Pointer (RFC 6901)"`
	Column  string `json:"column,omitempty" doc:"of a file that is imported: the heading that the place came from, or the place in the form of another data standard"`
	Rule    string `json:"rule,omitempty" doc:"the rule that was broken"`
	Detail  string `json:"detail" doc:"what is wrong"`
	Fix     string `json:"fix,omitempty" doc:"what to do about it"`
}

var problemType = reflect.TypeFor[Problem]()

func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statuses are by the kind of failure.
var statuses = map[node.Kind]int{
	node.Usage: http.StatusBadRequest, node.NotFound: http.StatusNotFound, node.Refused: http.StatusForbidden, node.Invalid: http.StatusUnprocessableEntity,
	node.Unverified: http.StatusInternalServerError, node.Unreachable: http.StatusBadGateway, node.Behind: http.StatusServiceUnavailable,
	node.Conflict: http.StatusConflict, node.Failed: http.StatusInternalServerError,
}

type callKey struct{}

// problem says an error to a caller. What has failed inside the node goes to its log.
func (a *API) problem(ctx context.Context, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p, ok := err.(huma.StatusError); ok {
		return &Problem{Status: p.GetStatus(), Detail: "the call is not as it should be"}
	}
	e, ok := errors.AsType[*node.Error](err)
	if !ok || e.Kind == node.Failed || statuses[e.Kind] == 0 {
		if ctx.Err() == nil {
			a.o.Log.Error("a call of the API failed", "error", err.Error())
		}
		return &Problem{Status: http.StatusInternalServerError, Kind: string(node.Failed), Detail: "the node could not do it", Try: "look at the node's log"}
	}
	p := &Problem{Status: statuses[e.Kind], Kind: string(e.Kind), Detail: e.Message, Try: e.Try}
	for _, x := range e.Problems {
		p.Errors = append(p.Errors, ProblemDetail{Pointer: x.Pointer, Rule: x.Rule, Detail: x.Detail, Fix: x.Fix})
	}
	if r, ok := ctx.Value(callKey{}).(*http.Request); ok {
		p.forget(r)
	}
	return p
}

// forget takes what the caller sent in its path and query out of a text: it may be a key
// of a record or a person's number.
func (p *Problem) forget(r *http.Request) {
	var sent []string
	for part := range strings.SplitSeq(r.URL.EscapedPath(), "/") {
		if s, err := url.PathUnescape(part); err == nil {
			sent = append(sent, s)
		}
	}
	for _, vs := range r.URL.Query() {
		sent = append(sent, vs...)
	}
	for _, s := range sent {
		if len(s) < 3 || names[s] {
			continue
		}
		for _, t := range []*string{&p.Detail, &p.Try} {
			*t = strings.ReplaceAll(*t, s, "…")
			if q := strconv.Quote(s); len(q) > 2 {
				*t = strings.ReplaceAll(*t, q[1:len(q)-1], "…")
			}
		}
	}
}

// names are the parts of our own paths, which a text may hold.
var names = map[string]bool{"records": true, "standards": true, "agreements": true, "councils": true, "standard": true, "agreement": true, "council": true, "record": true, "footprints": true, "log": true, "sign": true, "end": true, "key": true, "own": true}

// plainPlace is what a place in a call may look like to be told.
var plainPlace = regexp.MustCompile(`^[a-z_]+([.\[][a-z0-9_]+\]?){0,6}$`)

// quiet makes a problem of huma's into one of ours, without the value that it echoes.
func quiet(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		if p, ok := v.(*Problem); ok {
			p.title()
		}
		return v, nil
	}
	p := &Problem{Status: m.Status, Detail: "the call is not as it should be", Kind: string(node.Usage)}
	for _, d := range m.Errors {
		x := ProblemDetail{Detail: "is not as the API's description says"}
		if plainPlace.MatchString(d.Location) {
			x.Pointer = "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(d.Location)
		}
		for _, known := range []string{"required", "unexpected", "length", "expected string", "expected integer", "expected number", "expected boolean", "expected array", "expected object", "unmarshal"} {
			if strings.Contains(d.Message, known) {
				x.Rule = strings.ReplaceAll(strings.TrimPrefix(known, "expected "), "unmarshal", "json")
				break
			}
		}
		p.Errors = append(p.Errors, x)
	}
	p.title()
	return p, nil
}

func (p *Problem) title() {
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
}

// write answers with a problem, where the answer has not begun yet.
func write(w http.ResponseWriter, p *Problem) {
	p.title()
	h := w.Header()
	h.Set("Content-Type", p.ContentType(""))
	h.Del("Content-Disposition")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

func misused(format string, args ...any) error {
	return &Problem{Status: http.StatusBadRequest, Kind: string(node.Usage), Detail: fmt.Sprintf(format, args...)}
}
