package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/peersync"
	"github.com/stile-exchange/stile/internal/record"
)

// damaged says what of the store is damaged and not served; nil for nothing.
func (n *Node) damaged() *DamageReply {
	d := n.ledger.Damaged()
	if d == nil {
		return nil
	}
	out := &DamageReply{Since: d.Since, Text: d.Sentence(), Files: d.Files, Tree: d.Tree, Notes: d.Notes}
	out.Entries = each(d.Entries, func(e ledger.DamagedEntry) DamagedEntry {
		return DamagedEntry{Entry: e.Index, Record: e.Record, Lacks: e.Lacks}
	})
	out.Holdings = each(d.Holdings, func(h ledger.DamagedHolding) DamagedHolding {
		return DamagedHolding{From: h.From, Agreement: h.Agreement, Entry: h.Index, Record: h.Record}
	})
	out.Missing = each(d.Missing, func(m ledger.MissingHoldings) MissingHoldings { return MissingHoldings(m) })
	return out
}

// wayBack says what a person does next where the ledger is damaged so that it cannot be opened.
func wayBack(cfg *config.Config, err error) error {
	e, ok := errors.AsType[*ledger.DamageError](err)
	if !ok {
		return err
	}
	aside := cfg.Data + ".damaged"
	restore := func(file, keys string) string {
		s := fmt.Sprintf("mv %s %s; stile restore %s --data %[1]s --identity FILE --erased %[2]s", cfg.Data, aside, file)
		if keys != "" {
			s += " --keys " + keys
		} else {
			s += fmt.Sprintf("; cp -a %s %s", filepath.Join(aside, "keys"), filepath.Join(cfg.Data, "keys"))
		}
		return s
	}
	var try string
	made, keys := newestBackup(cfg)
	switch _, gone := os.Stat(made.File); {
	case made.File != "" && gone == nil:
		try = fmt.Sprintf("the newest backup, of %s, is there: %s; stile serve, and stile log status: partners give back what they hold of what came after it",
			made.Made.Format(time.RFC3339), restore(made.File, keys))
	case made.File != "":
		try = fmt.Sprintf("bring the newest backup, %s of %s, back from where it is kept; then %s; stile serve, and stile log status", made.File, made.Made.Format(time.RFC3339), restore("FILE", keys))
	default:
		try = fmt.Sprintf("this node knows of no backup. Keep the folder as it is, and look for another copy of it: a backup made elsewhere (%s), or a copy or an image of the disk, which is started like the folder itself. A new folder with the old keys would tell a second history, so do not make one (docs/backup.md)", restore("FILE", ""))
	}
	return fail(Unverified, try, "%v\nnothing was written, and nothing is served", e)
}

// newestBackup returns the newest backup that is known, first one that is there, and the file of keys that goes with it.
func newestBackup(cfg *config.Config) (made backup.Kept, keys string) {
	here := func(k backup.Kept) bool { _, err := os.Stat(k.File); return k.File != "" && err == nil }
	for _, k := range backup.OpenKeeper(cfg.Data).State().Kept {
		switch {
		case k.Pruned || k.File == "":
		case k.Of == backup.OfKeys && here(k):
			keys = k.File
		case k.Of == backup.OfFolder && (here(k) || !here(made)):
			made = k
		}
	}
	return made, keys
}

// repairWait is how long a repair waits for one partner, and for records that are to be sent once more.
const repairWait = 30 * time.Second

// repair fetches back what is damaged.
func (n *Node) repair(ctx context.Context, in RepairRequest) (*RepairReply, error) {
	out := &RepairReply{}
	d := n.ledger.Damaged()
	if d == nil {
		return out, nil
	}
	was := *d
	n.mu.Lock()
	s := n.sync
	n.mu.Unlock()
	if s == nil && in.From == "" && !in.Settle {
		return nil, fail(Conflict, "stile serve, and stile doctor --repair beside it; or name a backup or another copy of the folder: --from", "no node runs, so that partners cannot be asked")
	}
	if in.From != "" {
		if err := n.repairFrom(ctx, in, was.Entries); err != nil {
			return nil, fail(Refused, "name the folder ledger/ of a copy that no node has open", "the copy cannot be read: %v", err)
		}
	}
	if s != nil {
		if err := n.repairFromPartners(ctx, s, out); err != nil {
			return nil, err
		}
	}
	if err := n.sendAnew(ctx, was.Entries); err != nil {
		return nil, err
	}
	if s != nil {
		if err := n.fetchAgain(ctx, s); err != nil {
			return nil, err
		}
	}
	if in.Settle {
		if err := n.ledger.Settled(); err != nil {
			return nil, err
		}
	}
	left := n.ledger.Damaged()
	out.Left = n.damaged()
	out.Restored, out.Sent = len(was.Entries), received(&was)
	if left != nil {
		out.Restored, out.Sent = out.Restored-len(left.Entries), out.Sent-received(left)
	}
	n.log.Info("what was damaged is fetched back", "entries", out.Restored, "records_of_others", out.Sent, "whole", left == nil)
	return out, n.look()
}

// received counts the records of others that are damaged.
func received(d *ledger.Damage) int {
	n := len(d.Holdings)
	for _, m := range d.Missing {
		n += m.Records
	}
	return n
}

// repairFrom puts back entries that stand in another copy of the ledger.
func (n *Node) repairFrom(ctx context.Context, in RepairRequest, lost []ledger.DamagedEntry) (err error) {
	enc := in.Key
	if enc == nil {
		if enc, err = n.cfg.EncryptionKey(); err != nil {
			return err
		}
	}
	return ledger.ReadCopy(ledger.Options{Dir: in.From, Council: n.cfg.Council, Keys: n.keys, EncryptionKey: enc, Log: n.log}, func(v *ledger.View) error {
		for _, e := range lost {
			raw, err := v.Stored(e.Index)
			if err == nil {
				err = n.ledger.Restore(ctx, e.Index, raw)
			}
			// It may be damaged there, too, or have come later.
			if err != nil && !errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ledger.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// repairFromPartners asks who may hold records of ours for those that are damaged, and puts back what they hold
// together.
func (n *Node) repairFromPartners(ctx context.Context, s *peersync.Syncer, out *RepairReply) error {
	d := n.ledger.Damaged()
	if d == nil || len(d.Entries) == 0 {
		return nil
	}
	lost := map[uint64][]*record.Token{}
	for _, e := range d.Entries {
		lost[e.Index] = nil
	}
	for _, c := range s.Acquainted() {
		actx, cancel := context.WithTimeout(ctx, repairWait)
		err := s.Held(actx, c, d.Entries[0].Index, func(index uint64, token []byte) error {
			if _, ok := lost[index]; ok {
				if t, err := record.Parse(token); err == nil {
					lost[index] = append(lost[index], t)
				}
			}
			return nil
		})
		cancel()
		if out.Asked = append(out.Asked, c); err != nil {
			out.Silent = append(out.Silent, c)
			n.log.Info("records of ours that another holds were not all given back", "by", c, "error", err.Error())
		}
	}
	for _, e := range d.Entries {
		if len(lost[e.Index]) == 0 {
			continue
		}
		err := n.ledger.RestoreTokens(ctx, e.Index, lost[e.Index]...)
		if err != nil && !errors.Is(err, ledger.ErrLacks) && !errors.Is(err, ledger.ErrDamaged) && !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
	}
	return nil
}

// sendAnew makes a new version, which says the same, of records that were put back after a partner was sent what
// follows them: it would not ask for them again.
func (n *Node) sendAnew(ctx context.Context, was []ledger.DamagedEntry) error {
	left := map[uint64]bool{}
	if d := n.ledger.Damaged(); d != nil {
		for _, e := range d.Entries {
			left[e.Index] = true
		}
	}
	for _, e := range was {
		if !e.Passed || left[e.Index] {
			continue
		}
		var ver *ledger.Version
		err := n.ledger.View(func(v *ledger.View) (err error) {
			if ver, err = v.Version(e.Index); err != nil {
				return err
			}
			current, err := v.Current(ver.Claims.Record)
			if err == nil && current.Index != e.Index {
				ver = nil // a newer one went out
			}
			return err
		})
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrErased) || err == nil && (ver == nil || ver.Body == nil) {
			continue
		}
		if err != nil {
			return err
		}
		o, err := n.ledger.Offer(ver.Standard, ver.Body)
		if err == nil {
			err = n.ledger.Write(ctx, o.Anew())
		}
		if err == nil {
			_, err = o.Result()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetchAgain has the records of others that are damaged sent once more, and waits for them a while.
func (n *Node) fetchAgain(ctx context.Context, s *peersync.Syncer) error {
	waits := func() bool {
		d := n.ledger.Damaged()
		return d != nil && received(d) > 0
	}
	if !waits() {
		return nil
	}
	for _, src := range n.ledger.Sources() {
		if err := n.ledger.Again(ctx, src); err != nil {
			return err
		}
	}
	s.PullAgain()
	over := time.NewTimer(repairWait)
	defer over.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for waits() {
		select {
		case <-look.C:
		case <-over.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
