package footprint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"context"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A cosignature is what one member says of the tree at one size.
type cosignature struct {
	Size uint64    `json:"size"`
	Root tlog.Hash `json:"root"`
	Line string    `json:"line"` // cosignature/v1, newline included
}

func parseCosignature(b []byte) (c cosignature, err error) {
	if len(b) > 4096 {
		return c, errors.New("not a cosignature")
	}
	if err := decodeStrict(b, &c); err != nil {
		return c, err
	}
	if c.Size > tlog.MaxSize || len(c.Line) > 2048 {
		return c, errors.New("not a cosignature")
	}
	return c, nil
}

// cosigned holds what members have cosigned.
type cosigned struct {
	mu sync.Mutex // guards what follows
	// last is the largest tree this member has cosigned, as it is on disk: what
	// it has once cosigned, it cosigns nothing against.
	last struct {
		Size uint64    `json:"size"`
		Root tlog.Hash `json:"root"`
	}
	own *cosignature // of last, when it was made since the start
	// latest is the last that each council cosigned, since the start.
	latest map[name.Council]cosignature
	lines  map[uint64]map[name.Council]cosignature
	// newest is the newest checkpoint that counts.
	newest tlog.Checkpoint
	signed []byte
}

// keepSizes is how many sizes' cosignatures are held while they gather.
const keepSizes = 64

func (c *cosigned) load(f *folder) error {
	c.lines, c.latest = map[uint64]map[name.Council]cosignature{}, map[name.Council]cosignature{}
	if err := f.readJSON("cosigned.json", &c.last); err != nil {
		return err
	}
	signed, err := os.ReadFile(filepath.Join(f.dir, "checkpoint"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.newest, err = tlog.ParseUnsigned(signed, f.id.Footprint.Origin())
	c.signed = signed
	return err
}

func (c *cosigned) best() (tlog.Checkpoint, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest, c.signed
}

// cosign cosigns the tree at each mark and sends the cosignature to the other
// members.
func (f *Footprint) cosign() {
	// Members that were away hear of the last one when they are back.
	tick := time.NewTicker(20 * f.o.MarkEvery)
	defer tick.Stop()
	look := time.NewTicker(2 * f.o.MarkEvery)
	defer look.Stop()
	lacked := uint64(0)
	for {
		again := false
		select {
		case <-f.ctx.Done():
			return
		case <-f.marks:
		case <-tick.C:
			again = true
		case <-look.C:
			lacked = f.fetchCheckpoint(lacked)
			continue
		}
		c, err := f.cosignMarked()
		if err != nil {
			f.o.Log.Error("this member does not cosign", "footprint", f.o.Name, "because", err.Error())
			continue
		}
		if again {
			f.cosigned.mu.Lock()
			if own := f.cosigned.own; own != nil && f.cosigned.newest.Size < own.Size {
				c = own
			}
			f.cosigned.mu.Unlock()
		}
		if c != nil {
			f.spread(*c)
		}
	}
}

// cosignMarked cosigns the tree at the last mark, unless that was done. The
// tree must extend everything this member ever cosigned: the file that says so
// is written before the signature leaves.
func (f *Footprint) cosignMarked() (*cosignature, error) {
	k := &f.cosigned
	s := f.fsm.state.Load()
	if s.members[f.o.Self] == nil || s.Marked == 0 {
		return nil, nil
	}
	k.mu.Lock()
	last := k.last
	k.mu.Unlock()
	if s.Marked < last.Size || s.Marked == last.Size && k.hasOwn() {
		return nil, nil
	}
	cp := tlog.Checkpoint{Origin: f.o.Name.Origin(), Size: s.Marked}
	err := f.fsm.view(func(v *ledger.ReplicaView) error {
		was, err := rootAt(v, last.Size)
		if err != nil {
			return err
		}
		if last.Size > 0 && was != last.Root {
			return fmt.Errorf("%w: its ledger is not the one it cosigned at size %d", ledger.ErrDamaged, last.Size)
		}
		cp.Root, err = rootAt(v, cp.Size)
		return err
	})
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.last.Size, k.last.Root = cp.Size, cp.Root
	err = f.folder.writeJSON("cosigned.json", k.last)
	k.mu.Unlock()
	if err != nil {
		return nil, err
	}
	line, _, err := tlog.Cosign(cp, f.o.Keys.Log.Cosigner())
	if err != nil {
		return nil, err
	}
	c := cosignature{cp.Size, cp.Root, string(line)}
	k.mu.Lock()
	k.own = &c
	k.mu.Unlock()
	return &c, f.addCosignature(f.o.Self, c)
}

// fetchCheckpoint asks the other members for the newest checkpoint that counts when
// this one lacks it for longer than cosignatures need to come: it was away while the
// others sent theirs, and they send none again until the log goes on. lacked is what the
// look before returned.
func (f *Footprint) fetchCheckpoint(lacked uint64) uint64 {
	k := &f.cosigned
	k.mu.Lock()
	own, newest := k.last.Size, k.newest.Size
	k.mu.Unlock()
	if newest >= own {
		return 0
	}
	if lacked == own {
		f.wg.Go(func() { f.askCheckpoints(own) })
	}
	return own
}

// askCheckpoints asks member after member until one has a checkpoint of a size at least.
func (f *Footprint) askCheckpoints(size uint64) {
	if !f.fetching.CompareAndSwap(false, true) {
		return
	}
	defer f.fetching.Store(false)
	for _, c := range f.fsm.state.Load().councils() {
		if c == f.o.Self {
			continue
		}
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		signed, err := f.ask(ctx, c, askCheckpoint, nil)
		cancel()
		if err == nil && len(signed) > 0 {
			err = f.addCheckpoint(signed)
		}
		if err != nil {
			f.o.Log.Debug("no checkpoint from a member", "footprint", f.o.Name, "member", c, "because", err.Error())
		}
		if cp, _ := f.cosigned.best(); cp.Size >= size {
			return
		}
	}
}

// addCheckpoint keeps a checkpoint that a majority of the members has cosigned, whoever
// sent it, when it is newer than what is known and of the tree that this member holds.
func (f *Footprint) addCheckpoint(signed []byte) error {
	cp, err := tlog.ParseUnsigned(signed, f.o.Name.Origin())
	if err != nil {
		return err
	}
	s := f.fsm.state.Load()
	if _, _, err := tlog.OpenCosigned(signed, cp.Origin, s.majority(), s.witnesses()...); err != nil {
		return err
	}
	if cp.Size > f.Size() {
		return nil // not applied yet
	}
	if c, ok := f.cover(s, cp.Size, signed); !ok || c.Root != cp.Root {
		return errors.New("this member holds another tree at that size")
	}
	k := &f.cosigned
	k.mu.Lock()
	defer k.mu.Unlock()
	if cp.Size <= k.newest.Size {
		return nil
	}
	return f.keepCheckpoint(cp, signed)
}

// keepCheckpoint makes a checkpoint the newest that counts. k.mu is held.
func (f *Footprint) keepCheckpoint(cp tlog.Checkpoint, signed []byte) error {
	k := &f.cosigned
	if err := writeFile(filepath.Join(f.o.Dir, "checkpoint"), signed); err != nil {
		return err
	}
	k.newest, k.signed = cp, signed
	for old := range k.lines {
		if old < cp.Size {
			delete(k.lines, old)
		}
	}
	return nil
}

func (c *cosigned) hasOwn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own != nil && c.own.Size == c.last.Size
}

func (f *Footprint) spread(c cosignature) {
	b, err := json.Marshal(c)
	if err != nil {
		return
	}
	for _, to := range f.fsm.state.Load().councils() {
		if to == f.o.Self {
			continue
		}
		f.wg.Go(func() {
			ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
			defer cancel()
			if _, err := f.ask(ctx, to, askCosign, b); err != nil {
				f.o.Log.Debug("cosignature not delivered", "footprint", f.o.Name, "to", to, "because", err.Error())
			}
		})
	}
}

// addCosignature keeps what a member cosigned, and the checkpoint once a
// majority has. A member whose cosignature holds and is of another tree than
// ours at that size has signed two histories, or we hold another: it is kept
// as evidence either way.
func (f *Footprint) addCosignature(from name.Council, c cosignature) error {
	s := f.fsm.state.Load()
	m := s.members[from]
	if m == nil {
		return errors.New(RuleMember)
	}
	cp := tlog.Checkpoint{Origin: f.o.Name.Origin(), Size: c.Size, Root: c.Root}
	signed, err := tlog.Assemble(cp, []byte(c.Line))
	if err == nil {
		_, _, err = tlog.OpenCosigned(signed, cp.Origin, 1, m.witness)
	}
	if err != nil {
		f.keepEvidence(Evidence{Council: from, At: f.o.Now().Unix(), What: "sent a cosignature that does not verify"})
		return errors.New("the cosignature does not verify")
	}
	root := c.Root
	err = f.fsm.view(func(v *ledger.ReplicaView) (err error) {
		if c.Size <= v.Checkpoint().Size {
			root, err = rootAt(v, c.Size)
		}
		return err
	})
	if err != nil {
		return err
	}
	if root != c.Root {
		own, err := tlog.Assemble(tlog.Checkpoint{Origin: cp.Origin, Size: c.Size, Root: root})
		if err != nil {
			return err
		}
		f.keepEvidence(Evidence{
			Council: from, At: f.o.Now().Unix(), Signed: []string{string(signed), string(own)},
			What: fmt.Sprintf("cosigned another tree than this member holds, at size %d", c.Size),
		})
		return errors.New("this member holds another tree at that size")
	}
	k := &f.cosigned
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.Size >= k.latest[from].Size {
		k.latest[from] = c
	}
	if c.Size < k.newest.Size {
		return nil
	}
	if k.lines[c.Size] == nil {
		k.lines[c.Size] = map[name.Council]cosignature{}
	}
	if had, ok := k.lines[c.Size][from]; ok && had.Root != c.Root {
		a, err := tlog.Assemble(tlog.Checkpoint{Origin: cp.Origin, Size: c.Size, Root: had.Root}, []byte(had.Line))
		if err == nil {
			f.keepEvidence(Evidence{
				Council: from, At: f.o.Now().Unix(), Signed: []string{string(a), string(signed)},
				What: fmt.Sprintf("cosigned two trees of size %d", c.Size),
			})
		}
		return errors.New("you cosigned another tree of that size before")
	}
	k.lines[c.Size][from] = c
	for len(k.lines) > keepSizes {
		oldest := c.Size
		for size := range k.lines {
			oldest = min(oldest, size)
		}
		delete(k.lines, oldest)
	}
	return f.count(s, c.Size, c.Root)
}

// count looks whether a majority has cosigned one tree. k.mu is held. A tree that this
// member has not applied yet waits: who reads here up to that checkpoint would take
// what is missing for nothing. It is counted when this member cosigns it, too.
func (f *Footprint) count(s *state, size uint64, root tlog.Hash) error {
	if size > f.Size() {
		return nil
	}
	k := &f.cosigned
	var lines []byte
	n := 0
	for _, m := range s.councils() {
		if c, ok := k.lines[size][m]; ok && c.Root == root {
			lines = append(lines, c.Line...)
			n++
		}
	}
	if n < s.majority() {
		return nil
	}
	cp := tlog.Checkpoint{Origin: f.o.Name.Origin(), Size: size, Root: root}
	signed, err := tlog.Assemble(cp, lines)
	if err != nil {
		return err
	}
	// The members' keys are those of now: one that changed its key since does
	// not count until it cosigns anew.
	if _, _, err := tlog.OpenCosigned(signed, cp.Origin, s.majority(), s.witnesses()...); err != nil {
		return nil
	}
	if bytes.Equal(signed, k.signed) {
		return nil
	}
	return f.keepCheckpoint(cp, signed)
}

// Checkpoint returns the newest checkpoint that counts: the tree, and the note
// that a majority of the members cosigned. The note is nil before there is one.
// After a restart it may be ahead of Size until the replicated log is applied again.
// It verifies with VerifyCheckpoint, or tlog.OpenCosigned alone.
func (f *Footprint) Checkpoint() (tlog.Checkpoint, []byte) { return f.cosigned.best() }

// Witnesses returns the verifiers of the members' cosignatures, sorted by
// council.
func (f *Footprint) Witnesses() []note.Verifier { return f.fsm.state.Load().witnesses() }

// maxEvidence is how many lines of evidence are kept on disk, the oldest: the
// first proof of a member's fault is worth more than its hundredth.
const maxEvidence = 1000

// keepEvidence writes evidence down, unless the same was seen before.
func (f *Footprint) keepEvidence(e Evidence) {
	f.o.Log.Warn("a member did what no honest member does", "footprint", f.o.Name, "member", e.Council, "what", e.What)
	f.folder.mu.Lock()
	defer f.folder.mu.Unlock()
	old, err := f.folder.evidence()
	if err != nil || len(old) >= maxEvidence || slices.ContainsFunc(old, func(o Evidence) bool {
		return o.Council == e.Council && o.What == e.What && slices.Equal(o.Signed, e.Signed)
	}) {
		return
	}
	if err := f.folder.appendEvidence(e); err != nil {
		f.o.Log.Error("evidence not kept", "footprint", f.o.Name, "error", err.Error())
	}
}

func (f *folder) evidence() (out []Evidence, err error) {
	b, err := os.ReadFile(filepath.Join(f.dir, "evidence.ndjson"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(b) {
		var e Evidence
		if json.Unmarshal(line, &e) == nil { // a crash may have cut the last
			out = append(out, e)
		}
	}
	return out, err
}

func (f *folder) appendEvidence(e Evidence) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(f.dir, "evidence.ndjson"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(b, '\n'))
	return errors.Join(err, file.Sync(), file.Close())
}

// Evidence returns what members signed that no honest member signs: what this
// member saw, and what every member found when it applied the log.
func (f *Footprint) Evidence() ([]Evidence, error) {
	f.folder.mu.Lock()
	out, err := f.folder.evidence()
	f.folder.mu.Unlock()
	if err != nil {
		return nil, err
	}
	err = f.fsm.view(func(v *ledger.ReplicaView) error {
		return v.Walk("v", func(_ string, value []byte) bool {
			var e Evidence
			if json.Unmarshal(value, &e) == nil {
				out = append(out, e)
			}
			return true
		})
	})
	return out, err
}
