package record

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

var b64 = base64.RawURLEncoding.Strict()

// appendDecoded appends what the base64url text src spells (RFC 7515 section 2).
// It takes the one spelling only: no padding, no line feeds, no loose bits at
// the end.
func appendDecoded(dst, src []byte) ([]byte, error) {
	n := len(dst)
	// encoding/base64 skips CR and LF even when strict. What it skips makes the
	// result shorter than the text says, except where the text's length is one
	// that no encoding has.
	if len(src)%4 == 1 {
		return dst, errEncoding
	}
	dst, err := b64.AppendDecode(dst, src)
	if err != nil || len(dst)-n != b64.DecodedLen(len(src)) {
		return dst[:n], errEncoding
	}
	return dst, nil
}

var errEncoding = errors.New("not base64url")

// A span is a piece of a buffer.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

// A compact is a compact SD-JWT or JWS cut into its parts and decoded. Nothing
// is yet known of what the parts say.
type compact struct {
	raw   []byte // as given
	input span   // the JWS signing input in raw (RFC 7515 section 5.1)
	end   int    // of the JWS in raw
	texts []span // the disclosures in raw, base64url

	dec         []byte // every part decoded, end to end
	header      span   // in dec, as are the rest
	payload     span
	signature   span
	disclosures []span

	// Of a token that was packed, what is known of it without reading it again: its
	// claims, where in the payload the body stands, and the disclosures' digests,
	// base64url, end to end.
	said    *Claims
	body    span
	digests []byte
}

// cut separates a compact SD-JWT: a JWS, then "~" and each disclosure, then "~"
// (RFC 9901 section 4). It copies b.
func cut(b []byte) (*compact, error) {
	if len(b) > MaxToken {
		return nil, &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("a token has at most %d bytes", MaxToken)}
	}
	end := bytes.IndexByte(b, '~')
	if end < 0 {
		return nil, &Refusal{Rule: RuleForm, Detail: "no ~ after the signature"}
	}
	// RFC 9901 section 4: with a key binding JWT the last part is not empty. To
	// drop it unread would be to accept what nobody checked.
	if b[len(b)-1] != '~' {
		return nil, &Refusal{Rule: RuleKeyBinding, Detail: "something follows the last ~; key binding is not used"}
	}
	c, err := cutJWS(b, end)
	if err != nil {
		return nil, err
	}
	n := bytes.Count(b[end+1:], []byte{'~'})
	if n == 0 {
		return c, nil
	}
	c.texts, c.disclosures = make([]span, 0, n), make([]span, 0, n)
	for at := end + 1; at < len(b); {
		to := at + bytes.IndexByte(b[at:], '~')
		d, err := c.decode(at, to)
		if err != nil {
			return nil, &Refusal{Rule: RuleEncoding, Detail: "disclosure " + strconv.Itoa(len(c.texts)+1) + " is not base64url"}
		}
		if d.from == d.to {
			return nil, &Refusal{Rule: RuleForm, Detail: "disclosure " + strconv.Itoa(len(c.texts)+1) + " is empty"}
		}
		c.texts = append(c.texts, span{at, to})
		c.disclosures = append(c.disclosures, d)
		at = to + 1
	}
	return c, nil
}

// cutJWS separates the compact JWS b[:end] (RFC 7515 section 7.1) and copies b.
func cutJWS(b []byte, end int) (*compact, error) {
	jws := b[:end]
	dot1 := bytes.IndexByte(jws, '.')
	dot2 := bytes.LastIndexByte(jws, '.')
	if dot1 < 0 || dot1 == dot2 || bytes.IndexByte(jws[dot1+1:dot2], '.') >= 0 {
		return nil, &Refusal{Rule: RuleForm, Detail: "the signed part is not three parts with two dots between"}
	}
	c := &compact{
		raw:   bytes.Clone(b), // b may be a network buffer that is used again
		input: span{0, dot2},
		end:   end,
		dec:   make([]byte, 0, b64.DecodedLen(len(b))),
	}
	var err error
	if c.header, err = c.decode(0, dot1); err != nil {
		return nil, &Refusal{Rule: RuleEncoding, Detail: "the header is not base64url"}
	}
	if c.payload, err = c.decode(dot1+1, dot2); err != nil {
		return nil, &Refusal{Rule: RuleEncoding, Detail: "the payload is not base64url"}
	}
	if c.signature, err = c.decode(dot2+1, end); err != nil {
		return nil, &Refusal{Rule: RuleEncoding, Detail: "the signature is not base64url"}
	}
	return c, nil
}

// decode appends the decoded raw[from:to] to dec and returns where it is.
func (c *compact) decode(from, to int) (span, error) {
	at := len(c.dec)
	var err error
	c.dec, err = appendDecoded(c.dec, c.raw[from:to])
	return span{at, len(c.dec)}, err
}
