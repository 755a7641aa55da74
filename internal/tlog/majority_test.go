package tlog

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// TestMajority: a checkpoint without a key of its own counts when more than half
// of the members cosigned it, each once.
func TestMajority(t *testing.T) {
	const origin = "fens.example/stile"
	c := Checkpoint{Origin: origin, Size: 7, Root: Hash{1, 2, 3}}
	var verifiers []note.Verifier
	var lines [][]byte
	for i := range 5 {
		s, v := witnessKey(t, fmt.Sprintf("member-%d.example", i))
		line, _, err := Cosign(c, s)
		if err != nil {
			t.Fatal(err)
		}
		verifiers, lines = append(verifiers, v), append(lines, line)
	}
	for n := range 6 {
		signed, err := Assemble(c, lines[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		got, by, err := VerifyMajority(signed, origin, verifiers...)
		if n >= 3 {
			if err != nil || got != c || len(by) != n {
				t.Errorf("%d of 5: %+v by %v, %v", n, got, by, err)
			}
		} else if err == nil || got != (Checkpoint{}) {
			t.Errorf("%d of 5 was enough", n)
		}
	}
	twice, err := Assemble(c, lines[0], lines[1], lines[1], lines[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyMajority(twice, origin, verifiers...); err == nil {
		t.Error("two members counted as more")
	}
	if _, _, err := VerifyMajority(twice, origin, append(verifiers[:2:2], verifiers[0])...); !errors.Is(err, ErrMajority) {
		t.Errorf("a member given twice: %v", err)
	}
	whole, err := Assemble(c, lines...)
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{
		"another root":  bytes.Replace(whole, []byte(c.Root.String()), []byte(Hash{9}.String()), 1),
		"another size":  bytes.Replace(whole, []byte("\n7\n"), []byte("\n8\n"), 1),
		"cut signature": whole[:len(whole)-9],
		"nothing":       nil,
	} {
		if _, _, err := VerifyMajority(bad, origin, verifiers...); err == nil {
			t.Errorf("%s verifies", what)
		}
	}
	if _, _, err := VerifyMajority(whole, "wolds.example/stile", verifiers...); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another footprint's: %v", err)
	}
	if _, _, err := OpenCosigned(whole, origin, 0, verifiers...); err == nil {
		t.Error("nobody was enough")
	}
	if got, err := ParseUnsigned(whole, origin); err != nil || got != c {
		t.Errorf("read back %+v, %v", got, err)
	}
}

// FuzzCosigned: no note makes the readers panic.
func FuzzCosigned(f *testing.F) {
	s, v := witnessKey(f, "member.example")
	c := Checkpoint{Origin: "fens.example/stile", Size: 7, Root: Hash{1}}
	line, _, err := Cosign(c, s)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := Assemble(c, line)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, _, err := OpenCosigned(b, c.Origin, 1, v); err == nil && got != c {
			t.Errorf("%+v was never cosigned", got)
		}
		if got, err := ParseUnsigned(b, c.Origin); err == nil && !bytes.HasPrefix(b, got.Body()) {
			t.Errorf("%q has two spellings", b)
		}
	})
}
