package schemas

import (
	_ "embed"
	"encoding/csv"
	"slices"
	"strings"
)

//go:embed duties.csv
var duties string

// A Duty is a law that asks a council to hold or send what a standard describes, or the
// finding that none does. It stands beside the standards and not in them: a published version
// stays as it is to the byte, and laws come into force, and are amended, meanwhile. Where a
// manifest names a law with its day, the manifest holds.
type Duty struct {
	Standard string // its name without a version
	Statute  string // "" where a law was looked for and none was found
	From     string // the day since which it holds, as 2006-01-02; "" where no source at hand gives it
	Pending  bool   // no day is appointed yet
	Source   string // address of the page that was read
	Says     string // what that page says of the law and its day, in our words
	Checked  string // the day on which statute and day were compared with it, as 2006-01-02

	NotOn []string // types of council, as package councils has them, of which the law does not ask it; none where it asks all
	Who   string   // whom it asks, and by which words of law, in ours; "" where it asks all
}

// On reports whether the law asks councils of a type.
func (d Duty) On(kind string) bool { return !slices.Contains(d.NotOn, kind) }

// notAppointed stands in the list for the day of a law that waits for one.
const notAppointed = "not appointed"

// Duties lists what is known of laws, sorted by standard; the first of a standard is the one
// that asks for its records today. It panics where the list that is compiled in is damaged.
func Duties() (all []Duty) {
	for _, l := range table("duties.csv", duties) {
		d := Duty{Standard: publisher + l[0], Statute: l[1], From: l[2], Source: l[3], Says: l[4], Checked: l[5], NotOn: strings.Fields(l[6]), Who: l[7]}
		if d.From == notAppointed {
			d.From, d.Pending = "", true
		}
		all = append(all, d)
	}
	return all
}

// publisher is what the names of all standards here begin with.
const publisher = "standards.stile.example/"

// table reads a list that is compiled in, without its headings.
func table(file, text string) [][]string {
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(lines) == 0 {
		panic("internal error: schemas/" + file + " is damaged")
	}
	return lines[1:]
}
