package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// The retention schedule of a council says when its records go. A rule of the
// configuration says so to the node, which looks once a day.
const (
	eraseDueEvery = 24 * time.Hour
	eraseDueFirst = 5 * time.Minute // after the start
)

// checkRules holds the rules of the configuration against what the node knows.
func checkRules(cfg *config.Config) error {
	for _, r := range cfg.Erase {
		d, err := agreement.ParseDuration(r.After)
		if err == nil && d.Zero() {
			err = errors.New("no time at all would erase every record as it is logged")
		}
		if err != nil {
			return fail(Usage, "stile record erase --rule "+r.Name+" --dry-run shows what a rule would do", "erase in %s: rule %s: after: %v", config.FileName, r.Name, err)
		}
	}
	return nil
}

// due are the records that are due by one rule.
type due struct {
	rule config.EraseRule
	RuleErasure
	ids []name.Record
}

// find looks which records are due by a rule now.
func (n *Node) findDue(ctx context.Context, r config.EraseRule) (*due, error) {
	std, err := n.catalogue.Named(r.Standard)
	if err != nil {
		return nil, err
	}
	term, err := agreement.ParseDuration(r.After)
	if err != nil {
		return nil, err
	}
	d := &due{rule: r, RuleErasure: RuleErasure{Rule: r.Name, Standard: std.Name().Line(), Date: r.Date, After: r.After}}
	years, now := map[int]int{}, n.now()
	date := func(t ledger.Text, body map[string]any) (time.Time, bool) {
		if r.Date == "" {
			return t.Last.At, true
		}
		return dateAt(body, name.Field(r.Date))
	}
	read := func(t ledger.Text) (at time.Time, ok bool) {
		v, err := strictjson.Decode(t.Body, t.Lim)
		body, isObject := v.(map[string]any)
		if err != nil || !isObject {
			return at, false
		}
		return date(t, body)
	}
	err = n.ledger.Texts(ctx, d.Standard, func(t ledger.Text) bool {
		d.Records++
		at, ok := read(t)
		if !ok {
			d.Undated++
		} else if !term.After(at).After(now) {
			d.ids = append(d.ids, t.Record)
			years[at.Year()]++
			d.Due++
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	for y, k := range years {
		d.Years = append(d.Years, api.DueInYear{Year: y, Due: k})
	}
	slices.SortFunc(d.Years, func(a, b api.DueInYear) int { return a.Year - b.Year })
	return d, nil
}

// still reports whether a record is due by a rule still: it may have changed since it was
// found, and its bytes are held against the log now.
func (n *Node) still(d *due, id name.Record) (ok bool, err error) {
	term, err := agreement.ParseDuration(d.rule.After)
	if err != nil {
		return false, err
	}
	err = n.ledger.View(func(v *ledger.View) error {
		var last, text ledger.Logged
		err := v.Versions(id, func(g ledger.Logged) bool {
			if last.Version == 0 {
				last = g
			}
			text = g
			return g.Deleted || g.Erased
		})
		if err != nil || text.Deleted || text.Erased {
			return err
		}
		at := last.At
		ver, err := v.Version(text.Index)
		if err != nil {
			return err
		}
		if d.rule.Date != "" {
			if at, ok = dateAt(ver.Body, name.Field(d.rule.Date)); !ok {
				return nil
			}
		}
		ok = !term.After(at).After(n.now())
		return nil
	})
	if errors.Is(err, ledger.ErrDamaged) {
		n.log.Error("record left out of an erasure by rule", "rule", d.Rule, "error", err.Error())
		return false, nil
	}
	return ok, err
}

// dateAt reads a date, or the date that a time begins with, at a field; in UTC.
func dateAt(body map[string]any, f name.Field) (time.Time, bool) {
	var v any = body
	for _, k := range f.Tokens() {
		m, ok := v.(map[string]any)
		if !ok {
			return time.Time{}, false
		}
		v = m[k]
	}
	s, _ := v.(string)
	if len(s) > len(time.DateOnly) && !strings.ContainsRune("Tt ", rune(s[len(time.DateOnly)])) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.DateOnly, s[:min(len(s), len(time.DateOnly))])
	return t, err == nil
}

// eraseDue erases what is due by a rule, or by all. With Try it only counts.
func (n *Node) eraseDue(ctx context.Context, in EraseDueRequest) (*EraseDueReply, error) {
	out := &EraseDueReply{Try: in.Try, Rules: []RuleErasure{}}
	if in.Rule != "" && !slices.ContainsFunc(n.cfg.Erase, func(r config.EraseRule) bool { return r.Name == in.Rule }) {
		return nil, fail(NotFound, "name a rule that stands under erase in "+config.FileName, "%s has no rule %q", config.FileName, in.Rule)
	}
	if len(n.cfg.Erase) == 0 {
		return nil, fail(NotFound, "docs/erasure.md has examples", "%s has no rules under erase", config.FileName)
	}
	for _, r := range n.cfg.Erase {
		if in.Rule != "" && r.Name != in.Rule {
			continue
		}
		d, err := n.findDue(ctx, r)
		if err == nil && !in.Try {
			err = n.eraseFound(ctx, d)
		}
		if err != nil {
			return out, fmt.Errorf("erase by rule %s: %w", r.Name, err)
		}
		out.Rules = append(out.Rules, d.RuleErasure)
	}
	return out, nil
}

// eraseFound erases what was found, a thousand at a time.
func (n *Node) eraseFound(ctx context.Context, d *due) error {
	in := EraseRequest{Reason: fmt.Sprintf("rule %s: %s", d.Rule, d.rule.Reason)}
	for chunk := range slices.Chunk(d.ids, 1000) {
		var ids []name.Record
		for _, id := range chunk {
			ok, err := n.still(d, id)
			if err != nil {
				return err
			}
			if ok {
				ids = append(ids, id)
			}
		}
		reply := &EraseReply{Records: []ErasedRecord{}}
		err := n.eraseAll(ctx, ids, in, reply)
		for _, r := range reply.Records {
			if r.Versions > 0 {
				d.Erased++
			}
			d.Versions += r.Versions
			d.Orders += len(r.Orders)
		}
		if err == nil {
			err = n.eraseHeld(ctx, in, ids, reply)
		}
		if err != nil {
			return err
		}
	}
	if d.Erased > 0 {
		n.log.Info("records were erased since they were due", "rule", d.Rule, "records", d.Erased, "versions", d.Versions, "orders", d.Orders)
	}
	return nil
}

// most returns how many records a rule may erase in one day by itself.
func most(r config.EraseRule, records int) int {
	share, percent := strings.CutSuffix(r.Most, "%")
	k, err := strconv.Atoi(share)
	switch {
	case err != nil:
		return 0
	case percent:
		return records * k / 100
	}
	return k
}

// stoppedRules are the rules that did not run, and why.
type stoppedRules struct {
	mu  sync.Mutex
	why map[string]Condition
}

func (s *stoppedRules) set(rule string, c *Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = map[string]Condition{}
	}
	delete(s.why, rule)
	if c != nil {
		s.why[rule] = *c
	}
}

func (s *stoppedRules) all() (out []Condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.why {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Condition) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// runRules erases what is due, once a day until ctx ends.
func (n *Node) runRules(ctx context.Context) {
	if len(n.cfg.Erase) == 0 {
		<-ctx.Done()
		return
	}
	t := time.NewTimer(eraseDueFirst)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, r := range n.cfg.Erase {
			n.runRule(ctx, r)
		}
		t.Reset(eraseDueEvery)
	}
}

// runRule erases what is due by a rule, unless that is more than it may by itself.
func (n *Node) runRule(ctx context.Context, r config.EraseRule) {
	try := "stile record erase --rule " + r.Name + " --dry-run"
	d, err := n.findDue(ctx, r)
	if err == nil {
		if limit := most(r, d.Records); d.Due > limit {
			c := condition.New("erasure-rule-stopped", fmt.Sprintf("rule %s has erased nothing: %d records of %d are due, and it may erase %d in one day by itself", r.Name, d.Due, d.Records, limit),
				"the rule is new, or counts from a wrong field, or the clock is wrong", try)
			n.rules.set(r.Name, &c)
			return
		}
		err = n.eraseFound(ctx, d)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		n.log.Error("erase what is due", "rule", r.Name, "error", err.Error())
		c := condition.New("erasure-rule-stopped", fmt.Sprintf("rule %s has not erased what is due", r.Name), err.Error(), try)
		n.rules.set(r.Name, &c)
		return
	}
	n.rules.set(r.Name, nil)
}
