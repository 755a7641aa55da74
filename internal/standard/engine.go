package standard

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/node/name"
)

// An engine judges records by a standard's schema, within a budget. It does not
// change and may be used concurrently.
type engine struct {
	lib     *library
	program *program
}

func newEngine(files map[string][]byte, resources map[string]string, formats Formats) (*engine, error) {
	lib, flaws := newLibrary(files, resources)
	if len(flaws) > 0 {
		return nil, flaws[0].error()
	}
	g, err := lib.compile()
	if err != nil {
		return nil, err
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	return &engine{lib: lib, program: newProgram(g, lib, formats)}, nil
}

// A verdict is what a validation came to.
type verdict struct {
	valid  bool
	spent  bool                        // the budget ran out before it was known
	broken bool                        // judging failed, which is a fault of ours
	err    *jsonschema.ValidationError // why it is not valid; nil when telling would cost too much
	steps  int                         // what the verdict cost
	limit  int                         // what it might cost
}

// judge judges v. What is returned is a function of v, of the schema and of
// visible.
func (e *engine) judge(v any, visible bool) (got verdict) {
	j := judging{program: e.program, visible: visible}
	defer func() {
		switch r := recover(); r {
		case nil:
		case errBudget:
			got.spent = true
		default:
			got.broken = true
		}
		got.steps = j.steps
	}()
	root, values, text := layOut(v)
	j.limit = allowance(values, text)
	got.limit = j.limit
	j.spend(values + text/16)
	if j.judge(e.program.root, root, nil) == nil {
		got.valid = true
		return got
	}
	got.err = e.why(root, visible, tellFactor*j.limit)
	return got
}

// why walks a record that does not hold once more and returns what is wrong
// with it, nil when that takes over limit steps.
func (e *engine) why(root *place, visible bool, limit int) (err *jsonschema.ValidationError) {
	j := judging{program: e.program, visible: visible, again: true, tell: true, limit: limit}
	defer func() {
		if r := recover(); r != nil && r != errBudget {
			panic(r)
		}
	}()
	return j.judge(e.program.root, root, nil)
}

// requires reports whether the schema requires every member on the way to f.
func (e *engine) requires(f name.Field) bool {
	at := []*rule{e.program.root}
	for _, tok := range f.Tokens() {
		required := false
		var next []*rule
		for _, r := range closure(at) {
			if r.obj == nil {
				continue
			}
			required = required || slices.Contains(r.obj.required, tok)
			if m := r.obj.members[tok]; m != nil {
				next = append(next, m)
			}
		}
		if !required {
			return false
		}
		at = next
	}
	return true
}
