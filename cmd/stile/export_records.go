package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/export"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const exportRecordsHelp = `Records writes the live records of a standard, ours or those that a partner
sent, to one file. It goes through them as they are read: a million take no more
memory than a hundred.

CSV and XLSX have a column for each field of the standard's schema, headed by
its name, with / before the name of a field inside another. A ' stands before a
text that a spreadsheet would take for a formula, or that is blank or the word
null; the draft of a mapping for such a file (stile check --draft-mapping) takes
it off again, so that what went out comes back in. Beside a CSV file its
description is written, FILE-metadata.json (W3C CSV on the Web). NDJSON has each
record as it is. GeoJSON is for standards with a place: longitude and latitude,
easting and northing (converted, to some 5 metres), a point or a geometry.

With --from all the records of every council that sends us some are in one file, after our
own: a region's feed. Each stays provable: stile record show RECORD --from COUNCIL.

The file is for its owner alone and may hold personal data: mind where it goes.`

// An exporter is one run of export records.
type exporter struct {
	*app
	standard, format, out, where, from string
}

func (a *app) exportRecordsCommand() *cobra.Command {
	x := &exporter{app: a}
	c := &cobra.Command{
		Use:   "records STANDARD --out FILE [--format csv|ndjson|geojson|xlsx|parquet] [--where CEL] [--from COUNCIL]",
		Short: "Write records to a file for other programs",
		Long:  exportRecordsHelp,
		Example: `  stile export records brownfield-site --out sites.csv
  stile export records planning-application --where 'record.status == "decided"' --out decided.geojson
  stile export records housing-need --from saltby.gov.uk --format ndjson --out -
  stile export records service-directory --from all --out feed.ndjson`,
		Args: takes(1, 1, "a standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.standard = args[0]
			return x.run(cmd.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&x.out, "out", "", "new `file` to write; - is standard output")
	f.StringVar(&x.format, "format", "", "csv, ndjson, geojson, xlsx or parquet; default: by the ending of the file's name")
	f.StringVar(&x.where, "where", "", "only records for which this `CEL` expression is true, such as 'record.status == \"open\"'")
	f.StringVar(&x.from, "from", "", "`council` that sent the records, or all: ours and everybody's; default: our own")
	return c
}

func (x *exporter) run(ctx context.Context) error {
	format, ok := export.FormatOf(x.out)
	switch {
	case x.out == "":
		return misused("name the file to write with --out, such as records.csv")
	case x.format != "":
		var err error
		if format, err = export.ParseFormat(x.format); err != nil {
			return misused("--format: %v", err)
		}
	case x.out == "-":
		return misused("say with --format what standard output is to hold: csv, ndjson, geojson, xlsx or parquet")
	case !ok:
		return misused("%q does not say by its ending what it is to hold: say it with --format csv, ndjson, geojson, xlsx or parquet", x.out)
	}
	if x.json && x.out == "-" {
		return misused("--json and the records cannot both go to standard output")
	}
	var filter *agreement.Filter
	if x.where != "" {
		var err error
		if filter, err = agreement.ParseFilter(x.where); err != nil {
			return failure(node.Usage, "see docs/writing-standards.md for the fields; an example is --where 'record.status == \"open\"'", "--where: %v", err)
		}
	}
	r, err := x.node().Standards().Archive(ctx, node.StandardRequest{Name: x.standard})
	if err != nil {
		return err
	}
	std, err := standard.LoadArchive(r.Archive)
	if err != nil {
		return err
	}
	run := &exportRun{exporter: x, filter: filter, list: node.ListRequest{Standard: std.Name().Line().String(), Bodies: true}}
	if run.sources, err = x.sources(ctx); err != nil {
		return err
	}
	write := func(w io.Writer) error {
		buf := bufio.NewWriterSize(w, 256<<10)
		if run.w, err = export.New(buf, format, std); err != nil {
			return failure(node.Usage, "export as csv or ndjson", "%v", err)
		}
		for _, run.list.From = range run.sources {
			err := run.all(ctx)
			if err != nil && !(x.from == "all" && isKind(err, node.NotFound)) { // of one that has sent nothing yet there are none
				return err
			}
		}
		return errors.Join(run.w.Close(), buf.Flush())
	}
	if x.out == "-" {
		err = write(x.env.out)
	} else {
		err = inNewFile(x.out, write)
	}
	if err != nil {
		return err
	}
	files := []string{x.out}
	if format == export.CSV && x.out != "-" {
		meta := x.out + "-metadata.json"
		if err := x.writeNew(meta, export.Metadata(std, filepath.Base(x.out), strings.Join(run.councils, ", "), time.Now()), 0o600); err != nil {
			return err
		}
		files = append(files, meta)
	}
	return run.tell(files, std.Name())
}

// sources returns whose records are asked for: "" is our own council.
func (x *exporter) sources(ctx context.Context) ([]name.Council, error) {
	if x.from != "all" {
		return []name.Council{name.Council(x.from)}, nil
	}
	status, err := x.node().Status(ctx)
	if err != nil {
		return nil, err
	}
	senders := []name.Council{""}
	for _, p := range status.Partners {
		if p.Direction == "from" && p.Mode == "" && !slices.Contains(senders, p.Council) {
			senders = append(senders, p.Council)
		}
	}
	slices.Sort(senders)
	return senders, nil
}

// inNewFile writes a file that is not there yet, for its owner alone, and takes
// it away again when it does not get to its end.
func inNewFile(path string, write func(io.Writer) error) (err error) {
	f, err := create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("write file: %w", cerr)
		}
		if err != nil {
			os.Remove(path)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// exportRun counts what went out.
type exportRun struct {
	*exporter
	filter   *agreement.Filter
	list     node.ListRequest
	sources  []name.Council // whose records, one after the other; "" is ours
	w        *export.Writer
	councils []string // whose records there were
	written  int
	left     int // the filter said no
	unsure   int // the filter could not tell
	damaged  []string
}

// all writes every record that is asked for.
func (r *exportRun) all(ctx context.Context) error {
	damaged, _, err := r.pages(ctx, r.list, true, func(rec node.RecordReply) error {
		if rec.Op == "delete" || len(rec.Body) == 0 {
			return nil
		}
		v, err := strictjson.Decode(rec.Body, strictjson.Limits{Bytes: len(rec.Body)})
		body, ok := v.(map[string]any)
		if err != nil || !ok {
			r.damaged = append(r.damaged, string(rec.Record)+": cannot be read as JSON")
			return nil
		}
		if !slices.Contains(r.councils, string(rec.Council)) {
			r.councils = append(r.councils, string(rec.Council))
		}
		if r.filter != nil {
			match, sure := r.filter.Match(body)
			if !sure {
				r.unsure++
			}
			if !match {
				r.left++
				return nil
			}
		}
		r.written++
		return r.w.Write(export.Record{ID: rec.Record, Text: rec.Body, Body: body})
	})
	r.damaged = append(r.damaged, damaged...)
	return err
}

// tell says what went where, and what did not.
func (r *exportRun) tell(files []string, std name.Standard) error {
	for _, d := range r.damaged {
		r.say("left out: %s", d)
	}
	for _, n := range r.w.Notes() {
		r.say("note: %s", n)
	}
	if r.unsure > 0 {
		r.say("note: --where has no answer for %s, which were left out: ask with has(record.field) before a field that not every record has", plural(r.unsure, "record", "records"))
	}
	switch {
	case r.json:
		if err := r.emit(map[string]any{"files": files, "standard": std, "records": r.written, "left_out": r.left, "damaged": len(r.damaged), "notes": append([]string{}, r.w.Notes()...)}); err != nil {
			return err
		}
	case r.out != "-":
		r.printf("wrote %s: %s, in %s\n", clean(files[0]), plural(r.written, "record", "records"), std)
	}
	if len(r.damaged) > 0 {
		return failure(node.Unverified, "restore them from a backup or offer them again; the log still proves what they were",
			"%s damaged on disk and not in the file", plural(len(r.damaged), "record is", "records are"))
	}
	return nil
}
