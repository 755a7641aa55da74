package wirepb

import (
	"bufio"
	"crypto/sha256"
)

// HandOverProtocol is what the messages of handover.proto are spoken in.
const HandOverProtocol = "/stile/handover/1"

// HandOverVersion is what this release knows of it, for HandOverRequest.
const HandOverVersion = 1

// Limits of /stile/handover/1; see handover.proto.
const (
	MaxHandOverRequest = 4 << 10   // bytes
	MaxHandOverPart    = 512 << 10 // bytes
	MaxHandedContent   = 256 << 10 // bytes of the file in one part
)

// ReadHandOverRequest reads a request. Errors are as for [Reader.Read].
func ReadHandOverRequest(r *bufio.Reader) (*HandOverRequest, error) {
	q := new(HandOverRequest)
	return q, readMessage(r, MaxHandOverRequest, q)
}

// ReadHandOverPart reads a part. Errors are as for [Reader.Read].
func ReadHandOverPart(r *bufio.Reader) (*HandOverPart, error) {
	p := new(HandOverPart)
	return p, readMessage(r, MaxHandOverPart, p)
}

// WriteHandOverRequest writes a request; see [WriteQuestion].
func WriteHandOverRequest(w *bufio.Writer, q *HandOverRequest) error {
	return writeMessage(w, MaxHandOverRequest, q)
}

// WriteHandOverPart writes a part; see [WriteQuestion].
func WriteHandOverPart(w *bufio.Writer, p *HandOverPart) error {
	return writeMessage(w, MaxHandOverPart, p)
}

func (q *HandOverRequest) check() error {
	switch n := len(q.GetDigest()); {
	case q.GetVersion() == 0:
		return bad("request to hand over: no version")
	case n != 0 && n != sha256.Size:
		return bad("request to hand over: a digest of %d bytes", n)
	case n == 0 && q.GetOffset() > 0:
		return bad("request to hand over: an offset, and no digest")
	}
	return nil
}

func (p *HandOverPart) check() error {
	at, n := p.GetOffset(), uint64(len(p.GetContent()))
	switch {
	case len(p.GetCode()) > MaxText || len(p.GetReason()) > MaxText:
		return bad("part handed over: text longer than %d bytes", MaxText)
	case p.GetCode() != "":
		if len(p.GetDigest()) > 0 || p.GetSize() > 0 || at > 0 || n > 0 {
			return bad("part handed over: a refusal, and something of the file")
		}
	case len(p.GetDigest()) != sha256.Size:
		return bad("part handed over: a digest of %d bytes", len(p.GetDigest()))
	case p.GetSize() == 0 || at > p.GetSize() || n > p.GetSize()-at:
		return bad("part handed over: it goes beyond the file")
	case n > MaxHandedContent:
		return bad("part handed over: content of %d bytes, want at most %d", n, MaxHandedContent)
	case n == 0 && at < p.GetSize():
		return bad("part handed over: nothing, where the file goes on")
	}
	return nil
}
