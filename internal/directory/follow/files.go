package follow

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Limits of /stile/directory/1; see directory.proto.
const (
	protocol       = "/stile/directory/1"
	version        = 1
	maxFileRequest = 2 << 10
	maxFilePart    = 128 << 10
	filePart       = 64 << 10
	requestWithin  = time.Minute // an asker who is slower than this opens a stream anew
	partWithin     = time.Minute
	leastCharged   = 4 // KiB, of an asker's share, whatever a file has
)

// Attach lets others fetch the directory over net and the Follower ask members of
// it, until ctx ends; then Detach takes net from it again.
func (f *Follower) Attach(ctx context.Context, net wire.Network) {
	f.mu.Lock()
	f.net = net
	f.mu.Unlock()
	net.Handle(protocol, func(sctx context.Context, from name.Council, st wire.Stream) {
		if ctx.Err() != nil {
			st.Reset() // the node stops, and its network is there still
			return
		}
		defer context.AfterFunc(ctx, func() { st.Reset() })()
		f.serve(sctx, from, st)
	})
	net.OnConnect(func(name.Council) { f.Ask() })
}

// Detach has the Follower ask nobody over a network any more.
func (f *Follower) Detach() {
	f.mu.Lock()
	f.net = nil
	f.mu.Unlock()
}

// serve answers one stream from the files that this node holds, verified.
func (f *Follower) serve(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	in, out := bufio.NewReader(st), bufio.NewWriter(st)
	for {
		st.SetDeadline(f.o.Now().Add(requestWithin))
		b, err := wire.ReadFrame(in, maxFileRequest)
		var req wirepb.FileRequest
		if err != nil || proto.Unmarshal(b, &req) != nil || req.GetVersion() == 0 {
			return // the end, or not worth an answer
		}
		content, err := f.Client().Mirror().Lookup(req.GetPath())
		missing := err != nil || uint64(len(content)) > req.GetMax()
		if missing {
			content = nil
		}
		if f.o.Quota.Take(from, quota.Files, max(len(content)>>10, leastCharged)) != nil {
			st.Reset()
			return
		}
		for first := true; first || len(content) > 0; first = false {
			st.SetDeadline(f.o.Now().Add(partWithin))
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
func (f *Follower) fetcher(ctx context.Context, m mirror) (fetch tufdir.Fetcher, done func(), err error) {
	if strings.HasPrefix(m.address, "http://") || strings.HasPrefix(m.address, "https://") {
		fetch, err := tufdir.FromHTTP(&http.Client{Timeout: 5 * time.Minute}, m.address)
		return fetch, func() {}, err
	}
	network := f.network()
	to, closeNet := m.council, func() {}
	if m.address != "" {
		at, node, ok := cutNode(m.address)
		if !ok {
			return nil, nil, fmt.Errorf("address of a mirror: want it to end in /p2p/ and the peer id of the node")
		}
		if known, ok := f.members.ByNode(node); ok {
			to = known.Council
		} else {
			// Not in our directory, which is why we ask. It is let in under a
			// name that nobody can have, and no other protocol serves it.
			to = guestName
			f.guest.Store(&wire.Member{Node: node, Addresses: []string{at}})
			closeNet = func() {
				f.guest.Store(nil)
				f.o.Changed()
			}
		}
		if network == nil {
			h, err := wire.Open(wire.Options{Key: f.o.Keys.Node, Self: f.cfg.Council, Directory: f.Wire(), Logger: f.o.Log})
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
	s := &fileStreams{now: f.o.Now, open: func(ctx context.Context) (wire.Stream, error) {
		st, err := network.Open(ctx, to, protocol)
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

// endedName stands for a council that has ended, while we reach its node to take over from
// it; no council can have it.
const endedName name.Council = "council-that-ended.invalid"

// ReachEnded lets the node of a council be reached, under the name as, until done is called.
// For a member that is its own name. A council whose membership has ended is let in under a
// name that nobody can have: what is asked of it is answered, and no protocol serves it or
// shares anything with it. One at a time; ok is false when the directory has no node of it.
func (f *Follower) ReachEnded(c name.Council) (as name.Council, done func(), ok bool) {
	e, ok := f.members.Member(c)
	if !ok || e.Node == "" {
		return "", nil, false
	}
	now := f.o.Now()
	if e.ActiveAt(now) || now.Before(e.ValidFrom) {
		return c, func() {}, true
	}
	f.ended.Store(&wire.Member{Node: e.Node, Addresses: e.Addresses})
	return endedName, func() {
		f.ended.Store(nil)
		f.o.Changed()
	}, true
}

// Wire shows the directory to a network: who is a member at this moment, and whoever a
// directory is being fetched from, or what a council that has ended left.
func (f *Follower) Wire() wire.Members { return atThisMoment{f} }

type atThisMoment struct{ *Follower }

func (f atThisMoment) Member(c name.Council) (wire.Member, bool) {
	for as, g := range f.guests() {
		if c == as && g != nil {
			return *g, true
		}
	}
	e, ok := f.members.Member(c)
	return wire.Member{Node: e.Node, Addresses: e.Addresses}, ok && e.Node != "" && e.ActiveAt(f.o.Now())
}

func (f atThisMoment) ByNode(id string) (name.Council, bool) {
	if e, ok := f.members.ByNode(id); ok && e.ActiveAt(f.o.Now()) {
		return e.Council, true
	}
	for as, g := range f.guests() {
		if g != nil && g.Node == id {
			return as, true
		}
	}
	return "", false
}

// guests returns who is let in beside members, by the name for it; nil for nobody.
func (f *Follower) guests() map[name.Council]*wire.Member {
	return map[name.Council]*wire.Member{guestName: f.guest.Load(), endedName: f.ended.Load()}
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
	b, err := proto.Marshal(&wirepb.FileRequest{Version: version, Path: path, Max: uint64(max)})
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
			return nil, false, fmt.Errorf("%w: not a message of %s", wire.ErrFrame, protocol)
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

// Handler serves below /directory/ the files of the directory.
func (f *Follower) Handler() http.Handler {
	return http.StripPrefix("/directory", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Client().Mirror().ServeHTTP(w, r)
	}))
}
