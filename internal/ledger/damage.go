package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/node/name"
)

// A table of the store of which a part cannot be read does not keep the node from starting. The
// table is written again without that part, and what was lost is found out from the log: what
// follows from it is made anew, and what does not is named, by entry and by record, and
// waits until it is fetched back. All else is served.
//
// The file DAMAGED, JSON, beside the store says what is damaged, and the folder damaged/ has the
// tables as they were found. Both go when nothing is missing any more; the tables also with
// the next erasure, since what is erased may stand in them.
const (
	damagedName = "DAMAGED"
	asideName   = "damaged"
)

// A Damage says what of a ledger is damaged and not served. It is immutable.
type Damage struct {
	Since    time.Time         `json:"since"`
	Files    []string          `json:"files"` // tables that were damaged, sorted
	Entries  []DamagedEntry    `json:"entries,omitempty"`
	Holdings []DamagedHolding  `json:"holdings,omitempty"`
	Missing  []MissingHoldings `json:"missing,omitempty"`
	// Tree is why proofs cannot be made; "" when they can. Nothing is signed until it is repaired.
	Tree string `json:"tree,omitempty"`
	// Notes are sentences about what may be missing and cannot be named.
	Notes []string `json:"notes,omitempty"`
}

// A DamagedEntry is an entry of our log that cannot be read.
type DamagedEntry struct {
	Index  uint64      `json:"entry"`
	Record name.Record `json:"record,omitempty"` // "" when it is not known, or it is an event
	// Lacks is how many of its fields nobody who gave it back was let have: they come from a
	// backup alone. 0 also when nobody was asked.
	Lacks int `json:"lacks,omitempty"`
	// Passed: a partner was sent what follows it in the log without it.
	Passed bool `json:"passed,omitempty"`
}

// A DamagedHolding is a record of another council that cannot be read.
type DamagedHolding struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement"`
	Index     uint64         `json:"entry"` // in the log of who sent it
	Record    name.Record    `json:"record"`
}

// MissingHoldings are records of another council that were held and are lost, and of which it is not
// known which they are.
type MissingHoldings struct {
	From      name.Council   `json:"from"`
	Agreement name.Agreement `json:"agreement"`
	Records   int            `json:"records"`
}

// None reports whether nothing is damaged.
func (d *Damage) None() bool {
	return d == nil || len(d.Entries)+len(d.Holdings)+len(d.Missing)+len(d.Notes) == 0 && d.Tree == ""
}

// Sentence says what is damaged, in words.
func (d *Damage) Sentence() string {
	var parts []string
	if n := len(d.Entries); n > 0 {
		parts = append(parts, fmt.Sprintf("%d entries of our log", n))
	}
	lost := len(d.Holdings)
	for _, m := range d.Missing {
		lost += m.Records
	}
	if lost > 0 {
		parts = append(parts, fmt.Sprintf("%d records of others", lost))
	}
	if d.Tree != "" {
		parts = append(parts, "the tree of hashes over our log")
	}
	if len(parts) == 0 {
		parts = append(parts, "what is counted beside the log")
	}
	return strings.Join(parts, " and ")
}

// damageFile is what the file says.
type damageFile struct {
	Holes []storedHole `json:"holes,omitempty"` // not looked into yet
	Damage
}

type storedHole struct {
	File string `json:"file"`
	From []byte `json:"from"`
	To   []byte `json:"to,omitempty"`
}

func (f *damageFile) holes() (out []examine.Hole) {
	for _, h := range f.Holes {
		out = append(out, examine.Hole{File: h.File, From: h.From, To: h.To})
	}
	return out
}

func readDamage(dir string) (*damageFile, error) {
	b, err := os.ReadFile(filepath.Join(dir, damagedName))
	if errors.Is(err, os.ErrNotExist) {
		return &damageFile{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	f := new(damageFile)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("%w: the file %s: %w", ErrDamaged, damagedName, err)
	}
	return f, nil
}

// write makes the file say what f does; it is on disk then. Without damage both file and folder go.
func (f *damageFile) write(dir string) error {
	path := filepath.Join(dir, damagedName)
	if len(f.Holes) == 0 && f.None() {
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, asideName)), os.RemoveAll(path)); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return nil
	}
	b, err := marshal(f)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	w, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		_, err = w.Write(append(b, '\n'))
		err = errors.Join(err, w.Sync(), w.Close())
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("%w: write %s: %w", ErrStorage, damagedName, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// What stands under a letter can be lost in one of these ways; see keyspace.go.
const (
	remade  = "made anew from the log"
	named   = "named, and fetched back"
	counted = "done without"
	vital   = "kept in a second place, the file VITAL; where that is damaged too, the folder is not opened"
)

var losses = map[byte]string{
	'e': named, 'M': named, 'H': named, 'P': named,
	't': remade, 'h': remade, 's': remade, 'o': remade, 'k': remade, 'f': remade, 'm': remade, 'g': remade,
	'a': remade, 'A': remade, 'T': remade, 'v': remade, 'D': remade, 'R': remade,
	'u': counted, 'U': counted, 'y': counted, 'z': counted, 'Y': counted, 'Z': counted, 'w': counted, 'Q': counted,
	'0': counted, '7': counted, 'G': counted, 'x': counted, 'I': counted, 'r': counted, 'O': counted,
	'2': counted, '3': counted, '4': counted, '5': counted, '8': counted, '9': counted, 'C': counted, 'd': counted, 'q': counted,

	// The layout, the head of the log, and the numbers that entries and keys are made of.
	'V': vital, 'c': vital, 'W': vital, 'n': vital, 'N': vital, 'K': vital, 'F': vital, 'S': vital, 'i': vital,
	// How far a feed is matched, and a partner has come in it: what is wrong here would leave records out in silence.
	'B': vital, 'p': vital,
	// What keeps us from believing two histories, from signing one, or from telling too much by many counts.
	'L': vital, '1': vital, 'b': vital,
	// What others told us alone, and which record was made from which.
	'E': vital, '6': vital, 'j': vital, 'J': vital, 'l': vital, 'X': vital,
}

// notes say what may be missing of what is done without.
var notes = map[byte]string{
	'u': "marks of which records of others were looked at", 'U': "counts of which records of others were looked at",
	'y': "counts of offers at the gate", 'z': "counts of offers at the gate", 'Y': "counts of offers at the gate", 'Z': "counts of offers at the gate",
	'w': "cosignatures of witnesses, which come again", 'Q': "what partners sent and was refused",
	'0': "the words in which partners committed to what they permit, until the next: a bundle of what is held cannot be shown to be all",
	'7': "what partners gave and is not held, so that a copy may be said to differ from what its sender committed to", 'G': "which records partners have withdrawn",
	'x': "offers that were held back at the gate",
	'I': "which origin offered which record: a run that deletes what is not in its file may leave some",
	'r': "receipts of partners",
	'O': "what was to leave the files with the next purge: erase it once more",
	'2': "records that partners gave back after an older loss, and that were not imported again yet",
	'3': "orders to erase that partners have not receipted: give them once more",
	'4': "what is to be erased again if it comes back: look at what was erased before",
	'5': "by which entry of a partner's log a record was withdrawn",
	'8': "which receivers deleted records of ours at the end of their term",
	'9': "which records were deleted at the end of their term: a sender that gives them again is believed, and they are deleted again",
	'd': "how often partners asked today: a limit begins anew", 'q': "which questions were answered: one that comes again is answered and logged again",
}

// lettersOf returns the first bytes of keys of a ledger that a hole may hold.
func lettersOf(h examine.Hole) (out []byte) {
	for _, c := range slices.Sorted(maps.Keys(losses)) {
		if h.Meets([]byte{c}) {
			out = append(out, c)
		}
	}
	return out
}

// needed returns the letters in holes without which a ledger cannot be opened. Covered says that what stood
// there is in the file VITAL.
func needed(holes []examine.Hole, covered bool) string {
	var out []byte
	if covered {
		return ""
	}
	for _, h := range holes {
		for _, c := range lettersOf(h) {
			if losses[c] == vital && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return string(out)
}

// whyRefused says why a store with flaws is not served around them.
func whyRefused(r *examine.Report, covered bool) string {
	holes, ok := r.Holes()
	switch {
	case len(r.Fatal()) == 0:
		return ""
	case !ok:
		return "any part of the ledger may have stood there, so nothing of it can be told from what is whole"
	}
	var may []string
	for _, c := range []byte(needed(holes, covered)) {
		if w := vitals[c]; !slices.Contains(may, w) {
			may = append(may, w)
		}
	}
	if len(may) == 0 {
		return ""
	}
	return "what stood there cannot be told, and the ledger cannot be served without it, since its second place, the file " + vitalName + ", is missing, damaged or older: it may have been " + strings.Join(may, ", or ")
}

// vitals say what stands under the letters that cannot be done without.
var vitals = map[byte]string{
	'V': "the head of our log", 'c': "the head of our log", 'W': "the head of our log",
	'n': "the standards", 'N': "the standards", 'i': "the sources that our records come from",
	'K': "the keys that entries are made with", 'F': "what is sent to whom", 'S': "what comes from whom",
	'B': "how far partners have come", 'p': "how far partners have come",
	'L': "what is known of the logs of others", '1': "what others know of our log", 'b': "what was counted for others",
	'E': "what partners told us", '6': "the cases in which people let out records", 'X': "what machines keep alike",
	'j': "which record was made from which", 'J': "which record was made from which", 'l': "which record was made from which",
}

// salvage writes the damaged tables and logs of a store again with what of them can be read, once the file DAMAGED
// says what was lost, with what else is known to be. It reports whether it did: not when more is damaged, or what cannot be
// done without.
func salvage(o Options, r *examine.Report, relist, covered bool, also ...examine.Hole) (bool, error) {
	holes, ok := r.Holes()
	holes = append(holes, also...)
	if !ok || len(holes) == 0 || o.Council == "" || needed(holes, covered) != "" {
		return false, nil
	}
	f, err := readDamage(o.Dir)
	if err != nil {
		return false, err
	}
	if f.Since.IsZero() {
		f.Since = o.Now().UTC()
	}
	for _, h := range holes {
		f.Holes = append(f.Holes, storedHole{h.File, h.From, h.To})
		if !slices.Contains(f.Files, h.File) {
			f.Files = append(f.Files, h.File)
		}
	}
	slices.Sort(f.Files)
	if err := f.write(o.Dir); err != nil {
		return false, err
	}
	if err := r.Mend(o.Dir); err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if relist {
		if err := relisted(o, r); err != nil {
			return false, err
		}
	} else if err := r.Salvage(o.Dir, filepath.Join(o.Dir, asideName)); err != nil {
		return false, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, file := range f.Files {
		o.Log.Error("a part of the store is missing or cannot be read; what of it does not follow from the log is missing until it is repaired", "file", file)
	}
	return true, nil
}

// Damaged returns what is damaged and not served, nil when all is well. It may be called concurrently.
func (l *Ledger) Damaged() *Damage { return l.damage.Load() }

// keepDamage makes d what is damaged, here and on disk.
func (l *Ledger) keepDamage(d *Damage) error {
	if d.None() {
		d = nil
	}
	l.damage.Store(d)
	l.damageLate.Store(true)
	return l.writeDamage()
}

// damageSoon is keepDamage for what changes many times a second: the file says so a second later at most, or when the ledger
// is closed. What it names too many after a crash is looked at when the ledger is opened.
func (l *Ledger) damageSoon(d *Damage) error {
	if last := time.Unix(0, l.damageAt.Load()); d.None() || time.Since(last) > time.Second {
		return l.keepDamage(d)
	}
	l.damage.Store(d)
	l.damageLate.Store(true)
	return nil
}

// writeDamage makes the file say what is damaged, when it does not.
func (l *Ledger) writeDamage() error {
	if !l.damageLate.Swap(false) || l.o.Dir == "" || l.o.InMemory || l.o.Shared != nil || l.o.Reading {
		return nil
	}
	f := &damageFile{}
	if d := l.damage.Load(); d != nil {
		f.Damage = *d
	}
	l.damageAt.Store(time.Now().UnixNano())
	return f.write(l.o.Dir)
}

// stillLost returns the entries of those named that cannot be read.
func (l *Ledger) stillLost(named []DamagedEntry) (out []DamagedEntry, err error) {
	s := &survey{l: l}
	err = s.view(func(v *View) error {
		for _, e := range named {
			if _, _, err := v.Entry(e.Index); errors.Is(err, ErrStorage) {
				return err
			} else if err != nil || e.Passed {
				out = append(out, e)
			}
		}
		return nil
	})
	return out, err
}

// findDamage finds out what was lost in the holes that were found when the store was opened, and
// makes anew what follows from the log. It is called once the log, the standards, the feeds and the sources are
// loaded, before anything is written.
func (l *Ledger) findDamage(f *damageFile) error {
	holes := f.holes()
	d := f.Damage
	switch {
	case l.o.Reading && len(holes) > 0:
		return fmt.Errorf("%w, and what is damaged in it has to be found out first", ErrReading)
	case l.o.Reading:
		if !d.None() {
			l.damage.Store(&d)
		}
		return nil
	case len(holes) == 0:
		// Also when nothing is damaged: then what was put aside while the list of tables was made anew goes.
		var err error
		if d.Entries, err = l.stillLost(d.Entries); err != nil {
			return err
		}
		return l.keepDamage(&d)
	}
	s := &survey{l: l, holes: holes, lost: map[uint64]DamagedEntry{}, sets: map[string][]byte{}, deletes: map[string]bool{}}
	for _, e := range d.Entries {
		s.lost[e.Index] = e
	}
	if err := s.run(); err != nil {
		return fmt.Errorf("find out what is damaged: %w", err)
	}
	d.Entries = slices.SortedFunc(maps.Values(s.lost), func(a, b DamagedEntry) int { return cmp.Compare(a.Index, b.Index) })
	d.Tree = cmp.Or(d.Tree, f.Tree)
	seen := map[string]bool{}
	for _, n := range d.Notes {
		seen[n] = true
	}
	for _, h := range holes {
		for _, c := range lettersOf(h) {
			if n := notes[c]; n != "" && !seen[n] {
				seen[n] = true
				d.Notes = append(d.Notes, n)
			}
		}
	}
	d.Notes = append(d.Notes, s.notes...)
	d.Holdings, d.Missing = mergeHoldings(d.Holdings, s.holdings), append(d.Missing, s.missing...)
	return l.keepDamage(&d)
}

func mergeHoldings(a, b []DamagedHolding) []DamagedHolding {
	for _, h := range b {
		if !slices.Contains(a, h) {
			a = append(a, h)
		}
	}
	return a
}

// lacks returns an error wrapping ErrDamaged when a record of ours is lost that may belong to a feed which questions are
// answered from, and does not stand there: an answer would leave it out.
func (v *View) lacks(f *Feed) error {
	d := v.l.Damaged()
	if d == nil {
		return nil
	}
	for _, e := range d.Entries {
		if e.Record == "" {
			continue
		}
		h, err := v.head(e.Record)
		if errors.Is(err, ErrStorage) {
			return err
		}
		if err != nil || h.index != e.Index || !h.live || !slices.Contains(v.l.numbersOf(f.line), h.standard) {
			continue
		}
		if _, err := v.value(askedKey(f.number, e.Record.Bytes())); !errors.Is(err, ErrNotFound) {
			continue
		}
		return fmt.Errorf("entry %d: %w: a question may be about it", e.Index, ErrDamaged)
	}
	return nil
}
