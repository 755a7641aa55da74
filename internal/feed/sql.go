package feed

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL
	mssql "github.com/microsoft/go-mssqldb"

	"github.com/stile-exchange/stile/config"
)

// askWithin bounds one query, and the reading of its rows.
const askWithin = 30 * time.Minute

// open connects to a database by its kind.
func open(kind, connection string) (*sql.DB, error) {
	driver := map[string]string{"postgres": "pgx", "sqlserver": "sqlserver"}[kind]
	db, err := sql.Open(driver, connection)
	if err != nil {
		// What the driver says may hold the password.
		return nil, errors.New("the connection string is not one that the database's driver reads")
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// database asks when it is time to and takes in what came.
func (r *runner) database(ctx context.Context, now bool) time.Duration {
	if wait := r.state.Next.Sub(r.o.Now()); !now && wait > 0 {
		return min(wait, time.Minute) // a clock that was set is noticed
	}
	r.begin("query")
	sum, cursor, err := r.ask(ctx)
	if ctx.Err() != nil {
		err = errors.Join(err, ErrLater)
	}
	if err != nil {
		r.state.Next = r.o.Now().Add(r.later()).UTC()
	} else {
		r.state.Cursor, r.state.Next = cursor, r.o.Now().Add(r.f.Period()).UTC()
	}
	r.end(sum, err)
	return min(max(r.state.Next.Sub(r.o.Now()), 0), time.Minute)
}

// ask asks the database, writes what it answers into a file and has that taken in.
// It returns the cursor of the next run.
func (r *runner) ask(ctx context.Context) (sum Summary, cursor string, err error) {
	path := filepath.Join(r.o.Dir, r.f.Name+".csv")
	defer func() {
		// It holds records.
		if rerr := os.Remove(path); rerr != nil && !os.IsNotExist(rerr) {
			err = errors.Join(err, fmt.Errorf("remove what the database answered: %w", rerr))
		}
	}()
	rows, cursor, err := r.fetch(ctx, path)
	if err != nil {
		return sum, "", err
	}
	if rows == 0 && !r.f.Complete {
		return sum, cursor, nil
	}
	report := filepath.Join(r.o.Dir, r.f.Name+".report.json")
	os.Remove(report)
	sum, err = r.o.Load(ctx, Load{Feed: r.f, File: path, Report: report})
	return sum, cursor, err
}

// fetch asks the database and writes its rows as CSV: UTF-8, commas, a heading for
// each column, RFC 4180. It returns how many there are.
func (r *runner) fetch(ctx context.Context, path string) (n int, cursor string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	connection, err := secret(r.f.ConnectionFile)
	if err != nil {
		return 0, "", err
	}
	db, err := r.o.Open(r.f.Database, connection)
	if err != nil {
		return 0, "", err
	}
	defer db.Close()
	cursor = r.state.Cursor
	if cursor == "" {
		cursor = r.f.CursorFrom
	}
	var args []any
	if r.f.Cursor != "" {
		args = append(args, cursor)
	}
	// Nothing is written, whatever the query is; SQL Server has no such
	// transactions, so that there the user's rights have to see to it.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: r.f.Database == "postgres"})
	if err != nil {
		return 0, "", said("connect to the database", err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, r.f.Query, args...)
	if err != nil {
		return 0, "", said("ask the database", err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return 0, "", said("read the columns", err)
	}
	at, headings, err := columns(r.f, types)
	if err != nil {
		return 0, "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, "", fmt.Errorf("keep what the database answers: %w", err)
	}
	w := csv.NewWriter(f)
	err = w.Write(headings)
	values, into := make([]any, len(types)), make([]any, len(types))
	for i := range values {
		into[i] = &values[i]
	}
	cells := make([]string, len(types))
	for err == nil && rows.Next() {
		if err = rows.Scan(into...); err != nil {
			err = said("read a row", err)
			break
		}
		for i, v := range values {
			if cells[i], err = cell(v, types[i]); err != nil {
				err = fmt.Errorf("row %d, column %q: %w", n+1, headings[i], err)
				break
			}
		}
		if err == nil {
			err = w.Write(cells)
			n++
		}
		if at >= 0 {
			if cells[at] == "" {
				err = errors.Join(err, fmt.Errorf("row %d: the cursor's column %q is empty: leave such rows out of the query", n, headings[at]))
			}
			cursor = cells[at]
		}
	}
	if err == nil && rows.Err() != nil {
		err = said("read the rows", rows.Err())
	}
	w.Flush()
	return n, cursor, errors.Join(err, w.Error(), f.Close())
}

// columns returns the place of the cursor's column, -1 when there is none, and the
// headings.
func columns(f *config.Feed, types []*sql.ColumnType) (at int, headings []string, err error) {
	at = -1
	for i, t := range types {
		if slices.Contains(headings, t.Name()) || t.Name() == "" {
			return 0, nil, fmt.Errorf("the query names no column %d, or two alike: name each by AS", i+1)
		}
		headings = append(headings, t.Name())
		if t.Name() == f.Cursor {
			at = i
		}
	}
	if f.Cursor != "" && at < 0 {
		return 0, nil, fmt.Errorf("the query has no column %q, which cursor names", f.Cursor)
	}
	return at, headings, nil
}

// cell spells a value: times as RFC 3339, days as 2026-11-28, numbers as the
// database writes them, NULL as nothing.
func cell(v any, t *sql.ColumnType) (string, error) {
	kind := strings.ToUpper(t.DatabaseTypeName())
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32), nil
	case time.Time:
		switch kind {
		case "DATE":
			return v.Format(time.DateOnly), nil
		case "TIME":
			return v.Format("15:04:05.999999999"), nil
		case "TIMESTAMP", "DATETIME", "DATETIME2", "SMALLDATETIME": // of no zone
			return v.Format("2006-01-02T15:04:05.999999999"), nil
		}
		return v.Format(time.RFC3339Nano), nil
	case []byte:
		switch kind {
		case "UNIQUEIDENTIFIER":
			var id mssql.UniqueIdentifier
			if err := id.Scan(v); err != nil {
				return "", errors.New("no identifier")
			}
			return strings.ToLower(id.String()), nil
		case "DECIMAL", "NUMERIC", "MONEY", "SMALLMONEY", "JSON", "JSONB", "XML", "TEXT", "VARCHAR", "NVARCHAR":
			return string(v), nil
		}
		return "", fmt.Errorf("values of type %s are bytes and no text: leave them out, or have the query write them as text", kind)
	}
	return "", fmt.Errorf("values of type %s cannot be read: have the query write them as text", kind)
}

// said is what a database's error may say here: never its text, which can hold a
// value, unless it is about the query itself.
func said(what string, err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if strings.HasPrefix(pg.Code, "42") { // syntax, names and rights
			return fmt.Errorf("%s: PostgreSQL says %s (%s)", what, pg.Message, pg.Code)
		}
		return fmt.Errorf("%s: PostgreSQL says %s; its log says more", what, pg.Code)
	}
	if ms, ok := errors.AsType[mssql.Error](err); ok {
		switch ms.Number {
		case 102, 156, 207, 208, 229: // syntax, names and rights
			return fmt.Errorf("%s: SQL Server says %s (%d)", what, ms.Message, ms.Number)
		}
		return fmt.Errorf("%s: SQL Server says %d in line %d", what, ms.Number, ms.LineNo)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: it took more than %s", what, askWithin)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	}
	return fmt.Errorf("%s: it cannot be reached, or refuses the user", what)
}

// secret reads the first line of a file that only its owner may read.
func secret(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the connection string: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the connection string: others than its owner may read %s: chmod 600", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the connection string: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return "", fmt.Errorf("read the connection string: %s is empty", path)
	}
	return line, nil
}
