package standard

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/stile-exchange/stile/node/name"
)

// A refSite is one reference and where it stands.
type refSite struct {
	doc  *lintDoc
	ptr  string
	text string   // as written
	to   *url.URL // in full
}

// A refMap is what references can lead to.
type refMap struct {
	docs    map[string]any  // documents and what has an $id, by address without fragment
	anchors map[string]bool // address#anchor
	refs    []refSite
}

// references follows every reference by itself: the engine stops at the first
// that leads nowhere, and does not come to what nothing uses. Where the engine
// has read the schema, it has the last word.
func (l *linter) references(docs []*lintDoc, refused bool) {
	m := &refMap{docs: map[string]any{}, anchors: map[string]bool{}}
	resources := map[string]string{}
	if l.manifest != nil {
		resources = l.manifest.Resources
	}
	for _, d := range docs {
		addrs := []string{home + d.file}
		if rest, ok := strings.CutPrefix(d.file, "schemas/"); ok {
			addrs = append(addrs, home+rest)
		}
		for addr, file := range resources {
			if file == d.file {
				addr, _, _ = strings.Cut(addr, "#")
				addrs = append(addrs, addr)
			}
		}
		for i, a := range addrs {
			m.docs[a] = d.root
			if base, err := url.Parse(a); err == nil {
				m.walk(d, base, "", d.root, true, i == 0)
			}
		}
	}
	sev := SeverityWarning
	if refused {
		sev = SeverityError
	}
	for _, r := range m.refs {
		if why, fix := m.follow(r); why != "" {
			l.add(sev, r.doc.file, r.ptr+"/$ref", "reference", fmt.Sprintf("refers to %q, %s", clip(r.text), why), fix)
		}
	}
}

// walk collects addresses and anchors and, with refs set, references.
func (m *refMap) walk(d *lintDoc, base *url.URL, ptr string, v any, schema, refs bool) {
	if len(m.refs) > maxObjects {
		return
	}
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			m.walk(d, base, ptr+"/"+strconv.Itoa(i), e, schema, refs)
		}
	case map[string]any:
		ref, isRef := v["$ref"].(string)
		if schema && !(isRef && d.dialect <= 7) {
			id, ok := v["$id"].(string)
			if !ok && d.dialect == 4 {
				id, ok = v["id"].(string)
			}
			if u, err := url.Parse(id); ok && err == nil {
				if strings.HasPrefix(id, "#") {
					m.anchors[noFragment(base)+id] = true
				} else {
					base = base.ResolveReference(u)
					m.docs[noFragment(base)] = v
				}
			}
			for _, k := range []string{"$anchor", "$dynamicAnchor"} {
				if a, ok := v[k].(string); ok {
					m.anchors[noFragment(base)+"#"+a] = true
				}
			}
		}
		if schema && isRef && refs {
			if u, err := url.Parse(ref); err == nil {
				m.refs = append(m.refs, refSite{d, ptr, ref, base.ResolveReference(u)})
			}
		}
		each(v, ptr, schema, func(p string, e any, schema bool) { m.walk(d, base, p, e, schema, refs) })
	}
}

func noFragment(u *url.URL) string {
	v := *u
	v.Fragment, v.RawFragment = "", ""
	return v.String()
}

// follow says why a reference leads nowhere, "" when it leads somewhere.
func (m *refMap) follow(r refSite) (why, fix string) {
	addr := noFragment(r.to)
	if _, ok := dialectOf(addr); ok || strings.Contains(addr, "json-schema.org/draft") {
		return "", ""
	}
	doc, ok := m.docs[addr]
	if !ok {
		short := strings.TrimPrefix(addr, home)
		file := short[strings.LastIndexAny(short, "/:")+1:]
		if file == "" || checkPath(file) != nil {
			file = "other.json"
		}
		if short != addr {
			return "which is not in the folder; nothing is fetched from elsewhere", "put that document into schemas/" + file
		}
		return "which is not in the folder; nothing is fetched from elsewhere", fmt.Sprintf("put that document into the folder, such as schemas/%s, and name it in standard.yaml under resources:  %s: schemas/%s", file, clip(addr), file)
	}
	frag := r.to.Fragment
	switch {
	case frag == "":
		return "", ""
	case !strings.HasPrefix(frag, "/"):
		if m.anchors[addr+"#"+frag] {
			return "", ""
		}
		return "but no schema there has that $anchor", "correct the name, or add the anchor"
	}
	if len(frag) > 4096 || !lookUp(doc, frag) {
		return "but there is nothing at that place", "correct the pointer, or add what it should lead to"
	}
	return "", ""
}

// lookUp reports whether doc has a value at the pointer ptr.
func lookUp(doc any, ptr string) bool {
	for _, tok := range strings.Split(ptr, "/")[1:] {
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[tok]
			if !ok {
				return false
			}
			doc = next
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(v) {
				return false
			}
			doc = v[i]
		default:
			return false
		}
	}
	return true
}

// CheckFolder says when a folder or an archive is named after another standard
// or version than its manifest: such a thing was packed by mistake, or to be
// mistaken. It looks at the last parts of a slash path of the form
// …/name/1.2.0, name@1.2.0 or name-1.2.0, with or without an ending such as
// .zip, and returns nil for any other name.
func (s *Standard) CheckFolder(at string) *Finding {
	at = strings.TrimRight(at, "/")
	for _, ext := range []string{".zip", ".tgz", ".tar.gz"} {
		at = strings.TrimSuffix(at, ext)
	}
	parts := strings.Split(at, "/")
	slug, version := "", parts[len(parts)-1]
	if i := strings.LastIndexAny(version, "@-"); i >= 0 {
		slug, version = version[:i], version[i+1:]
	} else if len(parts) > 1 {
		slug = parts[len(parts)-2]
	}
	v, err := name.ParseVersion(strings.TrimPrefix(version, "v"))
	n := s.Name()
	if _, isSlug := name.ParseStandardName("standards.example/" + slug); err != nil || isSlug != nil {
		return nil
	}
	if v == n.Version && slug == n.Name.Slug() {
		return nil
	}
	return &Finding{
		Severity: SeverityError, File: "standard.yaml", Pointer: "/name", Rule: "folder",
		Detail: fmt.Sprintf("the manifest says %s %s, but what holds it is named %s %s", n.Name.Slug(), n.Version, clip(slug), v),
		Fix:    "make both say the same",
	}
}
