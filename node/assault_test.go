package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A harm is what a member with whom nothing is agreed does at full speed.
type harm struct {
	name string
	kind quota.Kind // of what is refused to it; "" where that is whichever share is used up first
	by   with       // what it needs
	do   func(context.Context, *assault)
}

// with is what a harm is done with.
type with int

const (
	streams  with = iota // its network alone
	whole                // a node of its own, whose log it fills
	dials                // its network and its address: it comes anew again and again
	overHTTP             // the address at which northmoor serves HTTP
)

// An assault is one hostile member and what it has.
type assault struct {
	self name.Council
	net  wire.Network
	ring *keys.Ring
	// again has it connected to northmoor anew.
	again func(context.Context)
	// as opens another network, with other keys: dials.
	as   func(*keys.Ring, name.Council) (wire.Network, func(context.Context))
	node *node.Node // whole
	tcp  string     // dials: where northmoor listens
	http string     // overHTTP
	did  atomic.Int64
	log  *invented
}

// frame is a frame of which n bytes follow its length.
func frame(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func message(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return wire.AppendFrame(nil, b)
}

// flood opens streams to northmoor from several goroutines, one after another each.
func (x *assault) flood(ctx context.Context, at int, protocol string, do func(wire.Stream)) {
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for ctx.Err() == nil {
				st, err := x.net.Open(ctx, northmoor, protocol)
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				x.did.Add(1)
				stop := context.AfterFunc(ctx, func() { st.Reset() })
				do(st)
				stop()
				st.Reset()
			}
		})
	}
	wg.Wait()
}

// ask floods with one message, and reads what comes.
func ask(protocol string, message []byte) func(context.Context, *assault) {
	return func(ctx context.Context, x *assault) {
		x.flood(ctx, 4, protocol, func(st wire.Stream) {
			st.Write(message)
			io.Copy(io.Discard, st)
		})
	}
}

// answer has whoever asks for our notices get what give sends, and has itself asked again and again.
func answer(give func(*assault, wire.Stream)) func(context.Context, *assault) {
	return func(ctx context.Context, x *assault) {
		x.net.Handle(wirepb.Protocol, func(_ context.Context, _ name.Council, st wire.Stream) {
			defer st.Reset()
			x.did.Add(1)
			give(x, st)
		})
		for ctx.Err() == nil {
			x.again(ctx)
			time.Sleep(200 * time.Millisecond) // to be asked, and to send, takes a while on a busy machine
		}
		x.net.Handle(wirepb.Protocol, func(_ context.Context, _ name.Council, st wire.Stream) { st.Reset() })
	}
}

// say fills its own log with what next makes, addressed to northmoor.
func say(next func(x *assault, i int) (kind string, body map[string]any)) func(context.Context, *assault) {
	return func(ctx context.Context, x *assault) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					kind, body := next(x, int(x.did.Add(1)))
					if x.node.Say(ctx, kind, body, northmoor) != nil {
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func proposed(by name.Council, i int) *agreement.Agreement {
	a, err := agreement.Parse(draft(by, i))
	if err != nil {
		panic(err)
	}
	return a
}

// betweenOthers is what northmoor and saltby have agreed.
var betweenOthers, _ = agreement.Parse([]byte(planningAgreement))

var harms = []harm{
	{"streams and hellos", quota.Requests, streams, ask(wirepb.Protocol, message(&wirepb.Frame{Kind: &wirepb.Frame_Hello{
		Hello: &wirepb.Hello{Version: wirepb.Version, Feed: "northmoor.gov.uk/planning-for-saltby"}}}))},
	{"questions", quota.Requests, streams, ask(wirepb.LookupProtocol, wire.AppendFrame(nil, make([]byte, 1000)))},
	{"contributions to a footprint", quota.Requests, streams, ask(wirepb.ContributeProtocol, message(&wirepb.Contribution{
		Version: wirepb.ContributeVersion, Footprint: "fens.stile.example", Agreement: "northmoor.gov.uk/planning-for-saltby",
		Ask: &wirepb.Contribution_Page_{Page: &wirepb.Contribution_Page{Next: 1, Tokens: [][]byte{make([]byte, 50_000)}}}}))},
	{"directory entries, asked for", quota.Files, streams, func(ctx context.Context, x *assault) {
		x.flood(ctx, 4, "/stile/directory/1", func(st wire.Stream) {
			go io.Copy(io.Discard, st)
			for some := bytes.Repeat(message(&wirepb.FileRequest{Version: 1, Path: "timestamp.json", Max: 1 << 20}), 100); ; x.did.Add(100) {
				if _, err := st.Write(some); err != nil {
					return
				}
			}
		})
	}},
	{"proofs and heads of logs, asked for", quota.Requests, streams, ask(wirepb.LogProtocol, message(&wirepb.ProofRequest{Version: wirepb.LogVersion, Log: string(northmoor), Heads: true}))},
	{"what is held of its, asked for", quota.Requests, streams, ask("/stile/held/1", wire.AppendFrame(nil, make([]byte, 9)))},
	{"large frames, slowly", quota.Frames, streams, func(ctx context.Context, x *assault) {
		x.flood(ctx, 32, wirepb.Protocol, func(st wire.Stream) {
			st.Write(frame(8 << 20))
			for chunk := make([]byte, 16<<10); ctx.Err() == nil; {
				if _, err := st.Write(chunk); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}},
	{"frames of empty parts, to whoever asks", quota.Fetched, streams, answer(func(_ *assault, st wire.Stream) {
		parts := make([]byte, 4<<20)
		for i := 0; i+1 < len(parts); i += 2 {
			parts[i] = 0x0a // items, of no bytes
		}
		st.Write(wire.AppendFrame(nil, parts))
	})},
	{"checkpoints, to whoever asks", quota.Pages, streams, answer(func(x *assault, st wire.Stream) {
		in := wirepb.NewReader(st)
		if _, err := in.Read(); err != nil {
			return
		}
		for from := x.log.told(); ; {
			b := &wirepb.Batch{ConsistencyFrom: from, Live: true}
			from, b.Checkpoint, b.Consistency = x.log.grow(from)
			b.Cursor = from
			if _, err := st.Write(message(&wirepb.Frame{Kind: &wirepb.Frame_Batch{Batch: b}})); err != nil {
				return
			}
			if _, err := in.Read(); err != nil {
				return
			}
			x.log.took(from)
			x.did.Add(1)
		}
	})},
	{"proposals", "", whole, func(ctx context.Context, x *assault) {
		for ctx.Err() == nil {
			if _, err := x.node.Agreements().Sign(ctx, node.AgreementRequest{Document: draft(x.self, int(x.did.Add(1)))}); err != nil {
				return
			}
		}
	}},
	{"suspensions", "", whole, say(func(x *assault, i int) (string, map[string]any) {
		of := proposed(x.self, 1).Ref() // its own, of which all is taken that may become one of ours
		switch {
		case i == 1:
			return event.KindAgreementProposal, agreement.Proposal{Agreement: proposed(x.self, 1)}.Body()
		case i%4 > 1: // of one between others
			of = betweenOthers.Ref()
		}
		return []string{event.KindAgreementSuspend, event.KindAgreementResume}[i%2],
			agreement.Notice{Ref: of, Reason: "A reason.", At: time.Now().UTC().Truncate(time.Second)}.Body()
	})},
	{"connections of the member", quota.Connections, dials, func(ctx context.Context, x *assault) {
		for ctx.Err() == nil {
			x.again(ctx)
			x.did.Add(1)
		}
	}},
	{"handshakes of who is no member", "", dials, func(ctx context.Context, x *assault) {
		none, err := keys.Generate("nobody.gov.uk")
		if err != nil {
			panic(err)
		}
		_, again := x.as(none, "nobody.gov.uk")
		for ctx.Err() == nil {
			again(ctx)
			x.did.Add(1)
		}
	}},
	{"TCP connections that say nothing", "", dials, func(ctx context.Context, x *assault) {
		var open []net.Conn
		for ctx.Err() == nil {
			if c, err := net.DialTimeout("tcp", x.tcp, time.Second); err == nil {
				open = append(open, c)
			}
			x.did.Add(1)
			if len(open) > 500 {
				for _, c := range open {
					c.Close()
				}
				open = nil
			}
		}
	}},
	{"cosign requests", quota.Cosignings, overHTTP, func(ctx context.Context, x *assault) {
		c := &http.Client{Timeout: 5 * time.Second}
		for from := uint64(0); ctx.Err() == nil; x.did.Add(1) {
			size, note, proof := x.log.grow(from)
			body := fmt.Appendf(nil, "old %d\n", from)
			for ; len(proof) > 0; proof = proof[tlog.HashSize:] {
				body = append(base64.StdEncoding.AppendEncode(body, proof[:tlog.HashSize]), '\n')
			}
			body = append(append(body, '\n'), note...)
			r, err := c.Post("http://"+x.http+"/witness/add-checkpoint", "text/plain", bytes.NewReader(body))
			if err != nil {
				continue
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				from = size
			}
		}
	}},
	{"our log and directory over HTTP", "", overHTTP, func(ctx context.Context, x *assault) {
		c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					for _, path := range []string{"/stile/checkpoint", "/stile/tile/0/000.p/1", "/directory/root.json", "/nothing"} {
						if r, err := c.Get("http://" + x.http + path); err == nil {
							io.Copy(io.Discard, r.Body)
							r.Body.Close()
						}
						x.did.Add(1)
					}
				}
			})
		}
		wg.Wait()
	}},
}

// An invented is a log that nobody keeps: its checkpoints are signed, and hang together.
type invented struct {
	ring   *keys.Ring
	origin string

	mu    sync.Mutex
	tree  tlog.Tree
	tiles map[string][]byte
	taken uint64
}

func invent(c name.Council, ring *keys.Ring) *invented {
	return &invented{ring: ring, origin: c.Origin(), tiles: map[string][]byte{}}
}

// Tile implements [tlog.TileReader].
func (l *invented) Tile(level int, index uint64, width int) ([]byte, error) {
	b := l.tiles[fmt.Sprint(level, index)]
	if len(b) < 32*width {
		return nil, fmt.Errorf("no tile %d %d of width %d", level, index, width)
	}
	return b[:32*width], nil
}

// grow adds an entry and returns the new checkpoint, and the proof from an older size.
func (l *invented) grow(from uint64) (size uint64, signed, proof []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var entry tlog.Hash
	binary.BigEndian.PutUint64(entry[:], l.tree.Size())
	for _, t := range l.tree.Append([]tlog.Hash{entry}) {
		l.tiles[fmt.Sprint(t.Level, t.Index)] = t.Data
	}
	cp := tlog.Checkpoint{Origin: l.origin, Size: l.tree.Size(), Root: l.tree.Root()}
	signed, err := tlog.SignCheckpoint(cp, l.ring.Log.Signer(), l.ring.Record.CheckpointSigner(name.Council(strings.TrimSuffix(l.origin, "/stile"))))
	if err != nil {
		panic(err)
	}
	if from > 0 {
		hashes, err := tlog.Consistency(l, from, cp.Size)
		if err != nil {
			panic(err)
		}
		proof = tlog.JoinHashes(hashes)
	}
	return cp.Size, signed, proof
}

// told is the size that northmoor acknowledged last.
func (l *invented) told() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

func (l *invented) took(size uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = size
}

// A door tells where northmoor is, and that it is nowhere when it is shut: then its connections end.
type door struct {
	self, node string // ours, northmoor's
	at         string
	shut       atomic.Bool
}

// Member implements [wire.Members].
func (d *door) Member(c name.Council) (wire.Member, bool) {
	if string(c) == d.self {
		return wire.Member{}, true
	}
	return wire.Member{Node: d.node, Addresses: []string{d.at}}, c == northmoor && !d.shut.Load()
}

// ByNode implements [wire.Members].
func (d *door) ByNode(node string) (name.Council, bool) {
	return northmoor, node == d.node && !d.shut.Load()
}
