package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrQuarantined: exchange with the council is stopped, because its log told two
// histories or was rolled back, until a person ends the quarantine.
var ErrQuarantined = errors.New("exchange is stopped")

// A Quarantine stops all exchange with a council.
type Quarantine struct {
	Since   time.Time   `json:"since"`
	Fault   string      `json:"fault"`              // event.FaultFork, or another
	Reason  string      `json:"reason"`             // in words
	MetWith string      `json:"met_with,omitempty"` // what the other head came with
	Held    []byte      `json:"held,omitempty"`     // the signed head we knew
	Told    []byte      `json:"told,omitempty"`     // the signed head we met then; nil when only words came
	Proof   []tlog.Hash `json:"proof,omitempty"`    // the consistency proof that was offered and fails
	Entry   uint64      `json:"entry"`              // of the event in our log that says so

	// Set once a person ended it.
	EndedAt  time.Time `json:"ended_at,omitzero"`
	Because  string    `json:"because,omitempty"`
	Follow   string    `json:"follow,omitempty"` // event.FollowHeld or event.FollowTold
	EndEntry uint64    `json:"end_entry,omitempty"`
}

// An Accusation is that another council stopped exchange with us over our own log.
type Accusation struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // in its words
	Held   []byte    `json:"held,omitempty"`
	Told   []byte    `json:"told,omitempty"`
	// Proven: what it showed is signed with our log key and not of the history
	// that stands here; see [Ledger.Heard].
	Proven bool `json:"proven,omitempty"`
}

// stopped returns the error that every exchange with a council in quarantine gets.
func (k *KnownLog) stopped() error {
	if k.Quarantine == nil {
		return nil
	}
	return fmt.Errorf("%w with %s since %s: %s", ErrQuarantined, k.Council, k.Quarantine.Since.Format(time.DateOnly), k.Quarantine.Reason)
}

// Allowed returns an error wrapping ErrQuarantined, with the reason, when all
// exchange with a council is stopped.
func (l *Ledger) Allowed(c name.Council) error { return l.Known(c).stopped() }

// allowed is Allowed as the batches under way leave it.
func (t *tx) allowed(c name.Council) error {
	k, err := t.known(c)
	if err != nil {
		return err
	}
	return k.stopped()
}

// Quarantine stops all exchange with a council: q's Fault, Reason, MetWith, Told
// and Proof are kept beside the newest head known, and an event in our log names
// both. While a quarantine lasts another changes nothing.
func (l *Ledger) Quarantine(ctx context.Context, log name.Council, q Quarantine) error {
	return l.do(ctx, false, func(t *tx) error {
		k, err := t.known(log)
		if err != nil || k.Quarantine != nil {
			return err
		}
		return t.quarantine(k, q)
	})
}

func (t *tx) quarantine(k *KnownLog, q Quarantine) error {
	next := *k
	q.Since, q.Held = t.l.o.Now().UTC().Truncate(time.Second), k.Note
	q.Entry = t.event(event.KindQuarantine, quarantineOf(k.Council, &q).Body()).index
	next.Quarantine = &q
	t.l.o.Log.Error("all exchange with a council is stopped", "council", k.Council, "fault", q.Fault, "because", q.Reason, "met_with", q.MetWith)
	return t.keepKnown(&next)
}

// quarantineOf is what an event about a quarantine says.
func quarantineOf(c name.Council, q *Quarantine) event.Quarantine {
	return event.Quarantine{Council: c, Fault: q.Fault, Reason: q.Reason, Held: headOf(c, q.Held), Told: headOf(c, q.Told)}
}

// headOf returns size and root of a signed checkpoint of a council's log; nil when
// there is none that can be read.
func headOf(c name.Council, note []byte) *event.Head {
	cp, err := tlog.ParseUnsigned(note, c.Origin())
	if err != nil {
		return nil
	}
	return &event.Head{Size: cp.Size, Root: cp.Root}
}

// EndQuarantine lets exchange with a council go on, because a person says so. It
// logs that, with the heads of the evidence, which is kept.
//
// With FollowHeld the history known before goes on. With FollowTold what was known
// of the log is forgotten and the next checkpoint met begins it anew: all that is
// held from the council is erased, from the files on disk too, and every copy starts
// over; a log that we have cosigned we then cosign no more, since that would vouch
// for two histories. ErrNotFound when there is no quarantine.
func (l *Ledger) EndQuarantine(ctx context.Context, log name.Council, follow, because string) error {
	if follow != event.FollowHeld && follow != event.FollowTold {
		return fmt.Errorf("internal error: follow %q", follow)
	}
	return l.do(ctx, follow == event.FollowTold, func(t *tx) error {
		k, err := t.known(log)
		if err != nil {
			return err
		}
		if k.Quarantine == nil {
			return fmt.Errorf("quarantine of %s: %w", log, ErrNotFound)
		}
		next, q := *k, *k.Quarantine
		q.EndedAt, q.Because, q.Follow = l.o.Now().UTC().Truncate(time.Second), because, follow
		ended := event.QuarantineEnded{Quarantine: quarantineOf(log, &q), Because: because, Follow: follow, Begun: q.Entry}
		q.EndEntry = t.event(event.KindQuarantineEnded, ended.Body()).index
		next.Quarantine = nil
		next.Ended = append(append([]Quarantine{}, k.Ended[max(0, len(k.Ended)-maxEnded+1):]...), q)
		if follow == event.FollowTold {
			next.Size, next.Root, next.Note, next.At = 0, tlog.Hash{}, nil, time.Time{}
			next.Forsworn = next.Forsworn || k.CosignedSize > 0
			if err := t.beginAnew(log); err != nil {
				return err
			}
		}
		return t.keepKnown(&next)
	})
}

// beginAnew erases what is held from a council: another history gives other records
// at the same indexes. A crash before the rest is durable leaves the quarantine, and
// whoever ends it again erases nothing more.
func (t *tx) beginAnew(log name.Council) error {
	for _, s := range t.l.Sources() {
		if s.From != log {
			continue
		}
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if c.Ending {
			continue // all of it goes by itself
		}
		if err := t.l.dropPrefixes(sourcePrefixes(s.number)...); err != nil {
			return err
		}
		c.Withdrawn += c.Records
		c.Apart, c.Gone = 0, 0
		c.forgetSums()
		if c.Records = 0; !c.Ended {
			c.restart(c.Digest)
			c.Sweep = false
		}
		if err := t.source(c); err != nil {
			return err
		}
	}
	return nil
}

// maxEnded is how many ended quarantines of one council are kept here; the events
// in our log stay.
const maxEnded = 20

// Accused keeps what another council says against our log, for status to show;
// nil takes it back, when the council exchanges with us again.
func (l *Ledger) Accused(ctx context.Context, by name.Council, a *Accusation) error {
	if was := l.Known(by).Accusation; was == nil && a == nil || was != nil && a != nil && was.Proven == a.Proven && was.Reason == a.Reason {
		return nil
	}
	return l.do(ctx, false, func(t *tx) error {
		k, err := t.known(by)
		if err != nil {
			return err
		}
		next := *k
		if next.Accusation = a; a != nil {
			accusation := *a
			accusation.Since = l.o.Now().UTC().Truncate(time.Second)
			next.Accusation = &accusation
		}
		return t.keepKnown(&next)
	})
}
