package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node/name"
)

// commandTime is how long a command may take.
const commandTime = time.Minute

// A Sender makes one attempt to send a message to a target. The error says what happened in
// a few words, without the URL, the message, or anything that the other side wrote.
type Sender interface {
	Send(ctx context.Context, to config.Notify, m Message, now time.Time) error
}

// Run sends what waits until ctx ends, one message at a time to each target. Those that are
// parked are tried when it begins.
func (n *Notifier) Run(ctx context.Context) {
	n.mu.Lock()
	for _, t := range n.targets {
		if t.Parked {
			t.Next, t.Final = n.o.Now(), false
		}
	}
	n.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, t := range n.targets {
		wg.Go(func() {
			for {
				for n.deliver(ctx, t) {
				}
				select {
				case <-ctx.Done():
					return
				case <-t.kick:
				}
			}
		})
	}
}

// deliver makes one attempt where one is due, and reports whether another may be.
func (n *Notifier) deliver(ctx context.Context, t *target) (more bool) {
	m := n.next(t)
	if m == nil || ctx.Err() != nil {
		return false
	}
	err := n.o.Sender.Send(ctx, t.Notify, *m, n.o.Now())
	if ctx.Err() != nil && err != nil {
		return false // the node stops: it was no attempt
	}
	now := n.o.Now().UTC()
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.save()
	if err == nil {
		if t.Problem != "" {
			n.o.Log.Info("told again what somebody should know of", "target", t.Name, "after", t.Attempts)
		}
		t.Message, t.Sent, t.SentAt = nil, t.Sent+1, now
		t.Attempts, t.Since, t.Problem, t.Next, t.Parked, t.Final = 0, time.Time{}, "", time.Time{}, false, false
		return true
	}
	if t.Attempts++; t.Attempts == 1 {
		t.Since = now
		n.o.Log.Warn("what somebody should know of could not be told", "target", t.Name, "error", err.Error())
	}
	t.Problem = err.Error()
	d, again := webhook.Next(t.Attempts, err, n.o.Jitter())
	if !again {
		t.Parked, t.Final, d = true, webhook.Final(err), parked
	}
	t.Next = now.Add(d)
	return false
}

// next returns the message that is due for a target; nil when none is.
func (n *Notifier) next(t *target) *Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now().UTC()
	// A clock that was set back a long way must not silence a target.
	if t.Final || now.Before(t.Next) && t.Next.Sub(now) < 2*parked {
		return nil
	}
	if t.Message == nil {
		if len(t.Waiting) == 0 {
			return nil
		}
		id, err := n.o.ID()
		if err != nil {
			n.o.Log.Error("tell what somebody should know of", "error", err.Error())
			return nil
		}
		k := min(len(t.Waiting), maxChanges)
		t.Message = &Message{ID: id, At: now.Truncate(time.Second), Changes: t.Waiting[:k:k], LeftOut: t.LeftOut}
		t.Waiting, t.LeftOut = append([]Change(nil), t.Waiting[k:]...), 0
		n.save()
	}
	return t.Message
}

// NewSender returns a Sender that posts webhooks, to the networks named beside the public
// internet, and runs commands. What commands write to standard error goes to talk, which
// may be nil.
func NewSender(c name.Council, networks []netip.Prefix, talk io.Writer) Sender {
	return &sender{c, webhook.NewSender(webhook.Guard{Allow: networks}, "stile", nil), talk}
}

type sender struct {
	council name.Council
	hooks   *webhook.Sender
	talk    io.Writer
}

func (s *sender) Send(ctx context.Context, to config.Notify, m Message, now time.Time) error {
	if to.Webhook != "" {
		written, err := to.Secrets()
		if err != nil {
			return err
		}
		var secrets []webhook.Secret
		for _, w := range written {
			secret, err := webhook.ParseSecret(w)
			if err != nil {
				return err
			}
			secrets = append(secrets, secret)
		}
		body, err := m.document(s.council)
		if err != nil {
			return err
		}
		return s.hooks.Send(ctx, webhook.Target{URL: to.Webhook, Secrets: secrets}, webhook.Message{ID: m.ID, Body: body}, now)
	}
	body := m.mail(s.council)
	if to.Format == "json" {
		var err error
		if body, err = m.document(s.council); err != nil {
			return err
		}
	}
	return run(ctx, to.Command, body, s.talk)
}

// run runs a command without a shell and gives it a message to read. Its environment says
// where programs and a home are and nothing else.
func run(ctx context.Context, argv []string, body []byte, talk io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stderr, cmd.WaitDelay = bytes.NewReader(body), talk, time.Second
	cmd.Env = []string{"LANG=C.UTF-8"}
	for _, k := range []string{"PATH", "HOME", "USER", "TZ", "SystemRoot"} {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	alone(cmd)
	err := cmd.Run()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the command did not end within %d seconds", int(commandTime.Seconds()))
	case ended:
		return fmt.Errorf("the command ended with %s", exit.ProcessState)
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("the command cannot be run: %w", path.Err)
	}
	return fmt.Errorf("the command cannot be run: %w", err)
}
