package succession

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Why a record is left behind.
const (
	keyTaken   = "a record of ours has its key already, and did not come from it"
	notOfOurs  = "our gate does not take it"
	notCarried = "it could not be judged"
)

// TakeOver takes over what a council that has ended handed to us. Everything in the file
// is verified before a record is taken: the seal names us by a key of ours, the records
// are those that it names, and each is ours by the plan. The same file again takes what was
// not taken before. A file that is fetched from its council's node is kept, as the proof.
func (k *Keeper) TakeOver(ctx context.Context, in api.TakeOverRequest) (*api.TakeOverReply, error) {
	if (in.File == "") == (in.From == "") {
		return nil, api.Fail(api.Usage, "", "name either a file or the council to fetch it from")
	}
	if in.From != "" {
		k.fetching.Lock()
		defer k.fetching.Unlock()
		path, err := k.fetch(ctx, in.From)
		if err != nil {
			return nil, err
		}
		in.File = path
	}
	if !filepath.IsAbs(in.File) {
		return nil, api.Fail(api.Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.Open(in.File)
	if err != nil {
		return nil, api.Fail(api.NotFound, "look at the path again", "take over: %v", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := audit.ReadHanded(f, st.Size(), audit.Options{Trust: audit.Trust{Members: k.o.Members()}, Standards: k.o.Ledger.Standards()})
	if err != nil {
		return nil, api.Fail(api.Unverified, "stile verify shows each check; ask the council for the file again", "nothing was taken over: %v", err)
	}
	if in.From != "" && h.Report.Council != in.From {
		return nil, api.Fail(api.Unverified, "ask "+string(in.From), "nothing was taken over: %s sent a file of another council", in.From)
	}
	out, err := k.fits(h, in)
	if err != nil {
		return nil, err
	}
	if in.From != "" {
		out.File = in.File
	}
	t := &taking{k: k, h: h, out: out, try: in.Try, standards: map[name.Standard]int{}, became: map[name.Record]name.Record{}}
	if err := h.Each(func(r audit.HandedRecord) error { return t.take(ctx, r) }); err != nil {
		return nil, err
	}
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	if err := t.earlier(ctx); err != nil {
		return nil, err
	}
	if err := t.carry(ctx); err != nil {
		return nil, err
	}
	out.Standards = sharedStandards(t.standards)
	if !in.Try {
		if err := k.o.Ledger.TookOver(ctx, out.From); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fits holds the file against the seal in it and against us.
func (k *Keeper) fits(h *audit.Handed, in api.TakeOverRequest) (*api.TakeOverReply, error) {
	from := h.Report.Council
	no := func(format string, args ...any) error {
		return api.Fail(api.Unverified, "ask the council for the file again", "nothing was taken over: "+format, args...)
	}
	share, ok := h.Sealed.To(k.o.Self)
	if !ok {
		return nil, no("%s names other successors than %s", from, k.o.Self)
	}
	us, member := k.o.Member(k.o.Self)
	_, key := us.RecordKey(share.KeyID)
	known := func(m name.Council) bool { return m != k.o.Self && m != from }
	switch {
	case !member:
		return nil, no("%s is not in the directory", k.o.Self)
	case !key:
		return nil, no("%s named the record key %s as that of its successor, and it is none of %s", from, share.KeyID, k.o.Self)
	case !slices.ContainsFunc(h.Witnesses, known) && !in.Unwitnessed:
		return nil, api.Fail(api.Refused, "run the node of "+string(from)+" until a partner has cosigned, and have it write the file again; --unwitnessed takes its word alone",
			"nothing was taken over: no council but %s and %s has cosigned the log of %s as it was sealed", from, k.o.Self, from)
	}
	p, err := Parse([]byte(h.Sealed.Plan))
	if err != nil {
		return nil, no("%v", err)
	}
	sharer, err := p.Sharer(from)
	if err != nil {
		return nil, no("%v", err)
	}
	var entries []uint64
	missing := map[name.Standard]bool{}
	err = h.Each(func(r audit.HandedRecord) error {
		if to, _ := sharer.To(r.View.Standard.Name, r.View.Body); to != k.o.Self {
			return no("by the plan entry %d is not for %s", r.Entry, k.o.Self)
		}
		if _, err := k.o.Ledger.Standard(r.View.Standard); err != nil {
			missing[r.View.Standard] = true
		}
		entries = append(entries, r.Entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if uint64(len(entries)) != share.Records || event.EntriesDigest(entries) != share.Entries {
		return nil, no("the records in the file are not the %d that the last entry of %s names", share.Records, from)
	}
	if len(missing) > 0 {
		var list []string
		for s := range missing {
			list = append(list, s.String())
		}
		slices.Sort(list)
		return nil, api.Fail(api.Refused, "stile standard adopt "+list[0], "nothing was taken over: %s has not adopted %s", k.o.Self, strings.Join(list, ", "))
	}
	return &api.TakeOverReply{
		From: from, On: h.Sealed.On, Size: h.Size, Root: hash64(h.Root), Witnesses: h.Witnesses, Records: len(entries),
	}, nil
}

// A taking is records on their way into our ledger, up to [event.MaxTaken] of one standard
// at a time.
type taking struct {
	k         *Keeper
	h         *audit.Handed
	out       *api.TakeOverReply
	try       bool
	standards map[name.Standard]int
	became    map[name.Record]name.Record // ids here of what was taken over, now or before, by those there

	of      name.Standard // of what waits
	waiting []api.Offered
	ids     []name.Record // of what waits, here
	was     event.TakenOver
}

func (t *taking) take(ctx context.Context, r audit.HandedRecord) error {
	std, err := t.k.o.Ledger.Standard(r.View.Standard)
	if err != nil {
		return err
	}
	id, ours, err := t.ours(std, r)
	if err != nil || ours {
		return err
	}
	if t.of != r.View.Standard || len(t.waiting) == event.MaxTaken {
		if err := t.flush(ctx); err != nil {
			return err
		}
		t.of = r.View.Standard
	}
	t.waiting, t.ids = append(t.waiting, api.Offered{Record: slices.Clone(r.Content)}), append(t.ids, id)
	t.was.Of, t.was.Versions, t.was.Entries = append(t.was.Of, r.View.Record), append(t.was.Versions, r.View.Version), append(t.was.Entries, r.Entry)
	return nil
}

// ours returns which record of ours a record is, and whether nothing is to be done for it: it
// was taken over before, or its key is another record's of ours.
func (t *taking) ours(std *standard.Standard, r audit.HandedRecord) (name.Record, bool, error) {
	key, err := std.Key(r.View.Body)
	if err != nil {
		t.left(r.View.Record, r.Entry, "", notOfOurs+": it has no key")
		return "", true, nil
	}
	id, done := t.k.o.RecordID(std.Name().Line(), key), false
	err = t.k.o.Ledger.View(func(v *ledger.View) error {
		was, err := v.Former(id)
		if err == nil {
			if done = true; was.Council == t.h.Report.Council && was.Record == r.View.Record {
				t.out.Already++
				t.became[r.View.Record] = id
			} else {
				t.left(r.View.Record, r.Entry, id, keyTaken)
			}
			return nil
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
		ver, err := v.Current(id)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if ver.Claims.Op == record.Put && string(strictjson.Canonical(ver.Body)) != string(r.Content) {
			done = true
			t.left(r.View.Record, r.Entry, id, keyTaken)
		}
		return nil
	})
	return id, done, err
}

func (t *taking) left(of name.Record, entry uint64, ours name.Record, why string) {
	t.out.Left = append(t.out.Left, api.LeftBehind{Of: of, Entry: entry, Record: ours, Why: why})
}

// flush puts what waits into our ledger, and logs where it came from.
func (t *taking) flush(ctx context.Context) error {
	if len(t.waiting) == 0 {
		return nil
	}
	if !t.try { // before they can leave
		if err := t.k.o.Ledger.Expect(ctx, t.h.Report.Council, t.was.Of, t.ids); err != nil {
			return err
		}
	}
	r, err := t.k.o.Put(ctx, api.PutRequest{Standard: t.of.String(), Records: t.waiting, DryRun: t.try})
	if err != nil {
		return err
	}
	e := event.TakenOver{From: t.h.Report.Council, Size: t.h.Size, Root: t.h.Root}
	for i, x := range r.Results {
		switch {
		case len(x.Problems) > 0:
			t.left(t.was.Of[i], t.was.Entries[i], "", fmt.Sprintf("%s: %s at %q", notOfOurs, x.Problems[0].Rule, x.Problems[0].Pointer))
			continue
		case x.Outcome == "" || x.Outcome == api.NotJudged:
			t.left(t.was.Of[i], t.was.Entries[i], "", notCarried)
			continue
		}
		e.Of, e.Versions, e.Entries = append(e.Of, t.was.Of[i]), append(e.Versions, t.was.Versions[i]), append(e.Entries, t.was.Entries[i])
		e.Records, e.At = append(e.Records, x.Record), append(e.At, x.Index)
		t.became[t.was.Of[i]] = x.Record
		t.standards[t.of]++
		t.out.Taken++
	}
	t.waiting, t.ids, t.was = nil, nil, event.TakenOver{}
	if t.try || len(e.Of) == 0 {
		return nil
	}
	index, logged, err := t.k.o.Ledger.TakeOver(ctx, e)
	if logged {
		t.out.Events = append(t.out.Events, index)
	}
	return err
}

// earlier logs where what was taken over was still earlier: at councils that had ended before
// the one that hands over. Its log says so, and it is taken at its word.
func (t *taking) earlier(ctx context.Context) error {
	if t.try {
		return nil
	}
	for _, h := range t.h.Earlier() {
		e := h.TakenEarlier
		left := event.TakenEarlier{From: e.From, Size: e.Size, Root: e.Root, By: e.By, Said: e.Said}
		for i, r := range h.Here {
			if now, ok := t.became[r]; ok {
				left.Of, left.Versions, left.Entries = append(left.Of, e.Of[i]), append(left.Versions, e.Versions[i]), append(left.Entries, e.Entries[i])
				left.Through, left.Records = append(left.Through, e.Through[i]), append(left.Records, now)
			}
		}
		if len(left.Of) == 0 {
			continue
		}
		index, logged, err := t.k.o.Ledger.TakeEarlier(ctx, left)
		if err != nil {
			return err
		}
		if logged {
			t.out.Events = append(t.out.Events, index)
		}
	}
	return nil
}

// carry carries on the handovers that the council which ended leaves to us.
func (t *taking) carry(ctx context.Context) error {
	for _, h := range t.h.Handovers() {
		c := event.HandoverCarried{CarriedCase: h.CarriedCase, From: t.h.Report.Council, Entry: h.Entry}
		ours := false
		for _, x := range h.To {
			if x.Council != t.k.o.Self {
				c.Others = append(c.Others, x.Council)
				continue
			}
			ours = true
			for _, r := range x.Records {
				if now, ok := t.became[r]; ok {
					c.Records = append(c.Records, now)
				}
			}
		}
		if !ours || c.Partner == t.k.o.Self { // of one with us, both sides of it are here
			continue
		}
		if t.out.Handovers++; t.try {
			continue
		}
		entry, logged, err := t.k.o.Carry(ctx, c)
		if err != nil {
			return err
		}
		if logged {
			t.out.Events = append(t.out.Events, entry)
		}
	}
	return nil
}
