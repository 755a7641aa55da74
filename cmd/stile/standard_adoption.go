package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

func (a *app) standardAdoptionCommand() *cobra.Command {
	v := &adoptionView{app: a}
	c := &cobra.Command{
		Use:   "adoption [STANDARD]",
		Short: "Show which councils comply with which standards, from their statements",
		Long: `Adoption gathers the compliance statements that other councils share with this
node, and its own, and shows for each council the newest one about each version
of a standard: records, share that was valid when first offered, share that is
fresh, and partners that may have them. A council has adopted a standard when it
has records in it.

Shares are given twice: of the members of the directory that are councils, and of
all English councils, by the codes that the directory gives its members and the
list that comes with Stile (stile council reference).

What a statement says is the word of the council that signed it. One that speaks
for another council, or cannot be true in itself, is shown as refused and counts
for nothing. An auditor can count again: stile audit adoption.

With --sample and --seed it draws so many statements, as "stile audit draw" does, which
says more of it and signs what was drawn.`,
		Example: `  stile standard adoption
  stile standard adoption brownfield-site --by region
  stile standard adoption --trend --csv > trend.csv
  stile standard adoption --sample 12 --seed "audit board, 14 January" --json > drawn.json`,
		Args: takes(0, 1, "at most one standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case v.by != "" && v.by != "region" && v.by != "type":
				return misused("--by wants region or type")
			case v.by != "" && v.trend:
				return misused("--by shows one day and --trend many: choose one")
			case (v.sample.Size > 0) != (v.sample.Seed != ""):
				return misused("--sample and --seed belong together")
			case v.sample.Size > 0 && (v.by != "" || v.trend || v.csv):
				return misused("--sample draws statements: it goes with --at and --json alone")
			case v.csv && v.json:
				return misused("choose one of --csv and --json")
			}
			req, err := v.request(args)
			if err != nil {
				return err
			}
			r, err := a.node().Standards().Adoption(cmd.Context(), req)
			if err != nil {
				return err
			}
			if v.sample.Size > 0 {
				d := registers.DrawFrom(&r, v.sample)
				d.Standard = req.Standard
				return v.printDraw(d)
			}
			return v.print(&r)
		},
	}
	f := c.Flags()
	f.BoolVar(&v.trend, "trend", false, "show how it came about, day by day")
	f.StringVar(&v.by, "by", "", "count by `region` or type, instead of listing councils")
	f.StringVar(&v.at, "at", "", "as at the end of this `date`; default now")
	f.BoolVar(&v.csv, "csv", false, "print CSV")
	f.IntVar(&v.sample.Size, "sample", 0, "draw this `number` of statements, by --seed")
	f.StringVar(&v.sample.Seed, "seed", "", "`words` to draw by")
	return c
}

type adoptionView struct {
	*app
	trend, csv bool
	by, at     string
	sample     audit.Sample
}

// request is what the node is asked for, of a standard at most and as at the day of --at.
func (v *adoptionView) request(args []string) (node.AdoptionRequest, error) {
	req := node.AdoptionRequest{Standard: strings.Join(args, "")}
	if v.sample.Size < 0 || v.sample.Size > audit.MaxSample || len(v.sample.Seed) > audit.MaxSeed {
		return req, misused("a draw is of 1 to %d statements, by words of at most %d bytes", audit.MaxSample, audit.MaxSeed)
	}
	if v.at != "" {
		day, err := time.Parse(time.DateOnly, v.at)
		if err != nil {
			return req, misused("--at wants a date such as 2026-11-22")
		}
		req.At = day
	}
	return req, nil
}

func (v *adoptionView) print(r *node.Adoption) error {
	if v.json {
		return v.emit(r)
	}
	head, rows := v.matrix(r)
	switch {
	case v.trend:
		head, rows = v.history(r)
	case v.by != "":
		head, rows = v.groups(r)
	}
	if v.csv {
		if !v.trend && v.by == "" {
			head, rows = plain(r)
		}
		for i, h := range head {
			head[i] = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(h, "#"), " ", "_"))
		}
		w := newSheet(v.out)
		w.row(head...)
		for _, row := range rows {
			w.row(row...)
		}
		v.refused(r)
		return w.close()
	}
	if len(r.Rows) == 0 {
		v.say("no statement is held here; a council shares its own by an agreement on compliance-statement")
		v.refused(r)
		return nil
	}
	t := newTable(head...)
	for _, row := range rows {
		t.add(row...)
	}
	t.write(v.out, "")
	if !v.trend && v.by == "" {
		v.shares(r)
	}
	v.refused(r)
	return nil
}

// maxColumns is how many standards have a column of their own in the matrix.
const maxColumns = 5

// matrix is councils by standards: with one standard a column for each figure,
// with several a column for each standard, with many a row for each statement.
func (v *adoptionView) matrix(r *node.Adoption) (head []string, rows [][]string) {
	var stds []name.StandardName
	for _, s := range r.Shares {
		stds = append(stds, s.Standard)
	}
	if len(stds) <= 1 {
		head = []string{"COUNCIL", "REGION", "VERSION", "#RECORDS", "#VALID", "#FRESH", "#PARTNERS", "COUNTED"}
		for _, x := range r.Rows {
			s := x.Statement
			rows = append(rows, []string{string(x.Council), dash(x.Region), s.Standard.Version.String(), number(s.Records),
				percent(s.Offers.Valid, s.Offers.Seen), freshShare(s), number(s.Partners.Served), s.ComputedOn})
		}
		return head, rows
	}
	if len(stds) > maxColumns {
		head = []string{"COUNCIL", "REGION", "STANDARD", "#RECORDS", "#VALID", "#FRESH", "#PARTNERS", "COUNTED"}
		for _, x := range r.Rows {
			s := x.Statement
			rows = append(rows, []string{string(x.Council), dash(x.Region), s.Standard.String(), number(s.Records),
				percent(s.Offers.Valid, s.Offers.Seen), freshShare(s), number(s.Partners.Served), s.ComputedOn})
		}
		return head, rows
	}
	head = []string{"COUNCIL", "REGION"}
	for _, s := range stds {
		slug := s.Slug()
		if slices.ContainsFunc(stds, func(o name.StandardName) bool { return o != s && o.Slug() == slug }) {
			slug = string(s)
		}
		head = append(head, strings.ToUpper(slug))
	}
	for _, x := range r.Rows {
		if len(rows) == 0 || rows[len(rows)-1][0] != string(x.Council) {
			row := make([]string, len(head))
			row[0], row[1] = string(x.Council), dash(x.Region)
			for i := 2; i < len(row); i++ {
				row[i] = "-"
			}
			rows = append(rows, row)
		}
		s := x.Statement
		cell := fmt.Sprintf("%s: %s, %s, %s, %s", s.Standard.Version, number(s.Records), percent(s.Offers.Valid, s.Offers.Seen), freshShare(s), number(s.Partners.Served))
		at := &rows[len(rows)-1][2+slices.Index(stds, s.Standard.Name)]
		if *at == "-" {
			*at = cell
		} else {
			*at += "; " + cell
		}
	}
	return head, rows
}

func freshShare(s node.Statement) string {
	if s.Freshness == nil {
		return "-"
	}
	return percent(s.Freshness.Fresh, s.Records-s.Damaged)
}

// shares says under the matrix how many councils have adopted each standard.
func (v *adoptionView) shares(r *node.Adoption) {
	if n := len(r.Shares); n > 1 && n <= maxColumns {
		v.printf("each: version, records, valid when first offered, fresh, partners\n")
	}
	for _, s := range r.Shares {
		v.printf("\n%s on %s: %s\n", s.Standard, r.At, plural(s.Councils, "council has records", "councils have records"))
		v.printf("  members   %s\n", part(s.Adopting, s.Members))
		v.printf("  England   %s\n", part(s.English, s.England))
		for _, g := range r.Types {
			if g.Standard == s.Standard && g.Adopting > 0 {
				c := councils.Type(g.Group)
				v.printf("    %-22s %s\n", c, part(g.Adopting, g.England))
			}
		}
	}
}

// refused says aloud which statements count for nothing.
func (v *adoptionView) refused(r *node.Adoption) {
	for i, x := range r.Refused {
		if i == shownRows {
			v.say("and %s more were refused; --json lists them", number(len(r.Refused)-i))
			break
		}
		v.say("refused: statement %s that %s signed: %s", x.Record, x.Issuer, x.Because)
	}
}

func (v *adoptionView) groups(r *node.Adoption) (head []string, rows [][]string) {
	list := r.Regions
	if v.by == "type" {
		list = r.Types
	}
	head = []string{"STANDARD", strings.ToUpper(v.by), "#ADOPTING", "#MEMBERS", "#ENGLAND", "#SHARE OF ENGLAND"}
	for _, g := range list {
		share := percent(g.Adopting, g.England)
		if v.csv {
			share = bare(g.Adopting, g.England)
		}
		rows = append(rows, []string{string(g.Standard), g.Group, strconv.Itoa(g.Adopting), strconv.Itoa(g.Members), strconv.Itoa(g.England), share})
	}
	return head, rows
}

func (v *adoptionView) history(r *node.Adoption) (head []string, rows [][]string) {
	head = []string{"STANDARD", "DAY", "#COUNCILS", "#RECORDS", "#VALID", "#FRESH", "#PARTNERS"}
	show, count := percent, number[int]
	if v.csv {
		show, count = bare, strconv.Itoa
	}
	for _, p := range r.Trend {
		rows = append(rows, []string{string(p.Standard), p.Day, count(p.Councils), count(p.Records), show(p.Valid, p.Seen), show(p.Fresh, p.Dated), count(p.Served)})
	}
	return head, rows
}

// bare is a percentage for a spreadsheet; "" of nothing.
func bare(n, of int) string {
	return strings.TrimSuffix(strings.ReplaceAll(percent(n, of), "-", ""), "%")
}

// cell is somebody else's text as it can stand in a spreadsheet: nothing that
// one would take for a formula.
func cell(s string) string {
	s = clean(s)
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// plain is the matrix for a spreadsheet: a row for each statement, with every
// figure that is one number.
func plain(r *node.Adoption) (head []string, rows [][]string) {
	head = []string{"council", "title", "gss", "region", "type", "member", "standard", "version", "computed_at", "records", "first_offers", "valid_at_once", "valid_percent",
		"held_back", "fresh_within", "fresh", "fresh_percent", "partners_served", "offered", "delivered", "acknowledged", "received", "received_used", "log_size"}
	for _, x := range r.Rows {
		s := x.Statement
		within, fresh, share := "", "", ""
		if f := s.Freshness; f != nil {
			within, fresh, share = f.Within, strconv.Itoa(f.Fresh), bare(f.Fresh, s.Records-s.Damaged)
		}
		n := strconv.Itoa
		rows = append(rows, []string{string(x.Council), cell(x.Title), x.GSS, x.Region, x.Type, yesNo(x.Member), string(s.Standard.Name), s.Standard.Version.String(),
			s.ComputedAt.UTC().Format(time.RFC3339), n(s.Records), n(s.Offers.Seen), n(s.Offers.Valid), bare(s.Offers.Valid, s.Offers.Seen), n(s.Held),
			within, fresh, share, n(s.Partners.Served), n(s.Partners.Offered), n(s.Partners.Delivered), n(s.Partners.Acknowledged),
			n(s.Received.Records), n(s.Received.Used), strconv.FormatUint(s.Checkpoint.Size, 10)})
	}
	return head, rows
}
