package web_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/web"
)

// A provider is an identity provider in this process, with the conventions of Entra ID:
// the account is oid, the name preferred_username.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any // of the next token
	nonce  string         // as it was asked for; "" answers another
	query  url.Values     // of the last request to sign in
}

func identityProvider(t *testing.T) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		p.query = r.URL.Query()
		if p.nonce != "another" {
			p.nonce = p.query.Get("nonce")
		}
		http.Redirect(w, r, p.query.Get("redirect_uri")+"?code=c&state="+p.query.Get("state"), http.StatusSeeOther)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("code_verifier") == "" {
			http.Error(w, "no PKCE", http.StatusBadRequest)
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "stile", "sub": "pairwise", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "nonce": p.nonce}
		for k, v := range p.claims {
			claims[k] = v
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
		if err != nil {
			t.Error(err)
			return
		}
		b, _ := json.Marshal(claims)
		signed, err := signer.Sign(b)
		if err != nil {
			t.Error(err)
			return
		}
		token, _ := signed.CompactSerialize()
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": token})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// Somebody whom the provider knows by the claim signs in; from then on by their account
// alone. An unverified address, another nonce, a state of another session and an account
// that nobody added do not.
func TestProvider(t *testing.T) {
	p := identityProvider(t)
	// Where the pages are is known once they are open, so the way back is mended below.
	h := open(t, false, func(o *web.Options) {
		o.Provider = web.NewProvider(web.ProviderOptions{Issuer: p.URL, ClientID: "stile", Secret: "secret", Claim: "preferred_username", Callback: "http://callback.invalid/"})
	})
	if _, err := h.people.Put(people.Person{Name: "Jo Smith", Email: "jo@northmoor.gov.uk", Roles: []access.Role{access.Viewer}}); err != nil {
		t.Fatal(err)
	}
	enter := func(claims map[string]any) (int, string) {
		t.Helper()
		p.claims = claims
		v := h.visitor()
		v.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host == "callback.invalid" { // back to where the pages are
				r.URL.Host, r.URL.Path = strings.TrimPrefix(h.url, "http://"), "/sign-in/callback"
				r.Host = r.URL.Host
			}
			return nil
		}
		return v.post("/sign-in/provider", url.Values{})
	}
	if status, page := enter(map[string]any{"preferred_username": "Jo@northmoor.gov.uk", "oid": "account-1"}); status != 200 || !strings.Contains(page, "Jo Smith") {
		t.Fatalf("sign in: %d", status)
	}
	if p.query.Get("code_challenge_method") != "S256" || p.query.Get("nonce") == "" || !strings.Contains(p.query.Get("scope"), "openid") {
		t.Errorf("asked the provider with %v", p.query)
	}
	if status, page := enter(map[string]any{"preferred_username": "renamed@northmoor.gov.uk", "oid": "account-1"}); status != 200 || !strings.Contains(page, "Jo Smith") {
		t.Errorf("the same account under another name: %d", status)
	}
	for what, claims := range map[string]map[string]any{
		"another account with the name": {"preferred_username": "jo@northmoor.gov.uk", "oid": "account-2"},
		"an account that nobody added":  {"preferred_username": "eve@northmoor.gov.uk", "oid": "account-3"},
		"another audience":              {"preferred_username": "jo@northmoor.gov.uk", "oid": "account-1", "aud": "other"},
		"a token that has expired":      {"preferred_username": "jo@northmoor.gov.uk", "oid": "account-1", "exp": time.Now().Add(-time.Hour).Unix()},
	} {
		if status, _ := enter(claims); status != 403 {
			t.Errorf("%s: %d", what, status)
		}
	}
	p.nonce = "another"
	if status, _ := enter(map[string]any{"preferred_username": "jo@northmoor.gov.uk", "oid": "account-1"}); status != 403 {
		t.Errorf("another nonce: %d", status)
	}
	if status, _ := h.visitor().get("/sign-in/callback?code=c&state=guessed"); status != 403 {
		t.Errorf("a state of no session: %d", status)
	}
}
