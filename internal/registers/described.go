package registers

import (
	"context"
	"strconv"

	"github.com/stile-exchange/stile/node"
)

// A Description says what a register is: which records it lists, and how it counts them.
type Description struct {
	ID    string // part of file names
	Title string
	Lead  string // what it is for, in a sentence or two
	// Standard is that of the records, as people write it; where it is "", made makes the
	// rows.
	Standard string
	Columns  []Column
	Groups   []Group
	Chart    string // title of a column of dates, drawn by quarter; "" for none

	made func(context.Context, node.Operations) ([]Row, error)
}

// A Column is a field that is listed. Only a field that its standard calls open is.
type Column struct{ Title, Pointer string }

// A Group counts records by what stands in a column.
type Group struct {
	Title  string
	Column string // its title; "" is the council that says so
	Length int    // so many characters of the value count, such as 4 of a date for its year; 0: all
	// Every takes in each council of the directory by its GSS code, and those that have
	// the fewest come first.
	Every bool
}

// All returns the registers there are.
func All() []Description {
	return []Description{
		{
			ID: "city-tools", Title: "Digital tools of councils", Standard: "digital-tool", Chart: "Contract ends",
			Lead:    "Which systems councils use, what for, from whom, and when their contracts end: who else has it, and who could buy together.",
			Columns: []Column{{"Product", "/product"}, {"Supplier", "/supplier"}, {"Function", "/function"}, {"Hosting", "/hosting"}, {"State", "/status"}, {"Contract ends", "/contract_ends_on"}, {"May be left", "/break_on"}},
			Groups:  []Group{{Title: "By product: who else has it", Column: "Product"}, {Title: "By supplier", Column: "Supplier"}, {Title: "By function", Column: "Function"}, {Title: "By the year in which contracts end", Column: "Contract ends", Length: 4}, {Title: "By council"}},
		},
		{
			ID: "contracts", Title: "Contracts compared", Standard: "contract", Chart: "Ends",
			Lead:    "Contracts that councils have published, side by side: the same supplier, the same kind, the same end.",
			Columns: []Column{{"Title", "/title"}, {"Supplier", "/supplier/name"}, {"Kind", "/kind"}, {"CPV code", "/cpv"}, {"Starts", "/start_on"}, {"Ends", "/end_on"}, {"May be extended to", "/extension_to"}, {"Pounds", "/value"}},
			Groups:  []Group{{Title: "By supplier", Column: "Supplier"}, {Title: "By CPV code", Column: "CPV code"}, {Title: "By the year in which they end", Column: "Ends", Length: 4}, {Title: "By council"}},
		},
		{
			ID: "components", Title: "Common components", Standard: "component",
			Lead:    "What councils have built that others may use, and under which licence.",
			Columns: []Column{{"Component", "/name"}, {"Reference", "/reference"}, {"Publisher", "/publisher"}, {"Kind", "/kind"}, {"State", "/status"}, {"Function", "/function"}, {"Licence", "/licence"}, {"Where", "/repository"}},
			Groups:  []Group{{Title: "By function", Column: "Function"}, {Title: "By licence", Column: "Licence"}, {Title: "By publisher", Column: "Publisher"}},
		},
		{
			ID: "component-uses", Title: "Components in use", Standard: "component-use",
			Lead:    "Who uses which component, by the word that each council has signed itself.",
			Columns: []Column{{"Component", "/component"}, {"Publisher", "/publisher"}, {"Use", "/use"}, {"Since", "/since"}, {"Version", "/version"}, {"Experience", "/experience"}},
			Groups:  []Group{{Title: "By component", Column: "Component"}, {Title: "By use", Column: "Use"}},
		},
		{
			ID: "challenges", Title: "Shared challenges", Standard: "challenge",
			Lead:    "What councils try to solve, how far each is, and what it is looking for.",
			Columns: []Column{{"Challenge", "/title"}, {"Function", "/function"}, {"Phase", "/phase"}, {"Looking for", "/looking_for"}, {"Begun", "/started_on"}, {"Ended", "/ended_on"}},
			Groups:  []Group{{Title: "By phase", Column: "Phase"}, {Title: "By function", Column: "Function"}, {Title: "By council"}},
		},
		{
			ID: "assents", Title: "Who takes part in which challenge", Standard: "challenge-assent",
			Lead:    "The position of each council on a challenge of another, signed by itself.",
			Columns: []Column{{"Challenge", "/challenge"}, {"Led by", "/lead"}, {"Position", "/position"}, {"On", "/on"}},
			Groups:  []Group{{Title: "By challenge", Column: "Challenge"}, {Title: "By position", Column: "Position"}},
		},
		{
			ID: "improvement", Title: "Improvement work", Standard: "improvement-activity",
			Lead:    "Who has had what help, and who has had none: those come first.",
			Columns: []Column{{"For", "/councils"}, {"Provider", "/provider"}, {"Kind", "/kind"}, {"Service", "/service"}, {"Begun", "/start_on"}, {"Ended", "/end_on"}, {"Result", "/result"}},
			Groups:  []Group{{Title: "By council helped, those with least help first", Column: "For", Every: true}, {Title: "By kind", Column: "Kind"}, {Title: "By service", Column: "Service"}, {Title: "By provider", Column: "Provider"}},
		},
		{
			ID: "charter", Title: "Suppliers' charter", Standard: "supplier-statement",
			Lead:    "What councils state of their suppliers' products: standards that they speak, and how data gets out of them.",
			Columns: []Column{{"Product", "/product"}, {"Supplier", "/supplier"}, {"Standards", "/standards/*/standard"}, {"Valid records", "/standards/*/valid"}, {"Open interface", "/open_interface"}, {"Export free", "/export_free"}, {"Stated on", "/on"}},
			Groups:  []Group{{Title: "By product", Column: "Product"}, {Title: "By supplier", Column: "Supplier"}, {Title: "By standard", Column: "Standards"}},
		},
		{
			ID: "workforce", Title: "Who works for councils", Standard: "workforce-headcount",
			Lead:    "Rounded and suppressed counts of staff. Nobody can be told from them.",
			Columns: []Column{{"Year", "/period"}, {"Characteristic", "/characteristic"}, {"Group", "/group"}, {"Pay band", "/pay_band"}, {"Headcount", "/headcount"}, {"Suppressed", "/suppressed"}},
			Groups:  []Group{{Title: "Counts by characteristic", Column: "Characteristic"}, {Title: "Counts by council"}},
		},
		{
			ID: "exchanges", Title: "Exchanges that work", Standard: "exchange-case",
			Lead:    "Exchanges by evidence: what really flowed, counted from signed logs by those who sent it.",
			Columns: []Column{{"Exchange", "/exchange"}, {"Agreement", "/agreement"}, {"Mode", "/mode"}, {"To", "/to"}, {"Records", "/records"}, {"Fields withheld", "/fields_withheld"}, {"Counted on", "/counted_on"}},
			Groups:  []Group{{Title: "By exchange", Column: "Exchange"}, {Title: "By council"}},
		},
		{
			ID: "obligations", Title: "What is mandatory for us", made: obligations,
			Lead:    "Standards that this council has adopted and that a law asks for, since when, and whether it keeps records of them.",
			Columns: []Column{{Title: "Standard"}, {Title: "Law"}, {Title: "Since"}, {Title: "Our records"}, {Title: "Are we there"}},
			Groups:  []Group{{Title: "Are we there", Column: "Are we there"}},
		},
		{
			ID: "adoption", Title: "Adoption against 70%", made: adoption,
			Lead:    "Which share of councils keeps records in each standard, by the statements they signed, held against 70%.",
			Columns: []Column{{Title: "Standard"}, {Title: "By"}, {Title: "Group"}, {Title: "Councils with records"}, {Title: "Councils in England"}, {Title: "Share"}, {Title: "70% reached"}},
			Groups:  []Group{{Title: "70% reached", Column: "70% reached"}},
		},
	}
}

func obligations(ctx context.Context, o node.Operations) (rows []Row, err error) {
	all, err := o.Standards().List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Obligation == nil || s.Obligation.Statute == "" {
			continue
		}
		there := "not yet"
		if s.Records > 0 {
			there = "yes"
		}
		rows = append(rows, Row{Cells: texts(s.Name.String(), s.Obligation.Statute, s.Obligation.From, strconv.Itoa(s.Records), there)})
	}
	return rows, nil
}

// target is the share of councils, in percent, that a standard is to reach.
const target = 70

func adoption(ctx context.Context, o node.Operations) (rows []Row, err error) {
	a, err := o.Standards().Adoption(ctx, node.AdoptionRequest{})
	if err != nil {
		return nil, err
	}
	add := func(std, by, group string, adopting, of int) {
		share, reached := "", "no"
		if of > 0 {
			share = strconv.Itoa(100*adopting/of) + "%"
			if 100*adopting >= target*of {
				reached = "yes"
			}
		}
		rows = append(rows, Row{Cells: texts(std, by, group, strconv.Itoa(adopting), strconv.Itoa(of), share, reached)})
	}
	for _, s := range a.Shares {
		add(string(s.Standard), "all", "England", s.English, s.England)
	}
	for _, g := range a.Types {
		add(string(g.Standard), "type", g.Group, g.Adopting, g.England)
	}
	for _, g := range a.Regions {
		add(string(g.Standard), "region", g.Group, g.Adopting, g.England)
	}
	return rows, nil
}

func texts(cells ...string) [][]string {
	out := make([][]string, len(cells))
	for i, c := range cells {
		if c != "" {
			out[i] = []string{c}
		}
	}
	return out
}
