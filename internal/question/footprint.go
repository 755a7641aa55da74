package question

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
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

// fromReplica answers a charged question to a footprint from our replica of it,
// for an asker that has seen, at a size, the log that the answer is of.
func (w *Answerer) fromReplica(ctx context.Context, doc *agreement.Agreement, q *ledger.Question, seen uint64) (*wirepb.Answer, *LoggedAnswer, error) {
	f := w.o.Footprints.Replica(doc.From)
	if f == nil || !slices.Contains(f.Councils(), w.o.Self) {
		return nil, nil, refuse(codeElsewhere, "no replica of that footprint is open here")
	}
	signers, err := w.o.Footprints.Signers(doc.From, doc.Ref())
	if err != nil {
		return nil, nil, err
	}
	reply := q.Reply(doc)
	reply.Footprint = doc.From
	if doc.Way().Answers == agreement.AnswersCounts {
		// Two members that counted at two moments of a week would show what changed
		// between, so that one of those that have signed counts in a week, and
		// another in the next.
		week := agreement.Period(w.o.Now()).Format(time.DateOnly)
		if who := counter(signers, doc.Digest(), week); who != w.o.Self {
			return nil, nil, refuse(codeElsewhere, "this week %s counts for %s", who, doc.From)
		}
		return w.counted(ctx, doc, q, reply, func() (*agreement.Tally, error) { return w.tally(f, doc, q, signers) }, seen)
	}
	found, err := w.find(f, doc, q, signers)
	if err != nil {
		return nil, nil, err
	}
	// A checkpoint of all that was searched: by waiting for what was found alone,
	// or refusing for the want of it, we would say that something was.
	cp, signed := coveredBy(ctx, f, found.searched)
	if signed == nil {
		return nil, nil, refuse(codeNotReady, "no majority has cosigned a checkpoint yet of all that was searched")
	}
	reply.Result = found.result(cp)
	indexes := reply.Entries
	var items []ledger.PageItem
	for _, r := range found.records {
		std, err := f.Standard(r.held.View.Standard)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, ledger.PageItem{Index: r.held.Index, Token: r.token.Bytes(), Whole: r.held.View.Body, Standard: std})
	}
	if err := w.o.Ledger.Second(ctx, doc, doc.Digest(), q.Partner(), items); err != nil {
		return nil, nil, err
	}
	index, again, err := w.o.Ledger.LogAnswer(ctx, q, reply)
	if err != nil {
		return nil, nil, err
	}
	logged, jws, err := w.logged(index)
	if err != nil {
		return nil, nil, err
	}
	if again && (logged.Outcome != reply.Outcome || !slices.Equal(logged.Entries, indexes)) {
		return nil, nil, ledger.ErrChanged
	}
	out := &wirepb.Answer{Event: jws, Index: index, Checkpoint: signed, Footprint: true}
	for _, r := range found.records {
		out.Entries = append(out.Entries, &wirepb.Entry{Index: r.held.Index, Token: r.token.Bytes()})
	}
	if len(indexes) > 0 {
		proof, err := f.ProveEntries(indexes, cp.Size)
		if err != nil {
			return nil, nil, err
		}
		out.Inclusion = tlog.JoinHashes(proof)
	}
	if seen > 0 && seen < cp.Size {
		proof, err := f.Consistency(seen, cp.Size)
		if err != nil {
			return nil, nil, err
		}
		out.Consistency = tlog.JoinHashes(proof)
	}
	return out, logged, nil
}

// found is what a question found in a footprint.
type found struct {
	records  []heldRecord // in the order of the footprint's log
	more     bool         // than may be told of
	searched uint64       // entries of the footprint's log
}

// A heldRecord is a record of a footprint as it may leave.
type heldRecord struct {
	held  *footprint.Held
	token *record.Token
}

// result says what is answered, below a checkpoint of the footprint. Records that
// are too many are forgotten.
func (f *found) result(cp tlog.Checkpoint) event.Result {
	size := 0
	for _, r := range f.records {
		size += len(r.token.Bytes())
	}
	out := event.Result{Outcome: event.OutcomeFound, Size: cp.Size, Root: cp.Root}
	switch {
	case f.more, len(f.records) > 1 && size > ledger.MaxPageBytes:
		out.Outcome, f.records = event.OutcomeTooMany, nil
	case len(f.records) == 0:
		out.Outcome = event.OutcomeNothing
	}
	for _, r := range f.records {
		out.Records, out.Entries = append(out.Records, r.held.View.Record), append(out.Entries, r.held.Index)
	}
	return out
}

// find finds the records that a question may be answered with.
func (w *Answerer) find(f *footprint.Footprint, doc *agreement.Agreement, q *ledger.Question, signers []name.Council) (*found, error) {
	records, searched, err := w.indexesOf(f).find(w, f, doc, q.Asked)
	if errors.Is(err, errFull) {
		w.o.Log.Error("a footprint's records cannot be asked for", "footprint", doc.From, "agreement", doc.Name, "error", err.Error())
		return nil, refuse(codeNotReady, "there are more records than this member can be asked about")
	}
	if err != nil {
		return nil, err
	}
	out, known := &found{searched: searched}, map[name.Standard]*agreement.Terms{}
	for _, p := range records {
		if !slices.Contains(signers, p.council) {
			continue
		}
		h, err := f.Record(p.council, name.RecordFrom(p.record))
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.searched = max(out.searched, h.Index+1) // it may have come since
		t, err := termsFor(f, known, doc, h.View)
		if err != nil {
			return nil, err
		}
		if t == nil || h.View.Op != record.Put || !t.Match(h.View.Body) || !slices.Contains(t.Asked(h.View.Body), q.Asked) {
			continue // it has just changed
		}
		if len(out.records) == event.MaxFound {
			out.more = true
			break
		}
		token, err := h.Token.Narrow(t.Keep)
		if err == nil {
			token, err = f.Sealed(h, token)
		}
		if err != nil {
			return nil, err
		}
		out.records = append(out.records, heldRecord{h, token})
	}
	slices.SortFunc(out.records, func(a, b heldRecord) int { return int(int64(a.held.Index) - int64(b.held.Index)) })
	return out, nil
}

// coverWithin is how long an answer waits for a checkpoint that covers it: one
// comes a moment behind what it covers.
const coverWithin = 10 * time.Second

// coveredBy returns a checkpoint of a majority that covers the first entries of a
// footprint's log, nil when none comes in time.
func coveredBy(ctx context.Context, f *footprint.Footprint, entries uint64) (tlog.Checkpoint, []byte) {
	ctx, cancel := context.WithTimeout(ctx, coverWithin)
	defer cancel()
	for {
		changed := f.Changed()
		cp, signed := f.Checkpoint()
		if signed != nil && entries <= cp.Size {
			return cp, signed
		}
		// No longer than a second at once: see footprint.Changed.
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return cp, nil
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// counter returns which of some councils counts under a text of an agreement in the
// week that begins on a day. One more council changes it only when it is that one.
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
func (w *Answerer) tally(f *footprint.Footprint, doc *agreement.Agreement, q *ledger.Question, of []name.Council) (*agreement.Tally, error) {
	t, err := w.o.Ledger.NewTally(doc, q)
	if err != nil {
		return nil, err
	}
	// Of a footprint, who asks may be another than the party: the party is who receives.
	second, err := w.o.Ledger.SecondRows(context.Background(), doc, q.Partner(), slices.Concat(q.Groups, q.Sums)...)
	if err != nil {
		return nil, err
	}
	known := map[name.Standard]*agreement.Terms{}
	for from, more := uint64(0), true; more; {
		page, err := f.Records(from, 1000, func(h *footprint.Held) bool {
			return h.View.Standard.Line() == doc.Standard && slices.Contains(of, h.View.Council)
		})
		if err != nil {
			return nil, err
		}
		for _, h := range page.Records {
			terms, err := termsFor(f, known, doc, h.View)
			if err != nil {
				return nil, err
			}
			if terms != nil && terms.Match(h.View.Body) {
				if err := second(h.Index, h.View.Body); err != nil {
					return nil, err
				}
				if err := t.Add(string(h.View.Council)+"\x00"+string(h.View.Record), h.View.Body); err != nil {
					return nil, err
				}
			}
		}
		from, more = page.Next, page.Next != 0
	}
	return t, nil
}

// termsFor returns what an agreement means for a record's version of its standard;
// nil when it lets nothing of that out.
func termsFor(f *footprint.Footprint, known map[name.Standard]*agreement.Terms, doc *agreement.Agreement, v *record.View) (*agreement.Terms, error) {
	if v.Standard.Line() != doc.Standard {
		return nil, nil
	}
	if t, ok := known[v.Standard]; ok {
		return t, nil
	}
	s, err := f.Standard(v.Standard)
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
