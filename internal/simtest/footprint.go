package simtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"testing/synctest"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// fens is the footprint of a world that has one. The first three councils keep it;
// the others bring records into it, and copy from it.
const (
	fens    = name.Council("fens.example")
	keepers = 3
	outName = name.Agreement(fens + "/out")
)

// A written is who wrote a body.
type written struct {
	by   name.Council
	body map[string]any
}

func (w *World) names() (out []name.Council) {
	for _, c := range w.councils {
		out = append(out, c.Name)
	}
	return out
}

// keeps reports whether a council is a member of the footprint.
func (w *World) keeps(c name.Council) bool {
	return w.fens && slices.Contains(w.names()[:keepers], c)
}

// into reports whether records go into the footprint under the text.
func (x *text) into() bool { return slices.Contains(x.doc.To, fens) }

// form has the first three councils form a footprint that adopts some standards, of which
// all others know from their directory.
func (w *World) form(standards ...string) {
	w.t.Helper()
	w.fens = true
	in := node.FootprintRequest{Name: string(fens)}
	a, b, c := w.councils[0], w.councils[1], w.councils[2]
	via := func(in node.FootprintRequest, c *Council) node.FootprintRequest {
		in.Via = []string{string(c.Name)}
		return in
	}
	of := func(in node.FootprintRequest, c *Council) node.FootprintRequest {
		in.Council = string(c.Name)
		return in
	}
	call(a, a.node.Footprints().Found, in)
	call(a, a.node.Footprints().Invite, of(in, b))
	call(b, b.node.Footprints().Join, via(in, a))
	call(a, a.node.Footprints().Invite, of(in, c))
	call(b, b.node.Footprints().Agree, of(in, c))
	call(c, c.node.Footprints().Join, via(in, a))
	for _, s := range standards {
		call(a, a.node.Footprints().Adopt, node.FootprintAdoptRequest{Name: string(fens), Standard: s})
	}
	w.await("all members vote", func() bool {
		st := call(a, a.node.Footprints().Status, in)[0].Status
		return !slices.ContainsFunc(st.Members, func(m node.FootprintMember) bool { return !m.Votes })
	})
	entry := call(b, b.node.Footprints().Entry, in)
	for _, d := range w.councils[keepers:] {
		call(d, d.node.Councils().Add, node.MemberRequest{Document: []byte(entry.Document)})
	}
}

// await lets time pass until something is so.
func (w *World) await(what string, so func() bool) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(time.Second) {
		synctest.Wait()
		if so() {
			return
		}
		if time.Since(start) > patience {
			w.fail("it is never so that %s", what)
		}
	}
}

// mayVote reports whether a council's signature counts for the footprint.
func (w *World) mayVote(c *Council, x *text) bool { return w.keeps(c.Name) && x.doc.Party(fens) }

// signs tells the model that a council is about to sign a text: for itself, for the
// footprint, or for both.
func (w *World) signs(c *Council, x *text) {
	w.t.Helper()
	body := agreement.Signature{Ref: x.doc.Ref()}.Body()
	if x.doc.Party(c.Name) {
		w.say(c.Name, event.KindAgreementSignature, body)
	}
	if !w.mayVote(c, x) {
		return
	}
	w.mu.Lock()
	d := x.doc.Digest()
	if w.votes[d] == nil {
		w.votes[d] = map[name.Council]bool{}
	}
	w.votes[d][c.Name] = true
	all := len(w.votes[d])
	w.mu.Unlock()
	if all > keepers/2 {
		w.say(fens, event.KindAgreementSignature, body)
	}
}

// proposeFens has a council propose that its records go into the footprint, or one
// of its members that records of the footprint go to those outside.
func (w *World) proposeFens(c *Council) {
	w.t.Helper()
	nm, from, to := name.Agreement(string(c.Name)+"/cases-5"), c.Name, []name.Council{fens}
	if w.keeps(c.Name) && w.rng.IntN(2) == 0 {
		nm, from, to = outName, fens, w.names()[keepers:]
	} else if w.keeps(c.Name) && w.rng.IntN(3) == 0 {
		to = append(to, w.names()[keepers:]...)
	}
	w.mu.Lock()
	texts, over := w.texts[nm], w.overFrom[nm]
	w.mu.Unlock()
	if len(texts) > 3 || over {
		return
	}
	if len(texts) > 0 {
		last := texts[len(texts)-1].doc
		// One proposes on top of what one knows.
		if _, err := try(c, c.node.Agreements().Show, node.AgreementRequest{Name: string(nm), Version: last.Version}); err != nil {
			return
		}
		to = last.To
	}
	x := w.text(nm, len(texts)+1, from, to)
	w.mu.Lock()
	w.texts[nm] = append(w.texts[nm], x)
	w.mu.Unlock()
	w.tell("%s proposes %s version %d to %v: %s of %v", c.Name, nm, x.doc.Version, to, x.rule.cel, x.fields)
	w.say(from, event.KindAgreementProposal, agreement.Proposal{Agreement: x.doc}.Body())
	w.signs(c, x)
	call(c, c.node.Agreements().Sign, node.AgreementRequest{Document: x.doc.YAML()})
}

// shared are the protocols on which members of a footprint speak of its records.
var shared = []string{"/stile/raft/1", "/stile/footprint/1", wirepb.ContributeProtocol}

// tapShared looks at a write that is no frame of an exchange between two councils. A
// value may go to a member of the footprint when some text that all have signed lets
// it into the footprint, and nowhere else.
func (w *World) tapShared(wr wire.Write) {
	key := fmt.Sprint(wr.Stream, wr.Opener)
	w.mu.Lock()
	b := append(w.tails[key], wr.Data...)
	w.tails[key] = slices.Clone(b[max(0, len(b)-512):])
	var bad []canary
	scan(b, func(x canary) {
		if wr.Protocol == peersync.HeldProtocol && w.written[x.number].by == wr.To {
			return // it goes back to whose it is
		}
		if !slices.Contains(shared, wr.Protocol) || !w.keeps(wr.To) || !w.mayEnter(x) {
			bad = append(bad, x)
		}
	})
	w.mu.Unlock()
	for _, x := range bad {
		w.breach("%s sends %s to %s over %s: no text that all have signed lets it go there", wr.From, x.place, wr.To, wr.Protocol)
	}
}

// mayEnter reports whether a text that all have signed lets a value into the
// footprint. w.mu is held.
func (w *World) mayEnter(v canary) bool {
	if w.entered[v] {
		return true
	}
	of, ok := w.written[v.number]
	for _, texts := range w.texts {
		for _, x := range texts {
			if ok && x.into() && x.doc.From == of.by && covers(x.fields, v.place) && x.rule.picks(of.body) && w.signedByAll(x.doc) {
				w.entered[v] = true
				return true
			}
		}
	}
	return false
}

// tapOutward returns why a member may not send a record of the footprint to a
// council outside, "" if it may: the one who contributed it has signed the text, and
// what is shown of it was let into the footprint.
func (w *World) tapOutward(from, to name.Council, nm name.Agreement, v *record.View, token []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.keeps(from) {
		return "the sender is no member"
	}
	ref, _ := v.Body["reference"].(string)
	if w.council(v.Council).facts[ref].wrote(v, token) == nil {
		return fmt.Sprintf("version %d of %q of %s was never written", v.Version, ref, v.Council)
	}
	var values []canary
	scan(token, func(x canary) { values = append(values, x) })
	if slices.ContainsFunc(values, func(x canary) bool { return !w.mayEnter(x) }) {
		return "it shows what may not stand in the footprint"
	}
	why := "no text of it was signed by all"
	for _, x := range w.texts[nm] {
		switch {
		case !x.doc.Party(to) || !w.signedByAll(x.doc):
		case !w.votes[x.doc.Digest()][v.Council]:
			why = "the contributor has not signed"
		default:
			if why = x.beyond(v, token); why == "" {
				return ""
			}
		}
	}
	return why
}

// common returns what should stand in the footprint, as its members read it: by
// contributor and reference, what is to be seen of a record, and its version.
func (w *World) common() (bodies map[string]map[string]any, versions map[string]int) {
	bodies, versions = map[string]map[string]any{}, map[string]int{}
	for _, c := range w.councils {
		x := w.terms(name.Agreement(string(c.Name) + "/cases-5"))
		if x == nil || !x.into() {
			continue
		}
		w.mu.Lock()
		for ref, f := range c.facts {
			if b := f.now(); x.rule.picks(b) {
				key := string(c.Name) + " " + ref
				bodies[key], versions[key] = x.narrow(b), len(f.versions)
			}
		}
		w.mu.Unlock()
	}
	return bodies, versions
}

// outward returns what a council outside should hold under a text with the footprint:
// records of those members who have signed it themselves.
func (w *World) outward(x *text) map[string]string {
	out := map[string]string{}
	bodies, versions := w.common()
	for key, b := range bodies {
		by, _, _ := strings.Cut(key, " ")
		if w.votes[x.doc.Digest()][name.Council(by)] && x.rule.picks(b) {
			out[key] = fmt.Sprint(versions[key]) + " " + x.seen(b)
		}
	}
	return out
}

// restlessFens returns what of the footprint has not come to where it should be.
func (w *World) restlessFens() string {
	w.t.Helper()
	if !w.fens {
		return ""
	}
	bodies, versions := w.common()
	want := map[string]string{}
	for key, b := range bodies {
		j, err := json.Marshal(b)
		if err != nil {
			panic(err)
		}
		want[key] = fmt.Sprint(versions[key]) + " " + string(j)
	}
	for _, c := range w.councils[:keepers] {
		got := map[string]string{}
		in := node.FootprintListRequest{Name: string(fens), Linearizable: true, Bodies: true, Limit: 1000}
		for {
			page, err := try(c, c.node.Footprints().Records, in)
			if err != nil {
				return fmt.Sprintf("%s reads the footprint: %v", c.Name, err)
			}
			for _, r := range page.Records {
				got[string(r.Council)+" "+reference(r.Body)] = fmt.Sprint(r.Version) + " " + string(r.Body)
			}
			if in.Cursor = page.Cursor; in.Cursor == "" {
				break
			}
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s reads in the footprint%s", c.Name, difference(got, want))
		}
		if st := call(c, c.node.Footprints().Status, node.FootprintRequest{Name: string(fens)})[0].Status; st.Evidence > 0 || st.Stopped != "" {
			w.breach("%s: %d pieces of evidence against honest members, %q", c.Name, st.Evidence, st.Stopped)
		}
	}
	for _, c := range w.councils[keepers:] {
		got := map[string]string{}
		for _, r := range c.holdings(fens) {
			got[string(r.Council)+" "+reference(r.Body)] = fmt.Sprint(r.Version) + " " + string(r.Body)
		}
		if want := w.should(c, outName); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s holds from the footprint%s", c.Name, difference(got, want))
		}
	}
	return ""
}

func reference(body []byte) string {
	var b struct {
		Reference string `json:"reference"`
	}
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	return b.Reference
}

// walkOutward: what is held from the footprint is what should be, signed by whoever
// contributed it.
func (e *estate) walkOutward(src *ledger.Source) {
	w := e.w
	want := w.should(e.Council, src.Agreement)
	x := w.terms(src.Agreement)
	n := 0
	e.view(func(v *ledger.View) error {
		if k := e.ledger.Known(fens); k.Quarantine != nil {
			return fmt.Errorf("the footprint is in quarantine: %s", k.Quarantine.Reason)
		}
		err := v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
			if n++; err != nil {
				w.breach("%s: %v", e.Name, err)
				return true
			}
			by := w.council(h.View.Council)
			if err := h.Token.Verify(by.ring.Record.Public()); err != nil {
				w.breach("%s holds entry %d of the footprint: %v", e.Name, h.Index, err)
			}
			if x != nil {
				if why := x.beyond(h.View, h.Token.Bytes()); why != "" {
					w.breach("%s holds entry %d of the footprint: %s", e.Name, h.Index, why)
				}
			}
			return true
		})
		return errors.Join(err, v.Refusals(src, func(r ledger.Refusal) bool {
			w.breach("%s refused entry %d of the footprint under %s: %s %s", e.Name, r.Index, r.Agreement, r.Rule, r.Pointer)
			return true
		}))
	})
	if n != len(want) || src.Records != n {
		w.breach("%s holds %d records of the footprint, counts %d, should hold %d", e.Name, n, src.Records, len(want))
	}
}

// heldOutward notes what a council outside holds from the footprint, and what of the
// same records it was sent before.
func (w *World) heldOutward(c *Council, x *text, now, before map[canary]bool) {
	bodies, _ := w.common()
	outward := w.outward(x)
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range outward {
		for _, v := range canariesOf(x.narrow(bodies[key])) {
			now[v] = true
		}
		by, ref, _ := strings.Cut(key, " ")
		for _, old := range w.council(name.Council(by)).facts[ref].versions {
			for _, v := range canariesOf(old) {
				if w.sent[c.Name][x.doc.Name][v] {
					before[v] = true
				}
			}
		}
	}
}

// faultsShared returns what is wrong with what was found in a council's folder of
// replicas. What stands in the footprint is there. What stood there may be, in the
// replicated log, until that is cut off; nothing else, ever.
func (w *World) faultsShared(c *Council, found map[canary]string) []string {
	must, may := map[canary]bool{}, map[canary]bool{}
	if w.keeps(c.Name) {
		bodies, _ := w.common()
		for _, b := range bodies {
			for _, v := range canariesOf(b) {
				must[v] = true
			}
		}
		w.mu.Lock()
		for v := range found {
			may[v] = w.mayEnter(v)
		}
		w.mu.Unlock()
	}
	return w.compare(c, found, must, may)
}
