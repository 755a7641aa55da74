package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) auditCommand() *cobra.Command {
	return noun("audit", "Count again what a council says of itself", `An auditor needs no node: what a council states is counted again from a file
that it hands over. "stile verify" checks such a file for what it is; "stile-audit"
does both in a program of its own.

The yearly audit of adoption, in the order in which it is done:

  stile audit draw --size 12 --seed WORDS --publish
      at the standards body: draws statements, and signs what was drawn
  stile export bundle --standard STANDARD --statement STATEMENT --full --out FILE
      at each council that was drawn: the records that its statement counts
  stile audit adoption *.stile --drawn adoption.drawn.json --trust DIR
      the auditor, without a node: counts each again. The file is on the page of adoption
  stile audit draw
      what was drawn, whether it is drawn so again, and when the next draw is due

What an agreement permitted is counted again by "stile audit run".`,
		a.auditDrawCommand(), a.auditAdoptionCommand(), a.auditRunCommand())
}

func (a *app) auditRunCommand() *cobra.Command {
	var req node.AuditRequest
	v := &verifying{app: a}
	c := &cobra.Command{
		Use:   "run --agreement NAME | BUNDLE",
		Short: "Count again from the records what an agreement permitted",
		Long: `Run is for an auditor who may use a council's node, or has its folder (--data). It reads
the whole log of the council and works out, from the records and the text of the
agreement that was in force, what each receiver was permitted at the newest checkpoint
of the agreement in the log: of each record the newest version, if the rows pick it,
with the fields that travel. It compares number and root with what the council
committed to, and with what the log says was sent, and lists the records that were
permitted and sent nowhere, and those that were sent and not permitted.

Of what was committed to it names what has gone since, and why: a newer version, a
deletion, or what was taken back or erased, with the entry of the log that did it.

What was erased since cannot be counted again; the checkpoint is then said to be not
done, and a later one can be.

With a bundle of an agreement it needs no node and no folder: the file is verified, and
each checkpoint in it is counted again from the records in the file. That shows that the
file holds what the council committed to; whether it should have permitted more, or less,
only its own records show. A receiver's bundle of what it holds has the newest checkpoint;
what has gone since it names, and is counted with what is held: where nothing but the
receiver's word says that it has gone, the checkpoint is not done. Give the keys you trust with --trust, as for
"stile verify".

It exits with 0 when nothing differs, with 3 when there is no checkpoint to count
again, and with 6 when something was left out, was sent beyond the agreement, or is
not what the council committed to.`,
		Example: `  stile audit run --agreement northmoor.gov.uk/people-moving-to-saltby --data /srv/stile
  stile audit run audit.stile --trust northmoor.gov.uk.yaml`,
		Args: takes(0, 1, "a bundle, or nothing with --agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				return v.recount(args[0], req)
			case req.Agreement == "":
				return misused("name the agreement with --agreement, or a bundle")
			case len(v.trust)+len(v.standards) > 0:
				return misused("--trust and --standard are for a bundle: name the file")
			}
			r, err := a.node().Agreements().Audit(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				err = a.emit(r)
			} else {
				a.printAudit(r, "permitted", "complete: nothing lacks, nothing is too much")
			}
			if err == nil && r.Failed {
				err = failure(node.Unverified, "ask the council how that came about; --json lists the records", "what was sent or committed to is not what %s permits", r.Agreement)
			}
			return err
		},
	}
	c.Flags().StringVar(&req.Agreement, "agreement", "", "the `agreement` whose checkpoints are counted again")
	c.Flags().BoolVar(&req.All, "all", false, "every checkpoint, and not the newest for each receiver alone")
	c.Flags().StringArrayVar(&v.trust, "trust", nil, "for a bundle, what to believe: root:DIGEST, a member `file`, a folder of them, or a list of keys; may be given again")
	c.Flags().StringArrayVar(&v.standards, "standard", nil, "for a bundle, `folder` or archive of a standard as its publisher has it; may be given again")
	return c
}

// recount counts again what a bundle holds of an agreement, and compares it with what the
// council committed to.
func (v *verifying) recount(path string, req node.AuditRequest) error {
	o, err := v.options()
	if err != nil {
		return err
	}
	report, err := v.verify(path, o)
	if errors.Is(err, audit.ErrBundle) {
		return failure(node.Invalid, "ask the council for: stile export bundle --agreement NAME --out FILE", "%s: %v", short(path), err)
	}
	if err != nil {
		return err
	}
	of := report.Covers.Agreement
	switch {
	case of == "":
		return failure(node.Invalid, "ask the council for: stile export bundle --agreement NAME --out FILE", "%s is not of an agreement", short(path))
	case req.Agreement != "" && req.Agreement != string(of):
		return failure(node.NotFound, "stile audit run "+quoted(path), "%s is of %s", short(path), clean(string(of)))
	case len(report.Commitments) == 0 && report.OK():
		complete, _ := report.Check(audit.CheckComplete)
		return failure(node.NotFound, "ask for a file of all that went under it, made after stile agreement checkpoint", "%s holds no checkpoint that can be counted again: %s", short(path), name.Line(complete.Detail))
	}
	r := node.AuditReply{Agreement: of, Failed: !report.OK()}
	seen := map[name.Council]bool{}
	for _, c := range slices.Backward(report.Commitments) {
		if req.All || !seen[c.To] {
			r.Checkpoints = append(r.Checkpoints, c)
		}
		seen[c.To] = true
	}
	slices.Reverse(r.Checkpoints)
	if v.json {
		err = v.emit(r)
	} else {
		fine := "alike: the file holds what was committed to"
		if report.Holder != "" && r.Checkpoints[0].Gone > 0 {
			fine = "alike: what it holds and what has gone are what was committed to"
		}
		v.printAudit(r, "in the file", fine)
	}
	if err != nil {
		return err
	}
	if r.Failed {
		return failure(node.Unverified, "stile verify "+quoted(path), "%s does not verify", short(path))
	}
	v.say("that %s should have permitted these and no others only its own records show", report.Council)
	return v.vouched(report)
}

// printAudit prints each checkpoint: what was counted stands under the name counted, and
// fine is said where it is alike.
func (a *app) printAudit(r node.AuditReply, counted, fine string) {
	for i, c := range r.Checkpoints {
		if i > 0 {
			a.printf("\n")
		}
		at := fmt.Sprintf("at entry %d", c.Entry)
		if c.By != "" {
			at = "of " + string(c.By)
		}
		a.printf("checkpoint %s: version %d of %s for %s, at %s\n", at, c.Version, r.Agreement, c.To, plural(c.Size, "entry", "entries"))
		t := newTable("", "", "")
		t.add("committed to", plural(c.Committed.Count, "record", "records"), "root "+c.Committed.Root)
		if c.Counted.Root != "" {
			t.add(counted, plural(c.Counted.Count, "record", "records"), "root "+c.Counted.Root)
		}
		t.write(a.out, "  ")
		switch c.Result {
		case "ok":
			a.printf("  %s\n", fine)
		default:
			a.printf("  %s\n", strings.ToUpper(c.Result))
		}
		for _, why := range c.Because {
			a.printf("  - %s\n", why)
		}
		if c.Gone > 0 {
			a.printf("  %s since:\n", plural(uint64(c.Gone), "record of them has gone", "records of them have gone"))
		}
		for _, m := range c.GoneSince {
			a.printf("  gone      entry %d, %s: %s%s\n", m.Entry, ofWhat(m), m.Why, byEntry(m.By))
		}
		for _, m := range c.Lacking {
			a.printf("  lacks     entry %d, record %s version %d\n", m.Entry, m.Record, m.Version)
		}
		for _, m := range c.Exceeding {
			a.printf("  too much  entry %d, record %s version %d\n", m.Entry, m.Record, m.Version)
		}
	}
}

// ofWhat says which version of which record has gone, as far as that is still known.
func ofWhat(m node.AuditedGone) string {
	if m.Version == 0 {
		return fmt.Sprintf("record %s, its version not known any more", m.Record)
	}
	return fmt.Sprintf("record %s version %d", m.Record, m.Version)
}

// byEntry names the entry that did something, where there is one.
func byEntry(index uint64) string {
	if index == 0 {
		return ""
	}
	return fmt.Sprintf(" by entry %d", index)
}

func (a *app) auditAdoptionCommand() *cobra.Command {
	v := &verifying{app: a}
	drawn := ""
	c := &cobra.Command{
		Use:   "adoption BUNDLE...",
		Short: "Count the figures of a compliance statement again from a council's records",
		Long: `Adoption takes the audit bundle of a compliance statement, as the council makes it
with "stile export bundle --statement newest --full", verifies it, and counts every
figure that records can show again: live records, that they are valid, fields
filled, freshness, and the state of the log. It says of each figure whether it
agrees, differs, or cannot be re-computed from records, and why.

With --drawn it takes the bundles of all councils whose statements were drawn ("stile
audit draw"), and says of each statement drawn whether it agrees, differs, or is
missing.

It exits with 6 when a figure differs or a bundle does not verify, and with 3 when one
that was drawn is missing. Give the keys you trust with --trust, as for "stile verify".`,
		Example: `  stile audit adoption northmoor.stile --trust northmoor.gov.uk.yaml
  stile audit adoption bundles/*.stile --drawn adoption.drawn.json --trust directory`,
		Args: takes(1, audit.MaxSample, "one or more bundles"),
		RunE: func(cmd *cobra.Command, args []string) error { return v.adoption(args, drawn) },
	}
	f := c.Flags()
	f.StringArrayVar(&v.trust, "trust", nil, "what to believe: root:DIGEST, a member `file`, a folder of them, or a list of keys; may be given again")
	f.StringVar(&drawn, "drawn", "", "`file` of the statements that were drawn")
	f.StringArrayVar(&v.standards, "standard", nil, "`folder` or archive of a standard as its publisher has it; may be given again")
	return c
}

// adoption counts the statements of bundles again, and holds them against what was drawn,
// where drawn names a file.
func (v *verifying) adoption(paths []string, drawn string) error {
	o, err := v.options()
	if err != nil {
		return err
	}
	var all []*audit.AdoptionReport
	for _, path := range paths {
		reports, err := countAgain(path, o)
		if err != nil {
			return err
		}
		all = append(all, reports...)
	}
	ok := true
	for i, r := range all {
		ok = ok && r.OK()
		if v.json {
			if err := v.emitLine(r); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			v.printf("\n")
		}
		var b bytes.Buffer
		if err := r.WriteText(&b); err != nil {
			return err
		}
		v.printf("%s", name.Lines(b.String()))
	}
	if drawn != "" {
		if err := v.hold(drawn, all); err != nil {
			return err
		}
	}
	if !ok {
		return failure(node.Unverified, "ask the council how it came by the figures that differ", "the statement is not borne out by its records")
	}
	for _, r := range all {
		if err := v.vouched(r.Bundle); err != nil {
			return err
		}
	}
	return nil
}

func countAgain(path string, o audit.Options) ([]*audit.AdoptionReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	reports, err := audit.Adoption(f, st.Size(), o)
	if errors.Is(err, audit.ErrBundle) {
		return nil, failure(node.Invalid, "ask the council for: stile export bundle --statement newest --full --out FILE", "%s: %v", short(path), err)
	}
	return reports, err
}
