package people_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/node/api"
)

func refused(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Kind == api.Refused
}

// Ten wrong passphrases within a quarter of an hour shut the door for that person, and as
// soon for somebody who does not exist; then it is open again, and not to a person who was
// taken out.
func TestDoor(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	p := people.Open(dir, rand.Reader, func() time.Time { return now })
	jo, err := p.Put(people.Person{Name: "Jo Smith", Roles: []access.Role{access.Signer}})
	if err != nil {
		t.Fatal(err)
	}
	right := []byte("four odd words here")
	if err := p.SetPassphrase(jo.ID, right); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Door().Enter("Jo Smith", nil); !refused(err) {
		t.Errorf("no passphrase: %v", err)
	}
	if one, err := p.Door().Enter("Jo Smith", right); err != nil || one.ID != jo.ID { // which forgets what was in vain
		t.Fatalf("got %v, %v", one, err)
	}
	var said [2]string
	for i, who := range []string{"Jo Smith", "No Body"} {
		for range 10 { // each at a door of its own, as commands to a folder without a node
			_, err := p.Door().Enter(who, []byte("something else"))
			if !refused(err) {
				t.Fatalf("%s: %v", who, err)
			}
			said[i] = err.Error()
		}
		if _, err := p.Door().Enter(who, right); !refused(err) || err.Error() == said[i] {
			t.Errorf("%s may be tried for ever: %v", who, err)
		}
	}
	if said[0] != said[1] {
		t.Errorf("who exists is told: %q, %q", said[0], said[1])
	}
	now = now.Add(16 * time.Minute)
	if _, err := p.Door().Enter(jo.ID, right); err != nil {
		t.Error(err)
	}
	if err := p.Remove(jo.ID); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, people.Folder, "*.passphrase")); len(left) > 0 {
		t.Error("the passphrase of somebody who was taken out is kept")
	}
}

// The yes of somebody who may sign no more does not count, nor one that is damaged.
func TestApprovals(t *testing.T) {
	dir := t.TempDir()
	p := people.Open(dir, rand.Reader, time.Now)
	var ids []string
	for _, n := range []string{"Jo", "Sam", "Kim"} {
		one, err := p.Put(people.Person{Name: n, Roles: []access.Role{access.Signer}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, one.ID)
	}
	say := func(i int, of string) (string, *people.Approval) {
		t.Helper()
		by, first, err := p.Approvals().Say(people.Approval{Agreement: "northmoor.gov.uk/x", Of: of, Person: ids[i], Name: ids[i]})
		if err != nil {
			t.Fatal(err)
		}
		return by, first
	}
	say(0, "one")
	jo, err := p.Show(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	jo.Roles = []access.Role{access.Viewer}
	if _, err := p.Put(*jo); err != nil {
		t.Fatal(err)
	}
	if _, first := say(1, "one"); first == nil || first.Person != ids[1] {
		t.Error("the yes of somebody who is no signer any more counts")
	}
	if by, first := say(2, "one"); first != nil || by != ids[1]+" and "+ids[2] {
		t.Errorf("two signers: %q, %v", by, first)
	}
	if err := os.WriteFile(filepath.Join(dir, people.Folder, "approvals"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, first := say(2, "one"); first == nil {
		t.Error("a damaged yes counts")
	}
}
