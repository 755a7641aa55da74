package peersync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/judge"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/name"
)

// What was passed on to us the council that issued it takes back by telling who passed it on,
// who may keep that quiet. So we ask the council itself, once a day: see onward.proto. Its
// signed word, that something has to be gone, is all that anything is deleted for; that it does
// not answer deletes nothing.

const (
	traceSoon  = 10 * time.Minute // after the first of it came, or a start: what is honest comes by then
	traceEvery = 24 * time.Hour   // after an answer about all of it, or that nothing is answered
	traceAgain = time.Hour        // after nobody was reached
	// traceLook is how often it is looked at the clock: it may be set, and machines sleep.
	traceLook = time.Minute

	traceWithin = 30 * time.Second // one question, answered or not
)

// A tracer asks about what is held under one text of an agreement whose origin is another.
type tracer struct {
	s    *Syncer
	doc  *agreement.Agreement
	next time.Time // when to ask; zero until that is known
	from uint64    // where to begin; beyond the first only after what was too much for one day
}

// tracer returns the job that asks about what is held under an agreement; nil where there is
// nothing to ask.
func (s *Syncer) tracer(doc *agreement.Agreement) (jobKey, *tracer) {
	if doc.Origin == "" {
		return jobKey{}, nil
	}
	src, err := s.o.Ledger.Source(doc.From, doc.Name)
	if err != nil || src.Ended || src.Records == 0 && src.Tracing == nil {
		return jobKey{}, nil
	}
	return jobKey{work: tracing, council: doc.From, agreement: doc.Name, text: doc.Digest().String()}, &tracer{s: s, doc: doc}
}

// turn asks when that is due, or waits a while. It never fails: that nobody answers is told as
// a condition, and is no reason to ask more often.
func (r *tracer) turn(ctx context.Context, _ *job) (bool, error) {
	now := r.s.o.Now()
	if r.next.IsZero() {
		r.next = now.Add(traceSoon)
		if src, err := r.s.o.Ledger.Source(r.doc.From, r.doc.Name); err == nil && src.Tracing != nil {
			if again := src.Tracing.At.Add(traceEvery); again.After(r.next) {
				r.next = again
			}
		}
	}
	if wait := r.next.Sub(now); wait > 0 {
		pause(ctx, min(wait, traceLook))
		return true, nil
	}
	wait := traceEvery
	if err := r.trace(ctx); err != nil && ctx.Err() == nil {
		r.s.o.Log.Info("not told whether what was passed on may be kept", "from", r.doc.From, "agreement", r.doc.Name, "because", explain(err))
		if passing(err) {
			wait = traceAgain
		}
	}
	r.next = r.s.o.Now().Add(wait)
	return true, nil
}

// passing reports whether a question that failed may be answered soon: its council was not
// reached, or could not answer then.
func passing(err error) bool {
	if r, ok := errors.AsType[*refused](err); ok {
		return r.code == codeNotReady || r.code == codeHalted || r.code == codeDirectory
	}
	for _, e := range []error{wire.ErrUnreachable, wire.ErrBusy, wire.ErrReset, os.ErrDeadlineExceeded, context.DeadlineExceeded, judge.ErrWait} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// trace asks about all that is held, and deletes what has to be gone.
func (r *tracer) trace(ctx context.Context) error {
	src, err := r.s.o.Ledger.Source(r.doc.From, r.doc.Name)
	if err == nil {
		err = r.s.o.Ledger.FinishDeleting(ctx, src)
	}
	if err != nil {
		return err
	}
	var of name.Council
	from := r.from
	r.from = 0
	for {
		page, err := r.page(src, from)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		// A record that stands under an agreement is of the agreement's sender: it was judged so.
		if of == "" {
			if err := r.s.o.Ledger.Traced(ctx, src, page[0].Under[0].Council(), false); err != nil {
				return err
			}
		}
		of = page[0].Under[0].Council()
		looked, err := r.ask(ctx, src, of, page)
		if refusal, ok := errors.AsType[*refused](err); ok && refusal.code == codeOften {
			r.from = from // what was asked about is not asked about again before the rest
		}
		if err != nil {
			return fmt.Errorf("%s, which issued it: %w", of, err)
		}
		from = page[looked-1].Index + 1
	}
	if of == "" {
		return nil // nothing is held, or nothing more
	}
	return r.s.o.Ledger.Traced(ctx, src, of, true)
}

// page reads what can be asked about in one question: of one way by which it came.
func (r *tracer) page(src *ledger.Source, from uint64) (page []ledger.HeldPassed, err error) {
	err = r.s.o.Ledger.View(func(v *ledger.View) error {
		return v.HeldPassed(src, from, func(h ledger.HeldPassed) bool {
			if len(page) > 0 && !slices.Equal(h.Under, page[0].Under) {
				return false
			}
			page = append(page, h)
			return len(page) < wirepb.MaxOnwardVersions
		})
	})
	return page, err
}

// ask asks one question, deletes what the answer says has to be gone, and returns how many
// versions the answer is about.
func (r *tracer) ask(ctx context.Context, src *ledger.Source, of name.Council, page []ledger.HeldPassed) (looked int, err error) {
	if err := r.s.o.Ledger.Allowed(of); err != nil {
		return 0, err
	}
	under := page[0].Under
	q := &wirepb.OnwardQuestion{Version: wirepb.OnwardVersion, Agreement: string(under[0]), Under: string(under[1]), Steps: uint32(len(under) - 1)}
	for _, f := range r.doc.Fields {
		q.Fields = append(q.Fields, string(f))
	}
	for _, h := range page {
		id := h.Record.Bytes()
		q.Versions = append(append(q.Versions, id[:]...), h.Hash[:]...)
	}
	a, err := r.question(ctx, of, q)
	if err != nil {
		return 0, err
	}
	if a.GetCode() != "" {
		return 0, &refused{limit(a.GetCode(), 64), limit(a.GetReason(), 300)}
	}
	if looked = int(a.GetLooked()); looked > len(page) {
		return 0, fmt.Errorf("answer: %w: it is about more than was asked", judge.ErrLied)
	}
	if len(a.GetEvent()) == 0 {
		return looked, nil
	}
	said, err := r.check(of, under, a.GetEvent())
	if err != nil {
		return 0, err
	}
	if said.Over != "" {
		// Of everything, and of what is beyond the page by the next.
		for chunk := range slices.Chunk(page, event.MaxGone) {
			if err := r.delete(ctx, src, a.GetEvent(), said, chunk); err != nil {
				return 0, err
			}
		}
		return len(page), nil
	}
	gone := map[ledger.PassedVersion]bool{}
	for _, g := range said.Versions {
		gone[ledger.PassedVersion{Record: g.Record, Hash: g.Hash}] = true
	}
	which := slices.DeleteFunc(slices.Clone(page[:looked]), func(h ledger.HeldPassed) bool { return !gone[h.PassedVersion] })
	if len(which) != len(said.Versions) {
		return 0, fmt.Errorf("answer: %w: it is about something else than was asked", judge.ErrLied)
	}
	return looked, r.delete(ctx, src, a.GetEvent(), said, which)
}

func (r *tracer) delete(ctx context.Context, src *ledger.Source, word []byte, said event.OnwardGone, which []ledger.HeldPassed) error {
	of := said.Agreement.Council()
	if err := r.s.o.Ledger.DeleteByWord(ctx, src, word, said, which); err != nil {
		return err
	}
	r.s.o.Log.Warn("deleted by the word of the council that issued it, since who passed it on did not take it back",
		"from", r.doc.From, "agreement", r.doc.Name, "issued_by", of, "versions", len(which))
	r.s.look() // something waits for both of them
	return nil
}

// check reads the signed word of a council, in answer to a question about what came by some
// agreements.
func (r *tracer) check(of name.Council, under []name.Agreement, jws []byte) (said event.OnwardGone, err error) {
	_, ev, rule, err := r.s.o.Judge.Event(of, jws, directory.AnyPlace)
	if err != nil {
		return said, err
	}
	if rule != "" || ev.Kind != event.KindOnwardGone {
		return said, fmt.Errorf("answer: %w: it is not signed as its word: %s", judge.ErrLied, rule)
	}
	said, err = event.ParseOnwardGone(ev.Body)
	if err == nil && (said.Agreement != under[0] || said.Under != under[1] || said.To != r.s.o.Self) {
		err = errors.New("it is about something else than was asked")
	}
	if err != nil {
		return said, fmt.Errorf("answer: %w: %w", judge.ErrLied, err)
	}
	return said, nil
}

// question asks one question of /stile/onward/1.
func (r *tracer) question(ctx context.Context, of name.Council, q *wirepb.OnwardQuestion) (*wirepb.OnwardAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	st, err := r.s.o.Network.Open(ctx, of, wirepb.OnwardProtocol)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(r.s.o.Now().Add(traceWithin))
	var a *wirepb.OnwardAnswer
	if err = wirepb.WriteOnwardQuestion(bufio.NewWriter(st), q); err == nil {
		a, err = wirepb.ReadOnwardAnswer(bufio.NewReader(st))
	}
	if err != nil {
		st.Reset()
		return nil, err
	}
	return a, nil
}
