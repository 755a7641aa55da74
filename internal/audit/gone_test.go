package audit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/node/name"
)

// A council that says that what was passed on has to be gone, and who deleted it for that, are
// believed as far as the word is signed, to who deleted, and about as much.
func TestDeletedByWord(t *testing.T) {
	const under name.Agreement = "otherby.gov.uk/on"
	for _, c := range []struct {
		what string
		by   name.Council
		edit func(*event.OnwardGone)
		want Result
		says string

		spoil bool // the signature is that of another word
	}{
		{"as it should be", northmoor, nil, OK, "saltby.gov.uk deleted 1 version that otherby.gov.uk had passed on, by the signed word of northmoor.gov.uk.", false},
		{"all of it", northmoor, func(g *event.OnwardGone) { g.Over, g.Since, g.Versions = event.OverEnded, 1, nil }, OK, "everything that was passed on to saltby.gov.uk", false},
		{"its own word", saltby, nil, Failed, "deleted something by what is no word of northmoor.gov.uk", false},
		{"a word to another", northmoor, func(g *event.OnwardGone) { g.To = "otherby.gov.uk" }, Failed, "deleted something by a word of northmoor.gov.uk that is about something else", false},
		{"a word of another agreement", northmoor, func(g *event.OnwardGone) { g.Agreement = "northmoor.gov.uk/other" }, Failed, "deleted something by a word of northmoor.gov.uk that is about something else", false},
		{"another signature", northmoor, nil, Failed, "deleted something by a word that northmoor.gov.uk did not sign", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newTown(t)
			w.agree()
			at, tok := w.record("R1", "E07000999")
			w.send(map[uint64][]byte{at: tok})
			w.receipt([]uint64{at}, nil)
			said := event.OnwardGone{Agreement: moving, Version: 1, To: saltby, Under: under, Versions: []event.GoneVersion{{Record: w.last["R1"].Record, Hash: w.entries["R1"], Since: 1, Known: true}}}
			if c.edit != nil {
				c.edit(&said)
			}
			word := w.eventToken(c.by, event.KindOnwardGone, said.Body())
			if c.by == northmoor && said.Agreement == moving {
				w.include[w.append(word)] = word.Bytes()
			}
			jws := string(word.Bytes())
			if c.spoil {
				other := w.eventToken(northmoor, event.KindOnwardGone, said.Body()).Bytes()
				jws = jws[:strings.LastIndexByte(jws, '.')] + string(other[bytes.LastIndexByte(other, '.'):])
			}
			w.heard(event.KindOnwardDeleted, event.OnwardDeleted{Agreement: moving, Under: under, From: "otherby.gov.uk", Word: jws, Entries: []uint64{7}, Known: 1}.Body())
			w.checkpoint(true)
			found, _ := verify(t, w.bundle(MaxChunk), Options{Trust: w.trust()}).Check(CheckAgreements)
			if said := fmt.Sprintf("%s %+v", found.Detail, found.Failures); found.Result != c.want || !strings.Contains(said, c.says) {
				t.Errorf("%s: %s", found.Result, said)
			}
		})
	}
}
