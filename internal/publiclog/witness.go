package publiclog

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/quota"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

// WitnessPath is where a node cosigns: the submission prefix is /witness.
const WitnessPath = "/witness/add-checkpoint"

// maxProofLines is the most hashes in a consistency proof (c2sp.org/tlog-witness).
const maxProofLines = 63

// maxRequest is the longest request that a witness reads, in bytes.
const maxRequest = tlog.MaxNote + 16<<10

// maxAtOnce is how many requests a witness works on at a time: anybody may ask.
const maxAtOnce = 16

// WitnessOptions say what a witness works with. All are needed.
type WitnessOptions struct {
	Ledger    *ledger.Ledger
	Directory *directory.Directory // whose logs are witnessed: those of its members
	Cosigner  note.Signer          // makes cosignature/v1, such as keys.LogKey.Cosigner
	Log       *slog.Logger
	Now       func() time.Time
	Quota     *quota.Keeper // of those logs; may be nil
}

// Witness answers add-checkpoint of c2sp.org/tlog-witness at [WitnessPath].
//
// It knows the logs of the members of the directory that have not ended; any other
// is answered by 404. What it has seen of a log is the one state that the node keeps
// of it, whatever it came by, so it answers 409 with the size of the newest checkpoint
// known, cosigned or not, and an exchange with that council that is stopped is a 409
// as well. A proof that fails says nothing of the log, since anybody may send it:
// that is 422 and no more. Two signed checkpoints of one size are evidence, and stop
// the exchange.
func Witness(o WitnessOptions) http.Handler {
	w := &witness{o, make(chan struct{}, maxAtOnce)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+WitnessPath, w.serve)
	return mux
}

type witness struct {
	o    WitnessOptions
	busy chan struct{}
}

// A reply is an answer that is not a cosignature.
type reply struct {
	status int
	text   string
	size   bool // text is the size of a log
}

func (r *reply) Error() string { return r.text }

func refuse(status int, format string, args ...any) *reply {
	return &reply{status: status, text: fmt.Sprintf(format, args...)}
}

func (w *witness) serve(rw http.ResponseWriter, r *http.Request) {
	select {
	case w.busy <- struct{}{}:
		defer func() { <-w.busy }()
	default:
		rw.Header().Set("Retry-After", "1")
		http.Error(rw, "too many requests at a time", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	if err != nil {
		http.Error(rw, "the request cannot be read, or is too long", http.StatusBadRequest)
		return
	}
	line, err := w.add(r.Context(), body)
	var no *reply
	switch {
	case errors.As(err, &no):
		if no.size {
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(no.status)
			io.WriteString(rw, no.text+"\n")
			return
		}
		http.Error(rw, no.text, no.status)
	case err != nil:
		w.o.Log.Error("a checkpoint could not be cosigned", "error", err.Error())
		http.Error(rw, "the checkpoint could not be cosigned now", http.StatusInternalServerError)
	default:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(line)
	}
}

// add checks a request in the order that the specification gives and returns the
// cosignature's line.
func (w *witness) add(ctx context.Context, body []byte) ([]byte, error) {
	q, err := parseAdd(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	origin, _, _ := bytes.Cut(q.note, []byte("\n"))
	m, ok := w.member(string(origin))
	if !ok {
		return nil, refuse(http.StatusNotFound, "this witness does not know the log")
	}
	v, err := m.LogVerifier()
	if err != nil {
		return nil, refuse(http.StatusNotFound, "this witness does not know the log")
	}
	cp, _, err := tlog.OpenCheckpoint(q.note, string(origin), v)
	switch {
	case errors.Is(err, tlog.ErrSignature):
		return nil, refuse(http.StatusForbidden, "the checkpoint is not signed by the key of the log")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "%v", err)
	case q.old > cp.Size:
		return nil, refuse(http.StatusBadRequest, "the old size is larger than the checkpoint's")
	case q.old == 0 && len(q.proof) > 0:
		return nil, refuse(http.StatusUnprocessableEntity, "from size 0 the proof must be empty")
	}
	known := w.o.Ledger.Known(m.Council)
	if known.Quarantine != nil {
		return nil, refuse(http.StatusConflict, "this witness has seen two histories of the log")
	}
	conflict := func() *reply {
		return &reply{http.StatusConflict, strconv.FormatUint(w.o.Ledger.Known(m.Council).Size, 10), true}
	}
	if q.old != known.Size {
		return nil, conflict()
	}
	// Whoever sends it, what comes to here is signed by the log and goes on from what
	// is known of it.
	if err := w.o.Quota.Take(m.Council, quota.Cosignings, 1); err != nil {
		return nil, refuse(http.StatusTooManyRequests, "%v", err)
	}
	// Shared: who sends it need not be the log.
	err = w.o.Ledger.Meet(ctx, ledger.Met{
		Log: m.Council, Checkpoint: cp, Note: q.note, MetWith: "a request to witness it",
		ProofFrom: q.old, Proof: q.proof, Shared: true, Cosign: true,
	}, nil)
	switch {
	case errors.Is(err, ledger.ErrUnproved):
		return nil, refuse(http.StatusUnprocessableEntity, "the consistency proof does not verify")
	case errors.Is(err, ledger.ErrUnplaced) && q.old < cp.Size && w.o.Ledger.Known(m.Council).Size == q.old:
		return nil, refuse(http.StatusUnprocessableEntity, "the consistency proof is missing")
	case errors.Is(err, ledger.ErrUnplaced):
		return nil, conflict() // another request was first
	case errors.Is(err, ledger.ErrQuarantined):
		return nil, refuse(http.StatusConflict, "this witness has seen another history of the log")
	case err != nil:
		return nil, err
	}
	now := w.o.Ledger.Known(m.Council)
	if now.Forsworn {
		// Another size would change nothing.
		return nil, refuse(http.StatusConflict, "this witness has cosigned another history of the log, which was given up")
	}
	if !now.MayCosign(cp) {
		return nil, conflict()
	}
	line, _, err := tlog.Cosign(cp, w.o.Cosigner)
	return line, err
}

// member returns whose log has an origin, if that council is a member now.
func (w *witness) member(origin string) (directory.Member, bool) {
	domain, ok := strings.CutSuffix(origin, strings.TrimSuffix(Prefix, "/"))
	if !ok {
		return directory.Member{}, false
	}
	c, err := name.ParseCouncil(domain)
	if err != nil {
		return directory.Member{}, false
	}
	m, ok := w.o.Directory.Member(c)
	return m, ok && m.LogKey != "" && m.ActiveAt(w.o.Now())
}

// An addRequest is the body of add-checkpoint.
type addRequest struct {
	old   uint64
	proof []tlog.Hash
	note  []byte
}

// parseAdd reads the body of add-checkpoint: the old size, the proof, an empty line,
// the checkpoint. It checks the form alone.
func parseAdd(b []byte) (q addRequest, err error) {
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	digits, isOld := bytes.CutPrefix(line, []byte("old "))
	q.old, err = strconv.ParseUint(string(digits), 10, 63)
	if !ok || !isOld || err != nil || strconv.FormatUint(q.old, 10) != string(digits) {
		return q, errors.New("line 1: want \"old SIZE\"")
	}
	for {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return q, errors.New("an empty line is missing between the proof and the checkpoint")
		}
		if len(line) == 0 {
			q.note = rest
			return q, nil
		}
		h, err := base64.StdEncoding.Strict().DecodeString(string(line))
		// The decoder skips CR, so that a line of another length is another spelling.
		if err != nil || len(h) != tlog.HashSize || len(line) != base64.StdEncoding.EncodedLen(tlog.HashSize) {
			return q, fmt.Errorf("line %d: want a hash of %d bytes in base64", len(q.proof)+2, tlog.HashSize)
		}
		if q.proof = append(q.proof, tlog.Hash(h)); len(q.proof) > maxProofLines {
			return q, fmt.Errorf("more than %d lines of proof", maxProofLines)
		}
	}
}

// appendAdd writes the body of add-checkpoint.
func appendAdd(q addRequest) []byte {
	b := fmt.Appendf(nil, "old %d\n", q.old)
	for _, h := range q.proof {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, q.note...)
}
