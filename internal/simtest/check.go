package simtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// patience is how long a world may take to come to rest once the weather is
// fair: the longest pauses between two tries are two minutes.
const patience = 15 * time.Minute

// Check lets the world come to rest, then stops every node and walks all that
// the ledgers hold. Afterwards the nodes run again.
func (w *World) Check() {
	w.t.Helper()
	w.Fair()
	start := time.Now()
	for {
		synctest.Wait()
		w.glance()
		w.sound()
		restless := w.restless()
		if restless == "" {
			break
		}
		if time.Since(start) > patience {
			w.fail("the world does not come to rest: %s", restless)
		}
		time.Sleep(2 * time.Second)
	}
	w.tell("at rest after %v", time.Since(start))
	w.askAll()
	w.countAll()
	w.bundles()
	w.sound()
	for _, c := range w.councils {
		c.halt()
		w.scanFiles(c)
	}
	w.sound()
	w.walk()
	w.sound()
	for _, c := range w.councils {
		c.start()
	}
}

// askAll asks, of a world at rest, for some records under every agreement of mode
// lookup that is in force. What is shown is what the text says of the record as it
// is, and nothing else is found.
func (w *World) askAll() {
	w.t.Helper()
	for _, nm := range w.agreements() {
		x := w.terms(nm)
		if x == nil || !x.doc.Way().ByMatch {
			continue
		}
		for _, to := range x.doc.To {
			c := w.council(to)
			for i := range 12 {
				ref := fmt.Sprint("case-", i)
				want := ""
				w.mu.Lock()
				if b := w.council(x.doc.From).facts[ref].now(); b != nil && x.rule.picks(b) {
					want = x.seen(b)
				}
				w.mu.Unlock()
				got, err := try(c, c.node.Questions().Ask, node.LookupRequest{Agreement: string(nm), Field: "/reference", Value: ref, Because: "a case"})
				var e *node.Error
				switch {
				case err == nil && len(got.Records) == 1 && string(got.Records[0].Body) == want && got.Receipt:
					w.answered++
				case err != nil && want == "" && errors.As(err, &e) && e.Kind == node.NotFound:
					w.answered++
				case err != nil && errors.As(err, &e) && e.Kind == node.Refused && strings.Contains(e.Message, "have been asked"):
				default:
					w.fail("%s asks under %s for %s: %+v, %v, want %q", to, nm, ref, got.Records, err, want)
				}
			}
		}
	}
}

// terms returns the text of an agreement that is in force, by all that was said.
func (w *World) terms(nm name.Agreement) *text {
	w.mu.Lock()
	defer w.mu.Unlock()
	st, ok := w.state.Status(nm, now())
	if !ok || !st.InForce() {
		return nil
	}
	i := slices.IndexFunc(w.texts[nm], func(x *text) bool { return x.doc.Digest() == st.Digest })
	return w.texts[nm][i]
}

// version says which version of a record is held. Of one that a mapping made that is
// its own affair: changes that follow on each other may become one.
func (x *text) version(n int) string {
	if x.major > 1 {
		return "made"
	}
	return fmt.Sprint(n)
}

// should returns what a council should hold under an agreement: by reference,
// the version and what is to be seen of it.
func (w *World) should(c *Council, nm name.Agreement) map[string]string {
	out := map[string]string{}
	x := w.terms(nm)
	if x == nil || !x.doc.Way().Copied || !slices.Contains(x.doc.To, c.Name) {
		return out
	}
	if x.doc.From == fens {
		return w.outward(x)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ref, f := range w.council(x.doc.From).facts {
		if b := f.now(); b != nil && x.rule.picks(b) {
			out[ref] = x.version(len(f.versions)) + " " + x.seen(b)
		}
	}
	return out
}

func (w *World) agreements() (out []name.Agreement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for nm := range w.texts {
		out = append(out, nm)
	}
	slices.Sort(out)
	return out
}

func sender(nm name.Agreement) name.Council {
	return name.Council(nm[:strings.IndexByte(string(nm), '/')])
}

// restless returns what has not come to where it should be, "" when all has.
func (w *World) restless() string {
	w.t.Helper()
	for _, c := range w.councils {
		for _, from := range w.councils {
			if from == c {
				continue
			}
			if why := w.misheld(c, from.Name); why != "" {
				return why
			}
		}
		s, err := c.node.Status(w.t.Context())
		if err != nil {
			w.fail("%s: status: %v", c.Name, err)
		}
		for _, p := range s.Partners {
			// Who copies out of a footprint asks one member, and need not ask the others; what it
			// holds was compared above.
			if p.Outstanding > 0 || !p.InStep && (p.Footprint == "" || p.Direction != "to") {
				return fmt.Sprintf("%s: %s %s under %s is %q, %d outstanding, holds %d of %d", c.Name, p.Direction, p.Council, p.Agreement, p.Behind, p.Outstanding, p.Held, p.Offered)
			}
		}
	}
	for _, nm := range w.agreements() {
		x := w.terms(nm)
		if x == nil {
			continue
		}
		for _, c := range w.councils {
			if !x.doc.Party(c.Name) {
				continue
			}
			got, err := try(c, c.node.Agreements().Show, node.AgreementRequest{Name: string(nm), Version: x.doc.Version})
			if err != nil || !got.InForce {
				return fmt.Sprintf("%s does not know that %s version %d is in force: %q, %v", c.Name, nm, x.doc.Version, got.Why, err)
			}
		}
	}
	return w.restlessFens()
}

// misheld returns how what a council holds from another differs from what it should hold; ""
// where it does not.
func (w *World) misheld(c *Council, from name.Council) string {
	w.t.Helper()
	got := map[name.Agreement]map[string]string{}
	for _, r := range c.holdings(from) {
		var b map[string]any
		if err := json.Unmarshal(r.Body, &b); err != nil {
			w.fail("%v", err)
		}
		if got[r.Agreement] == nil {
			got[r.Agreement] = map[string]string{}
		}
		version := fmt.Sprint(r.Version)
		if r.Standard.Version.Major > 1 {
			version = "made"
		}
		got[r.Agreement][b["reference"].(string)] = version + " " + string(r.Body)
		if r.Proof != "log" {
			return fmt.Sprintf("%s has no proof of %s of %s", c.Name, b["reference"], from)
		}
	}
	for _, nm := range w.agreements() {
		if sender(nm) != from {
			continue
		}
		want := w.should(c, nm)
		if len(got[nm])+len(want) > 0 && !reflect.DeepEqual(got[nm], want) {
			return fmt.Sprintf("%s holds under %s%s", c.Name, nm, difference(got[nm], want))
		}
	}
	return ""
}

func difference(got, want map[string]string) string {
	var b strings.Builder
	for ref, g := range got {
		if want[ref] != g {
			fmt.Fprintf(&b, "\n    %s: %s\n     want %s", ref, g, want[ref])
		}
	}
	for ref, x := range want {
		if _, ok := got[ref]; !ok {
			fmt.Fprintf(&b, "\n    %s: nothing\n     want %s", ref, x)
		}
	}
	return b.String()
}

// An estate is a council's ledger as the walk reads it, with no node running.
type estate struct {
	*Council
	ledger   *ledger.Ledger
	member   directory.Member
	given    map[string]bool // receipts it has logged, by JWS
	told     map[uint64]bool // entries that it logged as disclosed
	out      []letOut        // how
	checkpnt tlog.Checkpoint
}

// walk opens every ledger and compares them with each other and the model.
func (w *World) walk() {
	w.t.Helper()
	estates := map[name.Council]*estate{}
	for _, c := range w.councils {
		l, err := ledger.Open(ledger.Options{Dir: filepath.Join(c.dir, "ledger"), Council: c.Name, Keys: c.ring, MinFree: 1})
		if err != nil {
			w.fail("open the ledger of %s: %v", c.Name, err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				w.breach("close the ledger of %s: %v", c.Name, err)
			}
		}()
		estates[c.Name] = &estate{Council: c, ledger: l, member: directory.FromRing(c.Name, c.ring), given: map[string]bool{}, told: map[uint64]bool{}}
	}
	for _, c := range w.councils {
		e := estates[c.Name]
		e.view(e.walkLog)
		e.view(e.walkFacts)
		e.view(e.walkBundles)
	}
	for _, c := range w.councils {
		e := estates[c.Name]
		for _, src := range e.ledger.Sources() {
			if src.Agreement != "" && src.From == fens {
				e.walkOutward(src)
			} else if src.Agreement != "" {
				e.walkSource(src, estates[src.From])
			}
		}
		for _, f := range e.ledger.Feeds() {
			if f.Agreement == "" || !f.Copied() {
				continue
			}
			for _, to := range f.To {
				if to == fens {
					continue // its members confirm, of which the status tells
				}
				e.walkFeed(f, estates[to])
			}
		}
	}
}

func (e *estate) view(f func(*ledger.View) error) {
	if err := e.ledger.View(f); err != nil {
		e.w.breach("ledger of %s: %v", e.Name, err)
	}
}

// walkLog: the log is whole, signed, and extends what it was at the last walk
// (I5). It notes what the log says was receipted and disclosed.
func (e *estate) walkLog(v *ledger.View) error {
	cp, signed := v.Checkpoint()
	e.checkpnt = cp
	verifier, err := e.member.LogVerifier()
	if err != nil {
		return err
	}
	records := e.ring.Record.Public().CheckpointVerifier(e.Name)
	if got, n, err := tlog.OpenCheckpoint(signed, e.Name.Origin(), verifier, records); err != nil || got != cp || !tlog.SignedBy(n, records) {
		return fmt.Errorf("checkpoint: %v, %w", got, err)
	}
	if root, err := tlog.CheckTiles(cp.Size, v); err != nil || root != cp.Root {
		return fmt.Errorf("tiles do not make the checkpoint's root: %w", err)
	}
	last := e.w.last[e.Name]
	e.w.last[e.Name] = cp
	if last.Size > 0 {
		proof, err := tlog.Consistency(v, last.Size, cp.Size)
		if err != nil {
			return err
		}
		if err := tlog.VerifyConsistency(last.Size, last.Root, cp.Size, cp.Root, proof); err != nil {
			return fmt.Errorf("the log of size %d is not what it was at %d: %w", cp.Size, last.Size, err)
		}
	}
	key := e.ring.Record.Public()
	for i := range cp.Size {
		entry, b, err := v.Entry(i)
		if err != nil {
			return err
		}
		if ev, jws, err := v.Event(i); err == nil {
			tok, _, err := record.ParseEvent(b)
			if err != nil || tok.Entry() != entry || tok.Verify(key) != nil {
				return fmt.Errorf("entry %d is not signed by its council: %w", i, err)
			}
			if ev.Kind == event.KindReceipt {
				e.given[string(jws)] = true
			}
			out, err := letOuts(ev)
			if err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			for _, o := range out {
				e.told[o.entry] = true
			}
			e.out = append(e.out, out...)
			continue
		}
		tok, err := record.Parse(b)
		if err != nil || tok.Entry() != entry || tok.KeyID() != key.ID() || tok.Signed() {
			return fmt.Errorf("entry %d is no record of its council, proved by its place: %w", i, err)
		}
	}
	return nil
}

// walkFacts: the council's own records are what it wrote, version by version
// (I1, as far as a kill of the process goes).
func (e *estate) walkFacts(v *ledger.View) error {
	live := 0
	for ref, f := range e.facts {
		if f.now() != nil {
			live++
		}
		if len(f.versions) == 0 {
			continue
		}
		ver, err := v.Current(e.ring.RecordID(name.StandardLine{Name: caseName, Major: 1}, fmt.Sprintf("[%q]", ref)))
		for i := len(f.versions) - 1; i >= 0; i-- {
			if err != nil {
				return fmt.Errorf("%s version %d: %w", ref, i+1, err)
			}
			if int(ver.Claims.Version) != i+1 || !reflect.DeepEqual(ver.Body, f.versions[i]) {
				return fmt.Errorf("%s version %d is not what was written", ref, i+1)
			}
			ver, err = v.Before(ver)
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			return fmt.Errorf("%s has a version before the first: %w", ref, err)
		}
	}
	counts, err := v.Count()
	for std, n := range counts {
		if std.Version.Major == 1 {
			live -= n
		}
	}
	if live != 0 {
		return fmt.Errorf("%d records too few are counted", live)
	}
	return err
}

// walkSource: what is held is exactly what should be (I2, I3), and verifies to
// its issuer and to a checkpoint of the issuer's log that the holder cosigned
// (I4).
func (e *estate) walkSource(src *ledger.Source, from *estate) {
	w := e.w
	var held []*ledger.Holding
	e.view(func(v *ledger.View) error {
		err := v.Holdings(src, 0, func(h *ledger.Holding, err error) bool {
			if err != nil {
				w.breach("%s: %v", e.Name, err)
				return true
			}
			held = append(held, h)
			return true
		})
		if err != nil {
			return err
		}
		return v.Refusals(src, func(r ledger.Refusal) bool {
			w.breach("%s refused entry %d of %s under %s, who is honest: %s %s", e.Name, r.Index, r.From, r.Agreement, r.Rule, r.Pointer)
			return true
		})
	})
	want := w.should(e.Council, src.Agreement)
	x := w.terms(src.Agreement)
	if len(held) != len(want) || src.Records != len(held) {
		w.breach("%s holds %d records under %s, counts %d, should hold %d", e.Name, len(held), src.Agreement, src.Records, len(want))
	}
	from.view(func(v *ledger.View) error {
		if k := e.ledger.Known(from.Name); k.Quarantine != nil {
			return fmt.Errorf("%s has it in quarantine: %s", e.Name, k.Quarantine.Reason)
		} else if k.Size > 0 {
			tree, err := tlog.OpenTree(k.Size, v)
			if err != nil || k.Size > from.checkpnt.Size || k.Root != tree.Root() {
				return fmt.Errorf("%s holds a checkpoint of it that it never had: size %d, %w", e.Name, k.Size, err)
			}
		}
		cp, err := e.cosigned(v, from)
		if err != nil || len(held) == 0 {
			return err
		}
		for _, h := range held {
			entry, _, err := v.Entry(h.Index)
			if err != nil {
				return err
			}
			if h.Token.Entry() != entry || h.View.Council != from.Name || h.Version != h.View.Version {
				return fmt.Errorf("%s holds entry %d as something else", e.Name, h.Index)
			}
			path, err := tlog.Inclusion(v, h.Index, cp.Size)
			if err == nil {
				err = tlog.VerifyInclusion(entry, h.Index, cp.Size, cp.Root, path)
			}
			if err != nil {
				return fmt.Errorf("%s holds entry %d, which is in no checkpoint it cosigned: %w", e.Name, h.Index, err)
			}
			if x != nil {
				if why := x.beyond(h.View, h.Token.Bytes()); why != "" {
					w.breach("%s holds entry %d of %s: %s", e.Name, h.Index, src.Agreement, why)
				}
			}
			if !from.told[h.Index] {
				w.breach("%s never logged that entry %d was disclosed, and %s holds it", from.Name, h.Index, e.Name)
			}
		}
		return nil
	})
}

// cosigned returns the newest checkpoint of another council's log that this one
// has cosigned, from that council's view, verified.
func (e *estate) cosigned(v *ledger.View, of *estate) (tlog.Checkpoint, error) {
	list, err := v.Cosigned()
	if err != nil {
		return tlog.Checkpoint{}, err
	}
	i := slices.IndexFunc(list, func(c ledger.Cosigned) bool { return c.Witness == e.Name })
	if i < 0 {
		return tlog.Checkpoint{}, nil
	}
	log, err := of.member.LogVerifier()
	if err != nil {
		return tlog.Checkpoint{}, err
	}
	witness, err := e.member.WitnessVerifier()
	if err != nil {
		return tlog.Checkpoint{}, err
	}
	cp, n, err := tlog.OpenCheckpoint(list[i].Note, of.Name.Origin(), log, witness)
	if err != nil {
		return cp, err
	}
	if got := tlog.Cosignatures(n, []note.Verifier{witness}...); len(got) != 1 {
		return cp, fmt.Errorf("checkpoint %d is not cosigned by %s", cp.Size, e.Name)
	}
	tree, err := tlog.OpenTree(cp.Size, v)
	if err == nil && tree.Root() != cp.Root {
		err = fmt.Errorf("%s cosigned what the log never was", e.Name)
	}
	return cp, err
}

// walkFeed: nothing waits for a receipt; every receipt is one that the receiver
// signed and logged; and together they account for everything the feed let out
// (I6).
func (e *estate) walkFeed(f *ledger.Feed, to *estate) {
	w := e.w
	x := w.terms(f.Agreement)
	current := x != nil && x.doc.Digest() == f.Digest
	e.view(func(v *ledger.View) error {
		p, err := v.Partner(f, to.Name)
		if err != nil {
			return err
		}
		held, deleted, over := map[uint64]bool{}, map[uint64]bool{}, false
		err = v.Receipts(f, to.Name, func(jws []byte) bool {
			tok, ev, err := record.ParseEvent(jws)
			if err != nil || tok.Verify(to.ring.Record.Public()) != nil || ev.Council != to.Name {
				w.breach("%s keeps a receipt that %s did not sign: %v", e.Name, to.Name, err)
				return true
			}
			r, err := event.ParseReceipt(ev.Body)
			if err != nil || r.Agreement != f.Agreement || r.From != e.Name || len(r.Refused) > 0 {
				w.breach("%s keeps a receipt of %s that is no good: %+v, %v", e.Name, to.Name, r, err)
				return true
			}
			if !to.given[string(jws)] {
				w.breach("%s keeps a receipt that %s has not logged", e.Name, to.Name)
			}
			for _, i := range r.Held {
				held[i] = true
			}
			for _, i := range r.Deleted {
				deleted[i] = true
			}
			over = over || r.All
			return true
		})
		if err != nil || !current {
			return err
		}
		if err := v.Outstanding(f, p, func(i uint64, r name.Record) bool {
			w.breach("%s: withdrawal %d from %s is outstanding", e.Name, i, to.Name)
			return true
		}); err != nil {
			return err
		}
		for cursor := uint64(0); ; {
			page, err := e.ledger.Page(f, cursor)
			if err != nil {
				return err
			}
			if len(page.Damaged) > 0 {
				return fmt.Errorf("feed of %s: damaged entries %v", f.Agreement, page.Damaged)
			}
			for _, it := range page.Items {
				withdrawal := len(canaries(it.Token)) == 0 && !strings.Contains(string(it.Token), "~")
				if withdrawal && !deleted[it.Index] {
					w.breach("%s: %s gave no receipt for withdrawal %d under %s version %d", e.Name, to.Name, it.Index, f.Agreement, f.Version)
				}
				if !withdrawal && !held[it.Index] {
					w.breach("%s: %s gave no receipt for entry %d under %s version %d", e.Name, to.Name, it.Index, f.Agreement, f.Version)
				}
			}
			if cursor = page.Cursor; page.Live {
				return nil
			}
		}
	})
}

var _ = agreement.Ended
