package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) accessCommand() *cobra.Command {
	return noun("access", "Say which systems may call the node's API", `The running node answers systems over HTTP where web in stile.yaml says so. A
system shows a key with each call. docs/api.md has every call.`, a.accessKeyCommand())
}

func (a *app) accessKeyCommand() *cobra.Command {
	return noun("key", "Make, list and revoke the keys of systems", `A key lets one system do what its scopes say, until it ends. It is shown once,
when it is made: the node keeps a hash of it.`,
		a.accessKeyAddCommand(),
		&cobra.Command{
			Use:   "list",
			Short: "List the keys, and when each was last used",
			Args:  takes(0, 0, "nothing"),
			RunE:  func(cmd *cobra.Command, args []string) error { return a.listKeys(cmd.Context()) },
		},
		&cobra.Command{
			Use:   "revoke ID",
			Short: "End a key now",
			Args:  takes(1, 1, "the id of a key"),
			RunE: func(cmd *cobra.Command, args []string) error {
				k, err := a.node().Access().RevokeKey(cmd.Context(), node.KeyIDRequest{ID: args[0]})
				if err != nil {
					return err
				}
				if a.json {
					return a.emit(k)
				}
				a.printf("revoked %s: %s\n", k.ID, clean(k.Title))
				return nil
			},
		},
	)
}

func (a *app) accessKeyAddCommand() *cobra.Command {
	var in node.KeyRequest
	c := &cobra.Command{
		Use:   "add TITLE",
		Short: "Make a key for a system, or for a receiver that has no node",
		Long: `Add makes a key and prints it, once: who has it may do what it is for.

A scope is VERB:SIDE:STANDARD, or a verb alone:

  read:own:STANDARD        show, list, search, export and follow our own records
  read:received:STANDARD   the same of what others sent; read:both for both
  write:own:STANDARD       put and import records, see what was held
  delete:own:STANDARD      delete records
  status                   how the node stands; members, standards, the log
  agreements               see agreements, draft and preview them
  sign                     propose, sign, suspend, resume and end agreements
  disclosures              who was let have what, why, and reports about a person
  webhooks                 keep webhooks
  cases                    offer and answer handovers; ask for an urgent disclosure,
                           or be the first of the two who give one

STANDARD is publisher/name, with @1 or @1.2.0 or without, and * is every one.

With --agreement it is the key of a receiver that has no node: it collects what goes
to it under that agreement, and does nothing else; see docs/receiving.md.`,
		Example: `  stile access key add "Housing system" --allow read:received:standards.stile.example/housing-need --days 365
  stile access key add "Planning portal" --allow write:own:standards.stile.example/planning-application --allow status
  stile access key add "Wold parish council" --agreement northmoor.gov.uk/planning-to-wold`,
		Args: takes(1, 1, "a title"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Title = args[0]
			k, err := a.node().Access().AddKey(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(k)
			}
			a.say("this is shown once; it is good until %s", k.Expires.Format("2 January 2006"))
			a.printf("%s\n", k.Secret)
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVar(&in.Allow, "allow", nil, "`scope` of the key; may be given again")
	f.IntVar(&in.Days, "days", 0, "how many `days` it lasts, at most 730; default 90")
	f.StringVar(&in.Agreement, "agreement", "", "`agreement` under which a receiver without a node collects")
	f.StringVar(&in.Receiver, "receiver", "", "which `council` of the agreement, where it has several receivers")
	return c
}

func (a *app) listKeys(ctx context.Context) error {
	keys, err := a.node().Access().ListKeys(ctx)
	if err != nil {
		return err
	}
	if a.json {
		for _, k := range keys {
			if err := a.emitLine(k); err != nil {
				return err
			}
		}
		return nil
	}
	if len(keys) == 0 {
		a.say("no system has a key")
	}
	for _, k := range keys {
		used := "never used"
		if !k.LastUsed.IsZero() {
			used = "last used " + k.LastUsed.Format("2006-01-02 15:04")
		}
		may := strings.Join(k.Allow, " ")
		if k.Agreement != "" {
			may = fmt.Sprintf("what goes to %s under %s", k.Receiver, k.Agreement)
		}
		a.printf("%s  %s until %s, %s\n          %s\n          %s\n", k.ID, k.State, k.Expires.Format("2006-01-02"), used, clean(k.Title), may)
	}
	return nil
}
