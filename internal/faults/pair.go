package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A pair is a node and the partner that gets its records.
type pair struct {
	f, partner *folder
	port       string // that the node listens at
}

const partnerOf = "saltby.gov.uk"

const agreed = `
agreement: northmoor.gov.uk/planning-for-saltby
version: 1
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.stile.example/planning-application@1
rows: record.district == "Saltby"
fields: [/reference, /organisation, /district, /applicationType, /status, /decision, /decisionDate]
purpose: Saltby plans for homes on the common boundary.
necessity: It cannot plan without knowing what is being built next to it.
data_items: Application reference, type and status. About places.
lawful_basis:
  article_6: 6(1)(e) public task
  legal_power: Town and Country Planning Act 1990, section 69
dpia: DPIA-2026-114, 1 October 2026
roles: {northmoor.gov.uk: controller, saltby.gov.uk: controller}
contacts: {northmoor.gov.uk: dpo@northmoor.gov.uk, saltby.gov.uk: dpo@saltby.gov.uk}
rights_contact: dpo@northmoor.gov.uk answers for both.
accuracy: Corrections travel as new versions within the day.
retention: P2Y
disposal: Deleted by the node, with a receipt.
security: Planning policy team only; breaches are told within 24 hours.
review: 2999-01-01
starts: 2020-01-01
exit: Three months' notice; the receiver deletes what it holds.
`

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// pair founds two nodes that know each other and have agreed.
func (w *world) pair(ctx context.Context) (*pair, error) {
	p := &pair{}
	var nodes []*node.Node
	var docs []string
	for _, c := range []string{council, partnerOf} {
		w.n++
		f := &folder{w: w, dir: filepath.Join(w.dir, fmt.Sprint(w.n)), wrote: map[string]string{}, tried: map[string]string{}}
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		cfg, err := node.Init(ctx, node.InitOptions{Dir: f.dir, Council: name.Council(c), Listen: []string{"/ip4/127.0.0.1/tcp/" + port}, Addresses: []string{"/ip4/127.0.0.1/tcp/" + port}})
		if err != nil {
			return nil, err
		}
		if err := small(f.dir); err != nil {
			return nil, err
		}
		n, err := node.Open(cfg, node.Options{})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		me, err := n.Councils().Show(ctx, node.MemberNameRequest{})
		if err != nil {
			return nil, err
		}
		docs = append(docs, me.Document)
		if p.f == nil {
			p.f, p.port = f, port
		} else {
			p.partner = f
		}
	}
	for i, n := range nodes {
		if _, err := n.Councils().Add(ctx, node.MemberRequest{Document: []byte(docs[1-i])}); err != nil {
			return nil, err
		}
	}
	if _, err := nodes[0].Agreements().Sign(ctx, node.AgreementRequest{Document: []byte(agreed)}); err != nil {
		return nil, err
	}
	return p, errors.Join(nodes[0].Close(), nodes[1].Close())
}

// small has a node ask for no large disk.
func small(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, config.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("limits: {min_free_mib: 16}\n")
	return errors.Join(err, f.Close())
}

func (p *pair) remove() { p.f.remove(); p.partner.remove() }

// soon does something again and again until it comes about, within a minute.
func soon(ctx context.Context, what string, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("within a minute, %s: %w", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// begin serves both, has the partner agree, and returns when records flow and the partner has them.
func (p *pair) begin(ctx context.Context) (n, s *process, err error) {
	if s, err = p.partner.serve(ctx, nil); err != nil {
		return nil, nil, err
	}
	if n, err = p.f.serve(ctx, nil); err != nil {
		s.kill()
		return nil, nil, err
	}
	err = soon(ctx, "the partner signs", func() error {
		_, err := s.client.Agreements().Sign(ctx, node.AgreementRequest{Name: "northmoor.gov.uk/planning-for-saltby"})
		return err
	})
	return n, s, errors.Join(err, p.flows(ctx, n))
}

// flows writes, and waits until the partner has it all.
func (p *pair) flows(ctx context.Context, n *process) error {
	if err := soon(ctx, "a record is taken in", func() error { return p.f.put(ctx, n.client, 5) }); err != nil {
		return err
	}
	return soon(ctx, "the partner is in step", func() error {
		st, err := n.client.Status(ctx)
		if err != nil {
			return err
		}
		for _, x := range st.Partners {
			if !x.InStep {
				return errors.New(x.Behind)
			}
		}
		if len(st.Partners) == 0 {
			return errors.New("there is no partner")
		}
		return nil
	})
}

// settled is flows once the log is as it should be again: where the partner has met the older log as well it has stopped all exchange, as it
// should, and a person there lets it go on with the history that is held.
func (p *pair) settled(ctx context.Context, n, s *process) error {
	if err := soon(ctx, "a record is taken in", func() error {
		qs, err := s.client.Councils().Quarantines(ctx)
		for _, q := range qs {
			if q.Active {
				_, err = s.client.Councils().EndQuarantine(ctx, node.EndQuarantineRequest{Council: council, Follow: "held", Because: "the newest folder is back"})
			}
		}
		return errors.Join(err, p.f.put(ctx, n.client, 5))
	}); err != nil {
		return err
	}
	return p.flows(ctx, n)
}

func end(ps ...*process) error {
	for _, p := range ps {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range ps {
		if !p.within(time.Minute) {
			p.kill()
			return errors.New("a node did not end on SIGTERM")
		}
	}
	return nil
}

// twoNodes copies the folder of a node and runs both, with a partner in common. The two must not both take records in:
// that would be two histories.
func twoNodes(ctx context.Context, w *world, c *count) error {
	for range max(1, w.trials/100) {
		p, err := w.pair(ctx)
		if err != nil {
			return err
		}
		n, s, err := p.begin(ctx)
		if err != nil {
			return err
		}
		if err := end(n); err != nil {
			return err
		}
		twin, err := p.f.copy()
		if err != nil {
			return err
		}
		twin.wrote, twin.tried = map[string]string{}, map[string]string{}
		other, err := freePort()
		if err != nil {
			return err
		}
		conf := filepath.Join(twin.dir, config.FileName)
		b, err := os.ReadFile(conf)
		if err != nil {
			return err
		}
		if err := os.WriteFile(conf, []byte(strings.ReplaceAll(string(b), "/tcp/"+p.port, "/tcp/"+other)), 0o600); err != nil {
			return err
		}
		if n, err = p.f.serve(ctx, nil); err != nil {
			return err
		}
		if err := p.flows(ctx, n); err != nil {
			return err
		}
		t, err := twin.serve(ctx, nil)
		if err != nil {
			return err
		}
		for over := time.Now().Add(time.Duration(2000+w.rng.IntN(2000)) * time.Millisecond); time.Now().Before(over); {
			p.f.put(ctx, n.client, 2)
			twin.put(ctx, t.client, 2)
			time.Sleep(10 * time.Millisecond)
		}
		c.trials++
		if len(twin.wrote) > 0 {
			c.wrong++
			c.note("beside the node its copy took %d records in", len(twin.wrote))
		}
		if err := end(t); err != nil {
			return err
		}
		if err := p.settled(ctx, n, s); err != nil {
			c.wrong++
			c.note("after its copy was stopped: %v", err)
		}
		if err := end(n, s); err != nil {
			return err
		}
		c.acknowledged += len(p.f.wrote)
		p.f.check(ctx, c)
		twin.remove()
		p.remove()
	}
	return nil
}

// forkAfterRestore puts a folder back to what it was before records were taken in that the partner has. The node must take
// nothing in, since it would tell a second history; with the newest folder it goes on.
func forkAfterRestore(ctx context.Context, w *world, c *count) error {
	for range max(1, w.trials/100) {
		p, err := w.pair(ctx)
		if err != nil {
			return err
		}
		n, s, err := p.begin(ctx)
		if err != nil {
			return err
		}
		if err := end(n); err != nil {
			return err
		}
		old, err := p.f.copy()
		if err != nil {
			return err
		}
		if n, err = p.f.serve(ctx, nil); err != nil {
			return err
		}
		if err := p.flows(ctx, n); err != nil {
			return err
		}
		n.kill()
		newest := p.f.dir + ".newest"
		if err := errors.Join(os.Rename(p.f.dir, newest), copyTree(old.dir, p.f.dir)); err != nil {
			return err
		}
		if n, err = p.f.serve(ctx, nil); err != nil {
			return err
		}
		set := &folder{w: w, dir: p.f.dir, wrote: map[string]string{}, tried: map[string]string{}}
		for over := time.Now().Add(time.Duration(1000+w.rng.IntN(4000)) * time.Millisecond); time.Now().Before(over); time.Sleep(10 * time.Millisecond) {
			set.put(ctx, n.client, 2)
		}
		c.trials++
		if len(set.wrote) > 0 {
			c.wrong++
			c.note("set back, the node took %d records in", len(set.wrote))
		}
		n.kill()
		if err := errors.Join(os.RemoveAll(p.f.dir), os.Rename(newest, p.f.dir)); err != nil {
			return err
		}
		if n, err = p.f.serve(ctx, nil); err != nil {
			return err
		}
		if err := p.settled(ctx, n, s); err != nil {
			c.wrong++
			c.note("with the newest folder: %v", err)
		}
		if err := end(n, s); err != nil {
			return err
		}
		c.acknowledged += len(p.f.wrote)
		p.f.check(ctx, c)
		old.remove()
		p.remove()
	}
	return nil
}
