package api

import "time"

// WebhookRequest asks for a webhook.
type WebhookRequest struct {
	Title string   `json:"title"`           // what it is for, in words, of 1 to 100 characters
	URL   string   `json:"url"`             // https, and of the public internet or of a network that web.webhook_networks names
	Types []string `json:"types,omitempty"` // only these types of changes; none: all that the key may see
	After string   `json:"after,omitempty"` // begin after this cursor; "": from now on
	// Key is the id of the key whose scopes say what it may see, and with which it ends. A
	// system's own is taken where a system asks.
	Key string `json:"key,omitempty"`
}

// WebhookReply says how a webhook stands. Its secret is in the reply to whoever asked for it
// to be made, and never again.
type WebhookReply struct {
	ID       string    `json:"id"`
	Title    string    `json:"title"`
	Host     string    `json:"host" doc:"where it goes; the rest of the URL may be a secret"`
	Types    []string  `json:"types,omitempty"`
	Allow    []string  `json:"allow" doc:"scopes of the key that it is there for"`
	Key      string    `json:"key" doc:"id of that key"`
	Made     time.Time `json:"made"`
	State    string    `json:"state" enum:"good,failing,parked"`
	Reason   string    `json:"reason,omitempty" doc:"why the last attempt failed"`
	Attempts int       `json:"attempts,omitempty" doc:"that failed one after another"`
	Next     time.Time `json:"next,omitzero" doc:"when it is tried again"`
	LastAt   time.Time `json:"last_at,omitzero" doc:"when an event was last taken"`
	Sent     int       `json:"sent" doc:"events that were taken"`
	Cursor   string    `json:"cursor" doc:"after what was taken"`
	Secret   string    `json:"secret,omitempty"`
}

// The states of a webhook.
const (
	WebhookGood    = "good"
	WebhookFailing = "failing" // it is tried again
	WebhookParked  = "parked"  // it is not tried again until somebody replays it
)

// WebhookIDRequest names a webhook by its id.
type WebhookIDRequest struct {
	ID string `json:"id"`
}

// WebhookReplayRequest asks for what a webhook missed to be sent.
type WebhookReplayRequest struct {
	ID    string `json:"id"`
	After string `json:"after,omitempty"` // from after this cursor; "": from where it stopped
}

// WebhookTestReply says how a test message was taken.
type WebhookTestReply struct {
	Taken  bool   `json:"taken"`
	Reason string `json:"reason,omitempty"`
}

// DeliveryReply is one attempt to deliver an event to a webhook, of the last 50.
type DeliveryReply struct {
	At      time.Time `json:"at"`
	Message string    `json:"message" doc:"the header webhook-id, the same at every attempt"`
	Event   string    `json:"event" doc:"id of the event, which is the cursor after it"`
	Type    string    `json:"type" doc:"of the event, such as record.put"`
	Attempt int       `json:"attempt" doc:"1 is the first"`
	Taken   bool      `json:"taken"`
	Reason  string    `json:"reason,omitempty"`
}
