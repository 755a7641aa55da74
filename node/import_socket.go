package node

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// On the admin socket an import is one request, POST /records/import, whose body
// and reply are read and written at the same time. Each is frames of length4, in
// bytes and big-endian, and so many bytes. The body begins with an ImportRequest in
// JSON; each frame after it is a batch:
//
//	rows-uvarint, and of each row: row-uvarint reference problems record
//
// where reference, problems (JSON, empty for none) and record are uvarint lengths
// and bytes. A frame of the reply begins with a letter: "r" is the reply to the oldest
// batch not answered, a uvarint length, ImportReply in JSON, and for each row 24 bytes of
// KeyDigest, exact, twin and nfc; "e" an Error in JSON, the last; and "d" alone says that
// everything was answered, after the end of the body.
const importPath = "records/import"

func writeFrame(w *bufio.Writer, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	w.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
	for _, p := range parts {
		w.Write(p)
	}
	return w.Flush()
}

// readFrame returns io.EOF where there is no other frame.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxRequest {
		return nil, fail(Usage, "send fewer records at a time", "request is larger than %d MiB", maxRequest>>20)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

func appendRows(b []byte, rows []ImportRow) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(rows)))
	for _, r := range rows {
		b = binary.AppendUvarint(b, uint64(r.Row))
		b = append(binary.AppendUvarint(b, uint64(len(r.Reference))), r.Reference...)
		var problems []byte
		if len(r.Problems) > 0 {
			var err error
			if problems, err = json.Marshal(r.Problems); err != nil {
				return nil, err
			}
		}
		b = append(binary.AppendUvarint(b, uint64(len(problems))), problems...)
		b = append(binary.AppendUvarint(b, uint64(len(r.Record))), r.Record...)
	}
	return b, nil
}

// parseRows reads what appendRows wrote. The rows share memory with b.
func parseRows(b []byte) ([]ImportRow, error) {
	wrong := fail(Usage, "use the same version of Stile for the command and the node", "the rows are not sent as they should be")
	next := func() (uint64, bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return 0, false
		}
		b = b[size:]
		return n, true
	}
	some := func() ([]byte, bool) {
		n, ok := next()
		if !ok || n > uint64(len(b)) {
			return nil, false
		}
		x := b[:n:n]
		b = b[n:]
		return x, true
	}
	n, ok := next()
	if !ok || n > uint64(len(b)/4) { // four bytes is the shortest row
		return nil, wrong
	}
	rows := make([]ImportRow, n)
	for i := range rows {
		row, ok1 := next()
		reference, ok2 := some()
		problems, ok3 := some()
		record, ok4 := some()
		if !ok1 || !ok2 || !ok3 || !ok4 || row > 1<<53 {
			return nil, wrong
		}
		rows[i] = ImportRow{Row: int(row), Reference: string(reference), Record: record}
		if len(problems) > 0 && json.Unmarshal(problems, &rows[i].Problems) != nil {
			return nil, wrong
		}
	}
	if len(b) > 0 {
		return nil, wrong
	}
	return rows, nil
}

const digestBytes = 24

func appendReply(b []byte, r *ImportReply) ([]byte, error) {
	j, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b = append(binary.AppendUvarint(append(b, 'r'), uint64(len(j))), j...)
	for _, k := range r.Keys {
		b = append(append(append(b, k.Exact[:]...), k.Twin[:]...), k.NFC[:]...)
	}
	return b, nil
}

// parseReply reads what appendReply wrote, after the letter.
func parseReply(b []byte) (*ImportReply, error) {
	wrong := fail(Failed, "use the same version of Stile for the command and the node", "the node's answer is not what was asked for")
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, wrong
	}
	j, keys := b[size:size+int(n)], b[size+int(n):]
	r := &ImportReply{}
	if err := json.Unmarshal(j, r); err != nil {
		return nil, wrong
	}
	if r.Rows < 0 || len(keys) != r.Rows*digestBytes {
		return nil, wrong
	}
	for ; len(keys) > 0; keys = keys[digestBytes:] {
		r.Keys = append(r.Keys, KeyDigest{Exact: [8]byte(keys), Twin: [8]byte(keys[8:]), NFC: [8]byte(keys[16:])})
	}
	return r, nil
}

// answerImport carries out an import that comes through the admin socket.
func (n *Node) answerImport(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ctx := r.Context()
	// Nothing else would end a read that waits for a client that waits.
	interrupt := func() { rc.SetReadDeadline(time.Now()) }
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriter(w)
	frame := func(parts ...[]byte) error {
		if err := writeFrame(out, parts...); err != nil {
			return err
		}
		return rc.Flush()
	}
	if frame([]byte("o")) != nil { // so that the other side has a reply to read
		return
	}
	rc.SetReadDeadline(time.Now().Add(importIdle))
	err := func() error {
		in := bufio.NewReaderSize(r.Body, 64<<10)
		first, err := readFrame(in)
		if err != nil {
			return err
		}
		var req ImportRequest
		if err := json.Unmarshal(first, &req); err != nil {
			return fail(Usage, "", "request is not what the operation takes: %v", err)
		}
		return n.gate.Stream(ctx, req, func(ctx context.Context) ([]ImportRow, error) {
			rc.SetReadDeadline(time.Now().Add(importIdle))
			defer context.AfterFunc(ctx, interrupt)()
			b, err := readFrame(in)
			if err != nil {
				return nil, err
			}
			return parseRows(b)
		}, func(reply *ImportReply) error {
			b, err := appendReply(nil, reply)
			if err != nil {
				return err
			}
			return frame(b)
		})
	}()
	if err != nil {
		// Not ctx's error: interrupting a read ends the request's context too, and
		// Stream gives the first cause.
		b, merr := json.Marshal(asError(err))
		if merr == nil {
			frame([]byte("e"), b)
		}
		return
	}
	frame([]byte("d"))
}

// Import begins an import at the node. It ends with ctx.
func (c *Client) Import(ctx context.Context, in ImportRequest) (*Import, error) {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://stile/"+importPath, r)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("internal error: %w", err)
	}
	out := bufio.NewWriterSize(w, 256<<10)
	first := make(chan error, 1)
	go func() {
		b, err := json.Marshal(in)
		if err == nil {
			err = writeFrame(out, b)
		}
		first <- err
	}()
	resp, err := c.http.Do(req)
	if err != nil {
		gone := ctx.Err()
		cancel()
		r.Close()
		<-first
		if gone != nil {
			return nil, asError(gone)
		}
		return nil, fail(Failed, "look at the node's log", "the node did not answer: %v", errors.Unwrap(err))
	}
	back := bufio.NewReaderSize(resp.Body, 64<<10)
	end := func() {
		w.Close()
		cancel()
		r.Close()
		resp.Body.Close()
	}
	if resp.StatusCode != http.StatusOK {
		end()
		<-first
		return nil, fail(Failed, "use the same version of Stile for the command and the node", "the node answered %s", resp.Status)
	}
	lost := func(err error) error {
		if ctx.Err() != nil {
			return asError(ctx.Err())
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		return fail(Failed, "look at the node's log", "the connection to the node was lost")
	}
	if err := <-first; err != nil {
		end()
		return nil, lost(err)
	}
	var frame []byte
	return &Import{
		send: func(rows []ImportRow) (err error) {
			if frame, err = appendRows(frame[:0], rows); err != nil {
				return err
			}
			if len(frame) > maxRequest {
				return fail(Usage, "send fewer records at a time", "request is larger than %d MiB", maxRequest>>20)
			}
			if err := writeFrame(out, frame); err != nil {
				return lost(err)
			}
			return nil
		},
		receive: func() (*ImportReply, error) {
			for {
				b, err := readFrame(back)
				if err != nil {
					return nil, lost(err)
				}
				switch {
				case len(b) == 1 && b[0] == 'o':
				case len(b) > 0 && b[0] == 'r':
					return parseReply(b[1:])
				case len(b) > 0 && b[0] == 'e':
					e := &Error{}
					if err := json.Unmarshal(b[1:], e); err != nil || e.Kind == "" {
						return nil, fail(Failed, "use the same version of Stile for the command and the node", "the node's answer is not what was asked for")
					}
					return nil, e
				default:
					return nil, fail(Failed, "use the same version of Stile for the command and the node", "the node's answer is not what was asked for")
				}
			}
		},
		end: end,
	}, nil
}
