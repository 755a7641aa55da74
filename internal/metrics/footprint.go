package metrics

import (
	"slices"

	"github.com/stile-exchange/stile/internal/replicas"
)

func (p sheet) footprint(r *replicas.Replica) {
	g := r.Footprint().Figures()
	who := []string{"footprint", string(r.Name())}
	with := func(more ...string) []string { return slices.Concat(who, more) }
	votes, up := 0, 0
	for _, m := range g.Members {
		l := with("council", string(m.Council))
		votes, up = votes+int(truth(m.Votes)), up+int(truth(m.Up))
		p.gauge("stile_footprint_member_up", "1 when the member answered when it was last asked.", truth(m.Up), l...)
		p.gauge("stile_footprint_member_votes", "1 when the member has a vote.", truth(m.Votes), l...)
		p.gauge("stile_footprint_member_behind_entries", "Entries of the footprint's ledger that the member lacked when it was last asked.", float64(m.Behind), l...)
		if !m.Heard.IsZero() {
			p.gauge("stile_footprint_member_last_contact_timestamp_seconds", "When the member last answered this one, in Unix time.", unix(m.Heard), l...)
		}
	}
	p.gauge("stile_footprint_members", "Councils that have joined the footprint.", float64(len(g.Members)), who...)
	p.gauge("stile_footprint_invited", "Councils that are invited and have not joined.", float64(g.Invited), who...)
	p.gauge("stile_footprint_members_voting", "Members that have a vote.", float64(votes), who...)
	p.gauge("stile_footprint_members_up", "Members that answered when they were last asked, this one included.", float64(up), who...)
	p.gauge("stile_footprint_members_needed", "How many members must agree to anything.", float64(g.Needs), who...)
	p.gauge("stile_footprint_has_leader", "1 while a leader is known here.", truth(g.Leader != ""), who...)
	p.gauge("stile_footprint_leads", "1 while this member leads.", truth(g.Leads), who...)
	if c := r.Council(); c != nil {
		p.gauge("stile_machine_runs_council", "1 while this machine runs its council's node.", truth(c.Running()), who...)
	}
	p.gauge("stile_footprint_decides", "1 while something can be decided, as far as is known here: there is a leader, and enough members are up.", truth(g.Decides), who...)
	p.gauge("stile_footprint_stopped", "1 when this member's replica applies nothing any more.", truth(g.Stopped), who...)
	p.gauge("stile_footprint_term", "The term of the leader, which grows with each election.", float64(g.Term), who...)
	p.gauge("stile_footprint_applied_position", "The last position of the replicated log that is applied here.", float64(g.Position), who...)
	p.gauge("stile_footprint_committed_position", "The last position of the replicated log that is known here to be decided. Some positions hold nothing to apply.", float64(g.Committed), who...)
	p.gauge("stile_footprint_entries", "Entries in the footprint's ledger here.", float64(g.Size), who...)
	p.gauge("stile_footprint_checkpoint_entries", "Entries that the newest checkpoint covers which a majority has cosigned.", float64(g.Checkpoint), who...)
	if !g.LeaderHeard.IsZero() {
		p.gauge("stile_footprint_leader_contact_timestamp_seconds", "When this member last heard from the leader, in Unix time; now when it leads itself.", unix(g.LeaderHeard), who...)
	}
	p.gauge("stile_footprint_evidence", "Things that members signed and no honest member signs.", float64(g.Evidence), who...)
	p.gauge("stile_footprint_raft_log_bytes", "Disk space that the replicated log takes.", float64(g.LogBytes), who...)
	p.gauge("stile_footprint_raft_log_limit_bytes", "About how much disk space the replicated log takes before it is cut.", float64(g.LogLimit), who...)
	p.gauge("stile_footprint_raft_log_first_position", "The first position that the replicated log still holds.", float64(g.LogFirst), who...)
	p.gauge("stile_footprint_raft_log_last_position", "The last position that the replicated log holds.", float64(g.LogLast), who...)
	p.gauge("stile_footprint_raft_log_entries", "How many positions the replicated log holds.", float64(g.LogLast-g.LogFirst+min(g.LogLast, 1)), who...)
	for _, o := range []struct {
		outcome string
		n       uint64
	}{{"accepted", g.Offered.Accepted}, {"duplicate", g.Offered.Duplicate}, {"refused", g.Offered.Refused}, {"failed", g.Offered.Failed}} {
		p.counter("stile_footprint_offered_entries_total", "Entries offered by members while this one led, by what became of them; failed: their fate was not told, and they are offered again.", float64(o.n), with("outcome", o.outcome)...)
	}
	p.histogram("stile_footprint_commit_seconds", "How long a batch of entries took from being proposed until a majority had it on disk and it was applied, while this member led.", g.Commit.Bounds, g.Commit.Counts, g.Commit.Count, g.Commit.Sum, who...)
	p.histogram("stile_footprint_apply_seconds", "How long applying took, each time one or more decided batches were applied here.", g.Apply.Bounds, g.Apply.Counts, g.Apply.Count, g.Apply.Sum, who...)
	p.counter("stile_footprint_elections_total", "How often this member stood for election.", float64(g.Candidacies), who...)
	p.counter("stile_footprint_leader_changes_total", "How often this member heard of a new leader.", float64(g.LeaderChanges), who...)
	for _, s := range []struct {
		kind string
		n    uint64
	}{{"noted", g.Snapshots.Noted}, {"sent", g.Snapshots.Sent}, {"installed", g.Snapshots.Installed}, {"not installed", g.Snapshots.InstallFailures}} {
		p.counter("stile_footprint_snapshots_total", "Snapshots: noted, so that the replicated log may be cut; sent to a member that is far behind; installed here, or not because it did not hold.", float64(s.n), with("kind", s.kind)...)
	}
	p.counter("stile_footprint_snapshot_sent_bytes_total", "Bytes of the snapshots sent.", float64(g.Snapshots.SentBytes), who...)
	p.counter("stile_footprint_snapshot_installed_bytes_total", "Bytes of the snapshots installed here.", float64(g.Snapshots.InstalledBytes), who...)
	if counts, err := r.Footprint().Counts(); err == nil {
		for c, by := range counts {
			for std, k := range by {
				p.gauge("stile_footprint_records", "Live records in the footprint's ledger, by the council that contributed them.", float64(k), with("council", string(c), "standard", std.String())...)
			}
		}
	}
}
