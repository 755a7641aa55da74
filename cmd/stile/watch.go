package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) watchCommand() *cobra.Command {
	w := &watcher{app: a}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Follow what happens at a running node",
		Long: `Watch asks the node for its status again and again and prints a line for what
has changed: records taken in, partners that fall behind and come back in step,
refusals, withdrawals. It ends when told to (Ctrl-C), after --for, or, with
--until-in-step, once every exchange is in step.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context()) },
	}
	f := c.Flags()
	f.DurationVar(&w.every, "every", time.Second, "how often to ask")
	f.DurationVar(&w.forTime, "for", 0, "end after this long; default: when told to")
	f.BoolVar(&w.inStep, "until-in-step", false, "end once every exchange is in step; with --for, exit with 8 when it is not by then")
	return c
}

type watcher struct {
	*app
	every, forTime time.Duration
	inStep         bool
}

func (w *watcher) run(ctx context.Context) error {
	if w.every < 10*time.Millisecond {
		return misused("--every: want at least 10ms")
	}
	cfg, err := w.load()
	if err != nil {
		return err
	}
	// The folder is not opened in this process: it would keep a node from
	// starting for as long as somebody watches.
	c, err := node.Dial(ctx, cfg.AdminSocket)
	if errors.Is(err, node.ErrNotRunning) {
		return failure(node.Behind, "stile serve, in another window", "the node is not running, so nothing happens")
	}
	if err != nil {
		return err
	}
	defer c.Close()
	limit := ctx
	if w.forTime > 0 {
		var cancel context.CancelFunc
		limit, cancel = context.WithTimeout(ctx, w.forTime)
		defer cancel()
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	var last *node.StatusReply
	for {
		s, err := c.Status(limit)
		if err != nil {
			if limit.Err() == nil {
				return err
			}
			return w.ended(ctx, last)
		}
		if err := w.tell(last, &s); err != nil {
			return err
		}
		last = &s
		if w.inStep && len(s.Partners) > 0 && behind(s) == nil {
			return nil
		}
		select {
		case <-limit.Done():
			return w.ended(ctx, last)
		case <-tick.C:
		}
	}
}

// ended is how a watch ends whose time is over, or that was told to end.
func (w *watcher) ended(ctx context.Context, last *node.StatusReply) error {
	if ctx.Err() != nil || !w.inStep {
		return nil
	}
	if last != nil && len(last.Partners) > 0 {
		return behind(*last)
	}
	return failure(node.Behind, "", "there is no exchange yet: no agreement is in force")
}

// behind returns an error while an exchange is not in step, or a withdrawal not
// receipted. Exchanges that a party suspended, and those of a footprint with others,
// are not waited for.
func behind(s node.StatusReply) error {
	n, out := 0, 0
	for _, p := range s.Partners {
		if !p.InStep && !p.Suspended && p.Footprint == "" {
			n++
		}
		out += p.Outstanding
	}
	switch {
	case n > 0:
		return failure(node.Behind, "", "%s behind", plural(n, "exchange is", "exchanges are"))
	case out > 0:
		return failure(node.Behind, "", "%s not receipted", plural(out, "withdrawal is", "withdrawals are"))
	}
	return nil
}

// tell prints what is different from the last time.
func (w *watcher) tell(last, now *node.StatusReply) error {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if last == nil {
		last = &node.StatusReply{}
		say("%s: %s in the log", now.Council, plural(now.LogSize, "entry", "entries"))
	} else if last.Since != now.Since && last.Running {
		say("the node was started again")
	}
	for _, std := range slices.Sorted(maps.Keys(now.Records)) {
		if n, was := now.Records[std], last.Records[std]; n != was {
			say("%s: %s (%+d)", std, plural(n, "record of ours", "records of ours"), n-was)
		}
	}
	if now.Held != last.Held {
		say("%s held back (%+d)", plural(now.Held, "record is", "records are"), now.Held-last.Held)
	}
	for _, p := range now.Partners {
		var old node.PartnerReply
		for _, o := range last.Partners {
			if o.Council == p.Council && o.Agreement == p.Agreement && o.Direction == p.Direction {
				old = o
			}
		}
		if p.Held == old.Held && step(p) == step(old) && p.Outstanding == old.Outstanding && p.Refused == old.Refused && old.Council != "" {
			continue
		}
		if p.Mode != "" {
			say("%s, under %s: %s", p.Council, p.Agreement, step(p))
			continue
		}
		verb := "holds"
		if p.Direction == "from" {
			verb = "sends; we hold"
		}
		line := fmt.Sprintf("%s %s %s of %s under %s: %s", p.Council, verb, number(p.Held), number(p.Offered), p.Agreement, step(p))
		if p.Outstanding > 0 {
			line += fmt.Sprintf("; %s not receipted", plural(p.Outstanding, "withdrawal", "withdrawals"))
		}
		if p.Refused > 0 {
			line += fmt.Sprintf("; %s refused", number(p.Refused))
		}
		say("%s", line)
	}
	for _, r := range slices.Backward(now.Refusals) {
		same := func(o node.Refusal) bool {
			return o.At.Equal(r.At) && o.From == r.From && o.Index == r.Index && o.Pointer == r.Pointer && o.Rule == r.Rule
		}
		if !slices.ContainsFunc(last.Refusals, same) {
			say("refused from %s: entry %s at %q fails %q", r.From, number(r.Index), r.Pointer, r.Rule)
		}
	}
	for _, x := range now.Witnesses {
		if !slices.Contains(last.Witnesses, x) {
			say("%s cosigned the log at %s", x.Council, plural(x.Size, "entry", "entries"))
		}
	}
	if w.json {
		if len(lines) == 0 {
			return nil
		}
		return w.emitLine(map[string]any{"time": time.Now().UTC(), "changes": lines, "status": now})
	}
	for _, l := range lines {
		w.printf("%s  %s\n", time.Now().UTC().Format(time.TimeOnly), clean(l))
	}
	return nil
}
