package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
)

// An adoption is what stile standard adopt tells with --json.
type adoption struct {
	Preview *node.AdoptPreview `json:"preview"`
	Records *node.AgainstReply `json:"records,omitempty"` // how our own records would fare
	Adopted *node.AdoptReply   `json:"adopted,omitempty"` // nil when nothing was done
}

func (a *app) standardAdoptCommand() *cobra.Command {
	var yes, dry, evenRetired bool
	var waive []string
	c := &cobra.Command{
		Use:   "adopt NAME@VERSION|DIR|ARCHIVE",
		Short: "Adopt a standard, after a look at what that would mean",
		Long: `Adopt takes a version of a standard into use. It is looked for in the directory
and among those that come with Stile; a folder or an archive (.zip or .tar.gz)
will do too. A name without a version is the newest there is.

Where the node has an older version, adopt first tells the difference in words,
how many of the council's own records would be valid under the new version and
which would not, and the agreements it touches. Then it asks; --yes answers. No
record changes by it: each stays in the version it was taken in under until it
is offered again. A version once adopted stays as it is, and other bytes under
the same version are refused.

A standard of which stile standard lint tells an error is not adopted. Where its
publisher broke a rule of JSON Schema on which nothing hangs that any record
says, --waive RULE adopts it as it is; the rule is logged with the adoption.
What can be waived: ` + strings.Join(standard.Waivable(), ", ") + `.`,
		Example: `  stile standard adopt standards.stile.example/housing-need@1.1.0
  stile standard adopt ./digital-planning --dry-run
  stile standard adopt housing-need --yes`,
		Args: takes(1, 1, "a standard, a folder or an archive"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.standardSource(args[0])
			if err != nil {
				return err
			}
			req.EvenRetired, req.Waive = evenRetired, waive
			return a.adopt(cmd.Context(), req, args[0], yes, dry)
		},
	}
	f := c.Flags()
	f.BoolVar(&yes, "yes", false, "adopt without asking")
	f.BoolVar(&dry, "dry-run", false, "tell what it would mean and adopt nothing")
	f.StringArrayVar(&waive, "waive", nil, "adopt in spite of what lint tells of this `rule`; may be repeated")
	f.BoolVar(&evenRetired, "even-retired", false, "adopt a version that its publisher has retired")
	return c
}

// standardSource reads what a person typed for a standard: a folder, an archive
// or a name.
func (a *app) standardSource(typed string) (req node.AdoptRequest, err error) {
	st, err := os.Stat(typed)
	switch {
	case err == nil && st.IsDir():
		std, err := loadStandard(typed)
		if err != nil {
			return req, err
		}
		req.Archive = std.Archive()
	case err == nil:
		if req.Archive, err = a.readFile(typed, 32<<20); err != nil {
			return req, err
		}
	case looksLikePath(typed):
		return req, failure(node.NotFound, "look at the path again; stile standard list --shipped shows the names that come with Stile", "there is no folder or archive %q", typed)
	default:
		req.Name = typed
	}
	return req, nil
}

func (a *app) adopt(ctx context.Context, req node.AdoptRequest, typed string, yes, dry bool) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.Standards().Preview(ctx, req)
	if err != nil {
		return err
	}
	if req.Name != "" {
		req.Name = p.Name.String() // what was shown is what is adopted
	}
	out := adoption{Preview: &p}
	if p.Older != nil && p.Records > 0 && !p.Adopted {
		if out.Records, err = a.judgeRecords(ctx, c.Operations, p.Older.Line().String(), req); err != nil {
			return err
		}
	}
	if p.Adopted {
		if a.json {
			return a.emit(out)
		}
		a.printf("%s is adopted already, with the same bytes\n", p.Name)
		return nil
	}
	if !a.json {
		a.printPreview(&p, out.Records)
	}
	if dry {
		if a.json {
			return a.emit(out)
		}
		return nil
	}
	retired := p.Status == string(standard.Retired)
	if retired && !req.EvenRetired {
		return failure(node.Refused, "stile standard adopt "+typed+" --even-retired, or a newer version", "%s is retired: its publisher asks councils to leave it", p.Name)
	}
	if p.Older != nil || retired {
		if err := a.sure(yes, "adopt %s", p.Name); err != nil {
			if a.json {
				return errors.Join(a.emit(out), err)
			}
			return err
		}
	}
	r, err := c.Standards().Adopt(ctx, req)
	if err != nil {
		return err
	}
	if out.Adopted = &r; a.json {
		return a.emit(out)
	}
	a.printf("adopted %s: %s\n", r.Name, clean(r.Title))
	if len(r.Waived) > 0 {
		a.printf("waived, and logged so: %s\n", clean(strings.Join(r.Waived, ", ")))
	}
	return nil
}

// printHeadroom tells how far the dearest example is from what a record may cost.
func (a *app) printHeadroom(costs []node.ExampleCost) {
	if len(costs) == 0 {
		return
	}
	share := func(c node.ExampleCost) float64 { return float64(c.Steps) / float64(c.Limit) }
	dearest := slices.MaxFunc(costs, func(x, y node.ExampleCost) int { return cmp.Compare(share(x), share(y)) })
	a.printf("  checked %s; the dearest takes %.1f%% of what a record may cost (%s)\n", plural(len(costs), "valid example of its own", "valid examples of its own"), 100*share(dearest), clean(dearest.File))
	for _, c := range costs {
		if c.UnjudgedAt > 0 {
			a.printf("  a record like %s of %s kB would not be judged: it would cost more than any record may\n", clean(c.File), number((c.UnjudgedAt+500)/1000))
		}
	}
}

var originWords = map[string]string{
	"directory": "the directory", "shipped": "comes with Stile", "file": "a file of yours", "adopted": "adopted here",
}

// printPreview tells what adopting a version would mean.
func (a *app) printPreview(p *node.AdoptPreview, records *node.AgainstReply) {
	a.printf("%s: %s\n", p.Name, clean(p.Title))
	t := newTable("", "")
	t.add("published by", string(p.Publisher))
	status := p.Status
	var steps []string
	for _, s := range p.History {
		steps = append(steps, fmt.Sprintf("%s from %s", s.Status, s.On))
	}
	if len(steps) > 0 {
		status += " (" + strings.Join(steps, ", ") + ")"
	}
	t.add("status", status)
	t.add("from", originWords[p.Origin])
	if p.Licence != "" {
		t.add("licence", p.Licence)
	}
	t.add("schema", p.Integrity)
	t.write(a.out, "  ")
	a.printHeadroom(p.Costs)
	for _, ad := range p.Advice {
		a.printf("  its publisher might mend: %s\n", clean(problemLine(ad)))
	}
	switch {
	case p.Older == nil && p.Later == nil:
		a.printf("\nIt is the first version of this standard here.\n")
	case p.Older == nil:
		a.printf("\nIt is an earlier version than %s, which is adopted here, and stands beside it: records that others send in it can be checked.\n", p.Later)
		if len(p.Means) == 0 {
			a.printf("What is imported into %s without a full version goes on as before.\n", p.Name.Line())
		}
	default:
		a.printf("\nCompared with %s, which is adopted here. ", p.Older)
		a.printVersions(p.Difference)
		if p.Version != nil {
			a.printf("Its number does not say so: %s\n", versionAdvice(p.Version))
		}
	}
	if p.Older != nil {
		a.printf("\n")
		if records == nil {
			a.printf("There are no records of %s here.\n", p.Older.Line())
		} else {
			a.printAgainst(records)
			if p.Older.Line() == p.Name.Line() {
				a.printf("No record changes: each stays in its version until it is offered again.\n")
			} else {
				a.printf("No record changes: %s stays beside %s, and each record in its own.\n", p.Older.Line(), p.Name.Line())
			}
		}
	}
	if p.Older != nil && p.Later != nil {
		a.printf("It is an earlier version than %s, which is adopted here, too, and goes on.\n", p.Later)
	}
	if len(p.Means) > 0 {
		a.printf("Whoever imports into %s without a full version is held to %s from then on.\n", strings.Join(p.Means, ", or into "), p.Name.Version)
	}
	a.printEffects(p)
	for _, m := range p.Mappings {
		a.printf("\nIts publisher ships a mapping from major %d; stile standard serve %s --from %d would make such records by it:\n", m.From, p.Name.Line(), m.From)
		for i, s := range m.Steps {
			a.printf("  %d. %s\n", i+1, clean(s))
		}
		for _, q := range m.Problems {
			a.printf("  wrong with it: %s\n", clean(problemLine(q)))
		}
	}
	if p.Mapped != nil {
		a.printf("\nRecords of %s are made from those of %s here, in the version they are made in now.\n  stile standard serve %s makes them anew in this one, once it is adopted.\n", p.Name.Line(), p.Mapped.From, p.Name.Line())
	}
	a.printf("\n")
}

var levelWords = map[node.Level]string{"major": "breaking", "minor": "addition", "patch": "wording"}

// printDifference tells what changed between two versions, the gravest first.
func (a *app) printDifference(d *node.Difference) {
	for _, ch := range d.Changes {
		at := ch.Pointer
		if at == "" {
			at = "(the whole record)"
		}
		a.printf("  %s: %s %s\n", levelWords[ch.Level], clean(at), clean(ch.What))
		if ch.Why != "" {
			a.printf("      %s\n", clean(ch.Why))
		}
	}
}

// printEffects tells what becomes of agreements.
func (a *app) printEffects(p *node.AdoptPreview) {
	for i, e := range p.Agreements {
		if i == 0 {
			a.printf("\nAgreements over this standard:\n")
		}
		who := "we receive"
		if e.Sends {
			who = "we send"
		}
		a.printf("  %s (%s)\n", e.Agreement, who)
		switch {
		case e.Other:
			a.printf("    is over %s, and nothing of %s leaves under it\n", e.Standard, p.Name.Line())
		case len(e.Because) == 0 && !e.Stops:
			a.printf("    goes on as it is\n")
		}
		for _, b := range e.Because {
			a.printf("    %s\n", clean(b))
		}
		if e.Stops {
			a.printf("    so no record of %s leaves under it until both sides sign a new text\n", p.Name)
		}
	}
}
