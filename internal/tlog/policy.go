package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// A Policy says by whom a checkpoint should be cosigned (c2sp.org/tlog-policy):
// which logs it may be of, which witnesses are known, and the quorum, the rule by
// which the cosignatures there are count as enough. It is immutable.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness

	quorum *quorum // nil: no cosignature is wanted
}

// A PolicyLog is a log whose checkpoints a policy accepts.
type PolicyLog struct {
	Key      string // as [ParseLogKey] reads it
	Verifier note.Verifier
	URL      string // where its tiles are served; "" when not said
}

// A PolicyWitness is a witness that a policy knows.
type PolicyWitness struct {
	Name     string // within the policy; its key has a name of its own
	Verifier note.Verifier
	URL      string // its submission prefix (c2sp.org/tlog-witness); "" when not said
}

// A quorum is met when its witness has cosigned or, for a group, when at least k
// of its members are met.
type quorum struct {
	witness note.Verifier // nil: a group
	k       int
	of      []*quorum
}

// Bounds of a policy file. The specification asks for at least 32 of each.
const (
	MaxPolicy      = 256 << 10 // bytes
	maxPolicyLines = 128       // logs, witnesses and groups together
)

// ErrPolicy is wrapped by what is wrong with a policy file.
var ErrPolicy = errors.New("not a witness policy")

// ParsePolicy reads a policy file. The error wraps [ErrPolicy] and names the line
// and the rule; the key of a witness may be of any kind that [ParseWitnessKey]
// reads.
func ParsePolicy(b []byte) (*Policy, error) {
	if len(b) > MaxPolicy {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrPolicy, len(b), MaxPolicy)
	}
	r := policyReader{names: map[string]*quorum{}, used: map[*quorum]bool{}}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrPolicy, n, err)
		}
	}
	if !r.ended {
		return nil, fmt.Errorf("%w: no quorum line: write \"quorum NAME\", or \"quorum none\" to want no cosignature", ErrPolicy)
	}
	return &r.p, nil
}

type policyReader struct {
	p     Policy
	names map[string]*quorum // witnesses and groups
	used  map[*quorum]bool   // is a member of a group
	keys  []string           // public keys met, to see one that comes twice
	count int
	ended bool // the quorum was met
}

func (r *policyReader) line(line []byte) error {
	line = bytes.TrimSuffix(line, []byte("\n"))
	for i, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("byte %d is a control character", i+1)
		}
	}
	f := strings.FieldsFunc(string(line), func(c rune) bool { return c == ' ' || c == '\t' })
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return nil
	}
	if f[0] != "quorum" {
		if r.count++; r.count > maxPolicyLines {
			return fmt.Errorf("more than %d logs, witnesses and groups", maxPolicyLines)
		}
	}
	switch f[0] {
	case "log":
		return r.log(f[1:])
	case "witness":
		return r.witness(f[1:])
	case "group":
		return r.group(f[1:])
	case "quorum":
		return r.quorum(f[1:])
	}
	return errors.New(`want a line that begins with "log", "witness", "group" or "quorum"`)
}

func (r *policyReader) log(f []string) error {
	if len(f) != 1 && len(f) != 2 {
		return errors.New("want log VKEY [URL]")
	}
	v, err := ParseLogKey(f[0])
	if err != nil {
		return err
	}
	l := PolicyLog{Key: f[0], Verifier: v}
	if l.URL, err = optionalURL(f[1:]); err != nil {
		return err
	}
	r.p.Logs = append(r.p.Logs, l)
	return r.once(f[0])
}

func (r *policyReader) witness(f []string) error {
	if len(f) != 2 && len(f) != 3 {
		return errors.New("want witness NAME VKEY [URL]")
	}
	v, err := ParseWitnessKey(f[1])
	if err != nil {
		return err
	}
	w := PolicyWitness{Name: f[0], Verifier: v}
	if w.URL, err = optionalURL(f[2:]); err != nil {
		return err
	}
	r.p.Witnesses = append(r.p.Witnesses, w)
	if err := r.once(f[1]); err != nil {
		return err
	}
	return r.define(f[0], &quorum{witness: v})
}

func (r *policyReader) group(f []string) error {
	if len(f) < 3 {
		return errors.New("want group NAME all|any|K MEMBER…")
	}
	g := &quorum{}
	for _, m := range f[2:] {
		q := r.names[m]
		switch {
		case q == nil:
			return errors.New("a member of the group is not defined on a line above")
		case r.used[q]:
			return errors.New("a member of the group is in a group already: each counts once")
		}
		r.used[q] = true
		g.of = append(g.of, q)
	}
	switch f[1] {
	case "all":
		g.k = len(g.of)
	case "any":
		g.k = 1
	default:
		k, err := strconv.Atoi(f[1])
		if err != nil || k < 1 || k > len(g.of) || strconv.Itoa(k) != f[1] {
			return fmt.Errorf("want all, any, or how many of the %d members are enough", len(g.of))
		}
		g.k = k
	}
	return r.define(f[0], g)
}

func (r *policyReader) quorum(f []string) error {
	if len(f) != 1 {
		return errors.New("want quorum NAME")
	}
	if r.ended {
		return errors.New("a second quorum line")
	}
	r.ended = true
	if f[0] == "none" {
		return nil
	}
	if r.p.quorum = r.names[f[0]]; r.p.quorum == nil {
		return errors.New("the quorum is not defined on a line above")
	}
	return nil
}

func (r *policyReader) define(name string, q *quorum) error {
	if name == "none" || r.names[name] != nil {
		return errors.New("the name is taken")
	}
	r.names[name] = q
	return nil
}

// once refuses a public key that was met before, under whatever name.
func (r *policyReader) once(vkey string) error {
	key := vkey[strings.LastIndexByte(vkey, '+')+1:]
	if slices.Contains(r.keys, key) {
		return errors.New("the key stands on another line already")
	}
	r.keys = append(r.keys, key)
	return nil
}

func optionalURL(f []string) (string, error) {
	if len(f) == 0 {
		return "", nil
	}
	u, err := url.Parse(f[0])
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("want a URL such as https://witness.example/w1, without a query")
	}
	return strings.TrimSuffix(f[0], "/"), nil
}

// Verifiers returns the keys of the witnesses, for [OpenCheckpoint].
func (p *Policy) Verifiers() []note.Verifier {
	out := make([]note.Verifier, len(p.Witnesses))
	for i, w := range p.Witnesses {
		out[i] = w.Verifier
	}
	return out
}

// Accepts reports whether checkpoints of the log with this verifier key are accepted:
// the policy lists it, or lists no logs.
func (p *Policy) Accepts(vkey string) bool {
	return len(p.Logs) == 0 || slices.ContainsFunc(p.Logs, func(l PolicyLog) bool { return l.Key == vkey })
}

// Wants reports whether any cosignature is wanted.
func (p *Policy) Wants() bool { return p.quorum != nil }

// Met reports whether a checkpoint has the cosignatures that the policy wants. n
// must come from [OpenCheckpoint], which was given Verifiers.
func (p *Policy) Met(n *note.Note) bool {
	return p.quorum == nil || p.quorum.met(n)
}

func (q *quorum) met(n *note.Note) bool {
	if q.witness != nil {
		return len(Cosignatures(n, q.witness)) > 0
	}
	k := 0
	for _, m := range q.of {
		if m.met(n) {
			k++
		}
	}
	return k >= q.k
}
