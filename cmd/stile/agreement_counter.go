package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementCounterCommand() *cobra.Command {
	var yes bool
	var file string
	var who speaker
	c := &cobra.Command{
		Use:   "counter NAME --file FILE",
		Short: "Answer a proposed agreement with the text that we would sign instead",
		Long: `Counter sends the other parties another text of an agreement, of a higher version than
any so far: stile agreement show NAME --document prints the newest one to begin from.
Every party sees in words what it says otherwise, with stile agreement show and on the
pages.

A receiver's counter-proposal binds nobody. The sender signs it with stile agreement
sign NAME --counter COUNCIL, which proposes it, and then the receivers sign it as any
other; or the sender answers with a text of its own, with this command, and so on. The
sender's counts as signed by it. What has been answered with a newer text can be signed
no more. Where web.two_persons is set it takes two signers, as signing does: see --as.`,
		Example: `  stile agreement show northmoor.gov.uk/people-moving-to-saltby --document > ours.yaml
  stile agreement counter northmoor.gov.uk/people-moving-to-saltby --file ours.yaml`,
		Args: takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return misused("say with --file what we would sign instead")
			}
			doc, err := a.readFile(file, agreement.MaxDocument)
			if err != nil {
				return err
			}
			if err := a.sure(yes, "answer %s with %s", args[0], file); err != nil {
				return err
			}
			req := node.AgreementRequest{Name: args[0], Document: doc}
			if err := a.speaks(who, &req); err != nil {
				return err
			}
			r, err := a.node().Agreements().Counter(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if r.Approval != nil {
				a.another(*r.Approval, "counter "+args[0]+" --file "+file)
				return nil
			}
			a.printf("%s version %d: %s\n", r.Name, r.Version, force(r))
			a.printCounters(r)
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", "", "the text, a `file` as stile agreement draft writes it")
	who.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// printCounters says what receivers would sign instead of the newest version, and how that
// differs.
func (a *app) printCounters(r node.AgreementReply) {
	for _, x := range r.Counters {
		a.printf("%s would sign version %d instead, it said on %s; against version %d\n", x.Council, x.Version, at(x.At), x.Answers)
		for _, d := range x.Differs {
			a.printf("  %s\n", clean(d))
		}
	}
}
