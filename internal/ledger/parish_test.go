package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/keys"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/tlog"
	"github.com/stile-exchange/stile/node/name"
)

const (
	saltby  = name.Council("saltby.gov.uk")
	hexwell = name.Council("hexwell.gov.uk")
)

// parish returns a small made-up standard. From version 1.1.0 on it calls
// /phone open, which no agreement here lists.
func parish(t testing.TB, version string) *standard.Standard {
	t.Helper()
	s, err := newParish(version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newParish(version string) (*standard.Standard, error) {
	classes := "  /reference: open\n  /ward: internal\n  /scores/*: internal\n"
	if version != "1.0.0" {
		classes += "  /phone: open\n"
	}
	return standard.Load(fstest.MapFS{
		"standard.yaml": {Data: []byte("name: standards.example/parish-item\nversion: " + version + `
title: Parish item
status: live
key: [/reference]
classes:
` + classes)},
		"schema.json": {Data: []byte(`{"type":"object","required":["reference"],"properties":{"reference":{"type":"string"},"ward":{"type":"string"},"scores":{"type":"array"}}}`)},
	})
}

func item(ref, ward, nm string) map[string]any {
	return map[string]any{"reference": ref, "ward": ward, "name": nm}
}

// sharing returns an agreement over the parish standard, each version of which
// lets saltby have the rows that the filter picks and the fields named.
func sharing(t testing.TB, nm string, version int, rows string, fields ...string) *agreement.Agreement {
	t.Helper()
	a, err := newSharing(nm, version, rows, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newSharing(nm string, version int, rows string, fields ...string) (*agreement.Agreement, error) {
	return agreement.Parse(fmt.Appendf(nil, `
agreement: northmoor.gov.uk/%s
version: %d
from: northmoor.gov.uk
to: [saltby.gov.uk]
mode: replicate
standard: standards.example/parish-item@1
rows: '%s'
fields: [/reference, %s]
starts: 2026-01-01
`, nm, version, rows, strings.Join(fields, ", ")))
}

// readFeed returns all pages of a feed from a cursor on.
func readFeed(t testing.TB, l *ledger.Ledger, f *ledger.Feed, cursor uint64) (pages []*ledger.Page) {
	t.Helper()
	for {
		p, err := l.Page(f, cursor)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
		if cursor = p.Cursor; p.Live {
			return pages
		}
	}
}

// delivery makes of a page what a receiver makes of it that has checked it.
func delivery(p *ledger.Page) (*ledger.Delivery, error) {
	d := &ledger.Delivery{Checkpoint: p.Checkpoint, Cursor: p.Cursor, Offered: p.Records, Live: p.Live}
	for _, it := range p.Items {
		if !strings.Contains(string(it.Token), "~") {
			_, ev, err := record.ParseEvent(it.Token)
			if err != nil {
				return nil, err
			}
			w, err := event.ParseTakenBack(ev.Kind, ev.Body)
			if err != nil {
				return nil, err
			}
			d.Withdrawn = append(d.Withdrawn, ledger.Withdrawal{Index: it.Index, Record: w.Record, Event: it.Token})
			continue
		}
		tok, err := record.Parse(it.Token)
		if err != nil {
			return nil, err
		}
		v, err := tok.View()
		if err != nil {
			return nil, err
		}
		kept := it.Token
		if it.Index%2 == 0 { // the others as earlier versions kept them
			if kept, err = record.PackAlone(tok); err != nil {
				return nil, err
			}
		}
		d.Puts = append(d.Puts, ledger.Put{Index: it.Index, Record: v.Record, Version: v.Version, Entry: tok.Entry(), Token: kept})
	}
	return d, nil
}

// meet has a receiver take a page's checkpoint into what it knows of the log.
func meet(ctx context.Context, from, to *ledger.Ledger, p *ledger.Page) error {
	m := ledger.Met{Log: from.Council(), Checkpoint: p.Checkpoint, Note: p.Note}
	return to.Meet(ctx, m, func(_ context.Context, first, second uint64) ([]tlog.Hash, error) {
		return from.Consistency(first, second)
	})
}

// copyFeed brings a receiver's copy of a feed up to date.
func copyFeed(ctx context.Context, from, to *ledger.Ledger, f *ledger.Feed) error {
	s, err := to.OpenSource(ctx, from.Council(), f.Agreement)
	if err != nil {
		return err
	}
	if s.Digest != f.Digest.String() {
		if err := to.Restart(ctx, s, f.Digest.String()); err != nil {
			return err
		}
	}
	for {
		s, err := to.Source(from.Council(), f.Agreement)
		if err != nil {
			return err
		}
		p, err := from.Page(f, s.Cursor)
		if err != nil {
			return err
		}
		d, err := delivery(p)
		if err != nil {
			return err
		}
		if err := meet(ctx, from, to, p); err != nil {
			return err
		}
		if _, err := to.Receive(ctx, s, d); err != nil {
			return err
		}
		if p.Live {
			return nil
		}
	}
}

// receiver opens a ledger of saltby's.
func receiver(t testing.TB, dir string, change ...func(*ledger.Options)) *ledger.Ledger {
	t.Helper()
	r, err := keys.Generate(saltby)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, dir, r, append(change, func(o *ledger.Options) { o.Council = saltby })...)
}

// holdings returns what is held from a source: the reference of each record to
// its version and the visible body.
func holdings(t testing.TB, l *ledger.Ledger, from name.Council, a name.Agreement) map[string]string {
	t.Helper()
	s, err := l.Source(from, a)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	out := map[string]string{}
	err = l.View(func(v *ledger.View) error {
		return v.Holdings(s, 0, func(h *ledger.Holding, err error) bool {
			if err != nil {
				t.Errorf("holding: %v", err)
				return true
			}
			b, err := json.Marshal(h.View.Body)
			if err != nil {
				t.Fatal(err)
			}
			ref := h.View.Body["reference"].(string)
			if _, twice := out[ref]; twice {
				t.Errorf("%s is held twice", ref)
			}
			out[ref] = fmt.Sprintf("%d %s", h.Version, b)
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Records != len(out) {
		t.Errorf("the source counts %d records, %d are held", s.Records, len(out))
	}
	return out
}

func adopt(t testing.TB, l *ledger.Ledger, stds ...*standard.Standard) {
	t.Helper()
	for _, s := range stds {
		if err := l.Adopt(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func openFeed(t testing.TB, l *ledger.Ledger, a *agreement.Agreement) *ledger.Feed {
	t.Helper()
	if err := errors.Join(l.OpenFeed(t.Context(), a), l.AwaitFeed(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	f, err := l.Feed(a.Name, a.Digest())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func remove(t testing.TB, l *ledger.Ledger, r name.Record) {
	t.Helper()
	o := l.OfferDelete(r)
	if err := l.Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Result(); err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
