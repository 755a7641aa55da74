package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/webhook"
	"github.com/stile-exchange/stile/node/api"
)

const look = 15 * time.Second

// An ear is a Sender that hears what is sent, and refuses it while err says so.
type ear struct {
	err   func(to string) error
	mu    sync.Mutex
	heard []string // "target change name"
	ids   []string // of every attempt to tell the target dpo
}

func (e *ear) Send(_ context.Context, to config.Notify, m Message, _ time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if to.Name == "dpo" {
		e.ids = append(e.ids, m.ID)
	}
	if e.err != nil {
		if err := e.err(to.Name); err != nil {
			return err
		}
	}
	for _, c := range m.Changes {
		e.heard = append(e.heard, to.Name+" "+c.Change+" "+c.Name)
	}
	return nil
}

// A room is a Notifier that runs, in a bubble, on a file that outlives it.
type room struct {
	t    *testing.T
	n    *Notifier
	ear  *ear
	stop func()
}

func open(t *testing.T, file string, e *ear, targets ...config.Notify) *room {
	id := 0
	n := Open(Options{
		Council: "northmoor.gov.uk", Targets: targets, File: file, Sender: e, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Jitter: func() float64 { return 0 }, ID: func() (string, error) { id++; return fmt.Sprint("msg_", id), nil },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	return &room{t, n, e, func() { cancel(); <-done }}
}

// goes lets time go by in which conditions hold.
func (r *room) goes(d time.Duration, found ...api.Condition) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.n.Take(found, time.Now())
		time.Sleep(look)
	}
	synctest.Wait()
}

// hears checks what was heard since it was last asked.
func (r *room) hears(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.ear.heard, want) {
		r.t.Errorf("heard %q, want %q", r.ear.heard, want)
	}
	r.ear.heard = nil
}

func cond(name string) api.Condition {
	return condition.New(name, name+" it is", "a cause", "something")
}

func mailTo(name string) config.Notify {
	return config.Notify{Name: name, Command: []string{"/bin/cat"}, Format: "text", Severity: "warning", Tells: "all"}
}

// Each change is told once to each target that wants it, also over a restart; what comes
// and goes is told once; a date is told at each of its stages.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), FileName)
		dpo, pager, desk := mailTo("dpo"), mailTo("pager"), mailTo("desk")
		pager.Severity, pager.Tells = "critical", "conditions"
		desk.Tells = "dates"
		r := open(t, file, &ear{}, dpo)
		link := cond("link-failing")
		r.goes(30*time.Second, link)
		r.goes(30 * time.Second)
		r.hears() // too short
		r.goes(2*time.Minute, link, cond("no-other-member"))
		r.hears("dpo began link-failing")
		for range 5 { // it comes and goes
			r.goes(5 * time.Minute)
			r.goes(2*time.Minute, link)
		}
		r.hears()
		r.stop()
		r = open(t, file, r.ear, dpo, pager, desk)
		r.goes(5*time.Minute, link)
		r.hears()
		r.goes(9 * time.Minute)
		r.hears()
		r.goes(2 * time.Minute)
		r.hears("dpo ended link-failing")

		near, close, past := cond("review-near"), cond("review-close"), cond("review-past")
		r.goes(2*time.Minute, near)
		slices.Sort(r.ear.heard)
		r.hears("desk began review-near", "dpo began review-near")
		r.goes(time.Hour, close)
		slices.Sort(r.ear.heard)
		r.hears("desk began review-close", "dpo began review-close") // and no end of what is nearer now
		r.goes(time.Hour, past, cond("disk-full"))
		slices.Sort(r.ear.heard)
		r.hears("desk began review-past", "dpo began disk-full", "dpo began review-past", "pager began disk-full")
		r.goes(time.Hour, cond("disk-full")) // it was renewed
		slices.Sort(r.ear.heard)
		r.hears("desk ended review-past", "dpo ended review-past")
		// A year on it begins anew.
		r.goes(2*time.Minute, near, cond("disk-full"))
		slices.Sort(r.ear.heard)
		r.hears("desk began review-near", "dpo began review-near")
		r.stop()
	})
}

// What somebody accepted is not told; what they accept later is not told as over.
func TestAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, filepath.Join(t.TempDir(), FileName), &ear{}, mailTo("dpo"))
		c := cond("keys-in-clear")
		c.Severity, c.Accepted = api.Notice, true
		r.goes(time.Hour, c)
		r.hears()
		r.goes(time.Hour, cond("keys-in-clear"))
		r.hears("dpo began keys-in-clear")
		r.goes(time.Hour, c)
		r.hears()
		r.stop()
	})
}

// A target that does not take a message gets the same message later, and all that came
// meanwhile; it is parked after three days, tried once a day, at a start, and when
// somebody asks. Meanwhile that is a condition, which the others are told.
func TestRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), FileName)
		down := errors.New("connection refused")
		e := &ear{err: func(to string) error {
			if to == "dpo" {
				return down
			}
			return nil
		}}
		r := open(t, file, e, mailTo("dpo"), mailTo("desk"))
		held := []api.Condition{cond("keys-in-clear")}
		goes := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				r.n.Take(append(r.n.Failing(time.Now()), held...), time.Now())
				time.Sleep(look)
			}
			synctest.Wait()
		}
		goes(30 * time.Minute)
		r.hears("desk began keys-in-clear", "desk began notify-failing")
		if f := r.n.Failing(time.Now()); len(f) != 1 || !strings.Contains(f[0].Cause, "dpo: connection refused (") || f[0].Since.IsZero() {
			t.Errorf("the condition says %+v", f)
		}
		held = append(held, cond("disk-low"))
		goes(10 * time.Minute)
		r.stop() // a restart goes on where it was
		n := len(e.ids)
		r = open(t, file, e, mailTo("dpo"), mailTo("desk"))
		goes(4 * 24 * time.Hour)
		r.hears("desk began disk-low")
		st := r.n.States()[0]
		if !st.Parked || st.Attempts < webhook.Attempts || st.Outstanding() != 2 {
			t.Errorf("after four days: %+v", st)
		}
		if more := len(e.ids) - n; more > 12 {
			t.Errorf("%d attempts in four days", more)
		}
		n = len(e.ids)
		goes(49 * time.Hour)
		if more := len(e.ids) - n; more != 2 {
			t.Errorf("a parked target was tried %d times in two days, want 2", more)
		}
		down = nil
		if err := TryAll(file); err != nil {
			t.Fatal(err)
		}
		goes(30 * time.Second)
		r.hears("dpo began keys-in-clear", "dpo began disk-low")
		if e.ids[0] != e.ids[n] {
			t.Errorf("the message had the id %s, and then %s", e.ids[0], e.ids[n])
		}
		goes(time.Hour)
		r.hears("desk ended notify-failing")
		// One that says that it wants no more is left alone until the node starts anew.
		down = &webhook.StatusError{Code: http.StatusGone}
		held = held[:1]
		goes(72 * time.Hour)
		var toDPO int
		for _, h := range e.heard {
			if strings.HasPrefix(h, "dpo") {
				toDPO++
			}
		}
		if st := r.n.States()[0]; !st.Final || st.Attempts != 1 || toDPO > 0 {
			t.Errorf("after 410: %+v", st)
		}
		r.stop()
	})
}

// However long a target is away, what waits for it is bounded, and says what it lacks.
func TestWaitingIsBounded(t *testing.T) {
	tg := &target{Notify: mailTo("dpo")}
	for range maxWaiting + 7 {
		tg.say(Change{Change: Began, Name: "disk-low"})
	}
	if len(tg.Waiting) != maxWaiting || tg.LeftOut != 7 {
		t.Errorf("%d wait, %d are left out", len(tg.Waiting), tg.LeftOut)
	}
	m := Message{Changes: tg.Waiting[:1], LeftOut: 7}
	if b := m.mail("northmoor.gov.uk"); !strings.Contains(string(b), "7 older changes could not be kept") {
		t.Errorf("the mail says\n%s", b)
	}
}

// hostile is a condition with texts that another council may have had a hand in.
func hostile() Change {
	return Change{
		Change: Began, At: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Name: "told-another-history", Severity: api.Critical, Council: "saltby.gov.uk",
		Text:  "STOPPED: é\r\nBcc: all@example.org\n\nbody \x1b[2J\u202e",
		Cause: strings.Repeat("long ", 1000), Try: "stile watch",
	}
}

// A mail is one, whatever the texts hold: no header begins in them, and no line is longer
// than RFC 5322 allows.
func TestMail(t *testing.T) {
	m := Message{ID: "msg_1", At: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Changes: []Change{{Change: Ended, Name: "disk-low", Severity: api.Warning, Text: "the disk is low"}, hostile()}}
	b := m.mail("northmoor.gov.uk")
	got, err := mail.ReadMessage(strings.NewReader(string(b)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if len(got.Header) != 7 || got.Header.Get("Bcc") != "" {
		t.Errorf("headers %v", got.Header)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "northmoor.gov.uk: CRITICAL: STOPPED: é") || !strings.HasSuffix(subject, "(and 1 more)") {
		t.Errorf("subject %q, %v", subject, err)
	}
	body, _ := io.ReadAll(got.Body)
	for _, want := range []string{"No longer, since", "Since 2026-11-28 12:00 UTC: CRITICAL (told-another-history)", "  Try: stile watch", "What holds now: stile status"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	for line := range strings.Lines(string(b)) {
		if len(line) > 998 || strings.HasPrefix(line, "Bcc") || strings.ContainsAny(line, "\x1b\r\u202e") {
			t.Errorf("line %q", line)
		}
	}
}

// What may name a record is not sent.
func TestInside(t *testing.T) {
	for _, n := range []string{"store-damaged", "feed-not-taken-in", "erasure-rule-stopped"} {
		tg := &target{Notify: mailTo("dpo"), seen: map[key]time.Time{}, gone: map[key]time.Time{}}
		now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
		c := condition.New(n, "something is wrong", "record 4711 of CANARY", "stile status")
		tg.take([]api.Condition{c}, now)
		tg.take([]api.Condition{c}, now.Add(begun))
		b, err := json.Marshal(tg.State)
		if err != nil || len(tg.Waiting) != 1 || strings.Contains(string(b), "CANARY") {
			t.Errorf("%s: %s", n, b)
		}
	}
}

// A webhook is signed, goes to no private network that was not named, and follows no
// redirect; the error holds no URL.
func TestWebhook(t *testing.T) {
	secret := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	file := filepath.Join(t.TempDir(), "hook.secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		body, _ = io.ReadAll(r.Body)
		if id, err := webhook.Verify(s, r.Header, body, now); err != nil || id != "msg_7" {
			t.Errorf("received %q: %v", id, err)
		}
	}))
	defer srv.Close()
	to := config.Notify{Name: "hook", Webhook: srv.URL + "/secret-path", SecretFile: file}
	m := Message{ID: "msg_7", At: now.UTC(), Changes: []Change{hostile()}}
	own := NewSender("northmoor.gov.uk", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	if err := own.Send(t.Context(), to, m, now); err != nil {
		t.Fatal(err)
	}
	var d struct {
		Type string
		Data struct{ Changes []Change }
	}
	if err := json.Unmarshal(body, &d); err != nil || d.Type != typeChanges || len(d.Data.Changes) != 1 || d.Data.Changes[0].Name != "told-another-history" {
		t.Errorf("%v in %s", err, body)
	}
	if strings.ContainsAny(string(body), "\x1b\u202e") || len(body) > 3*maxText {
		t.Errorf("%q", body)
	}
	if err := NewSender("northmoor.gov.uk", nil, nil).Send(t.Context(), to, m, now); !errors.Is(err, webhook.ErrTarget) || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("to a network that nobody named: %v", err)
	}
	to.Webhook = srv.URL + "/elsewhere"
	if err := own.Send(t.Context(), to, m, now); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("a redirect: %v", err)
	}
	to.SecretFile += ".none"
	if err := own.Send(t.Context(), to, m, now); err == nil {
		t.Error("sent without a secret")
	}
}

// A command is run without a shell, reads the message, sees nothing of our environment
// that is not named, and how it ended is told; its output is not.
func TestCommand(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh here")
	}
	t.Setenv("STILE_SECRET", "hunter2")
	out := filepath.Join(t.TempDir(), "out")
	s := NewSender("northmoor.gov.uk", nil, nil)
	m := TestMessage("msg_1", time.Now())
	send := func(argv ...string) error {
		return s.Send(t.Context(), config.Notify{Name: "x", Command: argv, Format: "text"}, m, time.Now())
	}
	if err := send("/bin/sh", "-c", `cat > "$1"; env >> "$1"`, "x", out); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(out); !strings.HasPrefix(string(b), "Subject: northmoor.gov.uk: a test of who is told\n") || strings.Contains(string(b), "hunter2") {
		t.Errorf("it read\n%s", b)
	}
	if err := send("/bin/sh", "-c", "echo hunter2 >&2; exit 75"); err == nil || err.Error() != "the command ended with exit status 75" {
		t.Errorf("%v", err)
	}
	if err := send("/nowhere/sendmail", "$(touch x)"); err == nil || err.Error() != "the command cannot be run: no such file or directory" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan error, 1)
	go func() { began <- run(ctx, []string{"/bin/sh", "-c", "sleep 600 & sleep 600"}, nil, nil) }()
	cancel()
	if err := <-began; err == nil {
		t.Error("a command that was stopped succeeded")
	}
}

// The file of one that cannot be read counts as none, and a target that is gone is
// forgotten.
func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Targets: []config.Notify{mailTo("dpo")}, File: file, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	if got := Open(o).States(); len(got) != 1 || got[0].Target != "dpo" {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(file, []byte(`[{"target":"old","sent":4},{"target":"dpo","sent":3}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Open(o).States(); len(got) != 1 || got[0].Sent != 3 {
		t.Errorf("%+v", got)
	}
}
