package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// expect checks the result of one check, and that its words hold others.
func expect(t *testing.T, r *Report, check string, want Result, words ...string) {
	t.Helper()
	c, ok := r.Check(check)
	if !ok || c.Result != want {
		t.Errorf("check %s is %q, want %q: %s %+v", check, c.Result, want, c.Detail, c.Failures)
	}
	for _, w := range words {
		if !strings.Contains(c.Detail, w) {
			t.Errorf("check %s does not say %q: %s", check, w, c.Detail)
		}
	}
}

// An auditor who brings no keys learns that nothing is shown but that the file
// agrees with itself.
func TestKeysFromTheFileAlone(t *testing.T) {
	w := newTown(t)
	w.live(6)
	r := verify(t, w.bundle(50), Options{})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckKeys, NotDone, "northmoor.gov.uk and saltby.gov.uk", "from this file alone")
	if out := text(r); !strings.Contains(out, w.rings[northmoor].Record.ID()) || !strings.Contains(out, w.rings[northmoor].Log.Verifier()) {
		t.Error("the keys to compare are not printed")
	}
}

// One forged from end to end agrees with itself; the auditor's one line of key
// is what finds it out.
func TestForgedFromEndToEnd(t *testing.T) {
	honest, forger := newTown(t), newTown(t)
	forger.live(6)
	b := forger.bundle(50)
	for _, k := range []Key{
		{northmoor, UseRecord, honest.rings[northmoor].Record.ID()},
		{northmoor, UseLog, honest.rings[northmoor].Log.Verifier()},
	} {
		r := verify(t, b, Options{Trust: Trust{Keys: []Key{k}}})
		expect(t, r, CheckKeys, Failed)
		if k.Use == UseRecord {
			expect(t, r, CheckRecordSignatures, Failed)
		} else {
			expect(t, r, CheckCheckpoint, Failed)
			expect(t, r, CheckInclusion, NotDone)
		}
	}
}

// Keys given by their lines are enough: the file brings the key that a
// thumbprint names.
func TestKeysByLine(t *testing.T) {
	w := newTown(t)
	w.live(6)
	path := filepath.Join(t.TempDir(), "keys")
	lines := "# read to me on the telephone\n\n"
	for _, k := range verify(t, w.bundle(50), Options{}).Keys {
		lines += k.String() + "\n"
	}
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	trust, err := ReadTrust(path)
	if err != nil {
		t.Fatal(err)
	}
	r := verify(t, w.bundle(50), Options{Trust: trust})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckKeys, OK, "keys that you gave")
}

func TestReadTrust(t *testing.T) {
	w := newTown(t)
	dir := t.TempDir()
	if _, err := ReadTrust(dir); !errors.Is(err, ErrTrust) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, c := range []name.Council{northmoor, saltby} {
		if err := os.WriteFile(filepath.Join(dir, string(c)+".yaml"), yamlOf(w, c), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ReadTrust(dir); err != nil || len(got.Members) != 2 {
		t.Errorf("a folder: %+v, %v", got, err)
	}
	if got, err := ReadTrust(filepath.Join(dir, "saltby.gov.uk.yaml")); err != nil || len(got.Members) != 1 {
		t.Errorf("a member file: %+v, %v", got, err)
	}
	if _, err := ReadTrust(filepath.Join(dir, "nobody.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	for _, bad := range []string{"", "# nothing\n", "northmoor.gov.uk", "northmoor record " + w.rings[northmoor].Record.ID(),
		"northmoor.gov.uk node " + w.rings[northmoor].Record.ID(), "northmoor.gov.uk record short",
		"northmoor.gov.uk log " + w.rings[saltby].Log.Verifier(), "northmoor.gov.uk log x+y+z",
		"saltby.gov.uk witness " + w.rings[northmoor].Log.CosignerVerifier()} {
		p := filepath.Join(dir, "keys")
		if err := os.WriteFile(p, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadTrust(p); !errors.Is(err, ErrTrust) {
			t.Errorf("%q: %+v, %v; want ErrTrust", bad, got, err)
		}
	}
}

// The base64 of a key may hold a plus, and end in one.
func TestKeyMaterial(t *testing.T) {
	for id, want := range map[string]string{"northmoor.gov.uk/stile+0123abcd+AQ+b/c+": "AQ+b/c+", "v6kvqPbKNH7ggCXQYatWLjhcPwXgj7kq-H9Vs1W6cAg": "v6kvqPbKNH7ggCXQYatWLjhcPwXgj7kq-H9Vs1W6cAg"} {
		if got := (Key{ID: id}).material(); got != want {
			t.Errorf("material of %q = %q, want %q", id, got, want)
		}
	}
}

// A receiver's word that the agreement is over may have come late. What went
// out in between is not called a breach, and is not passed over.
func TestEndedByTheReceiver(t *testing.T) {
	w := newTown(t)
	w.live(6)
	w.heard(event.KindAgreementEnd, agreement.Notice{Ref: w.doc.Ref(), Reason: "no longer needed", At: time.Unix(w.now, 0)}.Body())
	at, tok := w.record("R-late", "E07000999")
	w.send(map[uint64][]byte{at: tok})
	w.checkpoint(false)
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckInForce, OK, "whether northmoor.gov.uk had heard of it")
	if c, _ := r.Check(CheckInForce); c.NotDone != 1 {
		t.Errorf("%+v", c)
	}
}

// A bundle that is not about an agreement says that what an agreement would
// show was not checked.
func TestRecordsAlone(t *testing.T) {
	w := newTown(t)
	w.header.Covers = Covers{Standard: w.std.Name().Name}
	for _, ref := range []string{"A", "B"} {
		at, tok := w.record(ref, "E07000001")
		w.include[at] = tok
	}
	w.checkpoint(false)
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	for _, check := range []string{CheckFields, CheckRows, CheckLogged, CheckReceipts, CheckWithdrawals, CheckInForce, CheckWitnesses, CheckHistory, CheckTimes} {
		expect(t, r, check, NotDone)
	}
	expect(t, r, CheckDisclosures, OK, "In 2 records, 8 fields are disclosed and 4 withheld")

	w.header.Covers = Covers{Standard: "standards.example/another"}
	expect(t, verify(t, w.bundle(50), Options{Trust: w.trust()}), CheckContents, Failed)
	w.header.Covers = Covers{Records: []name.Record{w.last["A"].Record, w.rings[saltby].RecordID(name.StandardLine{Name: "standards.example/another", Major: 1}, "A")}}
	expect(t, verify(t, w.bundle(50), Options{Trust: w.trust()}), CheckContents, OK, "1 record is not in it")
}

// The filter can be judged only by what travels.
func TestRowsThatCannotBeSeen(t *testing.T) {
	w := newTown(t)
	w.doc.Fields = []name.Field{"/reference", "/applicant/name"}
	w.terms, _ = w.doc.Compile(w.std)
	w.live(6)
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckRows, NotDone, "reads fields that are withheld here")
}

// Every standard that the auditor brings is believed before the file's.
func TestStandardsOfTheAuditor(t *testing.T) {
	w := newTown(t)
	w.live(6)
	r := verify(t, w.bundle(50), Options{Trust: w.trust(), Standards: []*standard.Standard{w.std}})
	expect(t, r, CheckStandards, OK)
	if c, _ := r.Check(CheckStandards); strings.Contains(c.Detail, "from this file") {
		t.Error(c.Detail)
	}
	w.standards = nil
	r = verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	for _, check := range []string{CheckStandards, CheckValid, CheckFields, CheckRows, CheckAgreements} {
		expect(t, r, check, NotDone)
	}
}

// How many chunks are looked at at once makes no difference.
func TestParallelIsTheSame(t *testing.T) {
	w := newTown(t)
	w.live(60)
	f := unpack(t, w.bundle(3))
	f[proofPath(2)] = nil
	b := repack(t, f)
	one := verify(t, b, Options{Trust: w.trust(), Parallel: 1})
	many := verify(t, b, Options{Trust: w.trust(), Parallel: 8})
	if !bytes.Equal(one.JSON(), many.JSON()) {
		t.Errorf("one: %s\nmany: %s", one.JSON(), many.JSON())
	}
	var back Report
	if err := json.Unmarshal(one.JSON(), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Checks, one.Checks) {
		t.Errorf("JSON gives back %+v, want %+v", back.Checks, one.Checks)
	}
}

func TestDescribe(t *testing.T) {
	w := newTown(t)
	w.live(6)
	b := w.bundle(50)
	d, err := Describe(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := d.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Nothing of this has been verified", "northmoor.gov.uk", string(moving), w.doc.Digest().String(), w.std.Integrity(), w.rings[saltby].Record.ID()} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the description does not say %q:\n%s", want, &out)
		}
	}
}

func TestVerifyToken(t *testing.T) {
	w := newTown(t)
	w.live(6)
	const at = 3
	tok := w.include[at]
	p, err := tlog.NewProof(w, at, w.notes[0].note)
	if err != nil {
		t.Fatal(err)
	}
	proof := p.Marshal()
	all := Options{Trust: w.trust(), Standards: []*standard.Standard{w.std}}

	r, err := VerifyToken(append(tok, '\n'), proof, all)
	if err != nil || !r.OK() {
		t.Fatalf("%v\n%s", err, text(r))
	}
	for check, want := range map[string]Result{CheckKeys: OK, CheckRecordSignatures: OK, CheckDisclosures: OK, CheckStandards: OK, CheckValid: OK,
		CheckInclusion: OK, CheckCheckpoint: OK, CheckWitnesses: OK, CheckLogged: NotDone, CheckVersions: NotDone} {
		expect(t, r, check, want)
	}

	p.Extra = tok
	r, err = VerifyToken(p.Marshal(), nil, all)
	if err != nil || !r.OK() {
		t.Fatalf("proof file with its token: %v\n%s", err, text(r))
	}
	expect(t, r, CheckInclusion, OK)
	if _, err := VerifyToken(proof, nil, all); !errors.Is(err, ErrToken) {
		t.Errorf("proof file without a token: %v; want ErrToken", err)
	}

	r, err = VerifyToken(tok, nil, Options{})
	if err != nil || !r.OK() {
		t.Fatalf("%v\n%s", err, text(r))
	}
	expect(t, r, CheckRecordSignatures, NotDone, "was not checked")
	expect(t, r, CheckKeys, NotDone)
	expect(t, r, CheckValid, NotDone)
	expect(t, r, CheckInclusion, NotDone)
	expect(t, r, CheckDisclosures, OK)

	r, _ = VerifyToken(w.include[4], proof, all)
	expect(t, r, CheckInclusion, Failed)
	r, _ = VerifyToken(w.include[0], nil, all)
	expect(t, r, CheckEventSignatures, OK)
	if r.Kind != "event" {
		t.Errorf("kind %q", r.Kind)
	}

	jws, rest, _ := strings.Cut(string(tok), "~")
	i := strings.LastIndexByte(jws, '.')
	r, _ = VerifyToken([]byte(jws[:i+1]+flip(jws[i+1:], 9)+"~"+rest), nil, all)
	expect(t, r, CheckRecordSignatures, Failed, "not by northmoor.gov.uk")
	r, _ = VerifyToken([]byte(string(tok)+strings.SplitN(string(w.include[4]), "~", 3)[1]+"~"), nil, all)
	expect(t, r, CheckDisclosures, Failed)
	r, _ = VerifyToken(tok, nil, Options{Trust: Trust{Keys: []Key{{northmoor, UseRecord, w.rings[saltby].Record.ID()}}}})
	expect(t, r, CheckRecordSignatures, Failed)

	bare := []byte(jws[:i+1] + "~" + rest)
	r, err = VerifyToken(bare, proof, all)
	if err != nil || !r.OK() {
		t.Errorf("a token that its place proves: %v\n%s", err, text(r))
	}
	expect(t, r, CheckRecordSignatures, OK, "with the checkpoint that it stands under")
	r, _ = VerifyToken(bare, nil, all)
	expect(t, r, CheckRecordSignatures, Failed, "ask for the proof")
	logOnly, err := tlog.SignCheckpoint(w.notes[0].cp(t), w.rings[northmoor].Log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	r, _ = VerifyToken(bare, tlog.Proof{Index: p.Index, Path: p.Path, Checkpoint: logOnly}.Marshal(), all)
	expect(t, r, CheckCheckpoint, Failed, "")
	if r.OK() {
		t.Error("a token without a signature is believed under the log key alone")
	}

	other := tlog.Proof{Index: p.Index, Path: p.Path, Checkpoint: forge(t, w, w.notes[0].size)}
	r, _ = VerifyToken(tok, other.Marshal(), all)
	expect(t, r, CheckInclusion, Failed)

	for _, bad := range [][]byte{nil, []byte("x"), []byte("a.b.c"), []byte("a.b.c~")} {
		if _, err := VerifyToken(bad, nil, all); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v; want ErrToken", bad, err)
		}
	}
	if _, err := VerifyToken(tok, []byte("x"), all); !errors.Is(err, ErrToken) {
		t.Errorf("a proof that is none: %v; want ErrToken", err)
	}
}

func TestVisible(t *testing.T) {
	w := newTown(t)
	w.live(6)
	b, err := Visible(w.include[3])
	if err != nil || !strings.Contains(string(b), `"name":"A. Person"`) || strings.Contains(string(b), "01632") {
		t.Errorf("Visible = %s, %v", b, err)
	}
	if b, err := Visible(w.include[2]); err != nil || !strings.Contains(string(b), w.doc.Digest().String()) {
		t.Errorf("Visible = %s, %v", b, err)
	}
	for _, bad := range []string{"", "x~", "a.b.c"} {
		if _, err := Visible([]byte(bad)); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v; want ErrToken", bad, err)
		}
	}
}

// A deletion says nothing that could be held against a schema.
func TestDeletion(t *testing.T) {
	w := newTown(t)
	w.header.Covers = Covers{Standard: w.std.Name().Name}
	at, tok := w.record("A", "E07000001")
	w.include[at] = tok
	w.now++
	c := w.last["A"].Claims
	c.Version, c.Prev, c.Op, c.IssuedAt = 2, w.entries["A"], record.Delete, w.now
	d, err := record.Build(c, w.rings[northmoor].Record.ID(), nil, nil, record.Seed{})
	w.must(err)
	gone := w.sign(d, w.rings[northmoor])
	w.include[w.append(gone)] = gone.Bytes()
	w.checkpoint(false)
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckVersions, OK)
	if c, _ := r.Check(CheckValid); c.Count != 1 {
		t.Errorf("%+v", c)
	}
	r, err = VerifyToken(gone.Bytes(), nil, Options{Trust: w.trust(), Standards: []*standard.Standard{w.std}})
	if err != nil || !r.OK() || !strings.Contains(r.Subject, "deletion") {
		t.Errorf("%v\n%s", err, text(r))
	}
	expect(t, r, CheckValid, NotDone, "deleted")
}

// Each record is held against the version of the agreement under which it went
// out, and a version that another replaced lets nothing more out.
func TestAmended(t *testing.T) {
	start := func() *town {
		w := newTown(t)
		w.live(6)
		w.amend()
		at, tok := w.record("R-second", "E07000999") // with a telephone number
		w.send(map[uint64][]byte{at: tok})
		return w
	}
	w := start()
	w.checkpoint(false)
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckAgreementSignatures, OK, "Version 1 of", "Version 2 of")

	under1 := func(w *town, at uint64, tok []byte) {
		w.include[at] = tok
		w.event(event.KindDisclosure, event.Disclosure{Agreement: moving, Version: 1, To: saltby, Entries: []uint64{at}}.Body())
		w.checkpoint(false)
	}
	w = start()
	at, tok := w.record("R-third", "E07000999")
	under1(w, at, tok)
	r = verify(t, w.bundle(50), Options{Trust: w.trust()})
	expect(t, r, CheckInForce, Failed)
	expect(t, r, CheckFields, Failed) // the number is none of version 1's fields

	// Before anything went out under version 2, the sender may not have heard
	// that the receiver had signed it.
	w = newTown(t)
	w.live(6)
	at, tok = w.record("R-third", "E07000999")
	w.amend()
	w.now += 3600
	under1(w, at, tok)
	r = verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckInForce, OK, "that a later one had replaced")
}

// Without the agreement's text, what it would decide is not checked, and
// nothing else is made to fail by that.
func TestAgreementMissing(t *testing.T) {
	w := newTown(t)
	w.live(6)
	f := unpack(t, w.bundle(50))
	delete(f, agreementPath(moving, 1))
	setCount(f, "agreements", 0)
	r := verify(t, repack(t, f), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	for _, check := range []string{CheckAgreements, CheckAgreementSignatures, CheckInForce, CheckFields, CheckRows, CheckWithdrawals} {
		expect(t, r, check, NotDone)
	}
	expect(t, r, CheckLogged, OK)
	expect(t, r, CheckReceipts, OK, "signed for 5 of 5 records")
}

var update = flag.Bool("update", false, "make the sample of this format anew; only for a new format number")

// TestSample: the bundle that was kept when format 2 was fixed still verifies, and
// so does what stands beside it. The command's scripts read the same files.
func TestSample(t *testing.T) {
	dir := filepath.Join("testdata", "format2")
	if *update {
		makeSample(t, dir)
	}
	trust, err := ReadTrust(filepath.Join(dir, "directory"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(file string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r := verify(t, read("moving.stile"), Options{Trust: trust})
	if !r.OK() || r.Counts.Records != 5 || r.Counts.Receipts != 3 || len(r.Witnesses) != 1 {
		t.Errorf("%+v\n%s", r.Counts, text(r))
	}
	keys, err := ReadTrust(filepath.Join(dir, "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, read("moving.stile"), Options{Trust: keys}); !r.OK() {
		t.Error(text(r))
	}
	r, err = VerifyToken(read("R0.token"), read("R0.tlog-proof"), Options{Trust: trust})
	if err != nil || !r.OK() {
		t.Errorf("%v\n%s", err, text(r))
	}
}

func (c cosigned) cp(t *testing.T) tlog.Checkpoint {
	t.Helper()
	cp, err := tlog.ParseUnsigned(c.note, northmoor.Origin())
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

func makeSample(t *testing.T, dir string) {
	w := newTown(t)
	w.live(6)
	b := w.bundle(10)
	write := func(file string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []name.Council{northmoor, saltby} {
		write(filepath.Join("directory", string(c)+".yaml"), yamlOf(w, c))
	}
	write("moving.stile", b)
	lines := "# the keys that northmoor.gov.uk and saltby.gov.uk publish\n"
	for _, k := range verify(t, b, Options{}).Keys {
		lines += k.String() + "\n"
	}
	write("keys.txt", []byte(lines))
	p, err := tlog.NewProof(w, 3, w.notes[0].note)
	w.must(err)
	write("R0.token", append(bytes.Clone(w.include[3]), '\n'))
	write("R0.tlog-proof", p.Marshal())
	p.Extra = w.include[3]
	write("R0-with-token.tlog-proof", p.Marshal())
}

// A title that another body wrote begins no line of what is printed.
func TestTitlesForgeNoLines(t *testing.T) {
	forged := "Homes\nVERIFIED every signature holds"
	d := &Description{Members: []DescribedMember{{"saltby.gov.uk", forged, "council"}}, Standards: []DescribedFile{{Title: forged}}}
	r := &Report{Subject: forged, Checks: []Check{{Name: "entries", Result: Failed, Failed: 1, Detail: forged, Failures: []Failure{{Place: forged, Rule: forged}}}}}
	for what, write := range map[string]func(io.Writer) error{"show": d.WriteText, "verify": r.WriteText} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(strings.TrimSpace(line), "VERIFIED") {
				t.Errorf("%s prints a forged line:\n%s", what, b.String())
			}
		}
	}
}

// A receipt for more of the log than the file has is remarked on, and is no fault.
func TestReceiptBeyondTheFile(t *testing.T) {
	w := newTown(t)
	w.live(6)
	size := w.tree.Size() + 40
	w.heard(event.KindReceipt, event.Receipt{Agreement: moving, From: northmoor, Size: size, Root: tlog.Hash{9}, Cursor: size}.Body())
	r := verify(t, w.bundle(50), Options{Trust: w.trust()})
	if !r.OK() {
		t.Fatal(text(r))
	}
	expect(t, r, CheckReceipts, OK, "1 receipt by saltby.gov.uk: of a longer log than the newest checkpoint in the file")
}

// Who had a council sign is told as the council names them, and cannot begin a line of its own.
func TestWhoSigned(t *testing.T) {
	w := newTown(t)
	w.event(event.KindStandardAdopted, event.StandardAdopted{Standard: w.std.Name(), Integrity: w.std.Integrity()}.Body())
	w.event(event.KindAgreementProposal, agreement.Proposal{Agreement: w.doc}.Body())
	w.event(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref(), By: "Jo Smith and Sam Lee"}.Body())
	w.heard(event.KindAgreementSignature, agreement.Signature{Ref: w.doc.Ref()}.Body())
	w.checkpoint(true)
	r := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()})
	expect(t, r, CheckAgreementSignatures, OK, "Who had northmoor.gov.uk sign it was, by its word, Jo Smith and Sam Lee.")
	if c, _ := r.Check(CheckAgreementSignatures); strings.Contains(c.Detail, "Who had saltby.gov.uk sign") {
		t.Errorf("saltby names nobody: %s", c.Detail)
	}
}
