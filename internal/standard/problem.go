package standard

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
)

// A Problem is one thing wrong with a record, in words for the person who
// keeps the data. Its words come from the standard alone; it never holds a
// value of the record.
type Problem = api.Problem

// Words for the types of JSON, as a data officer would say them.
var kindWords = []struct {
	kind kinds
	word string
}{
	{isString, "text"},
	{isInteger, "a whole number"},
	{isNumber, "a number"},
	{isBool, "true or false"},
	{isArray, "a list"},
	{isObject, "a group of fields"},
	{isNull, "empty (null)"},
}

func (k kinds) words() string {
	var w []string
	for _, kw := range kindWords {
		if k&kw.kind != 0 && (kw.kind != isInteger || k&isNumber == 0) {
			w = append(w, kw.word)
		}
	}
	return orList(w)
}

func orList(w []string) string {
	if len(w) < 2 {
		return strings.Join(w, "")
	}
	return strings.Join(w[:len(w)-1], ", ") + " or " + w[len(w)-1]
}

// Words for formats: an example says more than a name.
var formatWords = map[string]string{
	"date":                  "a date such as 2026-11-22",
	"date-time":             "a date and time with its offset, such as 2026-11-22T09:30:00Z",
	"time":                  "a time with its offset, such as 09:30:00Z",
	"duration":              "a duration such as P1Y or P7D",
	"email":                 "an email address such as name@example.org",
	"idn-email":             "an email address such as name@example.org",
	"hostname":              "a host name such as www.example.org",
	"idn-hostname":          "a host name such as www.example.org",
	"ipv4":                  "an IPv4 address such as 192.0.2.1",
	"ipv6":                  "an IPv6 address such as 2001:db8::1",
	"uri":                   "a full web address such as https://www.example.org/page",
	"iri":                   "a full web address such as https://www.example.org/page",
	"uri-reference":         "a web address or a part of one",
	"iri-reference":         "a web address or a part of one",
	"uri-template":          "a URI template such as /pages/{page}",
	"nhs-number":            "an NHS number: ten digits, the last of which is right for the others",
	"uuid":                  "a UUID such as 123e4567-e89b-42d3-a456-426614174000",
	"json-pointer":          "a JSON Pointer such as /a/b",
	"relative-json-pointer": "a relative JSON Pointer such as 1/a",
	"regex":                 "a regular expression",
}

// problem words one fault at a place.
func (f *fault) problem(pointer string) Problem {
	n := f.node
	p := Problem{Pointer: pointer, Rule: f.rule}
	switch f.rule {
	case "type":
		p.Detail = "must be " + n.types.words()
		p.Fix = typeFix(n.types, f.got)
	case "enum":
		p.Detail = "must be one of: " + n.values.words() + " (the standard's list)"
		p.Fix = "use a value from the list, spelt just so"
	case "const":
		p.Detail = "must be " + n.one.words()
		p.Fix = "put in just that, or leave the field out if it does not apply"
	case "format":
		w := formatWords[n.format.Name]
		if w == "" {
			w = "in the format " + strconv.Quote(clip(n.format.Name))
		}
		p.Detail = "must be " + w
		p.Fix = "write it in that form"
	case "pattern":
		p.Detail = "is not in the form that the standard asks for" + n.hint()
		p.Fix = "write it so that it matches " + clipText(n.re.source, 200)
	case "minLength":
		p.Detail = fmt.Sprintf("must have at least %s", count(*n.minLen, "character"))
		p.Fix = "write more"
		if *n.minLen == 1 {
			p.Detail, p.Fix = "must not be blank", "fill it in, or leave the field out if it is not required"
		}
	case "maxLength":
		p.Detail = fmt.Sprintf("must have at most %s", count(*n.maxLen, "character"))
		p.Fix = "shorten it"
	case "minimum":
		p.Detail, p.Fix = "must be "+n.min.String()+" or more", "check the number and its unit"
	case "maximum":
		p.Detail, p.Fix = "must be "+n.max.String()+" or less", "check the number and its unit"
	case "exclusiveMinimum":
		p.Detail, p.Fix = "must be more than "+n.over.String(), "check the number and its unit"
	case "exclusiveMaximum":
		p.Detail, p.Fix = "must be less than "+n.under.String(), "check the number and its unit"
	case "multipleOf":
		p.Detail, p.Fix = "must be a multiple of "+n.step.String(), "round it"
		switch k := n.step.places(); {
		case k == 0:
			p.Detail = "must be a whole number"
		case k > 0:
			p.Detail = "must have at most " + count(k, "decimal place")
		}
	}
	return p
}

func typeFix(want, got kinds) string {
	switch {
	case got == isNull:
		return "fill it in, or leave the field out if it is not required"
	case got == isString && want&(isNumber|isInteger) != 0:
		return "send the number without quotation marks"
	case got == isString && want&isBool != 0:
		return "send true or false without quotation marks"
	case got == isNumber && want&isInteger != 0:
		return "leave out the fraction"
	case got == isNumber && want&isString != 0:
		return "put quotation marks round it"
	case want&isArray != 0:
		return "put it in a list, even if there is only one"
	}
	return "send " + want.words()
}

// words lists the values, which are the schema's own.
func (vs *values) words() string {
	var w []string
	for _, v := range vs.list {
		if len(w) == 30 {
			w = append(w, fmt.Sprintf("… (%d in all)", len(vs.list)))
			break
		}
		switch v := v.(type) {
		case nil:
			w = append(w, "null")
		case string:
			if v == "" || strings.ContainsAny(v, ",") || v != strings.TrimSpace(v) {
				v = strconv.Quote(v)
			}
			w = append(w, clipText(v, 80))
		case json.Number:
			w = append(w, string(v))
		default:
			w = append(w, clipText(string(strictjson.Canonical(v)), 80))
		}
	}
	return strings.Join(w, ", ")
}

// hint is what the schema says of a field in words.
func (n *node) hint() string {
	if n.about != "" {
		return ": " + clipText(strings.TrimRight(n.about, ". \n"), 200)
	}
	return ""
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if thing == "entry" {
		return strconv.Itoa(n) + " entries"
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// clipText shortens s to about n bytes at a character.
func clipText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
