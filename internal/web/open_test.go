package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/registers"
	"github.com/stile-exchange/stile/internal/web"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas"
)

// openly makes a node with records for three registers, one of them with more lines than
// a page has, in which a stranger has written.
func openly(t *testing.T, everybody ...string) *house {
	h := open(t, false, func(o *web.Options) { o.Registers = everybody })
	ctx := t.Context()
	put := func(std string, records ...string) {
		t.Helper()
		if _, err := h.node.Standards().Adopt(ctx, node.AdoptRequest{Name: std}); err != nil {
			t.Fatal(err)
		}
		var offers []node.Offered
		for i, r := range records {
			offers = append(offers, node.Offered{Row: i + 1, Record: []byte(r)})
		}
		reply, err := h.node.Records().Put(ctx, node.PutRequest{Standard: std, Records: offers})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reply.Results {
			if len(r.Problems) > 0 {
				t.Fatalf("%s, row %d: %+v", std, r.Row, r.Problems)
			}
		}
	}
	var tools []string
	for i := range 120 {
		product := fmt.Sprintf("Acre %d", i%30)
		if i == 0 {
			product = hostile
		}
		tools = append(tools, fmt.Sprintf(`{"reference":"T-%d","council":"E07000998","product":%q,"supplier":"Acre Ltd","function":"planning","status":"in-use","contract_ends_on":"20%d-06-30"}`, i, product, 27+i%4))
	}
	put("digital-tool", tools...)
	var helps []string
	for i, topic := range []string{"money", "money", "food"} {
		helps = append(helps, fmt.Sprintf(`{"id":"6f1b9e1e-5b0f-4b53-9a41-0e9a2f1c7d1%d","council":"E07000998","name":"Help %d","status":"active","organisation":{"name":"Moor Advice"},"topics":[%q]}`, i, i, topic))
	}
	put("service-directory", helps...)
	put("improvement-activity", `{"reference":"I-1","provider":"Region","kind":"training","service":"send","councils":["E10000030","E06000060"],"start_on":"2026-09-01"}`)
	put("challenge", `{"reference":"CH-1","council":"E07000998","title":"Bins are missed","problem":"Nobody can say how often.","function":"waste","phase":"idea"}`)
	put("supplier-statement", `{"supplier":"Acre Ltd","product":"Acre 1","council":"E07000998","on":"2026-11-01","standards":[{"standard":"standards.stile.example/planning-application@1","records":20,"valid":18,"measured":{"source":"acre","at":"2026-11-01T07:00:00Z","log_size":30,"held_valid":18,"held_back":2}},{"standard":"standards.stile.example/spend@1","records":20,"valid":20}],"open_interface":true,"export_free":true}`)
	return h
}

// Registers are shown to everybody where the council says so, and to people who may list
// records; what stands in them is text, counted, drawn, found, and in files.
func TestOpenRegisters(t *testing.T) {
	h := openly(t, "city-tools", "improvement", "needs", "service-directory")
	v := h.visitor()
	h.openReferral(v)
	status, page := v.get("/open")
	if status != 200 || !strings.Contains(page, "Digital tools of councils") || !strings.Contains(page, "Improvement work") || strings.Contains(page, "Suppliers&#39; charter") {
		t.Fatalf("the list: %d %s", status, page)
	}
	_, page = v.get("/open/city-tools")
	for _, want := range []string{"By product: who else has it", "Lines 1 to 100 of 120", `<rect x="10"`, "Acre 29", "&lt;script&gt;alert(1)", ">northmoor.gov.uk</th>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the register does not say %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a stranger's markup stands in the page")
	}
	if _, page = v.get("/open/city-tools?q=" + url.QueryEscape("acre 29")); !strings.Contains(page, "Lines 1 to 4 of 4") {
		t.Error("four lines have Acre 29")
	}
	if _, page = v.get("/open/city-tools?from=100"); !strings.Contains(page, "Lines 101 to 120 of 120") {
		t.Error("the second page does not have the rest")
	}
	if _, page = v.get("/open/city-tools?lang=cy"); !strings.Contains(page, "Offer digidol cynghorau") || !strings.Contains(page, "Fesul cynnyrch") {
		t.Error("the register is not in Welsh")
	}
	v.get("/?lang=en")
	if _, page = v.get("/open/improvement"); !strings.Contains(page, "<polygon") || !strings.Contains(page, "Surrey") || !strings.Contains(page, "Stands in a record of the register</span>") && !strings.Contains(page, "Stands in a record of the register (2)") {
		t.Error("the map does not show the two councils that were helped")
	}
	_, page = v.get("/open/needs")
	for _, want := range []string{"A need is stated (0)", "1 more council would be marked", "Own challenges without help", "northmoor.gov.uk. "} {
		if !strings.Contains(page, want) {
			t.Errorf("the register of needs does not say %q", want)
		}
	}
	if _, text := v.get("/open/needs.csv"); !strings.HasPrefix(text, "council,gss_code,own_challenges_without_help,shared_problems_without_help,legal_standards_without_records,other_standards_without_records,needs_stated,help_had\n") || !strings.Contains(text, "E07000998,1,0,0,0,1,0\n") {
		t.Errorf("the file of needs: %s", text)
	}
	for file, want := range map[string]string{"city-tools.csv": "council,record,product", "city-tools.csv-metadata.json": `"city-tools.csv"`, "city-tools.json": `"register": "city-tools"`, "catalogue.jsonld": h.url + "/open/city-tools.csv"} {
		if status, text := v.get("/open/" + file); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d, without %q", file, status, want)
		}
	}
	for _, at := range []string{"/open/charter", "/open/charter.csv"} { // not for everybody
		if _, page := v.get(at); !strings.Contains(page, "Sign in") || strings.Contains(page, "Acre 1") {
			t.Errorf("%s is shown to everybody", at)
		}
	}
	for at, want := range map[string]int{"/open/none": 404, "/open/city-tools.exe": 404, "/open/contracts": 302} {
		if status, _ := v.get(at); status != want && !(want == 302 && status == 200) {
			t.Errorf("%s: %d", at, status)
		}
	}
	in := h.enter("Jo Smith", access.Viewer)
	_, page = in.get("/open/charter")
	if page = strings.ReplaceAll(page, "<wbr>", ""); !strings.Contains(page, "Acre 1: standards.stile.example/planning-application@1") || strings.Contains(page, "Acre 1: standards.stile.example/spend@1") {
		t.Error("a viewer is not shown what was counted, or what was only stated counts")
	}
	if status, _ := in.get("/open/contracts"); status != 404 {
		t.Errorf("a standard that is not adopted: %d", status)
	}
	_, page = in.get("/open/obligations")
	for _, want := range []string{
		`govuk-tag--red">not yet<`, "children-not-in-school", "Education Act 1996 section 436A", "Wellbeing and Schools Act 2026 section 38", `govuk-tag--grey">not asked for yet<`, "which districts of a county have not (Education Act 1996 section 579(1))",
		`<td role="cell" class="govuk-table__cell" colspan="6">`, `href="https://www.legislation.gov.uk/ukpga/2026/21/section/78/enacted"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("of what laws ask for, and where they say so, %q is not listed", want)
		}
	}
	if _, page = in.get("/open/obligations?lang=cy"); !strings.Contains(page, `govuk-tag--red">ddim eto<`) || strings.Contains(page, ">not yet<") {
		t.Error("our own words are not in Welsh")
	}
}

// openReferral: services are offered by the calls of Open Referral UK, and the catalogue says
// where.
func (h *house) openReferral(v *visitor) {
	t := h.t
	t.Helper()
	at := h.url + "/open/open-referral-uk"
	call := func(path string, want int) (m map[string]any) {
		t.Helper()
		status, text := v.get("/open/open-referral-uk" + path)
		if status != want {
			t.Fatalf("%s: %d: %.300s", path, status, text)
		}
		if want == 200 {
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatalf("%s: %v: %s", path, err, text)
			}
		}
		return m
	}
	if m := call("", 200); m["version"] != "3.0" || m["openapi_url"] == "" {
		t.Errorf("it says of itself: %v", m)
	}
	all := call("/services", 200)
	if n := len(all["contents"].([]any)); n != 3 || all["total_items"] != 3.0 || all["total_pages"] != 1.0 || all["first_page"] != true || all["last_page"] != true || all["empty"] != false {
		t.Errorf("%d services: %v", n, all)
	}
	one := all["contents"].([]any)[0].(map[string]any)
	if m := call("/services/"+one["id"].(string), 200); !reflect.DeepEqual(m, one) {
		t.Errorf("a service alone is %v, in the list %v", m, one)
	}
	last := call("/services?per_page=2&page=2", 200)
	if n := len(last["contents"].([]any)); n != 1 || last["total_items"] != 3.0 || last["total_pages"] != 2.0 || last["page_number"] != 2.0 || last["size"] != 1.0 || last["first_page"] != false || last["last_page"] != true {
		t.Errorf("the second page: %v", last)
	}
	if m := call("/services?page=9223372036854775807&per_page=9223372036854775807", 200); m["empty"] != true || m["total_items"] != 3.0 {
		t.Errorf("a page that there is not: %v", m)
	}
	term := one["attributes"].([]any)[0].(map[string]any)["taxonomy_term"].(map[string]any)
	same := 0
	for _, s := range all["contents"].([]any) {
		if reflect.DeepEqual(s.(map[string]any)["attributes"].([]any)[0].(map[string]any)["taxonomy_term"], term) {
			same++
		}
	}
	if m := call("/services?taxonomy_term_id="+term["id"].(string), 200); m["total_items"] != float64(same) || same == 3 {
		t.Errorf("services of %v: %v", term["name"], m)
	}
	if m := call("/services?search=HELP+1", 200); m["total_items"] != 1.0 {
		t.Errorf("services in which help 1 stands: %v", m)
	}
	for path, want := range map[string]int{"/services?day=monday": 400, "/services?page=0": 400, "/services?per_page=all": 400, "/services/none": 404, "/taxonomies?search=x": 400, "/organizations": 404} {
		call(path, want)
	}
	if m := call("/service_at_locations", 200); m["total_items"] != 0.0 {
		t.Errorf("services without a place are at places: %v", m)
	}
	for _, list := range []string{"taxonomies", "taxonomy_terms"} {
		first := call("/"+list+"?per_page=1", 200)["contents"].([]any)[0].(map[string]any)
		if m := call("/"+list+"/"+first["id"].(string), 200); m["id"] != first["id"] {
			t.Errorf("one of %s: %v", list, m)
		}
	}
	answer, err := v.Client.Get(at + "/services")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("a page of somebody else may read it: %q", got)
	}
	if _, text := v.get("/open/catalogue.jsonld"); !strings.Contains(text, `"dcat:endpointURL": "`+at+`"`) || !strings.Contains(text, `"dcat:accessService": "`+at+`"`) {
		t.Errorf("the catalogue does not say where services are asked for: %s", text)
	}
	if _, page := v.get("/open/service-directory"); !strings.Contains(page, `href="/open/open-referral-uk"`) {
		t.Error("the page of services does not say where they are asked for")
	}
}

// A register that is not there is refused when the node starts, and without any named
// nobody is shown one without login.
func TestOpenRegistersNamed(t *testing.T) {
	h := openly(t)
	if _, page := h.visitor().get("/open"); strings.Contains(page, "Digital tools") {
		t.Error("a register is shown that nobody opened")
	}
	if status, _ := h.visitor().get("/open/open-referral-uk/services"); status != 403 {
		t.Errorf("services that nobody opened are asked for: %d", status)
	}
	_, err := web.New(web.Options{Node: h.node.Operations, Council: h.council, Data: t.TempDir(), Now: h.clock, Registers: []string{"tols"}})
	if err == nil || !strings.Contains(err.Error(), `"tols"`) {
		t.Errorf("%v", err)
	}
}

// TestExportOpen: each link of the files leads to a file, and they hold no markup of a
// stranger's.
func TestExportOpen(t *testing.T) {
	h := openly(t)
	var all []*registers.Table
	for _, d := range registers.All() {
		r, err := registers.Read(t.Context(), h.node.Operations, d, h.clock())
		if err != nil {
			t.Fatal(err)
		}
		if r != nil && len(r.Rows) > 0 {
			all = append(all, r)
		}
	}
	home := t.TempDir()
	for _, page := range []string{"index.html", "cy.html"} {
		if err := os.WriteFile(filepath.Join(home, page), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(home, "open")
	if err := web.ExportOpen(dir, "..", registers.Publication{Base: "https://a.example/open", Licence: registers.Licence{Address: "https://l.example/1", Title: "Open <1>"}}, all); err != nil {
		t.Fatal(err)
	}
	links, away := 0, map[string]bool{"https://l.example/1": true}
	for _, d := range schemas.Duties() {
		away[d.Source] = true
	}
	for _, page := range []string{"index.html", "cy.html", "city-tools.html", "improvement.cy.html", "obligations.html"} {
		b, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), `rel="license" href="https://l.example/1">Open &lt;1&gt;</a>`) {
			t.Errorf("%s does not say its licence", page)
		}
		for _, m := range regexp.MustCompile(`href="([^"#][^"]*)"`).FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil && !away[m[1]] {
				t.Errorf("%s: %v", page, err)
			}
			links++
		}
		if strings.Contains(string(b), "<script") || strings.Contains(string(b), "⟦") {
			t.Errorf("%s holds a stranger's markup, or a message that is not there", page)
		}
	}
	if links < 20 {
		t.Errorf("%d links were followed", links)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "cy.html")); err != nil || !strings.Contains(string(b), `href="../cy.html"`) {
		t.Errorf("the list does not lead to the register of agreements: %v", err)
	}
	if err := web.ExportOpen(dir, "", registers.Publication{}, nil); err == nil {
		t.Error("it writes over what is there")
	}
}
