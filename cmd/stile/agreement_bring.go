package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementBringCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bring SIGNATURE",
		Short: "Take in the signature of a party that has no node",
		Long: `Bring reads the file that a receiver without a node made with stile agreement sign
--out, checks it by the key that the directory has of that council, and keeps it as
if the council's node had sent it. The agreement must have been signed here first.`,
		Args: takes(1, 1, "a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.readFile(args[0], 1<<20)
			if err != nil {
				return err
			}
			r, err := a.node().Agreements().Bring(cmd.Context(), node.SignatureRequest{Signature: b})
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("%s version %d is signed by %s; %s\n", r.Name, r.Version, list(r.Signed), force(r))
			return nil
		},
	}
}

// signatureFile signs an agreement and writes the signature to a file.
func (a *app) signatureFile(ctx context.Context, in node.AgreementRequest, out string) error {
	r, err := a.node().Agreements().Signature(ctx, in)
	if err != nil {
		return err
	}
	if r.Approval != nil {
		if a.json {
			return a.emit(r)
		}
		a.another(*r.Approval, "sign FILE --out "+out)
		return nil
	}
	if err := a.writeNew(out, append(r.Signature, '\n'), 0o644); err != nil {
		return err
	}
	if a.json {
		return a.emit(r)
	}
	a.printf("signed %s version %d, document %s\n", r.Name, r.Version, r.Digest)
	a.say("send %s to %s, where it is taken in with: stile agreement bring %s", quoted(out), r.Name.Council(), quoted(out))
	return nil
}
