package node

import (
	"context"
	"slices"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node/name"
)

// Access says which systems may call the node's API.
type Access struct{ to Operations }

// Access returns the operations on the keys of systems.
func (o Operations) Access() Access { return Access{o} }

// AddKey makes a key for a system, or for a receiver that has no node. The reply alone
// holds its secret: here it is kept as a hash.
func (a Access) AddKey(ctx context.Context, in KeyRequest) (KeyReply, error) {
	return do(ctx, a.to, (*Node).addKey, in)
}

// ListKeys lists the keys, the newest first, without their secrets.
func (a Access) ListKeys(ctx context.Context) ([]KeyReply, error) {
	return list(ctx, a.to, (*Node).listKeys, Empty{})
}

// RevokeKey ends a key now.
func (a Access) RevokeKey(ctx context.Context, in KeyIDRequest) (KeyReply, error) {
	return do(ctx, a.to, (*Node).revokeKey, in)
}

// Authenticate finds the key that a caller shows, and notes that it was used. It fails
// as Refused where there is none that is good.
func (a Access) Authenticate(ctx context.Context, in KeySecretRequest) (KeyReply, error) {
	return do(ctx, a.to, (*Node).authenticate, in)
}

func (n *Node) addKey(_ context.Context, in KeyRequest) (*KeyReply, error) {
	if in.Agreement != "" {
		a, err := n.document(AgreementRequest{Name: in.Agreement})
		if err != nil {
			return nil, err
		}
		if in.Receiver == "" && len(a.To) == 1 {
			in.Receiver = string(a.To[0])
		}
		switch {
		case a.From != n.cfg.Council:
			return nil, fail(Usage, "ask "+string(a.From), "under %s it is %s who sends", a.Name, a.From)
		case !a.Way().Copied:
			return nil, fail(Usage, "", "under %s nothing is copied, so that there is nothing to collect", a.Name)
		case !slices.Contains(a.To, name.Council(in.Receiver)):
			return nil, fail(Usage, "name one of its receivers", "the receiver is not one of %s", a.Name)
		}
	} else if in.Receiver != "" {
		return nil, fail(Usage, "name the agreement too", "a receiver has a key for what comes under an agreement")
	}
	for _, text := range in.Allow {
		if err := n.scopeNames(text); err != nil {
			return nil, err
		}
	}
	return n.access.Add(in)
}

// scopeNames refuses a scope whose standard is not adopted here: it would be for
// nothing, and nobody would see why.
func (n *Node) scopeNames(text string) error {
	s, err := access.ParseScope(text)
	if err != nil || s.Standard == "" || s.Standard == "*" {
		return err
	}
	_, err = n.catalogue.Named(s.Standard)
	return err
}

func (n *Node) listKeys(context.Context, Empty) ([]KeyReply, error) { return n.access.List(), nil }

func (n *Node) revokeKey(_ context.Context, in KeyIDRequest) (*KeyReply, error) {
	return n.access.Revoke(in.ID)
}

func (n *Node) authenticate(_ context.Context, in KeySecretRequest) (*KeyReply, error) {
	return n.access.Authenticate(in.Secret)
}
