package catalogue

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// Named finds an adopted standard by its version, its line or its bare
// name, of which the slug alone will do where it can mean one thing only. A
// line, or a bare name, is the newest adopted version of it that is live today
// or, when none is, the newest.
func (c *Catalogue) Named(s string) (*standard.Standard, error) {
	const try = "stile standard list"
	bare, version, versioned := strings.Cut(s, "@")
	nm, err := name.ParseStandardName(bare)
	if err != nil {
		for _, std := range c.o.Ledger.Standards() {
			if std.Name().Name.Slug() != bare || std.Name().Name == nm {
				continue
			}
			if nm != "" {
				return nil, api.Fail(api.Usage, try, "%q could be %s or %s", s, nm, std.Name().Name)
			}
			nm = std.Name().Name
		}
		if nm == "" {
			return nil, api.Fail(api.NotFound, c.adoptable(s), "no adopted standard is named %q", s)
		}
	}
	full := string(nm) + "@" + version
	line, lerr := name.ParseStandardLine(full)
	if versioned && lerr != nil {
		v, err := name.ParseStandard(full)
		if err != nil {
			return nil, api.Fail(api.Usage, try, "%v", err)
		}
		std, err := c.o.Ledger.Standard(v)
		if err != nil {
			return nil, api.Fail(api.NotFound, c.adoptable(s), "%v", err)
		}
		return std, nil
	}
	var best *standard.Standard
	bestLive := false
	for _, std := range c.o.Ledger.Standards() { // ascending versions
		if std.Name().Name != nm || versioned && std.Name().Line() != line {
			continue
		}
		if live := c.standing(c.listed(&found{std: std})) == standard.Live; live || !bestLive {
			best, bestLive = std, live
		}
	}
	if best == nil {
		return nil, api.Fail(api.NotFound, c.adoptable(s), "standard %s is not adopted here", strings.TrimSuffix(full, "@"))
	}
	return best, nil
}

// adoptable says what to do about a name that no adopted standard has: the command that
// adopts what it means, where the directory has that or it comes with Stile. It is asked when
// something has failed, and then reads the one standard that is meant.
func (c *Catalogue) adoptable(typed string) string {
	for _, p := range c.o.Directory.View().Standards() {
		if p.Held && Means(typed, p.Name) {
			return "stile standard adopt " + typed
		}
	}
	if all, err := c.cache.shipped(typed); err == nil && len(all) > 0 {
		return "stile standard adopt " + typed
	}
	return "stile standard list"
}

// A found is a version of a standard and where it was found.
type found struct {
	std    *standard.Standard
	origin string
	pub    *tufdir.Published // nil when the directory does not have it
}

// Where a standard may come from.
const (
	originAdopted   = "adopted"
	originDirectory = "directory"
	originShipped   = "shipped"
	originFile      = "file"
)

// find finds the standard that a request names.
func (c *Catalogue) find(in api.AdoptRequest) (*found, error) {
	if len(in.Archive) > 0 {
		std, err := c.cache.load(in.Archive)
		if err != nil {
			return nil, api.Fail(api.Invalid, "stile standard lint DIR says more", "%v", err)
		}
		return c.listed(&found{std: std, origin: originFile}), nil
	}
	if full, err := name.ParseStandard(in.Name); err == nil {
		if std, err := c.o.Ledger.Standard(full); err == nil {
			return c.listed(&found{std: std, origin: originAdopted}), nil
		}
		p, listed := c.o.Directory.View().Standard(full)
		if std := c.cache.get(p.SHA256); listed && std != nil {
			return c.listed(&found{std: std, origin: originDirectory}), nil
		}
		std, err := c.o.Directory.Standard(full)
		if err == nil {
			c.cache.put(p.SHA256, std)
			return c.listed(&found{std: std, origin: originDirectory}), nil
		}
		if !api.IsNotFound(err) {
			return nil, err
		}
	}
	return c.findNewest(in.Name)
}

// listed adds what the directory says of it.
func (c *Catalogue) listed(f *found) *found {
	if p, ok := c.o.Directory.View().Standard(f.std.Name()); ok {
		f.pub = &p
	}
	return f
}

// standing returns where a version stands today.
func (c *Catalogue) standing(f *found) standard.Status {
	if f.pub != nil {
		if s := f.pub.Extra.StatusOn(c.o.Now()); s != "" {
			return s
		}
	}
	return f.std.Manifest().Status
}

// findNewest finds the newest version, in the directory or among those that
// come with Stile, that a name without a version means.
func (c *Catalogue) findNewest(want string) (*found, error) {
	var best *found
	better := func(f *found) bool {
		if best == nil {
			return true
		}
		a, b := c.standing(f) == standard.Live, c.standing(best) == standard.Live
		if a != b {
			return a
		}
		return f.std.Name().Version.Compare(best.std.Name().Version) > 0
	}
	var shipped string
	var names []name.StandardName
	for _, dir := range schemas.Names() {
		shipped += "\n  " + dir
	}
	all, err := c.cache.shipped(want)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if f := c.listed(&found{std: s, origin: originShipped}); better(f) {
			best = f
			names = append(names, s.Name().Name)
		}
	}
	for _, p := range c.o.Directory.View().Standards() {
		if !p.Held || !Means(want, p.Name) {
			continue
		}
		names = append(names, p.Name.Name)
		std, err := c.o.Directory.Standard(p.Name)
		if err != nil {
			c.o.Log.Warn("a published standard is passed over", "standard", p.Name, "because", err.Error())
			continue
		}
		if f := (&found{std: std, origin: originDirectory, pub: &p}); better(f) {
			best = f
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) > 1 {
		return nil, api.Fail(api.Usage, "give publisher/name", "%q could be %s or %s", want, names[0], names[1])
	}
	if best == nil {
		return nil, api.Fail(api.NotFound, "stile standard list --published shows what the directory has", "no standard named %q is in the directory or comes with Stile; these come with it:%s", want, shipped)
	}
	return best, nil
}

// Means reports whether somebody who typed want can mean this version.
func Means(want string, nm name.Standard) bool {
	bare, version, versioned := strings.Cut(want, "@")
	if bare != string(nm.Name) && bare != nm.Name.Slug() {
		return false
	}
	return !versioned || version == nm.Version.String() || version == fmt.Sprint(nm.Version.Major)
}

// All returns the standards that come with Stile. They are loaded once.
var All = sync.OnceValues(func() (all []*standard.Standard, err error) {
	for _, f := range schemas.All() {
		std, err := standard.Load(f)
		if err != nil {
			return nil, fmt.Errorf("load shipped standard: %w", err)
		}
		all = append(all, std)
	}
	return all, nil
})

// Laws lists the laws behind a standard, the one that holds today first: what its manifest
// says, and of one that comes with Stile what [schemas.Duties] adds to it.
func Laws(nm name.StandardName, says standard.Obligation) (laws []schemas.Duty) {
	for _, d := range schemas.Duties() {
		if d.Standard == string(nm) && d.Statute != "" {
			laws = append(laws, d)
		}
	}
	switch i := slices.IndexFunc(laws, func(d schemas.Duty) bool { return d.Statute == says.Statute }); {
	case says.Statute == "":
	case i < 0:
		laws = slices.Insert(laws, 0, schemas.Duty{Standard: string(nm), Statute: says.Statute, From: says.From})
	default:
		laws[i].From = cmp.Or(says.From, laws[i].From)
	}
	return laws
}

// Obligation is the first of a standard's laws, as its manifest would say it; the zero value
// is none.
func Obligation(m standard.Manifest) standard.Obligation {
	laws := Laws(m.Name.Name, m.Obligation)
	if len(laws) == 0 {
		return standard.Obligation{}
	}
	return standard.Obligation{Statute: laws[0].Statute, From: laws[0].From}
}

// Shipped returns those of the standards that come with Stile that a name means, the newest
// version first.
func Shipped(want string) (out []*standard.Standard, err error) {
	bare, _, _ := strings.Cut(want, "@")
	slug := bare[strings.LastIndexByte(bare, '/')+1:]
	for _, dir := range schemas.Names() {
		if path.Dir(dir) != slug {
			continue // each takes a while to load
		}
		std, err := standard.Load(schemas.FS(dir))
		if err != nil {
			return nil, fmt.Errorf("load shipped standard: %w", err)
		}
		if Means(want, std.Name()) {
			out = append(out, std)
		}
	}
	slices.SortFunc(out, func(a, b *standard.Standard) int { return b.Name().Version.Compare(a.Name().Version) })
	return out, nil
}

// A cache keeps the standard that was loaded last, since one request about it
// follows another, and those that come with Stile and were asked for by one name. It may
// be used concurrently.
type cache struct {
	mu   sync.Mutex
	sum  [32]byte
	std  *standard.Standard
	own  []*standard.Standard
	want string // what own was asked for by
}

// shipped returns those that come with Stile and that a name means.
func (s *cache) shipped(want string) (_ []*standard.Standard, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil || s.want != want {
		if s.own, err = Shipped(want); err != nil {
			return nil, err
		}
		s.want = want
	}
	return s.own, nil
}

// get returns the standard whose archive has a digest, nil when it is another.
func (s *cache) get(sum [32]byte) *standard.Standard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum != sum {
		return nil
	}
	return s.std
}

func (s *cache) put(sum [32]byte, std *standard.Standard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum, s.std = sum, std
}

func (s *cache) load(archive []byte) (*standard.Standard, error) {
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
