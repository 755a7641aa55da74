package tufdir

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// SetRegistrar prepares other keys for the members' file, which must then be
// signed by them.
func (r *Repository) SetRegistrar(keys []Public, threshold int, now time.Time) error {
	if len(keys) == 0 {
		return errors.New("change registrar: want a key")
	}
	return r.setKeys(RoleMembers, keys, threshold, now)
}

// SetBody prepares the admission of a standards body with the keys that sign
// its standards, or other keys for one there is. A body whose keys are all
// replaced must sign its list again before clients believe the new edition of it.
func (r *Repository) SetBody(body name.Council, keys []Public, threshold int, now time.Time) error {
	if _, ok := bodyOf(string(body)); !ok || len(keys) == 0 {
		return errors.New("admit standards body: want a domain and a key")
	}
	return r.setKeys(string(body), keys, threshold, now)
}

func (r *Repository) setKeys(role string, keys []Public, threshold int, now time.Time) error {
	waited := r.pending[metadata.TARGETS] != nil
	if err := delegate(r.edit(metadata.TARGETS, now), role, keys, threshold); err != nil {
		if !waited {
			delete(r.pending, metadata.TARGETS)
		}
		return fmt.Errorf("change keys: %w", err)
	}
	if old := r.targets[role]; old != nil && r.pending[role] == nil && !r.await(&draft{role: role, targets: old}).Ready {
		r.edit(role, now)
	}
	return nil
}

// RemoveBody prepares the removal of a standards body. Its standards leave the
// directory; councils that adopted them have them still.
func (r *Repository) RemoveBody(body name.Council, now time.Time) error {
	if !slices.Contains(r.bodies(), string(body)) {
		return fmt.Errorf("remove %q: %w", clip(string(body), 80), ErrBody)
	}
	delete(r.pending, string(body))
	return delegate(r.edit(metadata.TARGETS, now), string(body), nil, 0)
}

// checkArchive reads a standard's archive that is to be published as n.
func checkArchive(n name.Standard, b []byte) (*standard.Standard, error) {
	if len(b) > maxArchive {
		return nil, refuse(standardTarget(n), ErrTooLong, "")
	}
	s, err := standard.LoadArchive(b)
	if err != nil {
		return nil, refuse(standardTarget(n), ErrFormat, err.Error())
	}
	if s.Name() != n {
		return nil, refuse(standardTarget(n), ErrForeign, "it calls itself by another name")
	}
	return s, nil
}

// PublishStandard prepares the publication of a standard by the body it is
// named after, frozen from then on by the digest of its Archive.
//
// The error wraps [ErrBody] when the directory has no such body, and is a
// *[Refusal] wrapping [ErrFrozen] when the version is published with other
// bytes. Publishing the same bytes again changes nothing.
func (r *Repository) PublishStandard(s *standard.Standard, now time.Time) error {
	n := s.Name()
	body := string(n.Name.Publisher())
	if !slices.Contains(r.bodies(), body) {
		return fmt.Errorf("publish %s: %q %w", n, body, ErrBody)
	}
	b := s.Archive()
	if _, err := checkArchive(n, b); err != nil {
		return fmt.Errorf("publish standard: %w", err)
	}
	target := standardTarget(n)
	if md := r.newest(body); md != nil {
		if f := md.Signed.Targets[target]; f != nil {
			sum := sha256.Sum256(b)
			if string(f.Hashes["sha256"]) != string(sum[:]) {
				return fmt.Errorf("publish standard: %w", refuse(target, ErrFrozen, "give what has changed a new version"))
			}
			return nil
		}
		total := int64(len(b))
		for _, f := range md.Signed.Targets {
			total += f.Length
		}
		if total > maxBodyTotal || len(md.Signed.Targets) >= maxStandards {
			return fmt.Errorf("publish standard: %w", refuse(target, ErrTooLong, "more standards than one body may keep here"))
		}
	}
	y, mo, d := now.UTC().Date()
	extra := StandardExtra{Integrity: s.Integrity(), History: []Step{{s.Manifest().Status, time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)}}}
	r.addTarget(r.edit(body, now), target, b, extra.JSON())
	return nil
}

// SetStatus prepares a step in a standard's life, on a day, midnight UTC. Steps
// only go forward: draft, candidate, live, retired.
func (r *Repository) SetStatus(n name.Standard, status standard.Status, on, now time.Time) error {
	body, target := string(n.Name.Publisher()), standardTarget(n)
	md := r.newest(body)
	if md == nil || md.Signed.Targets[target] == nil {
		return fmt.Errorf("set status: %w", refuse(target, ErrMissing, ""))
	}
	f := md.Signed.Targets[target]
	if f.Custom == nil {
		return fmt.Errorf("set status: %w", refuse(target, ErrFormat, ""))
	}
	extra, err := ParseStandardExtra(*f.Custom)
	if err != nil {
		return fmt.Errorf("set status of %s: %w", n, err)
	}
	extra.History = append(extra.History, Step{status, on})
	if err := extra.check(); err != nil {
		return fmt.Errorf("set status of %s: %w", n, err)
	}
	raw := json.RawMessage(extra.JSON())
	r.edit(body, now).Signed.Targets[target].Custom = &raw
	return nil
}
