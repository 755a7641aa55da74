package main

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// freshness is how recent a read in a footprint must be.
type freshness struct {
	linearizable bool
	at           uint64
}

func (f *freshness) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.linearizable, "linearizable", false, "see everything that anybody was told yes about before now; needs a majority")
	c.Flags().Uint64Var(&f.at, "at", 0, "wait until this member has come to a `position`, such as that of a put")
}

func (a *app) footprintPutCommand() *cobra.Command {
	var std string
	c := &cobra.Command{
		Use:   "put NAME RECORD...",
		Short: "Put the open fields of records of ours into a footprint",
		Long: `Put takes records of our own ledger, by id or by key, and puts them into the
footprint's with the fields that their standard calls open, and no others: those may
be read without an agreement. It returns when a majority of the members has them on
disk, and prints the position at which every member sees them.

All else goes there under an agreement with the footprint, by itself.`,
		Example: "  stile footprint put fens.example 26/0000001/PA --standard planning-application",
		Args:    takes(2, -1, "a footprint and records"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.putRecords(cmd.Context(), a.node().Footprints().Put, node.FootprintPutRequest{Name: args[0], Records: args[1:], Standard: std})
		},
	}
	c.Flags().StringVar(&std, "standard", "", "`standard` of the records, when they are named by their key")
	return c
}

func (a *app) footprintWithdrawCommand() *cobra.Command {
	var std string
	var yes bool
	c := &cobra.Command{
		Use:   "withdraw NAME RECORD...",
		Short: "Take records back from a footprint that were put there by hand",
		Long: `Withdraw erases records of ours at every member, in all their versions; their places in
the log stay. A record that was withdrawn can be put again once it has a newer version.
What flows into the footprint under an agreement is withdrawn by itself.`,
		Args: takes(2, -1, "a footprint and records"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.sure(yes, "take %s back from %s", plural(len(args)-1, "record", "records"), args[0]); err != nil {
				return err
			}
			return a.putRecords(cmd.Context(), a.node().Footprints().Withdraw, node.FootprintPutRequest{Name: args[0], Records: args[1:], Standard: std})
		},
	}
	c.Flags().StringVar(&std, "standard", "", "`standard` of the records, when they are named by their key")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// putRecords puts records, or takes them back.
func (a *app) putRecords(ctx context.Context, do func(context.Context, node.FootprintPutRequest) (node.FootprintPutReply, error), req node.FootprintPutRequest) error {
	r, err := do(ctx, req)
	if err != nil {
		return err
	}
	refused := 0
	for _, x := range r.Results {
		if x.Rule != "" {
			refused++
		}
	}
	if a.json {
		err = a.emit(r)
	} else {
		t := newTable("RECORD", "OUTCOME", "#ENTRY", "BECAUSE")
		for _, x := range r.Results {
			entry := number(x.Entry)
			if x.Rule != "" {
				entry = "-"
			}
			t.add(string(x.Record), x.Outcome, entry, x.Rule)
		}
		t.write(a.out, "")
		a.printf("position %d\n", r.Position)
	}
	if err == nil && refused > 0 {
		err = failure(node.Refused, "stile footprint status "+req.Name, "%s refused", plural(refused, "record was", "records were"))
	}
	return err
}

func (a *app) footprintImportCommand() *cobra.Command {
	im := &importer{app: a}
	c := &cobra.Command{
		Use:   "import NAME FILE... --standard STANDARD",
		Short: "Take records in through the gate, and put their open fields into a footprint",
		Long: `Import does what "stile import" does, and puts every record that the gate took into
the footprint, as "stile footprint put" does. It may be repeated at any time: what is
there already is not put twice.`,
		Example: "  stile footprint import fens.example planning.ndjson --standard planning-application",
		Args:    takes(2, -1, "a footprint and at least one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &putter{name: args[0]}
			im.door = func(ctx context.Context) (gate, error) {
				c, err := a.connect(ctx)
				p.nodeGate = nodeGate{c}
				return p, err
			}
			// Whether it can be put at all is asked before anything is taken in.
			if _, err := a.node().Footprints().Status(cmd.Context(), node.FootprintRequest{Name: p.name}); err != nil {
				return err
			}
			err := im.run(cmd.Context(), args[1:])
			a.say("%s in %s by this, %s there before, at position %d", plural(p.taken, "record stands", "records stand"), p.name, number(p.before), p.position)
			return err
		},
	}
	im.reading.flags(c)
	c.Flags().StringVar(&im.rejects, "rejects", "", "write the refused rows, as they came, to a new `file`")
	c.Flags().StringVar(&im.report, "report", "", "write every refusal to a new `file`: .csv, .json or .txt")
	return c
}

// A putter puts into a footprint what the gate takes.
type putter struct {
	nodeGate
	name string

	mu            sync.Mutex // guards what follows
	taken, before int
	position      uint64
}

// Put puts records through the gate, and what it takes into the footprint.
func (p *putter) Put(ctx context.Context, in node.PutRequest) (node.PutReply, error) {
	reply, err := p.nodeGate.Put(ctx, in)
	if err == nil {
		err = p.contribute(ctx, reply)
	}
	return reply, err
}

func (p *putter) contribute(ctx context.Context, reply node.PutReply) error {
	req := node.FootprintPutRequest{Name: p.name}
	for _, r := range reply.Results {
		if r.Outcome != "" && r.Record != "" {
			req.Records = append(req.Records, string(r.Record))
		}
	}
	if len(req.Records) == 0 {
		return nil
	}
	got, err := p.Footprints().Put(ctx, req)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position = max(p.position, got.Position)
	for _, r := range got.Results {
		switch {
		case r.Rule != "":
			return failure(node.Refused, "stile footprint status "+p.name, "%s refused a record: %s", p.name, r.Rule)
		case r.Outcome == "taken":
			p.taken++
		default:
			p.before++
		}
	}
	return nil
}

func (a *app) footprintRecordsCommand() *cobra.Command {
	var req node.FootprintListRequest
	var fresh freshness
	var all bool
	var show []string
	c := &cobra.Command{
		Use:   "records NAME",
		Short: "List what a footprint's ledger holds",
		Long: `Records lists the newest version of every record in the footprint, as this member
has it. What others have just written may be missing here for a moment: --at waits
for a position that somebody was told, and --linearizable for everything.`,
		Example: `  stile footprint records fens.example --of saltby.gov.uk --show /reference
  stile footprint records fens.example --linearizable --all`,
		Args: takes(1, 1, "the name of the footprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, f := range show {
				if _, err := name.ParseField(f); err != nil {
					return misused("--show: %v", err)
				}
			}
			if req.Limit < 1 {
				return misused("--limit: want at least 1")
			}
			req.Name, req.Linearizable, req.At, req.Bodies = args[0], fresh.linearizable, fresh.at, req.Bodies || len(show) > 0
			return a.listFootprintRecords(cmd.Context(), req, show, all)
		},
	}
	f := c.Flags()
	f.StringVar(&req.Of, "of", "", "only those of this `council`")
	f.StringVar(&req.Standard, "standard", "", "only records of this `standard`")
	f.IntVar(&req.Limit, "limit", 100, "list at most this `number`")
	f.BoolVar(&all, "all", false, "list every record")
	f.StringSliceVar(&show, "show", nil, "JSON `pointers` of fields to show the values of, with commas between")
	f.BoolVar(&req.Bodies, "bodies", false, "with --json, the whole records too")
	fresh.flags(c)
	return c
}

func (a *app) listFootprintRecords(ctx context.Context, req node.FootprintListRequest, show []string, all bool) error {
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	t := newTable(append([]string{"COUNCIL", "RECORD", "STANDARD", "#VERSION", "ISSUED AT", "#ENTRY", "#WITHHELD"}, show...)...)
	n, left := 0, req.Limit
	var damaged []uint64
	var position uint64
	for {
		req.Limit = 1000
		if !all {
			req.Limit = min(left, 1000)
		}
		page, err := c.Footprints().Records(ctx, req)
		if err != nil {
			return err
		}
		position, damaged = page.Position, append(damaged, page.Damaged...)
		for _, r := range page.Records {
			n++
			left--
			if a.json {
				if err := a.emitLine(r); err != nil {
					return err
				}
				continue
			}
			t.add(append([]string{string(r.Council), string(r.Record), r.Standard.String(), number(r.Version), at(r.IssuedAt), number(r.Entry), number(r.Withheld)}, shown(r.Body, show)...)...)
		}
		if req.Cursor = page.Cursor; page.Cursor == "" || !all && left == 0 {
			if page.Cursor != "" {
				a.say("there are more than %s; --all lists them", plural(n, "record", "records"))
			}
			break
		}
	}
	if len(t.rows) > 0 {
		t.write(a.out, "")
	}
	if n == 0 {
		a.say("no records")
	}
	a.say("read at position %d", position)
	if len(damaged) > 0 {
		return failure(node.Unverified, "replace this member's replica: stile footprint join "+req.Name+" --anew, once it is invited again",
			"%s damaged on disk here", plural(len(damaged), "entry is", "entries are"))
	}
	return nil
}

func (a *app) footprintShowCommand() *cobra.Command {
	var req node.FootprintRecordRequest
	var fresh freshness
	var token bool
	c := &cobra.Command{
		Use:   "show NAME RECORD",
		Short: "Show a record in a footprint, and what of it may be seen",
		Args:  takes(2, 2, "a footprint and a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name, req.Record, req.Linearizable, req.At = args[0], args[1], fresh.linearizable, fresh.at
			r, err := a.node().Footprints().Show(cmd.Context(), req)
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
			t.add("version", number(r.Version)+", signed "+at(r.IssuedAt))
			t.add("entry", number(r.Entry)+" of the footprint's log, read at position "+number(r.Position))
			if r.Op != "put" {
				t.add("state", "deleted")
			}
			t.add("withheld", plural(r.Withheld, "field", "fields"))
			t.add("signature", r.Signature)
			t.write(a.out, "")
			if len(r.Body) > 0 {
				a.printf("\n%s\n", pretty(json.RawMessage(r.Body), ""))
			}
			return nil
		},
	}
	ofFlags(c, &req)
	fresh.flags(c)
	c.Flags().BoolVar(&token, "token", false, "print the token with the proof of who sealed it instead, to verify it elsewhere")
	return c
}

func ofFlags(c *cobra.Command, req *node.FootprintRecordRequest) {
	c.Flags().StringVar(&req.Council, "of", "", "`council` whose record it is; default: our own")
	c.Flags().StringVar(&req.Standard, "standard", "", "`standard` of the record, when it is named by its key")
}

func (a *app) footprintProofCommand() *cobra.Command {
	var req node.FootprintRecordRequest
	var out string
	c := &cobra.Command{
		Use:   "proof NAME RECORD",
		Short: "Print the proof that a record stands in a footprint's ledger",
		Long: `Proof prints a c2sp.org/tlog-proof file whose checkpoint more than half of the
members cosigned. The node has verified it with the keys in the members' entries.

With --out NAME three files are written: NAME.token, the record as the footprint
has it, NAME.tlog-proof, and NAME.keys with the members' keys.`,
		Args: takes(2, 2, "a footprint and a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Name, req.Record = args[0], args[1]
			r, err := a.node().Footprints().Prove(cmd.Context(), req)
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.emit(r)
			case out == "":
				a.exact(r.Proof)
			default:
				keys := ""
				for _, k := range r.Keys {
					keys += k + "\n"
				}
				for ending, text := range map[string]string{".token": r.Record.Token + "\n", ".tlog-proof": r.Proof, ".keys": keys} {
					if err := a.writeNew(out+ending, []byte(text), 0o600); err != nil {
						return err
					}
				}
				a.printf("%s.token\n%s.tlog-proof\n%s.keys\n", out, out, out)
			}
			a.say("entry %s of %s, cosigned by %d of %d members: %s", number(r.Record.Entry), number(r.Size), len(r.CosignedBy), r.Members, list(r.CosignedBy))
			return nil
		},
	}
	ofFlags(c, &req)
	c.Flags().StringVar(&out, "out", "", "`name` of the files to write, without their endings")
	return c
}
