package api

import (
	"context"
	"net/http"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A FootprintCall names a footprint.
type FootprintCall struct {
	Name string `path:"name" maxLength:"255" doc:"the footprint's domain"`
}

// A footprintListCall lists what is in a footprint.
type footprintListCall struct {
	FootprintCall
	Of       string `query:"of" maxLength:"255" doc:"only what this council put there"`
	Standard string `query:"standard" maxLength:"300" doc:"only of this one"`
	At       uint64 `query:"at" maximum:"9007199254740991" doc:"wait for this position, such as that of a put"`
	Newest   bool   `query:"newest" doc:"wait until all that anybody was told yes about is seen"`
	Cursor   string `query:"cursor" maxLength:"200"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"records that are looked at; a page has those that the key is for"`
	Bodies   bool   `query:"bodies" doc:"with what the records say"`
}

// A footprintPage is a page of records, and the position that it was read at.
type footprintPage struct {
	Position uint64                 `json:"position"`
	Items    []node.FootprintRecord `json:"items"`
	Damaged  []uint64               `json:"damaged,omitempty"`
	Cursor   string                 `json:"cursor,omitempty" doc:"of the next page; absent on the last"`
}

// A footprintPutCall names records of ours.
type footprintPutCall struct {
	FootprintCall
	Body struct {
		Records []string `json:"records" minItems:"1" maxItems:"1000" doc:"ids of records of ours"`
	}
}

// A footprintRecordCall names one record.
type footprintRecordCall struct {
	FootprintCall
	Council string `path:"council" maxLength:"255" doc:"who put it there"`
	Record  string `path:"id" maxLength:"26" minLength:"26" doc:"the record's id"`
}

// Who belongs to a footprint, and on what terms, people decide at the command line: what
// founds, invites, joins, agrees, removes, backs up and recovers has no call here, and no
// key lets a system do it.
func (a *API) footprints() {
	get(a, "footprints", "list-footprints", "/v1/footprints", "List the ledgers that are kept with others", func(ctx context.Context, _ *empty) (page[node.FootprintReply], error) {
		out, err := a.n.Footprints().List(ctx)
		return pageOf(out, ""), err
	})
	get(a, "footprints", "show-footprint", "/v1/footprints/{name}", "Show a footprint: its members, who leads, what is proposed, and what of ours goes into it", func(ctx context.Context, in *FootprintCall) (node.FootprintReply, error) {
		out, err := a.n.Footprints().Status(ctx, node.FootprintRequest{Name: in.Name})
		if err != nil || len(out) == 0 {
			return node.FootprintReply{}, err
		}
		return out[0], nil
	})
	get(a, "footprints", "footprint-checkpoint", "/v1/footprints/{name}/checkpoint", "The newest checkpoint that a majority of the members has cosigned", func(ctx context.Context, in *FootprintCall) (node.FootprintCheckpointReply, error) {
		return a.n.Footprints().Checkpoint(ctx, node.FootprintRequest{Name: in.Name})
	})
	get(a, "footprints", "list-footprint-records", "/v1/footprints/{name}/records", "List what is in a footprint, of the standards and sides that the key is for", a.footprintRecords)
	get(a, "footprints", "show-footprint-record", "/v1/footprints/{name}/records/{council}/{id}", "Show a record of a footprint", func(ctx context.Context, in *footprintRecordCall) (node.FootprintRecord, error) {
		return a.inFootprint(ctx, "footprints/show", in)
	})
	get(a, "footprints", "prove-footprint-record", "/v1/footprints/{name}/records/{council}/{id}/proof", "Prove that a record stands in a footprint's log, by what a majority of its members cosigned", func(ctx context.Context, in *footprintRecordCall) (node.FootprintProofReply, error) {
		if _, err := a.inFootprint(ctx, "footprints/prove", in); err != nil {
			return node.FootprintProofReply{}, err
		}
		return a.n.Footprints().Prove(ctx, in.typed())
	})
	post(a, "footprints", "put-into-footprint", "/v1/footprints/{name}/records", "Put records of ours into a footprint, with the fields that their standard calls open", func(ctx context.Context, in *footprintPutCall) (node.FootprintPutReply, error) {
		return a.intoFootprint(ctx, "footprints/put", in, a.n.Footprints().Put)
	})
	post(a, "footprints", "withdraw-from-footprint", "/v1/footprints/{name}/withdraw", "Take records of ours back from a footprint", func(ctx context.Context, in *footprintPutCall) (node.FootprintPutReply, error) {
		return a.intoFootprint(ctx, "footprints/withdraw", in, a.n.Footprints().Withdraw)
	})
}

func (c footprintRecordCall) typed() node.FootprintRecordRequest {
	return node.FootprintRecordRequest{Name: c.Name, Council: c.Council, Record: c.Record}
}

// on is what a record of a footprint is for a key: ours where we put it there, and
// otherwise received.
func (a *API) on(r node.FootprintRecord) access.On {
	if r.Council == a.n.Config().Council {
		return access.On{Standard: r.Standard.String()}
	}
	return access.On{Standard: r.Standard.String(), From: r.Council}
}

func (a *API) footprintRecords(ctx context.Context, in *footprintListCall) (footprintPage, error) {
	if err := may(ctx, "footprints/records", access.On{AnySide: true}); err != nil {
		return footprintPage{}, err
	}
	r, err := a.n.Footprints().Records(ctx, node.FootprintListRequest{
		Name: in.Name, Of: in.Of, Standard: in.Standard, At: in.At, Linearizable: in.Newest, Cursor: node.Cursor(in.Cursor), Limit: in.Limit, Bodies: in.Bodies,
	})
	out := footprintPage{Position: r.Position, Items: []node.FootprintRecord{}, Damaged: r.Damaged, Cursor: string(r.Cursor)}
	for _, x := range r.Records {
		if may(ctx, "footprints/records", a.on(x)) == nil {
			out.Items = append(out.Items, x)
		}
	}
	return out, err
}

// inFootprint shows a record of a footprint. One that the key is not for is as one that is
// not there.
func (a *API) inFootprint(ctx context.Context, op string, in *footprintRecordCall) (node.FootprintRecord, error) {
	if err := may(ctx, op, access.On{AnySide: true}); err != nil {
		return node.FootprintRecord{}, err
	}
	if _, err := name.ParseRecord(in.Record); err != nil {
		return node.FootprintRecord{}, misused("the record's id is none")
	}
	r, err := a.n.Footprints().Show(access.With(ctx, nil), in.typed())
	if err == nil && may(ctx, op, a.on(r)) != nil {
		return node.FootprintRecord{}, &Problem{Status: http.StatusNotFound, Kind: string(node.NotFound), Detail: "the footprint holds no such record that this key is for"}
	}
	return r, err
}

// intoFootprint puts or withdraws records, each of which the key must be for.
func (a *API) intoFootprint(ctx context.Context, op string, in *footprintPutCall, do func(context.Context, node.FootprintPutRequest) (node.FootprintPutReply, error)) (node.FootprintPutReply, error) {
	for _, id := range in.Body.Records {
		if _, err := name.ParseRecord(id); err != nil {
			return node.FootprintPutReply{}, misused("a record's id is none")
		}
		if _, err := a.find(ctx, op, node.RecordRequest{Record: id}); err != nil {
			return node.FootprintPutReply{}, err
		}
	}
	return do(ctx, node.FootprintPutRequest{Name: in.Name, Records: in.Body.Records})
}
