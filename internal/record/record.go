// Package record issues, withholds from and reads what a council says: records,
// each version a selectively disclosable token (SD-JWT, RFC 9901), and events,
// each a plain signed token (JWS, RFC 7515).
//
// # A record token
//
// A token is a compact SD-JWT: header, payload and signature with dots between,
// then "~", then each disclosure and "~". The last part is empty: key binding
// is not used. All parts are base64url without padding. The header is exactly
//
//	{"alg":"ES256","kid":"<43 characters>","typ":"stile-record+sd-jwt"}
//
// and the payload is canonical JSON (package strictjson) of exactly these
// claims:
//
//	_sd_alg        "sha-256"
//	body           the record; absent when op is "delete"
//	iat            seconds since 1970 UTC, as the council claims
//	iss            "https://" and the council's domain
//	op             "put" or "delete"
//	prev           entry of the version before, 43 characters; absent at version 1
//	rec            the record's id, 26 characters
//	std            the standard, "standards.example/housing-need@1.2.0"
//	std#integrity  "sha256-" and the base64 of the SHA-256 of its schema
//	ver            1, 2, 3 …
//
// # Disclosures
//
// The standard's layout says which places of the body are said in clear. A
// hidden member is left out of its object and its digest put into the object's
// "_sd", an array of strings in ascending order; a hidden element of an array is
// replaced by {"...": digest}. A hidden container for which the layout has
// structure is disclosed as a shell, in which every member or element is again a
// digest. A place whose value is not the container that the layout has there is
// one value of that place's class.
//
// A disclosure is the canonical JSON array [salt, name, value], or [salt, value]
// for an element. Disclosures stand in the order in which their places are
// met: at each object first its hidden members, by name, each before what it
// holds, then what is in clear, by name; arrays in order. The order of names is
// that of canonical JSON.
//
// The salts of a version are one stream, that of AES-256 in counter mode (NIST SP
// 800-38A) under the version's secret ([Seed]) with an initial counter of zero.
// The disclosure that stands i-th, from 0, takes block i of it, 16 bytes: the
// encryption of i as a big-endian number of 16 bytes. It is written in base64url.
// Blocks that are shown tell nothing of the others, and a seed serves one version
// alone. Example: under the seed 01 02 03 and 29 zero bytes the first three salts are
//
//	9OLro-y4xKGZiOKTBV662w
//	519dcAO-yXDF14kbiWvq0w
//	PqGI8xmSHV04Ah9l7bA_Ww
//
// The entry of a token in the log is the SHA-256 of its signing input, so
// withholding disclosures changes neither entry nor signature.
//
// # Without a signature
//
// What a council says is proved by its place in the council's log, whose
// checkpoints the key named by "kid" signs (package tlog). So a record token that
// travels with that proof needs no signature of its own, and has none: the part
// is then empty, and what stands before the first "~" ends with a dot. Such a
// token is no SD-JWT that others verify; it becomes one when the signature is put
// in ([Token.Seal]), and nothing else of it changes, its entry least of all. Events
// always have their signature.
//
// # Under the seal of a page
//
// Into a footprint a council brings records by the page, and signs each page once:
// the entries of all that is in it, in their order, under one root. [Page] says what
// is signed. Of such a record the signature part is not an ES256 signature but the
// base64url of a [PageProof], which says what the page is, who signed it, and where
// in it the record's entry stands: with that the token stands alone and is believed
// as if it were signed itself. Nothing else of it changes. No other SD-JWT program
// takes it. Integers are big-endian, and a text is its length in two bytes and then
// its bytes:
//
//	form1        1
//	footprint    text
//	council      text
//	agreement    text, empty for none
//	since8 next8
//	count2       entries of the page
//	key32        SHA-256 thumbprint of the record key that signed it
//	signature64  ES256, of the one form that Verify takes
//	index2       of the entry in the page, below count
//	path         audit path of the entry (RFC 6962 section 2.1.1), 32 bytes each,
//	             as many as that index and count have
//
// What is withheld still shows in one way: how many members or elements of a
// place in clear, or of a disclosed shell, are hidden. There are no decoys.
//
// # Packed
//
// Between councils a record token travels without what its reader can compute: the
// base64 and the digests of what is disclosed. What is said in many tokens of a page
// stands once, in a table. A table is
//
//	1  n-uvarint  n×origin  m-uvarint  m×name
//
// where an origin is the key's thumbprint (32 bytes), the council's domain, the
// operation, the standard, and the SHA-256 of its schema (32 bytes); domain, operation,
// standard and names are each a length in bytes as a uvarint and so many bytes. There
// are at most 1024 origins, and at most 4096 names, of at most 64 bytes each and none twice.
// A token is
//
//	origin-uvarint iat-uvarint rec16 ver-uvarint [prev32] s-uvarint signature… d-uvarint d×disclosure [text]
//
// with the number of its origin, from 0; prev unless ver is 1; s the length of the
// signature part, decoded: 0, 64 or that of the proof of a page; and the text of the body last, for a put. A disclosure is
//
//	name-uvarint [name] salt16 text
//
// where the number is 0 for an element of an array, 1 for a member whose name follows
// as in a table, and i+2 for one with name i of the table; and the text is that of the
// value. The disclosures stand the last first, so that a digest is known before it is used.
// A text is JSON in canonical form, in which each run of digests between quotation
// marks, with commas between them, is cut out:
//
//	(2×length+1)-uvarint bytes… r-uvarint r×digest text   up to a run of r digests, and on
//	2×length-uvarint     bytes…                           to the end
//
// A digest is the uvarint 0 and 32 bytes, or the number, from 1, of a disclosure in the
// order that they stand in here; each is used at most once. A uvarint is unsigned LEB128
// in its shortest form. Nothing may follow a table or a token. Example: record 00 01 … 0f of
// northmoor.gov.uk at version 1, with "district" in clear, "reference" 7 disclosed and
// "name" withheld, under the seed 01 02 03, is
//
//	00 80b5b3c906 000102030405060708090a0b0c0d0e0f 01 00 01
//	02 e75f5d7003bec970c5d7891b896bead3 02 37
//	11 7b225f7364223a5b 02
//	00 450810ae26be082311cec284cdf35490f9043b41ba5493c68f0e5feca7efc73e 01
//	22 5d2c226469737472696374223a2258227d
//
// with the table that TestPackedVector has. Alone, in a file or a store, a token stands
// behind a table of its own and that table's length as a uvarint. A packed token is nothing of its own: it is
// neither signed nor hashed, and what it is read to is judged as any token is.
//
// # Reading
//
// [Token.View] follows RFC 9901 section 7.1 and is stricter where the RFC leaves
// a choice, so that one meaning has one encoding: payload and disclosures must
// be canonical, digests sorted and well formed, salts 16 bytes. It is all or
// nothing: any fault refuses the token. Signatures are checked apart, by
// [Token.Verify], since a receiver may have another proof. Of an ES256 signature
// (r, s) it takes the one form with s at most half of the order of the curve: RFC
// 7518 takes n-s as well, which anybody can make of it.
//
// # Events
//
// An event token is a compact JWS with the header
//
//	{"alg":"ES256","kid":"<43 characters>","typ":"stile-event+jws"}
//
// and the canonical payload {"body":{…},"event":kind,"iat":…,"iss":…}.
package record

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// An Op says what a version does to its record.
type Op string

// The operations.
const (
	Put    Op = "put"    // the record is now as the body says
	Delete Op = "delete" // the record is no more
)

// Claims are what a token says about a version of a record, beside the record.
type Claims struct {
	Council   name.Council // who says so
	IssuedAt  int64        // seconds since 1970 UTC, as claimed; trusted time comes from witnesses
	Standard  name.Standard
	Integrity string // "sha256-" and the base64 of the SHA-256 of the standard's schema (W3C SRI)
	Record    name.Record
	Version   uint64    // from 1
	Prev      tlog.Hash // entry of the version before; zero at version 1
	Op        Op
}

const maxInteger = 1<<53 - 1

// MaxIssued is the end of the year 9999, in seconds since 1970. A later time has no form in RFC
// 3339, so that no reply which shows one can be written as JSON: one event of another council
// would take a whole list from its readers.
const MaxIssued = 253_402_300_799

// A Refusal says why a token, or a body that was to become one, was not
// accepted. It holds names of fields but never a value, so its text may be sent
// to whoever offered the token.
type Refusal struct {
	Rule    string // one of the Rule constants
	Pointer string // place in the body or event, RFC 6901, cut to some 512 bytes; "" is the whole
	Detail  string // in plain words
}

func (r *Refusal) Error() string {
	if r.Pointer == "" {
		return r.Rule + ": " + r.Detail
	}
	return fmt.Sprintf("%s at %q: %s", r.Rule, r.Pointer, r.Detail)
}

// The rules that a Refusal names.
const (
	RuleSize         = "size"          // larger than a token may be
	RuleForm         = "form"          // not made up as such a token is
	RuleEncoding     = "encoding"      // base64url with padding, line feeds, loose bits or other characters
	RuleKeyBinding   = "key-binding"   // a key binding token, or anything, after the last "~"
	RuleHeader       = "header"        // not the one header such a token has
	RuleAlgorithm    = "algorithm"     // signed with another algorithm than ES256
	RuleJSON         = "json"          // not strict JSON
	RuleCanonical    = "canonical"     // JSON, but not in the one form
	RuleClaims       = "claims"        // a claim is missing, unexpected or wrong
	RuleDigestAlg    = "digest-alg"    // "_sd_alg" is not sha-256
	RuleDisclosure   = "disclosure"    // not an array of the right length with the right types
	RuleUnreferenced = "unreferenced"  // a disclosure for which no digest stands in the token
	RuleDuplicate    = "duplicate"     // a disclosure or a digest twice
	RuleReserved     = "reserved-name" // "_sd", "_sd_alg" or "..." as a claim name
	RuleTaken        = "claim-exists"  // a disclosed claim is there already
	RuleDepth        = "depth"         // nested deeper than MaxDepth
)

type kind uint8

const (
	kindRecord kind = iota
	kindEvent
)

func (k kind) typ() string {
	if k == kindEvent {
		return "stile-event+jws"
	}
	return "stile-record+sd-jwt"
}

// A Token is one record or event, parsed or built. It is immutable and may be used
// concurrently.
type Token struct {
	raw   []byte
	input int // length of the signing input
	end   int // of the signed part: of header, payload and signature
	kind  kind
	kid   string
	sig   []byte     // nil for none
	page  *PageProof // nil for none; then there is no sig
	entry tlog.Hash
	texts []span // the disclosures in raw

	parts  *compact // of a parsed token
	nodes  []node   // of a token that was built: the place of each disclosure
	points string   // the pointers of nodes, end to end
	known  bool     // nodes is set
}

// Parse reads a record token. It checks the form of the parts and the header,
// and the size; what the token says is for [Token.View] and who says it for
// [Token.Verify]. It keeps no part of b. What Parse accepts, Bytes gives back. The
// token may be without a signature: see [Token.Signed].
//
// An error is a [*Refusal].
func Parse(b []byte) (*Token, error) {
	c, err := cut(b)
	if err != nil {
		return nil, err
	}
	return newToken(c, kindRecord)
}

func newToken(c *compact, k kind) (*Token, error) {
	kid, err := readHeader(c.header.of(c.dec), k)
	if err != nil {
		return nil, err
	}
	sig, page, err := readPart(k, c.signature.of(c.dec))
	if err != nil {
		return nil, err
	}
	return &Token{raw: c.raw, input: c.input.to, end: c.end, kind: k, kid: kid, sig: sig, page: page,
		entry: sha256.Sum256(c.input.of(c.raw)), texts: c.texts, parts: c}, nil
}

const sigLen = 86 // characters of a signature: 64 bytes in base64url

// readPart reads the signature part of a token: an ES256 signature or, of a record,
// nothing or the proof of a page.
func readPart(k kind, part []byte) (sig []byte, page *PageProof, err error) {
	switch {
	case len(part) == keys.SignatureSize:
		return part, nil, nil
	case k != kindRecord:
		return nil, nil, &Refusal{Rule: RuleForm, Detail: "an ES256 signature has 64 bytes"}
	case len(part) > 0:
		page, err = parsePageProof(part)
	}
	return nil, page, err
}

// Seal returns the token with the signature sig, [keys.SignatureSize] bytes, in the
// place of the one that it has, if any. It does not check the signature.
func (t *Token) Seal(sig []byte) *Token {
	if len(sig) != keys.SignatureSize {
		panic("internal error: a signature of " + strconv.Itoa(len(sig)) + " bytes")
	}
	s := t.with(sig)
	s.sig = bytes.Clone(sig)
	return s
}

// with returns the token with another signature part, without saying what that is.
func (t *Token) with(part []byte) *Token {
	raw := make([]byte, 0, t.input+1+b64.EncodedLen(len(part))+len(t.raw)-t.end)
	raw = append(append(raw, t.raw[:t.input]...), '.')
	raw = b64.AppendEncode(raw, part)
	s := &Token{input: t.input, end: len(raw), kind: t.kind, kid: t.kid, entry: t.entry,
		nodes: t.nodes, points: t.points, known: t.known}
	s.raw = append(raw, t.raw[t.end:]...)
	s.texts = make([]span, len(t.texts))
	for i, at := range t.texts {
		s.texts[i] = span{at.from + s.end - t.end, at.to + s.end - t.end}
	}
	return s
}

const (
	headerStart = `{"alg":"ES256","kid":"`
	headerTyp   = `","typ":"`
	headerEnd   = `"}`
)

// appendHeader appends the one header that tokens of kind k have.
func appendHeader(dst []byte, k kind, kid string) ([]byte, error) {
	if !isDigest(kid) {
		return nil, fmt.Errorf("%w: the key's id is not a SHA-256 thumbprint", ErrClaims)
	}
	dst = append(dst, headerStart...)
	dst = append(dst, kid...)
	dst = append(dst, headerTyp...)
	dst = append(dst, k.typ()...)
	return append(dst, headerEnd...), nil
}

// readHeader returns the key's id out of a header.
func readHeader(h []byte, k kind) (string, error) {
	if rest, ok := bytes.CutPrefix(h, []byte(headerStart)); ok && len(rest) > digestLen {
		kid := string(rest[:digestLen])
		var room [160]byte
		if want, err := appendHeader(room[:0], k, kid); err == nil && bytes.Equal(want, h) {
			return kid, nil
		}
	}
	// It is not; find out what is wrong with it, for whoever must mend it.
	v, err := strictjson.Decode(h, strictjson.Limits{Bytes: 8 << 10, Depth: 4})
	if err != nil {
		return "", jsonRefusal("the header", err)
	}
	m, _ := v.(map[string]any)
	if m["alg"] != "ES256" {
		return "", &Refusal{Rule: RuleAlgorithm, Detail: "the algorithm is not ES256"}
	}
	if m["typ"] != k.typ() {
		return "", &Refusal{Rule: RuleHeader, Detail: "the type is not " + k.typ()}
	}
	return "", &Refusal{Rule: RuleHeader, Detail: `the header is not {"alg":"ES256","kid":…,"typ":"` + k.typ() + `"} to the byte`}
}

// Bytes returns the token as it is sent. The caller must not change it.
func (t *Token) Bytes() []byte { return t.raw }

// SigningInput returns what is signed: header, a dot and payload (RFC 7515 section 5.1). The caller must
// not change it.
func (t *Token) SigningInput() []byte { return t.raw[:t.input:t.input] }

// Entry returns the token's log entry: the SHA-256 of its signing input.
func (t *Token) Entry() tlog.Hash { return t.entry }

// KeyID returns the id of the key that the token's header names, as
// [keys.RecordPublic.ID] prints it.
func (t *Token) KeyID() string { return t.kid }

// Signer returns the id of the key to verify the token with: that of its page's seal
// if it carries one, else KeyID.
func (t *Token) Signer() string {
	if t.page != nil {
		return t.page.Seal.Key
	}
	return t.kid
}

// Signature returns the ES256 signature, [keys.SignatureSize] bytes; nil for none.
func (t *Token) Signature() []byte { return bytes.Clone(t.sig) }

// Signed reports whether the token carries a signature, its own or its page's. Without
// one it is believed for its place in a log, and by nobody for itself.
func (t *Token) Signed() bool { return t.sig != nil || t.page != nil }

// Page returns the proof that the token stands in a page that its council sealed; nil
// for none. The caller must not change it.
func (t *Token) Page() *PageProof { return t.page }

// ErrOtherKey says that a token names another key than the one it is verified
// with.
var ErrOtherKey = errors.New("token is signed with another key")

// Verify checks that the token, or the page that it stands in, was signed with key, and
// nothing else. It returns [ErrOtherKey] if it names another key (see Signer) and
// [keys.ErrSignature] if there is no signature, or it does not hold, or is of the form that
// whoever has the token could have made of the signer's: see [keys.OneForm].
func (t *Token) Verify(key *keys.RecordPublic) error {
	if key.ID() != t.Signer() {
		return ErrOtherKey
	}
	if t.page != nil {
		return t.page.verify(t.entry, key)
	}
	if !keys.OneForm(t.sig) {
		return keys.ErrSignature
	}
	return key.Verify(t.SigningInput(), t.sig)
}

// ErrWithheld says that a token to present from has had disclosures withheld
// already.
var ErrWithheld = errors.New("token is not whole: some of it was withheld")

// Present returns the token with only the disclosures that keep allows.
//
// keep is asked at most once for each disclosure, the outer before the inner,
// with the concrete RFC 6901 pointer of its place; shell tells that what is
// disclosed there is an object or array that says only how much it holds, since
// each member or element has a disclosure of its own, or it is empty. What lies
// inside something that keep does not allow is dropped without asking.
//
// The token must be whole, with a disclosure for every digest, since places in
// an array cannot otherwise be named; if it is not the error wraps [ErrWithheld].
// The result has the same entry and signature.
func (t *Token) Present(keep func(pointer string, shell bool) bool) (*Token, error) {
	return t.present(keep, true)
}

// Narrow is Present for a token of which something was withheld before. An
// element of an array is then named by its place among those that are left, so
// that keep must treat all elements of an array alike.
func (t *Token) Narrow(keep func(pointer string, shell bool) bool) (*Token, error) {
	return t.present(keep, false)
}

func (t *Token) present(keep func(pointer string, shell bool) bool, whole bool) (*Token, error) {
	nodes, points := t.nodes, t.points
	if !t.known {
		_, w, err := t.view()
		if err != nil {
			return nil, fmt.Errorf("present record: %w", err)
		}
		if whole && w.withheld > 0 {
			return nil, fmt.Errorf("present record: %w", ErrWithheld)
		}
		nodes, points = w.nodes, string(w.points)
	} else if t.kind != kindRecord {
		return nil, fmt.Errorf("present record: %w", &Refusal{Rule: RuleHeader, Detail: "the token is an event"})
	}
	// A disclosure whose parent is dropped would be one without a digest, for which
	// every verifier refuses the token.
	kept := make([]bool, len(nodes)) // by node; a parent comes before what it holds
	send := make([]bool, len(nodes)) // by disclosure
	size, count := t.end+1, 0
	for i, n := range nodes {
		if (n.parent < 0 || kept[n.parent]) && keep(points[n.pointer.from:n.pointer.to], n.shell) {
			kept[i], send[n.text] = true, true
			size += t.texts[n.text].to - t.texts[n.text].from + 1
			count++
		}
	}
	p := &Token{input: t.input, end: t.end, kind: t.kind, kid: t.kid, sig: t.sig, page: t.page, entry: t.entry}
	p.raw = append(make([]byte, 0, size), t.raw[:t.end+1]...)
	p.texts = make([]span, 0, count)
	for i, s := range t.texts {
		if send[i] {
			at := len(p.raw)
			p.raw = append(p.raw, s.of(t.raw)...)
			p.texts = append(p.texts, span{at, len(p.raw)})
			p.raw = append(p.raw, '~')
		}
	}
	return p, nil
}
