package footprint

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/tlog"
)

func within(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// FuzzCommand: whatever is taken for a command is printed back byte for byte.
func FuzzCommand(f *testing.F) {
	f.Add(command{version: 1, kind: commandMark, at: 5}.encode())
	f.Add(command{version: 1, kind: commandBatch, at: -1, groups: []group{
		{contributor: "northmoor.gov.uk", entries: []Entry{{Token: []byte("a.b.c~")}, {Token: []byte("d"), Attachment: []byte("zip")}}},
		{contributor: "saltby.gov.uk", agreement: "saltby.gov.uk/items", since: 3, cursor: 9,
			seal: record.PageSeal{Key: strings.Repeat("A", 43), Signature: make([]byte, 64)}},
	}}.encode())
	f.Add(command{version: 2, kind: commandFormat, at: 5, servers: []string{"a.example/" + strings.Repeat("a", 26)}}.encode())
	f.Add(command{version: 1, kind: commandWrites, term: 3, writes: ledger.Writes{Set: map[string][]byte{"c": []byte("head"), "e1": {}, "x": nil}}}.encode())
	f.Add(command{version: 1, kind: commandWrites, term: 3, writes: ledger.Writes{Drop: [][]byte{{'H', 0, 0, 0, 1}}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCommand(b, newestFormat)
		if err != nil {
			return
		}
		if got := c.encode(); !bytes.Equal(got, b) {
			t.Errorf("%x was read and printed as %x", b, got)
		}
		for _, g := range c.groups {
			k := newCheckedGroup(g, new(seals))
			for _, e := range k.entries {
				e.parse()
			}
			k.finish()
		}
	})
}

// FuzzTalk: requests, receipts, groups, greetings and cosignatures from another
// member never panic and have one spelling, or are JSON that is read strictly.
func FuzzTalk(f *testing.F) {
	f.Add(request{askPut, "fens.example", []byte("rest")}.encode())
	f.Add(encodeReceipt(Receipt{7, []Outcome{{Accepted, 3, ""}, {Refused, 0, "signature"}}}))
	f.Add(group{contributor: "northmoor.gov.uk", entries: []Entry{{Token: []byte("x")}}}.append(nil))
	greet, err := json.Marshal(greeting{"fens.example", "a.example/" + strings.Repeat("a", 26), "b.example/" + strings.Repeat("b", 26)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(greet)
	cos, err := json.Marshal(cosignature{4, tlog.Hash{1}, "— a b\n"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cos)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := parseRequest(b); err == nil && !bytes.Equal(q.encode(), b) {
			t.Errorf("request %x has two spellings", b)
		}
		if r, err := parseReceipt(b); err == nil && !bytes.Equal(encodeReceipt(r), b) {
			t.Errorf("receipt %x has two spellings", b)
		}
		if g, err := parseGroup(b); err == nil && !bytes.Equal(g.append(nil), b) {
			t.Errorf("group %x has two spellings", b)
		}
		if g, err := parseGreeting(b); err == nil {
			if _, _, ok := parseServer(g.From); !ok {
				t.Errorf("greeting %q from nobody", b)
			}
		}
		if c, err := parseCosignature(b); err == nil && c.Size > tlog.MaxSize {
			t.Errorf("cosignature of size %d", c.Size)
		}
	})
}
