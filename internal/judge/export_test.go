package judge

import (
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"
)

// CountSignatures has a log count the signatures under its checkpoints that are
// checked from now on.
func (l *Log) CountSignatures() *atomic.Int64 {
	n := new(atomic.Int64)
	l.signer = counting{l.signer, n}
	for i, v := range l.records {
		l.records[i] = counting{v, n}
	}
	return n
}

type counting struct {
	note.Verifier
	n *atomic.Int64
}

func (c counting) Verify(msg, sig []byte) bool {
	c.n.Add(1)
	return c.Verifier.Verify(msg, sig)
}
