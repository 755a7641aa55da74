package keys

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/node/name"
)

// A LogKey signs the checkpoints of a council's own log (c2sp.org/tlog-checkpoint)
// and cosigns those of others (c2sp.org/tlog-cosignature). It holds a key for
// each, and may be used concurrently.
type LogKey struct {
	signer        note.Signer
	cosigner      note.Signer
	also          []note.Signer // log keys used before, which sign too during an overlap
	former        []string      // verifier keys of all log keys used before
	verifierKey   string
	cosignerVKey  string
	logPublic     ed25519.PublicKey
	witnessPublic ed25519.PublicKey
	witness       ed25519.PrivateKey
}

func newLogKey(c name.Council, log, witness ed25519.PrivateKey) (*LogKey, error) {
	k := &LogKey{
		logPublic:     log.Public().(ed25519.PublicKey),
		witnessPublic: witness.Public().(ed25519.PublicKey), witness: witness,
	}
	skey, vkey, err := noteKeys(c.Origin(), log)
	if err != nil {
		return nil, fmt.Errorf("load log key: %w", err)
	}
	if k.signer, err = note.NewSigner(skey); err != nil {
		return nil, fmt.Errorf("load log key: %w", err)
	}
	k.verifierKey = vkey

	skey, vkey, err = noteKeys(string(c), witness)
	if err != nil {
		return nil, fmt.Errorf("load witness key: %w", err)
	}
	if k.cosigner, err = fnote.NewSignerForCosignatureV1(skey); err != nil {
		return nil, fmt.Errorf("load witness key: %w", err)
	}
	// The key type of a cosigner is 4, and its hash covers the type, so the
	// string an outsider pins must name it (c2sp.org/tlog-cosignature).
	if k.cosignerVKey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		return nil, fmt.Errorf("load witness key: %w", err)
	}
	return k, nil
}

// noteKeys returns the signer and verifier strings of an Ed25519 key in the
// forms of golang.org/x/mod/sumdb/note, algorithm 1.
func noteKeys(who string, priv ed25519.PrivateKey) (skey, vkey string, err error) {
	vkey, err = note.NewEd25519VerifierKey(who, priv.Public().(ed25519.PublicKey))
	if err != nil {
		return "", "", err
	}
	hash := strings.Split(vkey, "+")[1]
	return "PRIVATE+KEY+" + who + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...)), vkey, nil
}

// Signer returns the signer of the council's own checkpoints. Its name is the
// log's origin.
func (k *LogKey) Signer() note.Signer { return k.signer }

// Also returns the signers of log keys that were used before, and sign each checkpoint beside
// Signer until [FinishLog]; mostly none. Their name is the log's origin, too.
func (k *LogKey) Also() []note.Signer { return k.also }

// Former returns the verifier keys of every log key that was used before, those of Also first.
func (k *LogKey) Former() []string { return k.former }

// Verifier returns the verifier key of the council's own checkpoints,
// "origin+hash+key" (golang.org/x/mod/sumdb/note). note.NewVerifier reads it.
func (k *LogKey) Verifier() string { return k.verifierKey }

// Cosigner returns the signer of cosignature/v1 lines on the checkpoints of
// others. Its name is the council's domain. It stamps each signature with the
// time of signing.
func (k *LogKey) Cosigner() note.Signer { return k.cosigner }

// CosignerAt is Cosigner by another clock than that of the machine.
func (k *LogKey) CosignerAt(now func() time.Time) note.Signer { return cosignerAt{k, now} }

// A cosignerAt makes cosignature/v1 lines (c2sp.org/tlog-cosignature): eight bytes of the
// time, then the Ed25519 signature of a header with that time and of the checkpoint.
type cosignerAt struct {
	*LogKey
	now func() time.Time
}

func (c cosignerAt) Name() string    { return c.cosigner.Name() }
func (c cosignerAt) KeyHash() uint32 { return c.cosigner.KeyHash() }

func (c cosignerAt) Sign(msg []byte) ([]byte, error) {
	at := max(0, c.now().Unix())
	said := append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), msg...)
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)), ed25519.Sign(c.witness, said)...), nil
}

// CosignerVerifier returns the verifier key of the council's cosignatures,
// "council+hash+key" with key type 4. NewVerifierForCosignatureV1 of
// transparency-dev/formats/note reads it.
func (k *LogKey) CosignerVerifier() string { return k.cosignerVKey }
