package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

func (a *app) standardCommand() *cobra.Command {
	return noun("standard", "Write, check, adopt and list data standards", `A standard says what a record is: a manifest (standard.yaml), a JSON Schema
(schema.json) and examples, in a folder or an archive of one. A node takes
records in, and from partners, only in standards it has adopted.`,
		a.standardAdoptCommand(), a.standardServeCommand(), a.standardListCommand(), a.standardShowCommand(),
		a.standardNewCommand(), a.standardLintCommand(), a.standardDiffCommand(),
		a.standardPublishCommand(), a.standardStatusCommand(), a.standardRetireCommand(), a.standardFetchCommand(),
		a.standardMeasureCommand(), a.standardCharterCommand(), a.standardAdoptionCommand())
}

// looksLikePath tells a path that is not there from a name.
func looksLikePath(s string) bool {
	if filepath.IsAbs(s) || strings.HasPrefix(s, ".") {
		return true
	}
	switch filepath.Ext(s) {
	case ".zip", ".gz", ".tgz":
		return true
	}
	return false
}

func (a *app) standardListCommand() *cobra.Command {
	var shipped, published bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the standards the node has adopted",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if published && shipped {
				return misused("choose one of --shipped and --published")
			}
			if published {
				return a.listPublished(cmd.Context())
			}
			var rs []node.StandardReply
			var err error
			if shipped {
				rs, err = shippedStandards()
			} else {
				rs, err = a.node().Standards().List(cmd.Context())
			}
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			if len(rs) == 0 {
				a.say("no standard is adopted yet; stile standard adopt adopts one")
				return nil
			}
			t := newTable("STANDARD", "STATUS", "#RECORDS", "TITLE")
			if shipped {
				t = newTable("STANDARD", "STATUS", "TITLE")
			}
			for _, r := range rs {
				row := []string{r.Name.String(), r.Status, number(r.Records), r.Title}
				if shipped {
					row = slices.Delete(row, 2, 3)
				}
				t.add(row...)
			}
			t.write(a.out, "")
			for _, r := range rs {
				if r.Mapped != nil {
					a.printf("%s is made from %s by its mapping\n", r.Name, r.Mapped.From)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&shipped, "shipped", false, "list the standards that come with Stile instead; needs no node")
	c.Flags().BoolVar(&published, "published", false, "list those that standards bodies published in the directory instead")
	return c
}

func shippedStandards() ([]node.StandardReply, error) {
	stds, err := shippedLoaded()
	if err != nil {
		return nil, err
	}
	var out []node.StandardReply
	for _, std := range stds {
		m := std.Manifest()
		out = append(out, node.StandardReply{Name: m.Name, Title: m.Title, Description: m.Description, Status: string(m.Status), Integrity: std.Integrity(), Source: m.Source})
	}
	return out, nil
}

// shippedLoaded returns the standards that come with Stile.
func shippedLoaded() (out []*standard.Standard, err error) {
	for _, f := range schemas.All() {
		std, err := standard.Load(f)
		if err != nil {
			return nil, fmt.Errorf("load shipped standard: %w", err)
		}
		out = append(out, std)
	}
	return out, nil
}

func (a *app) standardShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show STANDARD",
		Short: "Show an adopted standard: its key and the class of each field",
		Args:  takes(1, 1, "a standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Standards().Show(cmd.Context(), node.StandardRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s: %s\n", r.Name, clean(r.Title))
			if r.Description != "" {
				a.printf("%s\n", wrap(r.Description, 76))
			}
			t := newTable("", "")
			t.add("status", r.Status)
			t.add("key", strings.Join(r.Key, ", "))
			t.add("schema", r.Integrity)
			if len(r.Waived) > 0 {
				t.add("waived", clean(strings.Join(r.Waived, ", "))+": its publisher's flaw, which no record can tell")
			}
			t.add("records", number(r.Records))
			if r.Mapped != nil {
				t.add("made from", fmt.Sprintf("%s, since %s: %s", r.Mapped.From, at(r.Mapped.Since), madeWords(r.Mapped)))
			}
			for _, m := range r.Mappings {
				t.add("mapping", fmt.Sprintf("from major %d", m))
			}
			if o := r.Obligation; o != nil && o.From != "" {
				t.add("obligation", clean(o.Statute)+", since "+o.From)
			} else if o != nil {
				t.add("obligation", clean(o.Statute))
			}
			for i, s := range r.Source {
				label := ""
				if i == 0 {
					label = "source"
				}
				t.add(label, s)
			}
			t.write(a.out, "  ")
			a.printf("classes; each holds below its place too, and what is not named is personal\n")
			var fields []string
			for f := range r.Classes {
				fields = append(fields, f)
			}
			slices.Sort(fields)
			t = newTable("FIELD", "CLASS")
			for _, f := range fields {
				name := f
				if name == "" {
					name = "(whole record)"
				}
				t.add(name, r.Classes[f])
			}
			t.write(a.out, "  ")
			return nil
		},
	}
}

// wrap breaks a text into lines of at most width letters, where it can.
func wrap(s string, width int) name.Lines {
	var lines []string
	line := ""
	for _, w := range strings.Fields(s) {
		if line != "" && len(line)+1+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return name.Lines("  " + strings.Join(append(lines, line), "\n  "))
}
