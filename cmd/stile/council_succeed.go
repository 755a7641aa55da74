package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/release"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) councilSucceedCommand() *cobra.Command {
	s := &succeeding{app: a}
	c := &cobra.Command{
		Use:   "succeed PLAN [--preview | --rehearse | --hand-over FOLDER]",
		Short: "End this council: seal its ledger, and hand its records to those that follow",
		Long: `Succeed is for the node of a council that ends on a day. PLAN is a file that all who take
part have agreed: who ends, who begins, and who has which records. docs/succession.md
has its form, and says who types what on which day.

With --preview it counts the records that each successor has, those that the plan gives
to nobody, and the agreements that end. With --rehearse it does everything on a copy of
the data folder and says what came of it; the node has to be stopped, and nobody is
told. Neither changes anything.

Without a flag it does it: every agreement of ours ends, what we hold of others is
deleted, we leave our footprints, from which our records are withdrawn first, and the
last entry is written, which names the successors and their keys.
Nothing is signed after it, and nothing takes it back. It asks first. Run the node
afterwards until partners have said that they deleted what they held, and one of them
has cosigned the last entry. Then --hand-over writes one file for each successor, with
all fields of its records: mind who gets it.

Each successor takes over with "stile council take-over".`,
		Example: `  stile council succeed northshire-2027.yaml --preview
  stile council succeed northshire-2027.yaml --rehearse --data /srv/copy
  stile council succeed northshire-2027.yaml
  stile council succeed northshire-2027.yaml --hand-over /media/stick`,
		Args: takes(1, 1, "a plan"),
		RunE: s.run,
	}
	f := c.Flags()
	f.BoolVar(&s.preview, "preview", false, "only say what the plan makes of our records and agreements")
	f.BoolVar(&s.rehearse, "rehearse", false, "do everything on a copy, which is removed again")
	f.StringVar(&s.scratch, "scratch", "", "`folder` in which --rehearse makes its copy; default: the system's")
	f.StringVar(&s.handOver, "hand-over", "", "`folder` to write a file for each successor into, once the ledger is sealed")
	f.StringVar(&s.by, "by", "", "`name` or pseudonym of the person who decides it; partners read it")
	f.BoolVar(&s.yes, "yes", false, "do not ask")
	return c
}

type succeeding struct {
	*app
	preview, rehearse, yes bool
	scratch, handOver, by  string
}

func (s *succeeding) run(cmd *cobra.Command, args []string) error {
	chosen := 0
	for _, set := range []bool{s.preview, s.rehearse, s.handOver != ""} {
		if set {
			chosen++
		}
	}
	if chosen > 1 {
		return misused("choose one of --preview, --rehearse and --hand-over")
	}
	plan, err := s.readFile(args[0], event.MaxPlan)
	if err != nil {
		return err
	}
	in := node.SuccessionRequest{Plan: plan, By: s.by}
	ctx, to := cmd.Context(), s.node().Successions()
	if s.rehearse {
		cfg, err := s.load()
		if err != nil {
			return err
		}
		r, err := node.Rehearse(ctx, cfg, plan, s.scratch, node.Options{Version: release.Of().String()})
		if err != nil {
			return err
		}
		return s.rehearsed(*r)
	}
	r, err := to.Preview(ctx, in)
	if err != nil {
		return err
	}
	switch {
	case s.preview:
		return s.print(r)
	case s.handOver != "":
		return s.handOverTo(cmd, r)
	case r.Sealed:
		return s.print(r)
	}
	if !s.json {
		s.say("%s ends on %s; %s end, %s left, and nothing is signed after this", r.Council, r.On, plural(len(r.Agreements), "agreement", "agreements"), plural(len(r.Footprints), "footprint is", "footprints are"))
		for _, x := range r.Warnings {
			s.say("%s", x)
		}
	}
	if err := s.sure(s.yes, "seal the ledger of %s for good", r.Council); err != nil {
		return err
	}
	if r, err = to.Seal(ctx, in); err != nil {
		return err
	}
	return s.print(r)
}

func (s *succeeding) print(r node.SuccessionReply) error {
	if s.json {
		return s.emit(r)
	}
	if r.Sealed {
		s.printf("%s is sealed with entry %s: on %s it is succeeded\n", r.Council, number(r.Entry), r.On)
	} else {
		s.printf("%s ends, and is succeeded on %s\n", r.Council, r.On)
	}
	t := newTable("SUCCESSOR", "KEY", "STANDARD", "RECORDS")
	for _, x := range r.Successors {
		t.add(string(x.Council), dash(x.KeyID), "all", number(x.Records))
		for _, y := range x.Standards {
			t.add("", "", y.Standard.String(), number(y.Records))
		}
	}
	t.write(s.out, "")
	if r.Sealed {
		s.printf("cosigned by %s\n", dash(list(r.Witnesses)))
		s.printf("not yet deleted at %s\n", dash(list(r.Unreceived)))
		for _, k := range r.Kept {
			s.printf("kept by %s: %s under %s, until it comes from %s, at the latest until %s\n", k.Council, plural(k.Records, "record", "records"), k.Agreement, list(k.For), k.Until)
		}
		return nil
	}
	s.printf("%s here: statements about this council, and what a mapping made\n", plural(r.Stays, "record stays", "records stay"))
	for _, x := range r.Agreements {
		s.printf("ends: %s version %d, from %s to %s\n", x.Agreement, x.Version, x.From, list(x.To))
	}
	for _, x := range r.Handovers {
		way := fmt.Sprintf("handover %s %s %s, %s; %s is responsible", x.Case[:8], x.Direction, x.Partner, x.State, x.Responsible)
		if x.Due != "" {
			way += "; due " + x.Due
		}
		if len(x.To) == 1 {
			s.printf("carried on by %s: %s\n", x.To[0], way)
			continue
		}
		why := "the plan does not decide, since nothing of it is here"
		if x.Records > 0 {
			why = "its records go to more than one"
		}
		s.printf("FOR A PERSON TO DECIDE between %s: %s; %s\n", list(x.To), way, why)
	}
	if r.Own > 0 {
		s.printf("taken over in handovers: %s put among our own before it is sealed, for the plan to share out\n", plural(r.Own, "record is", "records are"))
	}
	for _, x := range r.Footprints {
		switch {
		case x.Outside:
			s.printf("withdraws: %s from footprint %s, which %s keep\n", plural(x.Records, "record of ours", "records of ours"), x.Footprint, list(x.Members))
			continue
		case len(x.Members) == 0:
			s.printf("leaves: footprint %s\n", x.Footprint)
			continue
		}
		s.printf("leaves: footprint %s, and %s there; %s withdrawn first\n", x.Footprint, list(x.Members), plural(x.Records, "record of ours is", "records of ours are"))
	}
	for _, x := range r.Nobody {
		s.printf("TO NOBODY: %s of %s: %s; such as %s\n", plural(x.Records, "record", "records"), x.Standard, x.Why, list(x.Examples))
	}
	for _, x := range r.Faults {
		s.printf("IN THE WAY: %s\n", clean(x))
	}
	for _, x := range r.Warnings {
		s.printf("BEFORE IT IS SEALED: %s\n", clean(x))
	}
	return nil
}

func (s *succeeding) rehearsed(r node.RehearsalReply) error {
	if s.json {
		return s.emit(r)
	}
	if err := s.print(r.Preview); err != nil {
		return err
	}
	if len(r.Preview.Nobody)+len(r.Preview.Faults) > 0 {
		return failure(node.Invalid, "change the plan, and rehearse again", "the rehearsal went no further: nothing may be sealed like that")
	}
	for _, x := range r.Successors {
		s.printf("\n%s takes over, as rehearsed: %s of %s, from %s, in %s\n", x.Council, number(x.Taken), number(x.Records), size(x.Bytes), time.Duration(x.Milliseconds)*time.Millisecond)
		if x.Handovers > 0 {
			s.printf("%s would be carried on\n", plural(x.Handovers, "handover", "handovers"))
		}
		s.left(x.Left)
	}
	s.say("this was a copy, and it is gone: nothing has changed")
	return nil
}

func (a *app) left(left []node.LeftBehind) {
	for i, x := range left {
		if i == 20 {
			a.printf("left behind: %s more\n", number(len(left)-i))
			return
		}
		a.printf("left behind: record %s, entry %s: %s%s\n", x.Of, number(x.Entry), x.Why, ours(x.Record))
	}
}

func ours(r name.Record) string {
	if r == "" {
		return ""
	}
	return ": " + string(r)
}

// handOverTo writes what each successor takes over.
func (s *succeeding) handOverTo(cmd *cobra.Command, r node.SuccessionReply) error {
	if !r.Sealed {
		return failure(node.Behind, "stile council succeed PLAN", "the ledger is not sealed yet")
	}
	dir, err := filepath.Abs(s.handOver)
	if err != nil {
		return err
	}
	if len(r.Witnesses) == 0 {
		s.say("nobody has cosigned the last entry yet: a successor will not take these files over, but with --unwitnessed")
	}
	for _, x := range r.Successors {
		file := filepath.Join(dir, string(r.Council)+"-to-"+string(x.Council)+".stile")
		b, err := s.node().Successions().HandOver(cmd.Context(), node.HandOverRequest{To: x.Council, File: file})
		if err != nil {
			return err
		}
		if s.json {
			if err := s.emitLine(map[string]any{"council": x.Council, "file": file, "entries": b.Entries, "bytes": b.Bytes}); err != nil {
				return err
			}
			continue
		}
		s.printf("%s: %s for %s\n", filepath.Base(file), plural(x.Records, "record", "records"), x.Council)
	}
	return nil
}

func (a *app) councilTakeOverCommand() *cobra.Command {
	var in node.TakeOverRequest
	var from string
	var yes bool
	c := &cobra.Command{
		Use:   "take-over FILE | --from COUNCIL",
		Short: "Take over the records of a council that has ended",
		Long: `Take-over is for the node of a council that follows one that has ended. FILE is what that
council's node wrote for us (stile council succeed --hand-over). With --from the node of
that council is asked for it, which has to run, as this one has; what broke on the way
goes on where it was when the command is given again, and the file is kept.

All of it is verified first, with the keys of the directory: that the records stand in
the log of that council, that its last entry names us by our key, that a council other
than the two has cosigned it, that the records are those which that entry names, and that
each is ours by the plan. Then each becomes a record of ours, and our log names where it
stood before. "stile record show" finds it by the id that it had there, too.

A record whose key a record of ours has already is left behind, and listed. The same file
again takes what was left, and nothing twice. With --try nothing is taken.`,
		Example: `  stile council take-over /media/stick/northshire.gov.uk-to-east.gov.uk.stile --try
  stile council take-over --from northshire.gov.uk`,
		Args: takes(0, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			of := from
			switch {
			case (len(args) == 0) == (from == ""):
				return misused("name a file, or a council with --from, and not both")
			case from != "":
				if in.From, err = name.ParseCouncil(from); err != nil {
					return misused("--from: %v", err)
				}
			default:
				if in.File, err = filepath.Abs(args[0]); err != nil {
					return err
				}
				if _, err := os.Stat(in.File); errors.Is(err, os.ErrNotExist) {
					return failure(node.NotFound, "look at the path again", "there is no file %q", args[0])
				}
				of = filepath.Base(in.File)
			}
			if !in.Try {
				if err := a.sure(yes, "take over what is in %s", of); err != nil {
					return err
				}
			}
			r, err := a.node().Successions().TakeOver(cmd.Context(), in)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			verb := "taken over"
			if in.Try {
				verb = "would be taken over"
			}
			a.printf("%s, sealed at %s and succeeded on %s; cosigned by %s\n", r.From, plural(int(r.Size), "entry", "entries"), r.On, dash(list(r.Witnesses)))
			a.printf("%s of %s %s", number(r.Taken), plural(r.Records, "record", "records"), verb)
			if r.Already > 0 {
				a.printf("; %s before", number(r.Already))
			}
			a.printf("\n")
			for _, x := range r.Standards {
				a.printf("  %s %s\n", x.Standard, number(x.Records))
			}
			if r.Handovers > 0 {
				a.printf("%s to carry on: stile handover list\n", plural(r.Handovers, "handover", "handovers"))
			}
			a.left(r.Left)
			if r.File != "" {
				a.say("kept as proof: %s", r.File)
			}
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "", "the `council` that has ended, whose node is asked")
	c.Flags().BoolVar(&in.Try, "try", false, "only say what would be taken over")
	c.Flags().BoolVar(&in.Unwitnessed, "unwitnessed", false, "although no council other than the two has cosigned the sealed log")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}
