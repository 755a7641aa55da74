package footprint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The sizes of a footprint. Records are taken once MinMembers councils have
// joined: with fewer, one loss would stop it or one council would decide alone.
const (
	MinMembers = 3
	MaxMembers = 12
)

// A Code says what became of an entry.
type Code byte

// The codes of an Outcome.
const (
	Accepted  Code = 1 // it stands in the log
	Duplicate Code = 2 // it stood there before
	Refused   Code = 3
	// Again: others of its page were refused, so that nothing of the page was taken. It
	// is to be offered in a page without them; see [Offer].
	Again Code = 4
)

// An Outcome says what became of one entry offered to the footprint.
type Outcome struct {
	Code  Code
	Entry uint64 // log index, unless refused
	// Rule is why it was refused, in plain words: it names a rule and never a
	// value, so it may be sent to whoever offered the entry.
	Rule string
}

// Evidence is what a member signed that no honest member signs.
type Evidence struct {
	Council name.Council `json:"council"`
	At      int64        `json:"at"` // unix seconds
	What    string       `json:"what"`
	Signed  []string     `json:"signed,omitempty"` // what contradicts: tokens without disclosures, or checkpoint notes
}

// A checked entry has been taken apart. The signature of an event is checked
// against what the footprint knows of its signer, once, by verify; a record stands
// under the seal of its page.
type checked struct {
	offered  Entry
	token    *record.Token
	view     *record.View  // of a record
	event    *record.Event // or an event
	rule     string        // why it is not an entry at all
	verified string        // id of the key an event's signature was verified with
	asked    bool          // its standard's schema takes it
}

func (c *checked) parse() {
	e := c.offered
	var err error
	switch {
	case len(e.Token)+len(e.Attachment) > MaxEntry:
		c.rule = "size"
	case isRecord(e.Token):
		if c.token, err = record.Parse(e.Token); err == nil {
			c.view, err = c.token.View()
		}
		if len(e.Attachment) > 0 {
			c.rule = "attachment"
		} else if err == nil && c.token.Signed() {
			c.rule = RuleSigned // one form
		}
	default:
		c.token, c.event, err = record.ParseEvent(e.Token)
	}
	if err != nil {
		c.rule = "form"
		if r, ok := errors.AsType[*record.Refusal](err); ok {
			c.rule = r.Rule
		}
	}
}

func (c *checked) signer() name.Council {
	if c.view != nil {
		return c.view.Council
	}
	return c.event.Council
}

// verify checks that an event is signed with one of m's keys. It returns the
// rule that is broken, or "".
func (c *checked) verify(m *member) string {
	if c.verified != "" && c.verified == c.token.KeyID() {
		if _, ok := m.entry.RecordKey(c.verified); ok {
			return ""
		}
	}
	key, ok := m.entry.RecordKey(c.token.KeyID())
	if !ok {
		return RuleKey
	}
	if c.token.Verify(key) != nil {
		return "signature"
	}
	c.verified = c.token.KeyID()
	return ""
}

// An applier applies one command to a state and a transaction. Everything it
// decides follows from these and the command alone: no clock, no directory, no
// randomness, no order of a map. What needs time to decide, whether a record
// obeys its standard's schema, is therefore asked before a command is proposed
// and again behind it, not here.
type applier struct {
	name name.Council
	s    *state
	t    *ledger.ReplicaTx
	at   int64
	// machines of one council may be as few as there are.
	machines bool
	// counts of live records moved by this command
	counts map[string]int64

	// page is the page at hand, first where the first entry of it that is taken
	// stands, and twins what it is evidence of.
	page  *checkedGroup
	first uint64
	twins []twin

	marked  bool
	erased  bool
	members bool // something about membership changed
}

func refused(rule string) Outcome { return Outcome{Code: Refused, Rule: rule} }

// group applies what one council contributes. The error is of the store.
func (a *applier) group(k *checkedGroup) ([]Outcome, error) {
	g := k.g
	out := make([]Outcome, len(k.entries))
	all := func(rule string) []Outcome {
		for i := range out {
			out[i] = refused(rule)
		}
		return out
	}
	flow := "f" + string(g.contributor) + "\x00" + string(g.agreement)
	if g.needsSeal() {
		m := a.s.signer(g)
		if m == nil {
			return all(RuleMember), nil
		}
		if rule := k.verify(a.name, m); rule != "" {
			return all(rule), nil
		}
	} else if g.seal.Key != "" {
		return all(RuleSeal), nil // one form
	}
	if g.agreement != "" {
		cursor, err := number(a.t, flow)
		if err != nil {
			return nil, err
		}
		if cursor != g.since {
			return all(RuleOrder), nil
		}
	}
	a.page, a.first, a.twins = k, a.t.Next(), a.twins[:0]
	for i, c := range k.entries {
		o, err := a.entry(g, c)
		if err != nil {
			return nil, err
		}
		out[i] = o
	}
	if err := a.keepPage(out); err != nil {
		return nil, err
	}
	if g.agreement != "" {
		setNumber(a.t, flow, g.cursor)
	}
	return out, nil
}

// The rules by which entries are refused.
const (
	RuleMember   = "not a member of this footprint"
	RuleIssuer   = "signed by another council than the one that offers it"
	RuleOrder    = "page is out of order"
	RuleForming  = "the footprint takes records once three councils have joined"
	RuleStandard = "standard is not adopted by this footprint"
	RuleSchema   = "standard has another schema here"
	RuleVersion  = "a newer version of the record is here already"
	RuleTwice    = "another version of the record has the same number"
	RuleChain    = "the version before is another one here"
	RuleGone     = "the record was withdrawn"
	RuleKey      = "signing key"
	RuleKeyLater = "signed with a key that the directory does not have yet"
	RuleClock    = "issued later than now by the clock here"
	RuleSigned   = "a record in a page has no signature of its own"
)

// ForNow reports whether a rule speaks of how things stand now, or of what somebody
// did to a page on its way, and not of the entry: the same entry may be taken later, so whoever offered it offers it again
// and has lost nothing.
func ForNow(rule string) bool {
	switch rule {
	case RuleMember, RuleForming, RuleStandard, RuleOrder, RuleKey, RuleKeyLater, RuleClock, RuleSeal:
		return true
	}
	return false
}

func (a *applier) entry(g group, c *checked) (Outcome, error) {
	if c.rule != "" {
		return refused(c.rule), nil
	}
	if c.signer() != g.contributor {
		return refused(RuleIssuer), nil
	}
	if c.event != nil && c.event.Kind != event.KindWithdrawal && c.event.Kind != event.KindStandardAdopted && c.event.Kind != event.KindFootprintExpired && !aboutAgreement(c.event.Kind) {
		return a.membership(c)
	}
	m := a.s.signer(g)
	if m == nil {
		return refused(RuleMember), nil
	}
	if a.s.members[g.contributor] == nil && !c.fromOutside() {
		return refused(RuleOutside), nil
	}
	if c.view != nil {
		return a.record(g, c)
	}
	if rule := c.verify(m); rule != "" {
		return refused(rule), nil
	}
	switch {
	case c.event.Kind == event.KindStandardAdopted:
		return a.adopt(c)
	case c.event.Kind == event.KindFootprintExpired:
		return a.expire(c)
	case aboutAgreement(c.event.Kind):
		return a.say(c)
	}
	return a.withdraw(g, c)
}

// seen returns the log index of an event that is in the log.
func (a *applier) seen(entry tlog.Hash) (uint64, bool, error) {
	n, err := a.t.Lookup("d" + string(entry[:]))
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil || len(n) != 8 {
		return 0, false, errors.Join(err, fmt.Errorf("%w: index of an entry", ledger.ErrDamaged))
	}
	i, err := number(a.t, "d"+string(entry[:]))
	return i, true, err
}

func (a *applier) append(c *checked, kind byte, before uint64) Outcome {
	entry := c.token.Entry()
	n := a.t.Append(entry, encodeStored(kind, before, a.t.Next()-a.first, c.token.Bytes()))
	if kind == storedEvent {
		setNumber(a.t, "d"+string(entry[:]), n)
	}
	return Outcome{Code: Accepted, Entry: n}
}

func (a *applier) record(g group, c *checked) (Outcome, error) {
	v := c.view
	if !a.s.Formed {
		return refused(RuleForming), nil
	}
	switch integrity, ok := a.s.standards[v.Standard]; {
	case !ok:
		return refused(RuleStandard), nil
	case integrity != v.Integrity:
		return refused(RuleSchema), nil
	}
	entry := c.token.Entry()
	key := headKey(v.Council, v.Record)
	var old head
	raw, err := a.t.Lookup(key)
	switch {
	case err == nil:
		if old, err = decodeHead(raw); err != nil {
			return Outcome{}, err
		}
	case !errors.Is(err, ledger.ErrNotFound):
		return Outcome{}, err
	}
	if n, ok, err := a.known(old, v.Version, entry); err != nil {
		return Outcome{}, err
	} else if ok {
		return Outcome{Code: Duplicate, Entry: n}, nil
	}
	switch {
	case old.version == 0: // new here
	case old.state == headWithdrawn && g.agreement == "" && v.Version <= old.version:
		// Without a page's cursor this may be an old message that comes late.
		return refused(RuleGone), nil
	case old.state == headWithdrawn && (v.Version >= old.version || g.agreement != "" && a.s.format() >= 3):
		// It is let out again, by a log that was set back as an earlier version. A page
		// that comes late is out of order.
	case v.Version < old.version:
		return refused(RuleVersion), nil
	case v.Version == old.version:
		if err := a.twin(c, old); err != nil {
			return Outcome{}, err
		}
		return refused(RuleTwice), nil
	case v.Version == old.version+1 && v.Prev != old.entry:
		if err := a.twin(c, old); err != nil {
			return Outcome{}, err
		}
		return refused(RuleChain), nil
	}
	before := uint64(0)
	if old.version != 0 && old.state != headWithdrawn {
		before = old.index + 1
	}
	o := a.append(c, storedRecord, before)
	h := head{index: o.Entry, version: v.Version, entry: entry, state: headLive}
	if v.Op == record.Delete {
		h.state = headDeleted
	}
	count := "n" + string(v.Council) + "\x00" + v.Standard.String()
	if old.state == headLive {
		was, err := a.standardOf(old.index)
		if err != nil {
			return Outcome{}, err
		}
		a.counts["n"+string(v.Council)+"\x00"+was.String()]--
	}
	if h.state == headLive {
		a.counts[count]++
	}
	a.t.Set(key, h.encode())
	return o, nil
}

// maxBack is how many versions back a version is looked for that comes again. One that
// is older is refused as old.
const maxBack = 64

// known returns the log index of a version of a record that is here, not withdrawn.
func (a *applier) known(h head, version uint64, entry tlog.Hash) (uint64, bool, error) {
	if h.version == 0 || h.state == headWithdrawn || version > h.version {
		return 0, false, nil
	}
	if version == h.version {
		return h.index, entry == h.entry, nil
	}
	for index, n := h.index, 0; n < maxBack; n++ {
		raw, err := a.t.Entry(index)
		if err != nil {
			return 0, false, err
		}
		kept, err := decodeStored(raw)
		if err != nil {
			return 0, false, err
		}
		if entryOf(kept.token) == entry {
			return index, true, nil
		}
		if kept.before == 0 {
			break
		}
		index = kept.before - 1
	}
	return 0, false, nil
}

// standardOf reads which standard a record in the log is in.
func (a *applier) standardOf(index uint64) (name.Standard, error) {
	raw, err := a.t.Entry(index)
	if err != nil {
		return name.Standard{}, err
	}
	kept, err := decodeStored(raw)
	if err != nil {
		return name.Standard{}, err
	}
	payload, err := payloadOf(kept.token)
	if err != nil {
		return name.Standard{}, err
	}
	var claims struct {
		Std name.Standard `json:"std"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return name.Standard{}, fmt.Errorf("entry %d: %w: %w", index, ledger.ErrDamaged, err)
	}
	return claims.Std, nil
}

func payloadOf(token []byte) ([]byte, error) {
	_, rest, _ := bytes.Cut(token, []byte("."))
	payload, _, _ := bytes.Cut(rest, []byte("."))
	b, err := base64.RawURLEncoding.AppendDecode(nil, payload)
	if err != nil {
		return nil, fmt.Errorf("%w: stored token: %w", ledger.ErrDamaged, err)
	}
	return b, nil
}

func evidenceKey(h tlog.Hash) string { return "v" + string(h[:]) }

func signedPart(token []byte) string {
	jws, _, _ := bytes.Cut(token, []byte("~"))
	return string(jws)
}

// withdraw erases every version of a record that the withdrawal takes back.
func (a *applier) withdraw(g group, c *checked) (Outcome, error) {
	if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
		return Outcome{Code: Duplicate, Entry: n}, err
	}
	w, err := event.ParseWithdrawal(c.event.Body)
	if err != nil || g.agreement != "" && w.Agreement != g.agreement {
		return refused("withdrawal"), nil
	}
	key := headKey(g.contributor, w.Record)
	raw, err := a.t.Lookup(key)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return Outcome{}, err
	}
	if err == nil {
		h, err := decodeHead(raw)
		if err != nil {
			return Outcome{}, err
		}
		if err := a.takeBack(key, h); err != nil {
			return Outcome{}, err
		}
	}
	return a.append(c, storedEvent, 0), nil
}

// takeBack erases every version of the record whose head stands under a key.
func (a *applier) takeBack(key string, h head) error {
	if h.state == headLive {
		std, err := a.standardOf(h.index)
		if err != nil {
			return err
		}
		c, _, _ := strings.Cut(key[1:], "\x00")
		a.counts["n"+c+"\x00"+std.String()]--
	}
	if h.state == headWithdrawn {
		return nil
	}
	oldest, err := a.erase(h.index)
	if err != nil {
		return err
	}
	a.order(oldest)
	h.state = headWithdrawn
	a.t.Set(key, h.encode())
	return nil
}

// erase deletes a version and all before it. It returns where the oldest stood.
func (a *applier) erase(index uint64) (oldest uint64, err error) {
	for oldest = index; ; {
		raw, err := a.t.Entry(index)
		if errors.Is(err, ledger.ErrNotFound) {
			return oldest, nil
		}
		if err != nil {
			return oldest, err
		}
		kept, err := decodeStored(raw)
		if err != nil {
			return oldest, err
		}
		a.t.EraseEntry(index)
		a.erased = true
		if oldest = index; kept.before == 0 {
			return oldest, nil
		}
		index = kept.before - 1
	}
}

// adopt takes a standard into use.
func (a *applier) adopt(c *checked) (Outcome, error) {
	if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
		return Outcome{Code: Duplicate, Entry: n}, err
	}
	adopted, err := event.ParseStandardAdopted(c.event.Body)
	if err != nil {
		return refused("standard"), nil
	}
	n := adopted.Standard
	if integrity, ok := a.s.standards[n]; ok {
		if integrity == adopted.Integrity {
			return Outcome{Code: Duplicate}, nil
		}
		return refused(RuleSchema), nil
	}
	std, err := standard.LoadArchive(c.offered.Attachment)
	if err != nil || std.Name() != n || std.Integrity() != adopted.Integrity {
		return refused("archive of the standard is not what the entry names"), nil
	}
	a.t.Set("a"+n.String(), bytes.Clone(c.offered.Attachment))
	a.t.Set("A"+n.String(), []byte(std.Integrity()))
	a.s.standards = maps.Clone(a.s.standards)
	a.s.standards[n] = std.Integrity()
	return a.append(c, storedEvent, 0), nil
}

// finish writes what the groups of a command moved together.
func (a *applier) finish() error {
	for key, d := range a.counts {
		if d == 0 {
			continue
		}
		n, err := number(a.t, key)
		if err != nil {
			return err
		}
		setNumber(a.t, key, uint64(int64(n)+d))
	}
	clear(a.counts)
	return a.s.save(a.t)
}

// parseServer returns the member and the incarnation that a raft server id
// names.
func parseServer(id string) (name.Council, string, bool) {
	council, inc, ok := strings.Cut(id, "/")
	c, err := name.ParseCouncil(council)
	return c, inc, ok && err == nil && event.IsIncarnation(inc)
}

func serverID(c name.Council, incarnation string) string { return string(c) + "/" + incarnation }
