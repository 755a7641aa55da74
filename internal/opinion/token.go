package opinion

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/strictjson"
)

var errToken = errors.New("not a token")

var b64 = base64.RawURLEncoding

// maxParts bounds the disclosures of a token.
const maxParts = 100_000

// A shown is a token taken apart: its payload, and its disclosures.
type shown struct {
	standard string
	body     map[string]any // with its digests
	digests  string         // of parts, in base64url, end to end
	parts    [][]byte       // the JSON of each; nil once it was taken
	index    map[string]int // of a digest; nil for few
	used     int
}

const (
	digestLen = 43
	few       = 24 // disclosures that are looked through one by one
)

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
	// All that is decoded stands in one piece of memory.
	n := bytes.Count(rest, []byte("~"))
	if n > maxParts {
		return nil, errToken
	}
	room := make([]byte, 0, len(token))
	text, room, err := decode(room, payload)
	if err != nil {
		return nil, err
	}
	v, err := strictjson.Decode(text, limits)
	if err != nil {
		return nil, errToken
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
	s.parts = make([][]byte, 0, n)
	digests := make([]byte, 0, n*digestLen)
	for len(rest) > 0 {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte("~"))
		if text, room, err = decode(room, part); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(part)
		digests = b64.AppendEncode(digests, sum[:])
		s.parts = append(s.parts, text)
	}
	s.digests = string(digests)
	if n > few {
		s.index = make(map[string]int, n)
		for i := range s.parts {
			s.index[s.digest(i)] = i // of two that are the same one is left over
		}
	}
	return s, nil
}

func (s *shown) digest(i int) string { return s.digests[i*digestLen : (i+1)*digestLen] }

func (s *shown) find(digest string) int {
	if s.index != nil {
		if i, ok := s.index[digest]; ok {
			return i
		}
		return -1
	}
	for i := range s.parts {
		if s.digest(i) == digest {
			return i
		}
	}
	return -1
}

// decode decodes a part of a token behind what is in room.
func decode(room, part []byte) (text, rest []byte, err error) {
	from := len(room)
	room, err = b64.AppendDecode(room, part)
	if err != nil {
		return nil, nil, errToken
	}
	return room[from:len(room):len(room)], room, nil
}

// member returns the name and the value that a digest stands for; ok is false when it is
// withheld. A disclosure is taken once.
func (s *shown) member(digest any) (key string, value any, ok bool, err error) {
	text, err := s.take(digest)
	if text == nil || err != nil {
		return "", nil, false, err
	}
	_, rest, ok := plainText(text[1:])
	if ok && rest[0] == ',' {
		if key, rest, ok = plainText(rest[1:]); ok && rest[0] == ',' {
			value, err = valueOf(rest[1 : len(rest)-1])
			return key, value, err == nil, err
		}
	}
	list, err := listOf(text, 3)
	if err != nil {
		return "", nil, false, err
	}
	if key, ok = list[1].(string); !ok {
		return "", nil, false, errToken
	}
	return key, list[2], true, nil
}

// element is member for an element of an array, which has no name.
func (s *shown) element(digest any) (value any, ok bool, err error) {
	text, err := s.take(digest)
	if text == nil || err != nil {
		return nil, false, err
	}
	list, err := listOf(text, 2)
	if err != nil {
		return nil, false, err
	}
	return list[1], true, nil
}

func listOf(text []byte, length int) ([]any, error) {
	v, err := strictjson.Decode(text, limits)
	list, ok := v.([]any)
	if err != nil || !ok || len(list) != length {
		return nil, errToken
	}
	return list, nil
}

// plainText reads a JSON string without escapes at the start of a text. Behind it there is
// always something.
func plainText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != '"' {
		return "", nil, false
	}
	n := bytes.IndexByte(b[1:], '"')
	if n < 0 || n+2 >= len(b) || bytes.IndexByte(b[1:n+1], '\\') >= 0 || !utf8.Valid(b[1:n+1]) {
		return "", nil, false
	}
	return string(b[1 : n+1]), b[n+2:], true
}

// valueOf reads a JSON value.
func valueOf(b []byte) (any, error) {
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' && bytes.IndexByte(b[1:n-1], '"') < 0 && bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) {
		return string(b[1 : n-1]), nil
	}
	v, err := strictjson.Decode(b, limits)
	if err != nil {
		return nil, errToken
	}
	return v, nil
}

// take returns the text of the disclosure that has a digest, nil when it is withheld.
func (s *shown) take(digest any) ([]byte, error) {
	d, ok := digest.(string)
	if !ok {
		return nil, errToken
	}
	i := s.find(d)
	if i < 0 {
		return nil, nil
	}
	text := s.parts[i]
	if n := len(text); n < 2 || text[0] != '[' || text[n-1] != ']' {
		return nil, errToken // taken before, or no array
	}
	s.parts[i] = nil
	s.used++
	return text, nil
}
