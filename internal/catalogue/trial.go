package catalogue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// faultIDs is how many records of a fault are named.
const faultIDs = 5

// maxFaults bounds the faults that are told apart; the rest count together.
const maxFaults = 500

// maxPage is how many records a page has at most.
const maxPage = 1000

// againstBytes bounds a page of large records, by their tokens.
const againstBytes = 16 << 20

// Against tells how the records of one version, or of a line, would fare under
// another version, a page at a time. It reads, and changes nothing. A reply names
// records and holds no value of theirs.
func (c *Catalogue) Against(ctx context.Context, in api.AgainstRequest) (*api.AgainstReply, error) {
	f, err := c.find(in.To)
	if err != nil {
		return nil, err
	}
	of, err := c.Named(in.From)
	if err != nil {
		return nil, err
	}
	line := of.Name().Line()
	_, version, _ := strings.Cut(in.From, "@")
	whole := !strings.Contains(version, ".") // a line
	out := &api.AgainstReply{From: of.Name().String(), To: f.std.Name(), Faults: []api.FaultCount{}}
	if whole {
		out.From = line.String()
	}
	counted := func(s name.Standard) bool { return s == of.Name() || whole && s.Line() == line }
	counts, err := c.counts()
	if err != nil {
		return nil, err
	}
	for s, n := range counts {
		if counted(s) {
			out.Total += n
		}
	}
	mapping, mapped := f.std.Mapping(line.Major)
	if out.Mapped = mapped && f.std.Name().Line() != line && f.std.Name().Name == line.Name; !out.Mapped {
		mapping = nil
	}

	limit := in.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	from, err := api.CursorAt(in.Cursor)
	if err != nil {
		return nil, err
	}
	var page []*ledger.Version
	size := 0
	err = c.o.Ledger.View(func(v *ledger.View) error {
		return v.Scan(line.Name, from, func(ver *ledger.Version, err error) bool {
			switch {
			case err != nil:
				out.Damaged++
			case !counted(ver.Claims.Standard):
			case len(page) == limit || size > againstBytes:
				out.Cursor = api.CursorOf(ver.Index)
				return false
			default:
				page = append(page, ver)
				size += len(ver.Token.Bytes())
			}
			return ctx.Err() == nil
		})
	})
	if err != nil {
		return nil, err
	}
	problems := make([][]standard.Problem, len(page))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(c.o.Workers, max(1, len(page)/16)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(page) || ctx.Err() != nil {
					return
				}
				problems[i] = faultsOf(f.std, mapping, page[i].Body)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := tally{}
	for i, ps := range problems {
		out.Examined++
		if len(ps) == 0 {
			out.Valid++
			continue
		}
		if standard.Unjudged(ps) {
			out.NotJudged++
			continue
		}
		out.Failed++
		t.add(page[i].Claims.Record, ps)
	}
	out.Faults = t.counts()
	return out, nil
}

// faultsOf tells what is wrong with a body under a standard, mapped to it first
// where there is a mapping.
func faultsOf(std *standard.Standard, m *standard.Mapping, body map[string]any) []standard.Problem {
	var v any = body
	var p *standard.Problem
	if m != nil {
		var err error
		if v, err = m.Apply(body); errors.As(err, &p) {
			return []standard.Problem{*p}
		}
	}
	ps := std.Validate(v)
	if len(ps) == 0 {
		if _, err := std.Key(v); errors.As(err, &p) {
			ps = append(ps, *p)
		}
	}
	return ps
}

// A tally counts faults, each once for a record.
type tally map[faultKey]*api.FaultCount

// A faultKey tells faults apart.
type faultKey struct{ Field, Rule, Detail string }

func (t tally) add(id name.Record, ps []standard.Problem) {
	seen := map[faultKey]bool{}
	for _, p := range ps {
		k := faultKey{foldPointer(p.Pointer), p.Rule, p.Detail}
		if len(t) >= maxFaults && t[k] == nil {
			k = faultKey{Rule: "other", Detail: fmt.Sprintf("breaks a rule beyond the first %d", maxFaults)}
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		c := t[k]
		if c == nil {
			c = &api.FaultCount{Field: k.Field, Rule: k.Rule, Detail: k.Detail}
			t[k] = c
		}
		if c.Records++; len(c.IDs) < faultIDs {
			c.IDs = append(c.IDs, id)
		}
	}
}

func (t tally) counts() []api.FaultCount {
	out := make([]api.FaultCount, 0, len(t))
	for _, c := range t {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b api.FaultCount) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Detail, b.Detail))
	})
	return out
}

// foldPointer puts "*" for every number of a pointer, so that the elements of
// a list count together.
func foldPointer(p string) string {
	toks := strings.Split(p, "/")
	for i, t := range toks {
		if i > 0 && t != "" && strings.Trim(t, "0123456789") == "" {
			toks[i] = "*"
		}
	}
	return strings.Join(toks, "/")
}
