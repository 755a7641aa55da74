package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
)

// prepared returns a founding and the keys that sign it: holders, then the
// registrar.
func prepared(t testing.TB) (*tufdir.Repository, []*tufdir.Key) {
	t.Helper()
	var ks []*tufdir.Key
	var ps []tufdir.Public
	for range 5 {
		k, err := tufdir.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		ks, ps = append(ks, k), append(ps, k.Public())
	}
	r, err := tufdir.Found(tufdir.Founding{Holders: ps[:3], Online: ps[4], Members: ps[3:4]}, time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return r, ks
}

func pack(t testing.TB, r *request) []byte {
	t.Helper()
	b, err := r.pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A request comes back as it was sent, and the same one is the same bytes.
func TestRequestRoundTrip(t *testing.T) {
	r, _ := prepared(t)
	file, err := r.Export("root")
	if err != nil {
		t.Fatal(err)
	}
	q := &request{file: file, before: []byte("{}"), targets: map[string][]byte{"members/b.example.yaml": []byte("b"), "members/a.example.yaml": []byte("a")}}
	b := pack(t, q)
	back, err := openRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.file, q.file) || !bytes.Equal(back.before, q.before) || len(back.targets) != 2 || !bytes.Equal(pack(t, back), b) {
		t.Errorf("got %+v", back)
	}
	if bare, err := openRequest(file); err != nil || !bytes.Equal(bare.file, file) {
		t.Errorf("a bare file: %v", err)
	}
}

// The version before is compared with only when the signer has signed it: whoever
// sends a request could hide there what is new.
func TestReviewTrustsOnlyWhatTheSignerSigned(t *testing.T) {
	r, ks := prepared(t)
	for _, k := range ks {
		if _, err := r.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Publish(ks[4], time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	roles := r.Roles()
	if err := r.Rekey(roles[0].Keys, 3, ks[4].Public(), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	file, err := r.Export("root")
	if err != nil {
		t.Fatal(err)
	}
	q := &request{file: file, before: r.Previous("root")}
	stranger, err := tufdir.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key    *tufdir.Key
		before []byte
		want   string
	}{
		{ks[0], nil, "  it was 2 of 3"},
		{stranger, nil, "compared with nothing: the version before that came along does not bear this key's signature; give your own copy with --previous"},
		{nil, nil, "compared with nothing: the version before that came along does not bear this key's signature; give your own copy with --previous"},
		{stranger, q.before, "  it was 2 of 3"},
	} {
		lines, err := q.review(c.key, c.before)
		if err != nil || !slices.Contains(lines, c.want) {
			t.Errorf("got %q, %v; want a line %q", lines, err, c.want)
		}
	}
}

// What came along and is not what would be signed for is said so.
func TestReviewNamesWhatIsNotSignedFor(t *testing.T) {
	r, _ := prepared(t)
	file, err := r.Export("members")
	if err != nil {
		t.Fatal(err)
	}
	q := &request{file: file, targets: map[string][]byte{"members/saltby.gov.uk.yaml": []byte("council: saltby.gov.uk\n")}}
	lines, err := q.review(nil, nil)
	if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, "is not what would be signed for") }) {
		t.Errorf("got %q, %v", lines, err)
	}
}

// FuzzOpenRequest: whatever is opened is printed back with the same parts, and
// nothing panics, neither the reading nor the review.
func FuzzOpenRequest(f *testing.F) {
	r, _ := prepared(f)
	file, err := r.Export("members")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(pack(f, &request{file: file}))
	f.Add(pack(f, &request{file: file, before: file, targets: map[string][]byte{"members/saltby.gov.uk.yaml": []byte("council: saltby.gov.uk\n")}}))
	var deflated bytes.Buffer
	w := zip.NewWriter(&deflated)
	if c, err := w.Create(requestFile); err != nil || errors.Join(write(c, file), w.Close()) != nil {
		f.Fatal("make a compressed archive")
	}
	f.Add(deflated.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := openRequest(b)
		if err != nil {
			return
		}
		_, _ = q.review(nil, nil)
		if b[0] == '{' {
			return
		}
		again, err := openRequest(pack(t, q))
		if err != nil || !bytes.Equal(again.file, q.file) || len(again.targets) != len(q.targets) {
			t.Errorf("printed and read again it is another: %v", err)
		}
	})
}

func write(w interface{ Write([]byte) (int, error) }, b []byte) error {
	_, err := w.Write(b)
	return err
}

// Doctor says from 14 days before its end that a directory expires, and afterwards
// that it has, and that local work goes on.
func TestDoctorDirectory(t *testing.T) {
	for _, c := range []struct{ state, want string }{
		{"fresh", ""}, {"expiring", "directory-ageing"}, {"expired", "directory-expired"}, {"empty", "directory-expired"},
	} {
		health := node.DirectoryHealth{State: c.state, Text: "the directory …"}
		d := &doctor{}
		d.status(node.StatusReply{Directory: health, Conditions: condition.Find(&condition.Facts{Directory: health}, nil)})
		switch {
		case c.want == "" && (len(d.found) > 0 || len(d.well) != 1):
			t.Errorf("%s: got %+v, %+v", c.state, d.found, d.well)
		case c.want != "" && (len(d.found) != 1 || len(d.well) > 0 || d.found[0].Name != c.want || c.want == "directory-expired" && !strings.HasSuffix(d.found[0].Text, "local work goes on")):
			t.Errorf("%s: got %+v, want %s", c.state, d.found, c.want)
		}
	}
}
