package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/examples/generate"
	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/examples/planning"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const demoHelp = `Three made-up councils and an auditor, each with a data folder of its own, run
on this machine and speak libp2p with each other over loopback. Northmoor takes
in referrals of people who are moving, and planning applications. It signs an
agreement with Saltby, and what the agreement allows, and nothing else, crosses.

Each step prints what happened and the command that shows it. The folder is
deleted at the end unless --keep names one, so that the commands can be tried.
No record is of a real person or place. Where a date of an agreement is past or
near, its dates are moved on by whole years, and that is said.`

func (a *app) demoCommand() *cobra.Command {
	var keep string
	var serve bool
	var people, applications int
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole exchange on this machine, in seconds",
		Long:  demoHelp,
		Args:  takes(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{town: newTown(a), people: people, applications: applications}
			return d.run(cmd.Context(), keep, serve)
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "empty or new `folder` to keep everything in")
	c.Flags().BoolVar(&serve, "serve", false, "go on showing the three councils' pages, until it is told to stop")
	c.Flags().IntVar(&people, "people", 3000, "how many referrals to make up")
	c.Flags().IntVar(&applications, "applications", 2000, "how many planning applications to make up")
	return c
}

// The cast. Their domains and codes are not those of any council.
const (
	northmoor  = name.Council("northmoor.gov.uk")
	saltby     = name.Council("saltby.gov.uk")
	wetherholm = name.Council("wetherholm.gov.uk")

	northmoorCode, saltbyCode, wetherholmCode = "E07000998", "E07000999", "E07000997"

	peopleAgreement   = "northmoor.gov.uk/people-moving-to-saltby"
	planningAgreement = "northmoor.gov.uk/planning-near-saltby"
)

// A demo is one run of the demonstration.
type demo struct {
	*town
	people, applications int
	step                 int
	started              time.Time
}

func (d *demo) run(ctx context.Context, keep string, serve bool) (err error) {
	d.started = time.Now()
	if d.dir, err = newFolder("demo", keep); err != nil {
		return err
	}
	if keep == "" {
		defer os.RemoveAll(d.dir)
	}
	defer func() { err = errors.Join(err, d.close()) }()
	d.printf("Three made-up councils and an auditor, on this machine only. Folder: %s\n", d.dir)
	for _, step := range []func(context.Context) error{
		d.standards, d.recordsIn, d.agree, d.exchange, d.altered, d.moves, d.audit,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.printf("\nDone in %.1f seconds.\n", time.Since(d.started).Seconds())
	if serve {
		if err := d.serve(ctx); err != nil {
			return err
		}
	}
	if keep == "" {
		d.printf("Everything was made up and is deleted now. To keep it and try the commands above:\n\n    stile demo --keep DIR\n")
		return nil
	}
	d.printf("Kept in %s. Try next:\n\n", d.dir)
	d.command("stile status --data %s", d.folder(northmoor))
	d.command("stile agreement show %s --data %s", peopleAgreement, d.folder(northmoor))
	d.command("stile serve --data %s     (in another terminal, and the same for saltby)", d.folder(northmoor))
	return nil
}

func (d *demo) title(s string) {
	d.step++
	d.printf("\n%d. %s\n", d.step, s)
}

func (d *demo) say(format string, args ...any) { d.printf("   "+format+"\n", args...) }

func (d *demo) command(format string, args ...any) { d.printf("      $ "+format+"\n", args...) }

// standards founds the councils' nodes and lets them know each other.
func (d *demo) standards(ctx context.Context) error {
	d.title("Three nodes, with the standards that come with Stile")
	err := d.found(ctx, []node.InitOptions{
		{Council: northmoor, Title: "Northmoor District Council", GSS: northmoorCode},
		{Council: saltby, Title: "Saltby Borough Council", GSS: saltbyCode},
		{Council: wetherholm, Title: "Wetherholm District Council", GSS: wetherholmCode},
	})
	if err != nil {
		return err
	}
	stds, err := d.at(northmoor).Standards().List(ctx)
	if err != nil {
		return err
	}
	for _, s := range stds {
		d.say("%s  %s", s.Name, s.Title)
	}
	d.say("Each council has its own keys, its own ledger and the others' public keys.")
	d.command("stile standard list --data %s", d.folder(northmoor))
	return nil
}

// recordsIn offers made-up records, some of them broken in ways real ones are.
func (d *demo) recordsIn(ctx context.Context) error {
	d.title("Records in: validated, signed and logged; what is wrong is held back, with reasons")
	var offers []node.Offered
	for i := range d.people {
		offers = append(offers, node.Offered{Row: i + 1, Record: generate.HousingNeed(1, i, northmoorCode, []string{saltbyCode, wetherholmCode})})
	}
	for i, breakIt := range brokenReferrals() {
		var rec map[string]any
		if err := json.Unmarshal(generate.HousingNeed(1, d.people+i, northmoorCode, []string{saltbyCode}), &rec); err != nil {
			return err
		}
		ref := rec["reference"].(string)
		breakIt(rec)
		b, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		offers = append(offers, node.Offered{Row: d.people + i + 1, Reference: ref, Record: b})
	}
	if err := d.offer(ctx, "housing-need", "referrals.ndjson", offers); err != nil {
		return err
	}
	offers = nil
	for i := range d.applications {
		offers = append(offers, node.Offered{Row: i + 1, Record: generate.PlanningApplication(1, i)})
	}
	return d.offer(ctx, "planning-application", "applications.ndjson", offers)
}

// brokenReferrals are the mistakes that a case system's export makes.
func brokenReferrals() []func(map[string]any) {
	return []func(map[string]any){
		func(r map[string]any) { delete(r, "consent") },
		func(r map[string]any) { delete(r, "consent") },
		func(r map[string]any) { r["referred_on"] = "31/02/2026" },
		func(r map[string]any) { r["moved_to"] = "Saltby" },
		func(r map[string]any) { r["status"] = "open" },
		func(r map[string]any) { r["nino"] = "QQ 12 34 56 C" },
		func(r map[string]any) { r["case_worker_comment"] = "rang twice" },
		func(r map[string]any) { r["applicant"].(map[string]any)["contact"] = map[string]any{} },
	}
}

func (d *demo) offer(ctx context.Context, std, file string, offers []node.Offered) error {
	at := time.Now()
	rules := map[string]int{}
	taken, refused := 0, 0
	for chunk := range slices.Chunk(offers, 4000) {
		r, err := d.at(northmoor).Records().Put(ctx, node.PutRequest{Standard: std, Records: chunk, Hold: true})
		if err != nil {
			return err
		}
		for _, x := range r.Results {
			if len(x.Problems) == 0 {
				taken++
				continue
			}
			refused++
			p := x.Problems[0]
			rules[fmt.Sprintf("%s at %q", p.Rule, p.Pointer)]++
		}
	}
	took := time.Since(at)
	// The file that a person would import, to do the same by hand.
	var b bytes.Buffer
	for _, o := range offers {
		b.Write(o.Record)
		b.WriteByte('\n')
	}
	path := filepath.Join(d.folder(northmoor), file)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return err
	}
	d.say("%s accepted in %.1f s, %s refused%s", plural(taken, std+" record", std+" records"), took.Seconds(), number(refused), tallyOf(rules))
	if refused > 0 {
		d.command("stile record held --data %s", d.folder(northmoor))
	}
	d.command("stile import %s --standard %s --dry-run --data %s", path, std, d.folder(northmoor))
	return nil
}

func tallyOf(rules map[string]int) name.Lines {
	if len(rules) == 0 {
		return "."
	}
	var parts []string
	for r, n := range rules {
		parts = append(parts, fmt.Sprintf("%d %s", n, r))
	}
	slices.Sort(parts)
	return name.Lines(":\n        " + strings.Join(parts, "\n        "))
}

// agree previews and signs the agreements, at Northmoor and then at Saltby.
func (d *demo) agree(ctx context.Context) error {
	d.title("Two agreements: previewed on the real records, then signed by both councils")
	for _, doc := range []struct {
		name string
		file string
		text []byte
	}{
		{peopleAgreement, "people.agreement.yaml", people.Agreement()},
		{planningAgreement, "planning.agreement.yaml", planning.Agreement()},
	} {
		text, moved, err := d.written(doc.text)
		if err != nil {
			return err
		}
		path := filepath.Join(d.folder(northmoor), doc.file)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		req := node.AgreementRequest{Document: text}
		p, err := d.at(northmoor).Agreements().Preview(ctx, req)
		if err != nil {
			return err
		}
		sent := 0
		for _, f := range p.Fields {
			if f.Sent {
				sent++
			}
		}
		if moved != "" {
			d.say("%s: %s", doc.name, moved)
		}
		d.say("%s: %s of %s match; %d fields would travel, %d stay.", doc.name, number(p.Matched), plural(p.Records, "record", "records"), sent, len(p.Fields)-sent)
		d.command("stile agreement preview %s --data %s", path, d.folder(northmoor))
		if _, err := d.at(northmoor).Agreements().Sign(ctx, req); err != nil {
			return err
		}
		err = d.await(ctx, "Saltby has the proposal", func() (bool, error) {
			list, err := d.at(saltby).Agreements().List(ctx)
			return slices.ContainsFunc(list, func(a node.AgreementReply) bool { return string(a.Name) == doc.name }), err
		})
		if err != nil {
			return err
		}
		signed, err := d.at(saltby).Agreements().Sign(ctx, node.AgreementRequest{Name: doc.name})
		if err != nil {
			return err
		}
		if !signed.InForce {
			return fmt.Errorf("%s is not in force: %s", doc.name, signed.Why)
		}
	}
	d.say("Both are signed by both sides, and in force: each signature is an entry in its council's ledger.")
	d.command("stile agreement list --data %s", d.folder(saltby))
	return nil
}

func (d *demo) partner(ctx context.Context, at name.Council, agreement string) (node.PartnerReply, error) {
	a, err := d.at(at).Agreements().Show(ctx, node.AgreementRequest{Name: agreement})
	if err != nil || len(a.Partners) == 0 {
		return node.PartnerReply{}, err
	}
	return a.Partners[0], nil
}

// exchange waits until what may cross has crossed.
func (d *demo) exchange(ctx context.Context) error {
	d.title("What crosses: the agreed rows, with the agreed fields, still verifiable")
	for _, agreement := range []string{peopleAgreement, planningAgreement} {
		var p node.PartnerReply
		err := d.await(ctx, "Saltby is in step", func() (bool, error) {
			var err error
			p, err = d.partner(ctx, saltby, agreement)
			return p.InStep && p.Held == p.Offered && p.Proved == p.Held, err
		})
		if err != nil {
			return err
		}
		err = d.await(ctx, "Northmoor has the receipts", func() (bool, error) {
			q, err := d.partner(ctx, northmoor, agreement)
			return q.InStep && q.Held == p.Held, err
		})
		if err != nil {
			return err
		}
		d.say("%s:", agreement)
		d.say("   Saltby holds %s, %s withheld; %s of %s proved by Northmoor's signed log.",
			plural(p.Held, "record", "records"), plural(p.Withheld, "field", "fields"), number(p.Proved), number(p.Held))
	}
	d.command("stile record list --from %s --data %s", northmoor, d.folder(saltby))
	s, err := d.at(wetherholm).Status(ctx)
	if err != nil {
		return err
	}
	d.say("Wetherholm, which has signed nothing, holds %s.", plural(s.Holdings, "record", "records"))
	d.command("stile status --data %s", d.folder(wetherholm))
	return nil
}

// altered changes a record on Saltby's disk behind its node's back.
func (d *demo) altered(ctx context.Context) error {
	d.title("Somebody alters a record on Saltby's disk")
	if err := d.nodes[saltby].close(); err != nil {
		return err
	}
	delete(d.nodes, saltby)
	_, rec, err := ledger.Tamper(filepath.Join(d.folder(saltby), "ledger"), nil)
	if err != nil {
		return err
	}
	if err := d.start(ctx, saltby); err != nil {
		return err
	}
	// Its node sees that the folder is not as it left it: what partners sent is shown once
	// they have been asked.
	var e *node.Error
	ok := false
	if err := d.await(ctx, "Saltby shows again what it holds", func() (bool, error) {
		_, err = d.at(saltby).Records().Show(ctx, node.RecordRequest{Record: string(rec), From: northmoor})
		e, ok = errors.AsType[*node.Error](err)
		return !ok || e.Kind != node.Behind, nil
	}); err != nil {
		return err
	}
	if !ok || e.Kind != node.Unverified {
		return fmt.Errorf("the altered record %s was not caught: %w", rec, err)
	}
	d.say("One character of record %s was changed, in the database itself. Caught when read:", rec)
	d.say("   %s", e.Message)
	d.command("stile record show %s --from %s --data %s", rec, northmoor, d.folder(saltby))
	return nil
}

// moves changes one referral so that the agreement no longer covers it.
func (d *demo) moves(ctx context.Context) error {
	d.title("A household changes its mind and no longer moves to Saltby")
	before, err := d.partner(ctx, northmoor, peopleAgreement)
	if err != nil {
		return err
	}
	rec, ref, err := d.someoneMovingTo(saltbyCode)
	if err != nil {
		return err
	}
	rec["moved_to"] = wetherholmCode
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	r, err := d.at(northmoor).Records().Put(ctx, node.PutRequest{Standard: "housing-need", Records: []node.Offered{{Record: b}}})
	if err != nil {
		return err
	}
	x := r.Results[0]
	if len(x.Problems) > 0 || x.Withdrawn != 1 {
		return fmt.Errorf("%s was not withdrawn: %+v", ref, x)
	}
	err = d.await(ctx, "Saltby has deleted it", func() (bool, error) {
		p, err := d.partner(ctx, northmoor, peopleAgreement)
		return p.Held == before.Held-1 && p.Outstanding == 0, err
	})
	if err != nil {
		return err
	}
	_, err = d.at(saltby).Records().Show(ctx, node.RecordRequest{Record: string(x.Record), From: northmoor})
	if e, ok := errors.AsType[*node.Error](err); !ok || e.Kind != node.NotFound {
		return fmt.Errorf("the withdrawn record is still shown at Saltby: %w", err)
	}
	d.say("Version %d of %s was withdrawn; Saltby deleted its copy and signed a receipt. No withdrawal is outstanding.", x.Version, ref)
	d.command("stile why %s %s --data %s", saltby, ref, d.folder(northmoor))
	return nil
}

// someoneMovingTo makes again the first made-up referral to a council.
func (d *demo) someoneMovingTo(code string) (map[string]any, string, error) {
	for i := range d.people {
		var rec map[string]any
		if err := json.Unmarshal(generate.HousingNeed(1, i, northmoorCode, []string{saltbyCode, wetherholmCode}), &rec); err != nil {
			return nil, "", err
		}
		if rec["moved_to"] == code {
			return rec, rec["reference"].(string), nil
		}
	}
	return nil, "", fmt.Errorf("nobody moves to %s", code)
}

// audit exports what went under an agreement and verifies it as the auditor
// would: from the file and the councils' public keys alone.
func (d *demo) audit(ctx context.Context) error {
	d.title("An auditor verifies it all offline, from one file and the councils' public keys")
	b, err := d.at(northmoor).Bundle(ctx, node.BundleRequest{Agreement: peopleAgreement})
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, "auditor", "people.stile")
	if err := os.WriteFile(path, b.Bundle, 0o600); err != nil {
		return err
	}
	trust := filepath.Join(d.dir, "auditor", "trust")
	keys, err := audit.ReadTrust(trust)
	if err != nil {
		return err
	}
	report, err := audit.Verify(bytes.NewReader(b.Bundle), int64(len(b.Bundle)), audit.Options{Trust: keys})
	if err != nil {
		return err
	}
	if !report.OK() {
		report.WriteText(said{d.app})
		return &node.Error{Kind: node.Unverified, Message: "the bundle does not verify"}
	}
	done := 0
	for _, c := range report.Checks {
		if c.Result == audit.OK {
			done++
		}
	}
	d.say("%s, %s: %s, %s, %s; %d checks in order, none failed.", filepath.Base(path), size(uint64(len(b.Bundle))),
		plural(report.Counts.Records, "record version", "record versions"), plural(report.Counts.Receipts, "receipt", "receipts"),
		plural(report.Counts.Withdrawals, "withdrawal", "withdrawals"), done)
	d.command("stile verify %s --trust %s", path, trust)

	// And the same file with one byte changed.
	bad := slices.Clone(b.Bundle)
	bad[len(bad)/3] ^= 1
	report, err = audit.Verify(bytes.NewReader(bad), int64(len(bad)), audit.Options{Trust: keys})
	if err == nil && report.OK() {
		return &node.Error{Kind: node.Unverified, Message: "a bundle with one byte changed verifies"}
	}
	d.say("With one byte of the file changed, it does not verify.")
	return nil
}
