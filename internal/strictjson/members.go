package strictjson

import (
	"bytes"
	"errors"
	"slices"
)

// ErrNoObject says that a text is not an object as [Canonical] prints it.
var ErrNoObject = errors.New("read json: not an object in canonical form")

// Members reads the named members of an object that [Canonical] printed, and steps
// over the others without looking into them. Of such a text it returns what [Decode]
// does, with the other members left out. Of a text that is something else it returns
// an error or what it took for the members: it is for what this program has printed
// itself, not for what came from outside.
func Members(canon []byte, names []string, lim Limits) (map[string]any, error) {
	if len(canon) < 2 || canon[0] != '{' || canon[len(canon)-1] != '}' {
		return nil, ErrNoObject
	}
	lim = lim.orDefault()
	out := make(map[string]any, len(names))
	for i := 1; i < len(canon)-1; {
		start := i
		i = afterString(canon, i)
		if i < 0 || i >= len(canon) || canon[i] != ':' {
			return nil, ErrNoObject
		}
		key := canon[start+1 : i-1]
		from := i + 1
		i = afterValue(canon, from)
		if i < 0 || i >= len(canon) || (canon[i] != ',' && i != len(canon)-1) {
			return nil, ErrNoObject
		}
		at := -1
		if bytes.IndexByte(key, '\\') < 0 {
			at = slices.IndexFunc(names, func(n string) bool { return n == string(key) })
		} else if k, err := Decode(canon[start:from-1], lim); err != nil {
			return nil, err
		} else {
			at = slices.Index(names, k.(string))
		}
		if at >= 0 {
			d := decoder{lim: lim, depth: lim.Depth, values: lim.Values} // most are scalars: no stack
			v, err := d.text(canon[from:i])
			if err != nil {
				return nil, err
			}
			if out[names[at]] = v; len(out) == len(names) {
				break
			}
		}
		i++
	}
	return out, nil
}

// afterString returns where the string that begins at i has ended, -1 when none does.
func afterString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		end := i + n
		back := end
		for back > i && b[back-1] == '\\' {
			back--
		}
		if i = end + 1; (end-back)%2 == 0 {
			return i
		}
	}
	return -1
}

// afterValue returns where the value that begins at i has ended, -1 when none does.
func afterValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = afterString(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}
