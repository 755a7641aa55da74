package main

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// workbooks writes the workbooks of import-workbook.txt to a new folder and
// returns it: a script cannot hold them as text.
func workbooks(t *testing.T) string {
	dir := t.TempDir()
	date, code := "dd/mm/yyyy", "00000"
	save := func(name string, rows [][]any, more func(f *excelize.File)) {
		f := excelize.NewFile()
		defer f.Close()
		if err := f.SetSheetName("Sheet1", "Pets"); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			cell, _ := excelize.CoordinatesToCellName(1, i+1)
			if err := f.SetSheetRow("Pets", cell, &row); err != nil {
				t.Fatal(err)
			}
		}
		dates, err := f.NewStyle(&excelize.Style{CustomNumFmt: &date})
		if err != nil {
			t.Fatal(err)
		}
		f.SetColStyle("Pets", "C", dates)
		more(f)
		if err := f.SaveAs(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	head := []any{"ID", "Name", "Born", "Chip"}
	save("pets.xlsx", [][]any{head,
		{"NM/1", "Rex", time.Date(2017, 12, 31, 0, 0, 0, 0, time.UTC), 712},
		{"NM/2", "Tib", "28/02/2018", 900123456789012},
		{"NM/3", "Bello"}}, func(f *excelize.File) {
		codes, _ := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
		f.SetCellStyle("Pets", "D2", "D2", codes)
		// A value beside a formula.
		f.SetCellValue("Pets", "D4", 5)
		f.SetCellFormula("Pets", "D4", "2+3")
		f.NewSheet("Notes")
		f.SetCellValue("Notes", "A1", "Made by hand.")
	})
	save("bad.xlsx", [][]any{head,
		{"NM/4", "Tib", nil, "x"},
		{"NM/5", "Tib", nil, "#REF!"},
		{"NM/6", "Tib", nil, 1234567890123456},
		{"Total", nil, nil, 3}}, func(f *excelize.File) {})

	out, err := os.Create(filepath.Join(dir, "pets.ods"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	text := func(s string) string {
		return `<table:table-cell office:value-type="string"><text:p>` + s + `</text:p></table:table-cell>`
	}
	rows := ""
	for _, cells := range []string{
		text("ID") + text("Name") + text("Born") + text("Chip"),
		text("NM/1") + text("Rex") + `<table:table-cell office:value-type="date" office:date-value="2017-12-31"><text:p>31/12/17</text:p></table:table-cell><table:table-cell office:value-type="float" office:value="712"><text:p>00712</text:p></table:table-cell>`,
		text("NM/2") + text("Tib") + text("28/02/2018") + `<table:table-cell office:value-type="float" office:value="900123456789012"><text:p>9.00123E+14</text:p></table:table-cell>`,
		text("NM/3") + text("Bello") + `<table:table-cell/><table:table-cell table:formula="of:=2+3" office:value-type="float" office:value="5"/>`,
	} {
		rows += `<table:table-row>` + cells + `</table:table-row>`
	}
	for _, p := range [][2]string{
		{"mimetype", "application/vnd.oasis.opendocument.spreadsheet"},
		{"content.xml", `<office:document-content xmlns:office="o" xmlns:table="t" xmlns:text="x"><office:body><office:spreadsheet><table:table table:name="Pets">` + rows + `</table:table></office:spreadsheet></office:body></office:document-content>`},
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p[0], Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}
