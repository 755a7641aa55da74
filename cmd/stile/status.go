package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/node"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how the node and every exchange stand",
		Long: `Status says what the node holds and, for each partner, whether it is in step or
behind, and because of what. It works while the node is down, too. If all exchange
with a council is stopped, since its log or ours told two histories, that stands first.

A partner is in step when it holds, and has receipted, everything its agreement
lets it have, and has deleted what was withdrawn.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.node().Status(cmd.Context())
			if err != nil {
				return err
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			feeds, err := feedStates(cfg)
			if err != nil {
				return err
			}
			if a.json {
				err = a.emit(struct {
					node.StatusReply
					Feeds []feed.State `json:"feeds,omitempty"`
				}{s, feeds})
			} else {
				a.printStatus(s)
				if len(feeds) > 0 {
					a.printf("\n")
					feedTable(cfg, feeds).write(a.out, "")
				}
			}
			if err == nil && check {
				if err = behind(s); err == nil {
					err = starved(feeds)
				}
			}
			return err
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with 8 when exchange is stopped, a partner is behind, a withdrawal is outstanding or a feed is not taken in")
	return c
}

// behind returns an error when something is not as it should be.
func behind(s node.StatusReply) error {
	if len(s.Quarantines) > 0 {
		return failure(node.Behind, "stile council quarantine list", "all exchange with %s is stopped: %s", s.Quarantines[0].Council, s.Quarantines[0].Reason)
	}
	if len(s.Accusations) > 0 {
		return failure(node.Behind, "stile status", "%s says that we told it another history, and has stopped all exchange", s.Accusations[0].Council)
	}
	n, out := 0, 0
	for _, p := range s.Partners {
		if !p.InStep && !p.Suspended && p.Footprint == "" {
			n++
		}
		out += p.Outstanding
	}
	switch {
	case n > 0:
		return failure(node.Behind, "", "%s behind", plural(n, "exchange is", "exchanges are"))
	case out > 0:
		return failure(node.Behind, "", "%s not receipted", plural(out, "withdrawal is", "withdrawals are"))
	}
	return nil
}

// starved returns an error when a feed is not taken in.
func starved(feeds []feed.State) error {
	for _, f := range feeds {
		if f.Problem != "" {
			return failure(node.Behind, "stile feed list", "feed %s is not taken in", f.Name)
		}
	}
	return nil
}

// step says in words how one exchange stands.
func step(p node.PartnerReply) string {
	switch {
	case p.InStep && p.Mode != "" && p.Direction == "from":
		return "it can be asked"
	case p.InStep && p.Mode != "" && p.Footprint != "":
		return "it may ask; this member answered " + plural(p.Asked, "question", "questions") + " today"
	case p.InStep && p.Mode != "":
		return "it may ask; " + plural(p.Asked, "question", "questions") + " today"
	case p.InStep:
		return "in step"
	case p.Suspended || p.Footprint != "":
		return p.Behind
	case p.Behind == "":
		return "behind"
	case p.Mode != "":
		return "not now, because " + p.Behind
	}
	return "behind, because " + p.Behind
}

func partnerTable(ps []node.PartnerReply) *table {
	t := newTable("PARTNER", "", "AGREEMENT", "#OFFERED", "#HELD", "#REFUSED", "STATE")
	for _, p := range ps {
		way, offered, held, refused := "we send", number(p.Offered), number(p.Held), number(p.Refused)
		switch {
		case p.Mode != "" && p.Footprint != "":
			way, offered, held, refused = string(p.Footprint)+" answers", "-", "-", "-"
		case p.Mode != "" && p.Direction == "from":
			way, offered, held, refused = "we ask", "-", "-", "-"
		case p.Mode != "":
			way, held, refused = "we answer", "-", "-"
		case p.Footprint != "":
			way = string(p.Footprint) + " sends"
		case p.Direction == "from":
			way = "we receive"
		}
		t.add(string(p.Council), way, string(p.Agreement), offered, held, refused, step(p))
	}
	return t
}

// printUnconfirmed says which members of a footprint have not confirmed what was
// withdrawn from it.
func (a *app) printUnconfirmed(ps []node.PartnerReply) {
	for _, p := range ps {
		if p.Outstanding > 0 && len(p.Unconfirmed) > 0 {
			has := "has"
			if len(p.Unconfirmed) > 1 {
				has = "have"
			}
			a.printf("%s: %s %s not confirmed %s, the oldest %s old\n", p.Council, list(p.Unconfirmed), has, plural(p.Outstanding, "withdrawal", "withdrawals"), age(p.OldestHours))
		}
	}
}

// printStops says first with whom all exchange is stopped, and why.
func (a *app) printStops(s node.StatusReply) {
	for _, q := range s.Quarantines {
		a.printf("STOPPED: all exchange with %s since %s, because %s.\n", q.Council, at(q.Since), q.Reason)
		a.printf("  Its signed heads are kept: stile council quarantine show %s\n", q.Council)
	}
	for _, x := range s.Accusations {
		a.printf("STOPPED: %s says that we told it another history, and exchanges nothing with us since %s.\n", x.Council, at(x.Since))
		if x.Proven {
			a.printf("  It is right: what it holds is signed with our log key and is not of the log that stands here. Was this node restored from an old copy?\n")
			if !x.Anew {
				a.printf("  No record is signed or deleted until the newest copy is back, or our log begins anew: stile council quarantine end %s --follow told\n", x.Council)
			}
		} else {
			a.printf("  What it showed is not signed by us, or is of the log that stands here: ask it for its evidence.\n")
		}
	}
	if len(s.Quarantines)+len(s.Accusations) > 0 {
		a.printf("\n")
	}
}

// publishedLines says what of the log is published, and what is wanting.
func publishedLines(p *node.LogReply) []string {
	if p == nil {
		return nil
	}
	if p.Size == 0 {
		return []string{"nothing yet"}
	}
	text := plural(p.Size, "entry", "entries")
	if len(p.CosignedBy) > 0 {
		text += ", cosigned by " + list(p.CosignedBy)
	}
	switch {
	case p.Wanted && p.Met:
		text += ": as the witness policy wants"
	case p.Wanted:
		text += ": fewer witnesses than the policy wants"
	}
	lines := []string{text}
	for _, w := range p.Witnesses {
		switch {
		case w.Cosigned || p.Met:
		case w.Problem != "":
			lines = append(lines, fmt.Sprintf("witness %s has not cosigned: %s", w.Name, w.Problem))
		case w.URL == "":
			lines = append(lines, fmt.Sprintf("witness %s has not cosigned: it does so in the exchange", w.Name))
		default:
			lines = append(lines, fmt.Sprintf("witness %s has not cosigned", w.Name))
		}
	}
	return lines
}

func (a *app) printStatus(s node.StatusReply) {
	a.printStops(s)
	t := newTable("", "")
	t.add("council", string(s.Council))
	if s.Running {
		t.add("node", fmt.Sprintf("running since %s, version %s", at(s.Since), s.Version))
		t.add("listens on", list(s.Addresses))
	} else {
		t.add("node", "not running; this is read from its folder")
	}
	log := plural(s.LogSize, "entry", "entries")
	if s.LogSize > 0 {
		log += ", root " + s.LogRoot
	}
	t.add("log", log)
	if len(s.Witnesses) == 0 {
		t.add("witnesses", "none: no partner has cosigned the log yet")
	}
	for i, w := range s.Witnesses {
		label := ""
		if i == 0 {
			label = "witnesses"
		}
		text := fmt.Sprintf("%s cosigned it at %s", w.Council, plural(w.Size, "entry", "entries"))
		if w.Size < s.LogSize {
			text += fmt.Sprintf(", %s ago", plural(s.LogSize-w.Size, "entry", "entries"))
		}
		t.add(label, text)
	}
	for i, line := range publishedLines(s.Published) {
		t.add([]string{"published", ""}[min(i, 1)], line)
	}
	var stds []string
	for n := range s.Records {
		stds = append(stds, n)
	}
	slices.Sort(stds)
	if len(stds) == 0 {
		t.add("records", "none of ours")
	}
	for i, n := range stds {
		label := ""
		if i == 0 {
			label = "records"
		}
		t.add(label, fmt.Sprintf("%s of %s", number(s.Records[n]), n))
	}
	if s.Holdings > 0 {
		t.add("from partners", plural(s.Holdings, "record", "records"))
	}
	held := "none"
	if s.Held > 0 {
		held = number(s.Held) + "; stile record held lists them"
	}
	t.add("held back", held)
	if s.Directory.Text != "" {
		t.add("directory", s.Directory.Text)
	}
	t.add("disk", size(s.DiskBytes))
	t.write(a.out, "")

	a.printf("\n")
	if len(s.Partners) == 0 {
		a.printf("no exchange: no agreement is in force\n")
	} else {
		partnerTable(s.Partners).write(a.out, "")
	}
	a.printWithdrawals(s.Partners)
	a.printUnconfirmed(s.Partners)
	if len(s.Agreements) > 0 {
		a.printf("\nagreements not in force\n")
		t := newTable("AGREEMENT", "#VERSION", "WHY")
		for _, g := range s.Agreements {
			t.add(string(g.Name), number(g.Version), g.Why)
		}
		t.write(a.out, "  ")
	}
	if len(s.Refusals) > 0 {
		a.printf("\nrefused from partners, newest first\n")
		t := newTable("WHEN", "FROM", "#ENTRY", "AT", "RULE", "AGREEMENT")
		for _, r := range s.Refusals {
			t.add(at(r.At), string(r.From), number(r.Index), r.Pointer, r.Rule, string(r.Agreement))
		}
		t.write(a.out, "  ")
	}
	if len(s.Warnings) > 0 {
		a.printf("\nwarnings\n")
		for _, w := range s.Warnings {
			a.printf("  %s\n", clean(w))
		}
	}
}

// printWithdrawals lists what partners were told to delete and have not said
// they did, the oldest first.
func (a *app) printWithdrawals(ps []node.PartnerReply) {
	var out []node.PartnerReply
	for _, p := range ps {
		if p.Outstanding > 0 {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return
	}
	slices.SortStableFunc(out, func(x, y node.PartnerReply) int {
		if x.OldestHours > y.OldestHours {
			return -1
		}
		if x.OldestHours < y.OldestHours {
			return 1
		}
		return 0
	})
	a.printf("\nwithdrawals that partners have not receipted\n")
	t := newTable("PARTNER", "AGREEMENT", "#RECORDS", "OLDEST")
	for _, p := range out {
		t.add(string(p.Council), string(p.Agreement), number(p.Outstanding), age(p.OldestHours))
	}
	t.write(a.out, "  ")
}
