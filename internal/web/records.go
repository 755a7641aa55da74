package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// purposes are the reasons for reading that the page offers; "other" wants words.
var purposes = []string{"case", "quality", "partner", "rights", "audit", "other"}

// purposeNow is what the person said that they read for, if that was not too long ago.
func (q *request) purposeNow() string {
	at := time.Unix(q.sessions.GetInt64(q.r.Context(), "purpose-at"), 0)
	if q.Now().Sub(at) > purposeLasts {
		return ""
	}
	return q.sessions.GetString(q.r.Context(), "purpose")
}

// reads has it logged that the person reads something, before it is shown. It sends a
// person who has not said why to say so first, and then reports true.
func (q *request) reads(what, of string) (sent bool, err error) {
	why := q.purposeNow()
	if why == "" {
		return true, q.to("/records/purpose?next=" + url.QueryEscape(q.r.URL.RequestURI()))
	}
	return false, q.readsFor(what, of, why)
}

// readsFor logs what a person reads and why, in the council's own log.
func (q *request) readsFor(what, of, why string) error {
	return q.Node.Log().Read(q.public(), node.ReadRequest{Person: q.signs(), What: what, Of: of, Purpose: why})
}

func (q *request) purposeOptions() (out []option) {
	for _, p := range purposes {
		out = append(out, opt(p, q.say("purpose."+p)))
	}
	return out
}

func (q *request) purposeForm() error {
	return q.render("purpose", page{Title: q.say("purpose.title"), Data: map[string]any{"Next": local(q.form("next")), "Options": q.purposeOptions(), "Why": "", "Words": ""}})
}

func (q *request) purpose() error {
	why, words, next := q.form("why"), q.form("words"), local(q.form("next"))
	var f faults
	if !slices.Contains(purposes, why) {
		f = append(f, fault{"why", q.say("purpose.choose")})
	} else if why == "other" && words == "" {
		f = append(f, fault{"words", q.say("purpose.empty")})
	}
	if len(words) > 200 {
		f = append(f, fault{"words", q.say("purpose.long")})
	}
	if len(f) > 0 {
		return q.render("purpose", page{Title: q.say("purpose.title"), Faults: f, Status: 422, Data: map[string]any{"Next": next, "Options": q.purposeOptions(), "Why": why, "Words": words}})
	}
	// The log is in English, whatever the person reads.
	text := q.all.say(English, "purpose."+why)
	if words != "" {
		text += ": " + words
	}
	q.sessions.Put(q.r.Context(), "purpose", text)
	q.sessions.Put(q.r.Context(), "purpose-at", q.Now().Unix())
	if next == "" {
		next = "/records"
	}
	return q.to(next)
}

const recordPage = 50

func (q *request) recordList() error {
	in := node.ListRequest{Standard: q.form("standard"), From: name.Council(q.form("from")), Cursor: node.Cursor(q.form("cursor")), Limit: recordPage}
	if sent, err := q.reads("records", in.Standard); sent || err != nil {
		return err
	}
	standards, err := q.Node.Standards().List(q.ctx())
	if err != nil {
		return err
	}
	members, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	std, from := []option{opt("", q.say("all.standards"))}, []option{opt("", q.say("records.own"))}
	for _, s := range standards {
		std = append(std, opt(s.Name.Name, s.Title))
	}
	std = slices.CompactFunc(std, func(a, b option) bool { return a.Value == b.Value })
	for _, m := range members {
		if !m.Self {
			from = append(from, opt(m.Council, q.say("records.from", m.Council)))
		}
	}
	var f faults
	if ref := q.form("reference"); ref != "" {
		if in.Standard == "" {
			f = append(f, fault{"standard", q.say("records.standard-needed")})
		} else if one, err := q.Node.Records().Show(q.ctx(), node.RecordRequest{Record: ref, Standard: in.Standard, From: in.From}); err == nil {
			return q.to(recordPath(one.Council, one.Record, in.From))
		} else {
			f = append(f, fault{"reference", q.say("records.none-such")})
		}
	}
	list, err := q.Node.Records().List(q.ctx(), in)
	if err != nil {
		return err
	}
	type line struct {
		node.RecordReply
		Path string
	}
	var lines []line
	for _, r := range list.Records {
		lines = append(lines, line{r, recordPath(q.Council, r.Record, in.From)})
	}
	return q.render("records", page{Title: q.say("records.title"), Wide: true, Faults: f, Data: map[string]any{
		"In": in, "Lines": lines, "Damaged": append(list.Damaged, list.Hidden...), "Cursor": string(list.Cursor), "Standards": std, "Councils": from, "Reference": q.form("reference"), "Purpose": q.purposeNow(),
	}})
}

// recordPath is the page of a record: under the council whose it is here.
func recordPath(self name.Council, r name.Record, from name.Council) string {
	if from != "" {
		self = from
	}
	return path("records", self, r)
}

// recordOf is the record that the path names.
func (q *request) recordOf() node.RecordRequest {
	in := node.RecordRequest{Record: q.r.PathValue("id")}
	if c := name.Council(q.r.PathValue("council")); c != q.Council {
		in.From = c
	}
	return in
}

// A recordField is one field of a record as a page shows it.
type recordField struct {
	Place  string
	Title  string
	Value  any
	Class  string
	Goes   []name.Agreement // that let it out, of our own
	Absent any              // why there is no value, in words; nil where there is one
}

func (q *request) recordOne() error {
	in := q.recordOf()
	if sent, err := q.reads("record", in.Record); sent || err != nil {
		return err
	}
	r, err := q.Node.Records().Show(q.ctx(), in)
	if err != nil {
		return err
	}
	if was, err := name.ParseRecord(in.Record); err == nil && was != r.Record {
		// The link is from before a council ended: it leads to what its record is now.
		from := r.Council
		if from == q.Council {
			from = ""
		}
		return q.to(recordPath(q.Council, r.Record, from))
	}
	std, err := q.standard(r.Standard.String())
	if err != nil {
		return err
	}
	history, err := q.Node.Records().History(q.ctx(), in)
	if err != nil {
		return err
	}
	docs := map[name.Agreement]*agreement.Agreement{}
	all, err := q.Node.Agreements().List(q.ctx())
	if err != nil {
		return err
	}
	for _, a := range all {
		if in.From == "" && (!a.InForce || a.From != q.Council || a.Standard != r.Standard.Line()) || in.From != "" && a.Name != r.Agreement {
			continue
		}
		full, err := q.Node.Agreements().Show(q.ctx(), node.AgreementRequest{Name: string(a.Name)})
		if err != nil {
			return err
		}
		if doc, err := agreement.Parse([]byte(full.Document)); err == nil {
			docs[a.Name] = doc
		}
	}
	fields, err := q.fields(std, r, docs)
	if err != nil {
		return err
	}
	data := map[string]any{"R": r, "Fields": fields, "History": history.Versions, "Own": in.From == "", "Path": q.r.URL.Path, "Purpose": q.purposeNow(), "Standard": std.Manifest().Title}
	if in.From == "" && q.may("disclosures/list") {
		let, err := q.Node.Disclosures().List(q.ctx(), node.DisclosureRequest{Record: string(r.Record), Limit: 100})
		if err != nil {
			return err
		}
		data["Seen"] = let.Disclosures
	}
	if q.may("why") {
		members, err := q.Node.Councils().List(q.ctx())
		if err != nil {
			return err
		}
		var partners []option
		for _, m := range members {
			if !m.Self {
				partners = append(partners, opt(m.Council, m.Council))
			}
		}
		data["Partners"] = partners
	}
	title := r.Reference
	if title == "" {
		title = string(r.Record)
	}
	return q.render("record", page{Title: title, Back: "/records" + query("standard", r.Standard.Name, "from", in.From), Wide: true, Data: data})
}

func query(pairs ...any) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if s := fmt.Sprint(pairs[i+1]); s != "" {
			v.Set(fmt.Sprint(pairs[i]), s)
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// fields lists what a record says, in the order of its standard, and why something is
// not there.
func (q *request) fields(std *standard.Standard, r node.RecordReply, docs map[name.Agreement]*agreement.Agreement) (out []recordField, err error) {
	var body any
	d := json.NewDecoder(strings.NewReader(string(r.Body)))
	d.UseNumber()
	if len(r.Body) > 0 {
		if err := d.Decode(&body); err != nil {
			return nil, err
		}
	}
	leaves := map[string]any{}
	flatten("", body, leaves)
	shown := map[string]bool{}
	agreed := func(doc *agreement.Agreement, f name.Field) bool {
		if std.Class(f) == standard.Open {
			return true
		}
		return slices.ContainsFunc(doc.Fields, func(g name.Field) bool { return covers(string(g), string(f)) })
	}
	names := make([]name.Agreement, 0, len(docs))
	for n := range docs {
		names = append(names, n)
	}
	slices.Sort(names)
	add := func(place, title string, value any, absent any) {
		f := recordField{Place: place, Title: title, Value: value, Class: string(std.Class(name.Field(place))), Absent: absent}
		if r.Agreement == "" {
			for _, n := range names {
				if agreed(docs[n], name.Field(place)) {
					f.Goes = append(f.Goes, n)
				}
			}
		}
		out = append(out, f)
	}
	title := func(p intake.Place) string {
		if p.Title != "" {
			return p.Title
		}
		return strings.ReplaceAll(strings.TrimPrefix(string(p.To), "/"), "/", ", ")
	}
	for _, p := range intake.Places(std) {
		found := false
		var places []string
		for l := range leaves {
			if covers(string(p.To), l) {
				places = append(places, l)
			}
		}
		sort.Strings(places)
		for _, l := range places {
			if !shown[l] {
				add(l, title(p), leaves[l], nil)
			}
			shown[l], found = true, true
		}
		if found {
			continue
		}
		switch doc := docs[r.Agreement]; {
		case r.Agreement != "" && doc != nil && !agreed(doc, p.To):
			add(string(p.To), title(p), nil, template.HTML(q.t2("record.withheld", link(path("agreements", r.Agreement), r.Agreement))))
		case r.Agreement != "" && doc == nil:
			add(string(p.To), title(p), nil, q.say("record.absent-or-withheld"))
		default:
			add(string(p.To), title(p), nil, q.say("record.absent"))
		}
	}
	var rest []string
	for l := range leaves {
		if !shown[l] {
			rest = append(rest, l)
		}
	}
	sort.Strings(rest)
	for _, l := range rest {
		add(l, strings.TrimPrefix(l, "/"), leaves[l], nil)
	}
	return out, nil
}

// t2 is a message whose insertions are markup of our own.
func (t *tongue) t2(key string, in ...template.HTML) template.HTML {
	text := template.HTMLEscapeString(t.all[t.lang][key])
	args := make([]any, len(in))
	for i := range in {
		args[i] = in[i]
	}
	return template.HTML(fmt.Sprintf(text, args...))
}

// covers reports whether a place, in which * is every element, is or contains another.
func covers(place, leaf string) bool {
	p, l := strings.Split(place, "/"), strings.Split(leaf, "/")
	if len(p) > len(l) {
		return false
	}
	for i := range p {
		if p[i] != l[i] && p[i] != "*" {
			return false
		}
	}
	return true
}

// flatten lists what stands at the ends of a record, by JSON Pointer.
func flatten(at string, v any, out map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(at+"/"+name.Escape(k), e, out)
		}
	case []any:
		for i, e := range v {
			flatten(fmt.Sprintf("%s/%d", at, i), e, out)
		}
	case nil:
		if at != "" {
			out[at] = "null"
		}
	default:
		out[at] = fmt.Sprint(v)
	}
}

// recordProof sends what shows the record in its council's log: one file to keep.
func (q *request) recordProof() error {
	in := q.recordOf()
	if sent, err := q.reads("proof", in.Record); sent || err != nil {
		return err
	}
	p, err := q.Node.Records().Prove(q.ctx(), in)
	if err != nil {
		return err
	}
	return q.download("text/plain; charset=utf-8", string(p.Record)+".tlog-proof", []byte(p.Proof))
}

// why says why a partner has or lacks a record.
func (q *request) why() error {
	in := node.WhyRequest{Partner: q.form("partner"), Record: q.form("record"), Standard: q.form("standard"), From: q.form("from") != ""}
	members, err := q.Node.Councils().List(q.ctx())
	if err != nil {
		return err
	}
	standards, err := q.Node.Standards().List(q.ctx())
	if err != nil {
		return err
	}
	var partners []option
	std := []option{opt("", q.say("why.by-id"))}
	for _, m := range members {
		if !m.Self {
			partners = append(partners, opt(m.Council, m.Council))
		}
	}
	for _, s := range standards {
		std = append(std, opt(s.Name.Name, s.Title))
	}
	std = slices.CompactFunc(std, func(a, b option) bool { return a.Value == b.Value })
	data := map[string]any{"In": in, "Partners": partners, "Standards": std}
	if in.Record == "" {
		return q.render("why", page{Title: q.say("why.title"), Data: data})
	}
	if sent, err := q.reads("why", in.Record); sent || err != nil {
		return err
	}
	w, err := q.Node.Why(q.ctx(), in)
	if e, ok := asNode(err); ok {
		return q.render("why", page{Title: q.say("why.title"), Data: data, Status: 422, Faults: faults{{"record", q.node(e.Message)}}})
	}
	if err != nil {
		return err
	}
	data["Why"] = w
	return q.render("why", page{Title: q.say("why.title"), Data: data, Wide: true})
}

// fieldsOf returns the words of a text, by spaces, commas and lines.
func fieldsOf(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func asNode(err error) (*node.Error, bool) {
	e, ok := errors.AsType[*node.Error](err)
	return e, ok
}

func (q *request) held() error {
	in := node.ListRequest{Standard: q.form("standard")}
	all, err := q.Node.Records().Held(q.ctx(), in)
	if err != nil {
		return err
	}
	total := len(all.Held)
	const most = 200
	if total > most {
		all.Held = all.Held[:most]
	}
	return q.render("held", page{Title: q.say("held.title"), Wide: true, Data: map[string]any{"Held": all.Held, "Total": total, "Groups": groupsOf(all.Held)}})
}

// A group is one thing that is wrong, and with how many.
type group struct {
	node.Problem
	Times int
	Rows  []string // references or rows, the first few
}

func groupsOf(held []node.Held) []group {
	var g grouping
	for _, h := range held {
		for _, p := range h.Problems {
			g.add(p, h.Reference)
		}
	}
	return g.sorted()
}

// A grouping gathers problems that are the same.
type grouping struct {
	by    map[node.Problem]*group
	order []*group
}

func (g *grouping) add(p node.Problem, row string) {
	if g.by == nil {
		g.by = map[node.Problem]*group{}
	}
	one := g.by[p]
	if one == nil {
		one = &group{Problem: p}
		g.by[p] = one
		g.order = append(g.order, one)
	}
	one.Times++
	if len(one.Rows) < 5 {
		one.Rows = append(one.Rows, row)
	}
}

func (g *grouping) sorted() (out []group) {
	slices.SortStableFunc(g.order, func(a, b *group) int { return b.Times - a.Times })
	for _, o := range g.order {
		out = append(out, *o)
	}
	return out
}
