package succession

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// TestBring: a file comes over streams that break, in the middle of a part, too, and each
// goes on where the one before ended; a file that has changed begins anew. What does not
// fit together is refused, and nothing of it is taken for the file.
func TestBring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := wire.NewMemory()
		old, east := world.Node("northmoor.gov.uk"), world.Node("east.gov.uk")
		defer old.Close()
		defer east.Close()
		content := make([]byte, 3*wirepb.MaxHandedContent+77)
		rand.NewChaCha8([32]byte{1}).Read(content)
		path := filepath.Join(t.TempDir(), "file")
		write := func(b []byte) *whole {
			t.Helper()
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := hashed(path)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		file := write(content)
		var asked []uint64 // offsets
		var change func(p *wirepb.HandOverPart)
		old.Handle(wirepb.HandOverProtocol, func(_ context.Context, _ name.Council, st wire.Stream) {
			defer st.Close()
			q, err := wirepb.ReadHandOverRequest(bufio.NewReader(st))
			if err != nil {
				t.Error(err)
				return
			}
			asked = append(asked, q.GetOffset())
			if change != nil {
				p := &wirepb.HandOverPart{Digest: file.digest, Size: file.size, Content: content[:1000]}
				change(p)
				wirepb.WriteHandOverPart(bufio.NewWriter(st), p)
				wirepb.WriteHandOverPart(bufio.NewWriter(st), p)
				return
			}
			if send(st, q, file, time.Now) != nil {
				st.Reset()
			}
		})
		b := &bringing{dir: t.TempDir(), from: "northmoor.gov.uk", now: time.Now, room: func() error { return nil }}
		open := func(ctx context.Context) (wire.Stream, error) {
			return east.Open(ctx, "northmoor.gov.uk", wirepb.HandOverProtocol)
		}
		// Every second write of the sender after the first part fails somewhere in it.
		var writes atomic.Int64
		world.OnWrite(func(w wire.Write) wire.Fault {
			if w.From != "northmoor.gov.uk" || len(w.Data) < 1000 {
				return wire.None
			}
			if writes.Add(1)%3 == 0 {
				return wire.Truncated(len(w.Data) / 2)
			}
			return wire.None
		})
		got, err := b.bring(t.Context(), open)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := os.ReadFile(got); err != nil || !bytes.Equal(have, content) {
			t.Errorf("it came as something else: %v", err)
		}
		if len(asked) < 2 || asked[0] != 0 || asked[len(asked)-1] == 0 {
			t.Errorf("streams began at %v, want that the later ones go on", asked)
		}
		world.OnWrite(nil)
		asked = nil
		if again, err := b.bring(t.Context(), open); err != nil || again != got || len(asked) != 1 || asked[0] != file.size {
			t.Errorf("what is there whole was brought from %v: %v", asked, err)
		}
		file = write(content[:len(content)-1])
		if got, err = b.bring(t.Context(), open); err != nil {
			t.Fatal(err)
		}
		if have, err := os.ReadFile(got); err != nil || !bytes.Equal(have, content[:len(content)-1]) {
			t.Errorf("another file came as something else: %v", err)
		}
		if left, err := b.there(); err != nil || len(left) != 1 {
			t.Errorf("there are %q: %v", left, err)
		}

		other := sha256.Sum256(nil)
		for what, f := range map[string]func(*wirepb.HandOverPart){
			"goes on where nothing ended": func(p *wirepb.HandOverPart) { p.Offset = 5 },
			"the same part twice":         func(p *wirepb.HandOverPart) {},
			"another digest":              func(p *wirepb.HandOverPart) { p.Digest, p.Size = other[:], 1000 },
		} {
			change = f
			b.dir = t.TempDir()
			if _, err := b.bring(t.Context(), open); !errors.Is(err, errHanded) {
				t.Errorf("%s: %v", what, err)
			}
		}
		var no *refusal
		change = func(p *wirepb.HandOverPart) {
			p.Digest, p.Size, p.Content = nil, 0, nil
			p.Code, p.Reason = codeNotNamed, "not\nyou"
		}
		if _, err := b.bring(t.Context(), open); !errors.As(err, &no) || no.reason != "not you" {
			t.Errorf("refused: %v", err)
		}
		full := errors.New("full")
		b.room, change = func() error { return full }, nil
		if _, err := b.bring(t.Context(), open); !errors.Is(err, full) {
			t.Errorf("the disk is full: %v", err)
		}
	})
}
