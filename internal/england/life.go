package england

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing/synctest"
	"time"

	"github.com/stile-exchange/stile/internal/backup"
	"github.com/stile-exchange/stile/internal/strictjson"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// Live runs the days. walk says what is wrong at a rest, once a week and at the end.
func (c *Country) Live() {
	c.t.Helper()
	every := min(7, max(1, c.size.Days/2))
	for c.day = 1; c.day <= c.size.Days; c.day++ {
		c.morning()
		for _, x := range c.councils {
			if x.node != nil {
				x.work()
			}
		}
		c.special()
		if c.day == c.ends.day-1 {
			c.seal()
		}
		c.evening()
		c.counts()
		if c.liar != nil && c.Found == nil {
			// Before it counts anew.
			c.Found = c.recount(c.liar, planning)
		}
		if c.day%every == 0 || c.day == c.size.Days {
			c.rest()
			c.Walk()
			c.believed()
			c.blameless()
			if c.day >= c.ends.day {
				c.over()
			}
		}
	}
	c.day--
}

// tell notes what happened.
func (c *Country) tell(format string, args ...any) {
	c.told = append(c.told, fmt.Sprintf("day %2d  ", c.day)+fmt.Sprintf(format, args...))
}

// morning steps all clocks to the next morning. Who was away is back, and some go.
func (c *Country) morning() {
	synctest.Wait()
	c.ahead.Store(int64(time.Until(c.first.AddDate(0, 0, c.day))))
	away := max(1, len(c.councils)/50)
	for _, x := range c.councils {
		if x.node == nil {
			x.start()
		}
	}
	// Of a footprint one keeper may be away, and it goes on.
	gone := map[*footprint]bool{}
	for range away {
		x := c.councils[c.rng.IntN(len(c.councils))]
		if x.node == nil || c.staysHome(x) || x.region != nil && gone[x.region] {
			continue
		}
		if x.region != nil {
			gone[x.region] = true
		}
		x.halt()
	}
	switch c.day {
	case c.ends.day - 2:
		c.begin()
		c.lookAll()
		c.novate()
	case c.ends.day:
		c.lookAll()
		c.takeOver()
	default:
		c.lookAll()
	}
}

// evening lets what was done travel, and has everybody sign what came.
func (c *Country) evening() {
	time.Sleep(c.size.Workday / 2)
	synctest.Wait()
	for _, x := range c.all() {
		if x.node != nil {
			x.signWaiting()
		}
	}
	time.Sleep(c.size.Workday / 2)
	synctest.Wait()
}

// work is what a council does on a day.
func (x *Council) work() {
	c := x.country
	for range c.rng.IntN(2*c.size.Daily + 1) {
		switch n := c.rng.IntN(10); {
		case n < 6 || len(x.plans) == 0:
			x.serial++
			x.putPlan(fmt.Sprintf("27/%05d/HH", x.serial), x.someDistrict()+"|in-consultation")
		case n < 8:
			ref := pick(c, x.plans)
			x.putPlan(ref, district(x.plans[ref])+"|decided")
		case n < 9:
			ref := pick(c, x.plans)
			to := border
			if district(x.plans[ref]) == border {
				to = "Inland"
			}
			x.putPlan(ref, to+"|in-consultation")
		default:
			// It was sent to the wrong council, and goes where it belongs.
			ref := pick(c, x.plans)
			if x.next.node == nil {
				continue
			}
			call(x, x.node.Records().Delete, node.RecordRequest{Record: ref, Standard: string(planning) + "@1"})
			was := x.plans[ref]
			delete(x.plans, ref)
			c.offers++
			x.next.serial++
			x.next.putPlan(fmt.Sprintf("27/%05d/FUL", x.next.serial), was)
		}
	}
	if c.day < x.adopts {
		return
	}
	for range 1 + c.rng.IntN(c.size.Daily) {
		x.serial++
		x.put(tipping, fmt.Sprintf("FT-2027-%05d", x.serial), map[string]any{
			"council": x.Ref.GSS, "found_on": c.Now().Format(time.DateOnly), "land": "highway", "waste": "household-bags", "size": "car-boot",
			"witness": map[string]any{"name": withheld + " witness"},
		})
	}
	if x.listed {
		if len(x.tips) > 3 && c.rng.IntN(4) == 0 {
			ref := pick(c, x.tips)
			call(x, x.node.Records().Delete, node.RecordRequest{Record: ref, Standard: string(tipping) + "@1"})
			delete(x.tips, ref)
			c.offers++
		}
		return
	}
	// The standard is new here: from now on its records go to the region, and the council
	// says in public that it has them.
	x.listed = true
	if x.region != nil {
		x.sign(text(x.tipping(), []name.Council{x.region.name}, tipping, "true", tippingFields))
	}
	call(x, x.node.Standards().Measure, node.MeasureRequest{Standard: string(tipping), Publish: true})
}

func district(plan string) string {
	for i := range len(plan) {
		if plan[i] == '|' {
			return plan[:i]
		}
	}
	return plan
}

func (x *Council) someDistrict() string {
	if x.country.rng.IntN(3) == 0 {
		return border
	}
	return "Inland"
}

// pick returns a key of a map, by the seed.
func pick(c *Country, m map[string]string) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[c.rng.IntN(len(keys))]
}

// putPlan writes a planning application: what is in its district and status is the model's
// word for it.
func (x *Council) putPlan(ref, plan string) {
	status := plan[len(district(plan))+1:]
	body := map[string]any{
		"organisation": "local-authority:ABC", "district": district(plan), "applicationType": "householder", "status": status,
		"description": "Single-storey rear extension.", "receivedDate": "2027-02-26", "applicantName": withheld + " " + ref,
	}
	if status == "decided" {
		body["decision"], body["decisionDate"] = "granted", "2027-03-02"
	}
	x.put(planning, ref, body)
	x.plans[ref] = plan
}

func (x *Council) put(std name.StandardName, ref string, body map[string]any) {
	c := x.country
	c.t.Helper()
	body["reference"] = ref
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	r := call(x, x.node.Records().Put, node.PutRequest{Standard: string(std) + "@1", Records: []node.Offered{{Row: 1, Record: raw}}}).Results[0]
	if len(r.Problems) > 0 {
		c.t.Fatalf("%s: %s: %+v", x.Name, ref, r.Problems)
	}
	if std == tipping {
		x.tips[ref] = ""
	}
	c.offers++
}

// special is what happens on some days only.
func (c *Country) special() {
	up := func() *Council {
		for {
			if x := c.councils[c.rng.IntN(len(c.councils))]; x.node != nil {
				return x
			}
		}
	}
	// A neighbour begins to send back, or stops.
	for range max(1, len(c.councils)/100) {
		switch x := up(); {
		case x.backed == 0 && x.next.node != nil && len(c.councils) > 2:
			x.next.sign(text(x.next.back(), []name.Council{x.Name}, planning, `record.district == "`+border+`"`, planningFields))
			x.backed = c.day
		case x.backed > 0 && c.day > x.backed+1 && x.knows(x.next.back()):
			call(x, x.node.Agreements().End, node.AgreementRequest{Name: string(x.next.back()), Reason: "no longer needed"})
			x.backed = -1
		}
	}
	if c.day == max(1, c.size.Days/6) {
		x := c.councils[0]
		for x.node == nil || x == c.ends.old {
			x = up()
		}
		c.tell("%s says in its statement that it has two records more than it has", x.Name)
		x.lie()
	}
	if c.day == max(1, c.size.Days/4) {
		// A keeper's replica would have to be fetched by a person first; docs/footprints.md.
		var may []*Council
		for _, x := range c.councils {
			if x != c.liar && (x.region == nil || !x.keeps(x.region.name)) {
				may = append(may, x)
			}
		}
		x := may[c.rng.IntN(len(may))]
		if x.node == nil {
			x.start()
		}
		c.backup(x)
	}
	if c.day == max(2, c.size.Days/3) {
		c.restore()
	}
}

// lie publishes a statement that claims more than there is.
func (x *Council) lie() {
	c := x.country
	c.liar = x
	st := call(x, x.node.Standards().Measure, node.MeasureRequest{Standard: string(planning)}).Statements[0]
	b, err := json.Marshal(st)
	if err != nil {
		c.t.Fatal(err)
	}
	v, err := strictjson.Decode(b, strictjson.DefaultLimits())
	if err != nil {
		c.t.Fatal(err)
	}
	m := v.(map[string]any)
	m["records"] = json.Number(fmt.Sprint(st.Records + 2))
	raw, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	r := call(x, x.node.Records().Put, node.PutRequest{Standard: string(statement) + "@1", Records: []node.Offered{{Row: 1, Record: raw}}}).Results[0]
	if len(r.Problems) > 0 {
		c.t.Fatalf("%s: %+v", x.Name, r.Problems)
	}
}

// backup makes a backup of a council, which loses its folder a few days later.
func (c *Country) backup(x *Council) {
	file, recipient, err := backup.NewIdentity(time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	c.saved.identity = file
	for _, keys := range []bool{false, true} {
		var b bytes.Buffer
		r, err := x.node.Backup(c.t.Context(), node.BackupRequest{Recipients: recipient, Keys: keys}, &b)
		if err != nil {
			c.t.Fatalf("%s: backup: %v", x.Name, err)
		}
		call(x, x.node.Backups().Note, r)
		if keys {
			c.saved.keys = b.Bytes()
		} else {
			c.saved.folder = b.Bytes()
		}
	}
	c.saved.of = x
	c.tell("%s makes a backup", x.Name)
}

// saved is a backup, and whose.
type saved struct {
	of           *Council
	folder, keys []byte
	identity     []byte // that reads it
}

// restore has the council lose its folder and come back from the backup. It is an old copy:
// its partners agree that its log goes on from there, and its own systems bring again what
// is lost.
func (c *Country) restore() {
	x := c.saved.of
	if x == nil {
		return
	}
	x.halt()
	if err := os.RemoveAll(x.dir); err != nil {
		c.t.Fatal(err)
	}
	x.dir = filepath.Join(c.dir, "restored-"+string(x.Name))
	ids, err := backup.Identities(c.saved.identity)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := backup.Restore(c.t.Context(), bytes.NewReader(c.saved.folder), bytes.NewReader(c.saved.keys), ids, x.dir, c.Now(), ""); err != nil {
		c.t.Fatal(err)
	}
	clear(x.signed)
	x.start()
	// Whoever holds what is not in the copy is named, and agrees; those away are waited for.
	for _, y := range c.all() {
		if y.node == nil {
			y.start()
		}
	}
	halted := func() *node.HaltReply {
		st, err := x.node.Status(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		return st.Halt
	}
	c.await(string(x.Name)+" knows that it is an old copy", func() bool { h := halted(); return h != nil && h.Behind })
	agreed := map[name.Council]bool{}
	c.await("all who hold more agreed", func() bool {
		for _, nm := range halted().Holders {
			if y := c.council(nm); y != nil && !agreed[nm] {
				if _, err := y.node.Councils().EndQuarantine(c.t.Context(), node.EndQuarantineRequest{Council: string(x.Name), Follow: "told", Because: "restored"}); err == nil {
					agreed[nm] = true
				}
			}
		}
		h := halted()
		return len(h.Waiting) == 0 && len(h.Holders) == 0 && len(h.Agreed) > 0
	})
	call(x, x.node.Log().Continue, node.ContinueRequest{Because: "the machine was lost"})
	c.tell("%s lost its machine, and came back from its backup: %d partners agreed, %d records had to be brought again", x.Name, len(agreed), x.again())
}

// again has the systems of a council bring once more what they have, and delete what they
// have not. It returns how many records that changed.
func (x *Council) again() (changed int) {
	c := x.country
	have := map[string]string{}
	for _, r := range x.list(node.ListRequest{Standard: string(planning) + "@1"}) {
		var b planBody
		if err := json.Unmarshal(r.Body, &b); err != nil {
			c.t.Fatal(err)
		}
		have[b.Reference] = b.District + "|" + b.Status
	}
	for _, ref := range sorted(x.plans) {
		if have[ref] != x.plans[ref] {
			x.putPlan(ref, x.plans[ref])
			changed++
		}
	}
	for _, ref := range sorted(have) {
		if _, ok := x.plans[ref]; !ok {
			call(x, x.node.Records().Delete, node.RecordRequest{Record: ref, Standard: string(planning) + "@1"})
			changed++
		}
	}
	tips := map[string]string{}
	for _, r := range x.list(node.ListRequest{Standard: string(tipping) + "@1"}) {
		var b planBody
		if err := json.Unmarshal(r.Body, &b); err != nil {
			c.t.Fatal(err)
		}
		tips[b.Reference] = ""
		if _, ok := x.tips[b.Reference]; !ok {
			call(x, x.node.Records().Delete, node.RecordRequest{Record: b.Reference, Standard: string(tipping) + "@1"})
			changed++
		}
	}
	for _, y := range c.councils {
		if y.next == x && y.backed > 0 && !x.knows(x.back()) { // signed after the backup, and lost with the machine
			x.sign(text(x.back(), []name.Council{y.Name}, planning, `record.district == "`+border+`"`, planningFields))
		}
	}
	if x.listed {
		// Its word that it has them may be lost too.
		if x.region != nil {
			x.sign(text(x.tipping(), []name.Council{x.region.name}, tipping, "true", tippingFields))
		}
		call(x, x.node.Standards().Measure, node.MeasureRequest{Standard: string(tipping), Publish: true})
	}
	for _, ref := range sorted(x.tips) {
		if _, ok := tips[ref]; !ok {
			x.put(tipping, ref, map[string]any{
				"council": x.Ref.GSS, "found_on": c.Now().Format(time.DateOnly), "land": "highway", "waste": "household-bags", "size": "car-boot",
				"witness": map[string]any{"name": withheld + " witness"},
			})
			changed++
		}
	}
	return changed
}

func (c *Country) council(nm name.Council) *Council {
	for _, x := range c.all() {
		if x.Name == nm {
			return x
		}
	}
	return nil
}

// planBody is what is read of a record that is held.
type planBody struct {
	Reference string `json:"reference"`
	District  string `json:"district"`
	Status    string `json:"status"`
	Applicant string `json:"applicantName"`
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
