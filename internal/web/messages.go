package web

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Lang is a language that the pages speak.
type Lang string

// The languages.
const (
	English Lang = "en"
	Welsh   Lang = "cy"
)

var langs = []Lang{English, Welsh}

//go:embed messages/*.txt
var messageFiles embed.FS

// messages are what the pages say, by language and key.
type messages map[Lang]map[string]string

// parseMessages reads every file of a folder. A message is a block of three lines, parted
// from the next by an empty line: its key, "en " and the English, "cy " and the Welsh.
// A line that begins with # means nothing. %s and %d stand for what is put in. A key
// that lacks one of the two, or is there twice, is an error.
func parseMessages(folder fs.FS) (messages, error) {
	files, err := fs.Glob(folder, "messages/*.txt")
	if err != nil {
		return nil, err
	}
	all := messages{English: {}, Welsh: {}}
	for _, file := range files {
		b, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, err
		}
		key, missing := "", []Lang(nil)
		for i, line := range strings.Split(string(b)+"\n", "\n") {
			line = strings.TrimRight(line, " \r")
			lang, text, _ := strings.Cut(line, " ")
			switch {
			case strings.HasPrefix(line, "#"):
			case line == "":
				if len(missing) > 0 {
					return nil, fmt.Errorf("%s:%d: message %q has no text in %v", file, i+1, key, missing)
				}
				key = ""
			case key == "":
				key, missing = line, slices.Clone(langs)
				if all[English][key] != "" || strings.ContainsAny(key, " ") {
					return nil, fmt.Errorf("%s:%d: key %q is there twice, or is none", file, i+1, key)
				}
			default:
				at := slices.Index(missing, Lang(lang))
				if at < 0 || text == "" {
					return nil, fmt.Errorf("%s:%d: want \"en \" or \"cy \" and a text, each once", file, i+1)
				}
				missing = slices.Delete(missing, at, at+1)
				all[Lang(lang)][key] = text
			}
		}
	}
	for key, en := range all[English] {
		if a, b := verbs(en), verbs(all[Welsh][key]); a != b {
			return nil, fmt.Errorf("message %q puts in %d things in English and %d in Welsh", key, a, b)
		}
	}
	return all, nil
}

func verbs(s string) int { return strings.Count(s, "%s") + strings.Count(s, "%d") }

// say returns a message with what is put in; the key itself where there is none, which
// a test finds.
func (m messages) say(l Lang, key string, in ...any) string {
	text, ok := m[l][key]
	if !ok {
		return "⟦" + key + "⟧"
	}
	if len(in) == 0 {
		return text
	}
	return fmt.Sprintf(text, in...)
}
