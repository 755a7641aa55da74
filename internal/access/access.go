// Package access says who asks and what they may do: people by their roles, systems
// by the scopes of their keys, receivers without a node by their agreement, and the
// admin socket, which may do everything.
//
// Every operation of a node has one row in one table here, and what has no row is for
// the admin socket alone. The node asks [Allowed] before it carries out an operation
// for whoever stands in the context; a door puts them there with [With]. What a
// request is about, such as a standard, is known to the door, which asks again with it.
//
// Keys of systems are kept by a [Store].
package access

import (
	"context"
	"slices"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// A Kind is a kind of principal.
type Kind string

// The kinds of principals.
const (
	Local    Kind = "local"    // somebody at the admin socket, or a program that holds the node: everything
	Person   Kind = "person"   // somebody who signed in, by their roles
	System   Kind = "system"   // a program with a key, by the scopes of the key
	Receiver Kind = "receiver" // a program with the key of a receiver that has no node, by its agreement
)

// A Role is what a person may do.
type Role string

// The roles of people. Each may see how the node stands; none has what another has
// but for what the table says.
const (
	Viewer     Role = "viewer"     // sees records, agreements and councils
	Steward    Role = "steward"    // keeps the records: puts, imports, mends, deletes
	Governance Role = "governance" // drafts agreements, sees disclosures, answers people, erases
	Signer     Role = "signer"     // signs, suspends and ends agreements
	Operator   Role = "operator"   // keeps the node: members, keys, footprints, the log; sees no record
	Auditor    Role = "auditor"    // sees agreements, disclosures and proofs, and changes nothing
)

// Roles returns every role, in the order of this package's list.
func Roles() []Role { return []Role{Viewer, Steward, Governance, Signer, Operator, Auditor} }

// A Principal is who asks. The zero value may do nothing.
type Principal struct {
	Kind Kind
	// ID tells one from another and never changes: of a system the id of its key, of a
	// person what the sign-in gives. It is no secret.
	ID string
	// Title is what people call them, such as a name or the title of a key.
	Title string
	// Roles are a person's.
	Roles []Role
	// Scopes are a system's.
	Scopes []Scope
	// Council and Agreement are a receiver's: on whose behalf, and under what.
	Council   name.Council
	Agreement name.Agreement
	// Until is when the key or the session ends; zero for never. The door sees to it.
	Until time.Time
}

// Is reports whether a person has one of some roles.
func (p *Principal) Is(roles ...Role) bool {
	return p != nil && p.Kind == Person && slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Contains(roles, r) })
}

// Admin returns the principal of the admin socket.
func Admin() *Principal { return &Principal{Kind: Local, ID: "admin-socket", Title: "admin socket"} }

type key struct{}

// With returns a context in which p asks. P must not be changed afterwards.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, key{}, p)
}

// From returns who asks, and nil where nobody was named: then it is the program
// that holds the node itself, which may do everything.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(key{}).(*Principal)
	return p
}
