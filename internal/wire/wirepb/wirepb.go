// Package wirepb holds the messages of the protocol /stile/sync/1 and reads and
// writes them on a stream. The file sync.proto is the protocol's specification
// and has the rules for changing it; sync.pb.go is generated from it.
//
// What a [Reader] returns has the form that sync.proto asks for: one known kind,
// proofs a whole number of hashes, indexes ascending. Whether any of it is true
// is for the caller to find out.
//
// It also holds the messages of /stile/directory/1, /stile/lookup/1 and
// /stile/log/1, which directory.proto, lookup.proto and log.proto specify.
package wirepb

//go:generate ./generate.sh

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// Protocol is what these messages are spoken in.
const Protocol = "/stile/sync/1"

// Version is what this release knows, for Hello. Its history is in sync.proto.
const Version = 2

// MaxFrame is the most bytes that a frame's body may have.
const MaxFrame = 8 << 20

// Limits within a frame.
const (
	// MaxItems is the most items of a Batch. An item costs its reader some 100
	// bytes of memory however short it is, so without it a frame of empty ones
	// would grow sixtyfold when read.
	MaxItems = 1 << 15

	// MaxGone is the most records that a Batch says are gone.
	MaxGone = 400

	// MaxText is the most bytes that a feed's name, a code or a reason may have.
	MaxText = 1 << 10

	// MaxNote is the most bytes that a checkpoint which is no batch's may have: as
	// tlog.MaxNote.
	MaxNote = 64 << 10
)

// keep is the largest buffer that a Reader or Writer holds on to between
// frames: streams live for weeks, and few frames are at the limit.
const keep = 1 << 20

// ErrFrame is wrapped by every refusal of a frame's form or contents. The
// stream cannot be read on. It is [wire.ErrFrame].
var ErrFrame = wire.ErrFrame

// A Reader reads the frames of one direction of a stream. It must not be used
// concurrently.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader returns a reader of frames from r, which it buffers.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Read returns the next frame, which shares no memory with the reader. It
// returns io.EOF where the stream ends between frames and io.ErrUnexpectedEOF
// where it ends inside one. Other errors wrap [ErrFrame] or come from the stream.
func (r *Reader) Read() (*Frame, error) {
	body, err := wire.ReadFrameInto(r.r, r.buf, MaxFrame)
	if err != nil {
		return nil, err
	}
	if r.buf = body; cap(body) > keep {
		r.buf = nil
	}
	if items, gone := countLists(body); items > MaxItems || gone > MaxGone {
		return nil, bad("batch: more than %d items, or %d gone", MaxItems, MaxGone)
	}
	f := new(Frame)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, f); err != nil {
		// The cause may quote bytes of a record.
		return nil, bad("not a message of %s", Protocol)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// A Writer writes the frames of one direction of a stream. It must not be used
// concurrently.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter returns a writer of frames to w. It does not buffer.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes one frame in a single Write of the stream, so that it is on its
// way when Write returns. A frame that [Reader.Read] would refuse is an error
// that wraps [ErrFrame], and nothing is written.
func (w *Writer) Write(f *Frame) error {
	if err := f.check(); err != nil {
		return err
	}
	n := proto.Size(f)
	if n > MaxFrame {
		return bad("longer than %d bytes", MaxFrame)
	}
	w.buf = binary.AppendUvarint(w.buf[:0], uint64(n))
	var err error
	w.buf, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(w.buf, f)
	if err != nil {
		// Only text that is not UTF-8 gets here, and the cause may quote it.
		w.buf = nil
		return bad("text is not UTF-8")
	}
	_, err = w.w.Write(w.buf)
	if cap(w.buf) > keep {
		w.buf = nil
	}
	return err
}

// check reports what is wrong with the form of a frame.
func (f *Frame) check() error {
	switch k := f.GetKind().(type) {
	case *Frame_Hello:
		if k.Hello.GetVersion() == 0 {
			return bad("hello: no version")
		}
		if n := len(k.Hello.GetAgreementDigest()); n != 0 && n != 32 {
			return bad("hello: agreement digest of %d bytes, want 32", n)
		}
		if len(k.Hello.GetFeed()) > MaxText {
			return bad("hello: feed longer than %d bytes", MaxText)
		}
		if len(k.Hello.GetCheckpoint()) > MaxNote {
			return bad("hello: checkpoint longer than %d bytes", MaxNote)
		}
		if len(k.Hello.GetKeeps()) > MaxText {
			return bad("hello: keeps longer than %d bytes", MaxText)
		}
		if !instanceSize(k.Hello.GetInstance()) {
			return bad("hello: an instance of %d bytes", len(k.Hello.GetInstance()))
		}
	case *Frame_Batch:
		return k.Batch.check()
	case *Frame_Ack:
	case *Frame_Refuse:
		if len(k.Refuse.GetCode()) > MaxText || len(k.Refuse.GetReason()) > MaxText {
			return bad("refuse: text longer than %d bytes", MaxText)
		}
		if len(k.Refuse.GetCheckpoints()) > 2 {
			return bad("refuse: more than 2 checkpoints")
		}
		for _, n := range k.Refuse.GetCheckpoints() {
			if len(n) > MaxNote {
				return bad("refuse: checkpoint longer than %d bytes", MaxNote)
			}
		}
	default:
		return bad("no message, or of a kind not known")
	}
	return nil
}

func (b *Batch) check() error {
	if len(b.GetConsistency())%32 != 0 || len(b.GetInclusion())%32 != 0 {
		return bad("batch: proof is not a whole number of hashes")
	}
	if len(b.GetTakenOver()) > MaxText {
		return bad("batch: taken_over longer than %d bytes", MaxText)
	}
	items := b.GetItems()
	if len(items) > MaxItems {
		return bad("batch: more than %d items", MaxItems)
	}
	for i, it := range items {
		if i > 0 && it.GetIndex() <= items[i-1].GetIndex() {
			return bad("batch: indexes do not ascend")
		}
		if was := it.GetFormer(); was != "" {
			if _, err := name.ParseRecord(was); err != nil {
				return bad("batch: what an item was is no id of a record")
			}
		}
	}
	if n := len(items); n > 0 && items[n-1].GetIndex() >= b.GetCursor() {
		return bad("batch: cursor does not pass the last item")
	}
	if len(b.GetGone()) > MaxGone {
		return bad("batch: more than %d gone", MaxGone)
	}
	for i, g := range b.GetGone() {
		if i > 0 && g.GetIndex() <= b.GetGone()[i-1].GetIndex() || g.GetIndex() >= b.GetCursor() {
			return bad("batch: indexes of what is gone do not ascend to the cursor")
		}
		if _, err := name.ParseCouncil(g.GetCouncil()); err != nil {
			return bad("batch: what is gone is of no council")
		}
		if _, err := name.ParseRecord(g.GetRecord()); err != nil {
			return bad("batch: what is gone has no id of a record")
		}
	}
	return nil
}

// countLists counts the items, and what is gone, in the bytes of a frame without
// reading them, or as many as there are before something that Unmarshal will refuse.
func countLists(frame []byte) (items, gone int) {
	for len(frame) > 0 {
		number, kind, size := protowire.ConsumeField(frame)
		if size < 0 {
			return items, gone
		}
		if number == frameBatch && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(frame)
			batch, _ := protowire.ConsumeBytes(frame[tag:])
			for len(batch) > 0 {
				number, _, size := protowire.ConsumeField(batch)
				if size < 0 {
					break
				}
				switch number {
				case batchItems:
					items++
				case batchGone:
					gone++
				}
				batch = batch[size:]
			}
		}
		frame = frame[size:]
	}
	return items, gone
}

// Field numbers of sync.proto that countLists looks for.
const (
	frameBatch protowire.Number = 2
	batchItems protowire.Number = 1
	batchGone  protowire.Number = 9
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFrame, fmt.Errorf(format, args...))
}

// Hashes splits a proof of a Batch into its hashes.
func Hashes(proof []byte) ([][32]byte, error) {
	if len(proof)%32 != 0 {
		return nil, errors.New("proof is not a whole number of hashes")
	}
	list := make([][32]byte, len(proof)/32)
	for i := range list {
		copy(list[i][:], proof[32*i:])
	}
	return list, nil
}
