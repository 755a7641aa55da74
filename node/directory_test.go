package node_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

const hexwell = name.Council("hexwell.gov.uk")

// refusedAs calls an operation that must fail in one way, and returns what it says.
func refusedAs[In, Out any](t testing.TB, kind node.Kind, f func(context.Context, In) (Out, error), in In) string {
	t.Helper()
	_, err := f(t.Context(), in)
	var e *node.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("%T: %v, want it to fail as %s", in, err, kind)
	}
	return e.Message
}

// enter has the host admit a node, with the addresses it listens at.
func enter(t testing.TB, host, n *running) {
	t.Helper()
	me := call(t, n.Councils().Show, node.MemberNameRequest{})
	m, err := directory.ParseMember([]byte(me.Document))
	if err != nil {
		t.Fatal(err)
	}
	m.Addresses = n.Addresses()
	call(t, host.Councils().Add, node.MemberRequest{Document: m.YAML()})
}

// A node that had a directory of its own joins another's with all that it
// logged, a third one joins by an invite that leads to the second, and when the
// host is gone the two of them go on exchanging.
func TestJoin(t *testing.T) {
	t.Parallel()
	n, s, h := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999"), start(t, hexwell, "E07000997")
	offer(t, s, "planning-application", planning(1, "X"))
	before := get(t, s.Status)

	enter(t, n, n)
	code := call(t, n.Directory().Invite, node.InviteRequest{})
	if len(strings.Fields(code.Words)) != 6 {
		t.Errorf("words %q, want six", code.Words)
	}
	if msg := refusedAs(t, node.Unreachable, s.Directory().Join, node.JoinRequest{Code: code.Code}); strings.Contains(msg, "panic") {
		t.Error(msg)
	}
	refusedAs(t, node.Usage, s.Directory().Join, node.JoinRequest{Code: code.Code[:len(code.Code)-3] + "222"})

	enter(t, n, s)
	d := call(t, s.Directory().Join, node.JoinRequest{Code: code.Code})
	host := get(t, n.Directory().Show)
	if d.Root != host.Root || d.Members != 2 || d.Host || d.Sole || !host.Host || !host.Sole {
		t.Errorf("joined %+v\nof %+v", d, host)
	}
	after := get(t, s.Status)
	if after.LogSize != before.LogSize+1 || after.Records["standards.stile.example/planning-application@1.0.0"] != 1 {
		t.Errorf("log of %d entries and %v, want the %d there were and that it joined", after.LogSize, after.Records, before.LogSize)
	}
	refusedAs(t, node.Conflict, s.Directory().Join, node.JoinRequest{Code: code.Code})
	// Only the host admits.
	me := call(t, h.Councils().Show, node.MemberNameRequest{})
	refusedAs(t, node.Refused, s.Councils().Add, node.MemberRequest{Document: []byte(me.Document)})

	enter(t, n, h)
	get(t, s.Directory().Refresh)
	if m := get(t, s.Councils().List); len(m) != 3 {
		t.Errorf("%d members after asking for news, want 3", len(m))
	}
	bySaltby := call(t, s.Directory().Invite, node.InviteRequest{})
	if bySaltby.Address == code.Address {
		t.Fatal("the second member's invite leads to the host")
	}
	n.stop() // losing the host loses nothing but new admissions
	call(t, h.Directory().Join, node.JoinRequest{Code: bySaltby.Code})

	settle(t, s, h)
	await(t, "hexwell holds saltby's record", func() bool {
		return get(t, h.Status).Holdings == 1
	})
}

// settle has from share its planning applications of district X with to.
func settle(t testing.TB, from, to *running) {
	t.Helper()
	f := get(t, from.Status).Council
	o := get(t, to.Status).Council
	doc := strings.NewReplacer(string(northmoor), string(f), string(saltby), string(o)).Replace(planningAgreement)
	a := call(t, from.Agreements().Sign, node.AgreementRequest{Document: []byte(doc)})
	await(t, "the agreement has arrived", func() bool {
		return try(t.Context(), to.Agreements().Show, node.AgreementRequest{Name: string(a.Name)}, nil) == nil
	})
	call(t, to.Agreements().Sign, node.AgreementRequest{Name: string(a.Name)})
}

// What was logged before a key was revoked goes on being believed, and what
// came after is not, wherever it is looked at.
func TestRevokedFromAnEntryOn(t *testing.T) {
	n, s := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, n, s)
	one := offer(t, n, "planning-application", planning(1, "X")).Results[0]
	settle(t, n, s)
	await(t, "the first is held", func() bool { return get(t, s.Status).Holdings == 1 })

	// Saltby's directory is its own, and its registrar hears of the theft.
	m, err := directory.ParseMember([]byte(call(t, s.Councils().Show, node.MemberNameRequest{Council: string(northmoor)}).Document))
	if err != nil {
		t.Fatal(err)
	}
	from := get(t, n.Status).LogSize
	publish(t, s, func(r *tufdir.Repository) error {
		return r.RevokeKey(northmoor, m.RecordKeys[0].ID(), from, time.Now())
	})
	two := offer(t, n, "planning-application", planning(2, "X")).Results[0]
	await(t, "the second is refused", func() bool {
		for _, r := range get(t, s.Status).Refusals {
			if r.Rule == "revoked key" && r.Index == two.Index {
				return true
			}
		}
		return false
	})
	r := call(t, s.Records().Show, node.RecordRequest{Record: string(one.Record), From: northmoor})
	if r.Proof != "log" {
		t.Errorf("the first record's proof is %q", r.Proof)
	}
	if err := try(t.Context(), s.Records().Show, node.RecordRequest{Record: string(two.Record), From: northmoor}, nil); err == nil {
		t.Error("the second record is held")
	}
	doc := call(t, s.Councils().Show, node.MemberNameRequest{Council: string(northmoor)}).Document
	if !strings.Contains(doc, "revoked:") {
		t.Errorf("the member file that an auditor gets does not say it:\n%s", doc)
	}
}

// When councils merge the partner is told who has taken over.
func TestSucceeded(t *testing.T) {
	t.Parallel()
	n, s, h := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999"), start(t, hexwell, "E07000997")
	introduce(t, n, s, h)
	offer(t, n, "planning-application", planning(1, "X"))
	settle(t, n, s)
	await(t, "it is held", func() bool { return get(t, s.Status).Holdings == 1 })
	publish(t, s, func(r *tufdir.Repository) error {
		today := time.Now().UTC().Truncate(24 * time.Hour)
		m, err := r.Members()
		if err != nil || len(m) != 3 {
			return fmt.Errorf("%d members, %v", len(m), err)
		}
		// They joined today, so the end can be tomorrow at the earliest; what is
		// tried is a membership that began and ended before.
		for _, e := range m {
			if e.Member.Council != saltby {
				if err := r.Remove(e.Member.Council, today); err != nil {
					return err
				}
				e.Member.ValidFrom = today.AddDate(-1, 0, 0)
				if err := r.Admit(e.Member, today); err != nil {
					return err
				}
			}
		}
		return r.Succeed(northmoor, hexwell, today, today)
	})
	var p []node.PartnerReply
	for _, q := range get(t, s.Status).Partners {
		if q.Council == northmoor {
			p = append(p, q)
		}
	}
	if len(p) != 1 || !strings.Contains(p[0].Behind, "hexwell.gov.uk has taken over") || p[0].Connected {
		t.Errorf("status of the one that ended: %+v", p)
	}
	if r := call(t, s.Records().List, node.ListRequest{From: northmoor}); len(r.Records) != 1 {
		t.Errorf("%d records of it are left, want 1: what it said still stands", len(r.Records))
	}
}

// publish changes what a node hosts as its registrar's commands do, and has the
// node take note.
func publish(t testing.TB, r *running, edit func(*tufdir.Repository) error) {
	t.Helper()
	publishAt(t, r, time.Now(), edit)
}

// publishAt is publish by another clock.
func publishAt(t testing.TB, r *running, now time.Time, edit func(*tufdir.Repository) error) {
	t.Helper()
	cfg := r.Config()
	repo, err := tufdir.Load(datadir.Authority(cfg))
	if err != nil {
		t.Fatal(err)
	}
	online, all, err := datadir.Keys(cfg, nil)
	if err != nil || online == nil {
		t.Fatal(err)
	}
	if err := edit(repo); err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if _, err := repo.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := repo.Publish(online, now); err != nil {
		t.Fatal(err)
	}
	if err := repo.Save(datadir.Authority(cfg)); err != nil {
		t.Fatal(err)
	}
	get(t, r.Directory().Refresh)
}

// A node whose directory nobody vouches for any longer takes records in and
// says what is the matter; a directory of one is signed anew by its node.
func TestExpiredDirectory(t *testing.T) {
	t.Parallel()
	var days atomic.Int64
	now := func() time.Time {
		return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).AddDate(0, 0, int(days.Load()))
	}
	open := func(c name.Council) (*node.Node, *config.Config) {
		cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: c, GSS: "E07000998", Listen: []string{}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Limits.MinFreeMiB = 16
		n, err := node.Open(cfg, node.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n, cfg
	}
	host, _ := open(northmoor)
	n, cfg := open(saltby)
	me := call(t, n.Councils().Show, node.MemberNameRequest{})
	call(t, host.Councils().Add, node.MemberRequest{Document: []byte(me.Document)})

	// Over HTTP, which asks nobody who they are.
	c, err := tufdir.Open(host.Config().Directory, tufdir.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	web := httptest.NewServer(c.Mirror())
	defer web.Close()
	code := call(t, host.Directory().Invite, node.InviteRequest{Address: web.URL})
	call(t, n.Directory().Join, node.JoinRequest{Code: code.Code})
	b, err := os.ReadFile(filepath.Join(cfg.Directory, "mirrors.txt"))
	if err != nil || !strings.Contains(string(b), web.URL) {
		t.Errorf("mirrors %q, %v", b, err)
	}

	for _, step := range []struct {
		days  int64
		state string
	}{{15, "fresh"}, {17, "expiring"}, {31, "expired"}} {
		days.Store(step.days)
		d := get(t, n.Directory().Show)
		warned := slices.ContainsFunc(get(t, n.Status).Conditions, func(c node.Condition) bool {
			return c.Name == map[string]string{"expiring": "directory-ageing", "expired": "directory-expired"}[step.state]
		})
		if d.State != step.state || warned != (step.state != "fresh") {
			t.Errorf("after %d days: %s, warned: %v, want %s", step.days, d.State, warned, step.state)
		}
	}
	if r := offer(t, n, "planning-application", planning(1, "X")); r.Results[0].Version != 1 {
		t.Errorf("local work stopped: %+v", r)
	} else {
		why := call(t, n.Why, node.WhyRequest{Partner: string(northmoor), Record: string(r.Results[0].Record)})
		if !slices.ContainsFunc(why.Steps, func(s node.WhyStep) bool { return s.Rule == "the directory is to be relied upon" && !s.Holds }) {
			t.Errorf("why does not say that exchange has stopped: %+v", why.Steps)
		}
	}
	refusedAs(t, node.Behind, n.Directory().Invite, node.InviteRequest{Address: web.URL})

	// The host comes back and signs; the follower is up to date as soon as it
	// has asked.
	if d := get(t, host.Directory().Refresh); d.State != "fresh" {
		t.Errorf("the host's own is %s", d.State)
	}
	again, err := tufdir.Open(host.Config().Directory, tufdir.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	web.Config.Handler = again.Mirror()
	if d := get(t, n.Directory().Refresh); d.State != "fresh" {
		t.Errorf("after asking it is %s", d.State)
	}

	// Two years on, with everything expired, a directory of one mends itself.
	days.Store(800)
	if d := get(t, host.Directory().Refresh); d.State != "fresh" || d.Expires.Before(now().AddDate(0, 0, 20)) {
		t.Errorf("the directory of one is %s", d.Health)
	}
}

// A folder of member files, as nodes kept before directories were signed.
func TestPlainMemberFiles(t *testing.T) {
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: northmoor, GSS: "E07000998", Listen: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{cfg.Directory, datadir.Authority(cfg), filepath.Join(cfg.Data, "keys", "directory.key")} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(cfg.Directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Directory, "northmoor.gov.uk.yaml"), members[0].YAML(), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		n, err := node.Open(cfg, node.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := get(t, n.Directory().Show); !d.Sole || d.Members != 1 || d.State != "fresh" {
			t.Errorf("became %+v", d)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An auditor who has nothing but the digest of the directory's root verifies a
// bundle; with another digest, or with the directory in the file altered, not.
func TestRootIsEnough(t *testing.T) {
	t.Parallel()
	n, s := start(t, northmoor, "E07000998"), start(t, saltby, "E07000999")
	introduce(t, n, s)
	offer(t, n, "planning-application", planning(1, "X"))
	settle(t, n, s)
	await(t, "it is held", func() bool { return get(t, s.Status).Holdings == 1 })
	d := get(t, n.Directory().Show)
	b := call(t, n.Bundle, node.BundleRequest{Agreement: "northmoor.gov.uk/planning-for-saltby"}).Bundle

	verify := func(b []byte, root string) *audit.Report {
		t.Helper()
		trust, err := audit.ReadTrust("root:" + root)
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.Verify(bytes.NewReader(b), int64(len(b)), audit.Options{Trust: trust})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := verify(b, d.Root)
	if !r.OK() || len(r.Keys) == 0 {
		t.Errorf("with the root: %+v", r.Checks)
	}
	for _, k := range r.Keys {
		if k.Source != audit.FromDirectory {
			t.Errorf("%s is believed for the sake of %q", k, k.Source)
		}
	}
	other := get(t, s.Directory().Show)
	if verify(b, other.Root).OK() {
		t.Error("with the root of another directory it verifies")
	}
	if _, err := audit.ReadTrust("root:" + d.Root[1:]); !errors.Is(err, audit.ErrTrust) {
		t.Errorf("a digit short: %v", err)
	}

	// The files are those of saltby's own directory, in which northmoor could
	// have been given any keys.
	swapped := rezip(t, b, s)
	if verify(swapped, d.Root).OK() {
		t.Error("with the directory swapped it verifies from the first root")
	}
}

// rezip returns a bundle with the directory's files those of another node.
func rezip(t testing.TB, bundle []byte, from *running) []byte {
	t.Helper()
	c, err := tufdir.Open(from.Config().Directory, tufdir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	files, err := c.Evidence(northmoor, saltby)
	if err != nil {
		t.Fatal(err)
	}
	in, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(path string, b []byte) {
		f, err := w.Create(path)
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range in.File {
		if strings.HasPrefix(f.Name, "tuf/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		add(f.Name, b)
	}
	for path, b := range files {
		add("tuf/"+path, b)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
