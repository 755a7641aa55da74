package event

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// The events by which councils become and cease to be members of a footprint. Each
// is signed by the council that says it. All members decide about each alike, so
// that what Parse accepts changes only with the format of a footprint's commands.

// maxEntry is the most bytes of a directory entry.
const maxEntry = 64 << 10

// IncarnationLen is the length of an incarnation: 16 random bytes in lower-case
// base32.
const IncarnationLen = 26

// IsIncarnation reports whether a text has the form of an incarnation.
func IsIncarnation(s string) bool {
	return len(s) == IncarnationLen && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func (r *reader) incarnation() string {
	s, _ := r.value("incarnation").(string)
	if !IsIncarnation(s) {
		r.wrong("incarnation", "is not 26 characters of base32")
		return ""
	}
	return s
}

// count reads a number from 1 on that stands in a text.
func (r *reader) count(member string) int {
	s, _ := r.value(member).(string)
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1<<31-1 || strconv.Itoa(n) != s {
		r.wrong(member, "is not a whole number from 1 on, as a text")
		return 0
	}
	return n
}

// A FootprintFounded begins a footprint with one member, its signer. Body:
// footprint, member, incarnation.
type FootprintFounded struct {
	Footprint   name.Council
	Member      string // the signer's directory entry, YAML
	Incarnation string // of its replica
}

// Body returns the body of a [KindFootprintFounded].
func (f FootprintFounded) Body() map[string]any {
	return map[string]any{"footprint": string(f.Footprint), "member": f.Member, "incarnation": f.Incarnation}
}

// ParseFootprintFounded reads the body of a [KindFootprintFounded]. The error wraps
// [ErrBody].
func ParseFootprintFounded(body map[string]any) (FootprintFounded, error) {
	r := read(KindFootprintFounded, body)
	f := FootprintFounded{Footprint: r.council("footprint"), Member: r.textOf("member", 1, maxEntry), Incarnation: r.incarnation()}
	return f, r.done()
}

// What a FootprintChange changes.
const (
	ChangeAdmit       = "admit"       // the council may join, or join again after it lost its disk
	ChangeContributor = "contributor" // it may contribute under its agreements
	ChangeRemove      = "remove"      // it is a member no longer, nor invited
	ChangeKeys        = "keys"        // these are the keys of a member or contributor from here on
)

// A FootprintChange proposes a change of membership and agrees to it. Body:
// footprint, number (as a text), change, council, member.
type FootprintChange struct {
	Footprint name.Council
	Number    int    // of the change, counted from 1
	Change    string // one of the changes above
	Council   name.Council
	Member    string // its directory entry, YAML; "" for ChangeRemove
}

// Body returns the body of a [KindFootprintChange].
func (f FootprintChange) Body() map[string]any {
	body := map[string]any{
		"footprint": string(f.Footprint), "number": strconv.Itoa(f.Number), "change": f.Change, "council": string(f.Council),
	}
	if f.Change != ChangeRemove {
		body["member"] = f.Member
	}
	return body
}

// ParseFootprintChange reads the body of a [KindFootprintChange]. The error wraps
// [ErrBody].
func ParseFootprintChange(body map[string]any) (FootprintChange, error) {
	r := read(KindFootprintChange, body)
	f := FootprintChange{
		Footprint: r.council("footprint"), Number: r.count("number"),
		Change: r.oneOf("change", ChangeAdmit, ChangeContributor, ChangeRemove, ChangeKeys), Council: r.council("council"),
	}
	if f.Change != ChangeRemove {
		f.Member = r.textOf("member", 1, maxEntry)
	}
	return f, r.done()
}

// A FootprintAgreed agrees to the change under way. Body: footprint, entry.
type FootprintAgreed struct {
	Footprint name.Council
	Entry     tlog.Hash // of the event that proposed it
}

// Body returns the body of a [KindFootprintAgreed].
func (f FootprintAgreed) Body() map[string]any {
	return map[string]any{"footprint": string(f.Footprint), "entry": f.Entry.String()}
}

// ParseFootprintAgreed reads the body of a [KindFootprintAgreed]. The error wraps
// [ErrBody].
func ParseFootprintAgreed(body map[string]any) (FootprintAgreed, error) {
	r := read(KindFootprintAgreed, body)
	f := FootprintAgreed{Footprint: r.council("footprint"), Entry: r.hash("entry")}
	return f, r.done()
}

// A FootprintCancelled takes the signer's own proposal back. Body: footprint, entry.
type FootprintCancelled struct {
	Footprint name.Council
	Entry     tlog.Hash // of the event that proposed it
}

// Body returns the body of a [KindFootprintCancelled].
func (f FootprintCancelled) Body() map[string]any { return FootprintAgreed(f).Body() }

// ParseFootprintCancelled reads the body of a [KindFootprintCancelled]. The error
// wraps [ErrBody].
func ParseFootprintCancelled(body map[string]any) (FootprintCancelled, error) {
	r := read(KindFootprintCancelled, body)
	f := FootprintCancelled{Footprint: r.council("footprint"), Entry: r.hash("entry")}
	return f, r.done()
}

// A FootprintJoined takes up an agreed admission. Body: footprint, incarnation,
// speaks (as a text).
type FootprintJoined struct {
	Footprint   name.Council
	Incarnation string // of the replica that joins
	Speaks      int    // the newest format of commands that it understands, from 1 on
}

// Body returns the body of a [KindFootprintJoined].
func (f FootprintJoined) Body() map[string]any {
	return map[string]any{"footprint": string(f.Footprint), "incarnation": f.Incarnation, "speaks": strconv.Itoa(f.Speaks)}
}

// ParseFootprintJoined reads the body of a [KindFootprintJoined]. The error wraps
// [ErrBody].
func ParseFootprintJoined(body map[string]any) (FootprintJoined, error) {
	r := read(KindFootprintJoined, body)
	f := FootprintJoined{Footprint: r.council("footprint"), Incarnation: r.incarnation(), Speaks: r.count("speaks")}
	return f, r.done()
}

// A FootprintRecovered says that a majority was lost for good and that the signer
// goes on alone from what it held. Body: footprint, lost (names separated by
// spaces), because, incarnation.
type FootprintRecovered struct {
	Footprint   name.Council
	Lost        []name.Council // sorted, each once
	Because     string         // in words, not empty
	Incarnation string         // of the signer's replica from here on
}

// Body returns the body of a [KindFootprintRecovered].
func (f FootprintRecovered) Body() map[string]any {
	lost := make([]string, len(f.Lost))
	for i, c := range f.Lost {
		lost[i] = string(c)
	}
	return map[string]any{
		"footprint": string(f.Footprint), "lost": strings.Join(lost, " "), "because": words(f.Because), "incarnation": f.Incarnation,
	}
}

// ParseFootprintRecovered reads the body of a [KindFootprintRecovered]. The error
// wraps [ErrBody].
func ParseFootprintRecovered(body map[string]any) (FootprintRecovered, error) {
	r := read(KindFootprintRecovered, body)
	f := FootprintRecovered{
		Footprint: r.council("footprint"), Lost: named(r, "lost", "names of councils, sorted, with one space between", parseLost),
		Because: r.textOf("because", 1, MaxText), Incarnation: r.incarnation(),
	}
	return f, r.done()
}

func parseLost(s string) (out []name.Council, err error) {
	if s == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(s, " ") {
		c, err := name.ParseCouncil(one)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if !slices.IsSorted(out) || len(slices.Compact(slices.Clone(out))) != len(out) {
		return nil, errors.New("not sorted")
	}
	return out, nil
}
