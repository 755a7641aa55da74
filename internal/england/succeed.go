package england

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// reorganised is the first day of the councils that begin, by the reference list.
var reorganised = time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)

// A succession is how one council ends in the life of the country and another takes over:
// the heir is admitted two days before the day, the ledger is sealed on the day before, and
// its records are taken over on the morning of the day.
type succession struct {
	day    int      // first day of the heir
	old    *Council // who ends; nil before it is chosen
	heir   *Council
	before *Council // whose neighbour it was
	file   string   // what was handed over
	size   uint64   // of the sealed log
	member directory.Member
	refs   []string // of the planning applications that were handed over, sorted
}

// ending reports whether a council ends on the day of the reorganisation.
func ending(r councils.Council) bool {
	return r.At(reorganised.AddDate(0, 0, -1)) && !r.At(reorganised)
}

// choose draws by the seed who ends; it has to have adopted the new standard by then.
func (c *Country) choose() {
	var may []*Council
	for _, x := range c.councils {
		if ending(x.Ref) && len(x.Ref.Next) > 0 {
			may = append(may, x)
		}
	}
	s := &c.ends
	s.old = may[c.rng.IntN(len(may))]
	s.old.adopts = min(s.old.adopts, max(1, s.day-3))
}

// staysHome says who may not be away when the ledger is sealed: somebody has to cosign its
// last entry, and who comes only after the day is no partner of it any more.
func (c *Country) staysHome(x *Council) bool {
	s := &c.ends
	return c.day >= s.day-2 && c.day <= s.day && (x == s.old || x == s.heir || x.next == s.old || x == s.old.next || x == s.before)
}

// begin founds the node of the heir, has the registrar admit it and say who follows whom, and
// has each agreement of the council that ends written anew with the heir and proposed.
func (c *Country) begin() {
	s := &c.ends
	old := s.old
	s.heir = c.newCouncil(domain(old.Ref.Next[0]), councils.Council{GSS: "E06000999", Name: old.Ref.Next[0], Type: councils.Unitary, Region: old.Ref.Region})
	heir := s.heir
	heir.adopts, heir.begins, heir.backed = s.day, s.day, -1
	heir.found()
	c.publish(func(r *tufdir.Repository) error {
		if err := r.Admit(heir.member(), c.Now()); err != nil {
			return err
		}
		return r.Succeed(old.Name, heir.Name, reorganised, c.Now())
	})
	heir.join()
	c.adopt(heir)
}

// novate proposes the agreements of the council that ends with the heir in its place.
func (c *Country) novate() {
	s := &c.ends
	for _, x := range c.councils {
		if x.next == s.old {
			s.before = x
		}
	}
	for at, names := range map[*Council][]string{
		s.heir:   {string(s.old.planning()), string(s.old.statements()), string(s.old.tipping())},
		s.before: {string(s.before.planning())},
	} {
		for _, nm := range names {
			if s.old.region == nil && nm == string(s.old.tipping()) {
				continue
			}
			was, err := agreement.Parse([]byte(call(s.old, s.old.node.Agreements().Show, node.AgreementRequest{Name: nm}).Document))
			if err != nil {
				c.t.Fatal(err)
			}
			is, _, err := was.Novate(s.old.Name, s.heir.Name, agreement.Date(reorganised.Format(time.DateOnly)))
			if err != nil {
				c.t.Fatalf("%s: %v", nm, err)
			}
			at.sign(is.YAML())
			if at == s.before {
				s.before.novated = is.Name
			}
		}
	}
	c.tell("%s is admitted, and will follow %s on %s", s.heir.Name, s.old.Name, reorganised.Format(time.DateOnly))
}

// unwitnessed reports whether nobody cosigns the log of the council that ends: it came back
// from a backup, and whoever had cosigned what was lost cosigns it no more; docs/quarantine.md.
func (c *Country) unwitnessed() bool { return c.saved.of == c.ends.old }

// seal ends the ledger of the council that is succeeded, waits until somebody has cosigned
// the last entry, and has it hand over. Its node goes on running.
func (c *Country) seal() {
	s := &c.ends
	old, heir := s.old, s.heir
	s.member, s.refs = old.member(), sorted(old.plans)
	plan := fmt.Sprintf("succession: surrey-2027\non: %s\nbegins: [%s]\nends: [{council: %s, to: %s}]\n", reorganised.Format(time.DateOnly), heir.Name, old.Name, heir.Name)
	s.size = call(old, old.node.Successions().Seal, node.SuccessionRequest{Plan: []byte(plan)}).Size
	if old.region != nil { // what it brought there was withdrawn before the last entry
		for key := range old.region.held(c) {
			if strings.HasPrefix(key, string(old.Name)+" ") {
				c.t.Errorf("day %d: %s still holds a record of %s, which is sealed", c.day, old.region.name, old.Name)
			}
		}
	}
	var witnesses []name.Council
	c.await("somebody has cosigned the last entry of "+string(old.Name), func() bool {
		r, err := old.node.Successions().Show(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		witnesses = r.Witnesses
		return len(witnesses) > 0 || c.unwitnessed()
	})
	s.file = filepath.Join(c.dir, "handed-over.stile")
	call(old, old.node.Successions().HandOver, node.HandOverRequest{To: heir.Name, File: s.file})
	// From now on the heir stands in its place.
	heir.next, heir.region, s.before.next = old.next, old.region, heir
	s.before.backed = -1
	c.councils[slices.Index(c.councils, old)] = heir
	if fp := old.region; fp != nil {
		fp.region[slices.Index(fp.region, old)] = heir
	}
	c.tell("%s seals its ledger of %d entries; %d partners cosigned the last", old.Name, s.size, len(witnesses))
}

// unreceived returns who still holds, or has not yet said that it deleted, what it had of
// the council that ends.
func (c *Country) unreceived() (out []name.Council) {
	st, err := c.ends.old.node.Status(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range st.Partners {
		if p.Direction == "to" && (p.Outstanding > 0 || p.Held > 0) {
			out = append(out, p.Council)
		}
	}
	return out
}

// lingers says what is still somewhere of the council that ended, "" when nothing is.
func (c *Country) lingers() string {
	old := c.ends.old
	for _, x := range c.all() {
		if n := len(x.list(node.ListRequest{From: old.Name})); n > 0 {
			return fmt.Sprintf("%s holds %d records of %s, which has ended", x.Name, n, old.Name)
		}
	}
	if who := c.unreceived(); len(who) > 0 {
		return fmt.Sprintf("%v have not yet said that they deleted what they held of %s, which has ended", who, old.Name)
	}
	return ""
}

// takeOver has the heir take the records over and say in public what it has.
func (c *Country) takeOver() {
	s := &c.ends
	old, heir := s.old, s.heir
	r := call(heir, heir.node.Successions().TakeOver, node.TakeOverRequest{File: s.file, Unwitnessed: c.unwitnessed()})
	if want := len(old.plans) + len(old.tips); r.Taken != want || len(r.Left) > 0 {
		c.t.Errorf("day %d: %s took over %d records and left %d behind, should have taken %d", c.day, heir.Name, r.Taken, len(r.Left), want)
	}
	heir.plans, heir.tips, heir.serial, heir.listed = maps.Clone(old.plans), maps.Clone(old.tips), old.serial, old.listed
	call(heir, heir.node.Standards().Measure, node.MeasureRequest{Standard: string(tipping), Publish: true})
	c.tell("%s has taken over %d records of %s", heir.Name, r.Taken, old.Name)
}

// over is the walk of the succession, once nothing lingers: the log of the council that
// ended stands as it was sealed, and an auditor follows a record across.
func (c *Country) over() {
	c.t.Helper()
	s := &c.ends
	old, heir := s.old, s.heir
	show, err := old.node.Successions().Show(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if !show.Sealed || show.Size != s.size || len(show.Witnesses) == 0 && !c.unwitnessed() {
		c.t.Errorf("day %d: the log of %s, sealed with %d entries, stands as %+v", c.day, old.Name, s.size, show)
	}
	// A record may have been changed or deleted since.
	i := slices.IndexFunc(s.refs, func(ref string) bool { return heir.plans[ref] != "" })
	if i < 0 {
		c.t.Errorf("day %d: %s has no record left that it took over", c.day, heir.Name)
		return
	}
	now := call(heir, heir.node.Records().Show, node.RecordRequest{Record: s.refs[i], Standard: string(planning) + "@1"})
	if now.Former == nil || now.Former.Council != old.Name {
		c.t.Errorf("day %d: %s shows no former place of a record that it took over", c.day, heir.Name)
		return
	}
	after := call(heir, heir.node.Bundle, node.BundleRequest{Records: []string{string(now.Record)}, Full: true}).Bundle
	before, err := os.ReadFile(s.file)
	if err != nil {
		c.t.Fatal(err)
	}
	report, err := audit.Verify(bytes.NewReader(after), int64(len(after)), audit.Options{
		Parallel: 1, Trust: audit.Trust{Members: []directory.Member{s.member, heir.member()}},
		Origins: []audit.OriginFile{{File: bytes.NewReader(before), Size: int64(len(before))}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if follows, _ := report.Check(audit.CheckSuccession); !report.OK() || follows.Result != audit.OK || !strings.Contains(follows.Detail, string(old.Name)) {
		c.t.Errorf("day %d: an auditor does not follow a record from %s to %s: %+v", c.day, old.Name, heir.Name, follows)
	}
}

// counts reports whether a standards body counts the council on a day: by the reference
// list, which has no code yet for those that begin.
func (x *Council) counts(at time.Time) bool {
	ref, ok := councils.ByGSS(x.Ref.GSS)
	return ok && ref.At(at)
}
