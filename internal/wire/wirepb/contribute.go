package wirepb

import (
	"bufio"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/stile-exchange/stile/node/name"
)

// ContributeProtocol is what the messages of contribute.proto are spoken in.
const ContributeProtocol = "/stile/contribute/1"

// ContributeVersion is what this release knows of it, for Contribution.
const ContributeVersion = 1

// Limits of /stile/contribute/1; see contribute.proto.
const (
	MaxContribution       = 4 << 20 // bytes
	MaxContributionAnswer = 1 << 20 // bytes
	MaxPageTokens         = 800     // of a page, and of what is asked about at one time
	MaxListed             = 400     // records of an answer
	maxStandards          = 256
	maxNote               = 64 << 10
)

// ReadContribution reads a question or page. Errors are as for [Reader.Read].
func ReadContribution(r *bufio.Reader) (*Contribution, error) {
	c := new(Contribution)
	return c, readMessage(r, MaxContribution, c)
}

// WriteContribution writes a question or page and flushes. One that would be
// refused is not written; the error wraps [ErrFrame].
func WriteContribution(w *bufio.Writer, c *Contribution) error {
	return writeMessage(w, MaxContribution, c)
}

// ReadContributionAnswer reads the answer to a question, which it must fit. Errors
// are as for [Reader.Read].
func ReadContributionAnswer(r *bufio.Reader, to *Contribution) (*ContributionAnswer, error) {
	a := new(ContributionAnswer)
	if err := readMessage(r, MaxContributionAnswer, a); err != nil {
		return nil, err
	}
	return a, a.answers(to)
}

// WriteContributionAnswer writes an answer; see [WriteContribution].
func WriteContributionAnswer(w *bufio.Writer, a *ContributionAnswer) error {
	return writeMessage(w, MaxContributionAnswer, a)
}

// many reports whether some list in a message, one level deep, has more elements
// than any may have. It is asked before a message is read: an element costs memory
// however short it is.
func many(b []byte) bool {
	for len(b) > 0 {
		_, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return false
		}
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			inner, _ := protowire.ConsumeBytes(b[tag:])
			n := map[protowire.Number]int{}
			for len(inner) > 0 {
				number, _, size := protowire.ConsumeField(inner)
				if size < 0 {
					break
				}
				if n[number]++; n[number] > MaxPageTokens {
					return true
				}
				inner = inner[size:]
			}
		}
		b = b[size:]
	}
	return false
}

func (*Contribution) bounded(body []byte) bool       { return !many(body) }
func (*ContributionAnswer) bounded(body []byte) bool { return !many(body) }

func (c *Contribution) check() error {
	if c.GetVersion() == 0 {
		return bad("contribution: no version")
	}
	if _, err := name.ParseCouncil(c.GetFootprint()); err != nil {
		return bad("contribution: no name of a footprint")
	}
	if _, err := name.ParseAgreement(c.GetAgreement()); err != nil {
		return bad("contribution: no name of an agreement")
	}
	if n := len(c.GetAgreementDigest()); n != 32 {
		return bad("contribution: agreement digest of %d bytes, want 32", n)
	}
	count := func(n int) error {
		if n == 0 || n > MaxPageTokens {
			return bad("contribution: a list of %d, want 1 to %d", n, MaxPageTokens)
		}
		return nil
	}
	switch k := c.GetAsk().(type) {
	case *Contribution_State_, *Contribution_Records_:
		return nil
	case *Contribution_Holdings_:
		if err := records(k.Holdings.GetRecords()); err != nil {
			return err
		}
		return count(len(k.Holdings.GetRecords()))
	case *Contribution_Page_:
		if k.Page.GetNext() <= k.Page.GetSince() {
			return bad("contribution: the sequence number does not grow")
		}
		if slices.ContainsFunc(k.Page.GetTokens(), func(t []byte) bool { return len(t) == 0 }) {
			return bad("contribution: an empty token")
		}
		if len(k.Page.GetSeal()) != 64 || len(k.Page.GetKey()) != 32 {
			return bad("contribution: a page without a seal")
		}
		return count(len(k.Page.GetTokens()))
	case *Contribution_Proof_:
		if !ascending(k.Proof.GetIndexes()) {
			return bad("contribution: indexes do not ascend")
		}
		return count(len(k.Proof.GetIndexes()))
	}
	return bad("contribution: asks nothing, or what is not known")
}

func (a *ContributionAnswer) check() error {
	if len(a.GetCode()) > MaxText || len(a.GetReason()) > MaxText {
		return bad("answer: text longer than %d bytes", MaxText)
	}
	switch k := a.GetAnswer().(type) {
	case nil:
		if a.GetCode() == "" {
			return bad("answer: neither an answer nor a refusal")
		}
		return nil
	case *ContributionAnswer_State_:
		if len(k.State.GetStandards()) > maxStandards {
			return bad("answer: more than %d standards", maxStandards)
		}
		for _, s := range k.State.GetStandards() {
			if _, err := name.ParseStandard(s); err != nil {
				return bad("answer: no name of a standard")
			}
		}
		if k.State.GetHeld() > 1<<40 {
			return bad("answer: more records than there can be")
		}
	case *ContributionAnswer_Holdings_:
		for _, h := range k.Holdings.GetList() {
			if len(h.GetEntry()) != 32 || len(h.GetDigest()) != 32 {
				return bad("answer: a hash that is not 32 bytes long")
			}
		}
	case *ContributionAnswer_Records_:
		if len(k.Records.GetList()) > MaxListed {
			return bad("answer: more than %d records", MaxListed)
		}
		if err := records(k.Records.GetList()); err != nil {
			return err
		}
	case *ContributionAnswer_Outcomes_:
		for _, o := range k.Outcomes.GetList() {
			if o.GetCode() < ContributionAnswer_Outcome_ACCEPTED || o.GetCode() > ContributionAnswer_Outcome_AGAIN {
				return bad("answer: an outcome that is not known")
			}
			if len(o.GetRule()) > MaxText || (o.GetRule() != "") != (o.GetCode() == ContributionAnswer_Outcome_REFUSED) {
				return bad("answer: a rule of what was not refused, none, or one longer than %d bytes", MaxText)
			}
		}
	case *ContributionAnswer_Proof_:
		if len(k.Proof.GetCheckpoint()) > maxNote {
			return bad("answer: checkpoint longer than %d bytes", maxNote)
		}
		if len(k.Proof.GetInclusion())%32 != 0 {
			return bad("answer: proof is not a whole number of hashes")
		}
	}
	if a.GetCode() != "" {
		return bad("answer: an answer and a refusal")
	}
	return nil
}

// answers reports what keeps a from being an answer to q.
func (a *ContributionAnswer) answers(q *Contribution) error {
	fits := a.GetCode() != ""
	switch k := a.GetAnswer().(type) {
	case *ContributionAnswer_State_:
		fits = q.GetState() != nil
	case *ContributionAnswer_Records_:
		fits = q.GetRecords() != nil
	case *ContributionAnswer_Proof_:
		fits = q.GetProof() != nil
	case *ContributionAnswer_Outcomes_:
		fits = q.GetPage() != nil && len(k.Outcomes.GetList()) == len(q.GetPage().GetTokens())
	case *ContributionAnswer_Holdings_:
		asked := q.GetHoldings().GetRecords()
		fits = q.GetHoldings() != nil
		for _, h := range k.Holdings.GetList() {
			i := slices.Index(asked, h.GetRecord())
			if i < 0 {
				return bad("answer: a record that was not asked about")
			}
			asked = asked[i+1:]
		}
	}
	if !fits {
		return bad("answer: to another question")
	}
	return nil
}

func records(list []string) error {
	for _, r := range list {
		if _, err := name.ParseRecord(r); err != nil {
			return bad("no id of a record")
		}
	}
	return nil
}

func ascending(list []uint64) bool {
	for i, x := range list {
		if x >= 1<<62 || i > 0 && x <= list[i-1] {
			return false
		}
	}
	return true
}
