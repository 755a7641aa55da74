package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A draw is the statements that an audit of adoption looks at, and what they were drawn
// from.
type draw struct {
	audit.Sample
	At    string  `json:"at"`    // statements as at the end of this day
	Of    int     `json:"of"`    // how many there were
	Lot   string  `json:"lot"`   // SHA-256 of them, one a line, as the seed drew from them
	Drawn []drawn `json:"drawn"` // in the order of councils and standards
}

type drawn struct {
	Council    name.Council  `json:"council"`
	Standard   name.Standard `json:"standard"`
	Record     name.Record   `json:"record"` // of the statement
	ComputedOn string        `json:"computed_on"`
	Records    int           `json:"records"`
}

// draw draws statements.
func (v *adoptionView) draw(r *node.Adoption) error {
	var lot []string
	for _, row := range r.Rows {
		lot = append(lot, strings.Join([]string{string(row.Council), row.Statement.Standard.String(), string(row.Record)}, " "))
	}
	sum := sha256.Sum256([]byte(strings.Join(lot, "\n")))
	d := draw{Sample: v.sample, At: r.At, Of: len(lot), Lot: hex.EncodeToString(sum[:]), Drawn: []drawn{}}
	for _, i := range v.sample.Pick(lot) {
		row := r.Rows[i]
		d.Drawn = append(d.Drawn, drawn{row.Council, row.Statement.Standard, row.Record, row.Statement.ComputedOn, row.Statement.Records})
	}
	if v.json {
		return v.emit(d)
	}
	if d.Of == 0 {
		v.say("no statement is held here; a council shares its own by an agreement on compliance-statement")
		return nil
	}
	t := newTable("COUNCIL", "STANDARD", "COUNTED", "#RECORDS", "STATEMENT")
	for _, one := range d.Drawn {
		t.add(string(one.Council), one.Standard.String(), one.ComputedOn, strconv.Itoa(one.Records), string(one.Record))
	}
	t.write(v.out, "")
	v.printf("%d of %s, as at %s, drawn by the seed %s\n", len(d.Drawn), plural(d.Of, "statement", "statements"), d.At, quoted(clean(d.Seed)))
	v.printf("Ask each council for: stile export bundle --standard STANDARD --statement STATEMENT --full --out FILE\n")
	return nil
}

// A recount is what came of the statements that were drawn.
type recount struct {
	Agree, Differ, Missing int
}

// hold holds what was counted again against a draw.
func (v *verifying) hold(file string, reports []*audit.AdoptionReport) error {
	b, err := v.readFile(file, 64<<20)
	if err != nil {
		return err
	}
	var d draw
	if err := json.Unmarshal(b, &d); err != nil || d.Lot == "" || d.Size < 1 || len(d.Drawn) > audit.MaxSample {
		return failure(node.Invalid, "take what this prints: stile standard adoption --sample N --seed WORDS --json", "%s: it is no draw of statements", short(file))
	}
	by := map[name.Record]*audit.AdoptionReport{}
	for _, r := range reports {
		if r.Statement != nil {
			by[r.Record] = r
		}
	}
	var n recount
	var missing []string
	lines := []map[string]any{}
	t := newTable("COUNCIL", "STANDARD", "COUNTED AGAIN")
	for _, one := range d.Drawn {
		said := "missing"
		switch r := by[one.Record]; {
		case r == nil || r.Council != one.Council || r.Statement.Standard != one.Standard:
			n.Missing++
			missing = append(missing, string(one.Council))
		case r.OK():
			said = "agrees"
			n.Agree++
		default:
			said = "differs"
			n.Differ++
		}
		t.add(string(one.Council), one.Standard.String(), said)
		lines = append(lines, map[string]any{"council": one.Council, "standard": one.Standard, "record": one.Record, "result": said})
	}
	if v.json {
		if err := v.emitLine(map[string]any{"seed": d.Seed, "lot": d.Lot, "of": d.Of, "agree": n.Agree, "differ": n.Differ, "missing": n.Missing, "drawn": lines}); err != nil {
			return err
		}
	} else {
		v.printf("\n")
		t.write(v.out, "")
		v.printf("Of %s drawn from %d: %d agree, %d differ, %d missing\n", plural(len(d.Drawn), "statement", "statements"), d.Of, n.Agree, n.Differ, n.Missing)
	}
	switch {
	case n.Differ > 0:
		return failure(node.Unverified, "ask the council how it came by the figures that differ", "%s not borne out by their records", plural(n.Differ, "statement is", "statements are"))
	case n.Missing > 0:
		return failure(node.NotFound, "ask them for: stile export bundle --standard STANDARD --statement STATEMENT --full --out FILE", "no bundle is here of the statement of %s", clean(strings.Join(missing, ", ")))
	}
	return nil
}
