package simtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// share brings a text over all rows and all fields but the secret into force, to or
// from the footprint; by proposes it, and the others sign in their order.
func (w *World) share(nm name.Agreement, by *Council, from, to name.Council, others ...*Council) *text {
	w.t.Helper()
	x := w.text(nm, 1, from, []name.Council{to})
	for len(x.fields) != 6 || x.rule.cel != "true" {
		x = w.text(nm, 1, from, []name.Council{to})
	}
	w.texts[nm] = []*text{x}
	w.say(from, event.KindAgreementProposal, agreement.Proposal{Agreement: x.doc}.Body())
	w.signs(by, x)
	call(by, by.node.Agreements().Sign, node.AgreementRequest{Document: x.doc.YAML()})
	for _, c := range others {
		in := node.AgreementRequest{Name: string(nm), Version: 1}
		w.await("the text arrives", func() bool {
			_, err := try(c, c.node.Agreements().Show, in)
			return err == nil
		})
		w.signs(c, x)
		call(c, c.node.Agreements().Sign, in)
	}
	return x
}

// valueOf returns a value of a record that a council wrote.
func (w *World) valueOf(c *Council, place string) canary {
	w.t.Helper()
	for _, f := range c.facts {
		for _, x := range canariesOf(f.now()) {
			if x.place == place {
				return x
			}
		}
	}
	w.t.Fatalf("%s wrote no %s", c.Name, place)
	panic("unreachable")
}

func (x canary) text() string { return fmt.Sprintf("%s %s %s.", canaryWord, x.place, x.number) }

// breaches returns what was noted since it was asked last.
func (w *World) breaches() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := strings.Join(w.broken, "\n")
	w.broken = nil
	return out
}

// TestFootprintScanFails: each check of a world with a footprint fails on what it is
// there to find. A value is planted on every stream and in every folder; and where
// only an honest node can send, the model is made to say less than was agreed.
func TestFootprintScanFails(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 3, keepers+1)
		a, b, c, d := w.councils[0], w.councils[1], w.councils[2], w.councils[3]
		var sent []wire.Write // to the council outside
		w.net.OnWrite(func(wr wire.Write) wire.Fault {
			if wr.To == d.Name && w.keeps(wr.From) && wr.Protocol == wirepb.Protocol {
				wr.Data = slices.Clone(wr.Data)
				w.mu.Lock()
				sent = append(sent, wr)
				w.mu.Unlock()
			}
			return w.tap(wr)
		})
		w.form(string(caseName) + "@1")
		in := w.share(name.Agreement(string(d.Name)+"/cases-5"), d, d.Name, fens, a, b)
		own := w.share(name.Agreement(string(a.Name)+"/cases-5"), a, a.Name, fens, b)
		out := w.share(outName, a, fens, d.Name, b, d)
		w.write(d, 9)
		w.write(a, 9)
		w.write(b, 20) // goes nowhere
		w.await("all is where it should be", func() bool { return w.restlessFens() == "" })
		if got := w.breaches(); got != "" || len(d.holdings(fens)) == 0 {
			t.Fatalf("as it is, with %d records outside: %s", len(d.holdings(fens)), got)
		}
		streamsFail(w, c, d)

		// What a member sends to the council outside, once more.
		replay := func(what, want string) {
			t.Helper()
			for _, wr := range sent {
				w.tap(wr)
			}
			if got := w.breaches(); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s, sent to a council outside: want %q, got %q", what, want, got)
			}
		}
		replay("what was agreed", "")
		digest := out.doc.Digest()
		delete(w.votes[digest], a.Name)
		replay("a record of a member that has not signed", "the contributor has not signed")
		w.votes[digest][a.Name] = true
		fields := out.fields
		out.fields = []name.Field{"/reference", "/ward"}
		replay("a withheld field", "/person/name")
		out.fields = fields
		entered, ownFields := w.entered, own.fields
		w.entered, own.fields = map[canary]bool{}, []name.Field{"/reference", "/ward"}
		replay("what may not stand in the footprint", "it shows what may not stand in the footprint")
		w.entered, own.fields = entered, ownFields
		replay("what was agreed", "")

		// What the members read, and what the one outside holds.
		rows := in.rule
		in.rule = rule{"false", "", func(map[string]any) bool { return false }}
		if got := w.restlessFens(); !strings.Contains(got, "reads in the footprint") {
			t.Errorf("a row outside the filter in the footprint: %q", got)
		}
		in.rule = rows
		delete(w.votes[digest], a.Name)
		if got := w.restlessFens(); !strings.Contains(got, string(d.Name)+" holds from the footprint") {
			t.Errorf("a record that should not be held outside: %q", got)
		}
		w.votes[digest][a.Name] = true
		foldersFail(w, b, c, d)
	})
}

// streamsFail plants values on every stream on which members speak.
func streamsFail(w *World, member, outside *Council) {
	w.t.Helper()
	stream := uint64(1 << 32)
	plant := func(protocol string, to *Council, parts ...string) string {
		stream++
		for i, p := range parts {
			w.tap(wire.Write{From: w.councils[0].Name, To: to.Name, Protocol: protocol, Stream: stream, Opener: true, Serial: i, Data: []byte(p)})
		}
		return w.breaches()
	}
	may := w.valueOf(outside, "/person/name").text()
	secret := w.valueOf(outside, "/secret").text()
	kept := w.valueOf(w.councils[1], "/person/name").text() // under no text
	for _, p := range shared {
		if got := plant(p, member, "x"+may+"x"); got != "" {
			w.t.Errorf("%s: what may enter: %s", p, got)
		}
		for what, got := range map[string]string{
			"a withheld field":            plant(p, member, secret),
			"a record under no text":      plant(p, member, kept),
			"a value in two writes":       plant(p, member, secret[:9], secret[9:]),
			"a value to a council beside": plant(p, outside, may),
		} {
			if !strings.Contains(got, "over "+p) {
				w.t.Errorf("%s: %s is not caught: %q", p, what, got)
			}
		}
	}
	if got := plant("/stile/other/1", member, may); !strings.Contains(got, "over /stile/other/1") {
		w.t.Errorf("a value on a stream that is not for it is not caught: %q", got)
	}
}

// foldersFail plants values in every folder of a member and of the council outside.
func foldersFail(w *World, by, member, outside *Council) {
	w.t.Helper()
	for _, c := range w.councils {
		c.halt()
	}
	for _, c := range []*Council{member, outside} {
		w.scanFiles(c)
		if got := w.breaches(); got != "" {
			w.t.Fatalf("as it is: %s", got)
		}
		// Values of one that lets nothing out to anybody, each in a place of its own.
		plant := map[string]canary{}
		places := []string{c.dir}
		folders, err := os.ReadDir(c.dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range folders {
			if f.IsDir() {
				places = append(places, filepath.Join(c.dir, f.Name()))
			}
		}
		for i, f := range slices.Sorted(maps.Keys(by.facts)) {
			if i < len(places) {
				plant[places[i]] = canariesOf(by.facts[f].now()["secret"])[0]
			}
		}
		if len(plant) < len(places) {
			w.t.Fatalf("%d records for %d folders", len(plant), len(places))
		}
		if c == member { // what stands in the footprint stands nowhere else
			plant[filepath.Join(c.dir, "ledger")] = w.valueOf(outside, "/person/name")
		}
		for dir, x := range plant {
			if err := os.WriteFile(filepath.Join(dir, "planted-"+x.number), []byte(x.text()), 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
		w.scanFiles(c)
		got := w.breaches()
		for dir, x := range plant {
			if !strings.Contains(got, "stands in planted-"+x.number) {
				w.t.Errorf("a value in %q of %s is not caught: %q", dir[len(c.dir):], c.Name, got)
			}
		}
	}

	found := map[canary]string{}
	err := ledgertest.Raw(filepath.Join(member.dir, "footprints"), func(b []byte, where string) {
		scan(b, func(x canary) { found[x] = where })
	})
	if err != nil || len(found) == 0 {
		w.t.Fatalf("%d values in the replica, %v", len(found), err)
	}
	if got := strings.Join(w.faultsShared(outside, found), "\n"); !strings.Contains(got, "stands in") {
		w.t.Errorf("a replica at a council that keeps none is not caught: %q", got)
	}
	if got := strings.Join(w.faultsShared(member, nil), "\n"); !strings.Contains(got, "proves nothing") {
		w.t.Errorf("nothing is found and that is no fault: %q", got)
	}
}
