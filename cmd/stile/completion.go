package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stile-exchange/stile/node"
)

// completes gives every argument and flag of the tree that names an agreement, a council,
// a standard, a footprint or a feed the completion of it. What an argument names stands
// in the use line of its command, and what a flag names in its help, so nothing is
// written down twice. Records are not completed: a reference may tell who it is about.
func (a *app) completes(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.completes(sub)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		what, _ := pflag.UnquoteUsage(f)
		names := a.names(strings.TrimSuffix(what, "s"))
		if names != nil {
			// It fails only when it was registered before.
			_ = c.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
				// A list goes on behind its last comma.
				before, last := "", begun
				if i := strings.LastIndexByte(begun, ',') + 1; strings.HasSuffix(what, "s") {
					before, last = begun[:i], begun[i:]
				}
				list, how := offer(cmd.Context(), names, last)
				for i := range list {
					list[i] = before + list[i]
				}
				return list, how
			})
		}
	})
	if c.ValidArgsFunction != nil || c.HasSubCommands() {
		return
	}
	words := strings.Fields(c.Use)[1:]
	for i, w := range words {
		if strings.HasPrefix(w, "--") || w == "[flags]" {
			words = words[:i]
			break
		}
	}
	if len(words) == 0 {
		c.ValidArgsFunction = cobra.NoFileCompletions
		return
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		word := words[min(len(args), len(words)-1)]
		if len(args) >= len(words) && !strings.Contains(word, "...") {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		files := cobra.ShellCompDirectiveNoFileComp
		var found []string
		for one := range strings.SplitSeq(strings.Trim(word, "[]."), "|") {
			switch one {
			case "FILE", "DIR", "ARCHIVE", "ARCHIVE…", "KEY", "FROM", "TO":
				files = cobra.ShellCompDirectiveDefault
			}
			if one == "NAME" {
				one = cmd.Parent().Name()
			}
			if names := a.names(strings.ToLower(one)); names != nil {
				list, _ := offer(cmd.Context(), names, begun)
				found = append(found, list...)
			}
		}
		return found, files
	}
}

// offer returns the names that begin as what is typed does, with the short name of a
// standard counted as a beginning, too.
func offer(ctx context.Context, names func(context.Context) ([]string, error), begun string) ([]string, cobra.ShellCompDirective) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all, err := names(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp // a shell has no place for an error
	}
	all = slices.DeleteFunc(all, func(n string) bool { return !strings.HasPrefix(n, begun) })
	slices.Sort(all)
	return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
}

// names returns what lists the things of a kind; nil for a kind that is not listed. Only
// a running node is asked: to open a folder for each key that is pressed would take long.
func (a *app) names(kind string) func(context.Context) ([]string, error) {
	asked := func(list func(context.Context, node.Operations) ([]string, error)) func(context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			cfg, err := a.load()
			if err != nil {
				return nil, err
			}
			client, err := node.Dial(ctx, cfg.AdminSocket)
			if err != nil {
				return nil, err
			}
			defer client.Close()
			return list(ctx, client.Operations)
		}
	}
	switch kind {
	case "agreement":
		return asked(func(ctx context.Context, o node.Operations) (out []string, err error) {
			list, err := o.Agreements().List(ctx)
			for _, g := range list {
				out = append(out, string(g.Name))
			}
			return out, err
		})
	case "council":
		return asked(func(ctx context.Context, o node.Operations) (out []string, err error) {
			list, err := o.Councils().List(ctx)
			for _, m := range list {
				out = append(out, string(m.Council))
			}
			return out, err
		})
	case "footprint":
		return asked(func(ctx context.Context, o node.Operations) (out []string, err error) {
			list, err := o.Footprints().List(ctx)
			for _, f := range list {
				out = append(out, string(f.Name))
			}
			return out, err
		})
	case "standard", "name@version", "name@major":
		return asked(func(ctx context.Context, o node.Operations) (out []string, err error) {
			list, err := o.Standards().List(ctx)
			for _, s := range list {
				full, version, _ := strings.Cut(s.Name.String(), "@")
				_, short, _ := strings.Cut(full, "/")
				switch kind {
				case "standard":
					out = append(out, short, full)
				case "name@major":
					major, _, _ := strings.Cut(version, ".")
					out = append(out, short+"@"+major, full+"@"+major)
				default:
					out = append(out, short+"@"+version, full+"@"+version)
				}
			}
			return out, err
		})
	case "feed":
		return func(context.Context) (out []string, err error) {
			cfg, err := a.load()
			if err != nil {
				return nil, err
			}
			for _, f := range cfg.Feeds {
				out = append(out, f.Name)
			}
			return out, nil
		}
	}
	return nil
}
