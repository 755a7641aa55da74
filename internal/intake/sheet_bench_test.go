package intake_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/stile-exchange/stile/internal/intake"
)

const tenColumns = `mapping: 1
standard: standards.example/x@1
columns:
  - {to: /ref, from: Ref, required: true}
  - {to: /uprn, from: UPRN}
  - {to: /name, from: Name}
  - {to: /street, from: Street}
  - {to: /area, from: Area, type: number}
  - {to: /count, from: Count, type: integer}
  - {to: /added, from: Added, type: date, formats: [serial]}
  - {to: /x, from: X, type: number}
  - {to: /y, from: Y, type: number}
  - {to: /note, from: Note}
`

// tenColumnRows is n rows of ten columns, every text its own.
func tenColumnRows(n int, row func([]any)) {
	row([]any{"Ref", "UPRN", "Name", "Street", "Area", "Count", "Added", "X", "Y", "Note"})
	for i := range n {
		row([]any{fmt.Sprintf("NM/%06d", i), 100000000000 + i, fmt.Sprintf("Site %d of the register", i), fmt.Sprintf("%d Bridge Street, Northmoor", i),
			float64(i%1000) / 8, i % 40, 40000 + i%4000, 331000 + float64(i%9999)/10, 431000 + float64(i%9999)/10, strings.Repeat("word ", i%12)})
	}
}

func registerXLSX(t testing.TB, n int) []byte {
	f := excelize.NewFile()
	defer f.Close()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	tenColumnRows(n, func(row []any) {
		at++
		if err := w.SetRow("A"+strconv.Itoa(at), row); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	b, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func registerCSV(n int) []byte {
	var b bytes.Buffer
	tenColumnRows(n, func(row []any) {
		for i, c := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			if s, ok := c.(string); ok && strings.Contains(s, ",") {
				c = `"` + s + `"`
			}
			fmt.Fprint(&b, c)
		}
		b.WriteByte('\n')
	})
	return b.Bytes()
}

func readRegister(t testing.TB, b []byte, format intake.Format) (rows int) {
	rd, err := intake.Open(inPlace{bytes.NewReader(b)}, intake.Options{Format: format, Mapping: mapping(t, tenColumns)})
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil || row.Record == nil {
			t.Fatal(err, row.Problems)
		}
		rows++
	}
}

// How many rows of ten columns are read in a second, and in how much memory? Set
// STILE_ROWS for more than 20,000.
func benchmarkRegister(b *testing.B, in []byte, format intake.Format) {
	rows, peak := 0, uint64(0)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	for b.Loop() {
		rows += readRegister(b, in, format)
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapSys)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(peak)/(1<<20), "MiB-heap-sys")
	b.ReportMetric(float64(len(in))/(1<<20), "MiB-file")
}

func rowsAsked() int {
	if n, err := strconv.Atoi(os.Getenv("STILE_ROWS")); err == nil {
		return n
	}
	return 20_000
}

func BenchmarkRegisterXLSX(b *testing.B) {
	benchmarkRegister(b, registerXLSX(b, rowsAsked()), intake.XLSX)
}

func BenchmarkRegisterCSV(b *testing.B) { benchmarkRegister(b, registerCSV(rowsAsked()), intake.CSV) }

// Reading a sheet holds no more of it than its shared texts and a row.
func TestSheetMemory(t *testing.T) {
	small, large := registerXLSX(t, 1000), registerXLSX(t, 16_000)
	live := func(b []byte) uint64 {
		rd, err := intake.Open(inPlace{bytes.NewReader(b)}, intake.Options{Format: intake.XLSX, Mapping: mapping(t, tenColumns)})
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for {
			raw, err := rd.Scan()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = raw.Number
			if last == 900 || last == 15_900 { // well into the file
				break
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		runtime.KeepAlive(rd)
		return m.HeapAlloc
	}
	a := live(small)
	if b := live(large); b > a+4<<20 {
		t.Errorf("%d bytes are held after 900 rows and %d after 15,900", a, b)
	}
}
