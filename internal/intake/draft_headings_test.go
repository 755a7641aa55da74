package intake_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/intake"
	"github.com/stile-exchange/stile/internal/standard"
	"github.com/stile-exchange/stile/schemas"
)

// drafted looks at a file and returns what of a standard its headings are drafted to, and the
// words that are taken to mean others.
func drafted(t *testing.T, dir, file string) (from map[string]string, values map[string]intake.Values) {
	t.Helper()
	std, err := standard.Load(schemas.FS(dir))
	if err != nil {
		t.Fatal(err)
	}
	s, err := intake.Look(strings.NewReader(file), "")
	if err != nil {
		t.Fatal(err)
	}
	draft := s.Draft(std)
	m, err := intake.ParseMapping(draft)
	if err != nil {
		t.Fatalf("%v\n%s", err, draft)
	}
	from, values = map[string]string{}, map[string]intake.Values{}
	for _, c := range m.Columns {
		from[string(c.To)], values[string(c.To)] = strings.Join(c.From, "+"), c.Values
	}
	return from, values
}

// The headings that published forms of data have are found in a file that is made up under
// them, though they are like no name of the standard's own.
func TestDraftOfPublishedForms(t *testing.T) {
	for _, g := range []struct {
		form, dir, file string
		want            map[string]string
	}{
		{
			"spending schema of the Local Government Association", "spend/1.0.0",
			"OrganisationLabel,OrganisationURI,OrganisationalUnit,ServiceCategoryLabel,ServiceCategoryURI,BeneficiaryName,BeneficiaryOtherID,CompaniesHouseRegistrationNumber,CharityCommissionNumber,VCSEGrant,PaymentDate,TransactionNumber,Amount,IrrecoverableVATAmount,Purpose,CategoryInternalName,CPVLabel,CPVCode,ProclassLabel,ProclassCode,CardTransaction,ContractRef\n" +
				"Northmoor,http://example.org/northmoor,Parks,Green spaces,,Acre Ltd,77,01234567,,no,03/04/2026,T-1001,1250.50,0.00,Hedges cut,Grounds,,,,,no,C-7\n",
			map[string]string{"/transaction": "TransactionNumber", "/paid_on": "PaymentDate", "/amount": "Amount", "/irrecoverable_vat": "IrrecoverableVATAmount", "/department": "OrganisationalUnit", "/payee": "BeneficiaryName", "/company": "CompaniesHouseRegistrationNumber", "/purpose": "Purpose"},
		},
		{
			"premises licences of the local open data incentive scheme", "premises-licence/1.0.0",
			"ExtractDate,OrganisationLabel,CaseReference,CaseDate,ServiceTypeLabel,PremisesName,LocationText,Postcode,OpeningHours,StatusLabel,LicenceEndDate,LicenceHolder,LicenceHolderAddress,DesignatedPremisesSupervisor,SupervisorLicenceNo,DecisionDate,UPRN\n" +
				"01/11/2026,Northmoor,PL/0001,02/02/2020,Premises licence,The Heron,1 High Street,AB1 2CD,10:00-23:00,in-force,,Acre Ltd,2 High Street,Wren Adeyemi,PERS/1,01/02/2020,100012345678\n",
			map[string]string{"/number": "CaseReference", "/kind": "ServiceTypeLabel", "/trading_name": "PremisesName", "/address": "LocationText", "/holder/name": "LicenceHolder", "/supervisor/name": "DesignatedPremisesSupervisor", "/supervisor/personal_licence": "SupervisorLicenceNo", "/granted_on": "DecisionDate"},
		},
		{
			"looked-after children return SSDA903", "looked-after-placement/1.0.0",
			"CHILD,DECOM,RNE,LS,CIN,PLACE,PLACE_PROVIDER,DEC,REC,REASON_PLACE_CHANGE,HOME_POST,PL_POST,URN\n" +
				"689661,11/12/2018,P,V4,N4,K2,PR4,18/07/2019,E15,,AB1 2CD,CD3 4EF,6834366\n",
			map[string]string{"/child/local_id": "CHILD", "/began_on": "DECOM", "/ended_on": "DEC", "/child/postcode": "HOME_POST", "/placement/postcode": "PL_POST", "/placement/kind": "PLACE", "/placement/provider": "PLACE_PROVIDER", "/end_reason": "REC"},
		},
		{
			"standard safeguarding dataset", "child-protection-plan/1.0.0",
			"pers_person_id,pers_forename,pers_surname,pers_sex,pers_ethnicity,pers_dob,cppl_cp_plan_id,cppl_cp_plan_start_date,cppl_cp_plan_initial_category,cppl_cp_plan_latest_category,s47e_s47_start_date,cine_cin_primary_need_code,disa_disability_code,prof_professional_name\n" +
				"4001,Wren,Adeyemi,F,WBRI,03/02/2015,P-1,01/06/2026,Neglect,Emotional abuse,01/05/2026,N1,MOB,Robin Hale\n",
			map[string]string{"/child/local_id": "pers_person_id", "/child/sex": "pers_sex", "/child/ethnicity": "pers_ethnicity", "/child/date_of_birth": "pers_dob", "/plan/id": "cppl_cp_plan_id", "/plan/start": "cppl_cp_plan_start_date", "/plan/latest_category": "cppl_cp_plan_latest_category", "/enquiry/start": "s47e_s47_start_date", "/need": "cine_cin_primary_need_code", "/child/disabilities": "disa_disability_code", "/worker/name": "prof_professional_name"},
		},
		{
			"Open311 GeoReport", "waste-report/1.0.0",
			"service_request_id,status,service_name,description,requested_datetime,updated_datetime,lat,long,zipcode,media_url\n" +
				"R1,open,refuse,Bin not emptied,2026-11-01T08:00:00Z,2026-11-02T08:00:00Z,53.8,-1.5,AB1 2CD,https://example.org/1.jpg\n",
			map[string]string{"/reference": "service_request_id", "/reported_at": "requested_datetime", "/updated_at": "updated_datetime", "/service": "service_name"},
		},
		{
			"grants as 360Giving spreadsheets hold them", "grant/1.0.0",
			"Identifier,Title,Description,Currency,Amount Awarded,Award Date,Planned Dates:Start Date,Planned Dates:End Date,Recipient Org:Identifier,Recipient Org:Name,Recipient Org:Postal Code,Grant Programme:Title\n" +
				"360G-northmoor-1,Hall roof,A new roof,GBP,5000,2026-05-01,2026-06-01,2026-12-31,GB-CHC-1234567,Village Hall,AB1 2CD,Halls\n",
			map[string]string{"/id": "Identifier", "/amount": "Amount Awarded", "/awarded_on": "Award Date", "/from": "Planned Dates:Start Date", "/to": "Planned Dates:End Date", "/recipient/id": "Recipient Org:Identifier", "/recipient/name": "Recipient Org:Name", "/programme": "Grant Programme:Title"},
		},
		{
			"plan timetable of the approved data standard", "plan-timetable/1.0.0",
			"reference,plan,plan-event,event-date,actual-date,entry-date,notes\n" +
				"t1,northmoor-plan,gateway-1-self-assessment,2027-01-01,,2026-11-01,\nt2,northmoor-plan,adopted,2028-06-01,,2026-11-01,\n",
			map[string]string{"/plan": "plan", "/event": "plan-event", "/planned_on": "event-date"},
		},
		{
			"algorithmic transparency standard", "algorithmic-transparency/1.0.0",
			"name,description,website,contact_email,organisation,senior_responsible_owner,external_supplier,algorithmic_transparency_record_phase,Appeals and review,Risks and mitigations\n" +
				"Route finder,Plans the rounds of lorries,https://northmoor.gov.uk/routes,data@northmoor.gov.uk,Northmoor,Head of waste,Acre Ltd,Beta/Pilot,None is needed,Small\n",
			map[string]string{"/summary": "description", "/url": "website", "/contact": "contact_email", "/responsibility": "senior_responsible_owner", "/supplier": "external_supplier", "/phase": "algorithmic_transparency_record_phase", "/appeal": "Appeals and review", "/risks": "Risks and mitigations"},
		},
		{
			"fly-tipping as WasteDataFlow counts it", "fly-tipping/1.0.0",
			"reference,found_on,land_type,waste_type,size\nFT/0001,13/06/2026,Footpath / Bridleway,Construction/demolition/excavation,Significant / Multi Loads\nFT/0002,14/06/2026,Back alleyway,\"Chemical drums, oil or fuel\",Car boot or less\n",
			map[string]string{"/land": "land_type", "/waste": "waste_type", "/size": "size"},
		},
		{
			"reasons of homelessness as cases are counted", "housing-need/1.0.0",
			"reference,referred_on,reason\nHN/2026/000001,13/06/2026,Required to leave accommodation provided by Home Office as asylum support\nHN/2026/000002,14/06/2026,End of private rented tenancy - assured shorthold\n",
			map[string]string{"/reason": "reason", "/referred_on": "referred_on"},
		},
		{
			"what the register of taxi refusals records", "licence-refusal/1.0.0",
			"Reference,Name,Date of birth,National insurance number,Driving licence number,Decision taken,Date of decision,Date decision effective\n" +
				"NR/0001,Wren Adeyemi,13/02/1980,QQ123456C,ADEYE802130W99AB,revoked,14/05/2026,28/05/2026\n",
			map[string]string{"/decision": "Decision taken", "/decided_on": "Date of decision", "/effective_on": "Date decision effective", "/driver/date_of_birth": "Date of birth", "/driving_licence": "Driving licence number"},
		},
	} {
		t.Run(g.dir, func(t *testing.T) {
			from, values := drafted(t, g.dir, g.file)
			for to, want := range g.want {
				if from[to] != want {
					t.Errorf("%s: %s is drafted from %q, want %q", g.form, to, from[to], want)
				}
			}
			for to, words := range map[string]map[string]string{
				"/child/sex": {"F": "female"}, "/plan/latest_category": {"Emotional abuse": "emotional"}, "/child/disabilities": {"MOB": "mobility"},
				"/phase": {"Beta/Pilot": "beta"}, "/reason": {"End of private rented tenancy - assured shorthold": "private-tenancy-ended"}, "/land": {"Footpath / Bridleway": "footpath", "Back alleyway": "alley"}, "/waste": {"Construction/demolition/excavation": "construction", "Chemical drums, oil or fuel": "chemical"}, "/size": {"Car boot or less": "car-boot", "Significant / Multi Loads": "multiple-loads"},
				"/event": {"adopted": "adoption", "gateway-1-self-assessment": "gateway-1"}, "/kind": {"Premises licence": "premises"}, "/placement/kind": {"K2": "children-home"}, "/placement/provider": {"PR4": "private"},
			} {
				for w, means := range words {
					if g.want[to] != "" && values[to][strings.ToLower(w)] != means {
						t.Errorf("%s: %s of %s is taken for %v, want %q", g.form, w, to, values[to][strings.ToLower(w)], means)
					}
				}
			}
		})
	}
}

// A return of children who are looked after, made up by those who test such returns, is found
// by its headings.
func TestDraftOfEpisodes(t *testing.T) {
	b, err := os.ReadFile(data(t, "childrens-social-care/SSDA903_2020_episodes.csv"))
	if err != nil {
		t.Fatal(err)
	}
	from, _ := drafted(t, "looked-after-placement/1.0.0", string(b))
	got := []string{from["/child/local_id"], from["/began_on"], from["/ended_on"], from["/placement/kind"], from["/placement/provider"]}
	if want := []string{"CHILD", "DECOM", "DEC", "PLACE", "PLACE_PROVIDER"}; !slices.Equal(got, want) {
		t.Errorf("drafted from %q, want %q", got, want)
	}
}
