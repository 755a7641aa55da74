package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/exchange"
	"github.com/stile-exchange/stile/internal/workday"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A player plays one exchange in a town.
type player struct {
	*town
	e         *exchange.Exchange
	files     string            // folder with the files of the exchange
	texts     map[string][]byte // the files by their names
	moved     map[string]string // of agreements whose dates were moved, by file: what was done; see written
	kept      map[string]string // what steps gave a name to
	published string            // folder with files that real councils published; "" for none
	agreed    []*agreement.Agreement
	flows     []flow
	step      int
	pages     bool // each council's registers are written at the end
}

// say prints for people; with --json the flows are all that is printed.
func (p *player) say(format string, args ...any) {
	if !p.json {
		p.printf(format, args...)
	}
}

func (p *player) run(ctx context.Context) error {
	began := time.Now()
	if err := p.write(); err != nil {
		return err
	}
	p.say("%s\n\n%s\n\nWhat stays: %s\n\n", p.e.Title, paragraph(p.e.Problem), paragraph(p.e.Stays))
	var councils []node.InitOptions
	for _, c := range p.e.Councils {
		p.say("  %s, %s: %s\n", c.Name, c.Title, c.Part)
		councils = append(councils, node.InitOptions{Council: c.Name, Title: c.Title, GSS: c.GSS})
	}
	if err := p.found(ctx, councils); err != nil {
		return err
	}
	for _, std := range append(slices.Clone(p.e.Standards), caseStandard) {
		for _, c := range p.e.Councils {
			if _, err := p.at(c.Name).Standards().Adopt(ctx, node.AdoptRequest{Name: std}); err != nil {
				return err
			}
		}
	}
	p.say("\nEach council adopts the standards: stile standard adopt %s\n", strings.Join(p.e.Standards, ", "))
	for _, s := range p.e.Steps {
		p.step++
		if s.Published && p.published == "" {
			p.say("\n%d. %s\n   Left out: --published was not given.\n", p.step, paragraph(s.Say))
			continue
		}
		p.say("\n%d. %s\n", p.step, paragraph(s.Say))
		for _, one := range p.e.Turns(s) {
			if err := p.do(ctx, one); err != nil {
				return failure(node.Failed, "stile exchange show "+p.e.ID, "%s, step %d: %v", p.e.ID, p.step, err)
			}
		}
	}
	if err := p.count(ctx); err != nil {
		return err
	}
	if p.pages {
		if err := p.publish(ctx); err != nil {
			return err
		}
	}
	p.say("\nDone in %.1f seconds.\n", time.Since(began).Seconds())
	return nil
}

// write puts the files of the exchange where the commands find them.
func (p *player) write() error {
	var err error
	if p.texts, err = p.e.Files(); err != nil {
		return err
	}
	if p.published != "" {
		for _, f := range p.e.Published {
			b, err := os.ReadFile(filepath.Join(p.published, filepath.FromSlash(f.Path)))
			if err != nil {
				return failure(node.NotFound, "name the folder with the files that the exchange's page lists", "read a published file: %v", err)
			}
			p.texts[f.File] = b
		}
	}
	p.moved = map[string]string{}
	for _, s := range p.e.Steps {
		for _, one := range p.e.Turns(s) {
			if one.Agree == "" {
				continue
			}
			text, moved, err := p.written(p.texts[one.Agree])
			if err != nil {
				return fmt.Errorf("%s: %w", one.Agree, err)
			}
			if moved != "" {
				p.texts[one.Agree], p.moved[one.Agree] = text, moved
			}
		}
	}
	p.files = filepath.Join(p.dir, "files")
	for file, b := range p.texts {
		path := filepath.Join(p.files, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) do(ctx context.Context, s exchange.Step) error {
	switch {
	case s.Run != "":
		return p.command(ctx, s)
	case s.Agree != "":
		return p.agree(ctx, s.Agree)
	case s.Accept != "":
		return p.accept(ctx, s)
	}
	return p.awaitFlow(ctx, s)
}

// command types a command at a council's node and looks at what it prints.
func (p *player) command(ctx context.Context, s exchange.Step) error {
	words, err := exchange.Words(s.Run)
	if err != nil {
		return err
	}
	var args []string
	for _, w := range words {
		if w, err = p.e.Fill(w); err != nil {
			return err
		}
		w = p.named(w)
		w = strings.NewReplacer("{here}", p.files, "{trust}", p.trust()).Replace(w)
		if file := s.File(w, p.texts); file != "" {
			w = filepath.Join(p.files, filepath.FromSlash(file))
		}
		args = append(args, w)
	}
	input, err := p.e.Fill(s.Input)
	if err != nil {
		return err
	}
	run := func() (string, error) { return p.typed(ctx, s, args, input) }
	var out string
	if s.Retry {
		err = p.await(ctx, "the command printed what it should", func() (bool, error) {
			out, err = run()
			return err == nil, nil
		})
		if err != nil {
			_, err = run()
		}
	} else {
		out, err = run()
	}
	if shown, err2 := p.e.Fill(p.named(typedBy(s))); err2 == nil {
		p.say("   %s$ stile %s\n", firstLabel(s.At), shown)
	}
	if err != nil {
		return err
	}
	for called, expr := range s.Keep {
		m := regexp.MustCompile(expr).FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("keep %s: nothing is like that in what was printed:\n%s", called, name.Lines(out))
		}
		if p.kept == nil {
			p.kept = map[string]string{}
		}
		p.kept[called] = m[1]
	}
	if s.Save != "" {
		if err := p.save(s.Save, []byte(out)); err != nil {
			return err
		}
	}
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	most := s.Lines
	if most == 0 {
		most = 12
	}
	for i, l := range lines {
		if i == most {
			p.say("      … and %s\n", plural(len(lines)-most, "line", "lines"))
			break
		}
		p.say("      %s\n", p.bare(l))
	}
	return nil
}

var agoForm = regexp.MustCompile(`\{ago ([0-9]{1,3})\}`)

// named puts in a command what earlier steps gave a name to, and days in the place of {ago N}.
func (p *player) named(command string) string {
	for called, what := range p.kept {
		command = strings.ReplaceAll(command, "{"+called+"}", what)
	}
	return agoForm.ReplaceAllStringFunc(command, func(ago string) string {
		days, _ := strconv.Atoi(agoForm.FindStringSubmatch(ago)[1])
		return workday.Known(p.clock().AddDate(0, 0, -days)).Format(time.DateOnly)
	})
}

// save makes a file of what a command printed.
func (p *player) save(file string, b []byte) error {
	if kept, ok := strings.CutPrefix(file, "{trust}/"); ok {
		return os.WriteFile(filepath.Join(p.trust(), filepath.Base(kept)), b, 0o600)
	}
	p.texts[file] = b
	return os.WriteFile(filepath.Join(p.files, filepath.Base(file)), b, 0o600)
}

// typedBy is the command of a step as a person who stands in the folder types it.
func typedBy(s exchange.Step) string {
	return strings.NewReplacer("{here}/", "", "{trust}", "trust").Replace(paragraph(s.Run))
}

// bare is a line without the paths of this machine.
func (p *player) bare(l string) string {
	slash := string(filepath.Separator)
	return strings.NewReplacer(p.files+slash, "", p.dir+slash, "").Replace(l)
}

// typed runs a command once and returns what it printed.
func (p *player) typed(ctx context.Context, s exchange.Step, args []string, input string) (string, error) {
	var out bytes.Buffer
	code := Main(ctx, env{in: strings.NewReader(input), out: &out, err: &out, now: p.now}, append(args, "--data", p.folder(s.At)))
	text := out.String()
	if code != s.Exit {
		return text, fmt.Errorf("exit code %d, want %d:\n%s", code, s.Exit, name.Lines(text))
	}
	for _, want := range s.Prints {
		want, err := p.e.Fill(want)
		if err != nil {
			return text, err
		}
		if !strings.Contains(paragraph(text), paragraph(want)) {
			return text, fmt.Errorf("does not print %q:\n%s", want, name.Lines(text))
		}
	}
	for _, never := range s.Hides {
		never, err := p.e.Fill(never)
		if err != nil {
			return text, err
		}
		if strings.Contains(paragraph(text), paragraph(never)) {
			return text, fmt.Errorf("prints %q, which has to stay:\n%s", never, name.Lines(text))
		}
	}
	return text, nil
}

// agree has the sender preview and sign an agreement, and then every receiver.
func (p *player) agree(ctx context.Context, file string) error {
	doc := p.texts[file]
	a, err := agreement.Parse(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	req := node.AgreementRequest{Document: doc}
	v, err := p.at(a.From).Agreements().Preview(ctx, req)
	if err != nil {
		return err
	}
	sent, stay := fieldsOf(v)
	if p.moved[file] != "" {
		p.say("   %s\n", p.moved[file])
	}
	p.say("   %s: %s of %s match; %s would travel, %d stay.\n", a.Name, number(v.Matched), plural(v.Records, "record", "records"), plural(sent, "field", "fields"), stay)
	p.say("   %s$ stile agreement preview %s\n", firstLabel(a.From), file)
	for _, problem := range v.Problems {
		return fmt.Errorf("%s cannot be signed: %s", a.Name, problem.Detail)
	}
	p.say("   %s$ stile agreement sign %s\n", firstLabel(a.From), file)
	if _, err := p.at(a.From).Agreements().Sign(ctx, req); err != nil {
		return err
	}
	for _, to := range p.signers(a) {
		if err := p.proposed(ctx, a, to); err != nil {
			return err
		}
		p.say("   %s$ stile agreement sign %s\n", firstLabel(to), a.Name)
		if _, err := p.at(to).Agreements().Sign(ctx, node.AgreementRequest{Name: string(a.Name)}); err != nil {
			return err
		}
	}
	return p.begun(ctx, a)
}

// accept has each council of a group accept the agreement that a standard offers, with the
// council that the step names as the receiver, which then signs all of them.
func (p *player) accept(ctx context.Context, s exchange.Step) error {
	std, err := offered(s.Accept)
	if err != nil {
		return err
	}
	if std == nil {
		return fmt.Errorf("accept: no standard %q that comes with Stile offers an agreement", s.Accept)
	}
	own, err := agreement.Parse(std.Agreement())
	if err != nil {
		return err
	}
	later, years := own.Later(p.clock())
	options := ""
	if years > 0 {
		p.say("   It offers a text that was to be reviewed on %s, and the councils agree on another day.\n", own.Review)
		options = " --review " + string(later.Review)
	}
	var all []*agreement.Agreement
	for _, c := range p.e.Group(s.Each) {
		a, err := blanket(std, c.Name, s.To, later.Review)
		if err != nil {
			return err
		}
		if err := p.command(ctx, exchange.Step{At: c.Name, Run: "agreement accept " + s.Accept + " --to " + string(s.To) + " --yes" + options}); err != nil {
			return err
		}
		all = append(all, a)
	}
	for _, a := range all {
		if err := p.proposed(ctx, a, s.To); err != nil {
			return err
		}
	}
	if err := p.command(ctx, exchange.Step{At: s.To, Run: "agreement accept " + s.Accept + " --all --yes" + options}); err != nil {
		return err
	}
	for _, a := range all {
		if err := p.begun(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// proposed waits until a party has the text that another has signed.
func (p *player) proposed(ctx context.Context, a *agreement.Agreement, to name.Council) error {
	return p.await(ctx, fmt.Sprintf("%s has the proposal of %s", to, a.Name), func() (bool, error) {
		got, err := p.at(to).Agreements().Show(ctx, node.AgreementRequest{Name: string(a.Name)})
		return err == nil && got.Version == a.Version, ignoreMissing(err)
	})
}

// begun waits until an agreement is in force at all who signed it, and counts it among those
// of the exchange.
func (p *player) begun(ctx context.Context, a *agreement.Agreement) error {
	for _, party := range append([]name.Council{a.From}, p.signers(a)...) {
		err := p.await(ctx, fmt.Sprintf("%s is in force at %s", a.Name, party), func() (bool, error) {
			got, err := p.at(party).Agreements().Show(ctx, node.AgreementRequest{Name: string(a.Name)})
			return got.InForce && got.Version == a.Version, err
		})
		if err != nil {
			return err
		}
	}
	p.agreed = slices.DeleteFunc(p.agreed, func(o *agreement.Agreement) bool { return o.Name == a.Name })
	p.agreed = append(p.agreed, a)
	return nil
}

// signers are those who sign an agreement after its sender: each receiver, and for a
// footprint a majority of its members, of whom the sender may be one.
func (p *player) signers(a *agreement.Agreement) []name.Council {
	var all []name.Council
	for _, to := range a.To {
		f, ok := p.e.Footprint(to)
		if !ok {
			all = append(all, to)
			continue
		}
		signed := 0
		if slices.Contains(f.Members, a.From) {
			signed++
		}
		for _, m := range f.Members {
			if m != a.From && signed <= len(f.Members)/2 {
				all = append(all, m)
				signed++
			}
		}
	}
	return all
}

func ignoreMissing(err error) error {
	if isKind(err, node.NotFound) {
		return nil
	}
	return err
}

// awaitFlow waits until all receivers of an agreement hold what it lets out and have
// receipted it, and prints what they hold.
func (p *player) awaitFlow(ctx context.Context, s exchange.Step) error {
	i := slices.IndexFunc(p.agreed, func(a *agreement.Agreement) bool { return string(a.Name) == s.Await })
	if i < 0 {
		return fmt.Errorf("await: nobody has signed %q in a step above", s.Await)
	}
	a := p.agreed[i]
	for _, to := range a.To {
		var held int
		_, footprint := p.e.Footprint(to)
		err := p.await(ctx, fmt.Sprintf("%s is in step under %s", to, a.Name), func() (bool, error) {
			there, err := p.partner(ctx, a.From, to, a.Name)
			if err != nil || !there.InStep || s.Withdrawn && there.Outstanding > 0 {
				return false, err
			}
			want, told := s.Holds[string(to)]
			if told && there.Held != want {
				return false, nil
			}
			if footprint { // more than half of its members have cosigned that they have it
				held = there.Held
				return there.Held == there.Offered, nil
			}
			here, err := p.partner(ctx, to, a.From, a.Name)
			held = here.Held
			return here.InStep && here.Held == there.Held && here.Proved == here.Held, err
		})
		if footprint && err == nil {
			p.say("   %s holds %s under %s, cosigned by more than half of its members.\n", to, plural(held, "record", "records"), a.Name)
			continue
		}
		if err != nil && !footprint {
			if here, err2 := p.partner(ctx, to, a.From, a.Name); err2 == nil {
				return fmt.Errorf("%w; it holds %d", err, here.Held)
			}
		}
		if err != nil {
			return err
		}
		here, err := p.partner(ctx, to, a.From, a.Name)
		if err != nil {
			return err
		}
		p.say("   %s holds %s under %s, all proved by the log of %s; %s withheld.\n", to, plural(held, "record", "records"), a.Name, a.From, plural(here.Withheld, "field", "fields"))
	}
	return nil
}

// partner returns how the exchange under an agreement stands at a node with another council.
func (p *player) partner(ctx context.Context, at, with name.Council, a name.Agreement) (node.PartnerReply, error) {
	got, err := p.at(at).Agreements().Show(ctx, node.AgreementRequest{Name: string(a)})
	if err != nil {
		return node.PartnerReply{}, err
	}
	i := slices.IndexFunc(got.Partners, func(o node.PartnerReply) bool { return o.Council == with })
	if i < 0 {
		return node.PartnerReply{}, nil
	}
	return got.Partners[i], nil
}

// count has an auditor verify a bundle of each agreement, counts from it what really
// flowed, and has the sender sign that as an exchange-case record.
func (p *player) count(ctx context.Context) error {
	keys, err := audit.ReadTrust(p.trust())
	if err != nil {
		return err
	}
	p.say("\nWhat an auditor finds, offline, in a bundle of each agreement\n\n")
	t := newTable("AGREEMENT", "MODE", "TO", "#RECORDS", "#WITHDRAWN", "#RECEIPTS", "#COSIGNED", "#FIELDS", "#STAY", "CHECKS")
	for i, a := range p.agreed {
		f, report, err := p.flow(ctx, a, keys, i)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		p.flows = append(p.flows, f)
		done := 0
		for _, c := range report.Checks {
			if c.Result == audit.OK {
				done++
			}
		}
		t.add(string(f.Agreement), f.Mode, plural(len(f.To), "council", "councils"), number(f.Records), number(f.Withdrawn), number(f.Receipts),
			number(f.Keepers), number(f.Fields), number(f.Withheld), fmt.Sprintf("%d in order", done))
	}
	if !p.json {
		t.write(p.out, "   ")
	}
	for _, f := range p.flows {
		if f.InTime != nil {
			p.say("\n   %s: %s came before the day at %s, and %s LATE, on that day or after it, by the receipts of who received.\n", f.Agreement, number(*f.InTime), f.Before, number(*f.Late))
		}
	}
	for _, f := range p.e.Footprints {
		p.say("\n   %s is kept by %s. A council that is none of them gets no receipt from it: the keepers cosign the ledger in\n   which its records stand, and that stands for receipts. COSIGNED counts the keepers whose cosignature covers all that it has there.\n", f.Name, plural(len(f.Members), "council", "councils"))
	}
	for _, f := range p.flows {
		if _, err := putCase(ctx, p.at(f.From).Operations, f); err != nil {
			return err
		}
	}
	p.say("\n   Each sender has signed this as a record of the standard exchange-case: evidence that the exchange works.\n")
	return nil
}

// publish writes the registers of each council as pages that a browser opens.
func (p *player) publish(ctx context.Context) error {
	p.say("\nWhat each council could publish, as pages for a browser\n\n")
	for _, c := range p.e.Councils {
		var out bytes.Buffer
		at := filepath.Join(p.dir, "pages", c.Label())
		if code := Main(ctx, env{in: strings.NewReader(""), out: &out, err: &out, now: p.now}, []string{"register", "export", "--out", at, "--data", p.folder(c.Name)}); code != 0 {
			return fmt.Errorf("write the registers of %s: %s", c.Name, name.Lines(out.String()))
		}
		p.say("   %s\n", filepath.Join(at, "index.html"))
		if _, err := os.Stat(filepath.Join(at, "open", "index.html")); err == nil {
			p.say("   %s\n", filepath.Join(at, "open", "index.html"))
		}
	}
	return nil
}

// flow counts what flowed under an agreement, from the bundle that the auditor is given.
func (p *player) flow(ctx context.Context, a *agreement.Agreement, keys audit.Trust, i int) (flow, *audit.Report, error) {
	n := p.at(a.From)
	b, err := n.Bundle(ctx, node.BundleRequest{Agreement: string(a.Name)})
	if err != nil {
		return flow{}, nil, err
	}
	if err := os.WriteFile(p.bundle(i, a.From), b.Bundle, 0o600); err != nil {
		return flow{}, nil, err
	}
	show, err := n.Agreements().Show(ctx, node.AgreementRequest{Name: string(a.Name)})
	if err != nil {
		return flow{}, nil, err
	}
	took, err := paceOf(ctx, n.Operations, a.Name)
	if err != nil {
		return flow{}, nil, err
	}
	f, report, err := p.countFlow(ctx, n.Operations, p.e, show, took, b.Bundle, keys)
	c := p.e.Councils[slices.IndexFunc(p.e.Councils, func(c exchange.Council) bool { return c.Name == a.From })]
	f.Exchange, f.Council = p.e.ID, c.GSS
	if err == nil {
		f.Keepers, err = p.cosigned(ctx, a)
	}
	return f, report, err
}

// bundle is the file of the bundle of an agreement, by its place among those of the exchange.
func (p *player) bundle(i int, from name.Council) string {
	return filepath.Join(p.dir, "auditor", fmt.Sprintf("%02d-%s.stile", i+1, firstLabel(from)))
}

// cosigned is how many keepers of a footprint that receives under an agreement cosigned a
// ledger with all records that its sender has there; 0 where none receives.
func (p *player) cosigned(ctx context.Context, a *agreement.Agreement) (int, error) {
	for _, to := range a.To {
		f, ok := p.e.Footprint(to)
		if !ok {
			continue
		}
		ledger := p.at(f.Members[0]).Footprints()
		last, by := uint64(0), 0
		for in := (node.FootprintListRequest{Name: string(f.Name), Of: string(a.From), Standard: a.Standard.String(), Limit: 1000}); ; {
			page, err := ledger.Records(ctx, in)
			if err != nil {
				return 0, err
			}
			for _, r := range page.Records {
				last = max(last, r.Entry)
			}
			if in.Cursor = page.Cursor; in.Cursor == "" {
				break
			}
		}
		err := p.await(ctx, fmt.Sprintf("the keepers of %s have cosigned what %s has there", f.Name, a.From), func() (bool, error) {
			c, err := ledger.Checkpoint(ctx, node.FootprintRequest{Name: string(f.Name)})
			by = len(c.CosignedBy)
			return c.Size > last, err
		})
		return by, err
	}
	return 0, nil
}

// firstLabel is the first part of a council's domain.
func firstLabel(c name.Council) string {
	s, _, _ := strings.Cut(string(c), ".")
	return s
}

// paragraph makes one line of a text of several.
func paragraph(s string) string { return strings.Join(strings.Fields(s), " ") }
