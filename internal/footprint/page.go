package footprint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What a council brings at one time is a page, which it signs once: record.Page says
// what is signed. A record in it has no signature of its own; an event has, since it is
// shown to others alone. Every member makes the root again from the entries it was
// given, and checks one signature. So a page is applied as it was signed or not at all:
// an entry changed, left out, added or in another place, another footprint, agreement
// or sequence number, each makes another root or another text.
//
// A record shown alone carries the proof of its place in its page, which is made from
// what the replica keeps of the page:
//
//	p index8   page, by the log index of the first of its entries that was taken:
//	           contributor, agreement (texts), since8, cursor8, key32, signature64,
//	           number of entries, number that were not taken (unsigned varints), and of
//	           each of these, ascending: its place (unsigned varint), entry32
//
// The entries that were taken stand in the log side by side in the order of the page,
// so that their leaves are in the log's tiles.

// RuleSeal refuses a page, as a whole.
const RuleSeal = "the page is not as the council that brings it signed it"

// needsSeal reports whether a group is a page that its contributor signs: one of an
// agreement, or with records. What councils say to each other about the footprint, and
// before they are members, they sign by the event alone.
func (g group) needsSeal() bool {
	if g.agreement != "" {
		return true
	}
	for _, e := range g.entries {
		if isRecord(e.Token) {
			return true
		}
	}
	return false
}

func isRecord(token []byte) bool { return bytes.IndexByte(token, '~') >= 0 }

// page returns the page that a group is, over a root.
func (g group) page(fp name.Council, root tlog.Hash) record.Page {
	return record.Page{
		Footprint: fp, Council: g.contributor, Agreement: g.agreement, Since: g.since, Next: g.cursor, Count: len(g.entries), Root: root,
	}
}

// SealPage signs entries as a page that a council brings into a footprint under an
// agreement, from the sequence number since to next; see [Footprint.ContributeFor]. An
// error is the key's, or says that they are more than [record.MaxPage].
func SealPage(key *keys.RecordKey, fp, council name.Council, a name.Agreement, since, next uint64, entries []Entry) (record.PageSeal, error) {
	return group{contributor: council, agreement: a, since: since, cursor: next, entries: entries}.sign(fp, key, new(seals))
}

// sign seals a group and remembers that among own.
func (g group) sign(fp name.Council, key *keys.RecordKey, own *seals) (record.PageSeal, error) {
	entries := make([]tlog.Hash, len(g.entries))
	for i, e := range g.entries {
		entries[i] = entryOf(e.Token)
	}
	p := g.page(fp, tlog.Hash{}).Over(entries)
	s, err := p.Sign(key)
	if err == nil {
		own.add(p, s)
	}
	return s, err
}

// entryOf returns the entry of a token that is known to be one: the hash of what stands
// before its second dot.
func entryOf(token []byte) tlog.Hash {
	jws, _, _ := bytes.Cut(token, []byte("~"))
	return sha256.Sum256(jws[:max(0, bytes.LastIndexByte(jws, '.'))])
}

// Offer sends entries and, when some of them are refused so that the others have to be
// sent again as a page without them, sends these, until something became of each. The
// Receipt is of all.
func Offer(entries []Entry, send func([]Entry) (Receipt, error)) (Receipt, error) {
	all := Receipt{Outcomes: make([]Outcome, len(entries))}
	at := make([]int, len(entries)) // of those to be sent, in all
	for i := range at {
		at[i] = i
	}
	for {
		r, err := send(entries)
		if err != nil {
			return all, err
		}
		if len(r.Outcomes) != len(entries) {
			return all, fmt.Errorf("internal error: %d outcomes of %d entries", len(r.Outcomes), len(entries))
		}
		all.Position = max(all.Position, r.Position)
		var again []Entry
		var places []int
		for i, o := range r.Outcomes {
			if o.Code == Again {
				again, places = append(again, entries[i]), append(places, at[i])
				continue
			}
			all.Outcomes[at[i]] = o
		}
		if len(again) == len(entries) && len(entries) > 0 {
			return all, errors.New("the page is to be sent again, and nothing of it was refused")
		}
		if len(again) == 0 {
			return all, nil
		}
		entries, at = again, places
	}
}

// A checkedGroup is a group taken apart, with what was checked of it once.
type checkedGroup struct {
	g       group
	entries []*checked
	seals   *seals
	leaves  []tlog.Hash // of the entries; nil while one cannot be read
	root    tlog.Hash
	sealed  string    // id of the key its seal was verified with
	once    sync.Once // done once leaves, root and, where its member was known, sealed are set
}

func newCheckedGroup(g group, s *seals) *checkedGroup {
	k := &checkedGroup{g: g, entries: make([]*checked, len(g.entries)), seals: s}
	for i, e := range g.entries {
		k.entries[i] = &checked{offered: e}
	}
	return k
}

// finish makes the root, once all entries are taken apart.
func (k *checkedGroup) finish() {
	if !k.g.needsSeal() {
		return
	}
	leaves := make([]tlog.Hash, len(k.entries))
	for i, c := range k.entries {
		if c.rule != "" {
			return // what it would have been is not known
		}
		leaves[i] = tlog.Leaf(c.token.Entry())
	}
	k.leaves, k.root = leaves, tlog.NewWhole(leaves).Root()
}

// verify checks that the page is sealed with one of m's keys. It returns the rule that
// is broken, or "".
func (k *checkedGroup) verify(fp name.Council, m *member) string {
	if k.leaves == nil && len(k.entries) > 0 || k.g.seal.Key == "" {
		return RuleSeal
	}
	key, ok := m.entry.RecordKey(k.g.seal.Key)
	if !ok {
		return RuleKey
	}
	if k.sealed == k.g.seal.Key {
		return ""
	}
	p := k.g.page(fp, k.root)
	if !k.seals.made(p, k.g.seal) {
		k.seals.checked.Add(1)
		if p.Verify(k.g.seal, key) != nil {
			return RuleSeal
		}
	}
	k.sealed = k.g.seal.Key
	return ""
}

// proof returns the proof that an entry stands in a verified page.
func (k *checkedGroup) proof(fp name.Council, place int) *record.PageProof {
	return &record.PageProof{Page: k.g.page(fp, tlog.Hash{}), Seal: k.g.seal, Index: place, Path: tlog.NewWhole(k.leaves).Path(place)}
}

// maxSeals is how many of its own seals a member remembers: more than it has pages on
// their way.
const maxSeals = 64

// seals are those that this member made of late. It does not check its own.
type seals struct {
	checked atomic.Uint64 // signatures verified, of others

	mu   sync.Mutex // guards what follows
	list [maxSeals]ownSeal
	next int
}

type ownSeal struct {
	page record.Page
	key  string
	sig  [keys.SignatureSize]byte
}

func (s *seals) add(p record.Page, seal record.PageSeal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[s.next%maxSeals] = ownSeal{p, seal.Key, [keys.SignatureSize]byte(seal.Signature)}
	s.next++
}

func (s *seals) made(p record.Page, seal record.PageSeal) bool {
	want := ownSeal{p, seal.Key, [keys.SignatureSize]byte(seal.Signature)}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, had := range s.list {
		if had == want {
			return true
		}
	}
	return false
}

// A storedPage is what the replica keeps of a page.
type storedPage struct {
	group  // without its entries
	count  int
	others []notTaken
}

// A notTaken entry of a page is a duplicate or was refused.
type notTaken struct {
	place int
	entry tlog.Hash
}

func pageKey(first uint64) string { return "p" + string(binary.BigEndian.AppendUint64(nil, first)) }

func (p storedPage) encode() []byte {
	b := appendBytes(appendBytes(nil, []byte(p.contributor)), []byte(p.agreement))
	b = binary.BigEndian.AppendUint64(b, p.since)
	b = binary.BigEndian.AppendUint64(b, p.cursor)
	b = append(b, sealBytes(p.seal)...)
	b = binary.AppendUvarint(b, uint64(p.count))
	b = binary.AppendUvarint(b, uint64(len(p.others)))
	for _, o := range p.others {
		b = append(binary.AppendUvarint(b, uint64(o.place)), o.entry[:]...)
	}
	return b
}

func decodePage(b []byte) (p storedPage, err error) {
	r := reader{b: b}
	p.contributor, p.agreement = name.Council(r.bytes()), name.Agreement(r.bytes())
	p.since, p.cursor = r.uint64(), r.uint64()
	p.seal = r.seal(sealSize)
	p.count = r.count(record.MaxPage)
	for range r.count(record.MaxPage) {
		o := notTaken{place: r.count(record.MaxPage)}
		copy(o.entry[:], r.next(tlog.HashSize))
		if o.place >= p.count || len(p.others) > 0 && o.place <= p.others[len(p.others)-1].place {
			r.bad = true
		}
		if r.bad {
			break
		}
		p.others = append(p.others, o)
	}
	if r.bad || len(r.b) > 0 {
		return p, fmt.Errorf("%w: page", ledger.ErrDamaged)
	}
	return p, nil
}

// A leafReader reads from a replica, in a view or in what is being applied.
type leafReader interface {
	Lookup(key string) ([]byte, error)
	Leaves(from uint64, n int) ([]tlog.Hash, error)
}

// An openPage is a page of the replica with its tree.
type openPage struct {
	first  uint64
	page   storedPage
	places []int // of the entries that were taken
	tree   tlog.Whole
}

func readPage(v leafReader, first uint64) (*openPage, error) {
	raw, err := v.Lookup(pageKey(first))
	if err != nil {
		return nil, fmt.Errorf("page of entry %d: %w", first, err)
	}
	o := &openPage{first: first}
	if o.page, err = decodePage(raw); err != nil {
		return nil, fmt.Errorf("page of entry %d: %w", first, err)
	}
	taken, err := v.Leaves(first, o.page.count-len(o.page.others))
	if err != nil {
		return nil, fmt.Errorf("page of entry %d: %w", first, err)
	}
	leaves, others := make([]tlog.Hash, 0, o.page.count), o.page.others
	for place := range o.page.count {
		if len(others) > 0 && others[0].place == place {
			leaves, others = append(leaves, tlog.Leaf(others[0].entry)), others[1:]
			continue
		}
		leaves = append(leaves, taken[len(o.places)])
		o.places = append(o.places, place)
	}
	o.tree = tlog.NewWhole(leaves)
	return o, nil
}

// proof returns the proof of the entry of the page that stands at an index of the log.
func (o *openPage) proof(fp name.Council, index uint64) (*record.PageProof, error) {
	if index < o.first || index-o.first >= uint64(len(o.places)) {
		return nil, fmt.Errorf("entry %d: %w: is not in its page", index, ledger.ErrDamaged)
	}
	p := &record.PageProof{Page: o.page.page(fp, tlog.Hash{}), Seal: o.page.seal, Index: o.places[index-o.first]}
	p.Count, p.Path = o.page.count, o.tree.Path(p.Index)
	return p, nil
}

// Sealed returns t, which is the token of h with some or all of its disclosures, with
// the proof that its council sealed the page that it came in: the form in which it is
// believed outside. What has a signature, as an event, is returned as it is. The error
// wraps ledger.ErrDamaged when the replica does not hold what it should.
func (f *Footprint) Sealed(h *Held, t *record.Token) (*record.Token, error) {
	if h.Event != nil || t.Signed() {
		return t, nil
	}
	o := f.lastPage.Load()
	if o == nil || o.first != h.page {
		err := f.fsm.view(func(v *ledger.ReplicaView) (err error) {
			o, err = readPage(v, h.page)
			return err
		})
		if err != nil {
			return nil, err
		}
		f.lastPage.Store(o) // entries are mostly read in order
	}
	p, err := o.proof(f.o.Name, h.Index)
	if err != nil {
		return nil, err
	}
	return t.Enclose(p), nil
}

// A twin is a version that no honest council signs, and the one it contradicts.
type twin struct {
	c    *checked
	old  uint64 // log index of the other
	kept keptEntry
}

func (a *applier) twin(c *checked, old head) error {
	raw, err := a.t.Entry(old.index)
	if err != nil {
		return err // its head says that it is here
	}
	kept, err := decodeStored(raw)
	if err == nil {
		a.twins = append(a.twins, twin{c, old.index, kept})
	}
	return err
}

// keepPage keeps what the proofs of a page's records are made from, and two signed
// versions that cannot both be as evidence.
func (a *applier) keepPage(out []Outcome) error {
	k := a.page
	p, records := storedPage{group: k.g, count: len(out)}, false
	for i, o := range out {
		switch c := k.entries[i]; {
		case o.Code == Accepted:
			records = records || c.view != nil
		case k.leaves != nil:
			p.others = append(p.others, notTaken{i, c.token.Entry()})
		}
	}
	if records {
		a.t.Set(pageKey(a.first), p.encode())
		if a.s.format() >= 2 {
			setNumber(a.t, takenKey(a.first), uint64(a.at))
		}
	}
	for _, w := range a.twins {
		if err := a.evidence(w); err != nil {
			return err
		}
	}
	return nil
}

// evidence keeps two signed versions that no honest council signs, without
// their disclosures, each with the proof that its council sealed the page it is of.
func (a *applier) evidence(w twin) error {
	k := a.page
	place := slices.Index(k.entries, w.c)
	e := Evidence{
		Council: k.g.contributor, At: a.at, What: "signed two versions of one record that cannot both be",
		Signed: []string{signedPart(w.c.token.Enclose(k.proof(a.name, place)).Bytes())},
	}
	page, err := readPage(a.t, w.old-w.kept.ordinal)
	if err != nil {
		return err
	}
	proof, err := page.proof(a.name, w.old)
	if err != nil {
		return err
	}
	other, err := record.Parse(w.kept.token)
	if err != nil {
		return fmt.Errorf("entry %d: %w: %w", w.old, ledger.ErrDamaged, err)
	}
	e.Signed = append(e.Signed, signedPart(other.Enclose(proof).Bytes()))
	return setJSON(a.t, evidenceKey(w.c.token.Entry()), e)
}
