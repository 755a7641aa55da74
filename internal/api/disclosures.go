package api

import (
	"context"
	"time"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// A disclosuresCall picks disclosures.
type disclosuresCall struct {
	Record    string    `query:"record" maxLength:"26" doc:"the record's id"`
	To        string    `query:"to" maxLength:"255" doc:"the council that was let have it"`
	Agreement string    `query:"agreement" maxLength:"300"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
	Cursor    string    `query:"cursor" maxLength:"200"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// A subjectCall asks for a report about a person. It is a POST so that the number stands
// in no log of addresses.
type subjectCall struct {
	Body struct {
		Person string `json:"person" maxLength:"200" minLength:"1" doc:"a number that names the person, as the records have it"`
		Scheme string `json:"scheme,omitempty" maxLength:"200" doc:"whose number it is; needed where two are meant"`

		AskPartners bool   `json:"ask_partners,omitempty" doc:"ask partners what they hold of these records, and to whom they gave them"`
		Because     string `json:"because,omitempty" maxLength:"300" doc:"why partners are asked; both logs hold it"`
	}
}

// A whyCall asks why a partner has or lacks a record.
type whyCall struct {
	Partner string `query:"partner" required:"true" maxLength:"255"`
	Record  string `query:"record" required:"true" maxLength:"26" doc:"the record's id"`
	Held    bool   `query:"held" doc:"of a record that the partner sent: why it is held here"`
}

// A seenCall asks what a partner had of a record.
type seenCall struct {
	Partner string    `query:"partner" required:"true" maxLength:"255"`
	Record  string    `query:"record" required:"true" maxLength:"26" doc:"the record's id"`
	At      time.Time `query:"at" doc:"what was logged before it counts; absent: now"`
}

// A driftCall says how far back is looked.
type driftCall struct {
	Days int `query:"days" minimum:"1" maximum:"3660" default:"90" doc:"that are looked at, and as many before them"`
}

// A refusedCall picks what was refused.
type refusedCall struct {
	Council string    `query:"council" maxLength:"255" doc:"only what it asked for, or sent"`
	Since   time.Time `query:"since"`
	Limit   int       `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"the newest so many"`
}

func (a *API) disclosures() {
	get(a, "disclosures", "list-disclosures", "/v1/disclosures", "List what was let out, the oldest first", func(ctx context.Context, in *disclosuresCall) (page[node.Disclosure], error) {
		r, err := a.n.Disclosures().List(ctx, node.DisclosureRequest{
			Record: in.Record, To: name.Council(in.To), Agreement: name.Agreement(in.Agreement), Since: in.Since, Until: in.Until, Cursor: node.Cursor(in.Cursor), Limit: in.Limit,
		})
		return pageOf(r.Disclosures, r.Cursor), err
	})
	get(a, "disclosures", "seen", "/v1/disclosures/seen", "What a partner had of a record of ours at an instant, by our log and by what the partner signed", func(ctx context.Context, in *seenCall) (node.SeenReply, error) {
		if in.At.IsZero() {
			in.At = a.o.Now()
		}
		return a.n.Disclosures().Seen(ctx, node.SeenRequest{Partner: in.Partner, Record: in.Record, At: in.At})
	})
	get(a, "disclosures", "drift", "/v1/disclosures/drift", "Where the exchange is no longer what the agreements say", func(ctx context.Context, in *driftCall) (node.DriftReply, error) {
		return a.n.Disclosures().Drift(ctx, node.DriftRequest{Days: in.Days})
	})
	get(a, "disclosures", "refused", "/v1/disclosures/refused", "What was asked for and refused, what was sent and not taken, and questions answered with nothing", func(ctx context.Context, in *refusedCall) (page[node.RefusedReply], error) {
		out, err := a.n.Disclosures().Refused(ctx, node.RefusedRequest{Council: name.Council(in.Council), Since: in.Since, Limit: in.Limit})
		return pageOf(out, ""), err
	})
	get(a, "disclosures", "why", "/v1/why", "Why a partner has or lacks a record, rule by rule", func(ctx context.Context, in *whyCall) (node.WhyReply, error) {
		return a.n.Why(ctx, node.WhyRequest{From: in.Held, Partner: in.Partner, Record: in.Record})
	})
	post(a, "disclosures", "subject-report", "/v1/subject-reports", "Everything that is held about one person, where it came from, and who was let have it", func(ctx context.Context, in *subjectCall) (node.SubjectReply, error) {
		return a.n.Disclosures().Subject(ctx, node.SubjectRequest{Person: in.Body.Person, Scheme: in.Body.Scheme, AskPartners: in.Body.AskPartners, Because: in.Body.Because})
	})
}

// A questionsCall lists questions.
type questionsCall struct {
	Agreement string `query:"agreement" maxLength:"300" doc:"only of this one"`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"the newest so many"`
}

// An askCall asks a partner for records by one value. It is a POST so that the value stands
// in no log of addresses.
type askCall struct {
	Body struct {
		Agreement string `json:"agreement" minLength:"1" maxLength:"300" doc:"of mode lookup or private-lookup"`
		Field     string `json:"field" minLength:"1" maxLength:"300" doc:"one of the agreement's match fields"`
		Value     string `json:"value" minLength:"1" maxLength:"1000"`
		Because   string `json:"because" minLength:"1" maxLength:"1000" doc:"why; both councils log it, so that it must name nobody"`
		Case      string `json:"case,omitempty" maxLength:"100" doc:"a reference; private-lookup needs one"`
		Show      bool   `json:"show,omitempty" doc:"of private-lookup: where there is a record, be shown it, which says about whom was asked"`
		Question  string `json:"question,omitempty" maxLength:"64" doc:"the id of one whose answer did not arrive"`
	}
}

// A countCall asks a partner for counts.
type countCall struct {
	Body struct {
		Agreement string   `json:"agreement" minLength:"1" maxLength:"300" doc:"of mode aggregate"`
		By        []string `json:"by,omitempty" maxItems:"20" doc:"fields of the agreement; none counts all together"`
		Sum       []string `json:"sum,omitempty" maxItems:"20" doc:"fields whose numbers are summed in each group"`
		Because   string   `json:"because" minLength:"1" maxLength:"1000" doc:"why; both councils log it"`
		Question  string   `json:"question,omitempty" maxLength:"64" doc:"the id of one whose answer did not arrive"`
	}
}

// askable asks whether a key is for what an agreement lets us ask for: records that its
// sender keeps.
func (a *API) askable(ctx context.Context, op, agreement string) error {
	if err := may(ctx, op, access.On{AnySide: true}); err != nil {
		return err
	}
	r, err := a.n.Agreements().Show(access.With(ctx, nil), node.AgreementRequest{Name: agreement})
	if err != nil {
		return err
	}
	return may(ctx, op, access.On{Standard: r.Standard.String(), From: r.From})
}

func (a *API) questions() {
	get(a, "questions", "list-questions", "/v1/questions", "List questions that were asked or answered, without the value that was asked by", func(ctx context.Context, in *questionsCall) (page[node.QuestionReply], error) {
		out, err := a.n.Questions().List(ctx, node.LookupListRequest{Agreement: in.Agreement, Limit: in.Limit})
		return pageOf(out, ""), err
	})
	post(a, "questions", "ask", "/v1/questions", "Ask a partner for records by one value, of which nobody keeps a copy", func(ctx context.Context, in *askCall) (node.LookupReply, error) {
		b := in.Body
		if err := a.askable(ctx, "questions/ask", b.Agreement); err != nil {
			return node.LookupReply{}, err
		}
		return a.n.Questions().Ask(ctx, node.LookupRequest{Agreement: b.Agreement, Field: b.Field, Value: b.Value, Because: b.Because, Case: b.Case, Show: b.Show, Question: b.Question})
	})
	post(a, "questions", "count", "/v1/counts", "Ask a partner for counts without small groups", func(ctx context.Context, in *countCall) (node.AggregateReply, error) {
		b := in.Body
		if err := a.askable(ctx, "questions/count", b.Agreement); err != nil {
			return node.AggregateReply{}, err
		}
		return a.n.Questions().Count(ctx, node.AggregateRequest{Agreement: b.Agreement, By: b.By, Sum: b.Sum, Because: b.Because, Question: b.Question})
	})
}
