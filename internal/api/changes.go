package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/hooks"
	"github.com/stile-exchange/stile/node"
	nodeapi "github.com/stile-exchange/stile/node/api"
)

// A changesReply is a part of the feed.
type changesReply struct {
	Events []hooks.CloudEvent `json:"events"`
	Cursor string             `json:"cursor" doc:"send it as after, to go on"`
	Live   bool               `json:"live" doc:"there is nothing more now"`
}

const (
	beat     = 15 * time.Second // of a stream that has nothing to say
	maxWait  = 60 * time.Second // of a long poll
	streamed = 30 * time.Second // to take what was written
)

func (a *API) changes() {
	r := a.jsonResponse("a part of the feed", changesReply{})
	r.Content["text/event-stream"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	lastID := query("Last-Event-ID", "of a stream: the id of the last event that was taken")
	lastID.In = "header"
	a.raw(huma.Operation{
		Method: http.MethodGet, Path: "/v1/changes", OperationID: "changes", Tags: []string{"changes"},
		Summary: "Follow what changes, as CloudEvents: a page, a long poll, or with Accept: text/event-stream a stream",
		Parameters: []*huma.Param{
			query("after", "cursor, or id of an event; absent: from the beginning; now: from here on"), query("wait", "seconds to wait for something, at most 60"),
			query("types", "only these, parted by commas, such as record.put"), lastID,
		},
		Responses: map[string]*huma.Response{"200": r},
	}, a.follow)
}

// read reads a part of the feed, of what is for whoever calls.
func (a *API) read(ctx context.Context, after string, types []string) (changesReply, error) {
	r, err := a.n.Changes().Read(access.With(ctx, nil), node.ChangesRequest{After: after})
	out := changesReply{Events: []hooks.CloudEvent{}, Cursor: r.Cursor, Live: r.Live}
	for _, c := range r.Changes {
		if (len(types) == 0 || slices.Contains(types, c.Type)) && hooks.Sees(ctx, c) {
			out.Events = append(out.Events, hooks.NewEvent(a.n.Config().Council, c))
		}
	}
	return out, err
}

func (a *API) follow(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := may(ctx, "changes/read", access.On{AnySide: true}); err != nil {
		return err
	}
	q := r.URL.Query()
	after := q.Get("after")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		after = id
	}
	var types []string
	if t := q.Get("types"); t != "" {
		for typ := range strings.SplitSeq(t, ",") {
			if !slices.Contains(nodeapi.ChangeTypes(), typ) {
				return misused("types names one that there is not")
			}
			types = append(types, typ)
		}
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return a.stream(w, r, after, types)
	}
	wait := 0
	if s := q.Get("wait"); s != "" {
		var err error
		if wait, err = strconv.Atoi(s); err != nil || wait < 0 || wait > int(maxWait/time.Second) {
			return misused("wait is seconds, from 0 to 60")
		}
	}
	late, cancel := context.WithTimeout(ctx, time.Duration(wait)*time.Second)
	defer cancel()
	for { // what waits for a change ends with late
		more := a.n.Changed(late)
		out, err := a.read(ctx, after, types)
		if err != nil {
			return err
		}
		if len(out.Events) > 0 || !out.Live || wait == 0 || late.Err() != nil {
			w.Header().Set("Content-Type", "application/json")
			return json.NewEncoder(w).Encode(out)
		}
		after = out.Cursor
		select {
		case <-more:
		case <-a.o.Ended:
			wait = 0
		}
	}
}

// looksAgain is how often a stream looks whether its key is still good.
const looksAgain = time.Minute

// stream sends events as they come, until the caller goes or the key ends.
func (a *API) stream(w http.ResponseWriter, r *http.Request, after string, types []string) error {
	ctx := r.Context()
	rc := http.NewResponseController(w)
	out, err := a.read(ctx, after, types)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	told := ""
	send := func(format string, args ...any) bool {
		rc.SetWriteDeadline(time.Now().Add(streamed))
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil
	}
	quiet := time.NewTimer(beat)
	defer quiet.Stop()
	looked := a.o.Now()
	for {
		for _, e := range out.Events {
			b, err := json.Marshal(e)
			if err != nil {
				return nil
			}
			if !send("id: %s\nevent: %s\ndata: %s\n\n", e.ID, strings.TrimPrefix(e.Type, hooks.TypePrefix), b) {
				return nil
			}
			told = e.ID
		}
		if told != out.Cursor && len(out.Events) == 0 && !out.Live || told == "" {
			if !send("id: %s\n: on\n\n", out.Cursor) { // so that who comes back need not read it all again
				return nil
			}
			told = out.Cursor
		}
		if rc.Flush() != nil {
			return nil
		}
		after = out.Cursor
		if out.Live {
			waiting, enough := context.WithCancel(ctx)
			more := a.n.Changed(waiting)
			// What came between reading and asking is seen by reading again.
			if out, err = a.read(ctx, after, types); err != nil {
				enough()
				return nil
			}
			going := true
			if len(out.Events) == 0 && out.Live {
				quiet.Reset(beat)
				select {
				case <-more:
				case <-quiet.C:
					going = send(": still here\n\n") && rc.Flush() == nil
				case <-a.o.Ended:
					going = false
				case <-ctx.Done():
					going = false
				}
			}
			enough()
			if !going {
				return nil
			}
			if len(out.Events) > 0 || !out.Live {
				continue
			}
		}
		if now := a.o.Now(); now.Sub(looked) >= looksAgain {
			looked = now
			if !a.stillGood(r) {
				return nil
			}
		}
		if out, err = a.read(ctx, after, types); err != nil {
			return nil
		}
	}
}

// stillGood reports whether the key of a call is good now.
func (a *API) stillGood(r *http.Request) bool {
	secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, err := a.keyed(access.With(r.Context(), nil), secret)
	return err == nil
}
