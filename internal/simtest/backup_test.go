package simtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/node"
)

// pass lets an hour go by on every clock, and a little time in truth: a look at what is due.
func (w *World) pass(d time.Duration) {
	w.jump.Add(int64(d))
	time.Sleep(70 * time.Second)
}

func (c *Council) status() node.StatusReply {
	return call(c, func(ctx context.Context, _ node.Empty) (node.StatusReply, error) { return c.node.Status(ctx) }, node.Empty{})
}

func (c *Council) backups() node.BackupsReply {
	return call(c, func(ctx context.Context, _ node.Empty) (node.BackupsReply, error) { return c.node.Backups().List(ctx) }, node.Empty{})
}

func (c *Council) has(condition string) bool {
	return slices.ContainsFunc(c.status().Conditions, func(x node.Condition) bool { return x.Name == condition })
}

// TestBackupsByThemselves: a node makes backups of an encrypted ledger when they are due,
// deletes the old ones but never the one that was verified last, says what fails until it
// does not, and comes back from the newest, encrypted as it was.
func TestBackupsByThemselves(t *testing.T) {
	if err := Warm(); err != nil {
		t.Fatal(err)
	}
	file, recipient, err := backup.NewIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := backup.Identities(file)
	if err != nil {
		t.Fatal(err)
	}
	kept, key := t.TempDir(), filepath.Join(t.TempDir(), "ledger.key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{7}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	edit := func(cfg *config.Config) {
		cfg.EncryptionKeyFile = key
		cfg.Backup = config.Backup{Folder: kept, Recipient: recipient, Every: 2, Keep: 2, Keys: true}
	}
	synctest.Test(t, func(t *testing.T) {
		w := found(t, 1, 2, edit)
		a, b := w.councils[0], w.councils[1]
		// What is restored is written as the configuration in the backup says.
		f, err := os.OpenFile(filepath.Join(a.dir, config.FileName), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = fmt.Fprintf(f, "encryption_key_file: %s\n", key)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		w.agree(a, b, "cases-0", 6)
		w.write(a, 3)
		time.Sleep(time.Minute)
		files := func(of string) []string {
			t.Helper()
			list, err := backup.Files(kept, a.Name, of)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		if got := files(backup.OfFolder); len(got) != 1 {
			t.Fatalf("the first backup is not made at once: %v", got)
		}
		if !a.has("backup-unverified") {
			t.Error("that nobody verified it is not said")
		}

		// The first is verified, so that it stays.
		first := files(backup.OfFolder)[0]
		checked, err := verifyBackup(t, filepath.Join(kept, first), ids)
		if err != nil {
			t.Fatal(err)
		}
		call(a, a.node.Backups().Verified, node.BackupReply{Of: checked.Of, Digest: checked.Digest, Size: checked.Size, Root: checked.Root.String(), Bytes: checked.Bytes, Made: checked.Header.Made})
		for range 3 {
			w.pass(time.Hour)
			was := len(files(backup.OfFolder))
			w.write(a, 2)
			w.pass(time.Hour)
			if got := len(files(backup.OfFolder)); got != min(was+1, 3) {
				t.Errorf("%d backups after %d", got, was)
			}
		}
		if got := files(backup.OfFolder); len(got) != 3 || got[0] != first {
			t.Errorf("kept are %v, want the two newest and %s", got, first)
		}
		if got := files(backup.OfKeys); len(got) != 2 {
			t.Errorf("keys are kept in %v", got)
		}
		st := a.status().Backup
		newest := files(backup.OfFolder)[2]
		if st == nil || filepath.Base(st.File) != newest || st.Failed != "" || st.Every != 2 || st.Verified.IsZero() {
			t.Errorf("status says %+v, and the newest is %s", st, newest)
		}
		pruned := 0
		for _, k := range a.backups().Kept {
			if k.Pruned {
				pruned++
			}
			if k.Missing {
				t.Errorf("it is taken for lost: %+v", k)
			}
		}
		if pruned != 1+2 {
			t.Errorf("%d are said to be deleted", pruned)
		}

		// The disk for backups goes away, and comes back.
		away := kept + ".away"
		if err := os.Rename(kept, away); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Hour)
		if !a.has("backup-failed") || a.has("backup-overdue") {
			t.Error("that it fails is not said")
		}
		w.pass(2 * time.Hour)
		if !a.has("backup-overdue") {
			t.Error("that the newest is too old is not said")
		}
		if err := os.Rename(away, kept); err != nil {
			t.Fatal(err)
		}
		w.pass(11 * time.Minute)
		if a.has("backup-failed") || a.has("backup-overdue") {
			t.Errorf("it is still said: %+v", a.status().Conditions)
		}

		// The machine is lost, and with it what was written after the last backup.
		w.pass(2 * time.Hour)
		had := map[string]int{}
		for ref, f := range a.facts {
			had[ref] = len(f.versions)
		}
		w.write(a, 4)
		w.await("the partner has it", func() bool { return w.restless() == "" })
		list, secrets := files(backup.OfFolder), files(backup.OfKeys)
		a.restore(filepath.Join(kept, list[len(list)-1]), filepath.Join(kept, secrets[len(secrets)-1]), ids)
		if _, err := try(a, a.node.Records().Delete, node.RecordRequest{Record: "case-1", Standard: string(caseName) + "@1"}); err == nil {
			t.Error("an old copy signs")
		}
		w.await("it is known to be an old copy", func() bool { return a.has("own-log-old-copy") })
		call(b, b.node.Councils().EndQuarantine, node.EndQuarantineRequest{Council: string(a.Name), Follow: "told", Because: "restored"})
		w.await("its holder agreed", func() bool {
			h := a.status().Halt
			return h != nil && len(h.Holders) == 0 && len(h.Agreed) == 1
		})
		call(a, a.node.Log().Continue, node.ContinueRequest{Because: "the machine is lost"})
		// What the partner gave back comes again from where it came from.
		lost := map[int]bool{}
		for _, l := range call(a, a.node.Log().Lost, node.LostRequest{}) {
			lost[int(l.Entry)] = true
		}
		gone := 0
		for ref, f := range a.facts {
			body := f.now()
			gone += len(f.versions) - had[ref]
			if len(f.versions) == had[ref] {
				continue
			}
			f.versions = append(f.versions[:had[ref]:had[ref]], body)
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			r := call(a, a.node.Records().Put, node.PutRequest{Standard: string(caseName) + "@1", Records: []node.Offered{{Row: 1, Record: raw}}}).Results[0]
			if len(r.Problems) > 0 || r.Version != uint64(len(f.versions)) {
				t.Errorf("%s comes again as %+v, want version %d", ref, r, len(f.versions))
			}
		}
		if gone == 0 || len(lost) == 0 || len(lost) > gone {
			t.Errorf("%d were given back, and %d lost", len(lost), gone)
		}
		w.write(a, 3)
		w.await("the partner holds what should be there", func() bool { return w.restless() == "" })
		for _, in := range []node.BundleRequest{{Agreement: string(a.Name) + "/cases-0"}, {Standard: string(caseName) + "@1", Full: true}} {
			got := call(a, a.node.Bundle, in)
			r, err := audit.Verify(bytes.NewReader(got.Bundle), int64(len(got.Bundle)), audit.Options{Parallel: 1})
			if err != nil {
				t.Fatal(err)
			}
			if c, _ := r.Check(audit.CheckHistory); !r.OK() || !strings.Contains(c.Detail, "By its word saltby.gov.uk held it, and agreed") {
				var text strings.Builder
				r.WriteText(&text)
				t.Errorf("an auditor is told:\n%s", &text)
			}
		}
		w.await("it makes backups again", func() bool {
			return a.status().Backup.Failed == ""
		})
	})
}

func verifyBackup(t *testing.T, path string, ids []age.Identity) (backup.Checked, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return backup.Verify(t.Context(), f, ids, t.TempDir())
}

// restore has a council lose its folder, and come up in one that is restored from a backup.
func (c *Council) restore(path, secrets string, ids []age.Identity) {
	w := c.w
	w.t.Helper()
	w.tell("%s is restored from a backup", c.Name)
	c.halt()
	if err := os.RemoveAll(c.dir); err != nil {
		w.t.Fatal(err)
	}
	c.lives++
	c.dir = filepath.Join(w.dir, "restored-"+filepath.Base(c.dir))
	in, err := os.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	keyFile, err := os.Open(secrets)
	if err != nil {
		w.t.Fatal(err)
	}
	defer keyFile.Close()
	if _, err := backup.Restore(w.t.Context(), in, keyFile, ids, c.dir, time.Now(), ""); err != nil {
		w.t.Fatal(err)
	}
	c.start()
}
