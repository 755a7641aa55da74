package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) standardLintCommand() *cobra.Command {
	var previous string
	c := &cobra.Command{
		Use:   "lint DIR|ARCHIVE",
		Short: "Tell a publisher all that is wrong or unusual about a standard",
		Long: `Lint reads a standard from a folder or an archive and tells all that it finds at
once, each with where it stands and what to do, and what checking each of its
valid examples costs, of what a record of that size may cost:

  error    no council can, or none should, adopt it as it is
  warning  it can be adopted, and is likely not what its publisher means
  note     for a person to know or decide

With --previous it also says what changed since that version, whether the version
number is a large enough step, and what is wrong with a mapping from that major.
It needs no node. It ends with exit code 5
when there is an error, and with 0 when there are only warnings and notes.`,
		Example: `  stile standard lint ./housing-need
  stile standard lint ./housing-need --previous standards.stile.example/housing-need@1.0.0
  stile standard lint housing-need-1.2.0.zip --json`,
		Args: takes(1, 1, "a folder or an archive"),
		RunE: func(cmd *cobra.Command, args []string) error {
			std, found, err := lintAt(args[0])
			if err != nil {
				return err
			}
			r := lintReply{Findings: found}
			if std != nil {
				n := std.Name()
				r.Standard, r.Integrity, r.Costs = &n, std.Integrity(), std.Costs()
				if abs, err := filepath.Abs(args[0]); err == nil {
					if f := std.CheckFolder(filepath.ToSlash(abs)); f != nil {
						r.Findings = append([]standard.Finding{*f}, r.Findings...)
					}
				}
			}
			if previous != "" {
				if std == nil {
					a.say("it is not compared with %s: it cannot be loaded", previous)
				} else {
					old, err := a.standardFor(cmd.Context(), previous)
					if err != nil {
						return err
					}
					d := compared(standard.Compare(old, std))
					r.Difference = &d
					if p := d.Problem; p != nil {
						f := standard.Finding{Severity: standard.SeverityError, File: "standard.yaml", Pointer: p.Pointer[len("standard.yaml#"):], Rule: p.Rule, Detail: p.Detail, Fix: p.Fix}
						r.Findings = append([]standard.Finding{f}, r.Findings...)
					}
					for _, p := range std.CheckMapping(old) {
						f := standard.Finding{Severity: standard.SeverityWarning, Rule: p.Rule, Detail: p.Detail, Fix: p.Fix}
						if p.Rule == standard.RuleMappingClass {
							f.Severity = standard.SeverityError // no node would serve by it
						}
						f.File, f.Pointer, _ = strings.Cut(p.Pointer, "#")
						r.Findings = append(r.Findings, f)
					}
				}
			}
			count := map[standard.Severity]int{}
			for _, f := range r.Findings {
				count[f.Severity]++
			}
			if a.json {
				if err := a.emit(r); err != nil {
					return err
				}
			} else {
				if r.Difference != nil {
					a.printVersions(r.Difference.Difference)
				}
				a.printFindings(r.Findings)
				a.printCosts(r.Costs)
			}
			what := args[0]
			if std != nil {
				what = std.Name().String()
			}
			summary := plural(count[standard.SeverityError], "error", "errors") + ", " + plural(count[standard.SeverityWarning], "warning", "warnings") + " and " +
				plural(count[standard.SeverityNote], "note", "notes")
			if count[standard.SeverityError] > 0 {
				return failure(node.Invalid, "do what each error says and lint again", "%s: %s", what, summary)
			}
			if !a.json {
				if len(r.Findings) == 0 {
					a.printf("%s is good\n", what)
				} else {
					a.say("%s can be adopted: %s", what, summary)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&previous, "previous", "", "compare with this `version`: a folder, an archive or a name")
	return c
}

// A lintReply is what the command answers with --json.
type lintReply struct {
	Standard  *name.Standard     `json:"standard,omitempty"` // absent when it cannot be loaded
	Integrity string             `json:"integrity,omitempty"`
	Findings  []standard.Finding `json:"findings"`

	Costs      []standard.ExampleCost `json:"costs,omitempty"`      // of its valid examples
	Difference *difference            `json:"difference,omitempty"` // from --previous
}

// lintAt lints a folder or an archive; its error is that there is none.
func lintAt(path string) (*standard.Standard, []standard.Finding, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, failure(node.NotFound, "look at the path again", "there is no folder or archive %q", path)
	case err != nil:
		return nil, nil, err
	case st.IsDir():
		std, found := standard.Lint(os.DirFS(path))
		return std, found, nil
	case st.Size() > 64<<20:
		return nil, nil, failure(node.Invalid, "leave out what is not part of the standard", "%s is larger than a standard may be", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	std, found := standard.LintArchive(b)
	return std, found, nil
}

// printFindings prints findings as a compiler does, so that editors can follow
// them: file:line, then what and what to do.
func (a *app) printFindings(found []standard.Finding) {
	for _, f := range found {
		where := f.File
		if where == "" {
			where = "standard"
		}
		if f.Line > 0 {
			where += ":" + strconv.Itoa(f.Line)
		}
		if f.Pointer != "" {
			where += " " + f.Pointer
		}
		a.printf("%s\n  %s (%s): %s\n", clean(where), f.Severity, f.Rule, clean(f.Detail))
		if f.Fix != "" {
			a.printf("  to do: %s\n", clean(f.Fix))
		}
	}
}

// printCosts tells what checking the examples costs, the dearest first.
func (a *app) printCosts(costs []standard.ExampleCost) {
	if len(costs) == 0 {
		return
	}
	a.printf("what it costs to check its examples, in steps, and how much of what a record may cost that is\n")
	slices.SortStableFunc(costs, func(x, y standard.ExampleCost) int {
		return cmp.Compare(float64(y.Steps)/float64(y.Limit), float64(x.Steps)/float64(x.Limit))
	})
	t := newTable("EXAMPLE", "#BYTES", "#STEPS", "#MAY TAKE", "#SHARE")
	for _, c := range costs[:min(len(costs), 10)] {
		t.add(c.File, number(c.Bytes), number(c.Steps), number(c.Limit), fmt.Sprintf("%.1f%%", 100*float64(c.Steps)/float64(c.Limit)))
	}
	t.write(a.out, "  ")
	if n := len(costs) - 10; n > 0 {
		a.printf("  and %s, each cheaper\n", plural(n, "more", "more"))
	}
}
