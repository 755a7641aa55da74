package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/node/name"
)

// Notices returns the feed of events addressed to a council, ErrNotFound when
// none ever was.
func (l *Ledger) Notices(to name.Council) (*Feed, error) {
	for _, f := range l.Feeds() {
		if f.Agreement == "" && slices.Contains(f.To, to) {
			return f, nil
		}
	}
	return nil, fmt.Errorf("notices to %s: %w", to, ErrNotFound)
}

// AppendNotice puts an event into the log and into the notices feeds of the
// councils it is addressed to. It returns its log index and JWS.
func (l *Ledger) AppendNotice(ctx context.Context, kind string, body map[string]any, to ...name.Council) (uint64, []byte, error) {
	for _, c := range to {
		if _, err := l.OpenNotices(ctx, c); err != nil {
			return 0, nil, err
		}
	}
	var p *pending
	err := l.do(ctx, false, func(t *tx) error {
		p = t.event(kind, body)
		return t.address(p.index, to)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("log %s: %w", kind, err)
	}
	return p.index, p.token.Bytes(), nil
}

// OpenNotices returns the feed of what is addressed to a council, making it
// when there is none yet.
func (l *Ledger) OpenNotices(ctx context.Context, c name.Council) (*Feed, error) {
	if f, err := l.Notices(c); err == nil {
		return f, nil
	}
	err := l.do(ctx, true, func(t *tx) error {
		if _, err := l.Notices(c); err == nil {
			return nil
		}
		return t.newFeed(&Feed{number: uint32(len(l.Feeds())), To: []name.Council{c}, Ready: true})
	})
	if err != nil {
		return nil, err
	}
	return l.Notices(c)
}

// address puts the event at index into notices feeds.
func (t *tx) address(index uint64, to []name.Council) error {
	for _, c := range to {
		f, err := t.l.Notices(c)
		if err != nil {
			return err
		}
		t.set(feedItemKey(f.number, index), encodeItem(itemEvent, [16]byte{}))
		t.feed(f.number, feedDelta{end: index + 1})
	}
	return nil
}
