package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

var loopback = Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

// A message comes out at the other side with a signature that it takes.
func TestSend(t *testing.T) {
	key, _ := NewSecret(strings.NewReader(strings.Repeat("k", 32)))
	type seen struct {
		id, body, agent, kind string
		err                   error
	}
	got := make(chan seen, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		id, err := Verify(key, r.Header, b, noon)
		got <- seen{id, string(b), r.UserAgent(), r.Header.Get("Content-Type"), err}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	s := NewSender(loopback, "stile", nil)
	defer s.Close()
	if err := s.Send(t.Context(), Target{srv.URL + "/hook", []Secret{key}}, Message{"msg_1", []byte(`{"a":1}`)}, noon); err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != (seen{"msg_1", `{"a":1}`, "stile", "application/json", nil}) {
		t.Errorf("arrived as %+v", g)
	}
}

// What the other side answers decides whether it is tried again, and no error holds the
// URL or what the other side wrote.
func TestSendFails(t *testing.T) {
	key, _ := NewSecret(strings.NewReader(strings.Repeat("k", 32)))
	var followed atomic.Int32
	mux := http.NewServeMux()
	status := func(path string, code int, more map[string]string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			for k, v := range more {
				w.Header().Set(k, v)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "written-by-them")
		})
	}
	status("/gone", 410, nil)
	status("/error", 500, nil)
	status("/busy", 429, map[string]string{"Retry-After": "7200"})
	status("/until", 503, map[string]string{"Retry-After": noon.Add(time.Hour).Format(http.TimeFormat)})
	status("/away", 302, map[string]string{"Location": "/followed"})
	status("/keep", 308, map[string]string{"Location": "/followed"})
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, "written-by-them\r\n\r\n")
		c.Close()
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	closed := httptest.NewServer(mux)
	closed.Close()
	s := NewSender(loopback, "stile", nil)
	defer s.Close()
	for _, c := range []struct {
		url   string
		want  string
		final bool
		after time.Duration // at least, after the first attempt
	}{
		{srv.URL + "/gone?token-of-ours", "it answered 410: it wants no more messages", true, 0},
		{srv.URL + "/error?token-of-ours", "it answered 500", false, 5 * time.Second},
		{srv.URL + "/busy?token-of-ours", "it answered 429", false, 2 * time.Hour},
		{srv.URL + "/until?token-of-ours", "it answered 503", false, time.Hour},
		{srv.URL + "/away?token-of-ours", "it answered 302: a redirect is not followed", false, 5 * time.Second},
		{srv.URL + "/keep?token-of-ours", "it answered 308: a redirect is not followed", false, 5 * time.Second},
		{srv.URL + "/cut?token-of-ours", "it broke off, or does not speak HTTP", false, 5 * time.Second},
		{closed.URL + "/x?token-of-ours", "connection refused", false, 5 * time.Second},
	} {
		err := s.Send(t.Context(), Target{c.url, []Secret{key}}, Message{"msg_1", []byte(`{}`)}, noon)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %q", c.url, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "token-of-ours") || strings.Contains(err.Error(), "written-by-them") {
			t.Errorf("%s: the error says too much: %v", c.url, err)
		}
		d, again := Next(1, err, 0)
		if again == c.final || d < c.after {
			t.Errorf("%s: again %v after %v", c.url, again, d)
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("followed %d redirects", n)
	}
	if err := s.Send(t.Context(), Target{URL: srv.URL + "/followed"}, Message{"msg_1", nil}, noon); !errors.Is(err, ErrSecret) {
		t.Errorf("without a secret: %v", err)
	}
}

// A name is judged by the address that is connected to, and not by how it is spelled.
func TestGuardAtTheConnection(t *testing.T) {
	key, _ := NewSecret(strings.NewReader(strings.Repeat("k", 32)))
	var reached atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	conf := &tls.Config{RootCAs: roots, ServerName: "example.com"}

	s := NewSender(Guard{}, "stile", conf)
	defer s.Close()
	for _, host := range []string{"localhost", "2130706433", "0x7f000001", "127.1"} {
		err := s.Send(t.Context(), Target{"https://" + host + ":" + port + "/", []Secret{key}}, Message{"m", nil}, noon)
		if err == nil {
			t.Errorf("%s was reached", host)
		}
		if host == "localhost" && (!errors.Is(err, ErrTarget) || err.Error() != ErrTarget.Error()+": it leads to this machine") {
			t.Errorf("localhost: %v", err)
		}
	}
	if reached.Load() != 0 {
		t.Error("a message was sent to this machine, and no configuration allows it")
	}

	allowed := NewSender(loopback, "stile", conf)
	defer allowed.Close()
	if err := allowed.Send(t.Context(), Target{"https://localhost:" + port + "/", []Secret{key}}, Message{"m", nil}, noon); err != nil {
		t.Errorf("where the configuration allows it: %v", err)
	}
	strange := NewSender(loopback, "stile", nil)
	defer strange.Close()
	err := strange.Send(t.Context(), Target{"https://localhost:" + port + "/", []Secret{key}}, Message{"m", nil}, noon)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestGuardURL(t *testing.T) {
	own := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}}
	for url, ok := range map[string]bool{
		"https://hooks.example.org/a?b=c":   true,
		"https://hooks.example.org:8443/":   true,
		"https://93.184.216.34/":            true,
		"https://[2606:4700:4700::1111]/":   true,
		"https://10.20.3.4/":                true,
		"http://10.20.3.4/":                 true,
		"http://[::ffff:10.20.3.4]/":        true,
		"http://hooks.example.org/":         false,
		"http://93.184.216.34/":             false,
		"https://10.21.3.4/":                false,
		"https://127.0.0.1/":                false,
		"https://[::1]/":                    false,
		"https://[::]/":                     false,
		"https://0.0.0.0/":                  false,
		"https://169.254.169.254/latest":    false,
		"https://[fe80::1%25eth0]/":         false,
		"https://[fd00::1]/":                false,
		"https://[::ffff:192.168.1.1]/":     false,
		"https://[64:ff9b::7f00:1]/":        false,
		"https://[2002:7f00:1::]/":          false,
		"https://[2001:0:4136:e378::]/":     false,
		"https://100.64.1.1/":               false,
		"https://224.0.0.1/":                false,
		"https://255.255.255.255/":          false,
		"https://user:pw@hooks.example.org": false,
		"https://hooks.example.org/#x":      false,
		"ftp://hooks.example.org/":          false,
		"file:///etc/passwd":                false,
		"https:hooks.example.org":           false,
		"https://":                          false,
		"":                                  false,
		"https://hooks.example.org/" + strings.Repeat("a", MaxURL): false,
	} {
		if _, err := own.URL(url); (err == nil) != ok || err != nil && !errors.Is(err, ErrTarget) {
			t.Errorf("%.60s: %v", url, err)
		}
	}
	if _, err := ParseAllow([]string{"10.0.0.0/8", "127.0.0.1", "::1"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "10.0.0.0/33", "intranet", "fe80::1%eth0"} {
		if _, err := ParseAllow([]string{bad}); err == nil {
			t.Errorf("%q is taken for a network", bad)
		}
	}
}

// A message is tried for three days and no longer.
func TestNext(t *testing.T) {
	var sum time.Duration
	for n := 1; ; n++ {
		d, again := Next(n, &StatusError{Code: 500}, 0.5)
		if !again {
			if n != Attempts {
				t.Errorf("given up after %d attempts, want %d", n, Attempts)
			}
			break
		}
		sum += d
	}
	if sum < 3*24*time.Hour || sum > 4*24*time.Hour {
		t.Errorf("tried for %v", sum)
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://hooks.example.org/a", "http://10.20.3.4", "https://[::ffff:7f00:1]:1/", "https://127.0.0.1.nip.io", "https://%31%32%37.0.0.1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Guard{}.URL(s)
		if err != nil {
			if !errors.Is(err, ErrTarget) {
				t.Error(err)
			}
			return
		}
		if u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Errorf("%q is let through", s)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.Unmap().IsLoopback() || a.Unmap().IsPrivate() || a.Unmap().IsLinkLocalUnicast()) {
			t.Errorf("%q is let through", s)
		}
	})
}
