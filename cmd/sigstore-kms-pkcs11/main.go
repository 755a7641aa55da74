// Command sigstore-kms-pkcs11 lets a council's record key live in a hardware security
// module, or in anything else that has a PKCS #11 library (PKCS #11 v2.40).
//
// Stile finds it on PATH through sigstore's plugin mechanism when the key is named
// by "pkcs11://": see docs/operating.md. Each call opens the token, logs in, does one
// thing and ends. Cosign and other programs that use sigstore's plugins can use it
// as well.
//
// It is a module of its own since it needs cgo and a C compiler, and stile does not.
//
// An officer makes and looks at a key with:
//
//	sigstore-kms-pkcs11 create 'pkcs11://token=stile;object=record?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/stile/pin'
//	sigstore-kms-pkcs11 public 'pkcs11://...'
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// algorithm is the one kind of key a council's records are signed with: ES256.
const algorithm = "ecdsa-p256-sha256"

const usage = `Usage:
  sigstore-kms-pkcs11 create REFERENCE   make a key in the token, which never leaves it
  sigstore-kms-pkcs11 public REFERENCE   print the public half, PEM

A REFERENCE is pkcs11://token=LABEL;object=LABEL?module-path=/PATH&pin-source=file:/PATH
`

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run answers a person or, when the first argument is the version of sigstore's
// plugin protocol, a program.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) == 3 && (args[1] == "create" || args[1] == "public") {
		if err := person(args[1], args[2], out); err != nil {
			fmt.Fprintf(errs, "sigstore-kms-pkcs11: %v\n", err)
			return 1
		}
		return 0
	}
	if len(args) != 3 || args[1] != common.ProtocolVersion {
		fmt.Fprint(errs, usage)
		return 2
	}
	if err := program(args, in, out); err != nil {
		// The protocol carries errors in the answer; sigstore ignores the exit status.
		if err := handler.WriteErrorResponse(out, err); err != nil {
			return 1
		}
	}
	return 0
}

func person(verb, ref string, out io.Writer) error {
	t, err := open(ref)
	if err != nil {
		return err
	}
	defer t.close()
	var pub crypto.PublicKey
	if verb == "create" {
		pub, err = t.CreateKey(context.Background(), algorithm)
	} else {
		pub, err = t.PublicKey()
	}
	if err != nil {
		return err
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(pub)
	if err != nil {
		return err
	}
	_, err = out.Write(pem)
	return err
}

func program(args []string, in io.Reader, out io.Writer) error {
	a, err := handler.GetPluginArgs(args)
	if err != nil {
		return err
	}
	if a.InitOptions == nil || a.MethodArgs == nil {
		return errors.New("the question names no key or no method")
	}
	t, err := open(a.InitOptions.KeyResourceID)
	if err != nil {
		return err
	}
	defer t.close()
	_, err = handler.Dispatch(out, in, a, t)
	return err
}

// A token is one logged-in session with one key in mind. Its methods are those of
// sigstore's kms.SignerVerifier.
type token struct {
	ref *reference
	ctx *crypto11.Context
}

func open(ref string) (*token, error) {
	r, err := parse(ref)
	if err != nil {
		return nil, err
	}
	ctx, err := crypto11.Configure(&crypto11.Config{
		Path: r.Module, TokenLabel: r.Token, TokenSerial: r.Serial, SlotNumber: r.Slot, Pin: r.PIN,
		MaxSessions: 2,
	})
	var rv pkcs11.Error
	switch {
	case errors.As(err, &rv) && (rv == pkcs11.CKR_PIN_INCORRECT || rv == pkcs11.CKR_PIN_LEN_RANGE || rv == pkcs11.CKR_PIN_INVALID):
		return nil, errors.New("the token refuses the PIN; tokens lock after a few wrong ones")
	case errors.As(err, &rv) && rv == pkcs11.CKR_PIN_LOCKED:
		return nil, errors.New("the token's PIN is locked; its security officer can set a new one")
	case err != nil:
		return nil, fmt.Errorf("open the token: %w", err)
	}
	return &token{ref: r, ctx: ctx}, nil
}

func (t *token) close() { t.ctx.Close() }

// key finds the one key pair that the reference names.
func (t *token) key() (crypto.Signer, error) {
	var label []byte
	if t.ref.Object != "" {
		label = []byte(t.ref.Object)
	}
	all, err := t.ctx.FindKeyPairs(t.ref.ID, label)
	if err != nil {
		return nil, fmt.Errorf("find the key: %w", err)
	}
	switch len(all) {
	case 0:
		return nil, errors.New("the token has no such key pair")
	case 1:
	default:
		return nil, errors.New("the token has more than one such key pair; name it by id=")
	}
	pub, ok := all[0].Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, errors.New("the key is not on the curve P-256")
	}
	return all[0], nil
}

// PublicKey returns the public half.
func (t *token) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	k, err := t.key()
	if err != nil {
		return nil, err
	}
	return k.Public(), nil
}

// SignMessage returns the ECDSA signature of message in DER, or of the digest that
// an option carries.
func (t *token) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	k, err := t.key()
	if err != nil {
		return nil, err
	}
	var digest []byte
	for _, o := range opts {
		o.ApplyDigest(&digest)
	}
	if digest == nil {
		h := crypto.SHA256.New()
		if _, err := io.Copy(h, message); err != nil {
			return nil, fmt.Errorf("read what is to be signed: %w", err)
		}
		digest = h.Sum(nil)
	}
	if len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("the digest is not of SHA-256")
	}
	sig, err := k.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign in the token: %w", err)
	}
	return sig, nil
}

// VerifySignature checks a signature in DER; no token is needed for that but to know
// the public half.
func (t *token) VerifySignature(sig, message io.Reader, opts ...signature.VerifyOption) error {
	k, err := t.key()
	if err != nil {
		return err
	}
	v, err := signature.LoadECDSAVerifier(k.Public().(*ecdsa.PublicKey), crypto.SHA256)
	if err != nil {
		return err
	}
	return v.VerifySignature(sig, message, opts...)
}

// CreateKey makes the key pair that the reference names. The private half is
// sensitive and cannot be extracted. A key that is already there is not replaced.
func (t *token) CreateKey(_ context.Context, alg string) (crypto.PublicKey, error) {
	if alg != algorithm {
		return nil, fmt.Errorf("this program makes keys of the kind %s only", algorithm)
	}
	if t.ref.Object == "" {
		return nil, errors.New("a new key needs a label: object=LABEL")
	}
	if there, err := t.ctx.FindKeyPairs(t.ref.ID, []byte(t.ref.Object)); err != nil {
		return nil, fmt.Errorf("find the key: %w", err)
	} else if len(there) > 0 {
		return nil, errors.New("the token has such a key already; it is not replaced")
	}
	id := t.ref.ID
	if id == nil {
		id = make([]byte, 8)
		rand.Read(id)
	}
	k, err := t.ctx.GenerateECDSAKeyPairWithLabel(id, []byte(t.ref.Object), elliptic.P256())
	if err != nil {
		return nil, fmt.Errorf("make the key: %w", err)
	}
	return k.Public(), nil
}

// CryptoSigner is not part of the plugin protocol.
func (t *token) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not part of the plugin protocol")
}

// SupportedAlgorithms returns the kinds of key that CreateKey makes.
func (t *token) SupportedAlgorithms() []string { return []string{algorithm} }

// DefaultAlgorithm returns the kind of key that CreateKey makes.
func (t *token) DefaultAlgorithm() string { return algorithm }
