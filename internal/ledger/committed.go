package ledger

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/node/name"
)

// A receiver keeps the sender's own words of the commitment that was compared last, and of
// those that wait to be compared, so that it can show to others that what it holds is all:
//
//	0 source4 entry8             the event of the sender's log that commits (JWS)
//	0 source4 0xfe member entry8 the same of a member's log, of what a footprint sends

// Words say where a commitment stands: at an entry of the log of a member of the footprint
// that sends or, By being "", of the council that does.
type Words struct {
	By    name.Council `json:"by,omitempty"`
	Entry uint64       `json:"entry"`
}

// memberMark stands where a commitment of a council has the first byte of its entry.
const memberMark = 0xfe

func commitmentKey(s *Source, w Words) []byte {
	if w.By == "" {
		return positionKey('0', s.number, w.Entry)
	}
	return binary.BigEndian.AppendUint64(append(append(numKey4('0', s.number), memberMark), w.By...), w.Entry)
}

// commitments returns the commitments whose words are kept.
func (s *Source) commitments() (out []Words) {
	for _, t := range s.Told {
		out = append(out, t.Words)
	}
	for _, c := range []*Compared{s.Compared, s.Differs} {
		if c != nil {
			out = append(out, c.Words)
		}
		if c != nil && c.Against != nil {
			out = append(out, c.Against.Words)
		}
	}
	return out
}

// keepCommitments removes the words of the commitments that are not wanted any more.
func (t *tx) keepCommitments(c *Source, had []Words) {
	wanted := c.commitments()
	for _, w := range had {
		if !slices.Contains(wanted, w) {
			t.remove(commitmentKey(c, w))
		}
	}
}

// Commitment returns the newest commitment to what a source gives that was compared with
// what came: where it stands, and the event (JWS). ErrNotFound when there is none, or an
// earlier version of this program did not keep it.
func (v *View) Commitment(s *Source) (at Words, jws []byte, err error) {
	c, err := v.sourceNow(s)
	if err != nil {
		return at, nil, err
	}
	if c.Compared == nil {
		return at, nil, fmt.Errorf("commitment of %s: %w", s.From, ErrNotFound)
	}
	jws, err = v.words(c, c.Compared.Words)
	return c.Compared.Words, jws, err
}

// Contradiction returns the events (JWS) of the two commitments to one size that are not
// alike, with where they stand. ErrNotFound when nobody has told two things.
func (v *View) Contradiction(s *Source) (at [2]Words, jws [2][]byte, err error) {
	c, err := v.sourceNow(s)
	if err != nil {
		return at, jws, err
	}
	if c.Differs == nil || c.Differs.Against == nil {
		return at, jws, fmt.Errorf("contradiction of %s: %w", s.From, ErrNotFound)
	}
	at = [2]Words{c.Differs.Against.Words, c.Differs.Words}
	for i, w := range at {
		if jws[i], err = v.words(c, w); err != nil {
			return at, jws, err
		}
	}
	return at, jws, nil
}

func (v *View) words(c *Source, w Words) ([]byte, error) {
	jws, err := valueOf(v.txn, commitmentKey(c, w))
	if err != nil {
		return nil, fmt.Errorf("commitment of %s: %w", c.From, err)
	}
	return slices.Clone(jws), nil
}
