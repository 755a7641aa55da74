package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node"
)

func (a *app) backupCommand() *cobra.Command {
	var to, keysTo, recipient string
	c := &cobra.Command{
		Use:   "backup [--to FILE]",
		Short: "Back the node up into one encrypted file",
		Long: `Backup writes the data folder into one file, as it stands at one checkpoint of the
log, while the node runs or not. It is encrypted to a public key of age, whose identity is
kept away from this machine; "stile backup identity" makes one. The file's digest
goes into the log.

Private keys are not in it, nor secrets that stile.yaml names: with --keys-to they
go into a file of their own, encrypted in the same way. Of a footprint its ledger is in it, and
not the replica, which must not come back with an old vote.

Beside the file a list says what was erased so far, COUNCIL.stile-erasures, once there is
anything: ids and no more, not encrypted. Restore reads it where it finds it beside the
backup, so that what was erased since is erased again.

Without --to the file is made in the folder that stile.yaml names (backup: folder),
and older ones are left alone. A node that runs makes backups there by itself.`,
		Example: `  stile backup --to northmoor.stile-backup --recipient age1…`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused("stile backup has no verb %q: want one of identity, list, verify, or nothing", clean(args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if recipient == "" && cfg.Backup.Recipient == "" {
				return misused("name a public key of age with --recipient, or under backup in stile.yaml")
			}
			now := time.Now()
			for _, f := range []struct {
				to *string
				of string
			}{{&to, backup.OfFolder}, {&keysTo, backup.OfKeys}} {
				if *f.to != "" {
					continue
				}
				if f.of == backup.OfKeys && !cfg.Backup.Keys {
					continue
				}
				if cfg.Backup.Folder == "" {
					if f.of == backup.OfKeys {
						continue
					}
					return misused("name the file to write with --to, or a folder under backup in stile.yaml")
				}
				*f.to = filepath.Join(cfg.Backup.Folder, backup.FileName(cfg.Council, f.of, now))
			}
			c, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			var made []node.BackupReply
			if keysTo != "" {
				r, err := a.backUp(cmd.Context(), c, keysTo, node.BackupRequest{Recipients: recipient, Keys: true})
				if err != nil {
					return err
				}
				made = append(made, r)
			}
			r, err := a.backUp(cmd.Context(), c, to, node.BackupRequest{Recipients: recipient})
			if err != nil {
				return err
			}
			made = append(made, r)
			if err := backup.KeepErasures(cfg, filepath.Dir(to)); err != nil {
				a.say("the list of what was erased is not beside the backup: %v", err)
			}
			for _, r := range made {
				if a.json {
					if err := a.emit(r); err != nil {
						return err
					}
					continue
				}
				a.printf("%s  %s\n", r.Digest, r.File)
				of := "the private keys"
				if r.Of == backup.OfFolder {
					of = "the folder, with " + plural(r.Size, "entry", "entries") + " of its log"
				}
				a.say("%s of %s%s", size(r.Bytes), of, loggedAt(r))
				for _, f := range r.LeftOut {
					a.say("left out: footprint %s, whose replica here cannot be read", f)
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&to, "to", "", "`file` to write, which is not there yet; default: by council and time, in the folder of stile.yaml")
	f.StringVar(&keysTo, "keys-to", "", "`file` for the private keys; default: none, unless stile.yaml says backup: keys")
	f.StringVar(&recipient, "recipient", "", "public `key` of age that it is encrypted to, age1…; several with spaces between; default: that of stile.yaml")
	c.AddCommand(a.backupIdentityCommand(), a.backupListCommand(), a.backupVerifyCommand())
	return c
}

func loggedAt(r node.BackupReply) string {
	if r.Entry == nil {
		return "; nothing is signed now, so the log does not say so"
	}
	return fmt.Sprintf("; entry %d of the log says so", *r.Entry)
}

// backUp writes one backup to a file, and has the node log it.
func (a *app) backUp(ctx context.Context, c *connection, path string, in node.BackupRequest) (r node.BackupReply, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return r, err
	}
	a.private()
	moved := func(err error) bool {
		e, ok := errors.AsType[*node.Error](err)
		return ok && e.Kind == node.Conflict
	}
	err = backup.ToFile(ctx, path, moved, func(w io.Writer, hold bool) error {
		in.Hold = hold
		r, err = c.taker.Backup(ctx, in, w)
		return err
	})
	if err != nil {
		return r, err
	}
	left := r.LeftOut
	r.File = path
	r, err = c.Backups().Note(ctx, r)
	r.LeftOut = left
	return r, err
}

func (a *app) backupIdentityCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "identity FILE",
		Short: "Make the identity that reads backups, to be kept away from the node",
		Long: `Identity writes a new secret key of age into a file and prints its public key, which
is the recipient of backups. Make it on another machine, and keep two copies of the
file where the node's disk does not reach: whoever has it reads every backup, and without it
nobody does. age-keygen makes the same.`,
		Example: `  stile backup identity backups.key`,
		Args:    takes(1, 1, "a file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, recipient, err := backup.NewIdentity(time.Now())
			if err != nil {
				return err
			}
			if err := a.writeNew(args[0], file, 0o600); err != nil {
				return err
			}
			if a.json {
				return a.emit(struct {
					Recipient string `json:"recipient"`
				}{recipient})
			}
			a.printf("%s\n", recipient)
			return nil
		},
	}
}

func (a *app) backupListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the backups that this node knows of",
		Long: `List says of each backup when it was made, how long the log was then, where it was
written, whether it is still there, and when it was last verified. The digest is that
which sha256sum prints of the file.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Backups().List(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if r.Failed != "" {
				a.say("the last backup, of %s, was not made: %s", r.Tried.Format(time.RFC3339), r.Failed)
			}
			if len(r.Kept) == 0 {
				a.say("no backup was made yet")
			}
			for _, k := range r.Kept {
				where := k.File
				switch {
				case k.Pruned:
					where += " (deleted: there are newer ones)"
				case k.Missing:
					where += " (not there any more)"
				}
				verified := "never verified"
				if !k.Verified.IsZero() {
					verified = "verified " + k.Verified.Format(time.DateOnly)
				}
				a.printf("%s  %-6s  %8s entries  %10s  %-20s  %s  %s\n", k.Made.Format(time.RFC3339), k.Of, number(k.Size), size(k.Bytes), verified, k.Digest, where)
			}
			return nil
		},
	}
}

// identities reads the identity that --identity names.
func (a *app) identities(path string) (ids []backup.Identity, err error) {
	if path == "" {
		return nil, misused("name the file with the identity, as \"stile backup identity\" made it, with --identity")
	}
	b, err := a.readFile(path, 64<<10)
	if err != nil {
		return nil, err
	}
	if ids, err = backup.Identities(b); err != nil {
		return nil, misused("--identity: %v", err)
	}
	return ids, nil
}

// backupFailure says what is wrong with a backup as this program's failures do.
func backupFailure(file string, err error) error {
	switch {
	case errors.Is(err, backup.ErrDamaged):
		return failure(node.Unverified, "take another backup, and find out what damaged this one", "%q: %v", file, err)
	case errors.Is(err, backup.ErrIdentity):
		return failure(node.Usage, "--identity with the file whose public key was the recipient", "%q: %v", file, err)
	case errors.Is(err, backup.ErrNewer):
		return failure(node.Usage, "use the version of Stile that wrote it, or a newer one", "%q: %v", file, err)
	case errors.Is(err, backup.ErrNotEmpty):
		return failure(node.Conflict, "name a new folder with --data", "%v", err)
	case errors.Is(err, ledger.ErrNoErasures):
		return failure(node.Usage, "--erased with the list of the council whose backup it is", "%v", err)
	case errors.Is(err, backup.ErrKeys):
		return failure(node.Usage, "stile backup verify says what a file is of", "%v", err)
	}
	return err
}

// verifiedReply is what backup verify says.
type verifiedReply struct {
	Council    string    `json:"council"`
	Of         string    `json:"of"`
	Made       time.Time `json:"made"`
	Digest     string    `json:"digest"`
	Bytes      uint64    `json:"bytes"`
	Size       uint64    `json:"size"`
	Root       string    `json:"root"`
	LogKey     string    `json:"log_key"`
	Files      int       `json:"files"`
	Footprints []string  `json:"footprints,omitempty"`
	Records    uint64    `json:"records"`
	Events     uint64    `json:"events"`
	Erased     uint64    `json:"erased"`
	Holdings   uint64    `json:"holdings"`
	Entry      *uint64   `json:"entry,omitempty"` // of the node's log, that says that it was verified
}

func (a *app) backupVerifyCommand() *cobra.Command {
	var identity, scratch string
	c := &cobra.Command{
		Use:   "verify FILE --identity FILE",
		Short: "Read a whole backup and check every entry in it",
		Long: `Verify reads a backup to its end, unpacks its ledger and holds every entry against the
log, whose checkpoint must be signed by the log key that the backup names. It needs the
identity and no other key. What it unpacks is encrypted with a key that is kept
nowhere, and is gone afterwards; it takes about as much disk as the backup.

With --data the node whose backup it is notes that it was verified, and its log says
so: then "stile status" stops warning that nobody ever tried. That a file is one which
the node made is shown by its digest in the log.`,
		Example: `  stile backup verify /mnt/backups/northmoor.gov.uk-20261128T020000Z.stile-backup --identity backups.key --data /var/lib/stile`,
		Args:    takes(1, 1, "a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := a.identities(identity)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			c, err := backup.Verify(cmd.Context(), f, ids, scratch)
			if err != nil {
				return backupFailure(args[0], err)
			}
			r := verifiedReply{
				Council: string(c.Council), Of: c.Of, Made: c.Header.Made, Digest: c.Digest, Bytes: c.Bytes, Size: c.Size, Root: c.Root.String(), LogKey: c.LogKey,
				Files: c.Files, Footprints: c.Footprints, Records: c.Ledger.Records, Events: c.Ledger.Events, Erased: c.Ledger.Erased, Holdings: c.Ledger.Holdings,
			}
			var noted error
			if a.data != "" || a.config != "" {
				var told node.BackupReply
				told, noted = a.node().Backups().Verified(cmd.Context(), node.BackupReply{Council: c.Council, Of: c.Of, Digest: c.Digest, Bytes: c.Bytes, Size: c.Size, Root: r.Root, Made: c.Header.Made})
				r.Entry = told.Entry
			}
			if a.json {
				return errors.Join(a.emit(r), noted)
			}
			a.printf("VERIFIED   backup of %s, %s, made %s\n", c.Council, c.Of, c.Header.Made.Format(time.RFC3339))
			a.printf("digest     %s\n", c.Digest)
			if c.Of == backup.OfFolder {
				a.printf("log        %s, root %s, signed by %s\n", plural(c.Size, "entry", "entries"), r.Root, c.LogKey)
				a.printf("ledger     %s, %s, %s erased; %s of others\n", plural(r.Records, "version of a record", "versions of records"), plural(r.Events, "event", "events"), number(r.Erased), plural(r.Holdings, "record", "records"))
				for _, n := range c.Footprints {
					a.printf("footprint  %s\n", clean(n))
				}
			}
			a.printf("files      %s\n", number(c.Files))
			if r.Entry != nil {
				a.printf("noted      entry %d of our log says that it was verified\n", *r.Entry)
			}
			return noted
		},
	}
	f := c.Flags()
	f.StringVar(&identity, "identity", "", "`file` with the identity that the backup was encrypted to")
	f.StringVar(&scratch, "scratch", "", "`folder` to unpack in; default: that of the system for temporary files")
	return c
}

func (a *app) restoreCommand() *cobra.Command {
	var identity, keysFile string
	var erased []string
	c := &cobra.Command{
		Use:   "restore FILE --data FOLDER --identity FILE",
		Short: "Make a data folder of a backup",
		Long: `Restore makes a data folder of a backup, in a folder that is empty or not there yet,
and checks all of it. The private keys come from --keys, or are put into its folder keys/ by
hand before the node is started.

A restored folder is an old copy of the log, and is marked as one. Nothing is signed in it
until everybody who may know the log has said what they know: the node asks its
partners, its witnesses and every other member of the directory when it runs. "stile log
status" says who is missing, and what can be done if somebody holds a newer part.
Stop the node that it takes the place of for good before: two nodes with one key tell two
histories.

What was erased after the backup was made is in it still. It is shown to nobody from the
start on, and erased again, as far as a list of erasures names it: that of the backup itself,
the one beside the backup, those that --erased names, and the one in the folder of backups
that stile.yaml names. Name the folder that is replaced, if there is one still. Partners that were
ordered to erase a record show the order, besides.`,
		Example: `  stile restore northmoor.stile-backup --data /var/lib/stile --identity backups.key --keys northmoor.stile-keys`,
		Args:    takes(1, 1, "a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.data == "" {
				return misused("name the folder to make with --data")
			}
			if a.config != "" {
				return misused("the configuration is in the backup: --config has no meaning here")
			}
			ids, err := a.identities(identity)
			if err != nil {
				return err
			}
			for _, path := range erased {
				if _, err := os.Stat(path); err != nil {
					return misused("--erased: there is no file or folder %q", path)
				}
			}
			a.private()
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			var keys io.Reader
			if keysFile != "" {
				k, err := os.Open(keysFile)
				if err != nil {
					return err
				}
				defer k.Close()
				keys = k
			}
			c, err := backup.Restore(cmd.Context(), f, keys, ids, a.data, time.Now(), filepath.Dir(args[0]), erased...)
			if err != nil {
				return backupFailure(args[0], err)
			}
			if a.json {
				return a.emit(struct {
					Council    string    `json:"council"`
					Data       string    `json:"data"`
					Made       time.Time `json:"made"`
					Digest     string    `json:"digest"`
					Size       uint64    `json:"size"`
					Footprints []string  `json:"footprints,omitempty"`
					Erasures   int       `json:"erasures"` // versions of records that are listed as erased
					Damaged    int       `json:"damaged_erasures,omitempty"`
				}{string(c.Council), a.data, c.Header.Made, c.Digest, c.Size, c.Footprints, c.Erasures, c.Damaged})
			}
			a.printf("restored %s into %s, as it was on %s with %s in its log\n", c.Council, a.data, c.Header.Made.Format(time.RFC3339), plural(c.Size, "entry", "entries"))
			a.say("nothing is signed in it until those who may know the log have been asked")
			switch {
			case c.Damaged > 0:
				a.say("%s of the lists of erasures cannot be read: what they name may come back; look for another copy of the list, and name it with --erased", plural(uint64(c.Damaged), "line", "lines"))
			case c.Erasures == 0:
				a.say("no list says that anything was erased; if something was since the backup was made, restore again with --erased")
			default:
				a.say("%s listed as erased: of them nothing is shown, and they are erased again", plural(uint64(c.Erasures), "version of a record is", "versions of records are"))
			}
			if keysFile == "" {
				if _, err := os.Stat(filepath.Join(a.data, "keys")); errors.Is(err, fs.ErrNotExist) {
					a.say("put the private keys into %s before it is started", filepath.Join(a.data, "keys"))
				}
			}
			for _, n := range c.Footprints {
				a.say("the ledger of footprint %s is at %s; its replica is not in a backup, since it must not come back with an old vote", n, filepath.Join(a.data, "footprint-backups", n))
				a.say("so another member invites us again, and a majority agrees: stile footprint invite %s %s; then here: stile footprint join %s", n, c.Council, n)
				a.say("only where every replica of %s is lost: stile footprint recover", n)
			}
			a.say("next: stile serve --data %s, and stile log status", a.data)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&identity, "identity", "", "`file` with the identity that the backup was encrypted to")
	f.StringVar(&keysFile, "keys", "", "`file` with the backup of the private keys; default: they are put there by hand")
	f.StringArrayVar(&erased, "erased", nil, "`list` of erasures besides, or a folder with one, such as the data folder that is replaced; several times for several")
	return c
}
