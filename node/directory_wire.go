package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Limits of /stile/directory/1; see directory.proto.
const (
	directoryProtocol = "/stile/directory/1"
	directoryVersion  = 1
	maxFileRequest    = 2 << 10
	maxFilePart       = 128 << 10
	filePart          = 64 << 10
	requestWithin     = time.Minute // an asker who is slower than this opens a stream anew
	partWithin        = time.Minute
)

// serveDirectory answers one stream of /stile/directory/1 from the files that
// this node holds, verified.
func (n *Node) serveDirectory(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	for {
		st.SetDeadline(n.now().Add(requestWithin))
		b, err := wire.ReadFrame(in, maxFileRequest)
		var req wirepb.FileRequest
		if err != nil || proto.Unmarshal(b, &req) != nil || req.GetVersion() == 0 {
			return // the end, or not worth an answer
		}
		content, err := n.client().Mirror().Lookup(req.GetPath())
		missing := err != nil || uint64(len(content)) > req.GetMax()
		if missing {
			content = nil
		}
		for first := true; first || len(content) > 0; first = false {
			st.SetDeadline(n.now().Add(partWithin))
			part := content[:min(len(content), filePart)]
			content = content[len(part):]
			b, err := proto.Marshal(&wirepb.FilePart{Content: part, Last: len(content) == 0, Missing: missing})
			if err == nil {
				err = wire.WriteFrame(out, b)
			}
			if err == nil {
				err = out.Flush()
			}
			if err != nil {
				st.Reset()
				return
			}
		}
	}
}

// fetcher returns how to fetch files from a mirror; done lets go of it.
func (n *Node) fetcher(ctx context.Context, m mirror) (f tufdir.Fetcher, done func(), err error) {
	if strings.HasPrefix(m.address, "http://") || strings.HasPrefix(m.address, "https://") {
		f, err := tufdir.FromHTTP(&http.Client{Timeout: 5 * time.Minute}, m.address)
		return f, func() {}, err
	}
	n.mu.Lock()
	network := n.net
	n.mu.Unlock()
	to, closeNet := m.council, func() {}
	if m.address != "" {
		at, node, ok := cutNode(m.address)
		if !ok {
			return nil, nil, fmt.Errorf("address of a mirror: want it to end in /p2p/ and the peer id of the node")
		}
		if known, ok := n.directory.ByNode(node); ok {
			to = known.Council
		} else {
			// Not in our directory, which is why we ask. It is let in under a
			// name that nobody can have, and no other protocol serves it.
			to = guestName
			n.guest.Store(&wire.Member{Node: node, Addresses: []string{at}})
			closeNet = func() {
				n.guest.Store(nil)
				n.changed()
			}
		}
		if network == nil {
			h, err := wire.Open(wire.Options{Key: n.keys.Node, Self: n.cfg.Council, Directory: members{n}, Logger: n.log})
			if err != nil {
				closeNet()
				return nil, nil, err
			}
			forget := closeNet
			network, closeNet = h, func() { h.Close(); forget() }
		}
	}
	if network == nil {
		return nil, nil, errors.New("this node is not running")
	}
	s := &fileStreams{now: n.now, open: func(ctx context.Context) (wire.Stream, error) {
		st, err := network.Open(ctx, to, directoryProtocol)
		if err != nil && to == guestName {
			// A node that does not know us breaks off before it says why.
			err = fmt.Errorf("the node at %s cannot be reached, or does not let this node in", m.address)
		}
		return st, err
	}}
	return s.fetch, func() { s.close(); closeNet() }, nil
}

// guestName stands for the host of a directory that we are about to join; no
// council can have it (RFC 2606 section 2).
const guestName name.Council = "host-of-a-directory.invalid"

// cutNode splits a multiaddr that ends in a peer id.
func cutNode(address string) (at, node string, ok bool) {
	i := strings.LastIndex(address, "/p2p/")
	if i <= 0 {
		return "", "", false
	}
	at, node = address[:i], address[i+len("/p2p/"):]
	return at, node, node != "" && !strings.Contains(node, "/")
}

// fileStreams fetches files over streams that are used again, as many as are
// asked for at a time.
type fileStreams struct {
	open func(context.Context) (wire.Stream, error)
	now  func() time.Time

	mu   sync.Mutex
	idle []*fileStream
}

type fileStream struct {
	wire.Stream
	in  *bufio.Reader
	out *bufio.Writer
}

func (s *fileStreams) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.idle {
		f.Close()
	}
	s.idle = nil
}

// fetch is a tufdir.Fetcher.
func (s *fileStreams) fetch(ctx context.Context, path string, max int64) ([]byte, error) {
	s.mu.Lock()
	var f *fileStream
	if k := len(s.idle); k > 0 {
		f, s.idle = s.idle[k-1], s.idle[:k-1]
	}
	s.mu.Unlock()
	if f == nil {
		st, err := s.open(ctx)
		if err != nil {
			return nil, err
		}
		f = &fileStream{st, bufio.NewReader(st), bufio.NewWriter(st)}
	}
	stop := context.AfterFunc(ctx, func() { f.Reset() })
	b, missing, err := f.file(path, max, s.now)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		f.Reset()
		return nil, err
	}
	s.mu.Lock()
	s.idle = append(s.idle, f)
	s.mu.Unlock()
	if missing {
		return nil, tufdir.ErrMissing
	}
	return b, nil
}

func (f *fileStream) file(path string, max int64, now func() time.Time) (content []byte, missing bool, err error) {
	b, err := proto.Marshal(&wirepb.FileRequest{Version: directoryVersion, Path: path, Max: uint64(max)})
	if err != nil {
		return nil, false, err
	}
	f.SetDeadline(now().Add(requestWithin))
	if err := wire.WriteFrame(f.out, b); err != nil {
		return nil, false, err
	}
	if err := f.out.Flush(); err != nil {
		return nil, false, err
	}
	for {
		f.SetDeadline(now().Add(partWithin))
		b, err := wire.ReadFrame(f.in, maxFilePart)
		if err != nil {
			return nil, false, err
		}
		var p wirepb.FilePart
		if err := proto.Unmarshal(b, &p); err != nil {
			return nil, false, fmt.Errorf("%w: not a message of %s", wire.ErrFrame, directoryProtocol)
		}
		if p.GetMissing() {
			return nil, true, nil
		}
		// A part without content that is not the last would go on for ever.
		if len(p.GetContent()) == 0 && !p.GetLast() {
			return nil, false, fmt.Errorf("%w: an empty part", wire.ErrFrame)
		}
		if int64(len(content)+len(p.GetContent())) > max {
			return nil, false, tufdir.ErrTooLong
		}
		if content = append(content, p.GetContent()...); p.GetLast() {
			return content, false, nil
		}
	}
}

// serveHTTP serves over HTTP what anybody may have, until ctx ends: below
// /directory/ the files of the directory.
func (n *Node) serveHTTP(ctx context.Context) error {
	l, err := net.Listen("tcp", n.cfg.HTTPListen)
	if err != nil {
		return fmt.Errorf("open HTTP: %w", err)
	}
	n.mu.Lock()
	n.http = l.Addr().String()
	n.mu.Unlock()
	mux := http.NewServeMux()
	mux.Handle("/directory/", http.StripPrefix("/directory", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.client().Mirror().ServeHTTP(w, r)
	})))
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	n.log.Info("serving the directory over HTTP", "address", l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
