package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

// A register is a source whose files are offered as a whole, again and again.
type register struct {
	source   string
	complete bool
	most     string // deletions that need no question: a number, or with % of what the source had
	yes      bool

	run node.Run
}

func (g *register) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&g.source, "source", "", "`name` of the register that the files are of; what it offered is remembered, and rows refused before in the same bytes are told from new ones")
	f.BoolVar(&g.complete, "complete", false, "the files are the whole of the source: delete its records that are not in them")
	f.StringVar(&g.most, "most-deleted", "10%", "with --complete, how many records may go without a question: a `number`, or a percentage of the source's records")
	f.BoolVar(&g.yes, "yes", false, "with --complete, delete however many are absent, without a question")
}

func (g *register) check(dryRun, all bool) error {
	switch {
	case g.complete && g.source == "":
		return misused("--complete needs --source NAME: only what that source offered before is deleted")
	case g.source != "" && (dryRun || all):
		return misused("--source goes with an import that keeps what is good: not with --dry-run or --all-or-nothing")
	}
	if g.complete { // check and footprint import have no such flag
		_, err := g.limit(0)
		return err
	}
	return nil
}

// limit returns how many of a source's records may be deleted without a question.
func (g *register) limit(records int) (int, error) {
	text, share := strings.CutSuffix(g.most, "%")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || share && n > 100 {
		return 0, misused("--most-deleted: want a number such as 50, or a percentage such as 10%%")
	}
	if share {
		n = records * n / 100
	}
	return n, nil
}

// begin begins a run of the source.
func (im *importer) begin(ctx context.Context) (err error) {
	if im.source == "" {
		return nil
	}
	g, ok := im.gate.(nodeGate)
	if !ok {
		return misused("--source goes with an import into a node")
	}
	im.register.run, err = g.Records().Begin(ctx, node.SourceRequest{Source: im.source, Standard: im.standard})
	return err
}

// eachWhole reads the files and settles what they lack. A file that was not
// complete when it was read lacks more than the register does, so that what
// changed meanwhile deletes nothing.
func (im *importer) eachWhole(ctx context.Context, files []string) error {
	if !im.complete {
		return im.each(ctx, files)
	}
	for _, f := range files {
		if f == "-" {
			return misused("--complete wants files: nobody can tell that standard input was whole")
		}
	}
	before, err := stamps(files)
	if err != nil {
		return err
	}
	if err := im.each(ctx, files); err != nil {
		return err
	}
	after, err := stamps(files)
	if err != nil {
		return err
	}
	for i := range before {
		if before[i] != after[i] {
			return failure(node.Conflict, "run it again once the file is complete", "%q changed while it was read: its rows were taken, and nothing was deleted", files[i])
		}
	}
	return im.settle(ctx)
}

// settle deletes what the source does not have any more, if it may.
func (im *importer) settle(ctx context.Context) error {
	t := im.tally
	if t.broken > 0 {
		t.note("nothing was deleted: a file could not be read to its end, so that nobody knows what it lacks")
		return nil
	}
	records := im.gate.(nodeGate).Records()
	a, err := records.Absent(ctx, im.register.run)
	if err != nil {
		return err
	}
	switch {
	case a.Absent == 0:
		return nil
	case a.Unidentified > 0:
		t.note("nothing was deleted, though " + plural(a.Absent, "record", "records") + " of the source did not come: " +
			plural(a.Unidentified, "refused row has", "refused rows have") + " no key that can be read, and may be one of them")
		return nil
	}
	limit, err := im.limit(a.Absent + a.Offered)
	if err != nil {
		return err
	}
	what := plural(a.Absent, "record", "records") + " of " + number(a.Absent+a.Offered) + " that " + im.source + " offered before are not in it now"
	if a.Absent > limit && !im.yes {
		t.bar.stop()
		if !isTerminal(im.in) || !isTerminal(im.err) {
			t.absent = a.Absent
			return nil
		}
		if err := im.sure(false, "%s; delete them", what); err != nil {
			t.absent = a.Absent
			return nil
		}
	}
	r, err := records.DeleteAbsent(ctx, node.DeleteAbsentRequest{Run: im.register.run, Absent: a.Absent})
	if err != nil {
		return err
	}
	t.deleted, t.gone = r.Deleted, t.gone+r.Withdrawn
	return nil
}

// held is the error of an import that would have deleted more than it may.
func (t *tally) held() error {
	return failure(node.Refused, "look at the file; then --most-deleted or --yes lets them go", "the rows were taken, and nothing was deleted: %s that %s offered before are not in it now, more than --most-deleted %s lets go",
		plural(t.absent, "record", "records"), t.im.source, t.im.most)
}
