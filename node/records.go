package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// recordID resolves what a person typed to a record id: the id itself, or a
// natural key of one of our own records.
func (n *Node) recordID(typed, std string) (name.Record, error) {
	if r, err := name.ParseRecord(typed); err == nil && std == "" {
		return r, nil
	}
	if err := keyFault(typed); err != nil {
		return "", err
	}
	if std == "" {
		return n.recordWithKey(standard.TypedKey(typed), n.ledger.Standards())
	}
	s, err := n.catalogue.Named(std)
	if err != nil {
		return "", err
	}
	if strings.Contains(std, "@") {
		return n.keys.RecordID(s.Name().Line(), standard.TypedKey(typed)), nil
	}
	all := n.ledger.Standards()
	id, err := n.recordWithKey(standard.TypedKey(typed), slices.DeleteFunc(all, func(o *standard.Standard) bool { return o.Name().Name != s.Name().Name }))
	if api.IsNotFound(err) {
		return n.keys.RecordID(s.Name().Line(), standard.TypedKey(typed)), nil
	}
	return id, err
}

// ownID is recordID, and follows an id that the record had at a council which has ended.
func (n *Node) ownID(typed, std string) (name.Record, error) {
	id, err := n.recordID(typed, std)
	if err != nil {
		return "", err
	}
	return n.goesOnAs(id)
}

// takenOverFrom returns the record of ours that a record of a council which has ended became.
func (n *Node) takenOverFrom(in RecordRequest) (now name.Record, err error) {
	was, err := name.ParseRecord(in.Record)
	if err != nil {
		return "", err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		now, err = v.Now(was, in.From)
		return err
	})
	return now, err
}

// recordWithKey finds one of our own records by its natural key. Where two
// majors of a standard have it, that of the newer one is meant, unless it was
// deleted and the older was not.
func (n *Node) recordWithKey(key string, among []*standard.Standard) (found name.Record, err error) {
	var of name.StandardName
	live := false
	err = n.ledger.View(func(v *ledger.View) error {
		for _, s := range among { // ascending versions of each name
			if of != "" && s.Name().Name != of {
				continue
			}
			id := n.keys.RecordID(s.Name().Line(), key)
			ver, err := v.Current(id)
			if err != nil {
				continue
			}
			if put := ver.Claims.Op == record.Put; put || !live {
				found, of, live = id, s.Name().Name, put
			}
		}
		return nil
	})
	if err == nil && found == "" {
		err = fail(NotFound, "name the standard with --standard, or give the record's id", "no record of ours has that key")
	}
	return found, err
}

// keyFault refuses a typed key that no record has: it would be looked for in
// vain, and whoever typed it cannot see why.
func keyFault(typed string) error {
	parts := []any{typed}
	if strings.HasPrefix(typed, "[") {
		if v, err := strictjson.Decode([]byte(typed), strictjson.DefaultLimits()); err == nil {
			parts, _ = v.([]any)
		}
	}
	for _, p := range parts {
		if s, ok := p.(string); ok {
			if fault := name.KeyFault(s); fault != "" {
				return fail(Usage, "type the key without it, or name the record by its id of 26 letters", "the key %s", fault)
			}
		}
	}
	return nil
}

func (n *Node) showRecord(ctx context.Context, in RecordRequest) (*RecordReply, error) {
	var out *RecordReply
	if in.From != "" && in.From != n.cfg.Council {
		h, src, err := n.findHolding(in)
		if err != nil && isNotFound(err) {
			if r, berr := n.became(in); berr == nil {
				return r, nil
			}
			if id, oerr := n.takenOverFrom(in); oerr == nil {
				return n.showRecord(ctx, RecordRequest{Record: string(id), Token: in.Token})
			}
		}
		if err != nil {
			return nil, err
		}
		n.uses.Note(src, nil, h)
		out = n.holdingReply(src, h, true)
		err = n.ledger.View(func(v *ledger.View) error {
			out.Received, err = v.ReceivedAt(src, h.Index)
			return err
		})
		return out, err
	}
	id, err := n.ownID(in.Record, in.Standard)
	if err != nil {
		return nil, err
	}
	var ver *ledger.Version
	err = n.ledger.View(func(v *ledger.View) (err error) {
		if ver, err = v.Current(id); err != nil {
			return err
		}
		out = n.versionReply(ver, true)
		if err := n.succeeded(v, ver, out); err != nil {
			return err
		}
		out.MadeFrom, _ = v.MadeFrom(ver.Standard, id)
		return nil
	})
	if errors.Is(err, ledger.ErrNotFound) {
		if r, berr := n.became(in); berr == nil {
			return r, nil
		}
	}
	if err == nil && in.Token {
		out.Token, err = n.standAlone(ctx, ver)
	}
	return out, err
}

// became returns what a record is now that was held of a council which has ended, by its id
// there, and has come since from a successor.
func (n *Node) became(in RecordRequest) (*RecordReply, error) {
	was, err := name.ParseRecord(in.Record)
	if err != nil {
		return nil, err
	}
	var b ledger.Became
	var h *ledger.Holding
	err = n.ledger.View(func(v *ledger.View) error {
		if b, err = v.Became(was); err != nil {
			return err
		}
		if in.From != "" && in.From != b.Was.Council {
			return ledger.ErrNotFound
		}
		h, err = v.Holding(b.Source, b.Record)
		return err
	})
	if err != nil {
		return nil, err
	}
	n.uses.Note(b.Source, nil, h)
	out := n.holdingReply(b.Source, h, true)
	out.Former = &api.FormerReply{Council: b.Was.Council, Record: b.Was.Record, Version: b.Was.Version, Entry: b.Was.Entry, Event: b.Was.Event}
	return out, nil
}

// standAlone returns the token of a version of ours with a signature of its own,
// which is made now if nobody asked for it before.
func (n *Node) standAlone(ctx context.Context, ver *ledger.Version) (string, error) {
	t, err := n.ledger.SignToken(ctx, ver)
	if errors.Is(err, keys.ErrNoFormer) {
		return "", fail(Refused, "stile record proof "+string(ver.Claims.Record),
			"version %d was logged under a record key that is not here any more, which alone could sign it; the record stands in the log and has its proof there", ver.Claims.Version)
	}
	if err != nil {
		return "", err
	}
	return string(t.Bytes()), nil
}

// heldID finds a record that another council sent us, now or earlier: see explain.Options.
func (n *Node) heldID(from name.Council, typed string) (name.Record, error) {
	if id, err := name.ParseRecord(typed); err == nil {
		return id, nil
	}
	h, _, err := n.findHolding(RecordRequest{From: from, Record: typed})
	if err != nil {
		if isNotFound(err) {
			err = fail(NotFound, "name it by its id: what was deleted is not found by its key", "no record held from %s has that key", from)
		}
		return "", err
	}
	return h.View.Record, nil
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == NotFound
}

// findHolding finds a record held from another council. Its key is not known
// here unless it was disclosed, so that a typed key is looked for among the
// holdings' visible keys.
func (n *Node) findHolding(in RecordRequest) (*ledger.Holding, *ledger.Source, error) {
	if err := keyFault(in.Record); err != nil {
		return nil, nil, err
	}
	for _, src := range n.ledger.Sources() {
		if src.From != in.From || src.Agreement == "" {
			continue
		}
		var found *ledger.Holding
		err := n.ledger.View(func(v *ledger.View) error {
			if id, err := name.ParseRecord(in.Record); err == nil {
				found, err = v.Holding(src, id)
				if errors.Is(err, ledger.ErrNotFound) {
					return nil
				}
				return err
			}
			want := standard.TypedKey(in.Record)
			if v.Hides(src) {
				return fmt.Errorf("what %s sent under %s: %w", src.From, src.Agreement, ledger.ErrUnread)
			}
			return v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
				if err != nil {
					return true
				}
				std, err := n.ledger.Standard(h.View.Standard)
				if err != nil {
					return true
				}
				if k, err := std.Key(h.View.Body); err == nil && k == want {
					found = h
					return false
				}
				return true
			})
		})
		if err != nil {
			return nil, nil, err
		}
		if found != nil {
			return found, src, nil
		}
	}
	return nil, nil, fail(NotFound, "stile record list --from "+string(in.From), "no record held from %s has that id or key", in.From)
}

// reference is what a council knows a record by: the values of its standard's
// key, parted by spaces, and "" when one of them is not there.
func (n *Node) reference(of name.Standard, body any) string {
	std, err := n.ledger.Standard(of)
	if err != nil {
		return ""
	}
	var parts []string
	for _, f := range std.Manifest().Key {
		v := body
		for _, tok := range f.Tokens() {
			m, _ := v.(map[string]any)
			v = m[tok]
		}
		switch v := v.(type) {
		case string:
			parts = append(parts, v)
		case nil, map[string]any, []any:
			return ""
		default:
			parts = append(parts, string(strictjson.Canonical(v)))
		}
	}
	return strings.Join(parts, " ")
}

func (n *Node) versionReply(ver *ledger.Version, whole bool) *RecordReply {
	c := ver.Claims
	r := &RecordReply{
		Council: c.Council, Record: c.Record, Standard: c.Standard, Version: c.Version, Op: string(c.Op),
		Index: ver.Index, IssuedAt: time.Unix(c.IssuedAt, 0).UTC(), Proof: "log",
	}
	if ver.Body != nil {
		r.Reference = n.reference(c.Standard, ver.Body)
	}
	if whole {
		r.Token = string(ver.Token.Bytes())
		if ver.Body != nil {
			r.Body = strictjson.Canonical(ver.Body)
		}
	}
	return r
}

func (n *Node) holdingReply(src *ledger.Source, h *ledger.Holding, whole bool) *RecordReply {
	v := h.View
	r := &RecordReply{
		Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version, Op: string(v.Op),
		Index: h.Index, IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Agreement: src.Agreement,
		Withheld: v.Withheld, Proof: "log",
	}
	if src.Kept != nil {
		r.Kept = src.Kept.String()
	}
	if st, ok := n.book.Status(src.Agreement, n.now()); ok {
		r.Urgent = st.Agreement.Way().Urgent()
	}
	if m, ok := n.directory.Member(src.From); ok && m.Role == directory.RoleFootprint {
		r.Proof = "signature" // nobody signs for what its members bring
	}
	if len(h.Passed) > 0 {
		r.Proof, r.PassedBy, r.PassedUnder = "signature", src.From, h.PassedUnder()
	}
	if whole {
		r.Token, r.Body, r.Disclosed = string(h.Token.Bytes()), strictjson.Canonical(v.Body), v.Disclosed
		r.Reference = n.reference(v.Standard, v.Body)
		place := h.Index
		if r.Proof == "signature" {
			place = directory.AnyPlace
		}
		if m, ok := n.directory.Member(v.Council); ok {
			key, err := m.RecordKeyAt(h.Token.Signer(), place)
			switch {
			case errors.Is(err, directory.ErrRevoked):
				r.Proof = "revoked key"
			case err != nil:
			case h.Token.Signed() && h.Token.Verify(key) != nil:
				r.Proof = "does not verify"
			}
		}
	}
	return r
}

const maxList = 1000

// maxListBytes ends a page of records with their bodies, which may be large.
const maxListBytes = 8 << 20

// A list that goes over several standards or agreements is continued at a
// place in one of them: cursors carry which, above the log index.
const cursorIndexBits = 48

func cursorAt(list int, index uint64) Cursor {
	return api.CursorOf(uint64(list)<<cursorIndexBits | index)
}

func splitCursor(c Cursor) (list int, index uint64, err error) {
	at, err := api.CursorAt(c)
	return int(at >> cursorIndexBits), at & (1<<cursorIndexBits - 1), err
}

func (n *Node) listRecords(ctx context.Context, in ListRequest) (*ListReply, error) {
	if in.Limit <= 0 {
		in.Limit = 100
	}
	in.Limit = min(in.Limit, maxList)
	pick, err := pickerOf(in.Where)
	if err != nil {
		return nil, err
	}
	if in.From != "" && in.From != n.cfg.Council {
		return n.listHoldings(in, pick)
	}
	if in.Snapshot {
		return n.listSnapshot(in, pick)
	}
	var names []name.StandardName
	if in.Standard != "" {
		std, err := n.catalogue.Named(in.Standard)
		if err != nil {
			return nil, err
		}
		names = append(names, std.Name().Name)
	} else {
		for _, s := range n.ledger.Standards() {
			if len(names) == 0 || names[len(names)-1] != s.Name().Name {
				names = append(names, s.Name().Name)
			}
		}
	}
	out := &ListReply{Records: []RecordReply{}}
	first, from, err := splitCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	size := 0
	err = n.ledger.View(func(v *ledger.View) error {
		for i, std := range names {
			if i < first {
				continue
			}
			if i > first {
				from = 0
			}
			err := v.Scan(std, from, func(ver *ledger.Version, err error) bool {
				if err != nil {
					out.Damaged = append(out.Damaged, err.Error())
					return true
				}
				if in.Standard != "" && !catalogue.Means(in.Standard, ver.Claims.Standard) {
					return true
				}
				if len(out.Records) == in.Limit || size > maxListBytes || pick.enough() {
					out.Cursor = cursorAt(i, ver.Index)
					return false
				}
				if !pick.picks(ver.Body) {
					return true
				}
				r := n.versionReply(ver, false)
				if in.Bodies {
					r.Body = strictjson.Canonical(ver.Body)
					size += len(r.Body)
				}
				out.Records = append(out.Records, *r)
				return true
			})
			if err != nil || out.Cursor != "" {
				return err
			}
		}
		return nil
	})
	out.Unsure = pick.unsure
	return out, err
}

func (n *Node) listHoldings(in ListRequest, pick *picker) (*ListReply, error) {
	out := &ListReply{Records: []RecordReply{}}
	seen, size := false, 0
	shown := map[*ledger.Source][]*ledger.Holding{} // with what they say
	first, from, err := splitCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		for i, src := range n.ledger.Sources() {
			if src.From != in.From || src.Agreement == "" {
				continue
			}
			seen = true
			if i < first {
				continue
			}
			if i > first {
				from = 0
			}
			var broken error
			err := v.Holdings(src, from, func(h *ledger.Holding, err error) bool {
				if errors.Is(err, ledger.ErrUnread) {
					if in.Cursor == "" {
						out.Hidden = append(out.Hidden, err.Error())
					}
					return true
				}
				if err != nil {
					out.Damaged = append(out.Damaged, err.Error())
					return true
				}
				if in.Standard != "" && !catalogue.Means(in.Standard, h.View.Standard) {
					return true
				}
				if len(out.Records) == in.Limit || size > maxListBytes || pick.enough() {
					out.Cursor = cursorAt(i, h.Index)
					return false
				}
				if !pick.picks(h.View.Body) {
					return true
				}
				r := n.holdingReply(src, h, false)
				if r.Received, broken = v.ReceivedAt(src, h.Index); broken != nil {
					return false
				}
				if in.Bodies {
					r.Body, r.Reference = strictjson.Canonical(h.View.Body), n.reference(h.View.Standard, h.View.Body)
					size += len(r.Body)
					shown[src] = append(shown[src], h)
				}
				out.Records = append(out.Records, *r)
				return true
			})
			if err = cmp.Or(err, broken); err != nil || out.Cursor != "" {
				return err
			}
		}
		return nil
	})
	if err == nil && !seen {
		return nil, fail(NotFound, "stile agreement list", "nothing was ever copied from %s", in.From)
	}
	out.Unsure = pick.unsure
	for src, hs := range shown {
		n.uses.Note(src, in.Show, hs...)
	}
	return out, err
}

func (n *Node) recordHistory(ctx context.Context, in RecordRequest) (*HistoryReply, error) {
	id, err := n.ownID(in.Record, in.Standard)
	if err != nil {
		return nil, err
	}
	out := &HistoryReply{}
	err = n.ledger.View(func(v *ledger.View) error {
		var failed error
		err := v.Versions(id, func(g ledger.Logged) bool {
			if g.Erased {
				out.Versions = append(out.Versions, RecordReply{
					Council: n.cfg.Council, Record: g.Record, Standard: g.Standard, Version: g.Version, Op: "erased", Index: g.Index, IssuedAt: g.At, Proof: "log",
				})
				return true
			}
			var ver *ledger.Version
			if ver, failed = v.Version(g.Index); failed == nil {
				out.Versions = append(out.Versions, *n.versionReply(ver, false))
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return out, err
}

// recordProof proves the newest version of a record against the newest
// cosigned checkpoint that covers it, or against our own when none does yet.
func (n *Node) recordProof(ctx context.Context, in RecordRequest) (*ProofReply, error) {
	id, err := n.ownID(in.Record, in.Standard)
	if err != nil {
		return nil, err
	}
	var out *ProofReply
	var ver *ledger.Version
	err = n.ledger.View(func(v *ledger.View) (err error) {
		if ver, err = v.Current(id); err != nil {
			return err
		}
		_, signed := v.Checkpoint()
		out = &ProofReply{Record: id, Index: ver.Index, Token: string(ver.Token.Bytes())}
		ws, err := v.Cosigned()
		if err != nil {
			return err
		}
		best := uint64(0)
		for _, w := range ws {
			if w.Checkpoint.Size > ver.Index && w.Checkpoint.Size > best {
				best, signed, out.Witness = w.Checkpoint.Size, w.Note, []name.Council{w.Witness}
			}
		}
		p, err := tlog.NewProof(v, ver.Index, signed)
		if err != nil {
			return fmt.Errorf("prove entry %d: %w", ver.Index, err)
		}
		out.Proof = string(p.Marshal())
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Whoever keeps the files may have only a reader of SD-JWT.
	if token, err := n.standAlone(ctx, ver); err == nil {
		out.Token = token
	}
	return out, nil
}

func (n *Node) deleteRecord(ctx context.Context, in RecordRequest) (*DeleteReply, error) {
	id, err := n.ownID(in.Record, in.Standard)
	if err != nil {
		return nil, err
	}
	o := n.ledger.OfferDelete(id)
	if in.IfVersion != 0 {
		o.At(in.IfVersion)
	}
	if err := n.ledger.Write(ctx, o); err != nil {
		return nil, err
	}
	r, err := o.Result()
	if err != nil {
		return nil, err
	}
	return &DeleteReply{Record: r.Record, Version: r.Version, Withdrawn: r.Withdrawn}, nil
}

func (n *Node) listHeld(ctx context.Context, in ListRequest) (*HeldReply, error) {
	out := &HeldReply{Held: []Held{}}
	limit := in.Limit
	if limit <= 0 || limit > maxList {
		limit = maxList
	}
	err := n.ledger.View(func(v *ledger.View) error {
		known := map[name.Standard]*standard.Standard{}
		for _, s := range n.ledger.Standards() {
			known[s.Name()] = s
		}
		return v.Held(func(h ledger.Held) bool {
			if in.Standard != "" && !catalogue.Means(in.Standard, h.Standard) || n.gate.Stands(v, known[h.Standard], h.Offered) {
				return true
			}
			if !in.Bodies {
				h.Offered = nil
			}
			out.Held = append(out.Held, Held{Standard: h.Standard, Reference: h.Reference, At: time.Unix(h.At, 0).UTC(), Problems: h.Problems, Offered: h.Offered})
			return len(out.Held) < limit
		})
	})
	return out, err
}

// compact keeps a JSON document as it is on the wire.
func compact(v any) json.RawMessage { return strictjson.Canonical(v) }
