package intake

import (
	"fmt"
	"io"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// elements reads the records of one JSON text as a stream: it finds where
// each element of the array begins and ends by its brackets and strings, and
// leaves the reading to the strict reader, so that a fault inside one element
// does not hide the next.
type elements struct {
	src   *source
	at    []string   // the way to the array
	where name.Field // the same, for messages
	state int
	n     int  // elements handed out
	torn  bool // the file ended inside the array, and a row has said so
}

const (
	atStart = iota
	inArray // the next thing is an element or the end of the array
	afterElement
	atEnd
)

func (e *elements) next() (Raw, error) {
	for {
		switch e.state {
		case atStart:
			if raw, done, err := e.begin(); done || err != nil {
				return raw, err
			}
		case inArray, afterElement:
			c, err := e.peek()
			if err != nil {
				return Raw{}, err
			}
			switch {
			case c == 0:
				return e.cutOff(), nil
			case c == ']' && (e.state == afterElement || e.n == 0):
				e.src.take(1)
				e.state = atEnd
				continue
			case e.state == afterElement && c == ',':
				e.src.take(1)
				if c, err = e.peek(); err != nil {
					return Raw{}, err
				} else if c == 0 {
					return e.cutOff(), nil
				}
			case e.state == afterElement:
				return Raw{}, e.broken("want a comma or the end of the array after a record")
			}
			if c == ']' || c == ',' || c == '}' {
				return Raw{}, e.broken("want a record")
			}
			e.state = afterElement
			e.n++
			return e.element()
		case atEnd:
			return Raw{}, e.trailing()
		}
	}
}

// begin finds the array, or takes a lone record. done reports that raw is to
// be handed out.
func (e *elements) begin() (raw Raw, done bool, err error) {
	if err := e.find(); err != nil {
		return Raw{}, false, err
	}
	c, err := e.peek()
	switch {
	case err != nil:
		return Raw{}, false, err
	case c == '[':
		e.src.take(1)
		e.state = inArray
		return Raw{}, false, nil
	case c == '{' && len(e.at) == 0:
		e.state = atEnd
		e.n = 1
		raw, err = e.element()
		return raw, true, err
	case c == 0 && len(e.at) == 0:
		return Raw{}, false, &FileError{Rule: RuleShape, Detail: "the file is empty: want an array of records, or one record"}
	case len(e.at) > 0:
		return Raw{}, false, &FileError{Rule: RuleShape, Detail: fmt.Sprintf("there is no array at %q", e.where),
			Fix: "name the place of the array of records inside the file", Line: e.src.line}
	}
	return Raw{}, false, e.broken("want an array of records, or one record")
}

// find walks down to the array at e.at, passing over the members before it.
func (e *elements) find() error {
	for _, want := range e.at {
		c, err := e.peek()
		if err != nil {
			return err
		}
		for first := true; ; first = false {
			if (first && c != '{') || (!first && c != ',') {
				return &FileError{Rule: RuleShape, Detail: fmt.Sprintf("there is no array at %q", e.where),
					Fix: "name the place of the array of records inside the file"}
			}
			e.src.take(1)
			if c, err = e.peek(); err == nil && c == '}' {
				continue // an object without members; the loop's first test says what is missing
			}
			key, err := e.member()
			if err != nil {
				return err
			}
			if key == want {
				break
			}
			if _, err := e.skim(nil, 0); err != nil {
				return err
			}
			if c, err = e.peek(); err != nil {
				return err
			}
		}
	}
	return nil
}

// element returns the element that begins here.
func (e *elements) element() (Raw, error) {
	raw := Raw{Number: e.n, Line: e.src.line}
	var b []byte
	whole, err := e.skim(&b, e.src.limit)
	switch {
	case err != nil:
		return Raw{}, err
	case len(b) > e.src.limit:
		raw.bad = tooLong(e.src.limit, "record")
	case !whole:
		e.n--
		cut := e.cutOff()
		cut.Line = raw.Line
		return cut, nil
	default:
		raw.text = b
	}
	return raw, nil
}

// skim takes the value that begins here, by its brackets and strings alone. It
// appends what it took to *keep, when given, but no more than limit bytes and
// one. It reports whether the value was complete when the file ended.
func (e *elements) skim(keep *[]byte, limit int) (bool, error) {
	s := e.src
	depth, inString, escaped := 0, false, false
	for {
		w := s.window()
		for i, c := range w {
			end := -1 // of the value, when it ends here
			switch {
			case escaped:
				escaped = false
			case inString && c == '\\':
				escaped = true
			case inString:
				if c == '"' {
					inString = false
					if depth == 0 {
						end = i + 1
					}
				}
			case c == '"':
				inString = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth == 0 {
					end = i
				} else if depth--; depth == 0 {
					end = i + 1
				}
			case depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\n' || c == '\r' || c == '\t'):
				end = i
			}
			if end >= 0 {
				hold(keep, w[:end], limit)
				s.take(end)
				return true, nil
			}
		}
		hold(keep, w, limit)
		s.take(len(w))
		if !s.more() {
			if err := s.failed(); err != nil {
				return false, fmt.Errorf("read json: line %d: %w", s.line, err)
			}
			return depth == 0 && !inString, nil
		}
	}
}

func hold(keep *[]byte, b []byte, limit int) {
	if keep != nil && len(*keep) <= limit {
		*keep = append(*keep, b[:min(len(b), limit+1-len(*keep))]...)
	}
}

// peek passes over white space and returns the next byte, or 0 at the end of
// the file. A NUL byte in the file is returned as 1, which no JSON has either.
func (e *elements) peek() (byte, error) {
	s := e.src
	for {
		w := s.window()
		for i, c := range w {
			if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
				s.take(i)
				return max(c, 1), nil
			}
		}
		s.take(len(w))
		if !s.more() {
			if err := s.failed(); err != nil {
				return 0, fmt.Errorf("read json: line %d: %w", s.line, err)
			}
			return 0, nil
		}
	}
}

// cutOff is the row that stands for the end of a file inside the array.
func (e *elements) cutOff() Raw {
	e.state, e.torn = atEnd, true
	return Raw{Number: e.n + 1, Line: e.src.line, bad: &Problem{Rule: RuleTruncated,
		Detail: "the file ends in the middle: the array of records is not closed",
		Fix:    "have the file sent again; it was probably cut off on the way"}}
}

// trailing looks at what follows the array. Members of the larger text around
// it are passed over, but none may have the name of the way that was taken:
// the records in it would be lost in silence.
func (e *elements) trailing() error {
	torn := &FileError{Rule: RuleTruncated, Detail: "the file ends in the middle of the text around the array",
		Fix: "have the file sent again; it was probably cut off on the way"}
	for level := len(e.at) - 1; level >= 0 && !e.torn; level-- {
		for {
			c, err := e.peek()
			if err != nil {
				return err
			}
			if c == 0 {
				return torn
			}
			e.src.take(1)
			if c == '}' {
				break
			}
			if c != ',' {
				return e.broken("want a comma or a closing brace")
			}
			key, err := e.member()
			if err != nil {
				return err
			}
			if key == e.at[level] {
				return &FileError{Rule: strictjson.RuleDuplicateKey, Line: e.src.line,
					Detail: fmt.Sprintf("the member %q stands in the text for the second time: what is in it was not read", key)}
			}
			if whole, err := e.skim(nil, 0); err != nil {
				return err
			} else if !whole {
				return torn
			}
		}
	}
	if e.torn {
		return io.EOF // a row has said so
	}
	c, err := e.peek()
	if err != nil {
		return err
	}
	if c == 0 {
		return io.EOF
	}
	return &FileError{Rule: strictjson.RuleTrailingData, Line: e.src.line,
		Detail: "more follows after the end of the JSON text",
		Fix:    "for one record to a line, read the file as ndjson"}
}

// member takes a member's name and its colon, and stands at its value.
func (e *elements) member() (string, error) {
	c, err := e.peek()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", e.broken("want a member's name")
	}
	var b []byte
	if whole, err := e.skim(&b, e.src.limit); err != nil {
		return "", err
	} else if !whole || len(b) > e.src.limit {
		return "", e.broken("a member's name has no end")
	}
	v, err := strictjson.Decode(b, strictjson.Limits{})
	key, ok := v.(string)
	if err != nil || !ok {
		return "", e.broken("a member's name is not JSON")
	}
	if c, err = e.peek(); err != nil {
		return "", err
	} else if c != ':' {
		return "", e.broken("want a colon after a member's name")
	}
	e.src.take(1)
	_, err = e.peek()
	return key, err
}

// broken ends the file for good: the rows before it were read.
func (e *elements) broken(want string) error {
	return &FileError{Rule: strictjson.RuleSyntax, Line: e.src.line,
		Detail: want + ": nothing from here on was read",
		Fix:    "mend the file at this line, and import it again; records already held are not taken twice"}
}
