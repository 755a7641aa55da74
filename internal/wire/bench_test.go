package wire_test

import (
	"bufio"
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/name"
)

// BenchmarkThroughput asks which transport and which security to prefer: frames
// of 2 kB, about one record, written 1 MB at a time over loopback.
func BenchmarkThroughput(b *testing.B) {
	const frame, batch = 2000, 512
	for _, c := range []struct {
		name     string
		listen   string
		security protocol.ID
	}{
		{"tcp-noise", "/ip4/127.0.0.1/tcp/0", noise.ID},
		{"tcp-tls", "/ip4/127.0.0.1/tcp/0", libp2ptls.ID},
		{"quic", "/ip4/127.0.0.1/udp/0/quic-v1", libp2ptls.ID},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newTown()
			from := w.open(b, "northmoor.gov.uk", func(o wire.Options) (*wire.Host, error) { return wire.OpenSecured(o, c.security) }, c.listen)
			to := w.open(b, "saltby.gov.uk", func(o wire.Options) (*wire.Host, error) { return wire.OpenSecured(o, c.security) }, c.listen)
			read := make(chan int)
			to.Handle("/bench/1", func(_ context.Context, _ name.Council, s wire.Stream) {
				r := bufio.NewReaderSize(s, 1<<20)
				var buf []byte
				var err error
				n := 0
				for ; err == nil; n++ {
					buf, err = wire.ReadFrameInto(r, buf, frame)
				}
				if err != io.EOF {
					b.Error(err)
				}
				read <- n - 1
			})
			s, err := from.Open(b.Context(), "saltby.gov.uk", "/bench/1")
			if err != nil {
				b.Fatal(err)
			}
			var batched []byte
			body := make([]byte, frame)
			for range batch {
				batched = wire.AppendFrame(batched, body)
			}
			b.SetBytes(frame * batch)
			want, before := 0, processor(b)
			for b.Loop() {
				if _, err := s.Write(batched); err != nil {
					b.Fatal(err)
				}
				want += batch
			}
			s.CloseWrite()
			if got := <-read; got != want {
				b.Fatalf("read %d frames, want %d", got, want)
			}
			b.ReportMetric(float64(want)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(processor(b)-before)/float64(want), "cpu-ns/record")
		})
	}
}

// processor returns the processor time that the program has taken.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRoundTrip asks what a question and its answer cost, as small as a
// live batch of one record.
func BenchmarkRoundTrip(b *testing.B) {
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			w := newTown()
			from, to := w.open(b, north, way.open), w.open(b, salt, way.open, way.listen)
			to.Handle(proto, echo)
			s, err := from.Open(b.Context(), salt, proto)
			if err != nil {
				b.Fatal(err)
			}
			question, answer := make([]byte, 2000), make([]byte, 2000)
			for b.Loop() {
				if _, err := s.Write(question); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(s, answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
