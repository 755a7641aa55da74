// Package judge decides what may be believed of anything that another council
// has delivered: who may have signed it and with which key, where it stands in
// whose log, whether it is within the agreement's rows and fields, and whether
// what can be seen of it fits the standard.
//
// Every path on which something comes from another council asks this package:
// the copy of a partner's feed, notices, what comes out of a footprint and what
// goes into one, answers to questions. A path says what it was handed and keeps
// what the verdict lets it keep; it has no rules of its own. Package judgetest
// holds the deliveries that each path must refuse or wait with.
//
// There are three verdicts. What only a liar can send refuses a delivery as a
// whole: the error wraps [ErrLied]. What is wrong with one item alone refuses
// that item, by a rule in words. What may still become right is waited for: the
// error wraps [ErrWait], nothing is kept or refused, and the delivery comes
// again.
//
// Package audit has a checker of its own, on purpose: it must not believe what
// this one believed. The two share the deliveries in judgetest.
package judge

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// ErrLied is wrapped by every error that no honest sender can cause: a
// checkpoint, proof or order that does not hold. The delivery is refused whole
// and nothing of it is kept.
var ErrLied = errors.New("does not verify")

// ErrWait is wrapped by the errors of a delivery that cannot be judged yet.
// Nothing of it is kept and nothing refused: it is to be asked for again.
var ErrWait = errors.New("cannot be checked yet")

// The errors of what is waited for; each wraps [ErrWait].
var (
	// ErrStandardMissing: a standard version is not adopted here. Adopting it
	// lets the exchange go on from where it stopped.
	ErrStandardMissing = fmt.Errorf("%w: standard is not adopted here", ErrWait)
	// ErrKeyMissing: it is signed with a key that our directory has of nobody.
	// The signer may have changed its key, so that it comes with an edition of
	// the directory that is not here yet, or was not published yet.
	ErrKeyMissing = fmt.Errorf("%w: signed with a key that our directory does not have", ErrWait)
	// ErrClock: it claims to have been issued after now, by our clock.
	ErrClock = fmt.Errorf("%w: issued later than now by our clock", ErrWait)
)

// The rules about signatures and times.
const (
	RuleKey       = "signing key" // the key is another council's
	RuleRevoked   = "revoked key"
	RuleSignature = "signature"
	RuleFuture    = "issued in the future"
	// RuleSealedOnce refuses a record in a page that has a signature of its own too.
	RuleSealedOnce = "a record in a page has no signature of its own"
)

// A record may claim to have been issued up to clockLead after now: clocks are
// set by people, and an hour's mistake must hold nothing up. Up to clockWait it
// is waited for, since it may be our clock that is slow; what claims to come from
// beyond that is refused.
const (
	clockLead = 24 * time.Hour
	clockWait = 366 * 24 * time.Hour
)

// A Directory says who is a member: a [directory.Directory].
type Directory interface {
	Member(name.Council) (directory.Member, bool)
	Members() []directory.Member
}

// Options say what a Judge goes by. Directory and Now are always needed; Ledger,
// Standards and Last by who has deliveries decided about.
type Options struct {
	Directory Directory
	// Ledger keeps what is known of the logs of others.
	Ledger *ledger.Ledger
	// Prove asks a member about its own log, or a footprint's; without it what
	// cannot be placed is waited for.
	Prove func(log, member name.Council) ledger.Prover
	// Stopped is told when exchange with a council is stopped; the default does
	// nothing.
	Stopped func(name.Council)
	// Standards returns a standard that is adopted here.
	Standards func(name.Standard) (*standard.Standard, error)
	Now       func() time.Time
	// Last returns what is remembered of a record from a source, as
	// [ledger.Ledger.Last] does.
	Last func(*ledger.Source, name.Record) (ledger.Last, error)
	// Let says how a record is let out under an agreement in which records go by hand, as
	// [ledger.Ledger.Let] does; without it none is.
	Let func(a name.Agreement, r name.Record, moves bool) (known, travels, taken bool, err error)
	// Members returns the councils that keep a footprint; the default asks the
	// directory.
	Members func(footprint name.Council) []name.Council
	// Ask has the directory brought up to date soon; the default does nothing.
	Ask func()
}

// A Judge may be used concurrently. All that it keeps is what it learns of logs,
// in the ledger, and which seals of pages it has checked of late.
type Judge struct {
	o     Options
	pages pages
}

// New returns a Judge.
func New(o Options) *Judge {
	if o.Members == nil {
		o.Members = func(c name.Council) []name.Council {
			m, _ := o.Directory.Member(c)
			return m.Members
		}
	}
	if o.Stopped == nil {
		o.Stopped = func(name.Council) {}
	}
	if o.Ask == nil {
		o.Ask = func() {}
	}
	return &Judge{o: o}
}

// Key returns the key that a token of council c names, for a place in c's log;
// place is [directory.AnyPlace] where the place is not known. If the key may not
// be used rule says why. The error wraps [ErrKeyMissing] for a key that the
// directory does not have, of c or any other: it may still come.
func (j *Judge) Key(c name.Council, kid string, place uint64) (key *keys.RecordPublic, rule string, err error) {
	m, _ := j.o.Directory.Member(c)
	key, err = m.RecordKeyAt(kid, place)
	switch {
	case err == nil:
		return key, "", nil
	case errors.Is(err, directory.ErrRevoked):
		return nil, RuleRevoked, nil
	case j.others(kid):
		return nil, RuleKey, nil
	}
	j.o.Ask()
	return nil, "", fmt.Errorf("%w: key %.16s… of %s", ErrKeyMissing, kid, c)
}

// others reports whether a key is one of any council in the directory.
func (j *Judge) others(kid string) bool {
	return slices.ContainsFunc(j.o.Directory.Members(), func(m directory.Member) bool {
		_, ok := m.RecordKey(kid)
		return ok
	})
}

// Signed decides whether c signed a token that stands at a place in its log, as
// Key does. What c sealed for a footprint is no signature here: see Sealed.
func (j *Judge) Signed(c name.Council, t *record.Token, place uint64) (rule string, err error) {
	key, rule, err := j.Key(c, t.KeyID(), place)
	if rule == "" && err == nil && (t.Page() != nil || t.Verify(key) != nil) {
		rule = RuleSignature
	}
	return rule, err
}

// SealedInto decides whether a council brought a record into a footprint: its token
// must carry the proof of a page that the council sealed for that footprint, with a key
// as Key finds it for a place that is not known.
func (j *Judge) SealedInto(footprint, c name.Council, t *record.Token) (rule string, err error) {
	p := t.Page()
	if p == nil || p.Footprint != footprint || p.Council != c {
		return RuleSignature, nil
	}
	page, err := p.Of(t.Entry())
	if err != nil {
		return RuleSignature, nil
	}
	return j.sealed(page, p.Seal)
}

// sealed decides whether the council that a page names sealed it.
func (j *Judge) sealed(p record.Page, s record.PageSeal) (rule string, err error) {
	key, rule, err := j.Key(p.Council, s.Key, directory.AnyPlace)
	if rule != "" || err != nil {
		return rule, err
	}
	if !j.pages.verify(p, s, key) {
		rule = RuleSignature
	}
	return rule, nil
}

// maxPages is how many pages a Judge remembers: records of one page mostly come one
// after the other.
const maxPages = 64

// pages are those whose seals were found to hold of late.
type pages struct {
	mu   sync.Mutex // guards what follows
	list [maxPages]sealedPage
	next int
}

type sealedPage struct {
	page record.Page
	key  string
	sig  [keys.SignatureSize]byte
}

// verify reports whether a seal holds, of which it checks the signature once.
func (p *pages) verify(page record.Page, s record.PageSeal, key *keys.RecordPublic) bool {
	if len(s.Signature) != keys.SignatureSize {
		return false
	}
	this := sealedPage{page, s.Key, [keys.SignatureSize]byte(s.Signature)}
	p.mu.Lock()
	known := slices.Contains(p.list[:], this)
	p.mu.Unlock()
	if known {
		return true
	}
	if page.Verify(s, key) != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list[p.next%maxPages] = this
	p.next++
	return true
}

// Issued decides about the time, in seconds since 1970, at which a record claims
// to have been issued. The error wraps [ErrClock]. Events are not asked: what ends
// or takes back something is obeyed whatever its signer's clock shows.
func (j *Judge) Issued(at int64) (rule string, err error) {
	switch ahead := at - j.o.Now().Unix(); {
	case ahead <= int64(clockLead/time.Second):
		return "", nil
	case ahead <= int64(clockWait/time.Second):
		return "", fmt.Errorf("%w: by more than a day", ErrClock)
	}
	return RuleFuture, nil
}

// Event decides about an event of council c that stands at a place in its log.
// Events are few, and what is done on one must be founded: the signature is
// always checked. An event that cannot be read is an error that wraps
// [ErrLied].
func (j *Judge) Event(c name.Council, jws []byte, place uint64) (t *record.Token, ev *record.Event, rule string, err error) {
	if t, ev, err = record.ParseEvent(jws); err != nil {
		return nil, nil, "", fmt.Errorf("%w: event: %w", ErrLied, err)
	}
	if rule, err = j.Signed(c, t, place); rule != "" || err != nil {
		return t, ev, rule, err
	}
	if ev.Council != c {
		rule = RuleIssuer
	}
	return t, ev, rule, nil
}
