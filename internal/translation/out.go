package translation

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// Out returns a record of ours, as it was decoded, in their form. Known is what the texts of
// make may name beside the record's own places, such as version; nil and "" of it stand for
// nothing.
func (t *Translation) Out(record any, known map[string]any) map[string]any {
	w := writer{record: record, known: known, line: t.Standard.String()}
	theirs, _ := w.write(t.Fields, record, "").(map[string]any)
	return theirs
}

// A writer makes one record in their form.
type writer struct {
	record any
	known  map[string]any
	line   string
}

// write returns what fields make of something of ours.
func (w *writer) write(fields []Field, here any, at string) any {
	theirs := map[string]any{}
	for _, f := range fields {
		switch {
		case f.Only == in:
		case f.Ours != "":
			v := here
			if f.Ours != "." {
				v = ours(here, name.Field(f.Ours).Tokens())
			}
			if v == nil {
				continue
			}
			if len(f.Each) > 0 {
				list, _ := v.([]any)
				var all []any
				for i, item := range list {
					all = append(all, w.write(f.Each, item, fmt.Sprintf("%s%s/%d", at, f.Ours, i)))
				}
				if len(all) == 0 {
					continue
				}
				v = all
			} else if v = f.forth(v); v == nil {
				continue
			}
			if len(f.theirs) == 0 {
				return v
			}
			put(theirs, f.theirs, v)
		case len(f.Make) > 0:
			for _, text := range f.Make {
				if v := w.fill(text, here); v != nil {
					put(theirs, f.theirs, v)
					break
				}
			}
		}
	}
	for _, f := range fields {
		if f.Is == nil && f.UUID == "" {
			continue
		}
		parent, there := theirs, true
		for _, s := range f.theirs[:len(f.theirs)-1] {
			if parent, there = open(parent, s, false); !there {
				break
			}
		}
		if !there {
			continue
		}
		if last := f.theirs[len(f.theirs)-1]; parent[last.name] != nil {
			continue
		}
		v := f.Is
		if f.UUID != "" {
			v = w.uuid(f.UUID, here, at)
		}
		put(parent, f.theirs[len(f.theirs)-1:], v)
	}
	return theirs
}

// forth makes a value of theirs of one of ours; nil where they have none for it.
func (f *Field) forth(v any) any {
	if len(f.Values) > 0 {
		for _, pair := range f.Values {
			if pair[0] == v {
				return pair[1]
			}
		}
		return nil
	}
	if f.As == dateTime {
		if day, ok := v.(string); ok {
			return day + "T00:00:00Z"
		}
	}
	return v
}

var braced = regexp.MustCompile(`\{[^{}]*\}`)

// fill puts what is known in the places of {…} in a text: {/ocid} is a place in the record,
// {.} the element and {./name} a place in it, and anything else what the caller knows. It
// returns nil where one of them is not known. A text that is one {…} alone has its value,
// a number a number.
func (w *writer) fill(text string, here any) any {
	missing := false
	value := func(braced string) any {
		what := braced[1 : len(braced)-1]
		var v any
		switch {
		case strings.HasPrefix(what, "/"):
			v = ours(w.record, name.Field(what).Tokens())
		case what == ".":
			v = here
		case strings.HasPrefix(what, "./"):
			v = ours(here, name.Field(what[1:]).Tokens())
		default:
			v = w.known[what]
		}
		if v == nil || v == "" {
			missing = true
		}
		return v
	}
	if braced.FindString(text) == text {
		if v := value(text); !missing {
			return v
		}
		return nil
	}
	filled := braced.ReplaceAllStringFunc(text, func(b string) string { return fmt.Sprint(value(b)) })
	if missing {
		return nil
	}
	return filled
}

// uuid makes an id (RFC 9562, version 5) from a text and what it is filled with.
func (w *writer) uuid(text string, here any, at string) string {
	filled := braced.ReplaceAllStringFunc(text, func(b string) string {
		if b == "{at}" {
			return at
		}
		return fmt.Sprint(w.fill(b, here))
	})
	space := []byte("\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8") // for addresses
	sum := sha1.Sum(append(space, "https://"+w.line+"#"+filled...))
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// File returns a file in their form with records that [Translation.Out] made. Known is as
// there. Of a list that comes in several pages it says how many records and pages there are
// (count, pages), and which this is (page, first, last); else the file is the whole list. How
// many records the file has (size), and whether none (empty), is known here.
func (t *Translation) File(theirs []any, known map[string]any) []byte {
	size := json.Number(strconv.Itoa(len(theirs)))
	all := map[string]any{"count": size, "size": size, "empty": len(theirs) == 0, "pages": json.Number("1"), "page": json.Number("1"), "first": true, "last": true}
	for k, v := range known {
		all[k] = v
	}
	w := writer{known: all, line: t.Standard.String()}
	file, _ := w.write(t.Around, nil, "").(map[string]any)
	if file == nil {
		file = map[string]any{}
	}
	set(file, name.Field(t.List).Tokens(), append([]any{}, theirs...))
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		panic("internal error: print a translation: " + err.Error())
	}
	return append(b, '\n')
}
