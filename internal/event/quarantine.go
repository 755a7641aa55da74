package event

import (
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

// A QuarantineEnded says that a person let exchange with a council go on, or the
// council's own log, which another had proved to be set back. Body: what the
// quarantine said, because, follow, and begun or by.
type QuarantineEnded struct {
	Quarantine
	Because string       // in words
	Follow  string       // FollowHeld or FollowTold
	Begun   uint64       // log index of the [KindQuarantine]; 0 with By
	By      name.Council // whose proof against the council's own log is set aside; "" for a quarantine
}

// Body returns the body of a [KindQuarantineEnded].
func (q QuarantineEnded) Body() map[string]any {
	body := q.Quarantine.Body()
	body["because"], body["follow"] = words(q.Because), q.Follow
	if q.By != "" {
		body["by"] = string(q.By)
	} else {
		body["begun"] = Number(q.Begun)
	}
	return body
}

// ParseQuarantineEnded reads the body of a [KindQuarantineEnded]. The error wraps
// [ErrBody].
func ParseQuarantineEnded(body map[string]any) (QuarantineEnded, error) {
	r := read(KindQuarantineEnded, body)
	q := QuarantineEnded{
		Quarantine: r.quarantine(), Because: r.text("because"), Follow: r.oneOf("follow", FollowHeld, FollowTold), By: r.councilIf("by"),
	}
	if q.By == "" {
		q.Begun = r.index("begun")
	}
	return q, r.done()
}
