package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
)

func (n *Node) offer(ctx context.Context, in PutRequest) (*PutReply, error) {
	std, err := n.catalogue.Named(in.Standard)
	if err != nil {
		return nil, err
	}
	out := &PutReply{Results: make([]PutResult, len(in.Records))}
	offers := make([]*ledger.Offer, len(in.Records))
	var waiting []*ledger.Pending
	for from := 0; from < len(in.Records); from += offerChunk {
		to := min(from+offerChunk, len(in.Records))
		n.gateAll(ctx, std, in.Records[from:to], offers[from:to], out.Results[from:to])
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if in.DryRun {
			continue
		}
		// Those that were refused go with the others, to be counted.
		chunk := slices.DeleteFunc(slices.Clone(offers[from:to]), func(o *ledger.Offer) bool { return o == nil })
		if r := in.Run; r != nil {
			for _, o := range chunk {
				o.Within(ledger.Run{Origin: r.Source, Number: r.Number})
			}
		}
		if len(chunk) == 0 {
			continue
		}
		// Submitted in order, so that the later of two rows with one key wins;
		// the next chunk is validated while this one is signed and synced.
		p, err := n.ledger.Submit(ctx, chunk)
		if err != nil {
			return nil, err
		}
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		if err := p.Wait(ctx); err != nil {
			return nil, err
		}
	}
	for i, o := range offers {
		x := &out.Results[i]
		if o != nil && len(x.Problems) > 0 && !in.DryRun {
			r, err := o.Result()
			if err != nil {
				return nil, err
			}
			x.Repeated = r.Repeated
		}
		if o == nil || len(x.Problems) > 0 {
			continue
		}
		if in.DryRun {
			x.Outcome = Valid
			continue
		}
		r, err := o.Result()
		if err != nil {
			return nil, err
		}
		x.Record, x.Version, x.Index, x.Outcome, x.Withdrawn = r.Record, r.Version, r.Index, Outcome(r.Outcome), r.Withdrawn
	}
	if in.Hold && !in.DryRun {
		return out, n.hold(ctx, std, in.Records, out.Results)
	}
	return out, nil
}

// offerChunk is how many records are validated before they go to the ledger.
const offerChunk = 500

// gateAll validates records on all cores: each ends as an offer or as problems.
func (n *Node) gateAll(ctx context.Context, std *standard.Standard, records []Offered, offers []*ledger.Offer, results []PutResult) {
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(records) || ctx.Err() != nil {
				return
			}
			r := &results[i]
			r.Row, r.Reference = records[i].Row, records[i].Reference
			ps := records[i].Problems
			if len(ps) == 0 {
				offers[i], ps = n.gate(std, records[i].Record)
			}
			r.Problems = ps
			if offers[i] != nil {
				offers[i].As(records[i].Reference, records[i].Record)
			} else {
				offers[i] = n.refusal(std, records[i], ps)
			}
			if standard.Unjudged(ps) {
				r.Outcome = NotJudged
			}
		}
	}
	var wg sync.WaitGroup
	for range min(n.cfg.Limits.Workers(), (len(records)+15)/16) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// gate reads and validates one record. It returns an offer or problems.
func (n *Node) gate(std *standard.Standard, raw []byte) (*ledger.Offer, []standard.Problem) {
	limits := strictjson.DefaultLimits()
	limits.Bytes = n.cfg.Limits.RecordBytes
	v, err := strictjson.Decode(raw, limits)
	if err != nil {
		var e *strictjson.Error
		if errors.As(err, &e) {
			return nil, []standard.Problem{{Pointer: e.Pointer, Rule: e.Rule, Detail: e.Error(), Fix: e.Fix}}
		}
		return nil, []standard.Problem{{Rule: "json", Detail: err.Error()}}
	}
	if ps := std.Validate(v); len(ps) > 0 {
		return nil, ps
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, []standard.Problem{{Rule: "type", Detail: "a record must be a JSON object"}}
	}
	o, err := n.ledger.Offer(std, body)
	if err == nil {
		return o, nil
	}
	var p *standard.Problem
	var r *record.Refusal
	switch {
	case errors.As(err, &p):
		return nil, []standard.Problem{*p}
	case errors.As(err, &r):
		return nil, []standard.Problem{{Pointer: r.Pointer, Rule: r.Rule, Detail: r.Detail}}
	}
	return nil, []standard.Problem{{Rule: "standard", Detail: err.Error()}}
}

func (n *Node) hold(ctx context.Context, std *standard.Standard, offered []Offered, results []PutResult) error {
	var held []ledger.Held
	var taken []string
	same := make([]bool, len(results)) // it is live as it is offered
	err := n.ledger.View(func(v *ledger.View) error {
		for i, r := range results {
			same[i] = len(r.Problems) > 0 && r.Reference != "" && n.standsAs(v, std, offered[i].Record)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for i, r := range results {
		if len(offered[i].Problems) > 0 || r.Reference == "" && len(r.Problems) > 0 {
			// It never became a record; or without a reference of its own it could never be told from
			// another; the importer's report is where it stands.
			continue
		}
		if len(r.Problems) == 0 || same[i] {
			taken = append(taken, r.Reference)
			continue
		}
		h := ledger.Held{Standard: std.Name(), Reference: r.Reference, At: n.now().Unix(), Problems: r.Problems}
		if len(offered[i].Record) <= n.cfg.Limits.RecordBytes {
			h.Offered = offered[i].Record
		}
		held = append(held, h)
	}
	return n.ledger.Hold(ctx, std.Name(), held, taken)
}
