package main

import (
	"encoding/json"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// caseID is "caseid NAME DATA NOUN": it sets a variable to the id of the newest case of a
// node's handovers or urgent disclosures.
func caseID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: caseid NAME DATA NOUN")
	}
	ts.Check(ts.Exec("stile", args[2], "list", "--json", "--data", args[1]))
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var r struct{ Case string }
	ts.Check(json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	ts.Setenv(args[0], r.Case)
}
