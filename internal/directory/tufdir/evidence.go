package tufdir

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/node/name"
)

// Evidence returns the files of the edition in view that show who some members
// are, by their path in the tree: every root that is held, the lists that lead
// from it to the members, and the members' files. [ReadEvidence] reads them.
func (c *Client) Evidence(members ...name.Council) (map[string][]byte, error) {
	out := map[string][]byte{}
	add := func(p treePath) error {
		b, err := c.cache.read(p)
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
		out[p.String()] = b
		return nil
	}
	for _, v := range c.cache.versions(metadata.ROOT) {
		if err := add(treePath{role: metadata.ROOT, version: v}); err != nil {
			return nil, err
		}
	}
	for path := range c.View().files {
		p, ok := parsePath(path)
		if !ok {
			continue
		}
		wanted := slices.Contains([]string{metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS, RoleMembers}, p.role)
		if m, ok := parseMemberTarget(p.target); ok {
			wanted = slices.Contains(members, m)
		}
		if wanted {
			if err := add(p); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// EvidencePath reports whether path is one that Evidence may return, and how
// many bytes the file may have.
func EvidencePath(path string) (limit int64, ok bool) {
	p, ok := parsePath(path)
	if !ok {
		return 0, false
	}
	if _, body := bodyOf(p.role); body {
		return 0, false
	}
	if _, member := parseMemberTarget(p.target); p.target != "" && !member {
		return 0, false
	}
	return p.limit(), true
}

// ReadEvidence verifies an edition, whatever the time, from the root whose
// SHA-256 is sum: what it says was vouched for then, and [View.Health] says until
// when. The files may come from anybody. It writes nothing.
//
// The error is a *[Refusal]; it wraps [ErrMissing] when that root is not there.
func ReadEvidence(ctx context.Context, sum [32]byte, from Fetcher) (*View, error) {
	var root []byte
	for v := int64(1); v <= maxRotations && root == nil; v++ {
		b, err := from(ctx, metadataPath(metadata.ROOT, v), maxRoot)
		if err == nil && sha256.Sum256(b) == sum {
			root = b
		}
	}
	if root == nil {
		return nil, refuse("root.json", ErrMissing, "the root that was named is not here")
	}
	w, err := begin(root, time.Time{}, noCache{}, func(ctx context.Context, file string, max int64) ([]byte, error) {
		return from(ctx, "metadata/"+file, max)
	}, roleLimit)
	if err != nil {
		return nil, err
	}
	if err := w.top(ctx); err != nil {
		return nil, err
	}
	a := &assembly{w: w, have: evidence{from}, older: func(string, func(*targetsFile) bool) *targetsFile { return nil },
		frozen: map[string][32]byte{}, before: &View{}}
	return a.assemble(ctx)
}

// evidence is a store of files that somebody handed over.
type evidence struct{ from Fetcher }

func (e evidence) has(p treePath, length int64) bool {
	b, err := e.read(p)
	return err == nil && int64(len(b)) == length
}

func (e evidence) read(p treePath) ([]byte, error) {
	b, err := e.from(context.Background(), p.String(), p.limit())
	if err != nil {
		return nil, err
	}
	if p.target != "" {
		if err := verifyTarget(p, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}
