package web

import "strings"

// An entry is a page that the menu leads to, for whoever may carry out an operation; for
// everybody where that is "". Pages below its path, or below also, belong to it.
type entry struct {
	op, to, key string
	also        string
}

// inside are the sections of the pages for people who signed in. The menu has one entry for
// each, which is the first page of it that the person may see; the others stand below the
// menu while somebody is in the section. So the menu keeps to one line, and every page
// belongs somewhere.
var inside = [][]entry{
	{{"status", "/home", "nav.home", ""}, {"directory/invite", "/setup", "setup.title", ""}},
	{{"records/list", "/records", "nav.records", ""}, {"records/put", "/imports", "nav.imports", ""}, {"records/held", "/held", "held.title", ""}, {"why", "/why", "nav.why", ""}},
	{{"agreements/list", "/agreements", "nav.agreements", ""}, {"agreements/preview", "/drafts/new", "nav.draft", "/drafts"}},
	{{"disclosures/list", "/disclosures", "nav.disclosures", ""}, {"disclosures/subject", "/subject", "nav.subject", ""}},
	{{"handovers/list", "/handovers", "nav.cases", ""}, {"urgent/list", "/urgent", "urgent.title", ""}},
	{{"councils/list", "/councils", "nav.councils", ""}, {"footprints/list", "/footprints", "nav.footprints", ""}},
	{{"standards/list", "/standards", "nav.standards", ""}, {"standards/adoption", "/adoption", "nav.adoption", ""}},
	{{"standards/list", "/register", "nav.register", ""}, {"records/list", "/open", "nav.open", ""}, {"standards/list", "/verify", "nav.verify", ""}},
	{{"access/addkey", "/admin", "nav.admin", ""}, {"people/list", "/admin/people", "admin.people", ""}, {"access/listkeys", "/admin/keys", "nav.keys", ""}, {"webhooks/list", "/admin/webhooks", "webhooks.title", ""},
		{"retry", "/admin/feeds", "feeds.title", ""}, {"backups/list", "/admin/backups", "backups.title", ""}},
}

// outside are those without login.
var outside = [][]entry{{{"", "/register", "nav.register", ""}}, {{"", "/open", "nav.open", ""}}, {{"", "/standards", "nav.standards", ""}}, {{"", "/adoption", "nav.adoption", ""}}, {{"", "/verify", "nav.verify", ""}}}

// A navigation is one link of a menu. Current is what it says of itself, as aria-current
// has it: "page" on the page that it leads to, "true" where that page belongs to what it
// leads to, and "" elsewhere.
type navigation struct{ To, Text, Current string }

// menu returns the menu of a page and the pages of its section; of the latter none where
// there would be but one.
func (q *request) menu() (all, section []navigation) {
	sections := inside
	if q.who == nil {
		sections = outside
	}
	at := q.r.URL.Path
	here, longest := "", 0 // the page that this one belongs to most closely: /admin/keys, and not /admin
	for _, s := range sections {
		for _, e := range s {
			for _, p := range []string{e.to, e.also} {
				if len(p) > longest && (at == p || strings.HasPrefix(at, p+"/")) {
					here, longest = e.to, len(p)
				}
			}
		}
	}
	for _, s := range sections {
		var pages []navigation
		within := false
		for _, e := range s {
			within = within || e.to == here
			if e.op != "" && !q.may(e.op) || e.to == "/open" && q.who == nil && len(q.Registers) == 0 {
				continue
			}
			n := navigation{To: e.to, Text: q.say(e.key)}
			if e.to == at {
				n.Current = "page"
			} else if e.to == here {
				n.Current = "true"
			}
			pages = append(pages, n)
		}
		if len(pages) == 0 {
			continue
		}
		if within && len(pages) > 1 {
			section = pages
		}
		first := pages[0]
		if within && first.Current == "" {
			first.Current = "true"
		}
		all = append(all, first)
	}
	return all, section
}
