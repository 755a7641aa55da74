// Package disclosure answers who was let have what about whom: it lists what left and
// what was refused, and gathers for one person what is held, where it came from, with whom
// it was shared, when and why.
//
// It reads the ledger's disclosure index, which follows from the log, and decides nothing:
// which fields a version had when it left is read from the text of the agreement that the
// logged disclosure names, and what a partner says of it from the partner's own receipts.
//
// The number by which a person is looked for may be personal. It stands in no error, no log
// line and no reply but the report about that person.
package disclosure

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/bundle"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Options say what a Register works with. All are needed.
type Options struct {
	Self      name.Council
	Ledger    *ledger.Ledger
	Texts     func(name.Agreement) []agreement.Status // every text of an agreement, with how it stands
	Standing  func() []agreement.Status               // of each agreement the text that counts
	Member    func(name.Council) (directory.Member, bool)
	Footprint func(name.Council) bool // whether a party is a footprint
	// Record finds a record of our own by what a person typed. Its error is shown as
	// it is.
	Record func(typed, standard string) (name.Record, error)
	// Reference is what a council knows a record by; "" when it is not disclosed.
	Reference func(of name.Standard, body any) string
	Bundles   func() bundle.Options
	Refusals  *Refusals
	Now       func() time.Time
}

// A Register answers who was let have what. Its methods may be called concurrently; what
// they return as failures for a person is an *[api.Error].
type Register struct{ o Options }

// New returns a Register.
func New(o Options) *Register { return &Register{o} }

// Rebuild makes the ledger's disclosure index anew from the log.
func (r *Register) Rebuild(ctx context.Context, _ api.Empty) (*api.Empty, error) {
	return &api.Empty{}, r.o.Ledger.RebuildDisclosures(ctx)
}

// person finds whose number a value is: among the schemes that the standards in use
// have, that under which something here is found. The error names no value.
func (r *Register) person(v *ledger.View, value, scheme string) (standard.Person, error) {
	switch {
	case len(value) > standard.MaxPersonValue:
		return standard.Person{}, api.Fail(api.Usage, "", "a number that names a person has at most %d bytes", standard.MaxPersonValue)
	case standard.Person{Value: value}.Folded() == "":
		return standard.Person{}, api.Fail(api.Usage, "give the number that names the person", "there is no number to look for")
	}
	known := r.schemes()
	if scheme != "" {
		if !slices.Contains(known, scheme) {
			return standard.Person{}, api.Fail(api.Usage, "the manifest of a standard says under persons which numbers it has",
				"no standard in use here has numbers of the scheme %q", name.Line(scheme))
		}
		known = []string{scheme}
	}
	if len(known) == 0 {
		return standard.Person{}, api.Fail(api.NotFound, "see \"Numbers that name a person\" in docs/writing-standards.md",
			"no standard in use here says where a record names a person")
	}
	var found []standard.Person
	for _, s := range known {
		p := standard.Person{Scheme: s, Value: value}
		ours, err := r.ours(v, p)
		if err != nil {
			return p, err
		}
		is := len(ours) > 0
		if !is {
			if is, err = r.heldAbout(v, p); err != nil {
				return p, err
			}
		}
		if is {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return standard.Person{Scheme: known[0], Value: value}, api.Fail(api.NotFound,
			"look at the spelling; a number is found only where a standard says that it names a person", "nothing here names that person")
	case 1:
		return found[0], nil
	}
	var of []string
	for _, p := range found {
		of = append(of, p.Scheme)
	}
	return standard.Person{}, api.Fail(api.Usage, "--scheme "+of[0], "the number is found as %s, which may be two persons", words(of, "and as"))
}

// schemes returns the schemes of the standards in use, sorted.
func (r *Register) schemes() (out []string) {
	for _, s := range r.o.Ledger.Standards() {
		for _, k := range s.Persons() {
			out = append(out, k.Scheme)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// About is what a record of ours has to do with a person.
type about struct {
	record   name.Record
	versions []ledger.Logged // that name the person, or nobody, or cannot be read; newest first
	unread   int             // of them
	others   bool            // some version names another person too
}

// ours returns the records of ours about a person. A version that names others of the
// same scheme, and not this one, is about them.
func (r *Register) ours(v *ledger.View, p standard.Person) (out []about, err error) {
	ids, err := v.RecordsAbout(p)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		a, named := about{record: id}, false
		var failed error
		err := v.Versions(id, func(g ledger.Logged) bool {
			switch ver, err := v.Version(g.Index); {
			case errors.Is(err, ledger.ErrStorage):
				failed = err
			case err != nil:
				a.unread++
				a.versions = append(a.versions, g)
			default:
				names, others := r.names(ver.Standard, ver.Body, p)
				if named = named || names; names || !others {
					a.versions = append(a.versions, g)
				}
				a.others = a.others || names && others
			}
			return failed == nil
		})
		if err = errors.Join(err, failed); err != nil {
			return nil, err
		}
		// The index finds what cannot be read, and is believed there alone.
		if named || a.unread > 0 {
			out = append(out, a)
		}
	}
	return out, nil
}

// About returns the records of ours about the person whom a number names, and which of
// them some version of names others too. What cannot be read any more counts as about
// the person. The error is for a person.
func (r *Register) About(v *ledger.View, value, scheme string) (all, shared []name.Record, err error) {
	p, err := r.person(v, value, scheme)
	if err != nil {
		return nil, nil, err
	}
	ours, err := r.ours(v, p)
	for _, a := range ours {
		all = append(all, a.record)
		if a.others {
			shared = append(shared, a.record)
		}
	}
	return all, shared, err
}

// names says whether a record names a person, and whether it names others of the scheme.
func (r *Register) names(std *standard.Standard, body map[string]any, p standard.Person) (is, others bool) {
	want := p.Folded()
	for _, q := range std.PersonsIn(body) {
		if q.Scheme == p.Scheme {
			is, others = is || q.Folded() == want, others || q.Folded() != want
		}
	}
	return is, others
}

// sources calls f with every record held from others that names a person, and with the error of
// one that is damaged. A report that leaves out what is hidden would be wrong, so that is
// an error of its own.
func (r *Register) sources(v *ledger.View, p standard.Person, f func(*ledger.Source, *ledger.Holding, error) bool) error {
	for _, src := range r.o.Ledger.Sources() {
		if src.Agreement == "" || src.Records == 0 {
			continue
		}
		more := true
		var failed error
		err := v.HoldingsAbout(src, p, func(h *ledger.Holding, err error) bool {
			if errors.Is(err, ledger.ErrUnread) || errors.Is(err, ledger.ErrStorage) {
				failed = err
				return false
			}
			more = f(src, h, err)
			return more
		})
		if err = errors.Join(err, failed); err != nil || !more {
			return err
		}
	}
	return nil
}

func (r *Register) heldAbout(v *ledger.View, p standard.Person) (is bool, err error) {
	err = r.sources(v, p, func(*ledger.Source, *ledger.Holding, error) bool { is = true; return false })
	return is, err
}

// text returns one version of an agreement; nil when it is not known here. Of two texts of
// one number that was in force counts.
func (r *Register) text(a name.Agreement, version uint64) *agreement.Agreement {
	var found agreement.Status
	for _, st := range r.o.Texts(a) {
		if uint64(st.Agreement.Version) == version && (found.Agreement == nil || len(found.Awaiting) > len(st.Awaiting)) {
			found = st
		}
	}
	return found.Agreement
}

func words(list []string, and string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += " " + and + " "
		}
		out += s
	}
	return out
}
