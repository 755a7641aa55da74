package node

import "context"

func (n *Node) bundle(ctx context.Context, in BundleRequest) (*BundleReply, error) {
	return nil, fail(Failed, "", "not built yet")
}
