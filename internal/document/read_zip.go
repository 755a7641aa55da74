package document

import (
	"encoding/xml"
	"path"
	"slices"
	"strconv"
	"strings"
)

// wordPart returns the path of the main part of a Word document, "" where the archive is none:
// what its relationships name (ECMA-376 part 2, 9.3), which in the browser Word calls
// document2.xml, or else the usual one.
func (a *archive) wordPart() (string, error) {
	p, err := a.related("", "officeDocument", "word/document.xml")
	if err != nil || !strings.HasPrefix(p, "word/") { // a workbook's is xl/workbook.xml
		return "", err
	}
	return p, nil
}

// related returns the path of the part that a part, "" for the archive itself, names as a
// relationship of a kind; usual where it names none that is there, and "" where that is not
// there either.
func (a *archive) related(of, kind, usual string) (string, error) {
	dir, file := path.Split(of)
	rels, found := dir+"_rels/"+file+".rels", ""
	if a.parts[rels] != nil {
		err := a.walk(rels, walker{open: func(e xml.StartElement, _ []string) bool {
			if e.Name.Local == "Relationship" && found == "" && strings.HasSuffix(attr(e, "Type"), "/"+kind) && attr(e, "TargetMode") != "External" {
				target := attr(e, "Target")
				if !strings.HasPrefix(target, "/") {
					target = path.Join("/", dir, target)
				}
				if target = strings.TrimPrefix(path.Clean(target), "/"); a.parts[target] != nil {
					found = target
				}
			}
			return true
		}})
		if err != nil {
			return "", err
		}
	}
	if found == "" && a.parts[usual] != nil {
		found = usual
	}
	return found, nil
}

// readDOCX reads the main part of a Word document (ECMA-376 part 1, 17.2) and, for what
// is a heading, its styles: their identifiers go by the language of the program, their
// names do not.
func readDOCX(a *archive, main string) (*Document, error) {
	levels := map[string]int{} // by style; -1 is the title
	styles, err := a.related(main, "styles", "word/styles.xml")
	if err != nil {
		return nil, err
	}
	if styles != "" {
		id := ""
		err := a.walk(styles, walker{open: func(e xml.StartElement, around []string) bool {
			switch e.Name.Local {
			case "style":
				id = attr(e, "styleId")
			case "name":
				if l := headingLevel(attr(e, "val")); l != 0 && id != "" && slices.Contains(around, "style") {
					levels[id] = l
				}
			case "outlineLvl":
				if n, err := strconv.Atoi(attr(e, "val")); err == nil && n >= 0 && n < 9 && levels[id] == 0 && slices.Contains(around, "style") {
					levels[id] = min(n+1, 6)
				}
			}
			return true
		}})
		if err != nil {
			return nil, err
		}
	}
	g := new(gatherer)
	var p strings.Builder
	level, item, hidden := 0, false, false
	end := func() {
		b := Block{Text: cut(p.String())}
		p.Reset()
		switch {
		case level == -1 && g.doc.Title == "" && g.cell == nil:
			g.doc.Title = strings.TrimSpace(b.Text)
			return
		case level != 0:
			b.Kind, b.Level = Heading, max(level, 1)
		case item:
			b.Kind = Item
		}
		g.block(b)
	}
	err = a.walk(main, walker{
		open: func(e xml.StartElement, around []string) bool {
			switch e.Name.Local {
			// What is not of the text as it stands; Fallback is the same once more.
			case "del", "moveFrom", "Fallback", "drawing", "pict", "object", "instrText", "delText", "pPrChange", "rPrChange":
				return false
			case "p":
				level, item = 0, false
			case "r":
				hidden = false
			case "vanish": // text that Word shows to nobody
				hidden = !slices.Contains([]string{"0", "false", "off"}, attr(e, "val"))
			case "pStyle":
				id := attr(e, "val")
				if level = levels[id]; level == 0 {
					level = headingLevel(id)
				}
				item = item || strings.HasPrefix(id, "List")
			case "outlineLvl":
				if n, err := strconv.Atoi(attr(e, "val")); err == nil && n >= 0 && n < 9 && level == 0 {
					level = min(n+1, 6)
				}
			case "numId":
				item = attr(e, "val") != "0"
			case "br", "cr":
				p.WriteByte('\n')
			case "tab":
				if !slices.Contains(around, "pPr") {
					p.WriteByte(' ')
				}
			case "noBreakHyphen":
				p.WriteByte('-')
			case "tbl":
				g.openTable()
			case "tr":
				g.openRow()
			case "tc":
				g.openCell()
			}
			return true
		},
		text: func(s string, around []string) {
			if len(around) > 0 && around[len(around)-1] == "t" && !hidden && p.Len() <= maxBlock {
				p.WriteString(s)
			}
		},
		end: func(local string, around []string) {
			switch local {
			case "p":
				end()
			case "tc":
				g.closeCell()
			case "tbl":
				g.closeTable()
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return g.done()
}

// headingLevel returns the level that a name of a style says, -1 for the title and 0
// for none. The name is "heading 1" in a file of any language; an identifier may be
// Heading1 or Heading_20_1.
func headingLevel(style string) int {
	s := strings.ToLower(strings.NewReplacer(" ", "", "_20_", "", "_", "").Replace(style))
	if s == "title" {
		return -1
	}
	if n, ok := strings.CutPrefix(s, "heading"); ok && len(n) == 1 && n[0] >= '1' && n[0] <= '9' {
		return min(int(n[0]-'0'), 6)
	}
	return 0
}

// readODT reads the content of an OpenDocument text (ISO/IEC 26300-1, chapter 5).
func readODT(a *archive) (*Document, error) {
	g := new(gatherer)
	var p strings.Builder
	var b Block
	title, listed, text := false, 0, 0
	err := a.walk("content.xml", walker{
		open: func(e xml.StartElement, around []string) bool {
			switch e.Name.Local {
			case "tracked-changes", "annotation", "note", "frame", "forms", "table-of-content", "alphabetical-index", "covered-table-cell", "automatic-styles", "font-face-decls", "scripts":
				return false
			case "h":
				n, _ := strconv.Atoi(attr(e, "outline-level"))
				b, title = Block{Kind: Heading, Level: min(max(n, 1), 6)}, false
				text++
				p.Reset()
			case "p":
				b = Block{}
				title = headingLevel(attr(e, "style-name")) == -1
				if listed > 0 {
					b.Kind = Item
				}
				text++
				p.Reset()
			case "list":
				listed++
			case "line-break":
				p.WriteByte('\n')
			case "tab":
				p.WriteByte(' ')
			case "s":
				n, err := strconv.Atoi(attr(e, "c"))
				if err != nil {
					n = 1
				}
				p.WriteString(strings.Repeat(" ", min(max(n, 0), 100)))
			case "table":
				g.openTable()
			case "table-row":
				g.openRow()
			case "table-cell":
				g.openCell()
			}
			return true
		},
		text: func(s string, around []string) {
			if text > 0 && p.Len() <= maxBlock {
				// Section 6.1.2: any run of white space is one space, as text:s is the others.
				s = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(s)
				for strings.Contains(s, "  ") {
					s = strings.ReplaceAll(s, "  ", " ")
				}
				p.WriteString(s)
			}
		},
		end: func(local string, around []string) {
			switch local {
			case "h", "p":
				text--
				b.Text = cut(p.String())
				p.Reset()
				if title && g.doc.Title == "" && g.cell == nil {
					g.doc.Title = strings.TrimSpace(b.Text)
				} else {
					g.block(b)
				}
				b, title = Block{}, false
			case "list":
				listed--
			case "table-cell":
				g.closeCell()
			case "table":
				g.closeTable()
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return g.done()
}
