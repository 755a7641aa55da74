package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Options say what the auditor brings along. The zero Options are those of an
// auditor who has nothing but the file.
type Options struct {
	Trust     Trust
	Standards []*standard.Standard // as published; used in the place of those in the file
	Parallel  int                  // chunks verified at once; default GOMAXPROCS
	// Brought are signed checkpoints of the council's log that others gave the auditor, such
	// as a witness; each is held against the log in the bundle.
	Brought [][]byte
	// Origins are bundles of councils that have ended, each sealed, as they were handed to
	// the council whose bundle is verified. Every record that it says it took over from one of
	// them is followed: the log of that council was sealed where the event says, names this
	// council as its successor, and had the record at that entry in that version; and what both
	// bundles show of it is the same.
	Origins []OriginFile
	// Needed has the report count what came in time under the agreement that the bundle
	// covers; nil for nothing.
	Needed *Needed
}

// Verify checks a bundle against itself and against what the auditor brought,
// without a network. The Report says of each check what came of it.
//
// The error wraps [ErrBundle] when the file is not a bundle that can be read,
// and then there is no Report; otherwise it is r's. Verify may be called
// concurrently.
func Verify(r io.ReaderAt, size int64, o Options) (*Report, error) {
	v, err := examine(r, size, o)
	if err != nil {
		return nil, err
	}
	report := v.report()
	if o.Needed != nil {
		report.Arrivals = v.arrivals(*o.Needed)
	}
	return report, nil
}

// examine runs every check and leaves what it found in the verifier.
func examine(r io.ReaderAt, size int64, o Options) (*verifier, error) {
	c, err := open(r, size)
	if err != nil {
		return nil, err
	}
	v := &verifier{contents: c, council: c.doc.Council, holder: c.doc.Holder, covers: c.doc.Covers,
		sheet: newSheet(), used: map[Key]bool{}, parallel: o.Parallel, brought: o.Brought}
	v.readDirectory(&o.Trust)
	v.ring = newKeyring(o.Trust)
	if v.parallel <= 0 {
		v.parallel = runtime.GOMAXPROCS(0)
	}
	v.readMembers()
	v.readCheckpoints()
	v.readStandards(o.Standards)
	v.readAgreements()
	v.readEntries()
	v.readEvents()
	v.readGone()
	v.judgeContents()
	v.judgeStandards()
	v.judgeVersions()
	v.judgeAgreements()
	if v.holder != "" {
		v.judgeHeld()
	} else {
		v.judgeSharing()
	}
	v.judgeOnward()
	v.judgeCases()
	v.judgeContinued()
	v.judgeSealed()
	if err := v.judgeOrigins(o); err != nil {
		return nil, err
	}
	v.judgeTimes()
	return v, nil
}

// A verifier is one run of Verify. Until readEntries all of it is filled by one
// goroutine; while that reads chunks the workers only read what they share.
type verifier struct {
	*contents
	*sheet
	council  name.Council // whose log it is
	holder   name.Council // who was given what is here; "" in a bundle of the council's own
	covers   Covers
	commits  []api.AuditedCheckpoint // newest first
	ring     *keyring
	roles    map[name.Council]string // in the directory, of the members in the file
	used     map[Key]bool
	parallel int
	listed   atomic.Int64 // see keep

	main      tlog.Checkpoint // with size 0 and no origin when it does not verify
	sealers   []string        // ids of the record keys that signed main
	witnessed []Witnessed     // by size, of checkpoints that are consistent with main
	roots     map[uint64]tlog.Hash
	standards map[name.Standard]*known
	papers    map[agreementID]*paper
	covered   []*paper // versions of the agreement covered, lowest first
	notices   int
	sameRoot  int // receipts that name the root of a checkpoint here
	lostRoots int // receipts that name the root of one that was lost
	brought   [][]byte
	counts    Counts
	records   []fact    // by index
	events    []claimed // of the council's own log, by index
	foreign   []claimed // of others
	lines     []Gone    // by entry, without their fields
}

// known is a standard and what the covered agreement makes of it.
type known struct {
	std   *standard.Standard
	given bool               // by the auditor
	terms []*agreement.Terms // by place in verifier.covered; nil where it says nothing about this standard
}

// readDirectory follows the directory in the bundle from the root that the auditor
// gave, if one was given.
func (v *verifier) readDirectory(t *Trust) {
	if len(t.Roots) == 0 {
		return
	}
	from := func(_ context.Context, path string, max int64) ([]byte, error) {
		f := v.tuf[path]
		if f == nil || f.UncompressedSize64 > uint64(max) {
			return nil, tufdir.ErrMissing
		}
		return readFile(f)
	}
	var first error
	for _, root := range t.Roots {
		view, err := tufdir.ReadEvidence(context.Background(), root, from)
		if err != nil {
			if first == nil || errors.Is(first, tufdir.ErrMissing) {
				first = err
			}
			continue
		}
		for _, e := range view.Members() {
			t.vouched = append(t.vouched, e.Full())
		}
		v.say(CheckKeys, "The file holds edition %d of the directory whose root you gave; it was vouched for until %s. Whether a later one says otherwise it cannot tell.",
			view.Version(), view.Until().Format("2 January 2006"))
		return
	}
	v.on(CheckKeys).fail("tuf", "does not lead from the root of a directory that you gave to its members", "")
	v.say(CheckKeys, "The directory in the file was not believed: %v.", first)
}

// readMembers learns the keys.
func (v *verifier) readMembers() {
	t := v.on(CheckKeys)
	owner := map[string]name.Council{}
	v.roles = map[name.Council]string{}
	for _, f := range v.contents.members {
		b, err := readFile(f.file)
		if err != nil {
			v.on(CheckContents).fail(f.file.Name, "is damaged", "")
			continue
		}
		m, err := directory.ParseMember(b)
		if err != nil || m.Council != f.id {
			v.on(CheckContents).fail(f.file.Name, "is no member file of "+string(f.id), "")
			continue
		}
		v.roles[m.Council] = string(m.Role)
		if m.Council == v.council {
			v.ring.follow(m)
		}
		for _, k := range v.ring.bundle(m) {
			t.fail(f.file.Name, fmt.Sprintf("gives another %s key for %s than you gave", k.Use, k.Council), "")
		}
		// One key under two names would let one council speak for another.
		for _, k := range v.ring.learn(m) {
			if o, ok := owner[k.material()]; ok && o != k.Council {
				t.fail(f.file.Name, fmt.Sprintf("gives a key that %s has too", o), "")
			}
			owner[k.material()] = k.Council
		}
	}
}

// readCheckpoints verifies the main checkpoint, then that every other leads to
// it, and collects what witnesses said of them.
func (v *verifier) readCheckpoints() {
	v.roots = map[uint64]tlog.Hash{}
	if f := v.ring.footprints[v.council]; len(f.members) > 0 {
		v.readShared(f)
		return
	}
	logs := v.ring.verifiers(v.council, UseLog)
	if len(logs) == 0 {
		v.on(CheckCheckpoint).skip(1)
		v.say(CheckCheckpoint, "There is no log key of %s to check it with.", v.council)
	}
	notes := map[uint64][]byte{}
	checkpoints := map[uint64]tlog.Checkpoint{}
	for _, f := range v.notes {
		b, err := readFile(f.file)
		if err != nil {
			v.on(CheckContents).fail(f.file.Name, "is damaged", "")
			continue
		}
		check := CheckHistory
		if f.id == v.doc.Checkpoint {
			check = CheckCheckpoint
		}
		if len(logs) == 0 {
			continue
		}
		// A council may have had several log keys. Signatures of witnesses are
		// left aside here: one that is bad must not hide that the log's is good.
		i := slices.IndexFunc(logs, func(k keyed) bool {
			cp, _, err := tlog.OpenCheckpoint(b, v.council.Origin(), k.v)
			if err == nil {
				checkpoints[f.id] = cp
			}
			return err == nil
		})
		switch cp := checkpoints[f.id]; {
		case i < 0:
			v.on(check).fail(f.file.Name, "is not signed by the log of "+string(v.council)+", or is no checkpoint of it", "")
			continue
		case cp.Size != f.id:
			v.on(check).fail(f.file.Name, "is a checkpoint of another size than its name says", "")
			delete(checkpoints, f.id)
			continue
		}
		v.used[logs[i].Key] = true
		notes[f.id] = b
	}
	main, ok := checkpoints[v.doc.Checkpoint]
	if ok {
		v.main = main
		v.on(CheckCheckpoint).pass(1)
		v.say(CheckCheckpoint, "The log of %s signed that it had %s with root %s.", v.council, count(int(main.Size), "entry"), main.Root)
		v.readSealers(notePath(main.Size), notes[main.Size])
	} else if len(logs) > 0 {
		if _, there := slices.BinarySearchFunc(v.notes, v.doc.Checkpoint, func(f named[uint64], n uint64) int { return cmpUint(f.id, n) }); !there {
			v.on(CheckCheckpoint).fail(notePath(v.doc.Checkpoint), "is missing", "")
		}
		v.say(CheckCheckpoint, "There is no checkpoint of %s at %d entries that holds, so nothing can be shown to be in its log.", v.council, v.doc.Checkpoint)
	}
	for _, size := range slices.Sorted(maps.Keys(notes)) {
		if !ok || size != main.Size && !v.leadsToMain(checkpoints[size]) {
			continue
		}
		v.roots[size] = checkpoints[size].Root
		v.readWitnesses(size, notes[size])
	}
}

// readShared verifies the main checkpoint of a footprint's log, which has no key: more than
// half of the members that the auditor knows of must have cosigned it.
func (v *verifier) readShared(f footprint) {
	t := v.on(CheckCheckpoint)
	i, there := slices.BinarySearchFunc(v.notes, v.doc.Checkpoint, func(f named[uint64], n uint64) int { return cmpUint(f.id, n) })
	if !there {
		t.fail(notePath(v.doc.Checkpoint), "is missing", "")
		return
	}
	b, err := readFile(v.notes[i].file)
	if err != nil {
		v.on(CheckContents).fail(v.notes[i].file.Name, "is damaged", "")
		return
	}
	var members []note.Verifier
	for _, m := range f.members {
		keys := v.ring.verifiers(m, UseWitness)
		if len(keys) != 1 {
			t.skip(1)
			v.say(CheckCheckpoint, "There is not one key by which %s cosigns for %s, so its checkpoint was not checked.", m, v.council)
			return
		}
		members = append(members, keys[0].v)
	}
	cp, by, err := tlog.VerifyMajority(b, v.council.Origin(), members...)
	if err != nil || cp.Size != v.doc.Checkpoint {
		t.fail(v.notes[i].file.Name, "is not cosigned by more than half of the members of "+string(v.council)+", or is no checkpoint of it", "")
		return
	}
	v.main, v.roots[cp.Size] = cp, cp.Root
	t.pass(1)
	from := "the directory that you trust"
	if !f.given {
		from = "this file alone"
	}
	v.say(CheckCheckpoint, "Of the %d members of %s %d cosigned that its log had %s with root %s; who these are, %s says.",
		len(f.members), v.council, len(by), count(int(cp.Size), "entry"), cp.Root, from)
}

// readSealers finds which record keys of the council signed the checkpoint that
// everything is proved under. By such a signature the council says all that stands
// below it; the log key alone says where it stands.
func (v *verifier) readSealers(place string, signed []byte) {
	t, of := v.on(CheckCheckpoint), keys.CheckpointKeyName(v.council)
	known, bad := v.ring.recordKeys(v.council), false
	for _, p := range known {
		k := p.CheckpointVerifier(v.council)
		n, err := note.Open(signed, note.VerifierList(k))
		var unverified *note.UnverifiedNoteError
		switch {
		case errors.As(err, &unverified): // another key's, or none
		case err != nil:
			bad = true
		case tlog.SignedBy(n, k):
			v.sealers = append(v.sealers, p.ID())
			v.used[Key{v.council, UseRecord, p.ID()}] = true
		}
	}
	switch {
	case bad:
		v.sealers = nil
		t.fail(place, "bears a signature in the name of a record key of "+string(v.council)+" that the key did not make", "")
	case len(v.sealers) > 0:
		t.pass(1)
		v.say(CheckCheckpoint, "%s signed the same with its record key, and so each entry.", v.council)
	case len(known) == 0 && bytes.Contains(signed, []byte("\u2014 "+of+" ")):
		t.skip(1)
		v.say(CheckCheckpoint, "The record key of %s that signed it, too, is not here.", v.council)
	default:
		t.fail(place, "is not signed with a record key of "+string(v.council), "")
	}
}

// said decides whether the council said the entry at an index of its log by the
// signature under the main checkpoint. The rule is "" when it did, and then done says
// whether it could be told.
func (v *verifier) said(index uint64) (rule string, done bool) {
	if v.main.Origin == "" || len(v.sealers) == 0 {
		return "", false // the checkpoint says why
	}
	for _, kid := range v.sealers {
		if _, rule = v.ring.record(v.council, kid, index); rule == "" {
			return "", true
		}
	}
	return rule, true
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (v *verifier) leadsToMain(cp tlog.Checkpoint) bool {
	t, place := v.on(CheckHistory), notePath(cp.Size)
	if cp.Size > v.main.Size {
		t.fail(place, "is larger than the checkpoint the bundle says is its newest", "")
		return false
	}
	f := v.histories[cp.Size]
	if f == nil {
		t.fail(historyPath(cp.Size), "is missing", "")
		return false
	}
	b, err := readFile(f)
	if err != nil {
		v.on(CheckContents).fail(f.Name, "is damaged", "")
		return false
	}
	path, err := tlog.SplitHashes(b)
	if err == nil {
		err = tlog.VerifyConsistency(cp.Size, cp.Root, v.main.Size, v.main.Root, path)
	}
	if err != nil {
		t.fail(place, "is signed by the log, but is not shown to be an earlier state of it: the log may have told two stories", "")
		return false
	}
	t.pass(1)
	return true
}

func (v *verifier) sayHistory() {
	switch t := v.on(CheckHistory); {
	case v.main.Origin == "":
		v.say(CheckHistory, "Without a main checkpoint that holds there is nothing to compare others with.")
	case len(v.roots) < 2 && t.failed == 0 && v.sameRoot == 0:
		v.say(CheckHistory, "There is one checkpoint, so there is no other to compare it with. That the log tells everybody the same story "+
			"is seen only by comparing this checkpoint with one that somebody else holds.")
	default:
		v.say(CheckHistory, "%s shown to be earlier in the same log.", was(max(0, len(v.roots)-1), "checkpoint"))
	}
	if v.lostRoots > 0 {
		v.say(CheckHistory, "%s the root of a part of the log that was lost.", names(v.lostRoots))
	}
	if v.sameRoot > 0 {
		v.say(CheckHistory, "The root of the log that receivers saw is the one here, in the %s that can be compared.", count(v.sameRoot, "receipt"))
	}
}

// readWitnesses verifies the cosignatures on a checkpoint known to be the log's.
func (v *verifier) readWitnesses(size uint64, signed []byte) {
	t := v.on(CheckWitnesses)
	_, sigs, _ := bytes.Cut(signed, []byte("\n\n"))
	log := v.ring.verifiers(v.council, UseLog)
	// Lines: the log's own, and those of record keys.
	known := 1 + bytes.Count(sigs, []byte("\u2014 "+keys.CheckpointKeyName(v.council)+" "))
	for _, w := range v.ring.councils(UseWitness) {
		// A council that cosigns its own log bears witness to nothing.
		if w == v.council || !bytes.Contains(sigs, []byte("\u2014 "+string(w)+" ")) {
			continue
		}
		known++
		found := false
		for _, k := range v.ring.verifiers(w, UseWitness) {
			for _, l := range log {
				_, n, err := tlog.OpenCheckpoint(signed, v.council.Origin(), l.v, k.v)
				if err != nil {
					continue
				}
				for _, c := range tlog.Cosignatures(n, k.v) {
					v.witnessed = append(v.witnessed, Witnessed{w, size, c.Time})
					v.used[k.Key] = true
					found = true
				}
			}
		}
		if !found {
			t.fail(notePath(size), "the signature of witness "+string(w)+" does not verify", "")
		} else {
			t.pass(1)
		}
	}
	if unknown := bytes.Count(sigs, []byte("\n")) - known; unknown > 0 {
		t.skip(unknown)
	}
}

func (v *verifier) sayWitnesses() {
	t := v.on(CheckWitnesses)
	newest := map[name.Council]Witnessed{}
	for _, w := range v.witnessed {
		if old, ok := newest[w.Witness]; !ok || w.Size > old.Size {
			newest[w.Witness] = w
		}
	}
	for _, c := range slices.Sorted(maps.Keys(newest)) {
		w := newest[c]
		v.say(CheckWitnesses, "%s cosigned the log at %s on %s, by its own clock.", c, count(int(w.Size), "entry"), w.Time.UTC().Format("2 January 2006 15:04:05 MST"))
	}
	if len(newest) == 0 {
		v.say(CheckWitnesses, "Nobody else has cosigned a checkpoint that is here. That the log was not rewritten, and when its entries were made, is the word of %s alone.", v.council)
	}
	if t.undone > 0 {
		v.say(CheckWitnesses, "%s by keys that are not here.", count(t.undone, "signature"))
	}
}

// readStandards loads the standards, the auditor's own before the bundle's.
func (v *verifier) readStandards(given []*standard.Standard) {
	v.standards = map[name.Standard]*known{}
	for _, s := range given {
		v.standards[s.Name()] = &known{std: s, given: true}
	}
	t := v.on(CheckStandards)
	for _, f := range v.contents.standards {
		b, err := readFile(f.file)
		if err != nil {
			v.on(CheckContents).fail(f.file.Name, "is damaged", "")
			continue
		}
		s, err := standard.LoadArchive(b)
		if err != nil || s.Name() != f.id {
			t.fail(f.file.Name, "is no archive of that standard", "")
			continue
		}
		if k := v.standards[f.id]; k != nil {
			if k.std.Integrity() != s.Integrity() {
				t.fail(f.file.Name, "has another schema than the standard you gave", "")
			}
			continue
		}
		v.standards[f.id] = &known{std: s}
	}
}

// readEntries verifies the chunks, several at once, and joins what they say in
// the order of the log.
func (v *verifier) readEntries() {
	results := make([]*chunk, len(v.chunks))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(v.parallel, len(v.chunks)) {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(v.chunks) {
					return
				}
				results[n] = v.readChunk(n)
			}
		})
	}
	wg.Wait()
	var end uint64 // one past the last index
	for n, c := range results {
		if c.any && c.first < end {
			v.on(CheckContents).fail(chunkPath(n), "does not come after the chunk before it", "")
		}
		end = max(end, c.last+1)
		v.merge(c.sheet)
		maps.Copy(v.used, c.used)
		v.records = append(v.records, c.records...)
		v.events = append(v.events, c.events...)
		v.counts.Entries += c.entries
		v.counts.Disclosed += c.disclosed
		v.counts.Withheld += c.withheld
	}
	// Out of order is a failure already; what follows needs the order.
	slices.SortStableFunc(v.records, func(a, b fact) int { return cmpUint(a.index, b.index) })
	slices.SortStableFunc(v.events, func(a, b claimed) int { return cmpUint(a.index, b.index) })
	v.counts.Records = len(v.records)
}

// judgeContents compares what is here with what bundle.json says.
func (v *verifier) judgeContents() {
	t := v.on(CheckContents)
	have := Sizes{Agreements: len(v.contents.agreements), Checkpoints: len(v.notes), Entries: v.counts.Entries,
		Events: v.counts.Events, Members: len(v.contents.members), Standards: len(v.contents.standards), Gone: v.doc.Sizes.Gone}
	if n := len(v.lines); n != have.Gone {
		t.fail(documentPath, fmt.Sprintf("says %d gone, and there are %d", have.Gone, n), "")
	}
	stated := v.doc.Sizes.fields()
	for i, f := range have.fields() {
		if *f.n != *stated[i].n {
			t.fail(documentPath, fmt.Sprintf("says %d %s, and there are %d", *stated[i].n, f.key, *f.n), "")
		} else {
			t.pass(1)
		}
	}
	v.judgeCovers(t)
	v.counts.Events += len(v.events)
	v.say(CheckContents, "The file holds %s of the log of %s (%s, %s), and %s by others.",
		count(v.counts.Entries, "entry"), v.council, count(len(v.records), "record"), count(len(v.events), "event"), count(have.Events, "event"))
}

// judgeCovers compares the records that are here with what bundle.json says they
// were chosen by. What an agreement covers is for judgeSharing.
func (v *verifier) judgeCovers(t *tally) {
	here := make(map[[16]byte]bool, len(v.covers.Records))
	for i := range v.records {
		r := &v.records[i]
		here[r.record] = true
		if v.covers.Standard != "" && v.covers.Agreement == "" && r.standard.Name != v.covers.Standard {
			t.failEntry(r.index, "is of another standard than the file says it covers", "")
		}
	}
	missing := 0
	for _, id := range v.covers.Records {
		if !here[id.Bytes()] {
			missing++
		}
	}
	if missing > 0 {
		t.skip(missing)
		v.say(CheckContents, "Of the records that it says it covers, %s not in it.", was(missing, "record"))
	}
}

func (v *verifier) report() *Report {
	v.sayHistory()
	v.sayWitnesses()
	r := &Report{Kind: "bundle", Council: v.council, Holder: v.holder, Created: v.doc.Created, Covers: v.covers, Counts: v.counts,
		Keys: v.ring.account(v.sheet, v.used), Witnesses: v.witnessed, Commitments: slices.SortedFunc(slices.Values(v.commits), func(a, b api.AuditedCheckpoint) int { return cmp.Compare(a.Entry, b.Entry) })}
	r.Subject = fmt.Sprintf("Audit bundle of %s, made %s. It says it holds: %s.", v.council, v.doc.Created.Format("2 January 2006 15:04 MST"), v.covers)
	if v.holder != "" {
		r.Subject = fmt.Sprintf("Audit bundle by %s of what it holds from %s, made %s. It says it holds: %s.", v.holder, v.council, v.doc.Created.Format("2 January 2006 15:04 MST"), v.covers.held())
	}
	if v.main.Origin != "" {
		r.LogSize, r.LogRoot = v.main.Size, v.main.Root.String()
	}
	r.Checks, r.Result = v.checks()
	return r
}

// skew is how far the clocks of two honest councils may differ.
const skew = 5 * time.Minute
