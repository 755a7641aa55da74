package standard

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/strictjson"
)

// A suiteCase is one test of the JSON Schema test suite.
type suiteCase struct {
	key    string // draft7/type.json | integer type matches integers | an integer is an integer
	draft  string
	schema []byte
	data   []byte
	valid  bool
}

const draft7 = "http://json-schema.org/draft-07/schema#"

// suite reads every case of both drafts.
func suite(t testing.TB) (cases []suiteCase, remotes map[string]map[string][]byte) {
	dir := data(t, "json-schema-test-suite")
	remotes = map[string]map[string][]byte{"draft7": {}, "draft2020-12": {}}
	root := filepath.Join(dir, "remotes")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(root, p)
		addr := "http://localhost:1234/" + filepath.ToSlash(rel)
		remotes["draft2020-12"][addr] = b
		remotes["draft7"][addr] = withDraft(b, "draft7")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for draft := range remotes {
		err := filepath.WalkDir(filepath.Join(dir, "tests", draft), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			var groups []struct {
				Description string
				Schema      json.RawMessage
				Tests       []struct {
					Description string
					Data        json.RawMessage
					Valid       bool
				}
			}
			if err := json.Unmarshal(b, &groups); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			rel, _ := filepath.Rel(filepath.Join(dir, "tests"), p)
			for _, g := range groups {
				for _, c := range g.Tests {
					cases = append(cases, suiteCase{
						key:   strings.Join([]string{filepath.ToSlash(rel), g.Description, c.Description}, " | "),
						draft: draft, schema: withDraft(g.Schema, draft), data: c.Data, valid: c.Valid,
					})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(cases) < 3000 {
		t.Fatalf("the suite has only %d cases", len(cases))
	}
	return cases, remotes
}

// withDraft names draft 7 in a schema of its folder that names none; without a
// name ours is 2020-12.
func withDraft(schema []byte, draft string) []byte {
	s := strings.TrimSpace(string(schema))
	if draft != "draft7" || !strings.HasPrefix(s, "{") || strings.Contains(s, `"$schema"`) {
		return schema
	}
	if strings.TrimSpace(s[1:])[0] == '}' {
		return schema
	}
	return []byte(`{"$schema":"` + draft7 + `",` + s[1:])
}

// suiteEngine loads a schema of the suite with the documents it may refer to.
func suiteEngine(c suiteCase, remotes map[string]map[string][]byte) (*engine, error) {
	files := map[string][]byte{"schema.json": c.schema}
	resources := map[string]string{}
	for addr, b := range remotes[c.draft] {
		if strings.Contains(string(c.schema), "localhost:1234") {
			file := "remote/" + strings.TrimPrefix(addr, "http://localhost:1234/")
			files[file], resources[addr] = b, file
		}
	}
	return newEngine(files, resources, Assertion)
}

// TestSuite runs the JSON Schema test suite (github.com/json-schema-org/JSON-
// Schema-Test-Suite, drafts 7 and 2020-12, with everything optional). What is
// not met stands in testdata/suite-not-met.txt with its reason; a case that
// starts to pass must leave the list, so the list is always true.
func TestSuite(t *testing.T) {
	cases, remotes := suite(t)
	notMet := readNotMet(t)
	engines := map[string]*engine{}
	failed := 0
	for _, c := range cases {
		got, why := func() (bool, string) {
			id := c.draft + string(c.schema)
			e, ok := engines[id]
			if !ok {
				var err error
				if e, err = suiteEngine(c, remotes); err != nil {
					engines[id] = nil
					return false, "schema refused: " + err.Error()
				}
				engines[id] = e
			}
			if e == nil {
				return false, "schema refused"
			}
			v, err := strictjson.Decode(c.data, strictjson.Limits{})
			if err != nil {
				return false, "record refused at the door: " + err.Error()
			}
			got := e.judge(v, false)
			verr := got.err
			if !got.valid && verr == nil {
				return false, "is not valid, without a reason"
			}
			if got.spent || got.broken {
				return false, fmt.Sprintf("spent %v, broken %v", got.spent, got.broken)
			}
			if got.valid != c.valid {
				return false, fmt.Sprintf("says valid=%v", got.valid)
			}
			// The words must not fail either, and must not hold the record.
			if verr != nil {
				for _, p := range explain(verr) {
					if p.Rule == "" || p.Detail == "" || p.Fix == "" {
						return false, fmt.Sprintf("a problem without words: %+v", p)
					}
				}
			}
			return true, ""
		}()
		_, listed := notMet[c.key]
		delete(notMet, c.key)
		switch {
		case got && listed:
			t.Errorf("is met, but listed as not met: %s", c.key)
		case !got && !listed:
			failed++
			t.Errorf("%s\n\t%s", c.key, clipText(why, 300))
		}
	}
	for k := range notMet {
		t.Errorf("listed as not met, but not in the suite: %s", k)
	}
	t.Logf("%d cases, %d not met and not listed", len(cases), failed)
}

// readNotMet reads the list: lines that begin with "#" are the reason for the
// cases below them, up to an empty line.
func readNotMet(t *testing.T) map[string]string {
	b, err := os.ReadFile("testdata/suite-not-met.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	reason := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			reason = ""
		case strings.HasPrefix(line, "#"):
			reason += strings.TrimPrefix(line, "#")
		default:
			if reason == "" {
				t.Errorf("no reason above %q", line)
			}
			out[line] = reason
		}
	}
	return out
}
