package schemas

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
)

//go:embed subjects.csv
var subjects string

// A Subject is what a standard's records are about, as who looks through a catalogue of data
// asks for it. Like a [Duty] it stands beside the standards: a published version stays as it
// is to the byte.
type Subject struct {
	Themes   []string // codes of [Themes], the nearest first
	Keywords []string // in English, without commas: harvesters cut at them
}

// Themes are the codes of the vocabulary by which DCAT-AP 3.0 has a set of data filed, each
// with its label in English. Their addresses begin with [ThemeScheme]. OP_DATPRO (provisional
// data) is not among them: it says nothing of what data are about.
func Themes() map[string]string {
	return map[string]string{
		"AGRI": "Agriculture, fisheries, forestry and food", "ECON": "Economy and finance", "EDUC": "Education, culture and sport", "ENER": "Energy",
		"ENVI": "Environment", "GOVE": "Government and public sector", "HEAL": "Health", "INTR": "International issues",
		"JUST": "Justice, legal system and public safety", "REGI": "Regions and cities", "SOCI": "Population and society", "TECH": "Science and technology", "TRAN": "Transport",
	}
}

// ThemeScheme is the address of that vocabulary, data themes of the Publications Office of
// the EU.
const ThemeScheme = "http://publications.europa.eu/resource/authority/data-theme"

// subjectOf reads the list once.
var subjectOf = sync.OnceValue(func() map[string]Subject {
	of := map[string]Subject{}
	for _, l := range table("subjects.csv", subjects) {
		of[publisher+l[0]] = Subject{strings.Fields(l[1]), strings.Split(l[2], "; ")}
	}
	return of
})

// SubjectOf returns what records of standards are about, all of them together, each theme and
// keyword once. A standard that does not come with Stile adds nothing.
func SubjectOf(standards ...string) (s Subject) {
	add := func(to *[]string, more []string) {
		for _, m := range more {
			if !slices.Contains(*to, m) {
				*to = append(*to, m)
			}
		}
	}
	for _, standard := range standards {
		one := subjectOf()[standard]
		add(&s.Themes, one.Themes)
		add(&s.Keywords, one.Keywords)
	}
	return s
}

// Subjects are the names, without a version, of the standards whose subject is known, sorted.
func Subjects() []string { return slices.Sorted(maps.Keys(subjectOf())) }
