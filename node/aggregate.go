package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node/name"
)

// AggregateRequest asks for counts of records.
type AggregateRequest struct {
	Agreement string   `json:"agreement"`
	By        []string `json:"by,omitempty"` // fields of the agreement; none counts all together
	Because   string   `json:"because"`
	Question  string   `json:"question,omitempty"` // see LookupRequest
}

// A Group is how many records have the same values.
type Group struct {
	Of    []*string `json:"of"` // the values at the fields counted by, in their order; nil where a record has none
	Count int       `json:"count"`
}

// AggregateReply is the answer: counts that are rounded and lack small groups.
type AggregateReply struct {
	Agreement name.Agreement `json:"agreement"`
	From      name.Council   `json:"from"`
	By        name.Council   `json:"answered_by"` // From, or a member of the footprint that it is
	Question  string         `json:"question"`
	Day       string         `json:"day"` // that they are of, by UTC
	Fields    []name.Field   `json:"by"`  // counted by, in the order asked for
	Groups    []Group        `json:"groups"`
	Total     int            `json:"total"`     // of the counts there are
	Threshold int            `json:"threshold"` // groups of fewer are not there
	Rounded   int            `json:"rounded"`   // to the nearest multiple of it
	Counts    string         `json:"counts"`    // the signed event that holds them
	Answer    string         `json:"answer"`    // the signed event of who answered
	Entry     uint64         `json:"entry"`     // of the counts in their log
	Size      uint64         `json:"size"`      // of the checkpoint that proves both
	Root      string         `json:"root"`
	Receipt   bool           `json:"receipt"` // ours reached them
}

func (n *Node) aggregate(ctx context.Context, in AggregateRequest) (*AggregateReply, error) {
	var by []name.Field
	for _, s := range in.By {
		f, err := name.ParseField(s)
		if err != nil {
			return nil, fail(Usage, "--by /district,/status", "%v", err)
		}
		if slices.Contains(by, f) {
			return nil, fail(Usage, "name each field once", "%s is named twice", f)
		}
		by = append(by, f)
	}
	if len(by) > agreement.MaxGroupFields {
		return nil, fail(Usage, "count by fewer fields", "records are counted by at most %d fields", agreement.MaxGroupFields)
	}
	doc, q, err := n.newQuestion(in.Agreement, agreement.Aggregate, in.Because, in.Question)
	if err != nil {
		return nil, err
	}
	std, err := n.ledger.StandardOf(doc.Standard)
	if err != nil {
		return nil, err
	}
	if ps := doc.GroupedBy(std, by); len(ps) > 0 {
		return nil, fail(Refused, fmt.Sprintf("count by %s, or by none", fieldWords(doc.Fields)), "%s", ps[0].Detail)
	}
	q.Groups = slices.Clone(by) // what is counted does not hang on the order
	slices.Sort(q.Groups)
	got, err := n.pose(ctx, doc, q)
	if err != nil {
		return nil, err
	}
	c := got.counts
	out := &AggregateReply{
		Agreement: doc.Name, From: doc.From, By: got.by, Groups: []Group{}, Question: q.ID.String(), Day: string(c.Day), Fields: append([]name.Field{}, by...), Total: c.Total,
		Threshold: c.Threshold, Rounded: c.Rounded, Counts: string(got.answer.GetCounts().GetToken()), Answer: string(got.answer.GetEvent()),
		Entry: got.said.Counts, Size: got.cp.Size, Root: got.cp.Root.String(), Receipt: got.receipt,
	}
	for _, g := range c.Groups {
		of := make([]*string, len(by))
		for j, f := range by {
			of[j] = g.Of[slices.Index(q.Groups, f)]
		}
		out.Groups = append(out.Groups, Group{of, g.Count})
	}
	return out, nil
}
