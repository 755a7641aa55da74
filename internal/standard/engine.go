package standard

import (
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/node/name"
)

// An engine judges records by a standard's schema, within a budget.
//
// The schema engine cannot be told to stop, and a validation left running in
// the background would be a leak that any record can cause. So each validation
// borrows a machine, a compiled copy of the schema whose every step counts
// against that machine's budget and ends the validation in place when it is
// spent. Nothing is left running, nothing is blamed on later records, and the
// usual path costs one lock and a counter.
type engine struct {
	compile sync.Mutex // guards lib
	lib     *library
	formats Formats
	whole   pool // judges whole records
	visible pool // judges what is visible of records
}

// A pool is the machines of one kind. Copies are compiled as they are wanted,
// one for each processor up to maxMachines; a further caller waits for one.
type pool struct {
	mu       sync.Mutex
	machines []*machine
	making   int // machines being compiled
	next     int
}

// maxMachines bounds the memory of a large schema on a large computer: a copy
// of the largest published one takes 7 MB.
const maxMachines = 8

// A machine is one compiled copy of a schema.
type machine struct {
	mu   sync.Mutex // held by the validation that borrows the machine
	root *jsonschema.Schema
	seed maphash.Seed

	// Of the validation that borrows the machine:
	record   any
	steps    int
	check    int // the steps at which to look at limit and clock again
	limit    int // steps it may spend, once it has spent the base; 0 not yet known
	deadline time.Time
	slow     time.Duration // spent on patterns that backtrack
}

func newEngine(files map[string][]byte, resources map[string]string, formats Formats) (*engine, error) {
	lib, flaws := newLibrary(files, resources)
	if len(flaws) > 0 {
		return nil, flaws[0].error()
	}
	e := &engine{lib: lib, formats: formats}
	m, err := e.newMachine(false)
	if err != nil {
		return nil, err
	}
	e.whole.machines = []*machine{m}
	return e, nil
}

func (e *engine) newMachine(visible bool) (*machine, error) {
	e.compile.Lock()
	defer e.compile.Unlock()
	m := &machine{seed: maphash.MakeSeed()}
	g, err := e.lib.compile(m)
	if err != nil {
		return nil, err
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	for _, s := range g.all {
		if s.Bool != nil {
			continue
		}
		if e.formats == Annotation {
			s.Format = nil
		}
		m.take(s, visible)
	}
	m.root = g.root
	return m, nil
}

// borrow returns a locked machine.
func (e *engine) borrow(p *pool, visible bool) *machine {
	p.mu.Lock()
	if len(p.machines) == 0 {
		p.machines = append(p.machines, e.copyMachine(visible))
	}
	for _, m := range p.machines {
		if m.mu.TryLock() {
			p.mu.Unlock()
			return m
		}
	}
	if len(p.machines)+p.making < min(runtime.GOMAXPROCS(0), maxMachines) {
		p.making++
		p.mu.Unlock() // others go on with the machines there are
		m := e.copyMachine(visible)
		m.mu.Lock()
		p.mu.Lock()
		p.making--
		p.machines = append(p.machines, m)
		p.mu.Unlock()
		return m
	}
	p.next++
	m := p.machines[p.next%len(p.machines)]
	p.mu.Unlock()
	m.mu.Lock()
	return m
}

// copyMachine compiles once more what compiled at Load, from the same documents.
func (e *engine) copyMachine(visible bool) *machine {
	m, err := e.newMachine(visible)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return m
}

// A verdict is what a validation came to.
type verdict struct {
	err    *jsonschema.ValidationError // what the engine finds wrong; nil: nothing
	spent  bool                        // the budget ran out
	broken bool                        // the engine failed
	steps  int                         // spent of the budget
}

// judge validates v.
func (e *engine) judge(v any, visible bool) (got verdict) {
	p := &e.whole
	if visible {
		p = &e.visible
	}
	m := e.borrow(p, visible)
	defer m.mu.Unlock()
	defer func() {
		switch r := recover(); r {
		case nil:
		case errBudget:
			got.spent = true
		default:
			got.broken = true
		}
		got.steps, m.record = m.steps, nil
	}()
	m.record, m.steps, m.check, m.limit, m.deadline, m.slow = v, 0, 4096, 0, time.Now().Add(maxTime), 0
	if err := m.root.Validate(v); err != nil {
		got.err = err.(*jsonschema.ValidationError)
	}
	return got
}

// requires reports whether the schema requires every member on the way to f.
func (e *engine) requires(f name.Field) bool {
	at := []*jsonschema.Schema{e.whole.machines[0].root}
	for _, tok := range f.Tokens() {
		// Everything that always judges the same value.
		for i := 0; i < len(at) && i < 1000; i++ {
			for _, s := range always(at[i]) {
				if !slices.Contains(at, s) {
					at = append(at, s)
				}
			}
		}
		required := false
		var next []*jsonschema.Schema
		for _, s := range at {
			required = required || slices.Contains(s.Required, tok)
			if p := s.Properties[tok]; p != nil {
				next = append(next, p)
			}
		}
		if !required {
			return false
		}
		at = next
	}
	return true
}
