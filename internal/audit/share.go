package audit

import (
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A receiver is what the file shows of one council that received records.
type receiver struct {
	council   name.Council
	sent      []uint64          // bits over verifier.records: in a logged disclosure to it
	held      []uint64          // in a receipt of it
	refused   []uint64          // in a receipt of it, as refused
	takenBack map[letOut]uint64 // records whose withdrawal it was sent so far, and its log index
	deleted   map[uint64]bool   // withdrawals, by log index, that it signed for
	all       bool              // it signed that it deleted everything
	members   []name.Council    // of a footprint: they cosigned what its receipts say
	since     []int64           // by record: when it first signed for it, Unix seconds; 0 when it did not. nil for none
	atTerm    map[uint64]bool   // log indexes of what it says it deleted at the end of its term
}

// letOut is a record as one text of an agreement lets it out: another text may let
// out again what this one no longer did.
type letOut struct {
	agreement name.Agreement
	version   uint64
	record    [16]byte
}

func set(bits []uint64, i int)      { bits[i/64] |= 1 << (i % 64) }
func get(bits []uint64, i int) bool { return bits[i/64]>>(i%64)&1 == 1 }

// sharing is what went to whom, gathered from the log and from receipts.
type sharing struct {
	v         *verifier
	receivers map[name.Council]*receiver
	under     []uint64             // by record: bits of the covered versions that disclosures of it name
	covered   []uint64             // bits over records: in a disclosure under the covered agreement
	disclosed []uint64             // records in disclosures under the covered agreement, where a sample was drawn of them
	absent    int                  // entries that disclosures name and that are not in the file
	erasedBy  map[uint64]uint64    // log index of an erased version to that of the event which says so
	erased    map[uint64]bool      // of those, what disclosures name
	without   map[name.Council]int // receipts of footprints that lack this member's word
	signed    bool                 // there is a receipt that its receiver signed
	beyond    map[name.Council]int // receipts that name more of the log than the newest checkpoint here
	retained  map[name.Council]int // records that a receiver said it deleted at the end of their term
	undated   map[name.Council]int // of those, where the term cannot be compared here
	strangers bool                 // a receipt is of a footprint whose members nobody named
	went      map[wentTo]*went     // under texts that bound how much may go
}

// maxReceivers bounds the receivers that are followed. What is kept of each
// grows with the records.
const maxReceivers = 100

// receiver returns what is known of a receiver; nil for a council that no
// agreement here lets receive, or one too many.
func (s *sharing) receiver(c name.Council) *receiver {
	r := s.receivers[c]
	if r == nil {
		if !s.v.isReceiver(c) || len(s.receivers) == maxReceivers {
			return nil
		}
		words := (len(s.v.records) + 63) / 64
		r = &receiver{c, make([]uint64, words), make([]uint64, words), make([]uint64, words), map[letOut]uint64{}, map[uint64]bool{}, false, nil, nil, map[uint64]bool{}}
		s.receivers[c] = r
	}
	return r
}

// recordAt returns the place in v.records of the record at a log index.
func (v *verifier) recordAt(index uint64) (int, bool) {
	return slices.BinarySearchFunc(v.records, index, func(f fact, n uint64) int { return cmpUint(f.index, n) })
}

// eventAt returns the council's event at a log index; nil when it is not here.
func (v *verifier) eventAt(index uint64) *claimed {
	i, ok := slices.BinarySearchFunc(v.events, index, func(s claimed, n uint64) int { return cmpUint(s.index, n) })
	if !ok {
		return nil
	}
	return &v.events[i]
}

// judgeSharing follows what went out: logged before it went, within the
// agreement, signed for, and deleted when it was taken back.
func (v *verifier) judgeSharing() {
	s := &sharing{v: v, receivers: map[name.Council]*receiver{}, under: make([]uint64, len(v.records)), covered: make([]uint64, (len(v.records)+63)/64)}
	s.erasures()
	for i := range v.events {
		if d := &v.events[i]; d.kind == event.KindDisclosure {
			s.disclosure(d)
		}
	}
	for i := range v.foreign {
		if r := &v.foreign[i]; r.kind == event.KindReceipt {
			s.receipt(r)
		}
	}
	for i := range v.foreign {
		if r := &v.foreign[i]; r.kind == event.KindRetention {
			s.retention(r)
		}
	}
	for i := range v.events {
		if e := &v.events[i]; e.kind == event.KindFootprintConfirmed {
			s.confirm(e)
		}
	}
	s.withdrawals()
	s.sayErased()
	s.sayRetained()
	s.judgeLogged()
	s.judgeTerms()
	s.judgeMost()
	s.sayReceipts()
	s.judgeComplete()
}

// erasures takes in what the council says it has erased: it has to come after that, and
// none of it may be shown here all the same.
func (s *sharing) erasures() {
	v, t := s.v, s.v.on(CheckWithdrawals)
	s.erasedBy, s.erased = map[uint64]uint64{}, map[uint64]bool{}
	for i := range v.events {
		e := &v.events[i]
		if e.kind != event.KindErasure {
			continue
		}
		fault := ""
		for _, index := range e.entries {
			r, shown := v.recordAt(index)
			switch {
			case index >= e.index:
				fault = "says that an entry was erased that came after it"
			case v.eventAt(index) != nil:
				fault = fmt.Sprintf("says that entry %d was erased, which is no record", index)
			case shown && v.records[r].put:
				fault = fmt.Sprintf("says that entry %d was erased, which is shown here", index)
			default:
				s.erasedBy[index] = e.index
			}
		}
		if fault != "" {
			t.failEntry(e.index, fault, "")
			continue
		}
		v.counts.Erasures += len(e.entries)
	}
}

// sayErased says what of the erased was disclosed before.
func (s *sharing) sayErased() {
	v := s.v
	if v.counts.Erasures == 0 {
		return
	}
	v.say(CheckWithdrawals, "The council logged that it erased %s: nothing of what they said is kept by it, and the hash of each stands in its log. That is not withholding: of what is withheld the council still has the text.", count(v.counts.Erasures, "version"))
	if len(s.erased) > 0 {
		v.say(CheckWithdrawals, "%s of them had been disclosed before.", number(len(s.erased)))
	}
}

// disclosure takes in one logged batch.
func (s *sharing) disclosure(d *claimed) {
	v, t := s.v, s.v.on(CheckLogged)
	r := s.receiver(d.to)
	bit := uint64(0)
	for i, p := range v.covered {
		if p.doc.Name == d.agreement && uint64(p.doc.Version) == d.version {
			bit = 1 << i
		}
	}
	var records [][16]byte
	unknown := 0
	defer func() { s.count(d, records, unknown) }()
	for _, index := range d.entries {
		if index >= d.index {
			t.failEntry(d.index, "says that an entry went out that came after it", "")
			return
		}
		i, ok := v.recordAt(index)
		if ok {
			s.under[i] |= bit
			if d.agreement == v.covers.Agreement {
				set(s.covered, i)
			}
		}
		e := v.eventAt(index)
		if e == nil && s.erasedBy[index] == 0 && v.covers.Sample.Size > 0 && d.agreement == v.covers.Agreement {
			s.disclosed = append(s.disclosed, index)
		}
		switch {
		case ok:
			records = append(records, v.records[i].record)
		case e == nil:
			unknown++
		}
		switch {
		case !ok && e == nil && s.erasedBy[index] > 0:
			s.erased[index] = true
		case !ok && e == nil:
			s.absent++
		case r == nil:
		case ok:
			set(r.sent, i)
			// Under one text a record may come back as a new version, and never as an
			// old one.
			if w, ok := r.takenBack[letOut{d.agreement, d.version, v.records[i].record}]; ok && index < w {
				v.on(CheckWithdrawals).failEntry(index, fmt.Sprintf("went to %s again after it had been taken back", d.to), "")
			}
		case e.kind == event.KindWithdrawal:
			r.takenBack[letOut{e.agreement, e.version, e.record.Bytes()}] = index
		}
	}
}

// receipt takes in what a receiver signed for.
func (s *sharing) receipt(e *claimed) {
	v, t, at := s.v, s.v.on(CheckReceipts), place(eventsPath(e.by), e.line)
	v.counts.Receipts++
	s.signed = true
	if e.from != v.council {
		t.fail(at, "is a receipt for what another council sent", "")
		return
	}
	if !v.mayReceive(e.agreement, e.by) {
		t.fail(at, "is by a council that the agreement does not let receive", "")
		return
	}
	if v.main.Origin != "" && !e.all && e.size > v.main.Size {
		if s.beyond == nil {
			s.beyond = map[name.Council]int{}
		}
		s.beyond[e.by]++
	}
	if root, ok := v.roots[e.size]; ok && !e.all {
		if root != e.root && v.lostAt(e.size) != nil {
			v.on(CheckHistory).pass(1)
			v.lostRoots++
		} else if root != e.root {
			v.on(CheckHistory).fail(at, fmt.Sprintf("names another root of the log at %s than the checkpoint here: the log told two stories", count(int(e.size), "entry")), "")
		} else {
			v.on(CheckHistory).pass(1)
			v.sameRoot++
		}
	}
	r := s.receiver(e.by)
	if r == nil {
		t.pass(1) // it verifies, and is about an agreement that is not here
		return
	}
	r.all = r.all || e.all
	mark := func(bits, list []uint64, rule string) bool {
		for _, index := range list {
			if index >= e.size {
				t.fail(at, "signs for an entry beyond the checkpoint that it names", "")
				return false
			}
			i, ok := v.recordAt(index)
			if !ok {
				continue
			}
			// What is about another agreement may have been disclosed by an
			// event that is not here.
			if e.agreement == v.covers.Agreement && !get(r.sent, i) {
				t.failEntry(index, fmt.Sprintf("was %s by %s, and no logged disclosure says that it went there", rule, e.by), "")
				return false
			}
			set(bits, i)
		}
		return true
	}
	if !mark(r.held, e.entries, "signed for") || !mark(r.refused, e.refused, "refused") {
		return
	}
	r.signs(v, e)
	for _, index := range e.deleted {
		w := v.eventAt(index)
		if w != nil && w.kind != event.KindWithdrawal {
			t.fail(at, fmt.Sprintf("says that entry %d was obeyed as a withdrawal, and it is none", index), "")
			return
		}
		if w != nil {
			r.deleted[index] = true
		}
	}
	t.pass(1)
}

// retention takes in what a receiver says it deleted at the end of the time it may keep
// it: what it was sent, and no longer than it was agreed.
func (s *sharing) retention(e *claimed) {
	v, t, at := s.v, s.v.on(CheckReceipts), place(eventsPath(e.by), e.line)
	v.counts.Receipts++
	s.signed = true
	switch {
	case e.from != v.council:
		t.fail(at, "is about what another council sent", "")
		return
	case !v.mayReceive(e.agreement, e.by):
		t.fail(at, "is by a council that the agreement does not let receive", "")
		return
	}
	r := s.receiver(e.by)
	for _, index := range e.entries {
		i, ok := v.recordAt(index)
		if r == nil || !ok {
			continue
		}
		if e.agreement == v.covers.Agreement && !get(r.sent, i) {
			t.failEntry(index, fmt.Sprintf("was deleted at the end of its term by %s, and no logged disclosure says that it went there", e.by), "")
			return
		}
	}
	if !s.inTime(e, t) {
		return
	}
	if r != nil {
		for _, index := range e.entries {
			r.atTerm[index] = true
		}
	}
	if s.retained == nil {
		s.retained = map[name.Council]int{}
	}
	s.retained[e.by] += len(e.entries)
	v.counts.Retained += len(e.entries)
	t.pass(1)
}

// mayReceive reports whether some version of an agreement lets a council
// receive; of one whose text is not here nothing can be said.
func (v *verifier) mayReceive(a name.Agreement, c name.Council) bool {
	here := false
	for id, p := range v.papers {
		if id.name == a {
			here = true
			if slices.Contains(p.doc.To, c) {
				return true
			}
		}
	}
	return !here
}

// isReceiver reports whether some agreement here lets a council receive. When
// the one that the bundle covers is not here, nobody can be ruled out.
func (v *verifier) isReceiver(c name.Council) bool {
	if v.covers.Agreement != "" && len(v.covered) == 0 {
		return true
	}
	for _, p := range v.papers {
		if slices.Contains(p.doc.To, c) {
			return true
		}
	}
	return false
}

// withdrawals looks at each withdrawal: that it takes back what it says, and
// who has signed that it is deleted.
func (s *sharing) withdrawals() {
	v, t := s.v, s.v.on(CheckWithdrawals)
	waiting := map[name.Council]int{}
	for i := range v.events {
		w := &v.events[i]
		if w.kind != event.KindWithdrawal {
			continue
		}
		v.counts.Withdrawals++
		if i, ok := v.recordAt(w.entry); ok && v.records[i].record != w.record.Bytes() {
			t.failEntry(w.index, "takes back an entry that is of another record", "")
			continue
		}
		if w.entry >= w.index {
			t.failEntry(w.index, "takes back an entry that comes after it", "")
			continue
		}
		p := v.papers[agreementID{w.agreement, int(w.version)}]
		if p == nil {
			t.skip(1)
			continue
		}
		obeyed := true
		for _, c := range p.doc.To {
			if r := s.receiver(c); r == nil || !r.all && !r.deleted[w.index] {
				waiting[c]++
				obeyed = false
			}
		}
		if obeyed {
			t.pass(1)
		} else {
			t.skip(1)
		}
	}
	if v.counts.Withdrawals == 0 {
		v.say(CheckWithdrawals, "No withdrawal is in the file.")
		return
	}
	v.say(CheckWithdrawals, "Of %s, every receiver signed that it deleted what %s took back.", count(v.counts.Withdrawals, "withdrawal"), number(t.ok))
	for _, c := range sortedCouncils(waiting) {
		v.say(CheckWithdrawals, "For %s there is no receipt by %s in the file.", number(waiting[c]), c)
	}
}

// judgeLogged asks of each record in a bundle about an agreement whether the
// log says that it went out.
func (s *sharing) judgeLogged() {
	v, t := s.v, s.v.on(CheckLogged)
	if v.covers.Agreement == "" {
		v.say(CheckLogged, "The file is not about an agreement, so no record in it needs to have gone to anybody.")
		return
	}
	for i, r := range v.records {
		switch {
		case get(s.covered, i):
			t.pass(1)
		case r.put:
			t.failEntry(r.index, "is in no logged disclosure under the agreement", "")
		}
	}
	v.say(CheckLogged, "%s in disclosures that the council logged before sending.", was(t.ok, "record"))
	if sample := v.covers.Sample; sample.Size > 0 {
		s.judgeSample(sample)
		return
	}
	if s.absent > 0 {
		t.skip(s.absent)
		v.say(CheckLogged, "Disclosures also name %s that the file does not hold, such as versions that newer ones replaced; they were not looked at.", count(s.absent, "entry"))
	}
}

// judgeSample draws the sample again from what the disclosures in the file name, and
// compares it with the records that are here.
func (s *sharing) judgeSample(sample Sample) {
	v, t := s.v, s.v.on(CheckLogged)
	drawn := sample.Draw(s.disclosed)
	here := 0
	for _, index := range drawn {
		if _, ok := v.recordAt(index); !ok {
			t.failEntry(index, "is drawn by the seed, and is not in the file", "")
		} else {
			here++
		}
	}
	for _, r := range v.records {
		if _, ok := slices.BinarySearch(drawn, r.index); !ok && r.put {
			t.failEntry(r.index, "is not drawn by the seed", "")
		}
	}
	distinct := len(slices.Compact(slices.Sorted(slices.Values(s.disclosed))))
	v.say(CheckLogged, "The disclosures in the file name %s; the seed draws %s of them, and %s here.", count(distinct, "record"), number(len(drawn)), was(here, "record"))
}

// judgeTerms holds each record against the agreement's fields and rows.
func (s *sharing) judgeTerms() {
	v, fields, rows := s.v, s.v.on(CheckFields), s.v.on(CheckRows)
	if len(v.covered) == 0 {
		why := "The file is not about an agreement, so there is none to compare records with."
		if v.covers.Agreement != "" {
			why = "The agreement that the file is about is not in it in a form that can be read, so records were not compared with it."
			fields.skip(len(v.records))
			rows.skip(len(v.records))
		}
		v.say(CheckFields, "%s", why)
		v.say(CheckRows, "%s", why)
		return
	}
	for i, r := range v.records {
		if !r.put {
			continue
		}
		// The versions it went out under; for one that none is known of, the
		// newest.
		mask := s.under[i] & r.hasTerms
		if mask == 0 {
			mask = r.hasTerms & (1 << (len(v.covered) - 1))
		}
		switch {
		case !r.known:
			fields.skip(1)
			rows.skip(1)
			continue
		case mask == 0:
			fields.failEntry(r.index, "is of a standard, or a version of it, that the agreement does not speak of", "")
			continue
		case r.inFields&mask == 0:
			fields.failEntry(r.index, "shows a field that the agreement does not let out", r.excess)
		default:
			fields.pass(1)
		}
		switch {
		case r.inRows&mask != 0:
			rows.pass(1)
		case mask&^r.seesRows == 0:
			rows.failEntry(r.index, "is not one that the agreement's filter picks", "")
		default:
			rows.skip(1)
		}
	}
	presented := "This is how the council presents them here: what a receiver holds is for the receiver to show."
	if v.holder != "" {
		presented = "This is what " + string(v.holder) + " shows here of what it was given."
	}
	v.say(CheckFields, "%s nothing but fields of the agreement. %s", show(fields.ok), presented)
	if rows.ok+rows.failed > 0 {
		v.say(CheckRows, "%s picked by the agreement's filter, as far as it reads fields that travel.", was(rows.ok, "record"))
	}
	if rows.undone > 0 {
		v.say(CheckRows, "For %s the filter reads fields that are withheld here, so only the council can show that they match.", count(rows.undone, "record"))
	}
	if fields.undone > 0 {
		v.say(CheckFields, "For %s the standard is not here.", count(fields.undone, "record"))
	}
}

func show(n int) string {
	if n == 1 {
		return "1 record shows"
	}
	return count(n, "record") + " show"
}

// sayReceipts counts, for each receiver, what it signed for.
func (s *sharing) sayReceipts() {
	v, t := s.v, s.v.on(CheckReceipts)
	if v.counts.Receipts == 0 && t.failed == 0 {
		v.say(CheckReceipts, "No receipt is in the file.")
	}
	for _, c := range sortedCouncils(s.receivers) {
		r := s.receivers[c]
		sent, held, refused := 0, 0, 0
		for i := range v.records {
			if get(r.sent, i) {
				sent++
				switch {
				case get(r.held, i):
					held++
				case get(r.refused, i):
					refused++
				}
			}
		}
		if r.members != nil {
			s.sayConfirmed(r, held, sent)
		} else if sent > 0 {
			v.say(CheckReceipts, "%s signed for %s of %s that went to it.", c, number(held), count(sent, "record"))
		}
		if refused > 0 {
			v.say(CheckReceipts, "It refused %s.", number(refused))
		}
		if rest := sent - held - refused; rest > 0 {
			t.skip(rest)
			v.say(CheckReceipts, "For %s there is no receipt in the file.", number(rest))
		}
		if r.all {
			v.say(CheckReceipts, "%s signed that it deleted everything it held when the agreement was over.", c)
		}
	}
	for _, c := range sortedCouncils(s.without) {
		v.say(CheckReceipts, "In %s of a footprint the word of %s, a member by the directory, is missing.", count(s.without[c], "receipt"), c)
	}
	for _, c := range sortedCouncils(s.beyond) {
		v.say(CheckReceipts, "%s by %s: of a longer log than the newest checkpoint in the file, so that what was logged in between is not here. Ask for a newer file.", count(s.beyond[c], "receipt"), c)
	}
	if s.strangers {
		v.say(CheckReceipts, "Of a footprint nobody said who its members are, so that its receipts could not be checked.")
	}
	if s.signed {
		v.say(CheckReceipts, "That the receipts stand in the receivers' own logs was not checked.")
	}
}

func sortedCouncils[T any](m map[name.Council]T) []name.Council {
	var out []name.Council
	for c := range m {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}
