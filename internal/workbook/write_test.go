package workbook

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// TestWriter: what is written another program reads as it was meant: texts with all
// that XML cannot hold, numbers, dates by their format, truth and formulas; and nothing is
// left in the folder.
func TestWriter(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWriter(`Sites & "more"`, dir)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 2, 16, 0, 0, 0, 0, time.UTC)
	odd := " a\x0b_x0041_ <&>\n"
	wide := make([]any, 28)
	wide[27] = "AB"
	rows := [][]any{{"a", nil, odd}, {1.5, Formatted{7.0, "000"}, true}, {Formatted{day, "yyyy-mm-dd"}, Formula("NA()"), Formatted{time.Date(1850, 1, 2, 0, 0, 0, 0, time.UTC), "yyyy-mm-dd"}}, wide}
	for i, r := range rows {
		if err := w.Row(2*i+1, r); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := w.Close(&out); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	f, err := excelize.OpenReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sheet := f.GetSheetName(0)
	if sheet != `Sites & "more"` {
		t.Errorf("the sheet is called %q", sheet)
	}
	for cell, want := range map[string]string{"A1": "a", "B1": "", "A3": "1.5", "B3": "007", "C3": "TRUE", "A5": "2026-02-16", "C5": "1850-01-02", "AB7": "AB"} {
		if got, err := f.GetCellValue(sheet, cell); err != nil || got != want {
			t.Errorf("%s shows %q, %v; want %q", cell, got, err, want)
		}
	}
	if got, err := f.GetCellFormula(sheet, "B5"); err != nil || got != "NA()" {
		t.Errorf("B5 is %q, %v", got, err)
	}
	if got := unescape(escaped(odd)); got != odd {
		t.Errorf("%q is read back as %q", odd, got)
	}
	for at, want := range map[string]float64{"1900-01-01": 1, "1900-02-28": 59, "1900-03-01": 61, "2026-02-16": 46069} {
		d, _ := time.Parse(time.DateOnly, at)
		if got := serial(d); got != want {
			t.Errorf("%s is day %v, want %v", at, got, want)
		}
	}
}
