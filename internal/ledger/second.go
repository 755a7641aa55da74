package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/opinion"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// What leaves was decided by package agreement. Before it is written to a council package
// opinion, which shares no code with it, decides again, on the bytes themselves. Where the
// two differ nothing more leaves under that text of the agreement: a fault of this program
// must not be tried again and again. It is said in our log, and shown as a condition. The
// stop is kept in memory: a node that is started again, with the program mended, decides
// anew, and a new text of the agreement is another decision.

// ErrDisagreed: two evaluators of an agreement differ on what leaves, and nothing leaves
// under it.
var ErrDisagreed = errors.New("a second opinion differs on what leaves under the agreement")

// A Disagreement is why nothing leaves under a text of an agreement.
type Disagreement struct {
	event.OpinionsDiffer
	Place string // RFC 6901 pointer of the field, for the node's own people; "" is the whole record
	Since time.Time
}

// second is what a ledger keeps for second opinions.
type second struct {
	mu    sync.Mutex // guards what follows
	texts map[*agreement.Agreement]*secondText
	stops map[agreement.Digest]*Disagreement
}

// A secondText is an agreement as it was read, for the second opinion, from the bytes that
// its parties signed.
type secondText struct {
	*opinion.Text
	digest agreement.Digest
	terms  sync.Map // name.Standard to *opinion.Terms
}

// maxTexts bounds what is kept of texts read; they are read again when needed.
const maxTexts = 1000

func (s *second) text(doc *agreement.Agreement) (*secondText, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.texts[doc]; t != nil {
		return t, nil
	}
	canonical := doc.Canonical()
	read, err := opinion.Read(canonical)
	if err != nil {
		return nil, err
	}
	t := &secondText{Text: read, digest: sha256.Sum256(canonical)}
	if s.texts == nil || len(s.texts) >= maxTexts {
		s.texts = map[*agreement.Agreement]*secondText{}
	}
	s.texts[doc] = t
	return t, nil
}

func (t *secondText) termsFor(std *standard.Standard) (*opinion.Terms, error) {
	if known, ok := t.terms.Load(std.Name()); ok {
		return known.(*opinion.Terms), nil
	}
	terms, err := t.For(std)
	if err == nil {
		t.terms.Store(std.Name(), terms)
	}
	return terms, err
}

// Disagreement returns why nothing leaves under a text of an agreement; nil when nothing
// keeps it.
func (l *Ledger) Disagreement(text agreement.Digest) *Disagreement {
	l.second.mu.Lock()
	defer l.second.mu.Unlock()
	return l.second.stops[text]
}

// Disagreements returns all there are since the ledger was opened, by agreement.
func (l *Ledger) Disagreements() []Disagreement {
	l.second.mu.Lock()
	defer l.second.mu.Unlock()
	var out []Disagreement
	for _, d := range l.second.stops {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(a.Agreement, b.Agreement), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// Second decides again whether items may leave to a council under a text of an agreement, as
// they are about to be written. The error wraps ErrDisagreed when one may not; then that is in
// our log, and nothing leaves under this text any more. Items that are events are not
// judged: they hold no record.
func (l *Ledger) Second(ctx context.Context, doc *agreement.Agreement, digest agreement.Digest, to name.Council, items []PageItem) error {
	if !slices.ContainsFunc(items, func(it PageItem) bool { return it.IsRecord() }) {
		return nil
	}
	if d := l.Disagreement(digest); d != nil {
		return fmt.Errorf("%w: %s", ErrDisagreed, d.Rule)
	}
	text, err := l.second.text(doc)
	if err == nil {
		err = text.May(to, l.o.Now())
	}
	if err == nil && !doc.Way().Shows() {
		err = &opinion.Disagreement{Rule: opinion.RuleMode}
	}
	if err == nil && text.digest != digest {
		err = &opinion.Disagreement{Rule: opinion.RuleText}
	}
	if err != nil {
		return l.disagree(ctx, doc, digest, to, items[0].Index, err)
	}
	further, err := l.secondOnward(doc, text, to, items)
	if errors.Is(err, errNotPassed) {
		return err // it has changed this moment, and is read again
	}
	if err != nil {
		return l.disagree(ctx, doc, digest, to, items[0].Index, err)
	}
	errs := make([]error, len(items))
	onAllCores(len(items), 16, func(i int) {
		it := &items[i]
		if !it.IsRecord() {
			return
		}
		if it.Standard == nil {
			errs[i] = &opinion.Disagreement{Rule: opinion.RuleStandard}
			return
		}
		terms, err := text.termsFor(it.Standard)
		if err == nil {
			err = terms.Record(it.shown(), it.Whole)
		}
		for _, e := range further {
			if err == nil {
				if terms, err = e.For(it.Standard); err == nil {
					err = terms.Record(it.shown(), it.Whole)
				}
			}
		}
		if err == nil && (it.Passed != nil) != (doc.Origin != "") {
			err = &opinion.Disagreement{Rule: opinion.RuleOnward} // of our own, or of another council's
		}
		errs[i] = err
	})
	for i, err := range errs {
		if err != nil {
			return l.disagree(ctx, doc, digest, to, items[i].Index, err)
		}
	}
	return nil
}

// secondOnward decides again whether what came under earlier agreements may go on under a
// text, and returns what of it each of them lets go on.
func (l *Ledger) secondOnward(doc *agreement.Agreement, text *secondText, to name.Council, items []PageItem) (further []*opinion.Text, err error) {
	var earlier []*opinion.Text
	role := ""
	if doc.Origin != "" {
		f, err := l.Feed(doc.Name, text.digest)
		if err != nil || f.passing == nil || slices.ContainsFunc(items, func(it PageItem) bool { return it.Passed != nil && it.by != f.passing.Sum }) {
			return nil, errNotPassed
		}
		for _, canonical := range f.passing.Texts {
			e, err := opinion.Read(canonical)
			if err != nil {
				return nil, err
			}
			earlier, further = append(earlier, e), append(further, e.Further())
		}
		role = f.passing.Roles[to]
	}
	return further, text.Passes(earlier, to, role, l.o.Now())
}

// SecondRows decides again what leaves under an agreement where it is not records: counts
// by some fields, or a comparison with the values of some. It returns what is to be asked of
// each record that counts, with its index in the log that it is in; that may be asked
// concurrently. Every error wraps ErrDisagreed, as those of Second do.
func (l *Ledger) SecondRows(ctx context.Context, doc *agreement.Agreement, to name.Council, fields ...name.Field) (func(entry uint64, body map[string]any) error, error) {
	digest := doc.Digest()
	if d := l.Disagreement(digest); d != nil {
		return nil, fmt.Errorf("%w: %s", ErrDisagreed, d.Rule)
	}
	text, err := l.second.text(doc)
	if err == nil {
		err = text.May(to, l.o.Now())
	}
	if way := doc.Way(); err == nil && !way.Grouped && !way.Hidden {
		err = &opinion.Disagreement{Rule: opinion.RuleMode}
	}
	if err == nil && !text.Fields(fields) {
		err = &opinion.Disagreement{Rule: opinion.RuleField}
	}
	if err != nil {
		return nil, l.disagree(ctx, doc, digest, to, 0, err)
	}
	return func(entry uint64, body map[string]any) error {
		if text.Picks(body) {
			return nil
		}
		return l.disagree(ctx, doc, digest, to, entry, &opinion.Disagreement{Rule: opinion.RuleRows})
	}, nil
}

// disagree stops what leaves under an agreement.
func (l *Ledger) disagree(ctx context.Context, doc *agreement.Agreement, digest agreement.Digest, to name.Council, entry uint64, why error) error {
	d := &Disagreement{Since: l.o.Now().UTC().Truncate(time.Second)}
	d.OpinionsDiffer = event.OpinionsDiffer{Agreement: doc.Name, Version: uint64(doc.Version), To: to, Entry: entry, Rule: opinion.RuleText}
	if o, ok := errors.AsType[*opinion.Disagreement](why); ok {
		d.Rule, d.Place = o.Rule, o.Place
	}
	l.second.mu.Lock()
	if was := l.second.stops[digest]; was != nil {
		l.second.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrDisagreed, was.Rule)
	}
	if l.second.stops == nil {
		l.second.stops = map[agreement.Digest]*Disagreement{}
	}
	l.second.stops[digest] = d
	l.second.mu.Unlock()
	l.o.Log.Error("a second opinion differs: nothing leaves under the agreement", "agreement", doc.Name, "version", doc.Version,
		"to", to, "entry", entry, "because", d.Rule, "place", d.Place)
	// The stop holds whether or not this can be written now.
	err := l.do(context.WithoutCancel(ctx), false, func(t *tx) error {
		t.event(event.KindOpinionsDiffer, d.Body())
		return nil
	})
	if err != nil {
		l.o.Log.Error("log that a second opinion differs", "agreement", doc.Name, "error", err.Error())
	}
	return fmt.Errorf("%w: %s", ErrDisagreed, d.Rule)
}
