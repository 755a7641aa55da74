package agreement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/standard"
)

// A Mode is what a document calls the way in which records reach the receiver.
// Nothing but its row in the table, a [Way], says what it means: no other part of
// the house compares a mode with a name. docs/modes.md tells how to add one.
type Mode string

// The modes.
const (
	Replicate Mode = "replicate" // the receiver keeps a copy of every matching record
	Lookup    Mode = "lookup"    // the receiver asks about one key at a time
	// PrivateLookup is Lookup without saying about whom; see Way.Hidden.
	PrivateLookup Mode = "private-lookup"
	Aggregate     Mode = "aggregate"   // only suppressed counts leave; no record does
	Handover      Mode = "handover"    // single records are offered, and taken by a person there
	BreakGlass    Mode = "break-glass" // single records are let out for a short time, by two people
)

// Answers says what a receiver is answered when it asks.
type Answers string

// What a receiver is answered.
const (
	AnswersNothing Answers = ""        // it does not ask
	AnswersRecords Answers = "records" // the records that have a value, as far as the fields agreed go
	AnswersCounts  Answers = "counts"  // how many records there are, without small groups
)

// A Way is everything that the house asks of a mode: what it checks, indexes,
// sends, logs and shows. The zero Way, of a mode that is not in the table, lets
// nothing out.
type Way struct {
	Mode Mode

	// Means says in a draft, and in the help, what the mode is, in a few words.
	Means string
	// Reach orders modes by what a receiver learns under them: an amendment to a
	// mode of less reach is narrower.
	Reach int

	// Copied: the receiver keeps a copy of each record that matches. The ledger
	// keeps a feed of them, which partners follow; what no longer matches is
	// withdrawn; a retention must be agreed. In any other mode the ledger keeps an
	// index of what matches, to be asked, and nothing is sent unasked.
	Copied bool

	// ByHand: of the records that match, the receiver gets only those which people let
	// out one by one, under a decision that both logs hold; see package byhand. The
	// ledger enters no other into the feed, and the receiver refuses any other. Only in a
	// mode that is Copied, and only from a council.
	ByHand bool
	// Moves: what the receiver takes it takes over. It is offered first, and a person
	// there accepts it; the document may say by when (due). The receiver then keeps it
	// for as long as retention says, also when the sender deletes its own or the
	// agreement ends.
	Moves bool
	// Short is the longest that retention may be; "" is no bound.
	Short Duration

	// Answers is what is sent to a receiver that asks, and what both sides log of
	// it: a question with its field, or with the fields that it counts by.
	Answers Answers

	// ByMatch: what is asked by is a value at one of the document's match fields.
	// They must be given, and records are indexed by them. In a mode without it the
	// document has none.
	ByMatch bool

	// Hidden: what is asked by is hidden from who answers, which compares it with its
	// records without seeing it (RFC 9497). The receiver learns whether there is a record
	// and no more. To be shown it is a second question, which says about whom. Each gives
	// a case reference.
	Hidden bool

	// Grouped: the document's fields are what records may be counted by. There may
	// be none, and each must be fit for it.
	Grouped bool

	// Would and Sent are what a preview says of the records that match and of the
	// fields that travel: they "would be sent", and are "sent".
	Would, Sent string
	// Command is what a person types to see what the mode brings.
	Command string
	// Words tells those who are to sign what is not plain from the rest of a preview;
	// one sentence or a few, or none.
	Words string
}

// ways is the table of modes, in the order that people are told them.
var ways = []Way{
	{
		Mode: Replicate, Means: "the receiver keeps a copy", Reach: 5, Copied: true,
		Would: "would be sent", Sent: "sent", Command: "stile record list --from COUNCIL",
	},
	{
		Mode: Lookup, Means: "one question about one key at a time", Reach: 1, Answers: AnswersRecords, ByMatch: true,
		Would: "could be asked for", Sent: "shown", Command: "stile lookup",
	},
	{
		Mode: PrivateLookup, Means: "one question about one key, which is not told", Reach: 2, Answers: AnswersRecords, ByMatch: true, Hidden: true,
		Would: "could be asked for", Sent: "shown, on a second question that says about whom", Command: "stile lookup",
		Words: "A partner's question does not say whom it is about: the value travels hidden, and this council answers without learning it, nor whether it has such a record. " +
			"The partner learns whether there is a record, and no field of it. To be shown the record it asks a second time and says about whom; that is logged as under lookup. " +
			"Each question gives a case reference, and counts towards the bounds of an hour and of a day.",
	},
	{
		Mode: Aggregate, Means: "only counts leave", Reach: 0, Answers: AnswersCounts, Grouped: true,
		Would: "would be counted; no record is sent", Command: "stile aggregate",
	},
	{
		Mode: Handover, Means: "single records are offered, and taken over by a person there", Reach: 4, Copied: true, ByHand: true, Moves: true,
		Would: "could be offered", Sent: "sent", Command: "stile handover list",
	},
	{
		Mode: BreakGlass, Means: "single records, urgently and for days, when two people say so", Reach: 3, Copied: true, ByHand: true, Short: "P7D",
		Would: "could be let out", Sent: "sent", Command: "stile urgent list",
	},
}

// Modes returns every mode, in the order that people are told them. The first is
// that of a draft.
func Modes() []Mode {
	out := make([]Mode, len(ways))
	for i, w := range ways {
		out[i] = w.Mode
	}
	return out
}

// Way returns what the mode means; the zero Way when there is no such mode.
func (m Mode) Way() Way {
	if i := slices.IndexFunc(ways, func(w Way) bool { return w.Mode == m }); i >= 0 {
		return ways[i]
	}
	return Way{}
}

// Way returns what the agreement's mode means.
func (a *Agreement) Way() Way { return a.Mode.Way() }

// Shows reports whether single records travel in the mode, copied or as answers,
// with the fields that are agreed.
func (w Way) Shows() bool { return w.Copied || w.Answers == AnswersRecords }

// Urgent reports whether records are let out urgently and for a short time: wherever one
// is listed, it is marked.
func (w Way) Urgent() bool { return w.ByHand && !w.Moves }

// ModeWords returns the modes as a person is told to choose one: "replicate, lookup,
// aggregate, handover or break-glass"; with means, what each is.
func ModeWords(means bool) string {
	var words []string
	for _, w := range ways {
		s := string(w.Mode)
		if means {
			s += " (" + w.Means + ")"
		}
		words = append(words, s)
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// DraftMode returns the mode of a draft: the first there is, or the first in which
// records are asked for by a match field.
func DraftMode(byMatch bool) Mode {
	return ways[slices.IndexFunc(ways, func(w Way) bool { return w.ByMatch == byMatch })].Mode
}

// askedBy names the modes that records are asked for in by a match field.
func askedBy() string {
	var words []string
	for _, w := range ways {
		if w.ByMatch {
			words = append(words, string(w.Mode))
		}
	}
	return strings.Join(words, " or ")
}

// checkMode says what headings lack, or have too much, for the mode.
func (a *Agreement) checkMode(say func(key, rule, detail, fix string)) {
	w := a.Way()
	switch {
	case w.ByMatch && len(a.Match) == 0:
		say("match", RuleEmpty, fmt.Sprintf("is empty, and the mode is %s", a.Mode), "list the fields a partner may ask by")
	case !w.ByMatch && len(a.Match) > 0:
		say("match", RuleMode, fmt.Sprintf("is for %s, and the mode is %s", askedBy(), a.Mode), "remove match, or change the mode")
	}
	if !w.Moves && a.Due != "" {
		say("due", RuleMode, fmt.Sprintf("is for a mode in which records are taken over, and the mode is %s", a.Mode), "remove due, or change the mode")
	}
	if w.ByHand && len(a.To) > 1 {
		say("to", RuleMode, fmt.Sprintf("names %d councils, and in mode %s records go to one", len(a.To), a.Mode), "sign an agreement with each")
	}
	a.checkMost(say)
	a.checkRetention(say)
	a.checkSubjects(say)
	a.checkOnward(say)
}

// checkGroups says what is wrong with fields that records are to be counted by.
func (a *Agreement) checkGroups(std *standard.Standard) []Problem {
	if !a.Way().Grouped {
		return nil
	}
	ps, _ := a.groupable(std, a.Fields)
	return ps
}
