package event

import (
	"encoding/base64"
	"slices"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A FootprintContributed says what a footprint took of a page that was brought to it, and so
// stands where a partner's receipt does.
type FootprintContributed struct {
	Agreement name.Agreement
	Version   uint64 // of the agreement
	Footprint name.Council
	Position  uint64 // in the footprint's replicated log
	Since     uint64 // the cursor of our feed before the page, and
	Cursor    uint64 // the one after it
	// Held and Withdrawn are log indexes of ours; HeldAt and WithdrawnAt where each of
	// these stands in the footprint's log, in the same order.
	Held, HeldAt           []uint64
	Withdrawn, WithdrawnAt []uint64
	Refused                []RefusedEntry // Pointer is ""
	// Outside: brought by one that is no member, and so holds no replica and gets no
	// cosignatures of every member.
	Outside bool
}

// Body returns the body of a [KindFootprintContributed].
func (c FootprintContributed) Body() map[string]any {
	refused := make([]any, len(c.Refused))
	for i, e := range c.Refused {
		refused[i] = map[string]any{"entry": Number(e.Entry), "rule": e.Rule}
	}
	body := map[string]any{
		"agreement": string(c.Agreement), "version": Number(c.Version), "footprint": string(c.Footprint),
		"position": Number(c.Position), "since": Number(c.Since), "cursor": Number(c.Cursor),
		"held": Indexes(c.Held), "at": Indexes(c.HeldAt), "withdrawn": Indexes(c.Withdrawn), "withdrawn_at": Indexes(c.WithdrawnAt),
		"refused": refused,
	}
	if c.Outside {
		body["outside"] = true
	}
	return body
}

// ParseFootprintContributed reads the body of a [KindFootprintContributed]. The error wraps
// [ErrBody].
func ParseFootprintContributed(body map[string]any) (FootprintContributed, error) {
	r := reader{kind: KindFootprintContributed, body: body}
	c := FootprintContributed{
		Agreement: r.agreement("agreement"), Version: r.number("version"), Footprint: r.council("footprint"),
		Position: r.counter("position"), Since: r.counter("since"), Cursor: r.counter("cursor"),
	}
	c.Held, c.HeldAt = r.pairs("held", "at")
	c.Withdrawn, c.WithdrawnAt = r.pairs("withdrawn", "withdrawn_at")
	c.Outside, _ = body["outside"].(bool)
	list, ok := body["refused"].([]any)
	if !ok && body["refused"] != nil {
		r.wrong("refused")
	}
	for _, v := range list {
		m, _ := v.(map[string]any)
		n, ok := ParseNumber(m["entry"])
		if !ok {
			r.wrong("refused")
		}
		rule, _ := m["rule"].(string)
		c.Refused = append(c.Refused, RefusedEntry{Entry: n, Rule: rule})
	}
	return c, r.err
}

// pairs reads two lists of indexes of which each has as many as the other.
func (r *reader) pairs(own, at string) (_, _ []uint64) {
	a, b := r.indexes(own), r.indexes(at)
	if len(a) != len(b) {
		r.wrong(at)
	}
	return a, b
}

// A FootprintConfirmed is how a contributor keeps a footprint's receipt. A footprint has no
// key: its members cosign its checkpoints, each once it has applied what is below.
type FootprintConfirmed struct {
	Agreement              name.Agreement
	Footprint              name.Council
	Members                []name.Council // who are the footprint at that time
	Through                uint64         // log index of the last [KindFootprintContributed] it confirms
	Held, HeldAt           []uint64       // as in FootprintContributed
	Withdrawn, WithdrawnAt []uint64       // as in FootprintContributed
	Checkpoints            []Cosigned     // at least one
}

// A Cosigned is a checkpoint of a footprint, and what shows that entries stand below
// it: batch proofs of package tlog, of HeldAt and of WithdrawnAt.
type Cosigned struct {
	Note                      string
	HeldProof, WithdrawnProof []tlog.Hash
}

// MaxCosigned bounds the checkpoints of one receipt: one for each member suffices.
const MaxCosigned = 32

// Body returns the body of a [KindFootprintConfirmed].
func (c FootprintConfirmed) Body() map[string]any {
	members, notes := make([]any, len(c.Members)), make([]any, len(c.Checkpoints))
	for i, m := range c.Members {
		members[i] = string(m)
	}
	for i, cp := range c.Checkpoints {
		one := map[string]any{"note": cp.Note}
		for member, proof := range map[string][]tlog.Hash{"held_proof": cp.HeldProof, "withdrawn_proof": cp.WithdrawnProof} {
			if len(proof) > 0 {
				one[member] = base64.StdEncoding.EncodeToString(tlog.JoinHashes(proof))
			}
		}
		notes[i] = one
	}
	return map[string]any{
		"agreement": string(c.Agreement), "footprint": string(c.Footprint), "members": members, "through": Number(c.Through),
		"held": Indexes(c.Held), "held_at": Indexes(c.HeldAt), "withdrawn": Indexes(c.Withdrawn), "withdrawn_at": Indexes(c.WithdrawnAt),
		"checkpoints": notes,
	}
}

// ParseFootprintConfirmed reads the body of a [KindFootprintConfirmed]. The error wraps
// [ErrBody].
func ParseFootprintConfirmed(body map[string]any) (FootprintConfirmed, error) {
	r := reader{kind: KindFootprintConfirmed, body: body}
	c := FootprintConfirmed{Agreement: r.agreement("agreement"), Footprint: r.council("footprint"), Through: r.counter("through")}
	c.Held, c.HeldAt = r.pairs("held", "held_at")
	c.Withdrawn, c.WithdrawnAt = r.pairs("withdrawn", "withdrawn_at")
	members, _ := body["members"].([]any)
	for _, v := range members {
		s, _ := v.(string)
		m, err := name.ParseCouncil(s)
		if err != nil {
			r.wrong("members")
		}
		c.Members = append(c.Members, m)
	}
	notes, _ := body["checkpoints"].([]any)
	if len(notes) == 0 || len(notes) > MaxCosigned {
		r.wrong("checkpoints")
		return c, r.err
	}
	for _, v := range notes {
		m, _ := v.(map[string]any)
		cp := Cosigned{}
		cp.Note, _ = m["note"].(string)
		var bad [2]bool
		cp.HeldProof, bad[0] = proofOf(m["held_proof"])
		cp.WithdrawnProof, bad[1] = proofOf(m["withdrawn_proof"])
		if slices.Contains(bad[:], true) {
			r.wrong("checkpoints")
		}
		c.Checkpoints = append(c.Checkpoints, cp)
	}
	return c, r.err
}

func proofOf(v any) (proof []tlog.Hash, bad bool) {
	if v == nil {
		return nil, false
	}
	text, ok := v.(string)
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		proof, err = tlog.SplitHashes(b)
	}
	return proof, !ok || err != nil
}

// A FootprintDecided is how a node remembers that a footprint has signed, suspended, resumed
// or ended an agreement: a majority of its members said so.
type FootprintDecided struct {
	Footprint name.Council
	Kind      string // of the event that completed the majority
	Said      any    // the body of that event
	Entry     uint64 // of it in the footprint's log
}

// Body returns the body of a [KindFootprintDecided].
func (d FootprintDecided) Body() map[string]any {
	return map[string]any{"footprint": string(d.Footprint), "kind": d.Kind, "said": d.Said, "entry": Number(d.Entry)}
}

// ParseFootprintDecided reads the body of a [KindFootprintDecided]. The error wraps [ErrBody].
func ParseFootprintDecided(body map[string]any) (FootprintDecided, error) {
	r := reader{kind: KindFootprintDecided, body: body}
	d := FootprintDecided{Footprint: r.council("footprint"), Kind: r.text("kind"), Said: body["said"], Entry: r.number("entry")}
	if !slices.Contains(Kinds(), d.Kind) {
		r.wrong("kind")
	}
	return d, r.err
}
