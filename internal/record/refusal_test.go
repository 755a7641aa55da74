package record

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
)

// wantRule checks that err is a Refusal by the rule, or nil when rule is "".
func wantRule(t *testing.T, what string, err error, rule string) {
	t.Helper()
	if rule == "" {
		if err != nil {
			t.Errorf("%s: refused: %v", what, err)
		}
		return
	}
	r, ok := errors.AsType[*Refusal](err)
	if !ok {
		t.Errorf("%s: got %v, want a refusal by the rule %q", what, err, rule)
		return
	}
	if r.Rule != rule {
		t.Errorf("%s: got %v, want the rule %q", what, err, rule)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("%s: the refusal holds a value: %v", what, err)
	}
}

// secret stands in the values of malicious tokens; no refusal may repeat it.
const secret = "Ottoline"

// A forger signs what no honest issuer would.
type forger struct{ key *keys.RecordKey }

func (f forger) header() string {
	return `{"alg":"ES256","kid":"` + f.key.ID() + `","typ":"stile-record+sd-jwt"}`
}

// token signs header and payload and adds disclosures, all given as JSON.
func (f forger) token(t *testing.T, header, payload string, disclosures ...string) []byte {
	t.Helper()
	b := b64.AppendEncode(nil, []byte(header))
	b = b64.AppendEncode(append(b, '.'), []byte(payload))
	sig, err := f.key.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b64.AppendEncode(append(b, '.'), sig), '~')
	for _, d := range disclosures {
		b = append(b64.AppendEncode(b, []byte(d)), '~')
	}
	return b
}

const (
	tail = `"iat":1764547200,"iss":"https://northmoor.gov.uk","op":"put","rec":"aaaqeayeaudaocajbifqydiob4",` +
		`"std":"standards.example/planning-application@1.2.0","std#integrity":"sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","ver":1}`
	salt  = "c2FsdHNhbHRzYWx0c2FsdA"
	salt2 = "UEVQUEVSUEVQUEVSUEVQUA"
)

// payload returns a record's payload with the body given.
func payload(body string) string { return `{"_sd_alg":"sha-256","body":` + body + `,` + tail }

// sd returns a canonical "_sd" member for disclosures given as JSON.
func sd(disclosures ...string) string {
	var ds []string
	for _, d := range disclosures {
		ds = append(ds, digest(d))
	}
	slices.Sort(ds)
	return `"_sd":["` + strings.Join(ds, `","`) + `"]`
}

func dots(disclosure string) string { return `{"...":"` + digest(disclosure) + `"}` }

func TestViewRefuses(t *testing.T) {
	f := forger{testRing(t).Record}
	name := `["` + salt + `","name","` + secret + `"]`
	other := `["` + salt2 + `","other","` + secret + `"]`
	element := `["` + salt + `","` + secret + `"]`
	inner := `["` + salt2 + `","inner","` + secret + `"]`
	outer := `["` + salt + `","outer",{` + sd(inner) + `}]`
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + `"` + secret + `"` + strings.Repeat(`}`, n) }

	type disclosures = []string
	cases := []struct {
		name, payload string
		disclosures   []string
		rule          string
	}{
		// What the others are changed from.
		{"nothing hidden", payload(`{"a":"b"}`), nil, ""},
		{"a member", payload(`{` + sd(name) + `}`), disclosures{name}, ""},
		{"a member withheld", payload(`{` + sd(name) + `}`), nil, ""},
		{"two members, any order", payload(`{` + sd(name, other) + `}`), disclosures{other, name}, ""},
		{"an element", payload(`{"a":[` + dots(element) + `]}`), disclosures{element}, ""},
		{"a shell", payload(`{` + sd(outer) + `}`), disclosures{inner, outer}, ""},
		{"a shell emptied", payload(`{` + sd(outer) + `}`), disclosures{outer}, ""},
		{"64 deep", payload(deep(64)), nil, ""},
		{"second version", strings.Replace(strings.Replace(payload(`{}`), `"ver":1`, `"ver":2`, 1), `"rec"`, `"prev":"`+digest("x")+`","rec"`, 1), nil, ""},

		// Disclosures that do not belong.
		{"unreferenced", payload(`{"a":"b"}`), disclosures{name}, RuleUnreferenced},
		{"one of two unreferenced", payload(`{` + sd(name) + `}`), disclosures{name, other}, RuleUnreferenced},
		{"inner without outer", payload(`{` + sd(outer) + `}`), disclosures{inner}, RuleUnreferenced},
		{"one byte of a disclosure changed", payload(`{` + sd(name) + `}`), disclosures{strings.Replace(name, "name", "nama", 1)}, RuleUnreferenced},
		{"given twice", payload(`{` + sd(name) + `}`), disclosures{name, name}, RuleDuplicate},
		{"digest twice in one place", payload(`{"_sd":["` + digest(name) + `","` + digest(name) + `"]}`), disclosures{name}, RuleDuplicate},
		{"digest twice in two places", payload(`{` + sd(name) + `,"a":{` + sd(name) + `}}`), disclosures{name}, RuleDuplicate},
		{"withheld digest twice", payload(`{` + sd(name) + `,"a":{` + sd(name) + `}}`), nil, RuleDuplicate},
		{"digest as member and element", payload(`{` + sd(element) + `,"a":[` + dots(element) + `]}`), nil, RuleDuplicate},
		{"digest again inside a disclosure", payload(`{` + sd(inner, outer) + `}`), disclosures{outer, inner}, RuleDuplicate},

		// Disclosures of the wrong form.
		{"two values for a member", payload(`{` + sd(element) + `}`), disclosures{element}, RuleDisclosure},
		{"four values", payload(`{` + sd(`["`+salt+`","a",1,2]`) + `}`), disclosures{`["` + salt + `","a",1,2]`}, RuleDisclosure},
		{"one value", payload(`{` + sd(`["`+salt+`"]`) + `}`), disclosures{`["` + salt + `"]`}, RuleDisclosure},
		{"no value", payload(`{` + sd(`[]`) + `}`), disclosures{`[]`}, RuleDisclosure},
		{"three values for an element", payload(`{"a":[` + dots(name) + `]}`), disclosures{name}, RuleDisclosure},
		{"an object", payload(`{` + sd(`{"a":1}`) + `}`), disclosures{`{"a":1}`}, RuleDisclosure},
		{"a string", payload(`{` + sd(`"`+secret+`"`) + `}`), disclosures{`"` + secret + `"`}, RuleDisclosure},
		{"salt a number", payload(`{` + sd(`[1,"a",2]`) + `}`), disclosures{`[1,"a",2]`}, RuleDisclosure},
		{"salt null", payload(`{` + sd(`[null,"a",2]`) + `}`), disclosures{`[null,"a",2]`}, RuleDisclosure},
		{"salt empty", payload(`{` + sd(`["","a",2]`) + `}`), disclosures{`["","a",2]`}, RuleDisclosure},
		{"salt short", payload(`{` + sd(`["c2FsdA","a",2]`) + `}`), disclosures{`["c2FsdA","a",2]`}, RuleDisclosure},
		{"salt with loose bits", payload(`{` + sd(`["c2FsdHNhbHRzYWx0c2FsdB","a",2]`) + `}`), disclosures{`["c2FsdHNhbHRzYWx0c2FsdB","a",2]`}, RuleDisclosure},
		{"salt in base64", payload(`{` + sd(`["c2FsdHNhbHRzYWx0c2/+dA","a",2]`) + `}`), disclosures{`["c2FsdHNhbHRzYWx0c2/+dA","a",2]`}, RuleDisclosure},
		{"name a number", payload(`{` + sd(`["`+salt+`",1,2]`) + `}`), disclosures{`["` + salt + `",1,2]`}, RuleDisclosure},
		{"name null", payload(`{` + sd(`["`+salt+`",null,2]`) + `}`), disclosures{`["` + salt + `",null,2]`}, RuleDisclosure},
		{"not JSON", payload(`{` + sd(`["`+salt+`","a",`) + `}`), disclosures{`["` + salt + `","a",`}, RuleJSON},
		{"two JSON texts", payload(`{` + sd(name+name) + `}`), disclosures{name + name}, RuleJSON},
		{"a name twice in a value", payload(`{` + sd(`["`+salt+`","a",{"b":1,"b":2}]`) + `}`), disclosures{`["` + salt + `","a",{"b":1,"b":2}]`}, RuleJSON},
		{"not UTF-8", payload(`{` + sd("[\""+salt+"\",\"a\",\"\xff\"]") + `}`), disclosures{"[\"" + salt + "\",\"a\",\"\xff\"]"}, RuleJSON},
		{"a number too large", payload(`{` + sd(`["`+salt+`","a",1e10000000]`) + `}`), disclosures{`["` + salt + `","a",1e10000000]`}, RuleJSON},
		{"half a surrogate pair", payload(`{` + sd(`["`+salt+`","a","\ud800"]`) + `}`), disclosures{`["` + salt + `","a","\ud800"]`}, RuleJSON},
		{"space", payload(`{` + sd(`["`+salt+`", "a",2]`) + `}`), disclosures{`["` + salt + `", "a",2]`}, RuleCanonical},
		{"needless escape", payload(`{` + sd(`["`+salt+`","\u0061",2]`) + `}`), disclosures{`["` + salt + `","\u0061",2]`}, RuleCanonical},
		{"members out of order", payload(`{` + sd(`["`+salt+`","a",{"c":1,"b":2}]`) + `}`), disclosures{`["` + salt + `","a",{"c":1,"b":2}]`}, RuleCanonical},

		// Names.
		{"_sd disclosed", payload(`{` + sd(`["`+salt+`","_sd",["`+secret+`"]]`) + `}`), disclosures{`["` + salt + `","_sd",["` + secret + `"]]`}, RuleReserved},
		{"... disclosed", payload(`{` + sd(`["`+salt+`","...","`+secret+`"]`) + `}`), disclosures{`["` + salt + `","...","` + secret + `"]`}, RuleReserved},
		{"_sd_alg disclosed", payload(`{` + sd(`["`+salt+`","_sd_alg","sha-256"]`) + `}`), disclosures{`["` + salt + `","_sd_alg","sha-256"]`}, RuleReserved},
		{"_sd_alg in the body", payload(`{"_sd_alg":"sha-256"}`), nil, RuleReserved},
		{"_sd_alg inside a disclosure", payload(`{` + sd(`["`+salt+`","a",{"_sd_alg":"sha-256"}]`) + `}`), disclosures{`["` + salt + `","a",{"_sd_alg":"sha-256"}]`}, RuleReserved},
		{"... as a member", payload(`{"...":"` + digest(element) + `"}`), nil, RuleReserved},
		{"... with another member", payload(`{"a":[{"...":"` + digest(element) + `","b":1}]}`), disclosures{element}, RuleReserved},
		{"... a number", payload(`{"a":[{"...":1}]}`), nil, RuleReserved},
		{"... an array", payload(`{"a":[{"...":["` + digest(element) + `"]}]}`), disclosures{element}, RuleReserved},
		{"claim there already", payload(`{` + sd(name) + `,"name":"b"}`), disclosures{name}, RuleTaken},
		{"claim there already as null", payload(`{` + sd(name) + `,"name":null}`), disclosures{name}, RuleTaken},
		{"claim disclosed twice", payload(`{` + sd(name, `["`+salt2+`","name",null]`) + `}`), disclosures{name, `["` + salt2 + `","name",null]`}, RuleTaken},

		// Digests of the wrong form.
		{"_sd an object", payload(`{"_sd":{"a":"` + digest(name) + `"}}`), nil, RuleForm},
		{"_sd a string", payload(`{"_sd":"` + digest(name) + `"}`), nil, RuleForm},
		{"_sd null", payload(`{"_sd":null}`), nil, RuleForm},
		{"_sd of numbers", payload(`{"_sd":[1]}`), nil, RuleForm},
		{"_sd empty", payload(`{"_sd":[]}`), nil, RuleForm},
		{"_sd not sorted", payload(`{"_sd":["` + digest(`b`) + `","` + digest(`a`) + `"]}`), nil, RuleCanonical},
		{"digest short", payload(`{"_sd":["AAAA"]}`), nil, RuleForm},
		{"digest padded", payload(`{"_sd":["` + digest(name)[:42] + `="]}`), nil, RuleForm},
		{"digest with loose bits", payload(`{"_sd":["` + digest(name)[:42] + `B"]}`), nil, RuleForm},
		{"element's digest short", payload(`{"a":[{"...":"AAAA"}]}`), nil, RuleForm},
		{"_sd inside a disclosure a string", payload(`{` + sd(`["`+salt+`","a",{"_sd":"x"}]`) + `}`), disclosures{`["` + salt + `","a",{"_sd":"x"}]`}, RuleForm},

		// Depth.
		{"65 deep", payload(deep(65)), nil, RuleDepth},
		{"1000 deep", payload(deep(1000)), nil, RuleJSON},
		{"65 deep with a disclosure", payload(`{` + sd(`["`+salt+`","a",`+deep(64)+`]`) + `}`), disclosures{`["` + salt + `","a",` + deep(64) + `]`}, RuleDepth},

		// Claims.
		{"no digest algorithm", strings.Replace(payload(`{}`), `"_sd_alg":"sha-256",`, ``, 1), nil, RuleDigestAlg},
		{"sha-512", strings.Replace(payload(`{}`), `sha-256"`, `sha-512"`, 1), nil, RuleDigestAlg},
		{"digest algorithm a number", strings.Replace(payload(`{}`), `"sha-256"`, `256`, 1), nil, RuleDigestAlg},
		{"_sd at the top", strings.Replace(payload(`{}`), `"body"`, sd(name)+`,"body"`, 1), disclosures{name}, RuleClaims},
		{"one claim more", strings.Replace(payload(`{}`), `"iat"`, `"exp":1,"iat"`, 1), nil, RuleClaims},
		{"a key to bind to", strings.Replace(payload(`{}`), `"iat"`, `"cnf":{},"iat"`, 1), nil, RuleClaims},
		{"no body", strings.Replace(payload(`{}`), `"body":{},`, ``, 1), nil, RuleClaims},
		{"body an array", payload(`[]`), nil, RuleClaims},
		{"body null", payload(`null`), nil, RuleClaims},
		{"a delete with a body", strings.Replace(payload(`{}`), `"put"`, `"delete"`, 1), nil, RuleClaims},
		{"another operation", strings.Replace(payload(`{}`), `"put"`, `"patch"`, 1), nil, RuleClaims},
		{"issuer over http", strings.Replace(payload(`{}`), `https:`, `http:`, 1), nil, RuleClaims},
		{"issuer with a path", strings.Replace(payload(`{}`), `gov.uk`, `gov.uk/`, 1), nil, RuleClaims},
		{"issuer in capitals", strings.Replace(payload(`{}`), `northmoor`, `Northmoor`, 1), nil, RuleClaims},
		{"no issuer", strings.Replace(payload(`{}`), `"iss":"https://northmoor.gov.uk",`, ``, 1), nil, RuleClaims},
		{"record's id too long", strings.Replace(payload(`{}`), `aaaqeayeaudaocajbifqydiob4`, `aaaqeayeaudaocajbifqydiob4a`, 1), nil, RuleClaims},
		{"record's id with loose bits", strings.Replace(payload(`{}`), `aaaqeayeaudaocajbifqydiob4`, `aaaqeayeaudaocajbifqydiob5`, 1), nil, RuleClaims},
		{"standard without version", strings.Replace(payload(`{}`), `@1.2.0`, ``, 1), nil, RuleClaims},
		{"no integrity", strings.Replace(payload(`{}`), `sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=`, ``, 1), nil, RuleClaims},
		{"integrity by sha512", strings.Replace(payload(`{}`), `sha256-`, `sha512-`, 1), nil, RuleClaims},
		{"integrity in base64url", strings.Replace(payload(`{}`), `Sa+/TI`, `Sa-_TI`, 1), nil, RuleClaims},
		{"integrity with loose bits", strings.Replace(payload(`{}`), `SuFU=`, `SuFV=`, 1), nil, RuleClaims},
		{"issued at a fraction", strings.Replace(payload(`{}`), `1764547200`, `1764547200.0`, 1), nil, RuleClaims},
		{"issued at an exponent", strings.Replace(payload(`{}`), `1764547200`, `1764547e3`, 1), nil, RuleClaims},
		{"issued before 1970", strings.Replace(payload(`{}`), `1764547200`, `-1`, 1), nil, RuleClaims},
		{"issued at minus zero", strings.Replace(payload(`{}`), `1764547200`, `-0`, 1), nil, RuleClaims},
		{"issued at a string", strings.Replace(payload(`{}`), `1764547200`, `"1764547200"`, 1), nil, RuleClaims},
		{"issued beyond 2^53", strings.Replace(payload(`{}`), `1764547200`, `9007199254740992`, 1), nil, RuleJSON},
		{"version 0", strings.Replace(payload(`{}`), `"ver":1`, `"ver":0`, 1), nil, RuleClaims},
		{"version a string", strings.Replace(payload(`{}`), `"ver":1`, `"ver":"1"`, 1), nil, RuleClaims},
		{"version 2 without predecessor", strings.Replace(payload(`{}`), `"ver":1`, `"ver":2`, 1), nil, RuleClaims},
		{"version 1 with predecessor", strings.Replace(payload(`{}`), `"rec"`, `"prev":"`+digest("x")+`","rec"`, 1), nil, RuleClaims},
		{"predecessor zero", strings.Replace(strings.Replace(payload(`{}`), `"ver":1`, `"ver":2`, 1), `"rec"`, `"prev":"`+strings.Repeat("A", 43)+`","rec"`, 1), nil, RuleClaims},
		{"predecessor short", strings.Replace(strings.Replace(payload(`{}`), `"ver":1`, `"ver":2`, 1), `"rec"`, `"prev":"AAAB","rec"`, 1), nil, RuleClaims},
		{"predecessor null", strings.Replace(strings.Replace(payload(`{}`), `"ver":1`, `"ver":2`, 1), `"rec"`, `"prev":null,"rec"`, 1), nil, RuleClaims},
		{"predecessor empty", strings.Replace(payload(`{}`), `"rec"`, `"prev":"","rec"`, 1), nil, RuleClaims},

		// The payload as JSON.
		{"empty", ``, nil, RuleJSON},
		{"an array", `[]`, nil, RuleClaims},
		{"two texts", payload(`{}`) + `{}`, nil, RuleJSON},
		{"a claim twice", strings.Replace(payload(`{}`), `"ver":1`, `"ver":1,"ver":1`, 1), nil, RuleJSON},
		{"a claim twice, once in the body's place", strings.Replace(payload(`{}`), `"body":{}`, `"body":{},"body":{}`, 1), nil, RuleJSON},
		{"cut short", strings.TrimSuffix(payload(`{}`), "}"), nil, RuleJSON},
		{"a line feed", payload(`{}`) + "\n", nil, RuleCanonical},
		{"space in the body", payload(`{ }`), nil, RuleCanonical},
		{"body's members out of order", payload(`{"b":1,"a":2}`), nil, RuleCanonical},
		{"claims out of order", `{` + strings.TrimSuffix(tail, "}") + `,"_sd_alg":"sha-256","body":{}}`, nil, RuleCanonical},
		{"issuer escaped", strings.Replace(payload(`{}`), `https:/`, `https:\/`, 1), nil, RuleCanonical},
		{"a byte order mark", "\ufeff" + payload(`{}`), nil, RuleJSON},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := f.token(t, f.header(), c.payload, c.disclosures...)
			tok, err := Parse(raw)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if !bytes.Equal(tok.Bytes(), raw) {
				t.Error("Bytes is not what was parsed")
			}
			// The forger is the issuer: nothing is wrong with the signature.
			if err := tok.Verify(f.key.Public()); err != nil {
				t.Errorf("verify: %v", err)
			}
			v, err := tok.View()
			wantRule(t, c.payload, err, c.rule)
			if (v == nil) != (err != nil) {
				t.Errorf("got a view %v beside the error %v", v, err)
			}
			if _, err := tok.Present(func(string, bool) bool { return true }); c.rule != "" && err == nil {
				t.Error("Present accepted it")
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	f := forger{testRing(t).Record}
	name := `["` + salt + `","name","` + secret + `"]`
	p := payload(`{` + sd(name) + `}`)
	good := f.token(t, f.header(), p, name)
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	jws, _, _ := bytes.Cut(good, []byte("~"))
	parts := bytes.Split(jws, []byte("."))
	disclosure := b64.EncodeToString([]byte(name))
	join := func(h, p, s, rest string) []byte { return []byte(h + "." + p + "." + s + rest) }
	h, pl, s := string(parts[0]), string(parts[1]), string(parts[2])
	header := func(h string) []byte { return f.token(t, h, p, name) }
	id := f.key.ID()

	cases := []struct {
		name  string
		token []byte
		rule  string
	}{
		{"empty", nil, RuleForm},
		{"a tilde", []byte("~"), RuleForm},
		{"a plain JWS", jws, RuleForm},
		{"no last tilde", good[:len(good)-1], RuleKeyBinding},
		{"a key binding token", append(bytes.Clone(good), jws...), RuleKeyBinding},
		{"one part", []byte(h + "~"), RuleForm},
		{"two parts", []byte(h + "." + pl + "~"), RuleForm},
		{"four parts", []byte(h + "." + pl + "." + s + "." + s + "~"), RuleForm},
		{"an empty disclosure", append(bytes.Clone(good), '~'), RuleForm},
		{"an empty disclosure first", join(h, pl, s, "~~"+disclosure+"~"), RuleForm},
		{"too long", append(bytes.Repeat([]byte("A"), MaxToken), '~'), RuleSize},

		{"header padded", join(h+"=", pl, s, "~"), RuleEncoding},
		{"payload padded", join(h, pl+"=", s, "~"), RuleEncoding},
		{"signature padded", join(h, pl, s+"==", "~"), RuleEncoding},
		{"disclosure padded", join(h, pl, s, "~"+disclosure+"=~"), RuleEncoding},
		{"line feed in the header", join(h[:4]+"\n"+h[4:], pl, s, "~"), RuleEncoding},
		{"line feed in the payload", join(h, pl[:4]+"\r\n"+pl[4:], s, "~"), RuleEncoding},
		{"line feed in the signature", join(h, pl, s[:4]+"\n"+s[4:], "~"), RuleEncoding},
		{"line feed in a disclosure", join(h, pl, s, "~"+disclosure+"\n~"), RuleEncoding},
		{"line feed after all", append(bytes.Clone(good), '\n'), RuleKeyBinding},
		{"space", join(" "+h, pl, s, "~"), RuleEncoding},
		{"base64 instead of base64url", join(h, pl, s[:84]+"+/", "~"), RuleEncoding},
		{"loose bits in the signature", join(h, pl, s[:85]+"B", "~"), RuleEncoding},
		{"a character too many", join(h, pl, s, "~"+disclosure[:5]+"~"), RuleEncoding},
		{"a zero byte", join(h, pl, s, "~"+disclosure[:4]+"\x00AAA~"), RuleEncoding},

		{"signature of 63 bytes", join(h, pl, b64.EncodeToString(make([]byte, 63)), "~"), RuleForm},
		{"signature of 65 bytes", join(h, pl, b64.EncodeToString(make([]byte, 65)), "~"), RuleForm},
		{"signature in ASN.1", join(h, pl, b64.EncodeToString(append([]byte{0x30, 68}, make([]byte, 68)...)), "~"), RuleForm},

		{"alg none", header(strings.Replace(f.header(), "ES256", "none", 1)), RuleAlgorithm},
		{"alg None", header(strings.Replace(f.header(), "ES256", "None", 1)), RuleAlgorithm},
		{"alg es256", header(strings.Replace(f.header(), "ES256", "es256", 1)), RuleAlgorithm},
		{"alg HS256", header(strings.Replace(f.header(), "ES256", "HS256", 1)), RuleAlgorithm},
		{"alg ES384", header(strings.Replace(f.header(), "ES256", "ES384", 1)), RuleAlgorithm},
		{"alg EdDSA", header(strings.Replace(f.header(), "ES256", "EdDSA", 1)), RuleAlgorithm},
		{"alg an array", header(strings.Replace(f.header(), `"ES256"`, `["ES256"]`, 1)), RuleAlgorithm},
		{"no alg", header(`{"kid":"` + id + `","typ":"stile-record+sd-jwt"}`), RuleAlgorithm},
		{"alg twice", header(strings.Replace(f.header(), `"kid"`, `"alg":"none","kid"`, 1)), RuleJSON},
		{"an event", header(strings.Replace(f.header(), "stile-record+sd-jwt", "stile-event+jws", 1)), RuleHeader},
		{"another type", header(strings.Replace(f.header(), "stile-record+sd-jwt", "JWT", 1)), RuleHeader},
		{"no type", header(`{"alg":"ES256","kid":"` + id + `"}`), RuleHeader},
		{"no key", header(`{"alg":"ES256","typ":"stile-record+sd-jwt"}`), RuleHeader},
		{"key's id short", header(strings.Replace(f.header(), id, id[:42], 1)), RuleHeader},
		{"key's id with loose bits", header(strings.Replace(f.header(), id, id[:42]+"B", 1)), RuleHeader},
		{"key in the header", header(strings.Replace(f.header(), `"kid"`, `"jwk":`+string(f.key.Public().JWK())+`,"kid"`, 1)), RuleHeader},
		{"critical extension", header(strings.Replace(f.header(), `"kid"`, `"crit":["b64"],"b64":false,"kid"`, 1)), RuleHeader},
		{"header out of order", header(`{"typ":"stile-record+sd-jwt","alg":"ES256","kid":"` + id + `"}`), RuleHeader},
		{"header with space", header(strings.Replace(f.header(), ",", ", ", 1)), RuleHeader},
		{"header not JSON", header("ES256"), RuleJSON},
		{"header an array", header("[]"), RuleAlgorithm},
		{"header empty", header(""), RuleJSON},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tok, err := Parse(c.token)
			if tok != nil {
				t.Error("got a token")
			}
			wantRule(t, string(c.token[:min(len(c.token), 200)]), err, c.rule)
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, other := testRing(t).Record, testRing(t).Record
	f := forger{key}
	raw := f.token(t, f.header(), payload(`{}`))
	tok, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	if err := tok.Verify(other.Public()); !errors.Is(err, ErrOtherKey) {
		t.Errorf("another key: got %v, want ErrOtherKey", err)
	}
	// The other key signs under the first one's name.
	forged, err := Parse(forger{other}.token(t, f.header(), payload(`{}`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Verify(key.Public()); !errors.Is(err, keys.ErrSignature) {
		t.Errorf("forged: got %v, want ErrSignature", err)
	}
	// One claim changed after signing.
	changed := bytes.Replace(raw, []byte(b64.EncodeToString([]byte(payload(`{}`)))),
		[]byte(b64.EncodeToString([]byte(strings.Replace(payload(`{}`), "1764547200", "1764547201", 1)))), 1)
	tok, err = Parse(changed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tok.View(); err != nil {
		t.Fatal(err)
	}
	if err := tok.Verify(key.Public()); !errors.Is(err, keys.ErrSignature) {
		t.Errorf("changed: got %v, want ErrSignature", err)
	}
}

// TestLongNamesDoNotMultiply reads a token of some 3 MB whose pointers, written out,
// would take gigabytes.
func TestLongNamesDoNotMultiply(t *testing.T) {
	f := forger{testRing(t).Record}
	var inner []string
	for i := range 9000 {
		inner = append(inner, `["`+b64.EncodeToString([]byte{byte(i), byte(i >> 8), 15: 0})+`","`+strings.Repeat("x", i%7)+string(rune('a'+i%26))+string(rune(0x4e00+i))+`",1]`)
	}
	long := strings.Repeat("n", 200_000)
	outer := `["` + salt + `","` + long + `",{` + sd(inner...) + `}]`
	raw := f.token(t, f.header(), payload(`{`+sd(outer)+`}`), append(inner, outer)...)
	tok, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tok.View()
	wantRule(t, "long names", err, RuleSize)
	if len(err.Error()) > 2000 {
		t.Errorf("the refusal has %d bytes", len(err.Error()))
	}
}
