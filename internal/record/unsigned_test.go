package record

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
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
