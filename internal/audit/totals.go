package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// ErrTotals is wrapped by every error about totals that do not hold.
var ErrTotals = errors.New("the totals do not hold")

// Totals are counts of several councils, added up by who asked for them, with the signed
// event of each. As a file it is the JSON of this type: whoever has it, and the councils'
// keys, adds up again what they signed.
type Totals struct {
	Standard name.StandardLine `json:"standard"`
	Least    int               `json:"least"` // councils that a group is of, at the least
	Answers  []Answered        `json:"answers"`
	Missing  []Missing         `json:"missing,omitempty"` // who was asked and is not in it

	By     []name.Field      `json:"by"` // sorted
	Sums   []name.Field      `json:"sums,omitempty"`
	Groups []agreement.Group `json:"groups"`
	Total  int               `json:"total"` // of the groups there are
}

// Answered is what one council signed.
type Answered struct {
	Council   name.Council   `json:"council"` // who counted: the sender, or a member of the footprint that is
	Agreement name.Agreement `json:"agreement"`
	Entry     uint64         `json:"entry"`  // of the counts in its log
	Counts    string         `json:"counts"` // the event
	// Logged shows that both its counts and its answer stand in its log; nil in a file of
	// version 0.1.0, which had none.
	Logged *Logged `json:"logged,omitempty"`
}

// Logged is the proof that the counts of a council and its answer stand in its log.
type Logged struct {
	Checkpoint string `json:"checkpoint"` // the note, signed by its log
	Answer     string `json:"answer"`     // the event of the answer
	Entry      uint64 `json:"entry"`      // of the answer
	Inclusion  []byte `json:"inclusion"`  // hashes of a batch proof of both, see [tlog.VerifyBatch]
}

// Missing is a council that is not in the totals.
type Missing struct {
	Council name.Council `json:"council"`
	Why     string       `json:"why"`
}

// MaxTotals bounds a file of totals, in bytes.
const MaxTotals = 32 << 20

// ParseTotals reads a file of totals, by whomever it was written. The error wraps ErrTotals.
func ParseTotals(b []byte) (*Totals, error) {
	if _, err := strictjson.Decode(b, strictjson.Limits{Bytes: MaxTotals, Values: 1_000_000, StringLen: 4 << 20}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTotals, err)
	}
	t := new(Totals)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("%w: it is no file of totals", ErrTotals)
	}
	return t, nil
}

// Add adds up the answers again and puts the outcome into t. It reads what the councils
// signed, and checks no signature. The error wraps ErrTotals.
func (t *Totals) Add() error {
	var list []agreement.Counts
	seen := map[name.Council]bool{}
	for _, a := range t.Answers {
		c, _, err := a.read()
		if err != nil {
			return err
		}
		if seen[a.Agreement.Council()] {
			return fmt.Errorf("%w: %s is counted twice", ErrTotals, a.Agreement.Council())
		}
		seen[a.Agreement.Council()] = true
		list = append(list, c)
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: nobody answered", ErrTotals)
	}
	t.By, t.Sums = list[0].By, list[0].Sums
	var err error
	if t.Groups, t.Total, err = agreement.Together(list, t.Least); err != nil {
		return fmt.Errorf("%w: %w", ErrTotals, err)
	}
	return nil
}

// read reads what a council signed.
func (a *Answered) read() (c agreement.Counts, token *record.Token, err error) {
	bad := func(why string) error { return fmt.Errorf("%w: the counts of %s %s", ErrTotals, a.Council, why) }
	token, ev, err := record.ParseEvent([]byte(a.Counts))
	switch {
	case err != nil:
		return c, nil, bad("cannot be read")
	case ev.Kind != event.KindCounts || ev.Council != a.Council:
		return c, nil, bad("are no counts of its own")
	}
	if c, err = agreement.ParseCounts(ev.Body); err != nil {
		return c, nil, bad("break a rule: " + err.Error())
	}
	if c.Agreement != a.Agreement {
		return c, nil, bad("are under another agreement")
	}
	return c, token, nil
}

// Check checks, with the councils' keys, that each answer is signed by the council and, where
// the file has the proof, that it stands in its log; and that they add up to what t says. It
// returns of how many the log was checked. The error wraps ErrTotals.
func (t *Totals) Check(members []directory.Member) (logged int, err error) {
	for _, a := range t.Answers {
		counts, token, err := a.read()
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(members, func(m directory.Member) bool { return m.Council == a.Council })
		if i < 0 {
			return 0, fmt.Errorf("%w: the keys of %s are not given", ErrTotals, a.Council)
		}
		key, err := members[i].RecordKeyAt(token.KeyID(), a.Entry)
		if err == nil {
			err = token.Verify(key)
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %s did not sign its counts: %w", ErrTotals, a.Council, err)
		}
		if a.Logged == nil {
			continue
		}
		if err := a.stands(members[i], counts, token); err != nil {
			return 0, fmt.Errorf("%w: the log of %s: %w", ErrTotals, a.Council, err)
		}
		logged++
	}
	again := *t
	if err := again.Add(); err != nil {
		return 0, err
	}
	said, err := json.Marshal(t)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTotals, err)
	}
	is, err := json.Marshal(&again)
	if err != nil || string(said) != string(is) {
		return 0, fmt.Errorf("%w: what the councils signed adds up to something else", ErrTotals)
	}
	return logged, nil
}

// stands checks that counts, and an answer of the same council that gives them, stand in its
// log.
func (a *Answered) stands(m directory.Member, counts agreement.Counts, token *record.Token) error {
	answer, ev, err := record.ParseEvent([]byte(a.Logged.Answer))
	if err != nil || ev.Kind != event.KindAnswer || ev.Council != a.Council {
		return errors.New("what stands beside its counts is no answer of its own")
	}
	said, err := event.ParseAnswer(ev.Body)
	if err != nil || said.Outcome != event.OutcomeCounted || said.Counts != a.Entry || said.Agreement != counts.Agreement {
		return errors.New("its answer gives other counts")
	}
	key, err := m.RecordKeyAt(answer.KeyID(), a.Logged.Entry)
	if err == nil {
		err = answer.Verify(key)
	}
	if err != nil {
		return fmt.Errorf("it did not sign its answer: %w", err)
	}
	log, err := m.LogVerifier()
	if err != nil {
		return err
	}
	cp, _, err := tlog.OpenCheckpoint([]byte(a.Logged.Checkpoint), m.Council.Origin(), log)
	if err != nil {
		return err
	}
	path, err := tlog.SplitHashes(a.Logged.Inclusion)
	if err != nil {
		return err
	}
	return tlog.VerifyBatch([]tlog.Hash{token.Entry(), answer.Entry()}, []uint64{a.Entry, a.Logged.Entry}, cp.Size, cp.Root, path)
}
