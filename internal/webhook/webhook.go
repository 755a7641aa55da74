// Package webhook signs messages as Standard Webhooks and sends them over HTTP, to
// addresses that they may go to.
//
// # The message
//
// A message is a POST of a JSON document with three headers (standardwebhooks.com,
// version 1.0.0):
//
//	webhook-id         unique to the message, the same at every attempt
//	webhook-timestamp  of the attempt, in seconds since 1970
//	webhook-signature  "v1," and the base64 of a signature; several by spaces
//
// The signature is the HMAC-SHA256 of id, ".", timestamp, "." and the body, under the
// bytes of the secret. A secret is written "whsec_" and the base64 of 24 to 64 bytes.
// Whoever receives checks it by [Verify], or by any library for Standard Webhooks.
//
// # Where messages may go
//
// A URL may be typed by somebody who cannot reach what this machine can reach. So a
// message goes by HTTPS to addresses of the public internet alone, and elsewhere only
// where the operator named the network ([Guard]). The address is checked when the
// connection is made, so that a name that resolves to another address a moment later
// gains nothing. A redirect is not followed, no proxy is used, and nothing of what the
// other side answers is kept but its status.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Tolerance is how far the timestamp of a message may be from the clock of whoever
// receives it, either way.
const Tolerance = 5 * time.Minute

const (
	secretPrefix  = "whsec_"
	version       = "v1,"
	maxSignatures = 16  // read of one header
	maxID         = 256 // bytes
)

// Errors of this package, which others wrap.
var (
	// ErrSecret: it is not a secret. The text never holds what was given.
	ErrSecret = errors.New(`a webhook secret is "whsec_" and the base64 of 24 to 64 bytes`)
	// ErrSignature: the message is not from who knows the secret, or not of now.
	ErrSignature = errors.New("webhook is not signed as it should be")
)

// A Secret is a key that sender and receiver of messages share. The zero Secret signs
// nothing. It does not print: see [Secret.Reveal].
type Secret struct{ key string }

// ParseSecret reads a secret. The error wraps [ErrSecret].
func ParseSecret(s string) (Secret, error) {
	b64, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		return Secret{}, ErrSecret
	}
	b, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(b) < 24 || len(b) > 64 || base64.StdEncoding.EncodeToString(b) != b64 {
		return Secret{}, ErrSecret
	}
	return Secret{string(b)}, nil
}

// NewSecret makes a secret of 32 bytes that are read from random.
func NewSecret(random io.Reader) (Secret, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(random, b); err != nil {
		return Secret{}, fmt.Errorf("make a webhook secret: %w", err)
	}
	return Secret{string(b)}, nil
}

// Reveal returns the secret as [ParseSecret] reads it.
func (s Secret) Reveal() string {
	return secretPrefix + base64.StdEncoding.EncodeToString([]byte(s.key))
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.key == "" }

// String hides the secret.
func (s Secret) String() string { return "a webhook secret" }

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// NewID makes an id for a message from 16 bytes that are read from random.
func NewID(random io.Reader) (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("make an id for a webhook: %w", err)
	}
	return "msg_" + base64.RawURLEncoding.EncodeToString(b), nil
}

// Sign returns the value of the header webhook-signature: a signature under each
// secret, the newest first, so that a secret can be changed while messages are under
// way. A receiver takes the message when it knows one of them.
func Sign(secrets []Secret, id string, at time.Time, body []byte) string {
	var out strings.Builder
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(version)
		out.WriteString(base64.StdEncoding.EncodeToString(s.sum(id, at, body)))
	}
	return out.String()
}

func (s Secret) sum(id string, at time.Time, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(s.key))
	m.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	m.Write(body)
	return m.Sum(nil)
}

// Verify reports whether a message is signed under a secret and its timestamp lies
// within [Tolerance] of now; if so it returns its id, which a receiver remembers so as
// to take each message once. The error wraps [ErrSignature].
func Verify(s Secret, h http.Header, body []byte, now time.Time) (id string, err error) {
	wrong := func(what string) (string, error) { return "", fmt.Errorf("%w: %s", ErrSignature, what) }
	if s.IsZero() {
		return wrong("there is no secret to check it by")
	}
	id = h.Get(HeaderID)
	if id == "" || len(id) > maxID || strings.ContainsAny(id, ". \t\r\n") {
		return wrong(HeaderID + " is missing or is no id")
	}
	stamp := h.Get(HeaderTimestamp)
	sec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || sec < 0 || strconv.FormatInt(sec, 10) != stamp {
		return wrong(HeaderTimestamp + " is missing or is no number of seconds")
	}
	at := time.Unix(sec, 0)
	if d := now.Sub(at); d > Tolerance || d < -Tolerance {
		return wrong(HeaderTimestamp + " is further from this clock than 5 minutes")
	}
	want := s.sum(id, at, body)
	for i, sig := range strings.Fields(h.Get(HeaderSignature)) {
		if i == maxSignatures {
			break
		}
		b64, ok := strings.CutPrefix(sig, version)
		if !ok {
			continue // a version that a later sender adds
		}
		if got, err := base64.StdEncoding.DecodeString(b64); err == nil && hmac.Equal(got, want) {
			return id, nil
		}
	}
	return wrong(HeaderSignature + " has no signature under this secret")
}
