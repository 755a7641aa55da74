package judge

import (
	"fmt"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// Brought decides about a page of records and withdrawals that a council brings
// into a footprint under an agreement, which need not be in force: what is over
// is withdrawn. stds returns the standards that the footprint has adopted. It
// says in words why the page is not to be passed on, "" when it is. A page that
// is not passed on comes again, so nothing is lost by what has to be waited for.
func (j *Judge) Brought(doc *agreement.Agreement, stds func(name.Standard) (*standard.Standard, error), page [][]byte) string {
	c := &Case{j: j, log: &Log{council: doc.From}, from: doc.From, doc: doc, stds: stds}
	for i, token := range page {
		rule, err := c.brought(token)
		if err != nil {
			rule = err.Error()
		}
		if rule != "" {
			return fmt.Sprintf("entry %d of the page: %s", i, rule)
		}
	}
	return ""
}

func (c *Case) brought(token []byte) (string, error) {
	if !isRecord(token) {
		_, ev, rule, err := c.j.Event(c.from, token, directory.AnyPlace)
		if err != nil || rule != "" {
			return rule, err
		}
		if ev.Kind != event.KindWithdrawal {
			return RuleKind, nil
		}
		if w, err := event.ParseWithdrawal(ev.Body); err != nil || w.Agreement != c.doc.Name {
			return RuleWithdrawal, nil
		}
		return "", nil
	}
	t, err := record.Parse(token)
	if err != nil {
		return "", fmt.Errorf("%w: token: %w", ErrLied, err)
	}
	v := Verdict{Entry: t.Entry(), Token: t}
	if v.View, err = t.View(); err != nil {
		return RuleDisclosures, nil
	}
	// A deletion brings nothing that an agreement could forbid.
	if v.View.Op == record.Put || v.View.Council != c.from || v.View.Standard.Line() != c.doc.Standard {
		if err := c.within(&v); err != nil || v.Rule != "" {
			return v.Rule, err
		}
	}
	rule, err := c.j.Signed(c.from, t, directory.AnyPlace)
	if err == nil && rule == "" {
		rule, err = c.j.Issued(v.View.IssuedAt)
	}
	return rule, err
}
