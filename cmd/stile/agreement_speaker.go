package main

import (
	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/node"
)

// A speaker is who says something about an agreement, or lets out an urgent disclosure, at the
// command line, where they say it.
type speaker struct{ as, file string }

func (s *speaker) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.as, "as", "", "the `person` who says so, by name, email address or id: asks for their passphrase")
	c.Flags().StringVar(&s.file, "passphrase-file", "", "`file` whose first line is that passphrase; default: it is asked for")
}

// speaks puts into a request who makes it.
func (a *app) speaks(s speaker, req *node.AgreementRequest) (err error) {
	req.As, req.Passphrase, err = a.shows(s)
	return err
}

// shows returns who says so, and the passphrase by which they show it; "" for nobody.
func (a *app) shows(s speaker) (as string, pass []byte, err error) {
	if s.as == "" {
		if s.file != "" {
			return "", nil, misused("--passphrase-file is of the person that --as names")
		}
		return "", nil, nil
	}
	pass, err = a.passphrase(s.file, "Passphrase of "+s.as)
	return s.as, pass, err
}

// another says that a second person has to say what one has said, and what they type.
func (a *app) another(w node.ApprovalReply, command string) {
	a.printf("%s said yes to %s; nothing is signed yet\n", w.By, approved(w))
	a.say(`another signer must say the same: stile agreement %s --as "THEIR NAME"; or at the pages, /agreements/%s`, command, w.Agreement)
}

// approved is what somebody said yes to, in words.
func approved(w node.ApprovalReply) string {
	if len(w.Of) == 64 {
		return "document " + w.Of
	}
	return w.Of
}
