// Package audit writes and verifies what a council hands to an auditor: one
// file that shows what it said, to whom it went and on what terms, and that
// can be checked without a network, a node or anybody's word but the keys.
//
// The package decides by itself who may have signed what, where it stands in which
// log and whether it is within an agreement: it asks no code that decides that for a
// node (package judge), so that one mistake is not made twice, and it is tried with
// the same deliveries. What a body says it reads by package event, and what an
// agreement says by package agreement, since a format that two readers understood
// in two ways would be none.
//
// # The file
//
// An audit bundle, NAME.stile, is a zip archive (PKWARE APPNOTE 6.3, methods 0
// and 8, no encryption) of these files and no others:
//
//	entries/NNNN.ndjson                 a chunk of the log, up to 1000 entries
//	proofs/NNNN.bin                     shows that the chunk is in the log
//	agreements/COUNCIL/SLUG@N.json      canonical bytes of version N (package agreement)
//	checkpoints/SIZE.note               signed checkpoint of the log at SIZE entries
//	checkpoints/SIZE.proof              shows that the log at SIZE is where the main one began
//	directory/COUNCIL.yaml              member file (package directory)
//	events/COUNCIL.ndjson               events that other councils sent
//	standards/PUBLISHER/SLUG@A.B.C.zip  archive of a standard (package standard)
//	gone.ndjson                         what a holder has not any more, of what was committed to
//	tuf/PATH                            files of the directory that vouch for the members (package tufdir)
//	bundle.json                         what the bundle is
//
// Writers put the chunks first, in order, each before its proof, as they are
// streamed; then the rest sorted by path; bundle.json last; times zero. Readers
// do not depend on the order. A path twice, a path that is not spelt as above, or
// a file of another kind makes the bundle unreadable: nothing in it is passed over.
//
// bundle.json is one canonical JSON object (package strictjson):
//
//	{"checkpoint":1234,"council":"northmoor.gov.uk",
//	 "counts":{"agreements":1,"checkpoints":2,"entries":2,"events":1,"members":2,"standards":1},
//	 "covers":{"agreement":"northmoor.gov.uk/people-moving-to-saltby"},
//	 "created":"2026-12-02T09:00:00Z","format":2}
//
// without the line breaks. council is whose log the entries are of, checkpoint
// the size of the main checkpoint, and covers what the entries were chosen by:
// "agreement" (what went under it and came back), "standard" (publisher/name),
// "records" (ids), none or several of them. An agreement may be narrowed: "since" and
// "until" (RFC 3339, UTC) are when its disclosures were logged, the second excluded,
// and "sample" with "seed" says that of the records in those disclosures only so many
// are here, drawn as [Sample.Draw] says. bundle.json is signed by nobody; it says
// what to look for, and proves nothing.
//
// A bundle that a receiver makes of what it was given has its name as "holder", too, and
// covers an agreement. Its entries are of the log of council, all the same: the records
// that the holder has, with the fields that it has, and the notices that council sent it.
// events/HOLDER.ndjson has the holder's receipts; "since" and "until" are when it signed
// them, and a sample is drawn of the entries that they say it took. What the council does
// not prove to the holder stands in chunks without a proof.
//
// gone.ndjson, in a holder's bundle alone, names what the newest commitment in the file (see
// below) counts and the holder does not have any more: what a newer version took the place
// of, what its council took back or erased, and what the holder refused or deleted at the
// end of its term, which is "not held". A line each, canonical JSON, by rising entry:
//
//	{"by":41,"digest":"3q2-…","entry":10,"fields":["/ward"],"record":"…","version":1,"why":"newer version"}
//	{"by":40,"entry":9,"hash":"wVb1…","record":"…","why":"taken back"}
//
// "entry" counted until "by" came; "hash" is that of what is counted (package agreement), and
// "version", "digest" (of the record's token, as in the log) and "fields" are what it is of,
// where that is kept. The events that took records back are among the entries.
//
// A chunk holds one line for each entry, by rising index within a chunk and
// from one chunk to the next, spelt in this one way, each line ended by a line feed:
//
//	{"entry":17,"token":"eyJhbGci…~WyJ…~"}
//
// The token is a record with the disclosures that were chosen, or an event
// (package record). Chunks are numbered from 0000 without a gap. proofs/NNNN.bin
// is the batch proof (package tlog) of the chunk's indices at the main
// checkpoint, 32 bytes a hash and nothing else; a holder's bundle may lack it.
//
// checkpoints holds the main note, and every other one that a witness cosigned;
// each smaller one has beside it the RFC 6962 consistency proof to the main
// one, 32 bytes a hash, empty for size 0 alone.
//
// An events file holds the events of one other council that concern the log:
// signatures of agreements, receipts. They come in the order of that council's
// log, but without proof of a place in it, a line each:
//
//	{"token":"eyJhbGci…"}
//
// tuf holds what leads from the root of the directory that the council follows
// to the members' files, as they were when the bundle was made. An auditor who
// gives the digest of the root needs no keys from elsewhere: the files under
// directory are then held against it. Without it they prove nothing.
//
// Of an agreement the entries hold the events in which the council committed to what it
// permitted each receiver at a size of the log (package event, agreement-checkpoint;
// package agreement has the spelling of what is counted). They are compared with the
// records in the bundle: so the report says up to which of them it is complete.
//
// # Limits
//
// [MaxChunks] chunks of [MaxChunk] entries and [MaxChunkBytes] bytes; other
// limits are the constants beside them. A reader judges sizes before it
// unpacks, and again while it does.
//
// # Rule for change
//
// Whatever a reader of the format would refuse or would misunderstand takes a new
// format number, and so does a new kind of file or a new member of bundle.json.
// The number's history: 1, the first, in which each record had a signature of its
// own; 2, in which the record key signs the checkpoint; 3, which is one of a holder; 4, which
// is one of a holder that names what has gone, and says in "counts" how many. A bundle without a
// holder is of format 2.
//
// # Verifying
//
// [Verify] runs every check in the list of Check constants and reports on each:
// what was found in order, what was not, and what could not be checked and why.
// Its memory is bounded by [Options.Parallel] chunks and some 300 bytes for each
// entry. [VerifyToken] does what of it can be done for a single token.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stile-exchange/stile/internal/event"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node/name"
)

// The numbers of the formats that this package writes and reads.
const (
	Format     = 2 // of a bundle of a council's own
	FormatHeld = 3 // of a holder's bundle
	FormatGone = 4 // of a holder's bundle that names what has gone
)

// Limits on a bundle. Sizes are in bytes, unpacked.
const (
	MaxChunks     = 4000      // chunks
	MaxChunk      = 1000      // entries in a chunk
	MaxChunkBytes = 64 << 20  // entries/NNNN.ndjson
	MaxFiles      = 10_000    // files in the archive
	MaxEvents     = 128 << 20 // all of events/ together
	MaxMembers    = 500
	MaxStandards  = 64
	MaxAgreements = 64 // versions, of all agreements together
	MaxNotes      = 500
	MaxRecords    = 10_000   // ids in covers
	MaxGone       = 32 << 20 // gone.ndjson
	maxHeader     = 1 << 20  // bundle.json
	maxArchive    = 32 << 20 // one standard, as package standard has it
	maxStandards  = 128 << 20
	maxTUF        = 32 << 20 // all of tuf/ together
)

// ErrBundle is wrapped by every error that is the bundle's own: it is not one,
// it is damaged, or it goes beyond a limit. Nothing can be said of such a file.
var ErrBundle = errors.New("not a readable audit bundle")

// A Header says what a bundle is.
type Header struct {
	Council name.Council // whose log the entries are of
	Holder  name.Council // who was given them and made the bundle; "" when that is Council
	Created time.Time    // UTC, whole seconds
	Covers  Covers
}

// Covers says what the entries of a bundle were chosen by. Fields that are
// empty did not limit the choice.
type Covers struct {
	Agreement name.Agreement    `json:"agreement,omitempty"`
	Standard  name.StandardName `json:"standard,omitempty"`
	Records   []name.Record     `json:"records,omitempty"`
	Since     time.Time         `json:"since,omitzero"` // with Agreement: logged then or later, UTC, whole seconds
	Until     time.Time         `json:"until,omitzero"` // with Agreement: logged before then
	Sample    Sample            `json:"sample,omitzero"`
}

// A Sample says that some records were drawn, by a seed that the auditor chose so
// that the council could not choose what to show. The zero Sample draws nothing.
type Sample struct {
	Size int    `json:"size"`
	Seed string `json:"seed"`
}

// MaxSample and MaxSeed bound a sample, in records, and its seed, in bytes.
const (
	MaxSample = 1_000_000
	MaxSeed   = 200
)

// Draw returns, sorted, the Size log indices whose SHA-256 of the seed, one zero byte
// and the index as eight bytes, big-endian, is smallest; all of them when there are
// no more. It changes nothing in indices, which may hold one twice.
func (s Sample) Draw(indices []uint64) []uint64 {
	type ticket struct {
		sum   [sha256.Size]byte
		index uint64
	}
	distinct := slices.Compact(slices.Sorted(slices.Values(indices)))
	tickets := make([]ticket, len(distinct))
	for i, index := range distinct {
		b := binary.BigEndian.AppendUint64(append([]byte(s.Seed), 0), index)
		tickets[i] = ticket{sha256.Sum256(b), index}
	}
	slices.SortFunc(tickets, func(a, b ticket) int { return bytes.Compare(a.sum[:], b.sum[:]) })
	out := make([]uint64, 0, min(s.Size, len(tickets)))
	for _, t := range tickets[:min(s.Size, len(tickets))] {
		out = append(out, t.index)
	}
	slices.Sort(out)
	return out
}

// Pick returns, in rising order, the places of the Size names whose SHA-256 of the seed,
// one zero byte and the name is smallest; all of them when there are no more. The names
// must differ from each other.
func (s Sample) Pick(names []string) []int {
	sums := make([][sha256.Size]byte, len(names))
	places := make([]int, len(names))
	for i, n := range names {
		sums[i] = sha256.Sum256(append(append([]byte(s.Seed), 0), n...))
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return bytes.Compare(sums[a][:], sums[b][:]) })
	places = places[:min(s.Size, len(places))]
	slices.Sort(places)
	return places
}

// held says in words what of an agreement a holder's bundle covers.
func (c Covers) held() string {
	return "what it has of agreement " + string(c.Agreement) + " and signed for" + c.narrowed()
}

// narrowed says in words what narrows a bundle of an agreement.
func (c Covers) narrowed() (s string) {
	const day = "2 January 2006 15:04 MST"
	if !c.Since.IsZero() {
		s += ", since " + c.Since.Format(day)
	}
	if !c.Until.IsZero() {
		s += ", until " + c.Until.Format(day)
	}
	if c.Sample.Size > 0 {
		s += fmt.Sprintf("; of the records %d, drawn by the seed %q", c.Sample.Size, name.Line(c.Sample.Seed))
	}
	return s
}

// String says in words what is covered.
func (c Covers) String() string {
	s := "entries of the log, chosen by nothing it states"
	switch {
	case c.Agreement != "":
		s = "what went under agreement " + string(c.Agreement) + " and what came back" + c.narrowed()
	case c.Standard != "":
		s = "records of standard " + string(c.Standard)
	case len(c.Records) > 0:
		s = "chosen records"
	}
	if n := len(c.Records); n > 0 {
		s += fmt.Sprintf(" (%d chosen by id)", n)
	}
	return s
}

// Sizes counts what a bundle holds, as bundle.json states it.
type Sizes struct {
	Agreements  int `json:"agreements"` // versions
	Checkpoints int `json:"checkpoints"`
	Entries     int `json:"entries"` // of the council's own log, in chunks
	Events      int `json:"events"`  // by other councils
	Members     int `json:"members"`
	Standards   int `json:"standards"`
	Gone        int `json:"gone,omitempty"` // in a holder's bundle: of what was committed to
}

// document is bundle.json.
type document struct {
	Header
	Checkpoint uint64
	Sizes      Sizes
}

func (d *document) encode() []byte {
	covers := map[string]any{}
	if d.Covers.Agreement != "" {
		covers["agreement"] = string(d.Covers.Agreement)
	}
	if d.Covers.Standard != "" {
		covers["standard"] = string(d.Covers.Standard)
	}
	if len(d.Covers.Records) > 0 {
		ids := make([]any, len(d.Covers.Records))
		for i, r := range d.Covers.Records {
			ids[i] = string(r)
		}
		covers["records"] = ids
	}
	for key, t := range map[string]time.Time{"since": d.Covers.Since, "until": d.Covers.Until} {
		if !t.IsZero() {
			covers[key] = t.UTC().Format(time.RFC3339)
		}
	}
	if d.Covers.Sample.Size > 0 {
		covers["sample"], covers["seed"] = d.Covers.Sample.Size, d.Covers.Sample.Seed
	}
	counts := map[string]any{}
	for _, c := range d.Sizes.fields() {
		counts[c.key] = *c.n
	}
	doc := map[string]any{
		"format": d.format(), "council": string(d.Council), "created": d.Created.UTC().Format(time.RFC3339),
		"checkpoint": d.Checkpoint, "covers": covers, "counts": counts,
	}
	if d.Holder != "" {
		doc["holder"] = string(d.Holder)
	}
	return strictjson.Canonical(doc)
}

func (d *document) format() int {
	switch {
	case d.Sizes.Gone > 0:
		return FormatGone
	case d.Holder != "":
		return FormatHeld
	}
	return Format
}

type sizeField struct {
	key string
	n   *int
}

func (s *Sizes) fields() []sizeField {
	out := []sizeField{
		{"agreements", &s.Agreements}, {"checkpoints", &s.Checkpoints}, {"entries", &s.Entries},
		{"events", &s.Events}, {"members", &s.Members}, {"standards", &s.Standards},
	}
	if s.Gone > 0 {
		out = append(out, sizeField{"gone", &s.Gone})
	}
	return out
}

// decodeDocument reads bundle.json; what it accepts, encode prints again.
func decodeDocument(b []byte) (*document, error) {
	bad := func(format string, a ...any) (*document, error) {
		return nil, fmt.Errorf("%w: bundle.json: %s", ErrBundle, fmt.Sprintf(format, a...))
	}
	v, err := strictjson.Decode(b, strictjson.Limits{Bytes: maxHeader, Depth: 4})
	if err != nil {
		return bad("%v", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return bad("is not an object")
	}
	// The number first: of another format nothing else is known.
	format, ok := event.ParseNumber(m["format"])
	if !ok || format < Format || format > FormatGone {
		return bad("this program reads formats %d to %d, and the file is of another: have it made again, or use a newer stile-audit", Format, FormatGone)
	}
	d := &document{}
	if format == FormatGone {
		d.Sizes.Gone = 1 // it says how many
	}
	council, _ := m["council"].(string)
	if d.Council, err = name.ParseCouncil(council); err != nil {
		return bad("%v", err)
	}
	if h, ok := m["holder"].(string); ok {
		if d.Holder, err = name.ParseCouncil(h); err != nil {
			return bad("%v", err)
		}
		if d.Holder == d.Council {
			return bad("holder is the council itself")
		}
	}
	created, _ := m["created"].(string)
	if d.Created, err = time.Parse(time.RFC3339, created); err != nil {
		return bad("created is not a time")
	}
	if d.Checkpoint, ok = event.ParseNumber(m["checkpoint"]); !ok {
		return bad("checkpoint is not a size")
	}
	counts, _ := m["counts"].(map[string]any)
	for _, c := range d.Sizes.fields() {
		n, ok := event.ParseNumber(counts[c.key])
		if !ok {
			return bad("counts has no number of %s", c.key)
		}
		*c.n = int(n)
	}
	covers, _ := m["covers"].(map[string]any)
	if s, ok := covers["agreement"].(string); ok {
		if d.Covers.Agreement, err = name.ParseAgreement(s); err != nil {
			return bad("%v", err)
		}
	}
	if s, ok := covers["standard"].(string); ok {
		if d.Covers.Standard, err = name.ParseStandardName(s); err != nil {
			return bad("%v", err)
		}
	}
	ids, _ := covers["records"].([]any)
	if len(ids) > MaxRecords {
		return bad("covers more than %d records", MaxRecords)
	}
	for _, id := range ids {
		s, _ := id.(string)
		r, err := name.ParseRecord(s)
		if err != nil {
			return bad("%v", err)
		}
		d.Covers.Records = append(d.Covers.Records, r)
	}
	for key, t := range map[string]*time.Time{"since": &d.Covers.Since, "until": &d.Covers.Until} {
		if s, ok := covers[key].(string); ok {
			if *t, err = time.Parse(time.RFC3339, s); err != nil {
				return bad("%s is not a time", key)
			}
		}
	}
	if n, ok := event.ParseNumber(covers["sample"]); ok && n <= MaxSample {
		seed, _ := covers["seed"].(string)
		if len(seed) > MaxSeed {
			return bad("the seed has more than %d bytes", MaxSeed)
		}
		d.Covers.Sample = Sample{int(n), seed}
	}
	if d.Holder == "" && d.Sizes.Gone > 0 {
		return bad("it is no holder's, and names what a holder has not any more")
	}
	if d.Holder != "" && d.Covers.Agreement == "" {
		return bad("a holder's bundle covers an agreement")
	}
	// Whatever was not understood above is not printed again.
	if !slices.Equal(d.encode(), b) {
		return bad("holds something that format %d does not have, or is not in the one spelling", d.format())
	}
	return d, nil
}
