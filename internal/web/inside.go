package web

import (
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A task is something that waits for the person.
type task struct {
	Text, To, Hint string
	State          string // what stands in its tag; "" for none
	Colour         string
}

// home says what needs the person today, how partners stand, and what somebody should
// know of the node.
func (q *request) home() error {
	st, err := q.Node.Status(q.ctx())
	if err != nil {
		return err
	}
	all, err := q.Node.Agreements().List(q.ctx())
	if err != nil {
		return err
	}
	var tasks []task
	for _, a := range all {
		if slices.Contains(a.Waiting, q.Council) {
			tasks = append(tasks, task{q.say("task.sign", a.Name), path("agreements", a.Name), q.say("task.sign-hint", a.From), q.say("state.waiting"), "yellow"})
		} else if len(a.Waiting) > 0 && a.Why != "" && slices.Contains(a.Signed, q.Council) {
			tasks = append(tasks, task{q.say("task.partner", a.Name), path("agreements", a.Name), q.say("task.partner-hint", strings.Join(texts(a.Waiting), ", ")), q.say("state.partner"), "light-blue"})
		}
	}
	if st.Held > 0 && q.may("records/held") {
		tasks = append(tasks, task{q.count(st.Held, "task.held"), "/held", q.say("task.held-hint"), q.say("state.mend"), "orange"})
	}
	waiting, err := q.Node.Agreements().Approvals(q.ctx())
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if q.may("agreements/sign") && w.Person != q.who.ID {
			tasks = append(tasks, task{q.say("task.second", w.Agreement), path("agreements", w.Agreement), q.say("task.second-hint", w.By), q.say("state.waiting"), "yellow"})
		}
	}
	byHand, err := q.caseTasks()
	if err != nil {
		return err
	}
	tasks = append(tasks, byHand...)
	drafts, err := q.drafts.list()
	if err != nil {
		return err
	}
	if q.may("agreements/preview") {
		for _, d := range drafts {
			tasks = append(tasks, task{q.say("task.draft", d), path("drafts", d), q.say("task.draft-hint"), q.say("state.draft"), "grey"})
		}
	}
	if q.may("directory/invite") && len(all) == 0 {
		tasks = append(tasks, task{q.say("task.setup"), "/setup", q.say("task.setup-hint"), q.say("state.begin"), "blue"})
	}
	return q.render("home", page{Title: q.say("home.title"), Heading: q.say("home.title"), Data: map[string]any{"Status": st, "Tasks": tasks, "Agreements": all}})
}

// setup is the first steps of a new node, as a task list.
func (q *request) setup() error {
	ctx := q.ctx()
	st, err := q.Node.Status(ctx)
	if err != nil {
		return err
	}
	dir, err := q.Node.Directory().Show(ctx)
	if err != nil {
		return err
	}
	people, err := q.People.List()
	if err != nil {
		return err
	}
	standards, err := q.Node.Standards().List(ctx)
	if err != nil {
		return err
	}
	agreements, err := q.Node.Agreements().List(ctx)
	if err != nil {
		return err
	}
	records := 0
	for _, n := range st.Records {
		records += n
	}
	encrypted := !slices.ContainsFunc(st.Conditions, func(c node.Condition) bool { return c.Name == "keys-in-clear" })
	signers := 0
	for _, p := range people {
		if slices.ContainsFunc(p.Roles, func(r access.Role) bool { return r == "signer" }) {
			signers++
		}
	}
	step := func(key, to string, done bool) task {
		t := task{Text: q.say("setup." + key), Hint: q.say("setup." + key + "-hint"), To: to, State: q.say("state.to-do"), Colour: "blue"}
		if done {
			t.State, t.Colour = q.say("state.done"), ""
		}
		return t
	}
	steps := []task{
		step("people", "/admin/people", len(people) > 1 && signers > 0),
		step("keys", "/admin", encrypted),
		step("directory", "/councils", !dir.Sole || dir.Members > 1),
		step("standards", "/standards", len(standards) > 0),
		step("records", "/imports", records > 0),
		step("agreement", "/agreements", len(agreements) > 0),
		step("register", "/register", slices.ContainsFunc(agreements, func(a node.AgreementReply) bool { return a.InForce })),
	}
	done := 0
	for _, s := range steps {
		if s.Colour == "" {
			done++
		}
	}
	return q.render("setup", page{Title: q.say("setup.title"), Data: map[string]any{"Steps": steps, "Done": done, "Of": len(steps)}})
}

func (q *request) admin() error {
	st, err := q.Node.Status(q.ctx())
	if err != nil {
		return err
	}
	dir, err := q.Node.Directory().Show(q.ctx())
	if err != nil {
		return err
	}
	return q.render("admin", page{Title: q.say("admin.title"), Data: map[string]any{"Feeds": len(q.Feeds), "Status": st, "Directory": dir, "Options": q.Options}})
}

func (q *request) retry() error {
	if err := q.Node.Retry(q.ctx()); err != nil {
		return err
	}
	return q.done("/admin", "retried")
}

func (q *request) councilOne() error {
	m, err := q.Node.Councils().Show(q.ctx(), node.MemberNameRequest{Council: q.r.PathValue("council")})
	if err != nil {
		return err
	}
	st, err := q.Node.Status(q.ctx())
	if err != nil {
		return err
	}
	var flows []node.PartnerReply
	for _, p := range st.Partners {
		if p.Council == m.Council {
			flows = append(flows, p)
		}
	}
	title := m.Title
	if title == "" {
		title = string(m.Council)
	}
	data := map[string]any{"M": m, "Flows": flows, "Topics": api.FactTopics()}
	if !m.Self && q.may("councils/facts") {
		facts, err := q.Node.Councils().Facts(q.ctx(), node.FactsRequest{Council: string(m.Council)})
		if err != nil {
			return err
		}
		data["Facts"] = facts
	}
	return q.render("council", page{Title: title, Back: "/councils", Data: data})
}

func (q *request) footprints() error {
	all, err := q.Node.Footprints().List(q.ctx())
	if err != nil {
		return err
	}
	return q.render("footprints", page{Title: q.say("footprints.title"), Data: all})
}

// disclosurePage is how many disclosures stand on one page.
const disclosurePage = 50

func (q *request) disclosures() error {
	in := node.DisclosureRequest{To: name.Council(q.form("to")), Agreement: name.Agreement(q.form("agreement")), Cursor: node.Cursor(q.form("cursor")), Limit: disclosurePage}
	all, err := q.Node.Disclosures().List(q.ctx(), in)
	if err != nil {
		return err
	}
	members, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	agreements, err := q.Node.Agreements().List(q.ctx())
	if err != nil {
		return err
	}
	to, under := []option{opt("", q.say("all.councils"))}, []option{opt("", q.say("all.agreements"))}
	for _, m := range members {
		if !m.Self {
			to = append(to, opt(m.Council, m.Council))
		}
	}
	for _, a := range agreements {
		under = append(under, opt(a.Name, a.Name))
	}
	var drift node.DriftReply
	if q.may("disclosures/drift") {
		if drift, err = q.Node.Disclosures().Drift(q.ctx(), node.DriftRequest{}); err != nil {
			return err
		}
	}
	var reads []node.ReadReply
	if q.may("log/reads") {
		if reads, err = q.Node.Log().Reads(q.ctx(), node.ReadsRequest{Limit: 50}); err != nil {
			return err
		}
	}
	return q.render("disclosures", page{Title: q.say("disclosures.title"), Wide: true, Data: map[string]any{"In": in, "List": all, "To": to, "Under": under, "Drift": drift, "Reads": reads, "MaySubject": q.may("disclosures/subject")}})
}

func (q *request) subjectForm() error {
	return q.render("subject", page{Title: q.say("subject.title"), Data: map[string]any{}})
}

// subject shows everything that is here about one person. It is sent by a form, so that
// the number stands in no address.
func (q *request) subject() error {
	person, why := q.form("person"), q.form("why")
	var f faults
	if person == "" {
		f = append(f, fault{"person", q.say("subject.person-empty")})
	}
	if why == "" {
		f = append(f, fault{"why", q.say("purpose.empty")})
	}
	again := func(f faults, status int) error {
		return q.render("subject", page{Title: q.say("subject.title"), Faults: f, Status: status, Data: map[string]any{"Person": person, "Why": why, "Scheme": q.form("scheme")}})
	}
	if len(f) > 0 {
		return again(f, 422)
	}
	if err := q.readsFor("subject", "report", why); err != nil {
		return err
	}
	r, err := q.Node.Disclosures().Subject(q.ctx(), node.SubjectRequest{Person: person, Scheme: q.form("scheme")})
	if e, ok := asNode(err); ok && (e.Kind == node.Usage || e.Kind == node.NotFound || e.Kind == node.Invalid) {
		return again(faults{{"person", q.node(e.Message)}}, 422)
	}
	if err != nil {
		return err
	}
	return q.render("subject-report", page{Title: q.say("subject.report"), Back: "/subject", Data: r})
}
