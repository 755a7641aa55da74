package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/examples"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/exchange"
)

const exchangesHead = `# The exchanges that come with Stile

Each is run end to end on one machine by one command, and by a test: the councils' nodes, their agreements, files as
their systems write them, and what each council types. An auditor verifies a bundle of each agreement offline, and the
sender signs what flowed as a record of the standard *exchange-case*, so that an exchange counts by evidence and not by
declaration. No council, person or place is real; how a real exchange comes to count is told in
[registers.md](registers.md#how-a-real-exchange-comes-to-count). Where a date of an agreement is past or near on the day of
a run, its dates are moved on by whole years, and the run says so: nobody reviews what made-up councils signed.

All of them at once, with the register that counts them, are played by

    stile exchange run all --keep DIR

Each exchange then has councils of its own. All send their cases to one standards body, whose register says how many work,
of the fifteen that there are to be by 2030: ` + "`DIR/pages/open/exchanges.html`" + `. Each line has its case, where that stands, and a bundle from which the
run counted it again.

This page is made by running all of them (` + "`make exchanges`" + `), and a test compares it. *Records* are
versions of records that were disclosed, *fields* those of the standard that travel where they are filled, *stay* those
that are filled at the sender and do not. *Source files* are made up from a seed, each in the form that is told of it;
what the columns of a CSV file mean is in a mapping file beside the exchange.

`

// TestExchanges runs every exchange that comes with the program and holds what flowed
// against docs/exchanges.md, and the README of each against its exchange.yaml.
func TestExchanges(t *testing.T) {
	all, err := examples.Exchanges()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	told := make([]string, len(all))
	t.Run("run", func(t *testing.T) {
		for i, e := range all {
			t.Run(e.ID, func(t *testing.T) {
				t.Parallel()
				args := []string{e.ID, "--json"}
				large := len(e.Councils) > 10
				if large && !wholeExchanges() {
					args = append(args, "--few", "1")
				}
				out := played(t, bin, args...)
				var flows []flow
				for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
					var f flow
					if err := d.Decode(&f); err != nil {
						t.Fatal(err)
					}
					flows = append(flows, f)
				}
				if large && !wholeExchanges() { // its chapter is that of all councils
					told[i] = chapterAsItStands(t, e)
				} else {
					told[i] = chapter(t, e, flows)
				}
				compare(t, filepath.Join("..", "..", "examples", e.ID, "README.md"), readme(t, e))
			})
		}
	})
	if !t.Failed() {
		for i, e := range all {
			if told[i] == "" { // -run may choose some
				told[i] = chapterAsItStands(t, e)
			}
		}
		compare(t, filepath.Join("..", "..", "docs", "exchanges.md"), exchangesHead+strings.Join(told, "\n"))
	}
}

// wholeExchanges says that exchanges of many councils are run with all of them: make
// exchanges.
func wholeExchanges() bool { return os.Getenv("STILE_EXCHANGES") == "whole" }

// chapterAsItStands is what docs/exchanges.md says of an exchange.
func chapterAsItStands(t *testing.T, e *exchange.Exchange) string {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "exchanges.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "## "+numberOf(e)+". ")
	if !ok {
		t.Fatalf("docs/exchanges.md says nothing of %s: make exchanges", e.ID)
	}
	text, _, last := strings.Cut("## "+numberOf(e)+". "+rest, "\n\n## ")
	if last {
		text += "\n"
	}
	return text
}

// compare holds a file that is made against what it should be, or makes it.
func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the exchange says: go test ./cmd/stile -run TestExchanges -update", path)
	}
}

func numberOf(e *exchange.Exchange) string { return e.ID[:2] }

// readme is the page in the folder of an exchange.
func readme(t *testing.T, e *exchange.Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n**What stays.** %s\n\n", e.Title, paragraph(e.Problem), paragraph(e.Stays))
	fmt.Fprintf(&b, "    make build && ./bin/stile exchange run %s\n\n", numberOf(e))
	fmt.Fprintf(&b, "Its pages: with `--keep DIR` the run leaves what each council could publish in `DIR/pages`, to be opened in a browser, and the bundles that the auditor has verified in `DIR/auditor`. One is verified again by\n\n    ./bin/stile verify DIR/auditor/%s --trust DIR/auditor/trust\n\n", firstBundle(t, e))
	b.WriteString("| council | its part |\n|---|---|\n")
	for _, c := range e.Councils {
		fmt.Fprintf(&b, "| %s (%s) | %s |\n", c.Title, c.Name, c.Part)
	}
	if e.Source != "" {
		fmt.Fprintf(&b, "\nSource of the facts: %s\n", paragraph(e.Source))
	}
	b.WriteString("\nThe files that are taken in are made up from a seed. Where one is a CSV file, a mapping file beside this page says what its columns mean.\n\n| source file | its form |\n|---|---|\n")
	for _, m := range e.MadeUp {
		fmt.Fprintf(&b, "| %s | %s |\n", m.File, paragraph(m.Form))
	}
	if len(e.Published) > 0 {
		b.WriteString("\nWith `--published DIR` the run takes in what real councils have published as open data too, from these files below DIR:\n\n")
		for _, f := range e.Published {
			fmt.Fprintf(&b, "- `%s`\n", f.Path)
		}
	}
	b.WriteString("\nThe steps stand in [exchange.yaml](exchange.yaml). No council, person or place is real.\n")
	return b.String()
}

// firstBundle is the file of the bundle of the first agreement.
func firstBundle(t *testing.T, e *exchange.Exchange) string {
	files, err := e.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Steps {
		if s.Agree == "" {
			continue
		}
		a, err := agreement.Parse(files[e.Turns(s)[0].Agree])
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("01-%s.stile", firstLabel(a.From))
	}
	t.Fatalf("%s has no agreement", e.ID)
	return ""
}

// chapter tells of an exchange what flowed in it.
func chapter(t *testing.T, e *exchange.Exchange, flows []flow) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s. %s\n\n%s\n\n**What stays.** %s\n\n    stile exchange run %s\n\n", numberOf(e), e.Title, paragraph(e.Problem), paragraph(e.Stays), numberOf(e))
	b.WriteString("| agreement | standard | mode | to | rows | records | withdrawn | fields | stay |\n|---|---|---|---|---|---|---|---|---|\n")
	rows := rowsOf(t, e)
	for _, f := range together(flows) {
		if f.Records == 0 && f.Mode == "replicate" {
			t.Errorf("%s: nothing flowed under %s", e.ID, f.Agreement)
		}
		to := fmt.Sprint(len(f.To), " councils")
		if len(f.To) == 1 {
			to = string(f.To[0])
		}
		said := string(f.Agreement)
		if f.more > 0 {
			said += fmt.Sprintf(" and %d more councils' alike", f.more)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` | %d | %d | %d | %d |\n", said, f.Standard, f.Mode, to, strings.ReplaceAll(rows[string(f.Agreement)], "|", "\\|"), f.Records, f.Withdrawn, f.Fields, f.Withheld)
	}
	for _, f := range flows {
		if f.InTime != nil {
			fmt.Fprintf(&b, "\nUnder %s `%s` came before the day at `%s` of %d records, and late of %d.\n", f.Agreement, f.Needed, f.Before, *f.InTime, *f.Late)
		}
	}
	b.WriteString("\nSource files:")
	for _, m := range e.MadeUp {
		fmt.Fprintf(&b, " *%s*: %s", m.File, paragraph(m.Form))
	}
	b.WriteString("\n")
	if e.Source != "" {
		fmt.Fprintf(&b, "\nSource of the facts: %s\n", paragraph(e.Source))
	}
	return b.String()
}

// A line of the page is a flow, or those of many councils that do the same.
type line struct {
	flow
	more int // other councils
}

// together makes one line of the flows of many councils that do the same.
func together(flows []flow) []line {
	var out []line
	in := map[string]int{}
	for _, f := range flows {
		_, what, _ := strings.Cut(string(f.Agreement), "/")
		kind := fmt.Sprint(what, f.Standard, f.Mode, f.To, f.Fields, f.Withheld)
		i, ok := in[kind]
		if !ok || len(flows) <= 10 {
			in[kind] = len(out)
			out = append(out, line{flow: f})
			continue
		}
		o := &out[i]
		o.Records, o.Withdrawn, o.more = o.Records+f.Records, o.Withdrawn+f.Withdrawn, o.more+1
	}
	return out
}

// rowsOf returns the filter of each agreement of an exchange.
func rowsOf(t *testing.T, e *exchange.Exchange) map[string]string {
	files, err := e.Files()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for file, text := range files {
		if strings.HasSuffix(file, ".agreement.yaml") {
			a, err := agreement.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			rows[string(a.Name)] = a.Rows
		}
	}
	for _, s := range e.Steps {
		if s.Accept == "" {
			continue
		}
		std, err := offered(s.Accept)
		if err != nil || std == nil {
			t.Fatalf("%s: %s offers no agreement: %v", e.ID, s.Accept, err)
		}
		for _, c := range e.Group(s.Each) {
			a, err := blanket(std, c.Name, s.To, "2999-01-01")
			if err != nil {
				t.Fatal(err)
			}
			rows[string(a.Name)] = a.Rows
		}
	}
	return rows
}

// TestPublishedRegisters takes what real councils have published through the exchange that
// asks for it, where it is at hand.
func TestPublishedRegisters(t *testing.T) {
	dir := os.Getenv("STILE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "brownfield-land")); err != nil {
		t.Skipf("the real data is not here (set STILE_DATA): %v", err)
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	played(t, bin, "04", "--published", dir)
}

// played runs an exchange with the program that users run and returns what it printed. The
// nodes of a run are in one process, and what they do at once is under the race detector
// in package node.
func played(t *testing.T, bin string, args ...string) []byte {
	t.Helper()
	var errs bytes.Buffer
	c := exec.CommandContext(t.Context(), bin, append([]string{"exchange", "run"}, args...)...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	return out
}

// TestExchangeStopped: a run that is stopped in the middle says so and leaves nothing, or says
// where what it has done is kept.
func TestExchangeStopped(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for keep, want := range map[string]string{
		"":                                 "stile: stopped before it was done; nothing of it is kept\nTry: stile exchange run 16-children-not-in-school\n",
		filepath.Join(t.TempDir(), "kept"): "stile: stopped before it was done; what there is of it is in ",
	} {
		ctx, stop := context.WithCancel(t.Context())
		out := &stopping{at: "\n3. ", stop: stop}
		var errs bytes.Buffer
		code := Main(ctx, env{in: strings.NewReader(""), out: out, err: &errs}, []string{"exchange", "run", "16", "--keep", keep})
		if code != 1 || !strings.HasPrefix(errs.String(), want) || strings.Contains(out.String(), "\n5. ") {
			t.Errorf("exit code %d, want 1:\n%s\nwant %q; it had printed\n%s", code, &errs, want, out.String())
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v, %v", left, err)
	}
}

// A stopping writer calls stop once a text has been written to it.
type stopping struct {
	bytes.Buffer
	at   string
	stop func()
}

func (s *stopping) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.at) {
		s.stop()
	}
	return n, err
}
