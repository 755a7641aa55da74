package simtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing/synctest"
	"time"
	"unsafe"

	"filippo.io/age"

	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/ledger/ledgertest"
	"github.com/stile-exchange/stile/internal/metrics"
	"github.com/stile-exchange/stile/internal/record"
	"github.com/stile-exchange/stile/internal/wire"
	"github.com/stile-exchange/stile/internal/wire/wirepb"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// ask1 looks at what a running partner answers to whoever looks at its pages.
func (l *Whole) ask1(c *Council) {
	if c.node == nil {
		return
	}
	for _, r := range l.held(c) {
		l.look(c, fmt.Sprintf("answers, version %d of %s under %s", r.Version, r.Record, r.Agreement), r, r.Agreement)
	}
}

// held lists what a council holds from all others.
func (l *Whole) held(c *Council) (out []node.RecordReply) {
	for _, from := range l.councils {
		if from != c {
			out = append(out, c.holdings(from.Name)...)
		}
	}
	return out
}

// look looks for values in anything that a council answers, of what came to it under an
// agreement.
func (l *Whole) look(c *Council, where string, v any, under ...name.Agreement) {
	l.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.fail("%v", err)
	}
	found := map[canary]string{}
	scan(b, func(x canary) { found[x] = where })
	l.judge(c.Name, found, under...)
}

// judge notes what is at a council and may not be, by any agreement or by those that are
// named.
func (l *Whole) judge(at name.Council, found map[canary]string, under ...name.Agreement) {
	wrong := l.judgeBy(at, found, func(p *pact) bool { return len(under) == 0 || slices.Contains(under, p.name) })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, nm := range under {
		if p := l.o.pacts[nm]; p != nil && len(found) > 0 {
			l.seen["by "+p.mode] += len(found)
			l.wrong["by "+p.mode] += len(wrong)
		}
	}
}

// judgeBy notes what is at a council and may not be, by those agreements that by takes. It
// returns that.
func (l *Whole) judgeBy(at name.Council, found map[canary]string, by func(*pact) bool) (wrong []canary) {
	kind := func(where string) string { return strings.TrimSuffix(strings.Fields(where)[0], ",") }
	l.mu.Lock()
	wrong = l.o.beyond(at, found, by)
	for x, where := range found {
		if from := l.o.owner[x]; from != at && from != "" {
			l.seen[kind(where)]++
		}
	}
	for _, x := range wrong {
		l.wrong[kind(found[x])]++
	}
	whose := map[canary]name.Council{}
	for _, x := range wrong {
		whose[x] = l.o.owner[x]
	}
	l.mu.Unlock()
	for _, x := range wrong {
		l.breach("%s %s of %s is at %s, which may not have it: %s", x.place, x.number, whose[x], at, found[x])
	}
	return wrong
}

// sound fails the test if anything was noted that may not be, but for what was planted.
func (l *Whole) sound() {
	l.t.Helper()
	if l.plant == (plant{}) {
		l.World.sound()
	}
}

// press has a mode let out what it does, of all records that there are.
func (l *Whole) press(mode string) {
	l.t.Helper()
	long := heavy && mode == "replicate" // and while it is copied, a part of it again
	if long {
		l.linesFrom(l.councils[0], slowLine)
	}
	put := func() {
		for _, k := range kinds {
			l.put(k, k.keys)
		}
	}
	if long {
		l.large(put)
	} else {
		put()
	}
	p := l.some(func(p *pact) bool { return p.mode == mode })
	to := l.parties(p)[1]
	switch mode {
	case "replicate":
		if !long {
			time.Sleep(10 * time.Second)
			break
		}
		time.Sleep(time.Second / 2)
		l.put(kinds[0], 9)
		time.Sleep(time.Minute)
		l.lines(wire.Link{})
	case "onward":
		time.Sleep(time.Minute)
	case "footprint":
		time.Sleep(time.Minute)
		l.reads(l.last())
		return
	case "aggregate":
		l.ask(p, to, "", false)
	case "lookup", "private-lookup":
		for _, key := range l.slots[p.kind] {
			l.ask(p, to, key, true)
		}
	case "handover", "break-glass":
		for range 6 {
			l.offer(mode == "break-glass")
			time.Sleep(10 * time.Second)
		}
		for _, x := range l.cases {
			l.agreeTo(x)
		}
		time.Sleep(10 * time.Second)
	}
	l.ask1(to)
}

// tap looks for values in every frame, taken apart as far as it is packed.
func (l *Whole) tap(wr wire.Write) wire.Fault {
	found, where := map[canary]string{}, "wire"
	add := func(b []byte) { scan(b, func(x canary) { found[x] = where + " " + string(wr.Protocol) }) }
	add(wr.Data)
	var under []name.Agreement // that the stream is about
	switch {
	case wr.Protocol == wirepb.Protocol:
		f, err := wirepb.NewReader(bytes.NewReader(wr.Data)).Read()
		if err != nil {
			l.breach("%s sends what is no frame: %v", wr.From, err)
			break
		}
		l.mu.Lock()
		if f.GetHello() != nil {
			l.feeds[wr.Stream] = f.GetHello().GetFeed()
		}
		feed := l.feeds[wr.Stream]
		l.mu.Unlock()
		if f.GetBatch() == nil {
			break
		}
		under = append(under, name.Agreement(feed))
		if f.GetBatch().GetAhead() {
			where = "ahead"
		}
		add(f.GetBatch().GetTable())
		for _, it := range f.GetBatch().GetItems() {
			add(it.GetEvent())
			if len(it.GetRecord()) == 0 {
				continue
			}
			token, err := unpacked(f.GetBatch().GetTable(), it.GetRecord())
			if err != nil {
				l.breach("%s sends entry %d to %s: %v", wr.From, it.GetIndex(), wr.To, err)
			}
			add(token)
		}
	case slices.Contains(shared, wr.Protocol):
		under = l.pools()
		l.mu.Lock()
		key := fmt.Sprint(wr.Stream, wr.Opener)
		b := append(l.tails[key], wr.Data...) // a value may stand in two writes
		l.tails[key] = slices.Clone(b[max(0, len(b)-512):])
		l.mu.Unlock()
		add(b)
	case wr.Protocol == wirepb.LookupProtocol && wr.Opener && wr.Serial == 0:
		q, err := wirepb.ReadQuestion(bufio.NewReader(bytes.NewReader(wr.Data)))
		if err == nil {
			_, ev, err := record.ParseEvent(q.GetEvent())
			if err == nil {
				l.mu.Lock()
				l.feeds[wr.Stream] = string(event.AgreementOf(ev.Body))
				l.mu.Unlock()
			}
		}
	case wr.Protocol == wirepb.LookupProtocol && !wr.Opener:
		l.mu.Lock()
		under = append(under, name.Agreement(l.feeds[wr.Stream]))
		l.mu.Unlock()
		a, err := wirepb.ReadAnswer(bufio.NewReader(bytes.NewReader(wr.Data)))
		if err != nil {
			l.breach("%s sends what is no answer: %v", wr.From, err)
			break
		}
		for _, e := range a.GetEntries() {
			add(e.GetToken())
		}
		add(a.GetEvent())
		add(a.GetCounts().GetToken())
	}
	l.judge(wr.To, found, under...)
	l.mu.Lock()
	blind, fault := l.blind, l.fault
	l.mu.Unlock()
	if blind != "" && wr.Protocol == wirepb.LookupProtocol && wr.To == l.councils[0].Name {
		for x := range found {
			if strings.Contains(blind, " "+x.number+".") {
				l.breach("%s is told about whom it is asked", wr.To)
			}
		}
	}
	if fault == nil {
		return wire.None
	}
	return fault(wr)
}

// settle heals everything, waits until every word has arrived, and has the oracle take back
// what is permitted no more.
func (l *Whole) settle() {
	l.t.Helper()
	l.mu.Lock()
	l.fault = nil
	l.mu.Unlock()
	l.heal()
	l.resumeAll()
	why := ""
	start := time.Now()
	for {
		synctest.Wait()
		l.sound()
		if why = l.restless(); why == "" {
			break
		}
		if time.Since(start) > patience {
			l.fail("the world does not come to rest: %s", why)
		}
		time.Sleep(2 * time.Second)
	}
	// A time that is over, or nearly, is over by far.
	l.mu.Lock()
	soon := slices.ContainsFunc(l.cases, func(x *byHand) bool {
		return x.urgent && x.state == "out" && x.until.Before(time.Now().Add(2*time.Hour))
	})
	l.mu.Unlock()
	if soon {
		l.later(4 * time.Hour)
		time.Sleep(3 * time.Minute)
		l.await("all is in step", func() bool { return l.restless() == "" })
	}
	l.mu.Lock()
	for _, x := range l.cases {
		if x.urgent && x.state == "out" && x.until.Before(time.Now()) {
			x.state = "over"
			l.deeds["urgent over"]++
		}
	}
	l.outs()
	l.o.rest()
	l.mu.Unlock()
	l.tell("at rest")
}

// restless returns what has not arrived yet; "" when all has.
func (l *Whole) restless() string {
	for _, c := range l.councils {
		s, err := c.node.Status(l.t.Context())
		if err != nil {
			l.fail("%s: status: %v", c.Name, err)
		}
		for _, p := range s.Partners {
			if p.Outstanding > 0 || !p.InStep && (p.Footprint == "" || p.Direction != "to") {
				return fmt.Sprintf("%s: %s %s under %s is %q, %d outstanding", c.Name, p.Direction, p.Council, p.Agreement, p.Behind, p.Outstanding)
			}
		}
	}
	for _, p := range l.pacts {
		now := p.current()
		if now == nil {
			continue
		}
		for _, c := range l.parties(p) {
			r, err := try(c, c.node.Agreements().Show, node.AgreementRequest{Name: string(p.name), Version: now.version})
			if err != nil || r.InForce == p.over {
				return fmt.Sprintf("%s says of %s version %d that it is in force: %v, %q, %v", c.Name, p.name, now.version, r.InForce, r.Why, err)
			}
		}
	}
	for _, x := range l.cases {
		if x.state != "out" {
			continue
		}
		from, to := l.councils[0], l.council(x.to)
		show := func(c *Council) string {
			do := c.node.Handovers().Show
			if x.urgent {
				do = c.node.Urgent().Show
			}
			r, _ := try(c, do, node.CaseRequest{Case: x.id})
			return r.State
		}
		if a, b := show(from), show(to); a != b || a == "accepted" {
			return fmt.Sprintf("case %s is %s and %s", x.id[:8], a, b)
		}
	}
	if why := l.unshared(); why != "" {
		return why
	}
	for _, p := range l.pacts {
		if p.mode != "onward" {
			continue
		}
		l.mu.Lock()
		missing := l.o.mustUnder(p)
		l.mu.Unlock()
		for _, r := range l.last().holdings(p.from) {
			if r.Agreement == p.name {
				scan(r.Body, func(x canary) { delete(missing, x) })
			}
		}
		for x := range missing {
			return fmt.Sprintf("%s %s has not come to %s under %s", x.place, x.number, p.to, p.name)
		}
	}
	return ""
}

// inside returns a part of a node that it keeps to itself.
func inside[T any](n *node.Node, field string) *T {
	return *(**T)(unsafe.Pointer(reflect.ValueOf(n).Elem().FieldByName(field).UnsafeAddr()))
}

// check comes to rest and looks at everything that each partner has.
func (l *Whole) check() {
	l.t.Helper()
	l.settle()
	for _, p := range slices.Clone(l.pacts) { // questions that are answered for certain
		if !p.over && (p.mode == "aggregate" || strings.HasSuffix(p.mode, "lookup")) {
			if it := l.lives(p.kind); it != nil {
				l.ask(p, l.council(p.to[0]), it.key, true)
			}
		}
	}
	l.mu.Lock()
	l.o.rest()
	l.mu.Unlock()
	for _, c := range l.councils {
		if err := inside[ledger.Ledger](c.node, "ledger").Purge(l.t.Context()); err != nil {
			l.fail("purge %s: %v", c.Name, err)
		}
	}
	looked := l.councils[1:]
	if l.fens {
		looked = l.councils
	}
	for _, c := range looked {
		l.replies(c)
		l.metrics(c)
		l.bundlesOf(c)
		copied := l.backup(c)
		c.halt()
		for where, dir := range map[string]string{"files": c.dir, "backup": copied} {
			found := l.raw(dir, where)
			l.judgeBy(c.Name, found, func(p *pact) bool { return !p.pooled() })
			l.replica(c, where, dir)
			l.mu.Lock()
			for x := range l.o.must(c.Name) {
				if found[x] == "" {
					l.broken = append(l.broken, fmt.Sprintf("%s %s is held by %s and not found in its %s, so that to look proves nothing", x.place, x.number, c.Name, where))
				}
			}
			l.mu.Unlock()
		}
		if err := os.RemoveAll(copied); err != nil {
			l.fail("%v", err)
		}
		c.start()
	}
	l.sound()
}

// succeed has the council that shares end. Its partners keep what they took over and nothing
// else; its successor has what its records say, and nothing of what they said before.
func (l *Whole) succeed() {
	l.t.Helper()
	from := l.councils[0]
	l.heir.start()
	l.tell("%s ends, and %s follows it", from.Name, l.heir.Name)
	l.mu.Lock()
	for _, p := range l.pacts {
		if p.from != from.Name {
			continue
		}
		p.over = true
		for _, c := range p.terms {
			c.shut = true
		}
	}
	l.mu.Unlock()
	call(from, from.node.Successions().Seal, node.SuccessionRequest{Plan: fmt.Appendf(nil, "succession: end\non: %s\nbegins: [%s]\nends: [{council: %s, to: %s}]\n",
		time.Now().AddDate(0, 0, 1).Format(time.DateOnly), l.heir.Name, from.Name, l.heir.Name)})
	l.leave()
	defer func() {
		if l.t.Failed() {
		}
	}()
	l.await("the last entry is cosigned, and the partners have deleted what they held", func() bool {
		s, err := from.node.Successions().Show(l.t.Context())
		return err == nil && len(s.Witnesses) > 0 && len(s.Unreceived) == 0
	})
	l.check()
	lives := 0
	l.mu.Lock()
	for _, it := range l.o.items {
		if it.body != nil && it.from == from.Name {
			lives++
			for _, x := range canariesOf(it.body) {
				l.o.permit(l.heir.Name, x, "")
			}
		}
	}
	l.mu.Unlock()
	got := call(l.heir, l.heir.node.Successions().TakeOver, node.TakeOverRequest{From: from.Name})
	if got.Taken != lives || len(got.Left) > 0 {
		l.breach("%s has %d records and %s took over %+v", from.Name, lives, l.heir.Name, got)
	}
	l.heir.halt()
	found := l.raw(l.heir.dir, "files")
	l.judge(l.heir.Name, found)
	if len(found) < lives {
		l.breach("%d values are found at %s, which has %d records", len(found), l.heir.Name, lives)
	}
	l.deeds["succeeded"]++
	l.sound()
}

// raw returns the values in all files of a folder, but for what is of a footprint.
func (l *Whole) raw(dir, where string) map[canary]string {
	l.t.Helper()
	found := map[canary]string{}
	all, err := os.ReadDir(dir)
	if err != nil {
		l.fail("%v", err)
	}
	for _, f := range all {
		if !slices.Contains(poolFolders, f.Name()) {
			l.rawInto(found, filepath.Join(dir, f.Name()), where)
		}
	}
	return found
}

// rawInto adds the values in a file, or in all files of a folder.
func (l *Whole) rawInto(found map[canary]string, path, where string) {
	l.t.Helper()
	err := ledgertest.Raw(path, func(b []byte, file string) {
		scan(b, func(x canary) { found[x] = where + " " + file })
	})
	if err != nil {
		l.fail("%v", err)
	}
}

// replies looks through what a partner tells its own people.
func (l *Whole) replies(c *Council) {
	l.t.Helper()
	s, err := c.node.Status(l.t.Context())
	if err != nil {
		l.fail("%v", err)
	}
	l.look(c, "answers", s)
	l.reads(c)
	shown := map[name.Council]int{}
	for _, r := range l.held(c) {
		l.look(c, "answers", r)
		from := sender(r.Agreement)
		if shown[from]++; shown[from] > 3 {
			continue
		}
		l.look(c, "answers", call(c, c.node.Records().Show, node.RecordRequest{Record: string(r.Record), From: from}))
		l.look(c, "answers", call(c, c.node.Why, node.WhyRequest{From: true, Partner: string(from), Record: string(r.Record)}))
		if c == l.middle() && l.further() { // of what it passes on, to whom
			got, err := try(c, c.node.Why, node.WhyRequest{Partner: string(l.last().Name), Record: string(r.Record)})
			if err == nil {
				l.look(c, "answers", got)
			}
		}
	}
	for _, do := range []func(context.Context) ([]node.CaseReply, error){c.node.Handovers().List, c.node.Urgent().List} {
		list, err := do(l.t.Context())
		if err != nil {
			l.fail("%v", err)
		}
		l.look(c, "answers", list)
	}
}

// metrics looks through what a council tells whoever watches it.
func (l *Whole) metrics(c *Council) {
	l.t.Helper()
	h, err := inside[metrics.Monitor](c.node, "metrics").Handler()
	if err != nil {
		l.fail("%v", err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if b := w.Body.Bytes(); !bytes.Contains(b, []byte("stile_")) {
		l.fail("metrics of %s: %s", c.Name, b)
	} else if bytes.Contains(b, []byte(canaryWord)) {
		l.breach("a metric of %s holds a value", c.Name)
	}
}

// bundlesOf looks through what a partner could hand to an auditor: nothing of it is another's.
func (l *Whole) bundlesOf(c *Council) {
	l.t.Helper()
	for _, p := range l.pacts {
		got, err := try(c, c.node.Bundle, node.BundleRequest{Agreement: string(p.name)})
		if err == nil && len(l.ofOthers(c, got.Bundle)) > 0 {
			l.breach("%s makes a bundle of %s with values of another", c.Name, p.name)
		}
	}
	for _, k := range kinds {
		got, err := try(c, c.node.Bundle, node.BundleRequest{Standard: string(k.name) + "@1", Full: true})
		if err == nil && len(l.ofOthers(c, got.Bundle)) > 0 {
			l.breach("%s makes a bundle of its own records, with values of another", c.Name)
		}
	}
}

// ofOthers returns the values in a bundle of a council that are of others.
func (l *Whole) ofOthers(c *Council, bundle []byte) (out []canary) {
	for x := range l.valuesIn(bundle) {
		l.mu.Lock()
		if l.o.owner[x] != c.Name {
			out = append(out, x)
		}
		l.mu.Unlock()
	}
	return out
}

// backup makes a backup of a council, and a folder of it.
func (l *Whole) backup(c *Council) (dir string) {
	l.t.Helper()
	write := func(keys bool) []byte {
		var b bytes.Buffer
		if _, err := c.node.Backup(l.t.Context(), node.BackupRequest{Recipients: l.id.Recipient().String(), Keys: keys}, &b); err != nil {
			l.fail("back up %s: %v", c.Name, err)
		}
		return b.Bytes()
	}
	folder, keys := write(false), write(true)
	in, err := age.Decrypt(bytes.NewReader(folder), l.id)
	if err != nil {
		l.fail("%v", err)
	}
	b, err := io.ReadAll(in)
	if err != nil {
		l.fail("%v", err)
	}
	found := map[canary]string{}
	scan(b, func(x canary) { found[x] = "backup, decrypted" })
	l.judge(c.Name, found)
	c.lives++
	dir = filepath.Join(l.dir, fmt.Sprint(c.Name, "-backup-", c.lives))
	if _, err := backup.Restore(l.t.Context(), bytes.NewReader(folder), bytes.NewReader(keys), []age.Identity{l.id}, dir, time.Now(), ""); err != nil {
		l.fail("restore %s: %v", c.Name, err)
	}
	return dir
}
