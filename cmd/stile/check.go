package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
)

func (a *app) checkCommand() *cobra.Command {
	im := &importer{app: a, dryRun: true}
	var draft string
	c := &cobra.Command{
		Use:   "check FILE --standard STANDARD",
		Short: "Check a file against a standard and keep nothing",
		Long: `Check reads a file as import does, holds every record to the standard and says
what would be refused and why. Nothing is written and nothing is signed.

The standard may be the folder or archive of one, and needs no node then; the
name of one that the node has adopted; or, where there is no node, the name of
one that comes with Stile.`,
		Example: `  stile check application.json --standard planning-application
  stile check register.csv --standard brownfield-site --draft-mapping register.yaml
  stile check register.csv --mapping register.yaml --standard ./brownfield-site`,
		Args: takes(1, 1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if draft != "" {
				return im.draft(cmd.Context(), args[0], draft)
			}
			return im.run(cmd.Context(), args)
		},
	}
	im.door = func(ctx context.Context) (gate, error) {
		std, err := a.standardFor(ctx, im.standard)
		if err != nil {
			return nil, err
		}
		return standardGate{std}, nil
	}
	im.reading.flags(c)
	c.Flags().StringVar(&im.report, "report", "", "write every refusal to a new `file`: .csv, .json or .txt")
	c.Flags().BoolVar(&im.values, "values", false, "show the refused values in the report")
	c.Flags().StringVar(&draft, "draft-mapping", "", "write a mapping for a CSV file or a sheet to this new `file`, and check nothing")
	return c
}

// draft writes a mapping to begin with for a table.
func (im *importer) draft(ctx context.Context, file, out string) error {
	switch {
	case im.mapping != nil || im.reading.mapping != "":
		return misused("--draft-mapping writes a mapping and --mapping names one: choose one")
	case im.standard == "":
		return misused("name the standard of the records with --standard")
	}
	std, err := im.standardFor(ctx, im.standard)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	in := &countingReader{ctx: ctx, in: f, file: f, bar: &bar{}}
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		in.size = st.Size()
	}
	sample, err := intake.Look(in, im.sheet)
	if fe, ok := errors.AsType[*intake.FileError](err); ok {
		detail := fe.Detail
		if len(fe.Found) > 0 {
			detail += fmt.Sprintf("; they are %q", fe.Found)
		}
		return failure(node.Invalid, cmp.Or(fe.Fix, "look into the file: it should be CSV, XLSX or ODS with a row of headings"), "%s: %s", file, detail)
	} else if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	// The draft quotes words that the file has: it is the importer's own.
	if err := im.writeNew(out, sample.Draft(std), 0o600); err != nil {
		return err
	}
	if out != "-" {
		im.say("wrote %s: check every line of it, then: stile check %s --mapping %s", out, quoted(file), quoted(out))
	}
	return nil
}

// standardFor finds a standard by what a person calls it: a folder or archive
// of one, the name of one that the node has adopted or, where no node is
// named, of one that comes with Stile.
func (a *app) standardFor(ctx context.Context, named string) (*standard.Standard, error) {
	if _, err := os.Stat(named); err == nil {
		return loadStandard(named)
	}
	r, err := a.node().Standards().Archive(ctx, node.StandardRequest{Name: named})
	if err == nil {
		return standard.LoadArchive(r.Archive)
	}
	if !errors.Is(err, errNoFolder) {
		return nil, err
	}
	shipped, err := catalogue.Shipped(named)
	if err != nil {
		return nil, err
	}
	if len(shipped) > 0 {
		return shipped[0], nil
	}
	return nil, failure(node.NotFound, "name a node's data folder with --data, or the folder of the standard; stile standard list --shipped shows what comes with Stile",
		"no standard %q comes with Stile, and no node is named that could know it", named)
}

// loadStandard reads a standard from a folder or an archive.
func loadStandard(path string) (*standard.Standard, error) {
	const try = "stile standard lint DIR says all that is wrong, and what to do"
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read standard: %w", err)
	}
	var std *standard.Standard
	if st.IsDir() {
		std, err = standard.Load(os.DirFS(path))
	} else {
		var b []byte
		if b, err = os.ReadFile(path); err == nil {
			std, err = standard.LoadArchive(b)
		}
	}
	if err != nil {
		return nil, failure(node.Invalid, try, "%s: %v", path, err)
	}
	return std, nil
}

// A standardGate judges records by a standard at hand, and keeps none.
type standardGate struct{ std *standard.Standard }

func (g standardGate) Close() error { return nil }

func (g standardGate) Show(context.Context, node.StandardRequest) (node.StandardReply, error) {
	m := g.std.Manifest()
	reply := node.StandardReply{Name: g.std.Name(), Classes: map[string]string{}}
	for _, k := range m.Key {
		reply.Key = append(reply.Key, string(k))
	}
	for f, c := range m.Classes {
		reply.Classes[string(f)] = string(c)
	}
	return reply, nil
}

func (g standardGate) Put(ctx context.Context, in node.PutRequest) (reply node.PutReply, err error) {
	for _, r := range in.Records {
		reply.Results = append(reply.Results, g.judge(r))
	}
	return reply, ctx.Err()
}

func (g standardGate) judge(r node.Offered) node.PutResult {
	out := node.PutResult{Row: r.Row, Reference: r.Reference, Outcome: node.Valid}
	// What the importer read stays within its limits, whatever the node's are.
	lim := strictjson.DefaultLimits()
	lim.Bytes = max(lim.Bytes, len(r.Record))
	v, err := strictjson.Decode(json.RawMessage(r.Record), lim)
	if err != nil {
		out.Problems = []node.Problem{{Rule: "json", Detail: "cannot be read"}}
	} else if out.Problems = toldProblems(g.std.Validate(v)); len(out.Problems) == 0 {
		if _, err := g.std.Key(v); err != nil {
			out.Problems = []node.Problem{node.Problem(*err.(*standard.Problem))}
		}
	}
	switch {
	case standard.Unjudged(foundProblems(out.Problems)):
		out.Outcome = node.NotJudged
	case len(out.Problems) > 0:
		out.Outcome = ""
	}
	return out
}
