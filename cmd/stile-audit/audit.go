package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

const usage = `stile-audit verifies what a council hands to an auditor, without a network.

  stile-audit verify FILE     check a bundle (.stile), or one record or event as a token
  stile-audit adoption FILE   check a bundle of a compliance statement and count its figures
                              again from the records in it
  stile-audit evidence FILE   say what a file of evidence proves against a council's log, as
                              "stile council quarantine export" writes it
  stile-audit show FILE       say what is in it, verifying nothing
  stile-audit version

FILE may be "-" for standard input.

  --trust WHAT      what to believe: root:DIGEST, the root of the directory, which
                    is enough for a bundle; a node's directory folder; a member
                    file (.yaml), a folder of them, or a text file with one key a
                    line, as verify prints them; may be given again
  --standard PATH   a standard as its publisher has it, folder or archive; may be
                    given again
  --held FILE       with a bundle: a signed checkpoint of the council's log that somebody
                    else gave you, such as a witness; may be given again
  --origin FILE     with a bundle of a council that took records over: what the council that
                    ended handed to it; may be given again
  --before FIELD    with a bundle: count the records that came before the day that stands in
                    this field, such as /intention/move_on, by their receivers' receipts
  --what FIELD      with --before: the field that had to have come by then, such as /plan;
                    without it the record itself
  --proof FILE      with a token: the tlog-proof file that shows it in the log
  --json            one JSON document instead of text

A file says who signed it, not that you should believe it: without --trust the
keys come from the file itself, and the report says so.

Exit codes: 0 nothing failed, 1 could not be done, 2 wrong usage, 3 no such file,
5 not a file that can be read as a bundle, token or evidence, 6 verification failed,
a figure differs, or evidence does not prove what it says.
`

// The exit codes, those of stile.
const (
	done = iota
	cannot
	misused
	notFound
	invalid   = 5
	failed    = 6
	keepFresh = "ask whoever handed it over for a fresh copy, and keep this one"
)

// A failure is an error with its exit code and what to do about it.
type failure struct {
	code int
	try  string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func fail(code int, try, format string, a ...any) error {
	return &failure{code, try, fmt.Errorf(format, a...)}
}

// options are what the flags say.
type options struct {
	trust, standards, held list
	origins                list
	proof                  string
	before, what           string
	json                   bool
}

// list is a flag that may be given again.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds one.
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// Main runs the command and returns its exit code.
func Main(e env, args []string) int {
	err := run(e, args)
	if err == nil {
		return done
	}
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok:
	case errors.Is(err, fs.ErrNotExist):
		f = &failure{notFound, "look at the path again", err}
	default:
		f = &failure{cannot, "stile-audit help", err}
	}
	name.Fprintf(e.err, "stile-audit: %s\nTry: %s\n", f, f.try)
	return f.code
}

func run(e env, args []string) error {
	if len(args) == 0 {
		return fail(misused, "stile-audit help", "want a command: verify, show or version")
	}
	verb, args := args[0], args[1:]
	var o options
	switch verb {
	case "help", "--help", "-h":
		_, err := io.WriteString(e.out, usage)
		return err
	case "version", "--version":
		_, err := name.Fprintf(e.out, "stile-audit %s, bundle format %d\n", release.Of(), audit.Format)
		return err
	case "verify", "show", "adoption", "evidence":
	default:
		return fail(misused, "stile-audit help", "there is no command %q", verb)
	}
	files, err := o.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(e.out, usage)
		return err
	}
	if err != nil {
		return fail(misused, "stile-audit help", "%w", err)
	}
	if len(files) != 1 {
		return fail(misused, "stile-audit "+verb+" FILE", "want one file, not %d", len(files))
	}
	in, err := read(e, files[0])
	if err != nil {
		return err
	}
	defer in.Close()
	switch verb {
	case "show":
		return show(e, in, o)
	case "adoption":
		return adoption(e, in, o)
	case "evidence":
		return evidence(e, in, o)
	}
	return verify(e, in, o)
}

// parse reads flags before and after the file.
func (o *options) parse(args []string) (files []string, err error) {
	f := flag.NewFlagSet("stile-audit", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Var(&o.trust, "trust", "")
	f.Var(&o.standards, "standard", "")
	f.Var(&o.held, "held", "")
	f.Var(&o.origins, "origin", "")
	f.StringVar(&o.proof, "proof", "", "")
	f.StringVar(&o.before, "before", "", "")
	f.StringVar(&o.what, "what", "", "")
	f.BoolVar(&o.json, "json", false, "")
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return files, nil
		}
		files, args = append(files, f.Arg(0)), f.Args()[1:]
	}
}

// source is an opened file, a bundle or else small enough to be read whole.
type source struct {
	io.ReaderAt
	io.Closer
	name   string
	size   int64
	bundle bool
}

// maxToken bounds a file that is not a bundle, and standard input, in bytes.
const (
	maxToken = 32 << 20
	maxInput = 2 << 30
)

func read(e env, path string) (*source, error) {
	if path == "-" {
		b, err := io.ReadAll(io.LimitReader(e.in, maxInput))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		if len(b) == maxInput {
			return nil, fail(invalid, "save it to a file and name that", "standard input is too long to be held")
		}
		return &source{bytes.NewReader(b), io.NopCloser(nil), "standard input", int64(len(b)), bytes.HasPrefix(b, []byte("PK"))}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fail(misused, "stile-audit help", "%q is not a file: want a bundle or a token", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	var head [2]byte
	f.ReadAt(head[:], 0) // a file too short for it is no bundle
	return &source{f, f, path, fi.Size(), string(head[:]) == "PK" || strings.HasSuffix(path, ".stile")}, nil
}

// token returns the whole of a file that is not a bundle.
func (s *source) token() ([]byte, error) {
	if s.size > maxToken {
		return nil, fail(invalid, "a token is one line that begins with eyJ; a bundle is a .stile file", "%q is no bundle, and too large for a token", s.name)
	}
	b, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return bytes.TrimSpace(b), nil
}

// brought reads what the auditor brings along.
func (o options) brought() (with audit.Options, err error) {
	for _, path := range o.trust {
		t, err := audit.ReadTrust(path)
		if errors.Is(err, audit.ErrTrust) {
			return with, fail(misused, "give root:DIGEST, a member file, a folder of them, or a list of keys", "--trust: %w", err)
		}
		if err != nil {
			return with, err
		}
		with.Trust.Add(t)
	}
	for _, path := range o.standards {
		s, err := loadStandard(path)
		if err != nil {
			return with, fail(invalid, "name the folder or archive as its publisher has it", "--standard %q: %w", path, err)
		}
		with.Standards = append(with.Standards, s)
	}
	for _, path := range o.origins {
		in, err := read(env{}, path)
		if err != nil {
			return with, err
		}
		with.Origins = append(with.Origins, audit.OriginFile{File: in, Size: in.size})
	}
	for _, path := range o.held {
		b, err := readSmall(path)
		if err != nil {
			return with, err
		}
		with.Brought = append(with.Brought, b)
	}
	return with, nil
}

// adoption counts the figures of compliance statements again.
func adoption(e env, in *source, o options) error {
	if !in.bundle || o.proof != "" {
		return fail(misused, "stile-audit adoption FILE", "want the bundle of a compliance statement")
	}
	with, err := o.brought()
	if err != nil {
		return err
	}
	rs, err := audit.Adoption(in, in.size, with)
	if err != nil {
		return fail(invalid, "ask the council for: stile export bundle --statement newest --full --out FILE", "%q: %w", in.name, err)
	}
	ok := true
	for _, r := range rs {
		ok = ok && r.OK()
		if o.json {
			_, err = name.JSON(e.out).Write(r.JSON())
		} else {
			err = writeClean(e.out, r.WriteText)
		}
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if !ok {
		return fail(failed, "ask the council how it came by the figures that differ", "the statement is not borne out by its records")
	}
	return nil
}

func verify(e env, in *source, o options) error {
	with, err := o.brought()
	if err != nil {
		return err
	}
	if with.Needed, err = audit.ParseNeeded(o.what, o.before); err != nil {
		return fail(misused, "stile-audit verify FILE --before /intention/move_on", "%w", err)
	}
	var r *audit.Report
	switch {
	case !in.bundle && with.Needed != nil:
		return fail(misused, "stile-audit verify FILE", "--before goes with a bundle: a token has no receipts in it")
	case in.bundle && o.proof != "":
		return fail(misused, "stile-audit verify FILE", "--proof goes with a token; a bundle has its proofs in it")
	case in.bundle:
		if r, err = audit.Verify(in, in.size, with); err != nil {
			return fail(invalid, keepFresh, "%q: %w", in.name, err)
		}
	default:
		if len(o.held)+len(o.origins) > 0 {
			return fail(misused, "stile-audit verify FILE", "--held and --origin go with a bundle; a token is of no log that can be held against it")
		}
		b, err := in.token()
		if err != nil {
			return err
		}
		var proof []byte
		if o.proof != "" {
			if proof, err = readSmall(o.proof); err != nil {
				return err
			}
		}
		if r, err = audit.VerifyToken(b, proof, with); err != nil {
			return fail(invalid, "a token is one line that begins with eyJ; a bundle is a .stile file", "%q: %w", in.name, err)
		}
	}
	if o.json {
		_, err = name.JSON(e.out).Write(r.JSON())
	} else {
		err = writeClean(e.out, r.WriteText)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if !r.OK() {
		return fail(failed, keepFresh, "verification failed")
	}
	return nil
}

// evidence says what a file of evidence proves.
func evidence(e env, in *source, o options) error {
	with, err := o.brought()
	if err != nil {
		return err
	}
	const form = "it is a JSON file that begins with stile_evidence, as stile council quarantine export writes it"
	if in.bundle || in.size > audit.MaxEvidence {
		return fail(invalid, form, "%q: %w", in.name, audit.ErrEvidence)
	}
	b, err := io.ReadAll(io.NewSectionReader(in, 0, in.size))
	if err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	ev, err := audit.ParseEvidence(b)
	if err != nil {
		return fail(invalid, form, "%q: %w", in.name, err)
	}
	j := ev.Judge(with.Trust)
	if o.json {
		enc := json.NewEncoder(name.JSON(e.out))
		enc.SetIndent("", "  ")
		err = enc.Encode(j)
	} else {
		err = writeClean(e.out, func(w io.Writer) error {
			for _, line := range j.Says {
				if _, err := name.Fprintf(w, "%s\n", line); err != nil {
					return err
				}
			}
			for _, k := range j.Keys {
				if _, err := name.Fprintf(w, "key: %s\n", k.Key); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("write judgement: %w", err)
	}
	if !j.Proven {
		return fail(failed, "see above what it would take", "this file does not prove that the log of %s told two histories", ev.Log)
	}
	return nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	return b, nil
}

func loadStandard(path string) (*standard.Standard, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return standard.Load(os.DirFS(path))
	}
	b, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	return standard.LoadArchive(b)
}

func show(e env, in *source, o options) error {
	if in.bundle {
		d, err := audit.Describe(in, in.size)
		if err != nil {
			return fail(invalid, keepFresh, "%q: %w", in.name, err)
		}
		if o.json {
			enc := json.NewEncoder(name.JSON(e.out))
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		}
		return writeClean(e.out, d.WriteText)
	}
	b, err := in.token()
	if err != nil {
		return err
	}
	v, err := audit.Visible(b)
	if err != nil {
		return fail(invalid, "a token is one line that begins with eyJ; a bundle is a .stile file", "%q: %w", in.name, err)
	}
	_, err = fmt.Fprintf(name.JSON(e.out), "%s\n", v)
	return err
}

// writeClean writes a text that may quote the file, such as a standard's title.
func writeClean(w io.Writer, write func(io.Writer) error) error {
	var b strings.Builder
	if err := write(&b); err != nil {
		return err
	}
	_, err := name.Fprintf(w, "%s", name.Lines(b.String()))
	return err
}
