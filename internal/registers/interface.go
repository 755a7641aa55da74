package registers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node"
)

// The interface is that of Open Referral UK, version 3.0 of its profile of HSDS: its OpenAPI
// description, and its page on compliance (open-referral-uk-profile.readthedocs.io). What it
// answers is made of records; a parameter that asks for what no record holds is refused, for
// who asked would take the answer for what was asked.

// openReferral is the form whose publisher describes an interface to it as well.
const openReferral = "open-referral-uk"

// openReferralCalls is the address of that description.
const openReferralCalls = "https://raw.githubusercontent.com/OpenReferralUK/uk-profile/main/schema/openapi.json"

// InterfaceID is the path of the interface of Open Referral UK below the folder of a
// publication: the call /, and of each of [Lists] one that lists and one that shows one by its
// id.
const InterfaceID = openReferral

// InterfaceTitle is what it is called.
const InterfaceTitle = "Open Referral UK (HSDS 3.0), API"

// What the interface lists.
const (
	services     = "services"
	atLocations  = "service_at_locations"
	taxonomies   = "taxonomies"
	taxonomyTerm = "taxonomy_terms"
)

// Lists are the names of what the interface lists.
func Lists() []string { return []string{services, atLocations, taxonomies, taxonomyTerm} }

// Interface is what its first call answers: which interface it is.
func Interface() []byte {
	return indented(map[string]string{"version": "3.0", "profile": "https://github.com/OpenReferralUK/uk-profile", "openapi_url": openReferralCalls})
}

// HasInterface reports whether a register is offered by that interface.
func (d *Description) HasInterface() bool { return d.Form == openReferral }

// How many there are on a page that says nothing, and at most.
const (
	pageSize = 50
	pageMost = 1000
)

// A search picks services, and says how they are answered. The zero values pick all.
type search struct {
	text, term, taxonomy       string
	minimumAge, maximumAge     *float64
	modifiedAfter              time.Time
	postcode                   string
	proximity                  float64 // metres; 0 without a postcode
	full, minimal              bool
	page, size                 int
	centreLatitude, centreLong float64
}

// List answers a page of what is called by one of [Lists], asked with the parameters of a
// query; where says where postcodes lie, and may be nil. The error is a *node.Error that names the parameter, of kind Usage where the interface
// has no such one or its value is none, or where no record here has what it asks for.
func (t *Table) List(call string, asked url.Values, where *Postcodes) ([]byte, error) {
	s, err := t.asked(call, asked, where)
	if err != nil {
		return nil, err
	}
	var found []any
	switch call {
	case taxonomies:
		found = t.taxonomies()
	case taxonomyTerm:
		found = t.terms()
	default:
		for _, one := range t.formed {
			service, _ := one.(map[string]any)
			if !s.picks(service) {
				continue
			}
			near := s.proximity == 0
			for _, place := range list(service, atLocations) {
				if s.proximity != 0 && !s.near(place) {
					continue
				}
				if near = true; call == atLocations {
					found = append(found, s.place(service, place))
				}
			}
			if call == services && near {
				found = append(found, s.service(service))
			}
		}
	}
	if s.minimal && asked.Get("per_page") == "" {
		s.size = max(1, len(found)) // it is asked for all of them at once
	}
	pages := max(1, (len(found)+s.size-1)/s.size)
	from := min(len(found), (min(s.page, pages+1)-1)*s.size)
	shown := found[from:min(len(found), from+s.size)]
	number := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	return t.form.File(shown, map[string]any{
		"count": number(len(found)), "pages": number(pages), "page": number(s.page), "first": s.page == 1, "last": s.page == pages,
	}), nil
}

// One answers one of what [Table.List] lists, by its id; nil where there is none.
func (t *Table) One(call, id string) []byte {
	has := func(v any) bool { m, _ := v.(map[string]any); return m["id"] == any(id) }
	switch call {
	case services:
		if i := slices.IndexFunc(t.formed, has); i >= 0 {
			return indented(t.formed[i])
		}
	case atLocations:
		for _, one := range t.formed {
			service, _ := one.(map[string]any)
			places := list(service, atLocations)
			if i := slices.IndexFunc(places, has); i >= 0 {
				return indented((&search{full: true}).place(service, places[i]))
			}
		}
	case taxonomies:
		all := t.taxonomies()
		if i := slices.IndexFunc(all, has); i >= 0 {
			whole := maps.Clone(all[i].(map[string]any))
			whole[taxonomyTerm] = t.terms() // there is one taxonomy
			return indented(whole)
		}
	case taxonomyTerm:
		all := t.terms()
		if i := slices.IndexFunc(all, has); i >= 0 {
			return indented(all[i])
		}
	}
	return nil
}

// asked reads the parameters of a query.
func (t *Table) asked(call string, asked url.Values, where *Postcodes) (*search, error) {
	s := &search{full: true, page: 1, size: pageSize}
	wrong := func(format string, args ...any) error {
		return &node.Error{Kind: node.Usage, Message: fmt.Sprintf(format, args...)}
	}
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		value := strings.TrimSpace(asked.Get(key))
		if key != "page" && key != "per_page" && call != services && call != atLocations {
			return nil, wrong("%s are listed with page and per_page, and by nothing else", call)
		}
		number := func(least float64) (*float64, error) {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil || !(n >= least) || math.IsInf(n, 0) {
				return nil, wrong("%s is a number from %g", key, least)
			}
			return &n, nil
		}
		var err error
		switch key {
		case "search":
			s.text = strings.ToLower(value)
		case "taxonomy_term_id":
			s.term = value
		case "taxonomy_id":
			s.taxonomy = value
		case "minimum_age":
			s.minimumAge, err = number(0)
		case "maximum_age":
			s.maximumAge, err = number(0)
		case "modified_after":
			if s.modifiedAfter, err = time.Parse(time.RFC3339, value); err != nil {
				if s.modifiedAfter, err = time.Parse(time.DateOnly, value); err != nil {
					err = wrong("modified_after is a time, such as 2026-11-30T09:00:00Z, or a day")
				}
			}
		case "full", "minimal":
			is, bad := strconv.ParseBool(value)
			if bad != nil {
				return nil, wrong("%s is true or false", key)
			}
			if key == "full" {
				s.full = is
			} else {
				s.minimal = is
			}
		case "postcode":
			s.postcode = postcode(value)
		case "proximity":
			var n *float64
			if n, err = number(1); err == nil {
				s.proximity = *n
			}
		case "page", "per_page":
			n, bad := strconv.Atoi(value)
			if bad != nil || n < 1 {
				return nil, wrong("%s is a whole number from 1", key)
			}
			if key == "page" {
				s.page = n
			} else {
				s.size = min(n, pageMost)
			}
		case "day", "start_time", "end_time":
			return nil, wrong("%s cannot be asked by: hours are in words in the records here", key)
		default:
			return nil, wrong("%s are asked for by search, taxonomy_term_id, taxonomy_id, minimum_age, maximum_age, modified_after, and postcode with proximity, with full or minimal, page and per_page, and by nothing else", call)
		}
		if err != nil {
			return nil, err
		}
	}
	if s.minimal && call != services {
		return nil, wrong("minimal is for services")
	}
	if (s.postcode == "") != (s.proximity == 0) {
		return nil, wrong("postcode and proximity, in metres, are given together: no record here says which area a service covers")
	}
	if s.postcode != "" && !t.centre(s, where) {
		return nil, wrong("nothing can be looked for near that postcode: it is not in the list of postcodes here, where there is one, and no place that is listed has it and says where it lies")
	}
	return s, nil
}

// postcode is a postcode as it is compared: in capitals, without spaces.
func postcode(s string) string { return strings.ToUpper(strings.ReplaceAll(s, " ", "")) }

// centre finds where a postcode lies: where the list of postcodes says so, else in the middle of
// the places listed here that have it and say where they are. A postcode is of some fifteen
// addresses, so that is near its centroid.
func (t *Table) centre(s *search, postcodes *Postcodes) bool {
	if lat, lon, ok := postcodes.Lies(s.postcode); ok {
		s.centreLatitude, s.centreLong = lat, lon
		return true
	}
	var n, latitude, longitude float64
	for _, one := range t.formed {
		service, _ := one.(map[string]any)
		for _, place := range list(service, atLocations) {
			at, _ := member(place, "location").(map[string]any)
			lat, lon, ok := position(at)
			for _, a := range list(at, "addresses") {
				if code, _ := member(a, "postal_code").(string); ok && postcode(code) == s.postcode {
					n, latitude, longitude = n+1, latitude+lat, longitude+lon
				}
			}
		}
	}
	s.centreLatitude, s.centreLong = latitude/n, longitude/n
	return n > 0
}

// near reports whether a place lies within the distance from the centre.
func (s *search) near(place any) bool {
	at, _ := member(place, "location").(map[string]any)
	lat, lon, ok := position(at)
	return ok && metres(s.centreLatitude, s.centreLong, lat, lon) <= s.proximity
}

// metres is how far two points are from each other on the Earth, taken for a sphere: the
// haversine formula, which is off by half a percent at most.
func metres(lat1, lon1, lat2, lon2 float64) float64 {
	const radius, rad = 6371008.8, math.Pi / 180
	a, b := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	return 2 * radius * math.Asin(math.Min(1, math.Sqrt(a*a+math.Cos(lat1*rad)*math.Cos(lat2*rad)*b*b)))
}

// position is the point at which a location lies.
func position(location map[string]any) (latitude, longitude float64, ok bool) {
	latitude, ok1 := float(location["latitude"])
	longitude, ok2 := float(location["longitude"])
	return latitude, longitude, ok1 && ok2
}

func float(v any) (float64, bool) {
	n, _ := v.(json.Number)
	f, err := n.Float64()
	return f, err == nil
}

// member is a member of an object; nil where there is none.
func member(v any, key string) any {
	m, _ := v.(map[string]any)
	return m[key]
}

// list is a member of an object that is a list; nil where there is none.
func list(of map[string]any, key string) []any {
	all, _ := of[key].([]any)
	return all
}

// picks reports whether a service is asked for, but for where it is. One that says no age is
// not among those of an age, as the interface has it.
func (s *search) picks(service map[string]any) bool {
	if s.text != "" && !says(service, s.text) {
		return false
	}
	if s.term != "" || s.taxonomy != "" {
		if !slices.ContainsFunc(list(service, "attributes"), func(a any) bool {
			term := member(a, "taxonomy_term")
			return (s.term == "" || member(term, "id") == any(s.term)) && (s.taxonomy == "" || member(term, "taxonomy_id") == any(s.taxonomy))
		}) {
			return false
		}
	}
	if s.minimumAge != nil {
		if age, ok := float(service["minimum_age"]); !ok || age < *s.minimumAge {
			return false
		}
	}
	if s.maximumAge != nil {
		if age, ok := float(service["maximum_age"]); !ok || age > *s.maximumAge {
			return false
		}
	}
	if !s.modifiedAfter.IsZero() {
		text, _ := service["last_modified"].(string)
		at, err := time.Parse(time.RFC3339, text)
		return err == nil && !at.Before(s.modifiedAfter)
	}
	return true
}

// service is a service as it is answered: whole, or without what it has several of, or by its
// id and when it was changed alone.
func (s *search) service(service map[string]any) any {
	switch {
	case s.minimal:
		return map[string]any{"id": service["id"], "modified_date": service["last_modified"]}
	case s.full:
		return service
	}
	return flat(service)
}

// place is a service at one of its places, as it is answered, with the service but for its
// places.
func (s *search) place(service map[string]any, place any) any {
	at, _ := place.(map[string]any)
	if !s.full {
		at, service = flat(at), flat(service)
	}
	m := map[string]any{}
	maps.Copy(m, at)
	whole := maps.Clone(service)
	delete(whole, atLocations)
	m["service"] = whole
	return m
}

// flat is an object without lists, and those that it holds without theirs.
func flat(m map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range m {
		switch v := v.(type) {
		case []any:
		case map[string]any:
			out[key] = flat(v)
		default:
			out[key] = v
		}
	}
	return out
}

// terms are the terms by which the services are filed, each once, by name.
func (t *Table) terms() []any {
	all := []any{}
	seen := map[any]bool{}
	for _, one := range t.formed {
		service, _ := one.(map[string]any)
		for _, a := range list(service, "attributes") {
			if term := member(a, "taxonomy_term"); term != nil && !seen[member(term, "id")] {
				seen[member(term, "id")] = true
				all = append(all, term)
			}
		}
	}
	slices.SortFunc(all, func(a, b any) int {
		return cmp.Or(strings.Compare(fmt.Sprint(member(a, "name")), fmt.Sprint(member(b, "name"))), strings.Compare(fmt.Sprint(member(a, "id")), fmt.Sprint(member(b, "id"))))
	})
	return all
}

// taxonomies is the one taxonomy of the terms; nothing where there are none.
func (t *Table) taxonomies() []any {
	all := t.terms()
	if len(all) == 0 {
		return all
	}
	return []any{map[string]any{
		"id": member(all[0], "taxonomy_id"), "name": member(all[0], "taxonomy"),
		"description": "Words under which those who list these services file them. They have agreed on no list of words.",
	}}
}

// says reports whether a text, in small letters, stands in one of the texts of a value.
func says(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(strings.ToLower(v), text)
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return says(item, text) })
	case map[string]any:
		for _, item := range v {
			if says(item, text) {
				return true
			}
		}
	}
	return false
}
