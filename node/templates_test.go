package node_test

import (
	"testing"

	"github.com/stile-exchange/stile/examples/agreements"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

// Every template of an agreement that comes with Stile can be previewed and signed with
// the standards that come with it, between the two councils that it speaks of.
func TestTemplatesSign(t *testing.T) {
	t.Parallel()
	n, s := start(t, agreements.Sender, "E07000998"), start(t, agreements.Receiver, agreements.ReceiverGSS)
	introduce(t, n, s)
	for _, tpl := range agreements.Templates() {
		doc, err := agreement.Parse(tpl.Document)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*running{n, s} {
			// Some are adopted by every new node.
			_, _ = c.Standards().Adopt(t.Context(), node.AdoptRequest{Name: doc.Standard.String()})
		}
		p := call(t, n.Agreements().Preview, node.AgreementRequest{Document: tpl.Document})
		if len(p.Problems) > 0 {
			t.Errorf("%s: %v", tpl.Name, p.Problems)
		}
		call(t, n.Agreements().Sign, node.AgreementRequest{Document: tpl.Document})
	}
	for _, tpl := range agreements.Templates() {
		doc, _ := agreement.Parse(tpl.Document)
		await(t, tpl.Name+" arrives", func() bool {
			_, err := s.Agreements().Show(t.Context(), node.AgreementRequest{Name: string(doc.Name)})
			return err == nil
		})
		if r := call(t, s.Agreements().Sign, node.AgreementRequest{Name: string(doc.Name)}); len(r.Waiting) > 0 {
			t.Errorf("%s waits for %v", tpl.Name, r.Waiting)
		}
	}
}
