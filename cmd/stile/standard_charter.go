package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) standardCharterCommand() *cobra.Command {
	var req node.CharterRequest
	c := &cobra.Command{
		Use:   "charter TOOL",
		Short: "Count the valid records held from a supplier's product, and say so if asked",
		Long: `Charter counts what this node holds of the records that come from a product: live
records that its sources offered, each read against the log, and what was refused
when the source last offered it. TOOL is the reference of a record of ours in the
standard digital-tool, which says product and supplier. A source is what
"stile import --source" or a feed calls it; without --source those feeds count
whose tool is TOOL in stile.yaml.

With --publish the figures go into our record of the standard supplier-statement on
the product: signed, logged, and shared with whom an agreement on that standard says.
They take the place of what it said of the same standards; all else in it stays. The
register "charter" counts only standards of which a council's node has counted so.`,
		Example: `  stile standard charter planning-system --source acre-planning
  stile standard charter planning-system --publish`,
		Args: takes(1, 1, "the reference of a digital tool"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Tool = args[0]
			r, err := a.node().Standards().Charter(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s of %s\n", clean(r.Product), clean(r.Supplier))
			t := newTable("STANDARD", "SOURCE", "#HELD VALID", "#HELD BACK")
			for _, c := range r.Counts {
				t.add(c.Standard.String(), clean(c.Source), number(c.Valid), number(c.Held))
				if c.Damaged > 0 {
					a.say("%s of %s cannot be read on disk and do not count: stile doctor", plural(c.Damaged, "record", "records"), c.Source)
				}
			}
			t.write(a.out, "  ")
			if p := r.Published; p != nil {
				a.printf("issued as record %s, version %d, entry %s\n", p.Record, p.Version, number(p.Index))
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&req.Sources, "source", nil, "`name` of a source that the product is; may be given again")
	c.Flags().BoolVar(&req.Publish, "publish", false, "put what was counted into our supplier statement")
	return c
}
