package agreement

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// A receiver that would sign another text than the one proposed says which: its
// counter-proposal, a whole document of a higher version. It binds nobody. Only the sender
// proposes, so that its ledger settles which document a version number stands for: the
// sender signs the counter-proposal, and so proposes it, or answers with a version higher
// still.

// A Counter is the body of a counter-proposal: Ref is the document that it answers. By is
// as in a [Signature]. Body:
//
//	{"agreement":"northmoor.gov.uk/people","digest":"<64 hex>","document":{…},"version":1}
type Counter struct {
	Ref
	Agreement *Agreement
	By        string
}

// Body returns the event's body as strictjson decodes it.
func (c Counter) Body() map[string]any {
	return bodyOf(c.Ref, withBy(map[string]any{"document": c.Agreement.document()}, c.By))
}

// ParseCounter reads a body. The document is of the agreement that it answers, from the
// same council, and of a higher version.
func ParseCounter(body any) (Counter, error) {
	m, ref, by, err := parseBody(body, "document")
	if err != nil {
		return Counter{}, err
	}
	a, err := fromDocument(m["document"])
	if err != nil {
		return Counter{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	given, err := strictjson.AppendJCS(nil, m["document"])
	if err != nil || !bytes.Equal(given, a.Canonical()) {
		return Counter{}, fmt.Errorf("%w: document: not in canonical form", ErrEvent)
	}
	if a.Name != ref.Agreement || a.Version <= ref.Version {
		return Counter{}, fmt.Errorf("%w: document: want a higher version of the agreement that it answers", ErrEvent)
	}
	return Counter{ref, a, by}, nil
}

// A Countered is a counter-proposal that nobody has answered yet.
type Countered struct {
	By        name.Council
	Person    string // who had the council say so; "" where it is not known
	Answers   int    // the version
	Agreement *Agreement
	At        time.Time // as the council claims
}

// maxCounters bounds, for each council, the counter-proposals kept that answer documents
// which have not been seen: each is a document.
const maxCounters = 8

// counter takes in a counter-proposal. Of a party the last counts.
func (v *version) counter(c name.Council, x Counter, at time.Time) error {
	if c == v.doc.From || !x.Agreement.Party(c) {
		return fmt.Errorf("%w: %s cannot answer version %d of %s with such a text", ErrNotParty, c, v.doc.Version, v.doc.Name)
	}
	if x.Agreement.From != v.doc.From {
		return fmt.Errorf("%w: another council would send", ErrConflict)
	}
	if v.counters == nil {
		v.counters = map[name.Council]Countered{}
	}
	v.counters[c] = Countered{By: c, Person: x.By, Answers: v.doc.Version, Agreement: x.Agreement, At: at}
	return nil
}

// Counters returns the counter-proposals about an agreement that stand: of each party the
// one of the highest version, where the sender has proposed nothing as high. The highest
// comes first.
func (s *State) Counters(n name.Agreement) []Countered {
	newest := 0
	of := map[name.Council]Countered{}
	for _, nr := range slices.Sorted(maps.Keys(s.agreements[n])) {
		newest = nr
		for c, x := range s.agreements[n][nr].counters {
			if x.Agreement.Version >= of[c].version() {
				of[c] = x
			}
		}
	}
	out := slices.Collect(maps.Values(of))
	out = slices.DeleteFunc(out, func(x Countered) bool { return x.Agreement.Version <= newest })
	slices.SortFunc(out, func(x, y Countered) int {
		return cmp.Or(cmp.Compare(y.Agreement.Version, x.Agreement.Version), cmp.Compare(x.By, y.By))
	})
	return out
}

func (x Countered) version() int {
	if x.Agreement == nil {
		return 0
	}
	return x.Agreement.Version
}
