// Package tufdir distributes the directory: who is a member with which keys,
// and which standards exist, as signed files by The Update Framework (TUF 1.0).
// It founds and publishes a directory ([Repository]), follows one and answers
// from it ([Client], [View]), and hands it on ([Mirror], [Invite]).
//
// # Who signs what
//
//	root        holders, offline, a threshold of them (2 of 3 or more): the keys of all roles below
//	targets     the same holders: which standards bodies there are, and the registrar
//	members     the registrar: who is a member (a delegated role, terminating, members/*)
//	<body>      one standards body: its standards (a delegated role, terminating, standards/<body>/*/*)
//	snapshot    an online key: which versions of all of these belong together
//	timestamp   the same online key: that this is the latest, as of lately
//
// Every key is Ed25519. Nobody but the holders of root can do more than their
// line says: the host of a directory, who has the online key, can withhold
// news until the timestamp expires, and no more.
//
// # Files
//
// A directory is a tree of files, the same in the folder of its host, in
// every mirror, and on every wire:
//
//	metadata/timestamp.json                          the one file that is ever replaced
//	metadata/7.snapshot.json                         version and role; likewise root, targets, members, <body>
//	targets/members/<sha256>.northmoor.gov.uk.yaml   a directory.Member
//	targets/standards/<body>/<slug>/<sha256>.1.2.0.zip   a standard.Standard, as its Archive
//
// Whoever publishes writes the timestamp last, so that at every moment the tree
// holds one whole edition.
//
// Beside the fields of TUF, root holds "stile": {"format":1,"expiry_days":{…}},
// for how long each role signs is a rule of the directory and not of its host; and
// targets, members and each body's file hold "stile": {"role":"members"},
// so that what one role signed cannot be shown as another's even where a key
// is used twice. The "custom" of a target is a [MemberExtra] or a
// [StandardExtra].
//
// # What is trusted
//
// A client trusts the first root it is given (an [Invite] carries its hash),
// and what follows from it by signatures. Its cache is trusted as any file of
// the node's own: one who can write there can set the directory back to an
// older state, but every file is checked again whenever it is read.
//
// go-tuf decides every question of signature, threshold, version and expiry.
// What is fetched, in which order, how much of it and where it is kept is
// decided here, since a directory must go on answering while parts of it
// are refused. A file is first read by strictjson, because go-tuf reads some
// texts that are not metadata with a panic.
package tufdir

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/node/name"
)

// RoleMembers names the delegated role whose targets are the members. No
// standards body can have this name: a body's is a domain, with a dot in it.
const RoleMembers = "members"

// Limits. They bound what a hostile mirror, host or body can make a node
// hold; a directory of 400 members and 300 standards keeps to a tenth of each.
const (
	maxRoot      = 256 << 10 // bytes of a root file
	maxTimestamp = 16 << 10  // bytes
	maxSnapshot  = 1 << 20   // bytes
	maxTargets   = 8 << 20   // bytes of targets or members
	maxBody      = 2 << 20   // bytes of one body's file
	maxArchive   = 32 << 20  // bytes of one standard, as package standard has it
	maxBodyTotal = 256 << 20 // bytes of all standards of one body
	maxRotations = 256       // root versions followed in one refresh
	maxMembers   = 10_000
	maxBodies    = 500
	maxStandards = 2000 // of one body
	maxKeys      = 32   // of one role
)

// Why a file or an entry was refused. A [Refusal] wraps one of them.
var (
	ErrRollback    = errors.New("is older than what was seen before")
	ErrExpired     = errors.New("has expired")
	ErrSignatures  = errors.New("is not signed by enough of the keys that may sign it")
	ErrMismatch    = errors.New("is not the file that was signed for")
	ErrMix         = errors.New("does not belong to this edition of the directory")
	ErrTooLong     = errors.New("is larger than it may be")
	ErrForeign     = errors.New("is outside its signer's namespace")
	ErrFrozen      = errors.New("has other bytes than were published under this version before")
	ErrFormat      = errors.New("cannot be read")
	ErrMissing     = errors.New("is not there")
	ErrUnreachable = errors.New("could not be fetched")
)

// A Refusal says which file of a directory was not accepted, and why. Its text
// may be shown to anybody.
type Refusal struct {
	File   string // path in the tree, or a target's; printable, at most 300 bytes
	Why    error  // one of the errors above
	Detail string // more, in words; may be ""
}

// Error prints the refusal as one clause.
func (r *Refusal) Error() string {
	s := "refuse " + r.File + ": " + r.Why.Error()
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	return s
}

// Unwrap returns Why.
func (r *Refusal) Unwrap() error { return r.Why }

// refuse makes a Refusal, with a name from outside made fit to print.
func refuse(file string, why error, detail string) *Refusal {
	return &Refusal{File: clip(file, 300), Why: why, Detail: clip(detail, 300)}
}

func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// bodyOf returns the standards body that a delegated role's name is.
func bodyOf(role string) (name.Council, bool) {
	c, err := name.ParseCouncil(role)
	return c, err == nil
}

// paths returns the one pattern that a role may be delegated. A "*" does not
// cross a slash.
func rolePath(role string) string {
	if role == RoleMembers {
		return "members/*"
	}
	return "standards/" + role + "/*/*"
}

// metadataPath returns where a role's file stands in the tree.
func metadataPath(role string, version int64) string {
	if role == metadata.TIMESTAMP {
		return "metadata/timestamp.json"
	}
	return "metadata/" + strconv.FormatInt(version, 10) + "." + role + ".json"
}

// memberTarget and standardTarget return the path of a target as it is signed.
func memberTarget(c name.Council) string { return "members/" + string(c) + ".yaml" }

func standardTarget(s name.Standard) string {
	return "standards/" + string(s.Name) + "/" + s.Version.String() + ".zip"
}

func parseMemberTarget(p string) (name.Council, bool) {
	p, ok := strings.CutPrefix(p, "members/")
	if !ok {
		return "", false
	}
	if p, ok = strings.CutSuffix(p, ".yaml"); !ok {
		return "", false
	}
	c, err := name.ParseCouncil(p)
	return c, err == nil
}

func parseStandardTarget(p string) (name.Standard, bool) {
	rest, ok := strings.CutPrefix(p, "standards/")
	if !ok {
		return name.Standard{}, false
	}
	if rest, ok = strings.CutSuffix(rest, ".zip"); !ok {
		return name.Standard{}, false
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return name.Standard{}, false
	}
	s, err := name.ParseStandard(rest[:i] + "@" + rest[i+1:])
	return s, err == nil && standardTarget(s) == p
}

// targetPath returns where a target's bytes stand in the tree: TUF section
// 7.3, consistent snapshots, puts the digest before the last element.
func targetPath(target string, sum [32]byte) string {
	i := strings.LastIndexByte(target, '/') + 1
	return "targets/" + target[:i] + hex.EncodeToString(sum[:]) + "." + target[i:]
}

// A treePath is a path in the tree, taken apart.
type treePath struct {
	role    string // of a metadata file; "" for a target
	version int64  // of a metadata file other than the timestamp
	target  string // of a target
	sum     [32]byte
}

func (p treePath) String() string {
	if p.role != "" {
		return metadataPath(p.role, p.version)
	}
	return targetPath(p.target, p.sum)
}

// limit returns how many bytes the file may have.
func (p treePath) limit() int64 {
	switch {
	case strings.HasPrefix(p.target, "members/"):
		return directory.MaxFile
	case p.target != "":
		return maxArchive
	}
	return roleLimit(p.role)
}

func roleLimit(role string) int64 {
	switch role {
	case metadata.ROOT:
		return maxRoot
	case metadata.TIMESTAMP:
		return maxTimestamp
	case metadata.SNAPSHOT:
		return maxSnapshot
	case metadata.TARGETS, RoleMembers:
		return maxTargets
	}
	return maxBody
}

// parsePath reads a path in the tree. It accepts only what String prints, so
// that nothing in it can mean another place.
func parsePath(s string) (p treePath, ok bool) {
	if len(s) > 700 {
		return p, false
	}
	if rest, meta := strings.CutPrefix(s, "metadata/"); meta {
		if rest == "timestamp.json" {
			return treePath{role: metadata.TIMESTAMP}, true
		}
		v, file, _ := strings.Cut(rest, ".")
		role, json := strings.CutSuffix(file, ".json")
		n, err := strconv.ParseInt(v, 10, 48)
		if err != nil || n < 1 || !json {
			return p, false
		}
		switch role {
		case metadata.ROOT, metadata.SNAPSHOT, metadata.TARGETS, RoleMembers:
		default:
			if _, body := bodyOf(role); !body {
				return p, false
			}
		}
		p = treePath{role: role, version: n}
		return p, p.String() == s
	}
	rest, ok := strings.CutPrefix(s, "targets/")
	if !ok {
		return p, false
	}
	i := strings.LastIndexByte(rest, '/') + 1
	digest, base, _ := strings.Cut(rest[i:], ".")
	if len(digest) != 64 {
		return p, false
	}
	if n, err := hex.Decode(p.sum[:], []byte(digest)); err != nil || n != len(p.sum) {
		return p, false
	}
	p.target = rest[:i] + base
	_, member := parseMemberTarget(p.target)
	_, std := parseStandardTarget(p.target)
	return p, (member || std) && p.String() == s
}

// days prints a number of days in words.
func days(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}
