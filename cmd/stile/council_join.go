package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) councilInviteCommand() *cobra.Command {
	var req node.InviteRequest
	c := &cobra.Command{
		Use:   "invite",
		Short: "Print a code with which another council joins this directory",
		Long: `Invite prints one code for a council that is to join the directory this node follows,
and six words. Send the code any way you like: it is no secret. But read the six
words to each other, over the telephone say: a code that was exchanged on its way has
other words.

The code leads to the directory; it admits nobody. Who is a member the registrar says:
see "stile directory admit".`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Directory().Invite(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s\n", r.Code)
			a.printf("words    %s\n", r.Words)
			a.printf("address  %s\n", clean(r.Address))
			a.printf("expires  %s\n", at(r.Expires))
			a.say("the other council runs: stile council join CODE, and you read the six words to each other")
			return nil
		},
	}
	c.Flags().StringVar(&req.Address, "address", "", "`address` of a node or web server that has the directory, such as https://stile.northmoor.gov.uk/directory; default: this node's own")
	c.Flags().IntVar(&req.Days, "days", 0, "for how many days the code is good; default 14")
	return c
}

func (a *app) councilJoinCommand() *cobra.Command {
	var words string
	var yes bool
	c := &cobra.Command{
		Use:   "join CODE",
		Short: "Follow the directory that an invite leads to",
		Long: `Join makes this node follow the directory that a code leads to. It shows the six
words of the code: whoever made it must read out the same ones. --words checks the
words that the other side read out; --yes says that they were compared.

What this node logged, holds and agreed stays, and the directory it followed is kept
beside the new one. Whom it believes and exchanges with is the new directory's to say
from then on. The directory must have admitted this council: send its registrar what
"stile council self" prints.`,
		Example: `  stile council join stile1-ahz4… --words "copper lantern otter meadow barrel violet"`,
		Args:    takes(1, -1, "a code"),
		RunE: func(cmd *cobra.Command, args []string) error {
			code := strings.Join(args, "") // mail breaks it into pieces
			i, err := tufdir.ParseInvite(code)
			if err != nil {
				return failure(node.Usage, "copy all of it again, or ask for another", "%v", err)
			}
			own := i.Words()
			if !a.json {
				t := newTable("", "")
				t.add("root", hex.EncodeToString(i.Root[:8])+"…")
				t.add("address", i.Address)
				until := "never"
				if !i.Expires.IsZero() {
					until = at(i.Expires)
				}
				t.add("expires", until)
				t.add("words", own)
				t.write(a.err, "  ")
			}
			switch {
			case words != "":
				if !tufdir.SameWords(words, own) {
					return failure(node.Unverified, "have the code sent again, by another way, and read the words again", "these are not the words of this code: somebody may have exchanged it, or a word was misheard")
				}
			default:
				if err := a.sure(yes, "follow that directory: does the other side read out the same six words"); err != nil {
					return err
				}
			}
			r, err := a.node().Directory().Join(cmd.Context(), node.JoinRequest{Code: code})
			if err != nil {
				return err
			}
			stops, err := a.strangers(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(struct {
					node.DirectoryReply
					Stops []name.Council `json:"exchange_stops_with,omitempty"`
				}{r, stops})
			}
			a.printf("joined the directory with root %s…, of %s and %s\n", r.Root[:16], plural(r.Members, "member", "members"), plural(r.Standards, "standard", "standards"))
			for _, c := range stops {
				a.printf("exchange with %s stops: it is not in this directory\n", c)
			}
			return nil
		},
	}
	c.Flags().StringVar(&words, "words", "", "the six `words` that the other side reads out")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask: the words were compared")
	return c
}

// strangers returns the parties of agreements in force that are no members of the
// directory now.
func (a *app) strangers(ctx context.Context) ([]name.Council, error) {
	agreements, err := a.node().Agreements().List(ctx)
	if err != nil {
		return nil, err
	}
	replies, err := a.node().Councils().List(ctx)
	if err != nil {
		return nil, err
	}
	var members []directory.Member
	for _, r := range replies {
		m, err := directory.ParseMember([]byte(r.Document))
		if err != nil {
			return nil, fmt.Errorf("read member %s: %w", r.Council, err)
		}
		members = append(members, m)
	}
	var parties []name.Council
	for _, g := range agreements {
		if g.InForce {
			parties = append(parties, g.From)
			parties = append(parties, g.To...)
		}
	}
	slices.Sort(parties)
	return notYet(members, slices.Compact(parties)), nil
}
