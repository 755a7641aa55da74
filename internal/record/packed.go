package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// This file is the binary form of a record token: see "Packed" in the package
// comment.

// Bounds of a table and of what it says once for many tokens.
const (
	maxOrigins    = 1 << 10 // in a table
	maxNames      = 1 << 12
	maxNameLen    = 64 // bytes of a name that is in the table; a longer one stands where it is used
	maxOriginText = 1 << 9
)

// An origin is what tokens of one council, key and standard all say.
type origin struct {
	kid       string
	council   name.Council
	op        Op
	standard  name.Standard
	integrity string
}

// A Packer packs record tokens one after the other and makes the table that they are
// read with. The zero Packer is ready. It must not be used concurrently.
type Packer struct {
	origins map[origin]int
	names   map[string]int
	said    []byte // the origins, as they stand in the table
	named   []byte // the names, likewise

	index   map[[digestLen]byte]int // of one token: digest → disclosure, counted from the last, from 1
	scratch []byte
	alone   []byte // scratch of PackAlone
}

// Pack appends the packed form of t, which is read with the table as [Packer.Table]
// gives it after all are packed. What is packed and read is t again to the byte; so it
// takes any token that [Token.View] does, and of others as many as it can write.
//
// An error is a [*Refusal].
func (p *Packer) Pack(dst []byte, t *Token) ([]byte, error) {
	c, err := t.taken()
	if err != nil {
		return nil, err
	}
	dec := string(c.dec) // of which all texts are cut
	payload := dec[c.payload.from:c.payload.to]
	said, body := c.said, c.body
	if said == nil {
		ok := false
		said = new(Claims)
		if body, ok = scan(said, payload, &p.scratch); !ok {
			return nil, &Refusal{Rule: RuleCanonical, Detail: "the payload is not in the form that can be packed"}
		}
	}
	if p.origins == nil {
		p.origins, p.names, p.index = map[origin]int{}, map[string]int{}, map[[digestLen]byte]int{}
	}
	at, err := p.origin(origin{t.kid, said.Council, said.Op, said.Standard, said.Integrity})
	if err != nil {
		return nil, err
	}
	dst = binary.AppendUvarint(dst, uint64(at))
	dst = binary.AppendUvarint(dst, uint64(said.IssuedAt))
	id := said.Record.Bytes()
	dst = append(dst, id[:]...)
	dst = binary.AppendUvarint(dst, said.Version)
	if said.Version > 1 {
		dst = append(dst, said.Prev[:]...)
	}
	part := t.part()
	dst = binary.AppendUvarint(dst, uint64(len(part)))
	dst = append(dst, part...)

	clear(p.index)
	dst = binary.AppendUvarint(dst, uint64(len(c.texts)))
	for i := len(c.texts) - 1; i >= 0; i-- {
		if dst, err = p.disclosure(dst, dec[c.disclosures[i].from:c.disclosures[i].to]); err != nil {
			return nil, err
		}
		var d [digestLen]byte
		if c.digests != nil {
			copy(d[:], c.digests[i*digestLen:])
		} else {
			sum := sha256.Sum256(c.texts[i].of(c.raw))
			b64.Encode(d[:], sum[:])
		}
		p.index[d] = len(c.texts) - i
	}
	if said.Op == Put {
		dst = p.text(dst, payload[body.from:body.to])
	}
	return dst, nil
}

// origin returns the number of an origin in the table.
func (p *Packer) origin(s origin) (int, error) {
	if at, ok := p.origins[s]; ok {
		return at, nil
	}
	if len(p.origins) == maxOrigins {
		return 0, &Refusal{Rule: RuleSize, Detail: fmt.Sprintf("more than %d councils, keys and standards in one table", maxOrigins)}
	}
	kid, err := appendDecoded(make([]byte, 0, sha256.Size), []byte(s.kid))
	if err != nil {
		return 0, err // the header was read: not met
	}
	p.said = append(p.said, kid...)
	p.said = appendText(p.said, string(s.council))
	p.said = appendText(p.said, string(s.op))
	p.said = appendText(p.said, s.standard.String())
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.integrity, "sha256-"))
	if err != nil {
		return 0, err // the claims were read: not met
	}
	p.said = append(p.said, sum...)
	at := len(p.origins)
	p.origins[s] = at
	return at, nil
}

// disclosure appends a disclosure.
func (p *Packer) disclosure(dst []byte, s string) ([]byte, error) {
	const start = 2 + saltLen + 2 // ["salt",
	refuse := func() ([]byte, error) {
		return nil, &Refusal{Rule: RuleDisclosure, Detail: "a disclosure is not in the form that can be packed"}
	}
	if len(s) < start+2 || s[:2] != `["` || !isSalt(s[2:2+saltLen]) || s[start-2:start] != `",` || s[len(s)-1] != ']' {
		return refuse()
	}
	value := s[start : len(s)-1]
	// A member's name is a string with something behind it.
	if end := stringEnd(value); end > 0 && end < len(value) {
		k := value[1 : end-1]
		if value[end] != ',' {
			return refuse()
		}
		if !isPlain(k) {
			v, err := strictjson.Decode([]byte(value[:end]), jsonLimits())
			if k, _ = v.(string); err != nil || string(strictjson.AppendString(nil, k)) != value[:end] {
				return refuse()
			}
		}
		dst, value = p.name(dst, k), value[end+1:]
	} else {
		dst = append(dst, 0)
	}
	var salt [saltLen]byte
	copy(salt[:], s[2:])
	dst, err := b64.AppendDecode(dst, salt[:])
	if err != nil {
		return refuse()
	}
	return p.text(dst, value), nil
}

// stringEnd returns where the JSON string ends that s begins with, 0 if it begins with
// none.
func stringEnd(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 0
}

// name appends the name of a member, as its number in the table if it may be there.
func (p *Packer) name(dst []byte, k string) []byte {
	at, ok := p.names[k]
	if !ok {
		if len(k) > maxNameLen || len(p.names) == maxNames {
			return appendText(append(dst, 1), k)
		}
		at = len(p.names)
		p.names[strings.Clone(k)] = at
		p.named = appendText(p.named, k)
	}
	return binary.AppendUvarint(dst, uint64(at)+2)
}

// text appends a JSON text, each run of digests in it as numbers or bytes.
func (p *Packer) text(dst []byte, s string) []byte {
	for {
		from, n := findDigests(s)
		more := uint64(0)
		if n > 0 {
			more = 1
		}
		dst = binary.AppendUvarint(dst, uint64(from)<<1|more)
		dst = append(dst, s[:from]...)
		if n == 0 {
			return dst
		}
		dst = binary.AppendUvarint(dst, uint64(n))
		for i := range n {
			var d [digestLen]byte
			copy(d[:], s[from+1+i*digestStep:])
			if at := p.index[d]; at > 0 {
				dst = binary.AppendUvarint(dst, uint64(at))
				delete(p.index, d) // each stands for one digest
				continue
			}
			dst = append(dst, 0)
			dst, _ = b64.AppendDecode(dst, d[:]) // findDigests has tried it
		}
		s = s[from+n*digestStep-1:]
	}
}

const digestStep = digestLen + 3 // a digest, its quotation marks and a comma

// findDigests returns where the first run of digests in s begins, each between
// quotation marks and with commas between them, and of how many; len(s) and 0 for none.
func findDigests(s string) (from, n int) {
	for from = 0; ; from++ {
		at := strings.IndexByte(s[from:], '"')
		if at < 0 || len(s)-from-at < digestLen+2 {
			return len(s), 0
		}
		from += at
		for at := from; len(s)-at >= digestLen+2 && s[at] == '"' && s[at+digestLen+1] == '"' && isDigest(s[at+1:at+1+digestLen]); at += digestStep {
			n++
			if at+digestLen+2 == len(s) || s[at+digestLen+2] != ',' {
				break
			}
		}
		if n > 0 {
			return from, n
		}
	}
}

// Table returns the table that all that was packed is read with; nil when that is
// nothing.
func (p *Packer) Table() []byte {
	if len(p.origins) == 0 {
		return nil
	}
	dst := append([]byte{packedForm}, binary.AppendUvarint(nil, uint64(len(p.origins)))...)
	dst = append(dst, p.said...)
	dst = binary.AppendUvarint(dst, uint64(len(p.names)))
	return append(dst, p.named...)
}

const packedForm = 1 // the first byte of a table

var packers = sync.Pool{New: func() any { return new(Packer) }}

// PackAlone returns a token packed with a table of its own before it: the table's length
// as a uvarint, the table, and the token. An error is a [*Refusal].
func PackAlone(t *Token) ([]byte, error) {
	p := packers.Get().(*Packer)
	clear(p.origins)
	clear(p.names)
	p.said, p.named = p.said[:0], p.named[:0]
	var err error
	if p.alone, err = p.Pack(p.alone[:0], t); err != nil {
		return nil, err
	}
	table := p.Table()
	out := make([]byte, 0, binary.MaxVarintLen32+len(table)+len(p.alone))
	out = append(binary.AppendUvarint(out, uint64(len(table))), table...)
	out = append(out, p.alone...)
	if cap(p.alone) <= 64<<10 && len(p.names) <= 1<<8 { // else it was made for a giant
		packers.Put(p)
	}
	return out, nil
}

// ParseAlone reads what PackAlone returned. An error is a [*Refusal].
func ParseAlone(b []byte) (*Token, error) {
	r := unpacker{rest: b}
	table := r.text(MaxToken)
	if r.bad {
		return nil, unpacked(RuleForm, "it is cut short")
	}
	t, err := ReadTable(table)
	if err != nil {
		return nil, err
	}
	return t.Token(r.rest)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// A Table reads packed tokens. It may be used concurrently.
type Table struct {
	origins []tableOrigin
	names   []string // each as JSON, and a comma
}

type tableOrigin struct {
	header []byte
	kid    string
	claims Claims // what the origin says of them
}

func unpacked(rule, detail string) error {
	return &Refusal{Rule: rule, Detail: "packed: " + detail}
}

// ReadTable reads the table of packed tokens. It keeps no part of b. An error is a
// [*Refusal].
func ReadTable(b []byte) (*Table, error) {
	r := unpacker{rest: b}
	if form := r.take(1); r.bad || form[0] != packedForm {
		return nil, unpacked(RuleForm, "the table is of another form")
	}
	t := &Table{origins: make([]tableOrigin, r.count(maxOrigins, 2*sha256.Size+3))}
	for i := range t.origins {
		s := &t.origins[i]
		s.kid = b64.EncodeToString(r.take(sha256.Size))
		s.claims.Council = name.Council(r.text(maxOriginText))
		s.claims.Op = Op(r.text(maxOriginText))
		std := string(r.text(maxOriginText))
		s.claims.Integrity = "sha256-" + base64.StdEncoding.EncodeToString(r.take(sha256.Size))
		if r.bad {
			break
		}
		var err error
		if s.claims.Standard, err = name.ParseStandard(std); err != nil {
			return nil, unpacked(RuleClaims, "a standard of the table is not a standard's name and version")
		}
		whole := s.claims
		whole.Record, whole.Version = name.RecordFrom([16]byte{}), 1
		if err := whole.check(); err != nil {
			return nil, unpacked(RuleClaims, "the table has claims that do not hold together")
		}
		if s.header, err = appendHeader(nil, kindRecord, s.kid); err != nil {
			return nil, unpacked(RuleHeader, "the table has no key's id")
		}
	}
	t.names = make([]string, r.count(maxNames, 1))
	twice := make(map[string]bool, len(t.names))
	for i := range t.names {
		k := string(r.text(maxNameLen))
		if r.bad {
			break
		}
		if twice[k] {
			return nil, unpacked(RuleDuplicate, "a name stands in the table twice")
		}
		if err := unwritableText(k); err != nil {
			return nil, err
		}
		twice[k] = true
		t.names[i] = string(append(strictjson.AppendString(nil, k), ','))
	}
	if r.bad || len(r.rest) > 0 {
		return nil, unpacked(RuleForm, "the table is cut short or too long")
	}
	return t, nil
}

// Token reads a packed token: it writes payload and disclosures as they were signed
// and hashes them. That they are what a log has is for the caller to compare, by
// [Token.Entry]; what they say is for [Token.View], as of a token that [Parse] gave.
// It keeps no part of b. An error is a [*Refusal].
func (t *Table) Token(b []byte) (*Token, error) {
	r := unpacker{rest: b}
	at := r.number()
	if r.bad || at >= uint64(len(t.origins)) {
		return nil, unpacked(RuleForm, "it names a council, key and standard that are not in the table")
	}
	s := &t.origins[at]
	said := s.claims
	c := &compact{said: &said}
	c.said.IssuedAt = int64(r.number())
	c.said.Record = name.RecordFrom([16]byte(r.take(16)))
	if c.said.Version = r.number(); c.said.Version > 1 {
		copy(c.said.Prev[:], r.take(sha256.Size))
	}
	part := r.text(MaxToken)
	if r.bad {
		return nil, unpacked(RuleForm, "it is cut short")
	}
	sig, page, err := readPart(kindRecord, part)
	if err != nil {
		return nil, err
	}
	if err := c.said.check(); err != nil {
		return nil, unpacked(RuleClaims, "its claims do not hold together")
	}
	n := r.count(MaxToken, 2+saltSize)
	if r.bad {
		return nil, unpacked(RuleForm, "it is cut short")
	}
	spans := make([]span, 2*n)
	c.texts, c.disclosures = spans[:n:n], spans[n:]
	c.digests = make([]byte, n*digestLen)
	room := rooms.Get().(*unpackRoom)
	defer room.release()
	dec, texts := room.dec[:0], room.texts[:0]
	r.digests, r.from, r.used = c.digests, n, slices.Grow(room.used[:0], n)[:n]
	clear(r.used)
	for i := n - 1; i >= 0; i-- {
		from := len(dec)
		named := r.number()
		var own []byte // a name that is not in the table
		switch {
		case named == 1:
			k := string(r.text(MaxToken))
			if r := unwritableText(k); r != nil {
				return nil, r
			}
			own = append(strictjson.AppendString(nil, k), ',')
		case named >= uint64(len(t.names))+2:
			return nil, unpacked(RuleForm, "a disclosure has a name that is not in the table")
		}
		dec = append(dec, '[', '"')
		dec = b64.AppendEncode(dec, r.take(saltSize))
		dec = append(dec, '"', ',')
		if named > 1 {
			dec = append(dec, t.names[named-2]...)
		}
		dec = append(dec, own...)
		if dec = r.json(dec); r.bad {
			return nil, r.why()
		}
		dec = append(dec, ']')
		c.disclosures[i] = span{from, len(dec)}
		at := len(texts)
		texts = b64.AppendEncode(texts, dec[from:])
		c.texts[i] = span{at, len(texts)}
		sum := sha256.Sum256(texts[at:])
		b64.Encode(c.digests[i*digestLen:], sum[:])
		if r.from = i; len(texts) > MaxToken {
			return nil, unpacked(RuleSize, "it is too long")
		}
	}
	from := len(dec)
	dec = append(dec, `{"_sd_alg":"sha-256",`...)
	if c.said.Op == Put {
		dec = append(dec, `"body":`...)
		c.body.from = len(dec) - from
		dec = r.json(dec)
		c.body.to = len(dec) - from
		dec = append(dec, ',')
	}
	if r.bad || len(r.rest) > 0 {
		return nil, r.why()
	}
	dec = append(c.said.append(dec), '}')
	c.payload = span{from, len(dec)}
	room.dec, room.texts, room.used = dec, texts, r.used
	c.dec = bytes.Clone(dec)
	size := b64.EncodedLen(len(s.header)) + 2 + b64.EncodedLen(len(dec)-from) + b64.EncodedLen(len(part)) + 1 + len(texts) + n
	if size > MaxToken {
		return nil, unpacked(RuleSize, "it is too long")
	}
	raw := make([]byte, 0, size)
	raw = append(b64.AppendEncode(raw, s.header), '.')
	raw = b64.AppendEncode(raw, c.payload.of(dec))
	c.input = span{0, len(raw)}
	raw = b64.AppendEncode(append(raw, '.'), part)
	c.end = len(raw)
	raw = append(raw, '~')
	for i, text := range c.texts {
		at := len(raw)
		raw = append(raw, text.of(texts)...)
		c.texts[i] = span{at, len(raw)}
		raw = append(raw, '~')
	}
	c.raw = raw
	return &Token{raw: raw, input: c.input.to, end: c.end, kind: kindRecord, kid: s.kid, sig: bytes.Clone(sig), page: page,
		entry: sha256.Sum256(c.input.of(raw)), texts: c.texts, parts: c}, nil
}

// An unpackRoom is memory that reading a packed token uses and another may use again.
type unpackRoom struct {
	dec, texts []byte
	used       []bool
}

var rooms = sync.Pool{New: func() any { return new(unpackRoom) }}

func (r *unpackRoom) release() {
	if cap(r.dec)+cap(r.texts)+cap(r.used) <= 256<<10 { // else it was made for a giant
		rooms.Put(r)
	}
}

// An unpacker reads the parts of a table or of a packed token.
type unpacker struct {
	rest []byte
	bad  bool // what was read last was not there, or not in its one form

	digests []byte // of the token's disclosures, base64url, end to end
	from    int    // the disclosures from here on are read
	used    []bool // by disclosure: a digest has been written as it
	again   bool   // bad because of one for which a second digest was
}

func (r *unpacker) why() error {
	if r.again {
		return unpacked(RuleDuplicate, "two digests are to be of one disclosure")
	}
	return unpacked(RuleForm, "it is cut short or too long, or has a digest of no disclosure that stands before it")
}

var zeros [sha256.Size]byte

// take returns the next n bytes, or zeros when there are fewer.
func (r *unpacker) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return zeros[:min(n, len(zeros))]
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads an unsigned varint in its shortest form.
func (r *unpacker) number() uint64 {
	u, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return u
}

// count reads how many things follow, at most limit and of at least each bytes.
func (r *unpacker) count(limit, each int) int {
	u := r.number()
	if u > uint64(limit) || u > uint64(len(r.rest)/each) {
		r.bad, r.rest = true, nil
		return 0
	}
	return int(u)
}

// text reads a length of at most limit, and so many bytes.
func (r *unpacker) text(limit int) []byte { return r.take(r.count(limit, 1)) }

// json appends a text that Packer.text wrote.
func (r *unpacker) json(dst []byte) []byte {
	for !r.bad {
		u := r.number()
		if u>>1 > uint64(len(r.rest)) {
			r.bad = true
			break
		}
		dst = append(dst, r.take(int(u>>1))...)
		if u&1 == 0 {
			break
		}
		n := r.count(MaxToken, 1)
		if n == 0 {
			r.bad = true
		}
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, '"')
			at := r.number()
			switch last := len(r.used); {
			case at == 0:
				dst = b64.AppendEncode(dst, r.take(sha256.Size))
			case at > uint64(last-r.from):
				r.bad = true
			case r.used[last-int(at)]:
				r.bad, r.again = true, true
			default:
				i := last - int(at)
				r.used[i] = true
				dst = append(dst, r.digests[i*digestLen:(i+1)*digestLen]...)
			}
			if dst = append(dst, '"'); r.bad {
				break
			}
		}
	}
	return dst
}
