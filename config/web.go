package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
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

	// WebhookNetworks are networks of the council's own that webhooks of the API may go
	// to, such as 10.20.0.0/16, also by HTTP. Elsewhere they go to the public internet
	// alone, by HTTPS. Default none.
	WebhookNetworks []string `yaml:"webhook_networks"`

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

	// Contact is an address of the council for whoever finds a page that does not work
	// or a hole, or asks about what is published, such as digital@northmoor.gov.uk. It
	// stands in the catalogues of the registers, which others harvest. Default: its home
	// page.
	Contact string `yaml:"contact"`

	// Pseudonyms has what people do at the pages logged under their ids in the place of
	// their names. Partners read who signed an agreement. Default false.
	Pseudonyms bool `yaml:"pseudonyms"`

	// TwoPersons asks two people of the role signer before the council signs, renews or
	// proposes an agreement, at the pages and at the command line. Who gives or approves an
	// urgent disclosure at the command line shows by a passphrase who they are. Whoever may
	// write the data folder can take it back. Default false.
	TwoPersons bool `yaml:"two_persons"`

	// Registers are the registers of what councils have that everybody is shown at /open,
	// by name, such as city-tools; all stands for each. People who have signed in are shown
	// all. Default none.
	Registers []string `yaml:"registers"`

	// Licence is the licence under which everybody may use what stands in the registers at
	// /open and in their exported files: ogl-uk-3.0, cc-by-4.0, cc0-1.0, or the address of
	// another, which begins with http:// or https://. It is printed on their pages and in
	// each of their files that can say it. A register holds records of other councils,
	// too: claim only what they have agreed to. Default none: none is claimed.
	Licence string `yaml:"licence"`

	// Postcodes is a CSV file that says where postcodes lie, for who asks for services near
	// one at /open/open-referral-uk: with the headings pcds, lat and long, as the ONS Postcode
	// Directory has them, or postcode, latitude and longitude. It is read when the node
	// starts, in some ten seconds for all two million, which take 32 MB; rows of the council's
	// own region do. Default none: a postcode is known where a listed place has it.
	Postcodes string `yaml:"postcodes"`

	// OIDC is the identity provider that signs people in. Default none: people sign in
	// by one-time links ("stile person link").
	OIDC OIDC `yaml:"oidc"`
}

// OIDC is an identity provider of OpenID Connect, such as Entra ID. Who may sign in
// stands in people/ in the data folder; the provider says no more than who it is.
type OIDC struct {
	// Issuer is its address, such as https://login.microsoftonline.com/TENANT/v2.0, of
	// the council's own tenant. Empty, the default, is none.
	Issuer string `yaml:"issuer"`

	// ClientID is what this server is called there, and SecretFile holds its secret, in
	// the first line; readable by its owner only.
	ClientID   string `yaml:"client_id"`
	SecretFile string `yaml:"secret_file"`

	// Claim is what names a person at the first sign-in: email, which must be verified,
	// or preferred_username, where nobody may choose their own. Default:
	// preferred_username of Entra ID, else email.
	Claim string `yaml:"claim"`
}

// Secret returns the secret of the client.
func (o OIDC) Secret() (string, error) {
	b, err := readSecret(o.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read web.oidc.secret_file: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line), nil
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

// A licence that has a short name.
type licence struct{ address, title string }

// licences are those that can be named in short.
var licences = map[string]licence{
	"ogl-uk-3.0": {"http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", "Open Government Licence v3.0"},
	"cc-by-4.0":  {"https://creativecommons.org/licenses/by/4.0/", "Creative Commons Attribution 4.0"},
	"cc0-1.0":    {"https://creativecommons.org/publicdomain/zero/1.0/", "Creative Commons Zero 1.0"},
}

// LicenceAddress returns where the text of the licence stands; "" where none is named.
func (w Web) LicenceAddress() string {
	if l, ok := licences[w.Licence]; ok {
		return l.address
	}
	u, err := url.Parse(w.Licence)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(w.Licence, " \"<>\\") {
		return ""
	}
	return w.Licence
}

// LicenceTitle returns what people call the licence; of one that has no short name its
// address.
func (w Web) LicenceTitle() string {
	for short, l := range licences {
		if w.Licence == short || w.Licence == l.address {
			return l.title
		}
	}
	return w.LicenceAddress()
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
	for i, r := range w.Registers {
		if r == "" || strings.Trim(r, "abcdefghijklmnopqrstuvwxyz-") != "" {
			fail("registers", "register %d: want a name such as city-tools, or all", i+1)
		}
	}
	if w.Licence != "" && w.LicenceAddress() == "" {
		fail("licence", "want %s, or the address of a licence, such as https://creativecommons.org/licenses/by/4.0/", strings.Join(slices.Sorted(maps.Keys(licences)), ", "))
	}
	if (w.CertificateFile == "") != (w.KeyFile == "") {
		fail("certificate_file", "certificate_file and key_file belong together: want both")
	}
	if w.CertificateFile != "" && w.Autocert != "" {
		fail("autocert", "want either a certificate_file or autocert")
	}
	if o := w.OIDC; o.Issuer != "" {
		if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Hostname() != "127.0.0.1" {
			fail("oidc.issuer", "want an address that begins with https://")
		}
		if o.ClientID == "" || o.SecretFile == "" {
			fail("oidc.client_id", "client_id and secret_file must be given with issuer")
		}
		if !slices.Contains([]string{"", "email", "preferred_username"}, o.Claim) {
			fail("oidc.claim", "want email or preferred_username")
		}
	}
	if w.Autocert != "" && len(w.Hosts) == 0 {
		fail("autocert", "want the names that certificates are for, under hosts")
	}
	for i, n := range w.WebhookNetworks {
		if p, err := netip.ParsePrefix(n); err != nil || p.Masked() != p {
			fail("webhook_networks", "network %d: want such as 10.20.0.0/16", i+1)
		}
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
