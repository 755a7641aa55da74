package exchange

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A MadeUp is a file as a council's system would write it, made up from a seed. Nobody and
// nothing in it is real.
type MadeUp struct {
	File    string   `yaml:"file"` // *.csv has Columns; *.ndjson has Record
	Form    string   `yaml:"form"` // what would write such a file, and whether its form is a real one, in a sentence or two
	Each    string   `yaml:"each"` // a group of councils, each of which has such a file, with other rows
	Seed    uint64   `yaml:"seed"`
	Rows    int      `yaml:"rows"`
	Columns []Column `yaml:"columns"`
	Record  Tree     `yaml:"record"`
	// Mistakes are those that real files have: rows in which cells are not what they
	// ought to be.
	Mistakes []Mistake `yaml:"mistakes"`

	whose Council
	today time.Time // see [Exchange.On]
}

// of is the file of one council of the group.
func (m MadeUp) of(c Council) MadeUp {
	m.whose, m.Each = c, ""
	for _, b := range []byte(c.Name) {
		m.Seed = m.Seed*131 + uint64(b)
	}
	return m
}

// A Column is a heading and how its cells are made up.
//
// A text is taken as it stands, but for what is in braces:
//
//	{n} {n 4} {n 4 3 2}             the number of the row, with so many digits; 2, 5, 8 … as every third from the second
//	{pick A|B|C}                    one of them
//	{cycle A|B|C}                   one after the other, from row to row
//	{until 40 A|B}                  A up to row 40, then B
//	{date 2026-01-01 2026-06-30}    a day between them; what follows is its form, such as 02/01/2006 or 2 Jan 2006
//	{in 5 30}                       a day so many days after that of the run, or before it where they are less than 0; a form may follow
//	{int 1 500} {decimal 0.05 4 2}  a number between them, with so many decimals
//	{forename} {surname} {street} {town} {postcode}
//	{nino} {nhs} {upn} {uprn} {usrn} {urn} {company} {uuid}
//	{by HEADING A=x|B=y}            x where this row has A under an earlier heading, y where it has B
//	{cell HEADING}                  what this row has under an earlier heading
//	{council} {label} {title} {gss} of the council whose file it is, in a file of a group
type Column struct {
	Heading string  `yaml:"heading"`
	Cell    string  `yaml:"cell"`
	Chance  float64 `yaml:"chance"` // how often it is filled; 0: always
}

// A Mistake sets cells of one row.
type Mistake struct {
	Row int               `yaml:"row"` // from 1
	Set map[string]string `yaml:"set"` // heading to text; of a record the name of a member at its top
}

// A Tree is a JSON value whose texts are made up as cells are. A text that begins with "="
// is a number or true or false, and a member "$chance" says how often the object is there.
type Tree struct{ node *yaml.Node }

// UnmarshalYAML keeps the value as it stands.
func (t *Tree) UnmarshalYAML(n *yaml.Node) error { t.node = n; return nil }

func (m MadeUp) check() error {
	csvFile := path.Ext(m.File) == ".csv"
	switch {
	case m.File == "" || path.Base(m.File) != m.File:
		return fmt.Errorf("file: %q is no name of a file", m.File)
	case !csvFile && path.Ext(m.File) != ".ndjson":
		return fmt.Errorf("file: %q ends in neither .csv nor .ndjson", m.File)
	case strings.TrimSpace(m.Form) == "":
		return fmt.Errorf("form: is empty: say what would write %s, and whether its form is real", m.File)
	case m.Rows < 1 || m.Rows > maxRows:
		return fmt.Errorf("rows: want 1 to %d", maxRows)
	case csvFile != (len(m.Columns) > 0), csvFile == (m.Record.node != nil):
		return errors.New("want columns in a CSV file, and record in an NDJSON file")
	}
	for _, x := range m.Mistakes {
		if x.Row < 1 || x.Row > m.Rows {
			return fmt.Errorf("mistakes: there is no row %d", x.Row)
		}
	}
	_, err := m.rows(1)
	return err
}

// Make returns the file.
func (m MadeUp) Make() ([]byte, error) {
	rows, err := m.rows(m.Rows)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if len(m.Columns) == 0 {
		for _, r := range rows {
			line, err := json.Marshal(r.tree)
			if err != nil {
				return nil, err
			}
			b.Write(append(line, '\n'))
		}
		return b.Bytes(), nil
	}
	w := csv.NewWriter(&b)
	var headings []string
	for _, c := range m.Columns {
		headings = append(headings, c.Heading)
	}
	w.Write(headings)
	for _, r := range rows {
		w.Write(r.cells)
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// cell returns one cell of the file, or a member of a record by its JSON pointer.
func (m MadeUp) cell(row, column string) (string, error) {
	n, err := strconv.Atoi(row)
	if err != nil || n < 1 || n > m.Rows {
		return "", fmt.Errorf("there is no row %s", row)
	}
	rows, err := m.rows(n)
	if err != nil {
		return "", err
	}
	r := rows[n-1]
	if i := slices.IndexFunc(m.Columns, func(c Column) bool { return c.Heading == column }); i >= 0 {
		return r.cells[i], nil
	}
	var v any = r.tree
	for _, key := range strings.Split(strings.TrimPrefix(column, "/"), "/") {
		o, ok := v.(map[string]any)
		if !ok {
			return "", fmt.Errorf("there is no %q", column)
		}
		v = o[key]
	}
	if v == nil {
		return "", fmt.Errorf("there is no %q", column)
	}
	return fmt.Sprint(v), nil
}

// A row is a line of the file.
type row struct {
	cells []string
	tree  any
}

func (m MadeUp) rows(n int) ([]row, error) {
	out := make([]row, 0, n)
	for i := 1; i <= n; i++ {
		g := &maker{r: rand.New(rand.NewPCG(m.Seed, uint64(i))), n: i, whose: m.whose, today: m.today, had: map[string]string{}}
		var r row
		for _, c := range m.Columns {
			text := ""
			if c.Chance == 0 || g.r.Float64() < c.Chance {
				var err error
				if text, err = g.text(c.Cell); err != nil {
					return nil, fmt.Errorf("column %q: %w", c.Heading, err)
				}
			}
			g.had[c.Heading] = text
			r.cells = append(r.cells, text)
		}
		if m.Record.node != nil {
			v, _, err := g.tree(m.Record.node)
			if err != nil {
				return nil, err
			}
			r.tree = v
		}
		for _, x := range m.Mistakes {
			if x.Row == i {
				if err := m.spoil(&r, x.Set); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func (m MadeUp) spoil(r *row, set map[string]string) error {
	for heading, text := range set {
		if o, ok := r.tree.(map[string]any); ok {
			if o[heading] = text; text == "" {
				delete(o, heading)
			}
			continue
		}
		i := slices.IndexFunc(m.Columns, func(c Column) bool { return c.Heading == heading })
		if i < 0 {
			return fmt.Errorf("mistakes: there is no column %q", heading)
		}
		r.cells[i] = text
	}
	return nil
}

// A maker makes up one row.
type maker struct {
	r     *rand.Rand
	n     int
	whose Council
	today time.Time
	had   map[string]string
}

func (g *maker) tree(n *yaml.Node) (v any, there bool, err error) {
	switch n.Kind {
	case yaml.MappingNode:
		o := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if key == "$chance" {
				p, err := strconv.ParseFloat(n.Content[i+1].Value, 64)
				if err != nil {
					return nil, false, fmt.Errorf("line %d: $chance wants a number", n.Content[i].Line)
				}
				if g.r.Float64() >= p {
					return nil, false, nil
				}
				continue
			}
			v, there, err := g.tree(n.Content[i+1])
			if err != nil {
				return nil, false, err
			}
			if there {
				o[key] = v
			}
			if s, ok := v.(string); ok {
				g.had[key] = s
			}
		}
		return o, true, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			v, there, err := g.tree(c)
			if err != nil {
				return nil, false, err
			}
			if there {
				list = append(list, v)
			}
		}
		return list, true, nil
	case yaml.ScalarNode:
		text, err := g.text(strings.TrimPrefix(n.Value, "="))
		if err != nil {
			return nil, false, fmt.Errorf("line %d: %w", n.Line, err)
		}
		if !strings.HasPrefix(n.Value, "=") {
			return text, text != "", nil
		}
		if text == "true" || text == "false" {
			return text == "true", true, nil
		}
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return nil, false, fmt.Errorf("line %d: %q is no number", n.Line, text)
		}
		return json.Number(text), true, nil
	}
	return nil, false, fmt.Errorf("line %d: want a value, a list or a mapping", n.Line)
}

var inBraces = regexp.MustCompile(`\{[^{}]*\}`)

func (g *maker) text(t string) (string, error) {
	var failed error
	out := inBraces.ReplaceAllStringFunc(t, func(s string) string {
		word, rest, _ := strings.Cut(s[1:len(s)-1], " ")
		f, ok := fills[word]
		if !ok {
			failed = fmt.Errorf("%s: nothing is called %q", s, word)
			return s
		}
		v, err := f(g, rest)
		if err != nil {
			failed = fmt.Errorf("%s: %w", s, err)
		}
		return v
	})
	return out, failed
}

// fills are the words that stand in braces.
var fills = map[string]func(*maker, string) (string, error){
	"n": func(g *maker, s string) (string, error) {
		of := [3]int{1, 1, 1} // digits, step, first
		for i, f := range strings.Fields(s) {
			if i == len(of) {
				return "", errors.New("want at most digits, step and first number")
			}
			var err error
			if of[i], err = strconv.Atoi(f); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("%0*d", of[0], of[2]+(g.n-1)*of[1]), nil
	},
	"pick": func(g *maker, s string) (string, error) { return g.pick(strings.Split(s, "|")), nil },
	"cycle": func(g *maker, s string) (string, error) {
		list := strings.Split(s, "|")
		return list[(g.n-1)%len(list)], nil
	},
	"until": func(g *maker, s string) (string, error) {
		last, rest, _ := strings.Cut(s, " ")
		n, err := strconv.Atoi(last)
		first, then, ok := strings.Cut(rest, "|")
		if err != nil || !ok {
			return "", errors.New("want the number of a row, and two texts with | between them")
		}
		if g.n <= n {
			return first, nil
		}
		return then, nil
	},
	"date": func(g *maker, s string) (string, error) {
		f := strings.Fields(s)
		if len(f) < 2 {
			return "", errors.New("want two days")
		}
		from, err := time.Parse(time.DateOnly, f[0])
		to, err2 := time.Parse(time.DateOnly, f[1])
		if err := errors.Join(err, err2); err != nil || to.Before(from) {
			return "", fmt.Errorf("want two days, the earlier first: %w", err)
		}
		form := time.DateOnly
		if len(f) > 2 {
			form = strings.Join(f[2:], " ")
		}
		days := int(to.Sub(from).Hours() / 24)
		return from.AddDate(0, 0, g.r.IntN(days+1)).Format(form), nil
	},
	"in": func(g *maker, s string) (string, error) {
		f := strings.Fields(s)
		if len(f) < 2 {
			return "", errors.New("want two numbers of days")
		}
		low, err := strconv.Atoi(f[0])
		high, err2 := strconv.Atoi(f[1])
		if err := errors.Join(err, err2); err != nil || high < low {
			return "", fmt.Errorf("want two numbers of days, the smaller first: %w", err)
		}
		form := time.DateOnly
		if len(f) > 2 {
			form = strings.Join(f[2:], " ")
		}
		today := g.today
		if today.IsZero() {
			today = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
		}
		return today.UTC().AddDate(0, 0, low+g.r.IntN(high-low+1)).Format(form), nil
	},
	"int": func(g *maker, s string) (string, error) {
		var low, high int
		if _, err := fmt.Sscan(s, &low, &high); err != nil || high < low {
			return "", errors.New("want two whole numbers, the smaller first")
		}
		return strconv.Itoa(low + g.r.IntN(high-low+1)), nil
	},
	"decimal": func(g *maker, s string) (string, error) {
		var low, high float64
		var places int
		if _, err := fmt.Sscan(s, &low, &high, &places); err != nil || high < low {
			return "", errors.New("want two numbers, the smaller first, and how many decimals")
		}
		return strconv.FormatFloat(low+g.r.Float64()*(high-low), 'f', places, 64), nil
	},
	"cell": func(g *maker, s string) (string, error) {
		v, ok := g.had[s]
		if !ok {
			return "", fmt.Errorf("%q stands under no earlier heading", s)
		}
		return v, nil
	},
	"by": func(g *maker, s string) (string, error) {
		heading, rest, _ := strings.Cut(s, " ")
		for _, pair := range strings.Split(rest, "|") {
			if k, v, ok := strings.Cut(pair, "="); ok && k == g.had[heading] {
				return v, nil
			}
		}
		return "", fmt.Errorf("nothing belongs to what stands under %q", heading)
	},
	"council":  func(g *maker, _ string) (string, error) { return string(g.whose.Name), nil },
	"label":    func(g *maker, _ string) (string, error) { return g.whose.Label(), nil },
	"title":    func(g *maker, _ string) (string, error) { return g.whose.Title, nil },
	"gss":      func(g *maker, _ string) (string, error) { return g.whose.GSS, nil },
	"forename": func(g *maker, _ string) (string, error) { return g.pick(forenames), nil },
	"surname":  func(g *maker, _ string) (string, error) { return g.pick(surnames), nil },
	"street":   func(g *maker, _ string) (string, error) { return g.pick(streets), nil },
	"town":     func(g *maker, _ string) (string, error) { return g.pick(towns), nil },
	"postcode": func(g *maker, _ string) (string, error) {
		return fmt.Sprintf("%s%d %d%s", g.pick([]string{"NM", "QX", "VZ"}), 1+g.r.IntN(9), g.r.IntN(10), g.letters("ABDEFGHJLNPQRSTUWXYZ", 2)), nil
	},
	// A National Insurance number with a prefix that HMRC gives out (NIM39110).
	"nino": func(g *maker, _ string) (string, error) {
		return g.pick([]string{"AB", "CE", "HJ", "LM", "PR", "SY"}) + g.digits(6) + g.letters("ABCD", 1), nil
	},
	// An NHS number: nine digits and a check digit, modulus 11 (NHS Data Dictionary).
	"nhs": func(g *maker, _ string) (string, error) {
		for {
			d := "999" + g.digits(6) // 999 is kept for tests
			sum := 0
			for i, c := range d {
				sum += int(c-'0') * (10 - i)
			}
			if check := (11 - sum%11) % 11; check < 10 {
				return d + strconv.Itoa(check), nil
			}
		}
	},
	// A unique pupil number: a check letter by the weights 2 to 13 of what follows (DfE).
	"upn": func(g *maker, _ string) (string, error) {
		d, sum := g.digits(12), 0
		for i, c := range d {
			sum += int(c-'0') * (i + 2)
		}
		return string("ABCDEFGHJKLMNPQRTUVWXYZ"[sum%23]) + d, nil
	},
	"uprn":    func(g *maker, _ string) (string, error) { return "1000" + g.digits(8), nil },
	"usrn":    func(g *maker, _ string) (string, error) { return "2" + g.digits(7), nil },
	"urn":     func(g *maker, _ string) (string, error) { return "1" + g.digits(5), nil },
	"company": func(g *maker, _ string) (string, error) { return "0" + g.digits(7), nil },
	"uuid": func(g *maker, _ string) (string, error) {
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", g.r.Uint32(), g.r.Uint32N(1<<16), g.r.Uint32N(1<<12), g.r.Uint32N(1<<12), g.r.Uint64N(1<<48)), nil
	},
}

func (g *maker) pick(from []string) string { return from[g.r.IntN(len(from))] }

func (g *maker) digits(n int) string { return g.letters("0123456789", n) }

func (g *maker) letters(from string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from[g.r.IntN(len(from))]
	}
	return string(b)
}

var (
	forenames = []string{"Ada", "Bem", "Cai", "Delia", "Esme", "Femi", "Greta", "Hari", "Ines", "Jory", "Kit", "Lola", "Milo", "Nesta", "Otto", "Pia", "Ravi", "Seren", "Tariq", "Wren"}
	surnames  = []string{"Ashdown", "Birtle", "Calder", "Denny", "Esker", "Fairley", "Gant", "Hollin", "Imre", "Joss", "Kestrel", "Larkin", "Merrow", "Nye", "Orrin", "Penhale", "Quill", "Rook", "Selwyn", "Tarn"}
	streets   = []string{"Chapel Lane", "Tannery Road", "Weir Street", "Granary Row", "Heron Way", "Old Market Place", "Windmill Hill", "Orchard Terrace"}
	towns     = []string{"Northmoor", "Saltby Green", "Upper Wetherholm", "Langley Bridge", "Coldstone", "Ferry Hithe"}
)
