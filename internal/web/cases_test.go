package web_test

import (
	"html"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
)

// byHand has both councils sign an agreement of each mode under which people let out single
// records, in the words of the example: the other signs in a folder of its own. One record is
// given urgently, by a person of whose name the pages know nothing, and offered.
func (h *house) byHand() (urgent, offer string) {
	t := h.t
	t.Helper()
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "saltby"), Council: saltby, Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/2"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	other, err := node.Open(cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for to, from := range map[*node.Node]*node.Node{h.node: other, other: h.node} {
		m, err := from.Councils().Show(t.Context(), node.MemberNameRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Councils().Add(t.Context(), node.MemberRequest{Document: []byte(m.Document)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range agreement.Modes() {
		if !m.Way().ByHand {
			continue
		}
		doc := strings.Replace(string(people.Agreement()), "mode: replicate", "mode: "+string(m), 1)
		if m.Way().Moves {
			doc = strings.Replace(doc, "people-moving-to-saltby", "moved", 1)
		} else {
			doc = strings.Replace(strings.Replace(doc, "people-moving-to-saltby", "urgent", 1), "retention: P2Y", "retention: P1D", 1)
		}
		sig, err := other.Agreements().Signature(t.Context(), node.AgreementRequest{Document: []byte(doc)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.node.Agreements().Sign(t.Context(), node.AgreementRequest{Document: []byte(doc)}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.node.Agreements().Bring(t.Context(), node.SignatureRequest{Signature: sig.Signature}); err != nil {
			t.Fatal(err)
		}
	}
	rec := `{"reference":"HN1","status":"received","referral":"duty-to-refer","referred_on":"2026-11-14","district":"E07000998","moved_to":"E07000999","consent":{"given_on":"2026-11-13","how":"in-writing"},"applicant":{"name":"Ffion Ashdown","contact":{"phone":"01632 960456"}}}`
	if r, err := h.node.Records().Put(t.Context(), node.PutRequest{Standard: "housing-need", Records: []node.Offered{{Record: []byte(rec)}}}); err != nil || len(r.Results[0].Problems) > 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	in := node.CaseRequest{Partner: saltby, Records: []string{"HN1"}, Standard: "housing-need", Because: hostile, By: "Kit Moss", Due: "2999-12-22"}
	u, err := h.node.Urgent().Give(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	o, err := h.node.Handovers().Offer(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return "/urgent/" + u.Case, "/handovers/" + o.Case
}

// An urgent disclosure needs two people, is marked as such where it is listed, and is
// counted in the register. A handover is offered with its clock, and withdrawn. What a
// person wrote is shown as text.
func TestCasePages(t *testing.T) {
	h := open(t, false, nil)
	h.byHand()
	jo, ann := h.enter("Jo Smith", access.Steward), h.enter("Ann Lee", access.Governance)
	form := url.Values{"kind": {"give"}, "partner": {string(saltby)}, "records": {"HN1"}, "standard": {"housing-need"}, "because": {hostile}}
	if _, page := jo.post("/urgent", url.Values{"kind": {"give"}, "partner": {string(saltby)}, "records": {"none"}, "standard": {"housing-need"}, "because": {"x"}}); !strings.Contains(page, "govuk-error-message") {
		t.Error("a record that there is not was given")
	}
	_, page := jo.post("/urgent", form)
	if !strings.Contains(page, "Waits for a second person") || !strings.Contains(page, html.EscapeString(hostile)) || strings.Contains(page, "<img") || strings.Contains(page, "/approve") {
		t.Error("the first person does not see that another is needed, or may approve, or text is no text")
	}
	all, err := h.node.Urgent().List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	at := "/urgent/" + all[1].Case
	if status, page := jo.post(at+"/approve", nil); status == 200 && !strings.Contains(page, "another person") {
		t.Errorf("who gave it approved it: %d", status)
	}
	if _, page := ann.get("/home"); !strings.Contains(page, "Approve or refuse an urgent disclosure to saltby.gov.uk") {
		t.Error("the second person is not told")
	}
	stranger := h.enter("Vi Ewer", access.Viewer, access.Operator)
	for _, p := range []string{"/urgent", "/handovers", at} {
		if status, _ := stranger.get(p); status != 403 {
			t.Errorf("a viewer sees %s: %d", p, status)
		}
	}
	if status, _ := stranger.post(at+"/approve", nil); status != 403 {
		t.Errorf("a viewer approves: %d", status)
	}
	if _, page := ann.post(at+"/approve", url.Values{"because": {"yes"}}); !strings.Contains(page, "Urgent: disclosed") {
		t.Error("it is not out")
	}
	if _, page := ann.get("/urgent"); !strings.Contains(page, "Urgent: disclosed") {
		t.Error("the list does not mark it")
	}
	_, page = h.visitor().get("/register/northmoor.gov.uk/urgent")
	if !strings.Contains(page, "<strong>1</strong>urgent disclosures in 90 days") || !strings.Contains(page, "Single records in an emergency") {
		t.Error("the register does not count it, or does not know the mode")
	}
	if _, page = h.visitor().get("/register/northmoor.gov.uk/moved"); strings.Contains(page, "urgent disclosures") || !strings.Contains(page, "Single records are handed over") {
		t.Error("the register of a handover counts urgent disclosures")
	}
	register, err := web.MakeRegister(t.Context(), h.node.Operations, registers.Agent{Council: northmoor}, h.clock())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := web.ExportRegister(dir, "", "", []*web.Register{register}, nil); err != nil {
		t.Fatal(err)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "index.html")); err != nil || strings.Count(string(page), "urgent disclosures in 90 days") != 1 {
		t.Errorf("the register as a file does not count it under its agreement, and there alone: %v", err)
	}
	if _, page := ann.post(at+"/end", url.Values{"because": {"the danger is over"}}); !strings.Contains(page, "Ended") {
		t.Error("it was not ended")
	}
	status, err := h.node.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(status.Conditions, func(c node.Condition) bool { return c.Name == "urgent-review" }); i < 0 || status.Conditions[i].Cause != "it is over since "+h.clock().UTC().Format("2006-01-02 15:04 MST") {
		t.Errorf("that it waits for a review, and since when it is over, is not said: %+v", status.Conditions)
	}
	if _, page := ann.get("/home"); !strings.Contains(page, "Review the urgent disclosure") {
		t.Error("nobody is told to review it")
	}
	ann.post(at+"/review", url.Values{"because": {"it was right"}})
	if _, page := ann.get(at); !strings.Contains(page, "it was right") || strings.Contains(page, "/review") {
		t.Error("the review was not kept")
	}

	form.Set("because", "the family has moved")
	form.Set("due", "2999-12-22")
	if _, page := jo.post("/handovers", form); !strings.Contains(page, "Due on 22 December 2999: days left:") || !strings.Contains(page, "Withdraw the offer") {
		t.Error("the offer has no clock")
	}
	offers, err := h.node.Handovers().List(t.Context())
	if err != nil || len(offers) != 2 {
		t.Fatalf("%+v, %v", offers, err)
	}
	if status, _ := jo.post("/handovers/"+offers[1].Case+"/accept", nil); status != 403 {
		t.Errorf("our own offer was accepted: %d", status)
	}
	if _, page := jo.post("/handovers/"+offers[1].Case+"/withdraw", url.Values{"because": {"they came back"}}); !strings.Contains(page, "The offer is withdrawn") {
		t.Error("the offer was not withdrawn")
	}
	if _, page := jo.get("/handovers?lang=cy"); !strings.Contains(page, "Tynnwyd yn ôl") || strings.Contains(page, "⟦") {
		t.Error("the list is not in Welsh")
	}
}
