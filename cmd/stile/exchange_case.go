package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/examples"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/exchange"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// caseStandard is the standard of the records that say what flowed in an exchange.
const caseStandard = "exchange-case"

// A flow is what really went under an agreement of an exchange, counted from the signed
// log of the sender: what an exchange-case record says.
type flow struct {
	Exchange  string            `json:"exchange"`
	Council   string            `json:"council"` // GSS code of who tells
	Agreement name.Agreement    `json:"agreement"`
	Version   int               `json:"version"`
	Standard  name.StandardLine `json:"standard"`
	Mode      string            `json:"mode"`
	From      name.Council      `json:"from"`
	To        []name.Council    `json:"to"`
	CountedOn string            `json:"counted_on"` // a date
	Records   int               `json:"records"`
	Withdrawn int               `json:"withdrawn"`
	Receipts  int               `json:"receipts"`
	Fields    int               `json:"fields,omitempty"`
	Withheld  int               `json:"fields_withheld"`
	// P50 is the median time from commit to receipt, see [pace], in milliseconds as the
	// standard has it and always a multiple of 1000, since both ends are signed with whole
	// seconds; nil where nothing that a receiver keeps was receipted.
	P50 *int64 `json:"p50_ms,omitempty"`
	// Of an exchange that says what has to come before which day, of those records that say
	// one; see [audit.Arrivals]. None of the others.
	Needed  name.Field `json:"needed,omitempty"`
	Before  name.Field `json:"needed_before,omitempty"`
	InTime  *int       `json:"in_time,omitempty"`
	Late    *int       `json:"late,omitempty"`
	NotCome int        `json:"not_come,omitempty"`
	NoDay   int        `json:"no_day,omitempty"`
	// Keepers are the members of a footprint that receives whose cosignatures stand under a
	// checkpoint of its ledger with all that went there: what stands for receipts. It is in no
	// record. Only where an exchange is played.
	Keepers int    `json:"keepers,omitempty"`
	LogSize uint64 `json:"log_size"` // of the checkpoint up to which it was counted
	LogRoot string `json:"log_root"` // of that checkpoint, base64
}

func (a *app) exchangeCaseCommand() *cobra.Command {
	var which string
	var yes bool
	c := &cobra.Command{
		Use:   "case AGREEMENT --exchange EXCHANGE",
		Short: "Count what flowed under an agreement of ours, and sign it as evidence",
		Long: `Case counts from this node's own log what flowed under an agreement of which our
council is the sender: versions of records that went out, withdrawals, receipts, the
fields that travel and those that stay, the first and the last day, and the median time
from the commit of a record to its receipt. It makes the bundle that an auditor would be
given, verifies it and counts from that, so that an auditor who is given one counts the
same. Of an exchange in which something has to come before a day, such as a care plan
before the day of the move (15), it counts by the receipts what did and what came late.

Then it signs what it counted as a record of the standard exchange-case, which counts
as evidence that the exchange works: see docs/registers.md. The standard must have been
adopted ("stile standard adopt exchange-case"). A later count of the same agreement is
the next version of the same record. The standards body gets it by the agreement that
comes with that standard: "stile agreement accept exchange-case".

--exchange says which of the exchanges that come with Stile the agreement is a real case
of ("stile exchange list"). Its standard must be one of that exchange, whoever
publishes it.

A record that was there before its version of the agreement let anything out did not wait
for the exchange: its time begins when it was let out. What is signed, in logs and in
receipts, tells whole seconds, and receipts by the receiver's clock. So the time is right
to a second either way, and p50_ms in the record is a multiple of 1000.`,
		Example: `  stile exchange case northmoor.gov.uk/consultation-saltby --exchange 02
  stile exchange case northmoor.gov.uk/consultation-saltby --exchange 02 --yes`,
		Args: takes(1, 1, "an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if which == "" {
				return misused("say with --exchange which exchange it is a case of")
			}
			e, err := exchangeOf(which)
			if err != nil {
				return err
			}
			return a.signCase(cmd.Context(), e, args[0], yes)
		},
	}
	c.Flags().StringVar(&which, "exchange", "", "the `exchange` that it is a case of, such as 02")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// A counted is a flow with what of it no exchange-case record says.
type counted struct {
	Case     flow            `json:"case"`
	FirstDay string          `json:"first_day"` // on which something was let out, UTC
	LastDay  string          `json:"last_day"`
	Signed   *node.PutResult `json:"signed,omitempty"` // nil while nobody has decided it
}

// signCase counts what flowed under an agreement, prints it, and signs it once that is sure.
func (a *app) signCase(ctx context.Context, e *exchange.Exchange, agreement string, yes bool) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	out, err := a.countCase(ctx, c.Operations, e, agreement)
	if err != nil {
		return err
	}
	if !a.json {
		a.printCase(out)
	}
	err = hasAdopted(ctx, c.Operations, caseStandard)
	if err == nil {
		err = a.sure(yes, "sign this as evidence that exchange %s works", e.ID)
	}
	if err == nil {
		out.Signed, err = putCase(ctx, c.Operations, out.Case)
	}
	if a.json {
		if err := a.emit(out); err != nil {
			return err
		}
	}
	if err == nil && !a.json {
		a.printf("signed as version %s of record %s: %s\n", number(out.Signed.Version), out.Signed.Record, out.Signed.Outcome)
		return a.sendsCases(ctx, c.Operations, out.Case.From)
	}
	return err
}

// sendsCases says how the standards body gets a case, where we have offered nobody our cases.
func (a *app) sendsCases(ctx context.Context, o node.Operations, self name.Council) error {
	all, err := o.Agreements().List(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(r node.AgreementReply) bool {
		return r.From == self && r.Standard.Name.Slug() == caseStandard && (r.InForce || len(r.Waiting) > 0)
	}) {
		a.say("it stands in our register, and nobody is sent it: stile agreement accept %s lets the standards body have it", caseStandard)
	}
	return nil
}

// hasAdopted says how to adopt a standard of which a record is to be signed, where it is not.
func hasAdopted(ctx context.Context, o node.Operations, standard string) error {
	_, err := o.Standards().Show(ctx, node.StandardRequest{Name: standard})
	if isKind(err, node.NotFound) {
		return failure(node.NotFound, "stile standard adopt "+standard, "nothing was signed: this council has not adopted the standard %s", standard)
	}
	return err
}

// countCase counts what flowed under an agreement of ours.
func (a *app) countCase(ctx context.Context, o node.Operations, e *exchange.Exchange, agreement string) (out counted, err error) {
	show, err := o.Agreements().Show(ctx, node.AgreementRequest{Name: agreement})
	if err != nil {
		return out, err
	}
	self, err := o.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return out, err
	}
	switch {
	case show.From != self.Council:
		return out, failure(node.Refused, "ask "+string(show.From)+" for it",
			"%s is not ours to count: what flows under it is in the log of %s, which sends", show.Name, show.From)
	case !slices.Contains(e.Standards, show.Standard.Name.Slug()):
		return out, misfit(e, show)
	case self.GSS == "":
		return out, failure(node.Invalid, "add gss: CODE to the member file of this council, which stile council self shows", "the member file of %s has no GSS code, by which a case says whose it is", self.Council)
	}
	p, err := paceOf(ctx, o, show.Name)
	if err != nil {
		return out, err
	}
	if p.first.IsZero() {
		return out, failure(node.NotFound, "stile agreement show "+quoted(string(show.Name)), "nothing has flowed under %s yet", show.Name)
	}
	b, err := o.Bundle(ctx, node.BundleRequest{Agreement: string(show.Name)})
	if err != nil {
		return out, err
	}
	// It is our own log: whoever is shown the case holds the bundle against keys of their own.
	out.Case, _, err = a.countFlow(ctx, o, e, show, p, b.Bundle, audit.Trust{})
	out.Case.Exchange, out.Case.Council = e.ID, self.GSS
	out.FirstDay, out.LastDay = p.first.Format(time.DateOnly), p.last.Format(time.DateOnly)
	return out, err
}

// misfit says that an exchange is not about the standard of an agreement, and which ones are.
func misfit(e *exchange.Exchange, of node.AgreementReply) error {
	all, err := examples.Exchanges()
	if err != nil {
		return err
	}
	try := "stile exchange list"
	var fit []string
	for _, o := range all {
		if slices.Contains(o.Standards, of.Standard.Name.Slug()) {
			fit = append(fit, o.ID)
		}
	}
	if len(fit) > 0 {
		try = "--exchange " + strings.Join(fit, ", or --exchange ")
	}
	return failure(node.Invalid, try, "%s is of the standard %s, and exchange %s is about %s", of.Name, of.Standard, e.ID, strings.Join(e.Standards, ", "))
}

func (a *app) printCase(c counted) {
	f := c.Case
	t := newTable("", "")
	t.add("exchange", f.Exchange)
	t.add("agreement", string(f.Agreement)+" version "+number(f.Version)+", "+f.Mode)
	t.add("standard", f.Standard.String())
	t.add("from", string(f.From))
	t.add("to", list(f.To))
	t.add("records out", number(f.Records))
	t.add("withdrawn", number(f.Withdrawn))
	t.add("receipts", number(f.Receipts))
	t.add("fields", number(f.Fields)+" travel, "+number(f.Withheld)+" stay")
	if f.InTime != nil {
		t.add("came in time", fmt.Sprintf("%s before the day at %s; %s LATE, on that day or after it", number(*f.InTime), f.Before, number(*f.Late)))
	}
	t.add("days", c.FirstDay+" to "+c.LastDay)
	if f.P50 != nil {
		t.add("commit to receipt", inSeconds(*f.P50)+", the median")
	}
	t.add("log", plural(f.LogSize, "entry", "entries")+", root "+f.LogRoot)
	t.write(a.out, "")
}

// inSeconds says how long something took whose beginning and end are known in whole seconds,
// each cut down: up to a second less than their difference, or more.
func inSeconds(ms int64) string {
	if ms == 0 {
		return "less than 1 s"
	}
	return number(ms/1000) + " s, give or take 1 s"
}

// countFlow counts what flowed under an agreement of the council whose node o is, from a bundle
// of it that verifies with the keys trusted. What the case is of and who tells it the caller
// fills in. A bundle that does not verify is node.Unverified, and its report is shown.
func (a *app) countFlow(ctx context.Context, o node.Operations, e *exchange.Exchange, of node.AgreementReply, p pace, bundle []byte, trusted audit.Trust) (flow, *audit.Report, error) {
	opts := audit.Options{Trust: trusted}
	if n, ok := e.NeededOf(of.Standard.Name.Slug()); ok {
		opts.Needed = &audit.Needed{What: n.What, Before: n.Before}
	}
	report, err := audit.Verify(bytes.NewReader(bundle), int64(len(bundle)), opts)
	if err != nil {
		return flow{}, nil, err
	}
	if !report.OK() {
		report.WriteText(said{a})
		return flow{}, nil, &node.Error{Kind: node.Unverified, Message: "the bundle does not verify"}
	}
	preview, err := o.Agreements().Preview(ctx, node.AgreementRequest{Name: string(of.Name)})
	if err != nil {
		return flow{}, nil, err
	}
	sent, stay := fieldsOf(preview)
	f := flow{
		Agreement: of.Name, Version: of.Version, Standard: of.Standard, Mode: of.Mode,
		From: of.From, To: of.To, CountedOn: a.clock().UTC().Format(time.DateOnly),
		Records: report.Counts.Records, Withdrawn: report.Counts.Withdrawals, Receipts: report.Counts.Receipts,
		Fields: sent, Withheld: stay, P50: p.median(), LogSize: report.LogSize, LogRoot: report.LogRoot,
	}
	if c := report.Arrivals; c != nil && c.InTime+c.Late+c.Missing > 0 {
		f.Needed, f.Before, f.InTime, f.Late, f.NotCome, f.NoDay = c.What, c.Before, &c.InTime, &c.Late, c.Missing, c.NoDay
	}
	return f, report, nil
}

// fieldsOf counts the fields of a preview that would travel, and those that stay.
func fieldsOf(v node.PreviewReply) (sent, stay int) {
	for _, f := range v.Fields {
		if f.Sent {
			sent++
		} else {
			stay++
		}
	}
	return sent, stay
}

// A pace is when things flowed under an agreement, and how long each took from the commit of
// a version of a record until its receiver had signed that it keeps it.
type pace struct {
	first, last time.Time // when something was let out; zero where nothing was
	took        []time.Duration

	began map[uint64]time.Time // when a version of the agreement let something out first
	sent  map[delivery]bool
}

// A delivery is one entry of the log that went to one council.
type delivery struct {
	to    name.Council
	entry uint64
}

// paceOf reads the list of what was let out under an agreement.
func paceOf(ctx context.Context, o node.Operations, a name.Agreement) (p pace, err error) {
	req := node.DisclosureRequest{Agreement: a, Limit: 1000}
	for {
		page, err := o.Disclosures().List(ctx, req)
		if err != nil {
			return p, err
		}
		for _, d := range page.Disclosures {
			p.add(d)
		}
		if req.Cursor = page.Cursor; page.Cursor == "" {
			return p, nil
		}
	}
}

// add takes in what was let out next. What was sent again counts once, as it was sent first.
func (p *pace) add(d node.Disclosure) {
	if p.first.IsZero() {
		p.first, p.began, p.sent = d.At, map[uint64]time.Time{}, map[delivery]bool{}
	}
	p.last = d.At
	if p.began[d.Version].IsZero() {
		p.began[d.Version] = d.At
	}
	of := delivery{d.To, d.RecordEntry}
	if d.Way != node.LetCopy || p.sent[of] {
		return
	}
	p.sent[of] = true
	r := d.Receipt
	if r == nil || r.ByCall || r.Says != "held" && r.Says != "replaced" {
		return // the receiver has signed nothing, or not that it keeps it
	}
	from := d.Committed
	if from.Before(p.began[d.Version]) {
		from = d.At // it was there before, or our log does not say since when
	}
	p.took = append(p.took, max(0, r.At.Sub(from)))
}

// median returns the middle time in milliseconds, the lower of two; nil where nothing was
// receipted.
func (p pace) median() *int64 {
	if len(p.took) == 0 {
		return nil
	}
	slices.Sort(p.took)
	ms := p.took[(len(p.took)-1)/2].Milliseconds()
	return &ms
}

// putCase puts what flowed through the gate of the council that tells it, as a record.
func putCase(ctx context.Context, o node.Operations, f flow) (*node.PutResult, error) {
	f.Keepers = 0
	if f.InTime != nil {
		std, err := o.Standards().Show(ctx, node.StandardRequest{Name: caseStandard})
		if err != nil {
			return nil, err
		}
		if std.Classes["/in_time"] == "" { // adopted before it had a place for that
			f.Needed, f.Before, f.InTime, f.Late, f.NotCome, f.NoDay = "", "", nil, nil, 0, 0
		}
	}
	return putOne(ctx, o, caseStandard, f)
}

// putOne puts a record of our own making, v, through the gate.
func putOne(ctx context.Context, o node.Operations, standard string, v any) (*node.PutResult, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	r, err := o.Records().Put(ctx, node.PutRequest{Standard: standard, Records: []node.Offered{{Record: b}}})
	if err != nil {
		return nil, err
	}
	one := r.Results[0]
	if len(one.Problems) > 0 {
		return nil, failure(node.Invalid, "", "the record of %s that was to be signed: %s at %q", standard, one.Problems[0].Detail, one.Problems[0].Pointer)
	}
	return &one, nil
}
