package tufdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A MemberExtra is the "custom" of a member's target: what the directory says
// of a member beside the member file. As JSON:
//
//	{"role":"council","gss":"E07000998","valid_from":"2026-11-01",
//	 "ended":"2028-04-01","predecessors":[…],"successors":["newmoor.gov.uk"],
//	 "revocations":[{"from_index":1234,"kid":"…"}]}
//
// Role, GSS and ValidFrom repeat the member file, for those who read the list
// alone. Fields may be added; one that a reader does not know makes it refuse
// the member, since it might say that a key is not to be believed.
type MemberExtra struct {
	Role         directory.Role
	GSS          string
	ValidFrom    time.Time              // midnight UTC
	Ended        time.Time              // midnight UTC of the first day it is no longer a member; zero while it is
	Predecessors []name.Council         // whose duties it took over, sorted
	Successors   []name.Council         // who took over its own, sorted
	Revocations  []directory.Revocation // by KID, each once
}

// A StandardExtra is the "custom" of a standard's target. As JSON:
//
//	{"integrity":"sha256-…","history":[{"on":"2026-02-01","status":"candidate"},{"on":"2026-05-01","status":"live"}]}
//
// The archive is frozen, so its manifest says for ever what status the
// standard was published with. The last step of History is what holds.
type StandardExtra struct {
	Integrity string // of the schema, as standard.Standard.Integrity
	History   []Step // at least one; days and statuses only go forward
}

// A Step is a standard's coming into a status.
type Step struct {
	Status standard.Status
	On     time.Time // midnight UTC
}

const (
	dayForm   = "2006-01-02"
	maxCustom = 32 << 10 // bytes
	maxList   = 64       // successors, predecessors, revocations, steps
	maxIndex  = 1<<53 - 1
)

// ErrCustom is wrapped by the errors about a target's custom fields, which
// never hold the text that is wrong.
var ErrCustom = errors.New("custom fields are not valid")

func customf(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrCustom, fmt.Sprintf(format, a...))
}

// JSON returns e as ParseMemberExtra reads it: canonical, as strictjson.
func (e MemberExtra) JSON() []byte {
	m := map[string]any{"role": string(e.Role), "valid_from": e.ValidFrom.Format(dayForm)}
	if e.GSS != "" {
		m["gss"] = e.GSS
	}
	if !e.Ended.IsZero() {
		m["ended"] = e.Ended.Format(dayForm)
	}
	list := func(key string, c []name.Council) {
		if len(c) > 0 {
			l := make([]any, len(c))
			for i := range c {
				l[i] = string(c[i])
			}
			m[key] = l
		}
	}
	list("predecessors", e.Predecessors)
	list("successors", e.Successors)
	if len(e.Revocations) > 0 {
		l := make([]any, len(e.Revocations))
		for i, r := range e.Revocations {
			l[i] = map[string]any{"kid": r.KID, "from_index": r.FromIndex}
		}
		m["revocations"] = l
	}
	return strictjson.Canonical(m)
}

// ParseMemberExtra reads the custom of a member's target. What it accepts,
// JSON prints with the same meaning; every error wraps [ErrCustom].
func ParseMemberExtra(b []byte) (MemberExtra, error) {
	f, err := readFields(b)
	if err != nil {
		return MemberExtra{}, err
	}
	e := MemberExtra{
		Role:         directory.Role(f.text("role", true)),
		GSS:          f.text("gss", false),
		ValidFrom:    f.day("valid_from", true),
		Ended:        f.day("ended", false),
		Predecessors: f.councils("predecessors"),
		Successors:   f.councils("successors"),
	}
	for _, r := range f.list("revocations") {
		e.Revocations = append(e.Revocations, directory.Revocation{KID: r.text("kid", true), FromIndex: r.index("from_index")})
		f.join(r)
	}
	if err := f.done(); err != nil {
		return MemberExtra{}, err
	}
	return e, e.check()
}

func (e MemberExtra) check() error {
	switch e.Role {
	case directory.RoleCouncil, directory.RoleFootprint, directory.RoleStandardsBody, directory.RoleAuditor, directory.RoleRegulator:
	default:
		return customf("role: want one of the roles of a member")
	}
	if !e.Ended.IsZero() && !e.Ended.After(e.ValidFrom) {
		return customf("ended: want a day after valid_from")
	}
	for i, r := range e.Revocations {
		if !isThumbprint(r.KID) || i > 0 && r.KID <= e.Revocations[i-1].KID {
			return customf("revocations: want key ids, sorted, each once")
		}
	}
	return nil
}

// isThumbprint accepts what keys.RecordPublic.ID returns: 43 characters of
// base64url.
func isThumbprint(s string) bool {
	return len(s) == 43 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// JSON returns e as [ParseStandardExtra] reads it: canonical, as strictjson.
func (e StandardExtra) JSON() []byte {
	l := make([]any, len(e.History))
	for i, s := range e.History {
		l[i] = map[string]any{"status": string(s.Status), "on": s.On.Format(dayForm)}
	}
	return strictjson.Canonical(map[string]any{"integrity": e.Integrity, "history": l})
}

// ParseStandardExtra reads the custom of a standard's target. What it
// accepts, JSON prints with the same meaning; every error wraps [ErrCustom].
func ParseStandardExtra(b []byte) (StandardExtra, error) {
	f, err := readFields(b)
	if err != nil {
		return StandardExtra{}, err
	}
	e := StandardExtra{Integrity: f.text("integrity", true)}
	for _, s := range f.list("history") {
		e.History = append(e.History, Step{Status: standard.Status(s.text("status", true)), On: s.day("on", true)})
		f.join(s)
	}
	if err := f.done(); err != nil {
		return StandardExtra{}, err
	}
	return e, e.check()
}

// StatusOn returns where the standard stands at an instant. Before the first
// step it is what the first step says.
func (e StandardExtra) StatusOn(t time.Time) standard.Status {
	if len(e.History) == 0 {
		return ""
	}
	s := e.History[0].Status
	for _, step := range e.History {
		if !step.On.After(t) {
			s = step.Status
		}
	}
	return s
}

// Status returns where the standard stands: the status of the last step.
func (e StandardExtra) Status() standard.Status {
	if len(e.History) == 0 {
		return ""
	}
	return e.History[len(e.History)-1].Status
}

func (e StandardExtra) check() error {
	if !strings.HasPrefix(e.Integrity, "sha256-") || len(e.Integrity) != 7+44 {
		return customf("integrity: want sha256- and a digest in base64")
	}
	if len(e.History) == 0 {
		return customf("history: want at least one step")
	}
	for i, s := range e.History {
		if rank(s.Status) < 0 {
			return customf("history: want draft, candidate, live or retired")
		}
		if i > 0 && (rank(s.Status) <= rank(e.History[i-1].Status) || s.On.Before(e.History[i-1].On)) {
			return customf("history: want days and statuses that go forward")
		}
	}
	return nil
}

// rank returns a status's place in the order of a standard's life, or -1.
func rank(s standard.Status) int {
	return slices.Index([]standard.Status{standard.Draft, standard.Candidate, standard.Live, standard.Retired}, s)
}

// fields reads a JSON object field by field, keeps the first thing wrong, and
// counts what was asked for so that nothing unknown passes.
type fields struct {
	m    map[string]any
	seen int
	err  error
}

func readFields(b []byte) (*fields, error) {
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: maxCustom, Depth: 8, StringLen: 1 << 10})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustom, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, customf("want an object")
	}
	return &fields{m: m}, nil
}

func (f *fields) bad(key, want string) {
	if f.err == nil {
		f.err = customf("%s: want %s", key, want)
	}
}

func (f *fields) take(key string, must bool) (any, bool) {
	v, ok := f.m[key]
	if ok {
		f.seen++
	} else if must {
		f.bad(key, "a value")
	}
	return v, ok
}

func (f *fields) text(key string, must bool) string {
	v, ok := f.take(key, must)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok || s == "" || len(s) > 300 {
		f.bad(key, "a text")
	}
	return s
}

func (f *fields) day(key string, must bool) time.Time {
	s := f.text(key, must)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(dayForm, s)
	if err != nil || t.Format(dayForm) != s || t.Year() < 2000 {
		f.bad(key, "a day, such as 2026-11-01")
	}
	return t
}

func (f *fields) index(key string) uint64 {
	v, _ := f.take(key, true)
	num, _ := v.(json.Number)
	n, err := num.Int64()
	if err != nil || n < 0 || n > maxIndex || fmt.Sprint(n) != num.String() {
		f.bad(key, "a whole number from 0")
		return 0
	}
	return uint64(n)
}

func (f *fields) array(key string) []any {
	v, ok := f.take(key, false)
	if !ok {
		return nil
	}
	l, ok := v.([]any)
	if !ok || len(l) == 0 || len(l) > maxList {
		f.bad(key, fmt.Sprintf("a list of 1 to %d", maxList))
		return nil
	}
	return l
}

func (f *fields) councils(key string) (out []name.Council) {
	for _, v := range f.array(key) {
		s, _ := v.(string)
		c, err := name.ParseCouncil(s)
		if err != nil || len(out) > 0 && c <= out[len(out)-1] {
			f.bad(key, "councils, sorted, each once")
			return nil
		}
		out = append(out, c)
	}
	return out
}

func (f *fields) list(key string) (out []*fields) {
	for _, v := range f.array(key) {
		m, ok := v.(map[string]any)
		if !ok {
			f.bad(key, "a list of objects")
			return nil
		}
		out = append(out, &fields{m: m})
	}
	return out
}

// join ends the reading of an object inside f.
func (f *fields) join(sub *fields) {
	if err := sub.done(); f.err == nil {
		f.err = err
	}
}

func (f *fields) done() error {
	if f.err == nil && f.seen != len(f.m) {
		f.err = customf("there is a field that is not known (of %d)", len(f.m))
	}
	return f.err
}

// clone returns e with lists of its own.
func (e MemberExtra) clone() MemberExtra {
	e.Predecessors, e.Successors = slices.Clone(e.Predecessors), slices.Clone(e.Successors)
	e.Revocations = slices.Clone(e.Revocations)
	return e
}

// include returns the sorted list with c in it, once.
func include(list []name.Council, c name.Council) []name.Council {
	set := map[name.Council]bool{c: true}
	for _, o := range list {
		set[o] = true
	}
	return slices.Sorted(maps.Keys(set))
}
