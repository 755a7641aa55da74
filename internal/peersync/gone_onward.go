package peersync

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// Whoever holds what a partner of ours passed on may ask us whether it has to be gone: see
// trace.go for the other side, and onward.proto.

// serveOnward answers one stream of /stile/onward/1.
func (s *Syncer) serveOnward(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(s.o.Now().Add(traceWithin))
	q, err := wirepb.ReadOnwardQuestion(bufio.NewReader(st))
	if err != nil {
		st.Reset()
		return
	}
	a, err := s.onwardAnswer(ctx, from, q)
	if refusal, ok := errors.AsType[*refused](err); ok {
		s.o.Log.Info("question about what was passed on refused", "from", from, "because", refusal.code)
		a, err = &wirepb.OnwardAnswer{Code: refusal.code, Reason: refusal.reason}, nil
	}
	if err != nil {
		s.o.Log.Error("question about what was passed on not answered", "from", from, "error", err.Error())
		a = &wirepb.OnwardAnswer{Code: codeNotReady, Reason: "it cannot be answered here now"}
	}
	if err := wirepb.WriteOnwardAnswer(bufio.NewWriter(st), a); err != nil {
		st.Reset()
		return
	}
	st.CloseWrite()
}

// onwardAnswer answers a question, or says in a *refused why not. Of agreements that do not exist
// it says what it says of those that let the asker have nothing. What has to be gone is told once
// it had to be for a day, so that who passed it on can take it back first; and stands in our log
// before it is told.
func (s *Syncer) onwardAnswer(ctx context.Context, from name.Council, q *wirepb.OnwardQuestion) (*wirepb.OnwardAnswer, error) {
	stranger := &refused{codeNoAgree, "no agreement of ours lets you have what others pass on, or none of that name"}
	if q.GetVersion() < wirepb.OnwardVersion { // a later one has only more to say
		return nil, &refused{codeVersion, "this node speaks a later version"}
	}
	if s.o.Ledger.Halted() != nil {
		return nil, &refused{codeHalted, haltedWords}
	}
	if s.o.Ledger.Allowed(from) != nil {
		return nil, &refused{codeQuarantine, "all exchange with you is stopped"}
	}
	now := s.o.Now()
	if err := s.o.Directory.Exchange(now); err != nil {
		return nil, &refused{codeDirectory, err.Error()}
	}
	first, err := name.ParseAgreement(q.GetAgreement())
	if err != nil || first.Council() != s.o.Self {
		return nil, stranger
	}
	under, err := name.ParseAgreement(q.GetUnder())
	if err != nil {
		return nil, stranger
	}
	texts := s.o.Agreements.Texts(first, now)
	role := s.role(from)
	if role == "" || !slices.ContainsFunc(texts, func(st agreement.Status) bool {
		return len(st.Awaiting) == 0 && st.Agreement.From == s.o.Self && st.Agreement.Onward.Reaches(from, role) && slices.Contains(st.Agreement.To, under.Council())
	}) {
		return nil, stranger
	}
	if err := s.o.Quota.Take(from, quota.PassedOn, 1); err != nil {
		return nil, &refused{codeOften, err.Error()}
	}
	done, err := s.o.Quota.Turn(ctx, from)
	if err != nil {
		return nil, err
	}
	defer done()

	said := event.OnwardGone{Agreement: first, To: from, Under: under}
	asked := askedVersions(q.GetVersions())
	looked := len(asked)
	late := now.Add(-ledger.Late)
	doc, over, since := stands(texts)
	if over == "" && doc != nil && !letsOn(doc, q, from, role, under) {
		over, since = event.OverNarrower, tookOver(texts, doc)
	}
	switch {
	case doc == nil:
		return nil, &refused{codeNotReady, "no text of the agreement was ever in force"}
	case over != "" && since.Before(late):
		// Nothing is said of it to who was given nothing.
		given, err := s.gaveAny(ctx, first, under.Council(), asked)
		if err != nil || !given {
			return &wirepb.OnwardAnswer{Looked: uint32(looked)}, err
		}
		said.Over, said.Since = over, since.Unix()
		if said.Known, err = s.knew(first, under.Council(), doc, over, late); err != nil {
			return nil, err
		}
	case over == "":
		f, err := s.o.Ledger.Feed(first, doc.Digest())
		if err != nil || !f.Ready {
			return nil, &refused{codeNotReady, "the agreement's index is being made"}
		}
		err = s.o.Ledger.View(func(v *ledger.View) (err error) {
			said.Versions, looked, err = v.GoneOf(ctx, f, under.Council(), asked, late)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	a := &wirepb.OnwardAnswer{Looked: uint32(looked)}
	if said.Over == "" && len(said.Versions) == 0 {
		return a, nil
	}
	said.Version = uint64(doc.Version)
	if a.Event, err = s.word(ctx, said); err != nil {
		return nil, err
	}
	return a, nil
}

// codeOften: more questions, or more words to be signed for them, than a council has in a day.
const codeOften = "too-often"

// A wordKey names what we signed to who holds what was passed on: the SHA-256 of the event's body,
// which says to whom.
type wordKey [sha256.Size]byte

// maxWords is how many of our words are known again. When there are more all are forgotten, and
// the next is logged anew.
const maxWords = 4096

// word returns what is said to who asked, as we signed it, once it stands in our log. The same is
// not logged again for who asks again, as far as it was said since the start; how much else a
// council can have us log in a day is bounded, and a *refused says when it may ask again.
func (s *Syncer) word(ctx context.Context, said event.OnwardGone) (jws []byte, err error) {
	body := said.Body()
	key := wordKey(sha256.Sum256(strictjson.Canonical(body)))
	s.mu.Lock()
	at, known := s.words[key]
	s.mu.Unlock()
	if known {
		err := s.o.Ledger.View(func(v *ledger.View) (err error) {
			_, jws, err = v.Event(at)
			return err
		})
		return jws, err
	}
	if err := s.o.Quota.Take(said.To, quota.Words, 1); err != nil {
		return nil, &refused{codeOften, err.Error()}
	}
	if at, jws, err = s.o.Ledger.AppendNotice(ctx, event.KindOnwardGone, body); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if len(s.words) >= maxWords {
		clear(s.words)
	}
	s.words[key] = at
	s.mu.Unlock()
	s.o.Log.Info("told who holds what was passed on that it has to be gone", "to", said.To, "agreement", said.Agreement, "under", said.Under, "over", said.Over, "versions", len(said.Versions))
	return jws, nil
}

func askedVersions(b []byte) (out []ledger.PassedVersion) {
	for v := range slices.Chunk(b, wirepb.OnwardVersionSize) {
		out = append(out, ledger.PassedVersion{Record: name.RecordFrom([16]byte(v)), Hash: tlog.Hash(v[16:])})
	}
	return out
}

func (s *Syncer) role(c name.Council) string {
	m, ok := s.o.Directory.Member(c)
	if !ok || !m.ActiveAt(s.o.Now()) {
		return ""
	}
	return string(m.Role)
}

// stands returns the text of an agreement that stands, in force or suspended, among all of
// them, the newest first; or the one that stood last, with why it is over, and since when. doc is
// nil where there was none.
func stands(texts []agreement.Status) (doc *agreement.Agreement, over string, since time.Time) {
	for _, st := range texts {
		if st.Phase == agreement.InForce || st.Phase == agreement.Suspended {
			return st.Agreement, "", since
		}
	}
	for _, st := range texts {
		if st.Phase != agreement.Ended || len(st.Awaiting) > 0 {
			continue
		}
		if st.Agreement.Ends != "" {
			since = st.Agreement.Ends.Time()
		}
		if len(st.Endings) > 0 && (since.IsZero() || st.Endings[0].At.Before(since)) {
			since = st.Endings[0].At
		}
		return st.Agreement, event.OverEnded, since
	}
	return nil, "", since
}

// letsOn reports whether a text lets what is asked about be held by who asks.
func letsOn(doc *agreement.Agreement, q *wirepb.OnwardQuestion, from name.Council, role string, under name.Agreement) bool {
	o := doc.Onward
	return o.Permits() && o.Reaches(from, role) && slices.Contains(doc.To, under.Council()) &&
		(len(o.Under) == 0 || slices.Contains(o.Under, under)) && int64(q.GetSteps()) <= int64(o.Deep()) &&
		!slices.ContainsFunc(q.GetFields(), func(f string) bool {
			return !slices.ContainsFunc(o.Fields, func(g name.Field) bool { return name.Field(f).Under(g) })
		})
}

// tookOver returns since when a text is in force: all had signed it, and its first day had come.
func tookOver(texts []agreement.Status, doc *agreement.Agreement) time.Time {
	since := doc.Starts.Time()
	for _, st := range texts {
		if st.Agreement == doc {
			for _, at := range st.Signed {
				since = later(since, at)
			}
		}
	}
	return since
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// gaveAny reports whether one of some versions was given to a council under an agreement.
func (s *Syncer) gaveAny(ctx context.Context, a name.Agreement, to name.Council, asked []ledger.PassedVersion) (given bool, err error) {
	err = s.o.Ledger.View(func(v *ledger.View) (err error) {
		given, err = v.GaveAny(ctx, a, to, asked)
		return err
	})
	return given, err
}

// knew reports whether a receiver of ours signed before an instant what shows that it knew that
// nothing goes on any more: the text that does not let it, or that it deleted everything.
func (s *Syncer) knew(a name.Agreement, c name.Council, doc *agreement.Agreement, over string, before time.Time) (bool, error) {
	if over == event.OverNarrower {
		return true, nil // it signed that text, and since then is before
	}
	for _, f := range s.o.Ledger.FeedsOf(a) {
		if f.Digest != doc.Digest() {
			continue
		}
		p, err := s.partnerOf(f, c)
		if err != nil {
			return false, err
		}
		if p.Done && p.LastAck.Before(before) {
			return true, nil
		}
	}
	return false, nil
}
