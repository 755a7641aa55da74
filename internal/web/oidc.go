package web

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/stile-exchange/stile/node"
)

// ProviderOptions say which identity provider signs people in (OpenID Connect Core 1.0),
// such as Entra ID.
type ProviderOptions struct {
	Issuer   string // such as https://login.microsoftonline.com/TENANT/v2.0
	ClientID string
	Secret   string
	// Callback is the address of /sign-in/callback as browsers reach it.
	Callback string
	// Claim is what names the person: email, which must then be verified, or
	// preferred_username, which must then be the directory's to give. Default: the
	// second for Entra ID, which verifies no email, and else the first.
	Claim string
	// Client asks the provider; nil for the default one.
	Client *http.Client
}

// A Provider signs people in. At the first sign-in a claim says which person it is; from
// then on the provider's own identifier of the account does, so that an account that is
// renamed later is nobody else. Roles are kept here.
type Provider struct {
	o      ProviderOptions
	origin string // of its issuer

	mu       sync.Mutex // guards what follows: what the provider says of itself, once it was asked
	config   *oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// NewProvider returns a provider that is asked what its addresses and keys are when
// somebody signs in first, so that a node starts without it.
func NewProvider(o ProviderOptions) *Provider {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Claim == "" {
		o.Claim = "email"
		if strings.HasPrefix(o.Issuer, "https://login.microsoftonline.com/") {
			o.Claim = "preferred_username"
		}
	}
	p := &Provider{o: o}
	if u, err := url.Parse(o.Issuer); err == nil {
		p.origin = u.Scheme + "://" + u.Host
	}
	return p
}

// discover asks the provider what its addresses and keys are, once.
func (p *Provider) discover(ctx context.Context) (*oauth2.Config, *oidc.IDTokenVerifier, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.config != nil {
		return p.config, p.verifier, nil
	}
	// What is asked later, such as new keys, must not end with this request.
	d, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.o.Client), p.o.Issuer)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the identity provider: %w", err)
	}
	p.config = &oauth2.Config{ClientID: p.o.ClientID, ClientSecret: p.o.Secret, Endpoint: d.Endpoint(), RedirectURL: p.o.Callback, Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
	p.verifier = d.Verifier(&oidc.Config{ClientID: p.o.ClientID})
	return p.config, p.verifier, nil
}

// provider sends the browser to the identity provider, with a state, a nonce and a PKCE
// challenge that its session alone knows.
func (q *request) provider() error {
	if q.Provider == nil {
		return &node.Error{Kind: node.NotFound, Message: "no identity provider is set up"}
	}
	config, _, err := q.Provider.discover(q.r.Context())
	if err != nil {
		q.Log.Error("the identity provider does not answer", "err", err)
		return &node.Error{Kind: node.Unreachable, Message: "the identity provider does not answer"}
	}
	state, err := q.People.Code(20)
	if err != nil {
		return err
	}
	nonce, err := q.People.Code(20)
	if err != nil {
		return err
	}
	verifier := oauth2.GenerateVerifier()
	ctx := q.r.Context()
	q.sessions.Put(ctx, "state", state)
	q.sessions.Put(ctx, "nonce", nonce)
	q.sessions.Put(ctx, "verifier", verifier)
	more := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if q.form("again") != "" { // a step up: the provider asks again, whatever it remembers
		more = append(more, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
		q.sessions.Put(ctx, "again", true)
	}
	http.Redirect(q.w, q.r, config.AuthCodeURL(state, more...), http.StatusSeeOther)
	return nil
}

func (q *request) callback() error {
	refuse := func(why string) error {
		q.locks.failed(address(q.r))
		q.Log.Warn("a sign-in was refused", "why", why)
		return q.render("sign-in", page{Title: q.say("signin.title"), Status: http.StatusForbidden, Public: true, Data: q.Provider != nil,
			Faults: faults{{"provider", q.say("signin.refused")}}})
	}
	if q.Provider == nil {
		return &node.Error{Kind: node.NotFound, Message: "no identity provider is set up"}
	}
	if !q.locks.may(address(q.r)) {
		return q.render("sign-in-locked", page{Title: q.say("signin.locked"), Status: http.StatusTooManyRequests, Public: true})
	}
	ctx := q.r.Context()
	state, nonce, verifier := q.sessions.PopString(ctx, "state"), q.sessions.PopString(ctx, "nonce"), q.sessions.PopString(ctx, "verifier")
	again := q.sessions.PopBool(ctx, "again")
	if state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(q.r.URL.Query().Get("state"))) != 1 {
		return refuse("state")
	}
	config, tokens, err := q.Provider.discover(ctx)
	if err != nil {
		return refuse("provider")
	}
	octx := oidc.ClientContext(ctx, q.Provider.o.Client)
	token, err := config.Exchange(octx, q.r.URL.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return refuse("code")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := tokens.Verify(octx, raw)
	if err != nil || id.Nonce != nonce {
		return refuse("token")
	}
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
		Username string `json:"preferred_username"`
		Object   string `json:"oid"` // of Entra ID: the account, in every application alike
		AuthTime int64  `json:"auth_time"`
	}
	if err := id.Claims(&claims); err != nil {
		return refuse("claims")
	}
	if again && (claims.AuthTime == 0 || q.Now().Sub(time.Unix(claims.AuthTime, 0)) > recentlyIs) {
		return refuse("auth_time")
	}
	called := claims.Username
	if q.Provider.o.Claim == "email" {
		if called = claims.Email; !claims.Verified {
			called = ""
		}
	}
	account := claims.Object
	if account == "" {
		account = id.Subject
	}
	p, err := q.People.Account(id.Issuer+" "+account, called)
	if err != nil {
		return refuse("nobody")
	}
	q.locks.passed(address(q.r))
	return q.enter(p)
}
