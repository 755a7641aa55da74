package standard

import (
	"bytes"
	"encoding/json"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/stile-exchange/stile/node/name"
)

// jsonLines sets each pointer of at to the line on which its place in b begins.
// Of a text that cannot be read to its end it sets those before the fault.
func jsonLines(b []byte, at map[string]int) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	line, seen := 1, 0
	mark := func(ptr string) {
		if n, ok := at[ptr]; !ok || n > 0 {
			return
		}
		// The decoder stands after the token before: go on to the next one.
		end := int(dec.InputOffset())
		for end < len(b) && bytes.IndexByte([]byte(" \t\r\n,:"), b[end]) >= 0 {
			end++
		}
		line += bytes.Count(b[seen:end], []byte("\n"))
		seen = end
		at[ptr] = line
	}
	var value func(ptr string, depth int) bool
	value = func(ptr string, depth int) bool {
		mark(ptr)
		tok, err := dec.Token()
		if err != nil || depth > maxDepth {
			return false
		}
		switch tok {
		case json.Delim('{'):
			for dec.More() {
				k, err := dec.Token()
				key, ok := k.(string)
				if err != nil || !ok {
					return false
				}
				if !value(ptr+"/"+name.Escape(key), depth+1) {
					return false
				}
			}
			_, err = dec.Token()
		case json.Delim('['):
			for i := 0; dec.More(); i++ {
				if !value(ptr+"/"+strconv.Itoa(i), depth+1) {
					return false
				}
			}
			_, err = dec.Token()
		}
		return err == nil
	}
	value("", 0)
}

// yamlLines does the same for YAML. A place that is not there gets the line of
// what stands above it.
func yamlLines(b []byte, at map[string]int) {
	var root yaml.Node
	if len(b) > maxManifest || yaml.Unmarshal(b, &root) != nil || len(root.Content) == 0 {
		return
	}
	for ptr := range at {
		f, err := name.ParseField(ptr)
		if err != nil {
			continue
		}
		n := root.Content[0]
		at[ptr] = n.Line
	tokens:
		for _, tok := range f.Tokens() {
			switch n.Kind {
			case yaml.MappingNode:
				for i := 0; i+1 < len(n.Content); i += 2 {
					if n.Content[i].Value == tok {
						at[ptr] = n.Content[i].Line
						n = n.Content[i+1]
						continue tokens
					}
				}
			case yaml.SequenceNode:
				if i, err := strconv.Atoi(tok); err == nil && i >= 0 && i < len(n.Content) {
					n = n.Content[i]
					at[ptr] = n.Line
					continue tokens
				}
			}
			break
		}
	}
}
