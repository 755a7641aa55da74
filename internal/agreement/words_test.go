package agreement

import (
	"slices"
	"testing"
)

// The rows of an agreement are told in words that mean what the filter means, a line for
// each condition; what has no words stands as it is written.
func TestRowWords(t *testing.T) {
	for rows, want := range map[string][]string{
		`true`: {"every record of the standard"},
		`record.ward == "N" && !(record.status in ["closed"])`:                     {`/ward is "N"`, `/status is none of ["closed"]`},
		`!(record.a == 1 || record.b.c > 2)`:                                       {`/a is not 1 and /b/c is at most 2`},
		`has(record.x) && !has(record.y) && record.urgent`:                         {`/x is there`, `/y is not there`, `/urgent is true`},
		`record.p.startsWith("LS") || (record.q != "z" && record.on >= "2026-01")`: {`/p begins with "LS" or (/q is not "z" and /on is at least "2026-01")`},
		`record.a + 1 == 2 && !record.list.exists(x, x == 1)`:                      {`record.a + 1 == 2`, `not: record.list.exists(x, x == 1)`},
		`record["odd name"] == record.other`:                                       {`/odd name is /other`},
	} {
		if got := (&Agreement{Rows: rows}).RowWords(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", rows, got, want)
		}
	}
}
