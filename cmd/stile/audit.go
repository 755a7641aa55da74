package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) auditCommand() *cobra.Command {
	return noun("audit", "Count again what a council says of itself", `An auditor needs no node: what a council states is counted again from a file
that it hands over. "stile verify" checks such a file for what it is; "stile-audit"
does both in a program of its own.`,
		a.auditAdoptionCommand())
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
