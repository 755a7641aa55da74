package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory/datadir"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/node"
)

// A hosted is the directory that this node publishes, or is about to, open for
// a change.
type hosted struct {
	cfg      *config.Config
	dir      string
	founding bool // in the place where it is prepared, not yet followed
	repo     *tufdir.Repository
}

// hosting opens the directory that is being founded here, or else the one this
// node hosts.
func (a *app) hosting() (*hosted, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, err
	}
	for _, h := range []*hosted{{cfg: cfg, dir: datadir.Founding(cfg), founding: true}, {cfg: cfg, dir: datadir.Authority(cfg)}} {
		if _, err := os.Stat(h.dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if h.repo, err = tufdir.Load(h.dir); err != nil {
			return nil, failure(node.Failed, "restore the folder "+filepath.Base(h.dir)+"/ from a backup, or see docs/directory.md on taking it from any mirror", "%v", err)
		}
		return h, nil
	}
	return nil, failure(node.Refused, "do it on the node that hosts the directory, or see stile directory take-over when that is lost", "this node does not host the directory it follows")
}

// signLocal signs what waits with every directory key that is on this node, and
// returns the one that publishes.
func (h *hosted) signLocal() (online *tufdir.Key, err error) {
	pass, err := h.cfg.Passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(pass)
	_, all, err := datadir.Keys(h.cfg, pass)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if _, err := h.repo.Sign(k); err != nil {
			return nil, err
		}
	}
	if h.founding {
		// Beside it stands the key of the directory of one, which publishes that.
		return tufdir.OpenKey(datadir.OnlineKey(h.cfg), pass)
	}
	if err := h.takeNextOnline(pass); err != nil {
		return nil, err
	}
	online, _, err = datadir.Keys(h.cfg, pass)
	return online, err
}

// A change is one step in the life of a hosted directory.
type change struct {
	edit    func(h *hosted, now time.Time) error
	key     keyFlags
	prepare bool // publish nothing yet
}

// An outcome says what came of a change.
type outcome struct {
	Published []string       `json:"published,omitempty"` // roles that were put out
	Waiting   []waitingReply `json:"waiting,omitempty"`
	Founding  bool           `json:"founding,omitempty"` // the directory is not published yet
}

// apply carries out a change: it edits, signs with the keys that are at hand,
// publishes what is ready, and has the node look. Somebody else, such as the
// node's daily publication, may have published meanwhile: then it is done again.
func (a *app) apply(ctx context.Context, c change) (o outcome, err error) {
	var h *hosted
	for try := range 2 {
		if h, err = a.hosting(); err != nil {
			return o, err
		}
		o, err = a.applyOnce(h, c)
		if !errors.Is(err, tufdir.ErrChanged) || try == 1 {
			break
		}
	}
	if err != nil {
		return o, directoryFailure(err)
	}
	if h.founding || c.prepare {
		return o, nil
	}
	// What is out is out, whatever this node does with it: it looks by itself, too.
	if _, err := a.node().Directory().Refresh(ctx); err != nil {
		a.say("this node has not taken it in yet (%v); it will within the hour, or after: stile directory refresh", err)
	}
	return o, nil
}

func (a *app) applyOnce(h *hosted, c change) (o outcome, err error) {
	now := time.Now()
	if c.edit != nil {
		if err := c.edit(h, now); err != nil {
			return o, err
		}
	}
	var online *tufdir.Key
	if h.founding || !c.prepare {
		// A key on the node would make what is only prepared ready, and the node's
		// next publication would put it out.
		if online, err = h.signLocal(); err != nil {
			return o, err
		}
	}
	if c.key.file != "" {
		k, err := c.key.open()
		if err != nil {
			return o, err
		}
		if _, err := h.repo.Sign(k); err != nil {
			return o, err
		}
	}
	o.Founding = h.founding
	if !h.founding && !c.prepare {
		if online == nil {
			return o, failure(node.Failed, "restore the key from a backup; or stile directory rekey --new-online, which the holders sign", "this node hosts the directory and has no key to publish it with")
		}
		if o.Published, err = h.repo.Publish(online, now); err != nil {
			return o, err
		}
	}
	o.Waiting = h.waiting()
	return o, h.repo.Save(h.dir)
}

// told prints what was done, what of it is out and what waits for whom.
func (a *app) told(o outcome, format string, args ...any) error {
	did := fmt.Sprintf(format, args...)
	if a.json {
		return a.emit(struct {
			Did string `json:"did"`
			outcome
		}{did, o})
	}
	a.printf("%s\n", clean(did))
	if len(o.Published) > 0 {
		a.printf("published: %s\n", strings.Join(o.Published, ", "))
	}
	a.printWaiting(o.Waiting, o.Founding)
	return nil
}

func (a *app) printWaiting(ws []waitingReply, founding bool) {
	ready := true
	for _, w := range ws {
		a.printf("waiting: %s\n", w.words())
		ready = ready && w.Ready
	}
	switch {
	case len(ws) == 0:
	case !ready:
		a.say("next: stile directory export writes the files for those who have yet to sign")
	case founding:
		a.say("next: stile directory publish puts the directory out and has this node follow it")
	default:
		a.say("next: stile directory publish")
	}
}

// waitingReply is a file that waits for signatures.
type waitingReply struct {
	Role    string        `json:"role"`
	Version int64         `json:"version"`
	Expires time.Time     `json:"expires"`
	Ready   bool          `json:"ready"`
	Needs   []quorumReply `json:"needs"`

	names keyNames
}

type quorumReply struct {
	Need    int      `json:"need"`
	Of      int      `json:"of"`
	Signed  []string `json:"signed"`  // key ids
	Missing []string `json:"missing"` // of those who may still sign
}

func (h *hosted) waiting() []waitingReply {
	var out []waitingReply
	for _, w := range h.repo.Waiting() {
		r := waitingOf(w)
		r.names = h.names()
		out = append(out, r)
	}
	return out
}

func waitingOf(w tufdir.Waiting) waitingReply {
	out := waitingReply{Role: w.Role, Version: w.Version, Expires: w.Expires, Ready: w.Ready}
	for _, q := range w.Quorums {
		n := quorumReply{Need: q.Need, Of: len(q.Keys), Signed: q.Signed, Missing: []string{}}
		for _, id := range q.Keys {
			if !slices.Contains(q.Signed, id) {
				n.Missing = append(n.Missing, id)
			}
		}
		out.Needs = append(out.Needs, n)
	}
	return out
}

// words says who has signed, and who may.
func (w waitingReply) words() string {
	s := fmt.Sprintf("%s, version %d", w.Role, w.Version)
	for i, q := range w.Needs {
		s += fmt.Sprintf("; %d of %d signatures", len(q.Signed), q.Need)
		if len(w.Needs) == 2 {
			s += []string{" of the holders there are", " of the holders there will be"}[i]
		}
		if len(q.Signed) < q.Need {
			if len(q.Signed) > 0 {
				s += fmt.Sprintf(" (%s)", w.names.list(q.Signed))
			}
			s += fmt.Sprintf(", %s may sign", w.names.list(q.Missing))
		}
	}
	if w.Ready {
		s += "; ready to be published"
	}
	return s
}

// shortID prints what people compare of a key's id.
func shortID(id string) string { return id[:min(16, len(id))] }

// keyNames says of keys whose they are, as the host wrote down when it was given
// them: their files' names. It is for people to read; nothing is decided by it.
type keyNames map[string]string

// keyNamesFile stands beside a hosted directory's tree: a key's id and its name, one
// to a line.
const keyNamesFile = "names.txt"

func (h *hosted) names() keyNames {
	out := keyNames{}
	b, err := os.ReadFile(filepath.Join(h.dir, keyNamesFile))
	if err != nil {
		return out
	}
	for l := range strings.Lines(string(b)) {
		if id, name, ok := strings.Cut(strings.TrimSpace(l), " "); ok {
			out[id] = name
		}
	}
	return out
}

// remember writes down whose keys are in files that were given.
func (h *hosted) remember(files []string, publics []tufdir.Public) error {
	if len(files) == 0 {
		return nil
	}
	names := h.names()
	for i, p := range publics {
		names[p.ID()] = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(files[i]), ".pub"), ".key")
	}
	var b strings.Builder
	for _, id := range slices.Sorted(keysOf(names)) {
		fmt.Fprintf(&b, "%s %s\n", id, clean(names[id]))
	}
	return os.WriteFile(filepath.Join(h.dir, keyNamesFile), []byte(b.String()), 0o644)
}

// list prints keys as people compare them, with their names where they have any.
func (n keyNames) list(ids []string) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		if out[i] = shortID(id); n[id] != "" {
			out[i] = n[id] + " " + out[i]
		}
	}
	return strings.Join(out, " or ")
}
