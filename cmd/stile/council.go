package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node"
)

func (a *app) councilCommand() *cobra.Command {
	return noun("council", "List, add, invite and join members of the directory", `The directory says who is a member of the exchange, with which keys and
addresses. Only members are listened to. A node begins with a directory of one,
which it signs itself: two councils can meet by each adding the other's member file,
received in a way they trust. Several join one directory, by an invite: see "stile
directory".`,
		a.councilListCommand(), a.councilShowCommand(), a.councilFactsCommand(), a.councilAddCommand(), a.councilSelfCommand(), a.councilInviteCommand(), a.councilJoinCommand(), a.councilReloadCommand(), a.councilReferenceCommand(), a.councilQuarantineCommand(), a.councilSucceedCommand(), a.councilTakeOverCommand())
}

func (a *app) councilListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the members of the directory",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rs, err := a.node().Councils().List(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, rs)
			}
			t := newTable("COUNCIL", "ROLE", "GSS", "TITLE", "ADDRESSES")
			for _, r := range rs {
				title := r.Title
				if r.Self {
					title += " (this node)"
				}
				gss := r.GSS
				if gss == "" {
					gss = "-"
				}
				t.add(string(r.Council), r.Role, gss, title, list(r.Addresses))
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func (a *app) councilShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show COUNCIL",
		Short: "Print a member's file: keys, addresses and role",
		Args:  takes(1, 1, "a council"),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.printMember(cmd, args[0]) },
	}
}

func (a *app) councilReloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running node ask for news of the directory and try its partners now",
		Long: `Reload has the running node ask for news of the directory, and try every exchange
that waits after a failure at once. When nobody can be reached, or what they have is
not believed, the directory as it was goes on being used.`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.node().Retry(cmd.Context())
		},
	}
}

func (a *app) councilSelfCommand() *cobra.Command {
	var addresses []string
	c := &cobra.Command{
		Use:   "self",
		Short: "Print our own member file, to send to a partner",
		Long: `Self prints the file that a partner adds with "stile council add", and that the
registrar of a directory admits with "stile directory admit". It holds public keys
and addresses, nothing secret; but whoever can swap it on the way can pass for you,
so let them read the kid back to you by another way.

With --address the file names other addresses than the directory has. They count once it
is added, or the registrar of a shared directory has amended ours by it.`,
		Example: `  stile council self > northmoor.gov.uk.yaml
  stile council self --address /dns4/stile.northmoor.gov.uk/tcp/7845 > us.yaml && stile council add us.yaml`,
		Args: takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.printMember(cmd, "", addresses...) },
	}
	c.Flags().StringArrayVar(&addresses, "address", nil, "`address` at which partners reach the node, a multiaddr; may be given again; default: as the directory has it")
	return c
}

func (a *app) printMember(cmd *cobra.Command, council string, addresses ...string) error {
	r, err := a.node().Councils().Show(cmd.Context(), node.MemberNameRequest{Council: council})
	if err != nil {
		return err
	}
	if len(addresses) > 0 {
		m, err := directory.ParseMember([]byte(r.Document))
		if err != nil {
			return err
		}
		m = m.Bare()
		m.Addresses = addresses
		if err := m.Check(); err != nil {
			return misused("%v", err)
		}
		r.Addresses, r.Document = addresses, string(m.YAML())
	}
	if a.json {
		return a.emit(r)
	}
	a.exact(r.Document)
	if !strings.HasSuffix(r.Document, "\n") {
		a.printf("\n")
	}
	return nil
}

func (a *app) councilAddCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "add FILE",
		Short: "Add a member to the directory this node keeps, or bring it up to date",
		Long: `Add takes a member file, as the partner's "stile council self" prints it, into the
directory that this node keeps and signs. A file with other keys than the member had
before is said aloud: from then on those keys speak for that council. Where the node
follows a directory of others, its registrar admits members.`,
		Args: takes(1, 1, "a member file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.readFile(args[0], directory.MaxFile)
			if err != nil {
				return err
			}
			if err := a.changesKeys(cmd.Context(), b, yes); err != nil {
				return err
			}
			r, err := a.node().Councils().Add(cmd.Context(), node.MemberRequest{Document: b})
			if err != nil {
				if e, ok := err.(*node.Error); ok && e.Try == "" && e.Kind == node.Invalid {
					e.Try = "ask the member for the file that stile council self prints"
				}
				return err
			}
			if a.json {
				return a.emit(r)
			}
			a.printf("added %s (%s), %s\n", r.Council, clean(r.Title), r.Role)
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// changesKeys says aloud when a member file replaces the keys of a member, and
// asks. What cannot be read is for the node to refuse.
func (a *app) changesKeys(ctx context.Context, document []byte, yes bool) error {
	m, err := directory.ParseMember(document)
	if err != nil {
		return nil
	}
	r, err := a.node().Councils().Show(ctx, node.MemberNameRequest{Council: string(m.Council)})
	if isKind(err, node.NotFound) || r.Self {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := directory.ParseMember([]byte(r.Document))
	if err != nil {
		return nil
	}
	var changed []string
	if !slices.EqualFunc(m.RecordKeys, old.RecordKeys, func(x, y *keys.RecordPublic) bool { return x.ID() == y.ID() }) {
		changed = append(changed, "record")
	}
	if slices.ContainsFunc(m.LogKeys(), func(k tlog.OtherKey) bool { return !old.HasLogKey(k.Key) }) {
		changed = append(changed, "log")
	}
	for _, k := range []struct{ name, was, is string }{
		{"witness", old.WitnessKey, m.WitnessKey}, {"node", old.Node, m.Node},
	} {
		if k.was != k.is {
			changed = append(changed, k.name)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	a.say("%s had other keys before (%s): make sure by another way that the new ones are its own", m.Council, strings.Join(changed, ", "))
	return a.sure(yes, "believe the new keys of %s", m.Council)
}
