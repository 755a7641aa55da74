package access

import (
	"slices"
	"strings"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Verb is what a key may let a system do.
type Verb string

// The verbs of keys. The first three are of one standard or of all, and of our own
// records or of those received; the others are of the node as a whole.
const (
	Read   Verb = "read"   // show, list, search, export and follow records
	Write  Verb = "write"  // put, import, see and mend what was held
	Delete Verb = "delete" // delete records

	Status      Verb = "status"      // how the node stands; members, standards, adoption, footprints
	Agreements  Verb = "agreements"  // see agreements, draft and preview them
	Sign        Verb = "sign"        // sign, suspend, resume and end agreements
	Disclosures Verb = "disclosures" // who was let have what, why, and reports about a person
	Webhooks    Verb = "webhooks"    // keep webhooks
	Cases       Verb = "cases"       // offer and answer handovers; ask for an urgent disclosure, and be the first of two who give one
)

// ofRecords are the verbs that a standard and a side belong to.
var ofRecords = []Verb{Read, Write, Delete}

// Verbs returns every verb, those of records first.
func Verbs() []Verb {
	return []Verb{Read, Write, Delete, Status, Agreements, Sign, Disclosures, Webhooks, Cases}
}

// A Side says whose records are meant.
type Side string

// The sides. Nobody writes or deletes what was received.
const (
	Own      Side = "own"
	Received Side = "received"
	Both     Side = "both"
)

// A Scope is one thing that a key is for.
//
// As text it is verb:side:standard, such as read:own:standards.example/housing-need@1,
// write:own:standards.example/housing-need or read:both:*; a verb of the node as a
// whole stands alone, such as status.
type Scope struct {
	Verb     Verb
	Side     Side   // "" where the verb has none
	Standard string // publisher/name, with @major or @version or without; "*" for every one; "" where the verb has none
}

// ParseScope reads a scope. Its standard is not looked up. An error is an *api.Error.
func ParseScope(text string) (Scope, error) {
	wrong := func(why string) (Scope, error) {
		return Scope{}, api.Fail(api.Usage, "such as read:own:standards.example/housing-need, or status", "the scope %s", why)
	}
	verb, rest, _ := strings.Cut(text, ":")
	s := Scope{Verb: Verb(verb)}
	if !slices.Contains(Verbs(), s.Verb) {
		return wrong("begins with no verb that is known")
	}
	if !slices.Contains(ofRecords, s.Verb) {
		if rest != "" {
			return wrong("has a standard or a side, and " + verb + " is of the node as a whole")
		}
		return s, nil
	}
	side, std, _ := strings.Cut(rest, ":")
	s.Side, s.Standard = Side(side), std
	switch {
	case !slices.Contains([]Side{Own, Received, Both}, s.Side):
		return wrong("wants own, received or both after its verb")
	case s.Side != Own && s.Verb != Read:
		return wrong("lets nobody " + verb + " but our own records: want " + verb + ":own")
	case s.Standard == "":
		return wrong("names no standard: want publisher/name, or * for every one")
	}
	if s.Standard != "*" {
		bare, _, _ := strings.Cut(s.Standard, "@")
		if p, n, ok := strings.Cut(bare, "/"); !ok || p == "" || n == "" || strings.ContainsAny(bare, " \t\n*") {
			return wrong("names a standard as nobody does: want publisher/name")
		}
	}
	return s, nil
}

func (s Scope) String() string {
	if s.Side == "" {
		return string(s.Verb)
	}
	return string(s.Verb) + ":" + string(s.Side) + ":" + s.Standard
}

// covers reports whether a scope is for what a verb does to something.
func (s Scope) covers(v Verb, on On) bool {
	if s.Verb != v {
		return false
	}
	if !slices.Contains(ofRecords, v) {
		return true
	}
	if !on.AnySide && (on.From != "" && s.Side == Own || on.From == "" && s.Side == Received) {
		return false
	}
	return s.Standard == "*" || on.Standard == "" || s.Standard == on.Standard ||
		strings.HasPrefix(on.Standard, s.Standard+"@") || strings.HasPrefix(on.Standard, s.Standard+".")
}

// On is what is asked about, as far as it is known.
type On struct {
	// Standard is its full name, publisher/name@version or @major. "" is not known:
	// then a key for any standard will do, and whoever finds it out asks again.
	Standard string
	// From is the council that sent the records; "" for our own.
	From name.Council
	// AnySide: it is not known whether it is about our own records.
	AnySide bool
	// Agreement is the agreement that a receiver asks under.
	Agreement name.Agreement
}

// A rule says who may carry out an operation.
type rule struct {
	roles    []Role
	verb     Verb // of keys; "" for none
	receiver bool
}

func of(verb Verb, roles ...Role) rule { return rule{roles: roles, verb: verb} }

var (
	all     = Roles()
	readers = []Role{Viewer, Steward, Governance, Signer, Auditor}
	see     = of(Read, readers...)
	keep    = of(Write, Steward)
	stands  = of(Status, all...)
	texts   = of(Agreements, all...)
	run     = of("", Operator)
)

// rules are by the operation's path: noun/verb, as on the admin socket.
var rules = map[string]rule{
	"status": stands, "standards/list": stands, "standards/show": stands, "standards/archive": stands, "standards/adoption": stands,
	"published/list": stands, "published/archive": stands, "councils/list": stands, "councils/show": stands, "councils/facts": stands,
	"councils/quarantines": stands, "directory/show": stands, "footprints/list": stands, "footprints/status": stands, "footprints/entry": stands,
	"footprints/checkpoint": stands, "footprints/evidence": stands, "councils/evidence": of("", Operator, Auditor, Governance), "log/show": stands, "log/prove": stands, "log/wait": {roles: all, receiver: true},
	"access/whoami": {roles: all, receiver: true}, "access/authenticate": {},

	"records/list": see, "records/show": see, "records/history": see, "records/prove": see, "records/search": see,
	"footprints/records": see, "footprints/show": see, "footprints/prove": see, "questions/list": of(Disclosures, Governance, Auditor),
	"changes/read": see,
	"records/put":  keep, "records/held": keep, "records/begin": keep, "records/sources": keep, "records/absent": keep, "records/import": keep,
	"records/delete": of(Delete, Steward), "records/deleteabsent": of(Delete, Steward), "records/erase": of("", Governance), "records/erasedue": of("", Governance),
	"footprints/put": keep, "footprints/withdraw": of(Delete, Steward),
	"questions/ask": of(Read, Steward, Governance), "questions/count": of(Read, Steward, Governance),

	"handovers/list": of(Disclosures, Governance, Auditor, Steward, Signer), "handovers/show": of(Disclosures, Governance, Auditor, Steward, Signer),
	"handovers/offer": of(Cases, Steward, Governance), "handovers/accept": of(Cases, Steward, Governance), "handovers/decline": of(Cases, Steward, Governance), "handovers/withdraw": of(Cases, Steward, Governance),
	"urgent/list": of(Disclosures, Governance, Auditor, Steward, Signer), "urgent/show": of(Disclosures, Governance, Auditor, Steward, Signer),
	"urgent/ask": of(Cases, Steward, Governance), "urgent/give": of(Cases, Steward, Governance), "urgent/approve": of("", Steward, Governance),
	"urgent/refuse": of("", Steward, Governance), "urgent/end": of("", Steward, Governance), "urgent/review": of("", Governance),

	"agreements/list": texts, "agreements/approvals": texts, "agreements/flows": texts, "agreements/show": texts, "agreements/preview": of(Agreements, Steward, Governance, Signer),
	"agreements/signature": of("", Signer), "agreements/bring": of("", Signer, Governance),
	"agreements/draft": of(Agreements, Steward, Governance, Signer), "agreements/sign": of(Sign, Signer), "agreements/counter": of(Sign, Signer),
	"agreements/end": of(Sign, Signer), "agreements/suspend": of(Sign, Signer, Governance), "agreements/resume": of(Sign, Signer), "agreements/renew": of(Sign, Signer), "agreements/giveup": of(Sign, Signer), "agreements/audit": of("", Auditor, Governance), "agreements/checkpoint": of("", Governance, Auditor),

	"disclosures/list": of(Disclosures, Governance, Auditor, Steward, Signer), "disclosures/seen": of(Disclosures, Governance, Auditor, Steward),
	"disclosures/drift": of(Disclosures, Governance, Auditor, Signer), "disclosures/refused": of(Disclosures, Governance, Auditor),
	"disclosures/subject": of(Disclosures, Governance), "why": of(Disclosures, Steward, Governance, Auditor, Signer),
	"bundle": of("", Auditor, Governance), "disclosures/rebuild": run,

	"standards/preview": of(Status, Steward, Governance), "standards/against": of("", Steward, Governance), "standards/adopt": of("", Steward, Governance),
	"standards/serve": of("", Steward), "standards/measure": of("", Steward, Governance), "standards/charter": of("", Steward, Governance),

	"councils/add": run, "councils/endquarantine": run, "directory/follow": run, "directory/invite": run, "directory/join": run, "directory/refresh": run,
	"successions/preview": of("", Operator, Governance, Signer, Auditor), "successions/show": stands,
	"successions/seal": {}, "successions/handover": {}, "successions/takeover": {},
	"footprints/adopt": run, "footprints/agree": of("", Signer), "footprints/backup": run, "footprints/cancel": run, "footprints/discard": run,
	"footprints/found": run, "footprints/invite": run, "footprints/join": run, "footprints/recover": run, "footprints/remove": run, "footprints/transfer": run,
	"backups/list": of("", Operator, Auditor), "backups/note": run, "backups/verified": run,
	"log/continue": run, "log/forgetlost": run, "log/lost": run, "repair": run, "retry": run, "log/read": {}, "log/reads": of("", Governance, Auditor),
	"people/list": run, "people/put": run, "people/link": run, "people/remove": run, // of the pages, which keep who may sign in
	"access/addkey": run, "access/listkeys": run, "access/revokekey": run,
	"webhooks/list": of(Webhooks, Operator), "webhooks/add": of(Webhooks, Operator), "webhooks/remove": of(Webhooks, Operator),
	"webhooks/test": of(Webhooks, Operator), "webhooks/replay": of(Webhooks, Operator), "webhooks/deliveries": of(Webhooks, Operator),

	"collections/read": {receiver: true}, "collections/receipt": {receiver: true},
}

// Known reports whether an operation has a row in the table.
func Known(op string) bool { _, ok := rules[op]; return ok }

// Allowed returns nil where p may carry out an operation, noun/verb, on something. The
// error is an *api.Error of kind Refused that names no value. A nil principal is the
// program that holds the node, which may do everything.
func Allowed(p *Principal, op string, on On) error {
	if p == nil || p.Kind == Local {
		return nil
	}
	r, ok := rules[op]
	if !ok {
		return api.Fail(api.Refused, "at the node's machine, at its admin socket", "that may be asked for at the admin socket alone")
	}
	switch p.Kind {
	case Person:
		if p.Is(r.roles...) {
			return nil
		}
		if len(r.roles) == 0 {
			return api.Fail(api.Refused, "", "that is no person's to do")
		}
		return api.Fail(api.Refused, "ask whoever gives roles for "+list(r.roles), "your roles do not let you do that")
	case System:
		if op == "access/whoami" {
			return nil
		}
		if r.verb == "" {
			return api.Fail(api.Refused, "a person signs in for that", "no key lets a system do that")
		}
		if slices.ContainsFunc(p.Scopes, func(s Scope) bool { return s.covers(r.verb, on) }) {
			return nil
		}
		return api.Fail(api.Refused, "an operator makes a key with the scope that is wanted: stile access key add", "the key has no scope %q for that", r.verb)
	case Receiver:
		if r.receiver && (on.Agreement == "" || on.Agreement == p.Agreement) {
			return nil
		}
		return api.Fail(api.Refused, "", "the key is for what comes under one agreement, and for nothing else")
	}
	return api.Fail(api.Refused, "", "nobody is named who may do that")
}

func list(roles []Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, string(r))
	}
	return strings.Join(out, " or ")
}
