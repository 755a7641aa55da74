package examine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
)

const (
	logHead     = 20      // id of the key8, base of the initialisation vectors12
	maxEntry    = 22      // bytes of an entry's head
	maxKey      = 1 << 16 // bytes
	metaTxn     = 1 << 6  // the entry belongs to a transaction
	metaTxnEnds = 1 << 7  // it ends one: the value is its number, in decimal
)

// A logFile is a log of writes: that of a table in memory, or one of values.
type logFile struct {
	name string
	txns bool // entries are in transactions
	data []byte
	key  *pb.DataKey
	runs []run // what can be read, in order
}

// A run is a part of a log, from and to in bytes, that consists of whole transactions.
type run struct{ from, to int }

type logEntry struct {
	from, to   int
	meta       byte
	key, value []byte
}

func (r *Report) examineLog(o Options, file string) error {
	b, size, err := readUsed(filepath.Join(o.Dir, file))
	if err != nil {
		return err
	}
	l := &logFile{name: file, txns: strings.HasSuffix(file, ".mem"), data: b}
	r.logs = append(r.logs, l)
	used := Used(b)
	r.Bytes += int64(used)
	if used == 0 {
		return nil // made, and not written yet
	}
	if size < logHead {
		r.Flaws = append(r.Flaws, Flaw{File: file, What: fmt.Sprintf("it has %d bytes, which is less than its head", size), Fatal: true})
		return nil
	}
	flaw := func(fatal bool, p *Patch, format string, a ...any) {
		r.Flaws = append(r.Flaws, Flaw{File: file, What: fmt.Sprintf(format, a...), Patch: p, Fatal: fatal})
	}
	key := func() (err error) { l.key, err = r.keys.DataKey(binary.BigEndian.Uint64(b)); return err }
	if key() != nil {
		p, ok := anyBit(b, 0, 8, func() bool { return key() == nil })
		if !ok {
			flaw(true, nil, "its head names a key that there is none of")
			return nil
		}
		flaw(true, p, "one bit of its head is not as it was written")
		p.apply(b)
		if err := key(); err != nil {
			return err
		}
	}
	if l.key != nil && l.txns && !l.sensible() {
		// The checksums are over what is encrypted, so they do not tell that it is
		// decrypted with a wrong vector.
		if p, ok := anyBit(b, 8, logHead, l.sensible); ok {
			flaw(true, p, "one bit of its head is not as it was written")
			p.apply(b)
		}
	}
	l.scan(used, o.Counter, func(n uint64) { r.Commits = max(r.Commits, n) }, flaw)
	return nil
}

// scan walks the log's entries, as Badger will when it opens the store.
func (l *logFile) scan(used int, counter []byte, counted func(uint64), flaw func(bool, *Patch, string, ...any)) {
	var last uint64 // number of the transaction that was read last
	var open uint64 // number of the one that is being read; 0 for none
	var seen []uint64
	skipping := false // until a transaction ends, after a part that could not be read
	start, at0 := logHead, logHead
	for at0 < used {
		e, ok := l.entry(at0)
		if !ok {
			if p := l.mend(at0); p != nil {
				flaw(true, p, "one bit at byte %d is not as it was written", p.Offset)
				p.apply(l.data)
				continue
			}
			next := l.resume(at0+1, used, last+1)
			if next < 0 {
				// Nothing after it, or the rest of the transaction that was being
				// written when it ended: so a killed process and a power cut leave a log.
				break
			}
			flaw(true, nil, "bytes %d to %d cannot be read, and after them there is more", at0, next)
			l.addRun(start, at0, open != 0)
			start, at0, open, seen, skipping = next, next, 0, nil, l.txns
			continue
		}
		at0 = e.to
		if !l.txns {
			continue
		}
		switch number := y.ParseTs(e.key); {
		case e.meta&metaTxnEnds != 0:
			n, err := strconv.ParseUint(string(e.value), 10, 64)
			if skipping {
				skipping, start = false, at0
				if err == nil {
					last = n
				}
				continue
			}
			if err != nil || n != open {
				flaw(true, nil, "the transaction that ends at byte %d is not whole", at0)
			} else {
				last = n
				for _, c := range seen {
					counted(c)
				}
			}
			l.addRun(start, at0, false)
			start, open, seen = at0, 0, nil
		case skipping:
		case e.meta&metaTxn != 0:
			if open != 0 && open != number {
				flaw(true, nil, "a transaction at byte %d begins before the last one ends", e.from)
				seen = nil
			}
			open = number
			if counter != nil && bytes.Equal(y.ParseKey(e.key), counter) {
				seen = append(seen, count(e.value))
			}
		default:
			if counter != nil && bytes.Equal(y.ParseKey(e.key), counter) {
				counted(count(e.value))
			}
			l.addRun(start, at0, false)
			start = at0
		}
	}
	if !l.txns {
		l.addRun(start, at0, false)
	}
}

// addRun notes that a part can be read, unless a transaction in it does not end.
func (l *logFile) addRun(from, to int, cut bool) {
	if cut || to <= from {
		return
	}
	if n := len(l.runs); n > 0 && l.runs[n-1].to == from {
		l.runs[n-1].to = to
		return
	}
	l.runs = append(l.runs, run{from, to})
}

// rewrite returns a log of the whole transactions that can be read. An entry that is encrypted has a vector by its place.
func (l *logFile) rewrite() ([]byte, error) {
	if len(l.runs) == 0 {
		return nil, nil // as one that was not written to yet
	}
	out := bytes.Clone(l.data[:logHead])
	for _, r := range l.runs {
		begun, number, broken := len(out), uint64(0), false
		for at0 := r.from; at0 < r.to; {
			e, ok := l.entry(at0)
			if !ok {
				return nil, fmt.Errorf("%s has changed meanwhile", l.name)
			}
			head, _, _ := l.extent(at0)
			from := len(out)
			out = append(out, l.data[at0:head]...)
			kv := append(bytes.Clone(e.key), e.value...)
			if l.key != nil {
				var err error
				if kv, err = y.XORBlockAllocate(kv, l.key.Data, l.vector(from)); err != nil {
					return nil, err
				}
			}
			out = append(out, kv...)
			out = binary.BigEndian.AppendUint32(out, crc32.Checksum(out[from:], castagnoli))
			at0 = e.to
			switch n := y.ParseTs(e.key); {
			case e.meta&metaTxnEnds != 0:
				if v, err := strconv.ParseUint(string(e.value), 10, 64); err != nil || v != number || broken {
					out = out[:begun]
				}
				begun, number, broken = len(out), 0, false
			case e.meta&metaTxn == 0:
				begun = len(out)
			default:
				broken = broken || number != 0 && number != n
				number = n
			}
		}
		out = out[:begun]
	}
	return out, nil
}

// vector returns what the entry at an offset is encrypted with.
func (l *logFile) vector(from int) []byte {
	iv := append(bytes.Clone(l.data[8:logHead]), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(iv[12:], uint32(from))
	return iv
}

// entry reads the entry at an offset; ok is false when its checksum does not hold.
func (l *logFile) entry(from int) (e logEntry, ok bool) {
	head, end, ok := l.extent(from)
	if !ok || crc32.Checksum(l.data[from:end], castagnoli) != binary.BigEndian.Uint32(l.data[end:]) {
		return e, false
	}
	klen, _ := binary.Uvarint(l.data[from+2:])
	if klen < 8 {
		return e, false // every key ends with a number of 8 bytes
	}
	kv := l.data[head:end]
	if l.key != nil {
		plain, err := y.XORBlockAllocate(kv, l.key.Data, l.vector(from))
		if err != nil {
			return e, false
		}
		kv = plain
	}
	return logEntry{from: from, to: end + crc32.Size, meta: l.data[from], key: kv[:klen], value: kv[klen:]}, true
}

// extent returns where the key of the entry at an offset begins and where its value ends.
func (l *logFile) extent(from int) (head, end int, ok bool) {
	b := l.data
	if from+2 >= len(b) {
		return 0, 0, false
	}
	at0 := from + 2
	var lens [3]uint64
	for i := range lens {
		v, n := binary.Uvarint(b[min(at0, len(b)):])
		if n <= 0 {
			return 0, 0, false
		}
		lens[i], at0 = v, at0+n
	}
	if lens[0] > maxKey || lens[1] > uint64(len(b)) {
		return 0, 0, false
	}
	end = at0 + int(lens[0]) + int(lens[1])
	return at0, end, end+crc32.Size <= len(b)
}

// mend finds the one bit that makes the entry at an offset right, nil when there is none.
func (l *logFile) mend(from int) *Patch {
	b := l.data
	if len(bytes.Trim(b[from:min(from+maxEntry, len(b))], "\x00")) == 0 {
		return nil // nothing was written here
	}
	if _, end, ok := l.extent(from); ok {
		if bit, inSum, found := flipped(b[from:end], binary.BigEndian.Uint32(b[end:])); found {
			p := at(b, from, bit)
			if inSum {
				p = at(b, end+3-bit/8, bit%8)
			}
			old := b[p.Offset]
			p.apply(b)
			_, ok := l.entry(from)
			b[p.Offset] = old
			if ok {
				return p
			}
		}
	}
	p, _ := anyBit(b, from, from+maxEntry, func() bool { _, ok := l.entry(from); return ok })
	return p
}

// resume returns where the next entry that can be read begins, negative when what can be
// read from there on is of no later transaction than one that was being written.
func (l *logFile) resume(from, used int, writing uint64) int {
	next := -1
	for at0 := from; at0+1 < used; {
		meta := l.data[at0]
		if (!l.txns || meta&(metaTxn|metaTxnEnds) != 0) && l.data[at0+1] == 0 {
			if e, ok := l.entry(at0); ok {
				if next < 0 {
					next = at0
				}
				if !l.txns || y.ParseTs(e.key) > writing {
					return next
				}
				at0 = e.to
				continue
			}
		}
		at0++
	}
	return -1
}

// sensible reports whether the first transaction of the log decrypts to one: all its
// keys end with its number, and so does its end.
func (l *logFile) sensible() bool {
	first := uint64(0)
	for at0 := logHead; ; {
		e, ok := l.entry(at0)
		if !ok {
			return at0 == logHead // nothing to tell it by
		}
		n := y.ParseTs(e.key)
		if e.meta&metaTxnEnds != 0 {
			v, err := strconv.ParseUint(string(e.value), 10, 64)
			return err == nil && (first == 0 || v == first)
		}
		if first != 0 && n != first {
			return false
		}
		first, at0 = n, e.to
	}
}

// readUsed reads a file without the zeros at its end, of which it adds a few, so that what is
// longer than the file is not taken for its end. Most of a log is a hole: room for
// what was not written yet.
func readUsed(path string) (b []byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = st.Size()
	chunk := make([]byte, 1<<20)
	for at0 := int64(0); at0 < size; {
		if runtime.GOOS == "linux" {
			const seekData = 3 // to what is no hole; lseek(2)
			switch data, err := f.Seek(at0, seekData); {
			case errors.Is(err, syscall.ENXIO):
				at0 = size
				continue
			case err == nil && data > at0:
				at0 = data
			}
		}
		n, err := f.ReadAt(chunk[:min(int64(len(chunk)), size-at0)], at0)
		if err != nil && err != io.EOF || n == 0 {
			return nil, 0, errors.Join(err, io.ErrUnexpectedEOF)
		}
		if used := Used(chunk[:n]); used > 0 {
			b = append(b, make([]byte, int(at0)-len(b))...)
			b = append(b, chunk[:used]...)
		}
		at0 += int64(n)
	}
	return append(b, make([]byte, min(size-int64(len(b)), 1<<10))...), size, nil
}

// Used returns how many bytes of a file are written: Badger makes its logs large and fills them
// from the front. Of what is long and zero it reads a block at a time.
func Used(b []byte) int {
	for len(b) >= len(zeros) && bytes.Equal(b[len(b)-len(zeros):], zeros[:]) {
		b = b[:len(b)-len(zeros)]
	}
	return len(bytes.TrimRight(b, "\x00"))
}

var zeros [32 << 10]byte
