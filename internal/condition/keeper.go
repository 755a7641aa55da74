package condition

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/node/api"
)

// FileName is the file of a data folder that keeps since when each condition holds, so
// that a restart does not begin anew. Whoever alters it alters those times and nothing
// else.
const FileName = "conditions.json"

// A Keeper remembers which conditions hold and since when, and tells the log when one
// appears or clears. Its methods may be called concurrently.
type Keeper struct {
	file string
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	known []api.Condition
	told  bool // Keep was called
}

// OpenKeeper returns the Keeper of a data folder. A file that cannot be read counts as
// none.
func OpenKeeper(data string, log *slog.Logger) *Keeper {
	k := &Keeper{file: filepath.Join(data, FileName), log: log}
	if b, err := os.ReadFile(k.file); err == nil && json.Unmarshal(b, &k.known) != nil {
		k.known = nil
	}
	return k
}

// Last returns the conditions that held when Keep was last called; nil before.
func (k *Keeper) Last() []api.Condition {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.told {
		return nil
	}
	return append([]api.Condition{}, k.known...)
}

// Dated returns conditions with since when each holds, where that is known.
func (k *Keeper) Dated(found []api.Condition) []api.Condition {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dated(found)
}

func (k *Keeper) dated(found []api.Condition) []api.Condition {
	out := slices.Clone(found)
	for i, c := range out {
		if j := slices.IndexFunc(k.known, c.Same); j >= 0 && c.Since.IsZero() {
			out[i].Since = k.known[j].Since
		}
	}
	return out
}

// Keep takes in all the conditions that hold at now. It writes a line of log for each
// that appeared, or became graver, and each that cleared since it was last called, the
// first time for each that holds.
func (k *Keeper) Keep(found []api.Condition, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was, is := k.known, k.dated(found)
	changed := len(was) != len(is)
	for i, c := range is {
		if c.Since.IsZero() {
			is[i].Since = now.UTC().Truncate(time.Second)
		}
		j := slices.IndexFunc(was, c.Same)
		changed = changed || j < 0
		if k.told && j >= 0 && was[j].Severity == c.Severity {
			continue
		}
		level := slog.LevelInfo
		switch c.Severity {
		case api.Critical:
			level = slog.LevelError
		case api.Warning:
			level = slog.LevelWarn
		}
		attrs := []slog.Attr{slog.String("condition", c.Name), slog.String("severity", string(c.Severity)), slog.String("cause", c.Cause), slog.String("try", c.Try), slog.Time("since", is[i].Since)}
		if c.Council != "" {
			attrs = append(attrs, slog.String("council", string(c.Council)))
		}
		if c.Agreement != "" {
			attrs = append(attrs, slog.String("agreement", string(c.Agreement)))
		}
		k.log.LogAttrs(context.Background(), level, c.Text, attrs...)
	}
	for _, c := range was {
		if k.told && !slices.ContainsFunc(is, c.Same) {
			k.log.Info("no longer: "+c.Text, "condition", c.Name, "since", c.Since)
		}
	}
	k.known, k.told = is, true
	if changed {
		k.save()
	}
}

// save writes the file. That it cannot be written, on a full disk for one, is said
// once a change and stops nothing.
func (k *Keeper) save() {
	b, err := json.MarshalIndent(k.known, "", "  ")
	if err == nil {
		if err = os.WriteFile(k.file+".part", append(b, '\n'), 0o600); err == nil {
			err = os.Rename(k.file+".part", k.file)
		}
	}
	if err != nil {
		k.log.Warn("since when conditions hold is not kept", "error", err.Error())
	}
}
