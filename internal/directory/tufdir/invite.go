package tufdir

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/scrypt"
)

// An Invite leads a newcomer to a directory: which root to trust, and where to
// fetch it. It is printed as one code,
//
//	stile1-ahz4…
//
// "stile1-" and, in base32 of a–z and 2–7 (RFC 4648 section 6, no padding), the
// SHA-256 of the root, its version (4 bytes, big endian), the minute it expires
// (4 bytes, since 1970), the address (1 byte of length), and as a check against
// slips the first 5 bytes of the SHA-256 of all this behind "stile invite\n".
//
// A code is no secret, but it can be exchanged for another on its way. So
// both sides read [Invite.Words] to each other, over the telephone say.
type Invite struct {
	Root        [32]byte  // SHA-256 of the file metadata/<RootVersion>.root.json
	RootVersion uint32    // from 1
	Address     string    // http or https address of a mirror, or a multiaddr; 1 to 255 bytes
	Expires     time.Time // UTC, a whole minute; zero is never
}

// What is refused of a code.
var (
	ErrInvite      = errors.New("not an invite code, or one with a slip in it")
	ErrInviteEnded = errors.New("invite has expired")
)

const (
	invitePrefix = "stile1-"
	inviteCheck  = 5
)

var inviteCode = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Invite returns an invite to the directory c follows, from its newest root
// on, which holds until expires.
func (c *Client) Invite(address string, expires time.Time) (Invite, error) {
	sum, version, err := c.RootHash()
	if err != nil {
		return Invite{}, fmt.Errorf("invite: %w", err)
	}
	i := Invite{Root: sum, RootVersion: uint32(version), Address: address, Expires: expires.UTC().Truncate(time.Minute)}
	if err := i.check(); err != nil {
		return Invite{}, fmt.Errorf("invite: %w", err)
	}
	return i, nil
}

func (i Invite) check() error {
	if i.RootVersion < 1 {
		return errors.New("want a version from 1")
	}
	if !i.Expires.IsZero() && (i.Expires.Unix() < 60 || i.Expires.Unix()/60 > 1<<32-1) {
		return errors.New("want an expiry between 1970 and the year 10136")
	}
	if len(i.Address) > 255 || !isAddress(i.Address) {
		return errors.New("want an address: http://, https://, or a multiaddr")
	}
	return nil
}

// isAddress is a light check; whoever dials reads it again, in full. Printable
// ASCII alone, so that the code shows as what it is wherever it is decoded.
func isAddress(s string) bool {
	if strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return false
	}
	if p := strings.Split(s, "/"); len(p) >= 5 && p[0] == "" {
		switch p[1] {
		case "ip4", "ip6":
			_, err := netip.ParseAddr(p[2])
			return err == nil
		case "dns", "dns4", "dns6":
			return p[2] != ""
		}
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// payload is everything but the check.
func (i Invite) payload() []byte {
	b := append([]byte(nil), i.Root[:]...)
	b = binary.BigEndian.AppendUint32(b, i.RootVersion)
	minutes := uint32(0)
	if !i.Expires.IsZero() {
		minutes = uint32(i.Expires.Unix() / 60)
	}
	b = binary.BigEndian.AppendUint32(b, minutes)
	b = append(b, byte(len(i.Address)))
	return append(b, i.Address...)
}

// String prints the code.
func (i Invite) String() string {
	b := i.payload()
	sum := sha256.Sum256(append([]byte("stile invite\n"), b...))
	return invitePrefix + inviteCode.EncodeToString(append(b, sum[:inviteCheck]...))
}

// ParseInvite reads a code. Space and line breaks, which mail puts in, are
// passed over. Every error wraps [ErrInvite]; expiry is for the caller to look at.
func ParseInvite(s string) (Invite, error) {
	if len(s) > 2000 {
		return Invite{}, ErrInvite
	}
	s = strings.Join(strings.Fields(s), "")
	code, ok := strings.CutPrefix(s, invitePrefix)
	if !ok {
		return Invite{}, fmt.Errorf("%w: want it to begin with %s", ErrInvite, invitePrefix)
	}
	b, err := inviteCode.DecodeString(code)
	if err != nil || len(b) < 32+4+4+1+inviteCheck {
		return Invite{}, ErrInvite
	}
	b = b[:len(b)-inviteCheck]
	i := Invite{Root: [32]byte(b), RootVersion: binary.BigEndian.Uint32(b[32:])}
	if m := binary.BigEndian.Uint32(b[36:]); m > 0 {
		i.Expires = time.Unix(int64(m)*60, 0).UTC()
	}
	if int(b[40]) != len(b)-41 {
		return Invite{}, ErrInvite
	}
	i.Address = string(b[41:])
	// One meaning has one code; this also looks at the check.
	if i.check() != nil || i.String() != s {
		return Invite{}, ErrInvite
	}
	return i, nil
}

//go:embed words.txt
var wordList string

// Words returns the fingerprint of the whole invite: six of 256 words, 48 bits,
// of scrypt (RFC 7914; N 2^15, r 8, p 1, 32 MiB, some tenth of a second).
//
// Both sides have the same words or they have not the same invite. Whoever
// would slip in their own must find one with the same words, by trying 2^47
// on the average. With a plain hash a good graphics card does so in hours; each try
// of this costs a processor a tenth of a second and 32 MiB, some four hundred
// thousand processor-years. Six words heard rightly are enough therefore, and
// five are not: a person who reads them out should not leave one out.
func (i Invite) Words() string {
	key, err := scrypt.Key(i.payload(), []byte("stile invite words"), 1<<15, 8, 1, 6)
	if err != nil {
		panic("internal error: scrypt: " + err.Error()) // its parameters are constants
	}
	list := strings.Fields(wordList)
	words := make([]string, len(key))
	for n, b := range key {
		words[n] = list[b]
	}
	return strings.Join(words, " ")
}

// SameWords reports whether two people's words are the same, however spaced,
// joined by hyphens, or in capitals.
func SameWords(a, b string) bool {
	norm := func(s string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("-", " ", ",", " ").Replace(strings.ToLower(s))), " ")
	}
	return norm(a) == norm(b) && norm(a) != ""
}

// Join follows an invite: it fetches the root that the invite names from
// whoever from reaches, and nothing that is not that root is believed; it
// makes dir a Client's folder and refreshes it for the first time.
//
// The error wraps [ErrInviteEnded] after the invite's expiry, is a *[Refusal]
// wrapping [ErrMismatch] for another root, and otherwise that of [Create] or
// [Client.Refresh]. When only the refresh fails the Client is returned with
// the error, and can be refreshed from somebody else.
func Join(ctx context.Context, dir string, i Invite, from Fetcher, o Options) (*Client, error) {
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	if !i.Expires.IsZero() && now().After(i.Expires) {
		return nil, fmt.Errorf("join directory: %w", ErrInviteEnded)
	}
	path := metadataPath(metadata.ROOT, int64(i.RootVersion))
	root, err := from(ctx, path, maxRoot)
	if err != nil {
		return nil, fmt.Errorf("join directory: %w", fetchRefusal(path, err))
	}
	if sum := sha256.Sum256(root); !bytes.Equal(sum[:], i.Root[:]) {
		return nil, fmt.Errorf("join directory: %w", refuse(path, ErrMismatch, "the invite names another root"))
	}
	c, err := Create(dir, root, o)
	if err != nil {
		return nil, err
	}
	_, err = c.Refresh(ctx, from)
	return c, err
}
