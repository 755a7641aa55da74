package footprint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint has no key of its own, so it signs an agreement, and ends one, by
// what its members say: once a majority of them have said the same of the same
// document in this ledger, the footprint has said it. The event that completes
// the majority stands for all; what was once said stays said, whoever joins or
// leaves later.
//
// Suspending is the safe direction: one member's word suffices. To resume takes a
// majority, each of whom says so after the last suspension. What the council says
// whose name the agreement bears, the sender, it says for itself alone, so that it
// can stop its own records and go on.
//
// The replica keeps two things of it:
//
//	e index8                             0 or 1: an event about an agreement, and whether it completed a majority
//	g kind 0 agreement 0 version 0 digest   who said it: JSON, see voices. Of
//	                                        resuming: since the last suspension

// RuleAgreement is why an event about an agreement is refused that does not say
// which document it means.
const RuleAgreement = "names no document of an agreement"

// voices are the members that said one thing of one document.
type voices struct {
	By   []name.Council `json:"by"`
	Done bool           `json:"done,omitempty"` // a majority had, at some time
}

// aboutAgreement reports whether a kind of event is taken into the ledger as
// something said about an agreement.
func aboutAgreement(kind string) bool {
	switch kind {
	case event.KindAgreementProposal, event.KindAgreementSignature, event.KindAgreementEnd:
		return true
	}
	return halts(kind)
}

// halts reports whether a kind of event suspends or resumes an agreement. They
// are taken from format 2 on.
func halts(kind string) bool {
	return kind == event.KindAgreementSuspend || kind == event.KindAgreementResume
}

// say takes in what a member says about an agreement. Whether the agreement
// names this footprint is not asked here: that needs the document read, and every
// version of the program must decide this alike.
func (a *applier) say(c *checked) (Outcome, error) {
	if n, ok, err := a.seen(c.token.Entry()); err != nil || ok {
		return Outcome{Code: Duplicate, Entry: n}, err
	}
	ref, err := agreement.RefIn(c.event.Body)
	if err != nil {
		return refused(RuleAgreement), nil
	}
	completes := byte(0)
	switch kind := c.event.Kind; {
	case kind == event.KindAgreementProposal:
	case halts(kind) && a.s.format() < 2:
		return refused(RuleWaits), nil
	case halts(kind) && ref.Agreement.Council() == c.event.Council:
	default:
		done, err := a.voice(c.event, "\x00"+string(ref.Agreement)+"\x00"+strconv.Itoa(ref.Version)+"\x00"+ref.Digest.String())
		if err != nil {
			return Outcome{}, err
		}
		if done {
			completes = 1
		}
	}
	o := a.append(c, storedEvent, 0)
	a.t.Set("e"+string(binary.BigEndian.AppendUint64(nil, o.Entry)), []byte{completes})
	return o, nil
}

// voice counts what a member says of a document, and reports whether the footprint
// has said it too with this.
func (a *applier) voice(ev *record.Event, document string) (completes bool, err error) {
	if ev.Kind == event.KindAgreementSuspend {
		// Whoever was for going on did not know of this.
		return a.s.Formed, setJSON(a.t, "g"+event.KindAgreementResume+document, voices{})
	}
	key := "g" + ev.Kind + document
	var v voices
	raw, err := a.t.Lookup(key)
	if errors.Is(err, ledger.ErrNotFound) && ev.Kind == event.KindAgreementResume {
		return false, nil // it was never suspended
	}
	if err == nil {
		err = json.Unmarshal(raw, &v)
	} else if errors.Is(err, ledger.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, err
	}
	if !slices.Contains(v.By, ev.Council) {
		v.By = append(v.By, ev.Council)
	}
	agreed := 0
	for _, by := range v.By {
		if a.s.members[by] != nil {
			agreed++
		}
	}
	// Fewer than three councils are no footprint yet and bind nobody.
	if !v.Done && a.s.Formed && agreed >= a.s.majority() {
		v.Done, completes = true, true
	}
	return completes, setJSON(a.t, key, v)
}

// A Saying is an event about an agreement in the footprint's ledger.
type Saying struct {
	Index uint64 // in the footprint's log
	Event *record.Event
	Token []byte // the signed event
	// Completes says that with this event the footprint itself has said the same:
	// a majority of its members has, or one has suspended.
	Completes bool
}

// Sayings calls fn with the events about agreements from an index on, in the
// order of the log, until fn returns false.
func (f *Footprint) Sayings(from uint64, fn func(Saying) bool) error {
	return f.fsm.view(func(v *ledger.ReplicaView) error {
		var bad error
		err := v.Walk("e", func(key string, value []byte) bool {
			if len(key) != 9 || len(value) != 1 {
				bad = fmt.Errorf("%w: note of an agreement", ledger.ErrDamaged)
				return false
			}
			i := binary.BigEndian.Uint64([]byte(key[1:]))
			if i < from {
				return true
			}
			e, err := entryAt(v, i)
			if err == nil && e.Event == nil {
				err = fmt.Errorf("entry %d: %w: is not an event", i, ledger.ErrDamaged)
			}
			if err != nil {
				bad = err
				return false
			}
			return fn(Saying{Index: i, Event: e.Event, Token: e.Token.Bytes(), Completes: value[0] == 1})
		})
		return errors.Join(err, bad)
	})
}

// Signers returns the members whose own signatures of a document stand in the
// ledger, in the order of their signatures.
func (f *Footprint) Signers(ref agreement.Ref) (out []name.Council, err error) {
	err = f.Sayings(0, func(s Saying) bool {
		if s.Event.Kind == event.KindAgreementSignature {
			if of, ok := agreement.RefOf(s.Event.Kind, s.Event.Body); ok && of == ref && !slices.Contains(out, s.Event.Council) {
				out = append(out, s.Event.Council)
			}
		}
		return true
	})
	return out, err
}

// Changed returns a channel that is closed when this member applies something.
// Take it before looking at what is waited for. A snapshot that takes the
// replica's place may close it late: wait no longer than a second or so at once.
func (f *Footprint) Changed() <-chan struct{} { return f.fsm.current().Changed() }

// Councils returns the members, sorted.
func (f *Footprint) Councils() []name.Council { return f.fsm.state.Load().councils() }

// Formed reports whether the footprint takes records: three councils have been
// members at one time.
func (f *Footprint) Formed() bool { return f.fsm.state.Load().Formed }

// Size returns how many entries the ledger has here.
func (f *Footprint) Size() uint64 { return f.fsm.current().Checkpoint().Size }

// Position returns how far in the replicated log this member has applied.
func (f *Footprint) Position() uint64 { return f.fsm.current().Applied() }

// Standards returns the standards the footprint has adopted, sorted.
func (f *Footprint) Standards() []name.Standard {
	var out []name.Standard
	for n := range f.fsm.state.Load().standards {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b name.Standard) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Standard returns a standard that the footprint has adopted, ledger.ErrNotFound
// when it has not.
func (f *Footprint) Standard(n name.Standard) (*standard.Standard, error) { return f.standard(n) }
