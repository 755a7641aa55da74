package agreement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// ErrEvent is wrapped by every error about the body of an event.
var ErrEvent = errors.New("agreement event is malformed")

// A Proposal puts a document before its parties. It does not sign it. Body:
//
//	{"agreement":"northmoor.gov.uk/people","digest":"<64 hex>","document":{…},"version":1}
//
// document is the canonical JSON itself, so the event's own bytes, being
// canonical, contain the bytes that digest is the SHA-256 of.
type Proposal struct{ Agreement *Agreement }

// Body returns the event's body as strictjson decodes it.
func (p Proposal) Body() map[string]any {
	return bodyOf(p.Agreement.Ref(), map[string]any{"document": p.Agreement.document()})
}

// ParseProposal reads a body. Name, version and digest are those of the document.
func ParseProposal(body any) (Proposal, error) {
	m, ref, by, err := parseBody(body, "document")
	if err != nil {
		return Proposal{}, err
	}
	if by != "" {
		return Proposal{}, fmt.Errorf("%w: by: a proposal names nobody", ErrEvent)
	}
	a, err := fromDocument(m["document"])
	if err != nil {
		return Proposal{}, fmt.Errorf("%w: %w", ErrEvent, err)
	}
	given, err := strictjson.AppendJCS(nil, m["document"])
	if err != nil || !bytes.Equal(given, a.Canonical()) {
		return Proposal{}, fmt.Errorf("%w: document: not in canonical form", ErrEvent)
	}
	if a.Ref() != ref {
		return Proposal{}, fmt.Errorf("%w: agreement, version or digest is not that of the document", ErrEvent)
	}
	return Proposal{a}, nil
}

// A Ref names one document beyond doubt.
type Ref struct {
	Agreement name.Agreement
	Version   int
	Digest    Digest
}

// Ref returns the reference to a.
func (a *Agreement) Ref() Ref { return Ref{a.Name, a.Version, a.Digest()} }

// RefOf returns which document an event of one of the [Kinds] is about; false when
// it is of another kind or does not parse.
func RefOf(kind string, body any) (Ref, bool) {
	switch kind {
	case event.KindAgreementProposal:
		p, err := ParseProposal(body)
		if err != nil {
			return Ref{}, false
		}
		return p.Agreement.Ref(), true
	case event.KindAgreementSignature:
		s, err := ParseSignature(body)
		return s.Ref, err == nil
	case event.KindAgreementEnd, event.KindAgreementSuspend, event.KindAgreementResume:
		n, err := ParseNotice(body)
		return n.Ref, err == nil
	case event.KindAgreementRenewal:
		r, err := ParseRenewal(body)
		return r.Ref, err == nil
	case event.KindAgreementCounter:
		c, err := ParseCounter(body)
		return c.Ref, err == nil
	}
	return Ref{}, false
}

// Kinds returns the kinds of events that a [State] takes in.
func Kinds() []string {
	return []string{event.KindAgreementProposal, event.KindAgreementSignature, event.KindAgreementSuspend, event.KindAgreementResume, event.KindAgreementEnd, event.KindAgreementRenewal, event.KindAgreementCounter}
}

// A Signature is a party's consent to a document. The event that carries it is
// signed with the council's record key; there is no other signature. By is the person
// who had the council sign, by name or pseudonym; "", and then not there, where it is not
// known, as at the command line. Body:
//
//	{"agreement":"northmoor.gov.uk/people","by":"Jo Smith","digest":"<64 hex>","version":1}
type Signature struct {
	Ref
	By string
}

// Body returns the event's body as strictjson decodes it.
func (s Signature) Body() map[string]any { return bodyOf(s.Ref, withBy(map[string]any{}, s.By)) }

// ParseSignature reads a body.
func ParseSignature(body any) (Signature, error) {
	_, ref, by, err := parseBody(body)
	return Signature{ref, by}, err
}

// MaxBy is how long the name of a person in an event may be, in bytes.
const MaxBy = 256

func withBy(m map[string]any, by string) map[string]any {
	if by != "" {
		m["by"] = by
	}
	return m
}

// A Notice ends, suspends or resumes a document from the instant At, in whole
// seconds. Reason is for people and must hold nobody's personal data. By is as in a
// [Signature]. Body:
//
//	{"agreement":"northmoor.gov.uk/people","at":1796083200,"digest":"<64 hex>","reason":"…","version":1}
type Notice struct {
	Ref
	Reason string
	At     time.Time
	By     string
}

// Body returns the event's body as strictjson decodes it.
func (n Notice) Body() map[string]any {
	return bodyOf(n.Ref, withBy(map[string]any{
		"at":     json.Number(strconv.FormatInt(n.At.Unix(), 10)),
		"reason": n.Reason,
	}, n.By))
}

// ParseNotice reads a body. The reason must not be empty.
func ParseNotice(body any) (Notice, error) {
	m, ref, by, err := parseBody(body, "at", "reason")
	if err != nil {
		return Notice{}, err
	}
	n := Notice{Ref: ref, By: by}
	var ok bool
	if n.Reason, ok = m["reason"].(string); !ok || n.Reason == "" || textForm(n.Reason) != nil {
		return Notice{}, fmt.Errorf("%w: reason: want a text", ErrEvent)
	}
	at, ok := m["at"].(json.Number)
	sec, err := strconv.ParseInt(at.String(), 10, 64)
	if !ok || err != nil || sec < 0 || sec > event.MaxSeconds || strconv.FormatInt(sec, 10) != at.String() {
		return Notice{}, fmt.Errorf("%w: at: want seconds since 1970", ErrEvent)
	}
	n.At = time.Unix(sec, 0).UTC()
	return n, nil
}

func bodyOf(r Ref, more map[string]any) map[string]any {
	m := map[string]any{
		"agreement": string(r.Agreement),
		"digest":    r.Digest.String(),
		"version":   json.Number(strconv.Itoa(r.Version)),
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// parseBody reads what every body has, and holds it to the members it may have: by may
// be there or not.
func parseBody(body any, more ...string) (m map[string]any, ref Ref, by string, err error) {
	m, ok := body.(map[string]any)
	named := 0
	if v, there := m["by"]; there {
		text, isText := v.(string)
		if !isText || text == "" || len(text) > MaxBy || textForm(text) != nil {
			return nil, ref, "", fmt.Errorf("%w: by: want a text of 1 to %d bytes", ErrEvent, MaxBy)
		}
		named, by = 1, text
	}
	if !ok || len(m) != 3+len(more)+named {
		return nil, ref, "", fmt.Errorf("%w: want an object of %d members", ErrEvent, 3+len(more))
	}
	for _, k := range more {
		if _, ok := m[k]; !ok {
			return nil, ref, "", fmt.Errorf("%w: %s is missing", ErrEvent, k)
		}
	}
	ref, err = RefIn(m)
	return m, ref, by, err
}

// RefIn returns which document the body of an event about an agreement names. It
// reads nothing else of it, so that a program decides alike whatever else it knows.
func RefIn(m map[string]any) (ref Ref, err error) {
	n, _ := m["agreement"].(string)
	if ref.Agreement, err = name.ParseAgreement(n); err != nil {
		return Ref{}, fmt.Errorf("%w: agreement: want the name of an agreement", ErrEvent)
	}
	d, _ := m["digest"].(string)
	if ref.Digest, err = ParseDigest(d); err != nil {
		return Ref{}, fmt.Errorf("%w: digest: want 64 hexadecimal digits", ErrEvent)
	}
	v, _ := m["version"].(json.Number)
	a := new(Agreement)
	if err := setVersion(a, value{text: v.String()}); err != nil {
		return Ref{}, fmt.Errorf("%w: version: %w", ErrEvent, err)
	}
	ref.Version = a.Version
	return ref, nil
}
