package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"stile-audit": func() { os.Exit(Main(env{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:])) },
	})
}

// TestScripts runs the manual: every file in testdata/script is a story that an
// auditor could type. The bundle in it is the sample that package audit keeps.
//
// Beside the standard commands of testscript there are
//
//	exits CODE stile-audit …      run a command that must exit with this code
//	flip FILE TEXT N              change a bit of the byte N bytes after a text in a file
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("../../internal/audit/testdata/format2")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error { return os.CopyFS(e.WorkDir, os.DirFS(sample)) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				code := "0"
				if err := ts.Exec(args[1], args[2:]...); err != nil {
					code = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if code != args[0] {
					ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), code, args[0])
				}
			},
			"flip": func(ts *testscript.TestScript, _ bool, args []string) {
				b := []byte(ts.ReadFile(args[0]))
				n, err := strconv.Atoi(args[2])
				ts.Check(err)
				b[bytes.Index(b, []byte(args[1]))+len(args[1])+n] ^= 1
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
			},
		},
		RequireUniqueNames: true,
	})
}

// TestUsageSaysEverything: each flag and exit code stands in the help.
func TestUsageSaysEverything(t *testing.T) {
	for _, want := range []string{"--trust", "--standard", "--held", "--proof", "--json", "adoption FILE", "0 nothing failed", "1 could", "2 wrong", "3 no such", "5 not a file", "6 verification"} {
		if !strings.Contains(usage, want) {
			t.Errorf("the usage does not say %q", want)
		}
	}
}

// failing is a world whose output is full.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fs.ErrPermission }

func TestOutputThatCannotBeWritten(t *testing.T) {
	var complaint bytes.Buffer
	code := Main(env{strings.NewReader(""), failing{}, &complaint}, []string{"verify", "../../internal/audit/testdata/format2/moving.stile"})
	if code != cannot || !strings.Contains(complaint.String(), "Try: ") {
		t.Errorf("code %d, said %q", code, &complaint)
	}
}

func TestStandardInputThatFails(t *testing.T) {
	if _, err := read(env{in: errReader{}}, "-"); !errors.Is(err, errEnough) {
		t.Errorf("got %v, want the reader's own error", err)
	}
}

var errEnough = errors.New("that is enough")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errEnough }
