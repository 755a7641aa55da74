package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Changes are what happened to records and agreements, in the order of our log.
type Changes struct{ to Operations }

// Changes returns the operations on changes.
func (o Operations) Changes() Changes { return Changes{o} }

// Read reads a part of the feed of changes. Where it is live [Node.Changed] tells when
// there may be more.
func (c Changes) Read(ctx context.Context, in ChangesRequest) (ChangesReply, error) {
	return do(ctx, c.to, (*Node).readChanges, in)
}

// Changed returns a channel that is closed when our log has grown or something was said
// about an agreement.
func (n *Node) Changed(ctx context.Context) <-chan struct{} {
	out := make(chan struct{})
	log, said := n.ledger.Changed(), n.book.Changed()
	go func() {
		defer close(out)
		select {
		case <-log:
		case <-said:
		case <-ctx.Done():
		}
	}()
	return out
}

// maxChanges is how many entries of the log one request looks at.
const maxChanges = 1000

// A cursor of the feed is the position, in decimal digits, and a digest of how the
// agreements stand, with a hyphen between. What others say of agreements stands in their
// logs and not in ours; who was told of another standing than today's is told anew.
func changesCursor(position uint64, standing string) string {
	return strconv.FormatUint(position, 10) + "-" + standing
}

func (n *Node) readChanges(_ context.Context, in ChangesRequest) (*ChangesReply, error) {
	if in.Limit <= 0 || in.Limit > maxChanges {
		in.Limit = maxChanges
	}
	stands, digest := n.standing()
	out := &ChangesReply{Changes: []FeedChange{}}
	var told string
	err := n.ledger.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		at := uint64(0)
		switch {
		case in.After == "now":
			at, told = cp.Size, digest
		case in.After != "":
			position, of, _ := strings.Cut(in.After, "-")
			p, err := strconv.ParseUint(position, 10, 64)
			if err != nil || p > cp.Size || len(of) > 32 {
				return fail(Usage, "begin anew, without a cursor", "the cursor is none that this node gave")
			}
			at, told = p, of
		}
		end := min(cp.Size, at+uint64(in.Limit))
		for ; at < end; at++ {
			found, err := n.changesAt(v, at)
			if err != nil {
				return err
			}
			for i, c := range found {
				c.Position, c.Cursor = at+1, changesCursor(at+1, told)
				if i < len(found)-1 {
					c.Cursor = changesCursor(at, told) // whoever stops here has both again
				}
				out.Changes = append(out.Changes, c)
			}
		}
		out.Live = at == cp.Size
		if out.Live && told != digest {
			for _, c := range stands {
				c.Position, c.Cursor = at, changesCursor(at, digest)
				out.Changes = append(out.Changes, c)
			}
			told = digest
		}
		out.Cursor = changesCursor(at, told)
		return nil
	})
	return out, err
}

// standing returns how every agreement stands, and a digest of that.
func (n *Node) standing() (out []FeedChange, digest string) {
	h := sha256.New()
	now := n.now().UTC().Truncate(time.Second)
	for _, st := range n.book.Current(n.now()) {
		r := n.reply(st)
		fmt.Fprintln(h, r.Name, r.Version, r.Digest, r.InForce, r.Signed, r.Waiting)
		out = append(out, FeedChange{
			Type: api.ChangeAgreement, At: now, Agreement: r.Name, Version: uint64(r.Version), Standard: r.Standard.String(), InForce: r.InForce, Why: r.Why,
		})
	}
	return out, hex.EncodeToString(h.Sum(nil)[:6])
}

// changesAt returns what an entry of our log changed: nothing where that is nothing of
// the feed.
func (n *Node) changesAt(v *ledger.View, index uint64) ([]FeedChange, error) {
	g, err := v.Logged(index)
	switch {
	case err == nil && g.Erased: // its erasure comes further on
		return nil, nil
	case err == nil:
		c := FeedChange{Type: api.ChangePut, At: g.At, Standard: g.Standard.String(), Records: []ChangedRecord{{Record: g.Record, Version: g.Version, Entry: index}}}
		if g.Deleted {
			c.Type = api.ChangeDeleted
		}
		return []FeedChange{c}, nil
	case errors.Is(err, ledger.ErrDamaged): // told by the conditions; the feed goes on
		return nil, nil
	case !errors.Is(err, ledger.ErrNotFound):
		return nil, err
	}
	ev, _, err := v.Event(index)
	if errors.Is(err, ledger.ErrDamaged) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := FeedChange{At: time.Unix(ev.IssuedAt, 0).UTC()}
	switch ev.Kind {
	case event.KindErasure:
		e, err := event.ParseErasure(ev.Body)
		if err != nil {
			return nil, nil
		}
		c.Type, c.Records = api.ChangeErased, []ChangedRecord{{Record: e.Record, Entry: index}}
		c.Standard = n.standardLogged(v, e.Entries)
	case event.KindWithdrawal, event.KindErasureOrder:
		w, err := event.ParseTakenBack(ev.Kind, ev.Body)
		if err != nil {
			return nil, nil
		}
		c.Type, c.Agreement, c.Version, c.Records = api.ChangeWithdrawn, w.Agreement, w.Version, []ChangedRecord{{Record: w.Record, Entry: index}}
		c.Standard = n.standardLogged(v, []uint64{w.Entry})
	case event.KindReceipt:
		r, err := event.ParseReceipt(ev.Body)
		if err != nil || r.From == n.cfg.Council {
			return nil, nil
		}
		return n.receivedChanges(v, c, r), nil
	default:
		return nil, nil
	}
	return []FeedChange{c}, nil
}

// standardLogged returns the standard of the first entry that is known.
func (n *Node) standardLogged(v *ledger.View, entries []uint64) string {
	for _, e := range entries {
		if g, err := v.Logged(e); err == nil {
			return g.Standard.String()
		}
	}
	return ""
}

// receivedChanges says what a receipt of ours says of records. Versions that newer ones
// replaced since are left to those.
func (n *Node) receivedChanges(v *ledger.View, c FeedChange, r *event.Receipt) (out []FeedChange) {
	c.Council, c.Agreement = r.From, r.Agreement
	for _, st := range n.book.Texts(r.Agreement, n.now()) {
		c.Standard = st.Agreement.Standard.String()
		break
	}
	if r.All {
		c.Type = api.ChangeReceivedEnd
		return []FeedChange{c}
	}
	src, err := n.ledger.Source(r.From, r.Agreement)
	if err != nil {
		return nil
	}
	add := func(typ string, list []uint64, find func(*ledger.Source, uint64) (name.Record, bool)) {
		c := c
		c.Type = typ
		for _, i := range list {
			if id, ok := find(src, i); ok {
				c.Records = append(c.Records, ChangedRecord{Record: id, Entry: i})
			}
		}
		if len(c.Records) > 0 {
			out = append(out, c)
		}
	}
	add(api.ChangeReceived, r.Held, v.Taken)
	add(api.ChangeTakenBack, r.Deleted, v.WithdrawnBy)
	return out
}
