package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/publiclog"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
)

// openPublisher makes what publishes our log's checkpoints, by the witness policy
// that the configuration names.
func (n *Node) openPublisher() error {
	o := publiclog.Options{
		Council: n.cfg.Council, Ledger: n.ledger, Directory: n.directory,
		Wait: time.Duration(n.cfg.CosignWait) * time.Second, Client: &http.Client{}, Heard: n.heardByWitness, Log: n.log, Now: n.now,
	}
	var err error
	var former []tlog.OtherKey
	for _, k := range n.keys.Log.Former() {
		former = append(former, tlog.OtherKey{Key: k})
	}
	if o.LogKey, err = tlog.ParseLogKeys(n.keys.Log.Verifier(), former...); err != nil {
		return err
	}
	if file := n.cfg.WitnessPolicy; file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fail(NotFound, "mend witness_policy in stile.yaml", "read witness_policy: %v", err)
		}
		if o.Policy, err = tlog.ParsePolicy(b); err != nil {
			return fail(Invalid, "c2sp.org/tlog-policy says what such a file holds", "%s: %v", file, err)
		}
		// During an overlap the key from before is as good as the one in use.
		signs := append([]string{n.keys.Log.Verifier()}, n.keys.Log.Former()[:len(n.keys.Log.Also())]...)
		if !slices.ContainsFunc(signs, o.Policy.Accepts) {
			return fail(Invalid, "add the line: log "+n.keys.Log.Verifier(), "%s: it names logs, and ours is not among them", file)
		}
	}
	n.publisher, err = publiclog.NewPublisher(o)
	return err
}

// public reports whether our log is published.
func (n *Node) public() bool { return n.cfg.HTTPListen != "" || n.cfg.WitnessPolicy != "" }

// logPublished says how the published log stands; nil where it is not published.
func (n *Node) logPublished() *LogReply {
	if !n.public() {
		return nil
	}
	s := n.publisher.State()
	out := &LogReply{Size: s.Size, At: s.At, Wanted: s.Wanted, Met: s.Met, CosignedBy: s.Cosigned}
	for _, w := range s.Witnesses {
		out.Witnesses = append(out.Witnesses, PolicyWitness(w))
	}
	return out
}

// maxStrangers is how many connections anybody may keep open to us over HTTP. A node
// needs some hundred open files for itself and its partners, of the 1,024 that a
// system gives by default.
const maxStrangers = 256

// How many requests an address may make of it: enough for an auditor, who fetches a log of
// a million entries in eight thousand.
const (
	visitsPerSecond = 100
	visitsAtOnce    = 2000
)

// serveHTTP serves over HTTP what anybody may have, until ctx ends: below
// /directory/ the files of the directory, below /stile/ our log, and a witness of the
// logs of others.
func (n *Node) serveHTTP(ctx context.Context) error {
	l, err := net.Listen("tcp", n.cfg.HTTPListen)
	if err != nil {
		return fmt.Errorf("open HTTP: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/directory/", n.follower.Handler())
	mux.Handle(publiclog.Prefix, publiclog.Handler(n.ledger, n.publisher.Checkpoint, n.log))
	mux.Handle(publiclog.WitnessPath, publiclog.Witness(publiclog.WitnessOptions{
		Ledger: n.ledger, Directory: n.directory, Cosigner: n.keys.Log.CosignerAt(n.now), Log: n.log, Now: n.now, Quota: n.quota,
	}))
	srv := &http.Server{
		Handler: quota.PerAddress(mux, visitsPerSecond, visitsAtOnce, n.now), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	n.log.Info("serving the directory and the log over HTTP", "address", l.Addr().String())
	if err := srv.Serve(quota.Limit(l, maxStrangers)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
