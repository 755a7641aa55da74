package peersync

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// ErrLied is wrapped by every error that no honest sender can cause: a
// checkpoint, proof or order that does not hold. The whole batch is refused
// and nothing of it is kept.
var ErrLied = errors.New("does not verify")

// ErrStandardMissing: the batch holds records of a standard version that is
// not adopted here, so they cannot be checked. Adopting it lets the exchange
// go on from where it stopped.
var ErrStandardMissing = errors.New("standard is not adopted here")

// ErrKeyMissing: the batch is signed with a key that the directory does not give
// its sender, and the directory has not been looked for since: the sender may
// have changed its key. The exchange goes on when that has been done.
var ErrKeyMissing = errors.New("signed with a key that our directory does not have")

// inlineSignatures is the size of a batch up to which every record's own
// signature is checked before the batch is kept. A larger batch is kept on
// the proof that the sender's log holds every record in it, which one
// checkpoint signature covers, and the signatures are checked close behind.
const inlineSignatures = 64

// A checker holds what a batch from one feed is checked against.
type checker struct {
	from  directory.Member
	log   note.Verifier
	doc   *agreement.Agreement // nil for notices
	stds  func(name.Standard) (*standard.Standard, error)
	now   func() time.Time
	news  func(kid string) error // whether there may be news of a key: ErrKeyMissing, or nil
	byStd sync.Map               // name.Standard to *agreement.Terms, nil where there are none
}

// termsFor returns what the agreement means for one version of its standard,
// nil when it lets nothing of that version out.
func (c *checker) termsFor(std *standard.Standard) *agreement.Terms {
	if t, ok := c.byStd.Load(std.Name()); ok {
		return t.(*agreement.Terms)
	}
	t, err := c.doc.Compile(std)
	if err != nil {
		t = nil
	}
	c.byStd.Store(std.Name(), t)
	return t
}

// delivery checks a batch against the sender's log, the agreement and the
// standard. The result holds what may be kept and, for each item that may
// not, a refusal. An error refuses the batch as a whole.
func (c *checker) delivery(src *ledger.Source, b *wirepb.Batch) (*ledger.Delivery, error) {
	d := &ledger.Delivery{Note: b.GetCheckpoint(), Cursor: b.GetCursor(), Live: b.GetLive(), Offered: int(min(b.GetRecords(), 1<<40))}
	var err error
	if d.Checkpoint, err = c.checkpoint(src, b); err != nil {
		return nil, err
	}
	items := b.GetItems()
	if len(items) > ledger.MaxPageItems {
		return nil, fmt.Errorf("batch of %d items: %w: more than %d", len(items), ErrLied, ledger.MaxPageItems)
	}
	indices := make([]uint64, len(items))
	at, size := src.Cursor, 0
	for i, it := range items {
		// An honest page is cut so. A longer one would not fit one commit.
		if size += len(it.GetToken()); i > 0 && size > ledger.MaxPageBytes {
			return nil, fmt.Errorf("batch: %w: more than %d bytes of tokens", ErrLied, ledger.MaxPageBytes)
		}
		if it.GetIndex() < at || it.GetIndex() >= d.Checkpoint.Size {
			return nil, fmt.Errorf("item %d of the batch: %w: entry %d is out of order", i, ErrLied, it.GetIndex())
		}
		indices[i], at = it.GetIndex(), it.GetIndex()+1
	}
	if d.Cursor < at || d.Cursor > d.Checkpoint.Size {
		return nil, fmt.Errorf("batch: %w: cursor %d", ErrLied, d.Cursor)
	}
	if len(items) == 0 {
		d.Verified = true
		return d, nil
	}

	d.Verified = len(items) <= inlineSignatures
	results := make([]checked, len(items))
	var next atomic.Int64
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(items) {
				return
			}
			results[i] = c.item(items[i].GetIndex(), items[i].GetToken(), d.Verified)
		}
	}
	var wg sync.WaitGroup
	for range min(parallel(), (len(items)+7)/8) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()

	entries := make([]tlog.Hash, len(items))
	for i, r := range results {
		if r.err != nil {
			return nil, fmt.Errorf("entry %d: %w", indices[i], r.err)
		}
		entries[i] = r.entry
	}
	proof, err := tlog.SplitHashes(b.GetInclusion())
	if err != nil {
		return nil, fmt.Errorf("batch proof: %w: %w", ErrLied, err)
	}
	if err := tlog.VerifyBatch(entries, indices, d.Checkpoint.Size, d.Checkpoint.Root, proof); err != nil {
		return nil, fmt.Errorf("batch proof: %w: %w", ErrLied, err)
	}
	seen := make(map[name.Record]bool, len(items))
	for i, r := range results {
		if id := r.about(); id != "" {
			// A feed holds one item of a record: that of its newest state.
			if seen[id] {
				return nil, fmt.Errorf("entry %d: %w: the batch has an item of the same record already", indices[i], ErrLied)
			}
			seen[id] = true
		}
		switch {
		case r.refusal != nil:
			d.Refused = append(d.Refused, *r.refusal)
		case r.withdrawn != "":
			d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: indices[i], Record: r.withdrawn})
		case r.put != nil:
			d.Puts = append(d.Puts, *r.put)
		default:
			d.Events = append(d.Events, ledger.PageItem{Index: indices[i], Token: items[i].GetToken()})
		}
	}
	return d, nil
}

// checkpoint checks the batch's checkpoint: signed by the sender's log, and an
// extension of the one we hold. Two checkpoints that no one log can have are a
// fork.
func (c *checker) checkpoint(src *ledger.Source, b *wirepb.Batch) (tlog.Checkpoint, error) {
	cp, n, err := tlog.OpenCheckpoint(b.GetCheckpoint(), c.from.Council.Origin(), c.log)
	if err != nil {
		return cp, fmt.Errorf("checkpoint: %w: %w", ErrLied, err)
	}
	forked := func(what string) error {
		// Without signatures of keys unknown, which could be any number.
		told, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
		if err != nil {
			return fmt.Errorf("checkpoint: %w: %s", ErrLied, what)
		}
		return &fork{what, [][]byte{src.Note, told}}
	}
	switch {
	case src.Size == 0:
		return cp, nil
	case cp.Size < src.Size:
		return cp, forked(fmt.Sprintf("its log shrank from %d to %d entries", src.Size, cp.Size))
	case cp.Size == src.Size:
		if !bytes.Equal(cp.Root[:], src.Root) {
			return cp, forked(fmt.Sprintf("it told us of another history before at size %d", cp.Size))
		}
		return cp, nil
	}
	proof, err := tlog.SplitHashes(b.GetConsistency())
	if err != nil {
		return cp, fmt.Errorf("consistency proof: %w: %w", ErrLied, err)
	}
	if len(src.Root) != tlog.HashSize {
		return cp, fmt.Errorf("internal error: stored root of %s has %d bytes", src.From, len(src.Root))
	}
	if err := tlog.VerifyConsistency(src.Size, tlog.Hash(src.Root), cp.Size, cp.Root, proof); err != nil {
		return cp, forked(fmt.Sprintf("it told us of another history before, or has no proof that sizes %d and %d are of one", src.Size, cp.Size))
	}
	return cp, nil
}

// A fork is two checkpoints of one log, both signed by it, that it has not
// shown to be of one history.
type fork struct {
	what  string
	notes [][]byte // the one we hold, the one we were sent
}

func (f *fork) Error() string { return "checkpoint: " + ErrLied.Error() + ": " + f.what }

func (f *fork) Unwrap() error { return ErrLied }

// checked is what one item turned out to be.
type checked struct {
	entry     tlog.Hash
	put       *ledger.Put
	withdrawn name.Record
	refusal   *ledger.Refusal
	err       error // the whole batch is to be refused
}

// about returns the record that an item to be kept is about, "" for none.
func (r *checked) about() name.Record {
	if r.put != nil {
		return r.put.Record
	}
	return r.withdrawn
}

func (c *checker) item(index uint64, token []byte, signatures bool) checked {
	if bytes.IndexByte(token, '~') >= 0 {
		return c.record(index, token, signatures)
	}
	return c.event(index, token)
}

func (c *checker) refuse(r checked, index uint64, rule, pointer string) checked {
	r.put, r.withdrawn = nil, ""
	r.refusal = &ledger.Refusal{From: c.from.Council, Index: index, Rule: rule, Pointer: limit(pointer, 200), At: c.now().UTC()}
	if c.doc != nil {
		r.refusal.Agreement = c.doc.Name
	}
	return r
}

// record checks one record version: what can be wrong with it alone refuses
// it alone.
func (c *checker) record(index uint64, token []byte, signature bool) (r checked) {
	t, err := record.Parse(token)
	if err != nil {
		r.err = fmt.Errorf("%w: token: %w", ErrLied, err)
		return r
	}
	r.entry = t.Entry()
	if len(token) > ledger.MaxHolding {
		return c.refuse(r, index, "size", "")
	}
	if c.doc == nil {
		return c.refuse(r, index, "a record among notices", "")
	}
	v, err := t.View()
	if err != nil {
		return c.refuse(r, index, "disclosures", "")
	}
	switch {
	case v.Council != c.from.Council:
		return c.refuse(r, index, "issuer", "")
	case v.Standard.Line() != c.doc.Standard:
		return c.refuse(r, index, "standard", "")
	case v.Op != record.Put:
		return c.refuse(r, index, "operation", "")
	}
	std, err := c.stds(v.Standard)
	if err != nil {
		r.err = fmt.Errorf("%w: %s", ErrStandardMissing, v.Standard)
		return r
	}
	if std.Integrity() != v.Integrity {
		return c.refuse(r, index, "standard's schema", "")
	}
	terms := c.termsFor(std)
	if terms == nil {
		return c.refuse(r, index, "standard's version", "")
	}
	if extra := terms.Excess(v.Body); len(extra) > 0 {
		// More than the agreement lets us have: never kept, not even the part
		// that was agreed, so that nothing of it reaches our disk.
		return c.refuse(r, index, "field beyond the agreement", extra[0])
	}
	// Where the row filter reads only fields we are sent, we ask it, too.
	if terms.RowsCheckable() && !terms.Match(v.Body) {
		return c.refuse(r, index, "row beyond the agreement", "")
	}
	if ps := std.ValidateVisible(v.Body); len(ps) > 0 {
		return c.refuse(r, index, "standard: "+ps[0].Rule, ps[0].Pointer)
	}
	key, err := c.from.RecordKeyAt(t.KeyID(), index)
	if err != nil {
		if r.err = c.awaited(err, t.KeyID()); r.err != nil {
			return r
		}
		return c.refuse(r, index, keyRule(err), "")
	}
	if signature {
		if err := t.Verify(key); err != nil {
			return c.refuse(r, index, "signature", "")
		}
	}
	r.put = &ledger.Put{Index: index, Record: v.Record, Version: v.Version, Entry: r.entry, Token: token}
	return r
}

// event checks a withdrawal or, in a notices feed, an event addressed to us.
// Events are few, and deleting on one must be founded: their signatures are
// always checked first.
func (c *checker) event(index uint64, token []byte) (r checked) {
	ev, err := openEvent(c.from, index, token)
	if err != nil {
		r.err = fmt.Errorf("%w: event: %w", ErrLied, err)
		return r
	}
	r.entry = ev.entry
	if ev.badKey != nil {
		if r.err = c.awaited(ev.badKey, ev.kid); r.err != nil {
			return r
		}
		return c.refuse(r, index, keyRule(ev.badKey), "")
	}
	if ev.badSignature {
		return c.refuse(r, index, "signature", "")
	}
	if ev.Council != c.from.Council {
		return c.refuse(r, index, "issuer", "")
	}
	if c.doc == nil {
		return r
	}
	if ev.Kind != ledger.KindWithdrawal {
		return c.refuse(r, index, "kind of event", "")
	}
	agr, rec := ledger.WithdrawalOf(ev.Event)
	if agr != c.doc.Name || rec == "" {
		return c.refuse(r, index, "withdrawal", "")
	}
	r.withdrawn = rec
	return r
}

// An openedEvent is an event that parses, and what is wrong with its signature.
type openedEvent struct {
	*record.Event
	entry        tlog.Hash
	kid          string
	badKey       error // signed with a key the directory does not give the council, or not for that place
	badSignature bool
}

// openEvent reads an event at an index of m's log, which may be directory.AnyPlace.
func openEvent(m directory.Member, index uint64, jws []byte) (*openedEvent, error) {
	t, ev, err := record.ParseEvent(jws)
	if err != nil {
		return nil, err
	}
	o := &openedEvent{Event: ev, entry: t.Entry(), kid: t.KeyID()}
	key, err := m.RecordKeyAt(t.KeyID(), index)
	if err != nil {
		o.badKey = err
	} else if t.Verify(key) != nil {
		o.badSignature = true
	}
	return o, nil
}

// awaited returns ErrKeyMissing when a key is not known that may have come into
// the directory since: nothing of the batch is then kept or refused.
func (c *checker) awaited(err error, kid string) error {
	if !errors.Is(err, directory.ErrNoKey) {
		return nil
	}
	return c.news(kid)
}

// keyRule is the rule that a signature breaks whose key is not to be used.
func keyRule(err error) string {
	if errors.Is(err, directory.ErrRevoked) {
		return "revoked key"
	}
	return "signing key"
}
