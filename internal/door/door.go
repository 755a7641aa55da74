// Package door is the one HTTP server through which people and systems reach a node:
// what stands before every page and every call of the API.
//
// Before a handler sees a request the door has checked the name it came to against
// an allow-list (DNS rebinding), that no page of another site sent it (CSRF, see
// [http.CrossOriginProtection]), and that its path is a plain one. It bounds how long a
// request may take to come, how slowly its body may, how large a form may be, and how
// many connections there are. Every reply carries headers that let no browser run, frame
// or keep it; a handler of pages sets the policy that its pages need instead.
//
//	d, err := door.Open(door.Options{Web: cfg.Web, Log: log, Now: time.Now})
//	d.Handle("/v1/", api)
//	err = d.Serve(ctx)
//
// Who asks is no business of the door: each handler finds that out.
package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/quota"
)

const (
	idle      = time.Minute      // for the next request of a connection
	grace     = 30 * time.Second // for what is written to somebody who does not read it
	writes    = 5 * time.Minute  // for a reply; one that streams moves it on
	ends      = 5 * time.Second  // for replies that are on their way when the server ends
	headBytes = 16 << 10
)

// Options say how to open a door.
type Options struct {
	Web config.Web
	Log *slog.Logger
	Now func() time.Time
}

// A Door is the server. Handle must not be called once Serve was.
type Door struct {
	o     Options
	mux   *http.ServeMux
	l     net.Listener
	cert  *certificate
	auto  autocertificates
	hosts []string
	ended chan struct{}
}

// Open opens the door's listener, so that an address that is taken is told at once, and
// reads its certificate. Nothing is answered until Serve. The caller ends it by Serve
// or Close.
func Open(o Options) (*Door, error) {
	d := &Door{o: o, mux: http.NewServeMux(), hosts: slices.Clone(o.Web.Hosts), ended: make(chan struct{})}
	if o.Web.Loopback() {
		d.hosts = append(d.hosts, "localhost", "127.0.0.1", "::1")
	}
	var err error
	if o.Web.CertificateFile != "" {
		if d.cert, err = loadCertificate(o.Web.CertificateFile, o.Web.KeyFile, o.Now); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	if o.Web.Autocert != "" {
		d.auto = fetchCertificates(o.Web.Autocert, o.Web.Hosts)
	}
	if d.l, err = net.Listen("tcp", o.Web.Listen); err != nil {
		return nil, fmt.Errorf("open web: %w", err)
	}
	return d, nil
}

// Handle has h answer what a pattern of [http.ServeMux] matches, such as "/v1/". A body
// larger than web.body_mib is cut off; see [http.MaxBytesError].
func (d *Door) Handle(pattern string, h http.Handler) {
	d.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, int64(d.o.Web.BodyMiB)<<20)
		h.ServeHTTP(w, r)
	}))
}

// HandleLong is Handle for a handler that bounds its bodies itself, such as one that
// takes imports, or that answers for longer than five minutes: it moves the write
// deadline on as it writes, with [http.ResponseController].
func (d *Door) HandleLong(pattern string, h http.Handler) { d.mux.Handle(pattern, h) }

// Address returns what the door listens at.
func (d *Door) Address() net.Addr { return d.l.Addr() }

// URL returns where a browser on this machine, or where hosts are given any other, finds
// the door.
func (d *Door) URL() string {
	scheme := "http"
	if d.o.Web.Secure() {
		scheme = "https"
	}
	_, port, _ := net.SplitHostPort(d.l.Addr().String())
	switch {
	case d.o.Web.BehindProxy && len(d.o.Web.Hosts) > 0:
		return scheme + "://" + d.o.Web.Hosts[0] + "/"
	case len(d.o.Web.Hosts) > 0:
		return scheme + "://" + net.JoinHostPort(d.o.Web.Hosts[0], port) + "/"
	}
	return scheme + "://" + d.l.Addr().String() + "/"
}

// Ended returns a channel that is closed when Serve ends: a handler that waits for
// something ends then, so that the server can.
func (d *Door) Ended() <-chan struct{} { return d.ended }

// Close closes a door that is never served.
func (d *Door) Close() error { return d.l.Close() }

// Serve answers until ctx ends, which is no error.
func (d *Door) Serve(ctx context.Context) error {
	srv := &http.Server{
		Handler: d.Handler(), ReadHeaderTimeout: time.Duration(d.o.Web.HeaderSeconds) * time.Second, IdleTimeout: idle,
		MaxHeaderBytes: headBytes, ErrorLog: slog.NewLogLogger(d.o.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 64, SendPingTimeout: idle, WriteByteTimeout: grace},
	}
	defer context.AfterFunc(ctx, func() {
		close(d.ended)
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), ends)
		defer cancel()
		if srv.Shutdown(late) != nil {
			srv.Close()
		}
	})()
	l := net.Listener(quota.Limit(d.l, d.o.Web.MaxConnections))
	var err error
	switch {
	case d.cert != nil:
		srv.TLSConfig = d.cert.config()
		err = srv.ServeTLS(l, "", "")
	case d.auto != nil:
		srv.TLSConfig = d.auto.TLSConfig()
		err = srv.ServeTLS(l, "", "")
	default:
		err = srv.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve web: %w", err)
}

// Handler returns all of the door but its listener: what tests ask.
func (d *Door) Handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusForbidden, "another site's page sent this request")
	}))
	inner := cross.Handler(d.mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.headers(w.Header())
		switch {
		case !d.known(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "this server is not called by that name; web.hosts in stile.yaml lists its names")
			return
		case !plain(r.URL.Path):
			refuse(w, http.StatusBadRequest, "the path is not a plain one")
			return
		}
		rc := http.NewResponseController(w)
		rc.SetWriteDeadline(time.Now().Add(writes))
		quota.Steady(w, r)
		inner.ServeHTTP(w, r)
	})
}

// headers are those of every reply. A handler of pages sets the policy that its pages
// need, and says what may be kept.
func (d *Door) headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if d.o.Web.Secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// known reports whether the server is called by a name: the Host of a request, with a
// port or without.
func (d *Door) known(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return slices.Contains(d.hosts, strings.ToLower(strings.TrimSuffix(host, ".")))
}

// plain reports whether a path, as decoded, climbs nowhere and holds nothing that one
// file system or another would read as more than a name.
func plain(p string) bool {
	if p == "" || p[0] != '/' || strings.ContainsAny(p, "\\\x00\r\n") {
		return false
	}
	clean := path.Clean(p)
	return clean == p || clean+"/" == p
}

func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	io.WriteString(w, why+"\n")
}
