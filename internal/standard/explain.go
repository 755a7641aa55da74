package standard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/stile-exchange/stile/node/name"
)

// maxCollected bounds the problems gathered before the first 50 are chosen.
const maxCollected = 1000

// explain puts the engine's tree of errors into words.
func explain(verr *jsonschema.ValidationError) []Problem {
	var out []Problem
	describe(verr, &out)
	if len(out) == 0 {
		// Never call a record valid because the words for its fault are missing.
		out = append(out, Problem{Rule: "schema", Detail: "does not fit the standard", Fix: "compare it with the standard's examples"})
	}
	return out
}

func describe(e *jsonschema.ValidationError, out *[]Problem) {
	if len(*out) >= maxCollected {
		return
	}
	at := pointer(e.InstanceLocation)
	put := func(rule, detail, fix string) {
		*out = append(*out, Problem{Pointer: at, Rule: rule, Detail: detail, Fix: fix})
	}
	missing := func(rule, detail string, members []string) {
		for _, m := range members {
			p := at + "/" + name.Escape(m)
			*out = append(*out, Problem{Pointer: p, Rule: rule, Detail: detail, Fix: "fill it in"})
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, c := range e.Causes {
			describe(c, out)
		}
	case *kind.AnyOf, *kind.OneOf:
		if o, ok := k.(*kind.OneOf); ok && o.Subschemas != nil {
			put("oneOf", "fits more than one of the forms of which the standard allows just one", "leave out what belongs to the other form")
			return
		}
		chooseBranch(e, out)
	case *kind.Format: // our own node, see node.check
		var f *fault
		var fs faults
		switch {
		case errors.As(k.Err, &f):
			*out = append(*out, f.problem(at))
		case errors.As(k.Err, &fs):
			for _, f := range fs {
				*out = append(*out, f.problem(at))
			}
		}
	case *kind.Required:
		missing("required", "is required", k.Missing)
	case *kind.Dependency:
		missing("dependencies", fmt.Sprintf("is required when %q is given", clip(k.Prop)), k.Missing)
	case *kind.DependentRequired:
		missing("dependentRequired", fmt.Sprintf("is required when %q is given", clip(k.Prop)), k.Missing)
	case *kind.AdditionalProperties:
		for _, m := range k.Properties {
			p := at + "/" + name.Escape(clip(m))
			*out = append(*out, Problem{Pointer: p, Rule: "additionalProperties", Detail: "is not a field of this standard", Fix: "check its spelling, or leave it out"})
		}
	case *kind.FalseSchema:
		rule, detail := "false", "may not be here"
		if strings.HasSuffix(e.SchemaURL, "/unevaluatedProperties") {
			rule, detail = "unevaluatedProperties", "is not a field of this standard"
		}
		put(rule, detail, "leave it out")
	case *kind.Not:
		put("not", "is something that the standard rules out here", "see the standard's description of this field")
	case *kind.MinProperties:
		detail := "must hold at least " + count(k.Want, "field")
		put("minProperties", detail, "fill in more of its fields, or leave it out if it is not required")
	case *kind.MaxProperties:
		put("maxProperties", "must hold at most "+count(k.Want, "field"), "leave some out")
	case *kind.MinItems:
		put("minItems", "must list at least "+count(k.Want, "entry"), "add to the list, or leave it out if it is not required")
	case *kind.MaxItems:
		put("maxItems", "must list at most "+count(k.Want, "entry"), "shorten the list")
	case *kind.AdditionalItems:
		put("additionalItems", "lists more than the standard has places for", "shorten the list")
	case *kind.Contains:
		put("contains", "must list at least one entry of the kind the standard asks for", "add one")
	case *kind.MinContains:
		put("minContains", "must list at least "+count(k.Want, "entry")+" of the kind the standard asks for", "add to the list")
	case *kind.MaxContains:
		put("maxContains", "must list at most "+count(k.Want, "entry")+" of the kind the standard speaks of", "shorten the list")
	case keyword:
		if k == "uniqueItems" {
			put("uniqueItems", fmt.Sprintf("must not list anything twice, nor more than %d entries", maxUnique), "remove the repeats")
			return
		}
		for _, c := range e.Causes {
			at = pointer(c.InstanceLocation)
			put("propertyNames", "has a name that the standard does not allow here", "check the name's spelling, or leave the field out")
		}
	case *kind.RefCycle:
		put("$ref", "cannot be checked: the standard's schema refers to itself without end", "tell the standard's publisher")
	case *kind.InvalidJsonValue:
		put("type", "is not a JSON value", "send JSON")
	default:
		put("schema", "does not fit the standard", "compare it with the standard's examples")
	}
}

// pointer spells an instance location as RFC 6901 does. A member's name is as
// the sender wrote it, so a long one is cut.
func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(name.Escape(clip(t)))
	}
	return b.String()
}

// chooseBranch words the failure of every branch of an anyOf or oneOf at e. It
// tells what the branches have in common if they fail alike, else what is
// wrong in the branch that the record came nearest to.
func chooseBranch(e *jsonschema.ValidationError, out *[]Problem) {
	rule := e.ErrorKind.KeywordPath()[0]
	at := pointer(e.InstanceLocation)
	var types kinds
	var lists [][]any
	var required []string
	allTypes, allLists, allRequired := true, true, true
	for _, c := range e.Causes {
		f := onlyFault(c)
		here := len(c.InstanceLocation) == len(e.InstanceLocation)
		isType := f != nil && f.rule == "type" && here
		isList := f != nil && (f.rule == "enum" || f.rule == "const") && here
		req, isReq := onlyKind(c).(*kind.Required)
		isReq = isReq && here && len(req.Missing) == 1
		allTypes, allLists, allRequired = allTypes && isType, allLists && isList, allRequired && isReq
		switch {
		case isType:
			types |= f.node.types
		case isList && f.rule == "enum":
			lists = append(lists, f.node.values.list)
		case isList:
			lists = append(lists, f.node.one.list)
		case isReq && !slices.Contains(required, req.Missing[0]):
			required = append(required, req.Missing[0])
		}
	}
	switch {
	case len(e.Causes) == 0:
		*out = append(*out, Problem{Pointer: at, Rule: rule, Detail: "may not be here", Fix: "leave it out"})
		return
	case allTypes:
		*out = append(*out, Problem{Pointer: at, Rule: "type", Detail: "must be " + types.words(), Fix: "send " + types.words()})
		return
	case allLists:
		vs := &values{list: slices.Concat(lists...)}
		*out = append(*out, Problem{Pointer: at, Rule: "enum", Detail: "must be one of: " + vs.words() + " (the standard's list)", Fix: "use a value from the list, spelt just so"})
		return
	case allRequired:
		*out = append(*out, Problem{Pointer: at, Rule: rule, Detail: "needs one of: " + clipText(strings.Join(required, ", "), 500), Fix: "fill in at least one of them"})
		return
	}
	best, bestScore := 0, -1
	for i, c := range e.Causes {
		if s := nearness(c, len(e.InstanceLocation)); s > bestScore {
			best, bestScore = i, s
		}
	}
	describe(e.Causes[best], out)
}

// nearness says how near the record came to a branch that failed as c: far if
// the value was not even of the branch's type, or not the one that a fixed
// member asks for; nearer the deeper the faults lie and the fewer they are.
func nearness(c *jsonschema.ValidationError, level int) int {
	const far = 1000
	score := far
	n := 0
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if n++; n > 200 {
			return
		}
		if len(e.Causes) > 0 {
			if _, ok := e.ErrorKind.(*kind.AnyOf); ok {
				score--
			}
			for _, c := range e.Causes {
				walk(c)
			}
			return
		}
		depth := len(e.InstanceLocation) - level
		switch k := e.ErrorKind.(type) {
		case *kind.Format:
			var f *fault
			if !errors.As(k.Err, &f) {
				score -= 3
				return
			}
			switch {
			case f.rule == "type" && depth == 0:
				score -= far / 2
			case (f.rule == "const" || f.rule == "enum") && depth <= 1:
				score -= far / 4 // a member such as "type" tells the branches apart
			default:
				score -= 3
			}
		case *kind.Required:
			score -= 4 * len(k.Missing)
		case *kind.AdditionalProperties:
			score -= 4 * len(k.Properties)
		case *kind.FalseSchema:
			score -= far / 2
		default:
			score -= 3
		}
	}
	walk(c)
	return max(score, 0)
}

// onlyFault returns the one fault that c is, through wrappers; else nil.
func onlyFault(c *jsonschema.ValidationError) *fault {
	f, ok := onlyKind(c).(*kind.Format)
	if !ok {
		return nil
	}
	var one *fault
	if errors.As(f.Err, &one) {
		return one
	}
	return nil
}

func onlyKind(c *jsonschema.ValidationError) jsonschema.ErrorKind {
	for {
		switch c.ErrorKind.(type) {
		case *kind.Group, *kind.AllOf, *kind.Reference:
			if len(c.Causes) != 1 {
				return nil
			}
			c = c.Causes[0]
		default:
			return c.ErrorKind
		}
	}
}
