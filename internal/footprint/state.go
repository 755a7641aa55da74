package footprint

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// What the replica keeps beside the entries, by key:
//
//	s                          state: JSON, see stored
//	m council                  member: JSON, see storedMember
//	i council                  invited, not joined yet: JSON, see storedMember
//	c council                  contributes under agreements: JSON, see storedMember
//	a publisher/name@version   archive of an adopted standard
//	A publisher/name@version   its integrity
//	d entry32                  log index8 of an event
//	h council 0 record         head of a record: see head
//	n council 0 publisher/name@version   count8 of live records
//	f council 0 agreement      cursor8: how far a feed was contributed
//	v index8                   evidence: JSON, see Evidence
//	e …, g …                   agreements: see agreements.go
//	p index8                   page: see page.go
//	o council, O …             former members: see former.go
//	T index8, x index8         terms: see expire.go
//
// It is the same on every member that has applied the same position.

// stored is the state that is no single thing's.
type stored struct {
	Changes int         `json:"changes"`          // proposed so far; numbers the next
	Open    *openChange `json:"open,omitempty"`   // the one change under way
	Marked  uint64      `json:"marked"`           // size of the log at the last mark
	Formed  bool        `json:"formed,omitempty"` // three councils have been members at one time
	Format  int         `json:"format,omitempty"` // of commands; 0 for 1, as older programs write it
}

// An openChange is a change of membership that waits for a majority.
type openChange struct {
	Entry    tlog.Hash      `json:"entry"` // of the event that proposes it
	Number   int            `json:"number"`
	Change   string         `json:"change"` // event.ChangeAdmit, event.ChangeRemove, event.ChangeKeys or event.ChangeContributor
	Council  name.Council   `json:"council"`
	Document string         `json:"document,omitempty"` // its directory entry; of a removal ""
	By       name.Council   `json:"by"`
	At       int64          `json:"at"` // unix seconds, as carried in the command
	Agreed   []name.Council `json:"agreed"`
}

type storedMember struct {
	Document    string `json:"document"` // directory entry, YAML: its keys
	Incarnation string `json:"incarnation,omitempty"`
	Since       uint64 `json:"since,omitempty"` // log index of the entry by which it joined
	// Past are the incarnations this one took the place of. None comes back.
	Past []string `json:"past,omitempty"`
}

// A member is a council of the footprint.
type member struct {
	storedMember
	entry   directory.Member
	witness note.Verifier
}

func newMember(s storedMember) (*member, error) {
	e, err := directory.ParseMember([]byte(s.Document))
	if err != nil {
		return nil, err
	}
	v, err := e.WitnessVerifier()
	if err != nil {
		return nil, err
	}
	return &member{storedMember: s, entry: e, witness: v}, nil
}

// server returns the id by which raft knows the replica of this member.
func (m *member) server() string { return serverID(m.entry.Council, m.Incarnation) }

// A state is what decides about commands, held in memory as well as in the
// replica. Only the goroutine that applies changes it; maps and their values
// are replaced, not changed, so that a copy of the struct is a snapshot.
type state struct {
	stored
	members   map[name.Council]*member
	invited   map[name.Council]*member
	outside   map[name.Council]*member // contributors: see contributor.go
	formers   map[name.Council]*former // see former.go
	standards map[name.Standard]string // integrity
}

func loadState(v *ledger.ReplicaView) (*state, error) {
	s := &state{
		members: map[name.Council]*member{}, invited: map[name.Council]*member{}, outside: map[name.Council]*member{},
		formers: map[name.Council]*former{}, standards: map[name.Standard]string{},
	}
	b, err := v.Lookup("s")
	if errors.Is(err, ledger.ErrNotFound) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.stored)
	}
	if err != nil {
		return nil, err
	}
	for prefix, into := range map[string]map[name.Council]*member{"m": s.members, "i": s.invited, "c": s.outside} {
		var bad error
		err := v.Walk(prefix, func(key string, value []byte) bool {
			var sm storedMember
			var m *member
			if bad = json.Unmarshal(value, &sm); bad == nil {
				if m, bad = newMember(sm); bad == nil {
					into[name.Council(key[1:])] = m
				}
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return nil, err
		}
	}
	if err := s.loadFormers(v); err != nil {
		return nil, err
	}
	var bad error
	err = v.Walk("A", func(key string, value []byte) bool {
		var n name.Standard
		if n, bad = name.ParseStandard(key[1:]); bad == nil {
			s.standards[n] = string(value)
		}
		return bad == nil
	})
	return s, errors.Join(err, bad)
}

func (s *state) save(t *ledger.ReplicaTx) error { return setJSON(t, "s", s.stored) }

func setJSON(t *ledger.ReplicaTx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	t.Set(key, b)
	return nil
}

// councils returns the members, sorted.
func (s *state) councils() []name.Council { return slices.Sorted(maps.Keys(s.members)) }

// majority is how many member councils must agree.
func (s *state) majority() int { return len(s.members)/2 + 1 }

func (s *state) witnesses() (out []note.Verifier) {
	for _, c := range s.councils() {
		out = append(out, s.members[c].witness)
	}
	return out
}

// A head is the newest version of a record in the replica.
type head struct {
	index   uint64 // log index of its entry
	version uint64
	entry   tlog.Hash
	state   byte
}

const (
	headLive      = 'l'
	headDeleted   = 'd' // by a record version that says so
	headWithdrawn = 'w' // by a withdrawal; nothing of it is kept
)

func headKey(c name.Council, r name.Record) string { return "h" + string(c) + "\x00" + string(r) }

func (h head) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 49), h.index)
	b = binary.BigEndian.AppendUint64(b, h.version)
	return append(append(b, h.entry[:]...), h.state)
}

func decodeHead(b []byte) (h head, err error) {
	if len(b) != 49 {
		return h, fmt.Errorf("%w: head of %d bytes", ledger.ErrDamaged, len(b))
	}
	h.index, h.version = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	copy(h.entry[:], b[16:])
	h.state = b[48]
	return h, nil
}

// What is kept of an entry is one byte of kind, the log index plus one of the
// record's version before, 0 for none, in eight bytes, how many entries of its page
// stand before it in the log, in two, then the token.
const (
	storedRecord byte = 1
	storedEvent  byte = 2
	storedHeader      = 11
)

// A keptEntry is that, read.
type keptEntry struct {
	kind    byte
	before  uint64
	ordinal uint64
	token   []byte
}

func encodeStored(kind byte, before, ordinal uint64, token []byte) []byte {
	b := append(make([]byte, 0, storedHeader+len(token)), kind)
	b = binary.BigEndian.AppendUint64(b, before)
	return append(binary.BigEndian.AppendUint16(b, uint16(ordinal)), token...)
}

func decodeStored(b []byte) (keptEntry, error) {
	if len(b) < storedHeader || b[0] != storedRecord && b[0] != storedEvent {
		return keptEntry{}, fmt.Errorf("%w: stored entry of %d bytes", ledger.ErrDamaged, len(b))
	}
	return keptEntry{b[0], binary.BigEndian.Uint64(b[1:]), uint64(binary.BigEndian.Uint16(b[9:])), b[storedHeader:]}, nil
}

func number(t *ledger.ReplicaTx, key string) (uint64, error) {
	b, err := t.Lookup(key)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(b) != 8 {
		err = fmt.Errorf("%w: a number of %d bytes", ledger.ErrDamaged, len(b))
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

func setNumber(t *ledger.ReplicaTx, key string, n uint64) {
	t.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

func loadStandard(v *ledger.ReplicaView, n name.Standard) (*standard.Standard, error) {
	b, err := v.Lookup("a" + n.String())
	if err != nil {
		return nil, err
	}
	return standard.LoadArchive(b)
}
