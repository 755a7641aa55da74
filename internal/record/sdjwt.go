package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// This file is RFC 9901 for any payload: putting disclosures back in their
// places (section 7.1). compact.go takes the bytes apart (section 4), and what a
// record may say is in view.go and claims.go.

const (
	// MaxToken is the longest token, in bytes, that [Parse] reads and [Build]
	// makes.
	MaxToken = 4 << 20

	// MaxDepth is how deep the objects and arrays of a body may nest, counting
	// the body itself.
	MaxDepth = 64

	// MaxValues is how many values a body may have, objects and arrays included.
	MaxValues = 100_000

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

// jsonLimits are those of a payload or a disclosure: wide enough for all that
// Build makes. A digest beside or in the place of a value adds up to two levels
// to a body, and up to three values for each place.
func jsonLimits() strictjson.Limits {
	return strictjson.Limits{Bytes: MaxToken, Depth: MaxDepth + 8, Values: 4 * MaxValues, StringLen: MaxToken}
}

// A node is one disclosure of a token, once its place is known.
type node struct {
	text    int  // which disclosure
	parent  int  // the node it lies in, or -1
	shell   bool // see Token.Present
	pointer span // concrete RFC 6901 pointer of its place, in the points beside the nodes
}

// A weaver puts disclosures back into a payload by RFC 9901 section 7.1 step 3.
// It is used for one token at a time and then again for another.
type weaver struct {
	strict bool // the stricter form that records have; see the package comment

	c     *compact
	dec   string           // c.dec, for strings to be cut from
	index map[string]int32 // digest → disclosure; seen once a digest has used it or stands without one
	used  int              // disclosures put in place

	nodes    []node
	points   []byte // the pointers of nodes, end to end
	withheld int    // digests that no disclosure answers
	path     []byte // pointer of the place at hand
	scratch  []byte
}

const seen = -1

var weavers = sync.Pool{New: func() any { return &weaver{index: make(map[string]int32, 64)} }}

// newWeaver returns a weaver for c. Its release must be called, unless it is
// left to the garbage collector.
func newWeaver(c *compact, strict bool) (*weaver, error) {
	w := weavers.Get().(*weaver)
	w.strict, w.c = strict, c
	w.nodes, w.points, w.path, w.used, w.withheld = w.nodes[:0], w.points[:0], w.path[:0], 0, 0
	w.dec = string(c.dec)

	// One string holds every digest, so that the keys of the index cost nothing.
	w.scratch = append(w.scratch[:0], c.digests...)
	if c.digests == nil {
		for _, t := range c.texts {
			sum := sha256.Sum256(t.of(c.raw))
			w.scratch = b64.AppendEncode(w.scratch, sum[:])
		}
	}
	digests := string(w.scratch)
	for i := range c.texts {
		d := digests[i*digestLen : (i+1)*digestLen]
		if _, twice := w.index[d]; twice {
			return nil, &Refusal{Rule: RuleDuplicate, Detail: "a disclosure is given twice"}
		}
		w.index[d] = int32(i)
	}
	return w, nil
}

// release gives w back for another token.
func (w *weaver) release() {
	if len(w.index) > 512 || cap(w.scratch) > 64<<10 || cap(w.points) > 64<<10 {
		return // made for a giant
	}
	clear(w.index)
	w.c, w.dec = nil, ""
	weavers.Put(w)
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

// open reads disclosure i, which must be an array of three values, salt, name
// and value, if named, and else of two, salt and value (section 4.2).
func (w *weaver) open(i int, named bool) (key string, value any, err error) {
	at := w.c.disclosures[i]
	if w.strict {
		if key, value, ok := openPlain(w.dec[at.from:at.to], named); ok {
			return key, value, nil
		}
	}
	text := at.of(w.c.dec)
	v, err := strictjson.Decode(text, jsonLimits())
	if err != nil {
		return "", nil, jsonRefusal("disclosure "+strconv.Itoa(i+1), err)
	}
	a, ok := v.([]any)
	if !ok {
		return "", nil, w.refuse(RuleDisclosure, "a disclosure is not an array")
	}
	if named && len(a) != 3 {
		return "", nil, w.refuse(RuleDisclosure, "the disclosure of an object's member has three values: salt, name, value")
	}
	if !named && len(a) != 2 {
		return "", nil, w.refuse(RuleDisclosure, "the disclosure of an array's element has two values: salt, value")
	}
	salt, ok := a[0].(string)
	if !ok {
		return "", nil, w.refuse(RuleDisclosure, "the salt of a disclosure is not a string")
	}
	if named {
		if key, ok = a[1].(string); !ok {
			return "", nil, w.refuse(RuleDisclosure, "the claim name of a disclosure is not a string")
		}
	}
	if w.strict {
		if !isSalt(salt) {
			return "", nil, w.refuse(RuleDisclosure, "the salt of a disclosure is not 16 bytes in base64url")
		}
		w.scratch = strictjson.AppendCanonical(w.scratch[:0], a)
		if !bytes.Equal(w.scratch, text) {
			return "", nil, w.refuse(RuleCanonical, "a disclosure is not in canonical form")
		}
	}
	return key, a[len(a)-1], nil
}

// openPlain reads a disclosure in canonical form whose name and value are of
// the plainest sorts, as nearly all are; a general reader takes five times as
// long. What it accepts is exactly what open would make of it
// (FuzzOpenPlain); false says only that open must look.
func openPlain(s string, named bool) (key string, value any, ok bool) {
	const start = 2 + saltLen + 2 // ["salt",
	if len(s) < start+2 || s[:2] != `["` || !isSalt(s[2:2+saltLen]) || s[start-2:start] != `",` || s[len(s)-1] != ']' {
		return "", nil, false
	}
	s = s[start : len(s)-1]
	if named {
		if s[0] != '"' {
			return "", nil, false
		}
		end := strings.IndexByte(s[1:], '"') + 1
		if end < 1 || end+2 >= len(s) || s[end+1] != ',' || !isPlain(s[1:end]) {
			return "", nil, false
		}
		key, s = s[1:end], s[end+2:]
	}
	switch c := s[0]; {
	case c == '"':
		if len(s) < 2 || s[len(s)-1] != '"' || !isPlain(s[1:len(s)-1]) {
			return "", nil, false
		}
		return key, s[1 : len(s)-1], true
	case c == '-' || (c >= '0' && c <= '9'):
		return key, json.Number(s), isPlainNumber(s)
	}
	switch s {
	case "null":
		return key, nil, true
	case "true":
		return key, true, true
	case "false":
		return key, false, true
	}
	return "", nil, false
}

// isPlain reports whether s stands between the quotation marks of a JSON string
// as it is, and is not long.
func isPlain(s string) bool {
	if len(s) > 4<<10 {
		return false
	}
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < 0x20 || c == '"' || c == '\\' {
			return false
		}
		ascii = ascii && c < 0x80
	}
	return ascii || utf8.ValidString(s)
}

// isPlainNumber reports whether s is a JSON number without an exponent, of so
// few digits that no limit of strictjson is near.
func isPlainNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, frac, dot := strings.Cut(s, ".")
	return digits(whole, 15) && (whole[0] != '0' || len(whole) == 1) && (!dot || digits(frac, 15))
}

// digits reports whether s is 1 to most decimal digits.
func digits(s string, most int) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most
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
	at := span{len(w.points), len(w.points) + len(w.path)}
	if at.to > maxPointers {
		return 0, w.refuse(RuleSize, "the names of the disclosures are too long together")
	}
	w.points = append(w.points, w.path...)
	w.nodes = append(w.nodes, node{text: i, parent: parent, shell: isShell(v), pointer: at})
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
		k, v, err := w.open(i, true)
		if err != nil {
			return err
		}
		if isReserved(k) {
			return w.refuse(RuleReserved, strconv.Quote(k)+" is disclosed as a claim name")
		}
		w.path = appendToken(w.path, k)
		// A claim that is there with the value null is there.
		if _, taken := m[k]; taken {
			return w.refuse(RuleTaken, "a claim is disclosed that is there already")
		}
		n, err := w.placed(i, parent, v)
		if err != nil {
			return err
		}
		if m[k], err = w.weave(v, n, depth+1); err != nil {
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
				if _, e, err = w.open(i, false); err != nil {
					return nil, err
				}
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
		return strings.Compare(x, y)
	})
	if !ok {
		return w.refuse(RuleCanonical, `"_sd" is not sorted`)
	}
	return nil
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
