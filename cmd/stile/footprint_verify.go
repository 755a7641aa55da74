package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

func (a *app) footprintVerifyCommand() *cobra.Command {
	var trust []string
	c := &cobra.Command{
		Use:   "verify NAME --trust FILE...",
		Short: "Verify, offline, that a record stands in a footprint's ledger",
		Long: `Verify reads NAME.token and NAME.tlog-proof, as "stile footprint proof --out NAME"
wrote them, and checks that the record is signed by the council it names, that it
stands in the footprint's log, and that more than half of the members cosigned that
log. It needs no node, no folder and no network.

What to believe is given with --trust, from somewhere else than the proof: the
footprint's own entry in the directory, which lists its members (stile footprint
entry, or stile council show), and the member file of each, or a folder of these.`,
		Example: "  stile footprint verify decision --trust fens.yaml --trust members/",
		Args:    takes(1, 1, "the name of the files, without their endings"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(trust) == 0 {
				return misused("name with --trust the footprint's entry and its members' files: a proof says who signed it, and not that you should believe it")
			}
			known, err := a.memberFiles(trust)
			if err != nil {
				return err
			}
			v, err := a.verifyInFootprint(args[0], known)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(v)
			}
			t := newTable("", "")
			t.add("record", fmt.Sprintf("%s version %d, %s", v.Record, v.Version, v.Standard))
			t.add("issued by", string(v.Council)+", whose signature holds")
			t.add("stands in", fmt.Sprintf("the ledger of %s, as entry %d of %d", v.Footprint, v.Entry, v.Size))
			t.add("cosigned by", fmt.Sprintf("%d of %d members: %s", len(v.CosignedBy), v.Members, list(v.CosignedBy)))
			t.add("withheld", plural(v.Withheld, "field", "fields"))
			t.write(a.out, "")
			if len(v.body) > 0 {
				a.printf("\n%s\n", pretty(v.body, ""))
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&trust, "trust", nil, "a member `file`, or a folder of them; may be given again")
	return c
}

// memberFiles reads what the person believes.
func (a *app) memberFiles(paths []string) (map[name.Council]directory.Member, error) {
	out := map[name.Council]directory.Member{}
	for _, p := range paths {
		files := []string{p}
		if st, err := os.Stat(p); err == nil && st.IsDir() {
			if files, err = filepath.Glob(filepath.Join(p, "*.yaml")); err != nil {
				return nil, misused("--trust: %v", err)
			}
		}
		for _, f := range files {
			b, err := a.readFile(f, directory.MaxFile)
			if err != nil {
				return nil, err
			}
			m, err := directory.ParseMember(b)
			if err != nil {
				return nil, failure(node.Usage, "give member files, as stile council show prints them", "--trust: %q: %v", f, err)
			}
			out[m.Council] = m
		}
	}
	return out, nil
}

// verified is what a proof in a footprint shows.
type verified struct {
	Footprint  name.Council   `json:"footprint"`
	Council    name.Council   `json:"council"`
	Record     name.Record    `json:"record"`
	Standard   name.Standard  `json:"standard"`
	Version    uint64         `json:"version"`
	Entry      uint64         `json:"entry"`
	Size       uint64         `json:"size"`
	Root       string         `json:"root"`
	CosignedBy []name.Council `json:"cosigned_by"`
	Members    int            `json:"members"`
	Withheld   int            `json:"withheld"`
	body       []byte
}

func (a *app) verifyInFootprint(named string, known map[name.Council]directory.Member) (*verified, error) {
	token, err := a.readFile(named+".token", maxToken)
	if err != nil {
		return nil, err
	}
	proof, err := a.readFile(named+".tlog-proof", 1<<20)
	if err != nil {
		return nil, err
	}
	t, err := record.Parse(bytes.TrimSpace(token))
	if err != nil {
		return nil, failure(node.Invalid, "", "%s.token is no record: %v", short(named), err)
	}
	v, err := t.View()
	if err != nil {
		return nil, failure(node.Invalid, "", "%s.token: %v", short(named), err)
	}
	p, err := tlog.ParseProof(proof)
	if err != nil {
		return nil, failure(node.Invalid, "", "%s.tlog-proof: %v", short(named), err)
	}
	failed := func(format string, args ...any) error { return failure(node.Unverified, "", format, args...) }

	m, ok := known[v.Council]
	if !ok {
		return nil, failed("the record is %s's, whose member file is not among what you trust", v.Council)
	}
	key, err := m.RecordKeyAt(t.Signer(), math.MaxInt64)
	if err != nil || t.Verify(key) != nil {
		return nil, failed("the record is not signed with a key of %s that you trust", v.Council)
	}
	if t.Page() == nil {
		return nil, failed("the record does not come out of a footprint: it has no proof of a page")
	}
	// The checkpoint names the log, and so the footprint; which one is believed
	// is for the files given with --trust to say.
	for c, fp := range known {
		if fp.Role != directory.RoleFootprint {
			continue
		}
		if cp, err := tlog.ParseUnsigned(p.Checkpoint, c.Origin()); err != nil || cp.Size <= p.Index {
			continue
		}
		var ws []note.Verifier
		for _, member := range fp.Members {
			w, err := known[member].WitnessVerifier()
			if err != nil {
				return nil, failed("%s keeps %s, and its member file is not among what you trust", member, c)
			}
			ws = append(ws, w)
		}
		if t.Page().Footprint != c {
			return nil, failed("%s brought the record into %s, and not into %s", v.Council, t.Page().Footprint, c)
		}
		cp, by, err := tlog.VerifyMajority(p.Checkpoint, c.Origin(), ws...)
		if err != nil {
			return nil, failed("the ledger of %s is not cosigned by a majority of its %d members: %v", c, len(ws), err)
		}
		if err := tlog.VerifyInclusion(t.Entry(), p.Index, cp.Size, cp.Root, p.Path); err != nil {
			return nil, failed("the record does not stand in the ledger of %s: %v", c, err)
		}
		out := &verified{
			Footprint: c, Council: v.Council, Record: v.Record, Standard: v.Standard, Version: v.Version,
			Entry: p.Index, Size: cp.Size, Root: cp.Root.String(), Members: len(ws), Withheld: v.Withheld,
		}
		for _, w := range by {
			out.CosignedBy = append(out.CosignedBy, name.Council(w.Witness))
		}
		slices.Sort(out.CosignedBy)
		if v.Body != nil {
			out.body = strictjson.Canonical(v.Body)
		}
		return out, nil
	}
	return nil, failed("the proof is of no footprint whose entry is among what you trust")
}
