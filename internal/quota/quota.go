// Package quota bounds what another council can cause this node to keep, to read or to
// do: one table of the kinds of things, and one keeper that counts each for each
// council.
//
// A council is a partner when we have signed an agreement with it, which may be over, or
// keep a footprint with it; every other member of the directory is a stranger, with
// whom nothing is agreed. Strangers are let in, since a first proposal comes from one,
// but they have little: what they send is read in small frames, one of them is worked
// for at a time, and beyond its share a stranger is refused with a reason and counted.
// Partners have shares far above what an honest node needs, which hold back one that
// has gone wrong.
//
// What a council has used of a share is counted in windows of a fixed length, and the
// counts outlive the process: see [Keeper.Save].
package quota

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A Kind is a kind of thing that another council can cause here.
type Kind string

// The kinds. What each counts, and how much a council has of it, stands in [Table].
const (
	Connections Kind = "connections"
	Requests    Kind = "requests"
	Frames      Kind = "frames"
	Fetched     Kind = "frames fetched"
	Held        Kind = "frame bytes"
	Pages       Kind = "pages"
	Notices     Kind = "notices"
	Kept        Kind = "notices kept"
	Proposals   Kind = "proposals"
	Cases       Kind = "cases"
	Others      Kind = "others' agreements"
	Suspensions Kind = "suspensions"
	Questions   Kind = "questions"
	Cosignings  Kind = "cosign requests"
	Checkpoints Kind = "checkpoints"
	Entries     Kind = "directory entries"
	Files       Kind = "directory files"
	Brought     Kind = "contributions"
	Proved      Kind = "entries proved"
	PassedOn    Kind = "questions about passed on"
	Words       Kind = "words about passed on"
	Lines       Kind = "log lines"
)

// A Share is how much one council has of a kind.
type Share struct {
	Kind     Kind
	Counts   string        // what is counted, in words
	Partner  int           // at most, of a partner
	Stranger int           // at most, of a council with whom nothing is agreed
	Within   time.Duration // the window; 0 is at one time
	Where    string        // which room asks
	Beyond   string        // what becomes of what is beyond
}

// Table returns every kind with its share, in the order of the page docs/quotas.md.
func Table() []Share { return slices.Clone(shares) }

var shares = []Share{
	{Connections, "connections that it makes to us", 600, 20, time.Minute, "internal/wire", "the connection is closed"},
	{Requests, "streams opened to us, of any protocol", 12_000, 120, time.Minute, "internal/wire/entrance", "the stream is reset before a byte of it is read"},
	{Frames, "bytes of one frame that we have not answered", 9 << 20, 64 << 10, 0, "internal/wire/entrance", "the stream is reset: of a large frame no more is read than this"},
	{Fetched, "bytes of one frame of its log, for which we asked", 9 << 20, 256 << 10, 0, "internal/wire/entrance", "the stream is reset; our question says how much we read, and one proposal always fits"},
	{Held, "bytes, on all its streams, of frames that have not arrived whole", 64 << 20, 1 << 20, 0, "internal/wire/entrance", "the stream is reset"},
	{Pages, "pages of its log that we take, with a checkpoint each", 60_000, 60, time.Minute, "internal/peersync", "no more are fetched before the window ends"},
	{Notices, "events addressed to us that are fetched", 100_000, 400, 24 * time.Hour, "internal/peersync", "no more are fetched before the window ends"},
	{Kept, "events of a stranger that are kept", 1_000_000, 1_000, 0, "internal/peersync", "no more are fetched; what is kept stays"},
	{Proposals, "proposals to us that wait for our signature", 1_000, 50, 0, "internal/peersync", "the proposal is not kept, and stands among what was refused"},
	{Cases, "handovers and urgent disclosures that it begins here, under agreements that we have signed", 500, 500, 24 * time.Hour, "internal/peersync", "no more events are fetched before the window ends"},
	{Others, "agreements and words about them, of which we are no party, and cases that it begins under no agreement of ours", 0, 0, 0, "internal/peersync", "not kept, and passed over"},
	{Suspensions, "times that a party suspends or resumes one text", 500, 500, 0, "internal/agreement", "the text stays suspended by that party: a new version begins anew"},
	{Questions, "questions under one agreement, unless limits.questions_per_day says another number", 200, 0, 24 * time.Hour, "internal/question", "refused with when it may ask again; a stranger has no agreement to ask under"},
	{Cosignings, "checkpoints of its log that we are asked over HTTP to cosign", 3_600, 120, time.Hour, "internal/publiclog", "answered with 429"},
	{Checkpoints, "newest checkpoints kept of its log, with evidence of a second history", 3, 3, 0, "internal/ledger", "the newest takes the place of the one before"},
	{Entries, "standards that one publisher's list in the directory may hold", 2_000, 2_000, 0, "internal/directory/tufdir", "the list is not believed, and status says so"},
	{Files, "KiB of the directory's files that it asks us for, 4 at least for each", 1 << 20, 64 << 10, time.Hour, "internal/directory/follow", "the stream is reset; another mirror has them, too"},
	{Brought, "pages of records brought to a footprint", 60_000, 0, time.Hour, "internal/peersync", "refused with when it may bring more; a stranger has no agreement to bring under"},
	{Proved, "entries of a log kept here that it asks us to prove", 2_000_000, 2_000, time.Hour, "internal/peersync", "refused with when it may ask again; its bundle of what it holds says that they are not proved"},
	{PassedOn, "questions, of at most 1000 versions each, whether it may keep what others passed on to it", 1_000, 1_000, 24 * time.Hour, "internal/peersync", "refused with when it may ask again; it keeps what it holds until then"},
	{Words, "signed words, of at most 400 versions each, that it has to delete what others passed on to it, for which it asked", 100, 100, 24 * time.Hour, "internal/peersync", "refused with when it may ask again; the same word is given again and is not counted"},
	{Lines, "lines of the log that name it, below errors", 600, 60, time.Hour, "internal/quota", "left out, and counted in its next line"},
}

// Kinds returns every kind, in the order of the table.
func Kinds() []Kind {
	out := make([]Kind, len(shares))
	for i, s := range shares {
		out[i] = s.Kind
	}
	return out
}

// Of returns the share of a kind. It panics on a kind that is not in the table.
func Of(k Kind) Share {
	i := slices.IndexFunc(shares, func(s Share) bool { return s.Kind == k })
	if i < 0 {
		panic("internal error: no share of " + string(k))
	}
	return shares[i]
}

// A Beyond is what a council asks beyond its share. Its text may be sent to that
// council.
type Beyond struct {
	Kind  Kind
	Most  int
	Opens time.Time // when the window ends; zero for what is bounded at one time
}

func (b *Beyond) Error() string {
	s := fmt.Sprintf("beyond the share of %s, which is %d", b.Kind, b.Most)
	if w := Of(b.Kind).Within; w > 0 {
		s += fmt.Sprintf(" in %s; more from %s", words(w), b.Opens.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return s
}

func words(d time.Duration) string {
	switch d {
	case time.Minute:
		return "a minute"
	case time.Hour:
		return "an hour"
	case 24 * time.Hour:
		return "a day"
	}
	return d.String()
}

// A Refused is how much of a kind was refused to a council.
type Refused struct {
	Council name.Council `json:"council"`
	Kind    Kind         `json:"kind"`
	Count   uint64       `json:"count"`
	Last    time.Time    `json:"last"`
	Why     string       `json:"why"` // what became of it
}

// Options say what a Keeper works with. Partner and Now are needed.
type Options struct {
	// Partner reports whether a council is a partner. It is called with no lock held,
	// often, and must answer from memory.
	Partner func(name.Council) bool
	Now     func() time.Time
	File    string // where the counts outlive the process; "" is nowhere
}

// A Keeper counts what councils use of their shares. Its methods may be called
// concurrently, and do nothing and refuse nothing on a nil Keeper.
type Keeper struct {
	o Options

	mu      sync.Mutex // guards what follows
	used    map[key]*use
	changed bool
	line    []*waiter // strangers that wait to be worked for
	working map[name.Council]int
	served  map[name.Council]uint64 // the turn that a stranger had last
	turn    uint64
}

type key struct {
	Council name.Council `json:"council"`
	Kind    Kind         `json:"kind"`
}

// A use is what a council has used of a share.
type use struct {
	Used    int       `json:"used,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of the window
	Refused uint64    `json:"refused,omitempty"`
	Last    time.Time `json:"last,omitzero"` // of what was refused

	over int // log lines left out since the last that was not
}

// maxCouncils bounds the counts: the keys come from the directory, which is bounded,
// and those of members who have left go first.
const maxCouncils = 4096

// Open returns a Keeper with the counts of before, where there are any.
func Open(o Options) (*Keeper, error) {
	k := &Keeper{o: o, used: map[key]*use{}, working: map[name.Council]int{}, served: map[name.Council]uint64{}}
	if o.File == "" {
		return k, nil
	}
	b, err := os.ReadFile(o.File)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	var list []saved
	if err := json.Unmarshal(b, &list); err != nil {
		// Counts are no record: a node does not stay away for a torn file of them.
		return k, nil
	}
	for _, s := range list[:min(len(list), maxCouncils*len(shares))] {
		if i := slices.IndexFunc(shares, func(sh Share) bool { return sh.Kind == s.Kind }); i < 0 {
			continue
		} else if shares[i].Within == 0 {
			s.Used = 0 // what is held at one time is counted anew
		}
		k.used[s.key] = &s.use
	}
	return k, nil
}

type saved struct {
	key
	use
}

// Save writes the counts to the file, if they have changed. It is to be called now and
// then and at the end; a crash forgets what was counted since.
func (k *Keeper) Save() error {
	if k == nil || k.o.File == "" {
		return nil
	}
	k.mu.Lock()
	if !k.changed {
		k.mu.Unlock()
		return nil
	}
	k.changed = false
	list := make([]saved, 0, len(k.used))
	for at, u := range k.used {
		list = append(list, saved{at, *u})
	}
	k.mu.Unlock()
	slices.SortFunc(list, func(a, b saved) int { return cmp.Or(cmp.Compare(a.Council, b.Council), cmp.Compare(a.Kind, b.Kind)) })
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(k.o.File), ".quotas-*")
	if err == nil {
		_, err = f.Write(b)
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), k.o.File)
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}
	if err != nil {
		k.mu.Lock()
		k.changed = true
		k.mu.Unlock()
		return fmt.Errorf("write quotas: %w", err)
	}
	return nil
}

// Partner reports whether a council is a partner; true on a nil Keeper.
func (k *Keeper) Partner(c name.Council) bool { return k == nil || k.o.Partner(c) }

// Most returns how much a council may have of a kind.
func (k *Keeper) Most(c name.Council, kind Kind) int {
	_, most := k.most(c, kind)
	return most
}

func (k *Keeper) most(c name.Council, kind Kind) (Share, int) {
	s := Of(kind)
	if k.Partner(c) {
		return s, s.Partner
	}
	return s, s.Stranger
}

// at returns what a council has used, in the window of now. k.mu is held.
func (k *Keeper) at(c name.Council, s Share) *use {
	u := k.used[key{c, s.Kind}]
	if u == nil {
		u = &use{}
		if len(k.used) < maxCouncils*len(shares) {
			k.used[key{c, s.Kind}] = u
		}
	}
	if now := k.o.Now(); s.Within > 0 && (now.Sub(u.Since) >= s.Within || now.Before(u.Since)) {
		u.Used, u.Since = 0, now.UTC()
	}
	return u
}

// Take uses n of a council's share of a kind, or refuses with a *[Beyond] and counts
// that. What is bounded at one time is given back by [Keeper.Give].
func (k *Keeper) Take(c name.Council, kind Kind, n int) error {
	if k == nil {
		return nil
	}
	s, most := k.most(c, kind)
	k.mu.Lock()
	defer k.mu.Unlock()
	u := k.at(c, s)
	k.changed = true
	if u.Used+n > most {
		k.refuse(u, 1)
		return beyond(s, most, u)
	}
	u.Used += n
	return nil
}

func beyond(s Share, most int, u *use) *Beyond {
	b := &Beyond{Kind: s.Kind, Most: most}
	if s.Within > 0 {
		b.Opens = u.Since.Add(s.Within)
	}
	return b
}

// Use counts n that were used already, such as what came on one page, even beyond the
// share: [Keeper.Room] then says no.
func (k *Keeper) Use(c name.Council, kind Kind, n int) {
	if k == nil || n == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at(c, Of(kind)).Used += n
	k.changed = true
}

// Give gives back n of what is bounded at one time.
func (k *Keeper) Give(c name.Council, kind Kind, n int) { k.Use(c, kind, -n) }

// Room returns nil while a council has something left of a share, and else a *[Beyond],
// which it counts.
func (k *Keeper) Room(c name.Council, kind Kind) error {
	if k == nil {
		return nil
	}
	s, most := k.most(c, kind)
	k.mu.Lock()
	defer k.mu.Unlock()
	if u := k.at(c, s); u.Used >= most {
		k.refuse(u, 1)
		return beyond(s, most, u)
	}
	return nil
}

// Refuse counts n that were refused for another reason than a share that is used up.
func (k *Keeper) Refuse(c name.Council, kind Kind, n int) {
	if k == nil || n == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse(k.at(c, Of(kind)), n)
}

func (k *Keeper) refuse(u *use, n int) {
	u.Refused += uint64(n)
	u.Last = k.o.Now().UTC()
	k.changed = true
}

// Used returns what a council has used of a kind in the window of now.
func (k *Keeper) Used(c name.Council, kind Kind) int {
	if k == nil {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at(c, Of(kind)).Used
}

// Refused returns what was refused to whom, the most first.
func (k *Keeper) Refused() []Refused {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Refused
	for at, u := range k.used {
		if u.Refused > 0 {
			out = append(out, Refused{at.Council, at.Kind, u.Refused, u.Last, Of(at.Kind).Beyond})
		}
	}
	slices.SortFunc(out, func(a, b Refused) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), cmp.Compare(a.Council, b.Council), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}
