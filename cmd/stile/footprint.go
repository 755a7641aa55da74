package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) footprintCommand() *cobra.Command {
	return noun("footprint", "Keep one ledger together with other councils", `A footprint is one ledger that three to twelve councils keep together. Each has
all of it; a majority of them decides what is in it; none is in charge and no key
is shared. It goes on working while a minority is away.

Found one, invite councils, and have each join. From the third on it takes records:
those that an agreement with the footprint permits, by themselves, and open fields
that somebody puts there. An agreement names the footprint like any council, and is
signed by it once a majority of its members has signed, each with its own node.

A footprint is kept by running nodes: all of these but "list" and "verify" want
"stile serve".`,
		a.footprintFoundCommand(), a.footprintInviteCommand(), a.footprintAgreeCommand(), a.footprintJoinCommand(), a.footprintLeaveCommand(), a.footprintDiscardCommand(),
		a.footprintRemoveCommand(), a.footprintCancelCommand(), a.footprintTransferCommand(), a.footprintStatusCommand(), a.footprintListCommand(),
		a.footprintAdoptCommand(), a.footprintPutCommand(), a.footprintWithdrawCommand(), a.footprintImportCommand(), a.footprintRecordsCommand(), a.footprintShowCommand(),
		a.footprintProofCommand(), a.footprintVerifyCommand(), a.footprintCheckpointCommand(), a.footprintEvidenceCommand(), a.footprintEntryCommand(), a.footprintBackupCommand(),
		a.footprintRecoverCommand())
}

// changed prints what a change of a footprint came to.
func (a *app) changedFootprint(r node.FootprintReply, format string, args ...any) error {
	if a.json {
		return a.emit(r)
	}
	a.printf("%s\n", clean(fmt.Sprintf(format, args...)))
	if r.Status != nil {
		a.printf("%s\n", clean(r.Status.Words))
	}
	return nil
}

func (a *app) footprintFoundCommand() *cobra.Command {
	var req node.FootprintRequest
	c := &cobra.Command{
		Use:   "found NAME",
		Short: "Begin a footprint with our council as its first member",
		Long: `Found makes a footprint of one council, ours. Its name is a domain that no council
has. It takes records once three councils have joined.

With --runs the members are machines of one council instead, which keep its ledger
alike, and whichever leads runs its node. NAME is the council's, our own name is one
below it, and the folder named is the council's data folder, whose node is stopped
first: its ledger moves into the footprint. See docs/machines.md.`,
		Example: `  stile footprint found fens.example
  stile footprint found northmoor.gov.uk --runs /srv/northmoor`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Found(cmd.Context(), req)
			if err != nil {
				return err
			}
			if r.Machines != nil {
				if err := a.changedFootprint(r, "%s runs on this machine, and goes on where the lead goes", r.Name); err != nil {
					return err
				}
				a.say("next: stile footprint invite %s MACHINE", r.Name)
				return nil
			}
			if err := a.changedFootprint(r, "founded %s", r.Name); err != nil {
				return err
			}
			a.say("next: stile footprint invite %s COUNCIL", r.Name)
			return nil
		},
	}
	runsFlag(c, &req)
	return c
}

// runsFlag names the council's data folder, from the root of the disk: the node
// does not stand where the command is typed.
func runsFlag(c *cobra.Command, req *node.FootprintRequest) {
	c.Flags().StringVar(&req.Runs, "runs", "", "data `folder` of the council whose machines the members are")
	c.PreRunE = func(_ *cobra.Command, args []string) (err error) {
		if len(args) > 0 {
			req.Name = args[0]
		}
		if req.Runs != "" {
			req.Runs, err = filepath.Abs(req.Runs)
		}
		return err
	}
}

func (a *app) footprintInviteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "invite NAME COUNCIL",
		Short: "Propose that a council may join",
		Long: `Invite proposes that a council may join with the keys our directory has of it. It
counts as our agreement; once a majority of the members agrees (stile footprint
agree) the council may join. There is one change under way at a time, and a proposal
lapses after thirty days.

A member that lost its disk is invited again in the same way: it then joins as a
new replica, and the lost one never votes again.`,
		Args: takes(2, 2, "a footprint and a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Invite(cmd.Context(), node.FootprintRequest{Name: args[0], Council: args[1]})
			if err != nil {
				return err
			}
			if err := a.changedFootprint(r, "proposed that %s may join %s", args[1], r.Name); err != nil {
				return err
			}
			a.nextStep(r, args[1])
			return nil
		},
	}
}

// nextStep says whose turn it is.
func (a *app) nextStep(r node.FootprintReply, council string) {
	if r.Status == nil || a.json {
		return
	}
	switch ch := r.Status.Change; {
	case ch != nil:
		a.say("next, at %s: stile footprint agree %s %s", orList(ch.Waiting), r.Name, ch.Council)
	case slices.ContainsFunc(r.Status.Members, func(m node.FootprintMember) bool { return string(m.Council) == strings.ToLower(council) && !m.Joined }):
		runs := ""
		if r.Machines != nil {
			runs = " --runs " + quoted(r.Machines.Data)
		}
		a.say("next, there: stile footprint join %s --via %s%s", r.Name, r.Status.Self, runs)
	}
}

func orList(cs []name.Council) string {
	var s []string
	for _, c := range cs {
		s = append(s, string(c))
	}
	return strings.Join(s, " or ")
}

func (a *app) footprintAgreeCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "agree NAME COUNCIL",
		Short: "Agree to the change of membership under way",
		Long: `Agree says yes for our council to the change that stile footprint status shows. The
council it is about is named, so that nobody agrees to another change than he read.
An admission is agreed to only with the keys that our own directory has.`,
		Args: takes(2, 2, "a footprint and the council that the change is about"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "agree to the change of %s about %s", args[0], args[1]); err != nil {
				return err
			}
			r, err := a.node().Footprints().Agree(cmd.Context(), node.FootprintRequest{Name: args[0], Council: args[1]})
			if err != nil {
				return err
			}
			if err := a.changedFootprint(r, "agreed to the change about %s", args[1]); err != nil {
				return err
			}
			a.nextStep(r, args[1])
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) footprintJoinCommand() *cobra.Command {
	var req node.FootprintRequest
	c := &cobra.Command{
		Use:   "join NAME --via COUNCIL",
		Short: "Join a footprint that has invited us",
		Long: `Join makes a replica and asks the members to take it in. It gets no vote until it
has caught up. It may be said again when it did not get through.

With --anew the replica that is there is put aside, into a folder within its own,
and never votes again: so does a member that was recovered without us join again.

With --runs a machine joins those of its council; the folder named is a copy of the
council's data folder without ledger/ and machine.`,
		Example: `  stile footprint join fens.example --via northmoor.gov.uk
  stile footprint join northmoor.gov.uk --via one.northmoor.gov.uk --runs /srv/northmoor`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(req.Via) == 0 {
				return misused("name with --via a member to ask, such as the council that invited us")
			}
			r, err := a.node().Footprints().Join(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.changedFootprint(r, "joined %s", r.Name)
		},
	}
	runsFlag(c, &req)
	c.Flags().StringSliceVar(&req.Via, "via", nil, "`councils` that are members, with commas between")
	c.Flags().BoolVar(&req.Anew, "anew", false, "put the replica that is there aside and join as a new one")
	return c
}

func (a *app) footprintLeaveCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "leave NAME",
		Short: "Have our council be a member no longer",
		Long: `Leave says in the footprint that we go. The others' nodes agree by themselves; of a
member that runs an earlier release a person agrees. Then our node deletes what the
others shared, and says so there. First end the agreements under which our records go
there, so that they are withdrawn, and wait until stile status says so.

It is refused while the others would have no majority that is up without us. Where
fewer than three are left no records are taken until another has joined. The last
member has nobody to leave a footprint to, and says stile footprint discard.`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if err := a.sure(yes, "leave %s", args[0]); err != nil {
				return err
			}
			r, err := a.node().Footprints().Remove(cmd.Context(), node.FootprintRequest{Name: args[0], Council: string(cfg.Council)})
			if err != nil {
				return err
			}
			if err := a.changedFootprint(r, "said in %s that we leave it", r.Name); err != nil {
				return err
			}
			if r.Machines != nil {
				a.nextStep(r, string(cfg.Council))
			} else if !a.json {
				a.say("the others agree by themselves, and then what they shared is deleted here: stile footprint list")
			}
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) footprintDiscardCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "discard NAME",
		Short: "Delete what we hold of a footprint that we have left",
		Long: `Discard deletes our replica of a footprint that we are no member of, with all that
others shared in it, and logs that we did.

On the last machine that a council has left it gives the council's ledger back to
its data folder, whose node then runs by itself.`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "delete all that we hold of %s", args[0]); err != nil {
				return err
			}
			if err := a.node().Footprints().Discard(cmd.Context(), node.FootprintRequest{Name: args[0]}); err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]string{"discarded": args[0]})
			}
			a.printf("deleted our replica of %s\n", clean(args[0]))
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) footprintRemoveCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "remove NAME COUNCIL",
		Short: "Propose that a council is a member no longer, or not invited",
		Args:  takes(2, 2, "a footprint and a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "propose to remove %s from %s", args[1], args[0]); err != nil {
				return err
			}
			r, err := a.node().Footprints().Remove(cmd.Context(), node.FootprintRequest{Name: args[0], Council: args[1]})
			if err != nil {
				return err
			}
			if err := a.changedFootprint(r, "proposed to remove %s", args[1]); err != nil {
				return err
			}
			a.nextStep(r, args[1])
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) footprintCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel NAME",
		Short: "Take back the change of membership that we proposed",
		Args:  takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Cancel(cmd.Context(), node.FootprintRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.changedFootprint(r, "took back what we proposed")
		},
	}
}

func (a *app) footprintTransferCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "transfer NAME [COUNCIL]",
		Short: "Hand the lead to another member, before our node stops",
		Long: `One member leads: it puts what all contribute in order. When it goes the others
choose another within a few seconds; handing the lead on first spares them that.
"stile serve" does it by itself when it is told to stop. Only the node that leads
can; without a council it chooses the member that is furthest.`,
		Args: takes(1, 2, "a footprint and perhaps a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := node.FootprintRequest{Name: args[0]}
			if len(args) == 2 {
				req.Council = args[1]
			}
			r, err := a.node().Footprints().Transfer(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.changedFootprint(r, "handed the lead on")
		},
	}
}

func (a *app) footprintAdoptCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:     "adopt NAME STANDARD",
		Short:   "Have a footprint take a standard into use",
		Long:    `Adopt puts a standard that this node has adopted into the footprint's ledger. Every member checks records against it from then on.`,
		Example: "  stile footprint adopt fens.example planning-application",
		Args:    takes(2, 2, "a footprint and a standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "have every member of %s check records against %s from then on", args[0], args[1]); err != nil {
				return err
			}
			r, err := a.node().Footprints().Adopt(cmd.Context(), node.FootprintAdoptRequest{Name: args[0], Standard: args[1]})
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.emit(r)
			case r.Already:
				a.printf("%s had adopted %s\n", clean(args[0]), r.Standard)
			default:
				a.printf("%s has adopted %s\n", clean(args[0]), r.Standard)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) footprintEntryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "entry NAME",
		Short: "Print the directory's entry of a footprint, with its members",
		Long: `Entry prints the member file by which councils outside know who keeps the footprint,
so that they can tell when it has signed an agreement. Send it to the registrar of
the directory, or add it with stile council add, and again when members change.`,
		Example: "  stile footprint entry fens.example > fens.yaml",
		Args:    takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Footprints().Entry(cmd.Context(), node.FootprintRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.exact(r.Document)
			return nil
		},
	}
}

func (a *app) footprintBackupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup NAME FILE",
		Short: "Write a footprint's whole ledger to a new file",
		Long: `Backup writes the ledger as this member holds it, with a digest at the end, while
work goes on. Any member's is as good as another's. It holds no key and no vote, and
does hold what the records say: keep it as safe as the data folder. It is for when
every member is lost (stile footprint recover --from); one member that is lost gets
everything from the others.`,
		Args: takes(2, 2, "a footprint and a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			r, err := a.node().Footprints().Backup(cmd.Context(), node.FootprintBackupRequest{Name: args[0], File: file})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("wrote %s: %s, %s\n", clean(args[1]), plural(r.Entries, "entry", "entries"), size(uint64(r.Bytes)))
			return nil
		},
	}
}

func (a *app) footprintRecoverCommand() *cobra.Command {
	var req node.FootprintRecoverRequest
	var yes bool
	var err error
	c := &cobra.Command{
		Use:   `recover NAME --lost COUNCIL,COUNCIL --because "WHY"`,
		Short: "Go on alone when a majority of the members is lost for good",
		Long: `Recover makes our replica a footprint of one council, from what it holds. Use it only
when so many members are lost for good that the others can decide nothing: what only
the lost ones had is lost, and if they came back there would be two footprints of
one name that contradict each other. One member that is lost is replaced instead:
stile footprint remove, or invite it again.

It names in the ledger, signed by us, who was lost and why. Then at least two
councils are invited and join; members that are not lost join again with --anew.
Choose the member that is furthest (stile footprint status), and no other.

With --from a backup takes the place of the replica.`,
		Example: `  stile footprint recover fens.example --lost saltby.gov.uk,hexwell.gov.uk --because "both halls were flooded on 3 December"`,
		Args:    takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(req.Lost) == 0 && req.Backup == "" {
				return misused("name with --lost the councils that are lost for good")
			}
			if strings.TrimSpace(req.Because) == "" {
				return misused("say with --because what happened: it stays in the ledger")
			}
			if req.Runs != "" && req.Backup == "" {
				return misused("--runs is for --from: a replica that is here knows whose node it runs")
			}
			for _, path := range []*string{&req.Backup, &req.Runs} {
				if *path == "" {
					continue
				}
				if *path, err = filepath.Abs(*path); err != nil {
					return err
				}
			}
			if err := a.sure(yes, "go on alone with %s, as if %s never come back", args[0], strings.Join(req.Lost, " and ")); err != nil {
				return err
			}
			req.Name = args[0]
			r, err := a.node().Footprints().Recover(cmd.Context(), req)
			if err != nil {
				return err
			}
			if err := a.changedFootprint(r, "%s goes on with us alone", r.Name); err != nil {
				return err
			}
			a.say("next: stile footprint invite %s COUNCIL, until three have joined; tell whoever verifies it from outside", r.Name)
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&req.Lost, "lost", nil, "`councils` that are lost for good, with commas between")
	f.StringVar(&req.Because, "because", "", "what happened, in `words`")
	f.StringVar(&req.Backup, "from", "", "take this backup `file` instead of our replica")
	f.StringVar(&req.Runs, "runs", "", "with --from, of a council's machines: the council's data `folder`")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}
