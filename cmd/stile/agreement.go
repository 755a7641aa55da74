package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) agreementCommand() *cobra.Command {
	return noun("agreement", "Draft, preview, sign, list, suspend, renew and end agreements", `An agreement says who may receive which rows and fields of a standard, why, on
what lawful basis and until when. One YAML document is the legal record and the
configuration in one. Nothing is shared until every party has signed it.

The way of one: draft it, fill in every heading, preview what it would let out,
sign it, and the partner signs the same text by its name.`,
		a.agreementDraftCommand(), a.agreementPreviewCommand(), a.agreementSignCommand(), a.agreementCounterCommand(), a.agreementListCommand(), a.agreementShowCommand(),
		a.agreementBringCommand(), a.agreementSuspendCommand(), a.agreementGiveUpCommand(), a.agreementResumeCommand(), a.agreementRenewCommand(), a.agreementNovateCommand(), a.agreementCheckpointCommand(), a.agreementEndCommand(), a.agreementExportCommand(), a.agreementLintCommand(), a.agreementDiffCommand(), a.agreementAcceptCommand())
}

func (a *app) agreementDraftCommand() *cobra.Command {
	var from, sender, std, rows, slug, out, mode, template string
	var to, fields, match []string
	var listed bool
	c := &cobra.Command{
		Use:   "draft --to COUNCIL --standard STANDARD",
		Short: "Write an agreement to fill in: empty, from a template or from a paper",
		Long: `Draft writes an agreement to fill in, with a line of guidance on each heading.

With --from FILE it begins from a paper that is there already: a Word file (.docx),
an OpenDocument text (.odt) or Markdown (.md). What stands under a heading that is
known, or beside one in a table, goes under ours; docs/standard-agreement.md is the
table of them. Every heading says in a comment where in the paper it comes from,
what could not be taken as it stood, and, at the end, all that has no place. It is
a beginning: a person compares every heading with the paper. Rows and fields are
hardly ever in a paper in a form that a node can go by.

With --template NAME it is one of the sharings that councils ask for most, complete;
--list lists them. Starts is today and review a year later. What only the parties
can know stands under a comment that begins with YOURS.`,
		Example: `  stile agreement draft --to saltby.gov.uk --standard housing-need \
    --fields /reference,/status,/applicant/name --rows 'record.moved_to == "E07000999"' \
    --slug people-moving-to-saltby --out agreement.yaml
  stile agreement draft --to saltby.gov.uk --standard housing-need --fields /reference,/status --match /nino
  stile agreement draft --from agreement.docx --to saltby.gov.uk --standard housing-need --out agreement.yaml
  stile agreement draft --template ehc-plan-transfer --to saltby.gov.uk --out agreement.yaml`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var doc []byte
			var err error
			switch paper := from; {
			case listed:
				return a.listTemplates()
			case template != "" && (std != "" || rows != "" || mode != "" || len(fields)+len(match) > 0):
				return misused("a template has its standard, mode, rows and fields: change them in the file that is written")
			case template != "" && (isPaper(from) || from != "" && sender != ""):
				return misused("give --template or --from, and name the sender once")
			case template != "":
				doc, err = a.draftTemplate(cmd.Context(), template, from+sender, to, slug)
			case isPaper(from):
				doc, err = a.draftPaper(cmd.Context(), paper, sender, to, std, rows, slug, fields, mode, match)
			case sender != "" && from != "":
				return misused("name the sender once: --sender, or --from without a paper")
			default:
				if doc, err = a.draft(cmd.Context(), from+sender, to, std, rows, slug, fields); err == nil {
					doc, err = asked(doc, agreement.Mode(mode), match)
				}
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]string{"document": string(doc)})
			}
			if err := a.writeNew(out, doc, 0o644); err != nil {
				return err
			}
			if out != "" && out != "-" {
				a.say("wrote %s; fill in every heading, then: stile agreement preview %s", out, quoted(out))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "`paper` to begin from, a .docx, .odt or .md file; or the council that sends, as --sender")
	f.StringVar(&template, "template", "", "begin from this `template`; --list lists them")
	f.BoolVar(&listed, "list", false, "list the templates that come with Stile")
	f.StringVar(&sender, "sender", "", "`council` that sends; default: our own")
	f.StringSliceVar(&to, "to", nil, "`councils` that receive, with commas between")
	f.StringVar(&std, "standard", "", "`standard` of the records")
	f.StringSliceVar(&fields, "fields", nil, "JSON `pointers` of the fields that travel besides the open ones, with commas between")
	f.StringVar(&mode, "mode", "", fmt.Sprintf("%s; `mode` is %s unless set, and %s with --match", agreement.ModeWords(false), agreement.DraftMode(false), agreement.DraftMode(true)))
	f.StringSliceVar(&match, "match", nil, "JSON `pointers` of the fields that the receiver may ask by, with commas between")
	f.StringVar(&rows, "rows", "", "which records travel, in `CEL`; \"true\" for all")
	f.StringVar(&slug, "slug", "", "last part of the agreement's `name`; default: the standard's and the receiver's")
	f.StringVar(&out, "out", "", "new `file` to write; default: standard output")
	return c
}

func (a *app) draft(ctx context.Context, from string, to []string, named, rows, slug string, fields []string) ([]byte, error) {
	if len(to) == 0 || named == "" {
		return nil, misused("name the receiver with --to and the standard with --standard")
	}
	if from == "" {
		cfg, err := a.load()
		if err != nil {
			return nil, misused("name the sender with --from, or the data folder with --data")
		}
		from = string(cfg.Council)
	}
	sender, err := name.ParseCouncil(strings.ToLower(from))
	if err != nil {
		return nil, misused("--from: %v", err)
	}
	var receivers []name.Council
	for _, t := range to {
		c, err := name.ParseCouncil(strings.ToLower(t))
		if err != nil {
			return nil, misused("--to: %v", err)
		}
		receivers = append(receivers, c)
	}
	std, err := a.standardFor(ctx, named)
	if err != nil {
		return nil, err
	}
	if slug == "" {
		first, _, _ := strings.Cut(string(receivers[0]), ".")
		slug = std.Name().Name.Slug() + "-to-" + first
	}
	n, err := name.ParseAgreement(string(sender) + "/" + slug)
	if err != nil {
		return nil, misused("--slug: %v", err)
	}
	var chosen []name.Field
	for _, f := range fields {
		p, err := name.ParseField(f)
		if err != nil || p == "" {
			return nil, misused("--fields: %q is no field: want a JSON Pointer, such as /applicant/name", f)
		}
		chosen = append(chosen, p)
	}
	doc := fillIn(string(agreement.Draft(n, receivers, std)), rows, chosen)
	filled, err := agreement.Parse([]byte(doc))
	if err != nil {
		return nil, failure(node.Usage, "", "--rows or --fields cannot stand in an agreement: %v", err)
	}
	if strings.TrimSpace(filled.Rows) != strings.TrimSpace(rows) || slices.ContainsFunc(chosen, func(f name.Field) bool { return !slices.Contains(filled.Fields, f) }) {
		return nil, errors.New("internal error: the draft has no place for rows or fields")
	}
	return []byte(doc), nil
}

// asked makes of a draft one under which the receiver asks.
func asked(doc []byte, mode agreement.Mode, match []string) ([]byte, error) {
	if mode == "" {
		mode = agreement.DraftMode(len(match) > 0)
	}
	switch drafted := agreement.DraftMode(false); {
	case !slices.Contains(agreement.Modes(), mode):
		return nil, misused("--mode wants %s", agreement.ModeWords(false))
	case len(match) > 0 && !mode.Way().ByMatch:
		return nil, misused("--match is for mode %s", agreement.DraftMode(true))
	case mode == drafted:
		return doc, nil
	}
	out := strings.Replace(string(doc), "\nmode: "+string(agreement.DraftMode(false))+"\n", "\nmode: "+string(mode)+"\n", 1)
	if len(match) > 0 {
		list := "\nmatch:\n"
		for _, f := range match {
			if p, err := name.ParseField(f); err != nil || p == "" {
				return nil, misused("--match: %q is no field: want a JSON Pointer, such as /nino", f)
			}
			list += "  - " + yamlText(f) + "\n"
		}
		out = strings.Replace(out, "\nmatch: []\n", list, 1)
		out = strings.Replace(out, "\nmatch:\n\n", list+"\n", 1)
	}
	a, err := agreement.Parse([]byte(out))
	if err != nil || a.Mode != mode || len(a.Match) != len(match) {
		return nil, errors.Join(errors.New("internal error: the draft has no place for mode or match"), err)
	}
	return []byte(out), nil
}

// fillIn puts rows and fields into a draft, in the places it has for them. The
// draft keeps its comments, which is why this is done on its text.
func fillIn(doc, rows string, fields []name.Field) string {
	lines := strings.Split(doc, "\n")
	var out []string
	var rest []name.Field // chosen and not yet written
	for _, f := range fields {
		if !slices.Contains(rest, f) {
			rest = append(rest, f)
		}
	}
	inFields := false
	flush := func() {
		for _, f := range rest {
			out = append(out, "  - "+yamlText(string(f)))
		}
		rest = nil
	}
	for _, l := range lines {
		switch {
		case l == "rows:" && rows != "":
			l = "rows: " + yamlText(rows)
		case l == "fields:":
			inFields = true
		case inFields && strings.HasPrefix(l, "  - "):
			rest = slices.DeleteFunc(rest, func(f name.Field) bool { return strings.Trim(l[4:], `"`) == string(f) })
		case inFields && strings.HasPrefix(l, "  # - "):
			offered, _, _ := strings.Cut(l[6:], "   (")
			if i := slices.Index(rest, name.Field(offered)); i >= 0 {
				l = "  - " + yamlText(offered)
				rest = slices.Delete(rest, i, i+1)
			}
		case inFields:
			inFields = false
			flush()
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// yamlText is a text as YAML reads it in any place.
func yamlText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return string(b)
}

// agreementNamed is the request for an agreement that a person named by a file
// or by its name.
func (a *app) agreementNamed(named string, version int) (node.AgreementRequest, error) {
	req := node.AgreementRequest{Version: version}
	if st, err := os.Stat(named); named == "-" || (err == nil && !st.IsDir()) {
		var err error
		req.Document, err = a.readFile(named, agreement.MaxDocument)
		return req, err
	}
	if _, err := name.ParseAgreement(named); err != nil || strings.HasSuffix(named, ".yaml") {
		return req, failure(node.NotFound, "stile agreement list", "%q is neither a file nor the name of an agreement, such as northmoor.gov.uk/people-moving-to-saltby", named)
	}
	req.Name = named
	return req, nil
}

func (a *app) agreementPreviewCommand() *cobra.Command {
	var samples, version int
	var counter string
	c := &cobra.Command{
		Use:   "preview FILE|NAME",
		Short: "Show what an agreement would let out of the records there are",
		Long: `Preview counts the records that the agreement's filter picks now, and says field
by field what would be sent and what withheld. With --samples it shows rows as
the partner would see them. It also lists what keeps the agreement from being
signed. At a receiver it lists the fields that would come; what they would be
counted in is known to the sender alone. Of a new version it counts at the sender
what each receiver would gain and lose against the version that stands: records, and
in how many records each field. Of an agreement whose origin is another it counts, at
who passes on, the records that are held under that one, and says what it keeps back.
Nothing is signed and nothing is sent.`,
		Args: takes(1, 1, "a file or the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.agreementNamed(args[0], version)
			if err != nil {
				return err
			}
			req.Samples, req.Counter = samples, counter
			r, err := a.node().Agreements().Preview(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.previewed(r, args[0])
			return nil
		},
	}
	c.Flags().IntVar(&samples, "samples", 0, "show this `number` of rows as the partner would see them, at most 20")
	c.Flags().IntVar(&version, "version", 0, "`version` of a named agreement; default: the newest")
	c.Flags().StringVar(&counter, "counter", "", "what this `council` proposed instead of the newest version")
	return c
}

func (a *app) previewed(r node.PreviewReply, named string) {
	a.printf("%s\n", r.Name)
	way := agreement.Mode(r.Mode).Way()
	if r.Sender != "" {
		a.printf("%s would be the sender: how many of its records these are only it can count\n", r.Sender)
		t := newTable("FIELD WE MAY SEE", "CLASS")
		for _, f := range r.Fields {
			t.add(f.Field, f.Class)
		}
		t.write(a.out, "  ")
		a.previewEnds(r, named)
		return
	}
	t := newTable("#", "")
	if r.Origin == "" {
		t.add(number(r.Records), "records of the standard")
	} else {
		t.add(number(r.Records), "records held that were received under the origin")
	}
	t.add(number(r.Matched), way.Would)
	if r.Nothing != "" {
		t.add(number(r.Records-r.Unsigned), "would not: "+r.Nothing)
	} else {
		t.add(number(r.Records-r.Matched-r.Errors-r.Unsigned), "would not: the filter does not pick them")
	}
	if r.Unsigned > 0 {
		t.add(number(r.Unsigned), "would not: they have no signature of their own council by itself")
	}
	if r.Errors > 0 {
		t.add(number(r.Errors), "would not: the filter fails on them")
	}
	t.write(a.out, "  ")
	if len(r.Fields) > 0 && way.Shows() {
		a.printf("fields of the records that %s\n", way.Would)
		t = newTable("FIELD", "CLASS", "", "#FILLED IN")
		for _, f := range r.Fields {
			what := "withheld"
			if f.Sent {
				what = way.Sent
			}
			t.add(f.Field, f.Class, what, number(f.Filled))
		}
		t.write(a.out, "  ")
	}
	if way.Words != "" {
		a.printf("%s\n", way.Words)
	}
	for i, s := range r.Samples {
		a.printf("sample %d, as the partner would see it\n%s\n", i+1, pretty(s, "  "))
	}
	a.previewEnds(r, named)
}

// previewKept says how long the receiver would keep what it gets, and what of that no
// node can see to.
func (a *app) previewKept(r node.PreviewReply) {
	a.printf("kept by the receiver %s; its node then deletes it and says so\n", r.Kept)
	a.printf("only people can do the rest: %s\n", r.People)
}

// previewEnds says what is different from the version before, and whether the text
// can be signed.
func (a *app) previewEnds(r node.PreviewReply, named string) {
	if agreement.Mode(r.Mode).Way().Copied && r.Kept != "" {
		a.previewKept(r)
	}
	if r.Subjects != "" {
		a.printf("%s\n", r.Subjects)
	}
	if r.Origin != "" {
		a.printf("what travels: %s\n", r.Origin)
	}
	for _, s := range r.HeldBack {
		a.printf("what stays here: %s\n", s)
	}
	if r.Onward != "" {
		a.printf("what a receiver may pass on: %s\n", r.Onward)
	}
	if r.Bounded != "" {
		a.printf("%s\n", r.Bounded)
	}
	if len(r.Widens) > 0 {
		a.printf("against the version before\n")
		for _, w := range r.Widens {
			a.printf("  %s\n", clean(w))
		}
	}
	for _, x := range r.Impact {
		a.printf("%s against version %d: gains %s and loses %s; %s before, %s after\n", x.Council, x.Against,
			plural(x.Gained, "record", "records"), plural(x.Lost, "record", "records"), number(x.Before), number(x.After))
		if len(x.Fields) > 0 {
			t := newTable("FIELD", "CLASS", "#GAINED IN", "#LOST IN")
			for _, f := range x.Fields {
				t.add(f.Field, f.Class, number(f.Gained), number(f.Lost))
			}
			t.write(a.out, "  ")
		}
	}
	if len(r.Problems) > 0 {
		a.say("it cannot be signed yet")
		for _, p := range r.Problems {
			a.hint("  %s\n", problemLine(p))
		}
		return
	}
	a.say("it can be signed: stile agreement sign %s", quoted(named))
}

func (a *app) agreementSignCommand() *cobra.Command {
	var yes bool
	var version int
	var out, counter string
	var who speaker
	c := &cobra.Command{
		Use:   "sign FILE|NAME",
		Short: "Sign an agreement for our council",
		Long: `Sign puts our council's signature under an agreement and logs it. The sender
signs a file, which proposes it to the partner; the partner signs it by its name
once it has arrived (stile agreement list). It is in force when every party has
signed and its first day has come. The sender's node then matches the records it
already has, in the background: show and status say how far it is. A footprint
that is a party has signed once a majority of its members has, each with this
command on its own node.

With --as a person says by their passphrase who they are (stile person passphrase), and
is named in what is signed. Where web.two_persons is set somebody must, and nothing is
signed before another signer has said yes to the same text, here or at the pages.

A receiver that runs no node signs the file that the sender sends it, in a data folder
of its own, and sends back what --out wrote; the sender takes it in with stile
agreement bring. See docs/receiving.md.`,
		Args: takes(1, 1, "a file or the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := a.agreementNamed(args[0], version)
			if err != nil {
				return err
			}
			req.Counter = counter
			if err := a.sure(yes, "sign %s for our council", args[0]); err != nil {
				return err
			}
			if err := a.speaks(who, &req); err != nil {
				return err
			}
			if out != "" {
				return a.signatureFile(cmd.Context(), req, out)
			}
			r, err := a.node().Agreements().Sign(cmd.Context(), req)
			if err != nil {
				if e, ok := err.(*node.Error); ok && len(e.Problems) > 0 {
					// The list follows from the problems themselves.
					e.Message, _, _ = strings.Cut(e.Message, ":\n")
				}
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if r.Approval != nil {
				a.another(*r.Approval, "sign "+args[0])
				return nil
			}
			a.printf("signed %s version %d, document %s\n", r.Name, r.Version, r.Digest)
			a.printf("signed by %s; %s\n", list(r.Signed), force(r))
			if r.Unsent != "" {
				a.say("%s", r.Unsent)
			}
			if r.Matching != nil {
				a.say("the records already here are being matched; how far that is: stile agreement show %s", r.Name)
			}
			if len(r.Waiting) > 0 {
				a.say("next, there: stile agreement sign %s", r.Name)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	who.flags(c)
	c.Flags().StringVar(&out, "out", "", "new `file` for the signature, of a receiver that runs no node")
	c.Flags().IntVar(&version, "version", 0, "`version` of a named agreement; default: the newest")
	c.Flags().StringVar(&counter, "counter", "", "sign what this `council` proposed instead of the newest version")
	return c
}

// force says in words whether an agreement is in force.
func force(r node.AgreementReply) string {
	if r.InForce {
		return "in force"
	}
	if r.Why == "" {
		return "not in force"
	}
	return "not in force: " + r.Why
}

func (a *app) agreementListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List agreements and whether they are in force",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rs, err := a.node().Agreements().List(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			waiting, err := a.node().Agreements().Approvals(cmd.Context())
			if err != nil {
				return err
			}
			if len(rs)+len(waiting) == 0 {
				a.say("no agreement yet; stile agreement draft writes one to fill in")
				return nil
			}
			t := newTable("AGREEMENT", "#VERSION", "FROM", "TO", "STANDARD", "REVIEW", "STATE")
			for _, r := range rs {
				t.add(string(r.Name), number(r.Version), string(r.From), list(r.To), r.Standard.String(), r.Review, force(r))
			}
			t.write(a.out, "")
			for _, r := range rs {
				for _, x := range r.Counters {
					a.say("%s answers version %d of %s with another text: stile agreement show %s", x.Council, x.Answers, r.Name, r.Name)
				}
			}
			for _, w := range waiting {
				a.say("%s has said yes to %s about %s, and another signer must say the same", w.By, approved(w), w.Agreement)
			}
			return nil
		},
	}
}

func (a *app) agreementShowCommand() *cobra.Command {
	var version int
	var document bool
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show an agreement: its text, signatures and how the exchange stands",
		Args:  takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Agreements().Show(cmd.Context(), node.AgreementRequest{Name: args[0], Version: version})
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.emit(r)
			case document:
				a.exact(r.Document)
				return nil
			}
			t := newTable("", "")
			t.add("agreement", fmt.Sprintf("%s version %d", r.Name, r.Version))
			t.add("state", force(r))
			if m := r.Matching; m != nil {
				t.add("matching", fmt.Sprintf("%s of %s looked at", number(m.Examined), plural(m.Of, "record", "records")))
			}
			t.add("signed by", list(r.Signed))
			if len(r.Waiting) > 0 {
				t.add("waiting for", list(r.Waiting))
			}
			shownDates(t, r)
			t.add("document", "SHA-256 "+r.Digest)
			t.write(a.out, "")
			a.printCounters(r)
			if len(r.Partners) > 0 {
				a.printf("\n")
				partnerTable(r.Partners).write(a.out, "")
				a.printUnconfirmed(r.Partners)
				a.printOwed(r.Partners)
				a.printAtTerm(r.Partners)
				for _, p := range r.Partners {
					if p.Direction == "from" && p.Mode == "" {
						a.printf("%s of %s proved by the signed log of %s; %s withheld\n",
							number(p.Proved), plural(p.Held, "record", "records"), p.Council, plural(p.Withheld, "field", "fields"))
					}
				}
			}
			for _, c := range r.Confirmed {
				a.printf("%s: %s taken and %s confirmed by all %d members; the last receipt is entry %s, of %s\n", c.Footprint,
					plural(c.Held, "record", "records"), plural(c.Withdrawn, "withdrawal", "withdrawals"), len(c.Members), number(c.Entry), at(c.At))
			}
			a.printf("\n")
			a.printf("%s", name.Lines(r.Document))
			return nil
		},
	}
	c.Flags().IntVar(&version, "version", 0, "`version` to show; default: the newest")
	c.Flags().BoolVar(&document, "document", false, "print the document alone")
	return c
}

func (a *app) agreementSuspendCommand() *cobra.Command {
	var yes bool
	var reason string
	var version int
	c := &cobra.Command{
		Use:   "suspend NAME --reason TEXT",
		Short: "Stop what travels under an agreement, for now",
		Long: `Suspend stops at once what travels under an agreement, whichever side says it.
The receiver keeps what it holds, and what changes meanwhile waits until whoever
suspended the agreement resumes it. What has to come back, because a record was
deleted or matches no more, comes back all the same. To have everything deleted,
end the agreement.

Any one member suspends for a footprint, and a majority of its members resumes.
A member that is itself party, such as the one that sends, suspends and resumes
for itself alone.`,
		Args: takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return misused("say with --reason why it is suspended; the partner will read it")
			}
			if err := a.sure(yes, "suspend %s", args[0]); err != nil {
				return err
			}
			return a.halted(a.node().Agreements().Suspend(cmd.Context(), node.AgreementRequest{Name: args[0], Version: version, Reason: reason}))
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why it is suspended, in `words`")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().IntVar(&version, "version", 0, "`version` to suspend; default: the one in force")
	return c
}

func (a *app) agreementCheckpointCommand() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "checkpoint NAME",
		Short: "Commit in our log to what an agreement permits",
		Long: `Checkpoint counts the records that an agreement of ours permits each receiver, and
writes number and root of them into our log. The receiver counts what it was given
up to the same place and compares: so it sees that nothing was left out and nothing
added. stile status names a difference at the receiver, stile verify checks it in an
audit bundle, and stile audit run counts again from the records.

The node does this by itself: a minute after a receiver has everything for the first
time, and then once an hour if something changed. This command does it now. It waits
until the receivers have everything, for a minute at most.

Of an agreement under which a footprint sends each member counts in its own log, where
the receiver asks that member.`,
		Example: `  stile agreement checkpoint northmoor.gov.uk/people-moving-to-saltby`,
		Args:    takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ps, err := a.node().Agreements().Checkpoint(cmd.Context(), node.CountRequest{Agreement: args[0], To: name.Council(to)})
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, ps)
			}
			for _, p := range ps {
				if p.Counted != nil {
					log := "our log"
					if p.Footprint != "" {
						log = "the log of " + string(p.Footprint)
					}
					a.printf("%s: %s at %s of %s, root %s\n", p.Council, plural(p.Counted.Count, "record", "records"), plural(p.Counted.Size, "entry", "entries"), log, p.Counted.Root)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "only for this `council`; default: every receiver")
	return c
}

func (a *app) agreementResumeCommand() *cobra.Command {
	var yes bool
	var reason string
	var version int
	c := &cobra.Command{
		Use:   "resume NAME",
		Short: "Take our suspension of an agreement back",
		Long: `Resume lets an agreement that we suspended go on where it was. Where a footprint
that we are a member of suspended it, it is resumed once a majority of the members
has said so, each with this command on its own node.`,
		Args: takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "resume %s", args[0]); err != nil {
				return err
			}
			return a.halted(a.node().Agreements().Resume(cmd.Context(), node.AgreementRequest{Name: args[0], Version: version, Reason: reason}))
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why it goes on, in `words`")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().IntVar(&version, "version", 0, "`version` to resume; default: the one suspended")
	return c
}

// halted says what suspending or resuming an agreement came to.
func (a *app) halted(r node.AgreementReply, err error) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.emit(r)
	}
	a.printf("%s version %d: %s\n", r.Name, r.Version, force(r))
	if r.Unsent != "" {
		a.say("%s", r.Unsent)
	}
	return nil
}

func (a *app) agreementEndCommand() *cobra.Command {
	var yes bool
	var reason string
	var version int
	c := &cobra.Command{
		Use:   "end NAME --reason TEXT",
		Short: "End an agreement; the receiver deletes what it holds under it",
		Args:  takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return misused("say with --reason why it ends; the partner will read it")
			}
			if err := a.sure(yes, "end %s, so that the receiver deletes all it holds under it", args[0]); err != nil {
				return err
			}
			r, err := a.node().Agreements().End(cmd.Context(), node.AgreementRequest{Name: args[0], Version: version, Reason: reason})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s version %d: %s\n", r.Name, r.Version, force(r))
			return nil
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why it ends, in `words`")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().IntVar(&version, "version", 0, "`version` to end; default: the newest")
	return c
}
