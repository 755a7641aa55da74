package schemas

import (
	_ "embed"
	"encoding/csv"
	"strings"
)

//go:embed duties.csv
var duties string

// A Duty is a law that asks a council to hold or send what a standard describes. It stands
// beside the standards and not in them: a published version stays as it is to the byte, and
// laws come into force, and are amended, meanwhile. Where a manifest names a law with its
// day, the manifest holds.
type Duty struct {
	Standard string // its name without a version
	Statute  string
	From     string // the day since which it holds, as 2006-01-02
	Source   string // address of the text that says so
}

// Duties lists what is known of laws, sorted by standard. It panics where the list that is
// compiled in is damaged.
func Duties() (all []Duty) {
	lines, err := csv.NewReader(strings.NewReader(duties)).ReadAll()
	if err != nil {
		panic("internal error: schemas/duties.csv: " + err.Error())
	}
	for _, l := range lines[1:] {
		all = append(all, Duty{"standards.stile.example/" + l[0], l[1], l[2], l[3]})
	}
	return all
}
