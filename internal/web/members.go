package web

import (
	"io"
	"net/http"

	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
)

// memberMost is the size of the largest file that describes a member, in bytes.
const memberMost = 64 << 10

func (q *request) councilList() error { return q.showCouncils(nil, nil) }

func (q *request) showCouncils(f faults, invite *node.InviteReply) error {
	all, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	dir, err := q.Node.Directory().Show(q.ctx())
	if err != nil {
		return err
	}
	stops, err := q.Node.Councils().Quarantines(q.ctx())
	if err != nil {
		return err
	}
	status := 0
	if len(f) > 0 {
		status = http.StatusUnprocessableEntity
	}
	words := ""
	if i, err := tufdir.ParseInvite(q.form("code")); err == nil {
		words = i.Words()
	}
	return q.render("councils", page{Title: q.say("councils.title"), Faults: f, Status: status, Data: map[string]any{
		"Members": all, "Directory": dir, "Stops": stops, "Invite": invite, "Code": q.form("code"), "Words": words,
		"MayAdd": q.may("councils/add") && dir.Host, "MayJoin": q.may("directory/join") && dir.Sole, "MayInvite": q.may("directory/invite"),
	}})
}

// councilAdd takes the member file of a council into the directory that this node hosts.
func (q *request) councilAdd() error {
	f, head, err := q.r.FormFile("file")
	if err != nil || head.Size > memberMost {
		return q.showCouncils(faults{{"file", q.say("councils.no-file")}}, nil)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	m, err := q.Node.Councils().Add(q.ctx(), node.MemberRequest{Document: b})
	if e, ok := asNode(err); ok && (e.Kind == node.Usage || e.Kind == node.Invalid || e.Kind == node.Refused || e.Kind == node.Conflict) {
		return q.showCouncils(faults{{"file", q.node(e.Message)}}, nil)
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person added a council", "council", m.Council, "person", q.who.ID)
	return q.done("/councils", "council-added")
}

// councilFile sends this council's own member file, which an operator gives to a partner.
func (q *request) councilFile() error {
	us, err := q.Node.Councils().Show(q.ctx(), node.MemberNameRequest{})
	if err != nil {
		return err
	}
	return q.download("application/yaml", string(us.Council)+".yaml", []byte(us.Document))
}

// councilInvite makes a code that leads a newcomer to the directory.
func (q *request) councilInvite() error {
	invite, err := q.Node.Directory().Invite(q.ctx(), node.InviteRequest{})
	if e, ok := asNode(err); ok && e.Kind != node.Failed {
		return q.showCouncils(faults{{"invite", q.node(e.Message)}}, nil)
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person made an invite", "person", q.who.ID)
	return q.showCouncils(nil, &invite)
}

// councilJoin leaves the directory of one for that which a code leads to.
func (q *request) councilJoin() error {
	if sent, err := q.refuseUnlessRecent(); sent || err != nil {
		return err
	}
	if q.form("code") == "" {
		return q.showCouncils(faults{{"code", q.say("councils.code-empty")}}, nil)
	}
	invite, err := tufdir.ParseInvite(q.form("code"))
	if err != nil {
		return q.showCouncils(faults{{"code", q.say("councils.code-wrong")}}, nil)
	}
	if q.form("same") != invite.Words() { // the words are those of this code, and were shown
		return q.showCouncils(faults{{"same", q.say("councils.not-same")}}, nil)
	}
	_, err = q.Node.Directory().Join(q.ctx(), node.JoinRequest{Code: q.form("code")})
	if e, ok := asNode(err); ok {
		return q.showCouncils(faults{{"code", q.node(e.Message)}}, nil)
	}
	if err != nil {
		return err
	}
	q.Log.Info("a person joined a directory", "person", q.who.ID)
	return q.done("/councils", "joined")
}
