package simtest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
)

// A canary is a value of a record and where it comes from.
type canary struct {
	place  string // in the record, such as /person/name
	number string // of the version of a record: no two have the same
}

var wholeCanary = regexp.MustCompile(canaryWord + ` (/[a-z/0-9]*) ([0-9]+)\.`)

// In base64 the first letters of a canary look like one of these, by how many bytes
// stand before it in its group of three.
var hidden = func() (out [3][]byte) {
	for before := range out {
		enc := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", before) + canaryWord + " /"))
		out[before] = []byte(enc[(before*8+5)/6 : (before+len(canaryWord)+2)*8/6])
	}
	return out
}()

// scan notes every canary that stands in b, in clear or in base64 at any place.
func scan(b []byte, found func(canary)) {
	add := func(b []byte) {
		for _, m := range wholeCanary.FindAllSubmatch(b, -1) {
			found(canary{string(m[1]), string(m[2])})
		}
	}
	if bytes.Contains(b, []byte(canaryWord)) {
		add(b)
	}
	for before, word := range hidden {
		for rest := b; ; {
			at := bytes.Index(rest, word)
			if at < 0 {
				break
			}
			// From the next whole group on: the word itself is known.
			group := at - (before*8+5)/6
			if group < 0 {
				rest = rest[at+1:]
				continue
			}
			part := rest[group:]
			if n := bytes.IndexFunc(part[at-group:], notBase64); n >= 0 {
				part = part[:at-group+n]
			}
			part = bytes.Clone(part[:min(len(part), 120)])
			for i := range at - group { // what stands before may be no base64
				part[i] = 'A'
			}
			out := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
			n, _ := base64.RawURLEncoding.Decode(out, part) // as far as it goes
			out = out[:n]
			if i := bytes.IndexByte(out, '.'); i >= 0 {
				out = out[:i+1] // a copy that follows is found by itself
			}
			if before > 0 { // the bits of the first letter that were masked
				out = append([]byte(canaryWord), out[min(len(out), before+len(canaryWord)):]...)
			}
			add(out)
			rest = rest[at+len(word):]
		}
	}
}

func notBase64(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// scanFiles looks through all files of a council that is down, in a world at rest,
// for values of others: in all versions that its store still has, counted or not.
// There is everything that the agreements in force give the council. There is no
// withheld field, no row outside a filter, no record that was withdrawn and nothing of
// what an answer to a question showed (I3, I6).
//
// What a newer version of a record that is still held took the place of may be there
// until the store is compacted; only if it was sent under the same agreement.
func (w *World) scanFiles(c *Council) {
	w.t.Helper()
	found := map[canary]string{}
	shared := map[canary]string{} // in the folder of replicas
	folders, err := os.ReadDir(c.dir)
	for _, f := range folders {
		into := found
		if f.Name() == "footprints" {
			into = shared
		}
		err = errors.Join(err, ledgertest.Raw(filepath.Join(c.dir, f.Name()), func(b []byte, where string) {
			scan(b, func(x canary) {
				if into[x] == "" {
					into[x] = where
				}
			})
		}))
	}
	if err != nil {
		w.fail("scan the files of %s: %v", c.Name, err)
	}
	faults := append(w.faults(c, found), w.faultsShared(c, shared)...)
	for _, fault := range faults {
		w.breach("%s: %s", c.Name, fault)
	}
	w.scanned += len(found) + len(shared)
}

// faults returns what is wrong with the values that were found in a council's files.
func (w *World) faults(c *Council, found map[canary]string) (out []string) {
	must, may := w.held(c)
	return w.compare(c, found, must, may)
}

// compare says what is found and may not be, and what must be and is not found.
func (w *World) compare(c *Council, found map[canary]string, must, may map[canary]bool) (out []string) {
	for x, of := range w.others(c) {
		where, there := found[x]
		switch {
		case there && !must[x] && !may[x]:
			out = append(out, fmt.Sprintf("%s of %s stands in %s", x.place, of, where))
		case !there && must[x]:
			out = append(out, fmt.Sprintf("%s of %s is held and in no file, so that the scan proves nothing", x.place, of))
		}
	}
	return out
}

// held returns the values of others that a council holds at rest, and those that it
// held before of the same records under the same agreements.
func (w *World) held(c *Council) (now, before map[canary]bool) {
	now, before = map[canary]bool{}, map[canary]bool{}
	for _, nm := range w.agreements() {
		x := w.terms(nm)
		if x == nil || !x.doc.Way().Copied || !slices.Contains(x.doc.To, c.Name) {
			continue
		}
		if x.doc.From == fens {
			w.heldOutward(c, x, now, before)
			continue
		}
		w.mu.Lock()
		sent := w.sent[c.Name][nm]
		for _, f := range w.council(x.doc.From).facts {
			b := f.now()
			if b == nil || !x.rule.picks(b) {
				continue
			}
			for _, v := range canariesOf(b) {
				if covers(x.fields, v.place) {
					now[v] = true
				}
			}
			for _, old := range f.versions {
				for _, v := range canariesOf(old) {
					if sent[v] {
						before[v] = true
					}
				}
			}
		}
		w.mu.Unlock()
	}
	return now, before
}

// others returns every canary that another council than c ever wrote, and of what it
// is a value, in words.
func (w *World) others(c *Council) map[canary]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[canary]string{}
	for _, from := range w.councils {
		if from == c {
			continue
		}
		for ref, f := range from.facts {
			for i, b := range f.versions {
				for _, x := range canariesOf(b) {
					out[x] = fmt.Sprintf("version %d of %d of %s of %s", i+1, len(f.versions), ref, from.Name)
				}
			}
		}
	}
	return out
}

// canariesOf lists the canaries in a value.
func canariesOf(v any) (out []canary) {
	switch v := v.(type) {
	case string:
		scan([]byte(v), func(x canary) { out = append(out, x) })
	case map[string]any:
		for _, e := range v {
			out = append(out, canariesOf(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, canariesOf(e)...)
		}
	}
	return out
}
