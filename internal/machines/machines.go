// Package machines runs a council's node on several machines, on one of them at a
// time.
//
// Each machine is a node too, with a name below the council's, and together they
// keep a footprint that is named like the council and that has the council's ledger
// in its store. Whichever leads it runs the council's node, from a data folder that
// is the same on every machine but for the ledger, which stands in the footprint's.
//
//	DATA/footprints/COUNCIL/runs   in the machine's data folder: where the council's is
//	DATA/machine                   in the council's: whose machine this is
//
// The files of the directory that the council's node follows, and hosts, are kept in
// the machines' store beside the ledger; see [Files].
package machines

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/footprint"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// RunsName is the file in a footprint's folder that says where the data folder of
// the council is whose ledger the machines keep.
const RunsName = "runs"

const machineName = "machine"

// An Owner is the machine that a council's data folder is on.
type Owner struct {
	Machine name.Council `json:"machine"` // of the council
	Data    string       `json:"data"`    // the machine's own data folder
}

// ReadOwner reads whose machine a council's data folder is on; nil when the
// council's ledger is the folder's own.
func ReadOwner(data string) (*Owner, error) {
	b, err := os.ReadFile(filepath.Join(data, machineName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var o Owner
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(data, machineName), err)
	}
	return &o, nil
}

// Elsewhere is the answer of a data folder whose ledger is kept by machines, where
// its node does not run.
func (o *Owner) Elsewhere(c name.Council) *api.Error {
	return api.Fail(api.Behind, fmt.Sprintf("stile footprint status %s --data %s", c, o.Data),
		"the node of %s runs on whichever of its machines leads: while %s does, commands reach it here, and nothing else opens this folder", c, o.Machine)
}

// A Node is a council's node that this machine runs.
type Node interface {
	Run(ctx context.Context) error // until ctx ends, which is no error
	Close() error
	Since() time.Time // from when it runs; zero before
}

// A Machine is the node of one machine, as far as it runs councils' nodes.
type Machine struct {
	Config *config.Config // the machine's own
	Log    *slog.Logger
	Now    func() time.Time
	// Open opens a council's node whose ledger is in a store; fatal is for storage
	// that fails.
	Open func(cfg *config.Config, store *ledger.Shared, fatal func(error)) (Node, error)
}

// Claim notes in a council's data folder, and in dir, the folder of its footprint on
// this machine, that this machine runs the council's node. It returns the folder of
// the council's ledger, which is not open, or "" when it has none. Where full is
// given, a folder with a ledger is refused with it.
func (m *Machine) Claim(c name.Council, data, dir string, full *api.Error) (store string, err error) {
	cfg, store, err := m.check(c, data)
	if err == nil && store != "" && full != nil {
		err = full
	}
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(Owner{m.Config.Council, m.Config.Data})
	if err != nil {
		return "", err
	}
	return store, errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, RunsName), []byte(cfg.Data+"\n"), 0o600),
		os.WriteFile(filepath.Join(cfg.Data, machineName), append(b, '\n'), 0o600))
}

// check holds that a council's data folder can be run by this machine.
func (m *Machine) check(c name.Council, data string) (*config.Config, string, error) {
	const try = "stile help footprint found"
	self := m.Config.Council
	cfg, err := config.Load(filepath.Join(data, config.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", api.Fail(api.NotFound, try, "there is no council's node in %q: it has no %s", data, config.FileName)
	}
	if err != nil {
		return nil, "", api.Fail(api.Invalid, "", "%v", err)
	}
	switch {
	case cfg.Council != c:
		return nil, "", api.Fail(api.Conflict, try, "%q is the data folder of %s, and machines keep a footprint named like their council", data, cfg.Council)
	case !IsMachine(self, c):
		return nil, "", api.Fail(api.Usage, "stile init --data DIR --council one."+string(c), "this node is %s: a machine has a name below its council's, such as one.%s", self, c)
	}
	if o, err := ReadOwner(data); err != nil {
		return nil, "", err
	} else if o != nil && o.Machine != self {
		return nil, "", api.Fail(api.Conflict, "copy the folder of a council without its file "+machineName, "%q is run by %s already", data, o.Machine)
	}
	own, err := m.Config.EncryptionKey()
	if err != nil {
		return nil, "", err
	}
	theirs, err := cfg.EncryptionKey()
	if err != nil {
		return nil, "", err
	}
	if !slices.Equal(own, theirs) {
		return nil, "", api.Fail(api.Conflict, "name the same encryption_key_file in both configurations", "the machine's ledger and the council's are not encrypted with the same key")
	}
	ring, err := ringOf(cfg)
	if err != nil {
		return nil, "", err
	}
	store := filepath.Join(cfg.Data, "ledger")
	if _, err := os.Stat(store); errors.Is(err, fs.ErrNotExist) {
		return cfg, "", nil
	}
	// That it opens shows that the council's node does not run and that the keys
	// are those it was written with.
	l, err := ledger.Open(ledger.Options{Dir: store, Council: c, Keys: ring, EncryptionKey: theirs, Now: m.Now, Log: m.Log, MinFree: cfg.Limits.MinFree()})
	if errors.Is(err, ledger.ErrInUse) {
		return nil, "", api.Fail(api.Conflict, "stop its stile serve first", "the node of %s is running in %q", c, cfg.Data)
	}
	if err != nil {
		return nil, "", err
	}
	return cfg, store, l.Close()
}

// IsMachine reports whether a node is named as a machine of a council is.
func IsMachine(self, c name.Council) bool { return strings.HasSuffix(string(self), "."+string(c)) }

func ringOf(cfg *config.Config) (*keys.Ring, error) {
	pass, err := cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	return datadir.OpenKeys(cfg, pass)
}

// A Council is a council whose node this machine runs when it leads.
type Council struct {
	m    *Machine
	data string // the council's data folder
	node atomic.Pointer[Node]
	err  atomic.Pointer[error] // why it does not run, or will not
}

// Of returns the council that a footprint's folder says this machine runs; nil for
// a footprint of councils.
func (m *Machine) Of(dir string) (*Council, error) {
	b, err := os.ReadFile(filepath.Join(dir, RunsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &Council{m: m, data: strings.TrimSpace(string(b))}, err
}

// Missing returns a Council that cannot run, since the footprint's folder does not
// say where it is.
func (m *Machine) Missing(dir string, err error) *Council {
	c := &Council{m: m}
	c.failed(errors.Join(err, fmt.Errorf("the file %s is missing from %s", RunsName, dir)))
	return c
}

// Data returns the council's data folder; "" where it is not known.
func (c *Council) Data() string { return c.data }

func (c *Council) failed(err error) { c.err.Store(&err) }

func (c *Council) config() (*config.Config, error) {
	return config.Load(filepath.Join(c.data, config.FileName))
}

// Run runs the council's node for as long as this machine leads f, until ctx ends.
func (c *Council) Run(ctx context.Context, f *footprint.Footprint) {
	if c.data == "" {
		return
	}
	for ctx.Err() == nil {
		t, err := f.Lead(ctx)
		if err != nil {
			return
		}
		err = c.serve(ctx, t)
		t.Close()
		if err == nil || ctx.Err() != nil {
			continue
		}
		c.failed(err)
		c.m.Log.Error("the council's node does not run here", "council", f.Name(), "because", err.Error())
		if len(f.Councils()) > 1 {
			_ = f.Transfer("") // another machine may do better
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
}

// errNoLead ends a council's node on a machine that leads no more.
var errNoLead = errors.New("this machine leads no more")

// A Tenure is a time during which this machine leads.
type tenure interface {
	Over() <-chan struct{} // closed when it leads no more
	Store() *ledger.Shared
}

// serve makes the council's files those of the machines, and runs its node.
func (c *Council) serve(ctx context.Context, t tenure) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err := restoreFiles(cfg, t.Store()); err != nil {
		return err
	}
	return c.run(ctx, cfg, t)
}

// run runs the council's node until the lead is lost, which is no error.
func (c *Council) run(ctx context.Context, cfg *config.Config, t tenure) error {
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
	n, err := c.m.Open(cfg, t.Store(), func(err error) { stop(err) })
	if err == nil {
		c.node.Store(&n)
		c.err.Store(nil)
		c.m.Log.Info("this machine leads, and runs the council's node", "council", cfg.Council)
		err = n.Run(ctx)
		c.node.Store(nil)
		err = errors.Join(err, n.Close())
		if err == nil {
			err = context.Cause(ctx)
		}
		c.m.Log.Info("the council's node has stopped here", "council", cfg.Council)
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

// Check looks, without being asked to lead, whether this machine could run the
// council's node, once it is a member of f. What is wrong stands in Status.
func (c *Council) Check(ctx context.Context, f *footprint.Footprint) {
	if c.data == "" || f.AwaitJoined(ctx) != nil {
		return
	}
	cfg, err := c.config()
	if err == nil {
		ring, kerr := ringOf(cfg)
		if err = kerr; err == nil {
			if err = f.CheckLedger(cfg.Council, ring); err != nil {
				err = fmt.Errorf("the keys in %s are not those that the council's ledger was written with: %w", cfg.Data, err)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		c.failed(err)
		c.m.Log.Error("this machine cannot run the council's node", "council", f.Name(), "because", err.Error())
	}
}

// Running reports whether the council's node runs here.
func (c *Council) Running() bool { return c.node.Load() != nil }

// Node returns the council's node that runs here; nil while none does.
func (c *Council) Node() Node {
	if n := c.node.Load(); n != nil {
		return *n
	}
	return nil
}

// Status says how the council's node stands here; leader is the machine that leads.
func (c *Council) Status(leader name.Council) *api.MachinesReply {
	out := &api.MachinesReply{Data: c.data, By: leader}
	if n := c.node.Load(); n != nil {
		out.Here, out.Since = true, (*n).Since()
	}
	if p := c.err.Load(); p != nil {
		out.Problem = (*p).Error()
	}
	return out
}

// GiveBack ends the council's machines at the last that is left, whose footprint o
// opens and is closed: from then on the council's data folder is that of a node like
// any other.
func (c *Council) GiveBack(o footprint.Options) error {
	cfg, err := c.config()
	if err != nil {
		return api.Fail(api.Invalid, "", "%v", err)
	}
	if err := footprint.GiveBack(o, filepath.Join(cfg.Data, "ledger")); err != nil {
		return err
	}
	// Only now may the council's node be opened by itself.
	if err := os.Remove(filepath.Join(cfg.Data, machineName)); err != nil {
		return api.Fail(api.Failed, "delete the file by hand", "%v", err)
	}
	return nil
}
