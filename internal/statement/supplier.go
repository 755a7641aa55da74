package statement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What the charter of suppliers is made of: a council's tools, and what it states of them.
const (
	tools     = "standards.stile.example/digital-tool"
	suppliers = "standards.stile.example/supplier-statement"
)

// measuredSince is the version of [suppliers] from which a statement says what was counted.
var measuredSince = name.Version{Major: 1, Minor: 1}

// Charter counts what this node holds of the sources that a product of ours is, and says so
// in a record of [suppliers] where that is asked for. What people wrote in our statement on
// the product stays, but for the standards that are counted.
//
// Which source is which product is the council's word: a feed's tool, or the request.
// What came from the source and is held is counted here.
func (k *Keeper) Charter(ctx context.Context, in api.CharterRequest) (*api.CharterReply, error) {
	sources := in.Sources
	if len(sources) == 0 {
		sources = k.o.Feeds(in.Tool)
	}
	if len(sources) == 0 {
		return nil, api.Fail(api.NotFound, "stile standard charter TOOL --source NAME", "no feed names this tool, and no source was given: which records came from it is not known")
	}
	slices.Sort(sources)
	sources = slices.Compact(sources)
	out := &api.CharterReply{Counts: []api.CharterCount{}}
	now := k.o.Now().UTC().Truncate(time.Second)
	var body map[string]any
	err := k.o.Ledger.View(func(v *ledger.View) error {
		tool, err := k.current(v, tools, in.Tool)
		if errors.Is(err, ledger.ErrNotFound) {
			return api.Fail(api.NotFound, "stile record list --standard digital-tool", "no digital tool of ours has that reference")
		}
		if err != nil {
			return err
		}
		out.Product, _ = tool["product"].(string)
		out.Supplier, _ = tool["supplier"].(string)
		cp, _ := v.Checkpoint()
		for _, source := range sources {
			o, held, err := v.HeldFrom(ctx, source)
			if errors.Is(err, ledger.ErrNotFound) {
				return api.Fail(api.NotFound, "stile import FILE --source NAME", "no records were ever taken in from the source %q", source)
			}
			if err != nil {
				return err
			}
			out.Counts = append(out.Counts, api.CharterCount{Standard: o.Standard, Source: source, At: now, LogSize: cp.Size, Valid: held.Valid, Held: held.Refused, Damaged: held.Damaged})
		}
		if !in.Publish {
			return nil
		}
		body, err = k.current(v, suppliers, string(strictjson.Canonical([]any{out.Supplier, out.Product})))
		if errors.Is(err, ledger.ErrNotFound) {
			body, err = map[string]any{}, nil
		}
		for _, field := range []string{"supplier", "product", "company", "council"} {
			if s, ok := tool[field]; ok {
				body[field] = s
			}
		}
		return err
	})
	if err != nil || !in.Publish {
		return out, err
	}
	out.Published, err = k.charter(ctx, body, out.Counts, now)
	return out, err
}

// current returns the body of the newest version of a record of ours that is live, by its
// standard and natural key. The body is the caller's own. It fails as [ledger.ErrNotFound].
func (k *Keeper) current(v *ledger.View, std, key string) (map[string]any, error) {
	s, err := k.o.Standard(std)
	if err != nil {
		return nil, err
	}
	ver, err := v.Current(k.o.RecordID(s.Name().Line(), standard.TypedKey(key)))
	if err != nil {
		return nil, err
	}
	if ver.Body == nil {
		return nil, fmt.Errorf("record is deleted: %w", ledger.ErrNotFound)
	}
	own, err := strictjson.Decode(strictjson.Canonical(ver.Body), strictjson.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("read a record of ours: %w", err)
	}
	return own.(map[string]any), nil
}

// charter issues a statement on a product, with what was counted in the place of what it
// said of the same standards.
func (k *Keeper) charter(ctx context.Context, body map[string]any, counts []api.CharterCount, now time.Time) (*api.PutResult, error) {
	const adopt = "stile standard adopt supplier-statement"
	std, err := k.o.Standard(suppliers)
	if err != nil {
		return nil, err
	}
	if std.Name().Version.Compare(measuredSince) < 0 {
		return nil, api.Fail(api.NotFound, adopt, "the version of supplier-statement that is adopted here cannot say what was counted: %s is needed", measuredSince)
	}
	said, _ := body["standards"].([]any)
	said = slices.DeleteFunc(said, func(v any) bool {
		m, _ := v.(map[string]any)
		return slices.ContainsFunc(counts, func(c api.CharterCount) bool { return m["standard"] == c.Standard.String() })
	})
	for _, c := range counts {
		said = append(said, map[string]any{
			"standard": c.Standard.String(), "records": c.Valid + c.Held, "valid": c.Valid,
			"measured": map[string]any{"source": c.Source, "at": c.At.Format(time.RFC3339), "log_size": int64(c.LogSize), "held_valid": c.Valid, "held_back": c.Held},
		})
	}
	body["standards"], body["on"] = said, now.Format(time.DateOnly)
	r, err := k.o.Put(ctx, api.PutRequest{Standard: suppliers, Records: []api.Offered{{Record: json.RawMessage(strictjson.Canonical(body))}}})
	if err != nil {
		return nil, err
	}
	if x := r.Results[0]; len(x.Problems) > 0 {
		return nil, &api.Error{Kind: api.Invalid, Message: "the statement does not fit its standard", Try: "look at the record of the tool and at our statement on it: stile record list --standard supplier-statement", Problems: x.Problems}
	}
	return &r.Results[0], nil
}
