package webhook

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

type vector struct {
	secret, id, body, signature string
	at                          time.Time
}

func published(t testing.TB) vector {
	b, err := os.ReadFile("testdata/standard-webhooks/vector.txt")
	if err != nil {
		t.Fatal(err)
	}
	l := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if len(l) != 5 {
		t.Fatalf("the vector has %d lines, want 5", len(l))
	}
	sec, err := strconv.ParseInt(l[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return vector{l[0], l[1], l[3], l[4], time.Unix(sec, 0)}
}

func secret(t testing.TB, s string) Secret {
	t.Helper()
	out, err := ParseSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func header(id string, at time.Time, signature string) http.Header {
	h := http.Header{}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(HeaderSignature, signature)
	return h
}

// The authors' own example comes out as they print it, and is taken.
func TestPublishedVector(t *testing.T) {
	v := published(t)
	s := secret(t, v.secret)
	if got := Sign([]Secret{s}, v.id, v.at, []byte(v.body)); got != v.signature {
		t.Errorf("signature %s, want %s", got, v.signature)
	}
	id, err := Verify(s, header(v.id, v.at, v.signature), []byte(v.body), v.at.Add(time.Minute))
	if err != nil || id != v.id {
		t.Errorf("Verify = %q, %v", id, err)
	}
}

// A message that is changed in any way, late, early, or signed under another secret is
// refused; one that is signed under the secret and another is taken.
func TestVerify(t *testing.T) {
	v := published(t)
	s := secret(t, v.secret)
	other, err := NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(v.body)
	for name, c := range map[string]struct {
		h    http.Header
		body string
		now  time.Time
		ok   bool
	}{
		"as published":               {header(v.id, v.at, v.signature), v.body, v.at, true},
		"five minutes late":          {header(v.id, v.at, v.signature), v.body, v.at.Add(Tolerance), true},
		"later":                      {header(v.id, v.at, v.signature), v.body, v.at.Add(Tolerance + time.Second), false},
		"early":                      {header(v.id, v.at, v.signature), v.body, v.at.Add(-Tolerance - time.Second), false},
		"another body":               {header(v.id, v.at, v.signature), v.body + " ", v.at, false},
		"another id":                 {header(v.id+"x", v.at, v.signature), v.body, v.at, false},
		"no id":                      {header("", v.at, v.signature), v.body, v.at, false},
		"an id with a dot":           {header("a.b", v.at, Sign([]Secret{s}, "a.b", v.at, body)), v.body, v.at, false},
		"another time":               {header(v.id, v.at.Add(time.Second), v.signature), v.body, v.at, false},
		"another version":            {header(v.id, v.at, "v2"+v.signature[2:]), v.body, v.at, false},
		"no signature":               {header(v.id, v.at, ""), v.body, v.at, false},
		"under another secret":       {header(v.id, v.at, Sign([]Secret{other}, v.id, v.at, body)), v.body, v.at, false},
		"while the secret changes":   {header(v.id, v.at, Sign([]Secret{other, s}, v.id, v.at, body)), v.body, v.at, true},
		"beside an unknown version":  {header(v.id, v.at, "v9,AAAA "+v.signature), v.body, v.at, true},
		"after too many signatures":  {header(v.id, v.at, strings.Repeat("v1,AAAA ", maxSignatures)+v.signature), v.body, v.at, false},
		"a timestamp with a plus":    {http.Header{"Webhook-Id": {v.id}, "Webhook-Timestamp": {"+1614265330"}, "Webhook-Signature": {v.signature}}, v.body, v.at, false},
		"a timestamp before 1970":    {header(v.id, time.Unix(-5, 0), Sign([]Secret{s}, v.id, time.Unix(-5, 0), body)), v.body, time.Unix(0, 0), false},
		"a timestamp of far, far on": {http.Header{"Webhook-Id": {v.id}, "Webhook-Timestamp": {"9223372036854775807"}, "Webhook-Signature": {v.signature}}, v.body, v.at, false},
	} {
		_, err := Verify(s, c.h, []byte(c.body), c.now)
		if ok := err == nil; ok != c.ok || !ok && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Verify(Secret{}, header(v.id, v.at, ""), body, v.at); err == nil {
		t.Error("no secret verifies")
	}
}

// A secret reads back as it was made, and does not print.
func TestSecret(t *testing.T) {
	s, err := NewSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got := secret(t, s.Reveal()); got != s {
		t.Error("a secret does not read back")
	}
	if out := fmt.Sprintf("%v %s %q %+v %#v", s, s, s, s, s); strings.Contains(out, s.Reveal()[6:]) || strings.Contains(out, s.key) {
		t.Errorf("a secret prints as %s", out)
	}
	for _, bad := range []string{"", "whsec_", "whsec_AAAA", "whsec_!!!", s.Reveal()[6:], s.Reveal() + "\n", "whsec_" + strings.Repeat("A", 92)} {
		if _, err := ParseSecret(bad); !errors.Is(err, ErrSecret) {
			t.Errorf("ParseSecret of a bad secret of %d bytes = %v", len(bad), err)
		}
	}
	if _, err := NewID(bytes.NewReader(nil)); err == nil {
		t.Error("an id out of no randomness")
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add(published(f).secret)
	f.Add("whsec_" + strings.Repeat("A", 43) + "=")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseSecret(s); err == nil && got.Reveal() != s {
			t.Errorf("%q reads as %q", s, got.Reveal())
		}
	})
}

// Whatever the headers hold, Verify comes to an end and takes nothing that was not
// signed under the secret.
func FuzzVerify(f *testing.F) {
	v := published(f)
	f.Add(v.id, strconv.FormatInt(v.at.Unix(), 10), v.signature, []byte(v.body))
	f.Add("", "-1", "v1, v1,====", []byte(nil))
	s := secret(f, v.secret)
	f.Fuzz(func(t *testing.T, id, at, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {signature}}
		got, err := Verify(s, h, body, v.at)
		if err != nil {
			return
		}
		sec, _ := strconv.ParseInt(at, 10, 64)
		if got != id || !strings.Contains(signature, Sign([]Secret{s}, id, time.Unix(sec, 0), body)) {
			t.Errorf("took what is not signed: %q %q %q", id, at, signature)
		}
	})
}
