package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) directoryExportCommand() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "export [ROLE…]",
		Short: "Write what waits for signatures into files for those who sign",
		Long: `Export writes a file for each role that waits for signatures, or for those named:
root, targets, members or a standards body. Carry each to those who may sign it, who
use "stile directory sign" on a machine that needs no node and no network.`,
		Args: takes(0, -1, "roles"),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.hosting()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, w := range h.repo.Waiting() {
					if !w.Ready {
						args = append(args, w.Role)
					}
				}
			}
			if len(args) == 0 {
				return failure(node.NotFound, "stile directory status", "nothing waits for a signature")
			}
			if err := os.MkdirAll(to, 0o755); err != nil {
				return err
			}
			var files []string
			for _, role := range args {
				f, err := a.export(h, role, to)
				if err != nil {
					return directoryFailure(err)
				}
				files = append(files, f)
			}
			if a.json {
				return a.emit(map[string]any{"files": files})
			}
			for _, f := range files {
				a.printf("%s\n", f)
			}
			a.say("each is signed with: stile directory sign FILE --key KEY")
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", ".", "`folder` to write them to; made when missing")
	return c
}

// export writes what waits of one role, in the place of an older file.
func (a *app) export(h *hosted, role, to string) (string, error) {
	file, err := h.repo.Export(role)
	if err != nil {
		return "", err
	}
	r := &request{file: file, before: h.repo.Previous(role), targets: h.repo.Brought(role)}
	b, err := r.pack()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(h.repo.Waiting(), func(w tufdir.Waiting) bool { return w.Role == role })
	path := filepath.Join(to, fmt.Sprintf("%s-%d.request", role, h.repo.Waiting()[i].Version))
	return path, os.WriteFile(path, b, 0o644)
}

func (a *app) directorySignCommand() *cobra.Command {
	var key keyFlags
	var previous, out string
	var yes bool
	c := &cobra.Command{
		Use:   "sign FILE --key KEY",
		Short: "Read what a file of the directory asks for, and sign it",
		Long: `Sign shows in words what a file that "stile directory export" wrote asks you to put
your name to, and signs it when you say yes. It needs no node and no network: carry
the file to the machine that holds the key, and what it writes back to the host.

What changes is shown against the version before, when that bears your own signature
or you name your own copy of it with --previous. Otherwise all of it is listed:
whoever sent you the file could have hidden something in the version before. On a
script, --yes says that somebody has read it.`,
		Example: `  stile directory sign root-2.request --key anna.key`,
		Args:    takes(1, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key.file == "" {
				return misused("name the key to sign with, with --key")
			}
			b, err := a.readFile(args[0], maxRequestFile)
			if err != nil {
				return err
			}
			r, err := openRequest(b)
			if err != nil {
				return failure(node.Invalid, "give the file that stile directory export wrote", "%v", err)
			}
			k, err := key.open()
			if err != nil {
				return err
			}
			before, err := a.previousIn(previous)
			if err != nil {
				return err
			}
			lines, err := r.review(k, before)
			if err != nil {
				return directoryFailure(err)
			}
			for _, l := range lines {
				a.hint("  %s\n", l)
			}
			if err := a.sure(yes, "sign what is listed above with key %s", shortID(k.Public().ID())); err != nil {
				return err
			}
			if r.file, err = tufdir.Sign(r.file, k); err != nil {
				return directoryFailure(err)
			}
			if b, err = r.pack(); err != nil {
				return err
			}
			if out == "" {
				out = strings.TrimSuffix(args[0], ".request") + ".signed-" + shortID(k.Public().ID())[:8]
			}
			if err := a.writeNew(out, b, 0o644); err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"file": out, "key": k.Public().ID(), "signed": lines})
			}
			a.printf("signed with key %s: %s\n", shortID(k.Public().ID()), out)
			a.say("next: carry it to the host, where: stile directory import %s", filepath.Base(out))
			return nil
		},
	}
	key.register(c, "`file` of the key to sign with")
	c.Flags().StringVar(&previous, "previous", "", "`file` of the version before, as you kept it, to be shown what changes")
	c.Flags().StringVar(&out, "out", "", "`file` to write; default: beside the other, named after the key")
	c.Flags().BoolVar(&yes, "yes", false, "sign without asking")
	return c
}

// previousIn reads the version before, bare or in a request.
func (a *app) previousIn(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	b, err := a.readFile(file, maxRequestFile)
	if err != nil {
		return nil, err
	}
	r, err := openRequest(b)
	if err != nil {
		return nil, failure(node.Invalid, "give the file that you signed last", "%v", err)
	}
	return r.file, nil
}

func (a *app) directoryImportCommand() *cobra.Command {
	var publish bool
	c := &cobra.Command{
		Use:   "import FILE…",
		Short: "Take back files that were signed, on the directory's host",
		Long: `Import takes back what "stile directory sign" wrote, and what a standards body
prepared on its own node with "stile standard publish". Each signature is verified
and counted only when it is by a key that may sign; it says how many there are and
how many it takes. With --publish what is ready goes out at once.`,
		Args: takes(1, -1, "files"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var requests []*request
			for _, f := range args {
				b, err := a.readFile(f, maxRequestFile)
				if err != nil {
					return err
				}
				r, err := openRequest(b)
				if err != nil {
					return failure(node.Invalid, "give the file that stile directory sign or stile standard publish wrote", "%s: %v", f, err)
				}
				requests = append(requests, r)
			}
			var taken []waitingReply
			o, err := a.apply(cmd.Context(), change{prepare: !publish, edit: func(h *hosted, _ time.Time) error {
				taken = nil
				for i, r := range requests {
					w, err := h.repo.Import(r.file, r.bytesOf()...)
					if err != nil {
						e, ok := errors.AsType[*node.Error](directoryFailure(err))
						if !ok {
							return err
						}
						return failure(e.Kind, e.Try, "%s: %s", args[i], e.Message)
					}
					taken = append(taken, waitingOf(w))
				}
				return nil
			}})
			if err != nil {
				return err
			}
			return a.told(o, "took in %s", plural(len(taken), "file", "files"))
		},
	}
	c.Flags().BoolVar(&publish, "publish", false, "publish what is ready")
	return c
}

func (a *app) directoryPublishCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "publish",
		Short: "Publish what enough have signed",
		Long: `Publish puts out everything that enough of those who may have signed, and says what
still waits. The first publication of a directory that was founded here, or taken
over, also makes this node follow it and host it: the directory of one it had is kept
beside it under another name, and the ledger stays as it is.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := a.hosting()
			if err != nil {
				return err
			}
			if !h.founding {
				o, err := a.apply(cmd.Context(), change{})
				if err != nil {
					return err
				}
				if len(o.Published) == 0 {
					return a.told(o, "nothing new was ready; said again that the directory holds")
				}
				return a.told(o, "published what was ready")
			}
			return a.publishFirst(cmd, h)
		},
	}
}

// publishFirst publishes a directory that was founded here, and follows it.
func (a *app) publishFirst(cmd *cobra.Command, h *hosted) error {
	online, err := h.signLocal()
	if err != nil {
		return err
	}
	for _, w := range h.waiting() {
		if slices.Contains([]string{"root", "targets", tufdir.RoleMembers}, w.Role) && !w.Ready {
			return failure(node.Behind, "stile directory export writes the file for those who have yet to sign", "not enough have signed: %s", w.words())
		}
	}
	var o outcome
	if o.Published, err = h.repo.Publish(online, time.Now()); err != nil {
		return directoryFailure(err)
	}
	members, err := h.repo.Members()
	if err != nil {
		return err
	}
	was, err := tufdir.ReadMembers(h.cfg.Directory)
	if err != nil {
		return err
	}
	var left []name.Council
	for _, m := range was {
		if !slices.ContainsFunc(members, func(e tufdir.Entry) bool { return e.Member.Council == m.Council }) {
			left = append(left, m.Council)
		}
	}
	if err := h.repo.Save(h.dir); err != nil {
		return directoryFailure(err)
	}
	r, err := a.node().Directory().Follow(cmd.Context())
	if err != nil {
		return err
	}
	o.Waiting = h.waiting()
	if err := a.told(o, "this node now follows and hosts the directory with root %s…, of %s", r.Root[:16], plural(len(members), "member", "members")); err != nil {
		return err
	}
	if len(left) > 0 {
		a.say("not in it, so that exchange with them stops until they are admitted: %s", list(left))
	}
	a.say("next: stile council invite makes a code for a council that is to join")
	return nil
}

// notYet returns those of some councils that are no members at the moment.
func notYet(members []directory.Member, councils []name.Council) (out []name.Council) {
	for _, c := range councils {
		if !slices.ContainsFunc(members, func(m directory.Member) bool { return m.Council == c && m.ActiveAt(time.Now()) }) {
			out = append(out, c)
		}
	}
	return out
}
