package translation

import (
	"github.com/stile-exchange/stile/node/name"
	"github.com/stile-exchange/stile/schemas"
)

// Shipped returns the translation that comes with Stile under an id of
// [schemas.Translations], and nil under any other.
func Shipped(id string) *Translation {
	b := schemas.Translation(id)
	if b == nil {
		return nil
	}
	t, err := Parse(b)
	if err != nil {
		panic("internal error: translation " + id + ": " + err.Error())
	}
	return t
}

// ShippedFor lists the ids of the translations that come with Stile for records of a
// standard, sorted.
func ShippedFor(line name.StandardLine) (ids []string) {
	for _, id := range schemas.Translations() {
		if Shipped(id).Standard == line {
			ids = append(ids, id)
		}
	}
	return ids
}
