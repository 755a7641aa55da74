package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// processed reads any SD-JWT, whoever issued it, by RFC 9901 section 7.1: step
// 3 to 5 over its whole payload. It is what View does for the body of a record,
// without the stricter form that records have.
func processed(c *compact) (map[string]any, *weaver, error) {
	v, err := strictjson.Decode(c.payload.of(c.dec), jsonLimits())
	if err != nil {
		return nil, nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, nil, claim("", "the payload is not an object")
	}
	if alg, ok := m[algKey]; ok && alg != sha256ID {
		return nil, nil, &Refusal{Rule: RuleDigestAlg}
	}
	delete(m, algKey)
	w, err := newWeaver(c, false)
	if err != nil {
		return nil, nil, err
	}
	if err := w.object(m, -1, 1); err != nil {
		return nil, nil, err
	}
	return m, w, w.done()
}

// example is one section's example of RFC 9901; see testdata/rfc9901/ORIGIN.md.
type example struct {
	Section, Title         string
	Claims                 json.RawMessage // what the issuer began with
	Payload                json.RawMessage // what it signed
	Disclosures            []struct{ Digest, Disclosure string }
	Issuance, Presentation string          // compact tokens
	Processed              json.RawMessage // of the presentation
}

func examples(t *testing.T) []example {
	t.Helper()
	files, err := filepath.Glob("testdata/rfc9901/*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("found %d examples, %v; want 9", len(files), err)
	}
	var all []example
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var e example
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, e)
	}
	return all
}

// value reads JSON in the form in which values are compared here.
func value(t *testing.T, b []byte) any {
	t.Helper()
	v, err := strictjson.Decode(b, strictjson.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return v
}

func TestRFC9901Examples(t *testing.T) {
	jwk, err := os.ReadFile("testdata/rfc9901/issuer.jwk")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := keys.ParseRecordPublic(jwk)
	if err != nil {
		t.Fatal(err)
	}
	checkSigned := func(t *testing.T, e example, token string) *compact {
		t.Helper()
		c, err := cut([]byte(token))
		if err != nil {
			t.Fatal(err)
		}
		if err := issuer.Verify(c.input.of(c.raw), c.signature.of(c.dec)); err != nil {
			t.Errorf("issuer's signature: %v", err)
		}
		if got, want := value(t, c.payload.of(c.dec)), value(t, e.Payload); !reflect.DeepEqual(got, want) {
			t.Errorf("payload\n got %v\nwant %v", got, want)
		}
		return c
	}
	issued, presented := 0, 0
	for _, e := range examples(t) {
		t.Run(e.Section+" "+e.Title, func(t *testing.T) {
			// The digest of each disclosure, as printed beside it.
			all := "e30." + b64.EncodeToString(e.Payload) + "."
			for _, d := range e.Disclosures {
				sum := sha256.Sum256([]byte(d.Disclosure))
				if got := b64.EncodeToString(sum[:]); got != d.Digest {
					t.Errorf("digest of %s\n got %s\nwant %s", d.Disclosure, got, d.Digest)
				}
				all += "~" + d.Disclosure
			}

			// All disclosures together give back what the issuer began with.
			c, err := cut([]byte(all + "~"))
			if err != nil {
				t.Fatal(err)
			}
			whole, w, err := processed(c)
			if err != nil {
				t.Fatal(err)
			}
			if w.used != len(e.Disclosures) {
				t.Errorf("used %d of %d disclosures", w.used, len(e.Disclosures))
			}
			for k, want := range value(t, e.Claims).(map[string]any) {
				if got := whole[k]; !reflect.DeepEqual(got, want) {
					t.Errorf("claim %q\n got %v\nwant %v", k, got, want)
				}
			}

			if e.Issuance != "" {
				issued++
				got, _, err := processed(checkSigned(t, e, e.Issuance))
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, whole) {
					t.Errorf("issuance\n got %v\nwant %v", got, whole)
				}
			}
			if e.Presentation != "" {
				presented++
				last := strings.LastIndexByte(e.Presentation, '~')
				if last != len(e.Presentation)-1 {
					// Key binding is not used here, so it is refused, not ignored.
					wantRule(t, "with key binding", second(cut([]byte(e.Presentation))), RuleKeyBinding)
				}
				got, _, err := processed(checkSigned(t, e, e.Presentation[:last+1]))
				if err != nil {
					t.Fatal(err)
				}
				if want := value(t, e.Processed); !reflect.DeepEqual(any(got), want) {
					t.Errorf("presentation\n got %v\nwant %v", got, want)
				}
			}
			// It is an SD-JWT, but not a record.
			if e.Issuance != "" {
				wantRule(t, "as a record", second(Parse([]byte(e.Issuance))), RuleHeader)
			}
		})
	}
	if issued != 3 || presented != 5 {
		t.Errorf("checked %d issued and %d presented tokens, want 3 and 5", issued, presented)
	}
}

// TestProcessedRefuses holds the rules of RFC 9901 section 7.1 against payloads
// that are not records; TestViewRefuses has the rest.
func TestProcessedRefuses(t *testing.T) {
	member := `["c2FsdHNhbHRzYWx0c2FsdA", "name", "Ada"]`
	element := `["c2FsdHNhbHRzYWx0c2FsdA", "Ada"]`
	cases := []struct {
		name, payload string
		disclosures   []string
		rule          string
	}{
		{"plain", `{"a":1}`, nil, ""},
		{"no _sd_alg is sha-256", `{"_sd":["` + digest(member) + `"]}`, []string{member}, ""},
		{"decoys of any form", `{"_sd":["decoy","` + digest(member) + `"],"a":[{"...":"decoy 2"}]}`, []string{member}, ""},
		{"sha-256", `{"_sd_alg":"sha-256","_sd":["` + digest(member) + `"]}`, []string{member}, ""},
		{"sha-512", `{"_sd_alg":"sha-512","_sd":["` + digest(member) + `"]}`, []string{member}, RuleDigestAlg},
		{"SHA-256", `{"_sd_alg":"SHA-256"}`, nil, RuleDigestAlg},
		{"null _sd_alg", `{"_sd_alg":null}`, nil, RuleDigestAlg},
		{"nested _sd_alg", `{"a":{"_sd_alg":"sha-256"}}`, nil, RuleReserved},
		{"member as element", `{"a":[{"...":"` + digest(member) + `"}]}`, []string{member}, RuleDisclosure},
		{"element as member", `{"_sd":["` + digest(element) + `"]}`, []string{element}, RuleDisclosure},
		{"decoy twice", `{"_sd":["decoy"],"a":{"_sd":["decoy"]}}`, nil, RuleDuplicate},
		{"unreferenced", `{"a":1}`, []string{member}, RuleUnreferenced},
		{"taken", `{"_sd":["` + digest(member) + `"],"name":"Bo"}`, []string{member}, RuleTaken},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token := "e30." + b64.EncodeToString([]byte(c.payload)) + ".c2ln~"
			for _, d := range c.disclosures {
				token += b64.EncodeToString([]byte(d)) + "~"
			}
			parts, err := cut([]byte(token))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = processed(parts)
			wantRule(t, c.payload, err, c.rule)
		})
	}
}

// TestAppendDecoded tries every string of up to four characters from an
// alphabet with the troublesome ones in it: what is accepted must be what
// encoding gives back, and all that encoding gives must be accepted.
func TestAppendDecoded(t *testing.T) {
	const alphabet = "AQgwB/+-_=\n\r 9"
	accepted := 0
	var try func(s []byte)
	try = func(s []byte) {
		got, err := appendDecoded(nil, s)
		if err == nil {
			accepted++
			if back := b64.AppendEncode(nil, got); !bytes.Equal(back, s) {
				t.Fatalf("%q decodes to %x, which encodes to %q", s, got, back)
			}
		}
		if len(s) < 5 {
			for i := range len(alphabet) {
				try(append(s[:len(s):len(s)], alphabet[i]))
			}
		}
	}
	try(nil)
	// 8 of the 14 are in the alphabet; of those AQgw end a group of two, and A,
	// Q, g, w, 9 (60 = 111100) and "-" … are counted here by the rule itself.
	loose2, loose4 := 0, 0 // characters whose last 2, 4 bits are zero
	const b64alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	n := 0
	for i := range len(alphabet) {
		if v := strings.IndexByte(b64alphabet, alphabet[i]); v >= 0 {
			n++
			if v%4 == 0 {
				loose2++
			}
			if v%16 == 0 {
				loose4++
			}
		}
	}
	if want := 1 + n*loose4 + n*n*loose2 + n*n*n*n; accepted != want {
		t.Errorf("accepted %d strings, want %d", accepted, want)
	}
}

// digest returns the digest of a disclosure given as JSON.
func digest(disclosure string) string {
	sum := sha256.Sum256([]byte(b64.EncodeToString([]byte(disclosure))))
	return b64.EncodeToString(sum[:])
}

func second[T any](_ T, err error) error { return err }
