package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
)

func (a *app) doctorCommand() *cobra.Command {
	var in node.RepairRequest
	var repair bool
	var identity string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a node's folder, keys, disk, ports and clock",
		Long: `Doctor looks at everything that keeps a node from working, one by one, and says
what to do about what it finds. It changes nothing, needs no running node, and
exits with 8 when something is wrong.

With --repair it fetches back what of the store is damaged: our own records from the
partners that hold them, those of others from who sent them, and with --from our own from
a backup or another copy of the folder. Each is held against the log before it is put
back. Events, and fields that no partner was let have, come from a copy alone.

It finds the conditions that stile status tells, and besides them why a node would not
start. What is good is told, too.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if repair || in.From != "" || in.Settle {
				return a.repair(cmd.Context(), in, identity)
			}
			d := &doctor{app: a}
			d.examine(cmd.Context())
			return d.verdict()
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "fetch back what of the store is damaged")
	c.Flags().StringVar(&in.From, "from", "", "the `backup`, or the folder ledger/ of another copy of ours, to repair from")
	c.Flags().StringVar(&identity, "identity", "", "`file` with the identity that the backup was encrypted to")
	c.Flags().BoolVar(&in.Settle, "settle", false, "let go of the notes of what is not known any more")
	return c
}

// unpack unpacks the ledger of a backup into a folder, encrypted with a key.
func (a *app) unpack(ctx context.Context, file, identity, dir string, key []byte) error {
	ids, err := a.identities(identity)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	made, err := backup.Unpack(ctx, f, ids, dir, key)
	if err == nil && made.Of != backup.OfFolder {
		return misused("%q is a backup of keys, and not of a folder", file)
	}
	return backupFailure(file, err)
}

// repair fetches back what is damaged, and says what is still missing.
func (a *app) repair(ctx context.Context, in node.RepairRequest, identity string) error {
	if in.From != "" {
		var err error
		if in.From, err = filepath.Abs(in.From); err != nil {
			return err
		}
		st, err := os.Stat(in.From)
		if err != nil {
			return err
		}
		if st.IsDir() == (identity != "") {
			return misused("--from names a backup, with --identity, or a folder, without")
		}
		if !st.IsDir() {
			// The node reads the backup's ledger as it reads a copy, encrypted with a key that is
			// kept nowhere, and both go when it is done.
			dir, err := os.MkdirTemp("", "stile-repair-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			file := in.From
			in.From, in.Key = filepath.Join(dir, "ledger"), make([]byte, 32)
			rand.Read(in.Key)
			if err := a.unpack(ctx, file, identity, in.From, in.Key); err != nil {
				return err
			}
		}
	} else if identity != "" {
		return misused("--identity goes with --from and a backup")
	}
	r, err := a.node().Repair(ctx, in)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.emit(r); err != nil {
			return err
		}
	} else {
		if r.Restored+r.Sent > 0 {
			a.printf("put back: %s of our log, %s of others\n", plural(r.Restored, "entry", "entries"), plural(r.Sent, "record", "records"))
		}
		if len(r.Silent) > 0 {
			a.printf("did not answer: %s\n", list(r.Silent))
		}
		if r.Left == nil {
			a.printf("nothing is missing\n")
			return nil
		}
		for _, e := range r.Left.Entries {
			what := "an event, an earlier version, or a record that is not known"
			if e.Record != "" {
				what = "record " + string(e.Record)
			}
			why := "nobody who was asked holds it: it comes from another copy, --from"
			if e.Lacks > 0 {
				why = plural(e.Lacks, "field", "fields") + " no partner was let have: they come from another copy alone, --from"
			}
			a.printf("missing: entry %s, %s; %s\n", number(e.Entry), what, why)
		}
		for _, h := range r.Left.Holdings {
			a.printf("missing: record %s of %s, which has not sent it again\n", h.Record, h.From)
		}
		for _, m := range r.Left.Missing {
			a.printf("missing: %s of %s, which has not sent its copy again\n", plural(m.Records, "record", "records"), m.From)
		}
		if r.Left.Tree != "" {
			a.printf("missing: %s; nothing is signed until the folder is brought back from a backup\n", r.Left.Tree)
		}
		for _, n := range r.Left.Notes {
			a.printf("not known: %s (once you have seen it: --settle)\n", n)
		}
	}
	if r.Left == nil {
		return nil
	}
	return failure(node.Behind, "stile doctor --repair again once partners answer, or with --from", "%s cannot be read", r.Left.Text)
}

// A finding is what came of one look: something good, or a condition.
type finding struct {
	State string `json:"state"` // good, note, warning or bad
	About string `json:"about"` // the name of the condition
	node.Condition
}

type doctor struct {
	*app
	well  []finding
	found []node.Condition
}

// find takes a condition once.
func (d *doctor) find(cs ...node.Condition) {
	for _, c := range cs {
		if !slices.ContainsFunc(d.found, func(f node.Condition) bool { return f.Same(c) && f.Text == c.Text }) {
			d.found = append(d.found, c)
		}
	}
}

// good notes that something is well, unless one of some conditions was found.
func (d *doctor) good(about, text string, unless ...string) {
	if !slices.ContainsFunc(d.found, func(c node.Condition) bool { return slices.Contains(unless, c.Name) }) {
		d.well = append(d.well, finding{"good", about, node.Condition{Text: text}})
	}
}

func (d *doctor) examine(ctx context.Context) {
	cfg, err := d.load()
	if err != nil {
		f := explain(nil, err)
		d.find(node.NewCondition("configuration-wrong", f.Message, "", f.Try))
		return
	}
	d.good("configuration", config.FileName+" of "+string(cfg.Council))
	d.folders(cfg)
	ring := d.keys(cfg)
	d.directory(cfg, ring)
	d.hosted(cfg)
	if !d.node(ctx, cfg, ring != nil) {
		d.ports(ctx, cfg)
	}
	disk := condition.DiskOf(cfg)
	d.good("disk", size(disk.Free)+" free", "disk-full", "disk-low")
	d.good("clock", at(time.Now()), "clock-off", "clock-unsynchronised")
	if cfg.MetricsListen != "" {
		d.good("monitoring", "served at "+cfg.MetricsListen, "metrics-open")
	}
}

func (d *doctor) folders(cfg *config.Config) {
	if err := cfg.CheckFolders(); err != nil {
		for l := range strings.Lines(err.Error()) {
			d.find(node.NewCondition("folder-wrong", strings.TrimSpace(l), "", "restore what is missing from a backup, or mend stile.yaml"))
		}
		return
	}
	if !condition.Writable(cfg) {
		d.find(node.NewCondition("folder-wrong", "cannot write in "+cfg.Data, "its owner is another, or its disk is read-only or full", "run it as the user who owns the data folder"))
		return
	}
	d.good("folders", cfg.Data+" can be written")
}

// keys returns the keys of the folder; nil when they cannot be read, which is said.
func (d *doctor) keys(cfg *config.Config) *keys.Ring {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil // said by folders
	}
	defer clear(pass)
	d.find(node.Conditions(cfg, time.Now())...)
	ring, err := datadir.OpenKeys(cfg, pass)
	switch {
	case errors.Is(err, keys.ErrExposed):
		return nil // said already
	case errors.Is(err, keys.ErrPassphrase):
		d.find(node.NewCondition("keys-unreadable", "the passphrase does not open the keys", err.Error(), "name the right file under passphrase_file in stile.yaml"))
		return nil
	case errors.Is(err, keys.ErrAltered):
		d.find(node.NewCondition("keys-unreadable", "a key is not the one that was written", err.Error(), "restore the folder keys/ from a backup"))
		return nil
	case err != nil:
		d.find(node.NewCondition("keys-unreadable", "the keys cannot be read", err.Error(), "restore the folder keys/ from a backup"))
		return nil
	}
	encrypted := "encrypted"
	if len(condition.KeysOf(cfg).Clear) > 0 {
		encrypted = "not encrypted"
	}
	d.good("keys", fmt.Sprintf("record key %s, %s", ring.Record.ID(), encrypted), "keys-exposed")
	return ring
}

// directory looks at the files of the directory, without a node.
func (d *doctor) directory(cfg *config.Config, ring *keys.Ring) {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		d.find(node.NewCondition("directory-unreadable", "the directory cannot be read", err.Error(), "restore the folder directory/ from a backup; or take the node out of it by moving the folder away, and join again"))
		return
	}
	if ring != nil {
		f := &condition.Facts{Now: time.Now(), Council: cfg.Council, Members: len(members)}
		f.Self = condition.SelfOf(members, directory.FromRing(cfg.Council, ring), f.Now)
		d.find(condition.Find(f, cfg.Accepted)...)
	}
	d.good("directory", plural(len(members), "member", "members"), "not-in-directory", "no-other-member")
}

// hosted looks at what a host of the directory has to keep up: what is signed
// by hand and ends soon, and the key it publishes with.
func (d *doctor) hosted(cfg *config.Config) {
	if _, err := os.Stat(datadir.Authority(cfg)); err != nil {
		return
	}
	r, err := tufdir.Load(datadir.Authority(cfg))
	if err != nil {
		d.find(node.NewCondition("authority-wrong", "the directory that this node hosts cannot be read", err.Error(), "restore the folder authority/ from a backup, or see docs/directory.md on taking it from any mirror"))
		return
	}
	if !datadir.Sole(cfg) {
		if _, err := os.Stat(datadir.OnlineKey(cfg)); err != nil {
			d.find(node.NewCondition("authority-wrong", "this node hosts the directory and has no key to publish it with", "its file is missing", "restore the key from a backup, or stile directory rekey --new-online"))
		}
	}
	for role, left := range r.Left(time.Now()) {
		if left < tufdir.WarnDays*24*time.Hour && !datadir.Sole(cfg) {
			d.find(node.NewCondition("authority-waits", fmt.Sprintf("what signs for %s ends in %s", role, age(left.Hours())), "it was signed for a time", "stile directory renew "+role))
		}
	}
	for _, w := range (&hosted{cfg: cfg, dir: datadir.Authority(cfg), repo: r}).waiting() {
		try := "stile directory export"
		if w.Ready {
			try = "stile directory publish"
		}
		d.find(node.NewCondition("authority-waits", "waiting: "+w.words(), "", try))
	}
}

// node asks a running node or, where the keys can be read, opens the folder as one would.
// It reports whether one runs.
func (d *doctor) node(ctx context.Context, cfg *config.Config, readable bool) (running bool) {
	client, err := node.Dial(ctx, cfg.AdminSocket)
	if err == nil {
		defer client.Close()
		s, err := client.Status(ctx)
		if err != nil {
			d.find(node.NewCondition("folder-unreadable", "a node answers on the admin socket, but not as it should", err.Error(), "look at its log, and start it again"))
			return true
		}
		d.good("node", fmt.Sprintf("running since %s, version %s", at(s.Since), s.Version))
		d.status(s)
		return true
	}
	blocked := condition.Blocking(d.found).Name
	if !readable || blocked != "" && blocked != "disk-full" {
		d.find(node.NewCondition("node-not-running", "the node is not running, and would not start", "what stands above", "mend that first"))
		return false
	}
	n, err := d.open(cfg, d.err, slog.LevelWarn)
	if err != nil {
		f := explain(nil, err)
		d.find(node.NewCondition("folder-unreadable", "the node is not running, and its folder cannot be opened", f.Message, f.Try))
		return false
	}
	defer n.Close()
	s, err := n.Status(ctx)
	if err != nil {
		d.find(node.NewCondition("folder-unreadable", "the ledger cannot be read", err.Error(), explain(nil, err).Try))
		return false
	}
	d.good("ledger", plural(s.LogSize, "entry", "entries"))
	d.status(s)
	return false
}

func (d *doctor) status(s node.StatusReply) {
	d.find(s.Conditions...)
	d.good("directory", s.Directory.Text, "directory-expired", "directory-ageing")
	for _, p := range s.Partners {
		if p.InStep {
			d.good("exchange with "+string(p.Council), step(p))
		}
	}
}

// ports tries to listen where the node would.
func (d *doctor) ports(ctx context.Context, cfg *config.Config) {
	var free []string
	var lc net.ListenConfig
	for _, addr := range cfg.Listen {
		// The form was checked when the configuration was read:
		// /ip4/HOST/tcp/PORT or /ip4/HOST/udp/PORT/quic-v1.
		f := strings.Split(addr, "/")
		if len(f) < 5 {
			continue
		}
		network, host := f[3]+strings.TrimPrefix(f[1], "ip"), net.JoinHostPort(f[2], f[4])
		var err error
		if f[3] == "tcp" {
			var l net.Listener
			if l, err = lc.Listen(ctx, network, host); err == nil {
				l.Close()
			}
		} else {
			var c net.PacketConn
			if c, err = lc.ListenPacket(ctx, network, host); err == nil {
				c.Close()
			}
		}
		if err != nil {
			why, _ := inPlainWords(err.Error())
			d.find(node.NewCondition("ports-taken", "cannot listen on "+addr, why, "stop what uses the port, or name another address under listen in stile.yaml"))
			continue
		}
		free = append(free, addr)
	}
	if len(cfg.Listen) == 0 {
		d.good("ports", "the node listens on none: it only dials out")
	} else {
		d.good("ports", "free: "+strings.Join(free, ", "), "ports-taken")
	}
}

func (d *doctor) verdict() error {
	condition.Sort(d.found)
	states := map[node.Severity]string{node.Critical: "bad", node.Warning: "warning", node.Notice: "note"}
	var all []finding
	for _, c := range d.found {
		all = append(all, finding{states[c.Severity], c.Name, c})
	}
	all = append(all, d.well...)
	if d.json {
		if err := emitLines(d.app, all); err != nil {
			return err
		}
	} else {
		t := newTable("", "", "")
		for _, f := range all {
			if f.State == "bad" {
				f.State = "BAD"
			}
			t.add(f.State, f.About, f.Text)
			if f.Cause != "" {
				t.add("", "", "because: "+f.Cause)
			}
			if f.Try != "" {
				t.add("", "", "Try: "+f.Try)
			}
		}
		t.write(d.out, "")
	}
	bad := slices.DeleteFunc(all, func(f finding) bool { return f.State == "good" || f.State == "note" })
	if len(bad) > 0 {
		return failure(node.Behind, "mend what it names, and run stile doctor again", "%s wrong", plural(len(bad), "thing is", "things are"))
	}
	return nil
}
