package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) logCommand() *cobra.Command {
	return noun("log", "See whether our own log may grow, and let it go on", `A council's log must only grow. A node whose folder is an old copy would sign a second
history, which its partners would see, and stop all exchange. So before it signs
anything a node asks its partners and witnesses what they hold of its log.`,
		a.logStatusCommand(), a.logLostCommand(), a.logContinueCommand())
}

func (a *app) logStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether our log may grow and, if not, what can be done",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.node().Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(struct {
					Size uint64          `json:"size"`
					Root string          `json:"root"`
					Halt *node.HaltReply `json:"halt,omitempty"`
				}{s.LogSize, s.LogRoot, s.Halt})
			}
			if s.Halt == nil {
				a.printf("our log of %s may grow\n", plural(s.LogSize, "entry", "entries"))
				return nil
			}
			a.printHalt(s.Halt)
			return nil
		},
	}
}

// printHalt says why nothing is signed in our log, and what can be done.
func (a *app) printHalt(h *node.HaltReply) {
	if h == nil {
		return
	}
	a.printf("STOPPED: nothing is signed in our own log: %s.\n", h.Reason)
	switch {
	case len(h.Holders) > 0:
		lost := "another history"
		if h.Newest > h.Size {
			lost = fmt.Sprintf("entries %s to %s", number(h.Size), number(h.Newest-1))
		}
		a.printf("  Not here is %s. What can be done, the best first:\n", lost)
		a.printf("  1. Stop this node, and bring the newest copy of its folder back. If another node runs with our keys, stop it for good.\n")
		a.printf("  2. If there is none: say so to %s. There a person runs\n", list(h.Holders))
		a.printf("       stile council quarantine end OUR-DOMAIN --follow told --because \"…\"\n")
		a.printf("     and here one runs\n")
		a.printf("       stile log continue --because \"…\"\n")
		a.printf("     The next entry of our log then names what was lost and who agreed; copies at those partners start over.\n")
		if h.Lost > 0 {
			a.printf("  They still held %s here no more: stile log lost\n", plural(h.Lost, "record of ours that is", "records of ours that are"))
		}
	case len(h.Elsewhere) > 0:
		a.printf("  Stop the node that should not run, for good. The other goes on by itself within a minute after %s last heard it.\n", list(h.Elsewhere))
		a.printf("  If there is no other, somebody has our keys: stop this node, and have the directory revoke them (stile key rotate --help).\n")
		a.printf("  If %s cannot be asked any more, a person may take the risk: stile log continue --accept-risk --because \"…\"\n", list(h.Elsewhere))
	case len(h.Agreed) > 0:
		a.printf("  %s agreed that our log begins anew from here: stile log continue --because \"…\"\n", list(h.Agreed))
	default:
		a.printf("  It goes on by itself once all have answered; the node has to run for that: stile serve\n")
		a.printf("  If they never will, a person may take the risk: stile log continue --accept-risk --because \"…\"\n")
	}
}

func (a *app) logContinueCommand() *cobra.Command {
	var in node.ContinueRequest
	var yes bool
	c := &cobra.Command{
		Use:   "continue --because TEXT",
		Short: "Let our log go on from what stands here, which it notes",
		Long: `Continue lets a log that is held back go on from what stands in this folder. The next
entry says so: why, which head was lost, who agreed, and who did not answer.

Whoever holds a newer part of our log has to agree first, by ending its own stop with
--follow told. With --accept-risk the log goes on although some have not answered: if
one of them turns out to hold a newer part, then two histories are signed, it stops all
exchange with us, and has the proof.`,
		Example: `  stile log continue --because "disk lost on 3 May, backup of 2 May restored; J. Hale, head of ICT"`,
		Args:    takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.node().Status(cmd.Context())
			if err != nil {
				return err
			}
			what := "let the log of %s go on from what stands in this folder, and give up what it once had after that"
			if in.AcceptRisk {
				what = "let the log of %s go on although some have not said what they hold of it, at the risk of two histories"
			}
			if err := a.sure(yes, what, s.Council); err != nil {
				return err
			}
			r, err := a.node().Log().Continue(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("our log goes on; its entry %s says so\n", number(r.Entry))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&in.Because, "because", "", "why it goes on, which our log keeps")
	f.BoolVar(&in.AcceptRisk, "accept-risk", false, "go on although some have not answered what they hold of our log")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) logLostCommand() *cobra.Command {
	var std, out string
	var forget, yes bool
	c := &cobra.Command{
		Use:   "lost [--standard STANDARD --export FILE]",
		Short: "List records that were lost with our folder and given back by who held them",
		Long: `Lost lists versions of our own records that are in no copy of our log here, and that
partners held and gave back: with the fields that they were given, and no others. That
they stood in our log is the partners' word.

With --export those of one standard are written to a file, the newest version of each, to
be completed from where they came from and imported again. --forget erases the list.`,
		Example: `  stile log lost
  stile log lost --standard housing-need --export lost.ndjson`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if forget {
				if err := a.sure(yes, "erase the records that partners gave back"); err != nil {
					return err
				}
				return a.node().Log().ForgetLost(cmd.Context())
			}
			var all []node.LostReply
			for from := uint64(0); ; {
				page, err := a.node().Log().Lost(cmd.Context(), node.LostRequest{From: from})
				if err != nil {
					return err
				}
				if len(page) == 0 {
					break
				}
				all = append(all, page...)
				from = page[len(page)-1].Entry + 1
			}
			if out != "" {
				if std == "" {
					return misused("name the standard of the records with --standard")
				}
				r, err := a.node().Standards().Show(cmd.Context(), node.StandardRequest{Name: std})
				if err != nil {
					return err
				}
				return a.exportLost(all, r.Name.Line().String(), out)
			}
			if a.json {
				return emitLines(a, all)
			}
			if len(all) == 0 {
				a.say("no record was lost and given back")
				return nil
			}
			t := newTable("#ENTRY", "RECORD", "STANDARD", "#VERSION", "#WITHHELD", "HELD BY")
			for _, l := range all {
				t.add(number(l.Entry), string(l.Record), l.Standard, number(l.Version), number(l.Withheld), string(l.Held))
			}
			t.write(a.out, "")
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&std, "standard", "", "the `standard` of what is exported")
	f.StringVar(&out, "export", "", "new `file` to write the records to, one to a line; - is standard output")
	f.BoolVar(&forget, "forget", false, "erase what was given back")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// exportLost writes the newest version of each lost record of a line of a standard.
func (a *app) exportLost(all []node.LostReply, line, out string) error {
	newest := map[name.Record]node.LostReply{}
	for _, l := range all {
		of, err := name.ParseStandard(l.Standard)
		if err != nil || of.Line().String() != line {
			continue
		}
		if was, ok := newest[l.Record]; !ok || l.Version > was.Version || l.Version == was.Version && l.Withheld < was.Withheld {
			newest[l.Record] = l
		}
	}
	var b bytes.Buffer
	n := 0
	for _, l := range all {
		if x := newest[l.Record]; x.Entry == l.Entry && x.Held == l.Held && !x.Deleted {
			b.Write(x.Body)
			b.WriteByte('\n')
			n++
		}
	}
	if err := a.writeNew(out, b.Bytes(), 0o600); err != nil || out == "-" {
		return err
	}
	a.say("wrote %s to %s", plural(n, "record", "records"), clean(out))
	return nil
}
