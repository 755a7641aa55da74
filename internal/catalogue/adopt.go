package catalogue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/schemas"
)

// AdoptFirst adopts those of the standards that come with Stile that a new node begins
// with.
func (c *Catalogue) AdoptFirst(ctx context.Context) error {
	for _, n := range schemas.First() {
		s, err := standard.Load(schemas.FS(n))
		if err != nil {
			return fmt.Errorf("load shipped standard: %w", err)
		}
		if err := c.o.Ledger.Adopt(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Adopt takes a version of a standard into use, and says so where it was before.
// It refuses one that lint or its own examples find wrong, one that its publisher
// has retired unless the request says so, and other bytes under a known version.
func (c *Catalogue) Adopt(ctx context.Context, in api.AdoptRequest) (*api.AdoptReply, error) {
	f, err := c.find(in)
	if err != nil {
		return nil, err
	}
	std := f.std
	out := &api.AdoptReply{Name: std.Name(), Title: std.Manifest().Title}
	if err := c.same(f); err != nil {
		return nil, err
	}
	if old, err := c.o.Ledger.Standard(std.Name()); err == nil && bytes.Equal(old.Archive(), std.Archive()) {
		out.Already = true
		return out, nil
	}
	if c.standing(f) == standard.Retired && !in.EvenRetired {
		return nil, api.Fail(api.Refused, "stile standard adopt "+std.Name().String()+" --even-retired, or a newer version", "%s is retired: its publisher asks councils to leave it", std.Name())
	}
	if out.Advice, err = sound(std, in.Waive); err != nil {
		return nil, err
	}
	out.Waived = slices.Compact(slices.Sorted(slices.Values(in.Waive)))
	if err := c.o.Ledger.Adopt(ctx, std, out.Waived...); err != nil {
		return nil, err
	}
	c.o.Changed()
	return out, nil
}

// sound tries a standard's examples. One that misbehaves says that the schema is
// not what its publisher thinks, and is an error. That there are none, or that
// the key is not required, a council that adopts somebody else's schema cannot
// mend: it is told.
func sound(std *standard.Standard, waive []string) ([]api.Problem, error) {
	advice := std.CheckExamples()
	wrong := slices.DeleteFunc(slices.Clone(advice), func(p standard.Problem) bool {
		return !strings.HasPrefix(p.Pointer, "examples/valid/") && !strings.HasPrefix(p.Pointer, "examples/invalid/")
	})
	if len(wrong) == 0 {
		return advice, broken(std, waive)
	}
	return nil, &api.Error{
		Kind: api.Invalid, Message: fmt.Sprintf("%s: %s not do what the folder says", std.Name(), map[bool]string{true: "an example does", false: fmt.Sprintf("%d examples do", len(wrong))}[len(wrong) == 1]),
		Try: "stile standard lint DIR says which", Problems: wrong,
	}
}

// lints are the newest findings by archive, at most maxLints of them: what is previewed is
// adopted next, and one process may run many nodes.
var lints = struct {
	sync.Mutex
	of map[[sha256.Size]byte][]standard.Finding
}{of: map[[sha256.Size]byte][]standard.Finding{}}

const maxLints = 64

// linted returns what lint finds in a standard, which depends on its archive alone. The
// findings are shared and must not be changed.
func linted(std *standard.Standard) []standard.Finding {
	archive := std.Archive()
	of := sha256.Sum256(archive)
	lints.Lock()
	found, ok := lints.of[of]
	lints.Unlock()
	if ok {
		return found
	}
	_, found = standard.LintArchive(archive)
	lints.Lock()
	defer lints.Unlock()
	if len(lints.of) >= maxLints {
		clear(lints.of)
	}
	lints.of[of] = found
	return found
}

// broken refuses a standard of which lint has an error to tell that is not
// waived: it could be loaded, but it asks nothing of a record, can be met by none,
// or has a pattern that runs away. A waiver that is not needed is refused, so
// that those in the log say what is so.
func broken(std *standard.Standard, waive []string) error {
	for _, w := range waive {
		if !slices.Contains(standard.Waivable(), w) {
			return api.Fail(api.Usage, "leave --waive out, or name one of: "+strings.Join(standard.Waivable(), ", "), "%q cannot be waived: only what no record can tell can be", clipped(w))
		}
	}
	var problems []standard.Problem
	used := map[string]bool{}
	harmless := true
	for _, f := range linted(std) {
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
			return api.Fail(api.Usage, "leave --waive "+w+" out", "%s has nothing of the rule %s to waive", std.Name(), w)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	try := "stile standard lint DIR says what its publisher can do"
	if harmless {
		try = "tell its publisher; no record can tell, so --waive " + problems[0].Rule + " adopts it as it is, and logs that"
	}
	return &api.Error{
		Kind: api.Invalid, Message: fmt.Sprintf("%s: %s: %s", std.Name(), problems[0].Rule, problems[0].Detail),
		Try: try, Problems: problems,
	}
}

func clipped(s string) string { return s[:min(len(s), 80)] }

// same refuses other bytes under a version that is adopted, or published, with
// these: records say that they fit it, and other councils rely on that.
func (c *Catalogue) same(f *found) error {
	nm := f.std.Name()
	if old, err := c.o.Ledger.Standard(nm); err == nil && !bytes.Equal(old.Archive(), f.std.Archive()) {
		d := standard.Compare(old, f.std)
		what := "in what no record can tell"
		if len(d.Changes) > 0 {
			first := d.Changes[0]
			what = strings.TrimSpace(fmt.Sprintf("%s %s", first.Pointer, first.What))
			if n := len(d.Changes); n > 1 {
				what += fmt.Sprintf(", and %d more", n-1)
			}
		}
		return api.Fail(api.Conflict, "give what is new the next version number; stile standard diff shows what is", "%s is adopted here with other bytes, and a version stays as it is (%s)", nm, what)
	}
	if f.pub != nil && f.origin != originDirectory && f.pub.Held {
		if pub, err := c.o.Directory.Standard(nm); err == nil && !bytes.Equal(pub.Archive(), f.std.Archive()) {
			return api.Fail(api.Conflict, "stile standard adopt "+nm.String()+" takes it from the directory", "%s has published %s with other bytes than these", nm.Name.Publisher(), nm)
		}
	}
	return nil
}
