package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/stile-exchange/stile/internal/agreement"
	"github.com/stile-exchange/stile/node"
)

func (a *app) agreementNovateCommand() *cobra.Command {
	var old, successor, starts, out string
	c := &cobra.Command{
		Use:   "novate NAME --old COUNCIL [--new COUNCIL --starts DATE] --out FILE",
		Short: "Write an agreement anew with the council that follows a party which ends",
		Long: `A council that ends takes its agreements with it. Novate writes the text of one, as it was
signed, with the successor in the place of the party that ends, from the day of the
succession on. It is a new agreement: nothing goes on before each party has signed it, and
where one does not, the sharing ends with the old agreement.

Of an agreement with several receivers, of which one ends, it writes without --new the next
version, for the others: once they have signed, it goes on with them alone.

Any party writes it, on its own node. Read it before anybody signs: a code in its rows may
be one that ends, too, and addresses of the old council are named.`,
		Example: `  stile agreement novate northshire.gov.uk/moves --old northshire.gov.uk --new east.gov.uk --starts 2027-04-01 --out moves-east.yaml
  stile agreement preview moves-east.yaml
  stile agreement sign moves-east.yaml`,
		Args: takes(1, 1, "the name of an agreement"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if old == "" {
				return misused("name the party that ends with --old, and who follows it with --new")
			}
			from, err := councilArg(old)
			if err != nil {
				return err
			}
			anew := func(was *agreement.Agreement) (*agreement.Agreement, []string, error) { return was.LeaveOut(from) }
			if successor != "" {
				to, err := councilArg(successor)
				if err != nil {
					return err
				}
				day, err := agreement.ParseDate(starts)
				if err != nil {
					return misused("--starts: %v", err)
				}
				anew = func(was *agreement.Agreement) (*agreement.Agreement, []string, error) {
					return was.Novate(from, to, day)
				}
			} else if starts != "" {
				return misused("--starts is for the agreement with a successor: name it with --new")
			}
			if out == "" {
				return misused("name the file to write with --out")
			}
			r, err := a.node().Agreements().Show(cmd.Context(), node.AgreementRequest{Name: args[0]})
			if err != nil {
				return err
			}
			was, err := agreement.Parse([]byte(r.Document))
			if err != nil {
				return err
			}
			is, look, err := anew(was)
			if err != nil {
				return failure(node.Refused, "stile agreement show "+args[0], "%v", err)
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return failure(node.Conflict, "name another file, or move the old one away", "%q is there already", out)
			}
			if err != nil {
				return err
			}
			_, err = f.Write(is.YAML())
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			if a.json {
				return a.emit(map[string]any{"agreement": is.Name, "file": out, "look": look})
			}
			if successor == "" {
				a.printf("%s: %s, version %d, without %s\n", short(out), is.Name, is.Version, from)
			} else {
				a.printf("%s: %s, from %s on\n", short(out), is.Name, starts)
			}
			for _, heading := range look {
				a.say("%s still stands in: %s", from, heading)
			}
			a.say("next, at each party: stile agreement preview %s, then stile agreement sign %s", short(out), short(out))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&old, "old", "", "the `council` that ends")
	f.StringVar(&successor, "new", "", "the `council` that follows it; without it the next version leaves the old one out")
	f.StringVar(&starts, "starts", "", "the first `day`, such as 2027-04-01")
	f.StringVar(&out, "out", "", "`file` to write, which must not be there")
	return c
}
