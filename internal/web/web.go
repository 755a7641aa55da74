// Package web is the pages for people: over the operations of a node, and never with a
// judgement of its own.
//
// Pages are html/template with the markup of GOV.UK Frontend, in English and in Welsh,
// and work without JavaScript. Each message stands in both languages in messages/; New
// refuses a template that asks for one which does not. What the node says, such as why a
// partner is behind, is in English on every page and marked so.
//
// People sign in by their identity provider (OpenID Connect) or by a link that is good
// once. What they may do is decided by package access, at the page and again at the node,
// by their roles at that moment. Whoever opens personal data says why, and that is logged
// first. Pages without login are the register, standards, adoption, verifying, and what is
// said about all this.
//
// The styles are compiled by make assets and embedded. Without them the pages work, and
// say so.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/template/parse"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

//go:embed all:assets
var assets embed.FS

//go:embed templates/*.html
var templateFiles embed.FS

// Options say what the pages are of.
type Options struct {
	Node    node.Operations
	Council name.Council
	Title   string // what people call the council
	Data    string // the data folder, for people, drafts and uploads
	People  *people.Store
	Version string

	// Secure says that browsers come by HTTPS, so that cookies are for that alone.
	Secure bool
	// Feeds are the registers that the node takes in by itself.
	Feeds []config.Feed
	// Contact is an address that people can write to, of the council; "" for none.
	Contact string
	// Pseudonyms has what a person does logged under their pseudonym in the place of
	// their name.
	Pseudonyms bool
	// Provider signs people in; nil leaves them one-time links.
	Provider *Provider
	// Registers are those of what councils have that everybody is shown, by id, or
	// [AllRegisters]. People who may list records are shown all.
	Registers []string
	// Licence is what everybody may do with them; zero: nothing is claimed.
	Licence registers.Licence
	// Postcodes say where postcodes lie near which services are asked for; nil for none.
	Postcodes *registers.Postcodes
	// MadeUp says, on every page, that nothing is of a real person; of demonstrations.
	MadeUp bool
	// UploadBytes is the size of the largest file; default 64 MiB.
	UploadBytes int64

	Log    *slog.Logger
	Now    func() time.Time
	Random io.Reader
}

// AllRegisters stands for each register of what councils have.
const AllRegisters = "all"

// A site is the pages of one node.
type site struct {
	Options
	mux      *http.ServeMux
	ops      map[string]string // what a person must be let do, by the pattern of a page that is not for everybody
	pages    map[Lang]*template.Template
	tongues  map[Lang]*tongue
	sessions *scs.SessionManager
	locks    *lockout
	styled   bool
	register fresh[*snapshot]
	open     *openRegisters
	drafts   *drafts
	counters *drafts
	uploads  *uploads
	shipped  func() ([]shipped, error) // the standards that come with Stile, read once
}

// New returns the pages. The error names a message that a template asks for and one of
// the languages lacks.
func New(o Options) (http.Handler, error) {
	_, pages, err := newSite(o)
	return pages, err
}

func newSite(o Options) (*site, http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.UploadBytes == 0 {
		o.UploadBytes = 64 << 20
	}
	all, err := parseMessages(messageFiles)
	if err != nil {
		return nil, nil, err
	}
	s := &site{Options: o, mux: http.NewServeMux(), ops: map[string]string{}, pages: map[Lang]*template.Template{}, tongues: map[Lang]*tongue{}, locks: newLockout(o.Now)}
	for _, l := range langs {
		t := &tongue{l, all, london()}
		s.tongues[l] = t
		if s.pages[l], err = template.New("").Funcs(t.funcs()).ParseFS(templateFiles, "templates/*.html"); err != nil {
			return nil, nil, err
		}
		if err := complete(s.pages[l], all); err != nil {
			return nil, nil, err
		}
	}
	_, err = fs.Stat(assets, "assets/stile.css")
	s.styled = err == nil
	s.sessions = newSessions(o.Secure, newSessionFiles(filepath.Join(o.Data, people.Folder, "sessions"), o.Now))
	s.drafts, s.counters, s.uploads = newDrafts(o.Data), newCounters(o.Data), newUploads(o.Data, o.Random)
	if s.open, err = newOpenRegisters(s); err != nil {
		return nil, nil, err
	}
	s.shipped = sync.OnceValues(shippedStandards)
	s.routes()
	return s, s.guard(s.sessions.LoadAndSave(s.mux)), nil
}

// complete reports the first message that a template asks for and that is not there.
func complete(t *template.Template, all messages) error {
	var missing []string
	var walk func(n parse.Node)
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			if n != nil {
				for _, c := range n.Nodes {
					walk(c)
				}
			}
		case *parse.ActionNode:
			walk(n.Pipe)
		case *parse.TemplateNode:
			walk(n.Pipe)
		case *parse.IfNode:
			walk(n.Pipe)
			walk(n.List)
			walk(n.ElseList)
		case *parse.RangeNode:
			walk(n.Pipe)
			walk(n.List)
			walk(n.ElseList)
		case *parse.WithNode:
			walk(n.Pipe)
			walk(n.List)
			walk(n.ElseList)
		case *parse.PipeNode:
			if n != nil {
				for _, c := range n.Cmds {
					walk(c)
				}
			}
		case *parse.CommandNode:
			for i, a := range n.Args {
				id, ok := a.(*parse.IdentifierNode)
				if ok && i == 0 && (id.Ident == "t" || id.Ident == "count") {
					at, suffixes := 1, []string{""}
					if id.Ident == "count" {
						at, suffixes = 2, []string{".one", ".many"}
					}
					if len(n.Args) > at {
						if key, ok := n.Args[at].(*parse.StringNode); ok {
							for _, s := range suffixes {
								if all[English][key.Text+s] == "" {
									missing = append(missing, key.Text+s)
								}
							}
						}
					}
				}
				walk(a)
			}
		}
	}
	for _, one := range t.Templates() {
		if one.Tree != nil {
			walk(one.Tree.Root)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("templates ask for messages that are not there: %s", strings.Join(slices.Compact(missing), ", "))
	}
	return nil
}

// A request is one request for a page, and who makes it.
type request struct {
	*site
	*tongue
	w   http.ResponseWriter
	r   *http.Request
	who *people.Person // nil: nobody signed in
}

// ctx is the context in which the node is asked: as the person, and what a page for
// everybody asks, as nobody in particular.
func (q *request) ctx() context.Context {
	if q.who == nil {
		return q.r.Context()
	}
	return access.With(q.r.Context(), q.who.Principal())
}

// public is the context of pages that show everybody the same, with or without login.
func (q *request) public() context.Context { return q.r.Context() }

func (q *request) may(op string) bool {
	return q.who != nil && access.Allowed(q.who.Principal(), op, access.On{AnySide: true}) == nil
}

func (q *request) form(key string) string { return strings.TrimSpace(q.r.FormValue(key)) }

// A page is what a template is given.
type page struct {
	Title   string
	Heading string // "" is the title
	Data    any
	Faults  faults
	Back    string // where a link back leads
	Status  int
	Wide    bool
	Public  bool // shown without login

	// Filled in when it is rendered.
	Lang    Lang
	Council string
	Who     *people.Person
	Nav     []navigation
	Section []navigation // the pages beside this one, below the menu
	Here    string
	Other   string // the same page in the other language
	Styled  bool
	MadeUp  bool
	Done    string // what was just done, in words
	Version string
	Domain  name.Council
	Links   bool
}

// render writes a page.
func (q *request) render(tmpl string, p page) error {
	p.Lang, p.Council, p.Who, p.Styled, p.MadeUp, p.Version, p.Domain = q.lang, q.Title, q.who, q.styled, q.MadeUp, q.Version, q.Council
	p.Here = q.r.URL.Path
	other := url.Values{}
	for k, v := range q.r.URL.Query() {
		if k != "lang" && k != "done" {
			other[k] = v
		}
	}
	if q.r.Method == http.MethodGet {
		if q.lang == English {
			other.Set("lang", "cy")
		} else {
			other.Set("lang", "en")
		}
		p.Other = q.r.URL.Path + "?" + other.Encode()
	}
	if done := q.r.URL.Query().Get("done"); done != "" {
		if text, ok := q.all[q.lang]["done."+done]; ok {
			p.Done = text
		}
	}
	p.Nav, p.Section = q.menu()
	if p.Heading == "" {
		p.Heading = p.Title
	}
	var b bytes.Buffer
	if err := q.pages[q.lang].ExecuteTemplate(&b, "head", p); err != nil {
		return err
	}
	if err := q.pages[q.lang].ExecuteTemplate(&b, tmpl, p); err != nil {
		return err
	}
	if err := q.pages[q.lang].ExecuteTemplate(&b, "foot", p); err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(q.lang))
	if p.Status == 0 {
		p.Status = http.StatusOK
	}
	q.w.WriteHeader(p.Status)
	if q.r.Method == http.MethodHead {
		return nil
	}
	_, err := q.w.Write(b.Bytes())
	return err
}

// to sends the browser on to another page of ours.
func (q *request) to(path string) error {
	http.Redirect(q.w, q.r, path, http.StatusSeeOther)
	return nil
}

// done is to, and says there what was done: the message done.WHAT.
func (q *request) done(path, what string) error { return q.to(path + "?done=" + what) }

// A handler answers a request for a page. An error becomes a page of its own.
type handler func(q *request) error

// everybody shows a page without login.
func (s *site) everybody(pattern string, h handler) { s.handle(pattern, nil, h) }

// only shows a page to whoever may carry out an operation.
func (s *site) only(op, pattern string, h handler) {
	s.ops[pattern] = op
	s.handle(pattern, &op, h)
}

func (s *site) handle(pattern string, op *string, h handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q := &request{site: s, tongue: s.tongues[s.spoken(w, r)], w: w, r: r}
		q.who = s.person(r)
		err := func() error {
			if op != nil && q.who == nil {
				if r.Method == http.MethodGet {
					return q.to("/sign-in?next=" + url.QueryEscape(r.URL.RequestURI()))
				}
				return q.to("/sign-in")
			}
			if op != nil && *op != "" {
				if err := access.Allowed(q.who.Principal(), *op, access.On{AnySide: true}); err != nil {
					return err
				}
			}
			if q.who != nil || op != nil {
				w.Header().Set("Cache-Control", "no-store")
			}
			return h(q)
		}()
		if err != nil {
			q.fail(err)
		}
	})
}

// spoken is the language of a request: what was just chosen, the cookie, or English.
func (s *site) spoken(w http.ResponseWriter, r *http.Request) Lang {
	if l := Lang(r.URL.Query().Get("lang")); slices.Contains(langs, l) {
		http.SetCookie(w, &http.Cookie{Name: "lang", Value: string(l), Path: "/", MaxAge: 365 * 86400, HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode})
		return l
	}
	if c, err := r.Cookie("lang"); err == nil && slices.Contains(langs, Lang(c.Value)) {
		return Lang(c.Value)
	}
	return English
}

var statusOf = map[node.Kind]int{
	node.Usage: http.StatusBadRequest, node.NotFound: http.StatusNotFound, node.Refused: http.StatusForbidden, node.Invalid: http.StatusUnprocessableEntity,
	node.Unverified: http.StatusUnprocessableEntity, node.Unreachable: http.StatusServiceUnavailable, node.Behind: http.StatusServiceUnavailable, node.Conflict: http.StatusConflict,
}

// fail shows why a page cannot be shown. What is no *node.Error is said in the log alone.
func (q *request) fail(err error) {
	status, key := http.StatusInternalServerError, "failed"
	var e *node.Error
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		status, key = http.StatusRequestEntityTooLarge, "large"
		e = &node.Error{Message: fmt.Sprintf("it is larger than %s", size(large.Limit))}
	} else if errors.As(err, &e) {
		if s, ok := statusOf[e.Kind]; ok {
			status = s
			key = word(string(e.Kind), "usage", "not-found", "refused", "invalid", "unverified", "unreachable", "behind", "conflict")
		}
	} else if errors.Is(err, context.Canceled) {
		return
	} else {
		q.Log.Error("a page failed", "path", q.r.URL.Path, "err", err)
	}
	if rerr := q.render("failure", page{Title: q.say("failure." + key), Data: e, Status: status, Public: true}); rerr != nil {
		q.Log.Error("a page could not be shown", "err", rerr)
		http.Error(q.w, "the page could not be shown", http.StatusInternalServerError)
	}
}

// csp lets a page use what comes from this server and nothing else: no inline script or
// style, no frame around it, no form to elsewhere.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guard sets the policy of the pages, in the place of the door's, which lets nothing be
// shown at all, and caps what a request brings.
func (s *site) guard(next http.Handler) http.Handler {
	policy := csp
	if s.Provider != nil { // the form that begins the sign-in is answered by a way there
		policy = strings.Replace(csp, "form-action 'self'", "form-action 'self' "+s.Provider.origin, 1)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		limit := int64(1 << 20)
		if strings.HasPrefix(r.URL.Path, "/imports") || r.URL.Path == "/verify" {
			limit = s.UploadBytes
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
