package tufdir

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/node/name"
)

// A Published is one version of a standard as the directory has it.
type Published struct {
	Name   name.Standard
	SHA256 [32]byte // of the archive; frozen by the first edition that had it
	Length int64    // of the archive, bytes
	Extra  StandardExtra
	Held   bool // the archive is here; false when whoever was asked did not have it
}

// An Expiry is when a role's file ceases to be believed.
type Expiry struct {
	Role string
	At   time.Time // UTC
}

// A View is what one edition of a directory says, verified. It does not change
// and may be used concurrently. The zero View is that of a directory that has
// not been fetched yet: it is empty.
type View struct {
	root      int64 // versions
	stamp     int64
	members   []Entry // by council
	council   map[name.Council]int
	node      map[string]int
	standards []Published // by name and version
	standard  map[name.Standard]int
	refused   []*Refusal
	expiry    []Expiry        // of the roles that all depend on, soonest first
	bodies    []Expiry        // of the standards bodies, by role
	files     map[string]bool // paths of the edition's files that are held
	parsed    map[string]Entry
}

// Members returns all members sorted by council, those that have ended or
// have yet to begin among them: see directory.Member.ActiveAt. The slice is the caller's.
func (v *View) Members() []Entry { return slices.Clone(v.members) }

// Member returns the member that c names.
func (v *View) Member(c name.Council) (Entry, bool) {
	i, ok := v.council[c]
	if !ok {
		return Entry{}, false
	}
	return v.members[i], true
}

// ByNode returns the member whose node has the given peer id.
func (v *View) ByNode(id string) (Entry, bool) {
	i, ok := v.node[id]
	if !ok {
		return Entry{}, false
	}
	return v.members[i], true
}

// Standards returns all published versions, sorted by name and version. The
// slice is the caller's.
func (v *View) Standards() []Published { return slices.Clone(v.standards) }

// Standard returns the published version that n names.
func (v *View) Standard(n name.Standard) (Published, bool) {
	i, ok := v.standard[n]
	if !ok {
		return Published{}, false
	}
	return v.standards[i], true
}

// stands reports whether v is the edition whose top-level files a walk has verified, with
// nothing refused or missing in it, and nothing that was believed then and has expired by now.
func (v *View) stands(w *walk, now time.Time) bool {
	over := func(e Expiry) bool { return !now.Before(e.At) }
	return v.root == w.tm.Root.Signed.Version && v.stamp == w.tm.Timestamp.Signed.Version && len(v.refused) == 0 &&
		!slices.ContainsFunc(v.expiry, over) && !slices.ContainsFunc(v.bodies, over) &&
		!slices.ContainsFunc(v.standards, func(p Published) bool { return !p.Held })
}

// holding returns v with the archives marked that before already held.
func (v *View) holding(before *View) *View {
	h := *v
	h.standards, h.files = slices.Clone(v.standards), maps.Clone(v.files)
	for i, p := range h.standards {
		if old, ok := before.Standard(p.Name); ok && old.Held && old.SHA256 == p.SHA256 {
			h.standards[i].Held = true
			h.files[targetPath(standardTarget(p.Name), p.SHA256)] = true
		}
	}
	return &h
}

// Refused returns what this edition says that was not accepted. The rest of
// it holds. The slice is the caller's.
func (v *View) Refused() []*Refusal { return slices.Clone(v.refused) }

// Version returns the version of the timestamp, which grows by one with every
// publication; 0 for the empty View.
func (v *View) Version() int64 { return v.stamp }

// RootVersion returns the version of the root the view was verified with.
func (v *View) RootVersion() int64 { return v.root }

// WarnDays is how many days before its expiry a directory is called expiring.
const WarnDays = 14

// A State says whether a directory is to be relied upon.
type State string

// The states. Exchange with others goes on in Fresh and Expiring only; local
// work goes on in all of them.
const (
	Fresh    State = "fresh"
	Expiring State = "expiring" // within WarnDays
	Expired  State = "expired"  // nobody has vouched for it lately
	Empty    State = "empty"    // never fetched
)

// A Health is the state of a View at an instant.
type Health struct {
	State    State
	Role     string    // whose file expires first: root, targets, members, snapshot or timestamp
	Expires  time.Time // when; UTC
	DaysLeft int       // whole days until then; 0 when expired
	Bodies   []Expiry  // standards bodies whose file has expired or will within WarnDays
}

// Until returns when the edition ceases to be believed: the first end of the files
// that all depend on; UTC. It is zero for the empty View.
func (v *View) Until() time.Time {
	if len(v.expiry) == 0 {
		return time.Time{}
	}
	return v.expiry[0].At
}

// Health returns the state of v at now.
func (v *View) Health(now time.Time) Health {
	if len(v.expiry) == 0 {
		return Health{State: Empty}
	}
	soon := v.expiry[0]
	h := Health{State: Fresh, Role: soon.Role, Expires: soon.At}
	if left := soon.At.Sub(now); left < 0 {
		h.State = Expired
	} else {
		h.DaysLeft = int(left / (24 * time.Hour))
		if left < WarnDays*24*time.Hour {
			h.State = Expiring
		}
	}
	for _, b := range v.bodies {
		if b.At.Sub(now) < WarnDays*24*time.Hour {
			h.Bodies = append(h.Bodies, b)
		}
	}
	return h
}

// String says it in a sentence, with whom to ask.
func (h Health) String() string {
	whom := "the holders of its root"
	switch h.Role {
	case metadata.SNAPSHOT, metadata.TIMESTAMP:
		whom = "its host, who signs it anew every day,"
	case RoleMembers:
		whom = "its registrar"
	}
	switch h.State {
	case Empty:
		return "the directory has not been fetched yet"
	case Expired:
		return fmt.Sprintf("the directory expired on %s (%s); exchange has stopped until %s signs again", h.Expires.Format(dayForm), h.Role, whom)
	case Expiring:
		return fmt.Sprintf("the directory expires in %s, on %s (%s); ask %s to sign again", days(h.DaysLeft), h.Expires.Format(dayForm), h.Role, whom)
	}
	return fmt.Sprintf("the directory is good for %s, until %s", days(h.DaysLeft), h.Expires.Format(dayForm))
}

// Exchange returns nil while records may be exchanged on the word of v, and
// otherwise a *[Refusal] wrapping [ErrExpired] or, for the empty View,
// [ErrMissing].
func (v *View) Exchange(now time.Time) error {
	switch h := v.Health(now); h.State {
	case Empty:
		return refuse("the directory", ErrMissing, h.String())
	case Expired:
		return refuse("the directory", ErrExpired, h.String())
	}
	return nil
}
