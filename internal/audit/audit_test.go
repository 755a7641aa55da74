package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

func TestHonestBundle(t *testing.T) {
	w := newTown(t)
	w.live(30)
	b := w.bundle(7)
	r := verify(t, b, Options{Trust: w.trust()})
	t.Log("\n" + text(r))
	if !r.OK() || r.Result != OK {
		t.Fatal("an honest bundle fails")
	}
	for _, name := range allChecks {
		c, ok := r.Check(name)
		if (name == CheckSuccession || name == CheckCases) && !ok {
			continue // no council ends here, and nothing goes by hand
		}
		want := OK
		if name == CheckComplete {
			want = NotDone // it always is
		}
		if !ok || c.Result != want {
			t.Errorf("check %s: %+v, want %s", name, c, want)
		}
		if c.Detail == "" {
			t.Errorf("check %s says nothing", name)
		}
	}
	if strings.Contains(text(r), "Person") || strings.Contains(text(r), "01632") {
		t.Error("the report holds a value of a record")
	}
	if !bytes.Equal(b, w.bundle(7)) {
		t.Error("the same bundle has other bytes when written again")
	}
}

// alter is one way in which a bundle is not what it should be.
type alter struct {
	name string
	// town changes what happened; it runs in the place of town.live.
	town func(w *town)
	// files changes the bundle after it was made.
	files func(t *testing.T, w *town, files map[string][]byte)
	// trust is what the auditor has; nil is both member files.
	trust *Trust
	check string // that must fail
	rule  string // that a failure of it must name
	only  bool   // no other check may fail
}

var alters = []alter{
	{
		name: "signature of a record flipped", check: CheckRecordSignatures, rule: ruleNoSuchSign, only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			editToken(t, f, firstRecord(f), func(tok string) string {
				jws, rest, _ := strings.Cut(tok, "~")
				dot := strings.LastIndexByte(jws, '.')
				return jws[:dot+1] + flip(jws[dot+1:], 9) + "~" + rest
			})
		},
	},
	{
		name: "claim of a record flipped", check: CheckInclusion, rule: "is not shown to be in the log",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			editPayload(t, f, firstRecord(f), func(p map[string]any) { p["iat"] = json.Number("1760000001") })
		},
	},
	{
		name: "claim of a record flipped, seen by its signature", check: CheckRecordSignatures, rule: ruleNoSuchSign,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			editPayload(t, f, firstRecord(f), func(p map[string]any) { p["iat"] = json.Number("1760000001") })
		},
	},
	{
		name: "value in a disclosure changed", check: CheckDisclosures, rule: record.RuleUnreferenced, only: false,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			editToken(t, f, firstRecord(f), func(tok string) string {
				parts := strings.Split(tok, "~")
				d, err := base64.RawURLEncoding.DecodeString(parts[1])
				if err != nil {
					t.Fatal(err)
				}
				i := bytes.LastIndexByte(d, '"')
				d[i-1]++
				parts[1] = base64.RawURLEncoding.EncodeToString(d)
				return strings.Join(parts, "~")
			})
		},
	},
	{
		name: "disclosures of two records swapped", check: CheckDisclosures, rule: record.RuleUnreferenced,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			a := firstRecord(f)
			b := a + 1
			ta, tb := string(w.include[a]), string(w.include[b])
			cut := func(s string) (string, string) { x, y, _ := strings.Cut(s, "~"); return x, y }
			ja, da := cut(ta)
			jb, db := cut(tb)
			editToken(t, f, a, func(string) string { return ja + "~" + db })
			editToken(t, f, b, func(string) string { return jb + "~" + da })
		},
	},
	{
		name: "record signed with another key", check: CheckRecordSignatures, rule: ruleOtherKey,
		town: func(w *town) {
			w.live(6)
			d := w.draft(northmoor, "R-forged", "E07000999")
			// The header names the true key's id; a forger who names their own
			// is found by the id alone.
			tok := w.sign(d, w.rings["otherby.gov.uk"])
			_ = tok
			w.rings[northmoor].Record, w.rings["otherby.gov.uk"].Record = w.rings["otherby.gov.uk"].Record, w.rings[northmoor].Record
			at, p := w.record("R-forged2", "E07000999")
			w.rings[northmoor].Record, w.rings["otherby.gov.uk"].Record = w.rings["otherby.gov.uk"].Record, w.rings[northmoor].Record
			w.send(map[uint64][]byte{at: p})
			w.checkpoint(false)
		},
	},
	{
		name: "record signed by one key in the name of another", check: CheckRecordSignatures, rule: ruleNoSuchSign, only: true,
		town: func(w *town) {
			w.live(6)
			tok := w.sign(w.draft(northmoor, "R-forged", "E07000999"), w.rings["otherby.gov.uk"])
			p, err := tok.Present(w.terms.Keep)
			w.must(err)
			at := w.append(tok)
			w.send(map[uint64][]byte{at: p.Bytes()})
			w.checkpoint(false)
		},
	},
	{
		name: "record of another council", check: CheckTokens, rule: "is a record of another council",
		town: func(w *town) {
			w.live(6)
			tok := w.sign(w.draft(saltby, "S1", "E07000999"), w.rings[saltby])
			p, err := tok.Present(w.terms.Keep)
			w.must(err)
			at := w.append(tok)
			w.send(map[uint64][]byte{at: p.Bytes()})
			w.checkpoint(false)
		},
	},
	{
		name: "proof missing", check: CheckInclusion, rule: "has no proof", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) { delete(f, proofPath(1)) },
	},
	{
		name: "proof of another chunk", check: CheckInclusion, rule: "is not shown to be in the log", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) { f[proofPath(1)] = f[proofPath(0)] },
	},
	{
		name: "proof with a hash more", check: CheckInclusion, rule: "is not shown to be in the log", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[proofPath(1)] = append(f[proofPath(1)], make([]byte, 32)...)
		},
	},
	{
		name: "proof cut within a hash", check: CheckInclusion, rule: "is not shown to be in the log", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) { f[proofPath(1)] = f[proofPath(1)][:31] },
	},
	{
		name: "checkpoint of another log", check: CheckCheckpoint, rule: "is not signed by the log",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			cp := tlog.Checkpoint{Origin: saltby.Origin(), Size: w.tree.Size(), Root: w.tree.Root()}
			f[notePath(cp.Size)], _ = tlog.SignCheckpoint(cp, w.rings[saltby].Log.Signer())
		},
	},
	{
		name: "main checkpoint that is another one", check: CheckCheckpoint, rule: "another size",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[notePath(w.notes[1].size)] = w.notes[0].note
		},
	},
	{
		name: "main checkpoint forked", check: CheckInclusion, rule: "is not shown to be in the log",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[notePath(w.tree.Size())] = forge(t, w, w.tree.Size())
		},
	},
	{
		name: "earlier checkpoint forked", check: CheckHistory, rule: "two stories",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[notePath(w.notes[0].size)] = forge(t, w, w.notes[0].size)
		},
	},
	{
		name: "consistency proof missing", check: CheckHistory, rule: "is missing", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) { delete(f, historyPath(w.notes[0].size)) },
	},
	{
		name: "checkpoint missing", check: CheckCheckpoint, rule: "is missing",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			delete(f, notePath(w.tree.Size()))
			setCount(f, "checkpoints", 1)
		},
	},
	{
		name: "cosignature forged", check: CheckWitnesses, rule: "does not verify", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			p := notePath(w.notes[0].size)
			i := bytes.LastIndex(f[p], []byte(" "))
			f[p] = []byte(string(f[p][:i+1]) + flip(string(f[p][i+1:len(f[p])-1]), 40) + "\n")
		},
	},
	{
		name: "receiver saw another history", check: CheckHistory, rule: "two stories", only: true,
		town: func(w *town) {
			w.live(6)
			w.heard(event.KindReceipt, event.Receipt{Agreement: moving, From: northmoor, Size: w.tree.Size(), Root: tlog.Hash{1}, Cursor: w.tree.Size()}.Body())
		},
	},
	{
		name: "field beyond the agreement", check: CheckFields, rule: "shows a field", only: true,
		town: func(w *town) {
			w.live(6)
			tok := w.sign(w.draft(northmoor, "R-over", "E07000999"), w.rings[northmoor])
			p, err := tok.Present(func(p string, shell bool) bool { return p == "/applicant/phone" || w.terms.Keep(p, shell) })
			w.must(err)
			w.send(map[uint64][]byte{w.append(tok): p.Bytes()})
			w.checkpoint(false)
		},
	},
	{
		name: "row beyond the agreement", check: CheckRows, rule: "is not one that", only: true,
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-over", "E07000001")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "record that breaks the standard", check: CheckValid, rule: "pattern", only: false,
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-bad", "Saltby")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "record that no disclosure names", check: CheckLogged, rule: "is in no logged disclosure", only: true,
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-quiet", "E07000999")
			w.include[at] = tok
			w.checkpoint(false)
		},
	},
	{
		name: "receipt forged", check: CheckReceipts, rule: ruleNoSuchSign,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			lines := strings.SplitAfter(string(f[eventsPath(saltby)]), "\n")
			i := strings.LastIndexByte(lines[1], '.')
			lines[1] = lines[1][:i+1] + flip(lines[1][i+1:], 20)
			f[eventsPath(saltby)] = []byte(strings.Join(lines, ""))
		},
	},
	{
		name: "receipt by somebody else in the receiver's name", check: CheckReceipts, rule: ruleOtherKey, only: true,
		town: func(w *town) {
			w.live(6)
			w.rings[saltby].Record, w.rings[northmoor].Record = w.rings[northmoor].Record, w.rings[saltby].Record
			w.receipt([]uint64{}, nil)
			w.rings[saltby].Record, w.rings[northmoor].Record = w.rings[northmoor].Record, w.rings[saltby].Record
		},
	},
	{
		name: "receipt for what did not go out", check: CheckReceipts, rule: "no logged disclosure says",
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-quiet", "E07000999")
			w.include[at] = tok
			w.receipt([]uint64{at}, nil)
			w.checkpoint(false)
		},
	},
	{
		name: "deleted at the end of its term, and never sent", check: CheckReceipts, rule: "was deleted at the end of its term by saltby.gov.uk, and no logged disclosure says",
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-quiet", "E07000999")
			w.include[at] = tok
			w.retained(northmoor, at)
			w.checkpoint(false)
		},
	},
	{
		name: "deleted before the end of its term", check: CheckReceipts, rule: "was deleted too early by saltby.gov.uk", only: true,
		town: func(w *town) { w.atTerm(1) },
	},
	{
		name: "deleted long after the end of its term", check: CheckReceipts, rule: "was deleted too late by saltby.gov.uk", only: true,
		town: func(w *town) { w.atTerm(-4) },
	},
	{
		name: "deleted at the end of a term that there is not", check: CheckReceipts, rule: "and version 1 of the agreement has none", only: true,
		town: func(w *town) {
			w.doc.Retention, w.doc.RetentionFrom = "P0D", agreement.FromEnd
			w.atTerm(0)
		},
	},
	{
		name: "deleted at the end of its term, of another council", check: CheckReceipts, rule: "is about what another council sent", only: true,
		town: func(w *town) {
			w.live(6)
			w.retained("elsewhere.gov.uk", 1)
		},
	},
	{
		name: "receipt for entries to come", check: CheckReceipts, rule: "beyond the checkpoint", only: true,
		town: func(w *town) {
			w.live(6)
			w.receipt([]uint64{w.tree.Size() + 4}, nil)
		},
	},
	{
		name: "agreement altered", check: CheckAgreementSignatures, rule: "is about another text",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			p := agreementPath(moving, 1)
			f[p] = bytes.Replace(f[p], []byte(`"/applicant/name"`), []byte(`"/applicant/phone"`), 1)
		},
	},
	{
		name: "agreement altered in its proposal's eyes", check: CheckAgreements, rule: "proposes another text",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			p := agreementPath(moving, 1)
			f[p] = bytes.Replace(f[p], []byte("To house people who move"), []byte("To house people who vote"), 1)
		},
	},
	{
		name: "agreement spelt another way", check: CheckAgreements, rule: "is not the canonical text",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			p := agreementPath(moving, 1)
			f[p] = append(f[p], '\n')
		},
	},
	{
		name: "agreement not signed by the receiver", check: CheckInForce, rule: "is not shown to have signed", only: true,
		town: func(w *town) { w.live(6); w.events = w.events[1:] },
	},
	{
		name: "sent after it ended", check: CheckInForce, rule: "after the agreement had ended", only: true,
		town: func(w *town) {
			w.live(6)
			w.event(event.KindAgreementEnd, agreement.Notice{Ref: w.doc.Ref(), Reason: "no longer needed", At: time.Unix(w.now, 0)}.Body())
			w.now += 60
			at, tok := w.record("R-late", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "sent while suspended", check: CheckInForce, rule: "been suspended", only: true,
		town: func(w *town) {
			w.live(6)
			w.event(event.KindAgreementSuspend, agreement.Notice{Ref: w.doc.Ref(), Reason: "a breach", At: time.Unix(w.now, 0)}.Body())
			at, tok := w.record("R-late", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "sent before it starts", check: CheckInForce, rule: "before the agreement was in force",
		town: func(w *town) { w.now = 1_700_000_000; w.live(6) },
	},
	{
		name: "sent to a council that is no party", check: CheckInForce, rule: "does not let receive", only: true,
		town: func(w *town) {
			w.live(6)
			at, tok := w.record("R-astray", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.event(event.KindDisclosure, event.Disclosure{Agreement: moving, Version: 1, To: "otherby.gov.uk", Entries: []uint64{at}}.Body())
			w.checkpoint(false)
		},
	},
	{
		name: "sent again after it was taken back", check: CheckWithdrawals, rule: "again after it had been taken back", only: true,
		town: func(w *town) {
			w.live(6)
			w.send(map[uint64][]byte{3: w.include[3]}) // R0, which moved elsewhere
			w.checkpoint(false)
		},
	},
	{
		name: "withdrawal of another record's entry", check: CheckWithdrawals, rule: "of another record", only: true,
		town: func(w *town) {
			w.live(6)
			w.event(event.KindWithdrawal, event.Withdrawal{Agreement: moving, Version: 1, Record: w.last["R0"].Record, Reason: "no longer matches the agreement", Entry: 4}.Body())
			w.checkpoint(false)
		},
	},
	{
		name: "member file replaced", check: CheckKeys, rule: "gives another record key for saltby.gov.uk",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			w.rings[saltby] = mustRing(t, saltby)
			f[memberPath(saltby)] = w.member(saltby).YAML()
		},
	},
	{
		name: "member file replaced, and nothing to compare with", check: CheckReceipts, rule: ruleNoKey, trust: &Trust{},
		files: func(t *testing.T, w *town, f map[string][]byte) {
			w.rings[saltby] = mustRing(t, saltby)
			f[memberPath(saltby)] = w.member(saltby).YAML()
		},
	},
	{
		name: "two members with one key", check: CheckKeys, rule: "that northmoor.gov.uk has too", trust: &Trust{},
		files: func(t *testing.T, w *town, f map[string][]byte) {
			w.rings[saltby].Record = w.rings[northmoor].Record
			f[memberPath(saltby)] = w.member(saltby).YAML()
		},
	},
	{
		name: "member file under another name", check: CheckContents, rule: "is no member file of",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[memberPath(northmoor)] = f[memberPath(saltby)]
		},
	},
	{
		name: "standard with another schema", check: CheckStandards, rule: "another schema",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			var s *standard.Standard
			s, err := standard.Load(fstest.MapFS{"standard.yaml": {Data: []byte(manifest)}, "schema.json": {Data: []byte(schema + "\n")}})
			if err != nil {
				t.Fatal(err)
			}
			f[standardPath(s.Name())] = s.Archive()
		},
	},
	{
		name: "standard that calls a withheld field open", check: CheckAgreements, rule: "open",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			s := loadStandard(t, strings.Replace(manifest, "/applicant/phone: personal", "/applicant/phone: open", 1))
			f[standardPath(s.Name())] = s.Archive()
		},
	},
	{
		name: "entries out of order", check: CheckContents, rule: "is out of order",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			lines := strings.SplitAfter(string(f[chunkPath(0)]), "\n")
			lines[3], lines[4] = lines[4], lines[3]
			f[chunkPath(0)] = []byte(strings.Join(lines, ""))
		},
	},
	{
		name: "chunks out of order", check: CheckContents, rule: "does not come after", only: true,
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[chunkPath(0)], f[chunkPath(1)] = f[chunkPath(1)], f[chunkPath(0)]
			f[proofPath(0)], f[proofPath(1)] = f[proofPath(1)], f[proofPath(0)]
		},
	},
	{
		name: "two entries in each other's place", check: CheckInclusion, rule: "is not shown to be in the log",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			a := firstRecord(f)
			ta, tb := string(w.include[a]), string(w.include[a+1])
			editToken(t, f, a, func(string) string { return tb })
			editToken(t, f, a+1, func(string) string { return ta })
		},
	},
	{
		name: "entry twice in the file", check: CheckContents, rule: "is in the file twice",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			lines := strings.SplitAfter(string(f[chunkPath(0)]), "\n")
			lines[3] += lines[3]
			f[chunkPath(0)] = []byte(strings.Join(lines, ""))
		},
	},
	{
		name: "entry twice in the log", check: CheckDuplicates, rule: "is the same as an entry before it", only: true,
		town: func(w *town) {
			w.live(6)
			tok, err := record.Parse(w.include[4])
			w.must(err)
			w.send(map[uint64][]byte{w.append(tok): tok.Bytes()})
			w.checkpoint(false)
		},
	},
	{
		name: "two texts of one version", check: CheckDuplicates, rule: "is a second text", only: true,
		town: func(w *town) {
			w.live(6)
			delete(w.last, "R3")
			at, tok := w.record("R3", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "version that names another before it", check: CheckVersions, rule: "does not name the version before it", only: true,
		town: func(w *town) {
			w.live(6)
			w.entries["R3"] = tlog.Hash{7}
			at, tok := w.record("R3", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.checkpoint(false)
		},
	},
	{
		name: "entry left out of a chunk", check: CheckInclusion, rule: "is not shown to be in the log",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			lines := strings.SplitAfter(string(f[chunkPath(0)]), "\n")
			f[chunkPath(0)] = []byte(strings.Join(append(lines[:3], lines[4:]...), ""))
		},
	},
	{
		name: "chunk left out", check: CheckContents, rule: "entries, and there are",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			delete(f, chunkPath(3))
			delete(f, proofPath(3))
		},
	},
	{
		name: "record of a time that no receiver takes", check: CheckTimes, rule: "later than a witness saw it, by more",
		town: func(w *town) {
			w.live(6)
			w.now = 8_000_000_000
			w.event("notice", map[string]any{})
			w.checkpoint(true)
		},
	},
	{
		name: "record that is dated back", check: CheckTimes, rule: "earlier than a witness saw the log without it", only: true,
		town: func(w *town) {
			w.live(6)
			w.checkpoint(true)
			w.now -= 3600
			w.event("notice", map[string]any{})
			w.checkpoint(false)
		},
	},
	{
		name: "line that is not one", check: CheckContents, rule: "line is not",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			f[chunkPath(0)] = bytes.Replace(f[chunkPath(0)], []byte(`{"entry":0,`), []byte(`{ "entry":0,`), 1)
		},
	},
	{
		name: "token that is none", check: CheckTokens, rule: "",
		files: func(t *testing.T, w *town, f map[string][]byte) {
			editToken(t, f, firstRecord(f), func(tok string) string { return tok[3:] })
		},
	},
	{
		name: "disclosure of what came after it", check: CheckLogged, rule: "came after it", only: true,
		town: func(w *town) {
			w.live(6)
			w.event(event.KindDisclosure, event.Disclosure{Agreement: moving, Version: 1, To: saltby, Entries: []uint64{1000}}.Body())
			w.checkpoint(false)
		},
	},
}

func TestEveryTampering(t *testing.T) {
	for _, a := range alters {
		t.Run(a.name, func(t *testing.T) {
			w := newTown(t)
			if a.town != nil {
				a.town(w)
			} else {
				w.live(12)
			}
			trust := w.trust()
			if a.trust != nil {
				trust = *a.trust
			}
			b := w.bundle(5)
			if a.files != nil {
				f := unpack(t, b)
				a.files(t, w, f)
				b = repack(t, f)
			}
			r := verify(t, b, Options{Trust: trust})
			c, _ := r.Check(a.check)
			if c.Result != Failed || r.OK() || r.Result != Failed {
				t.Fatalf("check %s is %q, want it failed:\n%s", a.check, c.Result, text(r))
			}
			if !slices.ContainsFunc(c.Failures, func(f Failure) bool { return strings.Contains(f.Rule, a.rule) }) {
				t.Errorf("no failure of %s says %q: %+v", a.check, a.rule, c.Failures)
			}
			for _, o := range r.Checks {
				if a.only && o.Result == Failed && o.Name != a.check {
					t.Errorf("check %s fails too: %+v", o.Name, o.Failures)
				}
			}
			for _, secret := range []string{"Person", "01632", "nobody"} {
				if strings.Contains(string(r.JSON()), secret) {
					t.Errorf("the report holds a value of a record: %q", secret)
				}
			}
		})
	}
}

func mustRing(t *testing.T, c name.Council) *keys.Ring {
	r, err := keys.Generate(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// flip changes one character of base64 into another.
func flip(s string, i int) string {
	c := byte('A')
	if s[i] == c {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

// forge signs, with the log's own key, a root that the log never had.
func forge(t *testing.T, w *town, size uint64) []byte {
	b, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: northmoor.Origin(), Size: size, Root: tlog.Hash{9}}, w.rings[northmoor].Log.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// firstRecord returns the index of the first record in the first chunk.
func firstRecord(files map[string][]byte) uint64 {
	for b := files[chunkPath(0)]; len(b) > 0; {
		e, rest, err := cutEntry(b)
		if err == nil && bytes.IndexByte(e.Token, '~') >= 0 {
			return e.Index
		}
		b = rest
	}
	panic("internal error: no record")
}

// editToken changes the token of one entry wherever it stands.
func editToken(t *testing.T, files map[string][]byte, index uint64, edit func(string) string) {
	t.Helper()
	for path, b := range files {
		if !strings.HasPrefix(path, "entries/") {
			continue
		}
		var out []byte
		for len(b) > 0 {
			e, rest, err := cutEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			tok := string(e.Token)
			if e.Index == index {
				tok = edit(tok)
			}
			out = fmt.Appendf(out, "{\"entry\":%d,\"token\":%q}\n", e.Index, tok)
			b = rest
		}
		files[path] = out
	}
}

// editPayload changes a claim of a token, which keeps its signature.
func editPayload(t *testing.T, files map[string][]byte, index uint64, edit func(map[string]any)) {
	editToken(t, files, index, func(tok string) string {
		p := strings.SplitN(tok, ".", 3)
		b, err := base64.RawURLEncoding.DecodeString(p[1])
		if err != nil {
			t.Fatal(err)
		}
		v, err := strictjson.Decode(b, strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		edit(v.(map[string]any))
		return p[0] + "." + base64.RawURLEncoding.EncodeToString(strictjson.Canonical(v)) + "." + p[2]
	})
}
