package translation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/translation"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

var update = flag.Bool("update", false, "write docs/translations.md anew")

func shipped(t testing.TB, id string) (*translation.Translation, *standard.Standard) {
	t.Helper()
	tr := translation.Shipped(id)
	s, err := standard.Load(schemas.FS(tr.Standard.Name.Slug() + "/1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return tr, s
}

func decode(t testing.TB, text string) any {
	t.Helper()
	v, err := strictjson.Decode([]byte(text), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryOpenField: each field of the standard that is open has a place in their form or is
// told to have none, with the reason, and no other goes out.
func TestEveryOpenField(t *testing.T) {
	for _, id := range schemas.Translations() {
		tr, s := shipped(t, id)
		going := tr.Ours()
		for _, p := range going {
			if class := s.Class(name.Field(p)); class != standard.Open {
				t.Errorf("%s: %s is %s", id, p, class)
			}
		}
		for _, f := range tr.Fields {
			if tr.Stays[f.Ours] != "" {
				t.Errorf("%s: %s goes and is told to stay", id, f.Ours)
			}
		}
		for f, class := range s.Manifest().Classes {
			p := string(f)
			within := slices.ContainsFunc(going, func(g string) bool { return name.Field(g).Under(f) })
			if class == standard.Open && !within && tr.Stays[p] == "" {
				t.Errorf("%s: nothing is said of %s", id, p)
			}
		}
	}
}

// TestThereAndBack: a record that goes out and comes in again is the same, but for what is
// not open and what is told to stay. Another council, and a supplier with a charity number
// or without any, among them.
func TestThereAndBack(t *testing.T) {
	more := map[string][]string{
		"ocds": {
			`{"ocid":"ocds-h6vhtk-1","council":"E09000003","title":"Care","kind":"services","process":"below-threshold","supplier":{"name":"Moor Carers","charity":"1234567","vcse":true,"small":true},"start_on":"2026-04-01","end_on":"2027-03-31","review_on":"2026-10-01","value":12.50}`,
			`{"ocid":"ocds-h6vhtk-2","council":"E09000003","title":"Care","kind":"works","process":"competitive-flexible","cpv":"45233130","description":"All","supplier":{"name":"Moor","charity":"1234567","company":"01234567","small":false},"start_on":"2026-04-01","end_on":"2027-03-31","extension_to":"2028-03-31","value":0}`,
		},
		"open-referral-uk": {
			`{"id":"6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d12","council":"E06000998","name":"Café","status":"defunct","email":"a@b.example","phone":"01632 960000","organisation":{"name":"Moor","company":"01234567","url":"https://moor.example"},"minimum_age":0,"maximum_age":18,"eligibility":"All","places":[{"address":"1 Road"},{"postcode":"NM1 1AA","accessible":false},{"name":"Hall","hours":"Late"}]}`,
		},
	}
	for _, id := range schemas.Translations() {
		tr, s := shipped(t, id)
		tr, err := tr.Saying([]string{"/council=E06000998"})
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		valid, _ := s.Examples()
		for _, e := range valid {
			texts = append(texts, string(e.Text))
		}
		for _, text := range append(texts, more[id]...) {
			record := decode(t, text).(map[string]any)
			if problems := s.Validate(record); len(problems) > 0 {
				t.Fatalf("%s: %s: %+v", id, text, problems)
			}
			theirs := decode(t, string(strictjson.Canonical(tr.Out(record, map[string]any{"version": json.Number("1"), "issued": "2026-11-29T09:00:00Z"}))))
			back, problems := tr.In(theirs)
			for p := range tr.Stays {
				if p != "/council" {
					delete(record, p[1:])
				}
			}
			for f, class := range s.Manifest().Classes {
				if class != standard.Open && strings.Count(string(f), "/") == 1 {
					delete(record, string(f)[1:])
				}
			}
			if len(problems) > 0 || !reflect.DeepEqual(back, record) {
				t.Errorf("%s: %+v\ngot  %s\nwant %s", id, problems, strictjson.Canonical(back), strictjson.Canonical(record))
			}
		}
	}
}

// TestIn: what cannot be a record is refused by place and rule, never by value, and what a
// file does not say is not made up.
func TestIn(t *testing.T) {
	tr, _ := shipped(t, "ocds")
	const release = `{"ocid":"ocds-h6vhtk-1","parties":[{"roles":["buyer"],"identifier":{"scheme":"GB-LAC","id":"E09000003"}},{"roles":["supplier"],"name":"Moor"}],"contracts":[{"value":{"amount":5,"currency":"GBP"},"period":{"startDate":"2026-04-01T00:00:00Z","endDate":"2027-03-31T23:59:59+01:00"}}]}`
	for _, c := range []struct{ was, is, want string }{
		{"", "", `{"council":"E09000003","end_on":"2027-03-31","ocid":"ocds-h6vhtk-1","start_on":"2026-04-01","supplier":{"name":"Moor"},"value":5}`},
		{`"contracts":[`, `"contracts":[{"id":"2"},`, `/title /contracts[only] several`},
		{`["supplier"],"name":"Moor"}`, `["supplier"],"name":"Moor"},{"roles":["supplier"],"name":"Secret"}`, `/supplier/name /parties[roles:supplier] several`},
		{`2026-04-01T00:00:00Z`, `01/04/2026`, `/start_on /contracts[only]/period/startDate date-time`},
		{`"amount":5`, `"amount":{"secret":5}`, `/value /contracts[only]/value(currency=GBP)/amount shape`},
		{`"GBP"`, `"EUR"`, `{"council":"E09000003","end_on":"2027-03-31","ocid":"ocds-h6vhtk-1","start_on":"2026-04-01","supplier":{"name":"Moor"}}`},
		{`"GB-LAC"`, `"GB-LAE"`, `{"end_on":"2027-03-31","ocid":"ocds-h6vhtk-1","start_on":"2026-04-01","supplier":{"name":"Moor"},"value":5}`},
		{`"name":"Moor"`, `"name":null`, `{"council":"E09000003","end_on":"2027-03-31","ocid":"ocds-h6vhtk-1","start_on":"2026-04-01","value":5}`},
		{`"contracts":[`, `"awards":7,"tender":[],"contracts":[`, `{"council":"E09000003","end_on":"2027-03-31","ocid":"ocds-h6vhtk-1","start_on":"2026-04-01","supplier":{"name":"Moor"},"value":5}`},
	} {
		text := strings.Replace(release, c.was, c.is, 1)
		rec, problems := tr.In(decode(t, text))
		got := string(strictjson.Canonical(rec))
		if len(problems) > 0 {
			got = problems[0].Ours + " " + problems[0].Theirs + " " + problems[0].Rule
			if all := fmt.Sprintf("%+v", problems); strings.Contains(all, "Secret") || strings.Contains(all, "01/04") {
				t.Errorf("a problem holds a value: %s", all)
			}
		}
		if got != c.want {
			t.Errorf("%s for %s:\ngot  %s\nwant %s", c.is, c.was, got, c.want)
		}
	}
	if rec, problems := tr.In(decode(t, `["no","release"]`)); len(rec) != 0 || len(problems) != 0 {
		t.Errorf("of a list: %v, %v", rec, problems)
	}
}

// TestParse: a translation that could not be executed is refused, with the place.
func TestParse(t *testing.T) {
	const head = "translation: 1\nstandard: standards.example/x@1\nlist: /all\nfields:\n"
	for body, want := range map[string]string{
		`  - {ours: /a, theirs: a}`:                                  "fields, 1: theirs: want a place",
		`  - {ours: /a, theirs: "/a[all]/b"}`:                        "fields, 1: theirs: \"a[all]\" is no step",
		`  - {ours: a, theirs: /a}`:                                  "fields, 1: ours: want a place in the record",
		`  - {theirs: /a}`:                                           "fields, 1: want one of ours, is, make and uuid",
		`  - {ours: /a, theirs: /a, is: b}`:                          "fields, 1: want one of ours",
		`  - {theirs: /a, is: b, only: in}`:                          "fields, 1: only, as, values and each belong to ours",
		`  - {theirs: ., is: b}`:                                     "fields, 1: theirs: what is made needs a place",
		`  - {ours: /a, theirs: /a, only: both}`:                     "fields, 1: only: want in or out",
		`  - {ours: /a, theirs: /a, as: day}`:                        "fields, 1: as: want date-time",
		`  - {ours: /a, theirs: /a, values: [[a, [b]]]}`:             "fields, 1: values, 1: want two single values",
		`  - {ours: /a, theirs: /a, unknown: skip}`:                  "fields, 1: unknown: want skip, beside values",
		`  - {ours: /a, theirs: /a, each: [{ours: ., theirs: "/"}]}`: "fields, 1, each, 1: theirs",
		`  - {ours: /a, theirs: /a, values: [[1.5, b]]}`:             "values, 1: want a text, a whole number",
		`  - {ours: /a, theirs: /a, sometimes: 1}`:                   "not found in type",
		"  - {ours: /a, theirs: /a}\nstays: {tool: why}":             "stays: want places",
		"  - {ours: /a, theirs: /a}\n---\nmore: 1":                   "want one YAML document",
	} {
		if _, err := translation.Parse([]byte(head + body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	many := head + strings.Repeat("  - {ours: /a, theirs: /a}\n", 1001)
	for _, body := range []string{"translation: 2\n", "", strings.Repeat("#", 2<<20), many, strings.Replace(many, "fields:", "fields: [{ours: /a, theirs: /a}]\naround:", 1)} {
		if _, err := translation.Parse([]byte(body)); err == nil {
			t.Errorf("%.20q is taken", body)
		}
	}
}

// FuzzIn: whatever somebody else sends, it becomes a record or a refusal.
func FuzzIn(f *testing.F) {
	ocds, _ := shipped(f, "ocds")
	services, _ := shipped(f, "open-referral-uk")
	f.Add([]byte(`{"contracts":[{"items":[{"classification":{"scheme":"CPV","id":"1"}}],"milestones":[{"id":"review"}]}],"parties":[[],{"roles":"buyer"}]}`))
	f.Add([]byte(`{"attributes":[{"taxonomy_term":{"name":"a"}},7],"service_at_locations":[{"location":{"addresses":{}}}],"languages":"en"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := strictjson.Decode(b, strictjson.Limits{})
		if err != nil {
			return
		}
		for _, tr := range []*translation.Translation{ocds, services} {
			rec, _ := tr.In(v)
			if _, err := strictjson.Decode(strictjson.Canonical(rec), strictjson.Limits{}); err != nil {
				t.Fatalf("%s makes what is no JSON: %v", tr.Title, err)
			}
			tr.Out(v, nil) // of anything, too
		}
	})
}

const docHead = `# In the form of other data standards

Where somebody else publishes a data standard for what a standard of ours holds, a *translation* says which field is
which, both ways, in one file. Two come with Stile, in [schemas/translations](../schemas/translations).

    stile register export --out public        # open/contracts.ocds.json, open/service-directory.open-referral-uk.json
    stile import releases.json --translation ocds
    stile import services.json --translation open-referral-uk --set /council=E07000998

Going out, only fields go that the standard classes as open, of the records that the register shows. The pages at
/open have the same files, and the catalogue (DCAT) names them with what they conform to. Tests hold them against the
schemas of their publishers, where those are at hand. Services are also offered there by the calls of Open Referral UK's
own interface, which the catalogue names as a data service; see [the interface](registers.md#the-interface-of-open-referral-uk).

Coming in, each release or service is translated, and then judged by our standard as any record: what does not
fit is held back, with both places named. Members that no field names are left out. A release that has several contracts or
suppliers is refused, since a contract here is one of each. ` + "`--set`" + ` says what a file does not: Open Referral UK has no
place for the council that lists a service, and a release may name its buyer by another register than that of GSS
codes. ` + "`stile check`" + ` takes the same flags and keeps nothing.

The running node takes them in by itself, too, as a [feed](feeds.md):

    feeds:
      - name: services
        folder: /srv/drop/services
        translation: open-referral-uk
        set: [/council=E07000998]

A program sends them to the API with ` + "`?translation=ocds`" + `, and ` + "`&set=/council=E07000998`" + ` where that is needed ([api](api.md)).
On the page Imports a JSON file of contracts or services is looked at, and where its records stand where those of one of
these forms do, that form is chosen; the page says which, lets another be chosen, asks for what the file does not say,
and shows what would happen before anything is kept.

A translation of one's own is a copy of one of these files, named instead of ocds on the command line and in a feed, and
sent before the file to the API; what may stand in it, at most 1000 fields, is told in package
[internal/translation](../internal/translation/translation.go). Schemas of other publishers can be used as they are, too, for
who keeps records in their form: [examples/ocds](../examples/ocds/README.md),
[examples/open-referral-uk](../examples/open-referral-uk/README.md).
`

// TestDoc keeps docs/translations.md what the translations say.
func TestDoc(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(docHead)
	for _, id := range schemas.Translations() {
		tr, _ := shipped(t, id)
		fmt.Fprintf(&b, "\n## %s\n\n%s, and [%s](standards/%s.md). A file conforms to %s.\n\n| ours | | theirs | how |\n|---|---|---|---|\n", id, tr.Title, tr.Standard, tr.Standard.Name.Slug(), tr.Schema)
		table(&b, tr.Fields, "", "")
		b.WriteString("\nBeside the list in a file that is written:\n\n| | | theirs | how |\n|---|---|---|---|\n")
		table(&b, tr.Around, "", "")
		b.WriteString("\nWhat stays: internal and personal fields, and\n\n")
		for _, p := range slices.Sorted(maps.Keys(tr.Stays)) {
			fmt.Fprintf(&b, "- `%s`: %s\n", p, tr.Stays[p])
		}
	}
	path := filepath.Join("..", "..", "docs", "translations.md")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("docs/translations.md is not what the translations say.\nTry: go test ./internal/translation -run TestDoc -update")
	}
}

func table(b *bytes.Buffer, fields []translation.Field, ours, theirs string) {
	for _, f := range fields {
		place := strings.TrimSuffix(theirs+strings.TrimPrefix(f.Theirs, "."), "/")
		if len(f.Each) > 0 {
			table(b, f.Each, ours+f.Ours+"/*", place+"[*]")
			continue
		}
		how, way, from := "", "↔", "`"+ours+strings.TrimPrefix(f.Ours, ".")+"`"
		switch f.Only {
		case "in":
			way = "←"
		case "out":
			way = "→"
		}
		switch {
		case f.Is != nil:
			from, way, how = "", "→", fmt.Sprintf("always `%v`", f.Is)
		case len(f.Make) > 0:
			from, way, how = "", "→", "`"+strings.Join(f.Make, "`, or `")+"`"
		case f.UUID != "":
			from, way, how = "", "→", "a UUID made from `"+f.UUID+"`"
		case f.As != "":
			how = "day ↔ time"
		case len(f.Values) > 0:
			var pairs []string
			for _, v := range f.Values {
				pairs = append(pairs, fmt.Sprintf("%v %s %v", v[0], way, v[1]))
			}
			how = strings.Join(pairs, ", ")
		}
		if f.Unknown == "skip" {
			how += "; any other is left out"
		}
		fmt.Fprintf(b, "| %s | %s | `%s` | %s |\n", from, way, place, how)
	}
}
