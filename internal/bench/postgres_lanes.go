package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// jsonTable is a table of records as jsonb with the whole standard as its check.
func jsonTable(r *rule) []string {
	return []string{
		"CREATE TABLE application (doc jsonb NOT NULL CHECK (" + r.onJSON("doc") + "))",
		"CREATE UNIQUE INDEX ON application ((doc ->> 'reference'))",
	}
}

// columnTable is a table with a column for each field; only names those of a
// partner.
func columnTable(r *rule, only ...string) string {
	rest := `, PRIMARY KEY (reference, district)`
	if r.If != nil { // the one condition of the standard that is about two fields
		rest += `, CHECK (status <> 'decided' OR (decision IS NOT NULL AND "decisionDate" IS NOT NULL))`
	}
	return "CREATE TABLE application (" + r.columns(only...) + rest + ")"
}

// alone runs f at a server with an empty database.
func (w *world) alone(ctx context.Context, f func(c *cluster, conn *pgx.Conn, database string) error) error {
	if err := w.postgres.found(ctx, "alone", ""); err != nil {
		return err
	}
	c, err := w.postgres.start(ctx, "alone")
	if err != nil {
		return err
	}
	defer c.stop()
	name, conns, err := w.postgres.database(ctx, c)
	if err != nil {
		return err
	}
	if err := execAll(ctx, conns[0], jsonTable(w.rule)...); err != nil {
		return err
	}
	return errors.Join(f(c, conns[0], name), w.postgres.drop(ctx, name, []*cluster{c}, conns))
}

// postgresIngest is lane A: COPY into the table, by one connection and by two.
func (w *world) postgresIngest(ctx context.Context) (figures, error) {
	out := figures{}
	for _, writers := range []int{1, 2} {
		err := w.alone(ctx, func(c *cluster, conn *pgx.Conn, database string) error {
			if err := w.sameVerdicts(ctx, conn); err != nil {
				return err
			}
			if err := execAll(ctx, conn, "CHECKPOINT"); err != nil {
				return err
			}
			peak, cpu, at := peakMemory(c.pid()), cpuOf(c.pid()), time.Now()
			errs := make([]error, writers)
			var wg sync.WaitGroup
			for i := range writers {
				wg.Go(func() {
					mine, err := c.dial(ctx, database)
					if err == nil {
						part := len(w.records) / writers
						err = errors.Join(copyJSON(ctx, mine, w.records[i*part:(i+1)*part]), mine.Close(ctx))
					}
					errs[i] = err
				})
			}
			wg.Wait()
			took := time.Since(at).Seconds()
			n := float64(len(w.records))
			id := "A"
			if writers > 1 {
				id = "A2"
			}
			out[id] = n / took
			out[id+".cpu"] = (cpuOf(c.pid()) - cpu) * 1e6 / n
			out["memory"] = max(out["memory"], peak())
			size, err := scan[int64](ctx, conn, "SELECT pg_total_relation_size('application')")
			out["disk"] = float64(size) / n
			return errors.Join(append(errs, err)...)
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sameVerdicts sees that the table takes the standard's valid examples and
// refuses the invalid ones, so that it checks what Stile checks.
func (w *world) sameVerdicts(ctx context.Context, conn *pgx.Conn) error {
	for _, valid := range []bool{true, false} {
		dir := map[bool]string{true: "examples/valid", false: "examples/invalid"}[valid]
		files, err := fs.Glob(w.schemaFS, dir+"/*.json")
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no examples in %s: %v", dir, err)
		}
		for _, f := range files {
			b, err := fs.ReadFile(w.schemaFS, f)
			if err != nil {
				return err
			}
			_, err = conn.Exec(ctx, "INSERT INTO application VALUES ($1)", b)
			if valid != (err == nil) {
				return fmt.Errorf("PostgreSQL's check judges %s otherwise than the standard: %v", f, err)
			}
			// Examples may share a key, which is not what is asked here.
			if err := execAll(ctx, conn, "TRUNCATE application"); err != nil {
				return err
			}
		}
	}
	return nil
}

// postgresOne is one record at a time, by one connection and by sixteen.
func (w *world) postgresOne(ctx context.Context) (figures, error) {
	out := figures{}
	err := w.alone(ctx, func(c *cluster, _ *pgx.Conn, database string) error {
		next := 0
		for _, clients := range []int{1, 16} {
			var put []func(rec []byte) error
			for range clients {
				conn, err := c.dial(ctx, database)
				if err != nil {
					return err
				}
				defer conn.Close(ctx)
				put = append(put, func(rec []byte) error {
					_, err := conn.Exec(ctx, "INSERT INTO application VALUES ($1)", rec)
					return err
				})
			}
			cpu := cpuOf(c.pid())
			if err := oneByOne(out, fmt.Sprintf("one%d", clients), put, w.records[next:next+w.ones]); err != nil {
				return err
			}
			out[fmt.Sprintf("one%d.cpu", clients)] = (cpuOf(c.pid()) - cpu) * 1e6 / float64(w.ones)
			next += w.ones
		}
		return nil
	})
	return out, err
}

// Publications: what the partner gets.
const (
	thirtyPercent = `district = 'X'`
	onePercent    = `organisation = 'local-authority:NBX'`
)

// share runs f at two servers of which the second may follow the first, each
// with an empty table.
func (w *world) share(ctx context.Context, f func(servers []*cluster, north, saltby *pgx.Conn, database string) error) error {
	var servers []*cluster
	for _, name := range []string{"north", "saltby"} {
		// By default a first copy waits out the 5 s between two starts of a worker.
		if err := w.postgres.found(ctx, name, "wal_level = logical\nwal_retrieve_retry_interval = 100ms"); err != nil {
			return err
		}
		c, err := w.postgres.start(ctx, name)
		if err != nil {
			return err
		}
		defer c.stop()
		servers = append(servers, c)
	}
	name, conns, err := w.postgres.database(ctx, servers...)
	if err != nil {
		return err
	}
	err = errors.Join(
		execAll(ctx, conns[0], columnTable(w.rule)),
		execAll(ctx, conns[1], columnTable(w.rule, w.fields...)),
	)
	if err != nil {
		return err
	}
	err = f(servers, conns[0], conns[1], name)
	if err != nil { // the servers end without their subscriptions being dropped, which takes a while
		return err
	}
	return w.postgres.drop(ctx, name, servers, conns)
}

func (w *world) publish(ctx context.Context, north *pgx.Conn, rows string) error {
	cols := `"` + strings.Join(w.fields, `", "`) + `"`
	with := ""
	if rows == onePercent {
		with = " WITH (publish = 'insert')" // the field is not of the key
	}
	return execAll(ctx, north, fmt.Sprintf("CREATE PUBLICATION lane FOR TABLE application (%s) WHERE (%s)%s", cols, rows, with))
}

// subscribe has saltby follow, synced to its disk. Stile's partner syncs too.
func subscribe(ctx context.Context, north *cluster, saltby *pgx.Conn, database string) error {
	return execAll(ctx, saltby, fmt.Sprintf("CREATE SUBSCRIPTION lane CONNECTION '%s' PUBLICATION lane WITH (synchronous_commit = on, slot_name = %s)", north.at(database), database))
}

func unsubscribe(ctx context.Context, north, saltby *pgx.Conn) error {
	return errors.Join(execAll(ctx, saltby, "DROP SUBSCRIPTION lane"), execAll(ctx, north, "DROP PUBLICATION lane"))
}

// until polls until a query gives what is wanted.
func until[T comparable](ctx context.Context, every time.Duration, conn *pgx.Conn, want T, query string, args ...any) error {
	for {
		got, err := scan[T](ctx, conn, query, args...)
		if err == nil && got == want {
			return nil
		}
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if every > 0 {
			time.Sleep(every)
		}
	}
}

const inStep = "SELECT coalesce(bool_and(srsubstate = 'r'), false) FROM pg_subscription_rel"

// postgresShare is lane B: live while the records go in, then copied whole, 30%
// of them and one percent.
func (w *world) postgresShare(ctx context.Context) (figures, error) {
	out := figures{}
	rows, err := asRows(w.rule, w.records)
	if err != nil {
		return nil, err
	}
	err = w.share(ctx, func(servers []*cluster, north, saltby *pgx.Conn, database string) error {
		if err := w.publish(ctx, north, thirtyPercent); err != nil {
			return err
		}
		if err := subscribe(ctx, servers[0], saltby, database); err != nil {
			return err
		}
		if err := until(ctx, 10*time.Millisecond, saltby, true, inStep); err != nil {
			return err
		}
		pids := []int{servers[0].pid(), servers[1].pid()}
		cpu, at := cpuOf(pids...), time.Now()
		if err := copyRows(ctx, north, w.rule.names(), rows); err != nil {
			return err
		}
		end, err := scan[string](ctx, north, "SELECT pg_current_wal_lsn()::text")
		if err != nil {
			return err
		}
		if err := until(ctx, 5*time.Millisecond, north, true, "SELECT coalesce(bool_and(flush_lsn >= $1::text::pg_lsn), false) FROM pg_stat_replication", end); err != nil {
			return err
		}
		if err := until(ctx, 5*time.Millisecond, saltby, int64(w.thirty), "SELECT count(*) FROM application"); err != nil {
			return err
		}
		out["live"] = float64(w.thirty) / time.Since(at).Seconds()
		out["live.cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(w.thirty)
		if err := unsubscribe(ctx, north, saltby); err != nil {
			return err
		}
		for _, x := range []struct {
			id, rows string
			want     int
		}{{"first30", thirtyPercent, w.thirty}, {"first1", onePercent, w.one}} {
			if err := execAll(ctx, saltby, "TRUNCATE application"); err != nil {
				return err
			}
			cpu, at := cpuOf(pids...), time.Now()
			if err := w.publish(ctx, north, x.rows); err != nil {
				return err
			}
			if err := subscribe(ctx, servers[0], saltby, database); err != nil {
				return err
			}
			if err := until(ctx, 5*time.Millisecond, saltby, int64(x.want), "SELECT count(*) FROM application"); err != nil {
				return err
			}
			out[x.id] = time.Since(at).Seconds()
			out[x.id+".cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(x.want)
			if err := until(ctx, 10*time.Millisecond, saltby, true, inStep); err != nil {
				return err
			}
			if err := unsubscribe(ctx, north, saltby); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// postgresVisible is lane C: one row in, until the partner shows it.
func (w *world) postgresVisible(ctx context.Context) (figures, error) {
	out := figures{}
	var mine [][]byte
	for _, r := range w.records {
		if strings.Contains(string(r), `"district":"X"`) && len(mine) < w.ones {
			mine = append(mine, r)
		}
	}
	rows, err := asRows(w.rule, mine)
	if err != nil {
		return nil, err
	}
	names := w.rule.names()
	var slots []string
	for i := range names {
		slots = append(slots, fmt.Sprintf("$%d", i+1))
	}
	insert := `INSERT INTO application ("` + strings.Join(names, `", "`) + `") VALUES (` + strings.Join(slots, ", ") + ")"
	err = w.share(ctx, func(servers []*cluster, north, saltby *pgx.Conn, database string) error {
		if err := w.publish(ctx, north, thirtyPercent); err != nil {
			return err
		}
		if err := subscribe(ctx, servers[0], saltby, database); err != nil {
			return err
		}
		if err := until(ctx, 10*time.Millisecond, saltby, true, inStep); err != nil {
			return err
		}
		reference := -1
		for i, n := range names {
			if n == "reference" {
				reference = i
			}
		}
		pids := []int{servers[0].pid(), servers[1].pid()}
		var took waits
		cpu := cpuOf(pids...)
		for _, row := range rows {
			at := time.Now()
			if _, err := north.Exec(ctx, insert, row...); err != nil {
				return err
			}
			if err := until(ctx, 0, saltby, row[reference].(string), "SELECT reference FROM application WHERE reference = $1", row[reference]); err != nil {
				return err
			}
			took = append(took, time.Since(at))
		}
		out["visible.cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(len(rows))
		took.report(out, "visible")
		return unsubscribe(ctx, north, saltby)
	})
	return out, err
}

// postgresThree is lane D: a primary whose commits wait until one of two
// standbys has them on its disk as well.
func (w *world) postgresThree(ctx context.Context) (figures, error) {
	p, out := w.postgres, figures{}
	if err := p.found(ctx, "first", "synchronous_standby_names = 'ANY 1 (second, third)'\nwal_keep_size = '4GB'"); err != nil {
		return nil, err
	}
	first, err := p.start(ctx, "first")
	if err != nil {
		return nil, err
	}
	servers := []*cluster{first}
	defer func() {
		for i := len(servers) - 1; i >= 0; i-- {
			servers[i].stop()
		}
	}()
	for _, name := range []string{"second", "third"} {
		if matches, _ := filepath.Glob(filepath.Join(p.dir, name)); len(matches) == 0 {
			b, err := p.command(ctx, "pg_basebackup", "-D", filepath.Join(p.dir, name), "-R", "-c", "fast", "-d", first.at("postgres")+" application_name="+name).CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, b)
			}
		}
		c, err := p.start(ctx, name)
		if err != nil {
			return nil, err
		}
		servers = append(servers, c)
	}
	name, conns, err := p.database(ctx, first)
	if err != nil {
		return nil, err
	}
	if err := execAll(ctx, conns[0], jsonTable(w.rule)...); err != nil {
		return nil, err
	}
	if err := until(ctx, 10*time.Millisecond, conns[0], 2, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"); err != nil {
		return nil, err
	}
	pids := []int{first.pid(), servers[1].pid(), servers[2].pid()}
	records := w.records[:w.three]
	cpu, at := cpuOf(pids...), time.Now()
	if err := copyJSON(ctx, conns[0], records); err != nil {
		return nil, err
	}
	out["three"] = float64(len(records)) / time.Since(at).Seconds()
	out["three.cpu"] = (cpuOf(pids...) - cpu) * 1e6 / float64(len(records))
	return out, p.drop(ctx, name, servers[:1], conns)
}
