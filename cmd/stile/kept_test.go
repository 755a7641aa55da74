package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
)

// A kept pair is what a release left on disk: the data folders of two made-up councils that
// have exchanged records, and bundles that they made for an auditor. Each release adds its
// own to keptPairs, written by its own program ("make keep"), and none is ever written again.
// Their keys are no secrets.
//
// Nothing in a pair is over before the year 2999 but what the councils' nodes renew by
// themselves, such as the timestamps of their directories.
const (
	keptPairs = "testdata/releases"
	keptFile  = "kept.tar.gz" // in a folder by the version
)

// stop ends the node as a service manager would.
func (p *process) stop() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	<-p.ended
	p.cmd = nil
}

// TestKeep writes the pair of the program that STILE_KEEP names. It is no test.
func TestKeep(t *testing.T) {
	bin := os.Getenv("STILE_KEEP")
	if bin == "" {
		t.Skip("make keep writes the folders of a release")
	}
	n := &side{process: newProcessOf(t, bin, theCouncil, "E07000998"), slug: "plans"}
	s := &side{process: newProcessOf(t, bin, "saltby.gov.uk", "E07000999"), slug: "works"}
	n.other, s.other = s, n
	version := strings.Fields(n.must("version"))[1]
	know(t, n.process, s.process)
	n.serve()
	s.serve()
	for _, x := range []*side{n, s} {
		x.put(0, 12, "first")
		x.sign("", "replicate", "")
		x.held(12, "first", 12)
		x.put(0, 3, "second")
		x.held(12, "second", 3)
		x.must("record", "delete", "--yes", x.slug+"/0", "--standard", "planning-application")
		x.held(11, "second", 2)
		x.sign("-asked", "lookup", "match: [/reference]\n")
		x.other.must("lookup", x.agreement("-asked"), "/reference="+x.slug+"/7", "--because", "case 1")
	}
	n.sign("-counted", "aggregate", "")
	s.must("aggregate", n.agreement("-counted"), "--because", "table 1")
	// One that the standard refuses is held at the gate.
	held := plans(t, "held", 0, 1, func(i int, rec map[string]any) { rec["status"] = "no status" })
	if out, errs, code := n.run("import", held, "--standard", "planning-application"); code != 5 {
		t.Fatalf("import of what is refused: exit %d: %s%s", code, out, errs)
	}
	n.must("agreement", "checkpoint", n.agreement(""))
	eventually(t, "the copy was compared", func() bool {
		for _, p := range s.status().Partners {
			if string(p.Agreement) == n.agreement("") {
				return p.Counted != nil
			}
		}
		return false
	})
	n.must("export", "bundle", "--agreement", n.agreement(""), "--out", filepath.Join(filepath.Dir(n.dir), "sent.stile"))
	s.must("export", "bundle", "--held", "--agreement", n.agreement(""), "--out", filepath.Join(filepath.Dir(s.dir), "held.stile"))
	s.must("agreement", "suspend", "--yes", s.agreement(""), "--reason", "to be resumed by a later release")
	eventually(t, "the receiver knows of it", func() bool {
		return strings.Contains(n.must("agreement", "show", s.agreement("")), "suspended")
	})
	n.stop()
	s.stop()

	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, x := range []*side{n, s} {
		root := filepath.Dir(x.dir)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h := &tar.Header{Name: filepath.ToSlash(filepath.Join(x.slug, rel)), Mode: int64(info.Mode().Perm()), Size: int64(len(b)), ModTime: info.ModTime()}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
			_, err = w.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), os.MkdirAll(filepath.Join(keptPairs, version), 0o755)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(keptPairs, version, keptFile)
	if _, err := os.Stat(file); err == nil {
		t.Fatalf("%s is there: what a release left is not written again", file)
	}
	if err := os.WriteFile(file, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", file, packed.Len())
}

// unpackPair unpacks a pair and lets its nodes listen elsewhere than they did.
func unpackPair(t *testing.T, file, bin string) (n, s *side) {
	t.Helper()
	root, err := os.MkdirTemp("", "st-") // Unix sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		path := filepath.Join(root, h.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, fs.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	n = &side{process: &process{t: t, bin: bin, dir: filepath.Join(root, "plans", "n"), name: theCouncil, errs: &bytes.Buffer{}}, slug: "plans"}
	s = &side{process: &process{t: t, bin: bin, dir: filepath.Join(root, "works", "n"), name: "saltby.gov.uk", errs: &bytes.Buffer{}}, slug: "works"}
	n.other, s.other = s, n
	for _, x := range []*side{n, s} {
		listen, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		yaml := filepath.Join(x.dir, config.FileName)
		b, err := os.ReadFile(yaml)
		if err != nil {
			t.Fatal(err)
		}
		moved := regexp.MustCompile(`/ip4/127\.0\.0\.1/tcp/[0-9]+`).ReplaceAllLiteral(b, []byte(listen))
		if bytes.Equal(b, moved) {
			t.Fatalf("no address in %s", b)
		}
		if err := os.WriteFile(yaml, moved, 0o600); err != nil {
			t.Fatal(err)
		}
		member := filepath.Join(root, x.slug+".yaml")
		if err := os.WriteFile(member, []byte(x.must("council", "self", "--address", listen)), 0o600); err != nil {
			t.Fatal(err)
		}
		x.must("council", "add", "--yes", member)
		x.other.must("council", "add", "--yes", member)
		t.Cleanup(func() {
			x.kill()
			if t.Failed() {
				tail := x.errs.Bytes()
				t.Logf("log of %s:\n%s", x.name, tail[max(0, len(tail)-4000):])
			}
		})
	}
	return n, s
}

// TestKept: the folders that each release left are opened by this program, are whole, go on
// where they were, and what they showed an auditor is still valid. docs/versions.md promises it.
func TestKept(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(keptPairs, "*", keptFile))
	if err != nil || len(files) == 0 {
		t.Fatalf("no release left anything in %s: %v", keptPairs, err)
	}
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			n, s := unpackPair(t, file, bin)
			for _, x := range []*side{n, s} {
				x.ledgerIsWhole()
			}
			for from, bundle := range map[*side]string{n: "sent.stile", s: "held.stile"} {
				path := filepath.Join(filepath.Dir(from.dir), bundle)
				n.must("verify", path, "--trust", filepath.Join(n.dir, "directory"))
				n.must("audit", "run", path, "--trust", filepath.Join(n.dir, "directory"))
			}
			if out := n.must("record", "held"); !strings.Contains(out, "held/0") {
				t.Errorf("what was held at the gate: %s", out)
			}
			n.serve()
			s.serve()
			n.goOn(11, 2)
			s.must("agreement", "resume", "--yes", s.agreement(""))
			s.goOn(11, 2)
			for _, x := range []*side{n, s} {
				out := x.other.must("lookup", x.agreement("-asked"), "/reference="+x.slug+"/7", "--because", "case 2")
				if !strings.Contains(out, `"description": "first"`) {
					t.Errorf("the answer of %s is %s", x.name, out)
				}
				x.must("agreement", "checkpoint", x.agreement(""))
				x.must("audit", "run", "--agreement", x.agreement(""))
				bundle := filepath.Join(t.TempDir(), "audit.stile")
				x.must("export", "bundle", "--agreement", x.agreement(""), "--out", bundle)
				x.other.must("verify", bundle, "--trust", filepath.Join(x.other.dir, "directory"))
			}
			s.must("aggregate", n.agreement("-counted"), "--because", "table 2")
		})
	}
}

// ledgerIsWhole has doctor read the folder.
func (s *side) ledgerIsWhole() {
	s.t.Helper()
	out, errs, _ := s.run("doctor")
	if !regexp.MustCompile(`(?m)^good +ledger +[0-9]+ entries$`).MatchString(out) {
		s.t.Fatalf("doctor on the folder of %s: %s%s", s.name, out, errs)
	}
}

// goOn changes a record, deletes one and adds one, where the other side holds so many, so
// many of them in their second version.
func (s *side) goOn(held, second int) {
	s.t.Helper()
	eventually(s.t, s.name+" may sign", func() bool {
		_, _, code := s.run("record", "delete", "--yes", s.slug+"/2", "--standard", "planning-application")
		return code == 0
	})
	s.put(5, 6, "second")
	s.put(12, 13, "second")
	s.held(held, "second", second+1)
}

// TestKeptYearsLater: a folder that nobody opened for years is opened by a node whose clock
// says so, and two such exchange: nothing that a release leaves runs out by itself.
func TestKeptYearsLater(t *testing.T) {
	t.Parallel()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	n, s := unpackPair(t, filepath.Join(keptPairs, "v0.1.0", keptFile), bin)
	begun := time.Now()
	later := func() time.Time { return begun.AddDate(5, 0, 0).Add(time.Since(begun)) }
	for _, x := range []*side{n, s} {
		cfg, err := config.Load(filepath.Join(x.dir, config.FileName))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := node.Open(cfg, node.Options{Now: later, Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- opened.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := errors.Join(<-ended, opened.Close()); err != nil {
				t.Error(err)
			}
		})
		select {
		case <-opened.Ready():
		case <-t.Context().Done():
			t.Fatal("the node was not ready")
		}
	}
	// Commands ask the running nodes, whose clock counts.
	n.goOn(11, 2)
	s.must("agreement", "resume", "--yes", s.agreement(""))
	s.goOn(11, 2)
}
