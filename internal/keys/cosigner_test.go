package keys_test

import (
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
)

// A cosignature by another clock than the machine's is one that a verifier of others
// takes, and says that clock's time.
func TestCosignerAt(t *testing.T) {
	r, err := keys.Generate("northmoor.gov.uk")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s := r.Log.CosignerAt(func() time.Time { return at })
	signed, err := note.Sign(&note.Note{Text: "saltby.gov.uk/stile\n1\nRcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := fnote.NewVerifierForCosignatureV1(r.Log.CosignerVerifier())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || !got.Equal(at) {
		t.Errorf("the time is %v, %v", got, err)
	}
}
