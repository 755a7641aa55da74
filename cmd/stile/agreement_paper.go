package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/document"
	"github.com/stile-exchange/stile/internal/paper"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) agreementExportCommand() *cobra.Command {
	var version int
	var out string
	forms := map[document.Format]*bool{}
	c := &cobra.Command{
		Use:   "export FILE|NAME --docx|--odt|--html|--pdf|--md",
		Short: "Print an agreement as a paper: Word, OpenDocument, HTML, PDF or Markdown",
		Long: `Export prints an agreement as a governance officer knows one: in the sections of
the Information Commissioner's data sharing code, with every heading, what the
nodes enforce in plain words, who signed and when, and what proves it. Of a draft
in a file it prints the text, and says that nobody has signed it.

The same text with the same signatures is the same file, byte for byte, until the
log grows: the paper names the checkpoint of the day. It is written to --out, or to
standard output when that is no terminal. A character that the fonts of a PDF do
not have is printed by its number, and a line on standard error says so.`,
		Example: `  stile agreement export northmoor.gov.uk/people-moving-to-saltby --docx --out agreement.docx
  stile agreement export draft.yaml --html --out draft.html`,
		Args: takes(1, 1, "a file or the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var format document.Format
			for _, f := range document.Formats() {
				if *forms[f] && format != "" {
					return misused("give one of --docx, --odt, --html, --pdf and --md")
				} else if *forms[f] {
					format = f
				}
			}
			if format == "" {
				return misused("say in which form, such as --docx or --pdf")
			}
			if (out == "" || out == "-") && isTerminal(a.out) && format != document.MD && format != document.HTML {
				return misused("name the file with --out: a terminal cannot show a %s", format)
			}
			doc, ev, err := a.evidence(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			std, err := a.standardFor(cmd.Context(), doc.Standard.String())
			if err != nil {
				std = nil
				a.say("the standard %s is not here, so the fields have no words: %v", doc.Standard, err)
			}
			d := paper.Write(doc, std, ev)
			if format == document.PDF {
				if odd := d.Unprintable(); len(odd) > 0 {
					a.say("the fonts have no sign for %q, which are printed by their numbers; --docx or --html has them", string(odd))
				}
			}
			var b bytes.Buffer
			if err := d.Write(&b, format); err != nil {
				return err
			}
			if err := a.writeNew(out, b.Bytes(), 0o644); err != nil {
				return err
			}
			if out != "" && out != "-" {
				a.say("wrote %s", out)
			}
			return nil
		},
	}
	f := c.Flags()
	for _, form := range document.Formats() {
		forms[form] = f.Bool(string(form), false, map[document.Format]string{
			document.DOCX: "as a Word file", document.ODT: "as an OpenDocument text", document.HTML: "as one web page",
			document.PDF: "as a PDF", document.MD: "as Markdown"}[form])
	}
	f.StringVar(&out, "out", "", "new `file` to write; default: standard output")
	f.IntVar(&version, "version", 0, "`version` of a named agreement; default: the newest")
	return c
}

// evidence finds an agreement by a file or its name, and what is known of it.
func (a *app) evidence(ctx context.Context, named string, version int) (*agreement.Agreement, paper.Evidence, error) {
	req, err := a.agreementNamed(named, version)
	if err != nil {
		return nil, paper.Evidence{}, err
	}
	if len(req.Document) > 0 {
		doc, err := agreement.Parse(req.Document)
		if err != nil {
			return nil, paper.Evidence{}, failure(node.Invalid, "stile agreement draft writes a document to fill in", "%s: %v", named, err)
		}
		return doc, paper.Evidence{}, nil
	}
	r, err := a.node().Agreements().Show(ctx, req)
	if err != nil {
		return nil, paper.Evidence{}, err
	}
	doc, err := agreement.Parse([]byte(r.Document))
	if err != nil {
		return nil, paper.Evidence{}, err
	}
	ev := paper.Evidence{State: force(r), Review: r.Review, Log: string(r.Log), Size: r.LogSize, Root: r.LogRoot}
	for _, s := range r.Signatures {
		ev.Signatures = append(ev.Signatures, paper.Signature{Council: string(s.Council), By: s.By, At: s.At, Entry: s.Entry, Digest: s.Event})
	}
	return doc, ev, nil
}

// isPaper reports whether --from names a paper and not a council: it ends as one does,
// and is a file.
func isPaper(named string) bool {
	switch strings.ToLower(filepath.Ext(named)) {
	case ".docx", ".odt", ".md", ".markdown":
		st, err := os.Stat(named)
		return err == nil && !st.IsDir() || strings.ContainsAny(named, `/\`) || !strings.HasSuffix(strings.ToLower(named), ".md")
	}
	return false
}

// draftPaper makes a draft of a paper. What the flags say goes before what it says.
func (a *app) draftPaper(ctx context.Context, file, from string, to []string, named, rows, slug string, fields []string, mode string, match []string) ([]byte, error) {
	b, err := a.readFile(file, document.MaxFile)
	if err != nil {
		return nil, err
	}
	d, err := document.Read(b)
	if err != nil {
		return nil, failure(node.Invalid, "save it anew as .docx, .odt or .md, and look at who sent it", "%s: %v", file, err)
	}
	read := paper.Fill(d)
	if from == "" {
		if cfg, err := a.load(); err == nil {
			from = string(cfg.Council)
		} else if from = read.Texts["from"]; from == "" {
			return nil, misused("name the sender with --sender, or the data folder with --data: the paper does not name it as a domain")
		}
	}
	if len(to) == 0 {
		to = councilsIn(read.Texts["to"])
	}
	if len(to) == 0 {
		return nil, misused("name the receiver with --to: the paper does not name it as a domain, such as saltby.gov.uk")
	}
	if named == "" {
		if _, err := name.ParseStandardLine(strings.TrimSpace(read.Texts["standard"])); err == nil {
			named = strings.TrimSpace(read.Texts["standard"])
		} else {
			return nil, misused("name the standard with --standard: the paper does not name one as publisher/name@major")
		}
	}
	if slug == "" {
		if n, err := name.ParseAgreement(strings.TrimSpace(read.Texts["agreement"])); err == nil && string(n.Council()) == strings.ToLower(from) {
			slug = strings.TrimPrefix(string(n), string(n.Council())+"/")
		}
	}
	base, err := a.draft(ctx, from, to, named, rows, slug, fields)
	if err == nil && (mode != "" || len(match) > 0) {
		base, err = asked(base, agreement.Mode(mode), match)
	}
	if err != nil {
		return nil, err
	}
	given, err := agreement.Parse(base)
	if err != nil {
		return nil, err
	}
	std, err := a.standardFor(ctx, named)
	if err != nil {
		return nil, err
	}
	if mode == "" && len(match) == 0 {
		given.Mode = ""
	}
	given.Roles, given.Contacts = nil, nil
	if len(fields) == 0 {
		given.Fields = nil
	}
	remarks, rest := read.Into(given)
	if given.Mode == "" {
		given.Mode = agreement.DraftMode(len(given.Match) > 0)
	}
	doc := given.Draft(std, remarks, rest)
	if _, err := agreement.Parse(doc); err != nil {
		return nil, errors.Join(errors.New("internal error: the draft of a paper cannot be read"), err)
	}
	placed := 0
	for range remarks {
		placed++
	}
	a.say("of %s: %s filled in, %s could not be placed and stand as comments at the end; compare every heading with the paper",
		file, plural(placed, "heading", "headings"), plural(len(read.Left), "piece", "pieces"))
	return doc, nil
}

// councilsIn returns the councils that a text names by their domains.
func councilsIn(text string) (out []string) {
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" ,;\n()", r) }) {
		if c, err := name.ParseCouncil(strings.Trim(w, ".")); err == nil && !slices.Contains(out, string(c)) {
			out = append(out, string(c))
		}
	}
	return out
}
