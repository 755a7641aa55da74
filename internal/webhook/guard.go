package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// ErrTarget is wrapped by every error about where a message should go. The text never
// holds the URL, whose path may be a secret of its own.
var ErrTarget = errors.New("webhook may not be sent there")

// MaxURL is the length of the longest URL that is taken, in bytes.
const MaxURL = 2048

// special are the networks that are not of the public internet, beside those that
// [netip.Addr] knows by itself (IANA special-purpose address registries, RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays, given up
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which carries any IPv4 address
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// global are the IPv6 addresses that are given out.
var global = netip.MustParsePrefix("2000::/3")

// A Guard says where messages may go: to the public internet by HTTPS, and to the
// networks that it names, also by HTTP. The zero Guard names none.
type Guard struct {
	// Allow are networks of the operator's own, such as 10.20.0.0/16 or 127.0.0.0/8.
	Allow []netip.Prefix
}

// ParseAllow reads networks, or single addresses, as an operator writes them.
func ParseAllow(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil || a.Zone() != "" {
				return nil, fmt.Errorf("want a network such as 10.20.0.0/16 or an address, not %.60q", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Address reports whether a message may be sent to an address. The error wraps
// [ErrTarget].
func (g Guard) Address(a netip.Addr) error {
	a = a.Unmap()
	if g.allows(a) {
		return nil
	}
	switch {
	case a.Zone() != "" || !a.IsValid():
		return fmt.Errorf("%w: it is no address of the public internet", ErrTarget)
	case a.IsLoopback() || a.IsUnspecified():
		return fmt.Errorf("%w: it leads to this machine", ErrTarget)
	case a.IsPrivate() || a.IsLinkLocalUnicast():
		return fmt.Errorf("%w: it leads into a private network", ErrTarget)
	case a.IsMulticast() || a.Is6() && !global.Contains(a) || slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) }):
		return fmt.Errorf("%w: it is no address of the public internet", ErrTarget)
	}
	return nil
}

func (g Guard) allows(a netip.Addr) bool {
	return slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// URL reads a URL that messages should go to: https, or http to an address that is
// written out and lies in a network the guard names; no user, no fragment. What its
// host resolves to is checked when it is connected to, and not here. The error wraps
// [ErrTarget].
func (g Guard) URL(s string) (*url.URL, error) {
	wrong := func(what string) (*url.URL, error) { return nil, fmt.Errorf("%w: %s", ErrTarget, what) }
	if len(s) > MaxURL {
		return wrong("the URL is too long")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return wrong("it is not a URL") // err holds the URL
	case u.Opaque != "" || u.Hostname() == "":
		return wrong("the URL names no host")
	case u.User != nil:
		return wrong("the URL holds a user, which belongs into no URL")
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return wrong("the URL has a fragment")
	}
	literal, err := netip.ParseAddr(u.Hostname())
	isLiteral := err == nil
	if isLiteral {
		if err := g.Address(literal); err != nil {
			return nil, err
		}
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !isLiteral || !g.allows(literal.Unmap()) {
			return wrong("the URL must begin with https://, but for an address of a network that the configuration allows")
		}
	default:
		return wrong("the URL must begin with https://")
	}
	return u, nil
}
