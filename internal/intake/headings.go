package intake

import (
	"strings"
	"unicode"
)

// fold is how headings and the keys of values are compared: without the white
// space around them, every run of white space inside as one space, and in
// lower case.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.Fields(s), " "))
}

// A likening compares headings as long as the work is worth a person's while: two
// thousand headings against two thousand is four million pairs, and a file may be
// made so. Beyond that nothing is like anything but itself.
type likening struct {
	left int // letters that may still be held against letters
}

// maxLikening is what one file is given: some tenths of a second.
const maxLikening = 50_000_000

func newLikening() *likening { return &likening{left: maxLikening} }

// nearest returns the heading of those offered that is most like one of the
// wanted, or "" when none is alike. It is a suggestion to a person, never acted
// upon.
func (l *likening) nearest(wanted, offered []string) string {
	best, bestScore := "", 0.0
	for _, w := range wanted {
		for _, o := range offered {
			if s := l.alike(w, o); s > bestScore {
				best, bestScore = o, s
			}
		}
	}
	if bestScore < 0.6 {
		return ""
	}
	return best
}

// alike returns how alike two headings are, from 0 to 1: by the letters that
// have to be changed to make one of the other, or by the words they share.
// Case, spaces and marks do not count. It returns 0 once the work is spent.
func (l *likening) alike(a, b string) float64 {
	if l.left < 0 {
		return 0
	}
	x, y := letters(a), letters(b)
	l.left -= len(a) + len(b)
	if len(x) == 0 || len(y) == 0 {
		return 0
	}
	score := 0.0
	if short, long := min(len(x), len(y)), max(len(x), len(y)); short*5 >= long*2 { // else it cannot matter
		l.left -= short * long
		score = 1 - float64(distance(x, y))/float64(long)
	}
	if wa, wb := words(a), words(b); len(wa) > 0 && len(wb) > 0 {
		shared := 0
		for w := range wa {
			if wb[w] {
				shared++
			}
		}
		score = max(score, float64(shared)/float64(max(len(wa), len(wb))))
	}
	if len(x) > len(y) {
		x, y = y, x
	}
	if len(x) >= 4 && strings.Contains(string(y), string(x)) {
		score = max(score, 0.7) // one is a shortening of the other
	}
	return score
}

// letters returns the letters and digits of a heading in lower case, at most
// 60 of them, which bounds the work of comparing.
func letters(s string) []rune {
	var out []rune
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			if out = append(out, unicode.ToLower(r)); len(out) == 60 {
				break
			}
		}
	}
	return out
}

// words returns the words of a heading, also of one written as SiteReference,
// site_reference or site-reference.
func words(s string) map[string]bool {
	out := map[string]bool{}
	var w []rune
	flush := func() {
		if len(w) > 0 {
			out[strings.ToLower(string(w))] = true
		}
		w = w[:0]
	}
	lower := false
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		w = append(w, r)
		if len(out) == 20 {
			break
		}
	}
	flush()
	return out
}

// distance is the Levenshtein distance.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		prev := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := 1
			if x == y {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(prev+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// visible makes text from a file safe to print: a terminal must not obey it,
// and it stays on one line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return '\uFFFD'
	}, s)
}

// bare is a text without its letter case, spaces and marks: two texts that a
// person takes for the same.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}
