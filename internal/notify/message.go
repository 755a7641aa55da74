package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// The types of documents.
const (
	typeChanges = "stile.conditions"
	typeTest    = "stile.test"
)

// TestMessage returns a message that changes nothing, to try a target with.
func TestMessage(id string, now time.Time) Message {
	return Message{ID: id, At: now.UTC().Truncate(time.Second)}
}

// document returns the message as a webhook sends it, in the shape that Standard Webhooks
// advise:
//
//	{"type": "stile.conditions", "timestamp": "2026-11-28T12:00:00Z",
//	 "data": {"council": "northmoor.gov.uk", "changes": [{"change": "began", …}], "left_out": 0}}
//
// A member may be added to it. Characters that a terminal obeys are escaped.
func (m Message) document(c name.Council) ([]byte, error) {
	type data struct {
		Council name.Council `json:"council"`
		Changes []Change     `json:"changes"`
		LeftOut int          `json:"left_out,omitempty"`
	}
	d := struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      data      `json:"data"`
	}{typeChanges, m.At, data{c, []Change{}, m.LeftOut}}
	if len(m.Changes) == 0 {
		d.Type = typeTest
	}
	for _, ch := range m.Changes {
		ch.Text, ch.Cause, ch.Try = cut(ch.Text, maxText), cut(ch.Cause, maxText), cut(ch.Try, maxText)
		d.Data.Changes = append(d.Data.Changes, ch)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(name.JSON(&b))
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// How long texts may be that are sent, in bytes: a cause may repeat what another council
// wrote. A subject stays below the 998 bytes of a line of RFC 5322 once it is encoded.
const (
	maxText    = 600
	maxSubject = 200
)

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

var words = map[api.Severity]string{api.Critical: "CRITICAL", api.Warning: "warning", api.Notice: "notice"}

// mail returns the message as a mail without sender and receiver, as a program such as
// sendmail reads it (RFC 5322): lines end in a line feed alone, and none is longer than
// what RFC 5322 allows.
func (m Message) mail(c name.Council) []byte {
	subject := fmt.Sprintf("%s: a test of who is told", c)
	if n := len(m.Changes); n > 0 {
		g := gravest(m.Changes)
		subject = fmt.Sprintf("%s: %s: %s", c, words[g.Severity], g.Text)
		if g.Change == Ended {
			subject = fmt.Sprintf("%s: no longer: %s", c, g.Text)
		}
		if n > 1 {
			subject += fmt.Sprintf(" (and %d more)", n-1)
		}
	}
	var b bytes.Buffer
	// Cleaned first, so that nothing of it begins a header, and then encoded.
	name.Fprintf(&b, "Subject: %s\n", mime.QEncoding.Encode("utf-8", name.Line(cut(subject, maxSubject))))
	name.Fprintf(&b, "Date: %s\nMessage-ID: <%s@%s>\nAuto-Submitted: auto-generated\n", m.At.Format(time.RFC1123Z), m.ID, c)
	fmt.Fprintf(&b, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
	name.Fprintf(&b, "From the Stile node of %s, %s.\n", c, stamp(m.At))
	if len(m.Changes) == 0 {
		fmt.Fprintf(&b, "\nThis is a test. Nothing is the matter with the node that this message tells of.\n")
	}
	for _, ch := range m.Changes {
		head := map[string]string{Began: "Since " + stamp(ch.At), Worse: "Worse since " + stamp(ch.At), Ended: "No longer, since " + stamp(ch.At)}[ch.Change]
		if ch.Change == Began && !ch.Since.IsZero() {
			head = "Since " + stamp(ch.Since)
		}
		name.Fprintf(&b, "\n%s: %s (%s)\n", head, words[ch.Severity], ch.Name)
		for _, x := range [][2]string{{"", ch.Text}, {"because: ", ch.Cause}, {"Try: ", ch.Try}} {
			if x[1] != "" {
				name.Fprintf(&b, "%s\n", name.Lines(fold(x[0]+name.Line(cut(x[1], maxText)))))
			}
		}
	}
	if m.LeftOut > 0 {
		fmt.Fprintf(&b, "\n%d older changes could not be kept while this could not be sent.\n", m.LeftOut)
	}
	fmt.Fprintf(&b, "\nWhat holds now: stile status\n")
	return b.Bytes()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// fold breaks a text at spaces into lines of some 76 bytes, set in by two spaces.
func fold(s string) string {
	var b strings.Builder
	at := 0
	for _, w := range strings.Fields(s) {
		switch {
		case at == 0:
			b.WriteString("  ")
		case at+1+len(w) > 74:
			b.WriteString("\n  ")
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(w)
		at += len(w)
	}
	return b.String()
}
