package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) registerCommand() *cobra.Command {
	return noun("register", "Publish the register of agreements on any web server", `The register says which agreements are in force, why, by what law, and what really flowed
under them, without a person's name. The node shows it at /register where web.listen is
set; this writes the same as files.`, a.registerExportCommand())
}

func (a *app) registerExportCommand() *cobra.Command {
	var out, base string
	var merge []string
	c := &cobra.Command{
		Use:   "export --out DIR",
		Short: "Write the register as HTML, JSON, CSV and DCAT",
		Long: `Export writes the register into a new folder: index.html, cy.html, register.json,
register.csv, register.jsonld (W3C DCAT) and a proof of each agreement, which holds its
text and signatures and no record. With --merge it takes in registers of other councils,
so that a region or a standards body can publish all of them as one.`,
		Example: `  stile register export --out public --base https://data.northmoor.gov.uk/sharing
  stile register export --out region --merge saltby.json --merge wetherholm.json`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return misused("name the folder with --out")
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			o, ctx := a.node(), cmd.Context()
			us, err := o.Councils().Show(ctx, node.MemberNameRequest{})
			if err != nil {
				return err
			}
			own, err := web.MakeRegister(ctx, o, cfg.Council, us.Title, time.Now())
			if err != nil {
				return err
			}
			all := []*web.Register{own}
			for _, file := range merge {
				b, err := a.readFile(file, 64<<20)
				if err != nil {
					return err
				}
				r, err := web.ParseRegister(b)
				if err != nil {
					return failure(node.Invalid, "take the file register.json of a council's register", "%s: %v", file, err)
				}
				all = append(all, r)
			}
			proofs := map[name.Agreement][]byte{}
			for _, f := range own.Flows {
				if !f.Sends { // its signatures stand in the sender's log, and in the sender's register
					continue
				}
				if proofs[f.Agreement], err = web.RegisterProof(ctx, o, f.Agreement, own.Made); err != nil {
					return err
				}
			}
			if err := web.ExportRegister(out, base, all, proofs); err != nil {
				if _, serr := os.Stat(out); serr == nil && errors.Is(err, os.ErrExist) {
					return failure(node.Conflict, "name a new folder with --out", "%v", err)
				}
				return err
			}
			flows := 0
			for _, r := range all {
				flows += len(r.Flows)
			}
			if a.json {
				return a.emit(map[string]any{"out": out, "councils": len(all), "agreements": flows})
			}
			a.printf("%s of %s in %s\n", plural(flows, "agreement", "agreements"), plural(len(all), "council", "councils"), out)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "new `folder` to write")
	f.StringVar(&base, "base", "", "`address` at which the folder will be published, for the catalogue")
	f.StringArrayVar(&merge, "merge", nil, "register.json `file` of another council; may be given several times")
	return c
}
