package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
)

// maxRequest caps a request on the admin socket, in bytes.
const maxRequest = 64 << 20

// What programs of this machine may take of the admin socket. Whoever may open it may do
// everything; these keep one that has gone wrong from taking the open files and the memory of the node.
const (
	maxCommands  = 256         // connections open at once
	maxBodies    = 256 << 20   // bytes of requests that are being read or carried out
	commandIdle  = time.Minute // for the next request of a connection
	importIdle   = time.Hour   // for the next rows of an import, which may come through a pipe
	maxHeadBytes = 16 << 10
)

// ErrNotRunning: no node answers on the admin socket.
var ErrNotRunning = errors.New("no node is running")

// serveAdmin answers operations on the admin socket until ctx ends. The
// socket is HTTP/1.1: POST /noun/verb with the request as JSON; 200 and the
// reply, or 422 and an Error. Who may open the socket is a matter of file
// permissions: it is made for its owner alone.
func (n *Node) serveAdmin(ctx context.Context) error {
	path := n.cfg.AdminSocket
	// Only one process can hold the ledger, and we do: a socket that is there
	// was left behind by a process that is gone.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("open admin socket: %w", err)
	}
	// Made in a folder of our own, closed to others, and then moved: a socket
	// made in place could be opened by others until its mode is set.
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".admin")
	if err != nil {
		return fmt.Errorf("open admin socket: %w", err)
	}
	defer os.RemoveAll(tmp)
	l, err := net.Listen("unix", filepath.Join(tmp, "s"))
	if err != nil {
		return fmt.Errorf("open admin socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(filepath.Join(tmp, "s"), 0o600), os.Rename(filepath.Join(tmp, "s"), path)); err != nil {
		return fmt.Errorf("open admin socket: %w", errors.Join(err, l.Close()))
	}
	bound := quota.Limit(l, maxCommands)
	srv := &http.Server{
		Handler:           http.HandlerFunc(n.answer),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: commandIdle, MaxHeaderBytes: maxHeadBytes,
		ConnState:   bound.Mark,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	defer stop()
	err = srv.Serve(bound)
	os.Remove(path)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (n *Node) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	reply := func(code int, v any) {
		w.WriteHeader(code)
		if err := encode(w, v); err != nil {
			n.log.Debug("answer on the admin socket", "error", err.Error())
		}
	}
	if r.Method != http.MethodPost {
		reply(http.StatusMethodNotAllowed, fail(Usage, "", "operations are called with POST"))
		return
	}
	if r.URL.Path == "/"+importPath {
		n.answerImport(w, r)
		return
	}
	if r.URL.Path == "/"+backupPath {
		n.answerBackup(w, r)
		return
	}
	size := r.ContentLength
	if size < 0 || size > maxRequest {
		size = maxRequest
	}
	if n.bodies.Add(size) > maxBodies {
		n.bodies.Add(-size)
		reply(http.StatusServiceUnavailable, fail(Failed, "try again in a moment; stile import sends records a few at a time", "other requests hold the %d MiB that the node keeps for requests", maxBodies>>20))
		return
	}
	defer n.bodies.Add(-size)
	quota.Steady(w, r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		reply(http.StatusRequestTimeout, fail(Usage, "", "request came too slowly: it has to come at 1 KiB a second"))
		return
	case err != nil:
		reply(http.StatusRequestEntityTooLarge, fail(Usage, "send fewer records at a time", "request is larger than %d MiB", maxRequest>>20))
		return
	}
	out, err := n.run(r.Context(), strings.TrimPrefix(r.URL.Path, "/"), body)
	if err != nil {
		reply(http.StatusUnprocessableEntity, asError(err))
		return
	}
	reply(http.StatusOK, out)
}

func (n *Node) run(ctx context.Context, path string, in []byte) (any, error) {
	o, ok := table().byPath[path]
	if !ok {
		return nil, fail(Usage, "use the same version of Stile for the command and the node", "the node has no operation %q", path)
	}
	return o.run(ctx, n, in)
}

// asError turns any error into one fit to be shown.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, tufdir.ErrRole):
		return fail(Refused, "stile directory remove, and admit it again", "%v", err)
	case errors.Is(err, ledger.ErrNotFound):
		return fail(NotFound, "", "%v", err)
	case errors.Is(err, ledger.ErrErased):
		return erased(err)
	case errors.Is(err, ledger.ErrUnread):
		return fail(Behind, "run stile serve until its sender has answered: stile status", "%v", err)
	case errors.Is(err, ledger.ErrDamaged):
		return fail(Unverified, "restore this record from a backup or offer it again; the log still proves what it was", "%v", err)
	case errors.Is(err, ledger.ErrConflict):
		return fail(Conflict, "read the record again", "%v", err)
	case errors.Is(err, ledger.ErrSealed):
		return fail(Refused, "stile record show says which council goes on with a record", "%v", err)
	case errors.Is(err, ledger.ErrForked):
		return fail(Refused, "stop the node and bring the newest copy of its folder back; stile log status says what else can be done", "%v", err)
	case errors.Is(err, ledger.ErrElsewhere):
		return fail(Refused, "stop the other node for good, and this one goes on by itself; stile log status says more", "%v", err)
	case errors.Is(err, ledger.ErrUnsure):
		return fail(Refused, "stile serve asks them; stile log status says who has not answered", "%v", err)
	case errors.Is(err, ledger.ErrReading):
		return fail(Failed, "free some disk space, or have the disk mounted so that it can be written to", "%v", err)
	case errors.Is(err, ledger.ErrFull):
		return fail(Failed, "free some disk space", "%v", err)
	case errors.Is(err, ledger.ErrClock):
		return fail(Refused, "set the clock, and keep it set with NTP; nothing has to be started again", "%v", err)
	case errors.Is(err, ledger.ErrInUse):
		return fail(Conflict, "stop the other process, or talk to it through its admin socket", "%v", err)
	case errors.Is(err, ledger.ErrStorage):
		return fail(Failed, "check the disk, then start the node again", "%v", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(Failed, "", "stopped before it was done")
	}
	return fail(Failed, "", "%v", err)
}

// A Client carries out operations at a running node, through its admin socket.
type Client struct {
	Operations

	http *http.Client
}

// Dial connects to the node whose admin socket is at path. It returns
// ErrNotRunning when none answers.
func Dial(ctx context.Context, path string) (*Client, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w at %s", ErrNotRunning, path)
	}
	c.Close()
	client := &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 4,
	}}}
	client.Operations = Operations{client: client}
	return client, nil
}

// call carries out the operation at a path. A failure is an *Error.
func (c *Client) call(ctx context.Context, path string, in, out any) error {
	var raw bytes.Buffer
	if err := encode(&raw, in); err != nil {
		return fail(Usage, "", "request cannot be sent: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://stile/"+path, &raw)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return asError(ctx.Err())
		}
		return fail(Failed, "look at the node's log", "the node did not answer: %v", errors.Unwrap(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fail(Failed, "look at the node's log", "the node's answer broke off: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		e := &Error{}
		if json.Unmarshal(b, e) != nil || e.Kind == "" {
			return fail(Failed, "use the same version of Stile for the command and the node", "the node answered %s", resp.Status)
		}
		return e
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fail(Failed, "use the same version of Stile for the command and the node", "the node's answer is not what was asked for: %v", err)
	}
	return nil
}

// encode writes v as JSON that holds the same text as v: nothing is escaped for
// pages.
func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Close lets go of the socket.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}
