package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// FootprintPutRequest puts records of ours into a footprint's ledger, with the
// fields that their standard calls open and no others.
type FootprintPutRequest struct {
	Name     string   `json:"name"`
	Records  []string `json:"records"`            // ids, or natural keys with Standard
	Standard string   `json:"standard,omitempty"` // see RecordRequest
}

// FootprintPutReply says what became of each record, in the order given.
// Position is where everybody sees it: see FootprintListRequest.At.
type FootprintPutReply struct {
	Position uint64               `json:"position"`
	Results  []FootprintPutResult `json:"results"`
}

// FootprintPutResult is what became of one record.
type FootprintPutResult struct {
	Record  name.Record `json:"record"`
	Outcome string      `json:"outcome"`         // "taken", "there already" or "refused"
	Entry   uint64      `json:"entry,omitempty"` // in the footprint's log
	Rule    string      `json:"rule,omitempty"`  // why it was refused
}

// maxPut bounds how many records one request puts.
const maxPut = 1000

// putIntoFootprint puts records without an agreement: what a standard calls open
// may be read by anybody who may read a token of it at all, and nothing else of
// the record travels. What an agreement lets into the footprint flows by itself,
// and is refused here: two ways in would hold two texts of one record.
func (n *Node) putIntoFootprint(ctx context.Context, in FootprintPutRequest) (*FootprintPutReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	if len(in.Records) == 0 || len(in.Records) > maxPut {
		return nil, fail(Usage, "", "want 1 to %d records at a time", maxPut)
	}
	var ids []name.Record
	for _, typed := range in.Records {
		id, err := n.recordID(typed, in.Standard)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	out := &FootprintPutReply{}
	var entries []footprint.Entry
	var indexes []uint64
	err = n.ledger.View(func(v *ledger.View) error {
		for _, id := range ids {
			ver, err := v.Current(id)
			if err != nil {
				return err
			}
			if a, ok := n.flowsUnder(r.name, ver.Claims.Standard.Line()); ok {
				return fail(Conflict, "stile agreement show "+string(a), "records of %s go into %s by themselves, under %s", ver.Claims.Standard.Line(), r.name, a)
			}
			t, err := ver.Token.Present(func(string, bool) bool { return false })
			if err != nil {
				return err
			}
			entries, indexes = append(entries, footprint.Entry{Token: t.Bytes()}), append(indexes, ver.Index)
			out.Results = append(out.Results, FootprintPutResult{Record: id})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(indexes)
	list := make([]any, len(indexes))
	for i, x := range indexes {
		list[i] = json.Number(fmt.Sprint(x))
	}
	// Logged before it leaves, as every disclosure is.
	if _, _, err := n.ledger.AppendNotice(ctx, event.KindFootprintPut, map[string]any{"footprint": string(r.name), "entries": list}); err != nil {
		return nil, err
	}
	got, err := r.put(ctx, entries)
	if err != nil {
		return nil, footprintError(r.name, err)
	}
	out.Position = got.Position
	for i, o := range got.Outcomes {
		res := &out.Results[i]
		res.Entry, res.Rule = o.Entry, o.Rule
		switch o.Code {
		case footprint.Accepted:
			res.Outcome = "taken"
		case footprint.Duplicate:
			res.Outcome = "there already"
		default:
			res.Outcome = "refused"
		}
	}
	return out, nil
}

// put offers entries, and waits a moment until this member sees them too: what
// somebody was told is there he finds when he looks. That they are there does not
// hang on it.
func (r *replica) put(ctx context.Context, entries []footprint.Entry) (footprint.Receipt, error) {
	got, err := r.f.Put(ctx, entries...)
	if err == nil {
		wait, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_ = r.f.Await(wait, got.Position)
	}
	return got, err
}

// WithdrawnByHand is the reason of a withdrawal from a footprint of what was put
// there without an agreement.
const WithdrawnByHand = "taken back by the council that put it"

// withdrawFromFootprint takes back records that were put without an agreement.
// They are erased at every member. What an agreement let in goes out by itself
// when that says so.
func (n *Node) withdrawFromFootprint(ctx context.Context, in FootprintPutRequest) (*FootprintPutReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	if len(in.Records) == 0 || len(in.Records) > maxPut {
		return nil, fail(Usage, "", "want 1 to %d records at a time", maxPut)
	}
	// In the place of an agreement's name, which every withdrawal has.
	by, err := name.ParseAgreement(string(n.cfg.Council) + "/put-by-hand")
	if err != nil {
		return nil, err
	}
	out := &FootprintPutReply{}
	var entries []footprint.Entry
	for _, typed := range in.Records {
		id, err := n.recordID(typed, in.Standard)
		if err != nil {
			return nil, err
		}
		h, err := r.f.Record(n.cfg.Council, id)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, fail(NotFound, fmt.Sprintf("stile footprint records %s --of %s", r.name, n.cfg.Council), "%s holds no record %s of ours", r.name, id)
		}
		if err != nil {
			return nil, err
		}
		if a, ok := n.flowsUnder(r.name, h.View.Standard.Line()); ok {
			return nil, fail(Conflict, "stile agreement show "+string(a), "records of %s go in and out of %s by themselves, under %s", h.View.Standard.Line(), r.name, a)
		}
		_, jws, err := n.ledger.AppendNotice(ctx, event.KindWithdrawal, event.Withdrawal{Agreement: by, Record: id, Reason: WithdrawnByHand}.Body())
		if err != nil {
			return nil, err
		}
		entries = append(entries, footprint.Entry{Token: jws})
		out.Results = append(out.Results, FootprintPutResult{Record: id})
	}
	got, err := r.put(ctx, entries)
	if err != nil {
		return nil, footprintError(r.name, err)
	}
	out.Position = got.Position
	for i, o := range got.Outcomes {
		out.Results[i].Entry, out.Results[i].Rule, out.Results[i].Outcome = o.Entry, o.Rule, "withdrawn"
		if o.Code == footprint.Refused {
			out.Results[i].Outcome = "refused"
		}
	}
	return out, nil
}

// FootprintListRequest lists what a footprint's ledger holds, a page at a time.
type FootprintListRequest struct {
	Name     string `json:"name"`
	Of       string `json:"of,omitempty"`       // only this council's
	Standard string `json:"standard,omitempty"` // publisher/name, with or without a version, or its last part
	// Linearizable waits until everything that anybody was told yes about before
	// the call is seen; At waits for a position, such as that of a put.
	Linearizable bool   `json:"linearizable,omitempty"`
	At           uint64 `json:"at,omitempty"`
	Cursor       Cursor `json:"cursor,omitempty"`
	Limit        int    `json:"limit,omitempty"` // default 100, at most 1000
	Bodies       bool   `json:"bodies,omitempty"`
}

// FootprintListReply is a page of records.
type FootprintListReply struct {
	Position uint64            `json:"position"` // of the ledger it was read at
	Records  []FootprintRecord `json:"records"`
	Damaged  []uint64          `json:"damaged,omitempty"`
	Cursor   Cursor            `json:"cursor,omitempty"`
}

// FootprintRecord is a record in a footprint's ledger.
type FootprintRecord struct {
	Council   name.Council    `json:"council"` // who says so
	Record    name.Record     `json:"record"`
	Standard  name.Standard   `json:"standard"`
	Version   uint64          `json:"version"`
	Op        string          `json:"op"`
	Entry     uint64          `json:"entry"` // in the footprint's log
	Position  uint64          `json:"position"`
	IssuedAt  time.Time       `json:"issued_at"`
	Withheld  int             `json:"withheld"`
	Disclosed []string        `json:"disclosed,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Token     string          `json:"token,omitempty"`
	Signature string          `json:"signature,omitempty"` // "checked", or what is wrong
}

// readPatience bounds how long a read waits to be fresh: longer than the members
// take to choose another leader.
const readPatience = 8 * time.Second

// fresh waits until a read here is as fresh as was asked for.
func (r *replica) fresh(ctx context.Context, linearizable bool, at uint64) error {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	if linearizable {
		p, err := r.f.Latest(ctx)
		if err != nil {
			return footprintError(r.name, err)
		}
		at = max(at, p)
	}
	if err := r.f.Await(ctx, at); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fail(Behind, "stile footprint status "+string(r.name), "this member has not come to position %d yet", at)
		}
		return footprintError(r.name, err)
	}
	return nil
}

func (n *Node) listFootprintRecords(ctx context.Context, in FootprintListRequest) (*FootprintListReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	var of name.Council
	if in.Of != "" {
		if of, err = name.ParseCouncil(strings.ToLower(in.Of)); err != nil {
			return nil, fail(Usage, "stile council list", "%v", err)
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
	l, err := r.f.Records(from, min(in.Limit, maxList), func(h *footprint.Held) bool {
		return (of == "" || h.View.Council == of) && (in.Standard == "" || mayMean(in.Standard, h.View.Standard))
	})
	if err != nil {
		return nil, footprintError(r.name, err)
	}
	out := &FootprintListReply{Position: l.Position, Records: []FootprintRecord{}, Cursor: api.CursorOf(l.Next), Damaged: l.Damaged}
	for _, h := range l.Records {
		fr := footprintRecord(h)
		if in.Bodies {
			fr.Body = strictjson.Canonical(h.View.Body)
		}
		out.Records = append(out.Records, fr)
	}
	return out, nil
}

// mayMean reports whether a person who types a standard's name may mean std.
func mayMean(typed string, std name.Standard) bool {
	return typed == std.String() || typed == std.Line().String() || typed == string(std.Name) || typed == std.Name.Slug()
}

func footprintRecord(h *footprint.Held) FootprintRecord {
	v := h.View
	return FootprintRecord{
		Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version, Op: string(v.Op), Entry: h.Index,
		Position: h.Position, IssuedAt: time.Unix(v.IssuedAt, 0).UTC(), Withheld: v.Withheld,
	}
}

// FootprintRecordRequest names one record in a footprint's ledger: by its id, or
// one of our own, or one whose key was disclosed, by its natural key.
type FootprintRecordRequest struct {
	Name         string `json:"name"`
	Council      string `json:"council,omitempty"` // default our own
	Record       string `json:"record"`
	Standard     string `json:"standard,omitempty"`
	Linearizable bool   `json:"linearizable,omitempty"`
	At           uint64 `json:"at,omitempty"`
}

func (n *Node) footprintHeld(ctx context.Context, in FootprintRecordRequest) (*replica, *footprint.Held, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, nil, err
	}
	c := n.cfg.Council
	if in.Council != "" {
		if c, err = name.ParseCouncil(strings.ToLower(in.Council)); err != nil {
			return nil, nil, fail(Usage, "stile council list", "%v", err)
		}
	}
	if err := r.fresh(ctx, in.Linearizable, in.At); err != nil {
		return nil, nil, err
	}
	none := func() error {
		return fail(NotFound, fmt.Sprintf("stile footprint records %s --of %s", r.name, c), "%s holds no such record of %s", r.name, c)
	}
	id, perr := name.ParseRecord(in.Record)
	if perr != nil && c == n.cfg.Council {
		if id, perr = n.recordID(in.Record, in.Standard); perr != nil {
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
	want := naturalKey(in.Record)
	l, err := r.f.Records(0, 1, func(h *footprint.Held) bool {
		if h.View.Council != c || in.Standard != "" && !mayMean(in.Standard, h.View.Standard) {
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

func (n *Node) showFootprintRecord(ctx context.Context, in FootprintRecordRequest) (*FootprintRecord, error) {
	_, h, err := n.footprintHeld(ctx, in)
	if err != nil {
		return nil, err
	}
	out := footprintRecord(h)
	out.Token, out.Disclosed, out.Signature = string(h.Token.Bytes()), h.View.Disclosed, "checked"
	if h.View.Op == record.Put {
		out.Body = strictjson.Canonical(h.View.Body)
	}
	m, ok := n.directory.Member(h.View.Council)
	if !ok {
		out.Signature = "not checked: " + string(h.View.Council) + " is not in the directory"
	} else if key, ok := m.RecordKey(h.Token.KeyID()); !ok {
		out.Signature = "not checked: the directory does not know the key"
	} else if h.Token.Verify(key) != nil {
		out.Signature = "does not verify"
	}
	return &out, nil
}

// FootprintProofReply is a c2sp.org/tlog-proof file that shows that a record
// stands in a footprint's ledger, at a checkpoint that a majority of the members
// cosigned.
type FootprintProofReply struct {
	Record     FootprintRecord `json:"record"`
	Proof      string          `json:"proof"`
	Size       uint64          `json:"size"` // of the checkpoint
	Root       string          `json:"root"`
	CosignedBy []name.Council  `json:"cosigned_by"`
	Members    int             `json:"members"`
	// Keys verify the members' cosignatures, one to a line.
	Keys []string `json:"keys"`
}

func (n *Node) footprintProof(ctx context.Context, in FootprintRecordRequest) (*FootprintProofReply, error) {
	r, h, err := n.footprintHeld(ctx, in)
	if err != nil {
		return nil, err
	}
	// The members cosign behind the writes; what was written a moment ago is
	// covered a moment later.
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if cp, _ := r.f.Checkpoint(); cp.Size > h.Index {
			break
		}
		select {
		case <-wait.Done():
			return nil, fail(Behind, "stile footprint status "+string(r.name), "no checkpoint that a majority cosigned covers entry %d yet", h.Index)
		case <-time.After(100 * time.Millisecond):
		}
	}
	p, err := r.f.Proof(h.Index)
	if err != nil {
		return nil, err
	}
	ws := r.f.Witnesses()
	cp, by, err := tlog.VerifyMajority(p.Checkpoint, r.name.Origin(), ws...)
	if err != nil {
		return nil, fail(Unverified, "stile footprint evidence "+string(r.name), "%v", err)
	}
	if err := tlog.VerifyInclusion(h.Token.Entry(), p.Index, cp.Size, cp.Root, p.Path); err != nil {
		return nil, fail(Unverified, "stile footprint evidence "+string(r.name), "the proof does not verify: %v", err)
	}
	out := &FootprintProofReply{Record: footprintRecord(h), Proof: string(p.Marshal()), Size: cp.Size, Root: cp.Root.String(), Members: len(ws)}
	out.Record.Token = string(h.Token.Bytes())
	out.CosignedBy, out.Keys = cosigners(by), n.witnessKeys(r.f.Councils())
	return out, nil
}

func cosigners(by []tlog.Cosignature) (out []name.Council) {
	for _, c := range by {
		out = append(out, name.Council(c.Witness))
	}
	slices.Sort(out)
	return out
}

func (n *Node) witnessKeys(members []name.Council) (out []string) {
	for _, c := range members {
		if m, ok := n.directory.Member(c); ok && m.WitnessKey != "" {
			out = append(out, m.WitnessKey)
		}
	}
	return out
}

// FootprintCheckpointReply is the newest checkpoint of a footprint that counts.
type FootprintCheckpointReply struct {
	Footprint  name.Council   `json:"footprint"`
	Size       uint64         `json:"size"`
	Root       string         `json:"root"`
	Note       string         `json:"note"` // the signed note
	CosignedBy []name.Council `json:"cosigned_by"`
	Members    int            `json:"members"`
	Keys       []string       `json:"keys"`
	Entries    uint64         `json:"entries"` // in the ledger here, which may be ahead of it
}

func (n *Node) footprintCheckpoint(ctx context.Context, in FootprintRequest) (*FootprintCheckpointReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	_, signed := r.f.Checkpoint()
	if signed == nil {
		return nil, fail(Behind, "stile footprint status "+string(r.name), "no majority has cosigned a checkpoint yet")
	}
	ws := r.f.Witnesses()
	cp, by, err := tlog.VerifyMajority(signed, r.name.Origin(), ws...)
	if err != nil {
		return nil, fail(Unverified, "stile footprint evidence "+string(r.name), "%v", err)
	}
	return &FootprintCheckpointReply{
		Footprint: r.name, Size: cp.Size, Root: cp.Root.String(), Note: string(signed), CosignedBy: cosigners(by),
		Members: len(ws), Keys: n.witnessKeys(r.f.Councils()), Entries: r.f.Size(),
	}, nil
}

// FootprintEvidenceReply lists what members did that no honest member does.
type FootprintEvidenceReply struct {
	Evidence []FootprintEvidence `json:"evidence"`
}

func (n *Node) footprintEvidence(ctx context.Context, in FootprintRequest) (*FootprintEvidenceReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	list, err := r.f.Evidence()
	out := &FootprintEvidenceReply{Evidence: []FootprintEvidence{}}
	for _, e := range list {
		out.Evidence = append(out.Evidence, FootprintEvidence{e.Council, time.Unix(e.At, 0).UTC(), e.What, e.Signed})
	}
	return out, err
}

// FootprintAdoptRequest has a footprint take a standard into use that this node
// has adopted.
type FootprintAdoptRequest struct {
	Name     string `json:"name"`
	Standard string `json:"standard"`
}

// FootprintAdoptReply says which version was adopted, and at what position.
type FootprintAdoptReply struct {
	Standard name.Standard `json:"standard"`
	Position uint64        `json:"position"`
	Already  bool          `json:"already,omitempty"`
}

func (n *Node) adoptInFootprint(ctx context.Context, in FootprintAdoptRequest) (*FootprintAdoptReply, error) {
	r, err := n.footprintOfCouncils(in.Name)
	if err != nil {
		return nil, err
	}
	std, err := n.standardNamed(in.Standard)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	got, err := r.f.Adopt(ctx, std.Archive(), std.Name(), std.Integrity())
	if err != nil {
		return nil, footprintError(r.name, err)
	}
	n.replicas.refresh()
	return &FootprintAdoptReply{Standard: std.Name(), Position: got.Position, Already: got.Outcomes[0].Code == footprint.Duplicate}, nil
}
