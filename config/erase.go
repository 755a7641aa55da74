package config

import (
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// An EraseRule is a rule of the council's retention schedule: records of its own that
// are due by it are erased, here and wherever they went.
type EraseRule struct {
	// Name tells the rule from others: letters of a to z, digits and hyphens, at
	// most 64. It stands in the log with every erasure. Needed.
	Name string `yaml:"name"`

	// Standard of the records, such as standards.example/housing-need@1. Needed.
	Standard string `yaml:"standard"`

	// Date is the field that the term counts from, such as /closed_on: a date, or a
	// time that begins with one, of the newest text of the record. A record without it
	// is never due, and is counted. Default none: the term counts from when the newest
	// version was logged.
	Date string `yaml:"date"`

	// After is the term, in whole years, months, weeks or days: P6Y, P18M, P90D.
	// Needed.
	After string `yaml:"after"`

	// Reason is logged for good with every erasure, and must name nobody, such as
	// "retention schedule HN-4". Needed.
	Reason string `yaml:"reason"`

	// Most is how many records the running node may erase by the rule in one day: a
	// number, or a percentage of the standard's records. When more are due nothing is
	// erased, and "stile status" says so: then a person runs it. Default 10%.
	Most string `yaml:"most"`
}

// UnmarshalYAML gives a rule its defaults before it is read.
func (r *EraseRule) UnmarshalYAML(decode func(any) error) error {
	type plain EraseRule
	p := plain{Most: "10%"}
	if err := decode(&p); err != nil {
		return err
	}
	*r = EraseRule(p)
	return nil
}

// maxReason is how long a reason may be, in bytes: each erasure logs it.
const maxReason = 200

// check returns what is wrong with a rule, each as a key and a text. Its term, and
// whether the standard has the field, the node asks.
func (r *EraseRule) check(bad func(key, format string, args ...any)) {
	if !feedName.MatchString(r.Name) {
		bad("name", "want letters of a to z, digits and hyphens, at most 64")
	}
	if r.Standard == "" {
		bad("standard", "must be given")
	}
	if r.Date != "" {
		if _, err := name.ParseField(r.Date); err != nil {
			bad("date", "%v", err)
		}
	}
	if r.After == "" {
		bad("after", "must be given: a term such as P6Y")
	}
	if strings.TrimSpace(r.Reason) == "" || len(r.Reason) > maxReason {
		bad("reason", "must be given, in at most %d bytes: it is logged", maxReason)
	}
	if !feedShare.MatchString(r.Most) {
		bad("most", "want a number such as 50, or a percentage such as 10%%")
	}
}
