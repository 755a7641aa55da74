package schemas_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
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

// nhsEthnicity are the national codes of ETHNIC CATEGORY in the NHS Data Model and Dictionary,
// https://www.datadictionary.nhs.uk/data_elements/ethnic_category.html, read on 2026-11-30.
var nhsEthnicity = map[string]string{
	"A": "White - British",
	"B": "White - Irish",
	"C": "White - Any other White background",
	"D": "Mixed - White and Black Caribbean",
	"E": "Mixed - White and Black African",
	"F": "Mixed - White and Asian",
	"G": "Mixed - Any other mixed background",
	"H": "Asian or Asian British - Indian",
	"J": "Asian or Asian British - Pakistani",
	"K": "Asian or Asian British - Bangladeshi",
	"L": "Asian or Asian British - Any other Asian background",
	"M": "Black or Black British - Caribbean",
	"N": "Black or Black British - African",
	"P": "Black or Black British - Any other Black background",
	"R": "Other Ethnic Groups - Chinese",
	"S": "Other Ethnic Groups - Any other ethnic group",
	"Z": "Not stated",
}

// TestCodesOfTheNHS: the ethnic categories that exchange 15 reads and makes up are those of the
// NHS, code by code and word by word. The standard itself takes any text there: councils code
// ethnicity in several ways.
func TestCodesOfTheNHS(t *testing.T) {
	folder := filepath.Join("..", "examples", "15-continuity-of-care")
	b, err := os.ReadFile(filepath.Join(folder, "moves.mapping.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := intake.ParseMapping(b)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(m.Columns, func(c intake.Column) bool { return c.To == "/adult/ethnicity" })
	if i < 0 || len(m.Columns[i].Values) == 0 {
		t.Fatal("the mapping reads no ethnic category")
	}
	read := m.Columns[i].Values
	for code, means := range read { // folded to small letters
		if code = strings.ToUpper(code); nhsEthnicity[code] != means {
			t.Errorf("the mapping reads %s as %q, which the NHS calls %q", code, means, nhsEthnicity[code])
		}
	}
	if b, err = os.ReadFile(filepath.Join(folder, "exchange.yaml")); err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`heading: Ethnicity, cell: "\{pick ([^}]+)\}"`).FindStringSubmatch(string(b))
	if made == nil {
		t.Fatal("the exchange makes up no ethnic category")
	}
	for code := range strings.SplitSeq(made[1], "|") {
		if read[strings.ToLower(code)] == nil {
			t.Errorf("the exchange makes up %s, which the mapping does not read", code)
		}
	}
}

// TestNHSNumbers: each standard that has a place for an NHS number takes a right one there and
// no other, in one way of writing; holds it to be personal, and finds by it what there is about
// somebody, in all standards under the same name. The numbers are the sample of NHS England's
// Personal Demographics Service and the worked example of
// https://en.wikipedia.org/wiki/NHS_number, read on 2026-11-30.
func TestNHSNumbers(t *testing.T) {
	var have []string
	for _, dir := range schemas.Names() {
		std, err := standard.Load(schemas.FS(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range placesOf(t, std.Schema(), "/$defs/nhsNumber") {
			have = append(have, dir+string(at))
			if !std.Class(at).AboutPerson() || !slices.Contains(std.Manifest().Persons, standard.PersonKey{Field: at, Scheme: "nhs"}) {
				t.Errorf("%s: nobody is found by the number at %s, or it is %s", dir, at, std.Class(at))
			}
			for number, right := range map[string]bool{
				"9000000009": true, "9434765919": true,
				"9000000000": false, "9434765910": false, "9434765999": false, // another check digit
				"9344765919": false, "9434769519": false, // two digits the other way round
				"943 476 5919": false, "943476591": false, "94347659190": false, "943476591X": false, "": false,
			} {
				valid, _ := std.Examples()
				i := slices.IndexFunc(valid, func(e standard.Example) bool { return put(e.Record, at, number) })
				if i < 0 {
					t.Fatalf("%s: no valid example has the place of %s", dir, at)
				}
				wrong := std.Validate(valid[i].Record)
				if right != (len(wrong) == 0) || slices.ContainsFunc(wrong, func(p standard.Problem) bool { return p.Pointer != string(at) }) {
					t.Errorf("%s: %q at %s is right: %v, and the standard says %v", dir, number, at, right, wrong)
				}
			}
		}
	}
	want := []string{
		"child-protection-plan/1.0.0/child/nhs_number", "children-not-in-school-notice/1.0.0/child/nhs_number", "continuity-of-care/1.0.0/adult/nhs_number",
		"ehc-plan-transfer/1.0.0/person/nhs_number", "looked-after-placement/1.0.0/child/nhs_number",
	}
	if !slices.Equal(have, want) {
		t.Errorf("NHS numbers stand at %q, want %q", have, want)
	}
}

// placesOf returns the places of a schema's properties that refer to what ends so.
func placesOf(t *testing.T, schema []byte, ref string) (places []name.Field) {
	t.Helper()
	var look func(raw json.RawMessage, at name.Field)
	look = func(raw json.RawMessage, at name.Field) {
		var of struct {
			Ref        string `json:"$ref"`
			Properties map[string]json.RawMessage
		}
		if err := json.Unmarshal(raw, &of); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(of.Ref, ref) {
			places = append(places, at)
		}
		for _, p := range slices.Sorted(maps.Keys(of.Properties)) {
			look(of.Properties[p], at.Child(p))
		}
	}
	look(schema, "")
	return places
}

// put puts a text at a place of a record; false where the record has no object for it.
func put(record any, at name.Field, text string) bool {
	tokens := at.Tokens()
	for _, tok := range tokens[:len(tokens)-1] {
		of, ok := record.(map[string]any)
		if !ok {
			return false
		}
		record = of[tok]
	}
	of, ok := record.(map[string]any)
	if ok {
		of[tokens[len(tokens)-1]] = text
	}
	return ok
}
