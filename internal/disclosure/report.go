package disclosure

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

//go:embed report.html
var reportHTML string

// WriteHTML writes a report about one person as one page: for a screen and for paper of
// size A4, with nothing that is fetched from elsewhere and no script. bundle is the name of
// the file that proves it; "" for none.
func WriteHTML(w io.Writer, s *api.SubjectReply, bundle string) error {
	titles := map[name.Council]string{}
	for _, c := range s.Councils {
		titles[c.Council] = name.Line(c.Title)
	}
	t, err := template.New("report").Funcs(template.FuncMap{
		"day":    func(t time.Time) string { return t.UTC().Format("2 January 2006") },
		"moment": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 MST") },
		"council": func(c name.Council) string {
			if t := titles[c]; t != "" && t != string(c) {
				return t + " (" + string(c) + ")"
			}
			return string(c)
		},
		"fields":  fieldWords,
		"place":   placeWords,
		"values":  values,
		"changed": changed,
		"way":     func(way string) string { return wayWords[way] },
		"lines":   lines,
		"add":     func(a, b int) int { return a + b },
		"under":   func(a name.Agreement, v uint64) string { return fmt.Sprintf("%s, version %d", a, v) },
		"anchor":  func(a name.Agreement, v uint64) string { return fmt.Sprintf("agreement-%s-%d", a, v) },
		"count": func(n int, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return strconv.Itoa(n) + " " + many
		},
		"shared": func() (n int) {
			for _, r := range s.Records {
				n += len(r.Disclosed)
			}
			return n
		},
	}).Parse(reportHTML)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	return t.Execute(w, struct {
		*api.SubjectReply
		Bundle string
	}{s, bundle})
}

var wayWords = map[string]string{
	api.LetCopy:      "A copy was sent",
	api.LetAnswer:    "A question was answered, and no copy is kept",
	api.LetCounts:    "It was counted",
	api.LetFootprint: "Its public fields went into a ledger that several councils keep",
}

// A Leaf is one value of a record and where it stands.
type Leaf struct {
	Place string // in words
	Value string // made safe to show, one line or several
	point string
}

// values returns the values of a record in the order of their places.
func values(body json.RawMessage) ([]Leaf, error) {
	if len(body) == 0 {
		return nil, nil
	}
	v, err := strictjson.Decode(body, strictjson.Limits{Bytes: len(body), Depth: 96, Values: 200_000, StringLen: len(body)})
	if err != nil {
		return nil, fmt.Errorf("internal error: a record's body is not JSON")
	}
	var out []Leaf
	var walk func(point string, v any)
	walk = func(point string, v any) {
		text := ""
		switch v := v.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				walk(point+"/"+name.Escape(k), v[k])
			}
			if len(v) > 0 {
				return
			}
			text = "nothing"
		case []any:
			for i, e := range v {
				walk(point+"/"+strconv.Itoa(i), e)
			}
			if len(v) > 0 {
				return
			}
			text = "none"
		case string:
			text = lines(v)
		case nil:
			text = "not given"
		case bool:
			text = map[bool]string{true: "yes", false: "no"}[v]
		default:
			text = string(strictjson.Canonical(v))
		}
		out = append(out, Leaf{placeWords(point), text, point})
	}
	walk("", v)
	return out, nil
}

// changed returns the values of one version of a record that the version after it no
// longer had.
func changed(versions []api.SubjectVersion, i int) ([]Leaf, error) {
	was, err := values(versions[i].Body)
	if err != nil || i == 0 {
		return was, err
	}
	now, err := values(versions[i-1].Body)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(was, func(l Leaf) bool { return slices.Contains(now, l) }), nil
}

// lines makes a text of a record or an agreement fit to be shown: its line ends stay.
func lines(s string) string {
	all := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, l := range all {
		all[i] = name.Line(l)
	}
	return strings.Join(all, "\n")
}

// placeWords says a JSON Pointer as a person reads a place: applicant, date of birth. An
// element of a list is counted from 1.
func placeWords(p string) string {
	var out []string
	for _, t := range name.Field(p).Tokens() {
		n, err := strconv.Atoi(t)
		switch {
		case t == "*":
			out = append(out, "each")
		case err == nil && len(out) > 0:
			out = append(out, strconv.Itoa(n+1))
		default:
			out = append(out, name.Line(unjoined(t)))
		}
	}
	return strings.Join(out, ", ")
}

// unjoined parts the words of a member's name: date_of_birth and dateOfBirth.
func unjoined(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '_' || r == '-':
			b.WriteByte(' ')
			continue
		case i > 0 && r >= 'A' && r <= 'Z' && s[i-1] >= 'a' && s[i-1] <= 'z':
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func fieldWords(fs []name.Field) string {
	var out []string
	for _, f := range fs {
		out = append(out, cmp.Or(placeWords(string(f)), "the whole record"))
	}
	return strings.Join(out, "; ")
}
