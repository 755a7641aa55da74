package peersync

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// HeldProtocol is how a council that lost a part of its log asks for the records of its
// own that another holds. Every message is in the framing of package wire.
//
//	council that lost                        who holds
//	  version1 from8 ---------------------->      one for each stream
//	                 <----------------------      "E" index8 jws, for each order to erase from index from on
//	                 <----------------------      "R" index8 token, for each record held from index from on
//	                 <----------------------      an empty frame: that was all
//
// Orders come first: what they are about is shown to nobody from then on. Version 1 had no
// orders and no letters. Nothing is given but what the asking council itself once sent. It is answered also while
// all exchange with it is stopped: that is when it is asked.
const HeldProtocol = "/stile/held/1"

const (
	heldVersion = 2
	heldOrder   = 'E'
	heldRecord  = 'R'
	maxHeld     = 8 << 20 // bytes of one record
	heldWithin  = time.Minute
)

// serveHeld answers one stream of [HeldProtocol].
func (s *Syncer) serveHeld(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(s.o.Now().Add(heldWithin))
	q, err := wire.ReadFrame(bufio.NewReader(st), 64)
	if m, ok := s.o.Directory.Member(from); err != nil || len(q) != 9 || q[0] != heldVersion || !ok || !m.ActiveAt(s.o.Now()) {
		st.Reset()
		return
	}
	out := bufio.NewWriter(st)
	give := func(kind byte, index uint64, what []byte) error {
		st.SetDeadline(s.o.Now().Add(heldWithin))
		return wire.WriteFrame(out, append(binary.BigEndian.AppendUint64([]byte{kind}, index), what...))
	}
	err = s.o.Ledger.View(func(v *ledger.View) error {
		var failed error
		err := v.OrdersFrom(from, binary.BigEndian.Uint64(q[1:]), func(index uint64, jws []byte) bool {
			failed = give(heldOrder, index, jws)
			return failed == nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		for _, src := range s.o.Ledger.Sources() {
			if src.From != from || src.Ended {
				continue
			}
			err := v.HiddenToo(src, binary.BigEndian.Uint64(q[1:]), func(h *ledger.Holding, err error) bool {
				if err != nil {
					return true // damaged here: there is nothing to give back
				}
				failed = give(heldRecord, h.Index, h.Token.Bytes())
				return failed == nil
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = errors.Join(wire.WriteFrame(out, nil), out.Flush())
	}
	if err != nil {
		st.Reset()
		return
	}
	st.CloseWrite()
}

// fetchBack asks a council for the records of ours that it holds and that are not here,
// and keeps them beside the ledger.
func (s *Syncer) fetchBack(ctx context.Context, c name.Council) (n int, err error) {
	h := s.o.Ledger.Halted()
	if h == nil {
		return 0, nil
	}
	from := h.Size
	for _, x := range h.Newer {
		if x.By == c && x.Fork {
			from = 0
		}
	}
	err = s.held(ctx, c, from, func(kind byte, index uint64, what []byte) error {
		if kind == heldOrder {
			return s.o.Ledger.EraseAgain(ctx, c, index, what)
		}
		n++
		return s.o.Ledger.KeepLost(ctx, c, index, what)
	})
	return n, err
}

// Held asks a council for the records of ours that it holds, from an entry of our log on, and calls f with each: its
// entry, and its token with the fields that the council was let have. What is given is not checked.
func (s *Syncer) Held(ctx context.Context, c name.Council, from uint64, f func(index uint64, token []byte) error) error {
	return s.held(ctx, c, from, func(kind byte, index uint64, what []byte) error {
		if kind == heldOrder {
			return nil // nothing of our log was lost, so that it stands there
		}
		return f(index, what)
	})
}

// held asks for what another holds of ours, and calls f with each order to erase and each
// record.
func (s *Syncer) held(ctx context.Context, c name.Council, from uint64, f func(kind byte, index uint64, what []byte) error) error {
	st, err := s.o.Network.Open(ctx, c, HeldProtocol)
	if err != nil {
		return err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(s.o.Now().Add(heldWithin))
	if _, err := st.Write(wire.AppendFrame(nil, binary.BigEndian.AppendUint64([]byte{heldVersion}, from))); err != nil {
		st.Reset()
		return err
	}
	in := bufio.NewReader(st)
	for {
		st.SetDeadline(s.o.Now().Add(heldWithin))
		b, err := wire.ReadFrame(in, maxHeld)
		if err == nil && len(b) == 0 {
			return nil
		}
		if err == nil && (len(b) < 10 || b[0] != heldOrder && b[0] != heldRecord) {
			err = fmt.Errorf("%s gave back something that is no record with its place", c)
		}
		if err == nil {
			err = f(b[0], binary.BigEndian.Uint64(b[1:]), b[9:])
		}
		if err != nil {
			st.Reset()
			return err
		}
	}
}

// PullAgain ends every stream that fetches what others let us have, and begins it anew from where its copy is.
func (s *Syncer) PullAgain() {
	s.mu.Lock()
	for k, j := range s.jobs {
		if k.work == copying {
			j.cancel()
			delete(s.jobs, k)
		}
	}
	s.mu.Unlock()
	s.look()
}

// Acquainted returns the councils that may hold something of our log.
func (s *Syncer) Acquainted() []name.Council { return s.acquainted() }
