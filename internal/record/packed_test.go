package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
)

// packable returns tokens of every make: whole and in part, with and without a
// signature, first and later versions, a delete, names and texts that are not plain.
func packable(t testing.TB) (all []*Token) {
	t.Helper()
	add := func(c Claims, l *standard.Layout, body map[string]any) {
		tok, err := Build(c, fuzzKey, l, body, Seed{7})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tok, tok.Seal(bytes.Repeat([]byte{9}, keys.SignatureSize)))
		if c.Op == Delete {
			return
		}
		for n := range 6 {
			part, err := tok.Present(func(p string, shell bool) bool { return shell && n < 3 || (len(p)+n)%3 == 0 })
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, part)
		}
	}
	first := testClaims()
	add(first, referralLayout(), decodeBody(t, referral))
	add(first, planningLayout(), decodeBody(t, planning))
	next := first
	next.Version, next.Prev, next.Council, next.IssuedAt = 300, tlog.Hash{1}, "saltby.gov.uk", 0
	add(next, referralLayout(), decodeBody(t, `{}`))
	long := strings.Repeat("n", 3*maxNameLen)
	add(next, &standard.Layout{}, decodeBody(t, `{"é\n\"\\":"\u0001\"", "`+long+`":{"_":[1,"`+digest(long)+`","`+digest("b")+`"]}, "":[], "d":"`+digest("d")+`", "\ud83d\ude00":null}`))
	add(next, &standard.Layout{Open: true}, decodeBody(t, `{"d":["`+digest("d")+`"]}`))
	next.Op = Delete
	add(next, nil, nil)
	for _, line := range pageTokens(t) {
		tok, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tok)
	}
	return all
}

// packAll packs tokens with one table.
func packAll(t testing.TB, tokens []*Token) (table []byte, packed [][]byte) {
	t.Helper()
	var p Packer
	for i, tok := range tokens {
		b, err := p.Pack(nil, tok)
		if err != nil {
			t.Fatalf("token %d: %v", i, err)
		}
		packed = append(packed, b)
	}
	return p.Table(), packed
}

// TestPackedIsTheSame: a token that is packed and read is the token, to the byte, and
// says the same.
func TestPackedIsTheSame(t *testing.T) {
	tokens := packable(t)
	table, packed := packAll(t, tokens)
	tb, err := ReadTable(table)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range tokens {
		got, err := tb.Token(packed[i])
		if err != nil {
			t.Fatalf("token %d: %v\n%s", i, err, want.Bytes())
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("token %d\n got %s\nwant %s", i, got.Bytes(), want.Bytes())
		}
		if !reflect.DeepEqual(view(t, got), view(t, want)) {
			t.Errorf("token %d says something else", i)
		}
		alone, err := PackAlone(want)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseAlone(alone); err != nil || !bytes.Equal(again.Bytes(), want.Bytes()) {
			t.Errorf("token %d packed alone is another: %v", i, err)
		}
		for n := range alone {
			if _, err := ParseAlone(alone[:n]); err == nil {
				t.Fatalf("token %d packed alone is read when cut to %d bytes", i, n)
			}
		}
	}
}

// TestClaimsOf: what a token says beside the record is told without the rest of it, as
// View tells it; what is no token says nothing.
func TestClaimsOf(t *testing.T) {
	for i, tok := range packable(t) {
		v, err := tok.View()
		if err != nil {
			t.Fatal(err)
		}
		got, entry, err := ClaimsOf(tok.Bytes())
		if err != nil || got != v.Claims || entry != tok.Entry() {
			t.Errorf("token %d: %+v, %v, want %+v", i, got, err, v.Claims)
		}
	}
	for _, bad := range []string{"", "~", "a.b~", "a.!!.c~", "a.e30.~", "e30.e30"} {
		if c, _, err := ClaimsOf([]byte(bad)); err == nil {
			t.Errorf("%q says %+v", bad, c)
		}
	}
}

// TestPackedVector is the example of the package comment.
func TestPackedVector(t *testing.T) {
	c := testClaims()
	l := &standard.Layout{Members: map[string]*standard.Layout{"district": {Open: true}}}
	whole, err := Build(c, fuzzKey, l, decodeBody(t, `{"district":"X","name":"Ada","reference":7}`), Seed{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	part, err := whole.Present(func(p string, _ bool) bool { return p == "/reference" })
	if err != nil {
		t.Fatal(err)
	}
	table, packed := packAll(t, []*Token{part})
	const wantTable = "0101" + // the form, one origin
		"0000000000000000000000000000000000000000000000000000000000000000" + // key
		"106e6f7274686d6f6f722e676f762e756b" + // northmoor.gov.uk
		"03707574" + // put
		"2c7374616e64617264732e6578616d706c652f706c616e6e696e672d6170706c69636174696f6e40312e322e30" + // standards.example/planning-application@1.2.0
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" + // integrity
		"01097265666572656e6365" // one name: reference
	const wantPacked = "0080b5b3c906" + // origin 0, iat
		"000102030405060708090a0b0c0d0e0f01" + // rec, ver 1
		"0001" + // no signature, one disclosure
		"02e75f5d7003bec970c5d7891b896bead30237" + // name 0, salt, 7
		"117b225f7364223a5b02" + // {"_sd":[ and two digests
		"00450810ae26be082311cec284cdf35490f9043b41ba5493c68f0e5feca7efc73e" + // withheld
		"01" + // of the disclosure
		"225d2c226469737472696374223a2258227d" // ],"district":"X"}
	if got := hex.EncodeToString(table); got != wantTable {
		t.Errorf("table\n got %s\nwant %s", got, wantTable)
	}
	if got := hex.EncodeToString(packed[0]); got != wantPacked {
		t.Errorf("token %s\n got %s\nwant %s", part.Bytes(), got, wantPacked)
	}
}

// TestPackedIsShort: what a partner gets of a record of 830 bytes, 12 of its 18
// fields, travels in no more bytes than it has, where its token has three times as many.
func TestPackedIsShort(t *testing.T) {
	whole, err := Build(testClaims(), fuzzKey, planningLayout(), decodeBody(t, planning), Seed{1})
	if err != nil {
		t.Fatal(err)
	}
	part, err := whole.Present(twelve)
	if err != nil {
		t.Fatal(err)
	}
	_, packed := packAll(t, []*Token{part})
	if len(packed[0]) > 840 {
		t.Errorf("packed it has %d bytes", len(packed[0]))
	}
}

// TestPackedNothingPassesUnseen: whichever bit of a packed token or of its table is
// changed, the token is refused, or is another in the log, or its disclosures are
// refused, or it carries another signature.
func TestPackedNothingPassesUnseen(t *testing.T) {
	tokens := packable(t)
	for _, want := range []*Token{tokens[0], tokens[4], tokens[9]} {
		table, packed := packAll(t, []*Token{want})
		said, err := want.View()
		if err != nil {
			t.Fatal(err)
		}
		change := func(what string, b []byte, read func([]byte) (*Token, error)) {
			for i := range 8 * len(b) {
				other := bytes.Clone(b)
				other[i/8] ^= 1 << (i % 8)
				got, err := read(other)
				if err != nil || got.Entry() != want.Entry() || !bytes.Equal(got.Signature(), want.Signature()) {
					continue
				}
				if v, err := got.View(); err == nil && !reflect.DeepEqual(v, said) {
					t.Fatalf("bit %d of %s changed, and it says something else under the same entry", i, what)
				}
			}
		}
		tb, err := ReadTable(table)
		if err != nil {
			t.Fatal(err)
		}
		change("the token", packed[0], tb.Token)
		change("the table", table, func(b []byte) (*Token, error) {
			tb, err := ReadTable(b)
			if err != nil {
				return nil, err
			}
			return tb.Token(packed[0])
		})
	}
}

// A craft writes packed tokens as a hostile sender does.
type craft struct{ b []byte }

func (c craft) num(n ...uint64) craft {
	c.b = slices.Clip(c.b) // others go on from c, too
	for _, u := range n {
		c.b = binary.AppendUvarint(c.b, u)
	}
	return c
}
func (c craft) bytes(b ...byte) craft    { return craft{append(slices.Clip(c.b), b...)} }
func (c craft) zeros(n int) craft        { return c.bytes(make([]byte, n)...) }
func (c craft) text(s string) craft      { return c.num(uint64(len(s))).bytes([]byte(s)...) }
func (c craft) literal(s string) craft   { return c.num(uint64(len(s)) << 1).bytes([]byte(s)...) }
func (c craft) before(s string) craft    { return c.num(uint64(len(s))<<1 | 1).bytes([]byte(s)...) }
func (c craft) head(origin uint64) craft { return c.num(origin, 1).zeros(16).num(1, 0) }

// craftTable is a table with one origin and so many names.
func craftTable(edit func(origin []string) []string, names ...string) []byte {
	o := []string{"northmoor.gov.uk", "put", "standards.example/planning-application@1.2.0"}
	if edit != nil {
		o = edit(o)
	}
	c := craft{}.bytes(packedForm).num(1).zeros(32)
	for _, s := range o {
		c = c.text(s)
	}
	c = c.zeros(32).num(uint64(len(names)))
	for _, n := range names {
		c = c.text(n)
	}
	return c.b
}

func TestPackedTableRefused(t *testing.T) {
	good := craftTable(nil, "a", "b")
	if _, err := ReadTable(good); err != nil {
		t.Fatal(err)
	}
	for why, c := range map[string]struct {
		table []byte
		rule  string
	}{
		"nothing":                         {nil, RuleForm},
		"another form":                    {append([]byte{2}, good[1:]...), RuleForm},
		"cut short":                       {good[:len(good)-1], RuleForm},
		"something behind it":             {append(bytes.Clone(good), 0), RuleForm},
		"a name twice":                    {craftTable(nil, "a", "a"), RuleDuplicate},
		"a long name":                     {craftTable(nil, strings.Repeat("n", maxNameLen+1)), RuleForm},
		"a name that is not UTF-8":        {craftTable(nil, "\xff"), RuleJSON},
		"more names than bytes":           {craft{}.bytes(packedForm).num(0, 9).b, RuleForm},
		"too many names":                  {craft{}.bytes(packedForm).num(0, maxNames+1).zeros(maxNames + 1).b, RuleForm},
		"more origins than bytes":         {craft{}.bytes(packedForm).num(1 << 40).b, RuleForm},
		"a number that is not shortest":   {craft{}.bytes(packedForm, 0x80, 0).num(0).b, RuleForm},
		"a number of more than 64 bits":   {craft{}.bytes(packedForm).bytes(bytes.Repeat([]byte{0xff}, 10)...).b, RuleForm},
		"a council that is none":          {craftTable(func(o []string) []string { o[0] = "NORTHMOOR"; return o }), RuleClaims},
		"a council with a quotation mark": {craftTable(func(o []string) []string { o[0] = `north","x":"`; return o }), RuleClaims},
		"an operation that is none":       {craftTable(func(o []string) []string { o[1] = "keep"; return o }), RuleClaims},
		"a standard that is none":         {craftTable(func(o []string) []string { o[2] = "x"; return o }), RuleClaims},
		"a standard respelled":            {craftTable(func(o []string) []string { o[2] = "standards.example/planning-application@01.2.0"; return o }), RuleClaims},
	} {
		_, err := ReadTable(c.table)
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Rule != c.rule {
			t.Errorf("%s: %v, want a refusal by %q", why, err, c.rule)
		}
	}
}

func TestPackedTokenRefused(t *testing.T) {
	table, err := ReadTable(craftTable(nil, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	field := func(c craft, name uint64, value string) craft { return c.num(name).zeros(16).literal(value) }
	head := craft{}.head(0)
	good := field(head.num(1), 2, `"x"`).before(`{"_sd":[`).num(1, 1).literal(`]}`)
	if tok, err := table.Token(good.b); err != nil {
		t.Fatal(err)
	} else if v, err := tok.View(); err != nil || v.Body["a"] != "x" {
		t.Fatal(v, err)
	}
	long := craft{}.head(0).num(1 << 12).bytes(bytes.Repeat(craft{}.num(1).text(strings.Repeat("n", 900)).zeros(16).literal("1").b, 1<<12)...)
	for why, c := range map[string]struct {
		packed craft
		rule   string // of Token, or of View
	}{
		"nothing":                            {craft{}, RuleForm},
		"cut short":                          {craft{good.b[:len(good.b)-1]}, RuleForm},
		"something behind it":                {good.bytes(0), RuleForm},
		"an origin that is not in the table": {craft{}.head(1).num(0).literal("{}"), RuleForm},
		"a name that is not in the table":    {field(head.num(1), 4, "1").literal("{}"), RuleForm},
		"the largest name":                   {field(head.num(1), 1<<64-1, "1").literal("{}"), RuleForm},
		"a time that cannot be written":      {craft{}.num(0, 1<<60).zeros(16).num(1, 0, 0).literal("{}"), RuleClaims},
		"a time before all time":             {craft{}.num(0, 1<<64-1).zeros(16).num(1, 0, 0).literal("{}"), RuleClaims},
		"version 0":                          {craft{}.num(0, 1).zeros(16).num(0, 0, 0).literal("{}"), RuleClaims},
		"version 2 after nothing":            {craft{}.num(0, 1).zeros(16).num(2).zeros(32).num(0, 0).literal("{}"), RuleClaims},
		"a signature of another length":      {craft{}.num(0, 1).zeros(16).num(1, 63).zeros(63).num(0).literal("{}"), RuleForm},
		"a salt that is longer":              {head.num(1).num(2).zeros(17).literal(`"x"`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleForm},
		"a salt that is shorter":             {head.num(1).num(2).zeros(15).literal(`"x"`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleForm},
		"more disclosures than bytes":        {head.num(1 << 30).literal("{}"), RuleForm},
		"a digest of no disclosure":          {field(head.num(1), 2, "1").before(`{"_sd":[`).num(1, 2).literal(`]}`), RuleForm},
		"a digest of one that comes later":   {head.num(2).num(2).zeros(16).before("[").num(1, 1).literal("]").num(3).zeros(16).literal("1").literal("{}"), RuleForm},
		"two digests of one disclosure":      {field(head.num(1), 2, "1").before(`{"_sd":[`).num(2, 1, 1).literal(`]}`), RuleDuplicate},
		"a run of no digests":                {head.num(0).before(`{"_sd":[`).num(0).literal(`]}`), RuleForm},
		"a number that is not shortest":      {head.bytes(0x80, 0).literal("{}"), RuleForm},
		"a text longer than the rest":        {head.num(0).num(1<<40).bytes('{', '}'), RuleForm},
		"too long a token":                   {long.literal("{}"), RuleSize},
		"a name that is not UTF-8":           {head.num(1).num(1).text("\xff").zeros(16).literal("1").literal("{}"), RuleJSON},

		// What can be written down, and View refuses as it does of any token.
		"a disclosure without a digest":           {field(head.num(1), 2, "1").literal("{}"), RuleUnreferenced},
		"a disclosure twice":                      {field(field(head.num(2), 2, "1"), 2, "1").before(`{"_sd":[`).num(2, 1, 2).literal(`]}`), RuleDuplicate},
		"a name twice":                            {field(field(head.num(2), 2, "1"), 2, "2").before(`{"_sd":[`).num(2, 2, 1).literal(`]}`), RuleTaken},
		"a value that is not canonical":           {field(head.num(1), 2, ` "x"`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleCanonical},
		"a value that is not JSON":                {field(head.num(1), 2, `x`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleJSON},
		"two values":                              {field(head.num(1), 2, `1,2`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleDisclosure},
		"an element among members":                {field(head.num(1), 0, `1`).before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleDisclosure},
		"a member among elements":                 {field(head.num(1), 2, `1`).before(`{"a":[{"...":`).num(1, 1).literal(`}]}`), RuleDisclosure},
		"a reserved name":                         {head.num(1).num(1).text("_sd").zeros(16).literal("1").before(`{"_sd":[`).num(1, 1).literal(`]}`), RuleReserved},
		"a body that is not canonical":            {head.num(0).literal("{ }"), RuleCanonical},
		"a body that is not JSON":                 {head.num(0).literal("{"), RuleJSON},
		"a body that is no object":                {head.num(0).literal("[]"), RuleClaims},
		"no body":                                 {head.num(0).literal(""), RuleJSON},
		"claims behind the body":                  {head.num(0).literal(`{},"exp":1`), RuleClaims},
		"digests out of order":                    {head.num(0).before(`{"_sd":[`).num(2, 0).bytes(bytes.Repeat([]byte{9}, 32)...).num(0).zeros(32).literal(`]}`), RuleCanonical},
		"a digest in the place of an empty array": {head.num(0).before(`{"_sd":`).num(1, 0).zeros(32).literal(`}`), RuleForm},
	} {
		tok, err := table.Token(c.packed.b)
		if err == nil {
			_, err = tok.View()
			if parsed, perr := Parse(tok.Bytes()); perr != nil {
				t.Errorf("%s: read to a token that does not parse: %v", why, perr)
			} else if _, again := parsed.View(); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("%s: packed it is refused because %v, and its bytes because %v", why, err, again)
			}
		}
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Rule != c.rule {
			t.Errorf("%s: %v, want a refusal by %q", why, err, c.rule)
		}
	}
}

// TestPackedIsNotBlownUp: a packed token becomes at most some times as long when it
// is read, whatever it says.
func TestPackedIsNotBlownUp(t *testing.T) {
	name := strings.Repeat("n", maxNameLen)
	table, err := ReadTable(craftTable(nil, name))
	if err != nil {
		t.Fatal(err)
	}
	const n = 1 << 10
	c := craft{}.head(0).num(n)
	for range n {
		c = c.num(2).zeros(16).literal("1")
	}
	c = c.before(`{"_sd":[`).num(n)
	for i := range n {
		c = c.num(uint64(i) + 1)
	}
	tok, err := table.Token(c.literal(`]}`).b)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(tok.Bytes()) / len(c.b); got > 12 {
		t.Errorf("%d bytes became %d", len(c.b), len(tok.Bytes()))
	}
}

// FuzzPacked: whatever the bytes, nothing panics, and what is read of them is a token
// that its bytes give as well, that says the same, and that is packed to itself.
func FuzzPacked(f *testing.F) {
	table, packed := packAll(f, packable(f))
	for _, b := range packed {
		f.Add(table, b)
	}
	f.Add(craftTable(nil, "a"), craft{}.head(0).num(1).num(2).zeros(16).literal("1").before(`{"_sd":[`).num(1, 1).literal(`]}`).b)
	f.Fuzz(func(t *testing.T, table, b []byte) {
		if tok, err := ParseAlone(b); err == nil {
			if again, err := Parse(tok.Bytes()); err != nil || again.Entry() != tok.Entry() {
				t.Fatalf("packed alone it is read to another token: %v", err)
			}
		}
		tb, err := ReadTable(table)
		if err != nil {
			return
		}
		tok, err := tb.Token(b)
		if err != nil {
			return
		}
		again, err := Parse(tok.Bytes())
		if err != nil || again.Entry() != tok.Entry() || again.KeyID() != tok.KeyID() || !bytes.Equal(again.Signature(), tok.Signature()) {
			t.Fatalf("read to %s, which is another token: %v", tok.Bytes(), err)
		}
		v, err := tok.View()
		w, other := again.View()
		if fmt.Sprint(err) != fmt.Sprint(other) || !reflect.DeepEqual(v, w) {
			t.Fatalf("%s says %+v, %v; its bytes %+v, %v", tok.Bytes(), v, err, w, other)
		}
		var p Packer
		packed, perr := p.Pack(nil, again)
		if perr != nil {
			if err == nil {
				t.Fatalf("%s can be viewed and not packed: %v", tok.Bytes(), perr)
			}
			return
		}
		if tb, err = ReadTable(p.Table()); err != nil {
			t.Fatal(err)
		}
		if same, err := tb.Token(packed); err != nil || !bytes.Equal(same.Bytes(), tok.Bytes()) {
			t.Fatalf("packed again, %s is another: %v", tok.Bytes(), err)
		}
	})
}
