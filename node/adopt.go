package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// A found is a version of a standard and where it was found.
type found struct {
	std    *standard.Standard
	origin string
	pub    *tufdir.Published // nil when the directory does not have it
}

// The places a standard may come from.
const (
	originAdopted   = "adopted"
	originDirectory = "directory"
	originShipped   = "shipped"
	originFile      = "file"
)

// find finds the standard that a request names.
func (n *Node) find(in AdoptRequest) (*found, error) {
	if len(in.Archive) > 0 {
		std, err := n.loaded.load(in.Archive)
		if err != nil {
			return nil, fail(Invalid, "stile standard lint DIR says more", "%v", err)
		}
		return n.listed(&found{std: std, origin: originFile}), nil
	}
	if full, err := name.ParseStandard(in.Name); err == nil {
		if std, err := n.ledger.Standard(full); err == nil {
			return n.listed(&found{std: std, origin: originAdopted}), nil
		}
		p, listed := n.follower.Client().View().Standard(full)
		if std := n.loaded.kept(p.SHA256); listed && std != nil {
			return n.listed(&found{std: std, origin: originDirectory}), nil
		}
		std, err := n.follower.Standard(full)
		if err == nil {
			n.loaded.keep(p.SHA256, std)
			return n.listed(&found{std: std, origin: originDirectory}), nil
		}
		if !api.IsNotFound(err) {
			return nil, err
		}
	}
	return n.findNewest(in.Name)
}

// listed adds what the directory says of it.
func (n *Node) listed(f *found) *found {
	if p, ok := n.follower.Client().View().Standard(f.std.Name()); ok {
		f.pub = &p
	}
	return f
}

// status returns where a version stands today.
func (n *Node) standing(f *found) standard.Status {
	if f.pub != nil {
		if s := f.pub.Extra.StatusOn(n.now()); s != "" {
			return s
		}
	}
	return f.std.Manifest().Status
}

// findNewest finds the newest version, in the directory or among those that
// come with Stile, that a name without a version means.
func (n *Node) findNewest(want string) (*found, error) {
	var best *found
	better := func(f *found) bool {
		if best == nil {
			return true
		}
		a, b := n.standing(f) == standard.Live, n.standing(best) == standard.Live
		if a != b {
			return a
		}
		return f.std.Name().Version.Compare(best.std.Name().Version) > 0
	}
	var shipped string
	var names []name.StandardName
	all, err := n.loaded.shipped()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		shipped += "\n  " + s.Name().String()
		if f := n.listed(&found{std: s, origin: originShipped}); means(want, s.Name()) && better(f) {
			best = f
			names = append(names, s.Name().Name)
		}
	}
	for _, p := range n.follower.Client().View().Standards() {
		if !p.Held || !means(want, p.Name) {
			continue
		}
		names = append(names, p.Name.Name)
		std, err := n.follower.Standard(p.Name)
		if err != nil {
			n.log.Warn("a published standard is passed over", "standard", p.Name, "because", err.Error())
			continue
		}
		if f := (&found{std: std, origin: originDirectory, pub: &p}); better(f) {
			best = f
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) > 1 {
		return nil, fail(Usage, "give publisher/name", "%q could be %s or %s", want, names[0], names[1])
	}
	if best == nil {
		return nil, fail(NotFound, "stile standard list --published shows what the directory has", "no standard named %q is in the directory or comes with Stile; these come with it:%s", want, shipped)
	}
	return best, nil
}

// means reports whether somebody who typed want can mean this version.
func means(want string, nm name.Standard) bool {
	bare, version, versioned := strings.Cut(want, "@")
	if bare != string(nm.Name) && bare != nm.Name.Slug() {
		return false
	}
	return !versioned || version == nm.Version.String() || version == fmt.Sprint(nm.Version.Major)
}

// A standardCache keeps the standard that was loaded last, since one request about it
// follows another, and those that come with Stile. It may be used concurrently.
type standardCache struct {
	mu  sync.Mutex
	sum [32]byte
	std *standard.Standard
	own []*standard.Standard
}

// shipped returns the standards that come with Stile.
func (s *standardCache) shipped() ([]*standard.Standard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		for _, fsys := range schemas.All() {
			std, err := standard.Load(fsys)
			if err != nil {
				return nil, fmt.Errorf("load shipped standard: %w", err)
			}
			s.own = append(s.own, std)
		}
	}
	return s.own, nil
}

// kept returns the standard whose archive has a digest, nil when it is another.
func (s *standardCache) kept(sum [32]byte) *standard.Standard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum != sum {
		return nil
	}
	return s.std
}

func (s *standardCache) keep(sum [32]byte, std *standard.Standard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum, s.std = sum, std
}

func (s *standardCache) load(archive []byte) (*standard.Standard, error) {
	sum := sha256.Sum256(archive)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.std != nil && s.sum == sum {
		return s.std, nil
	}
	std, err := standard.LoadArchive(archive)
	if err != nil {
		return nil, err
	}
	s.std, s.sum = std, sum
	return std, nil
}

func (n *Node) adoptStandard(ctx context.Context, in AdoptRequest) (*AdoptReply, error) {
	f, err := n.find(in)
	if err != nil {
		return nil, err
	}
	std := f.std
	out := &AdoptReply{Name: std.Name(), Title: std.Manifest().Title}
	if err := n.same(f); err != nil {
		return nil, err
	}
	if old, err := n.ledger.Standard(std.Name()); err == nil && bytes.Equal(old.Archive(), std.Archive()) {
		out.Already = true
		return out, nil
	}
	if n.standing(f) == standard.Retired && !in.EvenRetired {
		return nil, fail(Refused, "stile standard adopt "+std.Name().String()+" --even-retired, or a newer version", "%s is retired: its publisher asks councils to leave it", std.Name())
	}
	if out.Advice, err = sound(std, in.Waive); err != nil {
		return nil, err
	}
	out.Waived = slices.Compact(slices.Sorted(slices.Values(in.Waive)))
	if err := n.ledger.Adopt(ctx, std, out.Waived...); err != nil {
		return nil, err
	}
	n.changed()
	return out, nil
}

// sound tries a standard's examples. One that misbehaves says that the schema is
// not what its publisher thinks, and is an error. That there are none, or that
// the key is not required, a council that adopts somebody else's schema cannot
// mend: it is told.
func sound(std *standard.Standard, waive []string) ([]Problem, error) {
	advice := std.CheckExamples()
	wrong := slices.DeleteFunc(slices.Clone(advice), func(p standard.Problem) bool {
		return !strings.HasPrefix(p.Pointer, "examples/valid/") && !strings.HasPrefix(p.Pointer, "examples/invalid/")
	})
	if len(wrong) == 0 {
		return advice, broken(std, waive)
	}
	return nil, &Error{
		Kind: Invalid, Message: fmt.Sprintf("%s: %s not do what the folder says", std.Name(), map[bool]string{true: "an example does", false: fmt.Sprintf("%d examples do", len(wrong))}[len(wrong) == 1]),
		Try: "stile standard lint DIR says which", Problems: wrong,
	}
}

// broken refuses a standard of which lint has an error to tell that is not
// waived: it could be loaded, but it asks nothing of a record, can be met by none,
// or has a pattern that runs away. A waiver that is not needed is refused, so
// that those in the log say what is so.
func broken(std *standard.Standard, waive []string) error {
	for _, w := range waive {
		if !slices.Contains(standard.Waivable(), w) {
			return fail(Usage, "leave --waive out, or name one of: "+strings.Join(standard.Waivable(), ", "), "%q cannot be waived: only what no record can tell can be", clipped(w))
		}
	}
	var problems []standard.Problem
	used := map[string]bool{}
	harmless := true
	_, findings := standard.LintArchive(std.Archive())
	for _, f := range findings {
		switch {
		case f.Severity != standard.SeverityError:
		case slices.Contains(waive, f.Rule):
			used[f.Rule] = true
		default:
			harmless = harmless && slices.Contains(standard.Waivable(), f.Rule)
			problems = append(problems, standard.Problem{Pointer: f.File + f.Pointer, Rule: f.Rule, Detail: f.Detail, Fix: f.Fix})
		}
	}
	for _, w := range waive {
		if !used[w] && len(problems) == 0 {
			return fail(Usage, "leave --waive "+w+" out", "%s has nothing of the rule %s to waive", std.Name(), w)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	try := "stile standard lint DIR says what its publisher can do"
	if harmless {
		try = "tell its publisher; no record can tell, so --waive " + problems[0].Rule + " adopts it as it is, and logs that"
	}
	return &Error{
		Kind: Invalid, Message: fmt.Sprintf("%s: %s: %s", std.Name(), problems[0].Rule, problems[0].Detail),
		Try: try, Problems: problems,
	}
}

func clipped(s string) string { return s[:min(len(s), 80)] }

// same refuses other bytes under a version that is adopted, or published, with
// these: records say that they fit it, and other councils rely on that.
func (n *Node) same(f *found) error {
	nm := f.std.Name()
	if old, err := n.ledger.Standard(nm); err == nil && !bytes.Equal(old.Archive(), f.std.Archive()) {
		d := standard.Compare(old, f.std)
		what := "in what no record can tell"
		if len(d.Changes) > 0 {
			c := d.Changes[0]
			what = strings.TrimSpace(fmt.Sprintf("%s %s", c.Pointer, c.What))
			if n := len(d.Changes); n > 1 {
				what += fmt.Sprintf(", and %d more", n-1)
			}
		}
		return fail(Conflict, "give what is new the next version number; stile standard diff shows what is", "%s is adopted here with other bytes, and a version stays as it is (%s)", nm, what)
	}
	if f.pub != nil && f.origin != originDirectory && f.pub.Held {
		if b, err := n.follower.Client().Archive(nm); err == nil {
			if pub, err := standard.LoadArchive(b); err == nil && !bytes.Equal(pub.Archive(), f.std.Archive()) {
				return fail(Conflict, "stile standard adopt "+nm.String()+" takes it from the directory", "%s has published %s with other bytes than these", nm.Name.Publisher(), nm)
			}
		}
	}
	return nil
}

// before returns the adopted version that another is compared with.
func (n *Node) before(nm name.Standard) *standard.Standard {
	var inLine, ofName *standard.Standard
	for _, s := range n.ledger.Standards() { // ascending versions
		o := s.Name()
		if o.Name != nm.Name || o.Version.Compare(nm.Version) >= 0 {
			continue
		}
		ofName = s
		if o.Line() == nm.Line() {
			inLine = s
		}
	}
	if inLine != nil {
		return inLine
	}
	return ofName
}

func (n *Node) previewStandard(ctx context.Context, in AdoptRequest) (*AdoptPreview, error) {
	f, err := n.find(in)
	if err != nil {
		return nil, err
	}
	if err := n.same(f); err != nil {
		return nil, err
	}
	std := f.std
	m := std.Manifest()
	out := &AdoptPreview{
		Name: m.Name, Title: m.Title, Publisher: m.Name.Name.Publisher(), Licence: m.Licence, Origin: f.origin,
		Status: string(n.standing(f)), Integrity: std.Integrity(),
	}
	if f.pub != nil {
		out.History = history(*f.pub)
	}
	for _, s := range n.ledger.Standards() {
		out.Adopted = out.Adopted || s.Name() == m.Name
	}
	if !out.Adopted {
		if out.Advice, err = sound(std, in.Waive); err != nil {
			return nil, err
		}
		out.Costs = each(std.Costs(), func(c standard.ExampleCost) ExampleCost { return ExampleCost(c) })
	}
	if older := n.before(m.Name); older != nil {
		nm := older.Name()
		out.Older = &nm
		d := standard.Compare(older, std)
		out.Difference, out.Version = difference(d), (*Problem)(d.Problem())
		counts, err := n.counts()
		if err != nil {
			return nil, err
		}
		for s, c := range counts {
			if s.Line() == nm.Line() {
				out.Records += c
			}
		}
	}
	if !out.Adopted {
		for _, nm := range []string{m.Name.Line().String(), string(m.Name.Name)} {
			now, err := n.standardNamed(nm)
			if err != nil {
				continue // it means nothing yet
			}
			was, is := n.standing(n.listed(&found{std: now})) == standard.Live, out.Status == string(standard.Live)
			if is && !was || is == was && m.Name.Version.Compare(now.Name().Version) > 0 {
				out.Means = append(out.Means, nm)
			}
		}
	}
	for _, major := range std.Mappings() {
		mapping, _ := std.Mapping(major)
		p := MappingPreview{From: major, Steps: mapping.Words()}
		if old, err := n.ledger.StandardOf(name.StandardLine{Name: m.Name.Name, Major: major}); err == nil {
			p.Problems = std.CheckMapping(old)
		}
		out.Mappings = append(out.Mappings, p)
	}
	for _, s := range n.ledger.Standards() {
		if s.Name().Line() == m.Name.Line() && out.Mapped == nil {
			if out.Mapped, err = n.mappedReply(s.Name(), true); err != nil {
				return nil, err
			}
		}
	}
	out.Agreements, err = n.agreementEffects(std)
	return out, err
}

// agreementEffects says what a version would mean for the agreements there are.
func (n *Node) agreementEffects(std *standard.Standard) (out []AgreementEffect, err error) {
	for _, st := range n.book.Standing(n.now()) {
		a := st.Agreement
		if a.Standard.Name != std.Name().Name || st.Phase == agreement.Ended || st.Phase == agreement.Superseded {
			continue
		}
		e := AgreementEffect{Agreement: a.Name, Standard: a.Standard, Sends: a.From == n.cfg.Council}
		if e.Other = a.Standard != std.Name().Line(); !e.Other {
			if err := n.agreementEffect(a, std, &e); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (n *Node) agreementEffect(a *agreement.Agreement, std *standard.Standard, e *AgreementEffect) error {
	old, err := n.ledger.StandardOf(a.Standard)
	if err != nil {
		old = nil // signed by the other side, over what is not adopted here yet
	}
	has, err := std.MayHold(a.Fields)
	if err != nil {
		return err
	}
	for i, f := range a.Fields {
		if !has[i] {
			e.Because = append(e.Because, fmt.Sprintf("%s, which it lists, is no field of %s", f, std.Name()))
			continue
		}
		if old == nil {
			continue
		}
		was, is := old.Class(f), std.Class(f)
		switch {
		case was == is:
		case is == standard.Open:
			e.Because = append(e.Because, fmt.Sprintf("%s was %s and would be open: it would travel in clear in every record, under every agreement", f, was))
		default:
			e.Because = append(e.Because, fmt.Sprintf("%s was %s and would be %s", f, was, is))
		}
	}
	var before []standard.Problem
	if old != nil {
		before = a.Check(old)
	}
	for _, p := range a.Check(std) {
		known := slices.ContainsFunc(before, func(q standard.Problem) bool { return q.Rule == p.Rule && q.Detail == p.Detail })
		if !known && p.Rule != agreement.RuleUnknown {
			e.Because = append(e.Because, p.Detail)
		}
	}
	if _, err := a.Compile(std); err != nil {
		e.Stops = true
	}
	return nil
}

// history is a published version's, as a reply has it.
func history(p tufdir.Published) (out []StatusStep) {
	for _, s := range p.Extra.History {
		out = append(out, StatusStep{Status: string(s.Status), On: s.On.Format(time.DateOnly)})
	}
	return out
}

func difference(d *standard.Difference) *Difference {
	if d == nil {
		return nil
	}
	return &Difference{From: d.From, To: d.To, Needs: Level(d.Needs), Changes: each(d.Changes, func(c standard.Change) Change {
		return Change{Pointer: c.Pointer, What: c.What, Level: Level(c.Level), Why: c.Why}
	})}
}
