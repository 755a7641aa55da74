package tufdir

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ReviewRequest says in lines of plain words what a file asks its signer to
// put their name to, compared with the version before it, which may be nil when
// the signer has none. The first line names the role and version.
//
// It reads the file as everybody's client will, so that what is not said here is
// not in it: a field that is not known is an error.
func ReviewRequest(request, previous []byte) ([]string, error) {
	d, err := parseDraft(request)
	if err != nil {
		return nil, fmt.Errorf("review: %w: %w", ErrFormat, err)
	}
	old := &draft{role: d.role, root: metadata.Root(), targets: newTargets(d.role, d.expires())}
	if previous != nil {
		if old, err = parseDraft(previous); err != nil {
			return nil, fmt.Errorf("review: version before: %w: %w", ErrFormat, err)
		}
		if old.role != d.role || old.version()+1 != d.version() {
			return nil, errors.New("review: the other file is not the version before this one")
		}
	}
	lines := []string{
		fmt.Sprintf("%s, version %d", d.role, d.version()),
		"to be believed until " + d.expires().Format(dayForm),
	}
	if previous == nil && d.version() > 1 {
		lines = append(lines, "there is no version before it to compare with, so all of it is listed")
	}
	if d.root != nil {
		return append(lines, reviewRoot(d.root, old.root, previous != nil)...), nil
	}
	if d.targets.Signed.Delegations != nil {
		lines = append(lines, reviewDelegations(d.targets, old.targets)...)
	}
	more, err := reviewTargets(d.targets, old.targets)
	return append(lines, more...), err
}

func reviewRoot(now, was *rootFile, compare bool) (lines []string) {
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		q := now.Signed.Roles[role]
		if q == nil {
			lines = append(lines, role+": nobody may sign it, which nobody should sign")
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %d of %d keys", role, q.Threshold, len(q.KeyIDs)))
		had := was.Signed.Roles[role]
		lines = append(lines, changes(q.KeyIDs, had.KeyIDs, short, compare)...)
		if compare && had.Threshold != q.Threshold {
			lines = append(lines, fmt.Sprintf("  it was %d of %d", had.Threshold, len(had.KeyIDs)))
		}
	}
	stile, _ := now.Signed.UnrecognizedFields["stile"].(map[string]any)
	days, _ := stile["expiry_days"].(map[string]any)
	for _, role := range slices.Sorted(maps.Keys(days)) {
		lines = append(lines, clip(fmt.Sprintf("%s is signed for %v days at a time", role, days[role]), 100))
	}
	return lines
}

// short prints what people compare of a key id.
func short(id string) string { return "key " + clip(id, 16) }

func changes(now, was []string, print func(string) string, compare bool) (lines []string) {
	for _, id := range now {
		switch {
		case !slices.Contains(was, id) && compare:
			lines = append(lines, "  new: "+print(id))
		case !compare:
			lines = append(lines, "  "+print(id))
		}
	}
	for _, id := range was {
		if compare && !slices.Contains(now, id) {
			lines = append(lines, "  gone: "+print(id))
		}
	}
	return lines
}

func reviewDelegations(now, was *targetsFile) (lines []string) {
	quorums := func(md *targetsFile) map[string]string {
		out := map[string]string{}
		for _, r := range md.Signed.Delegations.Roles {
			ids := make([]string, len(r.KeyIDs))
			for i, id := range r.KeyIDs {
				ids[i] = short(id)
			}
			out[r.Name] = fmt.Sprintf("%d of %d keys: %s; for %s", r.Threshold, len(ids), strings.Join(ids, ", "), strings.Join(r.Paths, ", "))
		}
		return out
	}
	before := map[string]string{}
	if was.Signed.Delegations != nil {
		before = quorums(was)
	}
	after := quorums(now)
	for _, role := range slices.Sorted(maps.Keys(after)) {
		switch old, ok := before[role]; {
		case !ok:
			lines = append(lines, clip("new: "+role+": "+after[role], 1000))
		case old != after[role]:
			lines = append(lines, clip("changed: "+role+": "+after[role], 1000), clip("  it was "+old, 1000))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[role]; !ok {
			lines = append(lines, clip("gone: "+role, 300))
		}
	}
	return lines
}

func reviewTargets(now, was *targetsFile) (lines []string, err error) {
	for _, target := range slices.Sorted(maps.Keys(now.Signed.Targets)) {
		f, old := now.Signed.Targets[target], was.Signed.Targets[target]
		if f.Custom == nil {
			return nil, refuse(target, ErrFormat, "want custom fields")
		}
		if _, member := parseMemberTarget(target); member {
			_, err = ParseMemberExtra(*f.Custom)
		} else if _, std := parseStandardTarget(target); std {
			_, err = ParseStandardExtra(*f.Custom)
		} else {
			err = ErrForeign
		}
		if err != nil {
			return nil, refuse(target, reason(err), err.Error())
		}
		says := fmt.Sprintf("%s (%d bytes, SHA-256 %.16s…) %s", target, f.Length, f.Hashes["sha256"].String(), string(*f.Custom))
		switch {
		case old == nil:
			lines = append(lines, clip("new: "+says, 1000))
		case !old.Equal(*f):
			lines = append(lines, clip("changed: "+says, 1000))
		case old.Custom == nil || string(*old.Custom) != string(*f.Custom):
			lines = append(lines, clip("said otherwise: "+says, 1000))
		}
	}
	for _, target := range slices.Sorted(maps.Keys(was.Signed.Targets)) {
		if now.Signed.Targets[target] == nil {
			lines = append(lines, clip("gone: "+target, 300))
		}
	}
	return lines, nil
}
