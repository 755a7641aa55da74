// Package generate makes up records for demonstrations and benchmarks: the
// same seed and number give the same record, everywhere. No real person,
// address or case is in them; names are put together from lists, and email
// addresses are in a domain that RFC 2606 keeps for examples.
package generate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// PlanningApplication returns the i-th made-up planning application of a seed
// as JSON: 18 fields, some 830 bytes, valid under
// standards.stile.example/planning-application@1. About three in ten have
// district "X"; three fields are personal.
func PlanningApplication(seed uint64, i int) []byte {
	r := source(seed, i)
	town, street := pick(r, towns), pick(r, streets)
	postcode := fmt.Sprintf("%s%d %d%c%c", pick(r, areas), 1+r.IntN(9), r.IntN(10), letter(r), letter(r))
	received := day(2024, r.IntN(1000))
	valid := received.AddDate(0, 0, r.IntN(15))
	name := person(r)
	district := "X"
	if r.IntN(10) >= 3 {
		district = pick(r, []string{"A", "B", "C", "D"})
	}
	a := planningApplication{
		Reference:       fmt.Sprintf("%02d/%07d/PA", received.Year()%100, i),
		Organisation:    "local-authority:NBR",
		District:        district,
		UPRN:            100000000000 + int64(i),
		Address:         fmt.Sprintf("%d %s, %s, %s", 1+r.IntN(220), street, town, postcode),
		Postcode:        postcode,
		Longitude:       json.Number(fmt.Sprintf("%.6f", -2.4+0.3*r.Float64())),
		Latitude:        json.Number(fmt.Sprintf("%.6f", 53.3+0.3*r.Float64())),
		ApplicationType: pick(r, []string{"advertisement", "full", "householder", "listed-building", "outline", "reserved-matters"}),
		Status:          pick(r, []string{"received", "valid", "in-consultation", "decided", "appealed", "withdrawn"}),
		Description: fmt.Sprintf("Proposal for %s, %s; also %s. %s; %s; %s. Drawings numbered %d-100 to %d-%d.",
			pick(r, works), pick(r, extras), pick(r, works), pick(r, materials), pick(r, extras), pick(r, conditions), i, i, 101+r.IntN(30)),
		ReceivedDate:   received.Format(time.DateOnly),
		ValidDate:      valid.Format(time.DateOnly),
		CaseOfficer:    fmt.Sprintf("officer-%d", 1+r.IntN(60)),
		ApplicantName:  name.first + " " + name.last,
		ApplicantEmail: name.email(r),
	}
	if a.Status == "decided" || a.Status == "appealed" {
		decision, on := pick(r, []string{"granted", "granted-with-conditions", "refused"}), valid.AddDate(0, 0, 20+r.IntN(120)).Format(time.DateOnly)
		a.Decision, a.DecisionDate = &decision, &on
	}
	return encode(a)
}

type planningApplication struct {
	Reference       string      `json:"reference"`
	Organisation    string      `json:"organisation"`
	District        string      `json:"district"`
	UPRN            int64       `json:"uprn"`
	Address         string      `json:"address"`
	Postcode        string      `json:"postcode"`
	Longitude       json.Number `json:"longitude"`
	Latitude        json.Number `json:"latitude"`
	ApplicationType string      `json:"applicationType"`
	Status          string      `json:"status"`
	Description     string      `json:"description"`
	ReceivedDate    string      `json:"receivedDate"`
	ValidDate       string      `json:"validDate"`
	Decision        *string     `json:"decision"`
	DecisionDate    *string     `json:"decisionDate"`
	CaseOfficer     string      `json:"caseOfficer"`
	ApplicantName   string      `json:"applicantName"`
	ApplicantEmail  string      `json:"applicantEmail"`
}

// HousingNeed returns the i-th made-up housing-need referral of a seed as
// JSON, valid under standards.stile.example/housing-need@1: a household that
// leaves the district from and has chosen to go to one of the others.
func HousingNeed(seed uint64, i int, from string, to []string) []byte {
	r := source(seed, i)
	name := person(r)
	referred := day(2026, r.IntN(300))
	rec := map[string]any{
		"reference":   fmt.Sprintf("HN/%d/%06d", referred.Year(), i),
		"status":      pick(r, []string{"received", "assessment", "prevention-duty", "relief-duty", "main-duty"}),
		"referral":    pick(r, []string{"duty-to-refer", "duty-to-refer", "local-connection", "agreed"}),
		"referred_on": referred.Format(time.DateOnly),
		"homeless_on": referred.AddDate(0, 0, r.IntN(56)).Format(time.DateOnly),
		"reason":      pick(r, []string{"family-no-longer-able", "friends-no-longer-able", "relationship-ended", "private-tenancy-ended", "domestic-abuse", "other"}),
		"district":    from,
		"moved_to":    pick(r, to),
		"consent":     map[string]any{"given_on": referred.Format(time.DateOnly), "how": pick(r, []string{"in-writing", "by-voice", "online"})},
		"applicant": map[string]any{
			"name":          name.first + " " + name.last,
			"date_of_birth": day(1955, r.IntN(18000)).Format(time.DateOnly),
			"contact": map[string]any{
				"email": name.email(r),
				// Numbers that Ofcom keeps for use in drama.
				"phone": fmt.Sprintf("07700 900%03d", r.IntN(1000)),
			},
		},
	}
	if n := r.IntN(4); n > 0 {
		var others []any
		for range n {
			p := person(r)
			others = append(others, map[string]any{
				"name": p.first + " " + name.last, "date_of_birth": day(2008, r.IntN(6000)).Format(time.DateOnly),
				"relationship": pick(r, []string{"child", "child", "partner", "stepchild"}),
			})
		}
		rec["household"] = others
	}
	if r.IntN(3) == 0 {
		rec["support_needs"] = []any{pick(r, []string{"mental-health", "physical-health-or-disability", "care-leaver", "domestic-abuse"})}
	}
	if r.IntN(40) == 0 {
		rec["criminal"] = map[string]any{"mappa_level": 1 + r.IntN(2)}
	}
	return encode(rec)
}

// source is a stream of numbers of its own for every record, so that a record
// does not hang on those made before it.
func source(seed uint64, i int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i))) }

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return b
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func letter(r *rand.Rand) byte { return "ABDEFGHJLNPQRSTUWXYZ"[r.IntN(20)] }

func day(year, after int) time.Time {
	return time.Date(year, 1, 1+after, 0, 0, 0, 0, time.UTC)
}

type somebody struct{ first, last string }

func person(r *rand.Rand) somebody { return somebody{pick(r, firsts), pick(r, lasts)} }

func (s somebody) email(r *rand.Rand) string {
	return fmt.Sprintf("%s.%s%d@example.org", lower(s.first), lower(s.last), r.IntN(10000))
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

var (
	areas   = []string{"NM", "SY", "QX", "HV", "EV"}
	towns   = []string{"Northmoor", "Saltby Green", "Upper Wetherholm", "Langley Bridge", "Coldstone", "Ferry Hithe", "Marsh End"}
	streets = []string{"Chapel Lane", "Tannery Road", "The Crescent", "Weir Street", "Granary Row", "Heron Way", "Priory Avenue", "Old Market Place", "Windmill Hill", "Orchard Terrace"}
	works   = []string{
		"a single-storey extension to the rear of the dwelling with a pitched roof", "the replacement of timber windows by units of the same pattern",
		"the erection of four dwellings with parking and gardens", "the change of use of a former shop to a community kitchen",
		"a detached outbuilding for use as a home office", "the formation of a vehicular access and turning area",
		"the installation of solar panels on the south-facing roof slope", "a first-floor balcony with an obscured glass screen",
	}
	extras = []string{
		"together with hard and soft landscaping", "with sustainable drainage to an existing ditch", "including the felling of one ash tree",
		"following the grant of outline permission in an earlier year", "with cycle storage and an air source heat pump", "after an appeal that was allowed in part",
	}
	materials = []string{
		"Walls in reclaimed brick under a slate roof", "Facing materials to be agreed in writing", "Timber cladding above a rendered plinth", "Stone to match the adjoining terrace",
	}
	conditions = []string{
		"construction traffic to keep to the route shown", "hours of work limited to weekdays", "a survey of bats to be made before any work to the roof", "levels to be pegged out and checked on site",
	}
	firsts = []string{"Amara", "Bryn", "Chidi", "Dilys", "Ewan", "Farah", "Gwen", "Hamza", "Iris", "Jonas", "Kavita", "Lowri", "Marek", "Nia", "Owen", "Priya", "Rhys", "Sana", "Tomasz", "Una"}
	lasts  = []string{"Abara", "Bright", "Carver", "Doyle", "Ellwood", "Farrow", "Ghosh", "Hale", "Iqbal", "Jarvis", "Kowal", "Lister", "Mistry", "Nowak", "Okafor", "Pryce", "Quayle", "Rahim", "Shaw", "Thorne"}
)
