package tlog

import (
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node/name"
)

const (
	vectorLog    = "northmoor.gov.uk/stile+972bc83b+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
	vectorRecord = "northmoor.gov.uk/stile/record+5a7a78cc+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGD+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2eQP+EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk="
	vectorJWK    = `{"kty":"EC","crv":"P-256","x":"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y","y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}`
	vectorName   = name.Council("northmoor.gov.uk")
)

// TestCouncilCheckpoint: the example of the package comment, which other programs
// made, verifies with our verifier and with that of transparency-dev/formats.
func TestCouncilCheckpoint(t *testing.T) {
	signed := readFile(t, "stile/checkpoint.txt")
	pub, err := keys.ParseRecordPublic([]byte(vectorJWK))
	if err != nil {
		t.Fatal(err)
	}
	if got := pub.CheckpointVerifierKey(vectorName); got != vectorRecord {
		t.Errorf("verifier key\n%s, want\n%s", got, vectorRecord)
	}
	log, err := ParseLogKey(vectorLog)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := fnote.NewECDSAVerifier(vectorRecord)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []note.Verifier{pub.CheckpointVerifier(vectorName), theirs} {
		cp, n, err := OpenCheckpoint(signed, vectorName.Origin(), log, v)
		if err != nil || !SignedBy(n, v) || !SignedBy(n, log) || cp.Size != 1 {
			t.Errorf("%T: %v", v, err)
		}
	}
}

// TestCouncilSigns: what our keys make, others verify.
func TestCouncilSigns(t *testing.T) {
	ring, err := keys.Generate(vectorName)
	if err != nil {
		t.Fatal(err)
	}
	cp := Checkpoint{Origin: vectorName.Origin(), Size: 1, Root: Leaf(Hash{1})}
	theirs, err := fnote.NewECDSAVerifier(ring.Record.Public().CheckpointVerifierKey(vectorName))
	if err != nil {
		t.Fatal(err)
	}
	log, _ := note.NewVerifier(ring.Log.Verifier())
	for range 20 {
		signed, err := SignCheckpoint(cp, ring.Log.Signer(), ring.Record.CheckpointSigner(vectorName))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []note.Verifier{ring.Record.Public().CheckpointVerifier(vectorName), theirs} {
			if _, n, err := OpenCheckpoint(signed, cp.Origin, log, v); err != nil || !SignedBy(n, v) {
				t.Fatalf("%T: %v", v, err)
			}
		}
	}
	if _, err := SignCheckpoint(cp, ring.Log.Signer(), ring.Log.Signer()); !errors.Is(err, ErrSignature) {
		t.Errorf("two keys of one name: %v", err)
	}
}

// TestOneFormOfRecordLine: of the forms that an ECDSA signature has, one verifies.
func TestOneFormOfRecordLine(t *testing.T) {
	signed := string(readFile(t, "stile/checkpoint.txt"))
	pub, _ := keys.ParseRecordPublic([]byte(vectorJWK))
	v, log := pub.CheckpointVerifier(vectorName), must(ParseLogKey(vectorLog))
	at := strings.LastIndexByte(signed, ' ') + 1
	line, err := base64.StdEncoding.DecodeString(strings.TrimSpace(signed[at:]))
	if err != nil {
		t.Fatal(err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(line[4:], &rs); err != nil {
		t.Fatal(err)
	}
	with := func(sig []byte) []byte {
		return []byte(signed[:at] + base64.StdEncoding.EncodeToString(append(line[:4:4], sig...)) + "\n")
	}
	if _, _, err := OpenCheckpoint(with(line[4:]), vectorName.Origin(), log, v); err != nil {
		t.Fatal(err)
	}
	twin := rs
	twin.S = new(big.Int).Sub(elliptic.P256().Params().N, rs.S)
	raw := append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	padded := append([]byte{0x30, line[5] + 1, 2, line[7] + 1, 0}, line[8:]...)
	flipped := append([]byte(nil), line[4:]...)
	flipped[len(flipped)-1] ^= 1
	for what, sig := range map[string][]byte{
		"the greater s": must(asn1.Marshal(twin)), "r and s without DER": raw, "a zero more than needed": padded,
		"a byte behind": append(append([]byte(nil), line[4:]...), 0), "another": flipped, "none": nil,
	} {
		if _, _, err := OpenCheckpoint(with(sig), vectorName.Origin(), log, v); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
