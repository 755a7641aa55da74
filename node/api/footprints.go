package api

import (
	"encoding/json"
	"time"

	"github.com/stile-exchange/stile/node/name"
)

// FootprintRequest names a footprint, and where the operation is about one, a
// council.
type FootprintRequest struct {
	Name    string   `json:"name"`
	Council string   `json:"council,omitempty"`
	Via     []string `json:"via,omitempty"` // join: members to ask
	// Anew has join put the replica that is there aside, which never votes again,
	// and join as a new one.
	Anew bool `json:"anew,omitempty"`
	// Runs is the data folder of the council whose node the members, machines of
	// its own, run in turn: found and join. "" for a footprint of councils.
	Runs string `json:"runs,omitempty"`
}

// FootprintReply is one footprint as this node's replica sees it.
type FootprintReply struct {
	Name      name.Council     `json:"name"`
	Open      bool             `json:"open"`
	Problem   string           `json:"problem,omitempty"` // why it is not open
	Status    *FootprintStatus `json:"status,omitempty"`
	Standards []name.Standard  `json:"standards,omitempty"`
	// Proposal says what came of the change that was asked for, of invite, agree,
	// remove and leave.
	Proposal *ProposalReply `json:"proposal,omitempty"`
	// Flows are the agreements under which our own records go into it.
	Flows []PartnerReply `json:"flows,omitempty"`
	// Machines says who runs the council's node, where the members are its machines.
	Machines *MachinesReply `json:"machines,omitempty"`
}

// A ProposalReply says what came of a change of membership that was just proposed
// or agreed to.
type ProposalReply struct {
	Council name.Council `json:"council"` // whom it is about
	// Decided says that a majority has agreed: the council may join, or is out. It
	// may be that it was decided before.
	Decided  bool           `json:"decided"`
	Needs    int            `json:"needs,omitempty"` // how many members must agree
	Agreed   []name.Council `json:"agreed,omitempty"`
	Waiting  []name.Council `json:"waiting,omitempty"` // members who have not agreed
	Position uint64         `json:"position"`          // in the replicated log: wait for it on another member
}

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
	Contributors []name.Council `json:"contributors,omitempty"`
	// Former are councils that were members, in the order of their names.
	Former     []FormerMember   `json:"former,omitempty"`
	Change     *FootprintChange `json:"change,omitempty"`
	Size       uint64           `json:"size"`       // entries here
	Position   uint64           `json:"position"`   // applied here
	Checkpoint uint64           `json:"checkpoint"` // size of the newest checkpoint that counts
	Evidence   int              `json:"evidence"`
	DiskBytes  uint64           `json:"disk_bytes"`
	LogBytes   uint64           `json:"log_bytes"` // of the replicated log, which is cut by files of 64 MiB
	Format     int              `json:"format"`    // of commands, in use: every member understands it
	Stopped    string           `json:"stopped,omitempty"`
}

// A FormerMember is a council that was a member of a footprint, and what it was ordered to
// erase since and has not said that it did.
type FormerMember struct {
	Council name.Council `json:"council"`
	Left    uint64       `json:"left"`              // entry of the footprint's log by which it left
	By      name.Council `json:"by"`                // who proposed that
	At      time.Time    `json:"at"`                // when it left
	Deleted *uint64      `json:"deleted,omitempty"` // entry by which it says that it deleted its whole replica
	Orders  []uint64     `json:"orders,omitempty"`  // entries that it has not receipted: withdrawals, and its leaving for all before it
	Oldest  time.Time    `json:"oldest,omitzero"`   // of them
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

// FootprintPutRequest puts records of ours into a footprint's ledger, with the
// fields that their standard calls open and no others.
type FootprintPutRequest struct {
	Name     string   `json:"name"`
	Records  []string `json:"records"`            // ids, or natural keys with Standard
	Standard string   `json:"standard,omitempty"` // see RecordRequest
}

// FootprintPutReply says what became of each record, in the order given.
// Position is where everybody sees it: see FootprintListRequest.At.
type FootprintPutReply struct {
	Position uint64               `json:"position"`
	Results  []FootprintPutResult `json:"results"`
}

// FootprintPutResult is what became of one record.
type FootprintPutResult struct {
	Record  name.Record `json:"record"`
	Outcome string      `json:"outcome"`         // "taken", "there already" or "refused"
	Entry   uint64      `json:"entry,omitempty"` // in the footprint's log
	Rule    string      `json:"rule,omitempty"`  // why it was refused
}

// FootprintListRequest lists what a footprint's ledger holds, a page at a time.
type FootprintListRequest struct {
	Name     string `json:"name"`
	Of       string `json:"of,omitempty"`       // only this council's
	Standard string `json:"standard,omitempty"` // publisher/name, with or without a version, or its last part
	// Linearizable waits until everything that anybody was told yes about before
	// the call is seen; At waits for a position, such as that of a put.
	Linearizable bool   `json:"linearizable,omitempty"`
	At           uint64 `json:"at,omitempty"`
	Cursor       Cursor `json:"cursor,omitempty"`
	Limit        int    `json:"limit,omitempty"` // default 100, at most 1000
	Bodies       bool   `json:"bodies,omitempty"`
}

// FootprintListReply is a page of records.
type FootprintListReply struct {
	Position uint64            `json:"position"` // of the ledger it was read at
	Records  []FootprintRecord `json:"records"`
	Damaged  []uint64          `json:"damaged,omitempty"`
	Cursor   Cursor            `json:"cursor,omitempty"`
}

// FootprintRecord is a record in a footprint's ledger.
type FootprintRecord struct {
	Council   name.Council    `json:"council"` // who says so
	Record    name.Record     `json:"record"`
	Standard  name.Standard   `json:"standard"`
	Version   uint64          `json:"version"`
	Op        string          `json:"op"`
	Entry     uint64          `json:"entry"` // in the footprint's log
	Position  uint64          `json:"position"`
	IssuedAt  time.Time       `json:"issued_at"`
	Withheld  int             `json:"withheld"`
	Disclosed []string        `json:"disclosed,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Token     string          `json:"token,omitempty"`
	Signature string          `json:"signature,omitempty"` // "checked", or what is wrong
}

// FootprintRecordRequest names one record in a footprint's ledger: by its id, or
// one of our own, or one whose key was disclosed, by its natural key.
type FootprintRecordRequest struct {
	Name         string `json:"name"`
	Council      string `json:"council,omitempty"` // default our own
	Record       string `json:"record"`
	Standard     string `json:"standard,omitempty"`
	Linearizable bool   `json:"linearizable,omitempty"`
	At           uint64 `json:"at,omitempty"`
}

// FootprintProofReply is a c2sp.org/tlog-proof file that shows that a record
// stands in a footprint's ledger, at a checkpoint that a majority of the members
// cosigned.
type FootprintProofReply struct {
	Record     FootprintRecord `json:"record"`
	Proof      string          `json:"proof"`
	Size       uint64          `json:"size"` // of the checkpoint
	Root       string          `json:"root"`
	CosignedBy []name.Council  `json:"cosigned_by"`
	Members    int             `json:"members"`
	// Keys verify the members' cosignatures, one to a line.
	Keys []string `json:"keys"`
}

// FootprintCheckpointReply is the newest checkpoint of a footprint that counts.
type FootprintCheckpointReply struct {
	Footprint  name.Council   `json:"footprint"`
	Size       uint64         `json:"size"`
	Root       string         `json:"root"`
	Note       string         `json:"note"` // the signed note
	CosignedBy []name.Council `json:"cosigned_by"`
	Members    int            `json:"members"`
	Keys       []string       `json:"keys"`
	Entries    uint64         `json:"entries"` // in the ledger here, which may be ahead of it
}

// FootprintEvidenceReply lists what members did that no honest member does.
type FootprintEvidenceReply struct {
	Evidence []FootprintEvidence `json:"evidence"`
}

// FootprintAdoptRequest has a footprint take a standard into use that this node
// has adopted.
type FootprintAdoptRequest struct {
	Name     string `json:"name"`
	Standard string `json:"standard"`
}

// FootprintAdoptReply says which version was adopted, and at what position.
type FootprintAdoptReply struct {
	Standard name.Standard `json:"standard"`
	Position uint64        `json:"position"`
	Already  bool          `json:"already,omitempty"`
}

// FootprintBackupRequest has the node write a backup of a footprint's ledger into
// a new file.
type FootprintBackupRequest struct {
	Name string `json:"name"`
	File string `json:"file"` // absolute
}

// FootprintBackupReply says what was written.
type FootprintBackupReply struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Position uint64 `json:"position"` // at least everything up to it is in the backup
	Entries  uint64 `json:"entries"`
}

// FootprintRecoverRequest makes this node's replica a footprint of one, because a
// majority of the members is lost for good.
type FootprintRecoverRequest struct {
	Name    string   `json:"name"`
	Lost    []string `json:"lost"`             // who is lost: at least so many that the rest can decide nothing
	Because string   `json:"because"`          // in words; it stays in the ledger
	Backup  string   `json:"backup,omitempty"` // file of a backup to take instead of the replica; absolute
	Runs    string   `json:"runs,omitempty"`   // with Backup, of machines: see FootprintRequest
}
