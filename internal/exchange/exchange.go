// Package exchange reads working exchanges: councils, made-up records, agreements and the
// commands that each council types, from beginning to end. An exchange is a folder with a
// file exchange.yaml, its agreements and its mapping files; cmd/stile plays it.
package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// FileName is the file of a folder that says what the exchange is.
const FileName = "exchange.yaml"

const (
	maxFile     = 1 << 20
	maxCouncils = 40
	maxSteps    = 200
	maxRows     = 100_000
)

// An Exchange is one exchange between councils, as a folder tells it.
type Exchange struct {
	ID       string    `yaml:"-"`        // the folder's name, such as 02-planning-consultation
	Title    string    `yaml:"title"`    // a line
	Problem  string    `yaml:"problem"`  // what does not work without it, and for whom
	Stays    string    `yaml:"stays"`    // what does not cross
	Source   string    `yaml:"source"`   // where the facts are from
	Councils []Council `yaml:"councils"` // in the order that they are told
	// Standards are those that come with Stile and that every council adopts first,
	// besides the exchange-case.
	Standards []string `yaml:"standards"`
	MadeUp    []MadeUp `yaml:"made_up"`
	Steps     []Step   `yaml:"steps"`

	folder fs.FS
}

// A Council takes part in an exchange. None is a real one.
type Council struct {
	Name  name.Council `yaml:"council"`
	Title string       `yaml:"title"`
	GSS   string       `yaml:"gss"`
	Part  string       `yaml:"part"` // what it does here
}

// A Step is one thing that happens: a command that is typed, an agreement that is made, or
// a wait.
type Step struct {
	Say string       `yaml:"say"` // what happens, in a sentence
	At  name.Council `yaml:"at"`  // who types the command; "" for an agreement or a wait

	// Run is the command without "stile" and without --data. A word that names a file
	// of the exchange stands for that file, and {cell FILE ROW COLUMN} for a cell of a
	// made-up file. A word with spaces stands in quotation marks.
	Run    string   `yaml:"run"`
	Input  string   `yaml:"input"`  // what is typed into it
	Exit   int      `yaml:"exit"`   // the exit code it has to have
	Prints []string `yaml:"prints"` // what it has to print
	Hides  []string `yaml:"hides"`  // what it must not print
	Retry  bool     `yaml:"retry"`  // until it prints that: another council has to hear of something first
	Lines  int      `yaml:"lines"`  // how many lines of what it printed are shown; 0: 12

	Agree string `yaml:"agree"` // a file: previewed by the sender, then signed by all parties

	Await     string         `yaml:"await"`     // an agreement: until all receivers are in step and have receipted
	Holds     map[string]int `yaml:"holds"`     // with Await: how many records each receiver has to hold then
	Withdrawn bool           `yaml:"withdrawn"` // with Await: and until nothing that was withdrawn is outstanding
}

// Open reads the exchange of a folder. Errors name the place in its file and the rule.
func Open(id string, folder fs.FS) (*Exchange, error) {
	b, err := fs.ReadFile(folder, FileName)
	if err != nil {
		return nil, fmt.Errorf("read the exchange %s: %w", id, err)
	}
	e, err := parse(b)
	if err == nil {
		e.ID, e.folder = id, folder
		err = e.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", id, FileName, err)
	}
	return e, nil
}

func parse(b []byte) (*Exchange, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("is longer than %d bytes", maxFile)
	}
	e := new(Exchange)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(e); err != nil {
		return nil, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("want one YAML document, and the file holds more")
	}
	return e, nil
}

var idForm = regexp.MustCompile(`^[0-9]{2}-[a-z0-9-]{2,60}$`)

// check holds the exchange against what a run needs, so that a mistake is told before
// anything is done.
func (e *Exchange) check() error {
	if !idForm.MatchString(e.ID) {
		return fmt.Errorf("the folder is called %q: want two digits, a hyphen and a name in small letters", e.ID)
	}
	var errs []error
	bad := func(place, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{place}, args...)...))
	}
	for _, f := range []struct{ key, text string }{{"title", e.Title}, {"problem", e.Problem}, {"stays", e.Stays}} {
		if strings.TrimSpace(f.text) == "" {
			bad(f.key, "is empty")
		}
	}
	if len(e.Standards) == 0 {
		bad("standards", "is empty")
	}
	if n := len(e.Councils); n < 3 || n > maxCouncils {
		bad("councils", "want 3 to %d, there are %d", maxCouncils, n)
	}
	for i, c := range e.Councils {
		if _, err := name.ParseCouncil(string(c.Name)); err != nil {
			bad(fmt.Sprintf("councils, %d", i+1), "%v", err)
		}
		if slices.ContainsFunc(e.Councils[:i], func(o Council) bool { return o.Name == c.Name || o.GSS == c.GSS }) {
			bad(fmt.Sprintf("councils, %d", i+1), "its name or its GSS code stands above already")
		}
	}
	for i, m := range e.MadeUp {
		if err := m.check(); err != nil {
			bad(fmt.Sprintf("made_up, %d", i+1), "%v", err)
		}
	}
	if n := len(e.Steps); n == 0 || n > maxSteps {
		bad("steps", "want 1 to %d, there are %d", maxSteps, n)
	}
	for i, s := range e.Steps {
		if err := e.checkStep(s); err != nil {
			bad(fmt.Sprintf("steps, %d", i+1), "%v", err)
		}
	}
	return errors.Join(errs...)
}

func (e *Exchange) checkStep(s Step) error {
	kinds := 0
	for _, text := range []string{s.Run, s.Agree, s.Await} {
		if text != "" {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("want one of run, agree and await")
	case strings.TrimSpace(s.Say) == "":
		return errors.New("say is empty")
	case s.Run == "" && s.At != "":
		return errors.New("at is for a command")
	case s.Run != "" && !e.has(s.At):
		return fmt.Errorf("at: %q is none of the councils", s.At)
	case s.Run != "":
		_, err := Words(s.Run)
		return err
	case s.Agree != "":
		if _, err := fs.Stat(e.folder, s.Agree); err != nil {
			return fmt.Errorf("agree: there is no file %q in the folder", s.Agree)
		}
	}
	for c := range s.Holds {
		if !e.has(name.Council(c)) {
			return fmt.Errorf("holds: %q is none of the councils", c)
		}
	}
	return nil
}

func (e *Exchange) has(c name.Council) bool {
	return slices.ContainsFunc(e.Councils, func(o Council) bool { return o.Name == c })
}

// Files returns every file of the exchange by its name: those of the folder, and the
// made-up ones, which are the same at every call.
func (e *Exchange) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(e.folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(e.folder, path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the folder of %s: %w", e.ID, err)
	}
	for _, m := range e.MadeUp {
		if files[m.File], err = m.Make(); err != nil {
			return nil, fmt.Errorf("%s: make up %s: %w", e.ID, m.File, err)
		}
	}
	return files, nil
}

// Words splits a command at its spaces. What stands between quotation marks, "…" or '…', is
// one word, and so is what stands between braces.
func Words(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun := false
	var end rune
	for _, r := range command {
		switch {
		case end == '}':
			word.WriteRune(r)
			if r == end {
				end = 0
			}
		case end != 0 && r == end:
			end = 0
		case end != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			end, begun = r, true
		case r == '{':
			end, begun = '}', true
			word.WriteRune(r)
		case r == ' ' || r == '\n':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if end != 0 {
		return nil, fmt.Errorf("run: a %c is missing at the end", end)
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("run is empty")
	}
	return words, nil
}

var cellForm = regexp.MustCompile(`\{cell ([^ }]+) ([0-9]+) ([^}]+)\}`)

// Fill puts in the place of each {cell FILE ROW COLUMN} what a made-up file has there. Rows
// count from 1, without the headings.
func (e *Exchange) Fill(text string) (string, error) {
	var failed error
	filled := cellForm.ReplaceAllStringFunc(text, func(cell string) string {
		p := cellForm.FindStringSubmatch(cell)
		i := slices.IndexFunc(e.MadeUp, func(m MadeUp) bool { return m.File == p[1] })
		if i < 0 {
			failed = fmt.Errorf("%s: there is no made-up file %q", cell, p[1])
			return cell
		}
		value, err := e.MadeUp[i].cell(p[2], p[3])
		if err != nil {
			failed = fmt.Errorf("%s: %w", cell, err)
		}
		return value
	})
	return filled, failed
}
