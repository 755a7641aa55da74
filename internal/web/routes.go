package web

import (
	"io/fs"
	"net/http"
	pathpkg "path"
	"strings"

	"github.com/stile-exchange/stile/internal/registers"
)

// routes is every page there is, and what a person must be let do to see it: the name of
// an operation of the node, whose row in package access says which roles may. Pages of
// everybody's are shown without login.
func (s *site) routes() {
	s.everybody("GET /{$}", func(q *request) error {
		if q.who != nil && q.form("done") == "" {
			return q.to("/home")
		}
		return q.front()
	})
	s.everybody("GET /register", (*request).registerList)
	s.everybody("GET /register/{council}/{name}", (*request).registerOne)
	s.everybody("GET /register/{council}/{name}/proof.stile", (*request).registerProof)
	s.everybody("GET /register.json", (*request).registerFile)
	s.everybody("GET /register.csv", (*request).registerFile)
	s.everybody("GET /register.jsonld", (*request).registerFile)
	s.everybody("GET /open", (*request).openList)
	s.everybody("GET /open/{register}", (*request).openOne)
	s.everybody("GET /open/"+registers.InterfaceID, (*request).openInterface)
	for _, call := range registers.Lists() {
		s.everybody("GET /open/"+registers.InterfaceID+"/"+call, openReferrals(call))
		s.everybody("GET /open/"+registers.InterfaceID+"/"+call+"/{id}", openReferralOne(call))
	}
	s.everybody("GET /standards", (*request).standardList)
	s.everybody("GET /standards/{publisher}/{name}", (*request).standardOne)
	s.everybody("GET /standards/{publisher}/{name}/archive.zip", (*request).standardArchive)
	s.everybody("GET /adoption", (*request).adoption)
	s.everybody("GET /adoption.csv", (*request).adoptionCSV)
	s.everybody("GET /verify", (*request).verifyForm)
	s.everybody("POST /verify", (*request).verify)
	s.everybody("GET /accessibility", s.words("accessibility"))
	s.everybody("GET /privacy", s.words("privacy"))
	s.everybody("GET /about", (*request).about)
	s.everybody("GET /about/sbom.json", (*request).billOfMaterials)
	s.everybody("GET /.well-known/security.txt", (*request).securityText)
	s.mux.HandleFunc("GET /assets/{file}", s.asset)
	s.signInRoutes()

	s.only("status", "GET /home", (*request).home)
	s.only("directory/invite", "GET /setup", (*request).setup)
	s.only("access/addkey", "GET /admin", (*request).admin)
	s.only("retry", "POST /admin/retry", (*request).retry)
	s.only("retry", "GET /admin/feeds", (*request).feeds)
	s.only("retry", "POST /admin/feeds/{name}/run", (*request).feedRun)
	s.only("backups/list", "GET /admin/backups", (*request).backups)
	s.only("webhooks/list", "GET /admin/webhooks", (*request).webhooks)
	s.only("webhooks/add", "POST /admin/webhooks", (*request).webhookAdd)
	s.only("webhooks/deliveries", "GET /admin/webhooks/{id}", (*request).webhookDeliveries)
	s.only("webhooks/test", "POST /admin/webhooks/{id}/test", (*request).webhookDo)
	s.only("webhooks/replay", "POST /admin/webhooks/{id}/resume", (*request).webhookDo)
	s.only("webhooks/remove", "POST /admin/webhooks/{id}/remove", (*request).webhookDo)
	s.only("people/list", "GET /admin/people", (*request).peopleList)
	s.only("people/put", "POST /admin/people", (*request).personAdd)
	s.only("people/list", "GET /admin/people/{person}", (*request).personOne)
	for verb, op := range map[string]string{"roles": "people/put", "link": "people/link", "remove": "people/remove"} {
		s.only(op, "POST /admin/people/{person}/"+verb, func(q *request) error { return q.personDo(verb) })
	}
	s.only("access/listkeys", "GET /admin/keys", (*request).keys)
	s.only("access/addkey", "POST /admin/keys", (*request).keyAdd)
	s.only("access/revokekey", "POST /admin/keys/{id}/end", (*request).keyRevoke)
	s.only("standards/preview", "GET /standards/{publisher}/{name}/adopt", (*request).adoptForm)
	s.only("standards/adopt", "POST /standards/{publisher}/{name}/adopt", (*request).adopt)

	s.only("records/list", "GET /records", (*request).recordList)
	s.only("records/list", "GET /records/purpose", (*request).purposeForm)
	s.only("records/list", "POST /records/purpose", (*request).purpose)
	s.only("records/show", "GET /records/{council}/{id}", (*request).recordOne)
	s.only("records/prove", "GET /records/{council}/{id}/proof", (*request).recordProof)
	s.only("why", "GET /why", (*request).why)

	s.only("records/put", "GET /imports", (*request).importForm)
	s.only("records/put", "POST /imports", (*request).importUpload)
	s.only("records/put", "GET /imports/{id}", (*request).importOne)
	s.only("records/put", "POST /imports/{id}/columns", (*request).importColumns)
	s.only("records/put", "POST /imports/{id}/form", (*request).importAs)
	s.only("records/put", "POST /imports/{id}/take", (*request).importTake)
	s.only("records/put", "POST /imports/{id}/forget", (*request).importForget)
	s.only("records/put", "GET /imports/{id}/mend", (*request).importMend)
	s.only("records/held", "GET /held", (*request).held)

	s.only("agreements/list", "GET /agreements", (*request).agreementList)
	s.only("agreements/show", "GET /agreements/{council}/{name}", (*request).agreementOne)
	s.only("agreements/preview", "GET /agreements/{council}/{name}/check", (*request).agreementCheck)
	s.only("agreements/counter", "GET /agreements/{council}/{name}/counter", (*request).agreementCounter)
	s.only("agreements/counter", "POST /agreements/{council}/{name}/counter", (*request).agreementCounterDo)
	s.only("agreements/sign", "POST /agreements/{council}/{name}/sign", (*request).agreementSign)
	s.only("agreements/suspend", "POST /agreements/{council}/{name}/suspend", (*request).agreementHalt)
	s.only("agreements/resume", "POST /agreements/{council}/{name}/resume", (*request).agreementHalt)
	s.only("agreements/renew", "POST /agreements/{council}/{name}/renew", (*request).agreementRenew)
	s.only("agreements/end", "POST /agreements/{council}/{name}/end", (*request).agreementHalt)
	s.only("agreements/preview", "GET /drafts/new", (*request).draftNew)
	s.only("agreements/preview", "POST /drafts/new", (*request).draftBegin)
	s.only("agreements/preview", "GET /drafts/{council}/{name}", (*request).draftOne)
	s.only("agreements/preview", "GET /drafts/{council}/{name}/part/{part}", (*request).draftPart)
	s.only("agreements/preview", "POST /drafts/{council}/{name}/part/{part}", (*request).draftKeep)
	s.only("agreements/preview", "GET /drafts/{council}/{name}/preview", (*request).draftPreview)
	s.only("agreements/preview", "POST /drafts/{council}/{name}/drop", (*request).draftDrop)
	s.only("agreements/sign", "POST /drafts/{council}/{name}/sign", (*request).draftSign)

	s.only("disclosures/list", "GET /disclosures", (*request).disclosures)
	s.only("disclosures/subject", "GET /subject", (*request).subjectForm)
	s.only("disclosures/subject", "POST /subject", (*request).subject)
	for _, path := range []string{handovers.path, urgents.path} {
		noun := path[1:]
		s.only(noun+"/list", "GET "+path, (*request).caseList)
		s.only(noun+"/show", "GET "+path+"/{case}", (*request).caseOne)
	}
	s.only("handovers/offer", "POST /handovers", (*request).caseNew)
	s.only("urgent/give", "POST /urgent", (*request).caseNew)
	for _, op := range []string{"handovers/accept", "handovers/decline", "handovers/withdraw", "urgent/give", "urgent/approve", "urgent/refuse", "urgent/end", "urgent/review"} {
		noun, verb, _ := strings.Cut(op, "/")
		s.only(op, "POST /"+noun+"/{case}/"+verb, (*request).caseSay)
	}
	s.only("councils/list", "GET /councils", (*request).councilList)
	s.only("councils/add", "POST /councils/add", (*request).councilAdd)
	s.only("directory/invite", "GET /councils/self.yaml", (*request).councilFile)
	s.only("directory/invite", "POST /councils/invite", (*request).councilInvite)
	s.only("directory/join", "POST /councils/join", (*request).councilJoin)
	s.only("councils/show", "GET /councils/{council}", (*request).councilOne)
	s.only("footprints/list", "GET /footprints", (*request).footprints)

	s.everybody("/", func(q *request) error {
		return q.render("failure", page{Title: q.say("failure.not-found"), Status: http.StatusNotFound, Public: true})
	})
}

// asset serves a file that make assets made.
func (s *site) asset(w http.ResponseWriter, r *http.Request) {
	file := pathpkg.Base(r.PathValue("file"))
	b, err := fs.ReadFile(assets, "assets/"+file)
	kind, ok := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}[pathpkg.Ext(file)]
	if err != nil || !ok || strings.HasPrefix(file, ".") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write(b)
}
