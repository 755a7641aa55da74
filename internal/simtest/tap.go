package simtest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// tap sees every write of every council before anything becomes of it. It takes
// the frame apart, holds what is in it against what was signed (I3), and says
// what the weather does to it.
func (w *World) tap(wr wire.Write) wire.Fault {
	if wr.Protocol == wirepb.LookupProtocol {
		w.tapQuestion(wr)
	}
	if wr.Protocol != wirepb.Protocol && wr.Protocol != wirepb.LookupProtocol {
		w.tapShared(wr)
	}
	if wr.Protocol == wirepb.Protocol {
		f, err := wirepb.NewReader(bytes.NewReader(wr.Data)).Read()
		switch {
		case err != nil:
			w.breach("%s sends what is no frame: %v", wr.From, err)
		case f.GetHello() != nil:
			w.mu.Lock()
			w.feeds[wr.Stream] = f.GetHello().GetFeed()
			w.mu.Unlock()
		case f.GetBatch() != nil:
			w.mu.Lock()
			feed := w.feeds[wr.Stream]
			w.mu.Unlock()
			w.tapBatch(wr.From, wr.To, feed, f.GetBatch())
		default:
			if strings.Contains(f.String(), canaryWord) {
				w.breach("%s sends a value to %s outside a batch", wr.From, wr.To)
			}
		}
	}
	w.mu.Lock()
	fault := w.fault
	w.mu.Unlock()
	if fault == nil {
		return wire.None
	}
	return fault(wr)
}

// tapQuestion looks at one message about a question. Only the asker's value, and the
// records of an answer, may hold a value.
func (w *World) tapQuestion(wr wire.Write) {
	in := bufio.NewReader(bytes.NewReader(wr.Data))
	if wr.Opener {
		if wr.Serial == 0 {
			q, err := wirepb.ReadQuestion(in)
			if err != nil {
				w.breach("%s sends what is no question: %v", wr.From, err)
				return
			}
			_, ev, err := record.ParseEvent(q.GetEvent())
			if err != nil || len(canaries(q.GetEvent())) > 0 {
				w.breach("%s asks with an event that holds a value: %v", wr.From, err)
				return
			}
			w.mu.Lock()
			w.feeds[wr.Stream] = string(event.AgreementOf(ev.Body))
			w.mu.Unlock()
		} else if len(canaries(wr.Data)) > 0 {
			w.breach("%s sends a receipt with a value", wr.From)
		}
		return
	}
	a, err := wirepb.ReadAnswer(in)
	if err != nil {
		w.breach("%s sends what is no answer: %v", wr.From, err)
		return
	}
	w.mu.Lock()
	nm := w.feeds[wr.Stream]
	w.mu.Unlock()
	for _, e := range a.GetEntries() {
		if why := w.tapRecord(wr.From, wr.To, nm, e.GetToken()); why != "" {
			w.breach("%s answers %s under %s with entry %d: %s", wr.From, wr.To, nm, e.GetIndex(), why)
		}
	}
	if b := a.GetCounts().GetToken(); b != nil {
		if why := w.tapCounts(wr.From, wr.To, nm, b); why != "" {
			w.breach("%s answers %s under %s with counts: %s", wr.From, wr.To, nm, why)
		}
	}
	for _, b := range [][]byte{a.GetEvent(), a.GetCounts().GetToken(), []byte(a.GetReason())} {
		if len(canaries(b)) > 0 {
			w.breach("%s answers %s with a value beside the records", wr.From, wr.To)
		}
	}
}

func (w *World) tapBatch(from, to name.Council, feed string, b *wirepb.Batch) {
	if len(canaries(b.GetTable())) > 0 {
		w.breach("%s sends a table with values to %s", from, to)
	}
	ahead := ""
	if b.GetAhead() {
		ahead = " ahead of a copy"
		w.mu.Lock()
		w.first++
		w.mu.Unlock()
	}
	for _, it := range b.GetItems() {
		if len(it.GetRecord()) == 0 {
			if places := canaries(it.GetEvent()); len(places) > 0 {
				w.breach("%s sends an event with values to %s", from, to)
			}
			continue
		}
		token, err := unpacked(b.GetTable(), it.GetRecord())
		if err != nil {
			w.breach("%s sends entry %d to %s: %v", from, it.GetIndex(), to, err)
			continue
		}
		if why := w.tapRecord(from, to, feed, token); why != "" {
			w.breach("%s sends entry %d to %s%s under %s: %s", from, it.GetIndex(), to, ahead, feed, why)
		}
		w.mu.Lock()
		by := w.sent[to]
		if by == nil {
			by = map[name.Agreement]map[canary]bool{}
			w.sent[to] = by
		}
		if by[name.Agreement(feed)] == nil {
			by[name.Agreement(feed)] = map[canary]bool{}
		}
		scan(token, func(x canary) { by[name.Agreement(feed)][x] = true })
		w.mu.Unlock()
	}
}

// unpacked returns the token of a record of a batch.
func unpacked(table, packed []byte) ([]byte, error) {
	tb, err := record.ReadTable(table)
	if err != nil {
		return nil, err
	}
	t, err := tb.Token(packed)
	if err != nil {
		return nil, err
	}
	return t.Bytes(), nil
}

// tapRecord returns why a record may not go from one council to another, ""
// if it may: some text that all parties have signed must pick the whole record
// and list every field that is visible of it.
func (w *World) tapRecord(from, to name.Council, feed string, token []byte) string {
	tok, err := record.Parse(token)
	if err != nil {
		return err.Error()
	}
	v, err := tok.View()
	if err != nil {
		return err.Error()
	}
	if sender(name.Agreement(feed)) == fens {
		return w.tapOutward(from, to, name.Agreement(feed), v, token)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	ref, _ := v.Body["reference"].(string)
	f := w.council(from).facts[ref]
	written := f.wrote(v, token)
	if v.Council != from || written == nil {
		return fmt.Sprintf("version %d of %q of %s was never written", v.Version, ref, v.Council)
	}
	nm := name.Agreement(feed)
	if w.overFrom[nm] {
		return "the sender has ended the agreement"
	}
	why := "no text of it was signed by all"
	for _, x := range w.texts[nm] {
		if !x.doc.Party(to) || x.doc.From != from || !w.signedByAll(x.doc) {
			continue
		}
		if x.major != v.Standard.Version.Major {
			why = "no text of it is over that major of the standard"
			continue
		}
		if x.counts() {
			why = "nothing but counts may leave under it"
			continue
		}
		if w.halted[x.doc.Digest()] {
			why = "the sender has suspended the agreement"
			continue
		}
		if !slices.ContainsFunc(written, x.rule.picks) {
			why = "no text of it picks the row"
			continue
		}
		why = x.beyond(v, token)
		if why == "" {
			if x.major > 1 {
				w.made++
			}
			return ""
		}
	}
	return why
}

// wrote returns the bodies that a record was made of: that of the version it is, or
// all it may have been made of by a mapping, which are those with the values that are
// seen in it.
func (f *fact) wrote(v *record.View, token []byte) (out []map[string]any) {
	if f == nil {
		return nil
	}
	if v.Standard.Version.Major == 1 {
		if int(v.Version) <= len(f.versions) && f.versions[v.Version-1] != nil {
			out = append(out, f.versions[v.Version-1])
		}
		return out
	}
	var seen []canary
	scan(token, func(x canary) { seen = append(seen, x) })
	for _, b := range f.versions {
		values := canariesOf(b)
		if b != nil && !slices.ContainsFunc(seen, func(x canary) bool { return !slices.Contains(values, x) }) {
			out = append(out, b)
		}
	}
	return out
}

// beyond returns what is visible of a record that the text does not list.
func (x *text) beyond(v *record.View, token []byte) string {
	for _, place := range append(canaries(token), v.Disclosed...) {
		// An emptied container above a listed field is no value.
		if place != "/person" && place != "/notes" && !covers(x.fields, place) {
			return "it shows " + place
		}
	}
	for k := range v.Body {
		if k != "reference" && k != "person" && k != "notes" && !covers(x.fields, "/"+k) {
			return "it shows /" + k
		}
	}
	return ""
}

// signedByAll: w.mu is held.
func (w *World) signedByAll(doc *agreement.Agreement) bool {
	for _, st := range w.state.Versions(doc.Name, now()) {
		if st.Digest == doc.Digest() {
			return len(st.Awaiting) == 0
		}
	}
	return false
}

var place = regexp.MustCompile(canaryWord + ` (/[a-z/0-9]*)`)

// canaries returns the places of all values that stand in a token, in clear or
// in any part of it that is base64.
func canaries(token []byte) (places []string) {
	add := func(b []byte) {
		for _, m := range place.FindAllSubmatch(b, -1) {
			places = append(places, string(m[1]))
		}
	}
	add(token)
	for _, part := range bytes.FieldsFunc(token, func(r rune) bool { return r == '.' || r == '~' }) {
		b := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
		if n, err := base64.RawURLEncoding.Decode(b, part); err == nil {
			add(b[:n])
		}
	}
	return places
}
