package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node/name"
)

// ParseRegister reads a register as [Register.JSON] writes it, of any council. What it
// holds is that council's word; its proofs can be verified.
func ParseRegister(b []byte) (*Register, error) {
	var r Register
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read register: it is no register.json")
	}
	if _, err := name.ParseCouncil(string(r.Council)); err != nil {
		return nil, fmt.Errorf("read register: /council: %w", err)
	}
	for i, f := range r.Flows {
		if _, err := name.ParseAgreement(string(f.Agreement)); err != nil {
			return nil, fmt.Errorf("read register: /agreements/%d/agreement: %w", i, err)
		}
	}
	return &r, nil
}

// anchor names a flow in the page of an export.
func anchor(r *Register, f Flow) string {
	return strings.ReplaceAll(string(r.Council)+"-"+string(f.Agreement), "/", "-")
}

// A staticPage is a page that is written as a file.
type staticPage struct {
	Title, Site    string
	Styles         string // where the style sheet is; "" for none
	English, Welsh string // the same page in each language
	Home           string // the page of the register of agreements; "" for none
	Open           string // that of the registers of what councils have; "" for none
	Data           any
}

func (t *tongue) static(name string, p staticPage) ([]byte, error) {
	set, err := template.New("").Funcs(t.funcs()).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = set.ExecuteTemplate(&b, name, p)
	return b.Bytes(), err
}

// ExportOpen writes registers of what councils have into a new folder, as files for any
// web server: index.html and cy.html; of each a page in both languages, a table with its
// description (W3C CSV on the Web), JSON and where there is one the form of somebody else's
// standard; and catalogue.jsonld (W3C DCAT), whose addresses begin with the base of where it
// will be published. home is the path from the folder to that of [ExportRegister], whose
// pages lead here and whose style sheet is used, where it has one; "" for none.
func ExportOpen(dir, home string, at registers.Publication, all []*registers.Table) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("write registers: %w", err)
	}
	said, err := parseMessages(messageFiles)
	if err != nil {
		return err
	}
	files := map[string][]byte{"catalogue.jsonld": registers.Catalogue(at, ".html", all)}
	styles := ""
	if home != "" {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(home), "stile.css")); err == nil {
			styles = home + "/stile.css"
		}
	}
	for _, lang := range langs {
		t := &tongue{lang, said, london()}
		index, ending := "index.html", ".html"
		if lang == Welsh {
			index, ending = "cy.html", ".cy.html"
		}
		p := staticPage{Title: t.say("open.title"), Site: t.say("open.title"), Styles: styles, English: "index.html", Welsh: "cy.html",
			Data: map[string]any{"Registers": all, "Ending": ending, "At": "", "Licence": at.Licence}}
		if home != "" {
			p.Home = home + "/" + index
		}
		if files[index], err = t.static("open-static-index", p); err != nil {
			return err
		}
		for _, r := range all {
			shown := openRows(r, "", 0, len(r.Rows))
			shown.Static, shown.Hexes, shown.Licence = true, t.mapOf(r), at.Licence
			p := staticPage{Title: t.english("open", r.Title), Site: p.Site, Styles: styles, English: r.ID + ".html", Welsh: r.ID + ".cy.html", Data: shown}
			if files[r.ID+ending], err = t.static("open-static-one", p); err != nil {
				return err
			}
			maps.Copy(files, r.Files(at))
		}
	}
	for file, b := range files {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			return fmt.Errorf("write registers: %w", err)
		}
	}
	return nil
}

// ErrNotEmpty: what [ExportRegister] is to write goes into a new or empty folder.
var ErrNotEmpty = errors.New("the folder is not empty")

// ExportRegister writes registers of one or several councils, of which the first publishes
// them, into a folder, which must be new or empty, as files for any web server: index.html in
// English and cy.html in Welsh, register.json, register.csv, register.jsonld (W3C DCAT), whose
// addresses begin with base, and the proofs, by the name of their agreement. An agreement that
// two registers have is shown once for each, since each council counts for itself. open is the
// folder in it that [ExportOpen] writes after; "" for none.
func ExportRegister(dir, open, base string, rs []*Register, proofs map[name.Agreement][]byte) error {
	if es, err := os.ReadDir(dir); err == nil && len(es) > 0 {
		return fmt.Errorf("write register to %q: %w", dir, ErrNotEmpty)
	}
	if err := os.MkdirAll(filepath.Join(dir, "proofs"), 0o755); err != nil {
		return fmt.Errorf("write register: %w", err)
	}
	all, err := parseMessages(messageFiles)
	if err != nil {
		return err
	}
	us := rs[0].agent()
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b *Register) int { return strings.Compare(string(a.Council), string(b.Council)) })
	proved := map[string]string{}
	files := map[string][]byte{}
	for a, b := range proofs {
		file := "proofs/" + strings.ReplaceAll(string(a), "/", "-") + ".stile"
		files[file], proved[string(a)] = b, file
	}
	for i, r := range rs { // a proof is a file of the folder, or is not here
		own := *r
		own.Flows = slices.Clone(r.Flows)
		for j := range own.Flows {
			own.Flows[j].Proof = ""
			if own.Flows[j].From == own.Council {
				own.Flows[j].Proof = proved[string(own.Flows[j].Agreement)]
			}
		}
		rs[i] = &own
	}
	base = strings.TrimSuffix(base, "/")
	files["register.csv"] = flowsCSV(rs...)
	files["register.jsonld"] = catalogueOf(us, base, base+"/index.html", func(r *Register, f Flow) string { return base + "/index.html#" + anchor(r, f) }, rs...)
	if len(rs) == 1 {
		files["register.json"] = rs[0].JSON()
	} else {
		b, err := json.MarshalIndent(rs, "", "  ")
		if err != nil {
			return err
		}
		files["register.json"] = append(b, '\n')
	}
	css, err := fs.ReadFile(assets, "assets/stile.css")
	if err == nil {
		files["stile.css"] = css
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for file, lang := range map[string]Lang{"index.html": English, "cy.html": Welsh} {
		t := &tongue{lang, all, london()}
		p := staticPage{Title: t.say("register.title"), Site: t.say("register.title"), English: "index.html", Welsh: "cy.html", Data: rs}
		if open != "" {
			p.Open = open + "/" + file
		}
		if css != nil {
			p.Styles = "stile.css"
		}
		if files[file], err = t.static("register-static", p); err != nil {
			return err
		}
	}
	for file, b := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(file)), b, 0o644); err != nil {
			return fmt.Errorf("write register: %w", err)
		}
	}
	return nil
}
