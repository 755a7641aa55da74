package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementLintCommand() *cobra.Command {
	var version int
	c := &cobra.Command{
		Use:   "lint FILE|NAME",
		Short: "Say what a reviewer would say of an agreement",
		Long: `Lint reads an agreement and tells all at once that a reviewer would, each with the
heading and line where it stands and what to do:

  error    it cannot be signed as it is
  warning  it can be signed, and a data protection officer would ask
  note     for a person to know or decide

It looks at the rows and fields that the nodes would enforce, and at the words: an
impact assessment without a reference, records kept for longer than the purpose
speaks of, every field or every record, special category data without a condition
or in every answer to a question, a lawful basis that a council seldom has, no word
on breaches or on what becomes of the records, a date of review that is far off.
It is no legal advice. It needs no node when the standard comes with Stile or is
named by its folder. It ends with exit code 5 when there is an error, and with 0
when there are only warnings and notes.`,
		Example: `  stile agreement lint agreement.yaml
  stile agreement lint northmoor.gov.uk/people-moving-to-saltby --json`,
		Args: takes(1, 1, "a file or the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, _, err := a.evidence(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			std, err := a.standardFor(cmd.Context(), doc.Standard.String())
			if err != nil {
				return err
			}
			var lines map[string]int
			file := ""
			if b, err := os.ReadFile(args[0]); err == nil {
				lines, file = agreement.Lines(b), args[0]
			}
			found := doc.Lint(std, today())
			count := map[standard.Severity]int{}
			for i, f := range found {
				count[f.Severity]++
				found[i].File, found[i].Line = file, lineOf(lines, f.Pointer)
			}
			if a.json {
				if err := a.emit(agreementLintReply{Agreement: string(doc.Name), Version: doc.Version, Findings: append([]standard.Finding{}, found...)}); err != nil {
					return err
				}
			} else {
				a.printAgreementFindings(found)
			}
			summary := plural(count[standard.SeverityError], "error", "errors") + ", " + plural(count[standard.SeverityWarning], "warning", "warnings") + " and " +
				plural(count[standard.SeverityNote], "note", "notes")
			if count[standard.SeverityError] > 0 {
				return failure(node.Invalid, "do what each error says and lint again", "%s: %s", doc.Name, summary)
			}
			if !a.json {
				a.say("%s can be signed: %s", doc.Name, summary)
			}
			return nil
		},
	}
	c.Flags().IntVar(&version, "version", 0, "`version` of a named agreement; default: the newest")
	return c
}

// An agreementLintReply is what the command answers with --json.
type agreementLintReply struct {
	Agreement string             `json:"agreement"`
	Version   int                `json:"version"`
	Findings  []standard.Finding `json:"findings"`
}

// lineOf returns the line of a heading, or of the one that it stands below.
func lineOf(lines map[string]int, pointer string) int {
	for p := pointer; p != ""; {
		if n := lines[p[1:]]; n > 0 {
			return n
		}
		i := len(p) - 1
		for i > 0 && p[i] != '/' {
			i--
		}
		p = p[:i]
	}
	return 0
}

func (a *app) printAgreementFindings(found []standard.Finding) {
	for i, f := range found {
		if f.File == "" {
			found[i].File = "agreement"
		}
	}
	a.printFindings(found)
}
