package document

import (
	"fmt"
	"strings"
)

// readMD reads Markdown as people write it: headings by # or underlined, lists, tables
// with bars, and paragraphs. It is no more than that: links, pictures and HTML come as
// they were typed.
func readMD(text string) (*Document, error) {
	g := new(gatherer)
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	var open []string // lines of the paragraph or item that is read
	var b Block
	flush := func() {
		if len(open) > 0 {
			b.Text = cut(unmarked(open))
			g.block(b)
		}
		open, b = nil, Block{}
	}
	heading := func(level int, text string, n int) {
		flush()
		h := Block{Kind: Heading, Level: min(level, 6), Text: cut(unmarked([]string{text})), Place: fmt.Sprintf("line %d", n)}
		if level == 1 && g.doc.Title == "" && len(g.doc.Blocks) == 0 {
			g.doc.Title = strings.TrimSpace(h.Text)
			return
		}
		g.block(h)
	}
	for i := 0; i < len(lines); i++ {
		raw := lines[i]
		l := strings.TrimSpace(raw)
		hashes := len(l) - len(strings.TrimLeft(l, "#"))
		marker := itemMarker(l)
		switch {
		case l == "" || l == "---" && len(open) == 0 || l == "***":
			flush()
		case hashes >= 1 && hashes <= 6 && (len(l) == hashes || l[hashes] == ' '):
			heading(hashes, strings.TrimRight(strings.TrimSpace(l[hashes:]), "#"), i+1)
		case len(open) == 1 && b.Kind == Paragraph && len(l) >= 2 && (strings.Trim(l, "=") == "" || strings.Trim(l, "-") == ""):
			level, over := 1, open[0]
			if l[0] == '-' {
				level = 2
			}
			open = nil
			heading(level, over, i)
		case strings.HasPrefix(l, "|"):
			flush()
			t := Block{Kind: Table, Place: fmt.Sprintf("line %d", i+1)}
			for ; i < len(lines) && strings.HasPrefix(strings.TrimSpace(lines[i]), "|") && !g.full(); i++ {
				row := cells(strings.TrimSpace(lines[i]))
				g.count += len(row)
				if rule := strings.Join(row, ""); strings.Trim(rule, "-: ") == "" && strings.Contains(rule, "-") {
					continue
				}
				t.Rows = append(t.Rows, row)
			}
			i--
			if len(t.Rows) > 0 {
				g.block(t)
			}
		case marker > 0:
			flush()
			b = Block{Kind: Item, Place: fmt.Sprintf("line %d", i+1)}
			open = []string{strings.TrimSpace(l[marker:])}
		default:
			if len(open) == 0 {
				b = Block{Place: fmt.Sprintf("line %d", i+1)}
			}
			open = append(open, strings.TrimLeft(raw, " \t"))
		}
		if g.full() {
			break
		}
	}
	flush()
	return g.done()
}

// itemMarker returns how long the mark of a list's item is, 0 for none. A number is no
// mark: people number headings so.
func itemMarker(l string) int {
	if len(l) > 2 && strings.ContainsRune("-*+", rune(l[0])) && l[1] == ' ' {
		return 2
	}
	return 0
}

// cells takes a row of a table apart at bars that no backslash stands before.
func cells(l string) (out []string) {
	var b strings.Builder
	l = strings.TrimPrefix(l, "|")
	for i := 0; i < len(l); i++ {
		switch {
		case l[i] == '\\' && i+1 < len(l):
			b.WriteByte(l[i])
			i++
			b.WriteByte(l[i])
		case l[i] == '|':
			out = append(out, cell(b.String()))
			b.Reset()
		default:
			b.WriteByte(l[i])
		}
	}
	if rest := strings.TrimSpace(b.String()); rest != "" {
		out = append(out, cell(rest))
	}
	return out
}

func cell(s string) string {
	return cut(strings.TrimSpace(unmarked(strings.Split(strings.ReplaceAll(s, "<br>", "\\\n"), "\n"))))
}

// unmarked joins the lines of a text and takes what marks it up away. A line that ends
// in a backslash or two spaces is broken there.
func unmarked(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		next := i+1 < len(lines)
		bare := strings.TrimRight(l, " ")
		breaks := len(l)-len(bare) >= 2
		if tail := len(bare) - len(strings.TrimRight(bare, `\`)); tail%2 == 1 && next {
			bare, breaks = bare[:len(bare)-1], true
		}
		if bare == "&nbsp;" {
			bare = ""
		}
		b.WriteString(plain(bare))
		if next && breaks {
			b.WriteByte('\n')
		} else if next {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// plain drops emphasis and code marks, and takes a character after a backslash as it is.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && strings.IndexByte("\\`*_[]<>|&~#-+=.)(!{}\"'", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case c == '*' || c == '`':
		case c == '_' && (i == 0 || s[i-1] == ' ' || i+1 == len(s) || s[i+1] == ' '):
		case strings.HasPrefix(s[i:], "__"):
			i++
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
