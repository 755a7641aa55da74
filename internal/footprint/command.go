package footprint

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/node/name"
)

// A command is one entry of the raft log:
//
//	version1 kind1 at8 rest
//
// version is the format in use: see format.go. at is the proposing member's clock, seconds since 1970, the
// only time that applying knows. Numbers of fixed length are big-endian; a text
// or bytes are a length, an unsigned varint in its shortest form, then that
// many bytes. By kind, rest is:
//
//	1 batch: number of groups, unsigned varint, at least 1; each group:
//	         contributor, agreement (both texts), since8, cursor8, seal (bytes:
//	         none, or key32 signature64), number of entries, unsigned varint; each
//	         entry: token, attachment (bytes)
//	2 mark:  nothing. Every member cosigns the tree as it stands here.
//	3 format (from version 2): number of servers, unsigned varint, at least 1;
//	         each server (text), sorted. The format is version from here on, if
//	         these are the members' servers.
//	4 writes, among machines of one council alone: term8, in which the machine
//	         leads; number of keys; each, ascending: key, a byte, and where that is 1 the
//	         value, where it is 0 the key is deleted; number of prefixes to
//	         drop; each: prefix. Either keys or prefixes. See machines.go.
//
// A member that does not know the version or the kind stops rather than skip a
// command that the others apply. So a new version is proposed only once every
// member understands it, and the old is read forever.
type command struct {
	version byte
	kind    byte
	at      int64
	groups  []group
	servers []string
	term    uint64
	writes  ledger.Writes
}

const (
	commandBatch  = 1
	commandMark   = 2
	commandFormat = 3
	commandWrites = 4
)

// inFormat reports whether there is a kind of command in a version.
func inFormat(version, kind byte) bool {
	switch kind {
	case commandBatch, commandMark:
		return version >= 1
	case commandWrites:
		// A program older than this kind does not open a machine's folder.
		return version >= 1
	case commandFormat:
		return version >= 2
	}
	return false
}

// A group is what one council contributes at one time.
type group struct {
	contributor name.Council
	// agreement is not empty when the entries are a page of the agreement's
	// feed: then since must be where the page before ended, and cursor is
	// where this one does. That makes a page arrive exactly once, however often
	// it is sent.
	agreement     name.Agreement
	since, cursor uint64
	seal          record.PageSeal // the contributor's signature of all of it; see page.go
	entries       []Entry
}

// An Entry is offered to a footprint's ledger.
type Entry struct {
	// Token is a record token with the disclosures to be shared, without a signature,
	// or an event.
	Token []byte
	// Attachment is what the event speaks of and carries a digest of: the archive
	// of an adopted standard. Nil otherwise.
	Attachment []byte
}

func (e Entry) size() int { return len(e.Token) + len(e.Attachment) + 20 }

// Bounds of a command: that many bytes and entries, with their indexes, fit one
// transaction of a replica.
const (
	MaxEntry       = 3 << 20        // bytes of one entry, attachment included
	maxBatchBytes  = 1 << 20        // of a batch, unless one entry alone has more
	maxBatchGroup  = record.MaxPage // entries of a group
	maxBatchCount  = 2000           // entries of a batch
	maxGroupsBatch = 1000
)

var errCommand = errors.New("not a command")

func (c command) encode() []byte {
	n := 16
	for _, g := range c.groups {
		n += len(g.contributor) + len(g.agreement) + sealSize + 32
		for _, e := range g.entries {
			n += e.size()
		}
	}
	b := append(make([]byte, 0, n), c.version, c.kind)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at))
	switch c.kind {
	case commandBatch:
		b = binary.AppendUvarint(b, uint64(len(c.groups)))
		for _, g := range c.groups {
			b = g.append(b)
		}
	case commandFormat:
		b = binary.AppendUvarint(b, uint64(len(c.servers)))
		for _, s := range c.servers {
			b = appendBytes(b, []byte(s))
		}
	case commandWrites:
		return c.appendWrites(b)
	}
	return b
}

func (g group) append(b []byte) []byte {
	b = appendBytes(b, []byte(g.contributor))
	b = appendBytes(b, []byte(g.agreement))
	b = binary.BigEndian.AppendUint64(b, g.since)
	b = binary.BigEndian.AppendUint64(b, g.cursor)
	b = appendBytes(b, sealBytes(g.seal))
	b = binary.AppendUvarint(b, uint64(len(g.entries)))
	for _, e := range g.entries {
		b = appendBytes(appendBytes(b, e.Token), e.Attachment)
	}
	return b
}

// sealSize is that of a seal: the key's thumbprint and the signature.
const sealSize = 32 + keys.SignatureSize

func sealBytes(s record.PageSeal) []byte {
	if s.Key == "" {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s.Key)
	if err != nil || len(b) != 32 || len(s.Signature) != keys.SignatureSize {
		panic("internal error: a seal without its key or signature")
	}
	return append(b, s.Signature...)
}

func (g group) size() int {
	n := len(g.contributor) + len(g.agreement) + sealSize + 32
	for _, e := range g.entries {
		n += e.size()
	}
	return n
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// parseCommand reads what encode wrote, and nothing else. The result shares
// memory with b. errNewer when the version is newer than newest, or the kind is
// not known in it.
func parseCommand(b []byte, newest int) (c command, err error) {
	r := reader{b: b}
	c.version = r.byte()
	c.kind = r.byte()
	c.at = int64(r.uint64())
	if r.bad {
		return c, fmt.Errorf("%w: %d bytes", errCommand, len(b))
	}
	if int(c.version) > newest || !inFormat(c.version, c.kind) {
		return c, fmt.Errorf("command %w (version %d, kind %d)", errNewer, c.version, c.kind)
	}
	switch c.kind {
	case commandWrites:
		r.writes(&c)
	case commandBatch:
		n := r.count(maxGroupsBatch)
		for range n {
			c.groups = append(c.groups, r.group())
		}
		if n == 0 {
			r.bad = true
		}
	case commandFormat:
		n := r.count(maxServers)
		for range n {
			id := string(r.bytes())
			if _, _, ok := parseServer(id); !ok {
				r.bad = true
			}
			c.servers = append(c.servers, id)
		}
		if n == 0 || !slices.IsSorted(c.servers) {
			r.bad = true
		}
	}
	if r.bad || len(r.b) > 0 {
		return command{}, fmt.Errorf("%w: made up wrongly", errCommand)
	}
	return c, nil
}

func parseGroup(b []byte) (group, error) {
	r := reader{b: b}
	g := r.group()
	if r.bad || len(r.b) > 0 {
		return group{}, fmt.Errorf("%w: made up wrongly", errCommand)
	}
	return g, nil
}

// A reader takes a message apart; once anything was wrong bad is set and
// nothing more is read.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) next(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.next(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if v := r.next(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) count(limit uint64) int {
	n, l := binary.Uvarint(r.b)
	// The last byte of a longer spelling is zero.
	if r.bad || l <= 0 || l > 1 && r.b[l-1] == 0 || n > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[l:]
	return int(n)
}

func (r *reader) bytes() []byte { return r.upTo(MaxEntry) }

func (r *reader) upTo(limit uint64) []byte {
	n := r.count(limit)
	if r.bad || n == 0 {
		return nil
	}
	return r.next(n)
}

// seal reads a seal, of which there are so many bytes; none is none.
func (r *reader) seal(n int) (s record.PageSeal) {
	if n == 0 || r.bad {
		return s
	}
	b := r.next(n)
	if n != sealSize || b == nil {
		r.bad = true
		return s
	}
	return record.PageSeal{Key: base64.RawURLEncoding.EncodeToString(b[:32]), Signature: b[32:]}
}

func (r *reader) group() (g group) {
	contributor, agreement := r.bytes(), r.bytes()
	g.since, g.cursor = r.uint64(), r.uint64()
	g.seal = r.seal(r.count(sealSize))
	n := r.count(maxBatchGroup)
	if r.bad {
		return g
	}
	c, err := name.ParseCouncil(string(contributor))
	if err != nil {
		r.bad = true
		return g
	}
	g.contributor = c
	if len(agreement) > 0 {
		if g.agreement, err = name.ParseAgreement(string(agreement)); err != nil || g.cursor < g.since {
			r.bad = true
			return g
		}
	} else if g.since|g.cursor != 0 {
		r.bad = true
		return g
	}
	for range n {
		e := Entry{Token: r.bytes(), Attachment: r.bytes()}
		if r.bad || len(e.Token) == 0 {
			r.bad = true
			return g
		}
		g.entries = append(g.entries, e)
	}
	return g
}
