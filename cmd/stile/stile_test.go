package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stile-exchange/stile/node"
)

func TestMain(m *testing.M) {
	// The stories wait for each other's nodes more than they compute, so more
	// of them go at once than there are processors. -parallel overrides it.
	testing.Init()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	testscript.Main(tests{m}, map[string]func(){
		"stile": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			closeToOthers(false)
			os.Exit(Main(ctx, env{in: os.Stdin, out: os.Stdout, err: os.Stderr, exit: os.Exit}, os.Args[1:]))
		},
	})
}

// tests are those of this package; what they built is removed after the last.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	dir, err := built()
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs the manual: every file in testdata/script is a story that a
// person could type.
//
// Beside the standard commands of testscript there are
//
//	append FILE "GO STRING" [N]   add a text, written as Go has it, N times
//	await DATA                    wait until the node of a data folder answers
//	exits CODE stile …            run a command that must exit with this code
//	inert CODE stile …            run a command whose output no terminal would obey and no text forges; "-" is any code
//	inertfile FILE…               the same of files
//	count N TEXT FILE             so many lines of a file hold a text
//	flip FILE OFFSET              change one bit of a file
//	waitfor [!]TEXT COMMAND…      run a command until what it prints holds a text, or no longer does
//
// The program is the one that users run. Built for the race detector, as the test
// itself is, it takes most of its time to start, hundreds of times; what its nodes
// do at once is under the detector in package node.
func TestScripts(t *testing.T) {
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	runScripts(t, filepath.Join("testdata", "script"), bin)
}

// runScripts runs the stories in a folder with a program.
func runScripts(t *testing.T, dir, bin string) {
	t.Helper()
	books := workbooks(t)
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			e.Setenv("BOOKS", books)
			e.Setenv("FORGED", "x\nFORGED line\r\x1b[2K\u202e\u2028y")
			for _, name := range []string{"PORT1", "PORT2", "PORT3", "PORT4"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, strconv.Itoa(port))
			}
			e.Setenv("PATH", filepath.Dir(bin)+string(os.PathListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"append": appendText, "inert": inertCommand, "inertfile": inertFile, "await": await, "exits": exits, "count": countLines, "flip": flip, "blank": blank, "waitfor": waitFor, "get": get, "keep": keep, "caseid": caseID,
		},
		RequireUniqueNames: true,
	})
}

// inertCommand runs a command and looks at what it printed for what would be obeyed
// by a terminal, and for lines that a text from outside has begun.
func inertCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: inert CODE COMMAND...")
	}
	if args[0] == "-" {
		ts.Exec(args[1], args[2:]...)
	} else {
		exits(ts, false, args)
	}
	inertFile(ts, false, []string{"stdout", "stderr"})
}

// keep puts what the group of a pattern finds in the last output into a variable.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep VARIABLE PATTERN")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("the output has nothing that %q finds", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func inertFile(ts *testscript.TestScript, neg bool, files []string) {
	for _, f := range files {
		for line := range strings.SplitSeq(ts.ReadFile(f), "\n") {
			if clean(line) != strings.ReplaceAll(line, "\t", "\uFFFD") {
				ts.Fatalf("%s has a line that a terminal would obey: %q", f, line)
			}
			if strings.HasPrefix(line, "FORGED") {
				ts.Fatalf("%s has a forged line: %q", f, line)
			}
		}
	}
}

func appendText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: append FILE \"GO STRING\" [N]")
	}
	text, err := strconv.Unquote(args[1])
	ts.Check(err)
	n := 1
	if len(args) == 3 {
		n, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = f.WriteString(strings.Repeat(text, n))
	ts.Check(err)
	ts.Check(f.Close())
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await DATA")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if !untilYes(ctx, func() bool {
		c, err := node.Dial(ctx, filepath.Join(ts.MkAbs(args[0]), "admin.sock"))
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		ts.Fatalf("no node answered in %s", args[0])
	}
}

// untilYes asks until the answer is yes, and reports false when ctx ends before. It pauses for
// longer each time: a question takes a program that is started, and the processor is that of
// the nodes which are waited for.
func untilYes(ctx context.Context, f func() bool) bool {
	for pause := 10 * time.Millisecond; !f(); pause = min(2*pause, 320*time.Millisecond) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
	return true
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

func countLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: count N TEXT FILE")
	}
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[2])) {
		if strings.Contains(line, args[1]) {
			n++
		}
	}
	if strconv.Itoa(n) != args[0] {
		ts.Fatalf("%s: %d lines hold %q, want %s", args[2], n, args[1], args[0])
	}
}

func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor [!]TEXT COMMAND…")
	}
	text, gone := strings.CutPrefix(args[0], "!")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var err error
	if !untilYes(ctx, func() bool {
		err = ts.Exec(args[1], args[2:]...)
		return err == nil && strings.Contains(ts.ReadFile("stdout"), text) != gone
	}) {
		ts.Fatalf("waited in vain until %q is printed: %s; the last try: %v", text, map[bool]string{true: "no", false: "yes"}[gone], err)
	}
}

// get writes what is at a URL to a file, or with "!" sees that nothing is.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: get URL FILE")
	}
	r, err := http.Get(os.Expand(args[0], ts.Getenv))
	ts.Check(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	ts.Check(err)
	if ok := r.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("%s: %s\n%s", args[0], r.Status, b)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// blank overwrites 400 bytes in the middle, by a percentage, of the largest table of a store with zeros.
func blank(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: blank folder percent")
	}
	tables, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.sst"))
	ts.Check(err)
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	var largest string
	var size int64
	for _, t := range tables {
		st, err := os.Stat(t)
		ts.Check(err)
		if st.Size() > size {
			largest, size = t, st.Size()
		}
	}
	f, err := os.OpenFile(largest, os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(make([]byte, 400), size*int64(percent)/100)
	ts.Check(errors.Join(err, f.Close()))
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// run runs a command in this process.
func run(t *testing.T, in string, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), env{in: strings.NewReader(in), out: &o, err: &e}, args)
	return code, o.String(), e.String()
}

// TestEveryCommandIsTold checks that there is help on everything, a script for every
// command, and words for what each flag wants that not every text is.
func TestEveryCommandIsTold(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txt"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var all strings.Builder
	for _, s := range scripts {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no short help", c.CommandPath())
		}
		if !c.HasSubCommands() && c.Name() != "demo" && !strings.Contains(all.String(), c.CommandPath()) {
			t.Errorf("no script runs %q", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind != "string" && kind != "stringArray" && flagWants[kind] == "" {
				t.Errorf("%s --%s: nothing says what a flag of the type %s wants", c.CommandPath(), f.Name, kind)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
}

// TestNoValueEscapes runs files through every door whose values hold a canary,
// and looks for it in all that was printed and written. The sender's own
// reference is no secret in a report, nor are the names of members, which are
// places.
func TestNoValueEscapes(t *testing.T) {
	const canary = "Zephyrine-Quux-7f3a9"
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if code, _, e := run(t, "", "init", "--data", data, "--council", "northmoor.gov.uk", "--gss", "E07000998", "--listen", "/ip4/127.0.0.1/tcp/0"); code != 0 {
		t.Fatal(e)
	}
	good := func(ref, desc string) string {
		return fmt.Sprintf(`{"reference":%q,"organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","receivedDate":"2026-02-16","description":%q}`, ref, desc)
	}
	files := map[string]string{
		"type.json":       `{"reference":"A1","status":"` + canary + `","uprn":"` + canary + `","receivedDate":"` + canary + `","organisation":{"x":"` + canary + `"}}`,
		"twice.json":      `{"reference":"A1","a":"` + canary + `","a":1}`,
		"number.json":     `{"reference":"A1","description":"` + canary + `","uprn":1e10000000}`,
		"truncated.json":  `[` + good("A1", canary) + `,{"reference":"A2","description":"` + canary,
		"nan.ndjson":      `{"reference":"A1","description":"` + canary + `","x":NaN}` + "\n" + good("A2", "fine") + "\n",
		"bytes.ndjson":    `{"reference":"A1","description":"` + canary + "\xff" + `"}` + "\n",
		"text.json":       canary,
		"deep.json":       `{"a":"` + canary + `","b":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"surrogate.json":  `{"a":"` + canary + `\ud800"}`,
		"rows.csv":        "Reference,Status,Received,Text\nA1," + canary + "," + canary + ",x\nA2,\"" + canary + ",1,2\n",
		"other.csv":       "Wrong,Headings\n" + canary + "," + canary + "\n",
		"broken.mapping":  "mapping: 1\nstandard: 7\n",
		"good.json":       good("A900", canary),
		"good.mapping":    "mapping: 1\nstandard: standards.stile.example/planning-application@1\ncolumns:\n  - {to: /reference, from: Reference, required: true}\n  - {to: /status, from: Status}\n  - {to: /receivedDate, from: Received, type: date, formats: [dd/mm/yyyy]}\n  - {to: /description, from: Text}\nconstants:\n  /organisation: local-authority:NBR\n  /applicationType: tree-works\n",
		"agreement.yaml":  "agreement: northmoor.gov.uk/x\nversion: 1\nfrom: northmoor.gov.uk\nto: [saltby.gov.uk]\nmode: replicate\nstandard: standards.stile.example/planning-application@1\nrows: record.description == \"nothing\"\nfields: [/reference]\n",
		"not-a.stile":     canary,
		"not-a-token.txt": canary + "." + canary + "." + canary + "~",
		"member.yaml":     "council: northmoor.gov.uk\nsecret: " + canary + "\n",
	}
	path := func(f string) string { return filepath.Join(dir, f) }
	for f, text := range files {
		if err := os.WriteFile(path(f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	std := []string{"--standard", "planning-application", "--data", data}
	var commands [][]string
	for f := range files {
		switch filepath.Ext(f) {
		case ".json", ".ndjson":
			for _, flags := range [][]string{{"--dry-run"}, {"--all-or-nothing"}, {"--json"}, {}} {
				commands = append(commands, append(append([]string{"import", path(f)}, std...), flags...))
			}
			commands = append(commands, append([]string{"check", path(f)}, std...))
		case ".csv":
			for _, flags := range [][]string{{"--dry-run"}, {"--json"}, {}} {
				commands = append(commands, append([]string{"import", path(f), "--mapping", path("good.mapping"), "--data", data}, flags...))
			}
		}
	}
	reports := []string{path("report.csv"), path("report.json"), path("report.txt")}
	for _, r := range reports {
		commands = append(commands, append([]string{"import", path("type.json"), path("nan.ndjson"), "--report", r}, std...))
	}
	commands = append(commands,
		[]string{"import", path("rows.csv"), "--mapping", path("broken.mapping"), "--data", data},
		[]string{"record", "list", "--data", data}, []string{"record", "list", "--data", data, "--json"},
		[]string{"record", "held", "--data", data}, []string{"record", "held", "--data", data, "--json"},
		[]string{"record", "history", "A900", "--data", data}, []string{"record", "proof", "A900", "--data", data},
		[]string{"status", "--data", data}, []string{"status", "--data", data, "--json"},
		[]string{"doctor", "--data", data}, []string{"why", "saltby.gov.uk", "A900", "--data", data},
		[]string{"agreement", "preview", path("agreement.yaml"), "--data", data},
		[]string{"verify", path("not-a.stile")}, []string{"verify", path("not-a-token.txt")},
		[]string{"council", "add", path("member.yaml"), "--data", data},
	)
	for _, c := range commands {
		_, out, e := run(t, "", c...)
		if strings.Contains(out+e, canary) {
			t.Errorf("stile %s shows a value:\n%s%s", strings.Join(c, " "), out, e)
		}
	}
	for _, r := range reports {
		b, err := os.ReadFile(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 || bytes.Contains(b, []byte(canary)) {
			t.Errorf("%s is empty or shows a value:\n%s", r, b)
		}
	}
	// The same canary is found where values were asked for, so the test can
	// fail.
	for _, c := range [][]string{
		{"record", "show", "A900", "--data", data},
		{"record", "list", "--data", data, "--show", "/description"},
		{"record", "held", "--data", data, "--values"},
		append([]string{"import", path("type.json"), "--dry-run", "--values"}, std...),
	} {
		if _, out, e := run(t, "", c...); !strings.Contains(out+e, canary) {
			t.Errorf("stile %s was asked for values and shows none:\n%s%s", strings.Join(c, " "), out, e)
		}
	}
}

// TestSignals ends a real process in the two ways there are: SIGTERM, after
// which it leaves in order, and SIGKILL, after which it starts again.
func TestSignals(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	stile, data := filepath.Join(dir, "stile"), filepath.Join(dir, "data")
	if err := os.Symlink(exe, stile); err != nil { // TestMain goes by the name
		t.Skip(err)
	}
	if code, _, e := run(t, "", "init", "--data", data, "--council", "northmoor.gov.uk", "--gss", "E07000998", "--listen", "/ip4/127.0.0.1/tcp/0"); code != 0 {
		t.Fatal(e)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Kill, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), stile, "serve", "--data", data)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var e bytes.Buffer
		cmd.Stderr = &e
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "ready" {
		}
		if lines.Text() != "ready" {
			t.Fatalf("not ready: %s", &e)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		err = cmd.Wait()
		if sig == syscall.SIGTERM && err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, &e)
		}
		if _, serr := os.Stat(filepath.Join(data, "admin.sock")); sig == syscall.SIGTERM && !os.IsNotExist(serr) {
			t.Errorf("after SIGTERM the admin socket is still there: %v", serr)
		}
	}
}

// TestFullOutput: a result that could not be written is a failure.
func TestFullOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	var e bytes.Buffer
	if code := Main(t.Context(), env{in: strings.NewReader(""), out: full, err: &e}, []string{"version"}); code != 1 || !strings.Contains(e.String(), "write results: ") {
		t.Errorf("exit code %d, want 1; %s", code, &e)
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 12: "12", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := number(n); got != want {
			t.Errorf("number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	if got, want := clean("a\x1b[31mb\u202ec\u0085\n"), "a\uFFFD[31mb\uFFFDc\uFFFD\uFFFD"; got != want {
		t.Errorf("clean = %q, want %q", got, want)
	}
}

func TestInert(t *testing.T) {
	for in, want := range map[string]string{"=1+1": "'=1+1", "-x": "'-x", "plain": "plain", "": "", "a=b": "a=b"} {
		if got := inert(in); got != want {
			t.Errorf("inert(%q) = %q, want %q", in, got, want)
		}
	}
}
