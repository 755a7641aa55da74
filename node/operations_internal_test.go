package node

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
)

// Every exported method of Operations and of its nouns is one operation, and no
// two are carried out by the same function: the paths on the admin socket, and
// what a client asks for, follow from that.
func TestTable(t *testing.T) {
	methods := 0
	for m := range reflect.TypeFor[Operations]().Methods() {
		if m.Type.NumIn() == 1 {
			methods += m.Type.Out(0).NumMethod()
		} else {
			methods++
		}
	}
	tab := table()
	if len(tab.byPath) != methods || len(tab.paths) != methods {
		t.Fatalf("%d methods are %d operations with %d functions", methods, len(tab.byPath), len(tab.paths))
	}
	for path, o := range tab.byPath {
		if o.calls != 1 || o.run == nil || tab.paths[o.of] != path {
			t.Errorf("%s asks for %d operations, %q among them", path, o.calls, tab.paths[o.of])
		}
	}
	if o := tab.byPath["records/list"]; fmt.Sprint(o.in, o.out) != "api.ListRequest api.ListReply" {
		t.Errorf("records/list takes %s and gives %s", o.in, o.out)
	}
}

// Every operation has a row that says who may carry it out, and whoever stands in the
// context is held to it.
func TestOperationsAreRuled(t *testing.T) {
	for path := range table().byPath {
		if !access.Known(path) {
			t.Errorf("%s has no row in package access: say who may carry it out", path)
		}
	}
	o := Operations{node: &Node{}}
	ctx := access.With(t.Context(), &access.Principal{Kind: access.System, ID: "k", Scopes: []access.Scope{{Verb: access.Status}}})
	for what, call := range map[string]func() error{
		"erase": func() error { _, err := o.Records().Erase(ctx, EraseRequest{}); return err },
		"put":   func() error { _, err := o.Records().Put(ctx, PutRequest{}); return err },
		"sign":  func() error { _, err := o.Agreements().Sign(ctx, AgreementRequest{}); return err },
	} {
		if e, ok := errors.AsType[*Error](call()); !ok || e.Kind != api.Refused {
			t.Errorf("%s was not refused", what)
		}
	}
}
