package web

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// Cases are what people let out by hand: handovers, and urgent disclosures. The two differ
// in who must say what, and share their pages.

// A caseKind is one of the two, as the pages have it.
type caseKind struct {
	path string // of its pages
	key  string // of its messages
}

var (
	handovers = caseKind{"/handovers", "handovers"}
	urgents   = caseKind{"/urgent", "urgent"}
)

// caseOf is the kind that a request's path is about.
func (q *request) caseKind() caseKind {
	if strings.HasPrefix(q.r.URL.Path, urgents.path) {
		return urgents
	}
	return handovers
}

// caseStates are the states of cases that the pages have words for.
var caseStates = []string{
	ledger.CaseOffered, ledger.CaseAccepted, ledger.CaseClosed, ledger.CaseDeclined, ledger.CaseWithdrawn, ledger.CaseCarried, ledger.CaseContinued,
	ledger.CaseAsked, ledger.CaseGiven, ledger.CaseOut, ledger.CaseRefused, ledger.CaseEnded,
}

// modeWord is the end of the key of what a mode is called: of none that is not ours.
func modeWord(m any) string {
	return word(fmt.Sprint(m), texts(agreement.Modes())...)
}

// caseTask says what a case wants of us now; ok is false where it wants nothing.
func (q *request) caseTask(c node.CaseReply, k caseKind) (t task, ok bool) {
	t = task{To: path(k.path, c.Case), State: q.say("state.waiting"), Colour: "yellow"}
	ours := c.Direction == "to" // the records are ours
	switch {
	case c.State == ledger.CaseOffered && !ours:
		t.Text, t.Hint = q.say("task.handover", c.Partner), q.clock(c)
		if c.Overdue {
			t.State, t.Colour = q.say("cases.late"), "red"
		}
	case c.State == ledger.CaseAsked && ours:
		t.Text, t.Hint, t.Colour = q.say("task.urgent-asked", c.Partner), q.say("task.urgent-hint"), "red"
	case c.State == ledger.CaseGiven && ours:
		t.Text, t.Hint, t.Colour = q.say("task.urgent-given", c.Partner), q.say("task.second-hint", c.By), "red"
	case c.ToReview:
		t.Text, t.Hint = q.say("task.urgent-review", c.Partner), q.say("task.urgent-review-hint")
	default:
		return t, false
	}
	return t, true
}

// clock says in words how much time is left to take a handover over.
func (q *request) clock(c node.CaseReply) string {
	switch {
	case c.DueUnknown != "":
		return q.say("cases.due-unknown")
	case c.Due == "":
		return q.say("cases.no-due")
	case c.DaysLeft == nil:
		return q.say("cases.due", q.day(c.Due))
	case *c.DaysLeft < 0:
		return q.say("cases.was-due", q.day(c.Due))
	case c.WorkingDays:
		return q.say("cases.due-in-working", q.day(c.Due), *c.DaysLeft)
	}
	return q.say("cases.due-in", q.day(c.Due), *c.DaysLeft)
}

// caseTasks are what cases want of the person today.
func (q *request) caseTasks() (out []task, err error) {
	if !q.may("handovers/list") {
		return nil, nil
	}
	for _, k := range []caseKind{handovers, urgents} {
		all, err := q.cases(k)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			if t, ok := q.caseTask(c, k); ok {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func (q *request) cases(k caseKind) ([]node.CaseReply, error) {
	if k == urgents {
		return q.Node.Urgent().List(q.ctx())
	}
	return q.Node.Handovers().List(q.ctx())
}

// A caseLine is a case in a list.
type caseLine struct {
	node.CaseReply
	To, Clock string
}

func (q *request) caseList() error { return q.showCases(nil) }

func (q *request) showCases(f faults) error {
	k := q.caseKind()
	all, err := q.cases(k)
	if err != nil {
		return err
	}
	slices.Reverse(all) // the newest first
	var lines []caseLine
	for _, c := range all {
		l := caseLine{CaseReply: c, To: path(k.path, c.Case)}
		if k == handovers {
			l.Clock = q.clock(c)
		}
		lines = append(lines, l)
	}
	members, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	var to []option
	for _, m := range members {
		if !m.Self {
			to = append(to, opt(m.Council, m.Council))
		}
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("cases", page{Title: q.say(k.key + ".title"), Wide: true, Faults: f, Status: status, Data: map[string]any{
		"K": k.key, "Path": k.path, "Urgent": k == urgents, "Cases": lines, "Councils": to, "In": q.caseIn(), "May": q.may("handovers/offer"),
		"Kinds": []option{opt("give", q.say("urgent.give")), opt("ask", q.say("urgent.ask"))}, "Kind": q.form("kind"),
	}})
}

// caseIn is what the form of a new case, or of an answer, holds.
func (q *request) caseIn() node.CaseRequest {
	in := node.CaseRequest{
		Case: q.r.PathValue("case"), Partner: name.Council(q.form("partner")), Records: fieldsOf(q.r.FormValue("records")), Standard: q.form("standard"), Person: q.form("person"),
		Ref: q.form("ref"), Because: q.form("because"), Notice: q.form("notice"), Due: q.form("due"), Only: q.r.Form["only"], By: q.signs(),
	}
	return in
}

// caseNew offers a handover, or asks for or gives an urgent disclosure.
func (q *request) caseNew() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	in, k := q.caseIn(), q.caseKind()
	in.Case = ""
	do, done := q.Node.Handovers().Offer, "offered"
	switch {
	case k == urgents && q.form("kind") == "ask":
		do, done = q.Node.Urgent().Ask, "asked"
	case k == urgents:
		do, done = q.Node.Urgent().Give, "given"
	}
	c, err := do(q.ctx(), in)
	if e, ok := asNode(err); ok && e.Kind != node.Failed {
		return q.showCases(faults{{"because", q.node(e.Message)}})
	}
	if err != nil {
		return err
	}
	return q.done(path(k.path, c.Case), "case-"+done)
}

func (q *request) caseOne() error { return q.showCase(nil) }

func (q *request) showCase(f faults) error {
	k := q.caseKind()
	show := q.Node.Handovers().Show
	if k == urgents {
		show = q.Node.Urgent().Show
	}
	c, err := show(q.ctx(), node.CaseRequest{Case: q.r.PathValue("case")})
	if err != nil {
		return err
	}
	// The verbs that may be said now, and what each is for.
	var verbs []string
	add := func(op, verb string, when bool) {
		if when && q.may(op) {
			verbs = append(verbs, verb)
		}
	}
	ours := c.Direction == "to"
	if k == handovers {
		add("handovers/accept", "accept", c.State == ledger.CaseOffered && !ours)
		add("handovers/decline", "decline", c.State == ledger.CaseOffered && !ours)
		add("handovers/withdraw", "withdraw", c.State == ledger.CaseOffered && ours)
	} else {
		add("urgent/give", "give", c.State == ledger.CaseAsked && ours)
		add("urgent/approve", "approve", c.State == ledger.CaseGiven && ours && c.By != q.who.ID)
		add("urgent/refuse", "refuse", (c.State == ledger.CaseAsked || c.State == ledger.CaseGiven) && ours)
		add("urgent/end", "end", c.State == ledger.CaseOut && ours)
		add("urgent/review", "review", c.ToReview)
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	clock := ""
	if k == handovers {
		clock = q.clock(c)
	}
	return q.render("case", page{Title: q.say(k.key+".one", c.Partner), Back: k.path, Wide: true, Faults: f, Status: status, Data: map[string]any{
		"C": c, "K": k.key, "Urgent": k == urgents, "Clock": clock, "Verbs": verbs, "Path": path(k.path, c.Case), "In": q.caseIn(),
		"Second": k == urgents && c.State == ledger.CaseGiven && ours && c.By == q.who.ID, "Ours": ours,
	}})
}

// caseSay says one thing of a case.
func (q *request) caseSay() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	h, u := q.Node.Handovers(), q.Node.Urgent()
	_, verb := filepath.Split(q.r.URL.Path)
	do, done := h.Accept, "accepted"
	if q.caseKind() == handovers {
		switch verb {
		case "decline":
			do, done = h.Decline, "declined"
		case "withdraw":
			do, done = h.Withdraw, "withdrawn"
		}
	} else {
		switch verb {
		case "give":
			do, done = u.Give, "given"
		case "approve":
			do, done = u.Approve, "approved"
		case "refuse":
			do, done = u.Refuse, "refused"
		case "end":
			do, done = u.End, "ended"
		case "review":
			do, done = u.Review, "reviewed"
		}
	}
	in := q.caseIn()
	if _, err := do(q.ctx(), in); err != nil {
		if e, ok := asNode(err); ok && (e.Kind == node.Usage || e.Kind == node.Invalid) {
			return q.showCase(faults{{"because", q.node(e.Message)}})
		}
		return err
	}
	return q.done(path(q.caseKind().path, in.Case), "case-"+done)
}
