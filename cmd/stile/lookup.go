package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

func (a *app) lookupCommand() *cobra.Command {
	var req node.LookupRequest
	var token bool
	c := &cobra.Command{
		Use:   "lookup AGREEMENT /FIELD --because REASON",
		Short: "Ask another council for one record, under an agreement of mode lookup or private-lookup",
		Long: `Lookup asks the council at the other end of an agreement for the record that has a
value in one field. The answer shows the fields that were agreed and no others, is
checked against the other council's signature and log, and is not kept.

The value is read from standard input, a line of it; at a terminal it is asked for. It
can be written on the command line as /FIELD=VALUE, where others who use this machine
may see it.

Both councils log the question with its reason, and that it was answered; the value
stands in neither log. It asks by the value exactly as the other council writes it.

Under mode private-lookup the value travels hidden (RFC 9497): the other council answers
without learning it, or whether it has such a record. The answer is yes or no. With --show
and a yes a second question says about whom, and is answered with the record. Both
questions count, and give a case reference with --case.

"stile lookup list" shows what was asked and answered.`,
		Example: `  stile lookup northmoor.gov.uk/cases /nino --because "case 2026/77"
  printf %s "$NINO" | stile lookup northmoor.gov.uk/cases /nino --because "case 2026/77" --json
  stile lookup northmoor.gov.uk/refusals /application/licence --case LIC/2026/77 --because "new application"`,
		Args: takes(2, 2, "an agreement and a field to ask by"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Agreement = args[0]
			field, value, typed := strings.Cut(args[1], "=")
			req.Field, req.Value = field, value
			if req.Because == "" {
				return failure(node.Usage, "--because \"case reference\"", "say why it is asked: both councils log the reason")
			}
			if typed {
				a.say("a value on the command line can be seen by others on this machine; it can be given on standard input")
			} else {
				var err error
				if req.Value, err = a.readValue(cmd.Context(), field); err != nil {
					return err
				}
			}
			return a.askRecord(cmd.Context(), req, token)
		},
	}
	c.Flags().StringVar(&req.Because, "because", "", "the `reason`, such as a case reference; both councils log it, so name nobody in it")
	c.Flags().StringVar(&req.Question, "question", "", "ask again, as the same, a question whose answer did not arrive: its `id`")
	c.Flags().StringVar(&req.Case, "case", "", "the case's `reference`, which both councils log; needed under private-lookup")
	c.Flags().BoolVar(&req.Show, "show", false, "under private-lookup, if there is a record: ask to be shown it, which says about whom")
	c.Flags().BoolVar(&token, "token", false, "print the signed tokens (SD-JWT) instead, for other verifiers")
	c.AddCommand(a.lookupListCommand())
	return c
}

// readValue reads a value to ask by: a line.
func (a *app) readValue(ctx context.Context, field string) (string, error) {
	if isTerminal(a.in) {
		a.hint("%s: ", field)
	}
	in := bufio.NewReader(io.LimitReader(a.in, agreement.MaxAsked+3))
	line, err := in.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the value: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", failure(node.Usage, "give the value on standard input, as one line", "there is no value to ask by")
	case len(line) > agreement.MaxAsked:
		return "", misused("the value is longer than %d bytes", agreement.MaxAsked)
	}
	return line, ctx.Err()
}

func (a *app) askRecord(ctx context.Context, req node.LookupRequest, token bool) error {
	r, err := a.node().Questions().Ask(ctx, req)
	if err != nil {
		return err
	}
	if a.json {
		return a.emit(r)
	}
	if r.Held && len(r.Records) == 0 {
		a.printf("%s has a record by this %s\n", r.From, req.Field)
		a.say("question %s, answered by entry %s of %s, which does not know about whom; to be shown the record, which says about whom: the same command with --show", r.Question, number(r.Entry), r.By)
		return nil
	}
	for i, x := range r.Records {
		if token {
			a.printf("%s\n", x.Token)
			continue
		}
		if i > 0 {
			a.printf("\n")
		}
		t := newTable("", "")
		t.add("record", string(x.Record))
		t.add("issued by", string(x.Council))
		t.add("standard", x.Standard.String())
		t.add("version", number(x.Version)+", signed "+at(x.IssuedAt))
		t.add("withheld", plural(x.Withheld, "field", "fields"))
		t.add("proof", proof(x.Council, x.Proof))
		t.write(a.out, "")
		a.printf("\n%s\n", pretty(x.Body, ""))
	}
	a.say("question %s, answered by entry %s of %s; nothing of it is kept here", r.Question, number(r.Entry), r.By)
	return nil
}

func (a *app) lookupListCommand() *cobra.Command {
	var req node.LookupListRequest
	c := &cobra.Command{
		Use:   "list [AGREEMENT]",
		Short: "List the questions that were asked and answered here",
		Long: `List shows what our log has of questions, ours and those of partners, the newest last:
who asked, by which field, why, and what came of it. The value that was asked by stands in
no log.`,
		Args: takes(0, 1, "the name of an agreement, or nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				req.Agreement = args[0]
			}
			if req.Limit < 1 {
				return misused("--limit: want at least 1")
			}
			rs, err := a.node().Questions().List(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			if len(rs) == 0 {
				a.say("no question was asked or answered here")
				return nil
			}
			t := newTable("WHEN", "", "PARTNER", "AGREEMENT", "BY", "OUTCOME", "RECORD", "BECAUSE", "#ENTRY", "QUESTION")
			for _, r := range rs {
				way, by, outcome := "we asked", r.Field, r.Outcome
				if r.Direction == "answered" {
					way = "it asked"
				}
				if by == "" {
					by = list(r.By)
				}
				switch {
				case outcome == "":
					outcome = "not answered"
				case !r.Receipt:
					outcome += ", no receipt"
				}
				partner := string(r.Partner)
				if r.For != "" {
					partner += " for " + string(r.For)
				}
				because := r.Because
				if r.Case != "" {
					because = r.Case + ": " + because
				}
				t.add(at(r.At), way, partner, string(r.Agreement), by, outcome, list(r.Records), because, number(r.Entry), r.Question)
			}
			t.write(a.out, "")
			return nil
		},
	}
	c.Flags().IntVar(&req.Limit, "limit", 100, "list at most this `number`, the newest")
	return c
}
