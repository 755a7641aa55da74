package footprint

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// A raftLog is raft's log and its stable store, which holds the vote.
//
// With an encryption key each entry's data is sealed with AES-256-GCM under a
// key derived from it (HKDF-SHA-256, RFC 5869, info "stile footprint raft log"),
// with a random nonce in front and position, term and kind as what is
// authenticated beside: the log holds tokens before the replica does. What
// raft keeps of itself, terms, votes and positions, is in clear.
type raftLog struct {
	*wal.WAL
	seal  cipher.AEAD                               // nil: in clear
	noted func() (position, term uint64, err error) // the newest snapshot that is installed or noted; nil: none can be

	lowering, installing atomic.Uint64 // see install
}

func openLog(dir string, segment int, key []byte) (*raftLog, error) {
	if segment == 0 {
		segment = 64 << 20
	}
	l := &raftLog{}
	if len(key) > 0 {
		k, err := hkdf.Key(sha256.New, key, nil, "stile footprint raft log", 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err
		}
		if l.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	var err error
	if l.WAL, err = wal.Open(dir, wal.WithSegmentSize(segment)); err != nil {
		return nil, err
	}
	// raft makes a panic of an entry that it cannot read.
	last, err := l.LastIndex()
	if err == nil && last > 0 {
		err = l.GetLog(last, &raft.Log{})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func beside(l *raft.Log) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 17), l.Index)
	return append(binary.BigEndian.AppendUint64(b, l.Term), byte(l.Type))
}

// StoreLog implements raft.LogStore.
func (l *raftLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l *raftLog) store(logs []*raft.Log) error {
	if l.seal == nil {
		return l.WAL.StoreLogs(logs)
	}
	sealed := make([]*raft.Log, len(logs))
	for i, log := range logs {
		c := *log
		c.Data = l.seal.Seal(nil, nil, log.Data, beside(log))
		sealed[i] = &c
	}
	return l.WAL.StoreLogs(sealed)
}

func (l *raftLog) get(index uint64, log *raft.Log) error {
	if err := l.WAL.GetLog(index, log); err != nil || l.seal == nil {
		return err
	}
	data, err := l.seal.Open(nil, nil, log.Data, beside(log))
	if err != nil {
		return fmt.Errorf("log entry %d: it was altered, or the encryption key is not the one it was written with", index)
	}
	log.Data = data
	return nil
}
