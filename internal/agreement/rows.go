package agreement

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

// The row filter is CEL, cut down to what is the same on every machine and
// ends soon on every record. A filter that is refused here cannot be signed;
// one that runs out of fuel on a record does not match it.
const (
	maxNesting  = 2       // comprehensions within each other
	maxDepth    = 50      // of the expression's parse
	maxNodes    = 2000    // of its tree, macros expanded
	maxFuel     = 100_000 // units of work on one record; about 10 ms at worst
	maxPattern  = 200     // bytes of a regular expression
	maxStates   = 200     // instructions it compiles to
	maxSearched = 4096    // bytes of text it is run over; a longer one is an error
)

// allowed holds every function a filter may call. Left out are those whose
// result can outgrow their arguments (replace, join, format), those that look
// at the world (time zones), and those no filter needs (bytes, type).
var allowed = func() map[string]bool {
	m := make(map[string]bool)
	for _, f := range []string{
		operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
		operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals,
		operators.Greater, operators.GreaterEquals, operators.In,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo,
		operators.Negate, operators.Index, operators.NotStrictlyFalse,
		"size", "contains", "startsWith", "endsWith", "matches",
		"lowerAscii", "upperAscii", "trim", "substring",
		"int", "double", "string", "bool", "dyn", "timestamp", "duration",
	} {
		m[f] = true
	}
	return m
}()

// rowsEnv is the language. It is built once, when first needed, and does not
// change after.
var rowsEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("record", cel.DynType),
		cel.CustomTypeAdapter(adapter{}),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EnableMacroCallTracking(), // so that a part can be printed as it was written
		ext.Strings(),
		cel.Function(gonethrough, cel.Overload("gone_through", []*cel.Type{cel.DynType}, cel.DynType, cel.UnaryBinding(elements))),
		cel.ParserRecursionLimit(maxDepth),
		cel.ParserExpressionSizeLimit(MaxRows),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(
			cel.ValidateComprehensionNestingLimit(maxNesting),
			cel.ValidateRegexLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateDurationLiterals(),
		),
	)
})

// rows is a compiled row filter, or a part of one.
type rows struct {
	text string
	expr ast.Expr
	info *ast.SourceInfo
	prog cel.Program
	reads
	top    []string // members of the record that it looks at
	whole  bool     // it may look at any
	guards []Guard
}

// compileRows checks and compiles a filter. The error is for the person who
// wrote it: it may quote the filter, which holds no record's value.
func compileRows(text string) (*rows, error) {
	if len(text) > MaxRows {
		return nil, fmt.Errorf("longer than %d bytes", MaxRows)
	}
	env, err := rowsEnv()
	if err != nil {
		return nil, fmt.Errorf("set up CEL: %w", err)
	}
	tree, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issue(issues)
	}
	if t := tree.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("must come out as true or false, not %s; compare it with something", t)
	}
	r := &rows{text: text, expr: tree.NativeRep().Expr(), info: tree.NativeRep().SourceInfo()}
	usesMatches, err := admit(r.expr)
	if err != nil {
		return nil, err
	}
	r.reads = findReads(r.expr)
	r.top, r.whole = r.tops()
	r.guards = findGuards(r.expr)
	opts := []cel.ProgramOption{cel.CostTracking(fuel{}), cel.CostLimit(maxFuel)}
	if usesMatches {
		// The optimizer would put its own matches, without a bound on the
		// text, in the place of ours.
		opts = append(opts, cel.OptimizeRegex(boundedMatches))
	} else {
		opts = append(opts, cel.EvalOptions(cel.OptOptimize))
	}
	if r.prog, err = env.PlanProgram(elementsAlone(tree.NativeRep()), opts...); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return r, nil
}

// gonethrough is the function that stands round what a macro such as all goes through.
// Nobody can write its name.
const gonethrough = "@elements"

// elementsAlone returns the tree with gonethrough round the range of each macro. The engine
// takes an empty text there for an empty list, so that record.items.all(i, i.ok) would pick a
// record whose items are "": by the specification of CEL a text has no elements, and the second
// opinion reads it so. The tree that is given is not changed.
func elementsAlone(tree *ast.AST) *ast.AST {
	tree = ast.Copy(tree)
	fac, id := ast.NewExprFactory(), ast.MaxID(tree)
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			id++
			c := e.AsComprehension()
			over := fac.NewCall(id, gonethrough, c.IterRange())
			e.SetKindCase(fac.NewComprehension(e.ID(), over, c.IterVar(), c.AccuVar(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()))
		}
	}))
	return tree
}

// elements returns a list or an object as it is, and an error for anything else.
func elements(v ref.Val) ref.Val {
	switch v.(type) {
	case traits.Lister, traits.Mapper:
		return v
	}
	return types.NoSuchOverloadErr()
}

// issue puts the first of CEL's complaints in one line: "column 8: …".
func issue(issues *cel.Issues) error {
	errs := issues.Errors()
	if len(errs) == 0 {
		return errors.New("is not CEL")
	}
	msg, _, _ := strings.Cut(errs[0].Message, "\n")
	if len(msg) > 200 {
		msg = msg[:200] + "…"
	}
	if l := errs[0].Location; l != nil && l.Line() > 1 {
		return fmt.Errorf("line %d, column %d: %s", l.Line(), l.Column()+1, strings.ToValidUTF8(msg, ""))
	} else if l != nil && l.Line() == 1 {
		return fmt.Errorf("column %d: %s", l.Column()+1, strings.ToValidUTF8(msg, ""))
	}
	return errors.New(strings.ToValidUTF8(msg, ""))
}

// admit refuses what the type checker lets through and we do not.
func admit(root ast.Expr) (usesMatches bool, err error) {
	say := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	grown := grownLists(root)
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			c := e.AsCall()
			if !allowed[c.FunctionName()] {
				say("the function %s is not available in a row filter", c.FunctionName())
			}
			if c.FunctionName() == "matches" {
				usesMatches = true
				if err := admitPattern(c); err != nil {
					say("%w", err)
				}
			}
		case ast.ListKind, ast.MapKind:
			if !grown[e.ID()] && !constant(e) {
				say("a list in a row filter holds constants only; compare fields one by one")
			}
		case ast.StructKind:
			say("the type %s is not available in a row filter", e.AsStruct().TypeName())
		case ast.LiteralKind:
			switch e.AsLiteral().(type) {
			case types.Bytes, types.Uint:
				say("byte strings and unsigned numbers are not available in a row filter")
			}
		case ast.ComprehensionKind:
			c := e.AsComprehension()
			if c.IterVar() == "record" || c.IterVar2() == "record" {
				say(`"record" is the whole record; give each element another name`)
			}
		}
	}))
	return usesMatches, err
}

// grownLists returns the lists [x] that the macros map and filter add to what
// they have gathered. Their price is paid as they are added.
func grownLists(root ast.Expr) map[int64]bool {
	grown := make(map[int64]bool)
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.Add {
			return
		}
		args := e.AsCall().Args()
		// Nobody can write the name of the hidden accumulator.
		if len(args) == 2 && args[0].Kind() == ast.IdentKind && args[0].AsIdent() == hiddenAccumulator {
			grown[args[1].ID()] = true
		}
	}))
	return grown
}

const hiddenAccumulator = "@result"

// constant reports whether e names nothing, and so is as large as it is long.
// Without this rule a filter could hold the record a hundred times in a list,
// that list a hundred times in another, and compare the two: one call, which
// is priced only when it is over.
func constant(e ast.Expr) bool {
	names := false
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		names = names || e.Kind() == ast.IdentKind
	}))
	return !names
}

// admitPattern bounds a regular expression. Go's engine takes time linear in
// text times states (RE2), so both are bounded; a pattern taken from a record
// could not be.
func admitPattern(c ast.CallExpr) error {
	args := c.Args()
	if len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind {
		return errors.New("matches needs its pattern written out")
	}
	pattern, ok := args[len(args)-1].AsLiteral().Value().(string)
	if !ok || len(pattern) > maxPattern {
		return fmt.Errorf("the pattern of matches is longer than %d bytes", maxPattern)
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("the pattern of matches: %w", err)
	}
	if p, err := syntax.Compile(re.Simplify()); err != nil || len(p.Inst) > maxStates {
		return fmt.Errorf("the pattern of matches is too large; write shorter repetitions")
	}
	return nil
}

// boundedMatches compiles the pattern once and refuses to search long texts.
var boundedMatches = &interpreter.RegexOptimization{
	Function:   "matches",
	RegexIndex: 1,
	Factory: func(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
			s, ok := args[0].(types.String)
			if !ok {
				return types.NoSuchOverloadErr()
			}
			if len(s) > maxSearched {
				return types.NewErr("text too long for matches")
			}
			return types.Bool(re.MatchString(string(s)))
		}), nil
	},
}

// eval runs the filter on a record. The result is meaningful only when the
// error is nil. The error may hold a value of the record: it must not leave
// this package.
func (r *rows) eval(record map[string]any) (bool, error) {
	out, _, err := r.prog.Eval(&activation{record})
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errors.New("not true or false")
	}
	return bool(b), nil
}

// An activation hands CEL the record without a map to carry it.
type activation struct{ record map[string]any }

// ResolveName implements cel.Activation.
func (a *activation) ResolveName(n string) (any, bool) {
	if n == "record" {
		return a.record, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// An adapter shows CEL the values that strictjson decodes, without copying
// them: an integer token within int64 is an int, any other number a double,
// null is null. Nothing else can stand in a record.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case string:
		return types.String(v)
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return types.Int(i)
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return types.NewErr("number out of range")
		}
		return types.Double(f)
	case bool:
		return types.Bool(v)
	case nil:
		return types.NullValue
	case map[string]any:
		return &object{types.NewStringInterfaceMap(a, v), v}
	case []any:
		return types.NewDynamicList(a, v)
	}
	return types.DefaultTypeAdapter.NativeToValue(v) // CEL's own, such as literals
}

// An object is a JSON object whose members come in the order of their names:
// the order of a Go map would make a filter such as
// record.m.map(k, k)[0] == "a" come out differently from run to run.
type object struct {
	traits.Mapper
	members map[string]any
}

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator {
	keys := make([]ref.Val, 0, len(o.members))
	for _, k := range slices.Sorted(maps.Keys(o.members)) {
		keys = append(keys, types.String(k))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

// fuel prices every call of a filter in units of some 100 ns.
//
// CEL's own prices go by the overload the type checker chose. A record is dyn,
// for which it chooses none, so that "x in record.list" would cost 1 however
// long the list: two nested comprehensions around one ran for 40 s within a
// limit of 100,000. These prices go by the values.
type fuel struct{}

// CallCost implements cost.ActualCostEstimator. It is asked after the call;
// every single call is bounded by the size of the record, of the filter, or by
// maxSearched.
func (fuel) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case operators.Equals, operators.NotEquals, operators.In:
		for _, a := range args {
			cost += weight(a)
		}
	case operators.Add:
		// A string is copied whole. A list takes in its right side: paying for
		// all that is in it bounds what a later comparison can meet.
		if s, ok := result.(types.String); ok {
			cost += uint64(len(s)) / 16
		} else {
			cost += weight(args[len(args)-1])
		}
	case "matches":
		if s, ok := args[0].(types.String); ok {
			cost += min(uint64(len(s)), maxSearched) * 10
		}
	default:
		for _, a := range args {
			if s, ok := a.(types.String); ok {
				cost += uint64(len(s)) / 16
			}
		}
	}
	return &cost
}

// weight counts what a comparison of v may have to look at.
func weight(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / 16
	case *object:
		return heft(v.members)
	case traits.Lister:
		if l, ok := v.Value().([]any); ok {
			return heft(l)
		}
		// A list the filter made: its parts may be lists of the record.
		n := uint64(0)
		for it := v.Iterator(); it.HasNext() == types.True; {
			n += 1 + weight(it.Next())
			if n > maxFuel {
				break
			}
		}
		return n
	}
	return 0
}

// heft is weight for a value as strictjson decodes it.
func heft(v any) uint64 {
	n := uint64(1)
	switch v := v.(type) {
	case string:
		n += uint64(len(v)) / 16
	case map[string]any:
		for k, e := range v {
			n += 1 + uint64(len(k))/16 + heft(e)
		}
	case []any:
		for _, e := range v {
			n += heft(e)
		}
	}
	return n
}
