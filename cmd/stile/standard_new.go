package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) standardNewCommand() *cobra.Command {
	var called, title, fromSchema, fromExample string
	c := &cobra.Command{
		Use:   "new DIR --name PUBLISHER/NAME --title TITLE",
		Short: "Begin a new standard in an empty folder",
		Long: `New writes a manifest with a comment on each heading, a schema and examples into
a new or empty folder, and says what is left to decide.

The schema is a small one to be changed; or, with --from-schema, one that is
published already, unmodified; or, with --from-example, one that the example
record fits, with its types and what it has as required, and no further rule.`,
		Example: `  stile standard new tree-orders --name standards.example/tree-order --title "Tree preservation order"
  stile standard new permits --name standards.example/permit --title Permit --from-example permit.json
  stile standard new service --name standards.example/service --title Service --from-schema service.json`,
		Args: takes(1, 1, "a folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			s := standard.Start{Title: title}
			var err error
			if s.Name, err = name.ParseStandardName(called); err != nil {
				return misused("--name %q: want the publisher's domain and a name, such as standards.example/housing-need", called)
			}
			if s.Title == "" {
				return misused("give the standard a title with --title")
			}
			if fromSchema != "" {
				if s.Schema, err = a.readFile(fromSchema, 4<<20); err != nil {
					return err
				}
			}
			if fromExample != "" {
				if s.Example, err = a.readFile(fromExample, 1<<20); err != nil {
					return err
				}
			}
			switch list, err := os.ReadDir(dir); {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return err
			case len(list) > 0:
				return failure(node.Conflict, "name a new or empty folder", "%s is not empty", dir)
			}
			files, err := s.Files()
			if err != nil {
				return failure(node.Invalid, "give one record as JSON", "%s: %v", fromExample, err)
			}
			for _, sub := range []string{"examples/valid", "examples/invalid"} {
				if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(sub)), 0o755); err != nil {
					return err
				}
			}
			r := newReply{Dir: dir, Files: slices.Sorted(maps.Keys(files))}
			for _, p := range r.Files {
				if err := a.writeNew(filepath.Join(dir, filepath.FromSlash(p)), files[p], 0o644); err != nil {
					return err
				}
			}
			_, r.Findings = standard.Lint(os.DirFS(dir))
			r.Findings = slices.DeleteFunc(r.Findings, func(f standard.Finding) bool { return f.Severity == standard.SeverityNote })
			if a.json {
				return a.emit(r)
			}
			for _, p := range r.Files {
				a.printf("wrote %s\n", filepath.Join(dir, filepath.FromSlash(p)))
			}
			a.printf("\nLeft to decide:\n")
			a.printFindings(r.Findings)
			a.say("the key and the classes are guesses or comments: look at every line of %s, then: stile standard lint %s", filepath.Join(dir, "standard.yaml"), quoted(dir))
			return nil
		},
	}
	c.Flags().StringVar(&called, "name", "", "the standard's `name`, with its publisher's domain before it")
	c.Flags().StringVar(&title, "title", "", "the standard's `title`")
	c.Flags().StringVar(&fromSchema, "from-schema", "", "take the schema from this `file`, unmodified")
	c.Flags().StringVar(&fromExample, "from-example", "", "draft the schema from the record in this `file`")
	_ = c.MarkFlagRequired("name")
	_ = c.MarkFlagRequired("title")
	return c
}

// A newReply is what the command answers with --json.
type newReply struct {
	Dir      string             `json:"dir"`
	Files    []string           `json:"files"`
	Findings []standard.Finding `json:"findings"` // what is left to decide
}
