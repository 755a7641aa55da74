package node

import (
	"context"

	"github.com/stile-exchange/stile/internal/question"
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
		by = append(by, f)
	}
	a, err := name.ParseAgreement(in.Agreement)
	if err != nil {
		return nil, fail(Usage, "stile agreement list", "%v", err)
	}
	got, err := n.asker.Count(ctx, n.network(), question.Request{Agreement: a, By: by, Because: in.Because, Question: in.Question})
	if err != nil {
		return nil, questionError(err)
	}
	c := got.Counts
	out := &AggregateReply{
		Agreement: a, From: got.Agreement.From, By: got.By, Groups: []Group{}, Question: got.Question.String(), Day: string(c.Day), Fields: append([]name.Field{}, by...), Total: c.Total,
		Threshold: c.Threshold, Rounded: c.Rounded, Counts: string(got.Token), Answer: string(got.Event),
		Entry: got.Index, Size: got.Checkpoint.Size, Root: got.Checkpoint.Root.String(), Receipt: got.Receipt,
	}
	for _, g := range c.Groups {
		out.Groups = append(out.Groups, Group{g.Of, g.Count})
	}
	return out, nil
}
