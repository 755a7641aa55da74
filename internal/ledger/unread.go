package ledger

import (
	"context"
	"errors"
	"fmt"
)

// A folder that was set back holds what partners had taken back since, and does not know it:
// the withdrawals and orders come with their feeds. So what came from a feed is not
// shown until that feed was read to its end once.

// ErrUnread: it is not shown, since this folder was set back and the feed that it came by
// was not read to its end since.
var ErrUnread = errors.New("not shown until the feed that it came by was read to its end once, since this folder was set back")

// HideUnread notes that the folder may have been set back: what every feed brought is hidden
// until that was read to its end. A folder that is known to be the one that was written last
// is left as it is.
func (l *Ledger) HideUnread(ctx context.Context) error {
	l.mu.RLock()
	doubt := l.doubt
	l.mu.RUnlock()
	if !doubt {
		return nil
	}
	return l.do(ctx, true, (*tx).hideUnread)
}

func (t *tx) hideUnread() error {
	for _, s := range t.l.Sources() {
		c, err := t.current(s)
		if err != nil {
			return err
		}
		if c.Unread || c.Records == 0 || c.Agreement == "" {
			continue
		}
		c.Unread = true
		if err := t.source(c); err != nil {
			return err
		}
	}
	return nil
}

// Hides reports whether what is held from a source is not shown. [View.Holding] and
// [View.Holdings] then give ErrUnread.
func (v *View) Hides(s *Source) bool {
	return s.Agreement != "" && s.Records > 0 && v.hides(s) != nil
}

func (v *View) hides(s *Source) error {
	if s.Agreement == "" {
		return nil
	}
	v.l.mu.RLock()
	defer v.l.mu.RUnlock()
	unread := s.Unread
	if int(s.number) < len(v.l.sources) {
		unread = v.l.sources[s.number].Unread
	}
	if unread || v.l.doubt && v.l.o.Reading {
		return fmt.Errorf("what %s sent under %s: %w", s.From, s.Agreement, ErrUnread)
	}
	return nil
}
