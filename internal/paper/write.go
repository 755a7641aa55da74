package paper

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/document"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas/councils"
)

// Evidence is what a node knows of an agreement beside its text. The zero Evidence is
// that of a draft that nobody has signed.
type Evidence struct {
	State      string // in words: "in force", or why it is not
	Review     string // the date of review that counts, where parties have renewed it
	Signatures []Signature
	// Log, Size and Root are the checkpoint of the log of the council that printed the
	// paper, when it did.
	Log  string
	Size uint64
	Root string
}

// A Signature is one party's, as an event in its log.
type Signature struct {
	Council string
	By      string    // the person who had the council sign, where that is logged
	At      time.Time // as the council says
	Entry   uint64    // of the council's log, counted from 0
	Digest  string    // SHA-256 of the signed event, hexadecimal
}

const code = `Information Commissioner's Office, "Data sharing: a code of practice", chapter "Data sharing agreements"`

// Write returns the paper of an agreement: every heading, what the nodes enforce of it in
// plain words, who signed, and how that is proved. std is the standard that the agreement
// names; with nil the fields have no words. The same agreement and evidence are the same
// paper.
func Write(a *agreement.Agreement, std *standard.Standard, ev Evidence) *document.Document {
	d := &document.Document{
		Title:    "Data sharing agreement",
		Subject:  fmt.Sprintf("%s, version %d", a.Name, a.Version),
		Language: "en-GB",
	}
	signed := len(ev.Signatures) > 0
	d.Add(fmt.Sprintf("%s, version %d, between %s and %s.", a.Name, a.Version, a.From, list(a.To)))
	if !signed {
		d.Add("Draft: nobody has signed this text.")
	}
	d.Add("The sections are those that the Information Commissioner's data sharing code asks for. What the nodes of the parties enforce by themselves is said under \"What the nodes enforce\".")
	for i, s := range sections {
		d.Heading(1, strconv.Itoa(i+1)+". "+s.title)
		before := len(d.Blocks)
		for _, l := range s.lines {
			writeLine(d, a, std, l)
		}
		if len(d.Blocks) == before {
			d.Add(nothing)
		}
	}
	next := len(sections) + 1
	d.Heading(1, fmt.Sprintf("%d. What the nodes enforce", next))
	enforced(d, a, std)
	d.Heading(1, fmt.Sprintf("%d. Signatures", next+1))
	signatures(d, a, ev)
	d.Heading(1, fmt.Sprintf("%d. Proof", next+2))
	proof(d, a, ev)
	return d
}

// nothing stands in a section of which the agreement says nothing, so that nobody takes it for
// forgotten; and unfilled where it has to say something yet. Fill reads neither.
const (
	nothing  = "(nothing is agreed of this)"
	unfilled = "(not filled in yet)"
)

func writeLine(d *document.Document, a *agreement.Agreement, std *standard.Standard, l line) {
	text := a.Text(l.key)
	required := false
	table := false
	for _, h := range agreement.Headings() {
		if h.Key == l.key {
			required, table = h.Required, h.Table
		}
	}
	if text == "" && !required {
		return
	}
	d.Heading(2, l.title)
	switch {
	case (l.key == "fields" || l.key == "onward/fields") && text != "":
		rows, fields := [][]string{{"Field", "In words", "Class"}}, a.Fields
		if l.key == "onward/fields" {
			fields = a.Onward.Fields
		}
		for _, f := range fields {
			words, class := "", ""
			if std != nil {
				words, class = agreement.FieldWords(std, f), string(std.Class(f))
			}
			named := string(f)
			if f == "" {
				named = "(the whole record)"
			}
			rows = append(rows, []string{named, agreement.Tidy(words), class})
		}
		d.Table(rows...)
	case table && text != "":
		rows := [][]string{{"Party", l.title}}
		for _, c := range a.Parties() {
			said := string(a.Roles[c])
			if l.key == "contacts" {
				said = a.Contacts[c]
			}
			rows = append(rows, []string{string(c), said})
		}
		d.Table(rows...)
	case text == "":
		d.Add(unfilled)
	default:
		d.Add(text)
	}
}

// enforced says in plain words what no person has to see to.
func enforced(d *document.Document, a *agreement.Agreement, std *standard.Standard) {
	way := a.Way()
	d.Add("Way of sharing: " + string(a.Mode) + ", that is: " + way.Means + ".")
	if words := a.RowWords(); len(words) > 0 {
		d.Add("A record is of this sharing when all of this holds of it:")
		for _, w := range words {
			d.Item(gssCode.ReplaceAllStringFunc(w, withName))
		}
		if a.Rows != "true" {
			d.Add("Where a record lacks what a condition asks for, the condition does not hold, whichever way it is put: a record without a status is not one whose status is something else.")
		}
	}
	if way.Shows() {
		d.Add("Of such a record these fields travel, and no other:")
		items(d, std, a.Fields)
	} else {
		d.Add("No record travels, only counts from which small groups are left out.")
	}
	if way.ByMatch {
		d.Add("A record is asked for by one of these, and by nothing else:")
		items(d, std, a.Match)
	}
	if a.Due != "" {
		d.Add("Taken over: within " + a.Due + " of the day of notice. Both nodes show the last day and what is left of it, counted with England's bank holidays where it is of working days; nothing happens by itself when it passes.")
	}
	if a.Most.Bounds() {
		what := "records, to each receiver"
		if !way.Copied {
			what = "questions, answered to each receiver"
		}
		d.Add("At most: " + a.Most.String() + " of " + what + ".")
	}
	if k := a.Kept(); k != "" {
		d.Add("Kept: " + k + ".")
		d.Add("For people to see to: " + agreement.ByPeople + ".")
	}
	if s := a.SubjectWords(); s != "" {
		d.Add("Questions about a person: " + s + ".")
	}
	if s := a.OriginWords(); s != "" {
		d.Add("What travels: " + s + ".")
	}
	if s := a.OnwardWords(); s != "" {
		d.Add("What a receiver may pass on: " + s + ".")
	}
	d.Add("Nothing travels before every party has signed and the first day has come, from the date of review on unless every party has renewed it, while a party has suspended it, or after its end.")
}

// gssCode is a council's code as it stands in the words of rows.
var gssCode = regexp.MustCompile(`"E[0-9]{8}"`)

// withName puts the name of the council that has a code behind it, where the list of
// England's councils has it.
func withName(quoted string) string {
	if c, ok := councils.ByGSS(strings.Trim(quoted, `"`)); ok {
		return quoted + " (" + c.Name + ")"
	}
	return quoted
}

// items lists fields, with what the standard says of them.
func items(d *document.Document, std *standard.Standard, fields []name.Field) {
	for _, f := range fields {
		item := string(f)
		if f == "" {
			item = "what the standard leaves open"
		}
		if std != nil {
			if w := agreement.Tidy(agreement.FieldWords(std, f)); w != "" {
				item += ": " + w
			}
		}
		d.Item(item)
	}
}

func signatures(d *document.Document, a *agreement.Agreement, ev Evidence) {
	rows := [][]string{{"Party", "Signed on (UTC)", "By", "Entry of its log"}}
	seen := map[string]bool{}
	for _, s := range ev.Signatures {
		seen[s.Council] = true
		rows = append(rows, []string{s.Council, s.At.UTC().Format("2006-01-02 15:04:05"), s.By, strconv.FormatUint(s.Entry, 10)})
	}
	for _, c := range a.Parties() {
		if !seen[string(c)] {
			rows = append(rows, []string{string(c), "not signed", "", ""})
		}
	}
	d.Table(rows...)
	if ev.State != "" {
		d.Add("On the day of this print the agreement is " + ev.State + ".")
	}
	if ev.Review != "" && ev.Review != string(a.Review) {
		d.Add("The parties have renewed it: the date of review that counts is " + ev.Review + ".")
	}
}

func proof(d *document.Document, a *agreement.Agreement, ev Evidence) {
	d.Add("What is signed is the text of this agreement in canonical form (RFC 8785), whose SHA-256 is:")
	d.Add(a.Digest().String())
	for _, s := range ev.Signatures {
		d.Item(fmt.Sprintf("%s: entry %d of its log; SHA-256 of the signed event: %s", s.Council, s.Entry, s.Digest))
	}
	if ev.Log != "" {
		d.Add(fmt.Sprintf("Checkpoint of the log of %s when this was printed: %d entries, root %s.", ev.Log, ev.Size, ev.Root))
	}
	if len(ev.Signatures) > 0 {
		d.Add("This paper is a print. What proves the signatures is the logs: stile export bundle --agreement " + string(a.Name) + " makes a file that anybody checks with stile-audit, from public keys alone.")
	}
	d.Add("Sections after: " + code + ".")
}

func list[T ~string](in []T) string {
	var out []string
	for _, s := range in {
		out = append(out, string(s))
	}
	if len(out) < 2 {
		return strings.Join(out, "")
	}
	return strings.Join(slices.Clip(out[:len(out)-1]), ", ") + " and " + out[len(out)-1]
}
