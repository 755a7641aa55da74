package ledger

import (
	"encoding/json"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// TestOldFolder: a folder of before kept a checkpoint with each copy. The newest
// becomes what is known of the log, and two roots of one size are a fork.
func TestOldFolder(t *testing.T) {
	from := name.Council("northmoor.gov.uk")
	own, err := keys.Generate("saltby.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := keys.Generate(from)
	if err != nil {
		t.Fatal(err)
	}
	type old struct {
		size uint64
		root tlog.Hash
	}
	for _, c := range []struct {
		what    string
		sources []old
		size    uint64
		fault   string
	}{
		{"none", []old{{}, {}}, 0, ""},
		{"two sizes", []old{{5018, tlog.Hash{1}}, {5016, tlog.Hash{2}}}, 5018, ""},
		{"one size", []old{{7, tlog.Hash{1}}, {7, tlog.Hash{1}}}, 7, ""},
		{"two roots of one size", []old{{7, tlog.Hash{1}}, {7, tlog.Hash{2}}}, 7, event.FaultFork},
	} {
		t.Run(c.what, func(t *testing.T) {
			o := Options{Dir: t.TempDir(), Council: "saltby.gov.uk", Keys: own, MinFree: 1}
			l, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range c.sources {
				cp := tlog.Checkpoint{Origin: from.Origin(), Size: s.size, Root: s.root}
				m := map[string]any{"from": from, "agreement": []string{"", "northmoor.gov.uk/items"}[i], "size": s.size}
				if s.size > 0 {
					note, err := tlog.SignCheckpoint(cp, theirs.Log.Signer())
					if err != nil {
						t.Fatal(err)
					}
					m["root"], m["note"] = s.root[:], note
				}
				b, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				if err := l.do(t.Context(), false, func(t *tx) error { t.set(numKey4('S', uint32(i)), b); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // what was taken over is on disk
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if l, err = Open(o); err != nil {
					t.Fatal(err)
				}
				k, fault := l.Known(from), ""
				if k.Quarantine != nil {
					fault = k.Quarantine.Fault
				}
				if k.Size != c.size || fault != c.fault || k.Size > 0 && k.Note == nil {
					t.Errorf("known %d, fault %q; want %d, %q", k.Size, fault, c.size, c.fault)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
