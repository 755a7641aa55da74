package node

import (
	"fmt"
	"reflect"
	"testing"
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
