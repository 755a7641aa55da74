package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

// app is one run of the command: the world it may touch and the flags that
// every command has.
type app struct {
	env
	data   string // --data
	config string // --config
	json   bool   // --json

	madeUp bool // pages say that everything was made up: of a demonstration

	gate gate // tests judge records with it; else nil
}

const rootHelp = `A stile is the step in a fence that lets people cross and keeps the stock in.
Stile is the node a council runs so that the records its neighbours may have
can cross the boundary, and nothing else can.

Every command works on one data folder: the one that --data names, or the one
whose stile.yaml --config names, or STILE_CONFIG does, or else the folder you
stand in. While "stile serve" runs in that folder the commands reach it through
its admin socket; otherwise they open the folder themselves.

Results go to standard output, everything else to standard error. With --json
a result is one JSON document, a list is one document to a line, and an error
is a document on standard error.

Exit codes:
  0  done                                5  data is invalid
  1  failed                              6  verification failed
  2  not understood                      7  partner cannot be reached
  3  not found                           8  behind, or not ready
  4  refused by agreement or policy      9  conflict`

// Main runs one command and returns its exit code.
func Main(ctx context.Context, e env, args []string) int {
	a := &app{env: e}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	out := &sticky{w: a.out}
	a.out = out
	root := a.root()
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		a.completes(root)
	}
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	defer a.leash(ctx, patience(root, args))()
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.err != nil {
		// A result that did not arrive is no result.
		err = failure(node.Failed, "look at where standard output goes: is the disk full?", "write results: %v", out.err)
	}
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitStatus](err); ok {
		return int(code)
	}
	f := explain(cmd, err)
	a.complain(f)
	return exitCode(f.Kind)
}

// patience is how long a command may go on after it was told to stop. What a person
// waits for ends within a second: whatever was acknowledged is on disk by then, so
// nothing is lost by ending in the middle. A node says goodbye to its partners.
func patience(root *cobra.Command, args []string) time.Duration {
	if c, _, err := root.Find(args); err == nil && (slices.Contains([]string{"serve", "demo"}, c.Name()) || c.CommandPath() == "stile exchange run") {
		return 20 * time.Second
	}
	return time.Second
}

// leash ends the process when ctx has been over for as long as the patience lasts and
// the command has not returned, whatever it is doing: reading a file, judging a
// record, or waiting for a disk that does not answer. It returns what takes the leash
// off.
func (a *app) leash(ctx context.Context, patience time.Duration) (off func()) {
	if a.exit == nil {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(patience)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			a.complain(failure(node.Failed, "call it again: what was acknowledged is on disk", "stopped before it was done"))
			a.exit(exitCode(node.Failed))
		}
	})
	return func() { stop(); close(done) }
}

// A sticky remembers the first error of a writer, so that printing need not
// look at each.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// root builds the tree of commands. A new one is added to its group here.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "stile",
		Short:         "Exchange records between councils, by agreement",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.data, "data", "", "data `folder` of the node")
	root.PersistentFlags().StringVar(&a.config, "config", "", "configuration `file`; default: stile.yaml in the data folder")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print results as JSON")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagged(err) })
	root.CompletionOptions.HiddenDefaultCmd = false

	daily := &cobra.Group{ID: "daily", Title: "Every day:"}
	nouns := &cobra.Group{ID: "nouns", Title: "One thing at a time:"}
	root.AddGroup(daily, nouns)
	for _, c := range []*cobra.Command{
		a.demoCommand(), a.initCommand(), a.serveCommand(), a.statusCommand(), a.watchCommand(), a.whyCommand(), a.subjectCommand(), a.driftCommand(), a.lookupCommand(), a.aggregateCommand(),
		a.importCommand(), a.checkCommand(), a.verifyCommand(), a.doctorCommand(), a.versionCommand(),
	} {
		c.GroupID = daily.ID
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{
		a.recordCommand(), a.feedCommand(), a.standardCommand(), a.agreementCommand(), a.handoverCommand(), a.urgentCommand(), a.councilCommand(), a.directoryCommand(), a.footprintCommand(), a.logCommand(), a.keyCommand(), a.accessCommand(), a.personCommand(), a.registerCommand(), a.backupCommand(), a.restoreCommand(), a.exportCommand(), a.auditCommand(), a.disclosureCommand(), a.notifyCommand(), a.webhookCommand(), a.supportCommand(), a.exchangeCommand(),
	} {
		c.GroupID = nouns.ID
		root.AddCommand(c)
	}
	root.AddCommand(a.manCommand())
	root.RunE = func(cmd *cobra.Command, args []string) error { return cmd.Help() }
	return root
}

// noun makes the command of a noun, which does nothing without a verb.
func noun(use, short, long string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs}
	c.AddCommand(verbs...)
	var names []string
	for _, v := range verbs {
		names = append(names, v.Name())
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return misused("%s has no verb %q: want one of %s", cmd.CommandPath(), clean(args[0]), strings.Join(names, ", "))
		}
		return misused("say what to do: %s %s", cmd.CommandPath(), strings.Join(names, "|"))
	}
	return c
}

// takes checks how many arguments there are and says in words what they are,
// such as "a record".
func takes(low, high int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case low == 0 && high == 0 && len(args) > 0:
			return misused("%s takes no argument and was given %d", cmd.CommandPath(), len(args))
		case len(args) < low || (high >= 0 && len(args) > high):
			return misused("%s wants %s and was given %s", cmd.CommandPath(), what, plural(len(args), "argument", "arguments"))
		}
		return nil
	}
}

func isKind(err error, k node.Kind) bool {
	e, ok := errors.AsType[*node.Error](err)
	return ok && e.Kind == k
}
