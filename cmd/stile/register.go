package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) registerCommand() *cobra.Command {
	return noun("register", "Publish registers on any web server", `The register says which agreements are in force, why, by what law, and what really flowed
under them, without a person's name. The node shows it at /register where web.listen is
set; this writes the same as files.`, a.registerExportCommand())
}

func (a *app) registerExportCommand() *cobra.Command {
	var out, base string
	var merge []string
	c := &cobra.Command{
		Use:   "export --out DIR",
		Short: "Write the registers as HTML, JSON, CSV and DCAT",
		Long: `Export writes the register into a new folder: index.html, cy.html, register.json,
register.csv, register.jsonld (W3C DCAT) and a proof of each agreement, which holds its
text and signatures and no record. With --merge it takes in registers of other councils,
so that a region or a standards body can publish all of them as one.

The folder open/ in it holds registers of what councils have: digital tools, contracts,
services, components, challenges, improvement work, suppliers, staff, exchanges, obligations and
adoption. Each is made of our own records, those that partners sent us, and those of
footprints that we keep, with the fields that the standard calls open and no others: a
page with counts and a chart, CSV with its description (CSVW), JSON, and a catalogue
(DCAT) of all. Contracts are there also as an OCDS release package
(contracts.ocds.json), and community services as an Open Referral UK list
(service-directory.open-referral-uk.json). The licence that web.licence in stile.yaml
names is printed in them; without one none is claimed. Whom to ask, in the catalogues,
is web.contact. A register of a standard that we have not adopted is left out.`,
		Example: `  stile register export --out public --base https://data.northmoor.gov.uk/sharing
  stile register export --out region --merge saltby.json --merge wetherholm.json`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return misused("name the folder with --out")
			}
			if at, err := url.Parse(base); base != "" && (err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http") {
				return misused("--base wants the address at which the folder will be published, such as https://data.northmoor.gov.uk/sharing")
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
			agent := registers.AgentOf(us, cfg.Web.Contact)
			own, err := web.MakeRegister(ctx, o, agent, a.clock())
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
			if err := web.ExportRegister(out, "open", base, all, proofs); err != nil {
				if errors.Is(err, web.ErrNotEmpty) || errors.Is(err, os.ErrExist) {
					return failure(node.Conflict, "name a new folder with --out", "%v", err)
				}
				return err
			}
			open, err := a.exportOpen(ctx, o, filepath.Join(out, "open"), registers.Publication{Us: agent, Base: strings.TrimSuffix(base, "/") + "/open", Licence: registers.Licence{Address: cfg.Web.LicenceAddress(), Title: cfg.Web.LicenceTitle()}})
			if err != nil {
				return err
			}
			flows := 0
			for _, r := range all {
				flows += len(r.Flows)
			}
			if a.json {
				return a.emit(map[string]any{"out": out, "councils": len(all), "agreements": flows, "registers": open})
			}
			a.printf("%s of %s in %s\n", plural(flows, "agreement", "agreements"), plural(len(all), "council", "councils"), out)
			for _, ask := range missing(cfg.Web, base) {
				a.say("%s", ask)
			}
			for _, t := range open {
				a.printf("%s: %s in %s\n", t.Title, plural(t.Lines, "line", "lines"), filepath.Join(out, "open", t.ID+".html"))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "new `folder` to write")
	f.StringVar(&base, "base", "", "`address` at which the folder will be published, for the catalogue")
	f.StringArrayVar(&merge, "merge", nil, "register.json `file` of another council; may be given several times")
	return c
}

// missing are what a data library asks of a catalogue and the configuration does not say.
func missing(w config.Web, base string) (all []string) {
	if w.Contact == "" {
		all = append(all, "the catalogues name our home page as where to ask: say an e-mail address with web.contact in stile.yaml")
	}
	if w.LicenceAddress() == "" {
		all = append(all, "no licence is claimed, and data.gov.uk takes no data without one: say it with web.licence in stile.yaml")
	}
	if !strings.Contains(base, "://") {
		all = append(all, "the addresses in the catalogues lead nowhere from elsewhere: say with --base where the folder will be published")
	}
	return all
}

// openRegister is a register that was written.
type openRegister struct {
	ID    string `json:"register"`
	Title string `json:"title"`
	Lines int    `json:"lines"`
}

// exportOpen writes the registers of what councils have, those with a line in them.
func (a *app) exportOpen(ctx context.Context, o node.Operations, dir string, at registers.Publication) (written []openRegister, err error) {
	var all []*registers.Table
	for _, d := range registers.All() {
		t, err := registers.Read(ctx, o, d, a.clock())
		if err != nil {
			return nil, err
		}
		if t != nil && len(t.Rows) > 0 {
			all = append(all, t)
			written = append(written, openRegister{t.ID, t.Title, len(t.Rows)})
		}
	}
	return written, web.ExportOpen(dir, "..", at, all)
}
