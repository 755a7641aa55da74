package tufdir

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The suite itself is not ours to keep here. This is the contract of its
// client: exit codes, the names of the files, what is fetched and what is not.
func TestConformanceCommand(t *testing.T) {
	w := newTown(t)
	w.admit("northmoor.gov.uk")
	w.publish()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/")
		asked = append(asked, path)
		b, err := w.repo.Fetch(context.Background(), path, 1<<20)
		if err != nil {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(b)
	}))
	defer srv.Close()
	dir := t.TempDir()
	md, into, root := filepath.Join(dir, "metadata"), filepath.Join(dir, "targets"), filepath.Join(dir, "root.json")
	w.must(os.Mkdir(into, 0o755))
	w.must(os.WriteFile(root, w.repo.fresh["metadata/1.root.json"], 0o644))
	faketime := ""
	run := func(want int, args ...string) {
		t.Helper()
		var talk bytes.Buffer
		args = append([]string{"--metadata-dir", md, "--metadata-url", srv.URL + "/metadata", "--target-base-url", srv.URL + "/targets", "--target-dir", into}, args...)
		if got := Conformance(context.Background(), args, &talk, func() time.Time { return w.now }, func(string) string { return faketime }); got != want {
			t.Errorf("%q: exit code %d, want %d\n%s", args, got, want, &talk)
		}
	}
	run(1, "refresh") // nothing to begin with
	run(0, "init", root)
	same(t, "asked at init", asked, "[]")
	run(0, "refresh")
	same(t, "asked", asked, "[metadata/2.root.json metadata/timestamp.json metadata/2.snapshot.json metadata/1.targets.json]")
	same(t, "kept", files(t, md), "[root.json snapshot.json targets.json timestamp.json]")
	asked = nil
	run(0, "--target-name", "members/northmoor.gov.uk.yaml", "download")
	run(0, "--target-name", "members/northmoor.gov.uk.yaml", "download")
	n := 0
	for _, p := range asked {
		if strings.HasPrefix(p, "targets/members/") {
			n++
		}
	}
	if n != 1 || len(files(t, into)) != 1 {
		t.Errorf("downloaded %d times, kept %v", n, files(t, into))
	}
	run(1, "--target-name", "members/nobody.example.yaml", "download")
	run(1, "upload")
	run(1, "--nonsense")
	run(0, "--clock", "faketime", "refresh")
	faketime = "+2678400" // 31 days
	run(1, "--clock", "faketime", "refresh")
	run(0, "refresh")
	run(1, "--clock", "+2678400", "refresh")
	run(0, "--clock", "-5", "refresh")
	run(1, "--clock", w.now.AddDate(0, 0, 31).Format(time.RFC3339), "refresh")
	run(1, "--clock", "tomorrow", "refresh")
	run(1, "--clock", "+99999999999999", "refresh")
	w.now = w.now.AddDate(0, 0, 31)
	run(1, "refresh")
}
