package event

// A PersonRead says that a person opened personal data at the node's pages, and what for.
// It is logged before anything is shown. Body:
//
//	{"of":"k2…","person":"Jo Smith","purpose":"A case that I work on","what":"record"}
type PersonRead struct {
	Person  string // name or pseudonym, of 1 to 256 bytes
	What    string // such as record, records or report, of 1 to 64 bytes
	Of      string // which one, such as a record's id; "" for what has none
	Purpose string // in the person's words, of 1 to 300 bytes
}

// Body returns the body of a [KindPersonRead].
func (p PersonRead) Body() map[string]any {
	return map[string]any{"person": p.Person, "what": p.What, "of": p.Of, "purpose": p.Purpose}
}

// ParsePersonRead reads the body of a [KindPersonRead]. The error wraps [ErrBody].
func ParsePersonRead(body map[string]any) (PersonRead, error) {
	r := read(KindPersonRead, body)
	p := PersonRead{Person: r.textOf("person", 1, 256), What: r.textOf("what", 1, 64), Of: r.textOf("of", 0, 512), Purpose: r.textOf("purpose", 1, 300)}
	return p, r.done()
}
