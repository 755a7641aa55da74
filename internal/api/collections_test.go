package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node"
)

const small = "wold.example"

// agreementText gives two fields of those in one district.
const agreementText = `agreement: northmoor.gov.uk/people-to-wold
version: 1
from: northmoor.gov.uk
to: [wold.example]
mode: replicate
standard: standards.stile.example/housing-need@1
rows: record.district == "E07000998"
fields:
  - /reference
  - /district
purpose: >
  Wold takes up the housing case of a household that moves there, at the
  stage Northmoor had reached, so that nobody has to start again.
necessity: >
  Without the case Wold would have to assess the household afresh. Only
  households that chose Wold are shared; dates of birth, national insurance
  numbers and notes are not, since Wold asks for them itself when needed.
data_items: >
  Reference, stage and kind of the referral, the day the household becomes
  homeless, both councils, how consent was given; the applicant's name and how
  to reach them; the names of the household and their relationship; support
  needs. The people are applicants and those who live with them, children among
  them.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Housing Act 1996, sections 198 and 213B
  special_condition: >
    9(2)(g) substantial public interest, with paragraph 6 of Schedule 1 to the
    Data Protection Act 2018 (statutory purposes)
dpia: NM-DPIA-2026-014, approved on 12 October 2026
roles:
  northmoor.gov.uk: controller
  wold.example: controller
contacts:
  northmoor.gov.uk: Data protection officer, dpo@northmoor.gov.uk
  wold.example: Data protection officer, information@wold.example
rights_contact: >
  Either council takes a request and tells the other within two working days.
  The council that holds the record answers. rights@northmoor.gov.uk,
  rights@wold.example
accuracy: |
  Northmoor corrects a record within one working day of learning of an error.
  The correction reaches Wold as the next version of the record.
  Wold tells Northmoor of anything the household disputes.
retention: P2Y
disposal: Wold's node deletes the record and returns a signed receipt.
security: >
  The housing options team of Wold, by named sign-in. Records are encrypted
  at rest and on the way. A breach is reported to the other council's data
  protection officer within 24 hours.
starts: 2020-01-01
review: 2099-06-01
exit: >
  Either council ends this with one month's notice in writing, or at once after
  a breach. Wold then deletes what it holds but for cases it has taken over.
`

// signed makes an agreement that lets two fields of some records out to a council without
// a node, which signs it in a folder of its own, and returns that council's key.
func (w *world) signed() (key string) {
	t := w.t
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "small"), Council: small, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	officer, err := node.Open(cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer officer.Close()
	member := func(n *node.Node) []byte {
		m, err := n.Councils().Show(t.Context(), node.MemberNameRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return []byte(m.Document)
	}
	for to, from := range map[*node.Node]*node.Node{w.n: officer, officer: w.n} {
		if _, err := to.Councils().Add(t.Context(), node.MemberRequest{Document: member(from)}); err != nil {
			t.Fatal(err)
		}
	}
	doc := []byte(agreementText)
	if _, err := w.n.Agreements().Sign(t.Context(), node.AgreementRequest{Document: doc}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.n.Access().AddKey(t.Context(), node.KeyRequest{Title: "Wold", Agreement: "northmoor.gov.uk/none"}); err == nil {
		t.Error("a key was made for an agreement that there is not")
	}
	k, err := w.n.Access().AddKey(t.Context(), node.KeyRequest{Title: "Wold", Agreement: "northmoor.gov.uk/people-to-wold"})
	if err != nil || k.Receiver != small {
		t.Fatalf("%+v, %v", k, err)
	}
	w.want(w.with(k.Secret, "GET", "/v1/collection", ""), 403) // it is not signed by both yet
	sig, err := officer.Agreements().Signature(t.Context(), node.AgreementRequest{Document: doc})
	if err != nil {
		t.Fatal(err)
	}
	again, err := officer.Agreements().Signature(t.Context(), node.AgreementRequest{Document: doc})
	if err != nil || string(again.Signature) != string(sig.Signature) {
		t.Errorf("signed twice: %v", err)
	}
	bring := func(sig []byte) error {
		_, err := w.n.Agreements().Bring(t.Context(), node.SignatureRequest{Signature: sig})
		return err
	}
	bad := bytes.Clone(sig.Signature) // the first letter of the signature is another
	if i := bytes.LastIndexByte(bad, '.') + 1; bad[i] == 'A' {
		bad[i] = 'B'
	} else {
		bad[i] = 'A'
	}
	for what, b := range map[string][]byte{"another signature": bad, "nothing": nil, "no signature": []byte("hello"), "half": sig.Signature[:len(sig.Signature)/2]} {
		if e, ok := errors.AsType[*node.Error](bring(b)); !ok || e.Kind != node.Invalid && e.Kind != node.Unverified {
			t.Errorf("%s was taken: %v", what, e)
		}
	}
	if err := bring(append(sig.Signature, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := bring(sig.Signature); err != nil {
		t.Errorf("brought twice: %v", err)
	}
	a, err := w.n.Agreements().Show(t.Context(), node.AgreementRequest{Name: "northmoor.gov.uk/people-to-wold"})
	if err != nil || !a.InForce {
		t.Fatalf("%+v, %v", a, err)
	}
	return k.Secret
}

// A receiver without a node collects what the agreement gives and nothing else; it is
// logged as let out, taken back by the feed, receipted by a call, and stands in the
// status as any receiver.
func TestCollection(t *testing.T) {
	w := open(t, 1000).described()
	for i, d := range []string{"E07000998", "E07000998", "E07000111"} {
		w.want(w.do("PUT", at(fmt.Sprint("HN", i)), referral(fmt.Sprint("HN", i), d)), 201)
	}
	key := w.signed()
	var p node.CollectReply
	collect := func() {
		t.Helper()
		p = node.CollectReply{}
		w.want(w.with(key, "GET", "/v1/collection", ""), 200).into(t, &p)
	}
	for collect(); len(p.Items) < 2; collect() { // what was there before is matched in the background
		if t.Context().Err() != nil {
			t.Fatal("nothing came")
		}
	}
	if len(p.Items) != 2 || !p.Live {
		t.Fatalf("%+v", p)
	}
	for _, x := range p.Items {
		var body map[string]any
		if err := json.Unmarshal(x.Body, &body); err != nil {
			t.Fatal(err)
		}
		if len(body) != 2 || body["reference"] == nil || body["district"] == nil || strings.Contains(x.Token, "Ffion") || x.Withheld == 0 {
			t.Errorf("went out: %s", x.Body)
		}
	}
	// Logged before it left, for each.
	d, err := w.n.Disclosures().List(t.Context(), node.DisclosureRequest{To: small})
	if err != nil || len(d.Disclosures) < 2 || d.Disclosures[0].Agreement != "northmoor.gov.uk/people-to-wold" {
		t.Errorf("%+v, %v", d, err)
	}
	csv := w.want(w.with(key, "GET", "/v1/collection", "", "Accept", "text/csv"), 200)
	if s := string(csv.body); !strings.Contains(s, "HN0") || !strings.Contains(s, "HN1") || strings.Contains(s, "HN2") || strings.Contains(s, "Ffion") || strings.Contains(s, "01632") {
		t.Errorf("%s", s)
	}
	nd := w.want(w.with(key, "GET", "/v1/collection", "", "Accept", "application/x-ndjson"), 200)
	if n := strings.Count(string(nd.body), "\n"); n != 2 || nd.Trailer.Get("Stile-Cursor") == "" {
		t.Errorf("%d lines, trailer %v", n, nd.Trailer)
	}
	status := func() node.PartnerReply {
		t.Helper()
		a, err := w.n.Agreements().Show(t.Context(), node.AgreementRequest{Name: "northmoor.gov.uk/people-to-wold"})
		if err != nil || len(a.Partners) != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		return a.Partners[0]
	}
	if s := status(); s.Held != 0 {
		t.Errorf("%+v", s)
	}
	w.want(w.with(key, "POST", "/v1/collection/receipt", fmt.Sprintf(`{"cursor":%q,"held":2}`, p.Cursor)), 200)
	if s := status(); s.Held != 2 || s.Outstanding != 0 || s.LastAt.IsZero() {
		t.Errorf("%+v", s)
	}
	w.want(w.with(key, "POST", "/v1/collection/receipt", fmt.Sprintf(`{"cursor":%q,"held":2}`, p.Cursor)), 200) // again: nothing new
	w.want(w.with(key, "POST", "/v1/collection/receipt", `{"cursor":"zzzzzzz","held":2}`), 400)
	w.want(w.with(key, "POST", "/v1/collection/receipt", `{"cursor":"1","held":2}`), 409)
	if collect(); len(p.Items) != 0 {
		t.Errorf("after the receipt: %+v", p)
	}
	// One leaves the agreement: it is taken back, and outstanding until the receipt.
	w.want(w.do("PUT", at("HN1"), referral("HN1", "E07000111")), 200)
	if collect(); len(p.Items) != 1 || !p.Items[0].Withdrawn || len(p.Items[0].Body) != 0 {
		t.Fatalf("%+v", p)
	}
	if s := status(); s.Outstanding != 1 {
		t.Errorf("%+v", s)
	}
	why, err := w.n.Why(t.Context(), node.WhyRequest{Partner: small, Record: string(p.Items[0].Record)})
	if err != nil || why.Answer == "" {
		t.Errorf("%+v, %v", why, err)
	}
	w.want(w.with(key, "POST", "/v1/collection/receipt", fmt.Sprintf(`{"cursor":%q,"held":1}`, p.Cursor)), 200)
	if s := status(); s.Outstanding != 0 || s.Held != 1 {
		t.Errorf("%+v", s)
	}
	// The key is for that alone.
	for _, path := range []string{"/v1/records?standard=" + need, at("HN0"), "/v1/status", "/v1/changes", "/v1/agreements", "/v1/exports?format=csv&standard=" + need, "/v1/disclosures"} {
		w.want(w.with(key, "GET", path, ""), 403)
	}
	w.want(w.do("GET", "/v1/collection", ""), 403)
	// Suspended: what is taken back comes, and nothing else.
	end := func(verb string) {
		t.Helper()
		w.want(w.do("POST", "/v1/agreements/northmoor.gov.uk/people-to-wold/"+verb, `{"reason":"a test"}`), 200)
	}
	w.want(w.do("POST", "/v1/agreements/northmoor.gov.uk/people-to-wold/renew", `{"review":"2099-07-01"}`), 200)
	end("suspend")
	w.want(w.do("PUT", at("HN7"), referral("HN7", "E07000998")), 201)
	if collect(); !p.Suspended || len(p.Items) != 0 {
		t.Errorf("%+v", p)
	}
	w.want(w.with(key, "GET", "/v1/collection", "", "Accept", "text/csv"), 403)
	end("resume")
	if collect(); p.Suspended || len(p.Items) != 1 {
		t.Errorf("%+v", p)
	}
	w.want(w.with(key, "POST", "/v1/collection/receipt", `{"deleted":true,"held":0}`), 409)
	end("end")
	w.want(w.with(key, "GET", "/v1/collection", ""), 403)
	w.want(w.with(key, "POST", "/v1/collection/receipt", `{"deleted":true,"held":0}`), 200)
	// Each receipt stands in our log, as what was said by a call, once.
	var said []event.ReceiptByCall
	for _, ev := range w.events("northmoor.gov.uk/people-to-wold", event.KindReceiptByCall) {
		c, err := event.ParseReceiptByCall(ev)
		if err != nil || c.Receiver != small || c.Agreement != "northmoor.gov.uk/people-to-wold" || c.Key != strings.Split(key, "_")[1] {
			t.Errorf("%+v, %v", c, err)
		}
		said = append(said, c)
	}
	if len(said) != 3 || said[0].Held != 2 || said[1].Held != 1 || said[1].Since != said[0].Cursor || !said[2].All {
		t.Errorf("%+v", said)
	}
	if d, err = w.n.Disclosures().List(t.Context(), node.DisclosureRequest{To: small}); err != nil {
		t.Fatal(err)
	}
	for _, x := range d.Disclosures {
		if x.Receipt == nil || !x.Receipt.ByCall || x.Receipt.Key == "" || x.Receipt.Entry == 0 {
			t.Errorf("%+v has the receipt %+v", x, x.Receipt)
		}
	}
	// What the key had the council say of the agreement names the key.
	shown := "key " + strings.Split(w.key, "_")[1] + ", test"
	for kind, times := range map[string]int{event.KindAgreementRenewal: 1, event.KindAgreementSuspend: 1, event.KindAgreementResume: 1, event.KindAgreementEnd: 1} {
		evs := w.events("northmoor.gov.uk/people-to-wold", kind)
		if len(evs) != times || evs[0]["by"] != shown {
			t.Errorf("%s: %v, want by %q", kind, evs, shown)
		}
	}
	if _, err := w.n.Status(context.Background()); err != nil {
		t.Error(err)
	}
}
