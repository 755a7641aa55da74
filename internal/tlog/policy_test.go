package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// A testWitness cosigns in a test, by one of the two algorithms.
type testWitness struct {
	signer note.Signer
	vkey   string
}

func newWitness(t testing.TB, name string) testWitness {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := fnote.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	return testWitness{s, vkey}
}

func newMLDSAWitness(t testing.TB, name string) testWitness {
	t.Helper()
	skey, vkey, err := fnote.GenerateMLDSAKey(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := fnote.NewMLDSASigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return testWitness{s, vkey}
}

// policyLog is a log of one checkpoint, signed.
func policyLog(t testing.TB) (cp Checkpoint, signed []byte, v note.Verifier, vkey string) {
	t.Helper()
	cp = Checkpoint{Origin: "northmoor.gov.uk/stile", Size: 3, Root: Hash{1, 2, 3}}
	skey, vkey, err := note.GenerateKey(nil, cp.Origin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = SignCheckpoint(cp, s); err != nil {
		t.Fatal(err)
	}
	if v, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	return cp, signed, v, vkey
}

// The example of the specification: two of three X and one of three Y, one of them
// by ML-DSA-44. Every subset of the six is tried against the rule said in plain code.
func TestPolicyIsMetByItsQuorum(t *testing.T) {
	cp, signed, logKey, logVKey := policyLog(t)
	var ws []testWitness
	text := "# who watches the log\n\nlog " + logVKey + " https://northmoor.gov.uk/stile\n"
	for i, n := range []string{"X1", "X2", "X3", "Y1", "Y2", "Y3"} {
		w := newWitness(t, "witness.example/"+n)
		if n == "X2" {
			w = newMLDSAWitness(t, "witness.example/"+n)
		}
		ws = append(ws, w)
		text += fmt.Sprintf("\twitness %s %s", n, w.vkey)
		if i == 0 {
			text += "  https://witness.example/x1/ "
		}
		text += "\n"
	}
	text += "group X 2 X1 X2 X3\ngroup Y any Y1 Y2 Y3\ngroup both all X Y\nquorum both\n"
	p, err := ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Logs) != 1 || p.Logs[0].URL != "https://northmoor.gov.uk/stile" || len(p.Witnesses) != 6 || p.Witnesses[0].URL != "https://witness.example/x1" || !p.Wants() {
		t.Fatalf("read %d logs and %d witnesses", len(p.Logs), len(p.Witnesses))
	}
	for set := range 1 << 6 {
		cosigned := bytes.Clone(signed)
		for i, w := range ws {
			if set>>i&1 == 0 {
				continue
			}
			line, _, err := Cosign(cp, w.signer)
			if err != nil {
				t.Fatal(err)
			}
			if cosigned, err = AddCosignature(cosigned, line, p.Witnesses[i].Verifier); err != nil {
				t.Fatal(err)
			}
		}
		_, n, err := OpenCheckpoint(cosigned, cp.Origin, append(p.Verifiers(), logKey)...)
		if err != nil {
			t.Fatal(err)
		}
		x, y := set&1+set>>1&1+set>>2&1, set>>3
		if want := x >= 2 && y > 0; p.Met(n) != want {
			t.Errorf("cosigned by %06b: met is %v, want %v", set, p.Met(n), want)
		}
	}
}

func TestPolicyNoneWantsNothing(t *testing.T) {
	p, err := ParsePolicy([]byte("quorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Wants() || !p.Met(&note.Note{}) {
		t.Error("a policy without quorum wants something")
	}
}

func TestPolicyRefuses(t *testing.T) {
	_, _, _, logVKey := policyLog(t)
	a, b, pq := newWitness(t, "a.example").vkey, newWitness(t, "b.example").vkey, newMLDSAWitness(t, "c.example").vkey
	wa, wb := "witness a "+a+"\n", "witness b "+b+"\n"
	renamed := "other.example" + a[strings.IndexByte(a, '+'):]
	for what, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "no quorum line"},
		"no quorum":           {wa, "no quorum line"},
		"two quorums":         {wa + "quorum a\nquorum none\n", "line 3: a second quorum"},
		"unknown quorum":      {wa + "quorum b\n", "line 2: the quorum is not defined"},
		"quorum before":       {"quorum a\n" + wa, "line 1: the quorum is not defined"},
		"member below":        {wa + "group g any a b\n" + wb + "quorum g\n", "line 2: a member of the group is not defined"},
		"none in a group":     {wa + "group g any a none\nquorum g\n", "not defined"},
		"none as a name":      {"witness none " + a + "\nquorum none\n", "line 1: the name is taken"},
		"a name twice":        {wa + "witness a " + b + "\nquorum a\n", "line 2: the name is taken"},
		"a key twice":         {wa + "witness b " + a + "\nquorum a\n", "line 2: the key stands on another line"},
		"a key renamed":       {wa + "witness b " + renamed + "\nquorum a\n", "line 2: read witness key"},
		"in a group twice":    {wa + "group g any a a\nquorum g\n", "in a group already"},
		"in two groups":       {wa + wb + "group g any a\ngroup h any a b\nquorum h\n", "line 4: a member of the group is in a group already"},
		"too many wanted":     {wa + wb + "group g 3 a b\nquorum g\n", "how many of the 2 members"},
		"none wanted":         {wa + "group g 0 a\nquorum g\n", "how many of the 1 members"},
		"padded number":       {wa + "group g 01 a\nquorum g\n", "how many of the 1 members"},
		"group of nobody":     {"group g any\nquorum g\n", "want group NAME"},
		"a log key":           {"witness a " + logVKey + "\nquorum a\n", "read witness key"},
		"a witness as a log":  {"log " + a + "\nquorum none\n", "read log key"},
		"ML-DSA as a log":     {"log " + pq + "\nquorum none\n", "read log key"},
		"ML-DSA, wrong hash":  {"witness c " + strings.Replace(pq, "c.example+", "c.example+0", 1) + "\nquorum c\n", "read witness key"},
		"a URL with a query":  {"witness a " + a + " https://a.example/?x\nquorum a\n", "want a URL"},
		"a URL with password": {"witness a " + a + " https://u:p@a.example/\nquorum a\n", "want a URL"},
		"another scheme":      {"witness a " + a + " file:///etc\nquorum a\n", "want a URL"},
		"control character":   {wa + "quorum a\r\n", "line 2: byte 9 is a control character"},
		"another word":        {"Witness a " + a + "\nquorum a\n", "want a line that begins"},
		"too many":            {strings.Repeat("group\n", 200), "want group"},
	} {
		_, err := ParsePolicy([]byte(c.text))
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("# none\nquorum none\n"))
	a := newWitness(f, "a.example").vkey
	f.Add([]byte("witness a " + a + " https://a.example\ngroup g all a\nquorum g\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if !p.Wants() != p.Met(&note.Note{}) {
			t.Error("a quorum is met by nobody")
		}
	})
}
