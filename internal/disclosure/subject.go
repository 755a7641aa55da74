package disclosure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/bundle"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/api"
	"github.com/stile-exchange/stile/node/name"
)

// A gathering is a report about one person in the making.
type gathering struct {
	r     *Register
	v     *ledger.View
	out   *api.SubjectReply
	proof bundle.Proof
	texts map[agreementID]bool
	who   map[name.Council]bool
}

type agreementID struct {
	name    name.Agreement
	version uint64
}

// Subject gathers everything that is here about one person, all of one state of the
// ledger. When proof is not nil the bundle that proves it is written there; nothing is
// written when none of it is in our own log.
func (r *Register) Subject(ctx context.Context, in api.SubjectRequest, proof io.Writer) (*api.SubjectReply, error) {
	g := &gathering{
		r: r, texts: map[agreementID]bool{}, who: map[name.Council]bool{r.o.Self: true},
		out: &api.SubjectReply{
			Council: r.o.Self, Made: r.o.Now().UTC().Truncate(time.Second), Person: in.Person,
			Records: []api.SubjectRecord{}, Received: []api.SubjectHolding{}, Agreements: []api.SubjectAgreement{},
		},
		proof: bundle.Proof{Under: map[name.Agreement]bool{}, Receipts: map[name.Council][][]byte{}},
	}
	err := r.o.Ledger.View(func(v *ledger.View) error {
		g.v = v
		p, err := r.person(v, in.Person, in.Scheme)
		if err != nil {
			return err
		}
		_, note := v.Checkpoint()
		g.out.Scheme, g.out.Checkpoint = p.Scheme, string(note)
		all, err := r.ours(v, p)
		if err != nil {
			return err
		}
		for _, a := range all {
			if err := g.record(ctx, a); err != nil {
				return err
			}
		}
		if err := g.received(p); err != nil {
			return err
		}
		g.agreements()
		g.councils()
		if proof == nil {
			return nil
		}
		g.out.Proved, err = bundle.Person(ctx, r.o.Bundles(), v, proof, g.proof)
		if errors.Is(err, bundle.ErrEmpty) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return g.out, nil
}

// record adds a record of our own.
func (g *gathering) record(ctx context.Context, a about) error {
	out := api.SubjectRecord{Record: a.record, Others: a.others, Disclosed: []api.Disclosure{}}
	for i, l := range a.versions {
		ver := api.SubjectVersion{Version: l.Version, Entry: l.Index, At: l.At, Deleted: l.Deleted}
		full, err := g.v.Version(l.Index)
		switch {
		case errors.Is(err, ledger.ErrStorage):
			return err
		case err != nil:
			ver.Unread = unread(err)
			g.out.Damaged = append(g.out.Damaged, err.Error())
		case full.Body != nil:
			ver.Body = strictjson.Canonical(full.Body)
			out.Reference = cmp.Or(out.Reference, g.r.o.Reference(full.Claims.Standard, full.Body))
		}
		if i == 0 {
			out.Standard, out.Deleted = l.Standard, l.Deleted
			out.Title = g.title(l.Standard)
		}
		out.Versions = append(out.Versions, ver)
		g.proof.Entries = append(g.proof.Entries, l.Index)
	}
	switch was, err := g.v.Former(a.record); {
	case err == nil:
		// The event that says so names other persons' records too, so it is not in the proof.
		out.Former = &api.FormerReply{Council: was.Council, Record: was.Record, Version: was.Version, Entry: was.Entry, Event: was.Event}
		g.who[was.Council] = true
	case errors.Is(err, ledger.ErrStorage):
		return err
	case !errors.Is(err, ledger.ErrNotFound):
		g.out.Damaged = append(g.out.Damaged, err.Error())
	}
	ds, err := g.r.of(ctx, g.v, a.versions)
	if err != nil {
		return err
	}
	for i := range ds {
		if err := g.disclosed(&ds[i]); err != nil {
			return err
		}
	}
	out.Disclosed = append(out.Disclosed, ds...)
	g.proof.Records = append(g.proof.Records, a.record)
	g.out.Records = append(g.out.Records, out)
	return nil
}

// disclosed takes down what a disclosure names, for the proof and the appendix.
func (g *gathering) disclosed(d *api.Disclosure) error {
	g.who[d.To] = true
	if d.For != "" {
		g.who[d.For] = true
	}
	g.proof.Entries = append(g.proof.Entries, d.Entry)
	if d.Agreement == "" {
		return nil
	}
	g.texts[agreementID{d.Agreement, d.Version}], g.proof.Under[d.Agreement] = true, true
	if d.Receipt != nil && d.Receipt.Entry > 0 {
		g.proof.Entries = append(g.proof.Entries, d.Receipt.Entry)
	}
	entries := []uint64{d.RecordEntry}
	if w := d.Withdrawal; w != nil && w.Entry > 0 {
		sent, err := g.v.LetOut(w.Entry)
		if err != nil {
			return err
		}
		g.proof.Entries = append(append(g.proof.Entries, w.Entry), sent...)
		entries = append(entries, w.Entry)
	}
	for _, f := range g.r.o.Ledger.Feeds() {
		if f.Agreement != d.Agreement || !slices.Contains(f.To, d.To) {
			continue
		}
		for _, at := range entries {
			jws, err := g.v.ReceiptFor(f, d.To, at)
			if err != nil {
				return err
			}
			same := func(b []byte) bool { return string(b) == string(jws) }
			if jws != nil && !slices.ContainsFunc(g.proof.Receipts[d.To], same) {
				g.proof.Receipts[d.To] = append(g.proof.Receipts[d.To], jws)
			}
		}
	}
	return nil
}

// received adds what others sent.
func (g *gathering) received(p standard.Person) error {
	var failed error
	err := g.r.sources(g.v, p, func(src *ledger.Source, h *ledger.Holding, err error) bool {
		if err != nil {
			g.out.Damaged = append(g.out.Damaged, fmt.Sprintf("from %s under %s: %v", src.From, src.Agreement, err))
			return true
		}
		c := h.View
		out := api.SubjectHolding{
			From: src.From, Council: c.Council, Agreement: src.Agreement, Record: c.Record, Standard: c.Standard, Title: g.title(c.Standard),
			Reference: g.r.o.Reference(c.Standard, c.Body), Version: c.Version, Entry: h.Index, Issued: time.Unix(c.IssuedAt, 0).UTC(),
			Withheld: c.Withheld, Body: strictjson.Canonical(c.Body), Token: string(h.Token.Bytes()), Log: string(g.r.o.Ledger.Known(src.From).Note),
		}
		if src.Kept != nil {
			out.Kept = src.Kept.String()
		}
		if std, err := g.r.o.Ledger.Standard(c.Standard); err == nil {
			_, out.Others = g.r.names(std, c.Body, p)
		}
		var receipts []uint64
		if receipts, failed = g.v.ReceiptedBy(src.From, src.Agreement, h.Index); failed != nil {
			return false
		}
		if len(receipts) > 0 {
			out.Receipt = receipts[0]
			ev, _, err := g.v.Event(out.Receipt)
			if failed = err; err != nil {
				return false
			}
			out.Received = time.Unix(ev.IssuedAt, 0).UTC()
		}
		g.who[src.From], g.who[c.Council] = true, true
		for _, st := range g.r.o.Texts(src.Agreement) {
			if st.Digest.String() == src.Digest {
				g.texts[agreementID{src.Agreement, uint64(st.Agreement.Version)}] = true
			}
		}
		g.out.Received = append(g.out.Received, out)
		return true
	})
	return errors.Join(err, failed)
}

func (g *gathering) title(s name.Standard) string {
	std, err := g.r.o.Ledger.Standard(s)
	if err != nil {
		return s.String()
	}
	return name.Line(std.Manifest().Title)
}

// agreements adds the texts that were named.
func (g *gathering) agreements() {
	ids := slices.SortedFunc(maps.Keys(g.texts), func(a, b agreementID) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.version, b.version))
	})
	for _, id := range ids {
		out := api.SubjectAgreement{Name: id.name, Version: id.version, Unknown: true}
		text := g.r.text(id.name, id.version)
		for _, st := range g.r.o.Texts(id.name) {
			if st.Agreement != text {
				continue
			}
			out.Unknown, out.From, out.To = false, text.From, text.To
			out.Stands, out.Document, out.Headings = string(st.Phase), string(text.YAML()), headings(text)
			if st.Why != "" {
				out.Stands = st.Why
			}
			for _, c := range text.Parties() {
				g.who[c] = true
			}
		}
		g.out.Agreements = append(g.out.Agreements, out)
	}
}

// headings are what a person who is written about should know of an agreement.
func headings(a *agreement.Agreement) []api.SubjectHeading {
	var out []api.SubjectHeading
	add := func(heading, text string) {
		if text != "" {
			out = append(out, api.SubjectHeading{Heading: heading, Text: text})
		}
	}
	table := func(m map[name.Council]string) string {
		var lines []string
		for _, c := range slices.Sorted(maps.Keys(m)) {
			lines = append(lines, string(c)+": "+m[c])
		}
		return strings.Join(lines, "\n")
	}
	roles := map[name.Council]string{}
	for c, r := range a.Roles {
		roles[c] = string(r)
	}
	add("What it is for", a.Purpose)
	add("Why it is needed", a.Necessity)
	add("What is shared, and about whom", a.DataItems)
	add("Legal basis, UK GDPR article 6", a.LawfulBasis.Article6)
	add("Legal power", a.LawfulBasis.LegalPower)
	add("Condition for special category data, article 9", a.LawfulBasis.SpecialCondition)
	add("Condition for criminal offence data, article 10", a.LawfulBasis.CriminalCondition)
	add("How it is shared", a.Way().Means)
	add("Which records", rowWords(a.Rows))
	add("Where to go with a request or a complaint", a.RightsContact)
	add("Who answers for data protection", table(a.Contacts))
	add("Part of each council", table(roles))
	add("How errors are put right", a.Accuracy)
	add("How long the receiver keeps it", keptFor(string(a.Retention)))
	add("How it is then destroyed", a.Disposal)
	add("How it is protected", a.Security)
	add("Impact assessment", a.DPIA)
	add("In force from", string(a.Starts))
	add("In force until", string(a.Ends))
	add("Next review", string(a.Review))
	add("When it ends", a.Exit)
	return out
}

func rowWords(cel string) string {
	if cel == "true" {
		return "all records of the standard"
	}
	return cel
}

// keptFor says an ISO 8601 duration of one part in words, any other as it is.
func keptFor(d string) string {
	var n int
	var unit byte
	if _, err := fmt.Sscanf(d, "P%d%c", &n, &unit); err != nil || fmt.Sprintf("P%d%c", n, unit) != d {
		return d
	}
	word := map[byte]string{'D': "day", 'W': "week", 'M': "month", 'Y': "year"}[unit]
	switch {
	case word == "":
		return d
	case n == 1:
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// councils adds the titles of those that are named.
func (g *gathering) councils() {
	for _, c := range slices.Sorted(maps.Keys(g.who)) {
		out := api.SubjectCouncil{Council: c}
		if m, ok := g.r.o.Member(c); ok {
			out.Title = name.Line(m.Title)
		}
		if c == g.r.o.Self {
			g.out.Title = cmp.Or(out.Title, string(c))
		}
		g.out.Councils = append(g.out.Councils, out)
	}
}
