package registers

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Postcodes say where postcodes lie. A nil *Postcodes knows none. It may be used concurrently.
type Postcodes struct {
	all []point // sorted by code
}

// A point is 16 bytes: the some two million postcodes of the United Kingdom, with those that
// are no more, are to fit into a node.
type point struct {
	code                uint64
	latitude, longitude float32 // degrees, to within a metre or so
}

// ReadPostcodes reads a CSV table with a heading, of which three columns are looked at: the
// postcode (pcds, pcd or postcode), its latitude (lat or latitude) and its longitude (long or
// longitude), in degrees. The ONS Postcode Directory has the first of each. Rows without a
// position are left out, which that directory gives as 99.999999 north. Errors name the line
// and the column.
func ReadPostcodes(r io.Reader) (*Postcodes, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	heads, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("no CSV table: %w", err)
	}
	column := func(names ...string) int {
		for _, want := range names {
			if i := slices.IndexFunc(heads, func(h string) bool {
				return strings.EqualFold(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")), want)
			}); i >= 0 {
				return i
			}
		}
		return -1
	}
	code, north, east := column("pcds", "pcd", "postcode"), column("lat", "latitude"), column("long", "longitude")
	if code < 0 || north < 0 || east < 0 {
		return nil, errors.New("line 1: want the headings pcds, lat and long, or postcode, latitude and longitude")
	}
	p := &Postcodes{}
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		degrees := func(i int, most float64) (float32, error) {
			n, err := strconv.ParseFloat(strings.TrimSpace(row[i]), 64)
			if err != nil || !(-most <= n && n <= most) {
				line, _ := rows.FieldPos(i)
				return 0, fmt.Errorf("line %d: column %d is no number of degrees", line, i+1)
			}
			return float32(n), nil
		}
		if row[north] == "" || strings.HasPrefix(row[north], "99.99") {
			continue
		}
		at := point{}
		if at.code = packed(row[code]); at.code == 0 {
			line, _ := rows.FieldPos(code)
			return nil, fmt.Errorf("line %d: column %d is no postcode", line, code+1)
		}
		if at.latitude, err = degrees(north, 90); err != nil {
			return nil, err
		}
		if at.longitude, err = degrees(east, 180); err != nil {
			return nil, err
		}
		p.all = append(p.all, at)
	}
	slices.SortFunc(p.all, func(a, b point) int { return cmp.Compare(a.code, b.code) })
	p.all = slices.Clip(p.all)
	return p, nil
}

// Lies returns where a postcode lies, in degrees, however it is written.
func (p *Postcodes) Lies(code string) (latitude, longitude float64, ok bool) {
	if p == nil {
		return 0, 0, false
	}
	i, ok := slices.BinarySearchFunc(p.all, packed(code), func(at point, code uint64) int { return cmp.Compare(at.code, code) })
	if !ok {
		return 0, 0, false
	}
	return float64(p.all[i].latitude), float64(p.all[i].longitude), true
}

// packed is a postcode as a number, without its spaces and the case of its letters; 0 where it
// is none.
func packed(code string) (n uint64) {
	code = postcode(code)
	if len(code) < 5 || len(code) > 7 {
		return 0
	}
	for i := range len(code) {
		switch c := code[i]; {
		case '0' <= c && c <= '9':
			n = n*37 + uint64(c-'0') + 1
		case 'A' <= c && c <= 'Z':
			n = n*37 + uint64(c-'A') + 11
		default:
			return 0
		}
	}
	return n
}
