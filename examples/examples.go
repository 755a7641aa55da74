// Package examples holds the exchanges that come with the program, each a folder with
// everything a run of it needs. No council, person or place in them is real.
package examples

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/stile-exchange/stile/internal/exchange"
)

//go:embed [0-9][0-9]-*
var folders embed.FS

// Exchanges returns all exchanges, in the order of their numbers.
func Exchanges() ([]*exchange.Exchange, error) {
	dirs, err := fs.ReadDir(folders, ".")
	if err != nil {
		return nil, err
	}
	var all []*exchange.Exchange
	for _, d := range dirs {
		sub, err := fs.Sub(folders, d.Name())
		if err != nil {
			return nil, err
		}
		e, err := exchange.Open(d.Name(), sub)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Exchange returns the exchange of a number such as "2" or "02", or of a whole name such as
// "02-planning-consultation".
func Exchange(id string) (*exchange.Exchange, error) {
	all, err := Exchanges()
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		number, _, _ := strings.Cut(e.ID, "-")
		if id == e.ID || id == number || "0"+id == number {
			return e, nil
		}
	}
	return nil, fmt.Errorf("there is no exchange %q", id)
}
