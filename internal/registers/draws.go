package registers

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// DrawStandard is the standard of the records that say which statements were drawn.
const DrawStandard = "adoption-draw"

// A Draw is the statements that an audit of adoption looks at, and what they were drawn
// from: the JSON that stile audit draw prints, and what a record of [DrawStandard] says.
type Draw struct {
	Size     int     `json:"size"` // how many were to be drawn
	Seed     string  `json:"seed"`
	At       string  `json:"at"`                 // statements as at the end of this day, such as 2027-01-14
	Standard string  `json:"standard,omitempty"` // that alone was drawn from; "" for each
	Of       int     `json:"of"`                 // how many statements there were
	Lot      string  `json:"lot"`                // SHA-256 of them, one a line, as the seed drew from them
	Drawn    []Drawn `json:"drawn"`              // in the order of councils and standards
}

// A Drawn is one statement of a draw.
type Drawn struct {
	Council    name.Council  `json:"council"`
	Standard   name.Standard `json:"standard"`
	Record     name.Record   `json:"record"` // of the statement
	ComputedOn string        `json:"computed_on"`
	Records    int           `json:"records"`
}

// DrawFrom draws statements: those of which the SHA-256 of the seed, one zero byte, and
// "COUNCIL STANDARD RECORD" is smallest.
func DrawFrom(a *node.Adoption, s audit.Sample) Draw {
	var lot []string
	for _, row := range a.Rows {
		lot = append(lot, strings.Join([]string{string(row.Council), row.Statement.Standard.String(), string(row.Record)}, " "))
	}
	sum := sha256.Sum256([]byte(strings.Join(lot, "\n")))
	d := Draw{Size: s.Size, Seed: s.Seed, At: a.At, Of: len(lot), Lot: hex.EncodeToString(sum[:]), Drawn: []Drawn{}}
	for _, i := range s.Pick(lot) {
		row := a.Rows[i]
		d.Drawn = append(d.Drawn, Drawn{row.Council, row.Statement.Standard, row.Record, row.Statement.ComputedOn, row.Statement.Records})
	}
	return d
}

// A SignedDraw is a draw that a record tells of.
type SignedDraw struct {
	By    name.Council `json:"by"`
	Entry string       `json:"entry"` // where the record stands, such as "12 of the log of northmoor.gov.uk"
	Draw  Draw         `json:"draw"`
}

// Audits says which statements were drawn for audits, and when the next draw is due.
type Audits struct {
	Draws []SignedDraw `json:"draws"` // that are held here, the newest first
	// Due is the day by which the next one is due, a year after the newest; "" where none was
	// drawn, and one is due at once.
	Due     string `json:"due,omitempty"`
	Overdue bool   `json:"overdue"` // that day has gone
	// Again says that the newest comes out the same when it is drawn anew from the statements
	// that are held here. Where it does not, some of them are not here, or others came later,
	// or it was not drawn so.
	Again bool `json:"again"`
}

// Newest is the newest draw; nil for none.
func (a *Audits) Newest() *SignedDraw {
	if len(a.Draws) == 0 {
		return nil
	}
	return &a.Draws[0]
}

// ReadAudits reads the draws that this node's own records and those of others tell of.
// Where it has not adopted their standard there are none.
func ReadAudits(ctx context.Context, o node.Operations, now time.Time) (*Audits, error) {
	t := &Table{Description: Description{ID: DrawStandard, Standard: DrawStandard}}
	for _, p := range drawPlaces {
		t.Columns = append(t.Columns, Column{p, p})
	}
	if _, err := t.read(ctx, o); err != nil {
		return nil, err
	}
	a := &Audits{Draws: []SignedDraw{}}
	for _, r := range t.Rows {
		if d, ok := drawOf(r.Cells); ok && d.At <= now.UTC().Format(time.DateOnly) {
			a.Draws = append(a.Draws, SignedDraw{r.Council, r.Entry, d})
		}
	}
	slices.SortFunc(a.Draws, func(x, y SignedDraw) int {
		return cmp.Or(strings.Compare(y.Draw.At, x.Draw.At), strings.Compare(string(x.By), string(y.By)), strings.Compare(x.Draw.Seed, y.Draw.Seed))
	})
	newest := a.Newest()
	if newest == nil {
		a.Overdue = true
		return a, nil
	}
	day, err := time.Parse(time.DateOnly, newest.Draw.At)
	if err != nil {
		return nil, err // drawOf lets none such through
	}
	a.Due = day.AddDate(1, 0, 0).Format(time.DateOnly)
	a.Overdue = a.Due < now.UTC().Format(time.DateOnly)
	again, err := o.Standards().Adoption(ctx, node.AdoptionRequest{Standard: newest.Draw.Standard, At: day})
	if e, ok := errors.AsType[*node.Error](err); ok && e.Kind == node.NotFound {
		return a, nil // no statement on that standard is here
	} else if err != nil {
		return nil, err
	}
	anew := DrawFrom(&again, audit.Sample{Size: newest.Draw.Size, Seed: newest.Draw.Seed})
	a.Again = anew.Lot == newest.Draw.Lot && slices.EqualFunc(anew.Drawn, newest.Draw.Drawn, func(x, y Drawn) bool {
		return x.Record == y.Record && x.Council == y.Council && x.Standard == y.Standard
	})
	return a, nil
}

// drawPlaces are where a record of a draw says what, in the order that drawOf reads it in.
var drawPlaces = []string{"/at", "/seed", "/size", "/standard", "/of", "/lot", "/drawn/*/council", "/drawn/*/standard", "/drawn/*/record", "/drawn/*/computed_on", "/drawn/*/records"}

// drawOf reads a draw off what stands at drawPlaces. A record of which fields were
// withheld, or that says what a draw cannot be, is none.
func drawOf(cells [][]string) (d Draw, ok bool) {
	count := func(vs []string) int {
		n, err := strconv.Atoi(one(vs))
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	d = Draw{Seed: one(cells[1]), At: one(cells[0]), Size: count(cells[2]), Standard: one(cells[3]), Of: count(cells[4]), Lot: one(cells[5])}
	_, err := time.Parse(time.DateOnly, d.At)
	n := len(cells[6])
	if err != nil || d.Seed == "" || d.Lot == "" || d.Size < 1 || d.Size > audit.MaxSample || n == 0 || n > d.Of || n > d.Size {
		return d, false
	}
	for _, list := range cells[7:] {
		if len(list) != n {
			return d, false
		}
	}
	for i := range n {
		std, err := name.ParseStandard(cells[7][i])
		records := count(cells[10][i : i+1])
		if err != nil || records < 0 {
			return d, false
		}
		d.Drawn = append(d.Drawn, Drawn{name.Council(cells[6][i]), std, name.Record(cells[8][i]), cells[9][i], records})
	}
	return d, true
}
