package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/cli anew")

// tasks is the index of the manual: what somebody wants to do, and the commands
// for it in the order in which they are used.
var tasks = []struct {
	who  string // heading
	todo []task
}{
	{"Set up a node", []task{
		{"See the whole exchange on this machine", "stile demo"},
		{"Found a node", "stile init, stile doctor, stile serve"},
		{"Tell the registrar our keys and addresses", "stile council self"},
		{"Join a directory", "stile council join, stile directory show"},
		{"Replace the key that signs records", "stile key list, stile key rotate"},
	}},
	{"Let systems in", []task{
		{"Take in the signature of a receiver that runs no node", "stile agreement bring"},
		{"Give a system a key, list and revoke keys", "stile access key add, stile access key list, stile access key revoke"},
		{"Send a system what changes, and see whether it took it", "stile webhook add, stile webhook list, stile webhook deliveries, stile webhook test, stile webhook replay, stile webhook remove"},
	}},
	{"Take records in", []task{
		{"Look at a file before taking it in", "stile check"},
		{"Take a file in", "stile import"},
		{"Take in a whole register, every night", "stile import, stile feed list, stile feed run"},
		{"See what was refused, and why", "stile record held"},
		{"Find, show and prove a record", "stile record list, stile record show, stile record history, stile record proof"},
		{"Delete a record", "stile record delete"},
	}},
	{"Share under an agreement", []task{
		{"Write an agreement", "stile agreement draft"},
		{"See what would leave, before signing", "stile agreement preview"},
		{"Sign it, on both sides", "stile agreement sign, stile agreement list"},
		{"Stop it for a while, go on, end it", "stile agreement suspend, stile agreement resume, stile agreement end"},
		{"Ask for one record instead of holding copies", "stile lookup"},
		{"Ask for counts", "stile aggregate"},
	}},
	{"Run a node", []task{
		{"Is everything in step?", "stile status, stile doctor"},
		{"Have people told when something needs them", "stile notify test, stile notify list"},
		{"Why does a partner have, or lack, a record?", "stile why"},
		{"Who had a record?", "stile disclosure list"},
		{"Is each agreement still what it was made for?", "stile drift"},
		{"What is here about a person, and who had it?", "stile subject"},
		{"Follow what happens", "stile watch"},
		{"Back the node up, and try the backup", "stile backup identity, stile backup, stile backup list, stile backup verify"},
		{"Come back from a backup", "stile restore, stile log status, stile log lost, stile log continue"},
		{"Send what helps somebody to help", "stile support bundle, stile version"},
	}},
	{"Use and publish standards", []task{
		{"Look at a standard and take it into use", "stile standard list, stile standard show, stile standard adopt"},
		{"Write and publish one", "stile standard new, stile standard lint, stile standard diff, stile standard publish"},
		{"Measure compliance", "stile standard measure, stile standard adoption, stile standard charter"},
	}},
	{"Prove and audit", []task{
		{"Hand an auditor what was disclosed", "stile export bundle"},
		{"Verify it, offline", "stile verify"},
		{"Count again what a council says of itself", "stile audit adoption"},
		{"Draw statements for the yearly audit, or see when that is due", "stile audit draw"},
	}},
	{"Keep one ledger with other councils", []task{
		{"Found a footprint and join it", "stile footprint found, stile footprint invite, stile footprint agree, stile footprint join"},
		{"See how it stands", "stile footprint status"},
		{"Put records in and prove them", "stile footprint put, stile footprint checkpoint, stile footprint proof, stile footprint verify"},
	}},
	{"Keep the directory", []task{
		{"Found a directory with offline holders", "stile directory found, stile directory sign"},
		{"Let a council in", "stile council invite, stile council add"},
		{"See who is a member", "stile council list, stile council show"},
	}},
}

type task struct {
	what     string
	commands string // with commas between
}

// TestManual keeps docs/cli.md and the pages in docs/cli what the commands say
// of themselves: an index by task, the flags that every command has, and a page
// for each noun.
func TestManual(t *testing.T) {
	root := (&app{}).root()
	pages := map[string][]byte{"cli.md": manualIndex(t, root)}
	for _, c := range root.Commands() {
		if c.Hidden {
			continue
		}
		var b bytes.Buffer
		manualPage(&b, c, 1)
		pages[filepath.Join("cli", c.Name()+".md")] = b.Bytes()
	}
	docs := filepath.Join("..", "..", "docs")
	if *update {
		if err := os.RemoveAll(filepath.Join(docs, "cli")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(docs, "cli"), 0o755); err != nil {
			t.Fatal(err)
		}
		for path, page := range pages {
			if err := os.WriteFile(filepath.Join(docs, path), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, page := range pages {
		have, err := os.ReadFile(filepath.Join(docs, path))
		if err != nil || !bytes.Equal(have, page) {
			t.Errorf("docs/%s is not what the commands say of themselves.\nTry: go test ./cmd/stile -run TestManual -update", path)
		}
	}
	there, err := filepath.Glob(filepath.Join(docs, "cli", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if pages[filepath.Join("cli", filepath.Base(path))] == nil {
			t.Errorf("docs/cli/%s is about no command.\nTry: go test ./cmd/stile -run TestManual -update", filepath.Base(path))
		}
	}
}

// manualIndex writes docs/cli.md.
func manualIndex(t *testing.T, root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString("# The commands\n\nWhat `--help` says. These pages are made by `go test ./cmd/stile -run TestManual -update` and kept fresh by that test.\n")
	b.WriteString("\n## By task\n")
	for _, group := range tasks {
		fmt.Fprintf(&b, "\n### %s\n\n| to do | commands |\n|---|---|\n", group.who)
		for _, todo := range group.todo {
			var links []string
			for path := range strings.SplitSeq(todo.commands, ", ") {
				c, rest, err := root.Find(strings.Fields(path)[1:])
				if err != nil || len(rest) > 0 || c.CommandPath() != path {
					t.Errorf("the index by task names %q, which is no command", path)
					continue
				}
				links = append(links, manualLink(c))
			}
			fmt.Fprintf(&b, "| %s | %s |\n", todo.what, strings.Join(links, ", "))
		}
	}
	b.WriteString("\n## All of them\n\n| command | |\n|---|---|\n")
	for _, c := range root.Commands() {
		if !c.Hidden {
			fmt.Fprintf(&b, "| %s | %s |\n", manualLink(c), c.Short)
		}
	}
	fmt.Fprintf(&b, "\n## What holds for every command\n\n```\n%s\n```\n\nEvery command has these flags:\n\n```\n%s```\n", root.Long, root.PersistentFlags().FlagUsages())
	return b.Bytes()
}

func manualLink(c *cobra.Command) string {
	parts := strings.Fields(c.CommandPath())
	link := "cli/" + parts[1] + ".md"
	if len(parts) > 2 {
		link += "#" + strings.Join(parts, "-")
	}
	return fmt.Sprintf("[%s](%s)", c.CommandPath(), link)
}

// manualPage writes what a command says of itself, and below it its verbs.
func manualPage(b *bytes.Buffer, c *cobra.Command, level int) {
	fmt.Fprintf(b, "%s %s\n\n%s\n", strings.Repeat("#", level), c.CommandPath(), c.Short)
	if c.Long != "" {
		fmt.Fprintf(b, "\n%s\n", c.Long)
	}
	verbs := slices.DeleteFunc(slices.Clone(c.Commands()), func(v *cobra.Command) bool { return v.Hidden })
	if len(verbs) == 0 {
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
	}
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", c.Example)
	}
	// Help is a flag of every command, as those of the root are.
	if flags := withoutHelp(c); flags != "" {
		fmt.Fprintf(b, "\nFlags, beside [those of every command](../cli.md#what-holds-for-every-command):\n\n```\n%s```\n", flags)
	}
	if level == 1 && len(verbs) > 0 {
		b.WriteString("\n| verb | |\n|---|---|\n")
		for _, v := range verbs {
			fmt.Fprintf(b, "| [%s](#%s) | %s |\n", v.CommandPath(), strings.ReplaceAll(v.CommandPath(), " ", "-"), v.Short)
		}
	}
	for _, v := range verbs {
		b.WriteByte('\n')
		manualPage(b, v, min(level+1, 4))
	}
}

func withoutHelp(c *cobra.Command) string {
	flags := c.NonInheritedFlags()
	var out strings.Builder
	for line := range strings.Lines(flags.FlagUsages()) {
		if !strings.Contains(line, "--help ") {
			out.WriteString(line)
		}
	}
	return out.String()
}
