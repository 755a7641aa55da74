package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"encoding/json"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A bundler gathers what a bundle is to hold while one view of the ledger is
// open.
type bundler struct {
	n     *Node
	v     *ledger.View
	w     *audit.Writer
	keep  func(pointer string, shell bool) bool // which disclosures of a record go in
	stds  map[name.Standard]bool
	who   map[name.Council]bool
	count int
}

// bundle makes a .stile file of what a request covers. A record goes in with
// the fields that its agreement lets out; without an agreement, with its open
// fields alone unless the request asks for all.
func (n *Node) bundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	if in.Statement != "" {
		return n.statementBundle(ctx, in)
	}
	h := audit.Header{Council: n.cfg.Council, Created: n.now().UTC().Truncate(time.Second)}
	b := &bundler{n: n, stds: map[name.Standard]bool{}, who: map[name.Council]bool{n.cfg.Council: true}}
	b.keep = func(string, bool) bool { return in.Full }
	var doc agreement.Status
	if in.Agreement != "" {
		a, err := name.ParseAgreement(in.Agreement)
		if err != nil {
			return nil, fail(Usage, "stile agreement list", "%v", err)
		}
		var ok bool
		if doc, ok = n.book.Status(a, n.now()); !ok {
			return nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
		}
		if doc.Agreement.From != n.cfg.Council {
			return nil, fail(Refused, fmt.Sprintf("ask %s for it; stile record show --from gives single tokens", doc.Agreement.From),
				"a bundle holds entries of this council's own log, and records under %s are %s's", a, doc.Agreement.From)
		}
		if in.Full {
			return nil, fail(Usage, "leave out --full, or --agreement", "a bundle of an agreement holds the agreed fields only")
		}
		h.Covers.Agreement = a
	}
	var ids []name.Record
	for _, r := range in.Records {
		id, err := n.recordID(r, in.Standard)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	h.Covers.Records = slices.Compact(ids)
	if in.Standard != "" && len(ids) == 0 {
		std, err := n.standardNamed(in.Standard)
		if err != nil {
			return nil, err
		}
		h.Covers.Standard = std.Name().Name
	}
	if h.Covers.Agreement != "" && (len(ids) > 0 || in.Standard != "") {
		return nil, fail(Usage, "leave out --record and --standard, or --agreement", "a bundle of an agreement holds all that went under it")
	}
	if h.Covers.Agreement == "" && h.Covers.Standard == "" && len(ids) == 0 {
		return nil, fail(Usage, "--agreement, --standard or --record", "say what the bundle is to cover")
	}

	out, err := openOutlet(in.File)
	if err != nil {
		return nil, err
	}
	if b.w, err = audit.NewWriter(out, h); err != nil {
		return out.end(0, err)
	}
	err = n.ledger.View(func(v *ledger.View) error {
		b.v = v
		var indices []uint64
		var err error
		if doc.Agreement != nil {
			indices, err = b.underAgreement(doc)
		} else {
			indices, err = b.chosen(h.Covers)
		}
		if err != nil {
			return err
		}
		if len(indices) == 0 {
			return fail(NotFound, "", "there is nothing to put into the bundle")
		}
		if err := b.entries(ctx, indices); err != nil {
			return err
		}
		return b.context(doc)
	})
	if err == nil {
		err = b.w.Close()
	}
	return out.end(b.count, err)
}

// chosen returns the log indices of the newest versions that covers asks for.
func (b *bundler) chosen(c audit.Covers) (out []uint64, err error) {
	for _, id := range c.Records {
		ver, err := b.v.Current(id)
		if err != nil {
			return nil, err
		}
		out = append(out, ver.Index)
	}
	if len(c.Records) == 0 {
		err = b.v.Scan(c.Standard, 0, func(ver *ledger.Version, err error) bool {
			if err == nil { // what is damaged cannot be shown; the log still counts it
				out = append(out, ver.Index)
			}
			return true
		})
	}
	slices.Sort(out)
	return out, err
}

// underAgreement returns the log indices of everything of ours that concerns
// an agreement: what was proposed and signed, every version that was
// disclosed, the disclosures, and what was taken back.
func (b *bundler) underAgreement(st agreement.Status) ([]uint64, error) {
	a := st.Agreement
	std, err := b.n.ledger.StandardOf(a.Standard)
	if err != nil {
		return nil, err
	}
	terms, err := a.Compile(std)
	if err != nil {
		return nil, err
	}
	b.keep = terms.Keep
	set := map[uint64]bool{}
	kinds := append([]string{ledger.KindWithdrawal, ledger.KindDisclosure, ledger.KindAnswer, ledger.KindAdopted, peersync.KindConfirmed}, agreement.Kinds()...)
	for _, kind := range kinds {
		var failed error
		b.v.Events(kind, 0, func(i uint64) bool {
			ev, _, err := b.v.Event(i)
			if err != nil {
				failed = err
				return false
			}
			switch {
			case kind == ledger.KindAdopted:
				if s, _ := ev.Body["standard"].(string); s == std.Name().String() {
					set[i] = true
				}
			case ev.Body["agreement"] == string(a.Name):
				set[i] = true
				if kind == ledger.KindDisclosure || kind == ledger.KindAnswer {
					entries, _ := ev.Body["entries"].([]any)
					for _, e := range entries {
						if n, ok := e.(json.Number); ok {
							if at, err := strconv.ParseUint(string(n), 10, 64); err == nil {
								set[at] = true
							}
						}
					}
				}
			}
			return true
		})
		if failed != nil {
			return nil, failed
		}
	}
	out := make([]uint64, 0, len(set))
	for i := range set {
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

// entries writes entries in chunks, each with its proof at the view's checkpoint.
func (b *bundler) entries(ctx context.Context, indices []uint64) error {
	cp, _ := b.v.Checkpoint()
	var es []audit.Entry
	var at []uint64
	size := 0
	flush := func() error {
		if len(es) == 0 {
			return nil
		}
		proof, err := tlog.ProveBatch(b.v, at, cp.Size)
		if err != nil {
			return err
		}
		err = b.w.AddEntries(es, proof)
		b.count += len(es)
		es, at, size = nil, nil, 0
		return err
	}
	for _, i := range indices {
		if err := ctx.Err(); err != nil {
			return err
		}
		token, err := b.entry(i)
		if errors.Is(err, ledger.ErrDamaged) {
			b.n.log.Error("entry left out of a bundle", "error", err.Error())
			continue
		}
		if err != nil {
			return err
		}
		es, at, size = append(es, audit.Entry{Index: i, Token: token}), append(at, i), size+len(token)
		if len(es) == audit.MaxChunk || size > bundleChunkBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// bundleChunkBytes ends a chunk of a bundle before its limit is near: one more
// token has at most 4 MiB.
const bundleChunkBytes = 4 << 20

func (b *bundler) entry(i uint64) ([]byte, error) {
	ver, err := b.v.Version(i)
	if errors.Is(err, ledger.ErrNotFound) {
		_, jws, err := b.v.Event(i)
		return jws, err
	}
	if err != nil {
		return nil, err
	}
	b.stds[ver.Claims.Standard] = true
	t, err := ver.Token.Present(b.keep)
	if err != nil {
		return nil, err
	}
	return t.Bytes(), nil
}

// context writes what the entries are checked against.
func (b *bundler) context(st agreement.Status) error {
	cp, note := b.v.Checkpoint()
	if err := b.w.AddCheckpoint(note, nil); err != nil {
		return err
	}
	cosigned, err := b.v.Cosigned()
	if err != nil {
		return err
	}
	for _, c := range cosigned {
		b.who[c.Witness] = true
		var proof []tlog.Hash // of one size with the main one: the writer joins the signatures
		if c.Checkpoint.Size < cp.Size {
			if proof, err = tlog.Consistency(b.v, c.Checkpoint.Size, cp.Size); err != nil {
				return err
			}
		}
		if err := b.w.AddCheckpoint(c.Note, proof); err != nil {
			return err
		}
	}
	if st.Agreement != nil {
		if err := b.fromOthers(st); err != nil {
			return err
		}
	}
	for s := range b.stds {
		std, err := b.n.ledger.Standard(s)
		if err != nil {
			return err
		}
		if err := b.w.AddStandard(std); err != nil {
			return err
		}
	}
	who := slices.Collect(maps.Keys(b.who))
	files, err := b.n.client().Evidence(who...)
	if err != nil {
		return err
	}
	if err := b.w.AddDirectory(files); err != nil {
		return err
	}
	for c := range b.who {
		if m, ok := b.n.directory.Member(c); ok {
			if err := b.w.AddMember(m.YAML()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromOthers writes the agreement's versions and what the partners said: their
// signatures and their receipts.
func (b *bundler) fromOthers(st agreement.Status) error {
	a := st.Agreement.Name
	for _, v := range b.n.book.Texts(a, b.n.now()) {
		if err := b.w.AddAgreement(v.Agreement); err != nil {
			return err
		}
		for _, c := range v.Agreement.Parties() {
			b.who[c] = true
			if b.n.isFootprint(c) {
				for _, m := range b.n.keepers(c) {
					b.who[m] = true // they cosign its receipts
				}
			}
		}
	}
	for _, src := range b.n.ledger.Sources() {
		if src.Agreement != "" {
			continue
		}
		err := b.v.ReceivedEvents(src, func(_ uint64, jws []byte) error {
			_, ev, err := record.ParseEvent(jws)
			if err != nil || ev.Body["agreement"] != string(a) {
				return err
			}
			return b.w.AddEvent(src.From, jws)
		})
		if err != nil {
			return err
		}
	}
	var failed error
	b.v.Events(ledger.KindAnswer, 0, func(i uint64) bool {
		failed = b.asked(a, i)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	for _, f := range b.n.ledger.Feeds() {
		if f.Agreement != a {
			continue
		}
		for _, to := range f.To {
			var failed error
			err := b.v.Receipts(f, to, func(jws []byte) bool {
				if _, ev, err := record.ParseEvent(jws); err == nil {
					if _, all := ev.Body["deleted_all"]; all {
						return true // came among the notices
					}
				}
				failed = b.w.AddEvent(to, jws)
				return failed == nil
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
		}
	}
	return nil
}

// asked writes the question that an answer of ours is to, as the asker signed it,
// and its receipt.
func (b *bundler) asked(a name.Agreement, index uint64) error {
	ev, _, err := b.v.Event(index)
	if err != nil {
		return err
	}
	said, err := ledger.AnswerOf(ev)
	if err != nil || said.Agreement != a {
		return err
	}
	q, err := b.v.Answered(said.Partner, said.Question)
	if err != nil {
		return err
	}
	b.who[said.Partner] = true
	for _, jws := range [][]byte{q.Asked, q.Receipt} {
		if jws != nil {
			err = errors.Join(err, b.w.AddEvent(said.Partner, jws))
		}
	}
	return err
}
