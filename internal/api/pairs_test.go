package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/api"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/client"
)

const (
	northmoor = ours
	saltby    = "saltby.gov.uk"
)

// at makes a world of another node, whose calls are checked as w's are.
func (w *world) at(n *node.Node) *world {
	w.t.Helper()
	a, err := api.New(api.Options{Node: n, Log: slog.New(slog.DiscardHandler), Now: time.Now, Ended: w.ended, Rate: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	o := &world{t: w.t, n: n, api: a, check: w.check, ended: w.ended, srv: httptest.NewServer(a)}
	w.t.Cleanup(o.srv.Close)
	o.key = o.newKey("read:both:*", "write:own:*", "delete:own:*", "agreements", "sign", "disclosures", "cases")
	return o
}

func (w *world) client(key string) *client.Client {
	w.t.Helper()
	c, err := client.New(w.srv.URL, key, w.srv.Client())
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// feed is a feed of changes that a client of a world follows until the test ends.
func (w *world) feed() <-chan client.Event {
	ctx, cancel := context.WithCancel(context.Background())
	events, ended := make(chan client.Event, 1000), make(chan error, 1)
	c := w.client(w.key)
	go func() {
		ended <- c.Changes(ctx, "", func(e client.Event) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; ctx.Err() == nil {
			w.t.Error(err)
		}
	})
	return events
}

// until returns the first event of a feed of which f is true. It is waited for as long as a
// loaded machine may take.
func until(t testing.TB, events <-chan client.Event, what string, f func(client.Event) bool) client.Event {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case e := <-events:
			if f(e) {
				return e
			}
		case <-late:
			t.Fatal("nobody told that " + what)
		}
	}
}

// agree has both councils sign an agreement by calls, and waits until both say that it is
// in force.
func agree(w, o *world, ours, theirs <-chan client.Event, doc string) {
	w.t.Helper()
	a, err := agreement.Parse([]byte(doc))
	if err != nil {
		w.t.Fatal(err)
	}
	stands := func(e client.Event) bool { return e.Type == "uk.stile.agreement.stands" && e.Data.Agreement == a.Name }
	b, _ := json.Marshal(map[string]string{"document": doc})
	w.want(w.do("POST", "/v1/agreements", string(b)), 200)
	until(w.t, theirs, "an agreement was proposed", stands)
	o.want(o.do("POST", "/v1/agreements/"+string(a.Name)+"/sign", ""), 200)
	for _, f := range []<-chan client.Event{ours, theirs} {
		until(w.t, f, "an agreement is in force", func(e client.Event) bool { return stands(e) && e.Data.InForce })
	}
}

// What a council sends, takes back and ends is told at the receiver by its feed, and the
// records are read there with a client, each as it was sent.
func TestReceivedChanges(t *testing.T) {
	w := open(t, 1000).described()
	running(t, w.n)
	o := w.at(w.another(saltby, "E07000999"))
	ours, theirs := w.feed(), o.feed()
	agree(w, o, ours, theirs, strings.ReplaceAll(agreementText, "wold.example", saltby))
	ctx := t.Context()
	sender, receiver := w.client(w.key), o.client(o.key)
	put, err := sender.Put(ctx, need+"@1", "HN1", json.RawMessage(referral("HN1", "E07000998")), client.IfNew())
	if err != nil {
		t.Fatal(err)
	}
	e := until(t, theirs, "a record came", func(e client.Event) bool { return e.Type == "uk.stile.received.put" })
	if e.Data.Council != northmoor || len(e.Data.Records) != 1 || e.Data.Records[0].Record != put.Record || e.Data.Records[0].Entry != put.Index || !strings.HasPrefix(e.Data.Standard, need+"@1") {
		t.Errorf("%+v, want record %s of entry %d", e.Data, put.Record, put.Index)
	}
	r, err := receiver.Received(ctx, northmoor, put.Record)
	if err != nil || !strings.Contains(string(r.Body), "HN1") || strings.Contains(string(r.Body), "Ffion") {
		t.Errorf("%s, %v", r.Body, err)
	}
	token, err := receiver.Token(ctx, northmoor, put.Record)
	if err != nil || strings.Count(string(token), "~") < 2 {
		t.Errorf("%q, %v", token, err)
	}
	n := 0
	if err := receiver.Each(ctx, client.List{Standard: need, From: northmoor, Bodies: true}, func(node.RecordReply) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("listed %d, %v", n, err)
	}
	if err := sender.Delete(ctx, put.Record, client.IfVersion(9)); !client.IsStatus(err, http.StatusPreconditionFailed) {
		t.Errorf("a wrong version: %v", err)
	}
	if err := sender.Delete(ctx, put.Record, client.IfVersion(put.Version)); err != nil {
		t.Fatal(err)
	}
	e = until(t, theirs, "a record was taken back", func(e client.Event) bool { return e.Type == "uk.stile.received.withdrawn" })
	if len(e.Data.Records) != 1 || e.Data.Records[0].Record != put.Record {
		t.Errorf("%+v", e.Data)
	}
	if _, err := receiver.Received(ctx, northmoor, put.Record); !client.IsStatus(err, http.StatusNotFound) {
		t.Errorf("what was taken back is shown: %v", err)
	}
	w.want(w.do("POST", "/v1/agreements/"+northmoor+"/people-to-wold/end", `{"reason":"a trial"}`), 200)
	until(t, theirs, "all of it was deleted", func(e client.Event) bool {
		return e.Type == "uk.stile.received.ended" && e.Data.Agreement == northmoor+"/people-to-wold"
	})
}

const plans = `{"reference":%q,"from":"E06000998","to":"E07000999","status":"offered","notified_on":"2026-11-02","child":{"local_id":"NBR-40117","upn":"A123456789012","forename":"Wren","surname":"Adeyemi","date_of_birth":"2017-04-02","sex":"female"},"plan":{"start":"2026-03-10","initial_category":"neglect","latest_category":"neglect"},"worker":{"name":"Sol Pemberton"}}`

// Records are handed over, and disclosed urgently, by calls; a system says for nobody that
// an urgent disclosure is approved.
func TestCasesByCalls(t *testing.T) {
	const std = "standards.stile.example/child-protection-plan@1"
	w := open(t, 1000).described()
	running(t, w.n)
	o := w.at(w.another(saltby, "E07000999"))
	for _, x := range []*world{w, o} {
		must(t, x.n.Standards().Adopt, node.AdoptRequest{Name: std})
	}
	ours, theirs := w.feed(), o.feed()
	text := strings.ReplaceAll(strings.ReplaceAll(agreementText, "wold.example", saltby), need+"@1", std)
	text = strings.Replace(text, `rows: record.district == "E07000998"`, `rows: record.to == "E07000999"`, 1)
	text = strings.Replace(text, "  - /district\n", "  - /status\n", 1)
	for _, m := range agreement.Modes() {
		doc := strings.Replace(text, "mode: replicate", "mode: "+string(m), 1)
		switch way := m.Way(); {
		case !way.ByHand:
			continue
		case way.Moves:
			doc = strings.Replace(doc, "purpose: >", "due: 15 working days\npurpose: >", 1)
		default:
			doc = strings.Replace(strings.Replace(doc, "/people-to-wold", "/urgent", 1), "P2Y", "P1D", 1)
		}
		agree(w, o, ours, theirs, doc)
	}
	for _, ref := range []string{"CPT-1", "CPT-2"} {
		w.want(w.do("PUT", "/v1/standards/"+std+"/records/"+ref, fmt.Sprintf(plans, ref)), 201)
	}
	shown := func(x *world, path string) (c node.CaseReply) {
		x.want(x.do("GET", path, ""), 200).into(t, &c)
		return c
	}
	await := func(x *world, path, state string) (c node.CaseReply) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; {
			if a := x.do("GET", path, ""); a.StatusCode == 200 {
				if a.into(t, &c); c.State == state {
					return c
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%s is %s, want %s", path, c.State, state)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			<-x.n.Changed(ctx)
			cancel()
		}
	}

	// One is handed over, with its clock; another offer is declined.
	offer := func(ref string) (c node.CaseReply) {
		w.want(w.do("POST", "/v1/handovers", `{"partner":"saltby.gov.uk","standard":"`+std+`","records":["`+ref+`"],"because":"the family has moved","by":"Jo Smith"}`), 200).into(t, &c)
		return c
	}
	c := offer("CPT-1")
	if c.DaysLeft == nil || !c.WorkingDays || c.Responsible != northmoor || !strings.HasPrefix(c.By, "Jo Smith (key ") {
		t.Errorf("%+v", c)
	}
	await(o, "/v1/handovers/"+c.Case, "offered")
	w.want(w.do("POST", "/v1/handovers/"+c.Case+"/accept", `{}`), 403)
	o.want(o.with(o.newKey("disclosures"), "POST", "/v1/handovers/"+c.Case+"/accept", `{}`), 403)
	o.want(o.do("POST", "/v1/handovers/"+c.Case+"/accept", `{"by":"Sam Hill"}`), 200)
	if c := await(w, "/v1/handovers/"+c.Case, "closed"); c.Responsible != saltby {
		t.Errorf("%+v", c)
	}
	w.want(w.do("POST", "/v1/handovers/"+c.Case+"/withdraw", `{"because":"no"}`), 409)
	second := offer("CPT-2")
	await(o, "/v1/handovers/"+second.Case, "offered")
	o.want(o.do("POST", "/v1/handovers/"+second.Case+"/decline", `{"because":"lives elsewhere"}`), 200)
	if c := await(w, "/v1/handovers/"+second.Case, "declined"); c.Answer != "lives elsewhere" {
		t.Errorf("%+v", c)
	}

	// Asked, given by a system for one person, and not approved by any.
	var u node.CaseReply
	o.want(o.do("POST", "/v1/urgent/questions", `{"partner":"northmoor.gov.uk","because":"child in hospital","by":"Sam Hill"}`), 200).into(t, &u)
	await(w, "/v1/urgent/"+u.Case, "asked")
	w.want(w.do("POST", "/v1/urgent/"+u.Case+"/give", `{"standard":"`+std+`","records":["CPT-2"],"because":"child in hospital","by":"Jo Smith"}`), 200)
	if c := shown(w, "/v1/urgent/"+u.Case); c.State != "given" || len(c.Items) != 1 {
		t.Errorf("%+v", c)
	}
	ctx := t.Context()
	all, err := w.n.Urgent().List(ctx)
	if err != nil || !slices.ContainsFunc(all, func(c node.CaseReply) bool { return c.Case == u.Case }) {
		t.Errorf("%+v, %v", all, err)
	}
	check := w.check
	w.check = nil // which describes no such calls
	for _, verb := range []string{"approve", "end", "review"} {
		w.want(w.do("POST", "/v1/urgent/"+u.Case+"/"+verb, `{"because":"yes"}`), 404)
	}
	w.check = check
	must(t, w.n.Urgent().Approve, node.CaseRequest{Case: u.Case, By: "Ann Lee"})
	await(o, "/v1/urgent/"+u.Case, "out")
	must(t, w.n.Urgent().End, node.CaseRequest{Case: u.Case, By: "Ann Lee", Because: "the danger is over"})
	await(o, "/v1/urgent/"+u.Case, "ended")
	w.want(w.do("POST", "/v1/questions", `{"agreement":"`+northmoor+`/urgent","field":"/reference","value":"CPT-2","because":"a trial"}`), 403)
}
