package registers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A Publication says where registers are to be found, and who publishes them.
type Publication struct {
	Us      name.Council
	Base    string // address of the folder, without / at its end; "" where it is not known
	Live    bool   // a node answers there, by the interface of Open Referral UK too
	Licence Licence
}

// A Licence is what everybody may do with registers. The zero Licence claims nothing.
type Licence struct{ Address, Title string }

// claim adds the licence to what a catalogue describes.
func (l Licence) claim(of map[string]any) {
	if l.Address != "" {
		of["dct:license"] = Typed("dct:LicenseDocument", l.Address)
	}
}

// Files are the register as data, by file name: ID.csv, ID.csv-metadata.json (W3C CSV on
// the Web), ID.json, for one that has a form ID.FORM.json, and where statements were drawn for
// an audit ID.drawn.json.
func (t *Table) Files(p Publication) map[string][]byte {
	files := map[string][]byte{t.ID + ".csv": t.CSV(), t.ID + ".csv-metadata.json": t.Metadata(p.Licence), t.ID + ".json": t.JSON(p.Licence)}
	if t.form != nil {
		files[t.FormFile()] = t.Formed(p)
	}
	if file := t.DrawnFile(); file != "" {
		files[file] = indented(t.Audits.Newest().Draw)
	}
	return files
}

// DrawnFile is the name of the file that stile audit adoption --drawn takes, of the newest
// draw; "" where nothing was drawn.
func (t *Table) DrawnFile() string {
	if t.Audits == nil || t.Audits.Newest() == nil {
		return ""
	}
	return t.ID + ".drawn.json"
}

// FormFile is the name of the file in the form of somebody else's standard; "" where there
// is none.
func (t *Table) FormFile() string {
	if t.form == nil {
		return ""
	}
	return t.ID + "." + t.Form + ".json"
}

// FormTitle is what that form is called; "" where there is none.
func (t *Table) FormTitle() string {
	if t.form == nil {
		return ""
	}
	return t.form.Title
}

// Formed returns the records in that form. Only what its translation names of open fields is
// in it.
func (t *Table) Formed(p Publication) []byte {
	known := map[string]any{"made": t.Made.Format(time.RFC3339), "publisher": string(t.Us), "home": "https://" + string(t.Us), "licence": p.Licence.Address}
	if strings.Contains(p.Base, "://") {
		known["address"] = p.Base + "/" + t.FormFile()
	}
	return t.form.File(t.formed, known)
}

// heads are the headings of the table in files.
func (t *Table) heads() []string {
	var heads []string
	if t.Standard != "" {
		heads = append(heads, "council", "record")
	}
	for _, c := range t.Columns {
		heads = append(heads, strings.ToLower(strings.NewReplacer(" ", "_", "%", "_percent").Replace(c.Title)))
	}
	return heads
}

// CSV returns the rows as a table, with a heading. A text that a spreadsheet would take for
// a formula has a ' before it.
func (t *Table) CSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(t.heads())
	for _, r := range t.Rows {
		var cells []string
		if t.Standard != "" {
			cells = append(cells, string(r.Council), string(r.Record))
		}
		for _, vs := range r.Cells {
			text := strings.Join(vs, "; ")
			if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) && !whole(text) {
				text = "'" + text
			}
			cells = append(cells, text)
		}
		w.Write(cells)
	}
	w.Flush()
	return b.Bytes()
}

// Metadata returns what describes the CSV file (W3C CSV on the Web).
func (t *Table) Metadata(l Licence) []byte {
	var columns []any
	heads := t.heads()
	for i, h := range heads {
		c := map[string]any{"name": h, "titles": h, "datatype": "string"}
		if j := i - (len(heads) - len(t.Columns)); j >= 0 {
			t.describe(j, c)
		}
		columns = append(columns, c)
	}
	described := map[string]any{
		"@context": []any{"http://www.w3.org/ns/csvw", map[string]string{"@language": "en"}}, "url": t.ID + ".csv",
		"dc:title": t.Title, "dc:description": t.Lead, "dc:publisher": string(t.Us), "dc:modified": map[string]string{"@value": t.Made.Format(time.RFC3339), "@type": "xsd:dateTime"},
		"tableSchema": map[string]any{"columns": columns},
	}
	if l.Address != "" {
		described["dc:license"] = map[string]string{"@id": l.Address}
	}
	return indented(described)
}

// whole reports whether a text is a whole number, as it is written: 017 is a reference.
func whole(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && strconv.Itoa(n) == text
}

// describe says of a column what its cells are in the file as it stands: the kind of value
// that all of them have, where they are lists, and the field that they come from.
func (t *Table) describe(column int, c map[string]any) {
	date, number, yes, filled := true, true, true, false
	for _, r := range t.Rows {
		if len(r.Cells[column]) > 1 {
			c["separator"] = "; "
		}
		for _, v := range r.Cells[column] {
			_, err := time.Parse(time.DateOnly, v)
			date = date && err == nil
			number = number && whole(v)
			yes = yes && (v == "yes" || v == "no")
			filled = true
		}
	}
	switch {
	case !filled:
	case date:
		c["datatype"] = "date"
	case number:
		c["datatype"] = "integer"
	case yes:
		c["datatype"] = map[string]string{"base": "boolean", "format": "yes|no"}
	}
	if t.Standard != "" && t.Columns[column].Pointer != "" {
		c["propertyUrl"] = "https://" + t.Std.String() + "#" + t.Columns[column].Pointer
	}
}

// JSON returns the register with its counts.
func (t *Table) JSON(l Licence) []byte {
	rows := []any{}
	for _, r := range t.Rows {
		row := map[string]any{}
		if t.Standard != "" {
			row["council"], row["record"] = r.Council, r.Record
		}
		for i, c := range t.Columns {
			switch vs := r.Cells[i]; len(vs) {
			case 0:
			case 1:
				row[c.Title] = vs[0]
			default:
				row[c.Title] = vs
			}
		}
		rows = append(rows, row)
	}
	counts := []any{}
	for _, c := range t.Counts {
		lines := []any{}
		for _, l := range c.Lines {
			line := map[string]any{"value": l.Value, "records": l.Records, "councils": append([]string{}, l.names()...)}
			if l.Name != "" {
				line["name"] = l.Name
			}
			lines = append(lines, line)
		}
		counts = append(counts, map[string]any{"title": c.Title, "lines": lines})
	}
	out := map[string]any{"register": t.ID, "title": t.Title, "council": t.Us, "made": t.Made, "rows": rows, "counts": counts, "left_out": t.Left}
	if t.Standard != "" {
		out["standard"] = t.Std
	}
	if l.Address != "" {
		out["licence"] = l.Address
	}
	if t.Audits != nil {
		out["audits"] = t.Audits
	}
	if t.Goal.Of > 0 {
		out["goal"] = struct {
			Reached int `json:"reached"`
			Goal
		}{t.Reached(), t.Goal}
	}
	return indented(out)
}

func (l Line) names() (s []string) {
	for _, c := range l.Councils {
		s = append(s, string(c))
	}
	return s
}

// DCAT is the context of catalogues (W3C DCAT 3, JSON-LD 1.1): what is an address is told as
// one, so that who reads the catalogue as a graph can follow it.
func DCAT() map[string]any {
	context := map[string]any{
		"dcat": "http://www.w3.org/ns/dcat#", "dct": "http://purl.org/dc/terms/", "foaf": "http://xmlns.com/foaf/0.1/",
		"xsd": "http://www.w3.org/2001/XMLSchema#", "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
	}
	for _, address := range []string{"dcat:downloadURL", "dcat:accessURL", "dcat:accessService", "dcat:servesDataset", "dcat:endpointURL", "dcat:endpointDescription", "dcat:landingPage", "dcat:mediaType", "dct:conformsTo", "dct:accessRights", "dct:language", "foaf:homepage"} {
		context[address] = map[string]string{"@id": address, "@type": "@id"}
	}
	return context
}

// authority is where the vocabularies of the Publications Office of the EU stand, which
// DCAT-AP asks for.
const authority = "http://publications.europa.eu/resource/authority/"

// Typed names something in a catalogue by its address, with the class that it has to be of: who
// holds the catalogue against the shapes of DCAT-AP need not fetch what it is.
func Typed(class, address string) map[string]string {
	return map[string]string{"@id": address, "@type": class}
}

// English is the language of what a catalogue says.
func English() map[string]string { return Typed("dct:LinguisticSystem", authority+"language/ENG") }

// Access says in a catalogue who is let see something: PUBLIC or NON_PUBLIC.
func Access(right string) map[string]string {
	return Typed("dct:RightsStatement", authority+"access-right/"+right)
}

// Publisher is a council in a catalogue.
func Publisher(c name.Council) map[string]any {
	home := "https://" + string(c)
	return map[string]any{"@type": []string{"foaf:Agent", "foaf:Organization"}, "@id": home + "/#council", "foaf:name": c, "foaf:homepage": Typed("foaf:Document", home)}
}

// Distribution is a file in a catalogue, of a media type: text/csv or application/json.
// Formats are addresses of what it conforms to.
func Distribution(title, at, media string, formats ...string) map[string]any {
	d := map[string]any{
		"@type": "dcat:Distribution", "dct:title": title, "dcat:downloadURL": at, "dcat:accessURL": at,
		"dcat:mediaType": Typed("dct:MediaType", "https://www.iana.org/assignments/media-types/"+media),
		"dct:format":     Typed("dct:MediaTypeOrExtent", authority+"file-type/"+map[string]string{"text/csv": "CSV", "application/json": "JSON"}[media]),
	}
	if len(formats) > 0 {
		var standards []any
		for _, f := range formats {
			standards = append(standards, Typed("dct:Standard", f))
		}
		d["dct:conformsTo"] = standards
	}
	return d
}

// Catalogue returns registers as a catalogue (W3C DCAT 3, JSON-LD). Their pages are in the
// folder of the publication, called by ID and ending, their files beside them.
func Catalogue(p Publication, ending string, all []*Table) []byte {
	base := p.Base
	catalogue := map[string]any{
		"@context": DCAT(), "@type": "dcat:Catalog", "@id": base + "/catalogue.jsonld", "dct:title": "Registers", "dct:description": "Registers of what councils have, made of records that they signed.",
		"dct:language": English(), "dct:publisher": Publisher(p.Us),
	}
	sets := []any{}
	for _, t := range all {
		page := base + "/" + t.ID + ending
		files := []any{
			Distribution(t.Title+" (CSV)", base+"/"+t.ID+".csv", "text/csv", "http://www.w3.org/ns/csvw"),
			Distribution(t.Title+" (JSON)", base+"/"+t.ID+".json", "application/json"),
		}
		if t.form != nil {
			files = append(files, Distribution(t.Title+" ("+t.form.Title+")", base+"/"+t.FormFile(), "application/json", t.form.Schema))
		}
		if p.Live && t.HasInterface() {
			at := base + "/" + InterfaceID
			service := map[string]any{
				"@type": "dcat:DataService", "@id": at, "dct:title": t.Title + ": " + InterfaceTitle, "dcat:endpointURL": at, "dcat:endpointDescription": openReferralCalls,
				"dcat:servesDataset": page, "dct:conformsTo": Typed("dct:Standard", t.form.Schema), "dct:accessRights": Access("PUBLIC"), "dct:publisher": Publisher(t.Us),
			}
			p.Licence.claim(service)
			catalogue["dcat:service"] = service
			files[len(files)-1].(map[string]any)["dcat:accessService"] = at
		}
		set := map[string]any{
			"@type": "dcat:Dataset", "@id": page, "dct:identifier": t.ID, "dct:title": t.Title, "dct:description": t.Lead, "dct:language": English(),
			"dcat:landingPage": Typed("foaf:Document", page), "dct:publisher": Publisher(t.Us), "dct:accessRights": Access("PUBLIC"),
			"dct:modified":      map[string]any{"@type": "xsd:dateTime", "@value": t.Made.Format(time.RFC3339)},
			"dcat:distribution": files,
		}
		if t.Standard != "" {
			set["dct:conformsTo"] = Typed("dct:Standard", "https://"+t.Std.String())
		}
		p.Licence.claim(set)
		for _, f := range files {
			p.Licence.claim(f.(map[string]any))
		}
		sets = append(sets, set)
		catalogue["dct:modified"] = set["dct:modified"]
	}
	p.Licence.claim(catalogue)
	catalogue["dcat:dataset"] = sets
	return indented(catalogue)
}

func indented(v any) []byte {
	b, _ := json.MarshalIndent(v, "", "  ")
	return append(b, '\n')
}

// A Bar is a quarter of a year in a chart.
type Bar struct {
	Quarter       string // such as 2027 Q3
	Records       int
	X, Y, H, Text int // where it is drawn; Text is the line of its number
}

// chartHigh is how high the longest bar is.
const chartHigh = 160

// Bars are the quarters of the chart, from the first with a record to the last; nil where
// there is no chart.
func (t *Table) Bars() []Bar {
	in := map[string]int{}
	var first, last time.Time
	for _, r := range t.Rows {
		if t.Chart == "" {
			return nil
		}
		for _, v := range r.Cells[t.at(t.Chart)] {
			day, err := time.Parse(time.DateOnly, v)
			if err != nil {
				continue
			}
			if first.IsZero() || day.Before(first) {
				first = day
			}
			if day.After(last) {
				last = day
			}
			in[quarter(day)]++
		}
	}
	var bars []Bar
	most := 1
	for day := time.Date(first.Year(), (first.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC); !last.IsZero() && !day.After(last) && len(bars) < 60; day = day.AddDate(0, 3, 0) {
		bars = append(bars, Bar{Quarter: quarter(day), Records: in[quarter(day)]})
		most = max(most, in[quarter(day)])
	}
	for i := range bars {
		b := &bars[i]
		b.X, b.H = 10+i*46, chartHigh*b.Records/most
		b.Y = 20 + chartHigh - b.H
		b.Text = b.Y - 5
	}
	return bars
}

// Wide is how wide the chart is.
func (t *Table) Wide() int { return 20 + 46*len(t.Bars()) }

func quarter(day time.Time) string {
	return fmt.Sprintf("%d Q%d", day.Year(), (int(day.Month())+2)/3)
}
