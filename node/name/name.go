// Package name says what things are called: councils, records, standards,
// agreements and the fields of a record, each with its grammar.
//
// Every type is a comparable value, prints as the text users type, and is read
// back by the matching Parse function. A value of these types that came from a
// Parse function obeys the grammar; a conversion from a bare string does not
// check it.
package name

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrInvalid is wrapped by every error of this package.
var ErrInvalid = errors.New("invalid name")

func invalid(kind, s, want string) error {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Errorf("%w: %s %q: want %s", ErrInvalid, kind, s, want)
}

// A Council names a member organisation by its DNS domain in lower case, such
// as "northmoor.gov.uk": two or more labels of a-z, 0-9 and "-" (RFC 1123
// section 2.1), at most 253 bytes.
type Council string

// ParseCouncil reads a council's domain.
func ParseCouncil(s string) (Council, error) {
	const want = "a domain in lower case, such as northmoor.gov.uk"
	if len(s) == 0 || len(s) > 253 {
		return "", invalid("council", s, want)
	}
	labels := strings.Split(s, ".")
	if len(labels) < 2 {
		return "", invalid("council", s, want)
	}
	for _, l := range labels {
		if !label(l) {
			return "", invalid("council", s, want)
		}
	}
	return Council(s), nil
}

func label(l string) bool {
	if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := 0; i < len(l); i++ {
		c := l[i]
		if c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Issuer returns the council as the "iss" claim of its tokens,
// "https://" followed by the domain.
func (c Council) Issuer() string { return "https://" + string(c) }

// ParseIssuer reads an "iss" claim back into the council it names.
func ParseIssuer(s string) (Council, error) {
	d, ok := strings.CutPrefix(s, "https://")
	if !ok {
		return "", invalid("issuer", s, "https:// and a council's domain")
	}
	return ParseCouncil(d)
}

// Origin returns the origin line of the council's log (c2sp.org/tlog-checkpoint).
func (c Council) Origin() string { return string(c) + "/stile" }

// A Record is the opaque 26-character id of one record of one council:
// 16 bytes in lower-case base32 without padding (RFC 4648 section 6).
type Record string

var recordEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// RecordFrom returns the id that spells the 16 bytes b.
func RecordFrom(b [16]byte) Record { return Record(recordEncoding.EncodeToString(b[:])) }

// ParseRecord reads a record id; it accepts only the one spelling that
// RecordFrom prints.
func ParseRecord(s string) (Record, error) {
	const want = "26 characters of a-z and 2-7"
	if len(s) != 26 {
		return "", invalid("record", s, want)
	}
	var b [16]byte
	if n, err := recordEncoding.Decode(b[:], []byte(s)); err != nil || n != 16 || RecordFrom(b) != Record(s) {
		return "", invalid("record", s, want)
	}
	return Record(s), nil
}

// Bytes returns the 16 bytes of a record id. The id must be a parsed one.
func (r Record) Bytes() (b [16]byte) {
	if _, err := recordEncoding.Decode(b[:], []byte(r)); err != nil {
		panic("internal error: record id was not parsed: " + strconv.Quote(string(r)))
	}
	return b
}

// A StandardName names a standard without its version: the publisher's domain,
// a slash and a slug, such as "standards.example/housing-need".
type StandardName string

// ParseStandardName reads "publisher/name".
func ParseStandardName(s string) (StandardName, error) {
	if _, _, ok := domainAndSlug(s); !ok {
		return "", invalid("standard", s, "publisher/name, such as standards.example/housing-need")
	}
	return StandardName(s), nil
}

// Publisher returns the body that publishes the standard.
func (n StandardName) Publisher() Council {
	p, _, _ := strings.Cut(string(n), "/")
	return Council(p)
}

// Slug returns the part of the name after the publisher.
func (n StandardName) Slug() string {
	_, s, _ := strings.Cut(string(n), "/")
	return s
}

func domainAndSlug(s string) (Council, string, bool) {
	d, slug, ok := strings.Cut(s, "/")
	if !ok || !label(slug) {
		return "", "", false
	}
	c, err := ParseCouncil(d)
	return c, slug, err == nil
}

// A Version is a semantic version without pre-release or build parts
// (semver.org 2.0.0 section 2). Each part is at most 999999.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads "1.2.0".
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return Version{}, invalid("version", s, "three numbers, such as 1.2.0")
	}
	var n [3]int
	for i, p := range parts {
		v, ok := smallNumber(p)
		if !ok {
			return Version{}, invalid("version", s, "three numbers, such as 1.2.0")
		}
		n[i] = v
	}
	return Version{n[0], n[1], n[2]}, nil
}

func smallNumber(s string) (int, bool) {
	if len(s) == 0 || len(s) > 6 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// Compare returns -1, 0 or +1 as v is before, the same as or after w.
func (v Version) Compare(w Version) int {
	for _, d := range []int{v.Major - w.Major, v.Minor - w.Minor, v.Patch - w.Patch} {
		if d < 0 {
			return -1
		}
		if d > 0 {
			return 1
		}
	}
	return 0
}

// A Standard names one version of a standard: "standards.example/housing-need@1.2.0".
type Standard struct {
	Name    StandardName
	Version Version
}

// ParseStandard reads "publisher/name@1.2.0".
func ParseStandard(s string) (Standard, error) {
	n, v, ok := strings.Cut(s, "@")
	if !ok {
		return Standard{}, invalid("standard", s, "publisher/name@version")
	}
	sn, err := ParseStandardName(n)
	if err != nil {
		return Standard{}, err
	}
	sv, err := ParseVersion(v)
	if err != nil {
		return Standard{}, err
	}
	return Standard{sn, sv}, nil
}

func (s Standard) String() string { return string(s.Name) + "@" + s.Version.String() }

// MeantBy reports whether somebody who typed want can mean this version: the name
// of the standard, whole or its last part, and after an @ the version or its major.
func (s Standard) MeantBy(want string) bool {
	bare, version, versioned := strings.Cut(want, "@")
	if bare != string(s.Name) && bare != s.Name.Slug() {
		return false
	}
	return !versioned || version == s.Version.String() || version == strconv.Itoa(s.Version.Major)
}

// Line returns the major line the version belongs to.
func (s Standard) Line() StandardLine { return StandardLine{s.Name, s.Version.Major} }

// MarshalText prints the name; it never fails.
func (s Standard) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name.
func (s *Standard) UnmarshalText(b []byte) (err error) {
	*s, err = ParseStandard(string(b))
	return err
}

// A StandardLine names every version of a standard that shares a major number,
// which is what an agreement speaks of: "standards.example/housing-need@1".
type StandardLine struct {
	Name  StandardName
	Major int
}

// ParseStandardLine reads "publisher/name@1".
func ParseStandardLine(s string) (StandardLine, error) {
	n, v, ok := strings.Cut(s, "@")
	if !ok {
		return StandardLine{}, invalid("standard", s, "publisher/name@major")
	}
	sn, err := ParseStandardName(n)
	if err != nil {
		return StandardLine{}, err
	}
	m, ok := smallNumber(v)
	if !ok {
		return StandardLine{}, invalid("standard", s, "publisher/name@major")
	}
	return StandardLine{sn, m}, nil
}

func (l StandardLine) String() string { return string(l.Name) + "@" + strconv.Itoa(l.Major) }

// MarshalText prints the name; it never fails.
func (l StandardLine) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name.
func (l *StandardLine) UnmarshalText(b []byte) (err error) {
	*l, err = ParseStandardLine(string(b))
	return err
}

// An Agreement names an agreement: the domain of the council that drew it up,
// a slash and a slug, such as "northmoor.gov.uk/people-moving-to-saltby".
type Agreement string

// ParseAgreement reads "council/slug".
func ParseAgreement(s string) (Agreement, error) {
	if _, _, ok := domainAndSlug(s); !ok {
		return "", invalid("agreement", s, "council/name, such as northmoor.gov.uk/people-moving-to-saltby")
	}
	return Agreement(s), nil
}

// Council returns the council that drew the agreement up.
func (a Agreement) Council() Council {
	c, _, _ := strings.Cut(string(a), "/")
	return Council(c)
}
