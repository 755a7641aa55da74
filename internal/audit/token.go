package audit

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
)

// proofStart begins every c2sp.org/tlog-proof file.
const proofStart = "c2sp.org/tlog-proof@v1\n"

// VerifyToken checks a single token, a record or an event, as someone holds it.
// Line feeds at its end mean nothing. proof is a c2sp.org/tlog-proof file that
// shows it in its council's log; nil when there is none. In the place of both, token
// may be a proof file that has the token as its extra data: one file to keep.
//
// The keys come from o.Trust alone, as a token carries none. The Report says
// which checks a single token leaves undone. The error wraps [ErrToken] when
// token, or proof, is none.
func VerifyToken(token, proof []byte, o Options) (*Report, error) {
	token, enclosed, err := unwrap(token)
	if err != nil {
		return nil, err
	}
	if proof == nil {
		proof = enclosed
	}
	v := &verifier{contents: &contents{}, ring: newKeyring(o.Trust), sheet: newSheet(), used: map[Key]bool{}}
	v.readStandards(o.Standards)
	r := &Report{Kind: "record"}
	c := &chunk{sheet: v.sheet, used: v.used}
	var t *record.Token
	if bytes.IndexByte(token, '~') >= 0 {
		if t, err = record.Parse(token); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrToken, err)
		}
		r.Subject, err = v.tokenRecord(c, t)
	} else {
		r.Kind = "event"
		r.Subject, t, err = v.tokenEvent(token)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	r.Council = v.council

	if v.council != "" {
		check := CheckRecordSignatures
		if r.Kind == "event" {
			check = CheckEventSignatures
		}
		// What the proof says of the place is believed here: one that is not
		// true does not verify below.
		place := uint64(directory.AnyPlace)
		if p, err := tlog.ParseProof(proof); err == nil {
			place = p.Index
		}
		if t.Signed() {
			v.tokenSignature(check, t, place)
		}
		if err := v.tokenProof(r, t, proof); err != nil {
			return nil, err
		}
		if !t.Signed() {
			v.tokenSealed(check, t, place)
		}
	}
	if r.Kind == "record" {
		v.counts.Records, v.counts.Disclosed, v.counts.Withheld = len(c.records), c.disclosed, c.withheld
		v.say(CheckLogged, "A token does not say to whom it went, nor under which agreement: ask for an audit bundle.")
		v.say(CheckVersions, "Whether a newer version stands in the log, or the record was taken back, a single token cannot tell.")
	} else {
		v.counts.Events = 1
	}
	v.counts.Entries = 1
	r.Counts, r.Witnesses, r.Keys = v.counts, v.witnessed, v.ring.account(v.sheet, v.used)
	r.Checks, r.Result = v.checks()
	return r, nil
}

// unwrap takes the token out of a proof file that has it as its extra data, and
// off the line feeds that a text file ends with.
func unwrap(b []byte) (token, proof []byte, err error) {
	b = bytes.TrimRight(b, "\r\n")
	if !bytes.HasPrefix(b, []byte(proofStart)) {
		return b, nil, nil
	}
	proof = append(bytes.Clone(b), '\n') // which ends every proof file
	p, err := tlog.ParseProof(proof)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return p.Extra, proof, nil
}

// ErrToken is wrapped when what was given is no token, or no proof.
var ErrToken = errors.New("not a token that can be read")

// tokenRecord checks what a record says, and says it in words.
func (v *verifier) tokenRecord(c *chunk, t *record.Token) (string, error) {
	view, err := t.View()
	if err != nil {
		r := refusal(err)
		v.on(CheckDisclosures).fail("token", r.Rule+": "+r.Detail, r.Pointer)
		v.say(CheckDisclosures, "What the token discloses is not what was signed.")
		return "A record whose disclosures cannot be believed.", nil
	}
	v.council = view.Council
	c.disclosed, c.withheld = len(view.Disclosed), view.Withheld
	v.on(CheckDisclosures).pass(1)
	v.say(CheckDisclosures, "%s disclosed, each as it was signed, and %s withheld, which cannot be read here.", was(c.disclosed, "field"), number(c.withheld))
	fa := fact{put: view.Op == record.Put}
	v.readBody(c, t, view, &fa)
	for _, check := range []string{CheckStandards, CheckValid} {
		for i := range v.on(check).failures { // a token has no index
			f := &v.on(check).failures[i]
			f.Place, f.Entry = "token", nil
		}
	}
	if fa.known {
		v.say(CheckStandards, "The record is in %s, whose schema it names by SHA-256.", view.Standard)
	} else {
		v.say(CheckStandards, "The record says it is in %s.", view.Standard)
	}
	switch {
	case !fa.put:
		v.say(CheckValid, "The token says that the record was deleted, so there is nothing to hold against the standard.")
	case fa.known:
		v.say(CheckValid, "What can be seen of the record was held against %s.", view.Standard)
	default:
		v.say(CheckValid, "Without the schema it was made with, what the record says was not held against any.")
	}
	c.records = append(c.records, fa)
	what := "record"
	if view.Op == record.Delete {
		what = "the deletion of record"
	}
	return fmt.Sprintf("Token of %s for %s %s, version %d, in %s, made %s by its own clock.",
		view.Council, what, view.Record, view.Version, view.Standard, clock(view.IssuedAt)), nil
}

func (v *verifier) tokenEvent(b []byte) (string, *record.Token, error) {
	t, ev, err := record.ParseEvent(b)
	if err != nil {
		return "", nil, err
	}
	v.council = ev.Council
	return fmt.Sprintf("Event of %s, of kind %q, made %s by its own clock.", ev.Council, ev.Kind, clock(ev.IssuedAt)), t, nil
}

func (v *verifier) tokenSignature(check string, t *record.Token, place uint64) {
	if t.Page() != nil {
		place = directory.AnyPlace // when it was sealed no log says
	}
	key, rule := v.ring.record(v.council, t.Signer(), place)
	_, told := v.ring.trusted[holder{v.council, UseRecord}]
	switch {
	case rule == ruleNoKey:
		// Not known, or known by its thumbprint alone.
		v.on(check).skip(1)
		v.say(check, "The token says it is signed with key %s of %s. That key is not here, so the signature was not checked.", t.Signer(), v.council)
	case rule == ruleRevoked:
		v.on(check).fail("token", rule, "")
		v.say(check, "The token is signed with key %s, which is revoked from entry %d of the log on; only a proof that it stands before that would bear it out.",
			t.Signer(), v.ring.revoked[Key{v.council, UseRecord, t.Signer()}])
	case rule != "" && told:
		v.on(check).fail("token", rule, "")
		v.say(check, "The token says it is signed with key %s.", t.Signer())
	case t.Verify(key) != nil:
		v.on(check).fail("token", ruleNoSuchSign, "")
		v.say(check, "The signature is not by %s.", v.council)
	default:
		v.used[Key{v.council, UseRecord, t.Signer()}] = true
		v.on(check).pass(1)
		if p := t.Page(); p != nil {
			v.say(check, "Signed by %s (ES256, key %s) as entry %d of a page of %d that it brought into %s.", v.council, t.Signer(), p.Index, p.Count, p.Footprint)
			return
		}
		v.say(check, "Signed by %s (ES256, key %s).", v.council, t.Signer())
	}
}

// tokenSealed decides about a token that has no signature of its own: its council
// signed it if it stands under a checkpoint that the council's record key signed.
func (v *verifier) tokenSealed(check string, t *record.Token, place uint64) {
	if v.on(CheckInclusion).ok == 0 {
		v.on(check).fail("token", "carries no signature, and is not shown to be in the council's log", "")
		v.say(check, "The token has no signature of its own. It is proved by its place in the log of %s: ask for the proof that goes with it, or for a token that is signed.", v.council)
		return
	}
	_, rule := v.ring.record(v.council, t.KeyID(), place)
	done := true
	if rule == "" {
		rule, done = v.said(place)
	}
	switch {
	case rule == ruleNoKey, rule == "" && !done:
		v.on(check).skip(1)
		v.say(check, "The record key %s of %s is not here, so that nothing shows who said this.", t.KeyID(), v.council)
	case rule != "":
		v.on(check).fail("token", rule, "")
	default:
		v.on(check).pass(1)
		v.say(check, "Signed by %s with the checkpoint that it stands under; the token carries no signature of its own.", v.council)
	}
}

// tokenProof checks that the token's entry is in its council's log.
func (v *verifier) tokenProof(r *Report, t *record.Token, proof []byte) error {
	if proof == nil {
		v.say(CheckInclusion, "No proof was given that the token is in the log of the council.")
		return nil
	}
	p, err := tlog.ParseProof(proof)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	logs := v.ring.verifiers(v.council, UseLog)
	if len(logs) == 0 {
		v.on(CheckInclusion).skip(1)
		v.say(CheckInclusion, "There is no log key of the council to check the proof with.")
		return nil
	}
	for _, l := range logs {
		cp, _, err := tlog.OpenCheckpoint(p.Checkpoint, v.council.Origin(), l.v)
		if err != nil {
			continue
		}
		v.used[l.Key] = true
		v.on(CheckCheckpoint).pass(1)
		v.say(CheckCheckpoint, "The log of %s signed that it had %s with root %s.", v.council, count(int(cp.Size), "entry"), cp.Root)
		r.LogSize, r.LogRoot = cp.Size, cp.Root.String()
		v.main = cp
		v.readSealers("proof", p.Checkpoint)
		if err := tlog.VerifyInclusion(t.Entry(), p.Index, cp.Size, cp.Root, p.Path); err != nil {
			v.on(CheckInclusion).fail("proof", "does not show that this token is in the log", "")
			return nil
		}
		v.on(CheckInclusion).pass(1)
		v.say(CheckInclusion, "The token is entry %d of that log.", p.Index)
		v.readWitnesses(cp.Size, p.Checkpoint)
		v.sayWitnesses()
		return nil
	}
	v.on(CheckCheckpoint).fail("proof", "its checkpoint is not signed by the log of "+string(v.council), "")
	v.on(CheckInclusion).skip(1)
	v.say(CheckInclusion, "Without a checkpoint that holds, nothing can be shown to be in the log.")
	return nil
}

// Visible returns what can be seen of a record or an event, as canonical JSON,
// for whoever holds its token anyway; "null" for a deletion. Of a record it
// checks that what is disclosed was signed, but no signature. The error wraps
// [ErrToken].
func Visible(token []byte) ([]byte, error) {
	token, _, err := unwrap(token)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(token, '~') < 0 {
		_, ev, err := record.ParseEvent(token)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrToken, err)
		}
		return strictjson.Canonical(ev.Body), nil
	}
	t, err := record.Parse(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	view, err := t.View()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if view.Body == nil {
		return []byte("null"), nil
	}
	return strictjson.Canonical(view.Body), nil
}
