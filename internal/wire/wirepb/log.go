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
	MaxProof        = 384 << 10 // bytes: 64 hashes prove any two sizes; those of MaxProved entries, and notes
)

// Bounds of what says which process speaks.
const (
	InstanceSize = 16      // bytes of an instance
	MaxVouch     = 4 << 10 // bytes of a vouch
)

func instanceSize(b []byte) bool { return len(b) == 0 || len(b) == InstanceSize }

// MaxProved is the most entries in ProofRequest.indexes: in a log of a thousand million
// entries the proof of so many is of at most 30 hashes each.
const MaxProved = 256

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
		if q.GetFirst() != 0 || q.GetSecond() != 0 || len(q.GetIndexes()) > 0 {
			return bad("proof request: it asks for heads and names sizes or entries")
		}
		if !instanceSize(q.GetInstance()) || len(q.GetVouch()) > MaxVouch || len(q.GetCheckpoint()) > MaxNote {
			return bad("proof request: instance, vouch or checkpoint of a wrong length")
		}
	case len(q.GetIndexes()) > MaxProved:
		return bad("proof request: more than %d entries", MaxProved)
	case len(q.GetIndexes()) > 0:
		if q.GetFirst() != 0 {
			return bad("proof request: it asks for entries and names two sizes")
		}
		for i, at := range q.GetIndexes() {
			if at >= q.GetSecond() || i > 0 && at <= q.GetIndexes()[i-1] {
				return bad("proof request: entries do not ascend below the size")
			}
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
	case len(p.GetInclusion())%32 != 0 || len(p.GetInclusion()) > 0 && !p.GetIncluded():
		return bad("proof: the hashes of entries are no whole number, or are not said to be there")
	case p.GetIncluded() && len(p.GetConsistency()) > 0:
		return bad("proof: of two sizes and of entries")
	case p.GetCode() == "" && len(p.GetConsistency()) == 0 && !p.GetIncluded():
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
