package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A Result is what came of a check.
type Result string

// The results. A check that was done in part is OK and counts in NotDone what
// it could not look at; its Detail says why.
const (
	OK      Result = "ok"
	Failed  Result = "failed"
	NotDone Result = "not done"
)

// The checks, in the order in which a report lists them.
const (
	CheckContents            = "contents"             // the bundle holds what it says it holds, line by line as the format has it
	CheckKeys                = "keys"                 // the keys used are ones the auditor was given, not only the file's own
	CheckCheckpoint          = "checkpoint"           // the council's log key and a record key signed the main checkpoint
	CheckHistory             = "history"              // every other checkpoint is an earlier state of the same log
	CheckWitnesses           = "witnesses"            // others cosigned, and when
	CheckInclusion           = "inclusion"            // every entry is in the log
	CheckTokens              = "tokens"               // every entry can be read: form, claims, issuer
	CheckRecordSignatures    = "record-signatures"    // each record is signed by the council
	CheckEventSignatures     = "event-signatures"     // each event is signed by whom it names
	CheckDisclosures         = "disclosures"          // every disclosed field is the one that was signed
	CheckStandards           = "standards"            // the standard of each record is here and is the one it names
	CheckValid               = "valid"                // what can be seen of each record fits its standard
	CheckAgreements          = "agreements"           // agreement documents are readable, complete and fit the standard
	CheckAgreementSignatures = "agreement-signatures" // each was signed, as it stands, by every party
	CheckInForce             = "in-force"             // it was in force whenever records went out under it
	CheckFields              = "fields"               // no record shows a field beyond the agreement
	CheckRows                = "rows"                 // no record is one that the agreement's filter leaves out
	CheckLogged              = "logged"               // every record that went out is in a logged disclosure
	CheckReceipts            = "receipts"             // what receivers signed for
	CheckWithdrawals         = "withdrawals"          // what was taken back or erased, and whether it was deleted
	CheckCases               = "cases"                // each record that people let out went after acceptance or a second person's approval
	CheckVersions            = "versions"             // versions of a record follow one another
	CheckDuplicates          = "duplicates"           // nothing is in the log twice, but a disclosure that was sent again
	CheckTimes               = "times"                // claimed times agree with the log and with witnesses
	CheckSuccession          = "succession"           // a log that is sealed has no more entries; what was taken over from one stood in it
	CheckComplete            = "complete"             // nothing was left out
)

var allChecks = [...]string{
	CheckContents, CheckKeys, CheckCheckpoint, CheckHistory, CheckWitnesses, CheckInclusion, CheckTokens,
	CheckRecordSignatures, CheckEventSignatures, CheckDisclosures, CheckStandards, CheckValid, CheckAgreements,
	CheckAgreementSignatures, CheckInForce, CheckFields, CheckRows, CheckLogged, CheckReceipts, CheckWithdrawals,
	CheckCases, CheckVersions, CheckDuplicates, CheckTimes, CheckSuccession, CheckComplete,
}

// A Check is one check of a report. No part of it holds a field's value.
type Check struct {
	Name     string    `json:"name"` // one of the Check constants
	Result   Result    `json:"result"`
	Count    int       `json:"count"`              // things looked at and found in order
	Failed   int       `json:"failed,omitempty"`   // things looked at and found wrong
	NotDone  int       `json:"not_done,omitempty"` // things that could not be looked at
	Detail   string    `json:"detail"`             // in plain words
	Failures []Failure `json:"failures,omitempty"` // the first MaxFailures
}

// MaxFailures is how many failures a check lists; all are counted.
const MaxFailures = 20

// A Failure is one thing found wrong.
type Failure struct {
	Place   string  `json:"place"`             // such as "entry 17" or "events/saltby.gov.uk.ndjson line 2"
	Entry   *uint64 `json:"entry,omitempty"`   // log index, when the place is an entry
	Rule    string  `json:"rule"`              // what does not hold
	Pointer string  `json:"pointer,omitempty"` // RFC 6901 pointer to a field of the record
}

// Counts says how much was looked at.
type Counts struct {
	Entries     int `json:"entries"`
	Records     int `json:"records"` // versions of records
	Events      int `json:"events"`  // by all councils
	Disclosed   int `json:"fields_disclosed"`
	Withheld    int `json:"fields_withheld"`
	Disclosures int `json:"disclosures"` // logged batches that went to a receiver
	Receipts    int `json:"receipts"`
	Withdrawals int `json:"withdrawals"`
	Retained    int `json:"deleted_at_term,omitempty"` // records that receivers say they deleted at the end of their term
	Renewals    int `json:"renewals,omitempty"`        // by which a party put the date of review off
	Erasures    int `json:"erasures,omitempty"`        // versions of records that the council says it erased
}

// A Witnessed is the word of a witness that the log stood at a checkpoint.
type Witnessed struct {
	Witness name.Council `json:"witness"`
	Size    uint64       `json:"size"`
	Time    time.Time    `json:"time"` // by the witness's clock, UTC
}

// A Report says of each check what came of it.
type Report struct {
	Kind      string       `json:"kind"` // "bundle", "record", "event"
	Council   name.Council `json:"council,omitempty"`
	Holder    name.Council `json:"holder,omitempty"` // who was given what the bundle holds, and made it
	Created   time.Time    `json:"created,omitzero"` // as the bundle says
	Covers    Covers       `json:"covers,omitzero"`
	Subject   string       `json:"subject"` // what the file says it is, in words
	Result    Result       `json:"result"`  // failed when any check did
	LogSize   uint64       `json:"log_size,omitempty"`
	LogRoot   string       `json:"log_root,omitempty"` // base64, when the checkpoint's signature holds
	Counts    Counts       `json:"counts"`
	Checks    []Check      `json:"checks"`
	Keys      []UsedKey    `json:"keys,omitempty"`
	Witnesses []Witnessed  `json:"witnesses,omitempty"`
	// What the council committed to under the agreement covered, in the order of its log,
	// each counted again from what the file holds.
	Commitments []api.AuditedCheckpoint `json:"commitments,omitempty"`
	Arrivals    *Arrivals               `json:"arrivals,omitempty"` // where the auditor asked for it
}

// OK reports whether no check failed. It says nothing of checks that were not
// done.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Result == Failed })
}

// Check returns the check of that name; false when the report has none.
func (r *Report) Check(name string) (Check, bool) {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{}, false
	}
	return r.Checks[i], true
}

// tally is a check as it is being done.
type tally struct {
	ok, failed, undone int
	failures           []Failure
}

func (t *tally) pass(n int) { t.ok += n }
func (t *tally) skip(n int) { t.undone += n }

func (t *tally) fail(place, rule, pointer string) {
	t.failed++
	if len(t.failures) < MaxFailures {
		t.failures = append(t.failures, Failure{Place: place, Rule: rule, Pointer: pointer})
	}
}

func (t *tally) failEntry(index uint64, rule, pointer string) {
	t.failed++
	if len(t.failures) < MaxFailures {
		t.failures = append(t.failures, Failure{Place: "entry " + strconv.FormatUint(index, 10), Entry: &index, Rule: rule, Pointer: pointer})
	}
}

func (t *tally) add(u *tally) {
	t.ok, t.failed, t.undone = t.ok+u.ok, t.failed+u.failed, t.undone+u.undone
	t.failures = append(t.failures, u.failures[:min(len(u.failures), MaxFailures-len(t.failures))]...)
}

func (t *tally) result() Result {
	switch {
	case t.failed > 0:
		return Failed
	case t.ok > 0:
		return OK
	}
	return NotDone
}

// sheet is a report as it is being written: a tally and the words for each check.
type sheet struct {
	tallies map[string]*tally
	details map[string]string
}

func newSheet() *sheet {
	return &sheet{tallies: map[string]*tally{}, details: map[string]string{}}
}

func (s *sheet) on(check string) *tally {
	t := s.tallies[check]
	if t == nil {
		t = new(tally)
		s.tallies[check] = t
	}
	return t
}

func (s *sheet) merge(o *sheet) {
	for name, t := range o.tallies {
		s.on(name).add(t)
	}
}

// say adds words to a check's detail.
func (s *sheet) say(check, format string, a ...any) {
	if s.details[check] != "" {
		s.details[check] += " "
	}
	s.details[check] += fmt.Sprintf(format, a...)
}

// checks lists the checks that were mentioned, in order.
func (s *sheet) checks() (out []Check, result Result) {
	result = OK
	for _, name := range allChecks {
		t, d := s.tallies[name], s.details[name]
		if t == nil && d == "" {
			continue
		}
		if t == nil {
			t = new(tally)
		}
		c := Check{Name: name, Result: t.result(), Count: t.ok, Failed: t.failed, NotDone: t.undone, Detail: d, Failures: t.failures}
		if c.Result == Failed {
			result = Failed
		}
		out = append(out, c)
	}
	return out, result
}

// JSON returns the report as one indented document, ended by a line feed.
func (r *Report) JSON() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("internal error: a report has no JSON: " + err.Error())
	}
	return append(b, '\n')
}

// WriteText writes the report for a person to read: the outcome first, then
// what failed, what was not checked, and what was found in order.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, name.Line(r.Subject))
	failed, undone := 0, 0
	for _, c := range r.Checks {
		if c.Result == Failed {
			failed++
		} else if c.Result == NotDone || c.NotDone > 0 {
			undone++
		}
	}
	switch {
	case failed > 0:
		fmt.Fprintf(&b, "\nVERIFICATION FAILED: %s.\n", count(failed, "check"))
	default:
		fmt.Fprintf(&b, "\nNothing failed. %s not done, or only in part: see below.\n", count(undone, "check"))
	}
	if t := r.Arrivals; t != nil {
		fmt.Fprintf(&b, "\n%s\n", name.Line(t.String()))
	}
	section := func(title string, want func(Check) bool) {
		first := true
		for _, c := range r.Checks {
			if !want(c) {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n%s\n", title)
				first = false
			}
			paragraph(&b, strings.ReplaceAll(c.Name, "-", " "), c.Detail)
			for _, f := range c.Failures {
				at := f.Place
				if f.Pointer != "" {
					at += " at " + strconv.Quote(f.Pointer)
				}
				paragraph(&b, "", "- "+at+": "+f.Rule)
			}
			if more := c.Failed - len(c.Failures); more > 0 && c.Failed > 0 {
				paragraph(&b, "", fmt.Sprintf("- and %d more", more))
			}
		}
	}
	section("Failed", func(c Check) bool { return c.Result == Failed })
	section("Not checked, or not in full", func(c Check) bool { return c.Result == NotDone || c.Result == OK && c.NotDone > 0 })
	section("Checked and in order", func(c Check) bool { return c.Result == OK && c.NotDone == 0 })
	if len(r.Keys) > 0 {
		fmt.Fprint(&b, "\nKeys the signatures were checked with\n")
		for _, k := range r.Keys {
			fmt.Fprintf(&b, "  %s\n    (%s)\n", k.Key, k.Source.words())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// paragraph writes text beside a label, broken into lines that fit a terminal
// or a printed page.
func paragraph(b *strings.Builder, label, text string) {
	const indent, width = 24, 100
	fmt.Fprintf(b, "  %-*s", indent-2, label)
	at := indent
	for i, word := range strings.Fields(text) {
		word = name.Line(word)
		if i > 0 && at+1+len(word) > width {
			fmt.Fprintf(b, "\n%*s", indent, "")
			at = indent
		} else if i > 0 {
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteByte('\n')
}

// count says a number of things: "1 record", "1,204 records".
func count(n int, thing string) string {
	s := number(n) + " " + thing
	switch {
	case n == 1:
		return s
	case strings.HasSuffix(thing, "ry"):
		return s[:len(s)-1] + "ies"
	case strings.HasSuffix(thing, "ch"):
		return s + "es"
	}
	return s + "s"
}

func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
