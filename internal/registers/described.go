package registers

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
	"github.com/stile-exchange/stile/schemas/councils"
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
	Each     string // pointer to a list in a record, each of whose items makes a line; "": each record makes one
	// Map is the title of a column of GSS codes, which are drawn on the map of councils: of
	// those that stand in a record; "" for none.
	Map string
	// MapWhere is a column of numbers: on the map count only lines where it is more than 0; ""
	// for all.
	MapWhere string
	// Form names the translation by which the register is also offered in the form of
	// somebody else's data standard; "" for none.
	Form string
	// Under are titles of columns that a page shows below the others of the same line, since
	// what stands in them is long.
	Under []string
	// Links is the title of a column of addresses that come with Stile, which pages lead to;
	// "" for none. An address in a record is text.
	Links string
	// State is the title of a column whose words a page marks; "" for none.
	State string
	// Goal is how many different values the first group is to have by a year; zero for none.
	Goal Goal
	// About are the names of the standards of whose records made makes the rows; nil for a
	// register that lists the records of Standard.
	About []string

	// Key are titles of columns by which lines are told apart: of a register that is made, and
	// of one with Each beside the record; nil where the record alone does.
	Key []string

	// ours says that it tells of this council alone.
	ours bool

	// audited says that what it counts is drawn from for audits.
	audited bool

	// ordered says that the rows stand in the order in which made returned them.
	ordered bool

	made func(context.Context, node.Operations, time.Time) ([]Row, error)
	// also fills the columns that have no pointer, from what the node knows beside the
	// records; nil where there is none.
	also func(context.Context, node.Operations, *Table) error
}

// A Goal is how many there are to be, and by when.
type Goal struct {
	Of int    `json:"of"`
	By string `json:"by"` // a year
}

// A Column is a field that is listed. Only a field that its standard calls open is. One
// without a pointer is filled by made or also.
type Column struct{ Title, Pointer string }

// A Group counts records by what stands in a column.
type Group struct {
	Title  string
	Column string // its title; "" is the council that says so
	And    string // another column, whose value is joined to the first; "" for none
	Where  string // a column of numbers: a record without one, or with 0, does not count; "" for none
	Soon   string // a column of days: a record counts whose day is less than a year ahead; "" for none
	Length int    // so many characters of the value count, such as 4 of a date for its year; 0: all
	// Councils says that its values are GSS codes, of which pages show the names as well.
	Councils bool
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
			Groups:  []Group{{Title: "By product: who else has it", Column: "Product"}, {Title: "Contracts that end within a year, by product", Column: "Product", Soon: "Contract ends"}, {Title: "By supplier", Column: "Supplier"}, {Title: "By function", Column: "Function"}, {Title: "By the year in which contracts end", Column: "Contract ends", Length: 4}, {Title: "By council"}},
		},
		{
			ID: "contracts", Title: "Contracts compared", Standard: "contract", Chart: "Ends", Form: "ocds",
			Lead:    "Contracts that councils have published, side by side: the same supplier, the same kind, the same end.",
			Columns: []Column{{"Title", "/title"}, {"Supplier", "/supplier/name"}, {"Kind", "/kind"}, {"CPV code", "/cpv"}, {"Starts", "/start_on"}, {"Ends", "/end_on"}, {"May be extended to", "/extension_to"}, {"Pounds", "/value"}},
			Under:   []string{"May be extended to"},
			Groups:  []Group{{Title: "By supplier", Column: "Supplier"}, {Title: "Contracts that end within a year, by supplier", Column: "Supplier", Soon: "Ends"}, {Title: "By CPV code", Column: "CPV code"}, {Title: "By the year in which they end", Column: "Ends", Length: 4}, {Title: "By council"}},
		},
		{
			ID: "service-directory", Title: "Community services", Standard: "service-directory", Form: "open-referral-uk",
			Lead:    "Services that somebody in need can be told of: what each is, who runs it, where and when.",
			Columns: []Column{{"Service", "/name"}, {"Organisation", "/organisation/name"}, {"State", "/status"}, {"Topics", "/topics"}, {"Places", "/places/*/name"}, {"Postcodes", "/places/*/postcode"}, {"Hours", "/places/*/hours"}, {"Website", "/url"}, {"Assured on", "/assured_on"}},
			Under:   []string{"Places", "Postcodes", "Hours", "Website"},
			Groups:  []Group{{Title: "By topic", Column: "Topics"}, {Title: "By state", Column: "State"}, {Title: "By council"}},
		},
		{
			ID: "consultation-replies", Title: "Replies to planning consultations", Standard: "planning-consultation-reply", also: authorities,
			Lead:    "What councils answer when a neighbour consults them on a planning application: the comment that each has written for the public, signed by itself.",
			Columns: []Column{{"Application", "/application"}, {"Deciding authority", "/authority"}, {Title: "Name of deciding authority"}, {"Position", "/sentiment"}, {"Replied on", "/replied_on"}, {"Public comment", "/public_comment"}, {"Conditions", "/conditions"}},
			Under:   []string{"Public comment", "Conditions"},
			Groups:  []Group{{Title: "By position", Column: "Position"}, {Title: "By deciding authority", Column: "Deciding authority", Councils: true}, {Title: "By council"}},
		},
		{
			ID: "fly-tipping", Title: "Fly-tipping", Standard: "fly-tipping", Chart: "Found on",
			Lead:    "What was tipped, on which land and at what cost. No vehicle, witness or place on the map is in it.",
			Columns: []Column{{"Found on", "/found_on"}, {"Land", "/land"}, {"Waste", "/waste"}, {"Size", "/size"}, {"Pounds", "/cost"}, {"Cleared on", "/cleared_on"}, {"Area", "/lsoa"}},
			Groups:  []Group{{Title: "By land", Column: "Land"}, {Title: "By waste", Column: "Waste"}, {Title: "By size", Column: "Size"}, {Title: "By council"}},
		},
		{
			ID: "components", Title: "Common components", Standard: "component",
			Lead:    "What councils have built that others may use, and under which licence.",
			Columns: []Column{{"Component", "/name"}, {"Reference", "/reference"}, {"Publisher", "/publisher"}, {"Kind", "/kind"}, {"State", "/status"}, {"Function", "/function"}, {"Licence", "/licence"}, {"Where", "/repository"}},
			Under:   []string{"Where"},
			Groups:  []Group{{Title: "By function", Column: "Function"}, {Title: "By licence", Column: "Licence"}, {Title: "By publisher", Column: "Publisher"}},
		},
		{
			ID: "component-uses", Title: "Components in use", Standard: "component-use",
			Lead:    "Who uses which component, by the word that each council has signed itself.",
			Columns: []Column{{"Component", "/component"}, {"Publisher", "/publisher"}, {"Use", "/use"}, {"Since", "/since"}, {"Version", "/version"}, {"Experience", "/experience"}},
			Under:   []string{"Experience"},
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
			ID: "consultations", Title: "Positions in consultations", Standard: "consultation-position",
			Lead:    "What councils say to what a body consults on, such as a new version of a standard, each signed by itself.",
			Columns: []Column{{"Subject", "/subject"}, {"Asked by", "/asked_by"}, {"Position", "/position"}, {"On", "/on"}, {"Decided by", "/decided_by"}, {"Changes asked for", "/changes"}},
			Under:   []string{"Changes asked for"},
			Groups:  []Group{{Title: "By subject", Column: "Subject"}, {Title: "By position", Column: "Position"}},
		},
		{
			ID: "positions", Title: "How many councils hold which position", made: positions, About: []string{"standards.stile.example/challenge-assent", "standards.stile.example/consultation-position"}, Key: []string{"Subject", "Asked by", "Position", "Of"},
			Lead:    "Positions in consultations and on shared challenges, each a record that its council signed, counted against all councils of a kind: whether more than half of them hold it.",
			Columns: []Column{{Title: "Subject"}, {Title: "Asked by"}, {Title: "Position"}, {Title: "Of"}, {Title: "Councils that hold it"}, {Title: "Councils of the kind"}, {Title: "Share"}, {Title: "More than half"}},
			Groups:  []Group{{Title: "More than half", Column: "More than half"}},
		},
		{
			ID: "improvement", Title: "Improvement work", Standard: "improvement-activity", Map: "For",
			Lead:    "Who has had what help, and who has had none: those come first. Who states which needs is in the register of where help is needed.",
			Columns: []Column{{"For", "/councils"}, {"Provider", "/provider"}, {"Kind", "/kind"}, {"Service", "/service"}, {"Begun", "/start_on"}, {"Ended", "/end_on"}, {"Result", "/result"}},
			Under:   []string{"Result"},
			Groups:  []Group{{Title: "By council helped, those with least help first", Column: "For", Every: true}, {Title: "By kind", Column: "Kind"}, {Title: "By service", Column: "Service"}, {Title: "By provider", Column: "Provider"}},
		},
		{
			ID: "needs", Title: "Where help is needed", made: needs, About: []string{"standards.stile.example/improvement-activity", "standards.stile.example/challenge", "standards.stile.example/compliance-statement"}, Key: []string{"Council", "GSS code"}, ordered: true, Map: "GSS code", MapWhere: needsStated,
			Lead:    "Each council with the needs that are stated of it in signed records held here, and the help it had: most needs stated first, and of those with as many, least help first. A need stated is an open challenge of its own, or a problem that it says it shares, in a service in which it had no help, or a standard of which its own node counted no record. Nothing is weighed, and a council that states nothing has no need here.",
			Columns: []Column{{Title: "Council"}, {Title: "GSS code"}, {Title: "Own challenges without help"}, {Title: "Shared problems without help"}, {Title: "Legal standards without records"}, {Title: "Other standards without records"}, {Title: needsStated}, {Title: "Help had"}},
			Groups:  []Group{{Title: "Councils by how many needs are stated", Column: needsStated}},
		},
		{
			ID: "charter", Title: "Suppliers' charter", Standard: "supplier-statement",
			Each: "/standards", also: charter, Key: []string{"Standard"},
			Lead:    "What councils state of their suppliers' products: standards that they speak, how many valid records a council's own node counted from them, and how data gets out. What nobody's node counted is listed and does not count.",
			Columns: []Column{{"Product", "/product"}, {"Supplier", "/supplier"}, {"Standard", "/standards/*/standard"}, {"Valid records", "/standards/*/valid"}, {Title: counted}, {"Held valid", "/standards/*/measured/held_valid"}, {"Held back", "/standards/*/measured/held_back"}, {"Counted at", "/standards/*/measured/at"}, {Title: heldHere}, {Title: entry}, {"Open interface", "/open_interface"}, {"Export free", "/export_free"}, {"Stated on", "/on"}},
			Under:   []string{"Counted at", entry, "Open interface", "Export free", "Stated on"},
			Groups:  []Group{{Title: "By product and standard: councils that hold valid records from it", Column: "Product", And: "Standard", Where: "Held valid"}, {Title: "By supplier", Column: "Supplier"}, {Title: "By standard", Column: "Standard"}},
		},
		{
			ID: "workforce", Title: "Who works for councils", Standard: "workforce-headcount",
			Lead:    "Rounded and suppressed counts of staff. Nobody can be told from them.",
			Columns: []Column{{"Year", "/period"}, {"Characteristic", "/characteristic"}, {"Group", "/group"}, {"Pay band", "/pay_band"}, {"Headcount", "/headcount"}, {"Suppressed", "/suppressed"}},
			Groups:  []Group{{Title: "Counts by characteristic", Column: "Characteristic"}, {Title: "Counts by council"}},
		},
		{
			ID: "workforce-totals", Title: "Staff of councils in all", made: workforce, About: []string{"standards.stile.example/workforce-headcount"}, Key: []string{"Year", "Characteristic", "Pay band", "Group"},
			Lead:    "Rounded counts of staff, added up over the councils that gave them. A group that a council suppressed is in no sum: how many did so stands beside it.",
			Columns: []Column{{Title: "Year"}, {Title: "Characteristic"}, {Title: "Pay band"}, {Title: "Group"}, {Title: "Headcount"}, {Title: "Share"}, {Title: "Councils counted"}, {Title: "Councils that suppressed it"}},
			Groups:  []Group{{Title: "Counts by characteristic", Column: "Characteristic"}},
		},
		{
			ID: "exchanges", Title: "Exchanges that work", Standard: "exchange-case", Goal: Goal{15, "2030"},
			Lead:    "Exchanges by evidence: what really flowed, counted from signed logs by those who sent it.",
			Columns: []Column{{"Exchange", "/exchange"}, {"Agreement", "/agreement"}, {"Mode", "/mode"}, {"To", "/to"}, {"Records", "/records"}, {"Fields withheld", "/fields_withheld"}, {"In time", "/in_time"}, {"Late", "/late"}, {"Counted on", "/counted_on"}, {Title: entry}, {"Log counted", "/log_size"}, {"Root of the log", "/log_root"}},
			Under:   []string{"Mode", entry, "Log counted", "Root of the log"}, also: entries,
			Groups: []Group{{Title: "By exchange in which records flowed", Column: "Exchange", Where: "Records"}, {Title: "By council"}},
		},
		{
			ID: "obligations", Title: "What is mandatory for us", made: obligations, About: []string{"standards.stile.example/compliance-statement"}, Key: []string{"Standard", "Law"}, ours: true, Links: "Source", State: "Are we there",
			Lead:    "What laws ask councils to record or send, since when, and whether we do: whether this council has adopted the standard for it, and keeps records in it. Below each stands what the law's page says of it, and whom it asks where that is not every council.",
			Columns: []Column{{Title: "Title"}, {Title: "Law"}, {Title: "Since"}, {Title: "Adopted"}, {Title: "Our records"}, {Title: "Are we there"}, {Title: "What it says"}, {Title: "Whom it asks"}, {Title: "Source"}, {Title: "Standard"}},
			Under:   []string{"What it says", "Whom it asks", "Source", "Standard"},
			Groups:  []Group{{Title: "Are we there", Column: "Are we there"}},
		},
		{
			ID: "adoption", Title: "Adoption against 70%", made: adoption, About: []string{"standards.stile.example/compliance-statement"}, Key: []string{"Standard", "By", "Group"}, audited: true,
			Lead:    "Which share of councils keeps records in each standard, by the statements they signed, held against 70%.",
			Columns: []Column{{Title: "Standard"}, {Title: "By"}, {Title: "Group"}, {Title: "Councils with records"}, {Title: "Councils of the group"}, {Title: "Share"}, {Title: "70% reached"}},
			Groups:  []Group{{Title: "70% reached", Column: "70% reached"}},
		},
	}
}

// What stands in the register of obligations of a law without records: it waits for ours, or it
// asks other kinds of council than ours.
const (
	notYet     = "not yet"
	otherKinds = "not of our kind of council"
)

// obligations lists what laws ask for: of the standards that this node has adopted, and
// of those that come with Stile and that it has not. A standard behind which more laws than
// one stand has a row for each. A law that does not ask councils of our type says so.
func obligations(ctx context.Context, o node.Operations, now time.Time) (rows []Row, err error) {
	us, err := o.Councils().Show(ctx, node.MemberNameRequest{})
	if err != nil {
		return nil, err
	}
	kind, _ := councils.TypeOf(us.GSS)
	adopted, err := o.Standards().List(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[name.StandardName]bool{}
	add := func(s name.Standard, title string, says standard.Obligation, adopted string, records int) {
		for _, law := range catalogue.Laws(s.Name, says) {
			there := met(law, records, kind, now.UTC().Format(time.DateOnly))
			rows = append(rows, Row{Cells: texts(title, law.Statute, law.From, adopted, strconv.Itoa(records), there, law.Says, law.Who, law.Source, s.String())})
		}
	}
	for _, s := range adopted {
		seen[s.Name.Name] = true
		var says standard.Obligation
		if s.Obligation != nil {
			says = standard.Obligation{Statute: s.Obligation.Statute, From: s.Obligation.From}
		}
		add(s.Name, s.Title, says, "yes", s.Records)
	}
	all, err := catalogue.All()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if m := s.Manifest(); !seen[m.Name.Name] {
			add(m.Name, m.Title, m.Obligation, "no", 0)
		}
	}
	return rows, nil
}

// met says how a council of a kind that has so many records stands to a law on the day today.
func met(law schemas.Duty, records int, kind councils.Type, today string) string {
	switch {
	case records > 0:
		return "yes"
	case !law.On(string(kind)):
		return otherKinds
	case law.Pending || law.From > today:
		return "not asked for yet"
	}
	return notYet
}

// workforce adds up what councils have counted of their staff, by year, characteristic, pay
// band and group.
func workforce(ctx context.Context, o node.Operations, _ time.Time) ([]Row, error) {
	t := &Table{Description: described("workforce")}
	if _, err := t.read(ctx, o); err != nil {
		return nil, err
	}
	return totals(t.Rows), nil
}

// totals adds up rows of year, characteristic, group, pay band, headcount and whether that
// is suppressed. A group has a share of its characteristic only where every group of it was
// counted by the same number of councils and suppressed by none: of a part it would mislead.
func totals(counted []Row) (rows []Row) {
	type band struct{ period, characteristic, pay string }
	type sum struct{ heads, councils, suppressed int }
	bands := map[band]map[string]*sum{}
	for _, r := range counted {
		b, group := band{one(r.Cells[0]), one(r.Cells[1]), one(r.Cells[3])}, one(r.Cells[2])
		if bands[b] == nil {
			bands[b] = map[string]*sum{}
		}
		s := bands[b][group]
		if s == nil {
			s = &sum{}
			bands[b][group] = s
		}
		n, err := strconv.Atoi(one(r.Cells[4]))
		if err != nil || one(r.Cells[5]) == "yes" {
			s.suppressed++
			continue
		}
		s.heads += n
		s.councils++
	}
	for b, groups := range bands {
		all, whole, first := 0, len(groups) > 1, -1
		for _, s := range groups {
			if first < 0 {
				first = s.councils
			}
			whole = whole && s.suppressed == 0 && s.councils == first
			all += s.heads
		}
		for group, s := range groups {
			heads, share := "", ""
			if s.councils > 0 {
				heads = strconv.Itoa(s.heads)
			}
			if whole && all > 0 {
				share = strconv.Itoa((100*s.heads+all/2)/all) + "%" // to the nearest
			}
			rows = append(rows, Row{Cells: texts(b.period, b.characteristic, b.pay, group, heads, share, strconv.Itoa(s.councils), strconv.Itoa(s.suppressed))})
		}
	}
	return rows
}

// described returns a register by its id.
func described(id string) Description {
	all := All()
	return all[slices.IndexFunc(all, func(d Description) bool { return d.ID == id })]
}

// positions counts who holds which position in a consultation or on a challenge, by kinds
// of council.
func positions(ctx context.Context, o node.Operations, now time.Time) ([]Row, error) {
	var taken []Row
	for _, id := range []string{"assents", "consultations"} {
		t := &Table{Description: described(id)}
		if _, err := t.read(ctx, o); err != nil {
			return nil, err
		}
		taken = append(taken, t.Rows...)
	}
	members, err := o.Councils().List(ctx)
	if err != nil {
		return nil, err
	}
	kind := map[name.Council]councils.Type{}
	for _, m := range members {
		if c, ok := councils.ByGSS(m.GSS); ok && c.At(now) {
			kind[m.Council] = c.Type
		}
	}
	of, here := map[councils.Type]int{}, map[name.Council]councils.Type{}
	for _, c := range councils.At(now) {
		of[c.Type]++
	}
	for _, m := range members {
		if m.Role == string(node.RoleCouncil) {
			here[m.Council], _ = councils.TypeOf(m.GSS)
		}
	}
	return tally(taken, kind, of, here), nil
}

// tally counts positions: of rows that begin with subject, who asked, and position, by the
// kind of each council, of as many as there are, and by whether it is one of here, the
// councils of the directory, whose type is "" where it is not known. One that says the same
// twice counts once; who is neither of a kind nor of the directory, for none.
func tally(taken []Row, kind map[name.Council]councils.Type, of map[councils.Type]int, here map[name.Council]councils.Type) (rows []Row) {
	type held struct{ subject, by, position string }
	holds := map[held]map[name.Council]bool{}
	for _, r := range taken {
		h := held{one(r.Cells[0]), one(r.Cells[1]), one(r.Cells[2])}
		if holds[h] == nil {
			holds[h] = map[name.Council]bool{}
		}
		holds[h][r.Council] = true
	}
	for h, who := range holds {
		add := func(title string, n, all int) {
			if n == 0 {
				return
			}
			more := "no"
			if 2*n > all {
				more = "yes"
			}
			rows = append(rows, Row{Cells: texts(h.subject, h.by, h.position, title, strconv.Itoa(n), strconv.Itoa(all), strconv.Itoa(100*n/all)+"%", more)})
		}
		count := func(title string, counts func(councils.Type) bool) {
			n, all := 0, 0
			for c := range who {
				if t, ok := kind[c]; ok && counts(t) {
					n++
				}
			}
			for t, k := range of {
				if counts(t) {
					all += k
				}
			}
			add(title, n, all)
		}
		members := func(title string, counts func(councils.Type) bool) {
			n, all := 0, 0
			for c, t := range here {
				if !counts(t) {
					continue
				}
				if all++; who[c] {
					n++
				}
			}
			add(title, n, all)
		}
		members("councils of the directory", func(councils.Type) bool { return true })
		members("safeguarding authorities of the directory", func(t councils.Type) bool { return t != "" && safeguards(t) })
		count("all councils", func(councils.Type) bool { return true })
		count("safeguarding authorities", safeguards)
		for _, t := range councils.Types() {
			count(string(t), func(other councils.Type) bool { return other == t })
		}
	}
	return rows
}

// safeguards reports whether councils of a type are children's services authorities, as
// section 65(1) of the Children Act 2004 has them for England: all but districts of a
// county.
func safeguards(t councils.Type) bool { return t != councils.District }

func one(vs []string) string { return strings.Join(vs, "; ") }

// target is the share of councils, in percent, that a standard is to reach.
const target = 70

func adoption(ctx context.Context, o node.Operations, _ time.Time) (rows []Row, err error) {
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
		add(string(s.Standard), "directory", "members", s.Adopting, s.Members)
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
