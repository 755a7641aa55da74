package audit

import (
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A holder's bundle shows what a receiver was given. That the council said each record,
// and what it let out, is seen as in any other; that it logged the disclosure first, and
// what it has sent elsewhere, only the council's own bundle shows. What the holder leaves
// out is seen where it signed that it took it: in its receipts, which the council has too.

// judgeHeld is judgeSharing for a holder's bundle.
func (v *verifier) judgeHeld() {
	s := &sharing{v: v, receivers: map[name.Council]*receiver{}, under: make([]uint64, len(v.records))}
	v.say(CheckLogged, "That %s logged what it sent before it went is seen in its own bundle, and not in what %s holds.", v.council, v.holder)
	v.on(CheckLogged).skip(len(v.records))
	var texts uint64
	for i, p := range v.covered {
		if slices.Contains(p.doc.To, v.holder) {
			texts |= 1 << i
		}
	}
	if len(v.covered) > 0 && texts == 0 {
		v.on(CheckFields).fail(v.covered[0].place, "lets "+string(v.holder)+" receive nothing", "")
	}
	for i := range v.records {
		s.under[i] = texts
		if r := &v.records[i]; !r.put {
			v.on(CheckContents).failEntry(r.index, "is a deletion, which nobody is sent", "")
		}
	}
	s.judgeTerms()
	taken, deleted := s.signedFor()
	s.judgeTaken(taken)
	switch {
	case deleted > 0:
		v.say(CheckWithdrawals, "%s signed that it deleted what %s took back. That it did the bundle of %s shows, which has them.", v.holder, count(deleted, "withdrawal"), v.council)
	default:
		v.say(CheckWithdrawals, "No receipt in the file is for a withdrawal.")
	}
	s.judgeHeldComplete()
}

// signedFor takes in the holder's receipts, and returns the entries that they say it
// took, ascending, and how many withdrawals they say it carried out.
func (s *sharing) signedFor() (taken []uint64, deleted int) {
	v, t := s.v, s.v.on(CheckReceipts)
	for i := range v.foreign {
		e := &v.foreign[i]
		at := place(eventsPath(e.by), e.line)
		switch {
		case e.kind == event.KindRetention && e.by == v.holder && e.from == v.council:
			v.counts.Retained += len(e.entries)
			if s.inTime(e, t) {
				t.pass(1)
			}
			continue
		case e.kind != event.KindReceipt:
			continue
		}
		v.counts.Receipts++
		switch {
		case e.by != v.holder || e.from != v.council:
			t.fail(at, "is none of "+string(v.holder)+" for what "+string(v.council)+" sent", "")
			continue
		case e.agreement != v.covers.Agreement:
			t.fail(at, "is about another agreement than the file says it covers", "")
			continue
		}
		if root, ok := v.roots[e.size]; ok && !e.all {
			if root != e.root {
				v.on(CheckHistory).fail(at, fmt.Sprintf("names another root of the log at %s than the checkpoint here: the log told two stories", count(int(e.size), "entry")), "")
				continue
			}
			v.on(CheckHistory).pass(1)
			v.sameRoot++
		}
		if slices.ContainsFunc(e.entries, func(index uint64) bool { return index >= e.size }) {
			t.fail(at, "signs for an entry beyond the checkpoint that it names", "")
			continue
		}
		taken = append(taken, e.entries...)
		deleted += len(e.deleted)
		t.pass(1)
	}
	slices.Sort(taken)
	return slices.Compact(taken), deleted
}

// judgeTaken compares the records in the file with the entries that the holder signed
// that it took, and draws the sample again where there is one.
func (s *sharing) judgeTaken(taken []uint64) {
	v, t := s.v, s.v.on(CheckReceipts)
	want, of := taken, "the file has a receipt for"
	if v.covers.Sample.Size > 0 {
		want, of = v.covers.Sample.Draw(taken), "the seed draws"
	}
	signed := 0
	for i := range v.records {
		if _, ok := slices.BinarySearch(want, v.records[i].index); ok {
			signed++
			continue
		}
		if v.covers.Sample.Size > 0 {
			t.failEntry(v.records[i].index, "is not drawn by the seed from what the receipts in the file name", "")
		} else {
			t.failEntry(v.records[i].index, "is in no receipt in the file", "")
		}
	}
	v.say(CheckReceipts, "Of %s that %s, %s here.", count(len(want), "entry"), of, was(signed, "record"))
	if v.covers.Sample.Size > 0 {
		v.say(CheckReceipts, "They are drawn from the %s that its receipts in the file name.", count(len(taken), "entry"))
	}
	if gone := len(want) - signed; gone > 0 {
		t.skip(gone)
		v.say(CheckReceipts, "The other %s it does not have any more, by its word: a newer version came, or it was taken back or deleted. The bundle of %s shows which.", number(gone), v.council)
	}
	if v.counts.Retained > 0 {
		v.say(CheckReceipts, "%s signed that it deleted %s at the end of their term.", v.holder, count(v.counts.Retained, "record"))
	}
	v.say(CheckReceipts, "That the receipts stand in its own log was not checked; %s has them too.", v.council)
}

// judgeHeldComplete holds what is in the file against the newest commitment of the
// council to what it permitted the holder.
func (s *sharing) judgeHeldComplete() {
	v, t := s.v, s.v.on(CheckComplete)
	shared := len(v.ring.footprints[v.council].members) > 0
	var commitments []*claimed
	if shared {
		commitments = s.memberCommitments()
	} else {
		commitments, _ = s.commitments()
	}
	var c *claimed
	for _, x := range commitments {
		if x.to == v.holder {
			c = x
		}
	}
	switch {
	case v.covers.Sample.Size > 0 || !v.covers.Since.IsZero() || !v.covers.Until.IsZero():
		v.say(CheckComplete, "The file says that it holds part of what the agreement let through, so it was not held against what %s committed to.", v.council)
		t.skip(len(commitments))
		return
	case c == nil && shared:
		v.say(CheckComplete, "%s is a footprint, and no commitment of a member of it to what the agreement permitted %s counts here, so that nothing says whether this is all.", v.council, v.holder)
		return
	case c == nil:
		v.say(CheckComplete, "No commitment of %s to what the agreement permitted %s is in the file, so that nothing says whether this is all.", v.council, v.holder)
		return
	}
	i := slices.IndexFunc(v.covered, func(p *paper) bool { return p.doc.Name == c.agreement && uint64(p.doc.Version) == c.version })
	is, ok := s.since(c, i)
	if !ok {
		t.skip(1)
		v.counted(c, nil, fmt.Sprintf("the text of version %d, or the standard of a record, is not in the file", c.version))
		v.say(CheckComplete, "A record cannot be counted: the text of version %d, or its standard, is not here.", c.version)
		return
	}
	committer := v.council
	if shared {
		committer = c.by
		v.say(CheckComplete, "For %s, %s says so, one of its %d members: %s of them had signed. Another member can say it, too: stile agreement checkpoint, there.",
			v.council, c.by, len(v.ring.footprints[v.council].members), number(int(c.signers)))
	}
	what := fmt.Sprintf("%s that version %d permitted %s at %s of the log", count(int(c.entry), "record"), c.version, v.holder, count(int(c.size), "entry"))
	if is.tally.Size() != c.entry || is.tally.Root() != c.root {
		t.skip(1)
		v.counted(c, nil, fmt.Sprintf("the file has %s of then, and names %s as gone: what else was changed or taken back since, and what the holder may have left out, cannot be told apart", number(is.here), number(len(is.gone))))
		v.say(CheckComplete, "%s committed at %s to the %s; the file has %s of then and names %s as gone. What else was changed, taken back or deleted since, and what %s may have left out, cannot be told apart: ask for a file made right after stile agreement checkpoint.",
			committer, c.committedAt(), what, number(is.here), number(len(is.gone)), v.holder)
		return
	}
	now := v.counted(c, &is.tally, "")
	for _, g := range is.gone {
		gone(now, g.Entry, g.Record, g.Version, g.Why, g.By)
	}
	if is.word > 0 {
		t.skip(1)
		now.Result = string(NotDone)
		now.Because = append(now.Because, fmt.Sprintf("that %s of what was committed to has gone is the word of %s alone", number(is.word), v.holder))
		v.say(CheckComplete, "With what has gone since it is the %s, root matches (committed to at %s); but that %s of them %s gone, and was not left out, is the word of %s alone. The bundle of %s shows it.",
			what, c.committedAt(), number(is.word), hasOrHave(is.word), v.holder, v.council)
	} else {
		t.pass(1)
		with := "it is"
		if len(is.gone) > 0 {
			with = "with what has gone since it is"
		}
		v.say(CheckComplete, "Complete up to checkpoint %d: %s the %s, root matches (committed to at %s).", c.size, with, what, c.committedAt())
	}
	v.sayGone(now)
	if is.later > 0 {
		v.say(CheckComplete, "Of %s that came later no commitment says yet that they are all.", count(is.later, "record"))
	}
}
