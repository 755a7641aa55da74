package opinion

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/stile-exchange/stile/internal/strictjson"
)

var errToken = errors.New("not a token")

var b64 = base64.RawURLEncoding

// maxParts bounds the disclosures of a token.
const maxParts = 100_000

// A shown is a token taken apart: its payload, and its disclosures by digest.
type shown struct {
	standard string
	body     map[string]any // with its digests
	parts    map[string]any // by digest in base64url: an array of two or three
	used     int
}

// limits are wide: the ledger has set the narrow ones.
var limits = strictjson.Limits{Bytes: 64 << 20, Depth: 200, Values: 2_000_000, StringLen: 16 << 20}

// open takes a token apart: payload and disclosures, of which nothing else of it is looked at.
func open(token []byte) (*shown, error) {
	head, rest, ok := bytes.Cut(token, []byte("~"))
	if !ok || len(rest) > 0 && rest[len(rest)-1] != '~' {
		return nil, errToken
	}
	_, payload, ok := bytes.Cut(head, []byte("."))
	if !ok {
		return nil, errToken
	}
	if payload, _, ok = bytes.Cut(payload, []byte(".")); !ok {
		return nil, errToken
	}
	v, err := decode(payload)
	if err != nil {
		return nil, err
	}
	claims, ok := v.(map[string]any)
	if !ok {
		return nil, errToken
	}
	s := new(shown)
	s.standard, _ = claims["std"].(string)
	if s.body, ok = claims["body"].(map[string]any); !ok {
		return nil, errToken // a record that is deleted leaves as an event
	}
	n := bytes.Count(rest, []byte("~"))
	if n > maxParts {
		return nil, errToken
	}
	s.parts = make(map[string]any, n)
	for len(rest) > 0 {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte("~"))
		v, err := decode(part)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(part)
		digest := b64.EncodeToString(sum[:])
		if _, twice := s.parts[digest]; twice {
			return nil, errToken
		}
		s.parts[digest] = v
	}
	return s, nil
}

func decode(part []byte) (any, error) {
	text := make([]byte, b64.DecodedLen(len(part)))
	n, err := b64.Decode(text, part)
	if err != nil {
		return nil, errToken
	}
	v, err := strictjson.Decode(text[:n], limits)
	if err != nil {
		return nil, errToken
	}
	return v, nil
}

// member returns the name and the value that a digest stands for; ok is false when it is
// withheld. A disclosure is taken once.
func (s *shown) member(digest any) (key string, value any, ok bool, err error) {
	part, ok, err := s.take(digest, 3)
	if !ok || err != nil {
		return "", nil, false, err
	}
	if key, ok = part[1].(string); !ok {
		return "", nil, false, errToken
	}
	return key, part[2], true, nil
}

// element is member for an element of an array, which has no name.
func (s *shown) element(digest any) (value any, ok bool, err error) {
	part, ok, err := s.take(digest, 2)
	if !ok || err != nil {
		return nil, false, err
	}
	return part[1], true, nil
}

func (s *shown) take(digest any, length int) ([]any, bool, error) {
	d, ok := digest.(string)
	if !ok {
		return nil, false, errToken
	}
	v, ok := s.parts[d]
	if !ok {
		return nil, false, nil
	}
	part, ok := v.([]any)
	if !ok || len(part) != length {
		return nil, false, errToken // of another kind, or taken before
	}
	s.parts[d] = nil
	s.used++
	return part, true, nil
}
