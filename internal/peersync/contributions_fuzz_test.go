package peersync

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/name"
)

// FuzzInward: a question from outside and a member's answer are read within their
// bounds or not at all.
func FuzzInward(f *testing.F) {
	rec := name.Record("abcdefghijklmnopqrstuvwxyz")
	for _, v := range []any{
		inwardAsk{Footprint: "fens.example", Agreement: "a.example/plans", Digest: strings.Repeat("a", 64), Ask: inwardHolds, Records: []name.Record{rec}},
		inwardAsk{Footprint: "fens.example", Agreement: "a.example/plans", Digest: strings.Repeat("a", 64), Ask: inwardPage, Since: 1, Cursor: 2, Tokens: []string{"a.b.c~"}},
		inwardAnswer{Refused: strings.Repeat("é", 200)},
		inwardAnswer{Cursor: 4, Held: 3, Standards: []string{"standards.example/item@1.0.0"}, Holds: []inwardHeld{{Record: rec, Token: make([]byte, 32)}}},
		inwardAnswer{Position: 4, Outcomes: []inwardOutcome{{footprint.Accepted, 3, ""}}},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseInwardAsk(b); err == nil {
			if len(q.Records) > 2*partItems || len(q.Tokens) > 2*partItems || q.Cursor < q.Since || q.Agreement.Council() == "" {
				t.Errorf("out of bounds: %+v", q)
			}
		}
		q := inwardAsk{Ask: inwardPage, Records: []name.Record{rec}, Tokens: []string{"x"}}
		if a, err := parseInwardAnswer(b, q); err == nil {
			if len(a.Refused) > 300 || a.Refused == "" && len(a.Outcomes) != 1 || len(a.Records) > partItems {
				t.Errorf("out of bounds: %+v", a)
			}
			for _, h := range a.Holds {
				if h.Record != rec || len(h.Token) != 32 {
					t.Errorf("not asked about: %+v", h)
				}
			}
		}
	})
}
