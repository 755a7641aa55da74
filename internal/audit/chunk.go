package audit

import (
	"bytes"
	"errors"
	"strings"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A chunk is what was found in one chunk of the log.
type chunk struct {
	*sheet
	used        map[Key]bool
	records     []fact
	events      []claimed
	entries     int
	disclosed   int
	withheld    int
	any         bool // there is an entry that can be read
	unproved    bool // a holder has no proof that the log holds it
	first, last uint64
}

// A fact is what is kept of a record once its token is let go: some 200 bytes.
type fact struct {
	index    uint64
	version  uint64
	issuedAt int64
	record   [16]byte
	entry    tlog.Hash
	prev     tlog.Hash
	standard name.Standard
	inFields uint64      // bit i: shows no field beyond verifier.covered[i]
	inRows   uint64      // bit i: the filter of covered[i] picks it
	seesRows uint64      // bit i: whether it does can be seen
	hasTerms uint64      // bit i: covered[i] is about its standard
	members  []tlog.Hash // by covered[i]: as a member of what that permits; nil where nothing is held against it
	excess   string      // place of a field beyond the newest of them
	put      bool
	known    bool // its standard is here
}

// readChunk verifies one chunk: all that can be said of each entry by itself,
// and that the log has them.
func (v *verifier) readChunk(n int) *chunk {
	c := &chunk{sheet: newSheet(), used: map[Key]bool{}, unproved: v.holder != "" && v.proofs[n] == nil}
	contents, inclusion := c.on(CheckContents), c.on(CheckInclusion)
	b, err := readFile(v.chunks[n])
	if err != nil {
		contents.fail(chunkPath(n), "is damaged", "")
		return c
	}
	var hashes []tlog.Hash
	var indices []uint64
	whole := true // every line was read, so the chunk can be proved
	for len(b) > 0 {
		if c.entries++; c.entries > MaxChunk {
			contents.fail(chunkPath(n), "has too many entries", "")
			whole = false
			break
		}
		var e Entry
		e, b, err = cutEntry(b)
		if err != nil {
			contents.fail(place(chunkPath(n), c.entries), err.Error(), "")
			whole = false
			continue
		}
		if c.any && e.Index <= c.last {
			rule := "is out of order"
			if e.Index == c.last {
				rule = "is in the file twice"
			}
			contents.failEntry(e.Index, rule, "")
			whole = false
			continue
		}
		if !c.any {
			c.any, c.first = true, e.Index
		}
		c.last = e.Index
		var hash tlog.Hash
		if bytes.IndexByte(e.Token, '~') >= 0 {
			hash, err = v.readRecord(c, e)
		} else {
			hash, err = v.readEvent(c, e)
		}
		if err != nil {
			r := refusal(err)
			c.on(CheckTokens).failEntry(e.Index, r.Error(), "")
			whole = false
			continue
		}
		hashes, indices = append(hashes, hash), append(indices, e.Index)
	}
	v.proveChunk(c, n, hashes, indices, whole, inclusion)
	return c
}

// proveChunk checks that the log has the entries of a chunk.
func (v *verifier) proveChunk(c *chunk, n int, hashes []tlog.Hash, indices []uint64, whole bool, t *tally) {
	fail := func(rule string) {
		t.fail(chunkPath(n), rule, "")
		t.failed += max(len(hashes), 1) - 1 // the proof is for all or none
	}
	f := v.proofs[n]
	switch {
	case f == nil && v.holder != "":
		t.skip(len(hashes))
		return
	case f == nil:
		fail("has no proof that the log holds it")
		return
	case v.main.Origin == "":
		t.skip(len(hashes))
		return
	case !whole || len(hashes) == 0:
		fail("has entries that cannot be read, so the proof for all of them cannot be checked")
		return
	}
	b, err := readFile(f)
	if err != nil {
		c.on(CheckContents).fail(f.Name, "is damaged", "")
		fail("has a damaged proof")
		return
	}
	path, err := tlog.SplitHashes(b)
	if err == nil {
		err = tlog.VerifyBatch(hashes, indices, v.main.Size, v.main.Root, path)
	}
	switch {
	case errors.Is(err, tlog.ErrIndex):
		fail("has entries beyond the checkpoint")
	case err != nil:
		fail("is not shown to be in the log: an entry was altered, or is from another log or place in it")
	default:
		t.pass(len(hashes))
	}
}

// readRecord verifies a record by itself. An error says that it is no token.
func (v *verifier) readRecord(c *chunk, e Entry) (tlog.Hash, error) {
	t, err := record.Parse(e.Token)
	if err != nil {
		return tlog.Hash{}, err
	}
	view, err := t.View()
	by := v.council
	if p := t.Page(); p != nil && err == nil && v.holder != "" && p.Footprint == v.council {
		by = view.Council // a member brought it into the footprint whose log it stands in
	}
	v.verifySignature(c, CheckRecordSignatures, by, e.Index, t)
	if err != nil {
		r := refusal(err)
		check := CheckTokens
		switch r.Rule {
		case record.RuleDisclosure, record.RuleUnreferenced, record.RuleDuplicate, record.RuleReserved, record.RuleTaken, record.RuleDigestAlg:
			check = CheckDisclosures
		}
		c.on(check).failEntry(e.Index, r.Rule+": "+r.Detail, r.Pointer)
		return t.Entry(), nil
	}
	if view.Council != by {
		c.on(CheckTokens).failEntry(e.Index, "is a record of another council", "")
	} else {
		c.on(CheckTokens).pass(1)
	}
	c.on(CheckDisclosures).pass(1)
	c.disclosed += len(view.Disclosed)
	c.withheld += view.Withheld
	fa := fact{index: e.Index, version: view.Version, issuedAt: view.IssuedAt, record: view.Record.Bytes(), entry: t.Entry(),
		prev: view.Prev, put: view.Op == record.Put}
	v.readBody(c, t, view, &fa)
	c.records = append(c.records, fa)
	return t.Entry(), nil
}

// readBody holds what can be seen of a record against its standard and against
// the agreement that the bundle covers.
func (v *verifier) readBody(c *chunk, t *record.Token, view *record.View, fa *fact) {
	k := v.standards[view.Standard]
	switch {
	case k == nil:
		// A name that came out of the token would keep all of its text.
		fa.standard.Version = view.Standard.Version
		fa.standard.Name = name.StandardName(strings.Clone(string(view.Standard.Name)))
		c.on(CheckStandards).skip(1)
		if fa.put {
			c.on(CheckValid).skip(1)
		}
		return
	case k.std.Integrity() != view.Integrity:
		c.on(CheckStandards).failEntry(fa.index, "was made with another schema than the standard here has", "")
		fa.standard = k.std.Name()
		return
	}
	fa.standard = k.std.Name()
	fa.known = true
	c.on(CheckStandards).pass(1)
	if !fa.put {
		return
	}
	if ps := k.std.ValidateVisible(view.Body); len(ps) > 0 {
		c.on(CheckValid).failEntry(fa.index, "breaks the standard's rule "+ps[0].Rule, ps[0].Pointer)
	} else {
		c.on(CheckValid).pass(1)
	}
	for i, terms := range k.terms {
		if terms == nil {
			continue
		}
		bit := uint64(1) << i
		fa.hasTerms |= bit
		if extra := terms.Excess(view.Body); len(extra) == 0 {
			fa.inFields |= bit
		} else {
			fa.excess = extra[0]
		}
		if terms.RowsCheckable() {
			fa.seesRows |= bit
			if terms.Match(view.Body) {
				fa.inRows |= bit
			}
		}
		if v.covers.Sample.Size == 0 {
			if fa.members == nil {
				fa.members = make([]tlog.Hash, len(k.terms))
			}
			// One that cannot be told is left zero, and said to be when it matters.
			fa.members[i], _ = memberUnder(t, view, fa.index, terms)
		}
	}
}

// verifySignature checks that the council said what a token says: by the token's own
// signature, which an event must have, and by that under the checkpoint. It reports
// whether both hold, or one that could not be told.
func (v *verifier) verifySignature(c *chunk, check string, by name.Council, index uint64, t *record.Token) bool {
	if by != v.council {
		return v.pageSignature(c, check, by, index, t)
	}
	at := index
	if c.unproved {
		at = directory.AnyPlace // where it stands nothing here shows
	}
	key, rule := v.ring.record(v.council, t.KeyID(), at)
	if rule == "" && (t.Signed() || check == CheckEventSignatures) && t.Verify(key) != nil {
		rule = ruleNoSuchSign
	}
	done := true
	switch {
	case rule != "":
	case c.unproved: // a holder's: the signature of the token alone speaks for it
		done = false
	default:
		rule, done = v.said(index)
	}
	if rule == "" && !done && !t.Signed() {
		c.on(check).skip(1)
		return true
	}
	if rule != "" {
		c.on(check).failEntry(index, rule, "")
		return false
	}
	c.used[Key{v.council, UseRecord, t.KeyID()}] = true
	c.on(check).pass(1)
	return true
}

// pageSignature is verifySignature for a record that a member brought into the footprint
// whose log this is: when it was sealed no log says.
func (v *verifier) pageSignature(c *chunk, check string, by name.Council, index uint64, t *record.Token) bool {
	key, rule := v.ring.record(by, t.Signer(), directory.AnyPlace)
	if rule == "" && t.Verify(key) != nil {
		rule = ruleNoSuchSign
	}
	if rule != "" {
		c.on(check).failEntry(index, rule, "")
		return false
	}
	c.used[Key{by, UseRecord, t.Signer()}] = true
	c.on(check).pass(1)
	return true
}

// readEvent verifies an event of the council's own log.
func (v *verifier) readEvent(c *chunk, e Entry) (tlog.Hash, error) {
	t, ev, err := record.ParseEvent(e.Token)
	if err != nil {
		return tlog.Hash{}, err
	}
	signed := v.verifySignature(c, CheckEventSignatures, v.council, e.Index, t)
	if ev.Council != v.council {
		c.on(CheckTokens).failEntry(e.Index, "is an event of another council", "")
		return t.Entry(), nil
	}
	c.on(CheckTokens).pass(1)
	s, err := readSaid(ev)
	if err != nil {
		c.on(CheckTokens).failEntry(e.Index, err.Error(), "")
	}
	if err == nil && !v.keep(&s) {
		c.on(CheckContents).failEntry(e.Index, ruleTooMany, "")
		signed = false
	}
	if !signed || err != nil {
		// What nobody is shown to have said decides nothing.
		s = claimed{kind: unread, issuedAt: ev.IssuedAt}
	}
	s.index, s.hash = e.Index, t.Entry()
	c.events = append(c.events, s)
	return t.Entry(), nil
}

// refusal returns err as a Refusal, which names rule and place and no value.
func refusal(err error) *record.Refusal {
	if r, ok := errors.AsType[*record.Refusal](err); ok {
		return r
	}
	return &record.Refusal{Rule: record.RuleForm, Detail: "is not a token"}
}
