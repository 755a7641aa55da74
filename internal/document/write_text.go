package document

import (
	"fmt"
	"io"
	"strings"
)

// writeHTML writes one page that needs nothing else. It has no script, and a browser
// that opens it asks nobody for anything.
func (d *Document) writeHTML(w io.Writer) error {
	var b strings.Builder
	text := func(s string) string { return strings.ReplaceAll(escaped(s), "&#xA;", "<br>\n") }
	b.WriteString("<!DOCTYPE html>\n<html lang=\"" + escaped(d.Language) + "\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>" + escaped(d.Title) +
		"</title>\n<meta name=\"description\" content=\"" + escaped(d.Subject) + "\">\n<style>\nbody { font: 1rem/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }\n" +
		"table { border-collapse: collapse; margin: 1rem 0 }\ntd, th { border: 1px solid #767676; padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere }\n</style>\n</head>\n<body>\n<main>\n<h1>" +
		text(d.Title) + "</h1>\n")
	listed := false
	for _, bl := range d.Blocks {
		if listed && bl.Kind != Item {
			b.WriteString("</ul>\n")
		}
		if bl.Kind == Item && !listed {
			b.WriteString("<ul>\n")
		}
		listed = bl.Kind == Item
		switch bl.Kind {
		case Heading: // the title is the one of the first level
			l := min(bl.level()+1, 6)
			fmt.Fprintf(&b, "<h%d>%s</h%d>\n", l, text(bl.Text), l)
		case Item:
			b.WriteString("<li>" + text(bl.Text) + "</li>\n")
		case Table:
			rows, _ := bl.wide()
			b.WriteString("<table>\n")
			for i, r := range rows {
				cell := "td"
				if i == 0 {
					cell = "th"
					b.WriteString("<thead>\n")
				}
				b.WriteString("<tr>")
				for _, c := range r {
					b.WriteString("<" + cell + ">" + text(c) + "</" + cell + ">")
				}
				b.WriteString("</tr>\n")
				if i == 0 {
					b.WriteString("</thead>\n<tbody>\n")
				}
			}
			b.WriteString("</tbody>\n</table>\n")
		default:
			b.WriteString("<p>" + text(bl.Text) + "</p>\n")
		}
	}
	if listed {
		b.WriteString("</ul>\n")
	}
	b.WriteString("</main>\n</body>\n</html>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// marks are what Markdown reads as more than a letter, wherever it stands. A line's
// first character is seen to by lineStart.
var marks = strings.NewReplacer(`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `<`, `\<`, `>`, `\>`, `|`, `\|`, `&`, `\&`, `~`, `\~`)

// markdown is a text as Markdown carries it.
func markdown(s string) string {
	lines := strings.Split(marks.Replace(s), "\n")
	for i, l := range lines {
		rest := strings.TrimLeft(l, " ")
		digits := strings.TrimLeft(rest, "0123456789")
		switch {
		case rest == "" && len(lines) > 1:
			l = "&nbsp;"
		case strings.HasPrefix(rest, "#"), strings.HasPrefix(rest, "-"), strings.HasPrefix(rest, "+"), strings.HasPrefix(rest, "="):
			l = `\` + rest
		case len(digits) < len(rest) && (strings.HasPrefix(digits, ".") || strings.HasPrefix(digits, ")")):
			l = rest[:len(rest)-len(digits)] + `\` + digits
		}
		lines[i] = l
	}
	return strings.Join(lines, "\\\n")
}

func (d *Document) writeMD(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# " + strings.ReplaceAll(markdown(d.Title), "\\\n", " ") + "\n")
	for i, bl := range d.Blocks {
		if bl.Kind != Item || i == 0 || d.Blocks[i-1].Kind != Item {
			b.WriteByte('\n')
		}
		switch bl.Kind {
		case Heading:
			b.WriteString(strings.Repeat("#", min(bl.level()+1, 6)) + " " + strings.ReplaceAll(markdown(bl.Text), "\\\n", " ") + "\n")
		case Item:
			b.WriteString("- " + strings.ReplaceAll(markdown(bl.Text), "\n", "\n  ") + "\n")
		case Table:
			rows, columns := bl.wide()
			for j, r := range rows {
				for _, c := range r {
					b.WriteString("| " + strings.ReplaceAll(markdown(c), "\\\n", "<br>") + " ")
				}
				b.WriteString("|\n")
				if j == 0 {
					b.WriteString(strings.Repeat("| --- ", columns) + "|\n")
				}
			}
		default:
			b.WriteString(markdown(bl.Text) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
