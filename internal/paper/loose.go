package paper

import (
	"regexp"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
)

var (
	months   = `(?:january|february|march|april|may|june|july|august|september|october|november|december)`
	dated    = regexp.MustCompile(`(?i)\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}|[0-9]{1,2}(?:st|nd|rd|th)? ` + months + `,? [0-9]{4})\b`)
	suffix   = regexp.MustCompile(`(?i)([0-9])(?:st|nd|rd|th)\b`)
	lasting  = regexp.MustCompile(`(?i)\b(?:P[0-9]+[YMWD]|([0-9]{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?: \([0-9]+\))?[ -](year|month|week|day)s?)\b`)
	numerals = map[string]string{"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12"}
)

// loosely reads a day or a length of time out of a sentence, as the heading takes it. It
// does only where the sentence names one: whoever reads two has to choose.
func loosely(key, text string) (string, bool) {
	switch key {
	case "starts", "ends", "review":
		found := dated.FindAllString(text, 2)
		if len(found) != 1 {
			return "", false
		}
		s := strings.ReplaceAll(suffix.ReplaceAllString(found[0], "$1"), ",", "")
		for _, layout := range []string{time.DateOnly, "2/1/2006", "2 January 2006"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.Format(time.DateOnly), true
			}
		}
	case "retention":
		found := lasting.FindAllStringSubmatch(text, 2)
		if len(found) != 1 {
			return "", false
		}
		if found[0][1] == "" {
			return strings.ToUpper(found[0][0]), true
		}
		n := strings.ToLower(found[0][1])
		if digits, ok := numerals[n]; ok {
			n = digits
		}
		return "P" + n + strings.ToUpper(found[0][2][:1]), true
	case "mode":
		m := strings.ToLower(strings.TrimSpace(text))
		for _, mode := range agreement.Modes() {
			if m == string(mode) {
				return m, true
			}
		}
	}
	return "", false
}
