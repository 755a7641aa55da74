package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) auditDrawCommand() *cobra.Command {
	v := &adoptionView{app: a}
	publish := false
	c := &cobra.Command{
		Use:   "draw [STANDARD]",
		Short: "Draw the statements that a yearly audit looks at, or say when that is due",
		Long: `Draw picks compliance statements at random out of those that this node holds, so that
an audit asks some councils and not all. It is for the standards body, or whoever holds
the statements. The seed should be words that nobody could know when the statements were
made, such as a minute of a meeting: those are drawn of which the SHA-256 of the seed, a
zero byte, and "COUNCIL STANDARD STATEMENT" is smallest, so that whoever has the same
statements and the seed draws the same.

With --publish the draw is signed as a record of the standard adoption-draw, which must
have been adopted ("stile standard adopt adoption-draw"). The pages of adoption then say
what was drawn, by whom and by which words, and when the next draw is due, a year later;
and they have it as a file, adoption.drawn.json, for "stile audit adoption --drawn". Who
draws again, by other words, publishes a second record beside the first.

Without --size and --seed it says which draws are known here, whether the newest comes
out the same when it is drawn again, and when the next is due.`,
		Example: `  stile audit draw
  stile audit draw --size 12 --seed "audit board, minute 7 of 14 January" --publish
  stile audit draw brownfield-site --size 5 --seed "audit board, minute 8" --json > drawn.json`,
		Args: takes(0, 1, "at most one standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			req, err := v.request(args)
			if err != nil {
				return err
			}
			if v.sample.Size == 0 && v.sample.Seed == "" && len(args) == 0 && v.at == "" && !publish {
				return v.draws(ctx)
			}
			if v.sample.Size == 0 || v.sample.Seed == "" {
				return misused("say with --size how many to draw, and with --seed by which words")
			}
			c, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			if publish {
				if err := hasAdopted(ctx, c.Operations, registers.DrawStandard); err != nil {
					return err
				}
			}
			r, err := c.Standards().Adoption(ctx, req)
			if err != nil {
				return err
			}
			d := registers.DrawFrom(&r, v.sample)
			d.Standard = req.Standard
			if d.Of == 0 {
				return failure(node.NotFound, "stile standard adoption", "no statement is held here to draw from; a council shares its own by an agreement on compliance-statement")
			}
			if err := v.printDraw(d); err != nil || !publish {
				return err
			}
			put, err := putOne(ctx, c.Operations, registers.DrawStandard, d)
			if err == nil && !v.json {
				v.printf("signed as version %s of record %s: %s\n", number(put.Version), put.Record, put.Outcome)
			}
			return err
		},
	}
	f := c.Flags()
	f.IntVar(&v.sample.Size, "size", 0, "draw this `number` of statements")
	f.StringVar(&v.sample.Seed, "seed", "", "`words` to draw by")
	f.StringVar(&v.at, "at", "", "from the statements as at the end of this `date`; default now")
	f.BoolVar(&publish, "publish", false, "sign what was drawn as a record")
	return c
}

// draws says which draws are known here, and when the next is due.
func (v *adoptionView) draws(ctx context.Context) error {
	// That no record of a draw is found must not mean that no node is.
	if _, err := v.node().Log().Show(ctx); err != nil {
		return err
	}
	all, err := registers.ReadAudits(ctx, v.node(), v.clock())
	if err != nil {
		return err
	}
	if v.json {
		return v.emit(all)
	}
	for _, d := range all.Draws {
		v.printf("%s drew %d of %s, as at %s, by the seed %s: entry %s\n", d.By, len(d.Draw.Drawn), plural(d.Draw.Of, "statement", "statements"), d.Draw.At, quoted(clean(d.Draw.Seed)), d.Entry)
	}
	switch {
	case len(all.Draws) == 0:
		v.printf("No draw is known here. One is due each year: stile audit draw --size N --seed WORDS --publish\n")
		return nil
	case all.Again:
		v.printf("Drawn again from the statements held here, the newest comes out the same.\n")
	default:
		v.printf("Drawn again from the statements held here, the newest comes out differently: some of those\nit was drawn from are not here, or others came later, or it was not drawn so.\n")
	}
	was := "is"
	if all.Overdue {
		was = "was"
	}
	v.printf("The next draw %s due by %s.\n", was, all.Due)
	return nil
}

// printDraw prints what was drawn, and what each council is asked for.
func (v *adoptionView) printDraw(d registers.Draw) error {
	if v.json {
		return v.emit(d)
	}
	if d.Of == 0 {
		v.say("no statement is held here; a council shares its own by an agreement on compliance-statement")
		return nil
	}
	t := newTable("COUNCIL", "STANDARD", "COUNTED", "#RECORDS", "STATEMENT")
	for _, one := range d.Drawn {
		t.add(string(one.Council), one.Standard.String(), one.ComputedOn, strconv.Itoa(one.Records), string(one.Record))
	}
	t.write(v.out, "")
	v.printf("%d of %s, as at %s, drawn by the seed %s\n", len(d.Drawn), plural(d.Of, "statement", "statements"), d.At, quoted(clean(d.Seed)))
	v.printf("\nAsk each council for a file:\n")
	for _, one := range d.Drawn {
		v.printf("  %s: stile export bundle --standard %s --statement %s --full --out %s-%s.stile\n", one.Council, one.Standard, one.Record, one.Council, one.Standard.Name.Slug())
	}
	v.printf("Then hold what they send against the draw, which --json prints: stile audit adoption *.stile --drawn drawn.json\n")
	return nil
}

// A recount is what came of the statements that were drawn.
type recount struct {
	Agree, Differ, Missing int
}

// hold holds what was counted again against a draw.
func (v *verifying) hold(file string, reports []*audit.AdoptionReport) error {
	b, err := v.readFile(file, 64<<20)
	if err != nil {
		return err
	}
	var d registers.Draw
	if err := json.Unmarshal(b, &d); err != nil || d.Lot == "" || d.Size < 1 || len(d.Drawn) > audit.MaxSample {
		return failure(node.Invalid, "take what this prints: stile audit draw --size N --seed WORDS --json", "%s: it is no draw of statements", short(file))
	}
	by := map[name.Record]*audit.AdoptionReport{}
	for _, r := range reports {
		if r.Statement != nil {
			by[r.Record] = r
		}
	}
	var n recount
	var missing []string
	lines := []map[string]any{}
	t := newTable("COUNCIL", "STANDARD", "COUNTED AGAIN")
	for _, one := range d.Drawn {
		said := "missing"
		switch r := by[one.Record]; {
		case r == nil || r.Council != one.Council || r.Statement.Standard != one.Standard:
			n.Missing++
			missing = append(missing, string(one.Council))
		case r.OK():
			said = "agrees"
			n.Agree++
		default:
			said = "differs"
			n.Differ++
		}
		t.add(string(one.Council), one.Standard.String(), said)
		lines = append(lines, map[string]any{"council": one.Council, "standard": one.Standard, "record": one.Record, "result": said})
	}
	if v.json {
		if err := v.emitLine(map[string]any{"seed": d.Seed, "lot": d.Lot, "of": d.Of, "agree": n.Agree, "differ": n.Differ, "missing": n.Missing, "drawn": lines}); err != nil {
			return err
		}
	} else {
		v.printf("\n")
		t.write(v.out, "")
		v.printf("Of %s drawn from %d: %d agree, %d differ, %d missing\n", plural(len(d.Drawn), "statement", "statements"), d.Of, n.Agree, n.Differ, n.Missing)
	}
	switch {
	case n.Differ > 0:
		return failure(node.Unverified, "ask the council how it came by the figures that differ", "%s not borne out by their records", plural(n.Differ, "statement is", "statements are"))
	case n.Missing > 0:
		return failure(node.NotFound, "ask them for: stile export bundle --standard STANDARD --statement STATEMENT --full --out FILE", "no bundle is here of the statement of %s", clean(strings.Join(missing, ", ")))
	}
	return nil
}
