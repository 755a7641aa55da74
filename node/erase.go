package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// purgeEvery is how often what was replaced by a newer text is taken out of the files.
const purgeEvery = time.Hour

// scrubEvery is after how many purges every table of the store is held against its checksums.
const scrubEvery = 24

// purge takes it out until ctx ends, and looks once a day whether the disk still holds what was written.
func (n *Node) purge(ctx context.Context) {
	t := time.NewTicker(purgeEvery)
	defer t.Stop()
	for turn := 1; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if turn%scrubEvery == 0 {
			if err := n.ledger.Scrub(); err != nil && ctx.Err() == nil {
				n.log.Error("hold the store against its checksums", "error", err.Error())
			}
		}
		if err := n.ledger.Purge(ctx); err != nil && ctx.Err() == nil {
			n.log.Error("take what was replaced out of the files", "error", err.Error())
		}
	}
}

// eraseRecords erases one record, or all about a person, in all versions, with what
// mappings made of them and the offers of them that are held back. A record that is
// there is deleted first, which withdraws it. With Try set nothing is changed.
func (n *Node) eraseRecords(ctx context.Context, in EraseRequest) (*EraseReply, error) {
	if !in.Try && in.Reason == "" {
		return nil, fail(Usage, "--reason \"erasure request 2026/17\"", "an erasure is logged for good with its reason, so give one that names nobody")
	}
	ids, out, err := n.toErase(in)
	if err != nil {
		return nil, err
	}
	if err := n.eraseAll(ctx, ids, in, out); err != nil {
		return out, err
	}
	return out, n.eraseHeld(ctx, in, ids, out)
}

// eraseAll erases records, and takes them out of the files together: each time Badger
// writes its tables anew.
func (n *Node) eraseAll(ctx context.Context, ids []name.Record, in EraseRequest, out *EraseReply) (err error) {
	seen := map[name.Record]bool{}
	for _, id := range ids {
		if err = n.eraseOne(ctx, id, "", in, seen, out); err != nil {
			break
		}
	}
	if !in.Try {
		err = errors.Join(err, n.ledger.Purge(ctx))
		n.keepErasures()
	}
	return err
}

// eraseAgain erases what we had erased in the part of our log that was lost when the
// folder was set back, as the councils that were ordered to erase it too have shown, or the
// list of erasures.
func (n *Node) eraseAgain(ctx context.Context) error {
	var ids []name.Record
	var orders []uint64
	err := n.ledger.View(func(v *ledger.View) (err error) {
		ids, orders, err = v.ToEraseAgain()
		return err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	seen, out := map[name.Record]bool{}, &EraseReply{}
	for i, id := range ids {
		in := EraseRequest{Reason: fmt.Sprintf("erased before, as entry %d of the part of our log that was lost ordered", orders[i])}
		if orders[i] == ledger.ListedOrder {
			in.Reason = "erased before, as the list of erasures says"
		}
		if err := n.eraseOne(ctx, id, "", in, seen, out); err != nil {
			return fmt.Errorf("erase again what was erased before the folder was set back: %w", err)
		}
	}
	if err := n.ledger.Purge(ctx); err != nil {
		return err
	}
	if err := n.eraseHeld(ctx, EraseRequest{}, ids, out); err != nil {
		return err
	}
	for _, id := range ids {
		if err := n.ledger.ErasedAgain(ctx, id); err != nil {
			return err
		}
	}
	n.keepErasures()
	n.log.Warn("records were erased again, which this folder had since it was set back", "records", len(ids))
	return nil
}

// toErase returns which records are meant.
func (n *Node) toErase(in EraseRequest) (ids []name.Record, out *EraseReply, err error) {
	out = &EraseReply{Try: in.Try, Records: []ErasedRecord{}}
	if in.Person == "" {
		id, err := n.ownID(in.Record, in.Standard)
		return []name.Record{id}, out, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		all, shared, err := n.register.About(v, in.Person, in.Scheme)
		if !in.Shared {
			out.Shared = shared
			all = slices.DeleteFunc(all, func(r name.Record) bool { return slices.Contains(shared, r) })
		}
		ids = all
		return err
	})
	return ids, out, err
}

// goesOnAs returns the record of ours that is meant by an id: the one that it is of or, where
// none is, the one that a council had which has ended.
func (n *Node) goesOnAs(id name.Record) (now name.Record, err error) {
	err = n.ledger.View(func(v *ledger.View) error {
		now = id
		err := v.Versions(id, func(ledger.Logged) bool { return false })
		if !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		r, err := v.Now(id, "")
		if errors.Is(err, ledger.ErrNotFound) {
			return nil // who erases it says that there is none
		}
		now = r
		return err
	})
	return now, err
}

// eraseOne erases a record, after what a mapping made of it. source is that which it was
// made from itself.
func (n *Node) eraseOne(ctx context.Context, id, source name.Record, in EraseRequest, seen map[name.Record]bool, out *EraseReply) error {
	if seen[id] {
		return nil
	}
	seen[id] = true
	var made []name.Record
	live := false
	r := ErasedRecord{Record: id, MadeFrom: source}
	err := n.ledger.View(func(v *ledger.View) error {
		switch f, err := v.Former(id); {
		case err == nil:
			r.Former = &api.FormerReply{Council: f.Council, Record: f.Record, Version: f.Version, Entry: f.Entry, Event: f.Event}
		case errors.Is(err, ledger.ErrStorage):
			return err
		}
		made = v.MadeOf(id)
		return v.Versions(id, func(g ledger.Logged) bool { live = !g.Deleted && !g.Erased; return false })
	})
	if err != nil {
		return err
	}
	for _, m := range made {
		if err := n.eraseOne(ctx, m, id, in, seen, out); err != nil {
			return err
		}
	}
	r.Live = live
	if live && !in.Try {
		o := n.ledger.OfferDelete(id)
		if source != "" {
			o.MadeFrom(source)
		}
		err := n.ledger.Write(ctx, o)
		if err == nil {
			_, err = o.Result()
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) { // a mapping has just deleted it
			return err
		}
	}
	did, err := n.ledger.EraseUpToFiles(ctx, id, in.Reason, in.Try)
	if errors.Is(err, ledger.ErrLive) {
		return fail(Conflict, "stop what writes it, or erase it there first, and try again", "record %s was written again while it was being erased", id)
	}
	if err != nil {
		return err
	}
	for _, g := range did.Versions {
		r.Versions++
		r.Entries, r.Standard = append(r.Entries, g.Index), g.Standard
	}
	slices.Sort(r.Entries)
	r.Events = did.Events
	for _, o := range did.Orders {
		for _, c := range o.To {
			to := ErasureOrder{Agreement: o.Agreement, To: c, Entry: o.Index}
			if n.replicas.Is(c) {
				to.Footprint = true
			}
			r.Orders = append(r.Orders, to)
		}
	}
	back, err := n.replicas.TakeBack(ctx, id, in.Try)
	r.Orders = append(r.Orders, back...)
	out.Records = append(out.Records, r)
	return err
}

// eraseHeld erases the offers held back that are of one of the records.
func (n *Node) eraseHeld(ctx context.Context, in EraseRequest, ids []name.Record, out *EraseReply) (err error) {
	of := func(h ledger.Held) bool {
		std, err := n.ledger.Standard(h.Standard)
		if err != nil {
			return false
		}
		body, err := strictjson.Decode(h.Offered, strictjson.DefaultLimits())
		if err != nil {
			return false
		}
		m, ok := body.(map[string]any)
		if !ok {
			return false
		}
		key, err := std.Key(m)
		return err == nil && slices.Contains(ids, n.keys.RecordID(h.Standard.Line(), key))
	}
	if !in.Try {
		out.Held, err = n.ledger.EraseHeld(ctx, of)
	} else {
		err = n.ledger.View(func(v *ledger.View) error {
			return v.Held(func(h ledger.Held) bool {
				if of(h) {
					out.Held++
				}
				return true
			})
		})
	}
	if err != nil {
		return fmt.Errorf("erase what is held back: %w", err)
	}
	return nil
}

// erased is the failure for a record that was erased.
func erased(err error) *api.Error {
	return fail(NotFound, "stile record history RECORD shows what is left of it", "%v", err)
}
