package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// planning returns a made-up planning application, different for every i.
func planning(i int) map[string]any {
	district := string(rune('A' + i%10))
	return map[string]any{
		"reference": fmt.Sprintf("26/%07d/PA", i), "organisation": "local-authority:NBR", "district": district,
		"uprn": json.Number(fmt.Sprint(100000000000 + i)), "address": "30 Station Road, Eastleigh Vale, SQ3 8CO", "postcode": "SQ3 8CO",
		"longitude": json.Number("-2.203408"), "latitude": json.Number("53.379509"),
		"applicationType": "reserved-matters", "status": "in-consultation",
		"description":  "Application for the removal of a failing boundary wall and planting of a replacement hedge.",
		"receivedDate": "2026-02-16", "validDate": "2026-02-23", "decision": nil, "decisionDate": nil,
		"caseOfficer": "officer-1", "applicantName": fmt.Sprintf("Kezia Sandhu %d", i), "applicantEmail": "kezia.sandhu8572@example.org",
	}
}

func planningStandard(t testing.TB) *standard.Standard {
	t.Helper()
	s, err := standard.Load(schemas.FS("planning-application/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const council = name.Council("northmoor.gov.uk")

func open(t testing.TB, dir string, ring *keys.Ring, change ...func(*ledger.Options)) *ledger.Ledger {
	t.Helper()
	o := ledger.Options{
		Dir: dir, Council: council, Keys: ring, InMemory: dir == "", MinFree: 1,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
	if _, test := t.(*testing.T); test {
		o.Memory = small
	}
	for _, c := range change {
		c(&o)
	}
	l, err := ledger.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// small is the memory of a store of which a test asks little. Each store begins with a table in
// memory of a quarter of it, and the race detector watches every byte of that.
const small = 32 << 20

// asANode has a ledger take the memory that a node gives it.
func asANode(o *ledger.Options) { o.Memory = 256 << 20 }

func ring(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Generate(council)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(t testing.TB, l *ledger.Ledger, std *standard.Standard, body map[string]any) ledger.Result {
	t.Helper()
	o, err := l.Offer(std, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r, err := o.Result()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func current(t testing.TB, l *ledger.Ledger, r name.Record) (ver *ledger.Version, err error) {
	t.Helper()
	err = l.View(func(v *ledger.View) error {
		ver, err = v.Current(r)
		return err
	})
	return ver, err
}

func TestLifeOfARecord(t *testing.T) {
	ring := ring(t)
	dir := t.TempDir()
	std := planningStandard(t)
	l := open(t, dir, ring)
	if err := l.Adopt(t.Context(), std); err != nil {
		t.Fatal(err)
	}
	first := put(t, l, std, planning(1))
	if first.Version != 1 || first.Outcome != ledger.Created {
		t.Fatalf("first: %+v", first)
	}
	if again := put(t, l, std, planning(1)); again.Outcome != ledger.Unchanged || again.Index != first.Index {
		t.Fatalf("the same bytes made a version: %+v", again)
	}
	changed := planning(1)
	changed["status"] = "decided"
	second := put(t, l, std, changed)
	if second.Version != 2 || second.Record != first.Record {
		t.Fatalf("second: %+v", second)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, ring)
	ver, err := current(t, l, first.Record)
	if err != nil || ver.Claims.Version != 2 || ver.Body["status"] != "decided" {
		t.Fatalf("after reopening: %+v, %v", ver, err)
	}
	if tok, err := l.SignToken(t.Context(), ver); err != nil || tok.Verify(ring.Record.Public()) != nil {
		t.Fatal(err)
	}
	err = l.View(func(v *ledger.View) error {
		before, err := v.Before(ver)
		if err != nil {
			return err
		}
		if before.Claims.Version != 1 || before.Token.Entry() != ver.Claims.Prev {
			t.Errorf("version before: %+v", before.Claims)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkIngest(b *testing.B) {
	for _, size := range []int{1, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			std := planningStandard(b)
			l := open(b, b.TempDir(), ring(b))
			if err := l.Adopt(b.Context(), std); err != nil {
				b.Fatal(err)
			}
			n := 0
			start := time.Now()
			var last *ledger.Pending
			for b.Loop() {
				offers := make([]*ledger.Offer, size)
				for i := range offers {
					n++
					body := planning(n)
					if ps := std.Validate(body); len(ps) > 0 {
						b.Fatal(ps)
					}
					o, err := l.Offer(std, body)
					if err != nil {
						b.Fatal(err)
					}
					offers[i] = o
				}
				p, err := l.Submit(context.Background(), offers)
				if err != nil {
					b.Fatal(err)
				}
				if last != nil {
					if err := last.Wait(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				last = p
			}
			if err := last.Wait(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/time.Since(start).Seconds(), "records/s")
		})
	}
}
