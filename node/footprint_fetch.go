package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// What a footprint sends us under an agreement is fetched from whichever of its
// members answers. No member is believed: the checkpoint must be cosigned by more
// than half of the members that the directory lists and extend the one seen before,
// every record must stand under it, be signed by its contributor and be within the
// agreement. What is kept is kept as from any partner, with the footprint as sender.

// fetches are the copies from footprints, by agreement.
type fetches struct {
	mu  sync.Mutex // guards what follows
	all map[name.Agreement]*fetch
}

type fetch struct {
	wake chan struct{} // buffered
	// guarded by fetches.mu
	connected, live bool
	problem         string
	receipt         string // for what came last, not handed over yet
}

func (fs *fetches) stir() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.all {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

func (fs *fetches) words(out *PartnerReply) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.all[out.Agreement]
	if f == nil {
		return
	}
	out.Connected = f.connected
	switch {
	case f.problem != "":
		out.Behind = f.problem
	case f.live:
		out.InStep, out.Behind = true, ""
	case f.connected:
		out.Behind = "records are on their way"
	}
}

// keepFetching copies what footprints send us until ctx ends.
func (n *Node) keepFetching(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		for _, st := range n.book.all(n.now()) {
			a := st.Agreement
			if !st.InForce() || a.Mode != agreement.Replicate || !slices.Contains(a.To, n.cfg.Council) || !n.isFootprint(a.From) {
				continue
			}
			n.fetches.mu.Lock()
			if n.fetches.all == nil {
				n.fetches.all = map[name.Agreement]*fetch{}
			}
			if f := n.fetches.all[a.Name]; f == nil {
				f = &fetch{wake: make(chan struct{}, 1)}
				n.fetches.all[a.Name] = f
				wg.Go(func() { n.fetchAll(ctx, a.Name, f) })
			}
			n.fetches.mu.Unlock()
		}
		pause(ctx, time.Second)
	}
}

// fetchAll copies under one agreement for as long as it is in force.
func (n *Node) fetchAll(ctx context.Context, a name.Agreement, f *fetch) {
	defer func() {
		n.fetches.mu.Lock()
		delete(n.fetches.all, a)
		n.fetches.mu.Unlock()
	}()
	wait := flowLeast
	for ctx.Err() == nil {
		doc, _ := n.book.InForce(a, n.now())
		if doc == nil {
			return
		}
		err := n.fetch(ctx, doc, f)
		n.fetches.mu.Lock()
		f.connected, f.problem = err == nil, ""
		if err != nil {
			f.live, f.problem = false, err.Error()
		}
		n.fetches.mu.Unlock()
		if err == nil {
			wait = flowLeast
			continue // the member waits until there is something
		}
		n.log.Info("copying from a footprint stopped", "footprint", doc.From, "agreement", a, "because", err.Error())
		pause(ctx, wait, f.wake)
		wait = min(2*wait, flowMost)
	}
}

// fetch asks the members, one after the other, for what comes next, and keeps the
// first answer that holds.
func (n *Node) fetch(ctx context.Context, doc *agreement.Agreement, f *fetch) error {
	if err := n.directory.Exchange(n.now()); err != nil {
		return err
	}
	src, err := n.ledger.OpenSource(ctx, doc.From, doc.Name)
	if err != nil {
		return err
	}
	ask := outwardAsk{Footprint: doc.From, Agreement: doc.Name, Digest: doc.Digest().String(), Cursor: src.Cursor, Size: src.Size, Held: src.Records}
	if !strings.HasPrefix(src.Digest, ask.Digest) {
		ask.Cursor = 0
	}
	n.fetches.mu.Lock()
	ask.Receipt = f.receipt
	n.fetches.mu.Unlock()
	members := slices.Clone(n.keepers(doc.From))
	n.mu.Lock()
	net := n.net
	n.mu.Unlock()
	if net == nil {
		return errNotServing()
	}
	// Those there is a connection to first: they are likely to answer.
	connected := net.Connected()
	slices.SortStableFunc(members, func(a, b name.Council) int {
		x, y := slices.Contains(connected, a), slices.Contains(connected, b)
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	var errs []string
	for _, m := range members {
		answer, err := n.askMember(ctx, net, m, ask)
		if err == nil && answer.Refused != "" {
			err = errors.New(answer.Refused)
		}
		if err == nil {
			err = n.take(ctx, src, doc, ask, answer, f)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, fmt.Sprintf("%s: %v", m, err))
	}
	if len(members) == 0 {
		return fmt.Errorf("the directory lists no members of %s", doc.From)
	}
	return errors.New(strings.Join(errs, "; "))
}

func (n *Node) askMember(ctx context.Context, net wire.Network, m name.Council, ask outwardAsk) (*outwardAnswer, error) {
	st, err := net.Open(ctx, m, outwardProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	b, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	bw := bufio.NewWriter(st)
	st.SetDeadline(time.Now().Add(outwardWait + 2*outwardTimeout))
	if err := errors.Join(wire.WriteFrame(bw, b), bw.Flush()); err != nil {
		st.Reset()
		return nil, err
	}
	if b, err = wire.ReadFrame(bufio.NewReader(st), maxOutward); err != nil {
		st.Reset()
		return nil, err
	}
	answer := &outwardAnswer{}
	if err := json.Unmarshal(b, answer); err != nil {
		return nil, errors.New("its answer cannot be read")
	}
	answer.Refused = strings.ToValidUTF8(answer.Refused[:min(len(answer.Refused), 300)], "")
	return answer, nil
}

// errNotProved is wrapped by what no honest member can send.
var errNotProved = errors.New("what it sent does not verify")

// take checks an answer and keeps it.
func (n *Node) take(ctx context.Context, src *ledger.Source, doc *agreement.Agreement, ask outwardAsk, answer *outwardAnswer, f *fetch) error {
	// A member that signed later lets its earlier records out: then the copy
	// begins anew. The number of signers only grows.
	want := ask.Digest + "/" + strconv.Itoa(answer.Signers)
	if src.Digest != want {
		if was, ok := strings.CutPrefix(src.Digest, ask.Digest+"/"); ok {
			if k, err := strconv.Atoi(was); err == nil && k > answer.Signers {
				return errors.New("it is behind what others have shown us")
			}
		}
		if err := n.ledger.Restart(ctx, src, want); err != nil {
			return err
		}
		var err error
		if src, err = n.ledger.Source(doc.From, doc.Name); err != nil {
			return err
		}
		if ask.Cursor != 0 {
			return nil // asked again from the beginning
		}
	}
	d, err := n.checkAnswer(src, doc, ask, answer)
	if err != nil {
		if errors.Is(err, errNotProved) {
			r := ledger.Refusal{From: doc.From, Agreement: doc.Name, Index: src.Cursor, Rule: err.Error(), At: n.now().UTC()}
			if src.Note != nil && len(answer.Checkpoint) <= tlog.MaxNote {
				r.Evidence = [][]byte{src.Note, []byte(answer.Checkpoint)}
			}
			err = errors.Join(err, n.ledger.Refuse(ctx, src, r))
		}
		return err
	}
	if now, _ := n.book.InForce(doc.Name, n.now()); now == nil || now.Digest() != doc.Digest() {
		return errors.New("the agreement is not in force any more")
	}
	receipt, err := n.ledger.Receive(ctx, src, d)
	if err != nil {
		return err
	}
	n.fetches.mu.Lock()
	f.receipt, f.live = string(receipt), d.Live
	n.fetches.mu.Unlock()
	return nil
}

// checkAnswer checks an answer against the footprint's log, the agreement, the
// standards and the contributors' keys. What can be wrong with one record alone
// refuses it alone.
func (n *Node) checkAnswer(src *ledger.Source, doc *agreement.Agreement, ask outwardAsk, answer *outwardAnswer) (*ledger.Delivery, error) {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", errNotProved, fmt.Sprintf(format, a...))
	}
	ws, err := n.witnessesOf(doc.From)
	if err != nil {
		return nil, err
	}
	d := &ledger.Delivery{Note: []byte(answer.Checkpoint), Cursor: answer.Cursor, Live: answer.Live, Verified: true}
	if d.Checkpoint, _, err = tlog.VerifyMajority(d.Note, doc.From.Origin(), ws...); err != nil {
		// The members may have changed and the directory not know it yet.
		return nil, fmt.Errorf("its checkpoint is not cosigned by a majority of the members that the directory lists: %w", err)
	}
	switch cp := d.Checkpoint; {
	case cp.Size < src.Size:
		return nil, errors.New("it is behind what others have shown us")
	case src.Size == 0:
	case cp.Size == src.Size:
		if string(cp.Root[:]) != string(src.Root) {
			return nil, bad("another history than before at size %d", cp.Size)
		}
	default:
		proof, err := tlog.SplitHashes(answer.Consistency)
		if err != nil || len(src.Root) != tlog.HashSize || tlog.VerifyConsistency(src.Size, tlog.Hash(src.Root), cp.Size, cp.Root, proof) != nil {
			return nil, bad("no proof that sizes %d and %d are of one history", src.Size, cp.Size)
		}
	}
	if len(answer.Items) > outwardItems || len(answer.Gone) > outwardItems || answer.Cursor < ask.Cursor || answer.Cursor > d.Checkpoint.Size {
		return nil, bad("a page out of bounds")
	}
	var entries []tlog.Hash
	var indexes []uint64
	at, added := ask.Cursor, 0
	terms := map[name.Standard]*agreement.Terms{}
	for _, it := range answer.Items {
		t, err := record.Parse([]byte(it.Token))
		if err != nil || it.Index < at || it.Index >= answer.Cursor || len(it.Token) > ledger.MaxHolding {
			return nil, bad("entry %d is no record, or out of order", it.Index)
		}
		at = it.Index + 1
		entries, indexes = append(entries, t.Entry()), append(indexes, it.Index)
		put, refusal, err := n.checkOutward(src, doc, terms, it.Index, t)
		switch {
		case err != nil:
			return nil, err
		case refusal != nil:
			d.Refused = append(d.Refused, *refusal)
		case slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == put.Record }):
			return nil, bad("two entries of one record")
		default:
			d.Puts = append(d.Puts, *put)
			if _, held := n.holder(src, put.Record); !held {
				added++
			}
		}
	}
	if len(entries) > 0 {
		proof, err := tlog.SplitHashes(answer.Inclusion)
		if err != nil || tlog.VerifyBatch(entries, indexes, d.Checkpoint.Size, d.Checkpoint.Root, proof) != nil {
			return nil, bad("entries without proof that they stand in the log")
		}
	}
	for _, g := range answer.Gone {
		if _, err := name.ParseRecord(string(g.Record)); err != nil || g.Index < ask.Cursor || g.Index >= answer.Cursor {
			return nil, bad("a deletion out of bounds")
		}
		if holder, ok := n.holder(src, g.Record); ok && holder == g.Council && !slices.ContainsFunc(d.Puts, func(p ledger.Put) bool { return p.Record == g.Record }) {
			d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: g.Index, Record: g.Record})
		}
	}
	d.Offered = src.Records + added - len(d.Withdrawn)
	return d, nil
}

// holder returns whose record is held under an id.
func (n *Node) holder(src *ledger.Source, r name.Record) (c name.Council, ok bool) {
	err := n.ledger.View(func(v *ledger.View) error {
		h, err := v.Holding(src, r)
		if err == nil {
			c, ok = h.View.Council, true
		}
		return err
	})
	return c, ok && err == nil
}

// checkOutward checks one record that a footprint sends.
func (n *Node) checkOutward(src *ledger.Source, doc *agreement.Agreement, terms map[name.Standard]*agreement.Terms, index uint64, t *record.Token) (*ledger.Put, *ledger.Refusal, error) {
	refuse := func(rule, pointer string) (*ledger.Put, *ledger.Refusal, error) {
		return nil, &ledger.Refusal{From: doc.From, Agreement: doc.Name, Index: index, Rule: rule, Pointer: pointer[:min(len(pointer), 200)], At: n.now().UTC()}, nil
	}
	v, err := t.View()
	if err != nil {
		return refuse("disclosures", "")
	}
	if v.Standard.Line() != doc.Standard || v.Op != record.Put {
		return refuse("standard or operation", "")
	}
	std, err := n.ledger.Standard(v.Standard)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not adopted here", v.Standard)
	}
	if std.Integrity() != v.Integrity {
		return refuse("standard's schema", "")
	}
	if _, ok := terms[v.Standard]; !ok {
		terms[v.Standard], _ = doc.Compile(std) // nil lets nothing through
	}
	if rule, pointer := beyond(terms[v.Standard], std, v); rule != "" {
		return refuse(rule, pointer)
	}
	// The contributor answers for its record; the footprint, for having it.
	m, ok := n.directory.Member(v.Council)
	if !ok {
		return refuse("issuer", "")
	}
	key, err := m.RecordKeyAt(t.KeyID(), math.MaxInt64)
	if errors.Is(err, directory.ErrRevoked) {
		return refuse("revoked key", "")
	}
	if err != nil || t.Verify(key) != nil {
		return refuse("signature", "")
	}
	if holder, ok := n.holder(src, v.Record); ok && holder != v.Council {
		return refuse("another council's record has this id", "")
	}
	return &ledger.Put{Index: index, Record: v.Record, Version: v.Version, Entry: t.Entry(), Token: t.Bytes()}, nil, nil
}

// beyond says what of a record is beyond an agreement, or does not fit its
// standard; "" for nothing.
func beyond(terms *agreement.Terms, std *standard.Standard, v *record.View) (rule, pointer string) {
	if terms == nil {
		return "standard's version", ""
	}
	if extra := terms.Excess(v.Body); len(extra) > 0 {
		return "field beyond the agreement", extra[0]
	}
	if terms.RowsCheckable() && !terms.Match(v.Body) {
		return "row beyond the agreement", ""
	}
	if ps := std.ValidateVisible(v.Body); len(ps) > 0 {
		return "standard: " + ps[0].Rule, ps[0].Pointer
	}
	return "", ""
}
