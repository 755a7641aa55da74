package strictjson

import (
	"maps"
	"reflect"
	"slices"
	"testing"
)

// FuzzMembers: of what Canonical prints, Members returns what Decode does, cut down to
// the names asked for; and on no bytes does it panic.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":"x\\","b":"\"}","c":[1,{"d":"]"}],"e":null}`, `{"a":{"b":{"a":[]}},"b":true}`,
		`{"a\"b":"\\\\","a\\":",","é":-1.50}`, `{"a":`, `{"a"}`, `{,}`, `{"a":]}`, `{"a":"\"}`, `[1]`, `{"":""}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		Members(b, []string{"a", "b", `a"b`, ""}, DefaultLimits())
		v, err := Decode(b, DefaultLimits())
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		canon := Canonical(m)
		names := append(slices.Sorted(maps.Keys(m)), "not there")
		for n := range names {
			for _, ask := range [][]string{names[n:], names[:n], {names[n]}} {
				want := map[string]any{}
				for _, k := range ask {
					if v, ok := m[k]; ok {
						want[k] = v
					}
				}
				got, err := Members(canon, ask, DefaultLimits())
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("members %q of %s: %v, %v", ask, canon, got, err)
				}
			}
		}
	})
}

func BenchmarkMembers(b *testing.B) {
	canon := []byte(`{"address":"12 Some Street, A Town, AB1 2CD","applicantEmail":"a.person@example.org","applicantName":"A Person","applicationType":"full","caseOfficer":"officer-12","decision":null,"decisionDate":null,"description":"Proposal for a rather long piece of work; also another one. Of brick and slate; with some trees kept; as set out in the drawings numbered 12-100 to 12-131.","district":"X","latitude":53.412345,"longitude":-2.312345,"organisation":"local-authority:NBR","postcode":"AB1 2CD"}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(canon)))
	for b.Loop() {
		if _, err := Members(canon, []string{"district"}, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
