package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) agreementDiffCommand() *cobra.Command {
	var version int
	c := &cobra.Command{
		Use:   "diff FILE|NAME FILE|NAME",
		Short: "Say in words what one agreement says otherwise than another",
		Long: `Diff compares two texts, heading by heading: first what is wider in the second, so
that more would travel or be kept longer, then what is changed, and then what is
narrower. Either is a file or the name of an agreement, of which it takes the newest
version; --version says which the first is to be.`,
		Example: `  stile agreement diff northmoor.gov.uk/people-moving-to-saltby amended.yaml
  stile agreement diff --version 1 northmoor.gov.uk/people-moving-to-saltby northmoor.gov.uk/people-moving-to-saltby`,
		Args: takes(2, 2, "two files or names of agreements"),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, _, err := a.evidence(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			new, _, err := a.evidence(cmd.Context(), args[1], 0)
			if err != nil {
				return err
			}
			lines := agreement.Diff(old, new)
			if a.json {
				return a.emit(map[string]any{"differences": append([]string{}, lines...)})
			}
			if len(lines) == 0 {
				a.say("the two say the same, but for the version")
			}
			for _, l := range lines {
				a.printf("%s\n", l)
			}
			return nil
		},
	}
	c.Flags().IntVar(&version, "version", 0, "`version` of the first, where that is a name; default: the newest")
	return c
}

func (a *app) agreementAcceptCommand() *cobra.Command {
	var to, review string
	var yes, all bool
	var who speaker
	c := &cobra.Command{
		Use:   "accept STANDARD",
		Short: "Accept the blanket agreement that the publisher of a standard offers",
		Long: `Accept signs the agreement that the publisher of a standard offers to every council
in the same words, and that comes with the standard: through the directory, or with
Stile. Our council is the sender; nothing is to be filled in. With --to another
council receives than the one that the text names, and with --review it is looked at
again on another day, which a text needs whose own day has come.

At the receiver, --all signs for it every such agreement that waits and says word
for word what the standard offers, with --review those that name that day. One that
says anything else is left, and named: read it, and sign it by its name.

What was accepted before is amended where it said something else: a newer version of
the standard may have fields that an older text does not let through.

A version of the standard that was adopted before its publisher offered anything
needs no newer one: what a later version of the same major offers is taken.`,
		Example: `  stile agreement accept compliance-statement
  stile agreement accept exchange-case
  stile agreement accept exchange-case --all`,
		Args: takes(1, 1, "a standard"),
		RunE: func(cmd *cobra.Command, args []string) error {
			std, err := a.offering(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			day, err := a.reviewOf(std, review)
			if err != nil {
				return err
			}
			if all {
				if to != "" {
					return misused("--all signs as the receiver; --to is for the sender")
				}
				return a.acceptAll(cmd.Context(), std, cfg.Council, day, yes, who)
			}
			var receiver name.Council
			if to != "" {
				if receiver, err = name.ParseCouncil(strings.ToLower(to)); err != nil {
					return misused("--to: %v", err)
				}
			}
			doc, err := blanket(std, cfg.Council, receiver, day)
			if err != nil {
				return unusable(std, err)
			}
			// What was accepted before and said something else is amended, such as after a newer
			// version of the standard was adopted.
			if now, err := a.node().Agreements().Show(cmd.Context(), node.AgreementRequest{Name: string(doc.Name)}); err == nil {
				if doc.Version = now.Version; doc.Digest().String() != now.Digest {
					doc.Version++
				}
			} else if !isKind(err, node.NotFound) {
				return err
			}
			if err := a.sure(yes, "sign %s, by which %s receives what its %d fields say", doc.Name, list(doc.To), len(doc.Fields)); err != nil {
				return err
			}
			req := node.AgreementRequest{Document: doc.YAML()}
			if err := a.speaks(who, &req); err != nil {
				return err
			}
			r, err := a.node().Agreements().Sign(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			if r.Approval != nil {
				a.another(*r.Approval, "accept "+args[0])
				return nil
			}
			a.printf("signed %s version %d, document %s\n", r.Name, r.Version, r.Digest)
			a.printf("signed by %s; %s\n", list(r.Signed), force(r))
			if len(r.Waiting) > 0 {
				again := ""
				if review != "" {
					again = " --review " + review
				}
				a.say("next, there: stile agreement accept %s --all%s", std.Name().Line(), again)
			}
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "another `council` that receives")
	c.Flags().StringVar(&review, "review", "", "another `date` of review than the text names, such as 2029-11-30")
	who.flags(c)
	c.Flags().BoolVar(&all, "all", false, "as the receiver: sign all that wait and say just that")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// offering returns the standard, with the agreement that its publisher offers: that of the
// version which is adopted or, where it has none, of the first after it that comes with Stile
// and has one: a later one may speak of fields that the adopted version does not have.
func (a *app) offering(ctx context.Context, named string) (*standard.Standard, error) {
	std, err := a.standardFor(ctx, named)
	if err != nil || std.Agreement() != nil {
		return std, err
	}
	all, err := offers(std)
	if err != nil {
		return nil, err
	}
	if len(all) > 0 {
		return all[len(all)-1], nil
	}
	return nil, failure(node.NotFound, "stile agreement draft --to COUNCIL --standard "+std.Name().Line().String(), "the publisher of %s offers no agreement with it", std.Name())
}

// offers returns the versions of a standard's major that offer an agreement: std, where it
// does, and those that come with Stile, newest first.
func offers(std *standard.Standard) (out []*standard.Standard, err error) {
	if std.Agreement() != nil {
		out = append(out, std)
	}
	all, err := catalogue.Shipped(std.Name().Line().String())
	for _, s := range all {
		if s.Agreement() != nil && s.Name() != std.Name() {
			out = append(out, s)
		}
	}
	return out, err
}

// offered returns the newest version of a standard that comes with Stile and offers an
// agreement; nil for none.
func offered(named string) (*standard.Standard, error) {
	all, err := catalogue.Shipped(named)
	if err != nil {
		return nil, err
	}
	for _, std := range all {
		if std.Agreement() != nil {
			return std, nil
		}
	}
	return nil, nil
}

// unusable says that the text which a publisher offers is no agreement that can be accepted.
func unusable(std *standard.Standard, why error) error {
	return failure(node.Invalid, "ask its publisher", "the agreement that %s offers cannot be used: %v", std.Name(), why)
}

// reviewOf is the date of review with which an offered agreement is accepted: the one that is
// typed, or that of the text. Under one that has come nothing would travel.
func (a *app) reviewOf(std *standard.Standard, typed string) (agreement.Date, error) {
	own, err := agreement.Parse(std.Agreement())
	if err != nil {
		return "", unusable(std, err)
	}
	day := own.Review
	if typed != "" {
		if day, err = agreement.ParseDate(typed); err != nil {
			return "", misused("--review: %v", err)
		}
	}
	switch {
	case day == "", a.clock().Before(day.Time()): // without one it cannot be signed, which is told there
		return day, nil
	case typed != "":
		return "", failure(node.Usage, "name a later day", "the date of review, %s, has come: nothing would travel", day)
	}
	return "", failure(node.Invalid, "ask its publisher for a newer one; or agree on a day with the other council, and both name it with --review",
		"the agreement that %s offers was due for review on %s: nothing would travel under it", std.Name(), day)
}

// blanket returns what a standard offers, with a sender, a date of review, and a receiver in
// the place of its own when one is given.
func blanket(std *standard.Standard, sender, receiver name.Council, review agreement.Date) (*agreement.Agreement, error) {
	doc := std.Agreement()
	own, err := agreement.Parse(doc)
	if err != nil {
		return nil, err
	}
	if len(own.To) != 1 {
		return nil, fmt.Errorf("it names %d receivers, want one", len(own.To))
	}
	if sender == own.To[0] && receiver == "" {
		return nil, fmt.Errorf("%s is its receiver; --all signs what waits", sender)
	}
	// Marks first, so that neither is put in the place of the other.
	for i, c := range []name.Council{own.To[0], own.From} {
		doc = bytes.ReplaceAll(doc, []byte(c), fmt.Appendf(nil, "party-%d.invalid", i))
	}
	if receiver == "" {
		receiver = own.To[0]
	}
	// The publisher of a standard is often its receiver: its name is no party's there.
	doc = bytes.ReplaceAll(doc, []byte("standard: party-0.invalid"), append([]byte("standard: "), own.To[0]...))
	doc = bytes.ReplaceAll(bytes.ReplaceAll(doc, []byte("party-0.invalid"), []byte(receiver)), []byte("party-1.invalid"), []byte(sender))
	out, err := agreement.Parse(doc)
	if err == nil {
		out.Review = review
	}
	return out, err
}

// acceptAll signs as receiver what waits for us and is word for word what a version of the
// standard's major offers, with a date of review: its sender may have adopted another version.
func (a *app) acceptAll(ctx context.Context, std *standard.Standard, self name.Council, review agreement.Date, yes bool, who speaker) error {
	waiting, err := a.node().Agreements().List(ctx)
	if err != nil {
		return err
	}
	waiting = slices.DeleteFunc(waiting, func(r node.AgreementReply) bool {
		return r.Standard != std.Name().Line() || !slices.Contains(r.To, self) || !slices.Contains(r.Waiting, self)
	})
	texts, err := offers(std)
	if err != nil {
		return err
	}
	var same []node.AgreementReply
	for _, r := range waiting {
		// says returns which version offers what is said, with a day of review; nil for none.
		says := func(day agreement.Date) *standard.Standard {
			for _, s := range texts {
				want, err := blanket(s, r.From, self, day)
				if err != nil {
					continue
				}
				if want.Version = r.Version; want.Digest().String() == r.Digest {
					return s
				}
			}
			return nil
		}
		if s := says(review); s != nil && s.Name().Version.Compare(std.Name().Version) > 0 {
			a.say("%s says what %s offers, which this council has not adopted, and is left: stile standard adopt %s", r.Name, s.Name(), s.Name())
			continue
		} else if s != nil {
			same = append(same, r)
			continue
		}
		if day, err := agreement.ParseDate(r.Review); err == nil && says(day) != nil {
			a.say("%s is to be reviewed on %s and not on %s, and is left: --review %s signs those of that day", r.Name, day, review, day)
			continue
		}
		a.say("%s says something else than the standard offers, and is left: stile agreement show %s", r.Name, r.Name)
	}
	if len(same) == 0 {
		a.say("nothing waits that says just what %s offers", std.Name())
		return nil
	}
	if err := a.sure(yes, "sign %s, each in the words that %s offers", plural(len(same), "agreement", "agreements"), std.Name()); err != nil {
		return err
	}
	var as node.AgreementRequest
	if err := a.speaks(who, &as); err != nil {
		return err
	}
	var signed []node.AgreementReply
	for _, w := range same {
		r, err := a.node().Agreements().Sign(ctx, node.AgreementRequest{Name: string(w.Name), Version: w.Version, As: as.As, Passphrase: bytes.Clone(as.Passphrase)})
		if err != nil {
			return err
		}
		signed = append(signed, r)
		switch {
		case a.json:
		case r.Approval != nil:
			a.another(*r.Approval, "accept "+std.Name().Line().String()+" --all")
		default:
			a.printf("signed %s version %d; %s\n", r.Name, r.Version, force(r))
		}
	}
	if a.json {
		return emitLines(a, signed)
	}
	return nil
}
