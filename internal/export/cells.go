package export

import (
	"encoding/json"
	"strings"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/strictjson"
)

// cell writes a value as CSV and XLSX have it; see the package comment. number
// is true when it is one and stands there as a number.
func (c *columns) cell(p intake.Place, v any) (text string, number bool) {
	if _, none := v.(missing); none {
		return "", false
	}
	if v == nil {
		return "null", false
	}
	if p.Type == "json" {
		return c.json(v), false
	}
	if p.List {
		list, ok := v.([]any)
		if !ok {
			c.lost.kinds++
			return guard(c.json(v)), false
		}
		return c.list(p, list), false
	}
	s, ok := c.scalar(p, v)
	if !ok {
		c.lost.kinds++
		return guard(c.json(v)), false
	}
	if _, text := v.(string); text {
		return guard(s), false
	}
	_, number = v.(json.Number)
	return s, number
}

// scalar is a value of the kind that a place holds, as text.
func (c *columns) scalar(p intake.Place, v any) (string, bool) {
	switch t := v.(type) {
	case string:
		switch p.Type {
		case "number", "integer", "boolean":
			return "", false
		}
		c.look(t)
		return t, true
	case json.Number:
		return t.String(), p.Type == "number" || p.Type == "integer"
	case bool:
		if t {
			return "true", p.Type == "boolean"
		}
		return "false", p.Type == "boolean"
	}
	return "", false
}

// look counts what an import would not read back as it is.
func (c *columns) look(s string) {
	if strings.Contains(s, "\r") {
		c.lost.lineEnds++
	}
	for i := 0; i < len(s); i++ {
		if b := s[i]; b < ' ' && b != '\t' && b != '\n' && b != '\r' || b == 0x7F {
			c.lost.controls++
			return
		}
	}
}

// guard keeps a text from being taken for something else.
func guard(s string) string {
	if s == "" || s == "null" || strings.TrimSpace(s) != s || strings.ContainsRune("=+-@\t\r\n'", rune(s[0])) {
		return "'" + s
	}
	return s
}

// list joins the parts of a list, or writes it as JSON where that would not
// read back.
func (c *columns) list(p intake.Place, list []any) string {
	parts := make([]string, 0, len(list))
	for _, v := range list {
		s, ok := c.scalar(p, v)
		if !ok || strings.TrimSpace(s) != s || s == "" {
			return c.json(list)
		}
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "|", `\|`)
		parts = append(parts, s)
	}
	if len(parts) == 0 {
		return "[]"
	}
	text := strings.Join(parts, "|")
	switch text[0] {
	case '[':
		return `\` + text
	case '=', '+', '-', '@', '\'':
		if p.Type != "number" && p.Type != "integer" || len(parts) > 1 {
			return "'" + text
		}
	}
	if text == "null" {
		return "'" + text
	}
	return text
}

func (c *columns) json(v any) string { return string(strictjson.Canonical(v)) }
