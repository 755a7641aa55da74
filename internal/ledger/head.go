package ledger

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"

	"github.com/stile-exchange/stile/internal/tlog"
)

// A headFile tells whether a folder is the one that its node wrote last, or a copy of
// it. It says how long the log is, and which file it is itself: a copy is another file,
// or was written by somebody else. That is all it is for. It proves nothing to others,
// and a disk that was set back as a whole, below the file system, is not seen by it.
//
// Four lines of a fixed length, written in place after each commit and not synced:
//
//	stile head 1
//	00000000000000000118 <root, 64 hexadecimal digits>
//	<device and inode number, and when the file was made>
//	<when it was last changed, as the file system says>
//
// It is believed if the third line is what the file system says of it; if its two time
// stamps, mtime, which copying tools set back, and ctime, which they cannot set, are one, as
// a write leaves them, and within headSlack of the fourth line; and if the log is at least
// as long and has that root there.
type headFile struct {
	path string
	log  *slog.Logger
	f    *os.File // nil until the folder is ours
	id   string
}

const (
	headMagic = "stile head 1\n"
	headSlack = 2_000_000_000 // nanoseconds
)

// fileTimes is what tells one file from its copy; see statHead.
type fileTimes struct {
	id           string // device, inode number, time of birth; of one length
	mtime, ctime int64  // nanoseconds since 1970
}

// known reports whether the folder is the one that was written last, and if so goes on
// writing the file. root gives the root of the log at a size.
func (h *headFile) known(size uint64, root func(uint64) (tlog.Hash, error)) bool {
	if h == nil {
		return true
	}
	f, err := os.OpenFile(h.path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	was, at, ok := h.read(f)
	if ok && was <= size {
		r, err := root(was)
		ok = err == nil && fmt.Sprintf("%x", r[:]) == at
	} else {
		ok = false
	}
	if !ok {
		f.Close()
		return false
	}
	h.f = f
	return true
}

// read returns size and root that the file says, false if it is not to be believed.
func (h *headFile) read(f *os.File) (size uint64, root string, ok bool) {
	st, err := statHead(f)
	if err != nil {
		return 0, "", false
	}
	b := make([]byte, 4096)
	n, _ := f.ReadAt(b, 0)
	lines := bytes.Split(b[:n], []byte("\n"))
	if len(lines) != 5 || string(lines[0])+"\n" != headMagic || len(lines[1]) != 85 || string(lines[2]) != st.id {
		return 0, "", false
	}
	var stamp int64
	if _, err := fmt.Sscanf(string(lines[1]), "%d %64s", &size, &root); err != nil {
		return 0, "", false
	}
	if _, err := fmt.Sscanf(string(lines[3]), "%d", &stamp); err != nil {
		return 0, "", false
	}
	h.id = st.id
	return size, root, st.mtime == st.ctime && max(st.mtime-stamp, stamp-st.mtime) <= headSlack
}

// adopt makes the file anew: the folder is ours from here on.
func (h *headFile) adopt(size uint64, root tlog.Hash) {
	if h == nil {
		return
	}
	h.close()
	err := os.Remove(h.path)
	if err == nil || os.IsNotExist(err) {
		h.f, err = os.OpenFile(h.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err == nil {
		var st fileTimes
		if st, err = statHead(h.f); err == nil {
			h.id = st.id
			h.wrote(size, root)
			return
		}
	}
	h.log.Warn("the file that tells this folder from a copy cannot be written; at the next start partners are asked first", "error", err.Error())
	h.close()
}

// wrote notes how long the log is.
func (h *headFile) wrote(size uint64, root tlog.Hash) {
	if h == nil || h.f == nil {
		return
	}
	text := fmt.Appendf(nil, "%s%020d %x\n%s\n", headMagic, size, root[:], h.id)
	_, err := h.f.WriteAt(text, 0)
	for try := 0; err == nil && try < 4; try++ {
		var st fileTimes
		if st, err = statHead(h.f); err != nil {
			break
		}
		stamp := st.mtime
		if _, err = h.f.WriteAt(fmt.Appendf(nil, "%020d\n", stamp), int64(len(text))); err != nil {
			break
		}
		if st, err = statHead(h.f); err == nil && st.mtime-stamp < headSlack/2 {
			return
		}
	}
	if err != nil {
		h.log.Warn("the file that tells this folder from a copy cannot be written; at the next start partners are asked first", "error", err.Error())
		h.close()
	}
}

func (h *headFile) close() {
	if h != nil && h.f != nil {
		h.f.Close()
		h.f = nil
	}
}
