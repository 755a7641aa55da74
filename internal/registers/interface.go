package registers

import (
	"encoding/json"
	"strconv"
	"strings"
)

// openReferral is the form whose publisher describes an interface to it as well.
const openReferral = "open-referral-uk"

// openReferralCalls is the address of that description.
const openReferralCalls = "https://raw.githubusercontent.com/OpenReferralUK/uk-profile/main/schema/openapi.json"

// InterfaceID is the path of the interface of Open Referral UK below the folder of a
// publication: the calls /, /services and /services/{id} of its description.
const InterfaceID = openReferral

// InterfaceTitle is what it is called.
const InterfaceTitle = "Open Referral UK (HSDS 3.0), API"

// Interface is what its first call answers: which interface it is.
func Interface() []byte {
	return indented(map[string]string{"version": "3.0", "profile": "https://github.com/OpenReferralUK/uk-profile", "openapi_url": openReferralCalls})
}

// HasInterface reports whether a register is offered by that interface.
func (d *Description) HasInterface() bool { return d.Form == openReferral }

// A Search picks services: those in which a text stands, where it is not "", and whose
// attributes name a term, where that is not "". Page counts from 1, Size is how many a page
// has.
type Search struct {
	Text, Term string
	Page, Size int
}

// List is a page of the records in their form, as a file of it is.
func (t *Table) List(s Search) []byte {
	var found []any
	for _, one := range t.formed {
		if s.Text != "" && !says(one, strings.ToLower(s.Text)) || s.Term != "" && !hasTerm(one, s.Term) {
			continue
		}
		found = append(found, one)
	}
	pages := max(1, (len(found)+s.Size-1)/s.Size)
	from := min(len(found), (min(s.Page, pages+1)-1)*s.Size)
	shown := found[from:min(len(found), from+s.Size)]
	number := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	return t.form.File(shown, map[string]any{
		"count": number(len(found)), "pages": number(pages), "page": number(s.Page), "first": s.Page == 1, "last": s.Page == pages,
	})
}

// One is the record in their form that has an id; nil where there is none.
func (t *Table) One(id string) []byte {
	for _, one := range t.formed {
		if m, _ := one.(map[string]any); m["id"] == any(id) {
			return indented(one)
		}
	}
	return nil
}

// says reports whether a text, in small letters, stands in one of the texts of a value.
func says(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(strings.ToLower(v), text)
	case []any:
		for _, item := range v {
			if says(item, text) {
				return true
			}
		}
	case map[string]any:
		for _, item := range v {
			if says(item, text) {
				return true
			}
		}
	}
	return false
}

// hasTerm reports whether a service has an attribute of a term.
func hasTerm(service any, term string) bool {
	m, _ := service.(map[string]any)
	all, _ := m["attributes"].([]any)
	for _, a := range all {
		a, _ := a.(map[string]any)
		if of, _ := a["taxonomy_term"].(map[string]any); of["id"] == any(term) {
			return true
		}
	}
	return false
}
