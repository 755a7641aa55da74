package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
)

func (a *app) directoryTakeOverCommand() *cobra.Command {
	var registrars []string
	var threshold int
	c := &cobra.Command{
		Use:   "take-over",
		Short: "Prepare to host the directory here, when its host is lost",
		Long: `Take-over makes this node the host of the directory it follows, from its own copy.
A new key for the host is made here, and the holders must sign that it is theirs;
when the registrar's key was on the lost host, name the new one's with --registrar.
Until it is published nothing changes, and meanwhile every council goes on with the
directory it has, until that expires.

Only one node may host a directory. Make sure that the old one is gone: the key it
had counts no more once the new root is out.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if _, err := os.Stat(datadir.Authority(cfg)); err == nil {
				return failure(node.Conflict, "stile directory status", "this node hosts the directory it follows already")
			}
			next := datadir.Founding(cfg)
			if _, err := os.Stat(next); err == nil {
				return failure(node.Conflict, "stile directory status says how it stands; stile directory discard --founding gives it up", "a directory is being prepared here already")
			}
			publics, err := a.publicsIn(registrars)
			if err != nil {
				return err
			}
			h, err := takeOver(cfg, next, publics, threshold)
			if err != nil {
				return errors.Join(directoryFailure(err), os.RemoveAll(next))
			}
			if err := h.remember(registrars, publics); err != nil {
				return err
			}
			return a.told(outcome{Founding: true, Waiting: h.waiting()}, "prepared to host the directory from the copy here")
		},
	}
	c.Flags().StringArrayVar(&registrars, "registrar", nil, "public key `file` of a new registrar; may be given again; default: the registrar there is")
	c.Flags().IntVar(&threshold, "registrar-threshold", 1, "how many registrars must sign")
	return c
}

func takeOver(cfg *config.Config, next string, registrars []tufdir.Public, threshold int) (*hosted, error) {
	if err := os.MkdirAll(next, 0o755); err != nil {
		return nil, err
	}
	if err := os.CopyFS(next, os.DirFS(datadir.Mirror(cfg))); err != nil {
		return nil, fmt.Errorf("copy the directory: %w", err)
	}
	r, err := tufdir.Load(next)
	if err != nil {
		return nil, err
	}
	online, _, err := hostKeys(cfg, false)
	if err != nil {
		return nil, err
	}
	now, root := time.Now(), r.Roles()[0]
	if err := r.Rekey(root.Keys, root.Need, online.Public(), now); err != nil {
		return nil, err
	}
	if len(registrars) > 0 {
		if err := r.SetRegistrar(registrars, threshold, now); err != nil {
			return nil, err
		}
	}
	h := &hosted{cfg: cfg, dir: next, founding: true, repo: r}
	if _, err := h.signLocal(); err != nil {
		return nil, err
	}
	return h, r.Save(next)
}

func (a *app) directoryDiscardCommand() *cobra.Command {
	var all, yes bool
	c := &cobra.Command{
		Use:   "discard [ROLE]",
		Short: "Give up what waits for signatures, of one role or of a directory being founded",
		Long: `Discard gives up what was prepared of a role and not published: root, targets,
members or a standards body. With --founding it gives up a directory that is being
founded or taken over. Nothing that is published changes.`,
		Args: takes(0, 1, "a role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return misused("name a role, or give --founding")
			}
			if err := a.sure(yes, "give up what was prepared, with the signatures that it has"); err != nil {
				return err
			}
			if !all {
				o, err := a.apply(cmd.Context(), change{prepare: true, edit: func(h *hosted, _ time.Time) error { return h.repo.Discard(args[0]) }})
				if err != nil {
					return err
				}
				return a.told(o, "gave up what waited of %s", args[0])
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			next := datadir.Founding(cfg)
			if _, err := os.Stat(next); err != nil {
				return failure(node.NotFound, "stile directory status", "no directory is being founded here")
			}
			if err := os.RemoveAll(next); err != nil {
				return err
			}
			return a.told(outcome{}, "gave up the directory that was being prepared")
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&all, "founding", false, "give up the directory that is being founded or taken over")
	return c
}
