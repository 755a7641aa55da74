package web_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
)

// signedBy reports whether an event in a bundle names somebody as who signed.
func signedBy(t *testing.T, bundle []byte, who string) bool {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.FieldsFunc(string(b), func(r rune) bool { return strings.ContainsRune(".\"~ \n", r) }) {
			if text, err := base64.RawURLEncoding.DecodeString(part); err == nil && strings.Contains(string(text), `"by":"`+who+`"`) {
				return true
			}
		}
	}
	return false
}
