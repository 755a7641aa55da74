package web

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// words returns a page that is nothing but text.
func (s *site) words(which string) handler {
	return func(q *request) error {
		return q.render(which, page{Title: q.say(which + ".title"), Public: true, Data: q.Options})
	}
}

func (q *request) front() error {
	r, err := q.snapshot()
	if err != nil {
		return err
	}
	return q.render("front", page{Title: q.Title, Public: true, Data: r.Register})
}

func (q *request) securityText() error {
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	contact := q.Contact
	if contact == "" {
		contact = "https://" + string(q.Council)
	} else if strings.Contains(contact, "@") {
		contact = "mailto:" + contact
	}
	// RFC 9116: it must say until when it holds.
	until := q.Now().UTC().AddDate(0, 6, 0).Truncate(24 * time.Hour)
	_, err := fmt.Fprintf(q.w, "Contact: %s\nExpires: %s\nPreferred-Languages: en, cy\n", contact, until.Format(time.RFC3339))
	return err
}

func (q *request) standardList() error {
	all, err := q.Node.Standards().List(q.public())
	if err != nil {
		return err
	}
	published, err := q.Node.Published().List(q.public())
	if err != nil {
		return err
	}
	type line struct {
		node.StandardReply
		Path string
	}
	var lines []line
	for _, s := range all {
		if q.who == nil {
			s.Records = 0
		}
		lines = append(lines, line{s, path("standards", s.Name)})
	}
	data := map[string]any{"Adopted": lines, "Published": published, "MayPreview": q.may("standards/preview")}
	if q.may("standards/preview") {
		if data["Shipped"], err = q.notAdopted(all); err != nil {
			return err
		}
	}
	return q.render("standards", page{Title: q.say("standards.title"), Public: true, Data: data})
}

// A field of a standard as a page shows it.
type standardField struct {
	intake.Place
	Class standard.Class
	Key   bool
}

func (q *request) standardOne() error {
	named := q.r.PathValue("publisher") + "/" + q.r.PathValue("name")
	s, err := q.Node.Standards().Show(q.public(), node.StandardRequest{Name: named})
	if err != nil {
		return err
	}
	if q.who == nil {
		s.Records = 0
	}
	std, err := q.standard(s.Name.String())
	if err != nil {
		return err
	}
	var fields []standardField
	for _, p := range intake.Places(std) {
		fields = append(fields, standardField{p, std.Class(p.To), slices.Contains(std.Manifest().Key, p.To)})
	}
	valid, invalid := std.Examples()
	all, err := q.Node.Standards().List(q.public())
	if err != nil {
		return err
	}
	// The newest version before it, to say what changed since.
	var older *standard.Standard
	for _, o := range all {
		if o.Name.Name == s.Name.Name && o.Name.Version.Compare(s.Name.Version) < 0 && (older == nil || older.Name().Version.Compare(o.Name.Version) < 0) {
			if older, err = q.standard(o.Name.String()); err != nil {
				return err
			}
		}
	}
	var newer []name.Standard // published, and not adopted
	if q.may("standards/preview") {
		published, err := q.Node.Published().List(q.public())
		if err != nil {
			return err
		}
		for _, p := range published {
			if p.Name.Name == s.Name.Name && !p.Adopted && p.Name.Version.Compare(s.Name.Version) > 0 {
				newer = append(newer, p.Name)
			}
		}
	}
	var changes *standard.Difference
	if older != nil {
		changes = standard.Compare(older, std)
	}
	return q.render("standard", page{Title: s.Title, Public: true, Back: "/standards", Data: map[string]any{
		"S": s, "Manifest": std.Manifest(), "Fields": fields, "Valid": valid, "Invalid": invalid, "Changes": changes, "Newer": newer, "Path": path("standards", s.Name),
	}})
}

// standard returns an adopted standard to look into.
func (q *request) standard(named string) (*standard.Standard, error) {
	a, err := q.Node.Standards().Archive(q.public(), node.StandardRequest{Name: named})
	if err != nil {
		return nil, err
	}
	return standard.LoadArchive(a.Archive)
}

func (q *request) standardArchive() error {
	named := q.r.PathValue("publisher") + "/" + q.r.PathValue("name")
	a, err := q.Node.Standards().Archive(q.public(), node.StandardRequest{Name: named})
	if err != nil {
		return err
	}
	return q.download("application/zip", strings.ReplaceAll(named, "/", "-")+".zip", a.Archive)
}

// download sends a file to be kept.
func (q *request) download(kind, file string, b []byte) error {
	h := q.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.@", r) {
			return r
		}
		return '-'
	}, file)))
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, err := q.w.Write(b)
	return err
}

func (q *request) adoptionOf() (node.Adoption, node.AdoptionRequest, error) {
	in := node.AdoptionRequest{Standard: q.form("standard")}
	if day := q.form("at"); day != "" {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return node.Adoption{}, in, &node.Error{Kind: node.Usage, Message: q.say("adoption.day-wrong")}
		}
		in.At = at
	}
	a, err := q.Node.Standards().Adoption(q.public(), in)
	return a, in, err
}

func (q *request) adoption() error {
	a, in, err := q.adoptionOf()
	if err != nil {
		return err
	}
	options := []option{opt("", q.say("adoption.every"))}
	all, err := q.Node.Standards().List(q.public())
	if err != nil {
		return err
	}
	var seen []string
	for _, s := range all {
		if n := string(s.Name.Name); !slices.Contains(seen, n) {
			seen = append(seen, n)
			options = append(options, opt(n, s.Title))
		}
	}
	hexes, err := q.hexMap(a)
	if err != nil {
		return err
	}
	audits, err := q.audits()
	if err != nil {
		return err
	}
	return q.render("adoption", page{Title: q.say("adoption.title"), Public: true, Wide: true, Data: map[string]any{
		"A": a, "In": in, "Options": options, "Trends": q.trends(a.Trend), "Matrix": matrixOf(a), "Hexes": hexes, "Audits": audits,
	}})
}

// audits are those of adoption, as old as the register of it is. Statements and draws are
// shown to everybody, the register and its files to those whom the council shows them to.
func (q *request) audits() (auditsShown, error) {
	all := registers.All()
	t, err := q.open.read(q.public(), all[slices.IndexFunc(all, func(d registers.Description) bool { return d.ID == "adoption" })])
	if err != nil {
		return auditsShown{}, err
	}
	file := t.DrawnFile()
	if !q.sees(t.ID) {
		file = ""
	}
	return auditsOf(t.Audits, file, false), nil
}

// A matrix says which council keeps which standard.
type matrix struct {
	Standards []name.StandardName
	Rows      []matrixRow
}

type matrixRow struct {
	Council name.Council
	Title   string
	Records []int // by standard; -1 for no statement
}

func matrixOf(a node.Adoption) (m matrix) {
	for _, s := range a.Shares {
		m.Standards = append(m.Standards, s.Standard)
	}
	for _, r := range a.Rows {
		if len(m.Rows) == 0 || m.Rows[len(m.Rows)-1].Council != r.Council {
			row := matrixRow{Council: r.Council, Title: r.Title, Records: make([]int, len(m.Standards))}
			for i := range row.Records {
				row.Records[i] = -1
			}
			m.Rows = append(m.Rows, row)
		}
		if i := slices.Index(m.Standards, r.Statement.Standard.Name); i >= 0 {
			row := &m.Rows[len(m.Rows)-1]
			row.Records[i] = max(row.Records[i], 0) + r.Statement.Records
		}
	}
	return m
}

// A trend is how one standard came to where it is, as a drawing and as a table.
type trend struct {
	Standard name.StandardName
	Points   []node.AdoptionPoint
	Drawing  template.HTML
}

func (q *request) trends(points []node.AdoptionPoint) (out []trend) {
	for _, p := range points {
		if len(out) == 0 || out[len(out)-1].Standard != p.Standard {
			out = append(out, trend{Standard: p.Standard})
		}
		t := &out[len(out)-1]
		t.Points = append(t.Points, p)
	}
	for i := range out {
		t := &out[i]
		const w, h, pad = 640, 160, 30
		most := 1
		for _, p := range t.Points {
			most = max(most, p.Councils)
		}
		var line, dots strings.Builder
		for j, p := range t.Points {
			x, y := pad, h-pad-(h-2*pad)*p.Councils/most
			if len(t.Points) > 1 {
				x = pad + (w-2*pad)*j/(len(t.Points)-1)
			}
			fmt.Fprintf(&line, "%d,%d ", x, y)
			fmt.Fprintf(&dots, `<circle cx="%d" cy="%d" r="5" fill="#00625a"/>`, x, y)
		}
		t.Drawing = template.HTML(fmt.Sprintf(`<svg class="stile-chart" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s"><path d="M%d %dH%d" stroke="#484949"/><text x="%d" y="%d" font-size="15" fill="#0b0c0c">0</text><text x="%d" y="%d" font-size="15" fill="#0b0c0c">%d</text><polyline points="%s" fill="none" stroke="#00625a" stroke-width="3"/>%s</svg>`,
			w, h, w, h, attr(q.say("adoption.trend-of", t.Standard)), pad, h-pad, w-pad, 8, h-pad+5, 8, pad+5, most, strings.TrimSpace(line.String()), dots.String()))
	}
	return out
}

func (q *request) adoptionCSV() error {
	a, _, err := q.adoptionOf()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"council", "title", "gss", "region", "type", "standard", "computed_on", "records", "first_offers_seen", "first_offers_valid", "held_back", "partners_served"})
	for _, r := range a.Rows {
		s := r.Statement
		w.Write([]string{string(r.Council), safeCell(r.Title), r.GSS, r.Region, r.Type, s.Standard.String(), s.ComputedOn, strconv.Itoa(s.Records), strconv.Itoa(s.Offers.Seen), strconv.Itoa(s.Offers.Valid), strconv.Itoa(s.Held), strconv.Itoa(s.Partners.Served)})
	}
	w.Flush()
	return q.download("text/csv; charset=utf-8", "adoption-"+a.At+".csv", b.Bytes())
}

// safeCell keeps a spreadsheet from reading a text as a formula.
func safeCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (q *request) verifyForm() error {
	return q.render("verify", page{Title: q.say("verify.title"), Public: true})
}

// verify checks a bundle, or a receipt, by the keys in this node's directory.
func (q *request) verify() error {
	wrong := func(text any) error {
		return q.render("verify", page{Title: q.say("verify.title"), Public: true, Status: http.StatusUnprocessableEntity, Faults: faults{{"file", text}}})
	}
	f, head, err := q.r.FormFile("file")
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return large
	}
	if err != nil {
		return wrong(q.say("verify.none"))
	}
	defer f.Close()
	trust, err := q.trust()
	if err != nil {
		return err
	}
	start := make([]byte, 2)
	n, _ := io.ReadFull(f, start)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var report *audit.Report
	if n == 2 && string(start) == "PK" {
		report, err = audit.Verify(f, head.Size, audit.Options{Trust: trust, Parallel: 1})
	} else if head.Size > 4<<20 {
		return wrong(q.say("verify.neither"))
	} else {
		var b []byte
		if b, err = io.ReadAll(f); err != nil {
			return err
		}
		report, err = audit.VerifyToken(b, nil, audit.Options{Trust: trust})
	}
	if err != nil {
		return wrong(q.say("verify.neither"))
	}
	return q.render("verified", page{Title: q.say("verify.result"), Public: true, Back: "/verify", Data: report})
}

// trust is the members of the directory that this node follows.
func (q *request) trust() (t audit.Trust, err error) {
	all, err := q.Node.Councils().List(q.public())
	if err != nil {
		return t, err
	}
	for _, m := range all {
		one, err := q.Node.Councils().Show(q.public(), node.MemberNameRequest{Council: string(m.Council)})
		if err != nil {
			return t, err
		}
		member, err := directory.ParseMember([]byte(one.Document))
		if err != nil {
			return t, err
		}
		t.Members = append(t.Members, member)
	}
	return t, nil
}
