package quota

import (
	"context"
	"log/slog"
	"slices"

	"github.com/stile-exchange/stile/node/name"
)

// Log returns a handler that passes lines on to h as long as the council that they name
// has a share of log lines left. A line names a council by an attribute such as "from"
// or "partner". Errors are always passed on, and so is what names no council. How many
// lines were left out stands in the next line of that council that is not.
func (k *Keeper) Log(h slog.Handler) slog.Handler { return &lines{k: k, to: h} }

// names are the attributes by which our lines name another council.
var names = []string{"from", "to", "by", "with", "council", "partner", "peer", "footprint"}

type lines struct {
	k    *Keeper
	to   slog.Handler
	said name.Council // by an attribute that every line of this logger has
}

func (l *lines) Enabled(ctx context.Context, v slog.Level) bool { return l.to.Enabled(ctx, v) }

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	c := l.said
	r.Attrs(func(a slog.Attr) bool {
		if n, ok := councilIn(a); ok {
			c = n
		}
		return c == ""
	})
	if c == "" || l.k == nil || r.Level >= slog.LevelError {
		return l.to.Handle(ctx, r)
	}
	left, ok := l.k.sayLine(c)
	if !ok {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("lines_left_out", left))
	}
	return l.to.Handle(ctx, r)
}

// sayLine uses a line of a council's share, or counts it as left out. It returns how
// many were left out before.
func (k *Keeper) sayLine(c name.Council) (left int, ok bool) {
	if k.Take(c, Lines, 1) != nil {
		k.mu.Lock()
		k.at(c, Of(Lines)).over++
		k.mu.Unlock()
		return 0, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	u := k.at(c, Of(Lines))
	left, u.over = u.over, 0
	return left, true
}

func councilIn(a slog.Attr) (name.Council, bool) {
	if !slices.Contains(names, a.Key) {
		return "", false
	}
	switch v := a.Value.Any().(type) {
	case name.Council:
		return v, v != ""
	case string:
		c, err := name.ParseCouncil(v)
		return c, err == nil
	}
	return "", false
}

func (l *lines) WithAttrs(as []slog.Attr) slog.Handler {
	said := l.said
	for _, a := range as {
		if c, ok := councilIn(a); ok {
			said = c
		}
	}
	return &lines{l.k, l.to.WithAttrs(as), said}
}

func (l *lines) WithGroup(g string) slog.Handler { return &lines{l.k, l.to.WithGroup(g), l.said} }
