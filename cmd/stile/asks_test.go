package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What asks before it acts: each command, with what it is given to get as far as the
// question in a new folder; nil where that takes more than a new folder, and a script
// tries it.
var asks = map[string][]string{
	"agreement accept":       {"compliance-statement"},
	"agreement counter":      {"northmoor.gov.uk/x", "--file", "agreement.yaml"},
	"agreement end":          {"northmoor.gov.uk/x", "--reason", "r"},
	"agreement give-up":      {"northmoor.gov.uk/x", "saltby.gov.uk", "--because", "b"},
	"agreement renew":        {"northmoor.gov.uk/x", "--review", "2999-01-01"},
	"agreement resume":       {"northmoor.gov.uk/x"},
	"agreement sign":         {"agreement.yaml"},
	"agreement suspend":      {"northmoor.gov.uk/x", "--reason", "r"},
	"council add":            nil, // key.txt: when the keys changed
	"council join":           nil, // directory-join.txt
	"council quarantine end": {"saltby.gov.uk"},
	"council succeed":        nil, // succession.txt
	"council take-over":      nil, // succession.txt
	"directory admit":        {"saltby.yaml"},
	"directory body add":     {"standards.example", "--body-key", "body.key.pub"},
	"directory body remove":  {"standards.example"},
	"directory discard":      {"members"},
	"directory remove":       {"saltby.gov.uk"},
	"directory revoke-key":   {"saltby.gov.uk", "kid", "--from", "3"},
	"directory rotate-key":   nil, // directory-join.txt
	"directory sign":         nil, // directory.txt
	"directory succeed":      {"saltby.gov.uk", "fenwick.gov.uk", "--on", "2999-01-01"},
	"exchange case":          nil, // exchange-run.txt: when something has flowed
	"footprint adopt":        {"fens.example", "planning-application"},
	"footprint agree":        {"fens.example", "saltby.gov.uk"},
	"footprint discard":      {"fens.example"},
	"footprint leave":        {"fens.example"},
	"footprint recover":      {"fens.example", "--lost", "saltby.gov.uk", "--because", "b"},
	"footprint remove":       {"fens.example", "saltby.gov.uk"},
	"footprint withdraw":     {"fens.example", "26/1"},
	"handover accept":        {"0123abcd"},
	"handover decline":       {"0123abcd", "--because", "b"},
	"handover withdraw":      {"0123abcd", "--because", "b"},
	"import":                 nil, // import-complete.txt: when --complete would delete much
	"key rotate":             nil, // key.txt: when the old key is destroyed
	"log continue":           {"--because", "b"},
	"log lost":               {"--forget"},
	"record delete":          {"26/1"},
	"record erase":           nil, // record-erase.txt
	"standard adopt":         nil, // standard-adopt.txt: when it takes the place of another
	"standard publish":       nil, // standard-publish.txt
	"standard retire":        {"standards.example/x@1.0.0", "--key", "body.key", "--on", "2999-01-01"},
	"standard serve":         {"planning-application@2", "--stop"},
	"urgent approve":         {"0123abcd"},
	"urgent end":             {"0123abcd", "--because", "b"},
	"urgent refuse":          {"0123abcd", "--because", "b"},
	"urgent review":          {"0123abcd", "--because", "b"},
	"standard status":        {"standards.example/x@1.0.0", "live", "--key", "body.key"},
}

// What changes something and does not ask, and why it need not.
var goes = map[string]string{
	"aggregate":           "a question is logged; nobody relies on it",
	"backup":              "it writes a new file",
	"backup identity":     "it writes a new file",
	"handover offer":      "the other council decides, and it can be withdrawn until then",
	"urgent ask":          "a question is logged, and the other council decides",
	"urgent give":         "nothing travels before another person approves",
	"access key add":      "whoever makes a key is shown it, once; stile access key revoke takes it back",
	"access key revoke":   "it only takes a way in",
	"webhook add":         "it tells what its key may see; stile webhook remove takes it back",
	"webhook remove":      "it only ends what is told; another is made as easily",
	"webhook replay":      "whoever receives knows by the id what came before",
	"webhook test":        "the message says that it is a test",
	"agreement bring":     "whoever signed was asked",
	"agreement novate":    "it writes a new file",
	"audit draw":          "--publish says so by itself",
	"audit run":           "it counts, and changes nothing",
	"person add":          "nobody comes in by it alone; stile person remove takes it back",
	"person link":         "it lets in who was added, once and for a while",
	"person passphrase":   "whoever can write the folder can set another; --remove takes it back",
	"person remove":       "it only takes a way in",
	"restore":             "the folder is new",
	"support bundle":      "it writes a new file",
	"council invite":      "a code lets nobody in by itself",
	"council reload":      "it only looks again",
	"demo":                "its councils are its own",
	"directory amend":     "no key changes, and it is amended back",
	"directory export":    "it writes files to be signed",
	"directory found":     "it prepares; what is signed asks",
	"directory import":    "who signed was asked",
	"directory key":       "a new key is believed by nobody yet",
	"directory policy":    "it is set back as it was",
	"directory publish":   "who signed was asked",
	"directory refresh":   "it only looks again",
	"directory rekey":     "it prepares; what is signed asks",
	"directory renew":     "it prepares; what is signed asks",
	"directory take-over": "it prepares; what is signed asks",
	"disclosure rebuild":  "what is rebuilt is made from the log alone",
	"exchange run":        "its councils are its own",
	"export bundle":       "it writes a new file",
	"export records":      "it writes a new file",
	"feed run":            "the configuration says what it may delete",
	"footprint backup":    "it writes a new file",
	"footprint cancel":    "it takes back our own proposal",
	"footprint found":     "nobody is in it yet",
	"footprint import":    "records go in every day; stile footprint withdraw takes them back, and asks",
	"footprint invite":    "it proposes; those who agree are asked",
	"footprint join":      "it takes up what the others agreed to; stile footprint leave asks",
	"footprint put":       "records go in every day; stile footprint withdraw takes them back, and asks",
	"footprint transfer":  "the lead is handed back as well",
	"init":                "the folder is new",
	"key encrypt":         "the keys stay what they are",
	"lookup":              "a question is logged; nobody relies on it",
	"man":                 "it writes new files",
	"notify test":         "the message says that it is a test",
	"serve":               "it does what was agreed",
	"standard charter":    "--publish says so by itself",
	"standard measure":    "--publish says so by itself",
	"standard new":        "the folder is new",
	"standard fetch":      "it writes a new file",
}

// reads are the words that begin what changes nothing.
var reads = strings.Fields("refused drift facts subject list deliveries show status preview history proof held records checkpoint evidence entry verify diff lint adoption draft doctor version watch why check export reference self conformance")

// TestAsks: every command that changes something that others rely on, or that cannot be
// undone, asks; where nobody sits there it does nothing unless --yes is given.
func TestAsks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	run := func(args ...string) (code int, out, talk string) {
		t.Helper()
		var o, e bytes.Buffer
		a := &app{env: env{in: strings.NewReader("yes\n"), out: &o, err: &e}}
		code = a.run(t.Context(), args)
		return code, o.String(), e.String()
	}
	must := func(args ...string) string {
		t.Helper()
		code, out, talk := run(args...)
		if code != 0 {
			t.Fatalf("stile %q: %d %s", args, code, talk)
		}
		return out
	}
	must("init", "--data", "n", "--council", "northmoor.gov.uk")
	must("init", "--data", "s", "--council", "saltby.gov.uk")
	must("directory", "key", "body.key", "--data", "n")
	for file, text := range map[string]string{
		"saltby.yaml":    must("council", "self", "--data", "s"),
		"agreement.yaml": must("agreement", "draft", "--to", "saltby.gov.uk", "--standard", "planning-application", "--data", "n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := must("status", "--data", "n", "--json")
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		path := strings.TrimPrefix(c.CommandPath(), "stile ")
		if !c.Runnable() || c.HasSubCommands() && c.Args == nil || path == "stile" {
			return
		}
		args, does := asks[path]
		switch _, does2 := goes[path]; {
		case does != (c.Flags().Lookup("yes") != nil):
			t.Errorf("stile %s: it asks: %v, and it has --yes: %v", path, does, !does)
		case does || does2:
		case !slices.Contains(reads, c.Name()) && !c.HasSubCommands():
			t.Errorf("stile %s: does it ask before it acts? Put it into asks, goes or reads", path)
		}
		if args == nil {
			return
		}
		code, _, talk := run(slices.Concat(strings.Fields(path), args, []string{"--data", "n"})...)
		if code != 2 || !strings.Contains(talk, "nothing was done: there is nobody to ask whether to ") || !strings.Contains(talk, "Try: give --yes") {
			t.Errorf("stile %s: exit code %d, %s", path, code, talk)
		}
	}
	walk((&app{}).root())
	if after := must("status", "--data", "n", "--json"); after != before {
		t.Errorf("something was done:\n%s\n%s", before, after)
	}
}
