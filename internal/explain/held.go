package explain

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// whyHeld says why we hold a record that a partner sent us, or hold it no more.
func (x *Explainer) whyHeld(partner name.Council, in api.WhyRequest) (*api.WhyReply, error) {
	id, err := x.o.Held(partner, in.Record)
	if err != nil {
		return nil, err
	}
	out := &api.WhyReply{Record: id, Partner: partner, From: true, Steps: []api.WhyStep{}}
	standing := x.o.Agreements.Standing(x.o.Now())
	known := false
	err = x.o.Ledger.View(func(v *ledger.View) error {
		for _, src := range x.o.Ledger.Sources() {
			if src.From != partner || src.Agreement == "" {
				continue
			}
			known = true
			i := slices.IndexFunc(standing, func(st agreement.Status) bool { return st.Agreement.Name == src.Agreement })
			if i < 0 {
				continue
			}
			if err := x.whyUnder(v, src, standing[i], id, out); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, api.Fail(api.NotFound, "stile agreement list", "nothing was ever copied from %s", partner)
	case out.Answer == "":
		out.Answer = fmt.Sprintf("we do not hold this record, and remember none of that id from %s", partner)
	}
	return out, nil
}

// whyUnder is whyHeld for what came under one agreement.
func (x *Explainer) whyUnder(v *ledger.View, src *ledger.Source, st agreement.Status, id name.Record, out *api.WhyReply) error {
	a := st.Agreement
	over := st.Phase == agreement.Ended || st.Phase == agreement.Superseded || src.Ended
	step := func(holds bool, rule, detail string) {
		out.Steps = append(out.Steps, api.WhyStep{Agreement: a.Name, Rule: rule, Past: over, Holds: holds, Detail: detail})
	}
	if over {
		step(true, "the agreement was in force", fmt.Sprintf("version %d; it is over: %s", a.Version, st.Why))
	} else {
		step(st.InForce(), "the agreement is in force", fmt.Sprintf("version %d %s", a.Version, st.Why))
	}
	last, err := x.o.Ledger.Last(src, id)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	remembered := err == nil && last.Council != ""
	got, gone, all, err := x.receipts(v, src, last, remembered)
	if err != nil {
		return err
	}
	tell := func(at time.Time, what string, log name.Council, entry uint64) {
		out.Events = append(out.Events, api.WhyEvent{At: at, What: what, Agreement: a.Name, Version: uint64(a.Version), Log: log, Entry: entry})
	}
	if now, err := v.Became(id); err == nil && now.Was.Council == src.From && !last.Held {
		ev, _, err := v.Event(now.Was.Event)
		if err != nil {
			return err
		}
		at := time.Unix(ev.IssuedAt, 0).UTC()
		tell(at, fmt.Sprintf("it was deleted here, since it came from %s as record %s", now.Source.From, now.Record), x.o.Self, now.Was.Event)
		out.Had = true
		out.Answer = fmt.Sprintf("we held this record under %s; on %s it came from %s as record %s, which took its place (entry %d)", a.Name, day(at), now.Source.From, now.Record, now.Was.Event)
		return nil
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if !remembered {
		step(false, "it sent us a record of that id", "none is remembered")
		if all != nil && out.Answer == "" {
			tell(all.at, "everything held under the agreement was deleted: "+all.reason, x.o.Self, all.entry)
			out.Answer = fmt.Sprintf("we do not hold this record: everything held under %s was deleted on %s (entry %d), because %s; of which records that was nothing is kept", a.Name, day(all.at), all.entry, all.reason)
		}
		return nil
	}
	out.Had = true
	step(true, "it sent us a record of that id", fmt.Sprintf("version %d, entry %d of the log of %s", last.Version, last.Index, src.From))
	came := ""
	if got != nil {
		tell(got.at, fmt.Sprintf("version %d was received from %s, as entry %d of its log", last.Version, src.From, last.Index), x.o.Self, got.entry)
		came = fmt.Sprintf(", received on %s (entry %d)", day(got.at), got.entry)
	}
	if e, err := v.AtTerm(src, id); err == nil && !last.Held && last.Withdrawn == 0 {
		came = fmt.Sprintf(", received on %s", day(e.Received))
		receipted := ""
		if e.Event > 0 {
			receipted = fmt.Sprintf(" (entry %d)", e.Event)
		}
		tell(e.Deleted, "it was deleted here, since the time was over for which it may be kept", x.o.Self, e.Event)
		step(false, "it may be kept still", "the agreement lets it be kept "+a.Kept())
		if !out.Has {
			out.Answer = fmt.Sprintf("we held this record under %s%s and deleted it on %s%s: the time was over for which it may be kept", a.Name, came, day(e.Deleted), receipted)
		}
		return nil
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if !last.Held {
		detail := fmt.Sprintf("withdrawn by entry %d of the log of %s", last.Withdrawn, src.From)
		tell(time.Time{}, fmt.Sprintf("%s withdrew it", src.From), src.From, last.Withdrawn)
		deleted := ""
		if gone != nil {
			tell(gone.at, "it was deleted here, and that was receipted", x.o.Self, gone.entry)
			deleted = fmt.Sprintf(" on %s (entry %d)", day(gone.at), gone.entry)
		}
		step(false, "it was not withdrawn", detail)
		if !out.Has {
			out.Answer = fmt.Sprintf("we held this record under %s%s and deleted it%s: %s withdrew it by entry %d of its log", a.Name, came, deleted, src.From, last.Withdrawn)
		}
		return nil
	}
	out.Has = true
	step(true, "it was not withdrawn", "")
	if kept := a.Kept(); kept != "" {
		step(true, "it may be kept still", kept)
	}
	if a.Purpose != "" {
		step(true, "it is held for a purpose", a.Purpose)
	}
	state := "which is in force"
	switch {
	case src.Kept != nil:
		state = "which is over: it is " + src.Kept.String()
	case over:
		state = "which is over: it is being deleted"
	case !st.InForce():
		state = "which is " + st.Why
	}
	out.Answer = fmt.Sprintf("we hold this record, version %d, under version %d of %s, %s%s", last.Version, a.Version, a.Name, state, came)
	h, err := v.Holding(src, id)
	if err != nil {
		return err
	}
	for _, f := range a.Fields {
		w := api.WhyField{Agreement: a.Name, Field: string(f), Sent: true, State: "received", Because: "agreed"}
		if !present(h.View.Body, f.Tokens()) {
			w.State, w.Because = "not received", "agreed; the record has no such field, or it came under another text"
		}
		out.Fields = append(out.Fields, w)
	}
	return nil
}

// A said is a receipt of ours.
type said struct {
	at     time.Time
	entry  uint64 // in our log
	reason string
}

// receipts finds in our log what we said of a record: when it was kept, when deleted, and
// when all under the agreement was.
func (x *Explainer) receipts(v *ledger.View, src *ledger.Source, last ledger.Last, remembered bool) (got, gone, all *said, err error) {
	v.Events(event.KindReceipt, 0, func(i uint64) bool {
		ev, _, e := v.Event(i)
		if e != nil {
			err = e
			return false
		}
		r, e := event.ParseReceipt(ev.Body)
		if e != nil || r.Agreement != src.Agreement || r.From != src.From {
			return true
		}
		s := &said{time.Unix(ev.IssuedAt, 0).UTC(), i, r.Reason}
		switch {
		case r.All:
			all = s
		case remembered && slices.Contains(r.Held, last.Index):
			got = s
		case remembered && !last.Held && slices.Contains(r.Deleted, last.Withdrawn):
			gone = s
		}
		return true
	})
	return got, gone, all, err
}

// present reports whether a value stands at a path of an object.
func present(v any, tokens []string) bool {
	for _, t := range tokens {
		m, ok := v.(map[string]any)
		if !ok {
			_, list := v.([]any)
			return list // of a list's members nobody asks here
		}
		if v, ok = m[t]; !ok {
			return false
		}
	}
	return true
}
