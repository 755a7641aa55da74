package simtest

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A letOut is an entry that went out under a version of an agreement, as the log of
// its council says.
type letOut struct {
	agreement name.Agreement
	version   int
	entry     uint64
}

// bundles has every council make every bundle that it can, and notes what values are
// in them: whoever is handed one may see what was let out, and no more.
func (w *World) bundles() {
	w.t.Helper()
	for _, c := range w.councils {
		c.bundled = map[name.Agreement]map[canary]bool{}
		for _, nm := range w.agreements() {
			got, err := try(c, c.node.Bundle, node.BundleRequest{Agreement: string(nm)})
			var e *node.Error
			switch {
			case err == nil && sender(nm) == c.Name:
				c.bundled[nm] = w.valuesIn(got.Bundle)
			case err == nil:
				w.breach("%s makes a bundle of %s, which is not its own", c.Name, nm)
			case errors.As(err, &e) && (e.Kind == node.NotFound || e.Kind == node.Refused && sender(nm) != c.Name):
			default:
				w.fail("%s: bundle of %s: %v", c.Name, nm, err)
			}
		}
		for _, full := range []bool{false, true} {
			got, err := try(c, c.node.Bundle, node.BundleRequest{Standard: string(caseName) + "@1", Full: full})
			if e := (*node.Error)(nil); errors.As(err, &e) && e.Kind == node.NotFound {
				continue // it has no record
			}
			if err != nil {
				w.fail("%s: bundle of all its records: %v", c.Name, err)
			}
			others := w.others(c)
			for x := range w.valuesIn(got.Bundle) {
				if !full {
					w.breach("%s: a bundle of open fields holds %s", c.Name, x.place)
				}
				if of, is := others[x]; is {
					w.breach("%s: a bundle of its own records holds %s of %s", c.Name, x.place, of)
				}
			}
		}
	}
}

// valuesIn returns the canaries in a bundle, which is a zip file.
func (w *World) valuesIn(bundle []byte) map[canary]bool {
	w.t.Helper()
	out := map[canary]bool{}
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		w.fail("read a bundle: %v", err)
	}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			w.fail("read %s in a bundle: %v", f.Name, err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			w.fail("read %s in a bundle: %v", f.Name, err)
		}
		in.Close()
		scan(b, func(x canary) { out[x] = true })
	}
	w.scanned += len(out)
	return out
}

// letOuts returns what an event says was let out.
func letOuts(ev *record.Event) (out []letOut, err error) {
	var nm name.Agreement
	var version int
	var entries []uint64
	switch ev.Kind {
	case event.KindDisclosure:
		d, err := event.ParseDisclosure(ev.Body)
		if err != nil {
			return nil, err
		}
		nm, version, entries = d.Agreement, int(d.Version), d.Entries
	case event.KindAnswer:
		a, err := event.ParseAnswer(ev.Body)
		if err != nil {
			return nil, err
		}
		nm, version, entries = a.Agreement, int(a.Version), a.Entries
	}
	for _, i := range entries {
		out = append(out, letOut{nm, version, i})
	}
	return out, nil
}

// walkBundles: what a bundle of an agreement shows of a record is what the log says
// was let out of that very version, under a text that lists it.
func (e *estate) walkBundles(v *ledger.View) error {
	may := map[name.Agreement]map[canary]bool{}
	for _, o := range e.out {
		if _, _, err := v.Event(o.entry); err == nil {
			continue // a withdrawal
		}
		ver, err := v.Version(o.entry)
		if err != nil {
			return fmt.Errorf("entry %d went out under %s: %w", o.entry, o.agreement, err)
		}
		texts := e.w.texts[o.agreement]
		i := slices.IndexFunc(texts, func(x *text) bool { return x.doc.Version == o.version })
		if i < 0 {
			return fmt.Errorf("entry %d went out under version %d of %s, which nobody wrote", o.entry, o.version, o.agreement)
		}
		if may[o.agreement] == nil {
			may[o.agreement] = map[canary]bool{}
		}
		for _, x := range canariesOf(ver.Body) {
			if covers(texts[i].fields, x.place) {
				may[o.agreement][x] = true
			}
		}
	}
	for nm, found := range e.bundled {
		for x := range found {
			if !may[nm][x] {
				e.w.breach("%s: a bundle of %s holds %s %s, which never went out under it", e.Name, nm, x.place, x.number)
			}
		}
	}
	return nil
}
