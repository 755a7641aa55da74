package judge_test

import (
	"errors"
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
	"github.com/stile-exchange/stile/internal/record"
)

// TestSealed: entries under a council's signed checkpoint are proved by it and by
// nothing else, without a signature of each.
func TestSealed(t *testing.T) {
	w := judgetest.New(t, false, agreement.Replicate)
	var leaves []judge.Leaf
	var indexes []uint64
	for range 5 {
		s := w.Filler(w.Log)
		tok, err := record.Parse(s.Token)
		if err != nil {
			t.Fatal(err)
		}
		leaves, indexes = append(leaves, judge.Leaf{Index: s.Index, Entry: tok.Entry(), Key: tok.KeyID()}), append(indexes, s.Index)
	}
	j := judge.New(judge.Options{Directory: w.Directory, Now: w.Now})
	note, proof := w.Log.Checkpoint(), w.Log.Inclusion(indexes...)
	h, rules, err := j.Sealed(judgetest.Sender, note, leaves, proof)
	if err != nil || h.Size != 5 || len(rules) != 5 {
		t.Fatalf("%v, %v", rules, err)
	}
	for i, rule := range rules {
		if rule != "" {
			t.Errorf("entry %d: %s", i, rule)
		}
	}
	other := append([]judge.Leaf(nil), leaves...)
	other[2].Entry[0] ^= 1
	if _, _, err := j.Sealed(judgetest.Sender, note, other, proof); !errors.Is(err, judge.ErrLied) {
		t.Errorf("another entry: %v", err)
	}
	other[2] = leaves[2]
	other[2].Key = w.Rings[judgetest.Other].Record.ID()
	if _, rules, err := j.Sealed(judgetest.Sender, note, other, proof); err != nil || rules[2] != judge.RuleKey || rules[1] != "" {
		t.Errorf("another council's key in a header: %q, %v", rules, err)
	}
	other[2].Key = w.Later.Record.ID()
	if _, _, err := j.Sealed(judgetest.Sender, note, other, proof); !errors.Is(err, judge.ErrWait) {
		t.Errorf("a key that may still come: %v", err)
	}
	if _, _, err := j.Sealed(judgetest.Other, note, leaves, proof); !errors.Is(err, judge.ErrLied) {
		t.Errorf("as another council's: %v", err)
	}
	if _, _, err := j.Sealed(judgetest.Stranger, note, leaves, proof); !errors.Is(err, judge.ErrWait) {
		t.Errorf("of a council that is not in the directory: %v", err)
	}
}
