package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node"
)

// overlap is how long checkpoints carry the signatures of both log keys: so long have those
// who know the log by its key alone, such as witnesses and readers outside the directory, to
// learn the new one.
const overlap = 7 * 24 * time.Hour

// logKeyRows lists the keys of the log: the one in use, the one to follow, and those before.
func logKeyRows(cfg *config.Config, pass []byte, ring *keys.Ring, m directory.Member) (rows []keyRow, err error) {
	says := func(vkey string) string {
		for _, k := range m.LogKeys() {
			switch {
			case k.Key == vkey && k.To > 0:
				return fmt.Sprintf("up to a log of %s", plural(k.To, "entry", "entries"))
			case k.Key == vkey:
				return "yes"
			}
		}
		return "no"
	}
	rows = []keyRow{{"log", ring.Log.Verifier(), says(ring.Log.Verifier())}}
	staged, err := keys.StagedLog(filepath.Join(cfg.Data, "keys"), cfg.Council, pass)
	switch {
	case err == nil:
		rows = append(rows, keyRow{"log, to follow", staged, says(staged)})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for i, k := range ring.Log.Former() {
		use := "log, before"
		if i < len(ring.Log.Also()) {
			use = "log, before, signs too"
		}
		rows = append(rows, keyRow{use, k, says(k)})
	}
	return rows, nil
}

// stageLogKey makes the new log key and brings it on its way into the directory.
func (a *app) stageLogKey(cmd *cobra.Command, cfg *config.Config, pass []byte, out string) error {
	dir := filepath.Join(cfg.Data, "keys")
	since, err := keys.OverlapSince(dir)
	if err != nil {
		return err
	}
	if !since.IsZero() {
		return failure(node.Refused, "stile key rotate --log --finish", "the log key is being replaced already")
	}
	staged, err := keys.StageLog(dir, cfg.Council, pass)
	if err != nil {
		return err
	}
	m, _, err := ownMember(cfg)
	if err != nil {
		return err
	}
	m = m.Bare()
	if !m.HasLogKey(staged) {
		m.LogAlso = append(slices.Clone(m.LogAlso), tlog.OtherKey{Key: staged})
	}
	if err := a.tellKeys(cmd, cfg, m, out, "made a new log key, "+staged); err != nil {
		return err
	}
	a.say("next, when the directory has had it for a day: stop the node, and stile key rotate --log --activate")
	return nil
}

// activateLogKey has the node sign checkpoints with the new log key and the old one.
func (a *app) activateLogKey(cmd *cobra.Command, cfg *config.Config, pass []byte, atOnce bool) error {
	dir := filepath.Join(cfg.Data, "keys")
	staged, err := keys.StagedLog(dir, cfg.Council, pass)
	if errors.Is(err, fs.ErrNotExist) {
		return failure(node.NotFound, "stile key rotate --log makes one", "there is no new log key")
	}
	if err != nil {
		return err
	}
	n, err := a.stopped(cfg)
	if err != nil {
		return err
	}
	defer n.Close()
	m, since, err := ownMember(cfg)
	if err != nil {
		return err
	}
	if !m.HasLogKey(staged) {
		return failure(node.Behind, "have the registrar admit it, and stile directory refresh", "the directory has not the new key yet")
	}
	if err := a.waited(cfg, since, atOnce); err != nil {
		return err
	}
	if err := keys.ActivateLog(dir, cfg.Council, pass); err != nil {
		return err
	}
	if a.json {
		return a.emit(map[string]any{"log_key": staged, "overlap_hours": overlap.Hours()})
	}
	a.printf("checkpoints carry the signatures of the new log key and of the old one from now on\nnew  %s\n", staged)
	a.say("give the new key to those who know the log by its key alone: witnesses by URL, mirrors, auditors without the directory")
	a.say("next, a week later: stop the node, and stile key rotate --log --finish")
	return nil
}

// finishLogKey ends the overlap: the old key signs no more, and counts up to the size that
// the log has now.
func (a *app) finishLogKey(cmd *cobra.Command, cfg *config.Config, pass []byte, out string, atOnce, yes bool) error {
	dir := filepath.Join(cfg.Data, "keys")
	since, err := keys.OverlapSince(dir)
	if err != nil {
		return err
	}
	if since.IsZero() {
		return failure(node.NotFound, "stile key list", "no log key is being replaced")
	}
	if left := time.Until(since.Add(overlap)); left > 0 && !atOnce {
		return failure(node.Behind, "wait, or give --at-once", "both keys have signed for %s; who knows the old one alone may not have the new one yet: wait another %s", age(time.Since(since).Hours()), age(left.Hours()))
	}
	n, err := a.stopped(cfg)
	if err != nil {
		return err
	}
	head, err := n.Log().Show(cmd.Context())
	if err := errors.Join(err, n.Close()); err != nil {
		return err
	}
	m, _, err := ownMember(cfg)
	if err != nil {
		return err
	}
	a.say("the old private log key is removed; on many disks its bytes remain until they are overwritten")
	if err := a.sure(yes, "remove it"); err != nil {
		return err
	}
	was := m.LogKeys()
	m = m.Bare()
	m.LogKey, m.LogAlso = head.Key, nil
	for _, k := range was {
		if k.Key == head.Key {
			continue
		}
		if k.To == 0 {
			k.To = max(1, head.Size)
		}
		m.LogAlso = append(m.LogAlso, k)
	}
	if err := m.Check(); err != nil {
		return err
	}
	if err := a.tellKeys(cmd, cfg, m, out, fmt.Sprintf("the old log key counts up to a log of %s", plural(head.Size, "entry", "entries"))); err != nil {
		return err
	}
	if err := keys.FinishLog(dir, cfg.Council, pass); err != nil {
		return err
	}
	a.say("checkpoints are signed with %s alone from now on", head.Key)
	return nil
}
