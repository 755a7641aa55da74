package node

import (
	"time"

	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/node/name"
)

// A FootprintStatus is how a footprint stands, as one member sees it.
type FootprintStatus struct {
	Footprint name.Council      `json:"footprint"`
	Self      name.Council      `json:"self"`
	Words     string            `json:"words"` // all of it in a sentence or two
	Needs     int               `json:"needs"` // how many members must agree to anything
	Up        int               `json:"up"`
	Formed    bool              `json:"formed"`
	Decides   bool              `json:"decides"` // a majority answers and has a leader
	Leader    name.Council      `json:"leader,omitempty"`
	Members   []FootprintMember `json:"members"`
	// Contributors are no members and contribute under agreements.
	Contributors []name.Council   `json:"contributors,omitempty"`
	Change       *FootprintChange `json:"change,omitempty"`
	Size         uint64           `json:"size"`       // entries here
	Position     uint64           `json:"position"`   // applied here
	Checkpoint   uint64           `json:"checkpoint"` // size of the newest checkpoint that counts
	Evidence     int              `json:"evidence"`
	DiskBytes    uint64           `json:"disk_bytes"`
	LogBytes     uint64           `json:"log_bytes"` // of the replicated log, which is cut by files of 64 MiB
	Format       int              `json:"format"`    // of commands, in use: every member understands it
	Stopped      string           `json:"stopped,omitempty"`
}

// A FootprintMember is one member of a footprint as this one sees it.
type FootprintMember struct {
	Council name.Council `json:"council"`
	Up      bool         `json:"up"` // it answers
	Leads   bool         `json:"leads,omitempty"`
	Votes   bool         `json:"votes"`
	Joined  bool         `json:"joined"` // false: invited
	Behind  uint64       `json:"behind"` // entries; of a machine, positions
	Because string       `json:"because,omitempty"`
	Size    uint64       `json:"size"`
	Applied uint64       `json:"position"`
	Free    uint64       `json:"free_bytes,omitempty"`
	Speaks  int          `json:"speaks,omitempty"` // newest format it understands, as it said last
}

// A FootprintChange is the change of membership under way.
type FootprintChange struct {
	Change  string         `json:"change"` // "admit", "contributor", "remove" or "keys": new keys
	Council name.Council   `json:"council"`
	By      name.Council   `json:"by"`
	Agreed  []name.Council `json:"agreed"`
	Waiting []name.Council `json:"waiting"` // members who have not agreed
	Needs   int            `json:"needs"`   // how many must
}

// A FootprintEvidence is something that no honest member does.
type FootprintEvidence struct {
	Council name.Council `json:"council"`
	At      time.Time    `json:"at"`
	What    string       `json:"what"`
	Signed  []string     `json:"signed,omitempty"` // what contradicts: tokens without disclosures, or checkpoint notes
}

func footprintStatus(s *footprint.Status) *FootprintStatus {
	return &FootprintStatus{
		Footprint: s.Footprint, Self: s.Self, Words: s.Words, Needs: s.Needs, Up: s.Up, Formed: s.Formed, Decides: s.Decides, Leader: s.Leader,
		Members:      each(s.Members, func(m footprint.MemberStatus) FootprintMember { return FootprintMember(m) }),
		Contributors: s.Contributors, Change: (*FootprintChange)(s.Change), Size: s.Size, Position: s.Position, Checkpoint: s.Checkpoint,
		Evidence: s.Evidence, DiskBytes: s.DiskBytes, LogBytes: s.LogBytes, Format: s.Format, Stopped: s.Stopped,
	}
}
