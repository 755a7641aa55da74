package api

import "time"

// ReadRequest says that a person is about to be shown personal data, and what for.
type ReadRequest struct {
	Person  string `json:"person"` // name or pseudonym
	What    string `json:"what"`   // such as record, records or report
	Of      string `json:"of,omitempty"`
	Purpose string `json:"purpose"`
}

// ReadsRequest asks who was shown personal data; of one thing where Of is given.
type ReadsRequest struct {
	Of    string `json:"of,omitempty"`
	Limit int    `json:"limit,omitempty"` // the newest so many; default 100, at most 1000
}

// ReadReply is that a person was shown personal data.
type ReadReply struct {
	At      time.Time `json:"at"`
	Entry   uint64    `json:"entry"` // of our log, that says so
	Person  string    `json:"person"`
	What    string    `json:"what"`
	Of      string    `json:"of,omitempty"`
	Purpose string    `json:"purpose"`
}
