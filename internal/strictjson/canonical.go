package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Canonical returns v in the one form this project prints: members sorted by
// the UTF-16 code units of their names and strings escaped as RFC 8785 section
// 3.2 says, no space, number tokens exactly as given. For every text b that
// [Decode] accepts, Canonical of the result decodes to an equal value and
// prints as itself.
func Canonical(v any) []byte { return AppendCanonical(nil, v) }

// AppendCanonical appends the canonical form of v to dst and returns it.
//
// Beside what [Decode] returns it takes int, int64 and uint64, printed in
// decimal. Strings must be UTF-8. Any other type is a fault of the caller and
// panics, float64 among them: a float has no token to keep.
func AppendCanonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return AppendString(dst, v)
	case json.Number:
		return append(dst, v...)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendCanonical(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		var room [24]string
		dst = append(dst, '{')
		for i, k := range sortedKeys(room[:0], v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, k), ':')
			dst = AppendCanonical(dst, v[k])
		}
		return append(dst, '}')
	}
	panic(fmt.Sprintf("internal error: strictjson cannot print a %T", v))
}

func sortedKeys(room []string, m map[string]any) []string {
	for k := range m {
		room = append(room, k)
	}
	slices.SortFunc(room, compareUTF16)
	return room
}

// compareUTF16 orders two UTF-8 strings by UTF-16 code units (RFC 8785 section
// 3.2.3). That is the order of their bytes, except that a character beyond
// U+FFFF begins with a surrogate, which sorts before U+E000 to U+FFFF. In
// UTF-8 the former begin with a byte from F0, the latter with EE or EF.
func compareUTF16(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := a[i], b[i]; x != y {
			if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
				x, y = y, x
			}
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

// AppendString appends s as a JSON string, escaped as RFC 8785 section 3.2.2.2
// says: only quotation mark, backslash and the controls below U+0020, the
// shortest way. s must be UTF-8.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// ErrNotJCS is wrapped by every error of [AppendJCS].
var ErrNotJCS = errors.New("value has no RFC 8785 form")

// AppendJCS appends v in the JSON Canonicalization Scheme, RFC 8785: as
// [AppendCanonical], but every number printed as ECMAScript prints the nearest
// float64 (RFC 8785 section 3.2.2.3), so 1.0 and 1e0 both become 1.
//
// It takes the types of AppendCanonical and float64. It returns dst unchanged
// and an error wrapping [ErrNotJCS] for a number that is not finite, an int
// beyond ±(2^53−1), a string that is not UTF-8, or any other type.
func AppendJCS(dst []byte, v any) ([]byte, error) {
	out, err := appendJCS(dst, v)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendJCS(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil, bool:
		return AppendCanonical(dst, v), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("%w: a string is not UTF-8", ErrNotJCS)
		}
		return AppendString(dst, v), nil
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return nil, fmt.Errorf("%w: a number does not fit a 64-bit float", ErrNotJCS)
		}
		return appendES6(dst, f)
	case float64:
		return appendES6(dst, v)
	case int:
		return appendInt(dst, int64(v))
	case int64:
		return appendInt(dst, v)
	case uint64:
		if v > maxSafe {
			return appendInt(dst, math.MaxInt64)
		}
		return appendInt(dst, int64(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJCS(dst, e); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range sortedKeys(nil, v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJCS(dst, k); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
			if dst, err = appendJCS(dst, v[k]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, fmt.Errorf("%w: no JSON for a %T", ErrNotJCS, v)
}

func appendInt(dst []byte, n int64) ([]byte, error) {
	if n > maxSafe || n < -maxSafe {
		return nil, fmt.Errorf("%w: an integer is beyond 2^53-1", ErrNotJCS)
	}
	return strconv.AppendInt(dst, n, 10), nil
}

// appendES6 prints f as ECMAScript Number::toString does (ECMA-262 section
// 6.1.6.1.20): the fewest digits that read back as f; plain notation from 1e-6
// up to but not at 1e21; a sign but no leading zeros on the exponent.
func appendES6(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%w: a number is not finite", ErrNotJCS)
	}
	if f == 0 {
		return append(dst, '0'), nil // minus zero too
	}
	if a := math.Abs(f); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes at least two digits of exponent: e-07.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst, nil
}
