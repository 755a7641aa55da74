package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/audit"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// maxOrigin caps a bundle of a council that has ended, in bytes; stile-audit reads larger ones.
const maxOrigin = 1 << 30

// maxToken caps a token or a proof that is verified by itself, in bytes.
const maxToken = 32 << 20

func (a *app) verifyCommand() *cobra.Command {
	v := &verifying{app: a}
	c := &cobra.Command{
		Use:   "verify FILE|TOKEN",
		Short: "Verify an audit bundle or a record, offline",
		Long: `Verify checks an audit bundle (.stile), or one record or event as its signed
token, and says of each check what came of it: in order, failed, or not done and
why not. It needs no node, no folder and no network.

A file says who signed it, but not that you should believe it. Give what you
trust with --trust: the root of the directory, as "root:" and the digest that
stile directory show prints, which is enough for a bundle; a node's directory/
folder; a member file, a folder of them, or a text file with a key on each line,
as verify prints the keys it used. Without --trust the
keys in a bundle are used, and the report says that they prove nothing by
themselves; a token has none in it.

It exits with 6 when a check failed or no signature could be checked, and with 5
when the file cannot be read as a bundle or a token at all.`,
		Example: `  stile verify audit.stile --trust northmoor.gov.uk.yaml
  stile verify audit.stile --trust root:4f0c…
  stile verify after.stile --origin northshire.gov.uk-to-east.gov.uk.stile --trust root:4f0c…
  stile verify plans.stile --what /plan --before /intention/move_on
  stile verify decision.token --proof decision.tlog-proof --trust northmoor.gov.uk.yaml
  stile record show 26/0000001/PA --token | stile verify -`,
		Args: takes(1, 1, "a file or a token"),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(args[0]) },
	}
	f := c.Flags()
	f.StringArrayVar(&v.trust, "trust", nil, "what to believe: root:DIGEST, a member `file`, a folder of them, or a list of keys; may be given again")
	f.StringArrayVar(&v.standards, "standard", nil, "`folder` or archive of a standard as its publisher has it; may be given again")
	f.StringArrayVar(&v.origins, "origin", nil, "with a bundle of a council that took records over, the `file` that the council which ended handed to it; may be given again")
	f.StringVar(&v.before, "before", "", "with a bundle, count the records that came before the day that stands in this `field`, by their receivers' receipts")
	f.StringVar(&v.what, "what", "", "with --before, the `field` that had to have come by then; default: the record itself")
	f.StringVar(&v.proof, "proof", "", "tlog-proof `file` of a record: shows that it stands in the log")
	return c
}

type verifying struct {
	*app
	trust, standards, origins []string
	proof                     string
	before, what              string
}

// tokenForm is a compact SD-JWT or JWS: base64url parts with dots between.
var tokenForm = regexp.MustCompile(`^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(~[A-Za-z0-9_~-]*)?$`)

// options reads what the auditor brings along.
func (v *verifying) options() (o audit.Options, err error) {
	if o.Needed, err = audit.ParseNeeded(v.what, v.before); err != nil {
		return o, misused("%v", err)
	}
	for _, path := range v.trust {
		t, err := audit.ReadTrust(path)
		if errors.Is(err, audit.ErrTrust) {
			return o, failure(node.Usage, "give root:DIGEST, a member file, a folder of them, or a list of keys", "--trust: %v", err)
		}
		if err != nil {
			return o, err
		}
		o.Trust.Add(t)
	}
	for _, path := range v.standards {
		s, err := loadStandard(path)
		if err != nil {
			return o, err
		}
		o.Standards = append(o.Standards, s)
	}
	for _, path := range v.origins {
		b, err := v.readFile(path, maxOrigin)
		if err != nil {
			return o, err
		}
		o.Origins = append(o.Origins, audit.OriginFile{File: bytes.NewReader(b), Size: int64(len(b))})
	}
	return o, nil
}

func (v *verifying) run(named string) error {
	o, err := v.options()
	if err != nil {
		return err
	}
	r, err := v.verify(named, o)
	if errors.Is(err, audit.ErrBundle) {
		return failure(node.Invalid, "ask whoever handed it over for a fresh copy, and keep this one", "%s: %v", short(named), err)
	}
	if err != nil {
		return err
	}
	if v.json {
		_, err = name.JSON(v.out).Write(r.JSON())
	} else {
		var b bytes.Buffer
		if err = r.WriteText(&b); err == nil {
			v.printf("%s", name.Lines(b.String()))
		}
	}
	if err != nil {
		return err
	}
	if !r.OK() {
		return failure(node.Unverified, "", "verification failed")
	}
	return v.vouched(r)
}

// vouched fails when nothing was checked with any key: that nothing failed is
// not enough then, since a script goes by the exit code alone.
func (v *verifying) vouched(r *audit.Report) error {
	k, _ := r.Check(audit.CheckKeys)
	switch {
	case k.Count == 0 && k.NotDone == 0:
		return failure(node.Unverified, "give the member file of the council that signed it with --trust", "nothing vouches for it: no signature could be checked, for want of a key")
	case k.NotDone > 0:
		v.say("note: some keys come from the file itself; give those you trust with --trust")
	}
	return nil
}

// verify tells a bundle from a token by what it begins with.
func (v *verifying) verify(named string, o audit.Options) (*audit.Report, error) {
	if tokenForm.MatchString(named) {
		if _, err := os.Stat(named); err != nil {
			return v.token([]byte(named), o)
		}
	}
	if named == "-" {
		b, err := v.readFile(named, maxToken)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(b, []byte("PK")) {
			return audit.Verify(bytes.NewReader(b), int64(len(b)), o)
		}
		return v.token(b, o)
	}
	f, err := os.Open(named)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, misused("%q is not a file: want a bundle or a token", named)
	}
	var head [2]byte
	f.ReadAt(head[:], 0)
	if string(head[:]) == "PK" || strings.HasSuffix(named, ".stile") {
		if v.proof != "" {
			return nil, misused("--proof goes with a token; a bundle has its proofs in it")
		}
		return audit.Verify(f, st.Size(), o)
	}
	b, err := v.readFile(named, maxToken)
	if err != nil {
		return nil, err
	}
	return v.token(b, o)
}

func (v *verifying) token(b []byte, o audit.Options) (*audit.Report, error) {
	if o.Needed != nil {
		return nil, misused("--before goes with a bundle: a token has no receipts in it")
	}
	var proof []byte
	if v.proof != "" {
		var err error
		if proof, err = v.readFile(v.proof, maxToken); err != nil {
			return nil, err
		}
	}
	// Standards that come with Stile are as good as any from elsewhere.
	shipped, err := shippedLoaded()
	if err != nil {
		return nil, err
	}
	o.Standards = append(o.Standards, shipped...)
	r, err := audit.VerifyToken(bytes.TrimSpace(b), proof, o)
	if err != nil {
		return nil, failure(node.Invalid, "a token is one line that begins with eyJ; a bundle is a .stile file", "%v", err)
	}
	return r, nil
}

// short is a name as it can stand in a message; a token is not one.
func short(named string) string {
	if len(named) > 80 {
		return named[:80] + "…"
	}
	return named
}
