package node

import (
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Problem is one thing wrong with a record or a document, in words for the
// person who keeps the data. It never holds a value.
type Problem struct {
	Pointer string `json:"pointer"` // RFC 6901 pointer to the place; "" is the whole
	Rule    string `json:"rule"`    // the JSON Schema keyword, or "key", "budget", "engine"
	Detail  string `json:"detail"`  // such as "is required"
	Fix     string `json:"fix"`     // what to do, such as "fill it in"
}

// problemsOf are what a standard found, as they are told.
func problemsOf(in []standard.Problem) []Problem {
	return each(in, func(p standard.Problem) Problem { return Problem(p) })
}

// standardProblems is the other way round.
func standardProblems(in []Problem) []standard.Problem {
	return each(in, func(p Problem) standard.Problem { return standard.Problem(p) })
}

// each returns f of every element; nil of nil.
func each[A, B any](in []A, f func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, len(in))
	for i, x := range in {
		out[i] = f(x)
	}
	return out
}

// A Level is the part of a version number that a change of a standard asks to
// raise: "patch", "minor" or "major" (semver.org 2.0.0 sections 6 to 8).
type Level string

// A Difference is what changed from one version of a standard to another.
type Difference struct {
	From    name.Standard `json:"from"`
	To      name.Standard `json:"to"`
	Needs   Level         `json:"needs"`   // the least step of the version number that the changes ask for
	Changes []Change      `json:"changes"` // the gravest first, then by pointer
}

// A Change is one difference between two versions, in words.
type Change struct {
	Pointer string `json:"pointer"` // the field; "" is the whole record; "standard.yaml#/key" and the like for the manifest
	What    string `json:"what"`    // such as "must now be given"
	Level   Level  `json:"level"`
	Why     string `json:"why,omitempty"` // what follows from it, when that is not plain
}

func difference(d *standard.Difference) *Difference {
	if d == nil {
		return nil
	}
	return &Difference{From: d.From, To: d.To, Needs: Level(d.Needs), Changes: each(d.Changes, func(c standard.Change) Change {
		return Change{Pointer: c.Pointer, What: c.What, Level: Level(c.Level), Why: c.Why}
	})}
}
