package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const castlebridge = name.Council("castlebridge.gov.uk")

// moving is a version of the agreement by which northmoor lets saltby have applications, and
// lets it pass on such fields; without any it lets nothing go on.
func moving(version int, rows, fields, onward string) string {
	on := ""
	if onward != "" {
		on = "\nonward:\n  to: [castlebridge.gov.uk]\n  fields: [" + onward + "]"
	}
	_, rest, _ := strings.Cut(planningAgreement, "\npurpose:")
	return fmt.Sprintf(`agreement: northmoor.gov.uk/moving
version: %d
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: %s
fields: [%s]%s
purpose:%s`, version, rows, fields, on, rest)
}

// passing is a version of the agreement by which saltby passes them on.
func passing(version int, fields string) string {
	_, rest, _ := strings.Cut(planningAgreement, "\npurpose:")
	rest = strings.NewReplacer("saltby.gov.uk", "castlebridge.gov.uk", "northmoor.gov.uk", "saltby.gov.uk").Replace(rest)
	return fmt.Sprintf(`agreement: saltby.gov.uk/on
version: %d
from: saltby.gov.uk
to: [castlebridge.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
origin: northmoor.gov.uk/moving
rows: "true"
fields: [%s]
purpose:%s`, version, fields, rest)
}

// passed returns what a council shows of what was passed on to it: by reference whether it has
// the address. Anything else that may not go on is a failure.
func passed(t testing.TB, n *running) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, r := range call(t, n.Records().List, node.ListRequest{From: saltby, Bodies: true}).Records {
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"postcode", "description", "applicantName", "uprn"} {
			if _, there := body[f]; there {
				t.Errorf("%s went on", f)
			}
		}
		_, out[fmt.Sprint(body["reference"])] = body["address"]
	}
	return out
}

// nothingOn returns why nothing goes on, as the condition of a council that passes on has it.
func nothingOn(t testing.TB, n *running) string {
	t.Helper()
	for _, c := range get(t, n.Status).Conditions {
		if c.Name == "onward-nothing" {
			return c.Cause
		}
	}
	return ""
}

// TestOnwardNarrowed: what a new version of the first agreement lets out no more, or lets go on
// no more, leaves the council at the end, and the one in the middle is told why nothing goes on:
// what it holds has no signatures, a field may not, nothing may, or it is suspended.
func TestOnwardNarrowed(t *testing.T) {
	t.Parallel()
	const (
		open    = "/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate"
		address = open + ", /address"
		more    = address + ", /postcode"
	)
	m := wire.NewMemory()
	n, s, c := startIn(t, m, northmoor), startIn(t, m, saltby), startIn(t, m, castlebridge)
	introduce(t, n, s, c)
	offer(t, n, "planning-application", planning(1, "X"), planning(2, "Y"))
	has := func(what string, want map[string]bool) {
		t.Helper()
		defer func() {
			if t.Failed() {
				t.Logf("castlebridge shows %v, and nothing goes on since %q", passed(t, c), nothingOn(t, s))
			}
		}()
		awaitWithin(t, 50*time.Second, 20*time.Millisecond, what, func() bool { return maps.Equal(passed(t, c), want) })
	}
	nothing := func(why string) {
		t.Helper()
		awaitWithin(t, 30*time.Second, 20*time.Millisecond, "the condition says: "+why, func() bool {
			said := nothingOn(t, s)
			return why == "" && said == "" || why != "" && strings.Contains(said, why)
		})
	}

	// Nothing may go on at first, so that saltby asks for no signatures. Then it may, and
	// northmoor is away before it can send them.
	agreed(t, moving(1, `"true"`, more, ""), n, s)
	await(t, "saltby holds both", func() bool { return get(t, s.Status).Holdings == 2 })
	call(t, n.Agreements().Sign, node.AgreementRequest{Document: []byte(moving(2, `"true"`, more, address))})
	await(t, "northmoor's signature is there", func() bool {
		var r node.AgreementReply
		err := try(t.Context(), s.Agreements().Show, node.AgreementRequest{Name: "northmoor.gov.uk/moving", Version: 2}, &r)
		return err == nil && len(r.Signed) == 1
	})
	n.stop()
	call(t, s.Agreements().Sign, node.AgreementRequest{Document: []byte(moving(2, `"true"`, more, address))})
	agreed(t, passing(1, address), s, c)
	nothing("has no signature of its own by itself")
	has("without signatures nothing goes on", map[string]bool{})
	n = again(t, m, n, northmoor, 0)
	both := map[string]bool{"26/0000001/PA": true, "26/0000002/PA": true}
	has("with them both do", both)
	nothing("")

	agreed(t, moving(3, `record.district == "X"`, more, address), n, s)
	has("what is out of its rows leaves", map[string]bool{"26/0000001/PA": true})
	agreed(t, moving(4, `"true"`, more, open), n, s)
	nothing("a field that an earlier agreement does not let go on")
	has("what may not go on leaves", map[string]bool{})
	agreed(t, passing(2, open), s, c)
	// The second was taken back by its own council in this version, and goes on with its next.
	has("the rest goes on", map[string]bool{"26/0000001/PA": false})
	nothing("")
	changed := planning(2, "Y")
	changed["description"] = "A shed."
	offer(t, n, "planning-application", changed)
	has("and so does its next version", map[string]bool{"26/0000001/PA": false, "26/0000002/PA": false})

	agreed(t, moving(5, `"true"`, more, ""), n, s)
	nothing("onward sharing")
	has("where nothing may go on all leaves", map[string]bool{})
	agreed(t, moving(6, `"true"`, more, open), n, s)
	has("and goes on where it may", map[string]bool{"26/0000001/PA": false, "26/0000002/PA": false})
	call(t, n.Agreements().Suspend, node.AgreementRequest{Name: "northmoor.gov.uk/moving", Reason: "an audit"})
	nothing("suspended")
	has("what went stays meanwhile", map[string]bool{"26/0000001/PA": false, "26/0000002/PA": false})

	// A new text, of which nobody can tell meanwhile whether it is permitted, takes the place
	// of the one before all the same.
	agreed(t, passing(3, open), s, c)
	has("what went on by the text before comes back", map[string]bool{})
	call(t, n.Agreements().Resume, node.AgreementRequest{Name: "northmoor.gov.uk/moving"})
	has("and goes on again", map[string]bool{"26/0000001/PA": false, "26/0000002/PA": false})
	call(t, n.Agreements().End, node.AgreementRequest{Name: "northmoor.gov.uk/moving", Reason: "it is over"})
	has("with the first agreement it ends", map[string]bool{})
	awaitWithin(t, 50*time.Second, 20*time.Millisecond, "the middle says that nothing is on its way", func() bool {
		i := slices.IndexFunc(get(t, s.Status).Partners, func(p node.PartnerReply) bool { return p.Council == castlebridge })
		return i >= 0 && get(t, s.Status).Partners[i].InStep
	})
}
