package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/disclosure"
	"github.com/stile-exchange/stile/node"
)

// What stands in the folder of a report about one person.
const (
	subjectPage  = "report.html"
	subjectJSON  = "report.json"
	subjectProof = "proof.stile"
)

func (a *app) subjectCommand() *cobra.Command {
	var out, because string
	var partners bool
	var who personFlags
	c := &cobra.Command{
		Use:   "subject NUMBER",
		Short: "Gather what is here about one person, and who was given it",
		Long: `Subject answers a person who asks what the council holds about them. It gathers, over
all standards, the records of ours that name the person and those that other councils
sent: every version, where it came from, to whom it was given, when, which fields, under
which agreement and on what legal basis, what the receivers signed, and what was taken
back.

The person is found by a number that a standard says names one person, such as a
national insurance number, with other spaces, hyphens and letter case too. "-" reads
it from standard input, where nobody else sees it.

With --ask-partners the partners are asked too: what they hold of the records that went
between us, and to whom they gave them. It is for agreements that say subject_questions:
answered. They are asked by the ids of records, so that neither the number nor a value of
the person travels; both logs hold the question and the answer. Who does not answer is
named, with why.

With --out it makes a folder that only you can read:

  report.html   a page to read and to print
  report.json   the same for a program, with what was signed
  proof.stile   what an auditor checks it with: stile verify proof.stile

All three hold personal data. Before they are handed over somebody has to read them:
a record may name other people too, and says so where it does.`,
		Example: `  printf %s "$NINO" | stile subject - --out request-2026-77
  stile subject - --scheme nino --json < number.txt
  stile subject - --ask-partners --because "access request 2026-77" --out request-2026-77`,
		Args: takes(1, 1, "a number that names the person, or - to read it from standard input"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			who.person = args[0]
			req := node.SubjectRequest{Scheme: who.scheme, AskPartners: partners, Because: because}
			if req.Person, err = who.read(cmd.Context(), a); err != nil {
				return err
			}
			return a.subject(cmd.Context(), req, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "new `folder` for the report and its proof")
	c.Flags().BoolVar(&partners, "ask-partners", false, "ask partners what they hold of these records, and to whom they gave them")
	c.Flags().StringVar(&because, "because", "", "`why` partners are asked, such as a case reference; both logs hold it")
	c.Flags().StringVar(&who.scheme, "scheme", "", "whose `number` it is, such as nino, where that is not clear")
	return c
}

func (a *app) subject(ctx context.Context, req node.SubjectRequest, out string) (err error) {
	if out != "" {
		if out, err = filepath.Abs(out); err != nil {
			return err
		}
		if err := os.Mkdir(out, 0o700); errors.Is(err, os.ErrExist) {
			return failure(node.Conflict, "name a new folder with --out", "%q is there already", out)
		} else if err != nil {
			return failure(node.Failed, "look at the path again", "make the folder: %v", err)
		}
		defer func() {
			if err != nil {
				for _, f := range []string{subjectPage, subjectJSON, subjectProof} {
					os.Remove(filepath.Join(out, f))
				}
				os.Remove(out)
			}
		}()
		req.Proof = filepath.Join(out, subjectProof)
	}
	r, err := a.node().Disclosures().Subject(ctx, req)
	if err != nil {
		return err
	}
	if out != "" {
		proof := ""
		if r.Proved > 0 {
			proof = subjectProof
		}
		var page bytes.Buffer
		if err := disclosure.WriteHTML(&page, &r, proof); err != nil {
			return err
		}
		doc, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		for name, b := range map[string][]byte{subjectPage: page.Bytes(), subjectJSON: append(doc, '\n')} {
			if err := a.writeNew(filepath.Join(out, name), b, 0o600); err != nil {
				return err
			}
		}
	}
	if a.json {
		return a.emit(r)
	}
	a.printSubject(&r)
	if req.AskPartners {
		a.printPartners(&r)
	}
	if out != "" {
		a.say("written to %s; it holds personal data, and somebody has to read it before it is handed over", out)
	} else {
		a.say("--out FOLDER writes a page to print, with the values and the proof")
	}
	return nil
}

// printSubject says what was found, without values.
func (a *app) printSubject(r *node.SubjectReply) {
	given := 0
	t := newTable("RECORD", "STANDARD", "FROM", "#VERSIONS", "#GIVEN", "")
	remark := func(others, deleted bool, more string) string {
		switch {
		case others && more != "":
			return "names other people too; " + more
		case others:
			return "names other people too"
		case deleted:
			return "deleted"
		}
		return more
	}
	for _, x := range r.Records {
		given += len(x.Disclosed)
		was := ""
		if x.Former != nil {
			was = fmt.Sprintf("was %s of %s", x.Former.Record, x.Former.Council)
		}
		t.add(string(x.Record), x.Standard.String(), "ours", number(len(x.Versions)), number(len(x.Disclosed)), remark(x.Others, x.Deleted, was))
	}
	for _, x := range r.Received {
		t.add(string(x.Record), x.Standard.String(), string(x.From), "1", "-", remark(x.Others, false, x.Kept))
	}
	t.write(a.out, "")
	a.printf("\n%s of ours and %s from others name the person (%s); ours were given out %s under %s\n",
		plural(len(r.Records), "record", "records"), plural(len(r.Received), "record", "records"), clean(r.Scheme), plural(given, "time", "times"), plural(len(r.Agreements), "agreement text", "agreement texts"))
}

// printPartners says what partners answered, without values.
func (a *app) printPartners(r *node.SubjectReply) {
	t := newTable("PARTNER", "AGREEMENT", "#RECORDS", "ANSWER", "#HELD", "#GIVEN", "#NOT SAID", "")
	for _, p := range r.Partners {
		held, given := 0, 0
		for _, x := range p.Told {
			switch {
			case x.To != "":
				given++
			case x.Says == "holds":
				held++
			}
		}
		t.add(string(p.Council), string(p.Agreement), number(p.Records), p.Says, number(held), number(given), number(int(min(p.Unsaid, 1<<31-1))), clean(p.Why))
	}
	if len(r.Partners) == 0 {
		a.printf("no record went between us and a partner, so that none was asked\n")
		return
	}
	t.write(a.out, "")
}
