// Package gate is where a record comes into the ledger: it is read strictly, held to
// its standard, and offered, or else refused with reasons, counted, and held back for
// its sender to mend.
//
// A refusal names a place and a rule and never holds a value. Whatever comes to the
// gate becomes a record, or is counted as refused or as not judged; nothing is dropped.
package gate

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
)

// Options say what a Gate works with. All are needed.
type Options struct {
	Ledger *ledger.Ledger
	Keys   *keys.Ring
	// Standard finds the adopted standard that a person means. Its error is shown as
	// it is.
	Standard func(typed string) (*standard.Standard, error)
	Now      func() time.Time

	Workers     int // goroutines that judge at once
	RecordBytes int // the largest record that is read
}

// A Gate takes records into a ledger. Its methods may be called concurrently.
type Gate struct{ o Options }

// New returns a Gate.
func New(o Options) *Gate { return &Gate{o} }

// Put offers records of one standard, in order: the later of two with one key wins.
// When it returns, what was taken is on disk, and what was refused is counted and,
// where the request says so, held back.
func (g *Gate) Put(ctx context.Context, in api.PutRequest) (*api.PutReply, error) {
	p, err := g.begin(ctx, in, nil)
	if err != nil {
		return nil, err
	}
	return p.finish(ctx)
}

// A putting is a request whose records are on their way to disk, in order.
type putting struct {
	g       *Gate
	in      api.PutRequest
	std     *standard.Standard
	offers  []*ledger.Offer
	waiting []*ledger.Pending
	out     *api.PutReply
}

// begin puts records through the gate and on their way. With keys, one for each, it
// finds out what they are known by; see find.
func (g *Gate) begin(ctx context.Context, in api.PutRequest, keys []api.KeyDigest) (*putting, error) {
	std, err := g.o.Standard(in.Standard)
	if err != nil {
		return nil, err
	}
	p := &putting{g: g, in: in, std: std, offers: make([]*ledger.Offer, len(in.Records)), out: &api.PutReply{Results: make([]api.PutResult, len(in.Records))}}
	for from := 0; from < len(in.Records); from += offerChunk {
		to := min(from+offerChunk, len(in.Records))
		var some []api.KeyDigest
		if keys != nil {
			some = keys[from:to]
		}
		g.judgeAll(ctx, std, in.Records[from:to], p.offers[from:to], p.out.Results[from:to], some)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if in.DryRun {
			continue
		}
		// Those that were refused go with the others, to be counted.
		chunk := slices.DeleteFunc(slices.Clone(p.offers[from:to]), func(o *ledger.Offer) bool { return o == nil })
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
		w, err := g.o.Ledger.Submit(ctx, chunk)
		if err != nil {
			return nil, err
		}
		p.waiting = append(p.waiting, w)
	}
	return p, nil
}

// finish waits until what was taken is on disk.
func (p *putting) finish(ctx context.Context) (*api.PutReply, error) {
	for i, w := range p.waiting {
		err := w.Wait(ctx)
		if i > 0 && errors.Is(err, ledger.ErrForked) {
			// A refusal is of the whole; this one came in the middle.
			return nil, api.Fail(api.Failed, "stop the node and bring the newest copy of its folder back", "%v", err)
		}
		if err != nil {
			return nil, err
		}
	}
	for i, o := range p.offers {
		x := &p.out.Results[i]
		if o != nil && len(x.Problems) > 0 && !p.in.DryRun {
			r, err := o.Result()
			if err != nil {
				return nil, err
			}
			x.Repeated = r.Repeated
		}
		if o == nil || len(x.Problems) > 0 {
			continue
		}
		if p.in.DryRun {
			x.Outcome = api.Valid
			continue
		}
		r, err := o.Result()
		if err != nil {
			return nil, err
		}
		x.Record, x.Version, x.Index, x.Outcome, x.Withdrawn = r.Record, r.Version, r.Index, api.Outcome(r.Outcome), r.Withdrawn
	}
	if p.in.Hold && !p.in.DryRun {
		return p.out, p.g.hold(ctx, p.std, p.in.Records, p.out.Results)
	}
	return p.out, nil
}

// offerChunk is how many records are validated before they go to the ledger.
const offerChunk = 500

// judgeAll validates records on all cores: each ends as an offer or as problems.
func (g *Gate) judgeAll(ctx context.Context, std *standard.Standard, records []api.Offered, offers []*ledger.Offer, results []api.PutResult, keys []api.KeyDigest) {
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(records) || ctx.Err() != nil {
				return
			}
			r := &results[i]
			ps := records[i].Problems
			if len(ps) == 0 {
				var body any
				offers[i], body, ps = g.judge(std, records[i].Record)
				if want := records[i].Key; want != "" && len(ps) == 0 {
					if k, err := std.Key(body); err != nil || k != standard.TypedKey(want) {
						offers[i], ps = nil, []standard.Problem{{Rule: "key", Detail: "the record has another key than the one it is put by", Fix: "put it by its own key"}}
					}
				}
				if m, ok := body.(map[string]any); ok && keys != nil {
					if p := find(std, m, &records[i], &keys[i]); p != nil {
						// It never was a record of anybody's.
						offers[i], ps = nil, []standard.Problem{*p}
						records[i].Problems = ps
					}
				}
			}
			r.Row, r.Reference, r.Problems = records[i].Row, records[i].Reference, ps
			if offers[i] != nil {
				if v := records[i].IfVersion; v != 0 {
					offers[i].At(v)
				}
				if records[i].IfAbsent {
					offers[i].Absent()
				}
				offers[i].As(records[i].Reference, records[i].Record)
			} else {
				offers[i] = g.refusal(std, records[i], ps)
			}
			if standard.Unjudged(ps) {
				r.Outcome = api.NotJudged
			}
		}
	}
	var wg sync.WaitGroup
	for range min(g.o.Workers, (len(records)+15)/16) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// decode reads what was offered.
func (g *Gate) decode(raw []byte) (any, error) {
	return strictjson.Decode(raw, g.limits())
}

func (g *Gate) limits() strictjson.Limits {
	limits := strictjson.DefaultLimits()
	limits.Bytes = g.o.RecordBytes
	return limits
}

// Judge reads and validates one record. It returns an offer or problems. It implements
// the gate of package mapper.
func (g *Gate) Judge(std *standard.Standard, raw []byte) (*ledger.Offer, []standard.Problem) {
	o, _, ps := g.judge(std, raw)
	return o, ps
}

// judge is Judge, and returns what it read as well.
func (g *Gate) judge(std *standard.Standard, raw []byte) (*ledger.Offer, any, []standard.Problem) {
	v, canonical, err := strictjson.DecodeCanonical(raw, g.limits())
	if err != nil {
		var e *strictjson.Error
		if errors.As(err, &e) {
			return nil, nil, []standard.Problem{{Pointer: e.Pointer, Rule: e.Rule, Detail: e.Error(), Fix: e.Fix}}
		}
		return nil, nil, []standard.Problem{{Rule: "json", Detail: err.Error()}}
	}
	if ps := std.Validate(v); len(ps) > 0 {
		return nil, v, ps
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, v, []standard.Problem{{Rule: "type", Detail: "a record must be a JSON object"}}
	}
	o, err := g.o.Ledger.OfferCanonical(std, body, canonical)
	if err == nil {
		return o, v, nil
	}
	var p *standard.Problem
	var r *record.Refusal
	switch {
	case errors.As(err, &p):
		return nil, v, []standard.Problem{*p}
	case errors.As(err, &r):
		return nil, v, []standard.Problem{{Pointer: r.Pointer, Rule: r.Rule, Detail: r.Detail}}
	}
	return nil, v, []standard.Problem{{Rule: "standard", Detail: err.Error()}}
}

// refusal prepares the count of an offer that the gate did not take; nil when
// it cannot be counted. It looks for the key of what may be no valid record.
func (g *Gate) refusal(std *standard.Standard, r api.Offered, problems []standard.Problem) *ledger.Offer {
	refused := ledger.Refused{Reference: r.Reference, Offered: r.Record, Problems: problems}
	if v, err := g.decode(r.Record); err == nil {
		if k, err := std.Key(v); err == nil {
			refused.Key = k
		}
	}
	o, err := g.o.Ledger.OfferRefused(std.Name(), refused)
	if err != nil { // not adopted: so nothing of it is counted
		return nil
	}
	return o
}

// hold keeps the offers that were refused, and drops those kept earlier that are in
// order by now.
func (g *Gate) hold(ctx context.Context, std *standard.Standard, offered []api.Offered, results []api.PutResult) error {
	var held []ledger.Held
	var settled []string
	same := make([]bool, len(results)) // it is live as it is offered
	err := g.o.Ledger.View(func(v *ledger.View) error {
		for i, r := range results {
			same[i] = len(r.Problems) > 0 && r.Reference != "" && g.Stands(v, std, offered[i].Record)
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
			settled = append(settled, r.Reference)
			continue
		}
		h := ledger.Held{Standard: std.Name(), Reference: r.Reference, At: g.o.Now().Unix(), Problems: r.Problems}
		if len(offered[i].Record) <= g.o.RecordBytes {
			h.Offered = offered[i].Record
		}
		held = append(held, h)
	}
	return g.o.Ledger.Hold(ctx, std.Name(), held, settled)
}

// Stands reports whether what was offered in a standard is live in it as the
// very same record: then there is nothing to hold back, whatever an offer of it
// met before.
func (g *Gate) Stands(v *ledger.View, std *standard.Standard, offered []byte) bool {
	if std == nil || len(offered) == 0 {
		return false
	}
	body, err := g.decode(offered)
	if err != nil {
		return false
	}
	key, err := std.Key(body)
	if err != nil {
		return false
	}
	ver, err := v.Current(g.o.Keys.RecordID(std.Name().Line(), key))
	return err == nil && ver.Claims.Op == record.Put && bytes.Equal(strictjson.Canonical(body), strictjson.Canonical(ver.Body))
}
