package registers

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
	"github.com/stile-exchange/stile/schemas/councils"
)

// needsStated is the column that needs are sorted and mapped by.
const needsStated = "Needs stated"

// A need is what is stated of a council, counted, and the help it had.
type need struct {
	own, shared  int // challenges of its own, problems it shares: without help in that service
	legal, other int // standards of which its node counted no record
	help         int
}

func (n need) stated() int { return n.own + n.shared + n.legal + n.other }

// needs counts of each council of the directory, and each other that a record here tells of,
// what it states that it needs and what help it had, those with most needs first.
func needs(ctx context.Context, o node.Operations, now time.Time) ([]Row, error) {
	var told evidence
	for _, of := range []struct {
		standard string
		pointers []string
		into     *[]Row
	}{
		{"improvement-activity", []string{"/councils", "/service"}, &told.help},
		{"challenge", []string{"/council", "/function", "/phase", "/ended_on", "/reference"}, &told.challenges},
		{"challenge-assent", []string{"/council", "/position", "/lead", "/challenge"}, &told.assents},
	} {
		t := &Table{Description: Description{ID: "needs", Standard: of.standard}}
		for _, p := range of.pointers {
			t.Columns = append(t.Columns, Column{p, p})
		}
		if _, err := t.read(ctx, o); err != nil {
			return nil, err
		}
		*of.into = t.Rows
	}
	a, err := o.Standards().Adoption(ctx, node.AdoptionRequest{})
	if err != nil {
		return nil, err
	}
	told.statements = a.Rows
	all, err := catalogue.All()
	if err != nil {
		return nil, err
	}
	today := now.UTC().Format(time.DateOnly)
	told.laws = map[name.StandardName][]schemas.Duty{}
	for _, s := range all {
		told.laws[s.Name().Name] = catalogue.Laws(s.Name().Name, s.Manifest().Obligation)
	}
	members, err := o.Councils().List(ctx)
	if err != nil {
		return nil, err
	}
	titles := map[string]string{}
	for _, m := range members {
		if m.GSS != "" && m.Role == string(node.RoleCouncil) {
			titles[m.GSS] = m.Title
		}
	}
	return told.rows(titles, today), nil
}

// evidence is what is held of councils: rows of the columns that needs reads, and the newest
// statement of each council on each version of a standard.
type evidence struct {
	help, challenges, assents []Row
	statements                []node.AdoptionRow
	laws                      map[name.StandardName][]schemas.Duty // behind each standard
}

// legal reports whether a law asks the council with a code for records of a standard by today.
func (e *evidence) legal(s name.StandardName, gss, today string) bool {
	kind, _ := councils.TypeOf(gss)
	return slices.ContainsFunc(e.laws[s], func(d schemas.Duty) bool { return met(d, 0, kind, today) == notYet })
}

// rows counts the needs of councils, whose titles are by GSS code those of the directory. It
// returns none where nothing is stated and no help was had.
func (e *evidence) rows(titles map[string]string, today string) (rows []Row) {
	of := map[string]*need{}
	at := func(gss string) *need {
		if of[gss] == nil {
			of[gss] = &need{}
		}
		return of[gss]
	}
	for gss := range titles {
		at(gss)
	}
	type helped struct{ gss, service string }
	had := map[helped]bool{}
	for _, r := range e.help {
		for _, gss := range r.Cells[0] {
			at(gss).help++
			had[helped{gss, inService(one(r.Cells[1]))}] = true
		}
	}
	type challenge struct {
		lead      name.Council
		reference string
	}
	service, over := map[challenge]string{}, map[challenge]bool{}
	for _, r := range e.challenges {
		gss, ended := one(r.Cells[0]), one(r.Cells[3])
		c := challenge{r.Council, one(r.Cells[4])}
		service[c] = inService(one(r.Cells[1]))
		over[c] = slices.Contains([]string{"live", "retired"}, one(r.Cells[2])) || ended != "" && ended <= today
		if gss != "" && !over[c] && !had[helped{gss, service[c]}] {
			at(gss).own++
		}
	}
	for _, r := range e.assents {
		gss, c := one(r.Cells[0]), challenge{name.Council(one(r.Cells[2])), one(r.Cells[3])}
		if shares := one(r.Cells[1]); gss != "" && (shares == "same-problem" || shares == "takes-part") && !over[c] && !had[helped{gss, service[c]}] {
			at(gss).shared++
		}
	}
	type line struct {
		gss string
		std name.StandardName
	}
	records := map[line]int{}
	for _, s := range e.statements {
		if s.GSS != "" {
			records[line{s.GSS, s.Statement.Standard.Name}] += s.Statement.Records
		}
	}
	for l, n := range records {
		switch {
		case n > 0:
		case e.legal(l.std, l.gss, today):
			at(l.gss).legal++
		default:
			at(l.gss).other++
		}
	}
	codes, some := make([]string, 0, len(of)), false
	for gss, n := range of {
		codes = append(codes, gss)
		some = some || n.stated() > 0 || n.help > 0
	}
	if !some {
		return nil
	}
	slices.SortFunc(codes, func(a, b string) int {
		return cmp.Or(cmp.Compare(of[b].stated(), of[a].stated()), cmp.Compare(of[a].help, of[b].help), strings.Compare(a, b))
	})
	for _, gss := range codes {
		n := of[gss]
		c, _ := councils.ByGSS(gss)
		cells := []string{cmp.Or(c.Name, titles[gss], gss), gss}
		for _, k := range []int{n.own, n.shared, n.legal, n.other, n.stated(), n.help} {
			cells = append(cells, strconv.Itoa(k))
		}
		rows = append(rows, Row{Cells: texts(cells...)})
	}
	return rows
}

// inService is a service as help and challenges have it alike: in small letters, its words
// with a hyphen between them. Of one that is not said nothing is known, and no help is in it.
func inService(said string) string {
	if said == "" {
		return "not said"
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(strings.ToLower(said), "-", " ")), "-")
}
