package gate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// ahead is how many batches wait for the disk while the next is read and judged.
const ahead = 2

// Stream takes batches of rows until next says io.EOF, and answers each, in order. While one is on
// its way to disk the next is judged.
func (g *Gate) Stream(ctx context.Context, in api.ImportRequest, next func(context.Context) ([]api.ImportRow, error), answer func(*api.ImportReply) error) error {
	if _, err := g.o.Standard(in.Standard); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type underway struct {
		*putting
		keys []api.KeyDigest
	}
	behind := make(chan underway, ahead)
	var wg sync.WaitGroup
	wg.Go(func() {
		for u := range behind {
			if ctx.Err() != nil {
				continue
			}
			out, err := u.finish(ctx)
			if err == nil {
				err = answer(summary(out, u.keys, in.Each))
			}
			if err != nil {
				cancel(err)
			}
		}
	})
	err := func() error {
		for {
			rows, err := next(ctx)
			if err != nil {
				return err
			}
			req := api.PutRequest{Standard: in.Standard, DryRun: in.DryRun, Hold: in.Hold, Run: in.Run, Records: make([]api.Offered, len(rows))}
			for i, r := range rows {
				req.Records[i] = api.Offered{Row: r.Row, Reference: r.Reference, Record: r.Record, Problems: r.Problems}
			}
			u := underway{keys: make([]api.KeyDigest, len(rows))}
			if u.putting, err = g.begin(ctx, req, u.keys); err != nil {
				return err
			}
			select {
			case behind <- u:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}()
	if !errors.Is(err, io.EOF) {
		cancel(err)
	}
	close(behind)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return nil
}

// summary says of a batch what is not the rule, and counts the rest.
func summary(out *api.PutReply, keys []api.KeyDigest, each bool) *api.ImportReply {
	r := &api.ImportReply{Rows: len(out.Results), Counts: map[api.Outcome]int{}, Keys: keys}
	if each {
		r.Results = out.Results
	}
	for i, x := range out.Results {
		if len(x.Problems) > 0 {
			r.NotTaken = append(r.NotTaken, api.NotTaken{At: i, PutResult: x})
			continue
		}
		r.Counts[x.Outcome]++
		r.Withdrawn += x.Withdrawn
	}
	return r
}

// find finds out what the sender of a record knows it by, and the digest of its
// key. The problem is of a key that went through a spreadsheet on its way here.
func find(std *standard.Standard, body map[string]any, r *api.Offered, digest *api.KeyDigest) *standard.Problem {
	var values []any
	var words []string
	var ruined *standard.Problem
	for _, f := range std.Manifest().Key {
		var v any = body
		for _, tok := range f.Tokens() {
			m, _ := v.(map[string]any)
			if v = m[tok]; v == nil {
				return nil // so it is refused, or will be
			}
		}
		values = append(values, v)
		switch v := v.(type) {
		case string:
			if name.PowersOfTen(v) {
				ruined = &standard.Problem{Pointer: string(f), Rule: "key", Detail: "is part of the record's key and was written in powers of ten by a spreadsheet, and digits are lost",
					Fix: "format the column as text or as a whole number in the spreadsheet and save the file again; numbers that were lost must come from the source"}
			}
			words = append(words, v)
		case json.Number:
			words = append(words, v.String())
		case bool:
			words = append(words, strconv.FormatBool(v))
		}
	}
	if ruined == nil {
		*digest = api.DigestKey(values)
	}
	if r.Reference == "" && len(words) == len(values) && !slices.Contains(words, "") {
		r.Reference = cutReference(strings.Join(words, " "))
	}
	return ruined
}

// cutReference keeps what a sender calls a record to a length for reports.
func cutReference(s string) string {
	n := 120
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
