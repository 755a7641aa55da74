package web_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stile-exchange/stile/examples/people"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// perPartner is how many agreements one partner has signed whose proposal it has not seen.
const perPartner = 200

// BenchmarkMakeRegister is how long the register takes to be read from a node with 250
// agreements in force, and with four times as many; STILE_FLOWS names another number for the
// smaller. Making them takes longer by far.
func BenchmarkMakeRegister(b *testing.B) {
	few := 250
	if n, err := strconv.Atoi(os.Getenv("STILE_FLOWS")); err == nil && n > 0 {
		few = n
	}
	h := found(b, northmoor, "Northmoor", node.InitOptions{Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/1"}})
	ctx := b.Context()
	introduce := func(to, of *node.Node) {
		m, err := of.Councils().Show(ctx, node.MemberNameRequest{})
		if err == nil {
			_, err = to.Councils().Add(ctx, node.MemberRequest{Document: []byte(m.Document)})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var other *node.Node
	partner := func(c name.Council) {
		cfg, err := node.Init(ctx, node.InitOptions{Dir: filepath.Join(b.TempDir(), string(c)), Council: c, Listen: []string{}, Addresses: []string{"/ip4/127.0.0.1/tcp/2"}})
		if err == nil {
			other, err = node.Open(cfg, node.Options{})
		}
		if err != nil {
			b.Fatal(err)
		}
		n := other
		b.Cleanup(func() { n.Close() })
		introduce(h.node, other)
		introduce(other, h.node)
	}
	made := 0
	agree := func(upTo int) {
		for ; made < upTo; made++ {
			c := fmt.Sprintf("saltby-%d.gov.uk", made/perPartner)
			if made%perPartner == 0 {
				partner(name.Council(c))
			}
			doc := bytes.ReplaceAll(people.Agreement(), []byte("/people-moving-to-saltby"), fmt.Appendf(nil, "/flow-%05d", made))
			doc = bytes.ReplaceAll(doc, []byte(saltby), []byte(c))
			apart, err := other.Agreements().Signature(ctx, node.AgreementRequest{Document: doc})
			if err == nil {
				_, err = h.node.Agreements().Sign(ctx, node.AgreementRequest{Document: doc})
			}
			if err == nil {
				_, err = h.node.Agreements().Bring(ctx, node.SignatureRequest{Signature: apart.Signature})
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, n := range []int{few, 4 * few} {
		agree(n)
		b.Run(fmt.Sprintf("flows-%d", n), func(b *testing.B) {
			for b.Loop() {
				r, err := web.MakeRegister(ctx, h.node.Operations, registers.Agent{Council: northmoor, Title: "Northmoor"}, time.Now())
				if err != nil || len(r.Flows) != n {
					b.Fatal(len(r.Flows), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/flow")
		})
	}
}
