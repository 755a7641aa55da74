package judge

import (
	"fmt"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A BroughtPage is a page of records and withdrawals that a council brings into a
// footprint under an agreement.
type BroughtPage struct {
	Footprint   name.Council
	Since, Next uint64 // the agreement's sequence number before and after
	Seal        record.PageSeal
	Tokens      [][]byte
}

// Brought decides about a page that is brought under an agreement, which need not be
// in force: what is over is withdrawn. stds returns the standards that the footprint
// has adopted. It says in words why the page is not to be passed on, "" when it is. A
// page that is not passed on comes again, so nothing is lost by what has to be waited
// for.
func (j *Judge) Brought(doc *agreement.Agreement, stds func(name.Standard) (*standard.Standard, error), p BroughtPage) string {
	c := &Case{j: j, log: &Log{council: doc.From}, from: doc.From, doc: doc, stds: stds}
	entries := make([]tlog.Hash, len(p.Tokens))
	for i, token := range p.Tokens {
		entry, rule, err := c.brought(token)
		if err != nil {
			rule = err.Error()
		}
		if rule != "" {
			return fmt.Sprintf("entry %d of the page: %s", i, rule)
		}
		entries[i] = entry
	}
	page := record.Page{Footprint: p.Footprint, Council: doc.From, Agreement: doc.Name, Since: p.Since, Next: p.Next}.Over(entries)
	rule, err := j.sealed(page, p.Seal)
	if err != nil {
		rule = err.Error()
	}
	if rule != "" {
		return "the page: " + rule
	}
	return ""
}

func (c *Case) brought(token []byte) (entry tlog.Hash, rule string, err error) {
	if !isRecord(token) {
		t, ev, rule, err := c.j.Event(c.from, token, directory.AnyPlace)
		if err != nil || rule != "" {
			return entry, rule, err
		}
		if ev.Kind != event.KindWithdrawal {
			return entry, RuleKind, nil
		}
		if w, err := event.ParseWithdrawal(ev.Body); err != nil || w.Agreement != c.doc.Name {
			return entry, RuleWithdrawal, nil
		}
		return t.Entry(), "", nil
	}
	t, err := record.Parse(token)
	if err != nil {
		return entry, "", fmt.Errorf("%w: token: %w", ErrLied, err)
	}
	v := Verdict{Entry: t.Entry(), Token: t}
	if v.View, err = t.View(); err != nil {
		return entry, RuleDisclosures, nil
	}
	if t.Signed() {
		return entry, RuleSealedOnce, nil
	}
	// A deletion brings nothing that an agreement could forbid.
	if v.View.Op == record.Put || v.View.Council != c.from || v.View.Standard.Line() != c.doc.Standard {
		if err := c.within(&v); err != nil || v.Rule != "" {
			return entry, v.Rule, err
		}
	}
	rule, err = c.j.Issued(v.View.IssuedAt)
	return t.Entry(), rule, err
}
