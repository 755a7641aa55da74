package tufdir

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A header is what is read of a metadata file before go-tuf reads it.
type header struct {
	typ     string
	version int64
}

// vet reads a metadata file strictly: JSON that every program reads alike, of
// the shape that TUF section 4 gives every file, and without null, which
// go-tuf takes for a pointer and follows. It does not look at signatures.
func vet(b []byte, limit int64) (h header, err error) {
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: int(limit), Depth: 32, Values: 2_000_000, StringLen: 64 << 10})
	if err != nil {
		return h, err
	}
	m, _ := v.(map[string]any)
	signed, _ := m["signed"].(map[string]any)
	if _, ok := m["signatures"].([]any); signed == nil || !ok {
		return h, errors.New("want an object with signed and signatures")
	}
	h.typ, _ = signed["_type"].(string)
	num, _ := signed["version"].(json.Number)
	if h.version, err = num.Int64(); err != nil || h.version < 1 {
		return h, errors.New("want a version from 1")
	}
	if _, ok := signed["expires"].(string); !ok {
		return h, errors.New("want a time of expiry")
	}
	if holdsNull(m) {
		return h, errors.New("want no null")
	}
	return h, nil
}

// holdsNull looks for null everywhere but in what applications put into
// "custom". The depth is bounded by vet's limits.
func holdsNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		for _, e := range v {
			if holdsNull(e) {
				return true
			}
		}
	case map[string]any:
		for k, e := range v {
			if k != "custom" && holdsNull(e) {
				return true
			}
		}
	}
	return false
}

// guard runs f, which calls go-tuf with foreign bytes, and turns a panic into
// an error. go-tuf v2.4.2 panics on, for example, an Ed25519 key of the wrong
// length that is rightly signed for: a standards body's fault that should cost
// nobody else anything.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: not metadata that can be checked", ErrFormat)
		}
	}()
	return f()
}

// reason finds which of this package's errors err is. Versions are left to
// the caller, who knows what the number was compared with.
func reason(err error) error {
	for _, own := range []error{ErrFormat, ErrMissing, ErrUnreachable, ErrTooLong, ErrExpired, ErrRollback, ErrMix} {
		if errors.Is(err, own) {
			return own
		}
	}
	switch {
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return ErrExpired
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return ErrSignatures
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}):
		return ErrMismatch
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return ErrMix
	}
	return ErrFormat
}
