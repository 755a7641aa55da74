package web

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

// newCounters keeps the texts that people of ours are writing in answer to a proposal, one
// for each agreement, so that a second signer says yes to what the first has written.
func newCounters(data string) *drafts { return &drafts{filepath.Join(data, "drafts", "counter")} }

// agreementCounter shows the newest text of an agreement, or what somebody here has made of
// it, to be changed into what the council would sign instead.
func (q *request) agreementCounter() error {
	a, old, next, err := q.countered()
	if err != nil {
		return err
	}
	text := numbered(a.Document, next)
	if kept, err := q.counters.read(string(a.Name)); err == nil {
		if doc, err := agreement.Parse(kept); err == nil && doc.Version >= next {
			return q.showCounter(a, old, string(kept), doc, nil)
		}
	}
	return q.showCounter(a, old, text, nil, nil)
}

// countered returns the newest version of the agreement, and the number that an answer to it
// must have at least.
func (q *request) countered() (a node.AgreementReply, old *agreement.Agreement, next int, err error) {
	if a, err = q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: q.named()}); err != nil {
		return a, nil, 0, err
	}
	next = a.Version + 1
	for _, x := range a.Counters {
		next = max(next, x.Version+1)
	}
	old, err = agreement.Parse([]byte(a.Document))
	return a, old, next, err
}

var versionLine = regexp.MustCompile(`(?m)^version: *[0-9]+ *$`)

// numbered gives a text another version.
func numbered(text string, version int) string {
	return versionLine.ReplaceAllLiteralString(text, fmt.Sprintf("version: %d", version))
}

// showCounter shows the form; with a document also how it differs from the newest text, and
// whether to propose it.
func (q *request) showCounter(a node.AgreementReply, old *agreement.Agreement, text string, doc *agreement.Agreement, f faults) error {
	data := map[string]any{"A": a, "Text": text, "Path": path("agreements", a.Name), "Digest": "", "Differs": []string(nil)}
	if doc != nil {
		data["Digest"], data["Differs"] = doc.Digest().String(), agreement.Diff(old, doc)
	}
	return q.render("counter", page{Title: q.say("counter.answer"), Back: path("agreements", a.Name), Status: f.status(), Faults: f, Data: data})
}

// agreementCounterDo shows how a changed text differs, and once that was seen proposes it.
func (q *request) agreementCounterDo() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	a, old, _, err := q.countered()
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(q.r.FormValue("text"), "\r\n", "\n")
	doc, err := agreement.Parse([]byte(text))
	switch {
	case err != nil:
		return q.showCounter(a, old, text, nil, faults{{"text", q.node(err.Error())}})
	case doc.Name != a.Name:
		return q.showCounter(a, old, text, nil, faults{{"text", q.say("counter.other")}})
	case len(agreement.Diff(old, doc)) == 0:
		return q.showCounter(a, old, text, nil, faults{{"text", q.say("counter.same")}})
	}
	if err := q.counters.write(string(a.Name), []byte(text)); err != nil {
		return err
	}
	seen := q.form("digest") == doc.Digest().String()
	switch {
	case !seen:
		return q.showCounter(a, old, text, doc, nil)
	case q.form("sure") == "":
		return q.showCounter(a, old, text, doc, faults{{"sure", q.say("sign.not-sure")}})
	}
	r, err := q.Node.Agreements().Counter(q.ctx(), node.AgreementRequest{Name: string(a.Name), Document: []byte(text), By: q.signs()})
	what := doc.Digest().String() // which the sender signs
	if doc.From != q.Council {
		what = "counter-proposal " + what
	}
	if twice := q.twice(err, a.Name, what); twice != err {
		return twice
	}
	if e, ok := asNode(err); ok && (e.Kind == node.Invalid || e.Kind == node.Conflict || e.Kind == node.Usage || e.Kind == node.Refused) && q.may("agreements/counter") {
		return q.showCounter(a, old, text, doc, faults{{"text", q.node(e.Message)}})
	}
	if err != nil {
		return err
	}
	if r.Approval != nil {
		return q.done(path("agreements", a.Name), "first-signer")
	}
	q.Log.Info("a person answered an agreement with another text", "agreement", a.Name, "version", doc.Version, "person", q.who.ID)
	if err := q.counters.drop(string(a.Name)); err != nil {
		return err
	}
	return q.done(path("agreements", a.Name), "countered")
}
