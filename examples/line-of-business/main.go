// Command line-of-business is a small housing system of a council, to show how one talks
// to a Stile node: it pushes its cases, reads back what became of them, and keeps itself
// up to date by webhooks about what other councils send. It keeps everything in memory;
// a real one has its database where this has maps.
//
//	line-of-business -node http://127.0.0.1:7080 -key-file key -listen 127.0.0.1:9000 -hook-secret-file secret
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/node/client"
	"github.com/stile-exchange/stile/node/name"
)

// housing is the standard that the system's cases are in.
const housing = "standards.stile.example/housing-need@1"

// A Case is a case as this system keeps it.
type Case struct {
	Reference string
	Record    json.RawMessage // in the standard
	ID        name.Record     // at the node; "" until it was pushed
	Version   uint64
}

// A System is the housing system.
type System struct {
	Node   *client.Client
	Secret []byte // of the webhook
	Now    func() time.Time

	mu    sync.Mutex
	cases map[string]*Case             // our own, by reference
	seen  map[string]bool              // messages that were taken
	told  map[name.Record]string       // what was last told of each record
	other map[name.Record]name.Council // records that others sent, and who
}

// New returns a system without cases.
func New(node *client.Client, secret []byte, now func() time.Time) *System {
	return &System{Node: node, Secret: secret, Now: now, cases: map[string]*Case{}, seen: map[string]bool{}, told: map[name.Record]string{}, other: map[name.Record]name.Council{}}
}

// Save keeps a case and pushes it to the node: a new one only if nobody has put it
// there, a changed one only over the version that this system knows.
func (s *System) Save(ctx context.Context, reference string, record json.RawMessage) error {
	s.mu.Lock()
	c := s.cases[reference]
	if c == nil {
		c = &Case{Reference: reference}
		s.cases[reference] = c
	}
	c.Record = record
	when := client.IfNew()
	if c.Version > 0 {
		when = client.IfVersion(c.Version)
	}
	s.mu.Unlock()
	r, err := s.Node.Put(ctx, housing, reference, record, when)
	if client.IsStatus(err, http.StatusPreconditionFailed) {
		return fmt.Errorf("case %s was changed elsewhere: look at it again", reference)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ID, c.Version = r.Record, r.Version
	return nil
}

// Check reads a case back and reports whether the node has it as it is here.
func (s *System) Check(ctx context.Context, reference string) (bool, error) {
	s.mu.Lock()
	c := s.cases[reference]
	s.mu.Unlock()
	if c == nil {
		return false, errors.New("no such case")
	}
	r, err := s.Node.RecordByKey(ctx, housing, reference)
	if err != nil {
		return false, err
	}
	var here, there any
	if err := errors.Join(json.Unmarshal(c.Record, &here), json.Unmarshal(r.Body, &there)); err != nil {
		return false, err
	}
	return fmt.Sprint(here) == fmt.Sprint(there), nil
}

// Told returns what the node last told of a record; "" for nothing.
func (s *System) Told(id name.Record) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told[id]
}

// ServeHTTP takes webhooks. It checks the signature, takes each message once, and
// answers quickly: what an event says is looked up when it is needed.
func (s *System) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "want a webhook", http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	if !s.genuine(id, r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body) {
		http.Error(w, "the signature is not the node's", http.StatusUnauthorized)
		return
	}
	var e client.Event
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[id] {
		return // it was sent again, since the answer was lost
	}
	s.seen[id] = true
	for _, rec := range e.Data.Records {
		s.told[rec.Record] = e.Data.Type
		switch e.Data.Type {
		case "received.put":
			s.other[rec.Record] = e.Data.Council
		case "received.withdrawn":
			delete(s.other, rec.Record) // and whatever was copied from it
		}
	}
}

// genuine checks a message as Standard Webhooks say: HMAC-SHA256 of id, time and body.
func (s *System) genuine(id, timestamp, signatures string, body []byte) bool {
	sec, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return false
	}
	if d := s.Now().Sub(time.Unix(sec, 0)); d > 5*time.Minute || d < -5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, s.Secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for sig := range strings.SplitSeq(signatures, " ") {
		if hmac.Equal([]byte(sig), []byte(want)) {
			return true
		}
	}
	return false
}

// ParseSecret reads a secret as the node shows it: whsec_ and base64.
func ParseSecret(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
}

func main() {
	node := flag.String("node", "http://127.0.0.1:7080", "where the node is")
	keyFile := flag.String("key-file", "key", "file with the key of this system")
	secretFile := flag.String("hook-secret-file", "secret", "file with the webhook's secret")
	listen := flag.String("listen", "127.0.0.1:9000", "where webhooks come in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	key, err := os.ReadFile(*keyFile)
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(*secretFile)
	if err != nil {
		log.Fatal(err)
	}
	secret, err := ParseSecret(string(text))
	if err != nil {
		log.Fatal("the webhook's secret is none")
	}
	c, err := client.New(*node, strings.TrimSpace(string(key)), nil)
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Addr: *listen, Handler: New(c, secret, time.Now), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	log.Printf("webhooks come in at http://%s/", *listen)
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
