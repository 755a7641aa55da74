package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// This file is RFC 9901 for any payload: cutting a compact SD-JWT into its parts
// (section 4) and putting disclosures back in place (section 7.1). What a
// record may say is in record.go.

const (
	// MaxToken is the longest token, in bytes, that [Parse] reads and [Build]
	// makes.
	MaxToken = 4 << 20

	// MaxDepth is how deep the objects and arrays of a body may nest, counting
	// the body itself.
	MaxDepth = 64

	// maxPointers bounds the bytes of all pointers of one token together. A
	// short token can otherwise ask for gigabytes: one long claim name with
	// thousands of disclosures below it, each pointer repeating the name.
	maxPointers = 16 << 20

	sdKey    = "_sd"
	dotsKey  = "..."
	algKey   = "_sd_alg"
	sha256ID = "sha-256"

	digestLen = 43 // characters of a SHA-256 digest in base64url
)

// jsonLimits are those of a payload or a disclosure. A digest beside or in the
// place of a value adds up to two levels to a body, and two values for each
// place.
func jsonLimits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxToken, Depth: MaxDepth + 8, Values: 400_000}
}

var b64 = base64.RawURLEncoding.Strict()

// appendDecoded appends what the base64url text src spells (RFC 7515 section 2).
// It takes the one spelling only: no padding, no line feeds, no loose bits at the end.
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
	texts []span // the disclosures in raw, base64url

	dec         []byte // every part decoded, end to end
	header      span   // in dec, as are the rest
	payload     span
	signature   span
	disclosures []span
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
		raw:   bytes.Clone(b),
		input: span{0, dot2},
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

// A node is one disclosure of a token, once its place is known.
type node struct {
	text    int    // which disclosure
	parent  int    // the node it lies in, or -1
	shell   bool   // see Token.Present
	pointer string // concrete RFC 6901 pointer of its place
}

// A weaver puts disclosures back into a payload by RFC 9901 section 7.1 step 3.
type weaver struct {
	strict bool // the stricter form that records have; see the package comment

	c     *compact
	index map[string]int32 // digest → disclosure; seen once a digest has used it or stands without one
	used  int              // disclosures put in place

	nodes    []node
	withheld int    // digests that no disclosure answers
	path     []byte // pointer of the place at hand
	pointers int    // bytes of all pointers so far
	scratch  []byte
}

const seen = -1

func newWeaver(c *compact, strict bool) (*weaver, error) {
	n := len(c.texts)
	w := &weaver{strict: strict, c: c, index: make(map[string]int32, 2*n+8), nodes: make([]node, 0, n)}
	// One string holds every digest, so that each key of the index costs nothing.
	buf := make([]byte, 0, n*digestLen)
	for _, t := range c.texts {
		sum := sha256.Sum256(t.of(c.raw))
		buf = b64.AppendEncode(buf, sum[:])
	}
	digests := string(buf)
	for i := range n {
		d := digests[i*digestLen : (i+1)*digestLen]
		if _, twice := w.index[d]; twice {
			return nil, &Refusal{Rule: RuleDuplicate, Detail: "a disclosure is given twice"}
		}
		w.index[d] = int32(i)
	}
	return w, nil
}

// done checks that every disclosure was put in place (section 7.1 step 5).
func (w *weaver) done() error {
	if n := len(w.c.texts) - w.used; n != 0 {
		return &Refusal{Rule: RuleUnreferenced, Detail: strconv.Itoa(n) + " disclosures belong to no digest of the token"}
	}
	return nil
}

func (w *weaver) refuse(rule, detail string) error {
	return &Refusal{Rule: rule, Pointer: cutPointer(w.path), Detail: detail}
}

// take returns the disclosure whose digest stands at the place at hand, or
// false if it is withheld.
func (w *weaver) take(digest string) (int, bool, error) {
	i, ok := w.index[digest]
	switch {
	case !ok:
		if w.strict && !isDigest(digest) {
			return 0, false, w.refuse(RuleForm, "a digest is not 32 bytes in base64url")
		}
		w.index[digest] = seen
		w.withheld++
		return 0, false, nil
	case i == seen:
		return 0, false, w.refuse(RuleDuplicate, "a digest stands in the token twice")
	}
	w.index[digest] = seen
	w.used++
	return int(i), true, nil
}

func isDigest(s string) bool {
	if len(s) != digestLen {
		return false
	}
	var buf [digestLen]byte
	var out [digestLen]byte
	copy(buf[:], s)
	b, err := appendDecoded(out[:0], buf[:])
	return err == nil && len(b) == sha256.Size
}

// open reads disclosure i, which must be an array of arity values, the first a
// string (section 4.2).
func (w *weaver) open(i, arity int) ([]any, error) {
	text := w.c.disclosures[i].of(w.c.dec)
	v, err := strictjson.Decode(text, jsonLimits())
	if err != nil {
		return nil, jsonRefusal("disclosure "+strconv.Itoa(i+1), err)
	}
	a, ok := v.([]any)
	if !ok {
		return nil, w.refuse(RuleDisclosure, "a disclosure is not an array")
	}
	if len(a) != arity {
		if arity == 3 {
			return nil, w.refuse(RuleDisclosure, "the disclosure of an object's member has three values: salt, name, value")
		}
		return nil, w.refuse(RuleDisclosure, "the disclosure of an array's element has two values: salt, value")
	}
	salt, ok := a[0].(string)
	if !ok {
		return nil, w.refuse(RuleDisclosure, "the salt of a disclosure is not a string")
	}
	if w.strict {
		if !isSalt(salt) {
			return nil, w.refuse(RuleDisclosure, "the salt of a disclosure is not 16 bytes in base64url")
		}
		w.scratch = strictjson.AppendCanonical(w.scratch[:0], a)
		if !bytes.Equal(w.scratch, text) {
			return nil, w.refuse(RuleCanonical, "a disclosure is not in canonical form")
		}
	}
	return a, nil
}

func isSalt(s string) bool {
	// 22 characters carry 132 bits; the last four must be zero, which leaves A,
	// Q, g and w for the last character.
	if len(s) != saltLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	c := s[saltLen-1]
	return c == 'A' || c == 'Q' || c == 'g' || c == 'w'
}

// placed notes that disclosure i lies at the place at hand, with value v.
func (w *weaver) placed(i, parent int, v any) (int, error) {
	if w.pointers += len(w.path); w.pointers > maxPointers {
		return 0, w.refuse(RuleSize, "the names of the disclosures are too long together")
	}
	w.nodes = append(w.nodes, node{text: i, parent: parent, shell: isShell(v), pointer: string(w.path)})
	return len(w.nodes) - 1, nil
}

// isShell reports whether v, still with its digests, is a container that says
// nothing but how much it holds.
func isShell(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		_, ok := v[sdKey]
		return len(v) == 0 || (ok && len(v) == 1)
	case []any:
		for _, e := range v {
			m, ok := e.(map[string]any)
			if _, dots := m[dotsKey]; !ok || !dots || len(m) != 1 {
				return false
			}
		}
		return true
	}
	return false
}

// weave puts disclosures into v, which lies in the node parent, depth levels
// deep, and returns what v becomes. It may change v.
func (w *weaver) weave(v any, parent, depth int) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		return v, w.object(v, parent, depth)
	case []any:
		return w.array(v, parent, depth)
	}
	return v, nil
}

func (w *weaver) object(m map[string]any, parent, depth int) error {
	if depth > MaxDepth {
		return w.refuse(RuleDepth, "nested too deep")
	}
	var digests []any
	if v, ok := m[sdKey]; ok {
		if digests, ok = v.([]any); !ok {
			return w.refuse(RuleForm, `"_sd" is not an array`)
		}
		delete(m, sdKey)
		if w.strict {
			if err := w.sorted(digests); err != nil {
				return err
			}
		}
	}
	at := len(w.path)
	for k, v := range m {
		if k == dotsKey || k == algKey {
			return w.refuse(RuleReserved, strconv.Quote(k)+" is used as a claim name")
		}
		switch v.(type) {
		case map[string]any, []any:
			w.path = appendToken(w.path, k)
			v, err := w.weave(v, parent, depth+1)
			if err != nil {
				return err
			}
			m[k] = v
			w.path = w.path[:at]
		}
	}
	// The claims said in clear are all done before any is put beside them, so
	// that none is gone through twice.
	for _, d := range digests {
		s, ok := d.(string)
		if !ok {
			return w.refuse(RuleForm, `"_sd" holds something that is not a string`)
		}
		i, ok, err := w.take(s)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		a, err := w.open(i, 3)
		if err != nil {
			return err
		}
		k, ok := a[1].(string)
		if !ok {
			return w.refuse(RuleDisclosure, "the claim name of a disclosure is not a string")
		}
		if isReserved(k) {
			return w.refuse(RuleReserved, strconv.Quote(k)+" is disclosed as a claim name")
		}
		w.path = appendToken(w.path, k)
		// A claim that is there with the value null is there.
		if _, taken := m[k]; taken {
			return w.refuse(RuleTaken, "a claim is disclosed that is there already")
		}
		n, err := w.placed(i, parent, a[2])
		if err != nil {
			return err
		}
		if m[k], err = w.weave(a[2], n, depth+1); err != nil {
			return err
		}
		w.path = w.path[:at]
	}
	return nil
}

func (w *weaver) array(a []any, parent, depth int) ([]any, error) {
	if depth > MaxDepth {
		return nil, w.refuse(RuleDepth, "nested too deep")
	}
	at := len(w.path)
	out := a[:0]
	for _, e := range a {
		w.path = strconv.AppendInt(append(w.path[:at], '/'), int64(len(out)), 10)
		inside := parent
		if m, ok := e.(map[string]any); ok {
			if d, ok := m[dotsKey]; ok {
				s, ok := d.(string)
				if !ok || len(m) != 1 {
					return nil, w.refuse(RuleReserved, `"..." is used other than for the digest of an element`)
				}
				i, ok, err := w.take(s)
				if err != nil {
					return nil, err
				}
				if !ok {
					continue // withheld: the element is left out (step 3.4)
				}
				d, err := w.open(i, 2)
				if err != nil {
					return nil, err
				}
				e = d[1]
				if inside, err = w.placed(i, parent, e); err != nil {
					return nil, err
				}
			}
		}
		e, err := w.weave(e, inside, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	clear(a[len(out):])
	w.path = w.path[:at]
	return out, nil
}

// sorted checks the form of "_sd" in a record: strings in order, not none.
func (w *weaver) sorted(digests []any) error {
	if len(digests) == 0 {
		return w.refuse(RuleForm, `"_sd" is empty`)
	}
	ok := slices.IsSortedFunc(digests, func(a, b any) int {
		x, _ := a.(string)
		y, _ := b.(string)
		return bytesCompare(x, y)
	})
	if !ok {
		return w.refuse(RuleCanonical, `"_sd" is not sorted`)
	}
	return nil
}

func bytesCompare(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func isReserved(k string) bool { return k == sdKey || k == dotsKey || k == algKey }

// appendToken appends "/" and the reference token of k (RFC 6901 section 3).
func appendToken(dst []byte, k string) []byte {
	return append(append(dst, '/'), name.Escape(k)...)
}

// cutPointer returns a pointer short enough for an error.
func cutPointer(p []byte) string {
	if len(p) > 512 {
		return string(bytes.ToValidUTF8(p[:512], nil)) + "…"
	}
	return string(p)
}

func jsonRefusal(what string, err error) error {
	r := &Refusal{Rule: RuleJSON, Detail: what + " is not strict JSON"}
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		r.Detail += ": " + e.Rule
	}
	return r
}
