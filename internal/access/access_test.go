package access_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

func system(t *testing.T, scopes ...string) *access.Principal {
	t.Helper()
	p := &access.Principal{Kind: access.System, ID: "k"}
	for _, text := range scopes {
		s, err := access.ParseScope(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if s.String() != text {
			t.Errorf("%s prints as %s", text, s)
		}
		p.Scopes = append(p.Scopes, s)
	}
	return p
}

// A key reaches what its scopes say, and nothing beside it.
func TestScopes(t *testing.T) {
	const need, other = "standards.example/housing-need@1.2.0", "standards.example/housing-needs@1.0.0"
	neighbour := name.Council("saltby.gov.uk")
	for _, c := range []struct {
		scope, op string
		on        access.On
		want      bool
	}{
		{"read:own:standards.example/housing-need", "records/show", access.On{Standard: need}, true},
		{"read:own:standards.example/housing-need@1", "records/show", access.On{Standard: need}, true},
		{"read:own:standards.example/housing-need@1.2.0", "records/show", access.On{Standard: need}, true},
		{"read:own:standards.example/housing-need@1.2.1", "records/show", access.On{Standard: need}, false},
		{"read:own:standards.example/housing-need", "records/show", access.On{Standard: other}, false},
		{"read:own:standards.example/housing-need@1", "records/show", access.On{Standard: "standards.example/housing-need@12.0.0"}, false},
		{"read:own:*", "records/show", access.On{Standard: need, From: neighbour}, false},
		{"read:received:*", "records/show", access.On{Standard: need, From: neighbour}, true},
		{"read:received:*", "records/show", access.On{Standard: need}, false},
		{"read:both:*", "records/list", access.On{Standard: need}, true},
		{"read:both:*", "records/put", access.On{Standard: need}, false},
		{"write:own:*", "records/put", access.On{Standard: need}, true},
		{"write:own:*", "records/delete", access.On{Standard: need}, false},
		{"write:own:*", "records/show", access.On{Standard: need}, false},
		{"delete:own:*", "records/delete", access.On{Standard: need}, true},
		{"read:both:*", "status", access.On{}, false},
		{"status", "status", access.On{}, true},
		{"status", "agreements/sign", access.On{}, false},
		{"sign", "agreements/sign", access.On{}, true},
		{"sign", "records/erase", access.On{}, false},
		{"status", "access/addkey", access.On{}, false},
		{"status", "no/such", access.On{}, false},
	} {
		err := access.Allowed(system(t, c.scope), c.op, c.on)
		if (err == nil) != c.want {
			t.Errorf("%s, %s on %+v: %v, want %v", c.scope, c.op, c.on, err, c.want)
		}
		if e, ok := errors.AsType[*api.Error](err); err != nil && (!ok || e.Kind != api.Refused) {
			t.Errorf("%s, %s: %v is no refusal", c.scope, c.op, err)
		}
	}
	for _, text := range []string{"", "reads:own:*", "read", "read:own", "read:own:", "read:mine:*", "write:received:*", "write:both:*", "delete:both:*", "status:own:*", "read:own:housing-need", "read:own:a/", "read:own:a/b c", "read:own:a/*"} {
		if s, err := access.ParseScope(text); err == nil {
			t.Errorf("%q was read as %v", text, s)
		}
	}
}

// A person does what their roles say; a role does not do another's.
func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role access.Role
		may  []string
		not  []string
	}{
		{access.Viewer, []string{"records/show", "status", "agreements/show"}, []string{"records/put", "agreements/sign", "disclosures/subject", "access/addkey", "records/erase"}},
		{access.Steward, []string{"records/put", "records/delete", "why"}, []string{"agreements/sign", "access/addkey", "records/erase", "disclosures/subject"}},
		{access.Governance, []string{"disclosures/subject", "records/erase", "agreements/draft"}, []string{"agreements/sign", "records/put", "access/addkey"}},
		{access.Signer, []string{"agreements/sign", "agreements/end"}, []string{"records/put", "access/addkey", "disclosures/subject"}},
		{access.Operator, []string{"access/addkey", "councils/add", "status"}, []string{"records/show", "records/list", "records/put", "agreements/sign", "disclosures/list", "changes/read"}},
		{access.Auditor, []string{"disclosures/list", "records/prove", "bundle"}, []string{"records/put", "agreements/sign", "access/addkey", "agreements/suspend"}},
	} {
		p := &access.Principal{Kind: access.Person, ID: "a", Roles: []access.Role{c.role}}
		for _, op := range c.may {
			if err := access.Allowed(p, op, access.On{}); err != nil {
				t.Errorf("%s, %s: %v", c.role, op, err)
			}
		}
		for _, op := range append(c.not, "no/such", "collections/read") {
			if access.Allowed(p, op, access.On{}) == nil {
				t.Errorf("%s may %s", c.role, op)
			}
		}
	}
}

// A receiver's key is for its agreement; the zero principal is for nothing; the admin
// socket, and the program itself, for everything.
func TestKinds(t *testing.T) {
	r := &access.Principal{Kind: access.Receiver, Council: "small.example", Agreement: "northmoor.gov.uk/bins"}
	for op, want := range map[string]bool{"collections/read": true, "collections/receipt": true, "records/list": false, "status": false, "agreements/show": false} {
		if err := access.Allowed(r, op, access.On{Agreement: r.Agreement}); (err == nil) != want {
			t.Errorf("receiver, %s: %v", op, err)
		}
	}
	if access.Allowed(r, "collections/read", access.On{Agreement: "northmoor.gov.uk/other"}) == nil {
		t.Error("a receiver read what goes under another agreement")
	}
	if access.Allowed(&access.Principal{}, "status", access.On{}) == nil {
		t.Error("the zero principal may ask")
	}
	for _, p := range []*access.Principal{nil, access.Admin()} {
		if err := access.Allowed(p, "no/such", access.On{}); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if p := access.From(context.Background()); p != nil {
		t.Errorf("nobody was named, got %+v", p)
	}
	if p := access.From(access.With(context.Background(), r)); p != r {
		t.Errorf("got %+v", p)
	}
}
