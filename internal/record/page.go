package record

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// MaxPage is the largest number of entries of a page.
const MaxPage = 1000

// A Page is what a council brings into a footprint at one time: the entries of
// records and events ([Token.Entry]) in an order, each the leaf of a Merkle tree as a
// log's is (RFC 6962 section 2.1, package tlog). The council signs it with its record
// key, ES256 as a token is, over these lines of ASCII, each with a line feed at its end:
//
//	stile-footprint-page/1
//	<footprint>     the name of the footprint, "fens.footprint.uk"
//	<council>       who brings it, "northmoor.gov.uk"
//	<agreement>     under which agreement; empty for none
//	<since>         decimal: the sequence number of the agreement that it moves from
//	<next>          and to; both 0 without an agreement
//	<count>         decimal: how many entries
//	<root>          base64, 44 characters; of no entries the SHA-256 of nothing
//
// Nothing else that a council signs begins so: a token begins with base64url and a
// checkpoint with a line that ends in "/stile". A test has an example, made by another
// program.
type Page struct {
	Footprint   name.Council
	Council     name.Council
	Agreement   name.Agreement // "" for none
	Since, Next uint64         // 0 without an agreement
	Count       int
	Root        tlog.Hash
}

const pageContext = "stile-footprint-page/1\n"

// A PageSeal is a council's signature of a [Page].
type PageSeal struct {
	Key       string // id of the record key that made it: see [keys.RecordPublic.ID]
	Signature []byte // [keys.SignatureSize] bytes
}

// Over returns the page p of entries, in their order.
func (p Page) Over(entries []tlog.Hash) Page {
	leaves := make([]tlog.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = tlog.Leaf(e)
	}
	p.Count, p.Root = len(entries), tlog.NewWhole(leaves).Root()
	return p
}

// statement returns what is signed.
func (p Page) statement() []byte {
	b := make([]byte, 0, 256)
	for _, s := range []string{pageContext[:len(pageContext)-1], string(p.Footprint), string(p.Council), string(p.Agreement)} {
		b = append(append(b, s...), '\n')
	}
	for _, n := range []uint64{p.Since, p.Next, uint64(p.Count)} {
		b = append(strconv.AppendUint(b, n, 10), '\n')
	}
	return append(base64.StdEncoding.AppendEncode(b, p.Root[:]), '\n')
}

// errPage says that a page cannot be one; whoever made it up is at fault.
var errPage = errors.New("not a page")

func (p Page) check() error {
	_, ferr := name.ParseCouncil(string(p.Footprint))
	_, cerr := name.ParseCouncil(string(p.Council))
	var aerr error
	if p.Agreement != "" {
		_, aerr = name.ParseAgreement(string(p.Agreement))
	}
	switch {
	case ferr != nil || cerr != nil || aerr != nil:
		return fmt.Errorf("%w: a name is none", errPage)
	case p.Count < 0 || p.Count > MaxPage:
		return fmt.Errorf("%w: %d entries", errPage, p.Count)
	case p.Agreement == "" && p.Since|p.Next != 0, p.Since > p.Next:
		return fmt.Errorf("%w: from %d to %d", errPage, p.Since, p.Next)
	}
	return nil
}

// Sign signs the page. An error is the key's, or says that p is no page.
func (p Page) Sign(key *keys.RecordKey) (PageSeal, error) {
	if err := p.check(); err != nil {
		return PageSeal{}, fmt.Errorf("seal page: %w", err)
	}
	sig, err := key.Sign(p.statement())
	if err != nil {
		return PageSeal{}, fmt.Errorf("seal page: %w", err)
	}
	return PageSeal{Key: key.ID(), Signature: sig}, nil
}

// Verify checks that the page was signed with key. The error is [ErrOtherKey] or
// [keys.ErrSignature], as of [Token.Verify].
func (p Page) Verify(s PageSeal, key *keys.RecordPublic) error {
	switch {
	case key.ID() != s.Key:
		return ErrOtherKey
	case p.check() != nil || !keys.OneForm(s.Signature):
		return keys.ErrSignature
	}
	return key.Verify(p.statement(), s.Signature)
}

// A PageProof shows that an entry stands in a page: see the package comment for how
// a token carries it.
type PageProof struct {
	Page  // its root is what the path leads to, and is not set
	Seal  PageSeal
	Index int // of the entry in the page
	Path  []tlog.Hash
}

// Of returns the page in which the proof places an entry: that it was sealed is for
// [Page.Verify]. The error wraps [tlog.ErrProof] or [tlog.ErrIndex].
func (p *PageProof) Of(entry tlog.Hash) (page Page, err error) {
	page = p.Page
	page.Root, err = tlog.PathRoot(entry, uint64(p.Index), uint64(p.Count), p.Path)
	return page, err
}

// verify checks that key sealed the page and that an entry stands in it.
func (p *PageProof) verify(entry tlog.Hash, key *keys.RecordPublic) error {
	page, err := p.Of(entry)
	if err != nil {
		return keys.ErrSignature
	}
	return page.Verify(p.Seal, key)
}

// part returns what the token's signature part is, decoded.
func (t *Token) part() []byte {
	if t.page != nil {
		return t.page.append(nil)
	}
	return t.sig
}

// Enclose returns a record token with the proof that it stands in a page in the place of
// its signature, if it has any. It does not check the proof; the token keeps it.
func (t *Token) Enclose(p *PageProof) *Token {
	if t.kind != kindRecord {
		panic("internal error: an event carries its own signature")
	}
	s := t.with(p.append(nil))
	s.page = p
	return s
}

// Bare returns a record token without its signature, or itself if it has none.
func (t *Token) Bare() *Token {
	if !t.Signed() || t.kind != kindRecord {
		return t
	}
	return t.with(nil)
}

const pageForm = 1

func (p *PageProof) append(b []byte) []byte {
	key, err := base64.RawURLEncoding.DecodeString(p.Seal.Key)
	if err != nil || len(key) != 32 || len(p.Seal.Signature) != keys.SignatureSize {
		panic("internal error: a seal without its key or signature")
	}
	b = append(b, pageForm)
	for _, s := range []string{string(p.Footprint), string(p.Council), string(p.Agreement)} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint64(b, p.Since)
	b = binary.BigEndian.AppendUint64(b, p.Next)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Count))
	b = append(append(b, key...), p.Seal.Signature...)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Index))
	return append(b, tlog.JoinHashes(p.Path)...)
}

// parsePageProof reads what append wrote, and nothing else.
func parsePageProof(b []byte) (*PageProof, error) {
	rest, bad := b, false
	next := func(n int) []byte {
		if bad = bad || len(rest) < n; bad {
			return make([]byte, n)
		}
		v := rest[:n]
		rest = rest[n:]
		return v
	}
	number := func() int { return int(binary.BigEndian.Uint16(next(2))) }
	text := func() string { return string(next(number())) }
	form := next(1)[0]
	p := &PageProof{Page: Page{Footprint: name.Council(text()), Council: name.Council(text()), Agreement: name.Agreement(text())}}
	p.Since, p.Next = binary.BigEndian.Uint64(next(8)), binary.BigEndian.Uint64(next(8))
	p.Count = number()
	p.Seal.Key = base64.RawURLEncoding.EncodeToString(next(32))
	p.Seal.Signature = bytes.Clone(next(keys.SignatureSize))
	p.Index = number()
	path, err := tlog.SplitHashes(rest)
	if err == nil && !bad && p.Index < p.Count {
		// The path's length is fixed by where it leads from.
		_, err = tlog.PathRoot(tlog.Hash{}, uint64(p.Index), uint64(p.Count), path)
	}
	if bad || err != nil || form != pageForm || p.check() != nil || p.Index >= p.Count {
		return nil, &Refusal{Rule: RuleForm, Detail: "the signature is neither an ES256 signature of 64 bytes nor the proof of a page"}
	}
	p.Path = path
	return p, nil
}
