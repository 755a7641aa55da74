// Package config is a council's configuration: one YAML file, one struct, and
// the loader that checks it.
//
// The comment on each field of [Config] is its manual. The file example.yaml
// beside this package holds every key and is loaded by a test. A key that is
// not known is an error, and all problems of a file are reported at once, each
// with its line. There are no environment variables; secrets are named by
// file path, so that none stands in the file or on a command line.
//
// The format is numbered. A file of an older number keeps loading: the
// history is on [Version], and testdata holds a sample of each.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// Version is the number of the format that this package writes.
//
//	1  the first
const Version = 1

// FileName is the name of the configuration inside a data folder, where it is
// looked for when no other file is named.
const FileName = "stile.yaml"

// maxFile caps a configuration, in bytes. A longer one is some other file.
const maxFile = 1 << 20

// A Config is the configuration of one node. The zero value is not usable; see
// [Default] and [Load].
type Config struct {
	// Version is the number of the file's format, see [Version]. It must be
	// given, so that a later Stile knows how to read the file.
	Version int `yaml:"version"`

	// Council is the domain of the council whose node this is, such as
	// northmoor.gov.uk. It must be given, and it cannot change later: every
	// record says who issued it.
	Council name.Council `yaml:"council"`

	// Data is the folder of everything the node keeps: ledger, keys,
	// standards, directory. Default: the folder the configuration stands in.
	// It must exist (stile init makes it), since a mistyped path must not
	// found an empty ledger. Back it up with "stile backup", not by copying it.
	Data string `yaml:"data"`

	// Directory is the folder of the directory that the node follows: signed
	// files, and the root they are verified from. Default: "directory" in the
	// data folder. Who can write it can set the node back to an older state
	// of the directory, or to another directory altogether.
	Directory string `yaml:"directory"`

	// AdminSocket is the Unix socket on which commands reach a running node.
	// Default: "admin.sock" in the data folder. Whoever may open it may do
	// everything the node may; it is made readable by its owner only. At most
	// 100 bytes long, a limit of the operating system.
	AdminSocket string `yaml:"admin_socket"`

	// PassphraseFile holds the passphrase of the key files, in its first line.
	// Empty, the default, is for keys that are not encrypted. The file must be
	// readable by its owner only.
	PassphraseFile string `yaml:"passphrase_file"`

	// EncryptionKeyFile holds the key that encrypts the ledger on disk: 16, 24
	// or 32 random bytes and nothing else (AES-128, -192 or -256). Empty, the
	// default, leaves encryption to the disk. It is set when the ledger is
	// made: a ledger made without it cannot be opened with it, nor the other
	// way round. Lose this file and the ledger is lost. The file must be
	// readable by its owner only.
	EncryptionKeyFile string `yaml:"encryption_key_file"`

	// Listen lists the addresses on which partners reach this node, as libp2p
	// multiaddrs over TCP or QUIC. Default: port 7845 of every interface, both
	// ways. An empty list only dials out.
	Listen []string `yaml:"listen"`

	// Announce lists the addresses that partners should use, when they differ
	// from those listened on, such as behind a firewall that forwards a port.
	// Default: those listened on.
	Announce []string `yaml:"announce"`

	// HTTPListen is the address and port, such as 127.0.0.1:7846, at which the
	// node serves over HTTP, without login, what anybody may have: the signed
	// files of the directory, below /directory/, for newcomers and auditors; the
	// hashes of its log, below /stile/ (c2sp.org/tlog-tiles); and, at /witness/, its
	// cosignature for the logs of other members (c2sp.org/tlog-witness).
	// Empty, the default, serves nothing. For HTTPS put a web server before it.
	HTTPListen string `yaml:"http_listen"`

	// WitnessPolicy is a file that says which witnesses should cosign this
	// council's log (c2sp.org/tlog-policy). Those with a URL are asked over HTTP;
	// a partner cosigns in the exchange. Fewer than the quorum are told by "stile
	// status" and stop nothing. Empty, the default, wants none. A node of an older
	// Stile refuses a file that has this key.
	WitnessPolicy string `yaml:"witness_policy"`

	// MetricsListen is the address and port, such as 127.0.0.1:7847, at which
	// the node tells its operators how it does: /metrics in the text format of
	// Prometheus, /livez and /readyz. Empty, the default, serves nothing. There
	// is no login: whoever reaches it sees which councils exchange which
	// standards and how much, and never a record. Keep it on a loopback
	// address, or on one that the monitoring alone can reach. A node of an older
	// Stile refuses a file that has this key.
	MetricsListen string `yaml:"metrics_listen"`

	// Web is where people and systems reach this node over HTTP: pages and the API,
	// with login. Default: it is served nowhere. A node of an older Stile refuses a
	// file that has this key.
	Web Web `yaml:"web"`

	// TelemetryEndpoint is the URL of an OpenTelemetry collector, such as
	// https://collector.example:4318/v1/traces, that is told how long each operation
	// and each page of an exchange takes (traces, OTLP over HTTP): with names of
	// operations, councils and agreements, and never a record or a value. Empty, the
	// default, tells nobody. A node of an older Stile refuses a file that has this
	// key.
	TelemetryEndpoint string `yaml:"telemetry_endpoint"`

	// Backup has the running node back itself up; see [Backup]. Default: it does not. A
	// node of an older Stile refuses a file that has this key.
	Backup Backup `yaml:"backup"`

	// Accepted names conditions that somebody has decided to live with, such as
	// keys-in-clear, as "stile status" calls them: they are told as notices, and no
	// check fails for them. What is critical cannot be accepted. Default none. A node
	// of an older Stile refuses a file that has this key.
	Accepted []string `yaml:"accepted"`

	// CosignWait is how long a checkpoint waits for partners to cosign it
	// before it is published without them, in seconds. Default 5, at most 60;
	// 0 does not wait.
	CosignWait int `yaml:"cosign_wait"`

	// MeasureEvery is how often the running node counts how it complies with
	// each standard and issues what it counted as records (compliance
	// statements), in hours. Default 168, a week; at most 8784, a year; 0 is
	// never, and then "stile standard measure --publish" does it by hand.
	MeasureEvery int `yaml:"measure_every"`

	// SignedTokens asks partners for a signature of its own in every record that
	// they send, so that other SD-JWT programs can verify what is held here. Without
	// it a record is proved by its place in its council's signed log, which Stile
	// verifies and they do not. It costs the partner one signature a record, once.
	// Default false. A node of an older Stile refuses a file that has this key.
	SignedTokens bool `yaml:"signed_tokens"`

	// Feeds are the registers that the running node takes in by itself; see
	// [Feed]. Default none. A node of an older Stile refuses a file that has this
	// key.
	Feeds []Feed `yaml:"feeds"`

	// Erase are the rules by which the running node erases records of its own when
	// they are due, once a day; see [EraseRule]. Default none. A node of an older Stile
	// refuses a file that has this key.
	Erase []EraseRule `yaml:"erase"`

	// Notify are those who are told when the running node has something that a person
	// should know of; see [Notify]. Default none. A node of an older Stile refuses a file
	// that has this key.
	Notify []Notify `yaml:"notify"`

	// Limits bound what one input may cost.
	Limits Limits `yaml:"limits"`

	// Log says what the node writes to standard error while it runs.
	Log Log `yaml:"log"`
}

// Limits bound what one input may cost.
type Limits struct {
	// RecordBytes is the size of the largest record taken, in bytes of JSON,
	// and of the longest row of a CSV file. Default 1048576, from 1024 to
	// 16777216. Partners refuse what is over their own limit.
	RecordBytes int `yaml:"record_bytes"`

	// ImportWorkers is how many records are mapped and validated at a time.
	// Default 0, one for each processor; at most 256.
	ImportWorkers int `yaml:"import_workers"`

	// MinFreeMiB is the free disk space, in MiB, below which the node takes no
	// more records while it goes on reading. Default 128, from 16 to 1048576.
	MinFreeMiB int `yaml:"min_free_mib"`

	// QuestionsPerDay is how many questions a partner may ask in a day, by UTC,
	// under one agreement where nothing is copied. More are refused until
	// midnight, so that nobody finds out by trying. Default 200, from 1 to
	// 100000.
	QuestionsPerDay int `yaml:"questions_per_day"`

	// QuestionsPerHour is how many of them a partner may ask in one hour, by the
	// clock. Default 60, from 1 to 100000.
	QuestionsPerHour int `yaml:"questions_per_hour"`

	// MemoryMiB is how much memory the program should stay within, in MiB, mapped
	// files included. Its heap gets five eighths, near which garbage is collected more
	// often, and caches are sized by it. It is an aim, not a wall: one large
	// record may take more. Default 256, from 96 to 1048576. The variable
	// GOMEMLIMIT, where it is set, goes before it for the heap.
	MemoryMiB int `yaml:"memory_mib"`
}

// Backup has the running node back itself up.
type Backup struct {
	// Folder is where backups are written: best another disk, or one that another
	// machine offers. It must exist. Files are named by council and time. Empty, the
	// default, makes none.
	Folder string `yaml:"folder"`

	// Recipient is the public key of age that backups are encrypted to, age1…, or
	// several, separated by spaces. Its identity is kept away from this machine: without
	// it nobody reads a backup, this node included. Must be given where folder is.
	Recipient string `yaml:"recipient"`

	// Every is how many hours after the last backup the next is made. Default 24; at
	// most 8784, a year.
	Every int `yaml:"every"`

	// Keep is how many backups stay in the folder; older ones are deleted. Default 14,
	// from 1 to 10000.
	Keep int `yaml:"keep"`

	// Keys has the private keys backed up too, each time, in a file of their own beside
	// the backup. Default false: then keep a copy of them somewhere yourself.
	Keys bool `yaml:"keys"`
}

// Log says what the node writes to standard error while it runs. No setting
// makes it write a field's value.
type Log struct {
	// Level is the least level written: debug, info, warn or error. Default
	// info.
	Level string `yaml:"level"`

	// Format is text, for people, or json, one object to a line. Default text.
	Format string `yaml:"format"`
}

// Default returns the configuration of a council whose file says no more than
// version and council, for a file in the folder dir. Paths are absolute when
// dir is.
func Default(c name.Council, dir string) *Config {
	cfg := preset()
	cfg.Version, cfg.Council = Version, c
	cfg.settle(dir)
	return cfg
}

// preset returns the defaults that do not hang on another field.
func preset() *Config {
	return &Config{
		Listen: []string{
			"/ip4/0.0.0.0/tcp/7845", "/ip4/0.0.0.0/udp/7845/quic-v1",
			"/ip6/::/tcp/7845", "/ip6/::/udp/7845/quic-v1",
		},
		CosignWait: 5, MeasureEvery: 168,
		Backup: Backup{Every: 24, Keep: 14},
		Web:    Web{MaxConnections: 512, HeaderSeconds: 5, BodyMiB: 1},
		Limits: Limits{RecordBytes: 1 << 20, MinFreeMiB: 128, QuestionsPerDay: 200, QuestionsPerHour: 60, MemoryMiB: 256},
		Log:    Log{Level: "info", Format: "text"},
	}
}

// settle fills in what hangs on another field and makes every path stand on
// its own. A relative path is meant from dir, the folder of the file, so that
// a data folder can be moved as a whole.
func (c *Config) settle(dir string) {
	from := func(base, p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(base, p)
	}
	if c.Data == "" {
		c.Data = "."
	}
	c.Data = from(dir, c.Data)
	if c.Directory == "" {
		c.Directory = filepath.Join(c.Data, "directory")
	}
	if c.AdminSocket == "" {
		c.AdminSocket = filepath.Join(c.Data, "admin.sock")
	}
	for _, p := range []*string{&c.Directory, &c.AdminSocket, &c.PassphraseFile, &c.EncryptionKeyFile, &c.WitnessPolicy, &c.Backup.Folder} {
		*p = from(dir, *p)
	}
	for _, p := range []*string{&c.Web.CertificateFile, &c.Web.KeyFile, &c.Web.Autocert, &c.Web.Postcodes, &c.Web.OIDC.SecretFile} {
		*p = from(dir, *p)
	}
	if c.Web.Hosts == nil {
		c.Web.Hosts = []string{}
	}
	if c.Web.Registers == nil {
		c.Web.Registers = []string{}
	}
	if c.Web.WebhookNetworks == nil {
		c.Web.WebhookNetworks = []string{}
	}
	if c.Feeds == nil {
		c.Feeds = []Feed{}
	}
	for i := range c.Feeds {
		f := &c.Feeds[i]
		for _, p := range []*string{&f.Folder, &f.ConnectionFile, &f.Mapping} {
			*p = from(dir, *p)
		}
		if schemas.Translation(f.Translation) == nil {
			f.Translation = from(dir, f.Translation)
		}
		f.settle()
	}
	if c.Erase == nil {
		c.Erase = []EraseRule{}
	}
	if c.Notify == nil {
		c.Notify = []Notify{}
	}
	for i := range c.Notify {
		c.Notify[i].SecretFile = from(dir, c.Notify[i].SecretFile)
	}
	if c.Listen == nil {
		c.Listen = []string{}
	}
	if c.Announce == nil {
		c.Announce = []string{}
	}
	if c.Accepted == nil {
		c.Accepted = []string{}
	}
}

// Workers returns how many records to map and validate at a time, at least 1.
func (l Limits) Workers() int {
	if l.ImportWorkers > 0 {
		return l.ImportWorkers
	}
	return runtime.GOMAXPROCS(0)
}

// MinFree returns MinFreeMiB in bytes.
func (l Limits) MinFree() uint64 { return uint64(l.MinFreeMiB) << 20 }

// Memory returns MemoryMiB in bytes.
func (l Limits) Memory() int64 { return int64(l.MemoryMiB) << 20 }

// Heap returns how many bytes of MemoryMiB are for the heap of the Go runtime. The
// rest is for the program itself and the files that the ledger maps.
func (l Limits) Heap() int64 { return l.Memory() * 5 / 8 }

// Load reads and checks the configuration in the file at path. The error
// joins every problem of the file; each is an [*Error].
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	b, err := readCapped(f, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration %q: %w", path, err)
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open configuration: %w", err)
	}
	return Parse(b, path, dir)
}

// Passphrase returns the passphrase of the key files, or nil when no file is
// named. The caller may overwrite it after use.
func (c *Config) Passphrase() ([]byte, error) {
	if c.PassphraseFile == "" {
		return nil, nil
	}
	b, err := readSecret(c.PassphraseFile)
	if err != nil {
		return nil, fmt.Errorf("read passphrase_file: %w", err)
	}
	for i, ch := range b {
		if ch == '\n' || ch == '\r' {
			b = b[:i]
			break
		}
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("read passphrase_file: the first line of %q is empty", c.PassphraseFile)
	}
	return b, nil
}

// EncryptionKey returns the 16, 24 or 32 bytes that encrypt the ledger on
// disk, or nil when no file is named.
func (c *Config) EncryptionKey() ([]byte, error) {
	if c.EncryptionKeyFile == "" {
		return nil, nil
	}
	b, err := readSecret(c.EncryptionKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read encryption_key_file: %w", err)
	}
	switch len(b) {
	case 16, 24, 32:
		return b, nil
	}
	return nil, fmt.Errorf("read encryption_key_file: %q holds %d bytes: want 16, 24 or 32 random bytes and nothing after them, not even a line end",
		c.EncryptionKeyFile, len(b))
}

// CheckFolders reports, joined, every folder and file the configuration names
// that is not there, and every secret others could read. It writes nothing.
// Load does not call it, since stile init makes the folders.
func (c *Config) CheckFolders() error {
	var errs []error
	for _, d := range []struct{ key, path string }{{"data", c.Data}, {"directory", c.Directory}} {
		switch st, err := os.Stat(d.path); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("%s: folder %q does not exist", d.key, d.path))
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", d.key, err))
		case !st.IsDir():
			errs = append(errs, fmt.Errorf("%s: %q is not a folder", d.key, d.path))
		}
	}
	if p, err := c.Passphrase(); err != nil {
		errs = append(errs, err)
	} else {
		clear(p)
	}
	if k, err := c.EncryptionKey(); err != nil {
		errs = append(errs, err)
	} else {
		clear(k)
	}
	return errors.Join(errs...)
}

// readSecret reads a small file that only its owner may read.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	// The mode bits mean nothing on Windows, where Go reports 0666 for all.
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%q can be read by others (mode %04o): want 0600", path, st.Mode().Perm())
	}
	return readCapped(f, 4096)
}
