package node_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/node"
)

// A program that opens the admin socket hundreds of times and says nothing, or that begins
// requests larger than all the node keeps for requests, closes its own: commands are answered meanwhile.
func TestAdminSocketHasBounds(t *testing.T) {
	n := start(t, northmoor, "E07000998")
	defer n.stop()
	path := n.Config().AdminSocket
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		return c
	}
	answered := func() {
		t.Helper()
		c, err := node.Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := dial()
	for range 300 {
		dial()
	}
	if _, err := first.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("of 301 connections that say nothing the first is still open: %v", err)
	}
	answered()

	// Four requests of 64 MiB take all there is for requests, and a fifth is refused. The first byte of each
	// is read before its handler is, so the refusal of one shows that those before it are counted.
	refused := make(chan string, 8)
	for range 8 {
		c := dial()
		fmt.Fprintf(c, "POST /records/put HTTP/1.1\r\nHost: stile\r\nContent-Length: %d\r\n\r\n{", 64<<20)
		go func() {
			b := make([]byte, 64)
			n, _ := io.ReadAtLeast(c, b, 20)
			refused <- string(b[:n])
		}()
	}
	for range 4 {
		if got := <-refused; !strings.HasPrefix(got, "HTTP/1.1 503 ") {
			t.Errorf("a request beyond what the node keeps for requests: %q", got)
		}
	}
}
