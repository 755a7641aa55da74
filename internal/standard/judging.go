package standard

import (
	"math/bits"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// A judging is one validation under way. It walks a record by a program:
//
//   - First it only asks whether the record holds, and leaves at the first fault.
//     A union stops at the first branch that holds, and tries no branch that the
//     value rules out (see union). A verdict on a value is remembered where a
//     schema is come to from several places.
//   - A record that does not hold is walked again to tell why.
//
// Everything is done in one order, so each walk costs the same steps on every
// machine, every time. A judging is used by one goroutine, for one record.
type judging struct {
	program *program
	visible bool // parts of the record may be withheld
	again   bool // the second walk
	tell    bool // why a value does not hold, not only that

	steps int // spent in this walk
	limit int // at which the walk ends

	memo   map[uint64]bool     // verdicts, by rule and place
	coming map[uint64]struct{} // rules that are under way at a place
	way    []int32             // the schema resources come through, outermost first
	path   []string            // to the value, in the second walk

	matching matching
}

// failed is the fault of a walk that does not tell.
var failed = &jsonschema.ValidationError{}

// spend counts steps, and ends the walk when they are spent.
func (j *judging) spend(n int) {
	if j.steps += n; j.steps > j.limit {
		panic(errBudget)
	}
}

// enough reports whether a walk that tells has come so far that it goes on only
// where nothing is told yet: some reasons are better than none for their cost.
func (j *judging) enough(told []*jsonschema.ValidationError) bool {
	return j.tell && len(told) > 0 && j.steps > j.limit/2
}

// fault makes an error of the engine's kinds at the value under way; causes may
// be nil.
func (j *judging) fault(r *rule, k jsonschema.ErrorKind, causes ...*jsonschema.ValidationError) *jsonschema.ValidationError {
	if !j.tell {
		return failed
	}
	j.spend(tellSteps + 2*len(j.path) + len(causes))
	e := &jsonschema.ValidationError{InstanceLocation: append([]string(nil), j.path...), ErrorKind: k, Causes: causes}
	if r.extra {
		e.SchemaURL = "/unevaluatedProperties"
	}
	return e
}

// An evaluated notes which members or elements of one value were looked at, for
// unevaluatedProperties and unevaluatedItems.
type evaluated struct {
	all  bool
	n    int
	bits []uint64
}

func newEvaluated(n int) *evaluated {
	return &evaluated{all: n == 0, n: n, bits: make([]uint64, (n+63)/64)}
}

func (m *evaluated) set(i int) {
	if m != nil && !m.all {
		m.bits[i/64] |= 1 << (i % 64)
	}
}

func (m *evaluated) has(i int) bool { return m.all || m.bits[i/64]>>(i%64)&1 == 1 }

func (m *evaluated) setAll() {
	if m != nil {
		m.all = true
	}
}

func (m *evaluated) merge(o *evaluated) {
	m.all = m.all || o.all
	n := 0
	for i := range m.bits {
		m.bits[i] |= o.bits[i]
		n += bits.OnesCount64(m.bits[i])
	}
	m.all = m.all || n == m.n
}

// apply judges p by r for a rule that judges p itself, and adds what r looked
// at to the marks of that rule when r holds.
func (j *judging) apply(r *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	if ms == nil || ms.all {
		return j.judge(r, p, nil)
	}
	j.spend(1 + len(ms.bits)/8)
	own := newEvaluated(ms.n)
	f := j.judge(r, p, own)
	if f == nil {
		ms.merge(own)
	}
	return f
}

// holds is apply in the manner of the first walk.
func (j *judging) holds(r *rule, p *place, ms *evaluated) bool {
	tell := j.tell
	j.tell = false
	f := j.apply(r, p, ms)
	j.tell = tell
	return f == nil
}

// below judges the kid of the value under way that path calls name.
func (j *judging) below(r *rule, p *place, name string) *jsonschema.ValidationError {
	if !j.tell {
		return j.judge(r, p, nil)
	}
	j.path = append(j.path, name)
	f := j.judge(r, p, nil)
	j.path = j.path[:len(j.path)-1]
	return f
}

// judge judges p by r. ms, where it is not nil, is told what r looked at, all
// of which counts only when r holds.
func (j *judging) judge(r *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	if r.always != 0 {
		j.spend(1)
		if r.always > 0 {
			return nil
		}
		return j.fault(r, &kind.FalseSchema{})
	}
	if !r.deep {
		return j.leaf(r, p)
	}
	key := uint64(r.id)<<32 | uint64(uint32(p.id))
	if r.memo || j.again && !r.scoped && !r.loops {
		if ok, known := j.memo[key]; known && (ok && ms == nil || !ok && !j.tell) {
			j.spend(1)
			if ok {
				return nil
			}
			return failed
		}
	}
	if r.loops {
		if _, under := j.coming[key]; under {
			return j.fault(r, &kind.RefCycle{})
		}
		if j.coming == nil {
			j.coming = map[uint64]struct{}{}
		}
		j.coming[key] = struct{}{}
		defer delete(j.coming, key)
	}
	onWay := r.home >= 0 && (len(j.way) == 0 || j.way[len(j.way)-1] != r.home)
	if onWay {
		j.way = append(j.way, r.home)
	}
	f := j.whole(r, p, ms)
	if onWay {
		j.way = j.way[:len(j.way)-1]
	}
	if r.memo || j.again && !r.scoped && !r.loops {
		if j.memo == nil {
			j.memo = map[uint64]bool{}
		}
		j.memo[key] = f == nil
	}
	return f
}

// leaf judges p by what r says of p alone.
func (j *judging) leaf(r *rule, p *place) *jsonschema.ValidationError {
	j.spend(1)
	if p.kind == 0 {
		return j.fault(r, &kind.InvalidJsonValue{})
	}
	if r.leaf == nil {
		return nil
	}
	if err := r.leaf.check(j, p); err != nil {
		return j.fault(r, &kind.Format{Err: err})
	}
	return nil
}

func (j *judging) whole(r *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	if f := j.leaf(r, p); f != nil {
		return f
	}
	if r.refs {
		return j.through(r, "$ref", r.ref, p, ms)
	}
	var fs []*jsonschema.ValidationError
	mark := ms
	leftover := !j.visible && (p.kind == isObject && r.obj != nil && r.obj.leftover != nil || p.kind == isArray && r.arr != nil && r.arr.leftover != nil)
	if leftover && mark == nil {
		mark = newEvaluated(len(p.kids))
	}
	// In the first walk the first fault is the end.
	if r.ref != nil {
		if f := j.through(r, "$ref", r.ref, p, mark); f != nil {
			if !j.tell {
				return f
			}
			fs = append(fs, f)
		}
	}
	switch {
	case p.kind == isObject && r.obj != nil:
		fs = j.object(r, p, mark, fs)
	case p.kind == isArray && r.arr != nil:
		fs = j.array(r, p, mark, fs)
	}
	if len(fs) > 0 && !j.tell {
		return failed
	}
	if r.dyn != nil {
		if f := j.through(r, "$dynamicRef", j.end(r.dyn), p, mark); f != nil {
			if !j.tell {
				return f
			}
			fs = append(fs, f)
		}
	}
	fs = j.combined(r, p, mark, fs)
	if len(fs) > 0 && !j.tell {
		return failed
	}
	if leftover {
		fs = j.leftovers(r, p, mark, fs)
	}
	switch len(fs) {
	case 0:
		return nil
	case 1:
		return fs[0]
	}
	return j.fault(r, &kind.Group{}, fs...)
}

// through follows a reference.
func (j *judging) through(r *rule, word string, to *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	f := j.apply(to, p, ms)
	if f == nil || !j.tell {
		return f
	}
	return j.fault(r, &kind.Reference{Keyword: word}, f)
}

// end says where a dynamic reference leads on the way come.
func (j *judging) end(d *dynamicRef) *rule {
	j.spend(len(j.way) / 4)
	if !d.always {
		for _, home := range j.way {
			if e := d.ends[home]; e != nil {
				return e
			}
		}
	}
	return d.to
}

// object judges members.
func (j *judging) object(r *rule, p *place, ms *evaluated, fs []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	o := r.obj
	j.spend((len(o.required) + len(o.needs)) / 4)
	if o.min != nil && !j.visible && len(p.kids) < *o.min {
		fs = append(fs, j.fault(r, &kind.MinProperties{Got: len(p.kids), Want: *o.min}))
	}
	if o.max != nil && len(p.kids) > *o.max {
		fs = append(fs, j.fault(r, &kind.MaxProperties{Got: len(p.kids), Want: *o.max}))
	}
	if !j.visible {
		if missing := j.missing(p, o.required); missing != nil {
			fs = append(fs, j.fault(r, &kind.Required{Missing: missing}))
		}
	}
	if len(fs) > 0 && !j.tell {
		return fs
	}
	for _, n := range o.needs {
		if j.visible || p.member(n.member) == nil {
			continue
		}
		if n.rule != nil {
			if f := j.apply(n.rule, p, ms); f != nil {
				fs = append(fs, f)
			}
		} else if missing := j.missing(p, n.members); missing != nil {
			var k jsonschema.ErrorKind = &kind.DependentRequired{Prop: n.member, Missing: missing}
			if n.old {
				k = &kind.Dependency{Prop: n.member, Missing: missing}
			}
			fs = append(fs, j.fault(r, k))
		}
		if len(fs) > 0 && !j.tell {
			return fs
		}
	}
	if o.members != nil || o.patterns != nil || o.others != nil || o.closed {
		var unknown []string
		for i, name := range p.names {
			if j.spend(1); j.enough(fs) {
				break
			}
			known := false
			if m := o.members[name]; m != nil {
				known = true
				if f := j.below(m, &p.kids[i], name); f != nil {
					fs = append(fs, f)
				}
			}
			for _, np := range o.patterns {
				if np.re.match(j, name) {
					known = true
					if f := j.below(np.rule, &p.kids[i], name); f != nil {
						fs = append(fs, f)
					}
				}
			}
			switch {
			case known:
			case o.closed:
				unknown = append(unknown, name)
			case o.others != nil:
				known = true
				if f := j.below(o.others, &p.kids[i], name); f != nil {
					fs = append(fs, f)
				}
			}
			if !j.tell && len(fs)+len(unknown) > 0 {
				return append(fs, failed)
			}
			if known {
				ms.set(i)
			}
		}
		if len(unknown) > 0 {
			fs = append(fs, j.fault(r, &kind.AdditionalProperties{Properties: unknown}))
		}
		if o.closed || o.others != nil {
			ms.setAll()
		}
	}
	if o.names != nil {
		for _, name := range p.names {
			j.spend(1)
			if f := j.name(r, name); f != nil {
				fs = append(fs, f)
				if !j.tell {
					return fs
				}
			}
		}
	}
	return fs
}

// name judges the name of a member of what r judges.
func (j *judging) name(r *rule, name string) *jsonschema.ValidationError {
	// A name is a text of its own, which no place stands for; what is remembered
	// is of places, so of a name nothing is.
	at := &place{raw: name, kind: isString, id: -1}
	var f *jsonschema.ValidationError
	if names := r.obj.names; !names.deep {
		f = j.below(names, at, name)
	} else {
		memo, coming := j.memo, j.coming
		j.memo, j.coming = nil, nil
		f = j.below(names, at, name)
		j.memo, j.coming = memo, coming
	}
	if f == nil || !j.tell {
		return f
	}
	return j.fault(r, keyword("propertyNames"), f)
}

func (j *judging) missing(p *place, names []string) (out []string) {
	obj := p.raw.(map[string]any)
	for _, n := range names {
		if _, ok := obj[n]; !ok {
			out = append(out, n)
			if !j.tell {
				return out
			}
		}
	}
	return out
}

// array judges elements.
func (j *judging) array(r *rule, p *place, ms *evaluated, fs []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	a := r.arr
	if a.min != nil && !j.visible && len(p.kids) < *a.min {
		fs = append(fs, j.fault(r, &kind.MinItems{Got: len(p.kids), Want: *a.min}))
	}
	if a.max != nil && len(p.kids) > *a.max {
		fs = append(fs, j.fault(r, &kind.MaxItems{Got: len(p.kids), Want: *a.max}))
	}
	if len(fs) > 0 && !j.tell {
		return fs
	}
	if a.unique && !j.visible && !j.unique(p) {
		fs = append(fs, j.fault(r, keyword("uniqueItems")))
	}
	// The position of an element is not what it was once another is withheld.
	if !(j.visible && a.ordered) && (a.ordered || a.rest != nil) {
		for i := range p.kids {
			if j.enough(fs) {
				break
			}
			to := a.rest
			if i < len(a.first) {
				to = a.first[i]
			} else if to == nil {
				break
			}
			if f := j.below(to, &p.kids[i], j.index(i)); f != nil {
				fs = append(fs, f)
				if !j.tell {
					return fs
				}
			}
			ms.set(i)
		}
		if a.closed && len(p.kids) > len(a.first) {
			fs = append(fs, j.fault(r, &kind.AdditionalItems{Count: len(p.kids) - len(a.first)}))
		}
		if a.rest != nil || a.closed {
			ms.setAll()
		}
	}
	if a.contains != nil && !j.visible {
		fs = j.contains(r, p, ms, fs)
	}
	return fs
}

func (j *judging) index(i int) string {
	if !j.tell {
		return ""
	}
	return strconv.Itoa(i)
}

func (j *judging) contains(r *rule, p *place, ms *evaluated, fs []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	a := r.arr
	n := 0
	for i := range p.kids {
		if j.holds(a.contains, &p.kids[i], nil) {
			n++
			if r.marks {
				ms.set(i)
			}
		}
	}
	switch {
	case a.few != nil && n < *a.few:
		fs = append(fs, j.fault(r, &kind.MinContains{Want: *a.few}))
	case a.few == nil && n == 0:
		fs = append(fs, j.fault(r, &kind.Contains{}))
	}
	if a.many != nil && n > *a.many {
		fs = append(fs, j.fault(r, &kind.MaxContains{Want: *a.many}))
	}
	return fs
}

// combined judges by what is made of other schemas.
func (j *judging) combined(r *rule, p *place, ms *evaluated, fs []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	var of []*jsonschema.ValidationError
	for _, s := range r.allOf {
		if f := j.apply(s, p, ms); f != nil {
			if of = append(of, f); !j.tell {
				return of
			}
		}
	}
	if len(of) > 0 {
		fs = append(fs, j.fault(r, &kind.AllOf{}, of...))
	}
	if j.visible { // a withheld part could explain anything below
		return fs
	}
	if r.not != nil && j.holds(r.not, p, nil) {
		fs = append(fs, j.fault(r, &kind.Not{}))
	}
	if len(fs) > 0 && !j.tell {
		return fs
	}
	if r.anyOf != nil {
		if f := j.any(r, p, ms); f != nil {
			fs = append(fs, f)
		}
	}
	if len(fs) > 0 && !j.tell {
		return fs
	}
	if r.oneOf != nil {
		if f := j.one(r, p, ms); f != nil {
			fs = append(fs, f)
		}
	}
	if len(fs) > 0 && !j.tell {
		return fs
	}
	if r.when != nil {
		next := r.other
		if j.holds(r.when, p, ms) {
			next = r.then
		}
		if next != nil {
			if f := j.apply(next, p, ms); f != nil {
				fs = append(fs, f)
			}
		}
	}
	return fs
}

func (j *judging) any(r *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	u := r.anyOf
	j.spend(1)
	some, at := u.candidates(p)
	found := false
	for _, i := range some {
		if j.holds(u.branches[i], p, ms) {
			if found = true; ms == nil || ms.all {
				return nil
			}
		}
	}
	if found {
		return nil
	}
	return j.none(r, u, &kind.AnyOf{}, some, p, at)
}

func (j *judging) one(r *rule, p *place, ms *evaluated) *jsonschema.ValidationError {
	u := r.oneOf
	j.spend(1)
	some, at := u.candidates(p)
	found := -1
	for _, i := range some {
		to := ms
		if found >= 0 {
			to = nil
		}
		if j.holds(u.branches[i], p, to) {
			if found >= 0 {
				return j.fault(r, &kind.OneOf{Subschemas: []int{found, int(i)}})
			}
			found = int(i)
		}
	}
	if found >= 0 {
		return nil
	}
	return j.none(r, u, &kind.OneOf{}, some, p, at)
}

// none tells why no branch of a union holds.
func (j *judging) none(r *rule, u *union, k jsonschema.ErrorKind, some []int32, p, at *place) *jsonschema.ValidationError {
	if !j.tell {
		return failed
	}
	if len(some) == 0 && at != nil && u.codes != nil {
		f := j.fault(r, &kind.Format{Err: &fault{"enum", u.codes, isString}})
		if u.member {
			f.InstanceLocation = append(f.InstanceLocation, u.by)
		}
		return j.fault(r, k, f)
	}
	if len(some) == 0 {
		some = u.everyone
	}
	var of []*jsonschema.ValidationError
	for _, i := range some {
		if j.enough(of) {
			break
		}
		if f := j.judge(u.branches[i], p, nil); f != nil {
			of = append(of, f)
		}
	}
	return j.fault(r, k, of...)
}

// leftovers judges what nothing looked at.
func (j *judging) leftovers(r *rule, p *place, ms *evaluated, fs []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	to := (*rule)(nil)
	if p.kind == isObject {
		to = r.obj.leftover
	} else {
		to = r.arr.leftover
	}
	for i := range p.kids {
		j.spend(1)
		if ms.has(i) {
			continue
		}
		name := j.index(i)
		if p.kind == isObject {
			name = p.names[i]
		}
		if f := j.below(to, &p.kids[i], name); f != nil {
			if fs = append(fs, f); !j.tell {
				return fs
			}
		}
	}
	ms.setAll()
	return fs
}
