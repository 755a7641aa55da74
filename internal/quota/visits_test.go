package quota_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/quota"
)

// An address has its share of requests and no more, and takes nothing from another; a second
// later it has a second's worth again. However many addresses come, few are remembered.
func TestPerAddress(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	h := quota.PerAddress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}), 10, 30, func() time.Time { return now })
	let := func(from string, n int) (in int) {
		for range n {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = from
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch {
			case w.Code == http.StatusOK:
				in++
			case w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "":
				t.Fatalf("%d, %v", w.Code, w.Header())
			}
		}
		return in
	}
	for _, tt := range []struct {
		from    string
		n, want int
	}{
		{"192.0.2.1:1000", 100, 30},
		{"192.0.2.1:1001", 10, 0}, // another port is nobody else
		{"[::ffff:192.0.2.1]:1", 10, 0},
		{"192.0.2.2:1000", 10, 10},
		{"[2001:db8:1:2::1]:9", 40, 30},
		{"[2001:db8:1:2::77]:9", 10, 0},
		{"[2001:db8:1:3::1]:9", 10, 10},
	} {
		if got := let(tt.from, tt.n); got != tt.want {
			t.Errorf("%s: %d of %d, want %d", tt.from, got, tt.n, tt.want)
		}
	}
	now = now.Add(time.Second)
	if got := let("192.0.2.1:1000", 100); got != 10 {
		t.Errorf("a second later %d", got)
	}
	in := 0
	for i := range 10_000 {
		in += let(fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), 1)
	}
	if in > 4096 {
		t.Errorf("%d addresses of 10,000 are remembered", in)
	}
	now = now.Add(time.Minute)
	if got := let("203.0.113.9:1", 5); got != 5 {
		t.Errorf("after the crowd had gone %d of 5", got)
	}
}
