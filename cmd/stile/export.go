package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) exportCommand() *cobra.Command {
	return noun("export", "Write records to files, or what an auditor can verify offline", `Records go out as CSV, NDJSON, GeoJSON, XLSX or Parquet, for other programs. An
audit bundle is one .stile file with records, agreements, proofs and cosigned
checkpoints. "stile verify" checks it without any node.`,
		a.exportRecordsCommand(), a.exportBundleCommand())
}

func (a *app) exportBundleCommand() *cobra.Command {
	var req node.BundleRequest
	var out, since, until string
	c := &cobra.Command{
		Use:   "bundle --out FILE [--agreement NAME | --standard STANDARD | --record ID | --statement newest | --held]",
		Short: "Write an audit bundle",
		Long: `Bundle writes one file for an auditor. With --agreement it holds what went to the
partner under it, with the fields the partner has, and the receipts that came
back; with --record those records; with --standard all records of ours of it.
Fields beyond the open ones are in it only with --full: mind who gets it.

A bundle of an agreement may be narrowed: to what was logged since one day and until
another, and to a sample of the records. The auditor chooses the seed, so that the
council cannot choose what to show, and stile verify draws the sample again from what
the logged disclosures name.

With --held it is a receiver's: what we hold of another council under one agreement,
which --agreement or --from names where there are several, with the fields that we have, and our receipts.
Its time is that of the receipts, and a sample is drawn from what they name. The council
is asked to prove each record; what it does not prove now goes in without, and the
auditor is told. What the council committed to and has gone since is named in it, with why
and the council's own words that took it back. signed_tokens: true in the settings has every record that comes from then on
signed, so that it can be shown without the council.

With --statement it holds a compliance statement of ours and the records of its
standard as they were at its checkpoint, so that an auditor can count again
(stile audit adoption); with --standard too, the newest one about that.`,
		Example: `  stile export bundle --agreement northmoor.gov.uk/people-moving-to-saltby --out audit.stile
  stile export bundle --agreement northmoor.gov.uk/people-moving-to-saltby --since 2026-10-01 \
    --until 2026-12-31 --sample 50 --seed "audit committee, 14 January" --out quarter.stile`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen := 0
			// --standard says which statement, beside --statement.
			for _, set := range []bool{req.Agreement != "" || req.Held, req.Standard != "" && req.Statement == "", len(req.Records) > 0, req.Statement != ""} {
				if set {
					chosen++
				}
			}
			switch {
			case out == "":
				return misused("name the file to write with --out, such as audit.stile")
			case chosen != 1:
				return misused("say what the bundle is of with one of --agreement, --standard, --record, --statement and --held")
			case req.From != "" && !req.Held:
				return misused("--from says of whom to show what we hold: add --held")
			case req.Full && req.Agreement != "":
				return misused("--full shows every field, and --agreement the agreed ones: choose one")
			case a.json && out == "-":
				return misused("--json and a bundle cannot both go to standard output")
			}
			var err error
			if req.Since, err = dayOrTime(since, false); err != nil {
				return misused("--since: %v", err)
			}
			if req.Until, err = dayOrTime(until, true); err != nil {
				return misused("--until: %v", err)
			}
			if out != "-" {
				// The node writes it: there may be gigabytes.
				if req.File, err = filepath.Abs(out); err != nil {
					return err
				}
			}
			r, err := a.node().Bundle(cmd.Context(), req)
			if err != nil {
				return err
			}
			if out == "-" {
				if err := a.writeNew(out, r.Bundle, 0o600); err != nil {
					return err
				}
			}
			if a.json {
				m := map[string]any{"file": out, "entries": r.Entries, "bytes": r.Bytes}
				if req.Held {
					m["unproved"] = r.Unproved
				}
				if req.Sample > 0 {
					m["sample"], m["seed"] = req.Sample, req.Seed
				}
				return a.emit(m)
			}
			if out != "-" {
				a.printf("wrote %s: %s, %s\n", clean(out), plural(r.Entries, "entry", "entries"), size(r.Bytes))
				if req.Sample > 0 {
					a.printf("a sample of %s, drawn by the seed %s\n", plural(req.Sample, "record", "records"), quoted(clean(req.Seed)))
				}
				a.say("check it with: stile verify %s", quoted(out))
			}
			if r.Unproved > 0 {
				a.say("%s not proved to be in the log: %s", plural(r.Unproved, "entry is", "entries are"), clean(r.Because))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "new `file` to write; - is standard output")
	f.StringVar(&req.Agreement, "agreement", "", "what went under this `agreement`, and what came back")
	f.StringVar(&req.Standard, "standard", "", "records of ours of this `standard`")
	f.StringSliceVar(&req.Records, "record", nil, "records of ours by `id`; may be given again")
	f.BoolVar(&req.Held, "held", false, "what we hold of another council, with its proofs and our receipts")
	f.StringVar(&req.From, "from", "", "with --held, the `council` whose records they are")
	f.BoolVar(&req.Full, "full", false, "every field, not only the open ones")
	f.StringVar(&since, "since", "", "with --agreement or --held, only what was logged from this `day` or time on, such as 2026-10-01")
	f.StringVar(&until, "until", "", "with --agreement or --held, only what was logged until this `day`, included, or time")
	f.IntVar(&req.Sample, "sample", 0, "with --agreement or --held, only this `number` of records, drawn by --seed")
	f.StringVar(&req.Seed, "seed", "", "`words` that the auditor chose, to draw the sample by")
	f.StringVar(&req.Statement, "statement", "", "a compliance statement and what it was counted from: its `id`, or newest")
	return c
}
