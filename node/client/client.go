// Package client calls the API of a council's node from another program: the system that
// keeps the records, say. It links nothing of the node itself.
//
//	c, err := client.New("https://stile.northmoor.gov.uk", key, nil)
//	put, err := c.Put(ctx, "standards.stile.example/housing-need@1", "HN-1", record, client.Always)
//	rec, err := c.Record(ctx, put.Record)
//
// A [Client] may be used concurrently. A failure that the node tells of is a [*Problem].
// After a write every later call of the same Client sees what was written, also where the
// node is several machines.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Problem is a failure as the node tells it (RFC 9457). It holds no value of a record.
type Problem struct {
	Title      string          `json:"title"`
	Status     int             `json:"status"` // of HTTP
	Detail     string          `json:"detail"`
	Kind       string          `json:"kind"`
	Try        string          `json:"try"` // what to do about it
	Errors     []ProblemDetail `json:"errors"`
	RetryAfter time.Duration   `json:"-"` // how long the node asks to wait; 0 where it does not say
}

// A ProblemDetail is one thing that is wrong.
type ProblemDetail struct {
	Pointer string `json:"pointer"` // RFC 6901
	Column  string `json:"column"`  // of a file that is imported: the heading, or the place in somebody else's form
	Rule    string `json:"rule"`
	Detail  string `json:"detail"`
	Fix     string `json:"fix"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s %s", e.Pointer, e.Detail)
	}
	return text
}

// IsStatus reports whether an error is a Problem of a status of HTTP, such as
// http.StatusPreconditionFailed.
func IsStatus(err error, status int) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Status == status
}

// A Client calls one node with one key.
type Client struct {
	base     string
	key      string
	http     *http.Client
	position atomic.Uint64
}

// New returns a client of the node at base, such as https://stile.northmoor.gov.uk, with
// a key that stile access key add made. h may be nil. The key is sent in clear to an
// http address: that is for the same machine.
func New(base, key string, h *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the node's address is none: want such as https://stile.northmoor.gov.uk")
	}
	if h == nil {
		h = &http.Client{}
	}
	return &Client{base: strings.TrimSuffix(base, "/"), key: key, http: h}, nil
}

// Position returns how far the node's log is, as far as this client has written.
func (c *Client) Position() uint64 { return c.position.Load() }

// do makes a call. The caller closes the body.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	if p := c.position.Load(); p > 0 && method == http.MethodGet && !strings.HasPrefix(path, "/v1/collection") {
		r.Header.Set("Stile-Position", strconv.FormatUint(p, 10))
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if at, err := strconv.ParseUint(resp.Header.Get("Stile-Position"), 10, 64); err == nil {
		c.seen(at)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	p := &Problem{}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(b, p) != nil || p.Status == 0 {
		p = &Problem{Title: resp.Status, Status: resp.StatusCode}
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return nil, p
}

func (c *Client) seen(at uint64) {
	for {
		was := c.position.Load()
		if at <= was || c.position.CompareAndSwap(was, at) {
			return
		}
	}
}

// json makes a call whose reply is one JSON document.
func (c *Client) json(ctx context.Context, method, path string, in, out any, header ...string) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header = append(header, "Content-Type", "application/json")
	}
	resp, err := c.do(ctx, method, path, body, header...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// A Condition says what must be so for a record to be put or deleted. See Always, IfNew
// and IfVersion.
type Condition struct{ match, none string }

// Always holds whatever there is.
var Always = Condition{}

// IfNew holds where the record is not there.
func IfNew() Condition { return Condition{none: "*"} }

// IfVersion holds where the record is at a version.
func IfVersion(v uint64) Condition { return Condition{match: `"` + strconv.FormatUint(v, 10) + `"`} }

// Put puts a record of the council's own, under its natural key. The record is JSON or
// what json.Marshal makes JSON of. The same again makes no new version. A condition that
// does not hold is a Problem of status 412.
func (c *Client) Put(ctx context.Context, standard, key string, record any, when Condition) (api.PutResult, error) {
	var out api.PutResult
	path, err := keyPath(standard, key)
	if err != nil {
		return out, err
	}
	err = c.json(ctx, http.MethodPut, path, record, &out, "If-Match", when.match, "If-None-Match", when.none)
	return out, err
}

func keyPath(standard, key string) (string, error) {
	publisher, std, ok := strings.Cut(standard, "/")
	if !ok || key == "" {
		return "", errors.New("want a standard such as standards.stile.example/housing-need@1, and a key")
	}
	return "/v1/standards/" + url.PathEscape(publisher) + "/" + url.PathEscape(std) + "/records/" + url.PathEscape(key), nil
}

// Record shows a record of the council's own, by its id.
func (c *Client) Record(ctx context.Context, id name.Record) (api.RecordReply, error) {
	var out api.RecordReply
	return out, c.json(ctx, http.MethodGet, "/v1/records/"+url.PathEscape(string(id)), nil, &out)
}

// RecordByKey shows a record of the council's own, by its natural key.
func (c *Client) RecordByKey(ctx context.Context, standard, key string) (api.RecordReply, error) {
	var out api.RecordReply
	path, err := keyPath(standard, key)
	if err != nil {
		return out, err
	}
	return out, c.json(ctx, http.MethodGet, path, nil, &out)
}

// Received shows a record that another council sent.
func (c *Client) Received(ctx context.Context, from name.Council, id name.Record) (api.RecordReply, error) {
	var out api.RecordReply
	return out, c.json(ctx, http.MethodGet, "/v1/records/"+url.PathEscape(string(id))+"?from="+url.QueryEscape(string(from)), nil, &out)
}

// Token returns the signed token of a record (SD-JWT, RFC 9901), byte for byte; from is
// "" for the council's own.
func (c *Client) Token(ctx context.Context, from name.Council, id name.Record) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/records/"+url.PathEscape(string(id))+"?from="+url.QueryEscape(string(from)), nil, "Accept", "application/sd-jwt")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// Delete deletes a record of the council's own, and withdraws it from every partner.
func (c *Client) Delete(ctx context.Context, id name.Record, when Condition) error {
	return c.json(ctx, http.MethodDelete, "/v1/records/"+url.PathEscape(string(id)), nil, nil, "If-Match", when.match)
}

// A List says which records are wanted.
type List struct {
	Standard string       // publisher/name, with @major or @version or without
	From     name.Council // "" for the council's own
	Where    string       // CEL, such as record.status == "open"
	Bodies   bool
}

// Each calls f with every record of a list, page by page, until it returns an error.
func (c *Client) Each(ctx context.Context, l List, f func(api.RecordReply) error) error {
	q := url.Values{"standard": {l.Standard}, "from": {string(l.From)}, "where": {l.Where}, "bodies": {strconv.FormatBool(l.Bodies)}, "limit": {"1000"}}
	for {
		var page struct {
			Items  []api.RecordReply `json:"items"`
			Cursor string            `json:"cursor"`
		}
		if err := c.json(ctx, http.MethodGet, "/v1/records?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		for _, r := range page.Items {
			if err := f(r); err != nil {
				return err
			}
		}
		if page.Cursor == "" {
			return nil
		}
		q.Set("cursor", page.Cursor)
	}
}

// A Row is what became of one row of an import.
type Row struct {
	Row       int             `json:"row"`
	Reference string          `json:"reference"`
	Outcome   api.Outcome     `json:"outcome"` // "" where it was refused
	Record    name.Record     `json:"record"`
	Version   uint64          `json:"version"`
	Entry     uint64          `json:"entry"`
	Errors    []ProblemDetail `json:"errors"`
}

// A Summary counts the rows of an import.
type Summary struct {
	Rows     int                 `json:"rows"`
	Outcomes map[api.Outcome]int `json:"outcomes"`
	Refused  int                 `json:"refused"`
	Position uint64              `json:"position"`
}

// Import sends records as NDJSON, one to a line, and calls f, which may be nil, with what
// became of each, in order, while they are sent. After is the last row that an import of
// the same file which broke off has told of; 0 for none. A dry run keeps nothing.
func (c *Client) Import(ctx context.Context, standard string, ndjson io.Reader, after int, dryRun bool, f func(Row) error) (Summary, error) {
	q := url.Values{"standard": {standard}, "after": {strconv.Itoa(after)}, "dry_run": {strconv.FormatBool(dryRun)}}
	return c.send(ctx, q, "application/x-ndjson", ndjson, f)
}

// ImportTranslated is [Client.Import] of a JSON file in the form of another data standard, by
// a translation that comes with the node, such as ocds. Set is what such a file does not say,
// each a place in the record and its text, such as /council=E07000998.
func (c *Client) ImportTranslated(ctx context.Context, translation string, set []string, file io.Reader, after int, dryRun bool, f func(Row) error) (Summary, error) {
	q := url.Values{"translation": {translation}, "set": set, "after": {strconv.Itoa(after)}, "dry_run": {strconv.FormatBool(dryRun)}}
	return c.send(ctx, q, "application/json", file, f)
}

// send sends a file to be imported.
func (c *Client) send(ctx context.Context, q url.Values, kind string, file io.Reader, f func(Row) error) (Summary, error) {
	var sum Summary
	resp, err := c.do(ctx, http.MethodPost, "/v1/imports?"+q.Encode(), file, "Content-Type", kind)
	if err != nil {
		return sum, err
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(bufio.NewReader(resp.Body)); ; {
		var line struct {
			Row
			Summary *Summary `json:"summary"`
			Problem *Problem `json:"problem"`
		}
		if err := d.Decode(&line); err != nil {
			return sum, fmt.Errorf("the import broke off: %w", err)
		}
		switch {
		case line.Problem != nil:
			return sum, line.Problem
		case line.Summary != nil:
			c.seen(line.Summary.Position)
			return *line.Summary, nil
		case f != nil:
			if err := f(line.Row); err != nil {
				return sum, err
			}
		}
	}
}

// An Event is a change, as CloudEvents write it.
type Event struct {
	ID   string         `json:"id"` // a cursor: what comes after it is what is new
	Type string         `json:"type"`
	Time time.Time      `json:"time"`
	Data api.FeedChange `json:"data"`
}

// Changes calls f with every change after a cursor, and goes on as they come, until ctx
// ends or f returns an error. It comes back by itself where the connection breaks. f
// keeps the event's ID where it has to survive the program. A change may come twice.
func (c *Client) Changes(ctx context.Context, after string, f func(Event) error) error {
	for {
		var page struct {
			Events []Event `json:"events"`
			Cursor string  `json:"cursor"`
			Live   bool    `json:"live"`
		}
		err := c.json(ctx, http.MethodGet, "/v1/changes?wait=30&after="+url.QueryEscape(after), nil, &page)
		if err != nil {
			p, told := errors.AsType[*Problem](err)
			if ctx.Err() != nil || told && p.Status < 500 && p.Status != http.StatusTooManyRequests {
				return err
			}
			pause := time.Second
			if told && p.RetryAfter > 0 {
				pause = p.RetryAfter
			}
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, e := range page.Events {
			if err := f(e); err != nil {
				return err
			}
		}
		after = page.Cursor
	}
}

// Collect returns a page of what goes to a receiver that has no node, from where the last
// receipt is or from a cursor on. It needs the key of such a receiver.
func (c *Client) Collect(ctx context.Context, cursor api.Cursor) (api.CollectReply, error) {
	var out api.CollectReply
	return out, c.json(ctx, http.MethodGet, "/v1/collection?cursor="+url.QueryEscape(string(cursor)), nil, &out)
}

// Receipt says that everything up to a cursor is here, and that what was taken back is
// deleted. Held is how many records are kept now.
func (c *Client) Receipt(ctx context.Context, cursor api.Cursor, held int) error {
	return c.json(ctx, http.MethodPost, "/v1/collection/receipt", map[string]any{"cursor": cursor, "held": held}, nil)
}
