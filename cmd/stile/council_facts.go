package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/api"
)

func (a *app) councilFactsCommand() *cobra.Command {
	req := node.FactsRequest{}
	c := &cobra.Command{
		Use:   "facts COUNCIL",
		Short: "Say what our own ledger shows of how a council keeps what was agreed",
		Long: `Facts gathers what this node's own ledger shows of another council: how soon it
receipted what was withdrawn, what it refused and what of it we refused, how often each
asked the other, how its log stands and whether two histories of it were met, and what it
states of its own records.

They are facts and no score. Each has the newest entries of our log that show it, which a
bundle of the agreement proves ("stile export bundle"). What was refused within this hour, and what we
did not take, is counted here and stands in no log. How long something took is from
what each side signed, each by its own clock.`,
		Example: `  stile council facts northmoor.gov.uk
  stile council facts northmoor.gov.uk --days 30 --json`,
		Args: takes(1, 1, "a council"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Days < 1 {
				return misused("--days: want at least 1")
			}
			req.Council = args[0]
			r, err := a.node().Councils().Facts(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printFacts(r)
			return nil
		},
	}
	c.Flags().IntVar(&req.Days, "days", 365, "`days` to look back")
	return c
}

// factWords is what the facts are called, in the words of this program.
var factWords = map[string]string{
	api.FactInForce: "agreements in force", api.FactSuspendedByIt: "suspended by it", api.FactAwaitsIt: "proposals that wait for it",
	api.FactSigned: "proposals of ours that it signed", api.FactHolds: "records that it says it holds", api.FactItRefused: "items of ours that it refused",
	api.FactGivenUp: "agreements whose receipts were given up", api.FactReceipted: "withdrawals that it receipted", api.FactLate: "receipted more than a day after",
	api.FactOutstanding: "withdrawals without a receipt", api.FactHeld: "records of it that are here", api.FactCountedEqual: "agreements: what came is what it committed to",
	api.FactCountedDiffers: "agreements: what came is NOT what it committed to", api.FactUncounted: "agreements: not committed to for more than a day",
	api.FactKeptQuiet:   "passed on, had to go, and it kept that quiet",
	api.FactWeRefusedIt: "asked for and refused", api.FactNotTaken: "sent to us and not taken", api.FactAskedUs: "questions that it asked", api.FactWeAsked: "questions that we asked",
	api.FactUnanswered: "of them without an answer that holds", api.FactLogSize: "entries of its log that were seen", api.FactWeCosigned: "its log as far as we cosigned it",
	api.FactItCosigned: "our log as far as it cosigned it", api.FactStopped: "exchange was stopped", api.FactStoppedNow: "EXCHANGE IS STOPPED",
	api.FactForsworn: "we cosign its log no more", api.FactAccusesUs: "it accuses our own log", api.FactStates: "states valid records", api.FactFirstOffers: "offers valid as they first came",
}

// factTopics is what the topics are called.
var factTopics = map[string]string{
	api.FactAgreements: "AGREEMENTS", api.FactSent: "WHAT WE SEND IT", api.FactReceived: "WHAT IT SENDS US", api.FactQuestions: "QUESTIONS",
	api.FactLog: "LOGS AND WITNESSES", api.FactRefusals: "REFUSED", api.FactStandards: "STANDARDS, IN ITS OWN WORDS",
}

func (a *app) printFacts(r node.FactsReply) {
	who := string(r.Council)
	if r.Title != "" {
		who += ", " + clean(r.Title)
	}
	switch {
	case r.Role == "":
		who += ": in the directory no more"
	case !r.MemberUntil.IsZero():
		who += fmt.Sprintf(": %s, a member from %s to %s", r.Role, r.MemberSince.Format(time.DateOnly), r.MemberUntil.Format(time.DateOnly))
	default:
		who += fmt.Sprintf(": %s, a member since %s", r.Role, r.MemberSince.Format(time.DateOnly))
	}
	a.printf("%s\n%s to %s\n", who, r.Since.Format(time.DateOnly), r.Until.Format(time.DateOnly))
	for _, topic := range api.FactTopics() {
		t := newTable(factTopics[topic], "#NUMBER", "WHEN", "ENTRIES OF OUR LOG")
		n := 0
		for _, f := range r.Facts {
			if f.Topic != topic {
				continue
			}
			n++
			what := factWords[f.Name]
			if f.Of != "" {
				what += ": " + clean(f.Of)
			}
			count := number(f.Count)
			if f.Out > 0 {
				count += " of " + number(f.Out)
			}
			if f.Newest {
				count = "at least " + count
			}
			entries := "-"
			if len(f.Entries) > 0 {
				entries = entryList(f.Entries)
			}
			t.add(what, count, factWhen(f), entries)
		}
		if n > 0 {
			a.printf("\n")
			t.write(a.out, "")
		}
	}
}

// factWhen says when something was, or how long it took.
func factWhen(f node.CouncilFact) string {
	lasts := func(seconds float64) string {
		if seconds < 60 {
			return "a minute"
		}
		return age(seconds / 3600)
	}
	switch {
	case f.Took():
		return fmt.Sprintf("half within %s, nine of ten within %s, all within %s", lasts(f.Median), lasts(f.Ninety), lasts(f.Longest))
	case !f.First.IsZero() && !f.Last.IsZero():
		return at(f.First) + " to " + at(f.Last)
	case !f.First.IsZero():
		return "since " + at(f.First)
	case !f.Last.IsZero():
		return "last " + at(f.Last)
	}
	return "-"
}
