package schemas

import _ "embed"

var (
	//go:embed headings.csv
	headings string
	//go:embed words.csv
	words string
)

// A Heading is the heading of a column under which a published form of data holds a place of
// a standard. Like a [Duty] it stands beside the standards, since new sources become known
// while a published version stays as it is to the byte. It judges nothing: a mapping is
// drafted with its help, and a person checks it.
type Heading struct {
	Place   string // JSON Pointer
	Heading string
	Source  string // address of the form, and where in it the heading stands
}

// A Word is what a published form of data writes at a place of a standard where the standard
// has a word of its own.
type Word struct {
	Place  string // JSON Pointer
	Word   string
	Means  string // the standard's own word
	Source string // address of the form, and where in it the word stands
}

// Headings lists the headings known of a standard, in the order of its schema; none where it
// does not come with Stile. It panics where the list that is compiled in is damaged.
func Headings(standard string) (all []Heading) {
	for _, l := range table("headings.csv", headings) {
		if publisher+l[0] == standard {
			all = append(all, Heading{l[1], l[2], l[3]})
		}
	}
	return all
}

// Words lists the words known of a standard, as [Headings] lists headings.
func Words(standard string) (all []Word) {
	for _, l := range table("words.csv", words) {
		if publisher+l[0] == standard {
			all = append(all, Word{l[1], l[2], l[3], l[4]})
		}
	}
	return all
}
