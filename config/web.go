package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Web is the one HTTP server for people and systems: pages, and the API below /v1.
type Web struct {
	// Listen is the address and port, such as 127.0.0.1:7080. Empty, the default,
	// serves nothing. On any address but a loopback one, hosts must be given, and a
	// certificate, autocert or behind_proxy.
	Listen string `yaml:"listen"`

	// Hosts are the names by which a browser or a system may call this server, without
	// a port, such as stile.northmoor.gov.uk. A request by any other name is refused,
	// so that no page of a stranger can reach it by a name of its own (DNS rebinding).
	// On a loopback address localhost, 127.0.0.1 and ::1 are among them. Default none
	// more.
	Hosts []string `yaml:"hosts"`

	// CertificateFile and KeyFile hold this server's TLS certificate, with what leads to
	// its root, and its key, in PEM. They are read again when they have changed. Default
	// none.
	CertificateFile string `yaml:"certificate_file"`
	KeyFile         string `yaml:"key_file"`

	// Autocert is a folder in which certificates are kept that are fetched by ACME from
	// Let's Encrypt, whose terms are then accepted; the server must be reached at port
	// 443 of each of hosts. Empty, the default, fetches none. Excludes certificate_file.
	Autocert string `yaml:"autocert"`

	// BehindProxy says that a web server before this one ends TLS and hands on what it
	// got, Host included, on a network that nobody else listens to. Cookies are then
	// for HTTPS alone. Default false.
	BehindProxy bool `yaml:"behind_proxy"`

	// MaxConnections is how many connections may be open at a time. When one more
	// comes, the one goes that was silent the longest, of the address that has most.
	// Default 512, from 16 to 65536. Each that follows the feed of changes is one.
	MaxConnections int `yaml:"max_connections"`

	// HeaderSeconds is how long a request may take to say what it wants, in seconds.
	// What follows it must come at 1 KiB in a second at least. Default 5, from 1 to 60.
	HeaderSeconds int `yaml:"header_seconds"`

	// BodyMiB is the size of the largest form or upload to a page, in MiB. Default 1,
	// from 1 to 1024. Records and imports have limits of their own.
	BodyMiB int `yaml:"body_mib"`
}

// Loopback reports whether the server can be reached from its own machine alone.
func (w Web) Loopback() bool {
	host, _, err := net.SplitHostPort(w.Listen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// TLS reports whether the server itself ends TLS.
func (w Web) TLS() bool { return w.CertificateFile != "" || w.Autocert != "" }

// Secure reports whether whoever asks does so by HTTPS, so that cookies may be for
// HTTPS alone.
func (w Web) Secure() bool { return w.TLS() || w.BehindProxy }

// check reports what is wrong, by key below web.
func (w Web) check(fail func(key, format string, args ...any)) {
	if _, port, err := net.SplitHostPort(w.Listen); w.Listen != "" && (err != nil || port == "") {
		fail("listen", "want an address and a port, such as 127.0.0.1:7080")
		return
	}
	for i, h := range w.Hosts {
		if h == "" || strings.ContainsAny(h, "/:*@ \t") || strings.ToLower(h) != h {
			fail("hosts", "host %d: want a name alone, in lower case, such as stile.northmoor.gov.uk", i+1)
		}
		if slices.Contains(w.Hosts[:i], h) {
			fail("hosts", "host %d stands there twice", i+1)
		}
	}
	if (w.CertificateFile == "") != (w.KeyFile == "") {
		fail("certificate_file", "certificate_file and key_file belong together: want both")
	}
	if w.CertificateFile != "" && w.Autocert != "" {
		fail("autocert", "want either a certificate_file or autocert")
	}
	if w.Autocert != "" && len(w.Hosts) == 0 {
		fail("autocert", "want the names that certificates are for, under hosts")
	}
	if w.Listen == "" || w.Loopback() {
		return
	}
	if len(w.Hosts) == 0 {
		fail("hosts", "must be given where others can reach the server: the name that they call it by")
	}
	if !w.Secure() {
		fail("listen", "others can reach this address, and would send passwords and records in clear: want certificate_file and key_file, autocert, behind_proxy, or 127.0.0.1")
	}
}
