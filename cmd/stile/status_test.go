package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// answering makes a data folder at whose admin socket one thing is said to
// everything.
func answering(t *testing.T, reply any) (data string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte("version: 1\ncouncil: northmoor.gov.uk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(reply); err != nil {
			t.Error(err)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return dir
}

func status() node.StatusReply {
	at := time.Date(2026, 12, 2, 9, 30, 0, 0, time.UTC)
	return node.StatusReply{
		Council: "northmoor.gov.uk", Running: true, Since: at, Version: "1.2.3", Addresses: []string{"/ip4/192.0.2.1/tcp/7845"},
		LogSize: 1234567, LogRoot: "cm9vdA==", Records: map[string]int{"standards.example/b@1.0.0": 12, "standards.example/a@1.0.0": 1234},
		Held: 3, DiskBytes: 123456789,
		Witnesses: []node.WitnessReply{{Council: "saltby.gov.uk", Size: 1234560}},
		Partners: []node.PartnerReply{
			{Council: "saltby.gov.uk", Agreement: "northmoor.gov.uk/people", Direction: "to", InStep: true, Offered: 1500, Held: 1500},
			{Council: "wetherholm.gov.uk", Agreement: "northmoor.gov.uk/people", Direction: "to", Offered: 1500, Held: 1400, Outstanding: 2, OldestHours: 75, Behind: "it is not connected"},
			{Council: "saltby.gov.uk", Agreement: "saltby.gov.uk/sites", Direction: "from", InStep: true, Offered: 10, Held: 9, Refused: 1},
		},
		Agreements: []node.AgreementReply{{Name: "northmoor.gov.uk/new", Version: 2, Standard: name.StandardLine{Name: "standards.example/a", Major: 1}, Why: "awaiting saltby.gov.uk's signature"}},
		Refusals:   []node.Refusal{{From: "saltby.gov.uk", Agreement: "saltby.gov.uk/sites", Index: 17, Pointer: "/no\x1b[2Jte", Rule: "field is not in the agreement", At: at}},
		Conditions: []node.Condition{
			{Name: "disk-full", Severity: node.Critical, Text: "the disk is nearly full, and no record is taken", Cause: "3 MiB | free", Try: "free some disk space", Since: at},
			{Name: "partner-behind", Severity: node.Warning, Council: "wetherholm.gov.uk", Text: "wetherholm.gov.uk is behind", Cause: "it is not con\x1b[2Jnected", Try: "stile status"},
			{Name: "keys-in-clear", Severity: node.Notice, Accepted: true, Text: "the keys are not encrypted", Try: "stile key encrypt"},
		},
	}
}

const statusText = `  CRITICAL  the disk is nearly full, and no record is taken, since 2026-12-02 09:30:00 UTC (disk-full)
            because: 3 MiB | free
            Try: free some disk space

council     northmoor.gov.uk
node        running since 2026-12-02 09:30:00 UTC, version 1.2.3
listens on  /ip4/192.0.2.1/tcp/7845
log         1,234,567 entries, root cm9vdA==
witnesses   saltby.gov.uk cosigned it at 1,234,560 entries, 7 entries ago
records     1,234 of standards.example/a@1.0.0
            12 of standards.example/b@1.0.0
held back   3; stile record held lists them
disk        123.5 MB

PARTNER                        AGREEMENT                OFFERED   HELD  REFUSED  STATE
saltby.gov.uk      we send     northmoor.gov.uk/people    1,500  1,500        0  in step
wetherholm.gov.uk  we send     northmoor.gov.uk/people    1,500  1,400        0  behind, because it is not connected
saltby.gov.uk      we receive  saltby.gov.uk/sites           10      9        1  in step

withdrawals that partners have not receipted
  PARTNER            AGREEMENT                RECORDS  OLDEST
  wetherholm.gov.uk  northmoor.gov.uk/people        2  3 days

agreements not in force
  AGREEMENT             VERSION  WHY
  northmoor.gov.uk/new        2  awaiting saltby.gov.uk's signature

refused from partners, newest first
  WHEN                     FROM           ENTRY  AT         RULE                           AGREEMENT
  2026-12-02 09:30:00 UTC  saltby.gov.uk     17  /no` + "\uFFFD" + `[2Jte  field is not in the agreement  saltby.gov.uk/sites

to look at
  warning   wetherholm.gov.uk is behind (partner-behind)
            because: it is not con` + "\uFFFD" + `[2Jnected
            Try: stile status
  accepted  the keys are not encrypted (keys-in-clear)
            Try: stile key encrypt
`

// TestStatusText shows every part of a status as a person reads it.
func TestStatusText(t *testing.T) {
	var out, talk bytes.Buffer
	a := &app{env: env{in: strings.NewReader(""), out: &out, err: &talk}}
	data := answering(t, status())
	if code := a.run(t.Context(), []string{"status", "--data", data}); code != 0 || out.String() != statusText {
		t.Errorf("exit code %d, got\n%s\nwant\n%s", code, &out, statusText)
	}
}

// TestStatusCheck: what is critical or a warning is told by the exit code, and each form
// by its own.
func TestStatusCheck(t *testing.T) {
	all := status().Conditions
	for _, c := range []struct {
		name       string
		conditions []node.Condition
		args       []string
		want       int
		out        string
	}{
		{"nothing", nil, nil, 0, ""},
		{"a notice", all[2:], nil, 0, ""},
		{"a warning", all[1:], nil, 8, ""},
		{"something critical", all, nil, 8, ""},
		{"nagios, well", all[2:], []string{"--format", "nagios"}, 0, "STILE OK - northmoor.gov.uk is well | critical=0 warning=0 notice=1\nNOTICE keys-in-clear: the keys are not encrypted. Try: stile key encrypt\n"},
		{"nagios, warning", all[1:2], []string{"--format", "nagios"}, 1, "STILE WARNING - partner-behind: wetherholm.gov.uk is behind | critical=0 warning=1 notice=0\nWARNING partner-behind: wetherholm.gov.uk is behind (it is not con\uFFFD[2Jnected). Try: stile status\n"},
		{"nagios, critical", all[:1], []string{"--format", "nagios"}, 2, "STILE CRITICAL - disk-full: the disk is nearly full, and no record is taken | critical=1 warning=0 notice=0\nCRITICAL disk-full: the disk is nearly full, and no record is taken (3 MiB / free). Try: free some disk space\n"},
		{"another form", nil, []string{"--format", "xml"}, 2, ""},
	} {
		s := status()
		s.Conditions = c.conditions
		var out, talk bytes.Buffer
		a := &app{env: env{in: strings.NewReader(""), out: &out, err: &talk}}
		data := answering(t, s)
		code := a.run(t.Context(), append([]string{"status", "--check", "--data", data}, c.args...))
		if code != c.want || c.out != "" && out.String() != c.out {
			t.Errorf("%s: exit code %d, want %d: %s\n%s", c.name, code, c.want, &talk, &out)
		}
	}
}

// TestExitCodes keeps the kinds of failure on the codes that the help of stile
// lists.
func TestExitCodes(t *testing.T) {
	want := map[node.Kind]int{
		node.Failed: 1, node.Usage: 2, node.NotFound: 3, node.Refused: 4, node.Invalid: 5,
		node.Unverified: 6, node.Unreachable: 7, node.Behind: 8, node.Conflict: 9, "unheard-of": 1,
	}
	for k, code := range want {
		if got := exitCode(k); got != code {
			t.Errorf("%s: exit code %d, want %d", k, got, code)
		}
		// However an error came about, it ends with what to try.
		var talk bytes.Buffer
		a := &app{env: env{err: &talk}}
		a.complain(explain(nil, &node.Error{Kind: k, Message: "it went wrong"}))
		lines := strings.Split(strings.TrimSpace(talk.String()), "\n")
		if len(lines) != 2 || lines[0] != "stile: it went wrong" || len(lines[1]) <= len("Try: ") || !strings.HasPrefix(lines[1], "Try: ") {
			t.Errorf("%s: %q", k, talk.String())
		}
	}
}
