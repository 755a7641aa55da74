package judge_test

import (
	"testing"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/judge/judgetest"
)

// TestSignaturesOfAPage: a page of 200 records is two signatures to check, those under
// its checkpoint: the records have none.
func TestSignaturesOfAPage(t *testing.T) {
	w := judgetest.New(t, false, agreement.Replicate)
	l, j := newJudge(t, w, nil)
	src, err := l.OpenSource(t.Context(), w.Doc.From, w.Doc.Name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := j.Under(w.Doc)
	if err != nil {
		t.Fatal(err)
	}
	var sent []*judgetest.Sent
	var indexes []uint64
	for range 200 {
		s := w.Unsigned(w.Log)
		sent, indexes = append(sent, s), append(indexes, s.Index)
	}
	items, table := judgetest.Packed(sent...)
	checked := c.Log().CountSignatures()
	d, err := c.Delivery(t.Context(), src, judge.Page{
		Told: judge.Told{Checkpoint: w.Log.Checkpoint(), By: w.Doc.From}, Inclusion: w.Log.Inclusion(indexes...),
		Cursor: w.Log.Size(), Items: items, Table: table,
	})
	if err != nil || len(d.Puts) != 200 {
		t.Fatalf("%d records are taken: %v", len(d.Puts), err)
	}
	if n := checked.Load(); n != 2 {
		t.Errorf("%d signatures were checked, want 2", n)
	}
}
