package directory

import (
	"crypto/ed25519"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainText reports whether s is a line that shows as what it is: printable,
// not padded, and without the control characters that reorder text, since
// people choose partners by these words.
func plainText(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// isGSS reports whether s has the form of a Government Statistical Service
// code: E, W, S or N and eight digits.
func isGSS(s string) bool {
	return len(s) == 9 && strings.Contains("EWSN", s[:1]) && digits(s[1:])
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// nodePrefix begins the bytes of an Ed25519 peer id: identity multihash (0x00)
// of 36 bytes, which are a protobuf of key type 1 and a key of 32 bytes
// (libp2p specs, peer-ids).
var nodePrefix = [...]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// NodeID returns the libp2p peer id of an Ed25519 public key, 52 characters of
// base58 that begin 12D3KooW. It is written out here so that this package
// does not link libp2p.
func NodeID(pub ed25519.PublicKey) string {
	n := new(big.Int).SetBytes(append(nodePrefix[:], pub...))
	var rev []byte
	for radix, d := big.NewInt(58), new(big.Int); n.Sign() > 0; {
		n.DivMod(n, radix, d)
		rev = append(rev, base58[d.Int64()])
	}
	rev = append(rev, '1') // the leading zero byte
	out := make([]byte, len(rev))
	for i, c := range rev {
		out[len(rev)-1-i] = c
	}
	return string(out)
}

// isNodeID accepts what NodeID prints and nothing else. Other spellings of a
// peer id exist (a CID, other key types); a node seen under two would slip past the
// rule that no two members share one.
func isNodeID(s string) bool {
	if len(s) != 52 {
		return false
	}
	n, radix := new(big.Int), big.NewInt(58)
	for i := range len(s) {
		d := strings.IndexByte(base58, s[i])
		if d < 0 {
			return false
		}
		n.Mul(n, radix).Add(n, big.NewInt(int64(d)))
	}
	if n.BitLen() > 8*(len(nodePrefix)+ed25519.PublicKeySize) {
		return false
	}
	b := n.FillBytes(make([]byte, len(nodePrefix)+ed25519.PublicKeySize))
	return string(b[:len(nodePrefix)]) == string(nodePrefix[:]) && NodeID(b[len(nodePrefix):]) == s
}

// isAddress is a light check of a multiaddr: a host, a port, and one of the
// transports in use, TCP or QUIC; or such an address of a relay, its peer id
// and p2p-circuit. The transport itself reads it again, in full.
func isAddress(s string) bool {
	if len(s) > 400 {
		return false
	}
	p := strings.Split(s, "/")
	if len(p) < 5 || p[0] != "" || !isHost(p[1], p[2]) || !isPort(p[4]) {
		return false
	}
	rest := p[5:]
	switch p[3] {
	case "tcp":
	case "udp":
		if len(rest) == 0 || rest[0] != "quic-v1" {
			return false
		}
		rest = rest[1:]
	default:
		return false
	}
	return len(rest) == 0 || len(rest) == 3 && rest[0] == "p2p" && isNodeID(rest[1]) && rest[2] == "p2p-circuit"
}

func isHost(kind, host string) bool {
	switch kind {
	case "ip4", "ip6":
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is4() == (kind == "ip4") && a.Zone() == "" && a.String() == host
	case "dns", "dns4", "dns6":
		if len(host) > 253 {
			return false
		}
		for _, l := range strings.Split(host, ".") {
			if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
				strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				return false
			}
		}
		return true
	}
	return false
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}
