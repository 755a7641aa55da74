package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/examples"
	"github.com/stile-exchange/stile/internal/exchange"
	"github.com/stile-exchange/stile/node"
)

func (a *app) exchangeCommand() *cobra.Command {
	return noun("exchange", "Run whole exchanges between made-up councils", `An exchange is a way of working across council boundaries that comes with Stile as an example: its
standards, its agreements, files as councils' systems write them, and the commands that each council types.
A run plays it on this machine from beginning to end, and counts at the end what really flowed, by the
councils' own signed logs. No council, person or place in it is real. A council that does the same with its
partners counts with "stile exchange case" what flowed there.`,
		a.exchangeListCommand(), a.exchangeShowCommand(), a.exchangeRunCommand(), a.exchangeCaseCommand())
}

func (a *app) exchangeListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the exchanges that come with Stile",
		Args:  takes(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			all, err := examples.Exchanges()
			if err != nil {
				return err
			}
			if a.json {
				type line struct {
					Exchange string `json:"exchange"`
					Title    string `json:"title"`
				}
				var lines []line
				for _, e := range all {
					lines = append(lines, line{e.ID, e.Title})
				}
				return emitLines(a, lines)
			}
			t := newTable("EXCHANGE", "TITLE")
			for _, e := range all {
				t.add(e.ID, e.Title)
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func (a *app) exchangeShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show EXCHANGE",
		Short:   "Show what an exchange is for, who takes part, and its commands",
		Example: `  stile exchange show 02`,
		Args:    takes(1, 1, "an exchange such as 02"),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := exchangeOf(args[0])
			if err != nil {
				return err
			}
			a.printf("%s  %s\n\n%s\n", e.ID, e.Title, paragraph(e.Problem))
			a.printf("What stays: %s\n\n", paragraph(e.Stays))
			for _, c := range e.Councils {
				a.printf("%-28s %s: %s\n", c.Name, c.Title, c.Part)
			}
			for i, s := range e.Steps {
				a.printf("\n%d. %s\n", i+1, paragraph(s.Say))
				if s.Run != "" {
					a.printf("   %s$ stile %s\n", firstLabel(s.At), typedBy(s))
				}
				if s.Agree != "" {
					a.printf("   agreement: %s\n", s.Agree)
				}
				if s.Accept != "" {
					for _, c := range e.Group(s.Each) {
						a.printf("   %s$ stile agreement accept %s --to %s\n", firstLabel(c.Name), s.Accept, s.To)
					}
					a.printf("   %s$ stile agreement accept %s --all\n", firstLabel(s.To), s.Accept)
				}
			}
			return nil
		},
	}
}

func (a *app) exchangeRunCommand() *cobra.Command {
	var keep, published string
	var few int
	c := &cobra.Command{
		Use:   "run EXCHANGE...",
		Short: "Play an exchange on this machine, or all, and count what flowed",
		Long: `Run starts the nodes of the exchange's councils on this machine, each with a data folder of its own.
They speak libp2p over loopback. It types each council's commands, shows what they print, and stops with an
error when something is not as the exchange says it should be. At the end an auditor verifies a bundle of each
agreement offline, and each sender signs an exchange-case record with what really flowed.

The agreements of an exchange were written on some day. Where a date of one is past or near by now, all its
dates are moved on by whole years, and that is said: its parties are made up, and nobody renews it.

With several exchanges, or "all", it plays one after the other in one folder, each by
councils of its own, whose domains then say which exchange they belong to. Every council
sends its cases to a standards body, by the agreement that comes with exchange-case. What
the body's register of exchanges counts is shown, with each case, where it stands, and the
bundle from which it was counted again. With --keep its page is in pages/open/exchanges.html.

The folder is deleted at the end unless --keep names one, so that the commands can be tried by hand.
Then the registers of each council are written as pages into pages/ in it.`,
		Example: `  stile exchange run 02
  stile exchange run 02 --keep /tmp/consultation
  stile exchange run all --keep /tmp/fifteen`,
		Args: takes(1, -1, "an exchange such as 02, or all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := exchangesOf(args)
			if err != nil {
				return err
			}
			e := list[0]
			if few < 0 {
				return misused("--few wants a number of 0 or more")
			}
			if len(list) > 1 {
				if published != "" {
					return misused("--published is for one exchange")
				}
				return a.playAll(cmd.Context(), list, keep, few)
			}
			if published != "" && len(e.Published) == 0 {
				return misused("exchange %s takes in nothing that real councils have published: leave out --published", e.ID)
			}
			if few > 0 {
				if e, err = e.Few(few); err != nil {
					return misused("--few %d leaves out councils that the exchange needs: %v", few, err)
				}
			}
			return a.play(cmd.Context(), e, keep, published)
		},
	}
	c.Flags().StringVar(&published, "published", "", "`folder` with the registers of real councils that the exchange's page lists, to take those in too")
	c.Flags().IntVar(&few, "few", 0, "take at most this `number` of councils of each group that does the same, which is faster; 0 takes all")
	c.Flags().StringVar(&keep, "keep", "", "empty or new `folder` to keep everything in")
	return c
}

// exchangeOf finds an exchange that comes with the program.
func exchangeOf(id string) (*exchange.Exchange, error) {
	e, err := examples.Exchange(id)
	if err != nil {
		return nil, failure(node.NotFound, "stile exchange list", "%v", err)
	}
	return e, nil
}

// play runs an exchange in a folder and prints, with --json, what flowed.
func (a *app) play(ctx context.Context, e *exchange.Exchange, keep, published string) (err error) {
	e = e.On(a.clock())
	p := &player{town: newTown(a), e: e, published: published, pages: keep != ""}
	if p.dir, err = newFolder("exchange", keep); err != nil {
		return err
	}
	if keep == "" {
		defer os.RemoveAll(p.dir)
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.run(ctx); err != nil {
		switch {
		case ctx.Err() == nil:
			return err
		case keep == "":
			return failure(node.Failed, "stile exchange run "+e.ID, "stopped before it was done; nothing of it is kept")
		}
		return failure(node.Failed, "name a new folder with --keep", "stopped before it was done; what there is of it is in %s", p.dir)
	}
	if a.json {
		return emitLines(a, p.flows)
	}
	if keep != "" {
		p.say("\nKept in %s. A node runs again with stile serve --data %s\n", p.dir, p.folder(e.Councils[0].Name))
		p.say("A bundle is verified again with stile verify %s --trust %s\n", p.bundle(0, p.agreed[0].From), p.trust())
	}
	return nil
}
