package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
)

// callers bounds how often each key, and each address that shows none that is good, may
// call.
type callers struct {
	rate int
	now  func() time.Time

	mu   sync.Mutex
	by   map[string]*caller
	swep time.Time
}

type caller struct {
	limit *rate.Limiter
	last  time.Time
}

const (
	wrongPerMinute = 10 // keys that are not good, of one address
	forgetAfter    = 10 * time.Minute
)

func newCallers(perSecond int, now func() time.Time) *callers {
	return &callers{rate: perSecond, now: now, by: map[string]*caller{}, swep: now()}
}

func (c *callers) of(key string, limit rate.Limit, burst int) *caller {
	now := c.now()
	if now.Sub(c.swep) > forgetAfter {
		c.swep = now
		for k, o := range c.by {
			if now.Sub(o.last) > forgetAfter {
				delete(c.by, k)
			}
		}
	}
	o := c.by[key]
	if o == nil {
		o = &caller{limit: rate.NewLimiter(limit, burst)}
		c.by[key] = o
	}
	o.last = now
	return o
}

// take counts a call and returns after how many seconds another is welcome; 0: now.
func (c *callers) take(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wait(c.of(key, rate.Limit(c.rate), 10*c.rate).limit, c.now())
}

// wrong counts a key that is not good. Locked asks without counting.
func (c *callers) wrong(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of("\x00"+address, rate.Limit(wrongPerMinute)/60, wrongPerMinute).limit.AllowN(c.now(), 1)
}

func (c *callers) locked(address string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.by["\x00"+address]
	if o == nil {
		return 0
	}
	if left := o.limit.TokensAt(c.now()); left < 1 {
		return int(math.Ceil((1 - left) / float64(o.limit.Limit())))
	}
	return 0
}

func wait(l *rate.Limiter, now time.Time) int {
	r := l.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d <= 0 {
		return 0
	}
	r.CancelAt(now)
	return max(1, int(math.Ceil(d.Seconds())))
}

// identify finds out whose key a call shows. A browser's session is none: whatever page it
// came from, a call without a key is nobody's.
func (a *API) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, _, _ := net.SplitHostPort(r.RemoteAddr)
		if wait := a.callers.locked(address); wait > 0 {
			write(w, &Problem{Status: http.StatusTooManyRequests, Detail: "too many keys that are not good came from this address", RetryAfter: wait})
			return
		}
		secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		p, err := a.keyed(r.Context(), secret)
		if !ok || err != nil {
			if ok {
				a.callers.wrong(address)
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="stile"`)
			write(w, &Problem{Status: http.StatusUnauthorized, Kind: string(node.Refused), Detail: "the call shows no key of this node that is good", Try: "Authorization: Bearer KEY, with one that stile access key add made"})
			return
		}
		if wait := a.callers.take(string(p.Kind) + p.ID); wait > 0 {
			write(w, &Problem{Status: http.StatusTooManyRequests, Detail: "this key calls too often", RetryAfter: wait})
			return
		}
		ctx := access.With(r.Context(), p)
		r = r.WithContext(ctx)
		r = r.WithContext(context.WithValue(ctx, callKey{}, r))
		next.ServeHTTP(w, r)
	})
}

// keyed returns the principal of a key.
func (a *API) keyed(ctx context.Context, secret string) (*access.Principal, error) {
	if secret == "" {
		return nil, errors.New("no key")
	}
	k, err := a.n.Access().Authenticate(ctx, node.KeySecretRequest{Secret: secret})
	if err != nil {
		return nil, err
	}
	return access.PrincipalOf(&k)
}

// repeats remembers what was answered to calls with an Idempotency-Key, so that a call
// whose answer was lost can be made again. It is kept for a day, in memory: what a call
// did is on disk, and every call that writes says the same when it is made twice, so that
// what is lost when the node ends is the reply's wording.
type repeats struct {
	now func() time.Time

	mu    sync.Mutex
	by    map[string]*repeat
	order []string
	bytes int
}

type repeat struct {
	sum    [32]byte // of method, path, query and body
	at     time.Time
	done   bool
	status int
	header http.Header
	body   []byte
}

const (
	repeatsFor     = 24 * time.Hour
	maxRepeats     = 10_000
	maxRepeatBytes = 16 << 20 // of all replies
	maxRepeatReply = 1 << 20
)

func newRepeats(now func() time.Time) *repeats {
	return &repeats{now: now, by: map[string]*repeat{}}
}

// repeated answers a call that was made before as it was then.
func (a *API) repeated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" || r.Method == http.MethodGet || r.Method == http.MethodHead || strings.HasPrefix(r.URL.Path, "/v1/imports") {
			next.ServeHTTP(w, r)
			return
		}
		if len(key) > 255 {
			write(w, &Problem{Status: http.StatusBadRequest, Detail: "the Idempotency-Key is longer than 255 bytes"})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
		if err != nil {
			write(w, &Problem{Status: http.StatusRequestEntityTooLarge, Detail: "the body is too long, or broke off"})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h := sha256.New()
		io.WriteString(h, r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery+"\n")
		h.Write(body)
		var sum [32]byte
		h.Sum(sum[:0])
		p := access.From(r.Context())
		old, mine := a.repeats.begin(string(p.Kind)+p.ID+"\n"+key, sum)
		switch {
		case mine == nil && !old.done && old.sum == sum:
			write(w, &Problem{Status: http.StatusConflict, Detail: "a call with that Idempotency-Key is being carried out", RetryAfter: 1})
			return
		case mine == nil && old.sum != sum:
			write(w, &Problem{Status: http.StatusUnprocessableEntity, Detail: "another call was made with that Idempotency-Key"})
			return
		case mine == nil:
			for k, v := range old.header {
				w.Header()[k] = v
			}
			w.Header().Set("Idempotent-Replayed", "true")
			w.WriteHeader(old.status)
			w.Write(old.body)
			return
		}
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		kept := false
		defer func() { // also when the handler panics
			if !kept {
				a.repeats.drop(string(p.Kind) + p.ID + "\n" + key)
			}
		}()
		next.ServeHTTP(rec, r)
		if rec.status < 500 && rec.body.Len() <= maxRepeatReply {
			kept = true
			a.repeats.keep(mine, rec)
		}
	})
}

// begin returns what was answered before, or a place for what will be.
func (r *repeats) begin(key string, sum [32]byte) (old, mine *repeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for len(r.order) > 0 {
		o := r.by[r.order[0]]
		if o != nil && now.Sub(o.at) < repeatsFor && len(r.order) < maxRepeats && r.bytes < maxRepeatBytes {
			break
		}
		if o != nil {
			r.bytes -= len(o.body)
			delete(r.by, r.order[0])
		}
		r.order = r.order[1:]
	}
	if o := r.by[key]; o != nil {
		c := *o
		return &c, nil
	}
	o := &repeat{sum: sum, at: now}
	r.by[key] = o
	r.order = append(r.order, key)
	return nil, o
}

func (r *repeats) drop(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, key)
}

func (r *repeats) keep(m *repeat, rec *recorder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.done, m.status, m.header, m.body = true, rec.status, rec.Header().Clone(), bytes.Clone(rec.body.Bytes())
	r.bytes += len(m.body)
}

// A recorder keeps the beginning of what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.body.Len() <= maxRepeatReply {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
