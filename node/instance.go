package node

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/stile-exchange/stile/internal/condition"
	"github.com/stile-exchange/stile/internal/peersync"
)

// instanceFile says which process ran last on a data folder: 32 hexadecimal digits and a
// newline. It is no secret, and trusted for little: with another one the node waits at most
// three seconds longer at a start.
const instanceFile = "instance"

// drawInstance draws the instance of this process, see [peersync.Instance], and returns that of
// the one before. Of a council's machines, which are one process after the other and agree
// on the log, there is none.
func (n *Node) drawInstance() (now, before peersync.Instance) {
	if n.o.shared != nil {
		return now, before
	}
	rand.Read(now[:])
	path := filepath.Join(n.cfg.Data, instanceFile)
	if b, err := os.ReadFile(path); err == nil {
		if id, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(id) == len(before) {
			copy(before[:], id)
		}
	}
	err := os.WriteFile(path+".part", []byte(hex.EncodeToString(now[:])+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		n.log.Warn("which process runs cannot be written down; the next start may take three seconds longer", "error", err.Error())
	}
	return now, before
}

// twice returns the councils of which two processes were heard at once.
func (n *Node) twice() []condition.Twice {
	n.mu.Lock()
	s := n.sync
	n.mu.Unlock()
	if s == nil {
		return nil
	}
	return each(s.Twice(), func(t peersync.Twice) condition.Twice { return condition.Twice{Council: t.Council, Since: t.Since} })
}
