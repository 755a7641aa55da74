package ledger

import (
	"fmt"
	"slices"
)

// A receiver keeps the sender's own words of the commitment that was compared last, and of
// those that wait to be compared, so that it can show to others that what it holds is all:
//
//	0 source4 entry8   the event of the sender's log that commits (JWS)

func commitmentKey(s *Source, entry uint64) []byte { return positionKey('0', s.number, entry) }

// commitments returns the entries of the sender's log whose words are kept, ascending.
func (s *Source) commitments() (out []uint64) {
	for _, t := range s.Told {
		out = append(out, t.Entry)
	}
	for _, c := range []*Compared{s.Compared, s.Differs} {
		if c != nil {
			out = append(out, c.Entry)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// keepCommitments removes the words of the commitments that are not wanted any more.
func (t *tx) keepCommitments(c *Source, had []uint64) {
	wanted := c.commitments()
	for _, entry := range had {
		if _, ok := slices.BinarySearch(wanted, entry); !ok {
			t.remove(commitmentKey(c, entry))
		}
	}
}

// Commitment returns the newest commitment of a source's council that was compared with
// what came, as the event (JWS) at an index of its log. ErrNotFound when there is none, or
// an earlier version of this program did not keep it.
func (v *View) Commitment(s *Source) (index uint64, jws []byte, err error) {
	c, err := v.sourceNow(s)
	if err != nil {
		return 0, nil, err
	}
	if c.Compared == nil {
		return 0, nil, fmt.Errorf("commitment of %s: %w", s.From, ErrNotFound)
	}
	if jws, err = valueOf(v.txn, commitmentKey(c, c.Compared.Entry)); err != nil {
		return 0, nil, fmt.Errorf("commitment of %s: %w", s.From, err)
	}
	return c.Compared.Entry, slices.Clone(jws), nil
}
