package agreement

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A Digest is the SHA-256 of an agreement's canonical bytes, which is what the
// parties sign. It prints as 64 lower-case hexadecimal digits, as sha256sum
// prints it.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads the 64 hexadecimal digits that String prints.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) || strings.ToLower(s) != s {
		return d, errors.New("want 64 lower-case hexadecimal digits")
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, errors.New("want 64 lower-case hexadecimal digits")
	}
	return d, nil
}

// Digest returns the SHA-256 of Canonical.
func (a *Agreement) Digest() Digest { return sha256.Sum256(a.Canonical()) }

// Canonical returns the bytes that the parties sign; see the package comment.
func (a *Agreement) Canonical() []byte {
	b, err := strictjson.AppendJCS(nil, a.document())
	if err != nil {
		// Only texts that are not UTF-8 can fail, which no reader lets in.
		panic("internal error: agreement has no canonical form: " + err.Error())
	}
	return b
}

// document returns the agreement as a JSON value.
func (a *Agreement) document() map[string]any {
	doc := make(map[string]any, len(headings))
	for _, h := range headings {
		v := h.get(a)
		if h.optional && v.empty() {
			continue
		}
		in, key := doc, h.key
		if group, sub, ok := strings.Cut(h.key, "/"); ok {
			m, _ := doc[group].(map[string]any)
			if m == nil {
				m = make(map[string]any)
				doc[group] = m
			}
			in, key = m, sub
		}
		switch h.kind {
		case isText:
			in[key] = v.text
		case isNumber:
			in[key] = json.Number(v.text)
		case isList:
			list := make([]any, len(v.list))
			for i, s := range v.list {
				list[i] = s
			}
			in[key] = list
		case isTable:
			t := make(map[string]any, len(v.table))
			for k, s := range v.table {
				t[k] = s
			}
			in[key] = t
		}
	}
	return doc
}

// ParseCanonical reads canonical bytes. What it accepts, Canonical prints
// again byte for byte; anything else is refused with an error wrapping
// [ErrDocument]. It accepts an agreement with empty headings.
func ParseCanonical(b []byte) (*Agreement, error) {
	if len(b) > MaxDocument {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDocument, MaxDocument)
	}
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: MaxDocument, Depth: 4, StringLen: MaxText})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	a, err := fromDocument(v)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(a.Canonical(), b) {
		return nil, fmt.Errorf("%w: not in canonical form (RFC 8785)", ErrDocument)
	}
	return a, nil
}

// fromDocument reads a JSON value as strictjson decodes it. It is lenient
// about members left out: whoever needs one spelling compares Canonical.
func fromDocument(v any) (*Agreement, error) {
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: not an object", ErrDocument)
	}
	flat := make(map[string]any, len(doc))
	for k, v := range doc {
		sub, isMap := v.(map[string]any)
		if _, isGroup := groups[k]; !isGroup {
			flat[k] = v
		} else if !isMap {
			return nil, fmt.Errorf("%w: %s: want an object", ErrDocument, k)
		} else {
			for s, v := range sub {
				flat[k+"/"+s] = v
			}
		}
	}
	values := make(map[string]value, len(flat))
	for k, v := range flat {
		h, ok := headingFor(k)
		if !ok {
			return nil, fmt.Errorf("%w: unknown heading", ErrDocument)
		}
		val, ok := fromJSON(h.kind, v)
		if !ok {
			return nil, fmt.Errorf("%w: %s: want %s", ErrDocument, k, h.kind)
		}
		values[k] = val
	}
	a := new(Agreement)
	if err := a.read(values, func(string) string { return "" }); err != nil {
		return nil, err
	}
	return a, nil
}

func fromJSON(k kind, v any) (out value, ok bool) {
	switch k {
	case isText:
		out.text, ok = v.(string)
	case isNumber:
		var n json.Number
		n, ok = v.(json.Number)
		out.text = n.String()
	case isList:
		var list []any
		list, ok = v.([]any)
		for _, e := range list {
			s, isString := e.(string)
			ok = ok && isString
			out.list = append(out.list, s)
		}
	case isTable:
		var m map[string]any
		m, ok = v.(map[string]any)
		out.table = make(map[string]string, len(m))
		for k, e := range m {
			s, isString := e.(string)
			ok = ok && isString
			out.table[k] = s
		}
	}
	return out, ok
}

// groups holds the headings that contain others.
var groups = func() map[string]bool {
	m := make(map[string]bool)
	for _, h := range headings {
		if g, _, ok := strings.Cut(h.key, "/"); ok {
			m[g] = true
		}
	}
	return m
}()

func headingFor(key string) (heading, bool) {
	for _, h := range headings {
		if h.key == key {
			return h, true
		}
	}
	return heading{}, false
}
