// Command page writes stile-audit as one static web page: the program as
// WebAssembly, and the form that feeds it files, in one file that needs no network.
//
//	go run ./cmd/stile-audit/page FILE
package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stile-exchange/stile/internal/release"
)

//go:embed page.html
var page string

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "page: want the name of the file to write")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "page: %v\n", err)
		os.Exit(1)
	}
}

func write(file string) error {
	dir, err := os.MkdirTemp("", "stile-audit-page")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	wasm := filepath.Join(dir, "stile-audit.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", wasm, "github.com/stile-exchange/stile/cmd/stile-audit")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build for WebAssembly: %w\n%s", err, out)
	}
	program, err := os.ReadFile(wasm)
	if err != nil {
		return err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find the Go distribution: %w", err)
	}
	// Go's own loader comes with each release and fits that release alone.
	loader, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return fmt.Errorf("read Go's loader: %w", err)
	}
	version := release.Version
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output(); err == nil {
		version += ", commit " + strings.TrimSpace(string(out))
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(program); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	out := strings.NewReplacer(
		"WASM_EXEC", string(loader), "PROGRAM", base64.StdEncoding.EncodeToString(packed.Bytes()), "VERSION", version,
	).Replace(page)
	return os.WriteFile(file, []byte(out), 0o644)
}
