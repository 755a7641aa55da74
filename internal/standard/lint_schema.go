package standard

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A dialect is a draft of JSON Schema, as a year or a number below 10.
type dialect int

// dialects are the values of $schema, without scheme and empty fragment.
var dialects = map[string]dialect{
	"json-schema.org/draft-04/schema":      4,
	"json-schema.org/draft-06/schema":      6,
	"json-schema.org/draft-07/schema":      7,
	"json-schema.org/draft/2019-09/schema": 2019,
	"json-schema.org/draft/2020-12/schema": 2020,
	"json-schema.org/schema":               2020,
}

func dialectOf(uri string) (dialect, bool) {
	_, rest, _ := strings.Cut(uri, "://")
	d, ok := dialects[strings.TrimSuffix(rest, "#")]
	return d, ok
}

func (d dialect) String() string { return draftName(int(d)) }

// A keywordUse says of a keyword of JSON Schema to which types it speaks (0: to
// all) and in which drafts it is known, both ends included.
type keywordUse struct {
	kinds       kinds
	first, last dialect
}

var keywords = map[string]keywordUse{
	"$ref": {0, 4, 2020}, "$schema": {0, 4, 2020}, "$id": {0, 6, 2020}, "id": {0, 4, 4}, "$comment": {0, 7, 2020},
	"$anchor": {0, 2019, 2020}, "$recursiveAnchor": {0, 2019, 2019}, "$recursiveRef": {0, 2019, 2019}, "$vocabulary": {0, 2019, 2020},
	"$dynamicAnchor": {0, 2020, 2020}, "$dynamicRef": {0, 2020, 2020}, "$defs": {0, 2019, 2020}, "definitions": {0, 4, 2020},
	"title": {0, 4, 2020}, "description": {0, 4, 2020}, "default": {0, 4, 2020}, "examples": {0, 6, 2020}, "readOnly": {0, 7, 2020},
	"writeOnly": {0, 7, 2020}, "deprecated": {0, 2019, 2020},
	"type": {0, 4, 2020}, "enum": {0, 4, 2020}, "const": {0, 6, 2020}, "format": {0, 4, 2020},
	"allOf": {0, 4, 2020}, "anyOf": {0, 4, 2020}, "oneOf": {0, 4, 2020}, "not": {0, 4, 2020},
	"if": {0, 7, 2020}, "then": {0, 7, 2020}, "else": {0, 7, 2020},
	"multipleOf": {isNumber | isInteger, 4, 2020}, "minimum": {isNumber | isInteger, 4, 2020}, "maximum": {isNumber | isInteger, 4, 2020},
	"exclusiveMinimum": {isNumber | isInteger, 4, 2020}, "exclusiveMaximum": {isNumber | isInteger, 4, 2020},
	"minLength": {isString, 4, 2020}, "maxLength": {isString, 4, 2020}, "pattern": {isString, 4, 2020},
	"contentEncoding": {isString, 7, 2020}, "contentMediaType": {isString, 7, 2020}, "contentSchema": {isString, 2019, 2020},
	"items": {isArray, 4, 2020}, "additionalItems": {isArray, 4, 2019}, "prefixItems": {isArray, 2020, 2020}, "contains": {isArray, 6, 2020},
	"minContains": {isArray, 2019, 2020}, "maxContains": {isArray, 2019, 2020}, "minItems": {isArray, 4, 2020}, "maxItems": {isArray, 4, 2020},
	"uniqueItems": {isArray, 4, 2020}, "unevaluatedItems": {isArray, 2019, 2020},
	"properties": {isObject, 4, 2020}, "patternProperties": {isObject, 4, 2020}, "additionalProperties": {isObject, 4, 2020},
	"propertyNames": {isObject, 6, 2020}, "required": {isObject, 4, 2020}, "minProperties": {isObject, 4, 2020}, "maxProperties": {isObject, 4, 2020},
	"dependencies": {isObject, 4, 2020}, "dependentRequired": {isObject, 2019, 2020}, "dependentSchemas": {isObject, 2019, 2020},
	"unevaluatedProperties": {isObject, 2019, 2020},
}

// A lintDoc is one schema document being linted.
type lintDoc struct {
	l       *linter
	file    string
	root    map[string]any
	dialect dialect
	lone    map[string]bool // places that the draft does not look at: beside a $ref before 2019-09

	bare []string // members without title and description
}

func newLintDoc(l *linter, file string, root map[string]any) *lintDoc {
	d := &lintDoc{l: l, file: file, root: root, dialect: 2020, lone: map[string]bool{}}
	uri, ok := root["$schema"].(string)
	named, known := dialectOf(uri)
	switch {
	case known:
		d.dialect = named
	case ok:
		// A meta-schema may stand in the standard itself.
		if l.manifest == nil || l.manifest.Resources[strings.TrimSuffix(uri, "#")] == "" && l.manifest.Resources[uri] == "" {
			d.add(SeverityError, "/$schema", "unknown-draft", fmt.Sprintf("$schema is %q, which is no draft of JSON Schema", clip(uri)),
				"name the draft it is written in, such as https://json-schema.org/draft/2020-12/schema")
		}
	case file == "schema.json" && d.notSchema() == "":
		d.add(SeverityWarning, "", "no-draft", "names no draft of JSON Schema, so it is read as 2020-12"+d.older(),
			"add $schema, such as \"https://json-schema.org/draft/2020-12/schema\"")
	}
	if !known && file != "schema.json" && !ok {
		// The engine reads a document without $schema by the default.
		d.dialect = 2020
	}
	return d
}

// older says by which sign a schema without $schema seems to be of an older
// draft; "" when nothing tells.
func (d *lintDoc) older() string {
	sign := ""
	var walk func(v any, schema bool)
	walk = func(v any, schema bool) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e, schema)
			}
		case map[string]any:
			if schema {
				if _, ok := v["exclusiveMinimum"].(bool); ok {
					sign = "; exclusiveMinimum is true or false, as in draft 4"
				}
				if _, ok := v["items"].([]any); ok && sign == "" {
					sign = "; items is a list, as before 2020-12"
				}
			}
			each(v, "", schema, func(_ string, e any, schema bool) { walk(e, schema) })
		}
	}
	walk(d.root, true)
	return sign
}

func (d *lintDoc) add(sev Severity, ptr, rule, detail, fix string) {
	d.l.add(sev, d.file, ptr, rule, detail, fix)
}

// walk looks at every schema of the document.
func (d *lintDoc) walk() {
	if d.file == "schema.json" {
		d.kind()
	}
	d.visit("", d.root, true)
	slices.Sort(d.bare)
	d.bare = slices.Compact(d.bare)
	if n := len(d.bare); n > 0 {
		d.add(SeverityNote, "", "no-words", fmt.Sprintf("%s described by neither title nor description: %s", fieldsAre(n), quoted(d.bare)),
			"say in a sentence what goes there; data officers see it when a record is refused")
	}
}

func (d *lintDoc) visit(ptr string, v any, schema bool) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			d.visit(ptr+"/"+strconv.Itoa(i), e, schema)
		}
	case map[string]any:
		if schema {
			d.schema(ptr, v)
		}
		each(v, ptr, schema, func(p string, e any, schema bool) { d.visit(p, e, schema) })
	}
}

// notSchema names what the document is when it is something else than a schema;
// "" when it is, or may be, one.
func (d *lintDoc) notSchema() string {
	is := func(k string) bool { _, ok := d.root[k]; return ok }
	switch {
	case is("swagger") || is("openapi"):
		return "the description of an interface (OpenAPI)"
	case is("fields") && !is("properties"):
		return "a list of columns (a table schema)"
	case is("@context") && !is("properties"):
		return "linked data (JSON-LD)"
	case is("linkml:types") || is("classes") && is("slots"):
		return "a LinkML model"
	}
	return ""
}

// kind tells of a schema.json that would take every record, be it because it
// is no schema.
func (d *lintDoc) kind() {
	fix := "write a JSON Schema of one record; stile standard new drafts one from an example record"
	if what := d.notSchema(); what != "" {
		if strings.Contains(what, "OpenAPI") {
			fix = "keep it in the folder under another name, name that under resources in standard.yaml, and let schema.json refer to one record in it, such as {\"$ref\": \"<its address>#/definitions/<name>\"}"
		}
		if strings.Contains(what, "LinkML") {
			fix = "make a JSON Schema of it with LinkML's own generator and publish that"
		}
		d.add(SeverityError, "", "not-a-schema", "is "+what+", not a JSON Schema: every record would be valid", fix)
		return
	}
	for k := range d.root {
		if u, ok := keywords[k]; ok && (u.kinds != 0 || asserts(k)) {
			return
		}
	}
	fix = "say at least type, properties and required"
	for _, at := range []string{"$defs", "definitions"} {
		if m, _ := d.root[at].(map[string]any); len(m) > 0 {
			fix = fmt.Sprintf("say which of its definitions is a record, such as \"$ref\": \"#/%s/%s\"", at, slices.Min(slices.Collect(maps.Keys(m))))
		}
	}
	d.add(SeverityError, "", "asks-nothing", "asks nothing of a record: every record would be valid", fix)
}

// asserts reports whether a keyword that speaks to all types can refuse a value.
func asserts(k string) bool {
	return slices.Contains([]string{"$ref", "$recursiveRef", "$dynamicRef", "type", "enum", "const", "format", "allOf", "anyOf", "oneOf", "not", "if"}, k)
}

func (d *lintDoc) schema(ptr string, v map[string]any) {
	_, isRef := v["$ref"].(string)
	if isRef && d.dialect <= 7 {
		var idle []string
		for k := range v {
			if u, ok := keywords[k]; ok && k != "$ref" && (u.kinds != 0 || asserts(k)) {
				idle = append(idle, k)
			}
		}
		if len(idle) > 0 {
			slices.Sort(idle)
			d.add(SeverityWarning, ptr, "beside-ref", fmt.Sprintf("%s beside $ref is not looked at in %s", quoted(idle), d.dialect), "put both into an allOf")
		}
		return // the draft does not look at what stands here
	}
	own := typesOf(v["type"])
	for k := range v {
		d.keyword(ptr, k, own, v)
	}
	d.required(ptr, v)
	d.enum(ptr, v)
	d.ends(ptr, v)
	d.patterns(ptr, v)
	if f, ok := v["format"].(string); ok && formatWords[f] == "" {
		d.add(SeverityWarning, ptr+"/format", "unknown-format", fmt.Sprintf("the format %q is not known, so it is not checked", clip(f)),
			"use a format of JSON Schema, such as date or email, or say what you mean by a pattern")
	}
	if props, ok := v["properties"].(map[string]any); ok {
		for n, p := range props {
			if p, ok := p.(map[string]any); ok {
				_, ref := p["$ref"]
				if p["title"] == nil && p["description"] == nil && !ref {
					d.bare = append(d.bare, n)
				}
			}
		}
	}
}

func typesOf(v any) kinds {
	word := func(v any) kinds {
		switch v {
		case "null":
			return isNull
		case "boolean":
			return isBool
		case "number":
			return isNumber | isInteger
		case "integer":
			return isInteger
		case "string":
			return isString
		case "array":
			return isArray
		case "object":
			return isObject
		}
		return 0
	}
	if list, ok := v.([]any); ok {
		k := kinds(0)
		for _, e := range list {
			k |= word(e)
		}
		return k
	}
	return word(v)
}

// keyword looks at a keyword by its name.
func (d *lintDoc) keyword(ptr, k string, own kinds, v map[string]any) {
	at := ptr + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
	u, known := keywords[k]
	switch {
	case !known:
		if strings.HasPrefix(k, "x-") || len(k) < 4 || k == "example" { // OpenAPI's own
			return
		}
		for _, near := range slices.Sorted(maps.Keys(keywords)) {
			if n := distance(strings.ToLower(k), strings.ToLower(near)); n <= 1+len(near)/8 && len(near) > 3 && v[near] == nil {
				d.add(SeverityWarning, at, "unknown-keyword", fmt.Sprintf("%q is not a keyword of JSON Schema; perhaps %q is meant", clip(k), near), "correct the spelling, or take it out")
				return
			}
		}
	case d.dialect < u.first || d.dialect > u.last:
		// What only annotates is harmless in any draft, and "id" is a name that
		// people use for other things.
		if slices.Contains([]string{"id", "deprecated", "examples", "readOnly", "writeOnly", "$comment", "contentEncoding", "contentMediaType", "contentSchema"}, k) {
			return
		}
		d.add(SeverityWarning, at, "other-draft", fmt.Sprintf("%q has no meaning in %s, so it is not looked at", k, d.dialect), "name the draft that has it in $schema, or say it in the words of this one")
	case u.kinds != 0 && own != 0 && own&u.kinds == 0:
		d.add(SeverityWarning, at, "idle-keyword", fmt.Sprintf("%q never applies: the type here is %s", k, own.words()), "correct the type, or take the keyword out")
	}
}

// required looks for names that stand twice and for those no record can give.
func (d *lintDoc) required(ptr string, v map[string]any) {
	list, ok := v["required"].([]any)
	if !ok {
		return
	}
	props, hasProps := v["properties"].(map[string]any)
	var patterns []*regexp.Regexp
	byPattern, _ := v["patternProperties"].(map[string]any)
	for p := range byPattern {
		if re, err := regexp.Compile(p); err == nil {
			patterns = append(patterns, re)
		}
	}
	closed := v["additionalProperties"] == false
	seen := map[string]bool{}
	for i, e := range list {
		n, ok := e.(string)
		if !ok {
			continue
		}
		at := fmt.Sprintf("%s/required/%d", ptr, i)
		if seen[n] {
			d.add(SeverityError, at, "required-twice", fmt.Sprintf("%q is required twice; JSON Schema wants each name once", clip(n)), "take one of them out; a council that adopts it as it is says --waive required-twice")
		}
		seen[n] = true
		if _, ok := props[n]; ok || !hasProps || slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(n) }) {
			continue
		}
		if closed && len(patterns) == len(byPattern) {
			d.add(SeverityError, at, "required-forbidden", fmt.Sprintf("%q is required, but it is not among the properties and others are forbidden: no record can be valid", clip(n)), "add it to properties, or correct its spelling")
		} else if !d.describedElsewhere(v, n) {
			d.add(SeverityWarning, at, "required-unknown", fmt.Sprintf("%q is required but not described among the properties", clip(n)), "add it to properties, or correct its spelling")
		}
	}
}

// describedElsewhere reports whether something beside properties may describe
// the member n: what is combined here, or all that a larger schema adds.
func (d *lintDoc) describedElsewhere(v map[string]any, n string) bool {
	for _, k := range []string{"$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies", "$dynamicRef", "$recursiveRef"} {
		if v[k] != nil {
			return true
		}
	}
	return false
}

func (d *lintDoc) enum(ptr string, v map[string]any) {
	if c, ok := v["const"].(json.Number); ok && beyond(c) {
		d.add(SeverityError, ptr+"/const", "large-number", "is an integer beyond 2^53, which no record may hold", "carry long numbers as text")
	}
	list, ok := v["enum"].([]any)
	if !ok {
		return
	}
	at := ptr + "/enum"
	if len(list) == 0 {
		d.add(SeverityError, at, "empty-enum", "is an empty list: no value is allowed", "list the values, or take enum out")
		return
	}
	seen := map[string]bool{}
	own := typesOf(v["type"])
	twice, wrong := 0, 0
	for i, e := range list {
		if n, ok := e.(json.Number); ok && beyond(n) {
			d.add(SeverityError, at+"/"+strconv.Itoa(i), "large-number", "is an integer beyond 2^53, which no record may hold", "carry long numbers as text")
		}
		key := string(strictjson.Canonical(e))
		if seen[key] {
			twice++
		}
		seen[key] = true
		if k := kindOf(e); own != 0 && own&k == 0 && (k != isNumber || own&isInteger == 0 || !integral(e)) {
			wrong++
		}
	}
	if twice > 0 {
		d.add(SeverityWarning, at, "enum-twice", "lists "+count(twice, "value")+" twice", "take the repeats out")
	}
	if wrong == len(list) {
		d.add(SeverityError, at, "enum-type", fmt.Sprintf("none of its values is %s, which the type asks for: no value is allowed", own.words()), "correct the type or the values")
	} else if wrong > 0 {
		d.add(SeverityWarning, at, "enum-type", fmt.Sprintf("%s not %s, which the type asks for, and can never be used", valuesAre(wrong), own.words()), "correct the type or the values")
	}
}

func valuesAre(n int) string {
	return count(n, "value") + map[bool]string{true: " is", false: " are"}[n == 1]
}

// beyond reports whether n is an integer that a record may not hold.
func beyond(n json.Number) bool {
	_, err := strictjson.Decode([]byte(n), strictjson.Limits{})
	return err != nil
}

// ends looks for numbers beyond what a record may hold, and for limits that
// leave nothing between them.
func (d *lintDoc) ends(ptr string, v map[string]any) {
	for _, k := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} {
		if n, ok := v[k].(json.Number); ok && beyond(n) {
			d.add(SeverityWarning, ptr+"/"+k, "large-number", "is beyond 2^53; a record may not hold an integer as large", "carry long numbers as text, with a pattern")
		}
	}
	for _, p := range [][2]string{{"minimum", "maximum"}, {"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minProperties", "maxProperties"}, {"minContains", "maxContains"}} {
		lo, okLo := v[p[0]].(json.Number)
		hi, okHi := v[p[1]].(json.Number)
		if !okLo || !okHi {
			continue
		}
		x, ok1 := decimalOf(lo)
		y, ok2 := decimalOf(hi)
		if ok1 && ok2 && x.cmp(y) > 0 {
			d.add(SeverityError, ptr+"/"+p[0], "nothing-between", fmt.Sprintf("%s is more than %s: no value is allowed", p[0], p[1]), "exchange or correct them")
		}
	}
}

func (d *lintDoc) patterns(ptr string, v map[string]any) {
	look := func(at, src string) {
		p, err := compilePattern(src)
		if err != nil {
			fix := "write it as ECMA-262 has it (JavaScript with the u flag)"
			if len(src) > maxPattern || strings.Contains(err.Error(), "repeats too much") {
				fix = fmt.Sprintf("shorten it: at most %d bytes, and repeats that do not multiply; several short patterns in an allOf do the same", maxPattern)
			}
			d.add(SeverityError, at, "pattern", err.Error(), fix)
			return
		}
		if p.prog.groups == nil {
			return
		}
		if d.l.runsAway(p) {
			d.add(SeverityError, at, "pattern-runs-away", "can take time without end on a short text: it repeats something that itself repeats", "do not repeat a repeat, as in (a+)+; write a+")
			return
		}
		d.add(SeverityWarning, at, "pattern-slow", "refers back to a group, so each way to match it is tried in turn, and a long text may not be judged for its cost",
			"say it without a back reference")
	}
	if src, ok := v["pattern"].(string); ok {
		look(ptr+"/pattern", src)
	}
	if ps, ok := v["patternProperties"].(map[string]any); ok {
		for src := range ps {
			look(ptr+"/patternProperties/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(src), src)
		}
	}
}
