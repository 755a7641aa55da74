package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/explain"
	"github.com/stile-exchange/stile/internal/telemetry"
)

// Operations are what a node can be asked to do, by noun. A [Node] carries them
// out in this process and a [Client] at the admin socket of a running one; the
// answers are the same.
//
// Every method takes a context and gives up when it ends. A failure is an
// *[Error]. A request must not be changed until the method returns; a reply is
// the caller's own, and shares no memory with the node. Methods may be called
// concurrently.
//
// The zero value belongs to no node and must not be used.
type Operations struct {
	node   *Node                                                        // in this process,
	client *Client                                                      // or at a socket,
	open   func(context.Context) (o Operations, c io.Closer, err error) // or with whomever it returns, for one operation,
	probe  *probe                                                       // or not at all: it is taken down what would be done
}

// Each returns operations each of which is carried out by whomever open returns,
// which is closed afterwards. It suits a program that asks now and then, such as
// a command, and must not keep a data folder open in between.
func Each(open func(context.Context) (Operations, io.Closer, error)) Operations {
	return Operations{open: open}
}

// Status says how the node stands.
func (o Operations) Status(ctx context.Context) (StatusReply, error) {
	return do(ctx, o, (*Node).status, Empty{})
}

// Why says why a partner has or lacks a record, rule by rule.
func (o Operations) Why(ctx context.Context, in WhyRequest) (WhyReply, error) {
	return do(ctx, o, (*explain.Explainer).Why, in)
}

// Bundle makes a file that an auditor can verify offline, from public keys
// alone.
func (o Operations) Bundle(ctx context.Context, in BundleRequest) (BundleReply, error) {
	return do(ctx, o, (*Node).bundle, in)
}

// Retry makes what waits for a partner or for the directory try again now.
func (o Operations) Retry(ctx context.Context) error {
	_, err := do(ctx, o, (*Node).retry, Empty{})
	return err
}

// Repair fetches back what of the store is damaged: our own records from who holds them, those of others from who
// sent them, and both from another copy of the folder. Each is held against its leaf before it is put back.
func (o Operations) Repair(ctx context.Context, in RepairRequest) (RepairReply, error) {
	return do(ctx, o, (*Node).repair, in)
}

// Each operation is declared once: as an exported method of Operations, or of a
// noun that Operations returns, that hands to do what carries it out. What it is
// called on the admin socket is the noun and the verb, such as records/put, and
// is read from the methods themselves; see table.

// do carries out an operation that has one reply. f is a method of the node, or of
// one of its rooms.
func do[Room, In, Out any](ctx context.Context, o Operations, f func(Room, context.Context, In) (*Out, error), in In) (Out, error) {
	return perform(ctx, o, reflect.ValueOf(f).Pointer(), func(n *Node, ctx context.Context, in In) (out Out, err error) {
		p, err := f(room[Room](n), ctx, in)
		if err != nil {
			return out, err
		}
		return *p, nil
	}, in)
}

// list carries out an operation whose reply is a list.
func list[Room, In, Out any](ctx context.Context, o Operations, f func(Room, context.Context, In) ([]Out, error), in In) ([]Out, error) {
	return perform(ctx, o, reflect.ValueOf(f).Pointer(), func(n *Node, ctx context.Context, in In) ([]Out, error) { return f(room[Room](n), ctx, in) }, in)
}

// room returns the node's room of a type. TestTable holds that there is one for every
// operation.
func room[Room any](n *Node) Room {
	for _, r := range n.rooms() {
		if r, ok := r.(Room); ok {
			return r
		}
	}
	panic(fmt.Sprintf("internal error: the node has no %T", *new(Room)))
}

func perform[In, Out any](ctx context.Context, o Operations, of uintptr, f func(*Node, context.Context, In) (Out, error), in In) (out Out, err error) {
	var none Out
	switch {
	case o.probe != nil:
		o.probe.of, o.probe.calls = of, o.probe.calls+1
		o.probe.in, o.probe.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
		o.probe.run = func(ctx context.Context, n *Node, raw []byte) (any, error) {
			var in In
			if len(raw) > 0 {
				if err := json.Unmarshal(raw, &in); err != nil {
					return nil, fail(Usage, "", "request is not what the operation takes: %v", err)
				}
			}
			out, err := traced(ctx, n, of, f, in)
			if err != nil {
				return nil, err
			}
			return clone(out), nil
		}
		return none, nil
	case o.node != nil:
		// Whoever asks is in the context where a door has named them; the door has asked
		// before, with what the request is about.
		if p := access.From(ctx); p != nil {
			if err := access.Allowed(p, table().paths[of], access.On{AnySide: true}); err != nil {
				return none, err
			}
		}
		if out, err = traced(ctx, o.node, of, f, clone(in)); err != nil {
			e := clone(*asError(err))
			return none, &e
		}
		return clone(out), nil
	case o.client != nil:
		if err := o.client.call(ctx, table().paths[of], in, &out); err != nil {
			return none, err
		}
		return out, nil
	}
	at, c, err := o.open(ctx)
	if err != nil {
		return none, err
	}
	out, err = perform(ctx, at, of, f, in)
	if cerr := c.Close(); err == nil && cerr != nil {
		return none, fmt.Errorf("close the data folder: %w", cerr)
	}
	return out, err
}

// traced carries out an operation as one span.
func traced[In, Out any](ctx context.Context, n *Node, of uintptr, f func(*Node, context.Context, In) (Out, error), in In) (Out, error) {
	ctx, span := telemetry.Begin(ctx, table().paths[of], "", "")
	out, err := f(n, ctx, in)
	kind := ""
	if err != nil {
		kind = string(asError(err).Kind)
	}
	span.End(kind, 0)
	return out, err
}

// A probe takes down what a method of Operations, or of a noun, would do.
type probe struct {
	of      uintptr // the function that carries it out
	calls   int
	in, out reflect.Type
	run     func(ctx context.Context, n *Node, in []byte) (any, error)
}

// An operation is one row of the table behind the admin socket.
type operation struct {
	path string // noun/verb, or the verb alone
	probe
}

type operations struct {
	byPath map[string]operation
	paths  map[uintptr]string // by the function that carries it out
}

// table is every operation there is, read from the methods of Operations and of
// the nouns it returns. TestTable holds that each method is one operation, and
// that no two have one function.
var table = sync.OnceValue(func() operations {
	t := operations{map[string]operation{}, map[uintptr]string{}}
	p := &probe{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumMethod() {
			m, path := v.Method(i), prefix+strings.ToLower(v.Type().Method(i).Name)
			if m.Type().NumIn() == 0 { // a noun
				walk(path+"/", m.Call(nil)[0])
				continue
			}
			*p = probe{}
			args := []reflect.Value{reflect.ValueOf(context.Background())}
			for j := 1; j < m.Type().NumIn(); j++ {
				args = append(args, reflect.Zero(m.Type().In(j)))
			}
			m.Call(args)
			t.byPath[path], t.paths[p.of] = operation{path, *p}, path
		}
	}
	walk("", reflect.ValueOf(Operations{probe: p}))
	return t
})
