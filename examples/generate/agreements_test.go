package generate_test

import (
	"testing"

	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/examples/planning"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// The agreements of the examples can be signed as they stand.
func TestAgreementsAreComplete(t *testing.T) {
	for slug, doc := range map[string][]byte{"housing-need": people.Agreement(), "planning-application": planning.Agreement()} {
		a, err := agreement.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range schemas.All() {
			std, err := standard.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			if std.Name().Name.Slug() != slug {
				continue
			}
			for _, p := range a.Check(std) {
				t.Errorf("%s: %s: %s", a.Name, p.Pointer, p.Detail)
			}
		}
	}
}
