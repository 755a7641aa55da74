package ledger

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryLetterHasALoss: whoever gives a letter of the key space a meaning says what becomes of
// the ledger when what stands under it is damaged. Without a row a damaged part that holds it would be
// left out in silence.
func TestEveryLetterHasALoss(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[byte]string{}
	made := regexp.MustCompile(`numKey4?\('(.)'|append\(\[\]byte\("(.)"\)|(?m)^(?:var |\t)key[A-Z]\w*\s*= \[\]byte\("(.)|\[\]byte\{'(.)'`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range made.FindAllStringSubmatch(string(b), -1) {
			for _, letter := range m[1:] {
				if letter != "" {
					used[letter[0]] = f
				}
			}
		}
	}
	b, err := os.ReadFile("keyspace.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "a new layout takes a new letter")
	table, _, _ = strings.Cut(table, "const layoutVersion")
	documented := map[byte]bool{}
	for line := range strings.Lines(table) {
		text, ok := strings.CutPrefix(line, "//\t")
		if !ok || text[0] == ' ' {
			continue
		}
		keys, _, _ := strings.Cut(text, "  ")
		// The first is a letter, and so are the others where there is nothing else, as in "y z Y Z".
		list := strings.Fields(keys)
		several := !slices.ContainsFunc(list, func(k string) bool { return len(k) != 1 })
		for i, k := range list {
			if i == 0 || several {
				documented[k[0]] = true
			}
		}
	}
	delete(used, '!') // Badger's own
	if len(used) < 30 || len(documented) < 40 {
		t.Fatalf("found only %d letters in the code and %d in the table", len(used), len(documented))
	}
	for c, f := range used {
		if losses[c] == "" {
			t.Errorf("%s writes under %q, of which losses in damage.go says nothing", f, c)
		}
		if !documented[c] {
			t.Errorf("%s writes under %q, which is not in the table of keyspace.go", f, c)
		}
	}
	for c := range documented {
		if losses[c] == "" {
			t.Errorf("keyspace.go has %q, of which losses in damage.go says nothing", c)
		}
	}
	for c, l := range losses {
		if !documented[c] {
			t.Errorf("losses has %q, which is not in the table of keyspace.go", c)
		}
		if (l == counted) != (notes[c] != "") && c != 'C' {
			t.Errorf("%q is %s, and its note is %q", c, l, notes[c])
		}
	}
}
