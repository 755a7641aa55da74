// Command generate makes the list of English councils from the register that
// ../SOURCE.md names, and prints it. What it changes it says on standard error.
//
//	STILE_DATA=/path/to/data go run ./schemas/councils/generate > schemas/councils/councils.csv
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Getenv("STILE_DATA"), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "generate: %v\n", err)
		os.Exit(1)
	}
}

func run(data string, out, notes io.Writer) error {
	if data == "" {
		return errors.New("name the folder of the source in STILE_DATA")
	}
	f, err := os.Open(filepath.Join(data, "local-authorities", "uk_local_authorities_current.csv"))
	if err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	defer f.Close()
	b, err := generate(f, notes)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

// types turns the source's types into the list's; what is not here is no
// council.
var types = map[string]string{
	"CTY": "county", "NMD": "district", "MD": "metropolitan-district", "UA": "unitary",
	"LBO": "london-borough", "CC": "city-of-london",
}

// recoded are councils whose code changed after the source was made, or that it
// did not follow: both on 1 April 2025, when their common boundary moved.
var recoded = map[string]string{
	"E08000016": "E08000038", // Barnsley
	"E08000019": "E08000039", // Sheffield
}

type council struct {
	register, gss, name, kind, region, from, until, county string
	replaced                                               []string // by register code
	former                                                 []string
}

// generate reads the source and returns the list.
func generate(source io.Reader, notes io.Writer) ([]byte, error) {
	list, err := read(source)
	if err != nil {
		return nil, err
	}
	by := map[string]*council{}
	for _, c := range list {
		by[c.register] = c
	}
	note := func(format string, a ...any) { fmt.Fprintf(notes, format+"\n", a...) }
	dropped := 0
	for _, c := range list {
		if c.gss == "E06000053" {
			c.kind = "isles-of-scilly"
		}
		if now, ok := recoded[c.gss]; ok {
			note("%s: code %s became %s", c.name, c.gss, now)
			c.former, c.gss = append(c.former, c.gss), now
		}
		if c.from != "" && !strings.HasSuffix(c.from, "-04-01") {
			c.from = ""
			dropped++
		}
		if strings.HasSuffix(c.until, "-04-01") {
			day, err := time.Parse(time.DateOnly, c.until)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			c.until = day.AddDate(0, 0, -1).Format(time.DateOnly)
			note("%s: its last day was %s, before its successor's first", c.name, c.until)
		}
	}
	note("%d first days are not a 1 April and are left empty", dropped)
	for _, c := range list {
		if r := regionOfDistricts(list, c); r != "" && r != c.region && c.until == "" {
			note("%s: the region is that of its districts, %s, not %s", c.name, r, c.region)
			c.region = r
		}
	}
	// A successor may have ended too, so more than one step may be needed.
	for range 3 {
		for _, c := range list {
			if c.region == "" && len(c.replaced) > 0 && by[c.replaced[0]] != nil {
				if c.region = by[c.replaced[0]].region; c.region != "" {
					note("%s: the region is that of its successor, %s", c.name, c.region)
				}
			}
		}
	}
	return write(list, by)
}

func read(source io.Reader) (list []*council, err error) {
	rows, err := csv.NewReader(source).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("read source: %w", cmpErr(err, io.ErrUnexpectedEOF))
	}
	at := map[string]int{}
	for i, h := range rows[0] {
		at[h] = i
	}
	for _, h := range []string{"local-authority-code", "gss-code", "nice-name", "nation", "region", "local-authority-type", "start-date", "end-date", "replaced-by", "county-la", "former-gss-codes"} {
		if _, ok := at[h]; !ok {
			return nil, fmt.Errorf("read source: it has no column %q", h)
		}
	}
	for _, row := range rows[1:] {
		get := func(h string) string { return strings.TrimSpace(row[at[h]]) }
		kind := types[get("local-authority-type")]
		if get("nation") != "England" || kind == "" {
			continue
		}
		list = append(list, &council{
			register: get("local-authority-code"), gss: get("gss-code"), name: get("nice-name"), kind: kind, region: get("region"),
			from: get("start-date"), until: get("end-date"), county: get("county-la"),
			replaced: split(get("replaced-by")), former: split(get("former-gss-codes")),
		})
	}
	return list, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// regionOfDistricts returns the one region that all present districts of a
// county are in; "" when c is no county or they differ.
func regionOfDistricts(list []*council, c *council) string {
	region := ""
	for _, d := range list {
		if c.kind != "county" || d.county != c.register || d.until != "" {
			continue
		}
		if region != "" && region != d.region {
			return ""
		}
		region = d.region
	}
	return region
}

func write(list []*council, by map[string]*council) ([]byte, error) {
	slices.SortFunc(list, func(a, b *council) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.gss, b.gss)
	})
	var b bytes.Buffer
	b.WriteString("# English councils. Made by schemas/councils/generate from mySociety's UK local authority names and codes\n" +
		"# (CC BY 4.0), and changed: see SOURCE.md, which must travel with this file.\n")
	w := csv.NewWriter(&b)
	w.Write([]string{"gss", "name", "type", "region", "from", "until", "successors", "former"})
	for _, c := range list {
		if c.gss == "" || c.region == "" {
			return nil, fmt.Errorf("%s has no code or no region", c.name)
		}
		if (c.until == "") != (len(c.replaced) == 0) {
			return nil, fmt.Errorf("%s has a last day or a successor, and not both", c.name)
		}
		var next []string
		for _, r := range c.replaced {
			s := by[r]
			if s == nil {
				return nil, fmt.Errorf("%s was succeeded by %q, which is not in the source", c.name, r)
			}
			if day, err := time.Parse(time.DateOnly, c.until); err != nil || day.AddDate(0, 0, 1).Format(time.DateOnly) != s.from {
				return nil, fmt.Errorf("%s ended on %s, and its successor %s began on %s", c.name, c.until, s.name, s.from)
			}
			next = append(next, s.gss)
		}
		slices.Sort(next)
		slices.Sort(c.former)
		w.Write([]string{c.gss, c.name, c.kind, c.region, c.from, c.until, strings.Join(next, " "), strings.Join(c.former, " ")})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}
