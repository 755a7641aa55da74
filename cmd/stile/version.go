package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/internal/sbom"
)

func (a *app) versionCommand() *cobra.Command {
	var parts bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which Stile this is",
		Long: `Version says which Stile this is: its version, the commit it was built from, Go
and the platform. With --sbom it lists the modules that the program is made of
(a software bill of materials, CycloneDX 1.6 in JSON).`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if parts {
				list, err := sbom.Of()
				if err != nil {
					return err
				}
				a.exact(string(list))
				return nil
			}
			b := release.Of()
			if a.json {
				return a.emit(b)
			}
			from := b.Go
			if b.Commit != "" && b.String() == b.Version {
				from = "commit " + b.Commit + ", " + from
			}
			a.printf("stile %s (%s, %s)\n", b, from, b.Platform)
			return nil
		},
	}
	c.Flags().BoolVar(&parts, "sbom", false, "list the modules that the program is made of")
	return c
}
