package judge

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The rules about one item that hold for every delivery, beside those of
// [agreement.Terms.Beyond].
const (
	RuleSize        = "size"
	RuleNotice      = "a record among notices"
	RuleDisclosures = "disclosures" // they are not what was signed
	RuleIssuer      = "issuer"      // of another council than may say it
	RuleStandard    = "standard"    // of another standard than agreed
	RuleOperation   = "operation"
	RuleSchema      = "standard's schema"
	RuleKind        = "kind of event"
	RuleWithdrawal  = "withdrawal"
	RuleOld         = "a newer version was here before"
	RuleTwice       = "another version of the record has the same number"
	RuleByHand      = "nobody here was told of it, or accepted it"
	RuleTaken       = "withdrawal of what was taken over"
	RuleOtherID     = "another council's record has this id"
)

// A Case is what deliveries of one sender are judged by: those under one
// agreement, or its notices. It may be used concurrently.
type Case struct {
	j     *Judge
	log   *Log
	from  name.Council
	doc   *agreement.Agreement // nil for notices
	terms sync.Map             // name.Standard to *agreement.Terms, nil where there are none
	stds  func(name.Standard) (*standard.Standard, error)
}

// Under returns the Case of deliveries under an agreement that is in force: what
// stands in the log of its sender. The error is that of [Judge.Log].
func (j *Judge) Under(doc *agreement.Agreement) (*Case, error) {
	l, err := j.Log(doc.From)
	if err != nil {
		return nil, err
	}
	return &Case{j: j, log: l, from: doc.From, doc: doc, stds: j.o.Standards}, nil
}

// Notices returns the Case of the events that a council addresses to us. The
// error is that of [Judge.Log].
func (j *Judge) Notices(from name.Council) (*Case, error) {
	l, err := j.Log(from)
	if err != nil {
		return nil, err
	}
	return &Case{j: j, log: l, from: from}, nil
}

// Agreement returns the agreement that the Case is of, nil for notices.
func (c *Case) Agreement() *agreement.Agreement { return c.doc }

// Log returns the log that the deliveries stand in.
func (c *Case) Log() *Log { return c.log }

// termsFor returns what the agreement means for one version of its standard,
// nil when it lets nothing of that version out.
func (c *Case) termsFor(std *standard.Standard) *agreement.Terms {
	if t, ok := c.terms.Load(std.Name()); ok {
		return t.(*agreement.Terms)
	}
	t, err := c.doc.Compile(std)
	if err != nil {
		t = nil
	}
	c.terms.Store(std.Name(), t)
	return t
}

// A Verdict is about one item.
type Verdict struct {
	Entry tlog.Hash
	Token *record.Token
	View  *record.View  // of a record
	Event *record.Event // of an event

	// Rule is why the item is refused, "" for one that may be kept; Pointer is
	// the place in the record that it speaks of. Neither ever holds a value.
	Rule, Pointer string
}

func (v *Verdict) refuse(rule, pointer string) { v.Rule, v.Pointer = rule, limit(pointer, 200) }

// limit shortens a text from outside for logs and status pages.
func limit(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// Record decides about one version of a record that stands at an index of the
// log below head. That it does is for [Proved]; with that, the council's signature under
// the checkpoint is one for the record. One that the token itself carries must hold,
// too. Of a footprint's log, which nobody signs for what its members bring, it must carry
// the proof of the page in which its council brought it. The error wraps [ErrLied] or
// [ErrWait].
func (c *Case) Record(head *Head, index uint64, t *record.Token) (v Verdict, err error) {
	v.Token, v.Entry = t, t.Entry()
	if len(t.Bytes()) > ledger.MaxHolding {
		v.refuse(RuleSize, "")
		return v, nil
	}
	if c.doc == nil {
		v.refuse(RuleNotice, "")
		return v, nil
	}
	if v.View, err = v.Token.View(); err != nil {
		v.refuse(RuleDisclosures, "")
		return v, nil
	}
	if err = c.within(&v); err != nil || v.Rule != "" {
		return v, err
	}
	rule := head.Vouches(index)
	if rule == "" {
		rule, err = c.signed(v.View.Council, v.Token, index)
	}
	if rule == "" && err == nil {
		rule, err = c.j.Issued(v.View.IssuedAt)
	}
	v.refuse(rule, "")
	return v, err
}

// within decides whether a record is one that its agreement speaks of, within
// its rows and fields, and what can be seen of it fits the standard.
func (c *Case) within(v *Verdict) error {
	switch {
	case !c.mayIssue(v.View.Council):
		v.refuse(RuleIssuer, "")
		return nil
	case v.View.Standard.Line() != c.doc.Standard:
		v.refuse(RuleStandard, "")
		return nil
	case v.View.Op != record.Put:
		v.refuse(RuleOperation, "")
		return nil
	}
	std, err := c.stds(v.View.Standard)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrStandardMissing, v.View.Standard)
	}
	if std.Integrity() != v.View.Integrity {
		v.refuse(RuleSchema, "")
		return nil
	}
	// Where the row filter reads only fields we are sent, it is asked, too. Of
	// what is more than agreed nothing is kept, not even the part that was.
	rule, pointer := c.termsFor(std).Beyond(std, v.View.Body)
	v.refuse(rule, pointer)
	return nil
}

// mayIssue reports whether records in the log may be of a council: it answers
// for its own; into a footprint's its members and others bring theirs.
func (c *Case) mayIssue(by name.Council) bool {
	if !c.log.Shared() {
		return by == c.from
	}
	_, ok := c.j.o.Directory.Member(by)
	return ok
}

// signed decides about the key that a record names and the signature that it carries,
// for an index of the log.
func (c *Case) signed(by name.Council, t *record.Token, index uint64) (string, error) {
	if c.log.Shared() {
		return c.j.SealedInto(c.log.council, by, t)
	}
	if t.Signed() {
		return c.j.Signed(by, t, index)
	}
	_, rule, err := c.j.Key(by, t.KeyID(), index)
	return rule, err
}

// Event decides about an event that stands at an index of the log: under an
// agreement, a withdrawal of the record returned or the order to erase it; among
// notices, any. In a
// footprint's log whoever brought a record withdraws it, under whichever agreement
// it brought it.
func (c *Case) Event(index uint64, jws []byte) (v Verdict, withdrawn name.Record, err error) {
	by, place := c.from, index
	if c.log.Shared() {
		// Read by Event again: who it is of must be known to say who may sign it.
		if _, ev, err := record.ParseEvent(jws); err == nil && c.mayIssue(ev.Council) {
			by, place = ev.Council, directory.AnyPlace
		}
	}
	var rule string
	if v.Token, v.Event, rule, err = c.j.Event(by, jws, place); v.Token != nil {
		v.Entry = v.Token.Entry()
	}
	if err != nil || rule != "" || c.doc == nil {
		v.refuse(rule, "")
		return v, "", err
	}
	if c.onward() && v.Event.Kind == event.KindOnward {
		return v, "", nil // what it proves is judged with the records that name it
	}
	if !event.TakesBack(v.Event.Kind) {
		v.refuse(RuleKind, "")
		return v, "", nil
	}
	w, err := event.ParseTakenBack(v.Event.Kind, v.Event.Body)
	if err != nil || w.Agreement != c.doc.Name && !c.log.Shared() {
		v.refuse(RuleWithdrawal, "")
		return v, "", nil
	}
	return v, w.Record, nil
}

// follows decides whether a version may follow what was here of its record
// before: it must not be older, nor another of the same number, whether that is
// held still or was withdrawn. Of what the copy still brings, nothing may be of a record
// whose withdrawal went ahead of it: a feed holds of a record the newest alone.
func (c *Case) follows(src *ledger.Source, index uint64, v *Verdict) error {
	if src.Records == 0 && src.Withdrawn == 0 && src.AtTerm == 0 && src.AheadFrom == 0 {
		return nil
	}
	switch last, err := c.j.o.Last(src, v.View.Record); {
	case errors.Is(err, ledger.ErrNotFound):
	case err != nil:
		return err
	case src.AheadFrom > 0 && last.Withdrawn >= src.AheadFrom && index < last.Withdrawn:
		v.refuse(RuleOld, "")
	case last.Council == "": // it was taken back before it ever came
	case last.Council != v.View.Council:
		v.refuse(RuleOtherID, "")
	case c.onward() && last.Final && v.View.Version <= last.Version:
		v.refuse(RuleOnwardGone, "")
	case v.View.Version < last.Version:
		v.refuse(RuleOld, "")
	case v.View.Version == last.Version && v.Entry != last.Entry:
		v.refuse(RuleTwice, "")
	}
	return nil
}

// isRecord tells a record's token from an event's.
func isRecord(token []byte) bool { return bytes.IndexByte(token, '~') >= 0 }

// Entry returns the hash by which a log knows a record or an event.
func Entry(token []byte) (tlog.Hash, error) {
	if isRecord(token) {
		t, err := record.Parse(token)
		if err != nil {
			return tlog.Hash{}, err
		}
		return t.Entry(), nil
	}
	t, _, err := record.ParseEvent(token)
	if err != nil {
		return tlog.Hash{}, err
	}
	return t.Entry(), nil
}

// Refusal returns a verdict's refusal as it is kept.
func (c *Case) Refusal(index uint64, v Verdict) ledger.Refusal {
	r := ledger.Refusal{From: c.from, Index: index, Rule: v.Rule, Pointer: v.Pointer, At: c.j.o.Now().UTC()}
	if c.doc != nil {
		r.Agreement = c.doc.Name
	}
	return r
}

// Waits reports whether an error says that the delivery may still hold, later.
func Waits(err error) bool { return errors.Is(err, ErrWait) }
