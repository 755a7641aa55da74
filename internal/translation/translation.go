// Package translation turns records of a standard into the form of a data standard that
// somebody else publishes, and back. Both ways are said by one file, so that they cannot
// drift apart:
//
//	translation: 1
//	title: Open Contracting Data Standard 1.1.5, release package
//	standard: standards.stile.example/contract@1
//	schema: https://standard.open-contracting.org/schema/1__1__5/release-package-schema.json
//	list: /releases
//	around:
//	  - {theirs: /version, is: "1.1"}
//	fields:
//	  - {ours: /ocid, theirs: /ocid}
//	  - {ours: /start_on, theirs: "/contracts[only]/period/startDate", as: date-time}
//	stays:
//	  /tool: OCDS has no place for it.
//
// A field is a place in our record (ours), a place in theirs, and what is done on the way.
// Going out, every field that is filled is written; coming in, the first of several fields
// of one place that theirs has is taken. A step of their place is the name of a member,
// and may say which element of a list is meant, or which object:
//
//	awards[only]              the one element; coming in, a list of several is refused
//	items[first]              the first of a list; the others are not taken
//	parties[roles:supplier]   the element whose member roles, a list, has the word supplier
//	milestones[id=review]     the element whose member id is review
//	identifier(scheme=GB-COH) the object, where its member scheme is GB-COH
//
// What has no place of ours is made on the way out: is says it, make fills in a text such
// as "{/ocid}-award", and uuid makes an id that is the same each time. Coming in, members
// that no field names are left out, and null and the empty text stand for nothing.
//
// What comes in is somebody else's: it is judged by the standard afterwards, like any
// record, and no error here holds a value of it.
package translation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// maxFile is the size of the largest translation file, in bytes, and maxFields how many fields
// the longest has: what a record costs grows with them.
const (
	maxFile   = 1 << 20
	maxFields = 1000
)

// The ways of a field that goes one way only.
const (
	in  = "in"
	out = "out"
)

// dateTime is the conversion of a day of ours to a time of theirs, at its beginning in UTC,
// and back to the day that their time has in its own zone.
const dateTime = "date-time"

// A Translation says how records of a standard stand in a form of somebody else. It does
// not change once it is parsed, and may be used concurrently.
type Translation struct {
	Version  int               `yaml:"translation"` // of the format of these files: 1
	Title    string            `yaml:"title"`       // of their form
	Standard name.StandardLine `yaml:"standard"`    // of our records
	Schema   string            `yaml:"schema"`      // address of what a file in their form conforms to
	List     string            `yaml:"list"`        // the place of the records in a file, a JSON Pointer
	Around   []Field           `yaml:"around"`      // what stands beside them in a file; going out only
	Fields   []Field           `yaml:"fields"`
	// Stays are open fields of ours that do not go, each with why.
	Stays map[string]string `yaml:"stays"`

	said map[string]string
}

// A Field is a place in our record and one in theirs. It has one of Ours, Is, Make and UUID.
type Field struct {
	Ours   string `yaml:"ours"`   // JSON Pointer; "." is the element itself, of Each
	Theirs string `yaml:"theirs"` // see the package; "." is the element itself, of Each
	Only   string `yaml:"only"`   // in or out; "" is both ways
	As     string `yaml:"as"`     // date-time, or ""
	// Values are pairs of a value of ours and one of theirs; none: the value is the same.
	// The first pair that has it is taken, either way.
	Values [][2]any `yaml:"values"`
	// Unknown is skip where a value of theirs that no pair has is left out; "": it is refused.
	Unknown string  `yaml:"unknown"`
	Each    []Field `yaml:"each"` // of the elements of a list

	Is   any      `yaml:"is"`   // what stands there where nothing else does and the object that it is a member of is there
	Make []string `yaml:"make"` // texts to fill in; the first of which everything is known is taken
	// UUID is a text to fill in, from which a UUID is made, where the object that it is a
	// member of is there: the same text makes the same id. {at} is the element of a list
	// that it is for, such as /places/0.
	UUID string `yaml:"uuid"`

	theirs []step
}

// A Problem says why something of theirs could not be taken.
type Problem struct {
	Ours   string // JSON Pointer of the place it would have
	Theirs string // the place as the translation has it
	Rule   string
	Detail string
	Fix    string
}

// The rules that a Problem can name.
const (
	RuleSeveral  = "several"   // a list of more than one, where a record of ours has place for one
	RuleShape    = "shape"     // an object or a list where a value is wanted, or the other way round
	RuleDateTime = "date-time" // no time
	RuleValue    = "value"     // a value that the translation does not name
)

// maxProblems is how many problems of one record are told.
const maxProblems = 50

// Parse reads a translation. The error names every place that is wrong.
func Parse(b []byte) (*Translation, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("read translation: it is longer than %d bytes", maxFile)
	}
	t := new(Translation)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("read translation: %w", err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("read translation: want one YAML document, and the file holds more")
	}
	var errs []error
	bad := func(place, format string, args ...any) {
		errs = append(errs, fmt.Errorf("read translation: %s: "+format, append([]any{place}, args...)...))
	}
	if t.Version != 1 {
		bad("translation", "want 1, the format that this program reads")
	}
	if t.Standard == (name.StandardLine{}) {
		bad("standard", "name the standard of the records and its major version")
	}
	if len(t.Fields) == 0 {
		bad("fields", "is empty")
	}
	if count(t.Around)+count(t.Fields) > maxFields {
		bad("fields", "want at most %d, with those around the list and under each", maxFields)
	}
	if _, err := name.ParseField(t.List); err != nil {
		bad("list", "want a JSON Pointer: %v", err)
	}
	for place := range t.Stays {
		if f, err := name.ParseField(place); err != nil || f == "" {
			bad("stays", "want places in the record, such as /tool")
		}
	}
	check(t.Around, "around", bad)
	check(t.Fields, "fields", bad)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// count counts fields with those under each.
func count(fields []Field) int {
	n := len(fields)
	for _, f := range fields {
		n += count(f.Each)
	}
	return n
}

// check holds fields against what a translation needs, and takes their places apart.
func check(fields []Field, at string, bad func(place, format string, args ...any)) {
	for i := range fields {
		f := &fields[i]
		place := fmt.Sprintf("%s, %d", at, i+1)
		kinds := 0
		for _, there := range []bool{f.Ours != "", f.Is != nil, len(f.Make) > 0, f.UUID != ""} {
			if there {
				kinds++
			}
		}
		if kinds != 1 {
			bad(place, "want one of ours, is, make and uuid")
		}
		var err error
		if f.theirs, err = parse(f.Theirs); err != nil {
			bad(place, "theirs: %v", err)
		}
		if f.Ours != "." && f.Ours != "" {
			if _, err := name.ParseField(f.Ours); err != nil || !strings.HasPrefix(f.Ours, "/") {
				bad(place, "ours: want a place in the record, such as /title")
			}
		}
		if f.Only != "" && f.Only != in && f.Only != out {
			bad(place, "only: want in or out")
		}
		if f.As != "" && f.As != dateTime {
			bad(place, "as: want date-time")
		}
		if f.Unknown != "" && (f.Unknown != "skip" || len(f.Values) == 0) {
			bad(place, "unknown: want skip, beside values")
		}
		if f.Ours == "" && (f.Only != "" || f.As != "" || len(f.Values) > 0 || len(f.Each) > 0) {
			bad(place, "only, as, values and each belong to ours: what is made goes out only")
		}
		if len(f.Each) > 0 && (f.As != "" || len(f.Values) > 0) {
			bad(place, "as and values belong to the fields under each")
		}
		for j, pair := range f.Values {
			for side := range pair {
				if f.Values[j][side], err = scalar(pair[side]); err != nil {
					bad(place, "values, %d: %v", j+1, err)
				} else if _, list := f.Values[j][side].([]any); list {
					bad(place, "values, %d: want two single values", j+1)
				}
			}
		}
		if f.Ours == "" && f.Theirs == "." {
			bad(place, "theirs: what is made needs a place of its own")
		}
		if f.Is != nil {
			if f.Is, err = scalar(f.Is); err != nil {
				bad(place, "is: %v", err)
			}
		}
		check(f.Each, place+", each", bad)
	}
}

// scalar makes of a value of YAML one as JSON is read: a text, a number, true or false, or a
// list of them.
func scalar(v any) (any, error) {
	switch v := v.(type) {
	case string, bool:
		return v, nil
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case []any:
		list := make([]any, len(v))
		for i := range v {
			var err error
			if list[i], err = scalar(v[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, errors.New("want a text, a whole number, true, false, or a list of them")
}

// Ours lists the places of our record that go out, each item of a list as *, and those that
// texts are filled with.
func (t *Translation) Ours() []string {
	all := places(t.Fields, "")
	slices.Sort(all)
	return slices.Compact(all)
}

func places(fields []Field, at string) (all []string) {
	for _, f := range fields {
		for _, text := range append([]string{f.UUID}, f.Make...) {
			for _, b := range braced.FindAllString(text, -1) {
				switch what := b[1 : len(b)-1]; {
				case strings.HasPrefix(what, "/"):
					all = append(all, what)
				case strings.HasPrefix(what, "./"):
					all = append(all, at+what[1:])
				case what == ".":
					all = append(all, at)
				}
			}
		}
		if f.Ours == "" || f.Only == in {
			continue
		}
		place := at + strings.TrimPrefix(f.Ours, ".")
		if len(f.Each) > 0 {
			all = append(all, places(f.Each, place+"/*")...)
		} else {
			all = append(all, place)
		}
	}
	return all
}

// Theirs says from where in their form a place of our record comes, as the translation has
// it; "" where it names none.
func (t *Translation) Theirs(ours string) string {
	var from []string
	for _, f := range t.Fields {
		if f.Ours != "" && f.Only != out && name.Field(ours).Under(name.Field(f.Ours)) {
			from = append(from, f.Theirs)
		}
	}
	return strings.Join(from, " or ")
}
