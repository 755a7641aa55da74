package england

import (
	"sync"
	"sync/atomic"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// host is who publishes the directory, and keeps the registrar's key.
func (c *Country) host() *Council { return c.bodies[0] }

// federate has two of three holders found the directory of the country, with all who are
// there in it, and everybody join it by an invite.
func (c *Country) federate() {
	c.t.Helper()
	h := c.host()
	cfg := config.Default(h.Name, h.dir)
	online, err := tufdir.CreateKey(datadir.OnlineKey(cfg), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	registrar, err := tufdir.CreateKey(datadir.RegistrarKey(cfg), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	var holders []*tufdir.Key
	var public []tufdir.Public
	for range 3 {
		k, err := tufdir.GenerateKey()
		if err != nil {
			c.t.Fatal(err)
		}
		holders, public = append(holders, k), append(public, k.Public())
	}
	r, err := tufdir.Found(tufdir.Founding{Holders: public, Threshold: 2, Online: online.Public(), Members: []tufdir.Public{registrar.Public()}}, c.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, x := range c.all() {
		if err := r.Admit(x.member(), c.Now()); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, k := range []*tufdir.Key{holders[0], holders[2], registrar} {
		if _, err := r.Sign(k); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := r.Publish(online, c.Now()); err != nil {
		c.t.Fatal(err)
	}
	if err := r.Save(datadir.Founding(cfg)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := h.node.Directory().Follow(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.invite = call(h, h.node.Directory().Invite, node.InviteRequest{Days: 365}).Code
	for _, x := range c.all() {
		if x != h {
			x.join()
		}
	}
}

// join has a council follow the directory that the host invites it to.
func (x *Council) join() {
	h := x.country.host()
	// A network in memory is dialled by name, and the invite leads to a node whose name is known.
	call(x, x.node.Councils().Add, node.MemberRequest{Document: h.member().YAML()})
	call(x, x.node.Directory().Join, node.JoinRequest{Code: x.country.invite})
}

// member is what the council's node says of itself.
func (x *Council) member() directory.Member {
	m, err := directory.ParseMember([]byte(call(x, x.node.Councils().Show, node.MemberNameRequest{}).Document))
	if err != nil {
		x.country.t.Fatal(err)
	}
	return m
}

// address is where a council says that its node listens. On the network in memory all that
// counts is that it has an address.
func address(nm name.Council) string { return "/dns4/stile." + string(nm) + "/tcp/7845" }

// publish has the registrar change the directory.
func (c *Country) publish(edit func(r *tufdir.Repository) error) {
	c.t.Helper()
	h := c.host()
	cfg := config.Default(h.Name, h.dir)
	r, err := tufdir.Load(datadir.Authority(cfg))
	if err != nil {
		c.t.Fatal(err)
	}
	online, all, err := datadir.Keys(cfg, nil)
	if err == nil {
		err = edit(r)
	}
	if err != nil {
		c.t.Fatalf("day %d: %v", c.day, err)
	}
	for _, k := range all {
		if _, err := r.Sign(k); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := r.Publish(online, c.Now()); err != nil {
		c.t.Fatalf("day %d: %v", c.day, err)
	}
	if err := r.Save(datadir.Authority(cfg)); err != nil {
		c.t.Fatal(err)
	}
	c.look(h)
}

// night is how often a node asks for news of the directory in a night that does not run: its
// clock does so every hour.
const night = 12

// look has a node ask for news of the directory, and returns the version that it then believes.
func (c *Country) look(x *Council) int64 {
	c.t.Helper()
	d, err := x.node.Directory().Refresh(c.t.Context())
	if err != nil {
		c.t.Errorf("day %d: %s: directory: %v", c.day, x.Name, err)
	}
	return d.Version
}

// lookAll has every node that is up ask, the host first, which vouches that there is no news.
// News goes from mirror to mirror: while somebody has not got it they ask again, as often
// as they would in a night. Some ask at the same time.
func (c *Country) lookAll() {
	newest := c.look(c.host())
	for range night {
		var late atomic.Bool
		var asking sync.WaitGroup
		next := make(chan *Council)
		for range 4 {
			asking.Go(func() {
				for x := range next {
					if c.look(x) != newest {
						late.Store(true)
					}
				}
			})
		}
		for _, x := range c.all() {
			if x.node != nil && x != c.host() {
				next <- x
			}
		}
		close(next)
		asking.Wait()
		if !late.Load() {
			return
		}
	}
}

// edition is what a node believes of the directory.
type edition struct {
	root    string
	version int64
	members int
	ended   int
}

func (x *Council) edition() edition {
	d, err := x.node.Directory().Show(x.country.t.Context())
	if err != nil {
		x.country.t.Fatalf("day %d: %s: directory: %v", x.country.day, x.Name, err)
	}
	if d.State != "fresh" || len(d.Refused) > 0 {
		x.country.t.Errorf("day %d: %s: directory is %s, refused: %v", x.country.day, x.Name, d.State, d.Refused)
	}
	return edition{d.Root, d.Version, d.Members, d.Ended}
}

// believed is the walk of the directory: who is up has the edition that the host publishes.
func (c *Country) believed() {
	c.t.Helper()
	want := c.host().edition()
	for _, x := range c.all() {
		if got := x.edition(); got != want {
			c.t.Errorf("day %d: %s has edition %+v of the directory, and it is %+v", c.day, x.Name, got, want)
		}
	}
}
