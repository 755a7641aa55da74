package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stile-exchange/stile/node"
)

// TestPlainWords: what a system says of files and addresses is put in words for a person, by the
// system's own errors and by the text of one that a node sent.
func TestPlainWords(t *testing.T) {
	dir := t.TempDir()
	gone, file := filepath.Join(dir, "gone.yaml"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, missing := os.ReadFile(gone)
	_, within := os.ReadFile(filepath.Join(file, "x"))
	_, folder := os.ReadFile(dir)
	_, taken := net.Listen("tcp4", l.Addr().String())
	_, foreign := net.Listen("tcp4", "192.0.2.1:0")
	for _, c := range []struct {
		err       error
		said, try string
	}{
		{fmt.Errorf("read file: %w", missing), fmt.Sprintf("there is no file or folder %q", gone), "look at the path again"},
		{fmt.Errorf("--trust: %w", missing), fmt.Sprintf("--trust: there is no file or folder %q", gone), "look at the path again"},
		{&node.Error{Kind: node.NotFound, Message: "read keys: " + missing.Error(), Try: "ask"}, fmt.Sprintf("read keys: there is no file or folder %q", gone), "ask"},
		{&fs.PathError{Op: "open", Path: "a b", Err: fs.ErrPermission}, `this user may not open "a b"`, "run it as the user who owns the data folder"},
		{within, fmt.Sprintf("%q is not in a folder: a part of the path is a file", filepath.Join(file, "x")), "stile doctor"},
		{folder, fmt.Sprintf("%q is a folder, and a file is wanted", dir), "stile doctor"},
		{fmt.Errorf("open web: %w", taken), "open web: another program listens on " + l.Addr().String() + " already", "stop what has the address, or name another in stile.yaml; stile doctor tries them all"},
		{foreign, "192.0.2.1:0 is no address of this machine", "name an address of this machine in stile.yaml, or 0.0.0.0 for all of them"},
		{fmt.Errorf("the record open to all"), "the record open to all", "stile doctor"},
	} {
		if c.err == nil {
			t.Fatalf("no error where %q was wanted", c.said)
		}
		f := explain(nil, c.err)
		if f.Message != c.said || f.Try != c.try {
			t.Errorf("%v\nis told as %q, try %q\nwant %q, try %q", c.err, f.Message, f.Try, c.said, c.try)
		}
	}
}
