package web

import (
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// judgedMost is how many of our records are judged by a version that somebody thinks of
// adopting, before the page says what it knows.
const judgedMost = 10000

// A shipped standard comes with Stile and is adopted in no version.
type shipped struct {
	Name          name.Standard
	Title, Status string
}

// shippedStandards reads the standards that come with Stile, by title.
func shippedStandards() (out []shipped, err error) {
	all, err := catalogue.All()
	if err != nil {
		return nil, err
	}
	for _, std := range all {
		m := std.Manifest()
		out = append(out, shipped{m.Name, m.Title, string(m.Status)})
	}
	slices.SortFunc(out, func(a, b shipped) int { return strings.Compare(a.Title, b.Title) })
	return out, nil
}

// notAdopted lists those of them of which no version is adopted here.
func (q *request) notAdopted(adopted []node.StandardReply) ([]shipped, error) {
	all, err := q.shipped()
	return slices.DeleteFunc(slices.Clone(all), func(s shipped) bool {
		return slices.ContainsFunc(adopted, func(a node.StandardReply) bool { return a.Name.Name == s.Name.Name })
	}), err
}

// adoptForm says what it would mean to adopt a version of a standard: what breaks, which
// agreements it touches, and how our records fare under it.
func (q *request) adoptForm() error { return q.showAdopt(nil) }

func (q *request) adoptName() string { return q.r.PathValue("publisher") + "/" + q.r.PathValue("name") }

func (q *request) showAdopt(f faults) error {
	in := node.AdoptRequest{Name: q.adoptName()}
	p, err := q.Node.Standards().Preview(q.ctx(), in)
	if err != nil {
		return err
	}
	breaking := 0
	if p.Difference != nil {
		for _, c := range p.Difference.Changes {
			if string(c.Level) == "major" {
				breaking++
			}
		}
	}
	data := map[string]any{"P": p, "Path": path("standards", p.Name), "Breaking": breaking, "May": q.may("standards/adopt"), "MayJudge": q.may("standards/against") && p.Older != nil && p.Records > 0}
	if q.form("judge") != "" && p.Older != nil && q.may("standards/against") {
		judged := node.AgainstReply{}
		ask := node.AgainstRequest{From: p.Older.Line().String(), To: in}
		var faults []node.FaultCount
		for {
			r, err := q.Node.Standards().Against(q.ctx(), ask)
			if err != nil {
				return err
			}
			judged.Total, judged.Mapped = r.Total, r.Mapped
			judged.Examined += r.Examined
			judged.Valid += r.Valid
			judged.Failed += r.Failed
			judged.NotJudged += r.NotJudged
			judged.Damaged += r.Damaged
			for _, x := range r.Faults {
				i := slices.IndexFunc(faults, func(y node.FaultCount) bool { return y.Field == x.Field && y.Rule == x.Rule })
				if i < 0 {
					faults = append(faults, x)
				} else {
					faults[i].Records += x.Records
				}
			}
			if ask.Cursor = r.Cursor; ask.Cursor == "" || judged.Examined >= judgedMost {
				break
			}
		}
		slices.SortStableFunc(faults, func(a, b node.FaultCount) int { return b.Records - a.Records })
		judged.Faults = faults
		data["Judged"] = judged
	}
	status := 0
	if len(f) > 0 {
		status = 422
	}
	return q.render("adopt", page{Title: q.say("adopt.title", p.Title), Back: "/standards", Faults: f, Status: status, Data: data})
}

// adopt takes into use what was shown, and nothing else.
func (q *request) adopt() error {
	p, err := q.Node.Standards().Preview(q.ctx(), node.AdoptRequest{Name: q.adoptName()})
	if err != nil {
		return err
	}
	if q.form("integrity") != p.Integrity {
		return &node.Error{Kind: node.Conflict, Message: q.say("adopt.changed"), Try: q.say("sign.look-again")}
	}
	if q.form("sure") == "" {
		return q.showAdopt(faults{{"sure", q.say("adopt.not-sure")}})
	}
	if _, err := q.Node.Standards().Adopt(q.ctx(), node.AdoptRequest{Name: p.Name.String()}); err != nil {
		return err
	}
	q.Log.Info("a person adopted a standard", "standard", p.Name.String(), "person", q.who.ID)
	return q.done(path("standards", p.Name), "adopted")
}
