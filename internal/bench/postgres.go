package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgres is the PostgreSQL that is installed here. Its servers run as another
// user where this program is root, each in a folder of its own under dir, with
// the settings that initdb gives, fsync among them, and speak over sockets there.
type postgres struct {
	bin, dir string
	as       *syscall.SysProcAttr
	version  string
	fresh    int // numbers the databases
}

func findPostgres(dir string) (*postgres, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if p, err := exec.LookPath("initdb"); err == nil {
		found = append(found, p)
	}
	if len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed; .ci/need installs it")
	}
	initdb, err := filepath.EvalSymlinks(found[len(found)-1]) // its fellows lie beside it
	if err != nil {
		return nil, err
	}
	p := &postgres{bin: filepath.Dir(initdb), dir: dir, as: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	out, err := p.command(context.Background(), "postgres", "--version").Output()
	p.version = strings.TrimSpace(strings.TrimPrefix(string(out), "postgres (PostgreSQL)"))
	return p, err
}

func (p *postgres) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	c.SysProcAttr, c.Dir = p.as, p.dir
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
	return c
}

// A cluster is one server and its folder.
type cluster struct {
	p    *postgres
	name string
	cmd  *exec.Cmd
}

func (c *cluster) pid() int { return c.cmd.Process.Pid }

// found makes a folder for a server, unless there is one.
func (p *postgres) found(ctx context.Context, name, settings string) error {
	data := filepath.Join(p.dir, name)
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	out, err := p.command(ctx, "initdb", "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "listen_addresses = ''\nunix_socket_directories = '%s'\n%s\n", p.dir, settings)
	return errors.Join(err, f.Close())
}

// port tells the sockets of servers apart.
func port(name string) int {
	n := 20000
	for _, b := range []byte(name) {
		n = (n*31 + int(b)) % 40000
	}
	return n + 20000
}

func (p *postgres) start(ctx context.Context, name string) (*cluster, error) {
	c := &cluster{p: p, name: name}
	c.cmd = p.command(context.WithoutCancel(ctx), "postgres", "-D", filepath.Join(p.dir, name), "-p", strconv.Itoa(port(name)))
	log, err := os.OpenFile(filepath.Join(filepath.Dir(p.dir), name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd.Stderr = log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		conn, err := c.dial(ctx, "postgres")
		if err == nil {
			return c, conn.Close(ctx)
		}
		if try > 600 || ctx.Err() != nil {
			c.stop()
			return nil, fmt.Errorf("PostgreSQL %s does not answer: %w; see %s", name, err, log.Name())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *cluster) stop() {
	c.cmd.Process.Signal(syscall.SIGINT)
	c.cmd.Wait()
}

// at returns how to connect to a database.
func (c *cluster) at(database string) string {
	return fmt.Sprintf("host=%s port=%d user=bench dbname=%s", c.p.dir, port(c.name), database)
}

func (c *cluster) dial(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, c.at(database)+" sslmode=disable")
}

// database makes a new database in servers, named alike, and connects to it.
func (p *postgres) database(ctx context.Context, servers ...*cluster) (string, []*pgx.Conn, error) {
	p.fresh++
	name := fmt.Sprintf("lane%d", p.fresh)
	var out []*pgx.Conn
	for _, c := range servers {
		admin, err := c.dial(ctx, "postgres")
		if err != nil {
			return "", nil, err
		}
		_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
		if err = errors.Join(err, admin.Close(ctx)); err != nil {
			return "", nil, err
		}
		conn, err := c.dial(ctx, name)
		if err != nil {
			return "", nil, err
		}
		out = append(out, conn)
	}
	return name, out, nil
}

// drop ends what database made.
func (p *postgres) drop(ctx context.Context, name string, servers []*cluster, conns []*pgx.Conn) error {
	var all error
	for i, c := range servers {
		all = errors.Join(all, conns[i].Close(ctx))
		admin, err := c.dial(ctx, "postgres")
		if err == nil {
			_, err = admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
			err = errors.Join(err, admin.Close(ctx))
		}
		all = errors.Join(all, err)
	}
	return all
}

func execAll(ctx context.Context, conn *pgx.Conn, queries ...string) error {
	for _, q := range queries {
		// Not prepared: some of these may not be.
		if _, err := conn.Exec(ctx, q, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%w\n%s", err, q)
		}
	}
	return nil
}

func scan[T any](ctx context.Context, conn *pgx.Conn, query string, args ...any) (v T, err error) {
	err = conn.QueryRow(ctx, query, args...).Scan(&v)
	return v, err
}

// copyJSON stores records as jsonb, a thousand in a transaction.
func copyJSON(ctx context.Context, conn *pgx.Conn, records [][]byte) error {
	for from := 0; from < len(records); from += batch {
		part := records[from:min(from+batch, len(records))]
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"application"}, []string{"doc"},
			pgx.CopyFromSlice(len(part), func(i int) ([]any, error) { return []any{part[i]}, nil }))
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRows stores records as columns, a thousand in a transaction.
func copyRows(ctx context.Context, conn *pgx.Conn, names []string, rows [][]any) error {
	for from := 0; from < len(rows); from += batch {
		part := rows[from:min(from+batch, len(rows))]
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"application"}, names, pgx.CopyFromRows(part)); err != nil {
			return err
		}
	}
	return nil
}

// asRows takes records apart into columns.
func asRows(r *rule, records [][]byte) ([][]any, error) {
	var rows [][]any
	names := r.names()
	for _, rec := range records {
		var m map[string]any
		d := json.NewDecoder(strings.NewReader(string(rec)))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			return nil, err
		}
		row := make([]any, len(names))
		for i, n := range names {
			v := m[n]
			switch x := v.(type) {
			case json.Number:
				f, err := x.Float64()
				if err != nil {
					return nil, err
				}
				if v = f; n == "uprn" {
					v = int64(f)
				}
			case string:
				if r.Properties[n].Format == "date" {
					day, err := time.Parse(time.DateOnly, x)
					if err != nil {
						return nil, err
					}
					v = day
				}
			}
			row[i] = v
		}
		rows = append(rows, row)
	}
	return rows, nil
}
