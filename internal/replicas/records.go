package replicas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// maxPut bounds how many records one request puts.
const maxPut = 1000

// ours finds the replica and the records of ours that a request names.
func (s *Set) ours(in api.FootprintPutRequest) (*Replica, []name.Record, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, nil, err
	}
	if len(in.Records) == 0 || len(in.Records) > maxPut {
		return nil, nil, api.Fail(api.Usage, "", "want 1 to %d records at a time", maxPut)
	}
	var ids []name.Record
	for _, typed := range in.Records {
		id, err := s.o.Record(typed, in.Standard)
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, id)
	}
	return r, ids, nil
}

// byHand reports why records of a standard are not put into a footprint, nor taken
// back, one by one: what an agreement lets into it flows by itself, and two ways in
// would hold two texts of one record.
func (s *Set) byHand(r *Replica, line name.StandardLine) error {
	if a, ok := s.o.Under(r.name, line); ok {
		return api.Fail(api.Conflict, "stile agreement show "+string(a), "records of %s go in and out of %s by themselves, under %s", line, r.name, a)
	}
	return nil
}

// Put puts records without an agreement: what a standard calls open may be read by
// anybody who may read a token of it at all, and nothing else of the record travels.
func (s *Set) Put(ctx context.Context, in api.FootprintPutRequest) (*api.FootprintPutReply, error) {
	r, ids, err := s.ours(in)
	if err != nil {
		return nil, err
	}
	var entries []footprint.Entry
	var indexes []uint64
	err = s.o.Ledger.View(func(v *ledger.View) error {
		for _, id := range ids {
			ver, err := v.Current(id)
			if err != nil {
				return err
			}
			if err := s.byHand(r, ver.Claims.Standard.Line()); err != nil {
				return err
			}
			t, err := ver.Token.Present(func(string, bool) bool { return false })
			if err != nil {
				return err
			}
			entries, indexes = append(entries, footprint.Entry{Token: t.Bytes()}), append(indexes, ver.Index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.notLost(ctx, r, ids); err != nil {
		return nil, err
	}
	slices.Sort(indexes)
	// Logged before it leaves, as every disclosure is.
	if _, _, err := s.o.Ledger.AppendNotice(ctx, event.KindFootprintPut, event.FootprintPut{Footprint: r.name, Entries: indexes}.Body()); err != nil {
		return nil, err
	}
	return r.offer(ctx, ids, entries, map[footprint.Code]string{footprint.Accepted: "taken", footprint.Duplicate: "there already"})
}

// notLost returns an error that is a Conflict when the footprint holds a version of one of
// our records that is not in our log, which was set back: another beside it would be evidence
// against us.
func (s *Set) notLost(ctx context.Context, r *Replica, ids []name.Record) error {
	back := false
	err := s.o.Ledger.View(func(v *ledger.View) error { back = v.SetBack(); return nil })
	if err == nil {
		err = r.fresh(ctx, back, 0)
	}
	if err != nil {
		return err
	}
	for _, id := range ids {
		h, err := r.f.Record(s.self, id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		is := false
		if err == nil {
			err = s.o.Ledger.View(func(v *ledger.View) (err error) {
				is, err = v.IsVersion(id, h.Token.Entry())
				return err
			})
		}
		if err != nil {
			return err
		}
		if !is {
			return api.Fail(api.Conflict, fmt.Sprintf("stile footprint withdraw %s %s, and put it again once it has a newer version", r.name, id),
				"%s holds a version of %s that our log has not any more", r.name, id)
		}
	}
	return nil
}

// offer offers one entry for each record, and waits a moment until this member sees
// them too: what somebody was told is there he finds when he looks. That they are
// there does not hang on it.
func (r *Replica) offer(ctx context.Context, ids []name.Record, entries []footprint.Entry, words map[footprint.Code]string) (*api.FootprintPutReply, error) {
	got, err := r.f.Put(ctx, entries...)
	if err != nil {
		return nil, explained(r.name, err)
	}
	wait, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_ = r.f.Await(wait, got.Position)
	out := &api.FootprintPutReply{Position: got.Position}
	for i, o := range got.Outcomes {
		res := api.FootprintPutResult{Record: ids[i], Outcome: words[o.Code], Entry: o.Entry, Rule: o.Rule}
		if res.Outcome == "" {
			res.Outcome = "refused"
		}
		out.Results = append(out.Results, res)
	}
	return out, nil
}

// withdrawnByHand is the reason of a withdrawal from a footprint of what was put
// there without an agreement.
const withdrawnByHand = "taken back by the council that put it"

// Withdraw takes back records that were put without an agreement. They are erased at
// every member. What an agreement let in goes out by itself when that says so.
func (s *Set) Withdraw(ctx context.Context, in api.FootprintPutRequest) (*api.FootprintPutReply, error) {
	r, ids, err := s.ours(in)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		h, err := r.f.Record(s.self, id)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, api.Fail(api.NotFound, fmt.Sprintf("stile footprint records %s --of %s", r.name, s.self), "%s holds no record %s of ours", r.name, id)
		}
		if err == nil {
			err = s.byHand(r, h.View.Standard.Line())
		}
		if err != nil {
			return nil, err
		}
	}
	return s.withdraw(ctx, r, ids)
}

// withdraw takes back records of ours that stand in a footprint under no agreement.
func (s *Set) withdraw(ctx context.Context, r *Replica, ids []name.Record) (*api.FootprintPutReply, error) {
	// In the place of an agreement's name, which every withdrawal has.
	by, err := name.ParseAgreement(string(s.self) + "/put-by-hand")
	if err != nil {
		return nil, err
	}
	var entries []footprint.Entry
	for _, id := range ids {
		_, jws, err := s.o.Ledger.AppendNotice(ctx, event.KindWithdrawal, event.Withdrawal{Agreement: by, Record: id, Reason: withdrawnByHand}.Body())
		if err != nil {
			return nil, err
		}
		entries = append(entries, footprint.Entry{Token: jws})
	}
	return r.offer(ctx, ids, entries, map[footprint.Code]string{footprint.Accepted: "withdrawn", footprint.Duplicate: "withdrawn"})
}

// erasedByHand is the reason of a withdrawal from a footprint of an erased record that was
// put there without an agreement.
const erasedByHand = "erased by the council that put it"

// TakeBack takes a record of ours that is erased back out of every open footprint that it
// was put into without an agreement, with all its versions; what an agreement let in
// is ordered back by that. With try set it only says where it stands. It returns the
// footprints, with the log index of what says so; saying it again goes on from what
// could not be reached.
func (s *Set) TakeBack(ctx context.Context, id name.Record, try bool) (out []api.ErasureOrder, err error) {
	by, err := name.ParseAgreement(string(s.self) + "/put-by-hand")
	if err != nil {
		return nil, err
	}
	for _, r := range s.All() {
		if r.f == nil || r.council != nil {
			continue
		}
		h, err := r.f.Record(s.self, id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, err
		}
		if s.byHand(r, h.View.Standard.Line()) != nil {
			continue // it goes by the agreement's feed
		}
		o := api.ErasureOrder{Agreement: by, To: r.name, Footprint: true}
		if !try {
			index, jws, err := s.o.Ledger.AppendNotice(ctx, event.KindWithdrawal, event.Withdrawal{Agreement: by, Record: id, Reason: erasedByHand}.Body())
			if err != nil {
				return out, err
			}
			o.Entry = index
			if _, err := r.offer(ctx, []name.Record{id}, []footprint.Entry{{Token: jws}}, map[footprint.Code]string{footprint.Accepted: "withdrawn", footprint.Duplicate: "withdrawn"}); err != nil {
				return out, err
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// readPatience bounds how long a read waits to be fresh: longer than the members
// take to choose another leader.
const readPatience = 8 * time.Second

// fresh waits until a read here is as fresh as was asked for.
func (r *Replica) fresh(ctx context.Context, linearizable bool, at uint64) error {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if linearizable {
		p, err := r.f.Latest(ctx)
		if err != nil {
			return explained(r.name, err)
		}
		at = max(at, p)
	}
	if err := r.f.Await(ctx, at); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return api.Fail(api.Behind, "stile footprint status "+string(r.name), "this member has not come to position %d yet", at)
		}
		return explained(r.name, err)
	}
	return nil
}

// maxPage bounds how many records a page lists.
const maxPage = 1000

// Records lists what is in a footprint, a page at a time.
func (s *Set) Records(ctx context.Context, in api.FootprintListRequest) (*api.FootprintListReply, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	var of name.Council
	if in.Of != "" {
		if of, err = council(in.Of); err != nil {
			return nil, err
		}
	}
	if err := r.fresh(ctx, in.Linearizable, in.At); err != nil {
		return nil, err
	}
	if in.Limit <= 0 {
		in.Limit = 100
	}
	from, err := api.CursorAt(in.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := r.f.Records(from, min(in.Limit, maxPage), func(h *footprint.Held) bool {
		return (of == "" || h.View.Council == of) && (in.Standard == "" || h.View.Standard.MeantBy(in.Standard))
	})
	if err != nil {
		return nil, explained(r.name, err)
	}
	out := &api.FootprintListReply{Position: l.Position, Records: []api.FootprintRecord{}, Cursor: api.CursorOf(l.Next), Damaged: l.Damaged}
	for _, h := range l.Records {
		fr := describe(h)
		if in.Bodies {
			fr.Body = strictjson.Canonical(h.View.Body)
		}
		out.Records = append(out.Records, fr)
	}
	return out, nil
}

func describe(h *footprint.Held) api.FootprintRecord {
	v := h.View
	return api.FootprintRecord{
		Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version, Op: string(v.Op), Entry: h.Index,
		Position: h.Position, IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Withheld: v.Withheld,
	}
}

// find finds the record that a request means.
func (s *Set) find(ctx context.Context, in api.FootprintRecordRequest) (*Replica, *footprint.Held, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, nil, err
	}
	c := s.self
	if in.Council != "" {
		if c, err = council(in.Council); err != nil {
			return nil, nil, err
		}
	}
	if err := r.fresh(ctx, in.Linearizable, in.At); err != nil {
		return nil, nil, err
	}
	none := func() error {
		return api.Fail(api.NotFound, fmt.Sprintf("stile footprint records %s --of %s", r.name, c), "%s holds no such record of %s", r.name, c)
	}
	id, perr := name.ParseRecord(in.Record)
	if perr != nil && c == s.self {
		if id, perr = s.o.Record(in.Record, in.Standard); perr != nil {
			return nil, nil, perr
		}
	}
	if perr == nil {
		h, err := r.f.Record(c, id)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, nil, none()
		}
		return r, h, err
	}
	// Another council's ids cannot be told from its keys, so that a key is looked
	// for among what may be seen.
	want := standard.TypedKey(in.Record)
	l, err := r.f.Records(0, 1, func(h *footprint.Held) bool {
		if h.View.Council != c || in.Standard != "" && !h.View.Standard.MeantBy(in.Standard) {
			return false
		}
		std, err := r.f.Standard(h.View.Standard)
		if err != nil {
			return false
		}
		k, err := std.Key(h.View.Body)
		return err == nil && k == want
	})
	if err == nil && len(l.Records) == 0 {
		err = none()
	}
	if err != nil {
		return nil, nil, err
	}
	return r, l.Records[0], nil
}

// Show returns a record of a footprint, and checks with the key that the directory has
// that its council sealed the page it came in.
func (s *Set) Show(ctx context.Context, in api.FootprintRecordRequest) (*api.FootprintRecord, error) {
	r, h, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	token, err := r.f.Sealed(h, h.Token)
	if err != nil {
		return nil, explained(r.name, err)
	}
	out := describe(h)
	out.Token, out.Disclosed, out.Signature = string(token.Bytes()), h.View.Disclosed, "checked"
	if h.View.Op == record.Put {
		out.Body = strictjson.Canonical(h.View.Body)
	}
	m, ok := s.o.Directory.Member(h.View.Council)
	if !ok {
		out.Signature = "not checked: " + string(h.View.Council) + " is not in the directory"
	} else if key, ok := m.RecordKey(token.Signer()); !ok {
		out.Signature = "not checked: the directory does not know the key"
	} else if token.Verify(key) != nil {
		out.Signature = "does not verify"
	}
	return &out, nil
}

// Prove returns a proof that a record stands in a footprint's log. One that no
// majority has cosigned yet is waited for.
func (s *Set) Prove(ctx context.Context, in api.FootprintRecordRequest) (*api.FootprintProofReply, error) {
	r, h, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	if _, err := r.cosigned(ctx, h.Index+1); err != nil {
		return nil, err
	}
	p, err := r.f.Proof(h.Index)
	if err != nil {
		return nil, err
	}
	ws := r.f.Witnesses()
	cp, by, err := tlog.VerifyMajority(p.Checkpoint, r.name.Origin(), ws...)
	if err != nil {
		return nil, api.Fail(api.Unverified, "stile footprint evidence "+string(r.name), "%v", err)
	}
	if err := tlog.VerifyInclusion(h.Token.Entry(), p.Index, cp.Size, cp.Root, p.Path); err != nil {
		return nil, api.Fail(api.Unverified, "stile footprint evidence "+string(r.name), "the proof does not verify: %v", err)
	}
	token, err := r.f.Sealed(h, h.Token)
	if err != nil {
		return nil, explained(r.name, err)
	}
	out := &api.FootprintProofReply{Record: describe(h), Proof: string(p.Marshal()), Size: cp.Size, Root: cp.Root.String(), Members: len(ws)}
	out.Record.Token = string(token.Bytes())
	out.CosignedBy, out.Keys = cosigners(by), s.witnessKeys(r.f.Councils())
	return out, nil
}

// cosigned returns the newest checkpoint that a majority has cosigned and that covers a
// number of entries. The members cosign behind the writes; what was written a moment ago
// is covered a moment later, and that moment is waited for.
func (r *Replica) cosigned(ctx context.Context, entries uint64) ([]byte, error) {
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if cp, signed := r.f.Checkpoint(); signed != nil && cp.Size >= entries {
			return signed, nil
		}
		select {
		case <-wait.Done():
			return nil, api.Fail(api.Behind, "stile footprint status "+string(r.name), "no majority has cosigned a checkpoint of %d entries or more yet", entries)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func cosigners(by []tlog.Cosignature) (out []name.Council) {
	for _, c := range by {
		out = append(out, name.Council(c.Witness))
	}
	slices.Sort(out)
	return out
}

func (s *Set) witnessKeys(members []name.Council) (out []string) {
	for _, c := range members {
		if m, ok := s.o.Directory.Member(c); ok && m.WitnessKey != "" {
			out = append(out, m.WitnessKey)
		}
	}
	return out
}

// Checkpoint returns the newest checkpoint that a majority of the members has
// cosigned. The first one is waited for.
func (s *Set) Checkpoint(ctx context.Context, in api.FootprintRequest) (*api.FootprintCheckpointReply, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	signed, err := r.cosigned(ctx, 0)
	if err != nil {
		return nil, err
	}
	ws := r.f.Witnesses()
	cp, by, err := tlog.VerifyMajority(signed, r.name.Origin(), ws...)
	if err != nil {
		return nil, api.Fail(api.Unverified, "stile footprint evidence "+string(r.name), "%v", err)
	}
	return &api.FootprintCheckpointReply{
		Footprint: r.name, Size: cp.Size, Root: cp.Root.String(), Note: string(signed), CosignedBy: cosigners(by),
		Members: len(ws), Keys: s.witnessKeys(r.f.Councils()), Entries: r.f.Size(),
	}, nil
}

// Evidence returns what this node has against members whose replicas differ.
func (s *Set) Evidence(ctx context.Context, in api.FootprintRequest) (*api.FootprintEvidenceReply, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	list, err := r.f.Evidence()
	out := &api.FootprintEvidenceReply{Evidence: []api.FootprintEvidence{}}
	for _, e := range list {
		out.Evidence = append(out.Evidence, api.FootprintEvidence{Council: e.Council, At: time.Unix(e.At, 0).UTC(), What: e.What, Signed: e.Signed})
	}
	return out, err
}

// Adopt adopts a standard in a footprint, on every member.
func (s *Set) Adopt(ctx context.Context, in api.FootprintAdoptRequest) (*api.FootprintAdoptReply, error) {
	r, err := s.ofCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	std, err := s.o.Standard(in.Standard)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := r.f.Adopt(ctx, std.Archive(), std.Name(), std.Integrity())
	if err != nil {
		return nil, explained(r.name, err)
	}
	s.o.Changed()
	return &api.FootprintAdoptReply{Standard: std.Name(), Position: got.Position, Already: got.Outcomes[0].Code == footprint.Duplicate}, nil
}
