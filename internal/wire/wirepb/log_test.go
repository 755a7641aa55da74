package wirepb_test

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

func proofs() (qs []*wirepb.ProofRequest, ps []*wirepb.Proof) {
	hash := bytes.Repeat([]byte{7}, 32)
	return []*wirepb.ProofRequest{
			{Version: 1, Log: "northmoor.gov.uk", First: 3, Second: 9},
			{Version: 1, Log: "northmoor.gov.uk", Heads: true, Instance: make([]byte, wirepb.InstanceSize)},
			{Version: 1, Log: "northmoor.gov.uk", Second: 9, Indexes: []uint64{0, 4, 8}},
		}, []*wirepb.Proof{
			{Consistency: hash},
			{Code: "shorter", Reason: "the log has fewer entries than that", Checkpoint: []byte("a note")},
			{Inclusion: append(hash, hash...), Included: true},
			{Included: true},
		}
}

// What asks for the proof of entries, and what answers, has one shape.
func TestProofOfEntries(t *testing.T) {
	many := make([]uint64, wirepb.MaxProved+1)
	for i := range many {
		many[i] = uint64(i)
	}
	for name, q := range map[string]*wirepb.ProofRequest{
		"two sizes and entries": {First: 1, Second: 9, Indexes: []uint64{4}},
		"an entry at the size":  {Second: 9, Indexes: []uint64{4, 9}},
		"twice the same":        {Second: 9, Indexes: []uint64{4, 4}},
		"descending":            {Second: 9, Indexes: []uint64{4, 3}},
		"too many":              {Second: 1000, Indexes: many},
		"heads and entries":     {Heads: true, Indexes: []uint64{4}},
	} {
		q.Version, q.Log = 1, "northmoor.gov.uk"
		if _, err := wirepb.ReadProofRequest(bufio.NewReader(bytes.NewReader(framed(t, q)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	hash := make([]byte, 32)
	for name, p := range map[string]*wirepb.Proof{
		"no whole hashes":         {Included: true, Inclusion: hash[:31]},
		"hashes, not said so":     {Inclusion: hash},
		"of sizes and of entries": {Included: true, Consistency: hash},
		"nothing at all":          {},
	} {
		if _, err := wirepb.ReadProof(bufio.NewReader(bytes.NewReader(framed(t, p)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
}

func FuzzProof(f *testing.F) {
	qs, ps := proofs()
	for _, q := range qs {
		for _, p := range ps {
			f.Add(framed(f, q), framed(f, p))
		}
	}
	f.Fuzz(func(t *testing.T, question, answer []byte) {
		if q, err := wirepb.ReadProofRequest(bufio.NewReader(bytes.NewReader(question))); err == nil {
			var out bytes.Buffer
			if err := wirepb.WriteProofRequest(bufio.NewWriter(&out), q); err != nil {
				t.Fatalf("accepted and not writable: %v", err)
			}
			if again, err := wirepb.ReadProofRequest(bufio.NewReader(&out)); err != nil || !proto.Equal(q, again) {
				t.Fatalf("changed when written again: %v", err)
			}
		}
		if p, err := wirepb.ReadProof(bufio.NewReader(bytes.NewReader(answer))); err == nil {
			var out bytes.Buffer
			if err := wirepb.WriteProof(bufio.NewWriter(&out), p); err != nil {
				t.Fatalf("accepted and not writable: %v", err)
			}
			if again, err := wirepb.ReadProof(bufio.NewReader(&out)); err != nil || !proto.Equal(p, again) {
				t.Fatalf("changed when written again: %v", err)
			}
		}
	})
}
