package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/examples"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/exchange"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// countingBody is the body that counts the exchanges of a setting: the receiver that the
// agreement of exchange-case names.
const countingBody = name.Council("standards.stile.example")

// A setting is several exchanges in one folder, and a standards body that is sent the cases
// of all of them: by those it counts which work. Each exchange has councils of its own, whose
// domains say so, since the body must be able to tell them apart.
type setting struct {
	*town            // of the body alone
	cases []evidence // in the order in which they were played
}

// An evidence is a case that the body holds, with the bundle of which it was counted again.
type evidence struct {
	Exchange  string         `json:"exchange"`
	Agreement name.Agreement `json:"agreement"`
	Council   name.Council   `json:"council"` // who signed the case
	Record    name.Record    `json:"record"`
	Entry     uint64         `json:"entry"` // in that council's log
	Records   int            `json:"records"`
	Bundle    string         `json:"bundle"` // its file
	Same      bool           `json:"same"`   // the bundle verifies, and says the same as the case

	needed *audit.Needed
}

// exchangesOf finds the exchanges that somebody typed, each once, all being all of them.
func exchangesOf(typed []string) (list []*exchange.Exchange, err error) {
	if len(typed) == 1 && typed[0] == "all" {
		return examples.Exchanges()
	}
	for _, id := range typed {
		if id == "all" {
			return nil, misused("all stands alone: it is every exchange")
		}
		e, err := exchangeOf(id)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o *exchange.Exchange) bool { return o.ID == e.ID }) {
			return nil, misused("%s is named twice", e.ID)
		}
		list = append(list, e)
	}
	return list, nil
}

// playAll runs exchanges one after the other in one folder, sends their cases to a standards
// body, and shows what its register counts.
func (a *app) playAll(ctx context.Context, list []*exchange.Exchange, keep string, few int) (err error) {
	s := &setting{town: newTown(a)}
	if s.dir, err = newFolder("exchange", keep); err != nil {
		return err
	}
	if keep == "" {
		defer os.RemoveAll(s.dir)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	err = s.run(ctx, list, keep != "", few)
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case keep == "":
		return failure(node.Failed, "stile exchange run all", "stopped before it was done; nothing of it is kept")
	}
	return failure(node.Failed, "name a new folder with --keep", "stopped before it was done; what there is of it is in %s", s.dir)
}

// say prints for people; with --json the evidence is all that is printed.
func (s *setting) say(format string, args ...any) {
	if !s.json {
		s.printf(format, args...)
	}
}

func (s *setting) run(ctx context.Context, list []*exchange.Exchange, pages bool, few int) error {
	body := node.InitOptions{Council: countingBody, Title: "Standards body", Role: node.RoleStandardsBody}
	if err := s.found(ctx, []node.InitOptions{body}); err != nil {
		return err
	}
	if _, err := s.at(countingBody).Standards().Adopt(ctx, node.AdoptRequest{Name: caseStandard}); err != nil {
		return err
	}
	s.say("Each exchange is played by councils of its own, and %s is sent what they count of it.\n\n", countingBody)
	for _, e := range list {
		if err := s.play(ctx, e, pages, few); err != nil {
			return err
		}
	}
	for i := range s.cases {
		if err := s.recount(ctx, &s.cases[i]); err != nil {
			return err
		}
	}
	return s.tell(ctx, len(list), pages)
}

// play runs one exchange, and stops its nodes once the body holds their cases.
func (s *setting) play(ctx context.Context, e *exchange.Exchange, pages bool, few int) (err error) {
	if e, err = e.Apart(); err != nil {
		return err
	}
	if few > 0 {
		if e, err = e.Few(few); err != nil {
			return misused("--few %d leaves out councils that %s needs: %v", few, e.ID, err)
		}
	}
	quiet := &app{env: env{in: strings.NewReader(""), out: io.Discard, err: io.Discard, now: s.now}}
	p := &player{town: newTown(quiet), e: e.On(s.clock()), pages: pages}
	p.dir = filepath.Join(s.dir, e.ID)
	defer func() { err = errors.Join(err, p.close()) }()
	began := s.clock()
	if err := p.run(ctx); err != nil {
		return err
	}
	from := len(s.cases)
	if err := s.take(ctx, p); err != nil {
		return failure(node.Failed, "stile exchange run "+e.ID, "%s: send its cases to %s: %v", e.ID, countingBody, err)
	}
	records := 0
	for _, c := range s.cases[from:] {
		records += c.Records
	}
	s.say("%-34s %s, %s out, in %.1f s\n", e.ID, plural(len(s.cases)-from, "agreement", "agreements"), plural(records, "record", "records"), s.clock().Sub(began).Seconds())
	return nil
}

// take has each council of an exchange send its cases to the body, by the agreement that comes
// with the standard, and waits until they are there.
func (s *setting) take(ctx context.Context, p *player) error {
	std, err := offered(caseStandard)
	if err != nil {
		return err
	}
	own, err := agreement.Parse(std.Agreement())
	if err != nil {
		return err
	}
	later, _ := own.Later(s.clock())
	body := s.at(countingBody)
	known, err := body.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return err
	}
	for _, c := range p.e.Councils {
		n := 0
		for i, f := range p.flows {
			if f.From != c.Name {
				continue
			}
			n++
			ev := evidence{Exchange: f.Exchange, Agreement: f.Agreement, Council: f.From, Records: f.Records, Bundle: p.bundle(i, f.From)}
			if need, ok := p.e.NeededOf(f.Standard.Name.Slug()); ok {
				ev.needed = &audit.Needed{What: need.What, Before: need.Before}
			}
			s.cases = append(s.cases, ev)
		}
		m, err := p.at(c.Name).Councils().Show(ctx, node.MemberNameRequest{})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.trust(), string(c.Name)+".yaml"), []byte(m.Document), 0o600); err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if _, err := body.Councils().Add(ctx, node.MemberRequest{Document: []byte(m.Document)}); err != nil {
			return err
		}
		if _, err := p.at(c.Name).Councils().Add(ctx, node.MemberRequest{Document: []byte(known.Document)}); err != nil {
			return err
		}
		doc, err := blanket(std, c.Name, countingBody, later.Review)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(p.agreed, func(o *agreement.Agreement) bool { return o.Name == doc.Name }) {
			doc.Name += "-counted" // its cases go to somebody else, too
		}
		if err := s.agree(ctx, p, doc, n); err != nil {
			return err
		}
	}
	return nil
}

// agree has a council and the body sign that the body is sent the council's cases, and waits
// until it holds all n.
func (s *setting) agree(ctx context.Context, p *player, doc *agreement.Agreement, n int) error {
	if _, err := p.at(doc.From).Agreements().Sign(ctx, node.AgreementRequest{Document: doc.YAML()}); err != nil {
		return err
	}
	body := s.at(countingBody).Agreements()
	named := node.AgreementRequest{Name: string(doc.Name)}
	err := s.await(ctx, fmt.Sprintf("%s has the proposal of %s", countingBody, doc.Name), func() (bool, error) {
		_, err := body.Show(ctx, named)
		return err == nil, ignoreMissing(err)
	})
	if err != nil {
		return err
	}
	if _, err := body.Sign(ctx, named); err != nil {
		return err
	}
	return s.await(ctx, fmt.Sprintf("%s holds the cases of %s", countingBody, doc.From), func() (bool, error) {
		got, err := body.Show(ctx, named)
		return len(got.Partners) == 1 && got.Partners[0].InStep && got.Partners[0].Held >= n && got.Partners[0].Proved == got.Partners[0].Held, err
	})
}

// recount verifies the bundle of a case with the keys that the auditor was given, counts from
// it, and holds that against the case as the body holds it.
func (s *setting) recount(ctx context.Context, c *evidence) error {
	in := node.ListRequest{Standard: caseStandard, From: c.Council, Bodies: true, Limit: 1000}
	page, err := s.at(countingBody).Records().List(ctx, in)
	if err != nil {
		return err
	}
	var said flow
	for _, r := range page.Records {
		var f flow
		if err := json.Unmarshal(r.Body, &f); err != nil {
			return fmt.Errorf("read the case %s of %s: %w", r.Record, c.Council, err)
		}
		if f.Exchange == c.Exchange && f.Agreement == c.Agreement && r.Proof == "log" {
			said, c.Record, c.Entry, c.Records = f, r.Record, r.Index, f.Records
		}
	}
	if c.Record == "" {
		return failure(node.Unverified, "", "%s holds no case of %s that is proved by the log of %s", countingBody, c.Agreement, c.Council)
	}
	keys, err := audit.ReadTrust(s.trust())
	if err != nil {
		return err
	}
	b, err := os.ReadFile(c.Bundle)
	if err != nil {
		return err
	}
	r, err := audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Trust: keys, Needed: c.needed})
	if err != nil {
		return err
	}
	c.Same = r.OK() && r.Counts.Records == said.Records && r.Counts.Withdrawals == said.Withdrawn && r.Counts.Receipts == said.Receipts &&
		r.LogSize == said.LogSize && r.LogRoot == said.LogRoot
	if a := r.Arrivals; said.InTime != nil {
		c.Same = c.Same && a != nil && a.InTime == *said.InTime && a.Late == *said.Late && a.Missing == said.NotCome && a.NoDay == said.NoDay
	}
	return nil
}

// tell says what the body's register counts, and on what each exchange in it rests. An
// exchange that does not count, or a case that its bundle does not bear out, is an error.
func (s *setting) tell(ctx context.Context, played int, pages bool) error {
	var d registers.Description
	for _, one := range registers.All() {
		if one.ID == "exchanges" {
			d = one
		}
	}
	register, err := registers.Read(ctx, s.at(countingBody).Operations, d, s.clock())
	if err != nil {
		return err
	}
	if s.json {
		if err := emitLines(s.app, s.cases); err != nil {
			return err
		}
	} else {
		s.table()
	}
	reached := register.Reached()
	s.say("\n%s; there are to be %d by %s. By cases that councils signed, each counted again from a bundle that verifies.\n", plural(reached, "exchange works", "exchanges work"), d.Goal.Of, d.Goal.By)
	for _, c := range s.cases {
		if !c.Same {
			return failure(node.Unverified, "stile verify "+c.Bundle+" --trust "+s.trust(), "the bundle of %s does not say what its case says", c.Agreement)
		}
	}
	if reached != played {
		return failure(node.Failed, "stile register export", "the register counts %d exchanges, and %d were played", reached, played)
	}
	if !pages {
		return nil
	}
	at := filepath.Join(s.dir, "pages")
	var out bytes.Buffer
	if code := Main(ctx, env{in: strings.NewReader(""), out: &out, err: &out, now: s.now}, []string{"register", "export", "--out", at, "--data", s.folder(countingBody)}); code != 0 {
		return fmt.Errorf("write the registers of %s: %s", countingBody, name.Lines(out.String()))
	}
	s.say("\nThe register as a page: %s\n", filepath.Join(at, "open", "exchanges.html"))
	s.say("It is made again with stile register export --out FOLDER --data %s\n", s.folder(countingBody))
	s.say("A bundle is verified again with stile-audit verify %s --trust %s\n", s.cases[0].Bundle, s.trust())
	return nil
}

// table prints of each exchange its cases.
func (s *setting) table() {
	s.say("\nWhat %s holds, and an auditor counted again\n\n", countingBody)
	t := newTable("EXCHANGE", "AGREEMENT", "#RECORDS", "CASE", "#ENTRY", "BUNDLE", "COUNTED AGAIN")
	for _, c := range s.cases {
		same := "the same"
		if !c.Same {
			same = "NOT THE SAME"
		}
		bundle := c.Bundle
		if short, err := filepath.Rel(s.dir, bundle); err == nil {
			bundle = short
		}
		id, _, _ := strings.Cut(c.Exchange, "-")
		t.add(id, string(c.Agreement), number(c.Records), string(c.Record), number(c.Entry), bundle, same)
	}
	t.write(s.out, "")
}
