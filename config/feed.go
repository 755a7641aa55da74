package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Feed is a register of the council's own that the running node takes in by
// itself, from files that are put into a folder or by asking a database.
type Feed struct {
	// Name tells the feed from others: letters of a to z, digits and hyphens, at
	// most 64. It is also the source under which the node remembers what the feed
	// offered. Needed.
	Name string `yaml:"name"`

	// Standard of the records, such as standards.example/housing-need@1. Needed
	// unless Mapping or Translation says it.
	Standard string `yaml:"standard"`

	// Tool is the reference of the digital tool, among the council's records of
	// digital-tool, that the feed's records come from. Default none. With it stile
	// standard charter counts what is held of that product. A node of an older Stile
	// refuses a file that has this key.
	Tool string `yaml:"tool"`

	// Mapping is the file that says what the columns mean. Needed for a database
	// and for files other than JSON.
	Mapping string `yaml:"mapping"`

	// Translation is what the files, JSON or NDJSON, are in instead of the standard:
	// ocds, open-referral-uk, or the file of a translation. Default none. A node of an
	// older Stile refuses a file that has this key.
	Translation string `yaml:"translation"`

	// Set is what files in that form do not say, each a place in the record and its text,
	// such as /council=E07000998. Default none.
	Set []string `yaml:"set"`

	// Folder is where files are put: into in/ below it. A file is taken once it
	// has not changed for five seconds, unless its name begins with a full stop or
	// ends in .tmp, .part, .partial, .filepart or .crdownload, and moves to done/
	// or failed/ with a report beside it. Either Folder or Database is needed.
	Folder string `yaml:"folder"`

	// KeepDays is after how many days a file in done/ or failed/ is deleted.
	// Default 30, at most 3660; 0 deletes none.
	KeepDays int `yaml:"keep_days"`

	// Database is the kind of database that is asked: postgres or sqlserver.
	Database string `yaml:"database"`

	// ConnectionFile holds the connection string in its first line, such as
	// postgres://reader:secret@db.example/planning. The file must be readable by
	// its owner only. Needed for a database; give its user no right but to read.
	ConnectionFile string `yaml:"connection_file"`

	// Query is the SQL that returns the rows, one a record. With Cursor it has one
	// parameter ($1, or @p1 in SQL Server) and must order by that column.
	Query string `yaml:"query"`

	// Cursor is the column of the query whose value in the last row is given to the
	// next run, as text. Default none: each run asks for everything.
	Cursor string `yaml:"cursor"`

	// CursorFrom is what the first run is given. Needed with Cursor.
	CursorFrom string `yaml:"cursor_from"`

	// Every is how often a database is asked, such as 15m or 24h. Default 24h, from
	// 1m to 744h.
	Every string `yaml:"every"`

	// Complete says that each file, or each answer, is the whole register: records
	// of the feed that are not in it are deleted.
	Complete bool `yaml:"complete"`

	// MostDeleted is how many records may be deleted at once: a number, or a
	// percentage of the feed's records. When more would be, nothing is deleted and
	// the feed says so. Default 10%.
	MostDeleted string `yaml:"most_deleted"`
}

func (f *Feed) settle() {
	if f.Every == "" {
		f.Every = "24h"
	}
	if f.MostDeleted == "" {
		f.MostDeleted = "10%"
	}
}

// Period returns Every as a duration.
func (f *Feed) Period() time.Duration {
	d, err := time.ParseDuration(f.Every)
	if err != nil {
		return 24 * time.Hour
	}
	return d
}

// UnmarshalYAML gives a feed its defaults before it is read.
func (f *Feed) UnmarshalYAML(decode func(any) error) error {
	type plain Feed
	p := plain{KeepDays: 30}
	if err := decode(&p); err != nil {
		return err
	}
	*f = Feed(p)
	return nil
}

var (
	feedName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	feedShare = regexp.MustCompile(`^(\d{1,9}|\d{1,2}%|100%)$`)
)

// check returns what is wrong with a feed, each as a key and a text.
func (f *Feed) check(bad func(key, format string, args ...any)) {
	if !feedName.MatchString(f.Name) {
		bad("name", "want letters of a to z, digits and hyphens, at most 64")
	}
	if f.Standard == "" && f.Mapping == "" && f.Translation == "" {
		bad("standard", "must be given, or a mapping or a translation that says it")
	}
	if f.Translation != "" && f.Mapping != "" {
		bad("translation", "want a mapping, of columns, or a translation, of JSON in another form, not both")
	}
	if len(f.Set) > 0 && f.Translation == "" {
		bad("set", "goes with translation: what a file in that form does not say")
	}
	for _, set := range f.Set {
		if place, text, _ := strings.Cut(set, "="); !strings.HasPrefix(place, "/") || text == "" {
			bad("set", "want places and texts, such as /council=E07000998")
		}
	}
	if f.KeepDays < 0 || f.KeepDays > 3660 {
		bad("keep_days", "%s is out of range: want 0 to 3660", strconv.Itoa(f.KeepDays))
	}
	if f.MostDeleted != "" && !feedShare.MatchString(f.MostDeleted) {
		bad("most_deleted", "want a number such as 50, or a percentage such as 10%%")
	}
	switch {
	case f.Folder == "" && f.Database == "":
		bad("folder", "want a folder, or a database")
	case f.Folder != "" && f.Database != "":
		bad("database", "want a folder or a database, not both")
	case f.Folder != "":
		for _, x := range [][2]string{{"connection_file", f.ConnectionFile}, {"query", f.Query}, {"cursor", f.Cursor}, {"cursor_from", f.CursorFrom}, {"every", f.Every}} {
			if x[1] != "" {
				bad(x[0], "is for a database")
			}
		}
	default:
		f.checkDatabase(bad)
	}
}

func (f *Feed) checkDatabase(bad func(key, format string, args ...any)) {
	if !slices.Contains([]string{"postgres", "sqlserver"}, f.Database) {
		bad("database", "want one of postgres, sqlserver")
	}
	for _, x := range [][2]string{{"connection_file", f.ConnectionFile}, {"query", strings.TrimSpace(f.Query)}, {"mapping", f.Mapping}} {
		if x[1] == "" {
			bad(x[0], "must be given for a database")
		}
	}
	if f.Translation != "" {
		bad("translation", "is for files: what a database answers are columns")
	}
	if (f.Cursor == "") != (f.CursorFrom == "") {
		bad("cursor_from", "goes with cursor: what the first run is given")
	}
	if f.Cursor != "" && f.Complete {
		bad("complete", "an answer from a cursor on is never the whole register: want one or the other")
	}
	if d, err := time.ParseDuration(f.Every); f.Every != "" && (err != nil || d < time.Minute || d > 744*time.Hour) {
		bad("every", "want such as 15m or 24h, from 1m to 744h")
	}
}

// String names the feed as messages do.
func (f *Feed) String() string { return fmt.Sprintf("feed %s", f.Name) }
