package record

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrClaims is wrapped when a record's or an event's claims cannot be: a first
// version with a predecessor, a delete with a body, a name outside its grammar.
var ErrClaims = errors.New("claims do not hold together")

// append appends the claims but the body, without the braces, in canonical
// order. No value needs escaping: check or set has held each to a grammar without
// quotation marks, backslashes or controls.
func (c *Claims) append(dst []byte) []byte {
	dst = append(dst, `"iat":`...)
	dst = strconv.AppendInt(dst, c.IssuedAt, 10)
	dst = append(dst, `,"iss":"https://`...)
	dst = append(dst, c.Council...)
	dst = append(dst, `","op":"`...)
	dst = append(dst, c.Op...)
	if c.Version > 1 {
		dst = append(dst, `","prev":"`...)
		dst = b64.AppendEncode(dst, c.Prev[:])
	}
	dst = append(dst, `","rec":"`...)
	dst = append(dst, c.Record...)
	dst = append(dst, `","std":"`...)
	dst = append(dst, c.Standard.String()...)
	dst = append(dst, `","std#integrity":"`...)
	dst = append(dst, c.Integrity...)
	dst = append(dst, `","ver":`...)
	return strconv.AppendUint(dst, c.Version, 10)
}

// check reports claims that View would refuse, so that none is ever signed.
func (c *Claims) check() error {
	if _, err := name.ParseCouncil(string(c.Council)); err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	if _, err := name.ParseRecord(string(c.Record)); err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	for _, n := range []int{c.Standard.Version.Major, c.Standard.Version.Minor, c.Standard.Version.Patch} {
		if n < 0 || n > 999_999 {
			return fmt.Errorf("%w: the standard's version is outside its grammar", ErrClaims)
		}
	}
	if _, err := name.ParseStandardName(string(c.Standard.Name)); err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	switch {
	case c.IssuedAt < 0 || c.IssuedAt > MaxIssued:
		return fmt.Errorf("%w: issued at a time that cannot be written", ErrClaims)
	case c.Version < 1 || c.Version > maxInteger:
		return fmt.Errorf("%w: versions count from 1", ErrClaims)
	case (c.Version == 1) != (c.Prev == tlog.Hash{}):
		return fmt.Errorf("%w: version 1 has no predecessor and every other has one", ErrClaims)
	case c.Op != Put && c.Op != Delete:
		return fmt.Errorf("%w: the operation is neither %s nor %s", ErrClaims, Put, Delete)
	case !isIntegrity(c.Integrity):
		return fmt.Errorf("%w: the standard's integrity is not sha256- and 32 bytes in base64", ErrClaims)
	}
	return nil
}

// claimTexts are the claims as they stand in the payload, without quotation marks.
type claimTexts struct{ iat, iss, op, prev, rec, std, integrity, ver string }

// fault says what is wrong with the claims of a payload, body included: one is
// missing, of another type or form, or there beside those of the package
// comment. It returns nil if only their spelling can be. c is scratch.
func (c *Claims) fault(m map[string]any) error {
	if m[algKey] != sha256ID {
		return &Refusal{Rule: RuleDigestAlg, Detail: `"_sd_alg" is not "sha-256"`}
	}
	var f claimTexts
	known := 1
	for _, t := range []struct {
		key string
		to  *string
	}{{"iss", &f.iss}, {"op", &f.op}, {"prev", &f.prev}, {"rec", &f.rec}, {"std", &f.std}, {"std#integrity", &f.integrity}} {
		v, there := m[t.key]
		s, ok := v.(string)
		if !there && t.key == "prev" {
			continue
		}
		if !ok || s == "" {
			return claim(t.key, "is missing or not a text")
		}
		*t.to = s
		known++
	}
	for _, t := range []struct {
		key string
		to  *string
	}{{"iat", &f.iat}, {"ver", &f.ver}} {
		n, ok := m[t.key].(json.Number)
		if !ok {
			return claim(t.key, "is missing or not a number")
		}
		*t.to = string(n)
		known++
	}
	if err := c.set(f); err != nil {
		return err
	}
	if c.Op == Put {
		if _, ok := m["body"].(map[string]any); !ok {
			return claim("body", "is missing or not an object")
		}
		known++
	}
	// A claim we do not know might mean something to another reader, "exp" or
	// "cnf" above all. What is signed must mean one thing to everybody.
	if len(m) != known {
		return claim("", "the payload has a claim that such a record does not have")
	}
	return nil
}

// set reads the texts of the claims, each in the one form that append prints.
func (c *Claims) set(f claimTexts) (err error) {
	if c.Council, err = name.ParseIssuer(f.iss); err != nil {
		return claim("iss", "is not https:// and a council's domain")
	}
	if c.Op = Op(f.op); c.Op != Put && c.Op != Delete {
		return claim("op", "is neither put nor delete")
	}
	if c.Record, err = name.ParseRecord(f.rec); err != nil {
		return claim("rec", "is not a record's id")
	}
	if c.Standard, err = name.ParseStandard(f.std); err != nil {
		return claim("std", "is not a standard's name and version")
	}
	if c.Integrity = f.integrity; !isIntegrity(f.integrity) {
		return claim("std#integrity", "is not sha256- and 32 bytes in base64")
	}
	iat, ok := natural(f.iat)
	if !ok || iat > MaxIssued {
		return claim("iat", "is not a whole number of seconds since 1970, before the year 10000")
	}
	c.IssuedAt = int64(iat)
	if c.Version, ok = natural(f.ver); !ok || c.Version == 0 {
		return claim("ver", "is not a whole number from 1")
	}
	// Versions form a chain with one beginning.
	if (c.Version > 1) != (f.prev != "") {
		return claim("prev", "is there at version 1 or not there at a later one")
	}
	if c.Version > 1 {
		b, err := appendDecoded(c.Prev[:0], []byte(f.prev))
		if err != nil || len(b) != len(c.Prev) || c.Prev == (tlog.Hash{}) {
			return claim("prev", "is not an entry: 32 bytes in base64url")
		}
	}
	return nil
}

func claim(key, detail string) error {
	if key == "" {
		return &Refusal{Rule: RuleClaims, Detail: detail}
	}
	return &Refusal{Rule: RuleClaims, Detail: strconv.Quote(key) + " " + detail}
}

// natural returns a whole number from 0 to 2^53-1, written in digits alone.
func natural(s string) (uint64, bool) {
	u, err := strconv.ParseUint(s, 10, 64)
	return u, err == nil && u <= maxInteger && (s[0] != '0' || len(s) == 1)
}

// isIntegrity reports whether s is "sha256-" and 32 bytes in base64 with padding.
func isIntegrity(s string) bool {
	h, ok := strings.CutPrefix(s, "sha256-")
	if !ok || len(h) != 44 || strings.ContainsAny(h, "\r\n") {
		return false
	}
	var buf [33]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(h))
	return err == nil && n == sha256.Size
}
