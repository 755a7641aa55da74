package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/notify"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node"
)

func (a *app) notifyCommand() *cobra.Command {
	return noun("notify", "List and try who is told when something needs a person", `The running node tells those who stand under notify in stile.yaml when a
condition begins, gets worse or ends, and when a date of review, end or retention
comes near: by a webhook, or by a command such as a mail program.
docs/operating.md says how.`,
		&cobra.Command{
			Use:   "list",
			Short: "List who is told, when last, and what waits and why",
			Args:  takes(0, 0, "nothing"),
			RunE:  func(cmd *cobra.Command, args []string) error { return a.listNotify() },
		},
		&cobra.Command{
			Use:   "test [TARGET]",
			Short: "Send a test message to one target, or to each",
			Long: `Test sends a message that says that it is a test, from here and at once, and says
whether it was taken. What a command writes to standard error is shown. When all
took it a running node tries at once what waits, also for a target that is parked.`,
			Args: takes(0, 1, "a target or nothing"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.testNotify(cmd.Context(), args) },
		},
	)
}

// notifyStates returns how each target of the configuration stands.
func notifyStates(cfg *config.Config) ([]notify.State, error) {
	known, err := notify.Read(filepath.Join(cfg.Data, notify.FileName))
	if err != nil {
		return nil, err
	}
	out := make([]notify.State, len(cfg.Notify))
	for i, t := range cfg.Notify {
		out[i].Target = t.Name
		if j := slices.IndexFunc(known, func(s notify.State) bool { return s.Target == t.Name }); j >= 0 {
			out[i] = known[j]
		}
	}
	return out, nil
}

func (a *app) listNotify() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	states, err := notifyStates(cfg)
	if err != nil {
		return err
	}
	if len(states) == 0 && !a.json {
		a.say("nobody stands under notify in %s", config.FileName)
		return nil
	}
	t := newTable("TARGET", "BY", "TOLD OF", "LAST TOLD", "#WAITING", "STATE")
	for i, s := range states {
		c := cfg.Notify[i]
		if a.json {
			err := a.emitLine(struct {
				Target   string    `json:"target"`
				By       string    `json:"by"`
				Severity string    `json:"severity"`
				Tells    string    `json:"tells"`
				Sent     int       `json:"sent"`
				SentAt   time.Time `json:"sent_at,omitzero"`
				Waiting  int       `json:"waiting"`
				LeftOut  int       `json:"left_out,omitempty"`
				Attempts int       `json:"attempts,omitempty"`
				Since    time.Time `json:"since,omitzero"`
				Problem  string    `json:"problem,omitempty"`
				Next     time.Time `json:"next,omitzero"`
				Parked   bool      `json:"parked,omitempty"`
			}{s.Target, notifyBy(c), c.Severity, c.Tells, s.Sent, s.SentAt, s.Outstanding(), s.LeftOut, s.Attempts, s.Since, s.Problem, s.Next, s.Parked})
			if err != nil {
				return err
			}
			continue
		}
		last := "never"
		if !s.SentAt.IsZero() {
			last = at(s.SentAt)
		}
		of := map[string]string{"all": c.Severity + ", dates", "conditions": c.Severity, "dates": "dates"}[c.Tells]
		t.add(s.Target, notifyBy(c), of, last, number(s.Outstanding()), notifyWords(s))
	}
	if !a.json {
		t.write(a.out, "")
	}
	return nil
}

// notifyBy says by what a target is told: the rest of a URL may be a secret, and the
// arguments of a command may name people.
func notifyBy(c config.Notify) string {
	if c.Webhook == "" {
		return c.Command[0]
	}
	u, err := url.Parse(c.Webhook)
	if err != nil {
		return "webhook"
	}
	return u.Host
}

// notifyWords says how a target stands.
func notifyWords(s notify.State) string {
	switch {
	case s.Final:
		return fmt.Sprintf("parked until the node starts anew, because %s", s.Problem)
	case s.Parked:
		return fmt.Sprintf("parked, tried once a day: failing since %s, because %s", at(s.Since), s.Problem)
	case s.Problem != "":
		return fmt.Sprintf("failing since %s, because %s; tried again %s", at(s.Since), s.Problem, at(s.Next))
	case s.Outstanding() > 0:
		return "on its way"
	}
	return "good"
}

func (a *app) testNotify(ctx context.Context, args []string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	targets := cfg.Notify
	if len(args) > 0 {
		targets = slices.DeleteFunc(slices.Clone(targets), func(c config.Notify) bool { return c.Name != args[0] })
		if len(targets) == 0 {
			return failure(node.NotFound, "stile notify list", "no target %q stands under notify in %s", clean(args[0]), config.FileName)
		}
	}
	if len(targets) == 0 {
		return failure(node.NotFound, "docs/operating.md has examples", "nobody stands under notify in %s", config.FileName)
	}
	networks, err := webhook.ParseAllow(cfg.Web.WebhookNetworks)
	if err != nil {
		return err
	}
	var talk bytes.Buffer // what a command says
	sender := notify.NewSender(cfg.Council, networks, &talk)
	var failed []string
	for _, c := range targets {
		id, err := webhook.NewID(rand.Reader)
		if err != nil {
			return err
		}
		now := time.Now()
		err = sender.Send(ctx, c, notify.TestMessage(id, now), now)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for line := range strings.Lines(talk.String()) {
			a.say("%s: %s", c.Name, strings.TrimSpace(line))
		}
		talk.Reset()
		problem := ""
		if err != nil {
			problem = err.Error()
			failed = append(failed, c.Name+": "+problem)
		}
		if a.json {
			if err := a.emitLine(map[string]any{"target": c.Name, "taken": err == nil, "problem": problem}); err != nil {
				return err
			}
		} else if err == nil {
			a.printf("%s took the test message\n", c.Name)
		}
	}
	if len(failed) > 0 {
		return failure(node.Unreachable, "see what stands under notify in "+config.FileName+"; stile notify list says what waits", "not told: %s", failed[0]+map[bool]string{true: fmt.Sprintf(", and %d more", len(failed)-1)}[len(failed) > 1])
	}
	return notify.TryAll(filepath.Join(cfg.Data, notify.FileName))
}
