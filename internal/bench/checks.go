package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A rule is as much of a JSON Schema as the lane's standard uses.
type rule struct {
	Type                 any              `json:"type"` // a string or a list of them
	Enum                 []any            `json:"enum"`
	Const                any              `json:"const"`
	MinLength            *int             `json:"minLength"`
	MaxLength            *int             `json:"maxLength"`
	Pattern              string           `json:"pattern"`
	Format               string           `json:"format"`
	Minimum              *json.Number     `json:"minimum"`
	Maximum              *json.Number     `json:"maximum"`
	Required             []string         `json:"required"`
	Properties           map[string]*rule `json:"properties"`
	AdditionalProperties *bool            `json:"additionalProperties"`
	If                   *rule            `json:"if"`
	Then                 *rule            `json:"then"`

	Schema, ID, Title, Description any
}

func parseRule(schema []byte) (*rule, error) {
	var r rule
	// "$schema" and "$id" are of no effect here; what else is not known is an error.
	text := strings.NewReplacer(`"$schema"`, `"Schema"`, `"$id"`, `"ID"`).Replace(string(schema))
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber()
	return &r, d.Decode(&r)
}

const email = `^[A-Za-z0-9.!#$%&*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`

// onJSON returns the SQL condition that a jsonb expression holds to the rule. It
// is never null.
func (r *rule) onJSON(at string) string {
	text := "(" + at + ` #>> '{}')`
	if path, ok := strings.CutSuffix(at, "')"); ok { // "(doc -> 'name')": the text of it costs less so
		if from, name, ok := strings.Cut(path, " -> '"); ok {
			text = from + " ->> '" + name + "')"
		}
	}
	var all []string
	only := map[string][]string{"string": r.onText(text), "number": r.onNumber(text + "::numeric")}
	if len(r.Required) > 0 {
		only["object"] = append(only["object"], fmt.Sprintf("%s ?& ARRAY[%s]", at, quotedList(r.Required)))
	}
	names := r.names()
	if r.AdditionalProperties != nil && !*r.AdditionalProperties {
		only["object"] = append(only["object"], fmt.Sprintf("%s - ARRAY[%s] = '{}'", at, quotedList(names)))
	}
	var kinds []string
	for _, t := range r.types() {
		kind := t
		if t == "integer" {
			kind = "number"
			only[kind] = append(only[kind], text+"::numeric % 1 = 0")
		}
		kinds = append(kinds, strings.Join(append([]string{fmt.Sprintf("jsonb_typeof(%s) = '%s'", at, kind)}, only[kind]...), " AND "))
	}
	if len(kinds) > 0 {
		all = append(all, "("+strings.Join(kinds, " OR ")+")")
	} else {
		for _, kind := range []string{"string", "number", "object"} {
			if len(only[kind]) > 0 {
				all = append(all, fmt.Sprintf("(jsonb_typeof(%s) <> '%s' OR %s)", at, kind, strings.Join(only[kind], " AND ")))
			}
		}
	}
	var oneOf []string
	for _, v := range r.Enum {
		oneOf = append(oneOf, literal(v))
	}
	if r.Const != nil {
		oneOf = append(oneOf, literal(r.Const))
	}
	if len(oneOf) > 0 {
		all = append(all, fmt.Sprintf("%s IN (%s)", at, strings.Join(oneOf, ", ")))
	}
	for _, n := range names {
		cond := r.Properties[n].onJSON(fmt.Sprintf("(%s -> %s)", at, quoted(n)))
		if !slices.Contains(r.Required, n) {
			cond = fmt.Sprintf("(NOT %s ? %s OR %s)", at, quoted(n), cond)
		}
		all = append(all, cond)
	}
	if r.If != nil && r.Then != nil {
		all = append(all, fmt.Sprintf("(NOT %s OR %s)", r.If.onJSON(at), r.Then.onJSON(at)))
	}
	if len(all) == 0 {
		return "true"
	}
	return "(" + strings.Join(all, "\n AND ") + ")"
}

// onText and onNumber return what a text and a number must hold to.
func (r *rule) onText(at string) (all []string) {
	if r.MinLength != nil {
		all = append(all, fmt.Sprintf("length(%s) >= %d", at, *r.MinLength))
	}
	if r.MaxLength != nil {
		all = append(all, fmt.Sprintf("length(%s) <= %d", at, *r.MaxLength))
	}
	if r.Pattern != "" {
		all = append(all, fmt.Sprintf("%s ~ %s", at, quoted(r.Pattern)))
	}
	switch r.Format {
	case "date":
		all = append(all, fmt.Sprintf(`(%s ~ '^\d{4}-\d\d-\d\d$' AND %s::date IS NOT NULL)`, at, at))
	case "email":
		all = append(all, fmt.Sprintf("%s ~ %s", at, quoted(email)))
	}
	return all
}

func (r *rule) onNumber(at string) (all []string) {
	if r.Minimum != nil {
		all = append(all, fmt.Sprintf("%s >= %s", at, *r.Minimum))
	}
	if r.Maximum != nil {
		all = append(all, fmt.Sprintf("%s <= %s", at, *r.Maximum))
	}
	return all
}

func (r *rule) types() []string {
	switch t := r.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var out []string
		for _, x := range t {
			out = append(out, fmt.Sprint(x))
		}
		return out
	}
	return nil
}

func (r *rule) names() []string {
	var out []string
	for n := range r.Properties {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// columns returns the definitions of a table with a column for each of some
// properties of the rule, all if none are named, each with a check of what it
// may be. A property that may be null, or be left out, may be null.
func (r *rule) columns(only ...string) string {
	var defs []string
	for _, n := range r.names() {
		if len(only) > 0 && !slices.Contains(only, n) {
			continue
		}
		p, col := r.Properties[n], `"`+n+`"`
		kind, checks := "text", p.onText(col)
		switch types := p.types(); {
		case p.Format == "date":
			kind, checks = "date", nil // the type is the check
		case slices.Contains(types, "integer"):
			kind, checks = "bigint", p.onNumber(col)
		case slices.Contains(types, "number"):
			kind, checks = "double precision", p.onNumber(col)
		}
		var oneOf []string
		for _, v := range p.Enum {
			if s, ok := v.(string); ok {
				oneOf = append(oneOf, quoted(s))
			}
		}
		if len(oneOf) > 0 {
			checks = append(checks, col+" IN ("+strings.Join(oneOf, ", ")+")")
		}
		def := col + " " + kind
		if slices.Contains(r.Required, n) || n == "district" { // of the key
			def += " NOT NULL"
		}
		if len(checks) > 0 {
			def += " CHECK (" + strings.Join(checks, " AND ") + ")"
		}
		defs = append(defs, def)
	}
	return strings.Join(defs, ",\n")
}

func literal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was read from JSON
	}
	return quoted(string(b)) + "::jsonb"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quotedList(all []string) string {
	var out []string
	for _, s := range all {
		out = append(out, quoted(s))
	}
	return strings.Join(out, ", ")
}
