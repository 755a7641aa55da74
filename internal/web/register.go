package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/internal/ledger"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// A Register is what a council tells the public of its agreements in force and of what
// flowed under them. It names no person.
type Register struct {
	Council name.Council `json:"council"`
	Title   string       `json:"title"`
	GSS     string       `json:"gss,omitempty"`     // its ONS code; "" where it has none
	Role    string       `json:"role,omitempty"`    // in the directory
	Contact string       `json:"contact,omitempty"` // an address that anybody may write to; "" where none is said
	Made    time.Time    `json:"made"`
	LogSize uint64       `json:"log_size"` // entries of the council's log, with LogRoot, that it is of
	LogRoot string       `json:"log_root"`
	Flows   []Flow       `json:"agreements"`
}

// agent is the council of the register as its catalogue names it.
func (r *Register) agent() registers.Agent {
	return registers.Agent{Council: r.Council, Title: r.Title, GSS: r.GSS, Role: r.Role, Contact: r.Contact}
}

// A Flow is one agreement in force.
type Flow struct {
	Agreement   name.Agreement    `json:"agreement"`
	Version     int               `json:"version"`
	Digest      string            `json:"digest"` // SHA-256 of what the parties signed
	From        name.Council      `json:"from"`
	To          []name.Council    `json:"to"`
	Mode        string            `json:"mode"`
	Standard    name.StandardLine `json:"standard"`
	Fields      []name.Field      `json:"fields"`
	Purpose     string            `json:"purpose"`
	Necessity   string            `json:"necessity"`
	DataItems   string            `json:"data_items"`
	Article6    string            `json:"lawful_basis"`
	LegalPower  string            `json:"legal_power"`
	Special     string            `json:"special_condition,omitempty"`
	Criminal    string            `json:"criminal_condition,omitempty"`
	DPIA        string            `json:"dpia"`
	Rights      string            `json:"rights_contact"`
	Retention   string            `json:"retention"`
	Disposal    string            `json:"disposal"`
	Starts      string            `json:"starts"`
	Ends        string            `json:"ends,omitempty"`
	Review      string            `json:"review"`
	Sends       bool              `json:"sends"` // the council of the register is the sender
	Held        int               `json:"records_held"`
	LetOut      int               `json:"let_out_90_days"` // versions of records, or counts; of a sender alone
	LetOutBy    bool              `json:"-"`
	Urgent      *int              `json:"urgent_disclosures_90_days,omitempty"` // that people approved, given or received; where the mode is for those alone
	Withdrawals int               `json:"withdrawals_outstanding"`
	Last        time.Time         `json:"last_exchange,omitzero"`
	Suspended   bool              `json:"suspended,omitempty"`
	Proof       string            `json:"proof,omitempty"` // path of a file that anybody can verify; of a sender alone, whose log has it
}

// Path is where the register shows the flow.
func (f Flow) Path() string { return path("register", f.Agreement) }

// Urgently is how many urgent disclosures there were, or none where the mode is not for
// them.
func (f Flow) Urgently() []int {
	if f.Urgent == nil {
		return nil
	}
	return []int{*f.Urgent}
}

// MakeRegister reads the register of a council from its node.
func MakeRegister(ctx context.Context, o node.Operations, us registers.Agent, now time.Time) (*Register, error) {
	council := us.Council
	status, err := o.Status(ctx)
	if err != nil {
		return nil, err
	}
	r := &Register{Council: council, Title: us.Title, GSS: us.GSS, Role: us.Role, Contact: us.Contact, Made: now.UTC().Truncate(time.Second), LogSize: status.LogSize, LogRoot: status.LogRoot, Flows: []Flow{}}
	all, err := o.Agreements().Flows(ctx)
	if err != nil {
		return nil, err
	}
	drift, err := o.Disclosures().Drift(ctx, node.DriftRequest{Days: 90})
	if err != nil {
		return nil, err
	}
	letOut := map[name.Agreement]node.Drift{}
	for _, d := range drift.Agreements {
		letOut[d.Agreement] = d
	}
	urgent, err := urgentSince(ctx, o, drift.Since)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		suspended := slices.ContainsFunc(a.Partners, func(p node.PartnerReply) bool { return p.Suspended })
		doc, err := agreement.Parse([]byte(a.Document))
		if err != nil {
			return nil, err
		}
		f := Flow{
			Agreement: a.Name, Version: a.Version, Digest: a.Digest, From: a.From, To: a.To, Mode: a.Mode, Standard: a.Standard, Fields: doc.Fields,
			Purpose: doc.Purpose, Necessity: doc.Necessity, DataItems: doc.DataItems, Article6: doc.LawfulBasis.Article6, LegalPower: doc.LawfulBasis.LegalPower,
			Special: doc.LawfulBasis.SpecialCondition, Criminal: doc.LawfulBasis.CriminalCondition, DPIA: doc.DPIA, Rights: doc.RightsContact,
			Retention: string(doc.Retention), Disposal: doc.Disposal, Starts: string(doc.Starts), Ends: string(doc.Ends), Review: string(doc.Review),
			Sends: a.From == council, Suspended: suspended,
		}
		if f.Sends {
			f.Proof = path("register", a.Name) + "/proof.stile"
		}
		for _, p := range a.Partners {
			f.Held += p.Held
			f.Withdrawals += p.Outstanding
			if p.LastAt.After(f.Last) {
				f.Last = p.LastAt.UTC()
			}
		}
		if d, ok := letOut[a.Name]; ok {
			f.LetOut, f.LetOutBy = d.LetOut, true
			if d.Last.After(f.Last) {
				f.Last = d.Last.UTC()
			}
		}
		if doc.Way().Urgent() {
			n := urgent[a.Name]
			f.Urgent = &n
		}
		r.Flows = append(r.Flows, f)
	}
	slices.SortFunc(r.Flows, func(a, b Flow) int { return strings.Compare(string(a.Agreement), string(b.Agreement)) })
	return r, nil
}

// urgentSince counts, by agreement, the urgent disclosures that were approved since.
func urgentSince(ctx context.Context, o node.Operations, since time.Time) (map[name.Agreement]int, error) {
	cases, err := o.Urgent().List(ctx)
	if err != nil {
		return nil, err
	}
	out := map[name.Agreement]int{}
	for _, c := range cases {
		if c.State == ledger.CaseRefused || c.Decided.IsZero() || c.Decided.Before(since) {
			continue
		}
		counted := map[name.Agreement]bool{}
		for _, it := range c.Items {
			if !counted[it.Agreement] {
				counted[it.Agreement] = true
				out[it.Agreement]++
			}
		}
	}
	return out, nil
}

// JSON returns the register as one indented document.
func (r *Register) JSON() []byte {
	b, _ := json.MarshalIndent(r, "", "  ")
	return append(b, '\n')
}

// CSV returns the agreements as a table, one a row.
func (r *Register) CSV() []byte { return flowsCSV(r) }

func flowsCSV(rs ...*Register) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"register_of", "agreement", "version", "from", "to", "mode", "standard", "fields", "purpose", "lawful_basis", "legal_power", "retention", "starts", "ends", "review", "records_held", "let_out_90_days", "urgent_disclosures_90_days", "last_exchange", "suspended", "digest"})
	for _, r := range rs {
		for _, f := range r.Flows {
			last := ""
			if !f.Last.IsZero() {
				last = f.Last.Format(time.RFC3339)
			}
			urgent := ""
			if f.Urgent != nil {
				urgent = strconv.Itoa(*f.Urgent)
			}
			cells := []string{
				string(r.Council), string(f.Agreement), strconv.Itoa(f.Version), string(f.From), strings.Join(texts(f.To), " "), f.Mode, f.Standard.String(), strings.Join(texts(f.Fields), " "),
				f.Purpose, f.Article6, f.LegalPower, f.Retention, f.Starts, f.Ends, f.Review, strconv.Itoa(f.Held), strconv.Itoa(f.LetOut), urgent, last, strconv.FormatBool(f.Suspended), f.Digest,
			}
			for i := range cells {
				cells[i] = safeCell(cells[i])
			}
			w.Write(cells)
		}
	}
	w.Flush()
	return b.Bytes()
}

// DCAT returns the register as a catalogue of data sharings (W3C DCAT 3, JSON-LD), whose
// addresses begin with base.
func (r *Register) DCAT(base string) []byte {
	return catalogueOf(r.agent(), base, base+"/register", func(_ *Register, f Flow) string { return base + f.Path() }, r)
}

// catalogueOf writes a catalogue that a council publishes, whose page is at home and whose
// flows are at what page returns. Each flow is the sender's data: who that is, and where it
// may be asked, is told by its own register, where that is among them.
func catalogueOf(us registers.Agent, base, home string, page func(*Register, Flow) string, rs ...*Register) []byte {
	typed := registers.Typed
	agents := map[name.Council]registers.Agent{}
	for _, r := range rs {
		agents[r.Council] = r.agent()
	}
	agents[us.Council] = us
	var sets []any
	var made time.Time
	for _, r := range rs {
		if r.Made.After(made) {
			made = r.Made
		}
		for _, f := range r.Flows {
			from, ok := agents[f.From]
			if !ok {
				from = registers.Agent{Council: f.From}
			}
			set := map[string]any{
				"@type": "dcat:Dataset", "@id": page(r, f), "dct:identifier": page(r, f), "dct:title": f.DataItems, "dct:description": f.Purpose,
				"dct:publisher": from.Publisher(), "dcat:contactPoint": from.ContactPoint(), "dcat:landingPage": typed("foaf:Document", page(r, f)), "dct:language": registers.English(),
				"dct:conformsTo": typed("dct:Standard", "https://"+f.Standard.String()), "dct:accessRights": registers.Access("NON_PUBLIC"),
				"dct:issued":     map[string]any{"@type": "xsd:date", "@value": f.Starts},
				"dct:provenance": map[string]any{"@type": "dct:ProvenanceStatement", "rdfs:label": f.Article6 + "; " + f.LegalPower},
			}
			registers.File(set, schemas.SubjectOf(string(f.Standard.Name)))
			registers.Cover(set, map[string]string{from.GSS: from.Title})
			sets = append(sets, set)
		}
	}
	// What can be read is the register itself: a set of data beside those that it tells of.
	own := map[string]any{
		"@type": "dcat:Dataset", "@id": base + "/register.json", "dct:identifier": base + "/register.json", "dct:title": "Register of data sharing agreements",
		"dct:description": "Who receives what, why, by what law and for how long, and what really flowed.", "dct:language": registers.English(), "dcat:landingPage": typed("foaf:Document", home),
		"dct:accessRights": registers.Access("PUBLIC"), "dct:publisher": us.Publisher(), "dcat:contactPoint": us.ContactPoint(), "dct:modified": registers.Moment(made),
		"dcat:distribution": []any{
			registers.Distribution("Register of agreements (JSON)", base+"/register.json", "application/json"),
			registers.Distribution("Register of agreements (CSV)", base+"/register.csv", "text/csv"),
		},
	}
	registers.File(own, schemas.Subject{Themes: []string{"GOVE"}, Keywords: []string{"data sharing", "agreements", "transparency"}})
	catalogue := map[string]any{
		"@context": registers.DCAT(), "@type": "dcat:Catalog", "@id": home, "dct:title": "Register of data sharing agreements",
		"dct:description": "Agreements by which councils let each other have records.", "dct:language": registers.English(), "dct:publisher": us.Publisher(), "dcat:contactPoint": us.ContactPoint(),
		"dcat:themeTaxonomy": registers.ThemeTaxonomy(), "foaf:homepage": typed("foaf:Document", home), "dct:modified": registers.Moment(made),
	}
	area := map[string]string{us.GSS: us.Title}
	registers.Cover(own, area)
	registers.Cover(catalogue, area)
	catalogue["dcat:dataset"] = append(sets, own)
	b, _ := json.MarshalIndent(catalogue, "", "  ")
	return append(b, '\n')
}

// A snapshot is a register as it was read, with what is made of it once and asked for often.
type snapshot struct {
	*Register
	lower []string // by flow: what a search looks through

	mu     sync.Mutex                // guards what follows
	proofs map[name.Agreement][]byte // bundles
	files  map[string][]byte         // by path
}

func newSnapshot(r *Register) *snapshot {
	n := &snapshot{Register: r, proofs: map[name.Agreement][]byte{}, files: map[string][]byte{}}
	for _, f := range r.Flows {
		n.lower = append(n.lower, strings.ToLower(strings.Join([]string{string(f.Agreement), f.Purpose, f.DataItems, strings.Join(texts(f.To), " "), f.Standard.String()}, " ")))
	}
	return n
}

// snapshot returns the newest register.
func (q *request) snapshot() (*snapshot, error) {
	now := q.Now()
	return q.register.now(now, func() (*snapshot, error) {
		us, err := q.us()
		if err != nil {
			return nil, err
		}
		r, err := MakeRegister(q.public(), q.Node, us, now)
		if err != nil {
			return nil, err
		}
		return newSnapshot(r), nil
	})
}

// search returns the flows in which a text in lower case stands.
func (n *snapshot) search(text string) (found []Flow) {
	for i, f := range n.Flows {
		if strings.Contains(n.lower[i], text) {
			found = append(found, f)
		}
	}
	return found
}

// file returns a file of the register, made once.
func (n *snapshot) file(path string, make func() []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.files[path] == nil {
		n.files[path] = make()
	}
	return n.files[path]
}

// proof returns a bundle of the signatures under an agreement, without any record.
func (n *snapshot) proof(ctx context.Context, o node.Operations, a name.Agreement) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.ContainsFunc(n.Flows, func(f Flow) bool { return f.Agreement == a && f.Sends }) {
		return nil, &node.Error{Kind: node.NotFound, Message: "no such agreement is in force"}
	}
	if b, ok := n.proofs[a]; ok {
		return b, nil
	}
	b, err := RegisterProof(ctx, o, a, n.Made)
	if err != nil {
		return nil, err
	}
	n.proofs[a] = b
	return b, nil
}

// RegisterProof returns a bundle of the text of an agreement, the signatures under it and
// their place in the log, without any record: what was logged within one second of the
// hour after now is nothing.
func RegisterProof(ctx context.Context, o node.Operations, a name.Agreement, now time.Time) ([]byte, error) {
	at := now.Add(time.Hour)
	b, err := o.Bundle(ctx, node.BundleRequest{Agreement: string(a), Since: at, Until: at.Add(time.Second)})
	return b.Bundle, err
}

// registerPage is how many agreements stand on one page.
const registerPage = 50

func (q *request) registerList() error {
	r, err := q.snapshot()
	if err != nil {
		return err
	}
	search, from := strings.ToLower(q.form("q")), 0
	if n, err := strconv.Atoi(q.form("from")); err == nil && n > 0 {
		from = n
	}
	found := r.search(search)
	from = min(from, len(found))
	upto := min(from+registerPage, len(found))
	held, let := 0, 0
	for _, f := range r.Flows {
		held, let = held+f.Held, let+f.LetOut
	}
	data := map[string]any{"R": r.Register, "Found": found[from:upto], "Of": len(found), "Q": q.form("q"), "From": from, "Upto": upto, "Next": "", "Before": "", "Held": held, "LetOut": let}
	if upto < len(found) {
		data["Next"] = strconv.Itoa(upto)
	}
	if from > 0 {
		data["Before"] = strconv.Itoa(max(0, from-registerPage))
	}
	return q.render("register", page{Title: q.say("register.title"), Public: true, Data: data})
}

func (q *request) flow() (Flow, error) {
	r, err := q.snapshot()
	if err != nil {
		return Flow{}, err
	}
	named := name.Agreement(q.r.PathValue("council") + "/" + q.r.PathValue("name"))
	for _, f := range r.Flows {
		if f.Agreement == named {
			return f, nil
		}
	}
	return Flow{}, &node.Error{Kind: node.NotFound, Message: q.say("register.none-such")}
}

func (q *request) registerOne() error {
	f, err := q.flow()
	if err != nil {
		return err
	}
	return q.render("register-one", page{Title: q.say("register.one", f.From, strings.Join(texts(f.To), ", ")), Public: true, Back: "/register", Data: f})
}

func (q *request) registerProof() error {
	f, err := q.flow()
	if err != nil {
		return err
	}
	r, err := q.snapshot()
	if err != nil {
		return err
	}
	b, err := r.proof(q.public(), q.Node, f.Agreement)
	if err != nil {
		return err
	}
	return q.download("application/zip", strings.ReplaceAll(string(f.Agreement), "/", "-")+".stile", b)
}

func (q *request) registerFile() error {
	r, err := q.snapshot()
	if err != nil {
		return err
	}
	switch q.r.URL.Path {
	case "/register.csv":
		return q.download("text/csv; charset=utf-8", "register.csv", r.file(q.r.URL.Path, r.CSV))
	case "/register.jsonld":
		return q.download("application/ld+json", "register.jsonld", r.DCAT(q.origin()))
	}
	return q.download("application/json", "register.json", r.file(q.r.URL.Path, r.JSON))
}

// origin is the address that the browser called this server by.
func (q *request) origin() string {
	if q.Secure {
		return "https://" + q.r.Host
	}
	return "http://" + q.r.Host
}
