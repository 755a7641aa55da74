package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) directoryKeyCommand() *cobra.Command {
	var pass string
	c := &cobra.Command{
		Use:   "key FILE",
		Short: "Make a key for a holder, a registrar or a standards body",
		Long: `Key makes a key in FILE, for whoever signs for the directory, and its public half
in FILE.pub. It needs no node: a holder's is best made on a machine that is never
connected. Send FILE.pub to whoever founds the directory, and read the key's id to
each other by another way; FILE itself never leaves you.

Whoever has FILE signs in your name; with --passphrase-file it is encrypted.`,
		Example: `  stile directory key holder.key --passphrase-file passphrase.txt`,
		Args:    takes(1, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			phrase, err := passphraseIn(pass)
			if err != nil {
				return err
			}
			defer clear(phrase)
			public := args[0] + ".pub"
			if _, err := os.Stat(public); err == nil {
				return failure(node.Conflict, "name another file, or move the old one away", "%q is there already", public)
			}
			k, err := tufdir.CreateKey(args[0], phrase)
			if errors.Is(err, keys.ErrExists) {
				return failure(node.Conflict, "name another file, or move the old one away", "%q is there already", args[0])
			}
			if err != nil {
				return err
			}
			if err := a.writeNew(public, k.Public().PEM(), 0o644); err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"key": args[0], "public": public, "id": k.Public().ID(), "encrypted": len(phrase) > 0})
			}
			a.printf("made %s, and %s to hand on; the key's id begins %s\n", args[0], public, shortID(k.Public().ID()))
			return nil
		},
	}
	c.Flags().StringVar(&pass, "passphrase-file", "", "`file` whose first line encrypts the key; readable by its owner alone")
	return c
}

// A founding is what the person says of a new directory.
type founding struct {
	holders, registrars []string // files
	threshold           int
	registrarThreshold  int
	expiry              []string // role=days
}

func (a *app) directoryFoundCommand() *cobra.Command {
	var f founding
	c := &cobra.Command{
		Use:   "found",
		Short: "Prepare a directory for several councils, with this node as its host",
		Long: `Found prepares a directory for a federation. Its holders are a few people, who
each made a key with "stile directory key" on a machine of their own and sent you
the .pub file; two of three must sign unless you say otherwise. The host's key is
made on this node, and so is the registrar's unless --registrar names one. The
members of the directory of one that the node began with are carried over.

Nothing changes before the directory is published: export the files, have the
holders sign them, import them, publish. Asked on a terminal without --holder it
asks for what it needs.`,
		Example: `  stile directory found --holder anna.key.pub --holder bert.key.pub --holder cora.key.pub
  stile directory export --to stick/
  stile directory sign stick/root-1.request --key anna.key      (each holder)
  stile directory import stick/*.signed-*
  stile directory publish`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.holders) == 0 {
				if !isTerminal(a.in) {
					return misused("name the holders' public key files with --holder, three of them or more")
				}
				if err := a.askFounding(&f); err != nil {
					return err
				}
			}
			return a.found(f)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.holders, "holder", nil, "public key `file` of a holder; given once for each")
	fl.IntVar(&f.threshold, "threshold", 0, "how many holders must sign; default 2, of three or more")
	fl.StringArrayVar(&f.registrars, "registrar", nil, "public key `file` of the registrar; may be given again; default: a key is made on this node")
	fl.IntVar(&f.registrarThreshold, "registrar-threshold", 1, "how many registrars must sign")
	fl.StringArrayVar(&f.expiry, "expiry", nil, "`role=days`: for how long root, targets, members, body, snapshot or timestamp is signed at a time")
	return c
}

// question asks one question on the terminal. It reads byte by byte, so that what
// follows is left for the next question.
func (a *app) question(text, otherwise string) (string, error) {
	if otherwise != "" {
		text += " [" + otherwise + "]"
	}
	a.hint("%s: ", text)
	var line []byte
	for b := make([]byte, 1); len(line) < 4096; {
		n, err := a.in.Read(b)
		if n == 1 && b[0] == '\n' {
			break
		}
		if n == 1 {
			line = append(line, b[0])
			continue
		}
		if err != nil {
			return "", failure(node.Failed, "answer the question, or give what is asked by flags", "nothing was done")
		}
	}
	s := strings.TrimSpace(string(line))
	if s == "" {
		s = otherwise
	}
	return s, nil
}

func (a *app) askFounding(f *founding) error {
	a.hint(`A directory rests on its holders: people who each have a key on a machine of
their own, and of whom several must sign before anything of weight can change. No
one of them, and not the host, can change it alone. Each runs

  stile directory key FILE

and sends you FILE.pub. Compare the ids of the keys with them by telephone.

`)
	number := func(text, otherwise string, least, most int) (int, error) {
		s, err := a.question(text, otherwise)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, misused("want a number from %d to %d", least, most)
		}
		return n, nil
	}
	n, err := number("How many holders", "3", 1, 16)
	if err != nil {
		return err
	}
	for i := range n {
		file, err := a.question(fmt.Sprintf("Public key file of holder %d", i+1), "")
		if err != nil {
			return err
		}
		p, err := a.publicIn(file)
		if err != nil {
			return err
		}
		a.hint("  its id begins %s\n", shortID(p.ID()))
		f.holders = append(f.holders, file)
	}
	if f.threshold, err = number("How many of them must sign", strconv.Itoa(min(2, n)), 1, n); err != nil {
		return err
	}
	a.hint(`
The registrar signs who is a member. If the key is kept on this node, whoever breaks
into it can admit members; if the registrar keeps it elsewhere, each admission is
carried to them to sign.

`)
	file, err := a.question("Public key file of the registrar, or Enter to keep the key here", "")
	if err != nil {
		return err
	}
	if file != "" {
		f.registrars = []string{file}
	}
	answer, err := a.question("Prepare this directory? Type yes", "")
	if err == nil && answer != "yes" {
		err = failure(node.Failed, "type yes", "nothing was done")
	}
	return err
}

func (a *app) found(f founding) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	next := datadir.Founding(cfg)
	if _, err := os.Stat(next); err == nil {
		return failure(node.Conflict, "stile directory status says how it stands; stile directory discard --founding gives it up", "a directory is being founded here already")
	}
	if _, err := os.Stat(datadir.Authority(cfg)); err == nil && !datadir.Sole(cfg) {
		return failure(node.Refused, "stile directory rekey changes its holders", "this node hosts a directory for others already")
	}
	policy := tufdir.DefaultPolicy()
	if err := setExpiry(&policy, f.expiry); err != nil {
		return err
	}
	holders, err := a.publicsIn(f.holders)
	if err != nil {
		return err
	}
	registrars, err := a.publicsIn(f.registrars)
	if err != nil {
		return err
	}
	carried, left, err := carriedOver(cfg)
	if err != nil {
		return err
	}
	online, registrar, err := hostKeys(cfg, len(registrars) == 0)
	if err != nil {
		return err
	}
	if registrar != nil {
		registrars = []tufdir.Public{registrar.Public()}
	}
	now := time.Now()
	r, err := tufdir.Found(tufdir.Founding{
		Holders: holders, Threshold: f.threshold, Online: online.Public(),
		Members: registrars, MembersThreshold: f.registrarThreshold, Policy: policy,
	}, now)
	if err != nil {
		return misused("%v", err)
	}
	if err := carry(r, carried, now); err != nil {
		return err
	}
	h := &hosted{cfg: cfg, dir: next, founding: true, repo: r}
	if _, err := h.signLocal(); err != nil {
		return err
	}
	if err := r.Save(next); err != nil {
		return err
	}
	if registrar != nil {
		f.registrars = []string{datadir.RegistrarKey(cfg)}
	}
	err = errors.Join(h.remember(f.holders, holders), h.remember(f.registrars, registrars), h.remember([]string{datadir.OnlineKey(cfg)}, []tufdir.Public{online.Public()}))
	if err != nil {
		return err
	}
	var names []name.Council
	for _, m := range carried {
		names = append(names, m.Council)
	}
	if !a.json && len(left) > 0 {
		a.say("not carried over, since they are members of the directory followed now: %s", list(left))
	}
	return a.told(outcome{Founding: true, Waiting: h.waiting()}, "prepared a directory with %s, of whom %d must sign, and the members %s",
		plural(len(holders), "holder", "holders"), r.Roles()[0].Need, list(names))
}

// carriedOver returns the members that a new directory begins with: those of the
// directory of one, which this node admitted, and otherwise itself.
func carriedOver(cfg *config.Config) (carried []directory.Member, left []name.Council, err error) {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, failure(node.Failed, "stile status opens the data folder once, which mends it", "the directory in %s is not a signed one yet", filepath.Base(cfg.Directory))
	}
	if err != nil {
		return nil, nil, err
	}
	for _, m := range members {
		if datadir.Sole(cfg) || m.Council == cfg.Council {
			carried = append(carried, m)
		} else {
			left = append(left, m.Council)
		}
	}
	if !slices.ContainsFunc(carried, func(m directory.Member) bool { return m.Council == cfg.Council }) {
		return nil, nil, failure(node.Failed, "restore the folder directory/ from a backup", "%s is not in its own directory", cfg.Council)
	}
	return carried, left, nil
}

// carry admits members with all that was said of them.
func carry(r *tufdir.Repository, members []directory.Member, now time.Time) error {
	for _, m := range members {
		if err := r.Admit(m, now); err != nil {
			return err
		}
		for _, v := range m.Revocations {
			if err := r.RevokeKey(m.Council, v.KID, v.FromIndex, now); err != nil {
				return err
			}
		}
	}
	for _, m := range members {
		if m.Ended.IsZero() {
			continue
		}
		if err := r.End(m.Council, m.Ended, now); err != nil {
			return err
		}
		for _, to := range m.Successors {
			if err := r.Succeed(m.Council, to, m.Ended, now); err != nil && !errors.Is(err, tufdir.ErrNoMember) {
				return err
			}
		}
	}
	return nil
}

// hostKeys makes the keys of a directory's host, or opens those that were made
// for one that was given up before it was published.
func hostKeys(cfg *config.Config, withRegistrar bool) (online, registrar *tufdir.Key, err error) {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, nil, err
	}
	defer clear(pass)
	keyIn := func(file string) (*tufdir.Key, error) {
		k, err := tufdir.CreateKey(file, pass)
		if errors.Is(err, keys.ErrExists) {
			return tufdir.OpenKey(file, pass)
		}
		return k, err
	}
	if online, err = keyIn(datadir.OnlineKey(cfg)); err == nil && withRegistrar {
		registrar, err = keyIn(datadir.RegistrarKey(cfg))
	}
	return online, registrar, err
}

// setExpiry reads flags of the form role=days.
func setExpiry(p *tufdir.Policy, flags []string) error {
	at := map[string]*int{"root": &p.Root, "targets": &p.Targets, "members": &p.Members, "body": &p.Body, "snapshot": &p.Snapshot, "timestamp": &p.Timestamp}
	for _, f := range flags {
		role, days, ok := strings.Cut(f, "=")
		n, err := strconv.Atoi(days)
		if !ok || err != nil || at[role] == nil || n < 1 || n > 3650 {
			return misused("--expiry: want root, targets, members, body, snapshot or timestamp, \"=\" and 1 to 3650 days")
		}
		*at[role] = n
	}
	return nil
}
