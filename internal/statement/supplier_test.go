package statement

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// offer puts records of a standard through the gate, as a run of a source where one is named.
func (c *council) offer(t *testing.T, std, source string, records ...string) {
	t.Helper()
	in := api.PutRequest{Standard: std}
	if source != "" {
		run, err := c.gate.Begin(t.Context(), api.SourceRequest{Source: source, Standard: std})
		if err != nil {
			t.Fatal(err)
		}
		in.Run = run
	}
	for _, r := range records {
		in.Records = append(in.Records, api.Offered{Record: []byte(r)})
	}
	if _, err := c.gate.Put(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// TestCharter: what is held of a product are live records that its source offered, whatever
// else is held of the standard; what was refused counts until it is taken or deleted. Our
// statement says so in the place of what people wrote of that standard, and keeps the rest.
func TestCharter(t *testing.T) {
	c := open(t, 0)
	ask := func(in api.CharterRequest) *api.CharterReply {
		t.Helper()
		in.Tool = "T-1"
		r, err := c.Charter(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fails := func(in api.CharterRequest, why string) {
		t.Helper()
		_, err := c.Charter(t.Context(), in)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Kind != api.NotFound || !strings.Contains(e.Message, why) {
			t.Errorf("%+v: %v, want %q", in, err, why)
		}
	}
	c.offer(t, "hut", "", `{"id":"by hand"}`)
	c.offer(t, "hut", "acre", `{"id":"1"}`, `{"id":"2"}`, `{"id":"3","doors":"two"}`, `{"doors":4}`)
	c.offer(t, "hut", "other", `{"id":"7"}`)
	fails(api.CharterRequest{Tool: "T-1", Sources: []string{"acre"}}, "no digital tool of ours")
	c.offer(t, tools, "", `{"reference":"T-1","council":"E07000998","product":"Acre Huts","supplier":"Acre Ltd","function":"planning","status":"in-use"}`)
	fails(api.CharterRequest{Tool: "T-1"}, "no feed names this tool")
	fails(api.CharterRequest{Tool: "T-1", Sources: []string{"nobody"}}, "no records were ever taken in")
	c.feeds = []string{"acre"}
	r := ask(api.CharterRequest{})
	if r.Product != "Acre Huts" || r.Supplier != "Acre Ltd" || len(r.Counts) != 1 || r.Published != nil {
		t.Fatalf("%+v", r)
	}
	if n := r.Counts[0]; n.Valid != 2 || n.Held != 2 || n.Damaged != 0 || n.Standard.String() != "standards.example/hut@1" || n.LogSize != c.o.Ledger.Size() {
		t.Errorf("%+v", n)
	}

	// One is mended, one gets worse, and one is deleted by hand.
	c.offer(t, "hut", "acre", `{"id":"3","doors":2}`, `{"id":"1","doors":"none"}`)
	var id name.Record
	if err := c.o.Ledger.View(func(v *ledger.View) error {
		return v.Scan("standards.example/hut", 0, func(ver *ledger.Version, err error) bool {
			if err == nil && ver.Body["id"] == "2" {
				id = ver.Claims.Record
			}
			return err == nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.o.Ledger.Write(t.Context(), c.o.Ledger.OfferDelete(id)); err != nil {
		t.Fatal(err)
	}
	c.offer(t, suppliers, "", `{"supplier":"Acre Ltd","product":"Acre Huts","council":"E07000998","on":"2026-01-01","open_interface":true,"remarks":"slow","standards":[{"standard":"standards.example/hut@1","records":900,"valid":900},{"standard":"standards.example/shed@1","records":5,"valid":4}]}`)
	r = ask(api.CharterRequest{Sources: []string{"acre", "other", "acre"}, Publish: true})
	if len(r.Counts) != 2 || r.Counts[0].Valid != 1 || r.Counts[0].Held != 2 || r.Counts[1].Valid != 1 || r.Published == nil || r.Published.Version != 2 {
		t.Fatalf("%+v, %+v", r.Counts, r.Published)
	}
	var said struct {
		On        string
		Remarks   string
		Open      bool `json:"open_interface"`
		Standards []struct {
			Standard       string
			Records, Valid int
			Measured       *struct {
				Source string
				Valid  int `json:"held_valid"`
				Back   int `json:"held_back"`
			}
		}
	}
	if err := c.o.Ledger.View(func(v *ledger.View) error {
		body, err := c.current(v, suppliers, `["Acre Ltd","Acre Huts"]`)
		if err != nil {
			return err
		}
		b, err := json.Marshal(body)
		return errors.Join(err, json.Unmarshal(b, &said))
	}); err != nil {
		t.Fatal(err)
	}
	if said.On != "2026-11-28" || said.Remarks != "slow" || !said.Open || len(said.Standards) != 3 {
		t.Fatalf("%+v", said)
	}
	if s := said.Standards[0]; s.Standard != "standards.example/shed@1" || s.Measured != nil || s.Valid != 4 {
		t.Errorf("what was not counted: %+v", s)
	}
	if s := said.Standards[1]; s.Records != 3 || s.Valid != 1 || s.Measured == nil || s.Measured.Source != "acre" || s.Measured.Valid != 1 || s.Measured.Back != 2 {
		t.Errorf("what was counted: %+v, %+v", s, s.Measured)
	}
}
