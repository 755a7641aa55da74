package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A tale is a log of another council, as it may be told in more ways than one.
type tale struct {
	t     testing.TB
	tree  *tlog.Tree
	tiles map[[2]uint64][]byte
	heads []tlog.Hash // root by size
	sign  note.Signer
}

// Tile implements tlog.TileReader.
func (x *tale) Tile(level int, index uint64, width int) ([]byte, error) {
	b := x.tiles[[2]uint64{uint64(level), index}]
	if len(b) < 32*width {
		return nil, fmt.Errorf("tile %d/%d has %d bytes", level, index, len(b))
	}
	return b[:32*width], nil
}

// tell returns a log of n entries of which the first same are those of every tale.
func tell(t testing.TB, r *keys.Ring, how byte, same, n int) *tale {
	x := &tale{t: t, tree: new(tlog.Tree), tiles: map[[2]uint64][]byte{}, heads: []tlog.Hash{tlog.EmptyRoot()}, sign: r.Log.Signer()}
	for i := range n {
		e := tlog.Hash{0: 1, 30: byte(i >> 8), 31: byte(i)}
		if i >= same {
			e[0] = how
		}
		for _, tile := range x.tree.Append([]tlog.Hash{e}) {
			x.tiles[[2]uint64{uint64(tile.Level), tile.Index}] = tile.Data
		}
		x.heads = append(x.heads, x.tree.Root())
	}
	return x
}

func (x *tale) met(size int) ledger.Met {
	cp := tlog.Checkpoint{Origin: council.Origin(), Size: uint64(size), Root: x.heads[size]}
	signed, err := tlog.SignCheckpoint(cp, x.sign)
	if err != nil {
		x.t.Fatal(err)
	}
	return ledger.Met{Log: council, Checkpoint: cp, Note: signed, MetWith: "a test", Cosign: true}
}

// proved is met with the proof from another size.
func (x *tale) proved(from, size int) ledger.Met {
	m := x.met(size)
	proof, err := x.prove(context.Background(), uint64(from), uint64(size))
	if err != nil {
		x.t.Fatal(err)
	}
	m.ProofFrom, m.Proof = uint64(from), proof
	return m
}

func (x *tale) prove(_ context.Context, first, second uint64) ([]tlog.Hash, error) {
	if second > x.tree.Size() {
		return nil, ledger.ErrShorter
	}
	return tlog.Consistency(x, first, second)
}

// TestMeet: what is met next after 20 entries are known of a log, and what comes of it.
func TestMeet(t *testing.T) {
	ring, err := keys.Generate(council)
	if err != nil {
		t.Fatal(err)
	}
	honest, other := tell(t, ring, 1, 50, 50), tell(t, ring, 2, 10, 50)
	short := tell(t, ring, 1, 15, 15)
	unreachable := errors.New("the road is closed")
	broken := honest.proved(20, 30)
	broken.Proof = append(broken.Proof, tlog.Hash{})
	shared := func(m ledger.Met) ledger.Met { m.Shared = true; return m }
	for _, c := range []struct {
		what  string
		met   ledger.Met
		prove ledger.Prover
		err   error  // nil: it may be believed
		fault string // of the quarantine that begins
		size  uint64 // known afterwards
	}{
		{"the same again", honest.met(20), nil, nil, "", 20},
		{"an extension, proved", honest.proved(20, 30), nil, nil, "", 30},
		{"an extension, proved from elsewhere, and asked for", honest.proved(12, 30), honest.prove, nil, "", 30},
		{"an extension, proved from elsewhere, and nobody to ask", honest.proved(12, 30), nil, ledger.ErrUnplaced, "", 20},
		{"an extension without proof, which cannot be asked for", honest.met(30), func(context.Context, uint64, uint64) ([]tlog.Hash, error) { return nil, unreachable }, unreachable, "", 20},
		{"an older one of the same history", honest.met(7), honest.prove, nil, "", 20},
		{"the empty log", honest.met(0), nil, nil, "", 20},
		{"an older one, not placed", honest.met(7), nil, ledger.ErrUnplaced, "", 20},
		{"another root at the same size", other.met(20), honest.prove, ledger.ErrQuarantined, event.FaultFork, 20},
		{"another history, larger, with its own proof", other.proved(20, 30), nil, ledger.ErrQuarantined, event.FaultUnproved, 20},
		{"another history, larger, asked for", other.met(30), other.prove, ledger.ErrQuarantined, event.FaultUnproved, 20},
		{"another history, smaller, asked for", other.met(15), other.prove, ledger.ErrQuarantined, event.FaultUnproved, 20},
		{"a proof that does not hold", broken, honest.prove, ledger.ErrQuarantined, event.FaultUnproved, 20},
		{"an older one, and it says that its log is shorter", short.met(15), short.prove, ledger.ErrQuarantined, event.FaultRollback, 20},
		{"no proof in an answer", honest.met(30), func(context.Context, uint64, uint64) ([]tlog.Hash, error) { return nil, ledger.ErrUnproved }, ledger.ErrQuarantined, event.FaultUnproved, 20},
		{"of a footprint, a member's proof that does not hold", shared(broken), honest.prove, ledger.ErrUnproved, "", 20},
		{"of a footprint, a member that is behind", shared(short.met(15)), short.prove, ledger.ErrShorter, "", 20},
		{"of a footprint, another root at the same size", shared(other.met(20)), nil, ledger.ErrQuarantined, event.FaultFork, 20},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := receiver(t, t.TempDir())
			if err := l.Meet(t.Context(), honest.met(12), nil); err != nil {
				t.Fatal(err)
			}
			if err := l.Meet(t.Context(), honest.proved(12, 20), nil); err != nil {
				t.Fatal(err)
			}
			err := l.Meet(t.Context(), c.met, c.prove)
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Errorf("%v, want %v", err, c.err)
			}
			k := l.Known(council)
			if k.Size != c.size || k.Root != honest.heads[c.size] || k.CosignedSize != c.size || k.CosignedRoot != k.Root {
				t.Errorf("known %d, cosigned %d, want %d of the honest history", k.Size, k.CosignedSize, c.size)
			}
			fault := ""
			if q := k.Quarantine; q != nil {
				if fault = q.Fault; string(q.Held) != string(honest.met(20).Note) || string(q.Told) != string(c.met.Note) {
					t.Errorf("the heads that are kept are not those that were met")
				}
			}
			if fault != c.fault {
				t.Errorf("fault %q, want %q", fault, c.fault)
			}
			if m := c.met.Checkpoint; k.MayCosign(m) != (err == nil && m.Size == c.size) {
				t.Errorf("may be cosigned: %v", k.MayCosign(m))
			}
		})
	}
}

// TestQuarantineLasts: it stands after a restart, nothing is kept or disclosed while
// it does, and a person ends it, which our log says.
func TestQuarantineLasts(t *testing.T) {
	ring, err := keys.Generate(council)
	if err != nil {
		t.Fatal(err)
	}
	honest, other := tell(t, ring, 1, 50, 50), tell(t, ring, 2, 10, 50)
	dir := t.TempDir()
	own, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *ledger.Ledger {
		l, err := ledger.Open(ledger.Options{Dir: dir, Council: saltby, Keys: own, MinFree: 1, Memory: small})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	if err := l.Meet(t.Context(), honest.met(20), nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Meet(t.Context(), other.met(20), nil); !errors.Is(err, ledger.ErrQuarantined) {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = open()
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := l.Allowed(council); !errors.Is(err, ledger.ErrQuarantined) || !strings.Contains(err.Error(), "two histories") {
		t.Errorf("after a restart: %v", err)
	}
	// Not even what is of the honest history.
	if err := l.Meet(t.Context(), honest.proved(20, 30), honest.prove); !errors.Is(err, ledger.ErrQuarantined) {
		t.Errorf("met while it lasts: %v", err)
	}
	s, err := l.OpenSource(t.Context(), council, "northmoor.gov.uk/items")
	if err != nil {
		t.Fatal(err)
	}
	d := &ledger.Delivery{Checkpoint: honest.met(20).Checkpoint, Cursor: 20}
	if _, err := l.Receive(t.Context(), s, d); !errors.Is(err, ledger.ErrQuarantined) {
		t.Errorf("kept while it lasts: %v", err)
	}
	if err := l.EndQuarantine(t.Context(), council, event.FollowHeld, "they found the old disk"); err != nil {
		t.Fatal(err)
	}
	if err := l.EndQuarantine(t.Context(), council, event.FollowHeld, "again"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	if err := l.Meet(t.Context(), honest.proved(20, 30), nil); err != nil || l.Known(council).Size != 30 {
		t.Errorf("after it: %v", err)
	}
	q := l.Known(council).Ended[0]
	err = l.View(func(v *ledger.View) error {
		for i, kind := range map[uint64]string{q.Entry: event.KindQuarantine, q.EndEntry: event.KindQuarantineEnded} {
			ev, _, err := v.Event(i)
			if err != nil {
				return err
			}
			if ev.Kind != kind || ev.Body["council"] != string(council) || ev.Body["told_root"] != other.heads[20].String() {
				t.Errorf("entry %d: %s %v", i, ev.Kind, ev.Body)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	// A liar again, and this time the log begins anew: what was cosigned stays so, and
	// the log is cosigned no more.
	if err := l.Meet(t.Context(), other.proved(30, 40), nil); !errors.Is(err, ledger.ErrQuarantined) {
		t.Fatal(err)
	}
	if err := l.EndQuarantine(t.Context(), council, event.FollowTold, "restored"); err != nil {
		t.Fatal(err)
	}
	if err := l.Meet(t.Context(), other.met(40), nil); err != nil {
		t.Fatal(err)
	}
	if k := l.Known(council); k.Size != 40 || k.CosignedSize != 30 || k.MayCosign(other.met(40).Checkpoint) || len(k.Ended) != 2 {
		t.Errorf("%+v", k)
	}
}

// TestAccusation: what another council says against our log is kept, and goes when
// it is taken back.
func TestAccusation(t *testing.T) {
	l := receiver(t, t.TempDir())
	by := name.Council("hexwell.gov.uk")
	if err := l.Accused(t.Context(), by, &ledger.Accusation{Reason: "two histories", Proven: true}); err != nil {
		t.Fatal(err)
	}
	if a := l.Known(by).Accusation; a == nil || !a.Proven || a.Since.IsZero() {
		t.Errorf("%+v", a)
	}
	if l.Allowed(by) != nil {
		t.Error("who accuses us is in quarantine")
	}
	if err := l.Accused(t.Context(), by, nil); err != nil || l.Known(by).Accusation != nil {
		t.Errorf("taken back: %v", err)
	}
}
