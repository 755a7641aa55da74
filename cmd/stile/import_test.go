package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A slowNode takes its time over offers, a different one for each, and watches
// how they come in.
type slowNode struct {
	t      *testing.T
	rand   *rand.Rand
	failAt int // row at which it breaks; 0: never

	mu       sync.Mutex
	underway map[string]bool // references in requests not yet answered
	requests int
	most     int
	stands   map[string]int // newest row of each reference, as the ledger would have it
}

func (n *slowNode) Close() error { return nil }

func (n *slowNode) Show(context.Context, node.StandardRequest) (node.StandardReply, error) {
	std, err := name.ParseStandard("standards.example/pet@1.0.0")
	return node.StandardReply{Name: std, Key: []string{"/id"}}, err
}

func (n *slowNode) Put(ctx context.Context, in node.PutRequest) (out node.PutReply, err error) {
	err = n.offer(ctx, in, &out)
	return out, err
}

func (n *slowNode) offer(ctx context.Context, in node.PutRequest, out *node.PutReply) error {
	n.mu.Lock()
	n.requests++
	n.most = max(n.most, n.requests)
	own := map[string]bool{}
	for _, r := range in.Records {
		if n.underway[r.Reference] {
			n.t.Errorf("row %d (%s) was offered while an earlier row of it was under way", r.Row, r.Reference)
		}
		own[r.Reference] = true
	}
	for ref := range own {
		n.underway[ref] = true
	}
	wait := time.Duration(n.rand.IntN(1000)) * time.Millisecond
	n.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests--
	for ref := range own {
		delete(n.underway, ref)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, r := range in.Records {
		if r.Row == n.failAt {
			return &node.Error{Kind: node.Failed, Message: "the disk is nearly full", Try: "free some disk space"}
		}
		res := node.PutResult{Row: r.Row, Reference: r.Reference}
		switch {
		case strings.HasPrefix(r.Reference, "bad"):
			res.Problems = []node.Problem{{Pointer: "/list/7", Rule: "type", Detail: "must be text"}}
		case in.DryRun:
			res.Outcome = node.Valid
		default:
			res.Outcome = node.Created
			n.stands[r.Reference] = r.Row
		}
		out.Results = append(out.Results, res)
	}
	return nil
}

// pets writes a file of n records, of which some share an id, and returns the
// last row of each.
func pets(t *testing.T, file string, n int, r *rand.Rand) map[string]int {
	t.Helper()
	var b bytes.Buffer
	last := map[string]int{}
	for row := 1; row <= n; row++ {
		id := fmt.Sprintf("p%d", row)
		if row > 100 && r.IntN(500) == 0 {
			id = fmt.Sprintf("p%d", 1+r.IntN(row-1))
		}
		last[id] = row
		fmt.Fprintf(&b, "{\"id\":%q}\n", id)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return last
}

// TestImportOrder: however long each batch takes, of two rows of one record
// the later one stands, and no more than three batches are under way.
func TestImportOrder(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			file := filepath.Join(t.TempDir(), "pets.ndjson")
			const rows = 20_000
			last := pets(t, file, rows, r)
			n := &slowNode{t: t, rand: r, underway: map[string]bool{}, stands: map[string]int{}}
			var out, talk bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				a := &app{env: env{in: strings.NewReader(""), out: &out, err: &talk}, gate: n}
				if code := a.run(t.Context(), []string{"import", file, "--standard", "pet", "--json"}); code != 0 {
					t.Fatalf("exit code %d: %s", code, &talk)
				}
			})
			if n.most != batchesAtOnce {
				t.Errorf("at most %d batches were under way, want %d", n.most, batchesAtOnce)
			}
			for id, row := range last {
				if n.stands[id] != row {
					t.Errorf("of %s row %d stands, want %d", id, n.stands[id], row)
				}
			}
			var doc struct {
				Rows   int
				Counts map[string]int
				Same   []twice `json:"same_key"`
			}
			if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
				t.Fatalf("%v in %s", err, &out)
			}
			if doc.Rows != rows || doc.Counts["created"] != rows || len(doc.Same) == 0 {
				t.Errorf("%+v, want %d rows, all created, and some with the same key", doc, rows)
			}
		})
	}
}

// TestImportBreaks: when the node fails, the report says which rows are done
// and which may be, and nothing else is offered.
func TestImportBreaks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	file := filepath.Join(t.TempDir(), "pets.ndjson")
	pets(t, file, 10_000, rand.New(rand.NewPCG(3, 4)))
	n := &slowNode{t: t, rand: r, failAt: 4321, underway: map[string]bool{}, stands: map[string]int{}}
	var out, talk bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		a := &app{env: env{in: strings.NewReader(""), out: &out, err: &talk}, gate: n}
		if code := a.run(t.Context(), []string{"import", file, "--standard", "pet"}); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	})
	if n.requests != 0 {
		t.Errorf("%d requests were left under way", n.requests)
	}
	if !strings.HasPrefix(out.String(), "4,000 rows read") {
		t.Errorf("result %q, want the 4,000 rows that are done", &out)
	}
	for _, want := range []string{"the disk is nearly full: ", "the rows before 4001 are done, and of rows 4001 to ", "Try: free some disk space; then run the import again"} {
		if !strings.Contains(talk.String(), want) {
			t.Errorf("talk %q lacks %q", &talk, want)
		}
	}
	for id, row := range n.stands {
		if row > 7000 {
			t.Errorf("row %d (%s) was offered after the failure", row, id)
		}
	}
}

// TestReasonsAreBounded: a file of endlessly different mistakes costs bounded
// memory, and every refused row is counted.
func TestReasonsAreBounded(t *testing.T) {
	tl := &tally{im: &importer{app: &app{}}}
	tl.startOver()
	for i := range 3 * maxReasons {
		tl.count(fmt.Sprintf("/m%d", i), "unknown", "is not a field")
	}
	total := 0
	for _, n := range tl.reasons {
		total += n
	}
	if total != 3*maxReasons || len(tl.reasons) > maxReasons+1 {
		t.Errorf("%d reasons with %d rows, want at most %d with %d", len(tl.reasons), total, maxReasons+1, 3*maxReasons)
	}
}

func TestWild(t *testing.T) {
	for in, want := range map[string]string{"": "", "/a": "/a", "/a/0/b": "/a/*/b", "/a/12": "/a/*", "/a1/b": "/a1/b"} {
		if got := wild(in); got != want {
			t.Errorf("wild(%q) = %q, want %q", in, got, want)
		}
	}
}
