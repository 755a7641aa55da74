package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// ErrElsewhere: another process uses our keys while this one runs. Nothing is signed until
// those who heard it say that it is gone, and everybody was asked again what they hold of
// our log. See docs/quarantine.md.
var ErrElsewhere = errors.New("our key is in use elsewhere")

// An Elsewhere is the proof that another process has our keys, as a council handed it on.
type Elsewhere struct {
	By    name.Council `json:"by"`
	At    time.Time    `json:"at"`
	Vouch []byte       `json:"vouch"` // signed with our log key by the other process
}

// HeardElsewhere stops all signing: a council handed on what another process signed with
// our log key about this one, which the caller has checked. It is on disk before
// HeardElsewhere returns, so that it holds after a restart, too. It ends when all in
// list, and by, have answered anew; see AskFirst and Heard.
func (l *Ledger) HeardElsewhere(ctx context.Context, by name.Council, vouch []byte, list []name.Council) error {
	return l.do(ctx, true, func(t *tx) error {
		if elsewhere(l.own.Elsewhere, by) {
			return nil
		}
		next := l.own
		next.Elsewhere = append(slices.Clone(next.Elsewhere), Elsewhere{By: by, At: l.o.Now().UTC().Truncate(time.Second), Vouch: vouch})
		l.o.Log.Error("nothing is signed any more: another node speaks with our key", "heard_by", by)
		t.after = append(t.after, func() {
			// The other may have signed what is not here.
			l.doubt, l.asking, l.answered = true, map[name.Council]bool{by: true}, map[name.Council]bool{}
			for _, c := range list {
				l.asking[c] = true
			}
		})
		return t.keepOwn(next)
	})
}

func elsewhere(list []Elsewhere, by name.Council) bool {
	return slices.ContainsFunc(list, func(e Elsewhere) bool { return e.By == by })
}

// alone notes that a council hears nobody else with our key any more.
func (l *Ledger) alone(ctx context.Context, by name.Council) error {
	if h := l.Halted(); h == nil || !elsewhere(h.Elsewhere, by) {
		return nil
	}
	return l.do(ctx, true, func(t *tx) error {
		next := l.own
		next.Elsewhere = slices.DeleteFunc(slices.Clone(next.Elsewhere), func(e Elsewhere) bool { return e.By == by })
		return t.keepOwn(next)
	})
}
