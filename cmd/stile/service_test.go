package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestService: a service manager is told that the node is ready, again and again that it
// works, that it reads its configuration, and that it stops; a SIGHUP makes the log say
// more without a restart, and a broken file changes nothing.
func TestService(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sd_notify is Linux's")
	}
	p := newProcess(t, "northmoor.gov.uk", "E07000998")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(filepath.Dir(p.dir), "m")})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var mu sync.Mutex
	told := map[string]int{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := manager.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			for line := range strings.Lines(string(b[:n])) {
				told[strings.TrimSpace(line)]++
			}
			mu.Unlock()
		}
	}()
	times := func(what string) int {
		mu.Lock()
		defer mu.Unlock()
		return told[what]
	}
	var log syncBuffer
	c := exec.Command(p.bin, "serve", "--data", p.dir)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.LocalAddr().String(), "WATCHDOG_USEC=90000")
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	eventually(t, "the manager was told that the node is ready", func() bool { return times("READY=1") == 1 })
	eventually(t, "the watchdog was told twice", func() bool { return times("WATCHDOG=1") >= 2 })

	config := filepath.Join(p.dir, "stile.yaml")
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range [][]byte{append(bytes.Clone(good), "log: {level: debug}\n"...), append(bytes.Clone(good), "log: {level: loud}\n"...)} {
		if err := os.WriteFile(config, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it was read", func() bool { return times("RELOADING=1") == i+1 && times("READY=1") == i+2 })
	}
	eventually(t, "the log says more, and what was wrong", func() bool {
		s := log.String()
		return strings.Contains(s, `msg="the log's level was read again" was=INFO is=DEBUG`) && strings.Contains(s, `msg="the log goes on as it was"`)
	})
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, log.String())
	}
	eventually(t, "the manager was told that it stops", func() bool { return times("STOPPING=1") == 1 })
}

// A syncBuffer is a buffer that one process writes while a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
