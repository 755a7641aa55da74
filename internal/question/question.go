// Package question asks and answers under agreements of which nothing is copied:
// those of mode lookup, where one record is asked for by one value, and of mode
// aggregate, where counts are. An [Asker] asks other councils and footprints, an
// [Answerer] answers them, from this council's ledger or from its replica of a
// footprint.
//
// The invariant of the package: a question is charged to who asks, durably, before
// anything is looked for, and an answer stands in the answering council's log,
// signed, before it leaves. DESIGN.md says what follows from that.
package question

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/node/name"
)

// Agreements says where agreements stand.
type Agreements interface {
	// Status returns where an agreement stands: of its text in force or, if none
	// is, of the newest that was proposed; false when none was.
	Status(a name.Agreement, now time.Time) (agreement.Status, bool)
	// Texts returns where every text of an agreement stands, the newest first.
	Texts(a name.Agreement, now time.Time) []agreement.Status
	// Changed returns a channel that is closed when something was said of
	// agreements. Take it before looking at what is waited for.
	Changed() <-chan struct{}
}

// Footprints says what this node knows of footprints.
type Footprints interface {
	// Is reports whether a party of an agreement is a footprint.
	Is(c name.Council) bool
	// Members returns the councils that keep a footprint, as far as is known here.
	Members(c name.Council) []name.Council
	// Signers returns the members that have themselves signed a text to which the
	// footprint is party, as far as is known here.
	Signers(c name.Council, ref agreement.Ref) ([]name.Council, error)
	// Replica returns our open replica of a footprint, nil when there is none.
	Replica(c name.Council) *footprint.Footprint
}

// Options say what an [Asker] and an [Answerer] work with. All are needed.
type Options struct {
	Self       name.Council
	Ledger     *ledger.Ledger
	Keys       *keys.Ring
	Directory  *directory.Directory
	Judge      *judge.Judge
	Agreements Agreements
	Footprints Footprints
	// PerDay returns how many questions one partner may ask in a day (UTC) under
	// the text of one agreement.
	PerDay func() int
	// PerHour is the same for an hour; nil for no bound but that of the day.
	PerHour func() int
	// Tell says of records that went under an agreement what is held of them here and to
	// whom they were given, and of how much else nothing is said; nil where nothing is told.
	Tell  func(ctx context.Context, v *ledger.View, doc *agreement.Agreement, asker name.Council, records []name.Record) (told []event.Told, unsaid uint64, err error)
	Quota *quota.Keeper // where what is refused is counted; may be nil
	// Refused, which may be nil, is told of a question that is not answered: whose it
	// was, the code of the refusal, and the agreement where there is one with the asker.
	Refused func(from name.Council, code string, a name.Agreement)
	Log     *slog.Logger
	Now     func() time.Time
	Random  io.Reader // random bytes: ids of questions, and what hides a value
}

// inForce returns the text of an agreement that is in force, or nil and why there
// is none, and the newest text.
func (o *Options) inForce(a name.Agreement, now time.Time) (doc *agreement.Agreement, why string, newest *agreement.Agreement) {
	st, ok := o.Agreements.Status(a, now)
	switch {
	case !ok:
		return nil, "no such agreement was proposed", nil
	case !st.InForce():
		return nil, st.Why, st.Agreement
	}
	return st.Agreement, "", st.Agreement
}

// mayAsk reports whether a council may ask under an agreement, once it is in
// force: as its receiver, or for a footprint that is one.
func (o *Options) mayAsk(doc *agreement.Agreement, from, fp name.Council) bool {
	if fp == "" {
		return slices.Contains(doc.To, from) && doc.From != from
	}
	return slices.Contains(doc.To, fp) && o.speaksFor(fp, doc, from)
}

// speaksFor reports whether a council is a member of a footprint that is party to
// an agreement and has itself signed it.
func (o *Options) speaksFor(fp name.Council, doc *agreement.Agreement, c name.Council) bool {
	if !o.Footprints.Is(fp) || !slices.Contains(o.Footprints.Members(fp), c) {
		return false
	}
	signers, err := o.Footprints.Signers(fp, doc.Ref())
	return err == nil && slices.Contains(signers, c)
}

// checkReason holds a reason to what may stand in two councils' logs.
func checkReason(s string) error {
	if s == "" || len(s) > event.MaxBecause || !utf8.ValidString(s) {
		return fmt.Errorf("a reason is a text of at most %d bytes", event.MaxBecause)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return errors.New("a reason is one line of text")
		}
	}
	return nil
}

// checkCase holds a case reference to what may stand in two councils' logs.
func checkCase(s string) error {
	if len(s) > event.MaxCase {
		return fmt.Errorf("a case reference has at most %d bytes", event.MaxCase)
	}
	return checkReason(s)
}

// FieldWords lists fields as a sentence does: "/nino or /reference".
func FieldWords(fs []name.Field) string {
	out := ""
	for i, f := range fs {
		switch {
		case i == 0:
		case i == len(fs)-1:
			out += " or "
		default:
			out += ", "
		}
		out += string(f)
	}
	if out == "" {
		return "nothing"
	}
	return out
}
