package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
)

func (a *app) keyCommand() *cobra.Command {
	return noun("key", "List the node's keys, replace those that sign records and the log, and encrypt them", `The keys under keys/ in the data folder speak for the council: one signs its
records, others its log, its cosignatures and its connections. Partners believe the
keys that the directory has of it.`,
		a.keyListCommand(), a.keyRotateCommand(), a.keyEncryptCommand())
}

// keyRow is one key of a node.
type keyRow struct {
	Use       string `json:"use"`
	ID        string `json:"id"`
	Directory string `json:"directory"` // what the directory says of it
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the node's keys, and whether the directory has them",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			rows, err := keyRows(cfg)
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rows)
			}
			t := newTable("KEY", "ID", "IN THE DIRECTORY")
			for _, r := range rows {
				t.add(r.Use, r.ID, r.Directory)
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func keyRows(cfg *config.Config) ([]keyRow, error) {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	dir := filepath.Join(cfg.Data, "keys")
	ring, err := datadir.OpenKeys(cfg, pass)
	if err != nil {
		return nil, err
	}
	own := directory.FromRing(cfg.Council, ring)
	m, _, err := ownMember(cfg)
	if err != nil {
		return nil, err
	}
	record := func(kid string) string {
		if _, has := m.RecordKey(kid); !has {
			return "no"
		}
		for _, r := range m.Revocations {
			if r.KID == kid {
				return fmt.Sprintf("revoked from entry %d on", r.FromIndex)
			}
		}
		return "yes"
	}
	rows := []keyRow{{"record", ring.Record.ID(), record(ring.Record.ID())}}
	staged, err := keys.Staged(dir, pass)
	switch {
	case err == nil:
		rows = append(rows, keyRow{"record, to follow", staged.ID(), record(staged.ID())})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	for _, k := range m.RecordKeys {
		if k.ID() != ring.Record.ID() && (staged == nil || k.ID() != staged.ID()) {
			rows = append(rows, keyRow{"record, before", k.ID(), record(k.ID())})
		}
	}
	log, err := logKeyRows(cfg, pass, ring, m)
	if err != nil {
		return nil, err
	}
	rows = append(rows, log...)
	rows = append(rows, keyRow{"witness", own.WitnessKey, yesNo(m.WitnessKey == own.WitnessKey)},
		keyRow{"node", own.Node, yesNo(m.Node == own.Node)})
	_, all, err := datadir.Keys(cfg, pass)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		rows = append(rows, keyRow{"directory", shortID(k.Public().ID()), "stile directory status"})
	}
	return rows, nil
}

// ownMember returns what the directory says of this node's council, and since when
// this node has known it.
func ownMember(cfg *config.Config) (m directory.Member, since time.Time, err error) {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		return m, since, err
	}
	i := slices.IndexFunc(members, func(m directory.Member) bool { return m.Council == cfg.Council })
	if i < 0 {
		return m, since, failure(node.NotFound, "ask the directory's registrar", "%s is not in the directory", cfg.Council)
	}
	// Each version of a member's file is a file of its own; the newest is the one
	// that is believed.
	files, err := filepath.Glob(filepath.Join(datadir.Mirror(cfg), "targets", "members", "*."+string(cfg.Council)+".yaml"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.ModTime().After(since) {
			since = st.ModTime()
		}
	}
	return members[i], since, err
}

// settle is how long a new key stands in the directory before it is used: every
// node that runs asks for news each hour, and one that is down for a night has it by
// then.
const settle = 24 * time.Hour

func (a *app) keyRotateCommand() *cobra.Command {
	var log, activate, finish, atOnce, destroy, discard, yes bool
	var out string
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key that signs records, or the one that signs the log, in steps",
		Long: `Rotate replaces the council's record key. Partners refuse what is signed with a key
that the directory has not, so it takes two steps.

"stile key rotate" makes the new key, which is not used yet, and writes the member
file that has it, for the registrar: "stile directory rotate-key COUNCIL FILE". On
the host of the directory it is prepared there at once.

"stile key rotate --activate", with the node stopped, has the node sign with it from
then on. It wants the directory to have had the key for a day, so that every partner
has heard of it; with --at-once it does not wait, and what a partner refuses that has
not heard must be offered again in a new version.

The key before is kept under keys/, or destroyed with --destroy-old; its public half
stays in the directory, so that what it signed still verifies. If it has fallen into
other hands, have it revoked besides: stile directory revoke-key.

With --log it replaces the key that signs the checkpoints of the log, which keeps its
name and all that is in it. The two steps are the same, and there is a third. From
--activate on every checkpoint carries the signatures of both keys, so that witnesses
and readers which know only the old one go on: give them the new one now. A week
later "stile key rotate --log --finish", with the node stopped, removes the old private
key, and the member file says up to which size of the log the old key counts: what it
signed until then still verifies. The witness and node keys are not replaced by this.`,
		Example: `  stile key rotate --log                 # make the new key and tell the directory
  stile key rotate --log --activate      # a day later, with the node stopped
  stile key rotate --log --finish        # a week later, with the node stopped`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case atOnce && !activate && !finish || destroy && !activate, activate && (discard || finish || out != ""), discard && (finish || out != ""):
				return misused("--at-once goes with --activate or --finish, --destroy-old with --activate, and --out and --discard without either")
			case finish && !log, destroy && log:
				return misused("--finish goes with --log, and --destroy-old without: --finish removes the old log key")
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			pass, err := cfg.Passphrase()
			if err != nil {
				return err
			}
			defer clear(pass)
			dir := filepath.Join(cfg.Data, "keys")
			switch {
			case discard:
				gone := keys.Unstage
				if log {
					gone = keys.UnstageLog
				}
				err := gone(dir)
				if err == nil {
					a.say("the new key is gone; the one in use stays")
				}
				return err
			case log && finish:
				return a.finishLogKey(cmd, cfg, pass, out, atOnce, yes)
			case log && activate:
				return a.activateLogKey(cmd, cfg, pass, atOnce)
			case log:
				return a.stageLogKey(cmd, cfg, pass, out)
			case activate:
				return a.activateKey(cfg, pass, atOnce, destroy, yes)
			}
			return a.stageKey(cmd, cfg, pass, out)
		},
	}
	c.Flags().BoolVar(&log, "log", false, "the key that signs the log's checkpoints, and not the one that signs records")
	c.Flags().BoolVar(&activate, "activate", false, "sign with the new key from now on; the node must be stopped")
	c.Flags().BoolVar(&finish, "finish", false, "with --log: sign with the old key no more; the node must be stopped")
	c.Flags().BoolVar(&atOnce, "at-once", false, "do not wait for the day, or the week, that others have to hear of it")
	c.Flags().BoolVar(&destroy, "destroy-old", false, "remove the private key that was used before")
	c.Flags().BoolVar(&discard, "discard", false, "give up the new key that is not yet used")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().StringVar(&out, "out", "", "`file` for the member file with the new key; default: standard output")
	return c
}

// stageKey makes the new key and brings it on its way into the directory.
func (a *app) stageKey(cmd *cobra.Command, cfg *config.Config, pass []byte, out string) error {
	staged, err := keys.Stage(filepath.Join(cfg.Data, "keys"), pass)
	if errors.Is(err, keys.ErrKMS) {
		return failure(node.Refused, "make the new key where the old one is kept, and have the registrar add it: stile directory rotate-key --record", "%v", err)
	}
	if err != nil {
		return err
	}
	m, _, err := ownMember(cfg)
	if err != nil {
		return err
	}
	m = m.Bare()
	if _, has := m.RecordKey(staged.ID()); !has {
		m.RecordKeys = append(slices.Clone(m.RecordKeys), staged)
	}
	if err := a.tellKeys(cmd, cfg, m, out, "made a new record key, "+staged.ID()); err != nil {
		return err
	}
	a.say("next, when the directory has had it for a day: stop the node, and stile key rotate --activate")
	return nil
}

// tellKeys brings our member file with other keys into the directory that we host, or
// writes it for the registrar of another's. did is what was done, in words.
func (a *app) tellKeys(cmd *cobra.Command, cfg *config.Config, m directory.Member, out, did string) error {
	h, err := a.hosting()
	switch {
	case err == nil && !h.founding:
		o, err := a.apply(cmd.Context(), change{edit: func(h *hosted, now time.Time) error { return h.repo.Update(m, now) }})
		if err != nil {
			return err
		}
		if err := a.told(o, "%s, and put it into the directory", did); err != nil {
			return err
		}
	case err != nil && !isKind(err, node.Refused):
		return err
	default:
		if err := a.writeNew(out, m.YAML(), 0o644); err != nil {
			return err
		}
		a.say("%s; send this file to the registrar, for: stile directory rotate-key %s FILE", did, cfg.Council)
	}
	if datadir.Sole(cfg) {
		a.say("partners that keep a directory of their own need it, too: send them what stile council self prints, for: stile council add FILE")
	}
	return nil
}

// stopped opens the node's folder, so that no process signs with its keys meanwhile.
func (a *app) stopped(cfg *config.Config) (*node.Node, error) {
	n, err := a.open(cfg, a.err, slog.LevelWarn)
	if err != nil && explain(nil, err).Kind == node.Conflict {
		return nil, failure(node.Conflict, "stop the node: the key it signs with cannot change under it", "the node is running")
	}
	return n, err
}

// waited refuses to go on before every partner can have heard of a key that this node has
// known in the directory since then.
func (a *app) waited(cfg *config.Config, since time.Time, atOnce bool) error {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		return err
	}
	if left := time.Until(since.Add(settle)); left > 0 && !atOnce && len(members) > 1 {
		return failure(node.Behind, "wait, or give --at-once", "this node has known it in the directory for %s; some partner may not have heard of it: wait another %s", age(time.Since(since).Hours()), age(left.Hours()))
	}
	return nil
}

// activateKey has the node sign with the new key, whose ledger it holds meanwhile so
// that no process signs with the old one.
func (a *app) activateKey(cfg *config.Config, pass []byte, atOnce, destroy, yes bool) error {
	dir := filepath.Join(cfg.Data, "keys")
	staged, err := keys.Staged(dir, pass)
	if errors.Is(err, fs.ErrNotExist) {
		return failure(node.NotFound, "stile key rotate makes one", "there is no new key")
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
	if _, has := m.RecordKey(staged.ID()); !has {
		return failure(node.Behind, "have the registrar admit it, and stile directory refresh", "the directory has not the new key yet, so every partner would refuse what it signs")
	}
	for _, r := range m.Revocations {
		if r.KID == staged.ID() {
			return failure(node.Refused, "stile key rotate --discard, and make another", "the new key is revoked already")
		}
	}
	if err := a.waited(cfg, since, atOnce); err != nil {
		return err
	}
	if destroy {
		a.say("the private key in use until now is destroyed; on many disks its bytes remain until they are overwritten")
		if err := a.sure(yes, "destroy it"); err != nil {
			return err
		}
	}
	if err := keys.Activate(dir, pass, destroy); err != nil {
		return err
	}
	if a.json {
		return a.emit(map[string]any{"record_key": staged.ID(), "destroyed": destroy})
	}
	var kids []string
	for _, k := range m.RecordKeys {
		if k.ID() != staged.ID() {
			kids = append(kids, k.ID())
		}
	}
	a.printf("records are signed with %s from now on; %s stays in the directory for what was signed before\n", staged.ID(), strings.Join(kids, ", "))
	return nil
}
