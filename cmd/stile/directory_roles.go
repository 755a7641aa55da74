package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node"
)

func (a *app) directoryBodyCommand() *cobra.Command {
	return noun("body", "Admit and remove standards bodies", `A standards body signs the standards that are named after it and no others. Which
bodies there are, and with which keys, the holders sign.`,
		a.directoryBodyAddCommand(), a.directoryBodyRemoveCommand())
}

func (a *app) directoryBodyAddCommand() *cobra.Command {
	var f registrarFlags
	var files []string
	var threshold int
	c := &cobra.Command{
		Use:   "add DOMAIN --body-key FILE.pub",
		Short: "Admit a standards body, or give one other keys",
		Long: `Add lets a standards body, known by its domain, sign the standards named after it.
Its keys are made with "stile directory key". Given again with other keys it changes
them; a body whose keys are all new must sign its list again before others believe
it. The holders must sign this.`,
		Args: takes(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := councilArg(args[0])
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return misused("name the body's public key file with --body-key")
			}
			publics, err := a.publicsIn(files)
			if err != nil {
				return err
			}
			if err := a.sure(f.yes, "let %s sign its standards with %s", body, plural(len(publics), "key", "keys")); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				return errors.Join(h.repo.SetBody(body, publics, threshold, now), h.remember(files, publics))
			}})
			if err != nil {
				return err
			}
			return a.told(o, "%s may sign its standards with %d of %s", body, threshold, plural(len(publics), "key", "keys"))
		},
	}
	c.Flags().StringArrayVar(&files, "body-key", nil, "public key `file` of the body; may be given again")
	c.Flags().IntVar(&threshold, "threshold", 1, "how many of its keys must sign")
	return f.register(c, true)
}

func (a *app) directoryBodyRemoveCommand() *cobra.Command {
	var f registrarFlags
	return f.register(&cobra.Command{
		Use:   "remove DOMAIN",
		Short: "Remove a standards body",
		Long: `Remove takes a standards body and its standards out of the directory. Councils that
adopted them have them still. The holders must sign this.`,
		Args: takes(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := councilArg(args[0])
			if err != nil {
				return err
			}
			a.say("the standards of %s leave the directory", body)
			if err := a.sure(f.yes, "do it"); err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error { return h.repo.RemoveBody(body, now) }})
			if err != nil {
				return err
			}
			return a.told(o, "%s is no standards body of this directory any more", body)
		},
	}, true)
}

func (a *app) directoryRekeyCommand() *cobra.Command {
	var f registrarFlags
	var holders, registrars []string
	var threshold, registrarThreshold int
	var newOnline bool
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Change the holders, the registrar or the host's key",
		Long: `Rekey prepares a directory with other holders (name all there will be), another
threshold, another registrar or another key of the host. What changes among the
holders must be signed by enough of those there are and of those there will be; the
others by the holders. A key that has fallen into other hands is replaced so.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(holders) == 0 && len(registrars) == 0 && threshold == 0 && !newOnline {
				return misused("say what changes: --holder, --threshold, --registrar or --new-online")
			}
			hs, err := a.publicsIn(holders)
			if err != nil {
				return err
			}
			rs, err := a.publicsIn(registrars)
			if err != nil {
				return err
			}
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: true, edit: func(h *hosted, now time.Time) error {
				if !h.repo.Published() {
					return failure(node.Refused, "stile directory discard --founding, and found it again", "the directory has not been published yet")
				}
				if !h.founding && datadir.Sole(h.cfg) {
					return failure(node.Refused, "stile directory found", "this is a directory of one, whose one key is this node's")
				}
				if err := errors.Join(h.remember(holders, hs), h.remember(registrars, rs)); err != nil {
					return err
				}
				root, online := h.repo.Roles()[0], h.repo.Roles()[2].Keys
				if len(hs) == 0 {
					hs = root.Keys
				}
				need := threshold
				if need == 0 {
					need = min(root.Need, len(hs))
				}
				at := online[0]
				if newOnline {
					if at, err = newOnlineKey(h); err != nil {
						return err
					}
				}
				if len(holders) > 0 || threshold > 0 || newOnline {
					if err := h.repo.Rekey(hs, need, at, now); err != nil {
						return misused("%v", err)
					}
				}
				if len(rs) > 0 {
					return h.repo.SetRegistrar(rs, registrarThreshold, now)
				}
				return nil
			}})
			if err != nil {
				return err
			}
			return a.told(o, "prepared the change of keys")
		},
	}
	c.Flags().StringArrayVar(&holders, "holder", nil, "public key `file` of a holder there will be; given once for each")
	c.Flags().IntVar(&threshold, "threshold", 0, "how many holders must sign; default: as many as now")
	c.Flags().StringArrayVar(&registrars, "registrar", nil, "public key `file` of the registrar there will be; may be given again")
	c.Flags().IntVar(&registrarThreshold, "registrar-threshold", 1, "how many registrars must sign")
	c.Flags().BoolVar(&newOnline, "new-online", false, "make the host a new key")
	f.key.register(c, "`file` of a key that signs it, when it is at hand")
	return c
}

// newOnlineKey makes the host another key. The one it has goes on signing until the
// new root is published, and is kept aside.
func newOnlineKey(h *hosted) (tufdir.Public, error) {
	pass, err := h.cfg.Passphrase()
	if err != nil {
		return tufdir.Public{}, err
	}
	defer clear(pass)
	next := datadir.OnlineKey(h.cfg) + ".next"
	k, err := tufdir.CreateKey(next, pass)
	if errors.Is(err, keys.ErrExists) {
		k, err = tufdir.OpenKey(next, pass)
	}
	if err != nil {
		return tufdir.Public{}, err
	}
	return k.Public(), nil
}

// takeNextOnline puts the host's next key in the place of the one before, once
// enough have signed the root that names it: the next publication puts that out.
func (h *hosted) takeNextOnline(pass []byte) error {
	file := datadir.OnlineKey(h.cfg)
	k, err := tufdir.OpenKey(file+".next", pass)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !slices.Contains(h.repo.Roles()[2].Keys, k.Public()) {
		return nil
	}
	for _, w := range h.repo.Waiting() {
		if w.Role == "root" && !w.Ready {
			return nil
		}
	}
	if err := os.Rename(file, file+".before"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(file+".next", file)
}

func (a *app) directoryPolicyCommand() *cobra.Command {
	var f registrarFlags
	var expiry []string
	c := &cobra.Command{
		Use:   "policy --expiry ROLE=DAYS",
		Short: "Change for how long each role signs at a time",
		Long: `Policy changes for how long a signature of each role is believed: root, targets,
members, body, snapshot and timestamp. The last two bound how long a council that is
shown an old directory can be kept from the news, and how long exchange goes on when
the host is gone. The holders must sign this.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(expiry) == 0 {
				return misused("say what changes: --expiry root=365")
			}
			var p tufdir.Policy
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				if !h.repo.Published() {
					return failure(node.Refused, "stile directory discard --founding, and found it again with --expiry", "the directory has not been published yet")
				}
				p = h.repo.Policy()
				if err := setExpiry(&p, expiry); err != nil {
					return err
				}
				return h.repo.SetPolicy(p, now)
			}})
			if err != nil {
				return err
			}
			return a.told(o, "root is signed for %d days, targets %d, members %d, a body %d, snapshot %d, timestamp %d", p.Root, p.Targets, p.Members, p.Body, p.Snapshot, p.Timestamp)
		},
	}
	c.Flags().StringArrayVar(&expiry, "expiry", nil, "`role=days`; may be given again")
	return f.register(c, false)
}

func (a *app) directoryRenewCommand() *cobra.Command {
	var f registrarFlags
	return f.register(&cobra.Command{
		Use:   "renew ROLE…",
		Short: "Prepare a role's file anew, changed in nothing but its expiry",
		Long: `Renew prepares root, targets, members or a standards body's file for another term. It
is signed by those who signed it before. Do it in time: stile doctor says when one
expires within 14 days.`,
		Args: takes(1, -1, "roles"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.apply(cmd.Context(), change{key: f.key, prepare: f.prepare, edit: func(h *hosted, now time.Time) error {
				for _, role := range args {
					if err := h.repo.Renew(role, now); err != nil {
						return err
					}
				}
				return nil
			}})
			if err != nil {
				return err
			}
			return a.told(o, "renewed %s", strings.Join(args, ", "))
		},
	}, false)
}
