package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) footprintStatusCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Say how a footprint stands: who is up, who is behind and why",
		Args:  takes(0, 1, "perhaps a footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := node.FootprintRequest{}
			if len(args) == 1 {
				req.Name = args[0]
			}
			rs, err := a.node().Footprints().Status(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				err = emitLines(a, rs)
			} else {
				for i, r := range rs {
					if i > 0 {
						a.printf("\n")
					}
					a.printFootprint(r)
				}
				if len(rs) == 0 {
					a.say("this node keeps no footprint; stile footprint found begins one")
				}
			}
			if err != nil || !check {
				return err
			}
			for _, r := range rs {
				if r.Status == nil || !r.Status.Decides || r.Status.Stopped != "" {
					return failure(node.Behind, "stile footprint status "+string(r.Name), "%s cannot decide anything now", r.Name)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with 8 when a footprint cannot decide anything now")
	return c
}

func (a *app) printFootprint(r node.FootprintReply) {
	if r.Status == nil {
		a.printf("%s: not open here: %s\n", r.Name, clean(r.Problem))
		return
	}
	s := r.Status
	a.printf("%s: %s\n\n", r.Name, clean(s.Words))
	t := newTable("MEMBER", "", "#ENTRIES", "#BEHIND", "BECAUSE")
	if r.Machines != nil { // what they write are no entries of the footprint's
		t = newTable("MACHINE", "", "#POSITION", "#BEHIND", "BECAUSE")
	}
	for _, m := range s.Members {
		what := "votes"
		switch {
		case !m.Joined:
			what = "invited"
		case m.Leads && m.Up:
			what = "leads"
		case !m.Up:
			what = "away"
		case !m.Votes:
			what = "no vote yet"
		}
		has := m.Size
		if r.Machines != nil {
			has = m.Applied
		}
		t.add(string(m.Council), what, number(has), number(m.Behind), m.Because)
	}
	t.write(a.out, "")
	a.printf("\n")
	t = newTable("", "")
	if m := r.Machines; m != nil {
		switch {
		case m.Here:
			t.add("runs", string(r.Name)+" here, from "+m.Data+", since "+at(m.Since))
		case m.By == "":
			t.add("runs", "nothing now: no machine leads")
		default:
			t.add("runs", string(r.Name)+" at "+string(m.By))
		}
		if m.Problem != "" {
			t.add("but", "not here: "+m.Problem)
		}
		t.add("disk", size(s.DiskBytes))
		t.write(a.out, "")
		a.printChange(s.Change)
		return
	}
	t.add("ledger", plural(s.Size, "entry", "entries")+" here, at position "+number(s.Position))
	if s.Checkpoint == 0 {
		t.add("checkpoint", "none that a majority has cosigned yet")
	} else {
		t.add("checkpoint", "a majority has cosigned "+plural(s.Checkpoint, "entry", "entries"))
	}
	for i, std := range r.Standards {
		label := ""
		if i == 0 {
			label = "standards"
		}
		t.add(label, std.String())
	}
	if len(r.Standards) == 0 {
		t.add("standards", "none adopted; stile footprint adopt "+string(r.Name)+" STANDARD")
	}
	for i, c := range s.Contributors {
		label := ""
		if i == 0 {
			label = "also send"
		}
		t.add(label, string(c)+", from outside")
	}
	for i, f := range s.Former {
		label := ""
		if i == 0 {
			label = "left"
		}
		t.add(label, formerWords(f, time.Now()))
	}
	if s.Evidence > 0 {
		t.add("evidence", plural(s.Evidence, "thing", "things")+" no honest member does; stile footprint evidence "+string(r.Name))
	}
	t.add("disk", size(s.DiskBytes))
	t.write(a.out, "")
	a.printChange(s.Change)
	if len(r.Flows) > 0 {
		a.printf("\n")
		partnerTable(r.Flows).write(a.out, "")
	}
}

// formerWords says of a council that was a member what became of its replica.
func formerWords(f node.FormerMember, now time.Time) string {
	out := fmt.Sprintf("%s by entry %s, %s", f.Council, number(f.Left), at(f.At))
	switch {
	case f.Deleted != nil:
		return out + ", and deleted its replica: entry " + number(*f.Deleted)
	case len(f.Orders) == 0:
		return out + ", and has erased what was taken back since"
	}
	return out + fmt.Sprintf(", and has not receipted %s to erase, the oldest %s old", plural(uint64(len(f.Orders)), "order", "orders"), age(now.Sub(f.Oldest).Hours()))
}

// printChange says which change of membership is under way.
func (a *app) printChange(ch *node.FootprintChange) {
	if ch == nil {
		return
	}
	verb := ch.Change
	switch verb {
	case "keys":
		verb = "take over the new keys of"
	case "contributor":
		verb = "take in records of"
	}
	a.printf("\n%s proposes to %s %s; agreed by %s, %d must\n", ch.By, verb, ch.Council, list(ch.Agreed), ch.Needs)
}

func (a *app) footprintListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the footprints that this node keeps",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rs, err := a.node().Footprints().List(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			if len(rs) == 0 {
				a.say("this node keeps no footprint; stile footprint found begins one")
				return nil
			}
			t := newTable("FOOTPRINT", "STATE")
			for _, r := range rs {
				words := r.Problem
				if r.Status != nil {
					words = r.Status.Words
				}
				t.add(string(r.Name), words)
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func (a *app) footprintCheckpointCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "checkpoint NAME",
		Short: "Print the newest checkpoint that a majority of the members cosigned",
		Long: `Checkpoint prints a c2sp.org/tlog-checkpoint note without a signature of its own: it
counts because more than half of the members cosigned it. With --json the members'
keys, by which anybody can verify it, are beside it.`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Checkpoint(cmd.Context(), node.FootprintRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.exact(r.Note)
			a.say("cosigned by %s of %d members: %s", number(len(r.CosignedBy)), r.Members, list(r.CosignedBy))
			if r.Entries > r.Size {
				a.say("%s written since", plural(r.Entries-r.Size, "entry", "entries"))
			}
			return nil
		},
	}
}

func (a *app) footprintEvidenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "evidence NAME",
		Short: "List what members did that no honest member does",
		Long: `Evidence lists what this member saw and what every member found in the ledger: two
signed versions of one record that cannot both be, a cosignature of another tree, an
entry in another's name. With --json it holds the signed texts that contradict each
other, which prove it to anybody.`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Evidence(cmd.Context(), node.FootprintRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, r.Evidence)
			}
			if len(r.Evidence) == 0 {
				a.say("there is none")
				return nil
			}
			t := newTable("WHEN", "MEMBER", "WHAT", "#SIGNED TEXTS")
			for _, e := range r.Evidence {
				t.add(at(e.At), string(e.Council), e.What, number(len(e.Signed)))
			}
			t.write(a.out, "")
			return nil
		},
	}
}
