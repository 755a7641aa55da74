package ledger

import "testing"

// TestEveryVitalLetterHasWords: for each letter that cannot be done without there are words that tell a person what may be gone.
func TestEveryVitalLetterHasWords(t *testing.T) {
	for c, l := range losses {
		if (l == vital) != (vitals[c] != "") {
			t.Errorf("%q: %s, and its words are %q", c, l, vitals[c])
		}
	}
}
