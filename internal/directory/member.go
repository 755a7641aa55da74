// Package directory says who is a member of the exchange, and with which keys,
// addresses and role.
//
// Each member has one YAML file, named after its council: northmoor.gov.uk.yaml.
// A file reads
//
//	council: northmoor.gov.uk            # its domain, and the file's name
//	title: Northmoor Borough Council
//	gss: E07000998                       # ONS code; optional
//	role: council                        # council, footprint, standards-body, auditor or regulator
//	keys:                                # all four for role council; any of them for others
//	  record:                            # ES256, newest last; old ones stay while their records do
//	    - kid: 3q2-7w…                   # RFC 7638 thumbprint, checked against the key
//	      pem: |                         # or jwk: {"kty":"EC",…}
//	        -----BEGIN PUBLIC KEY-----
//	        …
//	  log: northmoor.gov.uk/stile+…      # c2sp.org/signed-note verifier key of its log
//	  log_also:                          # other keys of the same log: the next one, and those from before
//	    - key: northmoor.gov.uk/stile+…
//	      to: 1234                       # the largest log for which it counts; without it, any
//	  witness: northmoor.gov.uk+…        # c2sp.org/tlog-cosignature verifier key, type 4
//	  node: 12D3KooW…                    # libp2p peer id of its node, Ed25519, base58
//	addresses:                           # where its node listens, multiaddrs; none if it only dials out
//	  - /ip4/192.0.2.1/udp/7400/quic-v1
//	valid_from: 2026-11-01               # a member from the start of that day, UTC
//	contact: data@northmoor.gov.uk       # whom to ask, in words; optional
//
// and of a footprint, which has no keys of its own,
//
//	members: [hexwell.gov.uk, saltby.gov.uk]  # the councils that keep it, sorted; what a majority of them signs, it signs
//
// and, where the directory has more to say of the member than it says of itself,
//
//	ended: 2028-04-01                    # no longer a member from the start of that day, UTC
//	predecessors: [oldmoor.gov.uk]       # whose duties it took over
//	successors: [newmoor.gov.uk]         # who took over its own
//	revoked:
//	  - kid: 3q2-7w…                     # a key under keys.record
//	    from_entry: 1234                 # of its log; what stands before goes on being believed
//
// A field or a file that is not understood is an error: to guess would be to
// admit somebody. Fields may be added; one that is there keeps its meaning.
//
// # The seam
//
// Everybody asks through [Directory]. How it comes to be known is no matter
// here: package tufdir distributes it, and whoever runs a node puts each verified
// edition into view with [Directory.Replace].
package directory

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Role is what a member is in the exchange.
type Role string

// The roles.
const (
	RoleCouncil       Role = "council"
	RoleFootprint     Role = "footprint" // several councils that keep one ledger
	RoleStandardsBody Role = "standards-body"
	RoleAuditor       Role = "auditor"
	RoleRegulator     Role = "regulator"
)

// A Member is one organisation in the directory. One that came from a
// [Directory] or [ParseMember] has passed Check; its slices are shared and must
// not be changed.
type Member struct {
	Council    name.Council
	Title      string               // what people call it
	GSS        string               // ONS code, "E07000998"; "" if it has none
	Role       Role                 //
	RecordKeys []*keys.RecordPublic // sign its records and events; newest last
	LogKey     string               // verifier key of its log, named Council.Origin(); "" if it keeps none
	LogAlso    []tlog.OtherKey      // other keys of the same log: the next one, and those from before
	WitnessKey string               // verifier key of its cosignatures, named Council; "" if it does not witness
	Node       string               // peer id of its node, as [NodeID]; "" if it runs none
	Addresses  []string             // multiaddrs its node listens on; may be empty
	ValidFrom  time.Time            // midnight UTC of the day it became a member
	Contact    string               // "" or whom to ask, in words
	Members    []name.Council       // of a footprint: the councils that keep it, sorted; nil for others

	// What the directory says of a member beside what it says of itself.
	Ended        time.Time      // midnight UTC of the first day it is no longer a member; zero while it is
	Predecessors []name.Council // whose duties it took over, sorted
	Successors   []name.Council // who took over its own, sorted
	Revocations  []Revocation   // sorted by KID, each once

	log, witness note.Verifier // LogKey with LogAlso, and WitnessKey, parsed by Check; nil if ""
}

// A Revocation says that a record key is not to be believed from an entry of
// its owner's log on. What stands before in the log still verifies: a place
// in a log that partners have cosigned cannot be claimed afterwards, as a time
// can.
type Revocation struct {
	KID       string // RFC 7638 thumbprint of the record key
	FromIndex uint64 // the first entry that is not believed; at most 2^53−1
}

// FromRing returns a Member for c with the public halves of a ring's keys. The
// caller fills in the rest.
func FromRing(c name.Council, r *keys.Ring) Member {
	var also []tlog.OtherKey
	for _, k := range r.Log.Former() {
		also = append(also, tlog.OtherKey{Key: k})
	}
	return Member{
		Council:    c,
		RecordKeys: []*keys.RecordPublic{r.Record.Public()},
		LogKey:     r.Log.Verifier(),
		LogAlso:    also,
		WitnessKey: r.Log.CosignerVerifier(),
		Node:       NodeID(r.Node.Public().(ed25519.PublicKey)),
	}
}

// RecordKey returns the member's record key with the given id, the "kid" of a
// token.
func (m Member) RecordKey(kid string) (*keys.RecordPublic, bool) {
	for _, k := range m.RecordKeys {
		if k.ID() == kid {
			return k, true
		}
	}
	return nil, false
}

// ErrRevoked is returned for a record key that is not to be believed at the
// place in the log that was asked about.
var ErrRevoked = errors.New("key is revoked from an earlier place in the log on")

// RecordKeyAt returns the record key with the id kid for the entry at index of
// the member's log, counted from 0. The error is [ErrNoKey], or [ErrRevoked].
// What an ended member logged still verifies.
func (m Member) RecordKeyAt(kid string, index uint64) (*keys.RecordPublic, error) {
	k, ok := m.RecordKey(kid)
	if !ok {
		return nil, ErrNoKey
	}
	for _, r := range m.Revocations {
		if r.KID == kid && index >= r.FromIndex {
			return nil, ErrRevoked
		}
	}
	return k, nil
}

// AnyPlace is the index to ask RecordKeyAt with when it is not known where in
// the log something stands: a key that is revoked from anywhere on is then not
// believed.
const AnyPlace = math.MaxUint64

// ErrNoKey is returned when a member has no key of the kind asked for.
var ErrNoKey = errors.New("member has no such key")

// LogVerifier returns the verifier of the member's checkpoints, by whichever key of its
// log ([tlog.ParseLogKeys]). The error is [ErrNoKey], or wraps tlog.ErrKey for a Member that
// has not passed Check.
func (m Member) LogVerifier() (note.Verifier, error) {
	if m.log != nil || m.LogKey == "" {
		return orNoKey(m.log)
	}
	return tlog.ParseLogKeys(m.LogKey, m.LogAlso...)
}

// LogKeys returns every key of the member's log, first the one in use; nil if it keeps none.
func (m Member) LogKeys() []tlog.OtherKey {
	if m.LogKey == "" {
		return nil
	}
	return append([]tlog.OtherKey{{Key: m.LogKey}}, m.LogAlso...)
}

// HasLogKey reports whether a verifier key is one of the member's log.
func (m Member) HasLogKey(vkey string) bool {
	return vkey != "" && slices.ContainsFunc(m.LogKeys(), func(k tlog.OtherKey) bool { return k.Key == vkey })
}

// WitnessVerifier returns the verifier of the member's cosignatures. Errors are
// those of LogVerifier.
func (m Member) WitnessVerifier() (note.Verifier, error) {
	if m.witness != nil || m.WitnessKey == "" {
		return orNoKey(m.witness)
	}
	return tlog.ParseWitnessKey(m.WitnessKey)
}

func orNoKey(v note.Verifier) (note.Verifier, error) {
	if v == nil {
		return nil, ErrNoKey
	}
	return v, nil
}

// ActiveAt reports whether m is a member at t: begun, and not ended.
func (m Member) ActiveAt(t time.Time) bool {
	return !t.Before(m.ValidFrom) && (m.Ended.IsZero() || t.Before(m.Ended))
}

// Bare returns m as it speaks of itself, without what the directory adds: its
// end, who succeeds whom, and which keys are revoked.
func (m Member) Bare() Member {
	m.Ended, m.Predecessors, m.Successors, m.Revocations = time.Time{}, nil, nil, nil
	return m
}

// Limits on a member file.
const (
	MaxFile       = 64 << 10 // bytes
	maxText       = 200      // bytes of a title or a contact
	maxRecordKeys = 32
	maxLogAlso    = 16
	maxAddresses  = 32
	maxList       = 64 // revocations, predecessors, successors
	maxFootprint  = 12 // members of a footprint
)

// ErrMember is wrapped by every [Problem].
var ErrMember = errors.New("member is not valid")

// A Problem is one thing wrong with a member or its file. It never holds the
// text that is wrong.
type Problem struct {
	File  string // name of the file; "" when there is none
	Line  int    // from 1; 0 when no line is to blame
	Field string // such as "keys.log"; "" is the whole member
	Rule  string // what is wanted
}

// Error prints the problem as "file:line: field: rule".
func (p *Problem) Error() string {
	var b bytes.Buffer
	if p.File != "" {
		fmt.Fprintf(&b, "%s:", p.File)
	}
	if p.Line > 0 {
		if p.File == "" {
			b.WriteString("line ")
		}
		fmt.Fprintf(&b, "%d:", p.Line)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Field != "" {
		fmt.Fprintf(&b, "%s: ", p.Field)
	}
	b.WriteString(p.Rule)
	return b.String()
}

// Unwrap returns [ErrMember].
func (p *Problem) Unwrap() error { return ErrMember }

// Check reports every problem with m, joined; each is a *[Problem]. It looks at
// m alone: that no two members share a key is for the Directory to see.
func (m *Member) Check() error {
	var errs []error
	m.check(func(field, rule string) { errs = append(errs, &Problem{Field: field, Rule: rule}) })
	return errors.Join(errs...)
}

// check calls bad for each problem, and keeps the parsed verifiers.
func (m *Member) check(bad func(field, rule string)) {
	m.log, m.witness = nil, nil
	if _, err := name.ParseCouncil(string(m.Council)); err != nil {
		// Half of the rules below speak of the council's name.
		bad("council", "want a domain in lower case, such as northmoor.gov.uk")
		return
	}
	m.checkWho(bad)
	m.checkKeys(bad)
	m.checkAddresses(bad)
	m.checkLife(bad)
	m.checkRevocations(bad)
}

// checkWho checks what people call the member, and what it is.
func (m *Member) checkWho(bad func(field, rule string)) {
	if m.Title == "" || !plainText(m.Title) {
		bad("title", "want a name of 1 to 200 bytes, on one line")
	}
	if !plainText(m.Contact) {
		bad("contact", "want at most 200 bytes, on one line")
	}
	switch m.Role {
	case RoleCouncil, RoleFootprint, RoleStandardsBody, RoleAuditor, RoleRegulator:
	default:
		bad("role", "want council, footprint, standards-body, auditor or regulator")
	}
	if m.GSS != "" && !isGSS(m.GSS) {
		bad("gss", "want E, W, S or N and eight digits, such as E07000998")
	}
}

// checkKeys checks the member's keys and keeps the verifiers of its log. A
// council is what agreements are made with, so it must be possible to verify it:
// it has every key. Others may have none.
func (m *Member) checkKeys(bad func(field, rule string)) {
	council := m.Role == RoleCouncil
	if len(m.RecordKeys) == 0 && council || len(m.RecordKeys) > maxRecordKeys {
		bad("keys.record", fmt.Sprintf("want 1 to %d keys", maxRecordKeys))
	}
	for i, k := range m.RecordKeys {
		if slices.ContainsFunc(m.RecordKeys[:i], func(o *keys.RecordPublic) bool { return o.ID() == k.ID() }) {
			bad(fmt.Sprintf("keys.record[%d]", i), "the same key is there before")
		}
	}
	if m.LogKey != "" || council {
		v, err := tlog.ParseLogKey(m.LogKey)
		if err != nil || v.Name() != m.Council.Origin() {
			bad("keys.log", fmt.Sprintf("want an Ed25519 verifier key named %q", m.Council.Origin()))
		} else {
			m.log = v
		}
	}
	if m.log != nil && len(m.LogAlso) > 0 {
		m.log = nil
		v, err := tlog.ParseLogKeys(m.LogKey, m.LogAlso...)
		if err != nil || len(m.LogAlso) > maxLogAlso {
			bad("keys.log_also", fmt.Sprintf("want at most %d other Ed25519 verifier keys named %q, each once", maxLogAlso, m.Council.Origin()))
		} else {
			m.log = v
		}
	} else if len(m.LogAlso) > 0 {
		bad("keys.log_also", "want none without keys.log")
	}
	if m.WitnessKey != "" || council {
		v, err := tlog.ParseWitnessKey(m.WitnessKey)
		if err != nil || v.Name() != string(m.Council) {
			bad("keys.witness", fmt.Sprintf("want a cosignature/v1 verifier key, type 4, named %q", m.Council))
		} else {
			m.witness = v
		}
	}
	if (m.Node != "" || council) && !isNodeID(m.Node) {
		bad("keys.node", "want the peer id of an Ed25519 key in base58, 12D3KooW…")
	}
}

// checkAddresses checks where the member's node is dialled.
func (m *Member) checkAddresses(bad func(field, rule string)) {
	if len(m.Addresses) > maxAddresses {
		bad("addresses", fmt.Sprintf("want at most %d", maxAddresses))
	}
	if len(m.Addresses) > 0 && m.Node == "" {
		bad("addresses", "want keys.node too: an address without a peer id cannot be trusted")
	}
	for i, a := range m.Addresses {
		field := fmt.Sprintf("addresses[%d]", i)
		if !isAddress(a) {
			bad(field, "want a TCP or QUIC multiaddr, such as /dns4/stile.northmoor.gov.uk/tcp/7400")
		}
		if slices.Contains(m.Addresses[:i], a) {
			bad(field, "the same address is there before")
		}
	}
}

// checkLife checks from when until when the member is one, what came before and
// after it, and of whom a footprint consists.
func (m *Member) checkLife(bad func(field, rule string)) {
	if y := m.ValidFrom.Year(); y < 2000 || y > 9999 || !m.ValidFrom.Equal(midnight(m.ValidFrom)) {
		bad("valid_from", "want a day, such as 2026-11-01")
	}
	if len(m.Members) > 0 && m.Role != RoleFootprint {
		bad("members", "want none: only a footprint has members")
	}
	if len(m.Members) > maxFootprint || !m.others(m.Members) {
		bad("members", fmt.Sprintf("want at most %d other councils, sorted, each once", maxFootprint))
	}
	if !m.Ended.IsZero() && (m.Ended.Year() > 9999 || !m.Ended.Equal(midnight(m.Ended)) || !m.Ended.After(m.ValidFrom)) {
		bad("ended", "want a day after valid_from, such as 2028-04-01")
	}
	for _, list := range []struct {
		field    string
		councils []name.Council
	}{{"predecessors", m.Predecessors}, {"successors", m.Successors}} {
		if len(list.councils) > maxList || !m.others(list.councils) {
			bad(list.field, fmt.Sprintf("want at most %d other councils, sorted, each once", maxList))
		}
	}
}

// checkRevocations checks which keys no longer count, and from which entry of the
// member's log on.
func (m *Member) checkRevocations(bad func(field, rule string)) {
	for i, r := range m.Revocations {
		// The key must stay, or what it signed before could not be verified.
		if _, ok := m.RecordKey(r.KID); !ok || r.FromIndex > 1<<53-1 || i >= maxList || i > 0 && r.KID <= m.Revocations[i-1].KID {
			bad(fmt.Sprintf("revoked[%d]", i), "want the kid of a key in keys.record, sorted, each once, and an entry of its log")
		}
	}
}

// others reports whether a list names other councils, sorted and each once.
func (m *Member) others(list []name.Council) bool {
	for i, c := range list {
		if _, err := name.ParseCouncil(string(c)); err != nil || c == m.Council || i > 0 && list[i-1] >= c {
			return false
		}
	}
	return true
}

func midnight(t time.Time) time.Time {
	y, mo, d := t.UTC().Date()
	return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
}
