package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// failure makes an error with its kind, which decides the exit code, and with
// what to do about it.
func failure(k node.Kind, try, format string, args ...any) *node.Error {
	return &node.Error{Kind: k, Message: fmt.Sprintf(format, args...), Try: try}
}

func misused(format string, args ...any) *node.Error {
	return failure(node.Usage, "", format, args...)
}

// flagged says what is wrong with a flag. The library that reads flags tells, with what was
// typed, which of its own functions could not read it: a person is told what the flag wants.
func flagged(err error) *node.Error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return misused("%v", err)
	}
	want := flagWants[bad.GetFlag().Value.Type()]
	if errors.Is(err, strconv.ErrRange) {
		want = "a smaller number"
	}
	return misused("--%s wants %s", bad.GetFlag().Name, want)
}

// flagWants says by the type of a flag what it wants, of each type that not every text is of.
var flagWants = map[string]string{
	"int":         "a whole number, such as 3",
	"uint64":      "a whole number of 0 or more, such as 3",
	"duration":    "a length of time, such as 15m or 2h",
	"bool":        "true or false, or nothing after it",
	"stringSlice": "a list with commas between, and no quotation mark in it",
}

func exitCode(k node.Kind) int {
	switch k {
	case node.Usage:
		return 2
	case node.NotFound:
		return 3
	case node.Refused:
		return 4
	case node.Invalid:
		return 5
	case node.Unverified:
		return 6
	case node.Unreachable:
		return 7
	case node.Behind:
		return 8
	case node.Conflict:
		return 9
	}
	return 1
}

// explain turns any error into one with a kind and a way on. cmd is the
// command that failed.
func explain(cmd *cobra.Command, err error) *node.Error {
	f := &node.Error{Kind: node.Failed, Message: err.Error()}
	if e, ok := errors.AsType[*node.Error](err); ok {
		c := *e
		f = &c
	} else if _, ok := errors.AsType[*config.Error](err); ok {
		f.Kind, f.Try = node.Usage, "mend the file; every key is explained in config/example.yaml"
	} else {
		switch {
		case errors.Is(err, ledger.ErrInUse):
			f.Kind, f.Message = node.Conflict, "the data folder is in use by another process, which does not answer on the admin socket"
			f.Try = "wait until the other command is done; run \"stile serve\" and several commands can work side by side"
		case errors.Is(err, ledger.ErrReading), errors.Is(err, ledger.ErrReadOnly):
			f.Try = "have the disk mounted so that it can be written to; stile status and stile record list read the folder as it is"
		case errors.Is(err, ledger.ErrFull):
			f.Try = "free some disk space"
		case errors.Is(err, ledger.ErrDamaged), errors.Is(err, keys.ErrAltered):
			f.Kind, f.Try = node.Unverified, "stile restore of the newest backup into a new folder, whose node then asks partners for what was signed since; nothing was written, and docs/faults.md says what can be put right"
		case errors.Is(err, tufdir.ErrRole):
			f.Kind, f.Try = node.Refused, "stile directory remove, and admit it again"
		case errors.Is(err, keys.ErrPassphrase):
			f.Try = "name the file with the passphrase under passphrase_file in stile.yaml"
		case errors.Is(err, fs.ErrNotExist):
			f.Kind, f.Try = node.NotFound, "look at the path again"
		case errors.Is(err, fs.ErrExist):
			f.Kind, f.Try = node.Conflict, "name another file, or move the old one away"
		case errors.Is(err, fs.ErrPermission):
			f.Try = "run it as the user who owns the data folder"
		case errors.Is(err, context.Canceled):
			f.Message, f.Try = "stopped before it was done", "run it again: what was done stays done"
		case cmd != nil && strings.HasPrefix(f.Message, "unknown command "), strings.HasPrefix(f.Message, "required flag(s)"):
			f.Kind = node.Usage
			var meant string
			f.Message, meant, _ = strings.Cut(f.Message, "\n")
			if w := strings.Fields(meant); len(w) > 0 && cmd != nil { // "Did you mean this?" and the command
				f.Try = cmd.CommandPath() + " " + w[len(w)-1]
			}
		}
	}
	var try string
	if f.Message, try = inPlainWords(f.Message); f.Try == "" {
		f.Try = cmp.Or(try, wayOn(cmd, f.Kind))
	}
	return f
}

// What a system says of a file that cannot be had, and of an address that a program cannot
// listen on, with what it is said of. It may stand in the middle of a message, and may have
// come from a node, which only sends texts.
var (
	systemOfFile   = regexp.MustCompile(`(?:read file: )?\b(?:open|openat|stat|lstat|read|readlink|chdir|mkdir) ([^:\n]+): (no such file or directory|permission denied|is a directory|not a directory|read-only file system)`)
	systemOfListen = regexp.MustCompile(`(?:open network: listen at \S+: failed to listen on any addresses: \[)?\blisten (?:tcp|udp)[46]? (\S+): bind: (address already in use|permission denied|cannot assign requested address)\]?`)
)

// inPlainWords puts what a system says into words for a person, and returns what to try; "" where
// nothing of that kind is in a message.
func inPlainWords(message string) (said, try string) {
	said = systemOfListen.ReplaceAllStringFunc(message, func(s string) string {
		m := systemOfListen.FindStringSubmatch(s)
		switch try = "stop what has the address, or name another in stile.yaml; stile doctor tries them all"; m[2] {
		case "address already in use":
			return "another program listens on " + m[1] + " already"
		case "permission denied":
			try = "name an address with a port above 1023 in stile.yaml, or let the system give this user the port"
			return "this user may not listen on " + m[1]
		}
		try = "name an address of this machine in stile.yaml, or 0.0.0.0 for all of them"
		return m[1] + " is no address of this machine"
	})
	said = systemOfFile.ReplaceAllStringFunc(said, func(s string) string {
		m := systemOfFile.FindStringSubmatch(s)
		path := strconv.Quote(strings.Trim(m[1], `"`))
		switch m[2] {
		case "no such file or directory":
			return "there is no file or folder " + path
		case "permission denied":
			return "this user may not open " + path
		case "is a directory":
			return path + " is a folder, and a file is wanted"
		case "not a directory":
			return path + " is not in a folder: a part of the path is a file"
		}
		return path + " is on a disk that cannot be written to"
	})
	return said, try
}

// wayOn is what to try when an error does not say it itself.
func wayOn(cmd *cobra.Command, k node.Kind) string {
	path := "stile"
	if cmd != nil {
		path = cmd.CommandPath()
	}
	switch k {
	case node.Usage:
		return path + " --help"
	case node.NotFound:
		if noun, _, ok := strings.Cut(strings.TrimPrefix(path, "stile "), " "); ok && noun != "export" {
			return "stile " + noun + " list"
		}
		return "stile record list"
	case node.Refused:
		return "stile agreement list"
	case node.Unreachable, node.Behind:
		return "stile status"
	case node.Unverified:
		return "ask whoever handed it over for a fresh copy, and keep this one"
	}
	return "stile doctor"
}

// complain says on standard error what went wrong and what to do about it.
func (a *app) complain(f *node.Error) {
	if a.json {
		doc := struct {
			*node.Error
			Exit int `json:"exit"`
		}{f, exitCode(f.Kind)}
		enc := json.NewEncoder(name.JSON(a.err))
		enc.SetEscapeHTML(false)
		enc.Encode(map[string]any{"error": doc})
		return
	}
	for line := range strings.Lines(f.Message) {
		a.say("%s", strings.TrimRight(line, "\n"))
	}
	for _, p := range f.Problems {
		a.hint("  %s\n", problemLine(p))
	}
	a.hint("Try: %s\n", f.Try)
}

// toldProblems are what a standard at hand finds, in the form that a node tells
// them.
func toldProblems(in []standard.Problem) (out []node.Problem) {
	for _, p := range in {
		out = append(out, node.Problem(p))
	}
	return out
}

func problemLine(p node.Problem) string {
	at := p.Pointer
	if at == "" {
		at = "(the whole)"
	}
	s := fmt.Sprintf("%s: %s", at, p.Detail)
	if p.Detail == "" {
		s = fmt.Sprintf("%s: fails %q", at, p.Rule)
	}
	if p.Fix != "" {
		s += ": " + p.Fix
	}
	return s
}

// say talks to the person on standard error.
func (a *app) say(format string, args ...any) {
	a.hint("stile: %s\n", fmt.Sprintf(format, args...))
}
