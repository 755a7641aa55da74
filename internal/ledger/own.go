package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrUnsure: it is not known whether the log that stands here is the newest that our
// key has signed, since the folder is not the one that this node wrote last. Nothing
// is signed until those who know our log have been asked. See docs/quarantine.md.
var ErrUnsure = errors.New("it is not known yet whether this log is the newest we have signed")

// A Newer is a checkpoint that our log key signed and that is not of the log which
// stands here: this folder is an old copy, or our key is used elsewhere.
type Newer struct {
	By   name.Council `json:"by"` // who holds it
	Size uint64       `json:"size"`
	Root tlog.Hash    `json:"root"`
	Note []byte       `json:"note"` // signed; empty where it is only By's word: see HeardSize
	At   time.Time    `json:"at"`   // when it was shown
	// Fork: it is of a size that our log has reached, and has another root.
	Fork bool `json:"fork,omitempty"`
}

// own is what is known of our own log beside the log itself. What is in it is on disk.
type own struct {
	Newer []Newer `json:"newer,omitempty"` // one for each council, by name
	// Agreed are those that let go of what they held: they agree that our log begins
	// anew. A person has to say so, too; see [Ledger.Continue].
	Agreed []Newer `json:"agreed,omitempty"`
	// Passed are strangers, such as witnesses over HTTP, that a person passed over when our log
	// went on. They are not asked any more.
	Passed []name.Council `json:"passed,omitempty"`
	// Elsewhere are those through whom another process vouched, with our log key, that it
	// knows of this one.
	Elsewhere []Elsewhere `json:"elsewhere,omitempty"`
}

var keyOwn = []byte("1")

// A Halt says why nothing is signed. It is immutable.
type Halt struct {
	Size    uint64         // entries of the log that stands here
	Waiting []name.Council // have not answered what they know of our log
	Newer   []Newer
	Agreed  []Newer
	// Elsewhere are those who heard another process with our key while this one ran.
	Elsewhere []Elsewhere
	// Tree says which part of the tree of hashes cannot be read, so that not everything can be proved; "" for none.
	Tree string
}

// Behind reports whether others hold, or held, what is not in our log.
func (h *Halt) Behind() bool { return len(h.Newer)+len(h.Agreed) > 0 }

// Newest returns the newest checkpoint that others hold, or held.
func (h *Halt) Newest() (n Newer) {
	for _, x := range slices.Concat(h.Newer, h.Agreed) {
		if x.Size > n.Size || n.By == "" {
			n = x
		}
	}
	return n
}

// Reason says in a sentence why nothing is signed.
func (h *Halt) Reason() string {
	n := h.Newest()
	switch {
	case h.Tree != "":
		return "the tree of hashes over our log is damaged: " + h.Tree + " cannot be read"
	case n.By == "" && len(h.Elsewhere) > 0:
		return fmt.Sprintf("another node speaks with our key: %s heard it while this one ran", h.Elsewhere[0].By)
	case n.By == "" && len(h.Waiting) == 0:
		return "this folder is not the one that the node wrote last, and nobody has been asked yet what they know of our log"
	case n.By == "":
		return fmt.Sprintf("this folder is not the one that the node wrote last, and %s did not answer yet what they know of our log", councils(h.Waiting))
	case len(h.Newer) == 0:
		return fmt.Sprintf("this is an old copy of our log: %s agreed that it begins anew, and a person here has not said so yet", n.By)
	case n.Fork:
		return fmt.Sprintf("%s holds another history of our log of %d entries, signed with our key: this folder was set back, or another node uses our key", n.By, n.Size)
	}
	return fmt.Sprintf("this is an old copy: %s holds a checkpoint of our log of %d entries, signed with our key, and here are %d", n.By, n.Size, h.Size)
}

func (h *Halt) err() error {
	if h.Tree != "" {
		return fmt.Errorf("%w, and nothing is signed: %s", ErrDamaged, h.Reason())
	}
	if h.Behind() {
		return fmt.Errorf("%w, and nothing is signed: %s", ErrForked, h.Reason())
	}
	if len(h.Elsewhere) > 0 {
		return fmt.Errorf("%w, and nothing is signed: %s", ErrElsewhere, h.Reason())
	}
	return fmt.Errorf("%w, and nothing is signed: %s", ErrUnsure, h.Reason())
}

func councils(list []name.Council) string {
	var out []string
	for _, c := range list {
		out = append(out, string(c))
	}
	return strings.Join(out, ", ")
}

// Halt returns why nothing is signed, nil while the log may grow.
func (l *Ledger) Halted() *Halt { return l.halt.Load() }

// reckon makes the halt anew. It is called with l.mu held, or before anybody else
// has the ledger.
func (l *Ledger) reckon() {
	h := &Halt{Size: l.tree.Size(), Newer: l.own.Newer, Agreed: l.own.Agreed, Elsewhere: l.own.Elsewhere}
	for c := range l.asking {
		h.Waiting = append(h.Waiting, c)
	}
	slices.Sort(h.Waiting)
	was := l.halt.Load()
	if d := l.Damaged(); d != nil {
		h.Tree = d.Tree
	}
	if !l.doubt && !h.Behind() && h.Tree == "" && len(h.Elsewhere) == 0 {
		l.halt.Store(nil)
		if was != nil {
			close(l.released)
		}
		return
	}
	l.halt.Store(h)
	if was == nil {
		l.released = make(chan struct{})
	}
}

// Released returns a channel that is closed once the log may grow.
func (l *Ledger) Released() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.halt.Load() == nil {
		c := make(chan struct{})
		close(c)
		return c
	}
	return l.released
}

// Acquainted returns the councils that may know a checkpoint of our log: who has
// cosigned it, who a feed of it is for, and whose log is known here.
func (l *Ledger) Acquainted() ([]name.Council, error) {
	set := map[name.Council]bool{}
	err := l.View(func(v *View) error {
		ws, err := v.Cosigned()
		for _, w := range ws {
			set[w.Witness] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range l.Feeds() {
		for _, c := range f.To {
			set[c] = true
		}
	}
	for _, k := range l.KnownLogs() {
		set[k.Council] = true
	}
	delete(set, l.o.Council)
	out := make([]name.Council, 0, len(set))
	for c := range set {
		out = append(out, c)
	}
	slices.Sort(out)
	return out, nil
}

// AskFirst says who has to answer before the log may grow, if the folder is not the one
// that was written last: those that may know our log. Who has answered need not again.
// With nobody to ask the log may grow at once.
func (l *Ledger) AskFirst(list []name.Council) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.doubt {
		return
	}
	l.asking = map[name.Council]bool{}
	for _, c := range list {
		if !l.answered[c] {
			l.asking[c] = true
		}
	}
	l.settleDoubt()
}

// settleDoubt ends the doubt once nobody has still to answer. It is called with l.mu held.
func (l *Ledger) settleDoubt() {
	if l.doubt && len(l.asking) == 0 {
		l.doubt = false
		l.ours()
	}
	l.reckon()
}

// Heard takes in which checkpoints of our own log a council holds, and returns the halt
// that follows, nil if the log may grow. One that our log key signed and that is not of the log which
// stands here stops all signing, and is on disk before Heard returns. What is not
// signed by us is left out. With answered the council was asked, and these are all
// that it holds: if it held another before it does no more.
func (l *Ledger) Heard(ctx context.Context, by name.Council, heads [][]byte, answered bool) (*Halt, error) {
	v, err := l.ownKeys()
	if err != nil {
		return nil, err
	}
	if answered {
		if err := l.alone(ctx, by); err != nil {
			return l.Halted(), err
		}
	}
	var signed []Newer
	for _, h := range heads {
		cp, n, err := tlog.OpenCheckpoint(h, l.o.Council.Origin(), v)
		if err != nil || cp.Size == 0 {
			continue
		}
		clean, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
		if err != nil {
			return nil, err
		}
		signed = append(signed, Newer{By: by, Size: cp.Size, Root: cp.Root, Note: clean})
	}
	if h := l.Halted(); h == nil || !h.Behind() {
		// Mostly all is as it should be, and nothing has to be written.
		fine := true
		for _, n := range signed {
			against, _, err := l.contradicted(n)
			fine = fine && err == nil && !against
		}
		if fine {
			return l.heard(by, answered), nil
		}
	}
	// Nothing is in flight beside it: what we signed last is in the tree.
	err = l.do(ctx, true, func(t *tx) error {
		var worst *Newer
		for i, n := range signed {
			against, fork, err := l.contradicted(n)
			if err != nil {
				return err
			}
			if against && (worst == nil || n.Size > worst.Size) {
				signed[i].Fork = fork
				worst = &signed[i]
			}
		}
		at := func(list []Newer) int {
			return slices.IndexFunc(list, func(n Newer) bool { return n.By == by })
		}
		next := own{slices.Clone(l.own.Newer), slices.Clone(l.own.Agreed), l.own.Passed, l.own.Elsewhere}
		i := at(next.Newer)
		switch {
		case worst != nil:
			worst.At = l.o.Now().UTC().Truncate(time.Second)
			if i >= 0 && next.Newer[i].Size >= worst.Size && next.Newer[i].Fork == worst.Fork {
				return nil // known
			}
			if i >= 0 {
				next.Newer = slices.Delete(next.Newer, i, i+1)
			}
			if k := at(next.Agreed); k >= 0 {
				next.Agreed = slices.Delete(next.Agreed, k, k+1)
			}
			next.Newer = append(next.Newer, *worst)
			slices.SortFunc(next.Newer, func(a, b Newer) int { return strings.Compare(string(a.By), string(b.By)) })
			if err := t.hideUnread(); err != nil {
				return err
			}
			l.o.Log.Error("nothing is signed any more: our log is not the newest that our key has signed", "shown_by", by, "size", l.tree.Size(), "seen", worst.Size, "fork", worst.Fork)
		case !answered || i < 0:
			return nil
		default:
			if len(signed) == 0 {
				next.Agreed = append(next.Agreed, next.Newer[i])
			}
			next.Newer = slices.Delete(next.Newer, i, i+1)
		}
		return t.keepOwn(next)
	})
	if err != nil {
		return l.Halted(), err
	}
	return l.heard(by, answered), nil
}

// isCouncil reports whether a name is one that a council can have. A witness that a policy names
// may have such a name too; it is then written among the councils, and asked again.
func isCouncil(c name.Council) bool {
	_, err := name.ParseCouncil(string(c))
	return err == nil
}

// PassedOver reports whether a person passed a stranger over when our log went on.
func (l *Ledger) PassedOver(c name.Council) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Contains(l.own.Passed, c)
}

// HeardSize is Heard for a stranger that tells a size alone, without what we signed: a
// witness over HTTP. size is of the newest checkpoint that it has cosigned, 0 for none, and
// fork says that it is no part of our log. It is believed: a witness that lies stops us, which it could
// as well by cosigning nothing, and a person passes it over.
func (l *Ledger) HeardSize(ctx context.Context, by name.Council, size uint64, fork bool) error {
	if size > l.Size() || fork {
		err := l.do(ctx, true, func(t *tx) error {
			next := own{slices.Clone(l.own.Newer), l.own.Agreed, l.own.Passed, l.own.Elsewhere}
			i := slices.IndexFunc(next.Newer, func(n Newer) bool { return n.By == by })
			if size <= l.Size() && !fork || i >= 0 && next.Newer[i].Size == size && next.Newer[i].Fork == fork {
				return nil
			}
			if i >= 0 {
				next.Newer = slices.Delete(next.Newer, i, i+1)
			}
			next.Newer = append(next.Newer, Newer{By: by, Size: size, Fork: fork, At: l.o.Now().UTC().Truncate(time.Second)})
			slices.SortFunc(next.Newer, func(a, b Newer) int { return strings.Compare(string(a.By), string(b.By)) })
			if err := t.hideUnread(); err != nil {
				return err
			}
			l.o.Log.Error("nothing is signed any more: a witness has cosigned what is not in our log", "shown_by", by, "size", l.tree.Size(), "seen", size, "fork", fork)
			return t.keepOwn(next)
		})
		if err != nil {
			return err
		}
	}
	l.heard(by, true)
	return nil
}

// heard notes that a council has answered.
func (l *Ledger) heard(by name.Council, answered bool) *Halt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answered && l.doubt {
		l.answered[by] = true
		if l.asking[by] {
			delete(l.asking, by)
			l.settleDoubt()
		}
	}
	return l.Halted()
}

// rootAt returns the root that our log has, or had, at a size.
func (l *Ledger) rootAt(size uint64) (root tlog.Hash, err error) {
	err = l.db.View(func(txn *badger.Txn) error {
		tree, err := tlog.OpenTree(size, txnTiles{txn: txn})
		if err == nil {
			root = tree.Root()
		}
		return err
	})
	return root, err
}

// contradicted reports whether a checkpoint signed by us is not of the log that stands
// here, and whether it is of a size that our log has.
func (l *Ledger) contradicted(n Newer) (against, fork bool, err error) {
	size, err := l.Shown()
	if err != nil || n.Size > size {
		return err == nil, false, err
	}
	root, err := l.rootAt(n.Size)
	return err == nil && root != n.Root, err == nil && root != n.Root, err
}

// Contradicts reports whether a note is a checkpoint that our log key signed and that
// is not of the log which stands here.
func (l *Ledger) Contradicts(signed []byte) bool {
	v, err := l.ownKeys()
	if err != nil {
		return false
	}
	cp, _, err := tlog.OpenCheckpoint(signed, l.o.Council.Origin(), v)
	if err != nil || cp.Size == 0 {
		return false
	}
	against, _, err := l.contradicted(Newer{Size: cp.Size, Root: cp.Root})
	return err == nil && against
}

func (t *tx) keepOwn(o own) error {
	b, err := marshal(o)
	if err != nil {
		return err
	}
	t.set(keyOwn, b)
	t.after = append(t.after, func() { t.l.own = o; t.l.reckon() })
	return nil
}

func (l *Ledger) loadOwn(txn *badger.Txn) error {
	b, err := valueOf(txn, keyOwn)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return unmarshal(b, &l.own)
}

// ErrHolders: some who hold a newer checkpoint of our log have not agreed that it
// begins anew.
var ErrHolders = errors.New("a newer part of our log is held by others, who have not agreed that it begins anew")

// Continue lets our log grow from what stands here, because a person says so: an event
// is the next entry, which names what is lost, who held it and agreed, and who did not
// answer. It returns ErrNotFound when nothing holds the log back, ErrHolders while a
// council that gone does not report to have left holds what is not in our log, and
// ErrUnsure while somebody has not answered, unless the risk is accepted.
func (l *Ledger) Continue(ctx context.Context, because string, acceptRisk bool, gone func(name.Council) bool) (entry uint64, err error) {
	err = l.do(ctx, true, func(t *tx) error {
		h := l.Halted()
		if h == nil {
			return fmt.Errorf("what holds our log back: %w", ErrNotFound)
		}
		e := event.Continued{Because: because}
		passed := own{Passed: slices.Clone(l.own.Passed)}
		pass := func(c name.Council) {
			stranger := gone(c) && !isCouncil(c)
			switch {
			case !stranger && !slices.Contains(e.Unasked, c):
				e.Unasked = append(e.Unasked, c)
			case stranger && !slices.Contains(e.Witnesses, string(c)):
				e.Witnesses = append(e.Witnesses, string(c))
				if !slices.Contains(passed.Passed, c) {
					passed.Passed = append(passed.Passed, c)
				}
			}
		}
		for _, n := range h.Newer {
			if !gone(n.By) || !acceptRisk {
				return fmt.Errorf("%w: %s", ErrHolders, n.By)
			}
			pass(n.By)
		}
		l.mu.RLock()
		doubt := l.doubt
		l.mu.RUnlock()
		if doubt && !acceptRisk {
			return h.err()
		}
		for _, c := range h.Waiting {
			pass(c)
		}
		slices.Sort(e.Unasked)
		slices.Sort(e.Witnesses)
		for _, n := range h.Agreed {
			e.Agreed = append(e.Agreed, n.By)
		}
		slices.Sort(e.Agreed)
		if n := h.Newest(); n.By != "" && (len(n.Note) > 0 || n.Root != tlog.Hash{}) {
			e.Lost, e.LostNote = &event.Head{Size: n.Size, Root: n.Root}, string(n.Note)
		}
		entry = t.event(event.KindContinued, e.Body()).index
		t.free = true
		if err := t.keepOwn(passed); err != nil {
			return err
		}
		t.after = append(t.after, func() {
			l.doubt, l.asking = false, nil
			l.ours()
			l.reckon()
		})
		return nil
	})
	return entry, err
}
