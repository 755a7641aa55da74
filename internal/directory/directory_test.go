package directory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

var day = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// newMember returns a council of the role council with fresh keys.
func newMember(t testing.TB, c name.Council) Member {
	t.Helper()
	ring, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	m := FromRing(c, ring)
	m.Title, m.GSS, m.Role, m.ValidFrom = "The Council of "+string(c), "E07000998", RoleCouncil, day
	m.Addresses = []string{"/ip4/127.0.0.1/tcp/7400", "/ip4/127.0.0.1/udp/7400/quic-v1"}
	m.Contact = "data@" + string(c)
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	return m
}

// same compares what two members print, which is all of them.
func same(a, b Member) bool { return bytes.Equal(a.YAML(), b.YAML()) }

// folder writes member files.
func folder(t testing.TB, members ...Member) string {
	t.Helper()
	dir := t.TempDir()
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(dir, string(m.Council)+".yaml"), m.YAML(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMembersAreFound(t *testing.T) {
	if d, err := New(); err != nil || len(d.Members()) != 0 {
		t.Errorf("an empty directory: %v", err)
	}
	saltby, northmoor := newMember(t, "saltby.gov.uk"), newMember(t, "northmoor.gov.uk")
	auditor := Member{Council: "auditor.example", Title: "An auditor", Role: RoleAuditor, ValidFrom: day}
	read, err := Read(folder(t, saltby, northmoor, auditor))
	if err != nil {
		t.Fatal(err)
	}
	for _, members := range [][]Member{{saltby, northmoor, auditor}, read} {
		d, err := New(members...)
		if err != nil {
			t.Fatal(err)
		}
		ms := d.Members()
		if len(ms) != 3 || ms[0].Council != "auditor.example" || ms[1].Council != "northmoor.gov.uk" || ms[2].Council != "saltby.gov.uk" {
			t.Errorf("members %v, not three in order", ms)
		}
		m, ok := d.Member("saltby.gov.uk")
		if !ok || !same(m, saltby) {
			t.Errorf("saltby is\n%s\nwant\n%s", m.YAML(), saltby.YAML())
		}
		if m, ok := d.ByNode(northmoor.Node); !ok || m.Council != "northmoor.gov.uk" {
			t.Errorf("by node: %v, %v", m.Council, ok)
		}
		if _, ok := d.ByNode(""); ok {
			t.Error("a member without a node was found by no node")
		}
		if k, ok := m.RecordKey(saltby.RecordKeys[0].ID()); !ok || k.ID() != saltby.RecordKeys[0].ID() {
			t.Error("record key not found by its id")
		}
		if _, ok := m.RecordKey(northmoor.RecordKeys[0].ID()); ok {
			t.Error("another's record key found")
		}
		if v, err := m.LogVerifier(); err != nil || v.Name() != "saltby.gov.uk/stile" {
			t.Errorf("log verifier %v, %v", v, err)
		}
		if v, err := m.WitnessVerifier(); err != nil || v.Name() != "saltby.gov.uk" {
			t.Errorf("witness verifier %v, %v", v, err)
		}
		if _, err := ms[0].LogVerifier(); err != ErrNoKey {
			t.Errorf("log verifier of one without a log: %v", err)
		}
		if err := d.Exchange(day); err != nil {
			t.Errorf("a directory that does not expire: %v", err)
		}
		expired := errors.New("expired")
		if err := d.Replace(members[:1], func(now time.Time) error {
			if now.After(day) {
				return expired
			}
			return nil
		}); err != nil || len(d.Members()) != 1 {
			t.Errorf("replaced by one: %v, %d members", err, len(d.Members()))
		}
		if d.Exchange(day) != nil || d.Exchange(day.Add(1)) != expired {
			t.Error("the edition's own word on exchange is not heard")
		}
	}
}

// A membership begins and ends at midnight UTC, and a key that is revoked from
// an entry on is believed before it.
func TestWhatTheDirectoryAdds(t *testing.T) {
	m := newMember(t, "northmoor.gov.uk")
	kid := m.RecordKeys[0].ID()
	m.Ended = day.AddDate(2, 0, 0)
	m.Successors = []name.Council{"newmoor.gov.uk", "saltby.gov.uk"}
	m.Predecessors = []name.Council{"oldmoor.gov.uk"}
	m.Revocations = []Revocation{{kid, 1000}}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	back, err := ParseMember(m.YAML())
	if err != nil || !same(m, back) || !reflect.DeepEqual(back.Revocations, m.Revocations) || !back.Ended.Equal(m.Ended) {
		t.Errorf("read back as\n%s\n%v", back.YAML(), err)
	}
	for at, want := range map[time.Time]bool{day.Add(-1): false, day: true, m.Ended.Add(-1): true, m.Ended: false} {
		if m.ActiveAt(at) != want {
			t.Errorf("active at %s: %v", at, !want)
		}
	}
	for _, c := range []struct {
		kid   string
		index uint64
		want  error
	}{{kid, 999, nil}, {kid, 1000, ErrRevoked}, {kid, AnyPlace, ErrRevoked}, {"none", 0, ErrNoKey}} {
		if _, err := m.RecordKeyAt(c.kid, c.index); !errors.Is(err, c.want) {
			t.Errorf("key at %d: %v, want %v", c.index, err, c.want)
		}
	}
	if b := m.Bare(); !b.Ended.IsZero() || b.Successors != nil || b.Predecessors != nil || b.Revocations != nil {
		t.Error("a bare member says what the directory says")
	}
	for what, spoil := range map[string]func(*Member){
		"ended before it began":       func(m *Member) { m.Ended = m.ValidFrom },
		"successors out of order":     func(m *Member) { m.Successors = []name.Council{"b.uk", "a.uk"} },
		"the same successor twice":    func(m *Member) { m.Successors = []name.Council{"a.uk", "a.uk"} },
		"its own predecessor":         func(m *Member) { m.Predecessors = []name.Council{m.Council} },
		"a key revoked that it lacks": func(m *Member) { m.Revocations = []Revocation{{"none", 1}} },
		"a place beyond any log":      func(m *Member) { m.Revocations = []Revocation{{kid, 1 << 53}} },
	} {
		bad := m
		spoil(&bad)
		if err := bad.Check(); !errors.Is(err, ErrMember) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The file in the package comment, with real keys in it.
// A footprint has no keys; its members sign for it.
func TestMembersOfAFootprint(t *testing.T) {
	m := Member{
		Council: "fens.example", Title: "The Fens", Role: RoleFootprint, ValidFrom: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Members: []name.Council{"hexwell.gov.uk", "northmoor.gov.uk", "saltby.gov.uk"},
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	again, err := ParseMember(m.YAML())
	if err != nil || !slices.Equal(again.Members, m.Members) || !slices.Equal(again.Bare().Members, m.Members) {
		t.Errorf("read back: %v, %v\n%s", again.Members, err, m.YAML())
	}
	for what, spoil := range map[string]func(*Member){
		"members of a council": func(m *Member) { m.Role = RoleAuditor },
		"members unsorted":     func(m *Member) { m.Members = []name.Council{"saltby.gov.uk", "hexwell.gov.uk"} },
		"member of itself":     func(m *Member) { m.Members = []name.Council{"fens.example"} },
		"a member twice":       func(m *Member) { m.Members = []name.Council{"saltby.gov.uk", "saltby.gov.uk"} },
	} {
		bad := m
		spoil(&bad)
		if bad.Check() == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestFileOfThePackageComment(t *testing.T) {
	m := newMember(t, "northmoor.gov.uk")
	k := m.RecordKeys[0]
	file := fmt.Sprintf(`# our neighbours to the north
council: northmoor.gov.uk            # its domain, and the file's name
title: Northmoor Borough Council
gss: E07000998
role: council
keys:
  record:
    - kid: %s
      pem: |
        %s
  log: %s
  witness: %s
  node: %s
addresses:
  - /ip4/192.0.2.1/udp/7400/quic-v1
valid_from: 2026-11-01
contact: data@northmoor.gov.uk
`, k.ID(), strings.ReplaceAll(strings.TrimSpace(string(k.PEM())), "\n", "\n        "), m.LogKey, m.WitnessKey, m.Node)
	got, err := ParseMember([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	m.Title, m.Addresses = "Northmoor Borough Council", []string{"/ip4/192.0.2.1/udp/7400/quic-v1"}
	if !same(got, m) {
		t.Errorf("read as\n%s\nwant\n%s", got.YAML(), m.YAML())
	}
	// A JWK says the same, as JSON text or as the mapping JSON is in YAML.
	pem := file[strings.Index(file, "      pem: |"):strings.Index(file, "  log:")]
	for _, jwk := range []string{"      jwk: '" + string(k.JWK()) + "'\n", "      jwk: " + string(k.JWK()) + "\n"} {
		got, err := ParseMember([]byte(strings.Replace(file, pem, jwk, 1)))
		if err != nil || !same(got, m) {
			t.Errorf("with %s: %v", jwk, err)
		}
	}
}

// Each thing wrong is named with its file, line and field; never with the text.
func TestProblemsNameFileAndLine(t *testing.T) {
	m := newMember(t, "northmoor.gov.uk")
	good := string(m.YAML())
	other, next := newMember(t, "saltby.gov.uk"), newMember(t, "northmoor.gov.uk")
	line := func(part string) int {
		i := strings.Index(good, part)
		if i < 0 {
			t.Fatalf("%q is not in\n%s", part, good)
		}
		return 1 + strings.Count(good[:i], "\n")
	}
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in\n%s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct {
		file  string
		line  int
		field string
	}{
		"unknown field":          {good + "colour: SECRET\n", 1 + strings.Count(good, "\n"), "colour"},
		"the same field twice":   {good + "title: SECRET\n", 1 + strings.Count(good, "\n"), ""},
		"unknown key":            {swap("  node: ", "  SECRET: x\n  node: "), line("  node:"), "SECRET"},
		"broken YAML":            {swap("title: ", "title: : ["), line("title:"), ""},
		"two documents":          {good + "---\n" + good, 0, ""},
		"empty":                  {"", 0, ""},
		"only a comment":         {"# SECRET\n", 0, ""},
		"a list":                 {"- SECRET\n", 1, ""},
		"not UTF-8":              {swap("title: ", "title: \xff"), 0, ""},
		"UTF-16":                 {"\xff\xfec\x00:\x00", 0, ""},
		"byte order mark":        {"\xef\xbb\xbf" + good, 0, ""},
		"too long":               {good + strings.Repeat("#", MaxFile), 0, ""},
		"no title":               {swap("title: The Council of northmoor.gov.uk\n", ""), 0, "title"},
		"null title":             {swap("title: The Council of northmoor.gov.uk\n", "title:\n"), 0, "title"},
		"title on two lines":     {swap("title: The Council of northmoor.gov.uk\n", "title: |\n  SECRET\n  SECRET\n"), line("title:"), "title"},
		"title that reorders":    {swap("title: The", "title: \"\\u202eSECRET\" #"), line("title:"), "title"},
		"title is a list":        {swap("title: The Council of northmoor.gov.uk\n", "title: [SECRET]\n"), line("title:"), ""},
		"gss, small letter":      {swap("E07000998", "e07000998"), line("gss:"), "gss"},
		"gss, short":             {swap("E07000998", "E0700099"), line("gss:"), "gss"},
		"gss, other letters":     {swap("E07000998", "E0700099X"), line("gss:"), "gss"},
		"gss, other country":     {swap("E07000998", "X07000998"), line("gss:"), "gss"},
		"role":                   {swap("role: council", "role: SECRET"), line("role:"), "role"},
		"council's name":         {swap("council: northmoor.gov.uk", "council: ../SECRET"), line("council:"), "council"},
		"another's log key":      {swap(m.LogKey, other.LogKey), line("  log:"), "keys.log"},
		"another's witness key":  {swap(m.WitnessKey, other.WitnessKey), line("  witness:"), "keys.witness"},
		"log key as witness":     {swap(m.WitnessKey, m.LogKey), line("  witness:"), "keys.witness"},
		"witness key as log":     {swap(m.LogKey, m.WitnessKey), line("  log:"), "keys.log"},
		"no log key":             {swap("  log: "+m.LogKey+"\n", ""), 0, "keys.log"},
		"log_also, another's":    {swap("  witness: ", "  log_also: [{key: \""+other.LogKey+"\"}]\n  witness: "), line("  witness:"), "keys.log_also"},
		"log_also, the same":     {swap("  witness: ", "  log_also: [{key: \""+m.LogKey+"\"}]\n  witness: "), line("  witness:"), "keys.log_also"},
		"log_also, to nothing":   {swap("  witness: ", "  log_also: [{key: \""+next.LogKey+"\", to: 0}]\n  witness: "), line("  witness:"), "keys.log_also"},
		"node id in base32":      {swap(m.Node, "bafzaajaiaejcbSECRET"), line("  node:"), "keys.node"},
		"node id, a letter more": {swap(m.Node, m.Node+"A"), line("  node:"), "keys.node"},
		"node id, not base58":    {swap(m.Node, m.Node[:51]+"0"), line("  node:"), "keys.node"},
		"node id of an RSA key":  {swap(m.Node, "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"), line("  node:"), "keys.node"},
		"kid of another key":     {swap(m.RecordKeys[0].ID(), other.RecordKeys[0].ID()), line("pem:"), "keys.record[0]"},
		"no PEM":                 {swap("PUBLIC KEY", "SECRET"), line("pem:"), "keys.record[0]"},
		"neither pem nor jwk":    {"council: a.uk\ntitle: T\nrole: auditor\nvalid_from: 2026-11-01\nkeys:\n  record:\n    - kid: x\n", 7, "keys.record[0]"},
		"address":                {swap("/ip4/127.0.0.1/tcp/7400", "/unix/SECRET"), line("- /ip4/127.0.0.1/tcp"), "addresses[0]"},
		"address twice":          {swap("udp/7400/quic-v1", "tcp/7400"), line("- /ip4/127.0.0.1/udp"), "addresses[1]"},
		"valid_from":             {swap("2026-11-01", "2026-11-1"), line("valid_from:"), "valid_from"},
		"valid_from, no day":     {swap("2026-11-01", "2026-11-31"), line("valid_from:"), "valid_from"},
		"valid_from, a time":     {swap("2026-11-01", "2026-11-01T10:00:00Z"), line("valid_from:"), "valid_from"},
		"contact, two lines":     {swap("contact: data@northmoor.gov.uk", "contact: \"SECRET\\nSECRET\""), line("contact:"), "contact"},
		"alias bomb":             {"council: &a [x,x,x,x,x,x,x,x,x]\ntitle: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\naddresses: [*b,*b,*b,*b]\n", 0, ""},
	} {
		_, err := ParseMember([]byte(c.file))
		p, ok := errors.AsType[*Problem](err)
		if !ok || !errors.Is(err, ErrMember) {
			t.Errorf("%s: %v, want a Problem", name, err)
			continue
		}
		if c.line != 0 && p.Line != c.line || c.field != "" && p.Field != c.field {
			t.Errorf("%s: %q, want line %d field %q", name, err, c.line, c.field)
		}
		if c.field != "SECRET" && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %q tells what the file held", name, err)
		}

		dir := t.TempDir()
		write := os.WriteFile(filepath.Join(dir, "northmoor.gov.uk.yaml"), []byte(c.file), 0o644)
		if _, err := Read(dir); write != nil || !errors.Is(err, ErrMember) || !strings.Contains(err.Error(), "northmoor.gov.uk.yaml:") {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
}

// All problems of all files are told at once.
func TestAllProblemsAtOnce(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"northmoor.gov.uk.yaml": "council: northmoor.gov.uk\ntitle: ''\ngss: nine\n",
		"saltby.gov.uk.yaml":    "coucil: saltby.gov.uk\ntitel: Saltby\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Read(dir)
	for _, want := range []string{
		"northmoor.gov.uk.yaml:2: title:", "northmoor.gov.uk.yaml:3: gss:", "northmoor.gov.uk.yaml: role:",
		"saltby.gov.uk.yaml:1: coucil: no such field", "saltby.gov.uk.yaml:2: titel: no such field",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestKeysAreNotShared(t *testing.T) {
	a, b := newMember(t, "northmoor.gov.uk"), newMember(t, "saltby.gov.uk")
	for field, change := range map[string]func(*Member){
		"keys.node":   func(m *Member) { m.Node = a.Node },
		"keys.record": func(m *Member) { m.RecordKeys = append(m.RecordKeys[:1:1], a.RecordKeys[0]) },
	} {
		d, err := New(a)
		if err != nil {
			t.Fatal(err)
		}
		bad := b
		change(&bad)
		err = d.Replace([]Member{a, bad}, nil)
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Field != field || p.File != "saltby.gov.uk.yaml" || !strings.Contains(p.Rule, "northmoor.gov.uk") {
			t.Errorf("%s shared: %v", field, err)
		}
		if len(d.Members()) != 1 {
			t.Errorf("%s shared: the old view is gone", field)
		}
		if _, err := Read(folder(t, a, bad)); !errors.Is(err, ErrMember) {
			t.Errorf("%s shared, in a folder: %v", field, err)
		}
	}
	twice := a
	twice.RecordKeys = append(twice.RecordKeys[:1:1], a.RecordKeys[0])
	if err := twice.Check(); !errors.Is(err, ErrMember) {
		t.Errorf("the same record key twice: %v", err)
	}
}

func TestNamesOfFiles(t *testing.T) {
	m := newMember(t, "northmoor.gov.uk")
	for file, want := range map[string]bool{ // passed over, or else refused
		"README.md":                   true,
		".northmoor.gov.uk.yaml.SWP":  true,
		".northmoor.gov.uk.yaml":      true,
		"northmoor.gov.uk.yaml~":      true,
		"northmoor.gov.uk.yml":        true,
		"saltby.gov.uk.yaml":          false, // holds northmoor
		"Northmoor.gov.uk.yaml":       false,
		"members.yaml":                false,
		"-.yaml":                      false,
		"northmoor.gov.uk copy.yaml":  false,
		"northmoor.gov.uk (1).yaml":   false,
		"..yaml":                      true,
		"north\nmoor.gov.uk.yaml":     false,
		"northmoor.gov.uk\u202e.yaml": false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), m.YAML(), 0o644); err != nil {
			t.Fatal(err)
		}
		members, err := Read(dir)
		if want && (err != nil || len(members) != 0) {
			t.Errorf("%q: %v, want it passed over", file, err)
		}
		if !want && !errors.Is(err, ErrMember) {
			t.Errorf("%q: %v, want it refused", file, err)
		}
	}
	// A link out of the folder, and a folder in the place of a file.
	outside := filepath.Join(t.TempDir(), "outside.yaml")
	if err := os.WriteFile(outside, m.YAML(), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "northmoor.gov.uk.yaml")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("a link led out of the folder")
	}
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "northmoor.gov.uk.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, ErrMember) {
		t.Errorf("a folder for a file: %v", err)
	}
}

// Readers always see one whole view while members are added and read again.
func TestViewsAreWhole(t *testing.T) {
	d, err := New()
	if err != nil {
		t.Fatal(err)
	}
	var members []Member
	for i := range 8 {
		members = append(members, newMember(t, name.Council(fmt.Sprintf("c%d.gov.uk", i))))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				ms := d.Members()
				for i, m := range ms {
					if m.Council != members[i].Council {
						t.Errorf("member %d is %s", i, m.Council)
					}
					if o, ok := d.ByNode(m.Node); !ok || o.Council != m.Council {
						t.Errorf("%s has gone", m.Council)
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range members {
		if err := d.Replace(members[:i+1], nil); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	if len(d.Members()) != len(members) {
		t.Errorf("%d members", len(d.Members()))
	}
}

// The key is the test vector of libp2p's specs/peer-ids/peer-ids.md; its peer
// id was computed by go-libp2p v0.51.0. The second id is that page's example.
func TestNodeID(t *testing.T) {
	pub, err := hex.DecodeString("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
	if err != nil {
		t.Fatal(err)
	}
	if got := NodeID(ed25519.PublicKey(pub)); got != "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq" {
		t.Errorf("NodeID = %s", got)
	}
	for _, id := range []string{"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", NodeID(make([]byte, 32)), NodeID(bytes.Repeat([]byte{255}, 32))} {
		if !isNodeID(id) {
			t.Errorf("%s was refused", id)
		}
	}
}

func TestAddresses(t *testing.T) {
	const relay = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
	for a, want := range map[string]bool{
		"/ip4/192.0.2.1/tcp/7400":                                    true,
		"/ip4/192.0.2.1/udp/7400/quic-v1":                            true,
		"/ip6/2001:db8::1/tcp/7400":                                  true,
		"/ip6/::1/udp/1/quic-v1":                                     true,
		"/dns4/stile.northmoor.gov.uk/tcp/65535":                     true,
		"/dns/localhost/tcp/7400":                                    true,
		"/ip4/192.0.2.1/tcp/7400/p2p/" + relay + "/p2p-circuit":      true,
		"/dns/r.example/udp/1/quic-v1/p2p/" + relay + "/p2p-circuit": true,
		"":                                                  false,
		"192.0.2.1:7400":                                    false,
		"/ip4/192.0.2.1":                                    false,
		"/ip4/192.0.2.1/tcp":                                false,
		"/ip4/192.0.2.1/tcp/0":                              false,
		"/ip4/192.0.2.1/tcp/07":                             false,
		"/ip4/192.0.2.1/tcp/65536":                          false,
		"/ip4/192.0.2.1/tcp/7400/":                          false,
		"/ip4/192.0.2.1/udp/7400":                           false,
		"/ip4/192.0.2.1/udp/7400/quic":                      false,
		"/ip4/192.0.2.1/tcp/7400/ws":                        false,
		"/ip4/192.0.2.1/tcp/7400/p2p/" + relay:              false,
		"/ip4/192.0.2/tcp/7400":                             false,
		"/ip4/::1/tcp/7400":                                 false,
		"/ip6/192.0.2.1/tcp/7400":                           false,
		"/ip6/fe80::1%eth0/tcp/7400":                        false,
		"/ip6/2001:DB8::1/tcp/7400":                         false,
		"/dns4/a..b/tcp/7400":                               false,
		"/dns4/-a.b/tcp/7400":                               false,
		"/dns4/a b/tcp/7400":                                false,
		"/dns4//tcp/7400":                                   false,
		"/dns4/" + strings.Repeat("a.", 130) + "b/tcp/7400": false,
	} {
		if got := isAddress(a); got != want {
			t.Errorf("isAddress(%q) = %v", a, got)
		}
	}
}

// What is accepted prints as a file that reads back as the same member, and
// prints the same again.
func FuzzParseMember(f *testing.F) {
	m := newMember(f, "northmoor.gov.uk")
	f.Add(m.YAML())
	f.Add(bytes.Replace(m.YAML(), []byte("role: council"), []byte("role: footprint"), 1))
	f.Add([]byte("council: a.b\ntitle: 7\nrole: auditor\nvalid_from: 2026-11-01\n"))
	f.Add([]byte("council: a.b\ntitle: \"# x: 'y'\"\nrole: regulator\nvalid_from: \"2026-11-01\"\nkeys: {}\naddresses: []\ncontact: ~\n"))
	f.Add([]byte("{council: a.b, title: null, keys: {record: [{kid: a, jwk: {kty: EC}}]}}"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMember(b)
		if err != nil {
			if !errors.Is(err, ErrMember) {
				t.Fatalf("%v does not wrap ErrMember", err)
			}
			return
		}
		if err := m.Check(); err != nil {
			t.Fatalf("accepted, and then: %v", err)
		}
		out := m.YAML()
		again, err := ParseMember(out)
		if err != nil {
			t.Fatalf("printed what it does not read: %v\n%s", err, out)
		}
		if !reflect.DeepEqual(keyless(again), keyless(m)) || !same(again, m) {
			t.Fatalf("read\n%s\nprinted\n%s", b, again.YAML())
		}
	})
}

// keyless is m without what reflect cannot compare.
func keyless(m Member) Member {
	m.RecordKeys, m.log, m.witness = nil, nil, nil
	return m
}

// A member file lists other keys of the log, each with the largest log for which it counts.
func TestOtherLogKeys(t *testing.T) {
	m, next := newMember(t, "northmoor.gov.uk"), newMember(t, "northmoor.gov.uk")
	m.LogAlso = []tlog.OtherKey{{Key: next.LogKey, To: 12}}
	back, err := ParseMember(m.YAML())
	if err != nil || !same(m, back) || !slices.Equal(back.LogAlso, m.LogAlso) || !back.HasLogKey(next.LogKey) || !back.HasLogKey(m.LogKey) || back.HasLogKey("") {
		t.Errorf("read as %+v, %v", back.LogAlso, err)
	}
	if d, err := New(m, Member{Council: "thief.example", Title: "T", Role: RoleAuditor, ValidFrom: day, LogKey: strings.Replace(next.LogKey, "northmoor.gov.uk", "thief.example", 1)}); err == nil {
		t.Errorf("two members with one key: %v", d)
	}
}
