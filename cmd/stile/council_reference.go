package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/schemas/councils"
)

func (a *app) councilReferenceCommand() *cobra.Command {
	r := &reference{app: a}
	c := &cobra.Command{
		Use:   "reference [QUERY]",
		Short: "Look up English councils: code, region, type, and what became of them",
		Long: `Reference lists the principal councils of England, those of today unless --at or
--all says otherwise. QUERY is a code (ONS, such as E06000066; former ones are
found too) or part of a name; a code is found whether the council is there
still or not. Reorganisations that are to come stand in it with their day where a public
source has it; the councils that begin have no code yet. The list comes with Stile and needs no node. It says who is a
council, not who is a member: that is "stile council list".

Types: county, district, metropolitan-district, unitary, london-borough,
city-of-london, isles-of-scilly.

Contains data from mySociety's UK local authority names and codes, CC BY 4.0.`,
		Example: `  stile council reference somerset --all
  stile council reference --region "North West" --type unitary
  stile council reference --at 2019-03-31 --csv > councils.csv`,
		Args: takes(0, 1, "at most one name or code"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(strings.Join(args, "")) },
	}
	f := c.Flags()
	f.StringVar(&r.region, "region", "", "only of this `region`, such as \"South West\"")
	f.StringVar(&r.kind, "type", "", "only of this `type`")
	f.StringVar(&r.at, "at", "", "as on this `date`, such as 2019-03-31; default today")
	f.BoolVar(&r.all, "all", false, "also those that are no more")
	f.BoolVar(&r.csv, "csv", false, "print CSV")
	return c
}

type reference struct {
	*app
	region, kind, at string
	all, csv         bool
}

func (r *reference) run(query string) error {
	on := time.Now()
	if r.at != "" {
		var err error
		if on, err = time.Parse(time.DateOnly, r.at); err != nil {
			return misused("--at wants a date such as 2019-03-31")
		}
		if r.all {
			return misused("--at shows one day and --all every day: choose one")
		}
	}
	if r.csv && r.json {
		return misused("choose one of --csv and --json")
	}
	if r.kind != "" && !slices.Contains(councils.Types(), councils.Type(r.kind)) {
		return misused("there is no type %q: want one of %s", clean(r.kind), list(councils.Types()))
	}
	region := ""
	if r.region != "" {
		for _, x := range councils.Regions() {
			if strings.EqualFold(x, strings.ReplaceAll(r.region, "-", " ")) {
				region = x
			}
		}
		if region == "" {
			return misused("there is no region %q: want one of %s", clean(r.region), list(councils.Regions()))
		}
	}
	var found []councils.Council
	if c, ok := councils.ByGSS(strings.ToUpper(query)); ok && r.at == "" {
		found = append(found, c)
	} else {
		for _, c := range councils.All() {
			named := strings.Contains(strings.ToLower(c.Name), strings.ToLower(query)) || ok && c.GSS == strings.ToUpper(query)
			if named && (r.all || c.At(on)) {
				found = append(found, c)
			}
		}
	}
	found = slices.DeleteFunc(found, func(c councils.Council) bool {
		return region != "" && c.Region != region || r.kind != "" && string(c.Type) != r.kind
	})
	if len(found) == 0 {
		return failure(node.NotFound, "stile council reference --all, or part of the name", "no such council is in the list for that day")
	}
	return r.print(found)
}

func (r *reference) print(found []councils.Council) error {
	switch {
	case r.json:
		return emitLines(r.app, found)
	case r.csv:
		w := newSheet(r.out)
		w.row("gss", "name", "type", "region", "from", "until", "successors", "next", "former")
		for _, c := range found {
			w.row(c.GSS, c.Name, string(c.Type), c.Region, c.From, c.Until, strings.Join(c.Successors, " "), strings.Join(c.Next, ";"), strings.Join(c.Former, " "))
		}
		return w.close()
	}
	t := newTable("CODE", "NAME", "TYPE", "REGION", "FROM", "UNTIL", "THEN")
	for _, c := range found {
		var then []string
		for _, code := range c.Successors {
			next, _ := councils.ByGSS(code)
			then = append(then, next.Name+" ("+code+")")
		}
		then = append(then, c.Next...)
		t.add(dash(c.GSS), c.Name, string(c.Type), c.Region, dash(c.From), dash(c.Until), list(then))
	}
	t.write(r.out, "")
	r.say("%s", plural(len(found), "council", "councils"))
	return nil
}

// dash prints what is not there.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
