package tlog

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// An OtherKey is a key of a log beside the one in use: the one that is to follow, or
// one that was used before. A log keeps its origin when its key is replaced
// (c2sp.org/tlog-checkpoint), so that all its keys have one name.
type OtherKey struct {
	Key string // as [ParseLogKey] reads it
	To  uint64 // the largest log for which its signature counts; 0 for no bound
}

// Verifier returns the key for [OpenCheckpoint], which counts its signatures up to the
// bound alone. The error wraps [ErrKey].
func (k OtherKey) Verifier() (note.Verifier, error) {
	v, err := ParseLogKey(k.Key)
	if err != nil || k.To == 0 {
		return v, err
	}
	return bounded{v, k.To}, nil
}

// ParseLogKeys reads all keys of a log, first the one in use. What it returns has the
// name and the hash of that one; [OpenCheckpoint] believes a checkpoint that any of them
// has signed. The error wraps [ErrKey], also for two keys of one hash or unlike names.
func ParseLogKeys(key string, others ...OtherKey) (note.Verifier, error) {
	v, err := ParseLogKey(key)
	if err != nil || len(others) == 0 {
		return v, err
	}
	all := logKeys{v, nil}
	for _, o := range others {
		w, err := o.Verifier()
		if err != nil {
			return nil, err
		}
		same := func(x note.Verifier) bool { return x.KeyHash() == w.KeyHash() }
		if w.Name() != v.Name() || same(v) || slices.ContainsFunc(all.others, same) {
			return nil, fmt.Errorf("read log keys: %w: want one name and each key once", ErrKey)
		}
		all.others = append(all.others, w)
	}
	return all, nil
}

// logKeys is the key of a log that is in use, and its others.
type logKeys struct {
	note.Verifier
	others []note.Verifier
}

// bounded is a key whose signatures count for logs of at most so many entries.
type bounded struct {
	note.Verifier
	to uint64
}

// eachKey returns every key that verifiers stand for, one by one.
func eachKey(v []note.Verifier) (out []note.Verifier) {
	for _, v := range v {
		if all, ok := v.(logKeys); ok {
			out = append(append(out, all.Verifier), all.others...)
		} else {
			out = append(out, v)
		}
	}
	return out
}

// counts reports whether one of the keys v with the name of c's log has signed n, and
// may sign for a log of c's size.
func counts(n *note.Note, c Checkpoint, v []note.Verifier) bool {
	for _, k := range v {
		b, ok := k.(bounded)
		if k.Name() == c.Origin && (!ok || c.Size <= b.to) && SignedBy(n, k) {
			return true
		}
	}
	return false
}
