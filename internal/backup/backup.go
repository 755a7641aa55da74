// Package backup writes a node's data folder into one encrypted file, reads such a file,
// which may be hostile, and makes a folder of it again.
//
// # The file
//
// A backup is an age file (age-encryption.org/v1), not armoured, to one or more recipients
// whose identities are kept away from the node. Its plain text is the line
//
//	stile backup 1
//
// with its line feed, and then frames, each of
//
//	type1 length4 body
//
// where length4 is how many bytes the body has, big-endian, at most 67108864. In this order:
//
//	H  once: a Header as JSON, without white space, members in the order of the type
//	F  a file begins: the body is its path, with "/" between names. Paths ascend
//	D  of the file: 65536 bytes, and fewer, but at least one, in its last D frame. An
//	   empty file has none
//	S  the ledger begins: the body is empty. Only where Header.Of is "folder"
//	K  keys and values: for each a uvarint and so many bytes of key, a uvarint and so many
//	   bytes of value. Keys ascend over all K frames. A frame ends with the pair by which it
//	   reaches 262144 bytes; only the last may be shorter
//	E  once: SHA-256 of every byte before this frame, 32 bytes. Nothing follows
//
// Files stand before the ledger and are read before it, so that what says how far something
// was taken in is never ahead of the ledger.
//
// Uvarints are as short as they can be. So what is held has one encoding, and a reader refuses
// any other. Nothing is compressed, so that what is made of a backup is no larger than the
// backup: there is no bomb. For instance, a backup of no entries with one file of two bytes:
//
//	"stile backup 1\n"
//	'H' 00 00 00 c1 {"of":"folder","council":"northmoor.gov.uk","made":"2026-11-28T12:00:00Z",…}
//	'F' 00 00 00 0a stile.yaml
//	'D' 00 00 00 02 "x\n"
//	'S' 00 00 00 00
//	'E' 00 00 00 20 (32 bytes)
//
// The digest of a backup is SHA-256 of the encrypted file, as sha256sum prints it: anybody can
// hold a file against it without a key. The log of the council says it, as an event of kind
// backup-made.
//
// What is in a backup "of":"folder" is the ledger as it stood at one checkpoint, and the
// other files of the data folder but for private keys, secrets that the configuration names,
// what tells the folder from a copy, sockets, and replicas of footprints: instead of a replica
// there is its ledger, as "stile footprint backup" writes it, at footprint-backups/NAME. A
// replica itself holds how it voted, and one that has forgotten that must not vote. A
// backup "of":"keys" has the private keys and those secrets, and no ledger.
//
// age says nothing of who made a file: whoever knows the recipient can. That is what the
// digest in the log is for.
package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"filippo.io/age"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What a backup is of.
const (
	OfFolder = "folder"
	OfKeys   = "keys"
)

// Errors of this package, to be checked with errors.Is.
var (
	// ErrDamaged: the file is torn, altered, or was never a backup.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrIdentity: none of the identities opens the file.
	ErrIdentity = errors.New("no identity that was given opens the backup")
	// ErrNewer: the backup was written by a newer version of Stile.
	ErrNewer = errors.New("the backup was written by a newer version of Stile")
)

// A Header says what a backup is of. Its members never change: a later format has another
// first line.
type Header struct {
	Of      string       `json:"of"` // OfFolder or OfKeys
	Council name.Council `json:"council"`
	Made    time.Time    `json:"made"`    // UTC, in seconds
	Program string       `json:"program"` // the version that wrote it
	// LogKey is the verifier of the council's log key, such as "northmoor.gov.uk/stile+…".
	LogKey string    `json:"log_key"`
	Size   uint64    `json:"size"` // entries of the log at its checkpoint
	Root   tlog.Hash `json:"root"`
}

const (
	magic = "stile backup 1\n"

	maxFrame  = 64 << 20
	pairBytes = 256 << 10 // a K frame ends when it has so many
	fileBytes = 64 << 10  // of each D frame but the last
	maxPath   = 1024
	maxFiles  = 1_000_000
	maxHeader = 64 << 10
)

func (h *Header) encode() ([]byte, error) { return json.Marshal(h) }

func decodeHeader(b []byte) (h Header, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, damaged("its header cannot be read")
	}
	again, err := h.encode()
	if err != nil || !bytes.Equal(again, b) {
		return h, damaged("its header is not written as it must be")
	}
	if h.Of != OfFolder && h.Of != OfKeys {
		return h, damaged("its header says that it is of neither a folder nor keys")
	}
	if _, err := name.ParseCouncil(string(h.Council)); err != nil {
		return h, damaged("its header names no council")
	}
	return h, nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// Names in a data folder that no backup has, with all below them: what the restored folder
// makes itself, or what must not come back.
const (
	ledgerName     = "ledger"
	keysName       = "keys"
	secretsName    = "secrets"
	replicasName   = "footprints"
	footprintsName = "footprint-backups"
	headName       = "head"
	machineName    = "machine"
	StateName      = "backups.json"
	RestoredName   = "restored"
)

var never = []string{ledgerName, replicasName, headName, machineName, StateName, RestoredName, "admin.sock", "directory.joining"}

// checkPath refuses a path that must not be made in a folder. It is applied on writing, too.
func checkPath(of, p string) error {
	first, rest, deep := strings.Cut(p, "/")
	switch {
	case p == "" || p == "." || len(p) > maxPath || !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' || r == ':' }):
		return damaged("it holds a file whose path is none")
	case path.Clean(p) != p || !filepath.IsLocal(filepath.FromSlash(p)) || strings.HasPrefix(p, "/"):
		return damaged("it holds the file %.200q, which is not below the folder", p)
	case of == OfKeys && (!deep || first != keysName && first != secretsName || rest == ""):
		return damaged("it is of keys and holds the file %.200q", p)
	}
	if of == OfFolder {
		for _, n := range append(never, keysName, secretsName) {
			if strings.EqualFold(first, n) {
				return damaged("it holds the file %.200q, which no backup has", p)
			}
		}
	}
	return nil
}

// Recipients reads public keys of age, such as "age1…", separated by white space.
func Recipients(text string) ([]age.Recipient, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, errors.New("no recipient is named: want a public key such as age1…, whose identity is kept away from the node")
	}
	for _, f := range fields {
		if strings.HasPrefix(f, "AGE-SECRET-KEY-") {
			return nil, errors.New("a secret key stands where a recipient belongs: want the public key that goes with it, age1…")
		}
	}
	rs, err := age.ParseRecipients(strings.NewReader(strings.Join(fields, "\n") + "\n"))
	if err != nil {
		return nil, errors.New("a recipient is no public key of age: want age1…")
	}
	return rs, nil
}

// An Identity is a secret key of age.
type Identity = age.Identity

// Identities reads a file of secret keys of age, as age-keygen writes it.
func Identities(b []byte) ([]age.Identity, error) {
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, errors.New("the file holds no identity of age: want a line AGE-SECRET-KEY-…, as age-keygen writes it")
	}
	return ids, nil
}

// NewIdentity makes an identity, as the content of a file that Identities reads and age -i
// takes, and the recipient that goes with it.
func NewIdentity(now time.Time) (file []byte, recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", err
	}
	recipient = id.Recipient().String()
	return fmt.Appendf(nil, "# made: %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), recipient, id), recipient, nil
}
