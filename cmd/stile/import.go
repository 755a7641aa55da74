package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// reading is how the files of an import are to be read.
type reading struct {
	standard string
	mapping  string
	form     string   // name or file of a translation
	sets     []string // what a file in that form does not say
	format   string
	at       string
	sheet    string
}

func (r *reading) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.standard, "standard", "", "`standard` the records are in, such as standards.example/housing-need@1")
	f.StringVar(&r.mapping, "mapping", "", "YAML `file` that says what the columns of a CSV file or a sheet mean")
	f.StringVar(&r.form, "translation", "", "what the file is in instead of the standard: ocds, open-referral-uk, or the YAML `file` of a translation")
	f.StringArrayVar(&r.sets, "set", nil, "`place=text` in each record of which a translated file does not say it, such as /council=E07000998; may be given several times")
	f.StringVar(&r.format, "format", "", "csv, xlsx, ods, json or ndjson; default: by the ending of the file's name, unless its first bytes say otherwise")
	f.StringVar(&r.sheet, "sheet", "", "which `sheet` of a workbook: its name, or its place from 1")
	f.StringVar(&r.at, "at", "", "JSON `pointer` to the array of records inside a JSON file")
}

// mappingOf reads the mapping, and from it which standard is meant when no
// flag says so.
func (a *app) mappingOf(r *reading) (*intake.Mapping, error) {
	if r.mapping == "" {
		if r.standard == "" && r.form == "" {
			return nil, misused("name the standard of the records with --standard")
		}
		return nil, nil
	}
	b, err := a.readFile(r.mapping, 1<<20)
	if err != nil {
		return nil, err
	}
	m, err := intake.ParseMapping(b)
	if err != nil {
		return nil, failure(node.Usage, "mend "+r.mapping+"; docs/mapping.md says what each setting wants", "%v", err)
	}
	if r.standard == "" {
		r.standard = m.Standard.String()
	}
	return m, nil
}

// translationOf reads the translation, nil where none is named, and from it which standard is
// meant when no flag says so.
func (a *app) translationOf(r *reading) (*translation.Translation, error) {
	switch {
	case r.form == "" && len(r.sets) > 0:
		return nil, misused("--set says what a translated file does not: name the form with --translation")
	case r.form == "":
		return nil, nil
	case r.mapping != "":
		return nil, misused("--mapping says what columns mean and --translation what JSON in another form means: choose one")
	}
	t := translation.Shipped(r.form)
	if t == nil {
		if _, err := os.Stat(r.form); errors.Is(err, fs.ErrNotExist) {
			return nil, failure(node.NotFound, "name "+strings.Join(schemas.Translations(), ", ")+" or the file of a translation; docs/translations.md tells of them", "there is no translation %q", r.form)
		}
		b, err := a.readFile(r.form, 1<<20)
		if err != nil {
			return nil, err
		}
		if t, err = translation.Parse(b); err != nil {
			return nil, failure(node.Usage, "mend "+r.form+"; docs/translations.md says how one is written", "%v", err)
		}
	}
	t, err := t.Saying(r.sets)
	if err != nil {
		return nil, misused("--set: %v", err)
	}
	if r.standard == "" {
		r.standard = t.Standard.String()
	}
	return t, nil
}

const importHelp = `Import reads records from files and offers them to the node, which holds each to
its standard, signs it and logs it. Good rows are kept and refused ones are
reported, by row, the sender's own reference, the place, the rule and how to
mend it; with --all-or-nothing everything is checked first and nothing is kept
unless every row is good.

JSON is an array of records or one record (--at names an array further in),
NDJSON is one record to a line. CSV, XLSX and ODS need a mapping file, which says
what each column means and, of CSV, how the file is encoded and writes dates and
numbers: nothing is guessed. Of a workbook one sheet is read; formulas are not
worked out, the values kept beside them are taken. A file is read as what its
first bytes say it is, whatever it is called. "-" is standard input, with --format.

JSON in the form of another data standard is taken in with --translation: contracts
from an OCDS release package (ocds), services from an Open Referral UK list
(open-referral-uk). What such a file does not say is said with --set.

A record is known by the standard's key: the same record again makes no new
version, so an import may be repeated at any time. A record that can be read but
does not fit its standard is held at the node too (stile record held), until one
with the same reference is taken; not so in a dry run or with --all-or-nothing.

A register that comes as a whole, every night, is named with --source. What it
offered is remembered. Rows that were refused before, in the same bytes, are
counted apart, and where there are no others the exit code is 0 and not 5. With
--complete the source's records that are not in the files are deleted, unless a
row has no key that can be read; where more than --most-deleted would go it asks,
and a script without --yes is refused with exit code 4. Records that another
source offers too, or that came without one, stay.

A report never shows the refused values unless --values asks for them, nor does it
name a row by a key that may be about a person: then its number is all. They may be
personal data: take care where the report goes.`

func (a *app) importCommand() *cobra.Command {
	im := &importer{app: a, door: a.gateOfNode}
	c := &cobra.Command{
		Use:   "import FILE... --standard STANDARD",
		Short: "Take records in from JSON, NDJSON, CSV, XLSX and ODS files",
		Long:  importHelp,
		Example: `  stile import planning.ndjson --standard standards.stile.example/planning-application@1
  stile import register.csv --mapping register.yaml --rejects refused.csv
  stile import register.xlsx --mapping register.yaml --sheet Sites
  stile import register.csv --mapping register.yaml --dry-run --report report.csv
  stile import nightly.csv --mapping register.yaml --source planning-system --complete
  stile import releases.json --translation ocds
  stile import services.json --translation open-referral-uk --set /council=E07000998`,
		Args: takes(1, -1, "at least one file"),
		RunE: func(cmd *cobra.Command, args []string) error { return im.run(cmd.Context(), args) },
	}
	im.reading.flags(c)
	im.register.flags(c)
	f := c.Flags()
	f.BoolVar(&im.dryRun, "dry-run", false, "check everything and keep nothing")
	f.BoolVar(&im.all, "all-or-nothing", false, "keep nothing unless every row of every file is good")
	f.StringVar(&im.rejects, "rejects", "", "write the refused rows, as they came, to a new `file`")
	f.StringVar(&im.report, "report", "", "write every refusal, and the notes, to a new `file`: .csv, .json or .txt")
	f.BoolVar(&im.values, "values", false, "show the refused values in the report")
	return c
}

// A gate judges records by one standard: a node, which keeps what it takes, or a
// standard at hand.
type gate interface {
	Show(context.Context, node.StandardRequest) (node.StandardReply, error)
	Put(context.Context, node.PutRequest) (node.PutReply, error)
	Close() error
}

// A nodeGate is the gate of a node.
type nodeGate struct{ *connection }

func (g nodeGate) Show(ctx context.Context, in node.StandardRequest) (node.StandardReply, error) {
	return g.Standards().Show(ctx, in)
}

func (g nodeGate) Put(ctx context.Context, in node.PutRequest) (node.PutReply, error) {
	return g.Records().Put(ctx, in)
}

func (a *app) gateOfNode(ctx context.Context) (gate, error) {
	if a.gate != nil {
		return a.gate, nil
	}
	c, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	return nodeGate{c}, nil
}

// An importer is one run of import or check.
type importer struct {
	*app
	reading
	register
	dryRun, all, values bool
	writing             bool // the check that --all-or-nothing asks for is passed
	rejects, report     string

	door    func(context.Context) (gate, error) // who judges the records
	gate    gate
	mapping *intake.Mapping
	turned  *translation.Translation // of what files hold; nil: they hold records of the standard
	std     node.StandardReply
	limits  strictjson.Limits
	key     []name.Field
	tally   *tally
}

// batch sizes: a commit for each batch, and the next ones read and validated
// meanwhile.
const (
	batchRows     = 1000
	batchBytes    = 4 << 20 // of the file
	batchesAtOnce = 3
)

func (im *importer) run(ctx context.Context, files []string) (err error) {
	if err := im.register.check(im.dryRun, im.all); err != nil {
		return err
	}
	if im.turned, err = im.translationOf(&im.reading); err != nil {
		return err
	}
	if im.mapping, err = im.mappingOf(&im.reading); err != nil {
		return err
	}
	for _, f := range files {
		if err := im.readable(f); err != nil {
			return err
		}
	}
	if err := rejectable(im, files); err != nil {
		return err
	}
	if im.gate, err = im.door(ctx); err != nil {
		return err
	}
	defer func() {
		if cerr := im.gate.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close the data folder: %w", cerr)
		}
	}()
	if err := im.prepare(ctx); err != nil {
		return err
	}
	if err := im.begin(ctx); err != nil {
		return err
	}
	if im.tally, err = newTally(im); err != nil {
		return err
	}
	defer im.tally.close()
	if im.tally.rejects != nil && im.mapping != nil {
		im.tally.rejects.source = files[0]
	}

	if im.all && !im.dryRun {
		// The check comes first, and only then is anything written. A file
		// that changes in between is seen.
		before, err := stamps(files)
		if err != nil {
			return err
		}
		im.dryRun = true
		if err := im.each(ctx, files); err != nil {
			return im.tally.partly(err)
		}
		im.dryRun = false
		if im.tally.refused+im.tally.open == 0 && im.tally.broken == 0 {
			after, err := stamps(files)
			if err != nil {
				return err
			}
			for i := range before {
				if before[i] != after[i] {
					return failure(node.Conflict, "run it again once the file is complete", "%q changed while it was read; nothing was kept", files[i])
				}
			}
			im.tally.startOver()
			im.writing = true
			if err := im.each(ctx, files); err != nil {
				return im.tally.partly(err)
			}
		}
	} else if err := im.eachWhole(ctx, files); err != nil {
		return im.tally.partly(err)
	}
	return im.tally.finish(len(files))
}

// readable finds what is wrong with a file's name, and with its first bytes,
// before a node is asked anything.
func (im *importer) readable(file string) error {
	if file == "-" {
		if im.all {
			return misused("--all-or-nothing reads everything twice, which standard input does not allow: name a file")
		}
		_, err := im.formatOf(file, nil)
		return err
	}
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failure(node.NotFound, "look at the path again", "there is no file %q", file)
	case err != nil:
		return fmt.Errorf("read file: %w", err)
	case st.IsDir():
		return misused("%q is a folder: want files", file)
	}
	var head []byte
	if st.Mode().IsRegular() {
		if head, err = headOf(file); err != nil {
			return err
		}
	}
	declared, err := im.formatOf(file, head)
	if err != nil {
		return err
	}
	format, foreign := intake.Recognise(head, declared, im.mapping != nil)
	switch {
	case format.Tabular() && foreign == nil && im.turned != nil:
		return misused("%q is %s: a translation is for JSON and NDJSON", file, strings.ToUpper(string(format)))
	case foreign != nil: // told when it is read, beside what came of the other files
	case format.Tabular() && im.mapping == nil:
		return failure(node.Usage, fmt.Sprintf("stile check %s --standard %s --draft-mapping mapping.yaml, mend the draft, and name it with --mapping", quoted(file), quoted(im.standard)),
			"%q is %s: a mapping must say what its columns mean", file, strings.ToUpper(string(format)))
	case !format.Tabular() && im.mapping != nil:
		return misused("%q is %s: a mapping is for CSV, XLSX and ODS", file, format)
	case !format.Tabular() && im.sheet != "", format == intake.CSV && im.sheet != "":
		return misused("%q is %s, which has no sheets: --sheet is for XLSX and ODS", file, format)
	}
	return nil
}

// headOf returns the first bytes of a file.
func headOf(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return head[:n], nil
}

// formatOf is what a flag or a file's name says the file is, or, when neither
// says anything, its first bytes.
func (im *importer) formatOf(file string, head []byte) (intake.Format, error) {
	if im.format != "" {
		f, err := intake.ParseFormat(im.format)
		if err != nil {
			return "", misused("--format: %v", err)
		}
		return f, nil
	}
	if file == "-" {
		return "", misused("say with --format what standard input holds: csv, xlsx, ods, json or ndjson")
	}
	if f, ok := intake.FormatOf(file); ok {
		return f, nil
	}
	if f, foreign := intake.Recognise(head, "", false); f != "" {
		return f, nil
	} else if foreign != nil {
		return intake.CSV, nil // what it is will be told when it is read
	}
	return "", misused("%q does not say by its ending what it holds: say it with --format csv, xlsx, ods, json or ndjson", file)
}

// prepare asks the node about the standard.
func (im *importer) prepare(ctx context.Context) error {
	var err error
	if im.std, err = im.gate.Show(ctx, node.StandardRequest{Name: im.standard}); err != nil {
		return err
	}
	// From here on the very version that was looked at, whatever is adopted
	// meanwhile.
	im.standard = im.std.Name.String()
	if m := im.mapping; m != nil && m.Standard != im.std.Name.Line() {
		return misused("the mapping is for %s and not for %s", m.Standard, im.std.Name)
	}
	if t := im.turned; t != nil && t.Standard != im.std.Name.Line() {
		return misused("the translation is for %s and not for %s", t.Standard, im.std.Name)
	}
	for _, k := range im.std.Key {
		im.key = append(im.key, name.Field(k))
	}
	im.limits = strictjson.DefaultLimits()
	if cfg, err := im.load(); err == nil {
		im.limits.Bytes = cfg.Limits.RecordBytes
	}
	return nil
}

// private reports whether the values at a place may be about a person.
func (im *importer) private(f name.Field) bool {
	return standard.ClassIn(im.std.Classes, f).AboutPerson()
}

func (im *importer) open(ctx context.Context, file string) (io.Closer, *intake.Reader, error) {
	at, err := name.ParseField(im.at)
	if err != nil {
		return nil, nil, misused("--at: %v", err)
	}
	in := &countingReader{ctx: ctx, in: im.in, bar: im.tally.bar}
	var head []byte
	if file != "-" {
		if in.file, err = os.Open(file); err != nil {
			return nil, nil, fmt.Errorf("read file: %w", err)
		}
		in.in = in.file
		if st, err := in.file.Stat(); err == nil && st.Mode().IsRegular() {
			in.size = st.Size()
			head = make([]byte, 4096)
			n, _ := in.file.ReadAt(head, 0)
			head = head[:n]
		}
	}
	format, err := im.formatOf(file, head)
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	r, err := intake.Open(in, intake.Options{Format: format, Mapping: im.mapping, Translation: im.turned, Sheet: im.sheet, At: at, Reference: im.key, Private: im.private, Limits: im.limits})
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, r, nil
}

// each reads the files one after the other. A file that cannot be read to its
// end is counted and reported, and the others go on.
func (im *importer) each(ctx context.Context, files []string) error {
	im.tally.bar.start(im.err, files, im.dryRun)
	defer im.tally.bar.stop()
	for _, file := range files {
		in, r, err := im.open(ctx, file)
		if err == nil && im.tally.rejects != nil {
			if err = im.tally.rejects.begin(r); err != nil {
				in.Close()
			}
		}
		if err == nil {
			err = im.offer(ctx, file, r)
			im.tally.notes(file, r.Notes())
			in.Close()
		}
		if fe, ok := errors.AsType[*intake.FileError](err); ok {
			im.tally.brokenFile(file, fe)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// stamps is what tells a file from the same file changed.
func stamps(files []string) ([]string, error) {
	var out []string
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		out = append(out, fmt.Sprint(st.Size(), st.ModTime().UnixNano()))
	}
	return out, nil
}

// A countingReader counts the bytes read of a file, moves the progress bar by
// them, and gives no more once it is to stop: however much a file makes of few
// bytes, an import ends within moments.
type countingReader struct {
	ctx  context.Context
	in   io.Reader
	file *os.File // nil for standard input
	size int64    // 0: not to be read from any place
	bar  *bar
}

func (c *countingReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.in.Read(p)
	c.bar.add(int64(n))
	return n, err
}

// ReadAt and Size make it an intake.Source, where the file can be one.
func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.file.ReadAt(p, off)
	c.bar.add(int64(n))
	return n, err
}

// Size returns the length of the file in bytes, or -1.
func (c *countingReader) Size() int64 {
	if c.size == 0 {
		return -1
	}
	return c.size
}

func (c *countingReader) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
