// Package follow keeps a node's directory up to date: it asks mirrors for news of
// it, or publishes it where the node is its host; it joins another directory by an
// invite, and serves the files of the one it follows to whoever asks.
//
// What is believed is for [tufdir] to say, whoever the files come from. This room
// says whom to ask and when, and moves the folders:
//
//	directory/          what is followed
//	directory.joining   another, until it takes its place
//	authority/          what the host publishes
//	authority.next      what is being founded, until it is followed
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// Ledger is what a Follower asks of the council's own ledger.
type Ledger interface {
	// AppendNotice logs an event, which is durable when it returns.
	AppendNotice(ctx context.Context, kind string, body map[string]any, to ...name.Council) (uint64, []byte, error)
	// Size returns how many entries the log has.
	Size() uint64
}

// Options say what a Follower works with. All are needed.
type Options struct {
	Config *config.Config // whose data folder it is; only this node may have it open
	Keys   *keys.Ring
	Ledger Ledger
	Log    *slog.Logger
	Now    func() time.Time
	// Shuffle puts what is left of the members to ask into an order of chance, as
	// rand.Shuffle does.
	Shuffle func(n int, swap func(i, j int))
	// Adopted reports whether this node has taken a standard into use.
	Adopted func(name.Standard) bool
	// Changed is called when the directory says something else than before, or
	// somebody else may be talked to.
	Changed func()
	// Stored is called when an operation has changed the directory's files, before
	// it is answered. Its error is the operation's.
	Stored func() error
	Quota  *quota.Keeper // of what others ask us for; may be nil
}

// A Follower follows one directory at a time. Its methods may be called
// concurrently; Close ends it.
type Follower struct {
	o       Options
	cfg     *config.Config
	members *directory.Directory
	client  atomic.Pointer[tufdir.Client] // replaced when another directory is joined
	guest   atomic.Pointer[wire.Member]   // whom we fetch a directory from that we are not yet in
	ended   atomic.Pointer[wire.Member]   // the council that has ended whose node we reach
	asking  chan struct{}                 // buffered: the directory is to be looked after

	hosting    sync.Mutex // held while what we publish is changed
	refreshing sync.Mutex // held while mirrors are asked

	mu  sync.Mutex // guards what follows
	net wire.Network
}

// Open opens the directory of the data folder. A folder of plain member files
// becomes a directory of one; see [datadir.Open].
func Open(ctx context.Context, o Options) (*Follower, error) {
	pass, err := o.Config.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	f := &Follower{o: o, cfg: o.Config, asking: make(chan struct{}, 1)}
	if f.members, err = directory.New(); err != nil {
		return nil, err
	}
	c, err := datadir.Open(ctx, o.Config, pass, o.Now)
	if err != nil {
		return nil, api.Fail(api.Failed, "mend or remove the file it names, or restore the folder directory/ from a backup", "%v", err)
	}
	f.client.Store(c)
	if err := f.show(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return f, nil
}

// Close closes the directory.
func (f *Follower) Close() error { return f.client.Load().Close() }

// Client returns the directory that is followed now, with all that it says. After
// another was joined it is closed.
func (f *Follower) Client() *tufdir.Client { return f.client.Load() }

// Members returns who is a member, as the newest edition says. It is the same for
// the life of the Follower.
func (f *Follower) Members() *directory.Directory { return f.members }

// show puts what the directory says into view of everybody who asks.
func (f *Follower) show() error {
	v := f.Client().View()
	var members []directory.Member
	for _, e := range v.Members() {
		members = append(members, e.Full())
	}
	if err := f.members.Replace(members, v.Exchange); err != nil {
		return err
	}
	f.o.Changed()
	return nil
}

// View returns the directory as it stands, by what tuf says.
func (f *Follower) View() *tufdir.View { return f.Client().View() }

// Standard returns a standard that the directory has published, whole. The error
// is an [api.Error] of kind NotFound when there is none of that name, or its archive
// is not here.
func (f *Follower) Standard(want name.Standard) (*standard.Standard, error) {
	s, err := f.Client().Standard(want)
	return s, unpublished(want, err)
}

// Archive returns the archive of a published standard, as it was signed for. The
// error is as that of Standard.
func (f *Follower) Archive(want name.Standard) ([]byte, error) {
	b, err := f.Client().Archive(want)
	return b, unpublished(want, err)
}

func unpublished(want name.Standard, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tufdir.ErrMissing):
		return api.Fail(api.NotFound, "stile standard list --published", "%s is not in the directory, or its archive is not here yet", want)
	}
	return api.Fail(api.Unverified, "ask the standards body to publish it again", "%v", err)
}

// Hosts reports whether this node publishes the directory it follows.
func (f *Follower) Hosts() bool { return datadir.Hosts(f.cfg) }

// Publish changes what this node publishes and publishes it, as far as the keys
// that are here can sign; edit may be nil. It returns the roles that wait for
// signatures of others.
func (f *Follower) Publish(ctx context.Context, edit func(r *tufdir.Repository, now time.Time) error) (waiting []string, err error) {
	f.hosting.Lock()
	defer f.hosting.Unlock()
	pass, err := f.cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	r, err := tufdir.Load(datadir.Authority(f.cfg))
	if err != nil {
		return nil, api.Fail(api.Failed, "restore the folder "+datadir.AuthorityName+"/, or take it from any mirror of the directory", "%v", err)
	}
	now := f.o.Now()
	if edit != nil {
		if err := edit(r, now); err != nil {
			return nil, err
		}
	}
	online, all, err := datadir.Keys(f.cfg, pass)
	if err != nil {
		return nil, err
	}
	if online == nil {
		return nil, api.Fail(api.Failed, "restore keys/"+filepath.Base(datadir.OnlineKey(f.cfg)), "this node hosts the directory and has no key to publish it with")
	}
	sole := datadir.Sole(f.cfg)
	if sole {
		// Nobody but this node can sign it anew, and nobody else has to look
		// at what is signed.
		for role, left := range r.Left(now) {
			if left < renewSole {
				if err := r.Renew(role, now); err != nil {
					return nil, err
				}
			}
		}
	}
	if edit != nil || sole {
		// What a person prepared and did not want out yet is not signed for them.
		for _, k := range all {
			if _, err := r.Sign(k); err != nil {
				return nil, err
			}
		}
	}
	if _, err := r.Publish(online, now); err != nil {
		return nil, err
	}
	if err := r.Save(datadir.Authority(f.cfg)); err != nil {
		return nil, err
	}
	if _, err := f.Client().Refresh(ctx, r.Fetch); err != nil {
		return nil, err
	}
	for _, w := range r.Waiting() {
		waiting = append(waiting, w.Role)
	}
	return waiting, f.show()
}

// renewSole is how long before its end a directory of one is signed anew.
const renewSole = 60 * 24 * time.Hour

// How often the directory is looked after.
const (
	publishEvery = 24 * time.Hour   // a host vouches that there is no news
	refreshEvery = time.Hour        // everybody else asks for news
	refreshLeast = 30 * time.Second // between two askings, however many partners connect
	askAtMost    = 3                // mirrors in one asking: one of them may hide the news
)

// Run publishes the directory where this node is its host, and asks others for
// news of it where it is not, until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	var published, asked time.Time
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	for {
		var err error
		switch now := f.o.Now(); {
		case f.Hosts() && now.Sub(published) >= publishEvery:
			if _, err = f.Publish(ctx, nil); err == nil {
				published = now
			}
		case !f.Hosts() && now.Sub(asked) >= refreshLeast:
			asked = now
			err = f.askMirrors(ctx)
		}
		if err != nil && ctx.Err() == nil {
			f.o.Log.Warn("directory not brought up to date", "because", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-f.asking:
		}
	}
}

// Ask has Run refresh the directory soon.
func (f *Follower) Ask() {
	select {
	case f.asking <- struct{}{}:
	default:
	}
}

// Refresh brings the directory up to date now, from what this node publishes or
// from others.
func (f *Follower) Refresh(ctx context.Context) error {
	if f.Hosts() {
		_, err := f.Publish(ctx, nil)
		return err
	}
	return f.askMirrors(ctx)
}

// askMirrors refreshes the directory from up to askAtMost others. It returns an
// error when none of them gave an edition that is believed.
func (f *Follower) askMirrors(ctx context.Context) error {
	f.refreshing.Lock()
	defer f.refreshing.Unlock()
	var errs []error
	good := 0
	for _, m := range f.mirrors() {
		if good == askAtMost || ctx.Err() != nil {
			break
		}
		rep, err := f.refreshFrom(ctx, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m, err))
			continue
		}
		good++
		if rep.Changed {
			f.o.Log.Info("directory refreshed", "from", m.String(), "version", rep.Version, "files", rep.Files, "bytes", rep.Bytes, "refused", len(rep.Refused))
			if err := f.show(); err != nil {
				return err
			}
		}
		for _, r := range rep.Refused {
			f.o.Log.Warn("part of the directory refused", "from", m.String(), "because", r.Error())
		}
	}
	if good > 0 {
		return nil
	}
	if len(errs) == 0 {
		return errors.New("no mirror of the directory is known")
	}
	return errors.Join(errs...)
}

func (f *Follower) refreshFrom(ctx context.Context, m mirror) (*tufdir.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	fetch, done, err := f.fetcher(ctx, m)
	if err != nil {
		return nil, err
	}
	defer done()
	return f.Client().Refresh(ctx, fetch)
}

// A mirror is somebody to fetch the directory from: a member, or an address.
type mirror struct {
	council name.Council
	address string
}

func (m mirror) String() string {
	if m.council != "" {
		return string(m.council)
	}
	return m.address
}

// written returns the addresses that were written down when the node joined.
func (f *Follower) written() (out []string) {
	b, err := os.ReadFile(filepath.Join(f.cfg.Directory, datadir.MirrorsName))
	if err != nil {
		return nil // nobody joined
	}
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			out = append(out, l)
		}
	}
	return out
}

// mirrors returns whom to ask, in order: the addresses that were written down,
// who is connected, and then members by chance.
func (f *Follower) mirrors() (out []mirror) {
	for _, a := range f.written() {
		out = append(out, mirror{address: a})
	}
	net := f.network()
	if net == nil {
		return out
	}
	asked := map[name.Council]bool{f.cfg.Council: true}
	for _, c := range net.Connected() {
		out, asked[c] = append(out, mirror{council: c}), true
	}
	members, now := f.members.Members(), f.o.Now()
	f.o.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	for _, m := range members {
		if len(m.Addresses) > 0 && !asked[m.Council] && m.ActiveAt(now) {
			out = append(out, mirror{council: m.Council})
		}
	}
	return out
}

func (f *Follower) network() wire.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.net
}
