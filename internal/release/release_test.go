package release_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/release"
)

// TestVersion: the number in the source, the headings of the changelog and the tags of the
// history, where they are here, tell the same.
func TestVersion(t *testing.T) {
	if !regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-dev)?$`).MatchString(release.Version) {
		t.Fatalf("%q is no version", release.Version)
	}
	number, dev := strings.CutSuffix(strings.TrimPrefix(release.Version, "v"), "-dev")
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	heads := regexp.MustCompile(`(?m)^## (?:(Unreleased)|([0-9.]+), [0-9]{4}-[0-9]{2}-[0-9]{2})$`).FindAllStringSubmatch(string(text), -1)
	if len(heads) == 0 {
		t.Fatal("no heading of a release in CHANGELOG.md")
	}
	if unreleased := heads[0][1] != ""; unreleased != dev {
		t.Errorf("the program is %s, and the newest heading of CHANGELOG.md is %q", release.Version, heads[0][0])
	}
	for i, h := range heads {
		if has := h[2] == number; has && dev || has != (i == 0) && !dev {
			t.Errorf("the program is %s, and CHANGELOG.md has %q as heading %d", release.Version, h[0], i+1)
		}
	}
	tag, err := exec.Command("git", "tag", "--points-at", "HEAD", "v*").Output()
	if said := strings.TrimSpace(string(tag)); err == nil && said != "" && said != release.Version {
		t.Errorf("the program is %s, and its commit has the tag %s", release.Version, said)
	}
}

func TestString(t *testing.T) {
	for want, b := range map[string]release.Build{
		"v0.1.0":                          {Version: "v0.1.0"},
		"v0.2.0":                          {Version: "v0.2.0", Commit: "873be2b1c9aa"},
		"v0.3.0 at 873be2b1c9aa, changed": {Version: "v0.3.0", Commit: "873be2b1c9aa", Modified: true},
		"v0.4.0-dev":                      {Version: "v0.4.0-dev"},
		"v0.5.0-dev at 873be2b1c9aa":      {Version: "v0.5.0-dev", Commit: "873be2b1c9aa"},
	} {
		if got := b.String(); got != want {
			t.Errorf("%+v: got %q, want %q", b, got, want)
		}
	}
}
