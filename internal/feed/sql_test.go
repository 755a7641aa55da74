package feed

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
)

// postgres starts a server of its own and returns its connection string. The test
// is skipped where PostgreSQL is not installed.
func postgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if p, err := exec.LookPath("initdb"); err == nil {
		found = append(found, p)
	}
	if len(found) == 0 {
		t.Skip("PostgreSQL is not installed: apt-get install postgresql")
	}
	bin, dir := filepath.Dir(found[len(found)-1]), t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	data := filepath.Join(dir, "data")
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("PostgreSQL does not run as root, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.SysProcAttr, c.Dir = as, dir
		return c
	}
	if out, err := command("initdb", "-D", data, "-U", "reader", "--auth=trust", "--no-sync", "-E", "UTF8").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := command("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir, "-F")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
	})
	url := fmt.Sprintf("postgres://reader@127.0.0.1:%d/postgres?sslmode=disable", port)
	db, err := open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for db.PingContext(ctx) != nil {
		select {
		case <-ctx.Done():
			t.Fatal("PostgreSQL does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return url
}

func execSQL(t *testing.T, url, query string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// A feed asks a real database from its cursor on, and spells what it answers.
func TestPostgres(t *testing.T) {
	url := postgres(t)
	dsn, state := filepath.Join(t.TempDir(), "dsn"), t.TempDir()
	if err := os.WriteFile(dsn, []byte(url), 0o600); err != nil {
		t.Fatal(err)
	}
	execSQL(t, url, `create table site (ref text, area numeric(8,3), added date, seen timestamptz, at timestamp, ok boolean, n bigint, f double precision, note text, id uuid, j jsonb, changed int);
		insert into site values ('A/1', 1.250, '2026-11-28', '2026-11-28 09:00:00+00', '2026-11-28 10:11:12.5', true, 9007199254740993, 0.1, 'with "quotes", and
a line', '6f9619ff-8b86-d011-b42d-00c04fc964ff', '{"a": 1}', 1), ('A/2', null, null, null, null, null, null, null, null, null, null, 2)`)
	d := &desk{}
	clock := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	f := config.Feed{Name: "gis", Database: "postgres", ConnectionFile: dsn, Every: "1h", Cursor: "changed", CursorFrom: "0",
		Query: `select ref, area, added, seen, at, ok, n, f, note, id, j, changed from site where changed > $1::int order by changed`}
	o := Options{Feeds: []config.Feed{f}, Dir: state, Load: d.load, Now: func() time.Time { return clock }}
	s, err := Once(t.Context(), o, "gis")
	if err != nil || s.Problem != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	want := "gis.csv=ref,area,added,seen,at,ok,n,f,note,id,j,changed\n" +
		"A/1,1.250,2026-11-28,2026-11-28T09:00:00Z,2026-11-28T10:11:12.5,true,9007199254740993,0.1,\"with \"\"quotes\"\", and\na line\",6f9619ff-8b86-d011-b42d-00c04fc964ff,\"{\"\"a\"\": 1}\",1\n" +
		"A/2,,,,,,,,,,,2\n"
	if got := d.taken(); len(got) != 1 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if s.Cursor != "2" || !s.Next.Equal(clock.Add(time.Hour)) {
		t.Errorf("cursor %q, next %v", s.Cursor, s.Next)
	}
	if got := names(t, state); len(got) != 2 || got[0] != "gis.json" {
		t.Errorf("left in the feeds' folder: %q", got) // the state and the desk's report
	}

	// Nothing new is nothing to take in; then one row is.
	if s, err = Once(t.Context(), o, "gis"); err != nil || s.Problem != "" || s.Cursor != "2" || len(d.taken()) != 1 {
		t.Errorf("nothing new: %+v, %v, %q", s, err, d.taken())
	}
	execSQL(t, url, `insert into site (ref, changed) values ('A/3', 3)`)
	if s, err = Once(t.Context(), o, "gis"); err != nil || s.Cursor != "3" || len(d.taken()) != 2 {
		t.Errorf("one new: %+v, %v, %q", s, err, d.taken())
	}

	// A load that fails leaves the cursor, so that nothing is lost.
	execSQL(t, url, `insert into site (ref, changed) values ('A/4', 4)`)
	d.err = ErrLater
	if s, err = Once(t.Context(), o, "gis"); err != nil || s.Cursor != "3" || s.Problem == "" {
		t.Errorf("not taken: %+v, %v", s, err)
	}
	d.err = nil

	for _, c := range []struct{ query, cursor, want string }{
		{`select 1 as a, 2 as a`, "", "names no column 2, or two alike"},
		{`select ref from site where changed > $1::int`, "changed", `has no column "changed"`},
		{`select secret from site`, "", `column "secret" does not exist (42703)`},
		{`select 'CANARY'::int`, "", "PostgreSQL says 22P02; its log says more"},
		{`insert into site (ref) values ('x') returning ref`, "", "PostgreSQL says 25006"},
		{`select decode('00', 'hex') as b`, "", `row 1, column "b": values of type BYTEA are bytes`},
	} {
		o.Feeds[0].Query, o.Feeds[0].Cursor, o.Feeds[0].CursorFrom = c.query, c.cursor, "0"
		s, err := Once(t.Context(), o, "gis")
		if err != nil || !strings.Contains(s.Problem, c.want) || strings.Contains(s.Problem, "CANARY") {
			t.Errorf("%s: problem %q, want %q (%v)", c.query, s.Problem, c.want, err)
		}
	}
	o.Feeds[0].ConnectionFile = filepath.Join(t.TempDir(), "none")
	if s, _ := Once(t.Context(), o, "gis"); !strings.Contains(s.Problem, "read the connection string") {
		t.Errorf("without a connection string: %q", s.Problem)
	}
}
