package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
)

func (a *app) directoryCommand() *cobra.Command {
	return noun("directory", "Found and keep the signed directory of members and standards", `The directory says who is a member of the exchange, with which keys, and which
standards there are. It is signed, so that it does not matter who hands it on.

  holders        a few people, each with a key on a machine of their own; enough
                 of them must sign for what the directory rests on
  the registrar  signs who is a member
  the bodies     each signs its own standards, and nobody else's
  the host       one node, which publishes what they signed and says every day
                 that there is no news; every other node hands it on

A node begins with a directory of one, itself, and may "stile council join" that
of others or found one for others to join. docs/directory.md tells each of them
what to do, and what each could do wrong.`,
		a.directoryShowCommand(), a.directoryStatusCommand(), a.directoryRefreshCommand(),
		a.directoryFoundCommand(), a.directoryTakeOverCommand(), a.directoryKeyCommand(),
		a.directoryExportCommand(), a.directorySignCommand(), a.directoryImportCommand(), a.directoryPublishCommand(), a.directoryDiscardCommand(),
		a.directoryAdmitCommand(), a.directoryAmendCommand(), a.directoryRemoveCommand(), a.directoryRotateCommand(), a.directoryRevokeCommand(), a.directorySucceedCommand(),
		a.directoryBodyCommand(), a.directoryRekeyCommand(), a.directoryPolicyCommand(), a.directoryRenewCommand(),
		a.directoryConformanceCommand())
}

func (a *app) directoryShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show which directory the node follows, and until when it holds",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call[node.DirectoryReply](cmd.Context(), a, node.OpDirectoryShow, node.Empty{})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printDirectory(r)
			return nil
		},
	}
}

func (a *app) directoryRefreshCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "refresh",
		Short: "Ask for news of the directory now",
		Long: `Refresh asks other members for news of the directory; a running node does so by
itself every hour, and whenever a partner connects. On its host it publishes what
is ready.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call[node.DirectoryReply](cmd.Context(), a, node.OpDirectoryRefresh, node.Empty{})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s\n", r.Health)
			return nil
		},
	}
}

func (a *app) printDirectory(r node.DirectoryReply) {
	t := newTable("", "")
	t.add("root", fmt.Sprintf("%s, version %d", r.Root, r.RootVersion))
	t.add("edition", number(r.Version))
	t.add("state", r.Health)
	switch {
	case r.Sole:
		t.add("host", "this node; it is a directory of one, whose only key is here")
	case r.Host:
		t.add("host", "this node")
	default:
		t.add("host", "another node")
	}
	members := number(r.Members)
	if r.Ended > 0 {
		members += fmt.Sprintf(", and %s that ended or have yet to begin", number(r.Ended))
	}
	t.add("members", members)
	t.add("standards", number(r.Standards))
	if len(r.Mirrors) > 0 {
		t.add("asked first", strings.Join(r.Mirrors, ", "))
	}
	for i, s := range r.Refused {
		label := ""
		if i == 0 {
			label = "not believed"
		}
		t.add(label, s)
	}
	if len(r.Waiting) > 0 {
		t.add("waiting", strings.Join(r.Waiting, ", ")+"; stile directory status says for whom")
	}
	t.write(a.out, "")
}

// A hosted is the directory that this node publishes, or is about to, open for
// a change.
type hosted struct {
	cfg      *config.Config
	dir      string
	founding bool // in the place where it is prepared, not yet followed
	repo     *tufdir.Repository
}

// hosting opens the directory that is being founded here, or else the one this
// node hosts.
func (a *app) hosting() (*hosted, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	for _, h := range []*hosted{{cfg: cfg, dir: node.FoundingDir(cfg), founding: true}, {cfg: cfg, dir: node.AuthorityDir(cfg)}} {
		if _, err := os.Stat(h.dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if h.repo, err = tufdir.Load(h.dir); err != nil {
			return nil, failure(node.Failed, "restore the folder "+filepath.Base(h.dir)+"/ from a backup, or see docs/directory.md on taking it from any mirror", "%v", err)
		}
		return h, nil
	}
	return nil, failure(node.Refused, "do it on the node that hosts the directory, or see stile directory take-over when that is lost", "this node does not host the directory it follows")
}

// signLocal signs what waits with every directory key that is on this node, and
// returns the one that publishes.
func (h *hosted) signLocal() (online *tufdir.Key, err error) {
	pass, err := h.cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	_, all, err := node.DirectoryKeys(h.cfg, pass)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if _, err := h.repo.Sign(k); err != nil {
			return nil, err
		}
	}
	if h.founding {
		// Beside it stands the key of the directory of one, which publishes that.
		return tufdir.OpenKey(node.OnlineKeyFile(h.cfg), pass)
	}
	if err := h.takeNextOnline(pass); err != nil {
		return nil, err
	}
	online, _, err = node.DirectoryKeys(h.cfg, pass)
	return online, err
}

// A change is one step in the life of a hosted directory.
type change struct {
	edit    func(h *hosted, now time.Time) error
	key     keyFlags
	prepare bool // publish nothing yet
}

// An outcome says what came of a change.
type outcome struct {
	Published []string       `json:"published,omitempty"` // roles that were put out
	Waiting   []waitingReply `json:"waiting,omitempty"`
	Founding  bool           `json:"founding,omitempty"` // the directory is not published yet
}

// apply carries out a change: it edits, signs with the keys that are at hand,
// publishes what is ready, and has the node look. Somebody else, such as the
// node's daily publication, may have published meanwhile: then it is done again.
func (a *app) apply(ctx context.Context, c change) (o outcome, err error) {
	var h *hosted
	for try := range 2 {
		if h, err = a.hosting(); err != nil {
			return o, err
		}
		o, err = a.applyOnce(h, c)
		if !errors.Is(err, tufdir.ErrChanged) || try == 1 {
			break
		}
	}
	if err != nil {
		return o, directoryFailure(err)
	}
	if h.founding || c.prepare {
		return o, nil
	}
	// What is out is out, whatever this node does with it: it looks by itself, too.
	if _, err := call[node.DirectoryReply](ctx, a, node.OpDirectoryRefresh, node.Empty{}); err != nil {
		a.say("this node has not taken it in yet (%v); it will within the hour, or after: stile directory refresh", err)
	}
	return o, nil
}

func (a *app) applyOnce(h *hosted, c change) (o outcome, err error) {
	now := time.Now()
	if c.edit != nil {
		if err := c.edit(h, now); err != nil {
			return o, err
		}
	}
	var online *tufdir.Key
	if h.founding || !c.prepare {
		// A key on the node would make what is only prepared ready, and the node's
		// next publication would put it out.
		if online, err = h.signLocal(); err != nil {
			return o, err
		}
	}
	if c.key.file != "" {
		k, err := c.key.open()
		if err != nil {
			return o, err
		}
		if _, err := h.repo.Sign(k); err != nil {
			return o, err
		}
	}
	o.Founding = h.founding
	if !h.founding && !c.prepare {
		if online == nil {
			return o, failure(node.Failed, "restore the key from a backup; or stile directory rekey --new-online, which the holders sign", "this node hosts the directory and has no key to publish it with")
		}
		if o.Published, err = h.repo.Publish(online, now); err != nil {
			return o, err
		}
	}
	o.Waiting = h.waiting()
	return o, h.repo.Save(h.dir)
}

// told prints what was done, what of it is out and what waits for whom.
func (a *app) told(o outcome, format string, args ...any) error {
	did := fmt.Sprintf(format, args...)
	if a.json {
		return a.emit(struct {
			Did string `json:"did"`
			outcome
		}{did, o})
	}
	a.printf("%s\n", clean(did))
	if len(o.Published) > 0 {
		a.printf("published: %s\n", strings.Join(o.Published, ", "))
	}
	a.printWaiting(o.Waiting, o.Founding)
	return nil
}

func (a *app) printWaiting(ws []waitingReply, founding bool) {
	ready := true
	for _, w := range ws {
		a.printf("waiting: %s\n", w.words())
		ready = ready && w.Ready
	}
	switch {
	case len(ws) == 0:
	case !ready:
		a.say("next: stile directory export writes the files for those who have yet to sign")
	case founding:
		a.say("next: stile directory publish puts the directory out and has this node follow it")
	default:
		a.say("next: stile directory publish")
	}
}

// waitingReply is a file that waits for signatures.
type waitingReply struct {
	Role    string        `json:"role"`
	Version int64         `json:"version"`
	Expires time.Time     `json:"expires"`
	Ready   bool          `json:"ready"`
	Needs   []quorumReply `json:"needs"`

	names keyNames
}

type quorumReply struct {
	Need    int      `json:"need"`
	Of      int      `json:"of"`
	Signed  []string `json:"signed"`  // key ids
	Missing []string `json:"missing"` // of those who may still sign
}

func (h *hosted) waiting() []waitingReply {
	var out []waitingReply
	for _, w := range h.repo.Waiting() {
		r := waitingOf(w)
		r.names = h.names()
		out = append(out, r)
	}
	return out
}

func waitingOf(w tufdir.Waiting) waitingReply {
	out := waitingReply{Role: w.Role, Version: w.Version, Expires: w.Expires, Ready: w.Ready}
	for _, q := range w.Quorums {
		n := quorumReply{Need: q.Need, Of: len(q.Keys), Signed: q.Signed, Missing: []string{}}
		for _, id := range q.Keys {
			if !slices.Contains(q.Signed, id) {
				n.Missing = append(n.Missing, id)
			}
		}
		out.Needs = append(out.Needs, n)
	}
	return out
}

// words says who has signed, and who may.
func (w waitingReply) words() string {
	s := fmt.Sprintf("%s, version %d", w.Role, w.Version)
	for i, q := range w.Needs {
		s += fmt.Sprintf("; %d of %d signatures", len(q.Signed), q.Need)
		if len(w.Needs) == 2 {
			s += []string{" of the holders there are", " of the holders there will be"}[i]
		}
		if len(q.Signed) < q.Need {
			if len(q.Signed) > 0 {
				s += fmt.Sprintf(" (%s)", w.names.list(q.Signed))
			}
			s += fmt.Sprintf(", %s may sign", w.names.list(q.Missing))
		}
	}
	if w.Ready {
		s += "; ready to be published"
	}
	return s
}

// shortID prints what people compare of a key's id.
func shortID(id string) string { return id[:min(16, len(id))] }

// keyNames says of keys whose they are, as the host wrote down when it was given
// them: their files' names. It is for people to read; nothing is decided by it.
type keyNames map[string]string

// keyNamesFile stands beside a hosted directory's tree: a key's id and its name, one
// to a line.
const keyNamesFile = "names.txt"

func (h *hosted) names() keyNames {
	out := keyNames{}
	b, err := os.ReadFile(filepath.Join(h.dir, keyNamesFile))
	if err != nil {
		return out
	}
	for l := range strings.Lines(string(b)) {
		if id, name, ok := strings.Cut(strings.TrimSpace(l), " "); ok {
			out[id] = name
		}
	}
	return out
}

// remember writes down whose keys are in files that were given.
func (h *hosted) remember(files []string, publics []tufdir.Public) error {
	if len(files) == 0 {
		return nil
	}
	names := h.names()
	for i, p := range publics {
		names[p.ID()] = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(files[i]), ".pub"), ".key")
	}
	var b strings.Builder
	for _, id := range slices.Sorted(keysOf(names)) {
		fmt.Fprintf(&b, "%s %s\n", id, clean(names[id]))
	}
	return os.WriteFile(filepath.Join(h.dir, keyNamesFile), []byte(b.String()), 0o644)
}

// list prints keys as people compare them, with their names where they have any.
func (n keyNames) list(ids []string) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i] = shortID(id); n[id] != "" {
			out[i] = n[id] + " " + out[i]
		}
	}
	return strings.Join(out, " or ")
}

func (a *app) directoryStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the directory stands, who may sign what, and what waits for whom",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := call[node.DirectoryReply](cmd.Context(), a, node.OpDirectoryShow, node.Empty{})
			if err != nil {
				return err
			}
			h, err := a.hosting()
			if err != nil && !isKind(err, node.Refused) {
				return err
			}
			var roles []roleReply
			var waiting []waitingReply
			if h != nil {
				roles, waiting = roleReplies(h.repo, time.Now()), h.waiting()
			}
			if a.json {
				return a.emit(map[string]any{"directory": d, "founding": h != nil && h.founding, "roles": roles, "waiting": waiting})
			}
			a.printDirectory(d)
			if h == nil {
				return nil
			}
			if h.founding {
				a.printf("\nbeing prepared in %s, and followed once it is published\n", filepath.Base(h.dir))
			}
			a.printf("\n")
			t := newTable("ROLE", "NEEDS", "KEYS", "HOLDS UNTIL")
			for _, r := range roles {
				t.add(r.Role, fmt.Sprintf("%d of %d", r.Need, len(r.Keys)), h.names().list(r.Keys), dayOf(r.Until))
			}
			t.write(a.out, "")
			if len(waiting) == 0 {
				a.printf("\nnothing waits for a signature\n")
				return nil
			}
			a.printf("\n")
			a.printWaiting(waiting, h.founding)
			return nil
		},
	}
}

func dayOf(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

// roleReply says who may sign for a role.
type roleReply struct {
	Role  string    `json:"role"`
	Need  int       `json:"need"`
	Keys  []string  `json:"keys"`
	Until time.Time `json:"until,omitzero"` // zero when it is not published, or is signed anew every day
}

func roleReplies(r *tufdir.Repository, now time.Time) []roleReply {
	var out []roleReply
	left := r.Left(now)
	for _, k := range r.Roles() {
		reply := roleReply{Role: k.Role, Need: k.Need}
		for _, p := range k.Keys {
			reply.Keys = append(reply.Keys, p.ID())
		}
		if l, ok := left[k.Role]; ok {
			reply.Until = now.Add(l).UTC().Truncate(time.Second)
		}
		out = append(out, reply)
	}
	return out
}

// keyFlags name a key that is at hand.
type keyFlags struct {
	file       string
	passphrase string
}

func (k *keyFlags) register(c *cobra.Command, what string) {
	c.Flags().StringVar(&k.file, "key", "", what)
	c.Flags().StringVar(&k.passphrase, "passphrase-file", "", "`file` whose first line opens the key, when it is encrypted")
}

func (k *keyFlags) open() (*tufdir.Key, error) {
	pass, err := passphraseIn(k.passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	key, err := tufdir.OpenKey(k.file, pass)
	if errors.Is(err, keys.ErrPassphrase) {
		return nil, failure(node.Failed, "name the file with its passphrase with --passphrase-file", "%v", err)
	}
	return key, err
}

// passphraseIn reads a passphrase file; "" names none.
func passphraseIn(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := (&config.Config{PassphraseFile: file}).Passphrase()
	if err != nil {
		return nil, failure(node.Failed, "write the passphrase into the first line of a file, and chmod 600 it", "%v", err)
	}
	return b, nil
}

// publicIn reads a public key file.
func (a *app) publicIn(file string) (tufdir.Public, error) {
	b, err := a.readFile(file, 64<<10)
	if err != nil {
		return tufdir.Public{}, err
	}
	p, err := tufdir.ParsePublic(b)
	if err != nil {
		return p, failure(node.Invalid, "give the .pub file that stile directory key wrote", "%q is not a public key of a directory: %v", file, err)
	}
	return p, nil
}

func (a *app) publicsIn(files []string) ([]tufdir.Public, error) {
	var out []tufdir.Public
	for _, f := range files {
		p, err := a.publicIn(f)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// memberIn reads a member file.
func (a *app) memberIn(file string) (directory.Member, error) {
	b, err := a.readFile(file, directory.MaxFile)
	if err != nil {
		return directory.Member{}, err
	}
	m, err := directory.ParseMember(b)
	if err != nil {
		return m, failure(node.Invalid, "ask the member for the file that stile council self prints", "%v", err)
	}
	return m, nil
}

// dayFlag reads a day, midnight UTC.
func dayFlag(flag, s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, misused("--%s: want a day, such as 2028-04-01", flag)
	}
	return t, nil
}

func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }

// directoryFailure says of a refusal of package tufdir what kind it is and what to
// do.
func directoryFailure(err error) error {
	if _, ok := errors.AsType[*node.Error](err); ok || err == nil {
		return err
	}
	for _, f := range []struct {
		is   error
		kind node.Kind
		try  string
	}{
		{tufdir.ErrMember, node.Conflict, "stile directory amend changes what is said of a member, rotate-key its keys"},
		{tufdir.ErrNoMember, node.NotFound, "stile council list"},
		{tufdir.ErrBody, node.NotFound, "stile directory body add admits a standards body"},
		{tufdir.ErrKept, node.Refused, "what was published stays; see stile directory --help for what can be changed"},
		{tufdir.ErrFrozen, node.Conflict, "give what has changed a new version number"},
		{tufdir.ErrForeign, node.Refused, "have it signed by the body it is named after"},
		{tufdir.ErrMix, node.Conflict, "stile directory export writes the file anew: something has changed since"},
		{tufdir.ErrSignatures, node.Unverified, "stile directory status says whose signatures count"},
		{tufdir.ErrMismatch, node.Unverified, "ask for the file again"},
		{tufdir.ErrFormat, node.Invalid, "ask whoever made the file for it again"},
		{tufdir.ErrTooLong, node.Invalid, "give less"},
		{tufdir.ErrMissing, node.NotFound, "stile directory status"},
		{tufdir.ErrChanged, node.Conflict, "do it again"},
		{directory.ErrNoKey, node.NotFound, "stile council show COUNCIL prints its keys and their ids"},
	} {
		if errors.Is(err, f.is) {
			return failure(f.kind, f.try, "%v", err)
		}
	}
	return err
}

func (a *app) directoryConformanceCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "conformance",
		Short:              "Be the client of the TUF conformance suite",
		Long:               "Conformance is the client command of theupdateframework/tuf-conformance, as its\nCLIENT-CLI.md has it: init, refresh and download.",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if tufdir.Conformance(cmd.Context(), args, a.err, time.Now) != 0 {
				return failure(node.Failed, "see what was refused above", "not done")
			}
			return nil
		},
	}
}
