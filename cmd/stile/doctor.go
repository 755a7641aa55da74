package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
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

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with a node's folder, keys, disk, ports and clock",
		Long: `Doctor looks at everything that keeps a node from working, one by one, and says
what to do about what it finds. It changes nothing, needs no running node, and
exits with 8 when something is wrong.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{app: a}
			d.examine(cmd.Context())
			return d.verdict()
		},
	}
}

// A finding is what came of one look.
type finding struct {
	State  string `json:"state"` // good, note or bad
	About  string `json:"about"`
	Detail string `json:"detail"`
	Try    string `json:"try,omitempty"`
}

type doctor struct {
	*app
	found []finding
}

func (d *doctor) add(state, about, try, format string, args ...any) {
	d.found = append(d.found, finding{state, about, fmt.Sprintf(format, args...), try})
}

func (d *doctor) good(about, format string, args ...any) { d.add("good", about, "", format, args...) }
func (d *doctor) bad(about, try, format string, args ...any) {
	d.add("bad", about, try, format, args...)
}

func (d *doctor) examine(ctx context.Context) {
	cfg, err := d.load()
	if err != nil {
		f := explain(nil, err)
		d.bad("configuration", f.Try, "%s", f.Message)
		return
	}
	d.good("configuration", "%s of %s", config.FileName, cfg.Council)
	d.folders(cfg)
	d.keys(cfg)
	d.directory(cfg)
	d.hosted(cfg)
	d.disk(cfg)
	d.clock(cfg)
	d.watched(cfg)
	if status, running := d.daemon(ctx, cfg); running {
		d.exchange(status)
	} else {
		d.ports(ctx, cfg)
	}
}

func (d *doctor) folders(cfg *config.Config) {
	if err := cfg.CheckFolders(); err != nil {
		for l := range strings.Lines(err.Error()) {
			d.bad("folders", "restore what is missing from a backup, or mend stile.yaml", "%s", strings.TrimSpace(l))
		}
		return
	}
	probe, err := os.MkdirTemp(cfg.Data, ".doctor")
	if err != nil {
		d.bad("folders", "run it as the user who owns the data folder", "cannot write in %s", cfg.Data)
		return
	}
	os.Remove(probe)
	d.good("folders", "%s can be written", cfg.Data)
}

// watched looks at where monitoring is served: there is no login.
func (d *doctor) watched(cfg *config.Config) {
	if cfg.MetricsListen == "" {
		return
	}
	host, _, err := net.SplitHostPort(cfg.MetricsListen)
	if ip := net.ParseIP(host); err == nil && (host == "localhost" || ip.IsLoopback()) {
		d.good("monitoring", "served at %s", cfg.MetricsListen)
		return
	}
	d.add("note", "monitoring", "name a loopback address, or see that only the monitoring reaches this one", "metrics_listen is %s: whoever reaches it sees, without login, with whom we exchange and how much", cfg.MetricsListen)
}

func (d *doctor) keys(cfg *config.Config) {
	dir := filepath.Join(cfg.Data, "keys")
	open := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || runtime.GOOS == "windows" {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o077 != 0 {
			open++
			d.bad("keys", "chmod go= "+quoted(path), "%s can be reached by others (mode %04o)", path, st.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		d.bad("keys", "restore the folder keys/ from a backup", "cannot read %s", dir)
		return
	}
	pass, err := cfg.Passphrase()
	if err != nil || open > 0 {
		return // said by folders, or above
	}
	defer clear(pass)
	ring, err := keys.Open(dir, cfg.Council, pass)
	switch {
	case errors.Is(err, keys.ErrPassphrase):
		d.bad("keys", "name the right file under passphrase_file in stile.yaml", "the passphrase does not open them")
		return
	case err != nil:
		d.bad("keys", "restore the folder keys/ from a backup", "%v", err)
		return
	}
	encrypted := "not encrypted"
	if len(pass) > 0 {
		encrypted = "encrypted"
	}
	d.good("keys", "record key %s, %s", ring.Record.ID(), encrypted)
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		return // said by directory
	}
	own := directory.FromRing(cfg.Council, ring)
	i := slices.IndexFunc(members, func(m directory.Member) bool { return m.Council == cfg.Council })
	switch {
	case i < 0:
		d.bad("directory", "restore the folder directory/ from a backup, or ask the directory's registrar", "we are not in the directory")
	default:
		m := members[i]
		if _, has := m.RecordKey(ring.Record.ID()); !has || m.Node != own.Node || m.LogKey != own.LogKey {
			d.bad("directory", "restore directory/ and keys/ from the same backup, or send stile council self to the directory's registrar", "the directory names other keys for us than keys/ holds")
		}
	}
}

func (d *doctor) directory(cfg *config.Config) {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		d.bad("directory", "restore the folder directory/ from a backup; or take the node out of it by moving the folder away, and join again", "%v", err)
		return
	}
	n := len(members)
	if n == 0 {
		return // said by keys
	}
	if n == 1 {
		d.add("note", "directory", "stile council add FILE adds a partner's member file, stile council join one directory for many", "no member but ourselves")
		return
	}
	d.good("directory", "%s", plural(n, "member", "members"))
}

// directoryHealth says from 14 days before its end that a directory expires.
func (d *doctor) directoryHealth(h node.DirectoryHealth) {
	switch tufdir.State(h.State) {
	case tufdir.Fresh:
		d.good("directory", "%s", h.Text)
	case tufdir.Expiring:
		d.add("note", "directory", "stile directory refresh; if that brings no news, ask whom it names", "%s", h.Text)
	case tufdir.Expired, tufdir.Empty:
		d.bad("directory", "stile directory refresh; if that brings no news, ask whom it names", "%s; local work goes on", h.Text)
	}
}

// hosted looks at what a host of the directory has to keep up: what is signed
// by hand and ends soon, and the key it publishes with.
func (d *doctor) hosted(cfg *config.Config) {
	if _, err := os.Stat(datadir.Authority(cfg)); err != nil {
		return
	}
	r, err := tufdir.Load(datadir.Authority(cfg))
	if err != nil {
		d.bad("authority", "restore the folder authority/ from a backup, or see docs/directory.md on taking it from any mirror", "%v", err)
		return
	}
	if !datadir.Sole(cfg) {
		if _, err := os.Stat(datadir.OnlineKey(cfg)); err != nil {
			d.bad("authority", "restore the key from a backup, or stile directory rekey --new-online", "this node hosts the directory and has no key to publish it with")
		}
	}
	for role, left := range r.Left(time.Now()) {
		if left < tufdir.WarnDays*24*time.Hour && !datadir.Sole(cfg) {
			d.add("note", "authority", "stile directory renew "+role, "what signs for %s ends in %s", role, age(left.Hours()))
		}
	}
	for _, w := range (&hosted{cfg: cfg, dir: datadir.Authority(cfg), repo: r}).waiting() {
		try := "stile directory export"
		if w.Ready {
			try = "stile directory publish"
		}
		d.add("note", "authority", try, "waiting: %s", w.words())
	}
}

func (d *doctor) disk(cfg *config.Config) {
	free, ok := freeDisk(cfg.Data)
	if !ok {
		return
	}
	switch need := cfg.Limits.MinFree(); {
	case free < need:
		d.bad("disk", "free some disk space", "%s free, and below %s the node takes no records", size(free), size(need))
	case free < 10*need:
		d.add("note", "disk", "keep an eye on it", "%s free; below %s the node takes no records", size(free), size(need))
	default:
		d.good("disk", "%s free", size(free))
	}
}

// clock holds the clock against what cannot lie in the future: the files that
// the node has written.
func (d *doctor) clock(cfg *config.Config) {
	now := time.Now()
	newest := time.Time{}
	filepath.WalkDir(cfg.Data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if st, err := e.Info(); err == nil && st.ModTime().After(newest) {
			newest = st.ModTime()
		}
		return nil
	})
	switch {
	case now.Add(time.Minute).Before(newest):
		d.bad("clock", "set the clock, and keep it set with NTP", "it says %s, and the node wrote a file at %s", at(now), at(newest))
	case clockUnsynchronised():
		d.add("note", "clock", "keep it set with NTP; agreements begin and end by it", "%s; the system does not say that it is kept in time", at(now))
	default:
		d.good("clock", "%s", at(now))
	}
}

// daemon asks a running node, or opens the folder as one would.
func (d *doctor) daemon(ctx context.Context, cfg *config.Config) (s node.StatusReply, running bool) {
	client, err := node.Dial(ctx, cfg.AdminSocket)
	if err == nil {
		defer client.Close()
		if s, err = client.Status(ctx); err != nil {
			d.bad("node", "look at its log, and start it again", "it answers on the admin socket, but not as it should: %v", err)
			return s, false
		}
		d.stops(s)
		d.good("node", "running since %s, version %s", at(s.Since), s.Version)
		d.directoryHealth(s.Directory)
		return s, true
	}
	if slices.ContainsFunc(d.found, func(f finding) bool { return f.State == "bad" }) {
		d.add("note", "node", "mend what stands above first", "not running, and it would not start")
		return s, false
	}
	n, err := d.open(cfg, d.err, slog.LevelWarn)
	if err != nil {
		f := explain(nil, err)
		d.bad("node", f.Try, "it is not running, and its folder cannot be opened: %s", f.Message)
		return s, false
	}
	defer n.Close()
	if s, err = n.Status(ctx); err != nil {
		d.bad("ledger", explain(nil, err).Try, "%v", err)
		return s, false
	}
	d.stops(s)
	d.good("ledger", "%s", plural(s.LogSize, "entry", "entries"))
	d.directoryHealth(s.Directory)
	d.add("note", "node", "stile serve", "not running")
	return s, false
}

// stops puts first with whom all exchange is stopped because a log told two
// histories: nothing else that is found matters as much.
func (d *doctor) stops(s node.StatusReply) {
	rest := d.found
	d.found = nil
	for _, q := range s.Quarantines {
		d.bad("exchange with "+string(q.Council), "stile council quarantine show "+string(q.Council), "all of it is stopped since %s, because %s", at(q.Since), q.Reason)
	}
	for _, x := range s.Accusations {
		what, try := "what it showed does not bear that out", "speak with "+string(x.Council)
		if x.Proven {
			what = "what it holds is signed by us and not of the log that stands here: was this node restored from an old copy?"
			if !x.Anew {
				try = "bring the newest copy of the folder back: until then no record is signed; stile status says what else can be done"
			}
		}
		d.bad("exchange with "+string(x.Council), try, "it says that we told it another history, and has stopped all exchange; %s", what)
	}
	d.found = append(d.found, rest...)
}

func (d *doctor) exchange(s node.StatusReply) {
	for _, p := range s.Partners {
		about := "exchange with " + string(p.Council)
		switch {
		case !p.InStep:
			d.add("note", about, "stile status", "%s", step(p))
		default:
			d.good(about, "%s", step(p))
		}
	}
}

// ports tries to listen where the node would.
func (d *doctor) ports(ctx context.Context, cfg *config.Config) {
	var free []string
	taken := false
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
			taken = true
			d.bad("ports", "stop what uses the port, or name another address under listen in stile.yaml", "cannot listen on %s: %v", addr, errors.Unwrap(err))
			continue
		}
		free = append(free, addr)
	}
	switch {
	case len(cfg.Listen) == 0:
		d.good("ports", "the node listens on none: it only dials out")
	case !taken:
		d.good("ports", "free: %s", strings.Join(free, ", "))
	}
}

func (d *doctor) verdict() error {
	bad := 0
	for _, f := range d.found {
		if f.State == "bad" {
			bad++
		}
	}
	if d.json {
		if err := emitLines(d.app, d.found); err != nil {
			return err
		}
	} else {
		t := newTable("", "", "")
		for _, f := range d.found {
			state := f.State
			if state == "bad" {
				state = "BAD"
			}
			t.add(state, f.About, f.Detail)
			if f.Try != "" {
				t.add("", "", "Try: "+f.Try)
			}
		}
		t.write(d.out, "")
	}
	if bad > 0 {
		return failure(node.Behind, "mend what it names, and run stile doctor again", "%s wrong", plural(bad, "thing is", "things are"))
	}
	return nil
}
