package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Use is what a council's key is for.
type Use string

// The uses.
const (
	UseRecord  Use = "record"  // signs records and events; ID is its RFC 7638 thumbprint
	UseLog     Use = "log"     // signs checkpoints; ID is its verifier key
	UseWitness Use = "witness" // cosigns checkpoints; ID is its verifier key
)

// A Key names a public key of a council beyond doubt. It prints as three words,
//
//	northmoor.gov.uk record 3q2-7wAB…
//
// which is a line that people can compare, and that [ReadTrust] reads.
type Key struct {
	Council name.Council `json:"council"`
	Use     Use          `json:"use"`
	ID      string       `json:"id"`
}

func (k Key) String() string { return string(k.Council) + " " + string(k.Use) + " " + k.ID }

// material returns the part of the id that is the key and not its name. A
// verifier key is "name+hash+key", and the base64 of key may hold a plus too.
func (k Key) material() string {
	f := strings.SplitN(k.ID, "+", 3)
	return f[len(f)-1]
}

// ErrTrust is wrapped by every error about keys that an auditor gives.
var ErrTrust = errors.New("keys cannot be used")

// ParseKey reads what String prints.
func ParseKey(s string) (Key, error) {
	f := strings.Fields(s)
	if len(f) != 3 {
		return Key{}, fmt.Errorf("%w: want council, use and key", ErrTrust)
	}
	c, err := name.ParseCouncil(f[0])
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrTrust, err)
	}
	k := Key{c, Use(f[1]), f[2]}
	var v note.Verifier
	switch k.Use {
	case UseRecord:
		if len(k.ID) != 43 || !isToken([]byte(k.ID)) {
			return Key{}, fmt.Errorf("%w: a record key of %s: want the 43 characters of its thumbprint", ErrTrust, c)
		}
		return k, nil
	case UseLog:
		v, err = tlog.ParseLogKey(k.ID)
		if err == nil && v.Name() != c.Origin() {
			err = errors.New("is another log's")
		}
	case UseWitness:
		v, err = tlog.ParseWitnessKey(k.ID)
		if err == nil && v.Name() != string(c) {
			err = errors.New("is another witness's")
		}
	default:
		return Key{}, fmt.Errorf("%w: want record, log or witness before the key", ErrTrust)
	}
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s key of %s: %w", ErrTrust, k.Use, c, err)
	}
	return k, nil
}

// Trust is what the auditor knows about keys from elsewhere than the file that
// is verified: member files, single keys, the roots of directories, or several
// of them. For each council and use it speaks of, only the keys it names are
// believed; a root speaks of those that the directory in a bundle leads to.
type Trust struct {
	Members []directory.Member
	Keys    []Key
	Roots   [][32]byte // SHA-256 of a directory's root file

	vouched []directory.Member // that a directory in the bundle vouches for, from one of Roots
}

// Add adds what o knows.
func (t *Trust) Add(o Trust) {
	t.Members = append(t.Members, o.Members...)
	t.Keys = append(t.Keys, o.Keys...)
	t.Roots = append(t.Roots, o.Roots...)
}

// ReadTrust reads trust from "root:" and the 64 hexadecimal digits of a
// directory's root, as stile directory show prints it; or from a path: the directory folder of a node, whose
// members are those that its root vouches for; a folder of member files, one member file
// (.yaml), or a text file with one [Key] a line, where lines that begin with #
// and empty ones mean nothing. The error wraps [ErrTrust], or is that of the
// file system.
func ReadTrust(path string) (Trust, error) {
	if digits, ok := strings.CutPrefix(path, rootPrefix); ok {
		var sum [32]byte
		if n, err := hex.Decode(sum[:], []byte(digits)); err != nil || n != len(sum) {
			return Trust{}, fmt.Errorf("%w: want 64 hexadecimal digits after %s", ErrTrust, rootPrefix)
		}
		return Trust{Roots: [][32]byte{sum}}, nil
	}
	fi, err := os.Stat(path)
	if err != nil {
		return Trust{}, fmt.Errorf("read keys: %w", err)
	}
	if fi.IsDir() {
		members, err := tufdir.ReadMembers(path)
		if errors.Is(err, os.ErrNotExist) {
			members, err = directory.Read(path)
		}
		if err != nil {
			return Trust{}, fmt.Errorf("%w: %w", ErrTrust, err)
		}
		if len(members) == 0 {
			return Trust{}, fmt.Errorf("%w: no member file (.yaml) in %s", ErrTrust, path)
		}
		return Trust{Members: members}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return Trust{}, fmt.Errorf("read keys: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Trust{}, fmt.Errorf("read keys: %w", err)
	}
	if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" {
		m, err := directory.ParseMember(b)
		if err != nil {
			return Trust{}, fmt.Errorf("%w: %s: %w", ErrTrust, filepath.Base(path), err)
		}
		return Trust{Members: []directory.Member{m}}, nil
	}
	var t Trust
	s := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return Trust{}, fmt.Errorf("%s line %d: %w", filepath.Base(path), n, err)
		}
		t.Keys = append(t.Keys, k)
	}
	if len(t.Keys) == 0 {
		return Trust{}, fmt.Errorf("%w: no key in %s", ErrTrust, path)
	}
	return t, nil
}

// A Source says where the belief in a key comes from.
type Source string

// The sources.
const (
	FromAuditor   Source = "auditor"   // given by the auditor
	FromDirectory Source = "directory" // vouched for by the directory in the file, from a root that the auditor gave
	FromFile      Source = "file"      // stands in the verified file alone
)

const rootPrefix = "root:"

func (s Source) words() string {
	switch s {
	case FromAuditor:
		return "given by you"
	case FromDirectory:
		return "vouched for by the directory whose root you gave"
	}
	return "from this file alone: compare it with one that " +
		"the council publishes or reads to you"
}

// A UsedKey is a key that signatures were checked with, and where the belief in
// it comes from.
type UsedKey struct {
	Key
	Source Source `json:"source"`
}

// holder is a council and a use of its keys.
type holder struct {
	council name.Council
	use     Use
}

// keyring knows which keys to believe. It is filled first and then only read,
// concurrently.
type keyring struct {
	trusted map[holder]map[string]bool // by id; an entry for a holder is the last word on it
	records map[Key]*keys.RecordPublic
	revoked map[Key]uint64                      // from which entry of the log on; the least that anybody says
	logs    map[holder]map[string]note.Verifier // logs and witnesses, by id
	bundled map[holder]map[string]bool          // ids that the file itself gives
	vouched map[Key]bool                        // trusted for the directory's sake
	listed  map[holder]bool                     // the auditor gave keys one by one, and no other will do
	later   map[Key]bool                        // see follow

	footprints map[name.Council]footprint
}

func newKeyring(t Trust) *keyring {
	r := &keyring{trusted: map[holder]map[string]bool{}, records: map[Key]*keys.RecordPublic{}, revoked: map[Key]uint64{},
		logs: map[holder]map[string]note.Verifier{}, bundled: map[holder]map[string]bool{}, vouched: map[Key]bool{}, footprints: map[name.Council]footprint{},
		listed: map[holder]bool{}, later: map[Key]bool{}}
	for _, m := range t.vouched {
		for _, u := range []Use{UseRecord, UseLog, UseWitness} {
			r.listed[holder{m.Council, u}] = true // the directory has every key
		}
		for _, k := range r.learn(m) {
			r.vouched[k] = true
		}
	}
	for _, m := range slices.Concat(t.vouched, t.Members) {
		r.footprint(m, true) // known first hand is the last word
		for _, u := range []Use{UseRecord, UseLog, UseWitness} {
			r.trust(holder{m.Council, u})
		}
		for _, k := range r.learn(m) {
			r.trust(holder{k.Council, k.Use})[k.ID] = true
		}
	}
	for _, m := range t.Members {
		for _, k := range r.learn(m) {
			delete(r.vouched, k) // known first hand
		}
	}
	for _, k := range t.Keys {
		delete(r.vouched, k)
		h := holder{k.Council, k.Use}
		r.trust(h)[k.ID] = true
		r.listed[h] = true
		// A verifier key is the key itself; a thumbprint needs the key from
		// the file.
		var v note.Verifier
		var err error
		switch k.Use {
		case UseLog:
			v, err = tlog.ParseLogKey(k.ID)
		case UseWitness:
			v, err = tlog.ParseWitnessKey(k.ID)
		}
		if v != nil && err == nil {
			r.verifier(h, k.ID, v)
		}
	}
	return r
}

func (r *keyring) trust(h holder) map[string]bool {
	if r.trusted[h] == nil {
		r.trusted[h] = map[string]bool{}
	}
	return r.trusted[h]
}

func (r *keyring) verifier(h holder, id string, v note.Verifier) {
	if r.logs[h] == nil {
		r.logs[h] = map[string]note.Verifier{}
	}
	if r.logs[h][id] == nil { // who says first for how large a log a key counts, is known best
		r.logs[h][id] = v
	}
}

// learn takes in a member's keys and returns them.
func (r *keyring) learn(m directory.Member) (all []Key) {
	for _, p := range m.RecordKeys {
		k := Key{m.Council, UseRecord, p.ID()}
		r.records[k] = p
		all = append(all, k)
	}
	for _, v := range m.Revocations {
		k := Key{m.Council, UseRecord, v.KID}
		if from, ok := r.revoked[k]; !ok || v.FromIndex < from {
			r.revoked[k] = v.FromIndex
		}
	}
	for _, k := range m.LogKeys() {
		if v, err := k.Verifier(); err == nil {
			r.verifier(holder{m.Council, UseLog}, k.Key, v)
			all = append(all, Key{m.Council, UseLog, k.Key})
		}
	}
	if v, err := m.WitnessVerifier(); err == nil {
		r.verifier(holder{m.Council, UseWitness}, m.WitnessKey, v)
		all = append(all, Key{m.Council, UseWitness, m.WitnessKey})
	}
	return all
}

// follow takes in keys of the council whose log the file holds that are not in the member
// file the auditor gave, which may be older than the last replacement of a key. They are
// believed as a key from the file alone is, and only where the file's member file has a log
// key and a record key that the auditor gave. A record key is followed where the log key in
// use is one of those: then the checkpoint over all that the new key signed must verify with
// that log key. A log key is followed otherwise: then no record key is, and the checkpoint must be
// signed with one that the auditor gave. Where both were replaced nothing is followed.
func (r *keyring) follow(m directory.Member) {
	record, log := holder{m.Council, UseRecord}, holder{m.Council, UseLog}
	given, logs := r.trusted[record], r.trusted[log]
	known := func(p *keys.RecordPublic) bool { return given[p.ID()] }
	knownLog := func(k tlog.OtherKey) bool { return logs[k.Key] }
	if r.listed[record] || r.listed[log] || !slices.ContainsFunc(m.RecordKeys, known) || !slices.ContainsFunc(m.LogKeys(), knownLog) {
		return
	}
	if !logs[m.LogKey] {
		r.later[Key{m.Council, UseLog, m.LogKey}] = true
		logs[m.LogKey] = true
		return
	}
	for _, p := range m.RecordKeys {
		if !known(p) {
			k := Key{m.Council, UseRecord, p.ID()}
			r.later[k] = true
			given[k.ID] = true
		}
	}
}

// bundle takes in a member file of the bundle, and returns the keys in it that
// contradict what the auditor gave.
func (r *keyring) bundle(m directory.Member) (other []Key) {
	r.footprint(m, false)
	for _, k := range r.learn(m) {
		h := holder{k.Council, k.Use}
		if r.bundled[h] == nil {
			r.bundled[h] = map[string]bool{}
		}
		r.bundled[h][k.ID] = true
		if t, ok := r.trusted[h]; ok && !t[k.ID] {
			other = append(other, k)
		}
	}
	return other
}

// The reasons for which a key is not used, as rules of a failure.
const (
	ruleNoKey      = "is signed with a key that is not here"
	ruleOtherKey   = "is signed with a key that is not among those you gave for the council"
	ruleNoSuchSign = "has no valid signature"
	ruleRevoked    = "is signed with a key that is revoked from an earlier entry of the log on"
)

// record returns the record key of a council by id, for an entry of its log, or
// the rule it breaks. The place may be directory.AnyPlace.
func (r *keyring) record(c name.Council, id string, index uint64) (*keys.RecordPublic, string) {
	if t, ok := r.trusted[holder{c, UseRecord}]; ok && !t[id] {
		return nil, ruleOtherKey
	}
	if from, ok := r.revoked[Key{c, UseRecord, id}]; ok && index >= from {
		return nil, ruleRevoked
	}
	if p := r.records[Key{c, UseRecord, id}]; p != nil {
		return p, ""
	}
	return nil, ruleNoKey
}

// recordKeys returns the record keys of a council that may be used somewhere, by id.
func (r *keyring) recordKeys(c name.Council) (out []*keys.RecordPublic) {
	t, given := r.trusted[holder{c, UseRecord}]
	for k, p := range r.records {
		if k.Council == c && (!given || t[k.ID]) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *keys.RecordPublic) int { return cmp.Compare(a.ID(), b.ID()) })
	return out
}

// verifiers returns the keys of a council's log or witness that may be used.
func (r *keyring) verifiers(c name.Council, u Use) (out []keyed) {
	h := holder{c, u}
	t, given := r.trusted[h]
	for id, v := range r.logs[h] {
		if !given || t[id] {
			out = append(out, keyed{Key{c, u, id}, v})
		}
	}
	slices.SortFunc(out, func(a, b keyed) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

type keyed struct {
	Key
	v note.Verifier
}

// councils returns every council with a key of that use, sorted.
func (r *keyring) councils(u Use) (out []name.Council) {
	for h := range r.logs {
		if h.use == u {
			out = append(out, h.council)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// source says where the belief in a key comes from.
func (r *keyring) source(k Key) Source {
	if r.vouched[k] {
		return FromDirectory
	}
	if r.later[k] {
		return FromFile
	}
	if r.trusted[holder{k.Council, k.Use}][k.ID] {
		return FromAuditor
	}
	return FromFile
}

// account writes the check of keys: which were used, and whence they came.
func (r *keyring) account(s *sheet, used map[Key]bool) (out []UsedKey) {
	t := s.on(CheckKeys)
	alone := map[name.Council]bool{}
	var later, logs []string
	for k := range used {
		u := UsedKey{k, r.source(k)}
		if u.Source != FromFile {
			t.pass(1)
		} else {
			t.skip(1)
			if r.later[k] && k.Use == UseLog {
				logs = append(logs, k.ID)
			} else if r.later[k] {
				later = append(later, k.ID)
			} else {
				alone[k.Council] = true
			}
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b UsedKey) int { return cmp.Compare(a.String(), b.String()) })
	for _, id := range slices.Sorted(slices.Values(later)) {
		s.say(CheckKeys, "The record key %s is not in the member file that you gave. The file here gives it beside one that is, and the log key that you gave "+
			"signed for all that it signed, as after a council has replaced its record key. Ask for the newer member file, or look the key up in the directory.", id)
	}
	for _, id := range logs {
		s.say(CheckKeys, "The log key %s is not in the member file that you gave. The file here gives it beside one that is, and a record key that you gave "+
			"signed the same checkpoint, as after a council has replaced its log key. Ask for the newer member file, or look the key up in the directory.", id)
	}
	later = append(later, logs...)
	switch {
	case len(out) == 0:
		s.say(CheckKeys, "No signature could be checked, for want of a key.")
	case len(alone) == 0 && len(later) > 0:
		s.say(CheckKeys, "Every other signature was checked with keys that you gave.")
	case len(alone) == 0:
		s.say(CheckKeys, "Every signature was checked with keys that you gave%s.", map[bool]string{true: ", or that the directory vouches for whose root you gave"}[len(r.vouched) > 0])
	default:
		var who []string
		for c := range alone {
			who = append(who, string(c))
		}
		slices.Sort(who)
		s.say(CheckKeys, "The keys of %s come from this file alone, and whoever made the file chose them. Until you compare them with keys "+
			"that you have from elsewhere, this report shows that the file agrees with itself, not who made it. "+
			"The keys are listed at the end; give those you trust with --trust.", strings.Join(who, " and "))
	}
	return out
}
