package ledger

import (
	"bytes"
	"fmt"
	"strconv"
)

// The end of the file SIGNED tells whether a folder is the one that its node wrote last, or a copy of
// it: a copy is another file, or was written by somebody else. It proves nothing to others, and a
// disk that was set back as a whole, below the file system, is not seen by it. Two lines of a
// fixed length, written after each place and not synced:
//
//	<device and inode number, and when the file was made>
//	<when it was last changed, as the file system says>
//
// The folder is its own if the first line is what the file system says of the file; and if its two time stamps,
// mtime, which copying tools set back, and ctime, which they cannot set, are one, as a write leaves them, and within
// placeSlack of the second line. That the log has what the file says was signed is looked at besides. While it is not
// known whose the folder is, the two lines are zeros.
const (
	placeAt    = 2 * signedSlot
	placeID    = 62
	placeSlack = 2_000_000_000 // nanoseconds
)

// fileTimes is what tells one file from its copy; see statPlace.
type fileTimes struct {
	id           string // device, inode number, time of birth; placeID bytes
	mtime, ctime int64  // nanoseconds since 1970
}

// readPlace reports whether the file says that the folder is its own.
func (s *signedFile) readPlace() bool {
	st, err := statPlace(s.f)
	if err != nil {
		return false
	}
	b := make([]byte, placeID+22)
	n, _ := s.f.ReadAt(b, placeAt)
	lines := bytes.Split(b[:n], []byte("\n"))
	if len(lines) != 3 || string(lines[0]) != st.id {
		return false
	}
	at, err := strconv.ParseInt(string(lines[1]), 10, 64)
	return err == nil && st.mtime == st.ctime && max(st.mtime-at, at-st.mtime) <= placeSlack
}

// adopt says that the folder is ours from here on.
func (s *signedFile) adopt() error {
	if s == nil || s.read {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := statPlace(s.f)
	if err != nil {
		return fmt.Errorf("write %s: %w", signedName, err)
	}
	s.place = st.id
	return s.stamp()
}

// stamp writes the two lines.
func (s *signedFile) stamp() error {
	if s.place == "" {
		if _, err := s.f.WriteAt(make([]byte, placeID+22), placeAt); err != nil {
			return fmt.Errorf("write %s: %w", signedName, err)
		}
		return nil
	}
	for range 4 {
		st, err := statPlace(s.f)
		if err != nil {
			return fmt.Errorf("write %s: %w", signedName, err)
		}
		at := st.mtime
		if _, err := s.f.WriteAt(fmt.Appendf(nil, "%s\n%020d\n", s.place, at), placeAt); err != nil {
			return fmt.Errorf("write %s: %w", signedName, err)
		}
		if st, err = statPlace(s.f); err != nil || st.mtime-at < placeSlack/2 {
			return err
		}
	}
	return nil
}

// ours makes the folder ours from here on. Where that cannot be written, partners are asked first at the next start.
func (l *Ledger) ours() {
	if err := l.beside.adopt(); err != nil {
		l.o.Log.Warn("what tells this folder from a copy cannot be written; at the next start partners are asked first", "error", err.Error())
	}
}
