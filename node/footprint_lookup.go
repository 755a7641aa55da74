package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// A footprint answers questions as it sends records: any of its members answers,
// from its replica, about records of members that have themselves signed the
// agreement. The member logs in its own ledger what it answers, and each record is
// signed by its contributor and stands under a checkpoint of a majority.
//
// What may be asked by is indexed in memory, for each text of an agreement that
// somebody asks under: made from the footprint's log at the first question, brought
// on from where it ended at each later one, and gone when the node stops. A stored
// index would be one more thing that members have to keep alike, or that outlives
// what was withdrawn; this one is believed in nothing, since every record is read
// again before it is answered with.

// maxAskKeys bounds the values that a replica's index holds: some 100 MB.
const maxAskKeys = 500_000

// errAskKeys: there are more.
var errAskKeys = errors.New("more values than can be indexed to ask by")

// askIndexes are a replica's indexes, by the text of an agreement.
type askIndexes struct {
	mu   sync.Mutex // guards what follows; held while one is made
	all  map[agreement.Digest]*askIndex
	keys int // in all of them
}

type askIndex struct {
	agreement name.Agreement
	next      uint64 // log index of the footprint that it is made up to
	find      map[[16]byte][]heldRef
	of        map[heldRef][][16]byte
	terms     map[name.Standard]*agreement.Terms // nil where a version has none
}

// A heldRef names a record in a footprint.
type heldRef struct {
	council name.Council
	record  [16]byte
}

// finds returns the records that a value may find, and have to be read again; of
// the footprint's log, the entries before upTo were searched.
func (n *Node) finds(r *replica, doc *agreement.Agreement, asked agreement.Asked) (refs []heldRef, upTo uint64, err error) {
	x := &r.asking
	x.mu.Lock()
	defer x.mu.Unlock()
	text := doc.Digest()
	i := x.all[text]
	if i == nil {
		if x.all == nil {
			x.all = map[agreement.Digest]*askIndex{}
		}
		for d, old := range x.all {
			if now, _ := n.book.InForce(old.agreement, n.now()); now == nil || now.Digest() != d {
				x.drop(d)
			}
		}
		i = &askIndex{
			agreement: doc.Name, find: map[[16]byte][]heldRef{}, of: map[heldRef][][16]byte{}, terms: map[name.Standard]*agreement.Terms{},
		}
		x.all[text] = i
	}
	var failed error
	councils := map[name.Council]name.Council{} // one copy of each name
	err = r.f.Entries(i.next, func(h *footprint.Held) bool {
		if failed = n.index(r, x, i, doc, h, councils); failed != nil {
			return false
		}
		i.next = h.Index + 1
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		x.drop(text)
		return nil, 0, err
	}
	return slices.Clone(i.find[n.keys.BlindIndex(text[:], asked.Field, asked.Value)]), i.next, nil
}

func (x *askIndexes) drop(text agreement.Digest) {
	if i := x.all[text]; i != nil {
		for _, keys := range i.of {
			x.keys -= len(keys)
		}
		delete(x.all, text)
	}
}

// index takes in one entry of the footprint's log.
func (n *Node) index(r *replica, x *askIndexes, i *askIndex, doc *agreement.Agreement, h *footprint.Held, councils map[name.Council]name.Council) error {
	var ref heldRef
	switch {
	case h.Erased:
		return nil // what erased it stands further on
	case h.Event != nil:
		_, rec := ledger.WithdrawalOf(h.Event)
		if rec == "" {
			return nil
		}
		ref = heldRef{h.Event.Council, rec.Bytes()}
	default:
		ref = heldRef{h.View.Council, h.View.Record.Bytes()}
	}
	for _, k := range i.of[ref] {
		i.find[k] = slices.DeleteFunc(i.find[k], func(o heldRef) bool { return o == ref })
		if len(i.find[k]) == 0 {
			delete(i.find, k)
		}
		x.keys--
	}
	delete(i.of, ref)
	if h.View == nil {
		return nil
	}
	terms, err := r.terms(i.terms, doc, h.View)
	if err != nil || terms == nil || h.View.Op != record.Put || !terms.Match(h.View.Body) {
		return err
	}
	if one, ok := councils[ref.council]; ok {
		ref.council = one
	} else {
		councils[ref.council] = ref.council
	}
	text := doc.Digest()
	for _, a := range terms.Asked(h.View.Body) {
		k := n.keys.BlindIndex(text[:], a.Field, a.Value)
		i.find[k], i.of[ref] = append(i.find[k], ref), append(i.of[ref], k)
		if x.keys++; x.keys > maxAskKeys {
			return errAskKeys
		}
	}
	return nil
}

// terms returns what an agreement means for a record's version of its standard;
// nil when it lets nothing of that out.
func (r *replica) terms(known map[name.Standard]*agreement.Terms, doc *agreement.Agreement, v *record.View) (*agreement.Terms, error) {
	if v.Standard.Line() != doc.Standard {
		return nil, nil
	}
	if t, ok := known[v.Standard]; ok {
		return t, nil
	}
	s, err := r.f.Standard(v.Standard)
	if err != nil {
		return nil, err
	}
	t, err := doc.Compile(s)
	if err != nil {
		t = nil
	}
	known[v.Standard] = t
	return t, nil
}

// answerFor answers a question to a footprint whose replica is here, of an asker
// that has seen our own log at a size.
func (n *Node) answerFor(ctx context.Context, r *replica, doc *agreement.Agreement, q *ledger.Question, seen uint64) (*saidAnswer, *wirepb.Answer, error) {
	signers, err := r.f.Signers(doc.Ref())
	if err != nil {
		return nil, nil, err
	}
	body := q.Body(doc)
	body["footprint"] = string(r.name)
	if doc.Mode == agreement.Aggregate {
		return n.countFor(ctx, r, doc, q, signers, body, seen)
	}
	found, more, upTo, err := n.findIn(r, doc, q, signers)
	if err != nil {
		return nil, nil, err
	}
	// A checkpoint of all that was searched: by waiting for what was found alone,
	// or refusing for the want of it, we would say that something was.
	cp, signed := n.coveredBy(ctx, r, upTo)
	if signed == nil {
		return nil, nil, unanswer(askNotReady, "no majority has cosigned a checkpoint yet of all that was searched")
	}
	outcome, size := ledger.Found, 0
	for _, f := range found {
		size += len(f.token.Bytes())
	}
	switch {
	case more, len(found) > 1 && size > ledger.MaxPageBytes:
		outcome, found = ledger.TooMany, nil
	case len(found) == 0:
		outcome = ledger.Nothing
	}
	records, entries := make([]any, len(found)), make([]any, len(found))
	for i, f := range found {
		records[i], entries[i] = string(f.held.View.Record), json.Number(fmt.Sprint(f.held.Index))
	}
	body["outcome"], body["records"], body["entries"] = outcome, records, entries
	body["size"], body["root"] = json.Number(fmt.Sprint(cp.Size)), cp.Root.String()
	index, again, err := n.ledger.LogAnswer(ctx, q, body)
	if err != nil {
		return nil, nil, err
	}
	said, jws, err := n.loggedAnswer(index)
	if err != nil {
		return nil, nil, err
	}
	var indexes []uint64
	for _, f := range found {
		indexes = append(indexes, f.held.Index)
	}
	if again && (said.Outcome != outcome || !slices.Equal(said.Entries, indexes)) {
		return nil, nil, ledger.ErrChanged
	}
	out := &wirepb.Answer{Event: jws, Index: index, Checkpoint: signed, Footprint: true}
	for _, f := range found {
		out.Entries = append(out.Entries, &wirepb.Entry{Index: f.held.Index, Token: f.token.Bytes()})
	}
	if len(indexes) > 0 {
		proof, err := r.f.ProveEntries(indexes, cp.Size)
		if err != nil {
			return nil, nil, err
		}
		out.Inclusion = tlog.JoinHashes(proof)
	}
	return said, out, nil
}

// loggedAnswer reads an answer of ours from our log.
func (n *Node) loggedAnswer(index uint64) (s *saidAnswer, jws []byte, err error) {
	s = &saidAnswer{}
	err = n.ledger.View(func(v *ledger.View) error {
		ev, b, err := v.Event(index)
		if err != nil {
			return err
		}
		jws = bytes.Clone(b)
		if s.AnswerSaid, err = ledger.AnswerOf(ev); err != nil {
			return err
		}
		s.entry, err = entryOf(jws)
		return err
	})
	return s, jws, err
}

// A foundIn is a record of a footprint as it may leave.
type foundIn struct {
	held  *footprint.Held
	token *record.Token
}

// findIn finds the records that a question may be answered with, in the order of
// the footprint's log, of which the entries before upTo were searched.
func (n *Node) findIn(r *replica, doc *agreement.Agreement, q *ledger.Question, signers []name.Council) (found []foundIn, more bool, upTo uint64, err error) {
	refs, upTo, err := n.finds(r, doc, q.Asked)
	if errors.Is(err, errAskKeys) {
		n.log.Error("a footprint's records cannot be asked for", "footprint", r.name, "agreement", doc.Name, "error", err.Error())
		return nil, false, 0, unanswer(askNotReady, "there are more records than this member can be asked about")
	}
	if err != nil {
		return nil, false, 0, err
	}
	known := map[name.Standard]*agreement.Terms{}
	for _, ref := range refs {
		if !slices.Contains(signers, ref.council) {
			continue
		}
		h, err := r.f.Record(ref.council, name.RecordFrom(ref.record))
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, false, 0, err
		}
		upTo = max(upTo, h.Index+1) // it may have come since
		t, err := r.terms(known, doc, h.View)
		if err != nil {
			return nil, false, 0, err
		}
		if t == nil || h.View.Op != record.Put || !t.Match(h.View.Body) || !slices.Contains(t.Asked(h.View.Body), q.Asked) {
			continue // it has just changed
		}
		if len(found) == ledger.MaxFound {
			return nil, true, upTo, nil
		}
		token, err := h.Token.Narrow(t.Keep)
		if err != nil {
			return nil, false, 0, err
		}
		found = append(found, foundIn{h, token})
	}
	slices.SortFunc(found, func(a, b foundIn) int { return int(int64(a.held.Index) - int64(b.held.Index)) })
	return found, false, upTo, nil
}

// coverWithin is how long an answer waits for a checkpoint that covers it: one
// comes a moment behind what it covers.
const coverWithin = 10 * time.Second

// coveredBy returns a checkpoint of a majority that covers the entries before upTo.
func (n *Node) coveredBy(ctx context.Context, r *replica, upTo uint64) (tlog.Checkpoint, []byte) {
	wait, cancel := context.WithTimeout(ctx, coverWithin)
	defer cancel()
	for {
		changed := r.f.Changed()
		cp, signed := r.f.Checkpoint()
		if signed != nil && upTo <= cp.Size {
			return cp, signed
		}
		if wait.Err() != nil {
			return cp, nil
		}
		pause(wait, time.Second, changed)
	}
}

// countFor answers with counts of a footprint's records. Two members that counted
// at two moments of a day would show what changed between, so that one of those
// that have signed counts on a day, and another on the next.
func (n *Node) countFor(ctx context.Context, r *replica, doc *agreement.Agreement, q *ledger.Question, signers []name.Council, body map[string]any, seen uint64) (*saidAnswer, *wirepb.Answer, error) {
	today := n.now().UTC().Format(time.DateOnly)
	if who := counter(signers, doc.Digest(), today); who != n.cfg.Council {
		return nil, nil, unanswer(askElsewhere, "today %s counts for %s", who, r.name)
	}
	counts, err := n.ledger.Counts(ctx, doc, q, func() (*agreement.Tally, error) { return r.tally(doc, q.Groups, signers) })
	if err != nil {
		return nil, nil, err
	}
	a, err := n.ledger.AnswerCounts(ctx, doc, q, counts, body)
	if err != nil {
		return nil, nil, err
	}
	said, _, err := n.loggedAnswer(a.Index)
	if err != nil {
		return nil, nil, err
	}
	out, err := n.wireAnswer(a, seen)
	return said, out, err
}

// counter returns which of some councils counts under a text of an agreement on a
// day. One more council changes it only when it is that one.
func counter(signers []name.Council, text agreement.Digest, day string) (who name.Council) {
	var highest [sha256.Size]byte
	for _, c := range signers {
		h := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", text, day, c))
		if who == "" || bytes.Compare(h[:], highest[:]) > 0 {
			who, highest = c, h
		}
	}
	return who
}

// tally counts the live records in a footprint of some councils.
func (r *replica) tally(doc *agreement.Agreement, by []name.Field, of []name.Council) (*agreement.Tally, error) {
	t, known := agreement.NewTally(by), map[name.Standard]*agreement.Terms{}
	for from, more := uint64(0), true; more; {
		page, err := r.f.Records(from, 1000, func(h *footprint.Held) bool {
			return h.View.Standard.Line() == doc.Standard && slices.Contains(of, h.View.Council)
		})
		if err != nil {
			return nil, err
		}
		for _, h := range page.Records {
			terms, err := r.terms(known, doc, h.View)
			if err != nil {
				return nil, err
			}
			if terms != nil && terms.Match(h.View.Body) {
				if err := t.Add(h.View.Body); err != nil {
					return nil, err
				}
			}
		}
		from, more = page.Next, page.Next != 0
	}
	return t, nil
}

// askedToday returns how many questions a partner has asked this member today.
func (n *Node) askedToday(text agreement.Digest, c name.Council) (asked int) {
	err := n.ledger.View(func(v *ledger.View) (err error) {
		asked, err = v.QuestionsToday(text, c)
		return err
	})
	if err != nil {
		n.log.Error("count questions", "error", err.Error())
	}
	return asked
}
