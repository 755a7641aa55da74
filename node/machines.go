package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/name"
)

// A council may run its node on several machines. Each machine is a node too, with
// a name below the council's, and together they keep a footprint that is named
// like the council and that has the council's ledger in its store. Whichever leads
// it runs the council's node, from a data folder that is the same on every machine
// but for the ledger, which stands in the footprint's.
//
//	DATA/footprints/COUNCIL/runs   in the machine's data folder: where the council's is
//	DATA/machine                   in the council's: whose machine this is
const (
	runsName    = "runs"
	machineName = "machine"
)

// A machineOf is what the file "machine" of a council's data folder says.
type machineOf struct {
	Machine name.Council `json:"machine"` // of the council
	Data    string       `json:"data"`    // the machine's own data folder
}

// A councilHere is the council whose node a machine runs when it leads.
type councilHere struct {
	data string // the council's data folder
	node atomic.Pointer[Node]
	err  atomic.Pointer[error] // why it does not run, or will not
}

// MachinesReply says how a council's node stands on its machines, as one of them
// sees it.
type MachinesReply struct {
	Data    string       `json:"data"`                // the council's data folder on this machine
	Here    bool         `json:"here"`                // its node runs on this machine
	By      name.Council `json:"served_by,omitempty"` // the machine that leads
	Since   time.Time    `json:"since,omitzero"`
	Problem string       `json:"problem,omitempty"` // why it does not run here, or could not if this machine led
}

// readMachine reads whose machine a council's data folder is on; nil when the
// council's ledger is the folder's own.
func readMachine(data string) (*machineOf, error) {
	b, err := os.ReadFile(filepath.Join(data, machineName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var m machineOf
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(data, machineName), err)
	}
	return &m, nil
}

// elsewhere is the answer of a data folder whose ledger is kept by machines, where
// its node does not run.
func (m *machineOf) elsewhere(c name.Council) *Error {
	return fail(Behind, fmt.Sprintf("stile footprint status %s --data %s", c, m.Data),
		"the node of %s runs on whichever of its machines leads: while %s does, commands reach it here, and nothing else opens this folder", c, m.Machine)
}

// machineFor checks that a council's data folder can be run by this machine, and
// notes in both folders that it is. The second result is the folder of its ledger,
// "" when it has none.
func (n *Node) machineFor(c name.Council, data string) (*config.Config, string, error) {
	try := "stile help footprint found"
	cfg, err := config.Load(filepath.Join(data, config.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fail(NotFound, try, "there is no council's node in %q: it has no %s", data, config.FileName)
	}
	if err != nil {
		return nil, "", fail(Invalid, "", "%v", err)
	}
	switch {
	case cfg.Council != c:
		return nil, "", fail(Conflict, try, "%q is the data folder of %s, and machines keep a footprint named like their council", data, cfg.Council)
	case !strings.HasSuffix(string(n.cfg.Council), "."+string(c)):
		return nil, "", fail(Usage, "stile init --data DIR --council one."+string(c), "this node is %s: a machine has a name below its council's, such as one.%s", n.cfg.Council, c)
	}
	if m, err := readMachine(data); err != nil {
		return nil, "", err
	} else if m != nil && m.Machine != n.cfg.Council {
		return nil, "", fail(Conflict, "copy the folder of a council without its file "+machineName, "%q is run by %s already", data, m.Machine)
	}
	own, err := n.cfg.EncryptionKey()
	if err != nil {
		return nil, "", err
	}
	theirs, err := cfg.EncryptionKey()
	if err != nil {
		return nil, "", err
	}
	if !slices.Equal(own, theirs) {
		return nil, "", fail(Conflict, "name the same encryption_key_file in both configurations", "the machine's ledger and the council's are not encrypted with the same key")
	}
	ring, err := councilKeys(cfg)
	if err != nil {
		return nil, "", err
	}
	store := filepath.Join(cfg.Data, "ledger")
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return cfg, "", nil
	}
	// That it opens shows that the council's node does not run and that the keys
	// are those it was written with.
	l, err := ledger.Open(ledger.Options{Dir: store, Council: c, Keys: ring, EncryptionKey: theirs, Now: n.now, Log: n.log, MinFree: cfg.Limits.MinFree()})
	if errors.Is(err, ledger.ErrInUse) {
		return nil, "", fail(Conflict, "stop its stile serve first", "the node of %s is running in %q", c, cfg.Data)
	}
	if err != nil {
		return nil, "", err
	}
	return cfg, store, l.Close()
}

func councilKeys(cfg *config.Config) (*keys.Ring, error) {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	return keys.Open(filepath.Join(cfg.Data, "keys"), cfg.Council, pass)
}

// noteMachine writes into both folders that this machine runs the council.
func (n *Node) noteMachine(c name.Council, cfg *config.Config) error {
	b, err := json.Marshal(machineOf{Machine: n.cfg.Council, Data: n.cfg.Data})
	if err != nil {
		return err
	}
	dir := n.footprintDir(c)
	return errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, runsName), []byte(cfg.Data+"\n"), 0o600),
		os.WriteFile(filepath.Join(cfg.Data, machineName), append(b, '\n'), 0o600))
}

// runs returns the council that a footprint's folder says this machine runs; nil
// for a footprint of councils.
func (n *Node) runs(c name.Council) (*councilHere, error) {
	b, err := os.ReadFile(filepath.Join(n.footprintDir(c), runsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &councilHere{data: strings.TrimSpace(string(b))}, err
}

// keepCouncil runs the council's node for as long as this machine leads.
func (n *Node) keepCouncil(ctx context.Context, r *replica) {
	for ctx.Err() == nil {
		t, err := r.f.Lead(ctx)
		if err != nil {
			return
		}
		err = n.serveCouncil(ctx, r, t)
		t.Close()
		if err == nil || ctx.Err() != nil {
			continue
		}
		r.council.err.Store(&err)
		n.log.Error("the council's node does not run here", "council", r.name, "because", err.Error())
		if len(r.f.Councils()) > 1 {
			_ = r.f.Transfer("") // another machine may do better
		}
		pause(ctx, 2*time.Second)
	}
}

// errNoLead ends a council's node on a machine that leads no more.
var errNoLead = errors.New("this machine leads no more")

// serveCouncil runs the council's node until the lead is lost, which is no error.
func (n *Node) serveCouncil(ctx context.Context, r *replica, t *footprint.Tenure) error {
	cfg, err := config.Load(filepath.Join(r.council.data, config.FileName))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan struct{})
	defer func() { <-over }()
	go func() {
		defer close(over)
		select {
		case <-t.Over():
			stop(errNoLead)
		case <-ctx.Done():
		}
	}()
	defer stop(nil)
	store := t.Store()
	if err := restoreFiles(cfg, store); err != nil {
		return err
	}
	inner, err := Open(cfg, Options{
		Log: n.log.With("council", cfg.Council), Now: n.o.Now, Version: n.o.Version, shared: store,
		Fatal: func(err error) { stop(err) },
	})
	if err == nil {
		if err = errors.Join(inner.knowFiles(), inner.keepFiles()); err != nil {
			err = errors.Join(err, inner.Close())
		}
	}
	if err == nil {
		r.council.node.Store(inner)
		r.council.err.Store(nil)
		n.log.Info("this machine leads, and runs the council's node", "council", cfg.Council)
		err = inner.Run(ctx)
		r.council.node.Store(nil)
		err = errors.Join(err, inner.Close())
		if err == nil {
			err = context.Cause(ctx)
		}
		n.log.Info("the council's node has stopped here", "council", cfg.Council)
	}
	if errors.Is(err, errNoLead) || errors.Is(err, footprint.ErrDeposed) || errors.Is(err, context.Canceled) {
		return nil
	}
	select {
	case <-t.Over(): // whatever else it says, it lost its store
		return nil
	default:
	}
	return err
}

// checkCouncil looks, without being asked to lead, whether this machine could
// run the council's node.
func (n *Node) checkCouncil(ctx context.Context, r *replica) {
	for ctx.Err() == nil && !slices.Contains(r.f.Councils(), n.cfg.Council) {
		changed := r.f.Changed()
		pause(ctx, time.Second, changed)
	}
	cfg, err := config.Load(filepath.Join(r.council.data, config.FileName))
	if err == nil {
		ring, kerr := councilKeys(cfg)
		if err = kerr; err == nil {
			if err = r.f.CheckLedger(cfg.Council, ring); err != nil {
				err = fmt.Errorf("the keys in %s are not those that the council's ledger was written with: %w", cfg.Data, err)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		r.council.err.Store(&err)
		n.log.Error("this machine cannot run the council's node", "council", r.name, "because", err.Error())
	}
}

func (r *replica) machines(st *footprint.Status) *MachinesReply {
	if r.council == nil {
		return nil
	}
	out := &MachinesReply{Data: r.council.data, By: st.Leader}
	if inner := r.council.node.Load(); inner != nil {
		out.Here = true
		inner.mu.Lock()
		out.Since = inner.since
		inner.mu.Unlock()
	}
	if p := r.council.err.Load(); p != nil {
		out.Problem = (*p).Error()
	}
	return out
}

// giveBack ends the council's machines at the last that is left: from then on its
// data folder is that of a node like any other.
func (n *Node) giveBack(ctx context.Context, r *replica) (*Empty, error) {
	cfg, err := config.Load(filepath.Join(r.council.data, config.FileName))
	if err != nil {
		return nil, fail(Invalid, "", "%v", err)
	}
	o, err := n.replicas.options(r.name)
	if err != nil {
		return nil, err
	}
	n.replicas.drop(r)
	if err := footprint.GiveBack(o, filepath.Join(cfg.Data, "ledger")); err != nil {
		if f, oerr := n.replicas.open(r.name); oerr == nil {
			n.replicas.keep(r.name, f, nil)
		}
		return nil, err
	}
	// Only now may the council's node be opened by itself.
	if err := os.Remove(filepath.Join(cfg.Data, machineName)); err != nil {
		return nil, fail(Failed, "delete the file by hand", "%v", err)
	}
	_, _, err = n.ledger.AppendNotice(ctx, event.KindFootprintDiscarded, map[string]any{"footprint": string(r.name), "entries": json.Number("0")})
	return &Empty{}, err
}
