package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/feed"
	"github.com/stile-exchange/stile/node"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	var format string
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how the node and every exchange stand",
		Long: `Status says what somebody should know of first, then what the node holds and, for each
partner, whether it is in step or behind, and because of what. It works while the node
is down, too.

A partner is in step when it holds, and has receipted, everything its agreement
lets it have, and has deleted what was withdrawn.

What somebody should know of is a condition: it has a name, a severity (critical,
warning or notice), a cause and what to try. docs/operating.md lists them all. One that
you have decided to live with is named under accepted in stile.yaml.

With --check it exits with 8 when a condition is critical or a warning, and with 0
otherwise. With --check --format it prints the conditions alone:

  nagios      a line for Nagios, Icinga and the like; the exit code is theirs:
              0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
  prometheus  the text format, for a file that the node exporter reads
  json        one document`,
		Example: `  stile status
  stile status --check --format nagios`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				return a.status(cmd.Context(), check)
			}
			i := slices.IndexFunc(checkFormats, func(f checkFormat) bool { return f.name == format })
			if i < 0 || !check || a.json {
				return misused("--format is nagios, prometheus or json, and goes with --check and without --json")
			}
			return a.checkIn(cmd.Context(), checkFormats[i])
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with 8 when a condition is critical or a warning")
	c.Flags().StringVar(&format, "format", "", "with --check, print the conditions as `nagios`, prometheus or json")
	return c
}

func (a *app) status(ctx context.Context, check bool) error {
	s, err := a.node().Status(ctx)
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
		err = failing(s.Conditions)
	}
	return err
}

// checkIn answers a check in one of the forms that monitoring reads.
func (a *app) checkIn(ctx context.Context, f checkFormat) error {
	s, err := a.node().Status(ctx)
	if err != nil {
		if f.name != "nagios" {
			return err
		}
		e := explain(nil, err)
		a.printf("STILE UNKNOWN - %s. Try: %s\n", strings.ReplaceAll(clean(e.Message), "|", "/"), clean(e.Try))
		return exitStatus(3)
	}
	if err := f.write(a.out, string(s.Council), s.Conditions, time.Now()); err != nil {
		return err
	}
	return f.exit(s.Conditions)
}

// step says in words how one exchange stands.
func step(p node.PartnerReply) string {
	switch {
	case p.Kept != nil:
		return p.Behind
	case p.InStep && p.Mode != "" && p.Direction == "from":
		return "it can be asked"
	case p.InStep && p.Mode != "" && p.Footprint != "":
		return "it may ask; this member answered " + plural(p.Asked, "question", "questions") + " today"
	case p.InStep && p.Mode != "":
		asked := "it may ask; " + plural(p.Asked, "question", "questions") + " today"
		if p.CountBudget > 0 {
			asked += fmt.Sprintf(", %d of %d countings this year", p.Spent, p.CountBudget)
		}
		return asked
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

// printCounted says what was committed to, and whether what came is that.
func (a *app) printCounted(ps []node.PartnerReply) {
	t := newTable("PARTNER", "", "AGREEMENT", "#RECORDS", "#AT SIZE", "WHEN", "")
	for _, p := range ps {
		switch c := p.Counted; {
		case c == nil:
		case p.Direction == "to":
			t.add(string(p.Council), "we send", string(p.Agreement), number(c.Count), number(c.Size), at(c.At), "committed to in our log")
		case p.Differs != nil:
			t.add(string(p.Council), "we receive", string(p.Agreement), number(c.Count), number(c.Size), at(c.At), "what came DIFFERS")
		default:
			t.add(string(p.Council), "we receive", string(p.Agreement), number(c.Count), number(c.Size), at(c.At), "complete: it is what came")
		}
	}
	if len(t.rows) > 0 {
		a.printf("\ncounted\n")
		t.write(a.out, "  ")
	}
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

// printAtTerm says what receivers deleted at the end of the time they may keep it.
func (a *app) printAtTerm(ps []node.PartnerReply) {
	for _, p := range ps {
		if p.AtTerm == 0 {
			continue
		}
		who := string(p.Council)
		if p.Direction == "from" {
			who = "we"
		}
		a.printf("%s: %s deleted %s at the end of the time for which they may be kept, the last on %s\n", p.Agreement, who, plural(p.AtTerm, "record", "records"), at(p.AtTermAt))
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
	grave := slices.DeleteFunc(slices.Clone(s.Conditions), func(c node.Condition) bool { return c.Severity != node.Critical })
	if len(grave) > 0 {
		a.conditionLines(grave)
		a.printf("\n")
	}
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
	if b := s.Backup; b != nil {
		t.add("backup", backupLine(b))
	}
	t.write(a.out, "")

	a.printf("\n")
	if len(s.Partners) == 0 {
		a.printf("no exchange: no agreement is in force\n")
	} else {
		partnerTable(s.Partners).write(a.out, "")
	}
	a.printCounted(s.Partners)
	a.printWithdrawals(s.Partners)
	a.printUnconfirmed(s.Partners)
	a.printAtTerm(s.Partners)
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
	if len(s.Shares) > 0 {
		a.printf("\nrefused to others, who had used their share\n")
		t := newTable("COUNCIL", "WHAT", "#TIMES", "LAST", "")
		for _, r := range s.Shares {
			t.add(string(r.Council), r.Kind, number(r.Count), at(r.Last), r.Why)
		}
		t.write(a.out, "  ")
	}
	if rest := s.Conditions[len(grave):]; len(rest) > 0 {
		a.printf("\nto look at\n")
		a.conditionLines(rest)
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

// backupLine says how the newest backup stands.
func backupLine(b *node.LastBackup) string {
	line := "none was made yet"
	if !b.Made.IsZero() {
		line = fmt.Sprintf("made %s, at %s", b.Made.UTC().Format("2006-01-02 15:04 UTC"), plural(b.Size, "entry", "entries"))
	}
	if !b.Verified.IsZero() {
		line += ", one verified " + b.Verified.UTC().Format("2006-01-02 15:04 UTC")
	}
	if b.Failed != "" {
		line += "; the last try failed"
	}
	return line
}
