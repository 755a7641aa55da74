package audit

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/directory"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/node/name"
)

// A Description says what a bundle holds. Nothing in it has been verified.
type Description struct {
	Council    name.Council      `json:"council"`
	Created    time.Time         `json:"created"`
	Covers     Covers            `json:"covers"`
	LogSize    uint64            `json:"log_size"`
	Counts     Sizes             `json:"counts"`
	Bytes      uint64            `json:"bytes"` // unpacked
	Members    []DescribedMember `json:"members"`
	Standards  []DescribedFile   `json:"standards,omitempty"`
	Agreements []DescribedPaper  `json:"agreements,omitempty"`
	Notes      []uint64          `json:"checkpoints"` // sizes, ascending
	Events     []name.Council    `json:"events_of,omitempty"`
	Keys       []Key             `json:"keys"` // of the members in the file
}

// A DescribedMember is a member file of a bundle.
type DescribedMember struct {
	Council name.Council `json:"council"`
	Title   string       `json:"title"`
	Role    string       `json:"role"`
}

// A DescribedFile is a standard in a bundle.
type DescribedFile struct {
	Name      name.Standard `json:"name"`
	Title     string        `json:"title"`
	Integrity string        `json:"integrity"`
}

// A DescribedPaper is an agreement in a bundle.
type DescribedPaper struct {
	Name     name.Agreement    `json:"name"`
	Version  int               `json:"version"`
	From     name.Council      `json:"from"`
	To       []name.Council    `json:"to"`
	Standard name.StandardLine `json:"standard"`
	Purpose  string            `json:"purpose"`
	Starts   agreement.Date    `json:"starts"`
	Ends     agreement.Date    `json:"ends,omitempty"`
	Fields   []name.Field      `json:"fields"`
	Digest   string            `json:"digest"`
}

// Describe reads what a bundle says of itself, without verifying it. Errors are
// those of [Verify], and wrap [ErrBundle] for a file in it that cannot be read.
func Describe(r io.ReaderAt, size int64) (*Description, error) {
	c, err := open(r, size)
	if err != nil {
		return nil, err
	}
	d := &Description{Council: c.doc.Council, Created: c.doc.Created, Covers: c.doc.Covers, LogSize: c.doc.Checkpoint, Counts: c.doc.Sizes}
	bad := func(path string, err error) error { return fmt.Errorf("%w: %s: %w", ErrBundle, path, err) }
	ring := newKeyring(Trust{})
	for _, f := range c.members {
		b, err := readFile(f.file)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		m, err := directory.ParseMember(b)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		d.Members = append(d.Members, DescribedMember{m.Council, m.Title, string(m.Role)})
		d.Keys = append(d.Keys, ring.learn(m)...)
	}
	for _, f := range c.standards {
		b, err := readFile(f.file)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		s, err := standard.LoadArchive(b)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		d.Standards = append(d.Standards, DescribedFile{s.Name(), s.Manifest().Title, s.Integrity()})
	}
	for _, f := range c.agreements {
		b, err := readFile(f.file)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		a, err := agreement.ParseCanonical(b)
		if err != nil {
			return nil, bad(f.file.Name, err)
		}
		d.Agreements = append(d.Agreements, DescribedPaper{a.Name, a.Version, a.From, a.To, a.Standard, a.Purpose, a.Starts, a.Ends, a.Fields, a.Digest().String()})
	}
	for _, f := range c.notes {
		d.Notes = append(d.Notes, f.id)
	}
	for _, f := range c.events {
		d.Events = append(d.Events, f.id)
	}
	for _, f := range c.chunks {
		d.Bytes += f.UncompressedSize64
	}
	return d, nil
}

// WriteText writes the description for a person to read.
func (d *Description) WriteText(w io.Writer) error {
	var out strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&out, format, a...) }
	p("Audit bundle of %s, made %s.\n", d.Council, d.Created.Format("2 January 2006 15:04 MST"))
	p("It says it holds: %s.\nNothing of this has been verified.\n\n", d.Covers)
	p("%s of its log of %s, and %s by others\n", count(d.Counts.Entries, "entry"), number(int(d.LogSize)), count(d.Counts.Events, "event"))
	for _, m := range d.Members {
		p("member      %s  %s (%s)\n", m.Council, name.Line(m.Title), m.Role)
	}
	for _, s := range d.Standards {
		p("standard    %s  %s\n            schema %s\n", s.Name, name.Line(s.Title), s.Integrity)
	}
	for _, a := range d.Agreements {
		ends := "open-ended"
		if a.Ends != "" {
			ends = "until " + string(a.Ends)
		}
		p("agreement   %s version %d, from %s to %s\n            %s, from %s, %s, %s\n            SHA-256 %s\n",
			a.Name, a.Version, a.From, councils(a.To), a.Standard, a.Starts, ends, count(len(a.Fields), "field"), a.Digest)
	}
	for _, n := range d.Notes {
		p("checkpoint  at %s\n", count(int(n), "entry"))
	}
	p("\nKeys that the file gives\n")
	for _, k := range d.Keys {
		p("  %s\n", k)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func clock(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2 January 2006 15:04:05 MST")
}
