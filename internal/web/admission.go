package web

import (
	"net/url"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/node"
)

// linkLasts is how long a link is good that was made on a page.
const linkLasts = 15 * time.Minute

// peopleList lists who may sign in, and asks for one more.
func (q *request) peopleList() error { return q.showPeople(nil) }

func (q *request) showPeople(f faults) error {
	all, err := q.People.List()
	if err != nil {
		return err
	}
	return q.render("people", page{Title: q.say("admin.people"), Back: "/admin", Wide: true, Faults: f, Status: f.status(), Data: map[string]any{
		"People": all, "Name": q.form("name"), "Email": q.form("email"), "Roles": q.roleBoxes(q.r.Form["roles"]),
	}})
}

// A box is one of several that may be ticked.
type box struct {
	option
	Ticked bool
}

func (q *request) roleBoxes(ticked []string) (out []box) {
	for _, r := range access.Roles() {
		o := opt(r, q.say("role."+string(r)))
		o.Hint = q.say("role-may." + string(r))
		out = append(out, box{o, slices.Contains(ticked, string(r))})
	}
	return out
}

// rolesGiven are the roles that were ticked. What is no role is left to [People.Put].
func (q *request) rolesGiven() (out []access.Role) {
	for _, r := range q.r.Form["roles"] {
		out = append(out, access.Role(r))
	}
	return out
}

// personAdd lets somebody sign in.
func (q *request) personAdd() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	one := people.Person{Name: q.form("name"), Email: q.form("email"), Roles: q.rolesGiven()}
	var f faults
	if one.Name == "" {
		f = append(f, fault{"name", q.say("people.name-empty")})
	}
	if len(one.Roles) == 0 {
		f = append(f, fault{"roles", q.say("people.roles-empty")})
	}
	if len(f) > 0 {
		return q.showPeople(f)
	}
	added, err := q.People.Put(one)
	if e, ok := asNode(err); ok && e.Kind != node.Failed {
		return q.showPeople(faults{{"name", q.node(e.Message)}})
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person let another sign in", "added", added.ID, "roles", added.Roles, "person", q.who.ID)
	return q.done(path("admin/people", added.ID), "person-added")
}

// personOne shows one of them.
func (q *request) personOne() error {
	one, err := q.People.Show(q.r.PathValue("person"))
	if err != nil {
		return err
	}
	return q.showPerson(one, nil, "")
}

func (q *request) showPerson(one *people.Person, f faults, link string) error {
	ticked := q.r.Form["roles"]
	if len(f) == 0 {
		ticked = texts(one.Roles)
	}
	return q.render("person", page{Title: one.Name, Back: "/admin/people", Faults: f, Status: f.status(), Data: map[string]any{
		"P": one, "Self": one.ID == q.who.ID, "Roles": q.roleBoxes(ticked), "Link": link, "Minutes": int(linkLasts / time.Minute),
	}})
}

// personDo changes the roles of a person, makes a link for them, or takes them out. Nobody
// gives themselves roles or takes themselves out, so that it always takes another to see it,
// and the last who may do so stays.
func (q *request) personDo(verb string) error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	one, err := q.People.Show(q.r.PathValue("person"))
	if err != nil {
		return err
	}
	if err := q.r.ParseForm(); err != nil {
		return err
	}
	if one.ID == q.who.ID && verb != "link" {
		return &node.Error{Kind: node.Refused, Message: q.say("people.not-self")}
	}
	switch verb {
	case "roles":
		before := one.Roles
		if one.Roles = q.rolesGiven(); len(one.Roles) == 0 {
			return q.showPerson(one, faults{{"roles", q.say("people.roles-empty")}}, "")
		}
		if one, err = q.People.Put(*one); err != nil {
			return err
		}
		q.Log.Info("a person changed the roles of another", "of", one.ID, "before", before, "now", one.Roles, "person", q.who.ID)
		return q.done(path("admin/people", one.ID), "roles-changed")
	case "link":
		code, err := q.People.Link(one.ID, linkLasts)
		if err != nil {
			return err
		}
		q.Log.Info("a person made a link by which another signs in", "for", one.ID, "person", q.who.ID)
		at := url.URL{Scheme: "http", Host: q.r.Host, Path: "/sign-in/link", RawQuery: url.Values{"code": {code}}.Encode()}
		if q.Secure {
			at.Scheme = "https"
		}
		return q.showPerson(one, nil, at.String())
	default: // remove
		if q.form("sure") != "yes" {
			return q.showPerson(one, faults{{"sure", q.say("people.sure-empty")}}, "")
		}
		if err := q.People.Remove(one.ID); err != nil {
			return err
		}
		q.Log.Info("a person took another out", "of", one.ID, "person", q.who.ID)
		return q.done("/admin/people", "person-removed")
	}
}
