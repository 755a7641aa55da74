package quota_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/quota"
)

// one hands out one connection, and waits for its end.
type one struct {
	c     chan net.Conn
	ended chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}
func (l *one) Addr() net.Addr { return address("one") }
func (l *one) Close() error   { close(l.ended); return nil }

// A body that comes a byte a second is refused after half a minute; one that comes at 2 KiB a
// second, and takes four times as long, is read to its end, and so is the next on that connection.
func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &one{make(chan net.Conn, 1), make(chan struct{})}
		here, there := net.Pipe()
		l.c <- here
		read := make(chan error, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			quota.Steady(w, r)
			_, err := io.Copy(io.Discard, r.Body)
			read <- err
			if errors.Is(err, os.ErrDeadlineExceeded) {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		go io.Copy(io.Discard, there) // the replies
		send := func(every, n int) (time.Duration, error) {
			began := time.Now()
			io.WriteString(there, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(every*n)+"\r\n\r\n")
			b := make([]byte, every)
			for range n {
				if _, err := there.Write(b); err != nil {
					break
				}
				select {
				case err := <-read:
					return time.Since(began), err
				case <-time.After(time.Second):
				}
			}
			return time.Since(began), <-read
		}
		for range 2 {
			if took, err := send(2<<10, 120); err != nil || took < 100*time.Second {
				t.Errorf("a steady body: %v after %v", err, took)
			}
		}
		if took, err := send(1, 1000); !errors.Is(err, os.ErrDeadlineExceeded) || took > 40*time.Second {
			t.Errorf("a slow body: %v after %v", err, took)
		}
		srv.Close()
		there.Close()
		<-served
	})
}

// A connection that is being answered stays when others come; a new one goes instead.
func TestListenerKeepsWhoIsAnswered(t *testing.T) {
	d := &door{from: []string{"a:1", "a:2", "a:3", "a:4"}}
	l := quota.Limit(d, 2)
	first, _ := l.Accept()
	l.Mark(first, http.StateActive)
	second, _ := l.Accept()
	l.Mark(second, http.StateActive)
	l.Accept()
	if _, err := d.other[2].Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("beside two that are answered a third is open: %v", err)
	}
	l.Mark(first, http.StateIdle)
	l.Accept()
	if _, err := d.other[0].Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the one that waits for nothing is open: %v", err)
	}
}
