package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) recordCommand() *cobra.Command {
	return noun("record", "List, show, prove, delete and erase records", `A record is one thing a council knows, in one standard. It is named by its id of
26 letters, or by the value of its standard's key (with --standard where two
standards could have it; a key of several values is a JSON array of them).

Records that a partner sent are named with --from, and show what that partner
disclosed. Values are printed by "record show" and, where asked for, by "record
list --show" and "record held --values", and by nothing else; but "record list"
shows beside each record of ours the reference that its standard's key gives it.`,
		a.recordListCommand(), a.recordShowCommand(), a.recordHistoryCommand(), a.recordProofCommand(), a.recordDeleteCommand(), a.recordEraseCommand(), a.recordHeldCommand())
}

// naming is how one record is named.
type naming struct{ standard, from string }

func (n *naming) flags(c *cobra.Command, from bool) {
	c.Flags().StringVar(&n.standard, "standard", "", "`standard` of the record, when it is named by its key")
	if from {
		c.Flags().StringVar(&n.from, "from", "", "`council` that sent the record; default: our own records")
	}
}

func (n *naming) request(record string) node.RecordRequest {
	return node.RecordRequest{Record: record, Standard: n.standard, From: name.Council(n.from)}
}

func (a *app) recordListCommand() *cobra.Command {
	var req node.ListRequest
	var from string
	var show []string
	var all bool
	var before, what string
	c := &cobra.Command{
		Use:   "list",
		Short: "List records: ours, or those a partner sent",
		Long: `List shows our own records or, with --from, those that a partner sent.

With --before it shows of each record that a partner sent whether it came before the
day that stands in a field of it, and with --what whether that part of it did: a care
plan before the day of the move. It tells the days to spare, and marks as LATE what
came on the day or after it, or has not come by now. A day begins at midnight UTC.
What counts is when the version that is here came first. A later version may be LATE
where an earlier one had come in time: its sender, whose log has both, counts the
first ("stile exchange case", "stile verify --before").`,
		Example: `  stile record list --standard planning-application --limit 20
  stile record list --from northmoor.gov.uk --show /reference,/status
  stile record list --from northmoor.gov.uk --standard continuity-of-care --what /plan --before /intention/move_on`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Show = nil
			for _, f := range show {
				field, err := name.ParseField(f)
				if err != nil {
					return misused("--show: %v", err)
				}
				if !a.json {
					req.Show = append(req.Show, field)
				}
			}
			if req.Limit < 1 {
				return misused("--limit: want at least 1")
			}
			needed, err := audit.ParseNeeded(what, before)
			if err != nil {
				return misused("%v", err)
			}
			req.From, req.Bodies = name.Council(from), req.Bodies || len(show) > 0
			if needed != nil {
				if from == "" {
					return misused("--before goes with --from: our own records did not come from anywhere")
				}
				return a.listInTime(cmd.Context(), req, *needed, show, all)
			}
			return a.listRecords(cmd.Context(), req, show, all)
		},
	}
	f := c.Flags()
	f.StringVar(&req.Standard, "standard", "", "only records of this `standard`; with @2, of this major")
	f.StringVar(&from, "from", "", "`council` that sent the records; default: our own")
	f.IntVar(&req.Limit, "limit", 100, "list at most this `number`")
	f.BoolVar(&all, "all", false, "list every record")
	f.StringSliceVar(&show, "show", nil, "JSON `pointers` of fields to show the values of, with commas between")
	f.StringVar(&before, "before", "", "with --from, say of each record whether it came before the day in this `field`, such as /intention/move_on")
	f.StringVar(&what, "what", "", "with --before, the `field` that has to have come by then, such as /plan; default: the record itself")
	f.BoolVar(&req.Bodies, "bodies", false, "with --json, the whole records too")
	return c
}

// pages calls f for every record that the request asks for, page by page.
func (a *app) pages(ctx context.Context, req node.ListRequest, all bool, f func(node.RecordReply) error) (damaged []string, more bool, err error) {
	c, err := a.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	names := []string{req.Standard}
	if req.Standard == "" && req.From == "" {
		// One standard after the other, since a cursor is of one.
		stds, err := c.Standards().List(ctx)
		if err != nil {
			return nil, false, err
		}
		names = names[:0]
		for _, s := range stds {
			if n := string(s.Name.Name); !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	left := req.Limit
	for _, n := range names {
		req.Standard, req.Cursor = n, ""
		for {
			req.Limit = 1000
			if !all {
				// One more than is wanted shows whether there is more.
				req.Limit = min(left+1, 1000)
			}
			page, err := c.Records().List(ctx, req)
			if err != nil {
				return damaged, false, err
			}
			damaged = append(damaged, page.Damaged...)
			for _, h := range page.Hidden {
				damaged = append(damaged, hiddenRecords+h)
			}
			for _, r := range page.Records {
				if !all && left == 0 {
					return damaged, true, nil
				}
				left--
				if err := f(r); err != nil {
					return damaged, false, err
				}
			}
			if req.Cursor = page.Cursor; page.Cursor == "" {
				break
			}
		}
	}
	return damaged, false, nil
}

// hiddenRecords begins what is said of records that are not shown for now.
const hiddenRecords = "hidden: "

func (a *app) listRecords(ctx context.Context, req node.ListRequest, show []string, all bool) error {
	heads := []string{"RECORD", "REFERENCE", "STANDARD", "#VERSION", "ISSUED AT", "#ENTRY"}
	if req.From != "" {
		heads = append(heads, "#WITHHELD", "PROOF", "AGREEMENT")
	}
	var t *table
	n := 0
	damaged, more, err := a.pages(ctx, req, all, func(r node.RecordReply) error {
		n++
		if a.json {
			return a.emitLine(r)
		}
		if t == nil {
			t = newTable(append(heads, show...)...)
		}
		row := []string{string(r.Record), cmp.Or(r.Reference, "-"), r.Standard.String(), number(r.Version), at(r.IssuedAt), number(r.Index)}
		if req.From != "" {
			row = append(row, number(r.Withheld), r.Proof, string(r.Agreement)+urgently(r.Urgent))
		}
		t.add(append(row, shown(r.Body, show)...)...)
		if len(t.rows) == 5000 { // a long list must not wait for its end
			t.write(a.out, "")
			t = nil
		}
		return nil
	})
	if t != nil {
		t.write(a.out, "")
	}
	if err != nil {
		return err
	}
	return a.leftOut(damaged, more, n)
}

// leftOut says what a list of n records does not show.
func (a *app) leftOut(damaged []string, more bool, n int) error {
	for _, d := range damaged {
		a.say("left out: %s", d)
	}
	if more {
		a.say("there are more than %s; --all lists them", plural(n, "record", "records"))
	}
	if n == 0 && len(damaged) == 0 {
		a.say("no records")
	}
	if i := slices.IndexFunc(damaged, func(d string) bool { return strings.HasPrefix(d, hiddenRecords) }); i >= 0 {
		return failure(node.Behind, "run stile serve until its sender has answered: stile status", "the list is not whole: what was sent is hidden for now")
	}
	if len(damaged) > 0 {
		return failure(node.Unverified, "restore them from a backup or offer them again; the log still proves what they were",
			"%s damaged on disk", plural(len(damaged), "record is", "records are"))
	}
	return nil
}

// shown returns the values at the given places, for a person who asked.
func shown(body json.RawMessage, fields []string) []string {
	if len(fields) == 0 {
		return nil
	}
	v, err := strictjson.Decode(body, strictjson.Limits{Bytes: len(body)})
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = "-"
		if err != nil {
			continue
		}
		m, _ := v.(map[string]any)
		if x, ok := fieldOf(m, name.Field(f)); ok {
			if s, isText := x.(string); isText {
				out[i] = s
			} else {
				out[i] = string(strictjson.Canonical(x))
			}
		}
	}
	return out
}

// joined lists the agreements by which a record came.
func joined(under []name.Agreement) string {
	var b strings.Builder
	for i, a := range under {
		if i > 0 {
			b.WriteString(", then ")
		}
		b.WriteString(string(a))
	}
	return b.String()
}

func (a *app) recordShowCommand() *cobra.Command {
	var n naming
	var token bool
	c := &cobra.Command{
		Use:   "show RECORD",
		Short: "Show a record and its values",
		Args:  takes(1, 1, "a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := n.request(args[0])
			in.Token = token
			r, err := a.node().Records().Show(cmd.Context(), in)
			if err != nil {
				return err
			}
			switch {
			case token:
				a.printf("%s\n", r.Token)
				return nil
			case a.json:
				return a.emit(r)
			}
			t := newTable("", "")
			t.add("record", string(r.Record))
			t.add("issued by", string(r.Council))
			t.add("standard", r.Standard.String())
			if r.PassedBy != "" {
				t.add("passed on by", fmt.Sprintf("%s, by %s", r.PassedBy, joined(r.PassedUnder)))
			}
			t.add("version", fmt.Sprintf("%s, issued %s, entry %s of the log", number(r.Version), at(r.IssuedAt), number(r.Index)))
			if r.Op != "put" {
				t.add("state", "deleted")
			}
			if r.Agreement != "" {
				t.add("held under", string(r.Agreement)+urgently(r.Urgent))
				t.add("withheld", plural(r.Withheld, "field", "fields"))
			}
			if r.MadeFrom != "" {
				t.add("made from", "record "+string(r.MadeFrom)+", by the standard's mapping")
			}
			if r.Kept != "" {
				t.add("goes on", r.Kept)
			}
			if f := r.Former; f != nil {
				t.add("was before", wasBefore(*f))
			}
			for _, f := range r.Earlier {
				t.add("and before that", wasBefore(f))
			}
			if s := r.Succeeded; s != nil && s.Council != "" {
				t.add("is now", fmt.Sprintf("a record of %s, since %s; entry %s of the log is the last, and says so", s.Council, s.On, number(s.Entry)))
				for _, e := range s.Then {
					t.add("and since then", fmt.Sprintf("%s ended, and from %s on %s: ask there, by this id", e.Council, e.On, followedBy(e.Successors)))
				}
			} else if s != nil {
				t.add("is now", "here alone: it went to no successor")
			}
			t.add("proof", proof(r.Council, r.Proof))
			t.write(a.out, "")
			if len(r.Body) > 0 {
				a.printf("\n%s\n", pretty(r.Body, ""))
			}
			return nil
		},
	}
	n.flags(c, true)
	c.Flags().BoolVar(&token, "token", false, "print the record as a signed token (SD-JWT) instead, for other verifiers")
	return c
}

// followedBy says in words who takes over.
func followedBy(cs []name.Council) string {
	if len(cs) == 1 {
		return string(cs[0]) + " follows it"
	}
	return list(cs) + " follow it"
}

// wasBefore says in words where a record was.
func wasBefore(f node.FormerReply) string {
	return fmt.Sprintf("record %s of %s, version %s, entry %s of its log; entry %s of ours says so", f.Record, f.Council, number(f.Version), number(f.Entry), number(f.Event))
}

// urgently marks, behind the name of its agreement, what was disclosed urgently.
func urgently(yes bool) string {
	if yes {
		return " (URGENT disclosure)"
	}
	return ""
}

// proof says in words what shows that a council issued a record.
func proof(of name.Council, s string) string {
	switch s {
	case "log":
		return "stands in the signed log of " + string(of)
	case "signature":
		return "signed by " + string(of)
	}
	return s
}

func (a *app) recordHistoryCommand() *cobra.Command {
	var n naming
	c := &cobra.Command{
		Use:   "history RECORD",
		Short: "List every version of a record of ours, newest first",
		Args:  takes(1, 1, "a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Records().History(cmd.Context(), n.request(args[0]))
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, r.Versions)
			}
			t := newTable("#VERSION", "WHAT", "ISSUED AT", "#ENTRY", "STANDARD")
			for _, v := range r.Versions {
				t.add(number(v.Version), v.Op, at(v.IssuedAt), number(v.Index), v.Standard.String())
			}
			t.write(a.out, "")
			return nil
		},
	}
	n.flags(c, false)
	return c
}

func (a *app) recordProofCommand() *cobra.Command {
	var n naming
	var out string
	c := &cobra.Command{
		Use:   "proof RECORD",
		Short: "Print the proof that a record stands in our log",
		Long: `Proof prints a c2sp.org/tlog-proof file: whoever has it, the record's token and
our log's public key can check, without us, that the record stands in the log.

With --out NAME two files are written: NAME.token, the record with all its
fields, and NAME.tlog-proof.`,
		Example: `  stile record proof 26/0000001/PA --out decision
  stile verify decision.token --proof decision.tlog-proof --trust northmoor.gov.uk.yaml`,
		Args: takes(1, 1, "a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Records().Prove(cmd.Context(), n.request(args[0]))
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.emit(r)
			case out == "":
				a.exact(r.Proof)
				return nil
			}
			if err := a.writeNew(out+".token", []byte(r.Token+"\n"), 0o600); err != nil {
				return err
			}
			if err := a.writeNew(out+".tlog-proof", []byte(r.Proof), 0o644); err != nil {
				return err
			}
			a.printf("%s.token\n%s.tlog-proof\n", out, out)
			if len(r.Witness) == 0 {
				a.say("no partner has cosigned the log since this entry: the proof rests on our own signature alone")
			}
			return nil
		},
	}
	n.flags(c, false)
	c.Flags().StringVar(&out, "out", "", "`name` of the files to write, without their endings")
	return c
}

func (a *app) recordDeleteCommand() *cobra.Command {
	var n naming
	var yes bool
	c := &cobra.Command{
		Use:   "delete RECORD",
		Short: "Delete a record of ours, and withdraw it from partners",
		Long: `Delete makes a last version that says the record is gone, withdraws it from every
partner that had it, and keeps earlier versions provable: their text stays in this
node's files. "stile record erase" takes it out.`,
		Args: takes(1, 1, "a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "delete this record and withdraw it from every partner"); err != nil {
				return err
			}
			r, err := a.node().Records().Delete(cmd.Context(), n.request(args[0]))
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("deleted %s by version %s; withdrawn from %s\n", r.Record, number(r.Version), plural(r.Withdrawn, "agreement", "agreements"))
			return nil
		},
	}
	n.flags(c, false)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) recordHeldCommand() *cobra.Command {
	var req node.ListRequest
	c := &cobra.Command{
		Use:   "held",
		Short: "List records held back because they do not fit their standard",
		Long: `Held lists the offers that were refused and why. One is dropped when a record
with the same reference is offered again and taken.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.node().Records().Held(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.json {
				for _, h := range r.Held {
					if err := a.emitLine(heldLine(h)); err != nil {
						return err
					}
				}
				return nil
			}
			if len(r.Held) == 0 {
				a.say("nothing is held back")
				return nil
			}
			for _, h := range r.Held {
				a.printf("%s  %s  since %s\n", clean(h.Reference), h.Standard, at(h.At))
				for _, p := range h.Problems {
					a.printf("    %s\n", clean(problemLine(p)))
				}
				if len(h.Offered) > 0 {
					a.printf("    %s\n", clean(string(h.Offered)))
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&req.Standard, "standard", "", "only those offered in this `standard`")
	c.Flags().IntVar(&req.Limit, "limit", 1000, "list at most this `number`")
	c.Flags().BoolVar(&req.Bodies, "values", false, "show the records as they were offered")
	return c
}

// heldLine is a held offer with what was offered as text, not as base64.
func heldLine(h node.Held) any {
	offered := string(h.Offered)
	h.Offered = nil
	return struct {
		node.Held
		Offered string `json:"offered,omitempty"`
	}{h, offered}
}
