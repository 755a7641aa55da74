package node

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/catalogue"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// maxLooked ends a page of a list with a filter: what one request may cost.
const maxLooked = 5000

// A picker picks records by the filter of a list. The one without a filter picks all.
type picker struct {
	filter         *agreement.Filter
	looked, unsure int
}

func pickerOf(where string) (*picker, error) {
	if where == "" {
		return &picker{}, nil
	}
	f, err := agreement.ParseFilter(where)
	if err != nil {
		return nil, fail(Usage, `such as record.status == "open"`, "%v", err)
	}
	return &picker{filter: f}, nil
}

func (p *picker) enough() bool { return p.looked >= maxLooked }

func (p *picker) picks(body map[string]any) bool {
	if p.filter == nil {
		return true
	}
	p.looked++
	match, sure := p.filter.Match(body)
	if !sure {
		p.unsure++
	}
	return match
}

// A snapshot is the log indexes of the records of a standard that were live when the log
// had size entries. It is read from the log alone, so that it may be forgotten.
type snapshot struct {
	of   string // the standard, as it was typed
	size uint64
	live []uint64
}

// snapshots keeps the last few: each page of a list asks for the same.
type snapshots struct {
	mu   sync.Mutex
	kept []*snapshot
}

const maxSnapshots = 4

func (s *snapshots) of(v *ledger.View, typed string, names []name.Standard, size uint64) (*snapshot, error) {
	s.mu.Lock()
	for _, k := range s.kept {
		if k.of == typed && k.size == size {
			s.mu.Unlock()
			return k, nil
		}
	}
	s.mu.Unlock()
	made := &snapshot{of: typed, size: size}
	for _, n := range names {
		live, err := v.LiveAt(n, size)
		if err != nil {
			return nil, err
		}
		made.live = append(made.live, live...)
	}
	slices.Sort(made.live)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, made)
	s.kept = s.kept[max(0, len(s.kept)-maxSnapshots):]
	return made, nil
}

// listSnapshot lists our own records of a standard as they stood at one size of the log,
// which the cursor carries: size and index, in base 36, with a dot between.
func (n *Node) listSnapshot(in ListRequest, pick *picker) (*ListReply, error) {
	std, err := n.catalogue.Named(in.Standard)
	if err != nil {
		return nil, err
	}
	var names []name.Standard
	for _, s := range n.ledger.Standards() {
		if s.Name().Name == std.Name().Name && catalogue.Means(in.Standard, s.Name()) {
			names = append(names, s.Name())
		}
	}
	out := &ListReply{Records: []RecordReply{}}
	bytes := 0
	err = n.ledger.View(func(v *ledger.View) error {
		cp, _ := v.Checkpoint()
		size, from := cp.Size, uint64(0)
		if in.Cursor != "" {
			a, b, ok := strings.Cut(string(in.Cursor), ".")
			var err1, err2 error
			size, err1 = strconv.ParseUint(a, 36, 64)
			from, err2 = strconv.ParseUint(b, 36, 64)
			if !ok || err1 != nil || err2 != nil || size > cp.Size {
				return fail(Usage, "begin at the first page, without a cursor", "the cursor is none that this node gave")
			}
		}
		snap, err := n.snapshots.of(v, in.Standard, names, size)
		if err != nil {
			return err
		}
		out.AsOf = size
		at, _ := slices.BinarySearch(snap.live, from)
		for _, index := range snap.live[at:] {
			if len(out.Records) == in.Limit || bytes > maxListBytes || pick.enough() {
				out.Cursor = Cursor(strconv.FormatUint(size, 36) + "." + strconv.FormatUint(index, 36))
				return nil
			}
			ver, err := v.Version(index)
			switch {
			case errors.Is(err, ledger.ErrErased):
				continue
			case err != nil:
				out.Damaged = append(out.Damaged, err.Error())
				continue
			}
			gone, err := deletedSince(v, ver)
			if err != nil {
				return err
			}
			if gone || !pick.picks(ver.Body) {
				continue
			}
			r := n.versionReply(ver, false)
			if in.Bodies {
				r.Body = strictjson.Canonical(ver.Body)
				bytes += len(r.Body)
			}
			out.Records = append(out.Records, *r)
		}
		return nil
	})
	out.Unsure = pick.unsure
	return out, err
}

// deletedSince reports whether a record whose version is shown was deleted after it.
func deletedSince(v *ledger.View, ver *ledger.Version) (gone bool, err error) {
	err = v.Versions(ver.Claims.Record, func(g ledger.Logged) bool {
		gone = g.Deleted || g.Erased
		return false
	})
	if err != nil {
		return false, fmt.Errorf("record %s: %w", ver.Claims.Record, err)
	}
	return gone, nil
}
