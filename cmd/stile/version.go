package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/sbom"
)

// A build says which program this is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes of its own
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version reads what the Go tool wrote into the program.
func version() build {
	b := build{Version: "development", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String prints the version and, for a build that has no other mark, the
// commit.
func (b build) String() string {
	if b.Version == "development" && b.Commit != "" {
		s := b.Version + " at " + b.Commit
		if b.Modified {
			s += ", changed"
		}
		return s
	}
	return b.Version
}

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
			b := version()
			if a.json {
				return a.emit(b)
			}
			commit := b.Go
			if b.Commit != "" && b.Version != "development" {
				commit = "commit " + b.Commit + ", " + commit
			}
			a.printf("stile %s (%s, %s)\n", b, commit, b.Platform)
			return nil
		},
	}
	c.Flags().BoolVar(&parts, "sbom", false, "list the modules that the program is made of")
	return c
}
