package event

import (
	"errors"

	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// Faults of a log for which its council is put in quarantine.
const (
	FaultFork     = "fork"     // two signed checkpoints of one size and two roots: proof by themselves
	FaultRollback = "rollback" // the council says that its log is shorter than what it signed
	FaultUnproved = "unproved" // two signed checkpoints of two sizes, and the proof between them fails
)

// Which of two histories is followed when a quarantine ends.
const (
	FollowHeld = "held" // the one known before: the council has put its log right
	FollowTold = "told" // the council's log begins anew: what was known of it is forgotten
)

// A Head is size and root of a signed checkpoint.
type Head struct {
	Size uint64
	Root tlog.Hash
}

// A Quarantine says that all exchange with a council was stopped, because of its
// log. Body:
//
//	{"council":"saltby.gov.uk","fault":"fork","held_root":"…","held_size":20,"reason":"…","told_root":"…","told_size":20}
type Quarantine struct {
	Council name.Council // whose log
	Fault   string       // one of the faults above
	Reason  string       // in words
	Held    *Head        // the head that was known; nil when it cannot be read
	Told    *Head        // the other; nil when only words came
}

// Body returns the body of a [KindQuarantine].
func (q Quarantine) Body() map[string]any {
	body := map[string]any{"council": string(q.Council), "fault": q.Fault, "reason": words(q.Reason)}
	writeHead(body, "held", q.Held)
	writeHead(body, "told", q.Told)
	return body
}

func writeHead(body map[string]any, which string, h *Head) {
	if h != nil {
		body[which+"_size"], body[which+"_root"] = Number(h.Size), h.Root.String()
	}
}

// ParseQuarantine reads the body of a [KindQuarantine]. The error wraps [ErrBody].
func ParseQuarantine(body map[string]any) (Quarantine, error) {
	r := read(KindQuarantine, body)
	q := r.quarantine()
	return q, r.done()
}

func (r *reader) quarantine() Quarantine {
	return Quarantine{
		Council: r.council("council"), Fault: r.oneOf("fault", FaultFork, FaultRollback, FaultUnproved), Reason: r.text("reason"),
		Held: r.headIf("held"), Told: r.headIf("told"),
	}
}

func (r *reader) headIf(which string) *Head {
	if !r.has(which+"_size") && !r.has(which+"_root") {
		return nil
	}
	return &Head{r.index(which + "_size"), r.hash(which + "_root")}
}

// A QuarantineEnded says that a person let exchange with a council go on. Body: what
// the quarantine said, because, follow and begun.
type QuarantineEnded struct {
	Quarantine
	Because string // in words
	Follow  string // FollowHeld or FollowTold
	Begun   uint64 // log index of the [KindQuarantine]
}

// Body returns the body of a [KindQuarantineEnded].
func (q QuarantineEnded) Body() map[string]any {
	body := q.Quarantine.Body()
	body["because"], body["follow"], body["begun"] = words(q.Because), q.Follow, Number(q.Begun)
	return body
}

// ParseQuarantineEnded reads the body of a [KindQuarantineEnded]. The error wraps
// [ErrBody].
func ParseQuarantineEnded(body map[string]any) (QuarantineEnded, error) {
	r := read(KindQuarantineEnded, body)
	q := QuarantineEnded{
		Quarantine: r.quarantine(), Because: r.text("because"), Follow: r.oneOf("follow", FollowHeld, FollowTold), Begun: r.index("begun"),
	}
	return q, r.done()
}

// maxAsked bounds the councils that a [KindContinued] names, of each sort.
const maxAsked = 10_000

// A Continued says that a person let the council's own log go on from what stands
// before this entry, although it may not be, or is not, the newest that the log key has
// signed. It is the first entry after what was lost: with Lost, the entries from its own
// index on that the log once had, up to Lost.Size, are no part of the log any more, and
// what stands there now is another. Body:
//
//	{"agreed":["saltby.gov.uk"],"because":"…","lost_note":"…","lost_root":"…","lost_size":20,"unasked":[],"witnesses":[]}
//
// With lost_note whoever has the council's log key sees that the lost part was signed with it.
type Continued struct {
	Because   string         // in words
	Lost      *Head          // the newest head that is not of this log; nil when none is known
	LostNote  string         // the signed checkpoint of it, as who held it showed it; "" where only a size was told
	Witnesses []string       // who are no councils, and hold what was lost or did not answer; as the witness policy names them
	Agreed    []name.Council // who held what was lost, and let go of it
	Unasked   []name.Council // who did not answer, or left with what was lost: the risk that a person took
}

// Body returns the body of a [KindContinued].
func (c Continued) Body() map[string]any {
	body := map[string]any{"because": words(c.Because), "agreed": textList(c.Agreed), "unasked": textList(c.Unasked)}
	list := make([]any, 0, len(c.Witnesses))
	for _, w := range c.Witnesses {
		list = append(list, words(w))
	}
	body["witnesses"] = list
	if c.LostNote != "" {
		body["lost_note"] = words(c.LostNote)
	}
	writeHead(body, "lost", c.Lost)
	return body
}

// ParseContinued reads the body of a [KindContinued]. The error wraps [ErrBody].
func ParseContinued(body map[string]any) (Continued, error) {
	r := read(KindContinued, body)
	c := Continued{
		Because: r.text("because"), Lost: r.headIf("lost"),
		Agreed:    namesOf(r, "agreed", aCouncil, maxAsked, name.ParseCouncil),
		Unasked:   namesOf(r, "unasked", aCouncil, maxAsked, name.ParseCouncil),
		Witnesses: namesOf(r, "witnesses", "the name of a witness", maxAsked, aWitness), LostNote: r.textIf("lost_note"),
	}
	return c, r.done()
}

func aWitness(s string) (string, error) {
	if s == "" || len(s) > 256 {
		return "", errors.New("not the name of a witness")
	}
	return s, nil
}
