package ledger_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
)

// A slowSigner is a record key behind a service that takes its time.
type slowSigner struct {
	signature.Signer
	each time.Duration
	n    atomic.Int64
}

func (s *slowSigner) SignMessage(m io.Reader, o ...signature.SignOption) ([]byte, error) {
	s.n.Add(1)
	time.Sleep(s.each)
	return s.Signer.SignMessage(m, o...)
}

func slowRing(t testing.TB, each time.Duration) (*keys.Ring, *slowSigner) {
	t.Helper()
	r := ring(t)
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sv, err := signature.LoadECDSASignerVerifier(priv, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowSigner{Signer: sv, each: each}
	if r.Record, err = keys.NewRecordKey(s); err != nil {
		t.Fatal(err)
	}
	return r, s
}

// TestSlowSigner: a record key that takes 20 ms for a signature signs once for each
// commit and not for each record, so that batches of records wait for it no more than
// that.
func TestSlowSigner(t *testing.T) {
	// What Badger makes once in a process and shares has channels in it: made in a
	// bubble, it would be fit for no other.
	dir, warm := t.TempDir(), ring(t)
	for range 2 { // to write a table, and to read it
		l := open(t, dir, warm)
		adopt(t, l, parish(t, "1.0.0"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		const each = 20 * time.Millisecond
		r, s := slowRing(t, each)
		std := parish(t, "1.0.0")
		l, err := ledger.Open(ledger.Options{Council: council, Keys: r, InMemory: true})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		adopt(t, l, std)
		const n = 5000
		offers := make([]*ledger.Offer, n)
		for i := range offers {
			if offers[i], err = l.Offer(std, item(fmt.Sprint(i), "X", "n")); err != nil {
				t.Fatal(err)
			}
		}
		before, start := s.n.Load(), time.Now()
		if err := l.Write(t.Context(), offers...); err != nil {
			t.Fatal(err)
		}
		// 1000 entries are one batch; a batch that the 3 MB end, or the writer's own turn,
		// may make it a few more.
		signed, took := s.n.Load()-before, time.Since(start)
		if signed < n/1000 || signed > n/1000+3 {
			t.Errorf("%d signatures for %d records", signed, n)
		}
		if want := time.Duration(signed) * each; took > want {
			t.Errorf("%d records took %v of waiting, at %v a signature", n, took, each)
		}
	})
}

// TestSignaturesOfACommit: whatever is written, the record key signs once for each
// transaction, the checkpoint, and once more for the disclosure to a partner that reads
// along.
func TestSignaturesOfACommit(t *testing.T) {
	r, s := slowRing(t, 0)
	l, std := open(t, "", r), parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, "true", "/ward"))
	for i, each := range []uint64{1, 2} {
		for _, n := range []int{1, 7, 1000, 2500} {
			var many []map[string]any
			for j := range n {
				many = append(many, item(fmt.Sprint(i, "-", n, "-", j), "X", "n"))
			}
			signed, committed := s.n.Load(), l.Transactions()
			writeItems(t, l, std, many...)
			signed, committed = s.n.Load()-signed, l.Transactions()-committed
			if uint64(signed) != each*committed || committed > uint64(n/1000+3) || n == 1 && committed != 1 {
				t.Errorf("%d records: %d signatures for %d transactions, want %d for each", n, signed, committed, each)
			}
		}
		l.Follow(f, saltby)
	}
}

// TestSignTokens: a token gets a signature of its own when somebody asks, once, also
// under a record key that was used before, and never one that does not hold.
func TestSignTokens(t *testing.T) {
	r, s := slowRing(t, 0)
	dir := t.TempDir()
	l := open(t, dir, r)
	std := parish(t, "1.0.0")
	adopt(t, l, std)
	f := openFeed(t, l, sharing(t, "items", 1, "true", "/ward", "/name"))
	for i := range 20 {
		put(t, l, std, item(fmt.Sprint(i), "X", "n"))
	}
	read := func(l *ledger.Ledger) []ledger.PageItem {
		t.Helper()
		p, err := l.Page(f, 0)
		if err != nil || len(p.Items) != 20 {
			t.Fatalf("%d items, %v", len(p.Items), err)
		}
		return p.Items
	}
	bare := read(l)
	before := s.n.Load()
	items := read(l)
	if err := l.SignTokens(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if made := s.n.Load() - before; made != 20 {
		t.Errorf("%d signatures for 20 tokens", made)
	}
	again := read(l)
	if err := l.SignTokens(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if made := s.n.Load() - before; made != 20 {
		t.Errorf("%d signatures for 20 tokens that were signed before", made)
	}
	for i := range items {
		signed, err := record.Parse(items[i].Token)
		if err != nil || signed.Verify(r.Record.Public()) != nil {
			t.Fatalf("token %d: %v", i, err)
		}
		without, err := record.Parse(bare[i].Token)
		if err != nil || without.Signed() || without.Entry() != signed.Entry() {
			t.Errorf("token %d travels signed, or is another: %v", i, err)
		}
		if !bytes.Equal(again[i].Token, items[i].Token) {
			t.Errorf("token %d was signed once more", i)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := *r
	next.Record = ring(t).Record
	l = open(t, dir, &next)
	if f, err := l.Feed(f.Agreement, f.Digest); err != nil || f.Records != 20 {
		t.Fatal(err)
	}
	if err := l.SignTokens(t.Context(), read(l)); !errors.Is(err, keys.ErrNoFormer) {
		t.Errorf("signed by a key that is not here: %v", err)
	}
}

// TestFormerKeySigns: after a record key was replaced, what was logged under it is
// signed by it still, from its file.
func TestFormerKeySigns(t *testing.T) {
	dir := t.TempDir()
	r, err := keys.Create(dir, council, nil)
	if err != nil {
		t.Fatal(err)
	}
	was := r.Record.Public()
	if _, err := keys.Stage(dir, nil); err != nil {
		t.Fatal(err)
	}
	if err := keys.Activate(dir, nil, false); err != nil {
		t.Fatal(err)
	}
	if r, err = keys.Open(dir, council, nil); err != nil {
		t.Fatal(err)
	}
	k, err := r.RecordKey(was.ID())
	if err != nil || k.ID() != was.ID() || r.Record.ID() == was.ID() {
		t.Fatalf("the key before: %v", err)
	}
	sig, err := k.Sign([]byte("x"))
	if err != nil || was.Verify([]byte("x"), sig) != nil {
		t.Errorf("it does not sign: %v", err)
	}
	if k, err := r.RecordKey(r.Record.ID()); err != nil || k != r.Record {
		t.Errorf("the key in use: %v", err)
	}
	for _, kid := range []string{"", "../record", r.Record.ID()[:42] + "/", "0123456789012345678901234567890123456789012"} {
		if _, err := r.RecordKey(kid); !errors.Is(err, keys.ErrNoFormer) {
			t.Errorf("%q: %v", kid, err)
		}
	}
}
