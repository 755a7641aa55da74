package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A copy in process is what somebody at the other end of the admin socket reads,
// for every request and reply there is.
func TestCloneIsWhatTheSocketGives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for path, o := range table().byPath {
		for _, typ := range []reflect.Type{o.in, o.out} {
			for range 20 {
				v := reflect.New(typ)
				fill(r, v.Elem(), 5)
				before := fmt.Sprintf("%#v", v.Elem())
				got := reflect.New(typ)
				copyInto(got.Elem(), v.Elem(), false)
				if after := fmt.Sprintf("%#v", v.Elem()); after != before {
					t.Fatalf("%s: copying %s changed it", path, typ)
				}
				// Sent as the socket sends it: a copy of the reply, as JSON.
				var b bytes.Buffer
				if err := encode(&b, got.Interface()); err != nil {
					t.Fatalf("%s: %s: %v", path, typ, err)
				}
				want := reflect.New(typ)
				if err := json.Unmarshal(b.Bytes(), want.Interface()); err != nil {
					t.Fatalf("%s: %s: %v", path, typ, err)
				}
				if !reflect.DeepEqual(got.Interface(), want.Interface()) {
					t.Fatalf("%s: %s: in process\n%+v\nthrough the socket\n%+v", path, typ, got.Elem(), want.Elem())
				}
			}
		}
	}
}

// A reply shares no memory with the node: what a caller does to it changes
// nothing there.
func TestCloneSharesNothing(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.FixedZone("", 3600))
	text := "A"
	in := StatusReply{
		Since: at, Records: map[string]int{"a": 1}, Witnesses: []WitnessReply{{Size: 1}},
		Partners: []PartnerReply{{Unconfirmed: []name.Council{"a.gov.uk"}}}, Addresses: []string{},
	}
	out := clone(in)
	out.Records["a"], out.Witnesses[0].Size, out.Partners[0].Unconfirmed[0] = 2, 2, "b.gov.uk"
	if in.Records["a"] != 1 || in.Witnesses[0].Size != 1 || in.Partners[0].Unconfirmed[0] != "a.gov.uk" {
		t.Errorf("shared: %+v", in)
	}
	if out.Addresses != nil || out.Since != at.UTC() {
		t.Errorf("not as the socket gives it: %+v", out)
	}
	g := Group{Of: []*string{&text, nil}}
	if c := clone(g); c.Of[0] == g.Of[0] || *c.Of[0] != "A" || c.Of[1] != nil {
		t.Errorf("%+v", c)
	}
	raw := clone(Offered{Record: json.RawMessage(" {\"a\": \"<&>\"}\n")})
	if string(raw.Record) != `{"a":"<&>"}` {
		t.Errorf("%s", raw.Record)
	}
}

// Requests and replies are plain data, with a name in JSON for every field.
func TestPlain(t *testing.T) {
	done := map[reflect.Type]bool{timeType: true, jsonType: true}
	var check func(where string, typ reflect.Type)
	check = func(where string, typ reflect.Type) {
		if done[typ] {
			return
		}
		done[typ] = true
		switch typ.Kind() {
		case reflect.Bool, reflect.String, reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint64, reflect.Float64:
		case reflect.Pointer, reflect.Slice, reflect.Array:
			check(where, typ.Elem())
		case reflect.Map:
			if typ.Key().Kind() != reflect.String {
				t.Errorf("%s: a map of %s", where, typ.Key())
			}
			check(where, typ.Elem())
		case reflect.Struct:
			text := typ.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]())
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !f.IsExported() {
					t.Errorf("%s: %s has a field that cannot be seen, %s", where, typ, f.Name)
				}
				if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); !text && (tag == "" || tag == "-") {
					t.Errorf("%s: %s.%s has no name in JSON", where, typ, f.Name)
				}
				if !text {
					check(where+"."+f.Name, f.Type)
				}
			}
		default:
			t.Errorf("%s: %s is no plain data", where, typ)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(table().byPath)) {
		check(path, table().byPath[path].in)
		check(path, table().byPath[path].out)
	}
}

// fill sets v to anything; nil and empty slices and maps among it.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	text := func() string { return string([]rune("aé<&>\"\\\u2028z")[r.IntN(9)]) }
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(r.Int64N(1<<32), r.Int64N(1e9)).In(time.FixedZone("", 3600*r.IntN(3)))
		return
	case *json.RawMessage:
		*x = []json.RawMessage{nil, json.RawMessage(`{ "a" : "<&>", "b":[ 1.0 ] }`), json.RawMessage("null")}[r.IntN(3)]
		return
	case *name.Standard:
		*x = name.Standard{Name: "standards.example/pet", Version: name.Version{Major: 1, Minor: r.IntN(3)}}
		return
	case *name.StandardLine:
		*x = name.StandardLine{Name: "standards.example/pet", Major: 1 + r.IntN(3)}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		v.SetString(text())
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() - r.Int64())
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(r.IntN(256)))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Pointer:
		if r.IntN(3) > 0 && depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth-1)
		}
	case reflect.Slice:
		n := r.IntN(4) - 1
		if n >= 0 && depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(r, v.Index(i), depth-1)
			}
		}
	case reflect.Map:
		if n := r.IntN(4) - 1; n >= 0 && depth > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(r, key, 0)
				fill(r, val, depth-1)
				v.SetMapIndex(key, val)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), depth-1)
		}
	}
}

// TestSpaced: white space is found outside strings, and not in them.
func TestSpaced(t *testing.T) {
	for in, want := range map[string]bool{`{"a b":"c \" d"}`: false, `{"a":1}`: false, `{"a": 1}`: true, "[1\n]": true, `["\\", 1]`: true, `["\"`: false, ``: false} {
		if got := spaced([]byte(in)); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}
