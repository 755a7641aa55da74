package england

import (
	"fmt"
	"strings"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// What neighbours show each other of planning applications, and what is never shown.
var (
	planningFields  = []string{"/reference", "/organisation", "/district", "/applicationType", "/status", "/description", "/receivedDate", "/decision", "/decisionDate"}
	tippingFields   = []string{"/reference", "/council", "/found_on", "/land", "/waste", "/size", "/cost", "/cleared_on", "/lsoa"}
	statementFields = []string{
		"/council", "/gss", "/standard", "/computed_on", "/computed_at", "/counted_since", "/records", "/damaged",
		"/first_offers", "/held_back", "/errors", "/fields", "/freshness", "/partners", "/received", "/checkpoint",
	}
)

// withheld stands in every value that no agreement lets out.
const withheld = "WITHHELD"

// border is the district whose applications the neighbours see.
const border = "Border"

// text makes an agreement of mode replicate that can be signed, and begins before any day
// on which a country is run.
func text(nm name.Agreement, to []name.Council, std name.StandardName, rows string, fields []string) []byte {
	from := name.Council(strings.SplitN(string(nm), "/", 2)[0])
	var b strings.Builder
	fmt.Fprintf(&b, "agreement: %s\nversion: 1\nfrom: %s\nto: [", nm, from)
	for i, c := range to {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(c))
	}
	fmt.Fprintf(&b, "]\nmode: replicate\nstandard: %s@1\nrows: '%s'\nfields: [%s]\n", std, rows, strings.Join(fields, ", "))
	b.WriteString(`purpose: To see how the exchange of a whole country behaves.
necessity: Nothing less shows it.
data_items: Made-up records.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Local Government Act 1972, section 111
  special_condition: none, nothing special is shared
dpia: Screened.
rights_contact: dpo@example.org
accuracy: Corrections follow at once.
retention: P1Y
disposal: Deleted.
security: A test.
review: 2028-06-01
starts: 2026-01-01
ends: 2029-01-01
exit: At once.
roles:
`)
	for _, c := range append([]name.Council{from}, to...) {
		fmt.Fprintf(&b, "  %s: controller\n", c)
	}
	b.WriteString("contacts:\n")
	for _, c := range append([]name.Council{from}, to...) {
		fmt.Fprintf(&b, "  %s: dpo@%s\n", c, c)
	}
	return []byte(b.String())
}

// The agreements of a council.
func (x *Council) planning() name.Agreement {
	if x.novated != "" && x.next == x.country.ends.heir {
		return x.novated
	}
	return name.Agreement(x.Name + "/planning")
}
func (x *Council) statements() name.Agreement { return name.Agreement(x.Name + "/statements") }
func (x *Council) tipping() name.Agreement    { return name.Agreement(x.Name + "/fly-tipping") }
func (x *Council) back() name.Agreement       { return name.Agreement(x.Name + "/planning-back") }

// agree makes the agreements that are in force from the first day: with the neighbour on
// planning applications along the border, and with the standards bodies on statements.
func (c *Country) agree() {
	for _, x := range c.councils {
		x.sign(text(x.planning(), []name.Council{x.next.Name}, planning, `record.district == "`+border+`"`, planningFields))
		x.sign(text(x.statements(), []name.Council{planningBody, wasteBody}, statement, "true", statementFields))
	}
	c.await("all have signed", func() bool {
		missing := false
		for _, x := range c.all() {
			missing = x.signWaiting() || missing
		}
		if missing {
			return false
		}
		for _, x := range c.councils {
			for _, nm := range []name.Agreement{x.planning(), x.statements()} {
				if !x.knows(nm) {
					return false
				}
			}
		}
		return true
	})
}

func (x *Council) sign(document []byte) {
	call(x, x.node.Agreements().Sign, node.AgreementRequest{Document: document})
}

// knows reports whether an agreement is in force as the council sees it.
func (x *Council) knows(nm name.Agreement) bool {
	got, err := x.node.Agreements().Show(x.country.t.Context(), node.AgreementRequest{Name: string(nm)})
	return err == nil && got.InForce
}

// signWaiting has a council sign whatever waits for its signature: its own, or as a keeper
// that of its footprint. It reports whether there was anything.
func (x *Council) signWaiting() (any bool) {
	c := x.country
	c.t.Helper()
	list, err := x.node.Agreements().List(c.t.Context())
	if err != nil {
		c.t.Fatalf("%s: %v", x.Name, err)
	}
	for _, a := range list {
		for _, w := range a.Waiting {
			key := fmt.Sprint(a.Name, " ", a.Version)
			if w == x.Name || x.keeps(w) && !x.signed[key] {
				x.signed[key] = true
				call(x, x.node.Agreements().Sign, node.AgreementRequest{Name: string(a.Name), Version: a.Version})
				any = true
			}
		}
	}
	return any
}

// keeps reports whether the council is a keeper of a footprint.
func (x *Council) keeps(fp name.Council) bool {
	if x.region == nil || x.region.name != fp {
		return false
	}
	for _, m := range x.region.members {
		if m == x {
			return true
		}
	}
	return false
}
