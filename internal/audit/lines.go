package audit

import (
	"bytes"
	"fmt"
	"strconv"
)

// How a line of a chunk or an events file is spelt. Tokens are made of
// characters that JSON does not escape, so the lines can be cut with a ruler.
const (
	entryStart  = `{"entry":`
	entryMiddle = `,"token":"`
	eventStart  = `{"token":"`
	lineEnd     = "\"}\n"
)

// cutEntry takes one line off a chunk. The token shares memory with b.
func cutEntry(b []byte) (e Entry, rest []byte, err error) {
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	body, ok2 := bytes.CutPrefix(line, []byte(entryStart))
	digits, token, ok3 := bytes.Cut(body, []byte(entryMiddle))
	token, ok4 := bytes.CutSuffix(token, []byte(lineEnd[:2]))
	if !ok || !ok2 || !ok3 || !ok4 || !isToken(token) {
		return Entry{}, rest, fmt.Errorf("line is not %s…%s…%s", entryStart, entryMiddle, lineEnd[:2])
	}
	e.Index, err = strconv.ParseUint(string(digits), 10, 63)
	if err != nil || strconv.FormatUint(e.Index, 10) != string(digits) {
		return Entry{}, rest, fmt.Errorf("line has no log index")
	}
	e.Token = token
	return e, rest, nil
}

// cutEvent returns the event in one line of an events file, which includes its
// line feed. The result shares memory with line.
func cutEvent(line []byte) ([]byte, bool) {
	b, ok := bytes.CutPrefix(line, []byte(eventStart))
	b, ok2 := bytes.CutSuffix(b, []byte(lineEnd))
	return b, ok && ok2 && isToken(b)
}

// isToken reports whether b has only the characters of a compact token, none
// of which JSON escapes.
func isToken(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != '~' {
			return false
		}
	}
	return len(b) > 0
}
