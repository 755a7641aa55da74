package wirepb_test

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

// What asks for a file and each part of it have one shape.
func TestHandOverBounds(t *testing.T) {
	digest := make([]byte, 32)
	for name, q := range map[string]*wirepb.HandOverRequest{
		"no version":           {Digest: digest},
		"half a digest":        {Version: 1, Digest: digest[:16]},
		"an offset of nothing": {Version: 1, Offset: 1},
	} {
		if _, err := wirepb.ReadHandOverRequest(bufio.NewReader(bytes.NewReader(framed(t, q)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	for name, p := range map[string]*wirepb.HandOverPart{
		"nothing":                  {},
		"a refusal with content":   {Code: "busy", Content: []byte("x")},
		"beyond the end":           {Digest: digest, Size: 3, Offset: 1, Content: []byte("xyz")},
		"an offset that overflows": {Digest: digest, Size: 3, Offset: 1<<64 - 1, Content: []byte("xyz")},
		"empty in the middle":      {Digest: digest, Size: 3, Offset: 1},
		"too much":                 {Digest: digest, Size: 1 << 30, Content: make([]byte, wirepb.MaxHandedContent+1)},
		"half a digest":            {Digest: digest[:16], Size: 3, Content: []byte("x")},
	} {
		if _, err := wirepb.ReadHandOverPart(bufio.NewReader(bytes.NewReader(framed(t, p)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	for _, p := range []*wirepb.HandOverPart{{Code: "busy", Reason: "later"}, {Digest: digest, Size: 3, Offset: 3}, {Digest: digest, Size: 3, Offset: 1, Content: []byte("yz")}} {
		if _, err := wirepb.ReadHandOverPart(bufio.NewReader(bytes.NewReader(framed(t, p)))); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}
