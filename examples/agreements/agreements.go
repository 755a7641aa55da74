// Package agreements is templates of agreements as data: the sharings that councils ask for
// most, each complete, against a standard that comes with Stile. They are between
// northmoor.gov.uk, which sends, and saltby.gov.uk; a draft of one has other parties.
//
// What only the parties can know, such as the reference of their impact assessment, is an
// example, and stands under a comment that begins with YOURS.
package agreements

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// The parties of every template, and the ONS code of the receiver, by which rows name it.
const (
	Sender      = "northmoor.gov.uk"
	Receiver    = "saltby.gov.uk"
	ReceiverGSS = "E07000999"
)

// A Template is one of the shipped agreements.
type Template struct {
	Name     string // such as people-moving
	Title    string // what is shared, in a line
	Document []byte // YAML, with comments
}

// Templates returns every template, sorted by name.
func Templates() []Template {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("internal error: " + err.Error())
	}
	var out []Template
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			panic("internal error: " + err.Error())
		}
		title, _, _ := strings.Cut(string(b), "\n")
		out = append(out, Template{strings.TrimSuffix(e.Name(), ".yaml"), strings.TrimPrefix(title, "# "), b})
	}
	return out
}

// Find returns the template of a name; false when there is none.
func Find(name string) (Template, bool) {
	all := Templates()
	i := slices.IndexFunc(all, func(t Template) bool { return t.Name == name })
	if i < 0 {
		return Template{}, false
	}
	return all[i], true
}

// For returns the document between other parties, its comments kept. gss are the ONS
// codes of the receivers; where there are none, rows name the example's still. slug is
// the last part of the agreement's name; "" is the template's. starts and review are days,
// such as 2026-12-01.
func (t Template) For(sender string, receivers, gss []string, slug, starts, review string) []byte {
	var out []string
	if slug == "" {
		slug = t.Name
	}
	for l := range strings.SplitSeq(string(t.Document), "\n") {
		switch {
		case strings.HasPrefix(l, "agreement: "):
			l = "agreement: " + sender + "/" + slug
		case strings.HasPrefix(l, "to: "):
			l = "to: [" + strings.Join(receivers, ", ") + "]"
		case strings.HasPrefix(l, "review: "):
			l = "review: " + review
		case strings.HasPrefix(l, "starts: "):
			l = "starts: " + starts
		case strings.HasPrefix(l, "  "+Receiver+": "):
			for _, r := range receivers {
				out = append(out, strings.ReplaceAll(l, Receiver, r))
			}
			continue
		case strings.HasPrefix(l, "rows: ") && len(gss) == 1:
			l = strings.ReplaceAll(l, ReceiverGSS, gss[0])
		case strings.HasPrefix(l, "rows: ") && len(gss) > 1:
			l = strings.ReplaceAll(l, fmt.Sprintf("== %q", ReceiverGSS), "in "+strings.ReplaceAll(fmt.Sprintf("%q", gss), " ", ", "))
		case strings.HasPrefix(l, "# YOURS: "+ReceiverGSS) && len(gss) > 0:
			_, rest, _ := strings.Cut(l, ". ")
			if rest == "" {
				continue
			}
			l = "# " + rest
		}
		out = append(out, strings.ReplaceAll(l, Sender, sender))
	}
	return []byte(strings.Join(out, "\n"))
}
