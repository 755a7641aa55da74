package record

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
)

// A View is what a token says to whoever holds it.
type View struct {
	Claims

	// Body is the visible part of the record, as strictjson values: nil for a
	// Delete. Elements withheld from an array are left out, so those after them
	// move up. It belongs to the caller.
	Body map[string]any

	// Withheld counts the digests for which the token has no disclosure. What
	// lies inside something withheld is not counted: it cannot be seen.
	Withheld int

	// Disclosed holds the pointer of each disclosure, concrete RFC 6901 pointers
	// into Body, sorted.
	Disclosed []string
}

// View returns what a record token says. It checks every rule of RFC 9901
// section 7.1 and of the package comment but the signature, for which there is
// Verify. Every call gives a View of its own. An error is a [*Refusal].
func (t *Token) View() (*View, error) {
	v, w, err := t.view()
	if err != nil {
		return nil, err
	}
	v.Withheld = w.withheld
	if len(w.nodes) > 0 {
		points := string(w.points)
		v.Disclosed = make([]string, len(w.nodes))
		for i, n := range w.nodes {
			v.Disclosed[i] = points[n.pointer.from:n.pointer.to]
		}
		slices.Sort(v.Disclosed)
	}
	w.release()
	return v, nil
}

func (t *Token) view() (*View, *weaver, error) {
	c, err := t.taken()
	if err != nil {
		return nil, nil, err
	}
	w, err := newWeaver(c, true)
	if err != nil {
		return nil, nil, err
	}
	v := new(View)
	body, err := w.claims(&v.Claims)
	if err != nil {
		return nil, nil, err
	}
	if t.page != nil && t.page.Council != v.Council {
		return nil, nil, claim("iss", "is not the council that sealed the page")
	}
	// Digests can stand in the body alone: every other claim is a text or a number
	// of a form that claims has checked.
	if body != nil {
		if err := w.object(body, -1, 1); err != nil {
			return nil, nil, err
		}
		v.Body = body
	}
	if err := w.done(); err != nil {
		return nil, nil, err
	}
	return v, w, nil
}

// taken returns a record token taken apart.
func (t *Token) taken() (*compact, error) {
	if t.kind != kindRecord {
		return nil, &Refusal{Rule: RuleHeader, Detail: "the token is an event"}
	}
	if t.parts == nil { // sealed here, and so never taken apart yet
		return cut(t.raw)
	}
	return t.parts, nil
}

// claims reads the payload into c and returns its body, still with its
// digests, or nil for a Delete.
func (w *weaver) claims(c *Claims) (body map[string]any, err error) {
	text := w.c.payload.of(w.c.dec)
	at, ok := w.c.body, w.c.said != nil
	if ok {
		*c = *w.c.said
	} else {
		at, ok = scan(c, w.dec[w.c.payload.from:w.c.payload.to], &w.scratch)
	}
	if ok {
		if c.Op == Delete {
			return nil, nil
		}
		if body, ok := canonical(at.of(text)).(map[string]any); ok {
			return body, nil
		}
	}
	// Something is wrong with it. Read it again, slowly, to say what.
	v, err := strictjson.Decode(text, jsonLimits())
	if err != nil {
		return nil, jsonRefusal("the payload", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, claim("", "the payload is not an object")
	}
	if err := c.fault(m); err != nil {
		return nil, err
	}
	// Every claim is right, and body with them; so it is the spelling.
	return nil, &Refusal{Rule: RuleCanonical, Detail: "the payload is not in canonical form"}
}

// canonical returns the value of a text in canonical form, and nil for any other.
func canonical(text []byte) any {
	v, canonical, err := strictjson.DecodeCanonical(text, jsonLimits())
	if err != nil || !bytes.Equal(canonical, text) {
		return nil
	}
	return v
}

// ClaimsOf returns what a record token says beside the record, and its entry. It looks
// at neither body nor disclosures, so that it is for a token that is known to be one, as
// one that was just made here. An error is a [*Refusal].
func ClaimsOf(token []byte) (c Claims, entry tlog.Hash, err error) {
	jws, _, found := bytes.Cut(token, []byte{'~'})
	dot1, dot2 := bytes.IndexByte(jws, '.'), bytes.LastIndexByte(jws, '.')
	if !found || dot1 == dot2 {
		return c, entry, &Refusal{Rule: RuleForm, Detail: "the signed part is not three parts with two dots between"}
	}
	payload, err := appendDecoded(make([]byte, 0, b64.DecodedLen(dot2-dot1)), jws[dot1+1:dot2])
	if err != nil {
		return c, entry, &Refusal{Rule: RuleEncoding, Detail: "the payload is not base64url"}
	}
	var scratch []byte
	if _, ok := scan(&c, string(payload), &scratch); !ok {
		return c, entry, &Refusal{Rule: RuleCanonical, Detail: "the payload is not in canonical form"}
	}
	return c, sha256.Sum256(jws[:dot2]), nil
}

// scan reads the claims of a payload in canonical form but for the body, and
// returns where the body stands in it, nowhere for a Delete. In that form the
// claims stand in one order and none can hold a quotation mark, so there is
// nothing to parse; that it was that form is known in the end by printing the
// claims again, into scratch. false says that the payload is not what it should be.
func scan(c *Claims, s string, scratch *[]byte) (body span, ok bool) {
	const start, bodyStart = `{"_sd_alg":"sha-256",`, `{"_sd_alg":"sha-256","body":`
	at := len(start)
	if strings.HasPrefix(s, bodyStart) {
		// The last one, since the body may hold the same text and the claims after
		// it cannot.
		at = strings.LastIndex(s, `,"iat":`)
		if at < len(bodyStart) {
			return body, false
		}
		body = span{len(bodyStart), at}
		at++
	} else if !strings.HasPrefix(s, start) {
		return body, false
	}
	var f claimTexts
	rest := s[at:]
	take := func(until string) string {
		v, after, found := strings.Cut(rest, until)
		ok = ok && found
		rest = after
		return v
	}
	ok = true
	take(`"iat":`)
	f.iat = take(`,"iss":"`)
	f.iss = take(`","op":"`)
	f.op = take(`",`)
	if strings.HasPrefix(rest, `"prev":"`) {
		take(`"prev":"`)
		f.prev = take(`",`)
	}
	take(`"rec":"`)
	f.rec = take(`","std":"`)
	f.std = take(`","std#integrity":"`)
	f.integrity = take(`","ver":`)
	f.ver = take(`}`)
	if !ok || rest != "" || c.set(f) != nil || (c.Op == Delete) != (body.to == 0) {
		return body, false
	}
	*scratch = append(c.append((*scratch)[:0]), '}')
	return body, string(*scratch) == s[at:]
}
