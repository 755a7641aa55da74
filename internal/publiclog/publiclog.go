// Package publiclog opens a council's log to everybody over HTTP, and witnesses the
// logs of others over HTTP.
//
// Below /stile/ it serves the log as files that never change (c2sp.org/tlog-tiles):
//
//	checkpoint                    the newest checkpoint, with its cosignatures
//	tile/LEVEL/INDEX[.p/WIDTH]    hashes of the tree
//	tile/entries/INDEX[.p/WIDTH]  what the leaves are hashes of: 32 bytes each
//
// With the log's origin that makes the address that the specification wants: the log
// "northmoor.gov.uk/stile" is served at https://northmoor.gov.uk/stile/.
//
// What stands in the log of a record or an event is the SHA-256 of its signing input
// and nothing else, so the files tell how many entries there are and when the log
// grew, and nothing of what an entry says: the payload that is hashed holds salted
// digests, and random ids.
//
// At /witness/add-checkpoint it cosigns checkpoints of the directory's members
// (c2sp.org/tlog-witness). A [Publisher] asks other witnesses to do the same for
// this log, by a policy, and says what is missing.
package publiclog

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/tlog"
)

// Prefix is the path below which a log is served; a log's origin ends with it.
const Prefix = "/stile/"

// Handler serves the log of l below [Prefix]. checkpoint returns the signed note to
// serve as the newest one, nil when there is none yet.
func Handler(l *ledger.Ledger, checkpoint func() []byte, log *slog.Logger) http.Handler {
	h := &logHandler{l, checkpoint, log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"checkpoint", h.newest)
	mux.HandleFunc("GET "+Prefix+"tile/", h.tile)
	return mux
}

type logHandler struct {
	l          *ledger.Ledger
	checkpoint func() []byte
	log        *slog.Logger
}

func (h *logHandler) newest(w http.ResponseWriter, r *http.Request) {
	note := h.checkpoint()
	if note == nil {
		http.Error(w, "this log has no checkpoint yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(note)
}

// errBeyond: the log is not that long.
var errBeyond = errors.New("the log is not that long")

func (h *logHandler) tile(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, Prefix)
	rest, entries := strings.CutPrefix(path, "tile/entries/")
	if entries {
		path = "tile/0/" + rest // the same grammar
	}
	level, index, width, err := tlog.ParseTilePath(path)
	if err != nil {
		http.Error(w, "not the path of a tile: see c2sp.org/tlog-tiles", http.StatusNotFound)
		return
	}
	var b []byte
	err = h.l.View(func(v *ledger.View) (err error) {
		cp, _ := v.Checkpoint()
		if have := cp.Size >> (level * tlog.TileHeight); index >= have>>tlog.TileHeight+1 || index<<tlog.TileHeight+uint64(width) > have {
			return errBeyond
		}
		if entries {
			b, err = bundle(v, index, width)
			return err
		}
		b, err = v.Tile(level, index, width)
		return err
	})
	switch {
	case errors.Is(err, errBeyond):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		h.log.Error("a part of the log cannot be read", "path", path, "error", err.Error())
		http.Error(w, "this part of the log cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(b)
}

// bundle returns an entry bundle: every entry with its length before it, in two
// bytes, big-endian.
func bundle(v *ledger.View, index uint64, width int) ([]byte, error) {
	b := make([]byte, 0, width*(2+tlog.HashSize))
	for i := range uint64(width) {
		entry, _, err := v.Entry(index<<tlog.TileHeight + i)
		if err != nil {
			return nil, err
		}
		b = binary.BigEndian.AppendUint16(b, tlog.HashSize)
		b = append(b, entry[:]...)
	}
	return b, nil
}
