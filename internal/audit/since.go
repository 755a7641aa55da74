package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A holder's bundle names what the newest commitment counts and the holder does not have
// any more. All of it is the holder's word, and is believed as far as something speaks for
// it: the number and root of the commitment must come out, what a hash is of must hash to
// it, and the council's own words must say that the record changed, or was taken back, after
// the commitment. So each record that a holder hides needs a change that its council signed.

// A Gone is a member of what a council committed to that a holder does not have.
type Gone struct {
	Entry  uint64 // of the council's log: what counted
	By     uint64 // the entry after which it counted no more; 0 with [api.GoneNotHeld] alone
	Record name.Record
	Why    string    // one of the Gone constants of package api
	Hash   tlog.Hash // [agreement.Permitted.Hash]
	// What the hash is of, where that is kept: then Hash need not be given.
	Version uint64 // 0: it is not
	Digest  tlog.Hash
	Fields  []string // as [agreement.FieldsOf] spells them
}

// line spells a Gone, without the line feed.
func (g *Gone) line() []byte {
	m := map[string]any{"entry": g.Entry, "record": string(g.Record), "why": g.Why}
	if g.By > 0 {
		m["by"] = g.By
	}
	if g.Version == 0 {
		m["hash"] = g.Hash.String()
		return strictjson.Canonical(m)
	}
	fields := make([]any, len(g.Fields))
	for i, f := range g.Fields {
		fields[i] = f
	}
	m["version"], m["digest"], m["fields"] = g.Version, g.Digest.String(), fields
	return strictjson.Canonical(m)
}

// hashed returns the hash of what the hash is of.
func (g *Gone) hashed() tlog.Hash {
	return agreement.Permitted{Index: g.Entry, Record: g.Record, Version: g.Version, Entry: g.Digest, Fields: g.Fields}.Hash()
}

var errGone = errors.New("is no line of what has gone")

// parseGone reads a line without its line feed; what it accepts, line prints again.
func parseGone(b []byte) (g Gone, err error) {
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: maxLine, Depth: 3})
	if err != nil {
		return g, errGone
	}
	m, _ := v.(map[string]any)
	text := func(key string) string { s, _ := m[key].(string); return s }
	ok := false
	if g.Entry, ok = event.ParseNumber(m["entry"]); !ok {
		return g, errGone
	}
	g.By, _ = event.ParseNumber(m["by"])
	if g.Record, err = name.ParseRecord(text("record")); err != nil {
		return g, errGone
	}
	g.Record = name.Record(strings.Clone(string(g.Record)))
	for _, why := range []string{api.GoneNewer, api.GoneTakenBack, api.GoneErased, api.GoneNotHeld} {
		if text("why") == why {
			g.Why = why
		}
	}
	if g.Why == "" || (g.Why == api.GoneNotHeld) != (g.By == 0) {
		return g, errGone
	}
	if g.Version, _ = event.ParseNumber(m["version"]); g.Version > 0 {
		if g.Digest, err = tlog.ParseHash(text("digest")); err != nil {
			return g, errGone
		}
		list, _ := m["fields"].([]any)
		for _, f := range list {
			s, _ := f.(string)
			g.Fields = append(g.Fields, s)
		}
	} else if g.Hash, err = tlog.ParseHash(text("hash")); err != nil {
		return g, errGone
	}
	if string(g.line()) != string(b) {
		return g, errGone
	}
	if g.Version > 0 {
		g.Hash = g.hashed()
	}
	return g, nil
}

// SetGone says, in a holder's bundle, what a commitment counts and is not held, in any order. Each has its
// Hash; what the hashes are of is left out where it would take more than MaxGone bytes.
func (w *Writer) SetGone(list []Gone) error {
	if w.doc.Holder == "" || w.doc.Sizes.Gone > 0 {
		return w.fail(errors.New("say what has gone: a holder does, once"))
	}
	list = slices.SortedFunc(slices.Values(list), func(a, b Gone) int { return cmpUint(a.Entry, b.Entry) })
	write := func(of bool) (*packer, error) {
		p := newPacker()
		for i, g := range list {
			if !of {
				g.Version = 0
			}
			line := g.line()
			if is, err := parseGone(line); err != nil || is.Hash != g.Hash || i > 0 && g.Entry == list[i-1].Entry {
				return nil, fmt.Errorf("say what has gone: entry %d is there twice, or has no such hash", g.Entry)
			}
			p.write(append(line, '\n'))
		}
		return p, nil
	}
	p, err := write(true)
	if err == nil && p.size > MaxGone {
		p, err = write(false)
	}
	if err == nil && p.size > MaxGone {
		err = fmt.Errorf("say what has gone: more than %d bytes", MaxGone)
	}
	if err != nil {
		return w.fail(err)
	}
	if w.doc.Sizes.Gone = len(list); len(list) > 0 {
		w.files[gonePath] = p
	}
	return nil
}

// readGone reads what a holder says has gone. Of what a hash is of the version is kept, which says that
// the record is bound to it.
func (v *verifier) readGone() {
	if v.gone == nil {
		return
	}
	r, err := v.gone.Open()
	if err != nil {
		v.on(CheckContents).fail(gonePath, "is damaged", "")
		return
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if err == io.EOF && len(line) == 0 {
			return
		}
		var g Gone
		if err == nil {
			g, err = parseGone(line[:len(line)-1])
		}
		if last := len(v.lines) - 1; err == nil && last >= 0 && g.Entry <= v.lines[last].Entry {
			err = errGone
		}
		if err != nil {
			v.on(CheckContents).fail(place(gonePath, n), "is damaged, cut off, too long, out of order or no line of what has gone", "")
			return
		}
		g.Fields = nil
		v.lines = append(v.lines, g)
	}
}

// since is what a holder says has gone since a commitment, held against what the file shows.
type since struct {
	tally tlog.Tally // of what is here and what has gone
	here  int        // of them, how many are here
	later int        // records here that came later
	gone  []Gone     // those that count and are not here
	word  int        // of gone, those for which the holder's word alone speaks
}

// since counts what is here and what has gone at a commitment under the text at i of
// v.covered. ok is false when a record here cannot be counted.
func (s *sharing) since(c *claimed, i int) (out since, ok bool) {
	v, t := s.v, s.v.on(CheckComplete)
	overtaken := map[[16]byte]uint64{} // by what is not held, though it counts
	for _, g := range v.lines {
		switch {
		case g.Entry >= c.size || g.By > 0 && g.By < c.size:
			t.failEntry(g.Entry, fmt.Sprintf("is said to have gone since the commitment at %s, which does not count it", c.committedAt()), "")
		case g.Why == api.GoneNotHeld:
			overtaken[g.Record.Bytes()] = max(overtaken[g.Record.Bytes()], g.Entry)
		}
	}
	lines := v.lines
	add := func(g Gone) {
		out.tally.Add(g.Hash)
		out.gone = append(out.gone, g)
	}
	for n := range v.records {
		r := &v.records[n]
		if r.index >= c.size {
			out.later++
			continue
		}
		if i < 0 || len(r.members) <= i || r.members[i] == (tlog.Hash{}) {
			return out, false
		}
		for len(lines) > 0 && lines[0].Entry < r.index {
			add(lines[0])
			lines = lines[1:]
		}
		said := len(lines) > 0 && lines[0].Entry == r.index
		if said {
			if lines[0].Hash != r.members[i] {
				t.failEntry(r.index, "is said to have gone, and is here and another", "")
			}
			lines = lines[1:]
		}
		if overtaken[r.record] > r.index {
			continue
		}
		out.tally.Add(r.members[i])
		out.here++
	}
	for _, g := range lines {
		add(g)
	}
	out.word = s.shown(c, out.gone)
	return out, true
}

// shown holds each that is said to have gone against what the file shows, and returns of how
// many nothing but the holder's word says so.
func (s *sharing) shown(c *claimed, list []Gone) (word int) {
	v, t := s.v, s.v.on(CheckComplete)
	if len(list) == 0 {
		return 0
	}
	newest, taken := map[[16]byte]int{}, map[[16]byte]int{} // by record: the last in v.records and in v.events
	for n := range v.records {
		newest[v.records[n].record] = n
	}
	by := map[uint64]*claimed{}
	for n := range v.events {
		if e := &v.events[n]; e.kind == event.KindWithdrawal && e.agreement == c.agreement {
			taken[e.record.Bytes()], by[e.index] = n, e
		}
	}
	signed := map[uint64]bool{} // what the holder signed that it refused, or deleted at the end of its term
	for n := range v.foreign {
		e := &v.foreign[n]
		if e.by != v.holder || e.from != v.council || e.agreement != c.agreement {
			continue
		}
		list := e.refused
		if e.kind == event.KindRetention {
			list = e.entries
		}
		for _, index := range list {
			signed[index] = true
		}
	}
	for _, g := range list {
		id := g.Record.Bytes()
		bound := g.Version > 0
		n, back := taken[id]
		back = back && v.events[n].index >= c.size
		m, newer := newest[id]
		newer = newer && v.records[m].index >= c.size && v.records[m].version > g.Version
		e := by[g.By]
		k, said := slices.BinarySearchFunc(v.events, g.By, func(e claimed, index uint64) int { return cmpUint(e.index, index) })
		at, there := slices.BinarySearchFunc(v.records, g.By, func(f fact, index uint64) int { return cmpUint(f.index, index) })
		switch {
		case g.Why == api.GoneNotHeld:
			if !signed[g.Entry] {
				word++
			}
			continue
		case said && (e == nil || v.events[k].record != g.Record), there && v.records[at].record != id:
			t.failEntry(g.Entry, fmt.Sprintf("is said to have gone by entry %d, which is about something else", g.By), "")
		case e != nil && g.Why == api.GoneNewer, there && g.Why != api.GoneNewer, e != nil && (g.Why == api.GoneErased) != e.erases:
			t.failEntry(g.Entry, fmt.Sprintf("is said to be %s by entry %d, which does something else", g.Why, g.By), "")
		case e != nil && e.entry == g.Entry: // the council says which of its entries it took back
		case bound && (back || newer):
		default:
			word++
		}
	}
	return word
}
