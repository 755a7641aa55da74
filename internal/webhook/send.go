package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// Timeout is how long one attempt may take, as the standard advises.
const Timeout = 20 * time.Second

// MaxBody is the size of the largest body that is sent, in bytes.
const MaxBody = 256 << 10

// A Message is what is sent. Its ID is the same at every attempt; see [NewID].
type Message struct {
	ID   string
	Body []byte // JSON
}

// A Target is where messages go, and the secrets that they are signed under, the newest
// first.
type Target struct {
	URL     string
	Secrets []Secret
}

// A StatusError says that the other side did not take a message.
type StatusError struct {
	Code       int           // the HTTP status
	RetryAfter time.Duration // how long it asks us to wait; 0 when it does not say
}

// Error says which status it answered.
func (e *StatusError) Error() string {
	switch {
	case e.Code == http.StatusGone:
		return "it answered 410: it wants no more messages"
	case e.Code/100 == 3:
		return fmt.Sprintf("it answered %d: a redirect is not followed", e.Code)
	}
	return fmt.Sprintf("it answered %d", e.Code)
}

// Final reports whether another attempt is of no use: where the message should go may
// not be sent to, or wants no more.
func Final(err error) bool {
	if errors.Is(err, ErrTarget) {
		return true
	}
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.Code == http.StatusGone
}

// A Sender sends messages. It is safe for concurrent use. See [NewSender].
type Sender struct {
	guard  Guard
	client *http.Client
	agent  string
}

// NewSender returns a Sender that goes where a guard lets it. agent is sent as
// User-Agent. roots, which may be nil, replaces the certificate authorities of the
// system.
func NewSender(g Guard, agent string, roots *tls.Config) *Sender {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		// Called with the address that is about to be connected to, after every lookup.
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: it is no address of the public internet", ErrTarget)
			}
			return g.Address(to.Addr())
		},
	}
	t := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: roots,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: Timeout, MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns: 16, MaxIdleConnsPerHost: 1, MaxConnsPerHost: 4, IdleConnTimeout: time.Minute,
		ForceAttemptHTTP2: true, DisableCompression: true,
	}
	return &Sender{guard: g, agent: agent, client: &http.Client{
		Transport: t, Timeout: Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes connections that stand idle.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send makes one attempt to deliver a message, which is signed as of now. It returns nil
// once the other side has answered with a status from 200 to 299. The error says what
// happened in a few words, without the URL, the body or anything that the other side
// wrote; it is a [*StatusError], or wraps [ErrTarget], ErrSecret or what the network
// said. See [Final] and [Next] for what to do then.
func (s *Sender) Send(ctx context.Context, to Target, m Message, now time.Time) error {
	u, err := s.guard.URL(to.URL)
	if err != nil {
		return err
	}
	if len(m.Body) > MaxBody {
		return fmt.Errorf("the message is longer than %d bytes", MaxBody)
	}
	signature := Sign(to.Secrets, m.ID, now, m.Body)
	if signature == "" {
		return fmt.Errorf("%w, and there is none", ErrSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("%w: it is not a URL", ErrTarget)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", s.agent)
	r.Header.Set(HeaderID, m.ID)
	r.Header.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(HeaderSignature, signature)
	resp, err := s.client.Do(r)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := &StatusError{Code: resp.StatusCode}
	if sec, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = min(time.Duration(sec)*time.Second, 24*time.Hour)
	} else if at, err := http.ParseTime(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = min(max(at.Sub(now), 0), 24*time.Hour)
	}
	return e
}

// plain says what went wrong in words of our own: an error of net/http holds the URL,
// which may be a secret, and now and then what the other side wrote.
func plain(err error) error {
	if errors.Is(err, ErrTarget) { // what the guard said, without what net puts round it
		for e := err; e != nil; e = errors.Unwrap(e) {
			if errors.Unwrap(e) == ErrTarget {
				return e
			}
		}
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return errors.New("it did not answer in time")
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return errors.New("DNS does not know its name")
		}
		return errors.New("DNS did not answer")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("its certificate is not of its name, not from a known authority, or out of date")
	}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no // such as connection refused
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return errors.New("it broke off, or does not speak HTTP")
}

// delays are how long to wait after each attempt that failed: three days in all.
var delays = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 18 * time.Hour, 22 * time.Hour,
}

// Attempts is how often a message is tried before it is given up.
const Attempts = 11

// Next returns how long to wait after an attempt, the first of which is 1, has failed
// with err; false when there should be no other. jitter, from 0 to 1, spreads by up to
// a fifth what many messages wait, so that they do not all come at once.
func Next(attempt int, err error, jitter float64) (time.Duration, bool) {
	if attempt < 1 || attempt > len(delays) || Final(err) {
		return 0, false
	}
	d := delays[attempt-1]
	d += time.Duration(float64(d) / 5 * min(max(jitter, 0), 1))
	if e, ok := errors.AsType[*StatusError](err); ok {
		d = max(d, e.RetryAfter)
	}
	return d, true
}
