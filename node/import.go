package node

import (
	"context"
)

// An Import takes rows into a node, in order and batch by batch, several of which
// may be on their way at once. One goroutine may send while another receives.
type Import struct {
	send    func([]ImportRow) error
	receive func() (*ImportReply, error)
	end     func()
}

// Send puts a batch on its way. It blocks while the node has enough to do. Where it
// fails Receive says why.
func (i *Import) Send(rows []ImportRow) error { return i.send(rows) }

// Receive returns what became of the oldest batch that was not answered yet: what
// was taken of it is signed, logged and on disk. An error ends the import and is an
// [*Error]; batches that were not answered may have been taken.
func (i *Import) Receive() (*ImportReply, error) { return i.receive() }

// Close ends the import and returns when the node is not at work for it any more.
// Batches that were not answered may have been taken.
func (i *Import) Close() { i.end() }

// Import begins an import. It ends with ctx.
func (n *Node) Import(ctx context.Context, in ImportRequest) (*Import, error) {
	ctx, cancel := context.WithCancel(ctx)
	batches, replies, done := make(chan []ImportRow), make(chan *ImportReply, 1), make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		failed = n.gate.Stream(ctx, in, func(ctx context.Context) ([]ImportRow, error) {
			select {
			case b := <-batches:
				return b, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, func(r *ImportReply) error {
			select {
			case replies <- r:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return &Import{
		send: func(b []ImportRow) error {
			select {
			case batches <- b:
				return nil
			case <-done:
				return asError(failed)
			}
		},
		receive: func() (*ImportReply, error) {
			select {
			case r := <-replies:
				return r, nil
			case <-done:
			}
			select {
			case r := <-replies:
				return r, nil
			default:
				return nil, asError(failed)
			}
		},
		end: func() { cancel(); <-done },
	}, nil
}
