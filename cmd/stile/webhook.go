package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) webhookCommand() *cobra.Command {
	return noun("webhook", "Send other systems what changes, by webhook", `A running node sends each webhook what changes, as events signed as Standard
Webhooks say, and tries for three days what is not taken; then the webhook is parked
until somebody replays it. A webhook sees what one key may see (stile access key list) and
ends with it. docs/api.md says what is sent. People are told by stile notify.`,
		a.webhookAddCommand(),
		&cobra.Command{
			Use:   "list",
			Short: "List the webhooks, and how each stands",
			Args:  takes(0, 0, "nothing"),
			RunE:  func(cmd *cobra.Command, args []string) error { return a.listWebhooks(cmd.Context()) },
		},
		&cobra.Command{
			Use:   "deliveries ID",
			Short: "List the last 50 attempts to deliver to a webhook, the newest first",
			Args:  takes(1, 1, "the id of a webhook"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.listDeliveries(cmd.Context(), args[0])
			},
		},
		&cobra.Command{
			Use:   "test ID",
			Short: "Send a webhook a test message now",
			Args:  takes(1, 1, "the id of a webhook"),
			RunE: func(cmd *cobra.Command, args []string) error {
				r, err := a.node().Webhooks().Test(cmd.Context(), node.WebhookIDRequest{ID: args[0]})
				if err != nil {
					return err
				}
				if a.json {
					if err := a.emit(r); err != nil {
						return err
					}
				}
				if !r.Taken {
					return failure(node.Unreachable, "stile webhook list says where it goes", "the test message was not taken: %s", r.Reason)
				}
				if !a.json {
					a.printf("the test message was taken\n")
				}
				return nil
			},
		},
		a.webhookReplayCommand(),
		&cobra.Command{
			Use:   "remove ID",
			Short: "Remove a webhook",
			Args:  takes(1, 1, "the id of a webhook"),
			RunE: func(cmd *cobra.Command, args []string) error {
				k, err := a.node().Webhooks().Remove(cmd.Context(), node.WebhookIDRequest{ID: args[0]})
				if err != nil {
					return err
				}
				if a.json {
					return a.emit(k)
				}
				a.printf("removed %s: %s\n", k.ID, clean(k.Title))
				return nil
			},
		},
	)
}

func (a *app) webhookAddCommand() *cobra.Command {
	var in node.WebhookRequest
	c := &cobra.Command{
		Use:   "add TITLE URL --key ID",
		Short: "Send what a key may see to a URL",
		Long: `Add makes a webhook and prints its id and its secret, which is shown once: whoever
receives checks by it that a message is from here. The URL is by https, to the public
internet or to a network that web.webhook_networks names. URL and secret are kept
encrypted under the council's secret.`,
		Example: `  stile webhook add "Housing system" https://hooks.northmoor.gov.uk/stile --key k7w2m4qa --type record.put`,
		Args:    takes(2, 2, "a title and a URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Title, in.URL = args[0], args[1]
			k, err := a.node().Webhooks().Add(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(k)
			}
			a.say("the secret is shown once")
			a.printf("%s\n%s\n", k.ID, k.Secret)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Key, "key", "", "`ID` of the key that says what it may see")
	f.StringArrayVar(&in.Types, "type", nil, "only this `type` of change, such as record.put; may be given again")
	f.StringVar(&in.After, "after", "", "begin after this `cursor` of the feed of changes; default from now on")
	return c
}

func (a *app) webhookReplayCommand() *cobra.Command {
	var in node.WebhookReplayRequest
	c := &cobra.Command{
		Use:   "replay ID",
		Short: "Have a webhook sent what it missed, and take it out of parking",
		Args:  takes(1, 1, "the id of a webhook"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.ID = args[0]
			k, err := a.node().Webhooks().Replay(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(k)
			}
			a.printf("%s is sent what comes after %s\n", clean(k.Title), k.Cursor)
			return nil
		},
	}
	c.Flags().StringVar(&in.After, "after", "", "from after this `cursor`; default from where it stopped")
	return c
}

func (a *app) listWebhooks(ctx context.Context) error {
	all, err := a.node().Webhooks().List(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 && !a.json {
		a.say("there are no webhooks")
		return nil
	}
	t := newTable("ID", "TITLE", "HOST", "TYPES", "KEY", "#SENT", "STATE")
	for _, k := range all {
		if a.json {
			if err := a.emitLine(k); err != nil {
				return err
			}
			continue
		}
		types := "all"
		if len(k.Types) > 0 {
			types = strings.Join(k.Types, " ")
		}
		state := k.State
		switch k.State {
		case node.WebhookParked:
			state = "parked, because " + k.Reason
		case node.WebhookFailing:
			state = "failing, because " + k.Reason + "; tried again " + at(k.Next)
		}
		t.add(k.ID, clean(k.Title), k.Host, types, k.Key, number(k.Sent), clean(state))
	}
	if !a.json {
		t.write(a.out, "")
	}
	return nil
}

func (a *app) listDeliveries(ctx context.Context, id string) error {
	all, err := a.node().Webhooks().Deliveries(ctx, node.WebhookIDRequest{ID: id})
	if err != nil {
		return err
	}
	if len(all) == 0 && !a.json {
		a.say("nothing was sent to it yet")
		return nil
	}
	t := newTable("AT", "TYPE", "EVENT", "#ATTEMPT", "TAKEN")
	for _, d := range all {
		if a.json {
			if err := a.emitLine(d); err != nil {
				return err
			}
			continue
		}
		taken := "yes"
		if !d.Taken {
			taken = "no, because " + d.Reason
		}
		t.add(at(d.At), d.Type, d.Event, number(d.Attempt), clean(taken))
	}
	if !a.json {
		t.write(a.out, "")
	}
	return nil
}
