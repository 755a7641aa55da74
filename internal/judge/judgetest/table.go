package judgetest

import (
	"bytes"
	"crypto/elliptic"
	"encoding/base64"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// A Verdict is what became of something that was sent.
type Verdict string

// The verdicts. Denied is for good, of the item or of all that came with it.
const (
	Kept   Verdict = "kept"
	Denied Verdict = "denied"
	Waits  Verdict = "waits"
)

// A Give is given entries one after another, and says what became of each.
type Give func(*Sent) Verdict

// A Path is one way on which something comes from another council.
type Path struct {
	Shared bool // out of a footprint's log
	NoLog  bool // what comes stands in no log yet
	Mode   agreement.Mode
	// New returns a receiver that knows nothing yet.
	New func(t *testing.T, w *World) Give
	// Skip are the cases that cannot be on this path, by name, each with the reason.
	Skip map[string]string
	// Other are the cases that this path says something else about, by name.
	Other map[string]Verdict
	// Suspended: the agreement is suspended before the entry that is judged, so that
	// only a withdrawal may still come.
	Suspended bool
	// Around runs a case in a bubble of virtual time; the default does not.
	Around func(t *testing.T, run func(t *testing.T))
	// Events says that events of the sender travel on this path and records do
	// not: then the cases of records are not run, and the other way round.
	Events bool
}

// A delivery is one case: a story of entries that are sent, of which the last is
// judged.
type delivery struct {
	name   string
	events bool // of a path for events; the others are of records
	want   Verdict
	shared Verdict // the same in a footprint's log, where it differs
	tell   func(w *World, give Give) *Sent
	mend   func(w *World) // then it is sent again, and kept
	// council: only in a log that a council signs, as a footprint's is not.
	council bool
	// paged: only of a footprint's records, which carry the proof of a page.
	paged bool
}

// under returns a case of a record, or an event, of which nothing is wrong, in a log
// whose checkpoint is signed otherwise.
func under(events bool, sign func(w *World, l *Log) []byte) func(*World, Give) *Sent {
	return func(w *World, _ Give) *Sent {
		w.Log.sign = func(l *Log) []byte { return sign(w, l) }
		if events {
			return w.say(w.Log, Sender, w.Second)
		}
		return w.put(w.Log, "A/1", func(d *draft) { d.signer = w.Second })
	}
}

func byRecordKey(of func(*World) *keys.Ring) func(*World, *Log) []byte {
	return func(w *World, l *Log) []byte { return l.signed(of(w).Record.CheckpointSigner(l.of)) }
}

// spoiledLine changes a bit of the last signature of a checkpoint.
func spoiledLine(w *World, l *Log) []byte {
	b := l.signed(w.Rings[Sender].Record.CheckpointSigner(l.of))
	at := bytes.LastIndexByte(b, ' ') + 1
	sig, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(b[at:])))
	w.must(err)
	sig[len(sig)-1] ^= 1
	return append(base64.StdEncoding.AppendEncode(b[:at:at], sig), '\n')
}

func revoke(from uint64) func(m *directory.Member) {
	return func(m *directory.Member) {
		m.Revocations = []directory.Revocation{{KID: m.RecordKeys[0].ID(), FromIndex: from}}
	}
}

func one(edit func(w *World, d *draft)) func(*World, Give) *Sent {
	return func(w *World, _ Give) *Sent {
		return w.put(w.Log, "A/1", func(d *draft) {
			if edit != nil {
				edit(w, d)
			}
		})
	}
}

func version(n uint64, prev tlog.Hash) func(*draft) {
	return func(d *draft) { d.claims.Version, d.claims.Prev = n, prev }
}

// Twin returns a token with the other of the two ES256 signatures that hold, its own or
// its page's.
func Twin(token []byte) []byte {
	if t, err := record.Parse(token); err == nil && t.Page() != nil {
		p := *t.Page()
		p.Seal.Signature = bytes.Clone(p.Seal.Signature)
		otherHalf(p.Seal.Signature)
		return t.Enclose(&p).Bytes()
	}
	jws, rest, _ := bytes.Cut(token, []byte("~"))
	at := bytes.LastIndexByte(jws, '.') + 1
	sig, _ := base64.RawURLEncoding.DecodeString(string(jws[at:]))
	otherHalf(sig)
	out := base64.RawURLEncoding.AppendEncode(bytes.Clone(jws[:at]), sig)
	if bytes.IndexByte(token, '~') >= 0 {
		out = append(append(out, '~'), rest...)
	}
	return out
}

func otherHalf(sig []byte) {
	new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(sig[32:])).FillBytes(sig[32:])
}

func newKey(w *World) {
	w.change(func(m *directory.Member) { m.RecordKeys = append(slices.Clip(m.RecordKeys), w.Later.Record.Public()) })
}

var deliveries = []delivery{
	{name: "an honest record", want: Kept, tell: one(nil)},
	{name: "an unknown key that comes later", want: Waits, mend: newKey, tell: one(func(w *World, d *draft) { d.signer = w.Later })},
	{name: "another council's key", want: Denied, tell: one(func(w *World, d *draft) { d.signer = w.Rings[Other] })},
	{name: "a revoked key, from an index on", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/0", nil))
		w.change(func(m *directory.Member) {
			m.Revocations = []directory.Revocation{{KID: w.Rings[Sender].Record.ID(), FromIndex: 1}}
		})
		return w.put(w.Log, "A/1", nil)
	}},
	{name: "a revoked key, before the index", want: Kept, shared: Denied, tell: func(w *World, give Give) *Sent {
		w.change(func(m *directory.Member) {
			m.Revocations = []directory.Revocation{{KID: w.Rings[Sender].Record.ID(), FromIndex: 1}}
		})
		return w.put(w.Log, "A/0", nil)
	}},
	{name: "a record without a signature of its own", want: Kept, shared: Denied, tell: one(func(_ *World, d *draft) { d.bare = true })},
	{name: "a signature of its own and no page", paged: true, want: Denied, tell: one(func(_ *World, d *draft) { d.alone = true })},
	{name: "a page of another footprint", paged: true, want: Denied, tell: one(func(_ *World, d *draft) { d.into = "wolds.example" })},
	{name: "a page of another footprint, said to be this one's", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.into, d.page = "wolds.example", func(p *record.PageProof) { p.Footprint = Fens }
	})},
	{name: "a page in another's name", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Council = Other }
	})},
	{name: "another place in its page", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Index = 0 }
	})},
	{name: "another path in its page", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Path[1][31] ^= 1 }
	})},
	{name: "a longer page", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Count = 4 }
	})},
	{name: "other sequence numbers of its page", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Agreement, p.Next = "northmoor.gov.uk/items", 7 }
	})},
	{name: "a page that is sealed with a changed signature", paged: true, want: Denied, tell: one(func(_ *World, d *draft) {
		d.page = func(p *record.PageProof) { p.Seal.Signature[3] ^= 1 }
	})},
	{name: "a page that is sealed with a revoked key", paged: true, want: Denied, tell: func(w *World, give Give) *Sent {
		w.change(revoke(0))
		return w.put(w.Log, "A/1", nil)
	}},
	{name: "no signature, and a key that comes later in the header", council: true, want: Waits, mend: newKey, tell: one(func(w *World, d *draft) { d.bare, d.signer = true, w.Later })},
	{name: "no signature, and another council's key in the header", council: true, want: Denied, tell: one(func(w *World, d *draft) { d.bare, d.signer = true, w.Rings[Other] })},
	{name: "no signature, and a revoked key in the header", council: true, want: Denied, tell: func(w *World, give Give) *Sent {
		w.change(revoke(0))
		return w.put(w.Log, "A/1", func(d *draft) { d.bare = true })
	}},
	{name: "no signature, under a checkpoint that no record key signed", council: true, want: Denied, tell: func(w *World, give Give) *Sent {
		w.Log.sign = func(l *Log) []byte { return l.signed() }
		return w.put(w.Log, "A/1", func(d *draft) { d.bare = true })
	}},
	{name: "no signature, and in the log another record", council: true, want: Denied, tell: func(w *World, give Give) *Sent {
		other := w.put(w.NewLog(Sender), "A/1", func(d *draft) { d.bare, d.body["name"] = true, "another" })
		s := w.put(w.Log, "A/1", func(d *draft) { d.bare = true })
		s.Token = other.Token
		return s
	}},
	{name: "a checkpoint that no record key signed", council: true, want: Denied, tell: under(false, func(w *World, l *Log) []byte { return l.signed() })},
	{name: "a checkpoint with another council's record key", council: true, want: Denied, tell: under(false, byRecordKey(func(w *World) *keys.Ring { return w.Rings[Other] }))},
	{name: "a checkpoint with a record key that comes later", council: true, want: Waits, mend: newKey, tell: under(false, byRecordKey(func(w *World) *keys.Ring { return w.Later }))},
	{name: "a checkpoint whose record key signed something else", council: true, want: Denied, tell: under(false, spoiledLine)},
	{name: "a checkpoint with a revoked record key", council: true, want: Denied, tell: func(w *World, give Give) *Sent {
		w.change(revoke(0))
		return under(false, byRecordKey(func(w *World) *keys.Ring { return w.Rings[Sender] }))(w, give)
	}},
	{name: "a checkpoint with a record key that is revoked from the next entry on", council: true, want: Kept, tell: func(w *World, give Give) *Sent {
		w.change(revoke(1))
		return under(false, byRecordKey(func(w *World) *keys.Ring { return w.Rings[Sender] }))(w, give)
	}},
	{name: "a checkpoint with two record keys, of which one is revoked", council: true, want: Kept, tell: func(w *World, give Give) *Sent {
		w.change(revoke(0))
		return under(false, func(w *World, l *Log) []byte {
			return l.signed(w.Rings[Sender].Record.CheckpointSigner(l.of), w.Second.Record.CheckpointSigner(l.of))
		})(w, give)
	}},
	{name: "another council's record", want: Denied, shared: Kept, tell: one(func(w *World, d *draft) {
		d.claims.Council, d.signer = Other, w.Rings[Other]
	})},
	{name: "another council's name on the sender's signature", want: Denied, tell: one(func(w *World, d *draft) { d.claims.Council = Other })},
	{name: "a record of a council that is not in the directory", want: Denied, tell: one(func(w *World, d *draft) {
		d.claims.Council, d.signer = Stranger, w.Rings[Stranger]
	})},
	{name: "an excess field", want: Denied, tell: one(func(_ *World, d *draft) { d.keep = func(string) bool { return true } })},
	{name: "a row outside the filter", want: Denied, tell: one(func(_ *World, d *draft) { d.body["ward"] = "Y" })},
	{name: "a row whose filtered field is withheld", want: Denied, tell: one(func(_ *World, d *draft) { d.keep = func(string) bool { return false } })},
	{name: "a value that the standard forbids", want: Denied, tell: one(func(_ *World, d *draft) { d.body["reference"] = []any{"A/1"} })},
	{name: "an old version", want: Denied, tell: func(w *World, give Give) *Sent {
		first := w.put(w.Log, "A/1", nil)
		prev := w.Log.hashes[first.Index]
		give(w.put(w.Log, "A/1", version(2, prev)))
		return w.Log.Add(first.Token, prev)
	}},
	{name: "another version of the same number", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		return w.put(w.Log, "A/1", func(d *draft) { d.body["name"] = "CANARY 2" })
	}},
	{name: "replay", want: Denied, tell: func(w *World, give Give) *Sent {
		s := w.put(w.Log, "A/1", nil)
		give(s)
		return s
	}},
	{name: "an earlier version after its withdrawal", want: Denied, tell: func(w *World, give Give) *Sent {
		first := w.put(w.Log, "A/1", nil)
		prev := w.Log.hashes[first.Index]
		give(w.put(w.Log, "A/1", version(2, prev)))
		give(w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1"))
		return w.Log.Add(first.Token, prev)
	}},
	{name: "the same version, let out again after its withdrawal", want: Kept, tell: func(w *World, give Give) *Sent {
		first := w.put(w.Log, "A/1", nil)
		give(first)
		give(w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1"))
		return w.Log.Add(first.Token, w.Log.hashes[first.Index])
	}},
	{name: "fork", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/0", nil))
		g := w.Log.Fork(0)
		w.put(g, "B/0", nil)
		return w.put(g, "B/1", nil)
	}},
	{name: "rollback", want: Denied, shared: Waits, tell: func(w *World, give Give) *Sent {
		w.put(w.Log, "A/0", nil)
		w.put(w.Log, "A/1", nil)
		give(w.put(w.Log, "A/2", nil))
		g := w.Log.Fork(1)
		return w.put(g, "B/1", nil)
	}},
	{name: "an honest withdrawal", want: Kept, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		return w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1")
	}},
	{name: "a withdrawal with an unknown key that comes later", want: Waits, mend: newKey, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		return w.withdraw(w.Log, w.Later, w.Doc.Name, "A/1")
	}},
	{name: "a withdrawal with a revoked key", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		w.change(func(m *directory.Member) {
			m.Revocations = []directory.Revocation{{KID: w.Rings[Sender].Record.ID(), FromIndex: 1}}
		})
		return w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1")
	}},
	{name: "a withdrawal with a malleated signature", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		s := w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1")
		s.Token = Twin(s.Token)
		return s
	}},
	{name: "replay of a withdrawal", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		s := w.withdraw(w.Log, w.Rings[Sender], w.Doc.Name, "A/1")
		give(s)
		return s
	}},
	{name: "fork with a withdrawal", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		g := w.Log.Fork(0)
		w.put(g, "B/0", nil)
		return w.withdraw(g, w.Rings[Sender], w.Doc.Name, "A/1")
	}},
	{name: "an event that is no withdrawal", want: Denied, tell: said(Sender, Sender)},
	{name: "a withdrawal under another agreement", want: Denied, shared: Kept, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		return w.withdraw(w.Log, w.Rings[Sender], "northmoor.gov.uk/other", "A/1")
	}},
	{name: "a withdrawal by another council", want: Denied, tell: func(w *World, give Give) *Sent {
		give(w.put(w.Log, "A/1", nil))
		return w.withdraw(w.Log, w.Rings[Other], w.Doc.Name, "A/1")
	}},
	{name: "an extra disclosure", want: Denied, tell: one(func(_ *World, d *draft) {
		d.spoil = func(b []byte) []byte {
			return append(b, base64.RawURLEncoding.EncodeToString([]byte(`["AAAAAAAAAAAAAAAAAAAAAA","phone","1"]`))+"~"...)
		}
	})},
	{name: "a disclosure of another record", want: Denied, tell: func(w *World, give Give) *Sent {
		other := w.put(w.Log, "A/0", func(d *draft) { d.body["ward"] = "Y" })
		return w.put(w.Log, "A/1", func(d *draft) {
			d.spoil = func(b []byte) []byte {
				jws, _, _ := bytes.Cut(b, []byte("~"))
				_, theirs, _ := bytes.Cut(other.Token, []byte("~"))
				return append(append(jws, '~'), theirs...)
			}
		})
	}},
	{name: "a signature of something else", want: Denied, tell: func(w *World, _ Give) *Sent {
		other := w.put(w.Log, "A/0", nil)
		return w.put(w.Log, "A/1", func(d *draft) {
			d.spoil = func(b []byte) []byte {
				jws, rest, _ := bytes.Cut(b, []byte("~"))
				theirs, _, _ := bytes.Cut(other.Token, []byte("~"))
				out := append(jws[:bytes.LastIndexByte(jws, '.'):bytes.LastIndexByte(jws, '.')], theirs[bytes.LastIndexByte(theirs, '.'):]...)
				return append(append(out, '~'), rest...)
			}
		})
	}},
	{name: "a malleated signature", want: Denied, tell: one(func(_ *World, d *draft) { d.spoil = Twin })},
	{name: "issued in the year 9999", want: Denied, tell: one(func(_ *World, d *draft) { d.claims.IssuedAt = 253_000_000_000 })},
	{name: "issued in a week, or our clock is slow", want: Waits, mend: func(w *World) { w.now = w.now.Add(7 * 24 * time.Hour) },
		tell: one(func(w *World, d *draft) { d.claims.IssuedAt = w.now.Unix() + 7*24*3600 })},
	{name: "issued in an hour", want: Kept, tell: one(func(w *World, d *draft) { d.claims.IssuedAt = w.now.Unix() + 3600 })},

	// Events.
	{name: "an honest event", events: true, want: Kept, tell: said(Sender, Sender)},
	{name: "an event with an unknown key that comes later", events: true, want: Waits, mend: newKey, tell: func(w *World, _ Give) *Sent {
		return w.say(w.Log, Sender, w.Later)
	}},
	{name: "an event under a checkpoint that no record key signed", events: true, want: Denied, tell: under(true, func(w *World, l *Log) []byte { return l.signed() })},
	{name: "an event under a checkpoint with another council's record key", events: true, want: Denied, tell: under(true, byRecordKey(func(w *World) *keys.Ring { return w.Rings[Other] }))},
	{name: "an event under a checkpoint whose record key signed something else", events: true, want: Denied, tell: under(true, spoiledLine)},
	{name: "an event with another council's key", events: true, want: Denied, tell: said(Sender, Other)},
	{name: "another council's event", events: true, want: Denied, tell: said(Other, Other)},
	{name: "another council's name on the sender's event", events: true, want: Denied, tell: said(Other, Sender)},
	{name: "an event with a revoked key", events: true, want: Denied, tell: func(w *World, give Give) *Sent {
		w.change(func(m *directory.Member) {
			m.Revocations = []directory.Revocation{{KID: w.Rings[Sender].Record.ID(), FromIndex: 0}}
		})
		return said(Sender, Sender)(w, give)
	}},
	{name: "an event with a malleated signature", events: true, want: Denied, tell: func(w *World, give Give) *Sent {
		s := said(Sender, Sender)(w, give)
		s.Token = Twin(s.Token)
		return s
	}},
	{name: "replay of an event", events: true, want: Denied, tell: func(w *World, give Give) *Sent {
		s := said(Sender, Sender)(w, give)
		give(s)
		return s
	}},
	{name: "fork of a log of events", events: true, want: Denied, tell: func(w *World, give Give) *Sent {
		give(said(Sender, Sender)(w, give))
		g := w.Log.Fork(0)
		w.Event(g, Sender, w.Rings[Sender], "agreement-suspend", map[string]any{})
		return w.say(g, Sender, w.Rings[Sender])
	}},
	{name: "rollback of a log of events", events: true, want: Denied, tell: func(w *World, give Give) *Sent {
		said(Sender, Sender)(w, give)
		give(said(Sender, Sender)(w, give))
		return w.say(w.Log.Fork(0), Sender, w.Rings[Sender])
	}},
	{name: "a record among events", events: true, want: Denied, tell: one(nil)},
}

func said(by, signer name.Council) func(*World, Give) *Sent {
	return func(w *World, _ Give) *Sent {
		return w.say(w.Log, by, w.Rings[signer])
	}
}

// Run tries every delivery on a path.
func Run(t *testing.T, p Path) {
	ran, skipped, others := 0, 0, 0
	around := p.Around
	if around == nil {
		around = func(t *testing.T, run func(*testing.T)) { run(t) }
	}
	for _, d := range deliveries {
		if d.events != p.Events || d.council && (p.Shared || p.NoLog) || d.paged && !p.Shared {
			continue
		}
		if p.Skip[d.name] != "" {
			skipped++
			continue
		}
		ran++
		if _, ok := p.Other[d.name]; ok {
			others++
		}
		t.Run(d.name, func(t *testing.T) { around(t, func(t *testing.T) { p.run(t, d) }) })
	}
	if ran == 0 || skipped != len(p.Skip) || others != len(p.Other) {
		t.Errorf("ran %d, skipped %d of %d named and %d of %d have another verdict", ran, skipped, len(p.Skip), others, len(p.Other))
	}
}

// run tries one delivery.
func (p Path) run(t *testing.T, d delivery) {
	w := New(t, p.Shared, p.Mode)
	give := p.New(t, w)
	want := d.want
	if p.Shared && d.shared != "" {
		want = d.shared
	}
	s := d.tell(w, func(s *Sent) Verdict {
		got := give(s)
		if got != Kept {
			t.Errorf("what came before, entry %d: %s", s.Index, got)
		}
		return got
	})
	s.Last = true
	if p.Suspended && bytes.IndexByte(s.Token, '~') >= 0 {
		want = Denied
	}
	if other, ok := p.Other[d.name]; ok {
		want = other
	}
	if got := give(s); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if d.mend == nil || want != Waits {
		return
	}
	d.mend(w)
	want = Kept
	if p.Suspended && bytes.IndexByte(s.Token, '~') >= 0 {
		want = Denied
	}
	if got := give(s); got != want {
		t.Fatalf("once mended: %s, want %s", got, want)
	}
}
