package tufdir

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Conformance is the client command of the TUF conformance suite
// (theupdateframework/tuf-conformance, CLIENT-CLI.md), over the same walk that
// a [Client] takes, without what is particular to a directory of ours:
//
//	--metadata-dir DIR init TRUSTED_ROOT
//	--metadata-dir DIR --metadata-url URL refresh
//	--metadata-dir DIR --metadata-url URL --target-name PATH… --target-base-url URL --target-dir DIR download
//
// The suite moves the client's clock by faketime(1), which a Go program does not
// feel. So there is one option more:
//
//	--clock TIME      what time it is: RFC 3339, or +SECONDS or -SECONDS from now
//	--clock faketime  what faketime(1) says in the variable FAKETIME; without it, now
//
// It returns 0 when all was done and 1 otherwise, and says what was refused on
// talk.
func Conformance(ctx context.Context, args []string, talk io.Writer, now func() time.Time, getenv func(string) string) int {
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	f.SetOutput(talk)
	var names []string
	dir := f.String("metadata-dir", "", "where verified metadata is kept")
	from := f.String("metadata-url", "", "where metadata is fetched")
	f.Func("target-name", "path of a target; may be repeated", func(s string) error { names = append(names, s); return nil })
	targets := f.String("target-base-url", "", "where targets are fetched")
	into := f.String("target-dir", "", "where targets are kept")
	clock := f.String("clock", "", "what time it is")
	if err := f.Parse(args); err != nil {
		return 1
	}
	at, err := clockAt(*clock, now(), getenv)
	switch {
	case err != nil:
	case *dir == "":
		err = errors.New("want --metadata-dir")
	case f.Arg(0) == "init" && f.NArg() == 2:
		err = conformInit(*dir, f.Arg(1))
	case f.Arg(0) == "refresh" && f.NArg() == 1:
		err = conformDownload(ctx, *dir, *from, at, nil, *from, "")
	case f.Arg(0) == "download" && f.NArg() == 1:
		err = conformDownload(ctx, *dir, *from, at, names, *targets, *into)
	default:
		err = errors.New("want init TRUSTED_ROOT, refresh or download")
	}
	if err != nil {
		fmt.Fprintln(talk, "conformance:", err)
		return 1
	}
	return 0
}

// clockAt returns the time that the option --clock means.
func clockAt(option string, now time.Time, getenv func(string) string) (time.Time, error) {
	if option == "faketime" {
		option = getenv("FAKETIME")
	}
	if option == "" {
		return now, nil
	}
	if option[0] == '+' || option[0] == '-' {
		seconds, err := strconv.ParseInt(option, 10, 64)
		if err != nil || seconds > maxShift || seconds < -maxShift {
			return now, errors.New("--clock: want whole seconds, at most a hundred years of them")
		}
		return now.Add(time.Duration(seconds) * time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, option)
	if err != nil {
		return now, errors.New("--clock: want an RFC 3339 time, +SECONDS, -SECONDS or faketime")
	}
	return t, nil
}

// maxShift is a hundred years in seconds, which a time.Duration holds.
const maxShift = 100 * 366 * 24 * 3600

// A folder is the flat shelf the suite looks into: one file for each role.
type folder struct{ root *os.Root }

func (d folder) load(role string, _ int64) []byte {
	b, err := cache(d).readFile(url.PathEscape(role)+".json", maxTargets)
	if err != nil {
		return nil
	}
	return b
}

func (d folder) save(role string, _ int64, b []byte) error {
	return cache(d).write(url.PathEscape(role)+".json", b, false)
}

func openFolder(dir string) (folder, error) {
	root, err := os.OpenRoot(dir)
	return folder{root}, err
}

func conformLimit(role string) int64 {
	switch role {
	case metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT:
		return roleLimit(role)
	}
	return maxTargets
}

func conformInit(dir, trusted string) error {
	b, err := os.ReadFile(trusted)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := begin(b, time.Time{}, nil, nil, conformLimit); err != nil {
		return err
	}
	d, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer d.root.Close()
	return d.save(metadata.ROOT, 0, b)
}

func conformDownload(ctx context.Context, dir, from string, now time.Time, names []string, base, into string) error {
	d, err := openFolder(dir)
	if err != nil {
		return err
	}
	defer d.root.Close()
	inMetadata, err := FromHTTP(nil, from)
	if err != nil {
		return err
	}
	fetch, err := FromHTTP(nil, base)
	if err != nil {
		return err
	}
	w, err := begin(d.load(metadata.ROOT, 0), now.UTC(), d, inMetadata, conformLimit)
	if err != nil {
		return err
	}
	if err := w.top(ctx); err != nil {
		return err
	}
	for _, name := range names {
		t, err := w.find(ctx, name)
		if err != nil {
			return err
		}
		// Escaped, a target's path is one name in the folder.
		file := filepath.Join(into, "t-"+url.PathEscape(name))
		if b, err := os.ReadFile(file); err == nil && t.VerifyLengthHashes(b) == nil {
			continue
		}
		if t.Length < 0 || t.Length > maxArchive {
			return refuse(name, ErrTooLong, "")
		}
		b, err := fetch(ctx, conformTarget(w, name, t), t.Length)
		if err != nil {
			return fetchRefusal(name, err)
		}
		if err := t.VerifyLengthHashes(b); err != nil {
			return refuse(name, ErrMismatch, err.Error())
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// conformTarget returns where a target's bytes are, under the base address:
// with consistent snapshots its digest stands before its name.
func conformTarget(w *walk, name string, t *metadata.TargetFiles) string {
	dir, base := path.Split(name)
	if w.tm.Root.Signed.ConsistentSnapshot {
		for _, h := range []struct {
			name string
			size int
		}{{"sha256", sha256.Size}, {"sha512", sha512.Size}} {
			if sum := t.Hashes[h.name]; len(sum) == h.size {
				base = hex.EncodeToString(sum) + "." + base
				break
			}
		}
	}
	u := url.URL{Path: dir + base}
	return u.EscapedPath()
}
