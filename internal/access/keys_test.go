package access_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/api"
)

// A key is good until it ends or is revoked, also after the store was opened again, and
// the file never holds it.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.json")
	now := time.Date(2026, 11, 28, 12, 0, 30, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func() *access.Store {
		s, err := access.OpenStore(path, rand.Reader, clock)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	k, err := s.Add(api.KeyRequest{Title: "Housing system", Allow: []string{"read:own:standards.example/housing-need", "status"}, Days: 10})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Add(api.KeyRequest{Title: "Small parish", Agreement: "northmoor.gov.uk/bins", Receiver: "small.example"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	for _, secret := range []string{k.Secret, other.Secret} {
		if strings.Contains(string(b), secret[len(secret)-40:]) {
			t.Error("the file holds a secret")
		}
	}
	s = open()
	got, err := s.Authenticate(k.Secret)
	if err != nil || got.ID != k.ID || got.Secret != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := access.PrincipalOf(got)
	if err != nil || p.Kind != access.System || len(p.Scopes) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if got, err = s.Authenticate(other.Secret); err != nil {
		t.Fatal(err)
	}
	if p, err = access.PrincipalOf(got); err != nil || p.Kind != access.Receiver || p.Council != "small.example" || p.Agreement != "northmoor.gov.uk/bins" || len(p.Scopes) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if l := open().List(); len(l) != 2 || l[1].LastUsed.IsZero() || l[1].Secret != "" {
		t.Errorf("%+v", l)
	}
	for _, bad := range []string{"", "stile_", k.Secret[:len(k.Secret)-1], k.Secret + "a", strings.ToUpper(k.Secret), strings.Replace(k.Secret, k.ID, other.ID, 1), "Bearer " + k.Secret, strings.Repeat("x", 1<<16)} {
		if _, err := s.Authenticate(bad); err == nil {
			t.Errorf("%.80q is good", bad)
		}
	}
	if _, err := s.Revoke(other.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(other.Secret); err == nil {
		t.Error("a revoked key is good")
	}
	now = now.Add(10*24*time.Hour - time.Minute)
	if _, err := s.Authenticate(k.Secret); err != nil {
		t.Errorf("before its end: %v", err)
	}
	now = now.Add(time.Minute)
	if _, err := open().Authenticate(k.Secret); err == nil {
		t.Error("a key is good after its end")
	}
	if l := s.List(); l[0].State != api.KeyRevoked || l[1].State != api.KeyExpired {
		t.Errorf("%+v", l)
	}
	for _, bad := range []api.KeyRequest{
		{}, {Title: "x"}, {Title: "x", Allow: []string{"nothing"}}, {Title: "a\nb", Allow: []string{"status"}}, {Title: "x", Allow: []string{"status"}, Days: 731},
		{Title: "x", Allow: []string{"status"}, Days: -1}, {Title: "x", Allow: []string{"status", "status"}}, {Title: "x", Allow: []string{"status"}, Agreement: "northmoor.gov.uk/bins"},
	} {
		if k, err := s.Add(bad); err == nil {
			t.Errorf("%+v made %+v", bad, k)
		}
	}
	os.WriteFile(path, []byte(`{"version":2}`), 0o600)
	if _, err := access.OpenStore(path, rand.Reader, clock); err == nil {
		t.Error("a file of another version was read")
	}
}
