package tufdir

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
)

// Roles say who may sign what, as it will be when all that waits is published.
func TestRoles(t *testing.T) {
	w := newTown(t)
	w.body("standards.example")
	var got []string
	for _, r := range w.repo.Roles() {
		got = append(got, r.Role)
		switch r.Role {
		case "root", "targets":
			if r.Need != 2 || len(r.Keys) != 3 {
				t.Errorf("%s: got %d of %d keys, want 2 of 3", r.Role, r.Need, len(r.Keys))
			}
		default:
			if r.Need != 1 || len(r.Keys) != 1 {
				t.Errorf("%s: got %d of %d keys, want 1 of 1", r.Role, r.Need, len(r.Keys))
			}
		}
	}
	if want := []string{"root", "targets", "snapshot", "timestamp", "members", "standards.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !w.repo.Published() || w.repo.Policy() != DefaultPolicy() {
		t.Errorf("published %v, policy %+v", w.repo.Published(), w.repo.Policy())
	}
}

// The file before is what its signers signed, and nobody else's.
func TestPreviousAndSignedBy(t *testing.T) {
	w := newTown(t)
	if w.repo.Brought(RoleMembers) != nil || w.repo.Previous("nobody.example") != nil {
		t.Error("something of a role that has nothing")
	}
	w.admit("northmoor.gov.uk")
	before := w.repo.Previous(RoleMembers)
	if !SignedBy(before, w.registrar.Public()) || SignedBy(before, w.holders[0].Public()) || SignedBy([]byte("{}"), w.registrar.Public()) {
		t.Error("signed by others than its signers, or not by them")
	}
	waits, err := w.repo.Export(RoleMembers)
	if err != nil || SignedBy(waits, w.registrar.Public()) {
		t.Errorf("what waits is signed already, or %v", err)
	}
	if b := w.repo.Brought(RoleMembers); len(b) != 1 || len(b["members/northmoor.gov.uk.yaml"]) == 0 {
		t.Errorf("got %d new files, want the member's", len(b))
	}
}

// Two who prepare something at a time, and publish nothing, are told apart: what
// the first prepared is not lost.
func TestSavePreparedMeanwhile(t *testing.T) {
	w := newTown(t)
	dir := filepath.Join(t.TempDir(), "authority")
	w.must(w.repo.Save(dir))
	first, err := Load(dir)
	w.must(err)
	second, err := Load(dir)
	w.must(err)
	w.must(first.Admit(newMember(t, "northmoor.gov.uk"), w.now))
	w.must(first.Save(dir))
	w.must(second.Admit(newMember(t, "saltby.gov.uk"), w.now))
	if err := second.Save(dir); !errors.Is(err, ErrChanged) {
		t.Fatalf("got %v, want ErrChanged", err)
	}
	if again, err := Load(dir); err != nil || len(again.Waiting()) != 1 || len(again.Brought(RoleMembers)) != 1 {
		t.Errorf("what was prepared first is lost, or %v", err)
	}
	// The first goes on where it was.
	w.must(first.Admit(newMember(t, "saltmoor.gov.uk"), w.now))
	w.must(first.Save(dir))
	w.repo, err = Load(dir)
	w.must(err)
	w.publish()
	w.must(w.repo.Save(dir))
}
