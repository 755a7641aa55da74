package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) councilQuarantineCommand() *cobra.Command {
	return noun("quarantine", "See and end the stop of all exchange with a council", `A council's log only grows. When one tells us two histories, or says that it has lost
what it signed, all exchange with that council stops at once: records, notices,
questions, cosignatures, in both directions. The two heads that its log signed are
kept as evidence. Only a person lets exchange go on, and our log notes that.`,
		a.quarantineListCommand(), a.quarantineShowCommand(), a.quarantineExportCommand(), a.quarantineEndCommand())
}

func (a *app) quarantineListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the councils with which all exchange is, or was, stopped",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			qs, err := a.node().Councils().Quarantines(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, qs)
			}
			if len(qs) == 0 {
				a.say("exchange was never stopped with anybody")
				return nil
			}
			t := newTable("COUNCIL", "SINCE", "ENDED", "BECAUSE")
			for _, q := range qs {
				ended := "no"
				if !q.Active {
					ended = at(q.EndedAt)
				}
				t.add(string(q.Council), at(q.Since), ended, q.Reason)
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func (a *app) quarantineShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show COUNCIL",
		Short: "Show why exchange was stopped, with both heads",
		Args:  takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			qs, err := a.node().Councils().Quarantines(cmd.Context())
			if err != nil {
				return err
			}
			var of []node.QuarantineReply
			for _, q := range qs {
				if string(q.Council) == args[0] {
					of = append(of, q)
				}
			}
			if len(of) == 0 {
				return failure(node.NotFound, "stile council quarantine list", "exchange with %s was never stopped", clean(args[0]))
			}
			if a.json {
				return emitLines(a, of)
			}
			for i, q := range of {
				if i > 0 {
					a.printf("\n")
				}
				a.printQuarantine(q)
			}
			return nil
		},
	}
}

func (a *app) printQuarantine(q node.QuarantineReply) {
	head := func(size uint64, root string) string {
		if root == "" {
			return "none: these were words alone"
		}
		return fmt.Sprintf("%s, root %s", plural(size, "entry", "entries"), root)
	}
	t := newTable("", "")
	t.add("council", string(q.Council))
	t.add("stopped", at(q.Since)+", entry "+number(q.Entry)+" of our log")
	t.add("because", q.Reason)
	if q.MetWith != "" {
		t.add("met with", q.MetWith)
	}
	t.add("held", head(q.HeldSize, q.HeldRoot))
	t.add("told", head(q.ToldSize, q.ToldRoot))
	if q.Proven {
		t.add("proof", "the two signed heads prove it by themselves")
	} else {
		t.add("proof", "none that convinces others by itself: that no proof leads from one head to the other is our word")
	}
	if !q.Active {
		follow := "the history we held"
		if q.Follow == "told" {
			follow = "the log anew, as the council tells it since"
		}
		t.add("ended", at(q.EndedAt)+", entry "+number(q.EndEntry)+" of our log")
		t.add("ended because", q.Because)
		t.add("followed", follow)
	}
	t.write(a.out, "")
}

func (a *app) quarantineExportCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "export COUNCIL --out FILE",
		Short: "Write the evidence as one file that stile-audit judges",
		Long: `Export writes both signed heads, and what else is known, into one file. Whoever gets
it runs "stile-audit evidence FILE", which needs no network and none of our word for
what two heads of one size prove. It holds no record.`,
		Example: `  stile council quarantine export northmoor.gov.uk --out northmoor.evidence.json`,
		Args:    takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return misused("name the file to write with --out; - is standard output")
			}
			r, err := a.node().Councils().Evidence(cmd.Context(), node.MemberNameRequest{Council: args[0]})
			if err != nil {
				return err
			}
			if err := a.writeNew(out, r.Evidence, 0o644); err != nil || out == "-" {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"council": r.Council, "file": out})
			}
			a.printf("wrote %s\n", clean(out))
			a.say("judge it with: stile-audit evidence %s", quoted(out))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "new `file` to write; - is standard output")
	return c
}

func (a *app) quarantineEndCommand() *cobra.Command {
	var follow, because string
	var yes bool
	c := &cobra.Command{
		Use:   "end COUNCIL --follow held|told --because TEXT",
		Short: "Let exchange with a council go on",
		Long: `End lets exchange with a council go on. Speak with it first. Our log notes that it was
ended, why, and the heads of the evidence, which stays.

With --follow held we go on from the history that we knew: the council has put its log
right. If it has not, exchange stops again. With --follow told the council's log begins
anew for us: all records we hold from it are erased, and copies start over. If we have
cosigned its log we never do so again, since that would vouch for two histories.

When it is our own log that was set back, see stile log status.`,
		Example: `  stile council quarantine end northmoor.gov.uk --follow told \
    --because "restored from the backup of 1 November, says J. Hale, their head of ICT"`,
		Args: takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			council, err := name.ParseCouncil(args[0])
			if err != nil {
				return misused("%v", err)
			}
			what := "let exchange with %s go on from the history that we hold, and erase nothing"
			if follow == "told" {
				what = "erase all records that we hold from %s, let exchange go on, and copy them again from the history that it told last"
			}
			if err := a.sure(yes, what, council); err != nil {
				return err
			}
			r, err := a.node().Councils().EndQuarantine(cmd.Context(), node.EndQuarantineRequest{Council: string(council), Follow: follow, Because: because})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("exchange with %s goes on; entry %s of our log says so\n", r.Council, number(r.EndEntry))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&follow, "follow", "", "which history to go on from: `held` or told")
	f.StringVar(&because, "because", "", "why exchange may go on, which our log keeps")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}
