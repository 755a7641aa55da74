package quota

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// visitors is how many addresses are remembered at a time; beyond it those go that have
// all of their share, and then whoever comes last meets an empty room.
const visitors = 4096

// A bucket is what an address has left.
type bucket struct {
	left float64
	at   time.Time
}

// PerAddress returns a handler that passes on so many requests a second of each address,
// and of one that was silent so many at once; the rest is answered with 429 before anything
// of it is looked at. Of IPv6 the first 64 bits are an address. Behind a proxy everybody has
// the proxy's address, and its share.
func PerAddress(h http.Handler, perSecond, atOnce int, now func() time.Time) http.Handler {
	var mu sync.Mutex
	seen := map[string]*bucket{}
	var swept time.Time // to look through all of them for each visit is work, too
	may := func(from string) bool {
		mu.Lock()
		defer mu.Unlock()
		t := now()
		b := seen[from]
		if b == nil {
			if len(seen) >= visitors && (t.Sub(swept) >= time.Second || t.Before(swept)) {
				swept = t
				for a, o := range seen {
					if o.left+t.Sub(o.at).Seconds()*float64(perSecond) >= float64(atOnce) {
						delete(seen, a)
					}
				}
			}
			if len(seen) >= visitors {
				return false
			}
			b = &bucket{float64(atOnce), t}
			seen[from] = b
		}
		b.left = min(float64(atOnce), b.left+max(0, t.Sub(b.at).Seconds())*float64(perSecond))
		b.at = t
		if b.left < 1 {
			return false
		}
		b.left--
		return true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !may(visitor(r.RemoteAddr)) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests from your address", http.StatusTooManyRequests)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// visitor is the address without the port, or the network that it stands for.
func visitor(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
