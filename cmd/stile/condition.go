package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What somebody should know of is found by package condition, and told here: by status,
// by doctor, and in the forms that monitoring reads.

// feedConditions returns what makes known which feeds are not taken in.
func feedConditions(cfg *config.Config) func() []node.Condition {
	return func() (out []node.Condition) {
		all, err := feedStates(cfg)
		if err != nil {
			c := node.NewCondition("feed-not-taken-in", "how the feeds stand cannot be read", err.Error(), "stile feed list")
			return append(out, c)
		}
		for _, f := range all {
			if f.Problem != "" {
				out = append(out, feedCondition(f))
			}
		}
		return out
	}
}

func feedCondition(f feed.State) node.Condition {
	c := node.NewCondition("feed-not-taken-in", fmt.Sprintf("feed %s is not taken in", f.Name), f.Problem, "stile feed list")
	c.Since = f.Since
	return c
}

// conditionLines prints conditions for people.
func (a *app) conditionLines(cs []node.Condition) {
	words := map[node.Severity]string{node.Critical: "CRITICAL", node.Warning: "warning", node.Notice: "notice"}
	t := newTable("", "")
	for _, c := range cs {
		text := c.Text
		if !c.Since.IsZero() {
			text += ", since " + at(c.Since)
		}
		state := words[c.Severity]
		if c.Accepted {
			state = "accepted"
		}
		t.add(state, fmt.Sprintf("%s (%s)", text, c.Name))
		if c.Cause != "" {
			t.add("", "because: "+c.Cause)
		}
		t.add("", "Try: "+c.Try)
	}
	t.write(a.out, "  ")
}

// failing returns the error of a check: nil when nothing is worse than a notice.
func failing(cs []node.Condition) error {
	bad := slices.DeleteFunc(slices.Clone(cs), func(c node.Condition) bool { return c.Severity == node.Notice })
	switch len(bad) {
	case 0:
		return nil
	case 1:
		return failure(node.Behind, bad[0].Try, "%s: %s", bad[0].Name, bad[0].Text)
	}
	return failure(node.Behind, bad[0].Try, "%s: %s; and %s, which stile status lists", bad[0].Name, bad[0].Text, plural(len(bad)-1, "other thing", "other things"))
}

// A checkFormat is a form in which stile status --check answers.
type checkFormat struct {
	name  string
	write func(w io.Writer, council string, cs []node.Condition, now time.Time) error
	exit  func(cs []node.Condition) error
}

var checkFormats = []checkFormat{
	{"nagios", writeNagios, nagiosExit},
	{"prometheus", writePrometheus, failing},
	{"json", writeCheckJSON, failing},
}

// An exitStatus ends the program with a code and no more words.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// nagiosExit gives the codes that Nagios and those like it know: 0, 1 and 2.
func nagiosExit(cs []node.Condition) error {
	switch api.Worst(cs) {
	case node.Critical:
		return exitStatus(2)
	case node.Warning:
		return exitStatus(1)
	}
	return nil
}

// writeNagios writes a line and, below it, one for each condition. A bar would begin
// figures, so that none stands in the text.
func writeNagios(w io.Writer, council string, cs []node.Condition, _ time.Time) error {
	state := map[node.Severity]string{node.Critical: "CRITICAL", node.Warning: "WARNING"}[api.Worst(cs)]
	first := council + " is well"
	n := map[node.Severity]int{}
	for _, c := range cs {
		n[c.Severity]++
	}
	if state == "" {
		state = "OK"
	} else {
		first = cs[0].Name + ": " + cs[0].Text
	}
	inert := func(s string) string { return strings.ReplaceAll(s, "|", "/") }
	var b strings.Builder
	name.Fprintf(&b, "STILE %s - %s | critical=%d warning=%d notice=%d\n", state, inert(first), n[node.Critical], n[node.Warning], n[node.Notice])
	for _, c := range cs {
		line := fmt.Sprintf("%s %s: %s", strings.ToUpper(string(c.Severity)), c.Name, c.Text)
		if c.Cause != "" {
			line += " (" + c.Cause + ")"
		}
		name.Fprintf(&b, "%s\n", inert(line+". Try: "+c.Try))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writePrometheus writes the text format, for a file that the node exporter reads: the
// figures that /metrics has of conditions.
func writePrometheus(w io.Writer, _ string, cs []node.Condition, now time.Time) error {
	var b strings.Builder
	b.WriteString("# HELP stile_condition How many conditions of the kind hold.\n# TYPE stile_condition gauge\n")
	for _, k := range condition.Counted(cs) {
		name.Fprintf(&b, "stile_condition{name=%q,severity=%q} %d\n", k.Name, k.Severity, k.N)
	}
	name.Fprintf(&b, "# HELP stile_checked_timestamp_seconds When that was looked at, in Unix time.\n# TYPE stile_checked_timestamp_seconds gauge\nstile_checked_timestamp_seconds %d\n", now.Unix())
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCheckJSON(w io.Writer, council string, cs []node.Condition, now time.Time) error {
	enc := json.NewEncoder(name.JSON(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Council    string           `json:"council"`
		At         time.Time        `json:"at"`
		Worst      node.Severity    `json:"worst"` // "" when nothing holds
		Conditions []node.Condition `json:"conditions"`
	}{council, now.UTC().Truncate(time.Second), api.Worst(cs), append([]node.Condition{}, cs...)})
}
