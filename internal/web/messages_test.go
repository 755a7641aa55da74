package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node/api"
)

// Every message is there in both languages, and every message that a page asks for, in
// a template or in code, is there.
func TestMessages(t *testing.T) {
	all, err := parseMessages(messageFiles)
	if err != nil {
		t.Fatal(err)
	}
	if len(all[English]) < 400 || len(all[English]) != len(all[Welsh]) {
		t.Errorf("%d messages in English and %d in Welsh", len(all[English]), len(all[Welsh]))
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	asked := 0
	fset := token.NewFileSet()
	for _, file := range files {
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			lit, isLit := call.Args[0].(*ast.BasicLit)
			if !ok || !isLit || lit.Kind != token.STRING {
				return true
			}
			key, _ := strconv.Unquote(lit.Value)
			want := key
			switch sel.Sel.Name {
			case "say", "t2":
			case "words":
				want = key + ".title"
			default:
				return true
			}
			asked++
			if all[English][want] == "" {
				t.Errorf("%s asks for the message %q, which is not there", fset.Position(n.Pos()), want)
			}
			return true
		})
	}
	if asked < 100 {
		t.Errorf("found %d messages asked for in code: the test has looked in vain", asked)
	}
	for _, what := range []string{"signed-out", "signed", "first-signer", "suspended", "resumed", "ended", "kept", "dropped", "taken", "forgotten", "retried"} {
		if all[English]["done."+what] == "" {
			t.Errorf("nothing says that %s was done", what)
		}
	}
}

// A message that lacks a language, or puts in other things in one of them, is refused.
func TestMessagesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"a.b\nen Yes\n": "has no text in [cy]",
		"a.b\ncy Ie\n":  "has no text in [en]",
		"a.b\nen Yes\ncy Ie\n\na.b\nen x\ncy y\n": "twice",
		"a.b\nen %s\ncy Ie\n":                     "puts in",
		"a.b\nen Yes\nen Yes\n":                   "want",
		"a.b\nen\ncy Ie\n":                        "want",
	} {
		_, err := parseMessages(fstest.MapFS{"messages/x.txt": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestFactsAreSaid: each fact of a partner, and each topic, has words in both languages.
func TestFactsAreSaid(t *testing.T) {
	all, err := parseMessages(messageFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range api.FactNames() {
		if all[English]["fact."+f] == "" {
			t.Errorf("there are no words for the fact %s", f)
		}
	}
	for _, f := range api.FactTopics() {
		if all[English]["facts.topic."+f] == "" {
			t.Errorf("there are no words for the topic %s", f)
		}
	}
}

// TestRegistersAreSaid: each text of a register has a message in both languages, whose
// English is the text, so that pages and files say the same.
func TestRegistersAreSaid(t *testing.T) {
	all, err := parseMessages(messageFiles)
	if err != nil {
		t.Fatal(err)
	}
	say := func(area, text string) {
		key := area + "." + keyOf(text)
		if all[English][key] != text {
			t.Errorf("%s says %q, and the register %q", key, all[English][key], text)
		}
	}
	for _, w := range registers.Words() {
		say("open.word", w)
	}
	for _, d := range registers.All() {
		say("open", d.Title)
		say("open", d.Lead)
		for _, c := range d.Columns {
			say("open.column", c.Title)
		}
		for _, g := range d.Groups {
			say("open.group", g.Title)
		}
	}
}
