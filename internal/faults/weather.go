package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
)

// powerCut writes to a node on a disk image of its own and has the file system forget, in the middle, whatever is not on the
// image: the system's call for that drops what is in memory and what the journal has not written. Then it is
// mounted anew, as after a power cut.
func powerCut(ctx context.Context, w *world, c *count) error {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		c.skipped = "only root may mount an image, on Linux"
		return nil
	}
	mnt, image := filepath.Join(w.dir, "image"), filepath.Join(w.dir, "image.ext4")
	if err := os.MkdirAll(mnt, 0o700); err != nil {
		return err
	}
	command := func(name string, args ...string) error {
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
		}
		return nil
	}
	for i := range max(1, w.trials/10) {
		os.Remove(image)
		f, err := os.Create(image)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(256<<20), f.Close()); err != nil {
			return err
		}
		if err := errors.Join(command("mkfs.ext4", "-q", "-F", image), command("mount", "-o", "loop", image, mnt)); err != nil {
			if i == 0 {
				c.skipped = "an image cannot be mounted: " + err.Error()
				return nil
			}
			return err
		}
		err = cutOnce(ctx, w, mnt, c, func() error {
			return errors.Join(command("umount", mnt), command("mount", "-o", "loop", image, mnt))
		})
		if err = errors.Join(err, command("umount", mnt)); err != nil {
			return err
		}
		if c.skipped != "" {
			return nil
		}
	}
	return os.Remove(image)
}

func cutOnce(ctx context.Context, w *world, mnt string, c *count, anew func() error) error {
	f, err := w.folder(mnt)
	if err != nil {
		return err
	}
	if err := exec.CommandContext(ctx, "sync", "-f", mnt).Run(); err != nil {
		return err
	}
	p, err := f.serve(ctx, nil)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for f.put(ctx, p.client, 7) == nil {
			}
		})
	}
	time.Sleep(time.Duration(50+w.rng.IntN(400)) * time.Millisecond)
	// FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, of linux/ext4.h.
	const shutdown, forget = 0x8004587d, 2
	d, err := os.Open(mnt)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(int(d.Fd()), shutdown, forget)
	d.Close()
	p.kill()
	wg.Wait()
	if err != nil {
		c.skipped = "the file system cannot be cut off: " + err.Error()
		return nil
	}
	if err := anew(); err != nil {
		return err
	}
	c.trials++
	c.acknowledged += len(f.wrote)
	if !f.check(ctx, c) {
		c.note("trial %d", c.trials)
	}
	return nil
}

// clockJumps takes records in with a clock that jumps by up to 400 days, forwards and back, between
// batches and restarts. The machine's own clock cannot be set for a trial, so the node runs in this process; what it
// wrote is read by the program, whose clock is right.
func clockJumps(ctx context.Context, w *world, c *count) error {
	for range max(1, w.trials/20) {
		f, err := w.folder("")
		if err != nil {
			return err
		}
		cfg, err := config.Load(filepath.Join(f.dir, config.FileName))
		if err != nil {
			return err
		}
		var ahead time.Duration
		for range 4 {
			n, err := node.Open(cfg, node.Options{Now: func() time.Time { return time.Now().Add(ahead) }})
			if err != nil {
				c.note("opened %v off: %v", ahead, err)
				c.wrong++
				break
			}
			for range 5 {
				ahead = time.Duration(w.rng.Int64N(int64(800*24*time.Hour))) - 400*24*time.Hour
				if w.rng.IntN(3) == 0 {
					ahead /= 1e5 // minutes
				}
				f.put(ctx, n, 5) // a refusal is no acknowledgement
			}
			if err := n.Close(); err != nil {
				return err
			}
		}
		c.trials++
		c.acknowledged += len(f.wrote)
		if !f.check(ctx, c) {
			c.note("trial %d", c.trials)
		}
		f.remove()
	}
	return nil
}
