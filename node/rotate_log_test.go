package node_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// TestLogKeyIsReplaced: a council replaces the key of its log in peace. While both keys sign,
// a partner that knows only the old one goes on and cosigns; once the old one signs no more,
// so does a partner that was told. Bundles from before and from after verify with the member
// file from before and with the one from after.
func TestLogKeyIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory()
		found := func(c name.Council) *config.Config {
			cfg, err := node.Init(t.Context(), node.InitOptions{Dir: filepath.Join(t.TempDir(), "data"), Council: c, GSS: "E07000998", Listen: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Limits.MinFreeMiB, cfg.AdminSocket = 16, ""
			return cfg
		}
		run := func(cfg *config.Config) *running {
			n, err := node.Open(cfg, node.Options{Fatal: func(err error) { t.Errorf("%v", err) }})
			if err != nil {
				t.Fatal(err)
			}
			return runIn(t, wire.With(context.Background(), m.Node(cfg.Council)), n)
		}
		here, there := found(northmoor), found(saltby)
		dir := filepath.Join(here.Data, "keys")
		a, b := run(here), run(there)
		introduce(t, a, b)
		offer(t, a, "planning-application", planning(1, "X"))
		agreed(t, strings.Replace(planningAgreement, "starts: 2026-01-01", "starts: 2000-01-01", 1), a, b) // a bubble's time begins in 2000
		held := func(n int) {
			t.Helper()
			await(t, fmt.Sprint("records are held: ", n), func() bool { return get(t, b.Status).Holdings == n })
		}
		held(1)
		mine := func() directory.Member {
			me, err := directory.ParseMember([]byte(call(t, a.Councils().Show, node.MemberNameRequest{}).Document))
			if err != nil {
				t.Fatal(err)
			}
			return me
		}
		trust := func() audit.Trust {
			t.Helper()
			files := t.TempDir()
			for _, n := range []*running{a, b} {
				f := call(t, n.Councils().Show, node.MemberNameRequest{})
				if err := os.WriteFile(filepath.Join(files, string(f.Council)+".yaml"), []byte(f.Document), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			tr, err := audit.ReadTrust(files)
			if err != nil {
				t.Fatal(err)
			}
			return tr
		}
		bundle := func() []byte {
			return call(t, a.Bundle, node.BundleRequest{Agreement: "northmoor.gov.uk/planning-for-saltby"}).Bundle
		}
		trustBefore, bundleBefore := trust(), bundle()
		old := mine().LogKey

		next, err := keys.StageLog(dir, northmoor, nil)
		if err != nil {
			t.Fatal(err)
		}
		me := mine()
		me.LogAlso = []tlog.OtherKey{{Key: next}}
		call(t, a.Councils().Add, node.MemberRequest{Document: me.YAML()})
		a.stop()
		if err := keys.ActivateLog(dir, northmoor, nil); err != nil {
			t.Fatal(err)
		}
		a = run(here)
		offer(t, a, "planning-application", planning(2, "X"))
		held(2) // and the partner knows the old key alone
		head := get(t, a.Log().Show)
		for _, k := range []string{old, next} {
			v, err := tlog.ParseLogKey(k)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := tlog.OpenCheckpoint([]byte(head.Note), northmoor.Origin(), v); err != nil || head.Key != next {
				t.Errorf("who knows the log by %s alone: %v", k, err)
			}
		}
		await(t, "the witness cosigned it", func() bool {
			h := get(t, a.Log().Show)
			return len(h.Witnesses) == 1 && h.Witnesses[0].Size >= head.Size
		})

		a.stop()
		if err := keys.FinishLog(dir, northmoor, nil); err != nil {
			t.Fatal(err)
		}
		a = run(here)
		head = get(t, a.Log().Show)
		me = mine()
		me.LogKey, me.LogAlso = next, []tlog.OtherKey{{Key: old, To: head.Size}}
		for _, n := range []*running{a, b} {
			call(t, n.Councils().Add, node.MemberRequest{Document: me.YAML()})
		}
		offer(t, a, "planning-application", planning(3, "X"))
		held(3)
		await(t, "the witness cosigned it", func() bool {
			h := get(t, a.Log().Show)
			return len(h.Witnesses) == 1 && h.Witnesses[0].Size > head.Size
		})
		for _, n := range []*running{a, b} {
			for _, c := range get(t, n.Status).Conditions {
				switch c.Name {
				case "partner-two-histories", "told-another-history", "own-log-old-copy", "own-log-not-asked", "other-keys-listed", "link-failing":
					t.Errorf("%s: %s", c.Name, c.Text)
				}
			}
		}
		trustAfter, bundleAfter := trust(), bundle()
		for _, tt := range []struct {
			name   string
			trust  audit.Trust
			bundle []byte
		}{
			{"the old file and a bundle from before", trustBefore, bundleBefore},
			{"the old file and a bundle from after", trustBefore, bundleAfter},
			{"the new file and a bundle from before", trustAfter, bundleBefore},
			{"the new file and a bundle from after", trustAfter, bundleAfter},
		} {
			r, err := audit.Verify(bytes.NewReader(tt.bundle), int64(len(tt.bundle)), audit.Options{Trust: tt.trust})
			if err != nil {
				t.Fatal(err)
			}
			if r.Result == audit.Failed {
				t.Errorf("%s: %s %+v", tt.name, r.Result, r.Checks)
			}
		}
		b.stop()
		a.stop()
	})
}
