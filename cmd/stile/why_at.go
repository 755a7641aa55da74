package main

import (
	"context"

	"github.com/stile-exchange/stile/node"
)

const whyAtHelp = "say what the partner had on this past `day`, at its end, or at this time"

// whyAt says what a partner had of a record at the end of a day.
func (a *app) whyAt(ctx context.Context, req node.WhyRequest, day string) error {
	when, err := dayOrTime(day, true)
	if err != nil {
		return misused("--at: %v", err)
	}
	r, err := a.node().Disclosures().Seen(ctx, node.SeenRequest{Partner: req.Partner, Record: req.Record, Standard: req.Standard, At: when})
	if err != nil {
		return err
	}
	if a.json {
		return a.emit(r)
	}
	a.printf("%s: %s\n", at(r.At), clean(r.Answer))
	for _, s := range r.Under {
		if s.Agreement == "" {
			a.printf("\nin the footprint %s, without an agreement\n", s.To)
		} else {
			a.printf("\nunder %s version %d\n", s.Agreement, s.Version)
		}
		t := newTable("", "")
		t.add("it had", yesNo(s.Had)+": "+s.State)
		t.add("version", number(s.RecordVersion)+", let out "+at(s.At)+" (entry "+number(s.Entry)+")")
		t.add("fields", list(s.Fields))
		if s.Unread != "" {
			t.add("", "at most these: "+s.Unread)
		}
		t.add("receipt", receiptWords(s.Receipt))
		t.add("taken back", withdrawalWords(s.Withdrawal))
		t.add("let out before", plural(s.Times, "time", "times"))
		t.write(a.out, "  ")
	}
	return nil
}
