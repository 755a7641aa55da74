package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stile-exchange/stile/internal/ledger/examine"
	"github.com/stile-exchange/stile/node"
)

var kinds = []kind{
	{"kill -9 at a random moment", killed(1, 1)},
	{"kill -9 at a point: the n-th sync, write, cut or renaming of a file", killedAt("fsync", "msync", "pwrite64", "ftruncate", "renameat", "unlinkat")},
	{"kill -9, 50 clients at once", killed(50, 10)},
	{"kill -9, 64 open files", killed(4, 10, "sh", "-c", `ulimit -n 64; exec "$@"`, "sh")},
	{"one flipped bit after kill -9: log of writes (.mem)", flip(true, "*.mem")},
	{"one flipped bit after kill -9: MANIFEST", flip(true, "MANIFEST")},
	{"one flipped bit after an orderly end: table (.sst)", flip(false, "*.sst")},
	{"one flipped bit after an orderly end: MANIFEST", flip(false, "MANIFEST")},
	{"one flipped bit: SIGNED", flip(true, "SIGNED")},
	{"one flipped bit: KEYREGISTRY", flip(true, "KEYREGISTRY")},
	{"one flipped bit: private keys", flipKeys},
	{"one flipped bit: erasures", flipErasures},
	{"one flipped bit: digests of keys", flipIn("keys", "digests")},
	{"one flipped bit: stile.yaml", flipIn("", "stile.yaml")},
	{"one flipped bit: directory", flipIn("directory", "*/*.json", "*/metadata/*.json", "*/targets/members/*.yaml")},
	{"one flipped bit: other small files of the folder", flipIn("", "*.json", "instance", "quotas", "head")},
	{"files missing, halved, or blank in part", larger},
	{"EIO: fsync", eio("fsync")},
	{"EIO: msync", eio("msync")},
	{"EIO: pwrite64", eio("pwrite64")},
	{"EIO: write", eio("write")},
	{"EIO: ftruncate", eio("ftruncate")},
	{"disk full while writing, and at the start (tmpfs)", full},
	{"power cut (an image whose file system forgets what is not on it)", powerCut},
	{"clock jumps of up to 400 days, in this process", clockJumps},
	{"two nodes with one key: the folder was copied", twoNodes},
	{"fork after restore: the folder was set back", forkAfterRestore},
}

// killed kills a node while clients write to it.
func killed(clients, part int, wrap ...string) func(context.Context, *world, *count) error {
	return func(ctx context.Context, w *world, c *count) error {
		for range max(1, w.trials/part) {
			f, err := w.folder("")
			if err != nil {
				return err
			}
			if err := f.writeAndKill(ctx, clients, time.Duration(20+w.rng.IntN(250))*time.Millisecond, wrap...); err != nil {
				return err
			}
			c.trials++
			c.acknowledged += len(f.wrote)
			f.check(ctx, c)
			f.remove()
		}
		return nil
	}
}

// killedAt kills a node in one of its calls to the system, the n-th of its kind, by strace:
// at each of the points between which something is durable and something not yet.
func killedAt(calls ...string) func(context.Context, *world, *count) error {
	return func(ctx context.Context, w *world, c *count) error {
		if _, err := exec.LookPath("strace"); err != nil {
			c.skipped = "strace is not here"
			return nil
		}
		for i := range max(len(calls), w.trials/5) {
			f, err := w.folder("")
			if err != nil {
				return err
			}
			call := calls[i%len(calls)]
			when := 1 + w.rng.IntN(40)
			if call == "renameat" || call == "unlinkat" {
				when = 1 + w.rng.IntN(6) // there are few
			}
			p, err := f.serve(ctx, nil, "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", call, when))
			c.trials++
			if r, ok := errors.AsType[*refusal](err); ok && strings.Contains(r.said, "strace:") {
				c.skipped = "strace may not trace here"
				f.remove()
				return nil
			} else if err == nil { // else it was killed while it started
				over := time.Now().Add(20 * time.Second)
				for n := 0; n < 60 && time.Now().Before(over) && f.put(ctx, p.client, 1+w.rng.IntN(20)) == nil; n++ {
				}
				f.signal(p, syscall.SIGKILL) // it made fewer of these calls
				p.kill()
			} else if !ok {
				return err
			}
			c.acknowledged += len(f.wrote)
			if !f.check(ctx, c) {
				c.note("in %s, the %d.", call, when)
			}
			f.remove()
		}
		return nil
	}
}

// writeAndKill writes for a time with so many clients, and kills the node in the middle.
func (f *folder) writeAndKill(ctx context.Context, clients int, after time.Duration, wrap ...string) error {
	p, err := f.serve(ctx, nil, wrap...)
	if err != nil {
		return err
	}
	sizes := make([]int, 64)
	for i := range sizes {
		sizes[i] = 1 + f.w.rng.IntN(20)
	}
	var wg sync.WaitGroup
	for i := range clients {
		cl := p.client
		if i > 0 {
			if cl, err = node.Dial(ctx, filepath.Join(f.dir, "admin.sock")); err != nil {
				p.kill()
				return err
			}
		}
		wg.Go(func() {
			for n := i; f.put(ctx, cl, sizes[n%len(sizes)]) == nil; n++ {
			}
		})
	}
	time.Sleep(after)
	p.kill()
	wg.Wait()
	return nil
}

// used returns the files that a pattern matches in the folder's ledger, and their lengths without the
// zeros at their ends.
func (f *folder) used(dir, pattern string) (paths []string, lengths []int, err error) {
	all, err := filepath.Glob(filepath.Join(f.dir, dir, pattern))
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, nil, err
		}
		if n := examine.Used(b); n > 20 {
			rel, _ := filepath.Rel(f.dir, p)
			paths, lengths = append(paths, rel), append(lengths, n)
		}
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("no %s in %s", pattern, dir)
	}
	return paths, lengths, nil
}

// written makes a folder with records whose process was killed, or ended as it should.
func (w *world) written(ctx context.Context, killed bool) (*folder, error) {
	f, err := w.folder("")
	if err != nil {
		return nil, err
	}
	p, err := f.serve(ctx, nil)
	if err != nil {
		return nil, err
	}
	for range 20 {
		if err := f.put(ctx, p.client, 12); err != nil {
			return nil, err
		}
	}
	if killed {
		p.kill()
		return f, nil
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if !p.within(time.Minute) {
		return nil, errors.New("the node did not end on SIGTERM")
	}
	return f, nil
}

func flipBit(path string, bit int) error {
	fd, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, 1)
	_, err = fd.ReadAt(b, int64(bit/8))
	b[0] ^= 1 << (bit % 8)
	_, err2 := fd.WriteAt(b, int64(bit/8))
	return errors.Join(err, err2, fd.Close())
}

// flipsOfFolder is after how many flips of a kind another folder is written, so that where
// the bits of what was written lie is another, too.
const flipsOfFolder = 50

// flip flips one bit in a file of the ledger, a bit in a copy for each trial.
func flip(killed bool, pattern string) func(context.Context, *world, *count) error {
	return func(ctx context.Context, w *world, c *count) error {
		for left := w.flips; left > 0; left -= flipsOfFolder {
			base, err := w.written(ctx, killed)
			if err != nil {
				return err
			}
			if err := flipSome(ctx, w, c, base, "ledger", []string{pattern}, min(left, flipsOfFolder)); err != nil {
				return err
			}
		}
		return nil
	}
}

// flipIn flips one bit in a file of another folder, of a node that ended as it should.
func flipIn(dir string, patterns ...string) func(context.Context, *world, *count) error {
	return func(ctx context.Context, w *world, c *count) error {
		base, err := w.written(ctx, false)
		if err != nil {
			return err
		}
		return flipSome(ctx, w, c, base, dir, patterns, w.flips)
	}
}

// flipErasures erases half of the records and flips one bit in the list of what was erased: what was stays erased.
func flipErasures(ctx context.Context, w *world, c *count) error {
	base, err := w.written(ctx, false)
	if err != nil {
		return err
	}
	p, err := base.serve(ctx, nil)
	if err != nil {
		return err
	}
	erased := 0
	for ref := range base.wrote {
		if erased == 20 {
			break
		}
		erased++
		if _, err := p.client.Records().Erase(ctx, node.EraseRequest{Record: ref, Standard: "planning-application", Reason: "a trial"}); err != nil {
			p.kill()
			return err
		}
		delete(base.wrote, ref)
	}
	if err := end(p); err != nil {
		return err
	}
	return flipSome(ctx, w, c, base, "", []string{"erasures"}, w.flips)
}

// flipSome flips a bit in each of n copies of a folder, which goes then.
func flipSome(ctx context.Context, w *world, c *count, base *folder, dir string, patterns []string, n int) error {
	defer base.remove()
	var paths []string
	var lengths []int
	for _, pattern := range patterns {
		p, l, err := base.used(dir, pattern)
		if err != nil {
			if len(patterns) > 1 {
				continue // not every folder has one
			}
			return err
		}
		paths, lengths = append(paths, p...), append(lengths, l...)
	}
	if len(paths) == 0 {
		return fmt.Errorf("none of %v in %q", patterns, dir)
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := base.copy()
		if err != nil {
			return err
		}
		i := w.rng.IntN(len(paths))
		bit := w.rng.IntN(8 * lengths[i])
		if err := flipBit(filepath.Join(f.dir, paths[i]), bit); err != nil {
			return err
		}
		c.trials++
		c.acknowledged += len(f.wrote)
		if !f.check(ctx, c) {
			c.note("bit %d of %s", bit, paths[i])
		}
		f.remove()
	}
	return nil
}

// flipKeys flips a bit of a private key. The node must not start with another key: it would sign
// what nobody believes, or give a record a second id.
func flipKeys(ctx context.Context, w *world, c *count) error {
	base, err := w.written(ctx, false)
	if err != nil {
		return err
	}
	defer base.remove()
	keyList := func(f *folder) (string, error) {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(ctx, w.bin, "key", "list", "--json", "--data", f.dir)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return "", &refusal{errs.String(), cmd.ProcessState.String()}
		}
		return out.String(), nil
	}
	want, err := keyList(base)
	if err != nil {
		return err
	}
	paths, lengths, err := base.used("keys", "*.pem")
	if err != nil {
		return err
	}
	for n := range max(5, w.flips) {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := base.copy()
		if err != nil {
			return err
		}
		i := n % len(paths)
		bit := w.rng.IntN(8 * lengths[i])
		if err := flipBit(filepath.Join(f.dir, paths[i]), bit); err != nil {
			return err
		}
		c.trials++
		c.acknowledged += len(f.wrote)
		p, err := f.serve(ctx, nil)
		if r, ok := errors.AsType[*refusal](err); ok {
			if !r.inWords() {
				c.wrong++
				c.note("bit %d of %s: ended without words: %v", bit, paths[i], r)
			} else {
				c.refused++
			}
			f.remove()
			continue
		} else if err != nil {
			return err
		}
		// Offered again as it is, a record must be found again.
		var ref string
		for ref = range f.wrote {
			break
		}
		_, err = p.client.Records().Put(ctx, node.PutRequest{Standard: "planning-application", Records: []node.Offered{{Record: body(ref, f.wrote[ref])}}})
		p.kill()
		got, lerr := keyList(f)
		if err != nil || lerr != nil || got != want {
			c.wrong++
			c.note("bit %d of %s: %v, %v, and the keys are\n%s", bit, paths[i], err, lerr, got)
		} else if !f.check(ctx, c) {
			c.note("bit %d of %s", bit, paths[i])
		}
		f.remove()
	}
	return nil
}

// larger damages files by more than a bit. Either the ledger does not open and is not touched, or it opens without
// what is damaged, which the file DAMAGED then names.
func larger(ctx context.Context, w *world, c *count) error {
	half := func(path string) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, st.Size()/2)
	}
	blank := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := examine.Used(b)
		at := w.rng.IntN(n)
		return patch(path, at, make([]byte, min(200, n-at)))
	}
	for _, killed := range []bool{true, false} {
		base, err := w.written(ctx, killed)
		if err != nil {
			return err
		}
		for range max(1, w.trials/20) {
			for _, pattern := range []string{"MANIFEST", "*.sst", "*.mem"} {
				paths, _, err := base.used("ledger", pattern)
				if err != nil {
					continue // there is none in such a folder
				}
				for _, harm := range []func(string) error{os.Remove, half, blank} {
					f, err := base.copy()
					if err != nil {
						return err
					}
					path := filepath.Join(f.dir, paths[w.rng.IntN(len(paths))])
					if err := harm(path); err != nil {
						return err
					}
					c.trials++
					c.acknowledged += len(f.wrote)
					before, refused := listing(f), c.refused
					f.check(ctx, c)
					_, err = os.Stat(filepath.Join(f.dir, "ledger", "DAMAGED"))
					if c.refused > refused && err != nil && !slices.Equal(before, listing(f)) {
						c.wrong++
						c.note("%s: refused, and the files were changed:\n%v\n%v", path, before, listing(f))
					}
					f.remove()
				}
			}
		}
		base.remove()
	}
	return nil
}

func patch(path string, at int, b []byte) error {
	fd, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fd.WriteAt(b, int64(at))
	return errors.Join(err, fd.Close())
}

// listing is the names and lengths of the ledger's files.
func listing(f *folder) (out []string) {
	es, _ := os.ReadDir(filepath.Join(f.dir, "ledger"))
	for _, e := range es {
		if i, err := e.Info(); err == nil && e.Name() != "SIGNED" && e.Name() != "LOCK" {
			out = append(out, fmt.Sprint(e.Name(), " ", i.Size()))
		}
	}
	return out
}

// eio has every call of a kind fail from the n-th on, by strace. The node must end by itself or
// refuse while its socket answers, and end on SIGTERM.
func eio(call string) func(context.Context, *world, *count) error {
	return func(ctx context.Context, w *world, c *count) error {
		if _, err := exec.LookPath("strace"); err != nil {
			c.skipped = "strace is not here"
			return nil
		}
		for range max(2, w.trials/50) {
			f, err := w.folder("")
			if err != nil {
				return err
			}
			when := 1 + w.rng.IntN(60)
			p, err := f.serve(ctx, nil, "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d+", call, when))
			c.trials++
			if r, ok := errors.AsType[*refusal](err); ok {
				if strings.Contains(r.said, "strace:") {
					c.skipped = "strace may not trace here"
					f.remove()
					return nil
				}
				if !r.inWords() {
					c.wrong++
					c.note("from call %d on: %v", when, r)
				}
				f.check(ctx, c)
				f.remove()
				continue
			} else if err != nil {
				return err
			}
			over := time.Now().Add(20 * time.Second)
			for n := 0; n < 300 && time.Now().Before(over); n++ {
				pctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				err := f.put(pctx, p.client, 3)
				cancel()
				if err != nil {
					break
				}
			}
			if !p.within(10*time.Second) && f.alive() != nil {
				c.wrong++
				c.note("from call %d on: it goes on, and its socket does not answer", when)
			}
			f.signal(p, syscall.SIGTERM)
			if !p.within(30 * time.Second) {
				c.wrong++
				c.note("from call %d on: it does not end on SIGTERM", when)
				f.signal(p, syscall.SIGKILL)
				<-p.ended
			}
			c.acknowledged += len(f.wrote)
			if !f.check(ctx, c) {
				c.note("from call %d on", when)
			}
			f.remove()
		}
		return nil
	}
}

// alive asks the node something.
func (f *folder) alive() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cl, err := node.Dial(ctx, filepath.Join(f.dir, "admin.sock"))
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = cl.Status(ctx)
	return err
}

// signal sends a signal to the node that strace runs: its child.
func (f *folder) signal(p *process, sig syscall.Signal) {
	pid := p.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var child int
	if _, serr := fmt.Sscan(string(b), &child); err == nil && serr == nil {
		syscall.Kill(child, sig)
		return
	}
	p.cmd.Process.Signal(sig)
}

// full writes until the disk has no room, starts the node on a full disk, and then on one that has
// room again.
func full(ctx context.Context, w *world, c *count) error {
	if os.Getuid() != 0 {
		c.skipped = "only root may mount a tmpfs"
		return nil
	}
	for range max(1, w.trials/50) {
		mnt := filepath.Join(w.dir, "tmpfs")
		if err := os.MkdirAll(mnt, 0o700); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", 24+w.rng.IntN(24)), "tmpfs", mnt).CombinedOutput(); err != nil {
			c.skipped = "tmpfs cannot be mounted: " + strings.TrimSpace(string(out))
			return nil
		}
		err := fullOnce(ctx, w, mnt, c)
		if out, uerr := exec.Command("umount", mnt).CombinedOutput(); uerr != nil {
			err = errors.Join(err, fmt.Errorf("umount: %w: %s", uerr, out))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func fullOnce(ctx context.Context, w *world, mnt string, c *count) error {
	f, err := w.folder(mnt)
	if err != nil {
		return err
	}
	p, err := f.serve(ctx, nil)
	if err != nil {
		return err
	}
	c.trials++
	for n := 0; n < 2000; n++ {
		if f.put(ctx, p.client, 200) != nil {
			break
		}
	}
	if err := f.alive(); err != nil {
		c.wrong++
		c.note("on a full disk it does not answer: %v\n%s", err, p.errs.String())
	}
	p.kill()
	filler := filepath.Join(mnt, "filler")
	fd, err := os.Create(filler)
	if err != nil {
		return err
	}
	for chunk := make([]byte, 64<<10); ; {
		if _, err := fd.Write(chunk); err != nil {
			break
		}
	}
	fd.Close()
	p, err = f.serve(ctx, nil)
	if r, ok := errors.AsType[*refusal](err); ok && !r.inWords() {
		c.wrong++
		c.note("started on a full disk: %v", r)
	} else if err == nil {
		p.kill()
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	// Reading needs room for the log of the killed process.
	g, err := f.copy()
	if err != nil {
		return err
	}
	defer g.remove()
	c.acknowledged += len(f.wrote)
	g.check(ctx, c)
	return nil
}
