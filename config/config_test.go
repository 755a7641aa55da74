package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The example shows every key, and nothing in it contradicts the defaults but
// the keys it says are examples.
func TestExample(t *testing.T) {
	got, err := Load("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := yaml.Unmarshal(b, &shown); err != nil {
		t.Fatal(err)
	}
	var missing func(typ reflect.Type, in map[string]any, path string)
	missing = func(typ reflect.Type, in map[string]any, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			key := f.Tag.Get("yaml")
			v, ok := in[key]
			if !ok {
				t.Errorf("example.yaml does not show %s%s", path, key)
				continue
			}
			if f.Type.Kind() == reflect.Struct {
				missing(f.Type, v.(map[string]any), key+".")
			}
		}
	}
	missing(reflect.TypeFor[Config](), shown, "")

	dir, _ := filepath.Abs(".")
	want := Default("northmoor.gov.uk", dir)
	want.PassphraseFile, want.EncryptionKeyFile, want.Announce, want.HTTPListen, want.WitnessPolicy, want.MetricsListen =
		got.PassphraseFile, got.EncryptionKeyFile, got.Announce, got.HTTPListen, got.WitnessPolicy, got.MetricsListen
	if !reflect.DeepEqual(got, want) {
		t.Errorf("example.yaml is not the defaults:\ngot  %+v\nwant %+v", got, want)
	}
}

// Files written for every earlier version of the format keep loading. The
// samples are never edited: a new version adds a new one.
func TestOldFilesLoad(t *testing.T) {
	samples, err := filepath.Glob("testdata/v*.yaml")
	if err != nil || len(samples) != Version {
		t.Fatalf("found %d samples, %v: want one of each of the %d versions", len(samples), err, Version)
	}
	for _, s := range samples {
		c, err := Load(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if c.Council != "northmoor.gov.uk" || len(c.Announce) != 2 || c.Limits.RecordBytes != 1<<20 {
			t.Errorf("%s was read as %+v", s, c)
		}
	}
}

func TestShortest(t *testing.T) {
	c, err := Parse([]byte("version: 1\ncouncil: saltby.gov.uk\n"), "stile.yaml", "/srv/stile")
	if err != nil {
		t.Fatal(err)
	}
	if want := Default("saltby.gov.uk", "/srv/stile"); !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.AdminSocket != "/srv/stile/admin.sock" || c.Directory != "/srv/stile/directory" || c.Limits.Workers() < 1 || c.Limits.MinFree() != 128<<20 {
		t.Errorf("paths or limits: %+v", c)
	}
}

// A folder named in the file moves what stands in it, and a path of its own
// stays its own.
func TestPaths(t *testing.T) {
	c, err := Parse([]byte("version: 1\ncouncil: saltby.gov.uk\ndata: ../data\npassphrase_file: secret\nadmin_socket: /run/stile.sock\n"+
		"feeds:\n  - {name: a, folder: /a, translation: ocds}\n  - {name: b, folder: /b, translation: own.yaml, set: [/council=E07000998]}\n"), "f", "/etc/stile")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Data, c.Directory, c.AdminSocket, c.PassphraseFile, c.Feeds[0].Translation, c.Feeds[1].Translation}
	want := []string{"/etc/data", "/etc/data/directory", "/run/stile.sock", "/etc/stile/secret", "ocds", "/etc/stile/own.yaml"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryProblemAtOnce(t *testing.T) {
	in := `version: 7
council: Northmoor
listn: []
cosign_wait: 61
limits:
  record-bytes: 5
  record_bytes: 5
  import_workers: many
listen:
  - /ip4/1.2.3.4/tcp/1
  - 1.2.3.4:7845
  - /ip4/1.2.3.4/udp/7845
  - /dns4/a.b/tcp/1
announce: [/dns4/a.b/tcp/1, /dns4/a.b/tcp/1]
log: {level: loud, format: xml}
`
	_, err := Parse([]byte(in), "stile.yaml", "/d")
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`stile.yaml line 1: version: the file is of version 7`,
		`stile.yaml line 2: council: invalid name`,
		`stile.yaml line 3: unknown key "listn"`,
		`stile.yaml line 4: cosign_wait: 61 is out of range: want 0 to 60`,
		`stile.yaml line 6: unknown key "record-bytes": did you mean "record_bytes"?`,
		`stile.yaml line 7: limits.record_bytes: 5 is out of range`,
		`stile.yaml line 8: limits.import_workers: want a whole number`,
		`stile.yaml line 9: listen: address 2: not a multiaddr`,
		`stile.yaml line 9: listen: address 3: neither TCP nor QUIC`,
		`stile.yaml line 9: listen: address 4: neither TCP nor QUIC`,
		`stile.yaml line 14: announce: address 2 stands there twice`,
		`stile.yaml line 15: log.level: want one of debug, info`,
		`stile.yaml line 15: log.format: want one of text, json`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no line %q in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 13 {
		t.Errorf("%d problems, want 13:\n%v", n, err)
	}
}

// What stands in a file is never repeated when it is of the wrong kind: it may
// be a secret in the wrong place.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "the file is empty"},
		{"only comments", "# nothing\n", "the file is empty"},
		{"a word", "hunter2hunter2", "want keys and values"},
		{"a list", "- a\n", "want keys and values"},
		{"no version", "council: a.uk\n", "version: must be given"},
		{"no council", "version: 1\n", "council: must be given"},
		{"not YAML", "version: 1\n\tcouncil: a.uk\n", "line 2: not YAML"},
		{"twice", "version: 1\ncouncil: a.uk\ncouncil: b.uk\n", `line 3: key "council" stands here for the second time`},
		{"two documents", "version: 1\ncouncil: a.uk\n---\nversion: 1\n", "want one YAML document"},
		{"alias", "version: 1\ncouncil: &c a.uk\ndata: *c\n", "anchors and aliases"},
		{"secret in place of a path", "version: 1\ncouncil: a.uk\npassphrase_file: [hunter2hunter2]\n", "line 3: passphrase_file: want text"},
		{"null list item", "version: 1\ncouncil: a.uk\nlisten: [~]\n", "listen: write a value"},
		{"nothing after a key", "version: 1\ncouncil: a.uk\nannounce:\n", "line 3: announce: write a value"},
		{"deep socket", "version: 1\ncouncil: a.uk\nadmin_socket: " + strings.Repeat("x", 120) + "\n", "admin_socket: the path is"},
		{"notify without a target", "version: 1\ncouncil: a.uk\nnotify:\n  - name: dpo\n", "target 1 (dpo): webhook: want a webhook, or a command"},
		{"notify by both", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, webhook: 'https://hooks.example/hunter2', secret_file: s, command: [/bin/cat]}\n", "not both"},
		{"notify in clear", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, webhook: 'http://hooks.example/hunter2', secret_file: s}\n", "must begin with https://"},
		{"notify into a private network", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, webhook: 'https://10.20.0.1/hunter2', secret_file: s}\n", "private network"},
		{"notify without a secret", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, webhook: 'https://hooks.example/hunter2'}\n", "secret_file: must be given"},
		{"notify by a program of no place", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, command: [mail, hunter2]}\n", "whole path"},
		{"notify of a severity", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, command: [/bin/cat], severity: error}\n", "want one of critical, warning, notice"},
		{"notify twice", "version: 1\ncouncil: a.uk\nnotify:\n  - {name: dpo, command: [/bin/cat]}\n  - {name: dpo, command: [/bin/cat]}\n", "another target has it"},
		{"a feed of no standard", "version: 1\ncouncil: a.uk\nfeeds:\n  - {name: a, folder: /a}\n", "standard: must be given, or a mapping or a translation"},
		{"a feed by both", "version: 1\ncouncil: a.uk\nfeeds:\n  - {name: a, folder: /a, mapping: m.yaml, translation: ocds}\n", "not both"},
		{"a feed of a database by a translation", "version: 1\ncouncil: a.uk\nfeeds:\n  - {name: a, database: postgres, translation: ocds}\n", "translation: is for files"},
		{"a feed that sets what is not translated", "version: 1\ncouncil: a.uk\nfeeds:\n  - {name: a, folder: /a, standard: x, set: [/a=hunter2]}\n", "set: goes with translation"},
		{"a feed that sets no place", "version: 1\ncouncil: a.uk\nfeeds:\n  - {name: a, folder: /a, translation: ocds, set: [hunter2]}\n", "set: want places and texts"},
		{"a licence of no place", "version: 1\ncouncil: a.uk\nweb: {licence: hunter2hunter2}\n", "licence: want cc-by-4.0, cc0-1.0, ogl-uk-3.0, or the address of a licence"},
		{"a licence with markup", "version: 1\ncouncil: a.uk\nweb: {licence: 'https://l.example/\"hunter2hunter2'}\n", "licence: want"},
		{"a licence that is no page", "version: 1\ncouncil: a.uk\nweb: {licence: 'javascript:hunter2hunter2'}\n", "licence: want"},
		{"binary", "\x00\xff", "not YAML"},
	} {
		_, err := Parse([]byte(c.in), "f", "/d")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats a value: %v", c.name, err)
		}
		var e *Error
		if !errors.As(err, &e) || e.File != "f" {
			t.Errorf("%s: %v is not an *Error naming the file", c.name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := Default("a.uk", dir)
	if p, err := c.Passphrase(); p != nil || err != nil {
		t.Errorf("no file: %q, %v", p, err)
	}
	c.PassphraseFile = write("pass", "correct horse\r\nsecond line\n", 0o600)
	if p, err := c.Passphrase(); string(p) != "correct horse" || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
	c.PassphraseFile = write("empty", "\n", 0o600)
	if _, err := c.Passphrase(); err == nil {
		t.Error("an empty passphrase was taken")
	}
	c.PassphraseFile = write("open", "correct horse", 0o644)
	if _, err := c.Passphrase(); err == nil || !strings.Contains(err.Error(), "others") {
		t.Errorf("readable by others: %v", err)
	}
	c.EncryptionKeyFile = write("key", strings.Repeat("k", 32), 0o600)
	if k, err := c.EncryptionKey(); len(k) != 32 || err != nil {
		t.Errorf("key: %d bytes, %v", len(k), err)
	}
	c.EncryptionKeyFile = write("key33", strings.Repeat("k", 32)+"\n", 0o600)
	if _, err := c.EncryptionKey(); err == nil || strings.Contains(err.Error(), "kkk") {
		t.Errorf("33 bytes: %v", err)
	}

	// All at once, and nothing founded on a mistyped path.
	c.Data = filepath.Join(dir, "mistyped")
	err := c.CheckFolders()
	for _, want := range []string{"mistyped\" does not exist", "directory: folder", "others", "33 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckFolders does not say %q: %v", want, err)
		}
	}
	if _, err := os.Stat(c.Data); err == nil {
		t.Error("CheckFolders made the folder")
	}
}

// Whatever is accepted comes back the same from its own print.
func FuzzParse(f *testing.F) {
	for _, p := range []string{"example.yaml", "testdata/v1.yaml"} {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("version: 1\ncouncil: a.uk\nlimits: {record_bytes: 2048}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b, "f", "/d")
		if err != nil {
			return
		}
		out, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out, "f", "/elsewhere")
		if err != nil {
			t.Fatalf("%v\nin  %q\nout %s", err, b, out)
		}
		if !reflect.DeepEqual(c, back) {
			t.Fatalf("came back different:\n%+v\n%+v", c, back)
		}
	})
}

// TestLicence: a licence is named in short or by its address, and none is claimed unasked.
func TestLicence(t *testing.T) {
	const ogl = "http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/"
	for _, c := range []struct{ named, address, title string }{
		{"", "", ""}, {"ogl-uk-3.0", ogl, "Open Government Licence v3.0"}, {ogl, ogl, "Open Government Licence v3.0"}, {"https://l.example/1", "https://l.example/1", "https://l.example/1"},
	} {
		got, err := Parse([]byte("version: 1\ncouncil: a.uk\nweb: {licence: '"+c.named+"'}\n"), "f", "/d")
		if err != nil {
			t.Fatal(err)
		}
		if a, title := got.Web.LicenceAddress(), got.Web.LicenceTitle(); a != c.address || title != c.title {
			t.Errorf("%q: %q, %q", c.named, a, title)
		}
	}
}
