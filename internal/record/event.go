package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// An Event is any entry of a ledger that is not a record: an agreement, a
// signature, a batch of disclosures, a receipt, a withdrawal.
type Event struct {
	Council  name.Council   // who says so
	IssuedAt int64          // seconds since 1970 UTC, as claimed
	Kind     string         // what the body is: a-z, 0-9 and "-", at most 64 bytes
	Body     map[string]any // as strictjson values; never nil once parsed
}

// BuildEvent writes an event down, to be signed with the key kid by [Token.Seal]:
// without its signature [ParseEvent] does not read it. The same arguments give the
// same bytes. A nil body is written as an empty one. An
// error wraps [ErrClaims] or is a [*Refusal].
func BuildEvent(e Event, kid string) (*Token, error) {
	if _, err := name.ParseCouncil(string(e.Council)); err != nil {
		return nil, fmt.Errorf("build event: %w: %w", ErrClaims, err)
	}
	if e.IssuedAt < 0 || e.IssuedAt > MaxIssued {
		return nil, fmt.Errorf("build event: %w: issued at a time that cannot be written", ErrClaims)
	}
	if !isKind(e.Kind) {
		return nil, fmt.Errorf("build event: %w: the kind is not a word of a-z, 0-9 and -", ErrClaims)
	}
	values := 0
	if r := unwritable(e.Body, 1, true, &values); r != nil {
		return nil, fmt.Errorf("build event: %w", r)
	}
	header, err := appendHeader(nil, kindEvent, kid)
	if err != nil {
		return nil, fmt.Errorf("build event: %w", err)
	}
	payload := append([]byte(nil), `{"body":`...)
	payload = strictjson.AppendCanonical(payload, e.Body)
	payload = append(payload, `,"event":"`...)
	payload = append(payload, e.Kind...)
	payload = append(payload, `","iat":`...)
	payload = strconv.AppendInt(payload, e.IssuedAt, 10)
	payload = append(payload, `,"iss":"`...)
	payload = append(payload, e.Council.Issuer()...)
	payload = append(payload, `"}`...)

	raw := b64.AppendEncode(nil, header)
	raw = append(raw, '.')
	raw = b64.AppendEncode(raw, payload)
	t := &Token{input: len(raw), end: len(raw) + 1, kind: kindEvent, kid: kid, entry: sha256.Sum256(raw), known: true}
	if len(raw)+1+sigLen > MaxToken {
		return nil, fmt.Errorf("build event: %w", &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("as a token it would have more than %d bytes", MaxToken)})
	}
	t.raw = append(raw, '.')
	return t, nil
}

// ParseEvent reads an event token and what it says. The signature is for
// [Token.Verify]. It keeps no part of b, and the Token's Bytes are b. An error
// is a [*Refusal].
func ParseEvent(b []byte) (*Token, *Event, error) {
	if len(b) > MaxToken {
		return nil, nil, &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("a token has at most %d bytes", MaxToken)}
	}
	c, err := cutJWS(b, len(b))
	if err != nil {
		return nil, nil, err
	}
	t, err := newToken(c, kindEvent)
	if err != nil {
		return nil, nil, err
	}
	payload := c.payload.of(c.dec)
	lim := jsonLimits()
	lim.Depth = MaxDepth + 1 // as deep as BuildEvent goes
	v, err := strictjson.Decode(payload, lim)
	if err != nil {
		return nil, nil, jsonRefusal("the payload", err)
	}
	if !bytes.Equal(strictjson.Canonical(v), payload) {
		return nil, nil, &Refusal{Rule: RuleCanonical, Detail: "the payload is not in canonical form"}
	}
	m, ok := v.(map[string]any)
	if !ok || len(m) != 4 {
		return nil, nil, claim("", `the payload of an event has "body", "event", "iat" and "iss" alone`)
	}
	e := new(Event)
	if e.Body, ok = m["body"].(map[string]any); !ok {
		return nil, nil, claim("body", "is missing or not an object")
	}
	if e.Kind, _ = m["event"].(string); !isKind(e.Kind) {
		return nil, nil, claim("event", "is not a word of a-z, 0-9 and -")
	}
	n, _ := m["iat"].(json.Number)
	iat, ok := natural(string(n))
	if !ok || iat > MaxIssued {
		return nil, nil, claim("iat", "is not a whole number of seconds since 1970, before the year 10000")
	}
	e.IssuedAt = int64(iat)
	iss, _ := m["iss"].(string)
	if e.Council, err = name.ParseIssuer(iss); err != nil {
		return nil, nil, claim("iss", "is not https:// and a council's domain")
	}
	return t, e, nil
}

func isKind(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
