package datadir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/directory/tufdir"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/node/name"
)

// OpenKeys opens the keys of a data folder and holds each against what is known of it: the
// digest that was kept when it was first used, by which one flipped bit in a file that is not
// encrypted is put right, or else what the directory names for this
// council. A key that neither knows is refused with an error that names its file and wraps
// keys.ErrAltered: one flipped bit makes such a key, and what it signs nobody believes.
//
// Where no digests are kept yet, as of a folder of an earlier version, OpenKeys keeps them.
func OpenKeys(cfg *config.Config, passphrase []byte) (*keys.Ring, error) {
	dir := filepath.Join(cfg.Data, "keys")
	ring, altered, known, err := openKeys(dir, cfg.Council, passphrase)
	if err != nil || len(altered) > 0 {
		// A digest tells a single flipped bit, and only the key that was written has it.
		if mended, merr := keys.Mend(dir, cfg.Council); merr == nil && len(mended) > 0 {
			ring, altered, known, err = openKeys(dir, cfg.Council, passphrase)
		}
	}
	if err != nil {
		return nil, err
	}
	if known && len(altered) == 0 {
		return ring, nil
	}
	named, is := namedKeys(cfg, ring)
	if !known && is {
		for file, ok := range named {
			if _, err := os.Lstat(filepath.Join(dir, file)); !ok && err == nil {
				altered = append(altered, file)
			}
		}
		slices.Sort(altered)
	}
	for _, file := range altered {
		if !named[file] {
			return nil, fmt.Errorf("open key %q: %w: is it damaged? Bring keys/%s back from a backup", file, keys.ErrAltered, file)
		}
	}
	// The directory names the key, so it was put there on purpose. Where the folder
	// cannot be written, this is asked again next time.
	_ = keys.Remember(dir, ring)
	return ring, nil
}

func openKeys(dir string, c name.Council, passphrase []byte) (ring *keys.Ring, altered []string, known bool, err error) {
	if ring, err = keys.Open(dir, c, passphrase); err == nil {
		altered, known, err = keys.Altered(dir, ring)
	}
	return ring, altered, known, err
}

// namedKeys reports of each key file whether the directory names its key for this
// council; is is false when the directory does not name this council at all.
func namedKeys(cfg *config.Config, ring *keys.Ring) (named map[string]bool, is bool) {
	members, err := tufdir.ReadMembers(cfg.Directory)
	if err != nil {
		return nil, false
	}
	i := slices.IndexFunc(members, func(m directory.Member) bool { return m.Council == cfg.Council })
	if i < 0 {
		return nil, false
	}
	m, own := members[i], directory.FromRing(cfg.Council, ring)
	_, record := m.RecordKey(ring.Record.ID())
	return map[string]bool{
		"record.pem": record, "log.pem": m.HasLogKey(own.LogKey), "witness.pem": m.WitnessKey == own.WitnessKey, "node.pem": m.Node == own.Node,
	}, true
}
