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
	"time"

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
	// Published are files that councils have published, which do not come with Stile: a
	// run that is told where they are takes the steps of them too.
	Published []Published `yaml:"published"`
	// Needed says what has to come before which day, of standards of the exchange.
	Needed []Needed `yaml:"needed"`
	// Footprints are the ledgers that some of the councils keep together, and that
	// agreements name as receivers. The steps found them.
	Footprints []Footprint `yaml:"footprints"`
	Steps      []Step      `yaml:"steps"`

	folder fs.FS
}

// A Footprint is a ledger that councils of the exchange keep together.
type Footprint struct {
	Name    name.Council   `yaml:"footprint"`
	Members []name.Council `yaml:"members"`
}

// A Needed says of records of a standard that what stands in a field has to come before the day
// in another: a care plan before the day of the move. A run counts what came in time and what
// did not.
type Needed struct {
	Standard string     `yaml:"standard"` // one of the exchange's
	What     name.Field `yaml:"what"`     // "" is the record itself
	Before   name.Field `yaml:"before"`
}

// NeededOf returns what of a standard has to come in time; false where nothing has to.
func (e *Exchange) NeededOf(slug string) (Needed, bool) {
	i := slices.IndexFunc(e.Needed, func(n Needed) bool { return n.Standard == slug })
	if i < 0 {
		return Needed{}, false
	}
	return e.Needed[i], true
}

// On returns the exchange with its made-up files as they are on a day, from which the days in
// them are counted that say so. Without it they are those of 30 November 2026.
func (e *Exchange) On(day time.Time) *Exchange {
	on := *e
	on.MadeUp = slices.Clone(e.MadeUp)
	for i := range on.MadeUp {
		on.MadeUp[i].today = day
	}
	return &on
}

// Apart returns the exchange with the domain of each of its councils told apart from those of
// other exchanges: northmoor.gov.uk is northmoor.exchange-02.gov.uk in all its texts.
func (e *Exchange) Apart() (*Exchange, error) {
	number, _, _ := strings.Cut(e.ID, "-")
	var pairs []string
	for _, c := range e.Councils {
		pairs = append(pairs, string(c.Name), c.Label()+".exchange-"+number+strings.TrimPrefix(string(c.Name), c.Label()))
	}
	return Open(e.ID, replaced{e.folder, strings.NewReplacer(pairs...)})
}

// A replaced folder is one in whose files texts stand in the place of others.
type replaced struct {
	fs.FS
	by *strings.Replacer
}

// ReadFile returns a file of the folder.
func (r replaced) ReadFile(file string) ([]byte, error) {
	b, err := fs.ReadFile(r.FS, file)
	return []byte(r.by.Replace(string(b))), err
}

// Everyone is the group that every council is in.
const Everyone = "everyone"

// A Council takes part in an exchange. None is a real one.
type Council struct {
	Name  name.Council `yaml:"council"`
	Title string       `yaml:"title"`
	GSS   string       `yaml:"gss"`
	Part  string       `yaml:"part"`  // what it does here
	Group string       `yaml:"group"` // of councils that do the same; "" for one that stands alone
}

// Label is the first part of the council's domain, by which people call it here.
func (c Council) Label() string {
	s, _, _ := strings.Cut(string(c.Name), ".")
	return s
}

// fill puts the council in the place of {council}, {label}, {title} and {gss}.
func (c Council) fill(text string) string {
	return strings.NewReplacer("{council}", string(c.Name), "{label}", c.Label(), "{title}", c.Title, "{gss}", c.GSS).Replace(text)
}

// A Published file is open data of a real council.
type Published struct {
	File string `yaml:"file"` // as the commands name it
	Path string `yaml:"path"` // below the folder that a run is told of, such as brownfield-land/leicester.csv
}

// A Step is one thing that happens: a command that is typed, an agreement that is made, or
// a wait.
type Step struct {
	Say string       `yaml:"say"` // what happens, in a sentence
	At  name.Council `yaml:"at"`  // who types the command; "" for an agreement or a wait
	// Each is a group of councils, or [Everyone], for each of which the step is done: {council},
	// {label}, {title} and {gss} stand for the one whose turn it is, a file is its own
	// where there is one, and a command without At is typed by it.
	Each string `yaml:"each"`

	// Run is the command without "stile" and without --data. A word that names a file
	// of the exchange stands for that file, and {cell FILE ROW COLUMN} for a cell of a
	// made-up file; {here} is the folder of the exchange's files and {trust} the one with
	// all councils' public keys. {ago 14} is the day a fortnight before the run; when the bank
	// holidays that follow it are not known to the program, that day of an earlier year. A
	// word with spaces stands in quotation marks.
	Run    string   `yaml:"run"`
	Input  string   `yaml:"input"`  // what is typed into it
	Exit   int      `yaml:"exit"`   // the exit code it has to have
	Prints []string `yaml:"prints"` // what it has to print; spaces and ends of lines are not compared
	Hides  []string `yaml:"hides"`  // what it must not print
	Retry  bool     `yaml:"retry"`  // until it prints that: another council has to hear of something first
	// Keep gives names to parts of what is printed, each found by a regular expression
	// with one group: {NAME} stands for it in the steps below.
	Keep map[string]string `yaml:"keep"`
	// Save makes a file of what is printed, for the steps below; in {trust} it is for the
	// auditor.
	Save  string `yaml:"save"`
	Lines int    `yaml:"lines"` // how many lines of what it printed are shown; 0: 12

	Agree string `yaml:"agree"` // a file: previewed by the sender, then signed by all parties

	// Accept is a standard whose publisher offers an agreement, such as exchange-case: each
	// council of the group accepts it, with To in the place of the receiver that its text
	// names, and To then signs all of them.
	Accept string       `yaml:"accept"`
	To     name.Council `yaml:"to"`

	Await     string         `yaml:"await"`     // an agreement: until all receivers are in step and have receipted
	Holds     map[string]int `yaml:"holds"`     // with Await: how many records each receiver has to hold then
	Withdrawn bool           `yaml:"withdrawn"` // with Await: and until nothing that was withdrawn is outstanding

	// Published says that the step needs the published files: without them it is left out.
	Published bool `yaml:"published"`

	turn Council // whose turn it is, of a group
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
	for i, f := range e.Footprints {
		if _, err := name.ParseCouncil(string(f.Name)); err != nil || e.has(f.Name) {
			bad(fmt.Sprintf("footprints, %d", i+1), "want a domain that none of the councils has")
		}
		if len(f.Members) < 3 || slices.ContainsFunc(f.Members, func(c name.Council) bool { return !e.has(c) }) {
			bad(fmt.Sprintf("footprints, %d", i+1), "members: want three or more of the councils")
		}
	}
	for i, n := range e.Needed {
		_, err := name.ParseField(string(n.What))
		_, err2 := name.ParseField(string(n.Before))
		if err := errors.Join(err, err2); err != nil || n.Before == "" || !slices.Contains(e.Standards, n.Standard) {
			bad(fmt.Sprintf("needed, %d", i+1), "want one of the standards, and in before the field with the day")
		}
	}
	for i, m := range e.MadeUp {
		if m.Each != "" && len(e.Group(m.Each)) == 0 {
			bad(fmt.Sprintf("made_up, %d", i+1), "each: no council is in the group %q", m.Each)
		} else if err := m.check(); err != nil {
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
	for _, text := range []string{s.Run, s.Agree, s.Accept, s.Await} {
		if text != "" {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("want one of run, agree, accept and await")
	case strings.TrimSpace(s.Say) == "":
		return errors.New("say is empty")
	case s.Run == "" && s.Save != "":
		return errors.New("save is for a command")
	case s.Run == "" && s.At != "":
		return errors.New("at is for a command")
	case s.Each != "" && len(e.Group(s.Each)) == 0:
		return fmt.Errorf("each: no council is in the group %q", s.Each)
	case s.Accept == "" && s.To != "":
		return errors.New("to is for accept")
	case s.Accept != "" && s.Each == "":
		return errors.New("accept: want each, the group of those who accept")
	case s.Accept != "" && (!e.has(s.To) || slices.ContainsFunc(e.Group(s.Each), func(c Council) bool { return c.Name == s.To })):
		return fmt.Errorf("to: %q is none of the councils, or one of those who accept", s.To)
	case s.Accept != "":
		return nil
	case s.Each != "":
		for _, one := range e.Turns(s) {
			if err := e.checkStep(one); err != nil {
				return err
			}
		}
		return nil
	case s.Run != "" && !e.has(s.At):
		return fmt.Errorf("at: %q is none of the councils", s.At)
	case s.Run != "":
		for _, expr := range s.Keep {
			if r, err := regexp.Compile(expr); err != nil || r.NumSubexp() != 1 {
				return fmt.Errorf("keep: want a regular expression with one group: %q", expr)
			}
		}
		_, err := Words(s.Run)
		return err
	case s.Agree != "":
		if _, err := fs.Stat(e.folder, s.shared()); err != nil {
			return fmt.Errorf("agree: there is no file %q in the folder", s.Agree)
		}
	}
	for c := range s.Holds {
		if _, ok := e.Footprint(name.Council(c)); !ok && !e.has(name.Council(c)) {
			return fmt.Errorf("holds: %q is none of the councils and no footprint", c)
		}
	}
	return nil
}

// Group returns the councils of a group.
func (e *Exchange) Group(group string) []Council {
	var in []Council
	for _, c := range e.Councils {
		if group != "" && (c.Group == group || group == Everyone) {
			in = append(in, c)
		}
	}
	return in
}

// Few returns the exchange with at most n councils of each group, and those that keep a
// footprint; an error says which step names a council that is gone then.
func (e *Exchange) Few(n int) (*Exchange, error) {
	few, in := *e, map[string]int{}
	few.Councils = nil
	for _, c := range e.Councils {
		keeps := slices.ContainsFunc(e.Footprints, func(f Footprint) bool { return slices.Contains(f.Members, c.Name) })
		if in[c.Group]++; c.Group == "" || keeps || in[c.Group] <= n {
			few.Councils = append(few.Councils, c)
		}
	}
	return &few, few.check()
}

// Footprint returns the footprint of a name.
func (e *Exchange) Footprint(of name.Council) (Footprint, bool) {
	i := slices.IndexFunc(e.Footprints, func(f Footprint) bool { return f.Name == of })
	if i < 0 {
		return Footprint{}, false
	}
	return e.Footprints[i], true
}

// Turns returns the step for each council of its group, or the step itself; accept is one step
// of all, since one council signs at its end.
func (e *Exchange) Turns(s Step) []Step {
	if s.Each == "" || s.Accept != "" {
		return []Step{s}
	}
	var turns []Step
	for _, c := range e.Group(s.Each) {
		one := s
		one.Each, one.turn = "", c
		if one.Run = c.fill(s.Run); s.Run != "" && s.At == "" {
			one.At = c.Name
		}
		one.Input, one.Await = c.fill(s.Input), c.fill(s.Await)
		if s.Agree != "" {
			one.Agree = c.Label() + "." + s.Agree
		}
		one.Prints, one.Hides = nil, nil
		for _, p := range s.Prints {
			one.Prints = append(one.Prints, c.fill(p))
		}
		for _, h := range s.Hides {
			one.Hides = append(one.Hides, c.fill(h))
		}
		turns = append(turns, one)
	}
	return turns
}

// File returns which file of the exchange a word of the step's command names, "" for none:
// the council's own before the one of all.
func (s Step) File(word string, files map[string][]byte) string {
	if s.turn.Name != "" {
		if own := s.turn.Label() + "." + word; files[own] != nil {
			return own
		}
	}
	if files[word] != nil {
		return word
	}
	return ""
}

// shared is the agreement's file in the folder, which a group has once.
func (s Step) shared() string {
	if s.turn.Name == "" {
		return s.Agree
	}
	return strings.TrimPrefix(s.Agree, s.turn.Label()+".")
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
		if m.Each == "" {
			if files[m.File], err = m.Make(); err != nil {
				return nil, fmt.Errorf("%s: make up %s: %w", e.ID, m.File, err)
			}
		}
		for _, c := range e.Group(m.Each) {
			if files[c.Label()+"."+m.File], err = m.of(c).Make(); err != nil {
				return nil, fmt.Errorf("%s: make up %s of %s: %w", e.ID, m.File, c.Name, err)
			}
		}
	}
	// An agreement that a group has in common is a text for each.
	for _, s := range e.Steps {
		if s.Each == "" || s.Agree == "" {
			continue
		}
		text := string(files[s.Agree])
		delete(files, s.Agree)
		for _, c := range e.Group(s.Each) {
			files[c.Label()+"."+s.Agree] = []byte(c.fill(text))
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
// count from 1, without the headings. Of a file that each council of a group has, the name
// begins with the council's label and a full stop.
func (e *Exchange) Fill(text string) (string, error) {
	var failed error
	filled := cellForm.ReplaceAllStringFunc(text, func(cell string) string {
		p := cellForm.FindStringSubmatch(cell)
		m, ok := e.madeUp(p[1])
		if !ok {
			failed = fmt.Errorf("%s: there is no made-up file %q", cell, p[1])
			return cell
		}
		value, err := m.cell(p[2], p[3])
		if err != nil {
			failed = fmt.Errorf("%s: %w", cell, err)
		}
		return value
	})
	return filled, failed
}

func (e *Exchange) madeUp(file string) (MadeUp, bool) {
	for _, m := range e.MadeUp {
		if m.Each == "" && m.File == file {
			return m, true
		}
		for _, c := range e.Group(m.Each) {
			if file == c.Label()+"."+m.File {
				return m.of(c), true
			}
		}
	}
	return MadeUp{}, false
}
