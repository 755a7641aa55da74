package wirepb_test

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/stile-exchange/stile/internal/wire/wirepb"
)

func passedOn() (*wirepb.OnwardQuestion, *wirepb.OnwardAnswer) {
	return &wirepb.OnwardQuestion{
		Version: 1, Agreement: "northmoor.gov.uk/moves", Under: "saltby.gov.uk/on", Steps: 1, Fields: []string{"/reference"}, Versions: make([]byte, 2*wirepb.OnwardVersionSize),
	}, &wirepb.OnwardAnswer{Event: []byte("a.b.c"), Looked: 2}
}

// What asks whether something passed on may be kept, and what answers, has one shape.
func TestOnwardBounds(t *testing.T) {
	long := strings.Repeat("x", wirepb.MaxText+1)
	for name, edit := range map[string]func(*wirepb.OnwardQuestion){
		"no version":       func(q *wirepb.OnwardQuestion) { q.Version = 0 },
		"a long agreement": func(q *wirepb.OnwardQuestion) { q.Agreement = long },
		"a long second":    func(q *wirepb.OnwardQuestion) { q.Under = long },
		"no steps":         func(q *wirepb.OnwardQuestion) { q.Steps = 0 },
		"a long field":     func(q *wirepb.OnwardQuestion) { q.Fields = []string{long} },
		"many fields":      func(q *wirepb.OnwardQuestion) { q.Fields = make([]string, wirepb.MaxOnwardFields+1) },
		"nothing asked":    func(q *wirepb.OnwardQuestion) { q.Versions = nil },
		"half a version":   func(q *wirepb.OnwardQuestion) { q.Versions = q.Versions[1:] },
		"a version too many": func(q *wirepb.OnwardQuestion) {
			q.Versions = make([]byte, (wirepb.MaxOnwardVersions+1)*wirepb.OnwardVersionSize)
		},
	} {
		q, _ := passedOn()
		edit(q)
		if _, err := wirepb.ReadOnwardQuestion(bufio.NewReader(bytes.NewReader(framed(t, q)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	for name, a := range map[string]*wirepb.OnwardAnswer{
		"nothing":                {},
		"a refusal and more":     {Code: "no", Looked: 1},
		"a refusal and a word":   {Code: "no", Event: []byte("a.b.c")},
		"more than can be asked": {Looked: wirepb.MaxOnwardVersions + 1},
		"a long reason":          {Code: "no", Reason: long},
	} {
		if _, err := wirepb.ReadOnwardAnswer(bufio.NewReader(bytes.NewReader(framed(t, a)))); !errors.Is(err, wirepb.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	q, _ := passedOn()
	q.Versions = make([]byte, wirepb.MaxOnwardVersions*wirepb.OnwardVersionSize)
	if _, err := wirepb.ReadOnwardQuestion(bufio.NewReader(bytes.NewReader(framed(t, q)))); err != nil {
		t.Errorf("the most that is asked: %v", err)
	}
}

func FuzzOnward(f *testing.F) {
	q, a := passedOn()
	f.Add(framed(f, q), framed(f, a))
	f.Add(framed(f, q), framed(f, &wirepb.OnwardAnswer{Code: "not-agreed", Reason: "no"}))
	f.Fuzz(func(t *testing.T, question, answer []byte) {
		if q, err := wirepb.ReadOnwardQuestion(bufio.NewReader(bytes.NewReader(question))); err == nil {
			var out bytes.Buffer
			if err := wirepb.WriteOnwardQuestion(bufio.NewWriter(&out), q); err != nil {
				t.Fatalf("accepted and not writable: %v", err)
			}
			if again, err := wirepb.ReadOnwardQuestion(bufio.NewReader(&out)); err != nil || !proto.Equal(q, again) {
				t.Fatalf("changed when written again: %v", err)
			}
		}
		if a, err := wirepb.ReadOnwardAnswer(bufio.NewReader(bytes.NewReader(answer))); err == nil {
			var out bytes.Buffer
			if err := wirepb.WriteOnwardAnswer(bufio.NewWriter(&out), a); err != nil {
				t.Fatalf("accepted and not writable: %v", err)
			}
			if again, err := wirepb.ReadOnwardAnswer(bufio.NewReader(&out)); err != nil || !proto.Equal(a, again) {
				t.Fatalf("changed when written again: %v", err)
			}
		}
	})
}
