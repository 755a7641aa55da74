package node_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
)

// TestNoCanaryInBackups: what an erased record said is in no backup that is made later. A backup from before brings it
// back; where the list of erasures is there it is shown to nobody from the start on, and is in no file
// once the log may grow. Nobody but the council itself ever knew of the erasure.
func TestNoCanaryInBackups(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := node.Init(t.Context(), node.InitOptions{Dir: t.TempDir() + "/data", Council: northmoor, GSS: "E07000998"})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.MinFreeMiB = 16
	cfg.Backup = config.Backup{Folder: t.TempDir(), Recipient: id.Recipient().String(), Every: 24, Keep: 9}
	open := func(cfg *config.Config) *running {
		n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		return runIn(t, wire.With(t.Context(), wire.NewMemory().Node(northmoor)), n)
	}
	a := open(cfg)
	values := canaries(4)
	said := func(i int, value string) map[string]any {
		r := planning(i, "X")
		r["description"] = value
		return r
	}
	for i, v := range values {
		offer(t, a, "planning-application", said(i, v)) // each alone, so that its bytes can be found
	}
	backUp := func(keys bool) []byte {
		t.Helper()
		var b bytes.Buffer
		if _, err := a.Backup(t.Context(), node.BackupRequest{Keys: keys}, &b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	has := func(b []byte, value string) bool {
		t.Helper()
		in, err := age.Decrypt(bytes.NewReader(b), id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(text, []byte(value))
	}
	keys, before := backUp(true), backUp(false)
	gone, left := values[:2], values[2:]
	for i := range gone {
		call(t, a.Records().Erase, node.EraseRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application", Reason: "request 2026/17"})
	}
	after := backUp(false)
	for _, v := range gone {
		if !has(before, v) || has(after, v) {
			t.Errorf("an erased value: in the backup from before %v, in the one made later %v", has(before, v), has(after, v))
		}
	}
	for _, v := range left {
		if !has(after, v) {
			t.Error("a value that is there still is not in the later backup, so the test proves nothing")
		}
	}
	a.stop()

	// The list stands in the folder of backups from the erasure on.
	list, err := os.ReadFile(filepath.Join(cfg.Backup.Folder, string(northmoor)+".stile-erasures"))
	if err != nil || strings.Count(string(list), "\n") != 1+len(gone) {
		t.Fatalf("the list beside the backups is %q, %v", list, err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := backup.Restore(t.Context(), bytes.NewReader(before), bytes.NewReader(keys), []backup.Identity{id}, dir, time.Now(), ""); err != nil {
		t.Fatal(err)
	}
	if got := inFolder(t, dir, gone); len(got) < len(gone) {
		t.Fatalf("only %v are found in the restored folder, so the test proves nothing", got)
	}
	back, err := config.Load(filepath.Join(dir, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	back.Limits, back.Backup = cfg.Limits, cfg.Backup
	n, err := node.Open(back, node.Options{Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		err := try(t.Context(), n.Records().Show, node.RecordRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application"}, nil)
		if (err == nil) != (i >= len(gone)) {
			t.Errorf("before it runs record %d is shown: %v", i, err)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	a = open(back)
	await(t, "what was erased is erased again", func() bool {
		for i := range gone {
			h := call(t, a.Records().History, node.RecordRequest{Record: fmt.Sprintf("26/%07d/PA", i), Standard: "planning-application"})
			if h.Versions[len(h.Versions)-1].Op != "erased" {
				return false
			}
		}
		return true
	})
	a.stop()
	if got := inFolder(t, dir, gone); len(got) > 0 {
		t.Errorf("in the folder that was restored: %v", got)
	}
}
