package standard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stile-exchange/stile/internal/name"
	"github.com/stile-exchange/stile/internal/strictjson"
)

const base = "stile://standard/"

type engine struct {
	schema *jsonschema.Schema
	doc    any
}

type closed struct{}

func (closed) Load(url string) (any, error) {
	return nil, errors.New("is not in the standard's directory")
}

func newEngine(files map[string][]byte, resources map[string]string) (*engine, error) {
	doc, err := strictjson.Decode(files["schema.json"], strictjson.Limits{Bytes: maxFile, Depth: 256, Values: 1 << 20, WideNumbers: true})
	if err != nil {
		return nil, fmt.Errorf("read schema.json: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(closed{})
	if err := c.AddResource(base+"schema.json", doc); err != nil {
		return nil, err
	}
	sch, err := c.Compile(base + "schema.json")
	if err != nil {
		return nil, err
	}
	return &engine{sch, doc}, nil
}

func (e *engine) requires(f name.Field) bool { return true }

// Validate judges a record.
func (s *Standard) Validate(record any) []Problem {
	err := s.engine.schema.Validate(record)
	if err == nil {
		return nil
	}
	var out []Problem
	var walk func(v *jsonschema.ValidationError)
	walk = func(v *jsonschema.ValidationError) {
		if len(v.Causes) == 0 {
			var p name.Field
			for _, t := range v.InstanceLocation {
				p = p.Child(t)
			}
			out = append(out, Problem{Pointer: string(p), Rule: strings.Join(v.ErrorKind.KeywordPath(), "/"), Detail: "breaks the schema"})
		}
		for _, c := range v.Causes {
			walk(c)
		}
	}
	walk(err.(*jsonschema.ValidationError))
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return out
}

// ValidateVisible judges a record some of whose members are withheld.
func (s *Standard) ValidateVisible(record any) []Problem { return nil }
