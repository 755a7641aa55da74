package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

// A stored entry is one byte of kind, then:
//
//	1 record: op1 standard4 key4 iat8 version8 record16 [prev32 prevIndex8 if version > 1] seed32 body…
//	2 event:  the compact JWS
//
// The token of a record is not stored: body, claims and seed rebuild it, and what
// is rebuilt must hash to the leaf of the log before it is believed. The body is
// canonical JSON; a delete has none. A token's own signature, once somebody needed
// it, stands beside: see alone.go.
const (
	kindRecord byte = 1
	kindEvent  byte = 2
)

type storedRecord struct {
	op        record.Op
	standard  uint32
	key       uint32
	issuedAt  int64
	version   uint64
	record    [16]byte
	prev      tlog.Hash
	prevIndex uint64
	seed      record.Seed
	body      []byte // canonical JSON
	token     []byte // packed alone; nil unless partners gave it back, see restore.go
}

var errShort = errors.New("stored entry ends early")

func (s *storedRecord) encode() []byte {
	b := make([]byte, 0, 2+4+4+8+8+16+40+32+len(s.body))
	b = append(b, kindRecord)
	if s.op == record.Delete {
		b = append(b, 'd')
	} else {
		b = append(b, 'p')
	}
	b = binary.BigEndian.AppendUint32(b, s.standard)
	b = binary.BigEndian.AppendUint32(b, s.key)
	b = binary.BigEndian.AppendUint64(b, uint64(s.issuedAt))
	b = binary.BigEndian.AppendUint64(b, s.version)
	b = append(b, s.record[:]...)
	if s.version > 1 {
		b = append(b, s.prev[:]...)
		b = binary.BigEndian.AppendUint64(b, s.prevIndex)
	}
	b = append(b, s.seed[:]...)
	return append(b, s.body...)
}

// decodeStoredRecord reads what encode wrote; b starts with the kind. The
// result shares memory with b.
func decodeStoredRecord(b []byte) (*storedRecord, error) {
	if len(b) > 5 && b[0] == kindRestored {
		n := uint64(binary.BigEndian.Uint32(b[1:]))
		if n > uint64(len(b)-5) || n > 0 && b[5] != kindRecord {
			return nil, errShort
		}
		s, err := decodeStoredRecord(b[5 : 5+n])
		if err == nil {
			s.token = b[5+n:]
		}
		return s, err
	}
	if len(b) < 42 || b[0] != kindRecord {
		return nil, errShort
	}
	s := &storedRecord{op: record.Put}
	switch b[1] {
	case 'p':
	case 'd':
		s.op = record.Delete
	default:
		return nil, fmt.Errorf("stored entry has operation %d", b[1])
	}
	s.standard = binary.BigEndian.Uint32(b[2:])
	s.key = binary.BigEndian.Uint32(b[6:])
	s.issuedAt = int64(binary.BigEndian.Uint64(b[10:]))
	s.version = binary.BigEndian.Uint64(b[18:])
	copy(s.record[:], b[26:])
	b = b[42:]
	if s.version > 1 {
		if len(b) < 40 {
			return nil, errShort
		}
		copy(s.prev[:], b)
		s.prevIndex = binary.BigEndian.Uint64(b[32:])
		b = b[40:]
	}
	if len(b) < 32 {
		return nil, errShort
	}
	copy(s.seed[:], b)
	s.body = b[32:]
	return s, nil
}
