package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/internal/bundle"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// bundle makes a .stile file of what a request covers. A record goes in with
// the fields that its agreement lets out; without an agreement, with its open
// fields alone unless the request asks for all.
func (n *Node) bundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	switch {
	case in.Statement != "":
		return n.statementBundle(ctx, in)
	case in.Held:
		return n.heldBundle(ctx, in)
	case in.From != "":
		return nil, fail(Usage, "add --held", "a bundle from another council is of what we hold of it")
	}
	var covers audit.Covers
	var doc agreement.Status
	if in.Agreement != "" {
		a, err := name.ParseAgreement(in.Agreement)
		if err != nil {
			return nil, fail(Usage, "stile agreement list", "%v", err)
		}
		var ok bool
		if doc, ok = n.book.Status(a, n.now()); !ok {
			return nil, fail(NotFound, "stile agreement list", "no agreement named %s was proposed here", a)
		}
		if doc.Agreement.From != n.cfg.Council {
			return nil, fail(Refused, fmt.Sprintf("ask %s for it; stile record show --from gives single tokens", doc.Agreement.From),
				"a bundle holds entries of this council's own log, and records under %s are %s's", a, doc.Agreement.From)
		}
		if in.Full {
			return nil, fail(Usage, "leave out --full, or --agreement", "a bundle of an agreement holds the agreed fields only")
		}
		covers.Agreement = a
		if in.Sample > 0 && !doc.Agreement.Way().Copied {
			return nil, fail(Usage, "leave out --sample", "nothing is copied under %s: its questions and answers are all in the bundle", a)
		}
		covers.Since, covers.Until = in.Since.UTC().Truncate(time.Second), in.Until.UTC().Truncate(time.Second)
		covers.Sample = audit.Sample{Size: in.Sample, Seed: in.Seed}
	} else if in.Sample > 0 || !in.Since.IsZero() || !in.Until.IsZero() {
		return nil, fail(Usage, "name the agreement with --agreement", "a time and a sample are of what went under an agreement")
	}
	if err := checkSample(in); err != nil {
		return nil, err
	}
	var ids []name.Record
	for _, r := range in.Records {
		id, err := n.ownID(r, in.Standard)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	covers.Records = slices.Compact(ids)
	if in.Standard != "" && len(ids) == 0 {
		std, err := n.catalogue.Named(in.Standard)
		if err != nil {
			return nil, err
		}
		covers.Standard = std.Name().Name
	}
	if covers.Agreement != "" && (len(ids) > 0 || in.Standard != "") {
		return nil, fail(Usage, "leave out --record and --standard, or --agreement", "a bundle of an agreement holds all that went under it")
	}
	if covers.Agreement == "" && covers.Standard == "" && len(ids) == 0 {
		return nil, fail(Usage, "--agreement, --standard or --record", "say what the bundle is to cover")
	}

	return n.writeBundle(in, func(v *ledger.View, w io.Writer) (int, error) {
		if doc.Agreement != nil {
			return bundle.Agreement(ctx, n.bundles(), v, w, doc, covers)
		}
		return bundle.Records(ctx, n.bundles(), v, w, covers, in.Full)
	})
}

func checkSample(in BundleRequest) error {
	switch {
	case in.Sample < 0 || in.Sample > audit.MaxSample:
		return fail(Usage, "--sample 50 --seed WORDS", "a sample is of 1 to 1,000,000 records")
	case in.Sample > 0 && (in.Seed == "" || len(in.Seed) > audit.MaxSeed):
		return fail(Usage, "let the auditor choose it: --seed WORDS", "a sample needs a seed of 1 to %d bytes", audit.MaxSeed)
	case in.Sample == 0 && in.Seed != "":
		return fail(Usage, "--sample 50", "a seed is for a sample: say of how many records")
	}
	return nil
}

// heldBundle makes a .stile file of what we hold of another council under an agreement.
func (n *Node) heldBundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	if in.Full || in.Standard != "" || len(in.Records) > 0 {
		return nil, fail(Usage, "--held --agreement NAME", "what we hold is shown by agreement, as we have it")
	}
	if err := checkSample(in); err != nil {
		return nil, err
	}
	src, err := n.heldSource(in)
	if err != nil {
		return nil, err
	}
	covers := audit.Covers{
		Agreement: src.Agreement, Since: in.Since.UTC().Truncate(time.Second), Until: in.Until.UTC().Truncate(time.Second),
		Sample: audit.Sample{Size: in.Sample, Seed: in.Seed},
	}
	o := bundle.HeldOptions{Most: peersync.MaxProved, Cosign: func(k *ledger.KnownLog) ([]byte, error) {
		if n.replicas.Is(k.Council) || !k.MayCosign(k.Checkpoint()) {
			return nil, nil
		}
		line, _, err := tlog.Cosign(k.Checkpoint(), n.keys.Log.CosignerAt(n.now))
		return line, err
	}}
	if s := n.exchange(); s != nil {
		o.Prove = s.ProveEntries
	}
	var shown bundle.Shown
	r, err := n.writeBundle(in, func(v *ledger.View, w io.Writer) (entries int, err error) {
		shown, err = bundle.Held(ctx, n.bundles(), o, v, w, src, covers)
		return shown.Entries, err
	})
	if err != nil {
		return nil, err
	}
	if r.Unproved = shown.Unproved; r.Unproved > 0 {
		r.Because = "the node is not running"
		if shown.Because != nil {
			r.Because = shown.Because.Error()
		}
	}
	return r, nil
}

// heldSource finds what a bundle of what we hold is of: of one agreement.
func (n *Node) heldSource(in BundleRequest) (*ledger.Source, error) {
	var found []*ledger.Source
	var all []string
	for _, s := range n.ledger.Sources() {
		if s.Agreement == "" || s.Records == 0 || in.From != "" && string(s.From) != in.From || in.Agreement != "" && string(s.Agreement) != in.Agreement {
			continue
		}
		found, all = append(found, s), append(all, string(s.Agreement))
	}
	switch len(found) {
	case 0:
		return nil, fail(NotFound, "stile status", "nothing is held here that such a bundle could show")
	case 1:
		return found[0], nil
	}
	slices.Sort(all)
	return nil, fail(Usage, "--agreement "+all[0], "a bundle is of one agreement, and records are held under %s", strings.Join(all, ", "))
}

// writeBundle makes a bundle where the request wants it, of one state of the
// ledger.
func (n *Node) writeBundle(in BundleRequest, fill func(*ledger.View, io.Writer) (int, error)) (*BundleReply, error) {
	out, err := openBundleFile(in.File)
	if err != nil {
		return nil, err
	}
	entries := 0
	err = n.ledger.View(func(v *ledger.View) (err error) {
		entries, err = fill(v, out)
		return err
	})
	if errors.Is(err, bundle.ErrPassedOn) {
		err = fail(Refused, "ask who passed it on for the bundle of the agreement, which shows what went on and by which agreements; stile record show --from shows each record", "%v", err)
	}
	if errors.Is(err, bundle.ErrEmpty) {
		err = fail(NotFound, "", "%v", err)
	}
	return out.end(entries, err)
}

// bundles is what bundles are made from.
func (n *Node) bundles() bundle.Options {
	return bundle.Options{
		Council: n.cfg.Council, Ledger: n.ledger, Now: n.now, Log: n.log,
		Texts: func(a name.Agreement) []agreement.Status { return n.book.Texts(a, n.now()) },
		Keepers: func(c name.Council) []name.Council {
			if !n.replicas.Is(c) {
				return nil
			}
			return n.replicas.Members(c)
		},
		Member: n.directory.Member, Evidence: n.follower.Client().Evidence,
	}
}

// statementBundle makes a .stile file of a compliance statement of ours and of
// what it was counted from: the records of its standard as they stood at its
// checkpoint. The file covers the statement, by its id; its other entries are
// what an auditor needs to count again.
func (n *Node) statementBundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	if in.Agreement != "" || len(in.Records) > 0 {
		return nil, fail(Usage, "leave out --agreement and --record", "a bundle of a statement holds the statement and its records")
	}
	return n.writeBundle(in, func(v *ledger.View, w io.Writer) (int, error) {
		ver, s, err := n.statements.Find(v, in)
		if err != nil {
			return 0, err
		}
		now, _ := v.Checkpoint()
		// One that speaks of a log larger than there is is shown with what there is.
		live, err := v.LiveAt(s.Standard, min(s.Checkpoint.Size, now.Size))
		if errors.Is(err, ledger.ErrNotFound) {
			return 0, fail(NotFound, "stile standard list", "the statement is about %s, which was never in use here", s.Standard)
		}
		if err != nil {
			return 0, err
		}
		return bundle.Statement(ctx, n.bundles(), v, w, ver, s, live, in.Full)
	})
}

// A bundleFile is where a bundle goes while it is made: the new file that a request
// names, since there may be gigabytes of it, or memory.
type bundleFile struct {
	io.Writer
	file *os.File // nil: memory
	buf  *bufio.Writer
	mem  *bytes.Buffer
}

// openBundleFile makes the file, which must not be there yet.
func openBundleFile(path string) (*bundleFile, error) {
	if path == "" {
		var mem bytes.Buffer
		return &bundleFile{Writer: &mem, mem: &mem}, nil
	}
	if !filepath.IsAbs(path) {
		return nil, fail(Usage, "", "the file must be named from the root of the disk")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fail(Conflict, "name another file, or move the old one away", "%q is there already", path)
	}
	if err != nil {
		return nil, fail(Failed, "look at the path again", "write bundle: %v", err)
	}
	buf := bufio.NewWriterSize(f, 1<<20)
	return &bundleFile{Writer: buf, file: f, buf: buf}, nil
}

// end finishes what was made, or with an error takes it away again.
func (o *bundleFile) end(entries int, err error) (*BundleReply, error) {
	r := &BundleReply{Entries: entries}
	switch {
	case o.file == nil && err == nil:
		r.Bundle, r.Bytes = o.mem.Bytes(), uint64(o.mem.Len())
	case o.file != nil:
		if err == nil {
			err = errors.Join(o.buf.Flush(), o.file.Sync())
		}
		if st, serr := o.file.Stat(); serr == nil {
			r.Bytes = uint64(st.Size())
		}
		if err = errors.Join(err, o.file.Close()); err != nil {
			os.Remove(o.file.Name())
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}
