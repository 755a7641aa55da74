package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
			r, err := a.node().Directory().Show(cmd.Context())
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
			r, err := a.node().Directory().Refresh(cmd.Context())
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

func (a *app) directoryStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the directory stands, who may sign what, and what waits for whom",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.node().Directory().Show(cmd.Context())
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
		Long:               "Conformance is the client command of theupdateframework/tuf-conformance, as its\nCLIENT-CLI.md has it: init, refresh and download. The suite moves the clock by\nfaketime(1), which this program feels with --clock faketime; --clock also takes a\ntime (RFC 3339) or +SECONDS.",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if tufdir.Conformance(cmd.Context(), args, said{a}, time.Now, os.Getenv) != 0 {
				return failure(node.Failed, "see what was refused above", "not done")
			}
			return nil
		},
	}
}
