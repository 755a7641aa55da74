package api_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const plan = "standards.stile.example/planning-application"

// running has a node run until the test ends.
func running(t testing.TB, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-n.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
}

// must carries out an operation that is not to fail.
func must[In, Out any](t testing.TB, op func(context.Context, In) (Out, error), in In) Out {
	t.Helper()
	out, err := op(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// another returns the node of another council, which runs; all know one another.
func (w *world) another(c name.Council, gss string, others ...*node.Node) *node.Node {
	w.t.Helper()
	cfg, err := node.Init(w.t.Context(), node.InitOptions{Dir: filepath.Join(w.t.TempDir(), "data"), Council: c, GSS: gss, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	n, err := node.Open(cfg, node.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.Close() })
	running(w.t, n)
	for _, o := range append(others, w.n) {
		for to, from := range map[*node.Node]*node.Node{n: o, o: n} {
			m, err := directory.ParseMember([]byte(must(w.t, from.Councils().Show, node.MemberNameRequest{}).Document))
			if err != nil {
				w.t.Fatal(err)
			}
			m.Addresses = from.Addresses()
			must(w.t, to.Councils().Add, node.MemberRequest{Document: m.YAML()})
		}
	}
	return n
}

// footprint has three councils form a footprint, and puts a record into our own ledger
// that could go there: its id is returned.
func (w *world) footprint() string {
	w.t.Helper()
	running(w.t, w.n)
	b := w.another("saltby.gov.uk", "E07000999")
	c := w.another("hexwell.gov.uk", "E07000997", b)
	a, fens := w.n, func(council string) node.FootprintRequest {
		return node.FootprintRequest{Name: "fens.example", Council: council}
	}
	must(w.t, a.Footprints().Found, fens(""))
	must(w.t, a.Footprints().Invite, fens("saltby.gov.uk"))
	must(w.t, b.Footprints().Join, node.FootprintRequest{Name: "fens.example", Via: []string{ours}})
	must(w.t, a.Footprints().Invite, fens("hexwell.gov.uk"))
	must(w.t, b.Footprints().Agree, fens("hexwell.gov.uk"))
	must(w.t, c.Footprints().Join, node.FootprintRequest{Name: "fens.example", Via: []string{ours}})
	must(w.t, a.Footprints().Adopt, node.FootprintAdoptRequest{Name: "fens.example", Standard: "planning-application"})
	var put node.PutResult
	w.want(w.do("PUT", "/v1/standards/"+plan+"/records/26-1", `{"reference":"26-1","organisation":"local-authority:NBR","applicationType":"tree-works","status":"received","description":"One oak","receivedDate":"2026-02-16","district":"A","uprn":100000000001}`), 201).into(w.t, &put)
	return string(put.Record)
}

// A footprint is shown, with its members; records of ours go into it, are read and proven
// there, and come back out, each by a key that is for them and by no other. No call changes
// who is a member.
func TestFootprint(t *testing.T) {
	w := open(t, 1000).described()
	id := w.footprint()
	const at = "/v1/footprints/fens.example"
	var f node.FootprintReply
	w.want(w.do("GET", at, ""), 200).into(t, &f)
	if f.Status == nil || len(f.Status.Members) != 3 || !f.Status.Decides || len(f.Standards) != 1 {
		t.Errorf("%+v", f)
	}
	one := fmt.Sprintf(`{"records":[%q]}`, id)
	housing := w.newKey("read:both:"+need, "write:own:"+need, "delete:own:"+need, "status")
	received := w.newKey("read:received:*")
	w.want(w.with(housing, "POST", at+"/records", one), 404)
	w.want(w.with(received, "POST", at+"/records", one), 403)
	var put node.FootprintPutReply
	w.want(w.do("POST", at+"/records", one), 200).into(t, &put)
	if len(put.Results) != 1 || put.Results[0].Outcome != "taken" {
		t.Fatalf("%+v", put)
	}
	w.want(w.do("POST", at+"/records", `{"records":["aaaaaaaaaaaaaaaaaaaaaaaaaa"]}`), 404)
	var p struct {
		Position uint64
		Items    []node.FootprintRecord
	}
	w.want(w.do("GET", at+fmt.Sprintf("/records?bodies=true&at=%d", put.Position), ""), 200).into(t, &p)
	if len(p.Items) != 1 || string(p.Items[0].Record) != id || p.Position < put.Position {
		t.Errorf("%+v", p)
	}
	for _, key := range []string{housing, received} { // what we put there is ours, and no planning application is a housing need
		a := w.want(w.with(key, "GET", at+"/records?bodies=true", ""), 200)
		if a.into(t, &p); len(p.Items) != 0 || strings.Contains(string(a.body), "oak") {
			t.Errorf("%s", a.body)
		}
		w.want(w.with(key, "GET", at+"/records/"+ours+"/"+id, ""), 404)
		w.want(w.with(key, "GET", at+"/records/"+ours+"/"+id+"/proof", ""), 404)
	}
	var rec node.FootprintRecord
	w.want(w.do("GET", at+"/records/"+ours+"/"+id, ""), 200).into(t, &rec)
	if rec.Signature != "checked" {
		t.Errorf("%+v", rec)
	}
	var proof node.FootprintProofReply
	w.want(w.do("GET", at+"/records/"+ours+"/"+id+"/proof", ""), 200).into(t, &proof)
	if !strings.Contains(proof.Proof, "tlog-proof") || proof.Members != 3 {
		t.Errorf("%+v", proof)
	}
	w.want(w.do("GET", at+"/checkpoint", ""), 200)
	w.want(w.with(housing, "POST", at+"/withdraw", one), 404)
	w.want(w.do("POST", at+"/withdraw", one), 200).into(t, &put)
	if put.Results[0].Outcome != "withdrawn" {
		t.Errorf("%+v", put)
	}
	w.check = nil // which describes no such calls
	for _, verb := range []string{"invite", "join", "agree", "remove", "recover", "found"} {
		w.want(w.do("POST", at+"/"+verb, `{}`), 404)
	}
	w.want(w.with(w.newKey("read:own:*"), "GET", at, ""), 403)
	w.want(w.do("GET", "/v1/footprints/none.example", ""), 404)
}
