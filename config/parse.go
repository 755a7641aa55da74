package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multiformats/go-multiaddr"
	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// An Error is one problem of a configuration file.
type Error struct {
	File string // as it was named
	Line int    // 1 is the first; 0 when the file as a whole is meant
	Key  string // such as "limits.record_bytes"; "" when no key is meant
	Text string // what is wrong and what is wanted
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, " line %d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	return b.String() + e.Text
}

// Parse reads and checks a configuration. The file is named in errors, and dir
// is the folder from which relative paths are meant. The error joins every
// problem; each is an [*Error].
func Parse(b []byte, file, dir string) (*Config, error) {
	p := parser{file: file, lines: map[string]int{}}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, p.syntax(err)
	}
	if root.Kind == 0 {
		p.fail("", "the file is empty: want at least version and council")
		return nil, errors.Join(p.errs...)
	}
	p.index(root.Content[0], "")
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}

	c := preset()
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil {
		p.decode(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.fail("", "want one YAML document, and the file holds more")
	}
	// Ranges are checked even when a key was misspelt, so that one run shows
	// every problem.
	p.check(c)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	c.settle(dir)
	if len(c.AdminSocket) > 100 {
		p.fail("admin_socket", "the path is %d bytes long and the operating system takes 100: name a shorter one", len(c.AdminSocket))
		return nil, errors.Join(p.errs...)
	}
	return c, nil
}

type parser struct {
	file  string
	lines map[string]int // line of each key, by its dotted path
	errs  []error
}

func (p *parser) fail(key, format string, args ...any) {
	p.failAt(p.lines[key], key, format, args...)
}

func (p *parser) failAt(line int, key, format string, args ...any) {
	e := &Error{File: p.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)}
	for _, old := range p.errs {
		if *old.(*Error) == *e {
			return
		}
	}
	p.errs = append(p.errs, e)
}

// index notes the line of every key, and refuses what makes a configuration
// hard to read: anchors, aliases and merges.
func (p *parser) index(n *yaml.Node, path string) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		p.failAt(n.Line, path, "write it out: anchors and aliases are not read")
		return
	}
	if n.Tag == "!!null" && path != "" {
		p.failAt(n.Line, path, "write a value, or leave the key out to have its default")
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path != "" {
				key = path + "." + key
			}
			if _, seen := p.lines[key]; !seen {
				p.lines[key] = n.Content[i].Line
			}
			p.index(n.Content[i+1], key)
		}
	case yaml.SequenceNode:
		for _, c := range n.Content {
			p.index(c, path)
		}
	default:
		if path == "" {
			p.failAt(n.Line, "", "want keys and values, such as \"council: northmoor.gov.uk\"")
		}
	}
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	yamlUnknown = regexp.MustCompile(`^field (.*) not found in type `)
	yamlTwice   = regexp.MustCompile(`^(?:mapping key (".*") already defined|field (.*) already set)`)
	yamlType    = regexp.MustCompile(`(?s)^cannot unmarshal .* into (\S+)$`)
)

func (p *parser) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	return &Error{File: p.file, Line: line, Text: "not YAML: " + text}
}

// decode says in a person's words what the YAML library says in Go's. The text
// never repeats a value: somebody may have put a secret where a path belongs.
func (p *parser) decode(err error) {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		p.errs = append(p.errs, p.syntax(err))
		return
	}
	for _, text := range te.Errors {
		line := 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = m[2]
		}
		switch {
		case yamlUnknown.MatchString(text):
			key := yamlUnknown.FindStringSubmatch(text)[1]
			p.failAt(line, "", "unknown key %q%s", key, meant(key))
		case yamlTwice.MatchString(text):
			m := yamlTwice.FindStringSubmatch(text)
			key := m[2]
			if k, err := strconv.Unquote(m[1]); err == nil {
				key = k
			}
			p.failAt(line, "", "key %q stands here for the second time", key)
		case yamlType.MatchString(text):
			p.failAt(line, p.keyAt(line), "want %s", words(yamlType.FindStringSubmatch(text)[1]))
		default:
			p.failAt(line, "", "not understood")
		}
	}
}

// keyAt returns the deepest key that starts on a line, or "".
func (p *parser) keyAt(line int) string {
	best := ""
	for k, l := range p.lines {
		if l == line && len(k) > len(best) {
			best = k
		}
	}
	return best
}

func words(goType string) string {
	switch goType {
	case "int":
		return "a whole number"
	case "string", "name.Council":
		return "text"
	case "[]string":
		return "a list"
	}
	return "keys and values below it"
}

// meant suggests the key whose letters are nearest to a misspelt one.
func meant(key string) string {
	known := []string{
		"version", "council", "data", "directory", "admin_socket", "passphrase_file", "encryption_key_file", "listen",
		"announce", "http_listen", "witness_policy", "metrics_listen", "backup", "folder", "recipient", "every", "keep", "keys", "web", "hosts", "certificate_file", "key_file", "autocert", "behind_proxy", "webhook_networks", "max_connections", "header_seconds", "body_mib", "contact", "pseudonyms", "two_persons", "registers", "oidc", "issuer", "client_id", "secret_file", "claim", "cosign_wait", "measure_every", "signed_tokens", "limits", "record_bytes", "import_workers", "min_free_mib", "questions_per_day", "questions_per_hour", "memory_mib", "feeds", "erase", "notify", "log", "level", "format",
	}
	bare := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(key))
	for _, k := range known {
		if bare == k || (len(bare) > 3 && (strings.HasPrefix(k, bare) || strings.HasPrefix(bare, k))) {
			return fmt.Sprintf(": did you mean %q?", k)
		}
	}
	return ""
}

// check reports every value that is out of range.
func (p *parser) check(c *Config) {
	within := func(key string, v, low, high int) {
		if v < low || v > high {
			p.fail(key, "%d is out of range: want %d to %d", v, low, high)
		}
	}
	oneOf := func(key, v string, want ...string) {
		if !slices.Contains(want, v) {
			p.fail(key, "want one of %s", strings.Join(want, ", "))
		}
	}
	switch {
	case c.Version == 0:
		p.fail("version", "must be given: this Stile writes version %d", Version)
	case c.Version > Version:
		p.fail("version", "the file is of version %d and this Stile reads up to %d: it was written for a newer one", c.Version, Version)
	case c.Version < 0:
		p.fail("version", "there is no version %d", c.Version)
	}
	if c.Council == "" {
		p.fail("council", "must be given: the council's domain, such as northmoor.gov.uk")
	} else if _, err := name.ParseCouncil(string(c.Council)); err != nil {
		p.fail("council", "%v", err)
	}
	for _, l := range []struct {
		key   string
		addrs []string
		bind  bool
	}{{"listen", c.Listen, true}, {"announce", c.Announce, false}} {
		for i, a := range l.addrs {
			if text := badAddress(a, l.bind); text != "" {
				p.fail(l.key, "address %d: %s", i+1, text)
			}
			if slices.Contains(l.addrs[:i], a) {
				p.fail(l.key, "address %d stands there twice", i+1)
			}
		}
	}
	for _, l := range []struct{ key, address, such string }{
		{"http_listen", c.HTTPListen, "127.0.0.1:7846"}, {"metrics_listen", c.MetricsListen, "127.0.0.1:7847"},
	} {
		if _, port, err := net.SplitHostPort(l.address); l.address != "" && (err != nil || port == "") {
			p.fail(l.key, "want an address and a port, such as %s", l.such)
		}
	}
	if u, err := url.Parse(c.TelemetryEndpoint); c.TelemetryEndpoint != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil) {
		p.fail("telemetry_endpoint", "want a URL without a password, such as https://collector.example:4318/v1/traces")
	}
	if c.MetricsListen != "" && c.MetricsListen == c.HTTPListen {
		p.fail("metrics_listen", "is the address of http_listen, which is for the public: want another port")
	}
	c.Web.check(func(key, format string, args ...any) { p.fail("web."+key, format, args...) })
	if c.Web.Listen != "" && (c.Web.Listen == c.HTTPListen || c.Web.Listen == c.MetricsListen) {
		p.fail("web.listen", "is the address of http_listen or metrics_listen: want another port")
	}
	within("web.max_connections", c.Web.MaxConnections, 16, 1<<16)
	within("web.header_seconds", c.Web.HeaderSeconds, 1, 60)
	within("web.body_mib", c.Web.BodyMiB, 1, 1024)
	if b := c.Backup; b.Folder != "" || b.Recipient != "" {
		if b.Folder == "" {
			p.fail("backup.folder", "must be given where recipient is")
		}
		rs := strings.Fields(b.Recipient)
		if len(rs) == 0 {
			p.fail("backup.recipient", "must be given where folder is: a public key of age, age1…")
		}
		for _, r := range rs {
			if !strings.HasPrefix(r, "age1") {
				p.fail("backup.recipient", "want public keys of age, age1…, and never a secret one")
				break
			}
		}
	}
	within("backup.every", c.Backup.Every, 1, 366*24)
	within("backup.keep", c.Backup.Keep, 1, 10_000)
	within("cosign_wait", c.CosignWait, 0, 60)
	within("measure_every", c.MeasureEvery, 0, 366*24)
	within("limits.record_bytes", c.Limits.RecordBytes, 1<<10, 16<<20)
	within("limits.import_workers", c.Limits.ImportWorkers, 0, 256)
	within("limits.min_free_mib", c.Limits.MinFreeMiB, 16, 1<<20)
	within("limits.memory_mib", c.Limits.MemoryMiB, 96, 1<<20)
	within("limits.questions_per_day", c.Limits.QuestionsPerDay, 1, 100_000)
	within("limits.questions_per_hour", c.Limits.QuestionsPerHour, 1, 100_000)
	for i := range c.Feeds {
		f := &c.Feeds[i]
		f.check(func(key, format string, args ...any) {
			p.failAt(p.lines["feeds."+key], "feeds", "feed %d (%s): %s: "+format, append([]any{i + 1, f.Name, key}, args...)...)
		})
		if slices.ContainsFunc(c.Feeds[:i], func(o Feed) bool { return o.Name == f.Name }) {
			p.fail("feeds", "feed %d (%s): name: another feed has it", i+1, f.Name)
		}
	}
	for i := range c.Erase {
		r := &c.Erase[i]
		r.check(func(key, format string, args ...any) {
			p.failAt(p.lines["erase."+key], "erase", "rule %d (%s): %s: "+format, append([]any{i + 1, r.Name, key}, args...)...)
		})
		if slices.ContainsFunc(c.Erase[:i], func(o EraseRule) bool { return o.Name == r.Name }) {
			p.fail("erase", "rule %d (%s): name: another rule has it", i+1, r.Name)
		}
	}
	for i := range c.Notify {
		n := &c.Notify[i]
		n.check(c.Web.WebhookNetworks, func(key, format string, args ...any) {
			p.failAt(p.lines["notify."+key], "notify", "target %d (%s): %s: "+format, append([]any{i + 1, n.Name, key}, args...)...)
		})
		if slices.ContainsFunc(c.Notify[:i], func(o Notify) bool { return o.Name == n.Name }) {
			p.fail("notify", "target %d (%s): name: another target has it", i+1, n.Name)
		}
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
}

// badAddress says what is wrong with a multiaddr, or "". Only TCP and QUIC are
// spoken; a port of 0 is for tests, which ask afterwards what it became.
func badAddress(s string, bind bool) string {
	const want = "want such as /ip4/0.0.0.0/tcp/7845 or /ip4/0.0.0.0/udp/7845/quic-v1"
	a, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		return "not a multiaddr: " + want
	}
	var names []string
	for _, part := range a {
		names = append(names, part.Protocol().Name)
	}
	hosts := []string{"ip4", "ip6"}
	if !bind {
		hosts = append(hosts, "dns", "dns4", "dns6")
	}
	tcp := len(names) == 2 && names[1] == "tcp"
	quic := len(names) == 3 && names[1] == "udp" && names[2] == "quic-v1"
	if (!tcp && !quic) || !slices.Contains(hosts, names[0]) {
		if !bind {
			return "want a host and port, such as /dns4/stile.northmoor.gov.uk/tcp/7845"
		}
		return "neither TCP nor QUIC on an IP address: " + want
	}
	return ""
}

// readCapped reads r to its end and refuses more than limit bytes.
func readCapped(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("longer than %d bytes", limit)
	}
	return b, nil
}
