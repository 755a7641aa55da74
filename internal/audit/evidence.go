package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Evidence is what a council holds against the log of another, or of a footprint,
// as one file: JSON in the one form that [Evidence.Bytes] prints, two spaces deep.
//
//	{
//	  "stile_evidence": 1,
//	  "log": "northmoor.gov.uk",
//	  "fault": "fork",
//	  "reason": "it has signed two histories of its log, both of 7 entries",
//	  "found_by": "saltby.gov.uk",
//	  "since": "2026-11-28T09:00:00Z",
//	  "held": "northmoor.gov.uk/stile\n7\n…",
//	  "told": "northmoor.gov.uk/stile\n7\n…",
//	  "keys": ["northmoor.gov.uk log northmoor.gov.uk/stile+…"]
//	}
//
// Only held, told and proof are judged; the rest is the word of who made the file.
type Evidence struct {
	Format  int            `json:"stile_evidence"` // EvidenceFormat
	Log     name.Council   `json:"log"`
	Fault   string         `json:"fault"`
	Reason  string         `json:"reason"`
	MetWith string         `json:"met_with,omitempty"` // what the other head came with
	FoundBy name.Council   `json:"found_by"`
	Since   time.Time      `json:"since"`
	Held    string         `json:"held"`              // a signed head
	Told    string         `json:"told,omitempty"`    // another; missing when there is none
	Proof   []tlog.Hash    `json:"proof,omitempty"`   // the consistency proof between them that was offered
	Members []name.Council `json:"members,omitempty"` // of a footprint, whose heads a majority of them cosigns
	Keys    []string       `json:"keys"`              // that signed, each as a [Key] prints
}

// EvidenceFormat is the version of the file.
const EvidenceFormat = 1

// MaxEvidence is the longest file that is read, in bytes.
const MaxEvidence = 512 << 10

// ErrEvidence is wrapped when bytes are no evidence file.
var ErrEvidence = errors.New("not a file of evidence")

// Bytes prints e.
func (e *Evidence) Bytes() []byte {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		panic("internal error: " + err.Error()) // texts, numbers and times alone
	}
	return append(b, '\n')
}

// ParseEvidence reads what Bytes prints, and no other form. The error wraps
// [ErrEvidence].
func ParseEvidence(b []byte) (*Evidence, error) {
	if len(b) > MaxEvidence {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrEvidence, MaxEvidence)
	}
	e := &Evidence{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("%w: it cannot be read", ErrEvidence)
	}
	if e.Format != EvidenceFormat {
		return nil, fmt.Errorf("%w: of format %d, want %d", ErrEvidence, e.Format, EvidenceFormat)
	}
	for _, c := range append([]name.Council{e.Log, e.FoundBy}, e.Members...) {
		if _, err := name.ParseCouncil(string(c)); err != nil {
			return nil, fmt.Errorf("%w: a council in it has no name that can be one", ErrEvidence)
		}
	}
	if y := e.Since.Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("%w: its time is none", ErrEvidence)
	}
	if !bytes.Equal(e.Bytes(), b) {
		return nil, fmt.Errorf("%w: not in the one form", ErrEvidence)
	}
	return e, nil
}

// A Head is a signed checkpoint in a file of evidence.
type Head struct {
	Size uint64         `json:"size"`
	Root string         `json:"root"`
	By   []name.Council `json:"cosigned_by,omitempty"` // of a footprint
}

// A Judgement says what a file of evidence proves.
type Judgement struct {
	Log name.Council `json:"log"`
	// Proven: the log's key signed two heads that no one log can have. Nobody but
	// its holder can have made that, whoever made the file.
	Proven bool           `json:"proven"`
	Held   *Head          `json:"held,omitempty"` // nil: not signed by the log
	Told   *Head          `json:"told,omitempty"`
	Both   []name.Council `json:"cosigned_both,omitempty"` // members of a footprint that cosigned both heads
	Says   []string       `json:"says"`                    // in plain words
	Keys   []UsedKey      `json:"keys,omitempty"`
}

// Judge says what the file proves, from itself and the keys that are trusted.
func (e *Evidence) Judge(t Trust) *Judgement {
	j := &Judgement{Log: e.Log}
	say := func(format string, a ...any) { j.Says = append(j.Says, fmt.Sprintf(format, a...)) }
	ring := newKeyring(t)
	for _, line := range e.Keys {
		k, err := ParseKey(line)
		if err != nil {
			say("A key in the file cannot be read and was not used.")
			continue
		}
		var v note.Verifier
		switch k.Use {
		case UseLog:
			v, err = tlog.ParseLogKey(k.ID)
		case UseWitness:
			v, err = tlog.ParseWitnessKey(k.ID)
		}
		if v != nil && err == nil {
			ring.verifier(holder{k.Council, k.Use}, k.ID, v)
		}
	}
	used := map[Key]bool{}
	open := func(what, signed string) (tlog.Checkpoint, *Head) {
		if signed == "" {
			say("There is no %s in the file.", what)
			return tlog.Checkpoint{}, nil
		}
		cp, by, ok := e.open(ring, signed, used)
		if !ok {
			say("The %s is not signed by the log of %s with a key that may be used.", what, e.Log)
			return cp, nil
		}
		say("The %s is signed by %s: %s, root %s.", what, signer(e.Log, by), count(int(cp.Size), "entry"), cp.Root)
		return cp, &Head{cp.Size, cp.Root.String(), by}
	}
	var held, told tlog.Checkpoint
	held, j.Held = open("head that was held", e.Held)
	told, j.Told = open("head that was told", e.Told)
	for k := range used {
		j.Keys = append(j.Keys, UsedKey{k, ring.source(k)})
	}
	slices.SortFunc(j.Keys, func(a, b UsedKey) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	if j.Held == nil || j.Told == nil {
		say("Without two heads that the log signed this proves nothing.")
		return j
	}
	for _, c := range j.Held.By {
		if slices.Contains(j.Told.By, c) {
			j.Both = append(j.Both, c)
		}
	}
	older, newer := held, told
	if older.Size > newer.Size {
		older, newer = told, held
	}
	switch {
	case held == told:
		say("Both are the same head. This proves nothing against the log.")
	case tlog.Fork(held, told):
		j.Proven = true
		say("One log cannot have two roots at one size: it has shown two histories. Only who holds the key that signed can have made this.")
		if len(j.Both) > 0 {
			say("Both heads were cosigned by %s.", councils(j.Both))
		}
	case len(e.Proof) > 0 && tlog.VerifyConsistency(older.Size, older.Root, newer.Size, newer.Root, e.Proof) == nil:
		say("The proof in the file shows that both are of one history. This proves nothing against the log.")
	default:
		if len(e.Proof) > 0 {
			say("The proof in the file does not show that they are of one history; but nobody signed that proof.")
		}
		say("Two heads of two sizes contradict each other only if no proof leads from %d entries to %d, which no file can show. That none was given is the word of %s. "+
			"Ask %s for the consistency proof between the two sizes: an honest log can always give it.", older.Size, newer.Size, e.FoundBy, e.Log)
	}
	if len(j.Held.By) > 0 && !ring.footprints[e.Log].given {
		say("Who the members of %s are this file says alone: give the directory with --trust.", e.Log)
	}
	if slices.ContainsFunc(j.Keys, func(k UsedKey) bool { return k.Source == FromFile }) {
		say("Keys were taken from the file itself. Compare them with ones that you have from elsewhere, or give those with --trust: until then this shows only that the file agrees with itself.")
	}
	return j
}

// open verifies a head, and notes which keys it was verified with. By are the
// members of a footprint that cosigned it.
func (e *Evidence) open(ring *keyring, signed string, used map[Key]bool) (cp tlog.Checkpoint, by []name.Council, ok bool) {
	for _, l := range ring.verifiers(e.Log, UseLog) {
		if cp, _, err := tlog.OpenCheckpoint([]byte(signed), e.Log.Origin(), l.v); err == nil {
			used[l.Key] = true
			return cp, nil, true
		}
	}
	members := e.Members
	if f := ring.footprints[e.Log]; len(f.members) > 0 {
		members = f.members // as the auditor knows them
	}
	if len(members) == 0 {
		return cp, nil, false
	}
	var all []note.Verifier
	of := map[string]Key{}
	for _, m := range members {
		for _, w := range ring.verifiers(m, UseWitness) {
			all, of[string(m)] = append(all, w.v), w.Key
			break
		}
	}
	cp, cosigned, err := tlog.OpenCosigned([]byte(signed), e.Log.Origin(), len(members)/2+1, all...)
	if err != nil {
		return cp, nil, false
	}
	for _, c := range cosigned {
		used[of[c.Witness]] = true
		by = append(by, name.Council(c.Witness))
	}
	slices.Sort(by)
	return cp, by, true
}

func signer(log name.Council, by []name.Council) string {
	if len(by) == 0 {
		return "the log of " + string(log)
	}
	return "a majority of the members of " + string(log) + ", " + councils(by)
}
