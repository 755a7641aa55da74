package registers

import (
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// A catalogue is written as DCAT-AP 3.0 has it (https://semiceu.github.io/DCAT-AP/releases/3.0.1/),
// and so that those who harvest read it: CKAN by ckanext-dcat, whose profiles read the
// properties below, and data.gov.uk, by its guidance "Accepted DCAT and data.json fields".
// Where those ask for more than the profile, it stands beside what does.

// A Publication says where registers are to be found, and who publishes them.
type Publication struct {
	Us      Agent
	Base    string // address of the folder, without / at its end; "" where it is not known
	Live    bool   // a node answers there, by the interface of Open Referral UK too
	Licence Licence
}

// A Licence is what everybody may do with registers. The zero Licence claims nothing.
type Licence struct{ Address, Title string }

// claim adds the licence to what a catalogue describes. Its title stands with it, since CKAN
// knows licences by their address or, where it has another one, by their title.
func (l Licence) claim(of map[string]any) {
	if l.Address == "" {
		return
	}
	licence := Typed("dct:LicenseDocument", l.Address)
	if l.Title != "" && l.Title != l.Address {
		licence["dct:title"] = l.Title
	}
	of["dct:license"] = licence
}

// An Agent is a member of the directory in a catalogue, as publisher and as whom to ask.
type Agent struct {
	Council name.Council
	Title   string // what people call it; "": its domain
	GSS     string // its ONS code; "" where it has none
	Role    string // in the directory; "" where it is not known
	Contact string // e-mail or other address that anybody may write to; "": its home page
}

// AgentOf is the agent that a member of the directory is.
func AgentOf(m node.MemberReply, contact string) Agent {
	return Agent{Council: m.Council, Title: m.Title, GSS: m.GSS, Role: m.Role, Contact: contact}
}

func (a Agent) home() string { return "https://" + string(a.Council) }

func (a Agent) title() string {
	if a.Title == "" {
		return string(a.Council)
	}
	return a.Title
}

// mailbox is its e-mail address as one of the web; "" where its contact is none.
func (a Agent) mailbox() string {
	box := strings.TrimPrefix(a.Contact, "mailto:")
	if m, err := mail.ParseAddress(box); err != nil || m.Address != box || strings.ContainsAny(box, " \"<>\\") {
		return ""
	}
	return "mailto:" + box
}

// page is where it may be asked by its contact, which need not be a page; else its home page.
func (a Agent) page() string {
	if u, err := url.Parse(a.Contact); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && !strings.ContainsAny(a.Contact, " \"<>\\") {
		return a.Contact
	}
	return a.home()
}

// Publisher is the agent as who publishes (foaf:Agent).
func (a Agent) Publisher() map[string]any {
	p := map[string]any{"@type": []string{"foaf:Agent", "foaf:Organization"}, "@id": a.home() + "/#council", "foaf:name": a.title(), "foaf:homepage": Typed("foaf:Document", a.home())}
	// The types are those of ADMS, which DCAT-AP names.
	if kind := map[string]string{string(node.RoleCouncil): "LocalAuthority", string(node.RoleStandardsBody): "StandardisationBody"}[a.Role]; kind != "" {
		const scheme = "http://purl.org/adms/publishertype/"
		p["dct:type"] = map[string]any{"@id": scheme + kind, "@type": "skos:Concept", "skos:prefLabel": kind,
			"skos:inScheme": map[string]any{"@id": scheme + "1.0", "@type": "skos:ConceptScheme", "dct:title": "ADMS publisher type"}}
	}
	if box := a.mailbox(); box != "" {
		p["foaf:mbox"] = box
	}
	return p
}

// ContactPoint is the agent as whom to ask about data (vCard): by e-mail, or where it has said
// no such address by a page.
func (a Agent) ContactPoint() map[string]any {
	c := map[string]any{"@type": []string{"vcard:Kind", "vcard:Organization"}, "@id": a.home() + "/#contact", "vcard:fn": a.title()}
	if box := a.mailbox(); box != "" {
		c["vcard:hasEmail"] = box
	} else {
		c["vcard:hasURL"] = a.page()
	}
	return c
}

// File files a set of data in a catalogue under what it is about.
func File(set map[string]any, s schemas.Subject) {
	var themes []any
	for _, code := range s.Themes {
		themes = append(themes, map[string]any{"@type": "skos:Concept", "@id": schemas.ThemeScheme + "/" + code, "skos:prefLabel": schemas.Themes()[code], "skos:inScheme": schemas.ThemeScheme})
	}
	if themes != nil {
		set["dcat:theme"] = themes
	}
	if s.Keywords != nil {
		set["dcat:keyword"] = s.Keywords
	}
}

// ThemeTaxonomy is the vocabulary of the themes that [File] names.
func ThemeTaxonomy() map[string]any {
	return map[string]any{"@id": schemas.ThemeScheme, "@type": "skos:ConceptScheme", "dct:title": "Data theme (Publications Office of the EU)"}
}

// DCAT is the context of catalogues (W3C DCAT 3, JSON-LD 1.1): what is an address is told as
// one, so that who reads the catalogue as a graph can follow it.
func DCAT() map[string]any {
	context := map[string]any{
		"dcat": "http://www.w3.org/ns/dcat#", "dct": "http://purl.org/dc/terms/", "foaf": "http://xmlns.com/foaf/0.1/", "skos": "http://www.w3.org/2004/02/skos/core#",
		"vcard": "http://www.w3.org/2006/vcard/ns#", "xsd": "http://www.w3.org/2001/XMLSchema#", "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
	}
	for _, address := range []string{"dcat:downloadURL", "dcat:accessURL", "dcat:accessService", "dcat:servesDataset", "dcat:endpointURL", "dcat:endpointDescription", "dcat:landingPage", "dcat:mediaType",
		"dct:conformsTo", "dct:accessRights", "dct:language", "foaf:homepage", "foaf:mbox", "skos:inScheme", "vcard:hasEmail", "vcard:hasURL"} {
		context[address] = map[string]string{"@id": address, "@type": "@id"}
	}
	return context
}

// authority is where the vocabularies of the Publications Office of the EU stand, which
// DCAT-AP asks for.
const authority = "http://publications.europa.eu/resource/authority/"

// Typed names something in a catalogue by its address, with the class that it has to be of: who
// holds the catalogue against the shapes of DCAT-AP need not fetch what it is.
func Typed(class, address string) map[string]string {
	return map[string]string{"@id": address, "@type": class}
}

// English is the language of what a catalogue says.
func English() map[string]string { return Typed("dct:LinguisticSystem", authority+"language/ENG") }

// Access says in a catalogue who is let see something: PUBLIC or NON_PUBLIC.
func Access(right string) map[string]string {
	return Typed("dct:RightsStatement", authority+"access-right/"+right)
}

// Distribution is a file in a catalogue, of a media type: text/csv or application/json.
// Formats are addresses of what it conforms to.
func Distribution(title, at, media string, formats ...string) map[string]any {
	format := map[string]string{"text/csv": "CSV", "application/json": "JSON"}[media]
	d := map[string]any{
		"@type": "dcat:Distribution", "dct:title": title, "dcat:downloadURL": at, "dcat:accessURL": at,
		"dcat:mediaType": Typed("dct:MediaType", "https://www.iana.org/assignments/media-types/"+media),
		// CKAN takes the name of a format from the label of what has the class dct:IMT, and
		// would show the address of anything else.
		"dct:format": map[string]any{"@id": authority + "file-type/" + format, "@type": []string{"dct:IMT", "dct:MediaTypeOrExtent"}, "rdfs:label": format},
	}
	if len(formats) > 0 {
		var standards []any
		for _, f := range formats {
			standards = append(standards, Typed("dct:Standard", f))
		}
		d["dct:conformsTo"] = standards
	}
	return d
}

// Moment is a point in time in a catalogue.
func Moment(t time.Time) map[string]any {
	return map[string]any{"@type": "xsd:dateTime", "@value": t.UTC().Format(time.RFC3339)}
}

// Catalogue returns registers as a catalogue (W3C DCAT 3, JSON-LD). Their pages are in the
// folder of the publication, called by ID and ending, their files beside them.
func Catalogue(p Publication, ending string, all []*Table) []byte {
	base := p.Base
	home := base
	if ending != "" {
		home += "/index" + ending
	}
	us, ask := p.Us.Publisher(), p.Us.ContactPoint()
	catalogue := map[string]any{
		"@context": DCAT(), "@type": "dcat:Catalog", "@id": base + "/catalogue.jsonld", "dct:title": "Registers", "dct:description": "Registers of what councils have, made of records that they signed.",
		"dct:language": English(), "dct:publisher": us, "dcat:contactPoint": ask, "dcat:themeTaxonomy": ThemeTaxonomy(), "foaf:homepage": Typed("foaf:Document", home),
	}
	sets := []any{}
	areas := map[string]string{}
	for _, t := range all {
		page := base + "/" + t.ID + ending
		files := []any{
			Distribution(t.Title+" (CSV)", base+"/"+t.ID+".csv", "text/csv", "http://www.w3.org/ns/csvw"),
			Distribution(t.Title+" (JSON)", base+"/"+t.ID+".json", "application/json"),
		}
		if t.form != nil {
			files = append(files, Distribution(t.Title+" ("+t.form.Title+")", base+"/"+t.FormFile(), "application/json", t.form.Schema))
		}
		set := map[string]any{
			// data.gov.uk asks that an identifier be one in the whole world.
			"@type": "dcat:Dataset", "@id": page, "dct:identifier": page, "dct:title": t.Title, "dct:description": t.Lead, "dct:language": English(),
			"dcat:landingPage": Typed("foaf:Document", page), "dct:publisher": us, "dcat:contactPoint": ask, "dct:accessRights": Access("PUBLIC"),
			"dct:modified": Moment(t.Made), "dcat:distribution": files,
		}
		File(set, t.Subject())
		of := t.areas(p.Us)
		Cover(set, of)
		maps.Copy(areas, of)
		if t.Standard != "" {
			set["dct:conformsTo"] = Typed("dct:Standard", "https://"+t.Std.String())
		}
		if p.Live && t.HasInterface() {
			at := base + "/" + InterfaceID
			service := map[string]any{
				"@type": "dcat:DataService", "@id": at, "dct:title": t.Title + ": " + InterfaceTitle, "dcat:endpointURL": at, "dcat:endpointDescription": openReferralCalls,
				"dcat:servesDataset": page, "dct:conformsTo": Typed("dct:Standard", t.form.Schema), "dct:accessRights": Access("PUBLIC"), "dct:publisher": us, "dcat:contactPoint": ask,
			}
			File(service, t.Subject())
			p.Licence.claim(service)
			catalogue["dcat:service"] = service
			files[len(files)-1].(map[string]any)["dcat:accessService"] = at
		}
		p.Licence.claim(set)
		for _, f := range files {
			p.Licence.claim(f.(map[string]any))
		}
		sets = append(sets, set)
		catalogue["dct:modified"] = set["dct:modified"]
	}
	Cover(catalogue, areas)
	p.Licence.claim(catalogue)
	catalogue["dcat:dataset"] = sets
	return indented(catalogue)
}

// Subject is what the register is about: what the records are about that it lists or is made
// of.
func (t *Table) Subject() schemas.Subject {
	if t.Standard != "" {
		return schemas.SubjectOf(string(t.Std.Name))
	}
	return schemas.SubjectOf(t.About...)
}

// areas are those of the councils that the register tells of, by GSS code with their names:
// those whose records it lists, or ours where it is of us alone. Of one that is counted over
// all councils none is told.
func (t *Table) areas(us Agent) map[string]string {
	of := map[string]string{}
	for _, r := range t.Rows {
		if gss := t.codes[r.Council]; gss != "" {
			of[gss] = t.called(gss)
		}
	}
	if t.ours && us.GSS != "" {
		of[us.GSS] = us.title()
	}
	return of
}

// Cover says in a catalogue of which areas something tells: by the GSS codes of councils, each
// with its name, as linked data of the Office for National Statistics names them. What is no
// such code is left out.
func Cover(of map[string]any, areas map[string]string) {
	var all []any
	for _, gss := range slices.Sorted(maps.Keys(areas)) {
		if len(gss) != 9 || strings.Trim(gss, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			continue
		}
		area := map[string]any{"@type": "dct:Location", "@id": "http://statistics.data.gov.uk/id/statistical-geography/" + gss}
		if title := areas[gss]; title != "" {
			area["rdfs:label"] = title // CKAN shows it
		}
		all = append(all, area)
	}
	if all != nil {
		of["dct:spatial"] = all
	}
}
