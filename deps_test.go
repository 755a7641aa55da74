// Package stile_test keeps the rules of the whole house: which package may
// import which, what an auditor's program links, and that everything exported
// says what it is.
package stile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/stile-exchange/stile"

// policy is the order of the rooms. A package may import packages on lines
// above its own, never one on its own line or below. "x/*" is every package
// under x. What a room is for stands in its package comment.
//
// internal/directory/follow stands apart from the rest of the directory because it
// asks others over wire. internal/machines and internal/replicas stand between the
// footprint and the node: the first runs a node of which it knows no more than that
// it runs, the second holds what a person may ask of footprints.
//
// internal/ledger/examine looks at the files of a store before the ledger has it opened.
//
// node/api holds requests, replies and failures so low because all rooms speak of
// them. internal/catalogue stands above the mapper, which it asks to begin and end, and
// internal/explain above question and all that keeps a rule, since it words them; internal/disclosure above bundle, which proves
// what it gathers.
const policy = `
	node/name  internal/strictjson  internal/workbook  internal/document  internal/browsertest  internal/webhook  internal/workday  internal/release  schemas  schemas/*
	internal/sbom  internal/telemetry  internal/exchange
	node/api  internal/blind
	node/client
	internal/keys  internal/standard  internal/tlog  config  internal/quota  internal/access
	internal/event  internal/door  internal/people  internal/translation
	internal/record  internal/agreement  internal/directory  internal/measure  internal/opinion
	internal/directory/*
	internal/directory/datadir  internal/ledger/examine
	internal/ledger  internal/ledger/ledgertest  internal/audit  internal/paper  internal/wire  internal/intake
	internal/wire/*  internal/export  internal/backup
	internal/directory/follow  internal/wire/wiretest
	internal/judge  internal/publiclog
	internal/judge/*
	internal/footprint
	internal/peersync  internal/book  internal/machines
	internal/replicas
	internal/question  internal/mapper  internal/bundle  internal/gate  internal/statement
	internal/retention  internal/hooks
	internal/catalogue  internal/explain  internal/condition  internal/disclosure  internal/byhand  internal/conduct
	internal/metrics  internal/notify  internal/succession
	node
	internal/feed  internal/registers
	internal/api  internal/web
	examples  examples/*  config/packaging
	cmd/*  internal/simtest  internal/england  internal/bench  internal/faults
	.
`

// reserved lists dependencies that the rooms named alone may import, most of them
// one, so that each can be replaced, or read, in one place.
var reserved = map[string]string{
	"github.com/libp2p/":                     "internal/wire",
	"github.com/dgraph-io/badger":            "internal/ledger",
	"github.com/hashicorp/raft":              "internal/footprint",
	"github.com/sigstore/":                   "internal/keys",
	"github.com/santhosh-tekuri/jsonschema/": "internal/standard",
	"cel.dev/":                               "internal/agreement",
	"github.com/parquet-go/":                 "internal/export",
	"github.com/jackc/":                      "internal/feed internal/bench", // the second measures beside PostgreSQL
	"github.com/microsoft/go-mssqldb":        "internal/feed",
	"github.com/prometheus/":                 "internal/metrics",
	"go.opentelemetry.io/":                   "internal/telemetry",
	"filippo.io/age":                         "internal/backup",
	"codeberg.org/go-pdf/":                   "internal/document",
	"github.com/cloudflare/circl/":           "internal/blind",
	"github.com/alexedwards/":                "internal/web",
	"github.com/coreos/go-oidc/":             "internal/web",
}

// An auditor's program must be short enough to read, so these packages may not
// link, at any distance, what runs a node.
var (
	auditors      = []string{"internal/audit", "cmd/stile-audit"}
	auditorsAvoid = []string{"github.com/libp2p/", "github.com/dgraph-io/badger", "github.com/hashicorp/raft"}
)

type goPackage struct {
	ImportPath string
	Imports    []string // of the package itself, without its tests
	Deps       []string // all it links
}

func TestImportOrder(t *testing.T) {
	var lines [][]string
	for line := range strings.Lines(policy) {
		if f := strings.Fields(line); len(f) > 0 {
			lines = append(lines, f)
		}
	}
	rank := func(pkg string) int {
		// An exact name says more than a pattern, wherever the two stand.
		for i, line := range lines {
			if slices.Contains(line, pkg) {
				return i
			}
		}
		for i, line := range lines {
			for _, p := range line {
				if dir, ok := strings.CutSuffix(p, "/*"); ok && strings.HasPrefix(pkg, dir+"/") {
					return i
				}
			}
		}
		return -1
	}
	for _, p := range list(t) {
		here := local(p.ImportPath)
		if rank(here) < 0 {
			t.Errorf("package %s stands on no line of the policy in deps_test.go.\n"+
				"A new package is a decision, not a fix: it needs two importers or some 300 lines of thought.", here)
			continue
		}
		for _, imp := range p.Imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			if there := local(imp); rank(there) >= rank(here) {
				t.Errorf("%s imports %s, which stands on its own line of the policy in deps_test.go or below.\n"+
					"Moving a package is a decision, not a fix. If a change wants this import, a door is in the wrong place:\n"+
					"let the lower room hand the upper one what it needs, or talk about the order first.", here, there)
			}
		}
	}
}

func TestReservedDependencies(t *testing.T) {
	for _, p := range list(t) {
		here := local(p.ImportPath)
		for _, imp := range p.Imports {
			for prefix, rooms := range reserved {
				may := slices.ContainsFunc(strings.Fields(rooms), func(room string) bool {
					return here == room || strings.HasPrefix(here, room+"/")
				})
				if strings.HasPrefix(imp, prefix) && !may {
					t.Errorf("%s imports %s, which only %s may do (see docs/decisions/0008-dependencies.md)", here, imp, rooms)
				}
			}
		}
	}
}

func TestAuditorLinksLittle(t *testing.T) {
	all := list(t)
	for _, want := range auditors {
		i := slices.IndexFunc(all, func(p goPackage) bool { return local(p.ImportPath) == want })
		if i < 0 {
			t.Logf("%s is not written yet", want)
			continue
		}
		for _, dep := range all[i].Deps {
			for _, prefix := range auditorsAvoid {
				if strings.HasPrefix(dep, prefix) {
					t.Errorf("%s links %s. An auditor's program must be short enough to read.", want, dep)
				}
			}
		}
	}
}

// list returns every package of the module as the go command sees it. A
// package that does not compile is another test's business (-e).
func list(t *testing.T) []goPackage {
	t.Helper()
	all := golist[goPackage](t, "ImportPath,Imports,Deps", "./...")
	if len(all) < 2 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}

// golist returns what go list says of packages, in a type that has the fields.
func golist[T any](t *testing.T, fields string, packages ...string) (all []T) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json=" + fields}, packages...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p T
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

// local returns an import path of this module as the policy writes it.
func local(importPath string) string {
	if importPath == module {
		return "."
	}
	return path.Clean(strings.TrimPrefix(importPath, module+"/"))
}
