package record

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// TestUnsigned: a token says the same without its signature and with it, in every
// presentation, stands under the same entry, and is believed by nobody for itself
// while it has none.
func TestUnsigned(t *testing.T) {
	ring, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	key := ring.Record
	bare, err := Build(testClaims(), key.ID(), referralLayout(), decodeBody(t, referral), Seed{7})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(bare.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	signed := bare.Seal(sig)
	some := func(p string, _ bool) bool { return len(p)%2 == 0 }
	narrowed, err := bare.Present(some)
	if err != nil {
		t.Fatal(err)
	}
	want, err := signed.Present(some)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*Token{{bare, signed}, {narrowed, want}} {
		without, with := pair[0], pair[1]
		if without.Signed() || without.Signature() != nil || !errors.Is(without.Verify(key.Public()), keys.ErrSignature) {
			t.Error("a token without a signature verifies")
		}
		if !with.Signed() || with.Verify(key.Public()) != nil {
			t.Error("a token with its signature does not verify")
		}
		if len(with.Bytes())-len(without.Bytes()) != 86 || with.Entry() != without.Entry() {
			t.Error("more than the signature is between the two")
		}
		if !bytes.Equal(without.Seal(sig).Bytes(), with.Bytes()) || !bytes.Equal(with.Seal(sig).Bytes(), with.Bytes()) {
			t.Error("sealed, it is another token")
		}
		if a, b := view(t, without), view(t, with); !reflect.DeepEqual(a, b) {
			t.Errorf("they say different things:\n%+v\n%+v", a, b)
		}
		again, err := Parse(without.Bytes())
		if err != nil || again.Signed() || !bytes.Equal(again.Seal(sig).Bytes(), with.Bytes()) {
			t.Errorf("read back and sealed, it is another token: %v", err)
		}
	}
	ev, err := BuildEvent(Event{Council: name.Council("northmoor.gov.uk"), Kind: "receipt"}, key.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ParseEvent(ev.Bytes()); err == nil {
		t.Error("an event without a signature is read")
	}
}

// TestPartAndEntry: what is built in part is what is presented of the whole, and the
// entry alone is the entry of it.
func TestPartAndEntry(t *testing.T) {
	kid := testRing(t).Record.ID()
	for what, x := range map[string]struct {
		l    *standard.Layout
		body map[string]any
	}{"referral": {referralLayout(), decodeBody(t, referral)}, "planning": {planningLayout(), decodeBody(t, planning)}} {
		whole, err := Build(testClaims(), kid, x.l, x.body, Seed{7})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := EntryOf(testClaims(), kid, x.l, x.body, Seed{7}); err != nil || e != whole.Entry() {
			t.Errorf("%s: entry %v, %v", what, e, err)
		}
		for n := range 8 {
			asked := map[string]bool{}
			keep := func(p string, shell bool) bool {
				asked[p] = shell
				return (len(p)+n)%3 != 0
			}
			want, err := whole.Present(keep)
			if err != nil {
				t.Fatal(err)
			}
			of := asked
			asked = map[string]bool{}
			got, err := BuildPart(testClaims(), kid, x.l, x.body, Seed{7}, keep)
			if err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) || got.Entry() != want.Entry() || !reflect.DeepEqual(asked, of) {
				t.Errorf("%s: built in part it is another: %v", what, err)
			}
			if a, b := view(t, got), view(t, want); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: it says something else", what)
			}
		}
	}
	if _, err := EntryOf(Claims{}, kid, nil, nil, Seed{}); !errors.Is(err, ErrClaims) {
		t.Errorf("claims that contradict themselves: %v", err)
	}
	many := map[string]any{"a": string(make([]byte, MaxToken))}
	_, want := Build(testClaims(), kid, planningLayout(), many, Seed{})
	if _, err := EntryOf(testClaims(), kid, planningLayout(), many, Seed{}); err == nil || want == nil || err.Error() != want.Error() {
		t.Errorf("too large: %v, want %v", err, want)
	}
}

// BenchmarkEntry is the work of who logs a record.
func BenchmarkEntry(b *testing.B) {
	kid, body, l := testRing(b).Record.ID(), decodeBody(b, planning), planningLayout()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EntryOf(testClaims(), kid, l, body, Seed{1}); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}
