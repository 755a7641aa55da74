package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
)

// A Seed is the one secret of a record's version, 32 random bytes, from which
// the salt of each of its fields is made: it is the key of a stream of which each
// takes one block. It is used for one version and no other. Whoever has it can test guesses at
// every withheld field, so it never leaves the node; erasing it with the body
// leaves digests that tell nothing.
type Seed [32]byte

const (
	saltSize = 16 // bytes: the 128 bits that RFC 9901 section 9.3 asks for
	saltLen  = 22 // characters in base64url
)

// A builder makes one token at a time. Its buffers are used again.
type builder struct {
	salts  cipher.Block   // AES-256 under the seed
	block  [saltSize]byte // scratch
	path   []byte         // pointer of the place at hand
	points []byte         // the pointers of nodes, end to end
	out    []byte         // a stack of JSON texts: payload, and on it the disclosures being made
	texts  []byte         // finished disclosures, base64url, end to end
	plain  []byte         // the same as JSON
	nodes  []builtNode
	values int // met so far
	claims Claims
	body   span               // in out, once that is the payload
	todo   []member           // a stack: the members of the objects at hand
	hidden [][digestLen]byte  // a stack: the digests of the objects at hand
	room   [saltLen + 42]byte // scratch
}

// A builtNode is a node whose disclosure is not yet in its place in the token.
type builtNode struct {
	node
	made   span // in texts
	json   span // in plain
	digest [digestLen]byte
}

type member struct {
	key    string
	val    any
	layout *standard.Layout
	plan   plan
}

// A plan says how the value at one place is written.
type plan uint8

const (
	whole       plan = iota // in clear, all of it
	open                    // a container in clear, its contents each as planned
	hiddenWhole             // one disclosure, all of it
	hiddenShell             // a disclosure of the container, its contents each as planned
)

func planFor(v any, l *standard.Layout) plan {
	structured := false
	switch v.(type) {
	case map[string]any:
		structured = l.Members != nil
	case []any:
		structured = l.Elements != nil
	}
	switch {
	case structured && l.Shell():
		return open
	case structured:
		return hiddenShell
	case l.Open:
		return whole
	}
	return hiddenWhole
}

var builders = sync.Pool{New: func() any { return new(builder) }}

// Build writes a record's version down, to be signed with the key kid. The token is
// without a signature; every disclosure is there.
//
// body is the record as [strictjson.Decode] gives it, nil for [Delete]; the
// layout l says of each place whether it is said in clear, and may be nil for
// Delete. Build is deterministic: the same arguments give the same bytes, in
// every version of this package, for a ledger makes a token anew each time it is
// read. It does not keep or change its arguments and may be called concurrently.
//
// It returns an error wrapping [ErrClaims] if the claims contradict themselves,
// and a [*Refusal] for a body that no token can carry: one with a member named
// "_sd", "_sd_alg" or "...", nested deeper than [MaxDepth], of more than
// [MaxValues] values, or too large for [MaxToken].
func Build(c Claims, kid string, l *standard.Layout, body map[string]any, seed Seed) (*Token, error) {
	return BuildPart(c, kid, l, body, seed, nil)
}

// BuildPart is Build and then [Token.Present] in one, which makes no disclosure that
// keep does not let out; nil keeps all.
func BuildPart(c Claims, kid string, l *standard.Layout, body map[string]any, seed Seed, keep func(pointer string, shell bool) bool) (t *Token, err error) {
	b, err := build(c, l, body, seed)
	if err == nil {
		t, err = b.token(kid, keep)
	}
	if err != nil {
		return nil, fmt.Errorf("build record: %w", err)
	}
	b.release()
	return t, nil
}

// EntryOf returns the entry of the token that Build would make of the same arguments,
// with the same errors, and makes none: who logs a record needs no more.
func EntryOf(c Claims, kid string, l *standard.Layout, body map[string]any, seed Seed) (tlog.Hash, error) {
	b, err := build(c, l, body, seed)
	var size int
	if err == nil {
		b.texts, size, err = b.appendInput(b.texts[:0], kid)
	}
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("build record: %w", err)
	}
	entry := tlog.Hash(sha256.Sum256(b.texts[:size]))
	b.release()
	return entry, nil
}

// build makes payload and disclosures, and leaves them in the builder.
func build(c Claims, l *standard.Layout, body map[string]any, seed Seed) (*builder, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if (body == nil) != (c.Op == Delete) || (body != nil && l == nil) {
		return nil, fmt.Errorf("%w: a %s has a body, and a %s none", ErrClaims, Put, Delete)
	}
	b := builders.Get().(*builder)
	b.reset(seed)
	b.claims = c
	b.out = append(b.out, `{"_sd_alg":"sha-256",`...)
	if body != nil {
		b.out = append(b.out, `"body":`...)
		b.body.from = len(b.out)
		if err := b.object(body, l, -1, 1); err != nil {
			return nil, err
		}
		b.body.to = len(b.out)
		b.out = append(b.out, ',')
	}
	b.out = c.append(b.out)
	b.out = append(b.out, '}')
	if len(b.points) > maxPointers {
		return nil, &Refusal{Rule: RuleSize, Detail: "the names of the fields are too long together"}
	}
	return b, nil
}

// release gives b back. A builder that met an error still points at values, and one
// that made a giant still has its room: neither is used again.
func (b *builder) release() {
	if cap(b.out)+cap(b.texts)+cap(b.plain)+cap(b.points) <= 256<<10 {
		b.salts = nil
		builders.Put(b)
	}
}

func (b *builder) reset(seed Seed) {
	var err error
	if b.salts, err = aes.NewCipher(seed[:]); err != nil {
		panic("internal error: a seed is no key of AES-256: " + err.Error())
	}
	b.path, b.points, b.out, b.texts, b.plain = b.path[:0], b.points[:0], b.out[:0], b.texts[:0], b.plain[:0]
	b.nodes, b.todo, b.hidden, b.values, b.body = b.nodes[:0], b.todo[:0], b.hidden[:0], 0, span{}
}

func (b *builder) refuse(rule, detail string) error {
	return &Refusal{Rule: rule, Pointer: cutPointer(b.path), Detail: detail}
}

// object appends m to b.out, in clear as far as the layout says.
func (b *builder) object(m map[string]any, l *standard.Layout, parent, depth int) error {
	if depth > MaxDepth {
		return b.refuse(RuleDepth, "nested too deep")
	}
	if err := b.count(); err != nil {
		return err
	}
	from, at, digests := len(b.todo), len(b.path), len(b.hidden)
	for k, v := range m {
		if isReserved(k) {
			return b.refuse(RuleReserved, strconv.Quote(k)+" cannot be the name of a field")
		}
		if r := unwritableText(k); r != nil {
			return r
		}
		lm := l.Member(k)
		b.todo = append(b.todo, member{k, v, lm, planFor(v, lm)})
	}
	to := len(b.todo)
	slices.SortFunc(b.todo[from:], func(x, y member) int { return compareNames(x.key, y.key) })

	// First what is hidden, since the digests are among what is said in clear.
	// b.todo may move while members are written: index it afresh each time.
	for i := from; i < to; i++ {
		t := b.todo[i]
		if t.plan == whole || t.plan == open {
			continue
		}
		b.path = appendToken(b.path, t.key)
		digest, err := b.disclosure(t, true, parent, depth)
		if err != nil {
			return err
		}
		b.hidden = append(b.hidden, digest)
		b.path = b.path[:at]
	}
	sds := b.hidden[digests:]
	// In the order of digests, since any other would tell something of the names
	// (RFC 9901 section 4.2.4.1).
	slices.SortFunc(sds, func(x, y [digestLen]byte) int { return bytes.Compare(x[:], y[:]) })

	b.out = append(b.out, '{')
	first, wrote := true, len(sds) == 0
	comma := func() {
		if !first {
			b.out = append(b.out, ',')
		}
		first = false
	}
	sd := func() {
		comma()
		b.out = append(b.out, `"_sd":[`...)
		for i := range b.hidden[digests:] {
			if i > 0 {
				b.out = append(b.out, ',')
			}
			b.out = append(b.out, '"')
			b.out = append(b.out, b.hidden[digests+i][:]...)
			b.out = append(b.out, '"')
		}
		b.out = append(b.out, ']')
		wrote = true
	}
	for i := from; i < to; i++ {
		t := b.todo[i]
		if t.plan != whole && t.plan != open {
			continue
		}
		if !wrote && compareNames(sdKey, t.key) < 0 {
			sd()
		}
		comma()
		b.out = append(strictjson.AppendString(b.out, t.key), ':')
		b.path = appendToken(b.path, t.key)
		if err := b.clear(t, parent, depth); err != nil {
			return err
		}
		b.path = b.path[:at]
	}
	if !wrote {
		sd()
	}
	b.out = append(b.out, '}')
	clear(b.todo[from:]) // keep no value alive in the pool
	b.todo = b.todo[:from]
	b.hidden = b.hidden[:digests]
	return nil
}

func (b *builder) array(a []any, l *standard.Layout, parent, depth int) error {
	if depth > MaxDepth {
		return b.refuse(RuleDepth, "nested too deep")
	}
	if err := b.count(); err != nil {
		return err
	}
	at := len(b.path)
	le := l.Element()
	b.out = append(b.out, '[')
	for i, v := range a {
		if i > 0 {
			b.out = append(b.out, ',')
		}
		b.path = strconv.AppendInt(append(b.path[:at], '/'), int64(i), 10)
		t := member{val: v, layout: le, plan: planFor(v, le)}
		if t.plan == whole || t.plan == open {
			if err := b.clear(t, parent, depth); err != nil {
				return err
			}
			continue
		}
		digest, err := b.disclosure(t, false, parent, depth)
		if err != nil {
			return err
		}
		b.out = append(b.out, `{"...":"`...)
		b.out = append(b.out, digest[:]...)
		b.out = append(b.out, `"}`...)
	}
	b.path = b.path[:at]
	b.out = append(b.out, ']')
	return nil
}

// container appends the contents of t, each as planned.
func (b *builder) container(t member, parent, depth int) error {
	if m, ok := t.val.(map[string]any); ok {
		return b.object(m, t.layout, parent, depth)
	}
	return b.array(t.val.([]any), t.layout, parent, depth)
}

// clear appends a value said in clear.
func (b *builder) clear(t member, parent, depth int) error {
	if t.plan == open {
		return b.container(t, parent, depth+1)
	}
	if err := b.check(t.val, depth+1); err != nil {
		return err
	}
	b.out = strictjson.AppendCanonical(b.out, t.val)
	return nil
}

// disclosure makes the disclosure of the value at the place at hand (RFC 9901
// section 4.2) and returns its digest in base64url (section 4.2.3).
func (b *builder) disclosure(t member, named bool, parent, depth int) (digest [digestLen]byte, err error) {
	n := len(b.nodes)
	pointer := span{len(b.points), len(b.points) + len(b.path)}
	b.points = append(b.points, b.path...)
	shell := t.plan == hiddenShell || isShell(t.val)
	b.nodes = append(b.nodes, builtNode{node: node{text: n, parent: parent, shell: shell, pointer: pointer}})

	from := len(b.out)
	b.out = append(b.out, '[', '"')
	b.block = [saltSize]byte{}
	binary.BigEndian.PutUint64(b.block[8:], uint64(n))
	b.salts.Encrypt(b.block[:], b.block[:])
	b.out = b64.AppendEncode(b.out, b.block[:])
	b.out = append(b.out, '"', ',')
	if named {
		b.out = append(strictjson.AppendString(b.out, t.key), ',')
	}
	if t.plan == hiddenShell {
		// The disclosures inside are made on top of this half-written one, and
		// are gone from there again before it goes on.
		if err := b.container(t, n, depth+1); err != nil {
			return digest, err
		}
	} else {
		if err := b.check(t.val, depth+1); err != nil {
			return digest, err
		}
		b.out = strictjson.AppendCanonical(b.out, t.val)
	}
	b.out = append(b.out, ']')

	text := len(b.texts)
	b.texts = b64.AppendEncode(b.texts, b.out[from:])
	b.nodes[n].made = span{text, len(b.texts)}
	b.nodes[n].json = span{len(b.plain), len(b.plain) + len(b.out) - from}
	b.plain = append(b.plain, b.out[from:]...)
	b.out = b.out[:from]
	sum := sha256.Sum256(b.texts[text:])
	b64.Encode(digest[:], sum[:])
	b.nodes[n].digest = digest
	return digest, nil
}

// check reports why v cannot be written as it is.
func (b *builder) check(v any, depth int) error {
	if r := unwritable(v, depth, false, &b.values); r != nil {
		r.Pointer = cutPointer(b.path)
		return r
	}
	return nil
}

// count reports whether there are too many values.
func (b *builder) count() error {
	if b.values++; b.values > MaxValues {
		return b.refuse(RuleSize, fmt.Sprintf("more than %d values", MaxValues))
	}
	return nil
}

// unwritable says why v, which lies depth levels deep, cannot be written into a
// token, or nil. It adds to values how many it has met. reservedToo lets
// members have the names that SD-JWT reserves.
func unwritable(v any, depth int, reservedToo bool, values *int) *Refusal {
	if *values++; *values > MaxValues {
		return &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("more than %d values", MaxValues)}
	}
	switch v := v.(type) {
	case nil, bool:
		return nil
	case string:
		return unwritableText(v)
	case json.Number:
		if !isPlainNumber(string(v)) {
			if n, err := strictjson.Decode([]byte(v), jsonLimits()); err != nil || n != v {
				return &Refusal{Rule: RuleJSON, Detail: "a number is not one that JSON can carry"}
			}
		}
		return nil
	case map[string]any:
		if depth > MaxDepth {
			return &Refusal{Rule: RuleDepth, Detail: "nested too deep"}
		}
		for k, e := range v {
			if isReserved(k) && !reservedToo {
				return &Refusal{Rule: RuleReserved, Detail: strconv.Quote(k) + " cannot be the name of a field"}
			}
			if r := unwritableText(k); r != nil {
				return r
			}
			if r := unwritable(e, depth+1, reservedToo, values); r != nil {
				return r
			}
		}
		return nil
	case []any:
		if depth > MaxDepth {
			return &Refusal{Rule: RuleDepth, Detail: "nested too deep"}
		}
		for _, e := range v {
			if r := unwritable(e, depth+1, reservedToo, values); r != nil {
				return r
			}
		}
		return nil
	}
	return &Refusal{Rule: RuleJSON, Detail: fmt.Sprintf("a %T is not JSON as it is read here", v)}
}

func unwritableText(s string) *Refusal {
	if !utf8.ValidString(s) {
		return &Refusal{Rule: RuleJSON, Detail: "a text is not UTF-8"}
	}
	return nil
}

// appendInput appends the signing input and returns where it ends. It refuses what
// would be too large a token, with its signature and every disclosure.
func (b *builder) appendInput(dst []byte, kid string) ([]byte, int, error) {
	header, err := appendHeader(b.room[:0], kindRecord, kid)
	if err != nil {
		return nil, 0, err
	}
	input := b64.EncodedLen(len(header)) + 1 + b64.EncodedLen(len(b.out))
	if input+2+len(b.texts)+len(b.nodes)+sigLen > MaxToken {
		return nil, 0, &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("as a token it would have more than %d bytes", MaxToken)}
	}
	dst = b64.AppendEncode(dst, header)
	dst = append(dst, '.')
	dst = b64.AppendEncode(dst, b.out)
	return dst, len(dst), nil
}

// token puts the parts together in one piece of memory, with the disclosures that
// keep lets out: all for nil.
func (b *builder) token(kid string, keep func(pointer string, shell bool) bool) (*Token, error) {
	points := string(b.points)
	kept := make([]bool, len(b.nodes)) // a parent comes before what it holds
	size, count := 0, 0
	for i, n := range b.nodes {
		kept[i] = keep == nil || (n.parent < 0 || kept[n.parent]) && keep(points[n.pointer.from:n.pointer.to], n.shell)
		if kept[i] {
			size, count = size+n.made.to-n.made.from+1, count+1
		}
	}
	raw := make([]byte, 0, b64.EncodedLen(len(b.out))+b64.EncodedLen(128)+3+size)
	raw, input, err := b.appendInput(raw, kid)
	if err != nil {
		return nil, err
	}
	t := &Token{input: input, end: input + 1, kind: kindRecord, kid: kid, entry: sha256.Sum256(raw)}
	raw = append(raw, '.', '~')
	t.texts = make([]span, 0, count)
	var c *compact
	if keep == nil {
		// Of a part the places are not known: an element's would be of the whole.
		t.known, t.points, t.nodes = true, points, make([]node, len(b.nodes))
	} else {
		c = b.parts(count, size)
		t.parts = c
	}
	for i, n := range b.nodes {
		if !kept[i] {
			continue
		}
		at := len(raw)
		raw = append(raw, n.made.of(b.texts)...)
		t.texts = append(t.texts, span{at, len(raw)})
		raw = append(raw, '~')
		if keep == nil {
			t.nodes[i] = n.node
			continue
		}
		at = len(c.dec)
		c.dec = append(c.dec, n.json.of(b.plain)...)
		c.disclosures = append(c.disclosures, span{at, len(c.dec)})
		c.digests = append(c.digests, n.digest[:]...)
	}
	if t.raw = raw; c != nil {
		c.raw, c.input, c.end, c.texts = raw, span{0, input}, t.end, t.texts
	}
	return t, nil
}

// parts returns the token taken apart, but for its text and disclosures: who asks for a
// part of one sends it, packed.
func (b *builder) parts(count, size int) *compact {
	said := b.claims
	c := &compact{said: &said, body: b.body, disclosures: make([]span, 0, count), digests: make([]byte, 0, count*digestLen)}
	c.dec = append(make([]byte, 0, len(b.out)+size), b.out...)
	c.payload = span{0, len(b.out)}
	return c
}

// compareNames orders member names by UTF-16 code units (RFC 8785 section
// 3.2.3), as strictjson prints them. UTF-8 keeps that order but for characters
// beyond U+FFFF, whose first byte is F0 or more where a surrogate is below EE.
func compareNames(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
				return int(y) - int(x)
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}
