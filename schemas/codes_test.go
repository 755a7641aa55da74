package schemas_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// census returns the codes of the children in need census by the type that lists them in its
// schema of 2024. It skips where that schema is absent.
func census(t *testing.T) map[string][]string {
	root := os.Getenv("STILE_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	b, err := os.ReadFile(filepath.Join(root, "childrens-social-care", "CIN_schema_2024.xsd"))
	if err != nil {
		t.Skipf("no schema of the census under %s; set STILE_DATA to the folder that holds it", root)
	}
	codes := map[string][]string{}
	for _, of := range regexp.MustCompile(`(?s)<xs:simpleType name="(\w+)">(.*?)</xs:simpleType>`).FindAllStringSubmatch(string(b), -1) {
		for _, c := range regexp.MustCompile(`enumeration value="([^"]+)"`).FindAllStringSubmatch(of[2], -1) {
			codes[of[1]] = append(codes[of[1]], c[1])
		}
	}
	return codes
}

// TestCodesOfTheCensus: the codes of the children in need census that the standards have, that
// a draft of a mapping knows, and that the made-up files of the exchanges hold, are those of
// its schema.
func TestCodesOfTheCensus(t *testing.T) {
	codes := census(t)
	std, err := standard.Load(schemas.FS("child-protection-plan/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]string{}
	for _, p := range intake.Places(std) {
		words[string(p.To)] = p.Words
	}
	if got, want := slices.Sorted(slices.Values(words["/need"])), slices.Sorted(slices.Values(codes["primaryneedcodetype"])); !slices.Equal(got, want) || len(want) != 10 {
		t.Errorf("/need allows %q, the census %q", got, want)
	}
	known := map[string]map[string]string{}
	for _, w := range schemas.Words("standards.stile.example/child-protection-plan") {
		if strings.HasSuffix(w.Source, "CIN_schema_2024.xsd)") {
			if known[w.Place] == nil {
				known[w.Place] = map[string]string{}
			}
			known[w.Place][w.Word] = w.Means
		}
	}
	for place, of := range map[string]string{
		"/child/disabilities": "disabilitytype", "/plan/initial_category": "categoryofabuse", "/plan/latest_category": "categoryofabuse", "/child/sex": "gendertype",
	} {
		for code := range known[place] {
			if !slices.Contains(codes[of], code) {
				t.Errorf("%s: the census has no %s", place, code)
			}
		}
		for _, code := range codes[of] {
			// NONE is the standard's own word, and 9 (indeterminate) is none of its words.
			if known[place][code] == "" && code != "NONE" && code != "9" {
				t.Errorf("%s: %s of the census is not known", place, code)
			}
		}
		means := slices.Collect(maps.Values(known[place]))
		for _, w := range words[place] {
			if !slices.Contains(means, w) && w != "none" {
				t.Errorf("%s: nothing of the census means %s", place, w)
			}
		}
	}
	for _, file := range []string{"01-child-protection-transfer", "16-children-not-in-school"} {
		b, err := os.ReadFile(filepath.Join("..", "examples", file, "exchange.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range regexp.MustCompile(`heading: (Ethnicity|Need|Initial category|Latest category), cell: "?(?:\{pick )?([A-Z0-9|]+)`).FindAllStringSubmatch(string(b), -1) {
			of := map[string]string{"Ethnicity": "ethnicitytype", "Need": "primaryneedcodetype", "Initial category": "categoryofabuse", "Latest category": "categoryofabuse"}[m[1]]
			for code := range strings.SplitSeq(m[2], "|") {
				if found++; !slices.Contains(codes[of], code) {
					t.Errorf("%s: the census has no %s %s", file, m[1], code)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: no code is found", file)
		}
	}
}
