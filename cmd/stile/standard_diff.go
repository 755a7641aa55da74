package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
)

func (a *app) standardDiffCommand() *cobra.Command {
	var against string
	c := &cobra.Command{
		Use:   "diff FROM TO",
		Short: "Say in words what changed between two versions of a standard",
		Long: `Diff compares two versions of a standard and says of each difference which step
of the version number it asks for:

  wording   (patch) what is valid and who may see it stay as they were
  addition  (minor) it asks nothing of those who hold records already
  breaking  (major) a record that was valid may no longer be, something a reader
            relied on is gone, or less is protected than agreements were signed for

What it cannot tell to be harmless it says so of, and counts as major. It also
tries the examples of each version by the schema of the other.

With --against records it also judges the node's own records of FROM by TO: how
many would be valid, and which rule the others would break, where. It names
records by their id and never tells a value.

Each of the two is a folder, an archive, the name of a standard that the node has
adopted or, where there is no node, of one that comes with Stile.`,
		Example: `  stile standard diff ./housing-need-1.1.0 ./housing-need-1.2.0
  stile standard diff standards.stile.example/housing-need@1.0.0 ./mine --against records`,
		Args: takes(2, 2, "two versions of a standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if against != "" && against != "records" {
				return misused("--against: want records")
			}
			var both [2]*standard.Standard
			for i, named := range args {
				std, err := a.standardFor(cmd.Context(), named)
				if err != nil {
					return err
				}
				both[i] = std
			}
			d := compared(standard.Compare(both[0], both[1]))
			if against != "" {
				from := both[0].Name().String()
				if isLine(args[0]) {
					from = both[0].Name().Line().String()
				}
				var err error
				if d.Records, err = a.judgeTyped(cmd.Context(), from, args[1]); err != nil {
					return err
				}
			}
			if a.json {
				return a.emit(d)
			}
			a.printVersions(d.Difference)
			if d.Problem != nil {
				a.printf("%s\n", versionAdvice(d.Problem))
			}
			if d.Records != nil {
				a.printAgainst(d.Records)
			}
			return nil
		},
	}
	c.Flags().StringVar(&against, "against", "", "`records`: judge the node's own records of FROM by TO")
	return c
}

// A difference is what the command answers with --json.
type difference struct {
	*node.Difference
	Problem *node.Problem      `json:"problem,omitempty"` // of the version number
	Records *node.AgainstReply `json:"records,omitempty"` // how our own records would fare
}

func compared(d *standard.Difference) difference {
	return difference{Difference: d, Problem: standard.VersionProblem(d)}
}

// printVersions prints what changed, the gravest first.
func (a *app) printVersions(d *node.Difference) {
	what := d.From.String() + " to " + d.To.Version.String()
	if d.From.Name != d.To.Name {
		what = d.From.String() + " to " + d.To.String()
	}
	if len(d.Changes) == 0 {
		a.printf("%s: nothing changed\n", what)
		return
	}
	a.printf("%s: %s, which %s a %s version\n", what, plural(len(d.Changes), "change", "changes"),
		map[bool]string{true: "asks for", false: "ask for"}[len(d.Changes) == 1], d.Needs)
	a.printDifference(d)
}

// versionAdvice words what is wrong with a version number.
func versionAdvice(p *node.Problem) string {
	_, heading, _ := strings.Cut(p.Pointer, "#/")
	return clean(fmt.Sprintf("its %s %s: %s", heading, p.Detail, p.Fix))
}
