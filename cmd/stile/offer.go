package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A batch is a run of rows that is offered together.
type batch struct {
	raws  []intake.Raw
	rows  []intake.Row // of JSON for a node, as they stand and not read
	sent  []node.ImportRow
	keys  []node.KeyDigest // of rows that were read; empty of one without
	reply *node.ImportReply
	err   error
	done  chan struct{}
}

// read returns a row of a batch, read.
func (b *batch) read(r *intake.Reader, i int) intake.Row {
	if row := b.rows[i]; row.Record != nil || len(row.Problems) > 0 {
		return row
	}
	return r.Read(b.raws[i])
}

// A carrier takes batches to a gate, and back comes what became of them. Batches are
// received in the order they were sent.
type carrier interface {
	send(*batch) error
	receive(*batch) error
	close()
}

// carry begins an import at a node, which reads JSON itself; direct says so. Any other
// gate is asked about batches.
func (im *importer) carry(ctx context.Context) (c carrier, direct bool, err error) {
	g, ok := im.gate.(nodeGate)
	if !ok {
		return &asking{ctx: ctx, im: im}, false, nil
	}
	in := node.ImportRequest{Standard: im.standard, DryRun: im.dryRun, Hold: !im.dryRun && !im.all}
	if im.source != "" {
		in.Run = &im.register.run
	}
	i, err := g.taker.Import(ctx, in)
	if err != nil {
		return nil, false, err
	}
	return streaming{i}, true, nil
}

// A streaming carrier has a node take the rows as they come.
type streaming struct{ *node.Import }

func (s streaming) send(b *batch) error { return s.Send(b.sent) }
func (s streaming) close()              { s.Close() }

func (s streaming) receive(b *batch) (err error) {
	if b.reply, err = s.Receive(); err == nil && b.reply.Rows != len(b.rows) {
		err = failure(node.Failed, "use the same version of Stile for the command and the node", "the node answered for %d of %d records", b.reply.Rows, len(b.rows))
	}
	return err
}

// An asking carrier asks a gate about several batches at once.
//
// Two rows of one record must reach a ledger in their order, or the older would
// stand. Requests may overtake each other, so a batch that holds a record which an
// earlier one holds too waits until that is done.
type asking struct {
	ctx      context.Context
	im       *importer
	underway []*batch
}

func (a *asking) send(b *batch) error {
	now := map[[8]byte]bool{}
	for _, other := range a.underway {
		for _, k := range other.keys {
			now[k.Exact] = true
		}
	}
	for _, k := range b.keys {
		if k != (node.KeyDigest{}) && now[k.Exact] {
			a.close()
			break
		}
	}
	a.underway = append(a.underway, b)
	in := node.PutRequest{Standard: a.im.standard, DryRun: a.im.dryRun, Hold: !a.im.dryRun && !a.im.all}
	if a.im.source != "" {
		in.Run = &a.im.register.run
	}
	for _, r := range b.sent {
		in.Records = append(in.Records, node.Offered{Row: r.Row, Reference: r.Reference, Record: r.Record, Problems: r.Problems})
	}
	go func() {
		defer close(b.done)
		var reply node.PutReply
		if reply, b.err = a.im.gate.Put(a.ctx, in); b.err == nil && len(reply.Results) != len(in.Records) {
			b.err = failure(node.Failed, "use the same version of Stile for the command and the node", "the node answered for %d of %d records", len(reply.Results), len(in.Records))
		}
		if b.err != nil {
			return
		}
		b.reply = &node.ImportReply{Rows: len(b.rows), Counts: map[node.Outcome]int{}, Keys: b.keys}
		for i, x := range reply.Results {
			if len(x.Problems) > 0 || len(b.rows[i].Problems) > 0 {
				b.reply.NotTaken = append(b.reply.NotTaken, node.NotTaken{At: i, PutResult: x})
				continue
			}
			b.reply.Counts[x.Outcome]++
			b.reply.Withdrawn += x.Withdrawn
		}
	}()
	return nil
}

func (a *asking) receive(b *batch) error {
	<-b.done
	a.underway = a.underway[slices.Index(a.underway, b)+1:]
	return b.err
}

// close waits for what is under way.
func (a *asking) close() {
	for _, b := range a.underway {
		<-b.done
	}
}

// offer offers the rows of a file, a batch at a time and several on their way
// at once. What became of them is tallied in the order of the file.
func (im *importer) offer(ctx context.Context, file string, r *intake.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, direct, err := im.carry(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// What is on its way is stopped, and its end waited for: the caller closes
		// the folder next.
		cancel()
		c.close()
	}()
	var underway []*batch
	// settle waits for the oldest batches until no more than n are under way.
	settle := func(n int) error {
		for len(underway) > n {
			b := underway[0]
			if err := c.receive(b); err != nil {
				return im.broken(file, err, b, underway[len(underway)-1])
			}
			underway = underway[1:]
			im.tally.take(file, r, b)
		}
		return nil
	}
	var end error
	for end == nil {
		var b *batch
		if b, end = im.fill(ctx, r, direct); len(b.rows) == 0 {
			break
		}
		if err := settle(batchesAtOnce - 1); err != nil {
			return err
		}
		underway = append(underway, b)
		if err := c.send(b); err != nil {
			// Why it broke is told when a reply is waited for.
			if why := settle(0); why != nil {
				return why
			}
			return im.broken(file, err, b, b)
		}
	}
	if err := settle(0); err != nil {
		return err
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return end
}

// broken says how far an import came that cannot go on, and why: first is the batch
// that failed, last the newest that was on its way.
func (im *importer) broken(file string, why error, first, last *batch) error {
	f := explain(nil, why)
	from, to := first.rows[0].Number, last.rows[len(last.rows)-1].Number
	switch {
	case im.dryRun:
		f.Message = fmt.Sprintf("%s: %q was checked up to row %d", f.Message, file, from-1)
	case f.Kind == node.Refused && from <= 1:
		// A batch is refused as a whole, and those behind it with it.
		f.Message = fmt.Sprintf("%s: nothing of %q was taken", f.Message, file)
	case f.Kind == node.Refused:
		f.Message = fmt.Sprintf("%s: of %q the rows before %d are done, and none from there on was taken", f.Message, file, from)
	default:
		f.Message = fmt.Sprintf("%s: of %q the rows before %d are done, and of rows %d to %d it is not known", f.Message, file, from, from, to)
	}
	again := "run the import again: a record that was taken makes no new version"
	if f.Try == "" || f.Try == "stile doctor" || errors.Is(why, context.Canceled) {
		f.Try = again
	} else {
		f.Try += "; then " + again
	}
	return f
}

// fill reads the next batch, with as many goroutines as there are processors.
// The error is the end of the file; the batch may hold rows even so. With direct set
// JSON is left to the node to read.
func (im *importer) fill(ctx context.Context, r *intake.Reader, direct bool) (*batch, error) {
	b := &batch{done: make(chan struct{})}
	var end error
	for bytes := 0; len(b.raws) < batchRows && bytes < batchBytes && ctx.Err() == nil; {
		raw, err := r.Scan()
		if err != nil {
			end = err
			break
		}
		b.raws = append(b.raws, raw)
		bytes += raw.Size()
	}
	if end == nil {
		end = ctx.Err()
	}
	n := len(b.raws)
	b.rows, b.sent, b.keys = make([]intake.Row, n), make([]node.ImportRow, n), make([]node.KeyDigest, n)
	var wg sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for w := range cores {
		work := func() {
			for i := n * w / cores; i < n*(w+1)/cores; i++ {
				im.prepareRow(r, b, i, direct)
			}
		}
		if text := n > 0 && direct && b.raws[0].Text() != nil; text || w == cores-1 {
			work() // nothing is read
			continue
		}
		wg.Go(work)
	}
	wg.Wait()
	return b, end
}

// prepareRow makes of a row what is sent.
func (im *importer) prepareRow(r *intake.Reader, b *batch, i int, direct bool) {
	raw := b.raws[i]
	if text := raw.Text(); direct && text != nil {
		b.rows[i] = intake.Row{Number: raw.Number, Line: raw.Line, Text: text}
		b.sent[i] = node.ImportRow{Row: raw.Number, Record: text}
		return
	}
	row := r.Read(raw)
	b.rows[i] = row
	// The node counts what came and could not be taken, too.
	rec, problems := r.Offered(row)
	b.sent[i] = node.ImportRow{Row: row.Number, Reference: row.Reference, Record: rec, Problems: problems}
	if !direct && row.Record != nil {
		b.keys[i], _ = im.digest(row)
	}
}

// digest returns the digest of a row's key; false when it has none that can be read.
func (im *importer) digest(row intake.Row) (node.KeyDigest, bool) {
	values := make([]any, 0, 2)
	for _, f := range im.key {
		v, ok := fieldOf(row.Record, f)
		if !ok {
			return node.KeyDigest{}, false // it will be refused
		}
		values = append(values, v)
	}
	return node.DigestKey(values), true
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
