package main

import (
	"context"
	"slices"
	"strings"

	"github.com/stile-exchange/stile/examples/agreements"
	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
	"github.com/stile-exchange/stile/node/name"
)

// listTemplates lists the templates of agreements that come with Stile.
func (a *app) listTemplates() error {
	all := agreements.Templates()
	if a.json {
		type row struct {
			Name     string `json:"name"`
			Title    string `json:"title"`
			Standard string `json:"standard"`
			Mode     string `json:"mode"`
		}
		var rows []row
		for _, t := range all {
			doc, err := agreement.Parse(t.Document)
			if err != nil {
				return err
			}
			rows = append(rows, row{t.Name, t.Title, doc.Standard.String(), string(doc.Mode)})
		}
		return emitLines(a, rows)
	}
	t := newTable("TEMPLATE", "MODE", "WHAT IS SHARED")
	for _, tpl := range all {
		doc, err := agreement.Parse(tpl.Document)
		if err != nil {
			return err
		}
		t.add(tpl.Name, string(doc.Mode), tpl.Title)
	}
	t.write(a.out, "")
	a.say("stile agreement draft --template NAME --to COUNCIL writes one between other parties")
	return nil
}

// draftTemplate writes a template between our parties. The codes of the receivers come
// from the directory, where there is one to ask.
func (a *app) draftTemplate(ctx context.Context, template, from string, to []string, slug string) ([]byte, error) {
	tpl, ok := agreements.Find(template)
	if !ok {
		return nil, failure(node.NotFound, "stile agreement draft --list", "there is no template %q", template)
	}
	if len(to) == 0 {
		return nil, misused("name the receiver with --to")
	}
	if from == "" {
		cfg, err := a.load()
		if err != nil {
			return nil, misused("name the sender with --sender, or the data folder with --data")
		}
		from = string(cfg.Council)
	}
	sender, err := name.ParseCouncil(strings.ToLower(from))
	if err != nil {
		return nil, misused("--sender: %v", err)
	}
	codes := map[string]string{}
	if members, err := a.node().Councils().List(ctx); err == nil {
		for _, m := range members {
			codes[string(m.Council)] = m.GSS
		}
	}
	var receivers, gss []string
	for _, r := range to {
		c, err := name.ParseCouncil(strings.ToLower(r))
		if err != nil {
			return nil, misused("--to: %v", err)
		}
		receivers, gss = append(receivers, string(c)), append(gss, codes[string(c)])
	}
	if slices.Contains(gss, "") {
		gss = nil
	}
	day := today()
	doc := tpl.For(string(sender), receivers, gss, slug, day.Format("2006-01-02"), day.AddDate(1, 0, 0).Format("2006-01-02"))
	if _, err := agreement.Parse(doc); err != nil {
		return nil, failure(node.Usage, "", "--to or --slug cannot stand in an agreement: %v", err)
	}
	return doc, nil
}
