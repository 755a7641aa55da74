package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stile-exchange/stile/node"
)

// rowsOf are planning applications as rows of a file.
func rowsOf(t testing.TB, from, to int) (rows []node.ImportRow) {
	t.Helper()
	for i := from; i < to; i++ {
		b, err := json.Marshal(planning(i, "X"))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, node.ImportRow{Row: i + 1, Record: b})
	}
	return rows
}

type importer interface {
	Import(context.Context, node.ImportRequest) (*node.Import, error)
}

// TestImport: in this process and through the admin socket, batches are taken in
// order, though several are on their way; what is not taken is told row by row, by
// the name that the node found in it, and held where that was asked.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"process", "socket"} {
		t.Run(how, func(t *testing.T) {
			n := start(t, northmoor, "E07000998")
			defer n.stop()
			var to importer = n.Node
			if how == "socket" {
				c, err := node.Dial(t.Context(), n.Config().AdminSocket)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				to = c
			}
			im, err := to.Import(t.Context(), node.ImportRequest{Standard: "planning-application", Hold: true})
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			first, second := rowsOf(t, 0, 700), rowsOf(t, 700, 710)
			later := planning(3, "X")
			later["status"] = "valid"
			again, _ := json.Marshal(later)
			ruined := planning(0, "X")
			ruined["reference"] = "1.00023E+11"
			spreadsheet, _ := json.Marshal(ruined)
			second = append(second,
				node.ImportRow{Row: 711, Record: again},
				node.ImportRow{Row: 712, Record: []byte(`{"reference":"26/bad/PA","status":7}`)},
				node.ImportRow{Row: 713, Record: []byte(`{"reference":`)},
				node.ImportRow{Row: 714, Record: spreadsheet},
				node.ImportRow{Row: 715, Reference: "from a sheet", Record: []byte("null"), Problems: []node.Problem{{Rule: "columns", Detail: "has too few"}}})
			for _, b := range [][]node.ImportRow{first, second} {
				if err := im.Send(b); err != nil {
					t.Fatal(err)
				}
			}
			r, err := im.Receive()
			if err != nil || r.Rows != 700 || r.Counts[node.Created] != 700 || len(r.NotTaken) != 0 || len(r.Keys) != 700 {
				t.Fatalf("first batch: %+v, %v", r, err)
			}
			key := r.Keys[3]
			r, err = im.Receive()
			if err != nil || r.Rows != 15 || r.Counts[node.Created] != 10 || r.Counts[node.Changed] != 1 {
				t.Fatalf("second batch: %+v, %v", r, err)
			}
			if r.Keys[10] != key || r.Keys[9] == key || r.Keys[12] != (node.KeyDigest{}) {
				t.Error("keys are not told from one another")
			}
			var got []string
			for _, x := range r.NotTaken {
				got = append(got, fmt.Sprint(x.At, " ", x.Row, " ", x.Reference, " ", x.Problems[0].Rule))
			}
			want := []string{"11 712 26/bad/PA required", "12 713  syntax", "13 714 1.00023E+11 key", "14 715 from a sheet columns"}
			if len(got) != len(want) || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] || r.NotTaken[0].Reference != "26/bad/PA" {
				t.Errorf("not taken %q, want %q", got, want)
			}
			held := call(t, n.Records().Held, node.ListRequest{})
			if len(held.Held) != 1 || held.Held[0].Reference != "26/bad/PA" {
				t.Errorf("held %+v", held.Held)
			}
			shown := call(t, n.Records().Show, node.RecordRequest{Standard: "planning-application", Record: "26/0000003/PA"})
			if shown.Version != 2 {
				t.Errorf("version %d stands of the row that came twice", shown.Version)
			}
		})
	}
}

// TestImportEnds: an import ends with its context while it waits, for a standard that
// is not there, and when the node stops; each time with an error that can be shown.
func TestImportEnds(t *testing.T) {
	n := start(t, northmoor, "E07000998")
	c, err := node.Dial(t.Context(), n.Config().AdminSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, to := range []importer{n.Node, c} {
		im, err := to.Import(t.Context(), node.ImportRequest{Standard: "nothing"})
		if err == nil {
			im.Send(rowsOf(t, 0, 1))
			_, err = im.Receive()
			im.Close()
		}
		if e, ok := errors.AsType[*node.Error](err); !ok || e.Kind != node.NotFound {
			t.Errorf("%T: a standard that is not there: %v", to, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if im, err = to.Import(ctx, node.ImportRequest{Standard: "planning-application"}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := im.Receive(); err == nil || err.Error() != "stopped before it was done" {
			t.Errorf("%T: stopped: %v", to, err)
		}
		im.Close()
	}
	im, err := c.Import(t.Context(), node.ImportRequest{Standard: "planning-application"})
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Send(rowsOf(t, 0, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := im.Receive(); err != nil {
		t.Fatal(err)
	}
	n.stop()
	if _, err := im.Receive(); err == nil {
		t.Error("an import goes on after its node")
	} else if _, ok := errors.AsType[*node.Error](err); !ok {
		t.Errorf("the node stopped: %v", err)
	}
	im.Close()
}
