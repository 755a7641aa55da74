package web

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (q *request) agreementList() error {
	all, err := q.Node.Agreements().List(q.ctx())
	if err != nil {
		return err
	}
	drafts, err := q.drafts.list()
	if err != nil {
		return err
	}
	return q.render("agreements", page{Title: q.say("agreements.title"), Wide: true, Data: map[string]any{"All": all, "Drafts": drafts}})
}

// A heading is one heading of an agreement and what stands there.
type heading struct {
	Key   string
	Label string
	Text  string
}

// parts are the tasks of drafting an agreement, and the headings of each: those that the
// Commissioner's code of practice asks for, and the terms that the node obeys.
var parts = []struct {
	Key      string
	Headings []string
}{
	{"purpose", []string{"purpose", "necessity"}},
	{"data", []string{"rows", "fields", "match", "due", "most", "data_items"}},
	{"onward", []string{"origin", "onward/to", "onward/under", "onward/fields", "onward/steps"}},
	{"law", []string{"lawful_basis/article_6", "lawful_basis/legal_power", "lawful_basis/special_condition", "lawful_basis/criminal_condition", "dpia"}},
	{"parties", []string{"roles", "contacts"}},
	{"rights", []string{"rights_contact", "accuracy"}},
	{"keeping", []string{"retention", "disposal", "security"}},
	{"time", []string{"starts", "ends", "review", "exit"}},
}

// headings puts an agreement in the words of a page.
func (t *tongue) headings(a *agreement.Agreement) (out []heading) {
	for _, p := range parts {
		if p.Key == "onward" { // in words, also where it is not filled in: then nothing may go on
			for _, h := range []heading{{"origin", t.say("heading.origin"), a.OriginWords()}, {"onward", t.say("heading.onward"), a.OnwardWords()}} {
				if h.Text != "" {
					out = append(out, h)
				}
			}
			continue
		}
		for _, key := range p.Headings {
			if text := headingText(a, key); text != "" {
				if (key == "starts" || key == "ends" || key == "review") && text != "" {
					text = t.day(text)
				}
				out = append(out, heading{key, t.say("heading." + strings.ReplaceAll(key, "/", "-")), text})
			}
		}
	}
	return out
}

// headingText is what stands under a heading: lists and tables a line each.
func headingText(a *agreement.Agreement, key string) string {
	switch key {
	case "purpose":
		return a.Purpose
	case "necessity":
		return a.Necessity
	case "rows":
		return a.Rows
	case "fields":
		return strings.Join(texts(a.Fields), "\n")
	case "match":
		return strings.Join(texts(a.Match), "\n")
	case "due":
		return a.Due
	case "most":
		return a.Most.String()
	case "data_items":
		return a.DataItems
	case "lawful_basis/article_6":
		return a.LawfulBasis.Article6
	case "lawful_basis/legal_power":
		return a.LawfulBasis.LegalPower
	case "lawful_basis/special_condition":
		return a.LawfulBasis.SpecialCondition
	case "lawful_basis/criminal_condition":
		return a.LawfulBasis.CriminalCondition
	case "dpia":
		return a.DPIA
	case "roles":
		return byParty(a, func(c name.Council) string { return string(a.Roles[c]) })
	case "contacts":
		return byParty(a, func(c name.Council) string { return a.Contacts[c] })
	case "rights_contact":
		return a.RightsContact
	case "accuracy":
		return a.Accuracy
	case "retention":
		return string(a.Retention)
	case "disposal":
		return a.Disposal
	case "security":
		return a.Security
	case "starts":
		return string(a.Starts)
	case "ends":
		return string(a.Ends)
	case "review":
		return string(a.Review)
	case "exit":
		return a.Exit
	case "origin":
		return string(a.Origin)
	case "onward/to":
		return strings.Join(texts(a.Onward.To), "\n")
	case "onward/under":
		return strings.Join(texts(a.Onward.Under), "\n")
	case "onward/fields":
		return strings.Join(texts(a.Onward.Fields), "\n")
	case "onward/steps":
		if a.Onward.Steps > 0 {
			return strconv.Itoa(a.Onward.Steps)
		}
	}
	return ""
}

func byParty(a *agreement.Agreement, of func(name.Council) string) string {
	var lines []string
	for _, c := range a.Parties() {
		if t := of(c); t != "" {
			lines = append(lines, string(c)+": "+t)
		}
	}
	return strings.Join(lines, "\n")
}

// named is the agreement that the path names.
func (q *request) named() string { return q.r.PathValue("council") + "/" + q.r.PathValue("name") }

// agreementOf reads a version of an agreement: that of the query, or the newest.
func (q *request) agreementOf() (node.AgreementReply, *agreement.Agreement, error) {
	in := node.AgreementRequest{Name: q.named()}
	if c := q.form("counter"); c != "" {
		a, err := q.Node.Agreements().Show(q.ctx(), in)
		if err != nil {
			return a, nil, err
		}
		for _, x := range a.Counters {
			if string(x.Council) == c {
				a.Version, a.Digest, a.Document, a.Waiting = x.Version, x.Digest, x.Document, []name.Council{a.From}
				doc, err := agreement.Parse([]byte(x.Document))
				return a, doc, err
			}
		}
		return a, nil, &node.Error{Kind: node.NotFound, Message: q.say("counter.gone"), Try: q.say("sign.look-again")}
	}
	if v := q.form("version"); v != "" {
		if _, err := fmt.Sscanf(v, "%d", &in.Version); err != nil || in.Version < 1 {
			return node.AgreementReply{}, nil, &node.Error{Kind: node.Usage, Message: "the version is no number"}
		}
	}
	a, err := q.Node.Agreements().Show(q.ctx(), in)
	if err != nil {
		return a, nil, err
	}
	doc, err := agreement.Parse([]byte(a.Document))
	return a, doc, err
}

func (q *request) agreementOne() error { return q.showAgreement(nil) }

func (q *request) showAgreement(f faults) error {
	a, doc, err := q.agreementOf()
	if err != nil {
		return err
	}
	var versions []int
	newest := a
	if q.form("version") != "" {
		if newest, err = q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: string(a.Name)}); err != nil {
			return err
		}
	}
	for v := newest.Version; v >= 1; v-- {
		versions = append(versions, v)
	}
	var changes []string
	if a.Version > 1 {
		if before, err := q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: string(a.Name), Version: a.Version - 1}); err == nil {
			if old, err := agreement.Parse([]byte(before.Document)); err == nil {
				changes = agreement.Diff(old, doc)
			}
		}
	}
	suspended := slices.ContainsFunc(a.Partners, func(p node.PartnerReply) bool { return p.Suspended })
	wait, err := q.waits(a.Name)
	if err != nil {
		return err
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("agreement", page{Title: string(a.Name), Back: "/agreements", Status: status, Faults: f, Data: map[string]any{
		"A": a, "Doc": doc, "Headings": q.headings(doc), "Versions": versions, "Changes": changes, "Suspended": suspended, "Path": path("agreements", a.Name),
		"ToSign": slices.Contains(a.Waiting, q.Council), "MaySign": q.may("agreements/sign"), "MaySuspend": q.may("agreements/suspend"), "MayCheck": q.may("agreements/preview"), "MayCounter": q.may("agreements/counter") && slices.Contains(a.To, q.Council),
		"Wait": wait, "Newest": newest.Version == a.Version, "Reason": q.form("reason"), "ReviewDue": reviewDue(a, doc, q.Now()),
		"MayRenew": q.may("agreements/renew") && (a.InForce || suspended || reviewDue(a, doc, q.Now())), "Until": dateIn{q.form("until-day"), q.form("until-month"), q.form("until-year")},
	}})
}

// reviewDue reports whether the day has come by which all that signed a text look at it
// again.
func reviewDue(a node.AgreementReply, doc *agreement.Agreement, now time.Time) bool {
	day := agreement.Date(a.Review)
	if day == "" {
		day = doc.Review
	}
	return len(a.Waiting) == 0 && day != "" && !now.Before(day.Time())
}

// agreementCheck shows what would leave, before anybody signs.
func (q *request) agreementCheck() error {
	a, doc, err := q.agreementOf()
	if err != nil {
		return err
	}
	sign := path("agreements", a.Name) + "/sign"
	if c := q.form("counter"); c != "" {
		sign += "?counter=" + url.QueryEscape(c)
	}
	return q.check([]byte(a.Document), doc, sign, path("agreements", a.Name), slices.Contains(a.Waiting, q.Council))
}

// check shows what an agreement would let out, and asks whether to sign. Samples of
// records are shown to whoever says what for.
func (q *request) check(document []byte, doc *agreement.Agreement, sign, back string, may bool) error {
	in := node.AgreementRequest{Document: document}
	samples := q.form("samples") != ""
	if samples {
		if sent, err := q.reads("preview", string(doc.Name)); sent || err != nil {
			return err
		}
		in.Samples = 3
	}
	p, err := q.Node.Agreements().Preview(q.ctx(), in)
	if err != nil {
		return err
	}
	var rows []string
	for _, s := range p.Samples {
		var v any
		if json.Unmarshal(s, &v) == nil {
			if b, err := json.MarshalIndent(v, "", "  "); err == nil {
				rows = append(rows, string(b))
			}
		}
	}
	sent := 0
	for _, f := range p.Fields {
		if f.Sent {
			sent++
		}
	}
	// Against what is in force: how many records more, or fewer, would leave.
	gained, compared := 0, false
	if old, err := q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: string(doc.Name)}); err == nil && old.InForce && old.Version < doc.Version {
		if before, err := q.Node.Agreements().Preview(q.ctx(), node.AgreementRequest{Document: []byte(old.Document)}); err == nil {
			gained, compared = p.Matched-before.Matched, true
		}
	}
	return q.render("check", page{Title: q.say("check.title"), Back: back, Data: map[string]any{
		"P": p, "Doc": doc, "Sent": sent, "Rows": rows, "Sign": sign, "May": may && q.may("agreements/sign"), "Gained": gained, "Lost": -gained, "Compared": compared, "Headings": q.headings(doc), "Digest": doc.Digest().String(), "Here": q.r.URL.Path, "ShowSamples": samples,
	}})
}

// agreementSign signs what has come, by its digest, so that nobody signs what they have
// not seen.
func (q *request) agreementSign() error {
	a, doc, err := q.agreementOf()
	if err != nil {
		return err
	}
	return q.sign(node.AgreementRequest{Name: string(a.Name), Version: a.Version, Counter: q.form("counter")}, doc, path("agreements", a.Name))
}

// sign has the council sign: after a recent sign-in, by the text that was seen, and where
// the configuration says so, by a second person.
func (q *request) sign(in node.AgreementRequest, doc *agreement.Agreement, back string) error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	if q.form("digest") != doc.Digest().String() {
		return &node.Error{Kind: node.Conflict, Message: q.say("sign.changed"), Try: q.say("sign.look-again")}
	}
	if q.form("sure") == "" {
		return &node.Error{Kind: node.Invalid, Message: q.say("sign.not-sure")}
	}
	in.By = q.signs()
	r, err := q.Node.Agreements().Sign(q.ctx(), in)
	if err != nil {
		return q.twice(err, doc.Name, doc.Digest().String())
	}
	if r.Approval != nil {
		return q.done(back, "first-signer")
	}
	q.Log.Info("a person signed an agreement", "agreement", doc.Name, "version", doc.Version, "person", q.who.ID)
	if err := q.drafts.drop(string(doc.Name)); err != nil {
		return err
	}
	return q.done(path("agreements", doc.Name), "signed")
}

// twice puts in the person's own language that the node wants another person than them, who
// has said yes to the same before. Any other error it returns as it is.
func (q *request) twice(err error, a name.Agreement, what string) error {
	if e, ok := asNode(err); !ok || e.Kind != node.Refused {
		return err
	}
	w, lerr := q.waits(a)
	if lerr != nil || w == nil || w.Person != q.who.ID || w.Of != what {
		return err
	}
	return &node.Error{Kind: node.Refused, Message: q.say("sign.same-person"), Try: q.say("sign.another")}
}

// waits returns what a first person has said about an agreement; nil for nothing.
func (q *request) waits(a name.Agreement) (*node.ApprovalReply, error) {
	all, err := q.Node.Agreements().Approvals(q.ctx())
	if i := slices.IndexFunc(all, func(w node.ApprovalReply) bool { return w.Agreement == a }); i >= 0 {
		return &all[i], err
	}
	return nil, err
}

// agreementRenew says for the council that an agreement was reviewed and goes on in the same
// words until a later day.
func (q *request) agreementRenew() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	day, ok := q.dayOf("until")
	if !ok {
		return q.showAgreement(faults{{"until-day", q.say("date.wrong")}})
	}
	if q.form("reviewed") == "" {
		return q.showAgreement(faults{{"reviewed", q.say("renew.not-sure")}})
	}
	a := name.Agreement(q.named())
	in := node.AgreementRequest{Name: string(a), Review: day, By: q.signs()}
	r, err := q.Node.Agreements().Renew(q.ctx(), in)
	if twice := q.twice(err, a, "renewal until "+day); twice != err {
		return twice
	}
	if e, ok := asNode(err); ok && (e.Kind == node.Usage || e.Kind == node.Conflict || e.Kind == node.Refused) && q.may("agreements/renew") {
		return q.showAgreement(faults{{"until-day", q.node(e.Message)}})
	}
	if err != nil {
		return err
	}
	if r.Approval != nil {
		return q.done(path("agreements", a), "first-signer")
	}
	q.Log.Info("a person renewed an agreement", "agreement", in.Name, "person", q.who.ID)
	return q.done(path("agreements", in.Name), "renewed")
}

// agreementHalt suspends, resumes or ends an agreement.
func (q *request) agreementHalt() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	in := node.AgreementRequest{Name: q.named(), Reason: q.form("reason"), By: q.signs()}
	_, verb := filepath.Split(q.r.URL.Path)
	if in.Reason == "" && verb != "resume" {
		return q.showAgreement(faults{{"reason", q.say("halt.reason-empty")}})
	}
	var err error
	switch verb {
	case "suspend":
		_, err = q.Node.Agreements().Suspend(q.ctx(), in)
	case "resume":
		_, err = q.Node.Agreements().Resume(q.ctx(), in)
	case "end":
		_, err = q.Node.Agreements().End(q.ctx(), in)
	}
	if err != nil {
		return err
	}
	return q.done(path("agreements", in.Name), map[string]string{"suspend": "suspended", "resume": "resumed", "end": "ended"}[verb])
}
