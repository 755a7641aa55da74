package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) recordEraseCommand() *cobra.Command {
	var n naming
	var who personFlags
	var req node.EraseRequest
	var rule string
	var yes bool
	c := &cobra.Command{
		Use:   "erase [RECORD]",
		Short: "Erase a record of ours in all versions, here and at every partner",
		Long: `Erase takes the text of every version of a record, and what its salts are made from,
out of every file of this node, and orders every council and footprint that was given
something of it to do the same. The orders travel as withdrawals do: each is signed,
logged and receipted, and "stile status" lists those without a receipt by age. A record
that is there is deleted first.

In the log stays the hash of each version, with its place, number and date. It tells
nothing of what the record said, and the log, proofs and bundles made before go on to
verify. A bundle made afterwards says that the version was erased.

--person erases the records about one person, by a number that a standard says names a
person; "-" reads the number from standard input. A record that names others too is left
alone and listed; --shared erases it.

--rule erases the records that are due by a rule of stile.yaml ("all" for every rule), as
the running node does once a day. --dry-run tells how many, by standard and year, and
shows nothing of them. docs/erasure.md has examples of rules.

What it does not reach, people have to see to: the system that the record came from,
files that were exported or printed, bundles that were handed over, and copies of this
folder, until a backup made before is restored and the record is erased there again.

The reason is logged for good and goes to auditors, so it must name nobody.`,
		Example: `  stile record erase 26/0000001/PA --dry-run
  stile record erase 26/0000001/PA --reason "erasure request 2026/17"
  printf %s "$NINO" | stile record erase --person - --reason "erasure request 2026/17" --yes
  stile record erase --rule housing-cases --dry-run`,
		Args: takes(0, 1, "at most a record"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if rule != "" {
				if len(args) == 1 || who.person != "" || req.Reason != "" {
					return misused("--rule says which records and why: give no record, --person or --reason with it")
				}
				return a.eraseDue(cmd.Context(), rule, req.Try, yes)
			}
			if (len(args) == 1) == (who.person != "") {
				return misused("give a record or --person, and not both")
			}
			if len(args) == 1 {
				req.Record = args[0]
			}
			req.Standard = n.standard
			if req.Person, err = who.read(cmd.Context(), a); err != nil {
				return err
			}
			req.Scheme = who.scheme
			if !req.Try && strings.TrimSpace(req.Reason) == "" {
				return misused("give --reason, or --dry-run to see what would be erased")
			}
			ask := req
			ask.Try = true
			r, err := a.node().Records().Erase(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if !req.Try {
				if !yes && !a.json {
					a.printErasure(r)
				}
				if err := a.sure(yes, "erase this for good, here and wherever it went"); err != nil {
					return err
				}
				if r, err = a.node().Records().Erase(cmd.Context(), req); err != nil {
					return err
				}
			}
			if a.json {
				return a.emit(r)
			}
			a.printErasure(r)
			return nil
		},
	}
	n.flags(c, false)
	f := c.Flags()
	f.StringVar(&who.person, "person", "", "erase the records about the person whom this `number` names; - reads it")
	f.StringVar(&who.scheme, "scheme", "", "`scheme` of that number, where two persons could be meant")
	f.BoolVar(&req.Shared, "shared", false, "with --person, records that name others too")
	f.StringVar(&rule, "rule", "", "erase what is due by this `rule` of stile.yaml, or by all")
	f.StringVar(&req.Reason, "reason", "", "`why`, such as the number of the request; it is logged and must name nobody")
	f.BoolVar(&req.Try, "dry-run", false, "only list what would be erased, and where")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// eraseDue erases what is due by a rule, once somebody has seen how much that is.
func (a *app) eraseDue(ctx context.Context, rule string, try, yes bool) error {
	req := node.EraseDueRequest{Rule: rule, Try: true}
	if rule == "all" {
		req.Rule = ""
	}
	r, err := a.node().Records().EraseDue(ctx, req)
	if err != nil {
		return err
	}
	if !try {
		if !yes && !a.json {
			a.printDue(r)
		}
		if err := a.sure(yes, "erase what is due for good, here and wherever it went"); err != nil {
			return err
		}
		req.Try = false
		if r, err = a.node().Records().EraseDue(ctx, req); err != nil {
			return err
		}
	}
	if a.json {
		return a.emit(r)
	}
	a.printDue(r)
	return nil
}

func (a *app) printDue(r node.EraseDueReply) {
	for _, x := range r.Rules {
		from := "the newest version"
		if x.Date != "" {
			from = x.Date
		}
		a.printf("rule %s: %s after %s, of %s\n", x.Rule, x.After, from, x.Standard)
		a.printf("  due: %s of %s\n", number(x.Due), plural(x.Records, "record", "records"))
		for _, y := range x.Years {
			a.printf("  %d: %s\n", y.Year, number(y.Due))
		}
		if x.Undated > 0 {
			a.printf("  %s no date there, and are never due\n", plural(x.Undated, "record has", "records have"))
		}
		if !r.Try {
			a.printf("  %s erased in %s, and %s given to those who had them\n", plural(x.Erased, "record", "records"), plural(x.Versions, "version", "versions"), plural(x.Orders, "order", "orders"))
		}
	}
}

func (a *app) printErasure(r node.EraseReply) {
	erased, ordered := "erased", "ordered"
	if r.Try {
		erased, ordered = "would be erased", "would be ordered"
	}
	for _, x := range r.Records {
		switch {
		case x.Versions > 0:
			a.printf("record %s: %s %s here, entries %s of the log\n", x.Record, plural(x.Versions, "version", "versions"), erased, entryList(x.Entries))
		default:
			a.printf("record %s: nothing is left here that could be erased\n", x.Record)
		}
		if x.Former != nil {
			a.printf("  it was record %s of %s, which has ended: the sealed folder of that council, its backups and what it handed over (handover/ of the data folder, and files that were carried) hold it still: delete them once they are not needed as proof\n", x.Former.Record, x.Former.Council)
		}
		if x.MadeFrom != "" {
			a.printf("  a mapping made it from record %s\n", x.MadeFrom)
		}
		if x.Live {
			a.printf("  it is deleted for that and withdrawn\n")
		}
		for _, e := range x.Events {
			a.printf("  entry %s of the log says so\n", number(e))
		}
		for _, o := range x.Orders {
			to := string(o.To)
			if o.Footprint {
				to += " and all its members"
			}
			a.printf("  %s: %s, under %s", ordered, to, o.Agreement)
			if o.Entry > 0 {
				a.printf(", by entry %s of the log", number(o.Entry))
			}
			a.printf("\n")
		}
	}
	if r.Held > 0 {
		a.printf("%s that were held back %s\n", plural(r.Held, "offer", "offers"), erased)
	}
	for _, id := range r.Shared {
		a.printf("record %s names others too and is left alone; --shared erases it\n", id)
	}
	if len(r.Records) == 0 {
		a.say("nothing to erase")
	}
}

func entryList(list []uint64) string {
	var out []string
	for i, n := range list {
		if i == 10 {
			return strings.Join(append(out, "and others"), ", ")
		}
		out = append(out, number(n))
	}
	return strings.Join(out, ", ")
}
