package wirepb

import (
	"bufio"
	"slices"
)

// LogProtocol is what the messages of log.proto are spoken in.
const LogProtocol = "/stile/log/1"

// LogVersion is what this release knows of it, for ProofRequest.
const LogVersion = 1

// Limits of /stile/log/1; see log.proto.
const (
	MaxProofRequest = 72 << 10  // bytes: a checkpoint, with a vouch
	MaxProof        = 320 << 10 // bytes: 64 hashes prove any two sizes, the rest is for the note
)

// Bounds of what says which process speaks.
const (
	InstanceSize = 16      // bytes of an instance
	MaxVouch     = 4 << 10 // bytes of a vouch
)

func instanceSize(b []byte) bool { return len(b) == 0 || len(b) == InstanceSize }

// MaxHeads is the most checkpoints in an answer to ProofRequest.heads.
const MaxHeads = 4

// ReadProofRequest reads a request. Errors are as for [Reader.Read].
func ReadProofRequest(r *bufio.Reader) (*ProofRequest, error) {
	q := new(ProofRequest)
	return q, readMessage(r, MaxProofRequest, q)
}

// ReadProof reads an answer to one. Errors are as for [Reader.Read].
func ReadProof(r *bufio.Reader) (*Proof, error) {
	p := new(Proof)
	return p, readMessage(r, MaxProof, p)
}

// WriteProofRequest writes a request; see [WriteQuestion].
func WriteProofRequest(w *bufio.Writer, q *ProofRequest) error {
	return writeMessage(w, MaxProofRequest, q)
}

// WriteProof writes an answer; see [WriteQuestion].
func WriteProof(w *bufio.Writer, p *Proof) error { return writeMessage(w, MaxProof, p) }

func (q *ProofRequest) check() error {
	switch {
	case q.GetVersion() == 0:
		return bad("proof request: no version")
	case len(q.GetLog()) == 0 || len(q.GetLog()) > MaxText:
		return bad("proof request: log of %d bytes, want 1 to %d", len(q.GetLog()), MaxText)
	case q.GetHeads():
		if q.GetFirst() != 0 || q.GetSecond() != 0 {
			return bad("proof request: it asks for heads and names sizes")
		}
		if !instanceSize(q.GetInstance()) || len(q.GetVouch()) > MaxVouch || len(q.GetCheckpoint()) > MaxNote {
			return bad("proof request: instance, vouch or checkpoint of a wrong length")
		}
	case q.GetFirst() == 0 || q.GetFirst() >= q.GetSecond():
		return bad("proof request: sizes do not ascend")
	}
	return nil
}

func (p *Proof) check() error {
	switch {
	case len(p.GetCode()) > MaxText || len(p.GetReason()) > MaxText:
		return bad("proof: text longer than %d bytes", MaxText)
	case len(p.GetConsistency())%32 != 0:
		return bad("proof: it is not a whole number of hashes")
	case p.GetCode() == "" && len(p.GetConsistency()) == 0:
		return bad("proof: neither hashes nor a refusal")
	case len(p.GetCheckpoint()) > MaxNote:
		return bad("proof: checkpoint longer than %d bytes", MaxNote)
	case len(p.GetHeads()) > MaxHeads || slices.ContainsFunc(p.GetHeads(), func(h []byte) bool { return len(h) > MaxNote }):
		return bad("proof: more than %d heads, or one longer than %d bytes", MaxHeads, MaxNote)
	case !instanceSize(p.GetOther()) || len(p.GetVouch()) > MaxVouch:
		return bad("proof: instance or vouch of a wrong length")
	}
	return nil
}
