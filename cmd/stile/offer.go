package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A batch is a run of rows that is offered in one request.
type batch struct {
	rows    []intake.Row
	offered []int // of the rows, those that were offered
	request node.PutRequest
	reply   node.PutReply
	err     error
	done    chan struct{}
}

// offer offers the rows of a file, a batch at a time and several on their way
// at once. What became of them is tallied in the order of the file.
//
// Two rows of one record must reach the ledger in their order, or the older
// would stand. Requests may overtake each other, so a batch that holds a record
// which an earlier one holds too waits until that is done.
func (im *importer) offer(ctx context.Context, file string, r *intake.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var underway []*batch
	// settle waits for the oldest batches until no more than n are under way.
	settle := func(n int) error {
		for len(underway) > n {
			b := underway[0]
			underway = underway[1:]
			<-b.done
			if b.err != nil {
				last := b
				if len(underway) > 0 {
					last = underway[len(underway)-1]
				}
				// What is on its way is stopped, and its end waited for: the
				// caller closes the folder next.
				cancel()
				for _, other := range underway {
					<-other.done
				}
				return im.broken(file, b, last)
			}
			im.tally.take(file, r, b)
		}
		return nil
	}
	seen := im.tally.seen
	var end error
	for end == nil {
		var b *batch
		if b, end = im.fill(ctx, r); len(b.rows) == 0 {
			break
		}
		limit := batchesAtOnce - 1
		for _, i := range b.offered {
			before, twice := seen.again(file, b.rows[i], im.key)
			if twice && len(underway) > 0 && before.file == file && before.row >= underway[0].rows[0].Number && before.row < b.rows[0].Number {
				limit = 0
			}
		}
		if err := settle(limit); err != nil {
			return err
		}
		underway = append(underway, b)
		go func() {
			defer close(b.done)
			if len(b.request.Records) > 0 {
				b.reply, b.err = im.gate.Put(ctx, b.request)
				if b.err == nil && len(b.reply.Results) != len(b.request.Records) {
					b.err = failure(node.Failed, "use the same version of Stile for the command and the node", "the node answered for %d of %d records", len(b.reply.Results), len(b.request.Records))
				}
			}
		}()
	}
	if err := settle(0); err != nil {
		return err
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return end
}

// broken says how far an import came that cannot go on: first is the batch that
// failed, last the newest that was on its way.
func (im *importer) broken(file string, first, last *batch) error {
	f := explain(nil, first.err)
	from, to := first.rows[0].Number, last.rows[len(last.rows)-1].Number
	if im.dryRun {
		f.Message = fmt.Sprintf("%s: %q was checked up to row %d", f.Message, file, from-1)
	} else {
		f.Message = fmt.Sprintf("%s: of %q the rows before %d are done, and of rows %d to %d it is not known", f.Message, file, from, from, to)
	}
	again := "run the import again: a record that was taken makes no new version"
	if f.Try == "" || f.Try == "stile doctor" || errors.Is(first.err, context.Canceled) {
		f.Try = again
	} else {
		f.Try += "; then " + again
	}
	return f
}

// fill reads the next batch, with as many goroutines as there are processors.
// The error is the end of the file; the batch may hold rows even so.
func (im *importer) fill(ctx context.Context, r *intake.Reader) (*batch, error) {
	b := &batch{done: make(chan struct{})}
	var raws []intake.Raw
	var end error
	for bytes := 0; len(raws) < batchRows && bytes < batchBytes && ctx.Err() == nil; {
		raw, err := r.Scan()
		if err != nil {
			end = err
			break
		}
		raws = append(raws, raw)
		bytes += raw.Size()
	}
	if end == nil {
		end = ctx.Err()
	}
	b.rows = make([]intake.Row, len(raws))
	texts := make([][]byte, len(raws))
	var wg sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for w := range n {
		wg.Go(func() {
			for i := len(raws) * w / n; i < len(raws)*(w+1)/n; i++ {
				b.rows[i] = r.Read(raws[i])
				if len(b.rows[i].Problems) > 0 {
					continue
				}
				if texts[i] = b.rows[i].Text; texts[i] == nil {
					texts[i] = strictjson.Canonical(b.rows[i].Record)
				}
			}
		})
	}
	wg.Wait()
	b.request = node.PutRequest{Standard: im.standard, DryRun: im.dryRun, Hold: !im.dryRun && !im.all}
	if im.source != "" {
		b.request.Run = &im.register.run
	}
	for i, row := range b.rows {
		o := node.Offered{Row: row.Number, Reference: row.Reference, Record: texts[i]}
		if len(row.Problems) > 0 {
			// The node counts what came and could not be taken.
			o.Record, o.Problems = unread(row)
		}
		b.offered = append(b.offered, i)
		b.request.Records = append(b.request.Records, o)
	}
	return b, end
}

// unread is what the node is told of a row that no record could be made of:
// what it would be known by, and what is wrong, without the values.
func unread(row intake.Row) (json.RawMessage, []node.Problem) {
	rec := json.RawMessage("null")
	switch {
	case row.Partial != nil:
		rec = strictjson.Canonical(row.Partial)
	case row.Reference == "":
		// Told from others by its bytes alone, which need not be JSON.
		text := append([]byte(strings.Join(row.Cells, "\x00")), row.Text...)
		rec = fmt.Appendf(nil, "%q", fmt.Sprintf("sha256-%x", sha256.Sum256(text)))
	}
	var ps []node.Problem
	for _, p := range row.Problems {
		ps = append(ps, node.Problem{Pointer: p.Pointer, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix})
	}
	return rec, ps
}

// fieldOf returns the scalar at a place; a key never goes through an array.
func fieldOf(rec map[string]any, f name.Field) (any, bool) {
	var v any = rec
	for _, tok := range f.Tokens() {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[tok]; !ok {
			return nil, false
		}
	}
	return v, true
}
