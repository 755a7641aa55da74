package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) standardServeCommand() *cobra.Command {
	var from int
	var stop, yes bool
	c := &cobra.Command{
		Use:   "serve NAME@MAJOR",
		Short: "Serve records in a newer major, made from those of an older one",
		Long: `Serve keeps, for each live record of an older major of a standard, a record of a
newer one, made by the mapping that the newer version's publisher ships with it.
A partner with an agreement over the newer major gets these as it would any
others; agreements over the older one go on as they are. The node goes on making
them while it runs: what changes is made again, what is deleted is deleted.

A record that the newer version refuses is held back, and "stile record held"
tells why. One that is there already and was written by hand is left as it is;
writing one by hand that was made before takes it over. With --stop all that was
made is deleted, and withdrawn from the partners that have it.`,
		Example: `  stile standard serve standards.stile.example/housing-need@2 --from 1
  stile standard serve housing-need@2 --stop`,
		Args: takes(1, 1, "a standard and its major"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := node.ServeRequest{Standard: args[0], Stop: stop}
			if !strings.Contains(args[0], "@") {
				return misused("say which major: stile standard serve %s@2", clean(args[0]))
			}
			if cmd.Flags().Changed("from") {
				if stop {
					return misused("--from has no use with --stop")
				}
				req.From = &from
			}
			if stop {
				if err := a.sure(yes, "delete what was made in %s, and withdraw it from partners", clean(args[0])); err != nil {
					return err
				}
			}
			return a.serveMajor(cmd.Context(), req)
		},
	}
	f := c.Flags()
	f.IntVar(&from, "from", 0, "the older `major`; default: the only one there is a mapping from")
	f.BoolVar(&stop, "stop", false, "serve no longer: delete what was made")
	f.BoolVar(&yes, "yes", false, "with --stop, do not ask")
	return c
}

func (a *app) serveMajor(ctx context.Context, req node.ServeRequest) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	var sum node.ServeReply
	began, shown := time.Now(), false
	for first := true; ; first = false {
		r, err := c.Standards().Serve(ctx, req)
		if err != nil && req.Stop && !first && isKind(err, node.NotFound) {
			break // the running node did the rest meanwhile
		}
		if err != nil {
			return err
		}
		r.Made, r.Deleted, r.Refused = r.Made+sum.Made, r.Deleted+sum.Deleted, r.Refused+sum.Refused
		if sum = r; r.Done {
			break
		}
		if isTerminal(a.err) && time.Since(began) > time.Second {
			shown = true
			a.hint("\r%s made, %s deleted; entry %s of %s ", number(r.Made), number(r.Deleted), number(r.Cursor), number(r.Size))
		}
	}
	if shown {
		a.hint("\r%s\r", strings.Repeat(" ", 78))
	}
	if sum.Done = true; a.json {
		return a.emit(sum)
	}
	if req.Stop {
		a.printf("%s is no longer made from %s: what was made is deleted\n", sum.Standard.Line(), sum.From)
		return nil
	}
	// While a node runs, it and this command make records side by side: what
	// there is counts, not who made it.
	std, err := c.Standards().Show(ctx, node.StandardRequest{Name: sum.Standard.String()})
	if err != nil {
		return err
	}
	for _, p := range sum.Advice {
		a.say("the mapping: %s", problemLine(p))
	}
	if m := std.Mapped; m != nil {
		a.printf("serving %s from %s: %s\n", sum.Standard, sum.From, madeWords(m))
		if m.Refused > 0 {
			a.say("stile record held --standard %s tells why", sum.Standard.Line())
		}
	}
	return nil
}

// madeWords says how many records a mapping has made.
func madeWords(m *node.MappedReply) string {
	s := plural(m.Made, "record", "records")
	if m.Refused > 0 {
		s += fmt.Sprintf(", %s held back", number(m.Refused))
	}
	switch {
	case m.Ending:
		s += "; being deleted"
	case m.Behind:
		s += "; more to make when the node runs"
	}
	return s
}
