package web

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/stile-exchange/stile/internal/people"
)

// How long a session may last, and lie idle; how recent a sign-in must be before a
// person signs; and how long a purpose that was given for reading is asked no more.
const (
	sessionLasts = 12 * time.Hour
	sessionIdles = 30 * time.Minute
	recentlyIs   = 10 * time.Minute
	purposeLasts = 30 * time.Minute
)

// newSessions keeps sessions at the server: the browser has a random number and nothing
// else.
func newSessions(secure bool, store scs.Store) *scs.SessionManager {
	m := scs.New()
	m.Store = store
	m.Lifetime, m.IdleTimeout = sessionLasts, sessionIdles
	m.Cookie.Name = "stile"
	if secure {
		m.Cookie.Name = "__Host-stile" // a page of another host of the domain cannot set it
	}
	m.Cookie.HttpOnly, m.Cookie.Secure, m.Cookie.SameSite, m.Cookie.Path, m.Cookie.Persist = true, secure, http.SameSiteLaxMode, "/", false
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		http.Error(w, "the session could not be read", http.StatusInternalServerError)
	}
	return m
}

// person returns who is signed in, with the roles they have now; nil for nobody.
func (s *site) person(r *http.Request) *people.Person {
	id := s.sessions.GetString(r.Context(), "person")
	if id == "" {
		return nil
	}
	p, err := s.People.Show(id)
	if err != nil {
		return nil // taken out since
	}
	return p
}

// enter begins a session for a person, under a new number, so that whoever knew the old
// one has nothing.
func (q *request) enter(p *people.Person) error {
	ctx := q.r.Context()
	if err := q.sessions.RenewToken(ctx); err != nil {
		return err
	}
	next := q.sessions.PopString(ctx, "next")
	q.sessions.Put(ctx, "person", p.ID)
	q.sessions.Put(ctx, "since", q.Now().Unix())
	q.Log.Info("a person signed in", "person", p.ID)
	if next == "" {
		next = "/home"
	}
	return q.to(next)
}

// recently reports whether the person signed in a short time ago.
func (q *request) recently() bool {
	since := time.Unix(q.sessions.GetInt64(q.r.Context(), "since"), 0)
	return q.Now().Sub(since) < recentlyIs
}

// local returns a path of ours to go on to; "" for anything else.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") || strings.HasPrefix(u.Path, "/sign-") {
		return ""
	}
	return next
}

func (s *site) signInRoutes() {
	s.everybody("GET /sign-in", func(q *request) error {
		if next := local(q.form("next")); next != "" {
			q.sessions.Put(q.r.Context(), "next", next)
		}
		return q.render("sign-in", page{Title: q.say("signin.title"), Public: true, Data: q.Provider != nil})
	})
	s.everybody("GET /sign-in/again", func(q *request) error {
		if next := local(q.form("next")); next != "" {
			q.sessions.Put(q.r.Context(), "next", next)
		}
		return q.render("sign-in-again", page{Title: q.say("signin.again"), Public: true, Data: q.Provider != nil})
	})
	// Opening the link spends nothing, since programs that look at mail open links too.
	s.everybody("GET /sign-in/link", func(q *request) error {
		return q.render("sign-in-link", page{Title: q.say("signin.title"), Public: true, Data: q.form("code")})
	})
	s.everybody("POST /sign-in/link", func(q *request) error {
		from := address(q.r)
		if !q.locks.may(from) {
			return q.render("sign-in-locked", page{Title: q.say("signin.locked"), Status: http.StatusTooManyRequests, Public: true})
		}
		p, err := q.People.Spend(q.form("code"))
		if err != nil {
			q.locks.failed(from)
			q.Log.Warn("a sign-in was refused", "address", from)
			return q.render("sign-in", page{Title: q.say("signin.title"), Status: http.StatusForbidden, Public: true, Data: q.Provider != nil,
				Faults: faults{{"code", q.say("signin.spent")}}})
		}
		q.locks.passed(from)
		return q.enter(p)
	})
	s.everybody("POST /sign-out", func(q *request) error {
		if err := q.sessions.Destroy(q.r.Context()); err != nil {
			return err
		}
		return q.done("/", "signed-out")
	})
	s.everybody("POST /sign-in/provider", (*request).provider)
	s.everybody("GET /sign-in/callback", (*request).callback)
}

// refuseUnlessRecent sends a person who signed in too long ago to sign in again.
func (q *request) refuseUnlessRecent() (sent bool, err error) {
	if q.recently() {
		return false, nil
	}
	back := q.r.Referer()
	if u, perr := url.Parse(back); perr == nil && u.Host == q.r.Host {
		back = u.RequestURI()
	} else {
		back = q.r.URL.Path
	}
	return true, q.to("/sign-in/again?next=" + url.QueryEscape(back))
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// How many failures from one address, within how long, lock it out for as long.
const (
	lockAfter = 10
	lockFor   = 15 * time.Minute
)

// A lockout counts failed sign-ins by address.
type lockout struct {
	now func() time.Time

	mu   sync.Mutex // guards what follows
	seen map[string]*failures
}

type failures struct {
	n     int
	since time.Time
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{now: now, seen: map[string]*failures{}}
}

func (l *lockout) may(from string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.seen[from]
	return f == nil || f.n < lockAfter || l.now().Sub(f.since) >= lockFor
}

func (l *lockout) failed(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, f := range l.seen { // what is over is forgotten, so that it stays small
		if l.now().Sub(f.since) >= lockFor {
			delete(l.seen, a)
		}
	}
	f := l.seen[from]
	if f == nil {
		if len(l.seen) >= 10000 {
			return
		}
		f = &failures{since: l.now()}
		l.seen[from] = f
	}
	f.n++
}

func (l *lockout) passed(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, from)
}

// signs names the person in what is logged, as the configuration says.
func (q *request) signs() string {
	if q.Pseudonyms {
		return q.who.ID
	}
	return q.who.Name
}
