package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stile-exchange/stile/config"
	"github.com/stile-exchange/stile/internal/access"
	"github.com/stile-exchange/stile/internal/people"
	"github.com/stile-exchange/stile/node"
)

func (a *app) personCommand() *cobra.Command {
	return noun("person", "Say who may sign in and sign, and give them links and passphrases", `People sign in to the pages that "stile serve" shows where web.listen is set: by the
council's identity provider (web.oidc), or by a link that is good once. What they may do
follows from their roles: viewer, steward, governance, signer, operator, auditor. At the
command line a signer says who they are by a passphrase (stile agreement sign --as). They
are kept in people/ in the data folder, one file each, and a change holds at once.`,
		a.personAddCommand(), a.personListCommand(), a.personLinkCommand(), a.personPassphraseCommand(), a.personRemoveCommand())
}

func (a *app) people() (*config.Config, *people.Store, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	a.private()
	return cfg, people.Open(cfg.Data, rand.Reader, time.Now), nil
}

func (a *app) personAddCommand() *cobra.Command {
	var one people.Person
	var roles []string
	c := &cobra.Command{
		Use:   "add --name NAME --role ROLE",
		Short: "Let a person sign in",
		Long: `Add lets a person sign in. With an email address they do so by the identity provider,
and without one by links alone. The id that is printed is their pseudonym.`,
		Example: `  stile person add --name "Jo Smith" --email jo.smith@northmoor.gov.uk --role signer --role governance`,
		Args:    takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, people, err := a.people()
			if err != nil {
				return err
			}
			for _, r := range roles {
				one.Roles = append(one.Roles, access.Role(r))
			}
			added, err := people.Put(one)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(added)
			}
			a.printf("%s\n", added.ID)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&one.Name, "name", "", "the person's `name`, as it is logged where they sign")
	f.StringVar(&one.Email, "email", "", "what the identity provider calls them: an `address`")
	f.StringArrayVar(&roles, "role", nil, "a `role`; may be given several times")
	return c
}

func (a *app) personListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List who may sign in",
		Args:  takes(0, 0, "nothing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, people, err := a.people()
			if err != nil {
				return err
			}
			all, err := people.List()
			if err != nil {
				return err
			}
			if a.json {
				return emitLines(a, all)
			}
			t := newTable("ID", "NAME", "EMAIL", "ROLES")
			for _, p := range all {
				var roles []string
				for _, r := range p.Roles {
					roles = append(roles, string(r))
				}
				t.add(p.ID, p.Name, p.Email, strings.Join(roles, ", "))
			}
			t.write(a.out, "")
			return nil
		},
	}
}

func (a *app) personLinkCommand() *cobra.Command {
	var valid time.Duration
	c := &cobra.Command{
		Use:   "link PERSON",
		Short: "Make a link by which a person signs in once",
		Long: `Link makes a link by which a person, named by id, email address or name, signs in once.
Give it to nobody else. Only its hash is kept.`,
		Args: takes(1, 1, "a person"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, people, err := a.people()
			if err != nil {
				return err
			}
			if valid < time.Minute || valid > 24*time.Hour {
				return misused("--valid: want a time from 1m to 24h")
			}
			one, err := people.Find(args[0])
			if err != nil {
				return err
			}
			code, err := people.Link(one.ID, valid)
			if err != nil {
				return err
			}
			link := pagesURL(cfg.Web) + "sign-in/link?code=" + code
			if a.json {
				return a.emit(map[string]any{"person": one.ID, "link": link, "until": time.Now().Add(valid).UTC().Truncate(time.Second)})
			}
			a.printf("%s\n", link)
			a.say("good once, within %s, for %s", valid, one.Name)
			if cfg.Web.Listen == "" {
				a.say("stile serve shows no pages yet: set web.listen in %s", config.FileName)
			}
			return nil
		},
	}
	c.Flags().DurationVar(&valid, "valid", 15*time.Minute, "how `long` the link is good")
	return c
}

func (a *app) personPassphraseCommand() *cobra.Command {
	var file string
	var remove bool
	c := &cobra.Command{
		Use:   "passphrase PERSON",
		Short: "Give a person a passphrase, by which they say at the command line who they are",
		Long: `Passphrase gives a person, named by id, email address or name, a passphrase, in the place
of one that they had. They type it themselves, twice, or it is the first line of FILE,
which only its owner may read. It is what "stile agreement sign --as" asks for. Only what
scrypt makes of it is kept. After ten wrong ones within 15 minutes that person is refused
until these are over.`,
		Example: `  stile person passphrase "Jo Smith"
  stile person passphrase "Jo Smith" --remove`,
		Args: takes(1, 1, "a person"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, people, err := a.people()
			if err != nil {
				return err
			}
			if remove && file != "" {
				return misused("--remove takes no passphrase")
			}
			one, err := people.Find(args[0])
			if err != nil {
				return err
			}
			if remove {
				err = people.ForgetPassphrase(one.ID)
			} else {
				var pass []byte
				if pass, err = a.newPassphrase(file); err == nil {
					err = people.SetPassphrase(one.ID, pass)
					clear(pass)
				}
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"person": one.ID, "passphrase": !remove})
			}
			if remove {
				a.say("%s has no passphrase any more", one.Name)
			} else {
				a.say("%s has a passphrase", one.Name)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "passphrase-file", "", "`file` whose first line is the passphrase; default: it is asked for twice")
	c.Flags().BoolVar(&remove, "remove", false, "take the passphrase away")
	return c
}

// passphrase reads a passphrase from a file, or asks for it at the terminal.
func (a *app) passphrase(file, prompt string) ([]byte, error) {
	if file != "" {
		pass, err := (&config.Config{PassphraseFile: file}).Passphrase()
		if err != nil {
			return nil, failure(node.Usage, "write the passphrase into a file of mode 0600", "%v", err)
		}
		return pass, nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !isTerminal(a.in) || !isTerminal(a.err) {
		return nil, failure(node.Usage, "name a file of mode 0600 with --passphrase-file", "there is nobody to ask for a passphrase")
	}
	a.hint("%s: ", prompt)
	pass, err := term.ReadPassword(int(in.Fd()))
	a.hint("\n")
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return pass, nil
}

// newPassphrase is as passphrase, and has one that is typed typed twice.
func (a *app) newPassphrase(file string) ([]byte, error) {
	pass, err := a.passphrase(file, "New passphrase")
	if err != nil || file != "" {
		return pass, err
	}
	again, err := a.passphrase("", "The same again")
	if err == nil && !bytes.Equal(pass, again) {
		err = failure(node.Usage, "type it again", "the two are not the same, and nothing was changed")
	}
	return pass, err
}

// pagesURL is where the pages are, as the configuration has it.
func pagesURL(w config.Web) string {
	scheme, host, port := "http", "127.0.0.1", ""
	if h, p, err := net.SplitHostPort(w.Listen); err == nil {
		host, port = h, ":"+p
	}
	if w.Secure() {
		scheme = "https"
	}
	if len(w.Hosts) > 0 {
		host = w.Hosts[0]
	}
	if w.BehindProxy || scheme == "https" && port == ":443" {
		port = ""
	}
	return scheme + "://" + host + port + "/"
}

func (a *app) personRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove PERSON",
		Short: "Let a person sign in no more, and sign them out",
		Args:  takes(1, 1, "a person"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, people, err := a.people()
			if err != nil {
				return err
			}
			one, err := people.Find(args[0])
			if err != nil {
				return err
			}
			if err := people.Remove(one.ID); err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"removed": one.ID})
			}
			a.say("%s may sign in no more", one.Name)
			return nil
		},
	}
}
