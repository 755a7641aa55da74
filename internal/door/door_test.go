package door_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/door"
)

func open(t *testing.T, change func(*config.Web)) *door.Door {
	t.Helper()
	web := config.Default("northmoor.gov.uk", t.TempDir()).Web
	web.Listen = "127.0.0.1:0"
	if change != nil {
		change(&web)
	}
	d, err := door.Open(door.Options{Web: web, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		io.WriteString(w, "seen "+r.URL.Path)
	}))
	return d
}

// A request that came to another name, from another site or by a path that climbs
// reaches no handler.
func TestRefused(t *testing.T) {
	d := open(t, func(w *config.Web) { w.Hosts = []string{"stile.northmoor.gov.uk"} })
	defer d.Close()
	for _, c := range []struct {
		what, method, path, host string
		header                   map[string]string
		want                     int
	}{
		{"its name", "GET", "/a", "stile.northmoor.gov.uk", nil, 200},
		{"its name with a port", "GET", "/a", "stile.northmoor.gov.uk:443", nil, 200},
		{"its name in capitals, whole", "GET", "/a", "STILE.northmoor.gov.uk.", nil, 200},
		{"loopback", "GET", "/a", "127.0.0.1:7080", nil, 200},
		{"loopback of version 6", "GET", "/a", "[::1]:7080", nil, 200},
		{"a stranger's name for this address", "GET", "/a", "rebind.evil.example", nil, 421},
		{"a name that ends in ours", "GET", "/a", "evil-stile.northmoor.gov.uk", nil, 421},
		{"a name that begins with ours", "GET", "/a", "localhost.evil.example", nil, 421},
		{"no name", "GET", "/a", "", nil, 421},
		{"a form of another site", "POST", "/a", "localhost", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a form of a sister site", "POST", "/a", "localhost", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"a form of another origin", "POST", "/a", "localhost", map[string]string{"Origin": "https://evil.example"}, 403},
		{"our own form", "POST", "/a", "localhost", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		{"a program", "POST", "/a", "localhost", nil, 200},
		{"a link from another site", "GET", "/a", "localhost", map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		{"a path that climbs", "GET", "/a/../../etc/passwd", "localhost", nil, 400},
		{"one that climbs in disguise", "GET", "/a/%2e%2e/%2e%2e/etc/passwd", "localhost", nil, 400},
		{"one that climbs with backslashes", "GET", "/a/..%5c..%5cboot.ini", "localhost", nil, 400},
		{"a path with a zero", "GET", "/a%00.html", "localhost", nil, 400},
		{"a path with an end of line", "GET", "/a%0d%0aSet-Cookie:x", "localhost", nil, 400},
		{"a path twice parted", "GET", "//evil.example/a", "localhost", nil, 400},
	} {
		r := httptest.NewRequest(c.method, "http://localhost"+c.path, nil)
		r.Host = c.host
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.what, w.Code, c.want)
		}
		if got := w.Body.String(); c.want != 200 && strings.Contains(got, "seen") {
			t.Errorf("%s reached the handler: %s", c.what, got)
		}
		for _, h := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control", "Cross-Origin-Opener-Policy"} {
			if w.Header().Get(h) == "" {
				t.Errorf("%s: no %s", c.what, h)
			}
		}
	}
}

// Bodies over the limit are cut off.
func TestBody(t *testing.T) {
	d := open(t, nil)
	defer d.Close()
	for size, want := range map[int]int{1 << 20: 200, 1<<20 + 1: 413} {
		r := httptest.NewRequest("POST", "http://localhost/a", strings.NewReader(strings.Repeat("x", size)))
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d bytes: %d, want %d", size, w.Code, want)
		}
	}
}

// Whoever takes for ever to say what they want loses the connection, and so does one of
// the silent when there are too many; others are answered meanwhile.
func TestSlow(t *testing.T) {
	d := open(t, func(w *config.Web) { w.HeaderSeconds, w.MaxConnections = 1, 16 })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	var slow []net.Conn
	for range 40 {
		c, err := net.Dial("tcp", d.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		slow = append(slow, c)
	}
	resp, err := http.Get(d.URL() + "b")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("among the slow: %s", resp.Status)
	}
	for i, c := range slow {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if b, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("slow connection %d was not ended: %q, %v", i, b, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The server speaks TLS by its own certificate, at 1.2 at least, and over HTTP/2.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "northmoor"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	os.WriteFile(cert, certPEM, 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}), 0o600)
	d := open(t, func(w *config.Web) { w.CertificateFile, w.KeyFile = cert, key })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	resp, err := (&http.Client{Transport: tr}).Get(d.URL() + "c")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v", resp.Proto, resp.Header)
	}
	if _, err := tls.Dial("tcp", d.Address().String(), &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	tr.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := door.Open(door.Options{Web: config.Web{Listen: "127.0.0.1:0", CertificateFile: filepath.Join(dir, "no.pem"), KeyFile: key}, Now: time.Now}); err == nil {
		t.Error("a door opened without its certificate")
	}
}

// oneConn is a listener of one connection.
type oneConn struct {
	c     chan net.Conn
	ended chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
func (l *oneConn) Close() error   { close(l.ended); return nil }

// A body that comes a byte a second loses its connection after half a minute, of a handler
// that bounds its bodies itself, too; one of 2 KiB a second is read to its end, over minutes.
func TestSlowBody(t *testing.T) {
	d := open(t, nil)
	defer d.Close()
	d.HandleLong("/long", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		io.WriteString(w, "seen "+r.URL.Path)
	}))
	for _, c := range []struct {
		path     string
		every, n int // bytes in a second, and seconds
		want     string
	}{{"/a", 2 << 10, 200, "seen /a"}, {"/long", 2 << 10, 200, "seen /long"}, {"/a", 1, 1000, ""}, {"/long", 1, 1000, ""}} {
		synctest.Test(t, func(t *testing.T) {
			l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
			here, there := net.Pipe()
			l.c <- here
			srv := &http.Server{Handler: d.Handler()}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(l) }()
			replied := make(chan string, 1)
			go func() {
				b, _ := io.ReadAll(there)
				replied <- string(b)
			}()
			began := time.Now()
			fmt.Fprintf(there, "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", c.path, c.every*c.n)
			b := make([]byte, c.every)
			for range c.n {
				if _, err := there.Write(b); err != nil {
					break // the door has ended the connection
				}
				time.Sleep(time.Second)
			}
			reply, took := <-replied, time.Since(began)
			if slow := c.want == ""; slow && (strings.Contains(reply, "seen") || took > 45*time.Second) || !slow && (!strings.Contains(reply, c.want) || took < 3*time.Minute) {
				t.Errorf("%s at %d bytes a second: after %v %q", c.path, c.every, took, reply)
			}
			srv.Close()
			there.Close()
			<-served
		})
	}
}
