package succession

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// What a successor takes over it may fetch from the node of the council that ended. What
// travels is the file that a person would carry, and it is verified in the same way: the
// wire adds no second proof, and takes none away. See handover.proto.

// Codes of a refusal to hand over. The reason beside it is for people.
const (
	codeVersion   = "protocol-version"
	codeNotSealed = "not-sealed"
	codeNotNamed  = "not-a-successor" // also said when the directory has not the key that the seal names
	codeBusy      = "busy"            // the file is on its way to that council already
	codeNotNow    = "not-now"
)

// Timing of /stile/handover/1.
const (
	requestWithin = time.Minute
	firstWithin   = 30 * time.Minute // the file is written first, if it is not there yet
	partWithin    = 2 * time.Minute
)

// breaks is how often in a row a stream may break with nothing new before it is given up.
const breaks = 3

// A refusal is why nothing is handed over, as the asker is told.
type refusal struct{ code, reason string }

func (r *refusal) Error() string { return r.reason }

// A whole is a file that is there in full.
type whole struct {
	path   string
	digest []byte // SHA-256
	size   uint64
}

// Serve answers one stream of /stile/handover/1: with the file of what the asker takes over,
// if it is a council that the last entry of our ledger names. It closes the stream.
func (k *Keeper) Serve(ctx context.Context, from name.Council, st wire.Stream) {
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(k.o.Now().Add(requestWithin))
	q, err := wirepb.ReadHandOverRequest(bufio.NewReader(st))
	if err != nil {
		st.Reset()
		return
	}
	st.SetDeadline(time.Time{})
	err = k.serve(ctx, from, q, st)
	var no *refusal
	switch {
	case err == nil:
		k.o.Log.Info("records handed over", "to", from, "from byte", q.GetOffset())
		st.CloseWrite()
	case errors.As(err, &no):
		k.o.Log.Warn("records not handed over", "to", from, "because", no.code)
		st.SetDeadline(k.o.Now().Add(requestWithin))
		if wirepb.WriteHandOverPart(bufio.NewWriter(st), &wirepb.HandOverPart{Code: no.code, Reason: no.reason}) != nil {
			st.Reset()
			return
		}
		st.CloseWrite()
	default:
		k.o.Log.Warn("records not handed over in full", "to", from, "because", err.Error())
		st.Reset()
	}
}

func (k *Keeper) serve(ctx context.Context, from name.Council, q *wirepb.HandOverRequest, st wire.Stream) error {
	if q.GetVersion() > wirepb.HandOverVersion {
		return &refusal{codeVersion, fmt.Sprintf("this node speaks version %d", wirepb.HandOverVersion)}
	}
	if err := k.names(from); err != nil {
		return err
	}
	k.mu.Lock()
	busy := k.carrying[from]
	if !busy {
		k.carrying[from] = true
	}
	k.mu.Unlock()
	if busy {
		return &refusal{codeBusy, "it is on its way to you on another stream"}
	}
	defer func() {
		k.mu.Lock()
		delete(k.carrying, from)
		k.mu.Unlock()
	}()
	f, err := k.prepared(ctx, from)
	if err != nil {
		k.o.Log.Error("write what a successor takes over", "to", from, "error", err.Error())
		return &refusal{codeNotNow, "the file cannot be written here now"}
	}
	return send(st, q, f, k.o.Now)
}

// names returns why a council is not one that takes over from us.
func (k *Keeper) names(c name.Council) error {
	return k.o.Ledger.View(func(v *ledger.View) error {
		e, _, ok, err := v.Sealed()
		if err != nil {
			return err
		}
		if !ok {
			return &refusal{codeNotSealed, fmt.Sprintf("the ledger of %s is not sealed: it has not ended", k.o.Self)}
		}
		share, ok := e.To(c)
		if !ok {
			return &refusal{codeNotNamed, fmt.Sprintf("%s names other successors than you", k.o.Self)}
		}
		m, _ := k.o.Member(c)
		if _, ok := m.RecordKey(share.KeyID); !ok {
			return &refusal{codeNotNamed, "the directory has not the key for you that the last entry names"}
		}
		return nil
	})
}

// prepared returns the file for a successor. It is written once, and again when somebody
// more has cosigned the last entry.
func (k *Keeper) prepared(ctx context.Context, to name.Council) (*whole, error) {
	if err := os.MkdirAll(k.o.Dir, 0o700); err != nil {
		return nil, err
	}
	now, err := k.sealed()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(k.o.Dir, fmt.Sprintf("for-%s_%d.stile", to, len(now.Witnesses)))
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		old, _ := filepath.Glob(filepath.Join(k.o.Dir, fmt.Sprintf("for-%s_*", to)))
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				return nil, err
			}
		}
		if _, err := k.handOver(ctx, to, path+".new", func(w io.Writer) io.Writer { return &onDisk{w: w, room: k.o.Ledger.Room} }); err != nil {
			return nil, err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return nil, err
		}
	}
	return hashed(path)
}

// onDisk writes while there is room.
type onDisk struct {
	w    io.Writer
	room func() error
	n    int // written since it was last asked
}

const roomEvery = 4 << 20

func (d *onDisk) Write(b []byte) (int, error) {
	if d.n += len(b); d.n >= roomEvery {
		d.n = 0
		if err := d.room(); err != nil {
			return 0, err
		}
	}
	return d.w.Write(b)
}

func hashed(path string) (*whole, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return &whole{path, h.Sum(nil), uint64(n)}, err
}

// send writes a file from where the asker has it.
func send(st wire.Stream, q *wirepb.HandOverRequest, f *whole, now func() time.Time) error {
	at := q.GetOffset()
	if !bytes.Equal(q.GetDigest(), f.digest) || at > f.size {
		at = 0
	}
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, b := bufio.NewWriter(st), make([]byte, wirepb.MaxHandedContent)
	for first := true; first || at < f.size; first = false {
		b := b[:min(uint64(len(b)), f.size-at)]
		if _, err := in.ReadAt(b, int64(at)); err != nil {
			return err
		}
		st.SetDeadline(now().Add(partWithin))
		if err := wirepb.WriteHandOverPart(out, &wirepb.HandOverPart{Digest: f.digest, Size: f.size, Offset: at, Content: b}); err != nil {
			return err
		}
		at += uint64(len(b))
	}
	return nil
}

// fetch brings what a council that has ended has for us onto our disk, and returns the path.
// It goes on where an earlier one broke. What came is not verified yet.
func (k *Keeper) fetch(ctx context.Context, from name.Council) (string, error) {
	if err := os.MkdirAll(k.o.Dir, 0o700); err != nil {
		return "", err
	}
	b := &bringing{dir: k.o.Dir, from: from, now: k.o.Now, room: k.o.Ledger.Room}
	open, done, err := k.o.Reach(ctx, from)
	if err != nil {
		return "", err
	}
	defer done()
	path, err := b.bring(ctx, open)
	var no *refusal
	switch {
	case err == nil:
		return path, nil
	case errors.As(err, &no):
		return "", api.Fail(api.Refused, "ask "+string(from), "nothing was taken over: %s answers: %s", from, no.reason)
	case errors.Is(err, wire.ErrProtocol):
		return "", api.Fail(api.Refused, "have it write a file: stile council succeed PLAN --hand-over FOLDER", "nothing was taken over: the node of %s runs a release that hands nothing over by the network, or does not run", from)
	case errors.Is(err, ledger.ErrFull):
		return "", err
	}
	return "", api.Fail(api.Behind, "run it again, and it goes on where it broke; or have "+string(from)+" write a file", "nothing was taken over yet: %v", err)
}

// A bringing is a file on its way to us, from a council that is not believed.
type bringing struct {
	dir  string
	from name.Council
	now  func() time.Time
	room func() error
}

// name returns where a file with a digest is kept, in full or not.
func (b *bringing) name(digest []byte) string {
	return filepath.Join(b.dir, fmt.Sprintf("from-%s_%s.stile", b.from, hex.EncodeToString(digest)))
}

// there returns the files that are there, in full or not, the newest last.
func (b *bringing) there() (out []string, err error) {
	if out, err = filepath.Glob(b.name(nil)[:len(b.name(nil))-len(".stile")] + "*.stile"); err != nil {
		return nil, err
	}
	at := map[string]time.Time{}
	for _, f := range out {
		if st, err := os.Stat(f); err == nil {
			at[f] = st.ModTime()
		}
	}
	slices.SortFunc(out, func(x, y string) int { return at[x].Compare(at[y]) })
	return out, nil
}

// bring brings all of the file, over as many streams as it takes.
func (b *bringing) bring(ctx context.Context, open func(context.Context) (wire.Stream, error)) (path string, err error) {
	for broken := 0; broken < breaks; broken++ {
		if err = ctx.Err(); err != nil {
			return "", err
		}
		var got uint64
		if path, got, err = b.stream(ctx, open); err == nil {
			return path, nil
		}
		var no *refusal
		if errors.As(err, &no) || errors.Is(err, errHanded) || errors.Is(err, wire.ErrProtocol) || errors.Is(err, ledger.ErrFull) {
			return "", err
		}
		if got > 0 {
			broken = -1
		}
	}
	return "", err
}

// errHanded says that what came is not what was said to come.
var errHanded = errors.New("what it sent does not fit together")

// stream reads one stream, from where what is there ends. It returns how many bytes it brought.
func (b *bringing) stream(ctx context.Context, open func(context.Context) (wire.Stream, error)) (path string, got uint64, err error) {
	q := &wirepb.HandOverRequest{Version: wirepb.HandOverVersion}
	have, err := b.there()
	if err != nil {
		return "", 0, err
	}
	if len(have) > 0 {
		last := have[len(have)-1]
		st, err := os.Stat(last)
		if err != nil {
			return "", 0, err
		}
		hexed := last[len(last)-len(".stile")-2*sha256.Size : len(last)-len(".stile")]
		if q.Digest, err = hex.DecodeString(hexed); err != nil {
			return "", 0, err
		}
		q.Offset = uint64(st.Size())
	}
	st, err := open(ctx)
	if err != nil {
		return "", 0, err
	}
	defer st.Close()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(b.now().Add(firstWithin))
	if err := wirepb.WriteHandOverRequest(bufio.NewWriter(st), q); err != nil {
		st.Reset()
		return "", 0, err
	}
	path, got, err = b.read(bufio.NewReader(st), st, q)
	if err != nil {
		st.Reset()
	}
	return path, got, err
}

// read keeps the parts of one stream.
func (b *bringing) read(in *bufio.Reader, st wire.Stream, q *wirepb.HandOverRequest) (path string, got uint64, err error) {
	first, err := wirepb.ReadHandOverPart(in)
	if err != nil {
		return "", 0, err
	}
	if first.GetCode() != "" {
		return "", 0, &refusal{first.GetCode(), printable(first.GetReason())}
	}
	at := first.GetOffset()
	if at != 0 && (at != q.GetOffset() || !bytes.Equal(first.GetDigest(), q.GetDigest())) {
		return "", 0, fmt.Errorf("%w: it goes on where nothing ended", errHanded)
	}
	path = b.name(first.GetDigest())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(int64(at)); err != nil {
		return "", 0, err
	}
	if _, err := f.Seek(int64(at), io.SeekStart); err != nil {
		return "", 0, err
	}
	w := &onDisk{w: f, room: b.room, n: roomEvery}
	for p := first; ; {
		if !bytes.Equal(p.GetDigest(), first.GetDigest()) || p.GetSize() != first.GetSize() || p.GetOffset() != at || p.GetCode() != "" {
			return "", got, fmt.Errorf("%w: a part is of another file, or of another place in it", errHanded)
		}
		n, err := w.Write(p.GetContent())
		at, got = at+uint64(n), got+uint64(n)
		if err != nil {
			return "", got, err
		}
		if at == p.GetSize() {
			break
		}
		st.SetDeadline(b.now().Add(partWithin))
		if p, err = wirepb.ReadHandOverPart(in); err != nil {
			return "", got, err
		}
	}
	if err := f.Sync(); err != nil {
		return "", got, err
	}
	now, err := hashed(path)
	if err != nil {
		return "", got, err
	}
	if !bytes.Equal(now.digest, first.GetDigest()) {
		return "", got, errors.Join(fmt.Errorf("%w: the file has another digest", errHanded), os.Remove(path))
	}
	others, err := b.there()
	for _, o := range others {
		if o != path {
			err = errors.Join(err, os.Remove(o))
		}
	}
	return path, got, err
}

// printable returns at most 300 characters of what another council says, on one line.
func printable(s string) string {
	out := []rune{}
	for _, r := range s {
		if len(out) == 300 {
			break
		}
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
