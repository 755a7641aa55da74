package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) auditCommand() *cobra.Command {
	return noun("audit", "Count again what a council says of itself", `An auditor needs no node: what a council states is counted again from a file
that it hands over. "stile verify" checks such a file for what it is; "stile-audit"
does both in a program of its own.`,
		a.auditAdoptionCommand(), a.auditRunCommand())
}

func (a *app) auditRunCommand() *cobra.Command {
	var req node.AuditRequest
	c := &cobra.Command{
		Use:   "run --agreement NAME",
		Short: "Count again from the records what an agreement permitted",
		Long: `Run is for an auditor who may use a council's node, or has its folder (--data). It reads
the whole log of the council and works out, from the records and the text of the
agreement that was in force, what each receiver was permitted at the newest checkpoint
of the agreement in the log: of each record the newest version, if the rows pick it,
with the fields that travel. It compares number and root with what the council
committed to, and with what the log says was sent, and lists the records that were
permitted and sent nowhere, and those that were sent and not permitted.

What was erased since cannot be counted again; the checkpoint is then said to be not
done, and a later one can be.

It exits with 0 when nothing differs, with 3 when there is no checkpoint to count
again, and with 6 when something was left out, was sent beyond the agreement, or is
not what the council committed to.`,
		Example: `  stile audit run --agreement northmoor.gov.uk/people-moving-to-saltby --data /srv/stile`,
		Args:    takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Agreement == "" {
				return misused("name the agreement with --agreement")
			}
			r, err := a.node().Agreements().Audit(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				err = a.emit(r)
			} else {
				a.printAudit(r)
			}
			if err == nil && r.Failed {
				err = failure(node.Unverified, "ask the council how that came about; --json lists the records", "what was sent or committed to is not what %s permits", r.Agreement)
			}
			return err
		},
	}
	c.Flags().StringVar(&req.Agreement, "agreement", "", "the `agreement` whose checkpoints are counted again")
	c.Flags().BoolVar(&req.All, "all", false, "every checkpoint, and not the newest for each receiver alone")
	return c
}

func (a *app) printAudit(r node.AuditReply) {
	for i, c := range r.Checkpoints {
		if i > 0 {
			a.printf("\n")
		}
		a.printf("checkpoint at entry %d: version %d of %s for %s, at %s\n", c.Entry, c.Version, r.Agreement, c.To, plural(c.Size, "entry", "entries"))
		t := newTable("", "", "")
		t.add("committed to", plural(c.Committed.Count, "record", "records"), "root "+c.Committed.Root)
		t.add("permitted", plural(c.Counted.Count, "record", "records"), "root "+c.Counted.Root)
		t.write(a.out, "  ")
		switch c.Result {
		case "ok":
			a.printf("  complete: nothing lacks, nothing is too much\n")
		default:
			a.printf("  %s\n", strings.ToUpper(c.Result))
		}
		for _, why := range c.Because {
			a.printf("  - %s\n", why)
		}
		for _, m := range c.Lacking {
			a.printf("  lacks     entry %d, record %s version %d\n", m.Entry, m.Record, m.Version)
		}
		for _, m := range c.Exceeding {
			a.printf("  too much  entry %d, record %s version %d\n", m.Entry, m.Record, m.Version)
		}
	}
}

func (a *app) auditAdoptionCommand() *cobra.Command {
	v := &verifying{app: a}
	c := &cobra.Command{
		Use:   "adoption BUNDLE",
		Short: "Count the figures of a compliance statement again from a council's records",
		Long: `Adoption takes the audit bundle of a compliance statement, as the council makes it
with "stile export bundle --statement newest --full", verifies it, and counts every
figure that records can show again: live records, that they are valid, fields
filled, freshness, and the state of the log. It says of each figure whether it
agrees, differs, or cannot be re-computed from records, and why.

It exits with 6 when a figure differs or the bundle does not verify. Give the keys
you trust with --trust, as for "stile verify".`,
		Example: `  stile audit adoption northmoor.stile --trust northmoor.gov.uk.yaml`,
		Args:    takes(1, 1, "a bundle"),
		RunE:    func(cmd *cobra.Command, args []string) error { return v.adoption(args[0]) },
	}
	f := c.Flags()
	f.StringArrayVar(&v.trust, "trust", nil, "what to believe: root:DIGEST, a member `file`, a folder of them, or a list of keys; may be given again")
	f.StringArrayVar(&v.standards, "standard", nil, "`folder` or archive of a standard as its publisher has it; may be given again")
	return c
}

func (v *verifying) adoption(path string) error {
	o, err := v.options()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	reports, err := audit.Adoption(f, st.Size(), o)
	if errors.Is(err, audit.ErrBundle) {
		return failure(node.Invalid, "ask the council for: stile export bundle --statement newest --full --out FILE", "%s: %v", short(path), err)
	}
	if err != nil {
		return err
	}
	ok := true
	for i, r := range reports {
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
	if !ok {
		return failure(node.Unverified, "ask the council how it came by the figures that differ", "the statement is not borne out by its records")
	}
	return v.vouched(reports[0].Bundle)
}
