package name

import (
	"strings"
	"unicode/utf8"
)

// A Field names a place in a record: a JSON Pointer (RFC 6901) in which a
// token "*" stands for every element of an array, such as "/applicant/name" or
// "/documents/*/title". The empty field is the whole record. A member whose
// own name is "*" cannot be named.
type Field string

// Limits on a field: bytes, and tokens deep.
const (
	MaxFieldLen   = 512
	MaxFieldDepth = 32
)

// ParseField reads a field.
func ParseField(s string) (Field, error) {
	const want = "a JSON Pointer, such as /applicant/name"
	if len(s) > MaxFieldLen || !utf8.ValidString(s) {
		return "", invalid("field", s, want)
	}
	if s == "" {
		return "", nil
	}
	if s[0] != '/' || strings.Count(s, "/") > MaxFieldDepth {
		return "", invalid("field", s, want)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 {
			return "", invalid("field", s, want)
		}
		if s[i] == '~' && (i+1 == len(s) || (s[i+1] != '0' && s[i+1] != '1')) {
			return "", invalid("field", s, want)
		}
	}
	return Field(s), nil
}

// Tokens returns the unescaped reference tokens; nil for the whole record.
func (f Field) Tokens() []string {
	if f == "" {
		return nil
	}
	toks := strings.Split(string(f[1:]), "/")
	for i, t := range toks {
		toks[i] = unescape(t)
	}
	return toks
}

// Child returns the field one token below f.
func (f Field) Child(token string) Field { return f + Field("/"+Escape(token)) }

// Under reports whether f is g or lies below it.
func (f Field) Under(g Field) bool {
	return f == g || (strings.HasPrefix(string(f), string(g)) && (g == "" || f[len(g)] == '/'))
}

// Escape returns token as it stands in a JSON Pointer (RFC 6901 section 3).
func Escape(token string) string {
	if !strings.ContainsAny(token, "~/") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

func unescape(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}
