package standard

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ownFormats are the formats that are judged here, where the engine's own
// judgement is wider than the RFC that JSON Schema names (2020-12 validation,
// section 7.3), or missing, or slow. The others are the engine's.
var ownFormats = []*jsonschema.Format{
	format("date", isDate),
	format("duration", isDuration),
	format("email", func(s string) bool { return isEmail(s, false) }),
	format("idn-email", func(s string) bool { return isEmail(s, true) }),
	format("hostname", isHostname),
	format("idn-hostname", isIDNHostname),
	format("ipv4", isIPv4),
	format("uri", func(s string) bool { return isURI(s, false, true) }),
	format("uri-reference", func(s string) bool { return isURI(s, false, false) }),
	format("iri", func(s string) bool { return isURI(s, true, true) }),
	format("iri-reference", func(s string) bool { return isURI(s, true, false) }),
	format("uri-template", isURITemplate),
	format("nhs-number", isNHSNumber), // ours; others take it for a note (2020-12 validation, section 7.2.3)
}

var errFormat = errors.New("not in the format")

// format makes a Format of a judgement on text; other types pass.
func format(name string, ok func(string) bool) *jsonschema.Format {
	return &jsonschema.Format{Name: name, Validate: func(v any) error {
		if s, isText := v.(string); isText && !ok(s) {
			return errFormat
		}
		return nil
	}}
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// isNHSNumber reports whether ten digits have their check digit right: the first nine
// times ten down to two, summed, and what lacks to a multiple of eleven, where ten is no
// digit and eleven is zero (NHS Data Dictionary, NHS number).
func isNHSNumber(s string) bool {
	if len(s) != 10 || !digitsOnly(s) {
		return false
	}
	sum := 0
	for i := range 9 {
		sum += int(s[i]-'0') * (10 - i)
	}
	check := (11 - sum%11) % 11
	return check != 10 && int(s[9]-'0') == check
}

// isDate is full-date of RFC 3339 section 5.6.
func isDate(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' || !digitsOnly(s[:4]) || !digitsOnly(s[5:7]) || !digitsOnly(s[8:]) {
		return false
	}
	two := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	days := 31
	switch month {
	case 4, 6, 9, 11:
		days = 30
	case 2:
		days = 28
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			days = 29
		}
	}
	return 1 <= month && month <= 12 && 1 <= day && day <= days
}

// isDuration is duration of RFC 3339 appendix A: parts in order, none skipped
// between two that are given, weeks alone.
func isDuration(s string) bool {
	s, ok := strings.CutPrefix(s, "P")
	if !ok || s == "" {
		return false
	}
	if w, ok := strings.CutSuffix(s, "W"); ok {
		return digitsOnly(w)
	}
	run := func(s, units string) bool {
		next := -1
		for s != "" {
			i := strings.IndexAny(s, units)
			if i < 1 || !digitsOnly(s[:i]) {
				return false
			}
			u := strings.IndexByte(units, s[i])
			if next >= 0 && u != next {
				return false
			}
			next, s = u+1, s[i+1:]
		}
		return true
	}
	date, clock, hasClock := strings.Cut(s, "T")
	return run(date, "YMD") && (!hasClock || clock != "" && run(clock, "HMS"))
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4() && digitsOnly(s[:1])
}

// isEmail is Mailbox of RFC 5321 section 4.1.2, or with idn of RFC 6531.
func isEmail(s string, idn bool) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || len(s) > 254 && !idn || at > 64 {
		return false
	}
	local, domain := s[:at], s[at+1:]
	if len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"' {
		for i := 1; i < len(local)-1; i++ {
			switch c := local[i]; {
			case c == '"' || c < ' ' || c == 0x7f || c >= 0x80 && !idn:
				return false
			case c == '\\':
				if i++; i == len(local)-1 {
					return false
				}
			}
		}
	} else {
		for atom := range strings.SplitSeq(local, ".") {
			if atom == "" {
				return false
			}
			for i := range len(atom) {
				if c := atom[i]; !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(c)) && (c < 0x80 || !idn) {
					return false
				}
			}
		}
	}
	if lit, ok := strings.CutPrefix(domain, "["); ok {
		lit, ok = strings.CutSuffix(lit, "]")
		if v6, is6 := strings.CutPrefix(lit, "IPv6:"); is6 {
			a, err := netip.ParseAddr(v6)
			return ok && err == nil && a.Is6() && a.Zone() == ""
		}
		return ok && isIPv4(lit)
	}
	if idn {
		// Labels beyond ASCII are taken as they come.
		domain = strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return 'x'
			}
			return r
		}, domain)
	}
	return isHostname(domain)
}

// The characters of RFC 3986 that may stand unescaped, by component.
const (
	subDelims  = "!$&'()*+,;="
	inUserinfo = "-._~:" + subDelims
	inPath     = inUserinfo + "@/"
	inQuery    = inPath + "?"
)

// isURI is URI or URI-reference of RFC 3986, or their kin of RFC 3987.
func isURI(s string, iri, absolute bool) bool {
	rest, fragment, _ := strings.Cut(s, "#")
	rest, query, _ := strings.Cut(rest, "?")
	if !uriChars(fragment, inQuery, iri, false) || !uriChars(query, inQuery, iri, true) {
		return false
	}
	if i := strings.IndexAny(rest, ":/"); i >= 0 && rest[i] == ':' {
		if !isScheme(rest[:i]) {
			return false // also a first segment with a colon, which has no reading
		}
		rest = rest[i+1:]
	} else if absolute {
		return false
	}
	if auth, ok := strings.CutPrefix(rest, "//"); ok {
		rest = ""
		if i := strings.IndexByte(auth, '/'); i >= 0 {
			auth, rest = auth[:i], auth[i:]
		}
		if !isAuthority(auth, iri) {
			return false
		}
	}
	return uriChars(rest, inPath, iri, false)
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !alphanumeric(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

func isAuthority(s string, iri bool) bool {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if !uriChars(s[:i], inUserinfo, iri, false) {
			return false
		}
		s = s[i+1:]
	}
	if lit, ok := strings.CutPrefix(s, "["); ok {
		lit, port, ok := strings.Cut(lit, "]")
		if !ok || port != "" && (port[0] != ':' || port != ":" && !digitsOnly(port[1:])) {
			return false
		}
		if lit != "" && lit[0]|0x20 == 'v' { // IPvFuture
			version, addr, ok := strings.Cut(lit[1:], ".")
			return ok && version != "" && strings.Trim(version, "0123456789abcdefABCDEF") == "" &&
				addr != "" && uriChars(addr, inUserinfo, false, false) && !strings.Contains(addr, "%")
		}
		a, err := netip.ParseAddr(lit)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	host, port, ok := strings.Cut(s, ":")
	if ok && port != "" && !digitsOnly(port) {
		return false
	}
	return uriChars(host, "-._~"+subDelims, iri, false)
}

// uriChars reports whether s holds only letters, digits, those given, and
// percent-encoded bytes; with iri also what RFC 3987 section 2.2 adds, in a
// query private-use characters too.
func uriChars(s, also string, iri, query bool) bool {
	for i, r := range s {
		switch {
		case r < 0x80 && alphanumeric(byte(r)) || strings.ContainsRune(also, r):
		case r == '%':
			if i+2 >= len(s) || strings.Trim(s[i+1:i+3], "0123456789abcdefABCDEF") != "" {
				return false
			}
		case !iri || r < 0xA0:
			return false
		case r <= 0xD7FF, 0xF900 <= r && r <= 0xFDCF, 0xFDF0 <= r && r <= 0xFFEF:
		case 0x10000 <= r && r < 0xF0000 && r&0xFFFF <= 0xFFFD:
		case query && (0xE000 <= r && r <= 0xF8FF || 0xF0000 <= r && r&0xFFFF <= 0xFFFD):
		default:
			return false
		}
	}
	return true
}

// isURITemplate is RFC 6570 section 2.
func isURITemplate(s string) bool {
	for s != "" {
		lit, rest, open := strings.Cut(s, "{")
		for i, r := range lit {
			if r <= ' ' || r == 0x7f || strings.ContainsRune("\"<>\\^`|}", r) {
				return false
			}
			if r == '%' && !uriChars(lit[i:min(i+3, len(lit))], "", false, false) {
				return false
			}
		}
		if !open {
			return true
		}
		expr, after, closed := strings.Cut(rest, "}")
		if !closed || expr == "" {
			return false
		}
		if strings.IndexByte("+#./;?&", expr[0]) >= 0 {
			expr = expr[1:]
		}
		for spec := range strings.SplitSeq(expr, ",") {
			if !isVarspec(spec) {
				return false
			}
		}
		s = after
	}
	return true
}

func isVarspec(s string) bool {
	s = strings.TrimSuffix(s, "*")
	if name, prefix, ok := strings.Cut(s, ":"); ok {
		if len(prefix) > 4 || !digitsOnly(prefix) || prefix[0] == '0' {
			return false
		}
		s = name
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || !uriChars(part, "_", false, false) {
			return false
		}
	}
	return true
}
